/*
 * row_state.h
 *	  What a node keeps of each shared collection besides its rows and their versions:
 *	  the incarnations that it has met, what is covered, rows that are held, conflicts.
 *	  Tables of the extension, by table and index access (node_table.h).
 *
 *	  vecdb.row_incarnation	root, number, incarnation				what numbers in version tables mean
 *	  vecdb.row_frontier	root, frontier, floor, copied, heard	what is covered; who was heard when
 *	  vecdb.held_row		table, key, ... content					parked and quarantined rows, whole
 *	  vecdb.row_conflict	table, number, key ... content			losers of conflicts
 *
 * All functions run in the caller's transaction, with an active snapshot, and see the
 * newest rows.  None waits for a lock: an error then, and where a table is not as the
 * extension made it.
 */
#ifndef VECDB_ROW_STATE_H
#define VECDB_ROW_STATE_H

#include "pgcompat.h"

#include "core/rows/apply.h"
#include "datatype/timestamp.h"

#define ROW_STATE_ROOT 32

/* ---- incarnations ---- */

/* Each of a collection's, in the order of its numbers, to `each`; false from it ends that. */
extern PGDLLEXPORT bool RowStateIncarnations(const uint8 root[ROW_STATE_ROOT],
											 bool (*each) (void *arg, uint32 number, const uint8 *incarnation), void *arg);
extern PGDLLEXPORT void RowStateAddIncarnation(const uint8 root[ROW_STATE_ROOT], uint32 number,
											   const uint8 incarnation[ROW_INCARNATION_BYTES]);

/* ---- what is covered ---- */

/* Into two frontiers, which are empty; copied may be NULL.  False: nothing is kept yet, or there is no memory. */
extern PGDLLEXPORT bool RowStateLoad(const uint8 root[ROW_STATE_ROOT], RowFrontier *frontier, RowFrontier *floor, bool *copied);

/* Joined with what was kept before; NULL: as before. */
extern PGDLLEXPORT bool RowStateKeep(const uint8 root[ROW_STATE_ROOT], const RowFrontier *frontier, const RowFrontier *floor);

/* When members were heard, as bytes of the caller's; of length 0: never kept.  In the current memory context. */
extern PGDLLEXPORT void RowStateKeepHeard(const uint8 root[ROW_STATE_ROOT], RowBytes heard);
extern PGDLLEXPORT RowBytes RowStateHeard(const uint8 root[ROW_STATE_ROOT]);

/* This node has, or had, rows: what was interrupted is no first copy any more. */
extern PGDLLEXPORT void RowStateCopied(const uint8 root[ROW_STATE_ROOT], bool copied);
extern PGDLLEXPORT bool RowStateIsCopied(const uint8 root[ROW_STATE_ROOT]);

/* All of a collection that is left or gone; rows of it that are held, and its conflicts. */
extern PGDLLEXPORT void RowStateForget(const uint8 root[ROW_STATE_ROOT]);
extern PGDLLEXPORT void RowStateForgetTable(Oid table);

/* ---- rows that are held ---- */

/*
 * Written by who applies rows, alone: a user's write to its key leaves it as it is, and
 * what stands is settled later.
 */
typedef struct HeldRow
{
	RowHeld		held;
	RowReason	why;
	RowEntry	entry;
	RowBytes	content;		/* whole, of length 0 for a tombstone; in the current memory context */

	/*
	 * A user's transaction held the entry of its key in the version table, so it is here
	 * alone, over what was committed there.
	 */
	bool		apart;
	RowVersion	over;			/* all zero: nothing was committed */

	/* In quarantine, and not tried again unless somebody asks for it; as any other otherwise. */
	bool		discarded;
} HeldRow;

/* snapshot NULL: the newest. */
extern PGDLLEXPORT bool HeldRowGet(Oid table, RowBytes key, Snapshot snapshot, HeldRow *out);

/* The same without reading its content. */
extern PGDLLEXPORT bool HeldRowLook(Oid table, RowBytes key, Snapshot snapshot, HeldRow *out);
extern PGDLLEXPORT void HeldRowPut(Oid table, RowBytes key, const HeldRow *row, const char *text);
extern PGDLLEXPORT void HeldRowRemove(Oid table, RowBytes key);

