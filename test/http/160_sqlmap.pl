# 160_sqlmap.pl
#	  sqlmap, at its lowest level and risk, finds nothing to inject SQL by: parameters,
#	  headers, paths and bodies of /rest/v1 and of the native API.  It does find the hole in
#	  a trigger that was made for it, so that its silence says something.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use PostgreSQL::Test::Utils;
use VecdbHttp;

plan(skip_all => 'runs with LONG=1') unless $ENV{LONG};
my ($sqlmap) = grep { -x $_ } map { "$_/sqlmap" } split /:/, $ENV{PATH};
BAIL_OUT('sqlmap is missing') unless $sqlmap;

my $node = http_node('sqlmap', "vecdb.http_schemas = 'api, collections'\n");
$node->safe_psql('postgres', <<'SQL');
	CREATE SCHEMA api;
	GRANT USAGE ON SCHEMA api TO vecdb_anon;
	CREATE TABLE api.items (id int PRIMARY KEY, name text, info jsonb, embedding vector(3));
	INSERT INTO api.items SELECT i, 'name ' || i, jsonb_build_object('a', i), ARRAY[i, 1, 2]::vector FROM generate_series(1, 5) i;
	CREATE TABLE api.hole (id serial PRIMARY KEY, q text);
	CREATE FUNCTION api.hole() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE 'SELECT name FROM api.items WHERE name = ''' || NEW.q || '''' INTO NEW.q;
		RETURN NEW;
	END $$;
	CREATE TRIGGER hole BEFORE INSERT ON api.hole FOR EACH ROW EXECUTE FUNCTION api.hole();
	GRANT ALL ON ALL TABLES IN SCHEMA api TO vecdb_anon;
	GRANT ALL ON ALL SEQUENCES IN SCHEMA api TO vecdb_anon;
	SELECT vecdb.create_collection('film', 3);
	GRANT ALL ON collections.film TO vecdb_anon;
	INSERT INTO collections.film (id, data, metadata) VALUES ('a', '[1,2,3]', '{"year": 1959}');
SQL

# What sqlmap says of a request; a "*" in it stands behind what it may change.
sub sqlmap
{
	my ($path, @options) = @_;
	my $directory = PostgreSQL::Test::Utils::tempdir();
	my ($out, $err) = ('', '');
	local $ENV{HOME} = $directory;

	eval {
		IPC::Run::run([ $sqlmap, '-u', base_url($node) . $path, '--batch', '--disable-coloring', '--level', 1, '--risk', 1, '--dbms', 'PostgreSQL',
				'--technique', 'BEUST', '--time-sec', 2, '--retries', 0, '--flush-session', '--output-dir', $directory, @options ],
			'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(240));
		1;
	} or diag("sqlmap did not end: $@");
	return $out;
}

sub finds_nothing
{
	my ($name, @request) = @_;
	my $log = -s $node->logfile;
	my $said = sqlmap(@request);
	my $asked = () = substr(slurp_file($node->logfile), $log) =~ /^.*http: /mg;

	cmp_ok($asked, '>', 30, "$name: it has tried");
	ok($said =~ /do not appear to be injectable/ && $said !~ /identified the following injection point/, "$name: nothing") or diag(substr($said, -3000));
	return;
}

my @json = ('--headers', 'Content-Type: application/json');
like(sqlmap('/rest/v1/hole', '--data', '{"q":"name 1*"}', '--method', 'POST', '--headers', "Content-Type: application/json\nPrefer: return=representation"),
	qr/identified the following injection point/, 'a hole in a trigger is found');

finds_nothing('filters of numbers and texts', '/rest/v1/items?id=eq.1*&name=eq.name*');
finds_nothing('a list and a pattern', '/rest/v1/items?id=in.(1,2*)&name=like.n*');
finds_nothing('a tree', '/rest/v1/items?or=(id.eq.1*,name.eq.x*)');
finds_nothing('columns and an order', '/rest/v1/items?select=id*&order=id*');
finds_nothing('a path of JSON', '/rest/v1/items?info->>a*=eq.1*');
finds_nothing('a distance', '/rest/v1/items?order=embedding.l2.[1,2,3*]&limit=1*');
finds_nothing('the name of a table', '/rest/v1/items*');
finds_nothing('a profile', '/rest/v1/items?id=eq.1', '--headers', 'Accept-Profile: api*');
finds_nothing('preferences', '/rest/v1/items?id=eq.1', '--headers', "Prefer: timezone=UTC*, count=exact*");
finds_nothing('a row', '/rest/v1/items?columns=id,name', '--method', 'POST', '--data', '{"id":7,"name":"x*"}', @json);
finds_nothing('the column of a conflict', '/rest/v1/items?on_conflict=id*&columns=id*', '--method', 'POST', '--data', '{"id":7}', '--headers', "Content-Type: application/json\nPrefer: resolution=merge-duplicates");
finds_nothing('a vector of the native API', '/vectors/a*?collection=film*');
finds_nothing('a filter of it', '/collections/film/count', '--method', 'POST', '--data', '{"filter":{"year":{"$gt":"1950*"}}}', @json);
is($node->safe_psql('postgres', 'SELECT count(*) FROM api.items WHERE id <= 5'), 5, 'the rows are there');

$node->stop;
done_testing();
