/*
 * kad_table.c
 *	  The routing table.
 */
#include "core/net/kad_table.h"

#include "core/assert.h"

#define BUCKETS_STEP 8

_Static_assert(KAD_ID_BITS % BUCKETS_STEP == 0, "there is no room beyond the last bucket");
_Static_assert(KAD_K > KAD_PARTS, "the largest part of a full bucket has two nodes or more");
_Static_assert(KAD_PART_BITS <= 8, "the bits of a part lie in two bytes");

static KadBucket *bucket_of(const KadTable *self, const KadId *id);
static KadBucket *make_bucket(KadTable *self, int index);
static int	find_in(const KadEntry *entries, int n, const KadId *id);
static uint64_t subnet_of(const KadTable *self, const NetAddress *address);
static bool crowded(const KadTable *self, const KadBucket *bucket, uint64_t subnet, const KadEntry *except);
static KadEntry entry_of(const KadTable *self, NodeRecord *record, int address, int64_t tick_ms);
static void replace_record(KadTable *self, KadEntry *entry, NodeRecord *record, int address);
static void wait_in(KadTable *self, KadBucket *bucket, KadEntry entry);
static void promote(KadTable *self, KadBucket *bucket);
static int	part_of(const KadId *id, int index);
static int	yielding(const KadBucket *bucket, int index, const KadId *id);
static void drop_entry(KadTable *self, KadBucket *bucket, int i);
static void drop_waiting(KadBucket *bucket, int i);
static int	gather(const KadBucket *bucket, const KadId *target, bool failing, NodeRecord **out,
				   uint64_t *distance, int n, int max);

/*
 * Do its nodes belong there, each once, who is in it not also among those that wait, and
 * are no more of a subnet in it than may be?
 */
static bool
bucket_holds(const KadTable *self, const KadBucket *bucket)
{
	if (bucket->n < 0 || bucket->n > KAD_K || bucket->n_waiting < 0 || bucket->n_waiting > KAD_WAITING)
		return false;
	for (int i = 0; i < bucket->n; i++)
	{
		const KadEntry *entry = &bucket->entry[i];
		int			of_subnet = 0;

		if (bucket_of(self, &entry->id) != bucket || !kad_id_equal(&entry->id, &entry->record->id) ||
			entry->record->references == 0 || entry->failures >= KAD_FAILURES ||
			find_in(bucket->entry, i, &entry->id) >= 0 ||
			find_in(bucket->waiting, bucket->n_waiting, &entry->id) >= 0)
			return false;
		for (int k = 0; k < bucket->n; k++)
			of_subnet += entry->subnet != 0 && bucket->entry[k].subnet == entry->subnet;
		if (of_subnet > KAD_SUBNET_BUCKET)
			return false;
	}
	for (int i = 0; i < bucket->n_waiting; i++)
		if (bucket_of(self, &bucket->waiting[i].id) != bucket ||
			find_in(bucket->waiting, i, &bucket->waiting[i].id) >= 0)
			return false;
	return true;
}

void
kad_table_init(KadTable *self, const CoreMemory *memory, RecordPool *pool,
			   const KadId *id, bool exempt_private)
{
	memset(self, 0, sizeof *self);
	self->memory = memory;
	self->pool = pool;
	self->self = *id;
	self->exempt_private = exempt_private;
}

void
kad_table_reset(KadTable *self)
{
	for (int b = 0; b < self->n_buckets; b++)
	{
		KadBucket  *bucket = self->bucket[b];

		if (bucket == NULL)
			continue;
		for (int i = 0; i < bucket->n; i++)
			record_pool_release(self->pool, bucket->entry[i].record);
		for (int i = 0; i < bucket->n_waiting; i++)
			record_pool_release(self->pool, bucket->waiting[i].record);
		core_free(self->memory, bucket->waiting);
		core_free(self->memory, bucket);
	}
	core_free(self->memory, self->bucket);
	self->bucket = NULL;
	self->n_buckets = self->n = 0;
}

