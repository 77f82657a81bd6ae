/*
 * insert.c
 *	  Insertion of one value into an existing index.
 *
 * 1. Search from the top: neighbors are chosen on each level of the new node
 *    with no lock held across pages.
 * 2. A node with the same stored value takes the row, if it has room.
 * 3. Otherwise the node is written on level 0, with links and codes, and offered
 *    to each neighbor, whose page alone is locked exclusively; then the same on
 *    each level above; then the entry point, if the node is higher than it.
 *
 * An insert holds the page lock (lock manager) of the meta block in share mode.
 * Vacuum takes it exclusively for a moment, after it has marked the dead, to
 * wait for those that may not have seen the marks.  A node that will be above
 * all others takes it exclusively too, and so does one that finds only dead
 * nodes, so that two of them find each other.
 *
 * A crash or an error between the steps leaves a node that fewer nodes link to,
 * or none, never a dangling link: every link is written after the node that it
 * leads to.  The row of such a node is not committed, and vacuum removes it.
 */
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_graph.h"

#include <math.h>

#include "access/xlog.h"
#include "common/hashfn.h"
#include "core/vec/distance.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"

/*
 * Level of the node for a row: geometric with ratio 1/m, from a hash of its tid,
 * so that a build gives the same graph each time.
 */
int
HnswLevelOf(ItemPointer tid, int m)
{
	uint64		row = ((uint64) ItemPointerGetBlockNumberNoCheck(tid) << 16) | ItemPointerGetOffsetNumberNoCheck(tid);
	uint64		hash = hash_bytes_extended((const unsigned char *) &row, sizeof(row), UINT64CONST(0x9E3779B97F4A7C15));
	double		random = ((hash >> 11) + 1) * (1.0 / 9007199254740993.0);

	return Min((int) (-log(random) / log(m)), HNSW_MAX_LEVEL);
}

/*
 * Write what of a value stands behind its slot.  The slot is not yet in use, or
 * the caller has its page locked.
 */
void
HnswWriteTail(HnswIndex *index, int kind, BlockNumber head, const HnswStored *stored, bool log)
{
	const HnswLayout *layout = &index->layout[kind];

	TailWrite(&index->file, head, layout->tail_pages, stored->bytes + layout->value_inline,
			  layout->value_bytes - layout->value_inline, log);
}

/*
 * Fill a free slot: everything but rows and generation.  `stored->bytes` of a
 * value of its own size is its IndexChunkRef; `down` of level 0 is from HnswWriteResidual().
 */
void
HnswFillNode(HnswIndex *index, int kind, HnswNode *node, int level, const HnswStored *stored,
			 HnswRef down, const HnswNeighbor *neighbors, int nneighbors)
{
	const HnswLayout *layout = &index->layout[kind];
	uint16		generation = node->generation;

	Assert(level >= 0 && level <= HNSW_MAX_LEVEL && (level == 0) == (kind == HNSW_BASE));
	Assert(level == 0 || down != HNSW_NO_REF);
	Assert(nneighbors <= layout->links);
	memset(node, 0, layout->slot_bytes);
	node->generation = generation;
	node->flags = HNSW_NODE_USED;
	node->level = level;
	node->scale = stored->scale;
	node->error = stored->error;
	node->norm = stored->norm;
	HnswLinkSet(&node->down, down);
	memcpy(HnswNodeValue(node, layout), stored->bytes, layout->value_inline);
	HnswSetLinks(index, kind, node, neighbors, nneighbors, stored->floats);
}

/*
 * Write the residual of a value that is not in the index yet; returns what its node of
 * level 0 has as `down`.
 */
HnswRef
HnswWriteResidual(HnswIndex *index, const HnswStored *stored, bool log)
{
	IndexChunkRef ref;

	if (stored->residual == NULL)
		return HNSW_NO_RESIDUAL;
	ref = ChunksWrite(&index->file, (const char *) stored->residual, ValueResidualBytes(&index->space), log);
	return (HnswRef) ItemPointerGetBlockNumber(&ref.first) << 16 | ItemPointerGetOffsetNumber(&ref.first);
}

