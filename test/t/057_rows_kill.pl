# Three servers share a collection, and die at every step of what they do with its rows
# (src/fault_point.h): a process of theirs, or all of it as where the power fails.  They
# are started again, and in the end all are equal, and have what a client saw committed.
# LONG=1: those where a table joins with its rows, and where rows travel, on each server, in
# both ways.  VECDB_SEED chooses where else.
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
use VecdbFaults;

my $seed = $ENV{VECDB_SEED} // 1;
srand $seed;
note "VECDB_SEED=$seed";

my %never_hit = map { $_ => 1 } fault_points();
my $postgres = postgres_with_faults();
my $conf = <<'EOT';
restart_after_crash = on
vecdb.anti_entropy_interval = 1s
vecdb.max_batch_bytes = '64kB'
vecdb.max_atomic_bytes = '64kB'
wal_writer_delay = 10s
EOT
my ($a, $b, $c) = my @all = map { new_peer($_, install_path => $postgres, conf => $conf) } qw(a b c);
my %bootstrap = (a => address($b), b => address($a), c => address($a));
for my $node (@all)
{
	$node->append_conf('postgresql.conf', "vecdb.bootstrap = '" . $bootstrap{ $node->name } . "'");
	$node->reload;
}
ok(wait_until(sub { !grep { !is_up($_) } @all }), 'three nodes run');

# ---------------------------------------------------------------------------
# What clients write, and may find in the end

my %may;		# of each key that one client alone writes: what it may be; '' is gone
my $n = 0;
my $large_each = 30;	# so many writes, one is of more rows than go into a message
my %writes = map { $_->name => 1 } @all;

sub large
{
	my ($name) = @_;

	return qq{SELECT 'large_$name' || i, ARRAY[i, $n, 2]::vector, jsonb_build_object('n', $n, 'x', (SELECT string_agg(md5((i * 1000 + k + $n)::text), '') FROM generate_series(1, 400) k))
		FROM generate_series(1, 200) i};
}

