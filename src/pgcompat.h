/*
 * pgcompat.h
 *	  The only file that names PG_VERSION_NUM.
 *
 * vecdb is developed on PostgreSQL 15 and compiles unchanged on 15 to 19.
 * Every difference between those versions is bridged here, so that no other
 * file needs a version check.
 */
#ifndef VECDB_PGCOMPAT_H
#define VECDB_PGCOMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 150000
#error "vecdb needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#else
/* Before 16 this mark is empty on ELF; we build with hidden visibility. */
#undef PGDLLEXPORT
#define PGDLLEXPORT __attribute__((visibility("default")))

/*
 * The macro of 15 marks the information record for export, but not the
 * function itself, which the server then cannot find.
 */
#include "fmgr.h"
#undef PG_FUNCTION_INFO_V1
#define PG_FUNCTION_INFO_V1(function) \
	PGDLLEXPORT const Pg_finfo_record *CppConcat(pg_finfo_, function) (void); \
	const Pg_finfo_record * \
	CppConcat(pg_finfo_, function) (void) \
	{ \
		static const Pg_finfo_record record = {1}; \
		return &record; \
	} \
	PGDLLEXPORT Datum function(PG_FUNCTION_ARGS)
#endif

#include "access/amapi.h"

/*
 * Where a handler fills in its routine.  The relation cache of 19 keeps what the
 * handler returns; earlier ones copy it and free it.
 */
static inline IndexAmRoutine *
NewIndexRoutine(void)
{
#if PG_VERSION_NUM >= 190000
	static IndexAmRoutine routine = {.type = T_IndexAmRoutine};

	return &routine;
#else
	return makeNode(IndexAmRoutine);
#endif
}

/* 19 made the jumble that the hook after parse analysis is given constant. */
#if PG_VERSION_NUM >= 190000
#define HookedJumbleState const struct JumbleState
#else
#define HookedJumbleState struct JumbleState
#endif

/*
 * From 19 on copyObject() has typeof_unqual where the compiler of the server knew
 * it; C11 knows the same by another name.
 */
#if defined(HAVE_TYPEOF_UNQUAL) && !defined(typeof_unqual) && __STDC_VERSION__ <= 201710L
#define typeof_unqual __typeof_unqual__
#endif

#include "access/stratnum.h"
#include "nodes/pathnodes.h"

/* From the least on.  18 names the comparison, where others have a strategy of btree. */
static inline void
PathKeySetAscending(PathKey *key)
{
#if PG_VERSION_NUM >= 180000
	key->pk_cmptype = COMPARE_LT;
#else
	key->pk_strategy = BTLessStrategyNumber;
#endif
}

/* Fields of the access method's routine that later versions added. */
static inline void
FillVersionedRoutine(IndexAmRoutine *am)
{
#if PG_VERSION_NUM >= 160000
	am->amsummarizing = false;
#endif
#if PG_VERSION_NUM >= 170000
	am->amcanbuildparallel = true;
	am->aminsertcleanup = NULL;
#endif
#if PG_VERSION_NUM >= 180000
	am->amcanhash = false;
	am->amconsistentequality = false;
	am->amconsistentordering = false;
	am->amgettreeheight = NULL;
	am->amtranslatestrategy = NULL;
	am->amtranslatecmptype = NULL;
#endif
}

#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"

/* Does the current user own this table or index? */
static inline bool
VecdbOwnsRelation(Oid relid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, GetUserId());
#else
	return pg_class_ownercheck(relid, GetUserId());
#endif
}

#include "utils/guc.h"

/*
 * The search_path in which somebody else's code is evaluated, until the end of
 * the GUC nest level.  17 has a function for it.
 */
static inline void
VecdbRestrictSearchPath(void)
{
#if PG_VERSION_NUM >= 170000
	RestrictSearchPath();
#else
	set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
#endif
}

#include "catalog/pg_namespace.h"

/* May the current user do this in this schema: ACL_USAGE, ACL_CREATE? */
static inline AclResult
VecdbSchemaCheck(Oid schema, AclMode mode)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, GetUserId(), mode);
#else
	return pg_namespace_aclcheck(schema, GetUserId(), mode);
#endif
}

