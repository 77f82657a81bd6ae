/*
 * kad_announce.c
 *	  What a node announces of itself, and what it hands on of others.
 */
#include "core/net/kad_node_state.h"

#include "core/assert.h"

#define WITHDRAW_AGAIN_MS 15000

/* Forget the withdrawal that is announced again last, for the sake of what is held. */
static bool
forget_withdrawal(KadNode *self)
{
	int			last = -1;

	for (int i = 0; i < self->n_held; i++)
		if (self->held[i].withdrawn && (last < 0 || self->held[i].next_ms > self->held[last].next_ms))
			last = i;
	if (last >= 0)
		self->held[last] = self->held[--self->n_held];
	return last >= 0;
}

bool
kad_node_hold(KadNode *self, CoreClock clock, const KadId *collection, bool held)
{
	KadHeld    *wider;
	int			i;

	for (i = 0; i < self->n_held; i++)
		if (kad_id_equal(&self->held[i].collection, collection))
			break;
	if (i == self->n_held)
	{
		if (!held)
			return true;
		if (self->n_held == KAD_HELD && !forget_withdrawal(self))
			return false;
		i = self->n_held;
		if (i == self->held_room)
		{
			int			room = self->held_room == 0 ? 4 : 2 * self->held_room;

			wider = core_grow(self->config.memory, self->held, (size_t) i, (size_t) room, sizeof *wider);
			if (wider == NULL)
				return false;
			self->held = wider;
			self->held_room = room;
		}
		CORE_ASSERT(self->n_held < self->held_room && self->held_room <= KAD_HELD);
		self->held[self->n_held++].collection = *collection;
	}
	self->held[i].withdrawn = !held;
	self->held[i].wait_ms = WITHDRAW_AGAIN_MS;
	self->held[i].next_ms = clock.tick_ms;
	/* who asks this node itself is told at once, joined or not */
	kad_announce(self, clock, collection, NULL, 0, !held);
	kad_announce_due(self, clock);
	return true;
}

void
kad_announce_due(KadNode *self, CoreClock clock)
{
	for (int i = 0; self->joined && i < self->n_held; i++)
	{
		KadHeld    *held = &self->held[i];
		bool		withdrawn = held->withdrawn;
		KadTask    *task;

		if (clock.tick_ms < held->next_ms)
			continue;
		task = kad_task_start(self, clock, &held->collection, withdrawn ? KAD_TASK_WITHDRAW : KAD_TASK_PUBLISH, 0, false);
		if (task == NULL)
		{
			held->next_ms = clock.tick_ms + KAD_SWEEP_MS;
			continue;
		}
		held->next_ms = clock.tick_ms + (withdrawn ? held->wait_ms : PROVIDER_REPUBLISH_MS);
		held->wait_ms *= withdrawn ? 2 : 1;
		/* when it would be due again, no record of before the withdrawal is good any more */
		if (withdrawn && held->wait_ms > PROVIDER_LIFE_MS)
			self->held[i--] = self->held[--self->n_held];
		kad_task_go_on(self, clock, task);
	}
}

void
kad_announce(KadNode *self, CoreClock clock, const KadId *collection, NodeRecord *const *near, int n, bool withdrawn)
{
	uint8_t		bytes[PROVIDER_BYTES];
	WireMessage m = {.type = WIRE_PROVIDE};
	int64_t		issued_ms = clock.unix_ms > self->issued_ms ? clock.unix_ms : self->issued_ms + 1;

	/* a clock set back by more than the skew gives nothing that could be used: then by the clock */
	if (issued_ms > clock.unix_ms + self->config.pool->skew_ms)
		issued_ms = clock.unix_ms;
	if (!provider_sign(self->config.crypto, self->config.secret, collection, issued_ms, withdrawn, bytes) ||
		provider_decode(self->config.pool, bytes, sizeof bytes, self->own, clock.unix_ms, &m.provide.provider) != DECODE_OK)
		return;
	CORE_ASSERT(m.provide.provider->issued_ms == issued_ms && m.provide.provider->withdrawn == withdrawn &&
				kad_id_equal(&m.provide.provider->collection, collection));
	self->issued_ms = issued_ms;
	m.provide.provider->verified = true;
	provider_store_add(&self->store, m.provide.provider, 0, clock.unix_ms);
	for (int i = 0; i < n; i++)
		kad_request_send(self, clock, near[i], &m, KAD_FOR_PROVIDE, KAD_NO_TASK);
	provider_release(self->config.pool, m.provide.provider);
}

/*
 * A newcomer gets the provider records that now belong to it: those of keys to
 * which it is among the KAD_K nearest, from the KAD_ALPHA nearest only, or it
 * would get each twenty times (Kademlia, section 2.5).  Strangers decide how many
 * there are, and whether the newcomer answers: so these take only their share of
 * the requests that may be open.  Owners announce anew what is left out.
 */
void
kad_announce_to(KadNode *self, CoreClock clock, NodeRecord *to)
{
	int			room = KAD_HANDED - kad_request_count(self, KAD_FOR_HANDING_ON);

	CORE_ASSERT(room >= 0 && kad_table_find(&self->table, &to->id) != NULL);
	for (int i = 0; i < PROVIDER_SLOTS && room > 0; i++)
		for (ProviderGroup *group = self->store.slot[i]; group != NULL && room > 0; group = group->next)
		{
			NodeRecord *near[KAD_K];
			int			n = kad_table_closest(&self->table, &group->collection, KAD_K, false, near);
			int			nearer = 0;
			bool		belongs = false;

			for (int j = 0; j < n; j++)
			{
				belongs |= near[j] == to;
				nearer += near[j] != to &&
					kad_id_nearer(&group->collection, &near[j]->id, &self->own->id) < 0;
			}
			for (int j = 0; j < group->n && belongs && nearer < KAD_ALPHA && room > 0; j++)
			{
				WireMessage m = {.type = WIRE_PROVIDE, .provide = {group->member[j]}};

				if (group->member[j]->expires_ms > clock.unix_ms &&
					!kad_id_equal(&group->member[j]->record->id, &to->id))
					room -= kad_request_send(self, clock, to, &m, KAD_FOR_HANDING_ON, KAD_NO_TASK);
			}
		}
}
