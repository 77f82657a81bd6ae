/*
 * false_node.c
 *	  What answers a probe at a port, as a node does or as none should.
 *
 *	false_node [--network=NAME] [--clock=MS] [--tell=IP:PORT] [--udp=KIND] [--tcp=KIND] [--hello=KIND] IP PORT
 *
 * IP is an IPv4 address.  Writes a line "ready id=HEX curve=HEX" once it listens, and
 * runs until standard input ends.  Its clock is off by so many milliseconds, and like a
 * node it answers no ask that is more than five minutes off.  It tells that it is at
 * IP:PORT, or where --tell says.  What is good is written with the codec of src/core.
 *
 * Each KIND is "good" by default.
 *
 *	--udp		closed mute; noise long cut kind record datagram (forged) nonce network
 *				(another) key (a record with another CURVE key) flood (noise without end)
 *	--tcp		closed mute; text (as of another protocol) null (ZMTP without CURVE)
 *				key (another one than in the record) loworder (in WELCOME: libzmq aborts)
 *	--hello		what answers HELLO, see lie(); PING is answered well
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "core/bytes.h"
#include "core/net/beacon.h"
#include "core/net/wire.h"
#include "core/net/wire_item.h"
#include "host_fixture.h"

#define SKEW_MS 300000
#define HOUR_MS (INT64_C(3600) * 1000)
#define FRAME_ROOM (128 * 1024)
#define FLOOD 64				/* messages in one turn */

static struct
{
	const char *network_name;
	const char *udp;
	const char *tcp;
	const char *hello;
	const char *tell;
	int64_t		clock_ms;
	const char *ip;
	int			port;
	uint64_t	network;
	CoreCrypto	crypto;
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		curve_public[32];
	uint8_t		curve_secret[32];
	uint8_t		other_public[32];
	uint8_t		other_secret[32];
}			self = {.network_name = "vecdb",.udp = "good",.tcp = "good",.hello = "good"};

