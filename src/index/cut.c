/*
 * cut.c
 *	  What is said and counted of scans that end before they have given all rows that
 *	  were asked for.
 *
 * A NOTICE once a statement of the client, whatever that runs: a function, or a join with
 * a scan for each of its rows.  Each process of a parallel query gives its own.
 *
 * The count is kept by PostgreSQL's cumulative statistics, where it needs no room in
 * shared memory and no preload, outlives a restart and is reset like others.  Before 18
 * an extension has no statistics of its own kind there, and then only preloaded; but the
 * entry of an index has places that only tables use.  vecdb.stat_indexes shows it.
 */
#include "index/cut.h"

#include "access/xact.h"
#include "index/settings.h"
#include "pgstat.h"

bool		IndexCutsAreSilent = false;
int64		IndexScansCut = 0;

static void
count_cut(Relation index)
{
	if (pgstat_should_count_relation(index))
		VecdbHotUpdates(index->pgstat_info)++;
}

static bool
was_told_in_statement(void)
{
	static TimestampTz told = 0;
	TimestampTz statement = GetCurrentStatementStartTimestamp();
	bool		was = told == statement;

	told = statement;
	return was;
}

void
IndexScanWasCut(Relation index, IndexCut cut)
{
	Assert(cut != INDEX_NOT_CUT);
	count_cut(index);
	IndexScansCut++;
	if (IndexCutsAreSilent || was_told_in_statement())
		return;
	if (cut == INDEX_CUT_BY_TUPLES)
		ereport(NOTICE,
				(errmsg("scan of index \"%s\" ended at hnsw.max_scan_tuples before it had found all rows asked for",
						RelationGetRelationName(index)),
				 errhint("Raise hnsw.max_scan_tuples (%d), or set enable_indexscan to off for an exact answer.",
						 HnswMaxScanTuples())));
	else if (cut == INDEX_CUT_BY_ORDER)
		ereport(NOTICE,
				(errmsg("scan of index \"%s\" left out rows that it found behind farther ones", RelationGetRelationName(index)),
				 errhint("Raise hnsw.ef_search (%d), set hnsw.iterative_scan to relaxed_order, or enable_indexscan to off for an exact answer.",
						 HnswEfSearch())));
	else
		ereport(NOTICE,
				(errmsg("scan of index \"%s\" had no memory to find all rows asked for", RelationGetRelationName(index)),
				 errhint("Raise hnsw.scan_mem_multiplier or work_mem, or set enable_indexscan to off for an exact answer.")));
}
