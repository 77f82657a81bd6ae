# A node of four gets another address, with the setting that names it and without.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbNet;

my $why = no_namespaces();

plan skip_all => $why if $why;
make_switch();

my @net = (new_node('n1', place => 'v4')->start);
push @net, new_node("n$_", place => 'v4', bootstrap => $net[0])->start for 2 .. 4;
are_together('each of four finds the three others', @net);

# Another address, and the setting that follows it
my $mover = $net[3];
$mover->move('10.77.0.200');
$mover->set('vecdb.listen' => '10.77.0.200');
are_together('a node has another address, and is found there', @net);
is($mover->id(1), $mover->id, 'it is the node it was');

# Another address without another setting: who listens on all sees it himself
$mover->set('vecdb.listen' => '0.0.0.0');
are_together('a node listens on all of its addresses', @net);
$mover->move('10.77.0.201');
are_together('its address changes under it, and it is found', @net);

for my $node (@net)
{
	$node->is_sound;
	is($node->count_log(qr/"vecdb node (?!launcher).*exited/), 0, "$node->{name}: its worker has not ended");
}
done_testing;