/* Does the current user own this schema? */
static inline bool
VecdbOwnsSchema(Oid schema)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(NamespaceRelationId, schema, GetUserId());
#else
	return pg_namespace_ownercheck(schema, GetUserId());
#endif
}

#include "nodes/pathnodes.h"

/*
 * Keep the planner from a path that cannot be executed.  Its cost is infinite,
 * but 18 counts disabled nodes first: beside a disabled sequential scan it would
 * win.
 */
static inline void
DisableIndexPath(IndexPath *path)
{
#if PG_VERSION_NUM >= 180000
	path->path.disabled_nodes = 2;
#endif
}

/* Make a path one that is taken where no other is enabled: its cost is the planner's for those that are not. */
static inline void
DiscourageIndexPath(IndexPath *path, Cost *startup_cost, Cost *total_cost)
{
#if PG_VERSION_NUM >= 180000
	path->path.disabled_nodes++;
#else
	*startup_cost += 1.0e10;
	*total_cost += 1.0e10;
#endif
}

/* 16 tells an index's vacuum of the table. */
#if PG_VERSION_NUM >= 160000
#define VacuumInfoSetHeap(info, rel) ((info)->heaprel = (rel))
#else
#define VacuumInfoSetHeap(info, rel) ((void) (rel))
#endif

#include "access/relscan.h"

/* 18 tells in EXPLAIN ANALYZE how often an index was searched; its access method counts. */
static inline void
CountIndexSearch(IndexScanDesc scan)
{
#if PG_VERSION_NUM >= 180000
	if (scan->instrument != NULL)
		scan->instrument->nsearches++;
#endif
}

/* 16 renamed what a process counts of a relation.  Who uses it includes pgstat.h. */
#if PG_VERSION_NUM >= 160000
#define VecdbHotUpdates(info) ((info)->counts.tuples_hot_updated)
#else
#define VecdbHotUpdates(info) ((info)->t_counts.t_tuples_hot_updated)
#endif

/*
 * Has this backend the buffer locked, or locked exclusively?  For assertions: 19 has
 * buffer locks of their own, earlier ones a lightweight lock; a local buffer has none.  Who
 * asks includes storage/buf_internals.h.
 */
#if PG_VERSION_NUM >= 190000
#define BufferIsLocked(buffer) BufferIsLockedByMe(buffer)
#define BufferIsLockedExclusively(buffer) BufferIsLockedByMeInMode(buffer, BUFFER_LOCK_EXCLUSIVE)
#else
#define BufferIsLocked(buffer) \
	(BufferIsLocal(buffer) || \
	 LWLockHeldByMe(BufferDescriptorGetContentLock(GetBufferDescriptor((buffer) - 1))))
#define BufferIsLockedExclusively(buffer) \
	(BufferIsLocal(buffer) || \
	 LWLockHeldByMeInMode(BufferDescriptorGetContentLock(GetBufferDescriptor((buffer) - 1)), LW_EXCLUSIVE))
#endif

/* 17 lets LockHeldByMe look for stronger locks, too. */
#if PG_VERSION_NUM >= 170000
#define VecdbLockHeldByMe(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define VecdbLockHeldByMe(tag, mode) LockHeldByMe(tag, mode)
#endif

/* 18 gave vacuum_delay_point an argument. */
#if PG_VERSION_NUM >= 180000
#define vacuum_delay_point_compat() vacuum_delay_point(false)
#else
#define vacuum_delay_point_compat() vacuum_delay_point()
#endif

/* 16 renamed "relfilenode" to "relfilenumber". */
#if PG_VERSION_NUM < 160000
#define RelFileNumber Oid
#define RelationGetFileNumber(rel) ((rel)->rd_node.relNode)
#define RelationGetLocator(rel) ((rel)->rd_node)
#else
#define RelationGetFileNumber(rel) ((rel)->rd_locator.relNumber)
#define RelationGetLocator(rel) ((rel)->rd_locator)
#endif

/* 18 dropped this mark, which may stand behind a declaration, for one before it. */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn() __attribute__((noreturn))
#endif

/* 17 has functions of SQL/JSON, which make values of any type. */
#if PG_VERSION_NUM >= 170000
#define VecdbIsJsonExpr(node) IsA(node, JsonExpr)
#else
#define VecdbIsJsonExpr(node) false
#endif

