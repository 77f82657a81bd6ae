# Three servers share a collection: its columns are changed on all of them by
# vecdb.alter_collection(), called on one.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my @all = share_docs(admins => ['b'], rows => q{SELECT 'a' || i, ARRAY[i, 0, 1]::vector, jsonb_build_object('i', i) FROM generate_series(1, 50) i});
my ($a, $b, $c) = @all;

sub alter
{
	my ($node, $ddl) = @_;

	$ddl =~ s/'/''/g;
	return sql($node, "SELECT vecdb.alter_collection('docs', '$ddl')");
}

sub columns_of
{
	my ($node) = @_;

	return sql($node, q{SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = 'collections.docs'::regclass AND attnum > 5 AND NOT attisdropped});
}

# Do all of them come to have these columns behind those of every collection?
sub columns_become
{
	my ($nodes, $columns, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { !grep { columns_of($_) ne $columns } @$nodes }), $what) or diag(join "\n", map { columns_of($_) } @$nodes);
}

sub versions_hold
{
	my ($what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql($_, q{SELECT count(*) FROM vecdb.verify_versions('collections.docs')}), '0', "$what, on " . $_->name) for @all;
}

all_equal(\@all, 'the rows that were there are copied', 50);

# A column comes
alter($a, 'ADD COLUMN tag text');
is(columns_of($a), 'tag text', 'the column is there when the call returns');
columns_become(\@all, 'tag text', 'and comes to all');
sql($b, q{UPDATE collections.docs SET tag = 'of b' WHERE id = 'a1'});
sql($c, q{INSERT INTO collections.docs (id, data, tag) VALUES ('c1', '[1,2,3]', 'of c')});
all_equal(\@all, 'values of it travel', 51);
is(sql($a, q{SELECT string_agg(tag, ',' ORDER BY id) FROM collections.docs}), 'of b,of c', 'and are there');
versions_hold('a column that is null changes no hash');

# It goes, and one comes with a value
alter($b, q{ADD COLUMN n integer DEFAULT 7 NOT NULL});
columns_become(\@all, 'tag text, n integer', 'an admin that was admitted adds a column with a value');
all_equal(\@all, 'which the rows have that are there', 51);
is(sql($c, 'SELECT sum(n) FROM collections.docs'), 7 * 51, 'all of them');
versions_hold('hashes follow a value that came');
alter($a, 'DROP COLUMN tag');
columns_become(\@all, 'n integer', 'a column is dropped');
sql($c, q{UPDATE collections.docs SET n = 8 WHERE id = 'a2'});
all_equal(\@all, 'what is written after that travels', 51);
versions_hold('hashes follow a column that went');

# Names and defaults
alter($a, 'RENAME COLUMN n TO "N of rows"');
columns_become(\@all, 'N of rows integer', 'a column gets another name');
alter($a, 'ALTER COLUMN "N of rows" SET DEFAULT -3::integer');
alter($a, 'ADD COLUMN v vector(2)');
columns_become(\@all, 'N of rows integer, v vector(2)', 'a second vector');
sql($c, q{INSERT INTO collections.docs (id, data, v) VALUES ('c2', '[1,2,3]', '[4,5]')});
sql($b, q{UPDATE collections.docs SET v = '[6,7]' WHERE id = 'a3'});
sql($b, q{UPDATE collections.docs SET metadata = '{"thin": true}' WHERE id = 'a3'});
all_equal(\@all, 'rows with it', 52);
is(sql($_, q{SELECT "N of rows", v FROM collections.docs WHERE id = 'c2'}), '-3|[4,5]', 'a default is a default on all: ' . $_->name) for @all;
versions_hold('vectors');
alter($a, 'ALTER COLUMN "N of rows" DROP DEFAULT');
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'collections.docs'::regclass AND attname = 'N of rows' AND atthasdef}) eq '0' }),
	'a default goes');
alter($a, 'DROP COLUMN v');

