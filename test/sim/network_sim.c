/*
 * network_sim.c
 *	  Does the network find what is in it?  Table sizes, hops, messages, the
 *	  nearest node and the holders of collections: at rest, with dead nodes, with
 *	  liars, after a partition, under churn.
 *
 *	network_sim [--nodes=N] [--seed=S] [--parts=replay,ideal,rest,dead,liars,partition,churn]
 *				[--form=join|fill] [--churn-minutes=N] [--long]
 *
 * A table of what was seen beside what was expected of ideal tables, and
 * assertions about it as TAP.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "tap.h"
#include "world.h"

#define LOOKUPS 600				/* for nodes, in one measurement */
#define COLLECTIONS 20
#define HOLDERS 3
#define LIES_PER_NODE 4			/* nodes that liars have invented, for each real one */
#define PROVIDER_LOOKUPS 300

/* What ideal tables give with k = 20 and alpha = 3 (the design's figures). */
typedef struct Expected
{
	int			nodes;
	double		table;
	double		hops;
	double		requests;
} Expected;

static const Expected expected[] = {
	{1000, 131, 2.0, 22},
	{10000, 198, 2.4, 23},
	{100000, 264, 2.9, 25},
};

#define DEAD_30_REQUESTS 33
#define DEAD_30_ROUNDS 12
#define DEAD_30_SHARE 0.93

typedef struct Seen
{
	int			begun;
	int			ended;
	double		hops;			/* of the nearest that answered */
	double		heard;			/* referrals until it was heard of first */
	double		requests;
	double		ms;
	double		timeouts;
	double		nearest;		/* lookups that found the nearest node */
	double		share;			/* found of the 20 nearest, liars apart */
	int			p_begun;
	int			p_ended;
	int			p_any;			/* lookups that found a holder */
	double		p_share;		/* of the holders that were found */
} Seen;

typedef struct Collection
{
	KadId		key;
	int			holder[HOLDERS];
} Collection;

static World *world;
static Seen seen;
static Collection collections[COLLECTIONS];
static int	nodes = 1000;
static const Expected *ideal;

static const Expected *
find_expected(void)
{
	for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
		if (expected[i].nodes == nodes)
			return &expected[i];
	return NULL;
}

static int
random_up(void)
{
	int			i;

	do
		i = (int) world_below(world, (uint64_t) world->n);
	while (!world->node[i].up || world->node[i].liar || !world->node[i].joined);
	return i;
}

/* ---- measuring ---- */

/* Along the chain by which the nearest was heard of first; 0: it was in the own table. */
static int
heard_after(const KadLookup *lookup)
{
	for (int i = 0; i < lookup->n; i++)
		if (lookup->candidate[lookup->order[i]].state == KAD_ANSWERED)
			return lookup->candidate[lookup->order[i]].first_hops - 1;
	return 0;
}

static void
count_nodes(const WorldLookup *result)
{
	NodeRecord *found[KAD_K];
	int			truth[KAD_K + 1];
	int			n_truth = 0;
	int			hops = 0;
	int			n = kad_lookup_result(result->lookup, found, KAD_K, &hops);
	int			all = world_closest(world, &result->lookup->target, KAD_K + 1, truth);
	int			right = 0;

	/* who looks does not find itself, and is not to find liars */
	for (int i = 0, rank = 0; i < all && rank < KAD_K; i++)
	{
		if (truth[i] == result->node)
			continue;
		rank++;
		if (!world->node[truth[i]].liar)
			truth[n_truth++] = truth[i];
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n_truth; j++)
			right += world->node[truth[j]].record == found[i];
	seen.ended++;
	seen.hops += hops;
	seen.heard += heard_after(result->lookup);
	seen.requests += result->lookup->requests;
	seen.timeouts += result->lookup->failures;
	seen.ms += (double) (result->ended_ms - result->began_ms);
	seen.share += n_truth == 0 ? 1 : (double) right / n_truth;
	for (int i = 0; i < n; i++)
		if (n_truth > 0 && found[i] == world->node[truth[0]].record)
			seen.nearest++;
}

static void
count_providers(const WorldLookup *result)
{
	int			up = 0;
	int			found = 0;

	for (int c = 0; c < COLLECTIONS; c++)
	{
		if (!kad_id_equal(&collections[c].key, &result->lookup->target))
			continue;
		for (int h = 0; h < HOLDERS; h++)
		{
			const WorldNode *holder = &world->node[collections[c].holder[h]];

			if (!holder->up)
				continue;
			up++;
			for (int i = 0; i < result->lookup->n_providers; i++)
				found += kad_id_equal(&result->lookup->provider[i]->record->id, &holder->record->id);
		}
	}
	seen.p_ended++;
	seen.p_any += up == 0 || found > 0;
	seen.p_share += up == 0 ? 1 : (double) found / up;
}

