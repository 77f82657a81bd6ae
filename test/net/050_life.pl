# A node's database or extension goes while peers are connected and sessions ask;
# processes are killed; servers stop, whatever they are about.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Time::HiRes 'time';
use VecdbNet;

my $port = free_port();
my $a = new_node('a')->start;
my $b = new_node('b', bootstrap => $a, conf => { 'vecdb.node_databases' => "postgres, second:$port" })->start;
my $c = new_node('c', bootstrap => $a)->start;

are_together('three nodes find each other', $a, $b, $c);

# A statement of b's.  PostgreSQL itself gives those connected with a database five
# seconds to leave it, and fails after that; what takes longer than the bound here
# waits for something that does not come.
sub does
{
	my ($name, $sql) = @_;
	my $began = time();
	my ($status, undef, $error) = $b->try_sql($sql, 'postgres');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($status, 0, $name) or diag($error);
	diag(sprintf '%s: %.1f s', $name, time() - $began);
	return;
}

sub second_runs
{
	return $b->wait_sql(q{SELECT state FROM vecdb.stat_workers WHERE database = 'second'}, 'running');
}

# Databases, with peers connected to their nodes
$b->sql('CREATE DATABASE second');
$b->sql('CREATE EXTENSION vecdb', 'second');
ok(second_runs(), 'a second database is a node of its own');
my $second = bless { %$b, port => $port }, ref $b;
my $peers = hostile_start($second, qr/^peers: 100 of 100 welcome.*holding/s, '--seed=70', 'peers=100', 'hold');
my $id = $b->sql('SELECT vecdb.node_id()', 'second');
does('CREATE DATABASE with that one as its template', 'CREATE DATABASE third TEMPLATE second');
ok(second_runs(), 'its node is back');
is($b->sql('SELECT vecdb.node_id()', 'second'), $id, 'as who it was');
does('ALTER DATABASE RENAME', 'ALTER DATABASE second RENAME TO fourth');
ok($b->wait_sql(q{SELECT state, reason FROM vecdb.stat_workers WHERE database = 'second'}, 'down|the database does not exist'), 'its node has gone with the name');
does('ALTER DATABASE RENAME back', 'ALTER DATABASE fourth RENAME TO second');
ok(second_runs(), 'and is back with it');
is($b->sql('SELECT vecdb.node_id()', 'second'), $id, 'as who it was');
does('DROP DATABASE', 'DROP DATABASE second');
does('another that is no node', 'DROP DATABASE third');
is($b->finds($a, $c), 2, 'the other node of that server works');
background_stop($peers);

# The extension, with peers connected and sessions that ask
$peers = hostile_start($b, qr/^peers: 100 of 100 welcome.*holding/s, '--seed=71', 'peers=100', 'hold');
my @sessions = map { session_start($b, "SELECT count(*) FROM vecdb.lookup('" . $_->id . "')") } $a, $c, $a, $c;
does('DROP EXTENSION', 'DROP EXTENSION vecdb CASCADE');
ok(wait_until(sub { $a->finds($b) == 0 }), 'the node is gone from the network');
background_stop($_) for @sessions;
does('CREATE EXTENSION', 'CREATE EXTENSION vecdb');
are_together('with the extension the node is back, and found', $a, $b, $c);
background_stop($peers);

# Processes are killed, while sessions ask
@sessions = map { session_start($b, "SELECT count(*) FROM vecdb.lookup('" . $_->id . "')") } $a, $c;
my $worker = $b->worker_pid;
kill 'TERM', $worker;
ok(wait_until(sub { my $now = $b->worker_pid; $now && $now != $worker }), 'a worker that was told to end begins again');
are_together('and works', $a, $b, $c);
my $launcher = $b->launcher_pid;
$worker = $b->worker_pid;
kill 'TERM', $launcher;
ok(wait_until(sub { my $now = $b->launcher_pid; $now && $now != $launcher }), 'so does the launcher');
is($b->worker_pid, $worker, 'which leaves the worker alone');
background_stop($_) for @sessions;
$b->is_sound('nothing has crashed so far');
kill 'KILL', $b->worker_pid;
ok(wait_until(sub { my $now = $b->worker_pid; $now && $now != $worker }), 'a killed worker restarts the server, as any process would');
are_together('and all is well after', $a, $b, $c);

# Stop a server; how long that takes.
sub stop_time
{
	my ($node, $mode) = @_;
	my $began = time();

	$node->stop($mode);
	return time() - $began;
}

# Stop, with a hundred peers connected and sessions that ask.  Nobody leaves by
# himself; all of it has to take as long as with a server that is no node, to which
# the processor may be as busy.
my @took;
for my $case ([ $a, 'fast' ], [ $c, 'fast' ], [ $b, 'immediate' ])
{
	my ($node, $mode) = @$case;
	my $crowd = hostile_start($node, qr/^peers: 100 of 100 welcome.*holding/s, '--seed=72', 'peers=100', 'hold');
	my @asking = map { session_start($node, "SELECT count(*) FROM vecdb.lookup(repeat('$_', 64))") } 1 .. 4;
	my $offset = $node->log_length;

	push @took, [ "$node->{name}: $mode shutdown", stop_time($node, $mode) ];
	like($node->log($offset), qr/database system is shut down/, 'and is complete');
	background_stop($_) for @asking, $crowd;
}
$a->start;
push @took, [ 'a smart one, which does not wait for nodes', stop_time($a, 'smart') ];
$a->set('vecdb.node_databases' => '');
$a->start;
my $usual = stop_time($a, 'fast');
cmp_ok($_->[1], '<', 5 + 20 * $usual, sprintf '%s: %.2f s, %.2f s without a node', @$_, $usual) for @took;
$_->is_sound for $a, $c;
done_testing;
