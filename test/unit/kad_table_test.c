/*
 * kad_table_test.c
 *	  The routing table: who enters, who waits, who goes, who is near.
 */
#include "core/net/kad_table.h"

#include "node_fixture.h"

/* Of a node whose id shares `prefix` bits with the owner's; the next but one and three more are `part`. */
static NodeRecord *
record_of_part(const KadId *owner, int prefix, int part, NetAddress address)
{
	for (;;)
	{
		Key			key = new_key();
		KadId		id = kad_id_of_key(&crypto, key.public);
		int			found = 0;

		for (int bit = prefix + 1; bit <= prefix + KAD_PART_BITS; bit++)
			found = 2 * found + (id.b[bit / 8] >> (7 - bit % 8) & 1);
		if (found == part && kad_id_prefix(owner, &id) == prefix)
			return record_of(&key, address, 1);
	}
}

/* Nodes of one part of the first bucket: who came first stays. */
static void
make(const KadId *owner, int first, int n, NodeRecord **out)
{
	for (int i = 0; i < n; i++)
		out[i] = record_of_part(owner, 0, 5, nth_address(first + i));
}

static void
release(NodeRecord **records, int n)
{
	for (int i = 0; i < n; i++)
		record_pool_release(&pool, records[i]);
}

static KadId
random_id(void)
{
	KadId		id;

	host_fill(&random_state, id.b, sizeof id.b);
	return id;
}

static void
test_empty(void)
{
	KadTable	table;
	KadId		owner = random_id();
	KadId		other = random_id();
	NodeRecord *near[KAD_K];
	uint32_t	cursor = 0;

	kad_table_init(&table, &memory, &pool, &owner, false);
	ok(kad_table_closest(&table, &other, KAD_K, true, near) == 0, "an empty table knows nobody");
	ok(kad_table_find(&table, &other) == NULL && kad_table_failed(&table, &other) == NULL &&
	   kad_table_remove(&table, &other) == NULL && kad_table_oldest(&table, &other, INT64_MAX) == NULL &&
	   kad_table_stale(&table, INT64_MAX) == -1 && kad_table_next(&table, &cursor) == NULL &&
	   kad_table_expire(&table, INT64_MAX / 2) == NULL, "and has an answer to every question");
	kad_table_touch(&table, &other, 1);
	kad_table_touch(&table, &owner, 1);
	kad_table_reset(&table);
}

