/*
 * probe_verdict.c
 *	  What the report comes to, and what an operator can do about it.
 *
 * Of several things that are wrong the first one here is told: what would still be wrong
 * if those behind it were mended comes first.
 */
#include "probe/probe_wire.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Verdict
{
	const ProbeOptions *options;
	const ProbeReport *report;
	char	   *message;
	size_t		room;
} Verdict;

static ProbeOutcome __attribute__((format(printf, 3, 4)))
say(const Verdict *self, ProbeOutcome outcome, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(self->message, self->room, format, args);
	va_end(args);
	return outcome;
}

static PortState
udp_state(const Verdict *self)
{
	return self->report->udp[self->report->target].state;
}

static PortState
tcp_state(const Verdict *self)
{
	return self->report->tcp[self->report->target].state;
}

/* What a port did that did not answer. */
static const char *
how(const ProbePath *path)
{
	switch (path->state)
	{
		case PORT_REFUSED:
			return "nobody listens there";
		case PORT_UNREACHABLE:
			return strerror(path->error);
		case PORT_STRANGE:
			return "it accepts, and does not answer as a node does";
		case PORT_OPEN:
			return "it speaks CURVE, and does not answer the greeting";
		default:
			return "no answer in time";
	}
}

static const char *
network_name(const Verdict *self)
{
	return self->options->network_name == NULL ? "of the invitation" : self->options->network_name;
}

/* OUTCOME_OK: it is no question of the network. */
static ProbeOutcome
judge_network(const Verdict *self)
{
	const ProbeReport *r = self->report;

	if (r->udp_network || (r->has_error && r->error_code == PROBE_CODE_NETWORK) ||
		(r->greeted && r->tcp_network_id != self->options->network))
		return say(self, OUTCOME_NETWORK, "the node is of another network than \"%s\": nodes that are to meet have one vecdb.network_id; give it with --network",
				   network_name(self));
	return OUTCOME_OK;
}

static ProbeOutcome
judge_identity(const Verdict *self)
{
	const ProbeReport *r = self->report;
	const ProbeRecord *record = probe_record(r);

	if (r->tcp_fault[0] != '\0')
		return say(self, OUTCOME_STRANGE, "what answers by TCP is no node of this protocol: %s", r->tcp_fault);
	if (r->udp_fault[0] != '\0')
		return say(self, OUTCOME_STRANGE, "what answers by UDP is no node of this protocol: %s", r->udp_fault);
	if (r->answer_bytes > 0 && r->greeted && memcmp(r->udp_record.id, r->tcp_record.id, 32) != 0)
		return say(self, OUTCOME_STRANGE, "one node answers by UDP and another one by TCP: see where the port is led to");
	if (record != NULL && ((self->options->has_id && memcmp(record->id, self->options->id, 32) != 0) ||
						   (self->options->has_key && memcmp(record->curve_key, self->options->key, 32) != 0)))
		return say(self, OUTCOME_STRANGE, "another node answers than the one of the key that was given: its key file is another one, or the port is led to another node");
	if (tcp_state(self) == PORT_STRANGE)
		return say(self, OUTCOME_STRANGE, "what listens on the TCP port is no node: it does not speak ZMTP with CURVE; is it another program's port, or a proxy that cannot reach the node?");
	if (tcp_state(self) == PORT_OPEN && r->has_key)
		return say(self, OUTCOME_STRANGE, "what listens on the TCP port speaks CURVE, and does not answer a greeting to key %02x%02x%02x%02x...: it is another node, its key file was replaced, or it has no room for connections",
				   r->key[0], r->key[1], r->key[2], r->key[3]);
	return OUTCOME_OK;
}

static ProbeOutcome
judge_clock(const Verdict *self)
{
	const ProbeReport *r = self->report;
	const ProbeRecord *record = probe_record(r);
	int64_t		skew = self->options->skew_ms;
	int64_t		now = probe_unix_ms() + (r->answer_bytes > 0 ? r->clock_ms : 0);

	if (r->answer_bytes > 0 && (r->clock_ms > skew || r->clock_ms < -skew))
		return say(self, OUTCOME_CLOCK, "the node's clock is %.0f s %s the one here, and nodes allow %.0f s: set both by NTP",
				   (double) (r->clock_ms < 0 ? -r->clock_ms : r->clock_ms) / 1000, r->clock_ms < 0 ? "behind" : "ahead of", (double) skew / 1000);
	if (r->has_error && r->error_code == PROBE_CODE_EXPIRED)
		return say(self, OUTCOME_CLOCK, "the node takes a record that was made just now for one of another time: its clock or the one here is off; set both by NTP");
	if (record == NULL || (record->expires_ms > now - skew && record->expires_ms <= now + PROBE_RECORD_LIFE_MS + skew))
		return OUTCOME_OK;
	if (r->answer_bytes == 0)
		return say(self, OUTCOME_CLOCK, "the node's record is of another time than the clock here shows: one of both clocks is off; set both by NTP");
	return say(self, OUTCOME_CLOCK, "the node's record has expired, or lasts too long, by its own clock: it was set back or forth; restart the node once it is right");
}

