#!/usr/bin/perl
#
# sync.pl
#	  The rows of "make bench-sync": makes servers, measures, prints the table.
#	  Called by sync.sh; README.md tells what the figures mean.
#
# Servers are nodes (n1, n2, ...), or publisher and subscribers of logical replication
# (l1, l2, ...), or neither (p1); all have vecdb and the same settings, and on all
# the table is collections.docs.  Each row makes its own, and stops them.  Results
# are kept in results.json by row, so that a run of one row replaces that row alone.
use strict;
use warnings;
use JSON::PP;
use POSIX qw(setpgid strftime);
use Time::HiRes qw(time sleep);
use FindBin;
use lib $FindBin::RealBin;
use BenchTools;
use BenchServers;

my %SET = (
	fashion => { rows => 60_000, dim => 784, metric => 'l2', opclass => 'vector_l2_ops' },
	glove => { rows => 300_000, dim => 100, metric => 'cosine', opclass => 'vector_cosine_ops' });
my @SETS = qw(fashion glove);

# In the order in which they are run; of each set, or once
my @ROWS = qw(copy writer lag wire converge idle versions);
my %RUN = (
	copy => sub { run_copy($_) for @_ },
	writer => sub { run_writer($_) for @_ },
	lag => sub { run_lag($_) for 2, 4 },
	wire => \&run_wire,
	converge => \&run_converge,
	idle => \&run_idle,
	versions => \&run_versions);

my $DIR = $ENV{BENCH_DIR} // die "sync.pl is run by sync.sh\n";
my $count = [ 'a number', qr/^[1-9][0-9]*$/ ];
my $SECONDS = option('SECONDS', 30, $count);
my $ROUNDS = option('ROUNDS', 2, $count);
my $ROWS = option('ROWS', 1_000_000, $count);
my @WANT_SETS = choice('SET', \@SETS);
my @WANT_ROWS = choice('ROW', \@ROWS);
my $PATIENCE = 3600;

# Who ends this ends what it runs.
setpgid(0, 0);
$SIG{TERM} = sub { $SIG{TERM} = 'IGNORE'; kill TERM => -$$; exit 143 };

sub at_most { return $_[0] < $_[1] ? $_[0] : $_[1] }

# ---------------------------------------------------------------------
# Results
# ---------------------------------------------------------------------

my $RESULTS = eval { decode_json(slurp("$DIR/results.json")) } // {};
my ($COMMIT, $ROW);