/* Write a new node; returns its reference. */
static HnswRef
write_node(HnswIndex *index, int level, const HnswStored *stored, HnswRef down,
		   const HnswNeighbor *neighbors, int nneighbors, ItemPointer tid, bool log)
{
	int			kind = level > 0 ? HNSW_UPPER : HNSW_BASE;
	const HnswLayout *layout = &index->layout[kind];
	int			slot;
	Buffer		buffer;
	BlockNumber block;
	PageChange	change;
	Page		page;
	HnswNode   *node;
	HnswRef		ref;

	buffer = FreeRoomTakeSlot(&index->file, kind, log, &slot);
	block = BufferGetBlockNumber(buffer);
	HnswWriteTail(index, kind, block, stored, log);

	PageChangeBegin(&change, &index->file, log);
	page = PageChangePage(&change, buffer, false);
	node = HnswPageNode(page, layout, slot);
	if (slot >= HnswPageSlots(page, layout))
	{
		Assert(slot == HnswPageSlots(page, layout));
		node->generation = 0;
		((PageHeader) page)->pd_lower += layout->slot_bytes;
	}
	HnswFillNode(index, kind, node, level, stored, down, neighbors, nneighbors);
	if (level == 0)
	{
		node->tids[0] = *tid;
		node->ntids = 1;
	}
	ref = HnswMakeRef(block, slot, node->generation);
	PageChangeEnd(&change);
	UnlockReleaseBuffer(buffer);
	return ref;
}

/* ---------------------------------------------------------------------
 * Insertion
 * --------------------------------------------------------------------- */

/*
 * Give the row to a node with the same stored value.  Returns false where none
 * has room.
 */
static bool
add_row(HnswIndex *index, HnswSearch *search, const HnswStored *stored, ItemPointer tid, bool log)
{
	const HnswLayout *layout = &index->layout[HNSW_BASE];

	for (int i = 0; i < search->nfound; i++)
	{
		HnswFound  *found = &search->found[i];
		HnswNode   *node;
		Buffer		buffer;
		PageChange	change;
		bool		known = false;

		if (found->value_bytes != stored->nbytes || found->scale != stored->scale ||
			found->norm != stored->norm || found->ntids >= HNSW_TIDS ||
			memcmp(search->values + found->value, stored->bytes, stored->nbytes) != 0)
			continue;
		buffer = HnswReadNode(index, found->ref, HNSW_BASE, BUFFER_LOCK_EXCLUSIVE, &node);
		if (node == NULL)
			continue;
		if ((node->flags & HNSW_NODE_DEAD) || node->ntids >= HNSW_TIDS)
		{
			UnlockReleaseBuffer(buffer);
			continue;
		}
		for (int t = 0; t < node->ntids; t++)
		{
			if (ItemPointerEquals(&node->tids[t], tid))
				known = true;
		}
		if (!known)
		{
			PageChangeBegin(&change, &index->file, log);
			node = HnswPageNode(PageChangePage(&change, buffer, false), layout, HnswRefSlot(found->ref));
			node->tids[node->ntids++] = *tid;
			node->flags |= HNSW_NODE_SHARED;
			node->error = Max(node->error, stored->error);
			PageChangeEnd(&change);
		}
		UnlockReleaseBuffer(buffer);
		return true;
	}
	return false;
}

/* Neighbors for one level out of what was found there; values are copied. */
static int
choose(HnswIndex *index, HnswSearch *search, int kind, HnswRef self_ref, HnswNeighbor **chosen)
{
	HnswNeighbor *candidates = palloc(sizeof(HnswNeighbor) * Max(search->nfound, 1));
	int			n = 0;

	for (int i = 0; i < search->nfound; i++)
	{
		HnswFound  *found = &search->found[i];

		if ((found->flags & (HNSW_NODE_DEAD | HNSW_NODE_UNLINKED)) || found->ref == self_ref)
			continue;
		candidates[n].ref = found->ref;
		candidates[n].distance = found->distance;
		candidates[n].scale = found->scale;
		candidates[n].pinned = false;
		candidates[n].has_children = found->has_children;
		candidates[n].value = search->values + found->value;
		candidates[n].value_bytes = found->value_bytes;
		n++;
	}
	*chosen = palloc(sizeof(HnswNeighbor) * index->layout[kind].links);
	n = HnswChooseNeighbors(index, index->space.coded ? NULL : search->value->raw, candidates, Min(n, Max(index->ef_construction, 2 * index->m)),
							index->layout[kind].links, *chosen);
	if (n > 0)
		(*chosen)[0].pinned = true; /* the parent, if it takes the node */
	for (int i = 0; i < n; i++)
	{
		char	   *copy = palloc((*chosen)[i].value_bytes);

		memcpy(copy, (*chosen)[i].value, (*chosen)[i].value_bytes);
		(*chosen)[i].value = copy;
	}
	pfree(candidates);
	return n;
}

