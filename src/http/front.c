/*
 * front.c
 *	  The HTTP front: the process that holds the sockets.
 *
 * It owns connections, deadlines, limits and the queue, and never touches the
 * database.  Requests that need it go to executors through shared memory (see
 * ipc.h).  One loop waits for the latch, for libmicrohttpd's epoll descriptor
 * and for one of our own, which tells of clients that hang up while they wait.
 *
 * What clients cause must neither end this process nor make it grow without
 * bound.  Hooks of the HTTP library must not raise errors, so all that belongs
 * to clients is malloc'ed, checked, and counted against vecdb.http_max_buffered.
 */
#include "pgcompat.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "guc.h"
#include "http/admin.h"
#include "http/answer.h"
#include "http/guard.h"
#include "http/ipc.h"
#include "http/microhttpd.h"
#include "http/route.h"
#include "http/site.h"
#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

PGDLLEXPORT void VecdbHttpFrontMain(Datum arg);

/* How long /metrics waits for the part about collections. */
#define METRICS_WAIT_MS			1000

/* A listening socket that could not be had is tried again after so long. */
#define LISTEN_RETRY_MS			2000

/*
 * A client is watched for hanging up once its request has run so long: the
 * common request is done before, and two system calls are saved.
 */
#define WATCH_AFTER_MS			5

/* At shutdown, the time that cancelled requests have to say so. */
#define STOP_CANCEL_MS			1000

/* How often it is looked at what a client takes of its answer. */
#define SAMPLE_MS				1000

/*
 * Where memory for bodies is short, a client makes room no sooner than after so
 * long, and for others of its own address only when it has been slow all the while.
 */
#define GRACE_MS				2000

/* A body of this size at most always has room: there is one for each connection. */
#define SMALL_BODY				65536

/* Parameters of a query. */
#define MAX_PARAMETERS			100

/* What the library keeps of a header or a parameter beside its text, at most. */
#define ITEM_BYTES				64

/* After an early answer what the client still sends is read so long. */
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
	int			fd;				/* the listening socket; the library's */
	int			connections;
	bool		to_run;			/* it has something to do without an event */
	char	   *address;		/* what it was started with */
	int			port;
	size_t		pool_bytes;
	int			max_connections;
	int			max_per_address;
	dlist_head	clients;
} Server;

typedef struct Client Client;

/*
 * What the clients of an address share: of IPv6 the first half of it, which is
 * what one client can be sure to have.  It is there as long as they are.
 */
typedef struct Network
{
	dlist_node	node;			/* in networks */
	uint64		address;
	int			connections;
	int			waiting;		/* requests that wait for an executor */
	dlist_head	queue;			/* those, the longest waiting first */
	dlist_node	turn_node;		/* in turns, while any waits */
} Network;

typedef enum RequestState
{
	REQUEST_ARRIVING,
	REQUEST_QUEUED,
	REQUEST_RUNNING,
	REQUEST_ANSWERED			/* its answer is there, or being sent */
} RequestState;

/* One request, from its first line to the end of its answer. */
typedef struct Request
{
	uint64		id;
	dlist_node	node;			/* in its network's queue, or in admin_queue */
	Client	   *client;			/* NULL: gone */
	RequestState state;
	HttpMethod	method;
	RouteId		route;
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
	int64		give_up_ms;		/* its request was cancelled, and has until then; 0: it was not */
	char	   *headers;
	char	   *body;			/* NULL when the answer is thrown away */
	bool		no_room;		/* for want of room */
	size_t		got;
} Worker;

/* A socket whose connection the library closed while its client was sending. */
typedef struct Lingering
{
	int			fd;				/* -1: free */
	int64		deadline_ms;
} Lingering;

static IpcShared *shared;
static Server servers[NSERVERS];
static Worker *workers;
static bool *worker_busy;
static int	nworkers;
static dlist_head networks;
static dlist_head turns;		/* networks with requests that wait, whose turn is next first */
static dlist_head admin_queue;	/* /metrics waits for nobody's turn */
static dlist_head idle_clients;	/* the longest idle first */
static dlist_head unwatched_clients;	/* that wait, the longest waiting first */
static pairingheap *deadlines;
static Lingering lingering[MAX_LINGERING];
static int	nlingering;
static int	watch_fd = -1;
static WaitEventSet *wait_set;
static bool wait_set_stale = true;
static AdminCounters counters;
static uint64 last_request_id;
static int64 now_ms;
static int64 listen_retry_ms;
static int64 stop_ms;			/* when to stop at the latest; 0: not stopping */
static bool cancelled_running;
static char *collections_text;	/* of /metrics, the last there was */
static size_t collections_text_len;

/* ---------------------------------------------------------------------------
 * Time
 */

static int64
monotonic_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int
compare_deadlines(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	int64		x = pairingheap_const_container(Client, deadline_node, a)->deadline_ms;
	int64		y = pairingheap_const_container(Client, deadline_node, b)->deadline_ms;

	/* The heap keeps its greatest on top, which is to be the earliest. */
	return x < y ? 1 : x > y ? -1 : 0;
}

static void
clear_deadline(Client *c)
{
	if (c->timed)
		pairingheap_remove(deadlines, &c->deadline_node);
	c->timed = false;
}

static void
enter_phase(Client *c, ClientPhase phase, int64 timeout_ms)
{
	clear_deadline(c);
	if (c->phase == CLIENT_IDLE)
		dlist_delete(&c->phase_node);
	c->phase = phase;
	if (phase == CLIENT_IDLE)
		dlist_push_tail(&idle_clients, &c->phase_node);
	if (timeout_ms >= 0)
	{
		c->deadline_ms = now_ms + timeout_ms;
		pairingheap_add(deadlines, &c->deadline_node);
		c->timed = true;
	}
}

/* ---------------------------------------------------------------------------
 * Memory of bodies
 */

/* Bytes that the other side of a connection has acknowledged in all; what was known where that cannot be told. */
static uint64
bytes_taken(const Client *c)
{
	struct tcp_info info;
	socklen_t	len = sizeof(info);

	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
		len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
		return c->taken;
	return info.tcpi_bytes_acked;
}

static void
drop_body(Request *r)
{
	free(r->body);
	counters.buffered -= r->body_size;
	r->counted -= r->body_size;
	r->body = NULL;
	r->body_size = r->body_len = 0;
}

/* Cut a client off whose body or answer takes memory that others need. */
static void
make_room_of(Client *c)
{
	Request    *r = c->request;

	counters.rejected[ADMIN_REJECT_MEMORY]++;
	drop_body(r);

	/* The library frees the answer in its next run. */
	counters.buffered -= r->counted;
	r->counted = 0;
	clear_deadline(c);
	c->gone = true;
	shutdown(c->fd, SHUT_RDWR);
}

/* Its body or answer is in memory for want of its own speed. */
static bool
may_make_room(const Client *c)
{
	return !c->gone && !c->refused && c->request && c->request->counted > 0 &&
		(c->phase == CLIENT_SENDING || c->phase == CLIENT_BODY) && now_ms - c->since_ms >= GRACE_MS;
}

static bool
is_slow(const Client *c)
{
	if (c->phase == CLIENT_BODY)
		return now_ms - c->request->body_ms >= GRACE_MS;
	return c->slow_since_ms != 0 && now_ms - c->slow_since_ms >= GRACE_MS;
}

/* Bytes that clients of a network hold, and which of them is to make room for one of another. */
typedef struct Holder
{
	const Network *network;
	size_t		held;
	Client	   *slowest;
} Holder;

static bool
slower(const Client *a, const Client *b)
{
	if (is_slow(a) != is_slow(b))
		return is_slow(a);
	return a->pace != b->pace ? a->pace < b->pace : a->since_ms < b->since_ms;
}

/*
 * The client whose memory another one shall have, or NULL.  It is one of the
 * network that holds most; where that is the network of who asks, one that is
 * slow.  So whoever does not take what it asked for costs its own address.
 */
