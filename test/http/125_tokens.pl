# 125_tokens.pl
#	  Tokens: whom a request acts as, which tokens do not count, and what of one
#	  request the next one sees.  They are signed by Crypt::JWT, or by hand where that
#	  signs nothing of the kind.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Crypt::JWT qw(encode_jwt);
use Crypt::PK::ECC;
use Crypt::PK::Ed25519;
use Crypt::PK::RSA;
use Digest::SHA qw(hmac_sha256 hmac_sha512);
use MIME::Base64 qw(encode_base64url);
use Test::More;
use PostgreSQL::Test::Utils;
use VecdbHttp;

my $secret = 'a secret of thirty-two bytes ...';
my $secret512 = 'x' x 64;
my $rsa = Crypt::PK::RSA->new;
my $ecc = Crypt::PK::ECC->new;
my $ed = Crypt::PK::Ed25519->new;
$rsa->generate_key(256);
$ecc->generate_key('secp256r1');
$ed->generate_key;

my $node = http_node('tokens', '', lab => 1);
my $file = $node->data_dir . '/keys.json';
$node->safe_psql('postgres', <<'SQL');
	CREATE ROLE web NOLOGIN; CREATE ROLE other NOLOGIN; CREATE ROLE stranger NOLOGIN; CREATE ROLE boss SUPERUSER;
	GRANT web, other, boss TO vecdb_http;
	GRANT USAGE, CREATE ON SCHEMA collections TO web, other;
	GRANT ALL ON collections.lab TO web, other;
	ALTER ROLE web SET work_mem = '5MB';
SQL

sub write_keys
{
	my ($text, $mode) = @_;

	unlink $file;
	append_to_file($file, $text);
	chmod $mode // 0600, $file;
	return;
}

sub jwk { my ($pk, %more) = @_; return { %{ decode($pk->export_key_jwk('public')) }, %more } }

sub jwks
{
	return encode({ keys => [ { kty => 'oct', k => encode_base64url($secret), kid => 'hs' }, { kty => 'oct', alg => 'HS512', k => encode_base64url($secret512) },
		jwk($rsa, kid => 'rs'), jwk($ecc), jwk($ed) ] });
}

# Reload with other settings, and wait until the front has them: each reload says so in the log.
sub set_to
{
	my ($settings, $sign) = @_;
	my $log = -s $node->logfile;

	$node->append_conf('postgresql.conf', $settings);
	reload($node);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(VecdbTest::wait_for_line($node, $sign, $log), "reload: $settings")
	  or diag(substr(slurp_file($node->logfile), $log));
	return;
}

sub sign { my ($claims, %options) = @_; return encode_jwt(payload => $claims, alg => 'HS256', key => $secret, %options) }

# Any header and payload, signed by HS256.
sub sign_text
{
	my ($header, $payload) = @_;
	my $text = encode_base64url($header) . '.' . encode_base64url($payload);

	return $text . '.' . encode_base64url(hmac_sha256($text, $secret));
}

