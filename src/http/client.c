/*
 * client.c
 *	  Connections: the phase each is in, its deadline, whether it hung up; and
 *	  networks, which share out what there is among addresses.
 *
 * One heap has all deadlines.  The library does not look at a client that waits for
 * an executor; an epoll descriptor of ours tells when such a client hangs up.
 */
#include "http/front.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include "guc.h"

/*
 * A client is watched for hanging up once its request has run so long: the
 * common request is done before, and two system calls are saved.
 */
#define WATCH_AFTER_MS			5

static int
compare_deadlines(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	int64		x = pairingheap_const_container(Client, deadline_node, a)->deadline_ms;
	int64		y = pairingheap_const_container(Client, deadline_node, b)->deadline_ms;

	/* The heap keeps its greatest on top, which is to be the earliest. */
	return x < y ? 1 : x > y ? -1 : 0;
}

void
ClientsInit(void)
{
	front.deadlines = pairingheap_allocate(compare_deadlines, NULL);
	dlist_init(&front.networks);
	dlist_init(&front.idle_clients);
	dlist_init(&front.unwatched_clients);
}

void
ClientClearDeadline(Client *c)
{
	if (c->timed)
		pairingheap_remove(front.deadlines, &c->deadline_node);
	c->timed = false;
}

void
ClientEnter(Client *c, ClientPhase phase, int64 timeout_ms)
{
	ClientClearDeadline(c);
	if (c->phase == CLIENT_IDLE)
		dlist_delete(&c->phase_node);
	c->phase = phase;
	if (phase == CLIENT_IDLE)
		dlist_push_tail(&front.idle_clients, &c->phase_node);
	if (timeout_ms >= 0)
	{
		c->deadline_ms = front.now_ms + timeout_ms;
		pairingheap_add(front.deadlines, &c->deadline_node);
		c->timed = true;
	}
}

uint64
ClientBytesTaken(const Client *c)
{
	struct tcp_info info;
	socklen_t	len = sizeof(info);

	if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
		len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
		return c->taken;
	return info.tcpi_bytes_acked;
}

static void
watch(Client *c)
{
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT,.data.ptr = c};

	if (!c->watched && epoll_ctl(front.watch_fd, EPOLL_CTL_ADD, c->fd, &event) == 0)
		c->watched = true;
}

void
ClientWatchSoon(Client *c)
{
	/* phase_node is in one list at a time */
	Assert(!c->to_watch && c->phase != CLIENT_IDLE);
	c->waiting_since_ms = front.now_ms;
	c->to_watch = true;
	dlist_push_tail(&front.unwatched_clients, &c->phase_node);
}

void
ClientsWatchDue(void)
{
	while (!dlist_is_empty(&front.unwatched_clients))
	{
		Client	   *c = dlist_container(Client, phase_node, dlist_head_node(&front.unwatched_clients));

		if (front.now_ms - c->waiting_since_ms < WATCH_AFTER_MS)
			break;
		dlist_delete(&c->phase_node);
		c->to_watch = false;
		watch(c);
	}
}

void
ClientUnwatch(Client *c)
{
	if (c->to_watch)
		dlist_delete(&c->phase_node);
	c->to_watch = false;
	if (c->watched)
		epoll_ctl(front.watch_fd, EPOLL_CTL_DEL, c->fd, NULL);
	c->watched = false;
}

void
ClientsWatchEvents(void)
{
	struct epoll_event events[64];
	int			n = epoll_wait(front.watch_fd, events, lengthof(events), 0);

	for (int i = 0; i < n; i++)
	{
		void	   *what = events[i].data.ptr;

		if (!LingerEvent(what))
		{
			Client	   *c = what;

			if (c->phase == CLIENT_WAITING && !c->gone)
				ClientAbandon(c);
		}
	}
}

void
ClientResume(Client *c)
{
	ClientUnwatch(c);
	ClientClearDeadline(c);
	c->server->to_run = true;
	http_resume(c->conn);
}

void
ClientAbandon(Client *c)
{
	Request    *r = c->request;

	c->gone = true;
	if (r && (r->state == REQUEST_QUEUED || r->state == REQUEST_AWAITING))
	{
		if (r->state == REQUEST_QUEUED)
			QueueLeave(r);
		else
			AwaitLeave(r);
		r->state = REQUEST_ANSWERED;
	}
	else if (r && r->state == REQUEST_RUNNING)
		WorkersCancel(r);
	ClientResume(c);
}

