/*
 * kad_lookup.c
 *	  An iterative lookup.
 */
#include "core/net/kad_lookup.h"

#include "core/assert.h"

#define NO_SOURCE 255

_Static_assert(KAD_SHORTLIST < NO_SOURCE, "a slot is a byte that is not NO_SOURCE");
_Static_assert(KAD_K <= KAD_SHORTLIST && KAD_K <= KAD_CLOSEST_MAX, "a lookup begins with an answer of the own table");

static inline int compare(const KadLookup *self, const KadCandidate *c, uint64_t distance, const KadId *id);
static int	slot_of(const KadLookup *self, const KadId *id);
static void offer(KadLookup *self, NodeRecord *record, int source, int hops);
static int	free_slot(KadLookup *self);
static bool distrusted(const KadLookup *self, const KadCandidate *c);
static void count_for_source(KadLookup *self, const KadCandidate *c, bool answered);
static void leave_parallel(KadLookup *self, KadCandidate *c);
static int	next_slot(const KadLookup *self, bool *waiting);

/* Slots are used once each, nearest first, and those in parallel are counted. */
static bool
lookup_holds(const KadLookup *self)
{
	bool		used[KAD_SHORTLIST] = {false};
	int			asked = 0;

	if (self->n < 0 || self->n > KAD_SHORTLIST)
		return false;
	for (int i = 0; i < self->n; i++)
	{
		const KadCandidate *c = &self->candidate[self->order[i]];

		if (used[self->order[i]] ||
			(i > 0 && compare(self, &self->candidate[self->order[i - 1]], c->distance, &c->record->id) <= 0))
			return false;
		used[self->order[i]] = true;
		asked += c->state == KAD_ASKED;
	}
	return asked == self->parallel && asked <= KAD_ALPHA;
}

void
kad_lookup_init(KadLookup *self, const KadTable *table, const KadId *target,
				bool for_providers, int64_t tick_ms)
{
	NodeRecord *near[KAD_K];
	int			n;

	memset(self, 0, sizeof *self);
	self->target = *target;
	self->self = table->self;
	self->pool = table->pool;
	self->for_providers = for_providers;
	self->started_ms = tick_ms;
	n = kad_table_closest(table, target, KAD_K, false, near);
	if (n == 0)
		n = kad_table_closest(table, target, KAD_K, true, near);
	for (int i = 0; i < n; i++)
		offer(self, near[i], NO_SOURCE, 1);
}

void
kad_lookup_reset(KadLookup *self)
{
	for (int i = 0; i < self->n; i++)
		record_pool_release(self->pool, self->candidate[self->order[i]].record);
	for (int i = 0; i < self->n_providers; i++)
		provider_release(self->pool, self->provider[i]);
	self->n = self->n_providers = self->parallel = 0;
}

void
kad_lookup_offer(KadLookup *self, NodeRecord *record)
{
	offer(self, record, NO_SOURCE, 1);
}

NodeRecord *
kad_lookup_next(KadLookup *self, int64_t tick_ms)
{
	bool		waiting;
	int			slot;
	KadCandidate *c;

	if (self->parallel >= KAD_ALPHA || self->requests >= KAD_REQUESTS)
		return NULL;
	slot = next_slot(self, &waiting);
	if (slot < 0)
		return NULL;
	c = &self->candidate[slot];
	c->state = KAD_ASKED;
	c->asked_ms = tick_ms;
	self->parallel++;
	self->requests++;
	CORE_ASSERT(lookup_holds(self) && self->requests <= KAD_REQUESTS);
	return c->record;
}

bool
kad_lookup_answered(KadLookup *self, const KadId *from, NodeRecord *const *records, int n)
{
	int			slot = slot_of(self, from);
	KadCandidate *c;

	if (slot < 0)
		return false;
	c = &self->candidate[slot];
	if (c->state != KAD_ASKED && c->state != KAD_SLOW)
		return false;
	leave_parallel(self, c);
	count_for_source(self, c, true);
	/* while it counts as asked, none of those that it names can take its slot */
	for (int i = 0; i < n; i++)
		offer(self, records[i], slot, c->hops < 255 ? c->hops + 1 : 255);
	c->state = KAD_ANSWERED;
	CORE_ASSERT(lookup_holds(self));
	return true;
}