static Client *
find_room(const Client *asks)
{
	Holder		holders[64];
	int			n = 0;
	int			most = -1;

	for (int i = 0; i < NSERVERS; i++)
	{
		dlist_iter	iter;

		if (!servers[i].http)
			continue;
		dlist_foreach(iter, &servers[i].clients)
		{
			Client	   *c = dlist_container(Client, node, iter.cur);
			int			h = 0;

			if (!c->request || c->request->counted == 0)
				continue;
			while (h < n && holders[h].network != c->network)
				h++;
			if (h == lengthof(holders))
				continue;		/* that many share the memory already */
			if (h == n)
				holders[n++] = (Holder) {.network = c->network};
			holders[h].held += c->request->counted;
			if (c != asks && may_make_room(c) && (!holders[h].slowest || slower(c, holders[h].slowest)))
				holders[h].slowest = c;
		}
	}
	for (int h = 0; h < n; h++)
	{
		if (most < 0 || holders[h].held > holders[most].held)
			most = h;
	}
	if (most < 0 || !holders[most].slowest)
		return NULL;
	if (holders[most].network == asks->network && !is_slow(holders[most].slowest))
		return NULL;
	return holders[most].slowest;
}

/* Count memory for a request's body or answer; false when there is none left. */
static bool
count_buffered(Request *r, size_t bytes)
{
	Size		limit = (Size) VecdbHttpMaxBuffered_kb * 1024;

	while (r->counted + bytes > SMALL_BODY && counters.buffered + bytes > limit)
	{
		Client	   *c = bytes <= limit ? find_room(r->client) : NULL;

		if (!c)
			return false;
		make_room_of(c);
	}
	counters.buffered += bytes;
	r->counted += bytes;
	return true;
}

static bool
keep_body(Request *r, const char *data, size_t len)
{
	if (r->body_len + len > r->body_size)
	{
		size_t		size = Max(r->body_size * 2, (size_t) 4096);
		char	   *body;

		if (r->body_expected > 0)
			size = Min(size, r->body_expected);
		size = Max(size, r->body_len + len);
		if (!count_buffered(r, size - r->body_size))
			return false;
		body = realloc(r->body, size);
		if (!body)
			return false;
		r->body = body;
		r->body_size = size;
	}
	memcpy(r->body + r->body_len, data, len);
	r->body_len += len;
	return true;
}

static void
free_request(Request *r)
{
	counters.buffered -= r->counted;
	free(r->target);
	free(r->headers);
	free(r->body);
	free(r->answer_headers);
	free(r->site_headers);
	free(r->answer);
	free(r);
}

/* ---------------------------------------------------------------------------
 * Answers
 */

/* name NUL value NUL ..., from pairs ended by NULL; malloc'ed, NULL when there is no memory. */
static char *
join_headers(const char *const *pairs, size_t *len)
{
	size_t		size = 0;
	char	   *joined,
			   *out;

	for (int i = 0; pairs[i]; i++)
		size += strlen(pairs[i]) + 1;
	joined = out = malloc(size + 1);
	*len = out ? size : 0;
	for (int i = 0; out && pairs[i]; i++)
	{
		strcpy(out, pairs[i]);
		out += strlen(pairs[i]) + 1;
	}
	return joined;
}

static bool
set_headers(Request *r, const char *const *pairs)
{
	free(r->answer_headers);
	r->answer_headers = join_headers(pairs, &r->answer_headers_len);
	return r->answer_headers != NULL;
}

/* What the browser is told goes behind the answer's own headers; false: no memory. */
static bool
append_site_headers(Request *r)
{
	char	   *all;

	if (!r->site_headers)
		return true;
	all = realloc(r->answer_headers, r->answer_headers_len + r->site_headers_len + 1);
	if (!all)
		return false;
	memcpy(all + r->answer_headers_len, r->site_headers, r->site_headers_len);
	r->answer_headers = all;
	r->answer_headers_len += r->site_headers_len;
	return true;
}

static void
set_error(Request *r, int status, const char *code, const char *message, const char *hint)
{
	char		pt[8];
	const char *pairs[7] = {"Content-Type", ANSWER_JSON};
	int			n = 2;

	snprintf(pt, sizeof(pt), "PT%03d", status);
	free(r->answer);
	r->status = status;
	r->answer = answer_error(code ? code : pt, message, NULL, hint, &r->answer_len);
	if (status == 405)
	{
		pairs[n++] = "Allow";
		pairs[n++] = route_allow(r->route);
	}
	if (status == 503)
	{
		pairs[n++] = "Retry-After";
		pairs[n++] = "1";
	}
	set_headers(r, pairs);
	r->state = REQUEST_ANSWERED;
}

static void
set_text(Request *r, int status, const char *type, const char *text)
{
	r->status = status;
	r->answer = strdup(text);
	r->answer_len = r->answer ? strlen(text) : 0;
	set_headers(r, (const char *const[]) {"Content-Type", type, NULL});
	r->state = REQUEST_ANSWERED;
}

/* Hand the answer to the library, within a hook. */
static HttpVerdict
reply(Client *c)
{
	Request    *r = c->request;
	char	   *body = r->answer;

	if (!append_site_headers(r))
		return HTTP_CLOSE;
	r->answer = NULL;
	if (stop_ms != 0 || c->server->kind == SERVER_DRAINING)
		r->last = true;
	c->since_ms = c->sampled_ms = c->window_ms = now_ms;
	c->taken = c->window_taken = bytes_taken(c);
	c->slow_since_ms = 0;
	c->pace = UINT64_MAX;
	enter_phase(c, CLIENT_SENDING, Min(SAMPLE_MS, VecdbHttpBodyTimeout_ms));
	if (!http_reply(c->conn, r->status, r->answer_headers, r->answer_headers_len, body, r->answer_len, r->last))
		return HTTP_CLOSE;
	return HTTP_REPLIED;
}

/*
 * Answer on the socket itself and close: where the library cannot take an
 * answer because the request is not complete.
 */
static void
answer_raw(Client *c, int status, const char *reason, const char *message, const char *hint)
{
	char		code[8];
	char		head[256];
	size_t		len;
	char	   *body;

	snprintf(code, sizeof(code), "PT%03d", status);
	body = answer_error(code, message, NULL, hint, &len);
	if (body)
	{
		snprintf(head, sizeof(head),
				 "HTTP/1.1 %d %s\r\nContent-Type: " ANSWER_JSON "\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
				 status, reason, len);
		/* A client that does not take these few bytes gets none. */
		if (send(c->fd, head, strlen(head), MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE) == (ssize_t) strlen(head))
		{
			if (send(c->fd, body, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
				ereport(DEBUG1, (errmsg_internal("could not answer an HTTP client: %m")));
		}
		free(body);
	}
	if (c->request)
	{
		c->request->status = status;
		c->request->raw = true;
	}
}

/* One line in the log for each request that is done. */
static void
log_request(Client *c, Request *r, bool sent)
{
	int64		us = monotonic_us() - r->started_us;
	int			status = sent || r->raw ? r->status : 499;
	char		target[512];
	size_t		n = Min(r->target_len, sizeof(target) - 1);

	if (c->server->kind == SERVER_ADMIN)
		return;
	AdminCountRequest(&counters, status, us / 1e6);
	if (VecdbHttpAccessLogs == HTTP_ACCESS_LOG_OFF ||
		(VecdbHttpAccessLogs == HTTP_ACCESS_LOG_ERRORS && status < 400))
		return;
	for (size_t i = 0; i < n; i++)
		target[i] = r->target[i] > ' ' && r->target[i] < 0x7F ? r->target[i] : '?';
	target[n] = '\0';
	ereport(LOG,
			(errmsg_internal("http: %s %s %s %d %zu bytes %.3f ms role=%s", c->address,
							 guard_method_name(r->method), target, status, r->answer_len, us / 1000.0,
							 VecdbHttpAnonRole[0] != '\0' ? VecdbHttpAnonRole : "-"),
			 errhidestmt(true), errhidecontext(true)));
}

/* ---------------------------------------------------------------------------
 * Clients that hang up while they wait
 */

static void
watch(Client *c)
{
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT,.data.ptr = c};

	if (!c->watched && epoll_ctl(watch_fd, EPOLL_CTL_ADD, c->fd, &event) == 0)
		c->watched = true;
}

static void
watch_soon(Client *c)
{
	c->waiting_since_ms = now_ms;
	c->to_watch = true;
	dlist_push_tail(&unwatched_clients, &c->phase_node);
}

static void
watch_due(void)
{
	while (!dlist_is_empty(&unwatched_clients))
	{
		Client	   *c = dlist_container(Client, phase_node, dlist_head_node(&unwatched_clients));

		if (now_ms - c->waiting_since_ms < WATCH_AFTER_MS)
			break;
		dlist_delete(&c->phase_node);
		c->to_watch = false;
		watch(c);
	}
}

static void
unwatch(Client *c)
{
	if (c->to_watch)
		dlist_delete(&c->phase_node);
	c->to_watch = false;
	if (c->watched)
		epoll_ctl(watch_fd, EPOLL_CTL_DEL, c->fd, NULL);
	c->watched = false;
}

/* Let the library go on with a client that waited. */
static void
resume(Client *c)
{
	unwatch(c);
	clear_deadline(c);
	c->server->to_run = true;
	http_resume(c->conn);
}

/*
 * The executor gets a signal of ours, with the request's number beside it: if
 * it has gone on to another request by then, it takes no notice.
 */
static void
cancel(int worker)
{
	IpcSlot    *slot = &shared->slots[worker];

	LWLockAcquire(&shared->lock, LW_SHARED);
	if (slot->pid != 0)
	{
		pg_atomic_write_u64(&slot->cancel_id, workers[worker].request->id);
		kill(slot->pid, SIGUSR2);
	}
	LWLockRelease(&shared->lock);
	if (workers[worker].give_up_ms == 0)
		workers[worker].give_up_ms = now_ms + IPC_CANCEL_MS;
}

/* SQL can catch that it was cancelled and go on; the end of its process it cannot. */
static void
terminate(int worker)
{
	IpcSlot    *slot = &shared->slots[worker];

	LWLockAcquire(&shared->lock, LW_SHARED);
	if (slot->pid != 0)
		kill(slot->pid, SIGTERM);
	LWLockRelease(&shared->lock);
}

static void
end_stubborn(void)
{
	for (int i = 0; i < nworkers; i++)
	{
		Worker	   *w = &workers[i];

		if (!w->request || w->give_up_ms == 0 || now_ms < w->give_up_ms)
			continue;
		terminate(i);
		w->give_up_ms = now_ms + IPC_CANCEL_MS;
	}
}

/* ---------------------------------------------------------------------------
 * The queue
 */

/*
 * The network that gives up a place of a full queue to one more request of
 * another: that with most, if it keeps no fewer than the other then has; or NULL.
 */
static Network *
find_place(const Network *asks)
{
	Network    *most = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &turns)
	{
		Network    *network = dlist_container(Network, turn_node, iter.cur);

		if (!most || network->waiting > most->waiting)
			most = network;
	}
	return most && most->waiting > asks->waiting + 1 ? most : NULL;
}

