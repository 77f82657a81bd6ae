/*
 * probe_print.c
 *	  The report, as text for people or as one object of JSON.
 *
 * Of what came over the wire only the text of an ERROR is text: UTF-8 without control
 * characters, which its reader has looked at.
 */
#include "probe/probe_wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/bytes.h"

static const char *
state_name(PortState state)
{
	static const char *const names[] = {
		[PORT_UNTRIED] = "untried",
		[PORT_ANSWERS] = "answers",
		[PORT_OPEN] = "open",
		[PORT_STRANGE] = "strange",
		[PORT_REFUSED] = "refused",
		[PORT_UNREACHABLE] = "unreachable",
		[PORT_SILENT] = "silent"
	};

	return names[state];
}

/* What was tried: the host as it was given, or the first address of an invitation. */
static void
target_text(const ProbeOptions *options, const ProbeReport *report, char *out, size_t room)
{
	if (options->host[0] == '\0')
		probe_address_text(&report->tcp[report->target].address, out);
	else
		snprintf(out, room, strchr(options->host, ':') != NULL ? "[%s]:%u" : "%s:%u", options->host, options->port);
}

/* ---- text ---- */

static void
print_hex(const char *name, const uint8_t *bytes)
{
	char		text[65];

	printf("  %-13s%s\n", name, bytes_hex(bytes, 32, text));
}

static void
print_port(const char *name, const ProbePath *path, double ms)
{
	printf("  %-13s%s", name, state_name(path->state));
	if (path->state == PORT_UNREACHABLE)
		printf(": %s", strerror(path->error));
	if (path->state == PORT_ANSWERS && ms > 0)
		printf(" in %.1f ms", ms);
	putchar('\n');
}

static void
print_record(const ProbeReport *report, const ProbeRecord *record)
{
	char		address[PROBE_ADDRESS_TEXT];
	double		left = (double) (record->expires_ms - probe_unix_ms() - (report->answer_bytes > 0 ? report->clock_ms : 0)) / 1000;

	print_hex("id", record->id);
	print_hex("CURVE key", record->curve_key);
	for (int i = 0; i < record->n_addresses; i++)
	{
		const char *state = "";

		for (int k = 0; k < report->n_told; k++)
			if (probe_address_equal(&report->told[k].address, &record->addresses[i]))
				state = state_name(report->told[k].state);
		printf("  %-13s%s%s%s\n", i == 0 ? "tells others" : "", probe_address_text(&record->addresses[i], address),
			   state[0] != '\0' ? " " : "", state);
	}
	printf("  %-13snumber %" PRIu64 ", expires in %.1f h, capabilities %" PRIu64 "\n", "record", record->seq, left / 3600, record->capabilities);
}

/* What the way takes in one direction is not known better than by half of both. */
static void
print_clock(const ProbeReport *report)
{
	double		ms = (double) (report->clock_ms < 0 ? -report->clock_ms : report->clock_ms);

	if (ms <= report->udp_ms / 2 + 1)
		printf("  %-13ssame as here\n", "clock");
	else
		printf("  %-13s%.3f s %s\n", "clock", ms / 1000, report->clock_ms < 0 ? "behind" : "ahead");
}

static void
print_text(const ProbeOptions *options, const ProbeReport *report, ProbeOutcome outcome, const char *message)
{
	const ProbeRecord *record = probe_record(report);
	char		target[PROBE_HOST + 16];
	char		address[PROBE_ADDRESS_TEXT];

	target_text(options, report, target, sizeof target);
	printf("%s\n", target);
	if (record != NULL)
		print_record(report, record);
	if (report->greeted && report->least == report->greatest)
		printf("  %-13s%u\n", "protocol", report->least);
	else if (report->greeted)
		printf("  %-13s%u to %u\n", "protocol", report->least, report->greatest);
	if (options->network_name != NULL)
		printf("  %-13s%s%s\n", "network", outcome == OUTCOME_NETWORK ? "not " : record == NULL ? "asked for " : "", options->network_name);
	if (report->n_targets > 0)
	{
		printf("  %-13s%s\n", "tried at", probe_address_text(&report->tcp[report->target].address, address));
		print_port("UDP", &report->udp[report->target], report->udp_ms);
		if (report->answer_bytes > 0 && !probe_address_equal(&report->answered_from, &report->udp[report->target].address))
			printf("  %-13s%s\n", "answers from", probe_address_text(&report->answered_from, address));
		print_port("TCP", &report->tcp[report->target], report->tcp_ms);
	}
	if (report->answer_bytes > 0)
		print_clock(report);
	printf("%s: %s\n", probe_outcome_name(outcome), message);
}

