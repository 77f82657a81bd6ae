/*
 * sync_member.c
 *	  Requests that change who is a member: sharing and inviting, joining, leaving,
 *	  evicting.  A statement that the network has been sent is on disk before the answer.
 */
#include "sync/sync_pending.h"

#include <sodium.h>

#include "core/bytes.h"
#include "fault_point.h"
#include "guc.h"
#include "miscadmin.h"
#include "rows/rows_shared.h"
#include "sync/sync_rows.h"
#include "utils/builtins.h"
#include "utils/errcodes.h"

StaticAssertDecl(NODE_JOINS >= SYNC_REQUESTS, "a join may find no place where its request has one");

/*
 * Is there room for one more collection of this role?  Else an error is the answer.
 * The last places are for superusers, who have no share.
 */
static bool
has_room(SyncWorker *self, Pending *p, Oid role)
{
	SyncHolder	holder;
	int			joining = 0;
	int			mine = 0;
	int			room;
	char		message[NAMEDATALEN + 160];

	for (int i = 0; i < SYNC_REQUESTS; i++)
		if (&self->requests->pending[i] != p && self->requests->pending[i].active && !self->requests->pending[i].finished && self->requests->pending[i].op == SYNC_JOIN)
		{
			joining++;
			mine += self->requests->pending[i].role == role;
		}
	if (!SyncCountHeld(role, &holder))
	{
		PendingError(p, ERRCODE_IO_ERROR, "the shared collections of this database could not be counted", "The server's log says why.",
					 "Try again in a few seconds.");
		return false;
	}
	room = NODE_COLLECTIONS - (holder.superuser ? 0 : SYNC_COLLECTIONS_RESERVED);
	if (!holder.superuser && holder.n + mine >= VecdbMaxSharedPerRole)
	{
		snprintf(message, sizeof(message), "role \"%s\" has %d shared collections, and vecdb.max_shared_collections_per_role is %d",
				 holder.name, holder.n + mine, VecdbMaxSharedPerRole);
		PendingError(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, message,
					 "Collections count for the owner of their table; those that are joined or left at the moment, for who does that.",
					 "vecdb.leave() leaves one, and one whose table is dropped goes by itself; or raise the setting.");
		return false;
	}
	if (!RowsHaveRoom(SyncShareOf(role, holder.superuser), mine))
	{
		snprintf(message, sizeof(message), "All databases of a server replicate %d, the last %d of them of tables of superusers, and of one role no more than it leaves to others.",
				 ROWS_COLLECTIONS, ROWS_COLLECTIONS_RESERVED);
		PendingError(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "this server replicates no more collections of this role", message,
					 "vecdb.leave() leaves one; one whose table is dropped goes by itself.");
		return false;
	}
	/* those that were dropped a moment ago need no room any more */
	if (node_group_count(self->node) + joining >= room)
		(void) SyncRebind(self);
	if (node_group_count(self->node) + joining >= room)
	{
		snprintf(message, sizeof(message), "The node holds %d of %d, the last %d of which are for superusers.",
				 node_group_count(self->node) + joining, NODE_COLLECTIONS, SYNC_COLLECTIONS_RESERVED);
		PendingError(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "the node holds as many shared collections as it can", message,
					 "vecdb.leave() leaves one; one whose table is dropped goes by itself.");
		return false;
	}
	return true;
}

/* Share the collection with this table, unless it is shared. */
static bool
share(SyncWorker *self, Pending *p, Oid table, const char *name)
{
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		root[CORE_KEY_BYTES];
	KadId		id;
	NodeStatus	status;
	Oid			owner;
	Oid			of;

	if (node_collection_id(self->node, table, &id))
	{
		/* its table may have been locked when it was looked at */
		if (!node_collection_described(self->node, table))
			(void) SyncRebind(self);
		return true;
	}
	if (!SyncTableOwner(table, &owner, &of))
	{
		PendingError(p, ERRCODE_UNDEFINED_TABLE, "the table of the collection was dropped", NULL, NULL);
		return false;
	}
	if (!has_room(self, p, owner))
		return false;
	randombytes_buf(seed, sizeof(seed));
	if (crypto_sign_seed_keypair(root, secret, seed) != 0 || !SyncSaveRoot(self, root, seed))
	{
		sodium_memzero(seed, sizeof(seed));
		PendingError(p, ERRCODE_IO_ERROR, "the key of the collection could not be written", "The server's log says why.", NULL);
		return false;
	}
	sodium_memzero(secret, sizeof(secret));
	status = node_share(self->node, node_clock(), seed, table, name, root);
	sodium_memzero(seed, sizeof(seed));
	if (status != NODE_OK)
	{
		SyncRemoveRoot(self, root);
		PendingStatus(p, status, NULL);
		return false;
	}
	if (!SyncAddCollection(self, root, table, name, owner))
	{
		node_group_forget(self->node, node_clock(), root);
		SyncRemoveRoot(self, root);
		PendingError(p, ERRCODE_IO_ERROR, "the collection could not be written down as shared", "The server's log says why.", NULL);
		return false;
	}
	(void) SyncRebind(self);
	return true;
}

