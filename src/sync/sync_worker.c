/*
 * sync_worker.c
 *	  The worker of one node: its life and its loop.
 *
 * One wait covers the latch, the postmaster, and a descriptor of epoll in which
 * are those of the transport and of the beacons; it lasts a tenth of a second at
 * most, for libzmq's descriptors tell changes only.  Everything a turn does is
 * under one PG_TRY: an error costs that turn.
 *
 * Under SIGTERM (shutdown, DROP DATABASE WITH (FORCE), pg_terminate_backend) it
 * says goodbye to its peers and is gone well within a second.  It lets go of the
 * database by itself when somebody waits to have it alone.
 */
#include "sync/sync_worker.h"

#include <net/if.h>
#include <signal.h>
#include <sodium.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/sinval.h"
#include "sync/address.h"
#include "sync/bootstrap.h"
#include "sync/key_file.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

PGDLLEXPORT void VecdbSyncNodeMain(Datum arg);

#define FALLBACK_MS 100			/* libzmq's descriptors may miss something */
#define DATABASE_MS 500			/* is somebody waiting for the database? */
#define EXTENSION_MS 2000		/* is the extension there? */
#define RETRY_MS 2000			/* a port that is taken, a file that cannot be read */
#define REBIND_MS 5000			/* names and definitions of the collections' tables */
#define SAVE_MS 180000			/* the routing table */
#define ADDRESSES_MS 30000		/* names, and addresses of this machine */
#define FIGURES_MS 1000
#define NOTES_MS 1000			/* statements that could not be written */
#define RESOLVE_LIMIT_MS 10000
#define ERROR_PAUSE_MS 1000
#define MAX_LINES 64

typedef struct Line
{
	NodeLevel	level;
	char		text[NODE_TEXT];
} Line;

SyncWorker	sync_worker;

static MemoryContext turn_context;
static WaitEventSet *wait_set;
static int	poll_fd = -1;
static int	polled[TRANSPORT_DESCRIPTORS + 2];
static int	npolled;
static uint32_t polled_generation;
static bool polled_stale = true;

static BeaconSocket *beacons;
static Bootstrap *bootstrap;
static Resolver *advertise_names;
static Resolver *bootstrap_names;
static bool advertise_known;	/* vecdb.advertise has been looked up */
static int	nadvertised;
static NetAddress advertised[NODE_RECORD_ADDRESSES];
static int64_t resolve_since_ms;

static Line lines[MAX_LINES];
static int	nlines;
static int	lines_lost;
static uint64_t new_seq;		/* to be saved; 0: none */

/* What the running node was started with. */
static struct
{
	char		listen[SYNC_ADDRESS];
	int			port;
	char	   *network;
	char	   *key_file;
	int			max_peers;
	bool		limit_private;
	bool		lan;
	char	   *advertise;
	char	   *bootstrap;
}			settings;

static SyncExtension extension = SYNC_EXTENSION_UNKNOWN;
static int64_t started_ms;
static int64_t database_ms;
static int64_t extension_ms;
static int64_t retry_ms;
static int64_t rebind_ms;
static int64_t save_ms;
static int64_t addresses_ms;
static int64_t figures_ms;
static int64_t notes_ms;
static char last_reason[SYNC_REASON];

static void publish(CoreClock clock);

/* ---------------------------------------------------------------------------
 * Time
 */

CoreClock
SyncClock(void)
{
	struct timespec tick;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &tick);
	clock_gettime(CLOCK_REALTIME, &now);
	/* 0 stands for "never" in places */
	return (CoreClock) {
		.tick_ms = (int64_t) tick.tv_sec * 1000 + tick.tv_nsec / 1000000 + 1,
		.unix_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000
	};
}

TimestampTz
SyncTickTime(int64_t tick_ms)
{
	return GetCurrentTimestamp() - (SyncClock().tick_ms - tick_ms) * 1000;
}

