/*
 * transport_start.c
 *	  How a transport starts and ends: descriptors, sockets, libzmq's threads.
 *
 * What libzmq does from here on is contained (contain.h): its threads are told from
 * ours by being those that appear between contain_threads_begin() and
 * contain_threads_end(), with every signal blocked.
 */
#include "net/transport_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#ifndef ZMQ_ZAP_ENFORCE_DOMAIN	/* 4.3.4 has it, its header only among drafts */
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

#define INBOUND_LEAST 128		/* fewer are no choice of ours */
#define HANDSHAKE_MS 5000
#define HEARTBEAT_MS 10000
#define HEARTBEAT_TIMEOUT_MS 30000
#define DESTROY_MS 2000
#define DESCRIPTORS_PER_LINK 5
#define DESCRIPTORS_BASE 48

static int
open_descriptors(void)
{
	DIR		   *dir = opendir("/proc/self/fd");
	int			n = 0;

	if (dir == NULL)
		return 64;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

/* Where descriptors are few there are fewer connections of others, but not too few. */
static bool
descriptors_suffice(Transport *self, char *error, size_t room)
{
	struct rlimit limit;
	long		missing;
	long		needed = DESCRIPTORS_BASE + DESCRIPTORS_PER_LINK * self->config.max_links +
		self->config.max_inbound + INBOUND_SPARE;
	long		open = open_descriptors();

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return true;
	missing = needed + open - (long) limit.rlim_cur;
	if (missing > 0 && self->config.max_inbound - missing >= INBOUND_LEAST)
	{
		self->config.max_inbound -= (int) missing;
		missing = 0;
	}
	if (missing <= 0)
		return true;
	return transport_error(error, room, "the limit of open files is %ld, %ld are open, and %d links and %d connections of others need %ld: it is too low by %ld (ulimit -n, LimitNOFILE of systemd)",
				  (long) limit.rlim_cur, open, self->config.max_links, self->config.max_inbound, needed, missing);
}

static bool
zmq_failed(char *error, size_t room, const char *what)
{
	return transport_error(error, room, "could not %s: %s", what, zmq_strerror(zmq_errno()));
}

static bool
start_sockets(Transport *self, char *error, size_t room)
{
	void	   *router;
	int			given;
	char		endpoint[32];
	unsigned	seed;

	self->context = zmq_ctx_new();
	if (self->context == NULL)
		return zmq_failed(error, room, "start libzmq");
	zmq_ctx_set(self->context, ZMQ_IO_THREADS, 1);
	zmq_ctx_set(self->context, ZMQ_IPV6, 1);

	self->zap.socket = zmq_socket(self->context, ZMQ_REP);
	if (self->zap.socket == NULL || !port_set_int(self->zap.socket, ZMQ_LINGER, 0) ||
		zmq_bind(self->zap.socket, "inproc://zeromq.zap.01") != 0 || !port_add(self, &self->zap))
		return zmq_failed(error, room, "start the authentication handler");

	/* Routing ids are counted from rand(), which libzmq seeds with the time. */
	randombytes_buf(&seed, sizeof seed);
	srand(seed);
	router = self->router.socket = zmq_socket(self->context, ZMQ_ROUTER);
	if (router == NULL)
		return zmq_failed(error, room, "make a socket");
	if (!port_set_int(router, ZMQ_CURVE_SERVER, 1) ||
		zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, self->config.curve_secret, CORE_KEY_BYTES) != 0 ||
		zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, DOMAIN_NAME, strlen(DOMAIN_NAME)) != 0 ||
		!port_set_int(router, ZMQ_ZAP_ENFORCE_DOMAIN, 1) ||
		!port_set_int(router, ZMQ_ROUTER_MANDATORY, 1) ||
		!port_set_limits(self, router))
		return zmq_failed(error, room, "set up a socket with this libzmq");

	/* Before the first connection: what has come in must all be seen. */
	if (zmq_socket_monitor(router, "inproc://router.monitor",
						   ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED | ZMQ_EVENT_DISCONNECTED |
						   ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
						   ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) != 0)
		return zmq_failed(error, room, "watch a socket");
	self->monitor.socket = zmq_socket(self->context, ZMQ_PAIR);
	if (self->monitor.socket == NULL || !port_set_int(self->monitor.socket, ZMQ_LINGER, 0) ||
		!port_set_int(self->monitor.socket, ZMQ_RCVHWM, 20000) ||
		zmq_connect(self->monitor.socket, "inproc://router.monitor") != 0 || !port_add(self, &self->monitor))
		return zmq_failed(error, room, "watch a socket");

	/* libzmq closes the descriptor that it is given; the other is ours. */
	given = fcntl(self->listener, F_DUPFD_CLOEXEC, 0);
	if (given < 0)
		return transport_error(error, room, "could not duplicate a descriptor: %s", strerror(errno));
	snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", self->port);
	if (!port_set_int(router, ZMQ_USE_FD, given) || zmq_bind(router, endpoint) != 0)
	{
		int			why = zmq_errno();

		close(given);
		return transport_error(error, room, "could not bind a socket: %s", zmq_strerror(why));
	}
	return port_add(self, &self->router) || zmq_failed(error, room, "watch a socket");
}

