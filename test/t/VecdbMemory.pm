# VecdbMemory.pm
#	  What the processes of nodes hold, before a fault and after it: the worker, apply
#	  workers, the keeper of snapshots.
#
# Two measures of each process:
#
#	counted		bytes that it accounts for itself: those in use of PostgreSQL's memory contexts, by
#				pg_log_backend_memory_contexts(), and of the worker also what it has of malloc for
#				the node and for rows, vecdb.stat_workers.memory_bytes.  They are exact, so 2 %
#				is the bound.  Caches fill at first: a fault of that kind has to have come before.
#	private		pages that are no file's and nobody else's, by smaps_rollup, which has what libzmq
#				takes, too.  They grow where nothing leaks: malloc keeps what is freed between
#				blocks in use, each life of a node has threads with stacks and arenas of their
#				own, and of the 2.6 MB of buffers for frames those pages are touched that a frame
#				was large enough for.  A worker whose node began anew fifty times had 6.38 MB of
#				malloc in use after the tenth and after the fiftieth (malloc_stats()), while 0.4
#				MB more pages had been touched, at most 0.3 MB in one of the faults.  Hence the
#				slack beside 2 %.
package VecdbMemory;

use strict;
use warnings;
use Exporter 'import';
use List::Util qw(min);
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(memory_of memory_is_as_before memory_settles);

my $PART = 1.02;
my $SLACK = 512 * 1024;			# of private pages
my $WAIT = 60;					# seconds until memory is what it was, or a process tells of its own
my $PUBLISHED = 1.2;			# seconds, in which memory_bytes is written anew

sub slurp
{
	my ($file, $from) = @_;

	open(my $in, '<', $file) or return '';
	seek($in, $from // 0, 0);
	local $/;
	return scalar(<$in>) // '';
}

# Of a server of PostgreSQL::Test or of VecdbNet: its name, the result of a query, its log.
sub name_of { return $_[0]->can('safe_psql') ? $_[0]->name : $_[0]{name} }
sub query { return $_[0]->can('safe_psql') ? $_[0]->safe_psql('postgres', $_[1]) : $_[0]->sql($_[1]) }
sub log_of { return $_[0]->can('safe_psql') ? $_[0]->logfile : $_[0]->log_file }

# Bytes of contexts that a process tells of in the log from there on.
sub told
{
	my ($log, $from, $pid) = @_;

	for (my $end = time() + $WAIT; time() < $end; sleep(0.01))
	{
		return $1 if slurp($log, $from) =~ /\[$pid\][^\n]*Grand total: \d+ bytes in \d+ blocks; \d+ free \(\d+ chunks\); (\d+) used/;
	}
	die "process $pid does not tell of its memory";
}

# { process => { counted, private } } of a server now.
sub read_memory
{
	my ($node) = @_;
	my $log = log_of($node);
	my $from = -s $log;
	my %is;

	for (split /\n/, query($node, q{SELECT pid, replace(backend_type, 'vecdb ', ''), pg_log_backend_memory_contexts(pid),
			(SELECT memory_bytes FROM vecdb.stat_workers WHERE kind = 'node' AND database = 'postgres')
		FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type IN ('vecdb node', 'vecdb apply', 'vecdb snapshots') ORDER BY pid}))
	{
		my ($pid, $process, undef, $of_node) = split /\|/;
		my ($pages) = slurp("/proc/$pid/smaps_rollup") =~ /^Anonymous:\s+(\d+) kB/m or die "no smaps_rollup of process $pid";

		$process .= "'" while $is{$process};
		$is{$process} = { counted => told($log, $from, $pid) + ($process eq 'node' ? $of_node : 0), private => $pages * 1024 };
	}
	return \%is;
}

# What these servers hold now, when nothing is under way: for memory_is_as_before().  What
# is needed for a moment does not count.
sub memory_of
{
	my (@nodes) = @_;
	my @first = map { read_memory($_) } @nodes;

	sleep($PUBLISHED);
	my @second = map { read_memory($_) } @nodes;
	for my $i (0 .. $#nodes)
	{
		for my $process (keys %{ $first[$i] })
		{
			my ($one, $other) = ($first[$i]{$process}, $second[$i]{$process} // next);

			$one->{$_} = min($one->{$_}, $other->{$_}) for keys %$one;
		}
	}
	return \@first;
}

# What is wrong with memory now, beside what it was before.
sub grown
{
	my ($before, $nodes, $now, $slack) = @_;
	my @wrong;

	for my $i (0 .. $#$nodes)
	{
		for my $process (sort keys %{ $before->[$i] })
		{
			my ($was, $is) = ($before->[$i]{$process}, $now->[$i]{$process});
			my $who = name_of($nodes->[$i]) . ": $process";

			push @wrong, "$who does not run" if !$is;
			push @wrong, map { "$who has $is->{$_} bytes $_, and had $was->{$_}" }
			  grep { $is && $is->{$_} > $PART * $was->{$_} + ($_ eq 'private' ? $slack : 0) } sort keys %$was;
		}
	}
	return @wrong;
}

# These servers, or those in their places, come to hold no more than 2 % more than memory_of()
# gave; slack is another one of private pages.
sub memory_is_as_before
{
	my ($before, $nodes, $what, %opt) = @_;
	my $end = time() + $WAIT;
	my $began = time();
	my (@now, @wrong);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	while (1)
	{
		@now = map { read_memory($_) } @$nodes;
		@wrong = grown($before, $nodes, \@now, $opt{slack} // $SLACK);
		last if !@wrong || time() > $end;
		sleep(1);
	}
	ok(!@wrong, "$what: memory is within 2 % of before") or diag(join "\n", @wrong);
	for my $i (0 .. $#$nodes)
	{
		note(sprintf '%s, %s: %s', $what, name_of($nodes->[$i]), join '; ', map {
			my ($process, $was, $is) = ($_, $before->[$i]{$_}, $now[$i]{$_} // {});
			"$process " . join ', ', map { sprintf '%s %.0f to %.0f kB', $_, $was->{$_} / 1024, ($is->{$_} // 0) / 1024 } sort keys %$was;
		} sort keys %{ $before->[$i] });
	}
	note(sprintf '%s, memory: %.2f s', $what, time() - $began);
	return;
}

# A fault of which it is by chance how much is on its way at once, and what memory that takes
# for good: it comes again until it adds nothing, at least twice and so many times at most.  A
# leak would add as much each time.  The code gets the number of the time.
sub memory_settles
{
	my ($nodes, $what, $most, $fault) = @_;
	my $before;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$fault->(1);
	for my $time (2 .. $most)
	{
		$before = memory_of(@$nodes);
		$fault->($time);
		last if !grown($before, $nodes, memory_of(@$nodes), $SLACK);
	}
	memory_is_as_before($before, $nodes, $what);
	return;
}

1;