KadOutcome
kad_table_answered(KadTable *self, NodeRecord *record, int address, int64_t tick_ms)
{
	int			prefix = kad_id_prefix(&self->self, &record->id);
	KadBucket  *bucket;
	KadEntry	newcomer;
	int			i;

	CORE_ASSERT(address >= 0 && address < record->n_addresses);
	if (prefix == KAD_ID_BITS)
		return KAD_SELF;
	bucket = make_bucket(self, prefix);
	if (bucket == NULL)
		return KAD_NO_MEMORY;
	newcomer = entry_of(self, record, address, tick_ms);

	i = find_in(bucket->entry, bucket->n, &record->id);
	if (i >= 0)
	{
		KadEntry   *entry = &bucket->entry[i];

		if (record->seq < entry->record->seq)
			return KAD_OLDER;
		if (newcomer.subnet != entry->subnet && crowded(self, bucket, newcomer.subnet, entry))
		{
			record_pool_release(self->pool, entry->record);
			drop_entry(self, bucket, i);
			promote(self, bucket);
			return KAD_CROWDED;
		}
		replace_record(self, entry, record, address);
		entry->answered_ms = tick_ms;
		entry->failures = 0;
		CORE_ASSERT(bucket_holds(self, bucket));
		return KAD_UPDATED;
	}
	i = find_in(bucket->waiting, bucket->n_waiting, &record->id);
	if (i >= 0)
	{
		if (record->seq < bucket->waiting[i].record->seq)
			return KAD_OLDER;
		record_pool_release(self->pool, bucket->waiting[i].record);
		drop_waiting(bucket, i);
	}
	if (crowded(self, bucket, newcomer.subnet, NULL))
		return KAD_CROWDED;
	if (bucket->n == KAD_K)
	{
		int			worst = -1;

		for (int j = 0; j < bucket->n; j++)
			if (bucket->entry[j].failures > 0 &&
				(worst < 0 || bucket->entry[j].failures > bucket->entry[worst].failures))
				worst = j;
		if (worst < 0)
		{
			worst = yielding(bucket, prefix, &record->id);
			wait_in(self, bucket, worst < 0 ? newcomer : bucket->entry[worst]);
			if (worst < 0)
				return KAD_WAITS;
		}
		record_pool_release(self->pool, bucket->entry[worst].record);
		drop_entry(self, bucket, worst);
	}
	CORE_ASSERT(bucket->n < KAD_K && find_in(bucket->waiting, bucket->n_waiting, &record->id) < 0);
	node_record_keep(record);
	bucket->entry[bucket->n++] = newcomer;
	self->n++;
	CORE_ASSERT(bucket_holds(self, bucket));
	return KAD_ADDED;
}

NodeRecord *
kad_table_failed(KadTable *self, const KadId *id)
{
	KadBucket  *bucket = bucket_of(self, id);
	NodeRecord *gone;
	int			i;

	if (bucket == NULL)
		return NULL;
	i = find_in(bucket->entry, bucket->n, id);
	if (i >= 0)
	{
		KadEntry   *entry = &bucket->entry[i];

		entry->failures++;
		if (bucket->n_waiting == 0 && entry->failures < KAD_FAILURES)
			return NULL;
		gone = entry->record;
		drop_entry(self, bucket, i);
		promote(self, bucket);
		CORE_ASSERT(bucket_holds(self, bucket));
		return gone;
	}
	i = find_in(bucket->waiting, bucket->n_waiting, id);
	if (i < 0)
		return NULL;
	gone = bucket->waiting[i].record;
	drop_waiting(bucket, i);
	return gone;
}

NodeRecord *
kad_table_remove(KadTable *self, const KadId *id)
{
	KadEntry   *entry = kad_table_find(self, id);

	if (entry != NULL)
		entry->failures = KAD_FAILURES;
	return kad_table_failed(self, id);
}

KadEntry *
kad_table_find(const KadTable *self, const KadId *id)
{
	KadBucket  *bucket = bucket_of(self, id);
	int			i = bucket == NULL ? -1 : find_in(bucket->entry, bucket->n, id);

	return i < 0 ? NULL : &bucket->entry[i];
}

