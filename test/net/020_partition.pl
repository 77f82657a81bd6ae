# Six nodes in network namespaces: the network falls into two halves, each goes on
# alone, and they grow together again.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use Time::HiRes 'time';
use VecdbNet;

my $why = no_namespaces();

plan skip_all => $why if $why;
make_switch();

my @net = (new_node('n1', place => 'v4')->start);
push @net, new_node("n$_", place => 'v4', bootstrap => $net[0])->start for 2 .. 6;
my @west = @net[ 0 .. 2 ];
my @east = @net[ 3 .. 5 ];

are_together('each of six finds the five others', @net);
$net[1]->sql(q{SELECT vecdb.create_collection('shared', 3)});
is($net[4]->join_by($net[1]->invite('shared', 'admin')), 'collections.shared', 'one of the other half joins a collection');
my $collection = $net[1]->collection_id('shared');
my $leaver = $net[3];
is($leaver->join_by($net[1]->invite('shared', 'writer')), 'collections.shared', 'and another');

# Apart
isolate(@east);
for my $pair ([ $net[0], @east ], [ $net[3], @west ])
{
	my ($node, @gone) = @$pair;

	ok(wait_until(sub { $node->finds(@gone) == 0 }), "apart: $node->{name} finds nobody of the other half");
}
are_together('the west finds itself', @west);
are_together('so does the east', @east);
ok(wait_until(sub { $net[0]->sql('SELECT count(*) FROM vecdb.peers()') == 2 }), 'links to the other half have been given up');

# What happens meanwhile, on both sides
is($net[2]->join_by($net[1]->invite('shared', 'reader')), 'collections.shared', 'one joins in the west');
is($net[5]->join_by($net[4]->invite('shared', 'reader')), 'collections.shared', 'another in the east');
is($net[1]->evict('shared', $leaver->id), $leaver->id, 'a member in the east is evicted in the west');
ok(wait_until(sub { $net[0]->providers($collection) =~ $net[2]->id }), 'the west finds its new holder');
ok(wait_until(sub { $net[3]->providers($collection) =~ $net[5]->id }), 'the east finds its own');

# And together again
my $began = time();
my $offset = $leaver->log_length;
rejoin(@east);
are_together('together: each of six finds the five others', @net);
my @members = @net[ 1, 2, 4, 5 ];
my $members = join ',', sort map { $_->id } @members;
for my $node (@members)
{
	ok(wait_until(sub { $node->members('shared') eq $members }, 120), "$node->{name} knows the members of both sides");
}
diag(sprintf 'members agree within %.1f s', time() - $began);
ok($leaver->wait_log(qr/is no member of collection shared any more/, $offset), 'who was evicted on the other side is told');
for my $node (@net)
{
	ok(wait_until(sub { $node->providers($collection) eq $members }), "$node->{name} finds the holders of both sides");
}

for my $node (@net)
{
	$node->is_sound;
	is($node->count_log(qr/"vecdb node (?!launcher).*exited/), 0, "$node->{name}: its worker has not ended");
}
done_testing;
