# The ports of a node that "make start" makes: whose one is that it cannot have.
# test/tools/ports.sh is asked, in bash, about programs that really listen.
use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin;
use IO::Socket::INET;
use Test::More;

my $tools = "$FindBin::RealBin/../tools";
my $dir = tempdir('vecdb-ports-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $state = "$dir/state";

mkdir $state;

sub listening
{
	my ($address, $port) = @_;

	return IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port // 0, Listen => 5) // die "cannot listen on $address: $@";
}

# Four ports in a row from there on that nobody has.
sub free_row
{
	for (1 .. 100)
	{
		my $first = 20000 + int rand 10000;
		my @sockets = grep { $_ } map { IO::Socket::INET->new(LocalAddr => '0.0.0.0', LocalPort => $first + $_, Listen => 1) } 0 .. 5;

		return $first if @sockets == 6;
	}
	die 'there are no free ports';
}

# What check_ports says to a node in $self with those ports.
sub check
{
	my ($self, @ports) = @_;
	my $pid = open(my $out, '-|') // die "fork: $!";

	if (!$pid)
	{
		open STDERR, '>&', \*STDOUT;
		exec 'bash', '-c', '. "$1/lib.sh"; . "$1/ports.sh"; STATE=$2; WORK=$2; shift 2; check_ports "$@"; echo fine', 'sh', $tools, $state, $self, @ports;
	}
	local $/;
	return scalar <$out>;
}

sub node
{
	my ($name, $pid, $port, $http, $p2p) = @_;

	mkdir "$state/$name";
	open my $conf, '>', "$state/$name/vecdb.conf" or die $!;
	print $conf "port = $port\nvecdb.http_port = $http\nvecdb.listen = '127.0.0.1'\nvecdb.p2p_port = $p2p\n";
	close $conf;
	open my $file, '>', "$state/$name/postmaster.pid" or die $!;
	print $file "$pid\n";
	close $file;
	return "$state/$name";
}

my $seed = $ENV{TEST_SEED} // $$;
srand $seed;
note("seed $seed");
my $first = free_row();
my $new = "$state/new";

is(check($new, $first, $first + 1, $first + 3, '127.0.0.1'), "fine\n", 'four free ports');

# One's own, among each other
like(check($new, $first, $first + 1, $first + 2, '127.0.0.1'),
	qr/port @{[ $first + 2 ]} is to be for HTTP's administration \(PORT\) and for other nodes \(P2P_PORT\) of the same server\n.*make start P2P_PORT=@{[ $first + 3 ]}\n$/,
	'P2P_PORT is the port of the administration');
like(check($new, $first + 1, $first, $first + 3, '127.0.0.1'), qr/is to be for PostgreSQL \(PGPORT\) and for HTTP's administration \(PORT\)/, 'PGPORT is the port of the administration');
like(check($new, $first, $first, $first + 3, '127.0.0.1'), qr/is to be for PostgreSQL \(PGPORT\) and for HTTP \(PORT\)/, 'PGPORT is PORT');
like(check($new, $first, $first + 1, $first, '0.0.0.0'), qr/is to be for PostgreSQL \(PGPORT\) and for other nodes/, 'P2P_PORT on all addresses');
is(check($new, $first, $first + 1, $first + 2, '127.0.0.9'), "fine\n", 'P2P_PORT on another address');
like(check($new, $first, 65535, $first + 3, '127.0.0.1'), qr/port 65536, for HTTP's administration \(PORT\), is not from 1 to 65535/, 'the administration would be beyond the last port');
like(check($new, 0, $first, $first + 3, '127.0.0.1'), qr/port 0, for PostgreSQL/, 'port 0');

# Strangers'
{
	my $stranger = listening('127.0.0.1', $first + 2);

	like(check($new, $first, $first + 1, $first + 3, '127.0.0.1'), qr/port @{[ $first + 2 ]}, for HTTP's administration, is in use by the program \S+, process $$\n.*make start PORT=\d+\n$/,
		'a stranger has the port of the administration');
	is(check($new, $first, $first + 3, $first + 2, '127.0.0.9'), "fine\n", 'a stranger has it on another address');
	like(check($new, $first, $first + 3, $first + 2, '0.0.0.0'), qr/for other nodes, is in use by the program/, 'a stranger has it on one of all addresses');
}
{
	my $stranger = listening('0.0.0.0', $first);

	like(check($new, $first, $first + 1, $first + 3, '127.0.0.1'), qr/port $first, for PostgreSQL, is in use by the program/, 'a stranger has it on all addresses');
}
is(check($new, $first, $first + 1, $first + 3, '127.0.0.1'), "fine\n", 'the strangers have gone');

# Those of other nodes, which may not listen yet
my $other = node('other', $$, $first, $first + 1, $first + 3);

like(check($new, $first + 4, $first + 2, $first + 5, '127.0.0.1'), qr/port @{[ $first + 2 ]}, for HTTP, is in use by the server in \Q$other\E, for HTTP's administration\n/, 'another node');
like(check($new, $first + 3, $first + 4, $first + 2, '127.0.0.1'), qr/for PostgreSQL, is in use by the server in \Q$other\E, for other nodes\n/, 'its port for other nodes');
is(check($other, $first, $first + 1, $first + 3, '127.0.0.1'), "fine\n", 'that node itself');
{
	my $listener = listening('127.0.0.1', $first + 1);

	is(check($other, $first, $first + 1, $first + 3, '127.0.0.1'), "fine\n", 'that node itself, as it listens');
}
node('other', 999999999, $first, $first + 1, $first + 3);
is(check($new, $first, $first + 1, $first + 3, '127.0.0.1'), "fine\n", 'another node that does not run');

# A server is named by its directory.
{
	my $server = node('listening', $$, $first + 10, $first + 20, $first + 30);
	my $pid = open(my $ready, '-|') // die "fork: $!";

	if (!$pid)
	{
		chdir $server;
		my $socket = listening('127.0.0.1', $first + 4);

		syswrite STDOUT, "ready\n";
		sleep 600;
		exit;
	}
	<$ready>;
	like(check($new, $first + 4, $first, $first + 3, '127.0.0.1'), qr/for PostgreSQL, is in use by the server in \Q$server\E\n/, 'a server that listens');
	kill 'KILL', $pid;
	close $ready;
}

done_testing();
