/*
 * node_metrics.c
 *	  The part of /metrics about the node of this database and its shared collections.
 *
 * Of members there are sums and the greatest, not a line for each: there may be a
 * thousand of a thousand collections.  Who needs more has vecdb.stat_replication.
 */
#include "node/node_metrics.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "collection/collection.h"
#include "miscadmin.h"
#include "node/node_ask.h"
#include "rows/row_state.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define COLLECTION_COLUMNS 20	/* of an answer to SYNC_COLLECTIONS, ... */
#define WAITS_FOR 16			/* of which this one tells what keeps a change of columns, or rows, waiting ... */
#define MEMBER_COLUMNS 16		/* ... and to SYNC_REPLICATION */
#define COUNT_MOST 10000
#define ANSWER_MS 1000			/* a scrape has no more time, and holds an executor */

static const char *const member_states[] = {
	"away", "silent", "other columns", "taking", "comparing", "copying", "sending", "busy", "paused", "behind", "level"
};

typedef struct CollectionMetrics
{
	Oid			table;
	char	   *name;
	bool		copying;
	bool		paused;
	bool		waits;
	int64		figure[10];		/* as figures[] names them */
	int64		quarantined;
	int64		parked;
	int64		conflicts;
	int64		members[lengthof(member_states)];
	int64		lag_ms[2];		/* the greatest: there, here */
	int64		lacks[2];
} CollectionMetrics;

/* Columns 2 to 11 of an answer to SYNC_COLLECTIONS. */
static const struct
{
	const char *name;
	const char *type;
	const char *help;
}			figures[] = {
	{"rows_taken_total", "counter", "Rows taken from other nodes."},
	{"rows_sent_total", "counter", "Rows sent to other nodes."},
	{"bytes_sent_total", "counter", "Bytes of rows sent to other nodes."},
	{"batches_total", "counter", "Batches of rows taken whole."},
	{"interrupted_total", "counter", "Batches that ended before they were whole."},
	{"comparisons_total", "counter", "Comparisons of all rows with another node."},
	{"tombstones_forgotten_total", "counter", "Deleted rows of which it is forgotten that they were there."},
	{"adopted_total", "counter", "Rows that nobody claimed any more, claimed by this node."},
	{"refused_total", "counter", "Messages of members that could not be used."},
	{"buffered_bytes", "gauge", "Bytes of other nodes' rows in memory."},
};

void
MetricsAppendLabel(StringInfo out, const char *value)
{
	for (const char *p = value; *p; p++)
	{
		if (*p == '\\' || *p == '"')
			appendStringInfoChar(out, '\\');
		if (*p == '\n')
			appendStringInfoString(out, "\\n");
		else
			appendStringInfoChar(out, *p);
	}
}

/* As the other metrics name collections; a table elsewhere has its schema with it.  NULL: it is gone. */
static char *
name_of(Oid table)
{
	char	   *name = get_rel_name(table);
	char	   *schema = name ? get_namespace_name(get_rel_namespace(table)) : NULL;

	if (!schema)
		return NULL;
	return strcmp(schema, COLLECTION_SCHEMA) == 0 ? name : psprintf("%s.%s", schema, name);
}

/* A row of an answer; false at its end. */
static bool
next_row(NodeQuestion *question, const char **column, int n)
{
	for (int i = 0; i < n; i++)
		if (!NodeAnswerNext(question, &column[i]))
			return false;
	return true;
}

static int64
number(const char *text)
{
	return text ? strtoll(text, NULL, 10) : 0;
}

