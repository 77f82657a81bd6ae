/*
 * hostile.c
 *	  A peer that speaks to a node over its wire, well or as badly as it is told.
 *
 *	hostile [--network=NAME] [--seed=N] [--salt=N] [--key=HEX] [--wait=MS] HOST PORT ACTION...
 *
 * HOST is an IPv4 address.  The node's CURVE key is asked by datagram, unless
 * --key gives it.  Our own keys follow from the seed: the same seed is the same
 * peer; with another salt the rest of what it draws is different.  Actions are
 * done in their order, and each writes a line "ACTION: what came of it"; of an
 * answer, what was answered.  A node that does not answer within --wait (60000 ms)
 * is "silence".
 *
 *	ask				what the node says of itself by datagram
 *	own				our own id
 *	hello=KIND		good network versions version expired brief (6 s)
 *					future forged stolen
 *	again=N			the last HELLO, N times more at once; answers are counted
 *	ping, find, bye
 *	fade			ping, until that is not answered by a pong any more
 *	provide=KIND:ID	good expired forged stolen, for a collection's id
 *	redeem=KIND:TEXT	good forged stolen altered, with an invitation
 *	grants=ID, graft=ID	as if we were a member
 *	flood=KIND:N	N statements about the collection of the invitation that was
 *					shown last, as if it had made us an admin; see flood.h
 *	replay=N		the last message of a flood, N times more
 *	frames=N		hostile frames, see make_hostile(), as fast as they are taken
 *	paced=N			the same; of each 500 is waited until the node has read them
 *	datagrams=N		noise, and asks that are damaged
 *	raw=N			TCP connections with bytes that are not ZMTP
 *	silent=N		TCP connections that say nothing, until the end
 *	peers=N			connections with a key each, that greet well, until the end
 *	null, wrongkey, curve	handshakes: is one let in?
 *	wait=MS			--wait for what comes after it, where silence is expected
 *	hold			until standard input ends
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "core/net/beacon.h"
#include "core/net/invitation.h"
#include "core/net/wire.h"
#include "core/net/wire_item.h"
#include "flood.h"
#include "host_fixture.h"

#define SKEW_MS 300000
#define HOUR_MS (INT64_C(3600) * 1000)
#define PACE 500				/* frames */
#define GREET_EVERY 100			/* hostile frames; some of them end our welcome */

typedef struct Self
{
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		curve_public[32];
	uint8_t		curve_secret[32];
	NodeRecord *record;
} Self;

static const char *host = NULL;
static int	port;
static const char *network_name = "vecdb";
static uint64_t network;
static long wait_ms = 60000;
static uint64_t random_state = 1;
static HostMemory memory_state = {.until_failure = -1};
static CoreMemory memory;
static CoreRandom randomness;
static CoreCrypto crypto;
static RecordPool pool;
static Self self;
static Self other;				/* somebody else */
static uint8_t server_key[32];
static bool has_server_key;
static void *context;
static void *link_socket;		/* ours to the node, when it is open */
static uint64_t next_request;
static uint8_t last_hello[WIRE_FRAME_MAX];
static size_t last_hello_len;
static Grant invited;			/* the invitation that was shown last */
static bool has_invited;
static uint8_t last_flood[WIRE_FRAME_MAX];
static size_t last_flood_len;

static void __attribute__((noreturn, format(printf, 1, 2)))
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

static int64_t
now_unix(void)
{
	return clock_ms(CLOCK_REALTIME);
}

static int64_t
now_tick(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

static uint64_t
below(uint64_t n)
{
	return core_random_below(&randomness, n);
}

static void
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

	if (inet_pton(AF_INET, host, &ip) != 1)
		fatal("\"%s\" is no IPv4 address", host);
	memcpy(b, &ip, 4);
	return net_address_v4(b[0], b[1], b[2], b[3], (uint16_t) at_port);
}

/* A record of somebody, good or not, into out[NODE_RECORD_MAX]. */
static size_t
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
	if (node_record_sign(&crypto, who->secret, &fields, out, &len) != DECODE_OK)
		fatal("could not sign a record");
	return len;
}

