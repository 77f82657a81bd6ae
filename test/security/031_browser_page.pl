# 031_browser_page.pl
#	  A page of another origin in the browser of somebody who can reach the
#	  server: what it makes the browser send is refused, and what a name that was
#	  pointed at this machine asks for, too (DNS rebinding).
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../http";
use Test::More;
use VecdbHttp;

my $node = http_node('browser', "vecdb.http_hosts = ''\n");
my $port = $node->{http};
my $own = "http://127.0.0.1:$port";
my $body = '{"vectors":[{"id":"w","data":[1,2],"collection":"written"}]}';
my %json = ('Content-Type' => 'application/json');

# A request that would write; the collection that it makes tells whether it did.
sub writes
{
	my ($name, $expected, %headers) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $answer = call($node, 'POST', '/vectors', $body, 'Content-Type' => undef, %headers);
	my $there = $node->safe_psql('postgres', q{SELECT to_regclass('collections.written') IS NOT NULL});
	if ($expected == 201)
	{
		is("$answer->{status} $there", '201 t', $name) or diag($answer->{body});
	}
	else
	{
		is_error($answer, $expected, qr/./, $name);
		is($there, 'f', "$name: nothing is written");
	}
	$node->safe_psql('postgres', 'DROP TABLE IF EXISTS collections.written');
	return $answer;
}

