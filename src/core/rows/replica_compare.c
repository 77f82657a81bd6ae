/*
 * replica_compare.c
 *	  A request that compares: which ranges of keys differ, and what follows.
 *
 * Who asks has a snapshot of its own, from the first answer on.  The other answers for each
 * range with the sums of its parts, or with its entries where they are few; only parts whose
 * sums differ are asked for again.  What is missing here is fetched, what was deleted there
 * is dropped; what the other lacks it learns by a request of its own.  At the end every key
 * is here as new as in the other's snapshot, so its claim holds here too.
 */
#include "core/rows/replica_state.h"

/* ---- both sides ---- */

static bool
in_range(RowBytes key, const RowRange *range)
{
	return row_key_compare(key, range->low) > 0 && (range->high.len == 0 || row_key_compare(key, range->high) <= 0);
}

/* The range of the i-th part. */
static RowRange
part_range(const RowParts *parts, int i, const RowRange *whole)
{
	RowRange	range = *whole;

	if (i > 0)
		range.low = (RowBytes) {parts->part[i - 1].last, parts->part[i - 1].last_len};
	if (i < parts->n - 1)
		range.high = (RowBytes) {parts->part[i].last, parts->part[i].last_len};
	return range;
}

/* ---- who is asked ---- */

/* False: it does not fit into the frame any more. */
static bool
put_entries(Replica *self, ReplicaServe *serve, RowWriter *w, const RowRange *range)
{
	RowRead		read;
	Row			row;

	self->host.seek_keys(self->host.context, serve->scan, range);
	while ((read = self->host.next(self->host.context, serve->scan, &row)) == ROW_READ)
	{
		RowWireRow	wire;

		if (!row.entry.live && row_frontier_covers(&serve->skip, row.entry.stamp))
			continue;
		row.thin = false;
		replica_wire_row(self, &row, &wire);
		if (!row_wire_put_entry(w, &wire))
			return false;
	}
	return read == ROW_READ_END;
}

static bool
put_sums(Replica *self, RowWriter *w, const RowRange *range)
{
	for (int i = 0; i < self->scratch->parts.n; i++)
	{
		const struct RowPart *part = &self->scratch->parts.part[i];
		RowSum		sum = {part_range(&self->scratch->parts, i, range), part->entries, {0}};

		memcpy(sum.sum, part->sum, 16);
		if (!row_wire_put_sum(w, &sum))
			return false;
	}
	return true;
}

/*
 * Sums come before entries in a message, so ranges are answered in two passes: which are
 * told by sums depends on nothing but the snapshot.
 */
static bool
put_ranges(Replica *self, ReplicaServe *serve, RowWriter *w, const RowMessage *message)
{
	RowRange	range = {{NULL, 0}, {NULL, 0}};
	uint32_t	few = 0;

	CORE_ASSERT(COMPARE_ASKED <= 32);
	for (int pass = 0; pass < 2; pass++)
	{
		RowBytes	at = message->many[ROW_TAG_RANGE];

		for (int i = 0; i < COMPARE_ASKED && row_wire_next_range(&at, &range); i++)
		{
			bool		fits = true;

			if (pass == 0)
			{
				row_parts_read(&self->host, &self->crypto, serve->scan, &range, &serve->skip, &self->scratch->parts);
				if (self->scratch->parts.status != ROW_READ_END)
					return false;
				if (self->scratch->parts.entries <= RECONCILE_ENTRIES)
					few |= UINT32_C(1) << i;
				else
					fits = put_sums(self, w, &range);
			}
			else if ((few >> i & 1) != 0)
				fits = put_entries(self, serve, w, &range);
			if (!fits)
				return false;
		}
	}
	return true;
}

