# The settings hnsw.* are there from a session's first statement on where vecdb
# is preloaded and the database has the extension; elsewhere they are not ours.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $node = new_node('settings', "shared_preload_libraries = 'vecdb'\nvecdb.http_executors = 0\n");

$node->safe_psql(
	'postgres', q{
	CREATE ROLE plain LOGIN;
	CREATE DATABASE bare;
	CREATE DATABASE later;
	CREATE TABLE t AS SELECT i FROM generate_series(1, 100000) i;
	CREATE FUNCTION ef() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN current_setting('hnsw.ef_search'); END $$;
	ANALYZE t});

# Each of these is the first statement of a session.
sub first
{
	my ($db, $statement, $expected, $what, @options) = @_;
	my ($rc, $out, $err) = $node->psql($db, $statement, @options);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is("$out$err", $expected, $what);
	return;
}

# One statement as the first of a session by the extended protocol.
sub first_parsed
{
	my ($db, $statement, $protocol) = @_;
	my $file = $node->basedir . '/statement';

	open my $f, '>', $file or die "cannot write $file: $!";
	print $f "$statement;\n";
	close $f;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->command_ok([ 'pgbench', '-n', '-t', '1', '-M', $protocol, '-f', $file, '-d', $node->connstr($db) ],
		"$protocol protocol: $statement");
	return;
}

# ---------------------------------------------------------------------------
# The first statement

first('postgres', 'SHOW hnsw.ef_search', '40', 'SHOW');
first('postgres', q{SELECT current_setting('hnsw.iterative_scan')}, 'strict_order', 'current_setting');
first('postgres', q{SELECT string_agg(name, ' ' ORDER BY name) FROM pg_settings WHERE name LIKE 'hnsw.%'},
	'hnsw.ef_search hnsw.iterative_scan hnsw.max_scan_tuples hnsw.scan_mem_multiplier', 'pg_settings');
first('postgres', 'SELECT ef()', '40', 'current_setting in the body of a function');
first('postgres', "SET hnsw.ef_search = 0",
	'psql:<stdin>:1: ERROR:  0 is outside the valid range for parameter "hnsw.ef_search" (1 .. 1000)', 'SET checks the value');
first('postgres', "BEGIN; SET LOCAL hnsw.ef_search = 77; SHOW hnsw.ef_search; COMMIT; SHOW hnsw.ef_search", "77\n40", 'SET LOCAL');
first('postgres', "SET hnsw.nonsense = 1",
	qq{psql:<stdin>:1: ERROR:  invalid configuration parameter name "hnsw.nonsense"\nDETAIL:  "hnsw" is a reserved prefix.}, 'no other name');
first('postgres', "BEGIN ISOLATION LEVEL SERIALIZABLE; SHOW hnsw.ef_search; SET TRANSACTION READ ONLY; COMMIT", '40',
	'looking for the extension takes no snapshot');
first_parsed('postgres', 'SHOW hnsw.ef_search', $_) foreach qw(extended prepared);

# ---------------------------------------------------------------------------
# Who may set them where, and what comes of it

my @plain = (extra_params => [ '-U', 'plain' ]);

first('postgres', 'ALTER ROLE plain SET hnsw.ef_search = 100', '', 'a plain role sets it for itself', @plain);
first('postgres', 'SHOW hnsw.ef_search', '100', 'and has it in its next session', @plain);
first('postgres', q{SELECT source FROM pg_settings WHERE name = 'hnsw.ef_search'}, 'user', 'from there', @plain);
first('postgres', 'SET hnsw.ef_search = 5; RESET hnsw.ef_search; SHOW hnsw.ef_search', '100', 'RESET goes back to it', @plain);
first('postgres', 'SHOW hnsw.ef_search', '40', 'another role does not have it');
first('postgres', 'ALTER ROLE plain SET hnsw.ef_search = 0',
	'psql:<stdin>:1: ERROR:  0 is outside the valid range for parameter "hnsw.ef_search" (1 .. 1000)', 'ALTER ROLE checks the value', @plain);
first('postgres', q{ALTER ROLE plain SET hnsw.iterative_scan = relaxed_order; ALTER ROLE plain RESET hnsw.ef_search;
	SELECT setconfig FROM pg_db_role_setting}, '{hnsw.iterative_scan=relaxed_order}', 'ALTER ROLE RESET', @plain);

