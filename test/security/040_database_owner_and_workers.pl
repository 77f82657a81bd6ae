# The owner of a database, who is no superuser, against the node's worker, which
# is: settings of the database, names in its path, triggers and indexes on the
# extension's tables, locks.
use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use VecdbTest;
use VecdbNodes;

# Whoever waits for a lock is told of in the log.
my $a = new_peer('owner', conf => "log_lock_waits = on\ndeadlock_timeout = 10ms\n");
ok(wait_until(sub { running($a) }), 'a node runs');

# Our own statements are not to fall into the traps that are set for the worker.
$ENV{PGOPTIONS} = join ' ', map { "-c $_" } 'search_path=pg_catalog', 'role=none', 'default_transaction_read_only=off',
	'default_transaction_isolation=read\\ committed', 'default_transaction_deferrable=off', 'statement_timeout=0', 'lock_timeout=0';

sub sql
{
	my ($query) = @_;

	return $a->safe_psql('postgres', $query);
}

# A statement of the owner of the database.
sub as_tenant
{
	my ($query) = @_;
	my ($rc, $out, $err) = $a->psql('postgres', "SET ROLE tenant; $query");

	return $rc == 0 ? $out : "error: $err";
}

# End the worker and wait for the next.
sub restart_worker
{
	my $pid = sql(q{SELECT pid FROM vecdb.stat_workers WHERE database = 'postgres'});

	sql("SELECT pg_terminate_backend($pid)");
	return wait_until(
		sub { sql(q{SELECT coalesce(pid, 0) || ' ' || state FROM vecdb.stat_workers WHERE database = 'postgres'}) =~ /^(?!0 |$pid )\d+ running$/ });
}

sql(q{
	CREATE ROLE tenant LOGIN;
	ALTER DATABASE postgres OWNER TO tenant;
	GRANT CREATE ON SCHEMA public, collections TO tenant;
	SELECT vecdb.create_collection('docs', 3)});
sql(q{SELECT vecdb.invite('docs')});

# What is run by whom: a row for each call with other rights than the tenant's own
sql(q{CREATE TABLE public.ran (who name, is_super bool, what text); GRANT ALL ON public.ran TO PUBLIC});
my $body = q{ BEGIN INSERT INTO public.ran SELECT current_user, (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), '%s'; %s END };

sub trap
{
	my ($signature, $returns, $what, $then) = @_;

	return "CREATE FUNCTION $signature RETURNS $returns LANGUAGE plpgsql AS \$trap\$" . sprintf($body, $what, $then) . '$trap$;';
}

# The worker looks at its tables at least every ten seconds: two such looks are
# seen by the row of a table that is dropped, which goes.
sub worker_has_looked
{
	my ($name) = @_;

	sql("SELECT vecdb.create_collection('$name', 2)");
	sql("SELECT vecdb.invite('$name')");
	my $root = sql("SELECT encode(root, 'hex') FROM vecdb.shared_collection WHERE \"table\" = 'collections.$name'::regclass");
	sql("DROP TABLE collections.$name");
	return wait_until(sub { sql("SELECT count(*) FROM vecdb.shared_collection WHERE root = decode('$root', 'hex')") eq '0' });
}

# The attack that was seen: a schema named like the session's user stands first in
# the default path, and a better-fitting function in it
my $setup = as_tenant('CREATE SCHEMA postgres; '
	. trap('postgres.concat_ws(text, name, integer, text, text, text, integer, integer, integer)', 'text', 'concat_ws', "RETURN 'x';")
	. trap('postgres.nothing(anyelement)', 'bool', 'nothing', 'RETURN true;'));
unlike($setup, qr/error/, 'the owner may make a schema of that name, and a function in it') or diag $setup;
ok(worker_has_looked('first'), 'the worker looks at its tables');
is(sql('SELECT count(*) FROM public.ran'), '0', 'a function in the schema "postgres" is not called');

