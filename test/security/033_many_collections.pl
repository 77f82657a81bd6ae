# 033_many_collections.pl
#	  An anonymous client that creates as many collections as it can: a setting
#	  says how many, and with so many of them each endpoint answers as before,
#	  with the lock table that PostgreSQL has by default.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../http";
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbHttp;

my $many = $ENV{VECDB_COLLECTIONS} // 10_000;
my $near = 'c_' . ($many - $many % 3);	# of two dimensions
my $node = http_node('many_collections', <<"CONF");
max_locks_per_transaction = 64
max_connections = 100
fsync = off
checkpoint_timeout = 1h
max_wal_size = 10GB
vecdb.max_collections = $many
CONF

$VecdbHttp::Client::patience = 300;

sub sql { return $node->safe_psql('postgres', $_[0], timeout => 600) }

# As a client would, but by SQL, which is faster.
my $began = time();
sql(qq{
	SET ROLE vecdb_anon;
	SELECT vecdb.create_collection('hnsw_' || i, 2) FROM generate_series(1, 20) i;
});
sql(qq{
	DO \$\$
	BEGIN
		FOR i IN 21 .. $many LOOP
			SET LOCAL ROLE vecdb_anon;
			PERFORM vecdb.create_collection('c_' || i, 2 + i % 3, index_type => 'flat');
			IF i % 50 = 0 THEN
				COMMIT;
			END IF;
		END LOOP;
	END \$\$});
is(sql(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'collections'::regnamespace AND relkind = 'r'}), $many,
	sprintf '%d collections, after %.0f s', $many, time() - $began);

