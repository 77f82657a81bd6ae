# Recall on real data: the 60,000 training images of Fashion-MNIST, asked for by
# the first 1,000 test images.
#
# fashion_mnist_exact.txt holds, for each of the queries, the squared distance of
# its tenth neighbor, a sum of squares of whole numbers, computed as such.  The
# server's distances are float4, hence the tolerance.  A few are computed anew at
# each run by SQL; VECDB_RECOMPUTE=1 has all of them compared.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;

my $images = '/usr/share/datasets/fashion-mnist';
my $queries = 1000;
my %least = (20 => 0.990, 40 => 0.995, 80 => 0.998);

if (!-e "$images/train-images-idx3-ubyte.gz")
{
	plan skip_all => 'the package dataset-fashion-mnist is not installed';
}

# Write the images of an IDX file, at most so many, as binary COPY of
# (int4, vector): a header of 16 bytes there, 784 bytes an image.
sub write_copy
{
	my ($from, $to, $most) = @_;
	my ($header, $image);
	my $id = 0;

	open my $in, '-|', 'gzip', '-dc', $from or die "cannot read $from: $!";
	binmode $in;
	read($in, $header, 16) == 16 or die "$from ends in its header";
	my ($magic, $count, $rows, $columns) = unpack 'N4', $header;
	die "$from is no file of images" if $magic != 0x803;
	my $dim = $rows * $columns;
	open my $out, '>:raw', $to or die "cannot write $to: $!";
	print $out "PGCOPY\n\377\r\n\0", pack('NN', 0, 0);
	while ($id < $most && $id < $count)
	{
		read($in, $image, $dim) == $dim or die "$from ends in an image";
		print $out pack('n NN N nn', 2, 4, ++$id, 4 + 4 * $dim, $dim, 0), pack('f>*', unpack 'C*', $image);
	}
	print $out pack 'n', 0xffff;
	close $out or die "cannot write $to: $!";
	return $dim;
}

my $node = new_node('fashion', q{
shared_buffers = 512MB
maintenance_work_mem = 1GB
max_wal_size = 4GB
wal_level = minimal
max_wal_senders = 0
max_parallel_maintenance_workers = 2
});
my $dir = $node->basedir;
my $dim = write_copy("$images/train-images-idx3-ubyte.gz", "$dir/train", 1e9);
write_copy("$images/t10k-images-idx3-ubyte.gz", "$dir/test", $queries);
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE images (id int, v vector($dim));
	ALTER TABLE images ALTER v SET STORAGE PLAIN;
	CREATE TABLE queries (LIKE images INCLUDING ALL, tenth int);
	COPY images FROM '$dir/train' WITH (FORMAT binary);
	COPY queries (id, v) FROM '$dir/test' WITH (FORMAT binary)});
unlink "$dir/train", "$dir/test";
is($node->safe_psql('postgres', 'SELECT count(*) FROM images'), '60000', 'all images are loaded');

my @tenth = split ' ', slurp_file("$FindBin::RealBin/fashion_mnist_exact.txt");
is(scalar @tenth, $queries, 'there is an exact answer for each query');
$node->safe_psql('postgres', 'UPDATE queries SET tenth = (ARRAY[' . join(',', @tenth) . '])[id]');
my $each = $ENV{VECDB_RECOMPUTE} ? 1 : 100;
is( $node->safe_psql(
		'postgres', qq{
		SELECT string_agg(id::text, ' ') FROM queries q WHERE id % $each = 0 AND abs(tenth -
			(SELECT max(d) ^ 2 FROM (SELECT v <-> q.v AS d FROM images ORDER BY v <-> q.v LIMIT 10) t)) > tenth * 1e-6}),
	'', "exact answers computed anew are the same, of one query in $each");

my $start = time;
$node->safe_psql('postgres', 'CREATE INDEX images_v ON images USING hnsw (v vector_l2_ops) WITH (m = 16, ef_construction = 128)');
note sprintf 'built in %.1f s, %s', time - $start, $node->safe_psql('postgres', q{SELECT pg_size_pretty(pg_relation_size('images_v'))});
is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('images_v')}), '', 'the index is sound');

foreach my $ef (sort { $a <=> $b } keys %least)
{
	$start = time;
	my ($recall, $disorder) = split /\|/, $node->safe_psql(
		'postgres', qq{
		SET enable_seqscan = off;
		SET hnsw.ef_search = $ef;
		CREATE TEMP TABLE answers AS
			SELECT q.id, q.tenth, t.d, row_number() OVER () AS n FROM queries q,
				LATERAL (SELECT i.v <-> q.v AS d FROM images i ORDER BY i.v <-> q.v LIMIT 10) t;
		SELECT round(count(*) FILTER (WHERE d ^ 2 <= tenth * (1 + 1e-6)) / (10.0 * $queries), 4),
			(SELECT count(*) FROM (SELECT id, d < lag(d) OVER (PARTITION BY id ORDER BY n) AS less FROM answers) a WHERE less)
		FROM answers});
	note sprintf 'ef_search %d: %.2f s for %d queries', $ef, time - $start, $queries;
	cmp_ok($recall, '>=', $least{$ef}, "ef_search $ef: recall\@10 is $recall");
	is($disorder, '0', "ef_search $ef: answers come in exact order");
}

# Of 500 rows few are so alike in their distances that the executor has to put them in order
foreach my $mode ('off', 'strict_order')
{
	my $each = join ';', map { "SELECT count(*) FROM (SELECT id FROM images ORDER BY v <-> (SELECT v FROM queries WHERE id = $_) LIMIT 500) t" } 1 .. 40;
	my ($rc, $out, $err) = $node->psql(
		'postgres', qq{
		SET enable_seqscan = off;
		SET hnsw.ef_search = 1000;
		SET hnsw.iterative_scan = $mode;
		SET vecdb.log_scan_counters = on;
		$each});
	my ($returned, $rechecked) = (0, 0);

	while ($err =~ /rows returned: ([0-9]+), of them to be put in order: ([0-9]+)/g)
	{
		$returned += $1;
		$rechecked += $2;
	}
	cmp_ok($returned, '>=', 40 * 500, "$mode: 500 rows for each of 40 queries");
	cmp_ok($rechecked / $returned, '<', 0.05, sprintf '%s: %.3f of them were read from the table to be put in order', $mode, $rechecked / $returned);
}

$node->stop;
done_testing();
