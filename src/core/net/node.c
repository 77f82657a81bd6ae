/*
 * node.c
 *	  Links, greetings, and the messages of the core; node_group.c has the
 *	  collections.
 *
 * A request goes over a link that we made, to an address of the receiver's
 * record: that it is answered shows that the address is good.  An answer goes
 * back over the link by which its request came.  On a link, HELLO is the first
 * message each way; until it holds nothing else is heard.
 */
#include "core/net/node_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

#define RECORD_LIFE_MS (INT64_C(24) * 3600 * 1000)
#define RECORD_RENEW_MS (INT64_C(8) * 3600 * 1000)	/* left when it is signed anew */
#define HELLO_AGAIN_MS 2000
#define HELLO_TIMEOUT_MS 5000
#define LINKS_MS 1000
#define WAITING_MS 2000			/* for a link, less than a request may take */
#define REFUSAL_QUIET_MS 3600000
#define REFUSAL_LINES 20		/* a minute */
#define COMPLAIN_MS 10000
#define ALARM_MS 60000			/* between records signed above that of the same namesake */
#define ADOPTIONS 3				/* of our own past, before it counts as a copy */

static void look_at_links(Node *self);
static bool sign_record(Node *self);
static void renew(Node *self);
static void send_waiting(Node *self);

/* ---- what the core is handed ---- */

static bool
has_address(const NodeRecord *record, const NetAddress *address)
{
	for (int i = 0; i < record->n_addresses; i++)
		if (net_address_equal(&record->addresses[i], address))
			return true;
	return false;
}

/*
 * A record that names the CURVE key of a peer.  Anybody may sign one with a key of
 * their own, and send it around: whose key is at the other end of the link is known
 * only of a record that came over it (proved).  One that did not is taken while
 * there is no other, and when it is newer and of the same node.
 *
 * True when a newer one has other addresses.  A link of ours that leads to none of
 * them may be up for a while and carry nothing: it is closed, and made anew to where
 * it is now.
 */
bool
node_take_record(Node *self, NodePeer *peer, NodeRecord *record, bool proved)
{
	NodeRecord *before = peer->record;
	bool		same = before != NULL && kad_id_equal(&before->id, &record->id);
	bool		moved = false;

	if (before != NULL && !(same ? before->seq < record->seq : proved))
		return false;
	if (before != NULL && !same)
		group_gone(self, &before->id);
	peer->record = node_record_keep(record);
	for (int i = 0; same && i < record->n_addresses; i++)
		moved |= !has_address(before, &record->addresses[i]);
	record_pool_release(&self->pool, before);
	for (int i = 0; moved && i < self->n_links; i++)
		if (self->link[i].outbound && memcmp(self->link[i].curve_key, peer->curve, CORE_KEY_BYTES) == 0 &&
			!has_address(record, &self->link[i].address))
		{
			/* not theirs to us: of two with one key, one would then not hear of the other */
			self->links.drop(self->links.self, peer->curve, true);
			self->link[i].outbound = false;
			peer->up = peer->welcomed = false;
			peer->hello_ms = 0;
		}
	return moved;
}

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

/*
 * Another has our key.  It learns of us by a record above its own, signed once a
 * minute at most for each: so all learn of each other, and it ends.  True when
 * nothing was known of one there.
 */
static bool
sound_alarm(Node *self, const NetAddress *at)
{
	NodeAlarm  *alarm = NULL;
	bool		fresh;

	for (int i = 0; i < NODE_ALARMS; i++)
		if (net_address_equal(&self->alarm[i].at, at))
			alarm = &self->alarm[i];
	fresh = alarm == NULL;
	for (int i = 0; alarm == NULL && i < NODE_ALARMS; i++)
		if (self->alarm[i].at.port == 0)
			alarm = &self->alarm[i];
	if (alarm == NULL)
		return false;
	if (fresh || self->now.tick_ms - alarm->signed_ms >= ALARM_MS)
	{
		*alarm = (NodeAlarm) {*at, self->now.tick_ms};
		self->sign_ms = 0;
	}
	return fresh;
}

