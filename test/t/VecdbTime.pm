# VecdbTime.pm
#	  Servers whose time of day is another one, and changes while they run.
package VecdbTime;

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;

our @EXPORT = qw(other_time set_clock);

# Where the library is built, and a file for each clock.
sub directory
{
	return "${PostgreSQL::Test::Utils::tmp_check}/other_time";
}

# Call code that starts a server: from now on set_clock() sets the clock of that name.
sub other_time
{
	my ($name, $code) = @_;
	my $bin = directory();
	my $library = "$bin/other_time.so";

	system_or_bail('make', '-s', '-C', abs_path(dirname(__FILE__) . '/../net'), "BIN=$bin", $library) if !-e $library;
	set_clock($name, 0) if !-e "$bin/$name";
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{OTHER_TIME_FILE} = "$bin/$name";
	return $code->();
}

# By so many seconds it is ahead of the true one, from now on.
sub set_clock
{
	my ($name, $seconds) = @_;
	my $bin = directory();

	open my $file, '+>>', "$bin/$name" or die "$bin/$name: $!";
	close $file;
	open $file, '+<:raw', "$bin/$name" or die "$bin/$name: $!";
	print $file pack('q', $seconds * 1000);
	close $file or die "$bin/$name: $!";
	return;
}

1;
