/*
 * sync_list.c
 *	  Requests about what the node knows: peers, routing table, members, lookups.
 */
#include "sync/sync_pending.h"
#include "sync/sync_rows.h"

#include "core/bytes.h"

#include "utils/errcodes.h"

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

void
PendingListPeers(SyncWorker *self, Pending *p)
{
	int			room = TRANSPORT_LINKS_MAX + TRANSPORT_INBOUND_MAX;
	TransportLinkInfo *info = palloc(sizeof(*info) * room);
	int			n = Min(transport_links(self->net->transport, info, room), room);

	for (int i = 0; i < n; i++)
	{
		TransportLinkInfo *link = &info[i];
		NodePeerInfo peer;
		bool		greeted = node_peer_info(self->node, link->curve_key, &peer);
		uint32_t	before = p->call->len;

		if (!(PendingPutId(p, &peer.id) &&
			  PendingPutAddress(p, &link->address) &&
			  PendingPutBool(p, link->outbound) &&
			  PendingPut(p, link->state != TRANSPORT_UP ? "connecting" : greeted ? "greeted" : "connected") &&
			  PendingPutTime(p, SyncTickTime(link->since_ms)) &&
			  (link->heard_ms != 0 ? PendingPutTime(p, SyncTickTime(link->heard_ms)) : PendingPut(p, NULL)) &&
			  PendingPutNumber(p, (long long) link->frames_in) &&
			  PendingPutNumber(p, (long long) link->frames_out) &&
			  PendingPutNumber(p, (long long) link->bytes_in) &&
			  PendingPutNumber(p, (long long) link->bytes_out) &&
			  PendingPutNumber(p, (long long) link->dropped) &&
			  PendingPutNumber(p, (long long) link->queued_bytes) &&
			  PendingPutNumber(p, peer.collections) &&
			  PendingPutAddresses(p, peer.addresses, peer.n_addresses)))
		{
			p->call->len = before;
			break;
		}
		/* who has not greeted has no id that is known */
		if (!greeted)
		{
			Assert(p->call->len >= before + 2 * KAD_ID_BYTES + 2);
			memmove(p->call->data + before + 1, p->call->data + before + 2 * KAD_ID_BYTES + 2,
					p->call->len - before - 2 * KAD_ID_BYTES - 2);
			p->call->data[before] = 0;
			p->call->len -= 2 * KAD_ID_BYTES + 1;
		}
	}
	pfree(info);
	p->finished = true;
}

void
PendingListTable(SyncWorker *self, Pending *p)
{
	const KadTable *table = node_table(self->node);
	uint32_t	cursor = 0;
	KadEntry   *entry;

	while ((entry = kad_table_next(table, &cursor)) != NULL)
	{
		uint32_t	before = p->call->len;

		if (!(PendingPutNumber(p, kad_id_prefix(&table->self, &entry->id)) &&
			  PendingPutId(p, &entry->id) &&
			  PendingPutAddresses(p, entry->record->addresses, entry->record->n_addresses) &&
			  PendingPutTime(p, SyncTickTime(entry->answered_ms)) &&
			  PendingPutNumber(p, entry->failures) &&
			  PendingPutTime(p, SyncUnixTime(entry->record->expires_ms))))
		{
			p->call->len = before;
			break;
		}
	}
	p->finished = true;
}

void
PendingListMembers(SyncWorker *self, Pending *p, Oid table)
{
	NodeMember *member = palloc(sizeof(*member) * MEMBERSHIP_LIMIT);
	int			n = node_members(self->node, node_clock(), table, member, MEMBERSHIP_LIMIT);

	if (n < 0)
		PendingStatus(p, NODE_NOT_SHARED, NULL);
	for (int i = 0; i < n; i++)
	{
		uint32_t	before = p->call->len;
		bool		is_self = kad_id_equal(&member[i].id, &node_record(self->node)->id);

		if (!(PendingPutId(p, &member[i].id) &&
			  PendingPut(p, role_name(member[i].role)) &&
			  PendingPutId(p, &member[i].admitted_by) &&
			  PendingPutNumber(p, member[i].depth) &&
			  PendingPutTime(p, SyncUnixTime(member[i].since_ms)) &&
			  (member[i].expires_ms != 0 ? PendingPutTime(p, SyncUnixTime(member[i].expires_ms)) : PendingPut(p, NULL)) &&
			  (is_self ? PendingPut(p, NULL) : PendingPutBool(p, member[i].connected)) &&
			  (is_self ? PendingPut(p, NULL) : PendingPutBool(p, member[i].meshed))))
		{
			p->call->len = before;
			break;
		}
	}
	pfree(member);
	p->finished = true;
}

