/*
 * listener.c
 *	  Listening sockets, and the library's servers behind them.
 */
#include "http/front.h"

#include <netdb.h>
#include <unistd.h>

#include "guc.h"

/* How long the front waits before it tries again to open a listening socket. */
#define LISTEN_RETRY_MS			2000

/* The most bytes that the library keeps for a header or a parameter beside its text. */
#define ITEM_BYTES				64

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
 * Open a listening socket; -1 after a line in the log.  replaces, which may be NULL,
 * is the server that the socket takes over from: if it has the same port it is closed
 * first, since of two addresses with one port one may include the other.
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
				 errhint("Whoever reaches it would act as role \"%s\". Give a key for tokens, vecdb.http_jwt_key_file, or set vecdb.http_allow_remote if that is wanted.", VecdbHttpAnonRole)));
		freeaddrinfo(found);
		return -1;
	}
	if (replaces && replaces->http && replaces->tcp_port == port)
	{
		int			old = http_server_quiesce(replaces->http);

		if (old >= 0)
			close(old);
		/* Without an address the server counts as moved, so that listening is tried again. */
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

void
ListenerStop(Server *s)
{
	dlist_iter	iter;

	if (!s->http)
		return;
	/* No connection may be suspended when the library stops. */
	dlist_foreach(iter, &s->clients)
	{
		Client	   *c = dlist_container(Client, node, iter.cur);

		if (c->phase == CLIENT_WAITING && !c->gone)
			ClientAbandon(c);
	}
	http_server_stop(s->http);
	s->http = NULL;
	front.wait_set_stale = true;
}

/* Memory of a connection in the library: a request line and its headers, and the headers of our answer. */
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
	s->http = http_server_start(fd, s->pool_bytes, s->max_connections, s->max_per_address, &front_hooks, s);
	if (!s->http)
	{
		ereport(LOG, (errmsg("HTTP library refused to start")));
		close(fd);
		return false;
	}
	s->fd = fd;
	s->tcp_port = port;
	free(s->address);
	s->address = strdup(host);
	front.wait_set_stale = true;
	ereport(LOG, (errmsg("%s listens on %s port %d", admin ? "HTTP administration" : "HTTP", host, port)));
	return true;
}

/* A reload has taken the key or vecdb.http_allow_remote away from a socket that other machines reach. */
static bool
is_forbidden(const Server *s, bool remote_allowed)
{
	struct sockaddr_storage address;
	socklen_t	len = sizeof(address);

	return s->http && !remote_allowed &&
		(getsockname(s->fd, (struct sockaddr *) &address, &len) != 0 || !is_loopback((struct sockaddr *) &address));
}

/*
 * Connections of a server that is replaced are not cut off: the server goes on
 * without a listening socket until they are idle.
 */
void
ListenersAdjust(void)
{
	Server	   *s = &front.servers[SERVER_MAIN];
	bool		remote_allowed = VecdbHttpAllowRemote || BearerIsOn();
	bool		forbidden = is_forbidden(s, remote_allowed);
	bool		moved = forbidden || !s->http || s->tcp_port != VecdbHttpPort || !s->address || strcmp(s->address, VecdbHttpListen) != 0;
	bool		resized = s->http &&
		(s->pool_bytes != main_pool_bytes() ||
		 s->max_connections != VecdbHttpMaxConnections || s->max_per_address != VecdbHttpMaxPerAddress);

	front.listen_retry_ms = 0;
	if (moved || resized)
	{
		int			fd = -1;

		if (moved)
		{
			fd = open_listener(VecdbHttpListen, VecdbHttpPort, remote_allowed, s);
			if (fd < 0)
				front.listen_retry_ms = front.now_ms + LISTEN_RETRY_MS;
		}
		if (s->http && (fd >= 0 || !moved || forbidden))
		{
			Server	   *draining = &front.servers[SERVER_DRAINING];
			dlist_mutable_iter iter;
			int			old;

			ListenerStop(draining);
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

	s = &front.servers[SERVER_ADMIN];
	if (s->http && s->tcp_port != VecdbHttpAdminPort)
		ListenerStop(s);
	if (!s->http && VecdbHttpAdminPort != 0)
	{
		int			fd = open_listener("127.0.0.1", VecdbHttpAdminPort, false, NULL);

		if (fd >= 0)
			start_server(s, fd, "127.0.0.1", VecdbHttpAdminPort);
		else
			front.listen_retry_ms = front.now_ms + LISTEN_RETRY_MS;
	}
}