void
compare_answer(Replica *self, ReplicaServe *serve, const RowMessage *message)
{
	RowWriter	w;
	bool		fits = true;

	replica_write(self, &w, &serve->to, ROW_WIRE_RANGES, true, serve->request);
	if (message == NULL)
	{
		/* all keys as one range, with what is covered */
		RowSum		sum = {{{NULL, 0}, {NULL, 0}}, 0, {0}};

		row_parts_read(&self->host, &self->crypto, serve->scan, &sum.range, &serve->skip, &self->scratch->parts);
		sum.count = self->scratch->parts.entries;
		row_parts_sum(&self->scratch->parts, sum.sum);
		fits = self->scratch->parts.status == ROW_READ_END &&
			row_wire_put_uint(&w, ROW_TAG_CLOCK, self->floor_clock) &&
			row_wire_put_frontier(&w, ROW_TAG_CLAIM, &serve->claim, &self->dictionary) &&
			row_wire_put_frontier(&w, ROW_TAG_FLOOR, &serve->floor, &self->dictionary) &&
			row_wire_put_sum(&w, &sum);
	}
	else
		fits = put_ranges(self, serve, &w, message);
	if (fits)
		replica_send(self, &w, &serve->to);
	else
	{
		replica_stop(self, &serve->to, serve->request, true, ROW_CODE_ANEW);
		serve_end(self, serve);
	}
}

/* ---- who asks ---- */

static RowRange
asked_range(const AskRange *range)
{
	return (RowRange) {{range->bytes, range->low_len}, {range->bytes + range->low_len, range->high_len}};
}

static bool
add_range(Replica *self, const RowRange *range)
{
	AskRange   *new = self->ask.n_ranges == COMPARE_RANGES ? NULL :
		core_alloc(&self->memory, sizeof *new + range->low.len + range->high.len);

	if (new == NULL)
		return false;
	self->ask.n_ranges++;
	new->next = self->ask.ranges;
	new->low_len = range->low.len;
	new->high_len = range->high.len;
	if (range->low.len > 0)
		memcpy(new->bytes, range->low.at, range->low.len);
	if (range->high.len > 0)
		memcpy(new->bytes + range->low.len, range->high.at, range->high.len);
	self->ask.ranges = new;
	return true;
}

static void
free_asked(Replica *self)
{
	for (int i = 0; i < self->ask.n_asked; i++)
		core_free(&self->memory, self->ask.asked[i]);
	self->ask.n_asked = 0;
}

/*
 * The first answer is here: now our snapshot is taken, and not with the request.  What is
 * written here after it is above the other's tombstones, whose clock was heard before; what
 * was written before it is compared.  False: not now.
 */
static bool
begin(Replica *self, const RowMessage *message)
{
	ReplicaAsk *ask = &self->ask;

	CORE_ASSERT(ask->scan == NULL && ask->ranges == NULL);
	ask->floor_clock = row_message_has(message, ROW_TAG_CLOCK) ? message->clock : 0;
	if (replica_holds(self, ROW_RULE_CLOCK_HEARD))
		self->host.clock_heard(self->host.context, ask->floor_clock);
	ask->scan = self->host.open(self->host.context, NULL);
	return ask->scan != NULL;
}

void
compare_reset(Replica *self)
{
	if (self->ask.scan != NULL)
		self->host.close(self->host.context, self->ask.scan);
	self->ask.scan = NULL;
	while (self->ask.ranges != NULL)
	{
		AskRange   *range = self->ask.ranges;

		self->ask.ranges = range->next;
		core_free(&self->memory, range);
	}
	self->ask.n_ranges = 0;
	free_asked(self);
}

/* Ask for the next ranges, or keep the claim when there are none. */
void
compare_go_on(Replica *self)
{
	ReplicaAsk *ask = &self->ask;
	RowWriter	w;

	if (ask->ranges == NULL)
	{
		ask_claim(self);
		return;
	}
	CORE_ASSERT(ask->n_asked == 0);
	replica_write(self, &w, &ask->to, ROW_WIRE_RANGES, false, ask->request);
	while (ask->ranges != NULL && ask->n_asked < COMPARE_ASKED)
	{
		AskRange   *range = ask->ranges;
		RowRange	keys = asked_range(range);

		(void) row_wire_put_range(&w, &keys);
		ask->ranges = range->next;
		ask->n_ranges--;
		ask->asked[ask->n_asked++] = range;
	}
	replica_send(self, &w, &ask->to);
}

