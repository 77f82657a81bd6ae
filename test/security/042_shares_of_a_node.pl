# A role of SQL that takes as much of a node as it can: places for shared
# collections, by inviting and by joins that come to nothing; places for requests;
# lookups.  Others must find room, and what came to nothing must be given back.
use strict;
use warnings;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;

my $a = new_peer('shares', conf => 'vecdb.max_shared_collections_per_role = 3');
my $b = new_peer('giver', bootstrap => [$a]);
ok(wait_until(sub { running($a) && running($b) && peers_of($a) == 1 && peers_of($b) == 1 }), 'two nodes meet');

sub sql
{
	my ($query) = @_;

	return $a->safe_psql('postgres', $query);
}

# What a role of SQL gets: rows, or the error.
sub as_role
{
	my ($role, $query) = @_;
	my ($rc, $out, $err) = $a->psql('postgres', $query, extra_params => [ '-U', $role ]);

	return $rc == 0 ? $out : $err;
}

sub worker_of
{
	my ($node) = @_;

	return $node->safe_psql('postgres', q{SELECT pid FROM vecdb.stat_workers WHERE database = 'postgres'});
}

# Processes that are stopped are set going again, whatever happens.
my %stopped;

sub stop_process
{
	my ($pid) = @_;

	$stopped{$pid} = 1;
	return kill 'STOP', $pid;
}

sub continue_process
{
	my ($pid) = @_;

	delete $stopped{$pid};
	return kill 'CONT', $pid;
}

END
{
	local $?;
	kill 'CONT', keys %stopped if %stopped;
}

sql(q{
	CREATE ROLE greedy LOGIN; CREATE ROLE other LOGIN; CREATE ROLE heir LOGIN; GRANT heir TO greedy;
	GRANT USAGE, CREATE ON SCHEMA collections TO greedy, other, heir;
	GRANT USAGE ON SCHEMA vecdb TO greedy, other;
	GRANT pg_monitor TO greedy, other});

# Sharing
as_role('greedy', "SELECT vecdb.create_collection('g$_', 2)") for 1 .. 5;
like(as_role('greedy', "SELECT vecdb.invite('g$_')"), qr/^vecdb1:/, "a role shares collection $_") for 1 .. 3;
my $limit = qr/ERROR:  role "greedy" has 3 shared collections, and vecdb\.max_shared_collections_per_role is 3.*DETAIL:.*HINT:.*vecdb\.leave\(\)/s;
like(as_role('greedy', q{SELECT vecdb.invite('g4')}), $limit, 'and no more than its share, which the error tells');
like(as_role('greedy', q{SELECT vecdb.invite('g3')}), qr/^vecdb1:/, 'to what it shares it still invites');
like(($a->psql('postgres', q{SELECT vecdb.invite('g4')}))[2], $limit, 'a superuser who invites to its table does so for it');
as_role('other', q{SELECT vecdb.create_collection('o1', 2)});
like(as_role('other', q{SELECT vecdb.invite('o1')}), qr/^vecdb1:/, 'another role has its own share');
sql("SELECT vecdb.create_collection('s$_', 2)"), like(sql("SELECT vecdb.invite('s$_')"), qr/^vecdb1:/, "a superuser has none to exceed ($_)") for 1 .. 4;