static void
test_bucket(void)
{
	KadTable	table;
	Key			own_key = new_key();
	NodeRecord *own = record_of(&own_key, nth_address(9000), 1);
	NodeRecord *r[KAD_K + KAD_WAITING + 3];
	NodeRecord *gone;
	KadEntry   *oldest;
	KadOutcome	outcome;
	int			n = KAD_K + KAD_WAITING + 3;
	int			added = 0;
	int			waits = 0;

	kad_table_init(&table, &memory, &pool, &own->id, false);
	make(&own->id, 0, n, r);
	ok(kad_table_answered(&table, own, 0, 1) == KAD_SELF && table.n == 0, "the owner does not enter its own table");
	ok(kad_table_wants(&table, r[0], 0) && !kad_table_wants(&table, own, 0), "an empty bucket wants anybody but the owner");
	for (int i = 0; i < KAD_K; i++)
		added += kad_table_answered(&table, r[i], 0, 100 + i) == KAD_ADDED;
	ok(added == KAD_K && table.n == KAD_K, "a bucket takes %d", added);
	ok(kad_table_answered(&table, r[3], 0, 500) == KAD_UPDATED && table.n == KAD_K &&
	   kad_table_find(&table, &r[3]->id)->answered_ms == 500, "one that is there is heard again, and not twice there");
	ok(!kad_table_wants(&table, r[3], INT64_MAX), "and is not wanted again");
	for (int i = KAD_K; i < n; i++)
		waits += kad_table_answered(&table, r[i], 0, 200 + i) == KAD_WAITS;
	ok(waits == n - KAD_K && table.n == KAD_K && table.bucket[0]->n_waiting == KAD_WAITING,
	   "newcomers wait, at most %d", table.bucket[0]->n_waiting);
	ok(kad_table_find(&table, &r[KAD_K]->id) == NULL, "who waits is not in the table");

	oldest = kad_table_oldest(&table, &r[n - 1]->id, INT64_MAX);
	ok(oldest != NULL && oldest->record == r[0], "the one silent longest is named");
	ok(kad_table_oldest(&table, &r[n - 1]->id, 100) == NULL, "but not if it was heard in time");

	gone = kad_table_failed(&table, &r[0]->id);
	ok(gone == r[0] && table.n == KAD_K, "who fails goes at once where somebody waits");
	record_pool_release(&pool, gone);
	ok(kad_table_find(&table, &r[n - 1]->id) != NULL, "the newest that waits takes its place");
	gone = kad_table_failed(&table, &r[n - 2]->id);
	ok(gone == r[n - 2] && table.bucket[0]->n_waiting == KAD_WAITING - 2, "one that waits and fails is forgotten");
	record_pool_release(&pool, gone);
	for (int i = 1; i <= KAD_WAITING - 2; i++)
		record_pool_release(&pool, kad_table_failed(&table, &r[i]->id));
	ok(table.bucket[0]->n_waiting == 0 && table.n == KAD_K, "all places are kept filled");

	ok(kad_table_failed(&table, &r[12]->id) == NULL && kad_table_failed(&table, &r[12]->id) == NULL &&
	   kad_table_find(&table, &r[12]->id)->failures == 2, "where nobody waits one may fail twice");
	ok(kad_table_answered(&table, r[12], 0, 900) == KAD_UPDATED && kad_table_find(&table, &r[12]->id)->failures == 0,
	   "an answer forgives");
	kad_table_failed(&table, &r[12]->id);
	kad_table_failed(&table, &r[12]->id);
	gone = kad_table_failed(&table, &r[12]->id);
	ok(gone == r[12] && table.n == KAD_K - 1, "three times in a row it goes");
	record_pool_release(&pool, gone);
	outcome = kad_table_answered(&table, r[12], 0, 950);
	ok(outcome == KAD_ADDED && table.n == KAD_K, "and may come back");
	kad_table_failed(&table, &r[13]->id);
	ok(kad_table_answered(&table, r[0], 0, 960) == KAD_ADDED && kad_table_find(&table, &r[13]->id) == NULL,
	   "in a full bucket a newcomer takes the place of one that has failed");
	gone = kad_table_remove(&table, &r[12]->id);
	ok(gone == r[12] && table.n == KAD_K - 1, "one can be taken out");
	record_pool_release(&pool, gone);
	kad_table_reset(&table);
	release(r, n);
	record_pool_release(&pool, own);
}

/* How many of a bucket are of each part; how many parts there are. */
static int
count_parts(const KadBucket *bucket, int index, int n[KAD_PARTS])
{
	int			parts = 0;

	memset(n, 0, KAD_PARTS * sizeof *n);
	for (int i = 0; i < bucket->n; i++)
	{
		int			part = 0;

		for (int bit = index + 1; bit <= index + KAD_PART_BITS; bit++)
			part = 2 * part + (bucket->entry[i].id.b[bit / 8] >> (7 - bit % 8) & 1);
		parts += n[part]++ == 0;
	}
	return parts;
}

