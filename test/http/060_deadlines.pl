# 060_deadlines.pl
#	  Slow senders by the hundred, slow readers, idle connections: each is
#	  closed at its deadline, and nobody else notices.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Time::HiRes qw(time);
use VecdbHttp;

my $header_s = 2;
my $body_s = 3;
my $idle_s = 4;
my $slack_s = 60;				# for a machine under load; what has no deadline is not closed in that time either
my $node = http_node('deadlines', <<"CONF", lab => 1);
vecdb.http_header_timeout = ${header_s}s
vecdb.http_body_timeout = ${body_s}s
vecdb.http_idle_timeout = ${idle_s}s
CONF

sub client { return VecdbHttp::Client->new($node->{http}) }

call($node, 'POST', '/vectors', { vectors => [ map { { id => "v$_", collection => 'lab', data => [ $_, 1, 2 ] } } 1 .. 50 ] });

# Kinds of slowness: what is sent at once, what is sent byte by byte then, and
# within which time the connection must end.
my $long = 'x' x 10_000;
my @kinds = (
	{ name => 'the request line, byte by byte', drip => "GET /vectors/$long", least => $header_s, n => 80 },
	{ name => 'headers, byte by byte', now => "GET /vectors/v1 HTTP/1.1\r\nHost: x\r\nX: ", drip => $long, least => $header_s, n => 80 },
	{ name => 'headers, one after another', now => "GET /vectors/v1 HTTP/1.1\r\nHost: x\r\n", drip => [ map { "X$_: y\r\n" } 1 .. 1000 ], least => $header_s, n => 80 },
	{ name => 'a body, byte by byte', now => "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{", drip => $long, least => $body_s, n => 80 },
	{ name => 'a body in chunks of a byte', now => "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", drip => [ ("1\r\n \r\n") x 1000 ], least => $body_s, n => 40 },
	{ name => 'a body that stops', now => "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{\"vector\":", drip => '', least => $body_s, n => 40 },
	{ name => 'a body of a path that is not there', now => "POST /none HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", drip => $long, least => $body_s, n => 20 },
	{ name => 'nothing', drip => '', least => $header_s, n => 40 },
	# From libmicrohttpd 1.0 on the second of them ends the connection.
	{ name => 'empty lines', drip => [ ("\r\n") x 1000 ], least => library_is_strict($node) ? 0 : $header_s, n => 40 });
my @slow;

