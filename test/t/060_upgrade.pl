# A database of 0.1.0 is brought to 0.2.0: the catalogs are those of a fresh
# 0.2.0, and tables, collections and indexes answer as they did.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../security";
use File::Copy;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbTraps;

# The old script, beside the new ones of this installation, which is a copy
my ($sharedir) = run_command([ 'pg_config', '--sharedir' ]);
my $old_script = "$sharedir/extension/vecdb--0.1.0.sql";
copy("$FindBin::RealBin/../upgrade/vecdb--0.1.0.sql", $old_script) or die "could not copy to $old_script: $!";
END { unlink $old_script if defined $old_script }

my $node = new_node('upgrade');
$node->safe_psql('postgres', 'CREATE ROLE ann LOGIN; CREATE ROLE bob; CREATE ROLE mallory LOGIN');

# Everything that the extension is, by names instead of oids
sub catalogs
{
	my ($db) = @_;

	return $node->safe_psql(
		$db, q{
		SET search_path = pg_catalog;
		CREATE TEMP VIEW member AS SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS what FROM pg_depend d
			WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vecdb');
		SELECT 'member', what, obj_description(objid, classid::regclass::text::name) FROM member ORDER BY 2;
		SELECT 'depends', what, deptype, pg_describe_object(refclassid, refobjid, refobjsubid)
			FROM member JOIN pg_depend USING (classid, objid) WHERE deptype <> 'e' ORDER BY 2, 3, 4;
		SELECT 'rule', what, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
			FROM member JOIN pg_rewrite r ON ev_class = member.objid JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
			WHERE member.classid = 'pg_class'::regclass ORDER BY 2, 3;
		SELECT 'function', what, md5(CASE WHEN prokind = 'a' THEN '' ELSE pg_get_functiondef(objid) END), proacl, proowner::regrole, prosrc, probin, procost, prorows, provolatile, proparallel
			FROM member JOIN pg_proc ON oid = objid AND classid = 'pg_proc'::regclass ORDER BY 2;
		SELECT 'aggregate', what, (to_jsonb(a) - 'aggfnoid')::text FROM member JOIN pg_aggregate a ON aggfnoid = objid AND classid = 'pg_proc'::regclass ORDER BY 2;
		SELECT 'relation', what, relkind, relacl, relowner::regrole, reloptions, relrowsecurity, pg_get_viewdef(objid)
			FROM member JOIN pg_class ON oid = objid AND classid = 'pg_class'::regclass ORDER BY 2;
		SELECT 'column', what, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attstorage, attacl, pg_get_expr(adbin, adrelid)
			FROM member JOIN pg_attribute ON attrelid = objid AND classid = 'pg_class'::regclass LEFT JOIN pg_attrdef ON adrelid = objid AND adnum = attnum
			WHERE attnum > 0 AND NOT attisdropped ORDER BY 2, 3;
		SELECT 'constraint', what, conname, pg_get_constraintdef(c.oid) FROM member JOIN pg_constraint c ON conrelid = objid AND classid = 'pg_class'::regclass ORDER BY 2, 3;
		SELECT 'index', what, pg_get_indexdef(indexrelid) FROM member JOIN pg_index ON indrelid = objid AND classid = 'pg_class'::regclass ORDER BY 2, 3;
		SELECT 'trigger', what, pg_get_triggerdef(t.oid) FROM member JOIN pg_trigger t ON tgrelid = objid AND classid = 'pg_class'::regclass ORDER BY 2, 3;
		SELECT 'type', what, typlen, typbyval, typcategory, typinput, typoutput, typreceive, typsend, typmodin, typalign, typstorage, typacl, typowner::regrole
			FROM member JOIN pg_type ON oid = objid AND classid = 'pg_type'::regclass ORDER BY 2;
		SELECT 'cast', what, castfunc::regprocedure, castcontext, castmethod FROM member JOIN pg_cast ON oid = objid AND classid = 'pg_cast'::regclass ORDER BY 2;
		SELECT 'operator', what, oprcode, oprrest, oprjoin, oprcom::regoperator, oprnegate::regoperator, oprcanhash, oprcanmerge, oprowner::regrole
			FROM member JOIN pg_operator ON oid = objid AND classid = 'pg_operator'::regclass ORDER BY 2;
		SELECT 'opclass', what, opcdefault, opcintype::regtype, opckeytype::regtype, opcowner::regrole FROM member JOIN pg_opclass ON oid = objid AND classid = 'pg_opclass'::regclass ORDER BY 2;
		SELECT 'amop', what, amoplefttype::regtype, amoprighttype::regtype, amopstrategy, amoppurpose, amopopr::regoperator
			FROM member JOIN pg_amop ON amopfamily = objid AND classid = 'pg_opfamily'::regclass ORDER BY 2, 3, 4, 5;
		SELECT 'amproc', what, amproclefttype::regtype, amprocnum, amproc::regprocedure
			FROM member JOIN pg_amproc ON amprocfamily = objid AND classid = 'pg_opfamily'::regclass ORDER BY 2, 3, 4;
		SELECT 'schema', nspname, nspowner::regrole, nspacl FROM member JOIN pg_namespace ON oid = objid AND classid = 'pg_namespace'::regclass ORDER BY 2;
		SELECT 'extension', extversion, extrelocatable, extnamespace::regnamespace, extconfig, extcondition FROM pg_extension WHERE extname = 'vecdb'});
}

