# The owner of a shared table against the processes that write rows of other nodes
# into it, and against the collections of others in the same server.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my @all = share_docs();
my ($a, $b, $c) = @all;

sql($a, q{SELECT vecdb.create_collection('other', 3)});
my $invitation = sql($a, q{SELECT vecdb.invite('other')});
sql($b, "SELECT vecdb.join('$invitation')");
sql($b, q{CREATE ROLE tenant; CREATE SCHEMA tenant AUTHORIZATION tenant; GRANT ALL ON SCHEMA collections TO tenant;
	ALTER TABLE collections.docs OWNER TO tenant});

sub as_tenant
{
	my ($query) = @_;

	return sql($b, "SET SESSION AUTHORIZATION tenant; $query");
}

# Code that takes each cancel as an occasion to begin anew
as_tenant(q{
	CREATE FUNCTION tenant.stay() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN PERFORM pg_catalog.pg_sleep(600);
			EXCEPTION WHEN query_canceled THEN NULL;
			END;
		END LOOP;
	END $$;
	CREATE TRIGGER stay BEFORE INSERT ON collections.docs FOR EACH ROW EXECUTE FUNCTION tenant.stay();
	ALTER TABLE collections.docs ENABLE ALWAYS TRIGGER stay});
my $offset = -s $b->logfile;
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('a', '[1,2,3]')});
ok(wait_for_line($b, qr/terminating background worker "vecdb apply"/, $offset), 'a trigger that does not end ends the process');
for my $i (1 .. 2)
{
	sql($a, "INSERT INTO collections.other (id, data) VALUES ('$i', '[1,2,3]')");
	ok(wait_until(sub { sql($b, "SELECT count(*) FROM collections.other WHERE id = '$i'") eq '1' }), "row $i of another collection arrives all the same");
}
as_tenant('DROP TRIGGER stay ON collections.docs');
all_equal(\@all, 'and so do those of the first, without the trigger', 1);

# What code that is run for a row of others writes is captured, but for that row
as_tenant(q{
	CREATE FUNCTION tenant.put(id text) RETURNS bool LANGUAGE plpgsql AS $$
	BEGIN
		IF id = 'b' AND NOT EXISTS (SELECT FROM collections.docs d WHERE d.id = 'c') THEN
			INSERT INTO collections.docs (id, data) VALUES ('c', '[4,5,6]');
			INSERT INTO collections.docs (id, data) VALUES ('b', '[4,5,6]');
			UPDATE collections.docs d SET id = 'e' WHERE d.id = 'b';
		END IF;
		RETURN true;
	END $$;
	ALTER TABLE collections.docs ADD CONSTRAINT puts CHECK (tenant.put(id))});
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('b', '[1,2,3]')});
all_equal(\@all, 'what a constraint writes meanwhile goes to all', 4);
is(sql($b, q{SELECT count(*) FROM vecdb.verify_versions('collections.docs')}), '0', '... with its versions');

# An index that its owner's session has not finished is no worker's, which would run its expression
as_tenant(q{
	CREATE FUNCTION tenant.slow(v vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM pg_catalog.pg_sleep(600); RETURN v; END $$});
my ($rc, $out, $err) = $b->psql('postgres', q{SET SESSION AUTHORIZATION tenant; SET statement_timeout = '1s';
	CREATE INDEX CONCURRENTLY slow ON collections.docs USING hnsw ((tenant.slow(data)::vector(3)) vector_l2_ops)});
like($err, qr/statement timeout/, 'an index is left unfinished');
is(sql($b, q{SELECT indisready FROM pg_index WHERE indexrelid = 'collections.slow'::regclass}), 'f', '... and not ready');
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('f', '[1,2,3]')});
all_equal(\@all, 'rows go on', 5);
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('g', '[1,2,3]')});
all_equal(\@all, '... and on', 6);
sql($a, q{INSERT INTO collections.other (id, data) VALUES ('3', '[1,2,3]')});
ok(wait_until(sub { sql($b, q{SELECT count(*) FROM collections.other WHERE id = '3'}) eq '1' }), 'those of another collection, too');

nothing_crashed(@all);
done_testing();
