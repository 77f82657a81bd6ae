/*
 * pool_test.c
 *	  The pool of a search against one that sorts everything anew at each step.
 */
#include "core/vec/pool.h"

#include <float.h>

#include "fixture.h"

#define MOST_CAPACITY 3016
#define STEPS 400

/* The same by the simplest means: an array in order, each entry moved by hand. */
typedef struct Plain
{
	float		key[MOST_CAPACITY + POOL_BATCH];
	uint64_t	node[MOST_CAPACITY + POOL_BATCH];
	bool		taken[MOST_CAPACITY + POOL_BATCH];
	int			size;
	int			capacity;
	int			nspilled;
	uint64_t	spilled;		/* sum of the nodes that found no room, or lost it */
} Plain;

static Plain plain;

static void
plain_offer(uint64_t node, float key)
{
	int			at = plain.size;

	for (int i = 0; i < plain.size; i++)
	{
		if (plain.node[i] == node && plain.key[i] == key)
			return;
	}
	while (at > 0 && plain.key[at - 1] > key)
	{
		plain.key[at] = plain.key[at - 1];
		plain.node[at] = plain.node[at - 1];
		plain.taken[at] = plain.taken[at - 1];
		at--;
	}
	plain.key[at] = key;
	plain.node[at] = node;
	plain.taken[at] = false;
	plain.size++;
}

static void
plain_cut(void)
{
	while (plain.size > plain.capacity)
	{
		plain.size--;
		if (!plain.taken[plain.size])
		{
			plain.nspilled++;
			plain.spilled += plain.node[plain.size];
		}
	}
}

static bool
plain_take(uint64_t *node, int *at)
{
	for (int i = 0; i < plain.size; i++)
	{
		if (!plain.taken[i])
		{
			plain.taken[i] = true;
			*node = plain.node[i];
			*at = i;
			return true;
		}
	}
	return false;
}

static void
plain_remove(int at)
{
	plain.size--;
	for (int i = at; i < plain.size; i++)
	{
		plain.key[i] = plain.key[i + 1];
		plain.node[i] = plain.node[i + 1];
		plain.taken[i] = plain.taken[i + 1];
	}
}

static bool
same_entries(const Pool *pool)
{
	if (pool->size != plain.size)
		return false;
	for (int i = 0; i < pool->size; i++)
	{
		uint64_t	entry = pool->entry[i];

		if (pool_key(entry) != plain.key[i] || pool->node[pool_slot(entry)] != plain.node[i] ||
			(bool) (entry & POOL_TAKEN) != plain.taken[i] || (i < pool->next && !plain.taken[i]))
			return false;
	}
	return true;
}

/* keys are one of so many values: few of them make many equal ones */
static void
test_against_plain(int capacity, int values)
{
	void	   *memory = malloc(pool_bytes(capacity));
	Pool		pool;
	bool		entries = true;
	bool		taken = true;
	bool		limits = true;
	bool		spilled = true;

	pool_init(&pool, capacity, memory);
	memset(&plain, 0, sizeof plain);
	plain.capacity = capacity;
	for (int step = 0; step < STEPS; step++)
	{
		int			n = random_below(3) == 0 ? random_below(POOL_BATCH + 1) : random_below(6);
		uint64_t	nodes[POOL_BATCH];
		float		keys[POOL_BATCH];
		uint64_t	sum = 0;
		uint64_t	before = plain.spilled;
		int			nbefore = plain.nspilled;
		uint64_t	entry = 0;
		uint64_t	node = 0;
		uint64_t	ahead = 0;
		uint64_t	right = 0;
		int			at = 0;
		bool		any;

		for (int i = 0; i < n; i++)
		{
			nodes[i] = (uint64_t) random_below(capacity * 2) << 20;
			keys[i] = (float) (random_below(values) - values / 3) * 0.37f;
			if (random_below(200) == 0)
				keys[i] = random_below(2) ? INFINITY : -FLT_MAX;
			plain_offer(nodes[i], keys[i]);
		}
		plain_cut();
		pool_merge(&pool, n, nodes, keys);
		for (int i = 0; i < pool.nspilled; i++)
			sum += pool.spilled[i];
		spilled &= pool.nspilled == plain.nspilled - nbefore && sum == plain.spilled - before;
		entries &= same_entries(&pool);
		limits &= pool_limit(&pool) == (plain.size < capacity ? INFINITY : plain.key[plain.size - 1]);

		for (int times = random_below(3); times > 0; times--)
		{
			any = pool_peek(&pool, &ahead);
			taken &= pool_take(&pool, &entry, &node) == any && plain_take(&right, &at) == any;
			if (!any)
				continue;
			taken &= node == ahead && node == right && pool_key(entry) == plain.key[at];
			if (random_below(4) == 0)
			{
				pool_remove(&pool, entry);
				pool_remove(&pool, entry);	/* it has left: nothing happens */
				plain_remove(at);
			}
			entries &= same_entries(&pool);
		}
	}
	ok(entries, "capacity %d, %d keys: the entries of a plain pool, in their order", capacity, values);
	ok(taken, "capacity %d, %d keys: the same are taken", capacity, values);
	ok(limits, "capacity %d, %d keys: the same limit", capacity, values);
	ok(spilled, "capacity %d, %d keys: the same find no room", capacity, values);
	free(memory);
}

int
main(void)
{
	static const int capacities[] = {1, 2, 3, 31, 32, 33, 46, 136, 496, MOST_CAPACITY};

	random_begin();
	for (int i = 0; i < (int) (sizeof capacities / sizeof *capacities); i++)
	{
		test_against_plain(capacities[i], 5);
		test_against_plain(capacities[i], 1000000);
	}
	return tap_done();
}
