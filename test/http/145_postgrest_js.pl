# 145_postgrest_js.pl
#	  @supabase/postgrest-js, unchanged, reads and writes: the cases are in
#	  postgrest_js.cjs.  VECDB_JS_CLIENTS is where npm has put the client.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbHttp;

js_clients();

my $node = http_node('postgrest_js', "vecdb.http_schemas = 'api, side'\nvecdb.http_plans = on\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE SCHEMA api;
	GRANT USAGE ON SCHEMA api TO vecdb_anon;
	CREATE TYPE api.mood AS ENUM ('sad', 'ok', 'happy');
	CREATE TABLE api.people (id int PRIMARY KEY, name text, age int, tags text[], info jsonb, span int4range, mood api.mood,
		embedding vector(3), h halfvec(3), words tsvector, good bool);
	INSERT INTO api.people SELECT i, 'name ' || i, i * 10, ARRAY['t' || i, 'x'], jsonb_build_object('k', 'v' || i), int4range(i, i + 5),
		(ARRAY['sad', 'ok', 'happy'])[1 + i % 3]::api.mood, ARRAY[i, 1, 2]::vector, ARRAY[i, 1, 2]::vector::halfvec,
		to_tsvector('english', 'the fat cats of ' || i), i % 2 = 0 FROM generate_series(1, 9) i;
	INSERT INTO api.people (id) VALUES (10);
	CREATE TABLE api.items (id int PRIMARY KEY, name text DEFAULT 'none', embedding vector(3), code text);
	CREATE VIEW api.shown AS SELECT id, name AS title FROM api.items;
	CREATE SCHEMA side;
	GRANT USAGE ON SCHEMA side TO vecdb_anon;
	CREATE TABLE side.notes (id int PRIMARY KEY, text text);
	GRANT ALL ON ALL TABLES IN SCHEMA api, side TO vecdb_anon;
	ANALYZE api.people;
SQL

js_cases('postgrest_js.cjs', base_url($node));
$node->stop;
done_testing();
