# 030_anonymous_client.pl
#	  A client without a token, who sends any request, and whose role may create
#	  in the schema of collections: what lies there need not be a collection.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../http";
use Test::More;
use VecdbHttp;

my $node = http_node('anonymous', "vecdb.http_executors = 1\n", lab => 1);
my @executors = executors($node);
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

# The server has not restarted, nor has the executor.
sub goes_on
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my (undef, $now) = $node->psql('postgres', 'SELECT pg_postmaster_start_time()');
	ok($now eq $started && "@executors" eq join(' ', executors($node)), "$name: the server goes on");
	return;
}

# --- relations that are no collections, made by the role of requests
my %tables = (
	'metadata as json' => 'id text, data public.vector(3), metadata json',
	'metadata as bigint' => 'id text, data public.vector(3), metadata bigint',
	'metadata as text' => 'id text, data public.vector(3), metadata text',
	'metadata as bytea' => 'id text, data public.vector(3), metadata bytea',
	'metadata as a domain' => 'id text, data public.vector(3), metadata public.document',
	'no metadata' => 'id text, data public.vector(3)',
	'data as text' => 'id text, data text, metadata jsonb',
	'data as bigint' => 'id text, data bigint, metadata jsonb',
	'data as varchar' => 'id text, data varchar(7), metadata jsonb',
	'data as a domain' => 'id text, data public.point3, metadata jsonb',
	'data as a sparse vector' => 'id text, data public.sparsevec(3), metadata jsonb',
	'data without dimensions' => 'id text, data public.vector, metadata jsonb',
	'id as bigint' => 'id bigint, data public.vector(3), metadata jsonb',
	'id as varchar' => 'id varchar(10), data public.vector(3), metadata jsonb',
	'no metric' => 'id text, data public.vector(3), metadata jsonb');
my %values = (
	json => q{'{"a":1}'}, bigint => '2305843009213693951', text => q{'","forged":"'}, bytea => q{'\xffffffff'}, 'public.document' => q{'{}'},
	jsonb => q{'{}'}, 'public.vector(3)' => q{'[1,2,3]'}, 'varchar(7)' => q{'1'}, 'public.point3' => q{'[1,2,3]'},
	'public.sparsevec(3)' => q{'{1:1}/3'}, 'public.vector' => q{'[1,2,3]'}, 'varchar(10)' => q{'1'});
my %other = (
	'a view' => q{CREATE VIEW collections.NAME AS SELECT '1'::text AS id, '","forged":"'::text AS data, 7::bigint AS metadata, 8 AS created_at, 9 AS updated_at},
	'a view of vectors' => q{CREATE VIEW collections.NAME AS SELECT '1'::text AS id, '[1,2,3]'::public.vector(3) AS data, '{}'::jsonb AS metadata},
	'a materialized view' => q{CREATE MATERIALIZED VIEW collections.NAME AS SELECT '1'::text AS id, '[1,2,3]'::public.vector(3) AS data, '{}'::jsonb AS metadata},
	'a sequence' => 'CREATE SEQUENCE collections.NAME',
	'a composite type' => 'CREATE TYPE collections.NAME AS (id text, data text, metadata json)',
	'a foreign table' => 'CREATE FOREIGN TABLE collections.NAME (id text, data public.vector(3), metadata jsonb) SERVER nowhere',
	'an index' => 'CREATE INDEX NAME ON collections.lab (created_at)',
	'a dropped column' => q{CREATE TABLE collections.NAME (id text, data public.vector(3), metadata jsonb, CHECK (vecdb.uses_metric('l2')));
		INSERT INTO collections.NAME VALUES ('1', '[1,2,3]', '{}'); ALTER TABLE collections.NAME DROP COLUMN metadata; ALTER TABLE collections.NAME ADD metadata bigint DEFAULT 7});