void
kad_lookup_failed(KadLookup *self, const KadId *from)
{
	int			slot = slot_of(self, from);
	KadCandidate *c;

	if (slot < 0)
		return;
	c = &self->candidate[slot];
	if (c->state != KAD_ASKED && c->state != KAD_SLOW)
		return;
	leave_parallel(self, c);
	c->state = KAD_FAILED;
	self->failures++;
	count_for_source(self, c, false);
	CORE_ASSERT(lookup_holds(self) && self->failures <= self->requests);
}

bool
kad_lookup_provider(KadLookup *self, Provider *provider)
{
	if (!kad_id_equal(&provider->collection, &self->target))
		return false;
	for (int i = 0; i < self->n_providers; i++)
	{
		Provider   *held = self->provider[i];

		if (!kad_id_equal(&held->record->id, &provider->record->id))
			continue;
		if (provider->issued_ms <= held->issued_ms || !provider_verify(self->pool->crypto, provider))
			return false;
		self->provider[i] = provider_keep(provider);
		provider_release(self->pool, held);
		return true;
	}
	if (self->n_providers == KAD_PROVIDERS || !provider_verify(self->pool->crypto, provider))
		return false;
	self->provider[self->n_providers++] = provider_keep(provider);
	return true;
}

int64_t
kad_lookup_slow(KadLookup *self, int64_t tick_ms)
{
	int64_t		next = INT64_MAX;

	for (int i = 0; i < self->n && self->parallel > 0; i++)
	{
		KadCandidate *c = &self->candidate[self->order[i]];

		if (c->state != KAD_ASKED)
			continue;
		if (c->asked_ms + KAD_SLOW_MS <= tick_ms)
		{
			leave_parallel(self, c);
			c->state = KAD_SLOW;
		}
		else if (c->asked_ms + KAD_SLOW_MS < next)
			next = c->asked_ms + KAD_SLOW_MS;
	}
	return next;
}

bool
kad_lookup_done(const KadLookup *self)
{
	bool		waiting;
	int			slot = next_slot(self, &waiting);

	return !waiting && (slot < 0 || self->requests >= KAD_REQUESTS);
}

int
kad_lookup_result(const KadLookup *self, NodeRecord **out, int n, int *hops)
{
	int			found = 0;

	for (int i = 0; i < self->n && found < n; i++)
	{
		const KadCandidate *c = &self->candidate[self->order[i]];

		if (c->state != KAD_ANSWERED)
			continue;
		if (found == 0 && hops != NULL)
			*hops = c->hops;
		out[found++] = c->record;
	}
	return found;
}

int
kad_lookup_avoid(const KadLookup *self, uint64_t *out, int n)
{
	int			found = 0;

	for (int i = 0; i < self->n && found < n; i++)
	{
		const KadCandidate *c = &self->candidate[self->order[i]];

		if (c->state == KAD_FAILED || c->state == KAD_SLOW)
			out[found++] = kad_id_short(&c->record->id);
	}
	return found;
}

/*
 * The nearest candidate to be asked among the KAD_K nearest that may be there,
 * or -1; *waiting: one of them has been asked and may still answer.
 */
static int
next_slot(const KadLookup *self, bool *waiting)
{
	int			slot = -1;
	int			live = 0;

	*waiting = false;
	for (int i = 0; i < self->n && live < KAD_K; i++)
	{
		const KadCandidate *c = &self->candidate[self->order[i]];

		if (c->state == KAD_FAILED || (c->state == KAD_NEW && distrusted(self, c)))
			continue;
		if (c->state == KAD_NEW && slot < 0)
			slot = self->order[i];
		if (c->state == KAD_ASKED || c->state == KAD_SLOW)
			*waiting = true;
		/* beyond one that is slow the search goes on as if it were gone */
		if (c->state != KAD_SLOW)
			live++;
	}
	return slot;
}

static int
slot_of(const KadLookup *self, const KadId *id)
{
	uint64_t	distance = kad_id_distance(&self->target, id);

	for (int i = 0; i < self->n; i++)
		if (compare(self, &self->candidate[self->order[i]], distance, id) == 0)
			return self->order[i];
	return -1;
}

