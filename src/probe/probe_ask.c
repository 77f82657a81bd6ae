/*
 * probe_ask.c
 *	  Asking a node for its record by UDP.
 *
 * A node answers no ask of another network, and none whose time is further from its own
 * than vecdb.max_clock_skew.  So where three asks have met with silence, more of them
 * follow, of other times up to a day away: the one that is answered tells how far the
 * clocks are apart.  All go to the address that was named, at most ASKS of them.
 */
#include "probe/probe_wire.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <czmq.h>
#include <sodium.h>

#define FIRST_ASKS 3			/* of our time */
#define STEP_MS (INT64_C(600) * 1000)	/* a node with the default skew answers within 5 min either way */
#define STEPS 145				/* a day and ten minutes, into the past and into the future */
#define ASKS (FIRST_ASKS + 2 * STEPS)
#define AT_ONCE 20				/* a node reads 64 datagrams in one turn */
#define TURN_MS 20

typedef struct Ask
{
	uint64_t	nonce;
	double		sent;			/* probe_tick_ms() */
	int64_t		unix_ms;		/* our time then */
} Ask;

typedef struct Asker
{
	const ProbeOptions *options;
	const ProbeKeys *keys;
	ProbeReport *report;
	zpoller_t  *poller;
	int			fd[PROBE_TARGETS];	/* -1: none */
	ProbeAddress own[PROBE_TARGETS];
	int			errors[PROBE_TARGETS];	/* that datagrams have brought back */
	Ask			asks[PROBE_TARGETS][ASKS];
	int			n;				/* of each target */
} Asker;

/* Errors of ICMP come back to the socket of the target that they are of, which is not connected. */
static void
open_socket(Asker *self, int i)
{
	ProbePath  *path = &self->report->udp[i];
	struct sockaddr_storage address;
	int			family;
	int			on = 1;

	probe_address_socket(&path->address, &address);
	family = address.ss_family;
	probe_address_own(&path->address, &self->own[i]);
	path->state = PORT_SILENT;
	self->fd[i] = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (self->fd[i] < 0)
	{
		path->state = PORT_UNREACHABLE;
		path->error = errno;
		return;
	}
	(void) setsockopt(self->fd[i], family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
					  family == AF_INET ? IP_RECVERR : IPV6_RECVERR, &on, sizeof on);
	if (zpoller_add(self->poller, &self->fd[i]) != 0)
		path->state = PORT_UNTRIED;
}

static void
note_error(Asker *self, int i, int error)
{
	ProbePath  *path = &self->report->udp[i];

	if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)
		return;
	self->errors[i]++;
	if (path->state != PORT_SILENT)
		return;
	path->state = error == ECONNREFUSED ? PORT_REFUSED : PORT_UNREACHABLE;
	path->error = error;
}

/* To every target, as if it were off_ms later than it is. */
static void
send_asks(Asker *self, int64_t off_ms)
{
	for (int i = 0; i < self->report->n_targets; i++)
	{
		Ask		   *ask = &self->asks[i][self->n];
		uint8_t		bytes[PROBE_ASK_MAX];
		struct sockaddr_storage to;
		socklen_t	to_len = probe_address_socket(&self->report->udp[i].address, &to);
		size_t		len;

		if (self->fd[i] < 0)
			continue;
		do
			randombytes_buf(&ask->nonce, sizeof ask->nonce);
		while (ask->nonce == 0);
		ask->unix_ms = probe_unix_ms();
		ask->sent = probe_tick_ms();
		len = probe_write_ask(self->keys, self->options->network, &self->own[i], ask->nonce, ask->unix_ms + off_ms, bytes);
		self->report->ask_bytes = len;
		if (sendto(self->fd[i], bytes, len, MSG_NOSIGNAL, (struct sockaddr *) &to, to_len) < 0)
			note_error(self, i, errno);
	}
	self->n++;
}

