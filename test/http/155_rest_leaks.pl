# 155_rest_leaks.pl
#	  Nothing that a request of /rest/v1 does to the session is there for the next one,
#	  of its own role or another: see 040_leaks.pl, which does so for the native API.
#
# One executor, so that the next request finds the same session.  A row of api.lab runs
# the SQL that it brings with it; vecdb.http_pre_request runs what a header brings.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256);
use FindBin;
use lib $FindBin::RealBin;
use MIME::Base64 qw(encode_base64url);
use Test::More;
use VecdbHttp;

my $secret = 'a secret of thirty-two bytes ...';
my $node = http_node('rest_leaks', "vecdb.http_executors = 1\nvecdb.http_schemas = 'api'\nvecdb.http_jwt_key = '$secret'\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE ROLE web NOLOGIN; CREATE ROLE other NOLOGIN;
	GRANT web, other TO vecdb_http;
	ALTER ROLE web SET work_mem = '5MB';
	CREATE SCHEMA api;
	CREATE TABLE api.lab (id serial PRIMARY KEY, run text, ask text, answer text);
	CREATE FUNCTION api.lab() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.run IS NOT NULL THEN
			EXECUTE NEW.run;
		END IF;
		IF NEW.ask IS NOT NULL THEN
			EXECUTE NEW.ask INTO NEW.answer;
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER lab BEFORE INSERT ON api.lab FOR EACH ROW EXECUTE FUNCTION api.lab();
	CREATE FUNCTION api.before() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF current_setting('request.headers')::json->>'x-before' IS NOT NULL THEN
			EXECUTE current_setting('request.headers')::json->>'x-before';
		END IF;
	END $$;
	CREATE FUNCTION api.cancel() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT pg_catalog.pg_cancel_backend(pg_catalog.pg_backend_pid())';
	CREATE SEQUENCE api.numbers;
	CREATE VIEW api.now AS SELECT '2026-01-01 12:00+00'::timestamptz AS now, current_user::text AS who,
		current_setting('request.jwt.claims', true)::json->>'sub' AS sub, current_setting('TimeZone') AS zone;
	GRANT USAGE ON SCHEMA api TO vecdb_anon, web, other;
	GRANT ALL ON ALL TABLES IN SCHEMA api TO vecdb_anon, web, other;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA api TO vecdb_anon, web, other;
SQL
my ($executor) = executors($node);
my $c = VecdbHttp::Client->new($node->{http});

sub sign
{
	my ($role) = @_;
	my $text = encode_base64url('{"alg":"HS256"}') . '.' . encode_base64url(encode({ role => $role, sub => "sub of $role" }));

	return 'Bearer ' . $text . '.' . encode_base64url(hmac_sha256($text, $secret));
}

sub ask
{
	my ($role, $method, $path, $body, %headers) = @_;

	$headers{Authorization} = sign($role) unless $role eq 'vecdb_anon';
	return $c->request($method, "/rest/v1/$path", $body, %headers);
}

sub run { my ($role, $sql, %headers) = @_; return ask($role, 'POST', 'lab', { run => $sql }, %headers) }

sub answer
{
	my ($role, $sql) = @_;
	my $answer = ask($role, 'POST', 'lab?select=answer', { ask => $sql }, Prefer => 'return=representation');

	return $answer->{status} == 201 ? decode_raw($answer)->[0]{answer} : "$answer->{status} " . (decode_raw($answer) // {})->{message};
}

my @roles = qw(vecdb_anon web other);
my $locks = q{SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()};
my $fail = q{DO $$ BEGIN RAISE EXCEPTION 'on purpose'; END $$};
# What a request does, and a question whose answer must be as in a fresh session.
my @leaks = (
	[ 'a setting', q{SELECT set_config('work_mem', '77MB', false)}, q{SELECT current_setting('work_mem')} ],
	[ 'SET search_path', q{SET search_path = pg_temp, api}, q{SELECT current_setting('search_path')} ],
	[ 'SET TimeZone', q{SET TimeZone = 'Asia/Tokyo'}, q{SELECT current_setting('TimeZone')} ],
	[ 'SET DateStyle', q{SET DateStyle = 'German'}, q{SELECT current_setting('DateStyle')} ],
	[ 'SET row_security', q{SET row_security = off}, q{SELECT current_setting('row_security')} ],
	[ 'SET statement_timeout', q{SET statement_timeout = '1h'}, q{SELECT current_setting('statement_timeout')} ],
	[ 'SET hnsw.ef_search', q{SET hnsw.ef_search = 777}, q{SELECT current_setting('hnsw.ef_search', true)} ],
	[ 'SET default_transaction_read_only', q{SET default_transaction_read_only = on}, q{SELECT current_setting('transaction_read_only')} ],
	[ 'a setting of the client\'s own', q{SELECT set_config('my.secret', 'x', false)}, q{SELECT coalesce(current_setting('my.secret', true), '')} ],
	[ 'request.headers', q{SELECT set_config('request.headers', '{"x":"forged"}', false)}, q{SELECT current_setting('request.headers')::json->>'x'} ],
	[ 'request.jwt.claims', q{SELECT set_config('request.jwt.claims', '{"role":"other","sub":"forged"}', false)}, q{SELECT current_setting('request.jwt.claims')} ],
	[ 'a temporary table', q{CREATE TEMP TABLE left_over AS SELECT 1 AS x}, q{SELECT to_regclass('pg_temp.left_over')} ],
	[ 'a temporary table in the way of the real one', q{CREATE TEMP TABLE lab (id int, run text, ask text, answer text)}, q{SELECT to_regclass('lab')} ],
	[ 'a temporary function', q{CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'}, q{SELECT to_regprocedure('pg_temp.f()')} ],
	[ 'an advisory lock', q{SELECT pg_advisory_lock(42)}, $locks ],
	[ 'an advisory lock, shared, twice', q{SELECT pg_advisory_lock_shared(42), pg_advisory_lock_shared(42)}, $locks ],
	[ 'a lock within what was undone', q{DO $$ BEGIN PERFORM pg_advisory_lock(42); PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN PERFORM pg_advisory_lock(43); END $$}, $locks ],
	[ 'a prepared statement', q{PREPARE p AS SELECT 1}, q{SELECT count(*) FROM pg_prepared_statements} ],
	[ 'a cursor', q{DECLARE mine CURSOR WITH HOLD FOR SELECT 1}, q{SELECT count(*) FROM pg_cursors WHERE name = 'mine'} ],
	[ 'a sequence\'s value', q{SELECT nextval('api.numbers')}, q{SELECT currval('api.numbers')} ]);

sub ends_as
{
	my ($answer, $status, $code, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	is(join(' ', $answer->{status}, $status >= 400 ? decode_raw($answer)->{code} : ()), join(' ', $status, $code // ()), $name) or diag($answer->{body});
	return;
}

# How a request ends that has done something, by what runs SQL: the answer's status and code.
my @ends = (
	[ 'it succeeds', sub { $_[0] }, 201, undef ],
	[ 'it fails', sub { "$_[0]; $fail" }, 400, 'P0001' ],
	[ 'it is cancelled', sub { "$_[0]; SELECT api.cancel(), pg_sleep(60)" }, 500, '57014' ]);
for my $leak (@leaks)
{
	my ($name, $do, $question) = @$leak;
	my %fresh = map { $_ => answer($_, $question) } @roles;

	for my $end (@ends)
	{
		my ($how, $sql, @status) = @$end;

		ends_as(run('web', $sql->($do)), @status, "$name: $how");
		is_deeply({ map { $_ => answer($_, $question) } @roles }, \%fresh, "$name: is not there for the next of any role");
	}
	ends_as(run('web', $do, Prefer => 'tx=rollback'), 201, undef, "$name: it is rolled back");
	is_deeply({ map { $_ => answer($_, $question) } @roles }, \%fresh, "$name: is not there then either");
}

# --- the role
for my $escape ('RESET ROLE', 'SET ROLE other', 'SET LOCAL ROLE other', 'SET SESSION AUTHORIZATION DEFAULT', q{SELECT set_config('role', 'other', false)}, 'ALTER ROLE web SET work_mem = 64')
{
	ends_as(run('web', $escape), 403, '42501', "$escape: is an error");
	is_deeply([ map { answer($_, 'SELECT current_user') } @roles ], \@roles, "$escape: the next are who they are");
}

# --- claims, headers, zones
sub now { my ($role, %headers) = @_; return decode_raw(ask($role, 'GET', 'now', undef, %headers))->[0] }
my $noon = $node->safe_psql('postgres', q{SELECT to_char('2026-01-01 12:00+00'::timestamptz, 'YYYY-MM-DD"T"HH24:MI:SSTZH:TZM')});
my %here = (now => $noon, zone => now('web')->{zone});
isnt($here{zone}, 'Asia/Tokyo', 'a server that is not in Tokyo');
for my $round (1 .. 3)
{
	is_deeply(now('web', Prefer => 'timezone=Asia/Tokyo'), { now => '2026-01-01T21:00:00+09:00', who => 'web', sub => 'sub of web', zone => 'Asia/Tokyo' }, 'Prefer: timezone');
	is_deeply(now('other'), { %here, who => 'other', sub => 'sub of other' }, 'is for its own request alone');
	is_deeply(now('vecdb_anon'), { %here, who => 'vecdb_anon', sub => undef }, 'and a request without a token has no claims of another');
	ends_as(ask('web', 'GET', 'now?nam=eq.1', undef, Prefer => 'timezone=Asia/Tokyo'), 400, '42703', 'one that fails');
	is_deeply(now('web'), { %here, who => 'web', sub => 'sub of web' }, 'leaves no zone, either');
	ends_as(run('web', 'SELECT 1', Prefer => 'timezone=Asia/Tokyo, tx=rollback'), 201, undef, 'one that is rolled back');
	is_deeply(now('other'), { %here, who => 'other', sub => 'sub of other' }, 'nor does that');
	ends_as(ask('web', 'POST', 'lab', '{"run":', Prefer => 'timezone=Asia/Tokyo'), 400, 'PGRST102', 'one with half a body');
	is_deeply(now('vecdb_anon'), { %here, who => 'vecdb_anon', sub => undef }, 'nor does that');
}
is(answer('web', q{SELECT coalesce(current_setting('request.headers')::json->>'x-mine', 'none')}), 'none', 'no header is there before');
is(run('web', 'SELECT 1', 'X-Mine' => 'a')->{status}, 201, 'a request with one');
is(answer('web', q{SELECT coalesce(current_setting('request.headers')::json->>'x-mine', 'none')}), 'none', 'does not leave it');
is(answer('other', q{SELECT current_setting('request.method') || ' ' || current_setting('request.path')}), 'POST /rest/v1/lab', 'nor its method and path');

is(ask('web', 'POST', 'lab', { id => 1 }, Prefer => 'resolution=merge-duplicates')->{status}, 200, 'an upsert');
is(answer('other', q{SELECT coalesce(current_setting('request.rows_met', true), '')}), '', 'leaves no count of its rows');

# --- the function that each request calls first
$node->append_conf('postgresql.conf', "vecdb.http_pre_request = 'api.before'");
reload($node);
ok(wait_until(sub { run('web', 'SELECT 1', 'X-Before' => $fail)->{status} == 400 }), 'a function that each request calls first');
for my $leak (@leaks)
{
	my ($name, $do, $question) = @$leak;
	my %fresh = map { $_ => answer($_, $question) } @roles;

	for my $end (@ends)
	{
		my ($how, $sql, @status) = @$end;

		ends_as(run('web', 'SELECT 1', 'X-Before' => $sql->($do)), @status, "$name, in that function: $how");
		is_deeply({ map { $_ => answer($_, $question) } @roles }, \%fresh, "$name, in that function: is not there for the next of any role");
	}
}
is_deeply([ executors($node) ], [$executor], 'all of it was one session');

$node->stop;
done_testing();
