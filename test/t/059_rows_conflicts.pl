# What has lost a conflict, and what a table has refused, as the owner of the table sees it:
# puts it back, keeps what is there, has it tried again, does without it.  Nobody else sees
# any of it, and nothing of a user's runs with more rights than who looks.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my $columns = q{
	CREATE ROLE ann; CREATE ROLE ben IN ROLE ann; CREATE ROLE mallory;
	CREATE SCHEMA app; GRANT USAGE, CREATE ON SCHEMA app TO ann; GRANT USAGE ON SCHEMA app TO mallory;
	SET ROLE ann;
	CREATE TYPE app.mood AS ENUM ('sad', 'glad');
	CREATE TABLE app.things ("the ""key" text, part integer, body text, raw json, blob bytea, j jsonb, mood app.mood, moods app.mood[],
		grid integer[][], n numeric, at timestamptz, v vector(3), h halfvec(2), s sparsevec(5), length integer GENERATED ALWAYS AS (length(body)) STORED,
		PRIMARY KEY (part, "the ""key"));
	CREATE TABLE app.marks (id bigint PRIMARY KEY);
	CREATE TABLE app.counted (id integer PRIMARY KEY, no integer GENERATED ALWAYS AS IDENTITY, text text)};

# A row with all that is hard to show
sub row
{
	my ($part, $body) = @_;

	return qq{('a"b', $part, $body, '{"a":  "\\u0000"}', '\\x00ff00', '{"é": [1, null]}', 'glad', '{sad,NULL,glad}', '{{1,2},{3,4}}', 'NaN',
		'2026-11-30 10:00+00', '[1,2,3]', '[0.5,1]', '{1:1,5:2}/5')};
}
my $into = q{app.things ("the ""key", part, body, raw, blob, j, mood, moods, grid, n, at, v, h, s)};

sub as
{
	my ($role, $node, $query) = @_;

	return sql($node, "SET ROLE $role; $query");
}

sub fails
{
	my ($role, $node, $query) = @_;

	return error_of($node, "SET ROLE $role; $query");
}

# What all nodes have in the end
sub same_rows
{
	my ($table, $what, @nodes) = @_;
	my @rows;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(
			sub {
				@rows = map { sql($_, "SELECT count(*), md5(coalesce(string_agg(md5(t::text), '' ORDER BY md5(t::text)), '')) FROM $table t") } @nodes;
				return !grep { $_ ne $rows[0] } @rows;
			}),
		$what) or diag(join "\n", @rows);
}

sub md5_of
{
	my ($node, $part) = @_;

	return sql($node, "SELECT md5(t::text) FROM app.things t WHERE part = $part");
}

my @all = (new_peer('a', conf => 'vecdb.anti_entropy_interval = 2s'));
push @all, new_peer($_, bootstrap => [ $all[0] ], conf => 'vecdb.anti_entropy_interval = 2s') for qw(b c);
my ($a, $b, $c) = @all;
ok(wait_until(sub { !grep { !running($_) } @all }), 'three nodes run');
sql($_, $columns) for @all;
for my $table (qw(things marks counted))
{
	sql($a, "SELECT vecdb.replicate('app.$table')");
	sql($_, "SELECT vecdb.replicate('app.$table', '${\sql($a, qq{SELECT vecdb.invite('app.$table', 'admin')})}')") for $b, $c;
}
as('ann', $a, "INSERT INTO $into VALUES " . join(', ', map { row($_, "'first'") } 1 .. 9));
as('ann', $a, 'INSERT INTO app.marks SELECT generate_series(1, 3)');
as('ann', $a, q{INSERT INTO app.counted (id, text) VALUES (1, 'first')});
same_rows('app.things', 'rows are everywhere', @all);
same_rows("app.$_", "... of app.$_, too", @all) for qw(marks counted);

# a writes, and has not committed yet, when b writes later and commits: b's wins on all.
sub cross
{
	my ($write_a, $write_b) = @_;
	my $session = $a->background_psql('postgres', on_error_stop => 1);
	my $before = sql($a, 'SELECT count(*) FROM vecdb.conflict');

	$session->query_safe("SET ROLE ann; BEGIN; $write_a");
	as('ann', $b, $write_b);
	ok(wait_until(sub { sql($a, 'SELECT count(*) FROM vecdb.quarantine') ne '0' }), 'what b has written waits for the transaction on a');
	$session->query_safe('COMMIT');
	$session->quit;
	ok(wait_until(sub { sql($a, 'SELECT count(*) FROM vecdb.conflict') > $before && sql($a, 'SELECT count(*) FROM vecdb.quarantine') eq '0' }), '... and what a has written loses');
	return sql($a, 'SELECT max(id) FROM vecdb.conflict');
}