# A row that a member refuses, through a column that comes and one that goes
sql($c, q{ALTER TABLE collections.docs ADD CONSTRAINT none CHECK (id <> 'refused')});
sql($a, q{INSERT INTO collections.docs (id, data, "N of rows") VALUES ('refused', '[1,1,1]', 5)});
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM vecdb.held_row}) eq '1' }), 'a row is set aside');
alter($a, q{ADD COLUMN note varchar(20) DEFAULT 'it''s \\ new'});
alter($a, 'DROP COLUMN "N of rows"');
columns_become(\@all, 'note character varying(20)', 'a column comes and one goes');
sql($c, 'ALTER TABLE collections.docs DROP CONSTRAINT none');
all_equal(\@all, 'then the row is taken', 53);
is(sql($c, q{SELECT note FROM collections.docs WHERE id = 'refused'}), q{it's \\ new}, 'as it is now');
is(sql($c, q{SELECT count(*) FROM vecdb.held_row}), '0', 'and is held no more');
versions_hold('rows that were set aside');

# A member that is away, and one that joins after all
$c->stop;
alter($a, 'ADD COLUMN away date');
columns_become([ $a, $b ], 'note character varying(20), away date', 'a column comes while a member is away');
alter($b, 'RENAME COLUMN away TO back');
columns_become([ $a, $b ], 'note character varying(20), back date', 'and gets another name');
alter($b, q{ALTER COLUMN back SET DEFAULT '2026-11-30'});
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('away', '[1,1,1]')});
ok(start_peer($c), 'a member that was away is back');
columns_become(\@all, 'note character varying(20), back date', 'its columns are those of the others');
all_equal(\@all, 'and its rows', 54);
my $d = new_peer('d', bootstrap => [$a]);
my $options = q{SELECT string_agg(array_to_string(reloptions, ' '), ',') FROM pg_class JOIN pg_index ON indexrelid = oid WHERE indrelid = 'collections.docs'::regclass};
my $index = sql($a, q{SELECT indexrelid::regclass FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = 'collections.docs'::regclass AND relam = (SELECT oid FROM pg_am WHERE amname = 'hnsw')});

sql($a, "ALTER INDEX $index SET (m = 9)");
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('indexed', '[1,1,2]')});
all_equal([ $a, $b, $c ], 'options of an index are a node\'s own, and hold up nothing', 55);
unlike(sql($b, $options), qr/\bm=9\b/, '... and stay there');
ok(wait_until(sub { running($d) }), 'a fourth node runs');
is(sql($d, "SELECT vecdb.join('" . sql($a, q{SELECT vecdb.invite('docs', 'reader')}) . "')"), 'collections.docs', 'and joins');
push @all, $d;
columns_become(\@all, 'note character varying(20), back date', 'it goes through all changes');
all_equal(\@all, 'and has all rows', 55);
is(sql($d, q{SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'collections.docs'::regclass AND adnum > 5 ORDER BY adnum DESC LIMIT 1}),
	q{'2026-11-30'::date}, 'and the default');
versions_hold('after all that');

