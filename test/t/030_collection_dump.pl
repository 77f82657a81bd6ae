# pg_dump and pg_restore bring collections back: data, metric, indexes, grants, owners,
# policies; whether the dump is restored by a superuser or by the owner of a database.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $node = new_node('collections');
my $dir = $node->basedir;

$node->safe_psql(
	'postgres', q{
	CREATE ROLE ann LOGIN;
	CREATE ROLE bob LOGIN;
	CREATE ROLE readers;
	GRANT CREATE ON SCHEMA collections TO ann WITH GRANT OPTION;
	GRANT CREATE ON SCHEMA collections TO bob;
	REVOKE USAGE ON SCHEMA collections FROM PUBLIC;
	GRANT USAGE ON SCHEMA collections TO ann, bob, readers;
	SET ROLE ann;
	SELECT vecdb.create_collection('hnsw_cosine', 8, filter_index => true);
	SELECT vecdb.create_collection('flat_ip', 8, 'ip', 'flat', storage => 'halfvec');
	SELECT vecdb.create_collection('Odd-name', 3, 'l1', m => 7, ef_construction => 33);
	GRANT SELECT, INSERT, UPDATE ON collections.hnsw_cosine TO bob;
	GRANT SELECT ON collections.flat_ip TO readers;
	SET ROLE bob;
	SELECT vecdb.create_collection('bobs', 2, 'l2', 'flat');
	RESET ROLE;
	INSERT INTO collections.hnsw_cosine (id, data, metadata)
		SELECT i, ARRAY[sin(i), cos(i), sin(i * 2), cos(i * 2), sin(i * 3), cos(i * 3), i % 7, 1]::vector,
			jsonb_build_object('n', i, 'owner', CASE WHEN i % 2 = 0 THEN 'ann' ELSE 'bob' END)
		FROM generate_series(1, 1000) i;
	INSERT INTO collections.flat_ip SELECT * FROM collections.hnsw_cosine WHERE id::int <= 300;
	SELECT vecdb.upsert('Odd-name', 'only', '[1,2,3]', '{"x": {"y": [1, null]}}');
	ALTER TABLE collections.hnsw_cosine ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON collections.hnsw_cosine TO bob USING (metadata ->> 'owner' = current_user);
	COMMENT ON TABLE collections.bobs IS 'of bob';
	-- changed by hand, as users do
	SELECT vecdb.create_collection('gone', 2);
	DROP TABLE collections.gone;
	SELECT vecdb.create_collection('before', 2, 'dot_product', 'flat');
	ALTER TABLE collections.before RENAME TO renamed;
	ALTER TABLE collections.renamed ADD note text;
	SELECT vecdb.create_collection('unindexed', 2, 'l2');
	DROP INDEX collections.unindexed_data_idx});

my $query = "'[1,0,0,1,0,1,2,1]'";
my $facts = 'SELECT name, dimensions, metric, index_type, storage, m, ef_construction, rows, owner, filter_index FROM vecdb.collections ORDER BY name';

# Everything that ought to be the same afterwards
sub content
{
	my ($db) = @_;

	return join "\n", map { $node->safe_psql($db, $_) } (
		$facts,
		"SET ROLE ann; $facts",
		"SET ROLE bob; $facts",
		"SELECT id, metadata, created_at, updated_at, data FROM collections.hnsw_cosine ORDER BY id",
		"SELECT * FROM vecdb.search('hnsw_cosine', $query, 20, exact => true)",
		"SELECT * FROM vecdb.search('hnsw_cosine', $query, 20, filter => '{\"n\": {\"\$lt\": 200}, \"owner\": \"ann\"}')",
		"SELECT * FROM vecdb.search('flat_ip', $query, 20)",
		q{SELECT * FROM vecdb.search('Odd-name', '[1,2,4]')},
		"SET ROLE bob; SELECT * FROM vecdb.search('hnsw_cosine', $query, 500, exact => true)",
		"SET ROLE bob; SELECT rows FROM vecdb.collections WHERE name = 'hnsw_cosine'",
		q{SELECT c.relname, relkind, pg_get_userbyid(relowner), relacl, relrowsecurity, obj_description(c.oid) FROM pg_class c
			WHERE relnamespace = 'collections'::regnamespace AND relkind IN ('r', 'i') ORDER BY 1},
		q{SELECT polname, polrelid::regclass, polroles::regrole[], pg_get_expr(polqual, polrelid) FROM pg_policy},
		q{SELECT nspname, pg_get_userbyid(nspowner), array(SELECT unnest(nspacl)::text ORDER BY 1) FROM pg_namespace WHERE nspname IN ('vecdb', 'collections')},
		q{SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'collections'::regnamespace AND contype IN ('c', 'p') ORDER BY conrelid::regclass::text, 2},
		q{SELECT tgrelid::regclass, tgname FROM pg_trigger ORDER BY tgrelid::regclass::text, 2},
		q{SELECT indexdef FROM pg_indexes WHERE schemaname = 'collections' ORDER BY indexname});
}