/* Take the pin off the link from one node to another. */
static void
unpin(HnswIndex *index, int kind, HnswRef from, HnswRef to, bool log)
{
	const HnswLayout *layout = &index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, from, kind, BUFFER_LOCK_EXCLUSIVE, &node);

	if (node == NULL)
		return;
	for (int i = 0; i < node->nlinks; i++)
	{
		if (HnswLinkGet(&HnswNodeLinks(node, layout)[i]) == to && HnswBitGet(HnswNodePinned(node, layout), i))
		{
			PageChange	change;

			PageChangeBegin(&change, &index->file, log);
			node = HnswPageNode(PageChangePage(&change, buffer, false), layout, HnswRefSlot(from));
			HnswBitSet(HnswNodePinned(node, layout), i, false);
			PageChangeEnd(&change);
			break;
		}
	}
	UnlockReleaseBuffer(buffer);
}

/*
 * Offer a new node to its neighbors.  The first that takes it for good is its
 * parent, and is pinned in its list as well.  Where all have children enough
 * (thousands of equal values), another that the search came by is; others[] has the
 * nearest of those first, whether it has room or not.  Returns whether any took it.
 */
static bool
offer(HnswIndex *index, int kind, HnswRef ref, const HnswStored *stored, const CodeQuery *query,
	  const HnswNeighbor *neighbors, int n, const HnswRef *others, int nothers, bool log)
{
	HnswRef		parent = HNSW_NO_REF;

	for (int i = 0; i < n && parent == HNSW_NO_REF; i++)
	{
		if (!neighbors[i].has_children &&
			HnswAddLink(index, kind, neighbors[i].ref, ref, stored, query, HNSW_PIN_CHILD, log))
			parent = neighbors[i].ref;
	}
	for (int i = 0; i < nothers && parent == HNSW_NO_REF; i++)
	{
		if (HnswAddLink(index, kind, others[i], ref, stored, query, HNSW_PIN_CHILD, log))
			parent = others[i];
	}
	if (parent == HNSW_NO_REF && nothers > 0)
		parent = HnswFindParent(index, kind, others[0], ref, stored, query, HNSW_PIN_CHILD, log);
	for (int i = 0; i < n; i++)
	{
		if (neighbors[i].ref != parent)
			HnswAddLink(index, kind, neighbors[i].ref, ref, stored, query, HNSW_PIN_NOT, log);
	}

	/* the node's own list has its pin on the nearest: to the parent it belongs */
	if (n > 0 && parent != neighbors[0].ref)
		unpin(index, kind, ref, neighbors[0].ref, log);
	if (parent != HNSW_NO_REF && (n == 0 || parent != neighbors[0].ref))
	{
		HnswStored	parent_stored;
		CodeQuery	parent_query;

		if (HnswReadStored(index, kind, parent, &parent_stored, &parent_query))
			HnswAddLink(index, kind, ref, parent, &parent_stored, &parent_query, HNSW_PIN_ALWAYS, log);
	}
	return parent != HNSW_NO_REF;
}

/*
 * What vacuum and the makers of new top levels wait for.  Processes of one
 * parallel build would not conflict over a lock of the lock manager.
 */
static void
lock_graph(HnswIndex *index, bool exclusive)
{
	if (index->build_lock != NULL)
		LWLockAcquire(index->build_lock, exclusive ? LW_EXCLUSIVE : LW_SHARED);
	else
		LockPage(index->file.rel, INDEX_META_BLOCK, exclusive ? ExclusiveLock : ShareLock);
}