static void __attribute__((noreturn, format(printf, 1, 2)))
fatal(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static bool
is(const char *kind, const char *name)
{
	return strcmp(kind, name) == 0;
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000 + self.clock_ms;
}

static NetAddress
parse_address(const char *text)
{
	char		ip[INET_ADDRSTRLEN];
	const char *colon = strchr(text, ':');
	struct in_addr a;
	uint8_t		b[4];

	if (colon == NULL || (size_t) (colon - text) >= sizeof ip)
		fatal("\"%s\" is no address", text);
	memcpy(ip, text, (size_t) (colon - text));
	ip[colon - text] = '\0';
	if (inet_pton(AF_INET, ip, &a) != 1)
		fatal("\"%s\" is no address", text);
	memcpy(b, &a, 4);
	return net_address_v4(b[0], b[1], b[2], b[3], (uint16_t) atoi(colon + 1));
}

/* A record into out[NODE_RECORD_MAX]; its length. */
static size_t
make_record(const uint8_t *curve_key, uint64_t network, int64_t expires_ms, uint8_t *out)
{
	NodeRecordFields fields = {.network = network,.seq = 7,.expires_ms = expires_ms,.n_addresses = 1};
	size_t		len;

	fields.addresses[0] = parse_address(self.tell);
	memcpy(fields.curve_key, curve_key, 32);
	if (node_record_sign(&self.crypto, self.secret, &fields, out, &len) != DECODE_OK)
		fatal("could not sign a record");
	return len;
}

/* With extensions, which the codec does not write, signed anew. */
static size_t
extend_record(uint8_t *record, size_t len, int tag)
{
	ByteWriter	w = {record + len - CORE_SIGNATURE_BYTES, 64, false};

	wire_put_item(&w, tag, "later", 5);
	bytes_store(record + 6, 2, 11);
	crypto_sign_detached(record + len - CORE_SIGNATURE_BYTES + 11, NULL, record, len - CORE_SIGNATURE_BYTES + 11, self.secret);
	return len + 11;
}

/* ---- datagrams ---- */

static size_t
make_answer(uint64_t nonce, uint8_t *out)
{
	bool		other = is(self.udp, "network");
	uint64_t	network = self.network + (other ? 1 : 0);
	ByteWriter	w = {out, 2048, false};
	uint8_t		record[NODE_RECORD_MAX];
	size_t		record_len = make_record(is(self.udp, "key") ? self.other_public : self.curve_public, network, now() + HOUR_MS, record);
	size_t		len;

	if (is(self.udp, "record"))
		record[record_len - 1] ^= 0x10;
	bytes_put(&w, "vbc1", 4);
	bytes_put_uint(&w, 2, is(self.udp, "kind") ? BEACON_ASK : BEACON_ANNOUNCE);
	bytes_put_uint(&w, 2, record_len);
	bytes_put_uint(&w, 8, network);
	bytes_put_uint(&w, 8, (uint64_t) now());
	bytes_put_uint(&w, 8, nonce + (is(self.udp, "nonce") ? 1 : 0));
	bytes_put(&w, record, record_len);
	len = (size_t) (w.at - out);
	crypto_sign_detached(w.at, NULL, out, len, self.secret);
	if (is(self.udp, "datagram"))
		out[len] ^= 0x10;
	len += CORE_SIGNATURE_BYTES;
	if (is(self.udp, "cut"))
		return len - 1;
	if (is(self.udp, "long"))
		return len + 400;
	if (is(self.udp, "noise") || is(self.udp, "flood"))
		randombytes_buf(out, len);
	return len;
}

/* As a node does: what is of another network or time is not answered. */
static void
take_datagram(int fd)
{
	uint8_t		ask[BEACON_MAX + 1];
	uint8_t		answer[4096] = {0};
	struct sockaddr_in from;
	socklen_t	from_len = sizeof from;
	ssize_t		len = recvfrom(fd, ask, sizeof ask, MSG_DONTWAIT, (struct sockaddr *) &from, &from_len);
	int64_t		off;

	if (len < BEACON_HEAD || is(self.udp, "mute") || bytes_load(ask + 8, 8) != self.network)
		return;
	off = (int64_t) bytes_load(ask + 16, 8) - now();
	if (off > SKEW_MS || off < -SKEW_MS)
		return;
	for (int i = 0; i < (is(self.udp, "flood") ? 1000 : 1); i++)
		(void) sendto(fd, answer, make_answer(bytes_load(ask + 24, 8), answer), 0, (struct sockaddr *) &from, from_len);
}

/* ---- frames ---- */

static size_t
end_frame(uint8_t *frame, const ByteWriter *w)
{
	size_t		len = (size_t) (w->at - frame);

	if (w->failed)
		fatal("a frame does not fit");
	bytes_store(frame + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
	return len;
}

static ByteWriter
begin_frame(uint8_t *frame, size_t room, int version, int type, int flags, uint64_t request)
{
	static const KadId none;
	ByteWriter	w = {frame, room, false};

	bytes_put(&w, "vdbp", 4);
	bytes_put_uint(&w, 2, (uint64_t) version);
	bytes_put_uint(&w, 1, (uint64_t) type);
	bytes_put_uint(&w, 1, (uint64_t) flags);
	bytes_put_uint(&w, 8, request);
	bytes_put(&w, none.b, KAD_ID_BYTES);
	bytes_put_uint(&w, 4, 0);
	return w;
}

static size_t
make_error(const char *code, uint64_t request, uint8_t *frame)
{
	ByteWriter	w = begin_frame(frame, FRAME_ROOM, 1, WIRE_ERROR, 1, request);

	wire_put_item_uint(&w, WIRE_TAG_CODE, 2, (uint64_t) atoi(code));
	wire_put_item(&w, WIRE_TAG_TEXT, is(code, "6") ? "a\x1b[2Jb" : "as \"told\"", is(code, "6") ? 6 : 9);
	return end_frame(frame, &w);
}

/*
 * The answer to HELLO, into frame[FRAME_ROOM].  Legal: extra (an unknown item), extras (two
 * of one tag), full (65,536 bytes), later (versions 1 to 7), extension (of the record),
 * error=CODE (of 6 the text has control characters).  Other versions: newer.  Else wrong:
 * critical unknown items, order, twice, lacks, range and zero of versions, version of the
 * header, long (65,537 bytes), length, cut, flags, collection, belongs (a known item that
 * belongs elsewhere), marked (a known item as critical), forged, criticalextension, stolen
 * (another's CURVE key), network, disagree (HELLO and record), expired, type, ask (no
 * response), request (of another id).
 */
static size_t
lie(uint64_t request, uint8_t *frame)
{
	const char *kind = self.hello;
	uint8_t		record[NODE_RECORD_MAX];
	uint8_t		versions[4] = {1, 0, 1, 0};
	static const uint8_t zeros[WIRE_FRAME_MAX];
	uint64_t	network = self.network + (is(kind, "network") ? 1 : 0);
	size_t		len = make_record(is(kind, "stolen") ? self.other_public : self.curve_public, network,
								  now() + (is(kind, "expired") ? -HOUR_MS : HOUR_MS), record);
	ByteWriter	w;

	if (strncmp(kind, "error=", 6) == 0)
		return make_error(kind + 6, request, frame);
	if (is(kind, "extension") || is(kind, "criticalextension"))
		len = extend_record(record, len, is(kind, "extension") ? 5 : 5 | WIRE_CRITICAL);
	if (is(kind, "forged"))
		record[len - 1] ^= 0x10;
	if (is(kind, "later"))
		versions[2] = 7;
	if (is(kind, "newer"))
		versions[0] = versions[2] = 2;
	if (is(kind, "range"))
		versions[0] = 3;
	if (is(kind, "zero"))
		versions[0] = 0;
	w = begin_frame(frame, FRAME_ROOM, is(kind, "version") ? 2 : 1, is(kind, "type") ? WIRE_PING : WIRE_HELLO,
					is(kind, "flags") ? 3 : is(kind, "ask") ? 0 : 1, request + (is(kind, "request") ? 1 : 0));
	if (is(kind, "collection"))
		frame[16] = 1;
	if (is(kind, "order"))
		wire_put_item_uint(&w, WIRE_TAG_NETWORK, 8, network);
	if (!is(kind, "type"))
		wire_put_item(&w, WIRE_TAG_VERSIONS | (is(kind, "marked") ? WIRE_CRITICAL : 0), versions, sizeof versions);
	if (!is(kind, "order") && !is(kind, "lacks") && !is(kind, "type"))
		wire_put_item_uint(&w, WIRE_TAG_NETWORK, 8, network + (is(kind, "disagree") ? 1 : 0));
	wire_put_item(&w, WIRE_TAG_RECORD, record, len);
	if (is(kind, "twice"))
		wire_put_item(&w, WIRE_TAG_RECORD, record, len);
	if (is(kind, "belongs"))
		wire_put_item(&w, WIRE_TAG_TARGET, zeros, 32);
	if (is(kind, "extra") || is(kind, "extras"))
		wire_put_item(&w, 100, "later", 5);
	if (is(kind, "extras"))
		wire_put_item(&w, 100, "", 0);
	if (is(kind, "critical"))
		wire_put_item(&w, 100 | WIRE_CRITICAL, "later", 5);
	if (is(kind, "full") || is(kind, "long"))
		wire_put_item(&w, 100, zeros, WIRE_FRAME_MAX - WIRE_ITEM_HEAD - (size_t) (w.at - frame) + (is(kind, "long") ? 1 : 0));
	len = end_frame(frame, &w);
	if (is(kind, "length"))
		frame[WIRE_HEAD - 4]++;
	if (is(kind, "cut"))
	{
		bytes_store(frame + WIRE_HEAD - 4, 4, len - 1 - WIRE_HEAD);
		len--;
	}
	return len;
}

static bool
input_ended(void)
{
	return poll(&(struct pollfd) {.fd = 0,.events = POLLIN}, 1, 0) > 0;
}

/* Beside what lie() does: two parts; parts, 360 MB of them in one message; flood, answers to nothing without end. */
static void
answer_hello(void *router, const uint8_t *id, size_t id_len, uint64_t request)
{
	static uint8_t answer[FRAME_ROOM];
	bool		flood = is(self.hello, "flood");
	size_t		n = lie(request + (flood ? 1 : 0), answer);

	do
	{
		zmq_send(router, id, id_len, ZMQ_SNDMORE);
		if (is(self.hello, "two"))
			zmq_send(router, answer, n, ZMQ_SNDMORE);
		for (int i = 0; is(self.hello, "parts") && i < 6000; i++)
			zmq_send(router, answer, 60000, ZMQ_SNDMORE);
		zmq_send(router, answer, n, 0);
	} while (flood && !input_ended());
}

/* One message of the probe's; false when there is none. */
static bool
take_message(void *router)
{
	static uint8_t frame[FRAME_ROOM];
	uint8_t		id[256];
	int			id_len = zmq_recv(router, id, sizeof id, ZMQ_DONTWAIT);
	int			len = id_len < 0 ? -1 : zmq_recv(router, frame, sizeof frame, 0);
	uint64_t	request;

	if (len < WIRE_HEAD)
		return false;
	request = bytes_load(frame + 8, 8);
	if (frame[6] == WIRE_HELLO && !is(self.hello, "mute"))
		answer_hello(router, id, (size_t) id_len, request);
	if (frame[6] == WIRE_PING)
	{
		uint8_t		pong[WIRE_HEAD];
		ByteWriter	w = begin_frame(pong, sizeof pong, 1, WIRE_PING, 1, request);

		zmq_send(router, id, (size_t) id_len, ZMQ_SNDMORE);
		zmq_send(router, pong, end_frame(pong, &w), 0);
	}
	return true;
}

/* ---- TCP ---- */

static void *
open_router(void)
{
	void	   *context = zmq_ctx_new();
	void	   *router = zmq_socket(context, ZMQ_ROUTER);
	char		url[64];
	int			one = 1;
	int			zero = 0;

	zmq_setsockopt(router, ZMQ_LINGER, &zero, sizeof zero);
	if (!is(self.tcp, "null"))
	{
		zmq_setsockopt(router, ZMQ_CURVE_SERVER, &one, sizeof one);
		zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, is(self.tcp, "key") ? self.other_secret : self.curve_secret, 32);
	}
	snprintf(url, sizeof url, "tcp://%s:%d", self.ip, self.port);
	if (zmq_bind(router, url) != 0)
		fatal("could not bind %s: %s", url, zmq_strerror(errno));
	return router;
}

static int
open_plain(int type)
{
	int			fd = socket(AF_INET, type, 0);
	int			on = 1;
	struct sockaddr_in address = {.sin_family = AF_INET,.sin_port = htons((uint16_t) self.port)};

	inet_pton(AF_INET, self.ip, &address.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *) &address, sizeof address) != 0 || (type == SOCK_STREAM && listen(fd, 10) != 0))
		fatal("could not bind port %d: %s", self.port, strerror(errno));
	return fd;
}

