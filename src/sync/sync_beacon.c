/*
 * sync_beacon.c
 *	  Datagrams of the worker (core/net/beacon.h): asking the bootstrap list, answering
 *	  who asks, announcements on the local network.
 *
 * A stranger may send any of them.  Asks are answered 50 times a second for all;
 * an answer counts only when it repeats the nonce of an ask that is out.
 */
#include "sync/sync_worker.h"

#include <sodium.h>

#include "core/net/beacon.h"
#include "guc.h"

#define ASK_FIRST_MS 500
#define ASK_LAST_MS 60000		/* while nobody is known */
#define ASK_AGAIN_MS 600000		/* while few are */
#define ASK_ENOUGH KAD_K
#define LAN_FIRST_MS 1000
#define LAN_LAST_MS 60000
#define BEACONS_A_TURN 64
#define BEACONS_ANSWERED 50		/* a second */

/* Up to a quarter more or less. */
static int64_t
jittered(int64_t ms)
{
	return ms - ms / 4 + (int64_t) randombytes_uniform((uint32_t) (ms / 2 + 1));
}

void
SyncOpenBeacons(SyncWorker *self)
{
	char		error[256];
	BeaconSocketConfig config = {
		.listen = VecdbListen,
		.port = (uint16_t) self->running.port,
		.lan = VecdbLanDiscovery
	};

	SyncForgetWaitSet(self);
	beacon_socket_free(&self->beacons.socket);
	self->beacons.socket = beacon_socket_new(&config, error, sizeof(error));
	if (!self->beacons.socket)
		ereport(LOG,
				(errmsg("could not listen for UDP on \"%s\", port %d: %s", VecdbListen, self->running.port, error),
				 errdetail("The node works, but nobody can use it as a bootstrap address.")));
	else if (VecdbLanDiscovery && !beacon_socket_lan(self->beacons.socket))
		ereport(LOG, (errmsg("could not listen for announcements on the local network: no interface joins the multicast group")));
	self->due.lan = 0;
	self->due.lan_wait = LAN_FIRST_MS;
}

static void
send_beacon(SyncWorker *self, BeaconKind kind, uint64_t nonce, const NetAddress *to)
{
	uint8_t		bytes[BEACON_MAX];
	size_t		len = beacon_sign(node_crypto(self->node), node_secret(self->node), kind, nonce,
								  node_record(self->node), node_clock().unix_ms, bytes);

	if (len == 0)
		return;
	if (to)
		(void) beacon_socket_send(self->beacons.socket, to, bytes, len);
	else
		beacon_socket_announce(self->beacons.socket, bytes, len);
}

static void
take_beacon(SyncWorker *self, CoreClock clock, const uint8_t *bytes, size_t len, const NetAddress *from)
{
	Beacon		beacon;
	RecordPool *pool = node_pool(self->node);

	if (beacon_decode(pool, bytes, len, clock.unix_ms, &beacon) != DECODE_OK)
		return;
	if (beacon.kind == BEACON_ASK)
	{
		if (clock.tick_ms - self->beacons.answered >= 1000)
		{
			self->beacons.answered = clock.tick_ms;
			self->beacons.answers = 0;
		}
		if (self->beacons.answers++ < BEACONS_ANSWERED)
		{
			send_beacon(self, BEACON_ANNOUNCE, beacon.nonce, from);
			node_meet_record(self->node, clock, beacon.record);
		}
	}
	else if (beacon.nonce == 0)
	{
		/* on the LAN; unasked */
		if (VecdbLanDiscovery)
			node_meet_record(self->node, clock, beacon.record);
	}
	else
		for (int i = 0; i < SYNC_NONCES; i++)
			if (self->beacons.nonce[i] == beacon.nonce)
			{
				node_meet_record(self->node, clock, beacon.record);
				break;
			}
	record_pool_release(pool, beacon.record);
}

void
SyncReadBeacons(SyncWorker *self, CoreClock clock)
{
	uint8_t		bytes[BEACON_MAX + 1];
	NetAddress	from;

	for (int i = 0; self->beacons.socket && i < BEACONS_A_TURN; i++)
	{
		ssize_t		len = beacon_socket_receive(self->beacons.socket, bytes, sizeof(bytes), &from);

		if (len < 0)
			break;
		take_beacon(self, clock, bytes, (size_t) len, &from);
	}
}

/* Ask the bootstrap list: often while nobody is known, seldom while few are. */
void
SyncAskBootstrap(SyncWorker *self, CoreClock clock)
{
	int			known = node_table(self->node)->n;
	uint64_t	nonce;

	if (!self->beacons.socket || self->names.n_asked == 0 || known >= ASK_ENOUGH)
	{
		self->due.ask = clock.tick_ms + SYNC_HOUSE_MS;
		return;
	}
	do
		randombytes_buf(&nonce, sizeof(nonce));
	while (nonce == 0);
	self->beacons.nonce[self->beacons.next_nonce] = nonce;
	self->beacons.next_nonce = (self->beacons.next_nonce + 1) % SYNC_NONCES;
	for (int i = 0; i < self->names.n_asked; i++)
		send_beacon(self, BEACON_ASK, nonce, &self->names.asked[i]);
	if (known > 0)
	{
		self->due.ask = clock.tick_ms + jittered(ASK_AGAIN_MS);
		self->due.ask_wait = ASK_FIRST_MS;
	}
	else
	{
		self->due.ask = clock.tick_ms + jittered(self->due.ask_wait);
		self->due.ask_wait = Min(self->due.ask_wait * 2, ASK_LAST_MS);
	}
}

void
SyncAnnounceOnLan(SyncWorker *self, CoreClock clock)
{
	if (self->beacons.socket && VecdbLanDiscovery)
		send_beacon(self, BEACON_ANNOUNCE, 0, NULL);
	self->due.lan = clock.tick_ms + jittered(self->due.lan_wait);
	self->due.lan_wait = Min(self->due.lan_wait * 2, LAN_LAST_MS);
}

void
SyncAskSoon(SyncWorker *self, int64_t tick_ms)
{
	self->due.ask = tick_ms;
	self->due.ask_wait = ASK_FIRST_MS;
}
