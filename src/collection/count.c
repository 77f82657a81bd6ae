/*
 * count.c
 *	  vecdb.count_rows(): how many rows of a table the caller sees.
 *
 * The view of collections counts the rows of tables whose owners may be anybody,
 * for callers who may be a superuser.  To plan and run a count evaluates what the
 * owner wrote: predicates and expressions of indexes and of statistics,
 * constraints, policies.  So it runs as the owner where both see every row, and
 * elsewhere the table is read without a plan: nothing of all that is looked at,
 * whenever it was made, but the policies that choose the caller's rows.  Those are
 * evaluated as the caller, and only if there is no code of a user in them; else
 * the number is not told.
 *
 * It runs in a subtransaction that is rolled back, which releases its locks: the
 * list may be longer than the lock table.
 */
#include "collection/collection.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "as_owner.h"
#include "catalog/dependency.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "spi_column.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

typedef enum CountAs
{
	COUNT_AS_OWNER,
	COUNT_AS_CALLER,
	COUNT_WITHOUT_PLAN,
	COUNT_BY_POLICIES,
	COUNT_BY_NOBODY
} CountAs;

/* ---------------------------------------------------------------------
 * Is there code of a user?
 * --------------------------------------------------------------------- */

/*
 * May this function run code of a user?  The server's own immutable functions do
 * not, except satisfies_hash_partition(), which evaluates the partition key of a
 * table that it is given.  Its other functions may run a statement that they are
 * given, or have a side effect; current_setting() does neither.  Functions in C of
 * other extensions may do anything: hstore's populate_record() is immutable and
 * evaluates constraints of domains.  Immutable ones of ours are safe.
 */
static bool
is_users_function(Oid function, void *context)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		users = true;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		if (form->prolang == INTERNALlanguageId && function < FirstNormalObjectId)
			users = (form->provolatile != PROVOLATILE_IMMUTABLE || function == F_SATISFIES_HASH_PARTITION) &&
				function != F_CURRENT_SETTING_TEXT && function != F_CURRENT_SETTING_TEXT_BOOL;
		else
			users = form->prolang != ClanguageId || form->provolatile != PROVOLATILE_IMMUTABLE ||
				getExtensionOfObject(ProcedureRelationId, function) != get_extension_oid("vecdb", true);
		ReleaseSysCache(tuple);
	}
	return users;
}

/* Subqueries reach other tables and views; a domain has constraints, and so has what JSON is made into. */
static bool
has_users_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubLink) || IsA(node, Query) || IsA(node, CoerceToDomain) || IsA(node, NextValueExpr) || VecdbIsJsonExpr(node))
		return true;
	return check_functions_in_node(node, is_users_function, context) ||
		expression_tree_walker(node, has_users_code, context);
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
	bool		plain = rel->rd_rel->relkind == RELKIND_RELATION && !rel->rd_rel->relhassubclass;

	if (owner == GetUserId())
		return COUNT_AS_CALLER;
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED)
		return plain ? COUNT_BY_POLICIES : COUNT_BY_NOBODY;
	if (!(rel->rd_rel->relrowsecurity && rel->rd_rel->relforcerowsecurity) && may_read(rel, owner))
		return COUNT_AS_OWNER;
	return plain ? COUNT_WITHOUT_PLAN : COUNT_BY_NOBODY;
}

/* How many rows fulfil these conditions. */
static int64
count_without_plan(Relation rel, List *conditions)
{
	EState	   *state = CreateExecutorState();
	ExprContext *context = GetPerTupleExprContext(state);
	ExprState  *qual = ExecPrepareQual(conditions, state);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	TableScanDesc scan = VecdbBeginScan(rel, GetActiveSnapshot());
	int64		rows = 0;

	context->ecxt_scantuple = slot;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		ResetExprContext(context);
		rows += ExecQual(qual, context);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(state);
	return rows;
}

/*
 * The statement that counts, parsed but not planned, valid until SPI_finish().  NULL
 * if its name leads to anything but this table: while the name is looked up, the
 * schema may be renamed and another schema take the name.
 */
static SPIPlanPtr
prepare_count(Relation rel)
{
	char	   *text = psprintf("SELECT pg_catalog.count(*) FROM %s",
								quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel)));
	SPIPlanPtr	plan = SPI_prepare(text, 0, NULL);
	CachedPlanSource *source;

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", text, SPI_result_code_string(SPI_result));
	source = linitial(SPI_plan_get_plan_sources(plan));
	return list_length(source->relationOids) == 1 && linitial_oid(source->relationOids) == RelationGetRelid(rel) ? plan : NULL;
}

static bool
count_by_plan(Relation rel, int64 *rows)
{
	SPIPlanPtr	plan;
	bool		isnull;

	SPI_connect();
	plan = prepare_count(rel);
	if (plan != NULL)
	{
		if (SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT || SPI_processed != 1)
			elog(ERROR, "could not count the rows of \"%s\"", RelationGetRelationName(rel));
		*rows = DatumGetInt64(SpiColumn(0, 1, INT8OID, &isnull));
	}
	SPI_finish();
	return plan != NULL;
}

/*
 * The conditions that the rewriter has made of the policies are checked for users'
 * code, and the very same are then evaluated.
 */
static bool
count_by_policies(Relation rel, int64 *rows)
{
	SPIPlanPtr	plan;
	bool		counted = false;

	SPI_connect();
	plan = prepare_count(rel);
	if (plan != NULL)
	{
		CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
		Query	   *query = linitial_node(Query, source->query_list);
		List	   *conditions = VecdbExpandGenerated(linitial_node(RangeTblEntry, query->rtable)->securityQuals, rel);

		counted = list_length(query->rtable) == 1 && !has_users_code((Node *) conditions, NULL);
		if (counted)
			*rows = count_without_plan(rel, conditions);
	}
	SPI_finish();
	return counted;
}

/* False where the caller may not learn the number; *owns: the caller owns the table. */
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

		counted = count_by_plan(rel, rows);
		AsOwnerEnd(&owner);
	}
	else if (as == COUNT_AS_CALLER)
		counted = count_by_plan(rel, rows);
	else if (as == COUNT_BY_POLICIES)
		counted = count_by_policies(rel, rows);
	else if (as == COUNT_WITHOUT_PLAN)
	{
		*rows = count_without_plan(rel, NIL);
		counted = true;
	}
	relation_close(rel, NoLock);
	return counted;
}

/*
 * Does an error end the list of all collections?  An error that another user's policy
 * or function raises, of whatever class, does not.  The caller's cancellation does, and
 * so does a failure of serialization, after which the transaction must begin again.
 * These come from the server itself, which the domain of the message shows: RAISE
 * leaves another one.
 */
static bool
ends_statement(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return (category == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) ||
			category == ERRCODE_TO_CATEGORY(ERRCODE_TRANSACTION_ROLLBACK)) &&
		error->domain != NULL && strcmp(error->domain, PG_TEXTDOMAIN("postgres")) == 0;
}

/* How many rows of a table the caller sees; NULL where the caller may not learn it, or the table is gone. */
PG_FUNCTION_INFO_V1(vecdb_count_rows);
Datum
vecdb_count_rows(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool		within = AsOwnerRuns();
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

		AsOwnerFailed(within);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;

		if (owns || ends_statement(error))
			ReThrowError(error);
		counted = false;
	}
	PG_END_TRY();
	if (!counted)
		PG_RETURN_NULL();
	PG_RETURN_INT64(rows);
}
