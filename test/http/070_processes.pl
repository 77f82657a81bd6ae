# 070_processes.pl
#	  What happens when a process is told to stop, or killed: to its own
#	  request, to those of others, and how soon it is back.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Time::HiRes qw(time);
use PostgreSQL::Test::Utils;
use VecdbHttp;

my $shutdown_s = 15;
my $node = http_node('processes', "vecdb.http_shutdown_timeout = ${shutdown_s}s\nrestart_after_crash = on\n", lab => 1);
my $wait_sql = 'SELECT pg_advisory_xact_lock(1)';

sub client { return VecdbHttp::Client->new($node->{http}) }

sub insert
{
	my ($id, $sql) = @_;

	return VecdbHttp::Client::compose('POST', '/vectors', { vectors => [ { id => $id, collection => 'lab', data => [ 1, 1, 1 ], metadata => { run => $sql } } ] });
}

# The executor that waits for the lock.
sub busy_executor
{
	my $pid;

	wait_until(sub {
		$pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'vecdb http executor%' AND wait_event_type = 'Lock' LIMIT 1});
		$pid ne ''
	});
	return $pid;
}

sub idle_executors
{
	my $m = metrics($node);

	return scalar grep { /^vecdb_http_executor_state\{.*state="idle"/ && $m->{$_} } keys %$m;
}

call($node, 'POST', '/vectors', { vectors => [ map { { id => "v$_", collection => 'lab', data => [ $_, 1, 2 ] } } 1 .. 20 ] });

# --- what pg_stat_activity tells of an executor is of its present request
{
	call($node, 'GET', '/vectors/v1') for 1 .. 4;
	my $before = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
	my $lock = hold_lock($node, 1);
	my $c = client();
	$c->send(insert('seen', $wait_sql));
	my $pid = busy_executor();
	is($node->safe_psql('postgres', qq{SELECT state, query_start > '$before', xact_start >= query_start, state_change >= query_start, query FROM pg_stat_activity WHERE pid = $pid}),
		'active|t|t|t|POST /vectors', 'a request that runs, and when it began');
	release_lock($lock);
	is($c->answer->{status}, 201, 'it ends');
	ok(wait_until(sub { $node->safe_psql('postgres', "SELECT state FROM pg_stat_activity WHERE pid = $pid") eq 'idle' }), 'and the executor is idle');
	is($node->safe_psql('postgres', qq{SELECT xact_start IS NULL, query_start > '$before', state_change > query_start, query FROM pg_stat_activity WHERE pid = $pid}),
		't|t|t|POST /vectors', 'since it ended');
}

# --- an executor, four ways
for my $way (
	[ 'SIGTERM', sub { kill 'TERM', $_[0] }, 503, '57P01', 1 ],
	[ 'pg_terminate_backend', sub { $node->safe_psql('postgres', "SELECT pg_terminate_backend($_[0])") }, 503, '57P01', 1 ],
	[ 'SIGINT', sub { kill 'INT', $_[0] }, 500, '57014', 0 ],
	[ 'pg_cancel_backend', sub { $node->safe_psql('postgres', "SELECT pg_cancel_backend($_[0])") }, 500, '57014', 0 ])
{
	my ($name, $do, $status, $code, $ends) = @$way;
	my $lock = hold_lock($node, 1);
	my ($c, $other) = (client(), client());
	my @before = executors($node);

	$c->send(insert('killed', $wait_sql));
	my $pid = busy_executor();
	my $lost = metric($node, 'vecdb_http_lost_total');
	my $told = time();
	$do->($pid);
	my ($good, $bad, $worst) = (0, 0, 0);
	my $answer;
	my $back;
	while (time() < $told + 180)
	{
		my $began = time();
		my $got = $other->request('POST', '/collections/lab/search', { vector => [ 1, 2, 3 ], k => 1 });
		$got && $got->{status} == 200 ? $good++ : $bad++;
		my $took = time() - $began;
		$worst = $took if $took > $worst;
		$answer //= $c->answer(undef, 0.05);
		next if !$answer;
		$back = time() - $told;
		last if idle_executors() == 2 && metric($node, 'vecdb_http_lost_total') == $lost + $ends;
	}
	is_error($answer, $status, qr/./, "$name: its request is answered", $code);
	is(($answer // {})->{headers}{'retry-after'}, $status == 503 ? 1 : undef, "$name: Retry-After") if $answer;
	is($bad, 0, "$name: others are served, $good times");
	note sprintf "$name: they wait %.0f ms at most", $worst * 1000;
	ok(defined $back, sprintf "$name: the executor is back after %.1f s", $back // -1);
	# If the others waited for that there would be one or two of them.
	cmp_ok($good, '>=', 3, "$name: others do not wait for that") if $ends;
	is(metric($node, 'vecdb_http_lost_total') - $lost, $ends, "$name: lost requests are counted");
	my %before = map { $_ => 1 } @before;
	my @same = grep { $before{$_} } executors($node);
	is(scalar @same, $ends ? 1 : 2, "$name: " . ($ends ? 'it is another process, the other executor is the same' : 'no process has ended'));
	is_kept($c, "$name: the connection is good");
	release_lock($lock);
	is(call($node, 'GET', '/vectors/killed')->{status}, 404, "$name: the request had no effect");
	is(call($node, 'GET', '/collections/lab')->{status}, 200, "$name: both executors serve") for 1 .. 4;
}

# An idle executor is told to end: nobody notices.
{
	my ($first, $second) = executors($node);
	kill 'TERM', $first;
	my $c = client();
	my $bad = 0;
	ok(wait_until(sub {
		my $answer = $c->request('GET', '/vectors/v1');
		$bad++ if !$answer || $answer->{status} != 200;
		my @now = executors($node);
		@now == 2 && $now[0] != $first && idle_executors() == 2
	}), 'an idle executor that ends is replaced');
	cmp_ok($bad, '<=', 1, 'and no request fails but one that it had just been given');

	# Both at once: requests wait until one is back.
	kill 'TERM', executors($node);
	my $began = time();
	my $answer = $c->request('GET', '/vectors/v1');
	# One that came to an executor just as it ended is told so, by each of the two at most.
	for (1 .. 2)
	{
		$answer = $c->request('GET', '/vectors/v1') if $answer && $answer->{status} == 503 && $answer->{body} =~ /57P01/;
	}
	is(($answer // {})->{status}, 200, sprintf 'with none there, a request waits for one: %.1f s', time() - $began);
	ok(wait_ready($node), 'both are back');
}

# --- the front
{
	my $front = worker_pid($node, 'vecdb http front');
	my @executors = executors($node);
	my $lock = hold_lock($node, 1);
	my $c = client();
	$c->send(insert('cut', $wait_sql));
	busy_executor();
	my $told = time();
	kill 'TERM', $front;
	ok(wait_until(sub { my $now = worker_pid($node, 'vecdb http front'); $now && $now != $front && eval { call($node, 'GET', '/vectors/v1')->{status} == 200 } }), 'a front that ends is replaced');
	my $took = time() - $told;
	note sprintf 'after %.1f s', $took;
	is_deeply([ executors($node) ], \@executors, 'executors go on, and attach to it');
	release_lock($lock);
	ok(wait_ready($node), 'all is as before');
	$c->close;
}

# --- a crash: PostgreSQL restarts every process
{
	same_json(call($node, 'POST', '/vectors', { vectors => [ { id => 'committed', collection => 'lab', data => [ 5, 5, 5 ] } ] }), 201, { ids => ['committed'] }, 'a vector is written, and the answer is out');
	my ($executor) = executors($node);
	my $front = worker_pid($node, 'vecdb http front');
	kill 'KILL', $executor;
	ok(wait_until(sub { my $now = worker_pid($node, 'vecdb http front'); $now && $now != $front }), 'SIGKILL of an executor: the server restarts');
	ok(wait_ready($node), 'and HTTP is back');
	is(call($node, 'GET', '/vectors/committed')->{status}, 200, 'what was answered was committed');
}

# --- shutdown; what would hold it up would do so for longer than pg_ctl waits
sub stop_in_background
{
	return IPC::Run::start([ 'pg_ctl', '-D', $node->data_dir, '-m', 'fast', '-t', '180', '-w', 'stop' ], '<', \undef, '>', \my $out, '2>&1');
}

{
	my ($running, $idle) = (client(), client());
	my @queued = map { client() } 1 .. 3;
	$idle->request('GET', '/health');
	# Work on both executors, and some behind it.  It waits for a session that the
	# shutdown ends, and then takes a moment.
	my $lock = hold_lock($node, 1);
	my $work = 'SELECT pg_advisory_xact_lock_shared(1), pg_sleep(3)';
	$running->send(insert('finished', $work));
	my $second = client();
	$second->send(insert('finished2', $work));
	ok(wait_until(sub { idle_executors() == 0 }), 'two requests run');
	$_->send(VecdbHttp::Client::compose('GET', '/vectors/v1')) for @queued;
	ok(wait_until(sub { metric($node, 'vecdb_http_queue_depth') == 3 }), 'three wait');
	my $half = client();
	$half->send("POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{");
	my $began = time();
	my $stop = stop_in_background();
	is_error($_->answer, 503, qr/shutting down/, 'a request that waits is told of the shutdown', '57P01') for @queued;
	my $answer = $running->answer;
	is(($answer // {})->{status}, 201, 'one that runs is finished');
	is(($answer // {})->{headers}{connection}, 'close', 'and its connection is closed');
	is(($second->answer // {})->{status}, 201, 'so is the other');
	ok($idle->closed, 'an idle connection is closed');
	$stop->finish;
	is($stop->result(0), 0, 'the server stops, whatever is half sent');
	note sprintf 'within %.1f s', time() - $began;
	eval { release_lock($lock) };
	$half->close;
	$node->{_pid} = undef;
	$node->start;
	ok(wait_ready($node), 'and starts again');
	is(call($node, 'GET', "/vectors/$_")->{status}, 200, "$_ is there") for qw(finished finished2);
}
{
	$node->append_conf('postgresql.conf', 'vecdb.http_shutdown_timeout = 1s');
	reload($node);
	my $c = client();
	$c->send(insert('endless', 'SELECT pg_sleep(600)'));
	ok(wait_until(sub { idle_executors() == 1 }), 'a request that would run for ten minutes');
	my $began = time();
	my $stop = stop_in_background();
	my $answer = $c->answer;
	ok(!$answer || $answer->{status} >= 500, 'is cancelled when the time for the shutdown is over') or diag($answer->{body});
	$stop->finish;
	is($stop->result(0), 0, 'the server stops');
	note sprintf 'within %.1f s', time() - $began;
	$node->{_pid} = undef;
	$node->start;
	ok(wait_ready($node), 'and starts again');
	is(call($node, 'GET', '/vectors/endless')->{status}, 404, 'it had no effect');
}

my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP:|signal 11|signal 6/, 'no process crashed by itself');
$node->stop;
done_testing();
