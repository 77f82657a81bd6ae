/*
 * front.h
 *	  What the files of the HTTP front share: its state, and the life of a
 *	  connection and of a request.  Nobody else includes it.
 *
 *	  front.c			the process: loop, start, stop
 *	  listener.c		listening sockets, which follow the settings
 *	  hooks.c			what the HTTP library calls; what is answered without the database
 *	  bearer.c			who a request is, by its token
 *	  client.c			phases, deadlines and hanging up of connections; networks
 *	  request_queue.c	requests that wait for an executor
 *	  await.c			requests that wait for what was written on another node
 *	  dispatch.c		executors: requests to them, answers from them
 *	  reply.c			answers: made, sent, logged
 *	  buffered.c		memory of bodies and answers
 *	  linger.c			closed sockets whose client still sends
 *
 * A connection passes through these phases.  Each has one deadline, except
 * WAITING, which the statement_timeout of the request ends:
 *
 *	  NEW ──▶ HEADER ──▶ BODY ──▶ WAITING ──▶ SENDING ──▶ IDLE ──▶ HEADER ...
 *	           ▲           └────── answered without ──▲ │
 *	           └───────────────  the database  ─────────┘
 *
 * and a request through these states, ARRIVING ──▶ AWAITING ──▶ QUEUED ──▶ RUNNING ──▶
 * ANSWERED, of which it may skip any between the first and the last.  AWAITING has a
 * deadline of its own.
 *
 * All memory that belongs to clients comes from malloc(), and every caller handles
 * its failure: hooks of the library must not raise an error.
 */
#ifndef VECDB_HTTP_FRONT_H
#define VECDB_HTTP_FRONT_H

#include "pgcompat.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "http/metrics.h"
#include "http/guard.h"
#include "http/ipc.h"
#include "http/microhttpd.h"
#include "http/route.h"
#include "http/site.h"
#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "storage/latch.h"

/* How often the front looks at how much of its answer a client has taken. */
#define SAMPLE_MS				1000

/* The most parameters that a query may have. */
#define MAX_PARAMETERS			100

/* After an early answer, for how long the front reads what the client still sends. */
#define LINGER_MS				1000
#define MAX_LINGERING			64

typedef enum ServerKind
{
	SERVER_MAIN,
	SERVER_DRAINING,			/* the main one before a reload */
	SERVER_ADMIN,
	NSERVERS
} ServerKind;

typedef struct Server
{
	HttpServer *http;			/* NULL: none */
	ServerKind	kind;
	SurfacePort port;			/* whose surfaces it serves */
	int			fd;				/* the listening socket; the library's */
	int			connections;
	bool		to_run;			/* the library is to run, though no event has come */
	char	   *address;		/* what it was started with */
	int			tcp_port;
	size_t		pool_bytes;
	int			max_connections;
	int			max_per_address;
	dlist_head	clients;
} Server;

typedef struct Client Client;

/*
 * The clients of one address.  Of an IPv6 address the first 64 bits count, since
 * one client may have all the addresses that begin with them.  A network is made
 * with its first connection and freed with its last.
 */
typedef struct Network
{
	dlist_node	node;			/* in networks */
	uint64		address;
	int			connections;
	int			waiting;		/* requests that wait for an executor */
	int			awaiting;		/* requests that wait for a commit token */
	dlist_head	queue;			/* those, the longest waiting first */
	dlist_node	turn_node;		/* in turns, while any waits */
} Network;

typedef enum RequestState
{
	REQUEST_ARRIVING,
	REQUEST_AWAITING,
	REQUEST_QUEUED,
	REQUEST_RUNNING,
	REQUEST_ANSWERED			/* its answer is there, or being sent */
} RequestState;

/* One request, from its first line to the end of its answer. */
typedef struct Request
{
	uint64		id;
	dlist_node	node;			/* in awaiting, in its network's queue, or in admin_queue */
	Client	   *client;			/* NULL: gone */
	RequestState state;
	HttpMethod	method;
	Route		route;			/* until the headers are there, only the port's default surface */
	bool		metrics;		/* /metrics of the admin port */
	struct Await *await;		/* await.c's; NULL: it waits for no commit token */
	char	   *role;			/* of its token; NULL: it has none */
	bool		names_role;		/* the token itself names the role */
	char	   *claims;			/* of its token, JSON; in the memory of role */
	size_t		claims_len;
	int64		started_us;
	char	   *target;			/* path and query, of target_len bytes */
	size_t		target_len;
	char	   *headers;		/* name NUL value NUL ... */
	size_t		headers_len;
	char	   *body;
	size_t		body_len;
	size_t		body_size;
	size_t		body_expected;
	uint64		body_seen;

	/* the answer */
	int			status;
	char	   *answer_headers;
	size_t		answer_headers_len;
	char	   *site_headers;	/* what the browser is told besides; NULL: nothing */
	size_t		site_headers_len;
	char	   *answer;
	size_t		answer_len;
	bool		last;			/* close the connection after it */
	bool		raw;			/* it went out on the socket itself */
	size_t		counted;		/* bytes counted as buffered */
	int64		body_ms;		/* when the last of its body came */
} Request;

