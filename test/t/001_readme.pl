# 001_readme.pl
#	  The README's examples give what the README says.
#
# Each ```sql block runs in one psql session, in order.  The ```text block that
# follows one, if any, is its output.  "001_readme.pl --write", in the tree,
# puts the real output there.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $path = "$FindBin::RealBin/../../README.md";
my $readme = slurp_file($path);
my $block = qr/^```sql\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?/ms;
my (@sql, @text);

while ($readme =~ /$block/g)
{
	push @sql, $1;
	push @text, $2 // '';
}

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION vecdb');

my $script = join '', map { "\\echo =block=\n$_" } @sql;
my $output = '';
IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', '-' ], '<', \$script, '>', \$output, '2>&1');
my (undef, @got) = split /^=block=\n/m, $output;
s/^psql:<stdin>:\d+: //mg for @got;
s/[ \t]+$//mg, s/\n+\z/\n/ for @got;

if (@ARGV && $ARGV[0] eq '--write')
{
	my $n = 0;
	$readme =~ s/$block/my ($s, $g, $t) = ($1, $got[$n++], $2); "```sql\n$s```\n" . (defined $t ? "\n```text\n$g```\n" : '')/gme;
	open my $fh, '>', $path or die "could not open $path: $!\n";
	print $fh $readme;
	close $fh or die "could not write $path: $!\n";
}

ok(@sql > 3, 'the README has examples');
is($got[$_] // '', $text[$_], 'example ' . ($_ + 1) . ': ' . ($sql[$_] =~ s/\n.*//sr)) for 0 .. $#sql;

$node->stop;
done_testing();