static void
make_self(Self *who)
{
	uint8_t		seed[CORE_SEED_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;

	host_fill(&random_state, seed, sizeof seed);
	crypto.key_pair(NULL, seed, key, who->secret);
	host_fill(&random_state, who->curve_secret, sizeof who->curve_secret);
	crypto_scalarmult_base(who->curve_public, who->curve_secret);
	len = sign_record(who, network, now_unix() + HOUR_MS, bytes);
	if (record_pool_take(&pool, bytes, len, now_unix(), &who->record) != DECODE_OK)
		fatal("could not make a record");
}

/* ---- datagrams ---- */

static NodeRecord *
ask_by_datagram(void)
{
	int			fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	uint8_t		ask[BEACON_MAX];
	uint8_t		answer[2048];
	uint64_t	nonce = core_random_bits(&randomness) | 1;
	int64_t		until = now_tick() + wait_ms;
	NodeRecord *record = NULL;

	inet_pton(AF_INET, host, &to.sin_addr);
	while (record == NULL && now_tick() < until)
	{
		size_t		len = beacon_sign(&crypto, self.secret, BEACON_ASK, nonce, self.record, now_unix(), ask);
		struct pollfd p = {.fd = fd, .events = POLLIN};

		sendto(fd, ask, len, 0, (struct sockaddr *) &to, sizeof to);
		if (poll(&p, 1, 300) == 1)
		{
			ssize_t		n = recv(fd, answer, sizeof answer, 0);
			Beacon		beacon;

			if (n > 0 && beacon_decode(&pool, answer, (size_t) n, now_unix(), &beacon) == DECODE_OK)
			{
				if (beacon.kind == BEACON_ANNOUNCE && beacon.nonce == nonce)
					record = beacon.record;
				else
					record_pool_release(&pool, beacon.record);
			}
		}
	}
	close(fd);
	return record;
}

static void
do_ask(const char *argument)
{
	NodeRecord *record = ask_by_datagram();

	if (record == NULL)
	{
		printf("ask: silence\n");
		return;
	}
	printf("ask: answered");
	print_hex("id", record->id.b, KAD_ID_BYTES);
	print_hex("curve", record->curve_key, CORE_KEY_BYTES);
	printf(" seq=%" PRIu64 "\n", record->seq);
	record_pool_release(&pool, record);
}

static void
do_own(const char *argument)
{
	printf("own:");
	print_hex("id", self.record->id.b, KAD_ID_BYTES);
	printf("\n");
}

/* ---- links ---- */

static void
need_server_key(void)
{
	NodeRecord *record;

	if (has_server_key)
		return;
	record = ask_by_datagram();
	if (record == NULL)
		fatal("%s:%d does not answer a datagram of the network \"%s\"; give its CURVE key with --key", host, port, network_name);
	memcpy(server_key, record->curve_key, 32);
	record_pool_release(&pool, record);
	has_server_key = true;
}

typedef enum Mechanism
{
	WITH_CURVE,
	WITH_NULL,
	WITH_WRONG_KEY
} Mechanism;

static void *
open_link(const Self *who, Mechanism mechanism, const char *monitor)
{
	void	   *s = zmq_socket(context, ZMQ_DEALER);
	char		url[64];
	int			zero = 0;
	int			timeout = (int) wait_ms;
	int			reconnect = 100;

	if (s == NULL)
		return NULL;
	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
	zmq_setsockopt(s, ZMQ_SNDTIMEO, &timeout, sizeof timeout);
	zmq_setsockopt(s, ZMQ_RECONNECT_IVL, &reconnect, sizeof reconnect);
	if (mechanism != WITH_NULL)
	{
		uint8_t		wrong[32];

		memcpy(wrong, server_key, 32);
		if (mechanism == WITH_WRONG_KEY)
			wrong[5] ^= 1;
		if (zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, wrong, 32) != 0 ||
			zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, who->curve_public, 32) != 0 ||
			zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, who->curve_secret, 32) != 0)
			fatal("libzmq refuses the keys: %s", zmq_strerror(errno));
	}
	if (monitor != NULL && zmq_socket_monitor(s, monitor, ZMQ_EVENT_ALL) != 0)
		fatal("no monitor: %s", zmq_strerror(errno));
	snprintf(url, sizeof url, "tcp://%s:%d", host, port);
	if (zmq_connect(s, url) != 0)
		fatal("could not connect to %s: %s", url, zmq_strerror(errno));
	return s;
}

