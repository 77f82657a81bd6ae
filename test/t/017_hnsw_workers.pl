# How many workers a build has: as many as there are values for, wherever the values
# lie and whatever maintenance_work_mem is; what the table and the settings say counts;
# none where a worker may not do what the build does.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $node = new_node('workers', q{
log_min_messages = debug1
max_worker_processes = 16
max_parallel_workers = 8
max_parallel_maintenance_workers = 4
});

# Run a statement, give how many workers were started meanwhile.
sub workers
{
	my ($sql, $settings) = @_;
	my $offset = -s $node->logfile;

	$node->safe_psql('postgres', ($settings // '') . ";\n$sql");
	return scalar(() = slurp_file($node->logfile, $offset) =~ /starting background worker process "parallel worker/g);
}

# The same for an index made on a table, and dropped.
sub build
{
	my ($table, $settings, $what) = @_;

	return workers("CREATE INDEX built ON $table USING hnsw (" . ($what // 'v') . ' vector_l2_ops) WITH (m = 4, ef_construction = 8); DROP INDEX built', $settings);
}

# so long values are out of line, and the table itself is small
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION wide(i int) RETURNS vector(520) LANGUAGE sql IMMUTABLE AS $$
		SELECT (array_fill(hashint4(i) / 1e9, ARRAY[260]) || array_fill(hashint4(-i) / 1e9, ARRAY[260]))::vector(520) $$;
	CREATE TABLE wide (id int, v vector(520));
	INSERT INTO wide SELECT i, wide(i) FROM generate_series(1, 17000) i});
cmp_ok($node->safe_psql('postgres', q{SELECT pg_relation_size('wide')}), '<', 4 * 1024 * 1024, 'the table is too small for a worker of PostgreSQL');

is(build('wide'), 2, 'values out of line have workers, before the table was analyzed');
$node->safe_psql('postgres', 'VACUUM ANALYZE wide');
is(build('wide'), 2, 'and after, as many as there are values for');
is(build('wide', q{SET maintenance_work_mem = '32MB'}), 2, 'and with little memory, which they share');
is(build('wide', 'SET max_parallel_maintenance_workers = 1'), 1, 'as many as max_parallel_maintenance_workers');
is(build('wide', 'SET max_parallel_maintenance_workers = 0'), 0, 'none where it is 0');
is(build('wide', 'SET max_parallel_workers = 1'), 1, 'as many as max_parallel_workers');
is(build('wide', 'SET max_parallel_workers = 0'), 0, 'none where that is 0');

$node->safe_psql('postgres', 'ALTER TABLE wide SET (parallel_workers = 1)');
is(build('wide'), 1, 'as many as the table says');
$node->safe_psql('postgres', 'ALTER TABLE wide SET (parallel_workers = 0)');
is(build('wide'), 0, 'none where it says 0');
$node->safe_psql('postgres', 'ALTER TABLE wide RESET (parallel_workers)');

# values of the index count, not rows of the table
is(build('wide', undef, '((CASE WHEN id % 2 = 0 THEN v END)::vector(520))'), 0, 'few values in many rows have none');

$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION careful(v vector) RETURNS vector(520) LANGUAGE plpgsql IMMUTABLE PARALLEL RESTRICTED AS 'BEGIN RETURN v; END';
	CREATE FUNCTION every(id int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN id > 0; END'});
is(build('wide', undef, '(careful(v)::vector(520))'), 0, 'none where the expression is not parallel safe');
is(workers('CREATE INDEX built ON wide USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8) WHERE every(id)'), 0, 'nor where the predicate is not');
$node->safe_psql('postgres', 'DROP INDEX built');
is( workers(
		q{CREATE TEMP TABLE own AS SELECT * FROM wide;
		CREATE INDEX ON own USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8)}), 0, 'nor for a temporary table');

is(workers('CREATE INDEX CONCURRENTLY built ON wide USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8)'), 2, 'CREATE INDEX CONCURRENTLY has workers');
is(workers('REINDEX INDEX built'), 2, 'REINDEX has');
is(workers('REINDEX INDEX CONCURRENTLY built'), 2, 'REINDEX CONCURRENTLY has');
is($node->safe_psql('postgres', q{SELECT count(*) FROM hnsw_check('built')}), 0, 'and the index is sound');

# well below what has a worker, for the number is that of a sample
$node->safe_psql('postgres', 'CREATE TABLE few AS SELECT * FROM wide WHERE id <= 7000');
is($node->safe_psql('postgres', 'CREATE INDEX ON few USING hnsw (v vector_l2_ops) WITH (m = 4, ef_construction = 8)'), '', 'a small table is indexed');
is(workers('REINDEX INDEX few_v_idx'), 0, 'by one process');

# plain values are counted as well
$node->safe_psql('postgres', q{CREATE TABLE bits (b bit(64)); INSERT INTO bits SELECT hashint8extended(i, 1)::bit(64) FROM generate_series(1, 13000) i});
is(workers('CREATE INDEX ON bits USING hnsw (b bit_hamming_ops) WITH (m = 4, ef_construction = 8)'), 1, 'plain values have workers');

$node->stop;
done_testing();
