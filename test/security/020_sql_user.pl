# Users of SQL in one database, none of them a superuser: what one owns is not
# run with another's rights, what one may not read is not told, and what all share
# is not used up by one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTraps;

my $node = PostgreSQL::Test::Cluster->new('users');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\nautovacuum = off\nmax_locks_per_transaction = 10\nmax_connections = 20\n");
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION vecdb;
	CREATE ROLE ann LOGIN;
	CREATE ROLE bob LOGIN;
	CREATE ROLE mallory LOGIN;
	GRANT CREATE ON SCHEMA public, collections TO ann, mallory});
my @mallory = as_role('mallory');
my @ann = as_role('ann');
my @bob = as_role('bob');
my $trap = trap_body('$1') =~ s/current_user/format('%s, path %s', current_user, current_setting('search_path'))/r;
my ($offset, $rc, $out, $err);

# The error of a statement
sub error_of
{
	my ($statement, @as) = @_;

	return ($node->psql('postgres', $statement, @as))[2];
}

# ---------------------------------------------------------------------
# Somebody else's code: index expressions and predicates
$node->safe_psql(
	'postgres', qq{
	SET client_min_messages = error;
	CREATE FUNCTION trap(vector) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS \$q\$$trap\$q\$;
	CREATE FUNCTION trap(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \$q\$$trap\$q\$;
	CREATE TABLE mine (id int, v vector(2));
	INSERT INTO mine SELECT i, ARRAY[i, 1]::vector FROM generate_series(1, 10) i;
	CREATE INDEX mine_idx ON mine USING hnsw ((trap(v)::vector(2)) vector_l2_ops) WHERE trap(id) > 3 AND trap(7) > 0}, @mallory);
$offset = -s $node->logfile;
is($node->safe_psql('postgres', q{SET search_path = public, pg_catalog; SELECT * FROM hnsw_check('mine_idx')}), '', 'a superuser checks the index of another');
my %ran = map { $_ => 1 } substr(slurp_file($node->logfile), $offset) =~ /WARNING:  a trap was sprung by (.*)/g;
is(join('; ', sort keys %ran), 'mallory, path pg_catalog, pg_temp', 'its expression and predicate run as their owner, with a search_path of nobody');
is($node->safe_psql('postgres', q{SET search_path = public; SELECT count(*) FROM hnsw_check('mine_idx'); SELECT current_user, current_setting('search_path')}),
	"0\npostgres|public", 'and the superuser is who he was');

$node->safe_psql('postgres', 'GRANT SELECT ON mine TO bob', @mallory);
foreach my $who ([ 'a superuser' ], [ 'a reader', @bob ])
{
	my ($name, @as) = @$who;

	$offset = -s $node->logfile;
	is($node->safe_psql('postgres', q{SET search_path = public; SELECT rows, recall FROM hnsw_recall('mine_idx'); SELECT current_user, current_setting('search_path')}, @as),
		"7|1\n@{[ @as ? 'bob' : 'postgres' ]}|public", "$name measures the index of another, and is who he was");
	%ran = map { $_ => 1 } substr(slurp_file($node->logfile), $offset) =~ /WARNING:  a trap was sprung by (.*)/g;
	is(join('; ', sort keys %ran), 'mallory, path pg_catalog, pg_temp', "$name: expression and predicate run as their owner");
}
like(error_of(q{SELECT * FROM hnsw_recall('mine_idx')}, @ann), qr/permission denied for table mine/, 'who may not read a table does not measure its index');
$node->safe_psql('postgres', q{CREATE POLICY few ON mine USING (id < 5); ALTER TABLE mine ENABLE ROW LEVEL SECURITY}, @mallory);
like(error_of(q{SELECT * FROM hnsw_recall('mine_idx')}, @bob), qr/row-level security hides rows of table "mine" from you/, 'nor does who sees a part of its rows');
$node->safe_psql('postgres', q{ALTER TABLE mine DISABLE ROW LEVEL SECURITY}, @mallory);

# An expression that tries to stay, to leave, or to set
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION try() RETURNS void VOLATILE LANGUAGE plpgsql AS $q$
	BEGIN
		EXECUTE current_setting('vecdb_test.what');
	END $q$;
	CREATE FUNCTION try(vector) RETURNS vector IMMUTABLE LANGUAGE plpgsql AS $q$
	BEGIN
		IF current_setting('vecdb_test.armed', true) = '1' THEN
			PERFORM public.try();
		END IF;
		RETURN $1;
	END $q$;
	CREATE TABLE tried (v vector(2));
	INSERT INTO tried VALUES ('[1,2]');
	CREATE INDEX tried_idx ON tried USING hnsw ((try(v)::vector(2)) vector_l2_ops)}, @mallory);