sub ask
{
	my ($token, $sql, $client, %headers) = @_;
	my $body = { vectors => [ { id => 'ask', collection => 'lab', data => [ 1, 2, 3 ], metadata => { ask => $sql } } ] };

	$headers{Authorization} = "Bearer $token" if defined $token;
	my $answer = $client ? $client->request('POST', '/vectors', $body, %headers) : call($node, 'POST', '/vectors', $body, %headers);
	return $answer ? "$answer->{status} " . (decode_raw($answer) // {})->{message} : undef if !$answer || $answer->{status} != 201;
	return $node->safe_psql('postgres', q{SELECT metadata->>'answer' FROM collections.lab WHERE id = 'ask'});
}

sub is_unauthorized
{
	my ($token, $code, $message, $name) = @_;
	my $answer = call($node, 'GET', '/stats', undef, Authorization => "Bearer $token");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_error($answer, 401, $message, $name, $code);
	is($answer->{headers}{'www-authenticate'}, 'Bearer error="invalid_token", error_description="' . decode_raw($answer)->{message} . '"', "$name: WWW-Authenticate");
	return;
}

# --- without a key nothing has changed
is(ask('a.b.c', 'SELECT current_user'), 'vecdb_anon', 'without a key a token is not looked at');
is(ask(undef, q{SELECT current_setting('request.jwt.claims')}), '{"role":"vecdb_anon"}', 'the claims of a request without a token');

# --- keys
write_keys(jwks());
set_to("vecdb.http_jwt_key_file = 'keys.json'", qr/HTTP verifies tokens with 5 keys/);
is(ask(undef, 'SELECT current_user'), 'vecdb_anon', 'a request without a token is the anonymous role');
my $claims = { role => 'web', sub => '7' };
is(ask(sign($claims), 'SELECT current_user'), 'web', 'HS256');
is(ask(sign($claims, extra_headers => { kid => 'hs' }), 'SELECT current_user'), 'web', 'HS256 with the id of its key');
is(ask(sign($claims, alg => 'HS512', key => $secret512), 'SELECT current_user'), 'web', 'HS512');
is(ask(sign($claims, alg => 'RS256', key => $rsa), 'SELECT current_user'), 'web', 'RS256');
is(ask(sign($claims, alg => 'ES256', key => $ecc), 'SELECT current_user'), 'web', 'ES256');
is(ask(sign($claims, alg => 'EdDSA', key => $ed), 'SELECT current_user'), 'web', 'EdDSA');
is(ask(sign($claims), q{SELECT current_setting('request.jwt.claims')::json->>'sub'}), '7', 'claims');
is(ask(sign({ sub => "\x{e9}" }), q{SELECT current_setting('request.jwt.claims')::json->>'sub' || ' ' || current_user}), "\x{c3}\x{a9} vecdb_anon", 'a token without a role is the anonymous role, with its claims');
is(ask(sign($claims), q{SELECT current_setting('work_mem')}), '5MB', 'the settings of the role');
is(ask(sign($claims), q{SELECT session_user || ' ' || current_setting('role')}), 'vecdb_http web', 'role and session');
is(call($node, 'GET', '/health', undef, Authorization => 'Bearer x')->{status}, 200, '/health asks nobody who he is');

# --- tokens that do not count
my $good = sign($claims);
my ($h, $p, $s) = split /\./, $good;
my $now = time;
is_unauthorized('', 'PGRST301', qr/^Empty JWT/, 'an empty token');
is_unauthorized(encode_base64url('{"alg":"none"}') . ".$p.", 'PGRST301', qr/algorithm/, 'algorithm none');
is_unauthorized(encode_base64url('{"alg":"nOnE"}') . ".$p.$s", 'PGRST301', qr/algorithm/, 'algorithm nOnE');
is_unauthorized(sign($claims, key => 'another secret of 32 bytes .....'), 'PGRST301', qr/^None of the keys/, 'another key');
is_unauthorized(sign($claims, alg => 'HS512'), 'PGRST301', qr/^None of the keys/, 'another algorithm of the same key');
is_unauthorized(sign($claims, alg => 'HS384', key => $secret512), 'PGRST301', qr/algorithm/, 'an algorithm that no key has');
is_unauthorized(sign($claims, alg => 'RS512', key => $rsa), 'PGRST301', qr/algorithm/, 'another algorithm of a key of RSA');
is_unauthorized(sign($claims, key => $rsa->export_key_pem('public')), 'PGRST301', qr/^None of the keys/, 'the public key as a secret');
is_unauthorized(sign($claims, extra_headers => { kid => 'rs' }), 'PGRST301', qr/algorithm/, 'the id of a key of another algorithm');
is_unauthorized(sign($claims, extra_headers => { kid => 'none' }), 'PGRST301', qr/^No suitable key/, 'an id that no key has');
is_unauthorized(sign({ %$claims, exp => $now - 60 }), 'PGRST303', qr/^JWT expired$/, 'expired');
is_unauthorized(sign({ %$claims, nbf => $now + 600 }), 'PGRST303', qr/^JWT not yet valid$/, 'not yet valid');
is_unauthorized(sign({ %$claims, iat => $now + 600 }), 'PGRST303', qr/^JWT issued at future$/, 'issued in the future');
is_unauthorized($h, 'PGRST301', qr/^Expected 3 parts/, 'one part');
is_unauthorized("$h.$p", 'PGRST301', qr/^Expected 3 parts/, 'two parts');
is_unauthorized("$good.x", 'PGRST301', qr/^Expected 3 parts/, 'four parts');
is_unauthorized("$h.$p.", 'PGRST301', qr/^None of the keys/, 'no signature');
is_unauthorized("$good=", 'PGRST301', qr/base64url/, 'padding');
is_unauthorized("$h. $p.$s", 'PGRST301', qr/^(None of the keys|A part)/, 'a blank within');
is_unauthorized("$h.$p.$s" . 'A', 'PGRST301', qr/^(None of the keys|A part)/, 'a longer signature');
is_unauthorized(sign({ %$claims, long => 'x' x 7000 }), 'PGRST301', qr/longer than 8192/, 'a long token');
is_unauthorized(sign_text('{"alg":"HS256","crit":["b64"],"b64":false}', '{"role":"web"}'), 'PGRST301', qr/critical/, 'a critical header');
is_unauthorized(sign_text('{"alg":"HS256","alg":"none"}', '{"role":"web"}'), 'PGRST301', qr/twice/, 'two algorithms');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"role":"web","role":"boss"}'), 'PGRST303', qr/twice/, 'two roles');
is(ask(sign_text('{"alg":"HS256"}', '{"role":"web","app":{"tenant":"a","tenant":"b"}}'), q{SELECT (current_setting('request.jwt.claims')::json->'app'->>'tenant') || (current_setting('request.jwt.claims')::jsonb->'app'->>'tenant')}),
	'bb', 'a name twice within a claim: SQL takes the last');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"role":["web"]}'), 'PGRST303', qr/role/, 'a role in an array');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"role":{"role":"web"}}'), 'PGRST303', qr/role/, 'a role in an object');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"role":null}'), 'PGRST303', qr/role/, 'a role that is null');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"role":"web","exp":{"exp":9999999999}}'), 'PGRST303', qr/numbers/, 'exp in an object');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"role":"web","exp":"9999999999"}'), 'PGRST303', qr/numbers/, 'exp in quotes');
