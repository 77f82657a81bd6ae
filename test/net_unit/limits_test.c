/*
 * limits_test.c
 *	  What happens when there is no room, no descriptor, no quiet, or nobody any
 *	  more at the other end.
 */
#include "hostile_fixture.h"

#include <sys/resource.h>
#include <sys/wait.h>

/* ---- signals ---- */

#define STORM_ROUNDS 10
#define STORM_SIGNALS 1000

static volatile sig_atomic_t signals;

static void
on_signal(int signo)
{
	signals = signals + 1;
}

/* Traffic and handshakes under a storm of signals, as a worker of PostgreSQL may get. */
static void
test_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	Peer		c = {.slice = 64};
	Peer	   *three[] = {&a, &b, &c};
	pid_t		pid;
	int			wrong = 0;
	int			sent_b = 0;
	int			sent_c = 0;
	int			served = 0;
	int			tried = 0;
	int			joined = 0;
	int64_t		end;
	int			rounds = 0;

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	ok(start(8, 64) && peer_start(&c), "a node and two friends");
	a.answers = true;
	pid = fork();
	if (pid == 0)
	{
		alarm(10 * PATIENCE_MS / 1000);
		for (;;)
		{
			kill(getppid(), SIGUSR1);
			kill(getppid(), SIGHUP);
		}
	}
	/* a storm may leave little time to anything else */
	end = real_ms() + PATIENCE_MS;
	for (; (rounds < STORM_ROUNDS || signals < STORM_SIGNALS) && real_ms() < end; rounds++)
	{
		Peer	   *friend = rounds % 2 == 0 ? &b : &c;
		int			before = friend->frames;

		/* many at a time, so that frames come in the midst of what is done about others */
		for (uint32_t j = 0; j < 20; j++)
		{
			sent_b += peer_send(&b, &a, "for b", 5) == TRANSPORT_SENT;
			sent_c += peer_send(&c, &a, "for c", 5) == TRANSPORT_SENT;
		}
		(void) pump(three, 3, b.frames + c.frames >= sent_b + sent_c);
		served += friend->frames > before;
		wrong += (b.frames > 0 && memcmp(b.last, "for b", 5) != 0) || (c.frames > 0 && memcmp(c.last, "for c", 5) != 0);
		if (rounds % 8 == 0)
		{
			Zmtp		client = {.fd = -1};

			tried++;
			joined += zmtp_join(&client, &a, "", 0, three, 3);
			zmtp_reset(&client);
		}
	}
	ok(pump(three, 3, b.frames == sent_b && c.frames == sent_c) && wrong == 0 &&
	   transport_stats(a.transport).malformed == 0, "in a storm: each friend gets all its own answers and no others");
	strangers_are_refused("in a storm");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	diag("%d signals, %d rounds, %d of them served, %d frames answered, %d handshakes of %d", (int) signals, rounds,
		 served, b.frames + c.frames, joined, tried);
	ok(signals >= STORM_SIGNALS && rounds >= STORM_ROUNDS && served == rounds && joined == tried, "frames and handshakes in a storm of SIGUSR1 and SIGHUP");
	strangers_are_refused("after it");
	transport_destroy(&c.transport);
	stop();
	signal(SIGUSR1, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
}

/* ---- room ---- */

#define ROOM 8

static bool
connected(const Zmtp *self)
{
	static TransportLinkInfo info[256];
	int			n = transport_links(a.transport, info, 256);

	for (int i = 0; i < n && i < 256; i++)
		if (!info[i].outbound && memcmp(info[i].curve_key, self->long_public, 32) == 0)
			return true;
	return false;
}

static bool
join_and_speak(Zmtp *self)
{
	int			before = a.frames;

	return zmtp_join(self, &a, "", 0, both, 2) && zmtp_send(self, 0, "hello", 5) &&
		pump(both, 2, a.frames > before || zmtp_ended(self)) && connected(self);
}