static void
unlock_graph(HnswIndex *index, bool exclusive)
{
	if (index->build_lock != NULL)
		LWLockRelease(index->build_lock);
	else
		UnlockPage(index->file.rel, INDEX_META_BLOCK, exclusive ? ExclusiveLock : ShareLock);
}

/*
 * A new node, `ref` of level 0 and `top` of its highest level, found no live
 * node to link to it: vacuum has marked all that the search came by.  Look again,
 * and where there is still none, the graph begins anew with this node, for no
 * search could come to it through the dead once they are freed.  The caller
 * holds the graph's lock exclusively.
 */
static void
adopt(HnswIndex *index, HnswSearch *search, HnswRef ref, HnswRef top, int level, const HnswStored *stored, bool log)
{
	HnswRef		starts[HNSW_MAX_STARTS];
	HnswRef		entry;
	int			entry_level;
	int			n;
	bool		alone = true;

	Assert(index->build_lock == NULL || LWLockHeldByMeInMode(index->build_lock, LW_EXCLUSIVE));
	search->keep_values = false;
	search->thorough = true;
	n = HnswDescend(search, 0, starts, HNSW_MAX_STARTS, &entry_level, &entry);
	HnswSearchLevel(search, HNSW_BASE, starts, n, HNSW_POOL(index->ef_construction), 0);
	HnswSearchSort(search, 0, search->nfound);
	for (int i = 0; i < search->nfound; i++)
	{
		if (search->found[i].ref == ref)
			return;
		if (search->found[i].flags & (HNSW_NODE_DEAD | HNSW_NODE_UNLINKED))
			continue;
		alone = false;
		if (HnswAddLink(index, HNSW_BASE, search->found[i].ref, ref, stored, &search->code_query[HNSW_BASE], HNSW_PIN_ALWAYS, log))
			return;
	}
	if (alone)
		HnswUpdateEntry(index, top, level, entry, log);
}

/* What a new node finds on one level. */
typedef struct LevelFound
{
	int			nchosen;
	HnswNeighbor *chosen;		/* its neighbors to be, the nearest first */
	int			nothers;
	HnswRef    *others;			/* who may be its parent instead: see offer() */
} LevelFound;

/* One value on its way into the graph. */
typedef struct Insertion
{
	HnswIndex  *index;
	HnswSearch *search;
	ItemPointer tid;
	HnswRef		existing;		/* its node of level 0 where that is written already, or HNSW_NO_REF */
	bool		log;
	int			level;			/* the highest of its nodes */
	HnswStored	stored;
	bool		exclusive;		/* how the graph is locked */
	HnswRef		entry;			/* when the search began */
	int			entry_level;
	LevelFound	found[HNSW_MAX_LEVEL + 1];
} Insertion;

/* Change the lock on the graph from share to exclusive; others may come between. */
static void
keep_others_out(Insertion *self)
{
	Assert(!self->exclusive);
	unlock_graph(self->index, false);
	self->exclusive = true;
	lock_graph(self->index, true);
}

/* Lock the graph; exclusively where the node will be above all others. */
static void
lock_for_level(Insertion *self)
{
	self->exclusive = false;
	lock_graph(self->index, false);
	HnswReadEntry(self->index, &self->entry, &self->entry_level);
	if (self->level > self->entry_level)
		keep_others_out(self);
}

/* Keep of what the search of a level found the neighbors to be, and who may be the parent. */
static void
keep_found(Insertion *self, int level)
{
	const HnswSearch *search = self->search;
	LevelFound *found = &self->found[level];

	found->nchosen = choose(self->index, self->search, level > 0 ? HNSW_UPPER : HNSW_BASE, self->existing, &found->chosen);
	found->others = palloc(sizeof(HnswRef) * Max(search->nfound, 1));
	found->nothers = 0;
	for (int i = 0; i < search->nfound; i++)
	{
		if (search->found[i].ref != self->existing && (found->nothers == 0 || !search->found[i].has_children))
			found->others[found->nothers++] = search->found[i].ref;
	}
}

/*
 * Search the levels of the node.  Returns false where the row went to a node with
 * the same stored value, so that there is nothing more to do.
 */