is_unauthorized(sign_text('{"alg":"HS256"}', '[' x 4000), 'PGRST303', qr/^Parsing claims/, 'brackets');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"a":' . '[' x 3000 . ']' x 3000 . '}'), 'PGRST303', qr/^Parsing claims/, 'nested arrays');
is_unauthorized(sign_text('[]', '{"role":"web"}'), 'PGRST301', qr/header/, 'a header that is no object');
{
	my $c = VecdbHttp::Client->new($node->{http});

	is_error($c->request('GET', '/stats', undef, Authorization => "Bearer $good\r\nAuthorization: Bearer x"), 401, qr/More than one/, 'two headers Authorization', 'PGRST301');
	is_error($c->request('GET', '/stats', undef, Authorization => 'Bearer x.y.z'), 401, qr/./, 'a bad token on a connection', 'PGRST301');
	is_kept($c, 'and the connection goes on');
}
is(ask($good, 'SELECT current_user'), 'web', 'the good one still counts');
is(ask(undef, 'SELECT current_user', undef, Authorization => "bearer  $good"), 'web', 'the scheme in another case');
is(ask(undef, 'SELECT current_user', undef, Authorization => 'Basic eDp5'), 'vecdb_anon', 'another scheme is not ours');
is_error(call($node, 'GET', '/stats', undef, Authorization => "Bearer\t$good"), 401, qr/base64url/, 'a tab behind the scheme');
is(ask(undef, 'SELECT current_user', undef, Authorization => 'Bearerx'), 'vecdb_anon', 'a scheme that begins alike is another one');
is(ask(undef, 'SELECT current_user', undef, apikey => 'sb_publishable_x', Authorization => 'Bearer sb_publishable_x'), 'vecdb_anon', 'an application key');
is(ask($good, 'SELECT current_user', undef, apikey => 'sb_publishable_x'), 'web', 'a token beside an application key');
is(ask(undef, 'SELECT current_user', undef, apikey => $good), 'vecdb_anon', 'apikey alone is nobody');
is_unauthorized('sb_publishable_x', 'PGRST301', qr/^Expected 3 parts/, 'an application key alone');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer a.b', apikey => 'a.b'), 401, qr/^Expected 3/, 'apikey makes no token good');

