/*
 * rows_sim.c
 *	  Is a committed write ever lost, and do all copies become equal?  Many short lives of
 *	  a few nodes with copies of one collection, each from a seed of its own.
 *
 *	rows_sim [--seeds=N] [--from=S] [--seconds=T] [--off=RULE] [--profile=NAME]
 *			 [--seed=S [--shrink] [--trace] [--events=N]] [--nodes=N] [--crypto] [--network=real|links]
 *	rows_sim --seed=S --interrupt=KIND --at=STEP [--trace]
 *
 * Without options: the rules hold in so many seeds as fit into the time of a test, and
 * each rule that is taken away is missed within a thousand seeds.  The first seed that
 * violates an invariant is printed; it happens again with --seed, and --shrink leaves
 * out every event that it does not need.
 */
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "rows_world.h"
#include "tap.h"

#define DEFAULT_SECONDS 120
#define RULE_SEEDS 1000			/* within which the loss must show */
#define LARGE 2
#define STEP_SEEDS 2
#define RULE_BACK 5				/* or so many rows that were deleted come back; with all rules it is none or one */

typedef struct Rule
{
	const char *name;
	RowRule		rule;
} Rule;

static const Rule rules[] = {
	{"CLOSED_BATCH", ROW_RULE_CLOSED_BATCH},
	{"PRESENT_WINS", ROW_RULE_PRESENT_WINS},
	{"SAME_MEMBERS", ROW_RULE_SAME_MEMBERS},
	{"STALE_WAITS", ROW_RULE_STALE_WAITS},
	{"ROW_IS_THERE", ROW_RULE_ROW_IS_THERE},
	{"LEAST_SOURCE", ROW_RULE_LEAST_SOURCE},
	{"FLOOR", ROW_RULE_FLOOR},
	{"VECTOR_HASH", ROW_RULE_VECTOR_HASH},
	{"ADOPT", ROW_RULE_ADOPT},
	{"ACK_AFTER_BATCH", ROW_RULE_ACK_AFTER_BATCH},
	{"RENEWED", ROW_RULE_RENEWED},
	{"INCARNATION", ROW_RULE_INCARNATION},
	{"OPEN_TICKETS", ROW_RULE_OPEN_TICKETS},
	{"LIVE_FROM_TABLE", ROW_RULE_LIVE_FROM_TABLE},
	{"FLUSH", ROW_RULE_FLUSH},
	{"CLOCK_BOUND", ROW_RULE_CLOCK_BOUND},
	{"CLOCK_HEARD", ROW_RULE_CLOCK_HEARD},
	{"CLAIM_WITH_ROWS", ROW_RULE_CLAIM_WITH_ROWS},
};

#define N_RULES ((int) (sizeof rules / sizeof rules[0]))

typedef struct Options
{
	uint64_t	from;
	uint64_t	seeds;
	double		seconds;
	uint32_t	off;
	int			profile;		/* -1: all */
	bool		one;
	uint64_t	seed;
	bool		shrink;
	bool		trace;
	int			events;
} Options;

static World world;
static RowsFigures sum;
static double most_rounds;
static uint64_t most_bytes;
static volatile uint64_t current_seed;

