# 010_endpoints.pl
#	  Every endpoint of the native API: what it answers, and what it does.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbHttp;

my $node = http_node('endpoints');
my $c = VecdbHttp::Client->new($node->{http});
my $answer;
my $time = qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d:\d\d$/;

sub ask
{
	my ($method, $path, $body, %headers) = @_;

	return $c->request($method, $path, $body, %headers);
}

# --- health
$answer = ask('GET', '/health');
is("$answer->{status} $answer->{body}", '200 OK', 'GET /health');
like($answer->{headers}{'content-type'}, qr{^text/plain}, 'it is plain text');
ok($answer->{headers}{date}, 'answers are dated');

# --- collections
same_json(ask('GET', '/collections'), 200, { collections => [] }, 'GET /collections: none yet');
same_json(ask('GET', '/stats'), 200,
	{
		collections => 0, total_vectors => 0, storage_size_bytes => 0, index_size_bytes => 0, dimensions => [],
		hnsw_collections => 0, flat_collections => 0, dead_rows => 0, scans => 0, version => '0.2.0',
		shared_collections => 0, quarantined => undef, parked => undef, conflicts => undef
	},
	'GET /stats of nothing');

$answer = ask('POST', '/collections', { name => 'film', dimensions => 3 });
my $film = decode_raw($answer);
is($answer->{status}, 201, 'POST /collections');
is($answer->{headers}{location}, '/collections/film', 'it says where the collection is');
is_deeply([ @$film{qw(name dimensions metric index_type storage m ef_construction rows owner filter_index)} ],
	[ 'film', 3, 'cosine', 'hnsw', 'vector', 16, 200, 0, 'vecdb_anon', JSON::PP::false ], 'it has the defaults');
cmp_ok($film->{total_bytes}, '==', $film->{table_bytes} + $film->{index_bytes}, 'its bytes add up');
is_deeply(decode_raw(ask('GET', '/collections/film')), $film, 'GET /collections/NAME gives the same');
is_deeply(decode_raw(ask('GET', '/collections')), { collections => [$film] }, 'and so does GET /collections');