/* Another entry, of the same content where that is NULL. */
extern PGDLLEXPORT void HeldRowRestamp(Oid table, RowBytes key, const RowEntry *entry, const RowBytes *content);

typedef enum HeldRowDiscarded
{
	HELD_ROW_DISCARDED,
	HELD_ROW_PARKED,			/* it waits for a user's transaction, and goes into the table then */
	HELD_ROW_NONE
} HeldRowDiscarded;

/* Let one that is in quarantine be discarded. */
extern PGDLLEXPORT HeldRowDiscarded HeldRowDiscard(Oid table, RowBytes key);

/* One that is apart no longer is: its entry stands in the version table. */
extern PGDLLEXPORT void HeldRowJoin(Oid table, RowBytes key);

/* The first key behind `after` that is held so; into key[ROW_KEY_MAX].  False: there is none. */
extern PGDLLEXPORT bool HeldRowNext(Oid table, RowHeld held, RowBytes after, uint8 *key, size_t *len);

/* How many are parked, or in quarantine without those that were discarded; at most `most`. */
extern uint32 HeldRowCount(Oid table, RowHeld held, uint32 most);

/* The last tickets, one for each life, with which rows were written that are held and not discarded. */
#define HELD_LIVES 64
#define HELD_LOOK 10000
typedef struct HeldTops
{
	bool		more;			/* there are more lives, or more than HELD_LOOK rows: others may be held, too */
	int			n;
	RowStamp	top[HELD_LIVES];
} HeldTops;

extern PGDLLEXPORT void HeldRowTops(Oid table, HeldTops *out);

/* A row as the tables of what is kept have it, for who looks at it. */
typedef struct HeldRowListed
{
	RowBytes	key;
	HeldRow		row;			/* without content */
	TimestampTz since;
	text	   *error;
} HeldRowListed;

/* Each of a table's, in a snapshot, in the current memory context, which is reset after each. */
extern void HeldRowEach(Oid table, Snapshot snapshot, void (*each) (void *arg, const HeldRowListed *row), void *arg);

/* The first table behind `after` of which rows are held, or that has conflicts; InvalidOid: there is none. */
extern Oid	HeldRowNextTable(Oid after, Snapshot snapshot);
extern Oid	RowConflictNextTable(Oid after, Snapshot snapshot);

/* The same of those that are apart, however they are held. */
extern PGDLLEXPORT bool HeldRowNextApart(Oid table, Snapshot snapshot, RowBytes after, uint8 *key, size_t *len);

/* ---- conflicts ---- */

/* A loser, in the current memory context */
typedef struct RowConflict
{
	int64		number;			/* no other of this node has it, or will have */
	RowBytes	key;
	RowVersion	version;
	bool		live;
	TimestampTz since;
	RowBytes	content;		/* of length 0 for a delete, and where it was not asked for */
} RowConflict;

/* Each of a table's, in a snapshot, without its content. */
extern void RowConflictEach(Oid table, Snapshot snapshot, void (*each) (void *arg, const RowConflict *conflict), void *arg);

/* snapshot NULL: the newest.  False: there is none of this number. */
extern bool RowConflictGet(Oid table, int64 number, Snapshot snapshot, RowConflict *out);

/* It goes from the list.  An error where another session has locked it. */
extern void RowConflictRemove(Oid table, int64 number);

/* False, and nothing is added: the list has this version of the key.  content: of length 0 for a delete. */
extern PGDLLEXPORT bool RowConflictAdd(Oid table, RowBytes key, const RowEntry *loser, RowBytes content);
extern PGDLLEXPORT uint32 RowConflictCount(Oid table, uint32 most);	/* at most so many */

/* Each live one gets the content that `with` makes of its own; false from it: it keeps that. */
extern void RowConflictsRewrite(Oid table, bool (*with) (void *arg, RowBytes content, RowBytes *out), void *arg);

/*
 * The oldest whose number is above *number, which becomes its; 0: of all.  So a transaction
 * that forgets many does not go through those that it has forgotten.  One that a session has
 * locked (vecdb.resolve()) is passed.
 */
extern PGDLLEXPORT bool RowConflictForgetOldest(Oid table, int64 *number);

#endif							/* VECDB_ROW_STATE_H */
