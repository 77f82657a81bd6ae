# Tables that nobody made as a collection: vecdb.replicate() shares any that vecdb.check()
# accepts, and joins with one that is here and may have rows.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

# All types of keys in one key; values of every form that content has.
my $things = q{
	CREATE SCHEMA app;
	CREATE TYPE app.mood AS ENUM ('sad', 'glad');
	CREATE TABLE app.things (
		t text, v varchar(20), u uuid, a smallint, b integer, c bigint, d bytea,
		n numeric(12, 3), at timestamptz, day date, took interval, f double precision, yes boolean, mac macaddr, ip inet,
		p point, r int4range, m datemultirange, bits bit varying(9), padded char(4), j jsonb, raw json, path jsonpath,
		words text[], grid integer[][], mood app.mood, moods app.mood[], vec vector(3), half halfvec(2), sparse sparsevec(5),
		lexemes tsvector GENERATED ALWAYS AS (to_tsvector('simple', t)) STORED,
		size bigint GENERATED ALWAYS AS (length(d) + c) STORED,
		note text CHECK (note <> 'refused'),
		PRIMARY KEY (u, t, v, a, b, c, d));
	CREATE INDEX ON app.things (at);
	CREATE INDEX ON app.things USING hnsw (vec vector_l2_ops);
	CREATE INDEX ON app.things USING hnsw (half halfvec_cosine_ops) WITH (m = 8)};

# The same rows whoever makes them.
sub rows
{
	my ($from, $to, $note) = @_;

	return qq{INSERT INTO app.things (t, v, u, a, b, c, d, n, at, day, took, f, yes, mac, ip, p, r, m, bits, padded, j, raw, path,
			words, grid, mood, moods, vec, half, sparse, note)
		SELECT 'thing ' || i, chr(228) || i, md5(i::text)::uuid, i, -i, i * 10000000000, decode(lpad(to_hex(i), 4, '0'), 'hex'),
			i / 7.0, '2026-11-30 01:02:03.456789+00'::timestamptz + i * interval '1 hour', '2026-01-01'::date + i, i * interval '1 day 2 min',
			CASE WHEN i % 9 = 0 THEN 'NaN' ELSE i / 3.0 END, i % 2 = 0, '08:00:2b:01:02:03', '10.0.0.0/8', point(i, -i), int4range(i, 2 * i),
			datemultirange(daterange('2026-01-01', '2026-02-01')), b'101', 'x', jsonb_build_object(chr(228), i, 'ab', 1), '{"a":  1}', '\$.a[*]',
			ARRAY['a', NULL, i::text], ARRAY[[1, i], [3, 4]], CASE WHEN i % 3 > 0 THEN 'glad'::app.mood END, '{sad,glad}',
			ARRAY[i, i % 7, i % 5]::vector, ARRAY[i, 1]::halfvec, ('{1:' || i || '}/5')::sparsevec, $note
		FROM generate_series($from, $to) i};
}

# What a node has, with all columns.
sub rows_in
{
	my ($node, $table) = @_;

	return sql($node, qq{SELECT count(*), md5(coalesce(string_agg(md5(whole::text), '' ORDER BY md5(whole::text) COLLATE "C"), '')) FROM $table whole});
}

sub same_rows
{
	my ($nodes, $table, $what, $n) = @_;
	my @rows;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(
			sub {
				@rows = map { rows_in($_, $table) } @$nodes;
				return !(grep { $_ ne $rows[0] } @rows) && $rows[0] =~ /^$n\|/;
			}),
		$what) or diag(join "\n", @rows);
}

# Live rows that lost.
sub conflicts
{
	return sql(shift, q{SELECT count(*) FROM vecdb.row_conflict WHERE live AND "table" = 'app.things'::regclass});
}

sub invite
{
	my ($node, $name, @more) = @_;

	return sql($node, "SELECT vecdb.invite('$name'" . join('', map { ", $_" } @more) . ')');
}

