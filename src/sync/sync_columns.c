/*
 * sync_columns.c
 *	  The columns of shared tables: that a replica has those of its table, and in what they
 *	  differ from a member's.
 *
 * A change that travels (sync_change.c) says what they become.  What changes them besides,
 * as ALTER TYPE ... ADD VALUE of an enum, is seen by what it makes invalid in the caches.
 */
#include "sync/sync_rows.h"

#include "access/relation.h"
#include "mb/pg_wchar.h"
#include "rows/row_shape.h"
#include "rows/version_table.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "worker/worker.h"

#define AGAIN_MS 1000			/* after a look in vain, and twice as long after each more */
#define AGAIN_MOST_MS 60000
#define LOOKS_APART_MS 5000		/* types and names change all the time */
#define TELL_MS 10000			/* a difference is told to the log when it is so old ... */
#define TELLS_APART_MS 60000	/* ... and so long after another */
#define DIFFERENCE_BYTES (2 * (ROW_COLUMN_NAME + 2 * ROW_COLUMN_TYPE))

static SyncRows *of_process;	/* for the callbacks of caches */

/* ---------------------------------------------------------------------------
 * When
 */

static void
note_table(Datum arg, Oid table)
{
	for (int i = 0; i < of_process->n; i++)
		of_process->collection[i]->columns_due |= !OidIsValid(table) || of_process->collection[i]->table == table;
}

static void
note_name(Datum arg, int cache, uint32 hash)
{
	note_table(arg, InvalidOid);
}

void
SyncColumnsInit(SyncRows *rows)
{
	static const int names[] = {ENUMTYPOIDNAME, TYPEOID, NAMESPACEOID, COLLOID};
	bool		first = of_process == NULL;

	of_process = rows;
	if (!first)
		return;
	CacheRegisterRelcacheCallback(note_table, (Datum) 0);
	for (int i = 0; i < (int) lengthof(names); i++)
		CacheRegisterSyscacheCallback(names[i], note_name, (Datum) 0);
}

/* ---------------------------------------------------------------------------
 * Ours
 */

typedef struct Look
{
	SyncCollection *of;
	bool		looked;
	uint8		schema[CORE_HASH_BYTES];
	int			n;
	RowColumn  *column;
} Look;

static RowBytes
copy_text(char **to, RowBytes text)
{
	RowBytes	copy = {(const uint8 *) *to, text.len};

	memcpy(*to, text.at, text.len);
	*to += text.len;
	return copy;
}

/* In one piece. */
static RowColumn *
copy_columns(MemoryContext context, const RowColumn *column, int n)
{
	Size		texts = 0;
	RowColumn  *copy;
	char	   *text;

	for (int i = 0; i < n; i++)
		texts += column[i].name.len + column[i].type.len;
	copy = MemoryContextAlloc(context, sizeof(RowColumn) * (Size) n + texts);
	text = (char *) (copy + n);
	for (int i = 0; i < n; i++)
	{
		copy[i] = column[i];
		copy[i].name = copy_text(&text, column[i].name);
		copy[i].type = copy_text(&text, column[i].type);
	}
	return copy;
}

static void
look(void *arg)
{
	Look	   *look = arg;
	Oid			table = look->of->table;
	Relation	rel;
	RowShape   *shape;

	if (!OidIsValid(VersionTableOf(table)) || !ConditionalLockRelationOid(table, AccessShareLock))
		return;
	rel = try_relation_open(table, NoLock);
	if (!rel)
		return;
	shape = RowShapeOf(rel);
	memcpy(look->schema, RowShapeSchema(shape), sizeof(look->schema));
	look->n = RowShapeColumns(shape);
	look->column = copy_columns(look->of->context, RowShapeNames(shape, RelationGetDescr(rel)), look->n);
	relation_close(rel, NoLock);
	look->looked = true;
}

void
SyncColumnsForget(SyncCollection *self)
{
	if (self->column)
		pfree(self->column);
	self->column = NULL;
	self->n_columns = 0;
	self->columns_due = true;
	self->columns_ms = 0;
	self->differs[0] = self->altered[0] = '\0';
}

/* Are contents the same under both?  An enum may have got a label. */
static bool
alike(const SyncCollection *self, const Look *new)
{
	bool		same = self->n_columns == new->n;

	for (int i = 0; same && i < new->n; i++)
		same = row_column_alike(&self->column[i], &new->column[i]);
	return same || self->n_columns == 0;
}

/* A difference that is UTF-8, behind what is said of it. */
static void
write_difference(char out[ROWS_DIFFERS], const char *what, const char *utf8)
{
	char		difference[DIFFERENCE_BYTES];

	snprintf(out, ROWS_DIFFERS, "%s: %s", what, SyncText(utf8, strlen(utf8), difference, sizeof(difference)));
	out[pg_mbcliplen(out, (int) strlen(out), ROWS_DIFFERS - 1)] = '\0';
}