static CollectionMetrics *
ask_collections(int *n)
{
	NodeQuestion question;
	const char *column[COLLECTION_COLUMNS];
	int			room = 16;
	CollectionMetrics *all = palloc(room * sizeof(*all));

	*n = 0;
	NodeAskWithin(&question, SYNC_COLLECTIONS, NODE_LARGE_ANSWER, NULL, 0, ANSWER_MS);
	while (next_row(&question, column, COLLECTION_COLUMNS))
	{
		CollectionMetrics one = {.table = (Oid) number(column[0])};

		one.name = name_of(one.table);
		if (!one.name)
			continue;
		one.copying = column[1] && strcmp(column[1], "copying") == 0;
		one.paused = column[1] && strcmp(column[1], "paused") == 0;
		one.waits = column[WAITS_FOR] != NULL;
		for (int i = 0; i < (int) lengthof(figures); i++)
			one.figure[i] = number(column[2 + i]);
		one.quarantined = HeldRowCount(one.table, ROW_QUARANTINED, COUNT_MOST);
		one.parked = HeldRowCount(one.table, ROW_PARKED, COUNT_MOST);
		one.conflicts = RowConflictCount(one.table, COUNT_MOST);
		if (*n == room)
			all = repalloc(all, (room *= 2) * sizeof(*all));
		all[(*n)++] = one;
	}
	NodeAnswerDone(&question);
	return all;
}

/* Rows come by collection, in the order of those. */
static void
ask_members(CollectionMetrics *all, int n)
{
	NodeQuestion question;
	const char *column[MEMBER_COLUMNS];
	int			at = 0;

	NodeAskWithin(&question, SYNC_REPLICATION, NODE_LARGE_ANSWER, NULL, 0, ANSWER_MS);
	while (next_row(&question, column, MEMBER_COLUMNS))
	{
		Oid			table = (Oid) number(column[0]);

		for (int i = 0; i < n && all[at].table != table; i++)
			at = (at + 1) % n;
		if (n == 0 || all[at].table != table)
			continue;
		for (int i = 0; i < (int) lengthof(member_states); i++)
			all[at].members[i] += column[3] && strcmp(column[3], member_states[i]) == 0;
		for (int i = 0; i < 2; i++)
		{
			all[at].lacks[i] = Max(all[at].lacks[i], number(column[5 + 2 * i]));
			all[at].lag_ms[i] = Max(all[at].lag_ms[i], number(column[6 + 2 * i]));
		}
	}
	NodeAnswerDone(&question);
}

