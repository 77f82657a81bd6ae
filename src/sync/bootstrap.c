/*
 * bootstrap.c
 *	  Asking for nodes, answering those who ask, beacons on the LAN.
 */
#include "sync/bootstrap.h"

#include <stdlib.h>
#include <string.h>

#include "core/beacon.h"

#define ASK_FIRST_MS 1000		/* while nobody is known: 1, 2, 4 ... s */
#define ASK_LAST_MS 60000
#define ASK_KNOWN_MS 300000		/* and while somebody is: two halves of a network may meet there */
#define ANNOUNCE_MS 30000
#define READ_A_SECOND 200		/* datagrams looked at: each costs two signatures */
#define ANSWER_A_SECOND 50
#define SLICE 32
#define NONCES 64

struct Bootstrap
{
	Node	   *node;
	BeaconSocket *socket;
	bool		lan;
	int			n;
	NetAddress	address[BOOTSTRAP_ADDRESSES];
	int			attempts;
	int64_t		ask_ms;			/* ticks at which each is due */
	int64_t		announce_ms;
	int64_t		second_ms;		/* of the second being counted */
	int			reads;
	int			answers;
	int			n_nonces;		/* of our latest asks, in a ring */
	uint64_t	nonce[NONCES];
};

Bootstrap *
bootstrap_new(Node *node, BeaconSocket *socket, bool lan, CoreClock clock)
{
	Bootstrap  *self = calloc(1, sizeof *self);

	if (self == NULL)
		return NULL;
	self->node = node;
	self->socket = socket;
	self->lan = lan;
	self->ask_ms = clock.tick_ms;
	self->announce_ms = lan ? clock.tick_ms : INT64_MAX;
	self->second_ms = clock.tick_ms;
	return self;
}

void
bootstrap_free(Bootstrap **self)
{
	free(*self);
	*self = NULL;
}

void
bootstrap_list(Bootstrap *self, CoreClock clock, const NetAddress *addresses, int n)
{
	self->n = n < BOOTSTRAP_ADDRESSES ? n : BOOTSTRAP_ADDRESSES;
	memcpy(self->address, addresses, (size_t) self->n * sizeof *addresses);
	self->attempts = 0;
	self->ask_ms = clock.tick_ms;
}

int64_t
bootstrap_next_tick(const Bootstrap *self)
{
	int64_t		ask = self->n > 0 ? self->ask_ms : INT64_MAX;

	return ask < self->announce_ms ? ask : self->announce_ms;
}

int
bootstrap_attempts(const Bootstrap *self)
{
	return self->attempts;
}

static size_t
sign(Bootstrap *self, CoreClock clock, BeaconKind kind, uint64_t nonce, uint8_t *out)
{
	return beacon_sign(node_crypto(self->node), node_secret(self->node), kind, nonce, node_record(self->node),
					   clock.unix_ms, out);
}

static void
ask(Bootstrap *self, CoreClock clock)
{
	bool		alone = node_table(self->node)->n == 0;
	int64_t		wait = ASK_KNOWN_MS;

	for (int i = 0; i < self->n; i++)
	{
		uint8_t		bytes[BEACON_MAX];
		uint64_t	nonce = node_random(self->node) | 1;
		size_t		len = sign(self, clock, BEACON_ASK, nonce, bytes);

		self->nonce[self->n_nonces++ % NONCES] = nonce;
		if (len > 0)
			(void) beacon_socket_send(self->socket, &self->address[i], bytes, len);
	}
	if (alone)
	{
		wait = ASK_FIRST_MS;
		for (int i = 0; i < self->attempts && wait < ASK_LAST_MS; i++)
			wait *= 2;
		if (wait > ASK_LAST_MS)
			wait = ASK_LAST_MS;
		self->attempts++;
	}
	else
		self->attempts = 0;
	/* not all at the same time after a power cut */
	self->ask_ms = clock.tick_ms + wait + (int64_t) (node_random(self->node) % (uint64_t) (wait / 4));
}

static bool
ours(const Bootstrap *self, uint64_t nonce)
{
	for (int i = 0; i < NONCES && nonce != 0; i++)
		if (self->nonce[i] == nonce)
			return true;
	return false;
}

static void
take(Bootstrap *self, CoreClock clock, const NetAddress *from, const uint8_t *bytes, size_t len)
{
	Beacon		beacon;
	uint8_t		answer[BEACON_MAX];
	size_t		answer_len;

	if (beacon_decode(node_pool(self->node), bytes, len, clock.unix_ms, &beacon) != DECODE_OK)
	{
		node_count_refused(self->node);
		return;
	}
	if (beacon.kind == BEACON_ASK)
	{
		if (self->answers++ < ANSWER_A_SECOND &&
			(answer_len = sign(self, clock, BEACON_ANNOUNCE, beacon.nonce, answer)) > 0)
			(void) beacon_socket_send(self->socket, from, answer, answer_len);
		node_meet_record(self->node, clock, beacon.record);
	}
	else if (ours(self, beacon.nonce) || (self->lan && beacon.nonce == 0))
		node_meet_record(self->node, clock, beacon.record);
	record_pool_release(node_pool(self->node), beacon.record);
}

void
bootstrap_run(Bootstrap *self, CoreClock clock)
{
	uint8_t		bytes[BEACON_MAX + 1];
	NetAddress	from;
	size_t		len;

	if (clock.tick_ms - self->second_ms >= 1000)
	{
		self->second_ms = clock.tick_ms;
		self->reads = self->answers = 0;
	}
	for (int i = 0; i < SLICE && beacon_socket_receive(self->socket, &from, bytes, sizeof bytes, &len); i++)
		if (self->reads++ < READ_A_SECOND)
			take(self, clock, &from, bytes, len);
	if (self->n > 0 && clock.tick_ms >= self->ask_ms)
		ask(self, clock);
	if (clock.tick_ms >= self->announce_ms)
	{
		len = sign(self, clock, BEACON_ANNOUNCE, 0, bytes);
		if (len > 0)
			(void) beacon_socket_announce(self->socket, bytes, len);
		self->announce_ms = clock.tick_ms + ANNOUNCE_MS - (int64_t) (node_random(self->node) % (ANNOUNCE_MS / 4));
	}
}
