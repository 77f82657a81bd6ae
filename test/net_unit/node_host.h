/*
 * node_host.h
 *	  What a test of whole nodes over real links on loopback needs: a node on a port
 *	  that is free, callbacks that do nothing, and patience.
 */
#ifndef TEST_NODE_HOST_H
#define TEST_NODE_HOST_H

#include <poll.h>
#include <sodium.h>
#include <string.h>

#include "core/net/node_state.h"
#include "host_fixture.h"
#include "net/net_node.h"
#include "own_address.h"
#include "tap.h"

static inline void
quiet_log(void *context, NodeLevel level, const char *text)
{
}

static inline void
quiet_lookup_done(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
}

static inline void
quiet_join_done(void *context, uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
				const uint8_t *description, size_t len)
{
}

static inline void
quiet_left(void *context, const uint8_t *root)
{
}

static inline void
quiet_signed_anew(void *context, uint64_t seq)
{
}

/* Callbacks that do nothing; a test puts its own in their place. */
static inline NodeCallbacks
quiet_callbacks(void *context)
{
	return (NodeCallbacks) {context, quiet_log, quiet_lookup_done, quiet_join_done, quiet_left, quiet_signed_anew};
}

/* A node of the network "test" whose keys follow from *random_state, on a port that is free; NULL after a hundred tries. */
static inline NetNode *
host_node(NodeCallbacks callbacks, int max_links, CoreClock clock, uint64_t *random_state)
{
	for (int tries = 0; tries < 100; tries++)
	{
		NetNodeConfig config = {
			.node = {
				.callbacks = callbacks,
				.network = "test",
				.n_addresses = 1,
				.skew_ms = 300000,
				.mesh_degree = 6,
				.exempt_private = true
			},
			.listen = own_host(),
			.max_links = max_links
		};
		NetNode    *made;
		uint8_t		seed[CORE_SEED_BYTES];
		uint8_t		key[CORE_KEY_BYTES];
		char		error[256];

		host_fill(random_state, seed, sizeof seed);
		host_fill(random_state, config.curve_secret, sizeof config.curve_secret);
		config.port = (uint16_t) (20000 + (seed[0] << 8 | seed[1]) % 12000);
		config.node.addresses[0] = own_address(config.port);
		if (crypto_sign_seed_keypair(key, config.node.secret, seed) != 0 ||
			crypto_scalarmult_base(config.node.curve_public, config.curve_secret) != 0)
			return NULL;
		made = net_node_new(&config, clock, error, sizeof error);
		if (made != NULL)
			return made;
		diag("port %u: %s", config.port, error);
	}
	return NULL;
}

/* What a node waits for, for poll(). */
static inline struct pollfd
poll_of(const NetNode *net)
{
	int			fd[1];

	transport_descriptors(net->transport, fd, 1);
	return (struct pollfd) {.fd = fd[0], .events = POLLIN};
}

/* Let all run, by the test's turn(), until it is so; false when PATIENCE_MS are over. */
#define pump(condition) \
	({ \
		int64_t		until_ = node_clock().tick_ms + PATIENCE_MS; \
		while (!(condition) && node_clock().tick_ms < until_) \
			turn(); \
		(condition); \
	})

#endif							/* TEST_NODE_HOST_H */