static void
leave_queue(Request *r)
{
	Network    *network = r->client->network;

	dlist_delete(&r->node);
	counters.queued--;
	if (r->route != ROUTE_METRICS && --network->waiting == 0)
		dlist_delete(&network->turn_node);
}

/* The request whose turn it is, no longer in the queue; NULL when none waits. */
static Request *
next_request(void)
{
	dlist_head *from = &admin_queue;
	Request    *r;

	if (dlist_is_empty(from))
	{
		Network    *network;

		if (dlist_is_empty(&turns))
			return NULL;
		network = dlist_container(Network, turn_node, dlist_pop_head_node(&turns));
		dlist_push_tail(&turns, &network->turn_node);
		from = &network->queue;
	}
	r = dlist_container(Request, node, dlist_head_node(from));
	leave_queue(r);
	return r;
}

static void deliver(Request *r);

static void
refuse_for_queue(Request *r)
{
	counters.rejected[ADMIN_REJECT_QUEUE]++;
	set_error(r, 503, "53400", "too many requests are waiting", "The limit is the setting vecdb.http_max_queue.");
}

/* Have a request wait for an executor; false: it is answered instead. */
static bool
enter_queue(Request *r)
{
	Network    *network = r->client->network;

	if (r->route == ROUTE_METRICS)
		dlist_push_tail(&admin_queue, &r->node);
	else
	{
		if (counters.queued >= VecdbHttpMaxQueue)
		{
			Network    *most = find_place(network);
			Request    *last;

			if (!most)
			{
				refuse_for_queue(r);
				return false;
			}
			last = dlist_container(Request, node, dlist_tail_node(&most->queue));
			leave_queue(last);
			refuse_for_queue(last);
			deliver(last);
		}
		if (network->waiting++ == 0)
			dlist_push_tail(&turns, &network->turn_node);
		dlist_push_tail(&network->queue, &r->node);
	}
	r->state = REQUEST_QUEUED;
	counters.queued++;
	return true;
}

/* The client of a waiting request is gone: so is the reason to go on with it. */
static void
abandon(Client *c)
{
	Request    *r = c->request;

	c->gone = true;
	if (r && r->state == REQUEST_QUEUED)
	{
		leave_queue(r);
		r->state = REQUEST_ANSWERED;
	}
	else if (r && r->state == REQUEST_RUNNING)
	{
		for (int i = 0; i < nworkers; i++)
		{
			if (workers[i].request == r)
			{
				counters.cancelled++;
				cancel(i);
			}
		}
	}
	resume(c);
}

/* ---------------------------------------------------------------------------
 * Lingering sockets
 *
 * To close a socket with unread bytes resets the connection, and the client
 * may then never see why it was refused.  A second descriptor keeps the socket
 * open for a moment while those bytes are read and thrown away.
 */

static void
linger(int fd)
{
	for (int i = 0; i < MAX_LINGERING; i++)
	{
		Lingering  *l = &lingering[i];
		struct epoll_event event = {.events = EPOLLIN,.data.ptr = l};

		if (l->fd >= 0)
			continue;
		l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (l->fd < 0)
			return;
		shutdown(l->fd, SHUT_WR);
		l->deadline_ms = now_ms + LINGER_MS;
		if (epoll_ctl(watch_fd, EPOLL_CTL_ADD, l->fd, &event) != 0)
		{
			close(l->fd);
			l->fd = -1;
			return;
		}
		nlingering++;
		return;
	}
}

static void
end_linger(Lingering *l)
{
	epoll_ctl(watch_fd, EPOLL_CTL_DEL, l->fd, NULL);
	close(l->fd);
	l->fd = -1;
	nlingering--;
}

