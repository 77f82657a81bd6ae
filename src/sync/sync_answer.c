/*
 * sync_answer.c
 *	  Answers to backends: their fields, and how what a node says of a request
 *	  becomes an error of SQL.
 */
#include "sync/sync_pending.h"

#include "utils/errcodes.h"

bool
PendingPut(Pending *p, const char *text)
{
	Assert(p->call->len <= p->call->room);
	if (SyncPut(p->call, text))
		return true;
	p->call->cut = true;
	return false;
}

bool
PendingPutNumber(Pending *p, long long number)
{
	char		text[32];

	snprintf(text, sizeof(text), "%lld", number);
	return PendingPut(p, text);
}

bool
PendingPutId(Pending *p, const KadId *id)
{
	char		text[2 * KAD_ID_BYTES + 1];

	kad_id_text(id, text);
	return PendingPut(p, text);
}

bool
PendingPutAddress(Pending *p, const NetAddress *address)
{
	char		text[ADDRESS_TEXT];

	return PendingPut(p, address_text(address, text));
}

bool
PendingPutAddresses(Pending *p, const NetAddress *addresses, int n)
{
	char		text[NODE_RECORD_ADDRESSES * ADDRESS_TEXT + 8];

	SyncListAddresses(addresses, Min(n, NODE_RECORD_ADDRESSES), text, sizeof(text));
	return PendingPut(p, n == 0 ? "{}" : text);
}

bool
PendingPutTime(Pending *p, TimestampTz time)
{
	return PendingPutNumber(p, time);
}

bool
PendingPutBool(Pending *p, bool value)
{
	return PendingPut(p, value ? "t" : "f");
}

void
PendingError(Pending *p, int sqlstate, const char *message, const char *detail, const char *hint)
{
	p->call->len = 0;
	p->call->cut = false;
	p->call->sqlstate = sqlstate;
	(void) (PendingPut(p, message) && PendingPut(p, detail) && PendingPut(p, hint));
	p->finished = true;
}

/* What a status means to the one who asked. */
void
PendingStatus(Pending *p, NodeStatus status, const char *detail)
{
	bool		joining = p->op == SYNC_JOIN;
	char		text[256];

	switch (status)
	{
		case NODE_OK:
			p->finished = true;
			break;
		case NODE_NO_MEMORY:
			PendingError(p, ERRCODE_OUT_OF_MEMORY, "the node is out of memory", NULL, NULL);
			break;
		case NODE_BUSY:
			PendingError(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "the node is busy",
						 joining ? "Too many requests are under way, here or at the node that invites." : "Too many lookups are under way.",
						 "Try again in a few seconds.");
			break;
		case NODE_NOT_SHARED:
			PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						 joining ? "the node that invites does not hold the collection any more" : "the collection is not shared",
						 NULL, joining ? NULL : "vecdb.invite() shares a collection, vecdb.replicate() any table.");
			break;
		case NODE_FORBIDDEN:
			PendingError(p, ERRCODE_INSUFFICIENT_PRIVILEGE,
						 joining ? "the node that invites may not admit members any more" : "this node is no admin of the collection",
						 NULL, "Members are admitted and evicted by nodes whose role is admin; vecdb.members() tells which.");
			break;
		case NODE_UNKNOWN:
			PendingError(p, ERRCODE_UNDEFINED_OBJECT, "no member of the collection, or more than one, has an id that begins like that",
						 NULL, "vecdb.members() lists them.");
			break;
		case NODE_OUTRANKED:
			PendingError(p, ERRCODE_INSUFFICIENT_PRIVILEGE, "that member was admitted by an admin nearer to the root of the collection",
						 NULL, "Evict it from the node that admitted it, or from the one that shared the collection first.");
			break;
		case NODE_FULL:
			PendingError(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "there is no room for more statements about the members of the collection",
						 "Those of admins nearer to its root, or that were made first, go before those of this node.",
						 "Evict whoever has filled it, which makes room, or invite from a node nearer to the root.");
			break;
		case NODE_SHARE_FULL:
			snprintf(text, sizeof(text),
					 "A node holds %d for all collections. Those of one owner may become more only while they are fewer than are free; each collection may hold %d.",
					 NODE_STATEMENTS, NODE_STATEMENTS_EACH);
			PendingError(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						 "the collections of this owner hold as many statements about their members as the node leaves to one role",
						 text, "vecdb.leave() leaves a collection, and one whose table is dropped goes by itself; those of superusers have no share.");
			break;
		case NODE_SELF:
			PendingError(p, ERRCODE_INVALID_PARAMETER_VALUE,
						 joining ? "the invitation was made by this node itself" : "that is this node itself", NULL,
						 joining ? "Redeem it on the node that is to join." : "vecdb.leave() leaves a collection.");
			break;
		case NODE_INVALID:
			PendingError(p, ERRCODE_INVALID_PARAMETER_VALUE, "the invitation cannot be used", detail, NULL);
			break;
		case NODE_OTHER_NETWORK:
			PendingError(p, ERRCODE_INVALID_PARAMETER_VALUE, "the invitation is for another network", NULL,
						 "vecdb.network_id must be the same on both nodes.");
			break;
		case NODE_UNREACHABLE:
			PendingError(p, ERRCODE_CONNECTION_FAILURE, "the node that invites did not answer", detail,
						 "Both nodes must run, and its address in vecdb.advertise or vecdb.listen must be reachable from here. The invitation is still good.");
			break;
		case NODE_USED:
			PendingError(p, ERRCODE_INVALID_PARAMETER_VALUE, "the invitation was used before, by another node", NULL,
						 "Each is good for one node: ask for a new one.");
			break;
		case NODE_VOID:
			PendingError(p, ERRCODE_INVALID_PARAMETER_VALUE, "the invitation has expired or was revoked", NULL, "Ask for a new one.");
			break;
		case NODE_REFUSED:
			PendingError(p, ERRCODE_CONNECTION_FAILURE, "the node that invites refuses", detail, NULL);
			break;
		case NODE_OTHER_KIND:
			PendingError(p, ERRCODE_WRONG_OBJECT_TYPE, "the collection of the invitation is of another kind", detail,
						 "The invitation is still good.");
			break;
		case NODE_CLONED:
			PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "another node uses the key of this one", NULL,
						 "See clone in vecdb.stat_workers, and the server's log.");
			break;
		case NODE_NO_ADDRESS:
			PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "this node has no address that others could use", NULL,
						 "Set vecdb.advertise.");
			break;
	}
}