/*
 * Conditions on a table, the first of their query: 18 has columns that are no more
 * than an expression, which otherwise the planner puts in their places.
 */
#if PG_VERSION_NUM >= 180000
#include "rewrite/rewriteHandler.h"
#define VecdbExpandGenerated(conditions, rel) ((List *) expand_generated_columns_in_expr((Node *) (conditions), rel, 1))
#else
#define VecdbExpandGenerated(conditions, rel) (conditions)
#endif

#include "storage/lwlock.h"

/*
 * An id for the locks of a structure in shared memory, which is asked for once,
 * when that is made; and the name for the wait events of the calling process.  19
 * keeps the names of all, at most 256, in shared memory.
 */
#if PG_VERSION_NUM >= 190000
#define VecdbNewTranche(name) LWLockNewTrancheId(name)
#define VecdbNameTranche(tranche, name) ((void) 0)
#else
#define VecdbNewTranche(name) LWLockNewTrancheId()
#define VecdbNameTranche(tranche, name) LWLockRegisterTranche(tranche, name)
#endif

/* 17 hands wait event sets to a resource owner; ours live as long as the process. */
#include "storage/latch.h"
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#if PG_VERSION_NUM >= 170000
#define CreateSessionWaitEventSet(nevents) CreateWaitEventSet(NULL, nevents)
#else
#include "utils/memutils.h"
#define CreateSessionWaitEventSet(nevents) CreateWaitEventSet(TopMemoryContext, nevents)
#endif

/* All settings; 16 made the list a copy. */
struct config_generic;
#if PG_VERSION_NUM >= 160000
extern struct config_generic **get_guc_variables(int *num_vars);
#define VecdbSettings(n) get_guc_variables(n)
#else
extern struct config_generic **get_guc_variables(void);
extern int	GetNumConfigOptions(void);
#define VecdbSettings(n) (*(n) = GetNumConfigOptions(), get_guc_variables())
#endif

/* 19 keeps within a setting what depends on its type (bool, int, real, string, enum). */
#if PG_VERSION_NUM >= 190000
#define VecdbSettingOf(setting, type) (&(setting)->_##type)
#define VecdbEnumName(setting, value) config_enum_lookup_by_value(setting, value)
#else
#define VecdbSettingOf(setting, type) ((struct config_##type *) (setting))
#define VecdbEnumName(setting, value) config_enum_lookup_by_value((struct config_enum *) (setting), value)
#endif

/* 19 has the handler that ends a session told who sent the signal, info a siginfo_t. */
#if PG_VERSION_NUM >= 190000
#define VecdbDie(signo, info) die(signo, &(pg_signal_info) {.pid = (info)->si_pid, .uid = (info)->si_uid})
#else
#define VecdbDie(signo, info) die(signo)
#endif

/* 19 gave scans of tables options; ours have none. */
#if PG_VERSION_NUM >= 190000
#define VecdbBeginScan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL, SO_NONE)
#define VecdbBeginParallelScan(rel, shared_scan) table_beginscan_parallel(rel, shared_scan, SO_NONE)
#else
#define VecdbBeginScan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL)
#define VecdbBeginParallelScan(rel, shared_scan) table_beginscan_parallel(rel, shared_scan)
#endif

/* The same of index scans, by keys or in the order of a distance; 18 lets them count what they do. */
#if PG_VERSION_NUM >= 190000
#include "access/tableam.h"
#define VecdbBeginIndexScan(rel, index, snapshot, nkeys, norderbys) \
	index_beginscan(rel, index, snapshot, NULL, nkeys, norderbys, SO_NONE)
#elif PG_VERSION_NUM >= 180000
#define VecdbBeginIndexScan(rel, index, snapshot, nkeys, norderbys) \
	index_beginscan(rel, index, snapshot, NULL, nkeys, norderbys)
#else
#define VecdbBeginIndexScan(rel, index, snapshot, nkeys, norderbys) \
	index_beginscan(rel, index, snapshot, nkeys, norderbys)
