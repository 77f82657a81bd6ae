/*
 * rest_key.c
 *	  The primary key of a table, and that of a view which shows one.
 *
 * A view that PostgreSQL updates by itself has a row of one table, or of another such
 * view, for each of its own.  So the key of that is the view's, where all columns of
 * it are plain columns of the view.
 */
#include "http/rest/rest.h"

#include "access/genam.h"
#include "access/relation.h"
#include "nodes/primnodes.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/rel.h"
#include "utils/reltrigger.h"

/* Views below each other; more are without a key, one that is below itself among them. */
#define MAX_VIEWS		32

static int	find_key(Relation rel, int views, AttrNumber **key);

static int
key_of_table(Relation rel, AttrNumber **key)
{
	Oid			oid;
	Relation	index;
	int			n;

	(void) RelationGetIndexList(rel);
	oid = VecdbPrimaryKeyIndex(rel);
	if (!OidIsValid(oid))
		return 0;
	index = index_open(oid, AccessShareLock);
	n = index->rd_index->indnkeyatts;
	*key = palloc(sizeof(AttrNumber) * n);
	for (int i = 0; i < n; i++)
		(*key)[i] = index->rd_index->indkey.values[i];
	index_close(index, AccessShareLock);
	return n;
}

/* The view's column that is a column of its table, or InvalidAttrNumber. */
static AttrNumber
shown_as(const Query *query, int rtindex, AttrNumber number)
{
	ListCell   *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *entry = lfirst_node(TargetEntry, cell);
		Var		   *var = (Var *) entry->expr;

		if (!entry->resjunk && IsA(var, Var) && var->varno == rtindex && var->varattno == number)
			return entry->resno;
	}
	return InvalidAttrNumber;
}

/* Does the view have triggers or rules in the place of its writes?  ON CONFLICT is not for those. */
static bool
has_own_writes(Relation view)
{
	const TriggerDesc *triggers = view->trigdesc;

	return (triggers && (triggers->trig_insert_instead_row || triggers->trig_update_instead_row)) || view->rd_rules->numLocks > 1;
}

static int
key_of_view(Relation view, int views, AttrNumber **key)
{
	Query	   *query = get_view_query(view);
	RangeTblRef *ref;
	Relation	table;
	int			n;

	if (views == MAX_VIEWS || has_own_writes(view) || view_query_is_auto_updatable(query, true) != NULL)
		return 0;
	ref = linitial_node(RangeTblRef, query->jointree->fromlist);
	table = try_relation_open(rt_fetch(ref->rtindex, query->rtable)->relid, AccessShareLock);
	if (!table)
		return 0;
	n = find_key(table, views + 1, key);
	relation_close(table, NoLock);
	for (int i = 0; i < n; i++)
	{
		(*key)[i] = shown_as(query, ref->rtindex, (*key)[i]);
		if ((*key)[i] == InvalidAttrNumber)
			return 0;
	}
	return n;
}

static int
find_key(Relation rel, int views, AttrNumber **key)
{
	return rel->rd_rel->relkind == RELKIND_VIEW ? key_of_view(rel, views, key) : key_of_table(rel, key);
}

int
RestFindKey(const RestTable *table, AttrNumber **key)
{
	return find_key(table->rel, 0, key);
}
