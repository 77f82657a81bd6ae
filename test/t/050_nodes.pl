# Three nodes on loopback: they find each other through one, look each other up,
# share a collection, let members in and out, and come back without a bootstrap.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;
use VecdbNodes;

# Rows of a query that must succeed.
sub sql
{
	my ($node, $query) = @_;

	return $node->safe_psql('postgres', $query);
}

# The error of a query that must fail.
sub error_of
{
	my ($node, $query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query);

	return $rc == 0 ? "no error, but: $out" : $err;
}

# Stop a server; how long that takes.
sub stop_time
{
	my ($node) = @_;
	my $began = time();

	$node->stop('fast');
	return time() - $began;
}

my $a = new_peer('a');
ok(wait_until(sub { running($a) }), 'a node starts by itself once the extension is there');
my $id_a = node_id($a);
like($id_a, qr/^[0-9a-f]{64}$/, 'it has an id');
my $oid = sql($a, q{SELECT oid FROM pg_database WHERE datname = 'postgres'});
my $key_file = $a->data_dir . "/vecdb/$oid/node.key";
is((stat $key_file)[2] & 0777, 0600, 'its key file is its own');

my $b = new_peer('b', bootstrap => [$a]);
my $c = new_peer('c', bootstrap => [$a]);
my @all = ($a, $b, $c);
my %id;
ok(wait_until(sub { running($b) && running($c) }), 'two more start');
$id{ $_->name } = node_id($_) for @all;
is(scalar(keys %{ { reverse %id } }), 3, 'three ids');

# Each finds the two others
for my $node (@all)
{
	my $others = join ',', sort map { $id{$_} } grep { $_ ne $node->name } keys %id;

	ok(wait_until(sub { sql($node, q{SELECT string_agg(node_id, ',' ORDER BY node_id) FROM vecdb.stat_routing_table}) eq $others }),
		$node->name . ' has both others in its table');
	ok(wait_until(sub { sql($node, q{SELECT string_agg(node_id, ',' ORDER BY node_id COLLATE "C") FROM vecdb.peers()}) eq $others }),
		$node->name . ' is connected with both');
}
is(sql($b, "SELECT node_id, addresses FROM vecdb.lookup('$id{c}')"), "$id{c}|{" . address($c) . '}', 'a lookup gives address and id');
is(sql($b, "SELECT node_id FROM vecdb.lookup(upper('$id{a}'))"), $id_a, 'an id in capitals is the same');
is(sql($b, 'SELECT count(*) FROM vecdb.lookup(repeat(\'5\', 64))'), '0', 'no row for an id that nobody has');
ok( wait_until(sub { sql($b, q{SELECT state, listen, advertised, clone IS NULL, peers, known_nodes FROM vecdb.stat_workers WHERE database = 'postgres'}) eq
			'running|' . address($b) . '|{' . address($b) . '}|t|2|2' }), 'stat_workers tells how it does');
is(sql($b, q{SELECT count(*) FROM vecdb.stat_workers WHERE kind = 'launcher' AND state = 'running'}), '1', '... and of the launcher');

# A collection of a; b joins as writer, c as reader
sql($a, q{SELECT vecdb.create_collection('docs', 3, 'l2', m => 8, storage => 'halfvec', filter_index => true)});
like(error_of($a, q{SELECT * FROM vecdb.members('docs')}), qr/the collection is not shared.*HINT:.*vecdb\.invite/s, 'not shared yet: said so');
my $for_b = sql($a, q{SELECT vecdb.invite('docs')});
my $for_c = sql($a, q{SELECT vecdb.invite('docs', 'reader', '1 hour')});
like(($a->psql('postgres', q{SELECT vecdb.invite('docs')}))[2],
	qr/NOTICE:.*only private addresses.*HINT:.*vecdb\.advertise/s, 'who can be reached on this machine only is told so with an invitation');
like($for_b, qr/^vecdb1:[A-Za-z0-9_-]+$/, 'an invitation is a text');
is(sql($b, "SELECT vecdb.join('$for_b')"), 'collections.docs', 'b joins');
is( sql($b, q{SELECT name, dimensions, metric, index_type, storage, m, filter_index FROM vecdb.collections}),
	'docs|3|l2|hnsw|halfvec|8|t', 'its table is like that of a');
