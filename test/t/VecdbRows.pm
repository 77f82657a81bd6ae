# VecdbRows.pm
#	  Three servers that share a collection, and whether they have the same rows.
package VecdbRows;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;
use VecdbNodes;

our @EXPORT = qw(sql error_of share_docs rows_of all_equal arrives_within nothing_crashed);

sub sql
{
	my ($node, $query) = @_;

	return $node->safe_psql('postgres', $query);
}

# The error of a query that must fail.
sub error_of
{
	my ($node, $query) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $query);

	return $rc == 0 ? "no error, but: $out" : $err;
}

# Nodes a, b and c; the collection docs of a, with what the options of create_collection
# say and the rows that a query gives, which the others join as writers; admins lists who
# joins as an admin, install_path has by name the PostgreSQL of who does not run that of PATH.
sub share_docs
{
	my (%opt) = @_;
	my @all;

	for my $name (qw(a b c))
	{
		push @all, new_peer($name, bootstrap => [ @all ? $all[0] : () ], conf => $opt{conf}, install_path => $opt{install_path}{$name});
	}
	ok(wait_until(sub { !grep { !running($_) } @all }), 'three nodes run');
	sql($all[0], "SELECT vecdb.create_collection('docs', ${\($opt{shape} // q{3, 'l2'})})");
	sql($all[0], "INSERT INTO collections.docs (id, data, metadata) $opt{rows}") if $opt{rows};
	for my $node (@all[ 1, 2 ])
	{
		my $role = (grep { $_ eq $node->name } @{ $opt{admins} // [] }) ? 'admin' : 'writer';
		my $invitation = sql($all[0], "SELECT vecdb.invite('docs', '$role')");

		is(sql($node, "SELECT vecdb.join('$invitation')"), 'collections.docs', $node->name . ' joins');
	}
	return @all;
}

# How many rows, and all of their columns; of docs, or of another table whose key is a text id.
sub rows_of
{
	my ($node, $table) = @_;

	$table //= 'collections.docs';
	return sql($node,
		qq{SELECT count(*), md5(coalesce(string_agg(md5(t::text), '' ORDER BY id COLLATE "C"), '')) FROM $table t});
}

# Do the nodes come to have the same rows, and n of them (undef: any number)?
sub all_equal
{
	my ($nodes, $what, $n, $table) = @_;
	my $began = time();
	my @rows;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $equal = wait_until(
		sub {
			@rows = map { rows_of($_, $table) } @$nodes;
			return !(grep { $_ ne $rows[0] } @rows) && (!defined $n || $rows[0] =~ /^$n\|/);
		});
	ok($equal, $what) or diag(join "\n", @rows);
	note(sprintf '%s: %.2f s', $what, time() - $began);
	return $equal;
}

# Does a row of this id reach all nodes, and how long does that take?
sub arrives_within
{
	my ($nodes, $id, $what) = @_;
	my $began = time();

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(wait_until(sub { !grep { sql($_, "SELECT count(*) FROM collections.docs WHERE id = '$id'") ne '1' } @$nodes }), $what);
	note(sprintf '%s: %.2f s', $what, time() - $began);
}

sub nothing_crashed
{
	my (@nodes) = @_;

	for my $node (@nodes)
	{
		my $log = slurp_file($node->logfile);

		unlike($log, qr/PANIC|TRAP:|terminated by signal (?!9|3)/, $node->name . ': nothing has crashed');
		$node->stop;
	}
}

1;
