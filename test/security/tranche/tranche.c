/*
 * tranche.c
 *	  Takes an id for locks from the server, as an extension may.  The ids are
 *	  given out in order, so two of them tell how many were taken between.
 *
 * For tests alone: 051_builds_of_many_sessions.pl compiles and loads it.
 */
#include "pgcompat.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(next_tranche);
Datum
next_tranche(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(VecdbNewTranche("test"));
}