static bool
read_all(int fd, uint8_t *bytes, size_t n)
{
	while (n > 0)
	{
		ssize_t		got = recv(fd, bytes, n, 0);

		if (got <= 0)
			return false;
		bytes += got;
		n -= (size_t) got;
	}
	return true;
}

/* A CURVE handshake up to WELCOME (CurveZMQ, RFC 26), whose short-term key is 0. */
static void
low_order(int fd)
{
	uint8_t		greeting[64] = {[0] = 0xFF,[9] = 0x7F,[10] = 3,[11] = 1,[12] = 'C', 'U', 'R', 'V', 'E',[32] = 1};
	uint8_t		in[202];
	uint8_t		plain[128] = {0};
	uint8_t		nonce[24] = "WELCOME-";
	uint8_t		out[2 + 8 + 16 + 128 + crypto_box_MACBYTES] = {4, 168, 7, 'W', 'E', 'L', 'C', 'O', 'M', 'E'};

	if (send(fd, greeting, sizeof greeting, MSG_NOSIGNAL) < 0 || !read_all(fd, in, 64) || !read_all(fd, in, 202))
		return;
	/* HELLO: a head of 2, its name of 6, version of 2, padding of 72, the client's short-term key */
	if (crypto_box_easy(out + 26, plain, sizeof plain, nonce, in + 82, self.curve_secret) == 0)
		(void) send(fd, out, sizeof out, MSG_NOSIGNAL);
	(void) read_all(fd, in, 1);
}