my $original = content('postgres');
like($original, qr/^hnsw_cosine\|8\|cosine\|hnsw\|vector\|16\|200\|1000\|ann\|t$/m, 'a collection is described');
like($original, qr/^hnsw_cosine\|8\|cosine\|hnsw\|vector\|16\|200\|500\|ann\|t$/m, 'bob sees half of its rows');
like($original, qr/^unindexed\|2\|l2\|flat\|/m, 'one that lost its index has its metric');
foreach my $format (qw(custom directory plain))
{
	my ($db) = dump_and_restore($node, $format);

	is(content($db), $original, "$format: all is as it was");
	is( $node->safe_psql($db, q{SELECT c.relname, p.* FROM pg_class c JOIN pg_am a ON a.oid = relam, LATERAL hnsw_check(c.oid::regclass) p WHERE amname = 'hnsw'}),
		'', "$format: indexes are sound");
	is($node->safe_psql($db, q{SELECT vecdb.upsert('hnsw_cosine', '1', '[1,2,3,4,5,6,7,8]'); SELECT updated_at > created_at FROM collections.hnsw_cosine WHERE id = '1'}),
		"1\nt", "$format: an upsert sets updated_at");
	is($node->safe_psql($db, q{SELECT vecdb.create_collection('gone', 2); SELECT vecdb.drop_collection('gone')}), "collections.gone\n", "$format: collections are created and dropped");
}

# Restored by one who is no superuser: the extension is trusted
$node->safe_psql('postgres', 'CREATE DATABASE anns OWNER ann TEMPLATE template0');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--no-owner', '--no-privileges', '-U', 'ann', '-d', $node->connstr('anns'), "$dir/dump_custom" ],
	'the owner of a database restores');
is( $node->safe_psql('anns', "SELECT name, metric, index_type, rows, owner FROM vecdb.collections ORDER BY name", extra_params => [ '-U', 'ann' ]),
	join("\n", 'Odd-name|l1|hnsw|1|ann', 'bobs|l2|flat|0|ann', 'flat_ip|ip|flat|300|ann', 'hnsw_cosine|cosine|hnsw|1000|ann', 'renamed|ip|flat|0|ann', 'unindexed|l2|flat|0|ann'),
	'all is there, and is hers');
my ($rc, $out, $err) = $node->psql('anns', "SELECT vecdb.create_collection('his', 2)", extra_params => [ '-U', 'bob' ]);
like($err, qr/permission denied for schema collections/, 'another may not create in it');
is($node->safe_psql('anns', q{GRANT CREATE ON SCHEMA collections TO bob; SET ROLE bob}, extra_params => [ '-U', 'postgres' ]), '', 'until he is granted it');
is($node->safe_psql('anns', "SELECT vecdb.create_collection('his', 2)", extra_params => [ '-U', 'bob' ]), 'collections.his', 'then he may');

# One table alone
$node->command_ok([ 'pg_dump', '-Fc', '-t', 'collections.flat_ip', '-f', "$dir/one", $node->connstr('postgres') ], 'dump of one collection');
$node->safe_psql('postgres', 'CREATE DATABASE one TEMPLATE template0');
$node->safe_psql('one', 'CREATE EXTENSION vecdb');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('one'), "$dir/one" ], 'and its restore');
is($node->safe_psql('one', 'SELECT name, metric, rows FROM vecdb.collections'), 'flat_ip|ip|300', 'it is there');

# Dropping the extension
($rc, $out, $err) = $node->psql('one', 'DROP EXTENSION vecdb');
like($err, qr/cannot drop extension vecdb because other objects depend on it/, 'the extension is not dropped while there are collections');
$node->safe_psql('one', 'DROP EXTENSION vecdb CASCADE; CREATE EXTENSION vecdb');
is($node->safe_psql('one', 'SELECT count(*) FROM vecdb.collections'), '0', 'CASCADE takes them, and it can be made again');

$node->stop;
done_testing();