static void
lookup_done(void *context, const WorldLookup *result)
{
	if (result->lookup->for_providers)
		count_providers(result);
	else
		count_nodes(result);
}

static bool
all_ended(void *context)
{
	return seen.ended == seen.begun && seen.p_ended == seen.p_begun;
}

static void
table_sizes(double *average, int *least)
{
	double		sum = 0;
	int			n = 0;

	*least = INT32_MAX;
	for (int i = 0; i < world->n; i++)
		if (world->node[i].up && world->node[i].joined)
		{
			int			size = kad_node_table(world->node[i].node)->n;

			sum += size;
			n++;
			if (size < *least)
				*least = size;
		}
	*average = n == 0 ? 0 : sum / n;
}

static void
print_head(void)
{
	if (ideal != NULL)
		diag("expected of ideal tables: table %.0f, hops %.1f, requests %.0f; 30 %% dead at 10,000: requests %d, rounds %d, found %.0f %%",
			 ideal->table, ideal->hops, ideal->requests, DEAD_30_REQUESTS, DEAD_30_ROUNDS, 100 * DEAD_30_SHARE);
	diag("%-22s %8s %6s %6s %8s %7s %7s %7s %8s %8s %8s %8s", "", "table", "hops", "heard", "requests", "unansw.",
		 "rounds", "ms", "nearest%", "of 20 %", "holder%", "holders%");
}

/* Churn goes on while we measure: done by the caller, a second at a time. */
static void
measure(const char *name, void (*each_second) (void))
{
	double		table;
	int			least;

	seen = (Seen) {0};
	world_sort(world);
	for (int i = 0; i < LOOKUPS || i < PROVIDER_LOOKUPS; i++)
	{
		KadId		target = world_random_id(world);

		if (i < LOOKUPS && world_lookup(world, random_up(), &target, false))
			seen.begun++;
		if (i < PROVIDER_LOOKUPS &&
			world_lookup(world, random_up(), &collections[i % COLLECTIONS].key, true))
			seen.p_begun++;
		world_run(world, 10);
		if (each_second != NULL && i % 100 == 99)
		{
			each_second();
			world_sort(world);
		}
	}
	/* a node that dies while it looks never tells */
	world_run_until(world, 60000, all_ended, NULL);
	table_sizes(&table, &least);
	diag("%-22s %8.1f %6.2f %6.2f %8.1f %7.1f %7.1f %7.0f %8.1f %8.1f %8.1f %8.1f", name, table,
		 seen.hops / seen.ended, seen.heard / seen.ended, seen.requests / seen.ended, seen.timeouts / seen.ended,
		 seen.requests / seen.ended / KAD_ALPHA, seen.ms / seen.ended,
		 100 * seen.nearest / seen.ended, 100 * seen.share / seen.ended,
		 100.0 * seen.p_any / seen.p_ended, 100 * seen.p_share / seen.p_ended);
}

/* Assertions about the last measurement. */
static void
check(const char *name, double nearest, double share, double any, double ended)
{
	ok(seen.ended >= ended * seen.begun && seen.begun == LOOKUPS, "%s: lookups come to an end (%d of %d)",
	   name, seen.ended, seen.begun);
	ok(seen.p_ended >= ended * seen.p_begun && seen.p_begun == PROVIDER_LOOKUPS,
	   "%s: lookups of holders come to an end (%d of %d)", name, seen.p_ended, seen.p_begun);
	ok(seen.nearest >= nearest * seen.ended, "%s: the nearest node is found in %.1f %%, at least %.1f %%",
	   name, 100 * seen.nearest / seen.ended, 100 * nearest);
	ok(seen.share >= share * seen.ended, "%s: %.1f %% of the 20 nearest are found, at least %.1f %%",
	   name, 100 * seen.share / seen.ended, 100 * share);
	ok(seen.p_any >= any * seen.p_ended, "%s: a holder is found in %.1f %%, at least %.1f %%",
	   name, 100.0 * seen.p_any / seen.p_ended, 100 * any);
}

static void
at_most(const char *name, const char *what, double value, double most)
{
	ok(value <= most, "%s: %s %.2f, at most %.2f", name, what, value, most);
}

/* ---- the parts ---- */

/*
 * By the protocol alone: every node meets one that is there.  A tenth as many
 * as there are, and at most 500, come every second.
 */