static void *
the_link(void)
{
	if (link_socket == NULL)
	{
		need_server_key();
		link_socket = open_link(&self, WITH_CURVE, NULL);
	}
	return link_socket;
}

/* ---- frames ---- */

static ByteWriter
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

static size_t
end_frame(uint8_t *out, const ByteWriter *w)
{
	size_t		len = (size_t) (w->at - out);

	if (w->failed)
		fatal("a frame does not fit");
	bytes_store(out + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
	return len;
}

static uint64_t
new_request(void)
{
	return ++next_request;
}

static bool
send_frame(const uint8_t *frame, size_t len)
{
	return zmq_send(the_link(), frame, len, 0) >= 0;
}

/* The answer to a request, told in a few words; false when none comes. */
static bool
await(uint64_t request, char *what, size_t room)
{
	static uint8_t frame[4 * 1024 * 1024];
	int64_t		until = now_tick() + wait_ms;

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
		status = wire_decode(&pool, frame, (size_t) len, now_unix(), &m);
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
		wire_release(&pool, &m);
		return true;
	}
}

static void
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

static size_t
make_hello(const Self *who, const char *kind, uint8_t *frame)
{
	uint8_t		record[NODE_RECORD_MAX];
	uint8_t		versions[4] = {1, 0, 1, 0};
	uint64_t	of_network = network;
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
		shown = &other;
	else if (strcmp(kind, "good") != 0 && strcmp(kind, "forged") != 0)
		fatal("there is no greeting of the kind \"%s\"", kind);
	len = sign_record(shown, of_network, expires, record);
	if (strcmp(kind, "forged") == 0)
		record[len - 1] ^= 0x10;
	w = begin_frame(frame, version, WIRE_HELLO, new_request(), NULL);
	wire_put_item(&w, WIRE_TAG_VERSIONS, versions, sizeof versions);
	wire_put_item_uint(&w, WIRE_TAG_NETWORK, 8, of_network);
	wire_put_item(&w, WIRE_TAG_RECORD, record, len);
	return end_frame(frame, &w);
}

static void
do_hello(const char *kind)
{
	char		action[64];

	last_hello_len = make_hello(&self, kind, last_hello);
	snprintf(action, sizeof action, "hello=%s", kind);
	send_and_tell(action, last_hello, last_hello_len);
}

static void
do_again(const char *argument)
{
	static uint8_t answer[4 * 1024 * 1024];
	int			n = atoi(argument);
	int			sent = 0;
	int			answered = 0;
	int64_t		until;

	for (int i = 0; i < n; i++)
	{
		bytes_store(last_hello + 8, 8, new_request());
		sent += send_frame(last_hello, last_hello_len);
	}
	until = now_tick() + wait_ms;
	while (answered < sent && now_tick() < until)
	{
		zmq_pollitem_t item = {the_link(), 0, ZMQ_POLLIN, 0};

		if (zmq_poll(&item, 1, until - now_tick()) > 0 && zmq_recv(the_link(), answer, sizeof answer, ZMQ_DONTWAIT) >= 0)
			answered++;
	}
	printf("again: %d sent, %d answered\n", sent, answered);
}

static void
do_ping(const char *argument)
{
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_PING, new_request(), NULL);

	send_and_tell("ping", frame, end_frame(frame, &w));
}

static void
do_fade(const char *argument)
{
	uint8_t		frame[WIRE_FRAME_MAX];
	char		what[512] = "pong";
	int64_t		until = now_tick() + wait_ms;
	int			pongs = 0;

	for (; strcmp(what, "pong") == 0 && now_tick() < until; pongs++)
	{
		ByteWriter	w = begin_frame(frame, 1, WIRE_PING, new_request(), NULL);
		size_t		len = end_frame(frame, &w);

		send_frame(frame, len);
		await(bytes_load(frame + 8, 8), what, sizeof what);
		poll(NULL, 0, 50);
	}
	printf("fade: %d pongs, then %s\n", pongs - 1, what);
}

static void
do_find(const char *argument)
{
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_FIND_NODE, new_request(), NULL);

	wire_put_item(&w, WIRE_TAG_TARGET, self.record->id.b, KAD_ID_BYTES);
	send_and_tell("find", frame, end_frame(frame, &w));
}

static void
do_bye(const char *argument)
{
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_BYE, 0, NULL);

	printf("bye: %s\n", send_frame(frame, end_frame(frame, &w)) ? "sent" : "not sent");
}

