# Three servers share a collection. A dump of its rows goes back into it, among rows that
# are there; a dump of the whole database makes a new server, which joins with its rows.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;
use VecdbStorage;
use VecdbMemory;

my @all = share_docs(conf => 'vecdb.anti_entropy_interval = 1s');
my ($a, $b, $c) = @all;
my ($rows, $inserts, $whole) = map { $a->basedir . "/$_" } qw(rows.dump inserts.sql whole.dump);
my @pg_dump = ('pg_dump', $a->connstr('postgres'));

put($a, 'doomed', map { "a$_" } 1 .. 50);
put($b, map { "b$_" } 1 .. 50);
put($c, map { "c$_" } 1 .. 50);
is_whole(\@all, 'before a dump');
$a->command_ok([ @pg_dump, '-Fc', '--data-only', '-t', 'collections.docs', '-f', $rows ], 'pg_dump of the rows');
$a->command_ok([ @pg_dump, '--data-only', '--inserts', '--on-conflict-do-nothing', '-t', 'collections.docs', '-f', $inserts ], '... as statements');
$a->command_ok([ @pg_dump, '-Fc', '-f', $whole ], 'pg_dump of the database');

# ---- rows into the shared collection ----

put($b, 'later', 'b1');
remove($c, map { "c$_" } 1 .. 10);
is_whole(\@all, 'after it');
my $memory = memory_of(@all);
my @restore = ('pg_restore', '--data-only', '--exit-on-error', '-d', $b->connstr('postgres'));
$b->command_fails_like([ @restore, $rows ], qr/duplicate key value/, 'rows that are there are an error of pg_restore');
$b->command_fails_like([ @restore, '--disable-triggers', $rows ], qr/HINT: .*pg_restore fills the table without --disable-triggers/, '--disable-triggers is refused');
is_whole(\@all, 'nothing is changed');

# What was deleted comes back, what was written since stays
$b->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $b->connstr('postgres'), '-f', $inserts ], 'rows that are missing are restored');
now_is($b, map { "c$_" } 1 .. 10);
is_whole(\@all, 'they are everywhere');

# All becomes what it was
remove($b, 'later');
sql($b, 'TRUNCATE collections.docs');
$b->command_ok([ @restore, $rows ], 'rows are restored into the emptied table');
now_is($b, 'b1');
is_whole(\@all, 'what they were is everywhere');
memory_is_as_before($memory, \@all, 'rows of a dump went back');

# ---- a new server of the database ----

put($a, 'since', 'a1');
remove($a, 'doomed');
is_whole(\@all, 'after the dump of the database');
ok(wait_until(sub { !grep { !forgotten($_, 'doomed') } @all }), 'what was deleted is forgotten');
$memory = memory_of(@all);
my $d = new_peer('d', bootstrap => [$a], empty => 1, conf => 'vecdb.anti_entropy_interval = 1s');
$d->start;
$d->command_ok([ 'pg_restore', '--exit-on-error', '-d', $d->connstr('postgres'), $whole ], 'the database is restored on a new server');
ok(wait_until(sub { running($d) }), 'which is a node');
is(sql($d, 'SELECT count(*) FROM vecdb.shared_collections'), '0', 'and no member of anything');
put($b, 'meanwhile');
# what was deleted since would come back with it
sql($d, q{DELETE FROM collections.docs WHERE id = 'doomed'});
sql($d, q{SELECT vecdb.replicate('collections.docs', '} . sql($a, q{SELECT vecdb.invite('docs')}) . q{')});
push @all, $d;
is_whole(\@all, 'it joins with its rows');
put($_, 'of_' . $_->name) for @all;
remove($d, 'a3');
is_whole(\@all, 'and it goes on');
memory_is_as_before($memory, [ $a, $b, $c ], 'a new server of a dump');

nothing_crashed(@all);
done_testing();
