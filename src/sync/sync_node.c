/*
 * sync_node.c
 *	  The node of this worker: starting it from the settings, stopping it, and the
 *	  notes that its callbacks take.
 *
 * A start goes through what is needed in order (addresses, directory, key, node,
 * tables); the first that is missing is told, and the next start looks again.
 */
#include "sync/sync_worker.h"

#include <sodium.h>

#include "guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "net/key_file.h"

#define SAVE_FIRST_MS 5000		/* of the routing table */
#define ASK_DELAY_MS 500		/* those of the saved table have a moment to answer */

/* ---------------------------------------------------------------------------
 * Callbacks of the node: notes, nothing else
 */

void
SyncNote(void *context, NodeLevel level, const char *text)
{
	SyncWorker *self = context;

	if (self->notes.n == SYNC_LINES)
	{
		self->notes.lost++;
		return;
	}
	self->notes.line[self->notes.n].level = level;
	strlcpy(self->notes.line[self->notes.n++].text, text, NODE_TEXT);
}

const char *
SyncText(const char *utf8, size_t len, char *out, size_t room)
{
	size_t		n = (size_t) pg_encoding_mbcliplen(PG_UTF8, utf8, (int) len, (int) room - 1);

	for (size_t i = 0; i < n; i++)
		out[i] = GetDatabaseEncoding() != PG_UTF8 && IS_HIGHBIT_SET(utf8[i]) ? '?' : utf8[i];
	out[n] = '\0';
	return out;
}

static void
on_lookup_done(void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms)
{
	SyncWorker *self = context;

	SyncLookupDone(self, tag, lookup, took_ms);
}

static void
on_join_done(void *context, uint64_t tag, NodeStatus status, const char *text,
			 const uint8_t root[CORE_KEY_BYTES], const uint8_t *description, size_t len)
{
	SyncWorker *self = context;

	SyncJoinDone(self, tag, status, text, root, description, len);
}

static void
on_left(void *context, const uint8_t root[CORE_KEY_BYTES])
{
	SyncWorker *self = context;

	SyncNoteLeft(self, root);
}

static void
on_signed(void *context, uint64_t seq)
{
	SyncWorker *self = context;

	self->notes.signed_seq = seq;
}

void
SyncWriteLines(SyncWorker *self)
{
	int			n = self->notes.n;
	int			lost = self->notes.lost;

	/* an error in the middle must not write them twice */
	self->notes.n = self->notes.lost = 0;
	for (int i = 0; i < n; i++)
		ereport(self->notes.line[i].level == NODE_WARNING ? WARNING : LOG, (errmsg_internal("vecdb: %s", self->notes.line[i].text)));
	if (lost > 0)
		ereport(LOG, (errmsg("vecdb: %d lines more were lost", lost)));
}

void
SyncSaveSigned(SyncWorker *self)
{
	if (self->notes.signed_seq == self->notes.saved_seq)
		return;
	self->notes.saved_seq = self->notes.signed_seq;
	SyncSaveSeq(self, self->notes.saved_seq);
}

/* ---------------------------------------------------------------------------
 * Settings
 */

/* The path of the key file; "%d" in the setting is the name of the database.  False: it is too long. */
static bool
key_path(SyncWorker *self, char out[MAXPGPATH])
{
	const char *at = VecdbKeyFile;
	size_t		len = 0;

	if (at[0] == '\0')
	{
		snprintf(out, MAXPGPATH, "%s/node.key", self->dir);
		return true;
	}
	for (; *at && len + NAMEDATALEN < MAXPGPATH; at++)
	{
		if (at[0] == '%' && at[1] == 'd')
		{
			len += strlcpy(out + len, self->slot->name, MAXPGPATH - len);
			at++;
		}
		else
			out[len++] = *at;
	}
	out[len] = '\0';
	return *at == '\0';
}

static void
remember_settings(SyncWorker *self)
{
	strlcpy(self->running.listen, VecdbListen, sizeof(self->running.listen));
	self->running.port = SyncPort(self);
	strlcpy(self->running.network, VecdbNetworkId, sizeof(self->running.network));
	strlcpy(self->running.key_file, VecdbKeyFile, sizeof(self->running.key_file));
	self->running.max_peers = VecdbMaxPeers;
	self->running.limit_private = VecdbLimitPrivateSubnets;
}

bool
SyncSettingsAreTheSame(SyncWorker *self)
{
	return strcmp(self->running.listen, VecdbListen) == 0 && self->running.port == SyncPort(self) &&
		strcmp(self->running.network, VecdbNetworkId) == 0 && strcmp(self->running.key_file, VecdbKeyFile) == 0 &&
		self->running.max_peers == VecdbMaxPeers && self->running.limit_private == VecdbLimitPrivateSubnets;
}

/* ---------------------------------------------------------------------------
 * Starting and stopping
 */

void
SyncStopNode(SyncWorker *self)
{
	if (!self->node)
		return;
	SyncRowsStop(self);
	SyncForgetWaitSet(self);
	beacon_socket_free(&self->beacons.socket);
	self->node = NULL;
	net_node_destroy(&self->net);
	SyncFailAll(self);
}

