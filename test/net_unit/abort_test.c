/*
 * abort_test.c
 *	  What a peer can do to make libzmq abort, and that the process outlives it.
 *
 * Each case runs in a process of its own, forked before there is any thread; its
 * exit status is the assertion.  Those that show libzmq's own behaviour, without
 * what contain.c and transport.c do about it, expect SIGABRT.
 */
#include "zmtp_peer.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "net/contain.h"

typedef int (*Case) (void);

/* Its wait status.  What it writes to stderr, libzmq's assertions, is not for the log. */
static int
run_case(Case function)
{
	pid_t		pid = fork();
	int			status = -1;

	if (pid == 0)
	{
		int			null = open("/dev/null", O_WRONLY);

		prctl(PR_SET_DUMPABLE, 0);
		alarm(4 * PATIENCE_MS / 1000);	/* one that hangs ends here */
		if (getenv("SHOW") == NULL)
			dup2(null, 2);
		_exit(function());
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

static bool
survives(Case function)
{
	int			status = run_case(function);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
	{
		if (WIFSIGNALED(status))
			diag("signal %d", WTERMSIG(status));
		else
			diag("line %d", WEXITSTATUS(status));
		return false;
	}
	return true;
}

/* In a case: the line where it failed, as far as a byte goes. */
#define must(condition) \
	do { \
		if (!(condition)) \
		{ \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition); \
			return __LINE__ % 255 + 1; \
		} \
	} while (0)

static Peer a;
static Peer b;
static Peer *one[] = {&a};
static Peer *both[] = {&a, &b};

static bool
friend_is_served(void)
{
	int			before = a.frames;

	if (b.transport == NULL && !peer_start(&b))
		return false;
	return peer_send(&b, &a, "friend", 6) == TRANSPORT_SENT && pump(both, 2, a.frames > before && a.last_len == 6);
}

/* ---- a server whose short key is of low order ---- */

/* Of order 1, 4 and 8 (https://cr.yp.to/ecdh.html). */
static const uint8_t low_order[][32] = {
	{0},
	{1},
	{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
	0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
};

static int
low_order_welcome(void)
{
	must(peer_start(&a));
	must(contain_shields_keys());
	for (size_t i = 0; i < sizeof low_order / sizeof low_order[0]; i++)
	{
		Zmtp		server = {.fd = -1};
		uint16_t	port;
		int			listener = tcp_listen(&port);
		NetAddress	at = own_address(port);
		int			unreachable = a.unreachable;

		must(listener >= 0);
		crypto_box_keypair(server.long_public, server.long_secret);
		must(transport_send(a.transport, now_ms(), server.long_public, &at, 1, (const uint8_t *) "x", 1) == TRANSPORT_SENT);
		must(zmtp_serve(&server, listener, one, 1));
		must(zmtp_welcome(&server, low_order[i]));
		clock_ahead_ms += 7000;	/* the attempt's time is over */
		must(pump(one, 1, a.unreachable == unreachable + 1));
		must(!transport_broken(a.transport));
		close(server.fd);
		close(listener);
	}
	must(friend_is_served());
	transport_destroy(&a.transport);
	transport_destroy(&b.transport);
	return 0;
}

/*
 * libzmq alone, in a name space of its own, where it calls libsodium's functions
 * and no other.
 */
static int
low_order_welcome_bare(void)
{
	void	   *library = dlmopen(LM_ID_NEWLM, "libzmq.so.5", RTLD_NOW);
	void	   *(*ctx_new) (void);
	void	   *(*socket_new) (void *, int);
	int			(*set) (void *, int, const void *, size_t);
	int			(*connect_to) (void *, const char *);
	Zmtp		server = {.fd = -1};
	uint8_t		public[32];
	uint8_t		secret[32];
	uint16_t	port;
	int			listener = tcp_listen(&port);
	char		endpoint[64];
	void	   *dealer;

	must(library != NULL);
	*(void **) &ctx_new = dlsym(library, "zmq_ctx_new");
	*(void **) &socket_new = dlsym(library, "zmq_socket");
	*(void **) &set = dlsym(library, "zmq_setsockopt");
	*(void **) &connect_to = dlsym(library, "zmq_connect");
	must(ctx_new != NULL && socket_new != NULL && set != NULL && connect_to != NULL);
	dealer = socket_new(ctx_new(), ZMQ_DEALER);
	crypto_box_keypair(server.long_public, server.long_secret);
	new_curve_key(public, secret);
	must(set(dealer, ZMQ_CURVE_SERVERKEY, server.long_public, 32) == 0);
	must(set(dealer, ZMQ_CURVE_PUBLICKEY, public, 32) == 0);
	must(set(dealer, ZMQ_CURVE_SECRETKEY, secret, 32) == 0);
	snprintf(endpoint, sizeof endpoint, "tcp://%s:%u", own_host(), port);
	must(connect_to(dealer, endpoint) == 0);
	must(zmtp_serve(&server, listener, NULL, 0));
	must(zmtp_welcome(&server, low_order[0]));
	for (int64_t end = real_ms() + PATIENCE_MS; real_ms() < end && !zmtp_ended(&server);)
		usleep(10000);
	return 0;
}

/* Nor does the hand-written server fail for another reason: with a good key it is spoken to. */
static int
good_welcome(void)
{
	Zmtp		server = {.fd = -1};
	uint16_t	port;
	int			listener = tcp_listen(&port);
	NetAddress	at = own_address(port);
	uint8_t		frame[128];

	must(peer_start(&a));
	crypto_box_keypair(server.long_public, server.long_secret);
	must(transport_send(a.transport, now_ms(), server.long_public, &at, 1, (const uint8_t *) "x", 1) == TRANSPORT_SENT);
	must(zmtp_serve(&server, listener, one, 1));
	must(zmtp_welcome(&server, server.short_public));
	must(zmtp_ready(&server));
	must(zmtp_next(&server, frame, sizeof frame) == 16 + 16 + 1 + 1);
	must(zmtp_send(&server, 0, "hello", 5));
	must(pump(one, 1, a.frames == 1 && a.last_len == 5 && memcmp(a.last_key, server.long_public, 32) == 0));
	transport_destroy(&a.transport);
	return 0;
}

/* ---- a connection that ends while libzmq has stopped reading it ---- */

/* libzmq alone, with the high-water mark that transport.c does not use. */
static int
ping_after_reset_bare(void)
{
	void	   *context = zmq_ctx_new();
	void	   *router = zmq_socket(context, ZMQ_ROUTER);
	Peer		fake = {.transport = NULL};
	char		endpoint[64];
	size_t		len = sizeof endpoint;
	zmq_msg_t	msg;

	new_curve_key(fake.public, fake.secret);
	zmq_setsockopt(router, ZMQ_CURVE_SERVER, &(int) {1}, sizeof(int));
	zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, fake.secret, 32);
	zmq_setsockopt(router, ZMQ_RCVHWM, &(int) {16}, sizeof(int));
	snprintf(endpoint, sizeof endpoint, "tcp://%s:*", own_host());
	must(zmq_bind(router, endpoint) == 0);
	must(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &len) == 0);
	fake.address.port = (uint16_t) atoi(strrchr(endpoint, ':') + 1);
	zmq_msg_init(&msg);
	/* nothing tells when libzmq's thread has filled its pipe: each try gives it longer */
	for (int wait_ms = 200; wait_ms < 10000; wait_ms *= 2)
	{
		Zmtp		client = {.fd = -1};
		uint8_t		burst[8192];
		size_t		size = 0;

		must(zmtp_join(&client, &fake, "", 0, NULL, 0));
		for (int i = 0; i < 100; i++)
		{
			size += zmtp_message(&client, burst + size, 0, "m", 1);
			size += zmtp_message(&client, burst + size, 2, "\4PING\0\0", 7);
		}
		must(size < sizeof burst && zmtp_write(&client, burst, size));
		poll(NULL, 0, wait_ms);
		zmtp_reset(&client);
		poll(NULL, 0, wait_ms);
		for (int64_t end = real_ms() + 2 * wait_ms; real_ms() < end;)
			if (zmq_msg_recv(&msg, router, ZMQ_DONTWAIT) < 0)
				poll(NULL, 0, 5);
	}
	return 0;
}

