# vecdb.stat_replication: how far each member and this node are apart, and why.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my @all = share_docs(conf => 'vecdb.anti_entropy_interval = 2s',
	rows => q{SELECT 'a' || i, ARRAY[i, 0, 1]::vector, '{}' FROM generate_series(1, 100) i});
my ($a, $b, $c) = @all;
my %id = map { $_->name => node_id($_) } @all;

# What a node says of a member
sub of
{
	my ($node, $member, $columns) = @_;

	return sql($node, "SELECT $columns FROM vecdb.stat_replication WHERE name = 'collections.docs'::regclass AND node_id = '$id{ $member->name }'");
}

sub becomes
{
	my ($node, $member, $columns, $want, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { of($node, $member, $columns) eq $want }), $what) or diag($node->safe_psql('postgres', 'SELECT * FROM vecdb.stat_replication', extra_params => ['-x']));
	return;
}

all_equal(\@all, 'the rows that were there are copied', 100);
is(sql($a, 'SELECT count(*) FROM vecdb.stat_replication'), '2', 'a row for each other member');
for my $node (@all)
{
	becomes($node, $_, 'state, lacks_there, lacks_here, reason', 'level|0|0|', $node->name . ' and ' . $_->name . ' are level') for grep { $_ != $node } @all;
}
is(of($a, $b, 'role'), 'writer', 'the role of a member');
is(of($b, $a, 'role'), 'admin', '... or of who has shared it');
cmp_ok(of($a, $b, 'rows_sent') + of($a, $c, 'rows_sent'), '>=', 100, 'rows were sent to them');
ok(wait_until(sub { of($a, $c, "heard > now() - interval '10 s'") eq 't' }), 'a member is heard now and then');

# One that is away
$c->stop;
becomes($a, $c, 'state, reason', 'away|no link to it is up', 'one that is stopped is away');
like(of($a, $c, 'hint'), qr/vecdb\.lookup/, '... and what to look at is said');
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('one', '[1,1,1]'); INSERT INTO collections.docs (id, data) VALUES ('two', '[1,1,1]')});
becomes($a, $c, 'lacks_there', '2', 'it lacks two commits');
becomes($a, $b, 'state, lacks_there', 'level|0', 'the other does not');
becomes($a, $c, q{lag_there >= interval '2 s'}, 't', 'since so many seconds');
start_peer($c);
becomes($a, $c, 'state, lacks_there, lag_there', 'level|0|00:00:00', 'once it is back it has them');
all_equal(\@all, 'all have the same rows', 102);

# A transaction that sleeps holds back claims, and nobody's rows
{
	my $sleeper = $a->background_psql('postgres');

	$sleeper->query_until(qr/begun/, "BEGIN;\nINSERT INTO collections.docs (id, data) VALUES ('sleeps', '[1,1,1]');\n\\echo begun\n");
	my $pid = sql($a, q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT%sleeps%' AND state = 'idle in transaction'});
	becomes($a, $b, 'blocked_by', $pid, 'blocked_by names the process');
	sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('awake', '[1,1,1]')});
	arrives_within(\@all, 'awake', 'while others write');
	$sleeper->query_until(qr/ended/, "COMMIT;\n\\echo ended\n");
	$sleeper->quit;
}
becomes($a, $_, 'blocked_by, state', '|level', 'until it ends') for $b, $c;
arrives_within(\@all, 'sleeps', 'and then its row is everywhere');

# A reader, and one who may not look
my $d = new_peer('d', bootstrap => [$a], conf => 'vecdb.anti_entropy_interval = 2s');
ok(wait_until(sub { running($d) }), 'another node runs');
my $invitation = sql($a, q{SELECT vecdb.invite('docs', 'reader')});
sql($d, "SELECT vecdb.join('$invitation')");
$id{d} = node_id($d);
becomes($a, $d, 'role, state, lacks_there, lacks_here', 'reader|level|0|0', 'a reader is level, too');
becomes($d, $a, 'state', 'level', '... and sees that');
sql($a, q{CREATE ROLE joe; CREATE ROLE watcher; GRANT pg_monitor TO watcher; GRANT USAGE ON SCHEMA vecdb TO joe, watcher});
like(error_of($a, 'SET ROLE joe; TABLE vecdb.stat_replication'), qr/permission denied/, 'not everybody may look');
is(sql($a, 'SET ROLE watcher; SELECT count(*) FROM vecdb.stat_replication'), '3', 'but members of pg_monitor');
nothing_crashed(@all, $d);
done_testing();