/* Somebody drops a type with CASCADE: versions are not of these contents, so rows wait. */
static void
keep_out(SyncCollection *self, const Look *new)
{
	char		utf8[DIFFERENCE_BYTES] = "";
	char		before[ROWS_DIFFERS];

	strlcpy(before, self->altered, sizeof(before));
	(void) row_schema_difference(new->column, new->n, self->column, self->n_columns, true, utf8, sizeof(utf8));
	write_difference(self->altered, "columns were changed otherwise than by vecdb.alter_collection()", utf8);
	if (strcmp(before, self->altered) != 0)
		ereport(LOG,
				(errmsg("no rows of the collection of table %u travel", self->table),
				 errdetail_internal("%s", self->altered),
				 errhint("Leave the collection with vecdb.leave(), make the table as it is on other members, and join anew.")));
}

static void
take_look(SyncCollection *self, CoreClock clock)
{
	Look		new = {.of = self};

	SyncRowsLeave(self->rows);
	self->columns_due = false;
	self->columns_ms = clock.tick_ms + LOOKS_APART_MS;
	if (!WorkerTransaction(SYNC_STATEMENT_MS, look, &new) || !new.looked)
	{
		self->columns_due = true;
		self->columns_ms = clock.tick_ms + Min(AGAIN_MS << Min(self->columns_failures, 10), AGAIN_MOST_MS);
		self->columns_failures++;
		if (new.column)
			pfree(new.column);
		return;
	}
	self->columns_failures = 0;
	if (!alike(self, &new))
	{
		keep_out(self, &new);
		pfree(new.column);
		return;
	}
	if (self->column)
		pfree(self->column);
	self->column = new.column;
	self->n_columns = new.n;
	self->altered[0] = '\0';
	if (memcmp(new.schema, self->schema, CORE_HASH_BYTES) == 0)
		return;
	self->differs[0] = '\0';
	memcpy(self->schema, new.schema, CORE_HASH_BYTES);
	replica_schema(self->replica, self->schema);
	self->rows->worker->due.rebind = 0;	/* who joins is told of them */
}

/* What passes by itself, as a change that travels, is not told; nor more than a line a minute. */
static void
tell_difference(SyncCollection *self, CoreClock clock)
{
	char		line[NODE_TEXT];

	if (!replica_differs(self->replica, &self->other))
		self->differs[0] = '\0';
	if (self->differs[0] == '\0' || self->differs_logged || clock.tick_ms < self->differs_ms + TELL_MS ||
		(self->logged_ms != 0 && clock.tick_ms < self->logged_ms + TELLS_APART_MS))
		return;
	snprintf(line, sizeof(line), "no rows of the collection of table %u travel: %s", self->table, self->differs);
	SyncNote(self->rows->worker, NODE_LOG, line);
	self->differs_logged = true;
	self->logged_ms = clock.tick_ms;
}

void
SyncRowsColumns(SyncCollection *self, CoreClock clock)
{
	if (self->columns_due && !self->changing && clock.tick_ms >= self->columns_ms)
		take_look(self, clock);
	if (self->differs[0] != '\0')
		tell_difference(self, clock);
}

/* ---------------------------------------------------------------------------
 * Others'
 */

/* The callback of a core that knows no errors: what there is no memory for is not told. */
void
SyncColumnsDiffer(SyncCollection *self, const KadId *id, const uint8_t *schema, RowBytes columns)
{
	RowColumn  *theirs = malloc(sizeof(*theirs) * ROW_COLUMNS);
	uint8_t		hash[CORE_HASH_BYTES];
	char		utf8[DIFFERENCE_BYTES];
	char		what[64];
	char		text[ROWS_DIFFERS];
	char		node[13];
	int			m = 0;
	bool		all;

	if (!theirs)
		return;
	while (m < ROW_COLUMNS && row_wire_next_column(&columns, &theirs[m]))
		m++;
	all = row_schema_hash(node_crypto(self->rows->worker->node), theirs, m, hash) && memcmp(hash, schema, CORE_HASH_BYTES) == 0;
	if (self->n_columns > 0 && row_schema_difference(self->column, self->n_columns, theirs, m, all, utf8, sizeof(utf8)))
	{
		snprintf(what, sizeof(what), "columns differ from those of node %s", node_short_id(id, node));
		write_difference(text, what, utf8);
		if (self->differs[0] == '\0')
			self->differs_ms = self->rows->worker->net->clock.tick_ms;
		if (strcmp(text, self->differs) != 0)
			self->differs_logged = false;
		strlcpy(self->differs, text, sizeof(self->differs));
		self->other = *id;
	}
	free(theirs);
}

const char *
SyncColumnsWait(SyncCollection *self)
{
	KadId		id;
	char		node[13];

	if (self->altered[0] != '\0')
		return self->altered;
	if (self->waits[0] != '\0')
		return self->waits;
	if (self->differs[0] != '\0' && replica_differs(self->replica, &self->other))
		return self->differs;
	/* in what, it tells soon */
	if (replica_differing(self->replica, &id))
		return psprintf("columns differ from those of node %s", node_short_id(&id, node));
	return NULL;
}
