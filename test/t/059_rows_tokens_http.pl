# Over HTTP: the answer to a write has the token of its commit, and a request to another
# node that brings it along sees what was written.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use HTTP::Tiny;
use IO::Socket::INET;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my %http = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(a b);
my %admin = map { $_ => PostgreSQL::Test::Cluster::get_free_port() } qw(a b);
my $client = HTTP::Tiny->new(timeout => 180);

sub conf
{
	my ($name) = @_;

	return "vecdb.http_max_buffered = 8MB\nvecdb.http_max_body = 3MB\nvecdb.http_executors = 2\nvecdb.http_port = $http{$name}\nvecdb.http_admin_port = $admin{$name}" .
	  "\nvecdb.anti_entropy_interval = 2s\n";
}

sub call
{
	my ($node, $method, $path, $body, %headers) = @_;

	return $client->request($method, 'http://127.0.0.1:' . $http{ $node->name } . $path,
		{ headers => { 'Content-Type' => 'application/json', %headers }, defined $body ? (content => $body) : () });
}

# The process of b's front, which has no place in pg_stat_activity
sub front_pid
{
	my $postmaster = (split /\n/, slurp_file($_[0]->data_dir . '/postmaster.pid'))[0];

	return (grep { slurp_file("/proc/$_/cmdline") =~ /vecdb http front/ } map { split } slurp_file("/proc/$postmaster/task/$postmaster/children"))[0];
}