# ---- two updates ----

my $big = q{repeat('ä"\\', 262144) || 'end'};
my $id = cross("UPDATE app.things SET body = $big, blob = decode(repeat('00', 1048576), 'hex'), v = '[7,8,9]' WHERE part = 1",
	q{UPDATE app.things SET body = 'of b' WHERE part = 1});
same_rows('app.things', 'the other is everywhere', @all);
is(sql($a, 'SELECT body FROM app.things WHERE part = 1'), 'of b', '... that of b');
is(as('ann', $a, qq{SELECT name, key, deleted, lost ->> 'body' = $big, length(lost ->> 'blob'), lost ->> 'v', lost - 'body' - 'blob' - 'v' = current - 'body' - 'blob' - 'v',
		current ->> 'body', lost ? 'length' FROM vecdb.conflict}),
	q(app.things|{"part": 1, "the \"key": "a\"b"}|f|t|2097154|[7,8,9]|t|of b|f), 'the owner sees what has lost and what is there');
is(as('ann', $a, q{SELECT current FROM vecdb.conflict}),
	q({"h": "[0.5,1]", "j": {"é": [1, null]}, "n": "NaN", "s": "{1:1,5:2}/5", "v": "[1,2,3]", "at": "2026-11-30T10:00:00+00:00", "raw": "{\"a\":  \"\\\\u0000\"}", "blob": "\\\\x00ff00", "body": "of b", "grid": [[1, 2], [3, 4]], "mood": "glad", "part": 1, "moods": ["sad", null, "glad"], "the \"key": "a\"b"}),
	'... each column as jsonb, json that jsonb cannot hold as a string');
is(as('ann', $a, 'SELECT writer FROM vecdb.conflict'), sql($a, 'SELECT vecdb.node_id()'), '... and who wrote it');
is(as('ben', $a, 'SELECT count(*) FROM vecdb.conflict'), '1', 'so does a member of the role that owns the table');
is(as('mallory', $a, 'SELECT count(*) FROM vecdb.conflict'), '0', 'nobody else does');
is(as('mallory', $a, qq{SELECT vecdb.conflict_content('app.things'::regclass, $id) IS NULL AND vecdb.current_row('app.things'::regclass, 'x') IS NULL AND vecdb.key_json('app.things'::regclass, 'x') IS NULL}),
	't', '... by any of the functions behind the view');
sql($a, 'GRANT SELECT, UPDATE, INSERT, DELETE ON app.things TO mallory');
like(fails('mallory', $a, "SELECT vecdb.resolve($id)"), qr/there is no conflict $id of a table of yours/, 'nor resolves it, whatever she may write');
like(fails('mallory', $a, 'TABLE vecdb.row_conflict'), qr/permission denied/, 'nobody reads the table behind it');
is(sql($a, q{SELECT conflicts FROM vecdb.stat_collections WHERE name = 'app.things'::regclass}), '1', 'the counter of the collection says one');

like(fails('ann', $a, "SELECT vecdb.resolve($id, 'mine')"), qr/cannot keep "mine"\nHINT/, 'what to keep is one of two');
like(fails('ann', $a, 'SELECT vecdb.resolve(7)'), qr/there is no conflict 7 of a table of yours\nHINT/, 'a conflict has to be there');
like(fails('ann', $a, "SET default_transaction_read_only = on; SELECT vecdb.resolve($id)"), qr/read-only transaction/, 'nothing is resolved by who only reads');
as('ann', $a, 'REVOKE UPDATE ON app.things FROM ann');
like(fails('ann', $a, "SELECT vecdb.resolve($id)"), qr/permission denied for table things/, 'who may not write does not put it back');
as('ann', $a, 'GRANT UPDATE ON app.things TO ann; ALTER TABLE app.things ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY others ON app.things USING (part > 1)');
like(fails('ann', $a, "SELECT vecdb.resolve($id)"), qr/the row of table "things" was not written\nDETAIL:  A policy/, 'nor where a policy hides the row');
as('ann', $a, 'DROP POLICY others ON app.things; CREATE POLICY others ON app.things USING (true) WITH CHECK (length(body) < 10)');
like(fails('ann', $a, "SELECT vecdb.resolve($id)"), qr/violates row-level security policy/, '... or does not allow it');
as('ann', $a, 'DROP POLICY others ON app.things; ALTER TABLE app.things DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY');
is(as('ann', $a, 'SELECT count(*) FROM vecdb.conflict'), '1', 'and it is still there');
is(as('ann', $a, "BEGIN; SELECT vecdb.resolve($id); ROLLBACK; SELECT count(*) FROM vecdb.conflict"), "updated\n1", '... after a rollback, too');

