# 3, 10 and 30 nodes join through one and find each other's records and the
# holders of a collection; the one they joined through dies and nobody misses
# it; a node begins again without it, from the nodes it had known.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Time::HiRes 'time';
use VecdbNet;

my @net = (new_node('n1')->start);
my $collection;

sub holders_are_found
{
	my ($name, $holders, @of) = @_;
	my $expected = join ',', sort map { $_->id } @$holders;
	my @wrong;

	for my $node (@of)
	{
		push @wrong, $node->{name} if !wait_until(sub { $node->providers($collection) eq $expected });
	}
	is("@wrong", '', $name);
	return;
}

for my $size (3, 10, 30)
{
	my $began = time();

	while (@net < $size)
	{
		push @net, new_node('n' . (@net + 1), bootstrap => $net[0])->start;
	}
	my @alone = grep { !wait_until(sub { $_->known > 0 }) } @net;
	is(join(' ', map { $_->{name} } @alone), '', "$size nodes have joined through the first");
	diag(sprintf 'servers started and joined: %.1f s', time() - $began);
	are_together("each of $size finds the record of each, with its address", @net);
	is($net[-1]->sql('SELECT max(f.hops) <= 3 FROM vecdb.stat_routing_table t CROSS JOIN LATERAL vecdb.lookup(t.node_id) f'), 't', 'within three hops');
	if (!$collection)
	{
		$net[1]->sql(q{SELECT vecdb.create_collection('shared', 3)});
		my $invitation = $net[1]->invite('shared', 'writer');
		$collection = $net[1]->collection_id('shared');
		is($net[2]->join_by($invitation), 'collections.shared', 'the third joins a collection of the second by an invitation');
	}
	holders_are_found("each of $size finds the two that hold the collection", [ @net[ 1, 2 ] ], @net);
}
is(scalar(keys %{ { map { $_->id => 1 } @net } }), 30, 'each has an id of its own');

# the bootstrap node dies, and two more
my $offset = $net[5]->log_length;
$_->kill9 for @net[ 0, 9, 19 ];
my @left = grep { $_->{running} } @net;
is(scalar @left, 27, 'three are gone, the first of all too');
are_together('the others find each other', @left);
holders_are_found('and the collection', [ @net[ 1, 2 ] ], @left);
my $new = new_node('late', bootstrap => $net[4])->start;
push @left, $new;
ok(wait_until(sub { $new->finds(@net[ 1, 2, 3 ]) == 3 }), 'a newcomer joins through another');
ok(wait_until(sub { $net[25]->finds($new) == 1 }), 'and is found');

# again without bootstrap
my $before = $net[7]->id;
$net[7]->set('vecdb.bootstrap' => '');
$net[7]->stop;
$net[7]->start;
is($net[7]->sql('SHOW vecdb.bootstrap'), '', 'one begins again without a bootstrap node');
ok(wait_until(sub { $net[7]->finds(@net[ 1, 2, 11 ]) == 3 }), 'it finds others, for it remembers');
is($net[7]->id(1), $before, 'under its old id');
ok(wait_until(sub { $net[12]->finds($net[7]) == 1 }), 'and is found');

# the dead come back: the first has no bootstrap node of its own
$net[0]->start;
ok(wait_until(sub { $net[0]->finds(@net[ 1, 7, 28 ]) == 3 }), 'the first is back, after a crash and without a bootstrap node');
$net[2]->kill9;
$net[2]->start;
holders_are_found('a holder that crashed is a holder still', [ @net[ 1, 2 ] ], @net[ 0, 5, 28 ]);
$_->is_sound for @left[ 0 .. 4 ], $net[0];
is(scalar(grep { $_->count_log(qr/"vecdb node (?!launcher).*exited/) } @left), 0, 'no worker has ended');

done_testing;