TimestampTz
SyncUnixTime(int64_t unix_ms)
{
	return unix_ms * 1000 - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

/* ---------------------------------------------------------------------------
 * The slot
 */

static void
set_state(int state, const char *reason)
{
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	sync_worker.slot->state = state;
	strlcpy(sync_worker.slot->reason, reason, SYNC_REASON);
	LWLockRelease(&sync_worker.shared->lock);
}

/* Something is missing: say so once in the log, and in the view all the time. */
static void
wait_for(const char *format,...) pg_attribute_printf(1, 2);

static void
wait_for(const char *format,...)
{
	char		reason[SYNC_REASON];
	va_list		args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	if (strcmp(reason, last_reason) != 0)
	{
		strlcpy(last_reason, reason, sizeof(last_reason));
		ereport(LOG, (errmsg("node of database \"%s\" waits: %s", sync_worker.slot->name, reason)));
	}
	set_state(SYNC_NODE_WAITING, reason);
}

static void
leave_slot(int code, Datum arg)
{
	SyncNode   *slot = sync_worker.slot;

	SyncLeavePlaces();
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	slot->state = SYNC_NODE_DOWN;
	slot->pid = 0;
	slot->latch = NULL;
	slot->started = GetCurrentTimestamp();
	slot->peers = slot->known = 0;
	if (sync_worker.shared->launcher_latch)
		SetLatch(sync_worker.shared->launcher_latch);
	LWLockRelease(&sync_worker.shared->lock);
}

/* ---------------------------------------------------------------------------
 * What the node calls back: notes only
 */

static void
on_log(void *context, NodeLevel level, const char *text)
{
	if (nlines == MAX_LINES)
	{
		lines_lost++;
		return;
	}
	lines[nlines].level = level;
	strlcpy(lines[nlines++].text, text, NODE_TEXT);
}

static void
on_keep(void *context, const uint8_t root[CORE_KEY_BYTES], const uint8_t *statement)
{
	SyncNoteStatement(root, statement);
}

static void
on_lookup_done(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
	SyncLookupDone(tag, lookup, took_ms);
}

static void
on_join_done(void *context, uint64_t tag, NodeStatus status, const char *text, const uint8_t root[CORE_KEY_BYTES],
			 const uint8_t *description, size_t len)
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
	new_seq = seq;
}

static void
write_log(void)
{
	int			n = nlines;

	nlines = 0;
	for (int i = 0; i < n; i++)
		ereport(lines[i].level == NODE_WARNING ? WARNING : LOG, (errmsg_internal("vecdb node: %s", lines[i].text)));
	if (lines_lost > 0)
		ereport(LOG, (errmsg("vecdb node: %d more lines were left out", lines_lost)));
	lines_lost = 0;
}

/* ---------------------------------------------------------------------------
 * Addresses
 */

/* What to advertise, where vecdb.advertise says nothing: what is listened on. */
static int
listened_addresses(NetAddress *out)
{
	NetAddress	listen;
	char		host[SYNC_ADDRESS];
	char	   *zone;

	strlcpy(host, settings.listen, sizeof(host));
	zone = strchr(host, '%');
	if (zone)
		*zone = '\0';
	if (!address_parse_ip(host, &listen))
		return 0;
	if (address_is_any(&listen))
		return address_local((uint16_t) settings.port, true, strchr(host, ':') != NULL, out, NODE_RECORD_ADDRESSES);
	listen.port = (uint16_t) settings.port;
	out[0] = listen;
	return 1;
}

static int
wanted_addresses(NetAddress *out)
{
	if (nadvertised > 0)
	{
		memcpy(out, advertised, sizeof(advertised));
		return nadvertised;
	}
	return listened_addresses(out);
}