static void
linger_event(Lingering *l)
{
	static char rest[65536];
	ssize_t		n = recv(l->fd, rest, sizeof(rest), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		end_linger(l);
}

static void
watch_events(void)
{
	struct epoll_event events[64];
	int			n = epoll_wait(watch_fd, events, lengthof(events), 0);

	for (int i = 0; i < n; i++)
	{
		void	   *what = events[i].data.ptr;

		if (what >= (void *) lingering && what < (void *) (lingering + MAX_LINGERING))
			linger_event(what);
		else
		{
			Client	   *c = what;

			if (c->phase == CLIENT_WAITING && !c->gone)
				abandon(c);
		}
	}
}

/* ---------------------------------------------------------------------------
 * Hooks of the HTTP library
 */

/* The network of an address, counted as one connection more; NULL: no memory. */
static Network *
join_network(uint64 address)
{
	Network    *network;
	dlist_iter	iter;

	dlist_foreach(iter, &networks)
	{
		network = dlist_container(Network, node, iter.cur);
		if (network->address == address)
		{
			network->connections++;
			return network;
		}
	}
	network = calloc(1, sizeof(*network));
	if (!network)
		return NULL;
	network->address = address;
	network->connections = 1;
	dlist_init(&network->queue);
	dlist_push_head(&networks, &network->node);
	return network;
}

static void
leave_network(Network *network)
{
	if (--network->connections > 0)
		return;
	dlist_delete(&network->node);
	free(network);
}

/*
 * Close a connection, since there is no place left: the one idle for longest.
 * Where none is idle, one of the network that has most, which of its own has
 * sent least of a request, or takes its answer, for longest.
 */
static void
make_place(Server *server)
{
	Network    *most = NULL;
	Client	   *loser = NULL;
	dlist_iter	iter;

	if (!dlist_is_empty(&idle_clients))
		loser = dlist_container(Client, phase_node, dlist_head_node(&idle_clients));
	else
	{
		dlist_foreach(iter, &networks)
		{
			Network    *network = dlist_container(Network, node, iter.cur);

			if (!most || network->connections > most->connections)
				most = network;
		}
		dlist_foreach(iter, &server->clients)
		{
			Client	   *c = dlist_container(Client, node, iter.cur);

			if (c->network != most || c->gone || c->phase == CLIENT_WAITING)
				continue;
			if (!loser || c->phase < loser->phase)
				loser = c;
		}
	}
	if (!loser)
		return;
	counters.rejected[ADMIN_REJECT_CONNECTIONS]++;
	shutdown(loser->fd, SHUT_RDWR);
	loser->gone = true;
	enter_phase(loser, CLIENT_NEW, -1);
}

static void *
on_accepted(void *server_arg, HttpConnection *conn, int fd, const struct sockaddr *peer)
{
	Server	   *server = server_arg;
	Client	   *c;
	uint64		address = 0;

	if (server->kind == SERVER_MAIN && server->connections + 1 >= server->max_connections)
		make_place(server);
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->conn = conn;
	c->server = server;
	c->fd = fd;
	c->phase = CLIENT_NEW;
	if (peer->sa_family == AF_INET)
	{
		const struct in_addr *a = &((const struct sockaddr_in *) peer)->sin_addr;

		inet_ntop(AF_INET, a, c->address, sizeof(c->address));
		address = a->s_addr;
	}
	else if (peer->sa_family == AF_INET6)
	{
		const struct in6_addr *a = &((const struct sockaddr_in6 *) peer)->sin6_addr;

		inet_ntop(AF_INET6, a, c->address, sizeof(c->address));
		memcpy(&address, IN6_IS_ADDR_V4MAPPED(a) ? a->s6_addr + 8 : a->s6_addr, sizeof(address));
	}
	c->network = join_network(address);
	if (!c->network)
	{
		free(c);
		return NULL;
	}
	dlist_push_tail(&server->clients, &c->node);
	server->connections++;
	if (server->kind != SERVER_ADMIN)
	{
		counters.connections++;
		counters.connections_total++;
	}
	enter_phase(c, CLIENT_NEW, VecdbHttpHeaderTimeout_ms);
	return c;
}

/*
 * The library takes memory of the connection for each parameter, and where there
 * is none left it neither goes on nor says so.
 */
static bool
has_too_many_parameters(const char *uri)
{
	int			n = 0;

	for (const char *p = strchr(uri, '?'); p != NULL && n <= MAX_PARAMETERS; p = strchr(p + 1, '&'))
		n++;
	return n > MAX_PARAMETERS;
}

static void
on_started(void *client, const char *uri)
{
	Client	   *c = client;
	Request    *r = calloc(1, sizeof(*r));

	enter_phase(c, CLIENT_HEADER, VecdbHttpHeaderTimeout_ms);
	if (!r)
		return;
	r->target = strdup(uri);
	if (!r->target)
	{
		free(r);
		return;
	}
	r->id = ++last_request_id;
	r->method = HTTP_OTHER;
	r->target_len = strlen(uri);
	r->client = c;
	r->started_us = monotonic_us();
	c->request = r;
	if (has_too_many_parameters(uri))
	{
		counters.rejected[ADMIN_REJECT_GUARD]++;
		answer_raw(c, 414, "URI Too Long", "the query has more than 100 parameters", NULL);
		c->gone = c->linger = true;
		shutdown(c->fd, SHUT_RDWR);
	}
}

/* The header lines, for the executor: name NUL value NUL ... */
static bool
keep_headers(Request *r, const GuardRequest *request)
{
	size_t		len = 0;
	char	   *out;

	for (size_t i = 0; i < request->nheaders; i++)
		len += request->headers[i].name_len + request->headers[i].value_len + 2;
	r->headers = out = malloc(len + 1);
	if (!out)
		return false;
	r->headers_len = len;
	for (size_t i = 0; i < request->nheaders; i++)
	{
		const GuardHeader *h = &request->headers[i];

		memcpy(out, h->name, h->name_len);
		out += h->name_len;
		*out++ = '\0';
		memcpy(out, h->value, h->value_len);
		out += h->value_len;
		*out++ = '\0';
	}
	return true;
}

static bool
any_worker_up(void)
{
	for (int i = 0; i < nworkers; i++)
	{
		if (shared->slots[i].state == IPC_ATTACHED)
			return true;
	}
	return false;
}

static bool
any_worker_failing(void)
{
	for (int i = 0; i < nworkers; i++)
	{
		if (shared->slots[i].failures > 0)
			return true;
	}
	return false;
}

/* The admin port: what the front can say by itself. */
static void
admin_headers(Request *r)
{
	if (r->method != HTTP_GET && r->method != HTTP_HEAD)
	{
		static const char *const allow[] = {"Content-Type", ANSWER_JSON, "Allow", "GET, HEAD", NULL};

		set_error(r, 405, NULL, "the admin port only reads", NULL);
		set_headers(r, allow);
	}
	else if (strcmp(r->target, "/live") == 0)
		set_text(r, 200, ANSWER_TEXT, "OK\n");
	else if (strcmp(r->target, "/ready") == 0)
	{
		if (!any_worker_up())
			set_error(r, 503, NULL, "no executor is connected to the database",
					  "The server's log says why; see vecdb.http_database and vecdb.http_role.");
		else if (servers[SERVER_MAIN].http == NULL)
			set_error(r, 503, NULL, "the front does not listen", "The server's log says why.");
		else
			set_text(r, 200, ANSWER_TEXT, "OK\n");
	}
	else if (strcmp(r->target, "/metrics") == 0)
		r->route = ROUTE_METRICS;
	else
		set_error(r, 404, NULL, "there is no such path", "The admin port has /live, /ready and /metrics.");
}

/*
 * The route and what can be said without the database.  An error found here is
 * answered when the body is through, so that the connection stays usable.
 */
static void
public_headers(Request *r, const GuardRequest *request)
{
	Route		route;
	char	   *param = malloc(r->target_len + 1);

	if (!param)
	{
		set_error(r, 503, "53200", "out of memory", NULL);
		return;
	}
	route_find(r->target, r->target_len, param, &route);
	free(param);
	r->route = route.id;
	if (r->method == HTTP_OPTIONS && (route.id != ROUTE_NONE || r->target[0] == '*'))
	{
		r->status = 204;
		set_headers(r, (const char *const[]) {"Allow", route_allow(route.id), NULL});
		r->state = REQUEST_ANSWERED;
	}
	else if (route.id == ROUTE_NONE)
		set_error(r, 404, NULL, "there is no such path",
				  "Paths are /health, /stats, /vectors, /vectors/ID, /search, /collections, /collections/NAME and /collections/NAME/search.");
	else if (r->method == HTTP_OTHER || !(route.methods & (1U << r->method)))
		set_error(r, 405, NULL, "this path does not have that method", "The header Allow names those it has.");
	else if (route.malformed)
		set_error(r, 400, NULL, "the path is not well percent-encoded", NULL);
	else if (route.id == ROUTE_HEALTH)
		set_text(r, 200, ANSWER_TEXT, "OK");
	else if (r->method == HTTP_POST && guard_header(request, "Content-Encoding"))
		set_error(r, 415, NULL, "a body must not be compressed", NULL);
	else if (r->method == HTTP_POST && !guard_is_json(guard_header(request, "Content-Type")))
		set_error(r, 415, NULL, "the body must be JSON in UTF-8",
				  "Send the header \"Content-Type: application/json\"; curl does with --json.");
	else if (stop_ms != 0)
		set_error(r, 503, "57P01", "the server is shutting down", NULL);
	else if (!any_worker_up() && any_worker_failing())
		set_error(r, 503, "08006", "no executor is connected to the database",
				  "The server's log says why; see vecdb.http_database and vecdb.http_role.");
	else if (counters.queued >= VecdbHttpMaxQueue && !find_place(r->client->network))
		refuse_for_queue(r);
	else if (!keep_headers(r, request))
		set_error(r, 503, "53200", "out of memory", NULL);
}

/* What a browser is told of the page that it asks for; false: no memory. */
static bool
set_site_headers(Request *r, const SiteResult *site)
{
	const char *pairs[16];
	char	   *origin = NULL;
	int			n = 0;

	if (VecdbHttpCorsOrigins[0] == '\0' || !(origin = strndup(site->allow_origin ? site->allow_origin : "", site->allow_origin_len)))
		return VecdbHttpCorsOrigins[0] == '\0';
	pairs[n++] = "Vary";
	pairs[n++] = site->preflight ? "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" : "Origin";
	if (site->allow_origin)
	{
		pairs[n++] = "Access-Control-Allow-Origin";
		pairs[n++] = origin;
		pairs[n++] = "Access-Control-Expose-Headers";
		pairs[n++] = "Location, Retry-After, Allow";
	}
	if (site->allow_origin && site->preflight)
	{
		pairs[n++] = "Access-Control-Allow-Methods";
		pairs[n++] = route_allow(ROUTE_NONE);
		pairs[n++] = "Access-Control-Allow-Headers";
		pairs[n++] = "Content-Type, Authorization";
		pairs[n++] = "Access-Control-Max-Age";
		pairs[n++] = "600";
	}
	pairs[n] = NULL;
	free(r->site_headers);
	r->site_headers = join_headers(pairs, &r->site_headers_len);
	free(origin);
	return r->site_headers != NULL;
}

/* Refuse what a page of another site has a browser send; whether the request may go on. */
static bool
allow_site(Client *c, const GuardRequest *request, const GuardResult *guard)
{
	Request    *r = c->request;
	struct sockaddr_storage local;
	socklen_t	len = sizeof(local);
	bool		admin = c->server->kind == SERVER_ADMIN;
	SiteRules	rules = {
		.hosts = VecdbHttpHosts,
		.origins = admin ? "" : VecdbHttpCorsOrigins,
		.listen = admin ? "127.0.0.1" : VecdbHttpListen,
		.local = getsockname(c->fd, (struct sockaddr *) &local, &len) == 0 ? (struct sockaddr *) &local : NULL
	};
	SiteResult	site;

	site_check(request, guard, &rules, &site);
	if (!admin && !set_site_headers(r, &site))
		set_error(r, 503, "53200", "out of memory", NULL);
	else if (site.status != 0)
	{
		counters.rejected[ADMIN_REJECT_SITE]++;
		set_error(r, site.status, NULL, site.message, site.hint);
	}
	return r->state != REQUEST_ANSWERED;
}

static HttpVerdict
on_headers(void *client, const GuardRequest *request)
{
	Client	   *c = client;
	Request    *r = c->request;
	GuardLimits limits;
	GuardResult guard;
	bool		allowed;

	if (!r || c->gone)
		return HTTP_CLOSE;
	limits.max_uri = VecdbHttpMaxUri;
	limits.max_headers = VecdbHttpMaxHeaders;
	limits.max_body = (uint64) VecdbHttpMaxBody_kb * 1024;
	guard_check(request, r->target, r->target_len, &limits, &guard);
	r->method = guard.method;
	if (guard.status != 0)
	{
		counters.rejected[ADMIN_REJECT_GUARD]++;
		set_error(r, guard.status, NULL, guard.message, guard.hint);
		r->last = true;
		c->linger = true;
		return reply(c);
	}
	allowed = allow_site(c, request, &guard);
	if (guard.target != r->target)
	{
		memmove(r->target, guard.target, guard.target_len);
		r->target[guard.target_len] = '\0';
		r->target_len = guard.target_len;
	}
	r->body_expected = guard.chunked ? 0 : (size_t) guard.body_len;

	/*
	 * Before 1.0 the library ends lines between chunks at a bare LF, and 1.0 takes
	 * the LF behind a chunk's extension for data: it may see a body end where a
	 * proxy does not.  What such a body hides must not become a request.
	 */
	if (guard.chunked)
		r->last = true;
	if (allowed && c->server->kind == SERVER_ADMIN)
		admin_headers(r);
	else if (allowed)
		public_headers(r, request);
	c->since_ms = r->body_ms = now_ms;
	c->pace = UINT64_MAX;
	enter_phase(c, CLIENT_BODY, VecdbHttpBodyTimeout_ms);
	return HTTP_GO_ON;
}

static HttpVerdict
on_body(void *client, const char *data, size_t len)
{
	Client	   *c = client;
	Request    *r = c->request;

	if (!r || c->gone)
		return HTTP_CLOSE;
	r->body_seen += len;
	r->body_ms = now_ms;
	if (c->refused)
		return HTTP_GO_ON;
	if (r->body_seen > (uint64) VecdbHttpMaxBody_kb * 1024)
	{
		/* The answer goes out now; what still comes is thrown away for a moment. */
		counters.rejected[ADMIN_REJECT_GUARD]++;
		answer_raw(c, 413, "Content Too Large", "the body is too large", "The limit is the setting vecdb.http_max_body.");
		shutdown(c->fd, SHUT_WR);
		drop_body(r);
		c->refused = true;
		enter_phase(c, CLIENT_BODY, LINGER_MS);
		return HTTP_GO_ON;
	}
	if (r->state != REQUEST_ANSWERED && r->method == HTTP_POST && !keep_body(r, data, len))
	{
		drop_body(r);
		counters.rejected[ADMIN_REJECT_MEMORY]++;
		set_error(r, 503, "53200", "too many bodies are in memory", "The limit is the setting vecdb.http_max_buffered.");
	}
	return HTTP_GO_ON;
}

/* What an executor said about collections, if one did, goes below our own text. */
static void
compose_metrics(Request *r)
{
	if (r->answer && r->status == 200)
	{
		free(collections_text);
		collections_text = r->answer;
		collections_text_len = r->answer_len;
		r->answer = NULL;
	}
	free(r->answer);

	/* What is told of buffers is not to have this request in it. */
	counters.buffered -= r->counted;
	r->counted = 0;
	r->answer = AdminMetrics(&counters, shared, worker_busy, http_library_version(), collections_text, collections_text_len, &r->answer_len);
	r->status = r->answer ? 200 : 503;
	set_headers(r, (const char *const[]) {"Content-Type", "text/plain; version=0.0.4; charset=utf-8", NULL});
}

static HttpVerdict
on_complete(void *client)
{
	Client	   *c = client;
	Request    *r = c->request;

	if (!r || c->gone || c->refused)
		return HTTP_CLOSE;
	if (r->state == REQUEST_ANSWERED && r->route == ROUTE_METRICS)
		compose_metrics(r);
	if (r->state == REQUEST_ANSWERED)
		return reply(c);

	Assert(r->state == REQUEST_ARRIVING);
	if (!enter_queue(r))
		return reply(c);
	enter_phase(c, CLIENT_WAITING, r->route == ROUTE_METRICS ? METRICS_WAIT_MS : -1);
	watch_soon(c);
	return HTTP_WAIT;
}

static void
on_finished(void *client, int status, bool sent)
{
	Client	   *c = client;
	Request    *r = c->request;

	c->request = NULL;
	if (r)
	{
		/* The library refused it by itself. */
		if (status != 0 && status != r->status && !c->refused && !c->gone)
		{
			counters.rejected[ADMIN_REJECT_GUARD]++;
			r->status = status;
			r->answer_len = 0;
			c->linger = true;
		}
		log_request(c, r, sent);
		r->client = NULL;
		/* One that runs is freed when its executor is done with it. */
		if (r->state != REQUEST_RUNNING)
			free_request(r);
	}
	if (stop_ms != 0 || c->server->kind == SERVER_DRAINING)
		shutdown(c->fd, SHUT_RDWR);
	enter_phase(c, CLIENT_IDLE, VecdbHttpIdleTimeout_ms);
}

static void
on_closed(void *client)
{
	Client	   *c = client;

	if (c->request)
		on_finished(c, 0, false);
	unwatch(c);
	clear_deadline(c);
	if (c->phase == CLIENT_IDLE)
		dlist_delete(&c->phase_node);
	dlist_delete(&c->node);
	c->server->connections--;

	/* At its limit of connections the library listens again in its next run only. */
	c->server->to_run = true;
	if (c->server->kind != SERVER_ADMIN)
		counters.connections--;
	if (c->linger && stop_ms == 0)
		linger(c->fd);
	leave_network(c->network);
	free(c);
}

static void
on_panic(const char *file, unsigned line, const char *reason)
{
	/* The library would abort, which restarts the whole server. */
	ereport(LOG, (errmsg("HTTP library failed: %s", reason),
				  errdetail_internal("%s:%u", file, line)));
	proc_exit(1);
}

static const HttpHooks hooks = {
	.accepted = on_accepted,
	.started = on_started,
	.headers = on_headers,
	.body = on_body,
	.complete = on_complete,
	.finished = on_finished,
	.closed = on_closed,
	.panic = on_panic
};

/* ---------------------------------------------------------------------------
 * Executors
 */

/* A request is done: its client, if still there, takes the answer. */
static void
deliver(Request *r)
{
	Client	   *c = r->client;

	r->state = REQUEST_ANSWERED;
	if (!c)
	{
		free_request(r);
		return;
	}
	if (!c->gone)
		resume(c);
}

static void
free_worker_answer(Worker *w)
{
	free(w->headers);
	free(w->body);
	w->headers = w->body = NULL;
}

/* The executor is gone, or shall be regarded so. */
static void
worker_lost(int i)
{
	Worker	   *w = &workers[i];
	Request    *r = w->request;

	if (w->out)
		shm_mq_detach(w->out);
	if (w->in)
		shm_mq_detach(w->in);
	w->out = w->in = NULL;
	w->phase = WORKER_DOWN;
	w->request = NULL;
	worker_busy[i] = false;
	free_worker_answer(w);
	if (r)
	{
		counters.lost++;
		if (r->client && r->route != ROUTE_METRICS)
			set_error(r, 503, "57P01", "the process that executed the request has ended",
					  "Whether the request took effect is not known; try again.");
		deliver(r);
	}
}

/* Give queues to executors that want them. */
static void
serve_slots(void)
{
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < nworkers; i++)
	{
		IpcSlot    *slot = &shared->slots[i];
		Worker	   *w = &workers[i];
		shm_mq	   *out,
				   *in;

		if (slot->state == IPC_ATTACHED && w->phase == WORKER_DOWN && w->out)
			w->phase = WORKER_IDLE;
		if (slot->state != IPC_WANTED)
			continue;
		worker_lost(i);
		out = shm_mq_create(IpcRing(shared, i, 0), IPC_RING);
		in = shm_mq_create(IpcRing(shared, i, 1), IPC_RING);
		shm_mq_set_sender(out, MyProc);
		shm_mq_set_receiver(in, MyProc);
		w->out = shm_mq_attach(out, NULL, NULL);
		w->in = shm_mq_attach(in, NULL, NULL);
		slot->state = IPC_READY;
		SetLatch(slot->latch);
	}
	LWLockRelease(&shared->lock);
}