# --- roles
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'nobody' })), 401, qr/^role "nobody" does not exist$/, 'a role that is none', '22023');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'none' })), 401, qr/^role "none" does not exist$/, 'none, which SET ROLE takes for no role', '22023');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'stranger' })), 403, qr/^permission denied to set role "stranger"$/, 'a role that is not granted', '42501');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'boss' })), 403, qr/^permission denied to set role "boss"$/, 'a superuser', '42501');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'vecdb_http' })), 403, qr/^permission denied to set role "vecdb_http"$/, 'the role of the executors', '42501');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => "a\nLOG:  b" })), 401, qr/^role "a\nLOG:  b" does not exist$/, 'a role of two lines');
ok(VecdbTest::wait_for_line($node, qr/role=a\?LOG:\?\?b$/m, 0), 'which are one in the log');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'x' x 300 })), 401, qr/role/, 'a role too long', 'PGRST303');
$node->safe_psql('postgres', 'REVOKE ALL ON collections.lab FROM other');
is(call($node, 'POST', '/vectors', { vectors => [ { id => 'x', collection => 'lab', data => [ 1, 2, 3 ] } ] }, Authorization => 'Bearer ' . sign({ role => 'other' }))->{status}, 403, 'what a role may not do is 403');
$node->safe_psql('postgres', 'REVOKE ALL ON collections.lab FROM vecdb_anon');
is(call($node, 'POST', '/vectors', { vectors => [ { id => 'x', collection => 'lab', data => [ 1, 2, 3 ] } ] })->{status}, 401, 'what the anonymous role may not do is 401');
$node->safe_psql('postgres', 'GRANT ALL ON collections.lab TO other, vecdb_anon');

# --- nothing of one request is seen by the next
{
	my $c = VecdbHttp::Client->new($node->{http});
	my $other = sign({ role => 'other', sub => '8' });
	my $seen = q{SELECT current_user || ' ' || coalesce(current_setting('request.jwt.claims')::json->>'sub', '-') || ' ' || current_setting('work_mem') || ' ' ||
		coalesce(nullif(current_setting('app.left', true), ''), '-')};
	my (%want, %got) = (web => 'web 7 5MB -', other => 'other 8 4MB -', anon => 'vecdb_anon - 4MB -');

	for my $i (0 .. 23)
	{
		my $who = (qw(web other anon web anon other))[$i % 6];
		my $token = { web => $good, other => $other }->{$who};

		ask($token, q{SELECT set_config('app.left', 'x', false) || set_config('request.jwt.claims', '{"sub":"forged"}', false) || set_config('work_mem', '9MB', false)}, $c) if $i % 2;
		$got{$who}{ ask($token, $seen, $c) }++;
	}
	is_deeply([ map { join '|', sort keys %{ $got{$_} } } qw(web other anon) ], [ @want{qw(web other anon)} ], 'on one connection each request has its own role, claims and settings');
	for my $sql ('RESET ROLE', 'SET ROLE other', 'SET SESSION AUTHORIZATION vecdb_http', q{SELECT set_config('role', 'other', false)}, 'ALTER ROLE web SET work_mem = 9999')
	{
		my $answer = $c->request('POST', '/vectors', { vectors => [ { id => 'run', collection => 'lab', data => [ 1, 2, 3 ], metadata => { run => $sql } } ] }, Authorization => "Bearer $good");

		is_error($answer, 403, qr/./, "within a request of a token: $sql", '42501');
	}
	is(ask($good, q{SELECT coalesce(nullif(current_setting('request.headers')::json->>'authorization', ''), '-') || coalesce(current_setting('request.headers')::json->>'apikey', '-') || (current_setting('request.headers')::json->>'x-mine')}, $c, apikey => $good, 'X-Mine' => 'm'), '--m', 'SQL does not see the token');
	is(ask($good, q{SELECT (current_setting('request.headers')::json->>'cookie') || coalesce(current_setting('request.cookies', true), '-')}, $c, Cookie => 'a=b'), 'a=b-', 'cookies are a header');
	unlike(slurp_file($node->logfile), qr/\Q$s\E/, 'nor does the log');
	like(slurp_file($node->logfile), qr/http: .* POST \/vectors 201 .* role=web$/m, 'which has the role');
}

