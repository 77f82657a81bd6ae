/*
 * hostile_test.c
 *	  Strangers, garbage, floods, hangers-on and bad luck, against a transport
 *	  that has a friend to serve meanwhile.
 *
 * What aborts libzmq is in abort_test.c.
 */
#include "hostile_fixture.h"

#include <signal.h>

/* Has it frames that libzmq has not sent? */
static bool
waits(const Peer *self)
{
	TransportLinkInfo info[8];
	int			n = transport_links(self->transport, info, 8);
	bool		found = false;

	for (int i = 0; i < n && i < 8; i++)
		found |= info[i].queued_bytes > 0;
	return found;
}

static bool
told_of(const char *reason)
{
	for (int i = 0; i < a.refusals && i < 8; i++)
		if (strcmp(a.refusal[i], reason) == 0)
			return true;
	return false;
}

static void
test_strangers(void)
{
	uint8_t		low[32] = {0};
	Zmtp		client = {.fd = -1};
	int			mechanism = 0;
	int			twice = 0;
	int			told;
	TransportStats stats;

	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	strangers_are_refused("strangers");
	for (int i = 0; i < 2; i++)
	{
		client = (Zmtp) {.fd = tcp_connect(a.address.port), .around = both, .n_around = 2};
		(void) zmtp_greet(&client, i == 0 ? "NULL" : "PLAIN");
		mechanism += pump(both, 2, zmtp_ended(&client));
		close(client.fd);
	}
	client = (Zmtp) {.fd = -1};
	ok(mechanism == 2 && pump(both, 2, (stats = transport_stats(a.transport), refused(&stats) == STRANGERS + 2)) && stats.refused_mechanism >= 2,
	   "NULL and PLAIN are refused for their mechanism");
	/* whose connection was gone before it could be looked at is counted, not told of: others come */
	for (int i = 0; i < 50 && !told_of("it does not speak CURVE"); i++)
	{
		uint64_t	before = (stats = transport_stats(a.transport), refused(&stats));

		client = (Zmtp) {.fd = tcp_connect(a.address.port), .around = both, .n_around = 2};
		(void) zmtp_greet(&client, "NULL");
		(void) pump(both, 2, (stats = transport_stats(a.transport), refused(&stats)) > before);
		close(client.fd);
	}
	client = (Zmtp) {.fd = -1};
	strangers_are_refused("the same again");
	for (int i = 0; i < a.refusals && i < 8; i++)
		diag("refused: %s", a.refusal[i]);
	for (int i = 0; i < a.refusals && i < 8; i++)
		for (int j = 0; j < i; j++)
			twice += strcmp(a.refusal[i], a.refusal[j]) == 0;
	ok(twice == 0 && a.refusals >= 3 && a.refusals <= 4, "each reason is told of once");
	told = a.refusals;
	/* an hour in steps: in a leap a friend whose last frame is not acknowledged yet would look stuck */
	ok(pump(both, 2, !waits(&a) && !waits(&b)), "nothing waits to be sent");
	(void) pump_for(both, 2, 300, false);	/* so late the kernel may acknowledge */
	for (int i = 0; i < 370; i++)
	{
		turn(both, 2, 1);
		clock_ahead_ms += 10000;
	}
	strangers_are_refused("an hour later");
	ok(a.refusals > told && a.refusals <= told + 4, "and once more after an hour");
	ok(transport_send(a.transport, now_ms(), low, &b.address, 1, (const uint8_t *) "x", 1) == TRANSPORT_ERROR &&
	   (low[0] = 1, transport_send(a.transport, now_ms(), low, &b.address, 1, (const uint8_t *) "x", 1) == TRANSPORT_ERROR),
	   "a key of low order is not connected to");
	ok(zmtp_join(&client, &a, "", 0, both, 2) && zmtp_send(&client, 0, "hello", 5) && pump(both, 2, a.last_len == 5) &&
	   memcmp(a.last_key, client.long_public, 32) == 0, "a stranger's key is let in, and known by it");
	transport_drop(a.transport, client.long_public);
	ok(pump(both, 2, zmtp_ended(&client)), "when it is dropped its connection ends");
	close(client.fd);
	stop();
}