static bool
search_levels(Insertion *self)
{
	HnswIndex  *index = self->index;
	HnswSearch *search = self->search;
	HnswRef		starts[HNSW_MAX_STARTS];
	int			nstarts;

	memset(self->found, 0, sizeof(LevelFound) * (self->level + 1));
	search->keep_values = false;
	search->thorough = self->exclusive; /* where the graph may begin anew, nothing may be left out */
	nstarts = HnswDescend(search, self->level, starts, HNSW_MAX_STARTS, &self->entry_level, &self->entry);
	search->keep_values = true;
	for (int l = Min(self->level, self->entry_level); l >= 0; l--)
	{
		HnswSearchLevel(search, l > 0 ? HNSW_UPPER : HNSW_BASE, starts, nstarts,
						index->space.coded ? HNSW_POOL(index->ef_construction) : index->ef_construction, 0);
		HnswSearchSort(search, 0, search->nfound);
		if (l == 0 && self->existing == HNSW_NO_REF && add_row(index, search, &self->stored, self->tid, self->log))
			return false;
		keep_found(self, l);
		nstarts = Min(search->nfound, HNSW_MAX_STARTS);
		for (int i = 0; i < nstarts; i++)
			starts[i] = search->found[i].down;
	}

	/* with all others kept out, the entry point is there, be it dead */
	if (self->entry_level >= 0 && self->exclusive && search->nfound == 0)
		HnswCorrupt(index->file.rel, INDEX_META_BLOCK, "The entry point leads to no node.");
	return true;
}

/*
 * The value as it stands in slots: itself, or where its chunks are, which all nodes
 * of the value share.  chunks is room for that.
 */
static HnswStored
value_in_slots(Insertion *self, IndexChunkRef *chunks)
{
	HnswIndex  *index = self->index;
	HnswStored	in_slots = self->stored;

	if (index->layout[HNSW_BASE].value_form != HNSW_VALUE_CHUNKS)
		return in_slots;
	if (self->existing == HNSW_NO_REF)
		*chunks = ChunksWrite(&index->file, self->stored.bytes, self->stored.nbytes, self->log);
	else
	{
		HnswNode   *node;
		Buffer		buffer = HnswReadNode(index, self->existing, HNSW_BASE, BUFFER_LOCK_SHARE, &node);

		if (node == NULL)
			HnswCorrupt(index->file.rel, HnswRefBlock(self->existing), "A node that waits for its links is not there.");
		*chunks = *(IndexChunkRef *) HnswNodeValue(node, &index->layout[HNSW_BASE]);
		UnlockReleaseBuffer(buffer);
	}
	in_slots.bytes = (const char *) chunks;
	in_slots.nbytes = sizeof(IndexChunkRef);
	return in_slots;
}

