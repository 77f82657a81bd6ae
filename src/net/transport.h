/*
 * transport.h
 *	  Frames between nodes, over CURVE-encrypted links of libzmq.
 *
 * One ROUTER is bound for those who come to us; for each peer that we choose to
 * speak to there is a DEALER.  Both ends of every link are known by their CURVE
 * key before the first frame passes: here by our own ZAP handler, there because
 * we named the key.
 *
 * No PostgreSQL in here, no clock, and no thread that calls back: all happens
 * inside these functions, on the caller's thread.  libzmq has two threads of its
 * own, which run with every signal blocked.  What peers send is bounded, in
 * memory and in time, and ends in a count, never in an abort.
 *
 * Times are CoreClock.tick_ms.
 */
#ifndef NET_TRANSPORT_H
#define NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/net/host.h"
#include "core/net/net_address.h"

#define TRANSPORT_LINKS_MAX 64	/* DEALERs */
#define TRANSPORT_INBOUND_MAX 1024	/* connections of others */
#define TRANSPORT_ADDRESSES 4	/* of a peer, as in its record */
#define TRANSPORT_FRAME_MAX (4 * 1024 * 1024 - 64)	/* ours and theirs; 64 for what encryption adds */
#define TRANSPORT_QUEUE_BYTES (8 * 1024 * 1024)	/* to one peer, not yet sent */
#define TRANSPORT_QUEUES_BYTES (128 * 1024 * 1024)	/* to all of them */
#define TRANSPORT_ERROR_ROOM 256

typedef struct Transport Transport;

typedef struct TransportConfig
{
	const char *listen;			/* a numeric address: "0.0.0.0", "::" (both families), "fe80::1%eth0" */
	uint16_t	port;			/* 0: any, see transport_port() */
	uint8_t		curve_public[CORE_KEY_BYTES];	/* raw, not Z85 */
	uint8_t		curve_secret[CORE_KEY_BYTES];	/* copied by libzmq; wipe yours */
	int			max_links;		/* 1 .. TRANSPORT_LINKS_MAX */
	int			max_inbound;	/* 1 .. TRANSPORT_INBOUND_MAX */

	/* 0: 5 s for a handshake; a heartbeat each 10 s of silence, dead after 30 s without an answer. */
	int			handshake_ms;
	int			heartbeat_ms;
	int			heartbeat_timeout_ms;

	/*
	 * No link to this peer could be made, at none of its addresses, or it broke
	 * and could not be made again; what was queued for it is lost.  Called
	 * inside transport_poll().  May be NULL.
	 */
	void		(*unreachable) (void *context, const uint8_t curve_key[CORE_KEY_BYTES]);

	/*
	 * A handshake of somebody from this address (port 0) was refused, and why, in
	 * half a sentence for the log.  Once in an hour for each subnet and reason, 20
	 * times a minute at most; all are counted in TransportStats.  Called inside
	 * transport_poll() and what answers.  May be NULL.
	 */
	void		(*refused) (void *context, const NetAddress *from, const char *reason);
	void	   *context;		/* of both */
} TransportConfig;

/*
 * Bind and start.  NULL when that cannot be done; error[room] gets one line
 * without a full stop that says why: the port is taken, the address is not
 * ours, the limit of descriptors is too low and by how much.
 */
extern Transport *transport_new(const TransportConfig *config, char *error, size_t room);

/*
 * Closes every link.  What is queued has a fifth of a second to leave; all of it
 * takes less than a second, and two when libzmq does not end.  NULL inside is
 * fine.
 */
extern void transport_destroy(Transport **self);

/*
 * libzmq has aborted.  The process lives on, but every function here does nothing
 * or fails, and memory, threads and the port stay taken: transport_destroy(), then
 * end the process by exit().  Ask after each transport_poll().
 */
extern bool transport_broken(const Transport *self);

/* The port that is bound. */
extern uint16_t transport_port(const Transport *self);

/*
 * Descriptors to wait on until one is readable (level-triggered); then, and
 * every 100 ms whatever happens, call transport_poll().  Writes up to room of
 * them and returns how many there are (never more than TRANSPORT_DESCRIPTORS).
 * They stay the same as long as it lives.
 */
#define TRANSPORT_DESCRIPTORS 1
extern int	transport_descriptors(const Transport *self, int *fds, int room);

/*
 * The link a frame came over.  Good for as long as that link lives; after that
 * it names nothing, never another link.
 */
typedef struct TransportVia
{
	uint64_t	link;
} TransportVia;

/*
 * A frame of the node with this CURVE key.  frame is readable during the call.
 * May call every function here but transport_poll() and transport_destroy().
 */
typedef void (*TransportReceive) (void *context, const uint8_t curve_key[CORE_KEY_BYTES],
								  TransportVia via, const uint8_t *frame, size_t len);

