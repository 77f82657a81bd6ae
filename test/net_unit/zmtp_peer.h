/*
 * zmtp_peer.h
 *	  ZMTP 3.1 and CurveZMQ by hand, over a socket of its own: a peer that can do
 *	  what libzmq never would.
 *
 * Either end: a client that connects to a transport, or a server that one
 * connects to.  Everything waits in small steps that let the given transports
 * run meanwhile, and gives up (false) after PATIENCE_MS or at the end of the
 * stream.
 */
#ifndef TEST_ZMTP_PEER_H
#define TEST_ZMTP_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>

#include "link_fixture.h"

#define ZMTP_MORE 1
#define ZMTP_LONG 2
#define ZMTP_COMMAND 4

typedef struct Zmtp
{
	int			fd;
	Peer	  **around;			/* transports that run while we wait */
	int			n_around;
	uint8_t		long_public[32];
	uint8_t		long_secret[32];
	uint8_t		short_public[32];
	uint8_t		short_secret[32];
	uint8_t		their_long[32];
	uint8_t		their_short[32];
	uint8_t		shared[32];		/* of the short keys */
	uint64_t	nonce;
	bool		server;
	size_t		split;			/* INITIATE stops here until ... */
	struct Zmtp *meanwhile;		/* this one has joined */
} Zmtp;

static inline void
zmtp_put64(uint8_t *to, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		to[i] = (uint8_t) (value >> (56 - 8 * i));
}

static inline void
zmtp_step(Zmtp *self)
{
	if (self->n_around > 0)
		turn(self->around, self->n_around, 1);
	else
		poll(&(struct pollfd) {.fd = self->fd, .events = POLLIN}, 1, 5);
}

/* All of it, or as much as goes in before the other side hangs up. */
static inline bool
zmtp_write(Zmtp *self, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	int64_t		end = real_ms() + PATIENCE_MS;

	while (len > 0)
	{
		ssize_t		n = send(self->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
		{
			at += n;
			len -= (size_t) n;
		}
		else if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return false;
		else if (real_ms() > end)
			return false;
		else
			zmtp_step(self);
	}
	return true;
}

static inline bool
zmtp_read(Zmtp *self, void *bytes, size_t len)
{
	uint8_t    *at = bytes;
	int64_t		end = real_ms() + PATIENCE_MS;

	while (len > 0)
	{
		ssize_t		n = recv(self->fd, at, len, MSG_DONTWAIT);

		if (n > 0)
		{
			at += n;
			len -= (size_t) n;
		}
		else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
			return false;
		else if (real_ms() > end)
			return false;
		else
			zmtp_step(self);
	}
	return true;
}

/* Has the other side hung up?  What it sent before is thrown away. */
static inline bool
zmtp_ended(Zmtp *self)
{
	uint8_t		bytes[4096];
	ssize_t		n;

	while ((n = recv(self->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
		;
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK);
}

/* With a reset: no TIME_WAIT stays behind. */
static inline void
zmtp_reset(Zmtp *self)
{
	struct linger now = {1, 0};

	if (self->fd < 0)
		return;
	setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	close(self->fd);
	self->fd = -1;
}

/* Connect from this address; 0: from any. */
static uint32_t tcp_source;

/* Connect, though a signal come in the midst of it: the connection is then made without us. */
static inline bool
tcp_connect_to(int fd, const struct sockaddr_in *to)
{
	struct pollfd made = {.fd = fd, .events = POLLOUT};
	int64_t		end = real_ms() + PATIENCE_MS;
	int			error = 0;
	socklen_t	size = sizeof error;

	if (connect(fd, (const struct sockaddr *) to, sizeof *to) == 0)
		return true;
	if (errno != EINTR)
		return false;
	while (poll(&made, 1, 1000) <= 0)
		if (real_ms() > end)
			return false;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

static inline int
tcp_connect(uint16_t port)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(tcp_source)};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = inet_addr(own_host())};
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int			on = 1;

	if (fd >= 0 && ((tcp_source != 0 && bind(fd, (struct sockaddr *) &from, sizeof from) != 0) ||
					!tcp_connect_to(fd, &to)))
	{
		close(fd);
		return -1;
	}
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

/* A listening socket on loopback, any port. */
static inline int
tcp_listen(uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(own_host())};
	socklen_t	size = sizeof at;
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &at, sizeof at) != 0 || listen(fd, 16) != 0 ||
		getsockname(fd, (struct sockaddr *) &at, &size) != 0)
		return -1;
	*port = ntohs(at.sin_port);
	return fd;
}

