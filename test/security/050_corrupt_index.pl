# A byte of an index's file that went wrong: whatever the index does with it ends
# in an answer or in the error that says so, never in a crash, an endless loop or
# an allocation out of bounds.
#
# First the cases by hand, one field each.  Then many thousands of random flips
# under search, insert, vacuum and hnsw_check, of every kind of value: a library
# of this test (flip/flip.c) changes bytes in the server's buffers, where no
# checksum looks, and puts them back.  Last, flips while an index is built, in the
# pages that the build itself wrote and reads again.  VECDB_FLIPS (30000) is how many,
# VECDB_FLIP_SEED (1) where they begin.  To do a finding again: the same seed,
# VECDB_FLIP_KIND its kind, VECDB_FLIP_FIRST its first step.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $flips = $ENV{VECDB_FLIPS} // 30000;
my $seed = $ENV{VECDB_FLIP_SEED} // 1;
my $first = $ENV{VECDB_FLIP_FIRST} // 0;
my $only = $ENV{VECDB_FLIP_KIND} // '';
my $root = "$FindBin::RealBin/../..";
my $library = PostgreSQL::Test::Utils::tempdir() . '/flip.so';
my ($include) = map { s/\s+$//r } `pg_config --includedir-server`;

system(split(' ', $ENV{CC} // 'gcc'), qw(-std=gnu11 -O2 -Wall -Werror -fPIC -shared), "-I$root/src", '-isystem', $include,
	"$FindBin::RealBin/flip/flip.c", '-o', $library) == 0
	or BAIL_OUT('the library of the test does not compile');

my $node = new_node('corrupt', q{
shared_buffers = 64MB
max_wal_size = 1GB
statement_timeout = 300s
restart_after_crash = off
});
$node->safe_psql(
	'postgres', qq{
	CREATE FUNCTION flip_run(regclass, text, text, int, bigint, bigint, bigint) RETURNS text
		AS '$library' LANGUAGE C STRICT;
	CREATE FUNCTION flip_byte(regclass, bigint, int, int) RETURNS int AS '$library' LANGUAGE C STRICT;
	CREATE FUNCTION flip_chunks(regclass) RETURNS int AS '$library' LANGUAGE C STRICT;
	CREATE FUNCTION flip_build(regclass, bigint, int) RETURNS void AS '$library' LANGUAGE C STRICT;
	CREATE FUNCTION flip_build_end() RETURNS bigint AS '$library' LANGUAGE C STRICT;
	CREATE FUNCTION flipped(anyelement) RETURNS anyelement AS '$library' LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE});

# Numbers of a vector that belongs to i: the same each time.
my $numbers = q{(SELECT array_agg(hashint8(i * 1000 + k) / 4294967296.0 ORDER BY k) FROM generate_series(1, %d) k)};

sub dense
{
	my ($type, $dim) = @_;

	return sprintf("$numbers\::real[]::vector(%d)%s", $dim, $dim, $type eq 'halfvec' ? "::halfvec($dim)" : '');
}

my $sparse = q{('{' || (SELECT string_agg(k * 3 || ':' || (hashint8(i * 1000 + k) / 4294967296.0), ',' ORDER BY k)
	FROM generate_series(1, CASE WHEN i % 9 = 0 THEN 1500 ELSE 12 END) k) || '}/9000')::sparsevec(9000)};
my $bits = q{(SELECT string_agg((hashint8(i * 1000 + k) & 1)::text, '' ORDER BY k) FROM generate_series(1, 64) k)::bit(64)};

# Name, type, operator, class, options, expression of i, rows.
my @kinds = (
	[ 'l2_1', 'vector(24)', '<->', 'vector_l2_ops', 'm = 4, ef_construction = 16, code_bits = 1', dense('vector', 24), 250 ],
	[ 'ip_2', 'vector(24)', '<#>', 'vector_ip_ops', 'm = 4, ef_construction = 16, code_bits = 2', dense('vector', 24), 250 ],
	[ 'cosine_4', 'vector(24)', '<=>', 'vector_cosine_ops', 'm = 4, ef_construction = 16, code_bits = 4', dense('vector', 24), 250 ],
	[ 'l2_m16', 'vector(100)', '<->', 'vector_l2_ops', 'm = 16', dense('vector', 100), 150 ],
	[ 'half', 'halfvec(24)', '<->', 'halfvec_l2_ops', 'm = 4, ef_construction = 16', dense('halfvec', 24), 250 ],
	[ 'l1', 'vector(24)', '<+>', 'vector_l1_ops', 'm = 4, ef_construction = 16', dense('vector', 24), 250 ],
	[ 'half_l1', 'halfvec(24)', '<+>', 'halfvec_l1_ops', 'm = 4, ef_construction = 16', dense('halfvec', 24), 250 ],
	[ 'hamming', 'bit(64)', '<~>', 'bit_hamming_ops', 'm = 4, ef_construction = 16', $bits, 250 ],
	[ 'jaccard', 'bit(64)', '<%>', 'bit_jaccard_ops', 'm = 4, ef_construction = 16', $bits, 250 ],
	[ 'sparse_l2', 'sparsevec(9000)', '<->', 'sparsevec_l2_ops', 'm = 4, ef_construction = 16', $sparse, 120 ],
	[ 'sparse_ip', 'sparsevec(9000)', '<#>', 'sparsevec_ip_ops', 'm = 4, ef_construction = 16', $sparse, 120 ],
	[ 'wide', 'vector(6000)', '<->', 'vector_l2_ops', 'm = 4, ef_construction = 16', dense('vector', 6000), 24 ],
	[ 'wide_l1', 'vector(2500)', '<+>', 'vector_l1_ops', 'm = 4, ef_construction = 16', dense('vector', 2500), 24 ]);

# Half of the indexes are logged, so that the copies that the log makes by what
# a page's head says are under test as well.
my $logged = 0;

foreach my $kind (@kinds)
{
	my ($name, $type, $operator, $class, $options, $expression, $rows) = @$kind;
	my $built = int($rows * 3 / 4);

	$node->safe_psql(
		'postgres', sprintf(
			q{
		CREATE %1$s TABLE %2$s (id int, v %3$s);
		ALTER TABLE %2$s ALTER v SET STORAGE external;
		INSERT INTO %2$s SELECT i, %4$s FROM generate_series(1, %5$d) i;
		CREATE INDEX %2$s_v ON %2$s USING hnsw (v %6$s) WITH (%7$s);
		INSERT INTO %2$s SELECT i, %4$s FROM generate_series(%5$d + 1, %8$d) i;
		-- some rows dead in the index, some dead in the table alone, free slots and pages
		DELETE FROM %2$s WHERE id %% 7 = 0;
		}, $logged++ % 2 ? '' : 'UNLOGGED', $name, $type, $expression, $built, $class, $options, $rows));
	$node->safe_psql('postgres', "VACUUM $name");
	$node->safe_psql('postgres', "DELETE FROM $name WHERE id % 7 = 3");
	is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('${name}_v')"), 0, "$name: the index is sound before");
}

# What the issue saw: a node that says it has 255 links; and its other fields.
my %field = (level => 3, links => 4, rows => 5);

foreach my $case ([ 'l2_1', 'links' ], [ 'l2_1', 'rows' ], [ 'l2_1', 'level' ], [ 'hamming', 'links' ], [ 'sparse_l2', 'links' ])
{
	my ($name, $what) = @$case;
	my ($operator, $expression) = @{ (grep { $_->[0] eq $name } @kinds)[0] }[ 2, 5 ];
	my @blocks = split /\n/, $node->safe_psql('postgres', qq{
		SELECT b FROM generate_series(1, pg_relation_size('${name}_v') / 8192 - 1) b
		WHERE flip_byte('${name}_v', b, 8176 + 4, -1) = 0 AND flip_byte('${name}_v', b, 24 + 2, -1) & 1 = 1});
	my $was = $node->safe_psql('postgres', join(';', map { "SELECT flip_byte('${name}_v', $_, " . (24 + $field{$what}) . ', 255)' } @blocks));
	my ($rc, $out, $err);

	ok(@blocks > 0, "$name: there are pages of nodes");
	foreach my $statement (
		"SET enable_seqscan = off; SELECT id FROM $name ORDER BY v $operator (SELECT v FROM $name WHERE id = 1 LIMIT 1) LIMIT 200",
		"INSERT INTO $name SELECT i, $expression FROM generate_series(1, 60) i",
		"VACUUM $name", "SELECT * FROM hnsw_stats('${name}_v')")
	{
		($rc, $out, $err) = $node->psql('postgres', $statement, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
		like($err, qr/XX002: index "${name}_v" is corrupted in block \d+/, "$name, $what of 255: " . ($statement =~ /(SELECT id|INSERT|VACUUM|hnsw_stats)/)[0] . ' is refused');
	}
	like($node->safe_psql('postgres', "SELECT string_agg(problem, ' ') FROM hnsw_check('${name}_v')"),
		qr/A node (has 255|is of level 255)/, "$name, $what of 255: hnsw_check tells of it");
	my @before = split /\n/, $was;
	$node->safe_psql('postgres', join(';', map { "SELECT flip_byte('${name}_v', $blocks[$_], " . (24 + $field{$what}) . ", $before[$_])" } 0 .. $#blocks));
	is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('${name}_v') WHERE problem LIKE 'A node%'"), 0, "$name: put right again");
}

# A list of free pages that leads to the meta page, which whoever follows the list has
# locked: in l2_1 the page for new nodes of level 0 is none, the list's first is 0.
{
	my %byte = ((map { (84 + $_, 255) } 0 .. 3), (map { (96 + $_, 0) } 0 .. 3));
	my @at = sort keys %byte;
	my @was = split /\n/, $node->safe_psql('postgres', join(';', map { "SELECT flip_byte('l2_1_v', 0, $_, $byte{$_})" } @at));
	my ($rc, $out, $err) = $node->psql('postgres', "INSERT INTO l2_1 SELECT i, $kinds[0][5] FROM generate_series(5001, 5060) i",
		timeout => 120, timed_out => \my $hangs, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

	ok(!$hangs, 'a list of free pages leads to the meta page: INSERT ends') or BAIL_OUT('a backend waits for itself');
	like($err, qr/XX002: index "l2_1_v" is corrupted in block 0/, '... and is refused');
	$node->safe_psql('postgres', join(';', map { "SELECT flip_byte('l2_1_v', 0, $at[$_], $was[$_])" } 0 .. $#at));
	is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('l2_1_v')"), 0, '... and the index is sound again');
}

# Values whose chunks are on the page that refers to them, which whoever reads one has
# locked.  Of a page that is locked twice PostgreSQL 19 unlocks one half: nobody can write
# to it, or to another page in its buffer, any more.
{
	my $nearest = 'SET enable_seqscan = off; SELECT id FROM own ORDER BY v <-> (SELECT v FROM own LIMIT 1) LIMIT 5';
	my $insert = "INSERT INTO own SELECT i, $sparse FROM generate_series(5001, 5010) i";

	$node->safe_psql('postgres', qq{
		CREATE TABLE own AS SELECT i AS id, $sparse AS v FROM generate_series(1, 60) i;
		CREATE INDEX own_v ON own USING hnsw (v sparsevec_l2_ops) WITH (m = 4, ef_construction = 16)});
	cmp_ok($node->safe_psql('postgres', q{SELECT flip_chunks('own_v')}), '>=', 60, 'chunks of values lead to the page that has the values');
	foreach my $statement ($nearest, $insert)
	{
		my ($rc, $out, $err) = $node->psql('postgres', $statement, timeout => 120, timed_out => \my $hangs, extra_params => [ '-v', 'VERBOSITY=verbose' ]);

		ok(!$hangs, '... ' . ($statement =~ /(SELECT id|INSERT)/)[0] . ' ends') or BAIL_OUT('a backend waits for itself');
		like($err, qr/XX002: .*\nDETAIL:  A value ends after 0 of \d+ bytes/, '... and is refused');
	}
	$node->psql('postgres', q{SELECT flip_chunks('own_v')}, timeout => 120, timed_out => \my $locked);
	ok(!$locked, '... and the pages can be locked to be written') or BAIL_OUT('a lock has been left');
	$node->safe_psql('postgres', 'DROP TABLE own');
}

note "seed $seed, $flips flips";

my $done = 0;
my $steps = $flips > 200000 ? 2000 : 60;
my %found;

while ($done < $flips && !%found)
{
	foreach my $kind (@kinds)
	{
		my ($name, $operator) = @$kind[ 0, 2 ];

		next if $only ne '' && $only ne $name;
		my $query = "SELECT count(*) FROM (SELECT id FROM $name ORDER BY v $operator (SELECT v FROM $name WHERE id >= \$1 LIMIT 1) LIMIT 20) s";
		my $fetch = "SELECT v, ctid FROM $name WHERE id >= \$1 LIMIT 1";
		my ($rc, $out, $err) = $node->psql(
			'postgres', qq{
			SET jit = off; SET enable_seqscan = off; SET enable_sort = off; SET client_min_messages = error;
			SELECT flip_run('${name}_v', '$query', '$fetch', 100, $seed, $first, $steps)},
			timeout => 600);

		if ($rc != 0)
		{
			$found{$name} = $err;
			diag("$name, seed $seed, steps $first to " . ($first + $steps) . ": $err");
			last if $node->psql('postgres', 'SELECT 1') != 0;
			next;
		}
		my ($n, $operations, $refused) = split ' ', $out;
		$done += $n;
		note "$name: $n flips, $operations operations, $refused refused" if $first == 0 || $steps > 60;
	}
	$first += $steps;
}
is(join(' ', sort keys %found), '', "$done flipped bytes: answers, or the error that the index is corrupted");

# Builds: name, type, operator, class, options, expression of i, rows.  With the
# least maintenance_work_mem, the last of the rows of those with long values are
# linked from their pages.
my @builds = (
	[ 'long', 'vector(1500)', '<->', 'vector_l2_ops', 'm = 4, ef_construction = 16', dense('vector', 1500), 300 ],
	[ 'wide', 'vector(6000)', '<=>', 'vector_cosine_ops', 'm = 4, ef_construction = 16', dense('vector', 6000), 400 ],
	[ 'wide_l1', 'vector(2500)', '<+>', 'vector_l1_ops', 'm = 4, ef_construction = 16', dense('vector', 2500), 160 ],
	[ 'sparse', 'sparsevec(9000)', '<->', 'sparsevec_l2_ops', 'm = 4, ef_construction = 16', $sparse =~ s/CASE .* END/1500/r, 160 ],
	[ 'equal', 'halfvec(24)', '<#>', 'halfvec_ip_ops', 'm = 4, ef_construction = 16', dense('halfvec', 24) =~ s/\bi\b/(i % 120)/r, 400 ],
	[ 'hamming', 'bit(64)', '<~>', 'bit_hamming_ops', 'm = 4, ef_construction = 16', $bits, 300 ]);
my $rounds = 2 + int($flips / 5000);
my ($built, $of, $refused, $rest) = (0, 0, 0, 0);

foreach my $kind (@builds)
{
	my ($name, $type, $operator, $class, $options, $expression, $rows) = @$kind;
	my $table = "build_$name";
	my $script = '';
	my ($rc, $out, $err);

	($rc, $out, $err) = $node->psql(
		'postgres', qq{
		CREATE TABLE $table AS SELECT i AS id, $expression AS v FROM generate_series(1, $rows) i;
		SET maintenance_work_mem = '1MB';
		CREATE INDEX ${table}_v ON $table USING hnsw ((flipped(v)::$type) $class) WITH ($options)});
	is($rc, 0, "$name: built before a byte goes wrong");
	$rest++ if $err =~ /NOTICE:  hnsw graph no longer fits into maintenance_work_mem/;
	for my $round (1 .. $rounds)
	{
		my $item = "v FROM $table WHERE id = " . (1 + $round * 37 % $rows);

		# every fourth by workers too, with the memory that lets them share it
		$script .= sprintf(q{
			ALTER TABLE %1$s SET (parallel_workers = %2$d);
			SELECT FROM flip_build('%1$s_v', %3$d, %4$d);
			REINDEX INDEX %1$s_v;
			SELECT 'flipped ' || flip_build_end();
			SELECT count(*) FROM (SELECT id FROM %1$s ORDER BY flipped(v)::%5$s %6$s (SELECT %7$s) LIMIT 20) s;
			INSERT INTO %1$s SELECT 0, %7$s;
			DELETE FROM %1$s WHERE id = 0;
			VACUUM %1$s;
			SELECT count(*) FROM hnsw_check('%1$s_v');
			}, $table, $round % 4 ? 0 : 2, $seed * 100003 + $round, $rows / 6, $type, $operator, $item);
	}
	($rc, $out, $err) = $node->psql(
		'postgres', qq{
		SET jit = off; SET enable_seqscan = off; SET enable_sort = off; SET statement_timeout = '20s';
		SET maintenance_work_mem = '1MB'; SET min_parallel_table_scan_size = 0; SET max_parallel_maintenance_workers = 2;
		$script}, on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	$of += $_ foreach $out =~ /^flipped (\d+)$/mg;
	$built += () = $out =~ /^flipped \d+$/mg;
	$refused += () = $err =~ /ERROR:  XX002:/g;
	is(join("\n", grep { /ERROR:|FATAL:|server closed/ && !/ERROR:  (XX002|0A000):|index returned tuples in wrong order/ } split /\n/, $err), '',
		"$name: a build of pages whose bytes go wrong ends in an index, or in the error that it is corrupted");
	$node->safe_psql('postgres', "REINDEX INDEX ${table}_v");
	is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('${table}_v')"), 0, "$name: built again, it is sound");
}
is($built, $rounds * @builds, "$built builds");
cmp_ok($of, '>', 0, "bytes were flipped: $of");
cmp_ok($refused, '>', 0, "statements were refused: $refused");
is($rest, 3, 'builds of long values linked some of them from their pages');
is($node->psql('postgres', 'SELECT 1'), 0, 'the server is up');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP/, 'no process crashed');
foreach my $kind (@kinds)
{
	is($node->safe_psql('postgres', "SELECT count(*) FROM hnsw_check('$kind->[0]_v') WHERE problem LIKE 'A node%'"), 0,
		"$kind->[0]: the bytes were put back");
}
$node->stop;
done_testing();
