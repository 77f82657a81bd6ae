/*
 * hostile_peer.h
 *	  The peer of hostile.c: its keys, its link to the node, the frames that it sends
 *	  and what comes back.
 *
 * There is one, and its state is here for all to see.  What fails that should not
 * ends the program.
 */
#ifndef TEST_NET_HOSTILE_PEER_H
#define TEST_NET_HOSTILE_PEER_H

#include <inttypes.h>
#include <stdio.h>

#include "core/bytes.h"
#include "core/net/invitation.h"
#include "core/net/wire.h"
#include "host_fixture.h"

#define SKEW_MS 300000
#define HOUR_MS (INT64_C(3600) * 1000)
#define ANSWER_MAX (4 * 1024 * 1024)	/* room for an answer, bytes */

typedef struct Self
{
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		curve_public[32];
	uint8_t		curve_secret[32];
	NodeRecord *record;
} Self;

typedef struct HostilePeer
{
	const char *host;
	int			port;
	const char *network_name;
	uint64_t	network;
	long		wait_ms;
	uint64_t	random_state;
	CoreRandom	randomness;
	CoreCrypto	crypto;
	RecordPool	pool;
	Self		self;
	Self		other;			/* somebody else */
	uint8_t		server_key[32];
	bool		has_server_key;
	void	   *context;
	void	   *link;			/* ours to the node, when it is open */
	uint64_t	next_request;
	const char *hello_kind;		/* of the last HELLO */
	uint8_t		last_hello[WIRE_FRAME_MAX];
	size_t		last_hello_len;
	Grant		invited;		/* the invitation that was shown last */
	bool		has_invited;
} HostilePeer;

extern HostilePeer peer;

typedef enum Mechanism
{
	WITH_CURVE,
	WITH_NULL,
	WITH_WRONG_KEY
} Mechanism;

/* Make all that follows from network_name, random_state and the salt. */
extern void peer_begin(uint64_t salt);

extern void fatal(const char *format,...) __attribute__((noreturn, format(printf, 1, 2)));
extern int64_t now_unix(void);
extern int64_t now_tick(void);
extern uint64_t below(uint64_t n);
extern void print_hex(const char *name, const uint8_t *bytes, size_t n);

/* "KIND:REST": the kind into kind[room], and where the rest begins. */
extern const char *split(const char *argument, char *kind, size_t room);

/* A record of somebody, good or not, into out[NODE_RECORD_MAX]; its length. */
extern size_t sign_record(const Self *who, uint64_t of_network, int64_t expires_ms, uint8_t *out);

/* New keys, and a record that is referenced. */
extern void make_self(Self *who);

/* The record with which the node answers a datagram, referenced; NULL after wait_ms. */
extern NodeRecord *ask_by_datagram(void);
extern void need_server_key(void);

/* A socket of libzmq that connects to the node; NULL when there are no more.  monitor is the URL of its events, or NULL. */
extern void *open_link(const Self *who, Mechanism mechanism, const char *monitor);

/* The peer's own link, opened where it is not. */
extern void *the_link(void);

/*
 * A frame into out[WIRE_FRAME_MAX]: its head, to which items are added, and its end,
 * which returns its length.  collection may be NULL.
 */
extern ByteWriter begin_frame(uint8_t *out, int version, int type, uint64_t request, const KadId *collection);
extern size_t end_frame(uint8_t *out, const ByteWriter *w);
extern uint64_t new_request(void);

/* A greeting of the kind that hostile.c's head names, into frame[WIRE_FRAME_MAX]; its length. */
extern size_t make_hello(const Self *who, const char *kind, uint8_t *frame);

extern bool send_frame(const uint8_t *frame, size_t len);

/* The answer to a request, told in a few words; false when none comes. */
extern bool await(uint64_t request, char *what, size_t room);

/* Send a frame and write the line of an action: what was answered. */
extern void send_and_tell(const char *action, const uint8_t *frame, size_t len);

/* What has been answered so far is taken, and counted. */
extern long take_answers(void);

#endif							/* TEST_NET_HOSTILE_PEER_H */