bool
kad_table_wants(const KadTable *self, const NodeRecord *record, int64_t silent_ms)
{
	const KadBucket *bucket = bucket_of(self, &record->id);

	if (kad_id_equal(&self->self, &record->id))
		return false;
	if (bucket == NULL)
		return true;
	if (find_in(bucket->entry, bucket->n, &record->id) >= 0 ||
		find_in(bucket->waiting, bucket->n_waiting, &record->id) >= 0)
		return false;
	if (bucket->n < KAD_K)
		return true;
	/* if one of these has gone, there is room for it in the bucket or in the cache */
	for (int i = 0; i < bucket->n; i++)
		if (bucket->entry[i].answered_ms < silent_ms || bucket->entry[i].failures > 0)
			return true;
	return bucket->n_waiting == 0 ||
		yielding(bucket, kad_id_prefix(&self->self, &record->id), &record->id) >= 0;
}

KadEntry *
kad_table_oldest(const KadTable *self, const KadId *id, int64_t silent_ms)
{
	KadBucket  *bucket = bucket_of(self, id);
	KadEntry   *oldest = NULL;

	for (int i = 0; bucket != NULL && i < bucket->n; i++)
		if (oldest == NULL || bucket->entry[i].answered_ms < oldest->answered_ms)
			oldest = &bucket->entry[i];
	return oldest != NULL && oldest->answered_ms < silent_ms ? oldest : NULL;
}

/* Is each nearer to the target than the next?  So none stands there twice. */
static bool
is_in_order(const KadId *target, NodeRecord *const *records, int n)
{
	for (int i = 1; i < n; i++)
	{
		if (kad_id_nearer(target, &records[i - 1]->id, &records[i]->id) >= 0)
			return false;
	}
	return true;
}

/*
 * Let c be the prefix that target shares with the owner.  Bucket c holds those
 * that share more than c bits with target; all deeper buckets those that share
 * exactly c; each bucket before, in descending order, shares less.  So whole
 * buckets are taken in that order until there are enough, and sorted.
 */
int
kad_table_closest(const KadTable *self, const KadId *target, int n, bool failing, NodeRecord **out)
{
	int			c = kad_id_prefix(&self->self, target);
	int			found = 0;
	uint64_t	distance[KAD_CLOSEST_MAX];

	if (n > KAD_CLOSEST_MAX)
		n = KAD_CLOSEST_MAX;
	if (c < self->n_buckets)
		found = gather(self->bucket[c], target, failing, out, distance, found, n);
	if (found < n)
	{
		/* none of the deeper buckets is nearer than another as a whole: their nodes compete */
		for (int b = self->n_buckets - 1; b > c; b--)
			found = gather(self->bucket[b], target, failing, out, distance, found, n);
	}
	for (int b = (c < self->n_buckets ? c : self->n_buckets) - 1; b >= 0 && found < n; b--)
		found = gather(self->bucket[b], target, failing, out, distance, found, n);
	CORE_ASSERT(found >= 0 && found <= n && is_in_order(target, out, found));
	return found;
}

int
kad_table_stale(const KadTable *self, int64_t since_ms)
{
	for (int b = 0; b < self->n_buckets; b++)
	{
		const KadBucket *bucket = self->bucket[b];

		if (bucket == NULL)
			continue;
		if (bucket->refreshed_ms < since_ms)
			return b;
		if (bucket->n < KAD_K)
			break;
	}
	return -1;
}

void
kad_table_touch(KadTable *self, const KadId *target, int64_t tick_ms)
{
	KadBucket  *bucket = bucket_of(self, target);

	if (bucket != NULL)
		bucket->refreshed_ms = tick_ms;
}

NodeRecord *
kad_table_expire(KadTable *self, int64_t unix_ms)
{
	for (int b = 0; b < self->n_buckets; b++)
	{
		KadBucket  *bucket = self->bucket[b];

		if (bucket == NULL)
			continue;
		for (int i = bucket->n_waiting - 1; i >= 0; i--)
			if (!node_record_current(bucket->waiting[i].record, unix_ms, self->pool->skew_ms))
			{
				record_pool_release(self->pool, bucket->waiting[i].record);
				drop_waiting(bucket, i);
			}
		for (int i = 0; i < bucket->n; i++)
			if (!node_record_current(bucket->entry[i].record, unix_ms, self->pool->skew_ms))
				return kad_table_remove(self, &bucket->entry[i].id);
	}
	return NULL;
}

