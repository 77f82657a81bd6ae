/*
 * transport_private.h
 *	  What the files of the transport share: its state, and what each does for
 *	  the others.
 *
 * One Transport is of one thread, which makes every call.  libzmq's own threads
 * call nothing of ours but frame_free(), so an Account and the sum of all
 * accounts are atomic; nothing else is.
 *
 * A link never moves while it lives: it is a slot of Transport.out or Transport.in,
 * free again when `used` is false.
 */
#ifndef NET_TRANSPORT_PRIVATE_H
#define NET_TRANSPORT_PRIVATE_H

#include "net/transport.h"

#include <errno.h>
#include <stdatomic.h>

#include <zmq.h>

#include "net/contain.h"

#define INBOUND_SPARE 64		/* connections above the limit, not yet known by key */
#define INBOUND_SLOTS (TRANSPORT_INBOUND_MAX + INBOUND_SPARE)
#define ADMITTED_MAX 2048		/* admitted, no frame yet */
#define ROUTING_ID_BYTES 5		/* of those that libzmq makes: 0 and a number */
#define FRAME_OVERHEAD 192		/* what a queued frame costs besides its bytes */
#define HANDSHAKE_BYTES 4096	/* ours has 567 */
#define REFUSALS 256			/* of which is known that they have been told of */
#define RETRY_FIRST_MS 100
#define LINGER_MS 200
#define STUCK_MS 30000			/* nothing of what waits has been taken */
#define HELD_BYTES ((uint64_t) 16 << 20)	/* received of one connection, not seen yet */
#define SILENT_MS 15000			/* an inbound connection without a frame */
#define DOMAIN_NAME "vecdb"		/* of ZAP */
#define VIA_SLOTS 8192			/* a TransportVia is serial * VIA_SLOTS + slot */
#define VIA_INBOUND 4096		/* slots of outbound links are below */

/* A socket of libzmq in the epoll set. */
typedef struct Port
{
	void	   *socket;
	bool		ready;			/* its events must be read again */
} Port;

/* Bytes handed to libzmq and not yet encrypted. */
typedef struct Account
{
	_Atomic size_t bytes;
	_Atomic int references;
} Account;

typedef struct Frame
{
	struct Frame *next;			/* while it waits for a link */
	Account    *account;
	size_t		len;
	uint8_t		data[];
} Frame;

/* What TCP knows of a connection, beside what we know. */
typedef struct Stream
{
	uint64_t	seen;			/* bytes on the wire of what was handed to us */
	uint64_t	received;		/* at the last look */
	uint64_t	held;			/* of it, what was not */
	uint64_t	taken;			/* bytes that the peer has acknowledged */
	int64_t		taken_ms;		/* when that changed, or nothing waited */
} Stream;

/* What a link is, whichever side made it. */
typedef struct Link
{
	bool		used;
	uint8_t		key[CORE_KEY_BYTES];	/* the peer's CURVE key */
	uint64_t	serial;			/* of the connection, never used again; in TransportVia */
	int			fd;				/* of the connection, libzmq's: it may be closed, and another's, at any time */
	int64_t		since_ms;		/* in this state */
	int64_t		heard_ms;		/* when the last frame came; 0: none */
	Account    *account;
	uint64_t	frames_in;
	uint64_t	frames_out;
	uint64_t	bytes_in;
	uint64_t	bytes_out;
	uint64_t	dropped;
	Stream		stream;
} Link;

/* A link that we make. */
typedef struct Outbound
{
	Link		link;			/* its fd is -1 while there is no connection */
	bool		up;
	bool		failed;			/* this attempt */
	NetAddress	addresses[TRANSPORT_ADDRESSES];
	int			n_addresses;
	int			at;				/* the address tried or connected to */
	int			tried;			/* in this round */
	Port		dealer;
	Port		monitor;
	int64_t		deadline_ms;	/* of the attempt; of the pause when there is no socket */
	int64_t		retry_ms;
	int64_t		used_ms;
	Frame	   *first;			/* waiting for the link */
	Frame	  **last;
	int			waiting;
} Outbound;