# ---- whatever is in the path ----

sql($a, q{CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO ann; CREATE TABLE evil.ran (what text, who text); GRANT ALL ON evil.ran TO PUBLIC; GRANT USAGE ON SCHEMA evil TO PUBLIC});
as('ann', $a, q{
	CREATE FUNCTION evil.log(text) RETURNS void LANGUAGE sql AS $$INSERT INTO evil.ran VALUES ($1, current_user)$$;
	CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.log('text ='); RETURN true; END$$;
	CREATE FUNCTION evil.equal(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.log('int ='); RETURN true; END$$;
	CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = text, RIGHTARG = text);
	CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = integer, RIGHTARG = integer);
	CREATE FUNCTION evil.to_jsonb(anyelement) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN PERFORM evil.log('to_jsonb'); RETURN '1'; END$$;
	CREATE FUNCTION evil.key_json(oid, bytea) RETURNS jsonb LANGUAGE plpgsql AS $$BEGIN PERFORM evil.log('key_json'); RETURN '1'; END$$;
	CREATE DOMAIN evil.text AS integer; CREATE DOMAIN evil.jsonb AS integer; CREATE TABLE evil.things (part integer);
	CREATE FUNCTION evil.mood_json(app.mood) RETURNS json LANGUAGE plpgsql AS $$BEGIN PERFORM evil.log('cast'); RETURN '1'; END$$;
	CREATE CAST (app.mood AS json) WITH FUNCTION evil.mood_json(app.mood)});
is(sql($a, qq{SET search_path = evil, app, pg_catalog; BEGIN; SELECT count(lost) + count(current) + count(key) FROM vecdb.conflict; SELECT vecdb.resolve($id); ROLLBACK; TABLE evil.ran}),
	"3\nupdated", 'with functions, operators, types and casts of others in front of those that are meant, a superuser runs none of them');

# ---- put back ----

my $lost = sql($a, "SELECT md5(lost::text) FROM vecdb.conflict");
is(as('ann', $a, "SELECT vecdb.resolve($id)"), 'updated', 'the owner puts back what has lost');
is(sql($a, q{SELECT count(*) FROM vecdb.conflict}), '0', '... and the conflict is gone');
same_rows('app.things', 'it is the newest write everywhere', @all);
is(sql($c, "SELECT body = $big AND blob = decode(repeat('00', 1048576), 'hex') AND v = '[7,8,9]' FROM app.things WHERE part = 1"), 't', '... whole');
is(sql($b, 'SELECT count(*) FROM vecdb.conflict WHERE lost = current'), '1', 'another node that has met it shows that it is there now');
is(sql($b, q{SELECT vecdb.resolve(id, 'current') FROM vecdb.conflict WHERE lost = current}), 'unchanged', '... and its owner takes it off the list');
sql($c, q{SELECT vecdb.resolve(id, 'current') FROM vecdb.conflict});
is(sql($_, 'SELECT count(*) FROM vecdb.conflict'), '0', $_->name . ' has none any more') for @all;

# ---- an update and a delete ----

