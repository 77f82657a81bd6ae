/*
 * stats.c
 *	  hnsw_stats: what an index is made of, a row for each level.
 *
 * Reads every page once, one at a time.  Pages and bytes are those of the
 * level's kind of page: levels above 0 share pages, and their row of level 1
 * has the figures of all of them.
 */
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_index.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/tuplestore.h"

typedef struct LevelStats
{
	int64		nodes;
	int64		rows;
	int64		dead;
	int64		links;
	int64		degree[2 * HNSW_MAX_M + 1];
} LevelStats;

typedef struct KindStats
{
	int64		pages;
	int64		free_slots;
} KindStats;

static void
count_page(HnswIndex *index, Page page, int kind, LevelStats *levels, KindStats *kinds)
{
	const HnswLayout *layout = &index->layout[kind];
	int			n = HnswPageSlots(page, layout);

	kinds[kind].pages += 1 + layout->tail_pages;
	kinds[kind].free_slots += layout->slots - n;
	for (int slot = 0; slot < n; slot++)
	{
		HnswNode   *node = HnswPageNode(page, layout, slot);
		LevelStats *level = &levels[Min(node->level, HNSW_MAX_LEVEL)];

		if (!(node->flags & HNSW_NODE_USED))
		{
			kinds[kind].free_slots++;
			continue;
		}
		if (node->flags & HNSW_NODE_DEAD)
		{
			level->dead++;
			continue;
		}
		level->nodes++;
		level->rows += kind == HNSW_BASE ? node->ntids : 0;
		level->links += node->nlinks;
		level->degree[Min(node->nlinks, 2 * HNSW_MAX_M)]++;
	}
}

static void
put_level(HnswIndex *index, int l, const LevelStats *level, const KindStats *kind, int64 nodes_of_kind, ReturnSetInfo *result)
{
	const HnswLayout *layout = &index->layout[l > 0 ? HNSW_UPPER : HNSW_BASE];
	Datum		values[13];
	bool		nulls[13] = {false};
	Datum		degree[2 * HNSW_MAX_M + 1];
	int64		value_bytes;
	int64		code_bytes;
	int64		link_bytes;
	int64		bytes;

	for (int i = 0; i <= layout->links; i++)
		degree[i] = Int64GetDatum(level->degree[i]);
	value_bytes = nodes_of_kind * layout->value_bytes;
	code_bytes = layout->dc > 0 ? nodes_of_kind * layout->blocks * (int64) code_block_bytes(layout->bits, layout->dc) : 0;
	link_bytes = nodes_of_kind * (int64) (layout->code - sizeof(HnswNode));
	bytes = kind->pages * BLCKSZ;

	values[0] = Int32GetDatum(l);
	values[1] = Int64GetDatum(level->nodes);
	values[2] = Int64GetDatum(level->rows);
	values[3] = Int64GetDatum(level->dead);
	values[4] = Float8GetDatum(level->nodes > 0 ? (double) level->links / level->nodes : 0);
	values[5] = PointerGetDatum(construct_array(degree, layout->links + 1, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[6] = Int64GetDatum(kind->pages);
	values[7] = Int64GetDatum(kind->free_slots);
	values[8] = Int64GetDatum(bytes);
	values[9] = Int64GetDatum(value_bytes);
	values[10] = Int64GetDatum(code_bytes);
	values[11] = Int64GetDatum(link_bytes);
	values[12] = Int64GetDatum(bytes - value_bytes - code_bytes - link_bytes);
	if (l > 1)
	{
		for (int i = 6; i <= 12; i++)
			nulls[i] = true;	/* counted on level 1 */
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(hnsw_stats);
Datum
hnsw_stats(PG_FUNCTION_ARGS)
{
	Relation	heap;
	Relation	rel;
	HnswIndex  *index;
	LevelStats *levels = palloc0(sizeof(LevelStats) * (HNSW_MAX_LEVEL + 1));
	KindStats	kinds[2] = {{0}};
	int64		nodes_of_kind[2] = {0};
	BlockNumber nblocks;

	InitMaterializedSRF(fcinfo, 0);
	rel = HnswOpenToLook(PG_GETARG_OID(0), HnswCheckOwner, &heap);
	index = HnswOpen(rel, CurrentMemoryContext);
	nblocks = RelationGetNumberOfBlocks(rel);
	for (BlockNumber block = 1; block < nblocks; block++)
	{
		Buffer		buffer = ReadBuffer(rel, block);
		int			kind;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		kind = IndexReadKind(&index->file, buffer);
		if (kind <= HNSW_UPPER)
			count_page(index, BufferGetPage(buffer), kind, levels, kinds);
		UnlockReleaseBuffer(buffer);
	}
	for (int l = 0; l <= HNSW_MAX_LEVEL; l++)
		nodes_of_kind[l > 0 ? HNSW_UPPER : HNSW_BASE] += levels[l].nodes + levels[l].dead;
	for (int l = 0; l <= HNSW_MAX_LEVEL; l++)
	{
		int			kind = l > 0 ? HNSW_UPPER : HNSW_BASE;

		if (l == 0 || levels[l].nodes + levels[l].dead > 0)
			put_level(index, l, &levels[l], &kinds[kind], nodes_of_kind[kind], (ReturnSetInfo *) fcinfo->resultinfo);
	}
	relation_close(rel, AccessShareLock);
	table_close(heap, AccessShareLock);
	return (Datum) 0;
}
