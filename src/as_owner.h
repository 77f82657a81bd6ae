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

#include "miscadmin.h"
#include "utils/guc.h"

typedef struct AsOwner
{
	Oid			user;			/* who it was before */
	int			context;
	int			nest;
} AsOwner;

/* Become this user.  An error before AsOwnerEnd is undone by the (sub)transaction that it ends. */
static inline AsOwner
AsOwnerBegin(Oid owner)
{
	AsOwner		self;

	GetUserIdAndSecContext(&self.user, &self.context);
	SetUserIdAndSecContext(owner, self.context | SECURITY_RESTRICTED_OPERATION);
	self.nest = NewGUCNestLevel();
	VecdbRestrictSearchPath();
	return self;
}

static inline void
AsOwnerEnd(const AsOwner *self)
{
	AtEOXact_GUC(false, self->nest);
	SetUserIdAndSecContext(self->user, self->context);
}

#endif							/* VECDB_AS_OWNER_H */
