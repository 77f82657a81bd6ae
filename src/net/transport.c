/*
 * transport.c
 *	  The ROUTER, the DEALERs and the ZAP handler behind transport.h.
 *
 * What libzmq keeps from its user is kept here instead: which connection a frame
 * came over, when it ended, how many bytes wait in it.
 *
 * - Our ZAP handler numbers the handshakes it admits and gives back
 *	 "KEY.NUMBER" as User-Id, which libzmq attaches to every frame of that
 *	 connection.  So key and connection of a frame are authentic; a routing id,
 *	 which a peer may choose, only says where an answer goes.
 * - A monitor tells of connections by descriptor; a frame names its descriptor
 *	 too (ZMQ_SRCFD).  By that the two are matched, and a connection can be cut:
 *	 shutdown() on it is noticed by libzmq's thread as the end of the stream.
 * - The listening socket is ours.  When no more may come a filter on it drops
 *	 what arrives: a listener of libzmq without descriptors would spin.
 * - Each DEALER is for one connection and does not reconnect: the next attempt
 *	 is ours to make, with a new one.
 * - Frames are handed over with a function that libzmq calls when it has
 *	 encrypted them: bytes not yet sent are counted by that.
 * - Pipes have no limit (RCVHWM 0).  One that is full makes libzmq stop reading
 *	 its connection, and when that connection is then reset, the next heartbeat
 *	 or PING is an assertion that fails.  Nor would a limit help: it counts whole
 *	 messages, and a message may have parts without end.  What libzmq holds is
 *	 what TCP has received and we have not seen; who goes too far is cut.
 * - Calls into libzmq are contained (contain.h); after an abort in there nothing
 *	 of it is called again.
 *
 * libzmq's threads call nothing of ours but frame_free().
 */
#include "net/transport.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>
#include <zmq.h>

#include "net/contain.h"

#ifndef ZMQ_ZAP_ENFORCE_DOMAIN	/* 4.3.4 has it, its header only among drafts */
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

#define DOMAIN_NAME "vecdb"
#define INBOUND_SPARE 64		/* connections above the limit, not yet known by key */
#define INBOUND_PER_KEY 4
#define INBOUND_LEAST 128		/* fewer are no choice of ours */
#define INBOUND_SLOTS (TRANSPORT_INBOUND_MAX + INBOUND_SPARE)
#define ADMITTED_MAX 2048		/* admitted, no frame yet */
#define ROUTING_ID_BYTES 5		/* of those that libzmq makes: 0 and a number */
#define WAITING_FRAMES 64		/* of a link that is not up yet */
#define FRAME_OVERHEAD 192		/* what a queued frame costs besides its bytes */
#define CURVE_OVERHEAD 33		/* of a frame on the wire */
#define HELD_BYTES ((uint64_t) 16 << 20)	/* received of one connection, not seen yet */
#define HELD_ALL_BYTES ((uint64_t) 64 << 20)
#define HANDSHAKE_BYTES 4096	/* ours has 567 */
#define BEFORE_READY 234		/* bytes that we have sent when only READY is left: greeting, WELCOME */
#define TURN_MS 50				/* of frames, whatever each of them costs */
#define QUEUE_SHARE_BYTES (64 * 1024)	/* of each peer, when TRANSPORT_QUEUES_BYTES are used up */

#define HANDSHAKE_MS 5000
#define ATTEMPT_SPARE_MS 1000	/* an attempt at one address may take this longer */
#define HEARTBEAT_MS 10000
#define HEARTBEAT_TIMEOUT_MS 30000
#define STUCK_MS 30000			/* nothing of what waits has been taken */
#define REFUSALS 256			/* of which is known that they have been told of */
#define REFUSAL_MS 3600000
#define REFUSALS_A_MINUTE 20
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 60000
#define LINGER_MS 200
#define DESTROY_MS 2000
#define SILENT_MS 15000			/* an inbound connection without a frame */
#define SWEEP_MS 100
#define INBOUND_IDLE_MS 60000	/* may be closed to make room for another */
#define ANSWER_MS 3000			/* so long a frame may have to wait for its answer */

/* Descriptors: mailbox, monitor's two ends, connection; another of each that lingers. */
#define DESCRIPTORS_PER_LINK 5
#define DESCRIPTORS_BASE 48

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

typedef struct Outbound
{
	bool		used;
	bool		up;
	bool		failed;			/* this attempt */
	uint8_t		key[CORE_KEY_BYTES];
	uint64_t	serial;			/* another for each connection */
	NetAddress	addresses[TRANSPORT_ADDRESSES];
	int			n_addresses;
	int			at;				/* the address tried or connected to */
	int			tried;			/* in this round */
	Port		dealer;
	Port		monitor;
	int			fd;				/* of the connection, libzmq's; -1: none */
	int64_t		since_ms;
	int64_t		deadline_ms;	/* of the attempt; of the pause when there is no socket */
	int64_t		retry_ms;
	int64_t		used_ms;
	int64_t		heard_ms;
	Account    *account;
	Frame	   *first;			/* waiting for the link */
	Frame	  **last;
	int			waiting;
	uint64_t	frames_in;
	uint64_t	frames_out;
	uint64_t	bytes_in;
	uint64_t	bytes_out;
	uint64_t	dropped;
	Stream		stream;
} Outbound;

typedef struct Inbound
{
	bool		used;
	bool		cut;
	bool		speaks;			/* a frame has come; all below is known */
	int			fd;				/* libzmq's */
	uint64_t	accepted;		/* order of events */
	uint64_t	serial;
	int64_t		since_ms;
	int64_t		heard_ms;
	NetAddress	address;
	uint64_t	subnet;
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		routing_id[ROUTING_ID_BYTES];
	Account    *account;
	uint64_t	frames_in;
	uint64_t	frames_out;
	uint64_t	bytes_in;
	uint64_t	bytes_out;
	uint64_t	dropped;
	Stream		stream;
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

static const char *const reason_text[] = {
	[REASON_MECHANISM] = "it does not speak CURVE",
	[REASON_CRYPTO] = "it takes us for another, or its handshake is forged",
	[REASON_OWN_KEY] = "it has our own key",
	[REASON_PROTOCOL] = "it does not speak ZMTP, or not in time",
	[REASON_ROOM] = "there is no room for another connection"
};

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

static void out_close_socket(Transport *self, Outbound *link, int linger_ms);
static void out_drop_waiting(Outbound *link);
static void out_forget(Transport *self, Outbound *link, bool tell);
static void in_cut(Transport *self, Inbound *link);
static void in_forget(Transport *self, Inbound *link);

/* ---- small things ---- */

static void
wake(Transport *self)
{
	if (!self->woken)
	{
		uint64_t	one = 1;

		self->woken = write(self->wake, &one, sizeof one) == sizeof one;
	}
}

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

static int
receive_part(zmq_msg_t *msg, void *socket)
{
	return PATIENT(zmq_msg_recv(msg, socket, ZMQ_DONTWAIT));
}

static int
send_part(zmq_msg_t *msg, void *socket)
{
	return PATIENT(zmq_msg_send(msg, socket, ZMQ_DONTWAIT));
}

static int
send_bytes(void *socket, const void *bytes, size_t len, int flags)
{
	return PATIENT(zmq_send(socket, bytes, len, ZMQ_DONTWAIT | flags));
}

static bool
port_add(Transport *self, Port *port)
{
	int			fd;
	size_t		size = sizeof fd;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = port};

	if (zmq_getsockopt(port->socket, ZMQ_FD, &fd, &size) != 0)
		return false;
	port->ready = true;
	wake(self);
	return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void
port_close(Transport *self, Port *port, int linger_ms)
{
	int			fd;
	size_t		size = sizeof fd;

	if (port->socket == NULL)
		return;
	if (zmq_getsockopt(port->socket, ZMQ_FD, &fd, &size) == 0)
		epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL);
	zmq_setsockopt(port->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
	zmq_close(port->socket);
	port->socket = NULL;
	port->ready = false;
}

/* ZMQ_EVENTS, which also makes libzmq do what its threads ask of this socket. */
static int
port_events(Port *port)
{
	int			events = 0;
	size_t		size = sizeof events;

	if (PATIENT(zmq_getsockopt(port->socket, ZMQ_EVENTS, &events, &size)) != 0)
		return 0;
	return events;
}

/* After a send: what came in meanwhile gave its only signal then. */
static void
port_sent(Transport *self, Port *port)
{
	if (!port->ready && (port_events(port) & ZMQ_POLLIN) != 0)
	{
		port->ready = true;
		wake(self);
	}
}

static bool
set_int(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof value) == 0;
}

/* Waiting in all queues, of all transports of the process. */
static _Atomic size_t queued_all;

static void
account_release(Account *account)
{
	if (account != NULL && atomic_fetch_sub(&account->references, 1) == 1)
		free(account);
}

static Account *
account_new(void)
{
	Account    *account = malloc(sizeof *account);

	if (account != NULL)
	{
		atomic_init(&account->bytes, 0);
		atomic_init(&account->references, 1);
	}
	return account;
}

