/*
 * node_host.c
 *	  Several nodes in one process: src/net/net_node.c, without
 *	  PostgreSQL around them.  Company for a server that is measured.
 *
 *	node_host [--network=NAME] [--ip=IP] [--seed=N] --nodes=N --port=FIRST --meet=IP:PORT
 *
 * The nodes listen on ports FIRST to FIRST + N - 1 and meet the node that
 * answers a datagram at --meet.  Then commands are read from standard input, a
 * line each, until its end; each answer ends with a line "end":
 *
 *	wait			until all have joined and their tables have not grown for two
 *					seconds.  A line for each: "node PORT JOINED GROWN KNOWN LINKS",
 *					milliseconds from the meeting to the end of the lookup of itself
 *					and to the last new entry of its table; nodes in the table; links
 *	lookups MS N	lookups of random ids by the first node, N at a time, for MS
 *					milliseconds: "lookups DONE MS REQUESTS", of all
 *
 * Keys and ids follow from the seed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net/beacon.h"
#include "host_fixture.h"
#include "net/crypto_sodium.h"
#include "net/net_node.h"

#define HOSTED 64
#define POLL_MS 100
#define SETTLED_MS 2000
#define ASKS 30
#define ASK_MS 300

typedef struct Hosted
{
	NetNode    *net;
	Node	   *node;
	int			port;
	int64_t		met_ms;
	int64_t		joined_ms;		/* 0: not yet */
	int64_t		grown_ms;
	int			known;
	int64_t		polled_ms;
	int			fds[TRANSPORT_DESCRIPTORS];
	int			n_fds;
} Hosted;

static const char *network_name = "vecdb";
static const char *ip = "127.0.0.1";
static int	n_nodes;
static int	first_port;
static char meet_ip[64];
static int	meet_port;
static uint64_t random_state = 1;
static Hosted hosted[HOSTED];
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

/* ---- what the nodes call ---- */

static void
on_log(void *context, NodeLevel level, const char *text)
{
	Hosted	   *self = context;

	/* the only sign that it gives of having joined */
	if (strstr(text, "has joined the network") != NULL)
		self->joined_ms = node_clock().tick_ms;
	else
		fprintf(stderr, "node_host: port %d: %s\n", self->port, text);
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
	NetNodeConfig config = {
		.node = {
			.callbacks = {self, on_log, on_lookup_done, on_join_done, on_left, on_signed_anew},
			.network = network_name,
			.n_addresses = 1,
			.skew_ms = 300000,
			.mesh_degree = 6,
			.exempt_private = true
		},
		.listen = ip,
		.port = (uint16_t) port,
		.max_links = 50
	};
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	char		error[256];
	struct in_addr in;
	uint8_t		b[4];

	host_fill(&random_state, seed, sizeof seed);
	host_fill(&random_state, config.curve_secret, sizeof config.curve_secret);
	if (inet_pton(AF_INET, ip, &in) != 1)
		fatal("\"%s\" is no IPv4 address", ip);
	if (crypto_sign_seed_keypair(key, config.node.secret, seed) != 0 ||
		crypto_scalarmult_base(config.node.curve_public, config.curve_secret) != 0)
		fatal("no keys can be made of seed %llu", (unsigned long long) random_state);
	memcpy(b, &in, 4);
	config.node.addresses[0] = net_address_v4(b[0], b[1], b[2], b[3], (uint16_t) port);
	self->port = port;
	self->net = net_node_new(&config, node_clock(), error, sizeof error);
	if (self->net == NULL)
		fatal("port %d: %s", port, error);
	self->node = self->net->node;
	self->n_fds = transport_descriptors(self->net->transport, self->fds, TRANSPORT_DESCRIPTORS);
}

/* Ask for the record of the node at --meet, and show it to all. */
static void
meet(void)
{
	int			fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) meet_port)};
	RecordPool *pool = node_pool(hosted[0].node);

	if (fd < 0)
		fatal("socket: %s", strerror(errno));
	if (inet_pton(AF_INET, meet_ip, &to.sin_addr) != 1)
		fatal("\"%s\" is no IPv4 address", meet_ip);
	for (int tries = 0; tries < ASKS; tries++)
	{
		uint8_t		ask[BEACON_MAX];
		uint8_t		answer[BEACON_MAX];
		uint64_t	nonce;
		Beacon		beacon;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		size_t		len;
		ssize_t		n;

		host_fill(&random_state, &nonce, sizeof nonce);
		len = beacon_sign(node_crypto(hosted[0].node), node_secret(hosted[0].node), BEACON_ASK, nonce | 1,
						  node_record(hosted[0].node), node_clock().unix_ms, ask);
		if (sendto(fd, ask, len, 0, (struct sockaddr *) &to, sizeof to) < 0 || poll(&p, 1, ASK_MS) != 1)
			continue;
		n = recv(fd, answer, sizeof answer, 0);
		if (n <= 0 || beacon_decode(pool, answer, (size_t) n, node_clock().unix_ms, &beacon) != DECODE_OK)
			continue;
		for (int i = 0; i < n_nodes; i++)
		{
			hosted[i].met_ms = hosted[i].grown_ms = node_clock().tick_ms;
			if (node_meet(hosted[i].node, node_clock(), beacon.record->bytes, beacon.record->len) != DECODE_OK)
				fatal("port %d: the record of the node at %s:%d cannot be used", hosted[i].port, meet_ip, meet_port);
		}
		record_pool_release(pool, beacon.record);
		close(fd);
		return;
	}
	fatal("%s:%d does not answer", meet_ip, meet_port);
}