# Write a transaction on a server, in which its own keys become these; an error leaves open
# whether it is committed.
sub write_to
{
	my ($node, %becomes) = @_;
	my $name = $node->name;
	my $shared = join ',', map { "('shared" . int(rand 20) . "_$_', '[1,2,3]', '{\"by\": \"$name\", \"n\": $n}')" } 1 .. 3;
	my $query = "BEGIN;\n";

	for my $key (sort keys %becomes)
	{
		my $value = $becomes{$key};

		$query .= $value eq '' ? "DELETE FROM collections.docs WHERE id = '$key';\n" :
			$key =~ /^large/ ? "INSERT INTO collections.docs (id, data, metadata) " . large($name) . " ON CONFLICT (id) DO UPDATE SET data = excluded.data, metadata = excluded.metadata;\n" :
			"INSERT INTO collections.docs (id, data, metadata) VALUES ('$key', '[1,$value,3]', '{\"n\": $value}') ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata;\n";
	}
	$query .= "INSERT INTO collections.docs (id, data, metadata) VALUES $shared ON CONFLICT (id) DO UPDATE SET metadata = excluded.metadata;\nCOMMIT;\n";
	$query .= "SET synchronous_commit = off; UPDATE collections.docs SET metadata = '{\"by\": \"$name\", \"n\": $n}' WHERE id LIKE 'shared7_%';\n";
	my ($done) = try_sql($node, $query);
	for my $key (keys %becomes)
	{
		$may{$key} = [] if $done;
		push @{ $may{$key} //= [''] }, $becomes{$key};
	}
	return;
}

# Each server that is up gets some writes.
sub work
{
	for my $node (grep { !is_down($_) && $writes{ $_->name } && is_up($_) } @all)
	{
		my $name = $node->name;
		my %becomes = ("own_$name" . int(rand 30) => ++$n, "own_$name" . int(rand 30) => '');

		$becomes{"large_$name"} = $n if $n % $large_each == 0;
		write_to($node, %becomes);
	}
	return;
}

# The keys that are not what a client has seen.
sub lost
{
	my ($node) = @_;
	my %is = map { split /\|/ } split /\n/, sql($node, q{SELECT id, metadata ->> 'n' FROM collections.docs WHERE id LIKE 'own%'
		UNION ALL SELECT regexp_replace(id, '\d+$', ''), string_agg(DISTINCT metadata ->> 'n', ',') FROM collections.docs WHERE id LIKE 'large%' GROUP BY 1});

	return join ' ', map {
		my $key = $_;
		my $is = $is{$key} // '';
		(grep { $_ eq $is } @{ $may{$key} }) ? () : "$key is '$is', not one of (@{ $may{$key} })"
	} sort keys %may;
}

# ---------------------------------------------------------------------------
# Dying

my $began = time();

# A server dies at a point while clients write, or the code runs; it is up again later.  With
# early it is armed before it starts.
sub strike
{
	my ($node, $point, %opt) = @_;
	my $kind = $opt{kind} // 'server';
	my $work = $opt{work} // \&work;
	my $at = time();

	$large_each = $point =~ /part|data-sent/ ? 4 : 30;
	if ($opt{early})
	{
		arm($node, $point, $kind, $opt{pass});
		bring_up($_) for @all;
	}
	else
	{
		await_up($node);
		arm($node, $point, $kind, $opt{pass});
		bring_up($_) for @all;
	}
	my $hit = wait_until(sub { $work->(); has_hit($node) });
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($hit, sprintf '%s of %s dies at %s', $kind eq 'server' ? 'all' : 'a process', $node->name, $point);
	note(sprintf '%.2f s, %.1f s in all', time() - $at, time() - $began);
	delete $never_hit{$point};
	if (!$hit)
	{
		disarm($node);
		return 0;
	}
	take_down($node, $kind);
	return 1;
}

sub all_are_equal
{
	my ($what) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(!(grep { !await_up($_) } @all), 'all run again');
	all_equal(\@all, $what);
	for my $node (@all)
	{
		my $name = $node->name;

		is(sql($node, q{SELECT count(*) FROM vecdb.verify_versions('collections.docs')}), '0', "... each row on $name has its version");
		is(lost($node), '', "... and is what a client has seen");
	}
	return;
}

# ---- a collection begins ----

my $invite = sub { try_sql($a, q{SELECT vecdb.invite('docs')}) };

sql($a, q{SELECT vecdb.create_collection('docs', 3, 'l2')});
sql($a, 'INSERT INTO collections.docs (id, data, metadata) ' . large('a'));
$may{large_a} = [0];
strike($a, 'share-life-begun', work => $invite);
strike($a, 'life-written', work => $invite);
strike($a, 'share-before-commit', work => $invite);
await_up($a);

# ---- it is joined ----

my %invitation;
for my $node ($b, $c)
{
	$invitation{ $node->name } = sql($a, q{SELECT vecdb.invite('docs')});
}
my $is_joined = q{SELECT count(*) FROM vecdb.shared_collections WHERE name = 'docs'};

sub join_on
{
	my ($node) = @_;

	try_sql($node, "SELECT vecdb.join('" . $invitation{ $node->name } . "')") if is_up($node);
	return;
}

for my $point (qw(join-admitted join-written join-bound join-before-commit))
{
	strike($b, $point, work => sub { join_on($b) });
}
strike($c, 'clock-written', work => sub { join_on($c) });
strike($c, 'clock-renamed', work => sub { join_on($c) }, early => 1);
strike($b, 'index-before-build', work => sub { join_on($b) });
strike($b, $_, early => 1) for qw(index-built index-completed index-used);
all_are_equal('the collection is joined');

# ---- a table with rows is shared, and those who have rows of it, too, join with them ----

my $things = q{SELECT count(*) FROM vecdb.shared_collections WHERE name = 'public.things'};
my $told = 0;	# rows that somebody's alone were, each with the number of its write

# All have some of one dump, rows that are of the same key and not the same, and rows of their own.
for my $node (@all)
{
	my $name = $node->name;

	sql($node, q{CREATE TABLE things (id text PRIMARY KEY, v vector(3) NOT NULL, note text); CREATE INDEX ON things USING hnsw (v vector_l2_ops);
		INSERT INTO things SELECT 'dump' || i, ARRAY[i, i % 7, 1]::vector, 'of a dump' FROM generate_series(1, 300) i;} .
		qq{INSERT INTO things SELECT 'differs' || i, '[1,2,3]', '$name' FROM generate_series(1, 20) i;
		INSERT INTO things SELECT 'own_${name}_' || i, '[3,2,1]', '$name' FROM generate_series(1, 20) i});
}

sub replicate_on
{
	my ($node, $more) = @_;

	try_sql($node, "SELECT vecdb.replicate('things'$more)") if is_up($node);
	return;
}

# A row that is committed, whatever becomes of the server then.
sub commit_row
{
	my ($node) = @_;

	await_up($node);
	$told++;
	sql($node, "INSERT INTO things VALUES ('told$told', '[1,1,1]', '$told')");
	return;
}

for my $point (qw(share-life-begun rows-stamped replicate-before-commit))
{
	commit_row($a);
	strike($a, $point, work => sub { replicate_on($a, '') });
}
ok(wait_until(sub { await_up($a); replicate_on($a, ''); sql($a, $things) eq '1' }), 'a table with rows is shared');

my @kinds = qw(server process);
my @before_commit = qw(join-admitted join-written replicate-admitted earlier-forgotten share-life-begun replicate-life-begun replicate-bound
	rows-stamped replicate-before-commit capture-before-commit);
my $turn = int rand 2;
for my $node ($b, $c)
{
	for my $committed (qw(capture-committed membership-committed))
	{
		# who has joined leaves, with the rows that it has, and joins once more
		for my $kind ($ENV{LONG} ? @kinds : $kinds[ $turn++ % 2 ])
		{
			my $invitation;

			sql($node, q{SELECT vecdb.leave('public.things')}) if sql($node, $things) eq '1';
			ok(wait_until(sub { await_up($a); (undef, $invitation) = try_sql($a, q{SELECT vecdb.invite('public.things')}); $invitation }), 'one is invited');
			for my $point (@before_commit, $committed)
			{
				commit_row($_) for $a, $node;
				strike($node, $point, kind => $kind, work => sub { replicate_on($node, ", '$invitation'") });
				await_up($node);
				is(sql($node, $things), $point eq $committed ? 1 : 0, '... and it ' . ($point eq $committed ? 'has' : 'has not') . ' joined');
			}
		}
	}
}
ok(!(grep { !await_up($_) } @all), 'all run again');
all_equal(\@all, 'all have the rows of all', 380 + $told, 'things');
for my $node (@all)
{
	is(sql($node, q{SELECT count(*) FROM vecdb.verify_versions('things')}), '0', '... each with its version on ' . $node->name);
	is(sql($node, q{SELECT count(*) FROM things WHERE id LIKE 'told%' AND id = 'told' || note}), $told, '... and what was committed there');
}

# ---- rows travel ----

# Of what is done seldom one pass is enough.
my @travel = (
	(map { [ $_, 1 + int rand 2 ] } qw(ticket-taken row-stamped capture-before-commit capture-committed
		snapshot-taken snapshot-exported feed-before-flush feed-flushed snapshot-imported feed-frontier-kept feed-data-sent feed-asked
		frame-received frame-taken job-handed-over job-posted job-begun apply-row-written apply-before-claim apply-claimed
		apply-before-commit apply-committed apply-answered job-done)),
	map { [ $_, 1 ] } qw(incarnation-heard apply-part-before-commit apply-part-committed
		collect-before-commit collect-committed retry-before-commit));
my $i = int rand 6;
for my $travel (@travel)
{
	my ($point, $pass) = @$travel;

	for my $node ($ENV{LONG} ? @all : $all[ $i++ % 3 ])
	{
		for my $kind ($ENV{LONG} ? @kinds : $kinds[ $i / 3 % 2 ])
		{
			await_up($node);
			# it comes with another's next life
			crash(grep { $_ ne $node } @all) if $point eq 'incarnation-heard';
			strike($node, $point, kind => $kind, pass => $pass);
		}
	}
}
all_are_equal('rows have travelled');

# ---- columns change ----

sub change
{
	my ($what) = @_;

	try_sql($a, "SELECT vecdb.alter_collection('docs', '$what')") if is_up($a);
	work();
	return;
}

strike($b, 'change-before-commit', work => sub { change('ADD COLUMN more integer DEFAULT 7') });
await_up($b);
strike($c, 'change-committed', work => sub { change('ADD COLUMN less integer DEFAULT 7') });
await_up($c);
change('DROP COLUMN more');
all_are_equal('columns have changed');
is(sql($_, q{SELECT count(*) = count(*) FILTER (WHERE less = 7) FROM collections.docs}), 't', '... on ' . $_->name) for @all;

# ---- a writer dies in the midst of what it sends, and stays away: others make its rows their own ----

for my $point (qw(row-restamped adopt-committed))
{
	my @hit;

	# the third message goes to one of two that has written the first; small ones are no part of anything
	for (my $try = 0; $try < 10 && !@hit; $try++)
	{
		disarm($_) for $a, $b;
		await_up($_) for @all;
		strike($c, 'feed-data-sent', pass => 3, work => sub { write_to($c, large_c => ++$n) if is_up($c) });
		arm($_, $point, 'server') for $a, $b;
		wait_until(sub { work(); @hit = grep { has_hit($_) } $a, $b }, 20);
	}
	ok(scalar @hit, "of those who have a part of it one dies at $point");
	delete $never_hit{$point};
	disarm($_) for $a, $b;
	take_down($_, 'server') for grep { has_hit($_) } $a, $b;
}
all_are_equal('what was sent in part is whole');

# ---- one is restored to an old state, and lacks what was forgotten meanwhile ----

my $old = $c->data_dir . '.old';

# Has the node forgotten that these rows were there?
sub has_forgotten
{
	my ($node) = @_;
	my $table = sql($node, q{SELECT 'collections.docs'::regclass::oid});

	return sql($node, qq{SELECT count(*) FROM vecdb.version_$table WHERE key >= 'doomed' AND key < 'doomee'}) eq '0';
}

sql($a, q{INSERT INTO collections.docs (id, data) SELECT 'doomed' || i, '[1,2,3]' FROM generate_series(1, 50) i});
$writes{c} = 0;
all_are_equal('before a copy of a server');
$c->stop;
system_or_bail('cp', '-a', $c->data_dir, $old);
ok(start_peer($c), 'c goes on');
sql($a, q{DELETE FROM collections.docs WHERE id LIKE 'doomed%'});
ok(wait_until(sub { work(); !grep { !has_forgotten($_) } @all }), 'all have forgotten what was deleted');
$c->stop;
system_or_bail('rm', '-rf', $c->data_dir);
system_or_bail('mv', $old, $c->data_dir);
crash($c);
strike($c, 'drop-before-commit', early => 1);
strike($c, 'drop-committed', early => 1);
all_are_equal('one that was restored drops what was deleted');
is(sql($c, q{SELECT count(*) FROM collections.docs WHERE id LIKE 'doomed%'}), '0', 'none of it is there');
$writes{c} = 1;

# ---- one leaves, and joins again ----

my $leave = sub { try_sql($b, q{SELECT vecdb.leave('docs')}); work() };

$writes{b} = 0;
all_are_equal('before one leaves');
strike($b, $_, work => $leave) for qw(leave-before-marked leave-before-commit);
for my $point (qw(apply-part-before-commit apply-before-claim))
{
	ok(await_up($b), 'b is back');
	$leave->() if $point eq 'apply-part-before-commit';
	is(sql($b, $is_joined), '0', 'and no member');
	sql($b, 'DROP TABLE collections.docs');
	$invitation{b} = sql($a, q{SELECT vecdb.invite('docs')});
	strike($b, $point, work => sub { join_on($b); work() });
	ok(wait_until(sub { await_up($b); join_on($b); sql($b, $is_joined) eq '1' }), 'b has joined again');
	strike($b, 'leave-before-forgotten', work => $leave) if $point eq 'apply-part-before-commit';
}
all_are_equal('copies that were broken off are whole');

nothing_crashed(@all);
is(join(' ', sort keys %never_hit), '', 'no point was left out');
done_testing();