static Frame *
frame_new(Account *account, const uint8_t *bytes, size_t len)
{
	Frame	   *frame = malloc(sizeof *frame + len);

	if (frame == NULL)
		return NULL;
	frame->next = NULL;
	frame->account = account;
	frame->len = len;
	memcpy(frame->data, bytes, len);
	atomic_fetch_add(&account->references, 1);
	atomic_fetch_add(&account->bytes, len + FRAME_OVERHEAD);
	atomic_fetch_add(&queued_all, len + FRAME_OVERHEAD);
	return frame;
}

/* Called by libzmq's thread too. */
static void
frame_free(void *data, void *hint)
{
	Frame	   *frame = hint;

	atomic_fetch_sub(&frame->account->bytes, frame->len + FRAME_OVERHEAD);
	atomic_fetch_sub(&queued_all, frame->len + FRAME_OVERHEAD);
	account_release(frame->account);
	free(frame);
}

static size_t
queued(const Account *account)
{
	return account != NULL ? atomic_load(&account->bytes) : 0;
}

static bool
has_room(const Account *account, size_t len)
{
	size_t		bytes = queued(account);
	size_t		more = len + FRAME_OVERHEAD;
	bool		crowded = atomic_load(&queued_all) + more > TRANSPORT_QUEUES_BYTES;

	/* an empty queue takes a frame of any size */
	if (bytes == 0)
		return !crowded || more <= QUEUE_SHARE_BYTES;
	return bytes + more <= (crowded ? QUEUE_SHARE_BYTES : TRANSPORT_QUEUE_BYTES);
}

/* What a frame takes on the wire: ZMTP's header, CURVE's, itself. */
static uint64_t
wire_bytes(size_t len)
{
	size_t		body = len + CURVE_OVERHEAD;

	return body + (body > 255 ? 9 : 2);
}

/*
 * Look at a connection, whose descriptor is libzmq's and may have ended.  False
 * when the peer has taken nothing for too long of what waits for it: heartbeats
 * would not notice, they wait in the same queue.
 */
static bool
stream_look(Stream *stream, int fd, const Account *account, int64_t now_ms)
{
	struct tcp_info info = {0};
	socklen_t	size = sizeof info;

	stream->received = stream->held = 0;
	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
		return true;
	stream->received = info.tcpi_bytes_received;
	if (stream->received > stream->seen)
		stream->held = stream->received - stream->seen;
	if (info.tcpi_bytes_acked != stream->taken || stream->taken_ms == 0 ||
		(queued(account) == 0 && info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0))
	{
		stream->taken = info.tcpi_bytes_acked;
		stream->taken_ms = now_ms;
	}
	return now_ms - stream->taken_ms < STUCK_MS;
}

static int
pin_find(const Transport *self, const uint8_t *key)
{
	for (int i = 0; i < self->n_pins; i++)
		if (memcmp(self->pins[i], key, CORE_KEY_BYTES) == 0)
			return i;
	return -1;
}

static NetAddress
address_of(const struct sockaddr_storage *from)
{
	NetAddress	address = {.port = 0};

	if (from->ss_family == AF_INET)
	{
		const struct sockaddr_in *in = (const struct sockaddr_in *) from;
		uint8_t		ip[4];

		memcpy(ip, &in->sin_addr, 4);
		address = net_address_v4(ip[0], ip[1], ip[2], ip[3], ntohs(in->sin_port));
	}
	else if (from->ss_family == AF_INET6)
	{
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *) from;

		memcpy(address.ip, &in->sin6_addr, 16);
		address.port = ntohs(in->sin6_port);
	}
	return address;
}

/* ---- refusals ---- */

static void
tell_refused(Transport *self, const NetAddress *from, Reason reason)
{
	NetAddress	address = *from;
	uint64_t	subnet = net_address_subnet(from);
	Refusal    *refusal = NULL;
	ContainFrame *frame;

	if (self->config.refused == NULL)
		return;
	for (int i = 0; i < REFUSALS && refusal == NULL; i++)
		if (self->refusals[i].used && self->refusals[i].reason == reason && self->refusals[i].subnet == subnet)
			refusal = &self->refusals[i];
	if (refusal != NULL && self->now_ms - refusal->told_ms < REFUSAL_MS)
		return;
	if (self->now_ms - self->minute_ms >= 60000 || self->now_ms < self->minute_ms)
	{
		self->minute_ms = self->now_ms;
		self->refusals_told = 0;
	}
	if (self->refusals_told >= REFUSALS_A_MINUTE)
		return;
	self->refusals_told++;
	if (refusal == NULL)
	{
		refusal = &self->refusals[self->next_refusal];
		self->next_refusal = (self->next_refusal + 1) % REFUSALS;
	}
	*refusal = (Refusal) {true, reason, subnet, self->now_ms};
	address.port = 0;
	frame = contain_suspend();
	self->config.refused(self->config.context, &address, reason_text[reason]);
	contain_resume(frame);
}

/* ---- the listening socket ---- */

