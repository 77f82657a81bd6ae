# Three servers share a collection, one of them only reads.  What keeps rows of one node, or
# one row, from another holds up nobody else: a column that is another one, a row that a table
# does not take, a row that is locked for long, a writer that sleeps in its transaction, a
# transaction elsewhere, a process that is killed while it writes.  VECDB_HOLD_S: how many
# seconds is held what is held (3; with LONG=1 180).
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my $hold = $ENV{VECDB_HOLD_S} // ($ENV{LONG} ? 180 : 3);
my ($a, $b, $c) = my @all = share_docs(conf => "restart_after_crash = on\nvecdb.anti_entropy_interval = 2s",
	rows => q{SELECT 'a' || i, ARRAY[i, 0, 1]::vector, jsonb_build_object('i', i) FROM generate_series(1, 100) i});

push @all, my $reader = new_peer('reader', bootstrap => [$a], conf => 'vecdb.anti_entropy_interval = 2s');
ok(wait_until(sub { running($reader) }), 'another node runs');
my $invitation = sql($a, q{SELECT vecdb.invite('docs', 'reader')});
is(sql($reader, "SELECT vecdb.join('$invitation')"), 'collections.docs', '... and joins as a reader');
all_equal(\@all, 'the rows that were there are copied', 100);

# ---- a reader writes nothing ----

my $refused = qr/ERROR:  this node only reads collection "docs"\nDETAIL:  Other members would not take what is written here\.\nHINT:  Write on a node that is a writer or an admin of it, or ask an admin for an invitation as a writer\./;

like(error_of($reader, $_), $refused, (split ' ')[0] . ' is refused where the collection is only read') for
	q{INSERT INTO collections.docs (id, data) VALUES ('of the reader', '[1,2,3]')},
	q{UPDATE collections.docs SET metadata = '{"by": "reader"}' WHERE id = 'a1'},
	q{DELETE FROM collections.docs WHERE id = 'a1'},
	q{TRUNCATE collections.docs},
	q{COPY collections.docs (id, data) FROM PROGRAM 'printf "of the reader\t[1,2,3]\n"'},
	q{SELECT vecdb.upsert('docs', 'of the reader', '[1,2,3]', '{}')},
	q{MERGE INTO collections.docs d USING (VALUES ('a1')) s(id) ON d.id = s.id WHEN MATCHED THEN DELETE},
	q{WITH d AS (DELETE FROM collections.docs WHERE id = 'a1' RETURNING *) INSERT INTO collections.docs (id, data) SELECT id, '[9,9,9]' FROM d};
like(error_of($reader, q{BEGIN; SAVEPOINT s; INSERT INTO collections.docs (id, data) VALUES ('saved', '[1,2,3]') ON CONFLICT DO NOTHING; RELEASE s; COMMIT}),
	$refused, 'so is what is written below a savepoint');
all_equal(\@all, 'and nothing of it is there', 100);

# ---- a row of another dimension ----

# A column without one holds any, unless something else looks at it.
sql($a, q{CREATE TABLE things (id text PRIMARY KEY, v vector)});
my $things = sql($a, q{SELECT vecdb.replicate('things')});
for my $node ($b, $c)
{
	my $invited = sql($a, q{SELECT vecdb.invite('public.things')});

	sql($node, q{CREATE TABLE things (id text PRIMARY KEY, v vector)});
	sql($node, "SELECT vecdb.replicate('things', '$invited')");
}
sql($b, q{ALTER TABLE things ADD CONSTRAINT three CHECK (vector_dims(v) = 3)});
sql($a, q{INSERT INTO things VALUES ('before', '[1,2,3]'), ('four', '[1,2,3,4]'), ('behind', '[1,2,3]')});
my $ids = q{SELECT string_agg(id, ',' ORDER BY id COLLATE "C") FROM things};

ok(wait_until(sub { sql($c, $ids) eq 'before,behind,four' && sql($b, $ids) eq 'before,behind' }), 'a row of another dimension keeps none from others');
like(sql($b, q{SELECT text FROM vecdb.held_row WHERE key = 'four'}), qr/violates check constraint "three"/, 'where the table does not take it, it is held, and why is said');
sql($b, q{ALTER TABLE things DROP CONSTRAINT three});
ok(wait_until(sub { sql($b, $ids) eq 'before,behind,four' }), 'until the table takes it');
is(sql($b, q{SELECT count(*) FROM vecdb.held_row}), '0', '... and nothing is held any more');

# ---- a column of another dimension: past the guard, in the catalog ----

sub set_dimensions
{
	my ($node, $n) = @_;

	return sql($node, "UPDATE pg_attribute SET atttypmod = $n WHERE attrelid = 'collections.docs'::regclass AND attname = 'data'");
}

set_dimensions($c, 4);
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('three', '[1,2,3]')});
arrives_within([ $a, $b, $reader ], 'three', 'rows travel between those whose columns are equal');
is(sql($c, q{SELECT count(*) FROM collections.docs WHERE id = 'three'}), '0', '... and not to one where a column is another one');
ok(wait_until(sub { sql($c, q{SELECT waits_for FROM vecdb.stat_collections WHERE name = 'collections.docs'::regclass})
			eq 'columns were changed otherwise than by vecdb.alter_collection(): column "data" is vecdb.vector(4) NOT NULL here and vecdb.vector(3) NOT NULL there' }),
	'the view says which') or diag(sql($c, q{SELECT * FROM vecdb.stat_collections}));