static int
ping_after_reset(void)
{
	Zmtp		client = {.fd = -1};
	uint8_t		burst[16384];
	size_t		size = 0;

	must(peer_start(&a));
	must(zmtp_join(&client, &a, "", 0, one, 1));
	for (int i = 0; i < 180; i++)
	{
		size += zmtp_message(&client, burst + size, 0, "m", 1);
		size += zmtp_message(&client, burst + size, 2, "\4PING\0\0", 7);
	}
	must(size < sizeof burst && zmtp_write(&client, burst, size));
	must(recv(client.fd, burst, 1, MSG_WAITALL) == 1);	/* a PONG: it has read that far */
	zmtp_reset(&client);
	must(pump(one, 1, a.frames == 180));
	must(friend_is_served());
	must(!transport_broken(a.transport));
	transport_destroy(&a.transport);
	transport_destroy(&b.transport);
	return 0;
}

/* ---- commands that are too short ---- */

static int
short_commands(void)
{
	Zmtp		client = {.fd = -1};

	must(peer_start(&a));
	must(zmtp_join(&client, &a, "", 0, one, 1));
	must(zmtp_send(&client, 2, "", 0));
	must(zmtp_send(&client, 2, "\4PING", 5));
	must(zmtp_send(&client, 2, "\4PING\0", 6));
	must(zmtp_send(&client, 2, "\4PON", 4));
	must(zmtp_send(&client, 2, "\377X", 2));
	must(zmtp_send(&client, 2, "\4PONG", 5));
	must(zmtp_send(&client, 3, "\4PING", 5));
	must(zmtp_send(&client, 2, "\x09SUBSCRIBE", 10));
	must(zmtp_send(&client, 2, "\x06" "CANCEL", 7));
	must(zmtp_send(&client, 0, "end", 3));
	must(pump(one, 1, a.last_len == 3));
	must(friend_is_served());
	transport_destroy(&a.transport);
	transport_destroy(&b.transport);
	zmtp_reset(&client);
	return 0;
}