/* Drop what arrives at the listening socket, or no longer. */
static void
listener_close(Transport *self, bool closed)
{
	struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {1, &drop};

	if (closed == self->closed)
		return;
	if (closed)
		self->closed = setsockopt(self->listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
	else
		self->closed = setsockopt(self->listener, SOL_SOCKET, SO_DETACH_FILTER, NULL, 0) != 0;
}

/*
 * Take the connections that wait and hang up: with no descriptor left libzmq
 * cannot, and tries again and again.  It may be faster than we with the one that
 * is given up; then what it has accepted is cut, and we try again in our turn.
 */
static void
listener_hang_up(Transport *self)
{
	int			fd;

	if (self->spare >= 0)
		close(self->spare);
	while ((fd = accept(self->listener, NULL, NULL)) >= 0)
	{
		self->stats.refused_room++;
		close(fd);
	}
	self->starving = errno == EMFILE || errno == ENFILE;
	self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int
open_descriptors(void)
{
	DIR		   *dir = opendir("/proc/self/fd");
	int			n = 0;

	if (dir == NULL)
		return 64;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static bool refuse(char *error, size_t room, const char *format,...) __attribute__((format(printf, 3, 4)));

static bool
refuse(char *error, size_t room, const char *format,...)
{
	va_list		args;

	if (room > 0)
	{
		va_start(args, format);
		vsnprintf(error, room, format, args);
		va_end(args);
	}
	return false;
}

static bool
listen_on(Transport *self, char *error, size_t room)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
	.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	struct sockaddr_storage bound;
	socklen_t	size = sizeof bound;
	char		service[8];
	int			status;
	int			on = 1;
	int			off = 0;

	snprintf(service, sizeof service, "%u", self->config.port);
	status = getaddrinfo(self->config.listen, service, &hints, &found);
	if (status != 0)
		return refuse(error, room, "cannot listen on \"%s\": %s", self->config.listen,
					  status == EAI_NONAME ? "not a numeric address" : gai_strerror(status));
	self->listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (self->listener < 0 ||
		setsockopt(self->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
		(found->ai_family == AF_INET6 &&
		 setsockopt(self->listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
		bind(self->listener, found->ai_addr, found->ai_addrlen) != 0 ||
		listen(self->listener, 100) != 0 ||
		getsockname(self->listener, (struct sockaddr *) &bound, &size) != 0)
	{
		int			why = errno;

		freeaddrinfo(found);
		return refuse(error, room, "could not listen on %s port %u: %s", self->config.listen,
					  self->config.port, strerror(why));
	}
	freeaddrinfo(found);
	self->port = address_of(&bound).port;
	return true;
}

/* ---- start and end ---- */

/* Where descriptors are few there are fewer connections of others, but not too few. */
static bool
descriptors_suffice(Transport *self, char *error, size_t room)
{
	struct rlimit limit;
	long		missing;
	long		needed = DESCRIPTORS_BASE + DESCRIPTORS_PER_LINK * self->config.max_links +
		self->config.max_inbound + INBOUND_SPARE;
	long		open = open_descriptors();

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return true;
	missing = needed + open - (long) limit.rlim_cur;
	if (missing > 0 && self->config.max_inbound - missing >= INBOUND_LEAST)
	{
		self->config.max_inbound -= (int) missing;
		missing = 0;
	}
	if (missing <= 0)
		return true;
	return refuse(error, room, "the limit of open files is %ld, %ld are open, and %d links and %d connections of others need %ld: it is too low by %ld (ulimit -n, LimitNOFILE of systemd)",
				  (long) limit.rlim_cur, open, self->config.max_links, self->config.max_inbound, needed, missing);
}

static bool
zmq_failed(char *error, size_t room, const char *what)
{
	return refuse(error, room, "could not %s: %s", what, zmq_strerror(zmq_errno()));
}

static bool
start_sockets(Transport *self, char *error, size_t room)
{
	void	   *router;
	int			given;
	char		endpoint[32];
	unsigned	seed;

	self->context = zmq_ctx_new();
	if (self->context == NULL)
		return zmq_failed(error, room, "start libzmq");
	zmq_ctx_set(self->context, ZMQ_IO_THREADS, 1);
	zmq_ctx_set(self->context, ZMQ_IPV6, 1);

	self->zap.socket = zmq_socket(self->context, ZMQ_REP);
	if (self->zap.socket == NULL || !set_int(self->zap.socket, ZMQ_LINGER, 0) ||
		zmq_bind(self->zap.socket, "inproc://zeromq.zap.01") != 0 || !port_add(self, &self->zap))
		return zmq_failed(error, room, "start the authentication handler");

	/* Routing ids are counted from rand(), which libzmq seeds with the time. */
	randombytes_buf(&seed, sizeof seed);
	srand(seed);
	router = self->router.socket = zmq_socket(self->context, ZMQ_ROUTER);
	if (router == NULL)
		return zmq_failed(error, room, "make a socket");
	if (!set_int(router, ZMQ_CURVE_SERVER, 1) ||
		zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, self->config.curve_secret, CORE_KEY_BYTES) != 0 ||
		zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, DOMAIN_NAME, strlen(DOMAIN_NAME)) != 0 ||
		!set_int(router, ZMQ_ZAP_ENFORCE_DOMAIN, 1) ||
		!set_int(router, ZMQ_ROUTER_MANDATORY, 1) ||
		!set_int(router, ZMQ_LINGER, LINGER_MS) ||
		zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &(int64_t) {TRANSPORT_FRAME_MAX + 64}, sizeof(int64_t)) != 0 ||
		!set_int(router, ZMQ_RCVHWM, 0) ||
		!set_int(router, ZMQ_SNDHWM, 0) ||
		!set_int(router, ZMQ_HANDSHAKE_IVL, self->config.handshake_ms) ||
		!set_int(router, ZMQ_HEARTBEAT_IVL, self->config.heartbeat_ms) ||
		!set_int(router, ZMQ_HEARTBEAT_TIMEOUT, self->config.heartbeat_timeout_ms) ||
		!set_int(router, ZMQ_HEARTBEAT_TTL, self->config.heartbeat_timeout_ms))
		return zmq_failed(error, room, "set up a socket with this libzmq");

	/* Before the first connection: what has come in must all be seen. */
	if (zmq_socket_monitor(router, "inproc://router.monitor",
						   ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED |
						   ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
						   ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) != 0)
		return zmq_failed(error, room, "watch a socket");
	self->monitor.socket = zmq_socket(self->context, ZMQ_PAIR);
	if (self->monitor.socket == NULL || !set_int(self->monitor.socket, ZMQ_LINGER, 0) ||
		!set_int(self->monitor.socket, ZMQ_RCVHWM, 20000) ||
		zmq_connect(self->monitor.socket, "inproc://router.monitor") != 0 || !port_add(self, &self->monitor))
		return zmq_failed(error, room, "watch a socket");

	/* libzmq closes the descriptor that it is given; the other is ours. */
	given = fcntl(self->listener, F_DUPFD_CLOEXEC, 0);
	if (given < 0)
		return refuse(error, room, "could not duplicate a descriptor: %s", strerror(errno));
	snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", self->port);
	if (!set_int(router, ZMQ_USE_FD, given) || zmq_bind(router, endpoint) != 0)
	{
		int			why = zmq_errno();

		close(given);
		return refuse(error, room, "could not bind a socket: %s", zmq_strerror(why));
	}
	return port_add(self, &self->router) || zmq_failed(error, room, "watch a socket");
}

static bool
start_contained(Transport *self, char *error, size_t room)
{
	ContainFrame call;
	bool		ok;

	self->containment = contain_new();
	if (self->containment == NULL)
		return refuse(error, room, "no more than some dozens of transports in one process");
	if (!CONTAIN_ENTER(self->containment, call))
		return refuse(error, room, "libzmq has aborted");
	ok = contain_threads_begin(self->containment);
	if (ok)
		ok = start_sockets(self, error, room) &&
			(contain_threads_end(self->containment) || refuse(error, room, "could not tell libzmq's threads: is /proc mounted?"));
	else
		refuse(error, room, "could not list the threads of the process: is /proc mounted?");
	contain_leave(&call);
	return ok;
}

Transport *
transport_new(const TransportConfig *config, char *error, size_t room)
{
	Transport  *self;
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t	all;
	sigset_t	before;
	bool		ok;

	if (config->max_links < 1 || config->max_links > TRANSPORT_LINKS_MAX ||
		config->max_inbound < 1 || config->max_inbound > TRANSPORT_INBOUND_MAX)
	{
		refuse(error, room, "%d links and %d connections of others are not within 1 to %d and 1 to %d",
			   config->max_links, config->max_inbound, TRANSPORT_LINKS_MAX, TRANSPORT_INBOUND_MAX);
		return NULL;
	}
	self = calloc(1, sizeof *self);
	if (self == NULL)
	{
		refuse(error, room, "out of memory");
		return NULL;
	}
	self->config = *config;
	if (self->config.handshake_ms == 0)
		self->config.handshake_ms = HANDSHAKE_MS;
	if (self->config.heartbeat_ms == 0)
		self->config.heartbeat_ms = HEARTBEAT_MS;
	if (self->config.heartbeat_timeout_ms == 0)
		self->config.heartbeat_timeout_ms = HEARTBEAT_TIMEOUT_MS;
	self->epoll = self->wake = self->listener = self->spare = -1;
	if (sodium_init() < 0)
		ok = refuse(error, room, "libsodium cannot be initialised");
	else
		ok = descriptors_suffice(self, error, room) && listen_on(self, error, room);
	if (ok)
	{
		self->epoll = epoll_create1(EPOLL_CLOEXEC);
		self->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		event.data.ptr = NULL;
		if (self->epoll < 0 || self->wake < 0 || epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->wake, &event) != 0)
			ok = refuse(error, room, "could not make a set of descriptors: %s", strerror(errno));
	}
	if (ok)
	{
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		ok = start_contained(self, error, room);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (!ok)
		transport_destroy(&self);
	return self;
}

static void *
context_term(void *context)
{
	while (zmq_ctx_term(context) != 0 && zmq_errno() == EINTR)
		;
	return NULL;
}

/*
 * End libzmq's threads.  That waits for them for as long as it takes, so a thread
 * of our own does; false when they do not end in time.
 */
static bool
context_end(Transport *self)
{
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;
	int			status;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = pthread_create(&thread, NULL, context_term, self->context);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (status != 0)
	{
		context_term(self->context);
		return true;
	}
	for (int waited = 0; waited < DESTROY_MS && !contain_aborted(self->containment); waited += 50)
	{
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 50 * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0)
			return true;
	}
	pthread_detach(thread);
	return false;
}

static bool
close_sockets(Transport *self)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->out[i].used)
			out_forget(self, &self->out[i], false);
	if (self->monitor.socket != NULL)
	{
		/* Full, it would hold libzmq's thread, and that a lock which the next call wants. */
		zmq_msg_t	msg;

		zmq_msg_init(&msg);
		while (receive_part(&msg, self->monitor.socket) >= 0)
			;
		zmq_msg_close(&msg);
		zmq_socket_monitor(self->router.socket, NULL, 0);
	}
	port_close(self, &self->monitor, 0);
	port_close(self, &self->router, LINGER_MS);
	port_close(self, &self->zap, 0);
	return self->context == NULL || context_end(self);
}

/* False when libzmq has been left where it is. */
static bool
end_contained(Transport *self)
{
	ContainFrame call;
	bool		ok;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return false;
	ok = close_sockets(self);
	contain_leave(&call);
	return ok;
}

void
transport_destroy(Transport **pointer)
{
	Transport  *self = *pointer;

	*pointer = NULL;
	if (self == NULL)
		return;
	if (self->listener >= 0)
		listener_close(self, true);
	if (end_contained(self))
		contain_free(&self->containment);
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		out_drop_waiting(&self->out[i]);
		account_release(self->out[i].account);
	}
	for (int i = 0; i < INBOUND_SLOTS; i++)
		account_release(self->in[i].account);
	if (self->epoll >= 0)
		close(self->epoll);
	if (self->wake >= 0)
		close(self->wake);
	if (self->spare >= 0)
		close(self->spare);
	if (self->listener >= 0)
		close(self->listener);
	free(self->by_fd);
	sodium_memzero(self->config.curve_secret, sizeof self->config.curve_secret);
	free(self);
}

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

/* ---- inbound connections ---- */

#define VIA_INBOUND 4096		/* slots of outbound links are below */

static TransportVia
in_via(const Transport *self, const Inbound *link)
{
	return (TransportVia) {link->serial * 8192 + VIA_INBOUND + (uint64_t) (link - self->in)};
}

static TransportVia
out_via(const Transport *self, const Outbound *link)
{
	return (TransportVia) {link->serial * 8192 + (uint64_t) (link - self->out)};
}

static Inbound *
in_of_via(const Transport *self, TransportVia via)
{
	uint64_t	slot = via.link % 8192;
	Inbound    *link;

	if (slot < VIA_INBOUND || slot >= VIA_INBOUND + INBOUND_SLOTS)
		return NULL;
	link = (Inbound *) &self->in[slot - VIA_INBOUND];
	return link->used && link->speaks && !link->cut && link->serial == via.link / 8192 ? link : NULL;
}

static Outbound *
out_of_via(const Transport *self, TransportVia via)
{
	uint64_t	slot = via.link % 8192;
	Outbound   *link;

	if (slot >= TRANSPORT_LINKS_MAX)
		return NULL;
	link = (Outbound *) &self->out[slot];
	return link->used && link->up && link->serial == via.link / 8192 ? link : NULL;
}

static Inbound *
in_of_fd(const Transport *self, int fd)
{
	if (fd < 0 || fd >= self->by_fd_room || self->by_fd[fd] < 0)
		return NULL;
	return (Inbound *) &self->in[self->by_fd[fd]];
}