static ProbeOutcome
judge_greeting(const Verdict *self)
{
	const ProbeReport *r = self->report;

	if ((r->has_error && r->error_code == PROBE_CODE_VERSION) ||
		(r->greeted && (r->least > PROBE_VERSION_GREATEST || r->greatest < PROBE_VERSION_LEAST)))
		return say(self, OUTCOME_VERSION, "the node speaks no version of the protocol that this probe speaks: it is of another version of vecdb; update the older one");
	if (r->has_error)
		return say(self, OUTCOME_REFUSED, "the node refuses the greeting with code %u%s%s: its log may say more", r->error_code,
				   r->error_text[0] != '\0' ? ", " : "", r->error_text);
	return OUTCOME_OK;
}

static ProbeOutcome
judge_ports(const Verdict *self)
{
	const ProbeReport *r = self->report;
	const ProbePath *udp = &r->udp[r->target];
	const ProbePath *tcp = &r->tcp[r->target];
	unsigned	port = tcp->address.port;
	bool		by_udp = udp_state(self) == PORT_ANSWERS;
	bool		by_tcp = tcp_state(self) == PORT_ANSWERS;

	if (by_udp && by_tcp)
		return OUTCOME_OK;
	if (by_udp)
		return say(self, OUTCOME_UDP_ONLY, "UDP port %u answers, TCP port %u does not (%s): other nodes cannot connect; open TCP port %u in the firewalls between, or lead it through",
				   port, port, how(tcp), port);
	if (by_tcp)
		return say(self, OUTCOME_TCP_ONLY, "TCP port %u answers, UDP port %u does not (%s): the node works, but is of no use in vecdb.bootstrap; open UDP port %u, too",
				   port, port, how(udp), port);
	if (tcp_state(self) == PORT_OPEN)
		return say(self, OUTCOME_TCP_ONLY, "TCP port %u is one of a node, UDP port %u does not answer (%s): UDP is closed by a firewall, the node is of another network than \"%s\", or the clocks are more than a day apart; --key tells which",
				   port, port, how(udp), network_name(self));
	return say(self, OUTCOME_NOTHING, "nothing answers on port %u, by UDP (%s) or by TCP (%s): is the node running, is this its address, does vecdb.listen let other machines in, is there a firewall between?",
			   port, how(udp), how(tcp));
}

/* The target answers; do the addresses that other nodes are told? */
static ProbeOutcome
judge_told(const Verdict *self)
{
	const ProbeReport *r = self->report;
	char		address[PROBE_ADDRESS_TEXT];

	for (int i = 0; i < r->n_told; i++)
		if (r->told[i].state == PORT_ANSWERS || r->told[i].state == PORT_UNTRIED)
			return OUTCOME_OK;
	if (r->n_told == 0)
		return OUTCOME_OK;
	return say(self, OUTCOME_ADDRESSES, "the node answers here, but tells other nodes %s%s, where it does not (%s): set vecdb.advertise to where they reach it",
			   probe_address_text(&r->told[0].address, address), r->n_told > 1 ? " and others" : "", how(&r->told[0]));
}

ProbeOutcome
probe_verdict(const ProbeOptions *options, const ProbeReport *report, int died_of, char *message, size_t room)
{
	static ProbeOutcome (*const judges[]) (const Verdict *self) = {
		judge_network, judge_identity, judge_clock, judge_greeting, judge_ports, judge_told
	};
	Verdict		self = {options, report, message, room};

	if (report->failed[0] != '\0')
		return say(&self, OUTCOME_FAILED, "the probe could not work: %s", report->failed);
	if (report->unresolved[0] != '\0')
		return say(&self, OUTCOME_UNRESOLVED, "the name \"%s\" has no address: %s", options->host, report->unresolved);
	if (report->stage == STAGE_RESOLVING && died_of == 0)
		return say(&self, OUTCOME_UNRESOLVED, "the name \"%s\" was not resolved in time: give an address, or a longer --timeout", options->host);
	if (died_of != 0)
		return say(&self, report->stage == STAGE_GREETING ? OUTCOME_STRANGE : OUTCOME_FAILED,
				   "the part of the probe that speaks to the node ended by signal %d: %s", died_of,
				   report->stage == STAGE_GREETING ? "libzmq gives up over what no node sends" : "this is a fault of the probe");
	for (size_t i = 0; i < sizeof judges / sizeof *judges; i++)
	{
		ProbeOutcome outcome = judges[i] (&self);

		if (outcome != OUTCOME_OK)
			return outcome;
	}
	return say(&self, OUTCOME_OK, "the node answers by UDP and by TCP");
}

const ProbeRecord *
probe_record(const ProbeReport *report)
{
	if (report->greeted)
		return &report->tcp_record;
	return report->answer_bytes > 0 ? &report->udp_record : NULL;
}

const char *
probe_outcome_name(ProbeOutcome outcome)
{
	static const char *const names[] = {
		[OUTCOME_OK] = "ok",
		[OUTCOME_FAILED] = "failed",
		[OUTCOME_USAGE] = "usage",
		[OUTCOME_UNRESOLVED] = "unresolved",
		[OUTCOME_NOTHING] = "nothing",
		[OUTCOME_UDP_ONLY] = "udp_only",
		[OUTCOME_TCP_ONLY] = "tcp_only",
		[OUTCOME_NETWORK] = "network",
		[OUTCOME_VERSION] = "version",
		[OUTCOME_CLOCK] = "clock",
		[OUTCOME_REFUSED] = "refused",
		[OUTCOME_STRANGE] = "strange",
		[OUTCOME_ADDRESSES] = "addresses"
	};

	return names[outcome];
}
