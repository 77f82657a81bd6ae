# 145_postgrest_js.pl
#	  @supabase/postgrest-js, unchanged, reads and writes: the cases are in
#	  postgrest_js.cjs.  VECDB_POSTGREST_JS is where npm has put the client.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use PostgreSQL::Test::Utils;
use VecdbHttp;

my $client = $ENV{VECDB_POSTGREST_JS} or plan(skip_all => $ENV{VECDB_POSTGREST_JS_MISSING} // 'VECDB_POSTGREST_JS names no client');
my ($major) = (`node --version 2>/dev/null` // '') =~ /^v(\d+)/;
plan(skip_all => 'the client runs on node 20 and later') if ($major // 0) < 20;

my $node = http_node('postgrest_js', "vecdb.http_schemas = 'api'\nvecdb.http_plans = on\n");
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
	GRANT ALL ON ALL TABLES IN SCHEMA api TO vecdb_anon;
SQL

my ($out, $err) = ('', '');
my $run = IPC::Run::run([ 'node', "$FindBin::RealBin/postgrest_js.cjs", $client, base_url($node) ], '<', \undef, '>', \$out, '2>', \$err,
	IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
ok($run, 'the client has run') or diag($err);
my $last = '';
for my $line (split /\n/, $out)
{
	my $case = decode($line);
	is_deeply($case->{got}, $case->{expected}, $case->{name}) or diag(explain($case->{got}));
	$last = $case->{name};
}
is($last, 'the end', 'to the end');
$node->stop;
done_testing();
