# 150_rest_plans.pl
#	  Plans that are kept from one request of /rest/v1 to the next: a request sees the
#	  tables, functions, types, rights, policies and limits as they are, whatever was
#	  kept; and what is kept has bounds.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Crypt::JWT qw(encode_jwt);
use Test::More;
use VecdbHttp;

# A plan for any values is made after five for given ones.
my $OFTEN = 8;
my $secret = 'a secret of thirty-two bytes ...';
my $node = http_node('rest_plans', "vecdb.http_schemas = 'api, collections'\nvecdb.http_executors = 1\nvecdb.http_jwt_key = '$secret'\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE ROLE one NOLOGIN; CREATE ROLE two NOLOGIN; CREATE ROLE readers NOLOGIN;
	GRANT one, two TO vecdb_http;
	CREATE SCHEMA api;
	GRANT USAGE ON SCHEMA api, collections TO vecdb_anon, one, two;
	CREATE TABLE api.item (id int PRIMARY KEY, name text, owner name);
	INSERT INTO api.item SELECT i, 'name ' || i, CASE WHEN i % 2 = 0 THEN 'two' ELSE 'one' END FROM generate_series(1, 1000) i;
	CREATE FUNCTION api.twice(api.item) RETURNS int LANGUAGE sql STABLE AS 'SELECT 2 * $1.id';
	CREATE FUNCTION api.shout(api.item) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN $1.name || ''!''; END';
	CREATE TYPE api.mood AS ENUM ('sad', 'happy');
	CREATE TABLE api.feeling (id int, word text);
	INSERT INTO api.feeling VALUES (1, 'sad');
	-- What the executor keeps, as it sees it itself
	CREATE FUNCTION public.kept() RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
		AS $$ SELECT ident FROM pg_catalog.pg_get_backend_memory_contexts() WHERE name = 'CachedPlanSource' $$;
	CREATE VIEW api.kept AS SELECT k AS sql FROM public.kept() k;
	CREATE VIEW api.kept_memory AS SELECT count(*) AS plans FROM public.kept() k WHERE k LIKE '%api.item%';
	GRANT SELECT ON api.item, api.feeling, api.kept, api.kept_memory TO vecdb_anon, one, two;
	SELECT vecdb.create_collection('film', 8);
	INSERT INTO collections.film (id, data) SELECT i, ARRAY(SELECT sin(i * sqrt(j)) FROM generate_series(1, 8) j)::vector FROM generate_series(1, 3000) i;
	ANALYZE collections.film; ANALYZE api.item;
	GRANT SELECT ON collections.film TO vecdb_anon;
SQL
my $c = VecdbHttp::Client->new($node->{http});
my %token = map { $_ => encode_jwt(payload => { role => $_ }, alg => 'HS256', key => $secret) } qw(one two);

sub ask
{
	my ($target, $role) = @_;

	return $c->request('GET', "/rest/v1/$target", undef, 'Accept-Profile' => $target =~ /^film/ ? 'collections' : 'api',
		$role ? (Authorization => "Bearer $token{$role}") : ());
}

sub gives
{
	my ($target, $expected, $name, $role) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	same_json(ask($target, $role), 200, $expected, $name);
	return;
}

sub run { return $node->safe_psql('postgres', $_[0]) }

# Ask as often as it takes for a plan that is for any values.
sub warm { my ($target, $role) = @_; return [ map { ask($target, $role)->{status} } 1 .. $OFTEN ] }

sub ids
{
	my ($target, $role) = @_;
	my $answer = ask($target, $role);

	return $answer->{status} == 200 ? join(" ", map { $_->{id} } @{ decode_raw($answer) }) : $answer->{body};
}

# --- one plan serves many values
for my $i (1 .. $OFTEN)
{
	gives("item?id=eq.$i&select=name", [ { name => "name $i" } ], "row $i");
}
is(scalar(grep { $_->{sql} =~ /^SELECT t\.name FROM api\.item t WHERE / } @{ decode_raw(ask('kept?select=sql')) }), 1, 'one plan is kept for all of them');
is(ids('item?id=in.(3,5)&select=id&order=id'), '3 5', 'another statement beside it');

# --- tables change
run('ALTER TABLE api.item ADD COLUMN more int DEFAULT 7');
gives('item?id=eq.1&select=more', [ { more => 7 } ], 'a column that was added');
warm('item?id=eq.4');
run('ALTER TABLE api.item DROP COLUMN more');
is_deeply([ sort keys %{ decode_raw(ask('item?id=eq.4'))->[0] } ], [qw(id name owner)], 'all columns, once one is gone');
warm('item?id=eq.4&select=id,name');
run('ALTER TABLE api.item ALTER COLUMN name TYPE json USING to_json(name)');
gives('item?id=eq.4&select=id,name', [ { id => 4, name => 'name 4' } ], 'a column of another type');
run('ALTER TABLE api.item ALTER COLUMN name TYPE text USING name #>> \'{}\'');
run('CREATE TABLE api.brief (id int, a text); INSERT INTO api.brief VALUES (1, \'x\'); GRANT SELECT ON api.brief TO vecdb_anon');
is_deeply(warm('brief?id=eq.1'), [ (200) x $OFTEN ], 'a table');
run('DROP TABLE api.brief');
is_error(ask('brief?id=eq.1'), 404, qr/Could not find the table/, 'once it is dropped', 'PGRST205');
run('CREATE TABLE api.brief (id text, a int); INSERT INTO api.brief VALUES (\'1\', 2); GRANT SELECT ON api.brief TO vecdb_anon');
gives('brief?id=eq.1', [ { id => '1', a => 2 } ], 'another of its name, with other types');
warm('brief?id=eq.1');
run('ALTER TABLE api.brief RENAME TO was; CREATE TABLE api.brief (id text, a int); INSERT INTO api.brief VALUES (\'1\', 3); GRANT SELECT ON api.brief TO vecdb_anon');
gives('brief?id=eq.1', [ { id => '1', a => 3 } ], 'another of its name, with the same types');

# --- functions and types change
warm('item?id=eq.5&select=twice,shout');
gives('item?id=eq.5&select=twice,shout', [ { twice => 10, shout => 'name 5!' } ], 'computed columns');
run('CREATE OR REPLACE FUNCTION api.twice(api.item) RETURNS int LANGUAGE sql STABLE AS \'SELECT 3 * $1.id\'');
run('DROP FUNCTION api.shout(api.item); CREATE FUNCTION api.shout(api.item) RETURNS text LANGUAGE plpgsql STABLE AS \'BEGIN RETURN $1.name || \'\'?\'\'; END\'');
gives('item?id=eq.5&select=twice,shout', [ { twice => 15, shout => 'name 5?' } ], 'a function that was replaced, and one that was made anew');
warm('feeling?select=word::mood');
run('DROP TYPE api.mood; CREATE TYPE api.mood AS ENUM (\'sad\')');
gives('feeling?select=word::mood', [ { word => 'sad' } ], 'a cast to a type that was made anew');

# --- rights change
warm('item?id=eq.6&select=id', 'one');
run('REVOKE SELECT ON api.item FROM one; GRANT SELECT (name) ON api.item TO one');
is_error(ask('item?id=eq.6&select=id', 'one'), 403, qr/permission denied/, 'a right that was taken away', '42501');
is(ids('item?id=eq.6&select=id', 'two'), '6', 'another role has it');
run('GRANT SELECT ON api.item TO one');
is(ids('item?id=eq.6&select=id', 'one'), '6', 'it is given back');
warm('item?id=eq.6&select=id,twice', 'one');
run('REVOKE EXECUTE ON FUNCTION api.twice(api.item) FROM PUBLIC');
run('CREATE OR REPLACE FUNCTION api.twice(api.item) RETURNS int LANGUAGE plpgsql STABLE AS \'BEGIN RETURN 2; END\'');
is_error(ask('item?id=eq.6&select=id,twice', 'one'), 403, qr/permission denied for function/, 'the right to a function', '42501');

# --- policies, of roles that share the executor
run('GRANT EXECUTE ON FUNCTION api.twice(api.item) TO PUBLIC');
warm('item?id=lt.5&select=id&order=id', $_) for qw(one two);
run('ALTER TABLE api.item ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON api.item USING (owner = current_user)');
for (1 .. $OFTEN)
{
	is(ids('item?id=lt.5&select=id&order=id', 'one'), '1 3', 'rows of one');
	is(ids('item?id=lt.5&select=id&order=id', 'two'), '2 4', 'rows of two');
}
run('DROP POLICY own ON api.item; CREATE POLICY own ON api.item TO readers USING (true)');
is(ids('item?id=lt.5&select=id&order=id', 'one'), '', 'a policy for others');
warm('item?id=lt.5&select=id&order=id', 'one');
run('GRANT readers TO one');
is(ids('item?id=lt.5&select=id&order=id', 'one'), '1 2 3 4', 'who becomes one of them');
warm('item?id=lt.5&select=id&order=id', 'one');
run('REVOKE readers FROM one');
is(ids('item?id=lt.5&select=id&order=id', 'one'), '', 'and is one no longer');
run('ALTER ROLE two BYPASSRLS');
is(ids('item?id=lt.5&select=id&order=id', 'two'), '1 2 3 4', 'a role that no policy holds for');
warm('item?id=lt.5&select=id&order=id', 'two');
run('ALTER ROLE two NOBYPASSRLS');
is(ids('item?id=lt.5&select=id&order=id', 'two'), '', 'it holds again');
run('ALTER TABLE api.item DISABLE ROW LEVEL SECURITY');
is(ids('item?id=lt.5&select=id&order=id', 'two'), '1 2 3 4', 'without policies');

# --- writes
run('CREATE TABLE api.note (id int PRIMARY KEY, text text DEFAULT \'none\'); GRANT ALL ON api.note TO vecdb_anon');
is_deeply([ map { $c->request('POST', '/rest/v1/note', [ { id => $_, text => "t$_" } ])->{status} } 1 .. $OFTEN ], [ (201) x $OFTEN ], 'rows are made');
is_deeply([ map { $c->request('PATCH', "/rest/v1/note?id=eq.$_", { text => "u$_" })->{status} } 1 .. $OFTEN ], [ (204) x $OFTEN ], 'and changed');
is(run('SELECT string_agg(id || text, \' \' ORDER BY id) FROM api.note'), join(' ', map { "${_}u$_" } 1 .. $OFTEN), 'each as it was asked for');
my @default = (Prefer => 'missing=default');
$c->request('POST', '/rest/v1/note?columns=id,text', [ { id => 100 + $_ } ], @default) for 1 .. $OFTEN;
run('ALTER TABLE api.note ALTER COLUMN text SET DEFAULT \'other\'');
$c->request('POST', '/rest/v1/note?columns=id,text', [ { id => 200 } ], @default);
is(run('SELECT string_agg(DISTINCT text, \' \' ORDER BY text) FROM api.note WHERE id > 100'), 'none other', 'a default that changes');

# --- an order by distance stays with its index
my $before = run(q{SELECT coalesce(seq_scan, 0) FROM pg_stat_all_tables WHERE relid = 'collections.film'::regclass});
my $scans = run(q{SELECT sum(idx_scan) FROM pg_stat_all_indexes WHERE relid = 'collections.film'::regclass AND indexrelname ~ 'data'});
# of each limit as often as makes it a plan for any vector
for my $i (1 .. 3 * $OFTEN)
{
	my $vector = '[' . join(',', map { sin($i * sqrt $_) } 1 .. 8) . ']';
	is(ids("film?select=id&order=data.cosine.$vector&limit=" . (1 + $i % 3)) =~ s{ .*}{}r, $i, "the nearest of $i");
}
$c->close;
ok(wait_until(sub { run(q{SELECT sum(idx_scan) FROM pg_stat_all_indexes WHERE relid = 'collections.film'::regclass AND indexrelname ~ 'data'}) >= $scans + 3 * $OFTEN }), 'all by the index')
  or diag(run(q{SELECT indexrelname, idx_scan FROM pg_stat_all_indexes WHERE relid = 'collections.film'::regclass}));
is(run(q{SELECT coalesce(seq_scan, 0) FROM pg_stat_all_tables WHERE relid = 'collections.film'::regclass}), $before, 'none by reading the table');

# --- what is kept has bounds
$c = VecdbHttp::Client->new($node->{http});
my ($pid) = executors($node);
my @memory;
for my $round (1 .. 3)
{
	for my $i (1 .. 400)
	{
		my $answer = ask("item?select=a$i:id,name&name=eq.x&id=" . ($i % 2 ? 'gt' : 'lt') . ".0&order=" . join(',', map { ('id', 'name', 'owner')[ ($i >> $_) % 3 ] } 0 .. 7));
		is($answer->{status}, 200, "statement $i") if $answer->{status} != 200;
	}
	push @memory, memory_kb($pid);
}
my $plans = decode_raw(ask('kept_memory'))->[0]{plans};
cmp_ok($plans, '>', 100, 'many plans are kept');
cmp_ok($plans, '<=', 200, 'no more than 200');
cmp_ok($memory[2] - $memory[1], '<', 2000, 'memory does not grow with the number of statements') or diag("@memory");
is_deeply([ executors($node) ], [$pid], 'all of it was one session');

# --- the limit on costs holds for what was kept as for what is new
my $target = 'item?select=id&order=name&id=';
sub cost { my ($mode) = @_; return run("SET plan_cache_mode = $mode; PREPARE q(int) AS SELECT id FROM api.item WHERE id > \$1 ORDER BY name; EXPLAIN EXECUTE q(0)") =~ /cost=[\d.]+\.\.([\d.]+)/ ? $1 : die }
my ($any, $all) = map { cost("force_${_}_plan") } qw(generic custom);
cmp_ok($any * 1.2, '<', $all, 'an estimate for any value is lower than that for one') or diag("$any $all");
is_deeply([ @{ warm("${target}gt.0") }, @{ warm("${target}gt.990") } ], [ (200) x (2 * $OFTEN) ], 'a statement, without a limit');
$node->append_conf('postgresql.conf', 'vecdb.http_max_cost = ' . ($any + $all) / 2);
reload($node);
ok(wait_until(sub { ask("${target}gt.0")->{status} == 422 }), 'where it costs much it is refused from then on');
is_deeply(warm("${target}gt.0"), [ (422) x $OFTEN ], 'however often it is asked for');
is_deeply(warm("${target}gt.990"), [ (200) x $OFTEN ], 'with another value it is not');
is_deeply(warm("${target}gt.0"), [ (422) x $OFTEN ], 'and one does not speak for the other');

# --- an index that ends before it has found all rows: those that match are behind more than it looks at
run(<<'SQL');
	CREATE TABLE api.near (id int PRIMARY KEY, d vector(3), far boolean, tenant name);
	INSERT INTO api.near SELECT i, ARRAY[i, sin(i), cos(i)]::vector, i > 22000, CASE WHEN i > 22000 THEN 'two' ELSE 'one' END FROM generate_series(1, 22100) i;
	CREATE INDEX ON api.near USING hnsw (d vector_l2_ops) WITH (m = 8, ef_construction = 32);
	ANALYZE api.near;
	ALTER TABLE api.near ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON api.near USING (tenant = current_user OR current_user = 'vecdb_anon');
	GRANT SELECT ON api.near TO vecdb_anon, one, two;
SQL
$node->append_conf('postgresql.conf', 'vecdb.http_max_cost = 0');
reload($node);
ok(wait_until(sub { ask("${target}gt.0")->{status} == 200 }), 'costs are not limited');
my $order = 'order=d.l2.[0,0,0]';
for my $case (
	[ "far=is.true&limit=3", [ 22001 .. 22003 ], undef, 'a filter that the far rows pass' ],
	[ "far=is.true&limit=3&offset=2", [ 22003 .. 22005 ], undef, '... behind an offset' ],
	[ "d=gt.l2.22098.9.[0,0,0]&limit=3", [ 22099, 22100 ], undef, 'a distance that few are beyond' ],
	[ "limit=3", [ 22001 .. 22003 ], 'two', 'a policy that the far rows pass' ],
	[ "limit=3", [ 1 .. 3 ], 'one', '... and the near ones' ],
	[ "far=is.true&id=lt.22003&limit=3", [ 22001, 22002 ], undef, 'fewer than the limit' ])
{
	my ($query, $ids, $role, $name) = @$case;

	gives("near?select=id&$order&$query", [ map { { id => $_ } } @$ids ], "$name: all rows come", $role) for 1 .. 2;
}
is(ask("near?select=id&$order&far=is.true&limit=3")->{headers}{'content-range'}, '0-2/*', 'and are counted');
is($c->request('GET', "/rest/v1/near?select=id&$order&far=is.true&limit=1", undef, 'Accept-Profile' => 'api', Accept => 'application/vnd.pgrst.object+json')->{body}, '{"id":22001}', 'one as an object');
is($c->request('GET', "/rest/v1/near?select=id&$order&far=is.true&limit=2", undef, 'Accept-Profile' => 'api', Accept => 'text/csv')->{body}, "id\n22001\n22002", 'as CSV');
is(ask("near?select=id&$order&limit=1")->{body}, '[{"id":1}]', 'the next request has its index');

$node->stop;
done_testing();