static void
on_kad_event(void *context, KadEvent event, const NodeRecord *record)
{
	Node	   *self = context;
	char		id[13];

	switch (event)
	{
		case KAD_EVENT_JOINED:
			node_say(self, NODE_LOG, "node %s has joined the network \"%s\"", node_short_id(&self->id, id),
					 self->config.network);
			break;
		case KAD_EVENT_RETURNED:
			node_say(self, NODE_LOG, "node %s is back", node_short_id(&record->id, id));
			break;
		case KAD_EVENT_CLONE:
			{
				bool		ours = record->n_addresses == self->n_addresses;
				char		text[ADDRESS_TEXT];
				bool		fresh;

				for (int i = 0; ours && i < record->n_addresses; i++)
					ours = net_address_equal(&record->addresses[i], &self->addresses[i]);
				if (record->seq >= self->seq)
					self->seq = record->seq;
				if (ours && self->adopted < ADOPTIONS)
				{
					/* what we said before our data directory was set back */
					self->adopted++;
					self->sign_ms = 0;
					break;
				}
				fresh = sound_alarm(self, &record->addresses[0]);
				self->cloned = true;
				self->clone_at = record->addresses[0];
				if (!fresh)
					break;
				address_text(&self->clone_at, text);
				node_say(self, NODE_WARNING,
						 "another node uses the key of this one: node id %s is also at %s; this node announces nothing any more. "
						 "One data directory is a copy of the other: remove the key file of the one that shall be a node of its own, and restart it",
						 node_short_id(&self->id, id), text);
				group_announce_all(self);
				break;
			}
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
		group_lookup_done(self, &l->target, lookup);
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
	memcpy(self->key, config->secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	self->id = kad_id_of_key(&self->crypto, self->key);
	self->network = node_network(&self->crypto, config->network, strlen(config->network));
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
	if (!sign_record(self))
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
	for (int i = 0; i < self->n_waiting; i++)
		core_free(&self->memory, self->waiting[i].frame);
	self->n_waiting = 0;
	group_reset(self);
	kad_node_destroy(&self->kad);
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		while (self->peer[i] != NULL)
		{
			NodePeer   *peer = self->peer[i];

			self->peer[i] = peer->next;
			record_pool_release(&self->pool, peer->record);
			core_free(&self->memory, peer);
		}
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
	if (self->n_waiting > 0)
		send_waiting(self);
	if (clock.tick_ms >= self->links_ms)
		look_at_links(self);
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
		renew(self);
}

/* The own record, good for a day. */
static bool
sign_record(Node *self)
{
	NodeRecordFields fields = {
		.network = self->network,
		.expires_ms = self->now.unix_ms + RECORD_LIFE_MS,
		.n_addresses = self->n_addresses
	};
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	NodeRecord *record = NULL;

	/* the clock keeps numbers rising even where the file with the last one is lost */
	fields.seq = self->seq + 1;
	if ((int64_t) fields.seq < self->now.unix_ms)
		fields.seq = (uint64_t) self->now.unix_ms;
	memcpy(fields.curve_key, self->config.curve_public, CORE_KEY_BYTES);
	memcpy(fields.addresses, self->addresses, sizeof fields.addresses);
	self->sign_ms = self->now.unix_ms + 60000;	/* should it fail */
	if (node_record_sign(&self->crypto, self->config.secret, &fields, bytes, &len) != DECODE_OK ||
		record_pool_take(&self->pool, bytes, len, self->now.unix_ms, &record) != DECODE_OK)
		return false;
	record_pool_release(&self->pool, self->own);
	self->own = record;
	self->seq = fields.seq;
	self->sign_ms = fields.expires_ms - RECORD_RENEW_MS;
	self->config.callbacks.signed_anew(self->config.callbacks.context, self->seq);
	return true;
}

/* Sign the record anew, and show it to all who are connected. */
static void
renew(Node *self)
{
	if (!sign_record(self))
	{
		node_say(self, NODE_WARNING, "could not sign the node's record anew; it is tried again in a minute");
		return;
	}
	kad_node_renew(self->kad, self->own);
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && node_connected(peer))
				node_greet(self, peer, NULL, 0);
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
	renew(self);
	if (!gone)
		return;

	/*
	 * Links that began at an address which is gone look alive and carry nothing:
	 * all are made anew, and begin with a greeting that has the new record.
	 */
	look_at_links(self);
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
		self->group[i]->mesh.degree = mesh_degree;
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
			on_kad_event(self, KAD_EVENT_CLONE, record);
		return;
	}
	(void) kad_node_meet(self->kad, clock, record);
}

