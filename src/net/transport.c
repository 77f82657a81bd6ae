/*
 * transport.c
 *	  The functions of transport.h: what is sent, polled, pinned, dropped and told.
 *
 * - link_in.c, link_out.c: a connection that others made, one that we made.
 * - zap.c: who is let in.  frame_queue.c: frames not yet sent.
 * - zmq_port.c: sockets.  transport_listen.c: the listening socket.
 * - transport_start.c: start and end.
 *
 * What libzmq keeps from its user is kept there instead: which connection a frame
 * came over, when it ended, how many bytes wait in it.  Pipes have no limit
 * (RCVHWM 0).  One that is full makes libzmq stop reading its connection, and when
 * that connection is then reset, the next heartbeat or PING is an assertion that
 * fails.  Nor would a limit help: it counts whole messages, and a message may have
 * parts without end.  What libzmq holds is what TCP has received and we have not
 * seen; who goes too far is cut.
 *
 * Calls into libzmq are contained (contain.h); after an abort in there nothing of it
 * is called again.
 */
#include "net/transport_private.h"

#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#define HELD_BYTES ((uint64_t) 16 << 20)	/* received of one connection, not seen yet */
#define HELD_ALL_BYTES ((uint64_t) 64 << 20)
#define TURN_MS 50				/* of frames, whatever each of them costs */
#define SWEEP_MS 100

bool
transport_broken(const Transport *self)
{
	return contain_aborted(self->containment);
}

uint16_t
transport_port(const Transport *self)
{
	return self->port;
}

int
transport_descriptors(const Transport *self, int *fds, int room)
{
	if (room > 0)
		fds[0] = self->epoll;
	return 1;
}

int
transport_pin_at(const Transport *self, const uint8_t *key)
{
	for (int i = 0; i < self->n_pins; i++)
		if (memcmp(self->pins[i], key, CORE_KEY_BYTES) == 0)
			return i;
	return -1;
}

void
transport_hand_over(TransportReceive receive, void *context, const uint8_t *key, TransportVia via, zmq_msg_t *msg)
{
	ContainFrame *frame = contain_suspend();

	receive(context, key, via, zmq_msg_data(msg), zmq_msg_size(msg));
	contain_resume(frame);
}

static TransportSent
send_to_key(Transport *self, int64_t tick_ms, const uint8_t *curve_key,
			const NetAddress *addresses, int n, const uint8_t *frame, size_t len)
{
	Outbound   *link;
	Inbound    *other = NULL;

	self->now_ms = tick_ms;
	if (len > TRANSPORT_FRAME_MAX || memcmp(curve_key, self->config.curve_public, CORE_KEY_BYTES) == 0)
		return TRANSPORT_ERROR;
	link = out_find(self, curve_key);
	if (link != NULL)
	{
		NetAddress	now = link->addresses[link->at];

		if (!link->up && n > 0 && link->dealer.socket == NULL && out_addresses(link, addresses, n))
			link->at = link->tried = 0;
		else if (!link->up && n > 0 && out_addresses(link, addresses, n))
		{
			/* the one being tried stays what it is until it has failed */
			memmove(link->addresses + 1, link->addresses, sizeof now * (TRANSPORT_ADDRESSES - 1));
			link->addresses[0] = now;
			link->at = 0;
			link->tried = 1;
			link->n_addresses = link->n_addresses < TRANSPORT_ADDRESSES ? link->n_addresses + 1 : TRANSPORT_ADDRESSES;
		}
		return out_send(self, link, frame, len);
	}
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *at = &self->in[i];

		if (at->used && at->speaks && !at->cut && memcmp(at->key, curve_key, CORE_KEY_BYTES) == 0 &&
			(other == NULL || at->serial > other->serial))
			other = at;
	}
	if (n > 0)
	{
		Outbound	fresh = {.used = true, .fd = -1, .retry_ms = RETRY_FIRST_MS};
		uint8_t		shared[CORE_KEY_BYTES];

		/* with a key of low order everybody shares the same secret */
		if (crypto_scalarmult(shared, self->config.curve_secret, curve_key) != 0)
			return TRANSPORT_ERROR;
		sodium_memzero(shared, sizeof shared);
		if (!out_addresses(&fresh, addresses, n))
			return other != NULL ? in_send(self, other, frame, len) : TRANSPORT_ERROR;
		link = out_slot(self);
		if (link == NULL && other == NULL)
			return TRANSPORT_NO_ROOM;
		if (link != NULL)
		{
			fresh.account = account_new();
			if (fresh.account == NULL)
				return TRANSPORT_NO_ROOM;
			memcpy(fresh.key, curve_key, CORE_KEY_BYTES);
			fresh.since_ms = tick_ms;
			*link = fresh;
			link->last = &link->first;
			if (!out_attempt(self, link))
				link->failed = true;
			transport_wake(self);
			return out_send(self, link, frame, len);
		}
	}
	return other != NULL ? in_send(self, other, frame, len) : TRANSPORT_ERROR;
}