/* ---- garbage ---- */

#define BATCH 50
#define BATCHES 40
#define FRAMES 50				/* of a connection */

static size_t
random_frame(uint8_t *out)
{
	uint8_t		body[200];
	size_t		len = random_below(sizeof body);

	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t) random_below(256);
	switch (random_below(4))
	{
		case 0:
			memcpy(body, "\x05HELLO\1\0", 8);
			break;
		case 1:
			memcpy(body, "\x07MESSAGE", 8);
			break;
		case 2:
			memcpy(body, "\x08INITIATE", 9);
			break;
	}
	len = zmtp_pack(out, (int) random_below(8) & ~ZMTP_LONG, body, len);
	return random_below(3) == 0 ? random_below((uint32_t) len + 1) : len;
}

static void
test_garbage(void)
{
	TransportStats before;
	TransportStats now;
	uint64_t	sent = 0;
	double		cpu;
	size_t		memory;
	int			open = 0;

	ok(start(8, 256) && friend_is_served(), "a node and its friend");
	before = transport_stats(a.transport);
	memory = resident_bytes();
	cpu = cpu_seconds();
	for (int batch = 0; batch < BATCHES; batch++)
	{
		Zmtp		peer[BATCH];

		for (int i = 0; i < BATCH; i++)
		{
			uint8_t		bytes[FRAMES * 256 + 64] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1, 'C', 'U', 'R', 'V', 'E'};
			size_t		size = 64;

			peer[i] = (Zmtp) {.fd = tcp_connect(a.address.port), .around = both, .n_around = 2};
			open += peer[i].fd >= 0;
			switch (random_below(5))
			{
				case 0:			/* no greeting */
					size = 0;
					break;
				case 1:			/* a part of one */
					size = random_below(64);
					break;
				case 2:			/* a wrong one */
					bytes[random_below(32)] ^= (uint8_t) (1 + random_below(255));
					break;
			}
			for (int j = 0; j < FRAMES; j++)
				size += random_frame(bytes + size);
			sent += FRAMES;
			zmtp_write(&peer[i], bytes, size);
		}
		turn(both, 2, 0);
		for (int i = 0; i < BATCH; i++)
			zmtp_reset(&peer[i]);
		if (batch % 10 == 0)
			friend_is_served();
	}
	ok(open == BATCH * BATCHES && sent == 100000, "%d connections with 100000 frames of garbage", open);
	ok(pump(both, 2, (now = transport_stats(a.transport), now.accepted - before.accepted) >= BATCH * BATCHES * 9 / 10 &&
			 refused(&now) - refused(&before) >= BATCH * BATCHES * 9 / 10),
	   "they are refused");
	ok(friend_is_served(), "a friend is served");
	now = transport_stats(a.transport);
	ok(now.admitted == before.admitted && now.frames_in - before.frames_in <= 10, "nothing of it has come in");
	ok(resident_bytes() < memory + (64 << 20), "memory is what it was");
	diag("%.2f s of CPU; accepted %llu, refused %llu (mechanism %llu, crypto %llu, protocol %llu, room %llu); %zu MB more",
		 cpu_seconds() - cpu, (unsigned long long) (now.accepted - before.accepted),
		 (unsigned long long) (refused(&now) - refused(&before)),
		 (unsigned long long) now.refused_mechanism, (unsigned long long) now.refused_crypto,
		 (unsigned long long) now.refused_protocol, (unsigned long long) now.refused_room,
		 resident_bytes() > memory ? (resident_bytes() - memory) >> 20 : 0);
	stop();
}