/* Send as much of the request as there is room for; false: the executor is gone. */
static bool
send_request(Worker *w)
{
	Request    *r = w->request;
	shm_mq_result result;

	if (w->phase == WORKER_HEAD)
	{
		shm_mq_iovec iov[3] = {
			{(char *) &w->head, sizeof(w->head)},
			{r->target, w->head.target_len},
			{r->headers, w->head.headers_len}
		};

		result = shm_mq_sendv(w->out, iov, 3, true, w->head.body_len == 0);
		if (result != SHM_MQ_SUCCESS)
			return result == SHM_MQ_WOULD_BLOCK;
		w->phase = WORKER_BODY;
		w->sent = 0;
	}
	while (w->sent < w->head.body_len)
	{
		size_t		n = Min(w->head.body_len - w->sent, IPC_PIECE);

		result = shm_mq_send(w->out, n, r->body + w->sent, true, w->sent + n == w->head.body_len);
		if (result != SHM_MQ_SUCCESS)
			return result == SHM_MQ_WOULD_BLOCK;
		w->sent += n;
	}
	w->phase = WORKER_ANSWER_HEAD;
	drop_body(r);
	return true;
}

/* The head of an answer: make room for the rest of it. */
static bool
begin_answer(Worker *w, const char *data, Size n)
{
	Request    *r = w->request;

	if (n < sizeof(IpcAnswer))
		return false;
	memcpy(&w->answer, data, sizeof(IpcAnswer));
	if (w->answer.id != r->id || w->answer.headers_len != n - sizeof(IpcAnswer))
		return false;
	w->got = 0;
	w->phase = WORKER_ANSWER_BODY;
	if (!r->client)
		return true;
	w->headers = malloc(w->answer.headers_len + 1);
	w->no_room = !count_buffered(r, w->answer.body_len);
	w->body = w->no_room ? NULL : malloc(w->answer.body_len + 1);
	if (w->headers)
		memcpy(w->headers, data + sizeof(IpcAnswer), w->answer.headers_len);
	return true;
}

