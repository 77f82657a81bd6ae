/*
 * request_queue.c
 *	  Requests that wait for an executor: networks take turns, and each has a queue
 *	  of its own, so that many requests of one do not hold up another's.
 */
#include "http/front.h"

#include "guc.h"

void
QueueInit(void)
{
	dlist_init(&front.turns);
	dlist_init(&front.admin_queue);
}

/*
 * The network with most requests in the queue loses one, unless it would then have
 * fewer than the network that asks has with its new one.
 */
Network *
QueueFindPlace(const Network *asks)
{
	Network    *most = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &front.turns)
	{
		Network    *network = dlist_container(Network, turn_node, iter.cur);

		if (!most || network->waiting > most->waiting)
			most = network;
	}
	return most && most->waiting > asks->waiting + 1 ? most : NULL;
}

void
QueueLeave(Request *r)
{
	Network    *network = r->client->network;

	Assert(r->state == REQUEST_QUEUED && front.counters.queued > 0 && (r->metrics || network->waiting > 0));
	dlist_delete(&r->node);
	front.counters.queued--;
	if (!r->metrics && --network->waiting == 0)
		dlist_delete(&network->turn_node);
}

Request *
QueueNext(void)
{
	dlist_head *from = &front.admin_queue;
	Request    *r;

	if (dlist_is_empty(from))
	{
		Network    *network;

		if (dlist_is_empty(&front.turns))
			return NULL;
		network = dlist_container(Network, turn_node, dlist_pop_head_node(&front.turns));
		dlist_push_tail(&front.turns, &network->turn_node);
		from = &network->queue;
	}
	r = dlist_container(Request, node, dlist_head_node(from));
	QueueLeave(r);
	return r;
}

void
QueueRefuse(Request *r)
{
	front.counters.rejected[METRICS_REJECT_QUEUE]++;
	ReplyError(r, 503, "53400", "too many requests are waiting", "The limit is the setting vecdb.http_max_queue.");
}

bool
QueueEnter(Request *r)
{
	Network    *network = r->client->network;

	if (r->metrics)
		dlist_push_tail(&front.admin_queue, &r->node);
	else
	{
		if (front.counters.queued >= VecdbHttpMaxQueue)
		{
			Network    *most = QueueFindPlace(network);
			Request    *last;

			if (!most)
			{
				QueueRefuse(r);
				return false;
			}
			last = dlist_container(Request, node, dlist_tail_node(&most->queue));
			QueueLeave(last);
			QueueRefuse(last);
			RequestDeliver(last);
		}
		if (network->waiting++ == 0)
			dlist_push_tail(&front.turns, &network->turn_node);
		dlist_push_tail(&network->queue, &r->node);
	}
	r->state = REQUEST_QUEUED;
	front.counters.queued++;
	return true;
}