static void
take_connection(int listener)
{
	int			fd = accept(listener, NULL, NULL);

	if (fd < 0 || is(self.tcp, "mute"))
		return;					/* held open */
	if (is(self.tcp, "text"))
	{
		(void) send(fd, "SSH-2.0-OpenSSH_9.2 and more of it, so that it is as long as a greeting\r\n", 74, MSG_NOSIGNAL);
		usleep(100000);
	}
	else
		low_order(fd);
	close(fd);
}

static void
serve(int udp, int listener, void *router)
{
	zmq_pollitem_t item[4] = {{NULL, 0, ZMQ_POLLIN, 0}};
	int			n = 1;

	if (udp >= 0)
		item[n++] = (zmq_pollitem_t) {NULL, udp, ZMQ_POLLIN, 0};
	if (listener >= 0)
		item[n++] = (zmq_pollitem_t) {NULL, listener, ZMQ_POLLIN, 0};
	if (router != NULL)
		item[n++] = (zmq_pollitem_t) {router, 0, ZMQ_POLLIN, 0};
	while (zmq_poll(item, n, -1) >= 0 && item[0].revents == 0)
		for (int i = 1; i < n; i++)
		{
			if (item[i].revents == 0)
				continue;
			if (item[i].socket != NULL)
				while (take_message(router))
					;
			else if (item[i].fd == udp)
				take_datagram(udp);
			else
				take_connection(listener);
		}
}