#endif
#define VecdbIndexBeginScan(rel, index, snapshot, nkeys) VecdbBeginIndexScan(rel, index, snapshot, nkeys, 0)
#define VecdbIndexBeginOrderedScan(rel, index, snapshot, norderbys) VecdbBeginIndexScan(rel, index, snapshot, 0, norderbys)

#if PG_VERSION_NUM >= 190000
#define VecdbIndexFetchBegin(rel) table_index_fetch_begin(rel, SO_NONE)
#else
#define VecdbIndexFetchBegin(rel) table_index_fetch_begin(rel)
#endif

/*
 * Replace a row that nobody else is at.  16 tells which indexes need an entry: ours are
 * no summarizing ones, so HeapTupleIsHeapOnly() of the new row tells it too.
 */
#if PG_VERSION_NUM >= 160000
#define VecdbHeapUpdate(rel, tid, tuple) \
	do { \
		TU_UpdateIndexes which_; \
		simple_heap_update(rel, tid, tuple, &which_); \
	} while (0)
#else
#define VecdbHeapUpdate(rel, tid, tuple) simple_heap_update(rel, tid, tuple)
#endif

/*
 * Make a table, of which these columns are written, the one of an executor without a plan.
 * Who uses it includes executor/executor.h; 16 keeps rights apart from the range table, 18
 * has a set of what was not pruned of it.
 */
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#if PG_VERSION_NUM >= 180000
#define VecdbInitRanges(estate, rtes, perminfos) ExecInitRangeTable(estate, rtes, perminfos, bms_make_singleton(1))
#else
#define VecdbInitRanges(estate, rtes, perminfos) ExecInitRangeTable(estate, rtes, perminfos)
#endif
#define VecdbInitRangeTable(estate, rte, columns) \
	do { \
		List	   *perminfos_ = NIL; \
		addRTEPermissionInfo(&perminfos_, rte)->updatedCols = columns; \
		VecdbInitRanges(estate, list_make1(rte), perminfos_); \
	} while (0)
#define VecdbEvalPlanQualInit(epq, estate) EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL)
#else
#define VecdbInitRangeTable(estate, rte, columns) \
	((rte)->updatedCols = (columns), ExecInitRangeTable(estate, list_make1(rte)))
#define VecdbEvalPlanQualInit(epq, estate) EvalPlanQualInit(epq, estate, NULL, NIL, -1)
#endif

#include "utils/jsonb.h"

/* jsonb in the making: all zero at first, its result is there after the last push. */
#if PG_VERSION_NUM >= 190000
typedef JsonbInState VecdbJsonbState;
#define VecdbPushJsonb(state, token, value) pushJsonbValue(state, token, value)
#else
typedef struct VecdbJsonbState
{
	JsonbParseState *parse;
	JsonbValue *result;
} VecdbJsonbState;
#define VecdbPushJsonb(state, token, value) ((state)->result = pushJsonbValue(&(state)->parse, token, value))
#endif

/* 18 asks whether a deferrable primary key is welcome. */
#if PG_VERSION_NUM >= 180000
#define VecdbPrimaryKeyIndex(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define VecdbPrimaryKeyIndex(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* Plan a query that was rewritten; 19 tells the planner of an EXPLAIN. */
#include "tcop/tcopprot.h"
#if PG_VERSION_NUM >= 190000
#define VecdbPlanQuery(query, text, options) pg_plan_query(query, text, options, NULL, NULL)
#else
#define VecdbPlanQuery(query, text, options) pg_plan_query(query, text, options, NULL)
#endif

/* An error where the user may not do what the plan does; who uses it includes executor/executor.h. */
#if PG_VERSION_NUM >= 160000
#define VecdbCheckRights(plan) ExecCheckPermissions((plan)->rtable, (plan)->permInfos, true)
#else
#define VecdbCheckRights(plan) ExecCheckRTPerms((plan)->rtable, true)
#endif

/* From 18 on what a query groups by is an entry of its range table. */
#if PG_VERSION_NUM >= 180000
#define VecdbIsGroup(rte) ((rte)->rtekind == RTE_GROUP)
#define VecdbGroupExprs(rte) ((rte)->groupexprs)
#else
#define VecdbIsGroup(rte) false
#define VecdbGroupExprs(rte) NIL
#endif

#endif							/* VECDB_PGCOMPAT_H */
