/*
 * probe_greet.c
 *	  Greeting a node by TCP: CURVE, HELLO, then PING for the round trip, then BYE.
 *
 * There is a link to each address that may be the node's: those of the target, and those
 * in its record once that is known.  All have one key, of which a node lets in
 * PROBE_PATHS.  The node's end of a link is proven by the key that the link was made
 * with.  What comes is read until the deadline, whatever it is and however much.
 */
#include "probe/probe_wire.h"

#include <string.h>

#include <czmq.h>
#include <sodium.h>

#define FRAME_ROOM 128			/* what encryption adds to a frame */
#define QUEUE 16				/* frames that libzmq reads ahead */
#define LINGER_MS 100			/* for BYE */
#define RECONNECT_MS 200

typedef struct Link
{
	ProbePath  *path;
	zsock_t    *sock;
	bool		told;			/* it is an address of the record alone */
	bool		heard;			/* HELLO or ERROR has come */
	uint64_t	request;		/* HELLO, then PING */
	double		pinged;			/* probe_tick_ms(); 0: not yet */
} Link;

typedef struct Greeter
{
	const ProbeOptions *options;
	const ProbeKeys *keys;
	ProbeReport *report;
	zcert_t    *cert;
	zpoller_t  *poller;
	uint8_t		record[PROBE_RECORD_MAX];
	size_t		record_len;
	Link		links[PROBE_PATHS];
	int			n;
} Greeter;

static bool
send_frame(zsock_t *sock, const uint8_t *frame, size_t len)
{
	zmsg_t	   *message = zmsg_new();

	return message != NULL && zmsg_addmem(message, frame, len) == 0 && zmsg_send(&message, sock) == 0;
}

static void
send_request(Greeter *self, Link *link, int type)
{
	uint8_t		frame[512];

	do
		randombytes_buf(&link->request, sizeof link->request);
	while (link->request == 0);
	(void) send_frame(link->sock, frame, probe_write_frame(type, link->request, self->options->network,
														   self->record, self->record_len, frame));
}

/* A link to this address; none where there are enough. */
static void
open_link(Greeter *self, ProbePath *path, bool told)
{
	Link	   *link = &self->links[self->n];
	char		address[PROBE_ADDRESS_TEXT];

	if (self->n == PROBE_PATHS)
		return;
	*link = (Link) {.path = path,.told = told};
	link->sock = zsock_new(ZMQ_DEALER);
	if (link->sock == NULL)
		return;
	zsock_set_linger(link->sock, LINGER_MS);
	zsock_set_ipv6(link->sock, 1);
	zsock_set_sndtimeo(link->sock, 0);
	zsock_set_rcvtimeo(link->sock, 0);
	zsock_set_rcvhwm(link->sock, QUEUE);
	zsock_set_maxmsgsize(link->sock, PROBE_FRAME_MAX + FRAME_ROOM);
	zsock_set_reconnect_ivl(link->sock, RECONNECT_MS);
	zcert_apply(self->cert, link->sock);
	zsock_set_curve_serverkey_bin(link->sock, self->report->key);
	if (zsock_connect(link->sock, "tcp://%s", probe_address_text(&path->address, address)) != 0 ||
		zpoller_add(self->poller, link->sock) != 0)
	{
		zsock_destroy(&link->sock);
		return;
	}
	self->n++;
	path->state = PORT_SILENT;
	send_request(self, link, PROBE_HELLO);
}

/* The addresses in the record are tried, too: other nodes know only those. */
static void
try_told(Greeter *self, const ProbeRecord *record)
{
	ProbeReport *report = self->report;

	if (report->n_told > 0)
		return;
	for (int i = 0; i < record->n_addresses; i++)
	{
		bool		target = false;

		report->told[i].address = record->addresses[i];
		for (int k = 0; k < self->n && !target; k++)
			target = !self->links[k].told && probe_address_equal(&self->links[k].path->address, &record->addresses[i]);
		if (!target)
			open_link(self, &report->told[i], true);
	}
	report->n_told = record->n_addresses;
}

