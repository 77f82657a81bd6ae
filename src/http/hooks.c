/*
 * hooks.c
 *	  What the HTTP library calls as a connection and a request go on, and what is
 *	  answered without the database.
 *
 * No hook may raise an error: a jump across the library's frames leaves the library
 * in a broken state.
 */
#include "http/front.h"

#include <arpa/inet.h>

#include "guc.h"
#include "http/admin/admin_surface.h"
#include "storage/ipc.h"

/* How long /metrics waits for the part about collections. */
#define METRICS_WAIT_MS			1000

static void *
on_accepted(void *server_arg, HttpConnection *conn, int fd, const struct sockaddr *peer)
{
	Server	   *server = server_arg;
	Client	   *c;
	uint64		address = 0;

	if (server->kind == SERVER_MAIN && server->connections + 1 >= server->max_connections)
		ClientMakePlace(server);
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
	c->network = NetworkJoin(address);
	if (!c->network)
	{
		free(c);
		return NULL;
	}
	dlist_push_tail(&server->clients, &c->node);
	server->connections++;
	if (server->kind != SERVER_ADMIN)
	{
		front.counters.connections++;
		front.counters.connections_total++;
	}
	ClientEnter(c, CLIENT_NEW, VecdbHttpHeaderTimeout_ms);
	return c;
}

/*
 * The library takes memory of the connection for each parameter.  When that memory
 * is used up, the library stops working on the request and reports no error.
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

	ClientEnter(c, CLIENT_HEADER, VecdbHttpHeaderTimeout_ms);
	if (!r)
		return;
	r->target = strdup(uri);
	if (!r->target)
	{
		free(r);
		return;
	}
	r->id = ++front.last_request_id;
	r->method = HTTP_OTHER;
	r->target_len = strlen(uri);
	r->client = c;
	r->route.surface = surface_default(c->server->port);
	r->started_us = FrontMonotonicUs();
	c->request = r;
	if (has_too_many_parameters(uri))
	{
		front.counters.rejected[METRICS_REJECT_GUARD]++;
		ReplyRaw(c, 414, "URI Too Long", "the query has more than 100 parameters", NULL);
		c->gone = c->linger = true;
		shutdown(c->fd, SHUT_RDWR);
	}
}

/* What says who somebody is goes no further than the front. */
static bool
is_credential(const GuardHeader *h)
{
	static const char *const names[] = {"authorization", "apikey"};
	bool		found = false;

	for (int i = 0; i < lengthof(names); i++)
		found = found || (h->name_len == strlen(names[i]) && pg_strncasecmp(h->name, names[i], h->name_len) == 0);
	return found;
}

/* The header lines, for the executor: name NUL value NUL ... */
static bool
keep_headers(Request *r, const GuardRequest *request)
{
	size_t		len = 0;
	char	   *out;

	for (size_t i = 0; i < request->nheaders; i++)
	{
		if (!is_credential(&request->headers[i]))
			len += request->headers[i].name_len + request->headers[i].value_len + 2;
	}
	r->headers = out = malloc(len + 1);
	if (!out)
		return false;
	r->headers_len = len;
	for (size_t i = 0; i < request->nheaders; i++)
	{
		const GuardHeader *h = &request->headers[i];

		if (is_credential(h))
			continue;
		memcpy(out, h->name, h->name_len);
		out += h->name_len;
		*out++ = '\0';
		memcpy(out, h->value, h->value_len);
		out += h->value_len;
		*out++ = '\0';
	}
	return true;
}

/* Does a body mean anything in a request of this method? */
static bool
has_body(HttpMethod method)
{
	return method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
}

/* The admin port: what the front answers by itself. */
static void
admin_headers(Request *r)
{
	const RouteDef *def = r->route.def;

	if (r->method != HTTP_GET && r->method != HTTP_HEAD)
		ReplyError(r, 405, NULL, "the admin port only reads", NULL);
	else if (!def || r->route.query_at != 0)	/* no path of it takes parameters */
		ReplyError(r, 404, NULL, "there is no such path", r->route.surface->paths);
	else if (def->text)
		ReplyText(r, 200, ANSWER_TEXT, def->text);
	else if (r->route.number == ADMIN_READY)
	{
		if (!WorkersAnyUp())
			ReplyNoExecutor(r, NULL);
		else if (front.servers[SERVER_MAIN].http == NULL)
			ReplyError(r, 503, NULL, "the front does not listen", "The server's log says why.");
		else
			ReplyText(r, 200, ANSWER_TEXT, "OK\n");
	}
	else
		r->metrics = true;
}

/*
 * Answer what needs no database.  The answer to an error found here goes out when
 * the body has been read, so that the connection stays usable.
 */
