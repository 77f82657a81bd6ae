/*
 * check.c
 *	  hnsw_check: what is wrong with an index, a row for each inconsistency.
 *
 * Reads every page, then every visible row of the table.  Changes nothing, and
 * holds one page lock at a time, so that it may run beside other work.  What
 * looks wrong in a node's links is read again before it is reported; but rows
 * committed, and nodes added or removed, between the pages and the rows can be
 * reported as missing or without a path.
 */
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_index.h"

#include <float.h>
#include <math.h>

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "as_owner.h"
#include "catalog/index.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_am.h"
#include "core/vec/distance.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

/* Of a link's coded levels, the part that may differ from a fresh encoding. */
#define MOST_CODES_OFF 0.25

typedef struct RowEntry
{
	ItemPointerData tid;		/* key */
	HnswRef		ref;
} RowEntry;

/* A node of level 0 that the walk below has to come to. */
typedef struct NodeEntry
{
	HnswRef		ref;			/* key */
	bool		reached;
	bool		dead;			/* need not be reached, but may lead on */
} NodeEntry;

typedef struct Check
{
	HnswIndex  *index;
	Relation	heap;
	ReturnSetInfo *result;
	HTAB	   *rows;			/* tid -> node */
	HTAB	   *nodes;			/* nodes of level 0 */
	MemoryContext context;		/* of one node or row */
} Check;

static void report(Check *self, BlockNumber block, int slot, const char *format,...) pg_attribute_printf(4, 5);

static void
report(Check *self, BlockNumber block, int slot, const char *format,...)
{
	Datum		values[2];
	bool		nulls[2] = {false, false};
	StringInfoData text;
	va_list		args;

	initStringInfo(&text);
	for (;;)
	{
		int			need;

		va_start(args, format);
		need = appendStringInfoVA(&text, format, args);
		va_end(args);
		if (need == 0)
			break;
		enlargeStringInfo(&text, need);
	}
	values[0] = CStringGetTextDatum(psprintf("(%u,%d)", block, slot));
	values[1] = CStringGetTextDatum(text.data);
	tuplestore_putvalues(self->result->setResult, self->result->setDesc, values, nulls);
}

/*
 * A copy of a node and its value, unlocked; NULL for a stale reference, and where
 * *fault then says what is wrong with the node.
 */
static HnswNode *
try_copy_node(Check *self, HnswRef ref, int kind, const char **value, uint32 *bytes, const char **fault)
{
	HnswNode   *node;
	Buffer		buffer;
	HnswNode   *copy;

	buffer = HnswTryReadNode(self->index, ref, kind, BUFFER_LOCK_SHARE, &node, fault);
	if (node == NULL)
		return NULL;
	copy = palloc(self->index->layout[kind].slot_bytes);
	memcpy(copy, node, self->index->layout[kind].slot_bytes);
	if (value != NULL)
	{
		const char *stored = HnswTryReadValue(self->index, buffer, node, kind, bytes, fault);

		if (stored == NULL)
		{
			UnlockReleaseBuffer(buffer);
			return NULL;
		}
		*value = memcpy(palloc(*bytes), stored, *bytes);
	}
	UnlockReleaseBuffer(buffer);
	return copy;
}

/* The same; faults are told of where the pages are gone through. */
static HnswNode *
copy_node(Check *self, HnswRef ref, int kind, const char **value, uint32 *bytes)
{
	const char *fault;

	return try_copy_node(self, ref, kind, value, bytes, &fault);
}

/* Is the node still what it was?  Otherwise what looked wrong was a change under way. */
static bool
unchanged(Check *self, HnswRef ref, int kind, const HnswNode *before)
{
	HnswNode   *now = copy_node(self, ref, kind, NULL, NULL);

	return now != NULL && memcmp(now, before, self->index->layout[kind].slot_bytes) == 0;
}

