/*
 * sync_worker.c
 *	  The process of a node: its life, its one loop, and what it does by the
 *	  clock: asking the bootstrap list, beacons, its own addresses, figures.
 *
 * The loop waits for its latch, for the descriptors of the transport and for
 * that of beacons, and looks around every 100 ms besides.  Nothing in it waits:
 * statements have a timeout, names are resolved on a thread.  An error costs the
 * turn in which it happened.
 *
 * How it ends:
 *
 *	  SIGTERM			says goodbye to its peers and exits
 *	  the extension goes	the node stops, the process waits for it to return
 *	  the database goes	the process exits before the command gives up waiting
 *	  libzmq aborts		the process exits, and the launcher starts another
 */
#include "sync/sync_worker.h"

#include <sodium.h>
#include <sys/resource.h>

#include "access/xact.h"
#include "core/net/beacon.h"
#include "fmgr.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "net/address.h"
#include "net/beacon_socket.h"
#include "net/crypto_sodium.h"
#include "net/key_file.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "worker/worker.h"

PGDLLEXPORT void VecdbSyncNodeMain(Datum arg);

#define TICK_MS 100				/* nothing wakes us for: look anyway */
#define HOUSE_MS 1000			/* the database, figures */
#define EXTENSION_MS 2000
#define RETRY_MS 5000			/* a start that failed */
#define SETTLED_MS 10000		/* a process that lived so long has not failed */
#define REBIND_MS 10000			/* tables of collections may have been dropped */
#define ADDRESS_MS 15000		/* our own addresses may have changed */
#define RESOLVE_MS 300000
#define SAVE_FIRST_MS 5000
#define SAVE_MS 300000
#define SWEEP_MS 3600000		/* a file that could not be removed */
#define ASK_FIRST_MS 500
#define ASK_LAST_MS 60000		/* while nobody is known */
#define ASK_AGAIN_MS 600000		/* while few are */
#define ASK_ENOUGH KAD_K
#define LAN_FIRST_MS 1000
#define LAN_LAST_MS 60000
#define BEACONS_A_TURN 64
#define BEACONS_ANSWERED 50		/* a second */
#define LINES 64
#define BOOTSTRAP_ADDRESSES (2 * RESOLVER_LIMIT)
#define OPEN_FILES 4096			/* enough for all links that a node may have */

SyncWorker	sync_worker;

static MemoryContext loop_context;
static WaitEventSet *wait_set;
static bool wait_has_node;
static int64_t started_ms;
static bool settled;

/* What the node runs with; other settings mean another node. */
static struct
{
	char		listen[SYNC_ADDRESS];
	int			port;
	char		network[NODE_TEXT];
	char		key_file[MAXPGPATH];
	int			max_peers;
	bool		limit_private;
}			running;

static BeaconSocket *beacons;
static Resolver *advertise;		/* of vecdb.advertise, while it runs */
static Resolver *bootstrap;
static bool advertise_known;
static NetAddress advertised[NODE_RECORD_ADDRESSES];
static int	n_advertised;
static NetAddress asked[BOOTSTRAP_ADDRESSES];
static int	n_asked;
static char told_failed[2][ADDRESS_HOST];	/* the name that could not be resolved, told once */

/* Times (ticks) at which each is due. */
static struct
{
	int64_t		house;
	int64_t		extension;
	int64_t		start;
	int64_t		rebind;
	int64_t		address;
	int64_t		resolve;
	int64_t		save;
	int64_t		sweep;
	int64_t		ask;
	int64_t		ask_wait;
	int64_t		lan;
	int64_t		lan_wait;
	int64_t		flush;
	int			flush_failures; /* in a row */
	int64_t		answered;		/* second of ... */
	int			answers;		/* ... so many answers to asks */
}			due;

/* Of the asks that are out: an announce must repeat one of these. */
#define NONCES 8
static uint64_t nonces[NONCES];
static int	next_nonce;

/* Notes of the node's callbacks. */
static struct
{
	NodeLevel	level;
	char		text[NODE_TEXT];
}			lines[LINES];
static int	n_lines;
static int	lost_lines;
static uint64_t signed_seq;
static uint64_t saved_seq;

/* ---------------------------------------------------------------------------
 * Clocks
 */

