# Four nodes in network namespaces share a collection, and each is written to all the
# while: the network falls into halves, loses packets in one direction only, and comes
# and goes every other second.  Rows go on where there is a way, and all are equal in
# the end.  With LONG=1 each lasts until links are given up, which takes half a minute.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use Test::More;
use Time::HiRes qw(time sleep);
use VecdbNet;
use NetRows;
use VecdbMemory;

my $why = no_namespaces();

plan skip_all => $why if $why;
make_switch();
my $long = $ENV{LONG} // 0;

my @all = (rows_node('n1', place => 'v4'));
push @all, rows_node("n$_", place => 'v4', bootstrap => $all[0]) for 2 .. 4;
my ($n1, $n2, $n3, $n4) = @all;
my @west = ($n1, $n2);
my @east = ($n3, $n4);

share(\@all);
all_equal(\@all, 'the rows that were there are on all', 200);
start_writing(0.1, @all);
put_row($n1, 'together');
arrives(\@all, 'together', 'a row before');

# Halves
sub sees_away
{
	my ($node, @others) = @_;
	my $ids = join ', ', map { "'" . $_->id . "'" } @others;

	return $node->wait_sql("SELECT count(*) FROM vecdb.stat_replication WHERE state = 'away' AND node_id IN ($ids)", scalar @others);
}

isolate(@east);
put_row($n1, 'of the west');
put_row($n4, 'of the east');
arrives(\@west, 'of the west', 'apart: a row of the west is in the west');
arrives(\@east, 'of the east', '... and one of the east in the east');
if ($long)
{
	ok(sees_away($n2, @east), 'the east is away for the west');
	ok(sees_away($n3, @west), '... and the west for the east');
}
ok(!has_row($n3, 'of the west') && !has_row($n1, 'of the east'), 'neither has rows of the other');

# The same rows on both sides; the later write is the east's
$n1->sql(q{UPDATE collections.docs SET metadata = '{"by": "west"}' WHERE id IN ('old1', 'old2', 'old3', 'old4'); DELETE FROM collections.docs WHERE id IN ('old5', 'old6')});
$n3->sql(q{UPDATE collections.docs SET metadata = '{"by": "east"}' WHERE id IN ('old1', 'old2', 'old5', 'old6'); DELETE FROM collections.docs WHERE id IN ('old3', 'old4')});
for ($n2, $n4)
{
	$_->sql(q{INSERT INTO collections.docs (id, data) SELECT 'both' || i, '[1,1,1]' FROM generate_series(1, 50) i});
}
my $began = time();
rejoin(@east);
arrives(\@all, 'of the west', 'together: what was written in the west is everywhere');
arrives(\@all, 'of the east', '... and what was written in the east');
diag(sprintf 'rows of both halves are on all %.1f s after the network was mended', time() - $began);
ok($n1->wait_sql(q{SELECT string_agg(id || coalesce(metadata ->> 'by', ''), ' ' ORDER BY id) FROM collections.docs WHERE id IN ('old1', 'old2', 'old3', 'old4', 'old5', 'old6')},
		'old1east old2east old5east old6east'), 'the later write has won, an update as a delete');
ok($n1->wait_sql(q{SELECT count(*) > 0 FROM vecdb.stat_collections WHERE conflicts > 0}, 't'), 'and what has lost is told');

# One direction: nobody hears n4, then n4 hears nobody, then two of four are deaf to each other's half
sub lose_packets
{
	my ($time) = @_;

	for my $case (
		[ 'nobody hears n4', sub { deaf_to($_, $n4) for $n1, $n2, $n3 }, 0 ],
		[ 'n4 hears nobody', sub { deaf_to($n4, $n1, $n2, $n3) }, 0 ],
		[ 'n1 does not hear n3, nor n4 n1', sub { deaf_to($n1, $n3); deaf_to($n4, $n1) }, 1 ])
	{
		my ($name, $wall, $has_way) = @$case;
		my $id = "$name $time" =~ s/\W/_/gr;

		$wall->();
		sleep($long ? 40 : 3);
		put_row($_, "$id of $_->{name}") for @all;
		arrives([ $n1, $n2, $n3 ], "$id of $_->{name}", "$name: a row of $_->{name} is on the others") for $n1, $n2, $n3;
		if ($has_way)
		{
			arrives(\@all, "$id of $_->{name}", "$name: the row of $_->{name} has a way to all") for @all;
		}
		$began = time();
		hears_all(@all);
		arrives(\@all, "$id of $_->{name}", "after \"$name\" the row of $_->{name} is on all") for @all;
		diag(sprintf '%.1f s after the packets came again', time() - $began);
	}
	return;
}

# Up and down
sub flap
{
	my ($time) = @_;
	my $rounds = $long ? 40 : 5;

	for my $round (1 .. $rounds)
	{
		my @apart = $round % 2 ? @east : ($n2, $n3);

		isolate(@apart);
		put_row($all[ $round % 4 ], "flap $round of $time");
		sleep(1 + rand());
		rejoin(@apart);
		sleep(2 * rand());
	}
	arrives(\@all, "flap $_ of $time", "a row of flap $_ is on all") for 1 .. $rounds;
	return;
}

memory_settles(\@all, 'after all of it', 4, sub { lose_packets(@_); flap(@_) });
stop_writing(@all);
all_equal(\@all, 'all have the same rows');
nothing_lost(\@all, 'after all of it');
all_level(\@all, 'after all of it');
sound(@all);
done_testing;
