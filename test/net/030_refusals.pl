# Who is refused, with which answer, and that the log says so once and not once a
# packet.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbNet;

my $a = new_node('a')->start;
my $b = new_node('b', bootstrap => $a)->start;
my $c = new_node('c', bootstrap => $a)->start;

sub refused
{
	return $a->sql(q{SELECT refused FROM vecdb.stat_workers WHERE kind = 'node'});
}

are_together('three nodes find each other', $a, $b, $c);
like(hostile($a, 'ask'), qr/^ask: answered id=\Q@{[ $a->id ]}\E /, 'a datagram is answered with the record of the node');
is(hostile($a, '--network=elsewhere', '--wait=1500', 'ask'), "ask: silence\n", 'one of another network is not');
like(hostile($a, 'hello=good', 'ping', 'find'), qr/^hello=good: welcome from \Q@{[ $a->id ]}\E\nping: pong\nfind: \d+ nodes\n/,
	'who greets is welcome and answered');
like(hostile($a, '--seed=2', 'ping', 'wait=1000', 'find'), qr/^ping: error 4 HELLO comes first\nfind: silence\n/,
	'who does not greet is told so once, and not answered');

# Greetings
my $seed = 10;
for my $case (
	[ 'network', 3, qr/belongs to another network/, 'of another network' ],
	[ 'versions', 2, qr/speaks no version of the protocol/, 'with no version in common' ],
	[ 'version', 2, qr/version/, 'in another version' ],
	[ 'expired', 8, qr/expired/, 'with a record that has expired' ],
	[ 'future', 8, qr/ahead|future/, 'with a record that lasts too long' ],
	[ 'forged', 9, qr/signature does not verify/, 'with a forged record' ],
	[ 'stolen', 9, qr/presents the record of another node/, "with another node's record" ])
{
	my ($kind, $code, $reason, $name) = @$case;
	my $offset = $a->log_length;
	my $before = refused();

	$seed++;
	my $said = hostile($a, "--seed=$seed", '--key=' . $a->curve_key, "hello=$kind", 'wait=1000', 'again=300', 'ping');
	like($said, qr/^hello=$kind: error $code /, "a greeting $name is refused with code $code");
	like($said, qr/^again: 300 sent/m, 'however often it is said');
	unlike($said, qr/^ping: pong/m, 'and it gets no more');
	ok(wait_until(sub { refused() >= $before + 301 }), 'all are counted');
	ok($a->wait_log(qr/refused a peer .*$reason/, $offset), 'the log says why');
	is($a->count_log(qr/refused/, $offset), 1, 'once');
}

# A record that expires while its node is here
$b->set('vecdb.max_clock_skew' => '1s');
my $offset = $b->log_length;
like(hostile($b, '--seed=29', 'hello=brief', 'fade'), qr/^hello=brief: welcome.*\nfade: [1-9]\d* pongs, then error 4 HELLO comes first\n/,
	'who is welcome with a record that expires soon has to greet anew after that');
ok($b->wait_log(qr/refused node \w+: its record has expired/, $offset), 'the log says why');
is($b->count_log(qr/refused/, $offset), 1, 'once');
$b->set('vecdb.max_clock_skew' => '5min');

# Announcements of who holds a collection
my $id = '5a' x 32;
like(hostile($a, '--seed=30', 'hello=good', "provide=good:$id"), qr/^provide=good: code 0$/m, 'an announcement is taken');
like(hostile($a, '--seed=31', 'hello=good', "provide=expired:$id"), qr/^provide=expired: (?:error|code) 8/m, 'one that has expired is not');
like(hostile($a, '--seed=32', 'hello=good', "provide=forged:$id"), qr/^provide=forged: (?:error|code) 9/m, 'nor a forged one');
like(hostile($a, '--seed=33', 'hello=good', "provide=stolen:$id"), qr/^provide=stolen: (?:error|code) 9/m, 'nor one in the name of another node');
my ($holder) = hostile($a, '--seed=30', 'own') =~ /id=([0-9a-f]{64})/;
is($b->providers($id), $holder, 'others find the first alone');