TransportSent
transport_send(Transport *self, int64_t tick_ms, const uint8_t curve_key[CORE_KEY_BYTES],
			   const NetAddress *addresses, int n, const uint8_t *frame, size_t len)
{
	ContainFrame call;
	TransportSent sent;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return TRANSPORT_ERROR;
	sent = send_to_key(self, tick_ms, curve_key, addresses, n, frame, len);
	contain_leave(&call);
	return sent;
}

static TransportSent
send_via(Transport *self, TransportVia via, const uint8_t *frame, size_t len)
{
	Inbound    *in;
	Outbound   *out;

	if (len > TRANSPORT_FRAME_MAX)
		return TRANSPORT_ERROR;
	/* a link that has ended must not be sent to: its routing id may be another's by now */
	in_events(self, INT32_MAX);
	in = in_of_via(self, via);
	if (in != NULL)
		return in_send(self, in, frame, len);
	out = out_of_via(self, via);
	return out != NULL ? out_send(self, out, frame, len) : TRANSPORT_ERROR;
}

TransportSent
transport_answer(Transport *self, TransportVia via, const uint8_t *frame, size_t len)
{
	ContainFrame call;
	TransportSent sent;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return TRANSPORT_ERROR;
	sent = send_via(self, via, frame, len);
	contain_leave(&call);
	return sent;
}

/* Cut connections that send nothing, take nothing, or send more than we may hold. */
static void
look_at_streams(Transport *self)
{
	uint64_t	all = 0;
	Inbound    *largest_in = NULL;
	Outbound   *largest_out = NULL;
	uint64_t	largest = 0;

	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];
		bool		fine;

		if (!link->used || link->cut)
			continue;
		fine = stream_look(&link->stream, link->fd, link->account, self->now_ms) &&
			link->stream.held <= HELD_BYTES &&
			!(in_shakes_hands(link) && link->stream.received > HANDSHAKE_BYTES) &&
			(link->speaks || self->now_ms - link->since_ms < SILENT_MS);
		if (!fine)
		{
			in_reset(self, link);
			continue;
		}
		all += link->stream.held;
		if (link->stream.held > largest)
		{
			largest = link->stream.held;
			largest_in = link;
		}
	}
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *link = &self->out[i];

		if (!link->used || !link->up || link->failed)
			continue;
		if (!stream_look(&link->stream, link->fd, link->account, self->now_ms) || link->stream.held > HELD_BYTES)
		{
			out_reset(self, link);
			continue;
		}
		all += link->stream.held;
		if (link->stream.held > largest)
		{
			largest = link->stream.held;
			largest_out = link;
		}
	}
	if (all <= HELD_ALL_BYTES)
		return;
	if (largest_out != NULL)
		out_reset(self, largest_out);
	else if (largest_in != NULL)
		in_reset(self, largest_in);
}

static void
sweep(Transport *self)
{
	/* after a long absence of our own nobody is to blame for having taken nothing */
	if (self->now_ms - self->sweep_ms > STUCK_MS / 2 || self->now_ms < self->sweep_ms)
	{
		for (int i = 0; i < self->in_top; i++)
			self->in[i].stream.taken_ms = 0;
		for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
			self->out[i].stream.taken_ms = 0;
	}
	self->sweep_ms = self->now_ms;
	self->router.ready = self->monitor.ready = self->zap.ready = true;
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		self->out[i].dealer.ready = self->out[i].monitor.ready = self->out[i].dealer.socket != NULL;
	look_at_streams(self);
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
		if (self->admitted[i].serial != 0 && self->now_ms - self->admitted[i].since_ms > 2 * SILENT_MS)
		{
			self->admitted[i].serial = 0;
			self->n_admitted--;
		}
	if (self->closed && self->now_ms >= self->open_ms)
		listener_close(self, false);
}

