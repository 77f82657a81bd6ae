# VecdbFaults.pm
#	  Servers that die at a fault point (src/fault_point.h), and a PostgreSQL whose vecdb
#	  has them.
package VecdbFaults;

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;

our @EXPORT = qw(postgres_with_faults fault_points arm disarm has_hit try_sql is_up is_down take_down crash bring_up await_up);

my $source = abs_path(dirname(__FILE__) . '/../..');
my %down;						# servers that do not run
my %log;						# where in the log of a server its last death begins

# A copy of PostgreSQL with the libraries that have fault points; the directory with its bin/.
sub postgres_with_faults
{
	my $config = $ENV{PG_CONFIG} || 'pg_config';
	my $build = "${PostgreSQL::Test::Utils::tmp_check}/faults";
	my ($root, $bin, $lib) = postgres_copy('postgres_with_faults');
	my $what = 'vecdb with fault points is built and installed';

	system_or_bail('rm', '-rf', $build);
	system_or_bail('make', '-s', '-C', $source, "PG_CONFIG=$config", "FAULTS=$build", map { "$build/$_.so" } qw(vecdb vecdb_sync));
	for my $library (qw(vecdb.so vecdb_sync.so))
	{
		unlink "$root$lib/$library";
		system_or_bail('cp', "$build/$library", "$root$lib/$library");
	}
	return dirname("$root$bin");
}

# The names of all points in the sources.
sub fault_points
{
	my @names;

	for my $file (glob "$source/src/*/*.c")
	{
		push @names, slurp_file($file) =~ /\bFAULT_POINT\("([\w-]+)"\)/g;
	}
	return sort @names;
}

# The next time, or the pass-th from now on, that the server comes to the point, the process
# ('process') or all of them ('server') die.
sub arm
{
	my ($node, $point, $kind, $pass) = @_;
	my $data = $node->data_dir;

	unlink "$data/fault", "$data/fault.passes", "$data/fault.hit";
	$log{ $node->name } = -s $node->logfile;
	open my $file, '>', "$data/fault.new" or die "$data/fault.new: $!";
	print $file "$point $kind ", $pass // 1, "\n";
	close $file;
	rename "$data/fault.new", "$data/fault" or die "$data/fault: $!";
	return;
}

sub disarm
{
	my ($node) = @_;

	unlink $node->data_dir . '/fault';
	return;
}

# Has it come to the point?
sub has_hit
{
	my ($node) = @_;

	return -e $node->data_dir . '/fault.hit';
}

sub is_down
{
	my ($node) = @_;

	return $down{ $node->name };
}

# Statements that a server may die at, or before: whether all were done, and what they gave.
# They are arguments, since who cannot connect reads no standard input.
sub try_sql
{
	my ($node, @statements) = @_;
	my %out;
	my $done = start_psql($node, \%out, @statements)->finish;

	chomp $out{out};
	return ($done, $out{out});
}

# Is its worker at work?
sub is_up
{
	my ($node) = @_;

	return 0 if is_down($node);
	my ($done, $out) = try_sql($node, q{SELECT state FROM vecdb.stat_workers WHERE database = 'postgres'});
	return $done && $out eq 'running';
}

# What a hit of this kind means: the server is down, or begins anew by itself.
sub take_down
{
	my ($node, $kind) = @_;

	unlink $node->data_dir . '/fault.hit';
	if ($kind eq 'server')
	{
		my $file = $node->data_dir . '/postmaster.pid';
		my ($pid) = split /\n/, slurp_file($file);

		wait_until(sub { !readlink "/proc/$pid/exe" }) or die 'a server does not die';
		$node->kill9;
		# what has ended has its number still, until its parent asks for it
		unlink $file, $node->host . '/.s.PGSQL.' . $node->port . '.lock';
		$down{ $node->name } = 1;
		return;
	}
	wait_for_line($node, qr/all server processes terminated; reinitializing/, $log{ $node->name })
	  or die 'a server does not begin anew after the end of a process';
	return;
}

# Those that run end at once.
sub crash
{
	for my $node (@_)
	{
		$node->stop('immediate');
		$down{ $node->name } = 1;
	}
	return;
}

sub bring_up
{
	my ($node) = @_;

	return if !$down{ $node->name };
	$log{ $node->name } = -s $node->logfile;
	# what is armed for its start may end it before pg_ctl sees it
	if (!$node->start(fail_ok => 1))
	{
		die 'a server does not start' if !has_hit($node);
		return;
	}
	$down{ $node->name } = 0;
	return;
}

sub await_up
{
	my ($node) = @_;

	bring_up($node);
	return wait_until(sub { is_up($node) });
}

1;