static RowSides
sides(const Replica *self)
{
	return (RowSides) {&self->floor, &self->ask.floor, &self->frontier, &self->ask.claim, self->floor_clock, self->ask.floor_clock};
}

/*
 * May who may not write take it for deleted that a row is not there?  Of one who claims all
 * that is covered here: the row is covered there, too, and something newer was collected; or
 * it is claimed by nobody, nobody would take it from here, and what it replaced was collected
 * there.  So says the floor that comes with the claim.  Where it is alive, it comes again.
 */
static bool
is_stray(const Replica *self, const RowEntry *here, const RowEntry *there)
{
	return self->own_role < GRANT_WRITER && here != NULL && there == NULL &&
		row_frontier_includes(&self->ask.claim, &self->frontier);
}

/*
 * Do they differ on it though the one who has less of it has claimed more?  What a floor covers may be
 * gone, and our own tickets go on while we compare.
 */
static void
look_for_broken_claim(Replica *self, const RowEntry *here, const RowEntry *there, RowBytes key)
{
	int			order = here == NULL ? -1 : there == NULL ? 1 : row_version_compare(&here->version, &there->version);
	const RowFrontier *lacks = order < 0 ? &self->frontier : &self->ask.claim;
	const RowFrontier *lacks_floor = order < 0 ? &self->floor : &self->ask.floor;
	const RowEntry *more = order < 0 ? there : here;

	if (order != 0 && (more->live || !row_frontier_covers(&self->floor, more->stamp)) && (order > 0 || more->stamp.incarnation != self->own) && row_frontier_covers(lacks, more->stamp) &&
		!row_frontier_covers(lacks_floor, more->stamp))
		self->host.found(self->host.context, &self->ask.to, key, order < 0);
}

/* What follows for one key. */
static bool
take_difference(Replica *self, const RowEntry *here, const RowEntry *there, RowBytes key)
{
	RowSides	both = sides(self);
	RowDifference difference = row_differ(here, there, &both, self->config.off);

	if (self->host.found != NULL)
		look_for_broken_claim(self, here, there, key);
	switch (difference)
	{
		case ROW_EQUAL:
			return !is_stray(self, here, there) || ask_add_drop(self, key, here, false, false);
		case ROW_FETCH:
		case ROW_FETCH_ANEW:
			/* of our own tickets those since our snapshot are covered, too */
			self->ask.doubtful |= there->stamp.incarnation != self->own && row_frontier_covers(&self->frontier, there->stamp);
			return ask_add_fetch(self, key, difference == ROW_FETCH_ANEW && self->own_role >= GRANT_WRITER);
		case ROW_DROP:
			return ask_add_drop(self, key, here, false, false);
		case ROW_DELETE:
			/*
			 * Who may not write tells nobody.  It may be a writer again, and then its row would be
			 * asked for as any: so it goes, and where others have it, comes again.  What lost to it
			 * here is covered all the same, and may live elsewhere.
			 */
			self->ask.doubtful |= self->own_role < GRANT_WRITER;
			return ask_add_drop(self, key, here, self->own_role >= GRANT_WRITER, false);
		case ROW_RENEW:
			if (self->own_role < GRANT_WRITER)
				return !is_stray(self, here, there) || ask_add_drop(self, key, here, false, false);
			return ask_add_drop(self, key, here, false, true);
		case ROW_WAIT:
			self->ask.waits = true;
			return true;
	}
	return false;
}

/*
 * The entries of a range from both sides, in the order of their keys.  *at stands at the
 * first of theirs that is not below the range, and ends behind those in it.
 */