static void
form_by_joining(int count)
{
	while (count > 0)
	{
		int			batch = world->n_up / 10 + 1;

		for (int i = 0; i < batch && i < 500 && count > 0; i++, count--)
		{
			int			newcomer = world_add(world);
			int			other;

			if (world->n == 1)
				continue;
			do
				other = (int) world_below(world, (uint64_t) world->n);
			while (!world->node[other].up || other == newcomer);
			world_meet(world, newcomer, other);
		}
		world_run(world, 1000);
	}
}

/* With ideal tables: what would take the time of so many joins to simulate. */
static void
form_by_filling(int count)
{
	int			first = world->n;

	for (int i = 0; i < count; i++)
		world_add(world);
	world_sort(world);
	for (int i = first; i < world->n; i++)
	{
		world_fill_table(world, i);
		/* one answer makes it a member of the network */
		world_meet(world, i, (i + 1) % world->n);
	}
}

static int
count_not_joined(void)
{
	int			n = 0;

	for (int i = 0; i < world->n; i++)
		n += world->node[i].up && !world->node[i].joined;
	return n;
}

static void
hold_collections(void)
{
	for (int c = 0; c < COLLECTIONS; c++)
	{
		collections[c].key = world_random_id(world);
		for (int h = 0; h < HOLDERS; h++)
		{
			collections[c].holder[h] = random_up();
			world_hold(world, collections[c].holder[h], &collections[c].key);
		}
	}
}

static bool
is_holder(int node)
{
	for (int c = 0; c < COLLECTIONS; c++)
		for (int h = 0; h < HOLDERS; h++)
			if (collections[c].holder[h] == node)
				return true;
	return false;
}

/* Of the last measurement, where nobody is dead and nobody lies. */
static void
check_ideal(const char *name)
{
	double		table;
	int			least;

	check(name, 0.995, 0.99, 1.0, 1.0);
	if (ideal == NULL)
		return;
	table_sizes(&table, &least);
	ok(table >= 0.95 * ideal->table && table <= 1.05 * ideal->table,
	   "%s: tables hold %.1f nodes, within a twentieth of %.0f", name, table, ideal->table);
	at_most(name, "hops to the nearest", seen.hops / seen.ended, ideal->hops * 1.1);
	at_most(name, "requests a lookup", seen.requests / seen.ended, ideal->requests * 1.1);
}

static void
at_rest(void)
{
	measure("at rest", NULL);
	check_ideal("at rest");
}

/* A share of the nodes stops at once, and nobody has had time to notice. */
static void
with_dead(double share)
{
	char		name[32];
	int			before = world->n;
	bool	   *killed = calloc((size_t) before, sizeof *killed);

	snprintf(name, sizeof name, "%.0f %% dead", 100 * share);
	for (int i = 0; i < before; i++)
		if (world->node[i].up && (double) world_below(world, 1000000) < share * 1e6)
		{
			killed[i] = true;
			world_down(world, i, false);
		}
	measure(name, NULL);
	check(name, share < 0.2 ? 0.99 : 0.98, DEAD_30_SHARE, 0.99, 1.0);
	if (share > 0.2)
	{
		at_most(name, "requests a lookup", seen.requests / seen.ended, DEAD_30_REQUESTS * 1.15);
		at_most(name, "request rounds (requests by alpha)", seen.requests / seen.ended / KAD_ALPHA, DEAD_30_ROUNDS * 1.15);
	}
	for (int i = 0; i < before; i++)
		if (killed[i])
			world_up(world, i);
	free(killed);
}

/* A share of the nodes begins to lie, with many invented nodes. */
static void
with_liars(double share, int64_t settle_ms)
{
	char		name[32];

	snprintf(name, sizeof name, "%.0f %% liars", 100 * share);
	world_make_liars(world, share, LIES_PER_NODE * world->n_up);
	world_run(world, settle_ms);
	measure(name, NULL);
	check(name, share < 0.15 ? 0.98 : share < 0.25 ? 0.95 : 0.90, share < 0.25 ? 0.90 : 0.80, 0.97, 1.0);
	at_most(name, "requests a lookup", seen.requests / seen.ended, KAD_REQUESTS / 2);
	world_make_liars(world, 0, 0);
}

static void
after_partition(int64_t apart_ms, int64_t settle_ms)
{
	for (int i = 0; i < world->n; i++)
		world->node[i].side = (uint8_t) world_below(world, 2);
	world_run(world, apart_ms);
	for (int i = 0; i < world->n; i++)
		world->node[i].side = 0;
	measure("partition just healed", NULL);
	world_run(world, settle_ms);
	measure("partition healed", NULL);
	check("partition healed", 0.99, 0.98, 1.0, 1.0);
}

