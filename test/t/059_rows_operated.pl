# What an operator does with a shared collection: pauses and resumes it, compares it with its
# members, limits the rate at which rows are sent; and what travels packed.
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

my ($a, $b, $c) = my @all = share_docs(conf => 'vecdb.anti_entropy_interval = 2s',
	rows => q{SELECT 'a' || i, ARRAY[i, 0, 1]::vector, jsonb_build_object('text', repeat('what is said again ', 20)) FROM generate_series(1, 100) i});
my %id = map { $_->name => node_id($_) } @all;

sub state_of
{
	my ($node) = @_;

	return sql($node, q{SELECT state FROM vecdb.stat_collections WHERE name = 'collections.docs'::regclass});
}

# What a superuser writes past everything
sub escape
{
	my ($node, $statements) = @_;
	my $enabled = q{UPDATE pg_trigger SET tgenabled = '%s' WHERE tgrelid = 'collections.docs'::regclass};

	sql($node, sprintf($enabled, 'D'));
	sql($node, $statements);
	sql($node, sprintf($enabled, 'A'));
	return;
}

all_equal(\@all, 'the rows that were there are copied', 100);

# ---- compared with the members: before anything is deleted, for what a floor covers and is missing counts as deleted ----

my $tops = join '|', map { sql($_, 'SELECT frontier FROM vecdb.stat_collections') } @all;
like($tops, qr/^([0-9a-f]{32})\|\1\|\1$/, 'nodes that have the same have one frontier') or diag($tops);
is(sql($a, q{SELECT * FROM vecdb.verify_collection('docs', true)}), '', 'where all is well nothing is found');
isnt(sql($a, 'SELECT fingerprint FROM vecdb.stat_collections'), '', 'the comparison leaves a fingerprint');
sql($b, q{SELECT vecdb.verify_collection('docs')});
is(sql($b, 'SELECT fingerprint FROM vecdb.stat_collections'), sql($a, 'SELECT fingerprint FROM vecdb.stat_collections'), 'which is the same on each node');
is(sql($a, 'SELECT tombstones FROM vecdb.stat_collections'), '0', 'there are no tombstones');

# Rows that are gone with all that was kept of them
my $versions = 'vecdb.version_' . sql($b, q{SELECT 'collections.docs'::regclass::oid});
escape($b, qq{DELETE FROM collections.docs WHERE id IN ('a7', 'a8'); DELETE FROM $versions WHERE key IN ('a7', 'a8')});
is(sql($c, q{SELECT node_id = vecdb.node_id(), key, problem FROM vecdb.verify_collection('docs') ORDER BY key::text}),
	qq(f|{"id": "a7"}|it has less of the row than it has claimed\nf|{"id": "a8"}|it has less of the row than it has claimed), 'a member that has lost rows is named, with their keys');
is(sql($b, q{SELECT DISTINCT key, problem FROM vecdb.verify_collection('docs') ORDER BY 1}) =~ s/^(\{"id": "a7"\}.*\n\{"id": "a8"\}.*)?$/ok/sr, 'ok', 'there they are found, too, or have come back by then');
all_equal(\@all, 'comparing brings them back', 100);
is(sql($b, q{SELECT * FROM vecdb.verify_collection('docs', true)}), '', '... after which nothing differs');

# A row that is another than its version says
escape($b, q{UPDATE collections.docs SET metadata = '{"changed": true}' WHERE id = 'a9'});
is(sql($b, q{SELECT * FROM vecdb.verify_collection('docs')}), '', 'a row that escaped is no difference of versions');
is(sql($b, q{SELECT node_id = vecdb.node_id(), key, problem FROM vecdb.verify_collection('docs', deep => true)}), 't|{"id": "a9"}|a row whose version is of another content', 'in depth it is found');
sql($b, q{SELECT vecdb.rescan('collections.docs')});
all_equal(\@all, 'rescan gives it a version', 100);

