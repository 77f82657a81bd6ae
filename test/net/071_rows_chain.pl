# A chain of five nodes of which only neighbours reach each other: rows and deletes of
# each end arrive at the other, and what was deleted is forgotten, though the ends
# never talk.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use Test::More;
use Time::HiRes qw(time);
use VecdbNet;
use NetRows;
use VecdbMemory;

my $why = no_namespaces();

plan skip_all => $why if $why;
make_switch();

# Each joins by the node before it: others it cannot reach.  A minute after a member was
# heard last, or named, nobody waits for it with what is deleted.
my @all;
for my $i (1 .. 5)
{
	my $node = new_node("n$i", place => 'v4', $i > 1 ? (bootstrap => $all[-1]) : (), conf => { @NetRows::CONF, 'vecdb.tombstone_retention' => '1min' });

	deaf_to($node, @all[ 0 .. $i - 3 ]) if $i > 2;
	deaf_to($_, $node) for @all[ 0 .. $i - 3 ];
	push @all, $node->start;
}
my $began = time();
share(\@all, chain => 1, rows => 100);
my ($first, $last) = @all[ 0, 4 ];

all_equal(\@all, 'the rows of the first are on all', 100);
start_writing(0.1, @all);
put_row($first, 'to the right');
put_row($last, 'to the left');
arrives(\@all, 'to the right', 'a row of the first is on all');
arrives(\@all, 'to the left', 'a row of the last is on all');
my $one_by_one = 0;
for my $i (1 .. 10)
{
	my ($from, $to) = $i % 2 ? ($first, $last) : ($last, $first);

	put_row($from, "step $i");
	$one_by_one += arrives([$to], "step $i", "row $i of one end is at the other");
}
diag(sprintf 'from one end to the other: %.2f s by the mean of ten', $one_by_one / 10);

my $memory = memory_of(@all);

# The ends write and delete the same rows
$first->sql(q{DELETE FROM collections.docs WHERE id IN ('old1', 'old2', 'to the left'); UPDATE collections.docs SET metadata = '{"by": "first"}' WHERE id IN ('old3', 'old4')});
$last->sql(q{DELETE FROM collections.docs WHERE id IN ('old3', 'to the right'); UPDATE collections.docs SET metadata = '{"by": "last"}' WHERE id IN ('old1', 'old4')});
stop_writing(@all);
all_equal(\@all, 'after deletes and updates of one row at both ends all have the same');
ok(!has_row($last, 'to the left') && !has_row($first, 'to the right'), 'what each end has deleted is deleted at the other');
nothing_lost(\@all, 'along the chain');
is($first->sql("SELECT count(*) FROM vecdb.peers() WHERE node_id <> '" . $all[1]->id . "'"), '0', 'the first has talked to the second only');
is($last->sql("SELECT count(*) FROM vecdb.peers() WHERE node_id <> '" . $all[3]->id . "'"), '0', '... and the last to the last but one');

# What was deleted goes
for my $node (@all)
{
	ok($node->wait_sql('SELECT tombstones_forgotten > 0 FROM vecdb.stat_collections', 't'), "$node->{name} forgets what was deleted");
	ok($node->wait_sql(tombstones($node), '0'), '... all of it');
}
diag(sprintf 'all is forgotten %.0f s after the last has joined', time() - $began);
put_row($first, 'to the left');
arrives(\@all, 'to the left', 'an id that was deleted and forgotten is written anew, and is on all');
all_equal(\@all, 'all have the same rows');

# The walls fall
hears_all(@all);
all_level(\@all, 'when each hears each');
memory_is_as_before($memory, \@all, 'along the chain, and without walls');
sound(@all);
done_testing;

sub tombstones
{
	my ($node) = @_;

	return 'SELECT count(*) FROM vecdb.version_' . $node->sql(q{SELECT 'collections.docs'::regclass::oid}) . ' WHERE NOT live';
}