TimestampTz
SyncUnixTime(int64_t unix_ms)
{
	return (unix_ms - (int64_t) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY * 1000) * 1000;
}

TimestampTz
SyncTickTime(int64_t tick_ms)
{
	CoreClock	now = node_clock();

	return SyncUnixTime(now.unix_ms - (now.tick_ms - tick_ms));
}

/* Up to a quarter more or less. */
static int64_t
jittered(int64_t ms)
{
	return ms - ms / 4 + (int64_t) randombytes_uniform((uint32_t) (ms / 2 + 1));
}

/* ---------------------------------------------------------------------------
 * The slot
 */

static void
set_state(SyncNodeState state, const char *reason)
{
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	sync_worker.slot->state = state;
	strlcpy(sync_worker.slot->reason, reason, SYNC_REASON);
	LWLockRelease(&sync_worker.shared->lock);
}

/* Is it the same but for its numbers?  A count that changes is not news. */
static bool
says_the_same(const char *a, const char *b)
{
	for (;; a++, b++)
	{
		a += strspn(a, "0123456789");
		b += strspn(b, "0123456789");
		if (*a != *b)
			return false;
		if (*a == '\0')
			return true;
	}
}

/* Something is missing.  The log is told when it is another thing than before. */
static void
wait_for(const char *reason, const char *hint)
{
	bool		same;

	LWLockAcquire(&sync_worker.shared->lock, LW_SHARED);
	same = sync_worker.slot->state == SYNC_NODE_WAITING && says_the_same(sync_worker.slot->reason, reason);
	LWLockRelease(&sync_worker.shared->lock);
	set_state(SYNC_NODE_WAITING, reason);
	if (!same)
		ereport(LOG,
				(errmsg("node of database \"%s\" waits: %s", sync_worker.slot->name, reason),
				 hint ? errhint("%s", hint) : 0));
}

static void
leave_slot(int code, Datum arg)
{
	SyncNode   *slot = sync_worker.slot;

	SyncLeavePlaces();
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	if (slot->pid == MyProcPid)
	{
		slot->pid = 0;
		slot->latch = NULL;
		slot->state = SYNC_NODE_DOWN;
		slot->peers = slot->known = 0;
	}
	if (sync_worker.shared->launcher_latch)
		SetLatch(sync_worker.shared->launcher_latch);
	LWLockRelease(&sync_worker.shared->lock);
}

/* Addresses as the text of an array. */
static void
list_addresses(const NetAddress *addresses, int n, char *out, size_t room)
{
	char		one[ADDRESS_TEXT];
	size_t		len = 0;

	for (int i = 0; i < n && len < room; i++)
		len += (size_t) snprintf(out + len, room - len, "%c\"%s\"", i == 0 ? '{' : ',', address_text(&addresses[i], one));
	if (len < room)
		snprintf(out + len, room - len, n == 0 ? "" : "}");
	else
		out[0] = '\0';
}

static void
publish(void)
{
	SyncNode   *slot = sync_worker.slot;
	NodeFigures figures = node_figures(sync_worker.node);
	TransportStats transport = transport_stats(sync_worker.net->transport);
	const NodeRecord *own = node_record(sync_worker.node);
	const KadTable *table = node_table(sync_worker.node);
	NetAddress	clone;
	bool		cloned = node_cloned(sync_worker.node, &clone);

	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	slot->has_id = true;
	memcpy(slot->id, own->id.b, sizeof(slot->id));
	list_addresses(own->addresses, own->n_addresses, slot->advertised, sizeof(slot->advertised));
	if (cloned)
		address_text(&clone, slot->clone);
	else
		slot->clone[0] = '\0';
	slot->peers = figures.greeted;
	slot->known = table->n;
	slot->sent = (int64) transport.frames_out;
	slot->received = (int64) transport.frames_in;
	slot->refused = (int64) (figures.refused + transport.refused_mechanism + transport.refused_crypto +
							 transport.refused_banned + transport.refused_protocol + transport.refused_room);
	slot->lookups = (int64) figures.kad.lookups;
	slot->memory_bytes = (int64) (sync_worker.net->allocated + sizeof(*sync_worker.net));
	LWLockRelease(&sync_worker.shared->lock);
}

/* ---------------------------------------------------------------------------
 * Callbacks of the node: notes, nothing else
 */

