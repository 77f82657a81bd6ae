/*
 * row_writers.h
 *	  Which node wrote a version: for who looks at rows that are kept.
 */
#ifndef VECDB_ROW_WRITERS_H
#define VECDB_ROW_WRITERS_H

#include "pgcompat.h"

#include "core/rows/row.h"

typedef struct RowWriters RowWriters;

/* Of the collection of a table, in the current memory context; it may be shared no more. */
extern RowWriters *RowWritersOf(Oid table);

/* The node's id as digits, in the current memory context; NULL: nobody's that is known, as of a row that was loaded. */
extern char *RowWriterOf(const RowWriters *self, const RowVersion *version);

#endif							/* VECDB_ROW_WRITERS_H */