my @all = (new_peer('a'));
push @all, new_peer($_, bootstrap => [ $all[0] ]) for qw(b c);
my ($a, $b, $c) = @all;
ok(wait_until(sub { !grep { !running($_) } @all }), 'three nodes run');
sql($_, $things) for @all;
sql($_, 'CREATE TABLE app."Plain Notes" (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), text text)') for @all;

# Shared: a, which has rows
sql($a, rows(1, 40, "'a'"));
is(sql($a, q{SELECT count(*) FROM vecdb.check('app.things')}), '0', 'check() accepts the table');
like(error_of($a, q{SELECT vecdb.invite('app.things')}), qr/"app.things" is not a collection, and not shared\nHINT:  vecdb\.replicate\(\)/,
	'nobody is invited to a table that is not shared');
my $id = sql($a, q{SELECT vecdb.replicate('app.things')});
is($id, sql($a, q{SELECT id FROM vecdb.shared_collections WHERE name = 'app.things'}), 'replicate() gives the id that the view shows');
is(sql($a, q{SELECT vecdb.replicate('app.things')}), $id, 'again the same');
is(sql($a, q{SELECT count(*) FROM vecdb.verify_versions('app.things')}), '0', 'all rows have versions');
like(error_of($a, q{ALTER TYPE app.mood RENAME VALUE 'sad' TO 'blue'}), qr/cannot rename a label of a type of table "things", which is shared\nHINT/, 'labels of its enums keep their names');
is(sql($b, q{ALTER TYPE app.mood RENAME VALUE 'sad' TO 'blue'; ALTER TYPE app.mood RENAME VALUE 'blue' TO 'sad'; SELECT 1}), '1', 'as long as it is shared');

# b has the same rows, from the same dump, and some of its own; c has none
sql($b, rows(1, 30, "'a'"));
sql($b, rows(31, 35, "'b'"));
sql($b, rows(41, 45, "'b'"));
is(sql($b, qq{SELECT vecdb.replicate('app.things', '${\invite($a, 'app.things')}')}), $id, 'b joins with its rows');
is(sql($c, qq{SELECT vecdb.replicate('app.things', '${\invite($a, $id)}')}), $id, 'c joins with none, by an invitation that the id gave');
same_rows(\@all, 'app.things', 'rows of both sides are everywhere', 45);
is(sql($_, q{SELECT count(*) FROM vecdb.verify_versions('app.things')}), '0', 'versions of ' . $_->name) for @all;
cmp_ok(conflicts($_), '<=', 5, 'rows that were equal are no conflicts of ' . $_->name) for @all;
cmp_ok(conflicts($a) + conflicts($b), '>=', 5, '... but those that differed are');
is(sql($a, q{SELECT sum(n) FROM (SELECT count(*) AS n FROM app.things WHERE note = 'b' AND a BETWEEN 31 AND 35 UNION ALL SELECT count(*) FROM app.things WHERE note = 'a' AND a BETWEEN 31 AND 35) s}), '5',
	'of rows that differed one stays');
is(sql($c, q{SELECT count(*) FROM app.things WHERE lexemes @@ 'thing' AND size > 0}), '45', 'generated columns are computed');
ok(wait_until(sub { sql($c, q{SELECT bool_and(indisvalid AND indisready) FROM pg_index WHERE indrelid = 'app.things'::regclass}) eq 't' }), 'indexes of c are built after its copy');
is(sql($b, q{SELECT bool_and(indisvalid AND indisready) FROM pg_index WHERE indrelid = 'app.things'::regclass}), 't', 'those of b never were anything else');
is(sql($c, q{SET enable_seqscan = off; SELECT a FROM app.things ORDER BY vec <-> '[12,5,2]' LIMIT 1}), '12', 'they find rows of others');

