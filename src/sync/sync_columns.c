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

#define AGAIN_MS 1000			/* after a look in vain */

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
}

void
SyncRowsColumns(SyncCollection *self, CoreClock clock)
{
	Look		of = {.of = self};

	if (!self->columns_due || self->changing || clock.tick_ms < self->columns_ms)
		return;
	SyncRowsLeave(self->rows);
	self->columns_due = false;
	if (!WorkerTransaction(SYNC_STATEMENT_MS, look, &of) || !of.looked)
	{
		if (of.column)
			pfree(of.column);
		self->columns_due = true;
		self->columns_ms = clock.tick_ms + AGAIN_MS;
		return;
	}
	if (self->column)
		pfree(self->column);
	self->column = of.column;
	self->n_columns = of.n;
	if (memcmp(of.schema, self->schema, CORE_HASH_BYTES) == 0)
		return;
	self->differs[0] = '\0';
	memcpy(self->schema, of.schema, CORE_HASH_BYTES);
	replica_schema(self->replica, self->schema);
	self->rows->worker->due.rebind = 0;	/* who joins is told of them */
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
	char		utf8[2 * (ROW_COLUMN_NAME + 2 * ROW_COLUMN_TYPE)];
	char		difference[sizeof(utf8)];
	char		text[ROWS_DIFFERS];
	char		line[NODE_TEXT];
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
		SyncText(utf8, strlen(utf8), difference, sizeof(difference));
		snprintf(text, sizeof(text), "columns differ from those of node %s: %s", node_short_id(id, node), difference);
		text[pg_mbcliplen(text, (int) strlen(text), ROWS_DIFFERS - 1)] = '\0';
		if (strcmp(text, self->differs) != 0)
		{
			snprintf(line, sizeof(line), "no rows of the collection of table %u travel: %s", self->table, text);
			SyncNote(self->rows->worker, NODE_LOG, line);
		}
		strlcpy(self->differs, text, sizeof(self->differs));
		self->other = *id;
	}
	free(theirs);
}

const char *
SyncColumnsWait(SyncCollection *self)
{
	if (self->waits[0] != '\0')
		return self->waits;
	if (self->differs[0] != '\0' && !replica_differs(self->replica, &self->other))
		self->differs[0] = '\0';
	return self->differs[0] != '\0' ? self->differs : NULL;
}