/* ---- routing ids ---- */

static uint32_t
number_of(const uint8_t *id)
{
	return (uint32_t) id[1] << 24 | (uint32_t) id[2] << 16 | (uint32_t) id[3] << 8 | id[4];
}

/* libzmq alone: a peer that chooses the number that the next one would get. */
static int
routing_id_bare(void)
{
	void	   *context = zmq_ctx_new();
	void	   *router = zmq_socket(context, ZMQ_ROUTER);
	void	   *dealer[3];
	uint8_t		id[16] = {0};
	char		endpoint[64];
	size_t		len = sizeof endpoint;
	char		text[16];

	must(zmq_bind(router, "tcp://127.0.0.1:*") == 0);
	must(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &len) == 0);
	for (int i = 0; i < 3; i++)
	{
		dealer[i] = zmq_socket(context, ZMQ_DEALER);
		if (i == 1)
		{
			uint32_t	next = number_of(id) + 1;
			uint8_t		chosen[5] = {0, (uint8_t) (next >> 24), (uint8_t) (next >> 16), (uint8_t) (next >> 8), (uint8_t) next};

			must(zmq_setsockopt(dealer[i], ZMQ_ROUTING_ID, chosen, 5) == 0);
		}
		must(zmq_connect(dealer[i], endpoint) == 0 && zmq_send(dealer[i], "x", 1, 0) == 1);
		must(zmq_recv(router, id, sizeof id, 0) == 5 && zmq_recv(router, text, sizeof text, 0) == 1);
	}
	return 0;
}

/*
 * The same against the transport.  Nobody is told the numbers, which start at
 * random; but here the random is ours.  The assertion fails in the call that the
 * transport makes.
 */
static bool rand_is_known;

int
rand(void)
{
	static unsigned state = 12345;

	state = state * 1103515245 + 12345;
	return rand_is_known ? 7 : (int) (state >> 1);
}

