/*
 * hostile_peer.c
 *	  The keys, the link and the frames of the peer.
 */
#include "hostile_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "core/net/beacon.h"
#include "core/net/wire_item.h"

HostilePeer peer = {.network_name = "vecdb", .wait_ms = 60000, .random_state = 1, .hello_kind = "good"};

static HostMemory memory_state = {.until_failure = -1};
static CoreMemory memory;

void
fatal(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fprintf(stderr, "hostile: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(2);
}

static int64_t
clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t
now_unix(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int64_t
now_tick(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t
below(uint64_t n)
{
	return core_random_below(&peer.randomness, n);
}

void
print_hex(const char *name, const uint8_t *bytes, size_t n)
{
	printf(" %s=", name);
	for (size_t i = 0; i < n; i++)
		printf("%02x", bytes[i]);
}

/* ---- who we are ---- */

static NetAddress
address_of_host(int at_port)
{
	struct in_addr ip;
	uint8_t		b[4];

	if (inet_pton(AF_INET, peer.host, &ip) != 1)
		fatal("\"%s\" is no IPv4 address", peer.host);
	memcpy(b, &ip, 4);
	return net_address_v4(b[0], b[1], b[2], b[3], (uint16_t) at_port);
}

/* A record of somebody, good or not, into out[NODE_RECORD_MAX]. */
size_t
sign_record(const Self *who, uint64_t of_network, int64_t expires_ms, uint8_t *out)
{
	static uint64_t seq;
	NodeRecordFields fields = {
		.network = of_network,
		.expires_ms = expires_ms,
		.n_addresses = 1,
		.addresses = {address_of_host(9)}
	};
	size_t		len;

	/* two of one millisecond are not equally new */
	seq = (uint64_t) now_unix() > seq ? (uint64_t) now_unix() : seq + 1;
	fields.seq = seq;
	memcpy(fields.curve_key, who->curve_public, 32);
	if (node_record_sign(&peer.crypto, who->secret, &fields, out, &len) != DECODE_OK)
		fatal("could not sign a record");
	return len;
}

void
make_self(Self *who)
{
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;

	host_fill(&peer.random_state, seed, sizeof seed);
	peer.crypto.key_pair(NULL, seed, key, who->secret);
	host_fill(&peer.random_state, who->curve_secret, sizeof who->curve_secret);
	crypto_scalarmult_base(who->curve_public, who->curve_secret);
	len = sign_record(who, peer.network, now_unix() + HOUR_MS, bytes);
	if (record_pool_take(&peer.pool, bytes, len, now_unix(), &who->record) != DECODE_OK)
		fatal("could not make a record");
}

void
peer_begin(uint64_t salt)
{
	memory = HOST_MEMORY(&memory_state);
	peer.randomness = HOST_RANDOM(&peer.random_state);
	peer.crypto = host_crypto();
	peer.network = node_network(&peer.crypto, peer.network_name, strlen(peer.network_name));
	if (!record_pool_init(&peer.pool, &memory, &peer.crypto, &peer.randomness, peer.network, SKEW_MS, 100000))
		fatal("out of memory");
	make_self(&peer.self);
	make_self(&peer.other);
	peer.random_state += salt;
	peer.next_request = core_random_bits(&peer.randomness) >> 2 | 1;
	peer.context = zmq_ctx_new();
	zmq_ctx_set(peer.context, ZMQ_MAX_SOCKETS, 4096);
}

/* ---- datagrams ---- */

NodeRecord *
ask_by_datagram(void)
{
	int			fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) peer.port)};
	uint8_t		ask[BEACON_MAX];
	uint8_t		answer[2048];
	uint64_t	nonce = core_random_bits(&peer.randomness) | 1;
	int64_t		until = now_tick() + peer.wait_ms;
	NodeRecord *record = NULL;

	inet_pton(AF_INET, peer.host, &to.sin_addr);
	while (record == NULL && now_tick() < until)
	{
		size_t		len = beacon_sign(&peer.crypto, peer.self.secret, BEACON_ASK, nonce, peer.self.record, now_unix(), ask);
		struct pollfd p = {.fd = fd, .events = POLLIN};

		sendto(fd, ask, len, 0, (struct sockaddr *) &to, sizeof to);
		if (poll(&p, 1, 300) == 1)
		{
			ssize_t		n = recv(fd, answer, sizeof answer, 0);
			Beacon		beacon;

			if (n > 0 && beacon_decode(&peer.pool, answer, (size_t) n, now_unix(), &beacon) == DECODE_OK)
			{
				if (beacon.kind == BEACON_ANNOUNCE && beacon.nonce == nonce)
					record = beacon.record;
				else
					record_pool_release(&peer.pool, beacon.record);
			}
		}
	}
	close(fd);
	return record;
}

/* ---- links ---- */

