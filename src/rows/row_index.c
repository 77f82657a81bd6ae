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
#include "index/access_method.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Has it an expression or a predicate?  Those are code of the table's owner, which no worker is to wait for. */
static bool
has_code(Relation index)
{
	return !heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);
}

/* The first hnsw index of columns of a table that is ready, or is not; InvalidOid: there is none. */
static Oid
find_index(Relation rel, bool ready)
{
	List	   *indexes = RelationGetIndexList(rel);
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (IndexMethodOf(index) == INDEX_HNSW && index->rd_index->indisready == ready && !has_code(index))
			found = RelationGetRelid(index);
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

	while (OidIsValid(index = find_index(rel, true)))
	{
		set_waiting(index);
		CacheInvalidateRelcache(rel);
		CommandCounterIncrement();
	}
	table_close(rel, NoLock);
}

RowIndexBuilt
RowIndexBuild(Oid table, const uint8 root[ROW_STATE_ROOT])
{
	ReindexParams params = {0};
	Relation	rel;
	Oid			index;
	char		persistence;

	if (!RowStateIsCopied(root) || !ConditionalLockRelationOid(table, AccessShareLock))
		return ROW_INDEX_NONE;
	rel = try_relation_open(table, NoLock);
	if (!rel)
		return ROW_INDEX_NONE;
	index = find_index(rel, false);
	persistence = rel->rd_rel->relpersistence;
	relation_close(rel, NoLock);
	if (!OidIsValid(index))
		return ROW_INDEX_NONE;
	if (!ConditionalLockRelationOid(table, ShareLock))
		return ROW_INDEX_LOCKED;
	/* it takes the owner's rights by itself */
	VecdbReindexIndex(index, persistence, &params);
	return ROW_INDEX_BUILT;
}
