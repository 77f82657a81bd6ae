# pg_upgrade of a server that is a node, with its keys carried as doc/nodes.md says: the same
# node, the same collection, the same answers.  VECDB_OLD_PG is the directory of the
# older PostgreSQL (with bin/ in it), where it is not the one that is tested.
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

my $old = new_peer('old', install_path => $ENV{VECDB_OLD_PG});
my ($p2p_port) = address($old) =~ /:(\d+)$/;
my $other = new_peer('other', bootstrap => [$old]);
ok(wait_until(sub { running($old) && running($other) }), 'two nodes run');

sub version_of
{
	return shift->safe_psql('postgres', 'SHOW server_version_num') / 10000;
}

# So many rows, one that is changed, and one that is deleted again
sub write_notes
{
	my ($node, $when) = @_;
	my $name = $node->name;

	$node->safe_psql('postgres', "INSERT INTO collections.notes (id, data) SELECT '$when ${name} ' || i, ARRAY[i, 1, 2]::vector FROM generate_series(1, 21) i");
	$node->safe_psql('postgres', "UPDATE collections.notes SET metadata = '{\"by\": \"$name\"}' WHERE id = '$when $name 1'");
	$node->safe_psql('postgres', "DELETE FROM collections.notes WHERE id = '$when $name 21'");
	return;
}

# A collection that both share, with rows; a table with an index
$old->safe_psql('postgres', q{SELECT vecdb.create_collection('docs', 3, 'l2', m => 8, filter_index => true)});
$other->safe_psql('postgres', "SELECT vecdb.join('" . $old->safe_psql('postgres', q{SELECT vecdb.invite('docs', 'reader')}) . "')");
$old->safe_psql('postgres', q{SELECT vecdb.upsert('docs', i::text, array[i % 10, i / 10, 1]::vector, '{}') FROM generate_series(1, 200) i});
# ... one that both write to
$old->safe_psql('postgres', q{SELECT vecdb.create_collection('notes', 3, 'l2')});
$other->safe_psql('postgres', "SELECT vecdb.join('" . $old->safe_psql('postgres', q{SELECT vecdb.invite('notes')}) . "')");
write_notes($_, 'before') for $old, $other;
all_equal([ $old, $other ], 'rows travel', 40, 'collections.notes');
create_items($old, 2000, 16);
item_index($old);

my %same = (
	'its id' => sub { node_id(shift) },
	'its collections' => sub { shift->safe_psql('postgres', 'TABLE vecdb.shared_collection') },
	'what is known of members' => sub { shift->safe_psql('postgres', 'SELECT * FROM vecdb.membership_statement ORDER BY root, statement') },
	'members' => sub { shift->safe_psql('postgres', q{SELECT node_id, role, depth FROM vecdb.members('docs') ORDER BY role}) },
	# rows of notes come as soon as it meets the other
	'what the collection is' => sub { shift->safe_psql('postgres', q{SELECT name, dimensions, metric, index_type, storage, m, ef_construction, filter_index, CASE name WHEN 'docs' THEN rows END FROM vecdb.collections ORDER BY name}) },
	'what a search of the collection finds' => sub { shift->safe_psql('postgres', q{SELECT id, score FROM vecdb.search('docs', '[3,4,1]', 20)}) },
	'what the index finds' => sub { answers(shift) },
	'what the index is' => sub { shift->safe_psql('postgres', q{SELECT pg_get_indexdef('items_v'::regclass), pg_relation_size('items_v')}) });
my %before = map { $_ => $same{$_}->($old) } keys %same;
my $dir = $old->safe_psql('postgres', q{SELECT 'vecdb/' || oid FROM pg_database WHERE datname = 'postgres'});
like($before{'its id'}, qr/^[0-9a-f]{64}$/, 'the node has an id');
is((() = $before{'members'} =~ /^\w+\|(?:admin|reader)\|/mg), 2, 'and the collection two members');
note 'from PostgreSQL ', int(version_of($old)), ' to ', int(version_of($other));
$old->stop;
write_notes($other, 'meanwhile');

# The new server, on the old one's port for nodes
my $new = new_peer('new', port => $p2p_port, empty => 1, conf => "vecdb.bootstrap = '" . address($other) . "'");
chdir ${PostgreSQL::Test::Utils::tmp_check} or die "could not change the directory: $!";
command_ok(
	[
		'pg_upgrade', '--no-sync',
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old->config_data('--bindir'), '-B', $new->config_data('--bindir'),
		'-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
ok(!-e $new->data_dir . '/vecdb', 'it carries no keys, and no worker has run in it');

# Without its keys it is somebody else
ok(start_peer($new), 'the new server starts without the keys');
isnt(node_id($new), $before{'its id'}, 'then it is another node');
is($same{'what the index finds'}->($new), $before{'what the index finds'}, '... with the same data');
like(($new->psql('postgres', q{SELECT vecdb.invite('docs')}))[2], qr/this node is no admin of the collection/, '... that is no member of what the old one was');
$new->stop;
system('rm', '-rf', $new->data_dir . '/vecdb') == 0 or die 'could not remove the directory of keys';

# README: with both stopped, cp -a OLD/vecdb NEW/vecdb
system('cp', '-a', $old->data_dir . '/vecdb', $new->data_dir . '/vecdb') == 0 or die 'could not copy the directory of keys';
ok(start_peer($new), 'it starts with them');
is($new->safe_psql('postgres', q{SELECT 'vecdb/' || oid FROM pg_database WHERE datname = 'postgres'}), $dir, 'the database has the same oid');
is($same{$_}->($new), $before{$_}, "the same: $_") for sort keys %same;
is($new->safe_psql('postgres', q{SELECT * FROM hnsw_check('items_v')}), '', 'the index is sound');
ok( wait_until(sub { $other->safe_psql('postgres', q{SELECT count(*) FROM vecdb.members('docs') WHERE meshed}) eq '1' }),
	'the other member meets it as whom it knew');
my @keys = map { s/.*collection-//r } glob $old->data_dir . "/$dir/collection-*.key";
is(join(' ', map { s/.*collection-//r } glob $new->data_dir . "/$dir/collection-*"), "@keys", 'keys in use stay');
like($new->safe_psql('postgres', q{SELECT vecdb.invite('docs', 'admin')}), qr/^vecdb1:/, 'it is an admin as it was');
$new->safe_psql('postgres', q{SELECT vecdb.upsert('docs', 'new', '[1,2,3]', '{}'); INSERT INTO items VALUES (10000, 0, item_vector(10000))});
is($new->safe_psql('postgres', q{SET enable_seqscan = off; SELECT id FROM items ORDER BY v <-> item_vector(10000) LIMIT 1}), '10000', 'and its indexes take rows');


# Rows travel again
all_equal([ $new, $other ], 'it has what was written meanwhile', 60, 'collections.notes');
write_notes($_, 'after') for $new, $other;
all_equal([ $new, $other ], 'and rows travel both ways', 100, 'collections.notes');
is($new->safe_psql('postgres', q{SELECT count(*) FROM vecdb.verify_versions('collections.notes')}), '0', '... each has its version');
ok( wait_until(sub {
		$new->safe_psql('postgres', q{SELECT r.state, r.reason, c.state, quarantined, parked FROM vecdb.stat_replication r JOIN vecdb.stat_collections c USING (name) WHERE name = 'collections.notes'::regclass}) eq 'level||replicating|0|0' }),
	'... and no counter is red');

$_->stop for $new, $other;
unlike(slurp_file($_->logfile), qr/PANIC|terminated by signal/, $_->name . ': nothing has crashed') for $old, $new, $other;
done_testing();
