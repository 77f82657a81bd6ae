/*
 * sync_rows_members.c
 *	  Who the members of a collection are, for its replica; and when each was last heard,
 *	  kept beyond a restart: who was away for vecdb.tombstone_retention holds nothing back,
 *	  however often this node has started meanwhile.
 *
 * Kept as id[32] and milliseconds since 1970 (8 bytes, little-endian) of each.
 */
#include "sync/sync_rows.h"

#include "core/bytes.h"
#include "worker/worker.h"

#define KEEP_MS 600000
#define HEARD_BYTES (KAD_ID_BYTES + 8)

typedef struct Heard
{
	const uint8_t *root;
	uint8_t		bytes[REPLICA_MEMBERS * HEARD_BYTES];
	size_t		len;
} Heard;

static void
load(void *arg)
{
	Heard	   *heard = arg;
	RowBytes	bytes = RowStateHeard(heard->root);

	heard->len = Min(bytes.len, sizeof(heard->bytes));
	if (heard->len > 0)
		memcpy(heard->bytes, bytes.at, heard->len);
}

static void
keep(void *arg)
{
	Heard	   *heard = arg;

	RowStateKeepHeard(heard->root, (RowBytes) {heard->bytes, heard->len});
}

/* When a member was heard as of what was kept; 0: nothing is kept of it. */
static int64_t
kept_of(const Heard *heard, const KadId *id)
{
	for (size_t i = 0; i + HEARD_BYTES <= heard->len; i += HEARD_BYTES)
		if (memcmp(heard->bytes + i, id, KAD_ID_BYTES) == 0)
			return (int64_t) bytes_load(heard->bytes + i + KAD_ID_BYTES, 8);
	return 0;
}

static int
list_members(SyncCollection *self, CoreClock clock, NodeMember *listed)
{
	SyncWorker *worker = self->rows->worker;
	KadId		own = node_record(worker->node)->id;
	int			n_listed = node_members(worker->node, clock, self->table, listed, MEMBERSHIP_LIMIT);
	int			n = n_listed < 0 ? -1 : 0;

	for (int i = 0; i < n_listed && n < REPLICA_MEMBERS; i++)
		if (!kad_id_equal(&listed[i].id, &own))
			listed[n++] = listed[i];
	return n;
}

static void
keep_heard(SyncCollection *self, Heard *heard, const NodeMember *listed, int n)
{
	heard->root = self->root;
	heard->len = 0;
	for (int i = 0; i < n; i++)
	{
		memcpy(heard->bytes + heard->len, &listed[i].id, KAD_ID_BYTES);
		bytes_store(heard->bytes + heard->len + KAD_ID_BYTES, 8, (uint64_t) replica_heard(self->replica, &listed[i].id));
		heard->len += HEARD_BYTES;
	}
	(void) WorkerTransaction(SYNC_STATEMENT_MS, keep, heard);
}

static void
tell(SyncCollection *self, CoreClock clock, const NodeRowsMembers *now, const Heard *heard, const NodeMember *listed, int n)
{
	SyncWorker *worker = self->rows->worker;
	ReplicaMember *member = palloc(sizeof(*member) * ((size_t) n + 1));
	bool	   *known = palloc(sizeof(*known) * ((size_t) n + 1));
	RowsLife	life;

	for (int i = 0; i < n; i++)
	{
		known[i] = replica_heard(self->replica, &listed[i].id) != 0;
		member[i] = (ReplicaMember) {listed[i].id, listed[i].role, kept_of(heard, &listed[i].id)};
	}
	replica_members(self->replica, clock, member, n, now->own_role, now->fingerprint);
	for (int i = 0; i < n; i++)
		if (!known[i] && node_rows_connected(worker->node, &listed[i].id))
			replica_connected(self->replica, clock, &listed[i].id);
	if (RowsLifeFind(self->table, &life))
	{
		life.writable = now->own_role >= GRANT_WRITER;
		(void) RowsLifeBegin(self->table, self->owner, &life);
	}
	pfree(known);
	pfree(member);
}

void
SyncRowsMembers(SyncCollection *self, CoreClock clock)
{
	SyncWorker *worker = self->rows->worker;
	NodeRowsMembers now;
	NodeMember *listed;
	Heard	   *heard;
	bool		changed;
	int			n;

	if (!node_rows_members(worker->node, clock, self->table, &now))
		return;
	changed = now.version != self->members;
	if (!changed && clock.tick_ms < self->heard_ms)
		return;
	listed = palloc(sizeof(*listed) * MEMBERSHIP_LIMIT);
	heard = palloc(sizeof(*heard));
	n = list_members(self, clock, listed);
	heard->root = self->root;
	heard->len = 0;
	if (n >= 0 && changed && WorkerTransaction(SYNC_STATEMENT_MS, load, heard))
	{
		tell(self, clock, &now, heard, listed, n);
		self->members = now.version;
	}
	/* of nobody is kept what the replica has not been told of */
	if (n >= 0 && now.version == self->members)
	{
		keep_heard(self, heard, listed, n);
		self->heard_ms = clock.tick_ms + KEEP_MS;
	}
	pfree(heard);
	pfree(listed);
}
