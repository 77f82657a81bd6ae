# Three servers share a collection: rows that are written on any of them are on all
# of them, whatever happens meanwhile.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use VecdbTest;
use VecdbNodes;

sub sql
{
	my ($node, $query) = @_;

	return $node->safe_psql('postgres', $query);
}

# All of the rows, all of their columns.
sub rows_of
{
	my ($node) = @_;

	return sql($node, q{SELECT count(*), md5(coalesce(string_agg(md5(t::text), '' ORDER BY id COLLATE "C"), '')) FROM collections.docs t});
}

my @all = (new_peer('a'));
my ($a) = @all;
push @all, new_peer($_, bootstrap => [$a]) for qw(b c);
my (undef, $b, $c) = @all;

# Have all nodes so many rows (undef: as many as the first has now), the same ones?
sub all_equal
{
	my ($what, $n) = @_;
	my $began = time();
	my @rows;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $equal = wait_until(
		sub {
			@rows = map { rows_of($_) } @all;
			return $rows[0] eq $rows[1] && $rows[0] eq $rows[2] && (!defined $n || $rows[0] =~ /^$n\|/);
		});
	ok($equal, $what) or diag(join "\n", @rows);
	note(sprintf '%s: %.2f s', $what, time() - $began);
}

ok(wait_until(sub { !grep { !running($_) } @all }), 'three nodes run');
sql($a, q{SELECT vecdb.create_collection('docs', 3, 'l2')});
sql($a, q{INSERT INTO collections.docs (id, data, metadata) SELECT 'a' || i, ARRAY[i, 0, 1]::vector, jsonb_build_object('i', i) FROM generate_series(1, 50) i});
for my $node ($b, $c)
{
	my $invitation = sql($a, q{SELECT vecdb.invite('docs')});

	is(sql($node, "SELECT vecdb.join('$invitation')"), 'collections.docs', $node->name . ' joins');
}
all_equal('the rows that were there are copied', 50);

# Each writes
for my $node (@all)
{
	my $name = $node->name;

	sql($node, "INSERT INTO collections.docs (id, data) SELECT 'from_$name' || i, ARRAY[i, 1, 2]::vector FROM generate_series(1, 20) i");
}
all_equal('rows of each are everywhere', 110);
sql($b, q{UPDATE collections.docs SET metadata = '{"by": "b"}' WHERE id = 'a7'});
sql($c, q{UPDATE collections.docs SET data = '[7,7,7]' WHERE id = 'a8'});
sql($a, q{DELETE FROM collections.docs WHERE id IN ('a9', 'from_c3')});
all_equal('updates and deletes are', 108);
is(sql($c, q{SELECT metadata ->> 'by' FROM collections.docs WHERE id = 'a7'}), 'b', 'an update of metadata alone');
is(sql($a, q{SELECT data FROM collections.docs WHERE id = 'a8'}), '[7,7,7]', 'and of a vector');
is(sql($b, q{SELECT id FROM collections.docs ORDER BY data <-> '[7,7,7]' LIMIT 1}), 'a8', 'which the index of another node finds');

# The same row at once
for my $i (1 .. 20)
{
	my @session = map {
		my $name = $_->name;

		start_psql($_, {}, qq{UPDATE collections.docs SET metadata = '{"by": "$name"}' WHERE id = 'a$i'},
			$name eq 'b' ? "DELETE FROM collections.docs WHERE id = 'a${\($i + 20)}'" : "UPDATE collections.docs SET data = '[9,9,$i]' WHERE id = 'a${\($i + 20)}'")
	} @all;

	$_->finish for @session;
}
all_equal('conflicts have one winner');

# A crash of each while it writes
for my $node (@all)
{
	my $name = $node->name;
	my $before = rows_of($node);

	sql($node, "INSERT INTO collections.docs (id, data) SELECT 'crash_$name' || i, ARRAY[i, 3, 3]::vector FROM generate_series(1, 100) i");
	$node->stop('immediate');
	ok(start_peer($node), "$name comes back after a crash");
}
all_equal('no committed row was lost');
is(sql($a, q{SELECT count(*) FROM collections.docs WHERE id LIKE 'crash%'}), '300', 'all of them are there');

sql($b, 'TRUNCATE collections.docs');
all_equal('TRUNCATE empties all', 0);

for my $node (@all)
{
	my $log = slurp_file($node->logfile);

	unlike($log, qr/PANIC|terminated by signal (?!3|9)/, $node->name . ': nothing has crashed');
	$node->stop;
}
done_testing();