/* Does the code of link `at` tell where the neighbor is? */
static void
check_code(Check *self, HnswRef ref, int kind, const HnswNode *node, int at,
		   const float *own, const HnswNode *neighbor, const char *value)
{
	HnswIndex  *index = self->index;
	const HnswLayout *layout = &index->layout[kind];
	float	   *floats = palloc(sizeof(float) * index->space.padded);
	uint8_t    *expected = palloc(layout->dc);
	uint8_t    *stored = palloc(layout->dc);
	float		f_add;
	float		f_mul;
	float		f_mul_stored = bfloat16_to_float(HnswNodeFMul(node, layout)[at]);
	int			steps = layout->bits / 2;
	double		rr = 0;
	double		vr = 0;
	int			off = 0;

	packed12_load((const uint8 *) value, index->space.padded, neighbor->scale, floats);
	code_encode(index->space.code_metric, layout->bits, layout->dc, index->space.padded, floats, own, expected, &f_add, &f_mul);
	code_load(HnswNodeCode(node, layout, at / CODE_SLOTS), layout->bits, layout->dc, at % CODE_SLOTS, stored);
	if (!isfinite(bfloat16_to_float(HnswNodeFAdd(node, layout)[at])) || !isfinite(f_mul_stored))
	{
		if (unchanged(self, ref, kind, node))
			report(self, HnswRefBlock(ref), HnswRefSlot(ref), "link %d has a factor that is not finite", at);
		return;
	}
	for (int i = 0; i < index->space.padded; i++)
	{
		double		r = (double) floats[i] - own[i];

		rr += r * r;
		if (i >= layout->dc)
			continue;
		vr += r * (stored[i] - ((1 << layout->bits) - 1) / 2.0);
		if (abs((int) expected[i] - (int) stored[i]) > steps)
			off++;
	}

	/* the factor that belongs to the code as it is stored: levels may differ by a rounding */
	if (f_mul != 0 && vr > 0)
		f_mul = (float) -(rr / vr) * (index->space.code_metric == CODE_L2 ? 2 : 1);
	if (f_mul != 0 &&
		(off > MOST_CODES_OFF * layout->dc + 4 || fabsf(f_mul - f_mul_stored) > 0.4f * fabsf(f_mul)) &&
		unchanged(self, ref, kind, node))
		report(self, HnswRefBlock(ref), HnswRefSlot(ref),
			   "code of link %d does not fit its neighbor: %d of %d dimensions differ, factor %g instead of %g",
			   at, off, layout->dc, f_mul_stored, f_mul);
}

static void
check_links(Check *self, HnswRef ref, int kind, const HnswNode *node, const float *own)
{
	HnswIndex  *index = self->index;
	const HnswLayout *layout = &index->layout[kind];
	BlockNumber block = HnswRefBlock(ref);
	int			slot = HnswRefSlot(ref);

	for (int i = 0; i < node->nlinks; i++)
	{
		HnswRef		other = HnswLinkGet(&HnswNodeLinks(node, layout)[i]);
		const char *value = NULL;
		uint32		bytes;
		HnswNode   *neighbor;

		for (int k = 0; k < i; k++)
		{
			if (HnswLinkGet(&HnswNodeLinks(node, layout)[k]) == other)
				report(self, block, slot, "links %d and %d lead to the same node", k, i);
		}
		if (other == ref)
		{
			report(self, block, slot, "link %d leads to the node itself", i);
			continue;
		}
		neighbor = copy_node(self, other, kind, &value, &bytes);
		if (neighbor == NULL)
		{
			if (unchanged(self, ref, kind, node))
				report(self, block, slot, "link %d leads to (%u,%d), generation %d, which holds no such node",
					   i, HnswRefBlock(other), HnswRefSlot(other), HnswRefGeneration(other));
			continue;
		}
		if (neighbor->level != node->level)
			report(self, block, slot, "link %d leads from level %d to level %d", i, node->level, neighbor->level);
		if (neighbor->flags & HNSW_NODE_UNLINKED)
			report(self, block, slot, "link %d leads to a node that is not part of the graph", i);
		if (index->space.coded)
			check_code(self, ref, kind, node, i, own, neighbor, value);
		pfree((char *) value);
		pfree(neighbor);
	}
}

