# A disk that fills up during a build and during inserts: a clear error, the
# index sound, and work goes on when there is room again.
#
# The full disk is a small tmpfs, mounted in a mount namespace of the server's
# own, which wants no root where the kernel lets users have namespaces.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my @unshare = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
my $small = PostgreSQL::Test::Utils::tempdir();
my $mount = 'mount -t tmpfs -o size=5m tmpfs "$1"';
my ($out, $err);

if (!IPC::Run::run([ @unshare, 'sh', '-c', $mount, 'sh', $small ], '>', \$out, '2>', \$err))
{
	$err =~ s/\s+/ /g;
	plan skip_all => "a small file system cannot be mounted: $err";
}

my $node = new_node('full', q{
shared_buffers = 16MB
maintenance_work_mem = 256MB
max_wal_size = 1GB
min_parallel_table_scan_size = 0
});
create_items($node, 12000, 64);
$node->stop;

# Start again, below the mount.
sub start_below
{
	IPC::Run::run(
		[ @unshare, 'sh', '-c', "$mount && exec pg_ctl -w -D \"\$2\" -l \"\$3\" start", 'sh', $small, $node->data_dir, $node->logfile ],
		'>', \$out, '2>', \$err) or die "the server does not start: $out$err";
	$node->_update_pid(1);
	return;
}
start_below();
$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$small'");

# The error a statement meets: its code, and its text
sub fails_for_space
{
	my ($sql, $what) = @_;
	my ($rc, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	isnt($rc, 0, "$what: fails");
	like($stderr, qr/ERROR:  53100: .*No space left on device/, "$what: says that the disk is full");
	return;
}

foreach my $workers (0, 2)
{
	fails_for_space(
		"SET max_parallel_maintenance_workers = $workers; CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops) TABLESPACE small;",
		"a build with $workers workers");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'items_v'}), '0', 'no index is left');
}

$node->safe_psql('postgres', 'DELETE FROM items WHERE id > 1000');
$node->safe_psql('postgres', 'VACUUM FULL items');
$node->safe_psql('postgres', 'CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops) TABLESPACE small');
is_sound($node, 'a build that fits');
fails_for_space('INSERT INTO items SELECT i, 0, item_vector(i) FROM generate_series(100001, 130000) i;', 'inserts');
is($node->safe_psql('postgres', 'SELECT count(*) FROM items'), '1000', 'the rows of the failed statement are not there');
# The dead entries outnumber the live ones by far until they are vacuumed away,
# so recall may suffer; the structure may not.
is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('items_v')}), '', 'inserts that failed: structure is sound');
fails_for_space(q{DO $$ BEGIN FOR i IN 200001 .. 230000 LOOP INSERT INTO items VALUES (i, 0, item_vector(i)); COMMIT; END LOOP; END $$;},
	'single inserts');
is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('items_v')}), '', 'single inserts: structure is sound');
$node->safe_psql('postgres', 'VACUUM items');
is_sound($node, 'vacuumed');
$node->safe_psql('postgres', 'INSERT INTO items SELECT i, 0, item_vector(i) FROM generate_series(300001, 300500) i');
is_sound($node, 'filled again into the freed places');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11/, 'no panic');

# The mount goes with the server.
$node->stop;
done_testing();