my $collection = sql($a, q{SELECT id FROM vecdb.shared_collections WHERE name = 'docs'});
is(sql($b, 'SELECT name, id FROM vecdb.shared_collections'), "docs|$collection", 'both say the same id');

# What must not be
like(error_of($c, "SELECT vecdb.join('$for_b')"), qr/the invitation was used before, by another node/, 'an invitation is good once');
my $forged = $for_c;
substr($forged, 200, 1) = substr($forged, 200, 1) eq 'A' ? 'B' : 'A';
like(error_of($c, "SELECT vecdb.join('$forged')"), qr/the invitation cannot be used/, 'a changed one is refused');
like(error_of($c, "SELECT vecdb.join('hello')"), qr/the invitation cannot be used/, 'and what is none');
like(error_of($a, "SELECT vecdb.join('$for_c')"), qr/was made by this node itself/, 'nobody invites itself');
like(error_of($b, q{SELECT vecdb.invite('docs')}), qr/this node is no admin/, 'a writer does not invite');
my ($short, $made) = split /\|/, sql($a, q{SELECT vecdb.invite('docs', 'reader', '1 second'), clock_timestamp()});
wait_until(sub { sql($a, "SELECT clock_timestamp() > '$made'::timestamptz + interval '1.5 seconds'") eq 't' });
like(error_of($c, "SELECT vecdb.join('$short')"), qr/the invitation has expired/, 'one expires');

is(sql($c, "BEGIN; SELECT vecdb.join('$for_c', 'papers'); ROLLBACK"), 'collections.papers', 'c joins, and rolls back');
is(sql($c, 'SELECT count(*) FROM vecdb.collections'), '0', 'the table is not there');
is(sql($c, "SELECT vecdb.join('$for_c', 'papers')"), 'collections.papers', 'the same invitation makes up for it, under another name');
like(error_of($c, "SELECT vecdb.join('$for_c', 'again')"), qr/holds the collection already/, 'but not twice');

for my $node (@all)
{
	my $name = $node eq $c ? 'papers' : 'docs';

	ok( wait_until(sub { sql($node, "SELECT string_agg(node_id || ' ' || role, ',' ORDER BY role) FROM vecdb.members('$name')") eq
				"$id{a} admin,$id{c} reader,$id{b} writer" }),
		$node->name . ' knows all members');
	ok( wait_until(sub { sql($node, "SELECT string_agg(node_id, ',' ORDER BY node_id COLLATE \"C\") FROM vecdb.providers('$name')") eq
				join ',', sort values %id }),
		$node->name . ' finds all who hold it');
	ok( wait_until(sub { sql($node, "SELECT count(*) FROM vecdb.members('$name') WHERE meshed") eq '2' }), $node->name . ' is in the mesh with both');
	is(sql($node, "SELECT bool_and((connected IS NULL AND meshed IS NULL) = (node_id = vecdb.node_id())) FROM vecdb.members('$name')"), 't', 'of itself it tells neither');
}
is(sql($a, "SELECT count(*) FROM vecdb.providers('$collection')"), '3', 'providers by the id of a collection');

# Names may change; the collection stays what it is
sql($b, q{SELECT vecdb.rename_collection('docs', 'texts')});
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM vecdb.members('texts')}) eq '3' }), 'a renamed collection is the same one');

# Eviction
my $offset = -s $c->logfile;
is(sql($a, "SELECT vecdb.evict('docs', left('$id{c}', 10))"), $id{c}, 'a evicts c');
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM vecdb.members('texts')}) eq '2' }), 'b hears of it');
ok(wait_for_line($c, qr/is no member of collection papers any more/, $offset), 'c is told');
like(error_of($a, "SELECT vecdb.evict('docs', '$id{c}')"), qr/no member of the collection/, 'who is out cannot be evicted');
like(error_of($a, "SELECT vecdb.evict('docs', '$id{a}')"), qr/that is this node itself/, 'nor oneself');
like(error_of($b, "SELECT vecdb.evict('texts', '$id{a}')"), qr/no admin/, 'nor by a writer');
like(error_of($c, "SELECT vecdb.join('$for_c', 'back')"), qr/the invitation|holds the collection already/, 'its invitation does not bring it back');
ok(wait_until(sub { sql($a, "SELECT count(*) FROM vecdb.providers('docs')") eq '2' }), 'c does not say any more that it holds it');