typedef enum ClientPhase
{
	CLIENT_NEW,					/* nothing came yet */
	CLIENT_IDLE,				/* between two requests */
	CLIENT_HEADER,
	CLIENT_BODY,
	CLIENT_WAITING,				/* for an executor */
	CLIENT_SENDING
} ClientPhase;

struct Client
{
	HttpConnection *conn;
	Server	   *server;
	int			fd;
	ClientPhase phase;
	bool		timed;			/* in the heap of deadlines */
	bool		watched;		/* in watch_fd */
	bool		gone;			/* it hung up, or we gave it up */
	bool		refused;		/* answered on the socket, before the body was through */
	bool		linger;
	int64		deadline_ms;
	pairingheap_node deadline_node;
	dlist_node	node;			/* in its server's list */
	dlist_node	phase_node;		/* in idle_clients or unwatched_clients */
	bool		to_watch;		/* in unwatched_clients */
	int64		waiting_since_ms;
	Request    *request;
	char		address[INET6_ADDRSTRLEN];
	Network    *network;

	/* what it takes of an answer */
	int64		since_ms;		/* the answer, or the body, began */
	uint64		taken;			/* bytes the connection had acknowledged when it was looked at */
	int64		sampled_ms;		/* and when that was */
	uint64		pace;			/* bytes it took between the last two looks */
	int64		slow_since_ms;	/* it has been below vecdb.http_min_rate since; 0: it is not */
	uint64		window_taken;	/* taken as it was when the present vecdb.http_body_timeout began */
	int64		window_ms;
};

/* What the front knows of an executor. */
typedef enum WorkerPhase
{
	WORKER_DOWN,
	WORKER_IDLE,
	WORKER_HEAD,				/* request's head is being sent */
	WORKER_BODY,				/* request's body is being sent */
	WORKER_ANSWER_HEAD,			/* the answer's head is awaited */
	WORKER_ANSWER_BODY
} WorkerPhase;

typedef struct Worker
{
	WorkerPhase phase;
	shm_mq_handle *out;
	shm_mq_handle *in;
	Request    *request;
	IpcRequest	head;			/* must stay in place while it is being sent */
	size_t		sent;
	IpcAnswer	answer;
	int64		give_up_ms;		/* when a cancelled request ends with its process; 0: it is not cancelled */
	char	   *headers;
	char	   *body;			/* NULL when the answer is thrown away */
	bool		no_room;		/* that is because vecdb.http_max_buffered is reached */
	size_t		got;
} Worker;

/* A socket whose connection the library closed while its client was sending. */
typedef struct Lingering
{
	int			fd;				/* -1: free */
	int64		deadline_ms;
} Lingering;

/* The front's state: one process, one front. */
typedef struct Front
{
	IpcShared  *shared;
	int64		now_ms;			/* monotonic; of this turn of the loop */
	int64		stop_ms;		/* when to stop at the latest; 0: not stopping */
	bool		cancelled_running;	/* stopping: what runs has been told to end */
	MetricsCounters counters;

	struct Bearer *bearer;		/* bearer.c's: keys of tokens */
	Server		servers[NSERVERS];
	int64		listen_retry_ms;	/* 0: nothing to try again */

	dlist_head	networks;
	dlist_head	idle_clients;	/* the longest idle first */
	dlist_head	unwatched_clients;	/* that wait, the longest waiting first */
	pairingheap *deadlines;
	int			watch_fd;		/* epoll: clients that wait, sockets that linger */
	Lingering	lingering[MAX_LINGERING];
	int			nlingering;
	uint64		last_request_id;

	dlist_head	awaiting;		/* requests that wait for a commit token */
	int			nawaiting;
	dlist_head	turns;			/* networks with requests that wait, whose turn is next first */
	dlist_head	admin_queue;	/* /metrics waits for nobody's turn */

	Worker	   *workers;		/* nworkers of them */
	bool	   *worker_busy;
	int			nworkers;

	char	   *collections_text;	/* of /metrics, the last there was */
	size_t		collections_text_len;

	WaitEventSet *wait_set;
	bool		wait_set_stale;
} Front;

extern Front front;
extern const HttpHooks front_hooks;

extern int64 FrontMonotonicUs(void);

/* ---- client.c ---- */

extern void ClientsInit(void);

/* Begin a phase that ends after so long; -1: it has no deadline. */
extern void ClientEnter(Client *c, ClientPhase phase, int64 timeout_ms);
extern void ClientClearDeadline(Client *c);

/* All bytes that the other side of a connection has acknowledged; where the kernel does not tell, c->taken. */
extern uint64 ClientBytesTaken(const Client *c);

/* Notice, from WATCH_AFTER_MS on, when a client that waits hangs up. */
extern void ClientWatchSoon(Client *c);
extern void ClientsWatchDue(void);
extern void ClientsWatchEvents(void);
extern void ClientUnwatch(Client *c);

/* Let the library go on with a client that waited. */
extern void ClientResume(Client *c);

