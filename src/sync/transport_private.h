/*
 * transport_private.h
 *	  What the parts of the transport know of each other.
 *
 *	transport.c			life of the whole, the poll, sending, what views see
 *	transport_link.c	links that we make: DEALERs and their monitors
 *	transport_inbound.c	links that others make: the ROUTER, its monitor, ZAP
 *	transport_socket.c	libzmq's calls with its traps taken out
 */
#ifndef SYNC_TRANSPORT_PRIVATE_H
#define SYNC_TRANSPORT_PRIVATE_H

#include <stdatomic.h>
#include <zmq.h>

#include "sync/contain.h"
#include "sync/transport.h"

#define MECHANISM_OVERHEAD 33	/* bytes that CURVE adds to a frame */
#define SEND_MESSAGES 1000		/* in libzmq's queue to one peer */
#define LINGER_MS 200
#define HANDSHAKE_MS 5000
#define HEARTBEAT_MS 10000
#define HEARTBEAT_TIMEOUT_MS 30000
#define RECONNECT_FIRST_MS 100
#define RECONNECT_LAST_MS 60000
#define TRY_MS 2500				/* for one address, from connect() to the last of the handshake */
#define ANSWER_MS 3000			/* a link that was used this recently may wait for an answer */
#define BROKEN_ROUNDS 3			/* through all addresses before a link that was up is given up */

#define STEADY_MS 10000			/* up for so long, a link counts as good */

#define WAITING_FRAMES 64		/* for a link that is not up yet */
#define WAITING_BYTES (1024 * 1024)

#define SILENT_MAX 64			/* inbound connections that have not sent a frame yet */
#define SILENT_MS 15000			/* and how long they may be so */
#define INBOUND_IDLE_MS 30000	/* an inbound link silent for this long makes room */
#define INBOUND_SLOTS (TRANSPORT_INBOUND_MAX + SILENT_MAX)

/* Received from the network and not delivered by us: of one connection, of all. */
#define UNREAD_BYTES (16 * 1024 * 1024)
#define UNREAD_BYTES_ALL (128 * 1024 * 1024)

#define TICK_MS 100
#define POLL_BYTES (16 * 1024 * 1024)
#define TURN_FRAMES 8
#define MONITOR_SLICE 4096
#define ZAP_SLICE 64
#define RETIRED_MAX 128
#define SPARE_DESCRIPTORS 16
#define REVIVALS_MAX 16			/* before we say that it is hopeless */
#define SUSPECTS_MAX 64
#define SUSPECT_MS 600000

/*
 * Bytes on their way to one peer.  Each message that libzmq still holds keeps it
 * alive, since libzmq frees them on its own thread.
 */
typedef struct SendQueue
{
	_Atomic uint64_t bytes;
	_Atomic int references;
} SendQueue;

/*
 * A TCP connection of libzmq.  The descriptor is libzmq's: by the time we use
 * it, it may be another connection, so the address at its other end is compared.
 */
typedef struct Connection
{
	int			fd;				/* -1: closed, or not known */
	NetAddress	peer;
	int64_t		since_ms;
	uint64_t	delivered;		/* bytes of the frames that we saw, as they were on the wire */
	bool		cut;			/* shut down by us; nothing of it counts any more */
} Connection;

typedef struct Traffic
{
	int64_t		heard_ms;
	int64_t		sent_ms;
	uint64_t	frames_in;
	uint64_t	frames_out;
	uint64_t	bytes_in;
	uint64_t	bytes_out;
	uint64_t	dropped;
} Traffic;

typedef struct Waiting
{
	uint8_t    *bytes;
	size_t		len;
} Waiting;

typedef enum LinkState
{
	LINK_WAIT,					/* for due_ms, to try again */
	LINK_TRY,					/* connecting to addresses[at] until due_ms */
	LINK_UP
} LinkState;

typedef struct Link
{
	bool		used;
	uint64_t	number;
	uint8_t		key[CORE_KEY_BYTES];
	NetAddress	addresses[TRANSPORT_ADDRESSES];
	int			n_addresses;

	LinkState	state;
	int			at;				/* in addresses */
	int			tried;			/* addresses, in this round */
	int			round;
	bool		was_up;
	bool		told;			/* unreachable() was called for it */
	bool		met;			/* TCP is connected, the handshake under way */
	bool		ending;			/* up no more, but not all is read */
	int64_t		due_ms;
	int64_t		since_ms;

	void	   *dealer;
	void	   *monitor;
	Connection	connection;
	SendQueue  *queue;
	Traffic		traffic;

	Waiting		waiting[WAITING_FRAMES];
	int			n_waiting;
	size_t		waiting_bytes;
} Link;

typedef struct Inbound
{
	bool		used;
	bool		spoke;			/* rid and key are known */
	uint64_t	number;
	uint32_t	rid;
	uint8_t		key[CORE_KEY_BYTES];
	Connection	connection;
	SendQueue  *queue;
	Traffic		traffic;
} Inbound;

/* Where a message of several parts stands in our reading of the ROUTER. */
typedef enum RouterPart
{
	PART_ROUTE,
	PART_FRAME,
	PART_SKIP
} RouterPart;

struct Transport
{
	TransportConfig config;
	char		listen[64];
	char		endpoint[96];	/* as bound, with its port */
	uint16_t	port;
	int64_t		tick_ms;
	TransportStats stats;
	uint64_t	serial;			/* of links */
	uint64_t	jitter;