static const char *
collection_state(const ReplicaFigures *figures)
{
	return figures->paused ? "paused" : figures->copying ? "copying" : figures->stale ? "behind" : "replicating";
}

/* What stands for what is covered here, and for all versions at the last comparison. */
static bool
put_sums(Pending *p, const Replica *replica, const ReplicaFigures *figures)
{
	uint8		frontier[16];
	char		digits[2 * sizeof(frontier) + 1];

	replica_frontier_sum(replica, frontier);
	if (!PendingPut(p, bytes_hex(frontier, sizeof(frontier), digits)))
		return false;
	if (figures->summed_ms == 0)
		return PendingPut(p, NULL) && PendingPut(p, NULL);
	return PendingPut(p, bytes_hex(figures->sum, sizeof(figures->sum), digits)) && PendingPutTime(p, SyncUnixTime(figures->summed_ms));
}

void
PendingListCollections(SyncWorker *self, Pending *p)
{
	const SyncRows *rows = self->rows;

	for (int i = 0; i < rows->n; i++)
	{
		ReplicaFigures figures = replica_figures(rows->collection[i]->replica);
		uint64_t	number[] = {figures.rows_taken, figures.rows_sent, figures.bytes_sent, figures.batches,
			figures.interrupted, figures.compared, figures.collected, figures.adopted, figures.refused, figures.buffered,
			figures.copied, figures.copied_bytes, figures.copy_total};
		uint32_t	before = p->call->len;
		bool		fits = PendingPutNumber(p, rows->collection[i]->table) && PendingPut(p, collection_state(&figures));

		for (int k = 0; fits && k < (int) lengthof(number); k++)
			fits = PendingPutNumber(p, (long long) number[k]);
		fits = fits && (figures.copy_began_ms ? PendingPutTime(p, SyncUnixTime(figures.copy_began_ms)) : PendingPut(p, NULL));
		fits = fits && PendingPut(p, SyncColumnsWait(rows->collection[i])) && put_sums(p, rows->collection[i]->replica, &figures);
		if (!fits)
		{
			p->call->len = before;
			break;
		}
	}
	p->finished = true;
}

/* A state, what is the matter, and what to do; NULL: nothing. */
typedef struct StateText
{
	const char *name;
	const char *reason;
	const char *hint;
} StateText;

static StateText
member_state(const SyncCollection *collection, const ReplicaMemberFigures *figures, bool copying)
{
	NetAddress	clone;

	if (node_cloned(collection->rows->worker->node, &clone))
		return (StateText) {"away", "another node uses the key of this one, so nobody takes what either says", "See clone in vecdb.stat_workers for where it is: one of them becomes a node of its own without its key file, and both are restarted."};
	if (collection->paused && figures->state >= REPLICA_BUSY)
		return (StateText) {"paused", "this node has paused the collection", "vecdb.resume() lets rows travel again."};
	switch (figures->state)
	{
		case REPLICA_AWAY:
			return (StateText) {"away", "no link to it is up", "See vecdb.lookup() of its id for its addresses, and vecdb-probe for whether they answer."};
		case REPLICA_SILENT:
			return (StateText) {"silent", "it has said nothing of the collection since the link is up", "It may not know yet that this node is a member, or lack the table."};
		case REPLICA_OTHER_COLUMNS:
			return (StateText) {"other columns", "columns differ, so no rows travel", "waits_for in vecdb.stat_collections tells which."};
		case REPLICA_TAKING:
			return (StateText) {"taking", NULL, NULL};
		case REPLICA_COMPARING:
			return (StateText) {"comparing", NULL, NULL};
		case REPLICA_COPYING_FROM:
			return (StateText) {"copying", NULL, "vecdb.stat_copy tells how far it is."};
		case REPLICA_SENDING:
			return (StateText) {"sending", NULL, NULL};
		case REPLICA_BUSY:
			return (StateText) {"busy", "it copies, compares with another, or has paused the collection, and serves nobody until that is done", "vecdb.stat_collections there tells what it does."};
		case REPLICA_BEHIND:
			if (copying)
				return (StateText) {"behind", "this node copies from another first", "vecdb.stat_copy tells how far it is."};
			if (figures->lacks_here > 0)
				return (StateText) {"behind", "it is asked for what is not here when others have answered", NULL};
			return (StateText) {"behind", "it has not told that it has all that is here", "If that lasts, look at vecdb.stat_replication and vecdb.stat_collections there."};
		case REPLICA_LEVEL:
			break;
	}
	return (StateText) {"level", NULL, NULL};
}

