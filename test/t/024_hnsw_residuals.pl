# Residuals: what values of an index lost by being stored in 12 bits a coordinate.  Rows
# whose distances differ by less than that come in exact order, few of them are read
# from the table, VACUUM gives the room of residuals back, and hnsw_check() knows them.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $seed = $ENV{VECDB_SEED} // 1;
note "seed $seed (VECDB_SEED sets another)";

# Pages have checksums by default from PostgreSQL 18 on.
my $node = new_node('residuals', "ignore_checksum_failure = on\nautovacuum = off\n");

# Of 100 nearest: which are not in order, which are nearer and missing, and the part that
# the executor had to put in order.
sub nearest
{
	my ($table, $operator, $mode) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', qq{
		SET vecdb.log_scan_counters = on;
		SET enable_seqscan = off;
		SET hnsw.ef_search = 400;
		SET hnsw.iterative_scan = $mode;
		CREATE TEMP TABLE answers AS
			SELECT row_number() OVER () AS n, d FROM (SELECT v $operator (SELECT v FROM $table WHERE id = 0) AS d FROM $table ORDER BY d LIMIT 100) t;
		SET vecdb.log_scan_counters = off;
		SELECT (SELECT count(*) FROM (SELECT d < lag(d) OVER (ORDER BY n) AS less FROM answers) a WHERE less),
			(SELECT count(*) FROM $table WHERE v $operator (SELECT v FROM $table WHERE id = 0) < (SELECT max(d) FROM answers));});
	my ($disorder, $nearer) = split /\|/, $out;
	my ($refined, $returned, $rechecked) = $err =~ /refined: ([0-9]+), rows returned: ([0-9]+), of them to be put in order: ([0-9]+)/
	  or die "no counters: $err";

	return ($disorder, $nearer, $refined, $rechecked / $returned);
}

# Values around one in all directions: their distances differ by less than the steps of 12
# bits.  Those of few dimensions stand in the table's rows, and have no residuals.
for my $case ([ 'vector', 512, 0.1 ], [ 'vector', 512, 1 ], [ 'halfvec', 1024, 1 ], [ 'vector', 96, 1 ])
{
	my ($type, $dim, $spread) = @$case;
	my $table = "near_${type}_$dim" . ($spread < 1 ? '_less' : '');

	$node->safe_psql('postgres', qq{
		SELECT setseed(0.$seed);
		CREATE TABLE $table (id int, v $type($dim));
		INSERT INTO $table SELECT i, (SELECT array_agg(sin(j) + $spread * (random() - 0.5) + 0 * i) FROM generate_series(1, $dim) j)::vector::$type
			FROM generate_series(0, 3000) i});
	for my $metric ([ 'l2', '<->' ], [ 'ip', '<#>' ], [ 'cosine', '<=>' ])
	{
		my ($name, $operator) = @$metric;

		# inner products are of values that are not centred: what these have in common takes their precision
		next if $name eq 'ip' && $spread < 1;
		$node->safe_psql('postgres', "CREATE INDEX ${table}_v ON $table USING hnsw (v ${type}_${name}_ops)");
		for my $mode ('off', 'strict_order')
		{
			my ($disorder, $nearer, $refined, $part) = nearest($table, $operator, $mode);
			my $what = "$type($dim), spread $spread, $name, $mode";

			is($disorder, 0, "$what: rows are in exact order");
			cmp_ok($nearer, '<=', 101, "$what: and no nearer ones are missing");
			cmp_ok($refined, $dim < 500 ? '==' : '>', 0, "$what: residuals were asked where there are any");
			note sprintf '%s: %d refined, %.3f put in order by the executor', $what, $refined, $part;
		}
		is($node->safe_psql('postgres', "SELECT * FROM hnsw_check('${table}_v')"), '', "$type($dim), spread $spread, $name: the index is sound");
		$node->safe_psql('postgres', "DROP INDEX ${table}_v");
	}
}