/* A second of churn: so many die that half of the nodes are gone in one refresh, and as many come. */
static double churn_owed;

static void
churn_second(void)
{
	churn_owed += world->n_up * (1 - exp(-log(2) * 1000.0 / KAD_REFRESH_MS));
	for (; churn_owed >= 1; churn_owed--)
	{
		int			victim;
		int			newcomer;

		do
			victim = random_up();
		while (is_holder(victim));
		world_down(world, victim, true);
		newcomer = world_add(world);
		world_meet(world, newcomer, random_up());
	}
}

static void
under_churn(int minutes)
{
	for (int i = 0; i < 60 * minutes; i++)
	{
		churn_second();
		world_run(world, 1000);
	}
	measure("churn", churn_second);
	check("churn", 0.95, 0.85, 0.97, 0.97);
}

/* Tables as chance would have them, before the nodes have changed them: what the design expects. */
static void
with_ideal_tables(uint64_t seed)
{
	world = world_new(seed, false, 64, nodes);
	world->done = lookup_done;
	form_by_filling(nodes);
	world_run(world, 10000);
	hold_collections();
	world_run(world, 10000);
	print_head();
	measure("ideal tables", NULL);
	check_ideal("ideal tables");
	world_destroy(&world);
}

/* A small network that joins, loses nodes, is searched: the digest of all that happens in it. */
static uint64_t
digest_of_run(uint64_t seed, uint64_t *messages)
{
	uint64_t	digest;

	world = world_new(seed, true, 8, 400);
	world->done = lookup_done;
	form_by_joining(150);
	world_run(world, 30000);
	hold_collections();
	for (int i = 0; i < 60; i++)
	{
		KadId		target = world_random_id(world);

		world_lookup(world, random_up(), &target, false);
		world_down(world, random_up(), i % 2 == 0);
		world_meet(world, world_add(world), random_up());
		world_run(world, 1000);
	}
	world_make_liars(world, 0.2, 600);
	for (int i = 0; i < 60; i++)
	{
		world_lookup(world, random_up(), &collections[i % COLLECTIONS].key, true);
		world_run(world, 1000);
	}
	digest = world->digest;
	*messages = world->messages;
	world_destroy(&world);
	return digest;
}

static void
replay(uint64_t seed)
{
	uint64_t	messages[3];
	uint64_t	first = digest_of_run(seed, &messages[0]);
	uint64_t	second = digest_of_run(seed, &messages[1]);
	uint64_t	other = digest_of_run(seed + 1, &messages[2]);

	ok(first == second && messages[0] == messages[1],
	   "one seed gives one run: %" PRIu64 " and %" PRIu64 " messages, digests %016" PRIx64 " and %016" PRIx64,
	   messages[0], messages[1], first, second);
	ok(first != other, "another seed gives another: %" PRIu64 " messages, digest %016" PRIx64, messages[2], other);
}

static bool
wants(const char *parts, const char *part)
{
	const char *at = parts == NULL ? NULL : strstr(parts, part);

	return parts == NULL || (at != NULL && (at == parts || at[-1] == ','));
}

