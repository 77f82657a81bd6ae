/*
 * settings.c
 *	  The settings hnsw.*, and when a backend has them.
 *
 * They bear pgvector's names, so that applications need not change.  A process
 * can define a setting once only, and a server that preloads us may serve
 * pgvector in another database, whose library defines the same names when it is
 * loaded.  So the postmaster does not define them.  Each backend does in whose
 * database the access method hnsw is ours, at the end of the transaction that
 * connects it to that database: by then it knows what was set for the database,
 * for the role and by the client, and it has read no statement yet.  A parallel
 * worker comes by there too, before it takes over its leader's values.
 *
 * A backend that loads the library by itself, or whose database gets the
 * extension later, defines them with the first statement that it reads after
 * that.  Where pgvector has defined them, we read its values.
 */
#include "index/settings.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

static int	ef_search = HNSW_DEFAULT_EF_SEARCH;
static int	iterative_scan = HNSW_DEFAULT_ITERATIVE_SCAN;
static int	max_scan_tuples = HNSW_DEFAULT_MAX_SCAN_TUPLES;
static double scan_mem_multiplier = 1;

static post_parse_analyze_hook_type previous_hook;

static bool settings_known = false;
static bool settings_foreign = false;

/* Whether a plan may count on the order of a scan depends on it: plan.c */
static void
assign_iterative_scan(int value, void *extra)
{
	if ((value == HNSW_ITERATIVE_RELAXED) != (iterative_scan == HNSW_ITERATIVE_RELAXED))
		ResetPlanCache();
}

static const struct config_enum_entry iterative_scan_options[] = {
	{"off", HNSW_ITERATIVE_OFF, false},
	{"relaxed_order", HNSW_ITERATIVE_RELAXED, false},
	{"strict_order", HNSW_ITERATIVE_STRICT, false},
	{NULL, 0, false}
};

void
HnswDefineSettings(void)
{
	if (settings_known)
		return;

	/*
	 * Nothing can be set in parallel mode, so a placeholder could not pass its
	 * value on.  A worker reads the strings that its leader gave it; a leader
	 * comes here again.
	 */
	if (IsInParallelMode())
	{
		settings_foreign = true;
		return;
	}
	settings_known = true;
	settings_foreign = false;

	/* A SET before this made a placeholder, whose value we inherit; anything else is another library's */
	if (GetConfigOption("hnsw.ef_search", true, false) != NULL &&
		!(GetConfigOptionFlags("hnsw.ef_search", true) & GUC_CUSTOM_PLACEHOLDER))
	{
		settings_foreign = true;
		return;
	}

	DefineCustomIntVariable("hnsw.ef_search",
							"Sets the number of candidates that a search keeps.",
							"More give better recall and slower queries.",
							&ef_search, HNSW_DEFAULT_EF_SEARCH, 1, HNSW_MAX_EF_SEARCH,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("hnsw.iterative_scan",
							 "Sets whether a scan goes on when more rows are asked for than hnsw.ef_search found.",
							 NULL,
							 &iterative_scan, HNSW_DEFAULT_ITERATIVE_SCAN, iterative_scan_options,
							 PGC_USERSET, 0, NULL, assign_iterative_scan, NULL);
	DefineCustomIntVariable("hnsw.max_scan_tuples",
							"Sets the number of rows after which an iterative scan stops searching.",
							NULL,
							&max_scan_tuples, HNSW_DEFAULT_MAX_SCAN_TUPLES, 1, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("hnsw.scan_mem_multiplier",
							 "Sets the multiple of work_mem that an iterative scan may use for candidates.",
							 NULL,
							 &scan_mem_multiplier, 1, 1, 1000,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("hnsw");
}

/* ---------------------------------------------------------------------
 * The moment to define them
 * --------------------------------------------------------------------- */

/* Is the access method hnsw of this database the one of this library? */
static bool
access_method_is_ours(void)
{
	HeapTuple	method = SearchSysCache1(AMNAME, CStringGetDatum("hnsw"));
	HeapTuple	handler;
	bool		ours = false;

	if (!HeapTupleIsValid(method))
		return false;
	handler = SearchSysCache1(PROCOID, ObjectIdGetDatum(((Form_pg_am) GETSTRUCT(method))->amhandler));
	if (HeapTupleIsValid(handler))
	{
		bool		isnull;
		Datum		library = SysCacheGetAttr(PROCOID, handler, Anum_pg_proc_probin, &isnull);

		if (!isnull)
		{
			char	   *path = TextDatumGetCString(library);
			char	   *slash = last_dir_separator(path);

			ours = strcmp(slash != NULL ? slash + 1 : path, "vecdb") == 0;
			pfree(path);
		}
		ReleaseSysCache(handler);
	}
	ReleaseSysCache(method);
	return ours;
}

static void
define_where_ours(void)
{
	if (!settings_known && OidIsValid(MyDatabaseId) && IsTransactionState() && access_method_is_ours())
		HnswDefineSettings();
}

/*
 * The first transaction of a backend that has the library is the one that
 * connects it to its database or, in a parallel worker whose leader loaded the
 * library by itself, the one that loads what the leader has.
 */
static void
at_end_of_transaction(XactEvent event, void *arg)
{
	static bool started = false;

	if (started || event != XACT_EVENT_PRE_COMMIT)
		return;
	started = true;
	define_where_ours();
}

/* Utility statements come by here too: SHOW is looked up after this. */
static void
at_statement(ParseState *pstate, Query *query, HookedJumbleState *jumble)
{
	define_where_ours();
	if (previous_hook)
		previous_hook(pstate, query, jumble);
}

void
IndexHookSettings(void)
{
	previous_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = at_statement;
	RegisterXactCallback(at_end_of_transaction, NULL);

	/*
	 * The statement that loads the library has been read already.  While a
	 * backend starts, other libraries may follow, pgvector's among them: that
	 * waits for the end of the transaction.
	 */
	if (IsNormalProcessingMode() && !InitializingParallelWorker)
		define_where_ours();
}

/* ---------------------------------------------------------------------
 * Their values
 * --------------------------------------------------------------------- */

static const char *
foreign_setting(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value != NULL ? value : "";
}

int
HnswEfSearch(void)
{
	int			value = settings_foreign ? atoi(foreign_setting("hnsw.ef_search")) : ef_search;

	return value > 0 ? value : HNSW_DEFAULT_EF_SEARCH;
}

HnswIterativeScan
HnswIterativeScanMode(void)
{
	const char *value;

	if (!settings_foreign)
		return (HnswIterativeScan) iterative_scan;
	value = foreign_setting("hnsw.iterative_scan");
	if (strcmp(value, "relaxed_order") == 0)
		return HNSW_ITERATIVE_RELAXED;
	if (strcmp(value, "off") == 0)
		return HNSW_ITERATIVE_OFF;
	return HNSW_DEFAULT_ITERATIVE_SCAN;
}

int
HnswMaxScanTuples(void)
{
	int			value = settings_foreign ? atoi(foreign_setting("hnsw.max_scan_tuples")) : max_scan_tuples;

	return value > 0 ? value : HNSW_DEFAULT_MAX_SCAN_TUPLES;
}

double
HnswScanMemMultiplier(void)
{
	double		value = settings_foreign ? atof(foreign_setting("hnsw.scan_mem_multiplier")) : scan_mem_multiplier;

	return value >= 1 ? value : 1;
}