static bool
by_fd_grow(Transport *self, int fd)
{
	int			room = self->by_fd_room > 0 ? self->by_fd_room : 256;
	int16_t    *grown;

	if (fd < self->by_fd_room)
		return true;
	while (room <= fd)
		room *= 2;
	grown = realloc(self->by_fd, (size_t) room * sizeof *grown);
	if (grown == NULL)
		return false;
	for (int i = self->by_fd_room; i < room; i++)
		grown[i] = -1;
	self->by_fd = grown;
	self->by_fd_room = room;
	return true;
}

/* Is it still a connection that our listener accepted?  Then from whom? */
static bool
is_ours(const Transport *self, int fd, NetAddress *peer)
{
	struct sockaddr_storage name;
	socklen_t	size = sizeof name;

	if (getsockname(fd, (struct sockaddr *) &name, &size) != 0 || address_of(&name).port != self->port)
		return false;
	size = sizeof name;
	if (getpeername(fd, (struct sockaddr *) &name, &size) != 0)
		return false;
	*peer = address_of(&name);
	return true;
}

/*
 * End a connection.  Its descriptor is libzmq's: by now it may be closed, and its
 * number may be another's, which then is a younger one of our listener's.
 */
static void
in_cut(Transport *self, Inbound *link)
{
	NetAddress	peer;

	link->cut = true;
	if (is_ours(self, link->fd, &peer) && net_address_equal(&peer, &link->address))
		shutdown(link->fd, SHUT_RDWR);
}

/* The same, and what the kernel has to send is thrown away: it might wait for minutes. */
static void
in_reset(Transport *self, Inbound *link)
{
	struct linger now = {1, 0};
	NetAddress	peer;

	self->stats.cut++;
	if (is_ours(self, link->fd, &peer) && net_address_equal(&peer, &link->address))
		setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	in_cut(self, link);
}

static void
in_forget(Transport *self, Inbound *link)
{
	self->by_fd[link->fd] = -1;
	account_release(link->account);
	memset(link, 0, sizeof *link);
	self->n_in--;
	while (self->in_top > 0 && !self->in[self->in_top - 1].used)
		self->in_top--;
}

typedef struct OfSubnet
{
	uint64_t	subnet;
	int			slot;
} OfSubnet;

static int
compare_subnets(const void *left, const void *right)
{
	uint64_t	a = ((const OfSubnet *) left)->subnet;
	uint64_t	b = ((const OfSubnet *) right)->subnet;

	return a < b ? -1 : a > b;
}

/*
 * For each of the links chosen: how many of them are of its subnet; 0 for others.
 * Counted exactly: who floods could choose a subnet that shares a counter with another's.
 */
static void
count_subnets(const Transport *self, const bool *chosen, int *of_subnet)
{
	OfSubnet	by_subnet[INBOUND_SLOTS];
	int			n = 0;
	int			end;

	for (int i = 0; i < self->in_top; i++)
	{
		of_subnet[i] = 0;
		if (chosen[i])
			by_subnet[n++] = (OfSubnet) {self->in[i].subnet, i};
	}
	qsort(by_subnet, (size_t) n, sizeof *by_subnet, compare_subnets);
	for (int begin = 0; begin < n; begin = end)
	{
		for (end = begin + 1; end < n && by_subnet[end].subnet == by_subnet[begin].subnet; end++)
			;
		for (int i = begin; i < end; i++)
			of_subnet[by_subnet[i].slot] = end - begin;
	}
}

/*
 * Whom to hang up on so that another may come: of those that have said nothing
 * yet the oldest of the subnet that has most of them, the newcomer among them.
 * So a subnet that floods us gets in its own way first.
 */
static Inbound *
in_silent_victim(Transport *self)
{
	bool		silent[INBOUND_SLOTS];
	int			of_subnet[INBOUND_SLOTS];
	Inbound    *victim = NULL;
	int			most = 0;

	for (int i = 0; i < self->in_top; i++)
		silent[i] = self->in[i].used && !self->in[i].cut && !self->in[i].speaks;
	count_subnets(self, silent, of_subnet);
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (silent[i] && (of_subnet[i] > most || (of_subnet[i] == most && link->accepted < victim->accepted)))
		{
			most = of_subnet[i];
			victim = link;
		}
	}
	return victim;
}

/*
 * Whom to hang up on so that one more which is known by its key may stay: one of the
 * subnet that has most of them, the newcomer among them.  So who has many keys and
 * few addresses keeps nobody out.  Of that subnet it is who was not heard for longest,
 * if that is long, or if the newcomer is of another one; else the newcomer.
 */
static Inbound *
in_speaking_victim(Transport *self, Inbound *newcomer)
{
	bool		may_go[INBOUND_SLOTS];
	int			of_subnet[INBOUND_SLOTS];
	Inbound    *silent = NULL;
	int			most = 0;
	bool		itself = false;

	for (int i = 0; i < self->in_top; i++)
		may_go[i] = self->in[i].used && !self->in[i].cut && self->in[i].speaks && pin_find(self, self->in[i].key) < 0;
	count_subnets(self, may_go, of_subnet);
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (!may_go[i] || of_subnet[i] < most)
			continue;
		if (of_subnet[i] > most)
		{
			silent = NULL;
			itself = false;
			most = of_subnet[i];
		}
		if (link == newcomer)
			itself = true;
		else if (silent == NULL || link->heard_ms < silent->heard_ms)
			silent = link;
	}
	if (silent == NULL || (itself && self->now_ms - silent->heard_ms < INBOUND_IDLE_MS))
		return newcomer;
	return silent;
}

/* A connection is known by its key now: has it room? */
static void
in_make_room(Transport *self, Inbound *newcomer)
{
	Inbound    *of_key = NULL;
	Inbound    *victim;
	int			same = 0;
	int			n = 0;

	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (!link->used || link->cut || !link->speaks)
			continue;
		n++;
		if (memcmp(link->key, newcomer->key, CORE_KEY_BYTES) == 0)
		{
			same++;
			if (of_key == NULL || link->serial < of_key->serial)
				of_key = link;
		}
	}
	if (same <= INBOUND_PER_KEY && n <= self->config.max_inbound)
		return;
	victim = same > INBOUND_PER_KEY ? of_key : in_speaking_victim(self, newcomer);
	in_cut(self, victim);
	if (victim != newcomer)
		self->stats.evicted++;
	else
	{
		self->stats.refused_room++;
		tell_refused(self, &newcomer->address, REASON_ROOM);
	}
}

static void
in_accepted(Transport *self, int fd)
{
	Inbound    *link = in_of_fd(self, fd);
	NetAddress	peer;
	int			silent = 0;
	int			speaking = 0;
	int			may;

	self->stats.accepted++;
	if (link != NULL)
		in_forget(self, link);
	if (!is_ours(self, fd, &peer))
		return;					/* it has ended; that event follows */
	for (int i = 0; i < INBOUND_SLOTS && link == NULL; i++)
		if (!self->in[i].used)
			link = &self->in[i];
	if (link == NULL || !by_fd_grow(self, fd))
	{
		self->stats.refused_room++;
		shutdown(fd, SHUT_RDWR);
		return;
	}
	memset(link, 0, sizeof *link);
	link->used = true;
	link->fd = fd;
	link->address = peer;
	link->accepted = ++self->order;
	link->since_ms = self->now_ms;
	link->subnet = net_address_subnet(&peer);
	self->by_fd[fd] = (int16_t) (link - self->in);
	self->n_in++;
	if (self->in_top <= link - self->in)
		self->in_top = (int) (link - self->in) + 1;
	if (self->starving)
	{
		/* the descriptor is needed for the others that wait */
		self->stats.refused_room++;
		in_cut(self, link);
		return;
	}
	for (int i = 0; i < self->in_top; i++)
		if (self->in[i].used && !self->in[i].cut)
		{
			silent += !self->in[i].speaks;
			speaking += self->in[i].speaks;
		}
	may = self->config.max_inbound - speaking;
	if (silent > (may > INBOUND_SPARE ? may : INBOUND_SPARE))
	{
		self->stats.refused_room++;
		in_cut(self, in_silent_victim(self));
	}
}

/* Was it one that our handler has let in, for all we know? */
static bool
in_was_admitted(const Transport *self, const Inbound *link)
{
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
		if (self->admitted[i].serial != 0 && self->admitted[i].order > link->accepted &&
			memcmp(self->admitted[i].ip, link->address.ip, 16) == 0)
			return true;
	return false;
}

/* A connection has ended.  libzmq does not tell why when it speaks an old ZMTP, or another protocol. */
static void
in_ended(Transport *self, Inbound *link)
{
	Reason		reason = self->failure;
	NetAddress	from = link->address;

	if (reason == REASON_NONE && !link->speaks && !link->cut)
	{
		if (self->refused_keys > 0)
			self->refused_keys--;
		else if (!in_was_admitted(self, link))
		{
			self->stats.refused_protocol++;
			reason = REASON_PROTOCOL;
		}
	}
	in_forget(self, link);
	if (reason != REASON_NONE)
		tell_refused(self, &from, reason);
}

