# VecdbNet.pm
#	  What the tests of the network share: many small servers, each a node, on
#	  loopback or in network namespaces of their own; and a hostile peer.
#
# A server is a copy of one data directory that was made once and has the
# extension.  It listens on a Unix socket for us, and on an address of its own
# for nodes.  As root, servers run as the user named in VECDB_RUN_USER.
#
# Namespaces: one holds two bridges; each node has one with a link into the
# first bridge.  A network is split by moving links to the second.  All names
# begin with "vecdb" and our process id; what was made is removed at the end,
# however it comes.  Every wait has a bound.
package VecdbNet;

use strict;
use warnings;
use Exporter 'import';
use Fcntl ':flock';
use File::Basename 'dirname';
use File::Path qw(make_path remove_tree);
use File::Temp 'tempdir';
use IO::Socket::INET;
use POSIX ':sys_wait_h';
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(are_together new_node copy_node run wait_until no_namespaces make_switch isolate rejoin hostile hostile_start session_start background_stop mute_names free_port free_ports);

our $WAIT = 180;	# seconds that any wait may take, however busy the processor is

my $run_user = $ENV{VECDB_RUN_USER};
my $root = $> == 0;
our $tools = $ENV{VECDB_NET_TOOLS} // dirname(__FILE__) . '/bin';
my $base = ($ENV{TESTDATADIR} // '/tmp') . "/net-$$";
my $template = ($ENV{TESTDATADIR} // '/tmp') . '/net_template';
my $sockets;
our @nodes;
my @namespaces;
my $switch;
my @helpers;
my $main_pid = $$;

$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);

# ---------------------------------------------------------------------------
# Commands

sub as_user
{
	my (@command) = @_;

	return @command if !$root;
	my ($name, undef, undef, $gid, undef, undef, undef, $home) = getpwnam($run_user) or die "no user $run_user";
	return ('setpriv', "--reuid=$name", "--regid=$gid", '--init-groups', 'env', "HOME=$home", "USER=$name", @command);
}

# Run a command: its status, output and error output.  One that does not end in
# time is killed, and has the status -1.
sub run
{
	my ($command, %options) = @_;

	prepare();
	my $out = "$base/run.out";
	my $err = "$base/run.err";
	my $end = time() + ($options{seconds} // $WAIT);
	my $pid = fork() // die "could not fork: $!";

	if ($pid == 0)
	{
		setpgrp;
		open(STDIN, '<', $options{stdin} // '/dev/null') or POSIX::_exit(127);
		open(STDOUT, '>', $out) or POSIX::_exit(127);
		open(STDERR, '>', $err) or POSIX::_exit(127);
		chdir '/';
		no warnings 'exec';
		exec { $command->[0] } @$command;
		POSIX::_exit(127);
	}
	my $nap = 1000;
	while (waitpid($pid, WNOHANG) == 0)
	{
		if (time() > $end)
		{
			kill 'KILL', -$pid;
			waitpid($pid, 0);
			return (-1, slurp($out), slurp($err) . "(stopped after a while)\n");
		}
		usleep($nap);
		$nap *= 2 if $nap < 16000;
	}
	return ($? >> 8 | ($? & 127 ? 128 : 0), slurp($out), slurp($err));
}

sub must_run
{
	my ($command, %options) = @_;
	my ($status, $out, $err) = run($command, %options);

	die "@$command: $err$out" if $status != 0;
	return $out;
}

sub slurp
{
	my ($file) = @_;

	open(my $in, '<', $file) or return '';
	local $/;
	return scalar(<$in>) // '';
}

# Wait until the code gives a true value; false when that takes too long.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $end = time() + ($seconds // $WAIT);
	my $nap = 20_000;

	while (1)
	{
		my $value = $condition->();

		return $value if $value;
		return 0 if time() > $end;
		usleep($nap);
		$nap *= 1.5 if $nap < 200_000;
	}
}

# ---------------------------------------------------------------------------
# Ports

my %taken;

sub bindable
{
	my ($ip, $port) = @_;

	for my $proto (qw(tcp udp))
	{
		my $s = IO::Socket::INET->new(
			LocalAddr => $ip,
			LocalPort => $port,
			Proto => $proto,
			ReuseAddr => $proto eq 'tcp',
			$proto eq 'tcp' ? (Listen => 1) : ());
		return 0 if !$s;
		close $s;
	}
	return 1;
}

# A port of 127.0.0.1 that is free for TCP and UDP, below those that the kernel
# gives to clients.
sub free_port
{
	for (1 .. 1000)
	{
		my $port = 10000 + int(rand(20000));

		next if $taken{$port} || !bindable('127.0.0.1', $port);
		$taken{$port} = 1;
		return $port;
	}
	die 'no port is free';
}

# The first of so many that are free, side by side.
sub free_ports
{
	my ($n) = @_;

	for (1 .. 1000)
	{
		my $first = 10000 + int(rand(20000));

		next if grep { $taken{$_} || !bindable('127.0.0.1', $_) } $first .. $first + $n - 1;
		$taken{$_} = 1 for $first .. $first + $n - 1;
		return $first;
	}
	die "no $n ports are free side by side";
}

# ---------------------------------------------------------------------------
# Namespaces

# Why there can be none, or undef.
sub no_namespaces
{
	my $probe = "vecdb$$-probe";
	my $why;

	return 'network namespaces need root' if !$root;
	my ($status, undef, $err) = run([ qw(ip netns add), $probe ]);
	return 'network namespaces cannot be made here: ' . ($err =~ s/\s+$//r) if $status != 0;
	for my $command ([ qw(ip -n), $probe, qw(link add name one type veth peer name two) ], [ qw(ip -n), $probe, qw(link add name three type bridge) ],
		[ qw(ip netns exec), $probe, qw(nft add table ip nat) ], [ qw(ip netns exec), $probe, 'nft', 'add chain ip nat out { type nat hook postrouting priority 100; }' ])
	{
		($status, undef, $err) = run($command);
		$why //= "\"@$command\" is impossible here: " . ($err =~ s/\s+$//r) if $status != 0;
	}
	run([ qw(ip netns del), $probe ]);
	return $why;
}

sub ip_in
{
	my ($namespace, @args) = @_;

	return must_run([ 'ip', '-n', $namespace, @args ]);
}

sub new_namespace
{
	my ($name) = @_;

	must_run([ 'ip', 'netns', 'add', $name ]);
	push @namespaces, $name;
	ip_in($name, qw(link set lo up));
	return $name;
}

# The namespace with the bridges.
sub make_switch
{
	$switch = new_namespace("vecdb$$-switch");
	for my $bridge (qw(west east))
	{
		ip_in($switch, qw(link add name), $bridge, qw(type bridge mcast_snooping 0));
		ip_in($switch, qw(link set), $bridge, 'up');
	}
	return;
}

# A namespace with a link into the bridge "west", and addresses of these
# families there: 10.77.0.N and fd00:77::N.
sub plugged_namespace
{
	my ($number, $suffix, @families) = @_;
	my $name = new_namespace("vecdb$$-$number$suffix");

	ip_in($switch, qw(link add name), "port$number", qw(type veth peer name eth0 netns), $name);
	ip_in($switch, qw(link set), "port$number", qw(master west up));
	ip_in($name, qw(addr add), "10.77.0.$number/24", qw(dev eth0)) if grep { $_ == 4 } @families;
	ip_in($name, qw(addr add), "fd00:77::$number/64", qw(dev eth0 nodad)) if grep { $_ == 6 } @families;
	ip_in($name, qw(link set eth0 up));
	return $name;
}

# A namespace behind another: 192.168.77.2 there is 10.77.0.N here, with a port
# led through to it, or without.
sub hidden_namespace
{
	my ($number, $port) = @_;
	my $gateway = plugged_namespace($number, '-gateway', 4);
	my $name = new_namespace("vecdb$$-$number");
	my @nft = ('ip', 'netns', 'exec', $gateway, 'nft');

	ip_in($gateway, qw(link add name eth1 type veth peer name eth0 netns), $name);
	ip_in($gateway, qw(addr add 192.168.77.1/24 dev eth1));
	ip_in($gateway, qw(link set eth1 up));
	ip_in($name, qw(addr add 192.168.77.2/24 dev eth0));
	ip_in($name, qw(link set eth0 up));
	ip_in($name, qw(route add default via 192.168.77.1));
	must_run([ qw(ip netns exec), $gateway, qw(sysctl -q -w net.ipv4.ip_forward=1) ]);
	must_run([ @nft, qw(add table ip nat) ]);
	must_run([ @nft, 'add chain ip nat out { type nat hook postrouting priority 100; }' ]);
	must_run([ @nft, 'add rule ip nat out oifname eth0 masquerade' ]);
	return $name if !$port;
	must_run([ @nft, 'add chain ip nat in { type nat hook prerouting priority -100; }' ]);
	must_run([ @nft, "add rule ip nat in iifname eth0 $_ dport $port dnat to 192.168.77.2:7777" ]) for qw(tcp udp);
	return $name;
}

# Some nodes on one side, all others on the other; and together again.
sub isolate
{
	my (@apart) = @_;

	ip_in($switch, qw(link set), "port$_->{number}", qw(master east)) for @apart;
	return;
}

sub rejoin
{
	my (@apart) = @_;

	ip_in($switch, qw(link set), "port$_->{number}", qw(master west)) for @apart;
	return;
}

# ---------------------------------------------------------------------------
# Servers

sub prepare
{
	return if $sockets;
	srand($ENV{TEST_SEED} // $$);
	make_path($base);
	$sockets = tempdir('/tmp/vecdbnet.XXXXXX');
	if ($root)
	{
		my (undef, undef, $uid, $gid) = getpwnam($run_user // '') or die 'VECDB_RUN_USER names no user';
		chown $uid, $gid, $base, $sockets;
	}
	return;
}

# One data directory that all others are copies of; nothing of the network is in it.
sub make_template
{
	prepare();
	# programs run side by side, and one of them makes it
	open(my $lock, '>', "$template.lock") or die "could not open $template.lock: $!";
	flock($lock, LOCK_EX) or die "could not lock $template.lock: $!";
	return if -f "$template/PG_VERSION";
	my $new = "$base/template";

	must_run([ as_user(qw(initdb --wal-segsize=1 -N -U postgres -E UTF8 --locale=C.UTF-8 --auth=trust -D), $new) ]);
	append($new, 'postgresql.conf', <<"CONF");
listen_addresses = ''
unix_socket_directories = '$sockets'
shared_buffers = 1MB
max_connections = 10
max_worker_processes = 6
max_parallel_workers = 0
max_logical_replication_workers = 0
max_wal_senders = 0
wal_level = minimal
autovacuum = off
fsync = off
full_page_writes = off
synchronous_commit = off
jit = off
max_wal_size = 8MB
min_wal_size = 2MB
shared_preload_libraries = 'vecdb'
vecdb.http_executors = 0
CONF
	must_run([ as_user('pg_ctl', '-D', $new, '-l', "$new.log", qw(-w -t 60 start)) ]);
	my ($status, undef, $err) = run([ as_user(psql_command($sockets, 5432, 'postgres', 'CREATE EXTENSION vecdb')) ]);
	must_run([ as_user('pg_ctl', '-D', $new, qw(-w -m fast stop)) ]);
	die "CREATE EXTENSION: $err" if $status != 0;
	rename $new, $template or die "could not rename $new: $!";
	return;
}

sub append
{
	my ($data, $file, $text) = @_;

	open(my $out, '>>', "$data/$file") or die "could not write $data/$file: $!";
	print $out $text;
	close $out;
	return;
}

sub psql_command
{
	my ($socket, $port, $db, $sql) = @_;

	return ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', $socket, '-p', $port, '-U', 'postgres', '-d', $db, '-c', $sql);
}

my $serial = 0;

# A node that is not running yet.  Options: bootstrap => node or [nodes], conf =>
# { setting => value }, and place: "v4", "v6" or "both" for a namespace of its own
# with such addresses, "hidden" for one behind another, of which the port "forward"
# leads to it.
sub new_node
{
	my ($name, %options) = @_;
	my $self = bless {
		name => $name,
		number => ++$serial,
		ip => '127.0.0.1',
		data => "$base/$name",
		before => $options{before} // [],
		running => 0
	};

	make_template();
	$self->{socket} = $sockets;
	$self->{pgport} = 5432 + $self->{number};
	my $place = $options{place} // '';
	$self->{port} = $place ? 7777 : free_port();
	if ($place eq 'hidden')
	{
		$self->{namespace} = hidden_namespace($self->{number}, $options{forward});
		$self->{ip} = '192.168.77.2';
	}
	elsif ($place)
	{
		$self->{namespace} = plugged_namespace($self->{number}, '', $place eq 'v6' ? 6 : $place eq 'both' ? (4, 6) : 4);
		$self->{ip} = $place eq 'v6' ? "fd00:77::$self->{number}" : "10.77.0.$self->{number}";
	}
	must_run([ as_user('cp', '-a', $options{from} // $template, $self->{data}) ]);
	unlink "$self->{data}/postmaster.pid";
	$self->{conf} = {
		'vecdb.node_databases' => 'postgres',
		'vecdb.listen' => $self->{ip},
		'vecdb.p2p_port' => $self->{port},
		%{ $options{conf} // {} }
	};
	$self->{conf}{'vecdb.bootstrap'} = join(', ', map { $_->address } ref $options{bootstrap} eq 'ARRAY' ? @{ $options{bootstrap} } : $options{bootstrap})
	  if $options{bootstrap};
	$self->write_conf;
	append($self->{data}, 'postgresql.conf', "include 'node.conf'\n") if !$options{from};
	push @nodes, $self;
	return $self;
}

# A node with a copy of another's data directory, which must not run.
sub copy_node
{
	my ($name, $original, %options) = @_;

	return new_node($name, %options, from => $original->{data});
}

# Where others find it.
sub address
{
	my ($self) = @_;

	return $self->{at} // ($self->{ip} =~ /:/ ? "[$self->{ip}]" : $self->{ip}) . ":$self->{port}";
}

sub write_conf
{
	my ($self) = @_;
	my $file = "$self->{data}/node.conf";

	open(my $out, '>', $file) or die "could not write $file: $!";
	print $out "port = $self->{pgport}\nunix_socket_directories = '$self->{socket}'\n";
	print $out "$_ = '$self->{conf}{$_}'\n" for sort keys %{ $self->{conf} };
	close $out;
	return;
}

# Other settings, for a running server by a reload.
sub set
{
	my ($self, %conf) = @_;

	$self->{conf}{$_} = $conf{$_} for keys %conf;
	$self->write_conf;
	$self->sql('SELECT pg_reload_conf()') if $self->{running};
	return;
}

sub inside
{
	my ($self, @command) = @_;

	return $self->{namespace} ? ('ip', 'netns', 'exec', $self->{namespace}, @command) : @command;
}

sub log_file { return "$_[0]{data}.log" }

# Start; several at once with start_all().  Dies when a server does not.
sub start
{
	my ($self) = @_;

	must_run([ $self->inside(as_user(@{ $self->{before} }, 'pg_ctl', '-D', $self->{data}, '-l', $self->log_file, qw(-w -t 60 start))) ], seconds => 90);
	$self->{running} = 1;
	return $self;
}

sub stop
{
	my ($self, $mode) = @_;

	return if !$self->{running};
	run([ as_user('pg_ctl', '-D', $self->{data}, '-m', $mode // 'fast', qw(-w -t 60 stop)) ], seconds => 90);
	$self->{running} = 0;
	return;
}

sub pid
{
	my ($self) = @_;

	return (split /\n/, slurp("$self->{data}/postmaster.pid"))[0];
}

# Of the server's processes, those whose title says this.
sub children
{
	my ($self, $title) = @_;
	my $parent = $self->pid // return ();
	my @found;

	for my $stat (glob '/proc/[0-9]*/stat')
	{
		my ($pid) = slurp($stat) =~ /^(\d+) \(.*\) \S+ $parent /s or next;
		push @found, $pid if slurp("/proc/$pid/cmdline") =~ $title;
	}
	return @found;
}

sub worker_pid { return ($_[0]->children(qr/vecdb node(?! launcher)/))[0] }
sub launcher_pid { return ($_[0]->children(qr/vecdb node launcher/))[0] }

# The result of a statement; dies when it fails.
sub sql
{
	my ($self, $sql, $db) = @_;
	my ($status, $out, $err) = $self->try_sql($sql, $db);

	die "$self->{name}: $sql: $err" if $status != 0;
	return $out;
}

# Status, result without its last line end, error.
sub try_sql
{
	my ($self, $sql, $db, $seconds) = @_;
	my ($status, $out, $err) = run([ as_user(psql_command($self->{socket}, $self->{pgport}, $db // 'postgres', $sql)) ], seconds => $seconds // $WAIT);

	chomp $out;
	return ($status, $out, $err);
}

# Wait until a query gives this, or matches this; false, with what it gave last, when it never does.
sub wait_sql
{
	my ($self, $sql, $expected, $seconds) = @_;
	my $last = '';

	return 1
	  if wait_until(
		sub {
			my ($status, $out, $err) = $self->try_sql($sql);
			$last = $status == 0 ? $out : $err;
			return $status == 0 && (ref $expected ? $out =~ $expected : $out eq $expected);
		},
		$seconds);
	diag("$self->{name}: $sql: $last");
	return 0;
}

# What the log has from an offset on.
sub log
{
	my ($self, $offset) = @_;

	return substr(slurp($self->log_file), $offset // 0);
}

sub log_length { return -s $_[0]->log_file // 0 }

sub count_log
{
	my ($self, $pattern, $offset) = @_;

	return scalar(() = $self->log($offset) =~ /$pattern/g);
}

sub wait_log
{
	my ($self, $pattern, $offset, $seconds) = @_;

	return 1 if wait_until(sub { $self->log($offset) =~ $pattern }, $seconds);
	diag("$self->{name}: the log has nothing like $pattern:\n" . ($self->log($offset) =~ /((?:.*\n){0,15})\z/)[0]);
	return 0;
}

# The log tells of no crash: nothing that a signal or a failed assertion ended.
sub is_sound
{
	my ($self, $name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my @bad = grep { /was terminated by signal|TRAP:|PANIC|terminating any other active|stack smashing|exited with exit code (?!1\b)/ }
	  split /\n/, $self->log;
	ok(!@bad, $name // "$self->{name}: no process has crashed") or diag(join("\n", @bad));
	return;
}

# ---------------------------------------------------------------------------
# The node of a server, by SQL

# The node's id; asked anew with a true argument.
sub id
{
	my ($self, $again) = @_;

	$self->{id} = undef if $again;
	return $self->{id} if $self->{id};
	wait_until(sub { my ($status, $out) = $self->try_sql('SELECT vecdb.node_id()'); $status == 0 && $out =~ /^[0-9a-f]{64}$/ && ($self->{id} = $out) })
	  or die "$self->{name} has no id";
	return $self->{id};
}

# Nodes in its routing table, or -1 while it does not run.
sub known
{
	my ($self) = @_;
	my ($status, $out) = $self->try_sql('SELECT count(*) FROM vecdb.stat_routing_table');

	return $status == 0 ? $out : -1;
}

# How many of some nodes it finds by their ids, at the address that they have.
sub finds
{
	my ($self, @others) = @_;
	my $wanted = join ', ', map { "('" . $_->id . "', '" . $_->address . "')" } @others;
	my ($status, $out) = $self->try_sql(
		"SELECT count(*) FROM (VALUES $wanted) w (id, address) CROSS JOIN LATERAL vecdb.lookup(w.id) f WHERE w.address = ANY (f.addresses)");

	return $status == 0 ? $out : -1;
}

# Each of some finds all others of them.
sub are_together
{
	my ($name, @of) = @_;
	my $began = time();
	my $end = $began + $WAIT;
	my @short;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $node (@of)
	{
		my @others = grep { $_ != $node } @of;

		push @short, $node->{name} if !wait_until(sub { $node->finds(@others) == @others }, $end - time());
	}
	is(join(' ', @short), '', $name);
	diag(sprintf '%s: %.1f s', $name, time() - $began);
	return;
}

# The ids of a collection's holders that it finds, in order.
sub providers
{
	my ($self, $collection) = @_;
	my ($status, $out, $err) = $self->try_sql("SELECT string_agg(node_id, ',' ORDER BY node_id) FROM vecdb.providers('$collection')");

	return $status == 0 ? $out : $err;
}

sub members
{
	my ($self, $name) = @_;
	my ($status, $out, $err) = $self->try_sql("SELECT string_agg(node_id, ',' ORDER BY node_id) FROM vecdb.members('$name')");

	return $status == 0 ? $out : $err;
}

sub collection_id { return $_[0]->sql("SELECT id FROM vecdb.shared_collections WHERE name = '$_[1]'") }
sub invite { return $_[0]->sql("SELECT vecdb.invite('$_[1]', '$_[2]')") }
sub evict { return $_[0]->sql("SELECT * FROM vecdb.evict('$_[1]', '$_[2]')") }

# Redeem an invitation: the collection's name, or what went wrong.
sub join_by
{
	my ($self, $invitation) = @_;
	my ($status, $out, $err) = $self->try_sql("SELECT vecdb.join('$invitation')");

	return $status == 0 ? $out : $err;
}

# By datagram, as anybody can.
sub curve_key
{
	my ($self) = @_;

	return $self->{curve} //= (hostile($self, 'ask') =~ /curve=([0-9a-f]{64})/)[0];
}

# Messages that its node has read.
sub received
{
	my ($self) = @_;

	return $self->sql(q{SELECT messages_received FROM vecdb.stat_workers WHERE kind = 'node'});
}

# Its worker's memory that is not shared, in kB, and CPU seconds so far.
sub worker_memory
{
	my ($self) = @_;

	return (slurp('/proc/' . $self->worker_pid . '/status') =~ /^RssAnon:\s+(\d+)/m)[0];
}

sub worker_cpu
{
	my ($self) = @_;
	my @field = split ' ', slurp('/proc/' . $self->worker_pid . '/stat') =~ s/^.*\) //sr;

	return ($field[11] + $field[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# As when the power fails: all its processes at once.
sub kill9
{
	my ($self) = @_;
	my @all = ($self->pid, $self->children(qr/./));

	kill 'KILL', @all;
	# Where nobody collects orphans, as in a container without an init, they stay as zombies.
	wait_until(sub { !grep { kill(0, $_) && slurp("/proc/$_/stat") !~ /^.*\) Z / } @all }) or die "$self->{name} does not die";
	# of a zombie PostgreSQL says that it runs
	unlink "$self->{data}/postmaster.pid", "$self->{socket}/.s.PGSQL.$self->{pgport}.lock";
	$self->{running} = 0;
	return;
}

# Another IPv4 address for its namespace.
sub move
{
	my ($self, $ip) = @_;

	ip_in($self->{namespace}, qw(addr del), "$self->{ip}/24", qw(dev eth0));
	ip_in($self->{namespace}, qw(addr add), "$ip/24", qw(dev eth0));
	$self->{ip} = $ip;
	return;
}

# ---------------------------------------------------------------------------
# The hostile peer

sub hostile_command
{
	my ($node, @args) = @_;
	my @options = grep { /^--/ } @args;
	my @actions = grep { !/^--/ } @args;

	return $node->inside(as_user("$tools/hostile", @options, $node->{ip}, $node->{port}, @actions));
}

# What it writes, a line for each action.
sub hostile
{
	my ($node, @args) = @_;
	my ($status, $out, $err) = run([ hostile_command($node, @args) ], seconds => 2 * $WAIT);

	diag("hostile @args: $status $err") if $status != 0;
	return $out;
}

# A command in the background until background_stop(), which ends its input;
# returns when it has written a line like this.
sub background_start
{
	my ($pattern, @command) = @_;
	my $out = "$base/background-" . ++$serial;

	pipe(my $in, my $hold) or die "no pipe: $!";
	my $pid = fork() // die "could not fork: $!";
	if ($pid == 0)
	{
		close $hold;
		setpgrp;
		open(STDIN, '<&', $in) or POSIX::_exit(127);
		open(STDOUT, '>', $out) or POSIX::_exit(127);
		open(STDERR, '>&', \*STDOUT) or POSIX::_exit(127);
		chdir '/';
		no warnings 'exec';
		exec { $command[0] } @command;
		POSIX::_exit(127);
	}
	close $in;
	my $helper = { pid => $pid, hold => $hold, out => $out };
	push @helpers, $helper;
	wait_until(sub { slurp($out) =~ $pattern }) or diag("@command: " . slurp($out));
	return $helper;
}

# End it, by force after a while: what it has written.
sub background_stop
{
	my ($helper) = @_;

	close $helper->{hold} if $helper->{hold};
	$helper->{hold} = undef;
	if (!wait_until(sub { waitpid($helper->{pid}, WNOHANG) != 0 }, $helper->{patience} // 10))
	{
		kill 'KILL', -$helper->{pid};
		waitpid($helper->{pid}, 0);
	}
	@helpers = grep { $_ != $helper } @helpers;
	return slurp($helper->{out});
}

# In a node's namespace, servers of names that hear and say nothing, until the
# returned one is stopped.
sub mute_names
{
	my ($node) = @_;
	my @servers = grep { !/:/ } slurp('/etc/resolv.conf') =~ /^nameserver\s+(\S+)/mg;

	push @servers, '127.0.0.1' if !@servers;
	for my $ip (grep { !/^127\./ } @servers)
	{
		ip_in($node->{namespace}, qw(addr add), "$ip/32", qw(dev lo));
	}
	return background_start(
		qr/mute/,
		$node->inside($^X, '-MIO::Socket::INET', '-e',
			'my @s = map { IO::Socket::INET->new(LocalAddr => $_, LocalPort => 53, Proto => "udp") or die $! } @ARGV; $| = 1; print "mute\n"; <STDIN>;', @servers));
}

sub hostile_start
{
	my ($node, $pattern, @args) = @_;

	return background_start($pattern, hostile_command($node, @args));
}

# A session that repeats a statement for as long as it may.
sub session_start
{
	my ($node, $sql, $db) = @_;
	my $helper = background_start(qr/./, as_user(psql_command($node->{socket}, $node->{pgport}, $db // 'postgres', $sql), '-c', "$sql \\watch 0.02"));

	$helper->{patience} = 0;
	return $helper;
}

# ---------------------------------------------------------------------------
# The end

sub clean_up
{
	my ($keep) = @_;

	background_stop($_) for @helpers;
	$_->stop('immediate') for grep { $_->{running} } @nodes;
	for my $namespace (reverse @namespaces)
	{
		my (undef, $pids) = run([ qw(ip netns pids), $namespace ]);

		kill 'KILL', split(/\s+/, $pids) if $pids =~ /\d/;
		run([ qw(ip netns del), $namespace ]);
	}
	@namespaces = ();
	remove_tree($sockets) if $sockets;
	remove_tree(map { $_->{data} } @nodes) if !$keep;
	remove_tree($base) if !$keep && -d $base;
	diag("logs and data directories are in $base") if $keep && -d $base;
	return;
}

END
{
	if ($$ == $main_pid)
	{
		my $status = $?;

		clean_up($status != 0 || !Test::More->builder->is_passing);
		$? = $status;
	}
}

1;