/* The same from somebody with a key: random parts, commands, routing. */
static void
test_garbage_of_a_peer(void)
{
	Zmtp		client = {.fd = -1};
	uint8_t		bytes[64 * 1024];
	size_t		size = 0;
	int			single = 0;
	int			broken = 0;
	bool		inside = false;
	bool		sent = true;
	TransportStats stats;
	TransportLinkInfo info[4];

	ok(start(8, 32) && friend_is_served() && zmtp_join(&client, &a, "", 0, both, 2), "a peer with a key");
	a.frames = 0;
	for (int i = 0; i < 100000; i++)
	{
		uint8_t		body[64];
		size_t		len = 1 + random_below(63);
		int			flags = (int) random_below(4);

		for (size_t j = 0; j < len; j++)
			body[j] = (uint8_t) (128 + random_below(128));	/* no command that means something */
		if (i == 99999)
			flags = 0;
		if (flags < 2)
		{
			if (flags == 0)
			{
				single += !inside;
				broken += inside;
			}
			inside = flags == 1;
		}
		size += zmtp_message(&client, bytes + size, flags, body, len);
		if (size > sizeof bytes - 256 || i == 99999)
		{
			sent &= zmtp_write(&client, bytes, size);
			size = 0;
		}
	}
	ok(sent && pump(both, 2, a.frames >= single), "of its 100000 frames and commands of one part each all %d arrive", single);
	ok(pump(both, 2, (stats = transport_stats(a.transport), stats.malformed == (uint64_t) broken)) && a.frames == single, "the %d of several parts do not", broken);
	ok(transport_links(a.transport, info, 4) == 2, "both are connected");
	for (int i = 0; i < 2; i++)
		if (memcmp(info[i].curve_key, client.long_public, 32) == 0)
			ok(info[i].frames_in == (uint64_t) single, "the link tells of itself");
	ok(friend_is_served(), "a friend is served");
	ok(zmtp_write(&client, "\0\5hello", 7) && pump(both, 2, zmtp_ended(&client)), "a frame that is not encrypted ends it");
	close(client.fd);
	stop();
}

/* ---- too much ---- */

static void
test_oversize(void)
{
	static const uint64_t sizes[] = {TRANSPORT_FRAME_MAX + 65, UINT64_C(1) << 40, UINT64_MAX, INT64_MAX};
	uint8_t    *big = calloc(1, TRANSPORT_FRAME_MAX + 1);
	uint8_t		header[9] = {ZMTP_LONG};
	Zmtp		client = {.fd = -1};
	int			ended = 0;

	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
	{
		client = (Zmtp) {.fd = -1};
		zmtp_put64(header + 1, sizes[i]);
		ended += zmtp_join(&client, &a, "", 0, both, 2) && zmtp_write(&client, header, 9) && pump(both, 2, zmtp_ended(&client));
		close(client.fd);
	}
	ok(ended == 4, "a frame that is announced as too long ends the connection");
	ended = 0;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
	{
		client = (Zmtp) {.fd = tcp_connect(a.address.port), .around = both, .n_around = 2};
		header[0] = ZMTP_LONG | ZMTP_COMMAND;
		zmtp_put64(header + 1, sizes[i]);
		ended += zmtp_greet(&client, "CURVE") && zmtp_write(&client, header, 9) && pump(both, 2, zmtp_ended(&client));
		close(client.fd);
	}
	ok(ended == 4, "also instead of a handshake");
	client = (Zmtp) {.fd = -1};
	a.frames = 0;
	ok(zmtp_join(&client, &a, "", 0, both, 2) && zmtp_send(&client, 0, big, TRANSPORT_FRAME_MAX) &&
	   pump(both, 2, a.frames == 1 && a.last_len == TRANSPORT_FRAME_MAX), "one of the greatest length arrives");
	ok(peer_send(&b, &a, big, TRANSPORT_FRAME_MAX) == TRANSPORT_SENT && pump(both, 2, a.frames == 2) &&
	   peer_send(&b, &a, big, TRANSPORT_FRAME_MAX + 1) == TRANSPORT_ERROR, "our own can send such a one, and none longer");
	ok(friend_is_served(), "a friend is served");
	zmtp_reset(&client);
	free(big);
	stop();
}