	/* libzmq, and what is told when a thread of it has stopped */
	void	   *context;
	Containment *containment;
	void	   *router;
	void	   *router_monitor;
	void	   *zap;
	int			listener;		/* descriptor */
	bool		listening;
	int64_t		listen_due_ms;
	void	   *retired[RETIRED_MAX];	/* monitors of closed sockets, until these are gone */
	int			n_retired;

	int			epoll;			/* over every ZMQ_FD, and wake */
	int			wake;			/* an eventfd: there is something to do at once */
	int			spare[SPARE_DESCRIPTORS];
	int			n_spare;
	int64_t		pressed_ms;		/* since when there are no descriptors; 0: there are */
	int64_t		swept_ms;
	int			turn;

	RouterPart	part;
	uint32_t	part_rid;
	bool		part_known;		/* part_rid is one that the ROUTER gave */

	Link		links[TRANSPORT_LINKS_MAX];
	int			n_links;
	Inbound    *inbound;		/* [INBOUND_SLOTS] */
	int			n_inbound;
	int			n_spoke;
	int16_t		by_rid[4096];	/* a guess */
	bool		blamed;			/* the handshake that failed last has been counted */
	uint64_t	auth_failing;	/* refused by ZAP and not yet disconnected */

	uint8_t		pins[TRANSPORT_LINKS_MAX][CORE_KEY_BYTES];
	int			n_pins;
	uint8_t		(*banned)[CORE_KEY_BYTES];	/* sorted */
	int			n_banned;
	int			banned_room;
	struct
	{
		uint8_t		key[CORE_KEY_BYTES];
		int64_t		until_ms;
		int			times;
	}			suspects[SUSPECTS_MAX];
	int			n_suspects;
	int			revivals;
	int64_t		revive_due_ms;
	bool		failed;
};

/* ---- transport_socket.c ---- */

/* All 0, or -1 with errno; EINTR is never seen. */
extern int	socket_int(void *socket, int option, int value);
extern int	socket_bytes(void *socket, int option, const void *value, size_t len);
extern int	socket_descriptor(void *socket);

/* ZMQ_EVENTS, after all that libzmq's thread has said to this socket; 0 when it fails. */
extern int	socket_events(void *socket);

/* One part, never waiting: its length, or -1 for none.  msg is open only if not -1. */
extern int	socket_receive(void *socket, zmq_msg_t *msg);

/* Never waits.  0, or -1 with errno, msg then closed as well. */
extern int	socket_send(void *socket, zmq_msg_t *msg, int flags);

extern void *monitor_new(Transport *self, void *socket, int events);

/* One event; false when there is none. */
extern bool monitor_read(void *monitor, int *event, uint32_t *value);

extern SendQueue *send_queue_new(void);
extern void send_queue_release(SendQueue *self);

/* A copy of the frame as a message that counts in the queue; false without memory. */
extern bool send_queue_message(SendQueue *self, const uint8_t *frame, size_t len, zmq_msg_t *msg);

extern void connection_open(Connection *self, int fd, int64_t tick_ms);

/* Is the descriptor still this connection? */
extern bool connection_alive(const Connection *self);
extern void connection_cut(Connection *self);

/* Bytes that TCP has received and we have not seen as frames. */
extern uint64_t connection_unread(const Connection *self, int64_t tick_ms);
extern void connection_delivered(Connection *self, size_t len);

/* ---- transport_link.c ---- */

extern Link *link_find(Transport *self, const uint8_t *key);
extern Link *link_make(Transport *self, const uint8_t *key, const NetAddress *addresses, int n);
extern void link_remove(Transport *self, Link *link);
extern void link_retarget(Transport *self, Link *link, const NetAddress *addresses, int n);
extern TransportSent link_send(Transport *self, Link *link, const uint8_t *frame, size_t len);

/* Monitors, deadlines, frames that wait. */
extern void link_step(Transport *self, Link *link);

/* One frame, or false; see transport_poll(). */
extern bool link_receive(Transport *self, Link *link, TransportReceive receive, void *context, size_t *bytes);

/* Close the sockets of a link that stays. */
extern void link_close(Transport *self, Link *link);

/* ---- transport_inbound.c ---- */

/* Make ROUTER, monitor and ZAP handler, and bind; 0, or -1 with errno. */
extern int	inbound_open(Transport *self);
extern void inbound_step(Transport *self);
extern bool inbound_receive(Transport *self, TransportReceive receive, void *context, size_t *bytes);
extern TransportSent inbound_send(Transport *self, Inbound *inbound, const uint8_t *frame, size_t len);
extern void inbound_forget(Transport *self, Inbound *inbound);
extern void inbound_cut(Transport *self, Inbound *inbound);

/* ZMQ_ZAP_ENFORCE_DOMAIN; the header hides it, the library has it. */
#define SOCKET_ZAP_ENFORCE_DOMAIN 93

/* ---- transport.c ---- */

extern void transport_watch(Transport *self, void *socket);
extern void transport_unwatch(Transport *self, int fd);
extern void transport_hurry(Transport *self);
extern uint64_t transport_number(Transport *self, int slot);
extern bool transport_pinned(const Transport *self, const uint8_t *key);
extern bool transport_banned(const Transport *self, const uint8_t *key);
extern bool transport_suspect(const Transport *self, const uint8_t *key);
extern void transport_retire(Transport *self, void *monitor);
extern int	transport_jitter(Transport *self, int ms);

#endif							/* SYNC_TRANSPORT_PRIVATE_H */
