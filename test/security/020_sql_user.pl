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
	[ 'LISTEN x', qr/within security-restricted operation/ ])
{
	my ($statement, $error) = @$try;

	like(error_of("SET vecdb_test.armed = '1'; SET vecdb_test.what = '$statement'; SELECT * FROM hnsw_check('tried_idx')"), $error, "an expression cannot: $statement");
}
is($node->safe_psql('postgres', q{SET vecdb_test.armed = '1'; SET vecdb_test.what = 'SET search_path = evil; SET work_mem = 64'; SELECT * FROM hnsw_check('tried_idx');
	SELECT current_setting('search_path'), current_setting('work_mem')}), '"$user", public|4MB', 'nor leave settings behind');
is($node->safe_psql('postgres', 'SELECT rolsuper FROM pg_roles WHERE rolname = \'mallory\''), 'f', 'he is who he was');

$node->stop;
done_testing();
