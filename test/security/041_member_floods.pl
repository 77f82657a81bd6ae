# A member with the role admin says all it can about its collection, thousands of
# statements, each validly signed; beside it a stranger who greets well and then
# sends statements of nobody and damaged frames.  The root still admits, evicts and
# leaves, SQL is answered, nothing grows without a bound, all nodes agree in the end.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../net";
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(time usleep);
use VecdbNet;

my $seed = $ENV{TEST_SEED} // 1;
my $room = 4096;    # MEMBERSHIP_LIMIT; leaves have as much besides
my $answered = 30;  # seconds that a call may take; idle it takes milliseconds

# What a flood may leave in a worker, kB: libzmq's queues of a connection (16 MB), and
# the set of statements with what is on the way to the other members.
my $grown = 48_000;

diag("seed $seed (TEST_SEED sets another)");
my ($root, $b, $g, $c) = map { new_node($_) } qw(root b g c);
$_->{conf}{'vecdb.bootstrap'} = $root->address, $_->write_conf for $b, $g, $c;
$_->start for $root, $b, $g, $c;
are_together('four nodes find each other', $root, $b, $g, $c);

sub flooder { return hostile($root, "--seed=$seed", '--wait=60000', @_) }
my $other = $seed + 1;
my $salt = 0;

# The rows of a node about the collection: how many, and a digest of them.
my $id;
sub of_rows { return $_[0]->sql("SELECT $_[1] FROM vecdb.membership_statement WHERE encode(sha256(root), 'hex') = '$id'") }
sub digest { return of_rows($_[0], q{count(*) || ' ' || md5(string_agg(statement, '' ORDER BY statement))}) }
sub rows { return of_rows($_[0], 'count(*)') }

# Rows that this member has issued.
sub issued_by
{
	my ($node, $member) = @_;

	return of_rows($node, "count(*) FILTER (WHERE encode(sha256(substring(statement, 41, 32)), 'hex') = '$member')");
}

sub agree
{
	my ($name, @nodes) = @_;
	my %digest;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $began = time();
	ok( wait_until(
			sub { %digest = map { $_->{name} => digest($_) } @nodes; return keys %{ { reverse %digest } } == 1 }),
		$name) or diag(explain(\%digest));
	diag(sprintf '%s: %.1f s, %s', $name, time() - $began, (values %digest)[0]);
	return;
}

# A call that the worker answers, and how long it took.
my @took;

sub call
{
	my ($node, $sql) = @_;
	my $began = time();
	my ($status, $out, $err) = $node->try_sql($sql, undef, 2 * $answered);

	push @took, time() - $began;
	return $status == 0 ? $out : "error: $err";
}

# The members before the flood: the root's b, b's g, and the flooder, as near to the root as b
$root->sql(q{SELECT vecdb.create_collection('shared', 3)});
is($b->join_by($root->invite('shared', 'admin')), 'collections.shared', 'an admin joins');
is($g->join_by($b->invite('shared', 'admin')), 'collections.shared', 'one that it has let in, too');
my $invitation = $root->invite('shared', 'admin');
$id = $root->collection_id('shared');
like(flooder('hello=good', "redeem=good:$invitation"), qr/^redeem=good: \d+ statements/m, 'and the flooder');
my ($flooder) = flooder('own') =~ /id=([0-9a-f]{64})/;
for my $node ($root, $b, $g)
{
	ok($node->wait_sql(q{SELECT count(*) FROM vecdb.members('shared')}, '4'), "$node->{name} knows four members");
}
my %memory = map { $_->{name} => $_->worker_memory } $root, $b;
my @workers = map { $_->worker_pid } $root, $b, $g, $c;

# The set fills with revocations of nobody
like(flooder('hello=good', "redeem=good:$invitation", 'flood=revocations:4200', 'ping'),
	qr/^flood=revocations: 4200 statements, 66 messages sent.*\nping: pong\n/m, '4,200 revocations of random keys');
ok(wait_until(sub { rows($root) == $room }), "a node holds $room of all that was said") or diag(rows($root));
ok( wait_until(sub { ($g->try_sql(q{SELECT vecdb.invite('shared', 'reader')}))[2] =~ /no room for more statements about the members/ }),
	'there is no room for who is farther from the root, and it is told so');

# Everything else at once: the flooder and a stranger, at the root and at b
sub storm
{
	my @all = ("redeem=good:$invitation", (map { "flood=$_:2000" } qw(readers leaves chains invitations later earlier elsewhere)),
		'replay=200', 'flood=forged:640', 'flood=rising:1000', 'ping', 'hold');

	$salt++;
	return (
		hostile_start($root, qr/^hello/m, "--seed=$seed", "--salt=$salt", '--wait=120000', 'hello=good', @all),
		hostile_start($b, qr/^hello/m, "--seed=$seed", "--salt=" . ($salt + 1000), '--wait=120000', 'hello=good', @all),
		hostile_start($root, qr/^hello/m, "--seed=$other", "--salt=$salt", '--wait=120000', 'hello=good', "redeem=forged:$invitation",
			'flood=revocations:2000', 'flood=chains:500', 'frames=5000', 'hello=good', 'ping', 'hold'));
}