# Leaving
sql($b, q{SELECT vecdb.leave('texts')});
ok(wait_until(sub { sql($a, q{SELECT count(*) FROM vecdb.members('docs')}) eq '1' }), 'b has left, and a knows');
is(sql($b, 'SELECT count(*) FROM vecdb.collections'), '1', 'its table stays');
ok(wait_until(sub { sql($b, 'SELECT count(*) FROM vecdb.shared_collection') eq '0' }), 'the rest goes once another knows');
like(error_of($b, q{SELECT * FROM vecdb.members('texts')}), qr/the collection is not shared/, 'it is an ordinary collection again');

# Statements survive a restart, and so do the nodes known: without a bootstrap
sql($a, "SELECT vecdb.invite('docs', 'admin')");
my $statements = sql($a, 'SELECT count(*) FROM vecdb.membership_statement');
my $again = sql($a, "SELECT vecdb.invite('docs', 'writer')");
is(sql($b, "SELECT vecdb.join('$again')"), 'collections.docs', 'b joins anew');
# Nobody waits for peers: that would take longer than a server that is no node does,
# to which the processor may be as busy.
my @took;
for my $node (@all)
{
	push @took, [ $node->name, stop_time($node) ];
}
$a->append_conf('postgresql.conf', "vecdb.node_databases = ''\n");
$a->start;
my $usual = stop_time($a);
$a->append_conf('postgresql.conf', "vecdb.node_databases = 'postgres'\n");
cmp_ok($_->[1], '<', 5 + 20 * $usual, sprintf '%s stops in %.2f s with its peers connected, in %.2f s without a node', @$_, $usual) for @took;
$_->append_conf('postgresql.conf', "vecdb.bootstrap = ''\n") for @all;
ok(start_peer($_), $_->name . ' starts again') for @all;
is(node_id($_), $id{ $_->name }, $_->name . ' is the node it was') for @all;
ok(wait_until(sub { peers_of($_) == 2 }), $_->name . ' finds both others without a bootstrap address') for @all;
ok(wait_until(sub { sql($b, q{SELECT string_agg(role, ',' ORDER BY role) FROM vecdb.members('docs')}) eq 'admin,writer' }), 'members are what they were');
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM vecdb.members('docs') WHERE meshed}) eq '1' }), 'and meet in the mesh');

# The key of a collection goes with it, when that is sure
my $key_files = sub { my @files = glob $a->data_dir . "/vecdb/$oid/collection-*.key"; return @files };
my $before = () = $key_files->();
sql($a, q{SELECT vecdb.create_collection('gone', 2)});
sql($a, q{SELECT vecdb.invite('gone')});
is(scalar(() = $key_files->()), $before + 1, 'a collection that is shared has a key file');
sql($a, q{BEGIN; DROP TABLE collections.gone; ROLLBACK});
is(sql($a, q{SELECT count(*) FROM vecdb.members('gone')}), '1', 'a drop that is rolled back changes nothing');
is(scalar(() = $key_files->()), $before + 1, 'its key file stays');
sql($a, q{DROP TABLE collections.gone});
ok(wait_until(sub { (() = $key_files->()) == $before }), 'one that is dropped takes its key file along');
sql($a, q{SELECT vecdb.create_collection('gone', 2)});
sql($a, q{SELECT vecdb.invite('gone')});
sql($a, q{SELECT vecdb.leave('gone')});
ok(wait_until(sub { (() = $key_files->()) == $before }), 'and so does one that is left');

# One node gone, the others go on
$a->stop('immediate');
is(sql($b, "SELECT node_id FROM vecdb.lookup('$id{c}')"), $id{c}, 'the first node is gone, the others find each other');
ok(start_peer($a), 'it comes back after a crash');
ok(wait_until(sub { peers_of($a) == 2 }), 'and finds the others');

