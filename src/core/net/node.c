/*
 * node.c
 *	  A node's life, what comes to it and whom it is given to.
 *
 * The files below it, each of which calls only those before it:
 * refusal peer outbox group own_record compare alter join find member group_events hello node_rows
 */
#include "core/net/node_state.h"

#include <stdio.h>
#include <string.h>

#include "core/assert.h"
#include "core/bytes.h"

#define COMPLAIN_MS 10000

static void
on_kad_send(void *context, const NodeRecord *to, const WireMessage *message)
{
	Node	   *self = context;
	NodePeer   *peer;

	if (message->response)
	{
		if (self->handling && self->from != NULL && self->from->record != NULL &&
			kad_id_equal(&self->from->record->id, &to->id))
			node_answer(self, message);
		return;
	}
	CORE_ASSERT((message->request & NODE_OWN_REQUEST) == 0);
	peer = node_peer(self, to->curve_key, true);
	if (peer == NULL)
		return;
	/* the core's records are verified and shared; the cast takes a reference only */
	(void) node_take_record(self, peer, (NodeRecord *) to, false);
	/* who claims the CURVE key of another is not at the other end of its link */
	if (peer->greeted && !kad_id_equal(&peer->record->id, &to->id))
		return;
	node_send_to(self, peer, to->addresses, to->n_addresses, message);
}

static void
on_kad_event(void *context, KadEvent event, const NodeRecord *record)
{
	Node	   *self = context;
	char		id[13];

	switch (event)
	{
		case KAD_EVENT_JOINED:
			node_log(self, NODE_LOG, "node %s has joined the network \"%s\"", node_short_id(&self->id, id),
					 self->network_name);
			break;
		case KAD_EVENT_RETURNED:
			node_log(self, NODE_LOG, "node %s is back", node_short_id(&record->id, id));
			break;
		case KAD_EVENT_CLONE:
			own_copied(self, record);
			break;
	}
}

static void
on_kad_done(void *context, uint64_t tag, const KadLookup *lookup)
{
	Node	   *self = context;
	NodeLookup *l = &self->lookup[tag % KAD_LOOKUPS];

	if (!l->active)
		return;
	l->active = false;
	if (l->tag == 0)
		find_done(self, &l->target, lookup);
	else
		self->config.callbacks.lookup_done(self->config.callbacks.context, l->tag, lookup,
										   self->now.tick_ms - l->started_ms);
}

/* ---- life ---- */

