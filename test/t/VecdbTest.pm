# VecdbTest.pm
#	  What the TAP tests of the index share: servers, deterministic rows, waiting
#	  for a state, and the verdict on an index.
#
# A row's vector is a hash of its number (SQL function item_vector), so that
# what a row ought to hold and be found by is known without a copy of it, after
# any crash and on any node, and no seed is needed.
package VecdbTest;

use strict;
use warnings;
use Exporter 'import';
use Fcntl qw(:flock);
use Time::HiRes qw(usleep time);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(postgres_copy new_node dump_and_restore create_items item_index wait_until wait_for_line start_psql is_sound recall answers
	alone_with_pgvector);

# Programs run side by side, and one of them moves pgvector aside: who needs its files
# to stay as they are keeps what this gives until it ends.
sub alone_with_pgvector
{
	open my $lock, '>>', "$ENV{TESTDIR}/pgvector.lock" or die "pgvector.lock: $!";
	flock $lock, LOCK_EX or die "pgvector.lock: $!";
	return $lock;
}

# A copy of PostgreSQL, whose libraries and shared files are links that can be replaced: the
# directory it is below, and where in that programs, libraries and shared files are.
sub postgres_copy
{
	my ($name) = @_;
	my $config = $ENV{PG_CONFIG} || 'pg_config';
	my ($bin, $lib, $share) = map { my $dir = `$config --$_`; chomp $dir; $dir } qw(bindir pkglibdir sharedir);
	my $root = "${PostgreSQL::Test::Utils::tmp_check}/$name";

	system_or_bail('rm', '-rf', $root);
	system_or_bail('mkdir', '-p', map { "$root$_" } $bin, $lib, $share);
	# programs find their files relative to where they are
	system_or_bail('cp', '-aL', "$bin/.", "$root$bin");
	system_or_bail('cp', '-as', "$lib/.", "$root$lib");
	system_or_bail('cp', '-as', "$share/.", "$root$share");
	return ($root, $bin, $lib, $share);
}

# A server that is ready for use; the options are appended to its configuration.
sub new_node
{
	my ($name, $options, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(%init);
	$node->append_conf('postgresql.conf', "log_statement = none\nautovacuum = off\n" . ($options // ''));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION vecdb');
	return $node;
}

# Dump the database postgres in a format of pg_dump and restore it into another.
# Two assertions; gives the database and the file.
sub dump_and_restore
{
	my ($node, $format) = @_;
	my $db = "restored_$format";
	my $file = $node->basedir . "/dump_$format";

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->command_ok([ 'pg_dump', "--format=$format", '-f', $file, $node->connstr('postgres') ], "pg_dump as $format");
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
	$node->command_ok(
		$format eq 'plain'
		? [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $file ]
		: [ 'pg_restore', '--exit-on-error', '-d', $node->connstr($db), $file ],
		"restore from $format");
	return ($db, $file);
}

# Table items with the given number of rows, and table queries with 100 points
# that lie among them.
sub create_items
{
	my ($node, $rows, $dim) = @_;

	$dim //= 32;
	$node->safe_psql(
		'postgres', qq{
		-- 50 clusters that nearly touch: islands would measure how a graph gets
		-- from one to another, which is not the matter here
		CREATE FUNCTION item_vector(id int) RETURNS vector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS \$\$
			SELECT array_agg((hashint8((id % 50)::bigint * 1000 + j) & 65535) / 65536.0
				+ (hashint8(1000000 + id::bigint * 1000 + j) & 65535) / 65536.0)::vector
			FROM generate_series(1, $dim) j
		\$\$;
		CREATE TABLE items (id int PRIMARY KEY, note int DEFAULT 0, v vector($dim));
		ALTER TABLE items ALTER v SET STORAGE PLAIN;
		INSERT INTO items SELECT i, 0, item_vector(i) FROM generate_series(1, $rows) i;
		CREATE TABLE queries AS SELECT i AS id, item_vector(i)::vector($dim) AS v FROM generate_series(90000001, 90000100) i;
		VACUUM ANALYZE});
	return;
}

sub item_index
{
	my ($node) = @_;

	$node->safe_psql('postgres', 'CREATE INDEX items_v ON items USING hnsw (v vector_l2_ops)');
	return;
}

# Wait until the code gives a true value; false when that takes too long.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $end = time() + ($seconds // $PostgreSQL::Test::Utils::timeout_default);

	while (time() < $end)
	{
		return 1 if $condition->();
		usleep(20_000);
	}
	return 0;
}

# Wait until the server's log has a line like this after an offset.
sub wait_for_line
{
	my ($node, $pattern, $offset) = @_;

	return wait_until(sub { substr(slurp_file($node->logfile), $offset) =~ $pattern });
}

# A client in the background that runs one statement after another, until one
# fails.  Gives a harness for $h->finish; the hash receives its output.
sub start_psql
{
	my ($node, $out, @statements) = @_;

	$out->{out} = '';
	$out->{err} = '';
	return IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), map { ('-c', $_) } @statements ],
		'<', \undef, '>', \$out->{out}, '2>', \$out->{err});
}

# The share of the ten exact neighbors of the queries that the index gives.
sub recall
{
	my ($node, $ef) = @_;

	$ef //= 100;
	return $node->safe_psql(
		'postgres', qq{
		SET enable_indexscan = off;
		CREATE TEMP TABLE exact AS SELECT q.id, q.v,
			(SELECT max(d) FROM (SELECT v <-> q.v AS d FROM items ORDER BY v <-> q.v LIMIT 10) t) AS tenth FROM queries q;
		SET enable_indexscan = on;
		SET enable_seqscan = off;
		SET hnsw.ef_search = $ef;
		SELECT round(avg((SELECT count(*) FROM (SELECT v <-> q.v AS d FROM items ORDER BY v <-> q.v LIMIT 10) t
			WHERE d <= q.tenth * (1 + 1e-6))) / 10, 4) FROM exact q});
}

# The ids that the index gives to the queries, as text.
sub answers
{
	my ($node) = @_;

	return $node->safe_psql(
		'postgres', q{
		SET enable_seqscan = off;
		SET hnsw.ef_search = 100;
		SELECT q.id, (SELECT string_agg(id::text, ' ') FROM (SELECT id FROM items ORDER BY v <-> q.v LIMIT 10) t)
		FROM queries q ORDER BY q.id});
}

# Four assertions: the structure (that includes an entry for every row), the rows'
# content, that the newest rows are the nearest to their own vectors, and the
# recall.  A graph may leave a few nodes that no search comes to; 10 in 2,000 are
# allowed.
sub is_sound
{
	my ($node, $what, $least) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', q{SELECT * FROM hnsw_check('items_v')}), '', "$what: structure is sound");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM items WHERE note = 0 AND v <> item_vector(id)}),
		'0', "$what: rows hold what was written");
	my @lost = split ' ', $node->safe_psql(
		'postgres', q{
		SET enable_seqscan = off;
		SET hnsw.ef_search = 100;
		SELECT string_agg(id::text, ' ') FROM (SELECT id, v FROM items ORDER BY id DESC LIMIT 2000) r
		WHERE (SELECT min(d) FROM (SELECT v <-> r.v AS d FROM items ORDER BY v <-> r.v LIMIT 1) t) IS DISTINCT FROM 0});
	cmp_ok(scalar @lost, '<=', 10, "$what: searches find the last 2,000 rows but " . @lost);
	note "not found: @lost" if @lost;
	my $recall = recall($node);
	cmp_ok($recall, '>=', $least // 0.99, "$what: recall\@10 at ef_search 100 is $recall");
	return;
}

1;