static void
end_answer(int i)
{
	Worker	   *w = &workers[i];
	Request    *r = w->request;

	w->request = NULL;
	w->phase = WORKER_IDLE;
	worker_busy[i] = false;
	if (r->client && w->headers && w->body)
	{
		r->status = w->answer.status;
		r->answer_headers = w->headers;
		r->answer_headers_len = w->answer.headers_len;
		r->answer = w->body;
		r->answer_len = w->answer.body_len;
		w->headers = w->body = NULL;
	}
	else if (r->client && w->no_room)
	{
		counters.rejected[ADMIN_REJECT_MEMORY]++;
		set_error(r, 503, "53200", "too many answers wait to be taken by their clients",
				  "The limit is the setting vecdb.http_max_buffered.");
	}
	else if (r->client)
		set_error(r, 503, "53200", "out of memory", NULL);
	free_worker_answer(w);
	deliver(r);
}

/* Move what can be moved to and from an executor. */
static void
pump(int i)
{
	Worker	   *w = &workers[i];

	if (w->phase == WORKER_HEAD || w->phase == WORKER_BODY)
	{
		if (!send_request(w))
		{
			worker_lost(i);
			return;
		}
	}

	/*
	 * Nothing is received from an idle one: to find its queue empty would free
	 * what was read before, and wake the executor to tell it so.
	 */
	if (w->phase == WORKER_IDLE && shared->slots[i].state != IPC_ATTACHED)
		worker_lost(i);
	while (w->phase != WORKER_IDLE && w->in)
	{
		Size		n;
		void	   *data;
		shm_mq_result result = shm_mq_receive(w->in, &n, &data, true);

		if (result == SHM_MQ_WOULD_BLOCK)
			break;
		if (result == SHM_MQ_DETACHED ||
			(w->phase != WORKER_ANSWER_HEAD && w->phase != WORKER_ANSWER_BODY))
		{
			worker_lost(i);
			break;
		}
		if (w->phase == WORKER_ANSWER_HEAD)
		{
			if (!begin_answer(w, data, n))
			{
				worker_lost(i);
				break;
			}
		}
		else
		{
			if (n > w->answer.body_len - w->got)
			{
				worker_lost(i);
				break;
			}
			if (w->body)
				memcpy(w->body + w->got, data, n);
			w->got += n;
		}
		if (w->phase == WORKER_ANSWER_BODY && w->got == w->answer.body_len)
		{
			end_answer(i);
			break;
		}
	}
}

/* Hand waiting requests to idle executors. */
static void
dispatch(void)
{
	for (int i = 0; i < nworkers; i++)
	{
		Worker	   *w = &workers[i];
		Request    *r;

		if (w->phase != WORKER_IDLE)
			continue;
		r = next_request();
		if (!r)
			break;
		r->state = REQUEST_RUNNING;
		w->request = r;
		w->give_up_ms = 0;
		w->head = (IpcRequest) {
			.id = r->id,
			.method = r->method,
			.route = r->route,
			.target_len = r->target_len,
			.headers_len = r->headers_len,
			.body_len = r->body_len
		};
		w->phase = WORKER_HEAD;
		worker_busy[i] = true;
		if (!send_request(w))
			worker_lost(i);
	}
}

/*
 * Requests wait for an executor that never comes: say so.  One that tries to
 * connect gets a nudge, as the trouble may be over.
 */
static void
check_workers(void)
{
	bool		up = false;
	Request    *r;

	for (int i = 0; i < nworkers; i++)
		up = up || workers[i].phase != WORKER_DOWN;
	if (up || counters.queued == 0 || !any_worker_failing())
		return;
	while ((r = next_request()) != NULL)
	{
		if (r->route != ROUTE_METRICS)
			set_error(r, 503, "08006", "no executor is connected to the database",
					  "The server's log says why; see vecdb.http_database and vecdb.http_role.");
		deliver(r);
	}
}

static void
nudge_workers(void)
{
	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < nworkers; i++)
	{
		if (shared->slots[i].failures > 0 && shared->slots[i].latch)
		{
			shared->slots[i].retry = true;
			SetLatch(shared->slots[i].latch);
		}
	}
	LWLockRelease(&shared->lock);
}

/* ---------------------------------------------------------------------------
 * Deadlines
 */

