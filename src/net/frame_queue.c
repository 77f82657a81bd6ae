/*
 * frame_queue.c
 *	  Frames that wait to be sent and the accounts they are on; what is counted of
 *	  a link, by us and by TCP.
 *
 * An account lives as long as its link or any frame on it, whichever is longer.
 * libzmq frees a frame when it has encrypted it, on a thread of its own: bytes
 * not yet sent are counted by that, atomically.
 */
#include "net/transport_private.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/assert.h"

#define CURVE_OVERHEAD 33		/* of a frame on the wire */
#define QUEUE_SHARE_BYTES (64 * 1024)	/* of each peer, when TRANSPORT_QUEUES_BYTES are used up */

/* Waiting in all queues, of all transports of the process. */
static _Atomic size_t queued_all;

void
account_release(Account *account)
{
	if (account != NULL && atomic_fetch_sub(&account->references, 1) == 1)
		free(account);
}

Account *
account_new(void)
{
	Account    *account = malloc(sizeof *account);

	if (account != NULL)
	{
		atomic_init(&account->bytes, 0);
		atomic_init(&account->references, 1);
	}
	return account;
}

Frame *
frame_new(Account *account, const uint8_t *bytes, size_t len)
{
	Frame	   *frame = malloc(sizeof *frame + len);

	if (frame == NULL)
		return NULL;
	frame->next = NULL;
	frame->account = account;
	frame->len = len;
	memcpy(frame->data, bytes, len);
	atomic_fetch_add(&account->references, 1);
	atomic_fetch_add(&account->bytes, len + FRAME_OVERHEAD);
	atomic_fetch_add(&queued_all, len + FRAME_OVERHEAD);
	return frame;
}

/* Called by libzmq's thread too. */
void
frame_free(void *data, void *hint)
{
	Frame	   *frame = hint;

	CORE_ASSERT(atomic_load(&frame->account->bytes) >= frame->len + FRAME_OVERHEAD);
	CORE_ASSERT(atomic_load(&frame->account->references) > 0);
	atomic_fetch_sub(&frame->account->bytes, frame->len + FRAME_OVERHEAD);
	atomic_fetch_sub(&queued_all, frame->len + FRAME_OVERHEAD);
	account_release(frame->account);
	free(frame);
}

size_t
account_queued(const Account *account)
{
	return account != NULL ? atomic_load(&account->bytes) : 0;
}

bool
account_has_room(const Account *account, size_t len)
{
	size_t		bytes = account_queued(account);
	size_t		more = len + FRAME_OVERHEAD;
	bool		crowded = atomic_load(&queued_all) + more > TRANSPORT_QUEUES_BYTES;

	/* an empty queue takes a frame of any size */
	if (bytes == 0)
		return !crowded || more <= QUEUE_SHARE_BYTES;
	return bytes + more <= (crowded ? QUEUE_SHARE_BYTES : TRANSPORT_QUEUE_BYTES);
}

/* What a frame takes on the wire: ZMTP's header, CURVE's, itself. */
uint64_t
wire_bytes(size_t len)
{
	size_t		body = len + CURVE_OVERHEAD;

	return body + (body > 255 ? 9 : 2);
}

bool
link_look(Link *self, int64_t now_ms)
{
	struct tcp_info info = {0};
	socklen_t	size = sizeof info;
	Stream	   *stream = &self->stream;

	stream->received = stream->held = 0;
	if (self->fd < 0 || getsockopt(self->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
		return true;
	stream->received = info.tcpi_bytes_received;
	if (stream->received > stream->seen)
		stream->held = stream->received - stream->seen;
	if (info.tcpi_bytes_acked != stream->taken || stream->taken_ms == 0 ||
		(account_queued(self->account) == 0 && info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0))
	{
		stream->taken = info.tcpi_bytes_acked;
		stream->taken_ms = now_ms;
	}
	return now_ms - stream->taken_ms < STUCK_MS;
}

void
link_discard(const Link *self)
{
	struct linger now = {1, 0};

	setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void
link_count_sent(Transport *transport, Link *self, size_t len)
{
	self->frames_out++;
	self->bytes_out += len;
	transport->stats.frames_out++;
	transport->stats.bytes_out += len;
}

void
link_count_received(Transport *transport, Link *self, size_t len)
{
	self->heard_ms = transport->now_ms;
	self->frames_in++;
	self->bytes_in += len;
	self->stream.seen += wire_bytes(len);
	transport->stats.frames_in++;
	transport->stats.bytes_in += len;
}

void
link_count_dropped(Transport *transport, Link *self)
{
	self->dropped++;
	transport->stats.dropped++;
}

void
link_info(const Transport *transport, const Link *self, TransportLinkInfo *out)
{
	memset(out, 0, sizeof *out);
	memcpy(out->curve_key, self->key, CORE_KEY_BYTES);
	out->pinned = transport_pin_at(transport, self->key) >= 0;
	out->since_ms = self->since_ms;
	out->heard_ms = self->heard_ms;
	out->frames_in = self->frames_in;
	out->frames_out = self->frames_out;
	out->bytes_in = self->bytes_in;
	out->bytes_out = self->bytes_out;
	out->dropped = self->dropped;
	out->queued_bytes = account_queued(self->account);
	out->held_bytes = self->stream.held;
}