# Each writes
sql($a, rows(101, 110, "'from a'"));
sql($b, rows(111, 120, "'from b'"));
sql($c, rows(121, 130, "'from c'"));
same_rows(\@all, 'app.things', 'inserts of each', 75);
sql($a, q{UPDATE app.things SET mood = 'sad', words = '{}' WHERE a BETWEEN 111 AND 115});
sql($b, q{UPDATE app.things SET vec = '[9,9,9]', n = NULL WHERE a BETWEEN 121 AND 125; UPDATE app.things SET c = c + 1 WHERE a = 126});
sql($c, q{DELETE FROM app.things WHERE a BETWEEN 1 AND 5});
same_rows(\@all, 'app.things', 'updates, one of a key, and deletes of each', 70);
is(sql($b, q{SELECT count(*) FROM app.things WHERE mood = 'sad'}), '5', 'an update arrives');
is(sql($_, q{SELECT count(*) FROM vecdb.verify_versions('app.things')}), '0', 'versions of ' . $_->name . ' still') for @all;
is(sql($b, q{SELECT vecdb.rescan('app.things')}), '0', 'and nothing to rescan');

# An enum gets a label, on one node after the other
my $waits = q{SELECT waits_for FROM vecdb.stat_collections WHERE name = 'app.things'::regclass};

sql($a, q{ALTER TYPE app.mood ADD VALUE 'mad'});
sql($a, q{UPDATE app.things SET mood = 'mad' WHERE a BETWEEN 111 AND 112});
for my $node (@all)
{
	ok(wait_until(sub { sql($node, $waits) =~ /^columns differ from those of node [0-9a-f]{12}: column "mood" is app\.mood\([0-9a-f]{8}\.\.\.\) here and app\.mood\([0-9a-f]{8}\.\.\.\) there$/ }),
		$node->name . ' says which column is another one') or diag(sql($node, $waits));
}
is(sql($c, q{SELECT count(*) FROM app.things WHERE a BETWEEN 111 AND 112 AND mood = 'sad'}), '2', 'no rows come from there');
sql($b, q{ALTER TYPE app.mood ADD VALUE 'mad'});
same_rows([ $a, $b ], 'app.things', 'between those that have the label rows travel again', 70);
sql($c, q{ALTER TYPE app.mood ADD VALUE 'mad'});
same_rows(\@all, 'app.things', 'and on all, in the end', 70);
ok(wait_until(sub { !grep { sql($_, $waits) ne '' } @all }), 'nothing is waited for');

# A column that goes with its type, past the guard
sql($_, q{CREATE TYPE app.gone AS ENUM ('x'); CREATE TABLE app.fewer (id int PRIMARY KEY, g app.gone, note text, other text)}) for $a, $b;
sql($a, q{SELECT vecdb.replicate('app.fewer')});
sql($b, qq{SELECT vecdb.replicate('app.fewer', '${\invite($a, 'app.fewer')}')});
sql($a, q{INSERT INTO app.fewer VALUES (1, 'x', 'note', 'other')});
same_rows([ $a, $b ], 'app.fewer', 'a table with an enum', 1);
sql($b, q{DROP TYPE app.gone CASCADE});
sql($a, q{INSERT INTO app.fewer VALUES (2, 'x', 'note', 'other')});
ok(wait_until(sub { sql($b, q{SELECT waits_for FROM vecdb.stat_collections WHERE name = 'app.fewer'::regclass})
			eq 'columns were changed otherwise than by vecdb.alter_collection(): column "g" is only there' }),
	'the node where its column went says so') or diag(sql($b, q{SELECT * FROM vecdb.stat_collections}));
is(sql($b, q{SELECT string_agg(concat_ws(',', id, note, other), ' ') FROM app.fewer}), '1,note,other', 'and nothing is written into other columns');
sql($b, q{INSERT INTO app.fewer VALUES (3, 'of', 'b')});
is(sql($a, q{SELECT count(*) FROM app.fewer}), '2', 'nor do its rows travel');
sql($b, q{SELECT vecdb.leave('app.fewer'); DROP TABLE app.fewer});
sql($a, q{SELECT vecdb.leave('app.fewer'); DROP TABLE app.fewer});