/* Is an id, whose distance is known, nearer than a candidate (below 0), the same, or farther? */
static inline int
compare(const KadLookup *self, const KadCandidate *c, uint64_t distance, const KadId *id)
{
	if (distance != c->distance)
		return distance < c->distance ? -1 : 1;
	return kad_id_nearer(&self->target, id, &c->record->id);
}

/* Take a node into the shortlist, if it is new and near enough. */
static void
offer(KadLookup *self, NodeRecord *record, int source, int hops)
{
	uint64_t	distance = kad_id_distance(&self->target, &record->id);
	int			at;
	int			slot;

	if (kad_id_equal(&record->id, &self->self))
		return;
	/* from the far end: most of those offered are farther than most of those held */
	for (at = self->n; at > 0; at--)
	{
		KadCandidate *c = &self->candidate[self->order[at - 1]];
		int			nearer = compare(self, c, distance, &record->id);

		if (nearer == 0)
		{
			c->confirmed |= c->source != source;
			if (hops < c->hops)
				c->hops = (uint8_t) hops;
			if (record->seq > c->record->seq && c->state == KAD_NEW)
			{
				node_record_keep(record);
				record_pool_release(self->pool, c->record);
				c->record = record;
			}
			return;
		}
		if (nearer > 0)
			break;
	}
	if (self->n == KAD_SHORTLIST && at == self->n)
		return;
	slot = free_slot(self);
	if (slot < 0)
		return;
	/* the one that made room may have stood before this position */
	for (at = self->n; at > 0; at--)
		if (compare(self, &self->candidate[self->order[at - 1]], distance, &record->id) > 0)
			break;
	memmove(&self->order[at + 1], &self->order[at], (size_t) (self->n - at));
	self->order[at] = (uint8_t) slot;
	self->n++;
	self->candidate[slot] = (KadCandidate) {
		.record = node_record_keep(record),
		.distance = distance,
		.state = KAD_NEW,
		.hops = (uint8_t) hops,
		.first_hops = (uint8_t) hops,
		.source = (uint8_t) source,
		.confirmed = source == NO_SOURCE
	};
}

/*
 * A slot for one more candidate.  When all are taken, the farthest candidate whose
 * answer is not awaited is dropped; -1 when all answers are awaited.
 */
static int
free_slot(KadLookup *self)
{
	if (self->n < KAD_SHORTLIST)
	{
		bool		taken[KAD_SHORTLIST] = {false};

		for (int i = 0; i < self->n; i++)
			taken[self->order[i]] = true;
		for (int slot = 0; slot < KAD_SHORTLIST; slot++)
			if (!taken[slot])
				return slot;
	}
	for (int i = self->n - 1; i >= 0; i--)
	{
		int			slot = self->order[i];
		KadCandidate *c = &self->candidate[slot];

		if (c->state == KAD_ASKED || c->state == KAD_SLOW)
			continue;
		record_pool_release(self->pool, c->record);
		self->n--;
		memmove(&self->order[i], &self->order[i + 1], (size_t) (self->n - i));
		for (int j = 0; j < self->n; j++)
			if (self->candidate[self->order[j]].source == slot)
				self->candidate[self->order[j]].source = NO_SOURCE;
		return slot;
	}
	return -1;
}

static bool
distrusted(const KadLookup *self, const KadCandidate *c)
{
	const KadCandidate *source;

	if (c->confirmed || c->source == NO_SOURCE)
		return false;
	source = &self->candidate[c->source];
	return source->named_failed >= KAD_DISTRUST && source->named_failed >= 2 * source->named_answered;
}

static void
count_for_source(KadLookup *self, const KadCandidate *c, bool answered)
{
	uint8_t    *count;

	if (c->source == NO_SOURCE)
		return;
	count = answered ? &self->candidate[c->source].named_answered : &self->candidate[c->source].named_failed;
	if (*count < 255)
		(*count)++;
}

static void
leave_parallel(KadLookup *self, KadCandidate *c)
{
	CORE_ASSERT(c->state != KAD_ASKED || self->parallel > 0);
	if (c->state == KAD_ASKED)
		self->parallel--;
}