static void
begin_metric(StringInfo out, const char *name, const char *type, const char *help)
{
	appendStringInfo(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One sample of a collection; label NULL: it has none besides. */
static void
sample(StringInfo out, const char *name, const CollectionMetrics *of, const char *label, const char *value, double number)
{
	appendStringInfo(out, "%s{collection=\"", name);
	MetricsAppendLabel(out, of->name);
	if (label)
		appendStringInfo(out, "\",%s=\"%s", label, value);
	appendStringInfo(out, "\"} %.15g\n", number);
}

static void
print_collections(StringInfo out, const CollectionMetrics *all, int n)
{
	static const char *const direction[] = {"there", "here"};

	for (int i = 0; i < (int) lengthof(figures); i++)
	{
		char	   *name = psprintf("vecdb_replication_%s", figures[i].name);

		begin_metric(out, name, figures[i].type, figures[i].help);
		for (int k = 0; k < n; k++)
			sample(out, name, &all[k], NULL, NULL, (double) all[k].figure[i]);
	}
	begin_metric(out, "vecdb_replication_copying", "gauge", "1 while rows are copied for the first time.");
	for (int k = 0; k < n; k++)
		sample(out, "vecdb_replication_copying", &all[k], NULL, NULL, all[k].copying);
	begin_metric(out, "vecdb_replication_paused", "gauge", "1 while rows are paused by vecdb.pause().");
	for (int k = 0; k < n; k++)
		sample(out, "vecdb_replication_paused", &all[k], NULL, NULL, all[k].paused);
	begin_metric(out, "vecdb_replication_columns_wait", "gauge", "1 while a change of columns, or rows for other columns, wait.");
	for (int k = 0; k < n; k++)
		sample(out, "vecdb_replication_columns_wait", &all[k], NULL, NULL, all[k].waits);
	begin_metric(out, "vecdb_replication_set_aside_rows", "gauge", "Rows in vecdb.quarantine, rows that wait for a lock, and losers in vecdb.conflict; 10000 are that or more.");
	for (int k = 0; k < n; k++)
	{
		sample(out, "vecdb_replication_set_aside_rows", &all[k], "kind", "quarantined", (double) all[k].quarantined);
		sample(out, "vecdb_replication_set_aside_rows", &all[k], "kind", "parked", (double) all[k].parked);
		sample(out, "vecdb_replication_set_aside_rows", &all[k], "kind", "conflict", (double) all[k].conflicts);
	}
	begin_metric(out, "vecdb_replication_members", "gauge", "Other members, by what they are like to this node.");
	for (int k = 0; k < n; k++)
		for (int i = 0; i < (int) lengthof(member_states); i++)
			sample(out, "vecdb_replication_members", &all[k], "state", member_states[i], (double) all[k].members[i]);
	begin_metric(out, "vecdb_replication_lag_seconds", "gauge", "For how long some member has lacked something that is here, or this node something that is there.");
	for (int k = 0; k < n; k++)
		for (int i = 0; i < 2; i++)
			sample(out, "vecdb_replication_lag_seconds", &all[k], "lacks", direction[i], (double) all[k].lag_ms[i] / 1000);
	begin_metric(out, "vecdb_replication_lacking_commits", "gauge", "Commits that the member which lacks most lacks, or this node.");
	for (int k = 0; k < n; k++)
		for (int i = 0; i < 2; i++)
			sample(out, "vecdb_replication_lacking_commits", &all[k], "lacks", direction[i], (double) all[k].lacks[i]);
}

static void
print_node(StringInfo out, const SyncNode *node)
{
	begin_metric(out, "vecdb_node_running", "gauge", "1 while the node of the database runs.");
	appendStringInfo(out, "vecdb_node_running %d\n", node->state == SYNC_NODE_RUNNING);
	begin_metric(out, "vecdb_node_starts_total", "counter", "Starts of its worker.");
	appendStringInfo(out, "vecdb_node_starts_total " UINT64_FORMAT "\n", node->starts);
	begin_metric(out, "vecdb_node_cloned", "gauge", "1 where another node has the same key.");
	appendStringInfo(out, "vecdb_node_cloned %d\n", node->clone[0] != '\0');
	begin_metric(out, "vecdb_node_links", "gauge", "Nodes that it is linked with.");
	appendStringInfo(out, "vecdb_node_links %d\n", node->peers);
	begin_metric(out, "vecdb_node_known", "gauge", "Nodes in its routing table.");
	appendStringInfo(out, "vecdb_node_known %d\n", node->known);
	begin_metric(out, "vecdb_node_messages_total", "counter", "Messages, by direction.");
	appendStringInfo(out, "vecdb_node_messages_total{direction=\"sent\"} " INT64_FORMAT "\n", node->sent);
	appendStringInfo(out, "vecdb_node_messages_total{direction=\"received\"} " INT64_FORMAT "\n", node->received);
	begin_metric(out, "vecdb_node_refused_total", "counter", "Messages and handshakes that were refused.");
	appendStringInfo(out, "vecdb_node_refused_total " INT64_FORMAT "\n", node->refused);
	begin_metric(out, "vecdb_node_memory_bytes", "gauge", "Memory of the node and of rows, without PostgreSQL's.");
	appendStringInfo(out, "vecdb_node_memory_bytes " INT64_FORMAT "\n", node->memory_bytes);
}

/*
 * What the worker answers, in a subtransaction: where it is busy, has just ended, or
 * somebody has locked a table of ours, it is NULL.
 */
static CollectionMetrics *
ask(int *n)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	CollectionMetrics *volatile all = NULL;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		all = ask_collections(n);
		ask_members(all, *n);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (!error)
		return all;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_TO_CATEGORY(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE) &&
		error->sqlerrcode != ERRCODE_CONFIGURATION_LIMIT_EXCEEDED)
		ReThrowError(error);
	FreeErrorData(error);
	return NULL;
}

void
NodeMetrics(StringInfo out)
{
	SyncShared *shared;
	SyncNode   *slot;
	SyncNode	node;
	CollectionMetrics *all;
	int			n;

	if (!SyncPreloaded)
		return;
	shared = SyncAttach();
	LWLockAcquire(&shared->lock, LW_SHARED);
	slot = NodeOwnSlot(shared);
	if (slot)
		node = *slot;
	LWLockRelease(&shared->lock);
	if (!slot)
		return;
	print_node(out, &node);
	if (node.state != SYNC_NODE_RUNNING)
		return;
	all = ask(&n);
	if (all)
		print_collections(out, all, n);
}
