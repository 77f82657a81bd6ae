# 040_leaks.pl
#	  Nothing that one request does to the session is there for the next.
#
# One executor, so that the next request finds the same session; a request runs
# SQL through the trigger of the collection "lab".
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbHttp;

my $node = http_node('leaks', "vecdb.http_executors = 1\n", lab => 1);
$node->safe_psql('postgres', q{
	CREATE SEQUENCE public.numbers;
	GRANT ALL ON SEQUENCE public.numbers TO vecdb_anon;
	GRANT CREATE ON SCHEMA public TO vecdb_anon;
	CREATE ROLE other NOLOGIN;
	GRANT other TO vecdb_http;
	CREATE TABLE public.who (who text);
	GRANT ALL ON public.who TO vecdb_anon;
});

my ($executor) = executors($node);
my $c = VecdbHttp::Client->new($node->{http});
my $fail = q{DO $$ BEGIN RAISE EXCEPTION 'on purpose'; END $$};

# What a request does, and a question whose answer must be as in a fresh session.
# Each is done thrice: with success, with failure after it, and on the next
# connection.
my @leaks = (
	[ 'a setting', q{SELECT set_config('work_mem', '77MB', false)}, q{SELECT current_setting('work_mem')} ],
	[ 'SET', q{SET work_mem = '77MB'}, q{SELECT current_setting('work_mem')} ],
	[ 'SET search_path', q{SET search_path = pg_temp, collections}, q{SELECT current_setting('search_path')} ],
	[ 'SET TimeZone', q{SET TimeZone = 'Asia/Tokyo'}, q{SELECT current_setting('TimeZone')} ],
	[ 'SET DateStyle', q{SET DateStyle = 'German'}, q{SELECT current_setting('DateStyle')} ],
	[ 'SET extra_float_digits', q{SET extra_float_digits = -5}, q{SELECT 1.0::float8 / 3} ],
	[ 'SET statement_timeout', q{SET statement_timeout = '1ms'}, q{SELECT current_setting('statement_timeout')} ],
	[ 'SET default_transaction_read_only', q{SET default_transaction_read_only = on}, q{SELECT current_setting('transaction_read_only')} ],
	[ 'SET default_transaction_isolation', q{SET default_transaction_isolation = 'serializable'}, q{SELECT current_setting('transaction_isolation')} ],
	[ 'SET row_security', q{SET row_security = off}, q{SELECT current_setting('row_security')} ],
	[ 'SET hnsw.ef_search', q{SET hnsw.ef_search = 777}, q{SELECT current_setting('hnsw.ef_search', true)} ],
	[ 'a setting of the client\'s own', q{SELECT set_config('my.secret', 'x', false)}, q{SELECT coalesce(current_setting('my.secret', true), '')} ],
	[ 'request.headers', q{SELECT set_config('request.headers', '{"x":"forged"}', false)}, q{SELECT current_setting('request.headers')::json->>'x'} ],
	[ 'request.jwt.claims', q{SELECT set_config('request.jwt.claims', '{"role":"other"}', false)}, q{SELECT coalesce(current_setting('request.jwt.claims', true), '')} ],
	[ 'a temporary table', q{CREATE TEMP TABLE left_over AS SELECT 1 AS x}, q{SELECT to_regclass('pg_temp.left_over')} ],
	[ 'a temporary table in the way of another', q{CREATE TEMP TABLE pg_class AS SELECT 1 AS x}, q{SELECT count(*) > 100 FROM pg_class} ],
	[ 'a temporary table to be kept', q{CREATE TEMP TABLE kept (x int) ON COMMIT PRESERVE ROWS; INSERT INTO kept VALUES (1)}, q{SELECT to_regclass('pg_temp.kept')} ],
	[ 'a temporary function', q{CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'}, q{SELECT to_regprocedure('pg_temp.f()')} ],
	[ 'a temporary view', q{CREATE TEMP VIEW v AS SELECT 1}, q{SELECT to_regclass('pg_temp.v')} ],
	[ 'an advisory lock', q{SELECT pg_advisory_lock(42)}, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()} ],
	[ 'an advisory lock, shared, twice', q{SELECT pg_advisory_lock_shared(42), pg_advisory_lock_shared(42)}, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()} ],
	[ 'a prepared statement', q{PREPARE p AS SELECT 1}, q{SELECT count(*) FROM pg_prepared_statements} ],
	[ 'a cursor', q{DO $$ DECLARE c refcursor := 'mine'; BEGIN OPEN c FOR SELECT 1; END $$}, q{SELECT count(*) FROM pg_cursors WHERE name = 'mine'} ],
	[ 'a sequence\'s value', q{SELECT nextval('public.numbers')}, q{SELECT lastval()} ],
	[ 'the value of another sequence', q{SELECT nextval('public.numbers')}, q{SELECT currval('public.numbers')} ],
	[ 'a deferred trigger', q{SET CONSTRAINTS ALL DEFERRED}, q{SELECT count(*) FROM pg_cursors} ],
	[ 'a failed savepoint', q{DO $$ BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN PERFORM pg_advisory_lock(43); END $$}, q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()} ]);

