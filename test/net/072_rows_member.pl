# A member that means harm: it was invited, its keys and signatures are good, and it
# speaks the messages of rows.  Beside it three honest nodes go on serving each other,
# their workers hold no more memory than before, and once it is evicted all are equal.
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max min);
use Test::More;
use Time::HiRes qw(time);
use VecdbNet;
use NetRows;

my $seed = $ENV{TEST_SEED} // 1;
my $size = $ENV{LONG} ? 10 : 1;

diag("seed $seed (TEST_SEED sets another)");
my @all = (rows_node('a'));
push @all, rows_node($_, bootstrap => $all[0]) for qw(b c);
my ($a, $b, $c) = @all;
share(\@all, rows => 500);
$a->sql(q{INSERT INTO collections.docs (id, data, metadata) SELECT 'template', '[1,2,3]', jsonb_build_object('text', string_agg(md5(i::text), '')) FROM generate_series(1, 128) i});
$b->sql(q{SELECT vecdb.create_collection('aside', 3); INSERT INTO collections.aside (id, data) VALUES ('secret', '[1,2,3]')});
is($a->join_by($b->invite('aside', 'writer')), 'collections.aside', 'two of them share another collection');
all_equal(\@all, 'three honest nodes have the same rows', 501);
start_writing(0.1, @all);

# One that may read only
my $salt = 0;
sub member
{
	my ($as, @actions) = @_;

	$salt++;
	return hostile($a, "--seed=$as", "--salt=$salt", 'hello=good', @actions);
}
my $reader = $a->invite('docs', 'reader');
my $said = member($seed + 1000, "redeem=good:$reader", 'rows=unasked:20', 'wait=2000', 'rows=good:10', 'rows=claim:1');
like($said, qr/^rows=good: \d+ frames, 0 wants, /m, 'a reader may claim what it will: nobody asks for its rows') or diag($said);
like($said, qr/^rows=unasked: 20 frames, /m, '... nor takes them where it sends them unasked');
arrives(\@all, 'template', 'rows go on');
is($a->sql(q{SELECT count(*) FROM collections.docs WHERE id ~ '^(good|unasked)-'}), '0', 'none of a reader is here');
cmp_ok($a->sql('SELECT refused FROM vecdb.stat_collections WHERE name = \'collections.docs\'::regclass'), '>=', 20, 'and its frames are counted as refused');

# One that may write, as an honest one first: so what follows is refused for what it is
my $writer = $a->invite('docs', 'writer');
$said = member($seed + 2000, "redeem=good:$writer", 'rows=good:10');
like($said, qr/^rows=good: \d+ frames, [1-9]\d* wants, /m, 'a writer is asked for its rows') or diag($said);
ok(wait_until(sub { $c->sql(q{SELECT count(*) FROM collections.docs WHERE id ~ '^good-'}) eq '10' }, 60), '... and those of a good batch are on all');

# All that it can do wrong, and what takes most memory again until that adds none (LONG=1: all
# of it, and ten times as much): a leak would add as much each time.  What is allocated for
# frames in libzmq's queues stays with the process, and is taken again.
my @kinds = (
	'claim:1', 'haves:' . 2000 * $size, 'wants:' . 300 * $size, 'endless:' . 40 * $size, 'open:' . 20 * $size,
	'unasked:' . 200 * $size, 'ranges:' . 20 * $size, 'keys:100', 'future:20', 'malformed:' . 2000 * $size, 'lives:' . 3000 * $size, 'mute:5000');