$id = cross(q{UPDATE app.things SET body = 'kept' WHERE part = 2}, 'DELETE FROM app.things WHERE part = 2');
is(as('ann', $a, "SELECT lost ->> 'body', current IS NULL, deleted FROM vecdb.conflict WHERE id = $id"), 'kept|t|f', 'an update that has lost to a delete');
is(as('ann', $a, "SELECT vecdb.resolve($id)"), 'inserted', '... is put back');
same_rows('app.things', '... everywhere', @all);
is(sql($c, 'SELECT body FROM app.things WHERE part = 2'), 'kept', '... as it was');
$id = cross('DELETE FROM app.things WHERE part = 3', q{UPDATE app.things SET body = 'written' WHERE part = 3});
is(as('ann', $a, "SELECT lost IS NULL, current ->> 'body', deleted FROM vecdb.conflict WHERE id = $id"), 't|written|t', 'a delete that has lost to an update');
is(as('ann', $a, "SELECT vecdb.resolve($id)"), 'deleted', '... is done again');
ok(wait_until(sub { !grep { sql($_, 'SELECT count(*) FROM app.things WHERE part = 3') ne '0' } @all }), '... everywhere');
$id = cross('DELETE FROM app.marks WHERE id = 1', q{DELETE FROM app.marks WHERE id = 1; INSERT INTO app.marks VALUES (1)});
is(as('ann', $a, "SELECT vecdb.resolve($id, 'current')"), 'unchanged', 'or is not, and what is there stays');
is(sql($a, "SELECT count(*) FROM vecdb.conflict WHERE id = $id"), '0', '... and it is on the list no more');
$id = cross(q{UPDATE app.counted SET text = 'of a' WHERE id = 1}, q{UPDATE app.counted SET text = 'of b' WHERE id = 1});
is(as('ann', $a, "SELECT vecdb.resolve($id)"), 'updated', 'a row with an identity column is put back');
same_rows("app.$_", "... and app.$_ is everywhere the same", @all) for qw(counted marks);
is(sql($c, 'SELECT * FROM app.counted'), '1|1|of a', '... with its number');

# ---- no more than so many, and sessions that sleep ----

as('ann', $a, 'INSERT INTO app.marks SELECT generate_series(100, 10199)');
same_rows('app.marks', 'many rows', @all);
$id = cross('DELETE FROM app.marks WHERE id = 2', 'DELETE FROM app.marks WHERE id = 2; INSERT INTO app.marks VALUES (2)');
my $sleeps = $a->background_psql('postgres', on_error_stop => 1);
$sleeps->query_safe("BEGIN; SELECT vecdb.resolve($id, 'current')");
cross('DELETE FROM app.marks WHERE id >= 100', 'DELETE FROM app.marks WHERE id >= 100; INSERT INTO app.marks SELECT generate_series(100, 10199)');
same_rows('app.marks', 'of which as many conflicts come', @all);
ok(wait_until(sub { sql($a, q{SELECT conflicts FROM vecdb.stat_collections WHERE name = 'app.marks'::regclass}) eq '10000' }), '10,000 are kept');
is(sql($a, qq{SELECT min(id) = $id FROM vecdb.conflict WHERE name = 'app.marks'::regclass}), 't', '... one of them that a session is at, which holds up none');
$sleeps->query_safe('COMMIT');
$sleeps->quit;
cmp_ok(sql($a, qq{SELECT min((key ->> 'id')::integer) FROM vecdb.conflict WHERE name = 'app.marks'::regclass}), '>=', 100, 'the oldest have gone');

# ---- quarantine ----

sub quarantine
{
	my ($node, $what) = @_;

	return as('ann', $node, "SELECT coalesce(string_agg(concat_ws(' ', key ->> 'part', $what), ', ' ORDER BY key), '') FROM vecdb.quarantine WHERE name = 'app.things'::regclass");
}

sub counters
{
	my ($node) = @_;

	return sql($node, q{SELECT quarantined, parked FROM vecdb.stat_collections WHERE name = 'app.things'::regclass});
}

as('ann', $b, q{ALTER TABLE app.things ADD CONSTRAINT few CHECK (body NOT LIKE 'bad%')});
as('ann', $a, "INSERT INTO $into VALUES " . join(', ', row(20, $big =~ s/^/'bad' || /r), map { row($_, "'bad'") } 21, 22));
ok(wait_until(sub { quarantine($b, 'state') eq '20 quarantined, 21 quarantined, 22 quarantined' }), 'rows that a table refuses are in quarantine');
is(as('ann', $b, q{SELECT reason, error, deleted, incoming ->> 'body', incoming ->> 'mood' FROM vecdb.quarantine WHERE key = '{"part": 21, "the \"key": "a\"b"}'}),
	'the table refuses it|new row for relation "things" violates check constraint "few"|f|bad|glad', 'why is said, and what they are');