static const char *
option(const char *argument, const char *name)
{
	size_t		n = strlen(name);

	return strncmp(argument, name, n) == 0 ? argument + n : NULL;
}

int
main(int argc, char **argv)
{
	char		at[64];
	uint8_t		seed[CORE_SEED_BYTES];
	KadId		id;
	char		text[65];
	int			i = 1;
	const char *value;
	int			udp = -1;
	int			listener = -1;
	void	   *router = NULL;

	if (sodium_init() < 0)
		return 1;
	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++)
		if ((value = option(argv[i], "--network=")) != NULL)
			self.network_name = value;
		else if ((value = option(argv[i], "--udp=")) != NULL)
			self.udp = value;
		else if ((value = option(argv[i], "--tcp=")) != NULL)
			self.tcp = value;
		else if ((value = option(argv[i], "--hello=")) != NULL)
			self.hello = value;
		else if ((value = option(argv[i], "--tell=")) != NULL)
			self.tell = value;
		else if ((value = option(argv[i], "--clock=")) != NULL)
			self.clock_ms = atoll(value);
		else
			fatal("there is no option %s", argv[i]);
	if (argc - i != 2)
		fatal("usage: false_node [OPTION]... IP PORT");
	self.ip = argv[i];
	self.port = atoi(argv[i + 1]);
	snprintf(at, sizeof at, "%s:%d", self.ip, self.port);
	if (self.tell == NULL)
		self.tell = at;
	self.crypto = host_crypto();
	self.network = node_network(&self.crypto, self.network_name, strlen(self.network_name));
	randombytes_buf(seed, sizeof seed);
	self.crypto.key_pair(NULL, seed, self.key, self.secret);
	crypto_box_keypair(self.curve_public, self.curve_secret);
	crypto_box_keypair(self.other_public, self.other_secret);

	if (!is(self.udp, "closed"))
		udp = open_plain(SOCK_DGRAM);
	if (is(self.tcp, "mute") || is(self.tcp, "text") || is(self.tcp, "loworder"))
		listener = open_plain(SOCK_STREAM);
	else if (!is(self.tcp, "closed"))
		router = open_router();
	id = kad_id_of_key(&self.crypto, self.key);
	printf("ready id=%s ", bytes_hex(id.b, 32, text));
	printf("curve=%s\n", bytes_hex(self.curve_public, 32, text));
	fflush(stdout);
	serve(udp, listener, router);
	_exit(0);
}
