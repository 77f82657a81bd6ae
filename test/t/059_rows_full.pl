# What is full: a server without room for the processes of its node, more receivers than the
# source has snapshots for, an apply worker at which the jobs of many collections wait.  It is
# said where somebody can do something about it, and all goes on once there is room.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;
use VecdbRows;

# Nothing but a commit makes anybody ask for rows; segments of shared memory are files.
my $conf = "max_worker_processes = 16\nmax_connections = 50\nvecdb.anti_entropy_interval = 1h\ndynamic_shared_memory_type = mmap";
my @all = (new_peer('a', conf => $conf));
push @all, new_peer('b', bootstrap => [ $all[0] ], conf => $conf);
push @all, new_peer('c', bootstrap => [ $all[0] ], conf => "$conf\nmax_worker_processes = 2");
my ($a, $b, $c) = @all;
my $offset = 0;

ok(wait_until(sub { running($a) && running($b) }), 'two nodes run');

# ---- max_worker_processes: one is PostgreSQL's, one the launcher's ----

sub restart_with
{
	my ($n) = @_;

	$offset = -s $c->logfile;
	$c->append_conf('postgresql.conf', "max_worker_processes = $n");
	$c->restart;
	return;
}

sub state_of
{
	return sql($c, q{SELECT state, reason FROM vecdb.stat_workers WHERE database = 'postgres'});
}

# Does the server come to say this, in its view and with the way out in its log?
sub is_told
{
	my ($n, $state, $reason, $line) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { state_of() =~ /^$state\|.*$reason.*: raise max_worker_processes$/ }),
		"with max_worker_processes = $n the view says what is missing") or diag(state_of());
	ok(wait_for_line($c, qr/LOG:  could not start $line.*\n.*HINT:  Raise max_worker_processes, which is $n\./, $offset), '... and the log what to do');
	return;
}

is_told(2, 'down', 'no room for one more background worker', 'the node worker of database "postgres"');

sql($a, q{SELECT vecdb.create_collection('docs', 3, 'l2')});
sql($a, q{INSERT INTO collections.docs (id, data) SELECT 'a' || i, ARRAY[i, i % 7, 1]::vector FROM generate_series(1, 200) i});
my $invitation = sql($a, q{SELECT vecdb.invite('docs')});
my $rows = q{SELECT count(*) FROM collections.docs};

restart_with(3);
ok(wait_until(sub { running($c) }), 'with one more the node runs');
is(state_of(), 'running|', '... and lacks nothing as long as it has no collection');
is(sql($c, "SELECT vecdb.join('$invitation')"), 'collections.docs', '... and joins');
is_told(3, 'running', 'no rows are sent to others, there is no room for the process that holds snapshots', 'the process that holds snapshots');
like(log_since($c, $offset), qr/could not start an apply worker for the node of database "postgres": rows of others wait/, '... also of what else waits');
sql($c, q{INSERT INTO collections.docs (id, data) VALUES ('c1', '[1,2,3]')});

restart_with(4);
is_told(4, 'running', 'rows of others wait, there is no room for an apply worker', 'an apply worker');
is(sql($c, $rows), '1', 'none has come');

restart_with(5);
ok(wait_until(sub { sql($c, $rows) eq '201' }), 'with room for an apply worker all rows come');
ok(wait_until(sub { sql($a, $rows) eq '201' }), '... and go');
is_told(5, 'running', 'an index waits, there is no room for the process that builds it', 'a process to build the index');
is(sql($c, q{SELECT phase FROM vecdb.stat_copy}), 'index', 'vecdb.stat_copy says so, too');

restart_with(16);
ok(wait_until(sub { sql($c, q{SELECT bool_and(indisvalid) FROM pg_index WHERE indrelid = 'collections.docs'::regclass}) eq 't' }), 'with room for all the index is built');
ok(wait_until(sub { state_of() eq 'running|' }), '... and nothing is missing');
sql($a, q{DELETE FROM collections.docs WHERE id IN ('a1', 'c1')});
sql($c, q{INSERT INTO collections.docs (id, data) VALUES ('c2', '[1,2,3]')});
all_equal([ $a, $c ], 'rows travel both ways', 200);

# ---- more receivers than snapshots, and more jobs than an apply worker carries out at once ----

# Collections of one role, of another, and of a superuser, of which two others want rows.
my %n = (greedy => 10, other => 1, postgres => 12);
my %names = map { my $role = $_; $role => [ map { "${role}_$_" } 1 .. $n{$role} ] } keys %n;
my @names = map { @$_ } @names{ sort keys %names };