# --- two tenants in one collection
$node->safe_psql('postgres', <<'SQL');
	SELECT vecdb.create_collection('shared', 3);
	GRANT SELECT, INSERT, UPDATE, DELETE ON collections.shared TO web;
	ALTER TABLE collections.shared ENABLE ROW LEVEL SECURITY;
	CREATE POLICY tenant ON collections.shared TO web
		USING (metadata->>'tenant' = current_setting('request.jwt.claims', true)::json->>'tenant')
		WITH CHECK (metadata->>'tenant' = current_setting('request.jwt.claims', true)::json->>'tenant');
SQL
my %tenant = map { $_ => sign({ role => 'web', tenant => $_ }) } qw(a b);
sub as { my ($who, $method, $path, $body) = @_; return call($node, $method, $path, $body, $who ? (Authorization => "Bearer $tenant{$who}") : ()) }
sub row { my ($tenant, $id, @data) = @_; return { vectors => [ { id => $id, collection => 'shared', data => \@data, metadata => { tenant => $tenant } } ] } }
for my $who (qw(a b))
{
	is(as($who, 'POST', '/vectors', row($who, "$who$_", $_, 1, 1))->{status}, 201, "tenant $who writes row $_") for 1 .. 3;
}
for my $who (qw(a b))
{
	my $other = $who eq 'a' ? 'b' : 'a';
	for my $path ('/search', '/collections/shared/search')
	{
		my $answer = decode_raw(as($who, 'POST', $path, { vector => [ 1, 1, 1 ], k => 10 }));
		is(join(' ', sort map { $_->{id} } grep { $_->{collection} eq 'shared' } @{ $answer->{results} }), "${who}1 ${who}2 ${who}3", "tenant $who finds its own alone: $path");
	}
	is(join(' ', map { $_->{id} } @{ decode_raw(as($who, 'GET', '/rest/v1/shared?select=id&order=id')) }), "${who}1 ${who}2 ${who}3", "tenant $who reads its own alone by /rest/v1");
	is(join(' ', map { $_->{id} } @{ decode_raw(as($who, 'GET', '/rest/v1/shared?select=id&order=data.l2.[1,1,1]&limit=10')) }), "${who}1 ${who}2 ${who}3", 'and in the order of a distance');
	is(decode_raw(as($who, 'POST', '/collections/shared/count', {}))->{count}, 3, 'and counts them');
	is(join(' ', map { $_->{id} } @{ decode_raw(as($who, 'GET', '/collections/shared/vectors'))->{vectors} }), "${who}1 ${who}2 ${who}3", 'and lists them');
	is(decode_raw(as($who, 'POST', '/collections/shared/delete', { ids => ["${other}1"] }))->{deleted}, 0, 'and deletes no other');
	is(as($who, 'PATCH', "/vectors/${other}1?collection=shared", { metadata => { tenant => $who } })->{status}, 404, 'nor changes one');
	is(as($who, 'PATCH', "/vectors/${who}1?collection=shared", { metadata => { tenant => $other } })->{status}, 403, 'nor gives one away');
	is(as($who, 'GET', "/vectors/${who}1?collection=shared")->{status}, 200, "tenant $who reads its own row");
	is(as($who, 'GET', "/vectors/${other}1?collection=shared")->{status}, 404, "but not the other's");
	is(as($who, 'DELETE', "/vectors/${other}1?collection=shared")->{status}, 404, 'nor deletes it');
	is_error(as($who, 'POST', '/vectors', row($other, "${who}9", 1, 1, 1)), 403, qr/row-level security/, 'nor writes one as the other', '42501');
	is_error(as($who, 'POST', '/vectors', row($who, "${other}1", 9, 9, 9)), 403, qr/row-level security/, 'nor replaces one', '42501');
}
is(as(undef, 'GET', '/vectors/a1?collection=shared')->{status}, 401, 'the anonymous role reads nothing');
is($node->safe_psql('postgres', q{SELECT string_agg(id || data::text, ' ' ORDER BY id) FROM collections.shared}), 'a1[1,1,1] a2[2,1,1] a3[3,1,1] b1[1,1,1] b2[2,1,1] b3[3,1,1]', 'all rows are as their tenants wrote them');

