# 050_clients.pl
#	  Many clients: who waits for whom, what a full queue says, what happens to
#	  the query of a client that hangs up, and what connections cost.
use strict;
use warnings;

# A thousand sockets are more than a process usually may have.
BEGIN
{
	if (!$ENV{VECDB_HTTP_MANY})
	{
		$ENV{VECDB_HTTP_MANY} = 1;
		exec 'sh', '-c', 'ulimit -S -n 4096 && exec "$@"', 'sh', $^X, $0 or die "could not run sh: $!\n";
	}
}

use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Time::HiRes qw(time);
use VecdbHttp;

my $node = http_node('clients', '', lab => 1);
my $slow_sql = 'SELECT pg_advisory_xact_lock(1)';
my $slow = { vectors => [ { id => 'slow', collection => 'lab', data => [ 3, 2, 1 ], metadata => { run => $slow_sql } } ] };

sub waiting
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'vecdb http executor%' AND wait_event_type = 'Lock'});
}

sub client { return VecdbHttp::Client->new($node->{http}) }

call($node, 'POST', '/vectors', { vectors => [ map { { id => "v$_", collection => 'lab', data => [ $_, 1, 2 ] } } 1 .. 50 ] });

# --- 200 clients, 2 executors, a slow query
{
	my $lock = hold_lock($node, 1);
	my @clients = map { client() } 1 .. 200;
	my $first = shift @clients;
	my $worst = 0;
	my ($good, $rounds) = (0, 10);

	$first->send(VecdbHttp::Client::compose('POST', '/vectors', $slow));
	ok(wait_until(sub { waiting() == 1 }), 'one of 200 clients has a slow query running');
	for my $round (1 .. $rounds)
	{
		my $began = time();
		for my $i (0 .. $#clients)
		{
			my @request = $i % 3 == 0 ? ('GET', "/vectors/v" . ($i % 50 + 1)) : $i % 3 == 1 ? ('POST', '/collections/lab/search', { vector => [ $i, 1, 2 ], k => 3 }) :
			  ('POST', '/vectors', { vectors => [ { id => "w$i", collection => 'lab', data => [ $i, $round, 1 ] } ] });
			$clients[$i]->send(VecdbHttp::Client::compose(@request));
		}
		for my $i (0 .. $#clients)
		{
			my $answer = $clients[$i]->answer;
			$good++ if $answer && $answer->{status} == ($i % 3 == 2 ? 201 : 200);
		}
		my $took = time() - $began;
		$worst = $took if $took > $worst;
	}
	is($good, $rounds * 199, 'the other 199 have all their answers, over and over');
	is(waiting(), 1, 'while it still runs');
	is($first->{in}, '', 'and is not answered');
	note sprintf 'a round of 199 requests took %.0f ms at most', $worst * 1000;
	release_lock($lock);
	is(($first->answer // {})->{status}, 201, 'then it is');
	my $open = metric($node, 'vecdb_http_connections');
	cmp_ok($open, '>=', 200, 'none of them was closed');
	$_->close for @clients, $first;
	ok(wait_until(sub { metric($node, 'vecdb_http_connections') <= 1 }), 'those that close are forgotten');
}

# --- one name for two
{
	my $maker = hold_sql($node, q{BEGIN; SELECT vecdb.create_collection('common', 2); GRANT ALL ON collections.common TO vecdb_anon});
	my ($filler, $maker2) = map { client() } 1 .. 2;
	$filler->send(VecdbHttp::Client::compose('POST', '/vectors', { vectors => [ { id => 'a', data => [ 1, 2 ], collection => 'common' }, { id => 'b', data => [ 1, 2 ], collection => 'another' } ] }));
	$maker2->send(VecdbHttp::Client::compose('POST', '/collections', { name => 'common', dimensions => 2 }));
	ok(wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'vecdb http executor%' AND wait_event_type = 'Lock'}) == 2 }),
		'two requests wait for a name that a third is about to take');
	release_lock($maker, 'COMMIT');
	same_json($filler->answer, 201, { ids => [qw(a b)] }, 'who wanted to fill the collection does');
	is_error($maker2->answer, 409, qr/^collection "common" already exists$/, 'who wanted to make it is told');

	# Two names, each first in another request
	my @crossed = map { client() } 1 .. 2;
	my ($good, $rounds) = (0, 20);
	for my $round (1 .. $rounds)
	{
		for my $i (0, 1)
		{
			my @vectors = map { { id => 'x', data => [ 1, 2 ], collection => "cross${_}_$round" } } $i ? (1, 2) : (2, 1);
			$crossed[$i]->send(VecdbHttp::Client::compose('POST', '/vectors', { vectors => \@vectors }));
		}
		$good++ for grep { $_ && $_->{status} == 201 } map { $_->answer } @crossed;
	}
	is($good, 2 * $rounds, 'two requests that make the same two collections at once both succeed');
	$_->close for $filler, $maker2, @crossed;
}