static void
on_log(void *context, NodeLevel level, const char *text)
{
	if (n_lines == LINES)
	{
		lost_lines++;
		return;
	}
	lines[n_lines].level = level;
	strlcpy(lines[n_lines++].text, text, NODE_TEXT);
}

static void
on_lookup_done(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
	SyncLookupDone(tag, lookup, took_ms);
}

static void
on_join_done(void *context, uint64_t tag, NodeStatus status, const char *text,
			 const uint8_t root[CORE_KEY_BYTES], const uint8_t *description, size_t len)
{
	SyncJoinDone(tag, status, text, root, description, len);
}

static void
on_left(void *context, const uint8_t root[CORE_KEY_BYTES])
{
	SyncNoteLeft(root);
}

static void
on_signed(void *context, uint64_t seq)
{
	signed_seq = seq;
}

static void
write_lines(void)
{
	int			n = n_lines;
	int			lost = lost_lines;

	/* an error in the middle must not write them twice */
	n_lines = lost_lines = 0;
	for (int i = 0; i < n; i++)
		ereport(lines[i].level == NODE_WARNING ? WARNING : LOG, (errmsg_internal("vecdb: %s", lines[i].text)));
	if (lost > 0)
		ereport(LOG, (errmsg("vecdb: %d lines more were lost", lost)));
}

static void
save_seq(void)
{
	if (signed_seq == saved_seq)
		return;
	saved_seq = signed_seq;
	SyncSaveSeq(saved_seq);
}

/* ---------------------------------------------------------------------------
 * Starting and stopping the node
 */

static int
current_port(void)
{
	int			port;

	LWLockAcquire(&sync_worker.shared->lock, LW_SHARED);
	port = sync_worker.slot->port;
	LWLockRelease(&sync_worker.shared->lock);
	return port;
}

/* The path of the key file; "%d" in the setting is the name of the database.  False: it is too long. */
static bool
key_path(char out[MAXPGPATH])
{
	const char *at = VecdbKeyFile;
	size_t		len = 0;

	if (at[0] == '\0')
	{
		snprintf(out, MAXPGPATH, "%s/node.key", sync_worker.dir);
		return true;
	}
	for (; *at && len + NAMEDATALEN < MAXPGPATH; at++)
	{
		if (at[0] == '%' && at[1] == 'd')
		{
			len += strlcpy(out + len, sync_worker.slot->name, MAXPGPATH - len);
			at++;
		}
		else
			out[len++] = *at;
	}
	out[len] = '\0';
	return *at == '\0';
}

/* The setting vecdb.listen as an address; false when it is none. */
static bool
listen_address(NetAddress *out)
{
	char		text[SYNC_ADDRESS];

	strlcpy(text, VecdbListen, sizeof(text));
	text[strcspn(text, "%")] = '\0';	/* the zone of a link-local one */
	return address_parse_ip(text, out);
}

/* Those that this machine can be reached at, as far as the setting tells. */
static int
own_addresses(NetAddress *out)
{
	NetAddress	listen;

	if (!listen_address(&listen))
		return 0;
	listen.port = (uint16_t) current_port();
	if (!address_is_any(&listen))
	{
		out[0] = listen;
		return 1;
	}
	/* :: takes both families, 0.0.0.0 only its own */
	return address_local(listen.port, true, strchr(VecdbListen, ':') != NULL, out, NODE_RECORD_ADDRESSES);
}

static void
resolve_names(void)
{
	resolver_free(&advertise);
	resolver_free(&bootstrap);
	if (VecdbAdvertise[0])
		advertise = resolver_start(VecdbAdvertise, current_port());
	if (VecdbBootstrap[0])
		bootstrap = resolver_start(VecdbBootstrap, VecdbP2pPort);
	else
		n_asked = 0;
	due.resolve = node_clock().tick_ms + RESOLVE_MS;
}

static void
tell_failed(int which, const char *setting, const char *failed)
{
	if (strcmp(told_failed[which], failed) == 0)
		return;
	strlcpy(told_failed[which], failed, ADDRESS_HOST);
	if (failed[0])
		ereport(LOG, (errmsg("could not use \"%s\" in %s: no address, and no name that resolves", failed, setting)));
}

