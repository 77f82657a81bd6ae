# Many sessions at one collection: batches with common ids, and searches while the
# collection is renamed, dropped, made anew with other dimensions, and indexed.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $seed = $ENV{TEST_SEED} // 1;
my $node = new_node('collection_clients', "deadlock_timeout = 100ms\n");
note "seed $seed (TEST_SEED sets another)";

# Run a script by several clients; gives the error output
sub clients
{
	my ($clients, $transactions, $sql) = @_;
	my $file = $node->basedir . '/script.sql';
	my ($out, $err) = ('', '');

	unlink $file;
	append_to_file($file, $sql);
	IPC::Run::run(
		[ 'pgbench', '-n', '-c', $clients, '-t', $transactions, '-M', 'prepared', "--random-seed=$seed", '-f', $file, $node->connstr('postgres') ],
		'<', \undef, '>', \$out, '2>', \$err);
	like($out, qr/number of transactions actually processed: ${\($clients * $transactions)}\/${\($clients * $transactions)}\b/,
		"$clients clients, $transactions transactions each: all are done") or diag($err);
	return $err;
}

# Batches of 20 of 100 ids, in random order: whoever locks rows in the order given would deadlock
$node->safe_psql(
	'postgres', q{
	SELECT vecdb.create_collection('shared', 4, 'l2', ef_construction => 40);
	CREATE FUNCTION batch(seed int, OUT ids text[], OUT data vector[], OUT metadata jsonb[]) LANGUAGE sql AS $$
		SELECT array_agg(i::text), array_agg(ARRAY[i, seed, 0, 1]::vector), array_agg(jsonb_build_object('seed', seed))
		FROM (SELECT i FROM generate_series(1, 100) i ORDER BY hashint8(seed::bigint * 1000 + i) LIMIT 20) t $$});
my $offset = -s $node->logfile;
clients(8, 150, q{
	\set s random(1, 1000000)
	SELECT count(*) FROM batch(:s), vecdb.upsert_batch('shared', ids, data, metadata);
	SELECT count(*) FROM vecdb.search('shared', ARRAY[:s % 100, :s, 0, 1]::vector, 5);
});
unlike(substr(slurp_file($node->logfile), $offset), qr/deadlock|ERROR|PANIC/, 'no deadlock, no error');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT id) FROM collections.shared'), '100|100', 'each id once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM collections.shared WHERE data <> ARRAY[id::int, (metadata ->> 'seed')::int, 0, 1]::vector}),
	'0', 'data and metadata of a row come from one batch');
is($node->safe_psql('postgres', q{SELECT count(*) FROM vecdb.search('shared', '[50,500000,0,1]', 100)}), '100', 'all are found');

# What happens to a collection under those that search it.  Only these errors may be.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE outcome (what text, n int);
	CREATE FUNCTION try(dim int, step int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		n int;
	BEGIN
		SELECT count(*) INTO n FROM vecdb.search('moving', array_fill(step, ARRAY[dim])::vector, 5,
			filter => CASE WHEN step % 2 = 0 THEN '{"n": {"$gt": 3}}'::jsonb END);
		IF n NOT IN (0, 5) THEN
			RAISE EXCEPTION '% rows', n;
		END IF;
		INSERT INTO outcome VALUES ('found', n);
	EXCEPTION
		WHEN undefined_table THEN INSERT INTO outcome VALUES ('no such collection', 0);
		WHEN data_exception THEN
			IF SQLERRM !~ '^query has . dimensions, collection "moving" has .$' THEN
				RAISE;
			END IF;
			INSERT INTO outcome VALUES ('other dimensions', 0);
	END $$;
	CREATE FUNCTION move(step int) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM vecdb.drop_collection('moving') FROM vecdb.collections WHERE name = 'moving';
		PERFORM vecdb.create_collection('moving', 2 + step % 2, (ARRAY['l2', 'cosine', 'ip'])[1 + step % 3], ef_construction => 40,
			storage => CASE WHEN step % 5 < 2 THEN 'halfvec' ELSE 'vector' END, filter_index => step % 4 = 0);
		PERFORM vecdb.upsert('moving', i::text, array_fill(i, ARRAY[2 + step % 2])::vector, jsonb_build_object('n', i)) FROM generate_series(1, 20) i;
		IF step % 3 = 0 THEN
			PERFORM vecdb.rename_collection('moving', 'away');
			PERFORM vecdb.rename_collection('away', 'moving');
		ELSIF step % 3 = 1 THEN
			DROP INDEX collections.moving_data_idx;
		END IF;
	END $$});
$offset = -s $node->logfile;
my %searching;
my $mover = start_psql($node, \%searching, map { "SELECT move($_)" } 1 .. 150);
clients(6, 400, q{
	\set s random(1, 1000)
	SELECT try(2 + :s % 2, :s);
});
ok($mover->finish, 'a collection is dropped and made anew 150 times') or diag($searching{err});
unlike(substr(slurp_file($node->logfile), $offset), qr/ERROR|PANIC/, 'no other error');
my $outcome = $node->safe_psql('postgres', 'SELECT what, n > 0, count(*) FROM outcome GROUP BY 1, 2 ORDER BY 1, 2');
note $outcome;
like($outcome, qr/^found\|t\|/m, 'searches found rows');
like($outcome, qr/^other dimensions\|/m, 'and met other dimensions');

$node->stop;
done_testing();