/* Is there a residual of the value, and does it tell by how much it changes a distance? */
static void
check_residual(Check *self, HnswRef ref, const HnswNode *node, const char *value)
{
	HnswIndex  *index = self->index;
	HnswRef		at = HnswLinkGet(&node->down);
	ValueResidual *residual;
	float		addend;

	if (!HnswHasResidual(at))
		return;
	residual = palloc(ValueResidualBytes(&index->space));
	if (!HnswReadResidual(index, at, node->error, residual))
	{
		if (unchanged(self, ref, HNSW_BASE, node))
			report(self, HnswRefBlock(ref), HnswRefSlot(ref), "node has no residual at (%u,%u)",
				   HnswRefBlock(at), (OffsetNumber) at);
		return;
	}
	addend = ValueResidualAddend(&index->space, (const uint8 *) value, node->scale, residual);
	if (!(fabsf(residual->addend - addend) <= 1e-6f * fabsf(addend)) && unchanged(self, ref, HNSW_BASE, node))
		report(self, HnswRefBlock(ref), HnswRefSlot(ref), "residual at (%u,%u) is not of the node's value: it adds %g instead of %g",
			   HnswRefBlock(at), (OffsetNumber) at, residual->addend, addend);
}

static void
check_node(Check *self, HnswRef ref, int kind)
{
	HnswIndex  *index = self->index;
	BlockNumber block = HnswRefBlock(ref);
	int			slot = HnswRefSlot(ref);
	const char *value = NULL;
	uint32		bytes;
	const char *fault;
	HnswNode   *node = try_copy_node(self, ref, kind, &value, &bytes, &fault);
	float	   *own = NULL;

	if (fault != NULL)
		report(self, block, slot, "%s", fault);
	if (node == NULL)
		return;
	if (node->flags & HNSW_NODE_UNLINKED)
		report(self, block, slot, "node is not part of the graph");
	if (index->space.coded)
	{
		own = palloc(sizeof(float) * index->space.padded);
		packed12_load((const uint8 *) value, index->space.padded, node->scale, own);
		for (int i = 0; i < index->space.padded; i++)
		{
			if (!isfinite(own[i]))
			{
				report(self, block, slot, "value is not finite in dimension %d", i);
				break;
			}
		}
	}
	if (kind == HNSW_BASE)
	{
		NodeEntry  *known = hash_search(self->nodes, &ref, HASH_ENTER, NULL);

		if (ValueHasResidual(&index->space))
			check_residual(self, ref, node, value);

		known->reached = false;
		known->dead = (node->flags & HNSW_NODE_DEAD) != 0;
		if (node->ntids == 0 && !(node->flags & HNSW_NODE_DEAD))
			report(self, block, slot, "node has no row, and is not marked dead");
		for (int t = 0; t < node->ntids; t++)
		{
			RowEntry   *entry;
			bool		found;

			entry = hash_search(self->rows, &node->tids[t], HASH_ENTER, &found);
			if (found)
				report(self, block, slot, "row (%u,%u) stands at (%u,%d) as well",
					   ItemPointerGetBlockNumber(&node->tids[t]), ItemPointerGetOffsetNumber(&node->tids[t]),
					   HnswRefBlock(entry->ref), HnswRefSlot(entry->ref));
			entry->ref = ref;
		}
	}
	else
	{
		HnswRef		down = HnswLinkGet(&node->down);
		HnswNode   *below = copy_node(self, down, node->level == 1 ? HNSW_BASE : HNSW_UPPER, NULL, NULL);

		if (below == NULL)
		{
			/* a dead node's base may have gone before it: vacuum was interrupted */
			if (!(node->flags & HNSW_NODE_DEAD) && unchanged(self, ref, kind, node))
				report(self, block, slot, "node of level %d has no node below it at (%u,%d), generation %d",
					   node->level, HnswRefBlock(down), HnswRefSlot(down), HnswRefGeneration(down));
		}
		else if (below->level != node->level - 1)
			report(self, block, slot, "node of level %d has a node of level %d below it", node->level, below->level);
	}
	if (!(node->flags & HNSW_NODE_DEAD))
		check_links(self, ref, kind, node, own);
}