# Who has left and joins again, by one that has not heard of the leave
sql($a, q{SELECT vecdb.create_collection('returned', 2)});
sql($_, q{SELECT vecdb.join('} . sql($a, q{SELECT vecdb.invite('returned', 'admin')}) . q{')}) for $b, $c;
ok(wait_until(sub { !grep { sql($_, q{SELECT count(*) FROM vecdb.members('returned')}) ne '3' } @all }), 'a collection of three');
my $invitation = sql($a, q{SELECT vecdb.invite('returned')});
$a->stop;
sql($b, q{SELECT vecdb.leave('returned'); DROP TABLE collections.returned});
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM vecdb.shared_collection WHERE name = 'returned'}) eq '0' }), 'b leaves, as one other knows');
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM vecdb.members('returned')}) eq '2' }), '... which is c');
$b->stop;
$c->stop;
ok(start_peer($_), $_->name . ' starts again') for $a, $b;
is(sql($a, q{SELECT count(*) FROM vecdb.members('returned')}), '3', 'a has not heard of it');
is(sql($b, "SELECT vecdb.join('$invitation')"), 'collections.returned', 'it lets b in again');
ok(start_peer($c), 'c starts again');
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM vecdb.members('returned')}) eq '3' }), 'it hears that b is back');
my $known = q{SELECT md5(string_agg(statement::text, '' ORDER BY statement)) FROM vecdb.membership_statement JOIN vecdb.shared_collection s USING (root) WHERE s.name = 'returned'};
ok(wait_until(sub { my @known = map { sql($_, $known) } @all; $known[0] eq $known[1] && $known[1] eq $known[2] }), 'all know the same');
is(sql($_, q{SELECT count(*) FROM vecdb.members('returned')}), '3', '... and b is in, on ' . $_->name) for @all;

# Two joins of it at once: the one that comes to nothing does not take along what the other has made
sql($b, q{SELECT vecdb.leave('returned'); DROP TABLE collections.returned});
ok(wait_until(sub { !grep { sql($_, q{SELECT count(*) FROM vecdb.members('returned')}) ne '2' } $a, $c }), 'b leaves again, as all know');
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM vecdb.shared_collection WHERE name = 'returned'}) eq '0' }), '... which it knows');
ok(sql($b, q{SELECT count(*) FROM vecdb.membership_statement WHERE root NOT IN (SELECT root FROM vecdb.shared_collection)}) > 0, 'it keeps what it has to show');
my $nobody = sql($c, q{SELECT vecdb.invite('returned')});
$invitation = sql($a, q{SELECT vecdb.invite('returned')});
kill 'STOP', $_ for my @stopped = split /\s+/, $c->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'vecdb node'});
is(scalar(@stopped), 1, 'c does not answer any more');
my $failed = '';
my $joins = IPC::Run::start([ 'psql', '-XqAt', '-d', $b->connstr('postgres') . ' application_name=never', '-c', "SELECT vecdb.join('$nobody', 'never')" ], '<', \undef, '>&', \$failed);
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'never' AND wait_event_type = 'Extension'}) eq '1' }), 'b waits for it');
is(sql($b, "SELECT vecdb.join('$invitation')"), 'collections.returned', 'another invitation lets b in');
$joins->finish;
kill 'CONT', @stopped;
like($failed, qr/ERROR/, 'the first join comes to nothing');
ok(wait_until(sub { sql($_, q{SELECT count(*) FROM vecdb.members('returned')}) eq '3' }), 'b is in all the same, on ' . $_->name) for @all;
sql($_, q{SELECT vecdb.leave('returned')}) for $b, $c;