$node->safe_psql('postgres', q{
	CREATE DOMAIN public.document AS jsonb; CREATE DOMAIN public.point3 AS public.vector(3);
	CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
});
my $n = 0;
my %name_of;
for my $what (sort keys %tables)
{
	my $name = $name_of{$what} = 'none' . $n++;
	my @columns = map { [ split / /, $_, 2 ] } split /, /, $tables{$what};
	# By hand made with a metric, so that the columns alone tell.
	my $check = $what eq 'no metric' ? '' : q{, CHECK (vecdb.uses_metric('l2'))};
	$node->safe_psql('postgres', "CREATE TABLE collections.$name ($tables{$what}$check);"
		  . "INSERT INTO collections.$name VALUES (" . join(', ', map { $_->[0] eq 'id' ? q{'1'} : $values{ $_->[1] } } @columns) . ');'
		  . "ALTER TABLE collections.$name OWNER TO vecdb_anon");
}
for my $what (sort keys %other)
{
	my $name = $name_of{$what} = 'none' . $n++;
	$node->safe_psql('postgres', $other{$what} =~ s/NAME/$name/gr);
	$node->safe_psql('postgres', "ALTER TABLE collections.$name OWNER TO vecdb_anon") if $what !~ /type|index/;
}
for my $what (sort keys %name_of)
{
	my $name = $name_of{$what};
	my $rows = $what =~ /type|index|foreign/ ? '' : "SELECT * FROM collections.$name";
	my $before = $rows && $node->safe_psql('postgres', $rows);

	is_error(call($node, 'GET', "/vectors/1?collection=$name"), 404, qr/$name/, "$what: its row is not read");
	goes_on($what);
	is_error(call($node, 'DELETE', "/vectors/1?collection=$name"), 404, qr/$name/, "$what: nor deleted");
	is_error(call($node, 'POST', '/search', { vector => [ 1, 2, 3 ], collection => $name }), 404, qr/$name/, "$what: nor searched");
	is_error(call($node, 'POST', "/collections/$name/search", { vector => [ 1, 2, 3, 4, 5, 6, 7 ] }), 404, qr/$name/, "$what: with any vector");
	is_error(call($node, 'POST', '/vectors', { vectors => [ { id => '2', data => [ 1, 2, 3 ], collection => $name } ] }), 404, qr/$name/, "$what: nor written to");
	is_error(call($node, 'GET', "/collections/$name"), 404, qr/$name/, "$what: nor described");
	is_error(call($node, 'DELETE', "/collections/$name"), 404, qr/$name/, "$what: nor dropped");
	is($rows && $node->safe_psql('postgres', $rows), $before, "$what: is as it was");
}
is_error(call($node, 'GET', '/vectors/1'), 404, qr/no vector/, 'a request that names none does not come upon them');
is_deeply([ map { $_->{name} } @{ decode_raw(call($node, 'GET', '/collections'))->{collections} } ], ['lab'], 'nor are they listed');

# --- collections made by hand: other columns may be anything
my %made = (
	'no times' => [ '', undef, undef ],
	'times of other types' => [ q{, created_at json DEFAULT '{"a":1}', updated_at text DEFAULT '","x":"'}, undef, undef ],
	'one time' => [ q{, created_at timestamptz DEFAULT '2024-01-01 00:00+00'}, qr/^2024-01-01T/, undef ],
	'a generated column' => [ q{, created_at timestamptz GENERATED ALWAYS AS ('2023-01-01 00:00+00'::timestamptz) STORED}, qr/^2023-01-01T/, undef ]);
for my $what (sort keys %made)
{
	my ($columns, $created, $updated) = @{ $made{$what} };
	$node->safe_psql('postgres', qq{CREATE TABLE collections.made (id text PRIMARY KEY, gone bigint, data public.halfvec(3), metadata jsonb$columns, CHECK (vecdb.uses_metric('l2')));
		ALTER TABLE collections.made DROP COLUMN gone; INSERT INTO collections.made (id, data, metadata) VALUES ('x', '[1,0.5,3]', '{"a":["b"]}'); GRANT ALL ON collections.made TO vecdb_anon});
	my $row = decode_raw(call($node, 'GET', '/vectors/x?collection=made'));
	is_deeply([ @$row{qw(id collection data metadata)} ], [ 'x', 'made', [ 1, 0.5, 3 ], { a => ['b'] } ], "$what: the row is read");
	defined $created ? like($row->{created_at}, $created, "$what: when it was created") : is($row->{created_at}, undef, "$what: not when it was created");
	is($row->{updated_at}, $updated, "$what: nor updated");
	is_deeply(decode_raw(call($node, 'GET', '/vectors/x')), $row, "$what: the same without the name");

	# The plan that was kept for it meets a table of other types under the name.
	$node->safe_psql('postgres', q{DROP TABLE collections.made; CREATE TABLE collections.made (id text, data text, metadata json, created_at bigint);
		INSERT INTO collections.made VALUES ('x', '","forged":"', '7', 7); GRANT ALL ON collections.made TO vecdb_anon});
	is_error(call($node, 'GET', '/vectors/x?collection=made'), 404, qr/made/, "$what: replaced by something else");
	is_error(call($node, 'GET', '/vectors/x'), 404, qr/no vector/, "$what: without the name");
	$node->safe_psql('postgres', 'DROP TABLE collections.made');
	goes_on($what);
}
$node->safe_psql('postgres', q{CREATE TABLE collections.parts (id text PRIMARY KEY, data public.vector(3), metadata jsonb, CHECK (vecdb.uses_metric('l2'))) PARTITION BY HASH (id);
	CREATE TABLE public.part0 PARTITION OF collections.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE public.part1 PARTITION OF collections.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	GRANT ALL ON collections.parts TO vecdb_anon});
is(call($node, 'POST', '/vectors', { vectors => [ map { { id => "p$_", data => [ 1, 2, $_ ], collection => 'parts' } } 1 .. 9 ] })->{status}, 201, 'a partitioned table is written to');
is_deeply(decode_raw(call($node, 'GET', '/vectors/p7'))->{data}, [ 1, 2, 7 ], 'and read');