static bool
merge_entries(Replica *self, const RowRange *range, RowBytes *at)
{
	const RowHost *host = &self->host;
	RowWireRow	there;
	RowEntry	entry;
	RowBytes	before = *at;
	bool		has_there = row_wire_next_entry(at, &there) && in_range(there.key, range);
	uint32_t	n_there = 0;
	RowRead		read;
	Row			here;

	if (!has_there)
		*at = before;
	host->seek_keys(host->context, self->ask.scan, range);
	read = host->next(host->context, self->ask.scan, &here);
	while (read == ROW_READ || (has_there && read == ROW_READ_END))
	{
		int			order = !has_there ? -1 : read != ROW_READ ? 1 : row_key_compare(here.key, there.key);

		/* a range of more is told by sums */
		if (order >= 0 && (++n_there > RECONCILE_ENTRIES || !replica_read_entry(self, &there, &entry)))
			return false;
		if (!take_difference(self, order <= 0 ? &here.entry : NULL, order >= 0 ? &entry : NULL,
							 order <= 0 ? here.key : there.key))
			return false;
		if (order <= 0)
			read = host->next(host->context, self->ask.scan, &here);
		if (order >= 0)
		{
			before = *at;
			has_there = row_wire_next_entry(at, &there) && in_range(there.key, range);
			if (!has_there)
				*at = before;
		}
	}
	return read == ROW_READ_END;
}

/* Their sum of a range beside ours: where they differ it is asked for. */
static bool
compare_sum(Replica *self, const RowSum *theirs)
{
	uint8_t		ours[16];

	row_parts_read(&self->host, &self->crypto, self->ask.scan, &theirs->range, &self->floor, &self->scratch->parts);
	if (self->scratch->parts.status != ROW_READ_END)
		return false;
	row_parts_sum(&self->scratch->parts, ours);
	if (theirs->range.low.len == 0 && theirs->range.high.len == 0)
	{
		self->figures.summed_ms = self->now.unix_ms;
		memcpy(self->figures.sum, ours, 16);
	}
	if (self->scratch->parts.entries == theirs->count && memcmp(ours, theirs->sum, 16) == 0)
		return true;
	return add_range(self, &theirs->range);
}

/* The whole answer to a RANGES.  False: it is not one, or there is no memory. */
static bool
take_answer(Replica *self, const RowMessage *message)
{
	ReplicaAsk *ask = &self->ask;
	RowBytes	sums = message->many[ROW_TAG_SUM];
	RowBytes	entries = message->many[ROW_TAG_ENTRY];
	RowSum		sum;
	bool		has_sum = row_wire_next_sum(&sums, &sum);

	for (int i = 0; i < ask->n_asked; i++)
	{
		RowRange	range = asked_range(ask->asked[i]);
		RowBytes	low = range.low;
		bool		whole = false;
		int			n_parts = 0;

		if (!has_sum || row_key_compare(sum.range.low, low) != 0)
		{
			if (!merge_entries(self, &range, &entries))
				return false;
			continue;
		}
		/* its parts follow each other from its low end to its high one */
		while (!whole)
		{
			if (!has_sum || n_parts++ == RECONCILE_PARTS || row_key_compare(sum.range.low, low) != 0 ||
				!compare_sum(self, &sum))
				return false;
			low = sum.range.high;
			whole = row_key_compare(low, range.high) == 0;
			if (!whole && (low.len == 0 || !in_range(low, &range)))
				return false;
			has_sum = row_wire_next_sum(&sums, &sum);
		}
	}
	return !has_sum && entries.len == 0;
}

void
compare_ranges(Replica *self, const RowMessage *message)
{
	ReplicaAsk *ask = &self->ask;
	bool		good;

	if (ask->n_asked > 0)
		good = take_answer(self, message);
	else if (!begin(self, message))
	{
		replica_stop(self, &ask->to, ask->request, false, ROW_CODE_DONE);
		ask_abandon(self, ASK_AGAIN_MS);
		return;
	}
	else
	{
		/* all keys as one range */
		RowBytes	sums = message->many[ROW_TAG_SUM];
		RowSum		sum;

		good = row_wire_next_sum(&sums, &sum) && sum.range.low.len == 0 && sum.range.high.len == 0 &&
			compare_sum(self, &sum);
	}
	free_asked(self);
	if (!good)
	{
		replica_stop(self, &ask->to, ask->request, false, ROW_CODE_MALFORMED);
		ask_in_vain(self);
	}
	else if (ask->ranges == NULL || ask->n_fetch >= COMPARE_PENDING || ask->n_drop >= COMPARE_DROPS)
		ask_settle_keys(self);
	else
		compare_go_on(self);
}