for my $role (sort keys %n)
{
	sql($_, "CREATE ROLE $role; GRANT USAGE, CREATE ON SCHEMA collections TO $role") for $role eq 'postgres' ? () : @all;
	sql($a, join '; ', "SET ROLE $role", map { "SELECT vecdb.create_collection('$_', 3, 'l2', index_type => 'flat')" } @{ $names{$role} });
}
for my $node ($b, $c)
{
	my @invitations = split /\n/, sql($a, join '; ', map { "SELECT vecdb.invite('$_')" } @names);

	is(scalar(split /\n/, sql($node, join '; ', map { "SELECT vecdb.join('$_')" } @invitations)), scalar @names, $node->name . ' joins ' . @names . ' collections');
}

sub write_to
{
	my ($id, @to) = @_;

	sql($a, join '; ', map { "INSERT INTO collections.$_ (id, data) VALUES ('$id', '[1,2,3]')" } @to);
	return;
}

# How many rows of a role's collections a has sent.
sub sent
{
	my ($role) = @_;

	return sql($a, qq{SELECT sum(rows_sent) FROM vecdb.stat_collections WHERE name::text ~ '^collections\\.${role}_'});
}

my $every = join ' UNION ALL ', map { "SELECT '$_' AS name, t::text FROM collections.$_ t" } @names;

# How many rows all collections have, and all of their columns.
sub all_rows
{
	my ($node) = @_;

	return sql($node, qq{SELECT count(*), md5(string_agg(md5(name || t), '' ORDER BY name, t)) FROM ($every) s});
}

sub have_rows
{
	my ($n) = @_;
	my @rows;

	return wait_until(sub { @rows = map { all_rows($_) } @all; !grep { $_ ne $rows[0] || !/^$n\|/ } @rows });
}

write_to('first', @names);
ok(have_rows(scalar @names), 'all have the first rows');
ok(wait_until(sub { !grep { sql($_, q{SELECT count(*) FROM vecdb.stat_copy}) ne '0' } @all }), '... and are done with that');

# As long as the apply workers of both stand still, each request keeps its snapshot.
my @workers = map { sql($_, q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'vecdb apply'}) } $b, $c;
my %before = map { $_ => sent($_) } keys %n;
my $taken = sub { return sent($_[0]) - $before{ $_[0] } };

is(scalar @workers, 2, 'each has one apply worker');
kill 'STOP', @workers;
write_to('second', @{ $names{greedy} });
ok(wait_until(sub { $taken->('greedy') >= 14 }), 'requests for rows of one role take snapshots');
write_to('second', @{ $names{other} });
ok(wait_until(sub { $taken->('other') == 2 }), '... and leave some to another role');
write_to('second', @{ $names{postgres} });
ok(wait_until(sub { $taken->('postgres') >= 16 }), '... and all that are left to a superuser');
sleep 2;
is($taken->('greedy'), '14', 'the first has no more, of 20 that are wanted');
is($taken->('postgres'), '16', '... and the last none beside the 32 that there are, of 24');
write_to('third', @names);
is((split /\|/, all_rows($_))[0], scalar @names, $_->name . ' has nothing of that as yet') for $b, $c;
ok(running($_), $_->name . ' runs') for @all;
kill 'CONT', @workers;
ok(have_rows(3 * @names), 'once jobs are done all rows are everywhere');

# A server has a few hundred of these at most, for everybody.
sub segments
{
	my ($node) = @_;

	return scalar(() = glob $node->data_dir . '/pg_dynshmem/mmap.*');
}

ok(wait_until(sub { segments($_) < @names / 2 }, 20), $_->name . ' keeps no segment of shared memory for a job that is done') or diag(segments($_)) for @all;

# ---- no room for a segment of shared memory ----

my $segments = $b->data_dir . '/pg_dynshmem';

$offset = -s $b->logfile;
chmod 0500, $segments;
write_to('fourth', $names{other}[0]);
ok(wait_for_line($b, qr/ERROR:  could not open shared memory segment/, $offset), 'a job has no room');
ok(running($b), '... and the node runs');
$offset = -s $b->logfile;
sql($b, q{SELECT pg_terminate_backend(pid) FROM vecdb.stat_workers WHERE database = 'postgres'});
ok(wait_until(sub { sql($b, q{SELECT state, reason FROM vecdb.stat_workers WHERE database = 'postgres'}) =~ /^running\|no rows travel, a segment of shared memory could not be made/ }),
	'nor what a new worker needs for all');
write_to('fifth', $names{other}[0]);
ok(wait_until(sub { sql($c, "SELECT count(*) FROM collections.$names{other}[0]") eq '5' }), 'others have their rows');
ok(running($b), '... and the node runs');
is(sql($b, "SELECT count(*) FROM collections.$names{other}[0]"), '3', 'that has none');
unlike(log_since($b, $offset), qr/terminated by signal/, '... and nothing has crashed');
chmod 0700, $segments;
ok(have_rows(3 * @names + 2), 'once there is room all rows come');
ok(wait_until(sub { sql($b, q{SELECT state, reason FROM vecdb.stat_workers WHERE database = 'postgres'}) eq 'running|' }), '... and nothing is missing');

nothing_crashed(@all);
done_testing();
