/*
 * buffered.c
 *	  Memory of clients: bodies that arrive, answers that wait to be taken.
 *
 * Each byte is counted against vecdb.http_max_buffered.  When the limit is reached,
 * the slowest client of the network that holds most is cut off.  So a client that
 * does not read, or sends slowly, does harm to its own address only.
 */
#include "http/front.h"

#include "guc.h"

/*
 * No client is cut off for its memory in the first GRACE_MS of its body or answer.
 * For another client of its own address it is cut off only if it has been slow for
 * so long.
 */
#define GRACE_MS				2000

/* A body of this size at most always has room: there is one for each connection. */
#define SMALL_BODY				65536

/* The bytes that the clients of a network hold, and the one of them to be cut off first. */
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

/* Cut off a client whose body or answer takes memory that another one needs. */
static void
make_room_of(Client *c)
{
	Request    *r = c->request;

	if (r->state == REQUEST_AWAITING)
	{
		AwaitMakeRoom(r);
		return;
	}
	front.counters.rejected[METRICS_REJECT_MEMORY]++;
	RequestDropBody(r);

	/* The library frees the answer in its next run. */
	front.counters.buffered -= r->counted;
	r->counted = 0;
	ClientClearDeadline(c);
	c->gone = true;
	shutdown(c->fd, SHUT_RDWR);
}

/*
 * May the client be cut off?  Its body or answer must be in memory because the client has
 * not sent or taken it yet, or wants to wait with it.
 */
static bool
may_make_room(const Client *c)
{
	return !c->gone && !c->refused && c->request && c->request->counted > 0 &&
		(c->phase == CLIENT_SENDING || c->phase == CLIENT_BODY || c->request->state == REQUEST_AWAITING) && front.now_ms - c->since_ms >= GRACE_MS;
}

static bool
is_slow(const Client *c)
{
	if (c->request->state == REQUEST_AWAITING)
		return true;
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
 * The client to be cut off so that the client asks gets memory; NULL: there is none.
 * It belongs to the network that holds most.  If that is the network of asks, it
 * must be slow: a client is worth no more than the others of its address.
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
				continue;		/* the memory is shared by so many that none of them has much */
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
	free(r->await);
	free(r->role);
	free(r);
}