static void
router_event(Transport *self, uint16_t event, uint32_t value)
{
	Inbound    *link;

	switch (event)
	{
		case ZMQ_EVENT_ACCEPTED:
			in_accepted(self, (int) value);
			break;
		case ZMQ_EVENT_DISCONNECTED:
			link = in_of_fd(self, (int) value);
			if (link != NULL)
				in_ended(self, link);
			else if (self->failure == REASON_NONE)
				self->stats.refused_protocol++; /* gone before we could look */
			self->failure = REASON_NONE;
			break;
		case ZMQ_EVENT_ACCEPT_FAILED:
			self->stats.accept_failed++;
			if (value == EMFILE || value == ENFILE || value == ENOMEM || value == ENOBUFS)
			{
				listener_close(self, true);
				self->starving = true;
				self->open_ms = self->now_ms + 1000;
			}
			break;
		case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
			if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
			{
				self->failure = REASON_MECHANISM;
				self->stats.refused_mechanism++;
			}
			else if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC || value == ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE)
			{
				self->failure = REASON_CRYPTO;
				self->stats.refused_crypto++;
			}
			else
			{
				self->failure = REASON_PROTOCOL;
				self->stats.refused_protocol++;
			}
			break;
		case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
			self->failure = REASON_PROTOCOL;
			self->stats.refused_protocol++;
			break;
		default:				/* what our own handler refused it has counted */
			break;
	}
}

/* One event of a monitor; false when there is none. */
static bool
monitor_event(Port *monitor, uint16_t *event, uint32_t *value)
{
	zmq_msg_t	msg;
	bool		got = false;

	zmq_msg_init(&msg);
	while (receive_part(&msg, monitor->socket) >= 0)
	{
		if (!got && zmq_msg_size(&msg) == sizeof *event + sizeof *value)
		{
			memcpy(event, zmq_msg_data(&msg), sizeof *event);
			memcpy(value, (uint8_t *) zmq_msg_data(&msg) + sizeof *event, sizeof *value);
			got = true;
		}
		if (!zmq_msg_more(&msg))
			break;
	}
	zmq_msg_close(&msg);
	return got;
}

/* True when there may be more. */
static bool
router_events(Transport *self, int most)
{
	uint16_t	event;
	uint32_t	value;

	while (monitor_event(&self->monitor, &event, &value))
	{
		router_event(self, event, value);
		if (--most <= 0)
			return true;
	}
	return false;
}

/* ---- ZAP (RFC 27) ---- */

#define ZAP_PARTS 7				/* version, request, domain, address, routing id, mechanism, key */

static bool
address_of_text(const char *ip, NetAddress *out)
{
	struct sockaddr_storage name = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *) &name;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &name;

	if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1)
		name.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1)
		name.ss_family = AF_INET6;
	else
		return false;
	*out = address_of(&name);
	return true;
}

static Admitted *
admit(Transport *self, const uint8_t *key, const char *ip)
{
	NetAddress	from;
	Admitted   *oldest = NULL;
	Admitted   *slot = NULL;

	for (int i = 0; i < ADMITTED_MAX && slot == NULL; i++)
	{
		Admitted   *at = &self->admitted[i];

		if (at->serial == 0)
			slot = at;
		else if (oldest == NULL || at->serial < oldest->serial)
			oldest = at;
	}
	if (slot == NULL)
		slot = oldest;
	else
		self->n_admitted++;
	memset(slot, 0, sizeof *slot);
	slot->serial = ++self->serial;
	slot->order = ++self->order;
	slot->since_ms = self->now_ms;
	memcpy(slot->key, key, CORE_KEY_BYTES);
	if (address_of_text(ip, &from))
		memcpy(slot->ip, from.ip, 16);
	return slot;
}

/*
 * May all that has come of it be its handshake?  That lasts until it has READY, which
 * libzmq sends after our handler has answered; who speaks before does so on purpose.
 * What comes later, however much, acknowledges READY.
 */
static bool
in_shakes_hands(const Inbound *link)
{
	return !link->speaks && link->stream.taken <= BEFORE_READY;
}

/*
 * Somebody from there has sent all of its handshake and waits for us.  Look at
 * those who may be it: one whose handshake is long would have libzmq keep what it
 * says about itself, in forty times the space.
 */
static void
look_at_handshakes(Transport *self, const uint8_t ip[16])
{
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (!link->used || link->cut || link->speaks || memcmp(link->address.ip, ip, 16) != 0)
			continue;
		stream_look(&link->stream, link->fd, NULL, self->now_ms);
		if (in_shakes_hands(link) && link->stream.received > HANDSHAKE_BYTES)
			in_reset(self, link);
	}
}

static void
zap_reply(Transport *self, const uint8_t *request, size_t len, const char *status, const char *text, const char *user)
{
	void	   *zap = self->zap.socket;

	if (send_bytes(zap, "1.0", 3, ZMQ_SNDMORE) >= 0 &&
		send_bytes(zap, request, len, ZMQ_SNDMORE) >= 0 &&
		send_bytes(zap, status, 3, ZMQ_SNDMORE) >= 0 &&
		send_bytes(zap, text, strlen(text), ZMQ_SNDMORE) >= 0 &&
		send_bytes(zap, user, strlen(user), ZMQ_SNDMORE) >= 0)
		send_bytes(zap, "", 0, 0);
}

/* One handshake; false when none waits. */
static bool
zap_answer(Transport *self)
{
	uint8_t		part[ZAP_PARTS][256];
	size_t		len[ZAP_PARTS] = {0};
	int			n = 0;
	bool		fits = true;
	zmq_msg_t	msg;
	char		user[CORE_KEY_BYTES * 2 + 24] = "";
	NetAddress	from;

	zmq_msg_init(&msg);
	while (receive_part(&msg, self->zap.socket) >= 0)
	{
		size_t		size = zmq_msg_size(&msg);

		if (n < ZAP_PARTS && size < sizeof part[n])
		{
			memcpy(part[n], zmq_msg_data(&msg), size);
			part[n][size] = 0;
			len[n] = size;
		}
		else
			fits = false;
		n++;
		if (!zmq_msg_more(&msg))
			break;
	}
	zmq_msg_close(&msg);
	if (n == 0)
		return false;

	/* whoever asks here was accepted before: that must be known first */
	router_events(self, INT32_MAX);
	if (!fits || n != ZAP_PARTS || len[0] != 3 || memcmp(part[0], "1.0", 3) != 0 ||
		len[2] != strlen(DOMAIN_NAME) || memcmp(part[2], DOMAIN_NAME, len[2]) != 0)
		zap_reply(self, part[1], fits ? len[1] : 0, "500", "not understood", "");
	else if (len[5] != 5 || memcmp(part[5], "CURVE", 5) != 0 || len[6] != CORE_KEY_BYTES)
	{
		self->stats.refused_mechanism++;
		zap_reply(self, part[1], len[1], "400", "CURVE only", "");
	}
	else if (memcmp(part[6], self->config.curve_public, CORE_KEY_BYTES) == 0)
	{
		self->stats.refused_own_key++;
		self->refused_keys++;
		zap_reply(self, part[1], len[1], "400", "not welcome", "");
		if (address_of_text((const char *) part[3], &from))
			tell_refused(self, &from, REASON_OWN_KEY);
	}
	else
	{
		Admitted   *slot = admit(self, part[6], (const char *) part[3]);

		look_at_handshakes(self, slot->ip);
		self->stats.admitted++;
		sodium_bin2hex(user, sizeof user, slot->key, CORE_KEY_BYTES);
		snprintf(user + CORE_KEY_BYTES * 2, sizeof user - CORE_KEY_BYTES * 2, ".%016llx",
				 (unsigned long long) slot->serial);
		zap_reply(self, part[1], len[1], "200", "OK", user);
	}
	return true;
}

/* The other way round: who is it that libzmq says sent this message? */
static bool
whose(zmq_msg_t *msg, uint8_t key[CORE_KEY_BYTES], uint64_t *serial)
{
	const char *user = zmq_msg_gets(msg, "User-Id");
	char	   *end;
	size_t		len;

	if (user == NULL || strlen(user) != CORE_KEY_BYTES * 2 + 17 || user[CORE_KEY_BYTES * 2] != '.' ||
		sodium_hex2bin(key, CORE_KEY_BYTES, user, CORE_KEY_BYTES * 2, NULL, &len, NULL) != 0 ||
		len != CORE_KEY_BYTES)
		return false;
	*serial = strtoull(user + CORE_KEY_BYTES * 2 + 1, &end, 16);
	return *end == 0 && *serial != 0;
}

/* The connection with this number; NULL when it has ended. */
static Inbound *
in_of_frame(Transport *self, zmq_msg_t *msg, const uint8_t *key, uint64_t serial, zmq_msg_t *routing_id)
{
	Inbound    *link = in_of_fd(self, zmq_msg_get(msg, ZMQ_SRCFD));

	if (link != NULL && link->speaks)
		return link->serial == serial ? link : NULL;
	for (int i = 0; i < ADMITTED_MAX; i++)
	{
		Admitted   *slot = &self->admitted[i];

		if (slot->serial != serial)
			continue;
		slot->serial = 0;
		self->n_admitted--;
		/* a descriptor accepted after the handshake is another's */
		if (link == NULL || link->accepted > slot->order || link->cut)
			return NULL;
		/* ours choose none; libzmq asserts that none is chosen which it makes itself */
		if (zmq_msg_size(routing_id) != ROUTING_ID_BYTES || *(uint8_t *) zmq_msg_data(routing_id) != 0)
		{
			self->stats.cut++;
			in_cut(self, link);
			return link;
		}
		link->account = account_new();
		if (link->account == NULL)
			return NULL;
		link->speaks = true;
		link->serial = serial;
		link->since_ms = self->now_ms;
		memcpy(link->key, key, CORE_KEY_BYTES);
		link->heard_ms = self->now_ms;
		memcpy(link->routing_id, zmq_msg_data(routing_id), ROUTING_ID_BYTES);
		stream_look(&link->stream, link->fd, link->account, self->now_ms);
		in_make_room(self, link);
		return link;
	}
	return NULL;
}