/*
 * A handshake that says more about its sender than anybody wants to know: libzmq
 * would keep all of it for as long as the connection lives.
 */
static void
test_long_handshake(void)
{
	enum {MANY = 6};
	Zmtp		client[MANY] = {0};
	size_t		room = 256 * 1024;
	uint8_t    *metadata = malloc(room + 64);
	uint8_t		cookie[96];
	uint8_t		ready[512];
	size_t		size = zmtp_property(metadata, "Socket-Type", "DEALER", 6);
	size_t		memory;
	int			ended = 0;
	uint64_t	cut;
	uint16_t	port;
	int			listener = tcp_listen(&port);
	NetAddress	at = own_address(port);

	for (int i = 0; size + 16 < room; i++)
	{
		char		name[4] = {(char) (1 + i % 250), (char) (1 + i / 250 % 250), (char) (1 + i / 62500 % 250), 0};

		size += zmtp_property(metadata + size, name, "", 0);
	}
	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	memory = resident_bytes();
	cut = transport_stats(a.transport).cut;
	for (int i = 0; i < MANY; i++)
	{
		client[i].fd = tcp_connect(a.address.port);
		client[i].around = both;
		client[i].n_around = 2;
		memcpy(client[i].their_long, a.public, 32);
		crypto_box_keypair(client[i].long_public, client[i].long_secret);
		ended += zmtp_greet(&client[i], "CURVE") && zmtp_hello(&client[i]) && zmtp_welcome_take(&client[i], cookie) &&
			(!zmtp_initiate(&client[i], cookie, metadata, size) ||
			 zmtp_next(&client[i], ready, sizeof ready) < 0 || pump(both, 2, zmtp_ended(&client[i])));
	}
	ok(ended == MANY && transport_stats(a.transport).cut == cut + MANY, "a handshake of %zu kB ends the connection", size >> 10);
	ok(friend_is_served(), "a friend is served");
	diag("%zu MB more resident", resident_bytes() > memory ? (resident_bytes() - memory) >> 20 : 0);

	/* the same in two steps, so that it looks like a short one when another is looked at, and no time passes */
	client[0] = (Zmtp) {.around = both, .n_around = 2, .fd = tcp_connect(a.address.port)};
	memcpy(client[0].their_long, a.public, 32);
	crypto_box_keypair(client[0].long_public, client[0].long_secret);
	ok(zmtp_greet(&client[0], "CURVE") && zmtp_hello(&client[0]) && zmtp_welcome_take(&client[0], cookie),
	   "one that begins in the midst of another's");
	client[0].split = 500;
	client[0].meanwhile = &client[1];
	client[1] = (Zmtp) {.fd = -1};
	cut = transport_stats(a.transport).cut;
	clock_stopped = true;
	ok((!zmtp_initiate(&client[0], cookie, metadata, size) || zmtp_next(&client[0], ready, sizeof ready) < 0) &&
	   transport_stats(a.transport).cut == cut + 1 && pump(both, 2, zmtp_ended(&client[0])),
	   "is found when it is complete");
	clock_stopped = false;
	ok(zmtp_send(&client[1], 0, "still here", 10) && pump(both, 2, a.last_len == 10), "the other is heard");

	/* the same of somebody to whom we have gone */
	client[2] = (Zmtp) {.fd = -1};
	crypto_box_keypair(client[2].long_public, client[2].long_secret);
	cut = transport_stats(a.transport).cut;
	clock_stopped = true;
	ok(transport_send(a.transport, now_ms(), client[2].long_public, &at, 1, (const uint8_t *) "x", 1) == TRANSPORT_SENT &&
	   zmtp_serve(&client[2], listener, both, 2) && zmtp_welcome(&client[2], client[2].short_public) &&
	   ((void) zmtp_ready_saying(&client[2], metadata, size), true) &&
	   pump(both, 2, transport_stats(a.transport).cut == cut + 1 && zmtp_ended(&client[2])),
	   "a READY of %zu kB ends the connection", size >> 10);
	clock_stopped = false;
	close(listener);
	ok(friend_is_served(), "a friend is served");
	for (int i = 0; i < MANY; i++)
		zmtp_reset(&client[i]);
	free(metadata);
	stop();
}

