# 100_real_clients.pl
#	  Clients that people use: curl and Perl's HTTP::Tiny.  And what else the
#	  project tells its users about HTTP: the table of settings in doc/http.md, and
#	  the lines that "make start" prints.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Cwd qw(realpath);
use HTTP::Tiny;
use Test::More;
use PostgreSQL::Test::Utils;
use VecdbHttp;

my $root = realpath("$FindBin::RealBin/../..");
my $node = http_node('real_clients');
my $url = base_url($node);

sub sh
{
	my ($command) = @_;
	my $out = '';

	IPC::Run::run([ 'bash', '-c', $command ], '<', \undef, '>', \$out, '2>&1', IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return $out;
}

# --- curl
is(sh("curl -sS $url/health"), 'OK', 'curl');
is(sh("curl -sS -o /dev/null -w '%{http_code}' --json '{\"name\":\"film\",\"dimensions\":3}' $url/collections"), '201', 'curl --json');
like(sh("curl -sS -d '{\"vector\":[1,2,3]}' $url/search"), qr/"the body must be JSON in UTF-8".*--json/, 'curl -d is told what to do');
my $dir = PostgreSQL::Test::Utils::tempdir();
PostgreSQL::Test::Utils::append_to_file("$dir/batch.json",
	encode({ vectors => [ map { { id => "v$_", collection => 'film', data => [ $_, 1, 2 ], metadata => { text => 'x' x 2000 } } } 1 .. 1000 ] }));
like(sh("curl -sS -w ' %{http_code}' --json \@$dir/batch.json $url/vectors"), qr/"v1000"\]\}\n 201$/, 'a file of 2 MB, with Expect: 100-continue');
like(sh("curl -sS -w ' %{http_code}' -X POST -H 'Content-Type: application/json' -H 'Expect:' -T - $url/vectors < $dir/batch.json"), qr/"v1000"\]\}\n 201$/, 'the same from a pipe, in chunks');
is(sh("curl -sS -o /dev/null -w '%{http_code} %{num_connects}\\n' $url/health -o /dev/null $url/vectors/v1 -o /dev/null $url/vectors/none"), "200 1\n200 0\n404 0\n", 'one connection for several URLs');
like(sh("curl -sS -I $url/vectors/v1"), qr{^HTTP/1\.1 200 OK\r\n.*Content-Length: \d+\r\n}s, 'curl -I');
is(sh("curl -sS --compressed $url/health"), 'OK', 'curl --compressed');
is(sh("curl -sS --http2 $url/health"), 'OK', 'curl --http2 offers an upgrade and goes on without');
is(sh("curl -sS --http1.0 $url/health"), 'OK', 'curl --http1.0');
is(sh("curl -sS --path-as-is -o /dev/null -w '%{http_code}' $url/../health"), '404', 'curl --path-as-is');
is(sh("curl -sS -G --data-urlencode 'collection=film' $url/vectors/v7 | grep -c '\"id\":\"v7\"'"), "1\n", 'curl -G');
is(sh("seq 1 200 | xargs -P 20 -I{} curl -sS -o /dev/null -w '%{http_code}\\n' $url/vectors/v{} | sort | uniq -c | tr -s ' '"), " 200 200\n", 'twenty at a time');
is(sh("printf '%s' '{\"vector\":[1,2,3],\"k\":1000}' | curl -sS --json \@- $url/collections/film/search | wc -c") > 2_000_000 ? 'large' : 'small', 'large', 'a large answer');

# --- HTTP::Tiny
my $http = HTTP::Tiny->new(keep_alive => 1, timeout => 180);
my $answer = $http->get("$url/vectors/v1");
is(decode($answer->{content})->{id}, 'v1', 'HTTP::Tiny GET');
$answer = $http->post("$url/search", { headers => { 'Content-Type' => 'application/json' }, content => encode({ vector => [ 1, 1, 2 ], k => 1 }) });
is(decode($answer->{content})->{results}[0]{id}, 'v1', 'HTTP::Tiny POST');
my @parts = ('{"vectors":[{"id":"parts",', '"collection":"film",', '"data":[1,2,3]}]}');
$answer = $http->post("$url/vectors", { headers => { 'Content-Type' => 'application/json' }, content => sub { shift @parts } });
is($answer->{status}, 201, 'HTTP::Tiny POST in chunks');
is($http->get("$url/vectors/parts")->{status}, 200, 'and goes on after it');
is($http->delete("$url/vectors/parts")->{status}, 200, 'HTTP::Tiny DELETE');

# --- the table of settings
my ($table) = slurp_file("$root/doc/http.md") =~ /^## Settings of HTTP\n(.*?)(?:^## |\z)/ms;
my %told;
for my $line (split /\n/, $table)
{
	my ($names, $defaults) = $line =~ /^\| (`vecdb\.http.*?) \| *(.*?) *\|/ or next;
	my @names = $names =~ /`([a-z_.]+)`/g;
	@told{@names} = @names > 1 ? split(/, /, $defaults) : $defaults;
}
my %there = map { split /=/, $_, 2 } split /\n/, $node->safe_psql('postgres', q{
	SELECT name || '=' || CASE WHEN unit IS NULL OR setting = '0' THEN boot_val
		WHEN unit = 'kB' AND boot_val::int % 1048576 = 0 THEN boot_val::int / 1048576 || 'GB'
		WHEN unit = 'kB' AND boot_val::int % 1024 = 0 THEN boot_val::int / 1024 || 'MB' WHEN unit = 'B' THEN boot_val::int / 1024 || 'kB'
		WHEN unit = 'ms' THEN boot_val::int / 1000 || 's' ELSE boot_val || unit END
	FROM pg_settings WHERE name LIKE 'vecdb.http%'});
is_deeply(\%told, \%there, 'doc/http.md names every setting of HTTP and its default');

$node->stop;

# --- make start
SKIP:
{
	skip 'the tree does not belong to this user', 6 unless -w $root && $ENV{PG_CONFIG};
	my ($pg, $port) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
	my $start = "env -u PERL5LIB PG_CONFIG='$ENV{PG_CONFIG}' VECDB_DATA='$dir/start' VECDB_PORT=$pg VECDB_HTTP_PORT=$port bash $root/test/tools/node.sh";
	my $out = sh("$start start");
	my @lines = $out =~ /^ +(curl .*)$/mg;
	is(scalar @lines, 3, 'make start prints three lines with curl') or diag($out);
	like(sh($lines[0] // 'false'), qr/^\{"name":"demo","dimensions":3,/, 'the first makes a collection');
	is(sh($lines[1] // 'false'), "{\"ids\":[\"a\"]}\n", 'the second puts a vector in');
	like(sh($lines[2] // 'false'), qr/^\{"results":\[\{"id":"a","score":0\.9\d+,"metadata":\{"tag": "x"\},"collection":"demo"\}\]\}$/, 'the third finds it');
	like(sh("$start start"), qr/^HTTP: http/m, 'make start again');
	like(sh("$start stop"), qr/Stopped/, 'make stop');
}
done_testing();
