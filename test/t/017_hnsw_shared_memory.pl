# Builds where dynamic shared memory is short, as in a container whose /dev/shm
# holds little: no error, an index that is sound, and a notice that says what to
# give.  And a table's own parallel_workers count, however little memory there is.
#
# The small /dev/shm is a tmpfs in a mount namespace of the server's own, which
# wants no root where the kernel lets users have namespaces.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $node = new_node('shared', q{
maintenance_work_mem = 256MB
min_parallel_table_scan_size = 0
max_parallel_maintenance_workers = 2
log_min_messages = debug1
dynamic_shared_memory_type = posix
});
create_items($node, 12000, 64);
$node->safe_psql('postgres', 'ALTER TABLE items SET (parallel_workers = 2); VACUUM ANALYZE items');
$node->safe_psql('postgres', 'DROP INDEX IF EXISTS items_v');

# Build; gives what the client was told, and how many workers were started.
sub build
{
	my ($memory) = @_;
	my $offset = -s $node->logfile;
	my ($rc, $out, $err) = $node->psql('postgres',
		"SET maintenance_work_mem = '$memory'; DROP INDEX IF EXISTS built; CREATE INDEX built ON items USING hnsw (v vector_l2_ops)");
	my $started = () = slurp_file($node->logfile, $offset) =~ /starting background worker process "parallel worker/g;

	is($rc, 0, "with maintenance_work_mem $memory an index is made");
	is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('built')"), 0, 'and is sound');
	return ($err, $started);
}

my ($told, $workers) = build('256MB');
is($workers, 2, 'both workers of the table take part');
unlike($told, qr/shared memory/, 'nobody is told of shared memory');
(undef, $workers) = build('1MB');
is($workers, 2, 'and with as little as 1MB as well');

my @unshare = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
my ($out, $err);

SKIP:
{
	if (!IPC::Run::run([ @unshare, 'sh', '-c', 'mount -t tmpfs -o size=8m tmpfs /dev/shm' ], '>', \$out, '2>', \$err))
	{
		$err =~ s/\s+/ /g;
		skip "a small /dev/shm cannot be mounted: $err", 1;
	}
	$node->stop;
	IPC::Run::run(
		[ @unshare, 'sh', '-c', 'mount -t tmpfs -o size=8m tmpfs /dev/shm && exec pg_ctl -w -D "$1" -l "$2" start', 'sh', $node->data_dir, $node->logfile ],
		'>', \$out, '2>', \$err) or die "the server does not start: $out$err";
	$node->_update_pid(1);

	($told, $workers) = build('256MB');
	is($workers, 0, 'with 8 MB of shared memory no worker is asked for');
	like($told, qr/NOTICE:  index "built" is built without parallel workers, for there is too little dynamic shared memory.*DETAIL:  They would share up to \d+ MB, and \d+ MB are left\..*HINT:.*--shm-size/s,
		'the client is told why and what to do');
	($told, $workers) = build('1MB');
	is($workers, 2, 'a build that needs less has its workers');

	# taken by somebody else after the build had begun: all but a row of the blocks that
	# the sample reads are gone, so little seems to be needed
	my ($left) = $node->safe_psql('postgres', q{
		DELETE FROM items WHERE (ctid::text::point)[0]::int % greatest((pg_relation_size('items') / 8192 / 64)::int, 1) = 0
			AND (ctid::text::point)[1] > 1;
		SELECT count(*) FROM items}) =~ /([0-9]+)$/;
	($told, $workers) = build('256MB');
	is($workers, 2, 'where the sample has few rows, workers begin');
	like($told, qr/hnsw graph no longer fits into dynamic shared memory after \d+ of $left values/, 'and the rest goes to disk, when memory is used up');
	$node->stop;
}
done_testing();