NodeStatus
node_lookup(Node *self, CoreClock clock, const KadId *target, bool for_providers, uint64_t tag)
{
	self->now = clock;
	return node_start_lookup(self, target, for_providers, tag) ? NODE_OK : NODE_BUSY;
}

bool
node_start_lookup(Node *self, const KadId *target, bool for_providers, uint64_t tag)
{
	for (int i = 0; i < KAD_LOOKUPS; i++)
		if (!self->lookup[i].active)
		{
			self->lookup[i] = (NodeLookup) {tag, self->now.tick_ms, true, *target};
			if (kad_node_lookup(self->kad, self->now, target, for_providers, (uint64_t) i))
				return true;
			self->lookup[i].active = false;
			return false;
		}
	return false;
}

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

bool
node_peer_info(const Node *self, const uint8_t curve[CORE_KEY_BYTES], NodePeerInfo *out)
{
	const NodePeer *peer = node_peer((Node *) self, curve, false);

	memset(out, 0, sizeof *out);
	if (peer == NULL || !peer->greeted)
		return false;
	out->id = peer->record->id;
	out->n_addresses = peer->record->n_addresses;
	memcpy(out->addresses, peer->record->addresses, sizeof out->addresses);
	for (int i = 0; i < self->n_groups; i++)
		out->collections += mesh_inside(&self->group[i]->mesh, &peer->record->id);
	return true;
}

/* ---- peers ---- */

static unsigned
peer_slot(const uint8_t *curve)
{
	/* keys are random, and a peer that grinds them lengthens only a bounded list */
	return (curve[0] ^ curve[7]) & (NODE_PEER_SLOTS - 1);
}

static void
drop_peer(Node *self, NodePeer *peer)
{
	NodePeer  **at = &self->peer[peer_slot(peer->curve)];

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	if (peer->record != NULL)
		group_gone(self, &peer->record->id);
	record_pool_release(&self->pool, peer->record);
	core_free(&self->memory, peer);
	self->n_peers--;
}

/* Make room: whom we have not heard of for longest goes, strangers first. */
static bool
drop_oldest_peer(Node *self)
{
	NodePeer   *oldest = NULL;

	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
		{
			if (peer == self->from || node_connected(peer))
				continue;
			if (oldest == NULL || peer->greeted < oldest->greeted ||
				(peer->greeted == oldest->greeted && peer->heard_ms < oldest->heard_ms))
				oldest = peer;
		}
	if (oldest == NULL)
		return false;
	drop_peer(self, oldest);
	return true;
}

NodePeer *
node_peer(Node *self, const uint8_t curve[CORE_KEY_BYTES], bool create)
{
	unsigned	slot = peer_slot(curve);
	NodePeer   *peer;

	for (peer = self->peer[slot]; peer != NULL; peer = peer->next)
		if (memcmp(peer->curve, curve, CORE_KEY_BYTES) == 0)
			return peer;
	if (!create || (self->n_peers >= NODE_PEERS && !drop_oldest_peer(self)))
		return NULL;
	peer = core_alloc(&self->memory, sizeof *peer);
	if (peer == NULL)
		return NULL;
	memset(peer, 0, sizeof *peer);
	memcpy(peer->curve, curve, CORE_KEY_BYTES);
	peer->heard_ms = self->now.tick_ms;
	peer->complained_ms = INT64_MIN / 2;
	peer->next = self->peer[slot];
	self->peer[slot] = peer;
	self->n_peers++;
	return peer;
}

/* ---- sending ---- */

static LinkSent
send_frame(Node *self, NodePeer *peer, const NetAddress *addresses, int n, const WireMessage *message, size_t *len)
{

	/* who has connected to us but not we to it is sent to over that link */
	if (n == 0 && peer->record != NULL && (peer->up || !peer->inbound))
	{
		addresses = peer->record->addresses;
		n = peer->record->n_addresses;
	}
	if (!wire_encode(message, self->frame, sizeof self->frame, len))
		return LINK_ERROR;
	return self->links.send(self->links.self, self->now.tick_ms, peer->curve, addresses, n, self->frame, *len);
}