/* Of told addresses that are a target's, what is known of that. */
static void
copy_to_told(ProbeReport *report)
{
	for (int i = 0; i < report->n_told; i++)
		for (int k = 0; k < report->n_targets; k++)
			if (probe_address_equal(&report->told[i].address, &report->tcp[k].address))
				report->told[i] = report->tcp[k];
}

static const char *
take_hello(Greeter *self, Link *link, const ProbeFrame *frame)
{
	ProbeReport *report = self->report;

	if (memcmp(frame->record.curve_key, report->key, 32) != 0)
		return "it presents the record of another node";
	if (frame->network != frame->record.network)
		return "its greeting is of another network than its record";
	if (report->greeted && memcmp(report->tcp_record.id, frame->record.id, 32) != 0)
		return "it is another node by another address";
	report->greeted = true;
	report->least = frame->least;
	report->greatest = frame->greatest;
	report->tcp_network_id = frame->network;
	report->tcp_record = frame->record;
	link->request = 0;
	if (!link->told)
	{
		send_request(self, link, PROBE_PING);
		link->pinged = probe_tick_ms();
	}
	return NULL;
}

/* The answer to what was sent over this link last. */
static const char *
take_answer(Greeter *self, Link *link, const uint8_t *bytes, size_t len)
{
	ProbeReport *report = self->report;
	ProbeFrame	frame;
	const char *fault = probe_read_response(bytes, len, &frame);
	bool		ping = link->pinged > 0;

	if (fault != NULL)
		return fault;
	if (frame.type != PROBE_ERROR && frame.type != (ping ? PROBE_PING : PROBE_HELLO))
		return "it answers something else than was asked";
	link->heard = true;
	link->path->state = PORT_ANSWERS;
	if (frame.type == PROBE_HELLO)
		return take_hello(self, link, &frame);
	if (frame.type == PROBE_PING)
		report->tcp_ms = probe_tick_ms() - link->pinged;
	else if (!link->told)
	{
		report->has_error = true;
		report->error_code = frame.code;
		snprintf(report->error_text, sizeof report->error_text, "%s", frame.text);
	}
	link->request = 0;
	return NULL;
}

/* Has all come that is waited for? */
static bool
is_done(const Greeter *self)
{
	for (int i = 0; i < self->n; i++)
		if (!self->links[i].heard || (self->links[i].pinged > 0 && self->links[i].request != 0))
			return false;
	return true;
}

/* Something has come over a link. */
static void
receive(Greeter *self, Link *link)
{
	ProbeReport *report = self->report;
	zmsg_t	   *message = zmsg_recv(link->sock);
	zframe_t   *only;
	ProbeFrame	head;
	const char *fault;

	if (message == NULL)
		return;
	only = zmsg_first(message);
	if (zmsg_size(message) != 1)
		fault = "its message has several parts";
	else
		fault = probe_read_head(zframe_data(only), zframe_size(only), &head);
	/* what else it may want to say to a node is of no interest */
	if (fault == NULL && head.response && head.request == link->request && link->request != 0)
		fault = take_answer(self, link, zframe_data(only), zframe_size(only));
	zmsg_destroy(&message);
	if (fault == NULL)
		return;
	link->heard = true;
	link->request = 0;
	link->path->state = PORT_STRANGE;
	if (!link->told)
		snprintf(report->tcp_fault, sizeof report->tcp_fault, "%s", fault);
}

static void
wait_until(Greeter *self, double until)
{
	for (double now = probe_tick_ms(); now < until && !is_done(self); now = probe_tick_ms())
	{
		void	   *which = zpoller_wait(self->poller, (int) (until - now) + 1);

		if (which == NULL && !zpoller_expired(self->poller))
			zclock_sleep(1);
		for (int i = 0; i < self->n; i++)
			if (self->links[i].sock == which)
				receive(self, &self->links[i]);
		if (self->report->greeted)
			try_told(self, &self->report->tcp_record);
	}
}

