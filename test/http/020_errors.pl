# 020_errors.pl
#	  What bad input gets: the status, an error in the one form, and a server
#	  and connection that go on.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Encode ();
use Test::More;
use VecdbHttp;

my $node = http_node('errors', "vecdb.http_max_body = 4MB\nvecdb.http_max_answer = 1MB\n");
my $c = VecdbHttp::Client->new($node->{http});
my @executors = executors($node);
my $front = worker_pid($node, 'vecdb http front');

call($node, 'POST', '/collections', { name => 'film', dimensions => 3 });

sub post { my ($path, $body, %h) = @_; return $c->request('POST', $path, $body, 'Content-Type' => 'application/json', %h) }

# --- malformed JSON
my %malformed = (
	'' => qr/the body is empty/,
	' ' => qr/byte 2: expected a value/,
	'{' => qr/at its end, byte 2: expected a name/,
	'{"vectors"' => qr/expected ":"/,
	'{"vectors":' => qr/expected a value/,
	'{"vectors":[' => qr/byte 13/,
	'{"vectors":[{"data":[1,2' => qr/byte 25/,
	'{"vectors":[{"data":[1,2,]}]}' => qr/byte 26/,
	'{"vectors":[{"data":[1 2]}]}' => qr/byte 24/,
	'{"vectors":[{"data":[.5]}]}' => qr/byte 22/,
	'{"vectors":[{"data":[+1]}]}' => qr/byte 22/,
	'{"vectors":[{"data":[1.]}]}' => qr/byte 24/,
	'{"vectors":[{"data":[1e]}]}' => qr/byte 24/,
	'{"vectors":[{"data":[0x10]}]}' => qr/byte 23/,
	'{"vectors":[{"data":[01]}]}' => qr/byte 23/,
	'{"vectors":[],}' => qr/byte 15/,
	'{"vectors":[]} x' => qr/byte 16: expected the end/,
	'{"vectors":[]}{}' => qr/byte 15/,
	'{vectors:[]}' => qr/byte 2/,
	"{'vectors':[]}" => qr/byte 2/,
	'{"vectors":[{"id":"a' => qr/end of a string/,
	"{\"vectors\":[{\"id\":\"a\nb\",\"data\":[1]}]}" => qr/control character/,
	'{"vectors":[{"id":"\x","data":[1]}]}' => qr/unknown escape/,
	'{"vectors":[{"id":"\u12g4","data":[1]}]}' => qr/hexadecimal/,
	'{"vectors":[{"id":"\ud800","data":[1]}]}' => qr/surrogate/,
	'{"vectors":[{"id":"\u0000","data":[1]}]}' => qr/u0000/,
	"{\"vectors\":[{\"id\":\"\xff\xfe\",\"data\":[1]}]}" => qr/UTF8/,
	"{\"vectors\":[{\"id\":\"\xed\xa0\x80\",\"data\":[1]}]}" => qr/UTF8/,
	"{\"vectors\":[{\"id\":\"\xc0\xaf\",\"data\":[1]}]}" => qr/UTF8/,
	"{\"vectors\":\0[]}" => qr/NUL/,
	"\xef\xbb\xbf{\"vectors\":[]}" => qr/byte 1/,
	'nul' => qr/expected a value/,
	'truefalse' => qr/byte 5/,
	'{"vectors":[/* none */]}' => qr/byte 13/,
	"\x1f\x8b\x08" => qr/./);
is_error(post('/vectors', $_), 400, $malformed{$_}, 'malformed: ' . s/[^ -~]/?/gr) for sort keys %malformed;
is_error(post('/search', '{"vector":[1,2,3],"filter":{"a":{"$gt":"\u0000"}}}'), 400, qr/./, 'NUL within a filter');
is_error(post('/vectors', '{"vectors":[{"data":[1,2,3],"collection":"film","metadata":{"a":"\ud800"}}]}'), 400, qr/./, 'half a surrogate pair within metadata');

# --- more than one body may hold
is_error(post('/vectors', { vectors => [ map { { data => [ 1, 2, 3 ], collection => "many_$_" } } 1 .. 101 ] }), 422,
	qr/vectors\[100\]\.collection: "many_101" would be collection 101 of the body, which may name 100/, 'a collection too many', '54000');