static void
start_resolving(CoreClock clock)
{
	resolver_free(&advertise_names);
	resolver_free(&bootstrap_names);
	advertise_names = settings.advertise[0] ? resolver_start(settings.advertise, settings.port) : NULL;
	bootstrap_names = settings.bootstrap[0] ? resolver_start(settings.bootstrap, VecdbP2pPort) : NULL;
	advertise_known = advertise_names == NULL;
	if (advertise_known)
		nadvertised = 0;
	resolve_since_ms = clock.tick_ms;
	addresses_ms = clock.tick_ms + ADDRESSES_MS;
}

/* Names that have been looked up by now. */
static void
take_resolved(CoreClock clock)
{
	NetAddress	found[BOOTSTRAP_ADDRESSES];
	char		failed[ADDRESS_HOST];
	static char last_failed[2][ADDRESS_HOST];
	int			n;

	if (advertise_names && resolver_done(advertise_names, found, NODE_RECORD_ADDRESSES, &n, failed))
	{
		resolver_free(&advertise_names);
		advertise_known = true;
		if (failed[0] && strcmp(failed, last_failed[0]) != 0)
			ereport(LOG, (errmsg("vecdb.advertise: \"%s\" is no address that others could use", failed)));
		strlcpy(last_failed[0], failed, ADDRESS_HOST);
		/* a name server that is away does not change where we are */
		if (n > 0)
		{
			nadvertised = n;
			memcpy(advertised, found, (size_t) n * sizeof(*found));
		}
	}
	if (bootstrap && bootstrap_names && resolver_done(bootstrap_names, found, BOOTSTRAP_ADDRESSES, &n, failed))
	{
		resolver_free(&bootstrap_names);
		if (failed[0] && strcmp(failed, last_failed[1]) != 0)
			ereport(LOG, (errmsg("vecdb.bootstrap: \"%s\" could not be resolved", failed)));
		strlcpy(last_failed[1], failed, ADDRESS_HOST);
		if (n > 0)
			bootstrap_list(bootstrap, clock, found, n);
	}
	if (sync_worker.node && advertise_known)
	{
		NetAddress	wanted[NODE_RECORD_ADDRESSES];

		n = wanted_addresses(wanted);
		if (n > 0)
			node_advertise(sync_worker.node, clock, wanted, n);
	}
}

/* ---------------------------------------------------------------------------
 * Starting and stopping the node
 */

static char *
copy_setting(char *old, const char *value)
{
	char	   *copy = MemoryContextStrdup(TopMemoryContext, value);

	if (old)
		pfree(old);
	return copy;
}

static int
slot_port(void)
{
	int			port;

	LWLockAcquire(&sync_worker.shared->lock, LW_SHARED);
	port = sync_worker.slot->port;
	LWLockRelease(&sync_worker.shared->lock);
	return port;
}

/* Does the running node have to begin anew to follow the settings? */
static bool
settings_differ(void)
{
	return strcmp(settings.listen, VecdbListen) != 0 || settings.port != slot_port() ||
		strcmp(settings.network, VecdbNetworkId) != 0 || strcmp(settings.key_file, VecdbKeyFile) != 0 ||
		settings.max_peers != VecdbMaxPeers || settings.limit_private != VecdbLimitPrivateSubnets ||
		settings.lan != VecdbLanDiscovery;
}

static void
take_settings(void)
{
	strlcpy(settings.listen, VecdbListen, sizeof(settings.listen));
	settings.port = slot_port();
	settings.network = copy_setting(settings.network, VecdbNetworkId);
	settings.key_file = copy_setting(settings.key_file, VecdbKeyFile);
	settings.advertise = copy_setting(settings.advertise, VecdbAdvertise);
	settings.bootstrap = copy_setting(settings.bootstrap, VecdbBootstrap);
	settings.max_peers = VecdbMaxPeers;
	settings.limit_private = VecdbLimitPrivateSubnets;
	settings.lan = VecdbLanDiscovery;
}