/* One turn of every node that has something to do; is there a command to read? */
static bool
turn(void)
{
	struct pollfd p[1 + HOSTED * TRANSPORT_DESCRIPTORS];
	CoreClock	clock = node_clock();
	int64_t		until = clock.tick_ms + POLL_MS;
	int			n = 1;
	int			at = 1;

	p[0] = (struct pollfd) {.fd = STDIN_FILENO, .events = POLLIN};
	for (int i = 0; i < n_nodes; i++)
	{
		Hosted	   *self = &hosted[i];
		int64_t		next = node_next_tick(self->node);

		if (self->polled_ms + POLL_MS < next)
			next = self->polled_ms + POLL_MS;
		if (next < until)
			until = next;
		for (int k = 0; k < self->n_fds; k++)
			p[n++] = (struct pollfd) {.fd = self->fds[k], .events = POLLIN};
	}
	if (poll(p, (nfds_t) n, until > clock.tick_ms ? (int) (until - clock.tick_ms) : 0) < 0)
	{
		if (errno != EINTR)
			fatal("poll: %s", strerror(errno));
		return false;
	}
	clock = node_clock();
	for (int i = 0; i < n_nodes; i++)
	{
		Hosted	   *self = &hosted[i];
		bool		due = clock.tick_ms >= node_next_tick(self->node) || clock.tick_ms >= self->polled_ms + POLL_MS;

		for (int k = 0; k < self->n_fds; k++)
			due |= p[at++].revents != 0;
		if (!due)
			continue;
		/* more than a slice of frames is left to the next turn */
		self->polled_ms = net_node_run(self->net, clock) ? 0 : clock.tick_ms;
		if (node_table(self->node)->n > self->known)
			self->grown_ms = clock.tick_ms;
		self->known = node_table(self->node)->n;
	}
	return p[0].revents != 0;
}

static bool
settled(void)
{
	int64_t		tick_ms = node_clock().tick_ms;

	for (int i = 0; i < n_nodes; i++)
		if (hosted[i].joined_ms == 0 || tick_ms - hosted[i].grown_ms < SETTLED_MS)
			return false;
	return true;
}

static void
tell_nodes(void)
{
	for (int i = 0; i < n_nodes; i++)
		printf("node %d %ld %ld %d %d\n", hosted[i].port, (long) (hosted[i].joined_ms - hosted[i].met_ms),
			   (long) (hosted[i].grown_ms - hosted[i].met_ms), hosted[i].known, node_figures(hosted[i].node).links);
}

static void
do_lookups(long ms, int at_a_time)
{
	int64_t		began = node_clock().tick_ms;

	lookups_done = lookup_requests = 0;
	while (node_clock().tick_ms < began + ms || under_way > 0)
	{
		while (under_way < at_a_time && node_clock().tick_ms < began + ms)
		{
			KadId		target;

			host_fill(&random_state, target.b, sizeof target.b);
			under_way++;
			if (node_lookup(hosted[0].node, node_clock(), &target, false, 1) != NODE_OK)
			{
				under_way--;
				break;
			}
		}
		(void) turn();
	}
	printf("lookups %ld %ld %ld\n", lookups_done, (long) (node_clock().tick_ms - began), lookup_requests);
}

static const char *
option(const char *arg, const char *name)
{
	size_t		len = strlen(name);

	return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

/* Each node wants some hundred descriptors, most of which stay unused. */
static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
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
	if (n_nodes < 1 || n_nodes > HOSTED || first_port < 1 || first_port > 65536 - n_nodes || meet_port < 1)
		fatal("usage: node_host [--network=NAME] [--ip=IP] [--seed=N] --nodes=N --port=FIRST --meet=IP:PORT, with at most %d nodes", HOSTED);
	if (!crypto_sodium_init())
		fatal("libsodium cannot be initialised");
	raise_limit();
	for (int i = 0; i < n_nodes; i++)
		start(&hosted[i], first_port + i);
	meet();
	for (;;)
	{
		bool		command = turn();
		char		line[128];
		long		ms;
		int			at_a_time;

		if (waiting && settled())
		{
			tell_nodes();
			printf("end\n");
			fflush(stdout);
			waiting = false;
		}
		if (!command || waiting)
			continue;
		if (fgets(line, sizeof line, stdin) == NULL)
			break;
		if (strcmp(line, "wait\n") == 0)
		{
			waiting = true;
			continue;
		}
		if (sscanf(line, "lookups %ld %d", &ms, &at_a_time) != 2 || ms < 1 || at_a_time < 1)
			fatal("there is no command %s", line);
		do_lookups(ms, at_a_time);
		printf("end\n");
		fflush(stdout);
	}
	for (int i = 0; i < n_nodes; i++)
		net_node_destroy(&hosted[i].net);
	return 0;
}