is(decode_raw(call($node, 'GET', '/stats'))->{collections}, 1, 'none of them was made');
is(post('/vectors', { vectors => [ map { { id => "r$_", data => [ 1, 2, 3 ], collection => "many_" . $_ % 100 } } 1 .. 300 ] })->{status}, 201, 'a hundred collections are as many as may be');
is($node->safe_psql('postgres', q{SELECT string_agg(id, ' ' ORDER BY id) FROM collections.many_7}), 'r107 r207 r7', 'each has its rows');
call($node, 'DELETE', "/collections/many_$_") for 0 .. 99;
is_error(post('/vectors', '{"vectors":[' . join(',', ('{"data":[1]}') x 100_001) . ']}'), 422, qr/vectors has more than 100000 elements/, 'a row too many', '54000');
is_error(post('/vectors', '{"vectors":[{"data":[1,2,3],"collection":"film","metadata":{"a":[' . join(',', (0) x 100_000) . ']}}]}'), 422,
	qr/vectors\[0\]\.metadata has 100002 values, more than 100000/, 'a value of metadata too many');
is_error(post('/search', '{"vector":[1,2,3],"filter":{"a":{"$in":[' . join(',', (0) x 100_000) . ']}}}'), 422, qr/filter has 100003 values, more than 100000/, 'a value of a filter too many');

