# CREATE EXTENSION vector, as migrations and dumps send it, where the stand-in
# for pgvector is installed.
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
my $make = "make -s -C '$ENV{TESTDIR}' PG_CONFIG=pg_config";

# Where the machine has pgvector too it steps aside, in this copy of the server.
my @aside;

sub step_aside
{
	foreach my $file ("$libdir/vector.so", glob("$sharedir/extension/vector.control $sharedir/extension/vector--*.sql"))
	{
		next if !-e $file;
		rename $file, "$file.aside" or die "cannot rename $file: $!";
		push @aside, $file;
	}
	return;
}

END
{
	my $status = $?;

	system "$make uninstall-vector-shim >/dev/null 2>&1";
	rename "$_.aside", $_ foreach @aside;
	$? = $status;
}

step_aside();
is(system("$make install-vector-shim >/dev/null"), 0, 'the stand-in is installed');
is(system("$make install-vector-shim >/dev/null"), 0, 'and again, over itself');

my $node = PostgreSQL::Test::Cluster->new('shim');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'vecdb'\nvecdb.http_executors = 0\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE ROLE owner LOGIN;
	CREATE ROLE stranger LOGIN;
	CREATE DATABASE plain;
	CREATE DATABASE owned OWNER owner;
	CREATE DATABASE placed;
	CREATE DATABASE apart;
	CREATE DATABASE cascaded});

my $extensions = q{SELECT extname, extversion, extowner::regrole, extnamespace::regnamespace FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1};
my $vecdb = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'vecdb'});

sub output
{
	my ($db, $sql, @options) = @_;
	my ($rc, $out, $err) = $node->psql($db, $sql, @options);

	return $out . $err;
}

# ---------------------------------------------------------------------------
# The statement of every migration

is(output('plain', 'CREATE EXTENSION IF NOT EXISTS vector'), '', 'without CASCADE');
like(output('plain', 'CREATE EXTENSION IF NOT EXISTS vector'), qr/NOTICE:  extension "vector" already exists, skipping/, 'once more');
is($node->safe_psql('plain', $extensions), "vecdb|$vecdb|postgres|public\nvector|0.8.6|postgres|public", 'both extensions are there');
is($node->safe_psql('plain', 'SHOW hnsw.ef_search'), '40', 'with the settings');
is($node->safe_psql('plain', q{CREATE TABLE t (v vector(2)); CREATE INDEX ON t USING hnsw (v vector_l2_ops); INSERT INTO t VALUES ('[1,2]');
	SELECT v <-> '[1,1]' FROM t}), '1', 'with types and index');
is($node->safe_psql('plain', q{SELECT to_regtype('vector')::oid = oid, typarray <> 0 FROM pg_type WHERE typname = 'vector'}), 't|t', "drivers find the type");
is($node->safe_psql('plain', q{SELECT count(*) FROM pg_depend WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'vector') AND deptype = 'e'}),
	'0', 'nothing stays of the script');
is($node->safe_psql('plain', q{SELECT count(*) FROM pg_namespace WHERE nspname = 'vecdb_for_vector'}), '0', 'nor its schema');
like(output('plain', 'ALTER EXTENSION vector UPDATE'), qr/NOTICE:  version "0.8.6" of extension "vector" is already installed/, 'ALTER EXTENSION UPDATE');
like(output('plain', 'CREATE SCHEMA s; ALTER EXTENSION vector SET SCHEMA s'), qr/ERROR:  extension "vector" does not support SET SCHEMA/,
	'what has nothing does not move it');
like(output('plain', 'DROP EXTENSION vecdb'), qr/ERROR:  cannot drop extension vecdb because other objects depend on it\n.*extension vector depends on extension vecdb/s,
	'vecdb stays while vector is there');
is(output('plain', 'DROP EXTENSION vector; SELECT count(*) FROM t'), '1', 'vector goes without vecdb');
is(output('plain', 'CREATE EXTENSION vector; SELECT count(*) FROM t'), '1', 'and comes to it');

