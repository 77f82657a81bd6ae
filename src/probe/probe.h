/*
 * probe.h
 *	  vecdb-probe: what the parts of the program share.
 *
 * One process parses the command line, waits and reports (probe.c); another one, its
 * child, resolves, asks and greets, and writes what it finds into memory that both have.
 * So neither a name server that does not answer nor an assertion of libzmq, which a peer
 * can bring about, keeps the first from its report in time.
 *
 * The program links nothing of core/net: it reads and writes the wire as WIRE.md has it,
 * so that tests see where the two differ.
 */
#ifndef PROBE_H
#define PROBE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define PROBE_PORT 7777			/* vecdb.p2p_port by default */
#define PROBE_NETWORK "vecdb"	/* vecdb.network_id by default */
#define PROBE_TARGETS 4			/* addresses of a name that are tried */
#define PROBE_TOLD 4			/* addresses in a record */
#define PROBE_PATHS 4			/* links at a time: a node lets in so many of one key */
#define PROBE_FAULT 128			/* half a sentence, and a zero byte */
#define PROBE_TEXT 256			/* of an ERROR, without a zero byte */
#define PROBE_HOST 256

/* An IPv6 address, or an IPv4 address mapped into one; scope is an interface, of a local link. */
typedef struct ProbeAddress
{
	uint8_t		ip[16];
	uint16_t	port;
	uint32_t	scope;
} ProbeAddress;

/* A node record whose form and signature are right. */
typedef struct ProbeRecord
{
	uint8_t		id[32];
	uint8_t		key[32];
	uint8_t		curve_key[32];
	uint64_t	network;
	uint64_t	seq;
	int64_t		expires_ms;		/* since 1970 */
	uint64_t	capabilities;
	int			n_addresses;	/* 1 .. PROBE_TOLD */
	ProbeAddress addresses[PROBE_TOLD];
} ProbeRecord;

/* What is known of a port; PORT_ANSWERS alone is good. */
typedef enum PortState
{
	PORT_UNTRIED,
	PORT_ANSWERS,				/* as a node does */
	PORT_OPEN,					/* TCP: speaks ZMTP with CURVE, and has not answered HELLO */
	PORT_STRANGE,				/* something that is no node answers or accepts */
	PORT_REFUSED,
	PORT_UNREACHABLE,			/* error says why */
	PORT_SILENT
} PortState;

typedef struct ProbePath
{
	ProbeAddress address;
	PortState	state;
	int			error;			/* an errno, of PORT_UNREACHABLE */
} ProbePath;

typedef enum ProbeStage
{
	STAGE_RESOLVING,
	STAGE_ASKING,
	STAGE_GREETING,
	STAGE_DONE
} ProbeStage;

/* All that was found; written by the child, from zeros on. */
typedef struct ProbeReport
{
	ProbeStage	stage;
	char		unresolved[PROBE_FAULT];	/* why the name gives no address; "" */
	char		failed[PROBE_FAULT];	/* why the probe could not work; "" */
	int			n_targets;
	ProbePath	udp[PROBE_TARGETS];
	ProbePath	tcp[PROBE_TARGETS];
	int			target;			/* the one that the report is about */

	/* by UDP */
	size_t		ask_bytes;
	size_t		answer_bytes;	/* of the datagram that was taken; 0: none */
	double		udp_ms;			/* from ask to answer */
	int64_t		clock_ms;		/* its clock less ours; known where answer_bytes > 0 */
	ProbeAddress answered_from;
	char		udp_fault[PROBE_FAULT]; /* what is wrong with a datagram that came; "" */
	bool		udp_network;	/* it was of another network */
	ProbeRecord udp_record;		/* where answer_bytes > 0 */

	/* by TCP */
	bool		has_key;
	uint8_t		key[32];		/* CURVE key that the node is taken to have */
	bool		greeted;		/* a HELLO came in answer to ours */
	uint16_t	least;
	uint16_t	greatest;
	uint64_t	tcp_network_id;
	ProbeRecord tcp_record;
	double		tcp_ms;			/* from PING to its answer; 0: none came */
	bool		has_error;
	uint16_t	error_code;
	char		error_text[PROBE_TEXT + 1];
	char		tcp_fault[PROBE_FAULT];

	/* addresses in its record other than the target, by TCP */
	int			n_told;
	ProbePath	told[PROBE_TOLD];
} ProbeReport;

