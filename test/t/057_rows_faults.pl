# Three servers that share a collection, and what may happen to one of them: processes
# are killed, rows are locked, transactions sleep.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my @all = share_docs(conf => "max_prepared_transactions = 2\nrestart_after_crash = on",
	rows => q{SELECT 'a' || i, ARRAY[i, 0, 1]::vector, jsonb_build_object('i', i) FROM generate_series(1, 100) i});
my ($a, $b, $c) = @all;

all_equal(\@all, 'the rows that were there are copied', 100);

# Crashes of servers
for my $node (@all)
{
	my $name = $node->name;

	sql($node, "INSERT INTO collections.docs (id, data) SELECT 'crash_$name' || i, ARRAY[i, 3, 3]::vector FROM generate_series(1, 100) i");
	$node->stop('immediate');
	ok(start_peer($node), "$name comes back after a crash");
}
all_equal(\@all, 'no committed row was lost', 400);

# A commit that is not on disk yet is told to nobody
sql($b, q{SET synchronous_commit = off; INSERT INTO collections.docs (id, data) SELECT 'async' || i, ARRAY[i, 4, 4]::vector FROM generate_series(1, 50) i});
$b->stop('immediate');
ok(start_peer($b), 'b comes back after a crash with synchronous_commit off');
all_equal(\@all, 'what it lost nobody has, what it kept everybody');
sql($b, q{INSERT INTO collections.docs (id, data) SELECT 'after' || i, ARRAY[i, 5, 5]::vector FROM generate_series(1, 50) i});
all_equal(\@all, 'its next life begins anew');

# kill -9 of processes: the server begins anew, and goes on
for my $kind ('vecdb node', 'vecdb apply', 'vecdb snapshots')
{
	my $pid;

	wait_until(sub { $pid = sql($c, "SELECT pid FROM pg_stat_activity WHERE backend_type = '$kind' LIMIT 1") });
	ok($pid, "there is a process \"$kind\"");
	kill 'KILL', $pid;
	ok(wait_until(sub { my ($rc) = $c->psql('postgres', 'SELECT 1'); $rc == 0 && running($c) }), 'its end does not end the server');
	sql($a, "INSERT INTO collections.docs (id, data) VALUES ('killed $kind', '[1,2,3]')");
	all_equal(\@all, "rows travel after the end of \"$kind\"");
}

# A session that is killed in the midst of writing
my %out;
my $writer = start_psql($a, \%out, q{INSERT INTO collections.docs (id, data) SELECT 'never' || i, '[1,1,1]' FROM generate_series(1, 1000) i, pg_sleep(0.01)});
wait_until(sub { sql($a, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT%never%' AND pid <> pg_backend_pid()}) eq '1' });
sql($a, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'INSERT%never%' AND pid <> pg_backend_pid()});
eval { $writer->finish };
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('next', '[1,2,3]')});
arrives_within(\@all, 'next', 'rows travel after a session was ended');
all_equal(\@all, 'of what it was writing nothing is there');

# A transaction that sleeps after it has written delays nobody's rows
my $sleeper = $a->background_psql('postgres', on_error_stop => 1);
$sleeper->query_safe(q{BEGIN; INSERT INTO collections.docs (id, data) VALUES ('asleep', '[6,6,6]')});
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('beside_a', '[1,2,3]')});
sql($b, q{INSERT INTO collections.docs (id, data) VALUES ('beside_b', '[1,2,3]')});
arrives_within(\@all, 'beside_a', 'a row that was written beside a sleeping transaction');
arrives_within(\@all, 'beside_b', 'and one of another node');
$sleeper->query_safe('COMMIT');
arrives_within(\@all, 'asleep', 'its own, once it is committed');

# A row that a session has locked is set aside, and others go on
my $locker = $c->background_psql('postgres', on_error_stop => 1);
$locker->query_safe(q{BEGIN; SELECT id FROM collections.docs WHERE id = 'a1' FOR UPDATE});
sql($a, q{UPDATE collections.docs SET metadata = '{"locked": true}' WHERE id = 'a1'; INSERT INTO collections.docs (id, data) VALUES ('behind', '[1,2,3]')});
arrives_within(\@all, 'behind', 'a row that came with one that is locked');
is(sql($c, q{SELECT metadata ->> 'locked' FROM collections.docs WHERE id = 'a1'}), '', 'the locked one waits');
$locker->query_safe('ROLLBACK');
all_equal(\@all, 'and comes once the lock is gone');

# A transaction in another database
sql($b, 'CREATE DATABASE other');
my $elsewhere = $b->background_psql('other', on_error_stop => 1);
$elsewhere->query_safe(q{BEGIN; CREATE TABLE t (i int)});
sql($b, q{INSERT INTO collections.docs (id, data) VALUES ('not_delayed', '[1,2,3]')});
arrives_within(\@all, 'not_delayed', 'a transaction in another database delays nothing');
$elsewhere->query_safe('ROLLBACK');
$_->quit for $sleeper, $locker, $elsewhere;

like(error_of($a, q{BEGIN; INSERT INTO collections.docs (id, data) VALUES ('prepared', '[1,2,3]'); PREPARE TRANSACTION 'x'}),
	qr/cannot PREPARE a transaction that has written to a shared collection/, 'a prepared transaction is refused');

# Away for a while
$c->stop;
sql($a, q{DELETE FROM collections.docs WHERE id LIKE 'crash_b%'; UPDATE collections.docs SET data = '[8,8,8]' WHERE id LIKE 'crash_a%'});
sql($b, q{INSERT INTO collections.docs (id, data) SELECT 'meanwhile' || i, '[1,2,3]' FROM generate_series(1, 200) i});
all_equal([ $a, $b ], 'two go on');
ok(start_peer($c), 'the third comes back');
all_equal(\@all, 'and has what it missed');

nothing_crashed(@all);
done_testing();
