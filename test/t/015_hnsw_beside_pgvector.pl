# vecdb and pgvector in two databases of one server, vecdb preloaded: neither
# takes the other's functions or settings.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $alone = alone_with_pgvector();
my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
if (!-e "$libdir/vector.so" || !-e "$sharedir/extension/vector.control")
{
	plan skip_all => 'pgvector is not installed beside this server';
}

# Each order of loading: by the server, by each session, by each session after
# pgvector, on demand.
my %loaded = (
	preloaded => "shared_preload_libraries = 'vecdb'\nvecdb.http_executors = 0",
	session => "session_preload_libraries = 'vecdb'",
	both => "session_preload_libraries = 'vecdb, vector'",
	demand => '');
foreach my $what (sort keys %loaded)
{
	my $node = new_node($what, "$loaded{$what}\n");

	$node->safe_psql('postgres', 'CREATE DATABASE other');
	$node->safe_psql('other', 'CREATE EXTENSION vector');
	foreach my $db ('postgres', 'other')
	{
		$node->safe_psql(
			$db, q{
			CREATE TABLE t (id int, v vector(3));
			INSERT INTO t SELECT i, ARRAY[i, i % 7, i % 11]::vector FROM generate_series(1, 2000) i;
			CREATE INDEX t_v ON t USING hnsw (v vector_l2_ops);
			CREATE TABLE h AS SELECT id, v::halfvec(3) FROM t;
			CREATE INDEX h_v ON h USING hnsw (v halfvec_cosine_ops);
			CREATE TABLE s AS SELECT id, v::sparsevec(3) FROM t;
			CREATE INDEX s_v ON s USING hnsw (v sparsevec_ip_ops)});
		is( $node->safe_psql(
				$db, q{
				SET hnsw.ef_search = 99;
				SET hnsw.iterative_scan = strict_order;
				SET enable_seqscan = off;
				SELECT id FROM t ORDER BY v <-> '[500,3,5]' LIMIT 1;
				SHOW hnsw.ef_search;
				SHOW hnsw.iterative_scan}),
			"500\n99\nstrict_order", "$what, in $db: an index answers and its settings hold");
		my ($rc, $out, $err) = $node->psql($db, q{SET enable_seqscan = off; SELECT id FROM t ORDER BY v <-> '[1,1,1]' LIMIT 1; SET hnsw.ef_search = 0});
		like($err, qr/0 is outside the valid range for parameter "hnsw.ef_search" \(1 \.\. 1000\)/, "$what, in $db: settings are checked");
		is( $node->safe_psql($db, q{SELECT count(*) FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
				WHERE p.probin = '$libdir/} . ($db eq 'other' ? 'vecdb' : 'vector') . q{'}),
			'0', "$what, in $db: no function comes from the other's library");
		is( $node->safe_psql($db, q{SELECT avg(v), sum(v) FROM t WHERE id <= 2}), '[1.5,1.5,1.5]|[3,3,3]', "$what, in $db: aggregates");
	}
	is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('t_v')}), '', "$what: vecdb's index is sound");

	# A worker loads both libraries, and has the leader's settings.
	foreach my $db ('postgres', 'other')
	{
		is( $node->safe_psql(
				$db, q{SELECT '[1]'::vector; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
				SET parallel_leader_participation = off; SET hnsw.ef_search = 33;
				SELECT count(*) FROM t WHERE current_setting('hnsw.ef_search') = '33' AND vector_dims(v) = 3}),
			"[1]\n2000", "$what, in $db: parallel workers");
	}
	is($node->safe_psql('postgres', 'SHOW hnsw.ef_search'), '40', "$what: a first statement finds the settings") if $what ne 'demand';
	like(
		($node->psql('postgres', 'CREATE EXTENSION vector'))[2],
		qr/ERROR:  .* already exists/, "$what: the two do not share a schema of a database");

	# What one wrote the other reads: text and binary forms agree.
	my $file = $node->basedir . '/copy';
	foreach my $table (qw(t h s))
	{
		foreach my $format (qw(text binary))
		{
			unlink $file;
			$node->safe_psql('other', "COPY $table TO '$file' WITH (FORMAT $format)");
			$node->safe_psql('postgres', "CREATE TABLE ${table}_$format (LIKE $table); COPY ${table}_$format FROM '$file' WITH (FORMAT $format)");
			is($node->safe_psql('postgres', "SELECT count(*) FROM ${table}_$format a JOIN $table b USING (id) WHERE a.v = b.v"),
				'2000', "$what: $table goes over from pgvector as $format");
		}
	}
	$node->stop;
}
done_testing();
