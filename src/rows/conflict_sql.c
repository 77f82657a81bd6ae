/*
 * conflict_sql.c
 *	  SQL functions about losers of conflicts.
 *
 * Who looks at them owns the table.  What is put back is written as any other write of who
 * asks: by SQL, with the rights, policies, triggers and settings of that session.
 */
#include "rows/row_state.h"

#include "access/relation.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "node/node_table.h"
#include "rows/row_json.h"
#include "rows/row_key.h"
#include "rows/row_writers.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(vecdb_conflict_list);
PG_FUNCTION_INFO_V1(vecdb_conflict_content);
PG_FUNCTION_INFO_V1(vecdb_current_row);
PG_FUNCTION_INFO_V1(vecdb_key_json);
PG_FUNCTION_INFO_V1(vecdb_resolve);

#define LIST_COLUMNS 6

/* ---------------------------------------------------------------------------
 * The view
 */

typedef struct ListOf
{
	ReturnSetInfo *result;
	Oid			table;
	RowWriters *writers;
} ListOf;

static void
list_one(void *arg, const RowConflict *conflict)
{
	ListOf	   *this = arg;
	char	   *writer = RowWriterOf(this->writers, &conflict->version);
	bool		nulls[LIST_COLUMNS] = {[5] = writer == NULL};
	Datum		values[LIST_COLUMNS] = {
		ObjectIdGetDatum(this->table), Int64GetDatum(conflict->number), SyncBytea(conflict->key.at, conflict->key.len),
		TimestampTzGetDatum(conflict->since), BoolGetDatum(!conflict->live), writer ? CStringGetTextDatum(writer) : (Datum) 0
	};

	tuplestore_putvalues(this->result->setResult, this->result->setDesc, values, nulls);
}

Datum
vecdb_conflict_list(PG_FUNCTION_ARGS)
{
	ListOf		this = {(ReturnSetInfo *) fcinfo->resultinfo};

	InitMaterializedSRF(fcinfo, 0);
	while (OidIsValid(this.table = RowConflictNextTable(this.table, GetActiveSnapshot())))
	{
		if (!RowJsonMaySee(this.table))
			continue;
		this.writers = RowWritersOf(this.table);
		RowConflictEach(this.table, GetActiveSnapshot(), list_one, &this);
	}
	PG_RETURN_VOID();
}

Datum
vecdb_conflict_content(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	RowConflict conflict;
	Datum		row;

	if (!RowJsonMaySee(table) || !RowConflictGet(table, PG_GETARG_INT64(1), GetActiveSnapshot(), &conflict) ||
		!conflict.live || !RowJsonContent(table, conflict.key, conflict.content, &row))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row);
}

static RowBytes
bytes_argument(bytea *bytes)
{
	return (RowBytes) {(const uint8 *) VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes)};
}

Datum
vecdb_current_row(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	RowBytes	key = bytes_argument(PG_GETARG_BYTEA_PP(1));
	Datum		row;

	if (!RowJsonMaySee(table) || key.len > ROW_KEY_MAX || !RowJsonCurrent(table, key, &row))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row);
}

Datum
vecdb_key_json(PG_FUNCTION_ARGS)
{
	Oid			table = PG_GETARG_OID(0);
	RowBytes	key = bytes_argument(PG_GETARG_BYTEA_PP(1));

	if (!RowJsonMaySee(table) || key.len > ROW_KEY_MAX)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(RowJsonKey(table, key));
}

/* ---------------------------------------------------------------------------
 * Putting one back
 */

typedef struct PutBack
{
	Relation	rel;
	RowShape   *shape;
	RowBytes	key;
	char	   *name;			/* of the table, with its schema */
	TupleTableSlot *row;		/* that owns the values */
	int			n;				/* columns that are written, in their order; */
	AttrNumber *number;
	Oid		   *type;
	Datum	   *value;
	char	   *null;			/* 'n' where it is */
	bool		identity;		/* one of them takes a value from UPDATE only as DEFAULT */
} PutBack;

static bool
is_key(const PutBack *self, AttrNumber number)
{
	for (int i = 0; i < RowShapeKeyColumns(self->shape); i++)
		if (RowShapeKeyColumn(self->shape, i) == number)
			return true;
	return false;
}

static const char *
column_name(const PutBack *self, int i)
{
	return quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(self->rel), self->number[i] - 1)->attname));
}

/* Columns and values of the loser, of the key alone where it is a delete. */
static void
begin_put_back(PutBack *self, Relation rel, const RowConflict *conflict)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc0(sizeof(Datum) * (size_t) Max(ROW_KEY_COLUMNS, desc->natts));

	*self = (PutBack) {.rel = rel, .shape = RowShapeOf(rel), .key = conflict->key};
	self->name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel));
	self->row = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	self->number = palloc(sizeof(AttrNumber) * (size_t) desc->natts);
	self->type = palloc(sizeof(Oid) * (size_t) desc->natts);
	self->value = palloc(sizeof(Datum) * (size_t) desc->natts);
	self->null = palloc((size_t) desc->natts);
	if (conflict->live)
		RowShapeFill(self->shape, conflict->content, conflict->key, NULL, self->row);
	else if (!RowShapeKeyValues(self->shape, conflict->key, values))
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("the key of the row has characters that this database's encoding lacks")));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		bool		isnull = false;

		if (RowShapeColumn(self->shape, attribute->attnum) < 0 || (!conflict->live && !is_key(self, attribute->attnum)))
			continue;
		self->number[self->n] = attribute->attnum;
		self->type[self->n] = attribute->atttypid;
		if (conflict->live)
			self->value[self->n] = slot_getattr(self->row, attribute->attnum, &isnull);
		else
			for (int k = 0; k < RowShapeKeyColumns(self->shape); k++)
				if (RowShapeKeyColumn(self->shape, k) == attribute->attnum)
					self->value[self->n] = values[k];
		self->null[self->n] = isnull ? 'n' : ' ';
		self->identity |= attribute->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
		self->n++;
	}
}

