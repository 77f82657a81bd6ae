# A user of SQL who builds indexes in one session after the other: what a server
# has few of and never takes back, ids for the names of its locks, must not go with
# them, for other extensions and other databases have none but these.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $sessions = 12;
my $root = "$FindBin::RealBin/../..";
my $library = PostgreSQL::Test::Utils::tempdir() . '/tranche.so';
my ($include) = map { s/\s+$//r } `pg_config --includedir-server`;

system(split(' ', $ENV{CC} // 'gcc'), qw(-std=gnu11 -O2 -Wall -Werror -fPIC -shared), "-I$root/src", '-isystem', $include,
	"$FindBin::RealBin/tranche/tranche.c", '-o', $library) == 0
	or BAIL_OUT('the library of the test does not compile');

my $node = new_node('builds', q{
max_parallel_workers = 4
max_parallel_maintenance_workers = 2
min_parallel_table_scan_size = 0
log_min_messages = debug1
});
$node->safe_psql(
	'postgres', qq{
	CREATE FUNCTION next_tranche() RETURNS int AS '$library' LANGUAGE C;
	CREATE TABLE items AS SELECT ARRAY[i, i % 7, i % 11]::vector(3) AS v FROM generate_series(1, 500) i;
	ALTER TABLE items SET (parallel_workers = 2);
	CREATE TABLE alone AS SELECT v FROM items;
	ALTER TABLE alone SET (parallel_workers = 0)});

sub next_tranche
{
	return $node->safe_psql('postgres', 'SELECT next_tranche()');
}

is(next_tranche() + 1, next_tranche(), 'ids of tranches are given out in order');
foreach my $table (qw(items alone))
{
	my $before = next_tranche();

	for (1 .. $sessions)
	{
		$node->safe_psql('postgres', "BEGIN; CREATE INDEX ON $table USING hnsw (v vector_l2_ops); ROLLBACK");
	}
	is(next_tranche() - $before - 1, 0, "$sessions sessions built an index of $table each, and took no id of a tranche");
}
like(slurp_file($node->logfile), qr/starting background worker process "parallel worker for PID/, 'workers took part in builds');
$node->stop;
done_testing();