/*
 * One that is honest, and from its first frame on always has more to say than we have
 * time for: what waits is no handshake.
 */
static void
test_backlog(void)
{
	enum {WAITING = 40, MORE = 100};
	uint8_t		frame[4096] = {0};

	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	for (int server = 0; server < 2; server++)
	{
		Zmtp		peer = {.fd = -1};
		uint64_t	cut = transport_stats(a.transport).cut;
		uint16_t	port;
		int			listener = tcp_listen(&port);
		NetAddress	at = own_address(port);
		uint8_t		first[256];
		int			sent = 0;
		bool		up;

		/* nothing is read until all of it waits */
		a.slice = 0;
		a.frames = 0;
		clock_stopped = true;
		if (server)
		{
			crypto_box_keypair(peer.long_public, peer.long_secret);
			transport_send(a.transport, now_ms(), peer.long_public, &at, 1, (const uint8_t *) "x", 1);
			up = zmtp_serve(&peer, listener, both, 2) && zmtp_welcome(&peer, peer.short_public) && zmtp_ready(&peer) &&
				zmtp_next(&peer, first, sizeof first) > 0;
		}
		else
			up = zmtp_join(&peer, &a, "", 0, both, 2);
		while (up && sent < WAITING)
			sent += (int) (up = zmtp_send(&peer, 0, frame, sizeof frame));
		a.slice = 1;
		while (up && a.frames < MORE && transport_stats(a.transport).cut == cut)
		{
			turn(both, 2, 1);
			clock_ahead_ms += 100;
			while (up && sent < a.frames + WAITING)
				sent += (int) (up = zmtp_send(&peer, 0, frame, sizeof frame));
		}
		clock_stopped = false;
		a.slice = 64;
		ok(up && transport_stats(a.transport).cut == cut && pump(both, 2, a.frames == sent),
		   "%d frames of a peer that %s arrive, of which %d waited for ten seconds", sent,
		   server ? "we went to" : "came to us", WAITING);
		zmtp_reset(&peer);
		close(listener);
	}
	stop();
}

/* Parts without an end: what was written before the other side hung up. */
static uint64_t
endless(Zmtp *self, size_t len)
{
	uint8_t    *part = calloc(1, len);
	uint64_t	written = 0;

	while (written < ((uint64_t) 1 << 30) && zmtp_send(self, 1, part, len))
	{
		written += len;
		if (written % (1 << 20) == 0)
			turn(both, 2, 0);
	}
	free(part);
	return written;
}