# --- the function that each request calls first
$node->safe_psql('postgres', <<'SQL');
	CREATE SCHEMA auth; GRANT USAGE ON SCHEMA auth TO web, vecdb_anon;
	CREATE FUNCTION auth.check_request() RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		IF current_setting('request.jwt.claims')::json->>'sub' = 'banned' THEN
			RAISE EXCEPTION 'you are banned' USING ERRCODE = 'PT403', HINT = 'ask the operator';
		END IF;
		PERFORM set_config('app.checked', current_user || current_setting('request.path'), true);
	END $$;
SQL
set_to("vecdb.http_pre_request = 'auth.check_request'", qr/HTTP verifies tokens/);
ok(wait_until(sub { (ask($good, q{SELECT current_setting('app.checked', true)}) // '') eq 'web/vectors' }), 'it runs as the role, before the request, in its transaction');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'web', sub => 'banned' })), 403, qr/^you are banned$/, 'its error is the answer', 'PT403');
is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'other' })), 403, qr/^permission denied for schema auth$/, 'a role that may not call it', '42501');
# one that can become part of a plan, in which nothing looks at the right to call it any more
$node->safe_psql('postgres', q{GRANT USAGE ON SCHEMA auth TO other;
	CREATE FUNCTION auth.marks() RETURNS text LANGUAGE sql AS $$ SELECT pg_catalog.set_config('app.checked', 'marked', true) $$;
	REVOKE EXECUTE ON FUNCTION auth.marks() FROM PUBLIC; GRANT EXECUTE ON FUNCTION auth.marks() TO web});
set_to("vecdb.http_pre_request = 'auth.marks'", qr/HTTP verifies tokens/);
ok(wait_until(sub { (ask($good, q{SELECT current_setting('app.checked', true)}) // '') eq 'marked' }), 'a function of SQL runs');
{
	my %statuses;

	for my $role (map { qw(web other) } 1 .. 10)
	{
		$statuses{"$role " . call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => $role }))->{status}}++;
	}
	is_deeply(\%statuses, { 'web 200' => 10, 'other 403' => 10 }, 'and each role needs the right to call it, whoever called it before');
}
set_to("vecdb.http_pre_request = ''", qr/HTTP verifies tokens/);
ok(wait_until(sub { call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'other' }))->{status} == 200 }), 'without it');

# --- audience, path, anonymous role
set_to("vecdb.http_jwt_aud = 'us'\nvecdb.http_jwt_role_claim = '.app.roles[?(\@ ^== \"we\")]'", qr/HTTP verifies tokens/);
is(ask(sign({ aud => [ 'them', 'us' ], app => { roles => [ 'a', 'web' ] } }), q{SELECT current_user || ' ' || (current_setting('request.jwt.claims')::json->>'role')}), 'web web', 'the role by a path, and an audience');
is_unauthorized(sign({ aud => 'them', app => { roles => ['web'] } }), 'PGRST303', qr/^JWT not in audience$/, 'another audience');
is_unauthorized(sign({ aud => 7, app => { roles => ['web'] } }), 'PGRST303', qr/aud/, 'an audience of another type');
is_unauthorized(sign({ app => { roles => { web => 1 } } }), 'PGRST303', qr/role/, 'something else where the path leads');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"app":{"roles":["web"],"roles":["boss"]}}'), 'PGRST303', qr/role/, 'two members where the path leads');
is_unauthorized(sign_text('{"alg":"HS256"}', '{"app":{"roles":["web"]},"app":{"roles":["boss"]}}'), 'PGRST303', qr/twice/, 'two claims where it begins');
isnt($node->psql('postgres', q{ALTER SYSTEM SET vecdb.http_jwt_role_claim = 'role'}), 0, 'a path that is none is refused');
isnt($node->psql('postgres', q{ALTER SYSTEM SET vecdb.http_jwt_role_claim = '$.role'}), 0, 'so is JSON Path');
isnt($node->psql('postgres', q{ALTER SYSTEM SET vecdb.http_pre_request = 'check_request'}), 0, 'and so is a function without a schema');
set_to("vecdb.http_jwt_aud = ''\nvecdb.http_jwt_role_claim = '.role'\nvecdb.http_anon_role = ''", qr/HTTP verifies tokens/);
{
	my $answer = call($node, 'GET', '/stats');
	is_error($answer, 401, qr/^Anonymous access is disabled$/, 'where nobody may come without a token', 'PGRST302');
	is($answer->{headers}{'www-authenticate'}, 'Bearer', 'WWW-Authenticate without an error');
	is_error(call($node, 'GET', '/stats', undef, Authorization => 'Bearer ' . sign({ sub => '7' })), 401, qr/^Anonymous access is disabled$/, 'a token without a role does not count either', 'PGRST302');
	ok(wait_until(sub { call($node, 'GET', '/stats', undef, Authorization => "Bearer $good")->{status} == 200 }), 'but one with a role does');
}
set_to("vecdb.http_anon_role = 'vecdb_anon'\nvecdb.http_cors_origins = 'https://app.example'", qr/HTTP verifies tokens/);