# --- wrong shape
my @shapes = (
	[ '/vectors', '[]', qr/the body must be an object, not an array/ ],
	[ '/vectors', '"x"', qr/the body must be an object, not a string/ ],
	[ '/vectors', '7', qr/the body must be an object, not a number/ ],
	[ '/vectors', 'null', qr/the body must be an object, not null/ ],
	[ '/vectors', '{}', qr/vectors is missing/ ],
	[ '/vectors', '{"vectors":null}', qr/vectors is missing/ ],
	[ '/vectors', '{"vectors":{}}', qr/vectors must be an array, not an object/ ],
	[ '/vectors', '{"vectors":[1]}', qr/vectors\[0\] must be an object, not a number/ ],
	[ '/vectors', '{"vectors":[null]}', qr/vectors\[0\] must be an object, not null/ ],
	[ '/vectors', '{"vectors":[],"vectors":[]}', qr/vectors is given twice/ ],
	[ '/vectors', '{"vectors":[],"extra":1}', qr/unknown field "extra"/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2,3],"vector":[1]}]}', qr/unknown field "vector" in vectors\[0\]/ ],
	[ '/vectors', '{"vectors":[{}]}', qr/vectors\[0\]\.data is missing/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2,3]},{"id":"x"}]}', qr/vectors\[1\]\.data is missing/ ],
	[ '/vectors', '{"vectors":[{"data":[]}]}', qr/vectors\[0\]\.data must have at least one element/ ],
	[ '/vectors', '{"vectors":[{"data":"[1,2,3]"}]}', qr/vectors\[0\]\.data must be an array of numbers, not a string/ ],
	[ '/vectors', '{"vectors":[{"data":{"0":1}}]}', qr/vectors\[0\]\.data must be an array of numbers, not an object/ ],
	[ '/vectors', '{"vectors":[{"data":[1,"2",3]}]}', qr/vectors\[0\]\.data\[1\] must be a number, not a string/ ],
	[ '/vectors', '{"vectors":[{"data":[1,null,3]}]}', qr/vectors\[0\]\.data\[1\] must be a number, not null/ ],
	[ '/vectors', '{"vectors":[{"data":[1,true]}]}', qr/vectors\[0\]\.data\[1\] must be a number, not true/ ],
	[ '/vectors', '{"vectors":[{"data":[[1,2,3]]}]}', qr/vectors\[0\]\.data\[0\] must be a number, not an array/ ],
	[ '/vectors', '{"vectors":[{"data":[1,NaN]}]}', qr/vectors\[0\]\.data\[1\] is not a finite number/ ],
	[ '/vectors', '{"vectors":[{"data":[Infinity]}]}', qr/vectors\[0\]\.data\[0\] is not a finite number/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2,-Infinity]}]}', qr/vectors\[0\]\.data\[2\] is not a finite number/ ],
	[ '/vectors', '{"vectors":[{"data":[1,1e39]}]}', qr/vectors\[0\]\.data\[1\] is out of range/ ],
	[ '/vectors', '{"vectors":[{"data":[1,-1e999999999]}]}', qr/vectors\[0\]\.data\[1\] is out of range/ ],
	[ '/vectors', '{"vectors":[{"id":1.5,"data":[1,2,3]}]}', qr/vectors\[0\]\.id must be a string or an integer/ ],
	[ '/vectors', '{"vectors":[{"id":"","data":[1,2,3]}]}', qr/vectors\[0\]\.id must not be empty/ ],
	[ '/vectors', '{"vectors":[{"id":"a","id":"b","data":[1,2,3]}]}', qr/vectors\[0\]\.id is given twice/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2,3],"metadata":[]}]}', qr/vectors\[0\]\.metadata must be an object, not an array/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2,3],"metadata":"x"}]}', qr/vectors\[0\]\.metadata must be an object, not a string/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2,3],"collection":7}]}', qr/vectors\[0\]\.collection must be a string, not a number/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2],"collection":"film"}]}', qr/vectors\[0\]\.data has 2 dimensions, collection "film" has 3/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2],"collection":""}]}', qr/name/ ],
	[ '/vectors', '{"vectors":[{"data":[1,2],"collection":"' . 'x' x 64 . '"}]}', qr/name/ ],
	[ '/vectors', '{"vectors":[{"data":[' . join(',', (1) x 16001) . ']}]}', qr/vectors\[0\]\.data has more than 16000 dimensions/ ],
	[ '/collections', '{}', qr/name is missing/ ],
	[ '/collections', '{"name":"x"}', qr/dimensions is missing/ ],
	[ '/collections', '{"name":7,"dimensions":3}', qr/name must be a string, not a number/ ],
	[ '/collections', '{"name":"","dimensions":3}', qr/name/ ],
	[ '/collections', '{"name":"' . 'n' x 64 . '","dimensions":3}', qr/invalid name of a collection/ ],
	[ '/collections', '{"name":"x","dimensions":"3"}', qr/dimensions must be a number, not a string/ ],
	[ '/collections', '{"name":"x","dimensions":2.5}', qr/dimensions must be a whole number, not 2\.5/ ],
	[ '/collections', '{"name":"x","dimensions":0}', qr/dimensions/ ],
	[ '/collections', '{"name":"x","dimensions":-1}', qr/dimensions/ ],
	[ '/collections', '{"name":"x","dimensions":16001}', qr/16001|16000/ ],
	[ '/collections', '{"name":"x","dimensions":1e99}', qr/dimensions/ ],
	[ '/collections', '{"name":"x","dimensions":1e999}', qr/dimensions is out of range/ ],
	[ '/collections', '{"name":"x","dimensions":3,"metric":"hamming"}', qr/hamming/ ],
	[ '/collections', '{"name":"x","dimensions":3,"metric":""}', qr/metric/ ],
	[ '/collections', '{"name":"x","dimensions":3,"index_type":"ivf"}', qr/ivf/ ],
	[ '/collections', '{"name":"x","dimensions":3,"storage":"bit"}', qr/bit/ ],
	[ '/collections', '{"name":"x","dimensions":3,"m":1}', qr/m\b/ ],
	[ '/collections', '{"name":"x","dimensions":3,"m":101}', qr/m\b/ ],
	[ '/collections', '{"name":"x","dimensions":3,"ef_construction":3}', qr/ef_construction/ ],
	[ '/collections', '{"name":"x","dimensions":3,"filter_index":"yes"}', qr/filter_index must be true or false, not a string/ ],
	[ '/collections', '{"name":"x","dimensions":3,"shards":1}', qr/unknown field "shards"/ ],
	[ '/search', '{}', qr/vector is missing/ ],
	[ '/search', '{"vector":[1,2,3],"k":0}', qr/k\b/ ],
	[ '/search', '{"vector":[1,2,3],"k":-1}', qr/k\b/ ],
	[ '/search', '{"vector":[1,2,3],"k":1.5}', qr/k must be a whole number, not 1\.5/ ],
	[ '/search', '{"vector":[1,2,3],"k":"10"}', qr/k must be a number, not a string/ ],
	[ '/search', '{"vector":[1,2,3],"k":1e10}', qr/k must be a whole number/ ],
	[ '/search', '{"vector":[1,2,3],"threshold":"high"}', qr/threshold must be a number, not a string/ ],
	[ '/search', '{"vector":[1,2,3],"filter":[]}', qr/filter must be an object, not an array/ ],
	[ '/search', '{"vector":[1,2,3],"filter":{"a":{"$near":1}}}', qr/invalid filter/ ],
	[ '/search', '{"vector":[1,2,3],"exact":1}', qr/exact must be true or false, not a number/ ],
	[ '/search', '{"vector":[1,2,3],"ef_search":0}', qr/ef_search/ ],
	[ '/search', '{"vector":[1,2,3],"ef_search":100000}', qr/ef_search/ ],
	[ '/search', '{"vector":[1,2]}', qr/vector has 2 dimensions/ ],
	[ '/search', '{"vector":[1,2],"collection":"film"}', qr/vector has 2 dimensions, collection "film" has 3/ ],
	[ '/collections/film/search', '{"vector":[1,2]}', qr/vector has 2 dimensions, collection "film" has 3/ ],
	[ '/collections/film/search', '{"vector":[1,2,3],"collection":"other"}', qr/"other" in the body and "film" in the path/ ],
	[ '/collections/film/search', '{"vector":[1,"NaN",3]}', qr/vector\[1\] must be a number, not a string/ ],
	[ '/collections/film/search', '{"vector":[0,0,NaN]}', qr/vector\[2\] is not a finite number/ ]);
