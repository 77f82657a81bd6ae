/*
 * microhttpd.c
 *	  Adapter of libmicrohttpd (0.9.75 and 1.0).
 *
 * Plain C: nothing of PostgreSQL is called here.
 */
#include "http/microhttpd.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct HttpServer
{
	struct MHD_Daemon *daemon;
	const HttpHooks *hooks;
	void	   *arg;
};

/* What the library keeps for a connection. */
typedef struct Connection
{
	HttpServer *server;
	void	   *client;
	enum
	{
		HTTP_PHASE_NONE,
		HTTP_PHASE_STARTED,
		HTTP_PHASE_BODY
	}			phase;
	const char *uri;			/* where it stood; not to be read any more */
	size_t		uri_len;
} Connection;

/*
 * Finds a NUL or a bare LF that a client sent in the head of a request.  The library
 * writes a NUL behind each string that it finds, and so its strings seem to end at
 * a client's NUL.  But they lie in its buffer as the bytes came.  So the next string
 * of the request line must begin one byte behind the end of the one before.  Before
 * 1.0 the same goes for headers, where the library also ends lines at a bare LF and
 * joins a header of several lines: each must begin two bytes, for CR LF, behind the
 * one before.  From 1.0 on the library refuses such headers itself.
 */
typedef struct Collector
{
	GuardRequest *request;
	const char *expected;		/* where the next string must begin; NULL: not known */
} Collector;

static void (*panic_hook) (const char *file, unsigned line, const char *reason);

static void
on_panic(void *arg, const char *file, unsigned line, const char *reason)
{
	(void) arg;
	if (panic_hook)
		panic_hook(file, line, reason);
	abort();
}

static Connection *
connection_of(struct MHD_Connection *conn)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void
on_connection(void *arg, struct MHD_Connection *conn, void **context, enum MHD_ConnectionNotificationCode code)
{
	HttpServer *server = arg;
	Connection *self = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		/* Each answer may be overwritten by the next one. */
		int			fd = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		const struct sockaddr *peer = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;

		self = calloc(1, sizeof(*self));
		if (self)
		{
			self->server = server;
			self->client = server->hooks->accepted(server->arg, conn, fd, peer);
			if (!self->client)
			{
				free(self);
				self = NULL;
			}
		}
		if (!self)
			shutdown(fd, SHUT_RDWR);
		*context = self;
	}
	else if (self)
	{
		server->hooks->closed(self->client);
		free(self);
		*context = NULL;
	}
}

static void *
on_uri(void *arg, const char *uri, struct MHD_Connection *conn)
{
	HttpServer *server = arg;
	Connection *self = connection_of(conn);

	if (self)
	{
		self->phase = HTTP_PHASE_STARTED;
		self->uri = uri;
		self->uri_len = uri ? strlen(uri) : 0;
		server->hooks->started(self->client, uri ? uri : "");
	}
	return self;
}

static bool
library_is_strict(void)
{
	return atoi(MHD_get_version()) >= 1;
}

static enum MHD_Result
collect_header(void *arg, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value, size_t value_len)
{
	Collector  *self = arg;
	GuardRequest *r = self->request;

	(void) kind;
	if (self->expected && name != self->expected)
		r->stray_bytes = true;
	if (self->expected)
		self->expected = value ? value + value_len + 2 : NULL;

	if (r->nheaders < GUARD_MAX_HEADERS)
	{
		GuardHeader *h = &r->headers[r->nheaders];

		h->name = name;
		h->name_len = name_len;
		h->value = value ? value : "";
		h->value_len = value ? value_len : 0;
	}
	r->nheaders++;
	return MHD_YES;
}