Node *
node_new(const NodeConfig *config, CoreClock clock, char *error, size_t room)
{
	Node	   *self = core_alloc(config->memory, sizeof *self);
	KadConfig	kad;

	if (self == NULL)
	{
		snprintf(error, room, "out of memory");
		return NULL;
	}
	memset(self, 0, sizeof *self);
	self->config = *config;
	self->now = clock;
	self->memory = *config->memory;
	self->random = *config->random;
	self->crypto = *config->crypto;
	self->links = config->links;
	self->gone = group_gone;
	memcpy(self->key, config->secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	self->id = kad_id_of_key(&self->crypto, self->key);
	self->network = node_network(&self->crypto, config->network, strlen(config->network));
	snprintf(self->network_name, sizeof self->network_name, "%s", config->network);
	self->seq = config->seq;
	self->max_statements = NODE_STATEMENTS;
	self->n_addresses = config->n_addresses;
	memcpy(self->addresses, config->addresses, sizeof self->addresses);
	self->next_call = core_random_bits(&self->random) >> 8;
	if (!record_pool_init(&self->pool, &self->memory, &self->crypto, &self->random, self->network,
						  config->skew_ms, NODE_RECORDS))
	{
		snprintf(error, room, "out of memory");
		node_destroy(&self);
		return NULL;
	}
	self->has_pool = true;
	if (!own_sign(self))
	{
		snprintf(error, room, "could not sign a record with %d addresses", self->n_addresses);
		node_destroy(&self);
		return NULL;
	}
	kad = (KadConfig) {
		.memory = &self->memory,
		.crypto = &self->crypto,
		.random = &self->random,
		.pool = &self->pool,
		.host = {self, on_kad_send, on_kad_event, on_kad_done},
		.secret = self->config.secret,
		.refresh_ms = KAD_REFRESH_MS,
		.exempt_private = config->exempt_private
	};
	self->kad = kad_node_new(&kad, self->own, clock);
	if (self->kad == NULL)
	{
		snprintf(error, room, "out of memory");
		node_destroy(&self);
		return NULL;
	}
	return self;
}

void
node_destroy(Node **self_p)
{
	Node	   *self = *self_p;
	CoreMemory	memory;

	if (self == NULL)
		return;
	if (self->kad != NULL)
	{
		WireMessage bye = {.version = WIRE_VERSION_MAX, .type = WIRE_BYE};

		for (int i = 0; i < NODE_PEER_SLOTS; i++)
			for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
				if (peer->greeted && node_connected(peer))
					node_send(self, peer, &bye);
	}
	outbox_reset(self);
	rows_reset(self);
	group_reset(self);
	kad_node_destroy(&self->kad);
	peer_reset(self);
	if (self->has_pool)
	{
		record_pool_release(&self->pool, self->own);
		record_pool_reset(&self->pool);
	}
	memory = self->memory;
	bytes_wipe(self, sizeof *self);
	core_free(&memory, self);
	*self_p = NULL;
}

int64_t
node_next_tick(const Node *self)
{
	int64_t		next = kad_node_next_tick(self->kad);
	int64_t		group = group_next_tick(self);

	return group < next ? group : next;
}

void
node_tick(Node *self, CoreClock clock)
{
	self->now = clock;
	outbox_tick(self);
	if (clock.tick_ms >= self->links_ms)
		hello_look(self);
	if (clock.tick_ms >= kad_node_next_tick(self->kad))
		kad_node_tick(self->kad, clock);
	for (int i = 0; i < NODE_CALLS; i++)
		if (self->call[i].purpose != CALL_NONE && self->call[i].until_ms <= clock.tick_ms)
		{
			NodeCall	call = self->call[i];

			self->call[i].purpose = CALL_NONE;
			group_call_failed(self, &call);
		}
	group_tick(self);
	if (clock.unix_ms >= self->sign_ms)
		own_renew(self);
	rows_tick(self);
}

void
node_advertise(Node *self, CoreClock clock, const NetAddress *addresses, int n)
{
	bool		same = n == self->n_addresses;
	bool		gone = false;

	for (int i = 0; same && i < n; i++)
		same = net_address_equal(&addresses[i], &self->addresses[i]);
	if (same || n < 1 || n > NODE_RECORD_ADDRESSES)
		return;
	for (int i = 0; !gone && i < self->n_addresses; i++)
	{
		gone = true;
		for (int k = 0; gone && k < n; k++)
			gone = !net_address_equal(&self->addresses[i], &addresses[k]);
	}
	self->now = clock;
	memcpy(self->addresses, addresses, (size_t) n * sizeof *addresses);
	self->n_addresses = n;
	own_renew(self);
	if (!gone)
		return;

	/*
	 * Links that began at an address which is gone look alive and carry nothing:
	 * all are made anew, and begin with a greeting that has the new record.
	 */
	hello_look(self);
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->up && peer->record != NULL)
			{
				self->links.drop(self->links.self, peer->curve, false);
				peer->up = peer->inbound = peer->welcomed = false;
				node_greet(self, peer, peer->record->addresses, peer->record->n_addresses);
			}
}

void
node_adjust(Node *self, int64_t skew_ms, int mesh_degree)
{
	self->config.skew_ms = skew_ms;
	self->pool.skew_ms = skew_ms;
	self->config.mesh_degree = mesh_degree;
	for (int i = 0; i < self->n_groups; i++)
		mesh_set_degree(&self->group[i]->mesh, mesh_degree);
}

DecodeStatus
node_meet(Node *self, CoreClock clock, const uint8_t *bytes, size_t len)
{
	NodeRecord *record;
	DecodeStatus status = record_pool_take(&self->pool, bytes, len, clock.unix_ms, &record);

	if (status == DECODE_OK)
	{
		node_meet_record(self, clock, record);
		record_pool_release(&self->pool, record);
	}
	return status;
}

void
node_meet_record(Node *self, CoreClock clock, NodeRecord *record)
{
	self->now = clock;
	if (kad_id_equal(&record->id, &self->id))
	{
		/* ourselves, by way of the bootstrap list or the LAN; or a copy */
		if (record != self->own && record->seq >= self->own->seq)
			own_copied(self, record);
		return;
	}
	(void) kad_node_meet(self->kad, clock, record);
}

NodeStatus
node_lookup(Node *self, CoreClock clock, const KadId *target, bool for_providers, uint64_t tag)
{
	self->now = clock;
	return find_start(self, target, for_providers, tag) ? NODE_OK : NODE_BUSY;
}

/* ---- for views ---- */

const KadTable *
node_table(const Node *self)
{
	return kad_node_table(self->kad);
}

const NodeRecord *
node_record(const Node *self)
{
	return self->own;
}

RecordPool *
node_pool(Node *self)
{
	return &self->pool;
}