is(as('ann', $b, qq{SELECT incoming ->> 'body' = 'bad' || $big FROM vecdb.quarantine WHERE key ->> 'part' = '20'}), 't', '... a large one, too');
is(as('ann', $b, 'SELECT DISTINCT writer FROM vecdb.quarantine'), sql($a, 'SELECT vecdb.node_id()'), '... and who wrote them');
is(counters($b), '3|0', 'the counter says how many');
is(as('mallory', $b, 'SELECT count(*) FROM vecdb.quarantine'), '0', 'nobody but the owner sees them');
like(fails('mallory', $b, q{SELECT vecdb.retry('app.things')}), qr/must be owner of table things/, '... or has them tried again');
like(fails('mallory', $b, q{SELECT vecdb.discard('app.things', '{"part": 21, "the \"key": "a\"b"}')}), qr/must be owner of table things/, '... or discards one');
my $key = sub { sprintf q('{"part": %d, "the \"key": "a\"b"}'), shift };
like(fails('ann', $b, "SELECT vecdb.retry('app.things', '$_')"), qr/this is no key of table "things"\nHINT/, "no key: $_") for
	'{}', '[]', '1', '"x"', '{"part": 1}', '{"part": 1, "the \"key": null}', '{"part": 1, "the \"key": []}', '{"part": 1, "the \"key": "a", "more": 1}', '"\\\\x"',
	'"\\\\x' . '00' x 1025 . '"';
like(fails('ann', $b, q{SELECT vecdb.retry('app.things', '{"part": 1.5, "the \"key": "a"}')}), qr/invalid input syntax for type integer: "1.5"/, 'a value of another type is none');
like(fails('ann', $b, "SELECT vecdb.discard('app.things', ${\$key->(1)})"), qr/no row of this key is held for table "things"\nHINT/, 'a row has to be held');
like(fails('ann', $b, "SELECT vecdb.discard('pg_class', '{}')"), qr/must be owner of table pg_class/, 'a table has to be the own one');
as('ann', $b, 'CREATE TABLE app.own (id integer PRIMARY KEY)');
like(fails('ann', $b, "SELECT vecdb.retry('app.own')"), qr/table "own" is not shared/, '... and shared');

as('ann', $b, "SELECT vecdb.discard('app.things', ${\$key->($_)})") for 21, 22;
is(quarantine($b, 'state'), '20 quarantined, 21 discarded, 22 discarded', 'two are discarded');
is(counters($b), '1|0', '... and not counted');
as('ann', $b, "SELECT vecdb.retry('app.things', ${\$key->(21)})");
as('ann', $b, 'ALTER TABLE app.things DROP CONSTRAINT few; SELECT vecdb.retry(\'app.things\')');
ok(wait_until(sub { quarantine($b, 'state') eq '21 discarded, 22 discarded' }, 10), 'what is retried goes into the table once it takes it, and what was discarded does not');
is(sql($b, 'SELECT count(*) FROM app.things WHERE part IN (21, 22)'), '0', '... so this node lacks it');

# What was discarded is as any other row to the others
my $compared = sql($b, q{SELECT sum(compared) FROM vecdb.stat_collections});
my $taken = sub { sql($b, q{SELECT rows_taken FROM vecdb.stat_collections WHERE name = 'app.things'::regclass}) };
ok(wait_until(sub { my $rows = $taken->(); sleep 8; $rows == $taken->() }), 'it is not sent again and again');
is(quarantine($b, 'state'), '21 discarded, 22 discarded', '... and does not come back');
cmp_ok(sql($b, q{SELECT sum(compared) FROM vecdb.stat_collections}) - $compared, '<', 6, '... or compared');
$_->stop for $a, $c;
my $d = new_peer('d', bootstrap => [$b], conf => 'vecdb.anti_entropy_interval = 2s');
ok(wait_until(sub { running($d) }), 'another node runs');
sql($d, $columns);
sql($d, "SELECT vecdb.replicate('app.things', '${\sql($b, q{SELECT vecdb.invite('app.things')})}')");
ok(wait_until(sub { sql($d, 'SELECT count(*) FROM app.things WHERE part IN (21, 22)') eq '2' }), '... and who copies from this node alone gets it');
$_->start for $a, $c;
ok(wait_until(sub { running($a) && running($c) }), 'the others are back');