static inline bool
zmtp_greet(Zmtp *self, const char *mechanism)
{
	uint8_t		ours[64] = {0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1};
	uint8_t		theirs[64];

	memcpy(ours + 12, mechanism, strlen(mechanism));
	ours[32] = self->server;
	return zmtp_write(self, ours, sizeof ours) && zmtp_read(self, theirs, sizeof theirs);
}

/* ZMTP's header and body into out, which has room for 9 bytes more than the body; the length of it. */
static inline size_t
zmtp_pack(uint8_t *out, int flags, const uint8_t *body, size_t len)
{
	size_t		at = 0;

	out[at++] = (uint8_t) (flags | (len > 255 ? ZMTP_LONG : 0));
	if (len > 255)
	{
		zmtp_put64(out + at, len);
		at += 8;
	}
	else
		out[at++] = (uint8_t) len;
	memmove(out + at, body, len);
	return at + len;
}

static inline bool zmtp_split(Zmtp *self);
static inline bool zmtp_send(Zmtp *self, int flags, const void *bytes, size_t len);

static inline bool
zmtp_command(Zmtp *self, const uint8_t *body, size_t len)
{
	uint8_t    *out = malloc(len + 9);
	size_t		size = zmtp_pack(out, ZMTP_COMMAND, body, len);
	size_t		first = self->split > 0 && self->split < size ? self->split : 0;
	bool		done = zmtp_write(self, out, first) && (first == 0 || zmtp_split(self)) &&
		zmtp_write(self, out + first, size - first);

	free(out);
	return done;
}

/* The next frame; its length, -1 when there is none or it is longer than room. */
static inline ssize_t
zmtp_next(Zmtp *self, uint8_t *body, size_t room)
{
	uint8_t		flags;
	uint8_t		size[8];
	uint64_t	len = 0;

	if (!zmtp_read(self, &flags, 1) || !zmtp_read(self, size, flags & ZMTP_LONG ? 8 : 1))
		return -1;
	for (int i = 0; i < (flags & ZMTP_LONG ? 8 : 1); i++)
		len = len << 8 | size[i];
	if (len > room || !zmtp_read(self, body, len))
		return -1;
	return (ssize_t) len;
}

/* box: what crypto_box makes, 16 bytes longer than the plain text. */
static inline void
zmtp_nonce(uint8_t nonce[24], const char *prefix, const uint8_t *rest)
{
	size_t		len = strlen(prefix);

	memcpy(nonce, prefix, len);
	memcpy(nonce + len, rest, 24 - len);
}

static inline bool
zmtp_hello(Zmtp *self)
{
	uint8_t		hello[200] = "\x05HELLO\1";
	uint8_t		nonce[24];
	uint8_t		zero[64] = {0};

	crypto_box_keypair(self->short_public, self->short_secret);
	memcpy(hello + 80, self->short_public, 32);
	zmtp_put64(hello + 112, ++self->nonce);
	zmtp_nonce(nonce, "CurveZMQHELLO---", hello + 112);
	return crypto_box_easy(hello + 120, zero, sizeof zero, nonce, self->their_long, self->short_secret) == 0 &&
		zmtp_command(self, hello, sizeof hello);
}