/* Where no answer has come, look what is at the port. */
static void
look_at_ports(Greeter *self, double deadline)
{
	ProbeReport *report = self->report;
	ProbePath  *paths[PROBE_TARGETS + PROBE_TOLD];
	int			n = 0;

	for (int i = 0; i < self->n; i++)
		if (!self->links[i].heard)
			paths[n++] = self->links[i].path;
	if (self->n == 0)
		for (int i = 0; i < report->n_targets; i++)
			if (report->udp[report->target].state != PORT_ANSWERS || i == report->target)
				paths[n++] = &report->tcp[i];
	probe_ports(paths, n, deadline);
}

/* Of several targets that were tried, the report is about the one that is most of a node. */
static void
choose_target(ProbeReport *report)
{
	static const int rank[] = {
		[PORT_ANSWERS] = 6,[PORT_STRANGE] = 5,[PORT_OPEN] = 4,[PORT_REFUSED] = 2,[PORT_SILENT] = 3,[PORT_UNREACHABLE] = 1,[PORT_UNTRIED] = 0
	};

	if (report->udp[report->target].state == PORT_ANSWERS || report->udp[report->target].state == PORT_STRANGE)
		return;
	for (int i = 0; i < report->n_targets; i++)
		if (rank[report->tcp[i].state] > rank[report->tcp[report->target].state])
			report->target = i;
}

static void
greet(Greeter *self, double begun, double deadline)
{
	ProbeReport *report = self->report;
	bool		answered = report->udp[report->target].state == PORT_ANSWERS;

	for (int i = 0; report->has_key && i < report->n_targets; i++)
		if (!answered || i == report->target)
			open_link(self, &report->tcp[i], false);
	if (answered && report->has_key)
		try_told(self, &report->udp_record);
	wait_until(self, begun + (deadline - begun) / 4);
	if (self->n == 0 || !is_done(self))
		look_at_ports(self, begun + (deadline - begun) / 2);
	/* who speaks CURVE may be slow */
	for (int i = 0; i < self->n; i++)
		if (!self->links[i].heard && self->links[i].path->state != PORT_OPEN && self->links[i].path->state != PORT_SILENT)
			self->links[i].heard = true;
	wait_until(self, deadline);
	for (int i = 0; i < self->n; i++)
	{
		uint8_t		frame[512];

		if (report->greeted)
			(void) send_frame(self->links[i].sock, frame, probe_write_frame(PROBE_BYE, 0, 0, NULL, 0, frame));
	}
}

void
probe_greet(const ProbeOptions *options, const ProbeKeys *keys, double deadline, ProbeReport *report)
{
	Greeter		self = {.options = options,.keys = keys,.report = report};
	ProbeAddress own;
	int64_t		unix_ms = probe_unix_ms() + (report->answer_bytes > 0 ? report->clock_ms : 0);

	zsys_handler_set(NULL);
	self.cert = zcert_new_from(keys->curve_public, keys->curve_secret);
	self.poller = zpoller_new(NULL);
	if (self.cert == NULL || self.poller == NULL)
	{
		snprintf(report->failed, sizeof report->failed, "libzmq could not be started");
		return;
	}
	zpoller_set_nonstop(self.poller, true);
	probe_address_own(&report->tcp[report->target].address, &own);
	self.record_len = probe_write_record(keys, options->network, &own, (uint64_t) unix_ms, unix_ms + 600000, self.record);
	greet(&self, probe_tick_ms(), deadline);
	copy_to_told(report);
	choose_target(report);
	zpoller_destroy(&self.poller);
	for (int i = 0; i < self.n; i++)
		zsock_destroy(&self.links[i].sock);
	zcert_destroy(&self.cert);
}