/* Take what the threads have found. */
static void
take_names(void)
{
	char		failed[ADDRESS_HOST];
	NetAddress	found[BOOTSTRAP_ADDRESSES];
	int			n;

	if (advertise && resolver_done(advertise, found, NODE_RECORD_ADDRESSES, &n, failed))
	{
		resolver_free(&advertise);
		tell_failed(0, "vecdb.advertise", failed);
		/* a server of names that is down does not make us another node */
		if (n > 0 || !advertise_known)
		{
			memcpy(advertised, found, sizeof(NetAddress) * (size_t) n);
			n_advertised = n;
		}
		advertise_known = true;
		due.address = 0;
	}
	/* a name that takes its time must not hold up the others of the list */
	if (bootstrap && n_asked == 0 && (n = resolver_so_far(bootstrap, asked, BOOTSTRAP_ADDRESSES)) > 0)
	{
		n_asked = n;
		due.ask = 0;
	}
	if (bootstrap && resolver_done(bootstrap, found, BOOTSTRAP_ADDRESSES, &n, failed))
	{
		resolver_free(&bootstrap);
		tell_failed(1, "vecdb.bootstrap", failed);
		if (n > 0)
		{
			memcpy(asked, found, sizeof(NetAddress) * (size_t) n);
			n_asked = n;
			due.ask = 0;
		}
	}
}

/* What to advertise now; 0 when nothing is known. */
static int
wanted_addresses(NetAddress *out)
{
	if (VecdbAdvertise[0] == '\0')
		return own_addresses(out);
	memcpy(out, advertised, sizeof(NetAddress) * (size_t) n_advertised);
	return n_advertised;
}

/* It must be gone before a descriptor in it is closed. */
static void
forget_wait_set(void)
{
	if (wait_set)
		FreeWaitEventSet(wait_set);
	wait_set = NULL;
}

static void
stop_node(void)
{
	if (!sync_worker.node)
		return;
	forget_wait_set();
	beacon_socket_free(&beacons);
	sync_worker.node = NULL;
	net_node_destroy(&sync_worker.net);
	SyncFailAll();
}

static void
remember_settings(void)
{
	strlcpy(running.listen, VecdbListen, sizeof(running.listen));
	running.port = current_port();
	strlcpy(running.network, VecdbNetworkId, sizeof(running.network));
	strlcpy(running.key_file, VecdbKeyFile, sizeof(running.key_file));
	running.max_peers = VecdbMaxPeers;
	running.limit_private = VecdbLimitPrivateSubnets;
}

static bool
settings_are_the_same(void)
{
	return strcmp(running.listen, VecdbListen) == 0 && running.port == current_port() &&
		strcmp(running.network, VecdbNetworkId) == 0 && strcmp(running.key_file, VecdbKeyFile) == 0 &&
		running.max_peers == VecdbMaxPeers && running.limit_private == VecdbLimitPrivateSubnets;
}

static void
open_beacons(void)
{
	char		error[256];
	BeaconSocketConfig config = {
		.listen = VecdbListen,
		.port = (uint16_t) running.port,
		.lan = VecdbLanDiscovery
	};

	forget_wait_set();
	beacon_socket_free(&beacons);
	beacons = beacon_socket_new(&config, error, sizeof(error));
	if (!beacons)
		ereport(LOG,
				(errmsg("could not listen for UDP on \"%s\", port %d: %s", VecdbListen, running.port, error),
				 errdetail("The node works, but nobody can use it as a bootstrap address.")));
	else if (VecdbLanDiscovery && !beacon_socket_lan(beacons))
		ereport(LOG, (errmsg("could not listen for announcements on the local network: no interface joins the multicast group")));
	due.lan = 0;
	due.lan_wait = LAN_FIRST_MS;
}