static inline bool
zmtp_welcome_take(Zmtp *self, uint8_t cookie[96])
{
	uint8_t		welcome[256];
	uint8_t		plain[128];
	uint8_t		nonce[24];

	if (zmtp_next(self, welcome, sizeof welcome) != 168)
		return false;
	zmtp_nonce(nonce, "WELCOME-", welcome + 8);
	if (crypto_box_open_easy(plain, welcome + 24, 144, nonce, self->their_long, self->short_secret) != 0)
		return false;
	memcpy(self->their_short, plain, 32);
	memcpy(cookie, plain + 32, 96);
	return crypto_box_beforenm(self->shared, self->their_short, self->short_secret) == 0;
}

static inline size_t
zmtp_property(uint8_t *out, const char *name, const void *value, size_t len)
{
	size_t		at = 0;

	out[at++] = (uint8_t) strlen(name);
	memcpy(out + at, name, strlen(name));
	at += strlen(name);
	out[at++] = (uint8_t) (len >> 24);
	out[at++] = (uint8_t) (len >> 16);
	out[at++] = (uint8_t) (len >> 8);
	out[at++] = (uint8_t) len;
	memcpy(out + at, value, len);
	return at + len;
}

static inline bool
zmtp_initiate(Zmtp *self, const uint8_t *cookie, const uint8_t *metadata, size_t len)
{
	uint8_t    *plain = malloc(128 + len);
	uint8_t    *initiate = malloc(113 + 16 + 128 + len);
	uint8_t		vouch[64];
	uint8_t		nonce[24];
	bool		done;

	memcpy(initiate, "\x08INITIATE", 9);
	memcpy(initiate + 9, cookie, 96);
	zmtp_put64(initiate + 105, ++self->nonce);
	memcpy(plain, self->long_public, 32);
	randombytes_buf(plain + 32, 16);
	zmtp_nonce(nonce, "VOUCH---", plain + 32);
	memcpy(vouch, self->short_public, 32);
	memcpy(vouch + 32, self->their_long, 32);
	done = crypto_box_easy(plain + 48, vouch, 64, nonce, self->their_short, self->long_secret) == 0;
	memcpy(plain + 128, metadata, len);
	zmtp_nonce(nonce, "CurveZMQINITIATE", initiate + 105);
	done = done && crypto_box_easy(initiate + 113, plain, 128 + len, nonce, self->their_short, self->short_secret) == 0 &&
		zmtp_command(self, initiate, 113 + 16 + 128 + len);
	free(plain);
	free(initiate);
	return done;
}

/* As a client, with a routing id or none, up to READY. */
static inline bool
zmtp_join(Zmtp *self, const Peer *to, const void *routing_id, size_t len, Peer **around, int n_around)
{
	uint8_t		cookie[96];
	uint8_t	   *metadata = malloc(64 + len);
	uint8_t		ready[512];
	size_t		size;
	bool		done;

	self->around = around;
	self->n_around = n_around;
	memcpy(self->their_long, to->public, 32);
	if (self->nonce == 0 && sodium_is_zero(self->long_secret, 32))
		crypto_box_keypair(self->long_public, self->long_secret);
	self->fd = tcp_connect(to->address.port);
	size = zmtp_property(metadata, "Socket-Type", "DEALER", 6);
	size += zmtp_property(metadata + size, "Identity", routing_id, len);
	done = self->fd >= 0 && zmtp_greet(self, "CURVE") && zmtp_hello(self) && zmtp_welcome_take(self, cookie) &&
		zmtp_initiate(self, cookie, metadata, size) && zmtp_next(self, ready, sizeof ready) > 6 &&
		memcmp(ready, "\5READY", 6) == 0;
	free(metadata);
	return done;
}

/* In the midst of a command: another joins, and says something. */
static inline bool
zmtp_split(Zmtp *self)
{
	Peer	   *to = self->around[0];
	int			before = to->frames;

	return zmtp_join(self->meanwhile, to, "", 0, self->around, self->n_around) &&
		zmtp_send(self->meanwhile, 0, "hello", 5) && pump(self->around, self->n_around, to->frames > before);
}