/* Has this node no address but those of a machine or a local network? */
static bool
only_private(SyncWorker *self)
{
	const NodeRecord *own = node_record(self->node);

	for (int i = 0; i < own->n_addresses; i++)
		if (!net_address_private(&own->addresses[i]))
			return false;
	return true;
}

/* The same, and its rows can be captured. */
static bool
share_rows(SyncWorker *self, Pending *p, Oid table, const char *name, uint8_t root[CORE_KEY_BYTES])
{
	if (!share(self, p, table, name))
		return false;
	if (SyncFindRoot(table, root) && SyncRowsShare(self, root, table))
		return true;
	PendingError(p, ERRCODE_IO_ERROR, "the replication of the collection could not begin", "The server's log says why.", NULL);
	return false;
}

void
PendingShare(SyncWorker *self, Pending *p, Oid table, const char *name)
{
	uint8_t		root[CORE_KEY_BYTES];

	if (!share_rows(self, p, table, name, root))
		return;
	p->call->len = 0;
	p->finished = true;
}

void
PendingInvite(SyncWorker *self, Pending *p, Oid table, const char *name, const char *role, int64 life_ms)
{
	char		text[INVITATION_TEXT_MAX + 1];
	uint8_t		root[CORE_KEY_BYTES];
	NodeStatus	status;

	if (!share_rows(self, p, table, name, root))
		return;
	status = node_invite(self->node, node_clock(), table,
						 strcmp(role, "reader") == 0 ? GRANT_READER : strcmp(role, "writer") == 0 ? GRANT_WRITER : GRANT_ADMIN,
						 life_ms, text);
	p->call->len = 0;
	if (status == NODE_OK && !SyncFlush(self))
		PendingError(p, ERRCODE_IO_ERROR, "the invitation could not be written down", "The server's log says why.", NULL);
	else
	{
		if (status == NODE_OK)
			(void) (PendingPut(p, text) && PendingPutBool(p, only_private(self)));
		PendingStatus(p, status, NULL);
	}
	sodium_memzero(text, sizeof(text));
}

/*
 * Is the collection what who asked can take: one whose table is to be made here, or one of
 * the columns of the table that is here?  Else an error is the answer.  kind: its
 * description without the name.
 */
static bool
fits(Pending *p, const char *kind)
{
	bool		is_table = strncmp(kind, "table ", 6) == 0;

	if (kind[0] == '\0')
		PendingError(p, ERRCODE_PROTOCOL_VIOLATION, "the node that invites does not say what the collection is", NULL,
					 "Its table may have been dropped there, or altered until it cannot be shared.");
	else if (!OidIsValid(p->table) && is_table)
		PendingError(p, ERRCODE_WRONG_OBJECT_TYPE, "the invitation is to a table that was shared by vecdb.replicate(), not to a collection",
					 "Only of a collection can the table be created here.",
					 "Create a table of the same columns, and join with vecdb.replicate(table, invitation). The invitation is still good.");
	else if (OidIsValid(p->table) && is_table && strcmp(kind, p->kind) != 0)
		PendingError(p, ERRCODE_DATATYPE_MISMATCH, "the table has other columns than the one of the invitation",
					 "Columns must have the same names, types, collations and NOT NULL, in the same order, and the same primary key; generated ones do not count.",
					 "Create it as it is there: pg_dump --schema-only shows how. The invitation is still good.");
	else if (OidIsValid(p->table) && !is_table && strcmp(kind, p->other_kind) != 0)
		PendingError(p, ERRCODE_WRONG_OBJECT_TYPE, "the invitation is to a collection, and the table is none of the same kind",
					 kind,
					 "vecdb.join(invitation) creates the collection's table and joins. The invitation is still good.");
	else
		return true;
	return false;
}