static void
check_pages(Check *self)
{
	HnswIndex  *index = self->index;
	BlockNumber nblocks = RelationGetNumberOfBlocks(index->file.rel);

	for (BlockNumber block = 1; block < nblocks; block++)
	{
		Buffer		buffer = ReadBuffer(index->file.rel, block);
		Page		page;
		HnswRef		refs[HNSW_MAX_SLOTS];
		int			nrefs = 0;
		int			kind = INDEX_PAGE_META;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		page = BufferGetPage(buffer);
		if (!PageIsNew(page))
		{
			const char *fault = IndexPageFault(&HnswForm, page);

			if (fault != NULL)
				report(self, block, 0, "%s", fault);
			else
				kind = IndexPageGetOpaque(page)->kind;
		}
		if (kind == HNSW_PAGE_BASE || kind == HNSW_PAGE_UPPER)
		{
			const HnswLayout *layout = &index->layout[kind];
			int			n = HnswPageSlots(page, layout);

			if (n > layout->slots)
				report(self, block, 0, "page has %d slots, more than %d", n, layout->slots);
			for (int slot = 0; slot < Min(n, layout->slots); slot++)
			{
				HnswNode   *node = HnswPageNode(page, layout, slot);

				if (node->flags & HNSW_NODE_USED)
					refs[nrefs++] = HnswMakeRef(block, slot, node->generation);
			}
		}
		UnlockReleaseBuffer(buffer);
		for (int i = 0; i < nrefs; i++)
		{
			MemoryContext old = MemoryContextSwitchTo(self->context);

			check_node(self, refs[i], kind);
			MemoryContextSwitchTo(old);
			MemoryContextReset(self->context);
		}
	}
}

static void
check_entry(Check *self)
{
	HnswRef		entry;
	int			level;
	HnswNode   *node;

	HnswReadEntry(self->index, &entry, &level);
	if (level < 0)
	{
		if (hash_get_num_entries(self->rows) > 0)
			report(self, INDEX_META_BLOCK, 0, "index has rows, and no entry point");
		return;
	}
	node = copy_node(self, entry, level > 0 ? HNSW_UPPER : HNSW_BASE, NULL, NULL);
	if (node == NULL)
	{
		HnswRef		again;
		int			level_again;

		HnswReadEntry(self->index, &again, &level_again);
		if (again == entry)
			report(self, INDEX_META_BLOCK, 0, "entry point (%u,%d), generation %d, is not a node",
				   HnswRefBlock(entry), HnswRefSlot(entry), HnswRefGeneration(entry));
	}
	else if (node->level != level)
		report(self, INDEX_META_BLOCK, 0, "entry point is of level %d, not %d", node->level, level);
}

/*
 * Can every node of level 0 be reached from the entry point?  Nodes are walked
 * in any order; self->nodes holds those that have rows.
 */
