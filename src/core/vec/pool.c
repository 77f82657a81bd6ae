/*
 * pool.c
 *	  Merging candidates into a sorted pool.
 */
#include "core/vec/pool.h"

/* A capacity is a slot's number in 31 bits of an entry. */
_Static_assert(POOL_MOST <= INT32_MAX, "a slot fits into an entry");
_Static_assert(POOL_BATCH <= UINT8_MAX, "a candidate's number is a byte");

size_t
pool_bytes(int capacity)
{
	CORE_ASSERT(capacity >= 1 && capacity <= POOL_MOST);
	return (size_t) capacity * (2 * sizeof(uint64_t) + sizeof(uint32_t));
}

/* Entries ascend, those before next are taken, and every slot is in use or free. */
static bool
pool_holds(const Pool *self)
{
	if (self->size < 0 || self->next < 0 || self->next > self->size ||
		self->size + self->nfree != self->capacity)
		return false;
	for (int i = 0; i < self->size; i++)
	{
		if (pool_slot(self->entry[i]) >= (uint32_t) self->capacity ||
			(i > 0 && self->entry[i - 1] >> 32 > self->entry[i] >> 32) ||
			(i < self->next && !(self->entry[i] & POOL_TAKEN)))
			return false;
	}
	return true;
}

void
pool_init(Pool *self, int capacity, void *memory)
{
	CORE_ASSERT(capacity >= 1 && capacity <= POOL_MOST);
	CORE_ASSERT((uintptr_t) memory % sizeof(uint64_t) == 0);
	self->capacity = capacity;
	self->size = 0;
	self->next = 0;
	self->nspilled = 0;
	self->entry = memory;
	self->node = self->entry + capacity;
	self->free = (uint32_t *) (self->node + capacity);
	self->nfree = capacity;
	for (int i = 0; i < capacity; i++)
		self->free[i] = (uint32_t) (capacity - 1 - i);
}

/* Integers in the order of the floats (IEEE 754 binary32 but for NaN) */
static inline int32_t
ordered(float key)
{
	int32_t		bits;

	CORE_ASSERT(!isnan(key));
	memcpy(&bits, &key, sizeof bits);
	return bits ^ (int32_t) ((uint32_t) (bits >> 31) >> 1);
}

/* How many entries are not above `bound` */
static inline int
rank_of(const Pool *self, uint64_t bound)
{
	const uint64_t *base = self->entry;

	if (self->size == 0)
		return 0;
	for (int n = self->size; n > 1;)
	{
		int			half = n / 2;

		base += (size_t) half & -(size_t) (base[half - 1] <= bound);
		n -= half;
	}
	return (int) (base - self->entry) + (*base <= bound);
}

/*
 * Numbers of the n candidates in the order of their keys, of equal ones the
 * earlier first: each pair is compared once, without a branch to guess.
 */
static void
sort_batch(int n, const float *keys, uint8_t *sorted)
{
	int32_t		key[POOL_BATCH];
	uint8_t		before[POOL_BATCH] = {0};

	for (int i = 0; i < n; i++)
		key[i] = ordered(keys[i]);
	for (int i = 1; i < n; i++)
	{
		int			mine = 0;

		for (int j = 0; j < i; j++)
		{
			int			after = key[j] > key[i];

			before[j] += after;
			mine += 1 - after;
		}
		before[i] = (uint8_t) mine;
	}
	for (int i = 0; i < n; i++)
		sorted[before[i]] = (uint8_t) i;
}

static inline void
spill(Pool *self, uint64_t node, float key)
{
	CORE_ASSERT(self->nspilled < POOL_BATCH);
	self->spilled[self->nspilled] = node;
	self->spilled_key[self->nspilled++] = key;
}

/* Does this node stand among the entries with this key, of which the last is before `end`? */
static bool
stands_there(const Pool *self, uint64_t node, uint32_t key, int end)
{
	for (int i = end - 1; i >= 0 && (uint32_t) (self->entry[i] >> 32) == key; i--)
	{
		if (self->node[pool_slot(self->entry[i])] == node)
			return true;
	}
	return false;
}

void
pool_merge(Pool *self, int n, const uint64_t *nodes, const float *keys)
{
	uint8_t		sorted[POOL_BATCH];
	uint64_t	entry[POOL_BATCH];
	uint8_t		from[POOL_BATCH];
	int			place[POOL_BATCH];
	int			kept = 0;
	int			end;

	CORE_ASSERT(n >= 0 && n <= POOL_BATCH);
	self->nspilled = 0;
	sort_batch(n, keys, sorted);
	for (int i = 0; i < n; i++)
	{
		int			c = sorted[i];
		uint32_t	key = (uint32_t) ordered(keys[c]) ^ 0x80000000;
		int			at = rank_of(self, (uint64_t) key << 32 | UINT32_MAX);
		bool		present = stands_there(self, nodes[c], key, at);

		for (int k = kept - 1; k >= 0 && entry[k] >> 32 == key && !present; k--)
			present = nodes[from[k]] == nodes[c];
		if (present)
			continue;
		entry[kept] = (uint64_t) key << 32;
		from[kept] = (uint8_t) c;
		place[kept++] = at;
	}

	/* the worst of both leave */
	while (self->size + kept > self->capacity)
	{
		if (place[kept - 1] == self->size)
		{
			kept--;
			spill(self, nodes[from[kept]], keys[from[kept]]);
		}
		else
		{
			uint64_t	last = self->entry[--self->size];

			if (!(last & POOL_TAKEN))
				spill(self, self->node[pool_slot(last)], pool_key(last));
			self->free[self->nfree++] = pool_slot(last);
		}
	}
	if (kept == 0)
		return;

	end = self->size;
	self->size += kept;
	for (int i = kept - 1; i >= 0; i--)
	{
		uint32_t	number = self->free[--self->nfree];

		memmove(self->entry + place[i] + i + 1, self->entry + place[i], sizeof(uint64_t) * (size_t) (end - place[i]));
		self->entry[place[i] + i] = entry[i] | (uint64_t) number << 1;
		self->node[number] = nodes[from[i]];
		end = place[i];
	}
	if (place[0] < self->next)
		self->next = place[0];
	CORE_ASSERT(pool_holds(self));
}

void
pool_remove(Pool *self, uint64_t entry)
{
	int			at = rank_of(self, entry | UINT32_MAX) - 1;

	CORE_ASSERT(entry & POOL_TAKEN);

	/* equal keys stand in the order in which they came */
	while (at >= 0 && self->entry[at] != entry)
	{
		if (self->entry[at] >> 32 != entry >> 32)
			return;
		at--;
	}
	if (at < 0)
		return;
	self->free[self->nfree++] = pool_slot(entry);
	self->size--;
	memmove(self->entry + at, self->entry + at + 1, sizeof(uint64_t) * (size_t) (self->size - at));
	if (self->next > at)
		self->next--;
	CORE_ASSERT(pool_holds(self));
}