for my $leak (@leaks)
{
	my ($name, $do, $question) = @$leak;
	my $fresh = lab_ask($node, $question, $c);
	my $done = lab_run($node, $do, $c);

	is($done->{status}, 201, "$name: is done") or diag($done->{body});
	is(lab_ask($node, $question, $c), $fresh, "$name: is not there for the next request");
	is(lab_run($node, "$do; $fail", $c)->{status}, 400, "$name: is done, and the request fails");
	is(lab_ask($node, $question, $c), $fresh, "$name: is not there then either");
	my ($free) = split /\|/, $node->safe_psql('postgres', 'SELECT pg_try_advisory_xact_lock(42) AND pg_try_advisory_xact_lock(43)');
	is($free, 't', "$name: leaves no lock");
	is((call($node, 'GET', '/stats') // {})->{status}, 200, "$name: another client does not notice");
}

{
	my %seen = map { lab_run($node, 'SELECT setseed(0.5)', $c); lab_ask($node, 'SELECT random()', $c) => 1 } 1 .. 4;

	is(keys %seen, 4, 'setseed() of a request does not tell what random() gives the next one');
}

# --- the way back to another role
for my $escape ('RESET ROLE', 'SET ROLE NONE', 'SET ROLE other', 'SET ROLE postgres', 'SET LOCAL ROLE other', 'SET SESSION AUTHORIZATION postgres',
	'SET SESSION AUTHORIZATION DEFAULT', 'RESET SESSION AUTHORIZATION', q{SELECT set_config('role', 'other', false)}, q{SELECT set_config('role', 'none', true)},
	q{SELECT set_config('session_authorization', 'vecdb_http', false)}, 'RESET ALL', 'DISCARD ALL')
{
	my $answer = lab_run($node, "$escape; INSERT INTO public.who SELECT current_user", $c);
	my $became = $node->safe_psql('postgres', q{SELECT string_agg(DISTINCT who, ' ') FROM public.who});
	ok($became eq '' || $became eq 'vecdb_anon', "$escape: the request stays the role it is")
	  or diag("became $became");
	cmp_ok($answer->{status}, '>=', 400, "$escape: is an error") unless $escape eq 'RESET ALL';
	is(lab_ask($node, 'SELECT current_user', $c), 'vecdb_anon', "$escape: so does the next");
	$node->safe_psql('postgres', 'TRUNCATE public.who');
}
is_error(lab_run($node, 'LISTEN channel', $c), 400, qr/LISTEN/, 'LISTEN is refused', '0A000');
is(lab_ask($node, 'SELECT session_user', $c), 'vecdb_http', 'the session is that of vecdb.http_role');

# What is left for the end of the transaction runs as the role, too
is(lab_run($node, q{
	CREATE TABLE public.deferred (x int);
	CREATE FUNCTION public.note_who() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO public.who SELECT current_user; RETURN NULL; END $f$;
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.note_who();
}, $c)->{status}, 201, 'a deferred trigger of the role\'s own');
is(lab_run($node, q{INSERT INTO public.deferred VALUES (1)}, $c)->{status}, 201, 'which a request fires');
is($node->safe_psql('postgres', 'SELECT who FROM public.who'), 'vecdb_anon', 'runs as the role');
is_error(lab_run($node, q{CREATE FUNCTION public.escape() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN RESET ROLE; RETURN NULL; END $f$;
	CREATE TABLE public.deferred2 (x int);
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.deferred2 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.escape();
	INSERT INTO public.deferred2 VALUES (1)}, $c), 401, qr/role/, 'and cannot leave it either', '42501');

# --- the end of the transaction
# Deferred triggers, each of which defers the next again: one INSERT INTO public.end1
# leads to the SQL in public.last three triggers later, as late as can be.
$node->safe_psql('postgres', q{
	CREATE TABLE public.last (sql text); GRANT ALL ON public.last TO PUBLIC;
	CREATE TABLE public.seen (who text, at text); GRANT ALL ON public.seen TO PUBLIC;
	GRANT other TO vecdb_anon WITH ADMIN OPTION;
	CREATE FUNCTION public.see(place text) RETURNS int LANGUAGE plpgsql VOLATILE AS $f$ BEGIN
		INSERT INTO public.seen VALUES (current_user, place); RETURN 1; END $f$;
	CREATE FUNCTION public.run_last() RETURNS int LANGUAGE plpgsql AS $f$ DECLARE sql text; BEGIN
		SELECT l.sql INTO sql FROM public.last l LIMIT 1; PERFORM public.see('last'); EXECUTE sql; PERFORM public.see('after'); RETURN 1; END $f$;
	CREATE FUNCTION public.defer_on() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
		PERFORM public.see(TG_TABLE_NAME);
		SET CONSTRAINTS ALL DEFERRED;
		IF TG_TABLE_NAME = 'end3' THEN PERFORM public.run_last();
		ELSE EXECUTE pg_catalog.format('INSERT INTO public.%I VALUES (1)', TG_ARGV[0]); END IF;
		RETURN NULL; END $f$;
	CREATE TABLE public.end1 (x int); CREATE TABLE public.end2 (x int); CREATE TABLE public.end3 (x int);
	GRANT ALL ON public.end1, public.end2, public.end3 TO PUBLIC;
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.end1 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.defer_on('end2');
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.end2 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.defer_on('end3');
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.end3 DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.defer_on();
});

# Each is done in the last of the triggers, and in a cursor WITH HOLD that this
# trigger opens, whose query a commit would execute.
sub at_the_end
{
	my ($how, $sql) = @_;

	$node->safe_psql('postgres', 'TRUNCATE public.last; TRUNCATE public.seen');
	$node->safe_psql('postgres', 'INSERT INTO public.last VALUES ($sql$' . $sql . '$sql$)');
	return lab_run($node, $how eq 'trigger' ? 'INSERT INTO public.end1 VALUES (1)' : 'DECLARE late CURSOR WITH HOLD FOR SELECT public.run_last()', $c);
}

# No SQL of the request has run as anybody else, and the session is as new.
sub stays
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', q{SELECT coalesce(string_agg(DISTINCT who, ' '), '') FROM public.seen WHERE who <> 'vecdb_anon'}), '', "$name: runs as the role");
	is(lab_ask($node, q{SELECT concat_ws(' ', current_user, session_user, current_setting('role'), current_setting('is_superuser'))}, $c), 'vecdb_anon vecdb_http vecdb_anon off', "$name: so does the next request");
	is(lab_ask($node, q{SELECT concat_ws(' ', (SELECT count(*) FROM pg_cursors WHERE name = 'late'), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
		(SELECT count(*) FROM pg_prepared_statements), coalesce(to_regclass('pg_temp.late')::text, 'none'), current_setting('work_mem'))}, $c), '0 0 0 none 4MB', "$name: nothing is left");
	is_deeply([ executors($node) ], [$executor], "$name: in the same process");
	return;
}

for my $escape ('RESET ROLE', 'SET ROLE NONE', 'SET ROLE other', 'SET LOCAL ROLE other', 'SET SESSION AUTHORIZATION DEFAULT', 'RESET SESSION AUTHORIZATION',
	q{SELECT set_config('role', 'other', false)}, q{SELECT set_config('session_authorization', 'vecdb_http', true)}, 'ALTER ROLE vecdb_http SET work_mem = 64',
	q{DO $do$ BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN RESET ROLE; END $do$},
	q{CREATE FUNCTION public.as_other() RETURNS int LANGUAGE sql SET role = other AS 'SELECT public.see(''as other'')'; SELECT public.as_other()})
{
	my $answer = at_the_end(trigger => $escape);
	my $seen = $node->safe_psql('postgres', q{SELECT string_agg(at, ' ') FROM public.seen});

	cmp_ok($answer->{status}, '>=', 400, "$escape at the end: is an error") or diag("seen: $seen");
	stays("$escape at the end");
	at_the_end(cursor => $escape);
	stays("$escape in a cursor WITH HOLD");
}
for my $do (q{CREATE TEMP TABLE late (x int)}, q{CREATE TEMP TABLE late (x int) ON COMMIT DROP},
	q{CREATE OR REPLACE FUNCTION public.seen_const() RETURNS int LANGUAGE plpgsql IMMUTABLE AS $f$ BEGIN PERFORM public.see('index'); RETURN 1; END $f$; CREATE TEMP TABLE late (x int) ON COMMIT DELETE ROWS; INSERT INTO late VALUES (1); CREATE INDEX ON late ((x + public.seen_const()))},
	q{SELECT pg_advisory_lock(7)}, q{PREPARE late AS SELECT 1}, q{SET work_mem = '77MB'}, q{NOTIFY late}, q{SELECT pg_notify('late', 'x')}, q{SET CONSTRAINTS ALL DEFERRED},
	q{DECLARE late CURSOR WITH HOLD FOR SELECT public.see('held')}, q{DECLARE late CURSOR FOR SELECT public.see('not held')},
	q{DO $do$ DECLARE c refcursor := 'late'; BEGIN OPEN c FOR SELECT public.see('open'); END $do$},
	q{DO $do$ BEGIN PERFORM pg_advisory_lock(8); PREPARE late AS SELECT 1; PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN PERFORM set_config('work_mem', '77MB', false); END $do$})
{
	my $answer = at_the_end(trigger => $do);
	is($answer->{status}, 201, "$do at the end: is done") or diag($answer->{body});
	is($node->safe_psql('postgres', q{SELECT string_agg(at, ' ') FROM public.seen WHERE at ~ '^(end|last|after)'}), 'end1 end2 end3 last after', "$do at the end: after three triggers that defer the next");
	stays("$do at the end");
	$answer = at_the_end(trigger => "$do; $fail");
	is_error($answer, 400, qr/on purpose/, "$do at the end: is done, and the commit fails");
	stays("$do at the end of what fails");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_db_role_setting}), '0', 'no role has got a setting');