static void
test_endless(void)
{
	static const size_t sizes[] = {64, 65536};
	size_t		memory = 0;
	TransportStats stats;

	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	for (int server = 0; server < 2; server++)
		for (int i = 0; i < 2; i++)
		{
			Zmtp		peer = {.fd = -1};
			uint8_t		first[256];
			uint64_t	written;
			uint64_t	cut = transport_stats(a.transport).cut;
			uint16_t	port;
			int			listener = tcp_listen(&port);
			NetAddress	at = own_address(port);
			bool		up;

			memory = resident_bytes();
			if (server)
			{
				crypto_box_keypair(peer.long_public, peer.long_secret);
				transport_send(a.transport, now_ms(), peer.long_public, &at, 1, (const uint8_t *) "x", 1);
				/* who says more before it is spoken to does not come so far */
				up = zmtp_serve(&peer, listener, both, 2) && zmtp_welcome(&peer, peer.short_public) &&
					zmtp_ready(&peer) && zmtp_next(&peer, first, sizeof first) > 0;
			}
			else
				up = zmtp_join(&peer, &a, "", 0, both, 2) && zmtp_send(&peer, 0, "hello", 5);
			written = up ? endless(&peer, sizes[i]) : 0;
			ok(up && written > (4 << 20) && written < (64 << 20) && transport_stats(a.transport).cut == cut + 1,
			   "parts of %zu bytes without an end, of a peer that %s, end the connection", sizes[i],
			   server ? "we went to" : "came to us");
			diag("after %llu MB, %zu MB more resident", (unsigned long long) written >> 20,
				 resident_bytes() > memory ? (resident_bytes() - memory) >> 20 : 0);
			close(peer.fd);
			close(listener);
			ok(friend_is_served(), "a friend is served");
		}
	stats = transport_stats(a.transport);
	ok(stats.malformed == 0, "nothing of it was ever handed to us");
	stop();
}

/* Many who each stay below the limit of one. */
static void
test_endless_of_many(void)
{
	enum {MANY = 8};
	Zmtp		peer[MANY];
	uint8_t    *part = calloc(1, 1 << 20);
	int			ended = 0;

	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	for (int i = 0; i < MANY; i++)
	{
		peer[i] = (Zmtp) {.fd = -1};
		zmtp_join(&peer[i], &a, "", 0, both, 2);
		zmtp_send(&peer[i], 0, "hello", 5);
	}
	for (int i = 0; i < 12; i++)
		for (int j = 0; j < MANY; j++)
			if (!zmtp_ended(&peer[j]))
				zmtp_send(&peer[j], 1, part, 1 << 20);
	ok(pump(both, 2, (ended = 0, ({for (int j = 0; j < MANY; j++) ended += zmtp_ended(&peer[j]);}), ended > 0)),
	   "of %d with 12 MB each some are cut", MANY);
	ok(ended < MANY && friend_is_served(), "not all (%d), and a friend is served", ended);
	for (int j = 0; j < MANY; j++)
		zmtp_reset(&peer[j]);
	free(part);
	stop();
}

/* Small frames for longer than the limit of what may be held: counted exactly, none is. */
static void
test_counts_are_exact(void)
{
	TransportLinkInfo info[4];
	uint8_t		frame[4096] = {0};
	uint64_t	held = 0;
	int			n = 0;
	uint64_t	bytes = 0;

	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	a.frames = 0;
	while (bytes < (48 << 20))
	{
		size_t		len = n % 2 == 0 ? 1 + random_below(250) : 1 + random_below(sizeof frame - 1);

		while (peer_send(&b, &a, frame, len) == TRANSPORT_FULL)
			turn(both, 2, 1);
		bytes += len;
		if (++n % 64 == 0)
			turn(both, 2, 0);
	}
	ok(pump(both, 2, a.frames == n), "%d frames, 48 MB", n);
	clock_ahead_ms += 200;
	turn(both, 2, 0);
	for (int i = 0; i < transport_links(a.transport, info, 4) && i < 4; i++)
		held += info[i].held_bytes;
	ok(held < 2000 && transport_stats(a.transport).cut == 0, "only the handshake (%llu bytes) is not accounted for",
	   (unsigned long long) held);
	stop();
}

/* ---- slow, or not there ---- */