typedef struct ProbeOptions
{
	char		host[PROBE_HOST];	/* "" where addresses[] are an invitation's */
	uint16_t	port;
	int			family;			/* AF_UNSPEC, AF_INET or AF_INET6 */
	int			timeout_ms;		/* of all of it */
	const char *network_name;	/* NULL: that of an invitation, whose name is not known */
	uint64_t	network;
	int64_t		skew_ms;
	bool		json;
	bool		has_key;
	uint8_t		key[32];		/* CURVE key */
	bool		has_id;
	uint8_t		id[32];			/* of the node that should answer */
	int			n_addresses;
	ProbeAddress addresses[PROBE_TARGETS];
} ProbeOptions;

/* The exit codes; README.md and --help list them. */
typedef enum ProbeOutcome
{
	OUTCOME_OK = 0,
	OUTCOME_FAILED = 1,			/* the probe itself could not work */
	OUTCOME_USAGE = 2,
	OUTCOME_UNRESOLVED = 3,
	OUTCOME_NOTHING = 4,		/* no answer at all */
	OUTCOME_UDP_ONLY = 5,
	OUTCOME_TCP_ONLY = 6,
	OUTCOME_NETWORK = 7,
	OUTCOME_VERSION = 8,
	OUTCOME_CLOCK = 9,
	OUTCOME_REFUSED = 10,
	OUTCOME_STRANGE = 11,		/* it is no node, or another one than it says */
	OUTCOME_ADDRESSES = 12		/* none of those that it tells others works from here */
} ProbeOutcome;

/* probe_options.c: exits with --help, --version and what cannot be understood. */
extern void probe_options(int argc, char **argv, ProbeOptions *options);

/* probe_address.c */
#define PROBE_ADDRESS_TEXT 80
extern bool probe_address_of(const struct sockaddr *socket, ProbeAddress *out);
extern socklen_t probe_address_socket(const ProbeAddress *self, struct sockaddr_storage *out);
extern bool probe_address_equal(const ProbeAddress *a, const ProbeAddress *b);

/* Could a node be there: no port 0, nothing unspecified, no multicast, no IPv4-compatible form. */
extern bool probe_address_usable(const ProbeAddress *self);

/* "1.2.3.4:7777", "[fe80::1%eth0]:7777" into out[PROBE_ADDRESS_TEXT]; returns out. */
extern char *probe_address_text(const ProbeAddress *self, char *out);

/* The address of ours from which a datagram to this one would leave; its port is 9, where nobody is. */
extern void probe_address_own(const ProbeAddress *to, ProbeAddress *out);

/* probe.c */
extern int64_t probe_unix_ms(void);
extern double probe_tick_ms(void);

/* Who the probe is, for one run. */
typedef struct ProbeKeys
{
	uint8_t		secret[64];		/* Ed25519 */
	uint8_t		key[32];
	uint8_t		curve_public[32];
	uint8_t		curve_secret[32];
} ProbeKeys;

/* probe_ask.c: ask by UDP until deadline (of probe_tick_ms()); fills in the report. */
extern void probe_ask(const ProbeOptions *options, const ProbeKeys *keys, double deadline, ProbeReport *report);

/* probe_greet.c: greet by TCP until deadline. */
extern void probe_greet(const ProbeOptions *options, const ProbeKeys *keys, double deadline, ProbeReport *report);

/* probe_port.c: what is at the ports that did not answer a greeting; sets the state of each. */
extern void probe_ports(ProbePath *const *paths, int n, double deadline);

/* probe_verdict.c: the outcome, and a line about it and the way out into message[room]. */
extern ProbeOutcome probe_verdict(const ProbeOptions *options, const ProbeReport *report, int died_of,
								  char *message, size_t room);

/* The record that came last, of those that were right; NULL: none. */
extern const ProbeRecord *probe_record(const ProbeReport *report);

/* Its word, as in JSON. */
extern const char *probe_outcome_name(ProbeOutcome outcome);

/* probe_print.c: the report on standard output. */
extern void probe_print(const ProbeOptions *options, const ProbeReport *report, ProbeOutcome outcome, const char *message);

#endif							/* PROBE_H */