/* ---- outbound links ---- */

static Outbound *
out_find(const Transport *self, const uint8_t *key)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->out[i].used && memcmp(self->out[i].key, key, CORE_KEY_BYTES) == 0)
			return (Outbound *) &self->out[i];
	return NULL;
}

static void
out_close_socket(Transport *self, Outbound *link, int linger_ms)
{
	if (link->dealer.socket != NULL)
		zmq_socket_monitor(link->dealer.socket, NULL, 0);
	port_close(self, &link->monitor, 0);
	port_close(self, &link->dealer, linger_ms);
	link->up = false;
	link->fd = -1;
}

static void
out_drop_waiting(Outbound *link)
{
	while (link->first != NULL)
	{
		Frame	   *frame = link->first;

		link->first = frame->next;
		frame_free(NULL, frame);
	}
	link->last = &link->first;
	link->waiting = 0;
}

static void
tell_unreachable(Transport *self, const uint8_t *key)
{
	ContainFrame *frame;

	self->stats.unreachable++;
	if (self->config.unreachable == NULL)
		return;
	frame = contain_suspend();
	self->config.unreachable(self->config.context, key);
	contain_resume(frame);
}

static void
out_forget(Transport *self, Outbound *link, bool tell)
{
	uint8_t		key[CORE_KEY_BYTES];

	memcpy(key, link->key, sizeof key);
	out_close_socket(self, link, LINGER_MS);
	out_drop_waiting(link);
	account_release(link->account);
	memset(link, 0, sizeof *link);
	link->fd = -1;
	if (tell)
	{
		tell_unreachable(self, key);
	}
}

/* A DEALER to the address at hand. */
static bool
out_attempt(Transport *self, Outbound *link)
{
	const NetAddress *address = &link->addresses[link->at];
	static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
	char		ip[INET6_ADDRSTRLEN];
	char		endpoint[80];
	char		monitor[48];
	void	   *dealer;

	link->serial = ++self->serial;
	link->failed = false;
	link->fd = -1;
	link->stream = (Stream) {0};
	link->deadline_ms = self->now_ms + self->config.handshake_ms + ATTEMPT_SPARE_MS;
	link->tried++;
	if (memcmp(address->ip, v4_prefix, sizeof v4_prefix) == 0)
	{
		inet_ntop(AF_INET, address->ip + 12, ip, sizeof ip);
		snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", ip, address->port);
	}
	else
	{
		inet_ntop(AF_INET6, address->ip, ip, sizeof ip);
		snprintf(endpoint, sizeof endpoint, "tcp://[%s]:%u", ip, address->port);
	}
	snprintf(monitor, sizeof monitor, "inproc://dealer.monitor.%llu", (unsigned long long) link->serial);

	dealer = link->dealer.socket = zmq_socket(self->context, ZMQ_DEALER);
	if (dealer == NULL)
		return false;
	if (zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, link->key, CORE_KEY_BYTES) != 0 ||
		zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, self->config.curve_public, CORE_KEY_BYTES) != 0 ||
		zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, self->config.curve_secret, CORE_KEY_BYTES) != 0 ||
		!set_int(dealer, ZMQ_IPV6, 1) ||
		!set_int(dealer, ZMQ_IMMEDIATE, 1) ||
		!set_int(dealer, ZMQ_LINGER, LINGER_MS) ||
		zmq_setsockopt(dealer, ZMQ_MAXMSGSIZE, &(int64_t) {TRANSPORT_FRAME_MAX + 64}, sizeof(int64_t)) != 0 ||
		!set_int(dealer, ZMQ_RCVHWM, 0) ||
		!set_int(dealer, ZMQ_SNDHWM, 0) ||
		!set_int(dealer, ZMQ_RECONNECT_IVL, -1) ||
		!set_int(dealer, ZMQ_CONNECT_TIMEOUT, self->config.handshake_ms) ||
		!set_int(dealer, ZMQ_HANDSHAKE_IVL, self->config.handshake_ms) ||
		!set_int(dealer, ZMQ_HEARTBEAT_IVL, self->config.heartbeat_ms) ||
		!set_int(dealer, ZMQ_HEARTBEAT_TIMEOUT, self->config.heartbeat_timeout_ms) ||
		!set_int(dealer, ZMQ_HEARTBEAT_TTL, self->config.heartbeat_timeout_ms) ||
		PATIENT(zmq_socket_monitor(dealer, monitor, ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
								   ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
								   ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)) != 0)
		return false;
	link->monitor.socket = zmq_socket(self->context, ZMQ_PAIR);
	return link->monitor.socket != NULL && set_int(link->monitor.socket, ZMQ_LINGER, 0) &&
		PATIENT(zmq_connect(link->monitor.socket, monitor)) == 0 && port_add(self, &link->monitor) &&
		PATIENT(zmq_connect(dealer, endpoint)) == 0 && port_add(self, &link->dealer);
}

/* The attempt or the link has failed: the next address, a pause, or the end. */
static void
out_failed(Transport *self, Outbound *link)
{
	uint8_t		key[CORE_KEY_BYTES];

	if (!link->up)
		self->stats.outbound_failed++;
	else
	{
		link->tried = 0;
		link->at = -1;
		link->since_ms = self->now_ms;
	}
	out_close_socket(self, link, 0);
	if (link->tried < link->n_addresses)
	{
		link->at = (link->at + 1) % link->n_addresses;
		link->deadline_ms = self->now_ms + (link->tried == 0 ? RETRY_FIRST_MS : 0);
	}
	else if (pin_find(self, link->key) < 0)
		out_forget(self, link, true);
	else
	{
		out_drop_waiting(link);
		link->tried = 0;
		link->at = 0;
		link->deadline_ms = self->now_ms + link->retry_ms + (int64_t) randombytes_uniform((uint32_t) link->retry_ms / 4 + 1);
		link->retry_ms = link->retry_ms * 2 < RETRY_LAST_MS ? link->retry_ms * 2 : RETRY_LAST_MS;
		memcpy(key, link->key, sizeof key);
		tell_unreachable(self, key);
	}
}

/* Give libzmq what waits, as far as it takes it. */
static void
out_flush(Transport *self, Outbound *link)
{
	if (link->dealer.socket == NULL)
		return;
	while (link->up && link->first != NULL && (port_events(&link->dealer) & ZMQ_POLLOUT) != 0)
	{
		Frame	   *frame = link->first;
		size_t		len = frame->len;
		zmq_msg_t	msg;

		link->first = frame->next;
		if (link->first == NULL)
			link->last = &link->first;
		link->waiting--;
		if (zmq_msg_init_data(&msg, frame->data, len, frame_free, frame) != 0)
		{
			frame_free(NULL, frame);
			self->stats.dropped++;
		}
		else if (send_part(&msg, link->dealer.socket) < 0)
		{
			zmq_msg_close(&msg);
			self->stats.dropped++;
		}
		else
		{
			link->frames_out++;
			link->bytes_out += len;
			self->stats.frames_out++;
			self->stats.bytes_out += len;
		}
	}
	port_sent(self, &link->dealer);
}

static void
out_events(Transport *self, Outbound *link)
{
	uint16_t	event;
	uint32_t	value;

	while (monitor_event(&link->monitor, &event, &value))
		switch (event)
		{
			case ZMQ_EVENT_CONNECTED:
				link->fd = (int) value;
				break;
			case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
				link->up = true;
				link->retry_ms = RETRY_FIRST_MS;
				link->since_ms = self->now_ms;
				self->stats.outbound_made++;
				break;
			default:
				link->failed = true;
				link->fd = -1;
				break;
		}
}

/* Closed now, it would lose an answer that is on its way. */
static bool
out_awaits(const Transport *self, const Outbound *link)
{
	return link->frames_out > link->frames_in && self->now_ms - link->used_ms < ANSWER_MS;
}

/* Whom to give up for another: idle, unpinned, the least recently used. */
static Outbound *
out_slot(Transport *self)
{
	Outbound   *slot = NULL;
	Outbound   *idle = NULL;
	int			n = 0;

	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *link = &self->out[i];

		if (!link->used)
		{
			if (slot == NULL)
				slot = link;
			continue;
		}
		n++;
		if (queued(link->account) == 0 && link->up && !out_awaits(self, link) && pin_find(self, link->key) < 0 &&
			(idle == NULL || link->used_ms < idle->used_ms))
			idle = link;
	}
	if (n < self->config.max_links)
		return slot;
	if (idle == NULL)
		return NULL;
	self->stats.evicted++;
	out_forget(self, idle, false);
	return idle;
}

