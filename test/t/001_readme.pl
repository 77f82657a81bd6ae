# 001_readme.pl
#	  The examples of README and of doc/ give what is written there.
#
# Each ```sql block of a file runs in one psql session, in order, in a database
# of the file's own; where a page of doc/ says so, after those of README.  The ```text block that
# follows one, if any, is its output.  "001_readme.pl --write", in the tree, puts
# the real output there.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $block = qr/^```sql\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?/ms;
my $write = @ARGV && $ARGV[0] eq '--write';

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->start;

# run DATABASE BLOCK...: what each gives
sub run
{
	my ($database, @sql) = @_;
	# Settings are there once the library is.
	my $script = join '', "LOAD 'vecdb';\n", map { "\\echo =block=\n$_" } @sql;
	my $output = '';

	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, 'CREATE EXTENSION vecdb');
	IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($database), '-f', '-' ], '<', \$script, '>', \$output, '2>&1');
	my (undef, @got) = split /^=block=\n/m, $output;
	s/^psql:<stdin>:\d+: //mg for @got;
	s/[ \t]+$//mg, s/\n+\z/\n/ for @got;
	return @got;
}

my (@first, $examples);
my @files = ('README.md', map { "doc/$_" } sort map { s{.*/}{}r } glob("$root/doc/*.md"));

for my $file (@files)
{
	my $text = slurp_file("$root/$file");
	my (@sql, @text);

	while ($text =~ /$block/g)
	{
		push @sql, $1;
		push @text, $2 // '';
	}
	$examples += @sql;
	next if !@sql;
	my @before = $text =~ /go on from those of the tour/ ? @first : ();
	my @got = run('of_' . lc($file =~ s/\W+/_/gr), @before, @sql);
	splice @got, 0, scalar @before;
	@first = @sql if $file eq 'README.md';
	if ($write)
	{
		my $n = 0;
		$text =~ s/$block/my ($s, $g, $t) = ($1, $got[$n++], $2); "```sql\n$s```\n" . (defined $t ? "\n```text\n$g```\n" : '')/gme;
		open my $fh, '>', "$root/$file" or die "could not open $file: $!\n";
		print $fh $text;
		close $fh or die "could not write $file: $!\n";
	}
	is($got[$_] // '', $text[$_], "$file, example " . ($_ + 1) . ': ' . ($sql[$_] =~ s/\n.*//sr)) for 0 .. $#sql;
}

ok($examples > 12, 'there are examples');

# Every page is named in README, and every link within the tree leads somewhere.
my $readme = slurp_file("$root/README.md");
ok(($readme =~ tr/\n//) <= 250, 'README has 250 lines at most');
like($readme, qr/\(\Q$_\E\)/, "README leads to $_") for @files[ 1 .. $#files ];
for my $file (@files)
{
	my $from = $file =~ m{^doc/} ? "$root/doc" : $root;
	my @dead = grep { !-e "$from/$_" } slurp_file("$root/$file") =~ /\]\((?!http)([^)#]+)/g;
	is("@dead", '', "$file: its links lead somewhere");
}

$node->stop;
done_testing();