static void
on_crash(int number)
{
	char		text[80];
	int			n = snprintf(text, sizeof text, "not ok - signal %d at seed %llu\n", number, (unsigned long long) current_seed);

	if (write(1, text, (size_t) n) < 0)
		_exit(3);
	_exit(2);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static bool
run(uint64_t seed, uint32_t off)
{
	bool		good;

	current_seed = seed;
	good = rows_run(&world, seed, off);
	sum.frames += world.figures.frames;
	sum.bytes += world.figures.bytes;
	sum.lost += world.figures.lost;
	sum.happened += world.figures.happened;
	sum.commits += world.figures.commits;
	sum.conflicts += world.figures.conflicts;
	sum.batches += world.figures.batches;
	sum.compared += world.figures.compared;
	sum.collected += world.figures.collected;
	sum.adopted += world.figures.adopted;
	sum.interrupted += world.figures.interrupted;
	sum.looked_at += world.figures.looked_at;
	sum.came_back += world.figures.came_back;
	sum.rounds += world.figures.rounds;
	sum.healing_bytes += world.figures.healing_bytes;
	if (world.figures.rounds > most_rounds)
		most_rounds = world.figures.rounds;
	if (world.figures.healing_bytes > most_bytes)
		most_bytes = world.figures.healing_bytes;
	return good;
}

static uint64_t
seed_of(const Options *options, uint64_t i)
{
	if (options->profile < 0)
		return options->from + i;
	return (options->from + i) * (uint64_t) rows_n_profiles + (uint64_t) options->profile;
}

/* From the end of the faults until all are equal; n seeds. */
static void
tell_healing(uint64_t n)
{
	diag("equal after %.2f rounds of anti-entropy, %.1f at most, and %.0f kB, %.0f at most", sum.rounds / (double) n, most_rounds,
		 (double) sum.healing_bytes / 1000 / (double) n, (double) most_bytes / 1000);
}

/* Until a seed fails; how many were run. */
static uint64_t
run_many(const Options *options, bool *failed)
{
	double		until = now() + options->seconds;
	uint64_t	i;

	*failed = false;
	for (i = 0; i < options->seeds && (options->seconds <= 0 || now() < until); i++)
		if (!run(seed_of(options, i), options->off))
		{
			*failed = true;
			return i + 1;
		}
	return i;
}

/* ---- one seed ---- */

static char	kind[4];			/* how it failed first: "I2:" */

static bool
fails(uint64_t seed, uint32_t off, int events)
{
	world.limit = events;
	if (run(seed, off))
		return false;
	if (kind[0] == '\0')
		memcpy(kind, world.message, 3);
	return strncmp(kind, world.message, 3) == 0;
}

/* The shortest prefix of events that fails, without those it does not need. */
static int
shrink(uint64_t seed, uint32_t off)
{
	int			events = 0;
	int			needed = 0;

	(void) fails(seed, off, 0);
	diag("seed %" PRIu64 ": %s", seed, world.message);
	for (int i = 1; i <= ROWS_EVENTS && events == 0; i++)
		if (fails(seed, off, i))
			events = i;
	for (int i = 0; i < events; i++)
	{
		world.skip[i] = true;
		if (!fails(seed, off, events))
			world.skip[i] = false;
		needed += !world.skip[i];
	}
	diag("%d events, of which %d are needed", events, needed);
	return events;
}

static int
one_seed(const Options *options)
{
	int			events = options->events;
	bool		good;

	world.limit = events;
	if (options->shrink)
	{
		if (!fails(options->seed, options->off, events))
		{
			diag("seed %" PRIu64 " does not fail", options->seed);
			return 1;
		}
		events = shrink(options->seed, options->off);
	}
	world.trace = options->trace;
	world.limit = events;
	good = run(options->seed, options->off);
	ok(good, "seed %" PRIu64 ", profile %s", options->seed, world.profile->name);
	if (world.failed)
		diag("%s", world.message);
	diag("digest %016" PRIx64, world.digest);
	tell_healing(1);
	return tap_done();
}

/* ---- all of it ---- */

static void
store_alone(void)
{
	Store	   *store;
	StoreRow	row = {.present = true, .entry = {.version = {0, {0}}, .live = true, .stamp = {1, 1}}, .table = {true, 1, 1}};
	RowScan		scan;

	memset(&world, 0, sizeof world);
	check_reset(&world);
	store = store_new(&world, 0, 4, 0, 0);
	for (int i = 1; i <= 3; i++)
	{
		row.table.meta = (uint64_t) i;
		store_hashes(&row.table, row.entry.hash, row.entry.vector_hash);
		store_begin_commit(store);
		store_put(store, 2, &row);
		store_end_commit(store, i == 1);
		if (i == 2)
		{
			scan.commit = store->commit;
			store->scan[store->n_scans++] = &scan;
		}
	}
	ok(store_head(store, 2)->table.meta == 3, "a store shows the last commit");
	ok(store_at(store, 2, scan.commit)->table.meta == 2, "a snapshot shows what was committed when it was taken");
	store->n_scans = 0;
	store_crash(store, 1);
	ok(store_head(store, 2)->table.meta == 2 && store->commit == store->durable, "a crash takes the last commits that were not flushed");
	store_crash(store, 5);
	ok(store_head(store, 2)->table.meta == 2, "and what was on disk stays");
	store_destroy(&store);
	ok(!world.failed, "the store alone violates nothing");
}

static void
replay(const RowsNetwork *network, const char *name)
{
	bool		same = true;

	world.wanted_network = network;
	for (uint64_t seed = 1; seed <= (uint64_t) rows_n_profiles && same; seed++)
	{
		uint64_t	digest;

		(void) run(seed, 0);
		digest = world.digest;
		(void) run(seed, 0);
		same = digest == world.digest && digest != 0;
	}
	world.wanted_network = NULL;
	ok(same, "from one seed the same events follow, %s", name);
}

static void
without_rules(void)
{
	for (int i = 0; i < N_RULES; i++)
	{
		Options		options = {.from = 1, .seeds = RULE_SEEDS, .off = rules[i].rule, .profile = -1};
		bool		failed;
		uint64_t	n;

		sum.came_back = 0;
		n = run_many(&options, &failed);
		ok(failed || sum.came_back >= RULE_BACK, "without %s something is lost within %d seeds", rules[i].name, RULE_SEEDS);
		if (failed)
			diag("%s: seed %" PRIu64 ", %s: %s", rules[i].name, n, world.profile->name, world.message);
		else
			diag("%s: %" PRIu64 " rows that were deleted came back", rules[i].name, sum.came_back);
	}
}

/* Until a step at which an interruption loses something; how many there were. */
static int
at_every_step(uint64_t seeds, bool *failed)
{
	int			n = 0;

	*failed = false;
	for (uint64_t seed = 1; seed <= seeds; seed++)
		for (Interrupt how = INTERRUPT_BREAK; how < INTERRUPTS; how++)
			for (int at = 1;; at++, n++)
			{
				world.steps = (RowsSteps) {.kind = how, .at = at};
				if (!run(seed, 0))
				{
					*failed = true;
					return n;
				}
				if (world.steps.n < at)
					break;		/* it had fewer */
			}
	world.steps = (RowsSteps) {.at = 0};
	return n;
}

static void
steps(void)
{
	bool		failed;
	int			n = at_every_step(STEP_SEEDS, &failed);

	ok(!failed, "interrupted at every step, by a link, a crash, a death, an absence, nothing is lost");
	diag("%d interruptions of transactions of two rows", n);
	if (failed)
		diag("--seed=%" PRIu64 " --interrupt=%s --at=%d: %s", world.seed, interrupt_names[world.steps.kind], world.steps.at, world.message);
	world.steps = (RowsSteps) {.at = 0};
}

/* Fifty nodes, once in each of some profiles. */
static void
large(void)
{
	bool		good = true;

	world.wanted_nodes = 50;
	for (uint64_t seed = 0; seed < LARGE && good; seed++)
		good = run(seed * (uint64_t) rows_n_profiles, 0);
	world.wanted_nodes = 0;
	ok(good, "with 50 nodes nothing is lost in %d seeds", LARGE);
	if (!good)
		diag("seed %" PRIu64 ", --nodes=50, %s: %s", world.seed, world.profile->name, world.message);
}

static int
all(const Options *given)
{
	Options		options = *given;
	bool		failed;
	double		began;
	uint64_t	n;

	store_alone();
	replay(&rows_links, "with links of the simulator's");
	replay(&rows_net, "with real nodes");
	without_rules();
	steps();
	large();
	memset(&sum, 0, sizeof sum);
	most_rounds = 0;
	most_bytes = 0;
	began = now();
	n = run_many(&options, &failed);
	ok(!failed, "with all rules nothing is lost, from seed %" PRIu64 " on", options.from);
	if (failed)
		diag("seed %" PRIu64 ", %s: %s", world.seed, world.profile->name, world.message);
	diag("%" PRIu64 " seeds, %.0f a second; %" PRIu64 " events, %" PRIu64 " commits, %" PRIu64 " frames of %" PRIu64 " bytes, %" PRIu64 " lost",
		 n, (double) n / (now() - began), sum.happened, sum.commits, sum.frames, sum.frames ? sum.bytes / sum.frames : 0, sum.lost);
	diag("%" PRIu64 " claims were kept that were looked at beside the sender's snapshot", sum.looked_at);
	diag("%" PRIu64 " batches, %" PRIu64 " interrupted, %" PRIu64 " comparisons, %" PRIu64 " conflicts, %" PRIu64 " tombstones collected, %" PRIu64 " rows adopted, %" PRIu64 " came back",
		 sum.batches, sum.interrupted, sum.compared, sum.conflicts, sum.collected, sum.adopted, sum.came_back);
	tell_healing(n);
	return tap_done();
}

static int
some(const Options *options)
{
	bool		failed;
	double		began = now();
	uint64_t	n = run_many(options, &failed);

	ok(!failed, "%" PRIu64 " seeds from %" PRIu64, n, options->from);
	if (failed)
		diag("seed %" PRIu64 ", %s: %s", world.seed, world.profile->name, world.message);
	diag("%.0f seeds a second, %.1f frames a seed", (double) n / (now() - began), (double) sum.frames / (double) n);
	tell_healing(n);
	return tap_done();
}

static bool
read_option(const char *arg, Options *options, bool *many)
{
	const char *value = strchr(arg, '=');

	value = value == NULL ? "" : value + 1;
	if (strncmp(arg, "--seeds=", 8) == 0)
	{
		options->seeds = strtoull(value, NULL, 0);
		*many = true;
	}
	else if (strncmp(arg, "--from=", 7) == 0)
		options->from = strtoull(value, NULL, 0);
	else if (strncmp(arg, "--seconds=", 10) == 0)
		options->seconds = strtod(value, NULL);
	else if (strncmp(arg, "--nodes=", 8) == 0)
	{
		world.wanted_nodes = atoi(value);
		return world.wanted_nodes >= 2 && world.wanted_nodes <= 50;
	}
	else if (strncmp(arg, "--events=", 9) == 0)
		options->events = atoi(value);
	else if (strncmp(arg, "--seed=", 7) == 0)
	{
		options->seed = strtoull(value, NULL, 0);
		options->one = true;
	}
	else if (strncmp(arg, "--at=", 5) == 0)
		world.steps.at = atoi(value);
	else if (strncmp(arg, "--interrupt=", 12) == 0)
	{
		for (Interrupt how = INTERRUPT_BREAK; how < INTERRUPTS; how++)
			if (strcmp(value, interrupt_names[how]) == 0)
				world.steps.kind = how;
		return world.steps.kind != INTERRUPT_NOTHING;
	}
	else if (strcmp(arg, "--shrink") == 0)
		options->shrink = true;
	else if (strcmp(arg, "--trace") == 0)
		options->trace = true;
	else if (strcmp(arg, "--network=real") == 0)
		world.wanted_network = &rows_net;
	else if (strcmp(arg, "--network=links") == 0)
		world.wanted_network = &rows_links;
	else if (strcmp(arg, "--crypto") == 0)
		world.real_crypto = true;
	else if (strncmp(arg, "--off=", 6) == 0)
	{
		for (int k = 0; k < N_RULES; k++)
			if (strcmp(value, rules[k].name) == 0)
				options->off = rules[k].rule;
		return options->off != 0;
	}
	else if (strncmp(arg, "--profile=", 10) == 0)
	{
		for (int k = 0; k < rows_n_profiles; k++)
			if (strcmp(value, rows_profiles[k].name) == 0)
				options->profile = k;
		return options->profile >= 0;
	}
	else
		return false;
	return true;
}

int
main(int argc, char **argv)
{
	const char *given = getenv("TEST_SEED");
	Options		options = {.from = given != NULL ? strtoull(given, NULL, 0) : 1, .seeds = UINT64_MAX, .profile = -1};
	bool		many = false;
	int			result;

	for (int i = 1; i < argc; i++)
		if (!read_option(argv[i], &options, &many))
		{
			fprintf(stderr, "unknown option %s\n", argv[i]);
			return 2;
		}
	signal(SIGSEGV, on_crash);
	signal(SIGABRT, on_crash);
	/* the replicas' memory is not given back to the system a thousand times a second */
	mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 512 * 1024 * 1024);
	diag("from seed %" PRIu64 " (--from or TEST_SEED sets another)", options.from);
	if (options.one)
		result = one_seed(&options);
	else if (many || options.off != 0)
	{
		if (!many && options.seconds <= 0)
			options.seeds = RULE_SEEDS;
		result = some(&options);
	}
	else
	{
		if (options.seconds <= 0)
			options.seconds = DEFAULT_SECONDS;
		result = all(&options);
	}
	rows_free(&world);
	return result;
}