/* A datagram that came to the socket of target i.  True when it is the answer. */
static bool
take(Asker *self, int i, const uint8_t *bytes, size_t len, const ProbeAddress *from)
{
	ProbeReport *report = self->report;
	double		now = probe_tick_ms();
	ProbeAnswer answer;
	const char *fault = len > PROBE_ASK_MAX ? "its datagram is too long" : probe_read_answer(bytes, len, &answer);
	const Ask  *ask = NULL;

	for (int k = 0; fault == NULL && k < self->n && ask == NULL; k++)
		if (self->asks[i][k].nonce == answer.nonce)
			ask = &self->asks[i][k];
	if (fault == NULL && ask == NULL)
		fault = "its datagram answers no ask of ours";
	if (fault == NULL && answer.network != self->options->network)
	{
		report->udp_network = true;
		fault = "it is of another network";
	}
	/* anybody may send noise here */
	if (fault != NULL && !probe_address_equal(from, &report->udp[i].address))
		return false;
	if (fault != NULL)
	{
		snprintf(report->udp_fault, sizeof report->udp_fault, "%s", fault);
		report->udp[i].state = PORT_STRANGE;
		report->target = i;
		return false;
	}
	report->udp_ms = now - ask->sent;
	report->clock_ms = answer.issued_ms - ask->unix_ms - (int64_t) (report->udp_ms / 2);
	report->answer_bytes = len;
	report->answered_from = *from;
	report->udp_record = answer.record;
	report->udp_fault[0] = '\0';
	report->udp_network = false;
	report->udp[i].state = PORT_ANSWERS;
	report->target = i;
	return true;
}

/* What has come to one socket; true when the answer has. */
static bool
receive(Asker *self, int i)
{
	uint8_t		bytes[PROBE_ASK_MAX + 1];

	for (int k = 0; k < AT_ONCE; k++)
	{
		struct sockaddr_storage address = {0};
		socklen_t	address_len = sizeof address;
		ProbeAddress from;
		ssize_t		len = recvfrom(self->fd[i], bytes, sizeof bytes, 0, (struct sockaddr *) &address, &address_len);

		if (len < 0)
		{
			note_error(self, i, errno);
			break;
		}
		if (probe_address_of((struct sockaddr *) &address, &from) && take(self, i, bytes, (size_t) len, &from))
			return true;
	}
	/* the queue of errors keeps a socket readable until it is read, too */
	for (int k = 0; k < AT_ONCE; k++)
	{
		struct msghdr nothing = {0};

		if (recvmsg(self->fd[i], &nothing, MSG_ERRQUEUE) < 0)
			break;
	}
	return false;
}

/* Wait until then; true when the answer has come. */
static bool
wait_until(Asker *self, double until)
{
	for (double now = probe_tick_ms(); now < until; now = probe_tick_ms())
	{
		void	   *which = zpoller_wait(self->poller, (int) (until - now) + 1);

		bool		error = which == NULL && !zpoller_expired(self->poller);

		for (int i = 0; i < self->report->n_targets; i++)
			if (self->fd[i] >= 0 && (which == &self->fd[i] || error) && receive(self, i))
				return true;
		/* czmq tells of a socket with an error in no other way, nor which it is; nor of an interruption */
		if (error)
			zclock_sleep(1);
	}
	return false;
}

/* Has every target said that nobody is there, more than once? */
static bool
all_gone(const Asker *self)
{
	for (int i = 0; i < self->report->n_targets; i++)
		if (self->fd[i] >= 0 && self->errors[i] < 2)
			return false;
	return true;
}

static void
ask(Asker *self, double begun, double deadline)
{
	double		eighth = (deadline - begun) / 8;

	for (int i = 1; i <= FIRST_ASKS; i++)
	{
		send_asks(self, 0);
		if (wait_until(self, begun + i * eighth) || all_gone(self))
			return;
	}
	for (int i = 1; i <= STEPS; i++)
	{
		send_asks(self, i * STEP_MS);
		send_asks(self, -i * STEP_MS);
		if (i % (AT_ONCE / 2) == 0 && wait_until(self, probe_tick_ms() + TURN_MS))
			return;
		if (probe_tick_ms() > deadline - 2 * eighth)
			break;
	}
	(void) wait_until(self, deadline);
}

void
probe_ask(const ProbeOptions *options, const ProbeKeys *keys, double deadline, ProbeReport *report)
{
	static Asker self;			/* there is one, and it is large */

	self = (Asker) {.options = options, .keys = keys, .report = report};
	self.poller = zpoller_new(NULL);
	if (self.poller == NULL)
	{
		snprintf(report->failed, sizeof report->failed, "out of memory");
		return;
	}
	zpoller_set_nonstop(self.poller, true);
	for (int i = 0; i < report->n_targets; i++)
		open_socket(&self, i);
	ask(&self, probe_tick_ms(), deadline);
	zpoller_destroy(&self.poller);
	for (int i = 0; i < report->n_targets; i++)
		if (self.fd[i] >= 0)
			close(self.fd[i]);
}