/* Where it listens, and what it tells others of that.  False when it cannot be told yet. */
static bool
find_addresses(SyncWorker *self, CoreClock clock, NetAddress *listen, NodeConfig *node)
{
	char		reason[SYNC_REASON];

	if (!SyncListenAddress(listen))
	{
		snprintf(reason, sizeof(reason), "vecdb.listen is no address: \"%s\"", VecdbListen);
		SyncWaitFor(self, reason, "Give an IPv4 or IPv6 address, no name.");
		return false;
	}
	if (VecdbAdvertise[0] && !self->names.advertise_known)
	{
		self->due.start = clock.tick_ms + SYNC_TICK_MS;
		if (!self->names.advertise)
			SyncResolveNames(self);
		SyncTakeNames(self);
		if (!self->names.advertise_known)
		{
			SyncWaitFor(self, "the names in vecdb.advertise are being looked up", NULL);
			return false;
		}
	}
	node->n_addresses = SyncWantedAddresses(self, node->addresses);
	if (node->n_addresses == 0)
	{
		SyncWaitFor(self, VecdbAdvertise[0] ? "vecdb.advertise holds no usable address" : "this machine has no address that another could use",
					"Set vecdb.advertise to host:port.");
		return false;
	}
	return true;
}

/* The directory of files and the key in it, made if it is not there. */
static bool
load_keys(SyncWorker *self, NodeKeys *keys)
{
	char		path[MAXPGPATH];
	char		error[256];
	char		reason[SYNC_REASON];
	bool		created;

	if (!SyncMakeDirectory(self))
	{
		SyncWaitFor(self, "the directory for its files could not be made", "See the line before this one.");
		return false;
	}
	if (!key_path(self, path))
	{
		SyncWaitFor(self, "the key file cannot be used: the path in vecdb.key_file is too long", NULL);
		return false;
	}
	if (!key_file_load(path, keys, &created, error, sizeof(error)))
	{
		snprintf(reason, sizeof(reason), "the key file cannot be used: %s", error);
		SyncWaitFor(self, reason, NULL);
		return false;
	}
	if (created)
		ereport(LOG, (errmsg("made the key of a new node in \"%s\"", path)));
	return true;
}

/* From now on the loop looks after it. */
static void
begin_running(SyncWorker *self, CoreClock clock, NetAddress *listen)
{
	SyncDue    *due = &self->due;
	char		id[2 * KAD_ID_BYTES + 1];

	SyncReadTable(self);
	SyncOpenBeacons(self);
	SyncResolveNames(self);
	due->rebind = clock.tick_ms + (SyncRebind(self) ? SYNC_REBIND_MS : SYNC_HOUSE_MS);
	due->address = clock.tick_ms + SYNC_ADDRESS_MS;
	due->save = clock.tick_ms + SAVE_FIRST_MS;
	due->sweep = 0;
	due->rows = due->rows_tick = 0;
	SyncAskSoon(self, clock.tick_ms + ASK_DELAY_MS);
	LWLockAcquire(&self->shared->lock, LW_EXCLUSIVE);
	listen->port = (uint16_t) self->running.port;
	address_text(listen, self->slot->listen);
	LWLockRelease(&self->shared->lock);
	SyncPublish(self);
	SyncSetState(self, SYNC_NODE_RUNNING, "");
	kad_id_text(&node_record(self->node)->id, id);
	ereport(LOG, (errmsg("node of database \"%s\" listens on %s, network \"%s\", id %s", self->slot->name,
						 self->slot->listen, VecdbNetworkId, id)));
}

void
SyncStartNode(SyncWorker *self)
{
	CoreClock	clock = node_clock();
	NetNodeConfig config = {
		.node = {
			.callbacks = {self, SyncNote, on_lookup_done, on_join_done, on_left, on_signed},
			.rows = SyncRowsCallbacks(self),
			.network = VecdbNetworkId,
			.skew_ms = VecdbMaxClockSkew_s * INT64CONST(1000),
			.mesh_degree = VecdbMeshDegree,
			.exempt_private = !VecdbLimitPrivateSubnets
		},
		.listen = VecdbListen,
		.max_links = VecdbMaxPeers
	};
	char		error[256];
	NodeKeys	keys;
	NetAddress	listen;

	self->due.start = clock.tick_ms + SYNC_RETRY_MS;
	if (!find_addresses(self, clock, &listen, &config.node) || !load_keys(self, &keys))
		return;
	config.port = (uint16_t) SyncPort(self);
	memcpy(config.node.secret, keys.secret, sizeof(config.node.secret));
	memcpy(config.node.curve_public, keys.curve_public, sizeof(config.node.curve_public));
	memcpy(config.curve_secret, keys.curve_secret, sizeof(config.curve_secret));
	sodium_memzero(&keys, sizeof(keys));
	config.node.seq = SyncReadSeq(self);
	self->net = net_node_new(&config, clock, error, sizeof(error));
	sodium_memzero(&config, sizeof(config));
	if (!self->net)
	{
		SyncWaitFor(self, error, NULL);
		return;
	}
	self->node = self->net->node;
	remember_settings(self);
	SyncSaveSigned(self);
	if (!SyncLoad(self))
	{
		SyncStopNode(self);
		SyncWaitFor(self, "its collections could not be read", "See the lines before this one.");
		return;
	}
	begin_running(self, clock, &listen);
}
