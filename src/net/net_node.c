/*
 * net_node.c
 *	  A node over the transport: the links, the memory and the clock it is handed.
 */
#include "net/net_node.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/crypto_sodium.h"

#define POLL_SLICE 256			/* frames handled before the loop gets its turn */

_Static_assert(LINKS_MAX == TRANSPORT_LINKS_MAX + TRANSPORT_INBOUND_MAX, "the node has room for the links of the transport");

/* ---- memory and time ---- */

/* Before each block stands its size, so that what is freed is counted. */
static void *
counted_alloc(void *context, size_t size)
{
	NetNode    *self = context;
	size_t	   *p;

	if (size > NET_NODE_MEMORY || self->allocated > NET_NODE_MEMORY - size)
		return NULL;
	p = malloc(size + 16);
	if (p == NULL)
		return NULL;
	*p = size;
	self->allocated += size;
	return (char *) p + 16;
}

static void
counted_free(void *context, void *block)
{
	NetNode    *self = context;
	size_t	   *p = (size_t *) ((char *) block - 16);

	self->allocated -= *p;
	free(p);
}

CoreClock
node_clock(void)
{
	struct timespec tick;
	struct timespec wall;

	clock_gettime(CLOCK_MONOTONIC, &tick);
	clock_gettime(CLOCK_REALTIME, &wall);
	return (CoreClock) {
		.tick_ms = (int64_t) tick.tv_sec * 1000 + tick.tv_nsec / 1000000,
		.unix_ms = (int64_t) wall.tv_sec * 1000 + wall.tv_nsec / 1000000
	};
}

/* ---- links ---- */

static LinkSent
sent_of(TransportSent sent)
{
	switch (sent)
	{
		case TRANSPORT_SENT:
			return LINK_SENT;
		case TRANSPORT_FULL:
			return LINK_FULL;
		case TRANSPORT_NO_ROOM:
			return LINK_NO_ROOM;
		case TRANSPORT_ERROR:
			break;
	}
	return LINK_ERROR;
}

static LinkInfo
info_of(const TransportLinkInfo *link)
{
	LinkInfo	info = {
		.address = link->address,
		.outbound = link->outbound,
		.up = link->state == TRANSPORT_UP,
		.since_ms = link->since_ms
	};

	memcpy(info.curve_key, link->curve_key, CORE_KEY_BYTES);
	return info;
}

static LinkSent
links_send(void *context, int64_t tick_ms, const uint8_t curve_key[CORE_KEY_BYTES], const NetAddress *addresses,
		   int n, const uint8_t *frame, size_t len)
{
	NetNode    *self = context;

	return sent_of(transport_send(self->transport, tick_ms, curve_key, addresses, n, frame, len));
}

static LinkSent
links_answer(void *context, LinkVia via, const uint8_t *frame, size_t len)
{
	NetNode    *self = context;

	return sent_of(transport_answer(self->transport, (TransportVia) {via.link}, frame, len));
}

static void
links_drop(void *context, const uint8_t curve_key[CORE_KEY_BYTES], bool only_outbound)
{
	NetNode    *self = context;

	if (only_outbound)
		transport_drop_outbound(self->transport, curve_key);
	else
		transport_drop(self->transport, curve_key);
}

/* Where there is no room for another pin, the link makes room for others like any. */
static void
links_pin(void *context, const uint8_t curve_key[CORE_KEY_BYTES], bool pinned)
{
	NetNode    *self = context;

	(void) transport_pin(self->transport, curve_key, pinned);
}

static int
links_list(void *context, LinkInfo *out, int room)
{
	NetNode    *self = context;
	TransportLinkInfo link[LINKS_MAX];
	int			n = transport_links(self->transport, link, LINKS_MAX);

	if (n > LINKS_MAX)
		n = LINKS_MAX;
	if (n > room)
		n = room;
	for (int i = 0; i < n; i++)
		out[i] = info_of(&link[i]);
	return n;
}

static bool
links_find(void *context, LinkVia via, LinkInfo *out)
{
	NetNode    *self = context;
	TransportLinkInfo link;

	if (!transport_link(self->transport, (TransportVia) {via.link}, &link))
		return false;
	*out = info_of(&link);
	return true;
}

/* ---- what the transport tells ---- */

static void
on_frame(void *context, const uint8_t curve_key[CORE_KEY_BYTES], TransportVia via, const uint8_t *frame, size_t len)
{
	NetNode    *self = context;

	node_frame(self->node, self->clock, curve_key, (LinkVia) {via.link}, frame, len);
}

static void
on_unreachable(void *context, const uint8_t curve_key[CORE_KEY_BYTES])
{
	NetNode    *self = context;

	if (self->node != NULL)
		node_unreachable(self->node, self->clock, curve_key);
}

/* The transport has seen to it that this is no flood. */
static void
on_refused(void *context, const NetAddress *from, const char *reason)
{
	NetNode    *self = context;
	char		address[ADDRESS_TEXT];
	char		line[NODE_TEXT];
	char	   *port = strrchr(address_text(from, address), ':');

	if (port != NULL)
		*port = '\0';
	snprintf(line, sizeof line, "refused a connection from %s: %s", address, reason);
	self->callbacks.log(self->callbacks.context, NODE_LOG, line);
}

/* ---- life ---- */

NetNode *
net_node_new(const NetNodeConfig *config, CoreClock clock, char *error, size_t room)
{
	NetNode    *self = calloc(1, sizeof *self);
	NodeConfig	node = config->node;
	TransportConfig transport = {
		.listen = config->listen,
		.port = config->port,
		.max_links = config->max_links,
		.max_inbound = TRANSPORT_INBOUND_MAX,
		.unreachable = on_unreachable,
		.refused = on_refused,
		.context = self
	};

	if (self == NULL)
	{
		snprintf(error, room, "out of memory");
		return NULL;
	}
	self->clock = clock;
	self->callbacks = config->node.callbacks;
	self->memory = (CoreMemory) {self, counted_alloc, counted_free};
	self->random = crypto_sodium_random();
	self->crypto = crypto_sodium();
	memcpy(transport.curve_public, config->node.curve_public, CORE_KEY_BYTES);
	memcpy(transport.curve_secret, config->curve_secret, CORE_KEY_BYTES);
	self->transport = transport_new(&transport, error, room);
	sodium_memzero(&transport, sizeof transport);
	node.memory = &self->memory;
	node.random = &self->random;
	node.crypto = &self->crypto;
	node.links = (Links) {self, links_send, links_answer, links_drop, links_pin, links_list, links_find};
	if (self->transport != NULL)
		self->node = node_new(&node, clock, error, room);
	sodium_memzero(&node, sizeof node);
	if (self->node == NULL)
		net_node_destroy(&self);
	return self;
}

void
net_node_destroy(NetNode **self_p)
{
	NetNode    *self = *self_p;

	if (self == NULL)
		return;
	node_destroy(&self->node);
	transport_destroy(&self->transport);
	free(self);
	*self_p = NULL;
}

bool
net_node_run(NetNode *self, CoreClock clock)
{
	bool		more;

	self->clock = clock;
	more = transport_poll(self->transport, clock.tick_ms, POLL_SLICE, on_frame, self);
	node_tick(self->node, clock);
	return more;
}