static void
start_node(void)
{
	CoreClock	clock = node_clock();
	NetNodeConfig config = {
		.node = {
			.callbacks = {NULL, on_log, on_lookup_done, on_join_done, on_left, on_signed},
			.network = VecdbNetworkId,
			.skew_ms = VecdbMaxClockSkew_s * INT64CONST(1000),
			.mesh_degree = VecdbMeshDegree,
			.exempt_private = !VecdbLimitPrivateSubnets
		},
		.listen = VecdbListen,
		.max_links = VecdbMaxPeers
	};
	char		path[MAXPGPATH];
	char		error[256];
	char		reason[SYNC_REASON];
	NodeKeys	keys;
	NetAddress	listen;
	bool		created;

	due.start = clock.tick_ms + RETRY_MS;
	if (!listen_address(&listen))
	{
		snprintf(reason, sizeof(reason), "vecdb.listen is no address: \"%s\"", VecdbListen);
		wait_for(reason, "Give an IPv4 or IPv6 address, no name.");
		return;
	}
	if (VecdbAdvertise[0] && !advertise_known)
	{
		due.start = clock.tick_ms + TICK_MS;
		if (!advertise)
			resolve_names();
		take_names();
		if (!advertise_known)
		{
			wait_for("the names in vecdb.advertise are being looked up", NULL);
			return;
		}
	}
	config.node.n_addresses = wanted_addresses(config.node.addresses);
	if (config.node.n_addresses == 0)
	{
		wait_for(VecdbAdvertise[0] ? "vecdb.advertise holds no usable address" : "this machine has no address that another could use",
				 "Set vecdb.advertise to host:port.");
		return;
	}
	if (!SyncMakeDirectory())
	{
		wait_for("the directory for its files could not be made", "See the line before this one.");
		return;
	}
	if (!key_path(path))
	{
		wait_for("the key file cannot be used: the path in vecdb.key_file is too long", NULL);
		return;
	}
	if (!key_file_load(path, &keys, &created, error, sizeof(error)))
	{
		snprintf(reason, sizeof(reason), "the key file cannot be used: %s", error);
		wait_for(reason, NULL);
		return;
	}
	if (created)
		ereport(LOG, (errmsg("made the key of a new node in \"%s\"", path)));
	config.port = (uint16_t) current_port();
	memcpy(config.node.secret, keys.secret, sizeof(config.node.secret));
	memcpy(config.node.curve_public, keys.curve_public, sizeof(config.node.curve_public));
	memcpy(config.curve_secret, keys.curve_secret, sizeof(config.curve_secret));
	sodium_memzero(&keys, sizeof(keys));
	config.node.seq = SyncReadSeq();
	sync_worker.net = net_node_new(&config, clock, error, sizeof(error));
	sodium_memzero(&config, sizeof(config));
	if (!sync_worker.net)
	{
		snprintf(reason, sizeof(reason), "%s", error);
		wait_for(reason, NULL);
		return;
	}
	sync_worker.node = sync_worker.net->node;
	remember_settings();
	save_seq();
	if (!SyncLoad())
	{
		stop_node();
		wait_for("its collections could not be read", "See the lines before this one.");
		return;
	}
	SyncReadTable();
	open_beacons();
	resolve_names();
	due.rebind = SyncRebind() ? clock.tick_ms + REBIND_MS : clock.tick_ms + HOUSE_MS;
	due.address = clock.tick_ms + ADDRESS_MS;
	due.save = clock.tick_ms + SAVE_FIRST_MS;
	due.sweep = 0;
	/* those of the saved table have a moment to answer */
	due.ask = clock.tick_ms + ASK_FIRST_MS;
	due.ask_wait = ASK_FIRST_MS;
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	listen.port = (uint16_t) running.port;
	address_text(&listen, sync_worker.slot->listen);
	LWLockRelease(&sync_worker.shared->lock);
	publish();
	set_state(SYNC_NODE_RUNNING, "");
	{
		char		id[2 * KAD_ID_BYTES + 1];

		kad_id_text(&node_record(sync_worker.node)->id, id);
		ereport(LOG, (errmsg("node of database \"%s\" listens on %s, network \"%s\", id %s", sync_worker.slot->name,
							 sync_worker.slot->listen, VecdbNetworkId, id)));
	}
}

/* ---------------------------------------------------------------------------
 * Beacons
 */

static void
send_beacon(BeaconKind kind, uint64_t nonce, const NetAddress *to)
{
	uint8_t		bytes[BEACON_MAX];
	size_t		len = beacon_sign(node_crypto(sync_worker.node), node_secret(sync_worker.node), kind, nonce,
								  node_record(sync_worker.node), node_clock().unix_ms, bytes);

	if (len == 0)
		return;
	if (to)
		(void) beacon_socket_send(beacons, to, bytes, len);
	else
		beacon_socket_announce(beacons, bytes, len);
}