const CoreCrypto *
node_crypto(const Node *self)
{
	return &self->crypto;
}

const uint8_t *
node_secret(const Node *self)
{
	return self->config.secret;
}

bool
node_cloned(const Node *self, NetAddress *where)
{
	if (self->cloned)
		*where = self->clone_at;
	return self->cloned;
}

NodeFigures
node_figures(const Node *self)
{
	NodeFigures figures = {
		.kad = kad_node_stats(self->kad),
		.refused = self->refused
	};

	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (const NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
		{
			figures.links += node_connected(peer);
			figures.greeted += peer->greeted;
		}
	return figures;
}

/* ---- receiving ---- */

/* What a peer that has not greeted may be told, without reading more than the head. */
static void
handle_stranger(Node *self, NodePeer *peer, int type, bool response, uint64_t request)
{
	if (response || type == WIRE_BYE)
		return;
	if (!peer->told)
	{
		peer->told = true;
		node_answer_error(self, request, NULL, WIRE_CODE_FORBIDDEN, "HELLO comes first");
	}
	self->refused++;
}

/* Is an answer of this peer to this request awaited, of ours or of the core? */
static bool
awaited(const Node *self, const NodePeer *peer, uint64_t request)
{
	if (hello_awaited(self, peer, request))
		return true;
	/* one whose link has gone, or that was forgotten, begins anew, and with HELLO */
	if (!peer->greeted)
		return false;
	for (int i = 0; i < NODE_CALLS; i++)
		if (self->call[i].purpose != CALL_NONE && self->call[i].request == request &&
			memcmp(self->call[i].curve, peer->curve, CORE_KEY_BYTES) == 0)
			return true;
	return kad_node_awaits(self->kad, &peer->record->id, request);
}

static WireCode
code_of(DecodeStatus status)
{
	switch (status)
	{
		case DECODE_VERSION:
			return WIRE_CODE_VERSION;
		case DECODE_NETWORK:
			return WIRE_CODE_NETWORK;
		case DECODE_EXPIRED:
		case DECODE_FUTURE:
			return WIRE_CODE_EXPIRED;
		case DECODE_SIGNATURE:
			return WIRE_CODE_FORGED;
		case DECODE_TOO_MANY:
		case DECODE_MEMORY:
			return WIRE_CODE_BUSY;
		default:
			return WIRE_CODE_MALFORMED;
	}
}

/* False: nobody has awaited it. */
static bool
handle_answer(Node *self, NodePeer *peer, const WireMessage *m)
{
	if (hello_awaited(self, peer, m->request))
	{
		peer->hello_request[0] = peer->hello_request[1] = 0;
		if (m->type == WIRE_HELLO)
			hello_receive(self, peer, m);
		else if (m->type == WIRE_ERROR && m->error.code != WIRE_CODE_BUSY)
		{
			char		reason[128];

			snprintf(reason, sizeof reason, "it refuses us, with code %u: %.*s", m->error.code,
					 (int) (m->error.text_len > 80 ? 80 : m->error.text_len), m->error.text == NULL ? "" : m->error.text);
			node_refuse(self, peer->curve, reason);
			join_unreachable(self, peer->curve);
		}
		return true;
	}
	for (int i = 0; i < NODE_CALLS; i++)
		if (self->call[i].purpose != CALL_NONE && self->call[i].request == m->request &&
			memcmp(self->call[i].curve, peer->curve, CORE_KEY_BYTES) == 0)
		{
			NodeCall	call = self->call[i];

			self->call[i].purpose = CALL_NONE;
			group_answered(self, peer, &call, m);
			return true;
		}
	return false;
}

/* Are both in one subnet, as the routing table counts subnets? */
static bool
same_subnet(const NetAddress *a, const NetAddress *b)
{
	if (net_address_private(a) || net_address_private(b))
		return net_address_private(a) && net_address_private(b);
	return net_address_subnet(a) == net_address_subnet(b);
}

/*
 * Of a record's addresses one that the link over which the message came shows to be
 * its: the one to which we made it, or one of the subnet from which it was made.  -1: none.
 */
static int
address_of_link(const Node *self, const NodeRecord *record)
{
	LinkInfo info;

	if (self->links.find(self->links.self, self->via, &info))
		for (int i = 0; i < record->n_addresses; i++)
			if (info.outbound ? net_address_equal(&record->addresses[i], &info.address) :
				same_subnet(&record->addresses[i], &info.address))
				return i;
	return -1;
}

static void
handle_message(Node *self, NodePeer *peer, const WireMessage *m)
{
	NodeRecord *record;

	/* requests about rows have ids of their own, like ours or not */
	if (m->response && (m->request & NODE_OWN_REQUEST) != 0 && (handle_answer(self, peer, m) || m->type != WIRE_ERROR))
		return;
	if (m->type == WIRE_HELLO)
	{
		if (!m->response)
			hello_receive(self, peer, m);
		return;
	}
	if (!peer->greeted)
		return;
	if (m->type == WIRE_ERROR && m->error.code == WIRE_CODE_FORBIDDEN)
	{
		/* it has begun anew, and does not know us */
		peer->welcomed = false;
		peer->hello_ms = 0;
		return;
	}
	/* the peer may get a newer record from what the core sends */
	record = node_record_keep(peer->record);
	switch (m->type)
	{
		case WIRE_BYE:
			kad_node_unreachable(self->kad, self->now, &record->id);
			group_gone(self, &record->id);
			peer->greeted = false;
			peer->welcomed = false;
			peer->hello_ms = 0;
			break;
		case WIRE_GRANTS_SYNC:
		case WIRE_REDEEM:
		case WIRE_GRAFT:
		case WIRE_PRUNE:
			if (!m->response)
				group_receive(self, peer, m);
			break;
		default:
			kad_node_receive(self->kad, self->now, record, address_of_link(self, record), m);
	}
	record_pool_release(&self->pool, record);
}

void
node_frame(Node *self, CoreClock clock, const uint8_t curve[CORE_KEY_BYTES], LinkVia via,
		   const uint8_t *frame, size_t len)
{
	NodePeer   *peer = node_peer(self, curve, true);
	WireMessage m;
	DecodeStatus status;
	int			type;
	bool		response;
	uint64_t	request;

	self->now = clock;
	if (peer == NULL)
		return;
	peer->heard_ms = self->now.tick_ms;
	if (len < WIRE_HEAD || memcmp(frame, "vdbp", 4) != 0)
	{
		node_refuse(self, curve, "it sends what is no message");
		return;
	}
	type = frame[6];
	response = frame[7] == 1;
	request = bytes_load(frame + 8, 8);
	CORE_ASSERT(!peer->greeted || peer->record != NULL);
	CORE_ASSERT(!self->handling);
	self->handling = true;
	self->via = via;
	self->from = peer;
	if (peer->greeted && !node_record_current(peer->record, self->now.unix_ms, self->config.skew_ms))
	{
		node_refuse(self, curve, "its record has expired");
		peer->greeted = false;
	}
	if (!peer->greeted && !(type == WIRE_HELLO && !response) && !(response && awaited(self, peer, request)))
		handle_stranger(self, peer, type, response, request);
	else if (type >= WIRE_ROWS && self->config.rows.frame != NULL)
		rows_receive(self, peer, frame, len);
	/* an answer that nobody awaits costs no signature; an error has none, and may say that it does not know us */
	else if (response && type != WIRE_ERROR && !awaited(self, peer, request))
		self->refused++;
	else
	{
		status = wire_decode(&self->pool, frame, len, self->now.unix_ms, &m);
		if (status == DECODE_OK)
		{
			handle_message(self, peer, &m);
			wire_release(&self->pool, &m);
		}
		else
		{
			char		reason[160];

			snprintf(reason, sizeof reason, type == WIRE_HELLO ? "its greeting cannot be used: %s" :
					 "it sends a message that cannot be read: %s", decode_status_text(status));
			node_refuse(self, curve, reason);
			if (!response && self->now.tick_ms - peer->complained_ms >= COMPLAIN_MS)
			{
				peer->complained_ms = self->now.tick_ms;
				node_answer_error(self, request, NULL, code_of(status), decode_status_text(status));
			}
		}
	}
	self->handling = false;
	self->from = NULL;
}

void
node_unreachable(Node *self, CoreClock clock, const uint8_t curve[CORE_KEY_BYTES])
{
	NodePeer   *peer = node_peer(self, curve, false);

	self->now = clock;
	if (peer == NULL)
		return;
	peer->up = false;
	peer->welcomed = false;
	peer->hello_ms = 0;
	if (peer->record != NULL)
	{
		/* what the core sends may replace the peer's record, or drop the peer */
		NodeRecord *record = node_record_keep(peer->record);
		bool		meet = peer->inbound && peer->greeted && record->seq > peer->met_seq;

		if (!peer->inbound)
			group_gone(self, &record->id);
		if (meet)
			peer->met_seq = record->seq;
		kad_node_unreachable(self->kad, self->now, &record->id);
		/* who speaks to us lives: perhaps at other addresses than our link led to */
		if (meet)
			(void) kad_node_meet(self->kad, self->now, record);
		record_pool_release(&self->pool, record);
	}
	join_unreachable(self, curve);
}
