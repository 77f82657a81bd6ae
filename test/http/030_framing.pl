# 030_framing.pl
#	  Requests that two readers could read in two ways, and what is no HTTP.
#
# Behind each goes a second request, which a reader who sees the end of the
# first elsewhere would take for the body or for one of its own: it deletes a
# canary.  What matters is that the canary lives, that the first request had no
# effect unless it was answered with success, and that the connection is closed.
# Some of these the HTTP library refuses before we see them, with a text of its
# own: then the status counts, not the form.  From 1.0 on it does so with most.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Test::More;
use VecdbHttp;

my $node = http_node('framing', "vecdb.http_header_timeout = 2s\nvecdb.http_body_timeout = 2s\nvecdb.http_hosts = 'x, a, example.org:99, any.host'\n");
my @executors = executors($node);
my $front = worker_pid($node, 'vecdb http front');
my $strict = library_is_strict($node);

call($node, 'POST', '/collections', { name => 'canary', dimensions => 2 });
my $kill = "DELETE /collections/canary HTTP/1.1\r\nHost: x\r\n\r\n";
my $effect = '{"vectors":[{"id":"effect","data":[1,2],"collection":"effect"}]}';
my $n = length $effect;

sub visible { return substr($_[0], 0, 150) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger }

# The status is one of these, all else is as said above.
sub refused
{
	my ($bytes, $status, $name, %options) = @_;
	my $c = VecdbHttp::Client->new($node->{http});

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$c->send($bytes);
	my $answer = $c->answer;
	my $got = $answer ? $answer->{status} : 'closed';
	1 while $c->more(Time::HiRes::time() + $VecdbHttp::Client::patience);
	my $more = () = $c->{in} =~ m{^HTTP/1\.1 2\d\d}mg;
	my @why = (
		$got !~ /^(?:$status)$/ ? "answered with $got" : (),
		$more ? 'something that came after it was answered' : (),
		!$c->{eof} ? 'the connection is left open' : (),
		call($node, 'HEAD', '/collections/canary')->{status} != 200 ? 'what came after it was executed' : (),
		call($node, 'HEAD', '/collections/effect')->{status} != 404 ? 'it was executed' : ());
	ok(!@why, $name) or diag(join('; ', @why) . ': ' . visible($bytes));
	call($node, 'DELETE', '/collections/effect');
	call($node, 'POST', '/collections', { name => 'canary', dimensions => 2 });
	# What we refuse ourselves is refused in our form.
	if ($options{ours})
	{
		my $theirs = $strict && $answer && $answer->{body} =~ /^<html>/;

		$theirs ? like($answer->{body}, qr/\S/, "$name: the library says why") : is_error($answer, $got, $options{ours}, "$name: says why");
	}
	$c->close;
	return;
}