/* A connection that another has made. */
typedef struct Inbound
{
	Link		link;			/* key, serial and account are known once it speaks */
	bool		cut;
	bool		speaks;			/* a frame has come */
	uint64_t	accepted;		/* order of events */
	NetAddress	address;
	uint64_t	subnet;
	uint8_t		routing_id[ROUTING_ID_BYTES];
} Inbound;

/* What the ZAP handler let in, until its first frame tells which connection it is. */
typedef struct Admitted
{
	uint64_t	serial;			/* 0: free */
	uint64_t	order;
	int64_t		since_ms;
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		ip[16];
} Admitted;

typedef enum Reason
{
	REASON_NONE, REASON_MECHANISM, REASON_CRYPTO, REASON_OWN_KEY, REASON_PROTOCOL, REASON_ROOM
} Reason;

typedef struct Refusal
{
	bool		used;
	Reason		reason;
	uint64_t	subnet;
	int64_t		told_ms;
} Refusal;

struct Transport
{
	TransportConfig config;
	uint16_t	port;
	void	   *context;
	Port		router;
	Port		monitor;		/* of the router */
	Port		zap;
	int			epoll;
	int			wake;			/* readable while something is ready that epoll does not know */
	bool		woken;
	int			listener;		/* our own descriptor of the listening socket */
	int			spare;			/* given up to get at a connection when there is none left */
	bool		closed;			/* the filter is on */
	bool		starving;		/* connections wait that nobody has a descriptor for */
	int64_t		open_ms;		/* when to look again */
	int64_t		now_ms;
	int64_t		sweep_ms;
	uint64_t	order;			/* of events */
	uint64_t	serial;
	int			turn;			/* of the links: who comes first */
	bool		dealers_first;	/* in the next poll, before the ROUTER */
	Reason		failure;		/* why the next connection to end does so */
	Refusal		refusals[REFUSALS];
	int			next_refusal;
	int			refusals_told;	/* in this minute */
	int64_t		minute_ms;
	uint64_t	refused_keys;	/* by our handler, still connected */
	Containment *containment;

	Outbound	out[TRANSPORT_LINKS_MAX];
	uint8_t		pins[TRANSPORT_LINKS_MAX][CORE_KEY_BYTES];
	int			n_pins;

	Inbound		in[INBOUND_SLOTS];
	int			n_in;
	int			in_top;			/* slots in use are below */
	int16_t    *by_fd;			/* slot of a descriptor, -1: none */
	int			by_fd_room;
	Admitted	admitted[ADMITTED_MAX];
	int			n_admitted;

	TransportStats stats;
};

_Static_assert(TRANSPORT_LINKS_MAX <= VIA_INBOUND && VIA_INBOUND + INBOUND_SLOTS <= VIA_SLOTS,
			   "a TransportVia has room for any slot");
_Static_assert(INBOUND_SLOTS <= INT16_MAX, "by_fd has room for any slot");

/* ---- zmq_port.c ---- */

/*
 * A signal makes libzmq give up even where it would not wait.  In the midst of a
 * message that would be its end: the next one would go to the wrong peer.
 */
#define PATIENT(call) \
	({ \
		int			patient_n; \
		int			patient_tries = 100000;	/* a process that has forked is told EINTR for ever */ \
		do \
			patient_n = (call); \
		while (patient_n < 0 && zmq_errno() == EINTR && --patient_tries > 0); \
		patient_n; \
	})

/* Make the descriptor readable: something is ready that epoll does not know of. */
extern void transport_wake(Transport *self);

/* One part of a message; -1 when none is there. */
extern int port_receive(zmq_msg_t *msg, void *socket);

/* Send one part without waiting; -1 when libzmq does not take it. */
extern int port_send(zmq_msg_t *msg, void *socket);

extern int port_send_bytes(void *socket, const void *bytes, size_t len, int flags);

