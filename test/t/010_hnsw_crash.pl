# Killed backends and immediate stops in the middle of builds, inserts and
# vacuums: after recovery the index is sound, every committed row is found, and
# recall is what it was.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $node = new_node('crash', q{
restart_after_crash = on
shared_buffers = 16MB
maintenance_work_mem = 64MB
max_wal_size = 1GB
min_parallel_table_scan_size = 0
wal_level = replica
});
create_items($node, 20000, 64);
$node->safe_psql('postgres', 'CREATE UNLOGGED TABLE passing AS SELECT id, v FROM items WHERE id <= 500');
$node->safe_psql('postgres', 'CREATE INDEX passing_v ON passing USING hnsw (v vector_l2_ops)');

# Run statements in the background; when the condition holds, end it by force.
# Tells whether it was still under way then.
sub crash_while
{
	my ($manner, $sql, $condition) = @_;
	my %out;
	my $offset = -s $node->logfile;
	my $client = start_psql($node, \%out, "SET application_name = 'victim'", @$sql);
	my ($pid, $state, $seen) = ('', '', 0);

	wait_until(
		sub {
			($state, $pid) = split /\|/, $node->safe_psql('postgres', qq{
				SELECT CASE WHEN max(pid) IS NULL THEN 'gone' WHEN ($condition) THEN 'met' ELSE 'waiting' END, max(pid)
				FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'}), -1;
			$seen ||= $state ne 'gone';
			return $state eq 'met' || ($state eq 'gone' && $seen);
		});
	my $under_way = $state eq 'met';

	if ($manner eq 'kill')
	{
		if ($under_way)
		{
			kill 'KILL', $pid;
			wait_for_line($node, qr/all server processes terminated.*ready to accept connections/s, $offset)
				or die 'the server did not come back';
		}
		$client->finish;
	}
	else
	{
		$node->stop('immediate');
		$client->finish;
		$node->start;
	}
	return $under_way;
}

my $loading = q{SELECT EXISTS (SELECT FROM pg_stat_progress_create_index p JOIN pg_stat_activity a USING (pid)
	WHERE a.application_name = 'victim' AND phase LIKE 'building index%'
	AND (tuples_done > 1000 OR EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'parallel worker')))};

foreach my $manner ('kill', 'stop')
{
	foreach my $workers (0, 2)
	{
		my $what = "$manner in a build with $workers workers";

		ok(crash_while($manner,
				[ "SET max_parallel_maintenance_workers = $workers", 'CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops)' ],
				$loading), "$what: it was under way");
		is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'items_v'}),
			'0', "$what: no index is left");
		$node->safe_psql('postgres', 'DROP INDEX IF EXISTS items_v');
	}
}

is($node->safe_psql('postgres', 'SELECT count(*) FROM passing'), '0', 'an unlogged table is empty after a crash');
is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('passing_v')}), '', 'its index is sound');
is( $node->safe_psql(
		'postgres', q{
		INSERT INTO passing SELECT id, v FROM items WHERE id <= 100;
		SET enable_seqscan = off;
		SELECT id FROM passing ORDER BY v <-> item_vector(7) LIMIT 1}),
	'7', 'and takes rows again');

# What is left of an unlogged index after a crash is its init fork, which only
# the log may hold when no checkpoint has come since.
$node->safe_psql('postgres', 'CHECKPOINT');
$node->safe_psql(
	'postgres', q{
	CREATE UNLOGGED TABLE brief (id int, v vector(3000));
	CREATE INDEX brief_v ON brief USING hnsw (v vector_l2_ops);
	INSERT INTO brief VALUES (1, array_fill(1, ARRAY[3000])::vector)});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('brief_v')}), '', 'an unlogged index is sound after a crash right behind its creation');
is( $node->safe_psql(
		'postgres', q{
		INSERT INTO brief VALUES (2, array_fill(2, ARRAY[3000])::vector);
		SET enable_seqscan = off;
		SELECT id FROM brief ORDER BY v <-> array_fill(1, ARRAY[3000])::vector LIMIT 10}),
	'2', 'and takes rows');

item_index($node);
is_sound($node, 'built after crashes');

# Inserts, ten to a transaction.  How many were committed only the table knows.
$node->safe_psql(
	'postgres', q{
	CREATE PROCEDURE fill(first int, rows int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN first .. first + rows - 1 LOOP
			INSERT INTO items VALUES (i, 0, item_vector(i));
			IF i % 10 = 0 THEN
				COMMIT;
			END IF;
		END LOOP;
	END $$});
my $first = 100001;
foreach my $manner ('kill', 'stop')
{
	my $rows = $node->safe_psql('postgres', 'SELECT count(*) FROM items');
	my $what = "$manner among inserts";

	ok(crash_while($manner, ["CALL fill($first, 100000)"], "SELECT count(*) > $rows + 1000 FROM items"), "$what: it was under way");
	my $now = $node->safe_psql('postgres', 'SELECT count(*) FROM items');
	cmp_ok($now, '>', $rows + 1000, "$what: what was seen committed is there");
	is($now % 10, 0, "$what: whole transactions only");
	is_sound($node, $what);
	$first += 100000;
}

# Updates, the vector replaced
$node->safe_psql(
	'postgres', q{
	CREATE PROCEDURE churn(rows int) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. rows LOOP
			UPDATE items SET note = 1, v = item_vector(i + 50000000) WHERE id = i;
			COMMIT;
		END LOOP;
	END $$});
ok(crash_while('kill', ['CALL churn(20000)'], 'SELECT count(*) > 1000 FROM items WHERE note = 1'), 'kill among updates: it was under way');
is_sound($node, 'kill among updates');

# Vacuums; the delay makes them long enough to be met in the act.  A graph whose
# dead were taken out one by one may fall a little behind a fresh one.
my $vacuum = [ 'SET vacuum_cost_limit = 20', 'SET vacuum_cost_delay = 5', 'VACUUM items' ];
my $vacuuming = q{SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE phase = 'vacuuming indexes')};
foreach my $manner ('kill', 'stop')
{
	my $what = "$manner in a vacuum";

	$node->safe_psql('postgres', sprintf 'DELETE FROM items WHERE id %% 4 = %d', $manner eq 'kill' ? 1 : 2);
	ok(crash_while($manner, $vacuum, $vacuuming), "$what: it was under way");
	is_sound($node, $what, 0.98);
	$node->safe_psql('postgres', 'VACUUM items');
	is_sound($node, "$what, and done again", 0.98);
}
$node->safe_psql('postgres', "CALL fill($first, 2000)");
is_sound($node, 'filled up again', 0.98);
$node->safe_psql('postgres', 'REINDEX INDEX items_v');
is_sound($node, 'rebuilt');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11/, 'no panic, failed assertion or segment violation');

$node->stop;
done_testing();
