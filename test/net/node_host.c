/*
 * node_host.c
 *	  Many nodes in one process: src/sync/node.c and its transport, without
 *	  PostgreSQL around them.  Company for a server that is measured or tested.
 *
 *	node_host [--network=NAME] [--ip=IP] [--seed=N] --nodes=N --port=FIRST --meet=IP:PORT
 *
 * The nodes listen on ports FIRST to FIRST + N - 1 and meet the node whose
 * record is asked by datagram at --meet.  Then commands are read from standard
 * input, a line each, until its end:
 *
 *	status			"status: N joined, N in tables on average, N links"
 *	wait			until all have joined: "joined: N in T ms"
 *	lookups MS		lookups of random ids by the first node, four at a time:
 *					"lookups: N in T ms, N requests"
 *
 * Keys follow from the seed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/beacon.h"
#include "host_fixture.h"
#include "sync/node.h"

#define HOSTED 256
#define POLL_MS 100
#define AT_A_TIME 4

typedef struct Hosted
{
	Node	   *node;
	bool		joined;
	int			fds[TRANSPORT_DESCRIPTORS];
	int			n_fds;
	uint32_t	generation;
} Hosted;

static const char *network_name = "vecdb";
static const char *ip = "127.0.0.1";
static int	n_nodes;
static int	first_port;
static char meet_ip[64];
static int	meet_port;
static uint64_t random_state = 1;
static CoreRandom randomness;
static CoreCrypto crypto;
static Hosted hosted[HOSTED];
static int64_t began_ms;
static int64_t all_joined_ms;
static int	under_way;
static long lookups_done;
static long lookup_requests;

static void __attribute__((noreturn, format(printf, 1, 2)))
fatal(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fprintf(stderr, "node_host: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(2);
}

static CoreClock
now(void)
{
	struct timespec t;
	CoreClock	clock;

	clock_gettime(CLOCK_MONOTONIC, &t);
	clock.tick_ms = (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
	clock_gettime(CLOCK_REALTIME, &t);
	clock.unix_ms = (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
	return clock;
}

/* ---- what the nodes call ---- */

static void
on_log(void *context, NodeLevel level, const char *text)
{
	Hosted	   *self = context;

	if (strstr(text, "has joined the network") != NULL)
		self->joined = true;
	else
		fprintf(stderr, "node_host %d: %s\n", (int) (self - hosted), text);
}

static void
on_keep(void *context, const uint8_t *root, const uint8_t *statement)
{
}

static void
on_lookup_done(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
	under_way--;
	lookups_done++;
	lookup_requests += lookup->requests;
}

static void
on_join_done(void *context, uint64_t tag, NodeStatus status, const char *text, const uint8_t *root,
			 const uint8_t *description, size_t len)
{
}

static void
on_left(void *context, const uint8_t *root)
{
}

static void
on_signed_anew(void *context, uint64_t seq)
{
}

/* ---- */

static void
start(Hosted *self, int port)
{
	NodeConfig	config = {
		.callbacks = {self, on_log, on_keep, on_lookup_done, on_join_done, on_left, on_signed_anew},
		.listen = ip,
		.port = (uint16_t) port,
		.network = network_name,
		.n_addresses = 1,
		.skew_ms = 300000,
		.max_links = 50,
		.mesh_degree = 6,
		.exempt_private = true
	};
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	char		error[256];
	struct in_addr in;
	uint8_t		b[4];

	host_fill(&random_state, seed, sizeof seed);
	crypto.key_pair(NULL, seed, key, config.secret);
	host_fill(&random_state, config.curve_secret, sizeof config.curve_secret);
	crypto_scalarmult_base(config.curve_public, config.curve_secret);
	if (inet_pton(AF_INET, ip, &in) != 1)
		fatal("\"%s\" is no IPv4 address", ip);
	memcpy(b, &in, 4);
	config.addresses[0] = net_address_v4(b[0], b[1], b[2], b[3], (uint16_t) port);
	self->node = node_new(&config, now(), error, sizeof error);
	if (self->node == NULL)
		fatal("port %d: %s", port, error);
	self->n_fds = node_descriptors(self->node, self->fds, TRANSPORT_DESCRIPTORS);
	self->generation = node_generation(self->node);
}

/* Ask for the record of the node at --meet, and show it to all. */
static void
meet(void)
{
	int			fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) meet_port)};
	RecordPool *pool = node_pool(hosted[0].node);

	if (inet_pton(AF_INET, meet_ip, &to.sin_addr) != 1)
		fatal("\"%s\" is no IPv4 address", meet_ip);
	for (int tries = 0; tries < 30; tries++)
	{
		uint8_t		ask[BEACON_MAX];
		uint8_t		answer[2048];
		Beacon		beacon;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		size_t		len = beacon_sign(node_crypto(hosted[0].node), node_secret(hosted[0].node), BEACON_ASK,
									  core_random_bits(&randomness) | 1, node_record(hosted[0].node), now().unix_ms, ask);
		ssize_t		n;

		sendto(fd, ask, len, 0, (struct sockaddr *) &to, sizeof to);
		if (poll(&p, 1, 300) != 1)
			continue;
		n = recv(fd, answer, sizeof answer, 0);
		if (n <= 0 || beacon_decode(pool, answer, (size_t) n, now().unix_ms, &beacon) != DECODE_OK)
			continue;
		for (int i = 0; i < n_nodes; i++)
			node_meet(hosted[i].node, now(), beacon.record->bytes, beacon.record->len);
		record_pool_release(pool, beacon.record);
		close(fd);
		return;
	}
	fatal("%s:%d does not answer", meet_ip, meet_port);
}