static const char *
option(const char *arg, const char *name)
{
	size_t		len = strlen(name);

	return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

/* What the command line asks for, and how long each part takes for so many nodes. */
typedef struct Options
{
	uint64_t	seed;
	const char *parts;			/* NULL: all */
	int			form;			/* 1: tables are filled, 0: all join, -1: as their number suits */
	int			churn_minutes;
	bool		whole;			/* parts are long however many nodes there are */
	bool		large;
	int64_t		settle_ms;
	int64_t		idle_ms;
	int64_t		apart_ms;
	int64_t		heal_ms;
} Options;

static bool
read_options(int argc, char **argv, Options *self)
{
	const char *value;

	*self = (Options) {.form = -1, .churn_minutes = -1};
	self->seed = getenv("TEST_SEED") ? strtoull(getenv("TEST_SEED"), NULL, 0) : 1;
	for (int i = 1; i < argc; i++)
	{
		if ((value = option(argv[i], "--nodes")) != NULL)
			nodes = atoi(value);
		else if ((value = option(argv[i], "--seed")) != NULL)
			self->seed = strtoull(value, NULL, 0);
		else if ((value = option(argv[i], "--parts")) != NULL)
			self->parts = value;
		else if ((value = option(argv[i], "--form")) != NULL)
			self->form = strcmp(value, "fill") == 0;
		else if ((value = option(argv[i], "--churn-minutes")) != NULL)
			self->churn_minutes = atoi(value);
		else if (strcmp(argv[i], "--long") == 0)
			self->whole = true;
		else
		{
			fprintf(stderr, "unknown option %s\n", argv[i]);
			return false;
		}
	}
	self->large = nodes > 20000;
	/* a minute of 100,000 nodes takes one of CPU, of partition and churn more */
	if (self->churn_minutes < 0)
		self->churn_minutes = self->large && !self->whole ? 4 : 20;
	self->settle_ms = (self->large ? 1 : 3) * WORLD_MINUTE;
	self->idle_ms = (self->large ? 1 : 10) * WORLD_MINUTE;
	self->apart_ms = (self->large && !self->whole ? 4 : 15) * WORLD_MINUTE;
	self->heal_ms = (self->large && !self->whole ? 4 : 11) * WORLD_MINUTE;
	return true;
}

int
main(int argc, char **argv)
{
	Options		options;
	bool		fill;
	int			joiners;
	double		table;
	int			least;
	uint64_t	before;
	int64_t		began;
	struct rusage usage;

	if (!read_options(argc, argv, &options))
		return 2;
	fill = options.form < 0 ? options.large : options.form;
	ideal = find_expected();
	diag("%d nodes, seed %" PRIu64 " (--seed or TEST_SEED sets another)", nodes, options.seed);
	diag("signatures: %s; messages that go through their bytes: %s", nodes <= 1000 ? "Ed25519" : "a cheap hash",
		 nodes <= 1000 ? "one in 8" : "one in 64");
	if (wants(options.parts, "replay"))
		replay(options.seed);
	if (wants(options.parts, "ideal"))
		with_ideal_tables(options.seed);
	if (options.parts != NULL && !wants(options.parts, "rest") && !wants(options.parts, "dead") && !wants(options.parts, "liars") &&
		!wants(options.parts, "partition") && !wants(options.parts, "churn"))
		return tap_done();
	world = world_new(options.seed, nodes <= 1000, nodes <= 1000 ? 8 : 64,
					  nodes * (2 + options.churn_minutes / 8) + 1000);
	world->done = lookup_done;

	joiners = fill ? (nodes > 1000 ? 1000 : nodes) : nodes;
	if (fill)
		form_by_filling(nodes - joiners);
	world_run(world, 10000);
	began = world->now_ms;
	form_by_joining(joiners);
	world_run(world, 20000);
	before = 0;
	for (int i = world->n - joiners; i < world->n; i++)
		before += kad_node_stats(world->node[i].node).requests_sent;
	diag("formed by %s; the last %d joined within %.0f s and sent %.0f requests each",
		 fill ? "ideal tables and joining" : "joining", joiners, (double) (world->now_ms - began) / 1000,
		 (double) before / joiners);
	ok(count_not_joined() == 0, "every node has joined");
	hold_collections();
	/* one refresh from everybody's first lookups on; ideal tables need none */
	world_run(world, options.large ? options.settle_ms : 11 * WORLD_MINUTE);
	before = world->messages;
	world_run(world, options.idle_ms);
	table_sizes(&table, &least);
	diag("idle: %.2f messages a second and node; %.1f kB a node, records apart; %.0f bytes a record",
		 (double) (world->messages - before) / world->n_up / (double) options.idle_ms * 1000,
		 (double) world_node_bytes(world) / world->n_up / 1e3, (double) world_record_bytes(world) / world->n_up);
	print_head();

	if (wants(options.parts, "rest"))
		at_rest();
	if (wants(options.parts, "dead"))
	{
		with_dead(0.1);
		world_run(world, options.settle_ms);
		with_dead(0.3);
		world_run(world, options.settle_ms);
	}
	if (wants(options.parts, "liars"))
		for (int share = 10; share <= 30; share += 10)
			with_liars(share / 100.0, options.settle_ms);
	if (wants(options.parts, "partition"))
		after_partition(options.apart_ms, options.heal_ms);
	if (wants(options.parts, "churn"))
		under_churn(options.churn_minutes);

	ok(world->clones == 0, "no node takes another for its copy");
	ok(world->coded > 0 && world->coded_wrong == 0, "%" PRIu64 " messages came out of their bytes as they went in, %.0f bytes each",
	   world->coded, (double) world->coded_bytes / (double) world->coded);
	getrusage(RUSAGE_SELF, &usage);
	diag("%" PRIu64 " messages (digest %016" PRIx64 "), %.0f s of virtual time, %.1f s of CPU, at most %.1f GB", world->messages,
		 world->digest, (double) world->now_ms / 1000, (double) clock() / CLOCKS_PER_SEC, (double) usage.ru_maxrss / 1e6);
	world_destroy(&world);
	return tap_done();
}
