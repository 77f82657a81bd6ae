/*
 * guc.c
 *	  Defines every setting of vecdb.
 */
#include "pgcompat.h"

#include "guc.h"
#include "utils/guc.h"

void
VecdbDefineSettings(void)
{
	MarkGUCPrefixReserved("vecdb");
}
