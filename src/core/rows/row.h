/*
 * row.h
 *	  What is kept of each row beside the row itself, and which of two writes wins.
 *
 * The greater version wins: the greater clock, then the greater tie.  So a version
 * names one content for ever, and copies that have met the same versions are equal in
 * whatever order they came.
 *
 * The stamp says by which claims a row is covered (frontier.h); it does not decide who
 * wins.  A node may stamp a row anew (adopt it) without making a new version: when the
 * batch that brought it was never finished, or its writer's life ended before it claimed
 * it.
 */
#ifndef CORE_ROWS_ROW_H
#define CORE_ROWS_ROW_H

#include "core/rows/frontier.h"

#define ROW_KEY_MAX 1024
#define ROW_HASH 16

/* Bytes that belong to somebody else. */
typedef struct RowBytes
{
	const uint8_t *at;
	size_t		len;
} RowBytes;

typedef struct RowVersion
{
	uint64_t	clock;			/* RowClock's; 0: from a dump that several nodes loaded */
	uint8_t		tie[ROW_HASH];	/* id of the writer's incarnation; the content's hash where clock is 0 */
} RowVersion;

/* A row that is here but not in the collection's table. */
typedef enum RowHeld
{
	ROW_APPLIED,				/* it is in the table, or dead */
	ROW_PARKED,					/* a user's transaction holds what it replaces */
	ROW_QUARANTINED				/* the table refuses it, or its clock is too far ahead */
} RowHeld;

/*
 * What a collection's version table keeps of one key.  Content of a live row is the
 * table's own, or set aside where it is held.
 */
typedef struct RowEntry
{
	RowVersion	version;
	RowStamp	stamp;
	RowStamp	birth;			/* of the write that made the row where there was none */
	RowStamp	vector_stamp;	/* of the write that last changed its vector */
	bool		live;			/* else a tombstone */
	RowHeld		held;
	uint8_t		hash[ROW_HASH]; /* of all its columns; 0 of a tombstone */
	uint8_t		vector_hash[ROW_HASH];	/* of its vectors */
} RowEntry;

/* As memcmp: which wins.  0: they are the same version. */
extern int	row_version_compare(const RowVersion *a, const RowVersion *b);

/* Keys in the order of their bytes, a prefix first: that of version tables, whatever the collations of columns are. */
extern int	row_key_compare(RowBytes a, RowBytes b);

/*
 * The entry that a local write leaves.  old is the entry of its key or NULL; clock is
 * row_clock_next() above old's where that is not so far ahead of our clock that it would
 * not be heard, else above nothing: the version is then one above old's, and only this row
 * goes so far.  A row whose clock is ROW_CLOCK_MAX cannot be written any more.  hash and vector_hash are of the row as it now stands in
 * the table; live, too, is read there, never taken from the statement's kind: another
 * trigger may have put the row back.
 */
extern RowEntry row_written(const RowEntry *old, uint64_t clock, RowStamp stamp, const RowIncarnationId *writer,
							bool live, const uint8_t hash[ROW_HASH], const uint8_t vector_hash[ROW_HASH]);

/*
 * The entry of a row that DROP takes away as lost: a tombstone just above it, which wins
 * over nothing that was written since.  It is the same on every node that deletes it so,
 * and none that anybody writes: its tie is no incarnation's.
 */
extern RowEntry row_lost(const RowEntry *old, RowStamp stamp);

/*
 * The entry of a row that is written anew as it is: a version of ours, above the old one,
 * of the same content.
 */
extern RowEntry row_renewed(const RowEntry *old, const RowVersion *version, RowStamp stamp);

/* The entry of a row that several nodes loaded from one dump: equal where the content is. */
extern RowEntry row_loaded(RowStamp stamp, const uint8_t hash[ROW_HASH], const uint8_t vector_hash[ROW_HASH]);

typedef enum RowDecision
{
	ROW_TAKE,					/* it wins, or there was nothing */
	ROW_TAKE_OVER,				/* it wins over a write of another content that its sender had not seen: that one is a conflict */
	ROW_KEEP,					/* what is here wins */
	ROW_KEEP_OVER,				/* what is here wins, and whoever wrote it had not seen this: a conflict */
	/*
	 * The same version, of which our stamp or birth is covered by nothing here, or not by
	 * the sender: perhaps by nobody but us any more.  The stamps that came are covered, and taken.
	 */
	ROW_SAME,
	ROW_LATE,					/* deleted here and the tombstone collected: discard */
	ROW_NEEDS_VECTOR			/* it came without a vector, and the one here is another: fetch it whole */
} RowDecision;

/*
 * What becomes of a row that came in a batch.
 *
 * here		the key's entry now, under the row's lock, or NULL
 * frontier	what we cover, before the batch's claim
 * floor	at or below which tombstones may have been collected here
 * claim	what the sender claims with this batch, all of it, or NULL: unknown
 * thin		it came without its vector
 *
 * An absent row whose stamp the floor covers was deleted, and its tombstone collected:
 * this one came late.  Nothing else is concluded from absence.
 */
extern RowDecision row_decide(const RowEntry *here, const RowEntry *row, bool thin, const RowFrontier *frontier,
							  const RowFrontier *floor, const RowFrontier *claim);

#endif							/* CORE_ROWS_ROW_H */