/* Columns, each with its parameter: those of the key, or the others. */
static void
append_pairs(const PutBack *self, StringInfo out, bool key, const char *equal, const char *between)
{
	const char *separator = "";

	for (int i = 0; i < self->n; i++)
		if (is_key(self, self->number[i]) == key)
		{
			appendStringInfo(out, "%s%s %s $%d", separator, column_name(self, i), equal, i + 1);
			separator = between;
		}
}

/* How many rows it wrote. */
static uint64
execute(const PutBack *self, const char *statement, int expected)
{
	int			result = SPI_execute_with_args(statement, self->n, self->type, self->value, self->null, false, 0);

	if (result != expected)
		elog(ERROR, "SPI_execute_with_args() gave %d", result);
	return SPI_processed;
}

/* Does a row of the key stand in the table, whoever may see it? */
static bool
is_there(const PutBack *self)
{
	TupleTableSlot *slot = table_slot_create(self->rel, NULL);
	RowKeyIndex index;
	bool		there;

	RowKeyOpen(&index, self->rel, self->shape, AccessShareLock);
	there = RowKeyFetch(&index, self->key, SnapshotSelf, slot);
	RowKeyClose(&index);
	ExecDropSingleTupleTableSlot(slot);
	return there;
}

static void pg_attribute_noreturn()
refuse_unwritten(const PutBack *self)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("the row of table \"%s\" was not written", RelationGetRelationName(self->rel)),
			 errdetail("A policy of the table hides it from you, or a trigger has suppressed the write.")));
}

static bool
delete_row(const PutBack *self)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "DELETE FROM ONLY %s WHERE ", self->name);
	append_pairs(self, &text, true, "OPERATOR(pg_catalog.=)", " AND ");
	if (execute(self, text.data, SPI_OK_DELETE) > 0)
		return true;
	if (is_there(self))
		refuse_unwritten(self);
	return false;
}

/* False: there is none. */
static bool
update_row(const PutBack *self)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "UPDATE ONLY %s SET ", self->name);
	append_pairs(self, &text, false, "=", ", ");
	appendStringInfoString(&text, " WHERE ");
	append_pairs(self, &text, true, "OPERATOR(pg_catalog.=)", " AND ");
	if (execute(self, text.data, SPI_OK_UPDATE) > 0)
		return true;
	if (is_there(self))
		refuse_unwritten(self);
	return false;
}

static void
insert_row(const PutBack *self)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "INSERT INTO %s (", self->name);
	for (int i = 0; i < self->n; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", column_name(self, i));
	appendStringInfoString(&text, ") OVERRIDING SYSTEM VALUE VALUES (");
	for (int i = 0; i < self->n; i++)
		appendStringInfo(&text, "%s$%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoChar(&text, ')');
	if (execute(self, text.data, SPI_OK_INSERT) == 0)
		refuse_unwritten(self);
}

static const char *
put_row(const PutBack *self)
{
	bool		replaces;

	if (self->n == RowShapeKeyColumns(self->shape) && is_there(self))
		return "unchanged";
	if (self->n > RowShapeKeyColumns(self->shape) && !self->identity && update_row(self))
		return "updated";
	replaces = self->identity && delete_row(self);
	insert_row(self);
	return replaces ? "updated" : "inserted";
}

/* What was done, in a word. */
static const char *
put_back(Relation rel, const RowConflict *conflict)
{
	PutBack		self;
	const char *done;

	begin_put_back(&self, rel, conflict);
	SPI_connect();
	if (conflict->live)
		done = put_row(&self);
	else
		done = delete_row(&self) ? "deleted" : "unchanged";
	SPI_finish();
	ExecDropSingleTupleTableSlot(self.row);
	return done;
}

/* The table of the conflict of this number that the caller may resolve, locked; an error where there is none. */
static Relation
open_table_of(int64 number, RowConflict *out)
{
	Oid			table = InvalidOid;

	while (OidIsValid(table = RowConflictNextTable(table, NULL)))
		if (RowJsonMaySee(table) && RowConflictGet(table, number, NULL, out))
		{
			Relation	rel = try_relation_open(table, RowExclusiveLock);

			if (rel != NULL && VecdbOwnsRelation(table) && RowConflictGet(table, number, NULL, out))
				return rel;
			break;
		}
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("there is no conflict " INT64_FORMAT " of a table of yours", number),
			 errhint("View vecdb.conflict lists those that there are.")));
}

Datum
vecdb_resolve(PG_FUNCTION_ARGS)
{
	int64		number = PG_GETARG_INT64(0);
	char	   *keep = text_to_cstring(PG_GETARG_TEXT_PP(1));
	const char *done = "unchanged";
	RowConflict conflict;
	Relation	rel;

	PreventCommandIfReadOnly("vecdb.resolve()");
	if (strcmp(keep, "lost") != 0 && strcmp(keep, "current") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot keep \"%s\"", keep),
				 errhint("Keep \"lost\", what has lost, or \"current\", what is there now: so are the columns of vecdb.conflict called.")));
	rel = open_table_of(number, &conflict);
	RowConflictRemove(RelationGetRelid(rel), number);
	if (strcmp(keep, "lost") == 0)
		done = put_back(rel, &conflict);
	relation_close(rel, NoLock);
	PG_RETURN_TEXT_P(cstring_to_text(done));
}