static bool
start_contained(Transport *self, char *error, size_t room)
{
	ContainFrame call;
	bool		ok;

	self->containment = contain_new();
	if (self->containment == NULL)
		return transport_error(error, room, "no more than some dozens of transports in one process");
	if (!CONTAIN_ENTER(self->containment, call))
		return transport_error(error, room, "libzmq has aborted");
	ok = contain_threads_begin(self->containment);
	if (ok)
		ok = start_sockets(self, error, room) &&
			(contain_threads_end(self->containment) || transport_error(error, room, "could not tell libzmq's threads: is /proc mounted?"));
	else
		transport_error(error, room, "could not list the threads of the process: is /proc mounted?");
	contain_leave(&call);
	return ok;
}

Transport *
transport_new(const TransportConfig *config, char *error, size_t room)
{
	Transport  *self;
	struct epoll_event event = {.events = EPOLLIN};
	sigset_t	all;
	sigset_t	before;
	bool		ok;

	if (config->max_links < 1 || config->max_links > TRANSPORT_LINKS_MAX ||
		config->max_inbound < 1 || config->max_inbound > TRANSPORT_INBOUND_MAX)
	{
		transport_error(error, room, "%d links and %d connections of others are not within 1 to %d and 1 to %d",
			   config->max_links, config->max_inbound, TRANSPORT_LINKS_MAX, TRANSPORT_INBOUND_MAX);
		return NULL;
	}
	self = calloc(1, sizeof *self);
	if (self == NULL)
	{
		transport_error(error, room, "out of memory");
		return NULL;
	}
	self->config = *config;
	if (self->config.handshake_ms == 0)
		self->config.handshake_ms = HANDSHAKE_MS;
	if (self->config.heartbeat_ms == 0)
		self->config.heartbeat_ms = HEARTBEAT_MS;
	if (self->config.heartbeat_timeout_ms == 0)
		self->config.heartbeat_timeout_ms = HEARTBEAT_TIMEOUT_MS;
	self->epoll = self->wake = self->listener = self->spare = -1;
	if (sodium_init() < 0)
		ok = transport_error(error, room, "libsodium cannot be initialised");
	else
		ok = descriptors_suffice(self, error, room) && listener_open(self, error, room);
	if (ok)
	{
		self->epoll = epoll_create1(EPOLL_CLOEXEC);
		self->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		event.data.ptr = NULL;
		if (self->epoll < 0 || self->wake < 0 || epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->wake, &event) != 0)
			ok = transport_error(error, room, "could not make a set of descriptors: %s", strerror(errno));
	}
	if (ok)
	{
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		ok = start_contained(self, error, room);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (!ok)
		transport_destroy(&self);
	return self;
}

static void *
context_term(void *context)
{
	while (zmq_ctx_term(context) != 0 && zmq_errno() == EINTR)
		;
	return NULL;
}

/*
 * End libzmq's threads.  That waits for them for as long as it takes, so a thread
 * of our own does; false when they do not end in time.
 */
static bool
context_end(Transport *self)
{
	pthread_t	thread;
	sigset_t	all;
	sigset_t	before;
	int			status;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = pthread_create(&thread, NULL, context_term, self->context);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (status != 0)
	{
		context_term(self->context);
		return true;
	}
	for (int waited = 0; waited < DESTROY_MS && !contain_aborted(self->containment); waited += 50)
	{
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 50 * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0)
			return true;
	}
	pthread_detach(thread);
	return false;
}

static bool
close_sockets(Transport *self)
{
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
		if (self->out[i].link.used)
			out_forget(self, &self->out[i], false);
	if (self->monitor.socket != NULL)
	{
		/* Full, it would hold libzmq's thread, and that a lock which the next call wants. */
		zmq_msg_t	msg;

		zmq_msg_init(&msg);
		while (port_receive(&msg, self->monitor.socket) >= 0)
			;
		zmq_msg_close(&msg);
		zmq_socket_monitor(self->router.socket, NULL, 0);
	}
	port_close(self, &self->monitor, 0);
	port_close(self, &self->router, LINGER_MS);
	port_close(self, &self->zap, 0);
	return self->context == NULL || context_end(self);
}

/* False when libzmq has been left where it is. */
static bool
end_contained(Transport *self)
{
	ContainFrame call;
	bool		ok;

	if (transport_broken(self) || !CONTAIN_ENTER(self->containment, call))
		return false;
	ok = close_sockets(self);
	contain_leave(&call);
	return ok;
}

void
transport_destroy(Transport **pointer)
{
	Transport  *self = *pointer;

	*pointer = NULL;
	if (self == NULL)
		return;
	if (self->listener >= 0)
		listener_close(self, true);
	if (end_contained(self))
		contain_free(&self->containment);
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		out_drop_waiting(&self->out[i]);
		account_release(self->out[i].link.account);
	}
	for (int i = 0; i < INBOUND_SLOTS; i++)
		account_release(self->in[i].link.account);
	if (self->epoll >= 0)
		close(self->epoll);
	if (self->wake >= 0)
		close(self->wake);
	if (self->spare >= 0)
		close(self->spare);
	if (self->listener >= 0)
		close(self->listener);
	free(self->by_fd);
	sodium_memzero(self->config.curve_secret, sizeof self->config.curve_secret);
	free(self);
}