void
need_server_key(void)
{
	NodeRecord *record;

	if (peer.has_server_key)
		return;
	record = ask_by_datagram();
	if (record == NULL)
		fatal("%s:%d does not answer a datagram of the network \"%s\"; give its CURVE key with --key", peer.host, peer.port, peer.network_name);
	memcpy(peer.server_key, record->curve_key, 32);
	record_pool_release(&peer.pool, record);
	peer.has_server_key = true;
}

void *
open_link(const Self *who, Mechanism mechanism, const char *monitor)
{
	void	   *s = zmq_socket(peer.context, ZMQ_DEALER);
	char		url[64];
	int			zero = 0;
	int			timeout = (int) peer.wait_ms;
	int			reconnect = 100;

	if (s == NULL)
		return NULL;
	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
	zmq_setsockopt(s, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
	zmq_setsockopt(s, ZMQ_RECONNECT_IVL, &reconnect, sizeof reconnect);
	if (mechanism != WITH_NULL)
	{
		uint8_t		wrong[32];

		memcpy(wrong, peer.server_key, 32);
		if (mechanism == WITH_WRONG_KEY)
			wrong[5] ^= 1;
		if (zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, wrong, 32) != 0 ||
			zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, who->curve_public, 32) != 0 ||
			zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, who->curve_secret, 32) != 0)
			fatal("libzmq refuses the keys: %s", zmq_strerror(errno));
	}
	if (monitor != NULL && zmq_socket_monitor(s, monitor, ZMQ_EVENT_ALL) != 0)
		fatal("no monitor: %s", zmq_strerror(errno));
	snprintf(url, sizeof url, "tcp://%s:%d", peer.host, peer.port);
	if (zmq_connect(s, url) != 0)
		fatal("could not connect to %s: %s", url, zmq_strerror(errno));
	return s;
}

void *
the_link(void)
{
	if (peer.link == NULL)
	{
		need_server_key();
		peer.link = open_link(&peer.self, WITH_CURVE, NULL);
	}
	return peer.link;
}

/* ---- frames ---- */

ByteWriter
begin_frame(uint8_t *out, int version, int type, uint64_t request, const KadId *collection)
{
	ByteWriter	w = {out, WIRE_FRAME_MAX, false};
	static const KadId none;

	bytes_put(&w, "vdbp", 4);
	bytes_put_uint(&w, 2, (uint64_t) version);
	bytes_put_uint(&w, 1, (uint64_t) type);
	bytes_put_uint(&w, 1, 0);
	bytes_put_uint(&w, 8, request);
	bytes_put(&w, collection == NULL ? none.b : collection->b, KAD_ID_BYTES);
	bytes_put_uint(&w, 4, 0);
	return w;
}