sub set
{
	my ($name, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	reload($node);
	# The front has it when it answers by it.
	return wait_until(sub { $node->safe_psql('postgres', "SHOW $name") eq $value && (call($node, 'GET', '/health', undef, Host => $name eq 'vecdb.http_hosts' && $value =~ /^([a-z.]+)/ ? $1 : 'localhost') // {})->{status} == 200 });
}

# --- the case as it was found
writes('a page of another origin and name, without a media type', 421, Origin => 'http://evil.example', Host => 'evil.example');
writes('without a media type', 415);
writes('what a form of another page sends', 415, 'Content-Type' => $_) for 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'text/plain;application/json';
writes('by our own name, from a page of another origin', 403, %json, Origin => 'http://evil.example');
writes('from a page without an origin', 403, %json, Origin => 'null');
writes('from a page on another port of this machine', 403, %json, Origin => 'http://localhost:1', Host => "localhost:$port");
writes('from a page of another scheme', 403, %json, Origin => "ftp://127.0.0.1:$port", Host => "127.0.0.1:$port");
writes('from a page whose origin begins as ours', 403, %json, Origin => "$own.evil.example", Host => "127.0.0.1:$port");
writes('from a page whose origin has our name for a user', 403, %json, Origin => "http://127.0.0.1:$port\@evil.example", Host => "127.0.0.1:$port");
writes('cross-site by what the browser says, without an origin', 403, %json, 'Sec-Fetch-Site' => $_) for 'cross-site', 'same-site', 'else';
writes('even by navigation', 403, %json, 'Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'navigate');
is_error(call($node, 'DELETE', '/collections/film', undef, Origin => 'http://evil.example'), 403, qr{"http://evil.example" may not call}, 'DELETE from a page of another origin');
is_error(call($node, 'GET', '/stats', undef, 'Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'no-cors'), 403, qr/"cross-site", may not call/, 'GET that a page of another origin embeds');
is(call($node, 'GET', '/stats', undef, 'Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'navigate')->{status}, 200, 'a link may be followed');
for my $headers ([ Origin => 'http://evil.example' ], [ Origin => 'null' ])
{
	my $answer = call($node, 'GET', '/stats', undef, @$headers);
	ok(!grep({ /^access-control/ } keys %{ $answer->{headers} }), "GET with @$headers: the browser is not told to show the answer");
	$answer = call($node, 'OPTIONS', '/vectors', undef, @$headers, 'Access-Control-Request-Method' => 'POST', 'Access-Control-Request-Headers' => 'content-type');
	is_error($answer, 403, qr/may not call this server/, "the browser's question whether POST with @$headers is allowed");
	like(decode_raw($answer)->{hint}, qr/vecdb\.http_cors_origins/, 'and says what would allow it');
	ok(!grep({ /^access-control/ } keys %{ $answer->{headers} }), 'and allows nothing');
}

# --- names that are not ours
for my $name ('evil.example', "evil.example:$port", 'localhost.evil.example', '127.0.0.1.evil.example', '127.evil', 'localhost6x', '10.9.8.7', '[2001:db8::1]', '0.0.0.0', "0.0.0.0:$port", '[::]', '2130706433', '0x7f.1', '127.1')
{
	for my $path ('/health', '/collections')
	{
		is_error(call($node, 'GET', $path, undef, Host => $name), 421, qr/^host "\Q@{[$name =~ s{:\d+$}{}r =~ s{^\[(.*)\]$}{$1}r]}\E" is not served here/, "GET $path by the name $name");
	}
	my $c = VecdbHttp::Client->new($node->{admin});
	is_error($c->request('GET', '/metrics', undef, Host => $name), 421, qr/is not served here/, "administration by the name $name");
}
like(decode_raw(call($node, 'GET', '/health', undef, Host => 'evil.example'))->{hint}, qr/vecdb\.http_hosts/, 'the error names the setting');
is_error(call($node, 'GET', '/health', undef, Host => $_), 400, qr/is not a host name/, "Host: $_") for ':80', 'localhost:x', '[::1', '[::1]x', '::1', 'localhost:123456';
{
	my $c = VecdbHttp::Client->new($port);
	$c->send("GET http://evil.example/stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
	is_error($c->answer, 421, qr/evil\.example/, 'a target in absolute form with a name that is not ours');
	$c->send("POST http://localhost/vectors HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
	is_error($c->answer, 403, qr/localhost:1/, 'with a name that is ours, from a page of another origin');
	is_kept($c, 'the connection goes on');
}

# --- what is ours
is(call($node, 'GET', '/health', undef, Host => $_)->{status}, 200, "Host: $_") for 'localhost', "localhost:$port", 'LOCALHOST', 'localhost.', '127.0.0.1', "127.0.0.1:$port", '127.9.8.7', '[::1]', "[::1]:$port", '[::ffff:127.0.0.1]', 'localhost:1';
{
	my $c = VecdbHttp::Client->new($port);
	$c->send("GET /health HTTP/1.0\r\n\r\n");
	is(($c->answer // {})->{body}, 'OK', 'HTTP/1.0 without Host, as balancers ask for health');
	is(ask_admin($node, $_)->{status}, 200, "administration: $_") for '/live', '/ready', '/metrics';
}
writes('a program', 201, %json);
writes('a page of our own', 201, %json, Origin => $own, Host => "127.0.0.1:$port", 'Sec-Fetch-Site' => 'same-origin');
writes('a page of our own behind a proxy that speaks TLS', 201, %json, Origin => 'https://localhost', Host => 'localhost:443');
writes('a page of our own, the port left out', 201, %json, Origin => 'http://localhost', Host => 'localhost');
writes('typed by the user', 201, %json, 'Sec-Fetch-Site' => 'none');
cmp_ok(metric($node, 'vecdb_http_rejections_total{reason="site"}'), '>', 20, 'what was refused is counted');

# --- names that are allowed
ok(set('vecdb.http_hosts', 'db.example, 10.9.8.7, [2001:db8::1]:99'), 'names in vecdb.http_hosts');
is(call($node, 'GET', '/health', undef, Host => $_)->{status}, 200, "Host: $_ is one") for 'db.example', 'DB.example:8443', '10.9.8.7:80', '[2001:db8:0::1]', 'localhost';
is(call($node, 'GET', '/health', undef, Host => $_)->{status}, 421, "Host: $_ is none") for 'x.db.example', 'db.example.evil', '10.9.8.8', 'example';
writes('a page by that name', 201, %json, Origin => 'https://db.example', Host => 'db.example');
writes('a page of another origin by that name', 403, %json, Origin => 'https://evil.example', Host => 'db.example');
ok(set('vecdb.http_hosts', '*'), '* in vecdb.http_hosts');
is(call($node, 'GET', '/health', undef, Host => $_)->{status}, 200, "Host: $_ is one of any") for 'evil.example', '10.9.8.8', '';
ok(set('vecdb.http_hosts', ''), 'none again');

# --- CORS
ok(set('vecdb.http_cors_origins', 'https://app.example, http://localhost:3000'), 'origins in vecdb.http_cors_origins');
for my $origin ('https://app.example', 'http://localhost:3000')
{
	my $answer = call($node, 'OPTIONS', '/vectors', undef, Origin => $origin, 'Access-Control-Request-Method' => 'POST', 'Access-Control-Request-Headers' => 'content-type', 'Sec-Fetch-Site' => 'cross-site', 'Sec-Fetch-Mode' => 'cors');
	is($answer->{status}, 204, "$origin: the browser may ask");
	is($answer->{headers}{'access-control-allow-origin'}, $origin, "$origin: it may send");
	like($answer->{headers}{'access-control-allow-methods'}, qr/\bPOST\b.*\bDELETE\b/, "$origin: methods");
	like($answer->{headers}{'access-control-allow-headers'}, qr/Content-Type/i, "$origin: headers");
	like($answer->{headers}{vary}, qr/Origin.*Access-Control-Request-Method/, "$origin: the answer is for this question only");
	ok(!exists $answer->{headers}{'access-control-allow-credentials'}, "$origin: no cookies");
	$answer = writes("$origin: it writes", 201, %json, Origin => $origin, 'Sec-Fetch-Site' => 'cross-site');
	is($answer->{headers}{'access-control-allow-origin'}, $origin, "$origin: and sees the answer");
	for my $ask ([ 'GET', '/health' ], [ 'GET', '/stats' ], [ 'GET', '/nothing' ], [ 'GET', '/vectors/none' ], [ 'PUT', '/health' ])
	{
		$answer = call($node, @$ask, undef, Origin => $origin);
		is("$answer->{headers}{'access-control-allow-origin'} $answer->{headers}{vary}", "$origin Origin", "$origin: @$ask, $answer->{status}");
	}
}
for my $origin ('https://app.example.evil', 'http://app.example', 'https://app.example:8443', 'http://localhost:3001', 'null', 'https://evil.example')
{
	my $answer = writes("$origin does not write", 403, %json, Origin => $origin);
	ok(!exists $answer->{headers}{'access-control-allow-origin'}, "$origin does not see the answer");
	is($answer->{headers}{vary}, 'Origin', "$origin: others may");
}
is(call($node, 'GET', '/stats')->{headers}{vary}, 'Origin', 'an answer without an origin is not for one with');
writes('a name that is not ours, from a page that may call', 421, %json, Origin => 'https://app.example', Host => 'evil.example');
writes('a page that may call, without a media type', 415, Origin => 'https://app.example');
ok(set('vecdb.http_cors_origins', '*'), '* in vecdb.http_cors_origins');
is(writes('any page writes', 201, %json, Origin => 'https://evil.example', 'Sec-Fetch-Site' => 'cross-site')->{headers}{'access-control-allow-origin'}, '*', 'and any sees the answer');
is_error(VecdbHttp::Client->new($node->{admin})->request('GET', '/metrics', undef, 'Sec-Fetch-Site' => 'cross-site'), 403, qr/may not call/, 'but not of the administration');

# --- settings that would never match
for my $bad ([ 'vecdb.http_cors_origins', 'https://app.example/' ], [ 'vecdb.http_cors_origins', 'app.example' ], [ 'vecdb.http_cors_origins', 'https://' ], [ 'vecdb.http_hosts', 'http://db.example' ], [ 'vecdb.http_hosts', 'a;b' ])
{
	my (undef, undef, $error) = $node->psql('postgres', "ALTER SYSTEM SET $bad->[0] = '$bad->[1]'");
	like($error, qr/invalid value for parameter "\Q$bad->[0]\E"/, "$bad->[0] = $bad->[1] is refused");
}

# --- the address that is listened on
SKIP:
{
	my ($address) = map { /^(\d+\.\d+\.\d+\.\d+)/ && $1 !~ /^127\./ ? $1 : () } split /\s+/, `hostname -I 2>/dev/null` // '';
	skip 'this machine has no address but its own', 2 if !defined $address;
	$node->safe_psql('postgres', q{ALTER SYSTEM SET vecdb.http_allow_remote = on});
	$node->safe_psql('postgres', q{ALTER SYSTEM SET vecdb.http_listen = '0.0.0.0'});
	reload($node);
	my $there;
	ok(wait_until(sub { $there = eval { VecdbHttp::Client->new($port, PeerAddr => $address) } }), 'another address is listened on');
	is($there->request('GET', '/health', undef, Host => "$address:$port")->{body}, 'OK', 'and answers to its name');
	is_error($there->request('GET', '/health', undef, Host => '0.0.0.0'), 421, qr/0\.0\.0\.0/, 'which is not that of all');
}

$node->stop;
done_testing();
