# 090_memory.pl
#	  Memory of front and executors stays flat over many mixed requests.
#
# VECDB_HTTP_REQUESTS says how many; "make soak-http" asks for 200,000.  Memory is
# read after each tenth.  In the first half caches fill, plans are made, and the
# heap grows to what the rarest meeting of large requests needs; what the second
# half adds is the finding.  Requests are drawn with a seed, which is printed;
# VECDB_SEED gives another.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbHttp;

my $requests = $ENV{VECDB_HTTP_REQUESTS} // 3000;
my $seed = $ENV{VECDB_SEED} // 4711;
my $may_grow_kb = 4096;
# Who goes away amid a body may be noticed at the body's deadline only.
my $node = http_node('memory', "vecdb.http_access_log = off\nfsync = off\nvecdb.http_max_body = 8MB\nvecdb.http_body_timeout = 5s\n", lab => 1);

# Each request takes over what its role has; a long value would show if it were kept.
$node->safe_psql('postgres', "ALTER ROLE vecdb_anon SET lock_timeout = '20s'; ALTER ROLE vecdb_anon SET my.text = '" . 'x' x 8000 . "'");

srand $seed;
note "seed $seed, $requests requests";
call($node, 'POST', '/collections', { name => 'film', dimensions => 16 });
my @clients = map { VecdbHttp::Client->new($node->{http}) } 1 .. 8;

sub vector { return [ map { int(rand 2000) / 1000 - 1 } 1 .. ($_[0] // 16) ] }

# Each draws a request and says which status it must have.
my @mix = (
	sub { (201, 'POST', '/vectors', { vectors => [ map { { id => 'i' . int(rand 500), collection => 'film', data => vector(), metadata => { n => int(rand 10), text => 'x' x rand 300 } } } 1 .. 1 + rand 5 ] }) },
	sub { (201, 'POST', '/vectors', { vectors => [ { id => 'l' . int(rand 50), collection => 'lab', data => vector(3), metadata => { ask => 'SELECT count(*) FROM pg_settings' } } ] }) },
	sub { (200, 'POST', '/collections/film/search', { vector => vector(), k => 1 + int(rand 20) }) },
	sub { (200, 'POST', '/collections/film/search', { vector => vector(), filter => { n => { '$lt' => int(rand 10) } } }) },
	sub { (200, 'POST', '/search', { vector => vector() }) },
	sub { ('200|404|409', 'GET', '/vectors/i' . int(rand 500)) },
	sub { ('200|404', 'DELETE', '/vectors/i' . int(rand 500) . '?collection=film') },
	sub { (200, 'GET', '/stats') },
	sub { (200, 'GET', '/collections') },
	sub { (200, 'GET', '/health') },
	sub { (404, 'GET', '/nothing') },
	sub { (405, 'PUT', '/vectors') },
	sub { (400, 'POST', '/vectors', '{"vectors":[') },
	sub { (422, 'POST', '/vectors', { vectors => [ { data => vector(7), collection => 'film' } ] }) },
	sub { (400, 'POST', '/vectors', { vectors => [ { data => vector(3), collection => 'lab', metadata => { run => q{DO $$ BEGIN RAISE EXCEPTION 'x'; END $$} } } ] }) },
	sub { (201, 'POST', '/vectors', { vectors => [ { id => 'leak', data => vector(3), collection => 'lab', metadata => { run => q{CREATE TEMP TABLE t AS SELECT 1; PREPARE p AS SELECT 1; SELECT pg_advisory_lock(1)} } } ] }) },
	sub { my $name = 'c' . int(rand 3); ('201|409', 'POST', '/collections', { name => $name, dimensions => 2, index_type => 'flat' }) },
	sub { ('200|404', 'DELETE', '/collections/c' . int(rand 3)) });

my %weight = (16 => 0.03, 17 => 0.03);
my ($bad, $sent) = (0, 0);
my %wrong;

# Requests in turns of eight, one for each client; now and then a client goes
# away with its request under way, or sends what is refused.
sub run
{
	my ($n) = @_;

	for (my $at = 0; $at < $n; $at += @clients)
	{
		my @expected;
		for my $c (@clients)
		{
			my $kind = int rand @mix;
			$kind = 2 if $weight{$kind} && rand() > $weight{$kind};
			my ($status, @request) = $mix[$kind]->();
			$c->send(VecdbHttp::Client::compose(@request));
			push @expected, [ $status, $kind ];
		}
		for my $i (0 .. $#clients)
		{
			my $answer = $clients[$i]->answer;
			my ($status, $kind) = @{ $expected[$i] };
			# Collections come and go beneath statements that read them all.
			$status .= '|404|500' if $kind == 4 || $kind == 7 || $kind == 8;
			if (!$answer || $answer->{status} !~ /^(?:$status)$/)
			{
				$bad++;
				$wrong{ "$kind: " . ($answer ? "$answer->{status} $answer->{body}" : 'none') }++;
			}
		}
		$sent += @clients;
		if (rand() < 0.02)
		{
			my $c = VecdbHttp::Client->new($node->{http});
			$c->send(rand() < 0.5 ? "GET /stats HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n" : "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 5000000\r\n\r\n" . ' ' x 100_000);
			$c->close;
			$clients[0]->close;
			$clients[0] = VecdbHttp::Client->new($node->{http});
		}
	}
	return;
}

# A connection on which nothing came yet has less time than one between requests.
is_kept($_, 'a client') for @clients;
my %pid = (front => worker_pid($node, 'vecdb http front'));
@pid{ 'executor 0', 'executor 1' } = executors($node);
# A large request each, so that the largest memory was needed once.
for (1 .. 6)
{
	my $answer = $clients[ $_ % 8 ]->request('POST', '/vectors', { vectors => [ map { { id => "i$_", collection => 'film', data => vector(), metadata => { text => 'y' x 3000 } } } 1 .. 150 ] });
	is(($answer // {})->{status}, 201, 'a large request') or diag($answer->{body});
}
my %before;
for my $tenth (1 .. 10)
{
	run($requests / 10);
	my %now = map { $_ => memory_kb($pid{$_}) } keys %pid;
	%before = %now if $tenth == 5;
	note join ', ', "after $sent requests", map { "$_ $now{$_} kB" } sort keys %now;
}
is($bad, 0, "all of $sent requests have the answer they should have") or diag(join "\n", map { "$wrong{$_} times $_" } (sort { $wrong{$b} <=> $wrong{$a} } keys %wrong)[0 .. 9]);
for my $who (sort keys %pid)
{
	my $after = memory_kb($pid{$who});
	cmp_ok($after - $before{$who}, '<', $may_grow_kb, "$who: memory is flat, $before{$who} kB and $after kB");
}
$_->close for @clients;
ok(wait_until(sub { metric($node, 'vecdb_http_connections') == 0 }), 'no connection is left');
ok(wait_until(sub { metric($node, 'vecdb_http_buffered_bytes') == 0 }), 'nor any body') or diag(metric($node, 'vecdb_http_buffered_bytes'));
is_deeply([ worker_pid($node, 'vecdb http front'), executors($node) ], [ @pid{ 'front', 'executor 0', 'executor 1' } ], 'all are the processes they were');

$node->stop;
done_testing();
