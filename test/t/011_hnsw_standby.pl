# A standby that replays every change of the index, each page compared with the
# primary's (wal_consistency_checking): the same answers there, before and after
# it is promoted, and it takes writes then.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $primary = new_node('primary', q{
wal_consistency_checking = 'all'
shared_buffers = 4MB
max_wal_size = 2GB
maintenance_work_mem = 64MB
min_parallel_table_scan_size = 0
}, allows_streaming => 1);
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# After each change: both answer alike, and the copy is sound.
sub agree
{
	my ($what) = @_;
	$primary->wait_for_catchup('standby');
	my $ours = answers($primary);
	my $theirs = answers($standby);
	isnt($ours, '', "$what: there are answers");
	is($theirs, $ours, "$what: the standby gives the same ones");
	is($standby->safe_psql('postgres', q{SELECT * FROM hnsw_check('items_v')}), '', "$what: the standby's index is sound");
	return;
}

create_items($primary, 6000, 32);
$primary->safe_psql('postgres', 'SET max_parallel_maintenance_workers = 0; CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops)');
agree('built serially');
my $recall = q{SELECT queries, recall, recall > 0.8 FROM hnsw_recall('items_v', 50)};
like($standby->safe_psql('postgres', $recall), qr/^50\|.*\|t$/, 'a standby measures its index');
is($standby->safe_psql('postgres', $recall), $primary->safe_psql('postgres', $recall), 'as its primary does');
like($standby->safe_psql('postgres', q{SELECT hnsw_why('SELECT 1 FROM items ORDER BY v <=> $1 LIMIT 3')}), qr/Index items_v is for the distance <->/, 'and says why a query does not use it');
$primary->safe_psql('postgres', 'SET max_parallel_maintenance_workers = 2; REINDEX INDEX items_v');
agree('built in parallel');
$primary->safe_psql('postgres', 'INSERT INTO items SELECT i, 0, item_vector(i) FROM generate_series(100001, 102000) i');
agree('after inserts');
$primary->safe_psql('postgres', 'UPDATE items SET note = note');
agree('after updates that keep the vector');
$primary->safe_psql('postgres', 'DELETE FROM items WHERE id % 3 = 0; VACUUM items');
$primary->safe_psql('postgres', 'VACUUM items');
agree('after deletes and vacuums');
$primary->safe_psql('postgres', 'INSERT INTO items SELECT i, 0, item_vector(i) FROM generate_series(110001, 112000) i');
agree('after inserts into the freed places');
# Scans mark what they found dead; such marks are no part of what is compared.
answers($primary) for 1 .. 2;
$primary->safe_psql('postgres', 'DELETE FROM items WHERE id BETWEEN 1 AND 3000');
answers($primary) for 1 .. 2;
$primary->safe_psql('postgres', 'VACUUM items');
agree('after scans over dead rows and a vacuum');
$primary->safe_psql('postgres', 'TRUNCATE items');
$primary->safe_psql('postgres', 'INSERT INTO items SELECT i, 0, item_vector(i) FROM generate_series(1, 2000) i');
agree('emptied and filled by inserts alone');
$primary->safe_psql('postgres', 'REINDEX INDEX CONCURRENTLY items_v');
agree('rebuilt concurrently');

# Every family of types takes its own way to the disk.
foreach my $case (
	[ 'halves', 'v::halfvec(32)', 'halfvec_cosine_ops' ],
	[ 'bits', 'binary_quantize(v)::bit(32)', 'bit_hamming_ops' ],
	[ 'sparse', 'v::sparsevec(32)', 'sparsevec_l2_ops' ])
{
	my ($name, $expression, $opclass) = @$case;

	$primary->safe_psql(
		'postgres', qq{
		CREATE TABLE $name AS SELECT id, $expression AS x FROM items;
		CREATE INDEX ${name}_x ON $name USING hnsw (x $opclass);
		INSERT INTO $name SELECT id + 5000, x FROM $name WHERE id <= 500;
		DELETE FROM $name WHERE id % 2 = 0});
	$primary->safe_psql('postgres', "VACUUM $name");
	$primary->wait_for_catchup('standby');
	is($standby->safe_psql('postgres', "SELECT * FROM hnsw_check('${name}_x')"), '', "$name: the standby's index is sound");
}

unlike(slurp_file($standby->logfile), qr/inconsistent page|PANIC|FATAL:  .*invalid/, 'replay met no page that differs');
is($primary->safe_psql('postgres', 'SHOW wal_consistency_checking'), 'all', 'pages were compared by the primary in force');

my $before = answers($primary);
$primary->stop;
$standby->promote;
is(answers($standby), $before, 'promoted: the same answers');
is_sound($standby, 'promoted');
$standby->safe_psql('postgres', 'INSERT INTO items SELECT i, 0, item_vector(i) FROM generate_series(200001, 201000) i');
$standby->safe_psql('postgres', 'DELETE FROM items WHERE id <= 500');
$standby->safe_psql('postgres', 'VACUUM items');
is_sound($standby, 'promoted and written to');

$standby->stop;
done_testing();
