/*
 * reconcile.c
 *	  Sums of ranges, and what follows where two copies differ.
 */
#include "core/rows/reconcile.h"

#include <string.h>

#include "core/assert.h"
#include "core/rows/rules.h"

void
row_sum_add(uint8_t sum[16], const CoreCrypto *crypto, RowBytes key, const RowVersion *version)
{
	uint8_t		message[8 + ROW_HASH + ROW_KEY_MAX];
	uint8_t		hash[CORE_HASH_BYTES];

	CORE_ASSERT(key.len <= ROW_KEY_MAX);
	bytes_store(message, 8, version->clock);
	memcpy(message + 8, version->tie, ROW_HASH);
	memcpy(message + 8 + ROW_HASH, key.at, key.len);
	crypto->sha256(crypto->context, message, 8 + ROW_HASH + key.len, hash);
	row_sum_merge(sum, hash);
}

void
row_sum_merge(uint8_t sum[16], const uint8_t other[16])
{
	uint64_t	low = bytes_load(sum, 8) + bytes_load(other, 8);
	uint64_t	carry = low < bytes_load(other, 8);

	bytes_store(sum + 8, 8, bytes_load(sum + 8, 8) + bytes_load(other + 8, 8) + carry);
	bytes_store(sum, 8, low);
}

/* Two parts become one, so that there is room for as many again. */
static void
halve(RowParts *self)
{
	self->n /= 2;
	for (int i = 0; i < self->n; i++)
	{
		struct RowPart *to = &self->part[i];
		const struct RowPart *first = &self->part[2 * i];
		const struct RowPart *second = &self->part[2 * i + 1];
		uint8_t		sum[16];

		memcpy(sum, first->sum, 16);
		row_sum_merge(sum, second->sum);
		to->entries = first->entries + second->entries;
		if (to != second)
		{
			to->last_len = second->last_len;
			memmove(to->last, second->last, second->last_len);
		}
		memcpy(to->sum, sum, 16);
	}
	self->size *= 2;
}

void
row_parts_read(const RowHost *host, const CoreCrypto *crypto, RowScan *scan, const RowRange *range,
			   const RowFrontier *skip, RowParts *out)
{
	Row			row;

	out->entries = 0;
	out->n = 0;
	out->size = 1;
	host->seek_keys(host->context, scan, range);
	while ((out->status = host->next(host->context, scan, &row)) == ROW_READ)
	{
		struct RowPart *part;

		if (!row.entry.live && row_frontier_covers(skip, row.entry.stamp))
			continue;
		if (out->n == 0 || out->part[out->n - 1].entries == out->size)
		{
			if (out->n == RECONCILE_PARTS)
				halve(out);
			part = &out->part[out->n++];
			part->entries = 0;
			memset(part->sum, 0, 16);
		}
		else
			part = &out->part[out->n - 1];
		part->entries++;
		out->entries++;
		row_sum_add(part->sum, crypto, row.key, &row.entry.version);
		part->last_len = row.key.len;
		memcpy(part->last, row.key.at, row.key.len);
	}
}

void
row_parts_sum(const RowParts *self, uint8_t sum[16])
{
	memset(sum, 0, 16);
	for (int i = 0; i < self->n; i++)
		row_sum_merge(sum, self->part[i].sum);
}

/* Was that which side A has, and side B lacks, deleted at B? */
static bool
deleted(const RowEntry *entry, const RowFrontier *floor_b, const RowFrontier *frontier_b, uint32_t off)
{
	return row_frontier_covers(ROW_RULE_HOLDS(off, ROW_RULE_PRESENT_WINS) ? floor_b : frontier_b, entry->stamp);
}

/* Was it written by side A, which is below B's floor, upon a row that was deleted at B? */
static bool
rewritten(const RowEntry *entry, const RowFrontier *floor_b, const RowFrontier *frontier_a, uint32_t off)
{
	return ROW_RULE_HOLDS(off, ROW_RULE_STALE_WAITS) && entry->live && row_frontier_covers(floor_b, entry->birth) &&
		!row_frontier_includes(frontier_a, floor_b);
}

/*
 * Was it first written by side A, which is below B's floor, and is perhaps older than a
 * tombstone of its key that went at B?  Others may have that still: with them it would lose.
 */
static bool
newcomer(const RowEntry *entry, const RowFrontier *floor_b, uint64_t clock_b, const RowFrontier *frontier_a, uint32_t off)
{
	return ROW_RULE_HOLDS(off, ROW_RULE_RENEWED) && entry->live && !row_frontier_covers(floor_b, entry->birth) &&
		entry->version.clock <= clock_b && !row_frontier_includes(frontier_a, floor_b);
}

/* What follows from an entry that wins over nothing, or a tombstone, at the other side. */
static RowDifference
lone(const RowEntry *entry, bool here, const RowSides *sides, uint32_t off)
{
	const RowFrontier *floor_b = here ? sides->their_floor : sides->our_floor;
	const RowFrontier *frontier_a = here ? sides->ours : sides->theirs;

	if (rewritten(entry, floor_b, frontier_a, off))
		return here ? ROW_DELETE : ROW_WAIT;
	if (newcomer(entry, floor_b, here ? sides->their_clock : sides->our_clock, frontier_a, off))
		return here ? ROW_RENEW : ROW_FETCH_ANEW;
	return here ? ROW_EQUAL : ROW_FETCH;
}

RowDifference
row_differ(const RowEntry *here, const RowEntry *there, const RowSides *sides, uint32_t off)
{
	CORE_ASSERT(here != NULL || there != NULL);
	if (here != NULL && there != NULL)
	{
		/* beside a tombstone, too, what was written below the floor may stand on a row that was deleted, or be older than one */
		if (row_version_compare(&there->version, &here->version) > 0)
			return here->live ? ROW_FETCH : lone(there, false, sides, off);
		return there->live ? ROW_EQUAL : lone(here, true, sides, off);
	}
	if (here == NULL)
		return deleted(there, sides->our_floor, sides->ours, off) ? ROW_EQUAL : lone(there, false, sides, off);
	/* the other leaves out tombstones that our floor covers, whether they have gone here or not */
	if (!here->live && row_frontier_covers(sides->our_floor, here->stamp))
		return ROW_EQUAL;
	return deleted(here, sides->their_floor, sides->theirs, off) ? ROW_DROP : lone(here, true, sides, off);
}