size_t
end_frame(uint8_t *out, const ByteWriter *w)
{
	size_t		len = (size_t) (w->at - out);

	if (w->failed)
		fatal("a frame does not fit");
	bytes_store(out + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
	return len;
}

uint64_t
new_request(void)
{
	return ++peer.next_request;
}

bool
send_frame(const uint8_t *frame, size_t len)
{
	return zmq_send(the_link(), frame, len, 0) >= 0;
}

/* The answer to a request, told in a few words; false when none comes. */
bool
await(uint64_t request, char *what, size_t room)
{
	static uint8_t frame[ANSWER_MAX];
	int64_t		until = now_tick() + peer.wait_ms;

	for (;;)
	{
		zmq_pollitem_t item = {the_link(), 0, ZMQ_POLLIN, 0};
		int64_t		left = until - now_tick();
		int			len;
		WireMessage m;
		DecodeStatus status;

		if (left <= 0 || zmq_poll(&item, 1, left) <= 0)
		{
			snprintf(what, room, "silence");
			return false;
		}
		len = zmq_recv(the_link(), frame, sizeof frame, ZMQ_DONTWAIT);
		if (len < WIRE_HEAD || frame[7] != 1 || bytes_load(frame + 8, 8) != request)
			continue;
		status = wire_decode(&peer.pool, frame, (size_t) len, now_unix(), &m);
		if (status != DECODE_OK)
		{
			snprintf(what, room, "an answer that cannot be read: %s", decode_status_text(status));
			return true;
		}
		switch (m.type)
		{
			case WIRE_HELLO:
				{
					char		id[2 * KAD_ID_BYTES + 1];

					kad_id_text(&m.hello.record->id, id);
					snprintf(what, room, "welcome from %s", id);
					break;
				}
			case WIRE_ERROR:
				snprintf(what, room, "error %u %.*s", m.error.code, (int) m.error.text_len, m.error.text == NULL ? "" : m.error.text);
				break;
			case WIRE_PING:
				snprintf(what, room, "pong");
				break;
			case WIRE_FIND_NODE:
				snprintf(what, room, "%d nodes", m.found.n_records);
				break;
			case WIRE_PROVIDE:
				snprintf(what, room, "code %u", m.provided.code);
				break;
			case WIRE_GRANTS_SYNC:
				snprintf(what, room, "%d statements", m.grants.n);
				break;
			case WIRE_REDEEM:
				snprintf(what, room, "%d statements", m.redeemed.n);
				break;
			default:
				snprintf(what, room, "type %d", m.type);
		}
		wire_release(&peer.pool, &m);
		return true;
	}
}

void
send_and_tell(const char *action, const uint8_t *frame, size_t len)
{
	char		what[512];

	if (!send_frame(frame, len))
	{
		printf("%s: not sent: %s\n", action, zmq_strerror(errno));
		return;
	}
	await(bytes_load(frame + 8, 8), what, sizeof what);
	printf("%s: %s\n", action, what);
}

/* A greeting with other items than a good one, or with none that is whole. */
static bool
is_odd(const char *kind)
{
	static const char *const kinds[] = {"extra", "extras", "full", "order", "twice", "belongs", "critical", "cut"};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

size_t
make_hello(const Self *who, const char *kind, uint8_t *frame)
{
	static const uint8_t nothing[WIRE_FRAME_MAX];
	uint8_t		record[NODE_RECORD_MAX];
	uint8_t		versions[4] = {1, 0, 1, 0};
	uint64_t	of_network = peer.network;
	int64_t		expires = now_unix() + HOUR_MS;
	int			version = 1;
	const Self *shown = who;
	size_t		len;
	ByteWriter	w;

	if (strcmp(kind, "network") == 0)
		of_network++;
	else if (strcmp(kind, "versions") == 0)
	{
		versions[0] = 2;
		versions[2] = 3;
	}
	else if (strcmp(kind, "version") == 0)
		version = 9;
	else if (strcmp(kind, "expired") == 0)
		expires = now_unix() - HOUR_MS;
	else if (strcmp(kind, "brief") == 0)
		expires = now_unix() + 6000;
	else if (strcmp(kind, "future") == 0)
		expires = now_unix() + 10 * 24 * HOUR_MS;
	else if (strcmp(kind, "stolen") == 0)
		shown = &peer.other;
	else if (strcmp(kind, "later") == 0)
		versions[2] = 7;
	else if (strcmp(kind, "range") == 0)
		versions[0] = 2;
	else if (!is_odd(kind) && strcmp(kind, "good") != 0 && strcmp(kind, "forged") != 0)
		fatal("there is no greeting of the kind \"%s\"", kind);
	len = sign_record(shown, of_network, expires, record);
	if (strcmp(kind, "forged") == 0)
		record[len - 1] ^= 0x10;
	w = begin_frame(frame, version, WIRE_HELLO, new_request(), NULL);
	if (strcmp(kind, "order") == 0)
		wire_put_item_uint(&w, WIRE_TAG_NETWORK, 8, of_network);
	wire_put_item(&w, WIRE_TAG_VERSIONS, versions, sizeof versions);
	if (strcmp(kind, "order") != 0)
		wire_put_item_uint(&w, WIRE_TAG_NETWORK, 8, of_network);
	for (int i = 0; i < (strcmp(kind, "twice") == 0 ? 2 : 1); i++)
		wire_put_item(&w, WIRE_TAG_RECORD, record, len);
	if (strcmp(kind, "belongs") == 0)
		wire_put_item(&w, WIRE_TAG_TARGET, record, 32);
	for (int i = 0; i < (strcmp(kind, "extras") == 0 ? 2 : strcmp(kind, "extra") == 0 ? 1 : 0); i++)
		wire_put_item(&w, 100, "later", 5);
	if (strcmp(kind, "critical") == 0)
		wire_put_item(&w, 100 | WIRE_CRITICAL, "later", 5);
	if (strcmp(kind, "full") == 0)
		wire_put_item(&w, 100, nothing, WIRE_FRAME_MAX - WIRE_ITEM_HEAD - (size_t) (w.at - frame));
	len = end_frame(frame, &w);
	if (strcmp(kind, "cut") == 0)
		bytes_store(frame + WIRE_HEAD - 4, 4, --len - WIRE_HEAD);
	return len;
}

/* What has been answered so far is taken, and counted. */
long
take_answers(void)
{
	static uint8_t answer[ANSWER_MAX];
	long		n = 0;

	while (zmq_recv(the_link(), answer, sizeof answer, ZMQ_DONTWAIT) >= 0)
		n++;
	return n;
}

/* "KIND:REST" */
const char *
split(const char *argument, char *kind, size_t room)
{
	const char *colon = strchr(argument, ':');

	if (colon == NULL || (size_t) (colon - argument) >= room)
		fatal("\"%s\" lacks a kind", argument);
	memcpy(kind, argument, (size_t) (colon - argument));
	kind[colon - argument] = '\0';
	return colon + 1;
}