static void
test_inbound_room(void)
{
	enum {SILENT = 300};
	Zmtp		peer[ROOM] = {0};
	Zmtp		more = {.fd = -1};
	Zmtp		again[4] = {0};
	int			fd[SILENT];
	int			n = 0;
	double		cpu;
	TransportStats before;
	TransportStats now;

	/* b is one of them */
	ok(start(8, ROOM) && friend_is_served(), "a node with room for %d, and its friend", ROOM);
	for (int i = 0; i < ROOM - 1; i++)
		n += join_and_speak(&peer[i]);
	ok(n == ROOM - 1, "all places are taken");
	before = transport_stats(a.transport);
	ok(!join_and_speak(&more) && pump(both, 2, zmtp_ended(&more)) &&
	   transport_stats(a.transport).refused_room == before.refused_room + 1, "another is turned away");
	close(more.fd);
	cpu = cpu_seconds();
	for (int i = 0; i < SILENT; i++)
	{
		fd[i] = tcp_connect(a.address.port);
		if (i % 20 == 0)
			turn(both, 2, 0);
	}
	ok(pump(both, 2, (now = transport_stats(a.transport), now.refused_room - before.refused_room) >= SILENT - 64 - 1),
	   "%d connections that say nothing: all but some dozens are cut", SILENT);
	n = 0;
	for (int i = 0; i < ROOM - 1; i++)
		n += connected(&peer[i]) && !zmtp_ended(&peer[i]);
	ok(n == ROOM - 1 && friend_is_served(), "who has a place keeps it");
	diag("%.3f s of CPU", cpu_seconds() - cpu);
	for (int i = 0; i < SILENT; i++)
		close(fd[i]);

	ok(transport_pin(a.transport, peer[0].long_public, true), "one is pinned");
	clock_ahead_ms += 70000;
	ok(friend_is_served() && zmtp_send(&peer[1], 0, "still here", 10) && pump(both, 2, a.last_len == 10), "after a minute of silence");
	more = (Zmtp) {.fd = -1};
	before = transport_stats(a.transport);
	ok(join_and_speak(&more) && pump(both, 2, zmtp_ended(&peer[2])) &&
	   transport_stats(a.transport).evicted == before.evicted + 1, "another takes the place of who was silent for longest");
	ok(connected(&peer[0]) && !zmtp_ended(&peer[0]), "not that of the pinned one, silent for longer");
	ok(connected(&peer[1]) && friend_is_served(), "nor of those who have spoken");

	/* one key, many times */
	n = 0;
	for (int i = 0; i < 4; i++)
	{
		memcpy(again[i].long_public, more.long_public, 32);
		memcpy(again[i].long_secret, more.long_secret, 32);
		again[i].fd = -1;
		n += join_and_speak(&again[i]);
	}
	ok(n == 4 && pump(both, 2, zmtp_ended(&more)), "of one key the oldest of five connections gives way");
	for (int i = 0; i < ROOM - 1; i++)
		zmtp_reset(&peer[i]);
	for (int i = 0; i < 4; i++)
		zmtp_reset(&again[i]);
	zmtp_reset(&more);
	stop();
}

/* Many keys at one address, all of them busy, and few others. */
static void
test_inbound_subnets(void)
{
	Zmtp		many[ROOM] = {0};
	Zmtp		few[2] = {{.fd = -1}, {.fd = -1}};
	TransportStats before;
	int			left = 0;
	int			n = 0;

	ok(start(8, ROOM) && friend_is_served(), "a node with room for %d, and its friend", ROOM);
	tcp_source = 0x7F800101;
	for (int i = 0; i < ROOM - 1; i++)
		n += join_and_speak(&many[i]);
	before = transport_stats(a.transport);
	ok(n == ROOM - 1 && !join_and_speak(&many[ROOM - 1]) &&
	   transport_stats(a.transport).refused_room == before.refused_room + 1,
	   "one subnet takes all places, and gets no more");
	for (int i = 0; i < 2; i++)
	{
		/* the second has the hash of the many's subnet times 0x9E3779B97F4A7C15, from bit 53 on */
		tcp_source = i == 0 ? 0x7F800201 : 0x7F8A1901;
		ok(join_and_speak(&few[i]), "one of another subnet has room");
	}
	ok(pump(both, 2, transport_stats(a.transport).evicted == before.evicted + 2), "in the place of two");
	for (int i = 0; i < ROOM - 1; i++)
		left += connected(&many[i]);
	ok(left == ROOM - 3 && friend_is_served() && connected(&few[0]) && connected(&few[1]), "of the subnet that has most");
	tcp_source = 0x7F800102;
	zmtp_reset(&many[ROOM - 1]);
	many[ROOM - 1] = (Zmtp) {.fd = -1};
	ok(!join_and_speak(&many[ROOM - 1]) && connected(&few[0]) && connected(&few[1]), "which gets none of theirs");
	tcp_source = 0;
	for (int i = 0; i < ROOM; i++)
		zmtp_reset(&many[i]);
	for (int i = 0; i < 2; i++)
		zmtp_reset(&few[i]);
	stop();
}

