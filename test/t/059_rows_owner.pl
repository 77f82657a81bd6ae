# What the owner of a copy has hung on its table, and what users of it hold, while rows of
# others come: the owner's code runs as the owner, what the table refuses is set aside whole,
# and holds up nobody.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my @all = share_docs(conf => 'vecdb.anti_entropy_interval = 2s',
	rows => q{SELECT 'a' || i, ARRAY[i, 0, 1]::vector, jsonb_build_object('i', i) FROM generate_series(1, 100) i});
my ($a, $b, $c) = @all;

all_equal(\@all, 'the rows that were there are copied', 100);

# On b the collection is ann's, who has no rights but those.
sql($b, q{
	CREATE ROLE ann;
	GRANT ALL ON SCHEMA collections, public TO ann;
	ALTER TABLE collections.docs OWNER TO ann;
	CREATE TABLE ran (who text, what text);
	ALTER TABLE ran OWNER TO ann;
	CREATE FUNCTION hung() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
	ALTER FUNCTION hung() OWNER TO ann;
	SET ROLE ann;
	CREATE TRIGGER hung BEFORE INSERT OR UPDATE ON collections.docs FOR EACH ROW EXECUTE FUNCTION hung();
	ALTER TABLE collections.docs ENABLE ALWAYS TRIGGER hung});

# The body of ann's trigger from now on
sub hang
{
	my ($body) = @_;

	return sql($b, "SET ROLE ann; CREATE OR REPLACE FUNCTION public.hung() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN $body RETURN new; END \$\$");
}

sub held
{
	my ($key) = @_;

	return sql($b, "SELECT text FROM vecdb.held_row WHERE convert_from(key, 'UTF8') = '$key'");
}

# A row of a's that b's table refuses, and one behind it
sub refused
{
	my ($id, $reason, $what) = @_;

	sql($a, "INSERT INTO collections.docs (id, data) VALUES ('$id', '[1,1,1]'), ('behind_$id', '[1,1,2]')");
	ok(wait_until(sub { held($id) ne '' }), $what);
	like(held($id), $reason, '... and why is said');
	arrives_within(\@all, "behind_$id", '... it holds up no other row');
	arrives_within([ $a, $c ], $id, '... nor itself on its way to others');
	return;
}

hang(q{INSERT INTO public.ran VALUES (current_user || ' ' || current_setting('search_path'), new.id);});
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('as_ann', '[1,2,3]')});
arrives_within(\@all, 'as_ann', 'a row goes past a trigger that is always enabled');
is(sql($b, 'TABLE ran'), 'ann pg_catalog, pg_temp|as_ann', 'which runs as the owner of the table, in a path of nobody');

sql($b, 'SET ROLE ann; ALTER TABLE collections.docs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY');
sql($a, q{UPDATE collections.docs SET metadata = '{"policy": 1}' WHERE id = 'a1'});
ok(wait_until(sub { sql($b, q{SELECT metadata ->> 'policy' FROM collections.docs WHERE id = 'a1'}) eq '1' }), 'no policy hides a row from what is applied');
sql($b, 'SET ROLE ann; ALTER TABLE collections.docs DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY');

hang(q{IF new.id = 'raised' THEN RAISE EXCEPTION 'not here'; END IF;});
refused('raised', qr/^not here$/, 'a row that a trigger refuses is set aside');
hang(q{IF new.id = 'role' THEN SET ROLE postgres; END IF;});
refused('role', qr/cannot set parameter "role"/, 'so is one whose trigger would become somebody else');
hang(q{IF new.id = 'gone' THEN DROP TABLE collections.docs; END IF;});
refused('gone', qr/being used by active queries/, 'or drops the table');
hang(q{IF new.id = 'changed' THEN new.metadata = '{"by": "ann"}'; END IF;});
refused('changed', qr/makes another row/, 'or makes another row of it');
hang(q{IF new.id = 'none' THEN RETURN NULL; END IF;});
refused('none', qr/makes another row/, 'or none');
hang(q{IF new.id = 'slow' THEN PERFORM pg_sleep(60); END IF;});
refused('slow', qr/took more than 5000 ms/, 'or takes long');
hang('');
all_equal(\@all, 'all of them go into the table once it takes them');
ok(wait_until(sub { sql($b, 'SELECT count(*) FROM vecdb.held_row') eq '0' }), '... and none is held');