set_dimensions($c, 3);
all_equal(\@all, '... until it is as theirs', 101);
ok(wait_until(sub { !grep { sql($_, q{SELECT count(waits_for) FROM vecdb.stat_collections}) ne '0' } @all }), '... and nothing is said any more');

# ---- held for long ----

sql($c, 'CREATE DATABASE other');
my %session = map { $_->[0] => $_->[1]->background_psql($_->[2] // 'postgres', on_error_stop => 1, timeout => $hold + 180) }
	[ locks => $c ], [ sleeps => $a ], [ elsewhere => $c, 'other' ];

$session{locks}->query_safe(q{BEGIN; SELECT id FROM collections.docs WHERE id = 'a1' FOR UPDATE});
$session{sleeps}->query_safe(q{BEGIN; INSERT INTO collections.docs (id, data) VALUES ('asleep', '[6,6,6]')});
$session{elsewhere}->query_safe(q{BEGIN ISOLATION LEVEL REPEATABLE READ; CREATE TABLE t (i int); SELECT count(*) FROM pg_class});
sql($b, q{UPDATE collections.docs SET metadata = '{"locked": true}' WHERE id = 'a1'});

my $n = 0;
my $most = 0;
my $began = time();
while ($n < 3 || time() - $began < $hold)
{
	my $from = $all[ $n++ % 3 ];
	my $at = time();

	sql($from, "INSERT INTO collections.docs (id, data) VALUES ('meanwhile$n', '[1,2,3]'); DELETE FROM collections.docs WHERE id = 'meanwhile" . ($n - 3) . "'");
	wait_until(sub { !grep { sql($_, "SELECT count(*) FROM collections.docs WHERE id = 'meanwhile$n'") ne '1' } @all }) or last;
	$most = time() - $at if time() - $at > $most;
	sleep(0.5);
}
cmp_ok(time() - $began, '>=', $hold, "a row is locked, a writer sleeps, and a transaction of another database goes on: all the while rows of each reach all");
note(sprintf 'held for %.0f s; %d rows, each was everywhere after %.2f s at most', time() - $began, $n, $most);
is(sql($c, q{SELECT metadata ->> 'locked' FROM collections.docs WHERE id = 'a1'}), '', 'the one that is locked waits');
is(sql($b, q{SELECT count(*) FROM collections.docs WHERE id = 'asleep'}), '0', '... and so does what is not committed');
$session{$_}->query_safe('COMMIT') for sort keys %session;
$_->quit for values %session;
all_equal(\@all, 'and all have all of it afterwards');
is(sql($c, q{SELECT metadata ->> 'locked' FROM collections.docs WHERE id = 'a1'}), 'true', '... what was locked, too');

# ---- a backend is killed in the middle of a COPY ----

my %out;
my $copy = start_psql($b, \%out, q{COPY collections.docs (id, data) FROM PROGRAM 'i=0; while :; do i=$((i + 1)); printf "copied%d\t[1,2,%d]\n" $i $i; done'});
my $pid;

ok(wait_until(sub { $pid = sql($b, q{SELECT pid FROM pg_stat_progress_copy WHERE tuples_processed > 4500}) }), 'a COPY is under way, of whose rows the first have versions');
kill 'KILL', $pid;
eval { $copy->finish };
ok(wait_until(sub { my ($rc) = $b->psql('postgres', 'SELECT 1'); $rc == 0 && running($b) }), '... and is killed, with which the server begins anew');
sql($b, q{INSERT INTO collections.docs (id, data) VALUES ('after', '[1,2,3]')});
arrives_within(\@all, 'after', 'what is written then arrives');
all_equal(\@all, 'and of the COPY nobody has anything');
is(sql($_, q{SELECT count(*) FROM collections.docs WHERE id LIKE 'copied%'}), '0', $_->name . ' has none of its rows') for @all;

# ---- one statement that deletes and inserts a key, on several nodes at once ----

my @statements = (
	q{WITH d AS (DELETE FROM collections.docs WHERE id = '%s' RETURNING *) INSERT INTO collections.docs SELECT * FROM d},
	q{WITH d AS (DELETE FROM collections.docs WHERE id = '%s' RETURNING *) INSERT INTO collections.docs (id, data) SELECT id, '[7,7,7]' FROM d},
	q{INSERT INTO collections.docs (id, data) VALUES ('%s', '[8,8,8]') ON CONFLICT (id) DO UPDATE SET data = excluded.data},
	q{DELETE FROM collections.docs WHERE id = '%s'; INSERT INTO collections.docs (id, data) VALUES ('%1$s', '[9,9,9]') ON CONFLICT DO NOTHING});
for my $i (1 .. 20)
{
	my @session = map { start_psql($all[$_], {}, map { sprintf $_, "a$i" } $statements[ ($i + $_) % @statements ]) } 0 .. 2;

	$_->finish for @session;
}
all_equal(\@all, 'keys that are deleted and inserted by one statement here, and updated there, are equal');
is(sql($a, q{SELECT count(*) FROM collections.docs WHERE id ~ '^a(\d|1\d|20)$'}), '20', '... and all there');
is(sql($_, q{SELECT count(*) FROM vecdb.verify_versions('collections.docs')}), '0', $_->name . ': each row has its version') for @all;

nothing_crashed(@all);
done_testing();