sub refused
{
	my ($answer, $status, $message, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($answer->{status}, $status, "$what: $status");
	like($answer->{content}, $message, '... and why');
	return;
}

my $a = new_peer('a', conf => conf('a'));
my $b = new_peer('b', conf => conf('b'), bootstrap => [$a]);

sql($_, q{CREATE ROLE vecdb_anon NOLOGIN; CREATE ROLE vecdb_http LOGIN NOINHERIT; GRANT vecdb_anon TO vecdb_http;
	GRANT USAGE, CREATE ON SCHEMA collections TO vecdb_anon; SELECT pg_reload_conf()}) for $a, $b;
ok(wait_until(sub { running($a) && running($b) }), 'two nodes run');
sql($a, q{SELECT vecdb.create_collection('docs', 3, 'l2'); SELECT vecdb.create_collection('own', 3)});
my $invitation = sql($a, q{SELECT vecdb.invite('docs')});
sql($b, "SELECT vecdb.join('$invitation')");
sql($_, q{GRANT ALL ON ALL TABLES IN SCHEMA collections TO vecdb_anon}) for $a, $b;
for my $node ($a, $b)
{
	ok(wait_until(sub { call($node, 'GET', '/collections')->{status} eq '200' }), $node->name . ' serves HTTP');
}

sub write_to
{
	my ($node, $id, $collection) = @_;
	my $answer = call($node, 'POST', '/vectors', sprintf('{"vectors":[{"id":"%s","collection":"%s","data":[1,2,3]}]}', $id, $collection // 'docs'));

	is($answer->{status}, '201', "$id is written on " . $node->name) or diag($answer->{content});
	return $answer->{headers}{'vecdb-commit-token'};
}

my $token = write_to($a, 'first');
like($token, qr/^[0-9a-f]{16}\.[0-9a-f]{32}\.[1-9][0-9]*$/, 'the answer has a token');
is(write_to($a, 'alone', 'own'), undef, 'that of a write to what is not shared has none');
is(call($a, 'GET', '/vectors/first?collection=docs')->{headers}{'vecdb-commit-token'}, undef, 'nor has that of a read');
isnt(call($b, 'DELETE', '/vectors/nothing?collection=docs')->{headers}{'vecdb-commit-token'}, $token, 'nor is there another\'s');

my $late = 0;
for my $i (1 .. 40)
{
	my ($from, $to) = $i % 2 ? ($a, $b) : ($b, $a);
	my $answer = call($from, 'POST', '/vectors', sprintf('{"vectors":[{"id":"n%d","collection":"docs","data":[1,2,%d]}]}', $i, $i));
	my $read = call($to, 'GET', "/vectors/n$i?collection=docs", undef, 'Vecdb-Wait-For' => $answer->{headers}{'vecdb-commit-token'});

	$late++, diag("$read->{status} $read->{content}") if $read->{status} ne '200';
}
is($late, 0, 'what was written on one is read on the other, 40 times');
my $both = join ',', $token, write_to($b, 'second');
is(call($_, 'GET', '/vectors/second?collection=docs', undef, 'Vecdb-Wait-For' => $both)->{status}, '200', 'a token of both, on ' . $_->name) for $a, $b;
is(call($a, 'POST', '/search', '{"collection":"docs","vector":[1,2,3],"k":1}', 'Vecdb-Wait-For' => $both)->{status}, '200', 'a search waits, too');

is(call($_, 'GET', '/vectors/second?collection=docs', undef, 'Vecdb-Wait-For' => [ split /,/, $both ])->{status}, '200', 'two headers are as one, on ' . $_->name) for $a, $b;
is(call($b, 'GET', '/vectors/second?collection=docs', undef, 'Vecdb-Wait-For' => $both, 'Vecdb-Wait-Timeout' => '0')->{status}, '200', 'no time is enough where it is there');

# The numbers of a node are among its metrics, each metric in one piece
sub metrics
{
	my ($node) = @_;
	my %value;
	my $of = '';
	my %ended;

	for my $line (split /\n/, $client->get('http://127.0.0.1:' . $admin{ $node->name } . '/metrics')->{content})
	{
		if ($line =~ /^# HELP (\S+) \S/ || $line =~ /^# TYPE (\S+) (?:gauge|counter|histogram)$/)
		{
			$ended{$of} = 1 if $of ne $1;
			$of = $1;
			fail("$of has two pieces") if $ended{$of};
		}
		elsif ($line =~ /^(([a-z_]+)(?:\{[a-z_]+="[^"]*"(?:,[a-z_]+="[^"]*")*\})?) (\S+)$/ && index($2, $of) == 0)
		{
			fail("$1 is there twice") if exists $value{$1};
			$value{$1} = $3;
		}
		else
		{
			fail("a line of metrics: $line");
		}
	}
	return \%value;
}

ok(wait_until(sub { (metrics($a)->{'vecdb_replication_members{collection="docs",state="level"}'} // '') eq '1' }), 'metrics tell of members that are level');
my $m = metrics($b);
is($m->{vecdb_node_running}, '1', '... of the node');
is($m->{vecdb_node_links}, '1', '... its links');
cmp_ok($m->{'vecdb_replication_rows_taken_total{collection="docs"}'}, '>=', 20, '... rows that were taken');
is($m->{'vecdb_replication_set_aside_rows{collection="docs",kind="quarantined"}'}, '0', '... rows in quarantine');
is($m->{'vecdb_replication_lag_seconds{collection="docs",lacks="here"}'}, '0', '... and how far behind it is');
{
	my $rules = slurp_file("$FindBin::RealBin/../../doc/prometheus/vecdb.rules.yml");
	my $page = slurp_file("$FindBin::RealBin/../../doc/alarms.md");
	my %named;

	$named{$_} = 1 for map { /\b(vecdb_\w+(?:\{\w+="[^"]+"\})?)/g } $rules =~ /^ +expr: (.*)$/mg;
	my @missing = grep { my ($name, $label) = /^(\w+)(?:\{(.*)\})?$/; !grep { /^\Q$name\E/ && (!$label || /\Q$label\E/) } keys %$m } sort keys %named;
	cmp_ok(scalar(keys %named), '>=', 12, 'the file of alarms names metrics');
	is("@missing", '', '... and each is there');
	is(join(' ', grep { $page !~ /^\| \Q$_\E \|/m } $rules =~ /alert: (\w+)/g), '', '... and the page tells what to do about each');
}
is(scalar(grep { /collection="own"/ && /replication/ } keys %{ metrics($a) }), 0, 'a collection that is not shared has none of these');

# The role of HTTP owns no collection that is shared, and reads this one
like(call($b, 'GET', '/stats')->{content}, qr/"shared_collections":1,"quarantined":null,"parked":null,"conflicts":null/, '/stats counts shared collections, and nothing of what others own');
is(sql($b, 'SELECT * FROM vecdb.replication_stats()'), '1|0|0|0', 'their owner sees what is set aside');

# What does not come
my $stuck = $token =~ s/[0-9]+$/1000000/r;
my $began = time();
refused(call($b, 'GET', '/vectors/first?collection=docs', undef, 'Vecdb-Wait-For' => $stuck, 'Vecdb-Wait-Timeout' => '1.5'), 504, qr/was not here in time/, 'in time');
cmp_ok(time() - $began, '>=', 1.4, '... after that time');
refused(call($b, 'GET', '/collections', undef, 'Vecdb-Wait-For' => $stuck, 'Vecdb-Wait-Timeout' => '0'), 504, qr/was not here in time/, 'at once');
refused(call($b, 'GET', '/collections', undef, 'Vecdb-Wait-For' => substr($stuck, 1)), 400, qr/has no commit token/, 'what is no token');
refused(call($b, 'GET', '/collections', undef, 'Vecdb-Wait-For' => join(',', ($token) x 65)), 400, qr/has no commit token/, 'a token of too many tickets');
refused(call($b, 'GET', '/collections', undef, 'Vecdb-Wait-For' => $token, 'Vecdb-Wait-Timeout' => $_), 400, qr/is seconds, from 0 to 60/, "a timeout of $_")
  for '-1', '61', '1s', 'x', '1e1', '0x1', '1.2.3', '99999999999999999999';
refused(call($b, 'GET', '/collections', undef, 'Vecdb-Wait-For' => ('0' x 16) . substr($token, 16)), 421, qr/does not replicate the collection/, 'a collection that is not here');

# Bodies of those who wait make room for others'
{
	my $large = '{"vectors":[{"id":"large","collection":"docs","data":[1,2,3],"metadata":{"a":"' . 'x' x 2_500_000 . '"}}]}';
	my @holding = map {
		my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', LocalAddr => '127.0.0.9', PeerPort => $http{b}) or die;

		print $socket "POST /vectors HTTP/1.1\r\nHost: 127.0.0.1:$http{b}\r\nContent-Type: application/json\r\nContent-Length: " . length($large) .
		  "\r\nVecdb-Wait-For: $stuck\r\nVecdb-Wait-Timeout: 60\r\n\r\n$large";
		$socket;
	} 1 .. 3;
	my $answer;

	ok(wait_until(sub { ($answer = call($b, 'POST', '/vectors', $large))->{status} eq '201' }, 20), 'who wait with large bodies keep nobody from writing') or diag($answer->{content});
	$_->close for @holding;
}

# Many that wait hold no executor, and go when their client does
my @waiting = map {
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $http{b}) or die;

	print $socket "GET /collections HTTP/1.1\r\nHost: 127.0.0.1:$http{b}\r\nVecdb-Wait-For: $stuck\r\nVecdb-Wait-Timeout: 60\r\n\r\n";
	$socket;
} 1 .. 200;
is(call($b, 'GET', '/collections')->{status}, '200', 'while 200 wait, others are served');
$_->blocking(0) for @waiting;
my %refused;
ok(wait_until(sub {
	for my $i (grep { !$refused{$_} } 0 .. $#waiting)
	{
		my $line = '';

		sysread($waiting[$i], $line, 100);
		$refused{$i} = 1 if $line =~ m{^HTTP/1\.1 503};
	}
	return keys %refused >= 60;
}, 20), 'one network has no more than it leaves to others') or diag(scalar(keys %refused));
my $seen = write_to($a, 'meanwhile');
ok(wait_until(sub { $_->close for splice @waiting, 0, 150; call($b, 'GET', '/vectors/meanwhile?collection=docs', undef, 'Vecdb-Wait-For' => $seen)->{status} eq '200' }),
	'who goes leaves its place');
is(call($b, 'GET', '/vectors/meanwhile?collection=docs', undef, 'Vecdb-Wait-For' => $seen)->{status}, '200', 'to others');

# A node that does not answer keeps no executor
{
	my $worker = sql($b, q{SELECT pid FROM vecdb.stat_workers WHERE database = 'postgres'});
	my $began = time();

	kill 'STOP', $worker;
	my @scrapes = map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $admin{b}) } 1 .. 4;
	print $_ "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" for @scrapes;
	my $answer = call($b, 'GET', '/collections');
	kill 'CONT', $worker;
	is($answer->{status}, '200', 'while its worker stands still a request is served');
	cmp_ok(time() - $began, '<', 30, '... and does not wait for scrapes that wait for the worker');
	$_->close for @scrapes;
}

# Restarts of whom it takes
my $front = front_pid($b);
kill 'TERM', $front;
ok(wait_until(sub { call($b, 'GET', '/health')->{status} eq '200' && front_pid($b) ne $front }), 'the front starts anew');
$_->close for @waiting;
is(sql($b, "SELECT vecdb.wait_for('$seen')"), '', 'and has left no place taken');
sql($b, q{ALTER SYSTEM SET vecdb.node_databases = ''; SELECT pg_reload_conf()});
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM vecdb.stat_workers WHERE database = 'postgres'}) eq '0' }), 'the database is no node any more');
is(scalar(grep { /^vecdb_(?:node|replication)_/ } keys %{ metrics($b) }), 0, 'metrics have nothing of it then');
refused(call($b, 'GET', '/collections', undef, 'Vecdb-Wait-For' => $token), 503, qr/is no node that runs/, 'where there is no node');
like(error_of($b, "SELECT vecdb.wait_for('$token')"), qr/is no node/, 'in SQL, too');
nothing_crashed($a, $b);
done_testing();
