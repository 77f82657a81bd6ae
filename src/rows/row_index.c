/*
 * row_index.c
 *	  Indexes that wait for the rows of a first copy.
 */
#include "rows/row_index.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_index.h"
#include "catalog/storage.h"
#include "fault_point.h"
#include "index/access_method.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* Has it an expression or a predicate?  Those are code of the table's owner, which no worker is to wait for. */
static bool
has_code(Relation index)
{
	return !heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

/* The first hnsw index of columns of a table that can be used, or cannot; InvalidOid: there is none. */
static Oid
find_index(Relation rel, bool valid, bool *ready)
{
	List	   *indexes = RelationGetIndexList(rel);
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (IndexMethodOf(index) == INDEX_HNSW && index->rd_index->indisvalid == valid && !has_code(index))
		{
			found = RelationGetRelid(index);
			*ready = index->rd_index->indisready;
		}
		index_close(index, AccessShareLock);
		if (OidIsValid(found))
			break;
	}
	list_free(indexes);
	return found;
}

static void
set_waiting(Oid index)
{
	Relation	catalog = table_open(IndexRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", index);
	form = (Form_pg_index) GETSTRUCT(tuple);
	form->indisready = form->indisvalid = false;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
}

void
RowIndexDefer(Oid table)
{
	Relation	rel = table_open(table, AccessExclusiveLock);
	Oid			index;
	bool		ready;

	while (OidIsValid(index = find_index(rel, true, &ready)))
	{
		set_waiting(index);
		CacheInvalidateRelcache(rel);
		CommandCounterIncrement();
	}
	table_close(rel, NoLock);
}

RowIndexState
RowIndexWaits(Oid table, const uint8 root[ROW_STATE_ROOT], Oid *index)
{
	Relation	rel;
	bool		ready;

	if (!RowStateIsCopied(root) || !ConditionalLockRelationOid(table, AccessShareLock))
		return ROW_INDEX_NONE;
	rel = try_relation_open(table, NoLock);
	if (!rel)
		return ROW_INDEX_NONE;
	*index = find_index(rel, false, &ready);
	relation_close(rel, NoLock);
	if (!OidIsValid(*index))
		return ROW_INDEX_NONE;
	return ready ? ROW_INDEX_BUILT : ROW_INDEX_EMPTY;
}

/* Does it wait still, once nobody else builds or vacuums at this table? */
static bool
waits_still(Oid table, Oid index, bool ready)
{
	Relation	rel;
	bool		is_ready;
	bool		still;

	/* no snapshot is held meanwhile: a CREATE INDEX CONCURRENTLY that has the lock waits for those */
	PopActiveSnapshot();
	InvalidateCatalogSnapshot();
	LockRelationOid(table, ShareUpdateExclusiveLock);
	PushActiveSnapshot(GetTransactionSnapshot());
	rel = try_relation_open(table, NoLock);
	if (!rel)
		return false;
	still = find_index(rel, false, &is_ready) == index && is_ready == ready;
	relation_close(rel, NoLock);
	return still;
}

bool
RowIndexBuild(Oid table, Oid index)
{
	Relation	rel;

	if (!waits_still(table, index, false))
		return false;
	/* what is in its file, from its creation or a build that was broken off, nobody reads */
	rel = index_open(index, RowExclusiveLock);
	if (RelationGetNumberOfBlocks(rel) > 0)
		RelationTruncate(rel, 0);
	index_close(rel, NoLock);
	/* it takes the owner's rights by itself */
	FAULT_POINT("index-before-build");
	index_concurrently_build(table, index);
	FAULT_POINT("index-built");
	return true;
}

bool
RowIndexComplete(Oid table, Oid index, TransactionId *xmin)
{
	if (!waits_still(table, index, true))
		return false;
	*xmin = GetActiveSnapshot()->xmin;
	validate_index(table, index, GetActiveSnapshot());
	FAULT_POINT("index-completed");
	return true;
}

bool
RowIndexUse(Oid table, Oid index)
{
	if (!waits_still(table, index, true))
		return false;
	index_set_state_flags(index, INDEX_CREATE_SET_VALID);
	CacheInvalidateRelcacheByRelid(table);
	FAULT_POINT("index-used");
	return true;
}
