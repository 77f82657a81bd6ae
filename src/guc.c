/*
 * guc.c
 *	  Defines every setting of vecdb.
 */
#include "pgcompat.h"

#include "guc.h"
#include "utils/guc.h"

bool		VecdbLogScanCounters = false;

char	   *VecdbDefaultMetric;
char	   *VecdbDefaultIndexType;
int			VecdbDefaultM = 16;
int			VecdbDefaultEfConstruction = 200;

/*
 * The words are checked where they are used: the check of create_collection()
 * has the better message, and here nothing of collections may be known.
 */
static void
DefineCollectionSettings(void)
{
	DefineCustomStringVariable("vecdb.default_metric",
							   "Metric of a collection that is created without one.",
							   "cosine, l2, ip or l1.",
							   &VecdbDefaultMetric, "cosine", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("vecdb.default_index_type",
							   "Index type of a collection that is created without one.",
							   "hnsw or flat.",
							   &VecdbDefaultIndexType, "hnsw", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.default_m",
							"m of the index of a collection that is created without one.", NULL,
							&VecdbDefaultM, 16, 2, 100, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("vecdb.default_ef_construction",
							"ef_construction of the index of a collection that is created without one.", NULL,
							&VecdbDefaultEfConstruction, 200, 4, 1000, PGC_USERSET, 0, NULL, NULL, NULL);
}

void
VecdbDefineSettings(void)
{
	DefineCustomBoolVariable("vecdb.log_scan_counters",
							 "Reports what each scan of an hnsw index has done, at its end.",
							 "Searches, nodes expanded, estimates, exact distances and rows.",
							 &VecdbLogScanCounters, false, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCollectionSettings();
	MarkGUCPrefixReserved("vecdb");
}
