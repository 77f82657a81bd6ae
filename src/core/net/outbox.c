/*
 * outbox.c
 *	  What a node sends: requests, answers, greetings, and frames that wait for a link.
 *
 * A request goes over a link that we made, to an address of the receiver's
 * record: that it is answered shows that the address is good.  An answer goes
 * back over the link by which its request came.
 */
#include "core/net/node_state.h"

#include <string.h>

#include "core/assert.h"

#define HELLO_AGAIN_MS 2000
#define HELLO_TIMEOUT_MS 5000
#define WAITING_MS 2000			/* for a link, less than a request may take */

_Static_assert(GRANTS_CALLS_EACH <= GRANTS_CALLS && GRANTS_CALLS < NODE_CALLS, "joins have calls that statements cannot take");

/* Does each have a frame, and addresses to go to, the one that waits longest first? */
static bool
waiting_holds(const Node *self)
{
	for (int i = 0; i < self->n_waiting; i++)
	{
		const NodeWaiting *waiting = &self->waiting[i];

		if (waiting->frame == NULL || waiting->len < WIRE_HEAD || waiting->len > WIRE_FRAME_MAX ||
			waiting->n_addresses < 1 || waiting->n_addresses > NODE_RECORD_ADDRESSES ||
			(i > 0 && waiting->until_ms < self->waiting[i - 1].until_ms))
			return false;
	}
	return self->n_waiting >= 0 && self->n_waiting <= NODE_WAITING;
}

uint64_t
node_request(Node *self)
{
	return NODE_OWN_REQUEST | (self->next_call++ & (NODE_OWN_REQUEST - 1));
}

static LinkSent
send_frame(Node *self, NodePeer *peer, const NetAddress *addresses, int n, const WireMessage *message, size_t *len)
{
	LinkSent	sent;

	/* where the peer has a link to us and we have none to it, the frame goes over the peer's */
	if (n == 0 && peer->record != NULL && (peer->up || !peer->inbound))
	{
		addresses = peer->record->addresses;
		n = peer->record->n_addresses;
	}
	if (!wire_encode(message, self->frame, sizeof self->frame, len))
		return LINK_ERROR;
	sent = self->links.send(self->links.self, self->now.tick_ms, peer->curve, addresses, n, self->frame, *len);
	/* if the peer's link has gone since the last look at the links, over one of ours */
	if (sent == LINK_ERROR && n == 0 && peer->record != NULL)
	{
		peer->inbound = false;
		sent = self->links.send(self->links.self, self->now.tick_ms, peer->curve, peer->record->addresses,
								peer->record->n_addresses, self->frame, *len);
	}
	return sent;
}

/* The ids of greetings are kept with the peer, not in call[]: strangers decide how many nodes we greet that are not there. */
void
node_greet(Node *self, NodePeer *peer, const NetAddress *addresses, int n)
{
	WireMessage hello = {
		.version = WIRE_VERSION_MIN,
		.type = WIRE_HELLO,
		.hello = {WIRE_VERSION_MIN, WIRE_VERSION_MAX, self->network, self->own}
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
 * Links make room for others at any time, and whose link goes forgets us, so that what
 * comes first over the next one is HELLO.
 */
bool
node_greeting_due(Node *self, NodePeer *peer)
{
	LinkInfo info;

	if (peer->welcomed && !self->links.find(self->links.self, peer->welcome_via, &info))
	{
		peer->welcomed = false;
		peer->hello_ms = 0;
	}
	return !peer->welcomed && (peer->hello_ms == 0 || self->now.tick_ms - peer->hello_ms >= HELLO_AGAIN_MS);
}

/* All links are in use: the frame waits until one has had its answer and can be given up. */
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
	CORE_ASSERT(waiting_holds(self));
}

/*
 * Send the frames that have waited, the oldest first.  Those that have waited too
 * long are dropped; their requests fail by themselves.
 */
static void
outbox_send_waiting(Node *self)
{
	int			done = 0;

	for (; done < self->n_waiting; done++)
	{
		NodeWaiting *waiting = &self->waiting[done];
		NodePeer   *peer = waiting->until_ms <= self->now.tick_ms ? NULL : node_peer(self, waiting->curve, true);

		if (peer != NULL)
		{
			if (node_greeting_due(self, peer))
				node_greet(self, peer, waiting->addresses, waiting->n_addresses);
			if (self->links.send(self->links.self, self->now.tick_ms, peer->curve, waiting->addresses,
							   waiting->n_addresses, waiting->frame, waiting->len) == LINK_NO_ROOM)
				break;
		}
		core_free(&self->memory, waiting->frame);
	}
	CORE_ASSERT(done <= self->n_waiting);
	self->n_waiting -= done;
	memmove(self->waiting, self->waiting + done, sizeof self->waiting[0] * (size_t) self->n_waiting);
	CORE_ASSERT(waiting_holds(self));
}

void
outbox_tick(Node *self)
{
	if (self->n_waiting > 0)
		outbox_send_waiting(self);
}

void
outbox_reset(Node *self)
{
	for (int i = 0; i < self->n_waiting; i++)
		core_free(&self->memory, self->waiting[i].frame);
	self->n_waiting = 0;
}

void
node_send_to(Node *self, NodePeer *peer, const NetAddress *addresses, int n, const WireMessage *message)
{
	size_t		len;

	if (node_greeting_due(self, peer))
		node_greet(self, peer, addresses, n);
	if (send_frame(self, peer, addresses, n, message, &len) == LINK_NO_ROOM)
		wait_for_room(self, peer->curve, addresses, n, len);
}

bool
node_send(Node *self, NodePeer *peer, const WireMessage *message)
{
	size_t		len;

	if (node_greeting_due(self, peer))
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
		.error = {(uint16_t) code, text, text == NULL ? 0 : strlen(text)}
	};

	if (collection != NULL)
		answer.collection = *collection;
	if (request != 0)
		node_answer(self, &answer);
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
	CORE_ASSERT(about_statements <= GRANTS_CALLS && about_these <= GRANTS_CALLS_EACH);
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