/* Give the node of level 0 that a build has written its links. */
static void
link_existing(Insertion *self)
{
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(self->index, self->existing, HNSW_BASE, BUFFER_LOCK_EXCLUSIVE, &node);

	Assert(!self->log);
	if (node == NULL)
		HnswCorrupt(self->index->file.rel, HnswRefBlock(self->existing), "A node that waits for its links is not there.");
	HnswSetLinks(self->index, HNSW_BASE, node, self->found[0].chosen, self->found[0].nchosen, self->stored.floats);
	node->flags &= ~HNSW_NODE_UNLINKED;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/*
 * Write the node on each level, from the lowest, and offer it there.  *base and *top
 * get its nodes of the lowest and the highest level.  Returns whether any took it on
 * level 0.
 */
static bool
write_levels(Insertion *self, HnswRef *base, HnswRef *top)
{
	IndexChunkRef chunks;
	HnswStored	in_slots = value_in_slots(self, &chunks);
	HnswRef		below = HNSW_NO_RESIDUAL;
	bool		taken = true;

	*base = HNSW_NO_REF;
	if (self->existing == HNSW_NO_REF)
		below = HnswWriteResidual(self->index, &self->stored, self->log);
	for (int l = 0; l <= self->level; l++)
	{
		const LevelFound *found = &self->found[l];
		int			kind = l > 0 ? HNSW_UPPER : HNSW_BASE;
		HnswRef		ref = self->existing;

		if (l == 0 && self->existing != HNSW_NO_REF)
			link_existing(self);
		else
			ref = write_node(self->index, l, &in_slots, below, found->chosen, found->nchosen, self->tid, self->log);
		if (!offer(self->index, kind, ref, &self->stored, &self->search->code_query[kind], found->chosen,
				   found->nchosen, found->others, found->nothers, self->log) && l == 0)
			taken = false;
		if (l == 0)
			*base = ref;
		below = ref;
	}
	*top = below;
	return taken;
}

/*
 * Put a value into the graph, for row *tid; or link a node of level 0 that has
 * value and rows already (`existing`, during a build).  Memory of the current
 * context is used freely.
 */
void
HnswLinkNode(HnswIndex *index, HnswSearch *search, const IndexValue *value, ItemPointer tid,
			 HnswRef existing, bool log)
{
	Insertion	self;
	HnswRef		base;
	HnswRef		top;

	self.index = index;
	self.search = search;
	self.tid = tid;
	self.existing = existing;
	self.log = log;
	self.level = HnswLevelOf(tid, index->m);
	HnswStore(index, value, &self.stored);
	search->ignore_killed = false;
	HnswSearchSetValue(search, value);

	lock_for_level(&self);
	if (!search_levels(&self))
	{
		unlock_graph(index, self.exclusive);
		return;
	}
	if (self.entry_level >= 0 && self.found[0].nchosen == 0 && !self.exclusive)
	{
		/* all are dead: one at a time, so that those who come now find each other */
		keep_others_out(&self);
		if (!search_levels(&self))
		{
			unlock_graph(index, self.exclusive);
			return;
		}
	}
	if (!write_levels(&self, &base, &top) && self.entry_level >= 0)
	{
		if (!self.exclusive)
			keep_others_out(&self);
		adopt(index, search, base, top, self.level, &self.stored, log);
	}
	if (self.level > self.entry_level)
		HnswUpdateEntry(index, top, self.level, HNSW_NO_REF, log);
	unlock_graph(index, self.exclusive);
}

/* What an insert of one statement keeps from row to row. */
typedef struct InsertState
{
	HnswIndex  *index;
	HnswSearch *search;
	MemoryContext row_context;
	RelFileNumber file;
} InsertState;

/* The first value of an index is its centre: whatever all have in common, it has. */
static void
center_on_first(HnswIndex *index, Datum datum, bool log)
{
	double		norm;
	const float *x = ValueFloats(&index->space, index->file.rel, datum, &norm);
	float	   *center = palloc0(sizeof(float) * index->space.dim);
	float		unit = 1;

	if (index->space.metric != METRIC_IP)
		memcpy(center, x, sizeof(float) * index->space.dim);
	if (index->space.metric != METRIC_COSINE)
		unit = ValueCenterAndUnit(x, index->space.dim, center);
	if (index->space.metric != METRIC_COSINE || norm > 0)
		HnswSetCenter(index, center, unit, log);
}

bool
hnswinsert(Relation rel, Datum *values, bool *isnull, ItemPointer tid, Relation heap,
		   IndexUniqueCheck unique, bool unchanged, IndexInfo *info)
{
	InsertState *state = (InsertState *) info->ii_AmCache;
	MemoryContext old;
	IndexValue	value;
	bool		log = RelationNeedsWAL(rel);

	if (isnull[0])
		return false;

	if (state == NULL || state->file != RelationGetFileNumber(rel))
	{
		old = MemoryContextSwitchTo(info->ii_Context);
		state = palloc0(sizeof(InsertState));
		state->index = HnswOpen(rel, info->ii_Context);
		state->search = HnswSearchCreate(state->index, info->ii_Context);
		state->row_context = AllocSetContextCreate(info->ii_Context, "hnsw insert", ALLOCSET_DEFAULT_SIZES);
		state->file = RelationGetFileNumber(rel);
		info->ii_AmCache = state;
		MemoryContextSwitchTo(old);
	}
	state->index->file.rel = rel;

	old = MemoryContextSwitchTo(state->row_context);
	if (!state->index->space.centred)
		center_on_first(state->index, values[0], log);
	if (ValuePrepare(&state->index->space, state->index->file.rel, values[0], false, &value))
		HnswLinkNode(state->index, state->search, &value, tid, HNSW_NO_REF, log);
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->row_context);
	return false;
}