foreach my $try (
	[ 'ALTER ROLE mallory SUPERUSER', qr/must be superuser|permission denied/ ],
	[ 'RESET ROLE', qr/within security-restricted operation/ ],
	[ 'SET SESSION AUTHORIZATION postgres', qr/within security-restricted operation/ ],
	[ 'CREATE TEMP TABLE t (a int)', qr/within security-restricted operation/ ],
	[ 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', qr/within security-restricted operation/ ],
	[ 'LISTEN x', qr/within security-restricted operation/ ],
	[ 'PREPARE p AS SELECT 1', qr/within security-restricted operation/ ],
	[ 'SELECT pg_advisory_lock(1)', qr/within security-restricted operation/ ],
	[ 'SELECT pg_try_advisory_lock_shared(1, 2)', qr/within security-restricted operation/ ],
	[ 'SELECT pg_advisory_unlock_all()', qr/within security-restricted operation/ ])
{
	my ($statement, $error) = @$try;

	like(error_of("SET vecdb_test.armed = '1'; SET vecdb_test.what = '$statement'; SELECT * FROM hnsw_check('tried_idx')"), $error, "an expression cannot: $statement");
}
is($node->safe_psql('postgres', q{SET vecdb_test.armed = '1'; SET vecdb_test.what = 'SET search_path = evil; SET work_mem = 64'; SELECT * FROM hnsw_check('tried_idx');
	SELECT current_setting('search_path'), current_setting('work_mem')}), '"$user", public|4MB', 'nor leave settings behind');
is($node->safe_psql('postgres', q{SELECT pg_advisory_lock(7) \gset
	SET vecdb_test.armed = '1'; SET vecdb_test.what = $$DO 'BEGIN PERFORM pg_advisory_unlock_all(), pg_advisory_lock(8); EXCEPTION WHEN OTHERS THEN NULL; END'$$;
	SELECT * FROM hnsw_check('tried_idx');
	SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
	RESET vecdb_test.armed; SELECT pg_advisory_lock(9) IS NULL}), "7\nf", 'nor locks of the session, nor take those that are there; its user goes on with them');
# ... nor when it runs code of an owner in between, with and without an error
$node->safe_psql(
	'postgres', q{
	CREATE TABLE between (v vector(2));
	INSERT INTO between VALUES ('[1,2]');
	CREATE INDEX between_idx ON between USING hnsw (v vector_l2_ops);
	CREATE TABLE failing (id text);
	INSERT INTO failing VALUES ('a');
	CREATE POLICY p ON failing USING (length(id) / (length(id) - 1) > 0);
	ALTER TABLE failing ENABLE ROW LEVEL SECURITY}, @mallory);
$node->safe_psql('postgres', 'ALTER TABLE failing OWNER TO ann; GRANT SELECT ON failing TO mallory');
foreach my $between (
	q{PERFORM * FROM public.hnsw_check('public.between_idx')},
	q{BEGIN PERFORM * FROM public.hnsw_check('public.tried_idx'); EXCEPTION WHEN OTHERS THEN NULL; END},
	q{PERFORM * FROM public.hnsw_recall('public.between_idx')},
	q{BEGIN PERFORM * FROM public.hnsw_recall('public.tried_idx'); EXCEPTION WHEN OTHERS THEN NULL; END},
	q{PERFORM vecdb.count_rows('public.failing')})
{
	is($node->safe_psql('postgres', qq{SELECT pg_advisory_lock(7) \\gset
		SET vecdb_test.armed = '1'; SET vecdb_test.what = \$\$DO 'BEGIN SET vecdb_test.what = ''x''; @{[ $between =~ s/'/''/gr ]}; PERFORM pg_advisory_unlock_all(); EXCEPTION WHEN insufficient_privilege THEN NULL; END'\$\$;
		SELECT * FROM hnsw_check('tried_idx');
		SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()}), '7', "... nor after: $between");
}
is($node->safe_psql('postgres', 'SELECT rolsuper FROM pg_roles WHERE rolname = \'mallory\''), 'f', 'he is who he was');

