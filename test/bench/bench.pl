#!/usr/bin/perl
#
# bench.pl
#	  The rows of the benchmark: measures, keeps results, prints the table.
#	  Called by bench.sh, which prepares the server; README.md tells what the
#	  figures mean.
#
# Both extensions live in one server, each in a database for each set, with the
# same tables: item (id, embedding) and query (id, embedding, answers).  The set
# "distributions" is many small sets, whose statements HnswDistributions.pm has.  Results
# are kept in results.json by set and row, so that a run of one row replaces that
# row alone; what is printed says of which commit each row is.
use strict;
use warnings;
use utf8;
use open qw(:std :encoding(UTF-8));
use JSON::PP;
use POSIX qw(setpgid strftime WNOHANG);
use Time::HiRes qw(time sleep);
use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../t";
use BenchTools;
use HnswDistributions qw(@CASES @FORMS preparation measurement case_name);

# ---------------------------------------------------------------------
# What there is to measure
# ---------------------------------------------------------------------

my %SET = (
	fashion => { dim => 784, metric => 'l2', operator => '<->', opclass => 'vector_l2_ops' },
	glove => {
		dim => 100, metric => 'cosine', operator => '<=>', opclass => 'vector_cosine_ops',
		code_bits => [1],    # to be tried for its size
	},
	synthetic => { dim => 1536, metric => 'cosine', operator => '<=>', opclass => 'vector_cosine_ops' });
my @SETS = qw(fashion glove synthetic distributions);
my %SYSTEM = (vecdb => 'vecdb', pgvector => 'vector');    # and its extension
my @SYSTEMS = qw(vecdb pgvector);
my @LIBRARIES = qw(hnswlib faiss);    # searched without SQL, in the same rounds

# k, and the values of ef_search for it: as many as pgvector has, and no fewer than k
my %WIDE = (1 => [ 10, 20, 40, 80, 160 ], 100 => [ 100, 200, 400, 800 ], 500 => [ 500, 700, 1000 ]);
my @WIDE = (1, 100, 500);
my @STRICT = ([ 10, 40 ], [ 100, 200 ], [ 500, 1000 ]);    # k and ef_search at which strict_order stands beside off

# In the order in which they are run
my @ROWS = qw(build build64 recall inside client wide range size cold);
my %RUN = (
	build => sub { run_build($_[0], '1GB') },
	build64 => sub { run_build($_[0], '64MB') },
	recall => \&run_recall,
	inside => sub { run_speed($_[0], 'inside') },
	client => sub { run_speed($_[0], 'client') },
	wide => \&run_wide,
	range => \&run_range,
	size => \&run_size,
	cold => \&run_cold);

my ($DIR, $PROGRAMS, $ROOT, $HOME_DIR) = @ENV{qw(BENCH_DIR BENCH_PROGRAMS BENCH_ROOT BENCH_HOME)};
die "bench.pl is run by bench.sh\n" unless defined $HOME_DIR;

my $count = [ 'a number', qr/^[1-9][0-9]*$/ ];
my $SECONDS = option('SECONDS', 3, [ 'seconds', qr/^[0-9]+(\.[0-9]+)?$/ ]);
my $ROUNDS = option('ROUNDS', 3, $count);
my $M = option('M', 16, $count);
my $EF_CONSTRUCTION = option('EF_CONSTRUCTION', 128, $count);
my $LIMIT = option('LIMIT', 3600, $count);
my $COLD_QUERIES = option('COLD_QUERIES', 200, $count);
my @EF = split /[ ,]+/, option('EF', '10 20 40 80 160 320 640', [ 'numbers', qr/^[0-9]+([ ,]+[0-9]+)*$/ ]);
my $CASE = option('CASE', '.', [ 'a pattern of names', qr/^[\w .()|*+^\$\\]+$/ ]);
my @WANT_SETS = choice('SET', \@SETS);
my @WANT_ROWS = choice('ROW', \@ROWS);

# ---------------------------------------------------------------------
# Small things
# ---------------------------------------------------------------------

# Who ends this ends what it runs.
setpgid(0, 0);
$SIG{TERM} = sub { local $SIG{TERM} = 'IGNORE'; kill TERM => -$$; exit 143 };

my $server_buffers = '';

# ---------------------------------------------------------------------
# Server
# ---------------------------------------------------------------------

sub server
{
	my ($buffers) = @_;

	return if $buffers eq $server_buffers;
	restart($buffers);
}