# Tables, collections and indexes with few rows, of which every search finds all
sub fill
{
	my ($db) = @_;

	$node->safe_psql(
		$db, q{
		GRANT CREATE ON SCHEMA collections TO ann;
		CREATE TABLE items (id int PRIMARY KEY, v vector(4), h halfvec(4), s sparsevec(9), b bit(8));
		INSERT INTO items SELECT i, ARRAY[sin(i), cos(i), i % 7, 1]::vector, ARRAY[cos(i), i % 5, 1, i]::halfvec,
			format('{%s:%s,9:1}/9', i % 8 + 1, i / 3.0)::sparsevec, (i * 37 % 256)::bit(8) FROM generate_series(1, 200) i;
		CREATE INDEX ON items USING hnsw (v vector_l2_ops);
		CREATE INDEX ON items USING hnsw (v vector_cosine_ops) WHERE id > 20;
		CREATE INDEX ON items USING hnsw ((subvector(v, 1, 2)::halfvec(2)) halfvec_ip_ops);
		CREATE INDEX ON items USING hnsw (h halfvec_l1_ops);
		CREATE INDEX ON items USING hnsw (s sparsevec_ip_ops);
		CREATE INDEX ON items USING hnsw (b bit_hamming_ops);
		CREATE INDEX ON items (v);
		CREATE VIEW mine AS SELECT name, rows FROM vecdb.collections;
		CREATE FUNCTION total() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT total_vectors FROM vecdb.stats(); END;
		SET ROLE ann;
		SELECT vecdb.create_collection('papers', 3, filter_index => true);
		SELECT vecdb.create_collection('flat', 2, 'ip', 'flat', storage => 'halfvec');
		SELECT count(*) FROM generate_series(1, 200) i, vecdb.upsert('papers', i::text, ARRAY[sin(i), cos(i), i % 7]::vector, jsonb_build_object('n', i % 10));
		SELECT vecdb.upsert('flat', 'a', '[1,2]', '{"x": 1}');
		GRANT SELECT ON collections.papers TO bob;
		ALTER TABLE collections.papers ENABLE ROW LEVEL SECURITY;
		CREATE POLICY ones ON collections.papers TO bob USING (metadata @> '{"n": 1}');
		RESET ROLE});
	return;
}

