# Three servers share a collection, and one has no room left on its disk, or no descriptor:
# it fails statements, not itself, others go on, and where there is room again all are equal.
use strict;
use warnings;
use FindBin;
use IO::Socket::INET;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;
use VecdbStorage;
use VecdbMemory;

my @unshare = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
my $small = PostgreSQL::Test::Utils::tempdir();
my $mount = 'mount -t tmpfs -o size=12m tmpfs "$1"';
my ($out, $err);

if (!IPC::Run::run([ @unshare, 'sh', '-c', $mount, 'sh', $small ], '>', \$out, '2>', \$err))
{
	$err =~ s/\s+/ /g;
	plan skip_all => "a small file system cannot be mounted: $err";
}

my @all = share_docs(conf => "vecdb.anti_entropy_interval = 1s\nrestart_after_crash = on");
my ($a, $b, $c) = @all;

put($a, map { "a$_" } 1 .. 50);
put($b, map { "b$_" } 1 .. 50);
put($c, map { "c$_" } 1 .. 50);
is_whole(\@all, 'before a disk is full');

# Those that have room have all that was written.
sub is_whole_but_for_c
{
	my ($what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_there([ $a, $b ], $what);
	is(sql($_, 'SELECT quarantined, parked FROM vecdb.stat_collections'), '0|0', '... nothing is set aside on ' . $_->name) for $a, $b;
	return;
}

# ---- no room for rows ----

# The table and its indexes are on a small disk; start again, below the mount.
$c->stop;
IPC::Run::run(
	[ @unshare, 'sh', '-c', "$mount && exec pg_ctl -w -D \"\$2\" -l \"\$3\" start", 'sh', $small, $c->data_dir, $c->logfile ],
	'>', \$out, '2>', \$err) or die "the server does not start: $out$err";
$c->_update_pid(1);
sql($c, "CREATE TABLESPACE small LOCATION '$small'");
sql($c, 'ALTER TABLE collections.docs SET TABLESPACE small');

# The disk becomes full while rows are written elsewhere, and then there is room again.
sub fill_disk
{
	my ($time) = @_;
	my $tried = sql($c, 'SELECT interrupted FROM vecdb.stat_collections');

	sql($c, 'CREATE TABLE ballast (t text) TABLESPACE small');
	my (undef, undef, $error) = $c->psql('postgres',
		q{DO $$ BEGIN LOOP INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 100); COMMIT; END LOOP; END $$});

	like($error, qr/No space left on device/, "the disk of c is full, time $time");
	put($a, map { "big$_" } 1 .. 300);
	sql($a, q{UPDATE collections.docs SET metadata = metadata || jsonb_build_object('x', repeat(md5(id), 50)) WHERE id LIKE 'big%'});
	put($b, "small$time", 'c1');
	remove($a, 'a1', 'b1');
	is_whole_but_for_c('the others go on');
	ok(wait_until(sub { sql($c, qq{SELECT interrupted > $tried + 1 FROM vecdb.stat_collections}) eq 't' }), 'c tries to write what they have, again and again');
	like(error_of($c, q{INSERT INTO collections.docs (id, data, metadata) SELECT 'mine' || i, '[1,2,3]', jsonb_build_object('x', repeat(md5(i::text), 50)) FROM generate_series(1, 300) i}),
		qr/No space left on device/, '... as its clients do');
	is(sql($c, q{SELECT count(*) FROM vecdb.stat_replication WHERE state = 'level'}), '0', '... and says that it is behind');
	put($a, "late$time");
	is_whole_but_for_c('others go on still');
	sql($c, 'DROP TABLE ballast');
	is_whole(\@all, 'there is room again');
	put($_, "room$time" . $_->name) for @all;
	is_whole(\@all, 'all write');
	return;
}

is_whole(\@all, 'on a small disk');
memory_settles(\@all, 'a disk was full', 5, \&fill_disk);

# ---- no descriptors ----

# the small disk goes with the server
sql($c, 'ALTER TABLE collections.docs SET TABLESPACE pg_default');
sql($c, 'DROP TABLESPACE small');
$c->stop;
system_or_bail('sh', '-c', 'ulimit -n 600 && exec "$@"', 'sh', 'pg_ctl', '-w', '-D', $c->data_dir, '-l', $c->logfile, 'start');
$c->_update_pid(1);
ok(wait_until(sub { running($c) }), 'c runs with few descriptors');

# A client takes all the connections that it gets
sub connect_often
{
	my ($time) = @_;
	my @connection;

	while (@connection < 700)
	{
		my $socket = IO::Socket::INET->new(PeerAddr => address($c), Proto => 'tcp') or last;
		push @connection, $socket;
	}
	put($_, "beside_client$time" . $_->name) for @all;
	is_whole(\@all, 'beside ' . @connection . " connections, time $time");
	close $_ for @connection;
	return;
}

memory_settles(\@all, 'without 700 connections', 4, \&connect_often);

# Its processes cannot open anything more, and another node comes back that has to meet them
my $memory = memory_of(@all);
my %limit;
for (split /\n/, sql($c, q{SELECT pid FROM pg_stat_activity WHERE backend_type IN ('vecdb node', 'vecdb apply', 'vecdb snapshots')}))
{
	$limit{$_} = () = glob "/proc/$_/fd/*";
}
is(scalar keys %limit, 3, 'c has three processes of a node');
my $out_of = -s $c->logfile;
system_or_bail('prlimit', "--pid=$_", "--nofile=$limit{$_}:") for keys %limit;
$b->restart;
put($_, 'none_' . $_->name) for @all;
remove($b, 'b2');
is_there([ $a, $b ], 'those who have descriptors go on');
ok(wait_until(sub { log_since($c, $out_of) =~ /Too many open files/ }), '... c tries in vain');
system_or_bail('prlimit', "--pid=$_", '--nofile=600:') for keys %limit;
is_whole(\@all, 'there are descriptors again');
memory_is_as_before($memory, \@all, 'without descriptors');
is(sql($c, q{SELECT count(*) FROM pg_stat_activity WHERE pid IN (} . join(',', keys %limit) . ')'), '3', 'the same processes go on');

nothing_crashed(@all);
done_testing();