static void
take_beacon(CoreClock clock, const uint8_t *bytes, size_t len, const NetAddress *from)
{
	Beacon		beacon;
	RecordPool *pool = node_pool(sync_worker.node);

	if (beacon_decode(pool, bytes, len, clock.unix_ms, &beacon) != DECODE_OK)
		return;
	if (beacon.kind == BEACON_ASK)
	{
		if (clock.tick_ms - due.answered >= 1000)
		{
			due.answered = clock.tick_ms;
			due.answers = 0;
		}
		if (due.answers++ < BEACONS_ANSWERED)
		{
			send_beacon(BEACON_ANNOUNCE, beacon.nonce, from);
			node_meet_record(sync_worker.node, clock, beacon.record);
		}
	}
	else if (beacon.nonce == 0)
	{
		/* on the LAN; unasked */
		if (VecdbLanDiscovery)
			node_meet_record(sync_worker.node, clock, beacon.record);
	}
	else
		for (int i = 0; i < NONCES; i++)
			if (nonces[i] == beacon.nonce)
			{
				node_meet_record(sync_worker.node, clock, beacon.record);
				break;
			}
	record_pool_release(pool, beacon.record);
}

static void
read_beacons(CoreClock clock)
{
	uint8_t		bytes[BEACON_MAX + 1];
	NetAddress	from;

	for (int i = 0; beacons && i < BEACONS_A_TURN; i++)
	{
		ssize_t		len = beacon_socket_receive(beacons, bytes, sizeof(bytes), &from);

		if (len < 0)
			break;
		take_beacon(clock, bytes, (size_t) len, &from);
	}
}

/* Ask the bootstrap list: often while nobody is known, seldom while few are. */
static void
ask_bootstrap(CoreClock clock)
{
	int			known = node_table(sync_worker.node)->n;
	uint64_t	nonce;

	if (!beacons || n_asked == 0 || known >= ASK_ENOUGH)
	{
		due.ask = clock.tick_ms + HOUSE_MS;
		return;
	}
	do
		randombytes_buf(&nonce, sizeof(nonce));
	while (nonce == 0);
	nonces[next_nonce] = nonce;
	next_nonce = (next_nonce + 1) % NONCES;
	for (int i = 0; i < n_asked; i++)
		send_beacon(BEACON_ASK, nonce, &asked[i]);
	if (known > 0)
	{
		due.ask = clock.tick_ms + jittered(ASK_AGAIN_MS);
		due.ask_wait = ASK_FIRST_MS;
	}
	else
	{
		due.ask = clock.tick_ms + jittered(due.ask_wait);
		due.ask_wait = Min(due.ask_wait * 2, ASK_LAST_MS);
	}
}

static void
announce_on_lan(CoreClock clock)
{
	if (beacons && VecdbLanDiscovery)
		send_beacon(BEACON_ANNOUNCE, 0, NULL);
	due.lan = clock.tick_ms + jittered(due.lan_wait);
	due.lan_wait = Min(due.lan_wait * 2, LAN_LAST_MS);
}

/* ---------------------------------------------------------------------------
 * A turn of the loop
 */

/* Look after what is not the network's.  False when the process has to end. */
static bool
keep_house(CoreClock clock)
{
	due.house = clock.tick_ms + HOUSE_MS;
	if (!SyncDatabaseIsFree(MyDatabaseId))
	{
		ereport(LOG, (errmsg("node of database \"%s\" makes way: the database is being dropped, renamed or copied",
							 sync_worker.slot->name)));
		return false;
	}
	if (!settled && clock.tick_ms - started_ms >= SETTLED_MS)
	{
		settled = true;
		LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
		sync_worker.slot->failures = 0;
		LWLockRelease(&sync_worker.shared->lock);
	}
	if (clock.tick_ms >= due.extension)
	{
		due.extension = clock.tick_ms + EXTENSION_MS;
		switch (SyncFindExtension())
		{
			case SYNC_EXTENSION_ABSENT:
				if (sync_worker.node)
					SyncRemoveRoots();
				stop_node();
				wait_for("the extension vecdb is not in this database", "CREATE EXTENSION vecdb creates it.");
				return true;
			case SYNC_EXTENSION_OLD:
				stop_node();
				wait_for("the extension vecdb in this database is of an older version", "ALTER EXTENSION vecdb UPDATE updates it.");
				return true;
			case SYNC_EXTENSION_UNKNOWN:
				return true;
			case SYNC_EXTENSION_THERE:
				if (!sync_worker.node && clock.tick_ms >= due.start)
					start_node();
				break;
		}
	}
	if (sync_worker.node && !settings_are_the_same())
	{
		SyncSaveTable();
		set_state(SYNC_NODE_STARTING, "it begins anew, with other settings");
		stop_node();
		due.start = due.extension = 0;
		due.house = 0;
		return true;
	}
	if (sync_worker.node)
		publish();
	return true;
}