# Later rounds of a strict order go on behind the last row of those before, whose distance is refined
$node->safe_psql('postgres', 'CREATE INDEX near_vector_512_v ON near_vector_512 USING hnsw (v vector_l2_ops) WITH (m = 32, ef_construction = 300)');
my $missing = $node->safe_psql('postgres', q{
	SET enable_seqscan = off;
	SET hnsw.ef_search = 40;
	SELECT sum((SELECT count(*) FROM (SELECT id FROM near_vector_512 WHERE id % 4 = 1 ORDER BY (v <-> q.v) + 0, id LIMIT 100) e
		WHERE NOT EXISTS (SELECT FROM (SELECT id FROM near_vector_512 WHERE id % 4 = 1 ORDER BY v <-> q.v LIMIT 100) f WHERE f.id = e.id)))
	FROM near_vector_512 q WHERE id % 150 = 0});
cmp_ok($missing, '<=', 17, "strict_order with a filter leaves out $missing of 2,100 rows");

# Equal values share a node, and the one that gave it its residual goes
$node->safe_psql('postgres', q{
	CREATE TABLE pairs (id int, v vector(512));
	INSERT INTO pairs SELECT id, v FROM near_vector_512 WHERE id < 1000;
	CREATE INDEX pairs_v ON pairs USING hnsw (v vector_l2_ops);
	INSERT INTO pairs SELECT id + 1000, v FROM near_vector_512 WHERE id < 1000;
	DELETE FROM pairs WHERE id BETWEEN 1 AND 999});
$node->safe_psql('postgres', 'VACUUM pairs');
my ($disorder, $nearer) = nearest('pairs', '<->', 'off');
is($disorder, 0, 'rows that are left of pairs are in exact order');
cmp_ok($nearer, '<=', 101, '... and none is missing');

# Rows go and come: their residuals take the room of those that went
my $size = q{SELECT pg_relation_size('pairs_v')};
my $turn = q{
	DELETE FROM pairs;
	VACUUM pairs;
	INSERT INTO pairs SELECT id, v FROM near_vector_512 WHERE id < 1000};
$node->safe_psql('postgres', $_) for grep { /\S/ } split /;/, $turn;
my $before = $node->safe_psql('postgres', $size);
for (1 .. 3)
{
	$node->safe_psql('postgres', $_) for grep { /\S/ } split /;/, $turn;
}
cmp_ok($node->safe_psql('postgres', $size), '<=', $before * 1.02, 'after three turns of all rows the index is as large');
is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('pairs_v')}), '', '... and sound');

# A residual of another value, and none
my $file = $node->data_dir . '/' . $node->safe_psql('postgres', q{SELECT pg_relation_filepath('pairs_v')});

# Changes the pages of chunks in the file of the stopped server.
sub change_chunks
{
	my ($change) = @_;

	$node->stop;
	open my $pages, '+<', $file or die "could not open $file: $!";
	binmode $pages;
	for (my $at = 0; seek($pages, $at, 0) && read($pages, my $page, 8192) == 8192; $at += 8192)
	{
		next if unpack('v', substr($page, 8192 - 12, 2)) != 2;
		$change->(\$page);
		seek $pages, $at, 0 or die "could not seek in $file: $!";
		print $pages $page;
	}
	close $pages or die "could not write $file: $!";
	$node->start;
	return;
}

change_chunks(sub { substr(${ $_[0] }, 8192 - 16 - 20, 1) ^= "\x55" });
like($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('pairs_v')}),
	qr/\|residual at \(\d+,\d+\) is not of the node's value: it adds \S+ instead of \S+/, 'hnsw_check tells of a residual that is not of its value');
change_chunks(sub { substr(${ $_[0] }, 24, 4) = pack 'L', 0 });
like($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('pairs_v')}), qr/\|node has no residual at \(\d+,\d+\)/, '... and of one that is not there');
($disorder, $nearer) = nearest('pairs', '<->', 'off');
cmp_ok($nearer, '<=', 101, 'a search finds the rows without');
$node->safe_psql('postgres', 'REINDEX INDEX pairs_v');
is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('pairs_v')}), '', 'REINDEX makes a sound one');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'nothing has crashed');
done_testing();