/* A full bucket of neighbors makes room for what is far from them, and for nothing else. */
static void
test_parts(int prefix)
{
	KadTable	table;
	KadId		owner = random_id();
	NodeRecord *near[KAD_K + 1];
	NodeRecord *first[KAD_PARTS];
	NodeRecord *second[KAD_PARTS];
	int			n[KAD_PARTS];
	int			wanted = 0;
	int			added = 0;
	int			again = 0;
	int			parts;

	kad_table_init(&table, &memory, &pool, &owner, false);
	for (int i = 0; i <= KAD_K; i++)
	{
		near[i] = record_of_part(&owner, prefix, i % 2 == 0 ? 3 : 4, nth_address(i));
		added += kad_table_answered(&table, near[i], 0, 100) == KAD_ADDED;
	}
	ok(added == KAD_K && count_parts(table.bucket[prefix], prefix, n) == 2, "bucket %d is full of nodes of two parts", prefix);
	added = 0;
	for (int part = 0; part < KAD_PARTS; part++)
	{
		first[part] = record_of_part(&owner, prefix, part, nth_address(100 + part));
		second[part] = record_of_part(&owner, prefix, part, nth_address(200 + part));
		wanted += kad_table_wants(&table, first[part], 0);
		added += kad_table_answered(&table, first[part], 0, 200) == KAD_ADDED;
	}
	ok(wanted == KAD_PARTS - 2 && added == KAD_PARTS - 2, "one of each other part is wanted (%d) and gets a place (%d)",
	   wanted, added);
	parts = count_parts(table.bucket[prefix], prefix, n);
	ok(table.n == KAD_K && parts == KAD_PARTS && n[3] == 3 && n[4] == 3, "of those who were many, equally many stay (%d and %d)",
	   n[3], n[4]);
	ok(table.bucket[prefix]->n_waiting == KAD_WAITING, "and who yielded waits, as many as can");
	for (int part = 0; part < KAD_PARTS; part++)
		again += kad_table_wants(&table, second[part], 0) + (kad_table_answered(&table, second[part], 0, 300) == KAD_ADDED);
	ok(again == 0, "a second of a part has no claim");
	kad_table_reset(&table);
	release(near, KAD_K + 1);
	release(first, KAD_PARTS);
	release(second, KAD_PARTS);
}

