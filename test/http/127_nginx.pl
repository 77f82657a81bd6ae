# 127_nginx.pl
#	  TLS by a proxy: nginx with what doc/auth.md has for it, but for ports and the
#	  paths of the certificate; and curl, which verifies it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Crypt::JWT qw(encode_jwt);
use Cwd qw(realpath);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbHttp;

my $name = 'db.example';
my $secret = 'a secret of thirty-two bytes ...';
my $node = http_node('nginx', "vecdb.http_hosts = '$name'\nvecdb.http_cors_origins = 'https://app.example'\nvecdb.http_jwt_key = '$secret'\nvecdb.http_max_body = 32MB\n", lab => 1);
$node->safe_psql('postgres', <<'SQL');
	CREATE ROLE web NOLOGIN; GRANT web TO vecdb_http;
	GRANT USAGE ON SCHEMA collections TO web;
	GRANT SELECT, INSERT, UPDATE ON collections.lab TO web;
	ALTER TABLE collections.lab ENABLE ROW LEVEL SECURITY;
	CREATE POLICY every ON collections.lab TO vecdb_anon USING (true);
	CREATE POLICY own ON collections.lab TO web USING (metadata->>'tenant' = current_setting('request.jwt.claims')::json->>'tenant')
		WITH CHECK (metadata->>'tenant' = current_setting('request.jwt.claims')::json->>'tenant');
	INSERT INTO collections.lab (id, data, metadata) VALUES ('a', '[1,2,3]', '{"tenant": "one"}'), ('b', '[1,2,4]', '{"tenant": "two"}');
SQL

# --- nginx, in a directory of its own
my $dir = PostgreSQL::Test::Utils::tempdir();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $page = slurp_file(realpath("$FindBin::RealBin/../..") . '/doc/auth.md');
my ($site) = $page =~ /```nginx\n(.*?)```/s or BAIL_OUT('doc/auth.md has nothing for nginx');
for my $change (
	[ qr/127\.0\.0\.1:8080/, "127.0.0.1:$node->{http}" ],
	[ qr/listen 443 ssl/, "listen 127.0.0.1:$port ssl" ],
	[ qr{/etc/ssl/db\.example\.crt}, "$dir/crt" ],
	[ qr{/etc/ssl/db\.example\.key}, "$dir/key" ])
{
	is($site =~ s/$change->[0]/$change->[1]/, 1, "the page has $change->[0]");
}
append_to_file("$dir/conf", <<"CONF");
daemon off;
master_process off;
pid $dir/pid;
error_log $dir/error.log;
events { }
http {
	access_log off;
	client_body_temp_path $dir/body;
	proxy_temp_path $dir/proxy;
	fastcgi_temp_path $dir/fastcgi;
	uwsgi_temp_path $dir/uwsgi;
	scgi_temp_path $dir/scgi;
	$site
}
CONF
my $out = '';
IPC::Run::run([ 'openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', "/CN=$name",
		'-addext', "subjectAltName=DNS:$name", '-keyout', "$dir/key", '-out', "$dir/crt" ], '<', \undef, '>', \$out, '2>&1')
  or BAIL_OUT("no certificate: $out");
local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
my $nginx = IPC::Run::start([ 'nginx', '-p', $dir, '-c', "$dir/conf", '-e', "$dir/error.log" ], '<', \undef, '>&', \my $said);
END { $nginx->kill_kill(grace => 5) if $nginx }

