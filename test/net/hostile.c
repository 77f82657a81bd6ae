/*
 * hostile.c
 *	  A peer that speaks to a node over its wire, well or as badly as it is told.
 *
 *	hostile [--network=NAME] [--seed=N] [--salt=N] [--key=HEX] [--wait=MS] HOST PORT ACTION...
 *
 * HOST is an IPv4 address.  The node's CURVE key is asked by datagram, unless
 * --key gives it.  Our own keys follow from the seed: the same seed is the same
 * peer; with another salt the rest of what it draws is different.  Actions are
 * done in their order, and each writes a line "ACTION: what came of it"; of an
 * answer, what was answered.  A node that does not answer within --wait (60000 ms)
 * is "silence".
 *
 *	ask				what the node says of itself by datagram
 *	own				our own id
 *	hello=KIND		good network versions version expired brief (6 s)
 *					future forged stolen; odd and legal: extra extras (unknown
 *					items) full (65,536 bytes) later (versions 1 to 7); wrong: range
 *					order twice belongs critical cut
 *	again=N			the last HELLO, N times more at once; answers are counted
 *	ping, find, bye
 *	fade			ping, until that is not answered by a pong any more
 *	provide=KIND:ID	good expired forged stolen, for a collection's id
 *	redeem=KIND:TEXT	good forged stolen altered, with an invitation
 *	grants=ID, graft=ID	as if we were a member
 *	flood=KIND:N	N statements about the collection of the invitation that was
 *					shown last, as if it had made us an admin; see flood.h
 *	replay=N		the last message of a flood, N times more
 *	rows=KIND:N		as a member of that collection, which has a row "template": the
 *					answer to who wants rows is N good ones, of the future, with
 *					keys of 1,024 bytes, a claim and none, N MB that are endless, or
 *					of one row that stays open; mute for N ms with news all the
 *					while; N frames: haves wants ranges unasked malformed; N lives;
 *					elsewhere:ID asks and sends what is of another collection
 *	frames=N		hostile frames, see hostile_frames.c, as fast as they are taken
 *	paced=N			the same; of each 500 is waited until the node has read them
 *	datagrams=N		noise, and asks that are damaged
 *	raw=N			TCP connections with bytes that are not ZMTP
 *	silent=N		TCP connections that say nothing, until the end
 *	peers=N			connections with a key each, that greet well, until the end
 *	null, wrongkey, curve	handshakes: is one let in?
 *	wait=MS			--wait for what comes after it, where silence is expected
 *	hold			until standard input ends
 */
#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zmq.h>

#include "core/net/wire_item.h"
#include "hostile_frames.h"
#include "hostile_peer.h"
#include "hostile_rows.h"

/* ---- who is who ---- */

static void
do_ask(const char *argument)
{
	NodeRecord *record = ask_by_datagram();

	if (record == NULL)
	{
		printf("ask: silence\n");
		return;
	}
	printf("ask: answered");
	print_hex("id", record->id.b, KAD_ID_BYTES);
	print_hex("curve", record->curve_key, CORE_KEY_BYTES);
	printf(" seq=%" PRIu64 "\n", record->seq);
	record_pool_release(&peer.pool, record);
}

static void
do_own(const char *argument)
{
	printf("own:");
	print_hex("id", peer.self.record->id.b, KAD_ID_BYTES);
	printf("\n");
}

static void
do_hello(const char *kind)
{
	char		action[64];

	peer.hello_kind = kind;
	peer.last_hello_len = make_hello(&peer.self, kind, peer.last_hello);
	snprintf(action, sizeof action, "hello=%s", kind);
	send_and_tell(action, peer.last_hello, peer.last_hello_len);
}

static void
do_again(const char *argument)
{
	static uint8_t answer[ANSWER_MAX];
	int			n = atoi(argument);
	int			sent = 0;
	int			answered = 0;
	int64_t		until;

	for (int i = 0; i < n; i++)
	{
		bytes_store(peer.last_hello + 8, 8, new_request());
		sent += send_frame(peer.last_hello, peer.last_hello_len);
	}
	until = now_tick() + peer.wait_ms;
	while (answered < sent && now_tick() < until)
	{
		zmq_pollitem_t item = {the_link(), 0, ZMQ_POLLIN, 0};

		if (zmq_poll(&item, 1, until - now_tick()) > 0 && zmq_recv(the_link(), answer, sizeof answer, ZMQ_DONTWAIT) >= 0)
			answered++;
	}
	printf("again: %d sent, %d answered\n", sent, answered);
}

static void
do_ping(const char *argument)
{
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_PING, new_request(), NULL);

	send_and_tell("ping", frame, end_frame(frame, &w));
}