is_error(post($_->[0], $_->[1]), 422, $_->[2], "wrong shape: $_->[0] " . substr($_->[1], 0, 60)) for @shapes;
same_json(post('/search', '{"vector":[1,2,3]}'), 200, { results => [] }, 'none of them left anything behind');
is($node->safe_psql('postgres', q{SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'collections'::regnamespace AND relkind = 'r'}),
	'film', 'nor made a collection');

# --- conflicts, and what is not there
is_error(post('/collections', { name => 'film', dimensions => 3 }), 409, qr/"film" already exists/, 'a name that is taken');
is_error($c->request('GET', '/collections/none'), 404, qr/collection "none" does not exist/, 'no such collection');
is_error($c->request('DELETE', '/collections/none'), 404, qr/collection "none" does not exist/, 'to delete');
is_error(post('/collections/none/search', { vector => [1] }), 404, qr/collection "none" does not exist/, 'to search');
is_error(post('/search', { vector => [1], collection => 'none' }), 404, qr/collection "none" does not exist/, 'by name');
is_error($c->request('GET', '/vectors/none'), 404, qr/vector with id "none"/, 'no such vector');
is_error($c->request('GET', '/vectors/none?collection=none'), 404, qr/collection "none" does not exist/, 'in no such collection');
is_error($c->request('GET', '/collections/' . 'n' x 64), 404, qr/does not exist/, 'a name that cannot be');
for my $path ('/', '/x', '/healthy', '/health/', '/Health', '/vectors/', '/vectors/a/b', '/collections/', '/collections/a/b', '/collections//search', '/collections/film/search/', '//health', '/health%2f', '/../health', '/stats/..', '/pg_catalog')
{
	is_error($c->request('GET', $path), 404, qr/there is no such path/, "no such path: $path");
}
# libmicrohttpd 1.0.10 refuses such a path by itself, with a page of its own.
for my $path ('/vectors/%', '/vectors/%4', '/vectors/%zz', '/vectors/a%00b', '/vectors/x?collection=%', '/collections/%e')
{
	my $answer = VecdbHttp::Client->new($node->{http})->request('GET', $path);
	if ($answer && $answer->{body} =~ /^<html>/)
	{
		is($answer->{status}, 400, "not well percent-encoded, by the library: $path");
	}
	else
	{
		is_error($answer, 400, qr/percent-encoded/, "not well percent-encoded: $path");
	}
}
is_error($c->request('GET', $_), 400, qr/UTF8/, "not UTF-8: $_") for '/vectors/%ff', '/collections/%c3%28', '/vectors/x?collection=%ff';
is_error($c->request('GET', $_), 400, qr/unknown parameter/, "unknown parameter: $_") for '/stats?x=1', '/vectors/x?colection=film', '/collections?limit=5', '/collections/film?x';
is_error($c->request('GET', '/vectors/x?collection=film&collection=film'), 400, qr/given twice/, 'a parameter twice');
is_error(post('/search?k=3', { vector => [ 1, 2, 3 ] }), 400, qr/unknown parameter "k"/, 'a parameter of another place');

