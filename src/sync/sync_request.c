/*
 * sync_request.c
 *	  What backends ask of a node: taking their requests, answering them.
 *
 * Some are answered at once, some when the network has answered: the node calls
 * back with the request's tag, and the next turn of the loop does the rest.
 */
#include "sync/sync_worker.h"

#include <sodium.h>

#include "guc.h"
#include "miscadmin.h"
#include "net/address.h"
#include "utils/errcodes.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

StaticAssertDecl(NODE_JOINS >= SYNC_REQUESTS, "a join may find no place where its request has one");

typedef struct Pending
{
	bool		active;
	bool		finished;		/* the answer is in the segment */
	uint64_t	tag;			/* serial and place */
	int64_t		until_ms;		/* tick after which nobody waits, nor its place */
	Oid			role;			/* who asks */
	bool		superuser;
	int			op;
	dsm_handle	handle;			/* of the segment that the caller has made */
	dsm_segment *segment;
	SyncCall   *call;
} Pending;

/*
 * A collection that the network has admitted us to: kept first, then told to who
 * asked for it, by the tag of that request.  Whoever that was may have gone, and
 * the place of the request may be another's by now.
 */
typedef struct Admitted
{
	bool		used;
	uint64_t	tag;
	Oid			role;			/* who asked */
	bool		superuser;
	uint8_t		root[CORE_KEY_BYTES];
	char		description[NODE_DESCRIPTION + 1];
} Admitted;

static Pending pending[SYNC_REQUESTS];
static Admitted admitted[SYNC_REQUESTS];
static uint64_t serial;

/* ---------------------------------------------------------------------------
 * Answers
 */

static bool
put(Pending *p, const char *text)
{
	if (SyncPut(p->call, text))
		return true;
	p->call->cut = true;
	return false;
}

static bool
put_number(Pending *p, long long number)
{
	char		text[32];

	snprintf(text, sizeof(text), "%lld", number);
	return put(p, text);
}

static bool
put_id(Pending *p, const KadId *id)
{
	char		text[2 * KAD_ID_BYTES + 1];

	kad_id_text(id, text);
	return put(p, text);
}

static bool
put_address(Pending *p, const NetAddress *address)
{
	char		text[ADDRESS_TEXT];

	return put(p, address_text(address, text));
}

/* As an array of text; addresses need no quotes. */
static bool
put_addresses(Pending *p, const NetAddress *addresses, int n)
{
	char		text[NODE_RECORD_ADDRESSES * ADDRESS_TEXT + 8];
	char		one[ADDRESS_TEXT];
	size_t		len = 0;

	for (int i = 0; i < n && i < NODE_RECORD_ADDRESSES; i++)
		len += (size_t) snprintf(text + len, sizeof(text) - len, "%c\"%s\"", i == 0 ? '{' : ',', address_text(&addresses[i], one));
	snprintf(text + len, sizeof(text) - len, n == 0 ? "{}" : "}");
	return put(p, text);
}

static bool
put_time(Pending *p, TimestampTz time)
{
	return put_number(p, time);
}

static bool
put_bool(Pending *p, bool value)
{
	return put(p, value ? "t" : "f");
}

static void
answer_error(Pending *p, int sqlstate, const char *message, const char *detail, const char *hint)
{
	p->call->len = 0;
	p->call->cut = false;
	p->call->sqlstate = sqlstate;
	(void) (put(p, message) && put(p, detail) && put(p, hint));
	p->finished = true;
}

static const char *
role_name(GrantRole role)
{
	switch (role)
	{
		case GRANT_READER:
			return "reader";
		case GRANT_WRITER:
			return "writer";
		case GRANT_ADMIN:
			return "admin";
		default:
			return NULL;
	}
}