/* An invitation to a collection that this node has left.  What was kept of it is held as long as the join goes on. */
static void
load_left(SyncWorker *self, Pending *p, const char *text)
{
	Invitation	invitation;

	if (invitation_decode(node_crypto(self->node), text, strlen(text), node_clock().unix_ms,
						  VecdbMaxClockSkew_s * INT64CONST(1000), &invitation) == DECODE_OK)
	{
		memcpy(p->left, invitation.grant.root, CORE_KEY_BYTES);
		p->returning = SyncLoadLeft(self, p->left);
	}
	sodium_memzero(&invitation, sizeof(invitation));
}

/*
 * The join has ended.  If it came to nothing, the node forgets that again: unless another join of the same
 * goes on, which forgets it then, or has made this node a member.
 */
void
PendingForgetLeft(SyncWorker *self, Pending *p)
{
	Oid			table;

	if (!p->returning)
		return;
	p->returning = false;
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Pending    *other = &self->requests->pending[i];

		if (other != p && other->active && !other->finished && other->op == SYNC_JOIN &&
			memcmp(other->left, p->left, CORE_KEY_BYTES) == 0)
		{
			other->returning = true;
			return;
		}
	}
	if (!node_group_left(self->node, p->left) || SyncFindTable(p->left, &table))
		return;
	/* what came of it meanwhile may be on disk */
	SyncNoteLeft(self, p->left);
	node_group_forget(self->node, node_clock(), p->left);
}

void
PendingJoin(SyncWorker *self, Pending *p, const char *text)
{
	DecodeStatus decode = DECODE_OK;
	char		kinds[sizeof(p->kind) + sizeof(p->other_kind)];
	NodeStatus	status;
	Oid			of;

	if (OidIsValid(p->table) && !SyncTableOwner(p->table, &p->role, &of))
	{
		PendingError(p, ERRCODE_UNDEFINED_TABLE, "the table was dropped", NULL, NULL);
		return;
	}
	/* before: an invitation is good once */
	if (!has_room(self, p, p->role))
		return;
	load_left(self, p, text);
	snprintf(kinds, sizeof(kinds), "%s%s%s", p->kind, p->other_kind[0] ? "|" : "", p->other_kind);
	status = node_join_kind(self->node, node_clock(), text, strlen(text), OidIsValid(p->table) ? kinds : NULL, p->tag, &decode);
	if (status == NODE_INVALID)
	{
		char		detail[128];

		snprintf(detail, sizeof(detail), "What is wrong with it: %s.", decode_status_text(decode));
		if (decode == DECODE_EXPIRED)
			PendingStatus(p, NODE_VOID, NULL);
		else
			PendingStatus(p, status, detail);
	}
	else if (status != NODE_OK)
		PendingStatus(p, status, NULL);
	/* else SyncJoinDone(self) has been or will be called */
}

void
PendingLeave(SyncWorker *self, Pending *p, Oid table)
{
	uint8_t		root[CORE_KEY_BYTES];
	NodeStatus	status;

	p->call->len = 0;
	if (!SyncFindRoot(table, root))
	{
		PendingStatus(p, NODE_NOT_SHARED, NULL);
		return;
	}
	status = node_leave(self->node, node_clock(), table);
	/* it could not be written down before */
	if (status == NODE_NOT_SHARED && node_group_left(self->node, root))
		status = NODE_OK;
	FAULT_POINT("leave-before-marked");
	if (status == NODE_OK && !SyncMarkLeaving(self, root))
		PendingError(p, ERRCODE_IO_ERROR, "leaving the collection could not be written down", "The server's log says why.", NULL);
	else
		PendingStatus(p, status, NULL);
}

void
PendingPause(SyncWorker *self, Pending *p, Oid table, bool paused)
{
	uint8_t		root[CORE_KEY_BYTES];

	p->call->len = 0;
	if (!SyncFindRoot(table, root))
		PendingStatus(p, NODE_NOT_SHARED, NULL);
	else if (!SyncMarkPaused(root, paused))
		PendingError(p, ERRCODE_IO_ERROR, "the pause could not be written down", "The server's log says why.", NULL);
	else
	{
		SyncRowsPause(self->rows, table, paused, node_clock());
		p->finished = true;
	}
}

