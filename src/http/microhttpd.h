/*
 * microhttpd.h
 *	  The only file that calls libmicrohttpd.  It has connections and their bytes;
 *	  what a request means is decided by the hooks.
 *
 * The library runs in external epoll mode without threads: all of it happens
 * inside http_server_run, which calls the hooks.  Hooks must return; nothing
 * may jump across the library's frames, so no hook may raise an error.
 *
 * A connection carries one request at a time:
 *
 *	  accepted -> ( started -> headers -> body* -> complete -> finished )* -> closed
 *
 * started comes when the request line is there.  A request that is refused may
 * skip any of the steps between; a connection may close after any of them.
 */
#ifndef VECDB_HTTP_MICROHTTPD_H
#define VECDB_HTTP_MICROHTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "http/guard.h"

typedef struct HttpServer HttpServer;
typedef struct MHD_Connection HttpConnection;

typedef enum HttpVerdict
{
	HTTP_GO_ON,					/* read on */
	HTTP_WAIT,					/* from complete only: suspend until http_resume(), then call complete again */
	HTTP_REPLIED,				/* http_reply was called */
	HTTP_CLOSE					/* close the connection now */
} HttpVerdict;

typedef struct HttpHooks
{
	/* A new connection; what it returns goes to the other hooks.  NULL refuses. */
	void	   *(*accepted) (void *server_arg, HttpConnection *conn, int fd, const struct sockaddr *peer);
	void		(*started) (void *client, const char *uri);
	HttpVerdict (*headers) (void *client, const GuardRequest *request);
	HttpVerdict (*body) (void *client, const char *data, size_t len);
	HttpVerdict (*complete) (void *client);

	/*
	 * The request is over.  sent: the answer is out.  status is the answer's, which
	 * may be one of the library itself, or 0: there was none.
	 */
	void		(*finished) (void *client, int status, bool sent);
	void		(*closed) (void *client);
	void		(*panic) (const char *file, unsigned line, const char *reason);
} HttpHooks;

/*
 * Serve the listening socket, which belongs to the library from now on.
 * pool_bytes is what a request line and headers may take for each connection.
 * NULL when the library refuses.
 */
extern HttpServer *http_server_start(int listen_fd, size_t pool_bytes, unsigned max_connections,
									 unsigned max_per_address, const HttpHooks *hooks, void *arg);

/* The descriptor to wait for, and how long at most: -1 is for ever. */
extern int	http_server_fd(HttpServer *server);
extern int64_t http_server_timeout_ms(HttpServer *server);

/* Do what can be done without waiting. */
extern void http_server_run(HttpServer *server);

/* Accept no more and hand back the listening socket; connections go on. */
extern int	http_server_quiesce(HttpServer *server);

/* Close every connection; none may be suspended. */
extern void http_server_stop(HttpServer *server);

extern const char *http_library_version(void);

extern void http_resume(HttpConnection *conn);

/*
 * Queue the answer, from within the hooks headers and complete.  headers is a
 * run of "name NUL value NUL" of headers_len bytes; body is malloc'ed and
 * changes hands, also on failure, or is NULL.  last closes the connection
 * after the answer.
 */
extern bool http_reply(HttpConnection *conn, unsigned status, const char *headers, size_t headers_len,
					   char *body, size_t body_len, bool last);

#endif							/* VECDB_HTTP_MICROHTTPD_H */
