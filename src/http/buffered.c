/*
 * buffered.c
 *	  What clients have in memory: bodies that arrive, answers that are taken.
 *
 * It is counted against vecdb.http_max_buffered while it grows.  Where there is
 * none left, who takes most of it gives some back, so that a client that does not
 * read, or sends slowly, costs its own address.
 */
#include "http/front.h"

#include "guc.h"

/*
 * Where memory for bodies is short, a client makes room no sooner than after so
 * long, and for others of its own address only when it has been slow all the while.
 */
#define GRACE_MS				2000

/* A body of this size at most always has room: there is one for each connection. */
#define SMALL_BODY				65536

/* Bytes that clients of a network hold, and which of them is to make room for one of another. */
typedef struct Holder
{
	const Network *network;
	size_t		held;
	Client	   *slowest;
} Holder;

void
RequestDropBody(Request *r)
{
	Assert(r->counted >= r->body_size && front.counters.buffered >= r->body_size);
	free(r->body);
	front.counters.buffered -= r->body_size;
	r->counted -= r->body_size;
	r->body = NULL;
	r->body_size = r->body_len = 0;
}

/* Cut a client off whose body or answer takes memory that others need. */
static void
make_room_of(Client *c)
{
	Request    *r = c->request;

	front.counters.rejected[METRICS_REJECT_MEMORY]++;
	RequestDropBody(r);

	/* The library frees the answer in its next run. */
	front.counters.buffered -= r->counted;
	r->counted = 0;
	ClientClearDeadline(c);
	c->gone = true;
	shutdown(c->fd, SHUT_RDWR);
}

/* Its body or answer is in memory for want of its own speed. */
static bool
may_make_room(const Client *c)
{
	return !c->gone && !c->refused && c->request && c->request->counted > 0 &&
		(c->phase == CLIENT_SENDING || c->phase == CLIENT_BODY) && front.now_ms - c->since_ms >= GRACE_MS;
}

static bool
is_slow(const Client *c)
{
	if (c->phase == CLIENT_BODY)
		return front.now_ms - c->request->body_ms >= GRACE_MS;
	return c->slow_since_ms != 0 && front.now_ms - c->slow_since_ms >= GRACE_MS;
}

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

		if (!front.servers[i].http)
			continue;
		dlist_foreach(iter, &front.servers[i].clients)
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
bool
RequestCountBytes(Request *r, size_t bytes)
{
	Size		limit = (Size) VecdbHttpMaxBuffered_kb * 1024;

	while (r->counted + bytes > SMALL_BODY && front.counters.buffered + bytes > limit)
	{
		Client	   *c = bytes <= limit ? find_room(r->client) : NULL;

		if (!c)
			return false;
		make_room_of(c);
	}
	front.counters.buffered += bytes;
	r->counted += bytes;
	return true;
}

bool
RequestKeepBody(Request *r, const char *data, size_t len)
{
	if (r->body_len + len > r->body_size)
	{
		size_t		size = Max(r->body_size * 2, (size_t) 4096);
		char	   *body;

		if (r->body_expected > 0)
			size = Min(size, r->body_expected);
		size = Max(size, r->body_len + len);
		if (!RequestCountBytes(r, size - r->body_size))
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

void
RequestFree(Request *r)
{
	Assert(front.counters.buffered >= r->counted);
	front.counters.buffered -= r->counted;
	free(r->target);
	free(r->headers);
	free(r->body);
	free(r->answer_headers);
	free(r->site_headers);
	free(r->answer);
	free(r);
}
