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

my ($libdir) = run_command([ 'pg_config', '--pkglibdir' ]);
my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
if (!-e "$libdir/vector.so" || !-e "$sharedir/extension/vector.control")
{
	plan skip_all => 'pgvector is not installed beside this server';
}

# A backend of each order of loading: preloaded, and on demand.
foreach my $preload ('', 'vecdb')
{
	my $what = $preload ? 'preloaded' : 'loaded on demand';
	my $node = new_node($preload ? 'preloaded' : 'demand', "shared_preload_libraries = '$preload'\n");

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