# Operators, for every pair of types that the worker might compare
$setup = as_tenant(
	join '', 'CREATE SCHEMA evil;',
	map {
		my ($left, $right) = @$_;

		trap("evil.eq_${left}_$right($left, $right)", 'bool', "operator $left $right", 'RETURN true;')
			. "CREATE OPERATOR evil.= (LEFTARG = $left, RIGHTARG = $right, FUNCTION = evil.eq_${left}_$right);"
	} ([ 'oid', 'oid' ], [ 'bytea', 'bytea' ], [ 'text', 'text' ], [ 'name', 'text' ]));
unlike($setup, qr/error/, 'operators in a schema of the owner') or diag $setup;
is(as_tenant(q{ALTER DATABASE postgres SET search_path = 'evil', 'pg_catalog'}), '', 'which stands first in the path of the database');
ok(restart_worker(), 'a new worker has that setting');
ok(worker_has_looked('second'), 'and looks at its tables');
is(sql(q{SELECT count(*) FROM public.ran WHERE is_super}), '0', 'no operator of the owner is called with the rights of the worker');

# Other settings of the database: none may stop the worker, or make it wait
my $hostile = as_tenant(
	join ';',
	map { "ALTER DATABASE postgres SET $_" } q{default_transaction_read_only = on},
	q{default_transaction_isolation = 'serializable'},
	q{default_transaction_deferrable = on},
	q{statement_timeout = '1ms'},
	q{lock_timeout = '1ms'},
	q{role = 'tenant'},
	q{client_encoding = 'SQL_ASCII'},
	q{row_security = off},
	q{check_function_bodies = off},
	q{default_tablespace = 'pg_default'},
	q{synchronous_commit = 'remote_apply'});
is($hostile, '', 'the owner may set all that for the database');
ok(restart_worker(), 'a worker starts under hostile settings of its database');
sql(q{ALTER DATABASE postgres RESET ALL});
ok(worker_has_looked('third'), 'and does its work');

# The extension's tables may come to belong to the owner
sql(q{ALTER TABLE vecdb.shared_collection OWNER TO tenant; ALTER TABLE vecdb.membership_statement OWNER TO tenant;
	GRANT USAGE, CREATE ON SCHEMA vecdb TO tenant});
$setup = as_tenant(
	trap('public.on_row()', 'trigger', 'trigger', 'RETURN NEW;')
	. q{CREATE TRIGGER t BEFORE INSERT OR UPDATE ON vecdb.shared_collection FOR EACH ROW EXECUTE FUNCTION public.on_row();
		CREATE TRIGGER t BEFORE INSERT ON vecdb.membership_statement FOR EACH ROW EXECUTE FUNCTION public.on_row();
		CREATE RULE r AS ON INSERT TO vecdb.membership_statement DO ALSO INSERT INTO public.ran VALUES (current_user, true, 'rule');}
	. trap('public.policy()', 'bool', 'policy', 'RETURN true;')
	. q{ALTER TABLE vecdb.shared_collection ENABLE ROW LEVEL SECURITY;
		ALTER TABLE vecdb.shared_collection FORCE ROW LEVEL SECURITY;
		CREATE POLICY p ON vecdb.shared_collection USING (public.policy());
		ALTER TABLE vecdb.shared_collection ADD CHECK (public.policy());});
unlike($setup, qr/error/, 'triggers, a rule, a policy and a constraint of the owner') or diag $setup;
sql('TRUNCATE public.ran');
ok(worker_has_looked('fourth'), 'the worker reads and writes its tables');
is(sql('SELECT count(*) FROM public.ran'), '0', 'and runs none of it');