static void
test_slow(void)
{
	enum {HALF_OPEN = 40};
	int			fd[HALF_OPEN];
	Zmtp		slow = {.around = both, .n_around = 2};
	TransportStats before;
	TransportStats now;
	int64_t		began;
	bool		ended = false;
	int			bytes = 0;

	handshake_ms = 1500;
	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	before = transport_stats(a.transport);
	for (int i = 0; i < HALF_OPEN; i++)
		fd[i] = tcp_connect(a.address.port);
	slow.fd = tcp_connect(a.address.port);
	began = real_ms();
	while (!ended && real_ms() - began < PATIENCE_MS)
	{
		send(slow.fd, "\377\0\0\0\0\0\0\0\1\177\3\1CURVE" + (bytes < 16 ? bytes : 16), 1, MSG_NOSIGNAL);
		bytes++;
		for (int64_t next = real_ms() + 200; real_ms() < next && !ended;)
		{
			turn(both, 2, 10);
			ended = zmtp_ended(&slow);
		}
	}
	ok(ended && bytes > 1 && bytes < 64, "a handshake of a byte now and then ends when its time is over");
	ok(pump(both, 2, (now = transport_stats(a.transport), now.refused_protocol - before.refused_protocol) == HALF_OPEN + 1),
	   "so do %d connections that say nothing, counted once each", HALF_OPEN);
	ok(friend_is_served(), "a friend is served");
	for (int i = 0; i < HALF_OPEN; i++)
		close(fd[i]);
	close(slow.fd);
	handshake_ms = 0;

	/* one that has a key, and no more to say */
	slow = (Zmtp) {.fd = -1};
	ok(zmtp_join(&slow, &a, "", 0, both, 2), "a peer that says nothing after the handshake");
	turn(both, 2, 0);
	clock_ahead_ms += 16000;
	ok(pump(both, 2, zmtp_ended(&slow)), "is cut after a quarter of a minute");
	close(slow.fd);
	stop();
}

static void
test_never_reads(void)
{
	Zmtp		client = {.fd = -1};
	uint8_t    *frame = calloc(1, 65536);
	size_t		memory;
	uint64_t	taken = 0;
	int			sent;
	TransportStats stats;
	TransportLinkInfo info;
	TransportVia via;

	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	ok(zmtp_join(&client, &a, "", 0, both, 2) && zmtp_send(&client, 0, "talk to me", 10) && pump(both, 2, a.last_len == 10),
	   "a peer that asks, and never reads");
	via = a.last_via;
	memory = resident_bytes();
	for (sent = 0; sent < 10000; sent++)
	{
		if (transport_answer(a.transport, via, frame, 65536) != TRANSPORT_SENT)
		{
			/* is it full for good? */
			turn(both, 2, 20);
			if (taken == transport_stats(a.transport).bytes_out)
				break;
			taken = transport_stats(a.transport).bytes_out;
		}
	}
	ok(sent < 10000 && transport_link(a.transport, via, &info) && info.queued_bytes <= TRANSPORT_QUEUE_BYTES && info.dropped > 0,
	   "what waits for it is bounded, the rest is dropped");
	diag("%d MB sent, %llu kB queued, %zu MB more resident", sent / 16, (unsigned long long) info.queued_bytes >> 10,
		 resident_bytes() > memory ? (resident_bytes() - memory) >> 20 : 0);
	ok(resident_bytes() < memory + (48 << 20), "so is memory");
	clock_stopped = true;
	ok(friend_is_served(), "a friend does not wait: no time passes until it is served");
	clock_stopped = false;
	stats = transport_stats(a.transport);
	/* from when libzmq's thread has filled the buffers of both sides */
	for (int i = 0; i < 200 && transport_stats(a.transport).cut == stats.cut; i++)
	{
		turn(both, 2, 20);
		clock_ahead_ms += 12000;
		turn(both, 2, 20);
	}
	ok(transport_stats(a.transport).cut == stats.cut + 1 && pump(both, 2, !transport_link(a.transport, via, &info)),
	   "after half a minute it is cut");
	ok(friend_is_served(), "the friend is not");
	zmtp_reset(&client);
	free(frame);
	stop();
}

int
main(void)
{
	if (!hostile_start())
		return 2;
	test_strangers();
	test_garbage();
	test_garbage_of_a_peer();
	test_oversize();
	test_long_handshake();
	test_backlog();
	test_endless();
	test_endless_of_many();
	test_counts_are_exact();
	test_slow();
	test_never_reads();
	return tap_done();
}
