# PostgreSQL's logical replication beside that of collections: a subscription writes into a
# shared table, and a server that is no member subscribes to one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my $conf = "vecdb.anti_entropy_interval = 2s\nwal_level = logical\nmax_wal_senders = 8\nmax_replication_slots = 8";
my ($a, $b, $c) = my @all = share_docs(conf => $conf, rows => q{SELECT 'a' || i, ARRAY[i, 0, 1]::vector, '{}' FROM generate_series(1, 20) i});

# A server that is no member, with a table of the same columns
sub outside
{
	my $node = new_peer(shift, conf => $conf);

	sql($node, q{SELECT vecdb.create_collection('docs', 3, 'l2')});
	return $node;
}

sub subscribe
{
	my ($node, $to, $publication) = @_;
	my $connection = $to->connstr('postgres') =~ s/'/''/gr;

	sql($node, "CREATE SUBSCRIPTION from_$publication CONNECTION '$connection' PUBLICATION $publication");
	return;
}

all_equal(\@all, 'the rows that were there are copied', 20);

# ---- into a shared table ----

my $source = outside('source');
sql($source, q{INSERT INTO collections.docs (id, data) VALUES ('s1', '[1,2,3]'), ('s2', '[1,2,3]'); CREATE PUBLICATION of_source FOR TABLE collections.docs});
subscribe($a, $source, 'of_source');
all_equal(\@all, 'what a subscription copies into a shared table is on all nodes', 22);
sql($source, q{INSERT INTO collections.docs (id, data) VALUES ('s3', '[1,2,3]'); DELETE FROM collections.docs WHERE id = 's1';
	UPDATE collections.docs SET metadata = '{"changed": true}' WHERE id = 's2'});
ok(wait_until(sub { sql($b, q{SELECT string_agg(id || (metadata ->> 'changed' IS NOT NULL)::text, ' ' ORDER BY id) FROM collections.docs WHERE id LIKE 's%'}) eq 's2true s3false' }),
	'and so is what it brings later');
all_equal(\@all, 'the same on all', 22);
is(join('', map { sql($_, q{SELECT * FROM vecdb.verify_versions('collections.docs')}) } @all), '', 'each row has its version');

# ---- from a shared table ----

sql($b, 'CREATE PUBLICATION everything FOR ALL TABLES');
sql($b, q{INSERT INTO collections.docs (id, data) VALUES ('of b', '[1,2,3]')});
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('of a', '[1,2,3]')});
all_equal(\@all, 'a publication of all tables keeps nobody from writing', 24);
cmp_ok(sql($b, q{SELECT count(*) FROM pg_publication_tables WHERE pubname = 'everything' AND schemaname = 'vecdb'}), '>', 5, 'but it has the tables of one node alone');
sql($b, 'DROP PUBLICATION everything');
sql($b, 'CREATE PUBLICATION named FOR TABLES IN SCHEMA collections');
my $outside = outside('outside');
subscribe($outside, $b, 'named');
all_equal([ @all, $outside ], 'one that is no member gets all rows from one that is', 24);
sql($c, q{DELETE FROM collections.docs WHERE id = 'of a'; UPDATE collections.docs SET metadata = '{"by": "c"}' WHERE id = 'of b'});
all_equal([ @all, $outside ], 'also what others write', 23);

sql($a, 'DROP SUBSCRIPTION from_of_source');
sql($outside, 'DROP SUBSCRIPTION from_named');
nothing_crashed(@all, $source, $outside);
done_testing();