static bool
put_member(Pending *p, SyncCollection *collection, const ReplicaMemberFigures *figures, bool copying, int blocked_by)
{
	StateText	state = member_state(collection, figures, copying);
	bool		moves = figures->state >= REPLICA_TAKING && figures->state <= REPLICA_SENDING;
	uint64_t	number[] = {figures->lacks_there, (uint64_t) figures->lacks_there_ms, figures->lacks_here, (uint64_t) figures->lacks_here_ms,
		figures->rows_sent, figures->bytes_sent, figures->rows_taken};

	if (!PendingPutNumber(p, collection->table) || !PendingPutId(p, &figures->id) || !PendingPut(p, role_name(figures->role)) ||
		!PendingPut(p, state.name) || !PendingPutNumber(p, (long long) figures->heard_ms))
		return false;
	for (int k = 0; k < (int) lengthof(number); k++)
		if (!PendingPutNumber(p, (long long) number[k]))
			return false;
	return (moves ? PendingPutNumber(p, (long long) figures->credit) : PendingPut(p, NULL)) &&
		(blocked_by != 0 ? PendingPutNumber(p, blocked_by) : PendingPut(p, NULL)) &&
		PendingPut(p, state.reason) && PendingPut(p, state.hint);
}

void
PendingListReplication(SyncWorker *self, Pending *p)
{
	const SyncRows *rows = self->rows;
	CoreClock	clock = node_clock();

	for (int i = 0; i < rows->n && !p->call->cut; i++)
	{
		SyncCollection *collection = rows->collection[i];
		bool		copying = replica_figures(collection->replica).copying;
		int			blocked_by = RowsBlockedBy(collection->table);

		for (int k = 0; k < replica_members_count(collection->replica) && !p->call->cut; k++)
		{
			ReplicaMemberFigures figures;
			uint32_t	before = p->call->len;

			replica_member_figures(collection->replica, clock, k, &figures);
			if (put_member(p, collection, &figures, copying, blocked_by))
				continue;
			p->call->len = before;
			p->call->cut = true;
		}
	}
	p->finished = true;
}

/* Lookups are fewer than places, and the node needs some itself. */
static bool
may_look_up(SyncWorker *self, const Pending *p)
{
	int			free = KAD_LOOKUPS;
	int			mine = 0;

	for (int i = 0; i < SYNC_REQUESTS; i++)
	{
		const Pending *other = &self->requests->pending[i];

		if (other == p || !other->active || other->finished || (other->op != SYNC_LOOKUP && other->op != SYNC_PROVIDERS))
			continue;
		free--;
		mine += other->role == p->role;
	}
	return p->superuser || SyncShareAllows(mine, free, SYNC_RESERVED);
}

void
PendingLookUp(SyncWorker *self, Pending *p, const char *id_text, bool for_providers)
{
	KadId		id;

	if (!kad_id_parse(id_text, strlen(id_text), &id))
	{
		PendingError(p, ERRCODE_INVALID_PARAMETER_VALUE, "an id has 64 hexadecimal digits", NULL, NULL);
		return;
	}
	p->call->len = 0;
	if (!may_look_up(self, p) || node_lookup(self->node, node_clock(), &id, for_providers, p->tag) != NODE_OK)
		PendingStatus(p, NODE_BUSY, NULL);
}

void
SyncLookupDone(SyncWorker *self, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
	Pending    *p = PendingByTag(self, tag);
	NodeRecord *near[KAD_K];
	int			hops = 0;
	int			n;

	if (!p)
		return;
	if (p->op == SYNC_LOOKUP)
	{
		const NodeRecord *own = node_record(self->node);
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
			(void) (PendingPutId(p, &found->id) && PendingPutAddresses(p, found->addresses, found->n_addresses) &&
					PendingPutTime(p, SyncUnixTime(found->expires_ms)) && PendingPutNumber(p, hops) &&
					PendingPutNumber(p, lookup->requests) && PendingPutNumber(p, took_ms));
	}
	else
	{
		for (int i = 0; i < lookup->n_providers; i++)
		{
			const Provider *provider = lookup->provider[i];
			uint32_t	before = p->call->len;

			if (provider->withdrawn)
				continue;
			if (!(PendingPutId(p, &provider->record->id) &&
				  PendingPutAddresses(p, provider->record->addresses, provider->record->n_addresses) &&
				  PendingPutTime(p, SyncUnixTime(provider->issued_ms)) &&
				  PendingPutTime(p, SyncUnixTime(provider->expires_ms))))
			{
				p->call->len = before;
				break;
			}
		}
	}
	p->finished = true;
}