like(as_role('greedy', q{SELECT vecdb.leave('g1')}), qr/^$/, 'what is left');
ok(wait_until(sub { as_role('greedy', q{SELECT vecdb.invite('g4')}) =~ /^vecdb1:/ }), '... makes room');
sql('DROP TABLE collections.g2');
like(as_role('greedy', q{SELECT vecdb.invite('g1')}), qr/^vecdb1:/, 'so does what is dropped, at once');
like(as_role('greedy', q{SELECT vecdb.invite('g5')}), $limit, 'room for one');
as_role('greedy', 'ALTER TABLE collections.g1 OWNER TO heir');
like(as_role('greedy', q{SELECT vecdb.invite('g5')}), qr/^vecdb1:/, 'a collection counts for who owns its table now');
as_role('greedy', 'ALTER TABLE collections.g1 OWNER TO greedy');
like(as_role('greedy', q{SELECT vecdb.invite('g3')}), qr/^vecdb1:/, 'who has more than its share keeps what it has');
$a->append_conf('postgresql.conf', 'vecdb.max_shared_collections_per_role = 5');
$a->reload;
as_role('greedy', q{SELECT vecdb.create_collection('g6', 2)});
ok(wait_until(sub { as_role('greedy', q{SELECT vecdb.invite('g6')}) =~ /^vecdb1:/ }), 'the limit can be raised while the server runs');

# Joins that come to nothing
as_role('greedy', "SELECT vecdb.leave('g$_')") for 1, 3, 4, 5, 6;
my $held_by = sub { return sql("SELECT count(*) FROM vecdb.shared_collection WHERE \"table\" IS NULL AND NOT leaving AND role = '$_[0]'::regrole") };
my @invitation = map {
	$b->safe_psql('postgres', "SELECT vecdb.create_collection('t$_', 2)");
	$b->safe_psql('postgres', "SELECT vecdb.invite('t$_')")
} 1 .. 6;
ok(wait_until(sub { sql(q{SELECT count(*) FROM vecdb.shared_collection WHERE leaving} ) eq '0' }), 'collections are left');
is(as_role('greedy', "BEGIN; SELECT vecdb.join('$invitation[$_ - 1]'); ROLLBACK"), "collections.t$_", "a join is rolled back ($_)") for 1 .. 5;
is($held_by->('greedy'), '5', 'the node is a member all the same');
like(as_role('greedy', "SELECT vecdb.join('$invitation[5]')"), qr/role "greedy" has 5 shared collections/, 'which counts for who has joined');
is(as_role('other', "SELECT vecdb.join('$invitation[5]')"), 'collections.t6', 'the invitation that was refused is still good, for another');

# Their time is up: the worker must give back those that nobody is about to bind
my $worker = worker_of($a);
stop_process($worker);
sql(q{UPDATE vecdb.shared_collection SET since = since - interval '10 minutes' WHERE "table" IS NULL});
my $locker = $a->background_psql('postgres', on_error_stop => 0);
$locker->query_safe(q{BEGIN; SELECT name FROM vecdb.shared_collection WHERE name = 't1' FOR UPDATE});
continue_process($worker);
ok(wait_until(sub { $held_by->('greedy') eq '1' }), 'joins that came to nothing are given back, but for the one that a transaction holds');
$locker->query_safe('COMMIT');
$locker->quit;
ok(wait_until(sub { $held_by->('greedy') eq '0' }), 'and that one when the transaction ends without a table');
is(as_role('greedy', "SELECT vecdb.join('$invitation[1]')"), 'collections.t2', 'the same invitation is still good');
is(sql(q{SELECT count(*) FROM vecdb.members('t2')}), '2', 'and makes a member');

# Places for requests: the worker answers nobody for a while
$worker = worker_of($a);
stop_process($worker);
my $under_way = sub { return sql("SELECT count(*) FROM pg_stat_activity WHERE usename = '$_[0]' AND state = 'active' AND query LIKE '%vecdb.lookup%' AND wait_event = 'Extension'") };
my (@clients, @answers);

sub ask
{
	my ($role) = @_;
	my $id = sprintf '%064x', 1 + int rand 1 << 30;

	push @answers, { role => $role };
	local $ENV{PGUSER} = $role;
	push @clients, start_psql($a, $answers[-1], "SELECT * FROM vecdb.lookup('$id')");
	return;
}
my $seed = time;
srand $seed;
note "seed $seed";
ask('greedy') for 1 .. 14;
ok(wait_until(sub { $under_way->('greedy') eq '14' }), 'a role has fourteen requests under way');
like( as_role('greedy', q{SELECT count(*) FROM vecdb.stat_peers}),
	qr/ERROR:  the node is busy.*DETAIL:  Role "greedy" has 14 requests under way, and 18 of the node's 32 places are free.*HINT/s,
	'and no more: it leaves as many to others');