# Replaced while the request waits for the table: what is looked at is what is read.
my $c = VecdbHttp::Client->new($node->{http});
$node->safe_psql('postgres', q{SELECT vecdb.create_collection('swapped', 3); GRANT ALL ON collections.swapped TO vecdb_anon; SELECT vecdb.upsert('swapped', 'x', '[1,2,3]')});
is($c->request('GET', '/vectors/x?collection=swapped')->{status}, 200, 'a collection before it is replaced');
my $other = hold_sql($node, q{BEGIN; DROP TABLE collections.swapped; CREATE TABLE collections.swapped (id text, data text, metadata bigint);
	INSERT INTO collections.swapped VALUES ('x', '","forged":"', 7); GRANT ALL ON collections.swapped TO vecdb_anon});
$c->send(VecdbHttp::Client::compose('GET', '/vectors/x?collection=swapped'));
ok(wait_until(sub { $node->safe_psql('postgres', "SELECT wait_event_type FROM pg_stat_activity WHERE pid = $executors[0]") eq 'Lock' }), 'the request waits for its table');
release_lock($other, 'COMMIT');
is_error($c->answer('GET'), 404, qr/swapped/, 'which is none when the wait is over');
goes_on('replaced while it waits');

# --- what the role may not read
$node->safe_psql('postgres', q{SELECT vecdb.create_collection('secret', 5); SELECT vecdb.upsert('secret', 's', '[1,2,3,4,5]')});
for my $ask ([ 'GET', '/vectors/s?collection=secret' ], [ 'DELETE', '/vectors/s?collection=secret' ], [ 'GET', '/collections/secret' ],
	[ 'POST', '/search', { vector => [ 1, 2, 3 ], collection => 'secret' } ],
	[ 'POST', '/vectors', { vectors => [ { id => 's', data => [ 1, 2, 3 ], collection => 'secret' } ] } ])
{
	my ($method, $path, $body) = @$ask;
	my $answer = call($node, $method, $path, $body);
	ok($answer && $answer->{status} >= 400 && $answer->{body} !~ /\b5\b/, "$method $path: does not tell the dimensions of a collection that may not be read")
	  or diag($answer->{body});
}
is($node->safe_psql('postgres', q{SELECT data FROM collections.secret}), '[1,2,3,4,5]', 'what may not be written is as it was');

# What may be read follows the role and its memberships at once.
sub reads { return call($node, 'GET', '/vectors/s')->{status} }
is(reads(), 404, 'a collection that may not be read is not looked into');
$node->safe_psql('postgres', 'CREATE ROLE reader NOLOGIN; GRANT SELECT ON collections.secret TO reader; GRANT USAGE ON SCHEMA collections TO reader; GRANT reader TO vecdb_http');
is(reads(), 404, 'nor when another role may');
$node->safe_psql('postgres', 'GRANT reader TO vecdb_anon');
is(reads(), 200, 'who becomes a member of that role may');
$node->safe_psql('postgres', 'REVOKE reader FROM vecdb_anon');
is(reads(), 404, 'and then no more');
$node->append_conf('postgresql.conf', "vecdb.http_anon_role = 'reader'");
reload($node);
ok(wait_until(sub { reads() == 200 }), 'the other role reads it');
$node->append_conf('postgresql.conf', "vecdb.http_anon_role = 'vecdb_anon'");
reload($node);
ok(wait_until(sub { reads() == 404 }), 'and the first one does not');

# --- loops over what a client sends can be interrupted
# What is wrong stands at the end, so the answer tells whether the loop before it
# was interrupted, by a time that it takes many times over.
$node->safe_psql('postgres', q{ALTER ROLE vecdb_anon SET statement_timeout = '2ms'});
is_error(call($node, 'POST', '/vectors', '{"vectors":[' . ('{"data":[1,2,3,4,5,6,7,8],"metadata":{"a":{"b":[1,2,3]}}},' x 90_000) . '7]}', 'Content-Type' => 'application/json'),
	500, qr/statement timeout/, 'rows of a body, of which the last is none', '57014');
$node->safe_psql('postgres', 'ALTER ROLE vecdb_anon RESET statement_timeout');
is_error(call($node, 'POST', '/vectors', { vectors => [ map { { data => [ 1, 2, 3 ], collection => "x$_" } } 1 .. 80_000 ] }), 422, qr/collection 101 of the body/,
	'80,000 names of collections are not looked at');

# In SQL the interrupt is there when the function is called, which has an error to
# tell at the end of its loop.
$node->safe_psql('postgres', q{SELECT vecdb.upsert_batch('lab', '{a}', ARRAY['[1,2,3]'::public.vector])});
for my $call (q{vecdb.upsert_batch('lab', ARRAY['a', ''], ARRAY['[1,2,3]', '[1,2,3]']::public.vector[])},
	q{vecdb.upsert('lab', '[{"data":[1,2,3]},7]'::jsonb)})
{
	my (undef, undef, $error) = $node->psql('postgres', "SELECT vecdb.upsert_batch('lab', '{a}', ARRAY['[1,2,3]'::public.vector]); SELECT pg_cancel_backend(pg_backend_pid()), $call");
	like($error, qr/canceling statement due to user request/, "$call: the loop is interrupted");
}

goes_on('the end');
$node->stop;
done_testing();