/* The client of a request that waits or runs has gone away: take it off the queue, or cancel its query. */
extern void ClientAbandon(Client *c);

/* All places are taken: close a connection, so that a new one has a place. */
extern void ClientMakePlace(Server *server);

/* End the phases whose deadline has passed; when the next one is, -1: never. */
extern void ClientsExpire(void);
extern int64 ClientsDeadline(void);

/* The network of an address, counted as one connection more; NULL: no memory. */
extern Network *NetworkJoin(uint64 address);
extern void NetworkLeave(Network *network);

/* ---- request_queue.c ---- */

extern void QueueInit(void);

/* Have a request wait for an executor; false: it is answered instead. */
extern bool QueueEnter(Request *r);
extern void QueueLeave(Request *r);

/* The request whose turn it is, no longer in the queue; NULL when none waits. */
extern Request *QueueNext(void);

/* The network that loses a place of the full queue to one more request of the network asks; NULL: none does. */
extern Network *QueueFindPlace(const Network *asks);
extern void QueueRefuse(Request *r);

/* ---- await.c ---- */

extern void AwaitInit(void);

/* Look whether a request is to wait for a commit token; it may be answered by that. */
extern void AwaitHeaders(Request *r, const GuardRequest *request);

/* Have it wait; false: it is answered instead. */
extern bool AwaitEnter(Request *r);
extern void AwaitLeave(Request *r);

/* After so long, in milliseconds, it ends in any case; its time is over. */
extern int64 AwaitTimeout(const Request *r);
extern void AwaitExpire(Request *r);

/* Let those go on for whom all is here. */
extern void AwaitTurn(void);

/* Answer one, so that its body makes room for another's. */
extern void AwaitMakeRoom(Request *r);

/* The front stops: answer them. */
extern void AwaitStop(void);

/* The process ends: give the places back. */
extern void AwaitLetGo(void);

/* ---- bearer.c ---- */

/* Read the keys of tokens; again when the settings may have changed. */
extern void BearerInit(void);
extern void BearerReload(void);

/* Whether tokens are verified. */
extern bool BearerIsOn(void);

/* Find out who a request is: role and claims of its token.  False: it is answered instead. */
extern bool BearerHeaders(Request *r, const GuardRequest *request);

/* ---- dispatch.c ---- */

extern void WorkersInit(void);

/* However the front ends, so do the executors that run a request. */
extern void WorkersLeave(void);

/* Is an executor connected to the database?  Could one not connect the last time? */
extern bool WorkersAnyUp(void);
extern bool WorkersAnyFailing(void);

/* Give queues to executors that want them. */
extern void WorkersServeSlots(void);

/* Move what can be moved to and from executors; end those that do not end themselves. */
extern void WorkersTurn(void);

/* When WorkersTurn() has something to do without an event; -1: never. */
extern int64 WorkersDeadline(void);

/* Hand waiting requests to idle executors. */
extern void WorkersDispatch(void);

/* Executors that try to connect do it at once. */
extern void WorkersNudge(void);

/* Cancel the statement of a request that runs; of all. */
extern void WorkersCancel(const Request *r);
extern void WorkersCancelAll(void);

/* A request is done: its client, if still there, takes the answer. */
extern void RequestDeliver(Request *r);

/* ---- reply.c ---- */

/* Headers are pairs ended by NULL.  False where there is no memory. */
extern bool ReplyHeaders(Request *r, const char *const *pairs);
extern bool ReplySiteHeaders(Request *r, const SiteResult *site);

/* Make the answer; code NULL: PTnnn of the status. */
extern void ReplyError(Request *r, int status, const char *code, const char *message, const char *hint);
extern void ReplyNoExecutor(Request *r, const char *code);
extern void ReplyNoMemory(Request *r);
extern void ReplyStopping(Request *r);
extern void ReplyText(Request *r, int status, const char *type, const char *text);
extern void ReplyMetrics(Request *r);

/* Hand the answer to the library, within a hook. */
extern HttpVerdict ReplySend(Client *c);
extern void ReplyRaw(Client *c, int status, const char *reason, const char *message, const char *hint);

/* One line in the log for each request that is done. */
extern void ReplyLog(Client *c, Request *r, bool sent);

/* ---- buffered.c ---- */

/* Count memory for a request's body or answer; false when there is none left. */
extern bool RequestCountBytes(Request *r, size_t bytes);
extern bool RequestKeepBody(Request *r, const char *data, size_t len);
extern void RequestDropBody(Request *r);
extern void RequestFree(Request *r);

/* ---- linger.c ---- */

extern void LingerInit(void);
extern void LingerBegin(int fd);

/* If the event of epoll is for a lingering socket, read what came and return true. */
extern bool LingerEvent(void *what);
extern void LingerExpire(void);

/* The next deadline; -1: there is none. */
extern int64 LingerDeadline(void);

/* ---- listener.c ---- */

/* Listen where the settings tell, and stop listening elsewhere. */
extern void ListenersAdjust(void);
extern void ListenerStop(Server *s);

#endif							/* VECDB_HTTP_FRONT_H */