# --- pages may read why, and may send what supabase-js sends
{
	my $answer = call($node, 'GET', '/stats', undef, Authorization => 'Bearer x', Origin => 'https://app.example');
	is("$answer->{status} $answer->{headers}{'access-control-allow-origin'}", '401 https://app.example', 'a page may read that its token does not count');
	like($answer->{headers}{'access-control-expose-headers'}, qr/WWW-Authenticate.*Content-Range/, 'and other headers');
	$answer = call($node, 'OPTIONS', '/stats', undef, Origin => 'https://app.example', 'Access-Control-Request-Method' => 'GET', 'Access-Control-Request-Headers' => 'apikey,authorization');
	is($answer->{status}, 204, 'a browser asks beforehand without a token');
	like($answer->{headers}{'access-control-allow-headers'}, qr/Authorization, apikey, X-Client-Info.*Accept-Profile.*Prefer/, 'and may send these');
}

# --- a token that expires while it is remembered
{
	my $short = sign({ %$claims, exp => time - 30 + 3 });
	is(ask($short, 'SELECT current_user'), 'web', 'a token about to expire');
	ok(wait_until(sub { call($node, 'GET', '/stats', undef, Authorization => "Bearer $short")->{status} == 401 }), 'expires');
	is_unauthorized($short, 'PGRST303', qr/^JWT expired$/, 'and is said to have');
}