static int
guessed_routing_id(void)
{
	Zmtp		client = {.fd = -1};
	uint8_t		next[5] = {0, 0x80, 0, 0, 8};	/* 7 << 31 | 7 is the first */

	rand_is_known = true;
	must(peer_start(&a));
	must(friend_is_served());
	must(zmtp_join(&client, &a, next, sizeof next, one, 1));
	must(zmtp_send(&client, 0, "mine", 4));
	must(pump(one, 1, a.last_len == 4));
	transport_drop(b.transport, a.public);
	must(peer_send(&b, &a, "friend", 6) == TRANSPORT_SENT);
	must(pump(both, 2, transport_broken(a.transport)));
	must(!transport_broken(b.transport));
	must(transport_answer(a.transport, a.last_via, (const uint8_t *) "x", 1) == TRANSPORT_ERROR);
	transport_destroy(&a.transport);
	transport_destroy(&b.transport);
	return 0;
}

static int
chosen_routing_ids(void)
{
	static const char *const ids[] = {"x", "12345", "a routing id that is longer than libzmq's own"};
	uint8_t		zero[6] = {0};
	uint8_t	   *huge = calloc(1, 1000);

	must(peer_start(&a));
	for (int i = 0; i < 5; i++)
	{
		Zmtp		client = {.fd = -1};
		uint64_t	cut = transport_stats(a.transport).cut;
		int			frames = a.frames;
		const void *id = i < 3 ? (const void *) ids[i] : i == 3 ? (const void *) zero : (const void *) huge;
		size_t		len = i < 3 ? strlen(ids[i]) : i == 3 ? sizeof zero : 1000;

		memset(huge, 'h', 1000);
		must(zmtp_join(&client, &a, id, len, one, 1));
		must(zmtp_send(&client, 0, "x", 1));
		must(pump(one, 1, zmtp_ended(&client)));
		must(a.frames == frames && transport_stats(a.transport).cut == cut + 1);
		close(client.fd);
	}
	free(huge);
	must(friend_is_served());
	transport_destroy(&a.transport);
	transport_destroy(&b.transport);
	return 0;
}

/* ---- when it does abort ---- */

static Containment *held;

static void *
thread_aborts(void *wait)
{
	while (!atomic_load((_Atomic bool *) wait))
		usleep(1000);
	abort();
	return NULL;
}

static int
thread_contained(void)
{
	pthread_t	thread;
	_Atomic bool go = false;
	sigset_t	all;

	held = contain_new();
	must(held != NULL && contain_threads_begin(held));
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	must(pthread_create(&thread, NULL, thread_aborts, &go) == 0);
	pthread_sigmask(SIG_UNBLOCK, &all, NULL);
	must(contain_threads_end(held));
	must(!contain_aborted(held));
	atomic_store(&go, true);
	for (int64_t end = real_ms() + PATIENCE_MS; real_ms() < end && !contain_aborted(held);)
		usleep(1000);
	must(contain_aborted(held));
	contain_free(&held);
	exit(0);					/* as PostgreSQL's worker would: with the thread still there */
}

static int
foreign_thread_not_contained(void)
{
	pthread_t	thread;
	_Atomic bool go = false;

	must(pthread_create(&thread, NULL, thread_aborts, &go) == 0);
	held = contain_new();
	must(held != NULL && contain_threads_begin(held));
	must(!contain_threads_end(held));
	atomic_store(&go, true);
	pthread_join(thread, NULL);
	return 0;
}

static int
call_contained(void)
{
	ContainFrame frame;
	static volatile int times;
	sigset_t	before;
	sigset_t	after;

	pthread_sigmask(SIG_SETMASK, NULL, &before);
	held = contain_new();
	must(held != NULL);
	if (CONTAIN_ENTER(held, frame))
	{
		times = times + 1;
		abort();
	}
	must(times == 1 && contain_aborted(held));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	sigdelset(&before, SIGABRT);
	must(memcmp(&before, &after, sizeof(unsigned long)) == 0);
	exit(0);
}

static int
own_abort(void)
{
	must(peer_start(&a));
	turn(one, 1, 0);
	abort();
}

static void
receive_aborts(void *context, const uint8_t *key, TransportVia via, const uint8_t *frame, size_t len)
{
	abort();
}

