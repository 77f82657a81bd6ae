# 140_native_rows.pl
#	  Rows of a collection by the native API: pages, counts, many at once, metadata
#	  alone, and integers as ids.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbHttp;

my $node = http_node('native_rows');

sub ids { my ($answer) = @_; return join ' ', map { $_->{id} } @{ (decode_raw($answer) // {})->{vectors} // [] } }

call($node, 'POST', '/vectors', { vectors => [ map { { id => sprintf('v%02d', $_), collection => 'c', data => [ $_, 1, 2 ], metadata => { n => $_, odd => $_ % 2 ? \1 : \0 } } } 1 .. 25 ] });

# --- pages
my $answer = call($node, 'GET', '/collections/c/vectors?limit=10');
is(ids($answer), join(' ', map { sprintf 'v%02d', $_ } 1 .. 10), 'the first page');
is(decode_raw($answer)->{next}, 'v10', 'and where the next begins');
my $row = decode_raw($answer)->{vectors}[2];
is_deeply([ @$row{qw(id collection data)}, $row->{metadata}{n} ], [ 'v03', 'c', [ 3, 1, 2 ], 3 ], 'a row of it');
is_deeply($row, decode_raw(call($node, 'GET', '/vectors/v03')), 'is as it is alone');
$answer = call($node, 'GET', '/collections/c/vectors?limit=10&after=v20');
is(ids($answer), 'v21 v22 v23 v24 v25', 'the last page');
is(decode_raw($answer)->{next}, undef, 'behind which there is none');
is(ids(call($node, 'GET', '/collections/c/vectors')), join(' ', map { sprintf 'v%02d', $_ } 1 .. 25), 'without parameters');
is(ids(call($node, 'GET', '/collections/c/vectors?after=%27%20OR%201=1')), join(' ', map { sprintf 'v%02d', $_ } 1 .. 25), 'a text that looks like SQL is a text');
{
	my ($seen, $after, $pages) = ('', undef, 0);

	do
	{
		$answer = decode_raw(call($node, 'GET', '/collections/c/vectors?limit=7' . (defined $after ? "&after=$after" : '')));
		$seen .= join('', map { "$_->{id} " } @{ $answer->{vectors} });
		$after = $answer->{next};
	} while (defined $after && ++$pages < 10);
	is($seen, join('', map { sprintf 'v%02d ', $_ } 1 .. 25), 'page by page each row comes once');
}
is_error(call($node, 'GET', "/collections/c/vectors?$_"), 400, qr/limit is a number|unknown, or given twice|percent-encoded/, "not $_") for 'limit=0', 'limit=10001', 'limit=-1', 'limit=x', 'limit=1x', 'limit=', 'limit=1&limit=2', 'x=1', 'after=a&after=b', 'after=%zz', 'limit=99999999999999999999';
$node->safe_psql('postgres', <<'SQL');
	CREATE TABLE collections.hand (id text, data vector(3), metadata jsonb, CHECK (vecdb.uses_metric('cosine')));
	INSERT INTO collections.hand VALUES (NULL, '[1,2,3]', '{}'), ('a', '[1,2,3]', '{}'), (NULL, NULL, NULL), ('b', NULL, NULL);
	GRANT SELECT ON collections.hand TO vecdb_anon;
SQL
is(ids(call($node, 'GET', '/collections/hand/vectors')), 'a b', 'a table made by hand: rows without an id are left out');
is(decode_raw(call($node, 'GET', '/collections/hand/vectors?limit=2'))->{next}, 'b', 'a full page of it');
is(ids(call($node, 'GET', '/collections/hand/vectors?limit=2&after=b')), '', 'and behind it none');
$node->safe_psql('postgres', 'DROP TABLE collections.hand');
is_error(call($node, 'GET', '/collections/none/vectors'), 404, qr/none/, 'a collection that is none');
is(call($node, 'POST', '/collections/c/vectors', {})->{headers}{allow}, 'GET, HEAD, OPTIONS', 'another method');
is(call($node, 'HEAD', '/collections/c/vectors?limit=2')->{status}, 200, 'HEAD');

# --- counts
sub count { my ($body) = @_; my $answer = call($node, 'POST', '/collections/c/count', $body); return $answer->{status} == 200 ? decode_raw($answer)->{count} : $answer->{status} }
is(count({}), 25, 'a count of all');
is(count({ filter => {} }), 25, 'of what an empty filter lets through');
is(count({ filter => { n => { '$gt' => 20 } } }), 5, 'of some');
is(count({ filter => { odd => \1, n => { '$lte' => 10 } } }), 5, 'of two conditions');
is(count({ ids => [ 'v01', 'v02', 'none' ] }), 2, 'of ids');
is(count({ ids => ['v01'], filter => {} }), 422, 'not of both');
is(count({ filter => { n => { '$what' => 1 } } }), 422, 'a filter that is none');
is(count({ filter => 'x' }), 422, 'nor a text');
is(count('{"ids":{}}'), 422, 'nor an object of ids');
is(count('{"what":1}'), 422, 'another field');

# --- many at once
$answer = call($node, 'POST', '/collections/c/get', { ids => [ 'v05', 'v03', 'none', 'v05' ] });
is(join(' ', sort split / /, ids($answer)), 'v03 v05', 'rows by ids, each once, without those that are not there');
is_deeply([ sort { $a->{id} cmp $b->{id} } @{ decode_raw($answer)->{vectors} } ]->[0], $row, 'as they are alone');
is(ids(call($node, 'POST', '/collections/c/get', { ids => [] })), '', 'no ids');
is_error(call($node, 'POST', '/collections/c/get', {}), 422, qr/ids is missing/, 'ids must be there');
is_error(call($node, 'POST', '/collections/c/get', { ids => [ 'a', undef ] }), 422, qr/ids\[1\]/, 'null is no id');
is_error(call($node, 'POST', '/collections/c/get', { ids => [ [] ] }), 422, qr/ids\[0\]/, 'nor is an array');
is_error(call($node, 'POST', '/collections/c/get', { ids => [ 1 .. 10001 ] }), 422, qr/more than 10000/, 'more ids than there may be');

sub remove { my ($body) = @_; my $answer = call($node, 'POST', '/collections/c/delete', $body); return $answer->{status} == 200 ? decode_raw($answer)->{deleted} : $answer->{status} }
is(remove({ ids => [ 'v01', 'v02', 'none' ] }), 2, 'deleted by ids');
is(remove({ filter => { n => { '$gte' => 24 } } }), 2, 'by a filter');
is(remove({}), 422, 'not all of them for want of a word');
is(remove({ filter => {} }), 422, 'nor by a filter that lets all through');
is(remove({ ids => [] }), 0, 'none by no ids');
is(remove({ ids => undef, filter => undef }), 422, 'null is as if it were not there');
is(count({}), 21, 'the others are there');

# --- metadata alone
sub patch { my ($id, $body) = @_; return call($node, 'PATCH', "/vectors/$id", $body) }
$answer = patch('v05', { metadata => { n => 'five', more => { a => 1 }, odd => undef } });
is_deeply([ $answer->{status}, decode_raw($answer) ], [ 200, { id => 'v05', collection => 'c', metadata => { n => 'five', more => { a => 1 } } } ], 'members replaced, added, removed');
is_deeply(decode_raw(call($node, 'GET', '/vectors/v05?collection=c'))->{data}, [ 5, 1, 2 ], 'the vector is as it was');
is(decode_raw(patch('v05?collection=c', { metadata => {} }))->{metadata}{n}, 'five', 'nothing to change');
is_error(patch('none', { metadata => {} }), 404, qr/"none"/, 'a vector that is none');
is_error(patch('none?collection=c', { metadata => {} }), 404, qr/"none"/, 'nor in its collection');
is_error(patch('v05', {}), 422, qr/metadata is missing/, 'metadata must be there');
is_error(patch('v05', { metadata => [1] }), 422, qr/metadata must be an object/, 'an object');
is_error(patch('v05', { metadata => {}, data => [ 1, 2, 3 ] }), 422, qr/data/, 'and nothing else');
is_error(patch('v05', '{"metadata":{"a":1e131000}}'), 422, qr/digits/, 'within the same limits as ever');
$node->safe_psql('postgres', q{UPDATE collections.c SET metadata = '[1,2]' WHERE id = 'v06'});
is_deeply(decode_raw(patch('v06', { metadata => { a => 1 } }))->{metadata}, { a => 1 }, 'metadata that SQL made no object is replaced');
# all with all would take a minute, in which nothing could stop it
{
	my %many = map { ("member$_" => undef) } 1 .. 90_000;

	is(patch('v06', { metadata => { map { ($_ => 1) } keys %many } })->{status}, 200, 'many members');
	$node->safe_psql('postgres', q{ALTER ROLE vecdb_anon SET statement_timeout = '20s'});
	is_deeply(decode_raw(patch('v06', { metadata => { %many, a => { b => undef } } }))->{metadata}, { a => { b => undef } }, 'are removed at once, nulls within others are not');
	$node->safe_psql('postgres', 'ALTER ROLE vecdb_anon RESET statement_timeout');
}
$node->append_conf('postgresql.conf', 'vecdb.http_max_body = 4kB');
reload($node);
# of no vector, which the limit before this one would let grow
ok(wait_until(sub { patch('none', { metadata => { big => 'x' x 8000 } })->{status} == 413 }), 'a smaller limit');
is(patch('v07', { metadata => { a => 'x' x 3000 } })->{status}, 200, 'a large member');
is_error(patch('v07', { metadata => { b => 'x' x 3000 } }), 422, qr/more than vecdb\.http_max_body/, 'several do not grow beyond what may come at once');
$node->append_conf('postgresql.conf', 'vecdb.http_max_body = 64MB');
reload($node);

# --- integers as ids
is_deeply(decode_raw(call($node, 'POST', '/vectors', '{"vectors":[{"id":7,"collection":"c","data":[1,2,3]},{"id":-12345678901234567890,"collection":"c","data":[1,2,3]}]}')), { ids => [ '7', '-12345678901234567890' ] }, 'an integer stands for its digits');
is(call($node, 'GET', '/vectors/7')->{status}, 200, 'by which it is found');
is(count('{"ids":[7,"7",-12345678901234567890]}'), 2, 'a number and its text are one id');
is_error(call($node, 'POST', '/vectors', "{\"vectors\":[{\"id\":$_,\"collection\":\"c\",\"data\":[1,2,3]}]}"), 422, qr/vectors\[0\]\.id must be a string or an integer/, "$_ is none") for '7.0', '7e1', '1e400';
is_error(call($node, 'POST', '/vectors', '{"vectors":[{"id":' . '9' x 3000 . ',"collection":"c","data":[1,2,3]}]}'), 422, qr/bytes, more than/, 'nor one of 3000 digits');

# --- rights
$node->safe_psql('postgres', 'CREATE ROLE owner; ALTER TABLE collections.c OWNER TO owner; REVOKE ALL ON collections.c FROM vecdb_anon');
is(call($node, @$_)->{status}, 401, "$_->[0] $_->[1] needs rights") for [ 'GET', '/collections/c/vectors' ], [ 'POST', '/collections/c/count', {} ], [ 'POST', '/collections/c/get', { ids => ['v05'] } ], [ 'POST', '/collections/c/delete', { ids => ['v05'] } ], [ 'PATCH', '/vectors/v05?collection=c', { metadata => {} } ];
$node->safe_psql('postgres', 'GRANT SELECT ON collections.c TO vecdb_anon');
is(call($node, @$_)->{status}, 401, "$_->[0] $_->[1] needs more than to read") for [ 'POST', '/collections/c/delete', { ids => ['v05'] } ], [ 'PATCH', '/vectors/v05', { metadata => {} } ];
$node->safe_psql('postgres', q{GRANT ALL ON collections.c TO vecdb_anon; ALTER TABLE collections.c ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON collections.c TO vecdb_anon USING (id < 'v10') WITH CHECK (NOT metadata ? 'forbidden')});
is(count({}), 9, 'a count is of what policies let through');
is(remove({ ids => [ 'v09', 'v11' ] }), 1, 'and so is what is deleted');
is_error(patch('v05', { metadata => { forbidden => 1 } }), 401, qr/row-level security/, 'what a policy forbids to write');
is_error(patch('v11?collection=c', { metadata => {} }), 404, qr/v11/, 'what a policy hides is not there');

# --- a large answer is refused, not made
$node->safe_psql('postgres', q{ALTER TABLE collections.c DISABLE ROW LEVEL SECURITY; UPDATE collections.c SET metadata = jsonb_build_object('x', repeat('y', 100000))});
$node->append_conf('postgresql.conf', 'vecdb.http_max_answer = 1MB');
reload($node);
ok(wait_until(sub { call($node, 'GET', '/collections/c/vectors')->{status} == 500 }), 'a page beyond vecdb.http_max_answer');
is(call($node, 'GET', '/collections/c/vectors?limit=5')->{status}, 200, 'a smaller one');

# --- what a statement may cost
$node->append_conf('postgresql.conf', "vecdb.http_max_answer = 256MB\nvecdb.http_max_cost = 1000");
reload($node);
my $dear = { vectors => [ { id => 'dear', collection => 'c', data => [ 1, 2, 3 ] } ] };
$node->safe_psql('postgres', q{CREATE FUNCTION public.dear() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM count(*) FROM generate_series(1, 1000) a, generate_series(1, 1000) b; RETURN NEW; END $$;
	CREATE TRIGGER dear BEFORE INSERT ON collections.c FOR EACH ROW WHEN (NEW.id = 'dear') EXECUTE FUNCTION public.dear()});
ok(wait_until(sub { call($node, 'POST', '/vectors', $dear)->{status} == 422 }), 'a statement in a trigger that costs too much');
is_error(call($node, 'POST', '/vectors', $dear), 422, qr/^the query costs too much$/, 'is told why it was refused', 'PT422');
is(call($node, 'GET', '/vectors/7')->{status}, 200, 'a cheap request is served');
is(ask_admin($node, '/metrics')->{status}, 200, 'and /metrics');
$node->append_conf('postgresql.conf', 'vecdb.http_max_cost = 0');
reload($node);
ok(wait_until(sub { call($node, 'POST', '/vectors', $dear)->{status} == 201 }), 'without the limit it runs');

$node->stop;
done_testing();