/*
 * Look at what a client took of its answer since the last time.  It goes on as
 * long as it takes vecdb.http_min_rate over each vecdb.http_body_timeout, however
 * large the answer is.
 */
static bool
is_taking(Client *c)
{
	int64		rate = (int64) VecdbHttpMinRate_kb * 1024;
	uint64		taken = bytes_taken(c);
	int64		left_ms;

	c->pace = taken - c->taken;
	if (c->pace * 1000 >= (uint64) (rate * (now_ms - c->sampled_ms)))
		c->slow_since_ms = 0;
	else if (c->slow_since_ms == 0)
		c->slow_since_ms = c->sampled_ms;
	c->taken = taken;
	c->sampled_ms = now_ms;

	left_ms = c->window_ms + VecdbHttpBodyTimeout_ms - now_ms;
	if (left_ms <= 0)
	{
		if ((taken - c->window_taken) * 1000 < (uint64) (rate * VecdbHttpBodyTimeout_ms))
			return false;
		c->window_taken = taken;
		c->window_ms = now_ms;
		left_ms = VecdbHttpBodyTimeout_ms;
	}
	enter_phase(c, CLIENT_SENDING, Min(SAMPLE_MS, left_ms));
	return true;
}

static void
expire(Client *c)
{
	clear_deadline(c);
	switch (c->phase)
	{
		case CLIENT_SENDING:
			if (is_taking(c))
				return;
			counters.rejected[ADMIN_REJECT_DEADLINE]++;
			break;
		case CLIENT_WAITING:
			/* Only /metrics has a deadline here: it goes without collections. */
			if (c->request && c->request->state == REQUEST_QUEUED)
			{
				leave_queue(c->request);
				deliver(c->request);
			}
			return;
		case CLIENT_IDLE:
			break;
		case CLIENT_HEADER:
		case CLIENT_BODY:
			if (c->refused)
				break;
			answer_raw(c, 408, "Request Timeout", "the request did not arrive in time",
					   "Limits are the settings vecdb.http_header_timeout and vecdb.http_body_timeout.");
			/* FALLTHROUGH */
		default:
			counters.rejected[ADMIN_REJECT_DEADLINE]++;
			break;
	}
	c->gone = true;
	shutdown(c->fd, SHUT_RDWR);
}

static void
expire_deadlines(void)
{
	while (!pairingheap_is_empty(deadlines))
	{
		Client	   *c = pairingheap_container(Client, deadline_node, pairingheap_first(deadlines));

		if (c->deadline_ms > now_ms)
			break;
		expire(c);
	}
	for (int i = 0; i < MAX_LINGERING && nlingering > 0; i++)
	{
		if (lingering[i].fd >= 0 && lingering[i].deadline_ms <= now_ms)
			end_linger(&lingering[i]);
	}
}

/* ---------------------------------------------------------------------------
 * Listening
 */

static bool
is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24) == 127;
	if (address->sa_family == AF_INET6)
	{
		const struct in6_addr *a = &((const struct sockaddr_in6 *) address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
	}
	return false;
}

/*
 * A listening socket, or -1 after a line in the log.  The server that it is to
 * replace, if any, lets go of the same port first: one address may include the
 * other.
 */