static int
callback_abort(void)
{
	must(peer_start(&a) && peer_start(&b));
	must(peer_send(&b, &a, "x", 1) == TRANSPORT_SENT);
	for (int64_t end = real_ms() + PATIENCE_MS; real_ms() < end;)
	{
		turn(both + 1, 1, 1);
		transport_poll(a.transport, now_ms(), 64, receive_aborts, NULL);
	}
	return 0;
}

static int
signal_from_outside(void)
{
	must(peer_start(&a));
	kill(getpid(), SIGABRT);
	return 0;
}

/* The descriptor of a's connection with b: libzmq's. */
static int
descriptor_of_connection(void)
{
	for (int fd = 3; fd < 1000; fd++)
	{
		struct sockaddr_in name;
		struct sockaddr_in peer;
		socklen_t	size = sizeof name;
		socklen_t	peer_size = sizeof peer;

		if (getsockname(fd, (struct sockaddr *) &name, &size) == 0 && name.sin_family == AF_INET &&
			ntohs(name.sin_port) == a.address.port &&
			getpeername(fd, (struct sockaddr *) &peer, &peer_size) == 0)
			return fd;
	}
	return -1;
}

/* A descriptor of libzmq's is closed behind its back: its thread asserts that this does not happen. */
static int
transport_breaks(void)
{
	TransportLinkInfo info[4];
	int			fd;

	must(peer_start(&a) && friend_is_served());
	fd = descriptor_of_connection();
	must(fd >= 0 && close(fd) == 0);
	transport_answer(a.transport, a.last_via, (const uint8_t *) "x", 1);
	must(pump(one, 1, transport_broken(a.transport)));
	must(!transport_poll(a.transport, now_ms(), 64, peer_receive, &a));
	must(peer_send(&a, &b, "x", 1) == TRANSPORT_ERROR);
	must(transport_answer(a.transport, a.last_via, (const uint8_t *) "x", 1) == TRANSPORT_ERROR);
	transport_drop(a.transport, b.public);
	must(transport_links(a.transport, info, 4) >= 0);
	must(!transport_broken(b.transport));
	transport_destroy(&a.transport);
	must(end_waits == 0);		/* for nobody would come */
	transport_destroy(&b.transport);
	must(end_seen);
	exit(0);
}

/* The same, unnoticed until libzmq is to end: run_case()'s alarm is for a wait that does not. */
static int
transport_breaks_at_the_end(void)
{
	int			fd;

	must(peer_start(&a) && friend_is_served());
	fd = descriptor_of_connection();
	must(fd >= 0 && close(fd) == 0);
	transport_answer(a.transport, a.last_via, (const uint8_t *) "x", 1);
	transport_destroy(&a.transport);
	must(!end_seen);
	transport_destroy(&b.transport);
	must(end_seen);
	exit(0);
}

int
main(void)
{
	int			status;

	if (sodium_init() < 0)
		return 2;
	ok(survives(good_welcome), "a server written by hand is spoken to");
	status = run_case(low_order_welcome_bare);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "libzmq aborts when a server's short key is of low order");
	ok(survives(low_order_welcome), "a transport does not speak to such a server, and that is all");
	status = run_case(ping_after_reset_bare);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
	   "libzmq with a high-water mark aborts when a full connection is reset with a PING unread");
	ok(survives(ping_after_reset), "a transport does not");
	ok(survives(short_commands), "commands that are too short, or of another kind of socket, do nothing");
	status = run_case(routing_id_bare);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "libzmq aborts when a peer chooses the next routing id");
	ok(survives(guessed_routing_id), "a transport is broken by that, no more");
	ok(survives(chosen_routing_ids), "who chooses a routing id is cut");
	ok(survives(thread_contained), "a contained thread that aborts stands still, and the process ends as it likes");
	status = run_case(foreign_thread_not_contained);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "another thread's abort is an abort");
	ok(survives(call_contained), "an abort in a contained call leaves the call");
	status = run_case(own_abort);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "an abort of our own is an abort");
	status = run_case(callback_abort);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "so is one in a frame's receiver");
	status = run_case(signal_from_outside);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "and a SIGABRT that somebody sends");
	ok(survives(transport_breaks), "a transport whose libzmq has aborted says so, does nothing more, and ends at once");
	ok(survives(transport_breaks_at_the_end), "also when it happens at the end");
	return tap_done();
}
