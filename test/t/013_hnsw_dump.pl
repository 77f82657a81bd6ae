# pg_dump, pg_restore and binary COPY carry every type and every index over.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $node = new_node('dump', 'shared_buffers = 32MB');
$node->safe_psql(
	'postgres', q{
	CREATE TABLE vectors (id int PRIMARY KEY, x vector(8));
	CREATE TABLE halves (id int PRIMARY KEY, x halfvec(8));
	CREATE TABLE bits (id int PRIMARY KEY, x bit(24));
	CREATE TABLE sparse (id int PRIMARY KEY, x sparsevec(1000));
	CREATE TABLE loose (id int PRIMARY KEY, x vector, h halfvec, s sparsevec);
	INSERT INTO vectors SELECT i, ARRAY[sin(i), cos(i), i, -i, i / 3.0, 1e-30 * i, 1e30 * i, 0]::vector FROM generate_series(1, 500) i;
	INSERT INTO halves SELECT i, ARRAY[sin(i), cos(i), i, -i, i / 3.0, 6e-8 * i, 100 * i, 0]::halfvec FROM generate_series(1, 500) i;
	INSERT INTO bits SELECT i, (i * 7919)::bit(24) FROM generate_series(1, 500) i;
	INSERT INTO sparse SELECT i, format('{%s:%s,%s:-1}/1000', i, i / 3.0, 1000 - i / 2)::sparsevec FROM generate_series(1, 500) i;
	INSERT INTO vectors VALUES (1001, NULL), (1002, '[0,0,0,0,0,0,0,-0]');
	INSERT INTO sparse VALUES (1001, NULL), (1002, '{}/1000');
	INSERT INTO loose VALUES (1, '[1]', '[1,2]', '{3:1}/3'), (2, '[1,2,3]', NULL, '{}/1000000000'), (3, NULL, '[-65504]', NULL);
	CREATE INDEX vectors_l2 ON vectors USING hnsw (x vector_l2_ops);
	CREATE INDEX vectors_ip ON vectors USING hnsw (x vector_ip_ops) WITH (m = 8);
	CREATE INDEX vectors_cosine ON vectors USING hnsw (x vector_cosine_ops) WITH (m = 12, ef_construction = 40);
	CREATE INDEX vectors_l1 ON vectors USING hnsw (x vector_l1_ops) WHERE id > 100;
	CREATE INDEX vectors_half ON vectors USING hnsw ((subvector(x, 1, 4)::halfvec(4)) halfvec_l2_ops);
	CREATE INDEX halves_l2 ON halves USING hnsw (x halfvec_l2_ops);
	CREATE INDEX halves_ip ON halves USING hnsw (x halfvec_ip_ops);
	CREATE INDEX halves_cosine ON halves USING hnsw (x halfvec_cosine_ops);
	CREATE INDEX halves_l1 ON halves USING hnsw (x halfvec_l1_ops);
	CREATE INDEX bits_hamming ON bits USING hnsw (x bit_hamming_ops);
	CREATE INDEX bits_jaccard ON bits USING hnsw (x bit_jaccard_ops);
	CREATE INDEX sparse_l2 ON sparse USING hnsw (x sparsevec_l2_ops);
	CREATE INDEX sparse_ip ON sparse USING hnsw (x sparsevec_ip_ops);
	CREATE INDEX sparse_cosine ON sparse USING hnsw (x sparsevec_cosine_ops);
	CREATE INDEX sparse_l1 ON sparse USING hnsw (x sparsevec_l1_ops);
	CREATE INDEX loose_btree ON loose (x);
	CREATE MATERIALIZED VIEW averages AS SELECT id % 10 AS g, avg(x) AS x FROM vectors WHERE id <= 500 GROUP BY 1;
	CREATE VIEW near AS SELECT id, x <-> '[1,1,1,1,1,1,1,1]' AS d FROM halves ORDER BY x <-> '[1,1,1,1,1,1,1,1]' LIMIT 3});