# Who may, and what
sub refused
{
	my ($node, $ddl, $error, $what) = @_;

	$ddl =~ s/'/''/g;
	like(error_of($node, "SELECT vecdb.alter_collection('docs', '$ddl')"), $error, "refused: " . ($what // $ddl));
}

my $form = qr/One of these is: ADD COLUMN|syntax error/;

refused($c, 'ADD COLUMN x int', qr/this node is no admin of the collection/, 'a writer');
refused($d, 'ADD COLUMN x int', qr/this node is no admin of the collection/, 'a reader');
refused($a, $_, $form)
	for 'ADD COLUMN x int; DROP COLUMN note', 'ADD COLUMN x int, ADD COLUMN y int', '', '; SELECT 1', 'RENAME TO x', 'ADD COLUMN IF NOT EXISTS x int',
	'ADD COLUMN x int UNIQUE', 'ADD COLUMN x int DEFAULT random()::int', 'ADD COLUMN x text DEFAULT current_user', 'ADD COLUMN x int DEFAULT 1 + 1',
	'ADD COLUMN x int GENERATED ALWAYS AS IDENTITY', 'ADD COLUMN x int GENERATED ALWAYS AS (1) STORED', 'ADD COLUMN x text COLLATE "C"',
	'DROP COLUMN note CASCADE', 'DROP COLUMN IF EXISTS note', 'ALTER COLUMN note TYPE text', 'OWNER TO postgres', 'ALTER COLUMN note SET NOT NULL',
	'.docs ADD COLUMN x int', 'ADD COLUMN x int REFERENCES t', 'ADD COLUMN x text DEFAULT ARRAY[1]', 'ENABLE TRIGGER ALL', 'ADD COLUMN x text DEFAULT 1::int';
refused($a, 'ADD', qr/syntax error at end of input\nLINE 1: ALTER TABLE t ADD\n/);
refused($a, 'ADD COLUMN x int NOT NULL', qr/with a default only/);
refused($a, "DROP COLUMN $_", qr/can neither be dropped nor renamed/) for qw(id data metadata created_at updated_at);
refused($a, 'RENAME COLUMN data TO d', qr/can neither be dropped nor renamed/);
refused($a, 'DROP COLUMN nothing', qr/does not exist/);
refused($a, 'ALTER COLUMN nothing SET DEFAULT 1', qr/does not exist/);
refused($a, 'ADD COLUMN note int', qr/already exists/);
refused($a, q{ADD COLUMN x int DEFAULT 'one'}, qr/invalid input syntax/);
refused($a, 'ADD COLUMN x varchar(2) DEFAULT \'long\'', qr/too long/);
sql($a, q{CREATE DOMAIN public.text_of_mine AS text; CREATE TYPE public.mood AS ENUM ('good')});
refused($a, "ADD COLUMN x $_", qr/no column of type .* can be added/) for qw(public.text_of_mine text_of_mine mood serial regclass pg_class);
refused($a, 'ADD COLUMN x text DEFAULT \'' . 'x' x 1100 . q{'}, qr/this change has .* bytes/, 'a text of 1,100 characters');
refused($a, "ADD COLUMN x text DEFAULT E'\\n'", qr/characters that none may have/, 'a line feed');
like(error_of($a, q{BEGIN; SELECT count(*) FROM collections.docs; SELECT vecdb.alter_collection('docs', 'ADD COLUMN x int')}),
	qr/by a transaction that has used it/, 'refused: in a transaction that has used the table');
like(error_of($a, q{SELECT vecdb.create_collection('mine', 3, 'l2'); SELECT vecdb.alter_collection('mine', 'ADD COLUMN x int')}),
	qr/is not shared/, 'refused: a collection that is not shared');
like(error_of($a, q{CREATE ROLE nobody; SET ROLE nobody; SELECT vecdb.alter_collection('docs', 'ADD COLUMN x int')}), qr/must be owner|permission denied/, 'refused: who is not its owner');
alter($a, 'ADD COLUMN x /* a comment */ int -- and one more');
alter($a, 'ADD COLUMN ' . 'l' x 80 . q{ timestamptz DEFAULT '2026-11-30 01:02:03+04'});
columns_become(\@all, 'note character varying(20), back date, x integer, ' . 'l' x 63 . ' timestamp with time zone', 'comments and long names');
all_equal(\@all, 'and rows', 55);

# A table that somebody uses for long
my $busy = start_psql($c, {}, 'BEGIN; SELECT count(*) FROM collections.docs; SELECT pg_sleep(8)');

ok(wait_until(sub { sql($c, q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) eq '1' }), 'a table is used for long');

alter($a, 'DROP COLUMN x');
columns_become([$a, $b], 'note character varying(20), back date, ' . 'l' x 63 . ' timestamp with time zone', 'where nobody uses the table it is changed');
like(columns_of($c), qr/x integer/, 'where somebody does it is not');
$busy->finish;
columns_become(\@all, 'note character varying(20), back date, ' . 'l' x 63 . ' timestamp with time zone', 'until that has ended');

# Two admins at once
$_->stop for $a, $c, $d;
alter($b, 'ADD COLUMN of_b int');
$b->stop;
ok(start_peer($_), $_->name . ' runs') for $a, $c, $d;
alter($a, 'ADD COLUMN of_a int');
columns_become([ $a, $c, $d ], columns_of($a), 'one admin changes the columns where the other is away');
ok(start_peer($b), 'who has changed them, too');
ok(wait_until(sub { sql($b, q{SELECT waits_for FROM vecdb.stat_collections}) =~ /ADD COLUMN of_a integer: another was made here at once/ }), 'and tells it')
  or diag(sql($b, q{SELECT waits_for FROM vecdb.stat_collections}));
sql($c, q{INSERT INTO collections.docs (id, data, of_a) VALUES ('fork', '[1,1,1]', 1)});
sql($b, q{INSERT INTO collections.docs (id, data, of_b) VALUES ('fork of b', '[1,1,1]', 1)});
alter($b, 'DROP COLUMN of_b');
columns_become(\@all, columns_of($a), 'the way out is taken');
all_equal(\@all, 'and rows of both are everywhere', 57);
versions_hold('at the end');
is(sql($b, q{SELECT waits_for FROM vecdb.stat_collections}), '', 'nothing is waited for');

# Rows that were there before, and differ: columns change while they meet
for my $node ($a, $b, $c)
{
	my $name = $node->name;

	sql($node, qq{CREATE TABLE public.met (id int PRIMARY KEY, x text, y text, g int GENERATED ALWAYS AS (id * 2) STORED);
		INSERT INTO public.met SELECT i, '$name' || i, 'y' FROM generate_series(1, 3000) i});
}
sql($c, 'ALTER TABLE public.met DROP COLUMN g');
sql($a, q{SELECT vecdb.replicate('public.met')});
my @invitation = map { sql($a, q{SELECT vecdb.invite('public.met')}) } 1 .. 2;

sql($_, "SELECT vecdb.replicate('public.met', '" . shift(@invitation) . q{')}) for $b, $c;
sql($a, q{SELECT vecdb.alter_collection('public.met', 'ADD COLUMN v int DEFAULT 5')});
sql($a, q{SELECT vecdb.alter_collection('public.met', 'DROP COLUMN y')});

my @met;

ok(wait_until(sub {
	@met = map {
		sql($_, q{SELECT md5(string_agg(concat_ws(',', id, x, to_jsonb(t) ->> 'v'), ';' ORDER BY id)), count(to_jsonb(t) -> 'y'), count(to_jsonb(t) ->> 'v') FROM public.met t})
	} $a, $b, $c;
	return $met[0] =~ /\|0\|3000$/ && !grep { $_ ne $met[0] } @met;
}), 'rows that differ come to be equal') or diag(join "\n", @met);
is(sql($_, q{SELECT count(*) FROM vecdb.verify_versions('public.met')}), '0', 'and have their versions, on ' . $_->name) for $a, $b, $c;
like(error_of($a, "SELECT vecdb.alter_collection('public.met', '$_')"), $form, "refused, as others need not have it: $_")
  for 'DROP COLUMN g', 'RENAME COLUMN g TO h';

# What is waited for is told in whole characters
my $long = 'n' . "\xc3\xa9" x 31;

for my $column ($long, substr($long, 1))
{
	sql($a, "SELECT vecdb.alter_collection('public.met', 'ADD COLUMN $column int')");
	ok(wait_until(sub { sql($c, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.met'::regclass AND attname = '$column'") eq '1' }), 'a column with a long name');
	sql($c, "CREATE VIEW public.needs AS SELECT $column FROM public.met");
	sql($a, "SELECT vecdb.alter_collection('public.met', 'DROP COLUMN $column')");
	ok(wait_until(sub { sql($c, q{SELECT waits_for FROM vecdb.stat_collections WHERE name = 'public.met'::regclass}) =~ /DROP COLUMN .*cannot drop column/ }), 'a view keeps it');
	is(sql($c, q{SELECT count(*) FROM vecdb.stat_collections WHERE convert_from(convert_to(waits_for, 'UTF8'), 'UTF8') <> ''}), '1', 'and that is text');
	sql($c, 'DROP VIEW public.needs');
}
nothing_crashed(@all);
done_testing();
