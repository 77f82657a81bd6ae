# The owner of a database, who is no superuser, creates the extension (it is
# trusted) in a schema of his that he filled before.  Nothing of his is run by
# others who use it, and he gets none of its objects.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTraps;

my $node = PostgreSQL::Test::Cluster->new('owner');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = none\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN');
my @mallory = as_role('mallory');
my $before;

sub database
{
	my ($name) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $name OWNER mallory TEMPLATE template0");
	$before = -s $node->logfile;
	return;
}

# A schema of traps, on the path of everybody; the same in the temporary schema
database('trapped');
$node->safe_psql('trapped', 'CREATE SCHEMA evil; ' . traps_sql('evil') . temp_traps_sql() . 'CREATE EXTENSION vecdb SCHEMA evil', @mallory);
is($node->safe_psql('trapped', q{SELECT extowner::regrole, extnamespace::regnamespace FROM pg_extension WHERE extname = 'vecdb'}), 'mallory|evil',
	'the owner of a database creates the extension in a schema of his');
is(sprung($node, $before), '', 'the script ran nothing of his');
is(foreign_dependencies($node, 'trapped'), '', 'and is bound to nothing but pg_catalog and itself');
my ($out, $err) = call_everything($node, 'trapped', 'evil');
is(sprung($node, $before), '', 'nor does a superuser who calls everything');
like($out, qr/^called\|2\|cosine\|hnsw\|vector\|16\|200\|4\|/m, 'all of it answers');
unlike($err, qr/ERROR(?!.*(caled|node|preload|shared))/, 'without an error that is not meant');

# With the traps before pg_catalog in everybody's path
$node->safe_psql('trapped', 'ALTER DATABASE trapped SET search_path = evil, pg_catalog', @mallory);
$before = -s $node->logfile;
$node->psql('trapped', "SELECT 1::oid = 'evil'::pg_catalog.regnamespace");
is(sprung($node, $before), 'postgres', 'a statement with names that are not qualified springs traps');
$before = -s $node->logfile;
($out, $err) = call_everything($node, 'trapped', 'evil');
is(sprung($node, $before), '', 'the functions and views of vecdb do not');
like($out, qr/^called\|2\|cosine\|hnsw\|vector\|16\|200\|4\|/m, 'and answer');

# What he cannot do to it afterwards
foreach my $try (
	[ q{CREATE OR REPLACE FUNCTION evil.vector_in(cstring, oid, integer) RETURNS evil.vector LANGUAGE internal AS 'int4in'}, qr/must be owner|permission denied/ ],
	[ q{CREATE FUNCTION vecdb.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'}, qr/permission denied for schema vecdb/ ],
	[ q{CREATE OR REPLACE VIEW vecdb.collections AS SELECT 1}, qr/permission denied for schema vecdb|must be owner/ ],
	[ q{ALTER EXTENSION vecdb DROP FUNCTION vecdb.uses_metric(pg_catalog.text)}, qr/must be owner/ ],
	[ q{DROP FUNCTION evil.vector_dims(evil.vector)}, qr/extension vecdb requires it/ ],
	[ q{ALTER TYPE evil.vector RENAME TO other}, qr/must be owner/ ],
	[ q{ALTER SCHEMA vecdb OWNER TO mallory}, qr/must be owner/ ],
	[ q{DROP SCHEMA collections}, qr/extension vecdb requires it/ ],
	[ q{INSERT INTO vecdb.shared_collection (root, name) VALUES ('', 'x')}, qr/permission denied/ ],
	[ q{GRANT SELECT ON vecdb.membership_statement TO mallory}, qr/permission denied/ ])
{
	my ($statement, $error) = @$try;

	($out, $err) = ($node->psql('trapped', $statement, @mallory))[ 1, 2 ];
	like($err, $error, "he cannot: $statement");
}

# What stands where an object of ours would
my %taken = (
	schema_vecdb => 'CREATE SCHEMA vecdb',
	schema_collections => 'CREATE SCHEMA collections',
	type => 'CREATE TYPE evil.vector AS (a int)',
	domain => 'CREATE DOMAIN evil.sparsevec AS int',
	table => 'CREATE TABLE evil.vector (a int)',
	function => q{CREATE FUNCTION evil.vector_combine(float8[], float8[]) RETURNS float8[] LANGUAGE sql AS 'SELECT $1'},
	bit_function => q{CREATE FUNCTION evil.hamming_distance(bit, bit) RETURNS float8 LANGUAGE sql AS 'SELECT 1.0'},
	operator => q{CREATE FUNCTION evil.d(bit, bit) RETURNS float8 LANGUAGE sql AS 'SELECT 1.0'; CREATE OPERATOR evil.<~> (LEFTARG = bit, RIGHTARG = bit, FUNCTION = evil.d)},
	shell_operator => q{CREATE FUNCTION evil.d(bit, bit) RETURNS float8 LANGUAGE sql AS 'SELECT 1.0';
		CREATE OPERATOR evil.@#@ (LEFTARG = bit, RIGHTARG = bit, FUNCTION = evil.d, COMMUTATOR = OPERATOR(evil.<~>))});
foreach my $kind (sort keys %taken)
{
	database("taken_$kind");
	$node->safe_psql("taken_$kind", "CREATE SCHEMA evil; $taken{$kind}", @mallory);
	($out, $err) = ($node->psql("taken_$kind", 'CREATE EXTENSION vecdb SCHEMA evil', @mallory))[ 1, 2 ];
	like($err, qr/already exists|not a member of extension|must be owner/, "$kind: what is there is not taken for ours");
	is($node->safe_psql("taken_$kind", q{SELECT count(*) FROM pg_extension WHERE extname = 'vecdb'}), '0', "$kind: nothing is left behind");
}

# Nor is the extension in a schema that goes away with a session.
database('temporary');
$node->psql('temporary', 'CREATE TEMP TABLE t (a int); CREATE EXTENSION vecdb SCHEMA pg_temp', @mallory);
is($node->safe_psql('temporary', q{SELECT count(*) FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'vecdb' AND nspname ~ '^pg_temp'}),
	'0', 'it does not stay in a temporary schema');

$node->stop;
done_testing();
