/*
 * rows_batch.c
 *	  What a batch has brought once its claim is kept, beside the snapshot of its sender.
 *
 * The snapshot is noted when the sender tells its claim, and looked at in the receiver's
 * transaction that keeps it.  This looks into replicas; nothing else of the simulator does.
 */
#include <stdlib.h>

#include "core/rows/replica_state.h"
#include "net/pack.h"
#include "rows_world.h"

/* A request that was answered: what its snapshot shows of each key. */
typedef struct RowsSnapshot
{
	bool		used;
	uint64_t	request;
	KadId		to;
	RowEntry	entry[STORE_KEYS];	/* incarnations by the world's numbers */
	bool		present[STORE_KEYS];
} RowsSnapshot;

struct RowsSnapshots
{
	int			next;
	RowsSnapshot of[2 * REPLICA_SERVES];
};

void
batch_told(World *self, Store *store, const KadId *to, const uint8_t *frame, size_t len)
{
	RowsNode   *at = &self->node[store->node];
	RowMessage	message;
	const ReplicaServe *serve = NULL;
	RowsSnapshot *snapshot;
	static uint8_t unpacked[ROW_FRAME_MAX];

	if ((frame[6] != ROW_WIRE_DATA && frame[6] != ROW_WIRE_PACKED && frame[6] != ROW_WIRE_RANGES) || (frame[7] & 1) == 0 ||
		at->replica == NULL || row_wire_decode(frame, len, &message) != DECODE_OK)
		return;
	if (frame[6] == ROW_WIRE_PACKED &&
		(!net_unpack(NULL, message.packed.at, message.packed.len, unpacked, message.whole) ||
		 row_wire_decode(unpacked, message.whole, &message) != DECODE_OK))
		world_violation(self, "node %d has packed a frame that cannot be unpacked", store->node);
	if (!row_message_has(&message, ROW_TAG_CLAIM))
		return;
	for (int i = 0; i < REPLICA_SERVES; i++)
		if (at->replica->serve[i].active && at->replica->serve[i].request == message.request &&
			kad_id_equal(&at->replica->serve[i].to, to))
			serve = &at->replica->serve[i];
	if (serve == NULL)
		return;
	if (at->snapshots == NULL)
		at->snapshots = calloc(1, sizeof *at->snapshots);
	snapshot = &at->snapshots->of[at->snapshots->next++ % (2 * REPLICA_SERVES)];
	snapshot->used = true;
	snapshot->request = message.request;
	snapshot->to = *to;
	for (int k = 0; k < self->n_keys; k++)
	{
		const StoreRow *row = store_at(store, k, serve->scan->commit);

		snapshot->present[k] = row != NULL && row->present;
		if (!snapshot->present[k])
			continue;
		snapshot->entry[k] = row->entry;
		snapshot->entry[k].stamp.incarnation = store->global_of[row->entry.stamp.incarnation];
		snapshot->entry[k].birth.incarnation = store->global_of[row->entry.birth.incarnation];
	}
}

/* Is a stamp covered?  One of an incarnation that the node has not met is not. */
static bool
covers(const Store *store, const RowFrontier *frontier, RowStamp stamp)
{
	stamp.incarnation = store->number_of[stamp.incarnation];
	return stamp.incarnation != 0 && row_frontier_covers(frontier, stamp);
}

static const RowsSnapshot *
find(const World *self, const KadId *from, const KadId *to, uint64_t request, int *sender)
{
	for (int i = 0; i < self->n; i++)
	{
		const struct RowsSnapshots *snapshots = self->node[i].snapshots;

		for (int k = 0; snapshots != NULL && kad_id_equal(&self->node[i].id, from) && k < 2 * REPLICA_SERVES; k++)
			if (snapshots->of[k].used && snapshots->of[k].request == request && kad_id_equal(&snapshots->of[k].to, to))
			{
				*sender = i;
				return &snapshots->of[k];
			}
	}
	return NULL;
}

void
batch_claimed(World *self, Store *store, const RowFrontier *frontier, const RowFrontier *floor)
{
	RowsNode   *at = &self->node[store->node];
	const Replica *replica = at->replica;
	const RowsSnapshot *snapshot;
	int			sender;

	/* who believed a false claim was not sent what it says to cover */
	if (replica == NULL || frontier != &replica->job_frontier || !world_counts(self, store->node) || self->profile->false_claims)
		return;
	snapshot = find(self, &replica->ask.to, &at->id, replica->ask.request, &sender);
	if (snapshot == NULL)
		return;
	self->figures.looked_at++;
	for (int k = 0; k < self->n_keys; k++)
	{
		const RowEntry *there = &snapshot->entry[k];
		const StoreRow *here = store_head(store, k);
		bool		is_here = here != NULL && here->present;

		/* of a copy, what one of its sources did not claim may be from before its snapshot */
		if (!snapshot->present[k] || (replica->ask.mode == ROW_MODE_COPY && !covers(store, frontier, there->stamp)))
			continue;
		if (is_here ? row_version_compare(&here->entry.version, &there->version) >= 0 :
			covers(store, floor, there->stamp) || covers(store, floor, there->birth))
			continue;
		/* of two tombstones one is as good as the other, and as nothing */
		if ((!there->live && !(is_here && here->entry.live)) || check_gone(self, k, &there->version))
			continue;
		world_violation(self, "%s: node %d keeps the claim of a batch of node %d, whose snapshot has key %d, clock %llu, and has %s",
						covers(store, frontier, there->stamp) ? "I4" : "I7", store->node, sender, k, (unsigned long long) there->version.clock,
						is_here ? "an older one" : "nothing");
	}
}

void
batch_free(RowsNode *node)
{
	free(node->snapshots);
	node->snapshots = NULL;
}
