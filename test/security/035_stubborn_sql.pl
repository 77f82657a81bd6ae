# 035_stubborn_sql.pl
#	  The owner of a table whose trigger catches that a request was cancelled, and
#	  goes on: no executor is held by it, the server shuts down, and it can be started
#	  again when the postmaster was killed.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../http";
use Test::More;
use VecdbHttp;

my $node = http_node('stubborn_sql', <<'CONF', lab => 1);
vecdb.http_executors = 1
vecdb.http_shutdown_timeout = 1s
CONF

# What a request runs again and again, whatever it is told.
sub stubborn
{
	my ($sql) = @_;
	my $loop = "DO 'BEGIN LOOP BEGIN $sql EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END'";

	return VecdbHttp::Client::compose('POST', '/vectors', { vectors => [ { id => 's', collection => 'lab', data => [ 1, 2, 3 ], metadata => { run => $loop } } ] });
}

my $request = stubborn('PERFORM pg_sleep(600);');

# Where nobody collects orphans, as in a container without an init, they stay as zombies.
sub has_ended
{
	my ($pid) = @_;

	open my $stat, '<', "/proc/$pid/stat" or return 1;
	return (<$stat> // '') =~ /^(?:$|.*\) Z )/;
}

sub runs
{
	return wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'vecdb http executor%' AND wait_event = 'PgSleep'}) == 1 });
}

sub is_served
{
	my ($name) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_ready($node);
	is((call($node, 'GET', '/collections/lab') // {})->{status}, 200, $name);
	return;
}

# --- its time is over
$node->safe_psql('postgres', q{ALTER ROLE vecdb_anon SET statement_timeout = '3s'});
my ($executor) = executors($node);
my $c = VecdbHttp::Client->new($node->{http});
$c->send($request);
is_error($c->answer, 503, qr/^the process that executed the request has ended$/, 'SQL that catches its time limit ends with its process', '57P01');
is_served('others are served again');
isnt((executors($node))[0], $executor, 'by another process');
$c->close;

# --- its client is gone
$node->safe_psql('postgres', 'ALTER ROLE vecdb_anon RESET statement_timeout');
$c = VecdbHttp::Client->new($node->{http});
$c->send($request);
ok(runs(), 'SQL without a time limit runs');
$c->close;
ok(wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) == 0 }), 'it ends when its client has gone');
is_served('others are served again');

# --- the server shuts down
$c = VecdbHttp::Client->new($node->{http});
$c->send($request);
ok(runs(), 'SQL without a time limit runs');
ok($node->stop('fast', fail_ok => 1), 'the server shuts down') or $node->stop('immediate');
$c->close;

# --- the postmaster is gone, and the front with it: SQL that never waits does not see that
$node->start;
wait_ready($node);
$c = VecdbHttp::Client->new($node->{http});
$c->send(stubborn('LOOP PERFORM 1; END LOOP;'));
ok(wait_until(sub { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'vecdb http executor%' AND state = 'active'}) == 1 }), 'SQL that never waits runs');
($executor) = executors($node);
my ($postmaster) = PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
$node->kill9;
ok(wait_until(sub { has_ended($executor) }), 'the executor ends') or kill 'KILL', $executor;
# of a zombie PostgreSQL says that it runs
ok(wait_until(sub { has_ended($postmaster) }), 'the postmaster has ended');
unlink $node->data_dir . '/postmaster.pid', $node->host . '/.s.PGSQL.' . $node->port . '.lock';
$c->close;
ok($node->start(fail_ok => 1), 'the server starts again');

done_testing();
