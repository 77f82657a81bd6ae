/*
 * reply.c
 *	  Answers: made here or by an executor, handed to the library, logged.
 *
 * How an error is written is up to the surface that the request is for; before one
 * is known, to the default one of the port.
 */
#include "http/front.h"

#include "guc.h"
#include "http/token/jwt.h"

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

bool
ReplyHeaders(Request *r, const char *const *pairs)
{
	free(r->answer_headers);
	r->answer_headers = join_headers(pairs, &r->answer_headers_len);
	return r->answer_headers != NULL;
}

/* Put the headers for the browser behind the answer's own; false: no memory. */
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

void
ReplyError(Request *r, int status, const char *code, const char *message, const char *hint)
{
	const HttpSurface *surface = r->route.surface;
	const HttpError error = {.status = status,.code = code,.message = message,.hint = hint};
	const char *pairs[9] = {"Content-Type", surface->error_type};
	char		challenge[256];
	int			n = 2;

	free(r->answer);
	r->status = status;
	r->answer = surface->error_body(&error, &r->answer_len);
	if (status == 405)
	{
		pairs[n++] = "Allow";
		pairs[n++] = r->route.def ? r->route.def->allow : surface->allow;
	}
	if (status == 503 || status == 429)
	{
		pairs[n++] = "Retry-After";
		pairs[n++] = "1";
	}
	if (status == 401)
	{
		/* RFC 6750, 3: there is no error to tell of where there was no token. */
		if (code && strcmp(code, JWT_CODE_NONE) == 0)
			strlcpy(challenge, "Bearer", sizeof(challenge));
		else
			snprintf(challenge, sizeof(challenge), "Bearer error=\"invalid_token\", error_description=\"%s\"", message);
		pairs[n++] = "WWW-Authenticate";
		pairs[n++] = challenge;
	}
	ReplyHeaders(r, pairs);
	r->state = REQUEST_ANSWERED;
}

void
ReplyNoExecutor(Request *r, const char *code)
{
	ReplyError(r, 503, code, "no executor is connected to the database",
			   "The server's log says why; see vecdb.http_database and vecdb.http_role.");
}

void
ReplyNoMemory(Request *r)
{
	ReplyError(r, 503, "53200", "out of memory", NULL);
}

void
ReplyStopping(Request *r)
{
	ReplyError(r, 503, "57P01", "the server is shutting down", NULL);
}

void
ReplyText(Request *r, int status, const char *type, const char *text)
{
	r->status = status;
	r->answer = strdup(text);
	r->answer_len = r->answer ? strlen(text) : 0;
	ReplyHeaders(r, (const char *const[]) {"Content-Type", type, NULL});
	r->state = REQUEST_ANSWERED;
}

HttpVerdict
ReplySend(Client *c)
{
	Request    *r = c->request;
	char	   *body = r->answer;

	if (!append_site_headers(r))
		return HTTP_CLOSE;
	r->answer = NULL;
	if (front.stop_ms != 0 || c->server->kind == SERVER_DRAINING)
		r->last = true;
	c->since_ms = c->sampled_ms = c->window_ms = front.now_ms;
	c->taken = c->window_taken = ClientBytesTaken(c);
	c->slow_since_ms = 0;
	c->pace = UINT64_MAX;
	ClientEnter(c, CLIENT_SENDING, Min(SAMPLE_MS, VecdbHttpBodyTimeout_ms));
	if (!http_reply(c->conn, r->status, r->answer_headers, r->answer_headers_len, body, r->answer_len, r->last))
		return HTTP_CLOSE;
	return HTTP_REPLIED;
}

/*
 * Answer on the socket itself and close: where the library cannot take an
 * answer because the request is not complete.
 */