# A line of the table: what, of vecdb, of its peer, ratio, the goal and whether it is met
sub figure
{
	my ($what, $vecdb, $peer, $ratio, $goal, $met) = @_;
	my @line = map { $_ // '' } $what, $vecdb, $peer, $ratio, $goal, defined $met ? ($met ? 'met' : 'missed') : '';

	push @{ $RESULTS->{rows}{$ROW}{lines} }, \@line;
	progress(join ' | ', @line);
}

sub ratio { return $_[1] > 0 ? sprintf('%.2f', $_[0] / $_[1]) : '' }

# A heading; figures follow.
sub heading { figure($_[0]) }

sub table
{
	my @lines = ([ '', 'vecdb', 'logical', 'ratio', 'goal', '' ]);
	my @width;

	for my $row (grep { $RESULTS->{rows}{$_} } @ROWS)
	{
		push @lines, [ "$row, $RESULTS->{rows}{$row}{commit}, $RESULTS->{rows}{$row}{at}" ], @{ $RESULTS->{rows}{$row}{lines} };
	}
	for my $line (grep { @$_ > 1 && $_->[1] ne '' } @lines)
	{
		for my $i (0 .. $#$line) { $width[$i] = length $line->[$i] if length $line->[$i] > ($width[$i] // 0) }
	}
	my $text = "$RESULTS->{server}; $RESULTS->{machine}\n\n";
	for my $line (@lines)
	{
		my $row = join '  ', map { sprintf($_ == 0 ? '%-*s' : $_ < 4 ? '%*s' : '%-*s', $width[$_], $line->[$_]) } 0 .. $#$line;
		$row =~ s/\s+$//;
		$text .= (@$line == 1 ? "\n" : '') . "$row\n";
	}
	return $text;
}

# ---------------------------------------------------------------------
# The table, on one server and on others
# ---------------------------------------------------------------------

# collections.docs with the first rows of a set, which begin anew where it has fewer; an
# hnsw index where one is wanted.
sub load
{
	my ($name, $set, $rows, $index) = @_;
	my $base = quote(set_file($set, 'base'));
	my $data = quote("$ENV{BENCH_PROGRAMS}/data");

	sql($name, "CREATE UNLOGGED TABLE item (id integer PRIMARY KEY, embedding vector($SET{$set}{dim}))");
	shell($PATIENCE, "$data copy $base | " . join(' ', map { quote($_) } psql($name), '-c', 'COPY item FROM STDIN (FORMAT binary)'));
	empty($name, $set);
	sql($name, "INSERT INTO collections.docs (id, data, metadata)
		SELECT 'r' || g, embedding, jsonb_build_object('n', g % 10)
		FROM generate_series(0, $rows - 1) g JOIN item ON item.id = g % (SELECT count(*) FROM item)");
	sql($name, 'DROP TABLE item');
	index_docs($name, $set) if $index;
	sql($name, 'VACUUM ANALYZE collections.docs');
	sql($name, 'CHECKPOINT');
}

sub empty
{
	my ($name, $set) = @_;

	sql($name, "SELECT vecdb.create_collection('docs', $SET{$set}{dim}, '$SET{$set}{metric}', index_type => 'flat')");
}

sub index_docs
{
	my ($name, $set) = @_;

	sql($name, "CREATE INDEX docs_data ON collections.docs USING hnsw (data $SET{$set}{opclass})");
}

# Are all rows there, and the index of a copy?
sub copied
{
	my ($name) = @_;

	return sql($name, q{SELECT coalesce((SELECT state = 'replicating' FROM vecdb.stat_collections), false)
		AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = 'collections.docs'::regclass AND NOT indisvalid)}) eq 't';
}

# Joins n1's collection: seconds until all rows are there, and until its index is, too.
sub join_docs
{
	my ($name) = @_;
	my $invitation = sql('n1', q{SELECT vecdb.invite('docs')});
	my $began = time;
	my $rows;

	sql($name, "SELECT vecdb.join('$invitation')");
	until_true(sub { sql($name, q{SELECT state = 'replicating' FROM vecdb.stat_collections}) eq 't' }, $PATIENCE);
	$rows = time - $began;
	until_true(sub { copied($name) }, $PATIENCE);
	return ($rows, time - $began);
}

# The same by a subscription: its table is there, and is indexed when the rows have come.
sub subscribe
{
	my ($name, $set, $index) = @_;
	my $began = time;
	my $rows;

	sql($name, sprintf q{CREATE SUBSCRIPTION %s CONNECTION 'host=127.0.0.1 port=%d user=postgres dbname=postgres' PUBLICATION docs WITH (binary = true)},
		"docs_$name", port('l1'));
	until_true(sub { sql($name, q{SELECT count(*) FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')}) eq '0' }, $PATIENCE);
	$rows = time - $began;
	index_docs($name, $set) if $index;
	return ($rows, time - $began);
}

# Have all other servers what n1 or l1 has?
sub level
{
	my ($name) = @_;

	return $name eq 'n1'
	  ? sql('n1', q{SELECT NOT EXISTS (SELECT FROM vecdb.stat_replication WHERE state <> 'level')}) eq 't'
	  : sql('l1', q{SELECT count(*) > 0 AND bool_and(replay_lsn >= pg_current_wal_lsn()) FROM pg_stat_replication}) eq 't';
}

sub wait_level
{
	my ($name) = @_;

	until_true(sub { level($name) }, $PATIENCE) or die "the others do not come to have what $name has\n";
}

# Nodes n1 to n<n> with a set's rows on all, l1 to l<n> likewise.
sub both
{
	my ($n, $set, $rows, $index, %conf) = @_;

	make_node("n$_", %conf) for 1 .. $n;
	make_server("l$_", conf => "wal_level = logical\n") for 1 .. $n;
	load($_, $set, $rows, $index) for 'n1', 'l1';
	sql('l1', 'CREATE PUBLICATION docs FOR TABLE collections.docs');
	join_docs("n$_") for 2 .. $n;
	for (2 .. $n) { empty("l$_", $set); subscribe("l$_", $set, $index) }
	wait_level($_) for 'n1', 'l1';
}

# A run of the writer on a server: what it prints, by name
my $first = 0;

sub writer
{
	my ($name, $set, %opt) = @_;
	my %out;
	local %ENV = (%ENV, PGHOST => '127.0.0.1', PGPORT => port($name), PGUSER => 'postgres', PGDATABASE => 'postgres');
	my @receivers = map { sprintf 'host=127.0.0.1 port=%d user=postgres dbname=postgres', port($_) } @{ $opt{receivers} // [] };

	# rows that are inserted have other keys each time, those that are updated are there
	$first += 10_000_000;
	@out{qw(rate p50 p99 everywhere lag50 lag99 longest lags poll)} = split / /,
	  run($PATIENCE, "$ENV{BENCH_PROGRAMS}/writer", $opt{kind}, $opt{batch} // 1, $opt{clients} // 1, $opt{rate} // 0,
		$opt{seconds} // $SECONDS, $opt{kind} eq 'insert' ? $first : $opt{rows}, set_file($set, 'base'), @receivers);
	return \%out;
}

# ---------------------------------------------------------------------
# First copy
# ---------------------------------------------------------------------

# Of the first two nodes, or of publisher and subscriber
sub cpu_of_servers { return cpu_of_server("$_[0]1") + cpu_of_server("$_[0]2") }

sub run_copy
{
	my ($set) = @_;
	my $rows = at_most($ROWS, $SET{$set}{rows});
	my (%took, %rows, %cpu);

	make_node('n1'); make_node('n2');
	make_server("l$_", conf => "wal_level = logical\n") for 1, 2;
	load($_, $set, $rows, 1) for 'n1', 'l1';
	sql('l1', 'CREATE PUBLICATION docs FOR TABLE collections.docs');
	empty('l2', $set);
	for my $round (1 .. $ROUNDS)
	{
		my $before = cpu_of_servers('n');
		my ($part, $all) = join_docs('n2');
		push @{ $rows{vecdb} }, $part;
		push @{ $took{vecdb} }, $all;
		push @{ $cpu{vecdb} }, cpu_of_servers('n') - $before;
		sql('n2', q{SELECT vecdb.leave('docs')});
		sql('n2', 'DROP TABLE collections.docs');
		$before = cpu_of_servers('l');
		($part, $all) = subscribe('l2', $set, 1);
		push @{ $rows{logical} }, $part;
		push @{ $took{logical} }, $all;
		push @{ $cpu{logical} }, cpu_of_servers('l') - $before;
		sql('l2', 'DROP SUBSCRIPTION docs_l2');
		sql('l2', 'DROP INDEX collections.docs_data');
		sql('l2', 'TRUNCATE collections.docs');
		progress(sprintf '%s: vecdb %.1f s, of it %.1f s for rows; logical replication %.1f s, %.1f s', $set,
			map { $took{$_}[-1], $rows{$_}[-1] } qw(vecdb logical));
	}
	stop_servers();
	my %all = map { $_ => median(@{ $took{$_} }) } keys %took;
	my %part = map { $_ => median(@{ $rows{$_} }) } keys %rows;
	my $what = "$rows x $SET{$set}{dim}";
	figure("$what: rows and index, s", (map { sprintf '%.1f', $all{$_} } qw(vecdb logical)), ratio($all{logical}, $all{vecdb}), '>= 1', $all{vecdb} <= $all{logical});
	figure('  rows a second', map { sprintf '%.0f', $rows / $all{$_} } qw(vecdb logical));
	figure('  rows alone, s', (map { sprintf '%.1f', $part{$_} } qw(vecdb logical)), ratio($part{logical}, $part{vecdb}));
	figure('  rows a second', map { sprintf '%.0f', $rows / $part{$_} } qw(vecdb logical));
	my %work = map { $_ => median(@{ $cpu{$_} }) } keys %cpu;
	figure('  rows and index, seconds of processors on both servers', (map { sprintf '%.1f', $work{$_} } qw(vecdb logical)), ratio($work{logical}, $work{vecdb}));
}

# ---------------------------------------------------------------------
# What a writer pays
# ---------------------------------------------------------------------

sub run_writer
{
	my ($set) = @_;
	my $rows = at_most($ROWS, 10_000);
	my $seconds = $SECONDS > 5 ? $SECONDS / 5 : 1;
	my %lead = (vecdb => 'n1', logical => 'l1', off => 'p1');
	my %follower = (vecdb => 'n2', logical => 'l2');

	both(2, $set, $rows, 1);
	make_server('p1');
	load('p1', $set, $rows, 1);
	heading("$rows x $SET{$set}{dim} with an hnsw index, one client: % fewer rows a second than without replication");
	for my $others (qw(away there))
	{
		if ($others eq 'away') { stop_server($_) for values %follower }
		else { start_server($_) for values %follower; wait_level($_) for 'n1', 'l1' }
		for my $case (map { my $k = $_; map { [ $k, $_ ] } 1, 100 } qw(insert update metadata))
		{
			my ($kind, $batch) = @$case;
			my %rate;

			for my $round (1 .. $ROUNDS + 1)
			{
				for my $system (qw(off vecdb logical))
				{
					push @{ $rate{$system} },
					  writer($lead{$system}, $set, kind => $kind, batch => at_most($batch, $rows), rows => $rows, seconds => $seconds)->{rate};
					wait_level($lead{$system}) if $others eq 'there' && $system ne 'off';
				}
			}
			my %median = map { $_ => median(@{ $rate{$_} }) } keys %rate;
			my %less = map { $_ => 100 * (1 - $median{$_} / $median{off}) } qw(vecdb logical);
			figure(sprintf('  %s, %s a transaction (%.0f a second), the other %s', $kind, $batch == 1 ? 'one' : $batch, $median{off}, $others),
				(map { sprintf '%.0f %%', $less{$_} } qw(vecdb logical)), '', '< 30 %', $less{vecdb} < 30);
		}
	}
	stop_servers();
}

# ---------------------------------------------------------------------
# Lag
# ---------------------------------------------------------------------

sub run_lag
{
	my ($n) = @_;
	my $set = 'glove';
	my $rows = at_most($ROWS, 20_000);
	my %lead = (vecdb => 'n1', logical => 'l1');
	my %receivers = (vecdb => [ map { "n$_" } 2 .. $n ], logical => [ map { "l$_" } 2 .. $n ]);
	my (%all, %lag);

	both($n, $set, $rows, 1);
	for my $system (qw(vecdb logical))
	{
		# a connection too few would be what is measured
		my $out = writer($lead{$system}, $set, kind => 'insert', clients => 2, receivers => $receivers{$system}, seconds => at_most($SECONDS, 15));
		$all{$system} = $out->{everywhere};
		progress("$n servers, $system: $out->{rate} rows a second are written, $out->{everywhere} until all are everywhere");
		wait_level($lead{$system});
	}
	for my $round (1 .. $ROUNDS)
	{
		for my $system (qw(vecdb logical))
		{
			my $out = writer($lead{$system}, $set, kind => 'insert', clients => 2, receivers => $receivers{$system}, rate => $all{$system} / 2);
			push @{ $lag{$system}{$_} }, $out->{$_} for qw(rate lag50 lag99 longest poll lags);
			progress("  $system: $out->{rate} rows a second, $out->{lags} lags: p50 $out->{lag50}, p99 $out->{lag99}, longest $out->{longest} ms; looked each $out->{poll} ms");
			wait_level($lead{$system});
		}
	}
	stop_servers();
	my %m = map { my $s = $_; $s => { map { $_ => median(@{ $lag{$s}{$_} }) } keys %{ $lag{$s} } } } keys %lag;
	heading("$n servers, from $rows x $SET{$set}{dim} on, with an hnsw index; the other " . ($n - 1) . ' looked at each ' . sprintf('%.1f ms', $m{vecdb}{poll}));
	figure('  most, rows a second until they are everywhere', (map { sprintf '%.0f', $all{$_} } qw(vecdb logical)), ratio($all{vecdb}, $all{logical}));
	figure('  at half of it: rows a second', map { sprintf '%.0f', $m{$_}{rate} } qw(vecdb logical));
	figure('    lag p50, ms', map { sprintf '%.0f', $m{$_}{lag50} } qw(vecdb logical));
	figure('    lag p99, ms', (map { sprintf '%.0f', $m{$_}{lag99} } qw(vecdb logical)), ratio($m{logical}{lag99}, $m{vecdb}{lag99}), '< 250', $m{vecdb}{lag99} < 250);
	figure('    longest', map { sprintf '%.0f', $m{$_}{longest} } qw(vecdb logical));
}

# ---------------------------------------------------------------------
# Bytes on the wire
# ---------------------------------------------------------------------

# What n1 has sent of rows, as it counts it itself
sub frame_bytes { return sql('n1', 'SELECT coalesce(sum(bytes_sent), 0) FROM vecdb.stat_replication') }

sub run_wire
{
	my $set = 'fashion';
	my $rows = at_most($ROWS, 10_000);
	my $row = 4 * $SET{$set}{dim};
	my %lead = (vecdb => 'n1', logical => 'l1');

	both(2, $set, $rows, 0);
	heading("Bytes of TCP a row, both ways, $SET{$set}{dim} dimensions: $row bytes of vector");
	for my $kind (qw(insert update metadata))
	{
		for my $batch (1, 100)
		{
			my (%bytes, $frames);

			for my $system (qw(vecdb logical))
			{
				my $before = bytes_sent($system);
				my $out;

				$frames = frame_bytes() if $system eq 'vecdb';
				$out = writer($lead{$system}, $set, kind => $kind, batch => at_most($batch, $rows), rows => $rows, rate => 20 * $batch, seconds => 10);
				wait_level($lead{$system});
				$bytes{$system} = (bytes_sent($system) - $before) / ($out->{rate} * 10);
				$frames = (frame_bytes() - $frames) / ($out->{rate} * 10) if $system eq 'vecdb';
			}
			figure("  $kind, " . ($batch == 1 ? 'one' : $batch) . ' a transaction, 20 of them a second', (map { sprintf '%.0f', $bytes{$_} } qw(vecdb logical)),
				ratio($bytes{vecdb}, $bytes{logical}));
			figure('    of it the frames with rows', sprintf('%.0f', $frames), '', '',
				$kind eq 'metadata' ? (sprintf('< %.0f', $row / 10), $frames < $row / 10) : ());
		}
	}
	stop_servers();
}

# ---------------------------------------------------------------------
# Coming back
# ---------------------------------------------------------------------

# Changes 1,000 rows that are scattered, and deletes none or one.
sub differ
{
	my ($name, $rows, $delete) = @_;
	my $n = at_most(1000, $rows);

	sql($name, "UPDATE collections.docs SET metadata = jsonb_build_object('n', random()) WHERE id IN (SELECT 'r' || i * ($rows / $n) FROM generate_series(1, $n - 1) i)");
	sql($name, q{DELETE FROM collections.docs WHERE id = 'r0'}) if $delete;
	return $n;
}

# From when a server takes connections until it has all: seconds and bytes
sub comes_back
{
	my ($system, $follower, $lead) = @_;
	my $began;

	start_server($follower);
	$began = time;
	until_true(sub { same($follower, $lead) }, $PATIENCE) or die "$follower does not come to have what $lead has\n";
	# links of before it was away are not there any more
	return (time - $began, bytes_sent($system));
}

# How many of the changed rows there are, and rows in all by the deleted one
sub changes
{
	my ($name, $rows) = @_;

	return sql($name, q{SELECT md5(string_agg(id || metadata, ',' ORDER BY id COLLATE "C")) FROM collections.docs WHERE id = ANY (ARRAY(SELECT 'r' || i * } .
		  int($rows / at_most(1000, $rows)) . q{ FROM generate_series(0, } . (at_most(1000, $rows) - 1) . ') i))');
}

my $same_rows;
sub same { return changes($_[0], $same_rows) eq changes($_[1], $same_rows) }

sub run_converge
{
	my $set = 'glove';
	my $rows = $same_rows = $ROWS;
	my (%s, %bytes, $n);

	both(2, $set, $rows, 0, conf => "vecdb.anti_entropy_interval = 1s\n");
	for my $system ([ 'vecdb', 'n2', 'n1' ], [ 'logical', 'l2', 'l1' ])
	{
		stop_server($system->[1]);
		$n = differ($system->[2], $rows, 0);
		@$system[ 3, 4 ] = comes_back(@$system);
		@s{ $system->[0] } = $system->[3];
		@bytes{ $system->[0] } = $system->[4];
	}
	heading("$n rows that differ of $rows x $SET{$set}{dim}, without an hnsw index");
	figure('  one was away meanwhile, s', (map { sprintf '%.1f', $s{$_} } qw(vecdb logical)), ratio($s{logical}, $s{vecdb}));
	figure('    bytes of TCP', (map { $bytes{$_} } qw(vecdb logical)), ratio($bytes{vecdb}, $bytes{logical}));
	stop_server($_) for qw(l1 l2 n2);
	save_data('n2');
	start_server('n2');
	wait_level('n1');
	differ('n1', $rows, 1);
	wait_level('n1');
	until_true(sub { sql('n1', 'SELECT tombstones_forgotten FROM vecdb.stat_collections') > 0 }, 120) or
	  progress('  a tombstone is still there after two minutes: what follows is no comparison');
	stop_server('n2');
	restore_data('n2');
	my ($s, $bytes) = comes_back('vecdb', 'n2', 'n1');
	my $compared = sql('n2', 'SELECT compared FROM vecdb.stat_collections');
	figure("  restored to what it was before ($compared comparisons), s", sprintf('%.1f', $s));
	figure('    bytes of TCP', $bytes);
	stop_servers();
}

# ---------------------------------------------------------------------
# Idle
# ---------------------------------------------------------------------

sub run_idle
{
	my $set = 'glove';
	my (%before, %after, @share);

	make_node('n1'); make_node('n2');
	make_node("n$_", network => 'other', meet => 'n3') for 3, 4;
	load('n1', $set, $ROWS, 0);
	join_docs('n2');
	wait_level('n1');
	sleep($ROWS < 100_000 ? 2 : 20);
	my @names = map { "n$_" } 1 .. 4;
	for my $round (1 .. $ROUNDS)
	{
		my $began = time;
		$before{$_} = [ cpu_of(worker_pid($_)), cpu_of_server($_) ] for @names;
		sleep(2 * $SECONDS);
		my $wall = time - $began;
		$after{$_} = [ cpu_of(worker_pid($_)), cpu_of_server($_) ] for @names;
		push @share, { map { my $n = $_; $n => [ map { 100 * ($after{$n}[$_] - $before{$n}[$_]) / $wall } 0, 1 ] } @names };
		progress(join ', ', map { sprintf '%s %.4f and %.4f %%', $_, @{ $share[-1]{$_} } } @names);
	}
	stop_servers();
	heading("Idle, $ROWS shared rows x $SET{$set}{dim}, over " . 2 * $SECONDS . ' s: % of a core');
	for my $of ([ 'the node worker', 0 ], [ 'all processes of the server', 1 ])
	{
		my ($with, $without) = map { my $pair = $_; median(map { my $s = $_; map { $s->{$_}[ $of->[1] ] } @$pair } @share) } [qw(n1 n2)], [qw(n3 n4)];
		figure("  $of->[0], with the collection, without", sprintf('%.3f, %.3f', $with, $without));
		figure('    difference', sprintf('%.4f', $with - $without), '', '', $of->[1] ? ('') : ('< 0.02', $with - $without < 0.02));
	}
}

# ---------------------------------------------------------------------
# Version table
# ---------------------------------------------------------------------

sub version_bytes
{
	my ($rows) = @_;

	return map { $_ / $rows } split /\|/,
	  sql('n1', q{SELECT pg_total_relation_size(v), pg_relation_size(v), pg_indexes_size(v) FROM (SELECT ('vecdb.version_' || 'collections.docs'::regclass::oid)::regclass) t(v)});
}

sub run_versions
{
	my $set = 'glove';
	my $rows = at_most($ROWS, 200_000);
	my $format = sub { return sprintf '%.0f (%.0f and %.0f)', @_ };
	my @bytes;

	make_node('n1', conf => "autovacuum = on\n");
	load('n1', $set, $rows, 0);
	sql('n1', q{SELECT vecdb.invite('docs')});
	heading("Version table, bytes a row (heap and indexes), $rows rows; autovacuum as PostgreSQL has it");
	@bytes = version_bytes($rows);
	figure('  rows that were there', $format->(@bytes), '', '', '<= 270', $bytes[0] <= 270);
	for my $vacuum (0, 1)
	{
		my $began = time;
		my $table = sql('n1', q{SELECT ('vecdb.version_' || 'collections.docs'::regclass::oid)::regclass});

		sql('n1', "VACUUM FULL $table");
		# steps through the rows, another in each round: no two that were written together are so again
		for my $step (7919, 7927, 7933, 7937, 7949, 7951, 7963, 7993, 8009, 8011)
		{
			sql('n1', "DO \$\$ BEGIN FOR part IN 0 .. ($rows - 1) / 1000 LOOP
				UPDATE collections.docs SET metadata = jsonb_build_object('n', $step, 'v', $vacuum)
					WHERE id IN (SELECT 'r' || i::bigint * $step % $rows FROM generate_series(part * 1000, least(part * 1000 + 999, $rows - 1)) i);
				COMMIT; END LOOP; END \$\$");
			sql('n1', "VACUUM $table") if $vacuum;
		}
		@bytes = version_bytes($rows);
		figure(sprintf('  after ten updates of each, %s%.0f s', $vacuum ? 'a vacuum after each, ' : 'in ', time - $began), $format->(@bytes), '', '', '<= 500', $bytes[0] <= 500);
	}
	stop_servers();
	make_node('n1', conf => "autovacuum = on\n");
	empty('n1', $set);
	sql('n1', q{SELECT vecdb.invite('docs')});
	sql('n1', "INSERT INTO collections.docs (id, data) SELECT 'r' || g, array_fill(0.1, ARRAY[$SET{$set}{dim}])::vector FROM generate_series(1, $rows) g ORDER BY hashint4(g)");
	@bytes = version_bytes($rows);
	figure('  inserted at random', $format->(@bytes), '', '', '<= 270', $bytes[0] <= 270);
	stop_servers();
}

# ---------------------------------------------------------------------

$COMMIT = commit();
$RESULTS->{machine} = machine();
$RESULTS->{server} = $ENV{BENCH_VERSION};
progress("rows @WANT_ROWS; sets @WANT_SETS; $SECONDS s, $ROUNDS rounds, at most $ROWS rows");
progress($RESULTS->{machine});
make_set($_) for @SETS;
for (@WANT_ROWS)
{
	$ROW = $_;
	$RESULTS->{rows}{$ROW} = { commit => $COMMIT, at => strftime('%Y-%m-%d %H:%M', localtime), lines => [] };
	$RUN{$ROW}->(@WANT_SETS);
	write_file("$DIR/results.json", JSON::PP->new->canonical->pretty->encode($RESULTS));
	write_file("$DIR/results.txt", table());
}
print slurp("$DIR/results.txt");
progress("kept in $DIR/results.txt");
