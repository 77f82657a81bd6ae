# NetRows.pm
#	  Servers of a network that share the collection docs: sessions that write to it all
#	  the while, links that lose packets, and whether all have the same rows in the end.
package NetRows;

use strict;
use warnings;
use Exporter 'import';
use Test::More;
use Time::HiRes qw(time);
use VecdbNet;

our @EXPORT = qw(rows_node share start_writing stop_writing rows_of all_equal all_level nothing_lost arrives has_row deaf_to hears_all put_row worker_rss sound);

our @CONF = ('max_worker_processes' => 12, 'max_connections' => 20, 'vecdb.anti_entropy_interval' => '2s');

# A node as new_node() makes it, with what rows need, started.
sub rows_node
{
	my ($name, %options) = @_;

	$options{conf} = { @CONF, %{ $options{conf} // {} } };
	return new_node($name, %options)->start;
}

# Who writes keeps in the table written what it has committed.
my $writer = <<'SQL';
CREATE TABLE written (id text);
CREATE TABLE halt (now bool);
CREATE SEQUENCE numbers;
CREATE PROCEDURE write_on(me text, nap float8) LANGUAGE plpgsql AS $$
DECLARE
	i int;
	fresh text;
BEGIN
	RAISE WARNING 'writing';
	LOOP
		i := nextval('numbers');
		fresh := me || '-' || i;
		INSERT INTO collections.docs (id, data) VALUES (fresh, ARRAY[i, random(), 1]::vector);
		INSERT INTO written VALUES (fresh);
		INSERT INTO collections.docs (id, data, metadata) VALUES ('common' || i * 7 % 40, ARRAY[1, 2, i]::vector, jsonb_build_object('by', me))
			ON CONFLICT (id) DO UPDATE SET data = EXCLUDED.data, metadata = EXCLUDED.metadata;
		COMMIT;
		DELETE FROM collections.docs WHERE id = 'common' || i * 11 % 40;
		COMMIT;
		EXIT WHEN (SELECT count(*) FROM halt) > 0;
		PERFORM pg_sleep(nap);
	END LOOP;
END
$$
SQL

# The first shares the collection with so many rows, the others join by it as writers, or as
# roles says: { n3 => 'reader' }.  In a chain each is an admin, and joins by the one before it.
sub share
{
	my ($nodes, %options) = @_;
	my ($first, @others) = @$nodes;

	$_->sql($writer) for @$nodes;
	$first->sql(q{SELECT vecdb.create_collection('docs', 3)});
	$first->sql("INSERT INTO collections.docs (id, data) SELECT 'old' || i, ARRAY[i, 1, 2]::vector FROM generate_series(1, " . ($options{rows} // 200) . ') i');
	for my $i (0 .. $#others)
	{
		my $node = $others[$i];
		my $by = $options{chain} ? $nodes->[$i] : $first;
		my $role = $options{chain} ? 'admin' : $options{roles}{ $node->{name} } // 'writer';

		is($node->join_by($by->invite('docs', $role)), 'collections.docs', "$node->{name} joins");
	}
	return;
}

# A session on each that writes until stop_writing().
sub start_writing
{
	my ($nap, @nodes) = @_;

	for my $node (@nodes)
	{
		$node->sql('TRUNCATE halt');
		$node->{writer} = VecdbNet::background_start(qr/writing/,
			VecdbNet::as_user(VecdbNet::psql_command($node->{socket}, $node->{pgport}, 'postgres', "CALL write_on('$node->{name}', $nap)")));
	}
	return;
}

sub stop_writing
{
	my (@nodes) = @_;

	for my $node (grep { $_->{writer} } @nodes)
	{
		$node->sql('INSERT INTO halt VALUES (true)');
		my $said = background_stop(delete $node->{writer});
		$said =~ s/^WARNING:  writing\n//;
		is($said, '', "the writer of $node->{name} has met no error");
	}
	return;
}

# How many rows, and all of their columns.
sub rows_of
{
	my ($node) = @_;
	my ($status, $out, $err) = $node->try_sql(
		q{SELECT count(*), md5(coalesce(string_agg(md5(t::text), '' ORDER BY id COLLATE "C"), '')) FROM collections.docs t});

	return $status == 0 ? $out : $err;
}

# Do they come to have the same rows, and n of them (undef: any number)?
sub all_equal
{
	my ($nodes, $what, $n, $seconds) = @_;
	my $began = time();
	my @rows;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $equal = wait_until(
		sub {
			@rows = map { rows_of($_) } @$nodes;
			return !(grep { $_ ne $rows[0] || !/^\d+\|/ } @rows) && (!defined $n || $rows[0] =~ /^$n\|/);
		},
		$seconds);
	ok($equal, $what) or diag(join "\n", @rows);
	diag(sprintf '%s: %s rows, %.1f s', $what, $rows[0] =~ s/\|.*//sr, time() - $began);
	return $equal;
}

# Each says of all others that they are level, and no counter is red.
sub all_level
{
	my ($nodes, $what) = @_;
	my $others = @$nodes - 1;
	my $began = time();

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $node (@$nodes)
	{
		ok( $node->wait_sql(
				q{SELECT count(*), count(*) FILTER (WHERE state <> 'level' OR reason IS NOT NULL OR lacks_there <> 0 OR lacks_here <> 0 OR blocked_by IS NOT NULL) FROM vecdb.stat_replication},
				"$others|0"),
			"$what: all others are level for $node->{name}") or diag($node->sql('SELECT * FROM vecdb.stat_replication'));
		ok($node->wait_sql('SELECT state, waits_for, quarantined, parked, buffered_bytes FROM vecdb.stat_collections', 'replicating||0|0|0'),
			"$what: no counter of $node->{name} is red");
		is($node->sql(q{SELECT count(*) FROM vecdb.verify_versions('collections.docs')}), '0', "$what: rows of $node->{name} are what their versions say");
	}
	diag(sprintf '%s: level after %.1f s', $what, time() - $began);
	return;
}

# What each has committed is on all.
sub nothing_lost
{
	my ($nodes, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	for my $by (@$nodes)
	{
		my $written = $by->sql('SELECT count(*) FROM written');

		cmp_ok($written, '>', 0, "$by->{name} has written");
		is(join(' ', map { $_->sql("SELECT count(*) FROM collections.docs WHERE id LIKE '$by->{name}-%'") } @$nodes),
			join(' ', ($written) x @$nodes), "$what: what $by->{name} has written is on all");
	}
	return;
}

sub put_row
{
	my ($node, $id) = @_;

	$node->sql("INSERT INTO collections.docs (id, data) VALUES ('$id', '[1,2,3]')");
	return;
}

sub has_row
{
	my ($node, $id) = @_;

	return $node->sql("SELECT count(*) FROM collections.docs WHERE id = '$id'") eq '1';
}

# Is a row of this id on all, and how soon?
sub arrives
{
	my ($nodes, $id, $what, $seconds) = @_;
	my $began = time();
	my @without;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { @without = grep { !has_row($_, $id) } @$nodes; return !@without }, $seconds), $what)
	  or diag('not on ' . join ' ', map { $_->{name} } @without);
	my $took = time() - $began;
	diag(sprintf '%s: %.2f s', $what, $took);
	return $took;
}

# ---------------------------------------------------------------------------
# Links that lose packets, of nodes in namespaces

sub nft
{
	my ($node, @command) = @_;

	VecdbNet::must_run([ 'ip', 'netns', 'exec', $node->{namespace}, 'nft', @command ]);
	return;
}

# What comes from these others to a node is lost; what it sends is not.
sub deaf_to
{
	my ($node, @others) = @_;

	if (!$node->{walled})
	{
		nft($node, 'add table ip wall');
		nft($node, 'add chain ip wall in { type filter hook input priority 0; }');
		$node->{walled} = 1;
	}
	nft($node, "add rule ip wall in ip saddr $_->{ip} drop") for @others;
	return;
}

sub hears_all
{
	for my $node (grep { $_->{walled} } @_)
	{
		nft($node, 'flush chain ip wall in');
	}
	return;
}

# ---------------------------------------------------------------------------

# Of its worker, kB.
sub worker_rss
{
	my ($node) = @_;

	return (VecdbNet::slurp('/proc/' . $node->worker_pid . '/status') =~ /^VmRSS:\s+(\d+)/m)[0];
}

# No process has crashed, and the worker is the one that has run all the while.
sub sound
{
	for my $node (@_)
	{
		$node->is_sound;
		is($node->count_log(qr/"vecdb (?:node|apply|snapshots)(?! launcher).*exited/), 0, "$node->{name}: none of its workers has ended");
	}
	return;
}

1;