/* Into the epoll set. */
extern bool port_add(Transport *self, Port *port);

extern void port_close(Transport *self, Port *port, int linger_ms);

/* ZMQ_EVENTS, which also makes libzmq do what its threads ask of this socket. */
extern int port_events(Port *port);

/* After a send: what came in meanwhile gave its only signal then. */
extern void port_sent(Transport *self, Port *port);

extern bool port_set_int(void *socket, int option, int value);

/* What the ROUTER and every DEALER have in common: limits, heartbeats, times. */
extern bool port_set_limits(const Transport *self, void *socket);

/* One event of a monitor; false when there is none. */
extern bool port_monitor_event(Port *monitor, uint16_t *event, uint32_t *value);

/* The rest of a message that is not what it should be; its bytes on the wire. */
extern uint64_t port_drain(zmq_msg_t *msg, void *socket);

/* ---- frame_queue.c ---- */

/* NULL is fine. */
extern void account_release(Account *account);

extern Account *account_new(void);

/* A copy of the bytes, on the account until frame_free(); NULL: out of memory. */
extern Frame *frame_new(Account *account, const uint8_t *bytes, size_t len);

/* Called by libzmq's thread too. */
extern void frame_free(void *data, void *hint);

/* Bytes that wait, with FRAME_OVERHEAD for each frame.  Of NULL none. */
extern size_t account_queued(const Account *account);

/* May a frame of this length be queued? */
extern bool account_has_room(const Account *account, size_t len);

/* What a frame takes on the wire: ZMTP's header, CURVE's, itself. */
extern uint64_t wire_bytes(size_t len);

/*
 * Look at what TCP tells of a connection, which may have ended.  False when the
 * peer has taken nothing for too long of what waits for it: heartbeats would not
 * notice, they wait in the same queue.
 */
extern bool link_look(Link *self, int64_t now_ms);

/* When it ends, what the kernel has to send is thrown away: it might wait for minutes. */
extern void link_discard(const Link *self);

/* Counts a frame, of the link and of the whole: sent, received, dropped. */
extern void link_count_sent(Transport *transport, Link *self, size_t len);
extern void link_count_received(Transport *transport, Link *self, size_t len);
extern void link_count_dropped(Transport *transport, Link *self);

/* What transport_links() tells of either direction; the rest is zero. */
extern void link_info(const Transport *transport, const Link *self, TransportLinkInfo *out);

/* ---- transport_listen.c ---- */

/* Logs why; returns false. */
extern bool transport_error(char *error, size_t room, const char *format,...) __attribute__((format(printf, 3, 4)));

/* Tells config.refused, unless it was told of that subnet and reason within the hour. */
extern void transport_tell_refused(Transport *self, const NetAddress *from, Reason reason);

/* Drop what arrives at the listening socket, or no longer. */
extern void listener_close(Transport *self, bool closed);

/*
 * Take the connections that wait and hang up: with no descriptor left libzmq
 * cannot, and tries again and again.  It may be faster than we with the one that
 * is given up; then what it has accepted is cut, and we try again in our turn.
 */
extern void listener_hang_up(Transport *self);

/* Binds the listening socket of self->config; self->port is known then. */
extern bool listener_open(Transport *self, char *error, size_t room);

/* ---- zap.c ---- */

/* One handshake; false when none waits. */
extern bool zap_answer(Transport *self);

/* Key and serial of the handshake that libzmq attaches to a message.  False when these are none of ours. */
extern bool zap_whose(zmq_msg_t *msg, uint8_t key[CORE_KEY_BYTES], uint64_t *serial);

/* The first frame of an admitted handshake has come.  When was it admitted, in order of events? */
extern bool zap_take(Transport *self, uint64_t serial, uint64_t *order);

/* Was a handshake from this address admitted after that event, of which no frame has come yet? */
extern bool zap_has_admitted(const Transport *self, const uint8_t ip[16], uint64_t after);

