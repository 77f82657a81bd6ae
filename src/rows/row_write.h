/*
 * row_write.h
 *	  Writing rows into a shared table, as its owner.
 *
 * What the owner wrote (triggers that are always enabled, constraints, expressions of
 * indexes) runs with the owner's rights in a security-restricted operation, for
 * ROW_WRITE_MS at most, and in a subtransaction: a row that it refuses leaves nothing.
 *
 * A subtransaction for each row would cost as much as a third of its write, and a
 * transaction id; a transaction of many makes every snapshot of the server slower.  So
 * rows that are written one after another share one.  Where one of them is refused, those
 * before it are to be written again.
 */
#ifndef VECDB_ROW_WRITE_H
#define VECDB_ROW_WRITE_H

#include "pgcompat.h"

#include "core/rows/apply.h"
#include "rows/row_key.h"
#include "rows/row_shape.h"
#include "utils/resowner.h"

#define ROW_WRITE_MS 5000
#define ROW_WRITES 256			/* rows of a subtransaction */

typedef struct TableWriter
{
	RowKeyIndex *index;			/* of the table, open for writing */
	RowShape   *shape;
	TupleTableSlot *row;		/* virtual: as it is to be */
	TupleTableSlot *written;	/* of the table: as it is */
	bool		looks_again;	/* triggers of users may make another row of it */
	bool		open;			/* a subtransaction is, for rows up to limit: fewer after a refusal */
	int			limit;
	ResourceOwner resources;	/* of the transaction around it */
	int			n;				/* rows written in it, or, after a refusal, to be written again */
	Row			done[ROW_WRITES];
} TableWriter;

/* In the current memory context, until TableWriterEnd() or the transaction's end. */
extern void TableWriterBegin(TableWriter *self, RowKeyIndex *index, RowShape *shape);
extern void TableWriterEnd(TableWriter *self);

/*
 * Write a live row, or delete it (row->entry.live); here: what stands for its key, locked,
 * or NULL, where it is live.  Then, as the caller and in the same subtransaction, do what belongs to it:
 * where that says false nothing is written, and it is busy.
 *
 * The subtransaction stays open, as the current one, for the next row: what is pinned in
 * it is given back before TableWriterClose().  Key and content of a row stay until then.
 * `alone`: it is closed before and after.
 *
 * Where it is not ROW_WRITTEN, self->done[self->n] have been rolled back, too, and what
 * was locked since.  What is neither the row's fault nor anybody's who holds it
 * (ROW_WRITE_FAILED) leaves as an error.  Leaves garbage in the current memory context.
 */
extern RowWritten RowWrite(TableWriter *self, const Row *row, TupleTableSlot *here, bool alone,
						   bool (*then) (void *arg), void *arg, char text[ROW_REASON_TEXT]);

/* Keep what was written. */
extern void TableWriterClose(TableWriter *self);

#endif							/* VECDB_ROW_WRITE_H */