/*
 * Answer handshakes, notice what became of links, send what waited for one, and
 * hand at most `slice` frames to receive(), taking turns between links, and none
 * after 50 ms.  True when more is waiting: call again soon, after whatever else
 * must not starve.
 */
extern bool transport_poll(Transport *self, int64_t tick_ms, int slice, TransportReceive receive, void *context);

typedef enum TransportSent
{
	TRANSPORT_SENT,				/* queued here or by libzmq; not yet: arrived */
	TRANSPORT_FULL,				/* the peer's queue is full: dropped */
	TRANSPORT_NO_ROOM,			/* max_links are in use, none of them idle; or no memory */
	TRANSPORT_ERROR				/* no address or link; frame too long; key refused or our own */
} TransportSent;

/*
 * Send a frame to the node with this CURVE key over its DEALER.  If it has none
 * one is made: its addresses are tried in their order, the first that proves to
 * hold the key is kept, and until then a few frames wait.  An unpinned link that
 * waits for nothing, the least recently used, makes room for it.  Without room,
 * or with n = 0, a link that the node has made to us is used.
 *
 * Other addresses than last time matter to a link that is not up.
 */
extern TransportSent transport_send(Transport *self, int64_t tick_ms, const uint8_t curve_key[CORE_KEY_BYTES],
									const NetAddress *addresses, int n, const uint8_t *frame, size_t len);

/* Send over the link that a frame came by; TRANSPORT_ERROR when it is gone. */
extern TransportSent transport_answer(Transport *self, TransportVia via, const uint8_t *frame, size_t len);

/*
 * A pinned link is never evicted, and made again for ever when it breaks.  A pin
 * outlives its link; false when there is no room for another
 * (TRANSPORT_LINKS_MAX).
 */
extern bool transport_pin(Transport *self, const uint8_t curve_key[CORE_KEY_BYTES], bool pinned);

/* Close every link with this node, whoever made it. */
extern void transport_drop(Transport *self, const uint8_t curve_key[CORE_KEY_BYTES]);

/* Close the link with this node that we made. */
extern void transport_drop_outbound(Transport *self, const uint8_t curve_key[CORE_KEY_BYTES]);

typedef enum TransportState
{
	TRANSPORT_CONNECTING,
	TRANSPORT_UP
} TransportState;

typedef struct TransportLinkInfo
{
	uint8_t		curve_key[CORE_KEY_BYTES];
	NetAddress	address;		/* outbound: where it leads; inbound: from where, with its port there */
	bool		outbound;
	bool		pinned;
	TransportState state;
	int64_t		since_ms;		/* in this state */
	int64_t		heard_ms;		/* last frame received; 0: none yet */
	uint64_t	frames_in;
	uint64_t	frames_out;
	uint64_t	bytes_in;
	uint64_t	bytes_out;
	uint64_t	dropped;		/* frames that found the queue full */
	uint64_t	queued_bytes;	/* not yet sent */
	uint64_t	held_bytes;		/* received, not yet handed over; on the wire */
} TransportLinkInfo;

/* Up to room links; returns how many there are. */
extern int	transport_links(const Transport *self, TransportLinkInfo *out, int room);

/* One of them; false when it is gone. */
extern bool transport_link(const Transport *self, TransportVia via, TransportLinkInfo *out);

/* All since the start. */
typedef struct TransportStats
{
	uint64_t	accepted;		/* TCP connections of others */
	uint64_t	admitted;		/* of them: keys let in by our ZAP handler */

	/* Handshakes refused, of others with us: */
	uint64_t	refused_mechanism;	/* NULL, PLAIN, anything but CURVE */
	uint64_t	refused_crypto; /* a wrong server key, a forged box */
	uint64_t	refused_own_key;	/* it has our own CURVE key */
	uint64_t	refused_protocol;	/* what it sends is not ZMTP, or comes too late */
	uint64_t	refused_room;	/* max_inbound are here, none of them idle; or too many that have sent no frame */

	uint64_t	outbound_made;	/* DEALERs that came up */
	uint64_t	outbound_failed;	/* attempts at one address */
	uint64_t	unreachable;	/* peers */
	uint64_t	evicted;		/* links closed to make room */
	uint64_t	cut;			/* connections closed for what they sent, or did not take */

	uint64_t	frames_in;
	uint64_t	frames_out;
	uint64_t	bytes_in;
	uint64_t	bytes_out;
	uint64_t	malformed;		/* messages that are not one frame, and parts of such */
	uint64_t	dropped;		/* frames that found a queue full */
	uint64_t	accept_failed;	/* no descriptor left for a connection */
} TransportStats;

extern TransportStats transport_stats(const Transport *self);

#endif							/* NET_TRANSPORT_H */