static void
reload(void)
{
	char		before[MAXPGPATH];
	bool		lan = VecdbLanDiscovery;

	ConfigReloadPending = false;
	strlcpy(before, VecdbAdvertise, sizeof(before));
	ProcessConfigFile(PGC_SIGHUP);
	if (strcmp(before, VecdbAdvertise) != 0)
	{
		advertise_known = false;
		n_advertised = 0;
	}
	due.house = due.extension = due.start = 0;
	due.ask_wait = ASK_FIRST_MS;
	due.ask = 0;
	if (!sync_worker.node)
		return;
	resolve_names();
	due.address = 0;
	node_adjust(sync_worker.node, VecdbMaxClockSkew_s * INT64CONST(1000), VecdbMeshDegree);
	if (lan != VecdbLanDiscovery)
		open_beacons();
}

/* What libzmq takes for impossible it aborts for; the transport has kept that from us. */
static bool
is_broken(void)
{
	return sync_worker.net && transport_broken(sync_worker.net->transport);
}

/* The node's own business.  True when more of it waits. */
static bool
run_node(CoreClock clock)
{
	bool		more;
	bool		again = false;

	read_beacons(clock);
	more = net_node_run(sync_worker.net, clock);
	save_seq();
	write_lines();
	SyncServe();
	write_lines();
	if (clock.tick_ms >= due.flush)
	{
		int64_t		began_ms = node_clock().tick_ms;
		bool		flushed = SyncFlush();
		int64_t		now_ms = node_clock().tick_ms;

		/* tables that stay locked cost less and less; members who change large sets all the time, a fifth of it */
		due.flush_failures = flushed ? 0 : due.flush_failures + 1;
		due.flush = now_ms + (flushed ? 4 * (now_ms - began_ms) : WorkerBackoff(due.flush_failures));
	}
	take_names();
	if (clock.tick_ms >= due.resolve)
		resolve_names();
	if (clock.tick_ms >= due.address)
	{
		NetAddress	now[NODE_RECORD_ADDRESSES];
		int			n = VecdbAdvertise[0] && !advertise_known ? 0 : wanted_addresses(now);

		due.address = clock.tick_ms + ADDRESS_MS;
		if (n > 0)
			node_advertise(sync_worker.node, clock, now, n);
	}
	if (clock.tick_ms >= due.ask)
		ask_bootstrap(clock);
	if (clock.tick_ms >= due.lan)
		announce_on_lan(clock);
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	again = sync_worker.slot->reload;
	sync_worker.slot->reload = false;
	LWLockRelease(&sync_worker.shared->lock);
	if (again || clock.tick_ms >= due.rebind)
	{
		due.rebind = clock.tick_ms + REBIND_MS;
		if (!SyncRebind())
			due.rebind = clock.tick_ms + HOUSE_MS;
	}
	if (clock.tick_ms >= due.sweep)
		due.sweep = clock.tick_ms + (SyncSweepRoots() ? SWEEP_MS : RETRY_MS);
	if (clock.tick_ms >= due.save)
	{
		due.save = clock.tick_ms + SAVE_MS;
		SyncSaveTable();
	}
	return more;
}