static int64
walk(Check *self)
{
	HnswIndex  *index = self->index;
	const HnswLayout *layout = &index->layout[HNSW_BASE];
	HnswRef		ref;
	int			level;
	HnswRef    *queue;
	int64		n = 0;
	int64		done = 0;
	int64		allocated = 1024;
	int64		missing = 0;
	NodeEntry  *entry;
	HASH_SEQ_STATUS status;

	hash_seq_init(&status, self->nodes);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->reached = false;

	HnswReadEntry(index, &ref, &level);
	for (; level > 0; level--)
	{
		HnswNode   *node = copy_node(self, ref, HNSW_UPPER, NULL, NULL);

		if (node == NULL)
			return 0;			/* reported, or replaced meanwhile */
		ref = HnswLinkGet(&node->down);
	}
	if (level < 0)
		return 0;
	queue = palloc(sizeof(HnswRef) * allocated);
	queue[n++] = ref;
	if ((entry = hash_search(self->nodes, &ref, HASH_FIND, NULL)) != NULL)
		entry->reached = true;
	while (done < n)
	{
		MemoryContext old = MemoryContextSwitchTo(self->context);
		HnswNode   *node = copy_node(self, queue[done++], HNSW_BASE, NULL, NULL);

		MemoryContextSwitchTo(old);
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; node != NULL && i < Min(node->nlinks, layout->links); i++)
		{
			HnswRef		other = HnswLinkGet(&HnswNodeLinks(node, layout)[i]);

			/* nodes that came after the pages were read may lead on as well */
			entry = hash_search(self->nodes, &other, HASH_FIND, NULL);
			if (entry == NULL)
			{
				entry = hash_search(self->nodes, &other, HASH_ENTER, NULL);
				entry->dead = true;
			}
			else if (entry->reached)
				continue;
			entry->reached = true;
			if (n == allocated)
			{
				allocated *= 2;
				queue = repalloc_huge(queue, sizeof(HnswRef) * allocated);
			}
			queue[n++] = other;
		}
		MemoryContextReset(self->context);
	}
	pfree(queue);

	hash_seq_init(&status, self->nodes);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		HnswNode   *node;

		CHECK_FOR_INTERRUPTS();
		if (entry->reached || entry->dead)
			continue;
		node = copy_node(self, entry->ref, HNSW_BASE, NULL, NULL);
		if (node == NULL || (node->flags & HNSW_NODE_DEAD))
			continue;			/* it has gone meanwhile */
		missing++;
	}
	return missing;
}

/*
 * A walk beside writers may miss a link that moved: what three miss has no path.
 * A node that a crashed insert left without one is no harm, for its row was not
 * committed; so it is check_row that reports.
 */
static void
check_reach(Check *self)
{
	for (int i = 0; i < 3 && walk(self) > 0; i++)
		CHECK_FOR_INTERRUPTS();
}

/* A row of the table that should be in the index. */
static void
check_row(Relation rel, ItemPointer tid, Datum *values, bool *isnull, bool alive, void *arg)
{
	Check	   *self = (Check *) arg;
	HnswIndex  *index = self->index;
	MemoryContext old;
	IndexValue	value;
	RowEntry   *entry;

	if (isnull[0])
		return;
	CHECK_FOR_INTERRUPTS();
	old = MemoryContextSwitchTo(self->context);
	if (ValuePrepare(&index->space, index->file.rel, values[0], false, &value))
	{
		entry = hash_search(self->rows, tid, HASH_FIND, NULL);
		if (entry == NULL)
			report(self, ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid),
				   "row of the table is not in the index");
		else
		{
			const char *bytes;
			uint32		nbytes;
			HnswNode   *node = copy_node(self, entry->ref, HNSW_BASE, &bytes, &nbytes);
			NodeEntry  *known = hash_search(self->nodes, &entry->ref, HASH_FIND, NULL);

			if (node != NULL && !known->reached && !known->dead)
				report(self, HnswRefBlock(entry->ref), HnswRefSlot(entry->ref),
					   "no path of links leads from the entry point to this node, which holds row (%u,%u)",
					   ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid));
			if (node != NULL && index->space.coded)
			{
				float	   *stored = palloc(sizeof(float) * index->space.padded);
				double		distance;

				packed12_load((const uint8 *) bytes, index->space.padded, node->scale, stored);
				distance = sqrt(dist_l2sq_f32(stored, value.rotated, index->space.padded));
				if (distance > node->error + 1e-5 * (value.norm + index->space.center_norm))
					report(self, HnswRefBlock(entry->ref), HnswRefSlot(entry->ref),
						   "value is %g away from the one of row (%u,%u), more than %g",
						   distance, ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid), node->error);
			}
			else if (node != NULL && (nbytes != value.raw_bytes || memcmp(bytes, value.raw, nbytes) != 0))
				report(self, HnswRefBlock(entry->ref), HnswRefSlot(entry->ref),
					   "value is not the one of row (%u,%u)",
					   ItemPointerGetBlockNumber(tid), ItemPointerGetOffsetNumber(tid));
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(self->context);
}