static void
test_subnets(void)
{
	KadTable	table;
	KadId		owner = random_id();
	NodeRecord *r[12];
	NodeRecord *moved;
	int			added = 0;
	int			n = 0;
	Key			key;

	kad_table_init(&table, &memory, &pool, &owner, true);
	for (int i = 0; i < 12; i++)
		r[i] = record_with_prefix(&owner, i % 4, net_address_v4(8, 8, 8, (uint8_t) (i + 1), 1), NULL);
	added = (kad_table_answered(&table, r[0], 0, 1) == KAD_ADDED) + (kad_table_answered(&table, r[4], 0, 1) == KAD_ADDED);
	ok(added == 2 && kad_table_answered(&table, r[8], 0, 1) == KAD_CROWDED, "a bucket takes two of a subnet");
	ok(kad_table_answered(&table, r[1], 0, 1) == KAD_ADDED && kad_table_answered(&table, r[2], 0, 1) == KAD_CROWDED &&
	   table.n == 3, "a table takes three");
	ok(kad_table_answered(&table, r[0], 0, 2) == KAD_UPDATED, "those in it stay");
	record_pool_release(&pool, kad_table_remove(&table, &r[0]->id));
	ok(kad_table_answered(&table, r[2], 0, 1) == KAD_ADDED, "who goes makes room");
	release(r, 12);

	/* a node moves into the crowded subnet */
	moved = record_with_prefix(&owner, 5, nth_address(1), &key);
	kad_table_answered(&table, moved, 0, 1);
	record_pool_release(&pool, moved);
	moved = record_of(&key, net_address_v4(8, 8, 8, 99, 1), 2);
	ok(kad_table_answered(&table, moved, 0, 2) == KAD_CROWDED && kad_table_find(&table, &moved->id) == NULL,
	   "one that moves into a crowded subnet loses its place");
	record_pool_release(&pool, moved);

	/* a flood: five hundred ids of one subnet, while others have their places */
	for (int i = 0; i < 500; i++)
	{
		Key			k = new_key();
		NodeRecord *flood = record_of(&k, net_address_v4(9, 9, 9, (uint8_t) (1 + i % 250), (uint16_t) (1 + i)), 1);

		n += kad_table_answered(&table, flood, 0, 1) == KAD_ADDED;
		record_pool_release(&pool, flood);
	}
	ok(n == KAD_SUBNET_TABLE, "a flood of 500 from one subnet gets %d places", n);
	n = 0;
	for (int i = 0; i < 30; i++)
	{
		Key			k = new_key();
		NodeRecord *lan = record_of(&k, net_address_v4(192, 168, 1, (uint8_t) (1 + i), 1), 1);

		n += kad_table_answered(&table, lan, 0, 1) == KAD_ADDED;
		record_pool_release(&pool, lan);
	}
	ok(n > 20, "private addresses may be exempt: %d of 30 have places", n);
	kad_table_reset(&table);

	kad_table_init(&table, &memory, &pool, &owner, false);
	n = 0;
	for (int i = 0; i < 30; i++)
	{
		Key			k = new_key();
		NodeRecord *lan = record_of(&k, net_address_v4(10, (uint8_t) i, 1, 1, 1), 1);

		n += kad_table_answered(&table, lan, 0, 1) == KAD_ADDED;
		record_pool_release(&pool, lan);
	}
	ok(n == KAD_SUBNET_TABLE, "else all of them are one subnet");
	kad_table_reset(&table);

	/* in the replacement cache too */
	kad_table_init(&table, &memory, &pool, &owner, false);
	n = 0;
	for (int i = 0; i < KAD_K; i++)
	{
		NodeRecord *other = record_of_part(&owner, 0, 5, nth_address(100 + i));

		kad_table_answered(&table, other, 0, 1);
		record_pool_release(&pool, other);
	}
	for (int i = 0; i < 6; i++)
	{
		NodeRecord *waiting = record_of_part(&owner, 0, 5, net_address_v4(7, 7, 7, (uint8_t) (i + 1), 1));

		kad_table_answered(&table, waiting, 0, 1);
		record_pool_release(&pool, waiting);
	}
	ok(table.bucket[0]->n_waiting == KAD_SUBNET_BUCKET, "a subnet has two places in a replacement cache");
	kad_table_reset(&table);
}

static void
test_versions(void)
{
	KadTable	table;
	KadId		owner = random_id();
	Key			key = new_key();
	NodeRecord *old = record_of(&key, nth_address(1), 1);
	NodeRecord *new = record_of(&key, nth_address(2), 2);
	NodeRecord *gone;

	kad_table_init(&table, &memory, &pool, &owner, false);
	kad_table_answered(&table, old, 0, 1);
	ok(kad_table_answered(&table, new, 0, 2) == KAD_UPDATED && kad_table_find(&table, &old->id)->record == new,
	   "a newer record replaces an older one");
	ok(kad_table_answered(&table, old, 0, 3) == KAD_OLDER && kad_table_find(&table, &old->id)->record == new,
	   "and not the other way round");
	ok(kad_table_expire(&table, NOW) == NULL, "a current record stays");
	gone = kad_table_expire(&table, new->expires_ms + SKEW);
	ok(gone == new && table.n == 0, "an expired one goes");
	record_pool_release(&pool, gone);
	kad_table_reset(&table);
	record_pool_release(&pool, old);
	record_pool_release(&pool, new);
}

static int
compare_near(const KadId *target, const NodeRecord *a, const NodeRecord *b)
{
	return kad_id_nearer(target, &a->id, &b->id);
}

