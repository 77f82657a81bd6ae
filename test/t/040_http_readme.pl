# 040_http_readme.pl
#	  The examples of doc/http.md and doc/postgrest.md give what is written there.
#
# The block of a page that begins with curl is run by a shell
# against a server of the test's own, after the statements that http.md
# gives for the roles; the text block behind it is its output.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

my %pages = map { $_ => slurp_file("$FindBin::RealBin/../../doc/$_.md") } qw(http postgrest);
my ($roles) = $pages{http} =~ /^```sh\necho "(.*?)" \| psql -d DATABASE\n^```\n/ms;

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $admin = PostgreSQL::Test::Cluster::get_free_port();
my $node = PostgreSQL::Test::Cluster->new('http_readme');
$node->init;
$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'vecdb'
vecdb.http_port = $port
vecdb.http_admin_port = $admin
vecdb.http_database = 'postgres'
CONF
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION vecdb');
$node->safe_psql('postgres', $roles);
$node->reload;

sub curl
{
	my ($out, $err) = ('', '');

	IPC::Run::run([ 'bash', '-c', $_[0] ], '<', \undef, '>', \$out, '2>', \$err);
	return $out;
}

my $ready = '';
for my $try (1 .. 1800)
{
	$ready = curl("curl -s http://127.0.0.1:$admin/ready");
	last if $ready eq "OK\n";
	sleep 0.1;
}
is($ready, "OK\n", 'the executors connect once there is a role');

for my $page (sort keys %pages)
{
	my ($commands, $expected) = $pages{$page} =~ /^```sh\n(curl .*?)^```\n\n^```text\n(.*?)^```\n/ms;
	$commands =~ s/127\.0\.0\.1:8080/127.0.0.1:$port/g;
	my @got = split /\n/, curl($commands);
	my @want = split /\n/, $expected;
	s/("(?:created|updated)_at":)"[^"]*"/$1"..."/g for @got;
	s/("(?:table|index|total)_bytes":)\d+/${1}0/g for @got, @want;
	ok(@want > 5, "the page $page has examples");
	is($got[$_] // '', $want[$_], "$page, line " . ($_ + 1)) for 0 .. $#want;
	is(scalar @got, scalar @want, "no more answers than $page has");
}

$node->stop;
done_testing();