# LISTEN is nothing for the end, either; and a commit that is refused leaves no trace.
is_error(at_the_end(trigger => 'LISTEN late'), 400, qr/LISTEN/, 'LISTEN at the end is refused');
stays('LISTEN at the end');

# Event triggers are a superuser's, and run as whoever runs the command
$node->safe_psql('postgres', q{
	CREATE FUNCTION public.on_event() RETURNS event_trigger LANGUAGE plpgsql AS $f$ BEGIN PERFORM public.see(TG_EVENT); BEGIN RESET ROLE; EXCEPTION WHEN OTHERS THEN NULL; END; PERFORM public.see(TG_EVENT); END $f$;
	CREATE EVENT TRIGGER command_start ON ddl_command_start EXECUTE FUNCTION public.on_event();
	CREATE EVENT TRIGGER command_end ON ddl_command_end EXECUTE FUNCTION public.on_event();
	CREATE EVENT TRIGGER dropped ON sql_drop EXECUTE FUNCTION public.on_event();
});
is(at_the_end(trigger => 'CREATE TABLE public.evented (x int); DROP TABLE public.evented; CREATE TEMP TABLE late (x int) ON COMMIT DROP')->{status}, 201, 'event triggers fire at the end');
like($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT at, ' ' ORDER BY at) FROM public.seen}), qr/ddl_command_end ddl_command_start .*sql_drop/, 'all of them');
stays('event triggers');
$node->safe_psql('postgres', 'DROP EVENT TRIGGER command_start; DROP EVENT TRIGGER command_end; DROP EVENT TRIGGER dropped');

