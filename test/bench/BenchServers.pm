# BenchServers.pm
#	  The servers of sync.pl: made from one template, each with ports of its own on
#	  loopback, stopped when the program ends; and what is read of their processes
#	  and sockets.
#
# From the environment: BENCH_DIR, where they are; BENCH_PGBIN; BENCH_USER, the number
# of the user who runs them where that is another one.
package BenchServers;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(time sleep);
use BenchTools;

our @EXPORT = qw(make_server make_node start_server stop_server stop_servers save_data restore_data port sql psql until_true
  worker_pid cpu_of cpu_of_server bytes_sent);

my ($DIR, $PGBIN, $USER) = @ENV{qw(BENCH_DIR BENCH_PGBIN BENCH_USER)};
my @AS_USER = $USER ? ('setpriv', "--reuid=$USER", '--regid=' . (getpwuid($USER))[3], '--init-groups', 'env', 'HOME=/') : ();
my $TEMPLATE = "$DIR/template";
my $next_port = 25700;
my %server;						# by name: port, p2p (0: no node), data, up

# What all have: nothing is to happen by the way.
my $SETTINGS = <<'CONF';
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
max_worker_processes = 24
shared_buffers = 512MB
maintenance_work_mem = 1GB
max_parallel_maintenance_workers = 1
max_parallel_workers_per_gather = 0
max_wal_size = 16GB
checkpoint_timeout = 1h
wal_receiver_status_interval = 1s
autovacuum = off
jit = off
log_line_prefix = '%m [%p] '
shared_preload_libraries = 'vecdb'
vecdb.http_executors = 0
CONF

END
{
	my $status = $?;

	stop_servers('immediate');
	$? = $status;
}

sub free_port
{
	for (;;)
	{
		my $port = $next_port++;
		my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Proto => 'tcp', Listen => 1);

		return $port if $socket;
	}
}

# quiet SECONDS COMMAND...: as the servers' user, its output to the log
sub quiet
{
	my ($seconds, @command) = @_;

	shell($seconds, join(' ', map { quote($_) } @AS_USER, @command) . ' >>' . quote("$DIR/servers.log") . ' 2>&1 </dev/null');
}

sub make_template
{
	quiet(60, 'rm', '-rf', $TEMPLATE);
	quiet(120, "$PGBIN/initdb", '-D', $TEMPLATE, '-U', 'postgres', '-E', 'UTF8', '--locale=C.UTF-8', '--auth=trust', '-N');
}

