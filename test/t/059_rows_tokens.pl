# A client takes the token of its commit to another node, and finds there what it wrote.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;
use VecdbNodes;
use VecdbRows;

my @all = share_docs(conf => "vecdb.anti_entropy_interval = 2s\nmax_prepared_transactions = 4");
my ($a, $b, $c) = @all;
my $write = q{INSERT INTO collections.docs (id, data) VALUES ('%s', '[1,2,3]')};

# The token of what a session does
sub token_of
{
	my ($node, @statements) = @_;

	return sql($node, join(';', @statements, 'SELECT vecdb.commit_token()'));
}

sub written
{
	return sprintf $write, shift;
}

# Whose tokens there are
is(token_of($a, 'SELECT 1 WHERE false'), '', 'who has written nothing has no token');
is(token_of($a, 'CREATE TABLE plain (i int)', 'INSERT INTO plain VALUES (1)'), '', 'nor who has written to no shared collection');
is(token_of($a, 'BEGIN', written('rolled'), 'ROLLBACK'), '', 'nor who has rolled back');
is(token_of($a, 'BEGIN', 'SAVEPOINT s', written('rolled'), 'ROLLBACK TO s', 'COMMIT', 'DISCARD ALL'), '', 'DISCARD ALL forgets the last one');
is(token_of($a, 'BEGIN', written('open')), '', 'a transaction that is open has none');
my $first = token_of($a, written('first'));
like($first, qr/^[0-9a-f]{16}\.[0-9a-f]{32}\.[1-9][0-9]*$/, 'who has written has one');
my $second = token_of($a, written('second'), 'SELECT 1 WHERE false', 'CREATE TEMP TABLE t (i int)');
isnt($second, $first, 'each commit has its own');
is(($second =~ /^(.*)\./)[0], ($first =~ /^(.*)\./)[0], 'of one collection and one life of the server');
sql($a, q{SELECT vecdb.create_collection('more', 3); SELECT vecdb.invite('more')});
ok(wait_until(sub { sql($a, q{SELECT count(*) FROM vecdb.stat_collections}) eq '2' }), 'another collection is shared');
my $both = token_of($a, 'BEGIN', written('both'), q{INSERT INTO collections.more (id, data) VALUES ('both', '[1,2,3]')}, 'COMMIT');
is(scalar(split /,/, $both), 2, 'a commit to two collections has the tickets of both');

# Waiting for them
for my $node (@all)
{
	my $name = $node->name;
	my $n = 0;
	my $late = 0;
	my $began = time();

	for my $i (1 .. 20)
	{
		my $writer = $all[ $i % 3 ];
		my $token = token_of($writer, written("by_${name}_$i"));

		sql($node, "SELECT vecdb.wait_for('$token')");
		$late++ if sql($node, "SELECT count(*) FROM collections.docs WHERE id = 'by_${name}_$i'") ne '1';
		$n++;
	}
	is($late, 0, "what was waited for on $name is there, $n times");
	note(sprintf '%.3f s each, three sessions made and ended', (time() - $began) / $n);
}
is(sql($b, "SELECT vecdb.wait_for(NULL)"), '', 'of nothing written nothing is waited for');
my $gone = token_of($a, 'DELETE FROM collections.docs WHERE id = \'first\'');
sql($c, "SELECT vecdb.wait_for('$gone')");
is(sql($c, q{SELECT count(*) FROM collections.docs WHERE id = 'first'}), '0', 'so it is with what was deleted');
my $all = token_of($b, written('for_all'));
sql($b, "SELECT vecdb.wait_for_all('docs', '$all')");
is(join(' ', map { sql($_, q{SELECT count(*) FROM collections.docs WHERE id = 'for_all'}) } @all), '1 1 1', 'what was waited for on all is on all');
is(sql($a, "SELECT vecdb.wait_for_all('docs', '$both')"), '', 'of a token of two collections one can be waited for on all its members');

is(sql($c, "SELECT vecdb.wait_for('$all', '0')"), '', 'a timeout of 0 asks, and it is there');
is(sql($b, "SELECT vecdb.wait_for_all('docs', '$all', '0')"), '', '... on all members, too');

# A row that a session holds here has come, but nobody sees it
{
	my $holder = $c->background_psql('postgres');

	$holder->query_until(qr/begun/, "BEGIN;\nSELECT 1 FROM collections.docs WHERE id = 'second' FOR UPDATE;\n\\echo begun\n");
	my $parked = token_of($a, q{UPDATE collections.docs SET data = '[7,7,7]' WHERE id = 'second'});
	ok(wait_until(sub { sql($c, q{SELECT count(*) FROM vecdb.quarantine}) eq '1' }), 'a row is set aside, as a session holds it');
	like(error_of($c, "SELECT vecdb.wait_for('$parked', '1 s')"), qr/was not there in time\nDETAIL:  It has come, but a row of it/, '... so it is waited for');
	like(error_of($c, "SELECT vecdb.wait_for('$all', '0')") . '.', qr/^no error/, '... what another node wrote is not');
	sql($b, "SELECT vecdb.wait_for('$parked')");
	is(sql($b, q{SELECT data FROM collections.docs WHERE id = 'second'}), '[7,7,7]', '... and elsewhere it is there');
	my $again = token_of($a, q{UPDATE collections.docs SET data = '[8,8,8]' WHERE id = 'second'});
	sql($b, "SELECT vecdb.wait_for('$again')");
	like(error_of($c, "SELECT vecdb.wait_for('$parked', '1 s')"), qr/DETAIL:  It has come, but a row of it/, 'the same where a later write has taken its place');
	$holder->query_until(qr/ended/, "COMMIT;\n\\echo ended\n");
	$holder->quit;
	sql($c, "SELECT vecdb.wait_for('$again', '3 min')");
	is(sql($c, q{SELECT data FROM collections.docs WHERE id = 'second'}), '[8,8,8]', 'once the session has ended it is there');
}