/* What a status means to the one who asked. */
static void
answer_status(Pending *p, NodeStatus status, const char *detail)
{
	bool		joining = p->op == SYNC_JOIN;
	char		text[256];

	switch (status)
	{
		case NODE_OK:
			p->finished = true;
			break;
		case NODE_NO_MEMORY:
			answer_error(p, ERRCODE_OUT_OF_MEMORY, "the node is out of memory", NULL, NULL);
			break;
		case NODE_BUSY:
			answer_error(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "the node is busy",
						 joining ? "Too many requests are under way, here or at the node that invites." : "Too many lookups are under way.",
						 "Try again in a few seconds.");
			break;
		case NODE_NOT_SHARED:
			answer_error(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
						 joining ? "the node that invites does not hold the collection any more" : "the collection is not shared",
						 NULL, joining ? NULL : "vecdb.invite() shares it.");
			break;
		case NODE_FORBIDDEN:
			answer_error(p, ERRCODE_INSUFFICIENT_PRIVILEGE,
						 joining ? "the node that invites may not admit members any more" : "this node is no admin of the collection",
						 NULL, "Members are admitted and evicted by nodes whose role is admin; vecdb.members() tells which.");
			break;
		case NODE_UNKNOWN:
			answer_error(p, ERRCODE_UNDEFINED_OBJECT, "no member of the collection, or more than one, has an id that begins like that",
						 NULL, "vecdb.members() lists them.");
			break;
		case NODE_OUTRANKED:
			answer_error(p, ERRCODE_INSUFFICIENT_PRIVILEGE, "that member was admitted by an admin nearer to the root of the collection",
						 NULL, "Evict it from the node that admitted it, or from the one that shared the collection first.");
			break;
		case NODE_FULL:
			answer_error(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "there is no room for more statements about the members of the collection",
						 "Those of admins nearer to its root, or that were made first, go before those of this node.",
						 "Evict whoever has filled it, which makes room, or invite from a node nearer to the root.");
			break;
		case NODE_SHARE_FULL:
			snprintf(text, sizeof(text),
					 "A node holds %d for all collections. Those of one owner may become more only while they are fewer than are free; each collection may hold %d.",
					 NODE_STATEMENTS, NODE_STATEMENTS_EACH);
			answer_error(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
						 "the collections of this owner hold as many statements about their members as the node leaves to one role",
						 text, "vecdb.leave() leaves a collection, and one whose table is dropped goes by itself; those of superusers have no share.");
			break;
		case NODE_SELF:
			answer_error(p, ERRCODE_INVALID_PARAMETER_VALUE,
						 joining ? "the invitation was made by this node itself" : "that is this node itself", NULL,
						 joining ? "Redeem it on the node that is to join." : "vecdb.leave() leaves a collection.");
			break;
		case NODE_INVALID:
			answer_error(p, ERRCODE_INVALID_PARAMETER_VALUE, "the invitation cannot be used", detail, NULL);
			break;
		case NODE_OTHER_NETWORK:
			answer_error(p, ERRCODE_INVALID_PARAMETER_VALUE, "the invitation is for another network", NULL,
						 "vecdb.network_id must be the same on both nodes.");
			break;
		case NODE_UNREACHABLE:
			answer_error(p, ERRCODE_CONNECTION_FAILURE, "the node that invites did not answer", detail,
						 "Both nodes must run, and its address in vecdb.advertise or vecdb.listen must be reachable from here. The invitation is still good.");
			break;
		case NODE_USED:
			answer_error(p, ERRCODE_INVALID_PARAMETER_VALUE, "the invitation was used before, by another node", NULL,
						 "Each is good for one node: ask for a new one.");
			break;
		case NODE_VOID:
			answer_error(p, ERRCODE_INVALID_PARAMETER_VALUE, "the invitation has expired or was revoked", NULL, "Ask for a new one.");
			break;
		case NODE_REFUSED:
			answer_error(p, ERRCODE_CONNECTION_FAILURE, "the node that invites refuses", detail, NULL);
			break;
		case NODE_CLONED:
			answer_error(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "another node uses the key of this one", NULL,
						 "See clone in vecdb.stat_workers, and the server's log.");
			break;
		case NODE_NO_ADDRESS:
			answer_error(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "this node has no address that others could use", NULL,
						 "Set vecdb.advertise.");
			break;
	}
}

/* ---------------------------------------------------------------------------
 * Requests
 */