# Status, headers by name, body.
sub ask
{
	my ($method, $target, %more) = @_;
	my ($answer, $why) = ('', '');
	my $given = $more{url} // "https://$name:$port";
	my @headers = map { ('-H', $_) } @{ $more{headers} // [] }, $more{claims} ? 'Authorization: Bearer ' . encode_jwt(payload => $more{claims}, alg => 'HS256', key => $secret) : ();
	my @body = defined $more{body} ? ('-H', 'Content-Type: application/json', '-H', 'Expect:', '--data-binary', '@-') : ();

	IPC::Run::run([ 'curl', '-sS', '--noproxy', '*', '-i', '-g', '--max-time', $PostgreSQL::Test::Utils::timeout_default, '--cacert', "$dir/crt", '--resolve', "$name:$port:127.0.0.1", '-X', $method, @headers, @body,
			"$given$target" ], '<', \($more{body} // ''), '>', \$answer, '2>', \$why);
	my ($head, $body) = $answer =~ /\A(HTTP.*?)\r\n\r\n(.*)\z/s or return { status => 0, headers => {}, body => $why };
	my %headers = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () } split /\r\n/, $head;
	return { status => $head =~ /^HTTP\S+ (\d+)/, headers => \%headers, body => $body };
}

ok(wait_until(sub { ask('GET', '/health')->{status} == 200 }), 'the node answers through TLS')
  or diag($said // '', -e "$dir/error.log" ? slurp_file("$dir/error.log") : '');
is(ask('GET', '/health')->{body}, 'OK', 'a certificate that curl verifies');
is(ask('GET', '/health', url => "http://$name:$port")->{status}, 400, 'HTTP without TLS is refused');
is(ask('GET', '/health', headers => ['Host: other.example'])->{status}, 421, 'another name is not served');

# --- who is asking
sub ids { my ($answer) = @_; return $answer->{status} == 200 ? join ' ', sort map { $_->{id} } @{ decode($answer->{body}) } : "$answer->{status} $answer->{body}" }
my %one = (claims => { role => 'web', tenant => 'one' });
is(ids(ask('GET', '/rest/v1/lab?select=id')), 'a b', 'without a token');
is(ids(ask('GET', '/rest/v1/lab?select=id', %one)), 'a', 'a token has its rows');
is(ids(ask('GET', '/rest/v1/lab?select=id', claims => { role => 'web', tenant => 'two' })), 'b', 'another has others');
is(ids(ask('GET', '/rest/v1/lab?select=id', headers => ['X-Forwarded-For: 10.0.0.1', 'X-Vecdb-Role: web'])), 'a b', 'nobody is somebody else by a header');
my $wrong = ask('GET', '/rest/v1/lab', headers => ['Authorization: Bearer ' . encode_jwt(payload => { role => 'web' }, alg => 'HS256', key => 'another secret of 32 bytes ......')]);
is("$wrong->{status} " . ($wrong->{headers}{'www-authenticate'} =~ /^(\w+)/)[0], '401 Bearer', 'a wrong token');
is(ids({ status => 200, body => encode(decode(ask('POST', '/search', %one, body => '{"vector":[1,2,4],"k":5}')->{body})->{results}) }), 'a', 'the native API has the same rows');

# --- whose address it is
is(ask('POST', '/vectors', claims => { role => 'web', tenant => '127.0.0.1' }, headers => ['X-Forwarded-For: 192.0.2.7'], body => encode({ vectors => [
		{ id => 'asked', collection => 'lab', data => [ 1, 2, 3 ], metadata => { run => q{DO $$BEGIN ASSERT current_setting('request.headers')::json->>'x-forwarded-for' = '127.0.0.1'; END$$}, tenant => '127.0.0.1' } } ] }))->{status},
	201, "SQL has the client's, not what the client says");
ok(VecdbTest::wait_for_line($node, qr{http: 127\.0\.0\.1 POST /vectors 201 }, 0), "the node's log has the proxy's");

# --- sizes
my $rows = encode({ vectors => [ map { { id => "big $_", collection => 'lab', data => [ $_, 1, 2 ], metadata => { tenant => 'one', text => 'x' x 10_000 } } } 1 .. 1000 ] });
is(ask('POST', '/vectors', %one, body => $rows)->{status}, 201, 'a body of 10 MB');
is(length ask('GET', '/rest/v1/lab?select=metadata&id=like.big*', %one)->{body} > 10_000_000, 1, 'an answer of 10 MB');
is_error(ask('POST', '/vectors', %one, body => ' ' x (33 * 1024 * 1024)), 413, qr/body/, "beyond the node's limit its error passes");
my $refused = ask('POST', '/vectors', body => ' ' x (65 * 1024 * 1024));
is("$refused->{status} $refused->{headers}{'content-type'}", '413 text/html', "beyond nginx's limit it has nginx's");
is(ids(ask('GET', '/rest/v1/lab?select=id&id=in.(a,' . join(',', map { "none$_" } 1 .. 2200) . ')', %one)), 'a', 'a target of some 18 kB');
is(ask('GET', '/rest/v1/lab?id=eq.' . 'x' x 21_000)->{status}, 414, 'one beyond the limit');

# --- pages of another origin
my $page_answer = ask('GET', '/rest/v1/lab?select=id&limit=1', headers => ['Origin: https://app.example']);
is("$page_answer->{status} $page_answer->{headers}{'access-control-allow-origin'}", '200 https://app.example', 'a page that may call');
is(ask('OPTIONS', '/rest/v1/lab', headers => [ 'Origin: https://app.example', 'Access-Control-Request-Method: POST' ])->{status}, 204, "the browser's question");
is(ask('POST', '/rest/v1/lab', headers => ['Origin: https://evil.example'], body => '{"id":"x","data":[1,2,3]}')->{status}, 403, 'a page that may not');

# --- connections behind the proxy are kept
my $before = metric($node, 'vecdb_http_connections_total');
is(ask('GET', '/health')->{status}, 200, "request $_") for 1 .. 20;
cmp_ok(metric($node, 'vecdb_http_connections_total') - $before, '<', 10, 'twenty connections of clients are few to the node');

my $kept = '';
IPC::Run::run([ 'curl', '-sS', '--noproxy', '*', '--http1.1', '--cacert', "$dir/crt", '--resolve', "$name:$port:127.0.0.1", '-w', '%{num_connects}', ("https://$name:$port/health") x 5 ], '<', \undef, '>', \$kept);
is($kept, 'OK1OK0OK0OK0OK0', "and a client's own is kept");

# --- nobody goes past the proxy from beyond the machine
sub listeners
{
	my $hex = sprintf '%04X', shift;

	return join ' ', map { /^\s*\d+: ([0-9A-F]+):$hex \S+ 0A / ? $1 : () } map { -e $_ ? split /\n/, slurp_file($_) : () } '/proc/net/tcp', '/proc/net/tcp6';
}
is(listeners($node->{$_}), '0100007F', "the $_ port is listened on at 127.0.0.1 alone") for qw(http admin);
ok(!eval { VecdbHttp::Client->new($node->{http}, PeerAddr => '127.0.0.2'); 1 }, 'another address of the machine does not lead there');

# --- the node goes and comes
$node->stop;
is(ask('GET', '/health')->{status}, 502, 'a node that is down');
$node->start;
wait_ready($node);
ok(wait_until(sub { ask('GET', '/health')->{status} == 200 }), 'and back');

$node->stop;
done_testing();
