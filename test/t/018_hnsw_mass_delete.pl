# All rows of a region were deleted, and their nodes are still in the index, all
# marked: a search that comes there finds the nearest rows that are left without a
# walk through every node of the region.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $deleted = 9000;
my $node = new_node('mass', q{
shared_buffers = 64MB
maintenance_work_mem = 128MB
});

# The nearest were deleted a moment ago, and nothing marks them yet: the first search finds others in
# their places, in order, also where many are equal.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE line (id int, v vector(2));
	INSERT INTO line SELECT i, ARRAY[i, 0]::vector FROM generate_series(1, 2000) i;
	INSERT INTO line SELECT 10000 + i, '[-5000,0]' FROM generate_series(1, 900) i;
	CREATE INDEX line_v ON line USING hnsw (v vector_l2_ops);
	DELETE FROM line WHERE id <= 30 OR id BETWEEN 101 AND 300 OR id BETWEEN 10001 AND 10500});
foreach my $try ([ 0, '31 .. 50' ], [ 101, '91 .. 100, 301 .. 310' ], [ 200, '100, 99, 98 and 301' ])
{
	my ($from, $name) = @$try;
	my $ask = "SELECT string_agg(id::text, ' ') FROM (SELECT id FROM line ORDER BY v <-> '[$from.25,0]' LIMIT 20) s";

	is($node->safe_psql('postgres', "SET enable_seqscan = off; $ask"), $node->safe_psql('postgres', "SET enable_indexscan = off; $ask"), "the nearest of $from: $name");
}
is($node->safe_psql('postgres', q{SET enable_seqscan = off; SELECT count(*) FROM (SELECT id FROM line ORDER BY v <-> '[-5000,0]' LIMIT 20) s}), 20, 'equal ones');

# Points of a cube of width 1 around 0, and as many around 1 in the first coordinate.
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE points (id int, v vector(6));
	ALTER TABLE points ALTER v SET STORAGE plain;
	INSERT INTO points SELECT i, ARRAY(SELECT (hashint8(i * 100 + k) / 4294967296.0 + CASE WHEN k = 1 AND i > $deleted THEN 1 ELSE 0 END)::real
		FROM generate_series(1, 6) k)::vector(6) FROM generate_series(1, $deleted + 3000) i;
	CREATE INDEX points_v ON points USING hnsw (v vector_l2_ops);
	CREATE TABLE asked AS SELECT i AS id, ARRAY(SELECT (hashint8(i * 977 + k) / 4294967296.0)::real FROM generate_series(1, 6) k)::vector(6) AS v
		FROM generate_series(1, 20) i;
	VACUUM ANALYZE points;
	DELETE FROM points WHERE id <= $deleted});

# A scan marks the rows that it finds dead, unless somebody's snapshot still sees them.
my $marked = wait_until(
	sub {
		return $node->safe_psql(
			'postgres', q{
			SET enable_seqscan = off; SET hnsw.iterative_scan = relaxed_order; SET hnsw.max_scan_tuples = 100000;
			SET jit = off;
			CREATE TEMP TABLE seen AS SELECT 1 FROM (SELECT id FROM points ORDER BY v <-> '[0,0,0,0,0,0]' LIMIT 100000) s;
			SELECT count(*) FROM seen}) >= 0 && $node->safe_psql('postgres', q{
			SET enable_seqscan = off; SET jit = off;
			SELECT count(*) FROM asked a, LATERAL (SELECT id FROM points ORDER BY v <-> a.v LIMIT 10) s}) == 200;
	});
ok($marked, 'the deleted rows are marked, for every search finds ten others');

my ($most, $hits) = (0, 0);

foreach my $i (1 .. 20)
{
	my ($rc, $out, $err) = $node->psql(
		'postgres', qq{
		SET enable_seqscan = off; SET vecdb.log_scan_counters = on; SET client_min_messages = log;
		SELECT id FROM points ORDER BY v <-> (SELECT v FROM asked WHERE id = $i) LIMIT 10});
	my ($expanded) = $err =~ /Nodes expanded: (\d+)/;
	my %exact = map { $_ => 1 } split /\n/, $node->safe_psql('postgres',
		"SET enable_indexscan = off; SELECT id FROM points ORDER BY v <-> (SELECT v FROM asked WHERE id = $i) LIMIT 10");

	$most = $expanded if $expanded > $most;
	$hits += grep { $exact{$_} } split /\n/, $out;
}
note "at most $most nodes expanded by a search, of $deleted without rows; $hits of 200 nearest found";
cmp_ok($most, '<', $deleted / 2, 'no search expands half of the deleted region');
cmp_ok($hits, '>=', 180, 'and nine of ten nearest rows are found');
$node->safe_psql('postgres', 'VACUUM points');
is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('points_v')"), 0, 'the index is sound after VACUUM');
$node->stop;
done_testing();
