# Three servers share a collection. The directory of one is copied: both run at once, or
# the copy takes the place of the original after others, and both, have gone on.
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
use VecdbStorage;
use VecdbMemory;

my $conf = "vecdb.anti_entropy_interval = 1s";
my @all = share_docs(conf => $conf, admins => ['b']);
my ($a, $b, $c) = @all;

put($a, map { "a$_" } 1 .. 50);
put($b, map { "b$_" } 1 .. 50);
put($c, map { "c$_" } 1 .. 50);
is_whole(\@all, 'before a copy is made');
my $memory = memory_of(@all);

# ---- cp -a, both run ----

$c->stop;
my $d = server_of('d', $c->data_dir, 'vecdb.p2p_port = ' . PostgreSQL::Test::Cluster::get_free_port());
my $old = $c->data_dir . '.old';
copy_directory($c->data_dir, $old);
remove($a, 'c1', 'a1');
put($b, 'b2', 'c2', 'meanwhile');
ok(start_peer($c), 'the original starts');
is_whole(\@all, 'before the copy starts');
$d->start;
my $is_clone = q{SELECT clone IS NOT NULL FROM vecdb.stat_workers WHERE database = 'postgres'};
for my $node ($c, $d)
{
	ok(wait_until(sub { sql($node, $is_clone) eq 't' }), $node->name . ' says that there are two of it');
}

is(sql($_, q{SELECT DISTINCT state, reason, hint ~ 'key file' FROM vecdb.stat_replication}), 'away|another node uses the key of this one, so nobody takes what either says|t',
	'... also of each member of the collection') for $c, $d;

# Neither tells others anything, who go on, and hear nothing of it
put($c, 'c3', 'while_two_c');
my $copied = sql($d, 'SELECT clock_timestamp()');
sql($d, q{INSERT INTO collections.docs (id, data, metadata) VALUES ('while_two_d', '[1,2,3]', '{"n": 0}');
	UPDATE collections.docs SET metadata = '{"n": 0}' WHERE id IN ('c4', 'c5')});
put($a, 'c4', 'while_two_a');
remove($b, 'c6');
all_equal([ $a, $b ], 'the others go on');
is(sql($b, q{SELECT string_agg(id, ' ' ORDER BY id) FROM collections.docs WHERE id LIKE 'while_two_%'}), 'while_two_a', '... without what either writes');

# The way out: the copy becomes a node of its own, and joins with what it alone has written
my $key = sql($d, q{SELECT 'vecdb/' || oid || '/node.key' FROM pg_database WHERE datname = 'postgres'});
$d->stop;
unlink $d->data_dir . "/$key" or die "$key: $!";
ok(start_peer($d), 'the copy starts without its key');
$c->restart;
is_whole(\@all, 'the original is restarted');
like(error_of($d, q{DELETE FROM collections.docs}), qr/this node only reads collection/, 'the copy may not write');
sql($d, q{SELECT vecdb.leave('docs')});
sql($d, "DELETE FROM collections.docs WHERE updated_at < '$copied'");
sql($d, q{SELECT vecdb.replicate('collections.docs', '} . sql($a, q{SELECT vecdb.invite('docs')}) . q{')});
push @all, $d;
wait_until(sub { sql($d, 'SELECT count(*) FROM collections.docs') > 100 });
now_is($d, 'while_two_d');
is_whole(\@all, 'it is a member, and a row that it alone had is everywhere');
is(sql($d, q{SELECT string_agg(key ->> 'id', ' ' ORDER BY id) FROM vecdb.conflict}), 'c4 c5', 'what it had of rows of others has lost');
is(sql($d, q{SELECT vecdb.resolve(id) FROM vecdb.conflict WHERE key ->> 'id' = 'c5'}), 'updated', '... and is put back');
now_is($d, 'c5');
is_whole(\@all, 'everywhere');
memory_is_as_before($memory, [ $a, $b, $c ], 'after a copy ran');

# ---- the older directory takes the place of the original ----

remove($a, map { "b$_" } 11 .. 20);
put($c, 'c7', 'told');
is_whole(\@all, 'before the older directory');
ok(wait_until(sub { !grep { !forgotten($_, 'b11') } @all }), 'what was deleted is forgotten');
$memory = memory_of(@all);
$c->stop;
copy_directory($old, $c->data_dir);
put($a, 'c8', 'b21');
remove($b, 'c9');

# It writes before it meets anybody
isolate($c);
ok(start_peer($c), 'the older directory starts');
put($c, 'alone', 'c10', 'b12');
now_is($a, 'b12');
remove($c, 'c11', 'b22');
put($b, 'c11');
let_meet($c);
is_whole(\@all, 'it meets the others');
memory_is_as_before($memory, \@all, 'with the older directory');
is(sql($c, q{SELECT lost -> 'metadata' IS NOT NULL, current FROM vecdb.conflict WHERE key ->> 'id' = 'b12'}), 't|',
	'a change of a row whose deletion all others have forgotten has lost, and is kept');
is(sql($c, q{SELECT clone FROM vecdb.stat_workers WHERE database = 'postgres'}), '', 'there is no other node of its key');
nothing_crashed(@all);
done_testing();