static void
public_headers(Request *r, const GuardRequest *request)
{
	const RouteDef *def = r->route.def;

	if (r->method == HTTP_OPTIONS && (def || r->target[0] == '*'))
	{
		r->status = 204;
		ReplyHeaders(r, (const char *const[]) {"Allow", def ? def->allow : r->route.surface->allow, NULL});
		r->state = REQUEST_ANSWERED;
	}
	else if (!def)
		ReplyError(r, 404, NULL, "there is no such path", r->route.surface->paths);
	else if (r->method == HTTP_OTHER || !(def->methods & (1U << r->method)))
		ReplyError(r, 405, NULL, "this path does not have that method", "The header Allow names those it has.");
	else if (r->route.malformed)
		ReplyError(r, 400, NULL, "the path is not well percent-encoded", NULL);
	else if (def->text)
		ReplyText(r, 200, ANSWER_TEXT, def->text);
	else if (has_body(r->method) && guard_header(request, "Content-Encoding"))
		ReplyError(r, 415, NULL, "a body must not be compressed", NULL);
	else if (has_body(r->method) && !guard_is_json(guard_header(request, "Content-Type")) &&
			 !(def->takes_csv && guard_is_csv(guard_header(request, "Content-Type"))))
		ReplyError(r, 415, NULL, def->takes_csv ? "the body must be JSON or CSV in UTF-8" : "the body must be JSON in UTF-8",
				  def->takes_csv ? "Send the header \"Content-Type: application/json\", as curl does with --json, or \"text/csv\" for CSV." :
				  "Send the header \"Content-Type: application/json\"; curl does with --json.");
	else if (front.stop_ms != 0)
		ReplyStopping(r);
	else if (!WorkersAnyUp() && WorkersAnyFailing())
		ReplyNoExecutor(r, "08006");
	else if (front.counters.queued >= VecdbHttpMaxQueue && !QueueFindPlace(r->client->network))
		QueueRefuse(r);
	else if (!keep_headers(r, request))
		ReplyNoMemory(r);
	else if (BearerHeaders(r, request))
		AwaitHeaders(r, request);
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
	if (!admin && !ReplySiteHeaders(r, &site))
		ReplyNoMemory(r);
	else if (site.status != 0)
	{
		front.counters.rejected[METRICS_REJECT_SITE]++;
		ReplyError(r, site.status, NULL, site.message, site.hint);
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
		front.counters.rejected[METRICS_REJECT_GUARD]++;
		ReplyError(r, guard.status, NULL, guard.message, guard.hint);
		r->last = true;
		c->linger = true;
		return ReplySend(c);
	}
	/* allow_site() needs the surface.  Offsets in the route count from guard.target, which r->target becomes below. */
	route_find(c->server->port, guard.target, guard.target_len, &r->route);
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
	c->since_ms = r->body_ms = front.now_ms;
	c->pace = UINT64_MAX;
	ClientEnter(c, CLIENT_BODY, VecdbHttpBodyTimeout_ms);
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
	r->body_ms = front.now_ms;
	if (c->refused)
		return HTTP_GO_ON;
	if (r->body_seen > (uint64) VecdbHttpMaxBody_kb * 1024)
	{
		/* The answer goes out now; what the client still sends is read for LINGER_MS and thrown away. */
		front.counters.rejected[METRICS_REJECT_GUARD]++;
		ReplyRaw(c, 413, "Content Too Large", "the body is too large", "The limit is the setting vecdb.http_max_body.");
		shutdown(c->fd, SHUT_WR);
		RequestDropBody(r);
		c->refused = true;
		ClientEnter(c, CLIENT_BODY, LINGER_MS);
		return HTTP_GO_ON;
	}
	if (r->state != REQUEST_ANSWERED && (has_body(r->method) || r->method == HTTP_DELETE) && !RequestKeepBody(r, data, len))
	{
		RequestDropBody(r);
		front.counters.rejected[METRICS_REJECT_MEMORY]++;
		ReplyError(r, 503, "53200", "too many bodies are in memory", "The limit is the setting vecdb.http_max_buffered.");
	}
	return HTTP_GO_ON;
}

static HttpVerdict
on_complete(void *client)
{
	Client	   *c = client;
	Request    *r = c->request;

	if (!r || c->gone || c->refused)
		return HTTP_CLOSE;
	if (r->state == REQUEST_ANSWERED && r->metrics)
		ReplyMetrics(r);
	if (r->state == REQUEST_ANSWERED)
		return ReplySend(c);

	Assert(r->state == REQUEST_ARRIVING);
	if (r->await ? !AwaitEnter(r) : !QueueEnter(r))
		return ReplySend(c);
	ClientEnter(c, CLIENT_WAITING, r->await ? AwaitTimeout(r) : r->metrics ? METRICS_WAIT_MS : -1);
	ClientWatchSoon(c);
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
		/* The library itself refused the request. */
		if (status != 0 && status != r->status && !c->refused && !c->gone)
		{
			front.counters.rejected[METRICS_REJECT_GUARD]++;
			r->status = status;
			r->answer_len = 0;
			c->linger = true;
		}
		ReplyLog(c, r, sent);
		r->client = NULL;
		/* One that runs is freed when its executor is done with it. */
		if (r->state != REQUEST_RUNNING)
			RequestFree(r);
	}
	if (front.stop_ms != 0 || c->server->kind == SERVER_DRAINING)
		shutdown(c->fd, SHUT_RDWR);
	ClientEnter(c, CLIENT_IDLE, VecdbHttpIdleTimeout_ms);
}

static void
on_closed(void *client)
{
	Client	   *c = client;

	if (c->request)
		on_finished(c, 0, false);
	ClientUnwatch(c);
	ClientClearDeadline(c);
	if (c->phase == CLIENT_IDLE)
		dlist_delete(&c->phase_node);
	dlist_delete(&c->node);
	c->server->connections--;

	/* At its limit of connections the library listens again in its next run only. */
	c->server->to_run = true;
	if (c->server->kind != SERVER_ADMIN)
		front.counters.connections--;
	if (c->linger && front.stop_ms == 0)
		LingerBegin(c->fd);
	NetworkLeave(c->network);
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

const HttpHooks front_hooks = {
	.accepted = on_accepted,
	.started = on_started,
	.headers = on_headers,
	.body = on_body,
	.complete = on_complete,
	.finished = on_finished,
	.closed = on_closed,
	.panic = on_panic
};