/* Cut each connection that may be of this key and has sent no frame yet. */
extern void zap_withdraw(Transport *self, const uint8_t *key);

/* Forget handshakes that were admitted long ago and of which no frame has come. */
extern void zap_sweep(Transport *self);

/* ---- link_in.c ---- */

/* The living link of that direction that via names, or NULL. */
extern Inbound *in_of_via(const Transport *self, TransportVia via);

/*
 * End a connection.  Its descriptor is libzmq's: by now it may be closed, and its
 * number may be another's, which then is a younger one of our listener's.
 */
extern void in_cut(Transport *self, Inbound *in);

/* The same, and what the kernel has to send is thrown away: it might wait for minutes. */
extern void in_reset(Transport *self, Inbound *in);

/* Handles up to `most` events of connections.  True when there may be more. */
extern bool in_events(Transport *self, int most);

/* The youngest connection of this key, or NULL. */
extern Inbound *in_find(Transport *self, const uint8_t *key);

/* Cuts all connections of this key. */
extern void in_cut_key(Transport *self, const uint8_t *key);

/* Cuts the connections from this address that were accepted before that event and have sent no frame. */
extern void in_cut_silent(Transport *self, const uint8_t ip[16], uint64_t before);

/* False for one that is to be reset: for its handshake, its silence, what it takes or holds. */
extern bool in_is_sound(Transport *self, Inbound *in);

/*
 * Somebody from there has sent all of its handshake and waits for us.  Look at
 * the connections that may be it: of one whose handshake is long, libzmq would keep
 * the metadata, in forty times the space.
 */
extern void in_look_at_handshakes(Transport *self, const uint8_t ip[16]);

/* Gives libzmq a copy of a frame for this link. */
extern TransportSent in_send(Transport *self, Inbound *in, const uint8_t *bytes, size_t len);

/* One message of the ROUTER; false when there is none. */
extern bool in_receive(Transport *self, TransportReceive receive, void *context);

/* What transport_links() tells of it. */
extern void in_info(const Transport *self, const Inbound *in, TransportLinkInfo *info);

/* ---- link_out.c ---- */

/* The same as in_of_via(). */
extern Outbound *out_of_via(const Transport *self, TransportVia via);

extern Outbound *out_find(const Transport *self, const uint8_t *key);

/* Frees the frames that wait for the link. */
extern void out_drop_waiting(Outbound *out);

/* Closes the link and frees its slot; tells config.unreachable if asked to. */
extern void out_forget(Transport *self, Outbound *out, bool tell);

/* Other addresses for a link that is not up. */
extern void out_retarget(Outbound *out, const NetAddress *addresses, int n);

/*
 * A link to this key, its first attempt begun.  NULL when no address is usable
 * (*why is TRANSPORT_ERROR), or there is no room or memory (TRANSPORT_NO_ROOM).
 */
extern Outbound *out_open(Transport *self, const uint8_t *key, const NetAddress *addresses, int n,
						  TransportSent *why);

/* Queues a copy of a frame; it leaves at once when the link is up. */
extern TransportSent out_send(Transport *self, Outbound *out, const uint8_t *bytes, size_t len);

/* One message of its DEALER; false when there is none. */
extern bool out_receive(Transport *self, Outbound *out, TransportReceive receive, void *context);

/* Cuts the connection for what the peer did; the link goes on as after any failure. */
extern void out_reset(Transport *self, Outbound *out);

/* What became of each DEALER, the next attempt, frames that waited. */
extern void out_step(Transport *self);

extern void out_info(const Transport *self, const Outbound *out, TransportLinkInfo *info);

/* ---- transport.c ---- */

/* Index among the pins, -1 when this key has none. */
extern int transport_pin_at(const Transport *self, const uint8_t *key);

/* A frame to the user, outside of containment. */
extern void transport_hand_over(TransportReceive receive, void *context, const uint8_t *key, TransportVia via, zmq_msg_t *msg);

#endif							/* NET_TRANSPORT_PRIVATE_H */
