/*
 * guc.c
 *	  Defines every setting of vecdb.
 */
#include "pgcompat.h"

#include "guc.h"
#include "utils/guc.h"

bool		VecdbLogScanCounters = false;

void
VecdbDefineSettings(void)
{
	DefineCustomBoolVariable("vecdb.log_scan_counters",
							 "Reports what each scan of an hnsw index has done, at its end.",
							 "Searches, nodes expanded, estimates, exact distances and rows.",
							 &VecdbLogScanCounters, false, PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("vecdb");
}
