# A member is evicted in the midst of its batch, a node is away while others write and
# delete, one speaks a newer protocol as well, and all nodes are restarted one after the
# other: what members have committed is on all in the end.
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

# a row that is told of is kept, also where the server ends by force
my %conf = ('synchronous_commit' => 'on');
my @all = (rows_node('n1', place => 'v4', conf => \%conf));
push @all, rows_node("n$_", place => 'v4', bootstrap => $all[0], conf => \%conf) for 2 .. 4;
my ($n1, $n2, $n3, $n4) = @all;
# nobody reaches this one: what it gets comes by links that it makes
my $hidden = rows_node('hidden', place => 'hidden', bootstrap => $n1, conf => { %conf, 'vecdb.advertise' => '10.77.0.5:7790' });
my @stay = ($n1, $n2, $n3, $hidden);
push @all, $hidden;

share(\@all);
all_equal(\@all, 'the rows that were there are on all', 200);

# Rows as many and as large as those of that batch have come before
my $rows = 1_500;	# of 8 kB
sub insert_batch
{
	my ($node, $name) = @_;

	$node->sql(qq{INSERT INTO collections.docs (id, data, metadata) SELECT '$name' || i, ARRAY[i, 1, 2]::vector,
		jsonb_build_object('text', (SELECT string_agg(md5(i || ' ' || j), '') FROM generate_series(1, 256) j)) FROM generate_series(1, $rows) i});
	return;
}
insert_batch($n4, 'whole');
all_equal(\@all, 'a batch is on all', 200 + $rows);
$n4->sql(q{DELETE FROM collections.docs WHERE id LIKE 'whole%'});
all_equal(\@all, '... and gone', 200);
my $memory = memory_of(@stay);

# n4 has a thin line, and a batch that takes longer than it is a member
my $thin = [ 'ip', 'netns', 'exec', $n4->{namespace}, qw(tc qdisc add dev eth0 root tbf rate 8mbit burst 32kbit latency 400ms) ];
my $part;

VecdbNet::must_run($thin);
start_writing(0.2, @stay);
insert_batch($n4, 'batch');
sub of_batch { return $_[0]->sql(q{SELECT count(*) FROM collections.docs WHERE id LIKE 'batch%'}) }
ok(wait_until(sub { ($part = of_batch($n1)) > 0 }), 'a batch is under way');
put_row($n2, 'beside a batch');
is($n1->evict('docs', $n4->id), $n4->id, 'its sender is evicted');
ok($n4->wait_log(qr/is no member of collection docs any more/), 'and is told');
arrives(\@stay, 'beside a batch', 'rows of others arrive');
$part = of_batch($n1);
cmp_ok($part, '<', $rows, "of $rows rows $part have come");
like(($n4->try_sql(q{INSERT INTO collections.docs (id, data) VALUES ('outside', '[1,2,3]')}))[2], qr/ERROR/, 'it may not write any more');
is(of_batch($n4), $rows, '... and has its rows');
stop_writing(@stay);
all_equal(\@stay, 'the others have the same part of its batch');
cmp_ok(of_batch($n2), '<', $rows, '... not all of it');
all_level(\@stay, 'without it');
# how many of the pages of the buffers for frames, 2.6 MB, a batch needs is not the same each time
memory_is_as_before($memory, \@stay, 'one was evicted in its batch', slack => 3_200_000);

# Away while others write and delete
start_writing(0.1, $n1, $n2);
$n3->stop;
$n1->sql(q{DELETE FROM collections.docs WHERE id IN (SELECT 'old' || i FROM generate_series(1, 50) i); UPDATE collections.docs SET metadata = '{"while": "away"}' WHERE id IN ('old51', 'old52')});
$n2->sql(q{DELETE FROM collections.docs WHERE id LIKE 'batch%'});
put_row($n2, 'meanwhile');
arrives([ $n1, $n2 ], 'meanwhile', 'while one is away two go on');
sleep(3);
$n3->start;
arrives([$n3], 'meanwhile', 'who comes back has what it missed');
start_writing(0.1, $n3);
ok(wait_until(sub { !has_row($n3, 'old1') && of_batch($n3) == 0 }), '... and lacks what was deleted');

# One that speaks versions 1 to 7 and sends items that nobody knows yet, and one that speaks none of ours
put_row($n1, 'template');
my $invitation = $n1->invite('docs', 'writer');
my $said = hostile($n1, '--seed=3000', '--wait=20000', 'hello=later', "redeem=good:$invitation", 'rows=newer:10');
like($said, qr/^hello=later: welcome.*^rows=newer: \d+ frames, [1-9]\d* wants/ms, 'a member of a newer protocol is asked for rows') or diag($said);
arrives(\@stay, "newer-$_", "its row $_ is on all") for 0, 9;
like(hostile($n1, '--seed=3000', 'hello=versions'), qr/^hello=versions: error 2/, 'one that speaks only newer ones is told so');
my $newer = (hostile($n1, '--seed=3000', 'own') =~ /id=([0-9a-f]+)/)[0];
is($n1->evict('docs', $newer), $newer, '... and evicted');

# One after the other, all of them, now and then as in a crash
sub restart_all
{
	my ($time) = @_;
	my $mode = $time % 2 ? 'fast' : 'immediate';

	for my $node (@stay)
	{
		my $name = "$node->{name} stops $mode, time $time";
		my @others = grep { $_ != $node } @stay;

		stop_writing($node);
		put_row($node, "$name, before");
		$node->stop($mode);
		put_row($others[0], "$name, beside");
		arrives(\@others, "$name, beside", "$name: the others go on");
		$node->start;
		start_writing(0.1, $node);
		put_row($node, "$name, after");
		arrives(\@stay, $_, "$name: a row is on all") for map { "$name, $_" } qw(before beside after);
	}
	return;
}

memory_settles(\@stay, 'through restarts', 4, \&restart_all);
stop_writing(@stay);
all_equal(\@stay, 'after rounds of restarts all have the same rows');
nothing_lost(\@stay, 'through restarts');
all_level(\@stay, 'through restarts');
sound(@all);
done_testing;