my @memory = (max(map { worker_rss($_) } @all));
my $slowest = 0;
diag("VmRSS of the greatest worker at first: $memory[0] kB");
for my $round (1 .. 7)
{
	last if $round > 2 && $memory[-1] - $memory[-2] < 4_000;
	for my $kind (grep { $round == 1 || $ENV{LONG} || /^(?:endless|unasked|lives)/ } @kinds)
	{
		my ($name) = $kind =~ /^(\w+)/;
		my $id = "beside $name $round";
		my $began = time();

		$salt++;
		my $peer = hostile_start($a, qr/^redeem/m, '--seed=' . ($seed + 2000), "--salt=$salt", '--wait=15000', 'hello=good', "redeem=good:$writer", "rows=$kind", 'ping', 'hold');
		put_row($b, $id);
		$slowest = max($slowest, arrives(\@all, $id, "beside $kind, a row of b is on all"));
		ok(wait_until(sub { VecdbNet::slurp($peer->{out}) =~ /^(?:hold|hostile):/m }), '... its end');
		$said = background_stop($peer);
		my ($frames) = $said =~ /^rows=$name: ([1-9]\d*) frames/m;
		ok($frames, "... it has sent what it wanted") or diag($said);
		diag(sprintf '%s: %s; %.1f s, VmRSS %d kB', $kind, join('; ', grep { /^(?:rows|ping)/ } split /\n/, $said), time() - $began, max(map { worker_rss($_) } @all));
	}
	push @memory, max(map { worker_rss($_) } @all);
}
diag("VmRSS of the greatest worker: @memory kB, at first and after each round; the slowest row took " . sprintf('%.1f s', $slowest));
cmp_ok($memory[-1] - $memory[-2], '<', 4_000, 'in the end a round adds nothing');
cmp_ok($memory[-1] - $memory[0], '<', 128_000, '... all of them less than the memory that rows on their way may take');
cmp_ok($memory[1] - $memory[0], '<', 64_000, '... and the first no more than queues and frontiers take');

# Rows of a collection that it is no member of
$said = member($seed + 2000, "redeem=good:$writer", 'rows=elsewhere:' . $a->collection_id('aside'));
like($said, qr/^rows=elsewhere: \d+ frames, 0 wants, 0 stops, 0 rows came$/m, 'of a collection that it is no member of it gets no row') or diag($said);
is($a->sql('SELECT string_agg(id, \',\') FROM collections.aside'), 'secret', '... and brings none');

# It is counted, and told of
diag($a->sql(q{SELECT 'interrupted ' || interrupted || ', refused ' || refused || ', compared ' || compared || ', quarantined ' || quarantined FROM vecdb.stat_collections WHERE name = 'collections.docs'::regclass}));
cmp_ok($a->sql(q{SELECT refused FROM vecdb.stat_collections WHERE name = 'collections.docs'::regclass}), '>', 500, 'what was refused is counted');
cmp_ok($a->sql(q{SELECT interrupted FROM vecdb.stat_collections WHERE name = 'collections.docs'::regclass}), '>', 1, '... as are batches that never ended');
ok($_->wait_sql(q{SELECT quarantined FROM vecdb.stat_collections WHERE name = 'collections.docs'::regclass}, '20'), "$_->{name} tells of rows of the future") for @all;
cmp_ok(length($a->log), '<', 200_000, 'the log has a few lines of it');

# Evicted
my $evicted = $a->sql(qq{SELECT node_id FROM vecdb.members('docs') WHERE node_id NOT IN ('${\($a->id)}', '${\($b->id)}', '${\($c->id)}') AND role = 'writer'});
is($a->evict('docs', $evicted), $evicted, 'it is evicted');
my ($gone) = $a->sql(q{SELECT string_agg(node_id, ' ') FROM vecdb.members('docs') WHERE role = 'reader'});
is($a->evict('docs', $gone), $gone, '... and the reader');
stop_writing(@all);
$_->sql(q{SELECT vecdb.discard(name, key) FROM vecdb.quarantine}) for @all;
all_equal(\@all, 'all have the same rows');
nothing_lost(\@all, 'beside it');
$_->sql(q{SELECT vecdb.leave('aside')}) for $a, $b;
all_level(\@all, 'without it');
sound(@all);
done_testing;