for my $kind (@kinds)
{
	for (1 .. $kind->{n})
	{
		my $began = time();
		my $c = client();
		$c->send($kind->{now}) if defined $kind->{now};
		my $drip = $kind->{drip};
		push @slow, { kind => $kind, client => $c, drip => ref $drip ? [@$drip] : [ split //, $drip ], began => $began };
	}
}
note scalar(@slow) . ' slow senders';

my ($served, $beside, $unserved, $worst) = (0, 0, 0, 0);
my $give_up = time() + $body_s + $slack_s;
my $drip_at = 0;

# A request as any client has it.  It connects anew, as the slow ones may keep this
# program for longer than a silent connection has.
sub ask
{
	my $began = time();
	my $answer = client()->request('POST', '/collections/lab/search', { vector => [ 1, 2, 3 ], k => 3 });
	$answer && $answer->{status} == 200 ? $served++ : $unserved++;
	# Those that do not end have to end by themselves.
	$beside++ if grep { !defined $_->{ended} && !IO::Select->new($_->{client}{socket})->can_read(0) } @slow;
	my $took = time() - $began;
	$worst = $took if $took > $worst;
}

while (time() < $give_up && grep { !defined $_->{ended} } @slow)
{
	my $dripping = time() >= $drip_at;
	my $sent = 0;

	$drip_at = time() + 0.1 if $dripping;
	for my $s (grep { !defined $_->{ended} } @slow)
	{
		my $socket = $s->{client}{socket};
		syswrite $socket, shift @{ $s->{drip} } if $dripping && @{ $s->{drip} };
		$s->{client}->more(time() + 0.0001) if IO::Select->new($socket)->can_read(0);
		$s->{ended} = time() - $s->{began} if $s->{client}{eof};
		ask() if ++$sent % 100 == 0;
	}
	ask();
}
is($unserved, 0, "a normal client is served all the while, $served times");
cmp_ok($beside, '>=', 3, sprintf '%d times while slow ones have time left, and waits %.0f ms at most', $beside, $worst * 1000);
for my $kind (@kinds)
{
	my @of = grep { $_->{kind} == $kind } @slow;
	my @early = grep { defined $_->{ended} && $_->{ended} < $kind->{least} - 0.1 } @of;
	my @late = grep { !defined $_->{ended} || $_->{ended} > $kind->{least} + $slack_s } @of;
	is(@early + @late, 0, "$kind->{name}: all $kind->{n} are closed at their deadline")
	  or diag(scalar(@early) . ' early, ' . scalar(@late) . ' late or never: ' . join ' ', map { sprintf '%.1f', $_->{ended} // -1 } (@early, @late)[0 .. 9]);
	next if !defined $kind->{now};
	my @told = grep { $_->{client}{in} =~ m{^HTTP/1\.1 (?:408|404) } } @of;
	is(scalar @told, scalar @of, "$kind->{name}: they are told so") or diag($of[0]{client}{in});
}
is(scalar(grep { $_->{client}{in} =~ m{^HTTP/1\.1 2} } @slow), 0, 'none of them was taken for a request');
cmp_ok(metric($node, 'vecdb_http_rejections_total{reason="deadline"}'), '>=', 300, 'they are counted');
cmp_ok(metric($node, 'vecdb_http_requests_total{status="408"}'), '>=', 200, 'also by status');
$_->{client}->close for @slow;

# --- a client that was refused and stays: its socket lingers a second, no longer
{
	my $pid = worker_pid($node, 'vecdb http front');
	my $files = sub { my @f = glob "/proc/$pid/fd/*"; return scalar @f };
	my $cpu = sub { open my $fh, '<', "/proc/$pid/stat" or die "stat: $!"; my @f = split ' ', <$fh> =~ s/.*\) //r; return $f[11] + $f[12] };
	my $before = $files->();
	my @refused = map { my $c = client(); $c->send("GET / HTTP/1.1\r\n\r\n"); $c } 1 .. 5;
	my @told = grep { ($_->answer(undef, 10) // {})->{status} == 400 } @refused;
	is(scalar @told, 5, 'five clients are refused, and keep their sockets');
	ok(wait_until(sub { $files->() <= $before }), 'the front has let go of theirs');
	my $used = $cpu->();
	sleep 2;
	$used = $cpu->() - $used;
	cmp_ok($used, '<', 100, "and does not turn round them: $used hundredths of a second in two");
	$_->close for @refused;
}

# --- idle connections
{
	my $c = client();
	my $began = time();
	$c->request('GET', '/health');
	ok($c->closed($idle_s + $slack_s), 'an idle connection is closed');
	my $took = time() - $began;
	cmp_ok($took, '>=', $idle_s - 0.1, sprintf 'after %.1f s', $took);
}

# --- readers that do not read
{
	$node->safe_psql('postgres', q{
		INSERT INTO collections.lab (id, data, metadata)
		SELECT 'big' || i, '[1,2,3]', jsonb_build_object('text', repeat(md5(i::text), 30000)) FROM generate_series(1, 20) i});
	my $c = VecdbHttp::Client->new($node->{http});
	setsockopt $c->{socket}, Socket::SOL_SOCKET(), Socket::SO_RCVBUF(), 4096;
	$c->send(VecdbHttp::Client::compose('POST', '/collections/lab/search', { vector => [ 1, 2, 3 ], k => 20, filter => { text => { '$exists' => JSON::PP::true } } }));
	ok(wait_until(sub { metric($node, 'vecdb_http_buffered_bytes') > 0 || metric($node, 'vecdb_http_requests_total{status="200"}') > 0 }), 'a client asks for 19 MB and reads nothing');
	my $answer = client()->request('GET', '/vectors/v1');
	is(($answer // {})->{status}, 200, 'others are served');
	is($c->{in}, '', 'while it waits');
	$c->close;

	# One that does read has it whole.
	$answer = call($node, 'POST', '/collections/lab/search', { vector => [ 1, 2, 3 ], k => 20, filter => { text => { '$exists' => JSON::PP::true } } });
	cmp_ok(length(($answer // {})->{body} // ''), '>', 19_000_000, 'a client that reads gets 19 MB');
	my $results = () = ($answer // {})->{body} =~ /"collection":"lab"\}/g;
	is($results, 20, 'and they are whole');
	like(substr($answer->{body}, -4), qr/\}\]\}\n/, 'to the end');
	ok(wait_until(sub { metric($node, 'vecdb_http_buffered_bytes') == 0 }), 'the front keeps none of it');

	# A small answer has the plain deadline: the socket's buffers take it all, so
	# what ends such a connection is that it is idle.
	$c = client();
	$c->send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n" x 20_000);
	ok(wait_until(sub { metric($node, 'vecdb_http_connections') <= 2 }, $body_s + $idle_s + $slack_s + 20), 'a client that pipelines and never reads is closed');
	$c->close;
}
is_kept(client(), 'and all goes on');
$node->stop;
done_testing();
