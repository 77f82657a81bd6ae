/*
 * worker.h
 *	  What every worker process of ours does before its first statement.
 */
#ifndef VECDB_WORKER_H
#define VECDB_WORKER_H

#include "pgcompat.h"

/*
 * Take back what ALTER DATABASE and ALTER ROLE have set, and fix search_path to
 * pg_catalog, pg_temp: whoever owns a database chooses nothing for a process
 * that has more rights.  Call it right after the connection is made; a reload
 * of the configuration does not undo it.
 */
extern void VecdbPinSettings(void);

/* The path alone, for a worker that gives users' code its own settings back. */
extern void VecdbPinSearchPath(void);

#endif							/* VECDB_WORKER_H */