static void
list_peers(Pending *p)
{
	int			room = TRANSPORT_LINKS_MAX + TRANSPORT_INBOUND_MAX;
	TransportLinkInfo *info = palloc(sizeof(*info) * room);
	int			n = Min(transport_links(sync_worker.net->transport, info, room), room);

	for (int i = 0; i < n; i++)
	{
		TransportLinkInfo *link = &info[i];
		NodePeerInfo peer;
		bool		greeted = node_peer_info(sync_worker.node, link->curve_key, &peer);
		uint32_t	before = p->call->len;

		if (!(put_id(p, &peer.id) &&
			  put_address(p, &link->address) &&
			  put_bool(p, link->outbound) &&
			  put(p, link->state != TRANSPORT_UP ? "connecting" : greeted ? "greeted" : "connected") &&
			  put_time(p, SyncTickTime(link->since_ms)) &&
			  (link->heard_ms != 0 ? put_time(p, SyncTickTime(link->heard_ms)) : put(p, NULL)) &&
			  put_number(p, (long long) link->frames_in) &&
			  put_number(p, (long long) link->frames_out) &&
			  put_number(p, (long long) link->bytes_in) &&
			  put_number(p, (long long) link->bytes_out) &&
			  put_number(p, (long long) link->dropped) &&
			  put_number(p, (long long) link->queued_bytes) &&
			  put_number(p, peer.collections) &&
			  put_addresses(p, peer.addresses, peer.n_addresses)))
		{
			p->call->len = before;
			break;
		}
		/* who has not greeted has no id that is known */
		if (!greeted)
		{
			memmove(p->call->data + before + 1, p->call->data + before + 2 * KAD_ID_BYTES + 2,
					p->call->len - before - 2 * KAD_ID_BYTES - 2);
			p->call->data[before] = 0;
			p->call->len -= 2 * KAD_ID_BYTES + 1;
		}
	}
	pfree(info);
	p->finished = true;
}

static void
list_table(Pending *p)
{
	const KadTable *table = node_table(sync_worker.node);
	uint32_t	cursor = 0;
	KadEntry   *entry;

	while ((entry = kad_table_next(table, &cursor)) != NULL)
	{
		uint32_t	before = p->call->len;

		if (!(put_number(p, kad_id_prefix(&table->self, &entry->id)) &&
			  put_id(p, &entry->id) &&
			  put_addresses(p, entry->record->addresses, entry->record->n_addresses) &&
			  put_time(p, SyncTickTime(entry->answered_ms)) &&
			  put_number(p, entry->failures) &&
			  put_time(p, SyncUnixTime(entry->record->expires_ms))))
		{
			p->call->len = before;
			break;
		}
	}
	p->finished = true;
}

static void
list_members(Pending *p, Oid table)
{
	NodeMember *member = palloc(sizeof(*member) * MEMBERSHIP_LIMIT);
	int			n = node_members(sync_worker.node, node_clock(), table, member, MEMBERSHIP_LIMIT);

	if (n < 0)
		answer_status(p, NODE_NOT_SHARED, NULL);
	for (int i = 0; i < n; i++)
	{
		uint32_t	before = p->call->len;
		bool		self = kad_id_equal(&member[i].id, &node_record(sync_worker.node)->id);

		if (!(put_id(p, &member[i].id) &&
			  put(p, role_name(member[i].role)) &&
			  put_id(p, &member[i].admitted_by) &&
			  put_number(p, member[i].depth) &&
			  put_time(p, SyncUnixTime(member[i].since_ms)) &&
			  (member[i].expires_ms != 0 ? put_time(p, SyncUnixTime(member[i].expires_ms)) : put(p, NULL)) &&
			  (self ? put(p, NULL) : put_bool(p, member[i].connected)) &&
			  (self ? put(p, NULL) : put_bool(p, member[i].meshed))))
		{
			p->call->len = before;
			break;
		}
	}
	pfree(member);
	p->finished = true;
}

/* Lookups are fewer than places, and the node needs some itself. */
static bool
may_look_up(const Pending *p)
{
	int			free = KAD_LOOKUPS;
	int			mine = 0;

	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		const Pending *other = &pending[i];

		if (other == p || !other->active || other->finished || (other->op != SYNC_LOOKUP && other->op != SYNC_PROVIDERS))
			continue;
		free--;
		mine += other->role == p->role;
	}
	return p->superuser || SyncShareAllows(mine, free, SYNC_RESERVED);
}

