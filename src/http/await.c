/*
 * await.c
 *	  Requests that wait for a commit token before they may run: their client has
 *	  written on another node, and wants to see that here.
 *
 * They wait in the front and hold no executor; the worker of the database's node sets
 * our latch when it has what the token stands for (rows/token_wait.h).  Of the places for
 * that a network has no more than it leaves to others.
 */
#include "http/front.h"

#include "guc.h"
#include "node/node_ipc.h"
#include "rows/token_wait.h"

#define AWAIT_HEADER "Vecdb-Wait-For"
#define AWAIT_TIMEOUT_HEADER "Vecdb-Wait-Timeout"
#define AWAIT_PLACES 256		/* requests that wait at a time */
#define AWAIT_DEFAULT_MS 10000
#define AWAIT_MAX_MS 60000
#define LOOK_MS 2000
#define AWAIT_ROLE ((Oid) PG_UINT32_MAX)	/* for whose share all of them count */

StaticAssertDecl(AWAIT_PLACES < TOKEN_WAITS / 2, "all of HTTP has less than half of the places");

struct Await
{
	Oid			database;
	int			timeout_ms;
	int64		until_ms;		/* monotonic, as front.now_ms */
	int			place;			/* TOKEN_NO_PLACE: it does not wait */
	int			n;
	int			next;			/* the ticket that is waited for */
	RowTokenTicket ticket[ROW_TOKEN_TICKETS];
};

void
AwaitInit(void)
{
	dlist_init(&front.awaiting);
}

/* The values of a header, joined by commas and cut off where there is no room.  False: there is none. */
static bool
header_text(const GuardRequest *request, const char *name, char *out, size_t room)
{
	size_t		n = 0;
	bool		found = false;

	for (size_t i = 0; i < request->nheaders; i++)
	{
		const GuardHeader *header = &request->headers[i];
		size_t		len;

		if (header->name_len != strlen(name) || pg_strncasecmp(header->name, name, header->name_len) != 0)
			continue;
		if (found && n + 1 < room)
			out[n++] = ',';
		len = Min(header->value_len, room - 1 - n);
		memcpy(out + n, header->value, len);
		n += len;
		found = true;
	}
	out[n] = '\0';
	return found;
}

/* Seconds, with a fraction or without; -1: it is no such number, or too great. */
static int
read_timeout(const char *text)
{
	char	   *end;
	double		s;

	if (text[0] < '0' || text[0] > '9' || strspn(text, "0123456789.") != strlen(text))
		return -1;
	s = strtod(text, &end);
	return *end != '\0' || s * 1000 > AWAIT_MAX_MS ? -1 : (int) (s * 1000);
}

void
AwaitHeaders(Request *r, const GuardRequest *request)
{
	char		text[ROW_TOKEN_TEXT + 1];
	char		seconds[16];
	struct Await *await;

	if (!header_text(request, AWAIT_HEADER, text, sizeof(text)) || text[0] == '\0')
		return;
	await = calloc(1, sizeof(*await));
	if (!await)
	{
		ReplyNoMemory(r);
		return;
	}
	r->await = await;
	await->place = TOKEN_NO_PLACE;
	await->timeout_ms = AWAIT_DEFAULT_MS;
	await->n = row_token_read(text, await->ticket);
	if (await->n == 0)
		ReplyError(r, 400, "22023", "the header " AWAIT_HEADER " has no commit token",
				   "An answer to a write has one in its header Vecdb-Commit-Token, and vecdb.commit_token() gives one.");
	else if (header_text(request, AWAIT_TIMEOUT_HEADER, seconds, sizeof(seconds)) &&
			 (await->timeout_ms = read_timeout(seconds)) < 0)
		ReplyError(r, 400, "22023", "the header " AWAIT_TIMEOUT_HEADER " is seconds, from 0 to 60", NULL);
}

/* The node of vecdb.http_database, if it runs. */
static Oid
running_node(void)
{
	SyncShared *shared = SyncAttach();
	Oid			database = InvalidOid;

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (int i = 0; i < SYNC_NODES; i++)
		if (shared->node[i].used && shared->node[i].state == SYNC_NODE_RUNNING &&
			strcmp(shared->node[i].name, VecdbHttpDatabase) == 0)
			database = shared->node[i].database;
	LWLockRelease(&shared->lock);
	return database;
}

