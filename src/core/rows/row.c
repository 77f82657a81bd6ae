/*
 * row.c
 *	  Which of two writes wins, and what a write leaves.
 */
#include "core/rows/row.h"

#include <string.h>

#include "core/assert.h"
#include "core/bytes.h"
#include "core/rows/clock.h"

int
row_version_compare(const RowVersion *a, const RowVersion *b)
{
	if (a->clock != b->clock)
		return a->clock < b->clock ? -1 : 1;
	return memcmp(a->tie, b->tie, ROW_HASH);
}

int
row_key_compare(RowBytes a, RowBytes b)
{
	size_t		common = a.len < b.len ? a.len : b.len;
	int			order = common == 0 ? 0 : memcmp(a.at, b.at, common);

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

RowEntry
row_written(const RowEntry *old, uint64_t clock, RowStamp stamp, const RowIncarnationId *writer, bool live,
			const uint8_t hash[ROW_HASH], const uint8_t vector_hash[ROW_HASH])
{
	RowEntry	entry;

	CORE_ASSERT(clock > 0 && stamp.incarnation > 0 && stamp.ticket > 0);
	CORE_ASSERT(old == NULL || old->version.clock < ROW_CLOCK_MAX);
	memset(&entry, 0, sizeof entry);
	entry.version.clock = old != NULL && old->version.clock >= clock ? old->version.clock + 1 : clock;
	memcpy(entry.version.tie, writer->bytes, ROW_HASH);
	entry.stamp = stamp;
	entry.birth = old != NULL && (old->live || !live) ? old->birth : stamp;
	entry.vector_stamp = stamp;
	entry.live = live;
	entry.held = ROW_APPLIED;
	if (live)
	{
		memcpy(entry.hash, hash, ROW_HASH);
		memcpy(entry.vector_hash, vector_hash, ROW_HASH);
		if (old != NULL && old->live && memcmp(old->vector_hash, vector_hash, ROW_HASH) == 0)
			entry.vector_stamp = old->vector_stamp;
	}
	return entry;
}

RowEntry
row_lost(const RowEntry *old, RowStamp stamp)
{
	RowEntry	entry;
	int			i = ROW_HASH;

	CORE_ASSERT(old->live && old->version.clock < ROW_CLOCK_MAX);
	memset(&entry, 0, sizeof entry);
	entry.version = old->version;
	if (entry.version.clock == 0)
		entry.version.clock = 1;	/* of tombstones it is never 0 */
	else
	{
		while (i > 0 && ++entry.version.tie[--i] == 0)
			;
		entry.version.clock += bytes_all_zero(entry.version.tie, ROW_HASH);
	}
	entry.stamp = entry.vector_stamp = stamp;
	entry.birth = old->birth;
	CORE_ASSERT(row_version_compare(&entry.version, &old->version) > 0);
	return entry;
}

RowEntry
row_renewed(const RowEntry *old, const RowVersion *version, RowStamp stamp)
{
	RowEntry	entry = *old;

	CORE_ASSERT(old->live && row_version_compare(version, &old->version) > 0);
	entry.version = *version;
	entry.stamp = stamp;
	return entry;
}

RowEntry
row_loaded(RowStamp stamp, const uint8_t hash[ROW_HASH], const uint8_t vector_hash[ROW_HASH])
{
	RowEntry	entry;

	memset(&entry, 0, sizeof entry);
	memcpy(entry.version.tie, hash, ROW_HASH);
	entry.stamp = entry.birth = entry.vector_stamp = stamp;
	entry.live = true;
	memcpy(entry.hash, hash, ROW_HASH);
	memcpy(entry.vector_hash, vector_hash, ROW_HASH);
	return entry;
}

static bool
same_stamp(RowStamp a, RowStamp b)
{
	return a.incarnation == b.incarnation && a.ticket == b.ticket;
}

/* Is its stamp, or that of the write that made the row, not covered? */
static bool
is_loose(const RowEntry *entry, const RowFrontier *frontier)
{
	return !row_frontier_covers(frontier, entry->stamp) || !row_frontier_covers(frontier, entry->birth);
}

/* Are two versions of a row one content?  Then the loser has nothing that is lost. */
static bool
same_content(const RowEntry *a, const RowEntry *b)
{
	return a->live && b->live && memcmp(a->hash, b->hash, ROW_HASH) == 0 && memcmp(a->vector_hash, b->vector_hash, ROW_HASH) == 0;
}

/* Of the same version: ours are covered by nobody, or perhaps by nobody but us, and those that came are covered. */
static bool
takes_stamps(const RowEntry *here, const RowEntry *row, const RowFrontier *frontier, const RowFrontier *claim)
{
	if (same_stamp(here->stamp, row->stamp) && same_stamp(here->birth, row->birth))
		return false;
	if (claim == NULL)
		return is_loose(here, frontier);
	return (is_loose(here, frontier) || is_loose(here, claim)) && (!is_loose(row, claim) || !is_loose(row, frontier));
}

RowDecision
row_decide(const RowEntry *here, const RowEntry *row, bool thin, const RowFrontier *frontier, const RowFrontier *floor,
		   const RowFrontier *claim)
{
	int			order;

	CORE_ASSERT(row->live || !thin);
	if (here == NULL)
	{
		if (row_frontier_covers(floor, row->stamp))
			return ROW_LATE;
		return thin ? ROW_NEEDS_VECTOR : ROW_TAKE;
	}
	order = row_version_compare(&row->version, &here->version);
	if (order == 0)
		return takes_stamps(here, row, frontier, claim) ? ROW_SAME : ROW_KEEP;
	if (order < 0)
		/* who wrote what is here had seen the row if the row is older news to us */
		return row_frontier_covers(frontier, row->stamp) || same_content(here, row) ? ROW_KEEP : ROW_KEEP_OVER;
	if (thin && (!here->live || here->held != ROW_APPLIED ||
				 memcmp(here->vector_hash, row->vector_hash, ROW_HASH) != 0))
		return ROW_NEEDS_VECTOR;
	return claim == NULL || row_frontier_covers(claim, here->stamp) || same_content(here, row) ? ROW_TAKE : ROW_TAKE_OVER;
}
