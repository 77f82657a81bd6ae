# 036_path_of_a_database.pl
#	  The owner of a database puts a schema of traps before pg_catalog, for every
#	  session there. The statements of the HTTP workers run none of them, with
#	  whichever request; triggers of users go on to have that path.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use lib "$FindBin::RealBin/../http";
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbHttp;
use VecdbTraps;

my $node = http_node('path');

$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; GRANT CREATE ON DATABASE postgres TO mallory');
$node->safe_psql('postgres', 'CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC; ' . traps_sql('evil'), as_role('mallory'));
$node->safe_psql('postgres', q{
	ALTER DATABASE postgres SET search_path = evil, pg_catalog, public;
	SELECT vecdb.create_collection('own', 2, index_type => 'flat');
	CREATE TABLE public.seen (path pg_catalog.text);
	CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN INSERT INTO seen VALUES (pg_catalog.current_setting('search_path')); RETURN NEW; END $$;
	CREATE TRIGGER note AFTER INSERT ON collections.own FOR EACH ROW EXECUTE FUNCTION public.note();
	GRANT ALL ON collections.own, public.seen TO vecdb_anon;
});
$node->restart;
ok(wait_ready($node), 'HTTP is ready with that path');

my $before = -s $node->logfile;
$node->psql('postgres', q{SELECT 1::pg_catalog.oid = 'evil'::pg_catalog.regnamespace});
isnt(sprung($node, $before), '', 'a statement with names that are not qualified springs traps');

my @requests = (
	[ 'GET', '/health', undef, 200 ],
	[ 'POST', '/collections', { name => 'made', dimensions => 2 }, 201 ],
	[ 'POST', '/vectors', { vectors => [ { data => [ 1, 2 ] }, { id => 'a', data => [ 1, 2 ], metadata => { n => 1, tags => [ 'x', 'y' ] } } ] }, 201 ],
	[ 'POST', '/vectors', { vectors => [ { id => 'b', collection => 'made', data => [ 2, 1 ] }, { id => 'c', collection => 'new', data => [ 2, 1, 3 ] } ] }, 201 ],
	[ 'POST', '/vectors', { vectors => [ { id => 'o', collection => 'own', data => [ 2, 1 ] } ] }, 201 ],
	[ 'GET', '/vectors/a', undef, 200 ],
	[ 'GET', '/vectors/b?collection=made', undef, 200 ],
	[ 'GET', '/vectors/none', undef, 404 ],
	[ 'POST', '/search', { vector => [ 1, 2 ] }, 200 ],
	[ 'POST', '/search', { vector => [ 1, 2 ], k => 3, threshold => 0.1, exact => \1, collection => 'default', filter => { n => { '$gte' => 1 }, '$or' => [ { tags => { '$in' => [ 'x' ] } }, { m => { '$exists' => \0 } } ] } }, 200 ],
	[ 'POST', '/search', { vector => [ 1, 2 ], ef_search => 20, collection => 'default' }, 200 ],
	[ 'POST', '/collections/made/search', { vector => [ 1, 2 ] }, 200 ],
	[ 'POST', '/collections/mad/search', { vector => [ 1, 2 ] }, 404 ],
	[ 'POST', '/collections/made/search', { vector => [ 1, 2, 3 ] }, 422 ],
	[ 'GET', '/collections', undef, 200 ],
	[ 'GET', '/collections/made', undef, 200 ],
	[ 'GET', '/stats', undef, 200 ],
	[ 'DELETE', '/vectors/a', undef, 200 ],
	[ 'DELETE', '/vectors/b?collection=made', undef, 200 ],
	[ 'DELETE', '/collections/made', undef, 200 ]);

for my $request (@requests)
{
	my ($method, $target, $body, $status) = @$request;

	$before = -s $node->logfile;
	my $answer = call($node, $method, $target, $body);
	is($answer->{status}, $status, "$method $target" . ($body ? ' ' . encode($body) : '')) or diag $answer->{body};
	is(sprung($node, $before), '', 'springs no trap');
}
$before = -s $node->logfile;
is(ask_admin($node, $_)->{status}, 200, $_) for '/live', '/ready', '/metrics';
is(sprung($node, $before), '', 'nor does what is asked for administration');
is($node->safe_psql('postgres', 'SELECT path FROM public.seen'), 'evil, pg_catalog, public', 'a trigger has the path of its database');
$node->safe_psql('postgres', 'ALTER ROLE vecdb_anon SET search_path = public');
is(call($node, 'POST', '/vectors', { vectors => [ { id => 'p', collection => 'own', data => [ 2, 1 ] } ] })->{status}, 201, 'another row');
is($node->safe_psql('postgres', q{SELECT path FROM public.seen OFFSET 1}), 'public', 'or that of the role, where it has one');

done_testing();