static void
leave_place(struct Await *await)
{
	if (await->place != TOKEN_NO_PLACE)
		TokenWaitEnd(await->place);
	await->place = TOKEN_NO_PLACE;
}

void
AwaitLeave(Request *r)
{
	Assert(r->state == REQUEST_AWAITING);
	leave_place(r->await);
	dlist_delete(&r->node);
	r->client->network->awaiting--;
	front.nawaiting--;
}

/* Wait for the next ticket; false: there is no place. */
static bool
take_place(struct Await *await)
{
	await->place = TokenWaitBegin(await->database, AWAIT_ROLE, &await->ticket[await->next], false);
	return await->place != TOKEN_NO_PLACE;
}

static void
refuse_place(Request *r)
{
	front.counters.rejected[METRICS_REJECT_QUEUE]++;
	ReplyError(r, 503, "53400", "too many requests wait for commit tokens",
			   "There may be 256, and from one network no more than it leaves to others.");
}

bool
AwaitEnter(Request *r)
{
	struct Await *await = r->await;
	Network    *network = r->client->network;

	await->database = running_node();
	if (!OidIsValid(await->database))
		ReplyError(r, 503, "55000", "the database is no node that runs, so no commit token is waited for",
				   "See the view vecdb.stat_workers.");
	else if (!SyncShareAllows(network->awaiting, AWAIT_PLACES - front.nawaiting, 0) || !take_place(await))
		refuse_place(r);
	else
	{
		await->until_ms = front.now_ms + await->timeout_ms;
		network->awaiting++;
		front.nawaiting++;
		dlist_push_tail(&front.awaiting, &r->node);
		r->state = REQUEST_AWAITING;
		return true;
	}
	return false;
}

/* The worker has a moment to look in any case. */
int64
AwaitTimeout(const Request *r)
{
	return Max(r->await->timeout_ms, LOOK_MS);
}

void
AwaitExpire(Request *r)
{
	AwaitLeave(r);
	ReplyError(r, 504, "57014", "what the token stands for was not here in time",
			   "Ask again, or wait for longer by the header " AWAIT_TIMEOUT_HEADER ".");
	RequestDeliver(r);
}

/* All is here: wait for an executor. */
static void
go_on(Request *r)
{
	Client	   *c = r->client;

	AwaitLeave(r);
	if (QueueEnter(r))
		ClientEnter(c, CLIENT_WAITING, -1);
	else
		RequestDeliver(r);
}

void
AwaitTurn(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &front.awaiting)
	{
		Request    *r = dlist_container(Request, node, iter.cur);
		struct Await *await = r->await;
		TokenWaitAnswer answer = TokenWaitLook(await->place);

		switch (answer.state)
		{
			case TOKEN_WAITING:
				if (answer.looked && front.now_ms >= await->until_ms)
					AwaitExpire(r);
				break;
			case TOKEN_NOT_HERE:
				AwaitLeave(r);
				ReplyError(r, 421, "42704", "this node does not replicate the collection that the token is of",
						   "Take the token to a node that holds it.");
				RequestDeliver(r);
				break;
			case TOKEN_REACHED:
				leave_place(await);
				if (++await->next == await->n)
					go_on(r);
				else if (!take_place(await))
				{
					AwaitLeave(r);
					refuse_place(r);
					RequestDeliver(r);
				}
				break;
		}
	}
}

void
AwaitStop(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &front.awaiting)
	{
		Request    *r = dlist_container(Request, node, iter.cur);

		AwaitLeave(r);
		ReplyStopping(r);
		RequestDeliver(r);
	}
}

/* The body of one that waits is wanted by others. */
void
AwaitMakeRoom(Request *r)
{
	AwaitLeave(r);
	RequestDropBody(r);
	front.counters.rejected[METRICS_REJECT_MEMORY]++;
	ReplyError(r, 503, "53200", "too many bodies are in memory", "The limit is the setting vecdb.http_max_buffered.");
	RequestDeliver(r);
}

void
AwaitLetGo(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &front.awaiting)
		leave_place(dlist_container(Request, node, iter.cur)->await);
}
