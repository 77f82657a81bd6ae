/*
 * count.c
 *	  vecdb.count_rows(): how many rows of a table the caller sees.
 *
 * The view of collections counts the rows of tables whose owners may be anybody,
 * for callers who may be a superuser.  To plan and run a count evaluates what the
 * owner wrote: predicates and expressions of indexes, constraints, policies.  So
 * it runs as the owner where the caller sees every row.  Where policies choose
 * the caller's rows it can run as the caller alone, and does so only if nothing in
 * them is code of a user; else the number is not told.
 *
 * It runs in a subtransaction that is rolled back, which releases its locks: the
 * list may be longer than the lock table.
 */
#include "collection/collection.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/xact.h"
#include "as_owner.h"
#include "catalog/pg_index.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rowsecurity.h"
#include "spi_column.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

typedef enum CountAs
{
	COUNT_AS_OWNER,
	COUNT_AS_CALLER,
	COUNT_BY_NOBODY
} CountAs;

/* ---------------------------------------------------------------------
 * Is there code of a user?
 * --------------------------------------------------------------------- */

/*
 * Only a superuser makes functions in C.  Of those that are not immutable some
 * run a statement that they are given, and some have a side effect.
 */
static bool
is_users_function(Oid function, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		users = true;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		users = (form->prolang != INTERNALlanguageId && form->prolang != ClanguageId) ||
			(form->provolatile != PROVOLATILE_IMMUTABLE &&
			 function != F_CURRENT_SETTING_TEXT && function != F_CURRENT_SETTING_TEXT_BOOL);
		ReleaseSysCache(tuple);
	}
	return users;
}

/* Subqueries reach other tables and views; a domain has constraints. */
static bool
has_users_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink) || IsA(node, Query) || IsA(node, CoerceToDomain) || IsA(node, NextValueExpr))
		return true;
	return check_functions_in_node(node, is_users_function, context) ||
		expression_tree_walker(node, has_users_code, context);
}

/* The expression as it is stored: the relation cache would hand it out evaluated in part. */
static bool
index_has_users_code(Oid index)
{
	static const AttrNumber columns[] = {Anum_pg_index_indexprs, Anum_pg_index_indpred};
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool		found = !HeapTupleIsValid(tuple);

	for (int i = 0; i < lengthof(columns) && !found; i++)
	{
		bool		isnull;
		Datum		value = SysCacheGetAttr(INDEXRELID, tuple, columns[i], &isnull);

		found = !isnull && has_users_code(stringToNode(TextDatumGetCString(value)), NULL);
	}
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return found;
}

static bool
table_has_users_code(Relation rel)
{
	TupleConstr *constraints = RelationGetDescr(rel)->constr;
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;
	bool		found = rel->rd_rel->relhassubclass;	/* children have theirs */

	for (int i = 0; constraints != NULL && i < constraints->num_check && !found; i++)
		found = has_users_code(stringToNode(constraints->check[i].ccbin), NULL);
	foreach(cell, indexes)
		found = found || index_has_users_code(lfirst_oid(cell));
	list_free(indexes);
	foreach(cell, rel->rd_rsdesc != NULL ? rel->rd_rsdesc->policies : NIL)
		found = found || has_users_code((Node *) ((RowSecurityPolicy *) lfirst(cell))->qual, NULL);
	return found;
}

/* ---------------------------------------------------------------------
 * Counting
 * --------------------------------------------------------------------- */

/* May this user count rows of the table? */
static bool
may_read(Relation rel, Oid user)
{
	Oid			self;
	int			context;
	bool		may;

	GetUserIdAndSecContext(&self, &context);
	SetUserIdAndSecContext(user, context);
	may = CollectionMayRead(RelationGetRelid(rel));
	SetUserIdAndSecContext(self, context);
	return may;
}

static CountAs
who_counts(Relation rel)
{
	Oid			owner = rel->rd_rel->relowner;

	if (owner == GetUserId())
		return COUNT_AS_CALLER;
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED &&
		!(rel->rd_rel->relrowsecurity && rel->rd_rel->relforcerowsecurity) && may_read(rel, owner))
		return COUNT_AS_OWNER;
	return table_has_users_code(rel) ? COUNT_BY_NOBODY : COUNT_AS_CALLER;
}

/*
 * Run the count.  The schema may be renamed while the name is looked up, and
 * another have taken its name: what the plan reads is checked to be the table.
 */
static bool
run_count(Relation rel, int64 *rows)
{
	char	   *text = psprintf("SELECT pg_catalog.count(*) FROM %s",
								quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel)));
	SPIPlanPtr	plan;
	CachedPlanSource *source;
	bool		isnull;

	SPI_connect();
	plan = SPI_prepare(text, 0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", text, SPI_result_code_string(SPI_result));
	source = linitial(SPI_plan_get_plan_sources(plan));
	if (list_length(source->relationOids) != 1 || linitial_oid(source->relationOids) != RelationGetRelid(rel))
	{
		SPI_finish();
		return false;
	}
	if (SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", text);
	*rows = DatumGetInt64(SpiColumn(0, 1, INT8OID, &isnull));
	SPI_finish();
	return true;
}

/* False where there is no number to tell; *owns: the caller owns the table. */
static bool
count(Oid relid, int64 *rows, volatile bool *owns)
{
	Relation	rel = CollectionMayRead(relid) ? try_relation_open(relid, AccessShareLock) : NULL;
	CountAs		as;
	bool		counted = false;

	if (rel == NULL)
		return false;
	*owns = rel->rd_rel->relowner == GetUserId();
	as = CollectionMayRead(relid) ? who_counts(rel) : COUNT_BY_NOBODY;
	if (as == COUNT_AS_OWNER)
	{
		AsOwner		owner = AsOwnerBegin(rel->rd_rel->relowner);

		counted = run_count(rel, rows);
		AsOwnerEnd(&owner);
	}
	else if (as == COUNT_AS_CALLER)
		counted = run_count(rel, rows);
	relation_close(rel, NoLock);
	return counted;
}

/* How many rows of a table the caller sees; NULL where that is not told, or it is gone. */
PG_FUNCTION_INFO_V1(vecdb_count_rows);
Datum
vecdb_count_rows(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool counted = false;
	volatile bool owns = false;
	int64		rows = 0;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		counted = count(PG_GETARG_OID(0), &rows, &owns);
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *error;
		int			category;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;

		/* What another's policy fails with must not be the end of a list of all collections. */
		category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
		if (owns || (category != ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION) &&
					 category != ERRCODE_TO_CATEGORY(ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)))
			ReThrowError(error);
		counted = false;
	}
	PG_END_TRY();
	if (!counted)
		PG_RETURN_NULL();
	PG_RETURN_INT64(rows);
}