static KadId
parse_id(const char *text)
{
	KadId		id;

	if (!kad_id_parse(text, strlen(text), &id))
		fatal("\"%s\" is no id", text);
	return id;
}

/* "KIND:REST" */
static const char *
split(const char *argument, char *kind, size_t room)
{
	const char *colon = strchr(argument, ':');

	if (colon == NULL || (size_t) (colon - argument) >= room)
		fatal("\"%s\" lacks a kind", argument);
	memcpy(kind, argument, (size_t) (colon - argument));
	kind[colon - argument] = '\0';
	return colon + 1;
}

static void
do_provide(const char *argument)
{
	char		kind[16];
	char		action[32];
	KadId		collection = parse_id(split(argument, kind, sizeof kind));
	const Self *who = strcmp(kind, "stolen") == 0 ? &other : &self;
	int64_t		issued = now_unix() - (strcmp(kind, "expired") == 0 ? 2 * PROVIDER_LIFE_MS : 0);
	uint8_t		bytes[PROVIDER_BYTES];
	uint8_t		value[PROVIDER_BYTES + NODE_RECORD_MAX];
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_PROVIDE, new_request(), NULL);

	if (!provider_sign(&crypto, who->secret, &collection, issued, false, bytes))
		fatal("could not sign");
	if (strcmp(kind, "forged") == 0)
		bytes[PROVIDER_BYTES - 1] ^= 1;
	memcpy(value, bytes, PROVIDER_BYTES);
	memcpy(value + PROVIDER_BYTES, self.record->bytes, self.record->len);
	wire_put_item(&w, WIRE_TAG_PROVIDER, value, PROVIDER_BYTES + self.record->len);
	snprintf(action, sizeof action, "provide=%s", kind);
	send_and_tell(action, frame, end_frame(frame, &w));
}

static void
do_redeem(const char *argument)
{
	char		kind[16];
	char		action[32];
	const char *text = split(argument, kind, sizeof kind);
	Invitation	invitation;
	DecodeStatus status = invitation_decode(&crypto, text, strlen(text), now_unix(), SKEW_MS, &invitation);
	KadId		collection;
	uint8_t		redemption[REDEMPTION_BYTES];
	uint8_t		frame[WIRE_FRAME_MAX];
	const Self *who = strcmp(kind, "stolen") == 0 ? &other : &self;
	ByteWriter	w;

	if (status != DECODE_OK)
		fatal("the invitation cannot be read: %s", decode_status_text(status));
	invited = invitation.grant;
	has_invited = true;
	collection = kad_id_of_key(&crypto, invitation.grant.root);
	if (!redemption_sign(&crypto, invitation.secret, invitation.grant.root, who->record->key, now_unix(), redemption))
		fatal("could not sign");
	if (strcmp(kind, "forged") == 0)
		redemption[REDEMPTION_BYTES - 1] ^= 1;
	if (strcmp(kind, "altered") == 0)
		invitation.statement[5] = invitation.statement[5] == GRANT_ADMIN ? GRANT_READER : GRANT_ADMIN;
	w = begin_frame(frame, 1, WIRE_REDEEM, new_request(), &collection);
	wire_put_item(&w, WIRE_TAG_GRANT, invitation.statement, GRANT_BYTES);
	wire_put_item(&w, WIRE_TAG_REDEMPTION, redemption, sizeof redemption);
	snprintf(action, sizeof action, "redeem=%s", kind);
	send_and_tell(action, frame, end_frame(frame, &w));
}

static void
do_grants(const char *argument)
{
	KadId		collection = parse_id(argument);
	uint8_t		fingerprint[GRANT_HASH_BYTES] = {0};
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_GRANTS_SYNC, new_request(), &collection);

	wire_put_item(&w, WIRE_TAG_FINGERPRINT, fingerprint, sizeof fingerprint);
	send_and_tell("grants", frame, end_frame(frame, &w));
}

static void
do_graft(const char *argument)
{
	KadId		collection = parse_id(argument);
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_GRAFT, 0, &collection);

	printf("graft: %s\n", send_frame(frame, end_frame(frame, &w)) ? "sent" : "not sent");
}

/* ---- a member that means harm ---- */

