# Many nodes with one collection, and a node with many collections: how long it takes
# until all have the same rows, and what workers hold and use when nothing happens.
# LONG=1: 30 nodes and 200 collections, else 6 and 12.  A second load of the same size
# adds nothing to memory.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max sum);
use Test::More;
use Time::HiRes qw(time sleep);
use VecdbNet;
use NetRows;

my $long = $ENV{LONG} // 0;
my $n = $long ? 30 : 6;
my $n_collections = $long ? 200 : 12;
my $idle = $long ? 30 : 5;	# seconds

# What workers hold, MB: the mean and the most; and what they use in a while of idling, % of a core
sub mb { return sprintf('%.1f', $_[0] / 1024) }

sub memory
{
	my (@nodes) = @_;
	my @rss = map { worker_rss($_) } @nodes;

	return (sum(@rss) / @rss, max(@rss));
}

sub idle
{
	my ($what, @nodes) = @_;
	my $began = time();
	my $before = sum(map { $_->worker_cpu } @nodes);

	sleep($idle);
	my $used = 100 * (sum(map { $_->worker_cpu } @nodes) - $before) / (time() - $began) / @nodes;
	diag(sprintf '%s: %.2f %% of a core for each worker while nothing happens', $what, $used);
	return $used;
}

# What a repeat of the same load adds: 2 %, once all has settled
sub settles
{
	my ($before, $what, @nodes) = @_;
	my @now;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { @now = memory(@nodes); return $now[0] < 1.02 * $before }, 60), "$what: the same load again leaves memory within 2 %");
	diag(sprintf '%s: %s MB for each worker before the second load, %s after, %s at most', $what, mb($before), map { mb($_) } @now);
	return;
}

# Many nodes
my $began = time();
my @all = (rows_node('n1'));
push @all, rows_node("n$_", bootstrap => $all[0]) for 2 .. $n;
diag(sprintf '%d servers started in %.1f s', $n, time() - $began);
$began = time();
share(\@all);
all_equal(\@all, "$n nodes have the rows that were there", 200);
diag(sprintf 'all have joined and copied after %.1f s', time() - $began);

sub load
{
	my ($round) = @_;
	my $rows = 20;

	$began = time();
	$_->sql("INSERT INTO collections.docs (id, data) SELECT 'load' || i || '-$_->{name}', ARRAY[i, $round, 1]::vector FROM generate_series(1, $rows) i ON CONFLICT (id) DO UPDATE SET data = EXCLUDED.data") for @all;
	my $written = time() - $began;
	all_equal(\@all, "$n nodes: what each has written is on all", 200 + $rows * $n);
	diag(sprintf '%d rows of each of %d nodes written in %.1f s, on all after %.1f s', $rows, $n, $written, time() - $began);
	return;
}
load(1);
load(2);
idle("$n nodes", @all);
my ($before) = memory(@all);
load(3);
settles($before, "$n nodes", @all);
my $id = 'single';
put_row($all[-1], $id);
arrives(\@all, $id, "a row is on $n nodes");
all_level(\@all, "$n nodes");
sound(@all);
$_->stop for @all;

# Many collections
my @two = (rows_node('many', conf => { 'max_locks_per_transaction' => 256 }));
push @two, rows_node('much', bootstrap => $two[0], conf => { 'max_locks_per_transaction' => 256 });
my ($a, $b) = @two;
$began = time();
$a->sql("SELECT vecdb.create_collection('c' || i, 3) FROM generate_series(1, $n_collections) i");
$a->sql("INSERT INTO collections.c$_ (id, data) SELECT i::text, '[1,2,3]' FROM generate_series(1, 20) i") for 1 .. $n_collections;
for my $i (1 .. $n_collections)
{
	is($b->join_by($a->invite("c$i", 'writer')), "collections.c$i", "collection $i is shared");
}
diag(sprintf '%d collections shared in %.1f s', $n_collections, time() - $began);

# Of all of them: how many rows, and a digest
my $digest = 'SELECT md5(string_agg(d, \'\' ORDER BY n)) FROM (' . join(' UNION ALL ',
	map { "SELECT $_ AS n, $_ || ':' || count(*) || ':' || md5(coalesce(string_agg(md5(t::text), '' ORDER BY id), '')) AS d FROM collections.c$_ t" } 1 .. $n_collections) . ') x';

sub both_equal
{
	my ($what) = @_;
	my @digests;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { @digests = map { $_->sql($digest) } @two; return $digests[0] eq $digests[1] }), $what);
	diag(sprintf '%s: %.1f s', $what, time() - $began);
	return;
}
both_equal("rows of $n_collections collections are copied");

sub load_each
{
	my ($round) = @_;

	$began = time();
	$_->sql("DO \$\$ BEGIN FOR i IN 1 .. $n_collections LOOP
			EXECUTE format('INSERT INTO collections.c%s (id, data) SELECT ''$_->{name}'' || i, ''[1,2,$round]'' FROM generate_series(1, 10) i ON CONFLICT (id) DO UPDATE SET data = EXCLUDED.data', i);
			COMMIT; END LOOP; END \$\$") for @two;
	both_equal("10 rows written to each of $n_collections collections on both sides are on both");
	return;
}
load_each(1);
load_each(2);
idle("$n_collections collections", @two);
($before) = memory(@two);
load_each(3);
settles($before, "$n_collections collections", @two);
for my $node (@two)
{
	ok($node->wait_sql(q{SELECT count(*), count(*) FILTER (WHERE state <> 'level' OR reason IS NOT NULL) FROM vecdb.stat_replication}, "$n_collections|0"), "$node->{name}: all are level");
	ok($node->wait_sql(q{SELECT count(*), count(*) FILTER (WHERE state <> 'replicating' OR waits_for IS NOT NULL OR quarantined + parked + buffered_bytes > 0) FROM vecdb.stat_collections}, "$n_collections|0"),
		"$node->{name}: no counter is red");
}
sound(@two);
done_testing;