# What would have to be run by an insertion is refused
$setup = as_tenant(trap('public.noting()', 'void', 'index', '')
	. 'CREATE FUNCTION public.of_row(bytea) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM public.noting(); RETURN 1; END $$;
	CREATE INDEX evil ON vecdb.membership_statement (public.of_row(statement))');
unlike($setup, qr/error/, 'an index on an expression of the owner') or diag $setup;
sql('TRUNCATE public.ran');
my $offset = -s $a->logfile;
sql(q{SELECT vecdb.create_collection('fifth', 2)});
like(($a->psql('postgres', q{SELECT vecdb.invite('fifth')}))[2], qr/could not be written down/, 'is not filled: nothing can be shared');
ok(wait_for_line($a, qr/"vecdb\.membership_statement" is not as the extension made it: it has an index of another kind/, $offset), 'the log says why');
is(sql('SELECT count(*) FROM public.ran'), '0', 'and the expression is not called');
as_tenant('DROP INDEX vecdb.evil');
is(sql(q{SELECT left(vecdb.invite('fifth'), 7)}), 'vecdb1:', 'without the index it works again');

# A null where the owner says that there is none would crash who reads it by compiled code
is(as_tenant('ALTER TABLE vecdb.shared_collection ALTER COLUMN "table" SET NOT NULL'), '', 'a column into which the worker writes nulls is to have none');
$offset = -s $a->logfile;
isnt(($a->psql('postgres', q{SELECT vecdb.leave('fifth')}))[0], 0, 'the worker writes none there');
ok(wait_for_line($a, qr/"vecdb\.shared_collection" is not as the extension made it: a column that may be null must not be/, $offset), 'the log says why');
as_tenant('ALTER TABLE vecdb.shared_collection ALTER COLUMN "table" DROP NOT NULL');
is(sql(q{SELECT count(*) FROM vecdb.members('fifth')}), '1', 'the collection stays as it was');

# vecdb.join() writes the same tables from a session
my $b = new_peer('inviter');
ok(wait_until(sub { running($b) }), 'another node runs');
$b->safe_psql('postgres', q{SELECT vecdb.create_collection('theirs', 2)});
my $invitation = $b->safe_psql('postgres', q{SELECT vecdb.invite('theirs')});
sql('TRUNCATE public.ran');
is(sql("SELECT vecdb.join('$invitation')"), 'collections.theirs', 'joining ties a table to the collection');
is(sql(q{SELECT count(*) FROM vecdb.members('theirs')}), '2', 'which the node knows then');
is(sql('SELECT count(*) FROM public.ran'), '0', 'and runs no trigger of the owner either');

# Nobody has waited for a lock since an offset of the log.
sub nobody_waited
{
	my ($since, $name) = @_;
	my @waits = grep { /still waiting for|acquired \w+Lock on/ } split /\n/, log_since($a, $since);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join("\n", @waits), '', $name);
	return;
}

# A table of the extension that is locked holds up nobody
my $locker = $a->background_psql('postgres', on_error_stop => 0);
$locker->query_safe('BEGIN; LOCK TABLE vecdb.shared_collection, vecdb.membership_statement IN ACCESS EXCLUSIVE MODE');
$offset = -s $a->logfile;
sql('SELECT count(*) FROM vecdb.stat_peers') for 1 .. 30;
nobody_waited($offset, 'with both tables locked calls are answered, and nobody waits for the lock');
$locker->query_safe('ROLLBACK');

# Nor does a table of a user, whether the worker knows it or has just begun
$locker->query_safe('BEGIN; LOCK TABLE collections.docs, collections.theirs IN ACCESS EXCLUSIVE MODE');
$offset = -s $a->logfile;
ok(restart_worker(), 'a worker starts while the tables of its collections are locked');
ok(worker_has_looked('sixth'), 'and looks at its tables');
sql('SELECT count(*) FROM vecdb.stat_peers') for 1 .. 30;
nobody_waited($offset, 'calls are answered, and nobody waits for the locks');
# A wait would be seen.
$offset = -s $a->logfile;
$a->psql('postgres', q{SET lock_timeout = '100ms'; SELECT count(*) FROM collections.docs});
ok(wait_for_line($a, qr/still waiting for AccessShareLock/, $offset), 'a wait for a lock stands in the log');
$locker->query_safe('ROLLBACK');
$locker->quit;
ok(wait_until(sub { sql(q{SELECT count(*) FROM vecdb.members('docs')}) eq '1' }), 'the collection is there when the lock is gone');

my $log = slurp_file($a->logfile);
unlike($log, qr/PANIC|terminated by signal|server process .* was terminated/, 'nothing has crashed');
$_->stop for $a, $b;
done_testing();
