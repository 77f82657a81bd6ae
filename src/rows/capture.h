/*
 * capture.h
 *	  How local writes to a shared collection get their versions.
 *
 * Row triggers that are always enabled collect the keys of rows that a statement has
 * touched; at its end, and before the commit, each key is looked up in the table and
 * stamped as it stands there.
 */
#ifndef VECDB_CAPTURE_H
#define VECDB_CAPTURE_H

#include "pgcompat.h"

#include "nodes/pg_list.h"
#include "core/rows/row.h"
#include "utils/relcache.h"

/* What the names of our triggers begin with: they fire after those of others. */
#define CAPTURE_TRIGGERS "zz_vecdb_capture_"

/* Once for each process: hooks and callbacks. */
extern void CaptureInit(void);
extern void CaptureGuardInit(void);

/* An error where a table cannot be shared.  The caller has locked it. */
extern void CaptureCheck(Oid table);

/* Has a table, which the caller has locked against writers, rows? */
extern bool CaptureFindsRows(Oid table);

/*
 * Begin to capture a table: triggers, version table, and a stamp for each row that is
 * there; where there are rows, its life has begun (rows_shared.h) or begins at once.  The
 * caller owns it.  True: it was not captured before.
 */
extern bool CaptureBegin(Oid table);

/* As RowShapeProblems(): what keeps writes to a captured table from being captured. */
extern List *CaptureProblems(Relation rel);

/* Versions for all rows of a captured table that are not what theirs say; how many.  Locks the table against writers. */
extern int64 CaptureRescan(Oid table);

/* The collection was left: triggers and version table go, rows stay. */
extern void CaptureEnd(Oid table);

/*
 * Writes of this process to this row are not captured until it is called with InvalidOid:
 * who applies rows of others writes their versions itself.  What code of users writes
 * meanwhile is captured, but for the same row.  The key stays until then.
 */
extern PGDLLEXPORT void CaptureSkip(Oid table, RowBytes key);

/* An error where a row's content has more bytes than other nodes take. */
extern void CaptureLimit(Relation rel, size_t bytes);

#endif							/* VECDB_CAPTURE_H */
