/*
 * queue_test.c
 *	  The queue of a search against an array of which the least is looked for each time.
 */
#include "core/vec/queue.h"

#include <float.h>
#include <math.h>

#include "fixture.h"

#define MOST 3000
#define STEPS 20000

static QueueEntry queue[MOST];
static QueueEntry plain[MOST];

static int
least_of_plain(int n)
{
	int			least = 0;

	for (int i = 1; i < n; i++)
	{
		if (plain[i].key < plain[least].key)
			least = i;
	}
	return least;
}

/* the entry of plain with this node and key; -1 for none */
static int
find_in_plain(int n, const QueueEntry *entry)
{
	for (int i = 0; i < n; i++)
	{
		if (plain[i].node == entry->node && plain[i].key == entry->key)
			return i;
	}
	return -1;
}

/* keys are one of so many values; at most so many entries */
static void
test_against_plain(int most, int values)
{
	int			n = 0;
	bool		least = true;
	bool		own = true;

	for (int step = 0; step < STEPS || n > 0; step++)
	{
		/* it fills, empties, and at last is emptied */
		bool		fill = step < STEPS && (step / most) % 3 != 2;

		if (n < most && (n == 0 ? step < STEPS : random_below(8) < (fill ? 5 : 2) && step < STEPS))
		{
			uint64_t	node = (uint64_t) random_below(most) << 20;
			float		key = (float) (random_below(values) - values / 3) * 0.37f;

			if (random_below(100) == 0)
				key = random_below(2) ? INFINITY : -FLT_MAX;
			queue_push(queue, (size_t) n, node, key);
			plain[n].node = node;
			plain[n++].key = key;
		}
		else if (n > 0)
		{
			int			at = find_in_plain(n, &queue[0]);

			least &= queue[0].key == plain[least_of_plain(n)].key;
			own &= at >= 0;
			queue_pop(queue, (size_t) n--);
			if (at >= 0)
				plain[at] = plain[n];
		}
	}
	ok(least, "at most %d entries, %d keys: the least is first", most, values);
	ok(own, "at most %d entries, %d keys: what comes out was let in, and was not taken before", most, values);
}

int
main(void)
{
	static const int most[] = {1, 2, 3, 4, 5, 16, 100, MOST};

	random_begin();
	for (int i = 0; i < (int) (sizeof most / sizeof *most); i++)
	{
		test_against_plain(most[i], 5);
		test_against_plain(most[i], 1000000);
	}
	return tap_done();
}