/* A MESSAGE with these flags inside into out, which has room for 42 bytes more; the length of it. */
static inline size_t
zmtp_message(Zmtp *self, uint8_t *out, int flags, const void *bytes, size_t len)
{
	uint8_t    *body = malloc(16 + 16 + 1 + len);
	uint8_t    *plain = malloc(1 + len);
	uint8_t		nonce[24];
	size_t		size;

	memcpy(body, "\x07MESSAGE", 8);
	zmtp_put64(body + 8, ++self->nonce);
	zmtp_nonce(nonce, self->server ? "CurveZMQMESSAGES" : "CurveZMQMESSAGEC", body + 8);
	plain[0] = (uint8_t) flags;
	memcpy(plain + 1, bytes, len);
	crypto_box_easy_afternm(body + 16, plain, 1 + len, nonce, self->shared);
	size = zmtp_pack(out, 0, body, 16 + 16 + 1 + len);
	free(plain);
	free(body);
	return size;
}

static inline bool
zmtp_send(Zmtp *self, int flags, const void *bytes, size_t len)
{
	uint8_t    *out = malloc(len + 42);
	bool		done = zmtp_write(self, out, zmtp_message(self, out, flags, bytes, len));

	free(out);
	return done;
}

/* As a server: from accept() to HELLO. */
static inline bool
zmtp_serve(Zmtp *self, int listener, Peer **around, int n_around)
{
	uint8_t		hello[256];
	int64_t		end = real_ms() + PATIENCE_MS;

	self->server = true;
	self->around = around;
	self->n_around = n_around;
	crypto_box_keypair(self->short_public, self->short_secret);
	while (poll(&(struct pollfd) {.fd = listener, .events = POLLIN}, 1, 0) == 0 && real_ms() < end)
		turn(around, n_around, 5);
	self->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (self->fd < 0 || !zmtp_greet(self, "CURVE") || zmtp_next(self, hello, sizeof hello) != 200)
		return false;
	memcpy(self->their_short, hello + 80, 32);
	return true;
}

/* WELCOME, that says this is our short key. */
static inline bool
zmtp_welcome(Zmtp *self, const uint8_t short_key[32])
{
	uint8_t		welcome[168] = "\x07WELCOME";
	uint8_t		plain[128] = {0};
	uint8_t		nonce[24];

	memcpy(plain, short_key, 32);
	randombytes_buf(welcome + 8, 16);
	zmtp_nonce(nonce, "WELCOME-", welcome + 8);
	return crypto_box_easy(welcome + 24, plain, sizeof plain, nonce, self->their_short, self->long_secret) == 0 &&
		zmtp_command(self, welcome, sizeof welcome);
}

/* The rest of the handshake, which says this about us besides what we are. */
static inline bool
zmtp_ready_saying(Zmtp *self, const uint8_t *more, size_t len)
{
	uint8_t		initiate[1024];
	uint8_t    *metadata = malloc(64 + len);
	uint8_t    *ready = malloc(14 + 16 + 64 + len);
	uint8_t		nonce[24];
	size_t		size = zmtp_property(metadata, "Socket-Type", "ROUTER", 6);
	bool		done = zmtp_next(self, initiate, sizeof initiate) >= 257 &&
		crypto_box_beforenm(self->shared, self->their_short, self->short_secret) == 0;

	if (done)
	{
		if (len > 0)
			memcpy(metadata + size, more, len);
		size += len;
		memcpy(ready, "\5READY", 6);
		zmtp_put64(ready + 6, ++self->nonce);
		zmtp_nonce(nonce, "CurveZMQREADY---", ready + 6);
		crypto_box_easy_afternm(ready + 14, metadata, size, nonce, self->shared);
		done = zmtp_command(self, ready, 14 + 16 + size);
	}
	free(metadata);
	free(ready);
	return done;
}

static inline bool
zmtp_ready(Zmtp *self)
{
	return zmtp_ready_saying(self, NULL, 0);
}

#endif							/* TEST_ZMTP_PEER_H */