# A table without a vector, a name with capitals and a space
is(sql($b, q{SELECT length(vecdb.replicate('app."Plain Notes"'))}), '64', 'a table without vectors is shared');
sql($b, q{INSERT INTO app."Plain Notes" (text) SELECT 'b' || i FROM generate_series(1, 10) i});
sql($c, qq{SELECT vecdb.replicate('app."Plain Notes"', '${\invite($b, 'app."Plain Notes"')}')});
sql($c, q{INSERT INTO app."Plain Notes" (text) VALUES ('c')});
same_rows([ $b, $c ], 'app."Plain Notes"', 'and its rows are on both', 11);
is(sql($c, q{SELECT string_agg(name, ' ' ORDER BY name) FROM vecdb.shared_collections}), 'app."Plain Notes" app.things', 'the view names both');
is(sql($c, q{SELECT name FROM vecdb.stat_collections ORDER BY 1::text LIMIT 1}) ne '', 1, 'stat_collections knows them');
is(sql($c, q{SELECT string_agg(role, ' ' ORDER BY role) FROM vecdb.members('app."Plain Notes"')}), 'admin writer', 'members by name');
is(sql($c, qq{SELECT count(*) FROM vecdb.members('$id')}), '3', 'and by id');
ok(wait_until(sub { sql($c, qq{SELECT count(*) FROM vecdb.providers('$id')}) eq '3' }), 'providers by id');

# Moved and renamed
sql($c, 'CREATE SCHEMA archive; ALTER TABLE app."Plain Notes" SET SCHEMA archive; ALTER TABLE archive."Plain Notes" RENAME TO notes');
sql($c, q{INSERT INTO archive.notes (text) VALUES ('moved')});
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM app."Plain Notes"}) eq '12' }), 'a table that is moved and renamed is shared as before');
is(sql($c, q{SELECT count(*) FROM vecdb.members('archive.notes')}), '2', 'and called by its name');

