/*
 * guc.h
 *	  Every setting of vecdb: its variable and when it is defined.
 */
#ifndef VECDB_GUC_H
#define VECDB_GUC_H

/* Define the settings with the prefix "vecdb."; called once by _PG_init. */
extern void VecdbDefineSettings(void);

#endif							/* VECDB_GUC_H */
