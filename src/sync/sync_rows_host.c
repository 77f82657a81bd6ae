/*
 * sync_rows_host.c
 *	  What a collection's replica reads and sends: the core's RowHost.
 *
 * The replica calls from within the node's own work, so nothing here leaves by a jump: an
 * error in reading ends that scan, and costs nothing else.  Reading is done in a
 * transaction that begins with the first call for a scan, in the scan's snapshot, and
 * ends when another scan is read, or with the turn.
 */
#include "sync/sync_rows.h"

#include "access/xact.h"
#include "fault_point.h"
#include "guc.h"
#include "miscadmin.h"
#include "net/pack.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "worker/worker.h"

struct RowScan
{
	SyncCollection *of;
	int			snapshot;		/* number of the keeper's */
	RowFeed    *feed;
	bool		lost;
};

/* ---------------------------------------------------------------------------
 * The transaction in which a scan is read
 */

static void
end_reading(void *arg)
{
	RowScan    *scan = arg;

	RowFeedEnd(scan->feed);
	PopActiveSnapshot();
	CommitTransactionCommand();
	/* what came too late for this one is for nobody */
	QueryCancelPending = false;
}

void
SyncRowsLeave(SyncRows *self)
{
	RowScan    *scan = self->reading;

	self->reading = NULL;
	if (scan && !WorkerTry(end_reading, NULL, scan))
		scan->lost = true;
}

typedef enum CallKind
{
	CALL_NEXT,
	CALL_FIND,
	CALL_CONTENT,
	CALL_TOTAL
} CallKind;

typedef struct Call
{
	CallKind	kind;
	RowScan    *scan;
	RowBytes	key;
	Row		   *row;
	bool		thin;
	uint64_t   *total;
	RowRead		result;
} Call;

static void
read_some(void *arg)
{
	Call	   *call = arg;
	RowScan    *scan = call->scan;
	SyncRows   *rows = scan->of->rows;

	if (rows->reading != scan)
	{
		StartTransactionCommand();
		SnapshotImport(rows->snapshots, scan->snapshot);
		if (!RowFeedBegin(scan->feed))
		{
			PopActiveSnapshot();
			CommitTransactionCommand();
			return;
		}
		rows->reading = scan;
	}
	switch (call->kind)
	{
		case CALL_NEXT:
			call->result = RowFeedNext(scan->feed, call->row);
			break;
		case CALL_FIND:
			call->result = RowFeedFind(scan->feed, call->key, call->row);
			break;
		case CALL_CONTENT:
			call->result = RowFeedContent(scan->feed, call->row, call->thin);
			break;
		case CALL_TOTAL:
			*call->total = RowFeedTotal(scan->feed);
			break;
	}
}

static RowRead
read_scan(Call call)
{
	RowScan    *scan = call.scan;
	SyncRows   *rows = scan->of->rows;

	if (rows->reading && rows->reading != scan)
		SyncRowsLeave(rows);
	call.result = ROW_READ_LOST;
	if (!scan->lost && !WorkerTry(read_some, NULL, &call))
	{
		rows->reading = NULL;
		scan->lost = true;
		call.result = ROW_READ_LOST;
	}
	return call.result;
}

/* ---------------------------------------------------------------------------
 * Scans
 */

typedef struct Keep
{
	const uint8_t *root;
	const RowFrontier *frontier;
	bool		kept;
} Keep;

static void
keep_frontier(void *arg)
{
	Keep	   *keep = arg;

	keep->kept = RowStateKeep(keep->root, keep->frontier, NULL);
}

/* May the collections of its owner have another snapshot?  No more than they leave to others. */
static bool
has_share(const SyncCollection *self)
{
	const SyncRows *rows = self->rows;
	int			all = 0;
	int			mine = 0;

	for (int i = 0; i < rows->n; i++)
	{
		all += rows->collection[i]->snapshots;
		if (rows->collection[i]->owner == self->owner)
			mine += rows->collection[i]->snapshots;
	}
	return self->owner == NODE_NO_SHARE || SyncShareAllows(mine, SNAPSHOTS - all, SNAPSHOTS_RESERVED);
}

static RowScan *
host_open(void *context, const RowFrontier *covered)
{
	SyncCollection *self = context;
	Keep		keep = {self->root, covered};
	int			snapshot;
	MemoryContext old;
	RowScan    *scan;

	SyncRowsLeave(self->rows);
	if (covered && !(WorkerTransaction(SYNC_STATEMENT_MS, keep_frontier, &keep) && keep.kept))
		return NULL;
	FAULT_POINT("feed-frontier-kept");
	snapshot = has_share(self) ? SnapshotTake(self->rows->snapshots) : -1;
	if (snapshot < 0)
		return NULL;
	self->snapshots++;
	old = MemoryContextSwitchTo(self->context);
	scan = palloc0(sizeof(*scan));
	scan->of = self;
	scan->snapshot = snapshot;
	scan->feed = RowFeedNew(self->table, self->schema);
	MemoryContextSwitchTo(old);
	return scan;
}

static void
host_close(void *context, RowScan *scan)
{
	SyncRows   *rows = scan->of->rows;

	if (rows->reading == scan)
		SyncRowsLeave(rows);
	SnapshotRelease(rows->snapshots, scan->snapshot);
	scan->of->snapshots--;
	RowFeedFree(scan->feed);
	pfree(scan);
}

static void
host_seek_changes(void *context, RowScan *scan, const RowFrontier *above)
{
	SyncCollection *self = context;

	RowFeedSeekChanges(scan->feed, above, replica_dictionary(self->replica)->n);
}

static void
host_seek_keys(void *context, RowScan *scan, const RowRange *range)
{
	RowFeedSeekKeys(scan->feed, range);
}

