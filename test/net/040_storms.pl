# Frames that nobody should send, connections that say nothing, signals, and too
# few descriptors.  After each of them a stranger is still refused, and a good
# peer let in.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(min);
use Test::More;
use Time::HiRes qw(time usleep);
use VecdbNet;

my $frames = $ENV{VECDB_NET_FRAMES} // 100_000;
my $seed = $ENV{TEST_SEED} // 1;
my $a = new_node('a')->start;
my $b = new_node('b', bootstrap => $a)->start;

diag("seed $seed (TEST_SEED sets another)");
are_together('two nodes find each other', $a, $b);

my $worker = $a->worker_pid;
my $stranger = 1000;

# Another stranger each time: what one is told a second time is told less often.
sub doors_are_kept
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$stranger++;
	is(hostile($a, "--seed=$stranger", '--key=' . $a->curve_key, 'null', 'wrongkey', 'curve'), "null: refused\nwrongkey: refused\ncurve: let in\n",
		"$name: without CURVE, or with a wrong key, nobody is let in");
	like(hostile($a, "--seed=$stranger", 'ask', 'hello=good', 'ping'), qr/^ask: answered .*\nhello=good: welcome.*\nping: pong\n/, "$name: who greets well is welcome");
	$stranger++;
	like(hostile($a, "--seed=$stranger", '--key=' . $a->curve_key, 'hello=network'), qr/^hello=network: error 3 /,
		"$name: who is of another network is not");
	ok(wait_until(sub { $a->finds($b) == 1 }), "$name: the node works");
	is($a->worker_pid, $worker, "$name: it is the same process");
	return;
}

doors_are_kept('at first');

# Frames.  Where the node reads as fast as they come, libzmq's queues stay short, but for
# once when the node waited for the processor.  What one flood leaves behind would be
# there again after each of the next: 5 bytes of each frame.
my $offset = $a->log_length;
my $memory = $a->worker_memory;
my @settled;

sub flood
{
	my ($action, $name) = @_;
	my $received = $a->received;
	my $said = hostile($a, "--seed=$seed", '--wait=3000', 'hello=good', "$action=$frames", 'ping');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	diag($said =~ /^($action.*)/m);
	ok(($said =~ /^$action: (\d+) sent/m)[0] >= $frames, "$frames hostile frames are sent, $name");
	ok(wait_until(sub { $a->received - $received >= 0.9 * $frames }), 'nine tenths of them at least were read');
	doors_are_kept("after $frames frames, $name");
	push @settled, $a->worker_memory;
	return;
}

flood('paced', "flood $_") for 1 .. 3;
diag("memory: $memory kB at first, @settled after each flood");
cmp_ok($settled[0] - $memory, '<', 16_000, 'memory has grown by less than 16 MB with the first of them');
cmp_ok(min($settled[1] - $settled[0], $settled[2] - $settled[1]), '<', 500, 'and by less than 500 kB with one of the two others');

# A worker that gets little of the processor has up to 16 MB of a connection in
# libzmq's queues, 64 MB of all, which keep their memory; that is promised.
flood('frames', 'all at once');
cmp_ok($settled[3] - $memory, '<', 64_000, "memory has grown by less than 64 MB ($memory to $settled[3] kB)");
cmp_ok(length($a->log($offset)), '<', 20_000, 'the log has a few lines of it');

# Datagrams and TCP
like(hostile($a, "--seed=$seed", "datagrams=$frames"), qr/^datagrams: [1-9]\d* sent/, 'and as many datagrams');
doors_are_kept('after datagrams');
like(hostile($a, "--seed=$seed", 'raw=2000'), qr/^raw: 2000 of 2000 connected/, '2,000 connections with noise');
doors_are_kept('after connections with noise');
my $silent = hostile_start($a, qr/holding/, 'silent=300', 'hold');
doors_are_kept('beside 300 silent connections');
background_stop($silent);

# Signals, to all that a server's user may send them to, while peers ask
my $peers = hostile_start($a, qr/holding/, '--seed=601', 'peers=20', 'hold');
my $launcher = $a->launcher_pid;
my $end = time() + 4;
my $signals = 0;
while (time() < $end)
{
	kill $_, $worker, $launcher for qw(USR1 HUP);
	kill 'HUP', $a->pid if $signals % 200 == 0;
	$signals += 4;
	usleep(200);
}
diag("$signals signals");
doors_are_kept('after storms of SIGUSR1 and SIGHUP');
is($a->launcher_pid, $launcher, 'the launcher is the same process too');
background_stop($peers);

# Many peers
like(hostile($a, '--seed=602', 'peers=300'), qr/^peers: 300 of 300 welcome/, '300 peers at once are welcome');
doors_are_kept('after 300 peers');

# Few descriptors: it says what it needs, and works with that
my $few = new_node('few', bootstrap => $a, before => [ 'prlimit', '--nofile=300:300' ])->start;
ok($few->wait_log(qr/waits: the limit of open files is 300, .* it is too low by \d+/), 'a node with too few descriptors says so');
my ($needed) = $few->log =~ /connections of others need (\d+)/;
ok($few->wait_sql(q{SELECT state, reason ~ 'limit of open files' FROM vecdb.stat_workers WHERE kind = 'node'}, 'waiting|t'), 'also in vecdb.stat_workers');
is($few->sql('SELECT 1'), '1', 'the server works');
$few->stop;
$few->{before} = [ 'prlimit', '--nofile=' . join ':', ($needed + 40) x 2 ];
$few->start;
are_together('with as many as it asked for it runs', $few, $b);

# ... and with all of its connections taken
my $cpu;
my $holder = hostile_start($few, qr/holding/, '--seed=603', 'silent=1500', 'hold');
$cpu = $few->worker_cpu;
my $began = time();
ok(wait_until(sub { time() - $began > 3 && $few->finds($b) == 1 }), 'beside 1,500 silent connections it works');
cmp_ok($few->worker_cpu - $cpu, '<', 0.5 * (time() - $began), 'and does not spin');
like(background_stop($holder), qr/^silent: 1500 of 1500 connected/, 'they were');
ok(wait_until(sub { hostile($few, '--seed=604', 'hello=good', 'ping') =~ /welcome.*\nping: pong/ }), 'when they are gone others are welcome');

for my $node ($a, $b, $few)
{
	$node->is_sound;
	is($node->count_log(qr/"vecdb node (?!launcher).*exited/), 0, "$node->{name}: its worker has not ended");
}
done_testing;
