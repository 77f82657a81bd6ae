/*
 * hostile_fixture.h
 *	  A node (a), its friend (b), and strangers made of libzmq.
 */
#ifndef TEST_HOSTILE_FIXTURE_H
#define TEST_HOSTILE_FIXTURE_H

#include "zmtp_peer.h"

#include <signal.h>
#include <stdio.h>

static Peer a;
static Peer b;
static Peer *both[] = {&a, &b};
static uint64_t seed;

/* What is freed must not count as memory for long. */
const char *
__asan_default_options(void)
{
	return "quarantine_size_mb=4:thread_local_quarantine_size_kb=64";
}

static inline uint32_t
random_below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t) ((seed * UINT64_C(0x2545F4914F6CDD1D)) >> 32) % n;
}

static inline size_t
resident_bytes(void)
{
	FILE	   *file = fopen("/proc/self/statm", "r");
	unsigned long size = 0;
	unsigned long resident = 0;

	if (file == NULL || fscanf(file, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	if (file != NULL)
		fclose(file);
	return resident * (size_t) sysconf(_SC_PAGESIZE);
}

/* a has been started; b is who speaks to it. */
static inline bool
start(int max_links, int max_inbound)
{
	memset(&a, 0, sizeof a);
	memset(&b, 0, sizeof b);
	a.slice = b.slice = 64;
	new_curve_key(a.public, a.secret);
	return peer_start_on(&a, own_host(), 0, max_links, max_inbound) && peer_start(&b);
}

static inline void
stop(void)
{
	transport_destroy(&a.transport);
	transport_destroy(&b.transport);
}

static inline bool
friend_is_served(void)
{
	static uint32_t number;
	uint32_t	this = ++number;

	return peer_send(&b, &a, &this, sizeof this) == TRANSPORT_SENT &&
		pump(both, 2, a.last_len == sizeof this && memcmp(a.last, &this, sizeof this) == 0 &&
			 memcmp(a.last_key, b.public, CORE_KEY_BYTES) == 0);
}

static inline uint64_t
refused(const TransportStats *stats)
{
	return stats->refused_mechanism + stats->refused_crypto + stats->refused_own_key + stats->refused_protocol +
		stats->refused_room;
}

/* ---- strangers ---- */

typedef enum Stranger
{
	BY_NULL, BY_PLAIN, BY_WRONG_SERVER_KEY, BY_OUR_OWN_KEY, STRANGERS
} Stranger;

/* A DEALER of libzmq that has much to say, and connects once. */
static inline void *
stranger_new(void *context, Stranger how)
{
	void	   *dealer = zmq_socket(context, ZMQ_DEALER);
	uint8_t		public[32];
	uint8_t		secret[32];
	char		endpoint[64];

	zmq_setsockopt(dealer, ZMQ_LINGER, &(int) {0}, sizeof(int));
	zmq_setsockopt(dealer, ZMQ_RECONNECT_IVL, &(int) {-1}, sizeof(int));
	new_curve_key(public, secret);
	if (how == BY_PLAIN)
	{
		zmq_setsockopt(dealer, ZMQ_PLAIN_USERNAME, "admin", 5);
		zmq_setsockopt(dealer, ZMQ_PLAIN_PASSWORD, "admin", 5);
	}
	if (how >= BY_WRONG_SERVER_KEY)
	{
		const uint8_t *server = how == BY_WRONG_SERVER_KEY ? public : a.public;

		zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server, 32);
		zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, how == BY_OUR_OWN_KEY ? a.public : public, 32);
		zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, how == BY_OUR_OWN_KEY ? a.secret : secret, 32);
	}
	snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", own_host(), a.address.port);
	zmq_connect(dealer, endpoint);
	for (int i = 0; i < 100; i++)
		zmq_send(dealer, "let me in", 9, ZMQ_DONTWAIT);
	return dealer;
}

/* All kinds at once; each is counted once, under its reason. */
static inline void
strangers_are_refused(const char *when)
{
	void	   *context = zmq_ctx_new();
	void	   *dealer[STRANGERS];
	TransportStats before = transport_stats(a.transport);
	TransportStats now;
	int			frames = a.frames;

	for (int i = 0; i < STRANGERS; i++)
		dealer[i] = stranger_new(context, (Stranger) i);
	(void) pump(both, 2, (now = transport_stats(a.transport), refused(&now) - refused(&before)) >= STRANGERS &&
				now.refused_crypto > before.refused_crypto && now.refused_own_key > before.refused_own_key);
	ok(friend_is_served(), "%s: a friend is served", when);
	now = transport_stats(a.transport);
	/* libzmq of the other side may see first that they do not match, and hang up in the midst of its greeting */
	diag("refused: %d mechanism, %d protocol, %d crypto, %d own key, %d room", (int) (now.refused_mechanism - before.refused_mechanism),
		 (int) (now.refused_protocol - before.refused_protocol), (int) (now.refused_crypto - before.refused_crypto),
		 (int) (now.refused_own_key - before.refused_own_key), (int) (now.refused_room - before.refused_room));
	ok(now.refused_mechanism - before.refused_mechanism + now.refused_protocol - before.refused_protocol == 2,
	   "%s: NULL and PLAIN are refused, counted once each", when);
	ok(now.refused_crypto - before.refused_crypto == 1, "%s: so is who takes us for another", when);
	ok(now.refused_own_key - before.refused_own_key == 1, "%s: so is our own key", when);
	ok(now.refused_room == before.refused_room && a.frames == frames + 1,
	   "%s: that is all, and none of their frames has come in", when);
	for (int i = 0; i < STRANGERS; i++)
		zmq_close(dealer[i]);
	zmq_ctx_term(context);
}

/* Before all else; prints the seed. */
static inline bool
hostile_start(void)
{
	const char *given = getenv("TEST_SEED");

	if (sodium_init() < 0)
		return false;
	signal(SIGPIPE, SIG_IGN);
	if (given != NULL)
		seed = strtoull(given, NULL, 10);
	else
		randombytes_buf(&seed, sizeof seed);
	seed |= 1;
	diag("TEST_SEED=%llu", (unsigned long long) seed);
	return true;
}

#endif							/* TEST_HOSTILE_FIXTURE_H */
