# The first copy of a collection, while its source writes and is then killed half-way;
# the index of the copy is built once its rows are there.  LONG=1: a million rows.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my $rows = $ENV{LONG} ? 1_000_000 : 20_000;

my @all = (new_peer('a', conf => "restart_after_crash = on\nmax_wal_size = 4GB\nmaintenance_work_mem = 512MB"));
push @all, new_peer($_, bootstrap => [ $all[0] ], conf => "restart_after_crash = on\nmax_wal_size = 4GB\nmaintenance_work_mem = 512MB\nvecdb.max_batch_bytes = '256kB'") for qw(b c);
my ($a, $b, $c) = @all;

ok(wait_until(sub { !grep { !running($_) } @all }), 'three nodes run');
sql($a, q{SELECT vecdb.create_collection('docs', 32, 'l2', index_type => 'flat')});
sql($a, qq{INSERT INTO collections.docs (id, data) SELECT 'r' || i, (SELECT array_agg(hashint8(i * 40 + j) / 2147483648.0) FROM generate_series(1, 32) j)::vector FROM generate_series(1, $rows) i});
sql($a, q{CREATE INDEX ON collections.docs USING hnsw (data vector_l2_ops)} . ($ENV{LONG} ? q{ WITH (m = 4, ef_construction = 16)} : q{}));
my %invitation = map { $_ => sql($a, q{SELECT vecdb.invite('docs')}) } qw(b c);

my $began = time();
sql($b, "SELECT vecdb.join('$invitation{b}')");
is(sql($b, q{SELECT index_type FROM vecdb.collections}), 'hnsw', 'the copy has an index like its source');
ok(wait_until(sub { sql($b, 'SELECT count(*) FROM collections.docs') >= $rows }, $ENV{LONG} ? 3600 : undef), 'all rows are copied');
note(sprintf 'copied: %d rows in %.1f s, %.0f a second', $rows, time() - $began, $rows / (time() - $began));
my $valid = q{SELECT count(*) FROM pg_index WHERE indrelid = 'collections.docs'::regclass AND NOT indisvalid};
# one who writes and sleeps delays its use, and nobody's writes
my $sleeper = $b->background_psql('postgres', on_error_stop => 0);
$sleeper->query(q{BEGIN; DELETE FROM collections.docs WHERE id = 'r9999'});
ok(wait_until(sub { sql($b, q{SELECT phase FROM vecdb.stat_copy}) eq 'index' }), 'vecdb.stat_copy shows that it is being built');
$sleeper->query('ROLLBACK');
$sleeper->quit;
my ($during, $slowest) = (0, 0);
ok(wait_until(
		sub
		{
			my $before = time();

			$during++;
			sql($b, qq{INSERT INTO collections.docs (id, data) VALUES ('during$during', array_fill(100 + $during, ARRAY[32])::vector)});
			$slowest = time() - $before if time() - $before > $slowest;
			return sql($b, $valid) eq '0';
		}, $ENV{LONG} ? 3600 : undef), 'and the index is built');
cmp_ok($slowest, '<', 5, "while $during rows are written, the slowest in $slowest s");
# points far from all others, on a line: a search with few candidates may pass by them
is(sql($b, qq{SET enable_seqscan = off; SET hnsw.ef_search = 1000; SELECT count(*) FROM generate_series(1, $during) i, LATERAL (SELECT id FROM collections.docs ORDER BY data <-> array_fill(100 + i, ARRAY[32])::vector LIMIT 1) t WHERE t.id = 'during' || i}),
	$during, 'which has all of them');
note(sprintf 'with its index after %.1f s', time() - $began);
is(sql($b, q{SET enable_seqscan = off; SELECT count(*) FROM (SELECT id FROM collections.docs ORDER BY data <-> (SELECT data FROM collections.docs WHERE id = 'r77') LIMIT 10) t}), '10', 'which answers');

# c copies from a, which writes, and is killed half-way: meanwhile a lock keeps rows from the table
$b->stop;
sql($c, "SELECT vecdb.join('$invitation{c}')");
ok(wait_until(sub { sql($c, 'SELECT count(*) FROM collections.docs') > ($ENV{LONG} ? $rows / 2 : 100) }, $ENV{LONG} ? 3600 : undef), 'another copy has begun');
my $holder = $c->background_psql('postgres', on_error_stop => 0);
$holder->query('BEGIN; LOCK TABLE collections.docs IN SHARE MODE');
sql($a, q{UPDATE collections.docs SET metadata = '{"late": true}' WHERE id IN ('r1', 'r2', 'r3')});
sql($a, q{DELETE FROM collections.docs WHERE id IN ('r4', 'r5')});
sql($a, q{INSERT INTO collections.docs (id, data) SELECT 'late' || i, (SELECT array_agg(0.5) FROM generate_series(1, 32))::vector FROM generate_series(1, 100) i});
is(sql($c, qq{SELECT name, phase, rows > 0, rows_total BETWEEN $rows / 2 AND $rows * 2, bytes > 0, remaining >= '0' FROM vecdb.stat_copy}), 'collections.docs|rows|t|t|t|t',
	'vecdb.stat_copy tells of it');
my $copied = sql($c, 'SELECT count(*) FROM collections.docs');
$a->stop('immediate');
$holder->query('ROLLBACK');
$holder->quit;
cmp_ok($copied, '<', $rows, "its source is killed after $copied rows");
ok(start_peer($b), 'the other holder is back');
ok(wait_until(sub { sql($c, 'SELECT count(*) FROM collections.docs') >= $rows - 2 }, $ENV{LONG} ? 3600 : undef), 'the copy goes on from it');
ok(start_peer($a), 'the source comes back');
all_equal(\@all, 'all have the same rows', $rows + 98 + $during);
ok(wait_until(sub { sql($c, $valid) eq '0' }, $ENV{LONG} ? 3600 : undef), 'and the index of the copy is built');

nothing_crashed(@all);
done_testing();