/* vecdb.key_file, with the database's name for %d; or our own directory. */
static void
key_path(char *out, size_t room)
{
	StringInfoData path;

	if (settings.key_file[0] == '\0')
	{
		snprintf(out, room, "%s/node.key", sync_worker.dir);
		return;
	}
	initStringInfo(&path);
	for (const char *p = settings.key_file; *p; p++)
	{
		if (p[0] == '%' && p[1] == 'd')
		{
			appendStringInfoString(&path, sync_worker.slot->name);
			p++;
		}
		else
			appendStringInfoChar(&path, *p);
	}
	strlcpy(out, path.data, room);
	pfree(path.data);
}

static void
stop_node(bool save)
{
	resolver_free(&advertise_names);
	resolver_free(&bootstrap_names);
	if (sync_worker.node)
	{
		SyncFailAll();
		if (save)
			SyncSaveTable();
		bootstrap_free(&bootstrap);
		beacon_socket_free(&beacons);
		node_destroy(&sync_worker.node);
	}
	polled_stale = true;
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	sync_worker.slot->peers = sync_worker.slot->known = 0;
	LWLockRelease(&sync_worker.shared->lock);
}

/* Try to start; what is missing is told, and tried again in a while. */
static void
start_node(CoreClock clock)
{
	NodeConfig	config = {
		.callbacks = {NULL, on_log, on_keep, on_lookup_done, on_join_done, on_left, on_signed},
		.skew_ms = (int64_t) VecdbMaxClockSkew_s * 1000,
		.mesh_degree = VecdbMeshDegree
	};
	KeyFile		keys;
	char		path[MAXPGPATH];
	char		error[SYNC_REASON - 32];
	KadId		id;

	retry_ms = clock.tick_ms + RETRY_MS;
	if (!SyncMakeDirectory())
	{
		wait_for("directory \"%s\" cannot be made", sync_worker.dir);
		return;
	}
	if (settings.network == NULL || settings_differ() || !advertise_known)
	{
		if (settings.network == NULL || settings_differ() || (!advertise_names && !advertise_known))
		{
			take_settings();
			start_resolving(clock);
		}
		take_resolved(clock);
		if (!advertise_known && clock.tick_ms - resolve_since_ms < RESOLVE_LIMIT_MS)
		{
			retry_ms = clock.tick_ms + FALLBACK_MS;
			wait_for("the names of vecdb.advertise are being looked up");
			return;
		}
		advertise_known = true;
	}
	config.listen = settings.listen;
	config.port = (uint16_t) settings.port;
	config.network = settings.network;
	config.max_links = settings.max_peers;
	config.exempt_private = !settings.limit_private;
	config.n_addresses = wanted_addresses(config.addresses);
	if (config.n_addresses == 0)
	{
		wait_for("vecdb.listen is \"%s\": it has to be an address in numbers", settings.listen);
		return;
	}
	config.seq = SyncReadSeq();
	key_path(path, sizeof(path));
	if (!key_file_open(path, &keys, error, sizeof(error)))
	{
		wait_for("key file \"%s\": %s", path, error);
		return;
	}
	memcpy(config.secret, keys.secret, sizeof(config.secret));
	memcpy(config.curve_public, keys.curve_public, sizeof(config.curve_public));
	memcpy(config.curve_secret, keys.curve_secret, sizeof(config.curve_secret));
	sodium_memzero(&keys, sizeof(keys));
	sync_worker.node = node_new(&config, clock, error, sizeof(error));
	sodium_memzero(config.secret, sizeof(config.secret));
	sodium_memzero(config.curve_secret, sizeof(config.curve_secret));
	if (!sync_worker.node)
	{
		wait_for("%s", error);
		return;
	}
	beacons = beacon_socket_new(settings.listen, (uint16_t) settings.port, settings.lan, error, sizeof(error));
	if (beacons)
		bootstrap = bootstrap_new(sync_worker.node, beacons, settings.lan, clock);
	else
		ereport(LOG, (errmsg("node of database \"%s\" has no UDP port: %s", sync_worker.slot->name, error),
					  errdetail("It can neither ask vecdb.bootstrap nor be asked.")));
	if (!SyncLoad())
	{
		stop_node(false);
		wait_for("the tables of the extension cannot be read; see the log");
		return;
	}
	SyncReadTable();
	if (!bootstrap_names && settings.bootstrap[0])
		bootstrap_names = resolver_start(settings.bootstrap, VecdbP2pPort);
	polled_stale = true;
	rebind_ms = clock.tick_ms + REBIND_MS;
	save_ms = clock.tick_ms + SAVE_MS / 6;
	id = node_record(sync_worker.node)->id;
	last_reason[0] = '\0';
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	sync_worker.slot->has_id = true;
	memcpy(sync_worker.slot->id, id.b, KAD_ID_BYTES);
	sync_worker.slot->failures = 0;
	sync_worker.slot->clone[0] = '\0';
	LWLockRelease(&sync_worker.shared->lock);
	set_state(SYNC_NODE_RUNNING, "");
	{
		char		text[2 * KAD_ID_BYTES + 1];

		kad_id_text(&id, text);
		ereport(LOG, (errmsg("node %s of database \"%s\" listens on %s port %d", text, sync_worker.slot->name,
							 settings.listen, settings.port)));
	}
	publish(clock);
}