/* One turn of every node that has something to do; is there a command to read? */
static void
turn(bool *command_waits)
{
	static struct pollfd p[1 + HOSTED * TRANSPORT_DESCRIPTORS];
	static int64_t polled_ms[HOSTED];
	int			n = 1;
	CoreClock	clock = now();
	int64_t		until = clock.tick_ms + POLL_MS;
	int			at = 1;

	p[0] = (struct pollfd) {.fd = 0, .events = POLLIN};
	for (int i = 0; i < n_nodes; i++)
	{
		int64_t		next = node_next_tick(hosted[i].node);

		if (polled_ms[i] + POLL_MS < next)
			next = polled_ms[i] + POLL_MS;
		if (next < until)
			until = next;
		if (node_generation(hosted[i].node) != hosted[i].generation)
		{
			hosted[i].n_fds = node_descriptors(hosted[i].node, hosted[i].fds, TRANSPORT_DESCRIPTORS);
			hosted[i].generation = node_generation(hosted[i].node);
		}
		for (int k = 0; k < hosted[i].n_fds; k++)
			p[n++] = (struct pollfd) {.fd = hosted[i].fds[k], .events = POLLIN};
	}
	if (poll(p, (nfds_t) n, until > clock.tick_ms ? (int) (until - clock.tick_ms) : 0) < 0 && errno != EINTR)
		fatal("poll: %s", strerror(errno));
	clock = now();
	for (int i = 0; i < n_nodes; i++)
	{
		bool		due = clock.tick_ms >= node_next_tick(hosted[i].node) || clock.tick_ms >= polled_ms[i] + POLL_MS;

		for (int k = 0; k < hosted[i].n_fds; k++)
			due |= p[at++].revents != 0;
		if (due)
		{
			/* more than a slice of frames is left to the next turn */
			polled_ms[i] = node_run(hosted[i].node, clock) ? 0 : clock.tick_ms;
		}
	}
	*command_waits = p[0].revents != 0;
}

static int
count_joined(void)
{
	int			n = 0;

	for (int i = 0; i < n_nodes; i++)
		n += hosted[i].joined;
	if (n == n_nodes && all_joined_ms == 0)
		all_joined_ms = now().tick_ms;
	return n;
}

static void
tell_status(void)
{
	long		known = 0;
	long		links = 0;

	for (int i = 0; i < n_nodes; i++)
	{
		known += node_table(hosted[i].node)->n;
		links += node_figures(hosted[i].node).links;
	}
	printf("status: %d joined, %.1f in tables on average, %.1f links\n", count_joined(), (double) known / n_nodes,
		   (double) links / n_nodes);
}

static void
do_lookups(long ms)
{
	int64_t		began = now().tick_ms;
	bool		command;

	lookups_done = lookup_requests = 0;
	while (now().tick_ms < began + ms || under_way > 0)
	{
		while (under_way < AT_A_TIME && now().tick_ms < began + ms)
		{
			KadId		target;

			host_fill(&random_state, target.b, sizeof target.b);
			if (node_lookup(hosted[0].node, now(), &target, false, 1) != NODE_OK)
				break;
			under_way++;
		}
		turn(&command);
	}
	printf("lookups: %ld in %ld ms, %.1f requests each\n", lookups_done, (long) (now().tick_ms - began),
		   lookups_done == 0 ? 0 : (double) lookup_requests / (double) lookups_done);
}

static const char *
option(const char *arg, const char *name)
{
	size_t		len = strlen(name);

	return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

int
main(int argc, char **argv)
{
	bool		waiting = false;
	const char *value;

	for (int i = 1; i < argc; i++)
	{
		if ((value = option(argv[i], "--network")) != NULL)
			network_name = value;
		else if ((value = option(argv[i], "--ip")) != NULL)
			ip = value;
		else if ((value = option(argv[i], "--seed")) != NULL)
			random_state = strtoull(value, NULL, 0);
		else if ((value = option(argv[i], "--nodes")) != NULL)
			n_nodes = atoi(value);
		else if ((value = option(argv[i], "--port")) != NULL)
			first_port = atoi(value);
		else if ((value = option(argv[i], "--meet")) != NULL)
		{
			if (sscanf(value, "%63[0-9.]:%d", meet_ip, &meet_port) != 2)
				fatal("--meet is IP:PORT, not %s", value);
		}
		else
			fatal("unknown option %s", argv[i]);
	}
	if (n_nodes < 1 || n_nodes > HOSTED || first_port < 1 || meet_port < 1)
		fatal("usage: node_host [--network=NAME] [--ip=IP] [--seed=N] --nodes=N --port=FIRST --meet=IP:PORT, with at most %d nodes", HOSTED);
	crypto = host_crypto();
	randomness = HOST_RANDOM(&random_state);
	for (int i = 0; i < n_nodes; i++)
		start(&hosted[i], first_port + i);
	printf("listening\n");
	fflush(stdout);
	began_ms = now().tick_ms;
	meet();
	for (;;)
	{
		bool		command;
		char		line[128];

		turn(&command);
		if (waiting && count_joined() == n_nodes)
		{
			printf("joined: %d in %ld ms\n", n_nodes, (long) (all_joined_ms - began_ms));
			fflush(stdout);
			waiting = false;
		}
		if (!command || waiting)
			continue;
		if (fgets(line, sizeof line, stdin) == NULL)
			break;
		if (strncmp(line, "status", 6) == 0)
			tell_status();
		else if (strncmp(line, "wait", 4) == 0)
			waiting = true;
		else if (strncmp(line, "lookups ", 8) == 0)
			do_lookups(atol(line + 8));
		else
			fatal("there is no command %s", line);
		fflush(stdout);
	}
	for (int i = 0; i < n_nodes; i++)
		node_destroy(&hosted[i].node);
	return 0;
}