# Everything that ought to be the same afterwards
sub content
{
	my ($db) = @_;

	return join "\n", map { $node->safe_psql($db, $_) } (
		(map { "SELECT '$_', md5(string_agg(t::text, E'\\n' ORDER BY id)) FROM $_ t" } qw(vectors halves bits sparse loose)),
		'SELECT md5(string_agg(encode(vector_send(x), \'hex\'), \'\' ORDER BY id)) FROM vectors',
		'SELECT * FROM averages ORDER BY g',
		'SELECT * FROM near',
		q{SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname},
		q{SELECT attrelid::regclass, attname, format_type(atttypid, atttypmod), attstorage FROM pg_attribute
			JOIN pg_class c ON c.oid = attrelid
			WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm') AND attnum > 0 ORDER BY c.relname, attname});
}

sub indexes_are_sound
{
	my ($db) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($db, q{SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE amname = 'hnsw'}), '15', "$db: 15 indexes");
	is( $node->safe_psql($db,
			q{SELECT c.relname, p.* FROM pg_class c JOIN pg_am a ON a.oid = relam, LATERAL hnsw_check(c.oid::regclass) p WHERE amname = 'hnsw'}),
		'', "$db: they are sound");
	return;
}

my $original = content('postgres');
my $dir = $node->basedir;
indexes_are_sound('postgres');
foreach my $format (qw(custom directory plain))
{
	my ($db) = dump_and_restore($node, $format);

	is(content($db), $original, "$format: all is as it was");
	indexes_are_sound($db);
}

# Binary COPY, out of one table and into its like, and the same bytes out again
foreach my $table (qw(vectors halves bits sparse loose))
{
	$node->safe_psql(
		'postgres', qq{
		COPY (SELECT * FROM $table ORDER BY id) TO '$dir/$table.one' WITH (FORMAT binary);
		CREATE TABLE ${table}_copy (LIKE $table INCLUDING ALL);
		COPY ${table}_copy FROM '$dir/$table.one' WITH (FORMAT binary);
		COPY (SELECT * FROM ${table}_copy ORDER BY id) TO '$dir/$table.two' WITH (FORMAT binary)});
	ok(slurp_file("$dir/$table.one") eq slurp_file("$dir/$table.two"), "$table: binary COPY out, in and out gives the same bytes");
	is($node->safe_psql('postgres', "SELECT count(*) FROM $table FULL JOIN ${table}_copy c USING (id) WHERE $table.x IS DISTINCT FROM c.x"),
		'0', "$table: and the same rows");
}
is( $node->safe_psql('postgres',
		q{SELECT c.relname, p.* FROM pg_class c JOIN pg_am a ON a.oid = relam, LATERAL hnsw_check(c.oid::regclass) p WHERE amname = 'hnsw'}),
	'', 'indexes that were filled by COPY are sound');
# A file that ends too soon is refused and leaves nothing.
my $bytes = slurp_file("$dir/vectors.one");
append_to_file("$dir/vectors.cut", substr($bytes, 0, length($bytes) - 7));
my ($rc, $out, $err) = $node->psql('postgres', "TRUNCATE vectors_copy; COPY vectors_copy FROM '$dir/vectors.cut' WITH (FORMAT binary)");
like($err, qr/ERROR/, 'a file that is cut short is refused');
is($node->safe_psql('postgres', 'SELECT count(*) FROM vectors_copy'), '0', 'and leaves no row');

# Dropping the extension
($rc, $out, $err) = $node->psql('restored_plain', 'DROP EXTENSION vecdb');
like($err, qr/cannot drop extension vecdb because other objects depend on it/, 'the extension is not dropped while it is in use');
$node->safe_psql('restored_plain', 'DROP EXTENSION vecdb CASCADE');
is($node->safe_psql('restored_plain', q{SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE amname = 'hnsw'}), '0', 'CASCADE takes the indexes');
is($node->safe_psql('restored_plain', 'SELECT count(id) FROM vectors'), '502', 'and leaves the tables');

$node->stop;
done_testing();