sub content
{
	my ($db) = @_;

	return join "\n", map { $node->safe_psql($db, "SET hnsw.ef_search = 400; SET enable_seqscan = off; $_") } (
		q{SELECT * FROM items ORDER BY id},
		q{SELECT id, v <-> '[1,0,3,1]' FROM items ORDER BY v <-> '[1,0,3,1]' LIMIT 20},
		q{SELECT id FROM items WHERE id > 20 ORDER BY v <=> '[1,0,3,1]' LIMIT 20},
		q{SELECT id FROM items ORDER BY subvector(v, 1, 2)::halfvec(2) <#> '[1,2]' LIMIT 20},
		q{SELECT h <+> '[1,2,3,4]' FROM items ORDER BY h <+> '[1,2,3,4]' LIMIT 20},
		q{SELECT s <#> '{1:1,2:3}/9' FROM items ORDER BY s <#> '{1:1,2:3}/9' LIMIT 20},
		q{SELECT b <~> B'10101010' FROM items ORDER BY b <~> B'10101010' LIMIT 20},
		q{SELECT id FROM items WHERE v = '[0,0,0,1]' OR v < '[-0.9,0,0,0]' ORDER BY v},
		q{SELECT avg(v), sum(h) FROM items},
		q{SELECT * FROM vecdb.search('papers', '[1,0,3]', 20)},
		q{SELECT * FROM vecdb.search('papers', '[1,0,3]', 20, filter => '{"n": {"$lt": 3}}')},
		q{SELECT * FROM vecdb.search('flat', '[1,0]')},
		q{SELECT name, dimensions, metric, index_type, storage, m, ef_construction, rows, owner, filter_index FROM vecdb.collections ORDER BY name},
		q{SET ROLE bob; SELECT name, rows FROM vecdb.collections; SELECT count(*) FROM vecdb.search('papers', '[1,0,3]', 300, exact => true)},
		q{SELECT name, rows FROM vecdb.collection_info('papers')},
		q{SELECT * FROM mine ORDER BY name},
		q{SELECT total()},
		q{SELECT count(*) FROM pg_class c JOIN pg_am a ON a.oid = relam, LATERAL hnsw_check(c.oid::regclass) WHERE amname = 'hnsw'},
		q{SELECT indexdef FROM pg_indexes WHERE schemaname IN ('public', 'collections') ORDER BY 1});
}

foreach my $case ([ 'by a superuser', '', 'postgres' ], [ 'by the owner of the database', 'SCHEMA home', 'ann' ])
{
	my ($who, $schema, $role) = @$case;
	my ($fresh, $old) = ("fresh_$role", "old_$role");

	foreach ([ $fresh, '0.2.0' ], [ $old, '0.1.0' ])
	{
		my ($db, $version) = @$_;

		$node->safe_psql('postgres', "CREATE DATABASE $db OWNER $role TEMPLATE template0");
		$node->safe_psql($db, 'CREATE SCHEMA home; GRANT USAGE ON SCHEMA home TO PUBLIC', as_role($role));
		$node->safe_psql($db, "CREATE EXTENSION vecdb $schema VERSION '$version'", as_role($role));
		$node->safe_psql('postgres', "ALTER DATABASE $db SET search_path = home, public");
		fill($db);
	}
	my $before = content($old);

	is($before, content($fresh), "$who: 0.1.0 and 0.2.0 answer alike");
	isnt(catalogs($old), catalogs($fresh), "$who: and are not the same");
	$node->safe_psql($old, 'ALTER EXTENSION vecdb UPDATE', as_role($role));
	is(catalogs($old), catalogs($fresh), "$who: after the update the catalogs are those of a fresh one");
	is(content($old), $before, "$who: and the answers those of before");
	$node->safe_psql($old, q{SELECT vecdb.create_collection('later', 2); INSERT INTO items VALUES (1000, '[1,0,3,1]', '[1,1,1,1]', '{1:1}/9', B'10101010')});
	is($node->safe_psql($old, q{SELECT id FROM items ORDER BY v <-> '[1,0,3,1]' LIMIT 1; SELECT count(*) FROM vecdb.collections}), "1000\n3", "$who: and it goes on");
	is($node->safe_psql($old, q{SELECT vecdb.drop_collection('later'); DELETE FROM items WHERE id = 1000; VACUUM items}), '', "$who: rows go away again");
	is(content($old), $before, "$who: all as before");
}

# 0.1.0 was created in a schema full of traps, and its views are bound to them; so
# may the schema be at the update.
foreach ([ 'trapped', '0.1.0' ], [ 'trapped_fresh', '0.2.0' ])
{
	my ($db, $version) = @$_;

	$node->safe_psql('postgres', "CREATE DATABASE $db OWNER mallory TEMPLATE template0");
	$node->safe_psql($db, 'CREATE SCHEMA evil; ' . traps_sql('evil') . "CREATE EXTENSION vecdb SCHEMA evil VERSION '$version'", as_role('mallory'));
}
isnt(foreign_dependencies($node, 'trapped'), '', 'views of 0.1.0 are bound to what the owner of a database planted');
my $offset = -s $node->logfile;
$node->safe_psql('trapped', temp_traps_sql() . 'SET search_path = evil, pg_catalog; ALTER EXTENSION vecdb UPDATE', as_role('mallory'));
is(sprung($node, $offset), '', 'the update runs nothing of it');
is(foreign_dependencies($node, 'trapped'), '', 'and binds all of it anew');
is(catalogs('trapped'), catalogs('trapped_fresh'), 'as in a fresh one');
$offset = -s $node->logfile;
call_everything($node, 'trapped', 'evil');
is(sprung($node, $offset), '', 'so that nothing of it is run by who uses them');

$node->stop;
done_testing();
