# VecdbStorage.pm
#	  What clients have written to a shared collection docs, and whether its nodes have
#	  exactly that and are well: for tests in which storage or time goes wrong.
package VecdbStorage;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;
use VecdbNodes;
use VecdbRows;

our @EXPORT = qw(put remove now_is is_there is_whole is_well unwell forgotten copy_directory server_of isolate let_meet);

my %is;							# of each key what it is
my $writes = 0;

# One statement makes these rows, or changes them.
sub put
{
	my ($node, @keys) = @_;
	my $n = ++$writes;
	my $rows = join ',', map { "('$_', '[$n,1,2]', '{\"n\": $n}')" } @keys;

	sql($node, "INSERT INTO collections.docs (id, data, metadata) VALUES $rows
		ON CONFLICT (id) DO UPDATE SET data = excluded.data, metadata = excluded.metadata");
	@is{@keys} = ($n) x @keys;
	return;
}

sub remove
{
	my ($node, @keys) = @_;

	sql($node, "DELETE FROM collections.docs WHERE id IN (" . join(',', map { "'$_'" } @keys) . ')');
	delete @is{@keys};
	return;
}

# What these keys have to be otherwise than by put() and remove(): as one node has them.
sub now_is
{
	my ($node, @keys) = @_;

	delete @is{@keys};
	for my $key (@keys)
	{
		my $n = sql($node, "SELECT metadata ->> 'n' FROM collections.docs WHERE id = '$key'");

		$is{$key} = $n if $n ne '';
	}
	return;
}

# What shows that a copy is not whole or not up to date; '' where all is well.
sub unwell
{
	my ($node) = @_;

	return sql($node, q{SELECT coalesce(string_agg(t, E'\n'), '') FROM (
		SELECT concat_ws(' ', 'node', state, reason, clone) AS t FROM vecdb.stat_workers WHERE database = 'postgres' AND (state <> 'running' OR reason IS NOT NULL OR clone IS NOT NULL)
		UNION ALL
		SELECT concat_ws(' ', state, waits_for, quarantined, parked) FROM vecdb.stat_collections
			WHERE state <> 'replicating' OR waits_for IS NOT NULL OR quarantined > 0 OR parked > 0
		UNION ALL
		SELECT concat_ws(' ', left(node_id, 12), state, lacks_here, lacks_there, reason) FROM vecdb.stat_replication
			WHERE state <> 'level' OR reason IS NOT NULL OR lacks_here > 0 OR lacks_there > 0
		UNION ALL
		SELECT 'no collection' WHERE NOT EXISTS (SELECT 1 FROM vecdb.stat_collections)) all_of_it});
}

# No counter of these nodes is red, and each row has its version.
sub is_well
{
	my ($nodes, $what) = @_;
	my $began = time();
	my @unwell;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { @unwell = map { my $is = unwell($_); $is eq '' ? () : $_->name . ": $is" } @$nodes; !@unwell }), "$what: no counter is red")
	  or diag(join "\n", @unwell);
	note(sprintf '%s, well: %.2f s', $what, time() - $began);
	is(join(' ', map { sql($_, q{SELECT count(*) FROM vecdb.verify_versions('collections.docs')}) } @$nodes), join(' ', (0) x @$nodes), '... each row has its version');
	return;
}

# All of these nodes come to have exactly what was written.
sub is_there
{
	my ($nodes, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	all_equal($nodes, $what, scalar keys %is);
	my %there = map { split /\|/ } split /\n/, sql($nodes->[0], q{SELECT id, coalesce(metadata ->> 'n', '') FROM collections.docs});
	my @wrong = map { "$_ is " . ($there{$_} // 'gone') . ', not ' . ($is{$_} // 'gone') }
	  grep { ($there{$_} // 'gone') ne ($is{$_} // 'gone') } sort keys %{ { %is, %there } };
	is(join("\n", @wrong), '', '... which is what was written');
	return;
}

# ... and are well.
sub is_whole
{
	my ($nodes, $what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_there($nodes, $what);
	is_well($nodes, $what);
	return;
}

# Does the node not remember any more that rows with such keys were there?
sub forgotten
{
	my ($node, $prefix) = @_;
	my $table = sql($node, q{SELECT 'collections.docs'::regclass::oid});

	return sql($node, "SELECT count(*) FROM vecdb.version_$table WHERE key >= '$prefix' AND key < '${prefix}~'") eq '0';
}

# cp -a: of a directory whose server does not run, or of a backup.
sub copy_directory
{
	my ($from, $to) = @_;

	system_or_bail('rm', '-rf', $to);
	system_or_bail('cp', '-a', $from, $to);
	return;
}

# Another server, not started, with a copy of a directory; conf is appended to its configuration.
sub server_of
{
	my ($name, $directory, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	system_or_bail('mkdir', '-p', $node->basedir);
	copy_directory($directory, $node->data_dir);
	$node->append_conf('postgresql.conf', 'port = ' . $node->port . "\nunix_socket_directories = '" . $node->host . "'\n" . ($conf // ''));
	return $node;
}

# Another network's name keeps a node from all others, while it runs; and again.
sub isolate
{
	my ($node) = @_;

	$node->append_conf('postgresql.conf', "vecdb.network_id = 'elsewhere'");
	return;
}

sub let_meet
{
	my ($node) = @_;

	$node->append_conf('postgresql.conf', "vecdb.network_id = 'vecdb'");
	$node->reload if defined $node->{_pid};
	return;
}

1;