/* Follow a reload: what can change in a running node changes, else it begins anew. */
static void
reload(CoreClock clock)
{
	if (!sync_worker.node)
	{
		retry_ms = 0;
		return;
	}
	if (settings_differ())
	{
		ereport(LOG, (errmsg("node of database \"%s\" begins anew with other settings", sync_worker.slot->name)));
		stop_node(true);
		retry_ms = 0;
		return;
	}
	node_adjust(sync_worker.node, (int64_t) VecdbMaxClockSkew_s * 1000, VecdbMeshDegree);
	if (strcmp(settings.advertise, VecdbAdvertise) != 0 || strcmp(settings.bootstrap, VecdbBootstrap) != 0)
	{
		take_settings();
		if (settings.bootstrap[0] == '\0' && bootstrap)
			bootstrap_list(bootstrap, clock, NULL, 0);
		start_resolving(clock);
	}
}

/* ---------------------------------------------------------------------------
 * The loop
 */

/* The descriptors to wait for, in one of epoll, which stays in the set. */
static void
poll_descriptors(void)
{
	int			fds[TRANSPORT_DESCRIPTORS + 2];
	int			n = 0;

	if (!polled_stale && (!sync_worker.node || node_generation(sync_worker.node) == polled_generation))
		return;
	/* those that were closed have left by themselves, or their numbers are others' now */
	for (int i = 0; i < npolled; i++)
		(void) epoll_ctl(poll_fd, EPOLL_CTL_DEL, polled[i], NULL);
	npolled = 0;
	if (sync_worker.node)
	{
		n = node_descriptors(sync_worker.node, fds, TRANSPORT_DESCRIPTORS);
		polled_generation = node_generation(sync_worker.node);
		if (beacons)
			fds[n++] = beacon_socket_descriptor(beacons);
	}
	for (int i = 0; i < n; i++)
	{
		struct epoll_event event = {.events = EPOLLIN,.data.fd = fds[i]};

		if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fds[i], &event) == 0)
			polled[npolled++] = fds[i];
		else
			ereport(LOG, (errmsg("could not wait for a descriptor of the node: %m")));
	}
	polled_stale = false;
}

