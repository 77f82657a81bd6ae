# Local writes to a shared collection: whatever statement, trigger or savepoint made a
# row what it is, its version says so; and what would let writes escape is refused.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;

my $node = new_peer('capture', conf => 'max_prepared_transactions = 2');

sub sql
{
	my ($query) = @_;

	return $node->safe_psql('postgres', $query);
}

# The error of a query that must fail.
sub error_of
{
	my ($query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query);

	return $rc == 0 ? "no error, but: $out" : $err;
}

my $table;

# After the query each row is what its version says, and so many versions are live.  How
# many tombstones there are nobody knows: they are collected.
sub captured
{
	my ($query, $live, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	sql($query);
	is(sql(q{SELECT key, problem FROM vecdb.verify_versions('collections.docs')}), '', "$name: rows are what their versions say");
	is(sql("SELECT count(*) FROM vecdb.version_$table WHERE live"), $live, "$name: $live rows");
	return;
}

sub version_of
{
	my ($id) = @_;

	return sql("SELECT ticket, clock FROM vecdb.version_$table WHERE key = '$id'::bytea");
}

ok(wait_until(sub { running($node) }), 'the node runs');
sql(q{
	SELECT vecdb.create_collection('docs', 3);
	INSERT INTO collections.docs (id, data) SELECT i::text, ARRAY[i, 1, 2]::vector FROM generate_series(1, 20) i});
is(sql(q{SELECT count(*) FROM vecdb.check('collections.docs')}), '0', 'it can be shared');
like(sql(q{SELECT vecdb.invite('docs')}), qr/\S/, 'and is');
$table = sql(q{SELECT 'collections.docs'::regclass::oid});
captured('SELECT 1', 20, 'rows that were there');
is(sql("SELECT count(DISTINCT (incarnation, ticket)) FROM vecdb.version_$table"), '1', 'all of one ticket');
sql(q{SELECT vecdb.invite('docs')});
is(sql("SELECT count(DISTINCT (incarnation, ticket)) FROM vecdb.version_$table"), '1', 'a second invitation stamps nothing');
is( sql("SELECT count(*) FROM pg_class WHERE oid = 'vecdb.version_$table'::regclass AND relowner = 10 AND relacl IS NULL"),
	'1', 'the version table is the bootstrap superuser\'s alone');
is( sql("SELECT count(*) FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = 'vecdb.version_$table'::regclass AND deptype = 'e'"),
	'1', '... and a member of the extension');

# Statements
my $before = version_of('1');
captured(q{UPDATE collections.docs SET metadata = metadata WHERE false}, 20, 'an UPDATE of no row');
is(version_of('1'), $before, 'no version is new');
captured(q{INSERT INTO collections.docs (id, data) VALUES ('21', '[1,2,3]')}, 21, 'INSERT');
captured(q{UPDATE collections.docs SET metadata = '{"a": 1}' WHERE id = '1'}, 21, 'UPDATE');
isnt(version_of('1'), $before, 'a new version');
$before = version_of('2');
captured(q{ALTER TABLE collections.docs DISABLE TRIGGER updated_at; UPDATE collections.docs SET metadata = metadata;
	ALTER TABLE collections.docs ENABLE TRIGGER updated_at},
	21, 'an UPDATE that changes nothing');
is(version_of('2'), $before, 'leaves versions as they are');
captured(q{UPDATE collections.docs SET id = 'key' WHERE id = '2'}, 21, 'an UPDATE of the key');
captured(q{DELETE FROM collections.docs WHERE id = '3'}, 20, 'DELETE');
is( sql("BEGIN; DELETE FROM collections.docs WHERE id IN ('4', '5'); SELECT count(*) FROM vecdb.version_$table WHERE NOT live AND key IN ('4', '5'); ROLLBACK"),
	'2', 'a row that is deleted leaves a tombstone');
captured(q{INSERT INTO collections.docs (id, data) VALUES ('3', '[3,3,3]')}, 21, 'INSERT where a tombstone is');
captured(q{INSERT INTO collections.docs (id, data) VALUES ('1', '[9,9,9]'), ('22', '[9,9,9]') ON CONFLICT (id) DO UPDATE SET data = excluded.data},
	22, 'ON CONFLICT DO UPDATE');
captured(q{INSERT INTO collections.docs (id, data) VALUES ('1', '[8,8,8]') ON CONFLICT DO NOTHING}, 22, 'ON CONFLICT DO NOTHING');
captured(q{SELECT vecdb.upsert('docs', 'up', '[1,1,1]', '{"n": 1}')}, 23, 'vecdb.upsert()');
captured("COPY collections.docs (id, data) FROM stdin;\n31\t[1,1,1]\n32\t[1,1,2]\n\\.\n", 25, 'COPY');
captured(q{MERGE INTO collections.docs d USING (VALUES ('31'), ('33')) s(id) ON d.id = s.id
	WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT (id, data) VALUES (s.id, '[3,1,1]')}, 25, 'MERGE');
captured(q{WITH d AS (DELETE FROM collections.docs WHERE id = '4' RETURNING *) INSERT INTO collections.docs SELECT * FROM d},
	25, 'a CTE that deletes and inserts the same key');
captured(q{WITH d AS (DELETE FROM collections.docs WHERE id = '4' RETURNING *)
	INSERT INTO collections.docs (id, data) SELECT id, '[7,7,7]' FROM d}, 25, '... with other content');
captured(q{INSERT INTO collections.docs (id, data) SELECT 'bulk ' || i, ARRAY[i, 1, 2]::vector FROM generate_series(1, 10000) i},
	10025, 'more rows than are noted at once');
captured(q{DELETE FROM collections.docs WHERE id LIKE 'bulk %'}, 25, '... and without them again');

# Savepoints
captured(q{BEGIN; SAVEPOINT a; INSERT INTO collections.docs (id, data) VALUES ('s1', '[1,2,3]');
	SAVEPOINT b; UPDATE collections.docs SET metadata = '{"s": 1}' WHERE id IN ('5', 's1'); RELEASE b; ROLLBACK TO a;
	DELETE FROM collections.docs WHERE id = '6'; SAVEPOINT c; DELETE FROM collections.docs WHERE id = '7'; ROLLBACK TO c; COMMIT},
	24, 'savepoints');
captured(q{BEGIN; INSERT INTO collections.docs (id, data) VALUES ('s2', '[1,2,3]'); ROLLBACK}, 24, 'ROLLBACK');
captured(q{BEGIN; UPDATE collections.docs SET data = '[5,5,5]' WHERE id = '5'; UPDATE collections.docs SET data = '[5,5,6]' WHERE id = '5';
	DELETE FROM collections.docs WHERE id = '5'; INSERT INTO collections.docs (id, data) VALUES ('5', '[5,5,7]'); COMMIT},
	24, 'a row that changes often');

# Triggers of users, before and behind ours in the order of names
sql(q{
	CREATE FUNCTION put_back() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN INSERT INTO collections.docs VALUES (OLD.*); RETURN NULL; END $$;
	CREATE TRIGGER a_first AFTER DELETE ON collections.docs FOR EACH ROW WHEN (OLD.id = '8') EXECUTE FUNCTION put_back();
	CREATE TRIGGER zzz_last AFTER DELETE ON collections.docs FOR EACH ROW WHEN (OLD.id = '9') EXECUTE FUNCTION put_back();
	CREATE FUNCTION other_row() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		BEGIN
			UPDATE collections.docs SET metadata = jsonb_build_object('by', NEW.id) WHERE id <> NEW.id;
			RAISE EXCEPTION 'never mind';
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
		UPDATE collections.docs SET metadata = jsonb_build_object('after', NEW.id) WHERE id = '11';
		RETURN NULL;
	END $$;
	CREATE TRIGGER other AFTER UPDATE ON collections.docs FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION other_row();
	CREATE TRIGGER zzz_other AFTER UPDATE ON collections.docs FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION other_row()});
captured(q{DELETE FROM collections.docs WHERE id IN ('8', '9', '10')}, 23, 'triggers that put rows back');
captured(q{UPDATE collections.docs SET metadata = '{"outer": 1}'}, 23, 'triggers that write other rows, and roll back');
sql(q{DROP TRIGGER other ON collections.docs; DROP TRIGGER zzz_other ON collections.docs});
captured(q{SET session_replication_role = replica; UPDATE collections.docs SET metadata = '{"replica": 1}'},
	23, 'a session that takes itself for a replica');

# Who writes
sql(q{
	CREATE ROLE ann;
	GRANT USAGE ON SCHEMA collections TO ann;
	GRANT ALL ON collections.docs TO ann;
	ALTER TABLE collections.docs ENABLE ROW LEVEL SECURITY;
	CREATE POLICY reads ON collections.docs FOR SELECT TO ann USING (metadata @> '{"seen": 1}');
	CREATE POLICY writes ON collections.docs FOR INSERT TO ann WITH CHECK (true)});
captured(q{SET ROLE ann; INSERT INTO collections.docs (id, data) VALUES ('hidden', '[1,2,3]')}, 24, 'a row that a policy hides from its writer');
captured(q{SET ROLE ann; SET search_path = pg_temp; SET row_security = on; DELETE FROM collections.docs}, 24, 'a DELETE that sees nothing');
like(error_of("SET ROLE ann; SELECT * FROM vecdb.version_$table"), qr/permission denied/, 'nobody reads versions');
like(error_of(q{SET ROLE ann; SELECT * FROM vecdb.verify_versions('collections.docs')}), qr/must be owner/, 'nor compares them');
captured(q{BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE collections.docs SET metadata = '{"level": 3}'; COMMIT}, 24, 'SERIALIZABLE');

# Transactions
like( error_of(q{BEGIN; UPDATE collections.docs SET metadata = '{"p": 1}' WHERE id = '1'; PREPARE TRANSACTION 'p'}),
	qr/cannot PREPARE a transaction that has written to a shared collection/, 'PREPARE TRANSACTION is refused');
captured('SELECT 1', 24, 'and nothing of it is left');
sql(q{CREATE TABLE plain (id int); BEGIN; SELECT count(*) FROM collections.docs; INSERT INTO plain VALUES (1); PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'});
is(sql('SELECT count(*) FROM plain'), '1', 'one that has only read can be prepared');
captured(q{BEGIN; TRUNCATE collections.docs; ROLLBACK}, 24, 'a TRUNCATE that is rolled back');
is( sql("BEGIN; TRUNCATE collections.docs; SELECT count(*) FILTER (WHERE live), count(*) FILTER (WHERE NOT live) >= 20 FROM vecdb.version_$table; ROLLBACK"),
	'0|t', 'TRUNCATE leaves tombstones');
captured(q{TRUNCATE collections.docs}, 0, 'TRUNCATE');
captured(q{INSERT INTO collections.docs (id, data) SELECT i::text, ARRAY[i, 1, 2]::vector FROM generate_series(1, 20) i}, 20, 'INSERT after it');

# A writer that waits for another: versions are written in the order of the rows
sub waiting
{
	my ($query) = @_;

	return wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '$query%'") eq '1' });
}
my $update = q{UPDATE collections.docs SET metadata = '{"%s": 1}' WHERE id IN ('1', '2')};
my $holder = start_psql($node, \my %holder, 'SELECT pg_advisory_lock(1)', 'SELECT pg_sleep(600)');
ok(wait_until(sub { sql(q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted}) eq '1' }), 'the first writer is held up');
my $first = start_psql($node, \my %first, 'BEGIN', sprintf($update, 'first'), 'SELECT pg_advisory_lock(1)', 'COMMIT');
ok(waiting('SELECT pg_advisory_lock'), '... in its transaction');
my $second = start_psql($node, \my %second, sprintf($update, 'second'));
ok(waiting('UPDATE'), 'a second one waits');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'});
$holder->finish;
ok($first->finish && $second->finish, 'both come to an end');
is($first{err} . $second{err}, '', 'without an error');
is(sql(q{SELECT count(*) FROM collections.docs WHERE metadata = '{"second": 1}'}), '2', '... and wins');
captured('SELECT 1', 20, 'both wrote');

# What would let writes escape
my %refused = (
	'ALTER TABLE collections.docs DISABLE TRIGGER ALL' => qr/pg_restore fills the table without --disable-triggers/,
	'ALTER TABLE collections.docs DISABLE TRIGGER USER' => qr/vecdb\.leave\(\)/,
	'ALTER TABLE collections.docs ENABLE TRIGGER ALL' => qr/vecdb\.leave\(\)/,
	'ALTER TABLE collections.docs DISABLE TRIGGER zz_vecdb_capture_row' => qr/vecdb\.leave\(\)/,
	'ALTER TABLE collections.docs ENABLE REPLICA TRIGGER zz_vecdb_capture_row' => qr/vecdb\.leave\(\)/,
	'DROP TRIGGER zz_vecdb_capture_row ON collections.docs' => qr/vecdb\.leave\(\)/,
	'ALTER TRIGGER zz_vecdb_capture_row ON collections.docs RENAME TO x' => qr/vecdb\.leave\(\)/,
	'ALTER TRIGGER zz_vecdb_capture_row ON collections.docs DEPENDS ON EXTENSION plpgsql' => qr/vecdb\.leave\(\)/,
	'CREATE OR REPLACE TRIGGER zz_vecdb_capture_row AFTER INSERT ON collections.docs EXECUTE FUNCTION put_back()' => qr/are vecdb's/,
	'ALTER TABLE collections.docs SET UNLOGGED' => qr/vecdb\.leave\(\)/,
	'ALTER TABLE collections.docs ADD x int' => qr/All members .* need the same columns/,
	'ALTER TABLE collections.docs DROP metadata' => qr/All members .* need the same columns/,
	'ALTER TABLE collections.docs ALTER data TYPE vector(4)' => qr/All members .* need the same columns/,
	'ALTER TABLE collections.docs RENAME metadata TO m' => qr/All members .* need the same columns/,
	'ALTER TABLE collections.docs DROP CONSTRAINT docs_pkey' => qr/vecdb\.leave\(\)/,
	'ALTER TABLE collections.docs ADD UNIQUE (metadata)' => qr/primary key is all that may be unique/,
	'CREATE UNIQUE INDEX ON collections.docs (metadata)' => qr/primary key is all that may be unique/,
	'ALTER TABLE collections.docs ADD FOREIGN KEY (id) REFERENCES other_table' => qr/without the constraint/,
	'CREATE TABLE refers (id text REFERENCES collections.docs)' => qr/without the constraint/,
	'ALTER TABLE plain ADD x text REFERENCES collections.docs' => qr/without the constraint/,
	'CREATE TABLE child () INHERITS (collections.docs)' => qr/vecdb\.leave\(\)/,
	'CREATE RULE r AS ON DELETE TO collections.docs DO INSTEAD NOTHING' => qr/with triggers/,
	q{DO $$ BEGIN ALTER TABLE collections.docs DISABLE TRIGGER ALL; END $$} => qr/vecdb\.leave\(\)/);
like(error_of($_), qr/which is shared.*HINT:.*$refused{$_}/s, "refused, with the way out: $_") for sort keys %refused;
sql(q{ALTER TABLE collections.docs DISABLE TRIGGER a_first; ALTER TABLE collections.docs ADD CONSTRAINT c CHECK (id <> 'no'); CREATE INDEX ON collections.docs (created_at)});
is(sql(q{SELECT count(*) FROM vecdb.check('collections.docs')}), '0', 'what harms nobody is not');

# Where a statement has had no end, as in logical replication, its keys wait for the commit
my $capture = q{UPDATE pg_trigger SET tgenabled = '%s' WHERE tgrelid = 'collections.docs'::regclass AND tgname = 'zz_vecdb_capture_%s'};
sql(sprintf $capture, 'D', 'statement');
captured(q{BEGIN; INSERT INTO collections.docs (id, data) VALUES ('w1', '[1,2,3]'), ('w2', '[1,2,3]'); SAVEPOINT a; DELETE FROM collections.docs WHERE id = 'w1';
	UPDATE collections.docs SET data = '[5,5,5]' WHERE id = 'w2'; RELEASE a; SAVEPOINT b; DELETE FROM collections.docs WHERE id < '5'; ROLLBACK TO b; COMMIT},
	21, 'keys that wait for the commit');
captured(q{DELETE FROM collections.docs WHERE id = 'w2'}, 20, '... and are deleted');
sql(sprintf $capture, 'A', 'statement');

# A statement that has begun knows nothing of triggers that it makes or drops
sql(q{SELECT vecdb.create_collection('used', 3)});
like(error_of(q{INSERT INTO collections.used (id, data) SELECT left(vecdb.invite('used'), 9), '[1,2,3]'}),
	qr/cannot share "used" because it is being used by active queries/, 'a table is not shared by a statement that writes to it');
like(sql(q{SELECT vecdb.invite('used')}), qr/\S/, '... but by one that does not');
like(error_of(q{INSERT INTO collections.used (id, data) SELECT 'x' || vecdb.leave('used')::text, '[1,2,3]'}),
	qr/cannot leave "used" because it is being used by active queries/, 'nor left by one');
sql(q{SELECT vecdb.leave('used'); DROP TABLE collections.used});

# A superuser gets past everything: that is seen
sql(sprintf $capture, 'D', 'row');
sql(q{INSERT INTO collections.docs (id, data) VALUES ('escaped', '[1,2,3]'); UPDATE collections.docs SET metadata = '{"escaped": 1}' WHERE id = '1';
	DELETE FROM collections.docs WHERE id = '2'});
like(sql(q{SELECT problem FROM vecdb.check('collections.docs')}), qr/"zz_vecdb_capture_row" .* is not always enabled/, 'vecdb.check() tells of a disabled trigger');
is(sql(q{SELECT convert_from(key, 'UTF8'), problem FROM vecdb.verify_versions('collections.docs') ORDER BY 1}),
	"1|a row whose version is of another content\n2|a live version without its row\nescaped|a row without a version", 'and vecdb.verify_versions() of what has escaped');

is(sql(q{SELECT vecdb.rescan('collections.docs')}), '3', 'vecdb.rescan() gives versions to them');
sql(q{ALTER TABLE collections.docs ENABLE ALWAYS TRIGGER zz_vecdb_capture_row});
captured('SELECT 1', 20, 'after it');
is(sql(q{SELECT vecdb.rescan('collections.docs')}), '0', 'and finds no more');
is(sql(q{SELECT count(*) FROM vecdb.check('collections.docs')}), '0', '... as all triggers are enabled');

# With its table all of it goes
sub version_tables { return sql(q{SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^version_[0-9]+$'}) }
is(version_tables(), '1', 'one version table');
sql(q{BEGIN; DROP TABLE collections.docs; ROLLBACK; BEGIN; SAVEPOINT s; DROP TABLE collections.docs; ROLLBACK TO s; COMMIT});
is(version_tables(), '1', 'a drop that is rolled back leaves it');
sql(q{BEGIN; INSERT INTO collections.docs (id, data) VALUES ('last', '[1,2,3]'); DROP TABLE collections.docs CASCADE; COMMIT});
is(version_tables(), '0', 'DROP TABLE CASCADE');
sub share
{
	my ($name) = @_;

	sql("SELECT vecdb.create_collection('$name', 3)");
	sql("SELECT vecdb.invite('$name')");
	sql("INSERT INTO collections.$name (id, data) VALUES ('a', '[1,2,3]')");
	return;
}
share('moved');
sql(q{CREATE SCHEMA gone; ALTER TABLE collections.moved SET SCHEMA gone});
is(version_tables(), '1', 'a table that is moved keeps it');
sql(q{INSERT INTO gone.moved (id, data) VALUES ('b', '[1,2,3]')});
is(sql(q{SELECT count(*) FROM vecdb.verify_versions('gone.moved')}), '0', '... and is captured');
sql(q{DROP SCHEMA gone CASCADE});
is(version_tables(), '0', 'DROP SCHEMA');
share('owned');
sql(q{CREATE ROLE joe; ALTER TABLE collections.owned OWNER TO joe; DROP OWNED BY joe});
is(version_tables(), '0', 'DROP OWNED');

# Leaving makes an ordinary table of it; a dump has no versions, and its table is an ordinary one
sql(q{SELECT vecdb.create_collection('undone', 3)});
sql(q{BEGIN; SELECT vecdb.invite('undone'); ROLLBACK});
like(sql(q{SELECT problem FROM vecdb.check('collections.undone')}), qr/is shared, but its writes are not captured/, 'an invitation that is rolled back shares, and that is seen');
sql(q{SELECT vecdb.invite('undone')});
is(sql(q{SELECT count(*) FROM vecdb.check('collections.undone')}), '0', '... and another one captures');
sql(q{DROP TABLE collections.undone});
share('left');
my ($db) = dump_and_restore($node, 'plain');
is($node->safe_psql($db, q{SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^version_[0-9]+$'}), '0', 'a dump has no versions');
is($node->safe_psql($db, q{INSERT INTO collections.left (id, data) VALUES ('b', '[1,2,3]'); SELECT count(*) FROM collections.left}), '2', 'what was restored can be written');
sql(q{BEGIN; SELECT vecdb.leave('left'); ROLLBACK});
ok( wait_until(
		sub {
			error_of(q{INSERT INTO collections.left (data) VALUES ('[1,2,3]')}) =~ /this node is no member of its collection any more\nHINT:  vecdb\.leave\(\)/;
		}),
	'what was left in a transaction that is rolled back cannot be written any more');
sql(q{SELECT vecdb.leave('left')});
is(version_tables(), '0', 'leaving drops them');
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz_vecdb%'}), '0', '... and the triggers');
sql(q{ALTER TABLE collections.left ADD x int; DROP TABLE collections.left});

# A restart goes on with the clock, in a new life
share('again');
$table = sql(q{SELECT 'collections.again'::regclass::oid});
my ($clock) = sql("SELECT max(clock) FROM vecdb.version_$table");
ok(-e $node->data_dir . '/vecdb/' . sql(q{SELECT oid FROM pg_database WHERE datname = 'postgres'}) . '/row_clock', 'the clock is kept on disk');
$node->stop('immediate');
$node->start;
sql(q{INSERT INTO collections.again (id, data) VALUES ('b', '[1,2,3]')});
is(sql("SELECT count(DISTINCT incarnation), bool_and(clock > $clock OR key = 'a'::bytea) FROM vecdb.version_$table"), '2|t', 'after a crash writes are of a new life, and later');

# Without the library in the server nobody would give versions
$node->stop;
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->start;
like( error_of(q{INSERT INTO collections.again (id, data) VALUES ('c', '[1,2,3]')}),
	qr/this server does not preload vecdb\nHINT:  Add vecdb to shared_preload_libraries/, 'a server that does not preload vecdb refuses writes');
is(sql('SELECT count(*) FROM collections.again'), '2', '... and reads');

my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|was terminated by signal (?!9)/, 'nothing has crashed');
$node->stop;
done_testing();