static enum MHD_Result
on_request(void *arg, struct MHD_Connection *conn, const char *url, const char *method, const char *version,
		   const char *data, size_t *data_len, void **context)
{
	HttpServer *server = arg;
	Connection *self = *context;
	HttpVerdict verdict;

	(void) url;
	if (!self)
		return MHD_NO;
	if (self->phase == HTTP_PHASE_STARTED)
	{
		GuardRequest request;
		Collector	collector = {&request, NULL};

		memset(&request, 0, offsetof(GuardRequest, headers));
		request.method = method;
		request.version = version;
		if (version[0] != '\0')
		{
			request.stray_bytes = self->uri != method + strlen(method) + 1 || version != self->uri + self->uri_len + 1;
			if (!library_is_strict())
				collector.expected = version + strlen(version) + 2;
		}
		MHD_get_connection_values_n(conn, MHD_HEADER_KIND, collect_header, &collector);

		/* The end of the head by the library's count: behind the last header, its CR LF and that of the empty line. */
		if (collector.expected && !request.stray_bytes)
		{
			const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

			request.stray_bytes = memcmp(collector.expected - 2, "\0\0\0", 4) != 0 ||
				info == NULL || (size_t) (collector.expected + 2 - method) != info->header_size;
		}
		self->phase = HTTP_PHASE_BODY;
		verdict = server->hooks->headers(self->client, &request);
	}
	else if (*data_len > 0)
	{
		verdict = server->hooks->body(self->client, data, *data_len);
		*data_len = 0;
	}
	else
	{
		verdict = server->hooks->complete(self->client);
		if (verdict == HTTP_WAIT)
			MHD_suspend_connection(conn);
	}
	return verdict == HTTP_CLOSE ? MHD_NO : MHD_YES;
}

static void
on_completed(void *arg, struct MHD_Connection *conn, void **context, enum MHD_RequestTerminationCode code)
{
	HttpServer *server = arg;
	Connection *self = *context;

	if (self && self->phase != HTTP_PHASE_NONE)
	{
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(conn, MHD_CONNECTION_INFO_HTTP_STATUS);

		self->phase = HTTP_PHASE_NONE;
		server->hooks->finished(self->client, info ? (int) info->http_status : 0, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	}
	*context = NULL;
}

HttpServer *
http_server_start(int listen_fd, size_t pool_bytes, unsigned max_connections, unsigned max_per_address,
				  const HttpHooks *hooks, void *arg)
{
	HttpServer *self = calloc(1, sizeof(*self));

	if (!self)
		return NULL;
	self->hooks = hooks;
	self->arg = arg;
	panic_hook = hooks->panic;
	MHD_set_panic_func(on_panic, NULL);
	self->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC, 0, NULL, NULL,
									on_request, self,
									MHD_OPTION_LISTEN_SOCKET, listen_fd,
									MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool_bytes,
									MHD_OPTION_CONNECTION_LIMIT, max_connections,
									MHD_OPTION_PER_IP_CONNECTION_LIMIT, max_per_address,
									MHD_OPTION_CONNECTION_TIMEOUT, 0U,
									MHD_OPTION_STRICT_FOR_CLIENT, library_is_strict() ? 1 : 0,
									MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
									MHD_OPTION_URI_LOG_CALLBACK, on_uri, self,
									MHD_OPTION_NOTIFY_CONNECTION, on_connection, self,
									MHD_OPTION_NOTIFY_COMPLETED, on_completed, self,
									MHD_OPTION_END);
	if (!self->daemon)
	{
		free(self);
		return NULL;
	}
	return self;
}

int
http_server_fd(HttpServer *self)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	return info->epoll_fd;
}

int64_t
http_server_timeout_ms(HttpServer *self)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(self->daemon, &ms) != MHD_YES)
		return -1;
	return ms > INT32_MAX ? INT32_MAX : (int64_t) ms;
}

void
http_server_run(HttpServer *self)
{
	MHD_run(self->daemon);
}

int
http_server_quiesce(HttpServer *self)
{
	return MHD_quiesce_daemon(self->daemon);
}

void
http_server_stop(HttpServer *self)
{
	MHD_stop_daemon(self->daemon);
	free(self);
}

const char *
http_library_version(void)
{
	return MHD_get_version();
}

void
http_resume(HttpConnection *conn)
{
	MHD_resume_connection(conn);
}

bool
http_reply(HttpConnection *conn, unsigned status, const char *headers, size_t headers_len,
		   char *body, size_t body_len, bool last)
{
	struct MHD_Response *response;
	const char *end = headers + headers_len;
	bool		done;

	response = MHD_create_response_from_buffer(body ? body_len : 0, body, body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (!response)
	{
		free(body);
		return false;
	}
	while (headers < end)
	{
		const char *value = headers + strlen(headers) + 1;

		if (MHD_add_response_header(response, headers, value) != MHD_YES)
		{
			MHD_destroy_response(response);
			return false;
		}
		headers = value + strlen(value) + 1;
	}
	if (last && MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") != MHD_YES)
	{
		MHD_destroy_response(response);
		return false;
	}
	done = MHD_queue_response(conn, status, response) == MHD_YES;
	MHD_destroy_response(response);
	return done;
}