static void
do_fade(const char *argument)
{
	uint8_t		frame[WIRE_FRAME_MAX];
	char		what[512] = "pong";
	int64_t		until = now_tick() + peer.wait_ms;
	int			pongs = 0;

	for (; strcmp(what, "pong") == 0 && now_tick() < until; pongs++)
	{
		ByteWriter	w = begin_frame(frame, 1, WIRE_PING, new_request(), NULL);
		size_t		len = end_frame(frame, &w);

		send_frame(frame, len);
		await(bytes_load(frame + 8, 8), what, sizeof what);
		poll(NULL, 0, 50);
	}
	printf("fade: %d pongs, then %s\n", pongs - 1, what);
}

static void
do_find(const char *argument)
{
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_FIND_NODE, new_request(), NULL);

	wire_put_item(&w, WIRE_TAG_TARGET, peer.self.record->id.b, KAD_ID_BYTES);
	send_and_tell("find", frame, end_frame(frame, &w));
}

static void
do_bye(const char *argument)
{
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_BYE, 0, NULL);

	printf("bye: %s\n", send_frame(frame, end_frame(frame, &w)) ? "sent" : "not sent");
}

static KadId
parse_id(const char *text)
{
	KadId		id;

	if (!kad_id_parse(text, strlen(text), &id))
		fatal("\"%s\" is no id", text);
	return id;
}

static void
do_provide(const char *argument)
{
	char		kind[16];
	char		action[32];
	KadId		collection = parse_id(split(argument, kind, sizeof kind));
	const Self *who = strcmp(kind, "stolen") == 0 ? &peer.other : &peer.self;
	int64_t		issued = now_unix() - (strcmp(kind, "expired") == 0 ? 2 * PROVIDER_LIFE_MS : 0);
	uint8_t		bytes[PROVIDER_BYTES];
	uint8_t		value[PROVIDER_BYTES + NODE_RECORD_MAX];
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_PROVIDE, new_request(), NULL);

	if (!provider_sign(&peer.crypto, who->secret, &collection, issued, false, bytes))
		fatal("could not sign");
	if (strcmp(kind, "forged") == 0)
		bytes[PROVIDER_BYTES - 1] ^= 1;
	memcpy(value, bytes, PROVIDER_BYTES);
	memcpy(value + PROVIDER_BYTES, peer.self.record->bytes, peer.self.record->len);
	wire_put_item(&w, WIRE_TAG_PROVIDER, value, PROVIDER_BYTES + peer.self.record->len);
	snprintf(action, sizeof action, "provide=%s", kind);
	send_and_tell(action, frame, end_frame(frame, &w));
}

static void
do_redeem(const char *argument)
{
	char		kind[16];
	char		action[32];
	const char *text = split(argument, kind, sizeof kind);
	Invitation	invitation;
	DecodeStatus status = invitation_decode(&peer.crypto, text, strlen(text), now_unix(), SKEW_MS, &invitation);
	KadId		collection;
	uint8_t		redemption[REDEMPTION_BYTES];
	uint8_t		frame[WIRE_FRAME_MAX];
	const Self *who = strcmp(kind, "stolen") == 0 ? &peer.other : &peer.self;
	ByteWriter	w;

	if (status != DECODE_OK)
		fatal("the invitation cannot be read: %s", decode_status_text(status));
	peer.invited = invitation.grant;
	peer.has_invited = true;
	collection = kad_id_of_key(&peer.crypto, invitation.grant.root);
	if (!redemption_sign(&peer.crypto, invitation.secret, invitation.grant.root, who->record->key, now_unix(), redemption))
		fatal("could not sign");
	if (strcmp(kind, "forged") == 0)
		redemption[REDEMPTION_BYTES - 1] ^= 1;
	if (strcmp(kind, "altered") == 0)
		invitation.statement[5] = invitation.statement[5] == GRANT_ADMIN ? GRANT_READER : GRANT_ADMIN;
	w = begin_frame(frame, 1, WIRE_REDEEM, new_request(), &collection);
	wire_put_item(&w, WIRE_TAG_GRANT, invitation.statement, GRANT_BYTES);
	wire_put_item(&w, WIRE_TAG_REDEMPTION, redemption, sizeof redemption);
	snprintf(action, sizeof action, "redeem=%s", kind);
	send_and_tell(action, frame, end_frame(frame, &w));
}

static void
do_grants(const char *argument)
{
	KadId		collection = parse_id(argument);
	uint8_t		fingerprint[GRANT_HASH_BYTES] = {0};
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_GRANTS_SYNC, new_request(), &collection);

	wire_put_item(&w, WIRE_TAG_FINGERPRINT, fingerprint, sizeof fingerprint);
	send_and_tell("grants", frame, end_frame(frame, &w));
}

static void
do_graft(const char *argument)
{
	KadId		collection = parse_id(argument);
	uint8_t		frame[WIRE_FRAME_MAX];
	ByteWriter	w = begin_frame(frame, 1, WIRE_GRAFT, 0, &collection);

	printf("graft: %s\n", send_frame(frame, end_frame(frame, &w)) ? "sent" : "not sent");
}

