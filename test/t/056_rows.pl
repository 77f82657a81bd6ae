# Three servers share a collection: rows that are written on any of them are on all
# of them, in whatever way they are written.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my @all = share_docs(rows => q{SELECT 'a' || i, ARRAY[i, 0, 1]::vector, jsonb_build_object('i', i) FROM generate_series(1, 50) i});
my ($a, $b, $c) = @all;

all_equal(\@all, 'the rows that were there are copied', 50);

# Each writes
for my $node (@all)
{
	my $name = $node->name;

	sql($node, "INSERT INTO collections.docs (id, data) SELECT 'from_$name' || i, ARRAY[i, 1, 2]::vector FROM generate_series(1, 20) i");
}
all_equal(\@all, 'rows of each are everywhere', 110);
sql($b, q{UPDATE collections.docs SET metadata = '{"by": "b"}' WHERE id = 'a7'});
sql($c, q{UPDATE collections.docs SET data = '[7,7,7]' WHERE id = 'a8'});
sql($a, q{DELETE FROM collections.docs WHERE id IN ('a9', 'from_c3')});
all_equal(\@all, 'updates and deletes are', 108);
is(sql($c, q{SELECT metadata ->> 'by' FROM collections.docs WHERE id = 'a7'}), 'b', 'an update of metadata alone');
is(sql($a, q{SELECT data FROM collections.docs WHERE id = 'a8'}), '[7,7,7]', 'and of a vector');
is(sql($b, q{SET enable_seqscan = off; SELECT id FROM collections.docs ORDER BY data <-> '[7,7,7]' LIMIT 1}), 'a8', 'which the index of another node finds');

# In other ways
sql($a, q{COPY collections.docs (id, data) FROM PROGRAM 'for i in 1 2 3; do printf "copied%d\t[1,2,%d]\n" $i $i; done'});
sql($b, q{INSERT INTO collections.docs (id, data) VALUES ('a1', '[0,0,0]') ON CONFLICT (id) DO UPDATE SET data = '[5,5,5]'});
sql($c, q{WITH d AS (DELETE FROM collections.docs WHERE id = 'a2' RETURNING *) INSERT INTO collections.docs (id, data) SELECT id, '[2,2,2]' FROM d});
sql($a, q{UPDATE collections.docs SET id = 'renamed' WHERE id = 'a3'});
sql($b, q{BEGIN; INSERT INTO collections.docs (id, data) VALUES ('kept', '[1,1,1]'); SAVEPOINT s;
	INSERT INTO collections.docs (id, data) VALUES ('taken_back', '[1,1,1]'); DELETE FROM collections.docs WHERE id = 'a4'; ROLLBACK TO s; COMMIT});
sql($c, q{BEGIN; DELETE FROM collections.docs; ROLLBACK});
all_equal(\@all, 'COPY, ON CONFLICT, WITH, another key, savepoints', 112);
is(sql($b, q{SELECT data FROM collections.docs WHERE id = 'a2'}), '[2,2,2]', 'a row that was deleted and inserted by one statement is there');
is(sql($c, q{SELECT count(*) FROM collections.docs WHERE id IN ('a4', 'kept', 'renamed')}), '3', 'and what was not taken back');

# Triggers of users: what they change travels, and they do not fire for rows of others
for my $node ($a, $b)
{
	sql($node, q{CREATE TABLE audit (id text);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.audit VALUES (NEW.id); RETURN NEW; END';
		CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.metadata := NEW.metadata || pg_catalog.jsonb_build_object(''stamped'', true); RETURN NEW; END';
		CREATE TRIGGER note AFTER INSERT ON collections.docs FOR EACH ROW EXECUTE FUNCTION note();
		CREATE TRIGGER stamp BEFORE INSERT ON collections.docs FOR EACH ROW EXECUTE FUNCTION stamp()});
}
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('stamped', '[4,4,4]')});
all_equal(\@all, 'what a trigger makes of a row', 113);
is(sql($c, q{SELECT metadata FROM collections.docs WHERE id = 'stamped'}), '{"stamped": true}', 'is what others get');
is(sql($b, q{SELECT count(*) FROM audit}), '0', 'there triggers of the table do not fire');
sql($_, q{DROP TRIGGER note ON collections.docs; DROP TRIGGER stamp ON collections.docs}) for $a, $b;

# A cascade of foreign keys that ends in the collection: it has none of its own, a trigger deletes from it
sql($b, q{CREATE TABLE parent (id int PRIMARY KEY);
	CREATE TABLE child (parent int REFERENCES parent ON DELETE CASCADE, doc text);
	CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM collections.docs WHERE id = OLD.doc; RETURN NULL; END';
	CREATE TRIGGER forget AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION forget();
	INSERT INTO parent VALUES (1), (2);
	INSERT INTO child SELECT 1, 'from_b' || i FROM generate_series(1, 5) i;
	INSERT INTO child VALUES (2, 'from_b6')});
my $before = (split /\|/, rows_of($a))[0];
sql($b, 'DELETE FROM parent WHERE id = 1');
all_equal(\@all, 'what a cascade of foreign keys deletes is deleted everywhere', $before - 5);
is(sql($c, q{SELECT count(*) FROM collections.docs WHERE id IN ('from_b1', 'from_b5', 'from_b6')}), '1', 'and nothing else');
like(error_of($a, 'CREATE TABLE refers (doc text REFERENCES collections.docs)'), qr/foreign key/, 'a foreign key to a shared table is refused');

# The same row at once
for my $i (1 .. 20)
{
	my $other = $i + 20;
	my @session = map {
		my $name = $_->name;

		start_psql($_, {}, qq{UPDATE collections.docs SET metadata = '{"by": "$name"}' WHERE id = 'a$i'},
			$name eq 'b' ? "DELETE FROM collections.docs WHERE id = 'a$other'" : "UPDATE collections.docs SET data = '[9,9,$i]' WHERE id = 'a$other'")
	} @all;

	$_->finish for @session;
}
all_equal(\@all, 'conflicts have one winner');

sql($b, 'TRUNCATE collections.docs');
all_equal(\@all, 'TRUNCATE empties all', 0);
sql($c, q{INSERT INTO collections.docs (id, data) VALUES ('again', '[1,1,1]')});
all_equal(\@all, 'and they fill again', 1);

is(sql($b, q{SELECT name, state, rows_taken > 100, rows_sent > 20, batches > 5 FROM vecdb.stat_collections}), 'collections.docs|replicating|t|t|t',
	'stat_collections tells what has come and gone');
is(sql($b, q{SELECT count(*) FROM vecdb.stat_copy}), '0', 'nothing is copied any more');
nothing_crashed(@all);
done_testing();