static void
check_rows(Check *self)
{
	IndexInfo  *info = BuildIndexInfo(self->index->file.rel);

	/*
	 * By the snapshot that was there before the first page was read: what it
	 * sees was in the index then, and stays while it is held.
	 */
	info->ii_Concurrent = true;
	table_index_build_scan(self->heap, self->index->file.rel, info, true, false, check_row, self,
						   VecdbBeginScan(self->heap, GetActiveSnapshot()));
}

/* Who looks at pages and bytes owns the index. */
void
HnswCheckOwner(Oid index, Oid heap)
{
	if (!VecdbOwnsRelation(index))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(index)), get_rel_name(index));
}

/*
 * Open an hnsw index of ours that the user may look into, and its table; an error for
 * anything else.  Rights are checked before anything is locked: nobody waits for, or
 * stops, what is not theirs.
 */
Relation
HnswOpenToLook(Oid oid, HnswRightCheck check, Relation *heap)
{
	Oid			heap_oid = IndexGetRelation(oid, true);
	Relation	rel;

	check(oid, OidIsValid(heap_oid) ? heap_oid : oid);

	/* the table first, as every user of an index locks them */
	*heap = OidIsValid(heap_oid) ? table_open(heap_oid, AccessShareLock) : NULL;
	rel = relation_open(oid, AccessShareLock);
	if (rel->rd_rel->relkind != RELKIND_INDEX || rel->rd_indam == NULL || rel->rd_indam->ambuild != hnswbuild)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an hnsw index of vecdb", RelationGetRelationName(rel)),
				 errhint(rel->rd_rel->relkind == RELKIND_PARTITIONED_INDEX ?
						 "Name the indexes of the partitions one by one." :
						 "Give the name of an index, not of its table.")));
	if (*heap == NULL || rel->rd_index->indrelid != RelationGetRelid(*heap))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("could not open the table of index \"%s\"", RelationGetRelationName(rel))));

	/* The owner may have changed, or the oid may be another index's, while we waited. */
	check(oid, RelationGetRelid(*heap));
	if (!rel->rd_index->indisvalid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("index \"%s\" is not valid", RelationGetRelationName(rel)),
				 errhint("A concurrent build of it has not ended, or has failed: then rebuild it with REINDEX.")));
	if (RELATION_IS_OTHER_TEMP(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot read index \"%s\": it belongs to a temporary table of another session",
						RelationGetRelationName(rel))));
	return rel;
}

PG_FUNCTION_INFO_V1(hnsw_check);
Datum
hnsw_check(PG_FUNCTION_ARGS)
{
	Relation	rel;
	Check		self;
	HASHCTL		control;
	AsOwner		owner;

	InitMaterializedSRF(fcinfo, 0);
	memset(&self, 0, sizeof(self));
	self.result = (ReturnSetInfo *) fcinfo->resultinfo;
	rel = HnswOpenToLook(PG_GETARG_OID(0), HnswCheckOwner, &self.heap);
	self.index = HnswOpen(rel, CurrentMemoryContext);
	self.context = AllocSetContextCreate(CurrentMemoryContext, "hnsw check", ALLOCSET_DEFAULT_SIZES);
	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(ItemPointerData);
	control.entrysize = sizeof(RowEntry);
	control.hcxt = CurrentMemoryContext;
	self.rows = hash_create("hnsw check rows", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	control.keysize = sizeof(HnswRef);
	control.entrysize = sizeof(NodeEntry);
	self.nodes = hash_create("hnsw check nodes", 1024, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	/* The expressions and the predicate of the index are the owner's code. */
	owner = AsOwnerBegin(self.heap->rd_rel->relowner);
	PG_TRY();
	{
		check_pages(&self);
		check_entry(&self);
		check_reach(&self);
		check_rows(&self);
	}
	PG_CATCH();
	{
		AsOwnerFailed(owner.within);
		PG_RE_THROW();
	}
	PG_END_TRY();

	AsOwnerEnd(&owner);
	hash_destroy(self.nodes);
	hash_destroy(self.rows);
	relation_close(rel, AccessShareLock);
	table_close(self.heap, AccessShareLock);
	return (Datum) 0;
}