void
ReplyRaw(Client *c, int status, const char *reason, const char *message, const char *hint)
{
	const HttpSurface *surface = c->request ? c->request->route.surface : surface_default(c->server->port);
	const HttpError error = {.status = status,.message = message,.hint = hint};
	char		head[256];
	size_t		len;
	char	   *body = surface->error_body(&error, &len);

	if (body)
	{
		snprintf(head, sizeof(head),
				 "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
				 status, reason, surface->error_type, len);
		/* If the socket's buffer has no room for these few bytes, the client gets no answer. */
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

/* What a client or its token chose, cut to size, as it may be in one line of the log. */
static void
to_log(char *out, size_t size, const char *s, size_t len)
{
	size_t		n = Min(len, size - 1);

	for (size_t i = 0; i < n; i++)
		out[i] = s[i] > ' ' && s[i] < 0x7F ? s[i] : '?';
	out[n] = '\0';
}

void
ReplyLog(Client *c, Request *r, bool sent)
{
	int64		us = FrontMonotonicUs() - r->started_us;
	int			status = sent || r->raw ? r->status : 499;
	char		target[512];
	char		shown_role[64];
	const char *role = r->role ? r->role : VecdbHttpAnonRole[0] != '\0' ? VecdbHttpAnonRole : "-";

	if (c->server->kind == SERVER_ADMIN)
		return;
	MetricsCountRequest(&front.counters, r->route.surface->id, status, us / 1e6);
	if (VecdbHttpAccessLogs == HTTP_ACCESS_LOG_OFF ||
		(VecdbHttpAccessLogs == HTTP_ACCESS_LOG_ERRORS && status < 400))
		return;
	to_log(target, sizeof(target), r->target, r->target_len);
	to_log(shown_role, sizeof(shown_role), role, strlen(role));
	ereport(LOG,
			(errmsg_internal("http: %s %s %s %d %zu bytes %.3f ms role=%s", c->address,
							 guard_method_name(r->method), target, status, r->answer_len, us / 1000.0,
							 shown_role),
			 errhidestmt(true), errhidecontext(true)));
}

/* Make the headers that tell a browser whether its page may read the answer (CORS). */
bool
ReplySiteHeaders(Request *r, const SiteResult *site)
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
		pairs[n++] = "Location, Retry-After, Allow, WWW-Authenticate, Content-Range, Content-Location, Preference-Applied, Server-Timing, "
			"Vecdb-Commit-Token";
	}
	if (site->allow_origin && site->preflight)
	{
		pairs[n++] = "Access-Control-Allow-Methods";
		pairs[n++] = r->route.surface->allow;
		pairs[n++] = "Access-Control-Allow-Headers";
		pairs[n++] = "Content-Type, Authorization, apikey, X-Client-Info, X-Supabase-Api-Version, X-Retry-Count, Accept-Profile, Content-Profile, Prefer, Range, "
			"Range-Unit, Vecdb-Wait-For, Vecdb-Wait-Timeout";
		pairs[n++] = "Access-Control-Max-Age";
		pairs[n++] = "600";
	}
	pairs[n] = NULL;
	free(r->site_headers);
	r->site_headers = join_headers(pairs, &r->site_headers_len);
	free(origin);
	return r->site_headers != NULL;
}

/*
 * The front's own counters, and below them the text about collections: what an
 * executor has just answered, or else what one answered last.
 */
void
ReplyMetrics(Request *r)
{
	if (r->answer && r->status == 200)
	{
		free(front.collections_text);
		front.collections_text = r->answer;
		front.collections_text_len = r->answer_len;
		r->answer = NULL;
	}
	free(r->answer);

	/* The number of buffered bytes is to be without this request's own. */
	front.counters.buffered -= r->counted;
	r->counted = 0;
	r->answer = MetricsText(&front.counters, front.shared, front.worker_busy, http_library_version(), front.collections_text, front.collections_text_len, &r->answer_len);
	r->status = r->answer ? 200 : 503;
	ReplyHeaders(r, (const char *const[]) {"Content-Type", "text/plain; version=0.0.4; charset=utf-8", NULL});
}