/* Wait for something to happen. */
static void
wait_a_while(CoreClock clock)
{
	WaitEvent	event;
	long		timeout = sync_worker.node ? TICK_MS : HOUSE_MS;

	if (wait_set && wait_has_node != (sync_worker.node != NULL))
		forget_wait_set();
	if (!wait_set)
	{
		wait_set = CreateSessionWaitEventSet(TRANSPORT_DESCRIPTORS + BEACON_SOCKET_DESCRIPTORS + 2);
		AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
		AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
		wait_has_node = sync_worker.node != NULL;
		if (wait_has_node)
		{
			int			fds[TRANSPORT_DESCRIPTORS + BEACON_SOCKET_DESCRIPTORS];
			int			n = transport_descriptors(sync_worker.net->transport, fds, TRANSPORT_DESCRIPTORS);

			if (beacons)
				n += beacon_socket_descriptors(beacons, fds + n, BEACON_SOCKET_DESCRIPTORS);
			for (int i = 0; i < n; i++)
				AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, fds[i], NULL, NULL);
		}
	}
	if (sync_worker.node)
	{
		int64_t		next = node_next_tick(sync_worker.node) - clock.tick_ms;

		timeout = (long) Max(Min(next, TICK_MS), 1);
	}
	if (WaitEventSetWait(wait_set, timeout, &event, 1, PG_WAIT_EXTENSION) > 0 && (event.events & WL_LATCH_SET))
		ResetLatch(MyLatch);
}

/* One turn.  *going is false after it when the process has to end. */
static void
turn(void *going)
{
	CoreClock	clock = node_clock();
	bool		more = false;

	WorkerInterrupts();
	if (ConfigReloadPending)
		reload();
	if (clock.tick_ms >= due.house && !keep_house(clock))
	{
		*(bool *) going = false;
		return;
	}
	if (sync_worker.node)
		more = run_node(clock);
	else
		SyncServe();
	if (is_broken())
	{
		ereport(LOG,
				(errmsg("node of database \"%s\" begins anew: libzmq has aborted", sync_worker.slot->name),
				 errdetail("A peer may have brought that about. The server is not affected.")));
		*(bool *) going = false;
		return;
	}
	if (!more && !ShutdownRequestPending)
		wait_a_while(node_clock());
	else
		ResetLatch(MyLatch);
}

/* What a transaction does, if one runs, is given up; its end is not. */
static void
on_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	ShutdownRequestPending = true;
	if (IsTransactionState())
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
save_all(void *arg)
{
	SyncSaveTable();
	(void) SyncFlush();
}

/*
 * Services often begin with a limit of 1024 open files, which they may raise: it
 * is low for the sake of select(), which nobody uses here.
 */
static void
raise_open_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= OPEN_FILES)
		return;
	limit.rlim_cur = Min(limit.rlim_max, OPEN_FILES);
	(void) setrlimit(RLIMIT_NOFILE, &limit);
}

void
VecdbSyncNodeMain(Datum arg)
{
	int			errors = 0;
	bool		going = true;
	Oid			database;

	sync_worker.shared = SyncAttach();
	sync_worker.slot = &sync_worker.shared->node[DatumGetInt32(arg)];
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	sync_worker.slot->pid = MyProcPid;
	sync_worker.slot->latch = MyLatch;
	sync_worker.slot->reload = false;
	database = sync_worker.slot->database;
	LWLockRelease(&sync_worker.shared->lock);
	before_shmem_exit(leave_slot, (Datum) 0);
	WorkerStart(database, on_sigterm);
	set_state(SYNC_NODE_STARTING, "");
	raise_open_files();
	snprintf(sync_worker.dir, sizeof(sync_worker.dir), "vecdb/%u", MyDatabaseId);
	if (!crypto_sodium_init())
		ereport(FATAL, (errmsg("libsodium could not be initialised")));
	loop_context = AllocSetContextCreate(TopMemoryContext, "vecdb node", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(loop_context);
	started_ms = node_clock().tick_ms;

	while (going && !ShutdownRequestPending)
	{
		if (WorkerTry(turn, NULL, &going))
			errors = 0;
		else
		{
			forget_wait_set();
			errors++;
		}
		MemoryContextReset(loop_context);
		/* one that comes back at once must not fill the log */
		if (errors > 3)
		{
			(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1000, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);	/* such a turn did not get that far */
		}
	}

	set_state(SYNC_NODE_STOPPING, "");
	if (sync_worker.node)
		(void) WorkerTry(save_all, NULL, NULL);
	if (!is_broken())
		stop_node();
	proc_exit(0);
}
