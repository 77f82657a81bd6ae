/*
 * row_write.h
 *	  Writing one row into a shared table, as its owner.
 *
 * What the owner wrote (triggers that are always enabled, constraints, expressions of
 * indexes) runs with the owner's rights in a security-restricted operation, for
 * ROW_WRITE_MS at most, and in a subtransaction: a row that it refuses leaves nothing.
 */
#ifndef VECDB_ROW_WRITE_H
#define VECDB_ROW_WRITE_H

#include "pgcompat.h"

#include "core/rows/apply.h"
#include "rows/row_key.h"
#include "rows/row_shape.h"

#define ROW_WRITE_MS 5000

typedef struct TableWriter
{
	RowKeyIndex *index;			/* of the table, open for writing */
	RowShape   *shape;
	TupleTableSlot *row;		/* virtual: as it is to be */
	TupleTableSlot *written;	/* of the table: as it is */
	bool		looks_again;	/* triggers of users may make another row of it */
} TableWriter;

/* In the current memory context, until TableWriterEnd() or the transaction's end. */
extern void TableWriterBegin(TableWriter *self, RowKeyIndex *index, RowShape *shape);
extern void TableWriterEnd(TableWriter *self);

/*
 * Write a live row, or delete it (row->entry.live); here: what stands for its key, locked,
 * or NULL.  Then, as the caller and in the same subtransaction, do what belongs to it:
 * where that says false nothing is written, and it is busy.  What is neither the row's
 * fault nor anybody's who holds it (ROW_WRITE_FAILED) leaves as an error.  Leaves garbage
 * in the current memory context.
 */
extern RowWritten RowWrite(TableWriter *self, const Row *row, TupleTableSlot *here,
						   bool (*then) (void *arg), void *arg, char text[ROW_REASON_TEXT]);

#endif							/* VECDB_ROW_WRITE_H */
