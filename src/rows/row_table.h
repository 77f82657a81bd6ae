/*
 * row_table.h
 *	  A shared collection's table as the core's RowTable (core/rows/apply.h): rows of
 *	  others are written as its owner, in a restricted security context, without SQL.
 *
 * A row that the table refuses costs a subtransaction, nothing else.  What a user's
 * transaction holds is not waited for.
 */
#ifndef VECDB_ROW_TABLE_H
#define VECDB_ROW_TABLE_H

#include "pgcompat.h"

#include "core/rows/apply.h"
#include "rows/row_shape.h"
#include "rows/row_state.h"
#include "rows/version_table.h"

typedef struct RowTableHost RowTableHost;

/* For one collection and as long as the process needs it, in the current memory context. */
extern PGDLLEXPORT RowTableHost *RowTableNew(Oid table, const uint8 root[ROW_STATE_ROOT]);
extern PGDLLEXPORT void RowTableFree(RowTableHost *self);
extern PGDLLEXPORT RowTable RowTableCallbacks(RowTableHost *self);

/*
 * Around each row_apply_step() and row_apply_retry(), in a transaction with a snapshot.
 * Begin opens the tables, without waiting for their locks.  After an error nothing has to be
 * ended.
 */
extern PGDLLEXPORT void RowTableBegin(RowTableHost *self);
extern PGDLLEXPORT void RowTableEnd(RowTableHost *self);
extern PGDLLEXPORT const uint8 *RowTableSchema(const RowTableHost *self);	/* 32 bytes, as of the last Begin */

#endif							/* VECDB_ROW_TABLE_H */
