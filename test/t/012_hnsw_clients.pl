# Sixteen clients insert, update, delete, search and vacuum at once for a
# minute, with so few buffers that pages come and go all the time.
# VECDB_TEST_SECONDS changes how long.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

my $seconds = $ENV{VECDB_TEST_SECONDS} // 60;
my $seed = 20240607;
note "seed $seed, $seconds seconds";

my $node = new_node('clients', q{
shared_buffers = 2MB
max_connections = 40
max_wal_size = 4GB
autovacuum = on
autovacuum_naptime = 5s
});
create_items($node, 3000, 32);
$node->safe_psql('postgres', 'CREATE SEQUENCE fresh START 1000001');
item_index($node);
is_sound($node, 'before');

# Client files of pgbench; the names bear their weights.
my %scripts = (
	"insert\@6" => q{
		INSERT INTO items SELECT i, 0, item_vector(i::int) FROM nextval('fresh') i;
	},
	"batch\@1" => q{
		BEGIN;
		INSERT INTO items SELECT i, 0, item_vector(i) FROM (SELECT nextval('fresh')::int AS i FROM generate_series(1, 20)) t;
		COMMIT;
	},
	"rollback\@1" => q{
		BEGIN;
		INSERT INTO items SELECT i, 0, item_vector(i) FROM (SELECT nextval('fresh')::int AS i FROM generate_series(1, 5)) t;
		ROLLBACK;
	},
	"equal\@1" => q{
		\set n random(1, 3)
		INSERT INTO items SELECT i, 1, item_vector(:n) FROM nextval('fresh') i;
	},
	"update\@3" => q{
		\set id random(1, 3000)
		\set other random(1, 1000000)
		UPDATE items SET note = 1, v = item_vector(:other) WHERE id = :id;
	},
	"touch\@2" => q{
		\set id random(1, 3000)
		UPDATE items SET note = note WHERE id = :id;
	},
	"delete\@3" => q{
		\set back random(1, 500)
		DELETE FROM items WHERE id = (SELECT last_value FROM fresh) - :back;
	},
	"search\@10" => q{
		\set n random(1, 1000000)
		SET enable_seqscan = off;
		SELECT 1 / (count(*) = 10)::int FROM (SELECT id FROM items ORDER BY v <-> item_vector(:n) LIMIT 10) t;
	},
	"iterate\@2" => q{
		\set n random(1, 1000000)
		BEGIN;
		SET LOCAL enable_seqscan = off;
		SET LOCAL hnsw.iterative_scan = relaxed_order;
		SELECT 1 / (count(*) > 0)::int FROM (SELECT id FROM items WHERE id % 50 = 7 ORDER BY v <-> item_vector(:n) LIMIT 10) t;
		COMMIT;
	},
	"vacuum\@1" => q{
		SELECT 1;
		\set sometimes random(1, 20)
		\if :sometimes = 1
		VACUUM (SKIP_LOCKED) items;
		\endif
	});
my @files;
foreach my $name (sort keys %scripts)
{
	(my $bare = $name) =~ s/@.*//;
	my $path = $node->basedir . "/$bare.sql";
	(my $text = $scripts{$name}) =~ s/^\t+//mg;
	$text =~ s/;\s*\n\s*(?=[A-Z])/;\n/g;
	append_to_file($path, $text);
	(my $weight = $name) =~ s/.*@//;
	push @files, '-f', "$path\@$weight";
}
my ($out, $err) = ('', '');
my $ok = IPC::Run::run(
	[ 'pgbench', '-n', '-T', $seconds, '-c', 16, '-j', 2, "--random-seed=$seed", @files, $node->connstr('postgres') ],
	'<', \undef, '>', \$out, '2>', \$err);
ok($ok, 'pgbench ends well');
unlike($err, qr/ERROR|FATAL|aborted/, 'no client met an error');
my ($done) = $out =~ /number of transactions actually processed: (\d+)/;
cmp_ok($done // 0, '>', 16 * 10, 'all clients did work: ' . ($done // 0) . ' transactions');
note $out;
note $err;
is_sound($node, 'after');
$node->safe_psql('postgres', 'VACUUM items');
is_sound($node, 'after a last vacuum');
$node->safe_psql('postgres', 'REINDEX INDEX items_v');
is_sound($node, 'rebuilt');
unlike(slurp_file($node->logfile), qr/ERROR:  (?!canceling autovacuum)|PANIC|TRAP|signal 11/, 'no error in the log, of the background neither');

$node->stop;
done_testing();
