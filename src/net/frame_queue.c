/*
 * frame_queue.c
 *	  Frames that wait to be sent and the accounts they are on; what TCP knows of a
 *	  connection.
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

/*
 * Look at a connection, whose descriptor is libzmq's and may have ended.  False
 * when the peer has taken nothing for too long of what waits for it: heartbeats
 * would not notice, they wait in the same queue.
 */
bool
stream_look(Stream *stream, int fd, const Account *account, int64_t now_ms)
{
	struct tcp_info info = {0};
	socklen_t	size = sizeof info;

	stream->received = stream->held = 0;
	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
		return true;
	stream->received = info.tcpi_bytes_received;
	if (stream->received > stream->seen)
		stream->held = stream->received - stream->seen;
	if (info.tcpi_bytes_acked != stream->taken || stream->taken_ms == 0 ||
		(account_queued(account) == 0 && info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0))
	{
		stream->taken = info.tcpi_bytes_acked;
		stream->taken_ms = now_ms;
	}
	return now_ms - stream->taken_ms < STUCK_MS;
}