# What never ends is ended by the time that statements have
$node->safe_psql('postgres', q{ALTER ROLE vecdb_anon SET statement_timeout = '500ms'; CREATE TABLE public.again (x int); GRANT ALL ON public.again TO vecdb_anon;
	CREATE FUNCTION public.once_more() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN SET CONSTRAINTS ALL DEFERRED; INSERT INTO public.again VALUES (1); RETURN NULL; END $f$;
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.again DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.once_more()});
is_error(lab_run($node, 'INSERT INTO public.again VALUES (1)', $c), 500, qr/statement timeout/, 'a trigger that defers itself for ever', '57014');
$node->safe_psql('postgres', 'ALTER ROLE vecdb_anon RESET statement_timeout');
stays('a trigger that defers itself for ever');

# What a role may change of itself would hold for all requests after this one
for my $sql ('ALTER ROLE vecdb_anon SET statement_timeout = 0', 'ALTER USER CURRENT_USER SET search_path = x', 'ALTER ROLE vecdb_anon IN DATABASE postgres SET lock_timeout = 0',
	'ALTER ROLE vecdb_anon RESET ALL', q{ALTER ROLE vecdb_anon PASSWORD 'x'}, q{DO 'BEGIN ALTER ROLE CURRENT_USER SET work_mem = 64; END'})
{
	is_error(lab_run($node, $sql, $c), 401, qr/^an HTTP request must not alter roles$/, $sql, '42501');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_db_role_setting WHERE setrole = 'vecdb_anon'::regrole}), 0, 'the role has the settings that it had');

