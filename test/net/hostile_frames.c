/*
 * hostile_frames.c
 *	  Floods, hostile frames and datagrams, and connections that are not used well.
 */
#include "hostile_frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "core/net/beacon.h"
#include "core/net/wire_item.h"
#include "flood.h"
#include "hostile_peer.h"

#define PACE 500				/* frames */
#define GREET_EVERY 100			/* hostile frames; some of them end our welcome */

/* ---- a member that means harm ---- */

static uint8_t last_flood[WIRE_FRAME_MAX];
static size_t last_flood_len;

void
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
	if (!peer.has_invited)
		fatal("a flood needs a collection: show an invitation first");
	/* who redeems an invitation stands where the invitation does */
	flood_begin(&flood, &peer.crypto, &peer.random_state, kind, now_unix(), peer.invited.depth + 1, peer.invited.root, peer.self.secret);
	collection = kad_id_of_key(&peer.crypto, peer.invited.root);
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

void
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
		return make_hello(&peer.self, "good", frame);
	host_fill(&peer.random_state, id.b, sizeof id.b);
	host_fill(&peer.random_state, bytes, sizeof bytes);
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
			provider_sign(&peer.crypto, peer.self.secret, &id, now_unix(), false, bytes);
			memcpy(bytes + PROVIDER_BYTES, peer.self.record->bytes, peer.self.record->len);
			wire_put_item(&w, WIRE_TAG_PROVIDER, bytes, PROVIDER_BYTES + peer.self.record->len);
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
			host_fill(&peer.random_state, out, len);
			return len;
		case 1:					/* the right beginning, then noise */
			len = 4 + below(300);
			host_fill(&peer.random_state, out, len);
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
			bytes_store(out + WIRE_HEAD - 4, 4, core_random_bits(&peer.randomness));
			return len;
		case 5:					/* an item whose length lies */
			len = make_message(out);
			if (len >= WIRE_HEAD + WIRE_ITEM_HEAD)
				bytes_store(out + WIRE_HEAD + 2, 4, below(2) == 0 ? UINT32_MAX - below(64) : core_random_bits(&peer.randomness));
			return len;
		case 6:					/* more of it than there can be */
			len = make_message(out);
			if (below(50) == 0)
			{
				host_fill(&peer.random_state, out + len, WIRE_FRAME_MAX - len + 64);
				len = WIRE_FRAME_MAX + below(64);
			}
			else
			{
				host_fill(&peer.random_state, out + len, 64);
				len += 1 + below(64);
			}
			bytes_store(out + WIRE_HEAD - 4, 4, len - WIRE_HEAD);
			return len;
		default:				/* no type of ours, flags, another version */
			len = make_message(out);
			out[4 + below(4)] = (uint8_t) core_random_bits(&peer.randomness);
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

			len = make_hello(&peer.self, "good", frame);
			send_frame(frame, len);
			if (paced && i % PACE == 0)
				await(bytes_load(frame + 8, 8), what, sizeof what);
		}
		len = make_hostile(frame);
		parts += more != 0;
		if (zmq_send(the_link(), frame, len, more) < 0)
		{
			/* cut, and not let in again: on a new link */
			zmq_close(peer.link);
			peer.link = NULL;
			continue;
		}
		if (more != 0)
			zmq_send(the_link(), frame, len / 2, 0);
		sent++;
		answers += take_answers();
	}
	printf("%s: %ld sent, %ld of them in parts, %ld answers, %" PRId64 " ms\n", action, sent, parts, answers, now_tick() - began);
}

void
do_frames(const char *argument)
{
	send_hostile("frames", atol(argument), false);
}

void
do_paced(const char *argument)
{
	send_hostile("paced", atol(argument), true);
}

/* Datagrams: noise, and asks cut short or with some bits turned. */
void
do_datagrams(const char *argument)
{
	int			fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) peer.port)};
	long		n = atol(argument);
	long		sent = 0;

	inet_pton(AF_INET, peer.host, &to.sin_addr);
	for (long i = 0; i < n; i++)
	{
		uint8_t		bytes[2 * BEACON_MAX];
		size_t		len = below(sizeof bytes + 1);

		host_fill(&peer.random_state, bytes, len);
		if (below(2) == 0)
		{
			len = beacon_sign(&peer.crypto, peer.self.secret, below(2) == 0 ? BEACON_ASK : BEACON_ANNOUNCE, below(3), peer.self.record, now_unix(), bytes);
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
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) peer.port)};
	struct timeval limit = {.tv_sec = peer.wait_ms / 1000, .tv_usec = peer.wait_ms % 1000 * 1000};
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	inet_pton(AF_INET, peer.host, &to.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *) &to, sizeof to) == 0)
		return fd;
	close(fd);
	return -1;
}

void
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
		host_fill(&peer.random_state, bytes, len);
		if (below(2) == 0)
			memcpy(bytes, greeting, len < sizeof greeting ? len : sizeof greeting);
		if (send(fd, bytes, len, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET)
			fprintf(stderr, "hostile: %s\n", strerror(errno));
		close(fd);
	}
	printf("raw: %d of %d connected\n", made, n);
}

void
do_silent(const char *argument)
{
	int			n = atoi(argument);
	int			made = 0;

	/* left open: the process's end closes them */
	for (int i = 0; i < n; i++)
		made += connect_tcp() >= 0;
	printf("silent: %d of %d connected\n", made, n);
}

void
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
		record_pool_release(&peer.pool, one.record);
	}
	until = now_tick() + peer.wait_ms;
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