# --- media types
is_error($c->request('POST', '/search', '{"vector":[1,2,3]}', 'Content-Type' => $_), 415, qr/JSON in UTF-8/, "Content-Type: $_")
  for 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', 'application/json; charset=latin1', 'multipart/form-data; boundary=x', 'x', ';', 'application/json;charset="iso-8859-1"';
is($c->request('POST', '/search', '{"vector":[1,2,3]}', 'Content-Type' => $_)->{status}, 200, "Content-Type: $_")
  for 'application/json', 'application/JSON; charset=UTF-8', 'application/json;charset="utf-8"', 'application/vnd.api+json';
is_error($c->request('POST', '/search', '{"vector":[1,2,3]}', 'Content-Type' => undef), 415, qr/JSON in UTF-8/, 'no Content-Type');
is_error($c->request('POST', '/search', '{"vector":[1,2,3]}', 'Content-Type' => ''), 415, qr/JSON in UTF-8/, 'an empty Content-Type');
is_error(post('/search', "\x1f\x8b\x08", 'Content-Encoding' => 'gzip'), 415, qr/compressed/, 'a compressed body');
is_kept($c, 'one connection took all of that');

# --- limits
is_error($c->request('GET', '/vectors/' . 'a' x 20_400), 404, qr/no vector/, 'a long path');
is_refused($node, 'GET /vectors/' . 'a' x 20_500 . " HTTP/1.1\r\nHost: x\r\n\r\n", 414, qr/too long/, 'a path over the limit');
is_refused($node, 'GET /vectors/x?' . 'a' x 20_500 . " HTTP/1.1\r\nHost: x\r\n\r\n", 414, qr/too long/, 'a query over the limit');
is_refused($node, "GET /health HTTP/1.1\r\nHost: x\r\nX: " . 'a' x 16400 . "\r\n\r\n", 431, qr/headers are too large/, 'headers over the limit');
is_refused($node, "GET /health HTTP/1.1\r\nHost: x\r\n" . join('', map { "X$_: y\r\n" } 1 .. 120) . "\r\n", 431, qr/too many headers/, 'too many headers');
for my $n (101, 500, 4000)
{
	is_refused($node, 'GET /collections?' . join('&', ('a') x $n) . " HTTP/1.1\r\nHost: x\r\n\r\n", 414, qr/more than 100 parameters/, "$n parameters");
}

# As much as is allowed of everything at once: the library has room for it.
{
	my $query = join '&', ('a') x 99;
	my $headers = join '', map { sprintf "X%02d: %s\r\n", $_, 'y' x 160 } 1 .. 95;
	my $c = VecdbHttp::Client->new($node->{http});

	$c->send("GET /collections?$query&" . 'x' x (8170 - length $query) . " HTTP/1.1\r\nHost: x\r\n$headers\r\n");
	is_error($c->answer, 400, qr/^unknown parameter "a"$/, '100 parameters and 16 kB of headers');
	is_kept($c, '... and the connection is kept');
	$c->close;
}
is_refused($node, "POST /vectors HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4194305\r\n\r\n", 413, qr/body is too large/, 'a body over the limit, before it is sent');
is_refused($node, "POST /vectors HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" . ("80000\r\n" . ' ' x 524288 . "\r\n") x 9, 413, qr/body is too large/, 'a chunked body over the limit');
{
	# What is far beyond every buffer gets an answer or is cut off, and nobody else notices.
	for my $bytes ('GET /' . 'a' x 4_000_000, "GET / HTTP/1.1\r\nHost: x\r\nX: " . 'b' x 4_000_000, 'X' x 4_000_000)
	{
		my $huge = VecdbHttp::Client->new($node->{http});
		$huge->send($bytes);
		my $answer = $huge->answer;
		like($answer ? $answer->{status} : 'closed', qr/^(?:400|414|431|413|closed)$/, substr($bytes, 0, 8) . '... without an end');
		ok($huge->closed || $huge->{eof}, 'it is closed');
		$huge->close;
	}
}
is(post('/search', '{"vector":[1,2,3]' . ' ' x 4_000_000 . '}')->{status}, 200, 'a body just below the limit');