# Headers that go with a body which is the effect, and with the canary's killer behind it
sub post
{
	my ($headers, $body) = @_;

	return "POST /vectors HTTP/1.1\r\nContent-Type: application/json\r\n$headers\r\n" . ($body // $effect) . $kill;
}

# --- the length in two ways
my $chunked = sprintf("%x\r\n%s\r\n0\r\n\r\n", $n, $effect);
refused(post("Host: x\r\nContent-Length: $n\r\nTransfer-Encoding: chunked\r\n", $chunked), 400, 'Content-Length and Transfer-Encoding', ours => qr/both Content-Length and Transfer-Encoding/);
refused(post("Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: $n\r\n", $chunked), 400, 'the other way round', ours => qr/both/);
refused(post("Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n", $chunked), 400, 'with a length of 0', ours => qr/both/);
refused(post("Host: x\r\nContent-Length: $n\r\nTransfer-Encoding: identity\r\n"), '400|501', 'Content-Length and Transfer-Encoding: identity', ours => qr/both|not just/);
refused(post("Host: x\r\nContent-Length: $n\r\nContent-Length: $n\r\n"), 400, 'Content-Length twice, the same', ours => qr/Content-Length is given twice/);
refused(post("Host: x\r\nContent-Length: $n\r\nContent-Length: 0\r\n"), 400, 'Content-Length twice, two lengths', ours => qr/twice/);
refused(post("Host: x\r\nContent-Length: 0\r\ncontent-length: $n\r\n"), 400, 'in another case', ours => qr/twice/);
refused(post("Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", $chunked), 400, 'Transfer-Encoding twice', ours => qr/twice/);
refused(post("Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", $chunked), 400, 'Transfer-Encoding twice, two codings', ours => qr/twice/);
refused("GET /collections/canary HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n$kill", 400, 'both, of a GET', ours => qr/both/);

# --- what a length is
refused(post("Host: x\r\nContent-Length: $_\r\n"), '400|413', "Content-Length: $_")
  for '-1', "-$n", "+$n", "0x" . sprintf('%x', $n), "$n,$n", "$n, $n", "$n $n", "${n}abc", 'abc', '', ' ', "$n;", "$n.0", '1e2', "\"$n\"", '9' x 30, '18446744073709551616', '18446744073709551' . '615';
refused(post("Host: x\r\nContent-Length:\x0b$n\r\n"), 400, 'a vertical tab before a length');
refused(post("Host: x\r\nContent-Length:\xa0$n\r\n"), 400, 'a hard space before a length');
refused(post("Host: x\r\nContent-Length\x0b: $n\r\n"), 400, 'a vertical tab in a name');
refused(post("Host: x\r\nContent-Length : $n\r\n"), 400, 'a space before the colon', ours => qr/name is not a token/);
refused(post("Host: x\r\nContent_Length: $n\r\nContent-Length: \r\n"), 400, 'an empty length');
{
	# Leading zeroes are digits: both readers come to the same.
	my $c = VecdbHttp::Client->new($node->{http});
	$c->send("POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 00020\r\n\r\n" . '{"vector":[1,2]}    ' . "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
	is(($c->answer // {})->{status}, 200, 'a length with leading zeroes');
	is(($c->answer // {})->{body}, 'OK', 'and what follows it');
}

# --- codings
refused(post("Host: x\r\nTransfer-Encoding: $_\r\n", $chunked), '400|501', "Transfer-Encoding: $_")
  for 'identity', 'gzip', 'gzip, chunked', 'chunked, chunked', 'chunked, identity', 'chunked;q=1', 'chunked ;', 'xchunked', 'chunkedx', 'x', '', '"chunked"', "chunked\x0b", "\x0bchunked", "chunk\x00ed", "ch\x{ff}unked", 'chunked,', ',chunked';
refused(post("Host: x\r\nTransfer-Encoding:\r\n chunked\r\n", $chunked), 400, 'Transfer-Encoding on two lines');
refused(post("Host: x\r\nTransfer-Encoding : chunked\r\n", $chunked), 400, 'a space before its colon', ours => qr/token/);
refused(post("Host: x\r\n Transfer-Encoding: chunked\r\n", $chunked), 400, 'a space before its name');
refused(post("Host: x\r\nX: y\r\n Transfer-Encoding: chunked\r\n", $chunked), 400, 'obs-fold with a coding in it', ours => qr/line that does not end in CR LF/);
refused(post("Host: x\r\nX: y\n Transfer-Encoding: chunked\r\n", $chunked), 400, 'and a bare LF');
refused("POST /vectors HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n$chunked$kill", 400, 'chunked in HTTP/1.0', ours => qr/not just/);
refused(post("Host: x\r\nTransfer-Encoding: chunked\r\n", $_->[0]), '400|413|422|408|closed', "chunks: $_->[1]")
  for (
	[ "-1\r\n$effect\r\n0\r\n\r\n", 'a negative size' ],
	[ "+" . substr($chunked, 0), 'a plus' ],
	[ "0x$chunked", 'a size with 0x' ],
	[ " $chunked", 'a space before the size' ],
	[ "g\r\nxx\r\n0\r\n\r\n", 'no hexadecimal digit' ],
	[ "\r\n\r\n", 'no size' ],
	[ ";x\r\n\r\n", 'an extension without a size' ],
	[ "ffffffffffffffff\r\n$effect\r\n0\r\n\r\n", 'a size of 2^64 - 1' ],
	[ "10000000000000000\r\n$effect\r\n0\r\n\r\n", 'a size of 2^64' ],
	[ "f" x 200 . "\r\n$effect", 'a size of 200 digits' ],
	[ sprintf("%x\r\n%sXX0\r\n\r\n", $n, $effect), 'no CR LF behind the data' ],
	[ sprintf("%x\r\n%s\r\nzz\r\n\r\n", $n, $effect), 'a bad size behind a good chunk' ],
	[ sprintf("%x\r%s\r\n0\r\n\r\n", $n, $effect), 'a bare CR behind the size' ]);

# Whatever a reader makes of chunks, nothing that follows them on the connection is read.
for (
	[ $chunked, 'chunks as they should be' ],
	[ sprintf("%x\n%s\r\n0\r\n\r\n", $n, $effect), 'a bare LF behind the size' ],
	[ sprintf("%x\n%s\n0\n\n", $n, $effect), 'bare LFs' ],
	[ sprintf("%x;x\n5\r\n%s\r\n0\r\n\r\n", $n, $effect), 'a bare LF within an extension' ],
	[ sprintf("%x;a=\"\r\n%s\r\n0\r\n\r\n", $n, $effect), 'an extension with an open quote' ],
	[ sprintf("%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n", $n, $effect), 'a trailer that is a length' ],
	[ sprintf("%x\r\n%s\r\n000\r\n\r\n", $n, $effect), 'an end of three zeroes' ])
{
	my $c = VecdbHttp::Client->new($node->{http});
	$c->send(post("Host: x\r\nTransfer-Encoding: chunked\r\n", $_->[0]));
	my $answer = $c->answer;
	ok($c->closed, "$_->[1]: nothing more is answered, the connection ends");
	like($answer ? $answer->{status} : 'closed', qr/^(?:201|400|408|413|closed)$/, 'after one answer');
	is(($answer->{headers}{connection} // '') =~ /close/i ? 'close' : '', 'close', 'that said so') if $answer;
	is(call($node, 'HEAD', '/collections/canary')->{status}, 200, 'the canary lives');
	call($node, 'DELETE', '/collections/effect');
	call($node, 'POST', '/collections', { name => 'canary', dimensions => 2 });
}

# --- Host
refused("GET /health HTTP/1.1\r\n\r\n", 400, 'no Host', ours => qr/Host is missing/);
refused("GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n$kill", 400, 'Host twice', ours => qr/Host is given twice/);
refused("GET /health HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n$kill", 400, 'two Hosts', ours => qr/twice/);
refused("GET /health HTTP/1.1\r\nHost: $_\r\n\r\n$kill", 400, "Host: $_", ours => qr/Host is not a host name/)
  for 'a b', 'a/b', 'a@b', 'a?b', 'a#b', 'a,b', "a\xff", '<a>';
is(call($node, 'GET', '/health', undef, Host => $_)->{status}, 200, "Host: $_") for 'localhost', '127.0.0.1:8080', '[::1]:8080', 'EXAMPLE.org', 'Example.Org.:7';
is_error(call($node, 'GET', '/health', undef, Host => ''), 421, qr/"" is not a host name/, 'an empty Host');
refused("POST /vectors HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Type: application/json\r\nContent-Length: $n\r\n\r\n$effect$kill", 400, 'Content-Type twice', ours => qr/Content-Type is given twice/);
refused("POST /vectors HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nOrigin: http://y\r\nContent-Type: application/json\r\nContent-Length: $n\r\n\r\n$effect$kill", 400, 'Origin twice', ours => qr/Origin is given twice/);

# --- control characters, line ends
refused("GET /health HTTP/1.1\r\nHost: x\r\nX: a$_->[0]b\r\n\r\n$kill", 400, "$_->[1] in a value") for [ "\0", 'NUL' ], [ "\x01", '0x01' ], [ "\x08", '0x08' ], [ "\x1b", 'ESC' ], [ "\x7f", 'DEL' ], [ "\r", 'CR' ], [ "\x0b", '0x0b' ];
refused("GET /health HTTP/1.1\r\nHost: x\r\nX: a$_->[0]\r\n\r\n$kill", 400, "$_->[1] at the end of the last value") for [ "\0", 'NUL' ], [ "\0\0", 'two NULs' ], [ "\x01", '0x01' ];
refused("GET /health HTTP/1.1\r\nHost: x\r\nX$_->[0]: b\r\n\r\n$kill", 400, "$_->[1] in a name") for [ "\0", 'NUL' ], [ "\x01", '0x01' ], [ ' ', 'space' ], [ "\t", 'tab' ], [ '(', '(' ], [ "\xe9", 'a high byte' ], [ '"', 'a quote' ], [ "\x7f", 'DEL' ];
refused("GET /health$_->[0]x HTTP/1.1\r\nHost: x\r\n\r\n$kill", 400, "$_->[1] in a target") for [ "\x01", '0x01' ], [ "\t", 'tab' ], [ "\x7f", 'DEL' ], [ "\xc3\xa9", 'high bytes' ], [ "\r", 'CR' ], [ ' ', 'space' ];
# 1.0 gives no answer to this one.
refused("GET /health\0x HTTP/1.1\r\nHost: x\r\n\r\n$kill", $strict ? '400|closed' : 400, 'NUL in a target');
refused("GET /health HTTP/1.1\nHost: x\r\n\r\n$kill", 400, 'bare LF behind the request line');
refused("GET /health HTTP/1.1\r\nHost: x\nX: y\r\n\r\n$kill", 400, 'bare LF behind a header');
refused("GET /health HTTP/1.1\r\nHost: x\r\n\n$kill", 400, 'bare LF for the empty line');
refused("GET /health HTTP/1.1\n\n$kill", 400, 'bare LFs only');
refused("GET /health HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n$kill", 400, 'obs-fold', ours => qr/does not end in CR LF/);
refused("GET /health HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n$kill", 400, 'obs-fold of Host');
refused("GET /health HTTP/1.1\r\n Host: x\r\n\r\n$kill", 400, 'a space before the first header');
refused("GET /health HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n$kill", 400, 'a header without a colon');
refused("GET /health HTTP/1.1\r\nHost: x\r\n: empty\r\n\r\n$kill", 400, 'a header without a name');

# --- the request line
refused("$_->[0]\r\nHost: x\r\n\r\n$kill", $_->[1], 'request line ' . visible($_->[0]))
  for (
	[ 'GET /health HTTP/1.2', '505' ], [ 'GET /health HTTP/2.0', '505' ], [ 'GET /health HTTP/0.9', '505' ], [ 'GET /health HTTP/9', '400|505' ],
	[ 'GET /health HTTP/1.1 x', '400|505' ], [ 'GET /health http/1.1', '400|505' ], [ 'GET /health HTTP/1.1x', '400|505' ], [ 'GET /health HTTP/11', '400|505' ],
	[ 'GET  /health HTTP/1.1', '400' ], [ "GET\t/health HTTP/1.1", '400|closed' ], [ 'GET /health  HTTP/1.1', '400' ], [ ' GET /health HTTP/1.1', '400|closed' ],
	[ 'GET', '400|closed' ], [ 'GET /health', '400' ], [ '/health', '400|closed' ], [ 'GET health HTTP/1.1', '400' ], [ 'GET * HTTP/1.1', '400' ],
	[ 'GET localhost:80 HTTP/1.1', '400' ], [ 'CONNECT localhost:80 HTTP/1.1', '400' ], [ 'G@T /health HTTP/1.1', '400' ], [ "G\0T /health HTTP/1.1", '400|closed' ],
	[ 'GET ftp://x/health HTTP/1.1', '400' ], [ 'GET http:/health HTTP/1.1', '400' ], [ 'GET http://x HTTP/1.1', '400|404' ]);
refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", '400|505', 'the preface of HTTP/2');
refused("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . "\0" x 32, '400|408|closed', 'a greeting of TLS');
refused("\0" x 100, '400|408|closed', 'a hundred NULs');
refused("\xff" x 100 . "\r\n\r\n", '400|408|closed', 'a hundred 0xff');
refused("\n" x 5000, '400|408|closed', 'line feeds without an end');

# --- what is right, with time enough to say it
$node->append_conf('postgresql.conf', "vecdb.http_header_timeout = 10min\nvecdb.http_body_timeout = 10min\nvecdb.http_max_uri = 300\n");
reload($node);
# The port is closed for a moment meanwhile.
ok(wait_until(sub { my $answer = eval { call($node, 'GET', '/vectors/' . 'x' x 400) }; $answer && $answer->{status} == 414 }), 'other deadlines');
{
	my $c = VecdbHttp::Client->new($node->{http});
	$c->send("GET http://any.host:99/health HTTP/1.1\r\nHost: x\r\n\r\n");
	is(($c->answer // {})->{body}, 'OK', 'a target in absolute form');
	$c->send("\r\nGET HTTP://x/collections/canary?a HTTP/1.1\r\nHost: x\r\n\r\n");
	is_error($c->answer, 400, qr/unknown parameter "a"/, 'with a query');
	$c->send("GET /health HTTP/1.1\r\nhOsT:x\r\nX-Empty:\r\nX-Space:   a b \t \r\nX-High: \xe9\r\n\r\n");
	is(($c->answer // {})->{body}, 'OK', 'values that are empty, have spaces around or bytes above 127');
	$c->send("GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody" . "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
	is(($c->answer // {})->{body}, 'OK', 'a GET with a body') for 1, 2;
	$c->send("POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16\r\nExpect: 100-continue\r\n\r\n");
	my $until = Time::HiRes::time() + $VecdbHttp::Client::patience;
	1 while $c->{in} !~ /\r\n\r\n/ && $c->more($until);
	like($c->{in}, qr{\AHTTP/1\.1 100 Continue\r\n}, 'Expect: 100-continue is answered');
	$c->send('{"vector":[1,2]}');
	is(($c->answer // {})->{status}, 200, 'and then the request');

	# pipelined
	my $all = '';
	$all .= "GET /vectors/p$_ HTTP/1.1\r\nHost: x\r\n\r\n" . "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"vector\":[1,2]}" . "GET /health HTTP/1.1\r\nHost: x\r\n\r\n" for 1 .. 100;
	$c->send($all);
	my @got;
	for (1 .. 300)
	{
		my $answer = $c->answer or last;
		push @got, $answer->{status} == 404 ? decode_raw($answer)->{message} : $answer->{body};
	}
	is_deeply(\@got, [ map { ("there is no vector with id \"p$_\"", "{\"results\":[]}\n", 'OK') } 1 .. 100 ], '300 pipelined requests are answered in their order');
	is_kept($c, 'and the connection goes on');

	# byte by byte
	for my $byte (split //, "POST /search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"vector\":[1,2]}")
	{
		$c->send($byte);
		select undef, undef, undef, 0.001;
	}
	is(($c->answer // {})->{status}, 200, 'a request byte by byte');
	$c->send("GET /health HTTP/1.0\r\n\r\n");
	is(($c->answer // {})->{body}, 'OK', 'HTTP/1.0');
	ok($c->closed, 'ends the connection');
	$c = VecdbHttp::Client->new($node->{http});
	$c->send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	is(($c->answer // {})->{body}, 'OK', 'HTTP/1.0 that would keep it');
}
is_deeply([ executors($node) ], \@executors, 'no executor ended on the way');
is(worker_pid($node, 'vecdb http front'), $front, 'nor did the front');

$node->stop;
done_testing();
