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
	Outbound   *out;
	Inbound    *in;
	TransportSent why = TRANSPORT_ERROR;
	uint8_t		shared[CORE_KEY_BYTES];

	self->now_ms = tick_ms;
	if (len > TRANSPORT_FRAME_MAX || memcmp(curve_key, self->config.curve_public, CORE_KEY_BYTES) == 0)
		return TRANSPORT_ERROR;
	out = out_find(self, curve_key);
	in = in_find(self, curve_key);
	/* a pinned link to who cannot be reached is being made all the time */
	if (out != NULL && (out->up || n > 0 || in == NULL))
	{
		if (!out->up && n > 0)
			out_retarget(out, addresses, n);
		return out_send(self, out, frame, len);
	}
	if (n > 0)
	{
		/* with a key of low order everybody shares the same secret */
		if (crypto_scalarmult(shared, self->config.curve_secret, curve_key) != 0)
			return TRANSPORT_ERROR;
		sodium_memzero(shared, sizeof shared);
		out = out_open(self, curve_key, addresses, n, &why);
		if (out != NULL)
			return out_send(self, out, frame, len);
	}
	return in != NULL ? in_send(self, in, frame, len) : why;
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
		Inbound    *in = &self->in[i];

		if (!in->link.used || in->cut)
			continue;
		if (!in_is_sound(self, in))
		{
			in_reset(self, in);
			continue;
		}
		all += in->link.stream.held;
		if (in->link.stream.held > largest)
		{
			largest = in->link.stream.held;
			largest_in = in;
		}
	}
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *out = &self->out[i];

		if (!out->link.used || !out->up || out->failed)
			continue;
		if (!link_look(&out->link, self->now_ms) || out->link.stream.held > HELD_BYTES)
		{
			out_reset(self, out);
			continue;
		}
		all += out->link.stream.held;
		if (out->link.stream.held > largest)
		{
			largest = out->link.stream.held;
			largest_out = out;
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
			self->in[i].link.stream.taken_ms = 0;
		for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
			self->out[i].link.stream.taken_ms = 0;
	}
	self->sweep_ms = self->now_ms;
	self->router.ready = self->monitor.ready = self->zap.ready = true;
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		self->out[i].dealer.ready = self->out[i].monitor.ready = self->out[i].dealer.socket != NULL;
	look_at_streams(self);
	zap_sweep(self);
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

/* Which sockets have news? */
static void
take_signals(Transport *self)
{
	struct epoll_event events[64];
	bool		news = true;
	int			n = 64;

	while (n == 64 && news)
	{
		news = false;
		n = epoll_wait(self->epoll, events, 64, 0);
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
	}
}

/* What became of connections of others, and those who want to be let in.  True when there is more. */
static bool
take_events(Transport *self)
{
	if (self->monitor.ready)
	{
		port_events(&self->monitor);
		self->monitor.ready = in_events(self, 2000);
	}
	if (self->starving)
		listener_hang_up(self);
	if (self->zap.ready)
	{
		int			left = 64;
		bool		more = self->monitor.ready;

		port_events(&self->zap);
		while (left > 0 && zap_answer(self))
			left--;
		self->zap.ready = left == 0;
		more |= self->zap.ready;
		port_sent(self, &self->zap);
		return more;
	}
	return self->monitor.ready;
}

/* Frames that one poll may hand over. */
typedef struct Turn
{
	int			left;			/* how many more */
	int64_t		until_ms;		/* of monotonic_ms(): then no more, whatever is left */
	TransportReceive receive;
	void	   *context;
} Turn;

/* One has been handed over, at whatever cost. */
static void
turn_spend(Turn *turn)
{
	turn->left = monotonic_ms() < turn->until_ms ? turn->left - 1 : 0;
}

/* Up to eight frames of the ROUTER; true when there was one. */
static bool
take_router_frames(Transport *self, Turn *turn)
{
	bool		any = false;

	for (int i = 0; i < 8 && turn->left > 0 && self->router.ready; i++)
	{
		if (in_receive(self, turn->receive, turn->context))
		{
			any = true;
			turn_spend(turn);
		}
		else if ((port_events(&self->router) & ZMQ_POLLIN) == 0)
			self->router.ready = false;
	}
	return any;
}

/* Up to two frames of each DEALER, from the one whose turn it is; true when there was one. */
static bool
take_dealer_frames(Transport *self, Turn *turn)
{
	bool		any = false;
	int			first = self->turn;

	for (int i = 0; i < TRANSPORT_LINKS_MAX && turn->left > 0; i++)
	{
		Outbound   *out = &self->out[(first + i) % TRANSPORT_LINKS_MAX];
		uint64_t	serial = out->link.serial;

		/* who receives a frame may close the link, and open another in its slot */
		for (int j = 0; j < 2 && turn->left > 0 && out->link.used && out->link.serial == serial &&
			 out->dealer.ready && out->dealer.socket != NULL; j++)
		{
			if (out_receive(self, out, turn->receive, turn->context))
			{
				any = true;
				turn_spend(turn);
				self->turn = (first + i + 1) % TRANSPORT_LINKS_MAX;
			}
			else if ((port_events(&out->dealer) & ZMQ_POLLIN) == 0)
				out->dealer.ready = false;
		}
	}
	return any;
}

/*
 * Turns: eight frames of the ROUTER, which takes turns between its connections itself,
 * two of each DEALER.  Time counts, too, for a frame may cost a signature or a hundred.
 * So the time may be up after any frame, and who had it does not come first again.
 * True when more frames wait.
 */
static bool
take_frames(Transport *self, Turn turn)
{
	bool		skip_router;
	bool		more;

	self->dealers_first = !self->dealers_first;
	skip_router = self->dealers_first;
	while (turn.left > 0)
	{
		bool		any = skip_router || take_router_frames(self, &turn);

		skip_router = false;
		any |= take_dealer_frames(self, &turn);
		if (!any)
			break;
	}
	more = self->router.ready;
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		more |= self->out[i].link.used && self->out[i].dealer.ready;
	return more;
}

static bool
poll_once(Transport *self, int64_t tick_ms, int slice, TransportReceive receive, void *context)
{
	bool		more;

	self->now_ms = tick_ms;
	take_signals(self);
	if (tick_ms - self->sweep_ms >= SWEEP_MS || tick_ms < self->sweep_ms)
		sweep(self);
	more = take_events(self);
	out_step(self);
	more |= take_frames(self, (Turn) {slice, monotonic_ms() + TURN_MS, receive, context});
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
	in_cut_key(self, curve_key);
	/* one that has not spoken yet is not known by key: then all from there who have not */
	zap_withdraw(self, curve_key);
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
	Outbound   *out;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return;
	out = out_find(self, curve_key);
	if (out != NULL)
		out_forget(self, out, false);
	contain_leave(&call);
}

int
transport_links(const Transport *self, TransportLinkInfo *out, int room)
{
	int			n = 0;

	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->out[i].link.used && n++ < room)
			out_info(self, &self->out[i], &out[n - 1]);
	for (int i = 0; i < self->in_top; i++)
		if (self->in[i].link.used && self->in[i].speaks && !self->in[i].cut && n++ < room)
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