static void
look_up(Pending *p, const char *id_text, bool for_providers)
{
	KadId		id;

	if (!kad_id_parse(id_text, strlen(id_text), &id))
	{
		answer_error(p, ERRCODE_INVALID_PARAMETER_VALUE, "an id has 64 hexadecimal digits", NULL, NULL);
		return;
	}
	p->call->len = 0;
	if (!may_look_up(p) || node_lookup(sync_worker.node, node_clock(), &id, for_providers, p->tag) != NODE_OK)
		answer_status(p, NODE_BUSY, NULL);
}

/*
 * Is there room for one more collection of this role?  Else an error is the answer.
 * The last places are for superusers, who have no share.
 */
static bool
has_room(Pending *p, Oid role)
{
	SyncHolder	holder;
	int			joining = 0;
	int			mine = 0;
	int			room;
	char		message[NAMEDATALEN + 160];

	for (int i = 0; i < SYNC_REQUESTS; i++)
		if (&pending[i] != p && pending[i].active && !pending[i].finished && pending[i].op == SYNC_JOIN)
		{
			joining++;
			mine += pending[i].role == role;
		}
	if (!SyncCountHeld(role, &holder))
	{
		answer_error(p, ERRCODE_IO_ERROR, "the shared collections of this database could not be counted", "The server's log says why.",
					 "Try again in a few seconds.");
		return false;
	}
	room = NODE_COLLECTIONS - (holder.superuser ? 0 : SYNC_COLLECTIONS_RESERVED);
	if (!holder.superuser && holder.n + mine >= VecdbMaxSharedPerRole)
	{
		snprintf(message, sizeof(message), "role \"%s\" has %d shared collections, and vecdb.max_shared_collections_per_role is %d",
				 holder.name, holder.n + mine, VecdbMaxSharedPerRole);
		answer_error(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, message,
					 "Collections count for the owner of their table; those that are joined or left at the moment, for who does that.",
					 "vecdb.leave() leaves one, and one whose table is dropped goes by itself; or raise the setting.");
		return false;
	}
	/* those that were dropped a moment ago need no room any more */
	if (node_group_count(sync_worker.node) + joining >= room)
		(void) SyncRebind();
	if (node_group_count(sync_worker.node) + joining >= room)
	{
		snprintf(message, sizeof(message), "The node holds %d of %d, the last %d of which are for superusers.",
				 node_group_count(sync_worker.node) + joining, NODE_COLLECTIONS, SYNC_COLLECTIONS_RESERVED);
		answer_error(p, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, "the node holds as many shared collections as it can", message,
					 "vecdb.leave() leaves one; one whose table is dropped goes by itself.");
		return false;
	}
	return true;
}

/* Share the collection with this table, unless it is shared. */
static bool
share(Pending *p, Oid table, const char *name)
{
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		root[CORE_KEY_BYTES];
	KadId		id;
	NodeStatus	status;
	Oid			owner;

	if (node_collection_id(sync_worker.node, table, &id))
	{
		/* its table may have been locked when it was looked at */
		if (!node_collection_described(sync_worker.node, table))
			(void) SyncRebind();
		return true;
	}
	if (!SyncTableOwner(table, &owner))
	{
		answer_error(p, ERRCODE_UNDEFINED_TABLE, "the table of the collection was dropped", NULL, NULL);
		return false;
	}
	if (!has_room(p, owner))
		return false;
	randombytes_buf(seed, sizeof(seed));
	if (crypto_sign_seed_keypair(root, secret, seed) != 0 || !SyncSaveRoot(root, seed))
	{
		sodium_memzero(seed, sizeof(seed));
		answer_error(p, ERRCODE_IO_ERROR, "the key of the collection could not be written", "The server's log says why.", NULL);
		return false;
	}
	sodium_memzero(secret, sizeof(secret));
	status = node_share(sync_worker.node, node_clock(), seed, table, name, root);
	sodium_memzero(seed, sizeof(seed));
	if (status != NODE_OK)
	{
		SyncRemoveRoot(root);
		answer_status(p, status, NULL);
		return false;
	}
	if (!SyncAddCollection(root, table, name, owner))
	{
		node_group_forget(sync_worker.node, node_clock(), root);
		SyncRemoveRoot(root);
		answer_error(p, ERRCODE_IO_ERROR, "the collection could not be written down as shared", "The server's log says why.", NULL);
		return false;
	}
	(void) SyncRebind();
	return true;
}