/* What it waits for is kept with the peer: strangers decide how many are greeted that are not there. */
void
node_greet(Node *self, NodePeer *peer, const NetAddress *addresses, int n)
{
	WireMessage hello = {
		.version = WIRE_VERSION_MIN,
		.type = WIRE_HELLO,
		.min_version = WIRE_VERSION_MIN,
		.max_version = WIRE_VERSION_MAX,
		.network = self->network,
		.n_records = 1,
		.record = {self->own}
	};

	size_t		len;

	hello.request = node_request(self);
	peer->hello_ms = self->now.tick_ms;
	if (send_frame(self, peer, addresses, n, &hello, &len) != LINK_SENT)
	{
		/* no answer to wait for */
		peer->hello_ms = 0;
		return;
	}
	peer->hello_request[1] = peer->hello_request[0];
	peer->hello_request[0] = hello.request;
	peer->hello_until_ms = self->now.tick_ms + HELLO_TIMEOUT_MS;
}

/*
 * Before a message to this peer: must it be greeted?  Links make room for others
 * at any time, and whose link goes forgets us, so that what comes first over the
 * next one is HELLO.
 */
static bool
greeting_due(Node *self, NodePeer *peer)
{
	LinkInfo info;

	if (peer->welcomed && !self->links.find(self->links.self, peer->welcome_via, &info))
	{
		peer->welcomed = false;
		peer->hello_ms = 0;
	}
	return !peer->welcomed && (peer->hello_ms == 0 || self->now.tick_ms - peer->hello_ms >= HELLO_AGAIN_MS);
}

/* All links are in use: the frame waits for one that will soon have been answered. */
static void
wait_for_room(Node *self, const uint8_t *curve, const NetAddress *addresses, int n, size_t len)
{
	NodeWaiting *waiting = &self->waiting[self->n_waiting];

	if (self->n_waiting == NODE_WAITING || n < 1 || n > NODE_RECORD_ADDRESSES)
		return;
	waiting->frame = core_alloc(&self->memory, len);
	if (waiting->frame == NULL)
		return;
	memcpy(waiting->frame, self->frame, len);
	memcpy(waiting->curve, curve, CORE_KEY_BYTES);
	memcpy(waiting->addresses, addresses, (size_t) n * sizeof *addresses);
	waiting->len = len;
	waiting->n_addresses = n;
	waiting->until_ms = self->now.tick_ms + WAITING_MS;
	self->n_waiting++;
}

/* Send what has waited, the oldest first; the core itself tells when it is too late. */
static void
send_waiting(Node *self)
{
	int			done = 0;

	for (; done < self->n_waiting; done++)
	{
		NodeWaiting *waiting = &self->waiting[done];
		NodePeer   *peer = waiting->until_ms <= self->now.tick_ms ? NULL : node_peer(self, waiting->curve, true);

		if (peer != NULL)
		{
			if (greeting_due(self, peer))
				node_greet(self, peer, waiting->addresses, waiting->n_addresses);
			if (self->links.send(self->links.self, self->now.tick_ms, peer->curve, waiting->addresses,
							   waiting->n_addresses, waiting->frame, waiting->len) == LINK_NO_ROOM)
				break;
		}
		core_free(&self->memory, waiting->frame);
	}
	self->n_waiting -= done;
	memmove(self->waiting, self->waiting + done, sizeof self->waiting[0] * (size_t) self->n_waiting);
}

void
node_send_to(Node *self, NodePeer *peer, const NetAddress *addresses, int n, const WireMessage *message)
{
	size_t		len;

	if (greeting_due(self, peer))
		node_greet(self, peer, addresses, n);
	if (send_frame(self, peer, addresses, n, message, &len) == LINK_NO_ROOM)
		wait_for_room(self, peer->curve, addresses, n, len);
}

bool
node_send(Node *self, NodePeer *peer, const WireMessage *message)
{
	size_t		len;

	if (greeting_due(self, peer))
		node_greet(self, peer, NULL, 0);
	return send_frame(self, peer, NULL, 0, message, &len) == LINK_SENT;
}

void
node_answer(Node *self, const WireMessage *message)
{
	size_t		len;

	if (self->handling && wire_encode(message, self->frame, sizeof self->frame, &len))
		(void) self->links.answer(self->links.self, self->via, self->frame, len);
}