void
PendingEvict(SyncWorker *self, Pending *p, Oid table, const char *prefix)
{
	KadId	   *lost = palloc(sizeof(*lost) * MEMBERSHIP_LIMIT);
	char	   *copy = pstrdup(prefix);
	int			n;
	NodeStatus	status = node_evict(self->node, node_clock(), table, copy, lost, MEMBERSHIP_LIMIT, &n);

	p->call->len = 0;
	if (status == NODE_OK && !SyncFlush(self))
		PendingError(p, ERRCODE_IO_ERROR, "the eviction could not be written down", "The server's log says why.", NULL);
	else
	{
		for (int i = 0; i < n && status == NODE_OK; i++)
			if (!PendingPutId(p, &lost[i]))
				break;
		PendingStatus(p, status, NULL);
	}
	pfree(lost);
	pfree(copy);
}

void
SyncJoinDone(SyncWorker *self, uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
			 const uint8_t *description, size_t len)
{
	Pending    *p = PendingByTag(self, tag);

	if (status != NODE_OK)
	{
		if (p && (status != NODE_OTHER_KIND || fits(p, text ? text : "")))
			PendingStatus(p, status, text);
		return;
	}
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Admitted   *join = &self->requests->admitted[i];

		if (join->used)
			continue;
		join->used = true;
		join->tag = tag;
		/* its place is kept until now, also where nobody waits any more */
		join->role = p ? p->role : InvalidOid;
		join->superuser = p && p->superuser;
		memcpy(join->root, root, CORE_KEY_BYTES);
		if (len > NODE_DESCRIPTION)
			len = 0;
		memcpy(join->description, description ? (const char *) description : "", len);
		join->description[len] = '\0';
		return;
	}
}

/* The network has admitted us, and nobody here wants it: as when a table is dropped, the same invitation lets us in again. */
static void
turn_down(SyncWorker *self, const uint8_t *root)
{
	Oid			table;

	if (!SyncFindTable(root, &table))
		node_group_forget(self->node, node_clock(), root);
}

/* The network has admitted us: write that down, then answer. */
void
PendingFinishJoin(SyncWorker *self, Admitted *join)
{
	Pending    *p = PendingByTag(self, join->tag);
	char		name[NODE_NAME];
	size_t		len = strcspn(join->description, " ");
	CoreClock	clock = node_clock();
	KadId		id = kad_id_of_key(node_crypto(self->node), join->root);

	join->used = false;
	FAULT_POINT("join-admitted");
	if (p && !fits(p, join->description[len] == ' ' ? join->description + len + 1 : ""))
	{
		turn_down(self, join->root);
		return;
	}
	node_group_owner(self->node, join->root, SyncShareOf(join->role, join->superuser));
	strlcpy(name, join->description, Min(len + 1, sizeof(name)));
	if (!SyncAddCollection(self, join->root, InvalidOid, name, join->role))
	{
		node_group_forget(self->node, clock, join->root);
		if (p)
			PendingError(p, ERRCODE_IO_ERROR, "the membership could not be written down",
						 "The server's log says why.", "The same invitation can be redeemed again.");
		return;
	}
	FAULT_POINT("join-written");
	if (!p)
		return;
	p->call->len = 0;
	if (PendingPutId(p, &id))
	{
		char		hex[2 * CORE_KEY_BYTES + 1];

		(void) (PendingPut(p, bytes_hex(join->root, CORE_KEY_BYTES, hex)) && PendingPut(p, join->description));
	}
	p->finished = true;
}

/* The table has rows, which get versions in the transaction that joins: of this life, which begins before. */
void
PendingJoinRows(SyncWorker *self, Pending *p, const char *root_hex, Oid table)
{
	uint8_t		root[CORE_KEY_BYTES];

	p->call->len = 0;
	if (strlen(root_hex) != 2 * CORE_KEY_BYTES || hex_decode(root_hex, 2 * CORE_KEY_BYTES, (char *) root) != CORE_KEY_BYTES)
		PendingError(p, ERRCODE_INTERNAL_ERROR, "the node does not know this request", NULL, NULL);
	else if (node_own_role(self->node, node_clock(), root) < GRANT_WRITER)
		PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "this node would only read the collection, and the table has rows",
					 "Other members would not take them.",
					 "TRUNCATE the table first, and what the others have is copied; or ask for an invitation as a writer. This one is still good here.");
	else if (!SyncRowsJoin(self, root, table))
		PendingError(p, ERRCODE_IO_ERROR, "the replication of the table could not begin", "The server's log says why.", NULL);
	else
		p->finished = true;
}
