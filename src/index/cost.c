/*
 * cost.c
 *	  The planner's cost of an index scan that gives rows in the order of a distance.
 */
#include "index/cost.h"

#include "optimizer/optimizer.h"
#include "utils/float.h"
#include "utils/spccache.h"

/*
 * What holds for each of our scans: all rows of the index may come out, in no order of
 * the table.  Returns false for a path that has no distance to order by, whose cost is
 * set: there is no way to read all rows in no order.
 */
bool
IndexCostBegin(IndexPath *path, Cost *startup_cost, Cost *total_cost, Selectivity *selectivity,
			   double *correlation, double *pages)
{
	*selectivity = 1;
	*correlation = 0;
	*pages = path->indexinfo->pages;
	if (list_length(path->indexorderbys) == 1)
		return true;
	*startup_cost = *total_cost = get_float8_infinity();
	*selectivity = 0;
	*pages = 0;
	DisableIndexPath(path);
	return false;
}

/*
 * The cost of a scan that visits so many pages before its first rows come out, `found` of
 * them, with so many operators each, and one page for each row beyond those, where it goes on
 * to the last of `rows`.  The pages are read over
 * and over by all queries, so most are cached: a quarter of random_page_cost.
 */
void
IndexCostVisits(const IndexPath *path, double visits, double found, double rows, int operators,
				Cost *startup_cost, Cost *total_cost, Selectivity *selectivity, double *pages)
{
	double		tuples = Max(path->indexinfo->tuples, 1);
	double		page_cost;
	double		per_visit;

	get_tablespace_page_costs(path->indexinfo->reltablespace, &page_cost, NULL);
	per_visit = page_cost / 4 + cpu_index_tuple_cost + operators * cpu_operator_cost;
	*startup_cost = visits * per_visit + 100 * cpu_operator_cost;
	*total_cost = *startup_cost + Max(rows - found, 0) * per_visit;
	*selectivity = rows / tuples;
	*pages = Max(Min(visits, path->indexinfo->pages), 1);
}