static void
publish(CoreClock clock)
{
	SyncNode   *slot = sync_worker.slot;
	NodeFigures figures = node_figures(sync_worker.node);
	TransportStats links = transport_stats(node_transport(sync_worker.node));
	const NodeRecord *own = node_record(sync_worker.node);
	char		text[4 * SYNC_ADDRESS] = "";
	char		one[ADDRESS_TEXT];
	NetAddress	where;

	for (int i = 0; i < own->n_addresses; i++)
	{
		if (i > 0)
			strlcat(text, ", ", sizeof(text));
		strlcat(text, address_text(&own->addresses[i], one), sizeof(text));
	}
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	snprintf(slot->listen, SYNC_ADDRESS, strchr(settings.listen, ':') ? "[%.40s]:%d" : "%.40s:%d", settings.listen, settings.port);
	strlcpy(slot->advertised, text, sizeof(slot->advertised));
	if (node_cloned(sync_worker.node, &where))
		strlcpy(slot->clone, address_text(&where, one), SYNC_ADDRESS);
	slot->peers = figures.greeted;
	slot->known = node_table(sync_worker.node)->n;
	slot->sent = (int64) links.frames_out;
	slot->received = (int64) links.frames_in;
	slot->refused = (int64) (figures.refused + links.refused_mechanism + links.refused_crypto + links.refused_banned +
							 links.refused_protocol + links.refused_room);
	slot->lookups = (int64) figures.kad.lookups;
	slot->memory_bytes = (int64) figures.memory;
	LWLockRelease(&sync_worker.shared->lock);
	figures_ms = clock.tick_ms + FIGURES_MS;
}

/* Is the extension there, and what becomes of the node if not? */
static void
look_for_extension(CoreClock clock)
{
	SyncExtension now = SyncFindExtension();

	extension_ms = clock.tick_ms + EXTENSION_MS;
	if (now == SYNC_EXTENSION_UNKNOWN)
		return;
	if (now != SYNC_EXTENSION_THERE && sync_worker.node)
	{
		ereport(LOG, (errmsg("node of database \"%s\" stops: the extension is gone", sync_worker.slot->name)));
		stop_node(true);
	}
	if (now == SYNC_EXTENSION_ABSENT)
		wait_for("the extension vecdb is not in the database");
	else if (now == SYNC_EXTENSION_OLD)
		wait_for("the extension vecdb is older than its library: ALTER EXTENSION vecdb UPDATE");
	if (now == SYNC_EXTENSION_THERE && extension != now)
		retry_ms = 0;
	extension = now;
}

/* One turn.  True when there is more to do at once. */
static bool
turn(CoreClock clock)
{
	bool		more = false;

	if (clock.tick_ms >= extension_ms)
		look_for_extension(clock);
	if (!sync_worker.node && extension == SYNC_EXTENSION_THERE && clock.tick_ms >= retry_ms)
		start_node(clock);
	if (sync_worker.node)
	{
		bool		reread;

		more = node_run(sync_worker.node, clock);
		if (bootstrap)
			bootstrap_run(bootstrap, clock);
		take_resolved(clock);
		LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
		reread = sync_worker.slot->reload;
		sync_worker.slot->reload = false;
		LWLockRelease(&sync_worker.shared->lock);
		if (reread || clock.tick_ms >= rebind_ms)
		{
			rebind_ms = clock.tick_ms + REBIND_MS;
			(void) SyncRebind();
		}
		if (clock.tick_ms >= save_ms)
		{
			save_ms = clock.tick_ms + SAVE_MS;
			SyncSaveTable();
		}
		if (clock.tick_ms >= addresses_ms && !advertise_names)
			start_resolving(clock);
		if (clock.tick_ms >= figures_ms)
		{
			publish(clock);
			if (settings.port != slot_port())
				reload(clock);
		}
	}
	if (new_seq != 0)
	{
		SyncSaveSeq(new_seq);
		new_seq = 0;
	}
	SyncServe();
	if (clock.tick_ms >= notes_ms && !SyncFlushNotes())
		notes_ms = clock.tick_ms + NOTES_MS;
	write_log();
	return more;
}

static void
on_sigterm(SIGNAL_ARGS)
{
	int			save_errno = errno;

	ShutdownRequestPending = true;
	if (sync_worker.in_sql)
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
	SetLatch(MyLatch);
	errno = save_errno;
}