/* What has been answered so far is taken, and counted. */
static long
take_answers(void)
{
	static uint8_t answer[4 * 1024 * 1024];
	long		n = 0;

	while (zmq_recv(the_link(), answer, sizeof answer, ZMQ_DONTWAIT) >= 0)
		n++;
	return n;
}

static void
do_flood(const char *argument)
{
	static const uint8_t fingerprint[GRANT_HASH_BYTES];
	char		name[16];
	long		n = atol(split(argument, name, sizeof name));
	long		messages = 0;
	long		answers = 0;
	FloodKind	kind = 0;
	KadId		collection;
	Flood		flood;

	while (kind < FLOOD_KINDS && strcmp(flood_names[kind], name) != 0)
		kind++;
	if (kind == FLOOD_KINDS)
		fatal("there is no flood of the kind \"%s\"", name);
	if (!has_invited)
		fatal("a flood needs a collection: show an invitation first");
	/* who redeems an invitation stands where the invitation does */
	flood_begin(&flood, &crypto, &random_state, kind, now_unix(), invited.depth + 1, invited.root, self.secret);
	collection = kad_id_of_key(&crypto, invited.root);
	for (long i = 0; i < n;)
	{
		ByteWriter	w = begin_frame(last_flood, 1, WIRE_GRANTS_SYNC, new_request(), &collection);

		for (int k = 0; k < WIRE_GRANTS && i < n; k++, i++)
		{
			uint8_t		statement[GRANT_BYTES];

			if (!flood_make(&flood, i, statement))
				fatal("could not sign");
			wire_put_item(&w, WIRE_TAG_GRANT, statement, GRANT_BYTES);
		}
		wire_put_item(&w, WIRE_TAG_FINGERPRINT, fingerprint, sizeof fingerprint);
		last_flood_len = end_frame(last_flood, &w);
		messages += send_frame(last_flood, last_flood_len);
		answers += take_answers();
	}
	printf("flood=%s: %ld statements, %ld messages sent, %ld answers\n", name, n, messages, answers);
}

static void
do_replay(const char *argument)
{
	long		n = atol(argument);
	long		messages = 0;
	long		answers = 0;

	for (long i = 0; i < n; i++)
	{
		bytes_store(last_flood + 8, 8, new_request());
		messages += send_frame(last_flood, last_flood_len);
		answers += take_answers();
	}
	printf("replay: %ld messages sent, %ld answers\n", messages, answers);
}

/* ---- bytes that nobody should send ---- */

/* A message that could be read, of any type. */
static size_t
make_message(uint8_t *frame)
{
	static const uint8_t types[] = {WIRE_PING, WIRE_FIND_NODE, WIRE_FIND_PROVIDERS, WIRE_PROVIDE, WIRE_GRANTS_SYNC,
	WIRE_REDEEM, WIRE_GRAFT, WIRE_PRUNE, WIRE_HELLO, WIRE_BYE};
	int			type = types[below(sizeof types)];
	bool		numbered = type != WIRE_GRAFT && type != WIRE_PRUNE && type != WIRE_BYE;
	KadId		id;
	uint8_t		bytes[512];
	ByteWriter	w;

	if (type == WIRE_HELLO)
		return make_hello(&self, "good", frame);
	host_fill(&random_state, id.b, sizeof id.b);
	host_fill(&random_state, bytes, sizeof bytes);
	w = begin_frame(frame, 1, type, numbered ? new_request() : 0, type >= WIRE_GRANTS_SYNC && type <= WIRE_PRUNE ? &id : NULL);
	switch (type)
	{
		case WIRE_FIND_NODE:
		case WIRE_FIND_PROVIDERS:
			wire_put_item(&w, WIRE_TAG_TARGET, id.b, sizeof id.b);
			if (below(2) == 0)
				wire_put_item(&w, WIRE_TAG_AVOID, bytes, 8 * (1 + below(20)));
			break;
		case WIRE_PROVIDE:
			provider_sign(&crypto, self.secret, &id, now_unix(), false, bytes);
			memcpy(bytes + PROVIDER_BYTES, self.record->bytes, self.record->len);
			wire_put_item(&w, WIRE_TAG_PROVIDER, bytes, PROVIDER_BYTES + self.record->len);
			break;
		case WIRE_GRANTS_SYNC:
			wire_put_item(&w, WIRE_TAG_GRANT, bytes, GRANT_BYTES);
			wire_put_item(&w, WIRE_TAG_FINGERPRINT, bytes, GRANT_HASH_BYTES);
			break;
		case WIRE_REDEEM:
			wire_put_item(&w, WIRE_TAG_GRANT, bytes, GRANT_BYTES);
			wire_put_item(&w, WIRE_TAG_REDEMPTION, bytes, REDEMPTION_BYTES);
			break;
		case WIRE_PRUNE:
			wire_put_item_uint(&w, WIRE_TAG_BACKOFF, 4, below(1000));
			break;
		default:
			break;
	}
	return end_frame(frame, &w);
}