KadEntry *
kad_table_next(const KadTable *self, uint32_t *cursor)
{
	for (uint32_t b = *cursor / KAD_K, i = *cursor % KAD_K; b < (uint32_t) self->n_buckets; b++, i = 0)
		if (self->bucket[b] != NULL && i < (uint32_t) self->bucket[b]->n)
		{
			*cursor = b * KAD_K + i + 1;
			/* after the last of a full bucket this is the first of the next */
			return &self->bucket[b]->entry[i];
		}
	*cursor = (uint32_t) self->n_buckets * KAD_K;
	return NULL;
}

static KadBucket *
bucket_of(const KadTable *self, const KadId *id)
{
	int			prefix = kad_id_prefix(&self->self, id);

	return prefix < self->n_buckets ? self->bucket[prefix] : NULL;
}

static KadBucket *
make_bucket(KadTable *self, int index)
{
	if (index >= self->n_buckets)
	{
		int			room = (index / BUCKETS_STEP + 1) * BUCKETS_STEP;
		KadBucket **wider = core_grow(self->memory, self->bucket, (size_t) self->n_buckets, (size_t) room, sizeof *wider);

		if (wider == NULL)
			return NULL;
		for (int b = self->n_buckets; b < room; b++)
			wider[b] = NULL;
		self->bucket = wider;
		self->n_buckets = room;
	}
	if (self->bucket[index] == NULL)
	{
		KadBucket  *bucket = core_alloc(self->memory, sizeof *bucket);

		if (bucket == NULL)
			return NULL;
		memset(bucket, 0, sizeof *bucket);
		bucket->refreshed_ms = INT64_MIN;
		self->bucket[index] = bucket;
	}
	return self->bucket[index];
}

static int
find_in(const KadEntry *entries, int n, const KadId *id)
{
	for (int i = 0; i < n; i++)
		if (kad_id_equal(&entries[i].id, id))
			return i;
	return -1;
}

static uint64_t
subnet_of(const KadTable *self, const NetAddress *address)
{
	if (net_address_private(address))
		return self->exempt_private ? 0 : 1;
	return net_address_subnet(address);
}

/* Has the subnet as many entries as it may have, in the bucket or in the table?  `except` is not counted. */
static bool
crowded(const KadTable *self, const KadBucket *bucket, uint64_t subnet, const KadEntry *except)
{
	int			in_bucket = 0;
	int			in_table = 0;

	if (subnet == 0)
		return false;
	for (int b = 0; b < self->n_buckets; b++)
		for (int i = 0; self->bucket[b] != NULL && i < self->bucket[b]->n; i++)
		{
			const KadEntry *entry = &self->bucket[b]->entry[i];

			if (entry->subnet == subnet && entry != except)
			{
				in_table++;
				in_bucket += self->bucket[b] == bucket;
			}
		}
	return in_bucket >= KAD_SUBNET_BUCKET || in_table >= KAD_SUBNET_TABLE;
}

static KadEntry
entry_of(const KadTable *self, NodeRecord *record, int address, int64_t tick_ms)
{
	KadEntry	entry = {.id = record->id, .record = record, .answered_ms = tick_ms};

	entry.address = &record->addresses[address];
	entry.subnet = subnet_of(self, entry.address);
	return entry;
}

static void
replace_record(KadTable *self, KadEntry *entry, NodeRecord *record, int address)
{
	node_record_keep(record);
	record_pool_release(self->pool, entry->record);
	entry->record = record;
	entry->address = &record->addresses[address];
	entry->subnet = subnet_of(self, entry->address);
}