static void
try_handshake(const char *action, Mechanism mechanism)
{
	char		url[64];
	void	   *s;
	void	   *monitor;
	int64_t		until = now_tick() + peer.wait_ms;
	const char *what = "silence";

	if (mechanism != WITH_NULL)
		need_server_key();
	snprintf(url, sizeof url, "inproc://monitor-%s", action);
	s = open_link(&peer.self, mechanism, url);
	monitor = zmq_socket(peer.context, ZMQ_PAIR);
	if (monitor == NULL || zmq_connect(monitor, url) != 0)
		fatal("no monitor: %s", zmq_strerror(errno));
	while (now_tick() < until)
	{
		zmq_pollitem_t item = {monitor, 0, ZMQ_POLLIN, 0};
		uint8_t		event[6];
		char		address[256];
		int			id;

		if (zmq_poll(&item, 1, until - now_tick()) <= 0)
			break;
		if (zmq_recv(monitor, event, sizeof event, 0) < 2 || zmq_recv(monitor, address, sizeof address, 0) < 0)
			continue;
		id = event[0] | event[1] << 8;
		if (id == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
			what = "let in";
		else if (id == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || id == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
				 id == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || id == ZMQ_EVENT_DISCONNECTED)
			what = "refused";
		else
			continue;
		break;
	}
	zmq_socket_monitor(s, NULL, 0);
	zmq_close(monitor);
	zmq_close(s);
	printf("%s: %s\n", action, what);
}

static void
do_null(const char *argument)
{
	try_handshake("null", WITH_NULL);
}

static void
do_wrongkey(const char *argument)
{
	try_handshake("wrongkey", WITH_WRONG_KEY);
}

static void
do_curve(const char *argument)
{
	try_handshake("curve", WITH_CURVE);
}

static void
do_wait(const char *argument)
{
	peer.wait_ms = atol(argument);
}

static void
do_hold(const char *argument)
{
	char		c;

	printf("hold: holding\n");
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

/* ---- */

typedef struct Action
{
	const char *name;
	bool		has_argument;
	void		(*act) (const char *argument);
} Action;

static const Action actions[] = {
	{"ask", false, do_ask},
	{"own", false, do_own},
	{"hello", true, do_hello},
	{"again", true, do_again},
	{"ping", false, do_ping},
	{"fade", false, do_fade},
	{"find", false, do_find},
	{"bye", false, do_bye},
	{"provide", true, do_provide},
	{"redeem", true, do_redeem},
	{"grants", true, do_grants},
	{"graft", true, do_graft},
	{"flood", true, do_flood},
	{"replay", true, do_replay},
	{"rows", true, do_rows},
	{"frames", true, do_frames},
	{"paced", true, do_paced},
	{"datagrams", true, do_datagrams},
	{"raw", true, do_raw},
	{"silent", true, do_silent},
	{"peers", true, do_peers},
	{"null", false, do_null},
	{"wrongkey", false, do_wrongkey},
	{"curve", false, do_curve},
	{"wait", true, do_wait},
	{"hold", false, do_hold},
};

static void
act(const char *text)
{
	size_t		len = strcspn(text, "=");

	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (strlen(actions[i].name) == len && strncmp(text, actions[i].name, len) == 0 &&
			actions[i].has_argument == (text[len] == '='))
		{
			actions[i].act(text[len] == '=' ? text + len + 1 : "");
			fflush(stdout);
			return;
		}
	fatal("there is no action \"%s\"", text);
}

static const char *
option(const char *arg, const char *name)
{
	size_t		len = strlen(name);

	return strncmp(arg, name, len) == 0 && arg[len] == '=' ? arg + len + 1 : NULL;
}

int
main(int argc, char **argv)
{
	const char *value;
	uint64_t	salt = 0;
	struct rlimit files;
	int			i;

	for (i = 1; i < argc && strncmp(argv[i], "--", 2) == 0; i++)
	{
		if ((value = option(argv[i], "--network")) != NULL)
			peer.network_name = value;
		else if ((value = option(argv[i], "--seed")) != NULL)
			peer.random_state = strtoull(value, NULL, 0);
		else if ((value = option(argv[i], "--salt")) != NULL)
			salt = strtoull(value, NULL, 0);
		else if ((value = option(argv[i], "--wait")) != NULL)
			peer.wait_ms = atol(value);
		else if ((value = option(argv[i], "--key")) != NULL)
		{
			KadId		key = parse_id(value);

			memcpy(peer.server_key, key.b, 32);
			peer.has_server_key = true;
		}
		else
			fatal("unknown option %s", argv[i]);
	}
	if (argc - i < 3)
		fatal("usage: hostile [--network=NAME] [--seed=N] [--salt=N] [--key=HEX] [--wait=MS] HOST PORT ACTION...");
	peer.host = argv[i++];
	peer.port = atoi(argv[i++]);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
	{
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	peer_begin(salt);
	for (; i < argc; i++)
		act(argv[i]);
	fflush(stdout);
	/* what is open is closed by the end of the process */
	_exit(0);
}