static bool
out_addresses(Outbound *link, const NetAddress *addresses, int n)
{
	NetAddress	usable[TRANSPORT_ADDRESSES];
	int			n_usable = 0;

	for (int i = 0; i < n && n_usable < TRANSPORT_ADDRESSES; i++)
		if (net_address_usable(&addresses[i]))
			usable[n_usable++] = addresses[i];
	if (n_usable == 0)
		return false;			/* those that it has stay */
	memcpy(link->addresses, usable, sizeof usable[0] * (size_t) n_usable);
	link->n_addresses = n_usable;
	return true;
}

/* ---- sending ---- */

static TransportSent
in_send(Transport *self, Inbound *link, const uint8_t *bytes, size_t len)
{
	Frame	   *frame;
	zmq_msg_t	msg;

	if (!has_room(link->account, len))
	{
		link->dropped++;
		self->stats.dropped++;
		return TRANSPORT_FULL;
	}
	frame = frame_new(link->account, bytes, len);
	if (frame == NULL)
		return TRANSPORT_NO_ROOM;
	if (zmq_msg_init_data(&msg, frame->data, len, frame_free, frame) != 0)
	{
		frame_free(NULL, frame);
		return TRANSPORT_NO_ROOM;
	}
	if (send_bytes(self->router.socket, link->routing_id, ROUTING_ID_BYTES, ZMQ_SNDMORE) < 0 ||
		send_part(&msg, self->router.socket) < 0)
	{
		bool		full = zmq_errno() == EAGAIN;

		zmq_msg_close(&msg);
		port_sent(self, &self->router);
		return full ? TRANSPORT_FULL : TRANSPORT_ERROR;
	}
	link->frames_out++;
	link->bytes_out += len;
	self->stats.frames_out++;
	self->stats.bytes_out += len;
	port_sent(self, &self->router);
	return TRANSPORT_SENT;
}

static TransportSent
out_send(Transport *self, Outbound *link, const uint8_t *bytes, size_t len)
{
	Frame	   *frame;

	if (!has_room(link->account, len) || (!link->up && link->waiting >= WAITING_FRAMES))
	{
		link->dropped++;
		self->stats.dropped++;
		return TRANSPORT_FULL;
	}
	frame = frame_new(link->account, bytes, len);
	if (frame == NULL)
		return TRANSPORT_NO_ROOM;
	*link->last = frame;
	link->last = &frame->next;
	link->waiting++;
	link->used_ms = self->now_ms;
	if (link->up)
		out_flush(self, link);
	return TRANSPORT_SENT;
}

static TransportSent
send_to_key(Transport *self, int64_t tick_ms, const uint8_t *curve_key,
			const NetAddress *addresses, int n, const uint8_t *frame, size_t len)
{
	Outbound   *link;
	Inbound    *other = NULL;

	self->now_ms = tick_ms;
	if (len > TRANSPORT_FRAME_MAX || memcmp(curve_key, self->config.curve_public, CORE_KEY_BYTES) == 0)
		return TRANSPORT_ERROR;
	link = out_find(self, curve_key);
	if (link != NULL)
	{
		NetAddress	now = link->addresses[link->at];

		if (!link->up && n > 0 && link->dealer.socket == NULL && out_addresses(link, addresses, n))
			link->at = link->tried = 0;
		else if (!link->up && n > 0 && out_addresses(link, addresses, n))
		{
			/* the one being tried stays what it is until it has failed */
			memmove(link->addresses + 1, link->addresses, sizeof now * (TRANSPORT_ADDRESSES - 1));
			link->addresses[0] = now;
			link->at = 0;
			link->tried = 1;
			link->n_addresses = link->n_addresses < TRANSPORT_ADDRESSES ? link->n_addresses + 1 : TRANSPORT_ADDRESSES;
		}
		return out_send(self, link, frame, len);
	}
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *at = &self->in[i];

		if (at->used && at->speaks && !at->cut && memcmp(at->key, curve_key, CORE_KEY_BYTES) == 0 &&
			(other == NULL || at->serial > other->serial))
			other = at;
	}
	if (n > 0)
	{
		Outbound	fresh = {.used = true, .fd = -1, .retry_ms = RETRY_FIRST_MS};
		uint8_t		shared[CORE_KEY_BYTES];

		/* with a key of low order everybody shares the same secret */
		if (crypto_scalarmult(shared, self->config.curve_secret, curve_key) != 0)
			return TRANSPORT_ERROR;
		sodium_memzero(shared, sizeof shared);
		if (!out_addresses(&fresh, addresses, n))
			return other != NULL ? in_send(self, other, frame, len) : TRANSPORT_ERROR;
		link = out_slot(self);
		if (link == NULL && other == NULL)
			return TRANSPORT_NO_ROOM;
		if (link != NULL)
		{
			fresh.account = account_new();
			if (fresh.account == NULL)
				return TRANSPORT_NO_ROOM;
			memcpy(fresh.key, curve_key, CORE_KEY_BYTES);
			fresh.since_ms = tick_ms;
			*link = fresh;
			link->last = &link->first;
			if (!out_attempt(self, link))
				link->failed = true;
			wake(self);
			return out_send(self, link, frame, len);
		}
	}
	return other != NULL ? in_send(self, other, frame, len) : TRANSPORT_ERROR;
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
	router_events(self, INT32_MAX);
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

/* ---- receiving ---- */

/* The rest of a message that is not what it should be; its bytes on the wire. */
static uint64_t
drain_message(zmq_msg_t *msg, void *socket)
{
	uint64_t	bytes = wire_bytes(zmq_msg_size(msg));

	while (zmq_msg_more(msg) && receive_part(msg, socket) >= 0)
		bytes += wire_bytes(zmq_msg_size(msg));
	return bytes;
}

static void
hand_over(TransportReceive receive, void *context, const uint8_t *key, TransportVia via, zmq_msg_t *msg)
{
	ContainFrame *frame = contain_suspend();

	receive(context, key, via, zmq_msg_data(msg), zmq_msg_size(msg));
	contain_resume(frame);
}

/* One message of the ROUTER; false when there is none. */
static bool
router_receive(Transport *self, TransportReceive receive, void *context)
{
	zmq_msg_t	id;
	zmq_msg_t	msg;
	uint8_t		key[CORE_KEY_BYTES];
	uint64_t	serial;
	Inbound    *link;
	TransportVia via = {0};

	zmq_msg_init(&id);
	if (receive_part(&id, self->router.socket) < 0)
	{
		zmq_msg_close(&id);
		return false;
	}
	zmq_msg_init(&msg);
	if (!zmq_msg_more(&id) || receive_part(&msg, self->router.socket) < 0 || zmq_msg_more(&msg) ||
		zmq_msg_size(&msg) > TRANSPORT_FRAME_MAX || !whose(&msg, key, &serial))
	{
		uint64_t	bytes;

		link = whose(&msg, key, &serial) ? in_of_frame(self, &msg, key, serial, &id) : NULL;
		bytes = drain_message(&msg, self->router.socket);
		if (link != NULL)
			link->stream.seen += bytes;
		self->stats.malformed++;
	}
	else
	{
		size_t		len = zmq_msg_size(&msg);

		link = in_of_frame(self, &msg, key, serial, &id);
		self->stats.frames_in++;
		self->stats.bytes_in += len;
		if (link != NULL)
		{
			link->heard_ms = self->now_ms;
			link->frames_in++;
			link->bytes_in += len;
			link->stream.seen += wire_bytes(len);
			via = in_via(self, link);
		}
		if (receive != NULL && (link == NULL || !link->cut))
			hand_over(receive, context, key, via, &msg);
	}
	zmq_msg_close(&msg);
	zmq_msg_close(&id);
	return true;
}

static bool
out_receive(Transport *self, Outbound *link, TransportReceive receive, void *context)
{
	zmq_msg_t	msg;
	uint8_t		key[CORE_KEY_BYTES];

	zmq_msg_init(&msg);
	if (receive_part(&msg, link->dealer.socket) < 0)
	{
		zmq_msg_close(&msg);
		return false;
	}
	if (zmq_msg_more(&msg) || zmq_msg_size(&msg) > TRANSPORT_FRAME_MAX)
	{
		self->stats.malformed++;
		link->stream.seen += drain_message(&msg, link->dealer.socket);
	}
	else
	{
		size_t		len = zmq_msg_size(&msg);

		link->stream.seen += wire_bytes(len);
		memcpy(key, link->key, sizeof key);
		link->heard_ms = link->used_ms = self->now_ms;
		link->frames_in++;
		link->bytes_in += len;
		self->stats.frames_in++;
		self->stats.bytes_in += len;
		if (receive != NULL)
			hand_over(receive, context, key, out_via(self, link), &msg);
	}
	zmq_msg_close(&msg);
	return true;
}

/* ---- the loop ---- */

static void
out_reset(Transport *self, Outbound *link)
{
	struct linger now = {1, 0};
	struct sockaddr_storage name;
	socklen_t	size = sizeof name;
	NetAddress	peer;

	self->stats.cut++;
	/* it is libzmq's, and may be something else by now */
	if (link->fd >= 0 && getpeername(link->fd, (struct sockaddr *) &name, &size) == 0 &&
		(peer = address_of(&name), net_address_equal(&peer, &link->addresses[link->at])))
		setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	out_failed(self, link);
}