# Invitations
$a->sql(q{SELECT vecdb.create_collection('shared', 3)});
my $invitation = $a->invite('shared', 'writer');
my $collection = $a->collection_id('shared');
for my $case ([ 'forged', 44 ], [ 'altered', 45 ])
{
	my ($kind, $one) = @$case;
	my $offset = $a->log_length;

	like(hostile($a, "--seed=$one", 'hello=good', "redeem=$kind:$invitation", 'wait=1000', ("redeem=$kind:$invitation") x 4), qr/^redeem=$kind: error (?:9|11)\b/m,
		"an invitation that is $kind is refused");
	ok($a->wait_log(qr/refused/, $offset), 'the log says so');
	is($a->count_log(qr/refused/, $offset), 1, 'once, not five times');
}
like(hostile($a, '--seed=40', 'hello=good', "grants=$collection"), qr/^grants: error 4 /m, 'a stranger learns nothing of the members');
like(hostile($a, '--seed=41', 'hello=good', "redeem=good:$invitation", "grants=$collection"),
	qr/^redeem=good: \d+ statements\ngrants: \d+ statements\n/m,
	'the invitation that was refused in two wrong forms is good for one');
$offset = $a->log_length;
like(hostile($a, '--seed=42', 'hello=good', ("redeem=good:$invitation") x 20), qr/^(?:redeem=good: error 10 .*\n){20}/m, 'but not for another');
ok($a->wait_log(qr/refused/, $offset), 'the log says so');
is($a->count_log(qr/refused/, $offset), 1, 'once');
my ($status, undef, $error) = $b->try_sql("SELECT vecdb.join('$invitation')");
like($error, qr/invitation was used before, by another node/, 'a server that redeems it is told so');
my $second = $a->invite('shared', 'writer');
like(hostile($a, '--seed=43', 'hello=good', 'wait=2000', "redeem=stolen:$second", 'wait=60000', "grants=$collection"), qr/^grants: error 4 /m,
	'one that names another lets in nobody who shows it');
($status, undef, $error) = $b->try_sql(q{SELECT vecdb.join('vecdb1:rubbish')});
like($error, qr/invitation cannot be used/, 'rubbish is no invitation');

# A member, evicted
my ($member) = hostile($a, '--seed=41', 'own') =~ /id=([0-9a-f]{64})/;
like($a->members('shared'), qr/$member/, 'who has redeemed it is a member');
is($a->evict('shared', $member), $member, 'and evicted');
$offset = $a->log_length;
my $said = hostile($a, '--seed=41', 'hello=good', "grants=$collection", ("graft=$collection") x 50, 'ping');
# of the four statements at least that the collection has: the revocation, and the grant of who signed it
like($said, qr/^grants: (?:[0-2] statements|error 4)/m, 'it gets what was said against it and by whose right, no more');
like($said, qr/^ping: pong$/m, 'it is a node of the network still');
ok($a->wait_log(qr/refused .*no member of collection shared/, $offset), 'the log says that it is no member');
is($a->count_log(qr/refused/, $offset), 1, 'once, not fifty times');
is($b->join_by($a->invite('shared', 'reader')), 'collections.shared', 'b joins');
is($a->evict('shared', $b->id), $b->id, 'and is evicted');
ok($b->wait_log(qr/no member of collection shared any more/), 'it is told');
is($b->count_log(qr/no member of collection shared any more/), 1, 'once');
ok(wait_until(sub { $c->providers($collection) !~ $b->id }), 'it announces the collection no more');

# Copied data directories, two of one: three processes have one key
$c->stop;
my @copies = map { copy_node("copy$_", $c, conf => { 'vecdb.bootstrap' => $a->address }) } 1, 2;
$_->start for $c, @copies;
for my $one ($c, @copies)
{
	ok($one->wait_log(qr/another node uses the key of this one: node id [0-9a-f]+ is also at 127\.0\.0\.1:\d+/), "$one->{name} says that its data directory is a copy, and where the other is");
	ok($one->wait_sql(q{SELECT clone IS NOT NULL FROM vecdb.stat_workers WHERE kind = 'node'}, 't'), 'it stands in vecdb.stat_workers');
}
$_->stop for @copies;
unlink glob("$_->{data}/vecdb/*/node.key") for @copies;
$_->start for @copies;
is(scalar(keys %{ { map { $_->id(1) => 1 } $a, $b, $c, @copies } }), 5, 'without its key file each copy is a node of its own');
are_together('and finds others, and is found', $a, $b, @copies);
$_->is_sound for $a, $b, $c, @copies;

done_testing;