# --- deep and huge JSON
for my $n (150, 201, 100_000, 2_000_000)
{
	my $deep = '[' x $n;
	is_error(post('/vectors', $deep), 400, qr/nested too deeply|byte/, "$n brackets");
	is_error(post('/vectors', '{"vectors":' . $deep . ']' x $n . '}'), $n <= 201 ? 422 : 400, qr/vectors\[0\] must be an object|nested too deeply/, "$n brackets for vectors");
	my $answer = post('/vectors', '{"vectors":[{"data":[1,2,3],"collection":"film","metadata":' . '{"a":' x $n . '1' . '}' x $n . '}]}');
	$n <= 200 ? is($answer->{status}, 201, "metadata $n deep") : is_error($answer, $n > 700_000 ? 413 : 400, qr/nested too deeply|too large/, "metadata $n deep");
	$c = VecdbHttp::Client->new($node->{http}) if $answer->{status} == 413;
	is_error(post('/search', '{"vector":[1,2,3],"filter":' . '{"$not":' x $n . '{}' . '}' x $n . '}'), $n > 200 ? 400 : 422, qr/./, "a filter $n deep") if $n < 200_000;
}
is_error(post('/vectors', '{"vectors":[' . '0,' x 1_000_000 . '0]}'), 422, qr/vectors\[0\] must be an object/, 'a million numbers for vectors');
is_error(post('/vectors', '{"' . 'k' x 3_000_000 . '":1}'), 422, qr/unknown field "k+/, 'a name of 3 MB');
cmp_ok(length post('/vectors', '{"' . 'k' x 3_000_000 . '":1}')->{body}, '<', 2000, 'of which the error shows the beginning');
is_error(post('/vectors', { vectors => [ { id => 'i' x 3_000_000, data => [ 1, 2, 3 ], collection => 'film' } ] }), 422, qr/vectors\[0\]\.id has 3000000 bytes, more than 2000/, 'an id of 3 MB');
is_error(post('/vectors', { vectors => [ { id => 'a', data => [ 1, 2, 3 ], collection => 'film' }, { id => 'i' x 2001, data => [ 1, 2, 3 ], collection => 'film' } ] }), 422, qr/vectors\[1\]\.id has 2001 bytes/, 'an id one byte too long');
{
	# The longest, of bytes that no index can compress, and each of them needs an escape in a path.
	my $id = join '', map { chr(0x4e00 + $_ * 7919 % 20_000) } 1 .. 666;
	is(post('/vectors', { vectors => [ { id => $id, data => [ 1, 2, 3 ], collection => 'film' } ] })->{status}, 201, 'the longest id');
	is(decode_raw($c->request('GET', '/vectors/' . join '', map { sprintf '%%%02X', ord } split //, Encode::encode('UTF-8', $id)))->{id}, $id, 'is found by its path');
}
is_error(post('/vectors', '{"vectors":[{"data":[1,2,3],"collection":"film","metadata":{"n":1' . '0' x 200_000 . '}}]}'), 422, qr/./, 'a number beyond numeric');
is(post('/vectors', '{"vectors":[{"id":"digits","data":[1' . '0' x 30 . ',0.' . '1' x 100_000 . ',3],"collection":"film"}]}')->{status}, 201, 'a number of 100,000 digits');
is(post('/vectors', { vectors => [ map { { id => "big$_", data => [ 1, 2, 3 ], collection => 'film', metadata => { text => 'x' x 600_000 } } } 1 .. 3 ] })->{status}, 201, 'large metadata');
is_error(post('/collections/film/search', { vector => [ 1, 2, 3 ], k => 1000 }), 500, qr/answer is too large/, 'an answer over the limit');
is_kept($c, 'the connection is still good');

is_deeply([ executors($node) ], \@executors, 'no executor ended on the way');
is(worker_pid($node, 'vecdb http front'), $front, 'nor did the front');
$node->stop;
done_testing();