/*
 * Its handshake is over, and we have said nothing yet, so that nobody but one who means
 * harm has said more: a long READY would be kept by libzmq as a long INITIATE is.
 */
static bool
out_handshake_is_short(Transport *self, Outbound *link)
{
	stream_look(&link->stream, link->fd, link->account, self->now_ms);
	return link->stream.received <= HANDSHAKE_BYTES;
}

static void
links_step(Transport *self)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *link = &self->out[i];

		if (!link->used)
			continue;
		if (link->monitor.socket != NULL && link->monitor.ready)
		{
			bool		was_up = link->up;

			link->monitor.ready = false;
			out_events(self, link);
			if (link->up && !was_up && !link->failed && !out_handshake_is_short(self, link))
			{
				out_reset(self, link);
				continue;
			}
		}
		/* what came before the end is read first */
		if (link->failed && link->up && (port_events(&link->dealer) & ZMQ_POLLIN) != 0)
		{
			link->dealer.ready = true;
			continue;
		}
		if (link->failed || (link->dealer.socket != NULL && !link->up && self->now_ms >= link->deadline_ms))
		{
			link->failed = false;
			out_failed(self, link);
		}
		if (!link->used)
			continue;
		if (link->dealer.socket == NULL && self->now_ms >= link->deadline_ms && !out_attempt(self, link))
			link->failed = true;
		if (link->up && link->first != NULL)
			out_flush(self, link);
	}
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
		Inbound    *link = &self->in[i];
		bool		fine;

		if (!link->used || link->cut)
			continue;
		fine = stream_look(&link->stream, link->fd, link->account, self->now_ms) &&
			link->stream.held <= HELD_BYTES &&
			!(in_shakes_hands(link) && link->stream.received > HANDSHAKE_BYTES) &&
			(link->speaks || self->now_ms - link->since_ms < SILENT_MS);
		if (!fine)
		{
			in_reset(self, link);
			continue;
		}
		all += link->stream.held;
		if (link->stream.held > largest)
		{
			largest = link->stream.held;
			largest_in = link;
		}
	}
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		Outbound   *link = &self->out[i];

		if (!link->used || !link->up || link->failed)
			continue;
		if (!stream_look(&link->stream, link->fd, link->account, self->now_ms) || link->stream.held > HELD_BYTES)
		{
			out_reset(self, link);
			continue;
		}
		all += link->stream.held;
		if (link->stream.held > largest)
		{
			largest = link->stream.held;
			largest_out = link;
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
			self->in[i].stream.taken_ms = 0;
		for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
			self->out[i].stream.taken_ms = 0;
	}
	self->sweep_ms = self->now_ms;
	self->router.ready = self->monitor.ready = self->zap.ready = true;
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		self->out[i].dealer.ready = self->out[i].monitor.ready = self->out[i].dealer.socket != NULL;
	look_at_streams(self);
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
		if (self->admitted[i].serial != 0 && self->now_ms - self->admitted[i].since_ms > 2 * SILENT_MS)
		{
			self->admitted[i].serial = 0;
			self->n_admitted--;
		}
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

static bool
poll_once(Transport *self, int64_t tick_ms, int slice, TransportReceive receive, void *context)
{
	struct epoll_event events[64];
	int			n;
	bool		more = false;
	bool		skip_router;
	int64_t		until_ms;

	self->now_ms = tick_ms;
	while ((n = epoll_wait(self->epoll, events, 64, 0)) > 0)
	{
		bool		news = false;

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
		if (n < 64 || !news)
			break;
	}
	if (tick_ms - self->sweep_ms >= SWEEP_MS || tick_ms < self->sweep_ms)
		sweep(self);

	if (self->monitor.ready)
	{
		port_events(&self->monitor);
		self->monitor.ready = router_events(self, 2000);
		more |= self->monitor.ready;
	}
	if (self->starving)
		listener_hang_up(self);
	if (self->zap.ready)
	{
		int			left = 64;

		port_events(&self->zap);
		while (left > 0 && zap_answer(self))
			left--;
		self->zap.ready = left == 0;
		more |= self->zap.ready;
		port_sent(self, &self->zap);
	}
	links_step(self);

	/*
	 * Turns: eight of the ROUTER, which takes turns itself, two of each DEALER.  Time
	 * counts, too, for a frame may cost a signature or a hundred.  So it may be up
	 * after any frame, and who had it does not come first again.
	 */
	until_ms = monotonic_ms() + TURN_MS;
	self->dealers_first = !self->dealers_first;
	skip_router = self->dealers_first;
	while (slice > 0)
	{
		bool		any = skip_router;
		int			first = self->turn;

		for (int i = 0; i < 8 && slice > 0 && self->router.ready && !skip_router; i++)
		{
			if (router_receive(self, receive, context))
			{
				any = true;
				slice = monotonic_ms() < until_ms ? slice - 1 : 0;
			}
			else if ((port_events(&self->router) & ZMQ_POLLIN) == 0)
				self->router.ready = false;
		}
		skip_router = false;
		for (int i = 0; i < TRANSPORT_LINKS_MAX && slice > 0; i++)
		{
			Outbound   *link = &self->out[(first + i) % TRANSPORT_LINKS_MAX];
			uint64_t	serial = link->serial;

			for (int j = 0; j < 2 && slice > 0 && link->used && link->serial == serial && link->dealer.ready &&
				 link->dealer.socket != NULL; j++)
			{
				if (out_receive(self, link, receive, context))
				{
					any = true;
					slice = monotonic_ms() < until_ms ? slice - 1 : 0;
					self->turn = (first + i + 1) % TRANSPORT_LINKS_MAX;
				}
				else if ((port_events(&link->dealer) & ZMQ_POLLIN) == 0)
					link->dealer.ready = false;
			}
		}
		if (!any)
			break;
	}
	more |= self->router.ready;
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		more |= self->out[i].used && self->out[i].dealer.ready;
	if (more)
		wake(self);
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

/* ---- who may, who stays ---- */

bool
transport_pin(Transport *self, const uint8_t curve_key[CORE_KEY_BYTES], bool pinned)
{
	int			at = pin_find(self, curve_key);

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
	router_events(self, INT32_MAX);
	for (int i = 0; i < self->in_top; i++)
	{
		Inbound    *link = &self->in[i];

		if (link->used && !link->cut && link->speaks && memcmp(link->key, curve_key, CORE_KEY_BYTES) == 0)
			in_cut(self, link);
	}
	/* One that has not spoken yet is not known by key: then all from there who have not. */
	for (int i = 0; i < ADMITTED_MAX && self->n_admitted > 0; i++)
	{
		Admitted   *slot = &self->admitted[i];

		if (slot->serial == 0 || memcmp(slot->key, curve_key, CORE_KEY_BYTES) != 0)
			continue;
		for (int j = 0; j < self->in_top; j++)
		{
			Inbound    *link = &self->in[j];

			if (link->used && !link->cut && !link->speaks && link->accepted < slot->order &&
				memcmp(link->address.ip, slot->ip, 16) == 0)
				in_cut(self, link);
		}
		slot->serial = 0;
		self->n_admitted--;
	}
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
	Outbound   *link;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return;
	link = out_find(self, curve_key);
	if (link != NULL)
		out_forget(self, link, false);
	contain_leave(&call);
}

/* ---- what there is ---- */

static void
out_info(const Transport *self, const Outbound *link, TransportLinkInfo *out)
{
	memset(out, 0, sizeof *out);
	memcpy(out->curve_key, link->key, CORE_KEY_BYTES);
	out->address = link->addresses[link->at > 0 ? link->at : 0];
	out->outbound = true;
	out->pinned = pin_find(self, link->key) >= 0;
	out->state = link->up ? TRANSPORT_UP : TRANSPORT_CONNECTING;
	out->since_ms = link->since_ms;
	out->heard_ms = link->heard_ms;
	out->frames_in = link->frames_in;
	out->frames_out = link->frames_out;
	out->bytes_in = link->bytes_in;
	out->bytes_out = link->bytes_out;
	out->dropped = link->dropped;
	out->queued_bytes = queued(link->account);
	out->held_bytes = link->stream.held;
}

static void
in_info(const Transport *self, const Inbound *link, TransportLinkInfo *out)
{
	memset(out, 0, sizeof *out);
	memcpy(out->curve_key, link->key, CORE_KEY_BYTES);
	out->address = link->address;
	out->pinned = pin_find(self, link->key) >= 0;
	out->state = TRANSPORT_UP;
	out->since_ms = link->since_ms;
	out->heard_ms = link->heard_ms;
	out->frames_in = link->frames_in;
	out->frames_out = link->frames_out;
	out->bytes_in = link->bytes_in;
	out->bytes_out = link->bytes_out;
	out->dropped = link->dropped;
	out->queued_bytes = queued(link->account);
	out->held_bytes = link->stream.held;
}

int
transport_links(const Transport *self, TransportLinkInfo *out, int room)
{
	int			n = 0;

	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->out[i].used && n++ < room)
			out_info(self, &self->out[i], &out[n - 1]);
	for (int i = 0; i < self->in_top; i++)
		if (self->in[i].used && self->in[i].speaks && !self->in[i].cut && n++ < room)
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
