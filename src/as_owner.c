/*
 * as_owner.c
 *	  Running what the owner of a table wrote, as the owner.
 *
 * In a security-restricted operation PostgreSQL refuses what would outlive it in
 * the session: another role, temporary tables, held cursors, LISTEN, prepared
 * statements; and settings are put back.  Left are the advisory locks that a session
 * holds: the owner's code could take some, and release those of who runs it.  So
 * while it runs their functions are refused, too.
 */
#include "as_owner.h"

#include "catalog/objectaccess.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"

static object_access_hook_type next_hook;
static bool runs_owners_code;

static bool
is_about_session_locks(Oid function)
{
	switch (function)
	{
		case F_PG_ADVISORY_LOCK_INT8:
		case F_PG_ADVISORY_LOCK_SHARED_INT8:
		case F_PG_TRY_ADVISORY_LOCK_INT8:
		case F_PG_TRY_ADVISORY_LOCK_SHARED_INT8:
		case F_PG_ADVISORY_UNLOCK_INT8:
		case F_PG_ADVISORY_UNLOCK_SHARED_INT8:
		case F_PG_ADVISORY_LOCK_INT4_INT4:
		case F_PG_ADVISORY_LOCK_SHARED_INT4_INT4:
		case F_PG_TRY_ADVISORY_LOCK_INT4_INT4:
		case F_PG_TRY_ADVISORY_LOCK_SHARED_INT4_INT4:
		case F_PG_ADVISORY_UNLOCK_INT4_INT4:
		case F_PG_ADVISORY_UNLOCK_SHARED_INT4_INT4:
		case F_PG_ADVISORY_UNLOCK_ALL:
			return true;
		default:
			return false;
	}
}

static void
on_access(ObjectAccessType access, Oid catalog, Oid object, int part, void *arg)
{
	if (next_hook)
		next_hook(access, catalog, object, part, arg);
	if (access == OAT_FUNCTION_EXECUTE && runs_owners_code && is_about_session_locks(object))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot take or release advisory locks of the session within security-restricted operation")));
}

void
AsOwnerInit(void)
{
	next_hook = object_access_hook;
	object_access_hook = on_access;
}

AsOwner
AsOwnerBegin(Oid owner)
{
	AsOwner		self;

	GetUserIdAndSecContext(&self.user, &self.context);
	SetUserIdAndSecContext(owner, self.context | SECURITY_RESTRICTED_OPERATION);
	self.nest = NewGUCNestLevel();
	VecdbRestrictSearchPath();
	self.within = runs_owners_code;
	runs_owners_code = true;
	return self;
}

void
AsOwnerEnd(const AsOwner *self)
{
	runs_owners_code = self->within;
	AtEOXact_GUC(false, self->nest);
	SetUserIdAndSecContext(self->user, self->context);
}

void
AsOwnerFailed(bool within)
{
	runs_owners_code = within;
}

bool
AsOwnerRuns(void)
{
	return runs_owners_code;
}
