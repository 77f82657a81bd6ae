/*
 * link_fixture.h
 *	  Nodes that speak over real sockets on loopback, all in one thread: each is a
 *	  transport, and pump() lets those it is given run until something is so or
 *	  time is up.
 */
#ifndef TEST_LINK_FIXTURE_H
#define TEST_LINK_FIXTURE_H

#include <arpa/inet.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>
#include <zmq.h>

#include "own_address.h"
#include "net/transport.h"
#include "tap.h"

/* No test waits so long unless something is wrong, however busy the processor is. */
#define PATIENCE_MS 60000

/* Of libzmq, in tests that wait for its timers; 0: as ever. */
static int	handshake_ms;
static int	heartbeat_ms;
static int	heartbeat_timeout_ms;

/* Added to the clock of all transports: time that has passed without waiting. */
static int64_t clock_ahead_ms;

/*
 * That clock goes by turns, of which each takes a little longer than it waits at
 * most: one who waits for the processor finds nobody late.
 */
static int64_t clock_ms;
static int64_t clock_seen_ms;
static bool clock_stopped;

/* What the ends of transports did: how often one waited for libzmq, and whether it ended at last. */
static int	end_waits;
static bool end_seen;

/* The function that they wait with. */
int
pthread_clockjoin_np(pthread_t thread, void **value, clockid_t clock, const struct timespec *until)
{
	int			(*real) (pthread_t, void **, clockid_t, const struct timespec *);
	int			status;

	*(void **) &real = dlsym(RTLD_NEXT, "pthread_clockjoin_np");
	status = real(thread, value, clock, until);
	end_waits++;
	end_seen = status == 0;
	return status;
}

typedef struct Peer
{
	Transport  *transport;
	uint8_t		public[CORE_KEY_BYTES];
	uint8_t		secret[CORE_KEY_BYTES];
	NetAddress	address;
	bool		answers;		/* sends back what comes in */
	bool		deaf;			/* is not polled */
	int			slice;
	int			frames;			/* received */
	size_t		bytes;
	uint8_t		last[64];
	size_t		last_len;
	uint8_t		last_key[CORE_KEY_BYTES];
	TransportVia last_via;
	int			refusals;		/* told */
	char		refusal[8][64];
	int			unreachable;
	uint8_t		unreachable_key[CORE_KEY_BYTES];
} Peer;

/* The machine's clock: how long a test waits. */
static inline int64_t
real_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The transports' clock. */
static inline int64_t
now_ms(void)
{
	if (clock_ms == 0)
		clock_ms = clock_seen_ms = real_ms();
	return clock_ms + clock_ahead_ms;
}

static inline void
clock_turn(int most_ms)
{
	int64_t		passed_ms = real_ms() - clock_seen_ms;

	clock_seen_ms += passed_ms;
	if (!clock_stopped)
		clock_ms += passed_ms < most_ms ? passed_ms : most_ms;
}

static inline double
cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static inline void
peer_unreachable(void *context, const uint8_t *key)
{
	Peer	   *self = context;

	self->unreachable++;
	memcpy(self->unreachable_key, key, CORE_KEY_BYTES);
}

static inline void
peer_refused(void *context, const NetAddress *from, const char *reason)
{
	Peer	   *self = context;

	snprintf(self->refusal[self->refusals++ % 8], sizeof self->refusal[0], "%s", reason);
}

static inline void
peer_receive(void *context, const uint8_t *key, TransportVia via, const uint8_t *frame, size_t len)
{
	Peer	   *self = context;

	self->frames++;
	self->bytes += len;
	self->last_len = len;
	memcpy(self->last, frame, len < sizeof self->last ? len : sizeof self->last);
	memcpy(self->last_key, key, CORE_KEY_BYTES);
	self->last_via = via;
	if (self->answers)
		transport_answer(self->transport, via, frame, len);
}

static inline void
new_curve_key(uint8_t *public, uint8_t *secret)
{
	randombytes_buf(secret, CORE_KEY_BYTES);
	crypto_scalarmult_base(public, secret);
}

/* Start a peer that has its keys; port 0: any. */
static inline bool
peer_start_on(Peer *self, const char *listen, uint16_t port, int max_links, int max_inbound)
{
	TransportConfig config = {.listen = listen, .port = port, .max_links = max_links, .max_inbound = max_inbound,
		.handshake_ms = handshake_ms, .heartbeat_ms = heartbeat_ms, .heartbeat_timeout_ms = heartbeat_timeout_ms,
		.unreachable = peer_unreachable, .refused = peer_refused, .context = self};
	char		error[TRANSPORT_ERROR_ROOM] = "";

	memcpy(config.curve_public, self->public, CORE_KEY_BYTES);
	memcpy(config.curve_secret, self->secret, CORE_KEY_BYTES);
	self->transport = transport_new(&config, error, sizeof error);
	if (self->transport == NULL)
	{
		diag("%s", error);
		return false;
	}
	self->address = own_address(transport_port(self->transport));
	return true;
}

static inline bool
peer_start(Peer *self)
{
	memset(self, 0, sizeof *self);
	self->slice = 64;
	new_curve_key(self->public, self->secret);
	return peer_start_on(self, own_host(), 0, 8, 32);
}

static inline TransportSent
peer_send(Peer *self, const Peer *to, const void *bytes, size_t len)
{
	return transport_send(self->transport, now_ms(), to->public, &to->address, 1, bytes, len);
}

/* One turn of each; waits at most wait_ms for something to do. */
static inline void
turn(Peer **peers, int n, int wait_ms)
{
	struct pollfd fds[64];
	int			waiting = 0;

	(void) now_ms();
	for (int i = 0; i < n; i++)
	{
		int			fd;

		if (peers[i]->transport == NULL || peers[i]->deaf)
			continue;
		transport_descriptors(peers[i]->transport, &fd, 1);
		fds[waiting++] = (struct pollfd) {.fd = fd, .events = POLLIN};
	}
	poll(fds, (nfds_t) waiting, wait_ms);
	clock_turn(wait_ms + 5);
	for (int i = 0; i < n; i++)
		if (peers[i]->transport != NULL && !peers[i]->deaf)
			transport_poll(peers[i]->transport, now_ms(), peers[i]->slice, peer_receive, peers[i]);
}

/* Let the peers run until the condition holds; what it is worth at the end. */
#define pump(peers, n, condition) pump_for(peers, n, PATIENCE_MS, condition)
#define pump_for(peers, n, ms, condition) \
	({ \
		int64_t		pump_end = real_ms() + (ms); \
		while (!(condition) && real_ms() < pump_end) \
			turn(peers, n, 20); \
		(condition); \
	})

#endif							/* TEST_LINK_FIXTURE_H */