$c->stop;
is(sql($a, q{SELECT key IS NULL, problem FROM vecdb.verify_collection('docs')}), 't|it was not compared with: no link to it is up', 'who is away is not compared with, and that is said');
start_peer($c);
ok(wait_until(sub { sql($a, q{SELECT * FROM vecdb.verify_collection('docs')}) eq '' }), 'when it is back it is');
like(error_of($a, q{SELECT vecdb.verify_collection('docs', false, '-1 s')}), qr/a timeout is from 0 to 24 hours/, 'a timeout that is none');
{
	my %first;
	my $running = start_psql($a, \%first, q{SELECT pg_sleep(0) FROM vecdb.verify_collection('docs', timeout => '0 s')});
	$running->finish;
	is($first{err} // '', '', 'one that does not wait says who was not compared with') or diag($first{err});
}

# ---- pause and resume ----

is(sql($b, q{SELECT vecdb.pause('docs')}), '', 'a collection is paused');
is(state_of($b), 'paused', '... which its state tells');
is(sql($b, q{SELECT DISTINCT state || '|' || reason FROM vecdb.stat_replication}), 'paused|this node has paused the collection', '... and that of each member');
ok(wait_until(sub { sql($a, "SELECT state FROM vecdb.stat_replication WHERE node_id = '$id{b}'") eq 'busy' }), 'others are told');
sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('of a', '[1,1,1]'); DELETE FROM collections.docs WHERE id = 'a1'});
sql($b, q{INSERT INTO collections.docs (id, data) VALUES ('of b', '[1,1,1]')});
my $token = sql($a, q{INSERT INTO collections.docs (id, data) VALUES ('token', '[1,1,1]'); SELECT vecdb.commit_token()});
all_equal([ $a, $c ], 'rows travel between the others', 101);
is(sql($a, 'SELECT tombstones FROM vecdb.stat_collections'), '1', 'a tombstone stays as long as a member is paused');
is(sql($b, q{SELECT count(*) FROM collections.docs}), '101', 'and none to or from the one that is paused');
like(error_of($b, "SELECT vecdb.wait_for('$token', '1 second')"), qr/in time|timeout/i, 'nor is a token waited for with success');
like(error_of($b, q{SELECT * FROM vecdb.verify_collection('docs')}), qr/cannot be compared .* now\nDETAIL:  The collection is paused/, 'it is not compared');
$b->restart;
ok(wait_until(sub { running($b) && state_of($b) eq 'paused' }), 'a restart does not end the pause');
is(sql($b, q{SELECT count(*) FROM collections.docs WHERE id = 'of a'}), '0', '... and brings no rows');
is(sql($b, q{BEGIN; SELECT vecdb.resume('docs'); ROLLBACK}), '', 'it is resumed, which is not undone by a rollback');
all_equal(\@all, 'then all have what was written meanwhile', 102);
is(state_of($b), 'replicating', 'as if nothing had been');
ok(wait_until(sub { sql($a, 'SELECT tombstones FROM vecdb.stat_collections') eq '0' }), 'then tombstones go');
is(sql($b, "SELECT vecdb.wait_for('$token')"), '', 'the token is there');
is(sql($b, q{SELECT vecdb.resume('docs')}), '', 'resumed once more it stays so');

sql($b, 'CREATE ROLE other LOGIN');
like(error_of($b, qq{SET ROLE other; SELECT vecdb.$_('docs')}), qr/permission denied|must be owner/, "$_() is the owner's") for qw(pause resume verify_collection);
like(error_of($b, q{SELECT vecdb.pause('none')}), qr/collection "none" does not exist/, 'a collection that is not there');
sql($b, q{SELECT vecdb.create_collection('alone', 3, 'l2')});
like(error_of($b, qq{SELECT vecdb.$_('alone')}), qr/not shared/, "$_() of one that is not shared") for qw(pause resume verify_collection);

# ---- a rate ----

like(error_of($a, q{ALTER SYSTEM SET vecdb.max_send_rate = '10 kB'}), qr/invalid value for parameter "vecdb.max_send_rate": 10\nDETAIL:  At least 64 kB in a second/, 'too low a rate');
sql($_, q{ALTER SYSTEM SET vecdb.max_send_rate = '256kB'; SELECT pg_reload_conf()}) for @all;
ok(wait_until(sub { !grep { sql($_, 'SHOW vecdb.max_send_rate') ne '256kB' } @all }), 'a rate is set');
my $began = time();
# 1 MB that does not get shorter, for each of two members
sql($a, q{INSERT INTO collections.docs (id, data, metadata)
	SELECT 'large' || i, '[1,1,1]', jsonb_build_object('r', (SELECT string_agg(encode(sha256((i * 1000 + k)::text::bytea), 'base64'), '') FROM generate_series(1, 600) k)) FROM generate_series(1, 40) i});
all_equal(\@all, 'rows come all the same', 142);
cmp_ok(time() - $began, '>=', 3, '... in as many seconds as the rate takes');
sql($_, q{ALTER SYSTEM RESET vecdb.max_send_rate; SELECT pg_reload_conf()}) for @all;

# ---- packed ----

ok(wait_until(sub { !grep { sql($_, 'SHOW vecdb.max_send_rate') ne '0' } @all }), 'there is no rate any more');
all_equal(\@all, 'all is level', 142);
sub link_bytes { return sql($a, q{SELECT sum(bytes_sent) FROM vecdb.stat_peers}) }
my $before = link_bytes();
sql($a, q{INSERT INTO collections.docs (id, data, metadata)
	SELECT 'said' || i, '[1,1,1]', jsonb_build_object('text', repeat('what is said again ', 500)) FROM generate_series(1, 200) i});
all_equal(\@all, 'rows of much text come', 342);
my $sent = link_bytes() - $before;
cmp_ok($sent, '<', 1_000_000, "in fewer bytes than they are ($sent of 1,900,000 for each member)");

nothing_crashed(@all);
done_testing();