as('ann', $b, "SELECT vecdb.retry('app.things', ${\$key->(21)})");
ok(wait_until(sub { sql($b, 'SELECT count(*) FROM app.things WHERE part = 21') eq '1' }), 'one that was discarded is retried by its key');
as('ann', $a, q{UPDATE app.things SET body = 'good' WHERE part = 22});
ok(wait_until(sub { sql($b, 'SELECT body FROM app.things WHERE part = 22') eq 'good' }), 'the other is there when it is written anew');
is(quarantine($b, 'state'), '', '... and none is held');
same_rows('app.things', 'all are equal', @all, $d);

# Written anew where it was discarded
as('ann', $b, q{ALTER TABLE app.things ADD CONSTRAINT few CHECK (body NOT LIKE 'worse%')});
as('ann', $a, "INSERT INTO $into VALUES " . row(30, "'worse'"));
ok(wait_until(sub { quarantine($b, 'state') eq '30 quarantined' }), 'another is refused');
as('ann', $b, "SELECT vecdb.discard('app.things', ${\$key->(30)})");
as('ann', $b, "INSERT INTO $into VALUES " . row(30, "'of b'"));
ok(wait_until(sub { quarantine($b, 'state') eq '' }), '... discarded, and gone when this node writes its key');
same_rows('app.things', '... which all have', @all, $d);
is(sql($c, 'SELECT body FROM app.things WHERE part = 30'), 'of b', '... as the newest');
is(sql($_, q{SELECT count(*) FROM vecdb.verify_versions('app.things')}), '0', $_->name . ': each row has its version') for @all;

# ---- parked ----

my $holds = $b->background_psql('postgres', on_error_stop => 1);
$holds->query_safe('BEGIN; SELECT 1 FROM app.things WHERE part = 5 FOR UPDATE');
as('ann', $a, q{UPDATE app.things SET body = 'waits' WHERE part = 5});
ok(wait_until(sub { quarantine($b, 'state, reason') eq '5 parked a transaction of this server holds what it replaces' }), 'a row that waits for a transaction is shown as parked');
is(counters($b), '0|1', '... and counted apart');
like(fails('ann', $b, "SELECT vecdb.discard('app.things', ${\$key->(5)})"), qr/the row is not in quarantine: it waits for a transaction that holds it\nHINT/, '... and not discarded');
$holds->query_safe('COMMIT');
$holds->quit;
ok(wait_until(sub { counters($b) eq '0|0' }), '... until that has ended');
same_rows('app.things', 'all are equal', @all, $d);

# ---- where it goes ----

cross(q{UPDATE app.things SET body = 'x' WHERE part = 6}, q{UPDATE app.things SET body = 'y' WHERE part = 6});
as('ann', $a, "INSERT INTO $into VALUES " . row(40, "'worse'"));
ok(wait_until(sub { quarantine($b, 'state') eq '40 quarantined' && sql($b, q{SELECT count(*) FROM vecdb.conflict WHERE name = 'app.things'::regclass}) ne '0' }), 'one of each');
command_ok([ 'pg_dump', '-f', $b->basedir . '/dump.sql', $b->connstr('postgres') ], 'a dump is made');
unlike(slurp_file($b->basedir . '/dump.sql'), qr/row_conflict|held_row|quarantine|vecdb\.conflict/, '... with none of it');
as('ann', $b, q{SELECT vecdb.leave('app.things')});
is(sql($b, q{SELECT count(*) FROM vecdb.held_row WHERE "table" = 'app.things'::regclass}) + sql($b, q{SELECT count(*) FROM vecdb.row_conflict WHERE "table" = 'app.things'::regclass}), 0, 'who leaves keeps none');
my $oid = sql($a, q{SELECT 'app.marks'::regclass::oid});
as('ann', $a, 'DROP TABLE app.marks');
is(sql($a, qq{SELECT count(*) FROM vecdb.row_conflict WHERE "table" = $oid}), '0', 'nor does who drops the table');

unlike(slurp_file($_->logfile), qr/leak|ERROR:  XX000/, $_->name . ': nothing is left open') for @all, $d;
nothing_crashed(@all, $d);
done_testing();