# --- wrong tokens of one address: beyond so many in a second they are not looked at
{
	my $new = 0;
	my $c = VecdbHttp::Client->new($node->{http});
	my $limited = sub { my %statuses; $statuses{ $c->request('GET', '/stats', undef, Authorization => "Bearer $_[0]$_")->{status} }++ for 1 .. $_[1] // 1; return \%statuses };

	set_to('vecdb.http_jwt_max_failures = 5', qr/HTTP verifies tokens/);
	is(ask($good, 'SELECT 1', $c), '1', 'a token that is remembered from now on');
	ok(wait_until(sub { ($limited->(sign({ role => 'web' }) . 'x', 40)->{429} // 0) >= 20 }), 'after five wrong tokens further ones are 429');
	# within one second, by chance or a later try, however slow the machine
	my ($refused, $other, $kept);
	ok(wait_until(sub {
		$limited->('a.b.', 6);
		$refused = $c->request('GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'web', n => ++$new }));
		$kept = $c->request('GET', '/stats', undef, Authorization => "Bearer $good")->{status};
		$other = VecdbHttp::Client->new($node->{http}, LocalAddr => '127.0.0.9')->request('GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'web', n => ++$new }))->{status};
		$refused->{status} == 429;
	}), 'nor is a good one that is new');
	is_error($refused, 429, qr/^too many tokens from this address/, 'which is told', 'PT429');
	is($refused->{headers}{'retry-after'}, '1', 'and when to come again');
	is("$kept $other", '200 200', 'one that is remembered counts, and one of another address');
	ok(wait_until(sub { $c->request('GET', '/stats', undef, Authorization => 'Bearer ' . sign({ role => 'web', n => ++$new }))->{status} == 200 }), 'a second later new ones are verified again');
	set_to('vecdb.http_jwt_max_failures = 0', qr/HTTP verifies tokens/);
	is_deeply($limited->('a.b.', 50), { 401 => 50 }, 'without a limit');
	$c->close;
}

# --- other keys
my $reads = -s $node->logfile;
write_keys('{"keys":[{"kty":"oct","k":"AA"}]}');
set_to('', qr/HTTP goes on with the keys of before/);
like(substr(slurp_file($node->logfile), $reads), qr/cannot read the keys of vecdb\.http_jwt_key_file: key 1, of 1 bytes, is too short/, 'the log says why');
is(ask($good, 'SELECT current_user'), 'web', 'a token of the keys of before');
write_keys(jwks(), 0644);
set_to('', qr/it holds a secret, and others than the server's user may read it/);
write_keys(encode({ keys => [ jwk($rsa), jwk($ed) ] }), 0644);
set_to('', qr/HTTP verifies tokens with 2 keys/);
is_unauthorized($good, 'PGRST301', qr/algorithm/, 'a token that was remembered does not outlive its key');
is(ask(sign($claims, alg => 'RS256', key => $rsa), 'SELECT current_user'), 'web', 'public keys may be in a file for all');
write_keys($ecc->export_key_pem('public'));
set_to('', qr/HTTP verifies tokens with 1 key/);
is(ask(sign($claims, alg => 'ES256', key => $ecc), 'SELECT current_user'), 'web', 'a key in PEM');
set_to("vecdb.http_jwt_key_file = ''\nvecdb.http_jwt_key = '$secret'\nvecdb.http_jwt_cache_entries = 0", qr/HTTP verifies tokens with 1 key/);
is(ask($good, 'SELECT current_user'), 'web', 'a secret in the setting, without remembering');
is($node->safe_psql('postgres', q{SET ROLE web; SELECT count(*) FROM pg_settings WHERE name LIKE 'vecdb.http_jwt_key%'}), '0', 'pg_settings does not show it');
my ($status, $out, $error) = $node->psql('postgres', q{SET ROLE web; SHOW vecdb.http_jwt_key});
ok($status != 0 && $error !~ /thirty-two/, 'nor does SHOW');
unlike(ask($good, q{SELECT current_setting('vecdb.http_jwt_key')}) // '', qr/thirty-two/, 'nor SQL within a request');

# --- beyond this machine
set_to("vecdb.http_listen = '0.0.0.0'", qr/HTTP listens on 0\.0\.0\.0/);
is(ask($good, 'SELECT current_user'), 'web', 'with a key an address beyond this machine is listened on');
set_to("vecdb.http_jwt_key = ''", qr/HTTP does not listen on "0\.0\.0\.0"/);
ok(wait_until(sub { !eval { call($node, 'GET', '/health'); 1 } }), 'without it no more');
set_to("vecdb.http_allow_remote = on", qr/HTTP listens on 0\.0\.0\.0/);
is(ask($good, 'SELECT current_user'), 'vecdb_anon', 'unless that is wanted');
set_to("vecdb.http_allow_remote = off\nvecdb.http_listen = '127.0.0.1'", qr/HTTP listens on 127\.0\.0\.1/);

# --- a key that cannot be read when the server starts
$node->append_conf('postgresql.conf', "vecdb.http_jwt_key_file = 'none.json'");
$node->restart;
wait_ready($node);
is(ask(undef, 'SELECT current_user'), 'vecdb_anon', 'requests without a token are served');
is_error(call($node, 'GET', '/stats', undef, Authorization => "Bearer $good"), 500, qr/cannot be read/, 'a token is not passed over', 'PGRST300');
set_to("vecdb.http_listen = '0.0.0.0'", qr/HTTP does not listen on "0\.0\.0\.0"/);

$node->stop;
done_testing();