static void
test_outbound_room(void)
{
	Peer		to[4];
	Peer	   *all[] = {&a, &b, &to[0], &to[1], &to[2], &to[3]};
	int			started = 0;
	TransportLinkInfo info[8];

	ok(start(2, 8), "a node with room for two links");
	for (int i = 0; i < 4; i++)
	{
		started += peer_start(&to[i]);
		to[i].answers = true;
	}
	ok(started == 4 && peer_send(&a, &to[0], "0", 1) == TRANSPORT_SENT && peer_send(&a, &to[1], "1", 1) == TRANSPORT_SENT &&
	   peer_send(&a, &to[2], "2", 1) == TRANSPORT_NO_ROOM, "no third one while two are being made");
	ok(pump(all, 6, a.frames == 2), "both arrive, and are answered");
	turn(all, 6, 10);
	clock_ahead_ms += 10;
	ok(peer_send(&a, &to[0], "0", 1) == TRANSPORT_SENT && pump(all, 6, a.frames == 3) &&
	   peer_send(&a, &to[2], "2", 1) == TRANSPORT_SENT && pump(all, 6, a.frames == 4), "then a third takes the place of one");
	ok(transport_links(a.transport, info, 8) == 2 &&
	   memcmp(info[0].curve_key, to[1].public, 32) != 0 && memcmp(info[1].curve_key, to[1].public, 32) != 0,
	   "of the one that was used longest ago");
	ok(transport_pin(a.transport, to[0].public, true) && transport_pin(a.transport, to[2].public, true) &&
	   peer_send(&a, &to[3], "3", 1) == TRANSPORT_NO_ROOM, "pinned links give no place away");
	ok(transport_pin(a.transport, to[0].public, false) && peer_send(&a, &to[3], "3", 1) == TRANSPORT_SENT &&
	   pump(all, 6, a.frames == 5), "one that is pinned no longer does");
	to[3].answers = false;
	ok(transport_pin(a.transport, to[2].public, false) && peer_send(&a, &to[3], "3", 1) == TRANSPORT_SENT &&
	   pump(all, 6, to[3].frames == 2), "one is asked, and does not answer");
	clock_ahead_ms += 10;
	ok(peer_send(&a, &to[2], "2", 1) == TRANSPORT_SENT && pump(all, 6, a.frames == 6) &&
	   peer_send(&a, &to[1], "1", 1) == TRANSPORT_SENT && pump(all, 6, a.frames == 7) &&
	   transport_links(a.transport, info, 8) == 2 &&
	   memcmp(info[0].curve_key, to[2].public, 32) != 0 && memcmp(info[1].curve_key, to[2].public, 32) != 0,
	   "it keeps its place a while, another that was used later does not");
	for (int i = 0; i < TRANSPORT_LINKS_MAX; i++)
	{
		uint8_t		key[32];

		randombytes_buf(key, sizeof key);
		transport_pin(a.transport, key, true);
	}
	ok(!transport_pin(a.transport, to[1].public, true), "pins have a limit");
	for (int i = 0; i < 4; i++)
		transport_destroy(&to[i].transport);
	stop();
}

/* ---- descriptors ---- */

