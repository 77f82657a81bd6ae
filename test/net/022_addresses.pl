# Nodes that have IPv6 only, both families, an address of their own network behind
# another, or no bootstrap node but a LAN.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbNet;

my $why = no_namespaces();

plan skip_all => $why if $why;
make_switch();

# IPv6, and a node with both families beside
my @six = (new_node('six1', place => 'v6')->start);
push @six, new_node("six$_", place => 'v6', bootstrap => $six[0])->start for 2, 3;
are_together('three nodes that have IPv6 only find each other', @six);
my $both = new_node('both', place => 'both', bootstrap => $six[1], conf => { 'vecdb.listen' => '::' })->start;
my $four = "10.77.0.$both->{number}:7777";
my $six = "[fd00:77::$both->{number}]:7777";
ok(wait_until(sub { $both->finds(@six) == 3 }), 'one that listens on :: joins by IPv6');
is($six[2]->wait_sql("SELECT addresses FROM vecdb.lookup('" . $both->id . "')", "{$four,$six}"), 1, 'it is found with an address of each family');
my $old = new_node('four', place => 'v4', conf => { 'vecdb.bootstrap' => $four })->start;
$both->{at} = $four;
are_together('one that has IPv4 only joins through it', $both, $old);
ok(wait_until(sub { $both->finds($old, @six) == 4 }), 'and it knows both worlds');
$six[0]->sql(q{SELECT vecdb.create_collection('shared', 3)});
is($both->join_by($six[0]->invite('shared', 'admin')), 'collections.shared', 'it joins a collection by IPv6');
is($old->join_by($both->invite('shared', 'writer')), 'collections.shared', 'and lets in one of IPv4');
my $members = join ',', sort map { $_->id } $six[0], $both, $old;
ok(wait_until(sub { $six[0]->members('shared') eq $members }), 'of which a member of IPv6 hears');

# Behind another address
my @open = ($old, new_node('open', place => 'v4', bootstrap => $old)->start);
my $led = new_node('led', place => 'hidden', forward => 7790, bootstrap => $old);
$led->{at} = "10.77.0.$led->{number}:7790";
$led->set('vecdb.advertise' => $led->{at});
$led->start;
are_together('a node behind another address, with its port led through to it', @open, $led);
is($led->sql(q{SELECT listen, advertised FROM vecdb.stat_workers WHERE kind = 'node'}), "192.168.77.2:7777|{$led->{at}}", 'it says where it listens and what it advertises');
ok($open[1]->wait_sql("SELECT count(*) FROM vecdb.stat_peers WHERE outbound AND state = 'greeted' AND address = '$led->{at}' AND node_id = '" . $led->id . "'", '1'),
	'another has a link to that address');
my $through = new_node('through', place => 'v4', bootstrap => $led)->start;
are_together('and it is a bootstrap node', $through, $led, @open);
my $shut = new_node('shut', place => 'hidden', bootstrap => $old);
$shut->set('vecdb.advertise' => "10.77.0.$shut->{number}:7790");
$shut->start;
ok(wait_until(sub { $shut->finds(@open, $led) == 3 }), 'one that nobody can reach finds the others');
is($shut->join_by($old->sql(q{SELECT vecdb.create_collection('theirs', 3)}) && $old->invite('theirs', 'writer')), 'collections.theirs', 'and joins a collection');
is($open[1]->sql("SELECT count(*) FROM vecdb.stat_routing_table WHERE node_id = '" . $shut->id . "'"), '0', 'but stands in no routing table');

# A name that nobody answers for, before an address
my $slow = new_node('slow', place => 'v4', conf => { 'vecdb.bootstrap' => 'nobody.example, ' . $old->address },
	before => [ 'env', 'RES_OPTIONS=timeout:20 attempts:1' ]);
my $mute = mute_names($slow);
my $no_name = qr/could not use "nobody\.example" in vecdb\.bootstrap: no address, and no name that resolves/;
$slow->start;
ok(wait_until(sub { $slow->finds($old) == 1 }), 'a node joins by the address behind a name that nobody answers for');
is($slow->count_log($no_name), 0, 'without waiting for the name');
ok($slow->wait_log($no_name, 0, 300), 'and says in the end that it is none');
background_stop($mute);

# A LAN
my %lan = ('vecdb.lan_discovery' => 'on', 'vecdb.network_id' => 'lan');
my @lan = map { new_node("lan$_", place => 'v4', conf => {%lan})->start } 1 .. 3;
my $quiet = new_node('quiet', place => 'v4', conf => { %lan, 'vecdb.lan_discovery' => 'off' })->start;
my @lan6 = map { new_node("lan6$_", place => 'v6', conf => { %lan, 'vecdb.network_id' => 'lan6' })->start } 1, 2;
are_together('three find each other on a LAN, and were told of none', @lan);
are_together('so do two that have IPv6 only', @lan6);
is($quiet->known, 0, 'who does not announce itself is not found');
is($_->known, 2, "$_->{name} knows nobody of another network") for @lan;
$quiet->set('vecdb.lan_discovery' => 'on');
are_together('with the setting turned on it is', @lan, $quiet);

for my $node (@six, $both, @open, $led, $through, $shut, @lan, @lan6, $quiet)
{
	$node->is_sound;
	is($node->count_log(qr/"vecdb node (?!launcher).*exited/), 0, "$node->{name}: its worker has not ended");
}
done_testing;
