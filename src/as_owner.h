/*
 * as_owner.h
 *	  Evaluating what belongs to somebody else with that person's rights.
 *
 * Index expressions and predicates, policies and the like are their owner's code.
 * Whoever makes it run on the way to something else, and may do more than the
 * owner, runs it as the owner: in a security-restricted operation, which cannot
 * leave that user, with settings that are put back, and with a search_path that
 * nobody has set.
 */
#ifndef VECDB_AS_OWNER_H
#define VECDB_AS_OWNER_H

#include "pgcompat.h"

typedef struct AsOwner
{
	Oid			user;			/* who it was before */
	int			context;
	int			nest;
	bool		within;			/* what an owner wrote ran already */
} AsOwner;

/*
 * Become this user, until AsOwnerEnd.  What the owner wrote may come here again.  An
 * error before the end is undone by the (sub)transaction that it ends, but for what
 * AsOwnerFailed undoes: who has begun catches it, and calls that with what AsOwnerRuns
 * said before.
 */
extern AsOwner AsOwnerBegin(Oid owner);
extern void AsOwnerEnd(const AsOwner *self);
extern void AsOwnerFailed(bool within);

/* Does this process run what an owner wrote? */
extern bool AsOwnerRuns(void);

/* Once for each process */
extern void AsOwnerInit(void);

#endif							/* VECDB_AS_OWNER_H */