static void
test_descriptors(void)
{
	struct rlimit before;
	struct rlimit low;
	int			spare[1024];
	int			n = 0;
	int			made = 0;
	char		error[TRANSPORT_ERROR_ROOM] = "";
	TransportConfig config = {.listen = own_host(), .max_links = 8, .max_inbound = 32};
	double		cpu;
	int64_t		began;
	pid_t		pid;
	int			done[2];
	Peer		late;
	Peer	   *three[] = {&a, &b, &late};
	TransportStats stats;

	getrlimit(RLIMIT_NOFILE, &before);
	low = before;
	low.rlim_cur = 100;
	setrlimit(RLIMIT_NOFILE, &low);
	new_curve_key(config.curve_public, config.curve_secret);
	ok(transport_new(&config, error, sizeof error) == NULL && strstr(error, "too low by") != NULL, "a limit that is too low is said");
	diag("%s", error);
	low.rlim_cur = 512;
	setrlimit(RLIMIT_NOFILE, &low);
	ok(start(8, 32) && friend_is_served() && pipe(done) == 0, "a node and its friend");
	memset(&late, 0, sizeof late);
	late.slice = 64;
	new_curve_key(late.public, late.secret);
	ok(peer_start_on(&late, own_host(), 0, 8, 32), "and one that comes later");

	while (n < 1024 && (spare[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	ok(n < 1024 && errno == EMFILE, "all descriptors are used up");
	pid = fork();
	if (pid == 0)
	{
		/* its own, that it may use up in turn */
		alarm(10 * PATIENCE_MS / 1000);
		for (int i = 0; i < n; i++)
			close(spare[i]);
		for (int i = 0; i < 200; i++)
			tcp_connect(a.address.port);
		if (write(done[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	ok(pump(both, 2, transport_stats(a.transport).accept_failed > 0), "connections cannot be accepted");
	cpu = cpu_seconds();
	began = real_ms();
	(void) pump_for(both, 2, 2000, false);
	cpu = cpu_seconds() - cpu;
	stats = transport_stats(a.transport);
	diag("%.3f s of CPU in %lld ms; %llu accepts have failed, %llu were hung up on", cpu, (long long) (real_ms() - began),
		 (unsigned long long) stats.accept_failed, (unsigned long long) stats.refused_room);
	ok(cpu < 0.5, "that does not make it spin");
	made = 0;
	for (int i = 0; i < 5; i++)
		made += friend_is_served();
	ok(made == 5, "a friend that is connected is served");
	ok(peer_send(&a, &late, "x", 1) == TRANSPORT_SENT && pump(both, 2, a.unreachable == 1), "another cannot be reached, and that is said");
	for (int i = 0; i < n; i++)
		close(spare[i]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(pump_for(three, 3, PATIENCE_MS, (peer_send(&late, &a, "late", 4), a.last_len == 4)), "with descriptors it is as before: one comes");
	ok(peer_send(&a, &late, "x", 1) == TRANSPORT_SENT && pump(three, 3, late.frames == 1), "and is reached");
	transport_destroy(&late.transport);
	close(done[0]);
	close(done[1]);
	stop();
	setrlimit(RLIMIT_NOFILE, &before);
}

/* ---- more events than there is room for, while nobody looks ---- */

static void
test_events(void)
{
	enum {FLOOD = 20000, MISSES = 75};
	int			made = 0;
	int			misses = 0;
	int64_t		end = real_ms() + 3 * PATIENCE_MS;
	TransportStats stats;

	ok(start(8, 32) && friend_is_served(), "a node and its friend");
	while (made < FLOOD && misses < MISSES && real_ms() < end)
	{
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(a.address.port), .sin_addr.s_addr = inet_addr(own_host())};
		Zmtp		peer = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};

		/* the backlog is full for a moment, or for good when libzmq stands still */
		if ((connect(peer.fd, (struct sockaddr *) &to, sizeof to) == 0 || errno == EINPROGRESS) &&
			poll(&(struct pollfd) {.fd = peer.fd, .events = POLLOUT}, 1, 40) == 1)
		{
			made++;
			misses = 0;
		}
		else
			misses++;
		zmtp_reset(&peer);
	}
	ok(misses == MISSES && made > 6000, "libzmq stands still after %d connections of which nobody read", made);
	ok(friend_is_served(), "when somebody does a friend is served");
	ok(pump(both, 2, (stats = transport_stats(a.transport), stats.accepted > 6000 && refused(&stats) + 10 > stats.accepted)),
	   "and their events have been read");
	diag("accepted %llu, refused %llu", (unsigned long long) stats.accepted, (unsigned long long) refused(&stats));
	stop();
}

/* ---- IPv6 ---- */

static void
test_ipv6(void)
{
	NetAddress	loopback = {.ip = {[15] = 1}};
	NetAddress	v4;
	Peer		c = {.slice = 64};
	Peer	   *three[] = {&a, &b, &c};
	int			fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	bool		there = fd >= 0 && bind(fd, (struct sockaddr *) &at, sizeof at) == 0;
	TransportLinkInfo info[8];
	bool		six = false;
	bool		four = false;
	int			n;

	if (fd >= 0)
		close(fd);
	if (!there)
	{
		diag("no IPv6 on this machine");
		return;
	}
	memset(&a, 0, sizeof a);
	a.slice = 64;
	new_curve_key(a.public, a.secret);
	ok(peer_start_on(&a, "::", 0, 8, 8) && peer_start(&b) && peer_start(&c), "a node that listens on both families");
	v4 = a.address;
	loopback.port = v4.port;
	a.address = loopback;
	ok(peer_send(&b, &a, "by six", 6) == TRANSPORT_SENT && pump(three, 3, a.last_len == 6), "a peer comes by IPv6");
	a.address = v4;
	ok(peer_send(&c, &a, "by four", 7) == TRANSPORT_SENT && pump(three, 3, a.last_len == 7), "another by IPv4");
	n = transport_links(a.transport, info, 8);
	for (int i = 0; i < n; i++)
	{
		six |= memcmp(info[i].address.ip, loopback.ip, 16) == 0;
		/* whichever address of the loopback is called, the caller's is the first */
		four |= memcmp(info[i].address.ip, net_address_v4(127, 0, 0, 1, 0).ip, 16) == 0;
	}
	ok(n == 2 && six && four, "both are known by their addresses");
	transport_destroy(&a.transport);
	ok(peer_start_on(&a, "::1", loopback.port, 8, 8), "again, on IPv6 only and the same port");
	a.address = loopback;
	a.last_len = 0;
	ok(pump(three, 3, (peer_send(&b, &a, "six", 3), a.last_len == 3)), "the peer comes back");
	transport_destroy(&c.transport);
	stop();
}

/* ---- peers that die, and peers that move ---- */

static void
test_dead(void)
{
	int			to_child[2];
	int			from_child[2];
	uint16_t	port;
	Peer		other = {.slice = 64};
	Peer	   *child[] = {&other};
	pid_t		pid;
	TransportLinkInfo info[8];
	int64_t		began;

	heartbeat_ms = 200;
	heartbeat_timeout_ms = 4000;
	handshake_ms = 4000;
	memset(&a, 0, sizeof a);
	a.slice = 64;
	new_curve_key(a.public, a.secret);
	new_curve_key(other.public, other.secret);
	if (pipe(to_child) != 0 || pipe(from_child) != 0)
		return;
	pid = fork();
	if (pid == 0)
	{
		alarm(10 * PATIENCE_MS / 1000);
		other.answers = true;
		if (!peer_start_on(&other, own_host(), 0, 8, 8) ||
			write(from_child[1], &other.address.port, sizeof port) != sizeof port ||
			read(to_child[0], &port, sizeof port) != sizeof port)
			_exit(1);
		a.address = own_address(port);
		peer_send(&other, &a, "here", 4);
		for (;;)
			turn(child, 1, 20);
	}
	ok(peer_start_on(&a, own_host(), 0, 8, 8) && peer_start(&b) && friend_is_served() &&
	   read(from_child[0], &port, sizeof port) == sizeof port, "a node and its friend");
	other.address = own_address(port);
	ok(write(to_child[1], &a.address.port, sizeof port) == sizeof port &&
	   pump(both, 2, a.last_len == 4 && memcmp(a.last_key, other.public, 32) == 0), "another comes from another process");
	ok(peer_send(&a, &other, "there?", 6) == TRANSPORT_SENT &&
	   pump(both, 2, a.last_len == 6 && memcmp(a.last_key, other.public, 32) == 0), "and is gone to");
	ok(pump(both, 2, transport_links(a.transport, info, 8) == 3), "three links");
	kill(pid, SIGSTOP);
	began = real_ms();
	ok(pump(both, 2, transport_links(a.transport, info, 8) == 1 && a.unreachable == 1), "when it stands still both links with it end");
	diag("after %lld ms", (long long) (real_ms() - began));
	ok(memcmp(a.unreachable_key, other.public, 32) == 0 && friend_is_served(), "that is said; the friend is served");
	kill(pid, SIGCONT);
	a.last_len = 0;
	ok(pump(both, 2, (peer_send(&a, &other, "again", 5), a.last_len == 5)), "when it goes on it is reached again");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(pump(both, 2, transport_links(a.transport, info, 8) == 1), "when it is killed its links end");
	close(to_child[0]);
	close(to_child[1]);
	close(from_child[0]);
	close(from_child[1]);
	heartbeat_ms = heartbeat_timeout_ms = handshake_ms = 0;
	stop();
}

static void
test_moves(void)
{
	NetAddress	old;
	NetAddress	list[2];
	Peer		thief;
	Peer	   *three[] = {&a, &b, &thief};
	int			unreachable;

	ok(start(8, 8) && peer_send(&a, &b, "x", 1) == TRANSPORT_SENT && pump(both, 2, b.frames == 1), "a node and one that it speaks to");
	old = b.address;
	transport_destroy(&b.transport);
	ok(peer_start_on(&b, own_host(), 0, 8, 8) && b.address.port != old.port, "that comes up elsewhere");
	ok(pump(both, 2, (peer_send(&a, &b, "moved", 5), b.last_len == 5)), "and is found where it is now");

	/* somebody else has the old address by now */
	memset(&thief, 0, sizeof thief);
	thief.slice = 64;
	new_curve_key(thief.public, thief.secret);
	ok(peer_start_on(&thief, own_host(), old.port, 8, 8), "somebody else takes the old address");
	transport_drop(a.transport, b.public);
	list[0] = old;
	list[1] = b.address;
	ok(transport_send(a.transport, now_ms(), b.public, list, 2, (const uint8_t *) "secret", 6) == TRANSPORT_SENT &&
	   pump(three, 3, b.last_len == 6) && thief.frames == 0, "a frame goes to whom it is for, not to who is there");
	transport_drop(a.transport, b.public);
	transport_destroy(&b.transport);
	unreachable = a.unreachable;
	ok(transport_send(a.transport, now_ms(), b.public, list, 2, (const uint8_t *) "lost", 4) == TRANSPORT_SENT &&
	   pump(three, 3, a.unreachable == unreachable + 1) && thief.frames == 0, "and to nobody else when that one is gone");
	transport_destroy(&thief.transport);
	stop();
}

/* The end does not wait for anybody. */
static void
test_end(void)
{
	Zmtp		client[4] = {0};
	uint8_t    *frame = calloc(1, 1 << 20);
	int			joined = 0;

	ok(start(8, 8) && friend_is_served(), "a node and its friend");
	for (int i = 0; i < 4; i++)
	{
		joined += join_and_speak(&client[i]);
		for (int j = 0; j < 40; j++)
			transport_answer(a.transport, a.last_via, frame, 1 << 20);
	}
	end_waits = 0;
	end_seen = false;
	transport_destroy(&a.transport);
	ok(joined == 4 && end_seen, "with megabytes that nobody reads libzmq ends before it is given up");
	diag("in the %dth of 40 waits", end_waits);
	for (int i = 0; i < 4; i++)
		zmtp_reset(&client[i]);
	free(frame);
	transport_destroy(&b.transport);
}

int
main(void)
{
	if (!hostile_start())
		return 2;
	test_signals();
	test_inbound_room();
	test_inbound_subnets();
	test_outbound_room();
	test_descriptors();
	test_events();
	test_ipv6();
	test_dead();
	test_moves();
	test_end();
	return tap_done();
}