static int
open_listener(const char *host, int port, bool remote_allowed, Server *replaces)
{
	struct addrinfo hint = {.ai_family = AF_UNSPEC,.ai_socktype = SOCK_STREAM,.ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	char		service[8];
	int			fd;
	int			on = 1;
	int			error;

	snprintf(service, sizeof(service), "%d", port);
	error = getaddrinfo(host, service, &hint, &found);
	if (error != 0 || !found)
	{
		ereport(LOG, (errmsg("could not resolve vecdb.http_listen \"%s\": %s", host, gai_strerror(error))));
		return -1;
	}
	if (!remote_allowed && !is_loopback(found->ai_addr))
	{
		ereport(LOG,
				(errmsg("HTTP does not listen on \"%s\", which can be reached from other machines", host),
				 errhint("Whoever reaches it would act as role \"%s\". Set vecdb.http_allow_remote if that is wanted.", VecdbHttpAnonRole)));
		freeaddrinfo(found);
		return -1;
	}
	if (replaces && replaces->http && replaces->port == port)
	{
		int			old = http_server_quiesce(replaces->http);

		if (old >= 0)
			close(old);
		/* With no address it counts as moved, until another one listens. */
		free(replaces->address);
		replaces->address = NULL;
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, found->ai_addr, found->ai_addrlen) < 0 ||
		listen(fd, 1024) < 0)
	{
		ereport(LOG,
				(errmsg("could not listen for HTTP on %s port %d: %m", host, port),
				 errhint("Another program may use that port; it is tried again every two seconds.")));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	return fd;
}

static void
stop_server(Server *s)
{
	dlist_iter	iter;

	if (!s->http)
		return;
	/* None may be suspended when the library stops. */
	dlist_foreach(iter, &s->clients)
	{
		Client	   *c = dlist_container(Client, node, iter.cur);

		if (c->phase == CLIENT_WAITING && !c->gone)
			abandon(c);
	}
	http_server_stop(s->http);
	s->http = NULL;
	wait_set_stale = true;
}

/* What the library keeps of a request line and headers, and our answer's. */
static size_t
main_pool_bytes(void)
{
	return (size_t) VecdbHttpMaxUri + VecdbHttpMaxHeaders + (GUARD_MAX_HEADERS + MAX_PARAMETERS) * ITEM_BYTES + 8192;
}

static bool
start_server(Server *s, int fd, const char *host, int port)
{
	bool		admin = s->kind == SERVER_ADMIN;

	s->pool_bytes = admin ? 16384 : main_pool_bytes();
	s->max_connections = admin ? 16 : VecdbHttpMaxConnections;
	s->max_per_address = admin ? 0 : VecdbHttpMaxPerAddress;
	s->connections = 0;
	s->to_run = true;
	dlist_init(&s->clients);
	s->http = http_server_start(fd, s->pool_bytes, s->max_connections, s->max_per_address, &hooks, s);
	if (!s->http)
	{
		ereport(LOG, (errmsg("HTTP library refused to start")));
		close(fd);
		return false;
	}
	s->fd = fd;
	s->port = port;
	free(s->address);
	s->address = strdup(host);
	wait_set_stale = true;
	ereport(LOG, (errmsg("%s listens on %s port %d", admin ? "HTTP administration" : "HTTP", host, port)));
	return true;
}

/*
 * Follow the settings.  Connections that the old server has are not cut off:
 * it goes on without a listening socket until they are idle.
 */
static void
adjust_servers(void)
{
	Server	   *s = &servers[SERVER_MAIN];
	bool		moved = !s->http || s->port != VecdbHttpPort || !s->address || strcmp(s->address, VecdbHttpListen) != 0;
	bool		resized = s->http &&
		(s->pool_bytes != main_pool_bytes() ||
		 s->max_connections != VecdbHttpMaxConnections || s->max_per_address != VecdbHttpMaxPerAddress);

	listen_retry_ms = 0;
	if (moved || resized)
	{
		int			fd = -1;

		if (moved)
		{
			fd = open_listener(VecdbHttpListen, VecdbHttpPort, VecdbHttpAllowRemote, s);
			if (fd < 0)
				listen_retry_ms = now_ms + LISTEN_RETRY_MS;
		}
		if (s->http && (fd >= 0 || !moved))
		{
			Server	   *draining = &servers[SERVER_DRAINING];
			dlist_mutable_iter iter;
			int			old;

			stop_server(draining);
			free(draining->address);
			old = http_server_quiesce(s->http);
			if (moved && old >= 0)
				close(old);
			else if (!moved)
				fd = old;
			*draining = *s;
			draining->kind = SERVER_DRAINING;
			draining->address = NULL;
			dlist_init(&draining->clients);
			dlist_foreach_modify(iter, &s->clients)
			{
				Client	   *c = dlist_container(Client, node, iter.cur);

				dlist_delete(&c->node);
				dlist_push_tail(&draining->clients, &c->node);
				c->server = draining;
				if (c->phase == CLIENT_IDLE || c->phase == CLIENT_NEW)
					shutdown(c->fd, SHUT_RDWR);
			}
			s->http = NULL;
		}
		if (fd >= 0)
			start_server(s, fd, VecdbHttpListen, VecdbHttpPort);
	}

	s = &servers[SERVER_ADMIN];
	if (s->http && s->port != VecdbHttpAdminPort)
		stop_server(s);
	if (!s->http && VecdbHttpAdminPort != 0)
	{
		int			fd = open_listener("127.0.0.1", VecdbHttpAdminPort, false, NULL);

		if (fd >= 0)
			start_server(s, fd, "127.0.0.1", VecdbHttpAdminPort);
		else
			listen_retry_ms = now_ms + LISTEN_RETRY_MS;
	}
}

/* ---------------------------------------------------------------------------
 * The process
 */

static void
on_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	/* Executors look at this to tell a shutdown from an end of theirs alone. */
	pg_atomic_write_u32(&shared->stopping, 1);
	ShutdownRequestPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* However the front ends, so do the executors that run a request. */
static void
front_exit(int code, Datum arg)
{
	for (int i = 0; i < nworkers; i++)
	{
		/* Nobody is left to take the answer, nor to see that a cancelled query ends. */
		if (workers[i].request)
			terminate(i);
		if (workers[i].out)
			shm_mq_detach(workers[i].out);
		if (workers[i].in)
			shm_mq_detach(workers[i].in);
	}
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->front_latch = NULL;
	LWLockRelease(&shared->lock);
}

/* The usual limit of 1,024 descriptors is less than the connections we allow. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		rlim_t		wanted = (rlim_t) VecdbHttpMaxConnections + 256;

		if (limit.rlim_cur < wanted)
		{
			limit.rlim_cur = Min(limit.rlim_max, wanted);
			if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
				ereport(LOG, (errmsg("the HTTP front may open %lu files, fewer than vecdb.http_max_connections needs",
									 (unsigned long) limit.rlim_cur)));
		}
	}
}

static void
build_wait_set(void)
{
	if (wait_set)
		FreeWaitEventSet(wait_set);
	wait_set = CreateSessionWaitEventSet(3 + NSERVERS);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, watch_fd, NULL, &watch_fd);
	for (int i = 0; i < NSERVERS; i++)
	{
		if (servers[i].http)
			AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, http_server_fd(servers[i].http), NULL, &servers[i]);
	}
	wait_set_stale = false;
}

/* How long there is nothing to do; -1 for ever. */
static int64
time_to_wait(void)
{
	int64		next = -1;

#define AT_MOST(ms) do { int64 ms_ = Max(ms, 0); next = next < 0 ? ms_ : Min(next, ms_); } while (0)
	if (!pairingheap_is_empty(deadlines))
		AT_MOST(pairingheap_container(Client, deadline_node, pairingheap_first(deadlines))->deadline_ms - now_ms);
	if (!dlist_is_empty(&unwatched_clients))
		AT_MOST(dlist_container(Client, phase_node, dlist_head_node(&unwatched_clients))->waiting_since_ms + WATCH_AFTER_MS - now_ms);
	for (int i = 0; i < MAX_LINGERING && nlingering > 0; i++)
	{
		if (lingering[i].fd >= 0)
			AT_MOST(lingering[i].deadline_ms - now_ms);
	}
	for (int i = 0; i < NSERVERS; i++)
	{
		int64		ms = !servers[i].http ? -1 : servers[i].to_run ? 0 : http_server_timeout_ms(servers[i].http);

		if (ms >= 0)
			AT_MOST(ms);
	}
	for (int i = 0; i < nworkers; i++)
	{
		if (workers[i].request && workers[i].give_up_ms != 0)
			AT_MOST(workers[i].give_up_ms - now_ms);
	}
	if (listen_retry_ms != 0)
		AT_MOST(listen_retry_ms - now_ms);
	if (stop_ms != 0)
		AT_MOST(stop_ms - now_ms);
#undef AT_MOST
	return next;
}

/* Stop taking requests; those that run may finish. */
static void
begin_stop(void)
{
	dlist_mutable_iter iter;
	Request    *r;

	stop_ms = now_ms + VecdbHttpShutdownTimeout_ms;
	listen_retry_ms = 0;
	for (int i = 0; i < NSERVERS; i++)
	{
		if (!servers[i].http)
			continue;
		if (i != SERVER_DRAINING)
		{
			int			fd = http_server_quiesce(servers[i].http);

			if (fd >= 0)
				close(fd);
		}
		dlist_foreach_modify(iter, &servers[i].clients)
		{
			Client	   *c = dlist_container(Client, node, iter.cur);

			if (c->phase == CLIENT_IDLE || c->phase == CLIENT_NEW || c->phase == CLIENT_HEADER)
				shutdown(c->fd, SHUT_RDWR);
		}
	}
	while ((r = next_request()) != NULL)
	{
		if (r->route != ROUTE_METRICS)
			set_error(r, 503, "57P01", "the server is shutting down", NULL);
		deliver(r);
	}
}

/* Time is up for requests that still run: cancel them, and wait for the answers. */
static void
cancel_running(void)
{
	for (int i = 0; i < nworkers; i++)
	{
		if (workers[i].request)
			cancel(i);
	}
	stop_ms = now_ms + STOP_CANCEL_MS;
	cancelled_running = true;
}

static bool
stopped(void)
{
	if (now_ms >= stop_ms && !cancelled_running)
		cancel_running();
	else if (now_ms >= stop_ms)
		return true;
	for (int i = 0; i < NSERVERS; i++)
	{
		if (servers[i].http && servers[i].connections > 0)
			return false;
	}
	return true;
}

static void
front_init(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	shared = IpcAttach();
	pg_atomic_write_u32(&shared->stopping, 0);
	BackgroundWorkerUnblockSignals();

	MemoryContextSwitchTo(TopMemoryContext);
	nworkers = shared->nslots;
	workers = palloc0(sizeof(Worker) * nworkers);
	worker_busy = palloc0(sizeof(bool) * nworkers);
	deadlines = pairingheap_allocate(compare_deadlines, NULL);
	dlist_init(&networks);
	dlist_init(&turns);
	dlist_init(&admin_queue);
	dlist_init(&idle_clients);
	dlist_init(&unwatched_clients);
	for (int i = 0; i < NSERVERS; i++)
	{
		servers[i].kind = i;
		dlist_init(&servers[i].clients);
	}
	for (int i = 0; i < MAX_LINGERING; i++)
		lingering[i].fd = -1;
	watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (watch_fd < 0)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not create an epoll descriptor: %m")));
	before_shmem_exit(front_exit, (Datum) 0);
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->front_latch = MyLatch;
	LWLockRelease(&shared->lock);
	raise_descriptor_limit();
	now_ms = monotonic_us() / 1000;
}

void
VecdbHttpFrontMain(Datum arg)
{
	front_init();
	adjust_servers();
	for (;;)
	{
		WaitEvent	events[3 + NSERVERS];
		int64		wait_ms = time_to_wait();
		int			n;
		bool		watch_fired = false;

		if (wait_set_stale)
			build_wait_set();
		n = WaitEventSetWait(wait_set, wait_ms > INT_MAX ? INT_MAX : (long) wait_ms, events, lengthof(events), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		now_ms = monotonic_us() / 1000;
		for (int i = 0; i < n; i++)
		{
			if (events[i].user_data == &watch_fd)
				watch_fired = true;
			else if (events[i].user_data)
				((Server *) events[i].user_data)->to_run = true;
		}

		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			if (stop_ms == 0)
				adjust_servers();
			nudge_workers();
		}
		if (ShutdownRequestPending && stop_ms == 0)
			begin_stop();
		if (stop_ms != 0 && stopped())
			break;
		if (listen_retry_ms != 0 && listen_retry_ms <= now_ms)
			adjust_servers();

		serve_slots();
		if (watch_fired)
			watch_events();
		watch_due();
		for (int i = 0; i < nworkers; i++)
			pump(i);
		check_workers();
		end_stubborn();
		expire_deadlines();
		for (int i = 0; i < NSERVERS; i++)
		{
			if (servers[i].http && (servers[i].to_run || http_server_timeout_ms(servers[i].http) == 0))
			{
				servers[i].to_run = false;
				http_server_run(servers[i].http);
			}
		}
		if (servers[SERVER_DRAINING].http && servers[SERVER_DRAINING].connections == 0)
			stop_server(&servers[SERVER_DRAINING]);
		dispatch();
	}

	/* With any other code the postmaster would not start us again. */
	proc_exit(1);
}