Network *
NetworkJoin(uint64 address)
{
	Network    *network;
	dlist_iter	iter;

	dlist_foreach(iter, &front.networks)
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
	dlist_push_head(&front.networks, &network->node);
	return network;
}

void
NetworkLeave(Network *network)
{
	Assert(network->connections > 0);
	if (--network->connections > 0)
		return;
	dlist_delete(&network->node);
	Assert(network->waiting == 0 && dlist_is_empty(&network->queue));
	free(network);
}

/*
 * The connection that has been idle for longest is closed.  If none is idle, the
 * network with most connections loses one: of those in the earliest phase the
 * oldest.  A connection whose request waits or runs is never closed here.
 */
void
ClientMakePlace(Server *server)
{
	Network    *most = NULL;
	Client	   *loser = NULL;
	dlist_iter	iter;

	if (!dlist_is_empty(&front.idle_clients))
		loser = dlist_container(Client, phase_node, dlist_head_node(&front.idle_clients));
	else
	{
		dlist_foreach(iter, &front.networks)
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
	front.counters.rejected[METRICS_REJECT_CONNECTIONS]++;
	shutdown(loser->fd, SHUT_RDWR);
	loser->gone = true;
	ClientEnter(loser, CLIENT_NEW, -1);
}

/*
 * Measure how much of its answer a client took since the last look.  True as long
 * as it takes vecdb.http_min_rate, averaged over each vecdb.http_body_timeout; the
 * size of the answer has no part in it.
 */
static bool
is_taking(Client *c)
{
	int64		rate = (int64) VecdbHttpMinRate_kb * 1024;
	uint64		taken = ClientBytesTaken(c);
	int64		left_ms;

	c->pace = taken - c->taken;
	if (c->pace * 1000 >= (uint64) (rate * (front.now_ms - c->sampled_ms)))
		c->slow_since_ms = 0;
	else if (c->slow_since_ms == 0)
		c->slow_since_ms = c->sampled_ms;
	c->taken = taken;
	c->sampled_ms = front.now_ms;

	left_ms = c->window_ms + VecdbHttpBodyTimeout_ms - front.now_ms;
	if (left_ms <= 0)
	{
		if ((taken - c->window_taken) * 1000 < (uint64) (rate * VecdbHttpBodyTimeout_ms))
			return false;
		c->window_taken = taken;
		c->window_ms = front.now_ms;
		left_ms = VecdbHttpBodyTimeout_ms;
	}
	ClientEnter(c, CLIENT_SENDING, Min(SAMPLE_MS, left_ms));
	return true;
}

static void
expire(Client *c)
{
	ClientClearDeadline(c);
	switch (c->phase)
	{
		case CLIENT_SENDING:
			if (is_taking(c))
				return;
			front.counters.rejected[METRICS_REJECT_DEADLINE]++;
			break;
		case CLIENT_WAITING:
			if (c->request && c->request->state == REQUEST_AWAITING)
				AwaitExpire(c->request);
			/* else only /metrics has a deadline here: it is answered without the part about collections */
			else if (c->request && c->request->state == REQUEST_QUEUED)
			{
				QueueLeave(c->request);
				RequestDeliver(c->request);
			}
			return;
		case CLIENT_IDLE:
			break;
		case CLIENT_HEADER:
		case CLIENT_BODY:
			if (c->refused)
				break;
			ReplyRaw(c, 408, "Request Timeout", "the request did not arrive in time",
					   "Limits are the settings vecdb.http_header_timeout and vecdb.http_body_timeout.");
			/* FALLTHROUGH */
		default:
			front.counters.rejected[METRICS_REJECT_DEADLINE]++;
			break;
	}
	c->gone = true;
	shutdown(c->fd, SHUT_RDWR);
}

void
ClientsExpire(void)
{
	while (!pairingheap_is_empty(front.deadlines))
	{
		Client	   *c = pairingheap_container(Client, deadline_node, pairingheap_first(front.deadlines));

		if (c->deadline_ms > front.now_ms)
			break;
		expire(c);
	}
}

int64
ClientsDeadline(void)
{
	int64		next = -1;

	if (!pairingheap_is_empty(front.deadlines))
		next = pairingheap_container(Client, deadline_node, pairingheap_first(front.deadlines))->deadline_ms;
	if (!dlist_is_empty(&front.unwatched_clients))
	{
		int64		watch_ms = dlist_container(Client, phase_node, dlist_head_node(&front.unwatched_clients))->waiting_since_ms + WATCH_AFTER_MS;

		next = next < 0 ? watch_ms : Min(next, watch_ms);
	}
	return next;
}