# Who waits for a lock of somebody's waits no longer than the role does
{
	my $locked = hold_sql($node, 'BEGIN; LOCK TABLE collections.lab IN ACCESS EXCLUSIVE MODE');
	$node->safe_psql('postgres', q{ALTER ROLE vecdb_anon SET lock_timeout = '100ms'});
	is_error(lab_run($node, 'SELECT 1', $c), 500, qr/lock timeout/, 'a collection that somebody has locked', '55P03');
	is_error($c->request('GET', '/vectors/run?collection=lab'), 500, qr/lock timeout/, 'reading it, too', '55P03');
	$node->safe_psql('postgres', 'ALTER ROLE vecdb_anon RESET lock_timeout');
	release_lock($locked, 'ROLLBACK');
	stays('a lock that was not had');
}

# --- what a request knows of itself
same_json($c->request('POST', '/vectors', { vectors => [ { id => 'q', collection => 'lab', data => [ 1, 2, 3 ],
				metadata => { ask => q{SELECT concat_ws(' ', current_setting('request.method'), current_setting('request.path'), current_setting('request.headers')::json->>'x-mine',
					coalesce(current_setting('request.headers')::json->>'authorization', 'none'))} } } ] },
		'X-Mine' => 'a "quoted" one', Authorization => 'Bearer secret'), 201, { ids => ['q'] }, 'a request that asks for its own');
is_deeply(decode_raw($c->request('GET', '/vectors/q'))->{metadata}, { answer => 'POST /vectors a "quoted" one none' }, 'method, path and headers, but no token');
is(lab_ask($node, q{SELECT coalesce(current_setting('request.headers')::json->>'x-mine', 'none')}, $c), 'none', 'headers do not go over to the next');

# --- bodies
$c->request('POST', '/vectors', '{"vectors":[{"id":"cut","collection":"lab","data":[1,2,3],"metadata":{"run":"SELECT 1"');
same_json($c->request('POST', '/search', { vector => [ 1, 1, 1 ], k => 1, collection => 'lab', filter => { none => 1 } }), 200, { results => [] }, 'a body does not go on in the next');
is_deeply([ executors($node) ], [$executor], 'all of it was one session');

$node->stop;
done_testing();