# What a trigger writes to other rows is a write of this node
hang(q{IF new.id = 'twice' THEN UPDATE collections.docs SET metadata = '{"seen": true}' WHERE id = 'a2'; END IF;});
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('twice', '[1,2,3]')});
ok(wait_until(sub { sql($c, q{SELECT metadata ->> 'seen' FROM collections.docs WHERE id = 'a2'}) eq 'true' }), 'what a trigger does to another row reaches the others');
hang('');
all_equal(\@all, 'and all are equal');

# Nothing is left to the commit, which is somebody else's
sql($b, q{
	DELETE FROM ran;
	SET ROLE ann;
	DROP TRIGGER hung ON collections.docs;
	CREATE CONSTRAINT TRIGGER hung AFTER INSERT ON collections.docs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.hung();
	ALTER TABLE collections.docs ENABLE ALWAYS TRIGGER hung});
hang(q{INSERT INTO public.ran VALUES (current_user, new.id);});
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('deferred', '[1,2,3]')});
arrives_within(\@all, 'deferred', 'a row goes past a trigger that is deferred');
is(sql($b, 'TABLE ran'), 'ann|deferred', 'which runs as the owner, too');
sql($b, 'DROP TRIGGER hung ON collections.docs');

# Of many rows those go in that are not refused
sql($b, q{SET ROLE ann; ALTER TABLE collections.docs ADD CONSTRAINT few CHECK (id NOT LIKE 'many%7')});
sql($a, q{INSERT INTO collections.docs (id, data) SELECT 'many' || i, '[1,2,3]' FROM generate_series(1, 1000) i});
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM collections.docs WHERE id LIKE 'many%'}) eq '900' }), 'of many rows those go in that a constraint allows');
is(sql($b, 'SELECT count(*) FROM vecdb.held_row'), '100', '... and the others are set aside');
sql($b, 'SET ROLE ann; ALTER TABLE collections.docs DROP CONSTRAINT few');
all_equal(\@all, '... until it is gone');

# Rows that a user's transaction has written, and goes on
my $user = $b->background_psql('postgres', on_error_stop => 1);
$user->query_safe(q{BEGIN; UPDATE collections.docs SET metadata = '{"user": 1}' WHERE id IN ('a3', 'a4');
	INSERT INTO collections.docs (id, data) VALUES ('both', '[1,1,1]'); DELETE FROM collections.docs WHERE id = 'a5'});
sql($a, q{UPDATE collections.docs SET metadata = '{"other": 1}' WHERE id IN ('a3', 'a4', 'a5');
	INSERT INTO collections.docs (id, data) VALUES ('both', '[2,2,2]'), ('beside', '[1,2,3]')});
arrives_within(\@all, 'beside', 'a row that came with those that a user has written');
ok(wait_until(sub { sql($c, q{SELECT count(*) FROM collections.docs WHERE metadata ->> 'other' = '1'}) eq '3' }), '... which reach the others');
$user->query_safe(q{UPDATE collections.docs SET metadata = '{"user": 2}' WHERE id = 'a4'; COMMIT});
$user->quit;
all_equal(\@all, 'one of both stands everywhere when it has ended');
ok(wait_until(sub { sql($b, 'SELECT count(*) FROM vecdb.held_row') eq '0' }), '... and nothing is held');
is(sql($_, q{SELECT count(*) FROM vecdb.verify_versions('collections.docs')}), '0', $_->name . ': each row has its version') for @all;

nothing_crashed(@all);
done_testing();