/* Has this node no address but those of a machine or a local network? */
static bool
only_private(void)
{
	const NodeRecord *own = node_record(sync_worker.node);

	for (int i = 0; i < own->n_addresses; i++)
		if (!net_address_private(&own->addresses[i]))
			return false;
	return true;
}

static void
invite(Pending *p, Oid table, const char *name, const char *role, int64 life_ms)
{
	char		text[INVITATION_TEXT_MAX + 1];
	NodeStatus	status;

	if (!share(p, table, name))
		return;
	status = node_invite(sync_worker.node, node_clock(), table,
						 strcmp(role, "reader") == 0 ? GRANT_READER : strcmp(role, "writer") == 0 ? GRANT_WRITER : GRANT_ADMIN,
						 life_ms, text);
	p->call->len = 0;
	if (status == NODE_OK && !SyncFlush())
		answer_error(p, ERRCODE_IO_ERROR, "the invitation could not be written down", "The server's log says why.", NULL);
	else
	{
		if (status == NODE_OK)
			(void) (put(p, text) && put_bool(p, only_private()));
		answer_status(p, status, NULL);
	}
	sodium_memzero(text, sizeof(text));
}

static void
join(Pending *p, const char *text)
{
	DecodeStatus decode = DECODE_OK;
	NodeStatus	status;

	/* before: an invitation is good once */
	if (!has_room(p, p->role))
		return;
	status = node_join(sync_worker.node, node_clock(), text, strlen(text), p->tag, &decode);
	if (status == NODE_INVALID)
	{
		char		detail[128];

		snprintf(detail, sizeof(detail), "What is wrong with it: %s.", decode_status_text(decode));
		if (decode == DECODE_EXPIRED)
			answer_status(p, NODE_VOID, NULL);
		else
			answer_status(p, status, detail);
	}
	else if (status != NODE_OK)
		answer_status(p, status, NULL);
	/* else SyncJoinDone() has been or will be called */
}

static void
leave(Pending *p, Oid table)
{
	uint8_t		root[CORE_KEY_BYTES];
	NodeStatus	status;

	p->call->len = 0;
	if (!SyncFindRoot(table, root))
	{
		answer_status(p, NODE_NOT_SHARED, NULL);
		return;
	}
	status = node_leave(sync_worker.node, node_clock(), table);
	if (status == NODE_OK && !SyncMarkLeaving(root))
		answer_error(p, ERRCODE_IO_ERROR, "leaving the collection could not be written down", "The server's log says why.", NULL);
	else
		answer_status(p, status, NULL);
}

static void
evict(Pending *p, Oid table, const char *prefix)
{
	KadId	   *lost = palloc(sizeof(*lost) * MEMBERSHIP_LIMIT);
	char	   *copy = pstrdup(prefix);
	int			n;
	NodeStatus	status = node_evict(sync_worker.node, node_clock(), table, copy, lost, MEMBERSHIP_LIMIT, &n);

	p->call->len = 0;
	if (status == NODE_OK && !SyncFlush())
		answer_error(p, ERRCODE_IO_ERROR, "the eviction could not be written down", "The server's log says why.", NULL);
	else
	{
		for (int i = 0; i < n && status == NODE_OK; i++)
			if (!put_id(p, &lost[i]))
				break;
		answer_status(p, status, NULL);
	}
	pfree(lost);
	pfree(copy);
}

