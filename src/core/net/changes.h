/*
 * changes.h
 *	  The changes of one collection's columns that a node has seen (change.h), and which
 *	  of them is to be applied next.
 *
 * Each follows another, so they make a tree, of which only whole paths from the first on
 * are held.  A node applies them in order: one whose path here has been applied, and
 * whose columns before it are those that the table has.  Where several are, the one of
 * the least number, then the one whose issuer is nearer to the root, then that of the
 * lesser hash.  Each is applied once.
 *
 * A change counts where its issuer is an admin now, or where one that follows it does:
 * who signs a change takes over those before it.  What does not count is not applied.
 *
 * Where there are more than CHANGES_LIMIT one goes that nothing follows: first of those
 * that do not count, then of admins that are farthest from the root, then of the one that
 * has signed most.  So all nodes hold the same ones, and no admin pushes out the others'.
 *
 * Two admins who change at once each make a branch.  A node that has applied one of them
 * applies another only where its columns are again as they were before both; so who has
 * the later of the two in the order above undoes it by a change of its own.
 */
#ifndef CORE_CHANGES_H
#define CORE_CHANGES_H

#include "core/net/change.h"
#include "core/net/membership.h"

#define CHANGES_LIMIT 256		/* of one collection */

typedef struct ChangeEntry
{
	SchemaChange change;
	uint8_t		hash[CHANGE_HASH_BYTES];
	uint32_t	applied;		/* its place among those that were applied here, from 1; 0: it was not */
	bool		counts;
	bool		done;			/* it is applied, or one like it is, or one that follows it */
	size_t		len;
	uint8_t		bytes[CHANGE_BYTES_MAX];
} ChangeEntry;

typedef struct Changes
{
	const CoreMemory *memory;
	const CoreCrypto *crypto;
	int			n;
	ChangeEntry *entry[CHANGES_LIMIT + 1];	/* sorted by number, then hash */
	uint64_t	changes;		/* that came or went, ever */
	uint8_t		fingerprint[CHANGE_HASH_BYTES];	/* of the set: exclusive or of the hashes */
} Changes;

typedef enum ChangesAdded
{
	CHANGES_ADDED,
	CHANGES_KNOWN,
	CHANGES_UNKNOWN,			/* its issuer was never an admin, or what it follows is not held */
	CHANGES_FULL,				/* those that are held go before it; or no memory */
	CHANGES_INVALID				/* *status says why */
} ChangesAdded;

/* What is next. */
typedef enum ChangesNext
{
	CHANGES_NOTHING,
	CHANGES_DUE,				/* the change in *out is to be applied */
	CHANGES_ADOPT,				/* it is to be noted as applied: the table was made so, or a later default of its column is */
	CHANGES_UNVOUCHED,			/* the change in *out is to be applied once an admin vouches for it */
	CHANGES_FORKED				/* the change in *out goes before one that was applied here */
} ChangesNext;

extern void changes_init(Changes *self, const CoreMemory *memory, const CoreCrypto *crypto);
extern void changes_reset(Changes *self);

/* Read, verify and add a change.  Of one path they come in the order of their numbers, as entry[] has them. */
extern ChangesAdded changes_add(Changes *self, Membership *membership, const uint8_t *bytes, size_t len,
								int64_t unix_ms, int64_t skew_ms, DecodeStatus *status);

/* The change of this name; NULL: it is not held. */
extern ChangeEntry *changes_find(const Changes *self, const uint8_t hash[CHANGE_HASH_BYTES]);

/* The change that was applied last; NULL: none was. */
extern ChangeEntry *changes_head(const Changes *self);

/* For a table with these columns. */
extern ChangesNext changes_next(Changes *self, Membership *membership, const uint8_t schema[CORE_HASH_BYTES], int64_t unix_ms,
								const ChangeEntry **out);

#endif							/* CORE_CHANGES_H */