void
node_answer_error(Node *self, uint64_t request, const KadId *collection, WireCode code, const char *text)
{
	WireMessage answer = {
		.version = WIRE_VERSION_MIN,
		.type = WIRE_ERROR,
		.response = true,
		.request = request,
		.code = (uint16_t) code,
		.text = text,
		.text_len = text == NULL ? 0 : strlen(text)
	};

	if (collection != NULL)
		answer.collection = *collection;
	if (request != 0)
		node_answer(self, &answer);
}

uint64_t
node_request(Node *self)
{
	return NODE_OWN_REQUEST | (self->next_call++ & (NODE_OWN_REQUEST - 1));
}

uint64_t
node_call(Node *self, CallPurpose purpose, const uint8_t curve[CORE_KEY_BYTES], const KadId *collection,
		  int64_t timeout_ms)
{
	int			about_statements = 0;
	int			about_these = 0;

	for (int i = 0; i < NODE_CALLS && purpose == CALL_GRANTS; i++)
		if (self->call[i].purpose == CALL_GRANTS)
		{
			about_statements++;
			about_these += kad_id_equal(&self->call[i].collection, collection);
		}
	if (about_statements >= GRANTS_CALLS || about_these >= GRANTS_CALLS_EACH)
		return 0;
	for (int i = 0; i < NODE_CALLS; i++)
		if (self->call[i].purpose == CALL_NONE)
		{
			NodeCall   *call = &self->call[i];

			memset(call, 0, sizeof *call);
			call->purpose = purpose;
			call->request = node_request(self);
			call->until_ms = self->now.tick_ms + timeout_ms;
			memcpy(call->curve, curve, CORE_KEY_BYTES);
			if (collection != NULL)
				call->collection = *collection;
			return call->request;
		}
	return 0;
}

/* ---- the log ---- */

void
node_say(Node *self, NodeLevel level, const char *format,...)
{
	char		text[NODE_TEXT];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	self->config.callbacks.log(self->config.callbacks.context, level, text);
}

const char *
node_short_id(const KadId *id, char out[13])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 0; i < 6; i++)
	{
		out[2 * i] = digits[id->b[i] >> 4];
		out[2 * i + 1] = digits[id->b[i] & 15];
	}
	out[12] = '\0';
	return out;
}