# ---------------------------------------------------------------------
# What one may not read is not told
$node->safe_psql(
	'postgres', q{
	SELECT vecdb.create_collection('private', 7, 'l1', m => 9);
	SELECT vecdb.create_collection('open', 2);
	SELECT vecdb.upsert('private', 'secret', '[1,2,3,4,5,6,7]');
	CREATE TABLE collections.plain (id text);
	GRANT SELECT ON collections.open TO PUBLIC}, @ann);
foreach my $try (
	q{SELECT vecdb.search('private', '[1,2]')},
	q{SELECT vecdb.search('private', '[1,2,3,4,5,6,7]')},
	q{SELECT vecdb.search('private', NULL)},
	q{SELECT vecdb.upsert('private', 'x', '[1,2]')},
	q{SELECT vecdb.upsert('private', '[{"data": [1,2]}]'::jsonb)},
	q{SELECT vecdb.upsert_batch('private', NULL, ARRAY['[1,2]']::vector[])},
	q{SELECT vecdb.search('plain', '[1,2]')},
	q{SELECT vecdb.collection_table('private')},
	q{SELECT vecdb.collection_table('plain')},
	q{SELECT vecdb.collection_info('private')})
{
	like(error_of($try, @bob), qr/^psql:<stdin>:1: ERROR:  permission denied for table (private|plain)(\nCONTEXT:  SQL function "collection_info" statement 1)?$/, "a stranger is told of rights only: $try");
}
foreach my $try (q{SELECT vecdb.drop_collection('private')}, q{SELECT vecdb.rename_collection('private', 'other')}, q{SELECT vecdb.drop_collection('plain')})
{
	like(error_of($try, @bob), qr/^psql:<stdin>:1: ERROR:  must be owner of table (private|plain)$/, "and: $try");
}
unlike(error_of(q{SELECT vecdb.search('privat', '[1]')}, @bob), qr/private/, 'no hint names it');
is($node->safe_psql('postgres', q{SELECT * FROM vecdb.describe('collections.private')}, @bob), '', 'nothing describes it');
is($node->safe_psql('postgres', q{SELECT vecdb.count_rows('collections.private') IS NULL}, @bob), 't', 'nobody counts it');
is($node->safe_psql('postgres', q{SELECT name FROM vecdb.collections}, @bob), 'open', 'nor is it in the list');
is($node->safe_psql('postgres', q{SELECT collections FROM vecdb.stats()}, @bob), '1', 'nor in the totals');
is($node->safe_psql('postgres', q{SELECT dimensions, m FROM vecdb.describe('collections.private')}, @ann), '7|9', 'its owner reads all that');
$node->safe_psql('postgres', q{CREATE ROLE col LOGIN; GRANT SELECT (id, data, metadata) ON collections.private TO col});
is($node->safe_psql('postgres', q{SELECT id FROM vecdb.search('private', '[1,2,3,4,5,6,7]')}, as_role('col')), 'secret', 'and who was granted its columns searches');