# --- no more than the setting says
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT vecdb.create_collection('one_more', 2)});
like($err, qr/ERROR:  there are $many collections already\nDETAIL:  The limit is the setting vecdb\.max_collections\.\nHINT:  Drop collections/, 'SQL makes no more');
is_error(call($node, 'POST', '/collections', { name => 'one_more', dimensions => 2 }), 422, qr/^there are $many collections already$/, 'HTTP makes no more', '53400');
my $answer = call($node, 'POST', '/vectors', { vectors => [ { id => 'x', data => [ 1, 2 ], collection => 'one_more' } ] });
is_error($answer, 422, qr/^there are $many collections already$/, 'nor by a first vector', '53400');
is((decode_raw($answer) // {})->{details}, 'The limit is the setting vecdb.max_collections.', 'the setting is told');
($rc, $out, $err) = $node->psql('postgres', q{SET ROLE vecdb_anon; SET vecdb.max_collections = 20000});
like($err, qr/permission denied/, 'which the role cannot change');

# --- with all of them, each endpoint answers
same_json(call($node, 'POST', '/vectors', { vectors => [ { id => 'near', data => [ 1, 2 ], collection => $near, metadata => { n => 1 } }, { id => 'far', data => [ -2, 1 ], collection => 'hnsw_7' } ] }),
	201, { ids => [qw(near far)] }, 'POST /vectors');

for my $round (1, 2)
{
	my @began = time();
	$answer = call($node, 'GET', '/stats');
	is($answer->{status}, 200, 'GET /stats') or diag($answer->{body});
	is((decode_raw($answer) // {})->{collections}, $many, 'counts them');
	push @began, time();
	$answer = call($node, 'GET', '/collections');
	is($answer->{status}, 200, 'GET /collections') or diag(substr $answer->{body}, 0, 300);
	is(scalar @{ (decode_raw($answer) // { collections => [] })->{collections} }, $many, 'lists them');
	push @began, time();
	$answer = call($node, 'GET', '/vectors/near');
	is($answer->{status}, 200, 'GET /vectors/ID') or diag($answer->{body});
	is((decode_raw($answer) // {})->{collection}, $near, 'finds the one that has it');
	push @began, time();
	is(call($node, 'GET', '/vectors/none')->{status}, 404, 'or none');
	push @began, time();
	same_json(call($node, 'POST', '/search', { vector => [ 1, 2 ], k => 1 }), 200,
		{ results => [ { id => 'near', score => 1, metadata => { n => 1 }, collection => $near } ] }, 'POST /search over all of them');
	push @began, time();
	note sprintf 'round %d: /stats %.1f s, /collections %.1f s, /vectors/ID %.1f s, none %.1f s, /search %.1f s', $round, map { $began[$_] - $began[ $_ - 1 ] } 1 .. $#began;
}
is(call($node, 'GET', '/collections/c_78')->{status}, 200, 'GET /collections/NAME');
is(call($node, 'POST', '/collections/c_78/search', { vector => [ 1, 2 ] })->{status}, 200, 'POST /collections/NAME/search');
same_json(call($node, 'DELETE', '/vectors/near'), 200, { id => 'near', collection => $near, deleted => JSON::PP::true }, 'DELETE /vectors/ID');
$answer = ask_admin($node, '/metrics');
ok(wait_until(sub { $answer = ask_admin($node, '/metrics'); () = $answer->{body} =~ /^vecdb_collection_vectors\{/mg; ($answer->{body} =~ tr/\n//) > 2 * $many }), 'GET /metrics has all of them');
is(call($node, 'DELETE', '/collections/c_78')->{status}, 200, 'DELETE /collections/NAME');
is(call($node, 'POST', '/collections', { name => 'c_78', dimensions => 2 })->{status}, 201, 'and then there is room for another');

# --- in SQL, in one transaction
is(sql(q{BEGIN; SELECT count(*) FROM vecdb.collections WHERE rows >= 0; SELECT count(*) < 100 FROM pg_locks WHERE pid = pg_backend_pid(); COMMIT}), "$many\nt", 'the view leaves no locks of them');
is(sql(q{BEGIN; SELECT total_vectors FROM vecdb.stats(); SELECT count(*) < 100 FROM pg_locks WHERE pid = pg_backend_pid(); COMMIT}), "1\nt", 'nor does vecdb.stats()');

# An error within one of the many, which a policy can raise, ends the request only.
$node->safe_psql('postgres', q{
	ALTER TABLE collections.c_80 ENABLE ROW LEVEL SECURITY;
	CREATE FUNCTION public.raises() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not here'; END $$;
	CREATE POLICY raising ON collections.c_80 USING (public.raises());
	SELECT vecdb.upsert('c_80', 'x', ('[1' || repeat(',1', 80 % 3 + 1) || ']')::vector);
	ALTER TABLE collections.c_80 OWNER TO postgres; GRANT SELECT ON collections.c_80 TO vecdb_anon});
for my $request ([ 'GET', '/vectors/x' ], [ 'POST', '/search', { vector => [ (1) x (80 % 3 + 2) ] } ])
{
	is_error(call($node, @$request), 400, qr/not here/, "$request->[0] $request->[1] with a policy that raises is an error");
	is(call($node, 'GET', '/vectors/far?collection=hnsw_7')->{status}, 200, 'and the next request is served');
}
sql('ALTER TABLE collections.c_80 DISABLE ROW LEVEL SECURITY');

# --- a list longer than the setting, which tables made by SQL can make it
sql("ALTER SYSTEM SET vecdb.max_collections = " . ($many - 100));
reload($node);
ok(wait_until(sub { call($node, 'GET', '/vectors/none')->{status} == 422 }), 'with more than the setting says');
for my $request ([ 'GET', '/vectors/none' ], [ 'POST', '/search', { vector => [ 1, 2 ] } ])
{
	$answer = call($node, @$request);
	is_error($answer, 422, qr/^there are $many collections, more than ${\($many - 100)}, which is the most that are looked into at once$/, "$request->[0] $request->[1] says what it is");
	is((decode_raw($answer) // {})->{hint}, 'Name the collection.', 'and the way out');
}
for my $pid (executors($node))
{
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+) kB/m;
	cmp_ok($kb, '<', 1_000_000, "an executor had $kb kB at most");
}
$node->stop;
done_testing();
