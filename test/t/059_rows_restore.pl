# Three servers share a collection. One is put back to an earlier state while the others
# hold later rows of it: from a base backup, to a point in time; or its standby takes its
# place.
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

my @all = share_docs(conf => <<'EOT');
vecdb.anti_entropy_interval = 1s
wal_level = replica
max_wal_senders = 5
EOT
my ($a, $b, $c) = @all;
$b->enable_archiving;
$b->restart;
my @replaced;

# The server that takes the place of one that is stopped, and runs already or is started here.
sub takes_place
{
	my ($old, $new) = @_;

	push @replaced, $old;
	@all = map { $_ == $old ? $new : $_ } @all;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { running($new) }), $new->name . ' runs');
	return;
}

put($a, map { "a$_" } 1 .. 50);
put($b, map { "b$_" } 1 .. 50);
put($c, map { "c$_" } 1 .. 50);
is_whole(\@all, 'before a base backup');

# ---- a base backup, restored after others, and the node itself, have gone on ----

$c->backup('base');
put($c, 'later1', 'c1');
remove($c, 'c2', map { "b$_" } 1 .. 10);
put($a, 'later2', 'c3');
remove($b, 'c4', 'a1');
is_whole(\@all, 'after it');
ok(wait_until(sub { !grep { !forgotten($_, 'b10') } @all }), 'what was deleted is forgotten');
my $memory = memory_of(@all);
$c->stop;
put($a, 'away', 'c5');

# It writes before it meets anybody
my $restored = server_of('restored', $c->backup_dir . '/base');
isolate($restored);
ok(start_peer($restored), 'the backup is started as the node');
put($restored, 'offline', 'c6', 'c5');
remove($restored, 'c7');
let_meet($restored);
takes_place($c, $restored);
$c = $restored;
is_whole(\@all, 'restored from a base backup');
put($c, 'after', 'c1');
put($a, 'b1');
is_whole(\@all, 'and it goes on');
memory_is_as_before($memory, \@all, 'restored from a base backup');

# ---- to a point in time ----

put($b, 'for_archive');
$b->backup('base');
put($b, 'before_point', 'b11');
is_whole(\@all, 'before the point in time');
sql($b, q{SELECT pg_create_restore_point('point'), pg_switch_wal()});
put($b, 'after_point', 'b12', map { "batch$_" } 1 .. 200);
remove($b, 'b13', 'c8');
put($a, 'b14');
is_whole(\@all, 'after the point in time');
sql($b, 'SELECT pg_switch_wal()');
put($b, 'last');
is_whole([ $a, $b, $c ], 'and the end of its log');
$memory = memory_of(@all);
$b->stop;
put($c, 'b15', 'meanwhile');
my $earlier = server_of('earlier', $b->backup_dir . '/base', <<"EOT");
restore_command = 'cp "${\($b->archive_dir)}/%f" "%p"'
recovery_target_name = 'point'
recovery_target_action = 'promote'
EOT
$earlier->set_recovery_mode;
ok(start_peer($earlier), 'one comes back at a point in time');
takes_place($b, $earlier);
$b = $earlier;
is_whole(\@all, 'recovered to a point in time');
is(sql($b, 'SELECT timeline_id FROM pg_control_checkpoint()'), 2, '... on a new timeline');
put($b, 'after_recovery', 'b12', 'b16');
remove($a, 'batch1');
is_whole(\@all, 'and it goes on');
memory_is_as_before($memory, \@all, 'recovered to a point in time');

# ---- a standby takes the place of its primary ----

$a->backup('standby');
my $standby = server_of('standby', $a->backup_dir . '/standby', "primary_conninfo = '" . $a->connstr . " application_name=standby'");
$standby->set_standby_mode;
# as where it was made before the database was a node
system_or_bail('rm', '-r', $standby->data_dir . '/vecdb');
$standby->start;
put($a, 'seen_by_standby', 'a2');
$a->wait_for_catchup('standby');
is(sql($standby, q{SELECT count(*) FROM vecdb.stat_workers WHERE state = 'running'}), '0', 'a standby is no node');
# what it has not got, others have
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->reload;
ok(wait_until(sub { sql($a, 'SELECT count(*) FROM pg_stat_replication') eq '0' }), 'it is cut off from its primary');
put($a, 'not_seen', 'a3', 'b17');
remove($a, 'a4');
is_whole(\@all, 'before its primary dies');
$memory = memory_of(@all);
is(sql($standby, q{SELECT count(*) FROM collections.docs WHERE id IN ('seen_by_standby', 'not_seen')}), '1', 'the standby lacks what was written last');
$a->kill9;
put($b, 'a5', 'no_primary');
$standby->promote;
ok(wait_until(sub { running($standby) }), 'a standby without keys is promoted');
like(error_of($standby, q{DELETE FROM collections.docs}), qr/this node only reads collection/, '... as another node, and no member');
$standby->stop;
system_or_bail('rm', '-r', $standby->data_dir . '/vecdb');
system_or_bail('cp', '-a', $a->data_dir . '/vecdb', $standby->data_dir . '/vecdb');
$standby->start;
takes_place($a, $standby);
$a = $standby;
is_whole(\@all, 'a standby is promoted');
put($a, 'of_standby', 'a6');
remove($a, 'a7');
put($c, 'a8');
is_whole(\@all, 'and it goes on');
memory_is_as_before($memory, \@all, 'a standby is promoted');

nothing_crashed(@all, @replaced);
done_testing();