/* The newest stands last; a full cache loses its oldest. */
static void
wait_in(KadTable *self, KadBucket *bucket, KadEntry entry)
{
	int			of_subnet = 0;

	if (bucket->waiting == NULL)
	{
		bucket->waiting = core_alloc(self->memory, KAD_WAITING * sizeof *bucket->waiting);
		if (bucket->waiting == NULL)
			return;
	}
	for (int i = 0; i < bucket->n_waiting; i++)
		of_subnet += entry.subnet != 0 && bucket->waiting[i].subnet == entry.subnet;
	if (of_subnet >= KAD_SUBNET_BUCKET)
		return;
	if (bucket->n_waiting == KAD_WAITING)
	{
		record_pool_release(self->pool, bucket->waiting[0].record);
		drop_waiting(bucket, 0);
	}
	node_record_keep(entry.record);
	CORE_ASSERT(find_in(bucket->waiting, bucket->n_waiting, &entry.id) < 0);
	bucket->waiting[bucket->n_waiting++] = entry;
}

/* Fill a bucket that has room with those that wait: the newest first, of subnets that may have one entry more. */
static void
promote(KadTable *self, KadBucket *bucket)
{
	for (int i = bucket->n_waiting - 1; i >= 0 && bucket->n < KAD_K; i--)
		if (!crowded(self, bucket, bucket->waiting[i].subnet, NULL))
		{
			bucket->entry[bucket->n++] = bucket->waiting[i];
			self->n++;
			drop_waiting(bucket, i);
		}
}

/* The number of the part of its bucket's ids that an id is in: the bits after the first that differs from the owner's. */
static int
part_of(const KadId *id, int index)
{
	int			first = index + 1;
	unsigned	bits;

	if (first / 8 >= KAD_ID_BYTES)
		return 0;
	bits = (unsigned) id->b[first / 8] << 8;
	if (first / 8 + 1 < KAD_ID_BYTES)
		bits |= id->b[first / 8 + 1];
	return (int) (bits >> (16 - KAD_PART_BITS - first % 8) & (KAD_PARTS - 1));
}

/*
 * The index of the entry that a full bucket gives up for a newcomer that answers, or
 * -1.  It gives one up only when no entry is of the newcomer's part: then it is one of
 * the part that has most entries.
 */
static int
yielding(const KadBucket *bucket, int index, const KadId *id)
{
	int			n[KAD_PARTS] = {0};
	int			last = 0;

	for (int i = 0; i < bucket->n; i++)
		n[part_of(&bucket->entry[i].id, index)]++;
	if (n[part_of(id, index)] > 0)
		return -1;
	/* more entries than parts: the largest has two or more */
	for (int i = 1; i < bucket->n; i++)
		if (n[part_of(&bucket->entry[i].id, index)] >= n[part_of(&bucket->entry[last].id, index)])
			last = i;
	return last;
}

/* The reference passes to the caller. */
static void
drop_entry(KadTable *self, KadBucket *bucket, int i)
{
	CORE_ASSERT(i >= 0 && i < bucket->n && self->n > 0);
	bucket->n--;
	self->n--;
	bucket->entry[i] = bucket->entry[bucket->n];
}

static void
drop_waiting(KadBucket *bucket, int i)
{
	CORE_ASSERT(i >= 0 && i < bucket->n_waiting);
	bucket->n_waiting--;
	memmove(&bucket->waiting[i], &bucket->waiting[i + 1],
			(size_t) (bucket->n_waiting - i) * sizeof *bucket->waiting);
}

/* Insert the nodes of a bucket into out[n], which is sorted by distance and keeps the max nearest.  Returns the new n. */
static int
gather(const KadBucket *bucket, const KadId *target, bool failing, NodeRecord **out,
	   uint64_t *distance, int n, int max)
{
	for (int i = 0; bucket != NULL && i < bucket->n; i++)
	{
		const KadEntry *entry = &bucket->entry[i];
		uint64_t	d = kad_id_distance(target, &entry->id);
		int			at = n;

		if (entry->failures > 0 && !failing)
			continue;
		while (at > 0 && (d < distance[at - 1] ||
						  (d == distance[at - 1] && kad_id_nearer(target, &entry->id, &out[at - 1]->id) < 0)))
			at--;
		if (at == max)
			continue;
		if (n < max)
			n++;
		memmove(&out[at + 1], &out[at], (size_t) (n - 1 - at) * sizeof *out);
		memmove(&distance[at + 1], &distance[at], (size_t) (n - 1 - at) * sizeof *distance);
		out[at] = entry->record;
		distance[at] = d;
	}
	return n;
}
