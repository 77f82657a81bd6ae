# 146_supabase_js.pl
#	  @supabase/supabase-js, unchanged, with tokens that jose has signed: two tenants
#	  of one table, keys of every algorithm, and their rotation.  The cases are in
#	  supabase_js.cjs.  VECDB_JS_CLIENTS is where npm has put both.
use strict;
use warnings;
use File::Copy qw(copy);
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use PostgreSQL::Test::Utils;
use VecdbHttp;

js_clients();

my $node = http_node('supabase_js', "vecdb.http_schemas = 'api, collections'\nvecdb.http_plans = on\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE ROLE web NOLOGIN; CREATE ROLE hasty NOLOGIN; CREATE ROLE stranger NOLOGIN;
	GRANT web, hasty TO vecdb_http;
	ALTER ROLE hasty SET statement_timeout = '300ms';
	CREATE SCHEMA api;
	GRANT USAGE ON SCHEMA api TO vecdb_anon, web, hasty;
	GRANT USAGE ON SCHEMA collections TO web;
	CREATE FUNCTION api.claim(name text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT pg_catalog.current_setting('request.jwt.claims', true)::json->>name $$;
	CREATE TABLE api.films (id int PRIMARY KEY, tenant text NOT NULL, name text, embedding vector(3));
	CREATE TABLE api.secrets (id int PRIMARY KEY);
	CREATE VIEW api.slow AS SELECT pg_catalog.pg_sleep(60) IS NULL AS slept;
	CREATE VIEW api.who AS SELECT current_user::text AS who, api.claim('sub') AS sub;
	GRANT ALL ON api.films TO web;
	GRANT SELECT ON api.slow TO web, hasty;
	GRANT SELECT ON api.who TO web, vecdb_anon;
	SELECT vecdb.create_collection('notes', 3);
	GRANT ALL ON collections.notes TO web;
	ALTER TABLE api.films ENABLE ROW LEVEL SECURITY;
	ALTER TABLE collections.notes ENABLE ROW LEVEL SECURITY;
	CREATE POLICY tenant ON api.films TO web USING (tenant = api.claim('tenant'));
	CREATE POLICY tenant ON collections.notes TO web USING (metadata->>'tenant' = api.claim('tenant'));
SQL

my $directory = PostgreSQL::Test::Utils::tempdir();
sub client { js_cases('supabase_js.cjs', $directory, @_); return }

sub set_keys
{
	my ($set, $count) = @_;
	my $log = -s $node->logfile;
	my $file = $node->data_dir . '/keys.json';

	copy("$directory/$set.json", $file) or die "could not copy the keys: $!";
	chmod 0600, $file;
	reload($node);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(VecdbTest::wait_for_line($node, qr/HTTP verifies tokens with $count keys/, $log), "keys: $set");
	return;
}

client('keys');
$node->append_conf('postgresql.conf', "vecdb.http_jwt_key_file = 'keys.json'");
set_keys('before', 7);
client('work', base_url($node));
ok(wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) eq '0' }), 'what a client gave up on does not run on');
client('count', base_url($node), 'old');
set_keys('both', 8);
client('count', base_url($node), 'old', 'new');
set_keys('after', 7);
client('count', base_url($node), 'new');

$node->stop;
done_testing();