# Wait until its last ping was answered; meanwhile each node is asked again and again.
sub weather
{
	my ($name, @storm) = @_;
	my $wrong = '';

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok( wait_until(
			sub {
				for my $node ($root, $b)
				{
					my $said = call($node, q{SELECT count(*) > 0 FROM vecdb.members('shared')});

					$wrong ||= "$node->{name}: $said" if $said ne 't';
				}
				return !grep { VecdbNet::slurp($_->{out}) !~ /^hold: /m } @storm;
			},
			2 * $VecdbNet::WAIT),
		"$name ends");
	is($wrong, '', '... and SQL is answered all the while');
	for (@storm)
	{
		my $said = background_stop($_);

		like($said, qr/^ping: pong/m, '... as is who floods') or diag($said);
	}
	return;
}

my @storm = storm();
@took = ();
my $for_c = call($root, q{SELECT vecdb.invite('shared', 'writer')});
like($for_c, qr/^vecdb1:/, 'in the flood, the root invites');
$c->sql(q{SELECT vecdb.create_collection('aside', 3)});
is(call($root, "SELECT vecdb.join('" . $c->invite('aside', 'writer') . "')"), 'collections.aside', '... and joins another collection');
is(call($c, "SELECT vecdb.join('$for_c')"), 'collections.shared', '... somebody joins');
is(call($b, q{SELECT vecdb.invite('shared', 'reader')}) =~ /^vecdb1:/, 1, '... an admin as near to the root as the flooder invites');
weather('a flood', @storm);
cmp_ok(rows($_), '<=', 2 * $room, "$_->{name} has not more rows than the set has room for") for $root, $b, $g, $c;
agree('in a full set all hold the same', $root, $b, $g, $c);
$g->stop;
$g->start;
$workers[2] = $g->worker_pid if wait_until(sub { $g->worker_pid });
ok($g->wait_sql(q{SELECT count(*) FROM vecdb.members('shared')}, $root->sql(q{SELECT count(*) FROM vecdb.members('shared')})), 'who is started anew has a full set again');
my %first = map { $_->{name} => $_->worker_memory } $root, $b;

# Evicted in the midst of another flood
@storm = storm();
is((call($root, "SELECT * FROM vecdb.evict('shared', '$flooder')") =~ /^\Q$flooder\E$/m), 1, 'in the flood, the root evicts the flooder');
weather('the flood of who is evicted', @storm);
cmp_ok(max(@took), '<', $answered, sprintf 'the slowest of %d calls took %.2f s', scalar @took, max(@took));
ok($_->wait_sql("SELECT count(*) FROM vecdb.members('shared') WHERE node_id = '$flooder'", '0'), "$_->{name}: it is no member any more") for $root, $b, $g, $c;
ok($_->wait_sql(q{SELECT count(*) FROM vecdb.members('shared')}, '4'), "$_->{name}: nor is whom it let in") for $root, $b, $g, $c;
agree('all hold the same', $root, $b, $g, $c);

# Its room is free for all others
my $before = issued_by($g, $flooder);
is($g->sql(q{SELECT count(vecdb.invite('shared', 'reader')) FROM generate_series(1, 50)}), '50', 'who had no room has it now');
ok(wait_until(sub { issued_by($g, $flooder) < $before }), sprintf 'it is that of the evicted, who had %d rows', $before);
agree('all hear of it', $root, $b, $g, $c);

# Nothing has grown
for my $node ($root, $b)
{
	my ($name, $now) = ($node->{name}, $node->worker_memory);

	cmp_ok($first{$name} - $memory{$name}, '<', $grown, "$name: a flood has made its worker greater by less than $grown kB ($memory{$name} to $first{$name})");
	cmp_ok($now - $first{$name}, '<', 8_000, "$name: the next one has not ($now)");
}

# Who is in may leave
is(call($g, q{SELECT vecdb.leave('shared')}) =~ /^error/ ? 'error' : '', '', 'an admin leaves');
ok($_->wait_sql("SELECT count(*) FROM vecdb.members('shared') WHERE node_id = '" . $g->id . "'", '0'), "$_->{name} hears of it") for $root, $b, $c;
agree('those who are left hold the same', $root, $b, $c);
is(call($root, q{SELECT vecdb.leave('shared')}) =~ /^error/ ? 'error' : '', '', 'who made it leaves');
ok(wait_until(sub { rows($root) == 2 }), '... and keeps of it its grant and its leave alone') or diag(rows($root));

is(join(' ', map { $_->worker_pid } $root, $b, $g, $c), "@workers", 'no worker has ended');
$_->is_sound for $root, $b, $g, $c;
done_testing;