# What does not come
my $stuck = token_of($b, 'BEGIN', written('stuck'), 'COMMIT');
$stuck =~ s/[0-9]+$/1000000/;
for my $node ($a, $b)
{
	my $began = time();

	like(error_of($node, "SELECT vecdb.wait_for('$stuck', '1.5 s')"), qr/was not there in time\nDETAIL:  It has not come to this node yet\.\nHINT:/,
		'what has not come in time is an error on ' . $node->name);
	cmp_ok(time() - $began, '>=', 1.4, '... after that time');
}
like(error_of($a, "SELECT vecdb.wait_for('$stuck', '0')"), qr/was not there in time/, 'a timeout of 0 asks');
like(error_of($a, "SET statement_timeout = '1s'; SELECT vecdb.wait_for('$stuck', '1 hour')"), qr/due to statement timeout/, 'a wait can be cancelled');
like(error_of($b, "SELECT vecdb.wait_for('$both', '1s')"), qr/does not replicate the collection that the token is of\nHINT:  Take the token to a node that holds/,
	'one who does not hold a collection says so');
$c->stop;
my $alone = token_of($a, written('alone'));
like(error_of($a, "SELECT vecdb.wait_for_all('docs', '$alone', '1s')"), qr/DETAIL:  1 member has not told that it has it\./, 'nor is it with all while one is away');
start_peer($c);
sql($a, "SELECT vecdb.wait_for_all('docs', '$alone', '3 min')");
is(sql($c, q{SELECT count(*) FROM collections.docs WHERE id = 'alone'}), '1', 'who comes back gets it, and all have it');

# Arguments
like(error_of($a, "SELECT vecdb.wait_for('$_')"), qr/is no commit token\nHINT:  vecdb\.commit_token\(\) gives one/, "no token: '" . substr($_, 0, 30) . "'")
  for '', 'x', substr($first, 0, -1) . '0x', "$first,", ($first =~ s/[0-9]+$/0/r), ($first =~ s/[0-9]+$/18446744073709551616/r), ($first =~ s/[0-9]+$/01/r), join(',', ($first) x 65), "$first ";
like(error_of($a, "SELECT vecdb.wait_for('$first', '$_')"), qr/a timeout is from 0 to 24 hours/, "a timeout of $_") for '-1s', '25 hours', '1 month', '100000000 years';
like(error_of($a, "SELECT vecdb.wait_for_all('docs', '" . (split /,/, $both)[ index($both, substr($first, 0, 16)) == 0 ? 1 : 0 ] . "')"),
	qr/the token is not of a commit that wrote to "docs"/, 'a token of another collection');
like(error_of($a, "SELECT vecdb.wait_for_all('nothing', '$first')"), qr/does not exist/, 'a collection that is none');
sql($a, q{SELECT vecdb.create_collection('own', 3)});
like(error_of($a, "SELECT vecdb.wait_for_all('own', '$first')"), qr/"own" is not replicated by this node/, 'or is not shared');
like(error_of($a, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT vecdb.wait_for('$first')"), qr/in a transaction that keeps its snapshot/, 'a transaction that would not see it');
sql($a, q{CREATE ROLE joe; GRANT USAGE ON SCHEMA vecdb TO joe});
is(sql($a, "SET ROLE joe; SELECT vecdb.wait_for('$second')"), '', 'whoever has a token may wait for it');
like(error_of($a, "SET ROLE joe; SELECT vecdb.wait_for_all('docs', '$second')"), qr/permission denied/, 'for all members who may read the collection');
like(error_of($a, "BEGIN; " . written('prepared') . "; PREPARE TRANSACTION 'x'"), qr/cannot PREPARE/, 'there is no token of a prepared transaction, since there is none');

# Whoever fills the places fills those of its role
{
	my @waiting = map { $a->background_psql('postgres', on_error_stop => 0) } 1 .. 3;

	$_->query_until(qr/begun/, "\\echo begun\nSET ROLE joe;\nSELECT vecdb.wait_for('$stuck', '20 s');\n") for @waiting;
	ok(wait_until(sub { sql($a, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT vecdb.wait_for%' AND state = 'active'}) >= 3 }), 'three wait');
	my $token = token_of($a, written('meanwhile'));
	sql($b, "SELECT vecdb.wait_for('$token')");
	is(sql($a, q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'SELECT vecdb.wait_for%' AND pid <> pg_backend_pid()}), '3', 'they are ended');
	$_->{run}->finish for @waiting;
	sql($a, "SELECT vecdb.wait_for('$token')");
	pass('and others wait after them');
}

# A node that begins anew has a new life, and its old tokens are still good
$a->stop('immediate');
start_peer($a);
sql($_, "SELECT vecdb.wait_for('$alone', '3 min')") for @all;
pass('a token outlives the server that gave it');
my $anew = token_of($a, written('anew'));
isnt((split /\./, $anew)[1], (split /\./, $alone)[1], 'which has another life then');
sql($_, "SELECT vecdb.wait_for('$anew', '3 min')") for @all;
all_equal(\@all, 'all have the same rows');
nothing_crashed(@all);
done_testing();