# DROP EXTENSION, DROP DATABASE
sql($c, q{SELECT vecdb.create_collection('kept', 2)});
sql($c, q{SELECT vecdb.invite('kept')});
my $keys_of_c = sub { my @files = glob $c->data_dir . "/vecdb/$oid/collection-*.key"; return scalar @files };
is($keys_of_c->(), 1, 'a collection that another node shares has a key file there');
$offset = -s $c->logfile;
sql($c, 'DROP EXTENSION vecdb CASCADE');
ok(wait_for_line($c, qr/waits: the extension vecdb is not in this database/, $offset), 'the node stops with its extension');
is($keys_of_c->(), 0, 'whose collections take their key files along');
sql($c, 'CREATE EXTENSION vecdb');
ok(wait_until(sub { running($c) }), 'and starts again with it');
is(node_id($c), $id{c}, 'as the node it was');
sql($c, 'CREATE DATABASE other');
$c->safe_psql('other', 'CREATE EXTENSION vecdb');
my $other_port = PostgreSQL::Test::Cluster::get_free_port();
$c->append_conf('postgresql.conf', "vecdb.node_databases = 'postgres, other:$other_port'\n");
$c->reload;
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM vecdb.stat_workers WHERE state = 'running'}) eq '3' }), 'a second database of one server is a node of its own');
isnt($c->safe_psql('other', 'SELECT vecdb.node_id()'), $id{c}, 'with another id');
my $other_dir = $c->data_dir . '/vecdb/' . sql($c, q{SELECT oid FROM pg_database WHERE datname = 'other'});
my $id_other = $c->safe_psql('other', 'SELECT vecdb.node_id()');
my $no_database = sub { sql($c, q{SELECT state, reason FROM vecdb.stat_workers WHERE database = 'other'}) eq 'down|the database does not exist' };
sql($c, 'ALTER DATABASE other RENAME TO another');
ok(wait_until($no_database), 'its database can be renamed, and is no node then');
ok(-e "$other_dir/node.key", '... but keeps its key');
sql($c, 'ALTER DATABASE another RENAME TO other');
ok(wait_until(sub { sql($c, q{SELECT state FROM vecdb.stat_workers WHERE database = 'other'}) eq 'running' }), '... and is one again under its name');
is($c->safe_psql('other', 'SELECT vecdb.node_id()'), $id_other, '... the same');
$c->psql('postgres', 'DROP DATABASE other', timeout => 60);
is(sql($c, q{SELECT count(*) FROM pg_database WHERE datname = 'other'}), '0', 'its database can be dropped, without force');
ok(wait_until($no_database), 'and its node says so');
ok(!-e $other_dir, 'with it goes the directory of its keys');
sql($c, 'CREATE DATABASE other');
$c->safe_psql('other', 'CREATE EXTENSION vecdb');
ok(wait_until(sub { sql($c, q{SELECT state FROM vecdb.stat_workers WHERE database = 'other'}) eq 'running' }), 'it returns with the database');
sql($c, 'DROP DATABASE other WITH (FORCE)');
is(sql($c, q{SELECT count(*) FROM pg_database WHERE datname = 'other'}), '0', 'and with force');

# Another network is another world
$c->append_conf('postgresql.conf', "vecdb.node_databases = 'postgres'\nvecdb.network_id = 'elsewhere'\nvecdb.bootstrap = '" . address($a) . "'\n");
$c->reload;
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM vecdb.stat_workers WHERE kind = 'node' AND state = 'running'}) eq '1' && peers_of($c) == 0 }),
	'a node in another network is alone');

# A copy of a data directory is the same node twice: both are told
$b->stop;
$b->backup_fs_cold('copy');
my $d = PostgreSQL::Test::Cluster->new('d');
$d->init_from_backup($b, 'copy');
$d->append_conf('postgresql.conf', 'vecdb.p2p_port = ' . PostgreSQL::Test::Cluster::get_free_port() . "\nvecdb.bootstrap = '" . address($a) . "'\n");
ok(start_peer($b), 'b starts');
my $copied_key = $d->data_dir . "/vecdb/$oid/node.key";
chmod 0644, $copied_key;
$d->start;
ok( wait_until(sub { sql($d, q{SELECT reason FROM vecdb.stat_workers WHERE kind = 'node'}) =~ /has mode 0644 and is open to others: make it 0600/ }),
	'a key file that others may read is refused');
chmod 0600, $copied_key;
ok(wait_until(sub { running($d) }), 'and taken once it is put right');
for my $node ($b, $d)
{
	ok( wait_until(sub { sql($node, q{SELECT count(clone) FROM vecdb.stat_workers}) eq '1' }), $node->name . ' knows of the copy');
	is(() = slurp_file($node->logfile) =~ /another node uses the key of this one: node id ${\short($id{b})} is also at/g, 1,
		$node->name . ' says so once in the log');
}
like(error_of($b, "SELECT vecdb.invite('docs')"), qr/another node uses the key of this one|no admin/, 'neither invites');

for my $node (@all, $d)
{
	my $log = slurp_file($node->logfile);

	unlike($log, qr/PANIC|terminated by signal|server process .* was terminated/, $node->name . ': nothing has crashed');
	unlike($log, qr/FATAL:  (?!terminating|the database system is)/, $node->name . ': no worker has failed');
	$node->stop;
}
done_testing();