static void
init(Datum arg)
{
	SyncNode   *slot;

	sync_worker.shared = SyncAttach();
	sync_worker.slot = slot = &sync_worker.shared->node[DatumGetInt32(arg)];
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	pqsignal(SIGPIPE, SIG_IGN);
	LWLockAcquire(&sync_worker.shared->lock, LW_EXCLUSIVE);
	slot->pid = MyProcPid;
	slot->latch = MyLatch;
	slot->started = GetCurrentTimestamp();
	slot->has_id = false;
	slot->listen[0] = slot->advertised[0] = slot->clone[0] = '\0';
	LWLockRelease(&sync_worker.shared->lock);
	before_shmem_exit(leave_slot, (Datum) 0);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(slot->database, InvalidOid, 0);

	/* The loop must wait for nobody, whatever the server's defaults are. */
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("row_security", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("max_parallel_workers_per_gather", "0", PGC_USERSET, PGC_S_OVERRIDE);

	snprintf(sync_worker.dir, MAXPGPATH, "vecdb/%u", slot->database);
	turn_context = AllocSetContextCreate(TopMemoryContext, "vecdb node turn", ALLOCSET_DEFAULT_SIZES);
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (poll_fd < 0)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("could not create an epoll descriptor: %m")));
	wait_set = CreateSessionWaitEventSet(3);
	AddWaitEventToSet(wait_set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(wait_set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(wait_set, WL_SOCKET_READABLE, poll_fd, NULL, NULL);
	if (sodium_init() < 0)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR), errmsg("libsodium cannot be initialised")));
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* How long there is nothing to do. */
static long
time_to_wait(void)
{
	CoreClock	clock = SyncClock();
	int64_t		next = clock.tick_ms + FALLBACK_MS;

	if (sync_worker.node)
		next = Min(next, node_next_tick(sync_worker.node));
	return (long) Max(next - clock.tick_ms, 0);
}

void
VecdbSyncNodeMain(Datum arg)
{
	bool		more = false;
	int64_t		pause_ms = 0;	/* after an error, until this tick */

	init(arg);
	while (!ShutdownRequestPending)
	{
		WaitEvent	event[3];
		CoreClock	clock;

		poll_descriptors();
		(void) WaitEventSetWait(wait_set, more ? 0 : pause_ms != 0 ? FALLBACK_MS : time_to_wait(), event, lengthof(event), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		if (ShutdownRequestPending)
			break;
		MemoryContextReset(turn_context);
		MemoryContextSwitchTo(turn_context);
		more = false;
		clock = SyncClock();
		if (clock.tick_ms < pause_ms)
			continue;
		pause_ms = 0;
		PG_TRY();
		{
			/* a statement's timeout that came late, or pg_cancel_backend(): nothing runs */
			QueryCancelPending = false;
			CHECK_FOR_INTERRUPTS();
			if (catchupInterruptPending)
				ProcessCatchupInterrupt();
			if (ConfigReloadPending)
			{
				ConfigReloadPending = false;
				ProcessConfigFile(PGC_SIGHUP);
				reload(clock);
			}
			if (clock.tick_ms >= database_ms)
			{
				database_ms = clock.tick_ms + DATABASE_MS;
				if (!SyncDatabaseIsFree(MyDatabaseId))
				{
					ereport(LOG, (errmsg("node of database \"%s\" steps aside for somebody who needs the database alone",
										 sync_worker.slot->name)));
					ShutdownRequestPending = true;
				}
			}
			if (!ShutdownRequestPending)
				more = turn(clock);
		}
		PG_CATCH();
		{
			HOLD_INTERRUPTS();
			MemoryContextSwitchTo(turn_context);
			EmitErrorReport();
			FlushErrorState();
			AbortOutOfAnyTransaction();
			LWLockReleaseAll();
			sync_worker.in_sql = false;
			pause_ms = SyncClock().tick_ms + ERROR_PAUSE_MS;
			RESUME_INTERRUPTS();
		}
		PG_END_TRY();
	}
	set_state(SYNC_NODE_STOPPING, "");
	MemoryContextSwitchTo(turn_context);
	stop_node(true);
	write_log();
	proc_exit(1);
}