# --- a collection is dropped while requests go through all of them
{
	my @asking = map { client() } 1 .. 2;
	my $ask = sub {
		$asking[0]->send(VecdbHttp::Client::compose('GET', '/vectors/stays'));
		$asking[1]->send(VecdbHttp::Client::compose('POST', '/search', { vector => [ 1, 2, 3, 4, 5 ] }));
	};
	my @vectors = map { { id => $_, data => [ 1, 2, 3, 4, 5 ], collection => "a_$_" } } qw(goes stays);

	is(call($node, 'POST', '/vectors', { vectors => \@vectors })->{status}, 201, 'two collections');
	for (1 .. 10)
	{
		$ask->();
		$_->answer for @asking;
	}
	my $dropper = hold_sql($node, 'BEGIN; LOCK TABLE collections.a_goes IN ACCESS EXCLUSIVE MODE');
	$ask->();
	ok(wait_until(sub { waiting() == 2 }), 'two requests wait for one of them');
	release_lock($dropper, 'DROP TABLE collections.a_goes; COMMIT');
	my @answers = map { $_->answer } @asking;
	is_deeply(decode($answers[0]{body})->{collection}, 'a_stays', 'who looks for a vector finds it in the other') or diag($answers[0]{body});
	is_deeply([ map { $_->{id} } @{ decode($answers[1]{body})->{results} // [] } ], ['stays'], 'who searches has what is there') or diag($answers[1]{body});
	$_->close for @asking;
}

# --- a full queue
{
	$node->append_conf('postgresql.conf', 'vecdb.http_max_queue = 5');
	reload($node);
	my $lock = hold_lock($node, 1);
	my @running = map { client() } 1 .. 2;
	$_->send(VecdbHttp::Client::compose('POST', '/vectors', $slow)) for @running;
	ok(wait_until(sub { waiting() == 2 }), 'both executors are busy');
	my @queued = map { client() } 1 .. 5;
	$_->send(VecdbHttp::Client::compose('GET', '/collections/lab')) for @queued;
	ok(wait_until(sub { metric($node, 'vecdb_http_queue_depth') == 5 }), 'five requests wait');
	my $refused = client();
	my $before = metric($node, 'vecdb_http_rejections_total{reason="queue"}');
	my $answer = $refused->request('GET', '/collections/lab');
	is_error($answer, 503, qr/too many requests are waiting/, 'one more is told so', '53400');
	is(($answer // {})->{headers}{'retry-after'}, 1, 'and when to try again');
	is(metric($node, 'vecdb_http_rejections_total{reason="queue"}'), $before + 1, 'it is counted');
	is(metric($node, 'vecdb_http_executor_state{executor="1",state="busy"}'), 1, 'executors are shown as busy');
	is_kept($refused, 'its connection is good');
	is(ask_admin($node, '/ready')->{status}, 200, 'the admin port answers');
	is(ask_admin($node, '/metrics')->{status}, 200, 'so it does for metrics');
	is(waiting(), 2, 'without an executor, for both are busy still');
	release_lock($lock);
	is_deeply([ map { ($_->answer // {})->{status} // 'none' } @running, @queued ], [ 201, 201, (200) x 5 ], 'those that wait are served in the end');
	is($refused->request('GET', '/collections/lab')->{status}, 200, 'and so is who tries again');
	$_->close for @running, @queued, $refused;
}

# --- clients that hang up
{
	my $lock = hold_lock($node, 1);
	my $before = metric($node, 'vecdb_http_cancelled_total');
	my @executors = executors($node);
	my $c = client();
	$c->send(VecdbHttp::Client::compose('POST', '/vectors', { vectors => [ { id => 'gone', collection => 'lab', data => [ 1, 1, 1 ], metadata => { run => $slow_sql } } ] }));
	ok(wait_until(sub { waiting() == 1 }), 'a query runs');
	$c->close;
	ok(wait_until(sub { waiting() == 0 }), 'its client hangs up: it is cancelled');
	ok(wait_until(sub { metric($node, 'vecdb_http_cancelled_total') == $before + 1 }), 'and counted');

	$c = client();
	$c->send(VecdbHttp::Client::compose('POST', '/vectors', $slow));
	ok(wait_until(sub { waiting() == 1 }), 'another runs');
	setsockopt $c->{socket}, Socket::SOL_SOCKET(), Socket::SO_LINGER(), pack('ii', 1, 0);
	$c->close;
	ok(wait_until(sub { waiting() == 0 }), 'its client resets the connection: cancelled, too');

	# queued ones never run
	my @running = map { client() } 1 .. 2;
	$_->send(VecdbHttp::Client::compose('POST', '/vectors', $slow)) for @running;
	ok(wait_until(sub { waiting() == 2 }), 'two that run');
	$c = client();
	$c->send(VecdbHttp::Client::compose('POST', '/vectors', { vectors => [ { id => 'queued', collection => 'lab', data => [ 1, 1, 1 ] } ] }));
	ok(wait_until(sub { metric($node, 'vecdb_http_queue_depth') == 1 }), 'and one that waits');
	$c->close;
	ok(wait_until(sub { metric($node, 'vecdb_http_queue_depth') == 0 }), 'its client hangs up: it leaves the queue');
	release_lock($lock);
	is(($_->answer // {})->{status}, 201, 'the others are not touched by it') for @running;
	is(call($node, 'GET', "/vectors/$_")->{status}, 404, "what it wanted to write is not there: $_") for qw(gone queued);
	is_deeply([ executors($node) ], \@executors, 'executors go on');

	# Clients that hang up at once, over and over: who comes next is not hit by a
	# cancel that was meant for them.
	my $bad = 0;
	my $steady = client();
	for my $i (1 .. 300)
	{
		my $hasty = client();
		$hasty->send(VecdbHttp::Client::compose('POST', '/collections/lab/search', { vector => [ 1, 2, 3 ], exact => JSON::PP::true }));
		$hasty->close if $i % 2;
		my $answer = $steady->request('POST', '/collections/lab/search', { vector => [ 1, 2, 3 ], k => 1 });
		$bad++ if !$answer || $answer->{status} != 200;
		$hasty->close;
	}
	is($bad, 0, 'a client beside 300 that hang up has all its answers');
	$_->close for @running, $steady;
	ok(wait_until(sub { metric($node, 'vecdb_http_connections') <= 1 }), 'no connection is left behind');
}

# --- a thousand idle connections
{
	my $front = worker_pid($node, 'vecdb http front');
	my $before = memory_kb($front);
	my @idle = map { client() } 1 .. 1000;
	my $good = grep { my $answer = $_->request('GET', '/vectors/v1'); $answer && $answer->{status} == 200 } @idle;
	is($good, 1000, 'a thousand connections, each served once');
	my $cost = memory_kb($front) - $before;
	# 63 kB each for what a client may send, as src/http/README.md has it, and our own
	cmp_ok($cost, '<', 68 * 1024, "cost the front $cost kB");
	cmp_ok(metric($node, 'vecdb_http_connections'), '>=', 1000, 'they are all open');
	is_kept($idle[$_], 'one of them goes on') for 0, 500, 999;
	$_->close for @idle;
	ok(wait_until(sub { metric($node, 'vecdb_http_connections') <= 1 }), 'and all are closed');
}

# --- limits of connections
{
	$node->append_conf('postgresql.conf', "vecdb.http_max_connections = 50\nvecdb.http_max_connections_per_address = 0");
	my $log = -s $node->logfile;
	reload($node);
	ok(VecdbTest::wait_for_line($node, qr/HTTP listens on/, $log), 'a smaller limit of connections after a reload');
	my @some = map { client() } 1 .. 50;
	$_->request('GET', '/health') for @some[0 .. 48];
	my $answer = client()->request('GET', '/health');
	my $next = client();
	$answer = $next->request('GET', '/health');
	is(($answer // {})->{body}, 'OK', 'at the limit, a new connection is served');
	ok($some[0]->closed, 'the one idle for longest made room');
	is_kept($some[48], 'the one used last is open');
	$_->close for @some, $next;

	$node->append_conf('postgresql.conf', "vecdb.http_max_connections = 500\nvecdb.http_max_connections_per_address = 10");
	$log = -s $node->logfile;
	reload($node);
	ok(VecdbTest::wait_for_line($node, qr/HTTP listens on/, $log), 'a limit for each address');
	@some = map { client() } 1 .. 10;
	is(scalar(grep { ($_->request('GET', '/health') // {})->{status} } @some), 10, 'ten connections of one address');
	$next = client();
	$next->send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
	ok(!$next->answer(undef, 10), 'the eleventh is not served');
	my $other = VecdbHttp::Client->new($node->{http}, LocalAddr => '127.0.0.2');
	is_kept($other, 'another address is');
	$some[0]->close;
	ok(wait_until(sub { my $c = client(); my $got = $c->request('GET', '/health'); $c->close; $got }), 'when one has closed, there is room');
}

$node->stop;
done_testing();
