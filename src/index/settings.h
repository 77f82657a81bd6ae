/*
 * settings.h
 *	  The settings hnsw.* of this backend.
 *
 * IndexHookSettings, called once when the library is loaded, sees to it that they are
 * defined in time; who reads one may call HnswDefineSettings to be sure.
 */
#ifndef INDEX_SETTINGS_H
#define INDEX_SETTINGS_H

#include "pgcompat.h"

#define HNSW_DEFAULT_EF_SEARCH 40
#define HNSW_MAX_EF_SEARCH 1000
#define HNSW_DEFAULT_MAX_SCAN_TUPLES 20000
#define HNSW_DEFAULT_ITERATIVE_SCAN HNSW_ITERATIVE_STRICT

typedef enum HnswIterativeScan
{
	HNSW_ITERATIVE_OFF,
	HNSW_ITERATIVE_RELAXED,
	HNSW_ITERATIVE_STRICT
} HnswIterativeScan;

extern void IndexHookSettings(void);
extern void HnswDefineSettings(void);
extern int	HnswEfSearch(void);
extern HnswIterativeScan HnswIterativeScanMode(void);
extern int	HnswMaxScanTuples(void);
extern double HnswScanMemMultiplier(void);

#endif							/* INDEX_SETTINGS_H */