$node->safe_psql('postgres', 'ALTER DATABASE postgres SET hnsw.ef_search = 60');
first('postgres', 'SHOW hnsw.ef_search', '60', 'ALTER DATABASE');
{
	local $ENV{PGOPTIONS} = '-c hnsw.ef_search=70';

	first('postgres', 'SHOW hnsw.ef_search', '70', "the client's options");
	first('postgres', 'SHOW hnsw.ef_search', '70', "a plain client's options", @plain);
	$ENV{PGOPTIONS} = '-c hnsw.ef_search=lots';
	like(join('', $node->psql('postgres', 'SHOW hnsw.ef_search')),
		qr/40.*WARNING:  invalid value for parameter "hnsw.ef_search": "lots"/s, 'a bad one is told of and not taken');
}
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET hnsw.ef_search');
$node->append_conf('postgresql.conf', 'hnsw.ef_search = 50');
$node->reload;
ok(wait_until(sub { $node->safe_psql('postgres', 'SHOW hnsw.ef_search') eq '50' }), 'postgresql.conf');
$node->append_conf('postgresql.conf', 'hnsw.ef_search = 40');
$node->reload;
ok(wait_until(sub { $node->safe_psql('postgres', 'SHOW hnsw.ef_search') eq '40' }), 'and changed there');
$node->safe_psql('postgres', 'ALTER SYSTEM SET hnsw.max_scan_tuples = 9');
$node->reload;
ok(wait_until(sub { $node->safe_psql('postgres', 'SHOW hnsw.max_scan_tuples') eq '9' }), 'ALTER SYSTEM');

# ---------------------------------------------------------------------------
# Parallel workers: they have what the leader has, a default too

my $parallel = q{SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
	SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off;};

like($node->safe_psql('postgres', "$parallel EXPLAIN SELECT count(*) FROM t WHERE current_setting('hnsw.ef_search') = '40'"),
	qr/Gather/, 'the plan is parallel');
first('postgres', "$parallel SELECT count(*) FROM t WHERE current_setting('hnsw.ef_search') = '40'", '100000', "a worker has the default");
first('postgres', "$parallel SET hnsw.ef_search = 33; SELECT count(*) FROM t WHERE current_setting('hnsw.ef_search') = '33'",
	'100000', "a worker has the leader's value");

# ---------------------------------------------------------------------------
# Databases without the extension, and those that come to it

like(join('', $node->psql('bare', 'SHOW hnsw.scan_mem_multiplier')), qr/unrecognized configuration parameter "hnsw.scan_mem_multiplier"/,
	'a database without the extension does not have them');
first('bare', q{SET hnsw.scan_mem_multiplier = 'a'; SHOW hnsw.scan_mem_multiplier}, 'a', 'there they are free for others');
like(join('', $node->psql('bare', 'ALTER ROLE plain SET hnsw.ef_search = 100', @plain)),
	qr/permission denied to set parameter "hnsw.ef_search"/, 'and a plain role sets nothing unknown');

my $connstr = $node->connstr('later');

first('later', qq{SET hnsw.ef_search = 17;\n\\! psql -Xqc 'CREATE EXTENSION vecdb' '$connstr'\nSHOW hnsw.ef_search;\nRESET hnsw.ef_search;\nSHOW hnsw.ef_search},
	"17\n40", 'an open session has them once another made the extension, with what it set before');
$node->safe_psql('later', 'DROP EXTENSION vecdb');
first('later', qq{CREATE EXTENSION vecdb; SHOW hnsw.ef_search}, '40', 'CREATE EXTENSION in the same session');
$node->stop;

# ---------------------------------------------------------------------------
# Without preloading they come with the library: as pgvector's do

my $demand = new_node('demand');

like(join('', $demand->psql('postgres', 'SHOW hnsw.ef_search')), qr/unrecognized configuration parameter "hnsw.ef_search"/,
	'not preloaded: not before the first use');
is($demand->safe_psql('postgres', q{SET hnsw.ef_search = 23; SELECT '[1]'::vector; SHOW hnsw.ef_search}), "[1]\n23",
	'not preloaded: a value set before the first use is taken over');
$demand->safe_psql('postgres', q{ALTER DATABASE postgres SET session_preload_libraries = 'vecdb'});
is($demand->safe_psql('postgres', 'SHOW hnsw.ef_search'), '40', 'loaded at the start of a session: from the first statement');
$demand->stop;

done_testing();