static void
begin(Pending *p)
{
	const char *argument[4] = {"", "", "", ""};
	uint32_t	at = 0;
	Oid			table;

	for (int i = 0; i < (int) lengthof(argument) && SyncTake(p->call, &at, &argument[i]); i++)
		if (!argument[i])
			argument[i] = "";
	table = (Oid) strtoul(argument[0], NULL, 10);
	p->call->sqlstate = 0;
	p->call->cut = false;
	if (!sync_worker.node)
	{
		char		detail[SYNC_REASON + 32];

		LWLockAcquire(&sync_worker.shared->lock, LW_SHARED);
		snprintf(detail, sizeof(detail), "What is missing: %s.", sync_worker.slot->reason);
		LWLockRelease(&sync_worker.shared->lock);
		answer_error(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the node is not running yet", detail,
					 "See vecdb.stat_workers, and the server's log.");
		return;
	}
	switch ((SyncOp) p->op)
	{
		case SYNC_PEERS:
			p->call->len = 0;
			list_peers(p);
			break;
		case SYNC_TABLE:
			p->call->len = 0;
			list_table(p);
			break;
		case SYNC_LOOKUP:
		case SYNC_PROVIDERS:
			{
				char	   *id = pstrdup(argument[0]);
				KadId		of_table;

				/* a collection by its table */
				if (p->op == SYNC_PROVIDERS && strlen(id) != 2 * KAD_ID_BYTES)
				{
					if (!node_collection_id(sync_worker.node, table, &of_table))
					{
						answer_status(p, NODE_NOT_SHARED, NULL);
						break;
					}
					id = palloc(2 * KAD_ID_BYTES + 1);
					kad_id_text(&of_table, id);
				}
				look_up(p, id, p->op == SYNC_PROVIDERS);
				break;
			}
		case SYNC_INVITE:
			invite(p, table, pstrdup(argument[1]), pstrdup(argument[2]), strtoll(argument[3], NULL, 10));
			break;
		case SYNC_JOIN:
			{
				char	   *text = pstrdup(argument[0]);

				p->call->len = 0;
				join(p, text);
				sodium_memzero(text, strlen(text));
				break;
			}
		case SYNC_LEAVE:
			leave(p, table);
			break;
		case SYNC_EVICT:
			evict(p, table, argument[1]);
			break;
		case SYNC_MEMBERS:
			p->call->len = 0;
			list_members(p, table);
			break;
		default:
			answer_error(p, ERRCODE_INTERNAL_ERROR, "the node does not know this request", NULL, NULL);
	}
}

/* ---------------------------------------------------------------------------
 * Callbacks: memory of ours and of the segment only
 */

static Pending *
by_tag(uint64_t tag)
{
	Pending    *p = &pending[tag % SYNC_REQUESTS];

	return p->active && p->tag == tag && !p->finished ? p : NULL;
}

void
SyncLookupDone(uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
	Pending    *p = by_tag(tag);
	NodeRecord *near[KAD_K];
	int			hops = 0;
	int			n;

	if (!p)
		return;
	if (p->op == SYNC_LOOKUP)
	{
		const NodeRecord *own = node_record(sync_worker.node);
		const NodeRecord *found = NULL;

		n = kad_lookup_result(lookup, near, KAD_K, &hops);
		if (kad_id_equal(&own->id, &lookup->target))
		{
			found = own;
			hops = 0;
		}
		else if (n > 0 && kad_id_equal(&near[0]->id, &lookup->target))
			found = near[0];
		if (found)
			(void) (put_id(p, &found->id) && put_addresses(p, found->addresses, found->n_addresses) &&
					put_time(p, SyncUnixTime(found->expires_ms)) && put_number(p, hops) &&
					put_number(p, lookup->requests) && put_number(p, took_ms));
	}
	else
	{
		for (int i = 0; i < lookup->n_providers; i++)
		{
			const Provider *provider = lookup->provider[i];
			uint32_t	before = p->call->len;

			if (provider->withdrawn)
				continue;
			if (!(put_id(p, &provider->record->id) &&
				  put_addresses(p, provider->record->addresses, provider->record->n_addresses) &&
				  put_time(p, SyncUnixTime(provider->issued_ms)) &&
				  put_time(p, SyncUnixTime(provider->expires_ms))))
			{
				p->call->len = before;
				break;
			}
		}
	}
	p->finished = true;
}