ask('other') for 1 .. 7;
ok(wait_until(sub { $under_way->('other') eq '7' }), 'another role has half of what is left');
ask(scalar getpwuid $<);
ok(wait_until(sub { $under_way->(scalar getpwuid $<) eq '1' }), 'and there is a place for a superuser');

# Lookups, which are fewer than places, wait for a node that does not answer
my $other_worker = worker_of($b);
stop_process($other_worker);
continue_process($worker);
$_->finish for @clients;
continue_process($other_worker);
my %refused;
foreach my $answer (@answers)
{
	$refused{ $answer->{role} } //= 0;
	$refused{ $answer->{role} }++ if $answer->{err} =~ /the node is busy/;
	ok($answer->{err} eq '' || $answer->{err} =~ /the node is busy.*\n.*Too many lookups/, "$answer->{role} is answered") or diag $answer->{err};
}
cmp_ok($refused{greedy}, '>=', 8, "of one role's fourteen lookups at most six are made at a time");
cmp_ok($refused{other}, '<', 7, 'another role has some too');
is($refused{ scalar getpwuid $< }, 0, 'and a superuser its own');
ok(wait_until(sub { as_role('greedy', q{SELECT count(*) FROM vecdb.stat_peers}) =~ /^\d+$/ }), 'places are free again');

# Who goes away keeps the place until what it asked of the network has ended
stop_process($other_worker);
my $counted = 0;
for (my $try = 0; $try < 20 && !$counted; $try++)
{
	@clients = @answers = ();
	stop_process($worker);
	ask('greedy') for 1 .. 6;
	wait_until(sub { $under_way->('greedy') eq '6' });
	continue_process($worker);
	# who asks last is answered when the lookups of all have begun
	sql(q{SELECT count(*) FROM vecdb.stat_peers; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'greedy'});
	# a lookup ends after three seconds: on a busy machine it may be over by now
	$counted = as_role('greedy', q{SELECT * FROM vecdb.lookup(repeat('0b', 32))}) =~ /Too many lookups/;
	$_->finish for @clients;
}
ok($counted, 'lookups count also when who asked for them has gone');
continue_process($other_worker);
ok(wait_until(sub { as_role('greedy', 'SELECT * FROM vecdb.lookup(' . "repeat('0b', 32))") eq '' }), 'until they have ended');

# What all databases of a server replicate
SKIP:
{
	skip 'hundreds of collections: LONG=1', 2 unless $ENV{LONG};
	$a->append_conf('postgresql.conf', 'vecdb.max_shared_collections_per_role = 1000');
	$a->reload;
	my ($n, $answer) = (0, 'vecdb1:');
	while ($answer =~ /^vecdb1:/ && $n < 1024)
	{
		$n++;
		as_role('heir', "SELECT vecdb.create_collection('h$n', 2)");
		$answer = as_role('heir', "SELECT vecdb.invite('h$n')");
	}
	like($answer, qr/ERROR:  this server replicates no more collections of this role.*DETAIL:.*HINT:.*vecdb\.leave\(\)/s, 'a role does not take all that the server replicates');
	note("refused after $n");
	as_role('other', q{SELECT vecdb.create_collection('o_last', 2)});
	like(as_role('other', q{SELECT vecdb.invite('o_last')}), qr/^vecdb1:/, 'another still shares');
}

my $log = slurp_file($a->logfile);
unlike($log, qr/PANIC|terminated by signal|server process .* was terminated/, 'nothing has crashed');
$_->stop for $a, $b;
done_testing();
