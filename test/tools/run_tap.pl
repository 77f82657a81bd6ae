#!/usr/bin/perl
#
# run_tap.pl [--jobs=N] FILE...
#	  Run test programs that speak TAP and count their assertions.
#
# A .pl file is run by perl, a .sql file by psql in a database of its own made
# from the template named in VECDB_PGTAP_TEMPLATE, anything else is executed.
# Everything the programs print goes to standard output; the last line is
#	  #total PASSED FAILED SKIPPED
# A program that dies, or does not keep to its plan, counts as a failure even
# when each assertion it did make was good.
use strict;
use warnings;
use TAP::Harness;

my $jobs = 1;
if (@ARGV && $ARGV[0] =~ /^--jobs=(\d+)$/)
{
	$jobs = $1;
	shift @ARGV;
}

my $databases = 0;

sub command_for
{
	my ($harness, $file) = @_;

	return [ $^X, $file ] if $file =~ /\.pl$/;
	if ($file =~ /\.sql$/)
	{
		my $db = sprintf 'pgtap_%03d', ++$databases;

		return [
			'sh', '-c',
			'createdb -T "$1" "$2" && psql -X -q -A -t -v ON_ERROR_STOP=1 -d "$2" -f "$3"; rc=$?; '
			  . 'dropdb --if-exists --force "$2"; exit $rc',
			'sh', $ENV{VECDB_PGTAP_TEMPLATE}, $db, $file
		];
	}
	return [$file];
}

my $harness = TAP::Harness->new(
	{
		verbosity => 1,
		jobs => $jobs,
		merge => 1,
		timer => 1,
		exec => \&command_for,
	});
my $all = $harness->runtests(sort @ARGV);

my ($passed, $failed, $skipped) = (0, 0, 0);
foreach my $parser ($all->parsers)
{
	my $bad = scalar $parser->failed;
	my %aside = map { $_ => 1 } $parser->skipped, $parser->todo;

	# A program that died or did not keep to its plan is one failure, however
	# many assertions never ran.
	$bad = 1 if !$bad && $parser->has_problems && !$parser->todo_passed;
	$failed += $bad;
	$skipped += keys %aside;
	$skipped++ if $parser->skip_all;
	$passed += grep { !$aside{$_} } $parser->passed;
}
print "#total $passed $failed $skipped\n";
exit($failed ? 1 : 0);