void
node_refuse(Node *self, const uint8_t *curve, const char *reason)
{
	NodePeer   *peer = node_peer(self, curve, false);
	uint8_t		hash[CORE_HASH_BYTES];
	uint8_t		text[CORE_KEY_BYTES + 128];
	size_t		len = strlen(reason);
	NodeRefusal *free_slot = NULL;
	NodeRefusal *oldest = &self->refusal[0];
	uint64_t	key;
	char		name[13];
	char		who[80];

	self->refused++;
	if (len > 128)
		len = 128;
	memcpy(text, curve, CORE_KEY_BYTES);
	memcpy(text + CORE_KEY_BYTES, reason, len);
	self->crypto.sha256(self->crypto.context, text, CORE_KEY_BYTES + len, hash);
	key = bytes_load(hash, 8) | 1;
	for (int i = 0; i < NODE_REFUSALS; i++)
	{
		NodeRefusal *r = &self->refusal[i];

		if (r->key == key)
		{
			r->times++;
			if (self->now.tick_ms - r->logged_ms < REFUSAL_QUIET_MS)
				return;
			free_slot = r;
			break;
		}
		if (r->key == 0 && free_slot == NULL)
			free_slot = r;
		if (r->logged_ms < oldest->logged_ms)
			oldest = r;
	}
	if (free_slot == NULL)
		free_slot = oldest;
	if (self->now.tick_ms - self->lines_ms >= 60000)
	{
		self->lines_ms = self->now.tick_ms;
		self->lines = 0;
	}
	if (self->lines++ > REFUSAL_LINES)
		return;
	if (self->lines > REFUSAL_LINES)
	{
		node_say(self, NODE_LOG, "more refusals within this minute are not logged");
		return;
	}
	if (peer != NULL && peer->greeted)
		snprintf(who, sizeof who, "node %s", node_short_id(&peer->record->id, name));
	else
	{
		KadId		as_id;

		memcpy(as_id.b, curve, CORE_KEY_BYTES);
		snprintf(who, sizeof who, "a peer with CURVE key %s", node_short_id(&as_id, name));
	}
	if (free_slot->key == key && free_slot->times > 1)
		node_say(self, NODE_LOG, "refused %s: %s (%u times in an hour)", who, reason, free_slot->times);
	else
		node_say(self, NODE_LOG, "refused %s: %s", who, reason);
	*free_slot = (NodeRefusal) {key, self->now.tick_ms, 0};
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

/* Is this the answer to a HELLO of ours? */
static bool
greeting_awaited(const Node *self, const NodePeer *peer, uint64_t request)
{
	return request != 0 && self->now.tick_ms < peer->hello_until_ms &&
		(request == peer->hello_request[0] || request == peer->hello_request[1]);
}

/* Is an answer of this peer to this request awaited, of ours or of the core? */
static bool
awaited(const Node *self, const NodePeer *peer, uint64_t request)
{
	if (greeting_awaited(self, peer, request))
		return true;
	for (int i = 0; i < NODE_CALLS; i++)
		if (self->call[i].purpose != CALL_NONE && self->call[i].request == request &&
			memcmp(self->call[i].curve, peer->curve, CORE_KEY_BYTES) == 0)
			return true;
	return peer->greeted && kad_node_awaits(self->kad, &peer->record->id, request);
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

/*
 * Two processes may use one key, and each believe that it is alone.  Who hears
 * both tells the one of the other: whoever greets with a record older than the
 * one that is known, and whoever has greeted over another link before with other
 * addresses, is sent the newest record of its key.  Its core sees what that means.
 */
static void
tell_of_namesake(Node *self, NodePeer *peer, NodeRecord *greeted)
{
	NodeRecord *known = peer->record;
	LinkVia to;
	WireMessage m = {.version = WIRE_VERSION_MAX, .type = WIRE_PING, .n_records = 1};
	size_t		len;

	if (known != NULL && !kad_id_equal(&known->id, &greeted->id))
		return;
	if (known != NULL && greeted->seq < known->seq)
	{
		m.record[0] = known;
		to = self->via;
	}
	else if (peer->hello_via.link != 0 && peer->hello_via.link != self->via.link && greeted->seq > peer->hello_seq &&
			 !net_address_equal(&greeted->addresses[0], &peer->hello_address))
	{
		m.record[0] = greeted;
		to = peer->hello_via;
	}
	else
		return;
	/* nobody waits for the answer */
	m.request = node_request(self);
	if (wire_encode(&m, self->frame, sizeof self->frame, &len))
		(void) self->links.answer(self->links.self, to, self->frame, len);
}

/* HELLO, or its answer.  A peer that it holds for is heard from now on. */
static void
handle_hello(Node *self, NodePeer *peer, const WireMessage *m)
{
	NodeRecord *record = m->n_records == 1 ? m->record[0] : NULL;
	bool		first = !peer->greeted;
	bool		moved = false;
	WireMessage answer = {
		.version = WIRE_VERSION_MIN,
		.type = WIRE_HELLO,
		.response = true,
		.request = m->request,
		.min_version = WIRE_VERSION_MIN,
		.max_version = WIRE_VERSION_MAX,
		.network = self->network,
		.n_records = 1,
		.record = {self->own}
	};
	WireCode	code = WIRE_CODE_OK;
	const char *reason = NULL;

	if (record == NULL)
	{
		code = WIRE_CODE_MALFORMED;
		reason = "its greeting lacks a record";
	}
	else if (m->network != self->network)
	{
		code = WIRE_CODE_NETWORK;
		reason = "it is of another network";
	}
	else if (m->min_version > WIRE_VERSION_MAX || m->max_version < WIRE_VERSION_MIN)
	{
		code = WIRE_CODE_VERSION;
		reason = "it speaks no version of the protocol that this node speaks";
	}
	else if (memcmp(record->curve_key, peer->curve, CORE_KEY_BYTES) != 0)
	{
		code = WIRE_CODE_FORGED;
		reason = "it presents the record of another node";
	}
	if (reason != NULL)
	{
		node_refuse(self, peer->curve, reason);
		peer->greeted = false;
		if (!m->response)
			node_answer_error(self, m->request, NULL, code, reason);
		else
			self->links.drop(self->links.self, peer->curve, false);
		return;
	}
	if (kad_id_equal(&record->id, &self->id))
	{
		if (record != self->own && record->seq >= self->own->seq)
			on_kad_event(self, KAD_EVENT_CLONE, record);
		if (!m->response)
			node_answer(self, &answer);
		return;
	}
	if (!m->response)
	{
		node_answer(self, &answer);
		tell_of_namesake(self, peer, record);
		peer->hello_via = self->via;
		peer->hello_seq = record->seq;
		peer->hello_address = record->addresses[0];
	}
	moved = node_take_record(self, peer, record, true);
	peer->greeted = true;
	peer->told = false;
	if (m->response)
	{
		peer->welcomed = peer->up = true;
		peer->welcome_via = self->via;
		peer->welcomed_ms = self->now.tick_ms;
	}
	if (first || m->response)
		group_greeted(self, peer);
	if (moved)
		(void) kad_node_meet(self->kad, self->now, record);
}

static void
handle_answer(Node *self, NodePeer *peer, const WireMessage *m)
{
	if (greeting_awaited(self, peer, m->request))
	{
		peer->hello_request[0] = peer->hello_request[1] = 0;
		if (m->type == WIRE_HELLO)
			handle_hello(self, peer, m);
		else if (m->type == WIRE_ERROR && m->code != WIRE_CODE_BUSY)
		{
			char		reason[128];

			snprintf(reason, sizeof reason, "it refuses us, with code %u: %.*s", m->code,
					 (int) (m->text_len > 80 ? 80 : m->text_len), m->text == NULL ? "" : m->text);
			node_refuse(self, peer->curve, reason);
			group_unreachable(self, peer->curve);
		}
		return;
	}
	for (int i = 0; i < NODE_CALLS; i++)
		if (self->call[i].purpose != CALL_NONE && self->call[i].request == m->request &&
			memcmp(self->call[i].curve, peer->curve, CORE_KEY_BYTES) == 0)
		{
			NodeCall	call = self->call[i];

			self->call[i].purpose = CALL_NONE;
			group_answered(self, peer, &call, m);
			return;
		}
}

/* As the table counts them. */
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

	if (m->response && (m->request & NODE_OWN_REQUEST) != 0)
	{
		handle_answer(self, peer, m);
		return;
	}
	if (m->type == WIRE_HELLO)
	{
		if (!m->response)
			handle_hello(self, peer, m);
		return;
	}
	if (!peer->greeted)
		return;
	if (m->type == WIRE_ERROR && m->code == WIRE_CODE_FORBIDDEN)
	{
		/* it has begun anew, and does not know us */
		peer->welcomed = false;
		peer->hello_ms = 0;
		return;
	}
	/* what the core sends may bring the peer a newer record */
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
		/* the core sends, and what it sends may take the peer's record or place */
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
	group_unreachable(self, curve);
}

/*
 * Which links there are, once a second.  One that was made anew is greeted
 * anew: who is at its other end may have begun anew, too.
 */
static void
look_at_links(Node *self)
{
	self->links_ms = self->now.tick_ms + LINKS_MS;
	self->n_links = self->links.list(self->links.self, self->link, LINKS_MAX);
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			peer->up = peer->inbound = false;
	for (int i = 0; i < self->n_links; i++)
	{
		const LinkInfo *link = &self->link[i];
		NodePeer   *peer = node_peer(self, link->curve_key, false);

		if (peer == NULL || !link->up)
			continue;
		if (!link->outbound)
		{
			peer->inbound = true;
			continue;
		}
		peer->up = true;
		if (peer->up_since_ms != link->since_ms)
		{
			peer->up_since_ms = link->since_ms;
			/* a welcome, or a greeting on its way, may have gone with the link before */
			if (peer->welcomed_ms < link->since_ms)
			{
				peer->welcomed = false;
				node_greet(self, peer, NULL, 0);
			}
		}
	}
	for (int i = 0; i < NODE_PEER_SLOTS; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->greeted && !node_connected(peer))
			{
				/* it may come back; but what it sends then begins with HELLO, as does what we send */
				peer->greeted = peer->welcomed = false;
				peer->hello_ms = 0;
				group_gone(self, &peer->record->id);
			}
}