/* ---- JSON ---- */

/* Bytes that are no ASCII are printed as they are where all of it is UTF-8, else as "?". */
static void
json_string(const char *text)
{
	bool		utf8 = probe_text_good((const uint8_t *) text, strlen(text));

	putchar('"');
	for (const unsigned char *s = (const unsigned char *) text; *s != '\0'; s++)
	{
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if (*s < 0x20 || *s == 0x7F)
			printf("\\u%04x", *s);
		else
			putchar(*s < 0x80 || utf8 ? *s : '?');
	}
	putchar('"');
}

static void
json_hex(const char *name, const uint8_t *bytes)
{
	char		text[65];

	printf("\"%s\": \"%s\"", name, bytes_hex(bytes, 32, text));
}

static void
json_port(const char *name, const ProbePath *path, double ms, const char *fault)
{
	char		address[PROBE_ADDRESS_TEXT];

	printf(", \"%s\": {\"address\": \"%s\", \"state\": \"%s\", \"round_trip_ms\": ", name,
		   probe_address_text(&path->address, address), state_name(path->state));
	if (path->state == PORT_ANSWERS && ms > 0)
		printf("%.3f", ms);
	else
		fputs("null", stdout);
	if (path->state == PORT_UNREACHABLE)
	{
		fputs(", \"error\": ", stdout);
		json_string(strerror(path->error));
	}
	if (fault[0] != '\0')
	{
		fputs(", \"fault\": ", stdout);
		json_string(fault);
	}
}

static void
json_node(const ProbeReport *report, const ProbeRecord *record)
{
	char		address[PROBE_ADDRESS_TEXT];

	fputs(", \"node\": ", stdout);
	if (record == NULL)
	{
		fputs("null", stdout);
		return;
	}
	putchar('{');
	json_hex("id", record->id);
	fputs(", ", stdout);
	json_hex("curve_key", record->curve_key);
	fputs(", \"addresses\": [", stdout);
	for (int i = 0; i < record->n_addresses; i++)
	{
		const char *state = "untried";

		for (int k = 0; k < report->n_told; k++)
			if (probe_address_equal(&report->told[k].address, &record->addresses[i]))
				state = state_name(report->told[k].state);
		printf("%s{\"address\": \"%s\", \"tcp\": \"%s\"}", i > 0 ? ", " : "", probe_address_text(&record->addresses[i], address), state);
	}
	/* 64 bits are more than readers of JSON take for a number */
	printf("], \"sequence\": \"%" PRIu64 "\", \"expires_ms\": %" PRId64 ", \"capabilities\": \"%" PRIu64 "\"}",
		   record->seq, record->expires_ms, record->capabilities);
}

static void
print_json(const ProbeOptions *options, const ProbeReport *report, ProbeOutcome outcome, const char *message)
{
	char		target[PROBE_HOST + 16];

	target_text(options, report, target, sizeof target);
	fputs("{\"target\": ", stdout);
	json_string(target);
	printf(", \"outcome\": \"%s\", \"exit_status\": %d, \"message\": ", probe_outcome_name(outcome), (int) outcome);
	json_string(message);
	fputs(", \"network\": ", stdout);
	if (options->network_name == NULL)
		fputs("null", stdout);
	else
		json_string(options->network_name);
	json_node(report, probe_record(report));
	fputs(", \"versions\": ", stdout);
	if (report->greeted)
		printf("{\"least\": %u, \"greatest\": %u}", report->least, report->greatest);
	else
		fputs("null", stdout);
	fputs(", \"clock_difference_ms\": ", stdout);
	if (report->answer_bytes > 0)
		printf("%" PRId64, report->clock_ms);
	else
		fputs("null", stdout);
	if (report->n_targets > 0)
	{
		json_port("udp", &report->udp[report->target], report->udp_ms, report->udp_fault);
		printf(", \"ask_bytes\": %zu, \"answer_bytes\": %zu}", report->ask_bytes, report->answer_bytes);
		json_port("tcp", &report->tcp[report->target], report->tcp_ms, report->tcp_fault);
		if (report->has_error)
		{
			printf(", \"refused_with\": {\"code\": %u, \"text\": ", report->error_code);
			json_string(report->error_text);
			putchar('}');
		}
		putchar('}');
	}
	puts("}");
}

void
probe_print(const ProbeOptions *options, const ProbeReport *report, ProbeOutcome outcome, const char *message)
{
	if (options->json)
		print_json(options, report, outcome, message);
	else
		print_text(options, report, outcome, message);
}