# Refused, and the invitation is still good
my $good = invite($a, 'app.things');
sql($b, 'CREATE ROLE other; CREATE TABLE app.parent (id text PRIMARY KEY); GRANT USAGE ON SCHEMA app TO other;
	CREATE TABLE app.child (id text PRIMARY KEY, of text REFERENCES app.parent, nr serial UNIQUE);
	CREATE TABLE app.columns (LIKE app.things INCLUDING ALL); ALTER TABLE app.columns ALTER note TYPE varchar(10);
	CREATE TABLE app.again (LIKE app.things INCLUDING ALL)');
like(error_of($b, q{SET ROLE other; SELECT vecdb.replicate('app.things')}), qr/must be owner of table things/, 'who owns it alone may share it');
like(error_of($b, qq{SET ROLE other; SELECT vecdb.replicate('app.again', '$good')}), qr/must be owner of table again/, '... or join with it');
like(error_of($b, qq{SET ROLE other; SELECT vecdb.$_}), qr/no collection that you may use has the id $id here/, "an id tells who has no right nothing: $_")
	for "invite('$id')", "leave('$id')", "evict('$id', '12345678')", "members('$id')";
like(error_of($b, qq{SELECT vecdb.replicate('app.child'$_)}),
	qr/"child" cannot be shared, for 2 reasons\nDETAIL:  .*unique index.*foreign key.*HINT:  .*Drop it.*Drop the constraint/s, 'all that is wrong with a table is said')
	for '', ", '$good'";
like(error_of($b, qq{SELECT vecdb.replicate('app.columns', '$good')}), qr/the table has other columns.*HINT:.*still good\./s, 'a column of another type');
like(error_of($b, qq{SELECT vecdb.replicate('app.things', '$good')}), qr/table "things" is shared already/, 'one that is shared');
like(error_of($b, q{SELECT vecdb.replicate('app.again', 'vecdb1:nonsense')}), qr/the invitation cannot be used/, 'no invitation');
like(error_of($b, qq{SELECT vecdb.replicate('app.again', '${\invite($a, 'app.things')}')}), qr/this database holds the collection already/, 'a collection that is here with another table');
like(error_of($b, qq{SELECT vecdb.join('$good')}), qr/a table that was shared by vecdb\.replicate\(\).*vecdb\.replicate\(table, invitation\)/s, 'join() of a table');
is(sql($b, 'SELECT count(*) FROM vecdb.shared_collection'), '2', 'nothing of all that is kept');

# A reader's rows would be nobody's
sql($c, 'SELECT vecdb.leave(\'app.things\')');
ok(wait_until(sub { sql($c, 'SELECT count(*) FROM vecdb.shared_collection') eq '1' }), 'c has left');
sql($c, q{UPDATE app.things SET note = 'c alone' WHERE a BETWEEN 6 AND 10; DELETE FROM app.things WHERE a = 11});
my $reader = invite($a, 'app.things', q{'reader'});
like(error_of($c, qq{SELECT vecdb.replicate('app.things', '$reader')}), qr/this node would only read the collection, and the table has rows.*HINT:  TRUNCATE/s, 'a reader joins with an empty table');
like(error_of($c, qq{SELECT vecdb.join('$good')}), qr/a table that was shared by vecdb\.replicate\(\).*vecdb\.replicate\(table, invitation\)/s, 'join() says what to do of a table');

# Shared anew with what has changed here meanwhile: what the others have was written, and wins
sql($b, q{UPDATE app.things SET note = 'b meanwhile' WHERE a = 12});
is(sql($c, qq{SELECT vecdb.replicate('app.things', '$good')}), $id, 'c joins again, by the invitation that was refused on two nodes');
same_rows(\@all, 'app.things', 'and all have the same rows', 70);
is(sql($c, q{SELECT note FROM app.things WHERE a = 12}), 'b meanwhile', 'what was written meanwhile is there');
cmp_ok(conflicts($c), '<=', 6, 'and rows that had not changed since are no conflicts');
is(sql($_, q{SELECT count(*) FROM vecdb.verify_versions('app.things')}), '0', 'versions of ' . $_->name . ' at last') for @all;

# A collection is none of these
sql($a, q{SELECT vecdb.create_collection('docs', 3)});
my $docs = invite($a, 'docs');
like(error_of($b, qq{SELECT vecdb.replicate('app.again', '$docs')}), qr/the invitation is to a collection, and the table is none of the same kind\nDETAIL:  3 cosine.*HINT:  vecdb\.join/s,
	'a collection is not joined with a table');
is(sql($b, qq{SELECT vecdb.join('$docs')}), 'collections.docs', 'but with the same invitation by join()');
sql($c, q{SELECT vecdb.create_collection('mine', 3); INSERT INTO collections.mine (id, data) VALUES ('c', '[1,2,3]')});
sql($c, qq{SELECT vecdb.replicate('collections.mine', '${\invite($a, 'docs')}')});
ok(wait_until(sub { sql($b, 'SELECT id FROM collections.docs') eq 'c' }), 'and with a collection that is here and has rows');

# Emptied and dropped
sql($b, 'TRUNCATE app.things');
same_rows(\@all, 'app.things', 'TRUNCATE empties all', 0);
sql($c, rows(1, 3, "'again'"));
same_rows(\@all, 'app.things', 'and they fill again', 3);
sql($c, 'DROP TABLE app.things; DROP SCHEMA archive CASCADE');
ok(wait_until(sub { sql($c, q{SELECT string_agg(name, ' ') FROM vecdb.shared_collections}) eq 'mine' }), 'tables that are dropped are shared no more');
sql($a, q{SELECT vecdb.leave('app.things')});
sql($b, q{SELECT vecdb.leave('app.things')});
ok(wait_until(sub { sql($a, q{SELECT vecdb.replicate('app.things') <> '} . $id . q{'}) eq 't' }), 'a table that was left is shared anew, as another collection');
nothing_crashed(@all);
done_testing();