for my $metric (qw(cosine l2 ip l1 euclidean dot_product manhattan))
{
	my %is = (euclidean => 'l2', dot_product => 'ip', manhattan => 'l1');
	$answer = ask('POST', '/collections', { name => "m_$metric", dimensions => 2, metric => $metric, index_type => 'flat' });
	is("$answer->{status} " . (decode_raw($answer)->{metric} // ''), '201 ' . ($is{$metric} // $metric), "metric $metric");
}
$answer = ask('POST', '/collections',
	{ name => 'full', dimensions => 4, metric => 'l2', index_type => 'hnsw', m => 8, ef_construction => 64,
		storage => 'halfvec', filter_index => JSON::PP::true });
is_deeply([ @{ decode_raw($answer) }{qw(metric index_type m ef_construction storage filter_index)} ],
	[ 'l2', 'hnsw', 8, 64, 'halfvec', JSON::PP::true ], 'every option is heard');
$answer = ask('POST', '/collections', { name => 'nulls', dimensions => 2, metric => undef, m => undef, storage => undef });
is($answer->{status}, 201, 'a field that is null counts as left out');

# Names at the edge of what a collection may be called
for my $name ('a-b', '_x', 'Film', 'select', 'n' x 63, 'constraint', '_-', 'A9')
{
	$answer = ask('POST', '/collections', { name => $name, dimensions => 2, index_type => 'flat' });
	is($answer->{status}, 201, "a collection named $name") or diag($answer->{body});
	is((decode_raw(ask('GET', $answer->{headers}{location} // '/')) // {})->{name}, $name, 'its Location leads to it');
	same_json(ask('POST', '/vectors', { vectors => [ { id => 'i', data => [ 1, 2 ], collection => $name } ] }), 201, { ids => ['i'] }, 'it takes a vector');
	same_json(ask('POST', "/collections/$name/search", { vector => [ 1, 2 ] }), 200,
		{ results => [ { id => 'i', score => 1, metadata => {}, collection => $name } ] }, 'and finds it');
	same_json(ask('DELETE', "/collections/$name"), 200, { name => $name, deleted => JSON::PP::true }, 'and goes');
}

# Ids are any text, and need quoting in a path
ask('POST', '/collections', { name => 'ids', dimensions => 2, index_type => 'flat' });
for my $id ("Gr\x{fc}\x{df}e", 'a b', 'x"; DROP TABLE y; --', "it's", 'a/b', 'per%cent', '?q&a=1', '.', '..', "\x{4e2d}\x{6587}", "\x{1f600}", "tab\tand\nline", "\x7f", '$1', '+', 'n' x 500)
{
	utf8::encode(my $bytes = $id);
	my $escaped = $bytes =~ s/([^A-Za-z0-9_-])/sprintf '%%%02X', ord $1/ger;
	my $name = substr $escaped, 0, 40;
	$answer = ask('POST', '/vectors', { vectors => [ { id => $id, data => [ 1, 2 ], collection => 'ids', metadata => { $id => $id } } ] });
	same_json($answer, 201, { ids => [$id] }, "a vector with the id $name");
	for my $where ("/vectors/$escaped", "/vectors/$escaped?collection=ids")
	{
		my $got = decode_raw(ask('GET', $where));
		is_deeply([ @{ $got // {} }{qw(id collection metadata)} ], [ $id, 'ids', { $id => $id } ], 'GET finds it');
	}
	same_json(ask('POST', '/collections/ids/search', { vector => [ 1, 2 ], filter => { $id =~ /^[\$]|\./ ? ('$path' => [$id], '$eq' => $id) : ($id => $id) } }), 200,
		{ results => [ { id => $id, score => 1, metadata => { $id => $id }, collection => 'ids' } ] }, 'so does a search by its metadata');
	same_json(ask('DELETE', "/vectors/$escaped"), 200, { id => $id, collection => 'ids', deleted => JSON::PP::true }, 'and it goes');
}
# A route that wants no body takes any, within the limit of bodies
for my $body ("\xff\xfe", "a\0b", '{"vector":', 'x' x 70000)
{
	ask('POST', '/vectors', { vectors => [ { id => 'body', data => [ 1, 2 ], collection => 'ids' } ] });
	same_json(ask('DELETE', '/vectors/body?collection=ids', $body), 200, { id => 'body', collection => 'ids', deleted => JSON::PP::true },
		'DELETE with a body of ' . length($body) . ' bytes');
}
same_json(ask('DELETE', '/collections/%69ds'), 200, { name => 'ids', deleted => JSON::PP::true }, 'a name may be percent-encoded');

# --- vectors
same_json(
	ask('POST', '/vectors',
		{
			vectors => [
				{ id => 'a', collection => 'film', data => [ 1, 2, 3 ], metadata => { year => 1959, tags => ['noir'] } },
				{ id => 'b', collection => 'film', data => [ 3, 1, 0 ], metadata => { year => 1982 } },
				{ id => 'c', collection => 'film', data => [ -1, 0.5, 1e-3 ] },
			]
		}),
	201, { ids => [qw(a b c)] }, 'POST /vectors');
$answer = decode_raw(ask('GET', '/vectors/a'));
is_deeply([ @$answer{qw(id collection data metadata)} ], [ 'a', 'film', [ 1, 2, 3 ], { year => 1959, tags => ['noir'] } ], 'GET /vectors/ID');
like($answer->{$_}, $time, "$_ is a time") for qw(created_at updated_at);
is_deeply(decode_raw(ask('GET', '/vectors/c'))->{metadata}, {}, 'metadata left out is empty');
is_deeply(decode_raw(ask('GET', '/vectors/c'))->{data}, [ -1, 0.5, 0.001 ], 'numbers come back as they went');

my $before = $answer;
same_json(ask('POST', '/vectors', { vectors => [ { id => 'a', collection => 'film', data => [ 0, 0, 1 ], metadata => { new => JSON::PP::true } } ] }),
	201, { ids => ['a'] }, 'an id that is there');
$answer = decode_raw(ask('GET', '/vectors/a'));
is_deeply([ @$answer{qw(data metadata created_at)} ], [ [ 0, 0, 1 ], { new => JSON::PP::true }, $before->{created_at} ], 'is replaced, created when it was');
isnt($answer->{updated_at}, $before->{updated_at}, 'and updated now');
is(decode_raw(ask('GET', '/collections/film'))->{rows}, 3, 'there are still three');

$answer = decode_raw(ask('POST', '/vectors', { vectors => [ map { { data => [ 1, $_, 2, 3 ] } } 1 .. 3 ] }));
is(scalar(grep { /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/ } @{ $answer->{ids} }), 3, 'no id: UUIDs');
my %distinct = map { $_ => 1 } @{ $answer->{ids} };
is(keys %distinct, 3, 'each another');
is_deeply(decode_raw(ask('GET', "/vectors/$answer->{ids}[1]"))->{data}, [ 1, 2, 2, 3 ], 'in the order of the request');
is_deeply([ @{ decode_raw(ask('GET', '/collections/default')) }{qw(dimensions metric rows)} ], [ 4, 'cosine', 3 ], 'no collection: default, of their dimensions');
same_json(ask('POST', '/vectors', { vectors => [] }), 201, { ids => [] }, 'no vectors are no error');
same_json(
	ask('POST', '/vectors',
		{ vectors => [ { id => 'x', data => [ 1, 2 ], collection => 'one' }, { id => 'y', data => [ 1, 2, 3 ], collection => 'two' }, { id => 'z', data => [ 3, 4 ], collection => 'one' } ] }),
	201, { ids => [qw(x y z)] }, 'one request, two collections that were not there');
is_deeply([ map { decode_raw(ask('GET', "/vectors/$_"))->{collection} } qw(x y z) ], [qw(one two one)], 'each has its own');

# all or none
$answer = ask('POST', '/vectors', { vectors => [ { id => 'p', data => [ 1, 2 ], collection => 'one' }, { id => 'q', data => [ 1, 2, 3 ], collection => 'one' } ] });
is_error($answer, 422, qr/vectors\[1\]\.data has 3 dimensions, collection "one" has 2/, 'one wrong vector');
is(ask('GET', '/vectors/p')->{status}, 404, 'and the other is not there either');
is_error(ask('POST', '/vectors', { vectors => [ { id => 'p', data => [1], collection => 'never' }, { id => 'q', data => [ 1, 2 ], collection => 'never' } ] }),
	422, qr/vectors\[1\]\.data has 2 dimensions/, 'nor is a collection');
is(ask('GET', '/collections/never')->{status}, 404, 'that the request would have made');

# one id in several collections
ask('POST', '/vectors', { vectors => [ map { { id => 'twin', data => [ 1, 2 ], collection => $_ } } qw(one m_l2) ] });
is_error(ask('GET', '/vectors/twin'), 409, qr/"m_l2", "one"/, 'GET of an id in two collections names them');
is_error(ask('DELETE', '/vectors/twin'), 409, qr/"m_l2", "one"/, 'so does DELETE');
is(decode_raw(ask('GET', '/vectors/twin?collection=one'))->{collection}, 'one', '?collection= chooses');
same_json(ask('DELETE', '/vectors/twin?collection=one'), 200, { id => 'twin', collection => 'one', deleted => JSON::PP::true }, 'DELETE, too');
is(decode_raw(ask('GET', '/vectors/twin'))->{collection}, 'm_l2', 'and then there is one');
is_error(ask('GET', '/vectors/twin?collection=one'), 404, qr/"one" has no vector with id "twin"/, 'not in the other');
is_error(ask('DELETE', '/vectors/twin?collection=one'), 404, qr/"twin"/, 'DELETE finds none there');

# --- search
same_json(ask('POST', '/collections/film/search', { vector => [ 0, 0, 2 ], k => 1 }), 200,
	{ results => [ { id => 'a', score => 1, metadata => { new => JSON::PP::true }, collection => 'film' } ] }, 'POST /collections/NAME/search');
same_json(ask('POST', '/search', { vector => [ 0, 0, 2 ], k => 1, collection => 'film' }), 200,
	{ results => [ { id => 'a', score => 1, metadata => { new => JSON::PP::true }, collection => 'film' } ] }, 'POST /search with a collection');
$answer = decode_raw(ask('POST', '/search', { vector => [ 0, 0, 2 ] }));
is_deeply([ map { "$_->{collection}.$_->{id}" } @{ $answer->{results} } ],
	[ sort { 0 } map { "$_->{collection}.$_->{id}" } sort { $b->{score} <=> $a->{score} } @{ $answer->{results} } ], 'POST /search gives the best first');
my %from = map { $_->{collection} => 1 } @{ $answer->{results} };
is_deeply([ sort keys %from ], [qw(film two)], 'of all collections that have those dimensions');
is(scalar @{ decode_raw(ask('POST', '/search', { vector => [ 0, 0, 2 ], k => 2 }))->{results} }, 2, 'k counts them together');
same_json(ask('POST', '/collections/film/search', { vector => [ 0, 0, 2 ], threshold => 0.99 }), 200,
	{ results => [ { id => 'a', score => 1, metadata => { new => JSON::PP::true }, collection => 'film' } ] }, 'threshold is the least score');
is_deeply([ map { $_->{id} } @{ decode_raw(ask('POST', '/collections/film/search', { vector => [ 0, 0, 2 ], filter => { year => { '$gt' => 1960 } } }))->{results} } ],
	['b'], 'filter');
is_deeply(decode_raw(ask('POST', '/collections/film/search', { vector => [ 0, 0, 2 ], exact => JSON::PP::true, ef_search => 10 })),
	decode_raw(ask('POST', '/collections/film/search', { vector => [ 0, 0, 2 ] })), 'exact and ef_search');
same_json(ask('POST', '/collections/full/search', { vector => [ 1, 2, 3, 4 ] }), 200, { results => [] }, 'an empty collection has no results');

# scores of each metric, against arithmetic
for my $metric (qw(cosine l2 ip l1))
{
	ask('POST', '/vectors', { vectors => [ { id => "s_$metric", data => [ 3, 4 ], collection => "m_$metric" } ] });
	my ($hit) = grep { $_->{id} eq "s_$metric" } @{ decode_raw(ask('POST', "/collections/m_$metric/search", { vector => [ 4, 3 ] }))->{results} };
	my %expected = (cosine => 24 / 25, l2 => 1 / (1 + sqrt 2), ip => 24, l1 => 1 / 3);
	cmp_ok(abs($hit->{score} - $expected{$metric}), '<', 1e-6, "score by $metric is $hit->{score}");
}

# --- stats
$answer = decode_raw(ask('GET', '/stats'));
my $rows = 0;
$rows += $_->{rows} for @{ decode_raw(ask('GET', '/collections'))->{collections} };
is($answer->{total_vectors}, $rows, 'GET /stats counts all vectors');
is_deeply($answer->{dimensions}, [ 2, 3, 4 ], 'and knows the dimensions');
cmp_ok($answer->{storage_size_bytes}, '>', $answer->{index_size_bytes}, 'bytes of storage hold those of indexes');

# --- deletion
is(ask('DELETE', '/collections/film')->{status}, 200, 'DELETE /collections/NAME');
is_error(ask('GET', '/collections/film'), 404, qr/"film" does not exist/, 'it is gone');
is_error(ask('DELETE', '/collections/film'), 404, qr/"film" does not exist/, 'gone means gone');
is_error(ask('GET', '/vectors/a'), 404, qr/"a"/, 'and so are its vectors');

# --- HEAD and OPTIONS
for my $path ('/health', '/stats', '/collections', '/collections/one', '/vectors/x?collection=one')
{
	my $get = ask('GET', $path);
	my $head = ask('HEAD', $path);
	is($head->{status}, 200, "HEAD $path");
	is($head->{headers}{'content-length'}, length $get->{body}, 'has the length that GET has');
	is($head->{headers}{'content-type'}, $get->{headers}{'content-type'}, 'and the type');
}
is(ask('HEAD', '/vectors/none')->{status}, 404, 'HEAD of what is not there');
my %allow = (
	'/health' => 'GET, HEAD, OPTIONS', '/stats' => 'GET, HEAD, OPTIONS', '/vectors' => 'POST, OPTIONS',
	'/vectors/x' => 'GET, HEAD, PATCH, DELETE, OPTIONS', '/search' => 'POST, OPTIONS', '/collections' => 'GET, HEAD, POST, OPTIONS',
	'/collections/x' => 'GET, HEAD, DELETE, OPTIONS', '/collections/x/search' => 'POST, OPTIONS',
	'/collections/x/vectors' => 'GET, HEAD, OPTIONS', map { ("/collections/x/$_" => 'POST, OPTIONS') } qw(count get delete));
for my $path (sort keys %allow)
{
	$answer = ask('OPTIONS', $path);
	is("$answer->{status} $answer->{headers}{allow} [$answer->{body}]", "204 $allow{$path} []", "OPTIONS $path");
	for my $method (qw(GET HEAD POST PUT PATCH DELETE TRACE FOO))
	{
		next if $allow{$path} =~ /\b$method\b/;
		$answer = ask($method, $path);
		is($answer->{headers}{allow}, $allow{$path}, "$method $path: Allow");
		$method eq 'HEAD' ? is($answer->{status}, 405, 'and 405') : is_error($answer, 405, qr/does not have that method/, 'and 405');
	}
}
is(ask('OPTIONS', '*')->{status}, 204, 'OPTIONS *');
is_kept($c, 'all of that went over one connection');

# --- the admin port
$answer = ask_admin($node, $_), is("$answer->{status} $answer->{body}", "200 OK\n", "admin $_") for '/live', '/ready';
is_error(ask_admin($node, '/nothing'), 404, qr/no such path/, 'another path of the admin port');
$answer = ask_admin($node, '/metrics', 'POST');
is_error($answer, 405, qr/only reads/, 'the admin port has no POST');
is($answer->{headers}{allow}, 'GET, HEAD', 'and says so');
$answer = ask_admin($node, '/metrics');
like($answer->{headers}{'content-type'}, qr{^text/plain; version=0\.0\.4}, 'metrics are in the text format of Prometheus');
my (%help, %type, @bad);
for (split /\n/, $answer->{body})
{
	if (/^# HELP (\w+) \S/) { $help{$1}++ }
	elsif (/^# TYPE (\w+) (counter|gauge|histogram)$/) { $type{$1} = $2 }
	elsif (/^(\w+?)(_bucket|_sum|_count)?(?:\{(?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)+\})? [0-9.e+-]+$/ && ($type{$1} || $type{"$1$2"})) { }
	else { push @bad, $_ }
}
is("@bad", '', 'every line of them is well-formed, of a declared metric');
is_deeply([ grep { $help{$_} != 1 } sort keys %type ], [], 'with one line of help');
my $m = metrics($node);
cmp_ok($m->{'vecdb_http_requests_total{status="200"}'}, '>', 50, 'requests are counted by status');
is($m->{vecdb_http_request_duration_seconds_count}, $m->{'vecdb_http_request_duration_seconds_bucket{le="+Inf"}'}, 'the histogram ends with all of them');
my @buckets = map { $m->{$_} } sort { ($a =~ /le="([\d.e-]+)/)[0] <=> ($b =~ /le="([\d.e-]+)/)[0] } grep { /duration_seconds_bucket\{le="\d/ } keys %$m;
is_deeply(\@buckets, [ sort { $a <=> $b } @buckets ], 'and never falls');
is($m->{'vecdb_http_executor_state{executor="0",state="down"}'}, 0, 'executors have a state');

# An executor tells PostgreSQL's statistics of its rows once in a second at most, or
# when it has been idle for ten.  What it tells after ANALYZE is counted on top.
ok(wait_until(sub { $node->safe_psql('postgres', q{SELECT n_tup_ins, n_tup_del FROM pg_stat_all_tables WHERE relid = 'collections.one'::regclass}) eq '3|1' }),
	'the executors have told of three rows inserted and one deleted');
$node->safe_psql('postgres', 'ANALYZE');
ok(wait_until(sub { metric($node, 'vecdb_collection_vectors{collection="one"}') == 2 }), 'vectors by collection');
cmp_ok(metric($node, 'vecdb_collection_index_bytes{collection="one"}'), '>', 0, 'index bytes by collection');
{
	my $locked = hold_sql($node, 'BEGIN; LOCK TABLE collections.one IN ACCESS EXCLUSIVE MODE');
	my $admin = VecdbHttp::Client->new($node->{admin});
	$admin->send(VecdbHttp::Client::compose('GET', '/metrics'));
	like(($admin->answer('GET') // { body => 'no answer' })->{body}, qr/vecdb_collection_index_bytes\{collection="one"\} [1-9]/, 'nobody who locks a table holds up the metrics');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'vecdb http%' AND wait_event_type = 'Lock'}), '0', 'nor an executor');
	$admin->close;
	release_lock($locked, 'ROLLBACK');
}
is(metric($node, 'vecdb_http_queue_depth'), 0, 'nothing waits');

# --- the access log
my $log = -s $node->logfile;
call($node, 'GET', '/vectors/x?collection=one', undef, Authorization => 'Bearer secret-token');
ok(VecdbTest::wait_for_line($node, qr{http: 127\.0\.0\.1 GET /vectors/x\?collection=one 200 \d+ bytes \d+\.\d+ ms role=vecdb_anon}, $log), 'a line in the log for a request');
call($node, 'POST', '/vectors', { vectors => [ { id => 'secret-body', data => [ 1, 2 ], collection => 'one' } ] });
ok(VecdbTest::wait_for_line($node, qr{http: 127\.0\.0\.1 POST /vectors 201}, $log), 'and for the next');
unlike(substr(PostgreSQL::Test::Utils::slurp_file($node->logfile), $log), qr/secret/, 'without tokens or bodies');

$node->stop;
done_testing();