# A server; conf is more of its configuration.
sub make_server
{
	my ($name, %opt) = @_;
	my $data = "$DIR/$name";

	make_template() unless %server;
	$server{$name} = { port => free_port(), p2p => 0, data => $data, up => 0, %{ $opt{node} // {} } };
	# An earlier run that was killed may have left its server.
	quiet(60, "$PGBIN/pg_ctl", '-D', $data, '-m', 'immediate', '-w', 'stop') if -f "$data/postmaster.pid" && -d $data;
	quiet(300, 'rm', '-rf', $data);
	quiet(60, 'cp', '-a', $TEMPLATE, $data);
	write_conf($data, "${SETTINGS}port = $server{$name}{port}\n" . ($opt{conf} // ''));
	start_server($name);
	sql($name, 'CREATE EXTENSION vecdb');
}

sub write_conf
{
	my ($data, $text) = @_;

	shell(60, join(' ', map { quote($_) } @AS_USER, 'sh', '-c', 'printf %s "$1" >"$2"', 'sh', $text, "$data/postgresql.auto.conf"));
}

# A node, which meets the first of its network; n1 where nothing else is said.
sub make_node
{
	my ($name, %opt) = @_;
	my $meet = $opt{meet} // 'n1';
	my $p2p = free_port();

	make_server($name, node => { p2p => $p2p }, conf => <<"CONF");
vecdb.node_databases = 'postgres'
vecdb.listen = '127.0.0.1'
vecdb.p2p_port = $p2p
vecdb.network_id = '${\($opt{network} // 'bench')}'
vecdb.bootstrap = '${\($meet ne $name && $server{$meet} ? "127.0.0.1:$server{$meet}{p2p}" : '')}'
${\($opt{conf} // '')}
CONF
	until_true(sub { worker_pid($name) ne '' }, 60) or die "the node of $name does not run\n";
}

sub start_server
{
	my ($name) = @_;

	quiet(120, "$PGBIN/pg_ctl", '-D', $server{$name}{data}, '-l', "$server{$name}{data}.log", '-w', '-t', 100, 'start');
	$server{$name}{up} = 1;
}

sub stop_server
{
	my ($name, $mode) = @_;

	return unless $server{$name}{up};
	$server{$name}{up} = 0;
	eval { quiet(120, "$PGBIN/pg_ctl", '-D', $server{$name}{data}, '-m', $mode // 'fast', '-w', '-t', 100, 'stop') };
	warn "$name: $@" if $@;
}

# All of them, and what they have; their logs stay.
sub stop_servers
{
	my ($mode) = @_;

	# subscribers first: a publisher waits for what they have not received
	for my $name (reverse sort keys %server)
	{
		stop_server($name, $mode // 'immediate');
		eval { quiet(300, 'rm', '-rf', $server{$name}{data}, "$server{$name}{data}.saved") };
	}
	%server = ();
}

# What a server that is stopped has, and back to it
sub save_data
{
	my ($name) = @_;

	quiet(600, 'cp', '-a', $server{$name}{data}, "$server{$name}{data}.saved");
}

sub restore_data
{
	my ($name) = @_;

	quiet(300, 'rm', '-rf', $server{$name}{data});
	quiet(60, 'mv', "$server{$name}{data}.saved", $server{$name}{data});
}

sub port { return $server{ $_[0] }{port} }

sub psql
{
	my ($name) = @_;

	return ("$PGBIN/psql", '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', port($name), '-U', 'postgres', '-d', 'postgres');
}

sub sql
{
	my ($name, $text) = @_;
	local $ENV{PGOPTIONS} = '-c client_min_messages=warning';

	return run(7200, psql($name), '-c', $text);
}

# Is it so within so many seconds?  Looked at ten times a second, and more rarely later, for a
# look costs the server a process: the time is 2 % too long at most, or a tenth of a second.
sub until_true
{
	my ($what, $seconds) = @_;
	my $began = time;

	until ($what->())
	{
		my $waited = time - $began;

		return 0 if $waited > $seconds;
		sleep($waited > 5 ? $waited / 50 : 0.1);
	}
	return 1;
}

# ---------------------------------------------------------------------
# Processes and sockets
# ---------------------------------------------------------------------

# Of a node that runs, else an empty string
sub worker_pid
{
	my ($name) = @_;

	return sql($name, q{SELECT pid FROM vecdb.stat_workers WHERE kind = 'node' AND state = 'running'});
}

# Seconds on a processor, of all threads of processes
sub cpu_of
{
	my $ns = 0;

	for my $pid (@_)
	{
		for my $file (glob "/proc/$pid/task/*/schedstat") { $ns += (split / /, slurp($file))[0] // 0 }
	}
	return $ns / 1e9;
}

# Of the postmaster and all its children, also those that have ended
sub cpu_of_server
{
	my ($name) = @_;
	my ($postmaster) = slurp("$server{$name}{data}/postmaster.pid") =~ /^(\d+)/;
	my @children = grep { slurp("/proc/$_/stat") =~ /\) \S \Q$postmaster\E / } map { m{/(\d+)$} } glob '/proc/[0-9]*';
	my @stat = split / /, slurp("/proc/$postmaster/stat") =~ s/.*\) //sr;

	return cpu_of($postmaster, @children) + ($stat[13] + $stat[14]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Bytes of TCP between nodes, or between walsenders and subscribers, that the sockets which
# are there now have sent, both ends.
sub bytes_sent
{
	my ($system) = @_;
	my $bytes = 0;
	my %of = map { $_ => 1 } $system eq 'vecdb'
	  ? map { $_->{p2p} } grep { $_->{p2p} } values %server
	  : split /\n/, sql('l1', 'SELECT client_port FROM pg_stat_replication');

	my $socket = 0;
	for (split /\n/, run(10, 'ss', '-tinH', 'state', 'established'))
	{
		$socket = $of{$1} || $of{$2} if /:(\d+)\s+\S*:(\d+)\s*$/;
		$bytes += $1 if $socket && /\bbytes_sent:(\d+)/;
	}
	return $bytes;
}

1;