static void
test_closest(void)
{
	enum
	{
		MANY = 2000
	};
	static NodeRecord *all[MANY];
	KadTable	table;
	KadId		owner = random_id();
	NodeRecord *near[KAD_K];
	NodeRecord *truth[MANY];
	int			wrong = 0;
	int			n_truth;
	uint32_t	cursor = 0;
	int			walked = 0;
	KadEntry   *entry;

	kad_table_init(&table, &memory, &pool, &owner, false);
	for (int i = 0; i < MANY; i++)
	{
		Key			key = new_key();

		all[i] = record_of(&key, nth_address(i), 1);
		kad_table_answered(&table, all[i], 0, i);
	}
	ok(table.n > 100 && table.n < 220, "of %d nodes the table holds %d", MANY, table.n);
	while ((entry = kad_table_next(&table, &cursor)) != NULL)
		walked += kad_id_equal(&entry->id, &entry->record->id);
	ok(walked == table.n, "a walk comes to each entry once");

	for (int round = 0; round < 400; round++)
	{
		/* targets at every distance from the owner, the owner itself too */
		KadId		target = round == 0 ? owner : kad_id_random(&fixture_random, &owner, round % 20);
		int			n = round % (KAD_K + 1);
		int			found = kad_table_closest(&table, &target, n, false, near);

		n_truth = 0;
		cursor = 0;
		while ((entry = kad_table_next(&table, &cursor)) != NULL)
		{
			int			at = n_truth++;

			for (; at > 0 && compare_near(&target, entry->record, truth[at - 1]) < 0; at--)
				truth[at] = truth[at - 1];
			truth[at] = entry->record;
		}
		wrong += found != n;
		for (int i = 0; i < found; i++)
			wrong += near[i] != truth[i];
	}
	ok(wrong == 0, "the nearest are those that a walk over all finds, in their order");

	kad_table_closest(&table, &owner, KAD_K, false, near);
	entry = kad_table_find(&table, &near[0]->id);
	entry->failures = 1;
	kad_table_closest(&table, &owner, 1, false, truth);
	ok(truth[0] == near[1], "who failed last time is not named");
	kad_table_closest(&table, &owner, 1, true, truth);
	ok(truth[0] == near[0], "unless nobody else is wanted");

	ok(kad_table_stale(&table, 0) == 0, "the first bucket without a lookup is stale");
	for (int b = 0; b < 20; b++)
	{
		KadId		inside = kad_id_random(&fixture_random, &owner, b);

		kad_table_touch(&table, &inside, 1000 + b);
	}
	ok(kad_table_stale(&table, 1000) == -1, "after a lookup into each none is");
	ok(kad_table_stale(&table, 1001) == 0 && kad_table_stale(&table, 100000) == 0, "later they are, from the first on");
	kad_table_reset(&table);
	for (int i = 0; i < MANY; i++)
		record_pool_release(&pool, all[i]);
}

static void
test_memory(void)
{
	KadTable	table;
	KadId		owner = random_id();
	NodeRecord *r[KAD_K + 2];
	int			refused = 0;

	make(&owner, 0, KAD_K + 2, r);
	kad_table_init(&table, &memory, &pool, &owner, false);
	for (int i = 0; i < 2; i++)
	{
		memory_state.until_failure = i;
		refused += kad_table_answered(&table, r[0], 0, 1) == KAD_NO_MEMORY;
	}
	memory_state.until_failure = -1;
	ok(refused == 2 && table.n == 0, "without memory for a bucket nobody enters");
	for (int i = 0; i < KAD_K; i++)
		kad_table_answered(&table, r[i], 0, 1);
	memory_state.until_failure = 0;
	kad_table_answered(&table, r[KAD_K], 0, 1);
	memory_state.until_failure = -1;
	ok(table.n == KAD_K && table.bucket[0]->n_waiting == 0, "without memory for a cache nobody waits");
	kad_table_reset(&table);
	release(r, KAD_K + 2);
}

int
main(void)
{
	fixture_begin(10000);
	test_empty();
	test_bucket();
	test_parts(0);
	test_parts(5);
	test_subnets();
	test_versions();
	test_closest();
	test_memory();
	return fixture_end();
}