/* One frame into out[WIRE_FRAME_MAX + 64]; its length. */
static size_t
make_hostile(uint8_t *out)
{
	size_t		len;

	switch (below(8))
	{
		case 0:					/* noise */
			len = below(300);
			host_fill(&random_state, out, len);
			return len;
		case 1:					/* the right beginning, then noise */
			len = 4 + below(300);
			host_fill(&random_state, out, len);
			memcpy(out, "vdbp", 4);
			return len;
		case 2:					/* cut short */
			return below(make_message(out) + 1);
		case 3:					/* some bits turned */
			len = make_message(out);
			for (uint64_t n = 1 + below(4); n > 0; n--)
				out[below(len)] ^= (uint8_t) (1 << below(8));
			return len;
		case 4:					/* a length that lies */
			len = make_message(out);
			bytes_store(out + WIRE_HEAD - 4, 4, core_random_bits(&randomness));
			return len;
		case 5:					/* an item whose length lies */
			len = make_message(out);
			if (len >= WIRE_HEAD + WIRE_ITEM_HEAD)
				bytes_store(out + WIRE_HEAD + 2, 4, below(2) == 0 ? UINT32_MAX - below(64) : core_random_bits(&randomness));
			return len;
		case 6:					/* more of it than there can be */
			len = make_message(out);
			if (below(50) == 0)
			{
				host_fill(&random_state, out + len, WIRE_FRAME_MAX - len + 64);
				len = WIRE_FRAME_MAX + below(64);
			}
			else
			{
				host_fill(&random_state, out + len, 64);
				len += 1 + below(64);
			}
			bytes_store(out + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
			return len;
		default:				/* no type of ours, flags, another version */
			len = make_message(out);
			out[4 + below(4)] = (uint8_t) core_random_bits(&randomness);
			return len;
	}
}

static void
send_hostile(const char *action, long n, bool paced)
{
	static uint8_t frame[WIRE_FRAME_MAX + 64];
	long		sent = 0;
	long		answers = 0;
	long		parts = 0;
	int64_t		began = now_tick();

	for (long i = 0; i < n; i++)
	{
		size_t		len;
		int			more = below(100) == 0 && i + 1 < n ? ZMQ_SNDMORE : 0;

		if (i % GREET_EVERY == 0)
		{
			char		what[512];

			len = make_hello(&self, "good", frame);
			send_frame(frame, len);
			if (paced && i % PACE == 0)
				await(bytes_load(frame + 8, 8), what, sizeof what);
		}
		len = make_hostile(frame);
		parts += more != 0;
		if (zmq_send(the_link(), frame, len, more) < 0)
		{
			/* cut, and not let in again: on a new link */
			zmq_close(link_socket);
			link_socket = NULL;
			continue;
		}
		if (more != 0)
			zmq_send(the_link(), frame, len / 2, 0);
		sent++;
		answers += take_answers();
	}
	printf("%s: %ld sent, %ld of them in parts, %ld answers, %" PRId64 " ms\n", action, sent, parts, answers, now_tick() - began);
}

static void
do_frames(const char *argument)
{
	send_hostile("frames", atol(argument), false);
}

static void
do_paced(const char *argument)
{
	send_hostile("paced", atol(argument), true);
}

/* Datagrams: noise, and asks cut short or with some bits turned. */
static void
do_datagrams(const char *argument)
{
	int			fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	long		n = atol(argument);
	long		sent = 0;

	inet_pton(AF_INET, host, &to.sin_addr);
	for (long i = 0; i < n; i++)
	{
		uint8_t		bytes[2 * BEACON_MAX];
		size_t		len = below(sizeof bytes + 1);

		host_fill(&random_state, bytes, len);
		if (below(2) == 0)
		{
			len = beacon_sign(&crypto, self.secret, below(2) == 0 ? BEACON_ASK : BEACON_ANNOUNCE, below(3), self.record, now_unix(), bytes);
			if (below(2) == 0)
				len = below(len);
			else
				bytes[below(len)] ^= (uint8_t) (1 << below(8));
		}
		sent += sendto(fd, bytes, len, 0, (struct sockaddr *) &to, sizeof to) >= 0;
	}
	close(fd);
	printf("datagrams: %ld sent\n", sent);
}

static int
connect_tcp(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	struct timeval limit = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	inet_pton(AF_INET, host, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *) &to, sizeof to) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
do_raw(const char *argument)
{
	static const uint8_t greeting[] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 0, 'C', 'U', 'R', 'V', 'E'};
	int			n = atoi(argument);
	int			made = 0;

	for (int i = 0; i < n; i++)
	{
		uint8_t		bytes[4096];
		size_t		len = 1 + below(sizeof bytes);
		int			fd = connect_tcp();

		if (fd < 0)
			continue;
		made++;
		host_fill(&random_state, bytes, len);
		if (below(2) == 0)
			memcpy(bytes, greeting, len < sizeof greeting ? len : sizeof greeting);
		if (send(fd, bytes, len, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
			fprintf(stderr, "hostile: %s\n", strerror(errno));
		close(fd);
	}
	printf("raw: %d of %d connected\n", made, n);
}

static void
do_silent(const char *argument)
{
	int			n = atoi(argument);
	int			made = 0;

	/* left open: the process's end closes them */
	for (int i = 0; i < n; i++)
		made += connect_tcp() >= 0;
	printf("silent: %d of %d connected\n", made, n);
}

static void
do_peers(const char *argument)
{
	int			n = atoi(argument);
	int			welcome = 0;
	int			refused = 0;
	int64_t		until;
	zmq_pollitem_t *item = calloc((size_t) n, sizeof *item);
	uint8_t		frame[WIRE_FRAME_MAX];

	need_server_key();
	for (int i = 0; i < n; i++)
	{
		Self		one;
		int			large = 64 * 1024;

		make_self(&one);
		item[i] = (zmq_pollitem_t) {open_link(&one, WITH_CURVE, NULL), 0, ZMQ_POLLIN, 0};
		if (item[i].socket == NULL)
			fatal("no more sockets: %s", zmq_strerror(errno));
		zmq_setsockopt(item[i].socket, ZMQ_RCVBUF, &large, sizeof large);
		zmq_send(item[i].socket, frame, make_hello(&one, "good", frame), ZMQ_DONTWAIT);
		record_pool_release(&pool, one.record);
	}
	until = now_tick() + wait_ms;
	while (welcome + refused < n && now_tick() < until)
	{
		if (zmq_poll(item, n, until - now_tick()) <= 0)
			break;
		for (int i = 0; i < n; i++)
			if (item[i].revents & ZMQ_POLLIN)
			{
				int			len = zmq_recv(item[i].socket, frame, sizeof frame, ZMQ_DONTWAIT);

				if (len >= WIRE_HEAD && frame[7] == 1)
				{
					welcome += frame[6] == WIRE_HELLO;
					refused += frame[6] == WIRE_ERROR;
				}
			}
	}
	free(item);
	printf("peers: %d of %d welcome, %d refused\n", welcome, n, refused);
}

/* Is a handshake let in?  What libzmq's own monitor says. */
static void
try_handshake(const char *action, Mechanism mechanism)
{
	char		url[64];
	void	   *s;
	void	   *monitor;
	int64_t		until = now_tick() + wait_ms;
	const char *what = "silence";

	if (mechanism != WITH_NULL)
		need_server_key();
	snprintf(url, sizeof url, "inproc://monitor-%s", action);
	s = open_link(&self, mechanism, url);
	monitor = zmq_socket(context, ZMQ_PAIR);
	if (monitor == NULL || zmq_connect(monitor, url) != 0)
		fatal("no monitor: %s", zmq_strerror(errno));
	while (now_tick() < until)
	{
		zmq_pollitem_t item = {monitor, 0, ZMQ_POLLIN, 0};
		uint8_t		event[6];
		char		address[256];
		int			id;

		if (zmq_poll(&item, 1, until - now_tick()) <= 0)
			break;
		if (zmq_recv(monitor, event, sizeof event, 0) < 2 || zmq_recv(monitor, address, sizeof address, 0) < 0)
			continue;
		id = event[0] | event[1] << 8;
		if (id == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
			what = "let in";
		else if (id == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || id == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
				 id == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || id == ZMQ_EVENT_DISCONNECTED)
			what = "refused";
		else
			continue;
		break;
	}
	zmq_socket_monitor(s, NULL, 0);
	zmq_close(monitor);
	zmq_close(s);
	printf("%s: %s\n", action, what);
}

static void
do_null(const char *argument)
{
	try_handshake("null", WITH_NULL);
}

static void
do_wrongkey(const char *argument)
{
	try_handshake("wrongkey", WITH_WRONG_KEY);
}

static void
do_curve(const char *argument)
{
	try_handshake("curve", WITH_CURVE);
}

static void
do_wait(const char *argument)
{
	wait_ms = atol(argument);
}

static void
do_hold(const char *argument)
{
	char		c;

	printf("hold: holding\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

/* ---- */

typedef struct Action
{
	const char *name;
	bool		has_argument;
	void		(*act) (const char *argument);
} Action;

static const Action actions[] = {
	{"ask", false, do_ask},
	{"own", false, do_own},
	{"hello", true, do_hello},
	{"again", true, do_again},
	{"ping", false, do_ping},
	{"fade", false, do_fade},
	{"find", false, do_find},
	{"bye", false, do_bye},
	{"provide", true, do_provide},
	{"redeem", true, do_redeem},
	{"grants", true, do_grants},
	{"graft", true, do_graft},
	{"flood", true, do_flood},
	{"replay", true, do_replay},
	{"frames", true, do_frames},
	{"paced", true, do_paced},
	{"datagrams", true, do_datagrams},
	{"raw", true, do_raw},
	{"silent", true, do_silent},
	{"peers", true, do_peers},
	{"null", false, do_null},
	{"wrongkey", false, do_wrongkey},
	{"curve", false, do_curve},
	{"wait", true, do_wait},
	{"hold", false, do_hold},
};

static void
act(const char *text)
{
	size_t		len = strcspn(text, "=");

	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (strlen(actions[i].name) == len && strncmp(text, actions[i].name, len) == 0 &&
			actions[i].has_argument == (text[len] == '='))
		{
			actions[i].act(text[len] == '=' ? text + len + 1 : "");
			fflush(stdout);
			return;
		}
	fatal("there is no action \"%s\"", text);
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
	const char *value;
	uint64_t	salt = 0;
	struct rlimit files;
	int			sockets = 4096;
	int			i;

	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++)
	{
		if ((value = option(argv[i], "--network")) != NULL)
			network_name = value;
		else if ((value = option(argv[i], "--seed")) != NULL)
			random_state = strtoull(value, NULL, 0);
		else if ((value = option(argv[i], "--salt")) != NULL)
			salt = strtoull(value, NULL, 0);
		else if ((value = option(argv[i], "--wait")) != NULL)
			wait_ms = atol(value);
		else if ((value = option(argv[i], "--key")) != NULL)
		{
			KadId		key = parse_id(value);

			memcpy(server_key, key.b, 32);
			has_server_key = true;
		}
		else
			fatal("unknown option %s", argv[i]);
	}
	if (argc - i < 3)
		fatal("usage: hostile [--network=NAME] [--seed=N] [--salt=N] [--key=HEX] [--wait=MS] HOST PORT ACTION...");
	host = argv[i++];
	port = atoi(argv[i++]);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	memory = HOST_MEMORY(&memory_state);
	randomness = HOST_RANDOM(&random_state);
	crypto = host_crypto();
	network = node_network(&crypto, network_name, strlen(network_name));
	if (!record_pool_init(&pool, &memory, &crypto, &randomness, network, SKEW_MS, 100000))
		fatal("out of memory");
	make_self(&self);
	make_self(&other);
	random_state += salt;
	next_request = core_random_bits(&randomness) >> 2 | 1;
	context = zmq_ctx_new();
	zmq_ctx_set(context, ZMQ_MAX_SOCKETS, sockets);
	for (; i < argc; i++)
		act(argv[i]);
	fflush(stdout);
	/* what is open is closed by the end of the process */
	_exit(0);
}