is(output('cascaded', 'CREATE EXTENSION vector CASCADE; DROP EXTENSION vecdb CASCADE;' . $extensions) =~ s/.*NOTICE.*\n?//r, '', 'with CASCADE');
like(output('cascaded', 'CREATE FUNCTION f() RETURNS void AS $$$libdir/vecdb$$, $$vecdb_for_vector$$ LANGUAGE C; SELECT f()'),
	qr/ERROR:  only the script of extension "vector" may call this function/, 'nobody else calls the function');
like(output('cascaded', "BEGIN; CREATE SCHEMA vecdb; CREATE EXTENSION vector; COMMIT"), qr/ERROR:  schema "vecdb" already exists/, 'vecdb cannot be created');
is(output('cascaded', "DROP FUNCTION f; BEGIN; CREATE EXTENSION vector; ROLLBACK; CREATE EXTENSION vector; CREATE EXTENSION IF NOT EXISTS vecdb; CREATE EXTENSION pg_trgm")
	=~ s/.*NOTICE.*\n?//r, '', 'an error and a rollback leave nothing behind in the session') if -e "$sharedir/extension/pg_trgm.control";

# ---------------------------------------------------------------------------
# The owner of a database, who is no superuser; a role that may create nothing

like(output('owned', 'CREATE EXTENSION vector', extra_params => [ '-U', 'stranger' ]), qr/ERROR:  permission denied to create extension "vector"/,
	'not by a role that may not create in the database');
my $trap = q{CREATE SCHEMA mine; SET search_path = mine;
	CREATE TABLE caught (who name);
	CREATE FUNCTION "create"(int DEFAULT 1) RETURNS void LANGUAGE sql AS 'INSERT INTO mine.caught VALUES (current_user)';
	CREATE FUNCTION vecdb_for_vector(VARIADIC int[] DEFAULT '{}') RETURNS void LANGUAGE sql AS 'INSERT INTO mine.caught VALUES (current_user)';
	CREATE EXTENSION vector;
	SELECT count(*) FROM caught};
is(output('owned', $trap, extra_params => [ '-U', 'owner' ]), '0', 'by the owner of the database');
is($node->safe_psql('owned', $extensions), "vecdb|$vecdb|owner|mine\nvector|0.8.6|owner|mine", 'who owns both');
is(output('owned', 'SELECT current_user; DROP EXTENSION vector; DROP EXTENSION vecdb', extra_params => [ '-U', 'owner' ]), 'owner', 'and drops both');

# ---------------------------------------------------------------------------
# Schemas

is(output('placed', q{CREATE SCHEMA "X,y"; CREATE EXTENSION vector SCHEMA "X,y"}), '', 'in a schema');
is($node->safe_psql('placed', $extensions), qq{vecdb|$vecdb|postgres|"X,y"\nvector|0.8.6|postgres|"X,y"}, 'both are in it');
is($node->safe_psql('placed', q{SELECT '[1]'::"X,y".vector}), '[1]', 'and the types');
is(output('apart', q{CREATE EXTENSION vecdb; CREATE SCHEMA x; CREATE EXTENSION vector SCHEMA x}),
	'psql:<stdin>:1: WARNING:  the types are in schema "public", with extension "vecdb"', 'where vecdb is elsewhere the types are told of');

# ---------------------------------------------------------------------------
# Dumps

foreach my $db (qw(plain placed))
{
	my $dump = $node->basedir . "/$db.sql";

	$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr($db) ], "pg_dump of $db");
	my $text = slurp_file($dump);
	my @create = $text =~ /^CREATE EXTENSION .*?;$/mg;

	is(scalar @create, 2, "$db: the dump names both");

	# either one first
	foreach my $first (0, 1)
	{
		my $order = $text;

		$order =~ s/^\Q$create[1]\E\n//m;
		$order =~ s/^\Q$create[0]\E$/$create[$first]\n$create[1 - $first]/m;
		append_to_file("$dump.$first", $order);
		$node->safe_psql('postgres', "CREATE DATABASE ${db}_$first TEMPLATE template0");
		$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr("${db}_$first"), '-f', "$dump.$first" ],
			"$db: restored, " . ($create[$first] =~ /(vecdb|vector)/)[0] . ' first');
		is($node->safe_psql("${db}_$first", $extensions), $node->safe_psql($db, $extensions), "$db: the same extensions");
	}
}
is($node->safe_psql('plain_1', q{SET enable_seqscan = off; SELECT v FROM t ORDER BY v <-> '[0,0]' LIMIT 1}), '[1,2]', 'an index was restored');

# A dump of pgvector's: one extension, in a schema.
$node->safe_psql('postgres', 'CREATE DATABASE migrated');
is(output('migrated', q{CREATE SCHEMA ext; CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA ext;
	COMMENT ON EXTENSION vector IS 'vector data type and ivfflat and hnsw access methods';
	CREATE TABLE t (v ext.vector(3)); CREATE INDEX i ON t USING hnsw (v ext.vector_cosine_ops) WITH (m='16', ef_construction='64')}),
	'', "a dump of pgvector's");
$node->stop;

done_testing();