sub restart
{
	my ($buffers) = @_;

	$server_buffers = '';
	run(300, 'bash', "$ROOT/test/bench/bench.sh", 'start', $buffers);
	$server_buffers = $buffers;
}

# Warm rows: everything fits, or a quarter of the memory.
sub warm_buffers
{
	my ($kb) = slurp('/proc/meminfo') =~ /^MemTotal:\s+([0-9]+)/;
	my $mb = int($kb / 4096);

	return ($mb > 3072 ? 3072 : $mb) . 'MB';
}

# Clients find the server and their settings in libpq's environment.  Sequential
# scans are off so that the planner's choice is no part of the figures.
sub environment
{
	my ($database, %set) = @_;

	$set{enable_seqscan} //= 'off';
	$set{enable_sort} //= 'off';
	$set{'hnsw.iterative_scan'} //= 'off';
	$set{statement_timeout} //= $LIMIT . 's';
	$set{client_min_messages} = 'warning';
	return (
		PGHOST => $ENV{BENCH_SOCKETS},
		PGUSER => 'postgres',
		PGDATABASE => $database,
		PGAPPNAME => 'bench',
		PGOPTIONS => join(' ', map { "-c $_=$set{$_}" } sort keys %set));
}

sub sql
{
	my ($database, $text, %set) = @_;
	local %ENV = (%ENV, environment($database, %set));

	return run($LIMIT + 60, 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c', $text);
}

# script DATABASE STATEMENTS: with psql's own commands among them
sub script
{
	my ($database, $text) = @_;
	local %ENV = (%ENV, environment($database));

	write_file("$DIR/script.sql", $text);
	return run($LIMIT + 60, 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-f', "$DIR/script.sql");
}

sub database { return "$_[0]_$_[1]" }

# ---------------------------------------------------------------------
# Sets
# ---------------------------------------------------------------------

sub truth_file { return set_file($_[0], "truth$_[1]") }

sub make_truth
{
	my ($set, $k) = @_;
	my ($base, $query) = map { set_file($set, $_) } qw(base query);
	my $truth = truth_file($set, $k);

	make("$k exact answers to each query of $set by brute force", quote("$PROGRAMS/data") . " truth $SET{$set}{metric} $base $query $truth $k", $truth);
}

sub load
{
	my ($set, $system) = @_;
	my $database = database($set, $system);
	my ($base, $query) = map { set_file($set, $_) } qw(base query);
	my $truth = truth_file($set, 10);
	my $data = quote("$PROGRAMS/data");
	my $stamp = "$set $SEED $QUERIES";

	if (sql('postgres', "SELECT count(*) FROM pg_database WHERE datname = '$database'"))
	{
		return if sql($database, "SELECT coalesce(obj_description(to_regclass('item'), 'pg_class'), '')") eq $stamp;
		sql('postgres', "DROP DATABASE $database");
	}
	progress("loading $set into $system");
	sql('postgres', "CREATE DATABASE $database");
	sql($database, "CREATE EXTENSION $SYSTEM{$system}");
	# The main table is small when vectors are out of line: ask for the worker.
	sql($database, "CREATE TABLE item (id integer NOT NULL, embedding vector($SET{$set}{dim}) NOT NULL) WITH (parallel_workers = 1)");
	sql($database, "CREATE TABLE query (id integer PRIMARY KEY, embedding vector($SET{$set}{dim}) NOT NULL, answers integer[] NOT NULL)");
	# Reading the query is not what is measured.
	sql($database, "ALTER TABLE query ALTER embedding SET STORAGE plain");
	{
		local %ENV = (%ENV, environment($database));
		shell(1800, "$data copy $base | psql -X -q -c 'COPY item FROM STDIN (FORMAT binary)'");
		shell(1800, "$data copy $query $truth | psql -X -q -c 'COPY query FROM STDIN (FORMAT binary)'");
	}
	sql($database, "VACUUM (ANALYZE, FREEZE)");
	sql($database, "COMMENT ON TABLE item IS '$stamp'");
}

# ---------------------------------------------------------------------
# Builds
# ---------------------------------------------------------------------

# Memory of processes in bytes, from /proc/PID/smaps.  touched: their private
# memory and their part of dynamic shared memory, which adds up to the pages
# that any of them touched.  held: the same with all that was set aside for
# those segments.  Shared buffers count in neither, nor do programs and libraries.
sub memory
{
	my (@pids) = @_;
	my ($touched, $held) = (0, 0);
	my %segment;

	for my $pid (@pids)
	{
		my $kind = '';
		for (split /\n/, slurp("/proc/$pid/smaps"))
		{
			if (/^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+\s*(.*)$/)
			{
				my $name = $1;
				$kind = $name eq '' || $name =~ /^\[(heap|stack|anon.*)\]/ ? 'private' : $name =~ m{/(PostgreSQL\.[0-9]+)} ? 'shared' : '';
				$segment{$1} = $pid if $kind eq 'shared' && $name =~ m{/(PostgreSQL\.[0-9]+)};
			}
			elsif ($kind ne '' && /^Pss:\s+([0-9]+) kB/)
			{
				$touched += $1 * 1024;
				$held += $1 * 1024 if $kind eq 'private';
			}
		}
	}
	for my $name (keys %segment)
	{
		my @stat = stat "/proc/$segment{$name}/root/dev/shm/$name";
		$held += $stat[12] * 512 if @stat;
	}
	return ($touched, $held);
}

# Runs statements in a psql while watching the processes of the index build.
# Returns psql's output and the peaks of memory().
sub watch
{
	my ($database, $what, $text, %set) = @_;
	my $out = "$DIR/watch.out";
	my ($peak, $peak_held, $told, $looked, @pids) = (0, 0, time, 0);
	my $pid = fork // die "could not fork: $!\n";

	if ($pid == 0)
	{
		%ENV = (%ENV, environment($database, %set), PGAPPNAME => 'bench_build');
		open STDOUT, '>', $out;
		open STDERR, '>', "$out.error";
		exec 'timeout', '--foreground', '-k', 10, $LIMIT + 60, 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', map { ('-c', $_) } @$text;
		exit 127;
	}
	while (waitpid($pid, WNOHANG) == 0)
	{
		if (time - $looked >= 2)
		{
			$looked = time;
			my @line = split /\n/, eval {
				sql($database, "
					SELECT string_agg(a.pid::text, ' '), max(format('%s: %s of %s rows', p.phase, p.tuples_done, greatest(p.tuples_total, c.reltuples::bigint)))
					FROM pg_stat_activity l JOIN pg_stat_activity a ON a.pid = l.pid OR a.leader_pid = l.pid
					LEFT JOIN pg_stat_progress_create_index p ON p.pid = a.pid
					LEFT JOIN pg_class c ON c.oid = p.relid
					WHERE l.application_name = 'bench_build' AND l.leader_pid IS NULL AND l.datname = current_database()");
			} // '';
			my ($pids, $phase) = split /\|/, $line[0] // '';
			@pids = split / /, $pids // '';
			if (time - $told >= 15)
			{
				$told = time;
				progress("  $what: ", $phase // '');
			}
		}
		my ($touched, $held) = memory(@pids);
		$peak = $touched if $touched > $peak;
		$peak_held = $held if $held > $peak_held;
		sleep 0.3;
	}
	my $error = $? ? slurp("$out.error") : '';
	return (slurp($out), $peak, $peak_held, $error);
}

sub index_sql
{
	my ($set, $more) = @_;

	return "CREATE INDEX item_hnsw ON item USING hnsw (embedding $SET{$set}{opclass}) " .
	  "WITH (m = $M, ef_construction = $EF_CONSTRUCTION" . ($more // '') . ")";
}

# Which library and which options an index is of, as its comment says
sub index_stamp
{
	my ($system) = @_;
	my $library = $system eq 'vecdb' ? slurp("$HOME_DIR/vecdb.sum") : '';

	$library =~ s/\s+/-/g;
	return "m$M ef$EF_CONSTRUCTION $library";
}

# A build.  The index stays when "keep"; otherwise the old one is there again
# afterwards, since all happens in a transaction that is rolled back.
sub build
{
	my ($set, $system, $memory, $keep, $more) = @_;
	my $database = database($set, $system);
	my $clock = 'SELECT extract(epoch FROM clock_timestamp())';
	my $stamp = index_stamp($system);

	sql($database, 'CHECKPOINT');
	my ($out, $peak, $held, $error) = watch(
		$database,
		"$system builds $set with $memory",
		[
			$keep ? () : 'BEGIN',
			'DROP INDEX IF EXISTS item_hnsw',
			$clock, index_sql($set, $more), $clock,
			"COMMENT ON INDEX item_hnsw IS '$stamp'",
			"SELECT pg_relation_size('item_hnsw')",
			'SET hnsw.ef_search = 40', recall_sql($set),
			$keep ? () : 'ROLLBACK'
		],
		maintenance_work_mem => $memory);
	if ($error ne '')
	{
		die "$system could not build $set: $error\n" unless $error =~ /statement timeout/;
		progress("$system did not build $set in $LIMIT s");
		return { seconds => $LIMIT, stopped => JSON::PP::true };
	}
	my ($began, $ended, $bytes, $recall) = split /\n/, $out;
	my $result = {
		seconds => $ended - $began, touched => $peak, held => $held,
		bytes => $bytes + 0, recall40 => $recall + 0
	};
	progress(sprintf '%s built %s%s with %s in %.1f s, memory %d MB touched, %d MB held, index %d MB, recall at ef 40 %.4f',
		$system, $set, $more // '', $memory, $result->{seconds}, $peak / 1048576, $held / 1048576, $bytes / 1048576, $recall);
	return $result;
}

# Makes sure that there is an index of the present library.
sub need_index
{
	my ($set, $system) = @_;
	my $database = database($set, $system);

	return if sql($database, "SELECT coalesce(obj_description(to_regclass('item_hnsw'), 'pg_class'), '')") eq index_stamp($system);
	progress("$system has no index of this version on $set: building");
	build($set, $system, '1GB', 1);
}

sub library_index
{
	my ($set, $library, $again) = @_;
	my $file = set_file($set, "$library-$M-$EF_CONSTRUCTION");

	if ($again || !-s $file)
	{
		my ($seconds, $bytes, $memory) = split / /, run($LIMIT, "$PROGRAMS/yardstick", $library, 'build', $SET{$set}{metric}, set_file($set, 'base'), $file, $M, $EF_CONSTRUCTION, 2);
		progress(sprintf '%s built %s in %.1f s with two threads, %d MB, memory %d MB', $library, $set, $seconds, $bytes / 1048576, $memory / 1048576);
		return ($file, { seconds => $seconds + 0, bytes => $bytes + 0, memory => $memory + 0 });
	}
	return ($file, undef);
}

# Recall and rate of a library, one thread
sub library_rate
{
	my ($set, $library, $k, $ef) = @_;
	my ($file) = library_index($set, $library);
	my (undef, $recall, $rate) = split / /, run(600 + $SECONDS, "$PROGRAMS/yardstick", $library, 'search', $SET{$set}{metric},
		set_file($set, 'query'), truth_file($set, $k), $file, $SECONDS, $k, $ef);

	return ($recall + 0, $rate + 0);
}

sub run_build
{
	my ($set, $memory) = @_;
	my %row = map { $_ => build($set, $_, $memory, $memory eq '1GB') } @SYSTEMS;

	for my $library ($memory eq '1GB' ? @LIBRARIES : ())
	{
		(undef, $row{$library}) = library_index($set, $library, 1);
	}
	return \%row;
}

# ---------------------------------------------------------------------
# Recall and speed
# ---------------------------------------------------------------------

# Of the k rows that an index gives, the part that are among the k nearest
sub recall_sql
{
	my ($set, $k, $queries) = @_;

	$k //= 10;
	$queries //= 'query';
	return "SELECT sum(least($k, hits))::float8 / ($k * count(*)) FROM (" .
	  "SELECT count(*) FILTER (WHERE r.id = ANY (q.answers)) AS hits FROM $queries q CROSS JOIN LATERAL " .
	  "(SELECT id FROM item ORDER BY item.embedding $SET{$set}{operator} q.embedding LIMIT $k) r GROUP BY q.id) s";
}

# The plan of the statements that are timed must use the index.
sub check_plan
{
	my ($set, $system) = @_;
	my $plan = sql(database($set, $system), 'EXPLAIN ' . recall_sql($set), 'hnsw.ef_search' => 40);

	die "$system does not use its index on $set:\n$plan\n" unless $plan =~ /Index Scan using item_hnsw/;
}

# recalls of an index, kept with its identity
sub recalls
{
	my ($set, $system) = @_;
	my $database = database($set, $system);
	my $identity = join ' ', index_stamp($system), sql($database, "SELECT pg_relation_filenode('item_hnsw')");
	my $kept = result($set)->{recalls}{$system} //= {};

	%$kept = (identity => $identity, at => {}) unless ($kept->{identity} // '') eq $identity;
	for my $ef (@EF)
	{
		next if defined $kept->{at}{$ef};
		$kept->{at}{$ef} = sql($database, recall_sql($set), 'hnsw.ef_search' => $ef) + 0;
		progress(sprintf '%-9s %-10s ef %-4d recall %.4f', $set, $system, $ef, $kept->{at}{$ef});
	}
	return { map { $_ => $kept->{at}{$_} } @EF };
}

sub run_recall
{
	my ($set) = @_;

	for my $system (@SYSTEMS)
	{
		need_index($set, $system);
		check_plan($set, $system);
		warm($set, $system);
	}
	return { map { $_ => recalls($set, $_) } @SYSTEMS };
}

# Recall on rows of each distribution, built, inserted, after deletes and VACUUM,
# in one system after the other.  What is not asked for keeps its figures.
sub run_distributions
{
	my %row = %{ result('distributions')->{rows}{recall} // {} };
	my @cases = grep { case_name($_) =~ /$CASE/ } @CASES;

	die "there is no CASE=$CASE\n" unless @cases;
	for my $system (@SYSTEMS)
	{
		my $database = database('distributions', $system);
		sql('postgres', "DROP DATABASE IF EXISTS $database");
		sql('postgres', "CREATE DATABASE $database");
		sql($database, "CREATE EXTENSION $SYSTEM{$system}");
		sql($database, preparation());
		note_version($database, $system);
	}
	for my $case (@cases)
	{
		my $name = case_name($case);
		for my $form (@FORMS)
		{
			for my $system (@SYSTEMS)
			{
				my @recall = split /\n/, script(database('distributions', $system), measurement($case, $form));
				$row{cases}{$name}{$form}{$system} = [ map { $_ + 0 } @recall ];
			}
			progress(sprintf '%-32s %-9s %s', $name, $form,
				join '   ', map { sprintf '%s %.4f %.4f', $_, @{ $row{cases}{$name}{$form}{$_} } } @SYSTEMS);
		}
	}
	return \%row;
}

# Into the buffers in the order of the disk, sooner than queries do it
sub warm
{
	my ($set, $system) = @_;

	sql(database($set, $system), 'CREATE EXTENSION IF NOT EXISTS pg_prewarm');
	sql(database($set, $system), "
		SELECT sum(pg_prewarm(oid::regclass)) FROM pg_class
		WHERE oid IN ('item_hnsw'::regclass, 'item'::regclass, (SELECT reltoastrelid FROM pg_class WHERE oid = 'item'::regclass))
			OR oid = (SELECT indexrelid FROM pg_index WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'item'::regclass))");
}

sub rate
{
	my ($set, $system, $view, $k, $ef, $clients, %setting) = @_;
	local %ENV = (%ENV, environment(database($set, $system), 'hnsw.ef_search' => $ef, %setting));

	my ($rate, $missing) = split / /,
	  run(600 + $SECONDS, "$PROGRAMS/client", $view, $SET{$set}{operator}, $k, $clients, $SECONDS, set_file($set, 'query'));
	progress(sprintf '  %s at ef %d on %s: %.2f %% of the rows asked for did not come', $system, $ef, $set, 100 * $missing) if $missing > 0;
	return ($rate + 0, $missing + 0);
}

# Rates of one and of two clients at each ef, one system after the other, again
# and again, so that what disturbs the machine disturbs all.  Libraries, which have
# no server, run beside the view from inside.
sub run_speed
{
	my ($set, $view) = @_;
	my %recall = %{ run_recall($set) };
	my %row = (seconds => $SECONDS, rounds => $ROUNDS);

	for my $ef (@EF)
	{
		my (%rates, %missing);
		for my $round (1 .. $ROUNDS)
		{
			for my $clients (1, 2)
			{
				for my $system (@SYSTEMS)
				{
					my ($rate, $missing) = rate($set, $system, $view, 10, $ef, $clients);
					push @{ $rates{$system}{$clients} }, $rate;
					$missing{$system} = $missing if $missing > ($missing{$system} // 0);
				}
			}
			next unless $view eq 'inside';
			for my $library (@LIBRARIES)
			{
				my ($recall, $rate) = library_rate($set, $library, 10, $ef);
				push @{ $rates{$library}{1} }, $rate;
				$recall{$library}{$ef} = $recall;
			}
		}
		for my $system (keys %rates)
		{
			my $point = { ef => $ef + 0, recall => $recall{$system}{$ef} };
			$point->{missing} = $missing{$system} if $missing{$system};
			for my $clients (keys %{ $rates{$system} })
			{
				$point->{"rate$clients"} = median(@{ $rates{$system}{$clients} });
				$point->{"rates$clients"} = $rates{$system}{$clients};
			}
			push @{ $row{$system} }, $point;
		}
		progress(sprintf '%-9s %-7s ef %-4d %s', $set, $view, $ef,
			join '   ', map { my $p = $row{$_}[-1]; sprintf '%s %.4f %d/s%s', $_, $p->{recall}, $p->{rate1}, $p->{rate2} ? sprintf(' (two: %d/s)', $p->{rate2}) : '' }
			  grep { $row{$_} } @SYSTEMS, @LIBRARIES);
	}
	return \%row;
}

# ---------------------------------------------------------------------
# Many rows, rows in strict order, rows within a distance
# ---------------------------------------------------------------------

# Exact answers of k rows in a table like query
sub load_answers
{
	my ($set, $system, $k) = @_;
	my $database = database($set, $system);

	return if sql($database, "SELECT to_regclass('query$k') IS NOT NULL") eq 't';
	sql($database, "CREATE TABLE query$k (LIKE query INCLUDING STORAGE)");
	local %ENV = (%ENV, environment($database));
	shell(1800, quote("$PROGRAMS/data") . ' copy ' . set_file($set, 'query') . ' ' . truth_file($set, $k) .
		  " | psql -X -q -c 'COPY query$k FROM STDIN (FORMAT binary)' -c 'ANALYZE query$k'");
}

# The part of vecdb's rows that the executor has to put in order, whose vectors it reads
sub rechecked
{
	my ($set, $k, $ef) = @_;
	local %ENV = (%ENV, environment(database($set, 'vecdb'), 'hnsw.ef_search' => $ef, 'vecdb.log_scan_counters' => 'on'));
	my $out = shell($LIMIT, 'psql -X -q -A -t -v ON_ERROR_STOP=1 -c ' .
		  quote("SELECT count(*) FROM query q CROSS JOIN LATERAL (SELECT id FROM item ORDER BY item.embedding $SET{$set}{operator} q.embedding LIMIT $k) r WHERE q.id < 100") . ' 2>&1');
	my ($returned, $rechecked) = $out =~ /rows returned: ([0-9]+), of them to be put in order: ([0-9]+)/ or die "no counters: $out\n";

	return $rechecked / $returned;
}

# One point of both systems and, where the order is not asked for, of both libraries:
# recall, and the median of the rates of one client, in turn
sub point
{
	my ($set, $k, $ef, $order) = @_;
	my $queries = $k == 10 ? 'query' : "query$k";
	my %rates;
	my %point = map { $_ => { ef => $ef, k => $k, recall => sql(database($set, $_), recall_sql($set, $k, $queries), 'hnsw.ef_search' => $ef, 'hnsw.iterative_scan' => $order) + 0 } } @SYSTEMS;

	for my $round (1 .. $ROUNDS)
	{
		for my $system (@SYSTEMS)
		{
			my ($rate) = rate($set, $system, 'inside', $k, $ef, 1, 'hnsw.iterative_scan' => $order);
			push @{ $rates{$system} }, $rate;
		}
		next if $order ne 'off';
		for my $library (@LIBRARIES)
		{
			my ($recall, $rate) = library_rate($set, $library, $k, $ef);
			$point{$library} //= { ef => $ef, k => $k, recall => $recall };
			push @{ $rates{$library} }, $rate;
		}
	}
	$point{$_}{rate1} = median(@{ $rates{$_} }) for keys %point;
	$point{vecdb}{rechecked} = rechecked($set, $k, $ef) if $order eq 'off';
	progress(sprintf '%-9s wide    k %-3d ef %-4d %-12s %s%s', $set, $k, $ef, $order,
		join('   ', map { sprintf '%s %.4f %.3f ms', $_, $point{$_}{recall}, 1000 / $point{$_}{rate1} } grep { $point{$_} } @SYSTEMS, @LIBRARIES),
		defined $point{vecdb}{rechecked} ? sprintf('   rechecked %.1f %%', 100 * $point{vecdb}{rechecked}) : '');
	return \%point;
}

sub run_wide
{
	my ($set) = @_;
	my %row = (seconds => $SECONDS, rounds => $ROUNDS);

	run_recall($set);
	for my $k (@WIDE)
	{
		make_truth($set, $k);
		load_answers($set, $_, $k) for @SYSTEMS;
	}
	for my $at (map { my $k = $_; map { [ $k, $_ ] } @{ $WIDE{$k} } } @WIDE)
	{
		my $point = point($set, @$at, 'off');
		push @{ $row{off}{ $at->[0] }{$_} }, $point->{$_} for keys %$point;
	}
	for my $at (@STRICT)
	{
		for my $order ('off', 'strict_order')
		{
			my $point = point($set, @$at, $order);
			push @{ $row{strict}{$order}{$_} }, $point->{$_} for @SYSTEMS;
		}
	}
	return \%row;
}

# Rows nearer than a radius, which a hundredth of them is, or none.
my $RANGE_QUERIES = 40;

sub load_radius
{
	my ($set, $system) = @_;
	my $database = database($set, $system);
	my $distance = "item.embedding $SET{$set}{operator} q.embedding";

	return if sql($database, "SELECT to_regclass('radius') IS NOT NULL") eq 't';
	progress("distances of all rows from $RANGE_QUERIES queries of $set, $system");
	sql($database, "
		CREATE TABLE radius AS SELECT q.id, q.embedding, r.d[n.n / 100] AS hundredth, r.d[1] * 0.5 AS nobody, n.n / 100 - 1 AS inside
		FROM (SELECT count(*) AS n FROM item) n, query q CROSS JOIN LATERAL
			(SELECT array_agg(d) AS d FROM (SELECT $distance AS d FROM item ORDER BY 1 LIMIT (SELECT count(*) / 100 FROM item)) s) r
		WHERE q.id < $RANGE_QUERIES",
		enable_indexscan => 'off', enable_seqscan => 'on', enable_sort => 'on');
}

# Milliseconds of a query and the part of the rows inside that came
sub range_point
{
	my ($set, $system, $radius) = @_;
	my $clock = 'SELECT extract(epoch FROM clock_timestamp())';
	my $distance = "item.embedding $SET{$set}{operator} q.embedding";
	my $ask = "SELECT count(*) FROM radius q CROSS JOIN LATERAL (SELECT id FROM item WHERE $distance < q.$radius ORDER BY $distance) r";
	my ($plan) = sql(database($set, $system), "EXPLAIN $ask");

	die "$system does not use its index on $set:\n$plan\n" unless $plan =~ /Index Scan using item_hnsw/;
	my ($began, $found, $ended) = (split /\n/, script(database($set, $system), join ";\n",
		"SET hnsw.iterative_scan = strict_order", 'SET hnsw.ef_search = 100', $ask, $clock, $ask, $clock, ''))[ -3 .. -1 ];
	my $inside = $radius eq 'nobody' ? 0 : sql(database($set, $system), 'SELECT sum(inside) FROM radius');
	return { ms => ($ended - $began) * 1000 / $RANGE_QUERIES, found => $inside ? $found / $inside : 1 };
}

sub run_range
{
	my ($set) = @_;
	my %row;

	for my $system (@SYSTEMS)
	{
		need_index($set, $system);
		load_radius($set, $system);
		warm($set, $system);
	}
	for my $radius ('hundredth', 'nobody')
	{
		my %ms;
		for my $round (1 .. $ROUNDS)
		{
			for my $system (@SYSTEMS)
			{
				my $point = range_point($set, $system, $radius);
				push @{ $ms{$system} }, $point->{ms};
				$row{$radius}{$system} = $point;
			}
		}
		$row{$radius}{$_}{ms} = median(@{ $ms{$_} }) for @SYSTEMS;
		progress(sprintf '%-9s range   %-10s %s', $set, $radius, join '   ', map { sprintf '%s %.2f ms, %.4f of the rows', $_, @{ $row{$radius}{$_} }{qw(ms found)} } @SYSTEMS);
	}
	return \%row;
}

# ---------------------------------------------------------------------
# Size, and blocks read
# ---------------------------------------------------------------------

sub run_size
{
	my ($set) = @_;
	my %row;

	for my $system (@SYSTEMS)
	{
		need_index($set, $system);
		my ($index, $table) = split /\|/, sql(database($set, $system), "SELECT pg_relation_size('item_hnsw'), pg_table_size('item')");
		$row{$system} = { bytes => $index + 0, table => $table + 0 };
	}
	for my $bits (@{ $SET{$set}{code_bits} // [] })
	{
		$row{"bits$bits"} = build($set, 'vecdb', '1GB', 0, ", code_bits = $bits");
	}
	return \%row;
}

# Blocks that queries read into a server whose buffers hold a tenth of the data
# and are empty at first.
sub run_cold
{
	my ($set) = @_;
	my %recall = %{ run_recall($set) };
	my $bytes = sql(database($set, 'pgvector'), "SELECT pg_total_relation_size('item')");
	my $buffers = int($bytes / 10 / 1048576) . 'MB';
	my %row = (buffers => $buffers, queries => $COLD_QUERIES + 0);

	for my $ef (@EF)
	{
		for my $system (@SYSTEMS)
		{
			my $database = database($set, $system);
			sql($database, 'SELECT pg_stat_reset()');
			restart($buffers);
			my $plan = decode_json(sql($database,
				"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) SELECT count(*) FROM query q CROSS JOIN LATERAL " .
				  "(SELECT id FROM item ORDER BY item.embedding $SET{$set}{operator} q.embedding LIMIT 10) r WHERE q.id < $COLD_QUERIES",
				'hnsw.ef_search' => $ef))->[0];
			my $index = sql($database, "SELECT idx_blks_read FROM pg_statio_user_indexes WHERE indexrelname = 'item_hnsw'");
			push @{ $row{$system} }, {
				ef => $ef + 0, recall => $recall{$system}{$ef},
				read => $plan->{Plan}{'Shared Read Blocks'} / $COLD_QUERIES,
				index_read => $index / $COLD_QUERIES,
				visited => ($plan->{Plan}{'Shared Read Blocks'} + $plan->{Plan}{'Shared Hit Blocks'}) / $COLD_QUERIES,
				ms => $plan->{'Execution Time'} / $COLD_QUERIES };
		}
		progress(sprintf '%-9s cold    ef %-4d %s', $set, $ef,
			join '   ', map { my $p = $row{$_}[-1]; sprintf '%s %.4f %.0f blocks read of %.0f visited', $_, $p->{recall}, $p->{read}, $p->{visited} } @SYSTEMS);
	}
	return \%row;
}

# ---------------------------------------------------------------------
# Results
# ---------------------------------------------------------------------

my $RESULTS = {};
my $COMMIT;

sub result { return $RESULTS->{sets}{ $_[0] } //= {} }

sub note_version
{
	my ($database, $system) = @_;

	$RESULTS->{versions}{$system} = sql($database, "SELECT extversion FROM pg_extension WHERE extname = '$SYSTEM{$system}'");
}

sub keep
{
	my ($set, $row, $figures) = @_;

	result($set)->{rows}{$row} = { %$figures, commit => $COMMIT, at => strftime('%Y-%m-%d %H:%M', localtime) };
	save();
}

sub save
{
	write_file("$DIR/results.json", JSON::PP->new->canonical->pretty->encode($RESULTS));
}

$COMMIT = commit();
$RESULTS = eval { decode_json(slurp("$DIR/results.json")) } // {};
die "$DIR/results.json is not of this benchmark: remove it\n" unless ref $RESULTS eq 'HASH';

progress("sets @WANT_SETS; rows @WANT_ROWS; $SECONDS s a point, $ROUNDS rounds; m $M, ef_construction $EF_CONSTRUCTION, seed $SEED");
for (grep { $SET{$_} } @WANT_SETS) { make_set($_); make_truth($_, 10) }
server(warm_buffers());
$RESULTS->{machine} = machine();
$RESULTS->{server} = sql('postgres', 'SHOW server_version');
$RESULTS->{options} = { m => $M + 0, ef_construction => $EF_CONSTRUCTION + 0, seed => $SEED, queries => $QUERIES };
progress($RESULTS->{machine});

for my $set (grep { $SET{$_} } @WANT_SETS)
{
	for my $system (@SYSTEMS)
	{
		server(warm_buffers());
		load($set, $system);
		note_version(database($set, $system), $system);
	}
	for my $row (@WANT_ROWS)
	{
		server(warm_buffers());
		keep($set, $row, $RUN{$row}->($set));
	}
}
keep('distributions', 'recall', run_distributions()) if grep({ $_ eq 'distributions' } @WANT_SETS) && grep({ $_ eq 'recall' } @WANT_ROWS);
run(60, 'perl', "$ROOT/test/bench/report.pl", $DIR);
print slurp_text("$DIR/results.md");
progress("results: .vecdb/bench/results.json, results.md, and a curve for each set");

sub slurp_text
{
	my ($path) = @_;

	open my $fh, '<', $path or die "could not read $path: $!\n";
	local $/;
	return scalar <$fh>;
}
