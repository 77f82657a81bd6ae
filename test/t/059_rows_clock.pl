# Three servers share a collection, and the clock of one is an hour ahead, or behind, and
# comes back; or all clocks go on for longer than vecdb.tombstone_retention while one is away.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;
use VecdbStorage;
use VecdbTime;
use VecdbMemory;

my @all = share_docs(conf => 'vecdb.anti_entropy_interval = 1s');
my ($a, $b, $c) = @all;
my $hour = 3600;

for my $node (@all)
{
	other_time($node->name, sub { $node->restart });
}
put($a, map { "a$_" } 1 .. 50);
put($b, map { "b$_" } 1 .. 50);
put($c, map { "c$_" } 1 .. 50);
is_whole(\@all, 'before a clock is wrong');
my $memory = memory_of(@all);

# Rows whose clock is too far ahead are tried again at once, not within half a minute
sub retry
{
	sql($_, q{SELECT vecdb.retry('collections.docs')}) for @_;
	return;
}

sub held
{
	my ($node) = @_;

	return sql($node, q{SELECT coalesce(string_agg(key ->> 'id', ' ' ORDER BY key ->> 'id'), '') FROM vecdb.quarantine
		WHERE state = 'quarantined' AND reason = 'its clock is further ahead than vecdb.max_clock_skew'});
}

sub are_held
{
	my ($keys, $nodes, $what) = @_;
	my $n = split / /, $keys;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $node (@$nodes)
	{
		ok(wait_until(sub { held($node) eq $keys }), "$what: held on " . $node->name) or diag(held($node));
		is(sql($node, 'SELECT quarantined FROM vecdb.stat_collections'), $n, '... as a counter says');
	}
	return;
}

# ---- an hour ahead, and back ----

set_clock('c', $hour);
put($c, 'ahead1', 'c1');
put($a, 'a1', 'beside1');
are_held('ahead1 c1', [ $a, $b ], 'rows of one an hour ahead');
ok(wait_until(sub { unwell($c) eq '' }), 'it has the rows of others') or diag(unwell($c));
set_clock('c', 0);
put($c, 'ahead2', 'c2', 'a2');
are_held('a2 ahead1 ahead2 c1 c2', [ $a, $b ], 'what it writes when its clock is right again');
put($b, 'b1', 'beside2');
remove($b, 'b2');
ok(wait_until(sub { sql($_, q{SELECT count(*) FROM collections.docs WHERE id IN ('beside2', 'b2')}) eq '1' }), 'other rows travel to ' . $_->name) for $a, $c;

# One way out: for an hour all allow it
for my $node (@all)
{
	$node->append_conf('postgresql.conf', "vecdb.max_clock_skew = '2h'");
	$node->reload;
}
retry($a, $b);
is_whole(\@all, 'all have a greater vecdb.max_clock_skew');
put($a, 'a4', 'c4');
remove($c, 'a5');
is_whole(\@all, 'and write');

# Who takes it back too early is who waits
$a->append_conf('postgresql.conf', "vecdb.max_clock_skew = '5min'");
$a->reload;
put($c, 'c6');
are_held('c6', [ $a ], 'with the usual setting');
set_clock($_->name, $hour) for @all;
retry($a);
is_whole(\@all, 'the hour is over');
for my $node ($b, $c)
{
	$node->append_conf('postgresql.conf', "vecdb.max_clock_skew = '5min'");
	$node->reload;
}
put($_, 'usual_' . $_->name, $_->name . 7) for @all;
is_whole(\@all, 'all have the usual setting');
memory_is_as_before($memory, \@all, 'one was an hour ahead');
$memory = memory_of(@all);

# ---- an hour behind, and back ----

# Neither deadlines nor pauses are of the time of day: waits take as long as they said, and
# who has ended begins anew
my ($ticket, $next) = sql($c, q{UPDATE collections.docs SET metadata = metadata WHERE id = 'none'; INSERT INTO collections.docs (id, data, metadata) VALUES ('c0', '[1,2,3]', '{"n": 0}'); SELECT vecdb.commit_token()}) =~ /^(.*)\.(\d+)$/;
now_is($c, 'c0');
my (%short, %long);
my $short = start_psql($c, \%short, "SELECT vecdb.wait_for('$ticket.${\($next + 1)}', '3 seconds')");
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT vecdb.wait_for(%'}) eq '1' }), 'one waits for a commit token');
set_clock('c', 0);
sql($c, q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'vecdb node'});
my $ended = ok(wait_until(sub { $short->pump_nb; !$short->pumpable }), '... for no longer because the clock was put back');
$ended ? $short->finish : $short->kill_kill;
like($short{err}, qr/was not there in time/, '... but in vain');
ok(wait_until(sub { running($c) }), 'a worker that ends then begins anew');
my $long = start_psql($c, \%long, "SELECT vecdb.wait_for('$ticket.${\($next + 1)}', '10 minutes')");
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT vecdb.wait_for(%'}) eq '1' }), 'one waits again');
set_clock('c', $hour);
put($c, 'c00');
ok($long->finish, '... no shorter because the clock was put forward') or diag($long{err});

set_clock('c', 0);
other_time('c', sub { $c->restart });
put($c, 'behind1', 'c8', 'a8');
remove($c, 'c9');
# what c has kept of its own clock, from when that was right, may be up to a minute ahead
set_clock('a', $hour + 120);
put($a, 'c10', 'beside3');
are_held('beside3 c10', [$c], 'rows of others to whom it is an hour later');
ok(wait_until(sub { sql($b, q{SELECT string_agg(id, ' ' ORDER BY id) FROM collections.docs WHERE id IN ('behind1', 'c9')}) eq 'behind1' }), 'its own are later than what it had, and travel');
set_clock('c', $hour);
retry($c);
is_whole(\@all, 'its clock is right');
memory_is_as_before($memory, \@all, 'one was an hour behind');

# ---- a member is away for longer than rows that were deleted are remembered ----

put($a, map { "doomed$_" } 1 .. 50);
is_whole(\@all, 'before one is away');
$memory = memory_of(@all);
isolate($c);
$c->reload;
ok(wait_until(sub { peers_of($c) eq '0' }), 'one meets nobody');
put($c, 'offline', 'a11', 'doomed1');
remove($c, 'a12', 'b12');
$c->stop;
remove($a, map { "doomed$_" } 1 .. 50);
remove($b, 'a13');
put($a, 'b12', 'meanwhile');
all_equal([ $a, $b ], 'the others go on');
sleep 2;
ok(!forgotten($_, 'doomed'), 'what was deleted is remembered by ' . $_->name) for $a, $b;
# 31 days
$_->stop for $a, $b;
set_clock($_->name, 31 * 24 * $hour) for @all;
other_time($_->name, sub { $_->start }) for $a, $b;
ok(wait_until(sub { forgotten($_, 'doomed') }), '... and forgotten after 31 days') for $a, $b;
put($b, 'b14', 'after31');
let_meet($c);
other_time('c', sub { start_peer($c) });
is_whole(\@all, 'one is back after that');
memory_is_as_before($memory, \@all, 'one was away for 31 days');
is(sql($c, q{SELECT string_agg(key ->> 'id', ' ' ORDER BY key ->> 'id') FROM vecdb.conflict WHERE NOT deleted}), 'doomed1', 'what it wrote to a row whose deletion nobody remembers has lost');

nothing_crashed(@all);
done_testing();