void
SyncJoinDone(uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
			 const uint8_t *description, size_t len)
{
	Pending    *p = by_tag(tag);

	if (status != NODE_OK)
	{
		if (p)
			answer_status(p, status, text);
		return;
	}
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Admitted   *join = &admitted[i];

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

/* The network has admitted us: write that down, then say so. */
static void
finish_join(Admitted *join)
{
	Pending    *p = by_tag(join->tag);
	char		name[NODE_NAME];
	size_t		len = strcspn(join->description, " ");
	CoreClock	clock = node_clock();
	KadId		id = kad_id_of_key(node_crypto(sync_worker.node), join->root);

	join->used = false;
	node_group_owner(sync_worker.node, join->root, SyncShareOf(join->role, join->superuser));
	strlcpy(name, join->description, Min(len + 1, sizeof(name)));
	if (!SyncAddCollection(join->root, InvalidOid, name, join->role))
	{
		node_group_forget(sync_worker.node, clock, join->root);
		if (p)
			answer_error(p, ERRCODE_IO_ERROR, "the membership could not be written down",
						 "The server's log says why.", "The same invitation can be redeemed again.");
		return;
	}
	if (!p)
		return;
	p->call->len = 0;
	if (put_id(p, &id))
	{
		char		hex[2 * CORE_KEY_BYTES + 1];

		sodium_bin2hex(hex, sizeof(hex), join->root, CORE_KEY_BYTES);
		(void) (put(p, hex) && put(p, join->description));
	}
	p->finished = true;
}

/* ---------------------------------------------------------------------------
 * Places
 */

static void
end_place(int i, int state)
{
	SyncPlace  *place = &sync_worker.slot->place[i];

	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	if (place->state == SYNC_PLACE_ABANDONED)
		place->state = SYNC_PLACE_FREE;
	else if (place->state == SYNC_PLACE_TAKEN || place->state == SYNC_PLACE_POSTED)
	{
		place->state = state;
		SetLatch(place->latch);
	}
	LWLockRelease(&sync_worker.shared->lock);
}

static void
end(Pending *p, int state)
{
	int			i = (int) (p - pending);

	if (p->segment)
		dsm_detach(p->segment);
	p->segment = NULL;
	p->call = NULL;
	p->active = false;
	end_place(i, state);
}

/* A request of a place that has been posted. */
static void
take(void *arg)
{
	Pending    *p = arg;

	p->segment = dsm_attach(p->handle);
	if (!p->segment)
		return;
	p->call = dsm_segment_address(p->segment);
	p->op = (int) p->call->op;
	p->active = true;
	begin(p);
}

void
SyncServe(void)
{
	bool		taken[SYNC_REQUESTS] = {false};
	bool		abandoned[SYNC_REQUESTS] = {false};
	SyncPlace	place[SYNC_REQUESTS];
	SyncNode   *slot = sync_worker.slot;
	int64_t		tick_ms = node_clock().tick_ms;

	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		abandoned[i] = slot->place[i].state == SYNC_PLACE_ABANDONED;
		if (slot->place[i].state == SYNC_PLACE_POSTED)
		{
			slot->place[i].state = SYNC_PLACE_TAKEN;
			place[i] = slot->place[i];
			taken[i] = true;
		}
	}
	LWLockRelease(&sync_worker.shared->lock);

	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Pending    *p = &pending[i];

		if (taken[i])
		{
			memset(p, 0, sizeof(*p));
			p->handle = place[i].segment;
			p->role = place[i].role;
			p->superuser = place[i].superuser;
			p->until_ms = tick_ms + SYNC_ANSWER_MS;
			p->tag = ++serial * SYNC_REQUESTS + (uint64_t) i;
			if (!WorkerTry(take, NULL, p) && p->segment)
				answer_error(p, ERRCODE_INTERNAL_ERROR, "the node could not answer", "The server's log says why.", NULL);
			if (!p->segment)
				end(p, SYNC_PLACE_LOST);
		}
	}
	for (int i = 0; i < SYNC_REQUESTS && sync_worker.node; i++)
		if (admitted[i].used)
			finish_join(&admitted[i]);
	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		Pending    *p = &pending[i];

		if (p->active && p->finished)
			end(p, SYNC_PLACE_DONE);
		/* what it asked of the network goes on, and counts as its role's until it ends */
		else if (abandoned[i] && (!p->active || tick_ms >= p->until_ms))
			end(p, SYNC_PLACE_FREE);
	}
}

void
SyncFailAll(void)
{
	/* who is told of these is told otherwise, and the node that held them is gone */
	memset(admitted, 0, sizeof(admitted));
	for (int i = 0; i < SYNC_REQUESTS; i++)
		if (pending[i].active)
		{
			answer_error(&pending[i], ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the node has stopped", NULL,
						 "See vecdb.stat_workers, and the server's log.");
			end(&pending[i], SYNC_PLACE_DONE);
		}
}

void
SyncLeavePlaces(void)
{
	for (int i = 0; i < SYNC_REQUESTS; i++)
		end_place(i, SYNC_PLACE_LOST);
}