static RowRead
host_next(void *context, RowScan *scan, Row *out)
{
	return read_scan((Call) {CALL_NEXT, scan, .row = out});
}

static RowRead
host_find(void *context, RowScan *scan, RowBytes key, Row *out)
{
	return read_scan((Call) {CALL_FIND, scan, .key = key, .row = out});
}

static RowRead
host_content(void *context, RowScan *scan, Row *row, bool thin)
{
	return read_scan((Call) {CALL_CONTENT, scan, .row = row, .thin = thin});
}

static uint64_t
host_total(void *context, RowScan *scan)
{
	uint64_t	total = 0;

	(void) read_scan((Call) {CALL_TOTAL, scan, .total = &total});
	return total;
}

typedef struct Tombstones
{
	Oid			table;
	const RowFrontier *below;
	bool		any;
} Tombstones;

static void
look_for_tombstones(void *arg)
{
	Tombstones *look = arg;

	look->any = RowFeedHasTombstones(look->table, look->below);
}

static bool
host_has_tombstones(void *context, const RowFrontier *below)
{
	SyncCollection *self = context;
	Tombstones	look = {self->table, below};

	SyncRowsLeave(self->rows);
	return WorkerTransaction(SYNC_STATEMENT_MS, look_for_tombstones, &look) && look.any;
}

/* ---------------------------------------------------------------------------
 * Tickets, the clock, incarnations
 */

static void
host_settled(void *context, RowSettled *out)
{
	SyncCollection *self = context;

	RowsSettled(self->table, out);
}

static uint64_t
host_clock(void *context)
{
	return RowsClockLast();
}

static void
host_clock_heard(void *context, uint64_t value)
{
	(void) RowsClockHeard(value, VecdbMaxClockSkew_s * INT64CONST(1000000));
}

typedef struct Incarnation
{
	const uint8_t *root;
	uint32_t	number;
	uint8_t		bytes[ROW_INCARNATION_BYTES];
} Incarnation;

static void
add_incarnation(void *arg)
{
	Incarnation *add = arg;

	RowStateAddIncarnation(add->root, add->number, add->bytes);
}

static bool
host_keep_incarnation(void *context, uint32_t number, const RowIncarnation *incarnation)
{
	SyncCollection *self = context;
	Incarnation add = {self->root, number};

	SyncRowsLeave(self->rows);
	row_incarnation_encode(incarnation, add.bytes);
	FAULT_POINT("incarnation-heard");
	return WorkerTransaction(SYNC_STATEMENT_MS, add_incarnation, &add);
}

static RowOwner
host_owner(void *context, const uint8_t owner[CORE_KEY_BYTES])
{
	SyncCollection *self = context;
	Node	   *node = self->rows->worker->node;

	if (!node || !node_rows_was_writer(node, self->table, owner))
		return ROW_OWNER_STRANGER;
	return node_rows_is_writer(node, self->table, owner) ? ROW_OWNER_WRITER : ROW_OWNER_FORMER;
}

/* ---------------------------------------------------------------------------
 * Links
 */

static LinkSent
host_send(void *context, const KadId *to, const uint8_t *frame, size_t len)
{
	SyncCollection *self = context;
	Node	   *node = self->rows->worker->node;
	LinkSent	sent = node ? node_rows_send(node, to, frame, len) : LINK_ERROR;

	self->rows->sendable -= (int64_t) len;
	if (frame[6] == ROW_WIRE_DATA)
		FAULT_POINT("feed-data-sent");
	else
		FAULT_POINT("feed-asked");
	return sent;
}

static bool
host_may_send(void *context)
{
	SyncCollection *self = context;

	return VecdbMaxSendRate_kB == 0 || self->rows->sendable > 0;
}

static void
host_found(void *context, const KadId *id, RowBytes key, bool lacks_here)
{
	SyncVerifyFound(context, id, key, lacks_here);
}

static int
host_mesh(void *context, KadId *out, int room)
{
	SyncCollection *self = context;
	Node	   *node = self->rows->worker->node;

	return node ? node_rows_mesh(node, self->table, out, room) : 0;
}

static bool
host_submit(void *context, const RowJob *job)
{
	return SyncRowsSubmit(context, job);
}

static void
host_log(void *context, const char *text)
{
	SyncCollection *self = context;
	char		line[NODE_TEXT];

	snprintf(line, sizeof(line), "collection of table %u: %s", self->table, text);
	SyncNote(self->rows->worker, NODE_LOG, line);
}

static int
host_columns(void *context, const RowColumn **out)
{
	SyncCollection *self = context;

	*out = self->column;
	return self->columns_due ? 0 : self->n_columns;
}

static void
host_differs(void *context, const KadId *id, const uint8_t schema[CORE_HASH_BYTES], RowBytes columns)
{
	SyncColumnsDiffer(context, id, schema, columns);
}

RowHost
SyncRowsHost(SyncCollection *self)
{
	return (RowHost) {
		.context = self,
		.open = host_open,
		.close = host_close,
		.seek_changes = host_seek_changes,
		.seek_keys = host_seek_keys,
		.next = host_next,
		.find = host_find,
		.content = host_content,
		.has_tombstones = host_has_tombstones,
		.total = host_total,
		.settled = host_settled,
		.clock = host_clock,
		.clock_heard = host_clock_heard,
		.submit = host_submit,
		.keep_incarnation = host_keep_incarnation,
		.owner = host_owner,
		.send = host_send,
		.columns = host_columns,
		.differs = host_differs,
		.mesh = host_mesh,
		.log = host_log,
		.may_send = host_may_send,
		.found = host_found,
		.pack = net_pack,
		.unpack = net_unpack
	};
}
