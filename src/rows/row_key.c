/*
 * row_key.c
 *	  Finding a row of a shared table by its key.
 *
 * The types of keys that a shared table may have compare by PostgreSQL's own functions
 * (row_problems.c): nothing of a user's is run.
 */
#include "rows/row_key.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

Relation
RowTableTryOpen(Oid table, LOCKMODE mode)
{
	Relation	rel;
	List	   *indexes;
	ListCell   *cell;
	bool		free = true;

	if (!ConditionalLockRelationOid(table, mode))
		return NULL;
	rel = try_relation_open(table, NoLock);
	if (rel == NULL)
		return NULL;
	indexes = RelationGetIndexList(rel);
	foreach(cell, indexes)
		free = free && ConditionalLockRelationOid(lfirst_oid(cell), mode);
	list_free(indexes);
	if (free)
		return rel;
	relation_close(rel, NoLock);
	return NULL;
}

void
RowKeyOpen(RowKeyIndex *self, Relation rel, RowShape *shape, LOCKMODE mode)
{
	self->rel = rel;
	self->shape = shape;
	self->index = index_open(RowShapeKeyIndex(shape), mode);
	for (int i = 0; i < RowShapeKeyColumns(shape); i++)
	{
		Oid			family = self->index->rd_opfamily[i];
		Oid			type = self->index->rd_opcintype[i];
		Oid			equal = get_opfamily_member(family, type, type, BTEqualStrategyNumber);

		if (!OidIsValid(equal))
			elog(ERROR, "a key's type %u has no operator for equality", type);
		ScanKeyEntryInitialize(&self->key[i], 0, (AttrNumber) (i + 1), BTEqualStrategyNumber, type,
							   self->index->rd_indcollation[i], get_opcode(equal), (Datum) 0);
	}
}

void
RowKeyClose(RowKeyIndex *self)
{
	index_close(self->index, NoLock);
}

bool
RowKeyFetch(RowKeyIndex *self, RowBytes key, Snapshot snapshot, TupleTableSlot *out)
{
	int			n = RowShapeKeyColumns(self->shape);
	Datum		value[ROW_KEY_COLUMNS];
	IndexScanDesc scan;
	bool		found;

	if (!RowShapeKeyValues(self->shape, key, value))
		return false;
	for (int i = 0; i < n; i++)
		self->key[i].sk_argument = value[i];
	scan = VecdbIndexBeginScan(self->rel, self->index, snapshot, n);
	index_rescan(scan, self->key, n, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, out);
	index_endscan(scan);
	return found;
}