static int64_t
monotonic_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool
poll_once(Transport *self, int64_t tick_ms, int slice, TransportReceive receive, void *context)
{
	struct epoll_event events[64];
	int			n;
	bool		more = false;
	bool		skip_router;
	int64_t		until_ms;

	self->now_ms = tick_ms;
	while ((n = epoll_wait(self->epoll, events, 64, 0)) > 0)
	{
		bool		news = false;

		for (int i = 0; i < n; i++)
		{
			Port	   *port = events[i].data.ptr;

			if (port == NULL)
			{
				uint64_t	count;

				news |= read(self->wake, &count, sizeof count) > 0;
				self->woken = false;
			}
			else
			{
				news |= !port->ready;
				port->ready = true;
			}
		}
		if (n < 64 || !news)
			break;
	}
	if (tick_ms - self->sweep_ms >= SWEEP_MS || tick_ms < self->sweep_ms)
		sweep(self);

	if (self->monitor.ready)
	{
		port_events(&self->monitor);
		self->monitor.ready = in_events(self, 2000);
		more |= self->monitor.ready;
	}
	if (self->starving)
		listener_hang_up(self);
	if (self->zap.ready)
	{
		int			left = 64;

		port_events(&self->zap);
		while (left > 0 && zap_answer(self))
			left--;
		self->zap.ready = left == 0;
		more |= self->zap.ready;
		port_sent(self, &self->zap);
	}
	out_step(self);

	/*
	 * Turns: eight of the ROUTER, which takes turns itself, two of each DEALER.  Time
	 * counts, too, for a frame may cost a signature or a hundred.  So it may be up
	 * after any frame, and who had it does not come first again.
	 */
	until_ms = monotonic_ms() + TURN_MS;
	self->dealers_first = !self->dealers_first;
	skip_router = self->dealers_first;
	while (slice > 0)
	{
		bool		any = skip_router;
		int			first = self->turn;

		for (int i = 0; i < 8 && slice > 0 && self->router.ready && !skip_router; i++)
		{
			if (in_receive(self, receive, context))
			{
				any = true;
				slice = monotonic_ms() < until_ms ? slice - 1 : 0;
			}
			else if ((port_events(&self->router) & ZMQ_POLLIN) == 0)
				self->router.ready = false;
		}
		skip_router = false;
		for (int i = 0; i < TRANSPORT_LINKS_MAX && slice > 0; i++)
		{
			Outbound   *link = &self->out[(first + i) % TRANSPORT_LINKS_MAX];
			uint64_t	serial = link->serial;

			for (int j = 0; j < 2 && slice > 0 && link->used && link->serial == serial && link->dealer.ready &&
				 link->dealer.socket != NULL; j++)
			{
				if (out_receive(self, link, receive, context))
				{
					any = true;
					slice = monotonic_ms() < until_ms ? slice - 1 : 0;
					self->turn = (first + i + 1) % TRANSPORT_LINKS_MAX;
				}
				else if ((port_events(&link->dealer) & ZMQ_POLLIN) == 0)
					link->dealer.ready = false;
			}
		}
		if (!any)
			break;
	}
	more |= self->router.ready;
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		more |= self->out[i].used && self->out[i].dealer.ready;
	if (more)
		transport_wake(self);
	return more;
}

bool
transport_poll(Transport *self, int64_t tick_ms, int slice, TransportReceive receive, void *context)
{
	ContainFrame call;
	bool		more;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return false;
	more = poll_once(self, tick_ms, slice, receive, context);
	contain_leave(&call);
	return more;
}

bool
transport_pin(Transport *self, const uint8_t curve_key[CORE_KEY_BYTES], bool pinned)
{
	int			at = transport_pin_at(self, curve_key);

	if (pinned && at < 0)
	{
		if (self->n_pins == TRANSPORT_LINKS_MAX)
			return false;
		memcpy(self->pins[self->n_pins++], curve_key, CORE_KEY_BYTES);
	}
	else if (!pinned && at >= 0)
		memcpy(self->pins[at], self->pins[--self->n_pins], CORE_KEY_BYTES);
	return true;
}

static void
drop_key(Transport *self, const uint8_t *curve_key)
{
	Outbound   *out = out_find(self, curve_key);

	if (out != NULL)
		out_forget(self, out, false);
	in_events(self, INT32_MAX);
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (link->used && !link->cut && link->speaks && memcmp(link->key, curve_key, CORE_KEY_BYTES) == 0)
			in_cut(self, link);
	}
	/* One that has not spoken yet is not known by key: then all from there who have not. */
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
	{
		Admitted   *slot = &self->admitted[i];

		if (slot->serial == 0 || memcmp(slot->key, curve_key, CORE_KEY_BYTES) != 0)
			continue;
		for (int j = 0; j < self->in_top; j++)
		{
			Inbound    *link = &self->in[j];

			if (link->used && !link->cut && !link->speaks && link->accepted < slot->order &&
				memcmp(link->address.ip, slot->ip, 16) == 0)
				in_cut(self, link);
		}
		slot->serial = 0;
		self->n_admitted--;
	}
}

void
transport_drop(Transport *self, const uint8_t curve_key[CORE_KEY_BYTES])
{
	ContainFrame call;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return;
	drop_key(self, curve_key);
	contain_leave(&call);
}

void
transport_drop_outbound(Transport *self, const uint8_t curve_key[CORE_KEY_BYTES])
{
	ContainFrame call;
	Outbound   *link;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return;
	link = out_find(self, curve_key);
	if (link != NULL)
		out_forget(self, link, false);
	contain_leave(&call);
}

int
transport_links(const Transport *self, TransportLinkInfo *out, int room)
{
	int			n = 0;

	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->out[i].used && n++ < room)
			out_info(self, &self->out[i], &out[n - 1]);
	for (int i = 0; i < self->in_top; i++)
		if (self->in[i].used && self->in[i].speaks && !self->in[i].cut && n++ < room)
			in_info(self, &self->in[i], &out[n - 1]);
	return n;
}

bool
transport_link(const Transport *self, TransportVia via, TransportLinkInfo *out)
{
	const Inbound *in = in_of_via(self, via);
	const Outbound *to = out_of_via(self, via);

	if (in != NULL)
		in_info(self, in, out);
	else if (to != NULL)
		out_info(self, to, out);
	return in != NULL || to != NULL;
}

TransportStats
transport_stats(const Transport *self)
{
	return self->stats;
}
