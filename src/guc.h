/*
 * guc.h
 *	  Every setting of vecdb: its variable and when it is defined.
 */
#ifndef VECDB_GUC_H
#define VECDB_GUC_H

#include <stdbool.h>

/* Report what each index scan has done. */
extern bool VecdbLogScanCounters;

/* What a collection gets where its creator does not say. */
extern char *VecdbDefaultMetric;
extern char *VecdbDefaultIndexType;
extern int	VecdbDefaultM;
extern int	VecdbDefaultEfConstruction;

/* Define the settings with the prefix "vecdb."; called once by _PG_init. */
extern void VecdbDefineSettings(void);

#endif							/* VECDB_GUC_H */