# A cheap function sees no row that rights keep from the caller
$node->safe_psql('postgres', q{INSERT INTO vecdb.shared_collection (root, "table", name) VALUES (sha256('x'), 'collections.private'::regclass, 'private')});
foreach my $view (qw(shared_collections collections))
{
	($rc, $out, $err) = $node->psql(
		'postgres', qq{
		CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS 'BEGIN RAISE NOTICE ''saw %'', \$1; RETURN true; END';
		SELECT name FROM vecdb.$view WHERE pg_temp.leak(name) AND name <> 'open'}, @bob);
	is($err =~ s/^.*saw open\n?//gmr, '', "vecdb.$view shows a cheap function nothing more");
	is($out, '', 'and gives nothing');
}
$node->safe_psql('postgres', 'DELETE FROM vecdb.shared_collection');

# ---------------------------------------------------------------------
# What a list of all runs of each one's owner
$node->safe_psql(
	'postgres', qq{
	SET client_min_messages = error;
	CREATE FUNCTION own_rows(text) RETURNS boolean LANGUAGE plpgsql AS \$q\$@{[ trap_body('true') ]}\$q\$;
	SELECT vecdb.create_collection('bait', 2, index_type => 'flat'), vecdb.create_collection('policed', 2, index_type => 'flat'),
		vecdb.create_collection('forced', 2, index_type => 'flat'), vecdb.create_collection('broken', 2, index_type => 'flat'),
		vecdb.create_collection('plainly', 2, index_type => 'flat'), vecdb.create_collection('closed', 2, index_type => 'flat');
	SELECT vecdb.upsert(c, 'a', '[1,2]', '{"owner": "bob"}'), vecdb.upsert(c, 'b', '[1,2]', '{"owner": "ann"}')
		FROM unnest('{bait,policed,forced,broken,plainly,closed}'::text[]) c;
	CREATE INDEX ON collections.bait (created_at) WHERE trap(7) > 0;
	CREATE POLICY p ON collections.policed USING (own_rows(id));
	CREATE POLICY p ON collections.forced USING (own_rows(id));
	CREATE POLICY p ON collections.broken USING (length(id) / (length(id) - 1) > 0);
	CREATE POLICY p ON collections.plainly USING (metadata ->> 'owner' = current_user);
	ALTER TABLE collections.policed ENABLE ROW LEVEL SECURITY;
	ALTER TABLE collections.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	ALTER TABLE collections.broken ENABLE ROW LEVEL SECURITY;
	ALTER TABLE collections.plainly ENABLE ROW LEVEL SECURITY;
	GRANT SELECT ON collections.bait, collections.policed, collections.forced, collections.broken, collections.plainly, collections.closed TO PUBLIC;
	REVOKE SELECT ON collections.closed FROM mallory}, @mallory);
my $list = q{SELECT name, rows FROM vecdb.collections WHERE owner = 'mallory' ORDER BY name};
$offset = -s $node->logfile;
is($node->safe_psql('postgres', $list), "bait|2\nbroken|2\nclosed|2\nforced|2\nplainly|2\npoliced|2", 'a superuser lists collections, and counts what that is safe for');
is($node->safe_psql('postgres', $list, @bob), "bait|2\nbroken|\nclosed|2\nforced|\nplainly|1\npoliced|", 'another user sees those of his rows that nobody\'s code chooses');
$node->safe_psql('postgres', 'SELECT * FROM vecdb.stats()', $_ ? @bob : ()) foreach 0, 1;
is(sprung($node, $offset) =~ s/,//r, 'mallory', 'and nothing of the owner\'s is run by another');

# No error of their code or data ends the list for others, whatever its class
$node->safe_psql(
	'postgres', q{
	SET client_min_messages = error;
	CREATE FUNCTION fails(state text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $q$
	BEGIN
		IF current_user <> session_user THEN
			RAISE EXCEPTION 'fails' USING ERRCODE = state;
		END IF;
		RETURN 1;
	END $q$;
	SELECT vecdb.create_collection(c, 2, index_type => 'flat') FROM unnest('{raising,pretending,exhausting,huge,sound}'::text[]) c;
	SELECT vecdb.upsert(c, 'a', '[1,2]') FROM unnest('{raising,pretending,exhausting,huge,sound}'::text[]) c;
	CREATE INDEX ON collections.raising (created_at) WHERE fails('P0001') > 0;
	CREATE INDEX ON collections.pretending (created_at) WHERE fails('57014') > 0;
	CREATE POLICY p ON collections.exhausting USING (length(repeat(id, 2000000000)) > 0);
	CREATE POLICY p ON collections.huge USING (length(repeat(id, 600000000) || repeat(id, 600000000)) > 0);
	ALTER TABLE collections.exhausting ENABLE ROW LEVEL SECURITY;
	ALTER TABLE collections.huge ENABLE ROW LEVEL SECURITY;
	GRANT SELECT ON collections.raising, collections.pretending, collections.exhausting, collections.huge, collections.sound TO PUBLIC}, @mallory);
$list = q{SELECT name, rows FROM vecdb.collections WHERE name IN ('raising', 'pretending', 'exhausting', 'huge', 'sound') ORDER BY name};
is($node->safe_psql('postgres', $list), "exhausting|1\nhuge|1\npretending|\nraising|\nsound|1", 'a superuser is told of what others count');
is($node->safe_psql('postgres', $list, @bob), "exhausting|\nhuge|\npretending|\nraising|\nsound|1", 'so is another user');
$node->safe_psql('postgres', q{DROP TABLE collections.raising, collections.pretending, collections.exhausting, collections.huge, collections.sound});

# A policy may ask for a column that is not stored
if ($node->pg_version >= 18)
{
	$node->safe_psql(
		'postgres', q{
		SELECT vecdb.create_collection('unstored', 2, index_type => 'flat'), vecdb.upsert('unstored', 'a', '[1,2]'), vecdb.upsert('unstored', 'bb', '[1,2]');
		ALTER TABLE collections.unstored ADD COLUMN long int GENERATED ALWAYS AS (length(id)) VIRTUAL;
		CREATE POLICY p ON collections.unstored USING (long > 1);
		ALTER TABLE collections.unstored ENABLE ROW LEVEL SECURITY;
		GRANT SELECT ON collections.unstored TO PUBLIC}, @mallory);
	is($node->safe_psql('postgres', q{SELECT name, rows FROM vecdb.collections WHERE name = 'unstored'}, @bob), 'unstored|1', 'a policy on a virtual column chooses');
	$node->safe_psql('postgres', 'DROP TABLE collections.unstored');
}

# The planner evaluates expressions of statistics and keys of partitions, too; and
# not all that is immutable and in C is harmless.
$node->safe_psql('postgres', 'CREATE SCHEMA hs; CREATE EXTENSION hstore SCHEMA hs; GRANT USAGE ON SCHEMA hs TO PUBLIC');
$node->safe_psql(
	'postgres', q{
	SET client_min_messages = error;
	SELECT vecdb.create_collection(c, 2, index_type => 'flat') FROM unnest('{hashed,stored,measured}'::text[]) c;
	SELECT vecdb.upsert(c, 'a', '[1,2]'), vecdb.upsert(c, 'b', '[1,2]') FROM unnest('{hashed,stored,measured}'::text[]) c;
	CREATE STATISTICS measure (ndistinct) ON (trap(7) + length(id)), (length(id)) FROM collections.measured;
	CREATE TABLE hash_parent (a int) PARTITION BY HASH ((trap(7) + a));
	CREATE DOMAIN trapped AS int CHECK (trap(value) > 0);
	CREATE TYPE holder AS (a trapped);
	CREATE TABLE list_parent (id text NOT NULL, data vector(2), metadata jsonb) PARTITION BY LIST ((trap(7) + length(id)));
	CREATE TABLE collections.part PARTITION OF list_parent (CONSTRAINT metric CHECK (vecdb.uses_metric('l2'))) FOR VALUES IN (8);
	INSERT INTO collections.part VALUES ('a', '[1,2]', '{}');
	CREATE POLICY p ON collections.measured USING (id <> 'a');
	CREATE POLICY p ON collections.hashed USING (satisfies_hash_partition('hash_parent'::regclass, 2, 0, length(id)) OR id <> '');
	CREATE POLICY p ON collections.stored USING (hs.populate_record(NULL::holder, hs.hstore('a', '1')) IS NOT NULL);
	CREATE POLICY p ON collections.part USING (id <> 'x');
	ALTER TABLE collections.measured ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	ALTER TABLE collections.hashed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	ALTER TABLE collections.stored ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	ALTER TABLE collections.part ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
	GRANT SELECT ON collections.measured, collections.hashed, collections.stored, collections.part TO PUBLIC}, @mallory);
$list = q{SET constraint_exclusion = on; SELECT name, rows FROM vecdb.collections WHERE name IN ('measured', 'hashed', 'stored', 'part') ORDER BY name};
$offset = -s $node->logfile;
is($node->safe_psql('postgres', $list), "hashed|2\nmeasured|2\npart|1\nstored|2", 'a superuser counts past the policies of owners who are subject to them');
is($node->safe_psql('postgres', $list, @bob), "hashed|\nmeasured|1\npart|1\nstored|", 'another user counts past statistics and keys, and is not told what only such code could tell');
is(sprung($node, $offset), '', 'and none of it is run');

# ---------------------------------------------------------------------
# Locks: of what one may not read none, of a list one at a time
$node->safe_psql('postgres', 'DO $$ BEGIN FOR i IN 1 .. 1200 LOOP EXECUTE format(\'CREATE TABLE many_%s (a int)\', i); IF i % 50 = 0 THEN COMMIT; END IF; END LOOP; END $$', @ann);
foreach ([ 'a stranger', @bob ], [ 'a superuser' ])
{
	my ($who, @as) = @$_;

	is( $node->safe_psql('postgres', q{BEGIN; SELECT count(d) < 100 FROM pg_class c LEFT JOIN vecdb.describe(c.oid) d ON true;
			SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation >= 16384; ROLLBACK}, @as),
		"t\n0", "$who describes every relation there is, and holds no lock");
}
my $locker = $node->background_psql('postgres', @ann, on_error_stop => 1);
$locker->query_safe('BEGIN; LOCK TABLE collections.private, many_1 IN ACCESS EXCLUSIVE MODE');
foreach my $try (
	q{SELECT * FROM vecdb.describe('collections.private')},
	q{SELECT vecdb.count_rows('collections.private')},
	q{SELECT * FROM vecdb.describe('many_1')},
	q{SELECT vecdb.collection_table('private')},
	q{SELECT vecdb.search('private', '[1]')},
	q{SELECT vecdb.upsert('private', 'a', '[1]')},
	q{SELECT vecdb.drop_collection('private')},
	q{SELECT vecdb.rename_collection('private', 'x')},
	q{SELECT * FROM hnsw_check('collections.private_data_idx')},
	q{SELECT * FROM hnsw_stats('collections.private_data_idx')},
	q{SELECT * FROM hnsw_recall('collections.private_data_idx')})
{
	unlike(error_of("SET lock_timeout = '10s'; $try", @bob), qr/timeout/, "a stranger does not wait for a lock: $try");
}
$locker->query_safe('ROLLBACK');
$locker->quit;

$node->safe_psql('postgres', "SELECT vecdb.create_collection('c$_', 2, index_type => 'flat')", @ann) foreach 1 .. 10;
$node->safe_psql('postgres', 'DO $$ BEGIN FOR i IN 11 .. 400 LOOP PERFORM vecdb.create_collection(format(\'c%s\', i), 2, index_type => \'flat\'); IF i % 10 = 0 THEN COMMIT; END IF; END LOOP; END $$', @ann);
is( $node->safe_psql('postgres', q{BEGIN; SELECT count(rows) FROM vecdb.collections WHERE owner = 'ann'; SELECT collections FROM vecdb.stats();
		SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation >= 16384 AND relation <> 'vecdb.collections'::regclass; ROLLBACK}, @ann),
	"402\n412\n0", 'a list of more collections than the lock table holds is counted');

$node->stop;
done_testing();
