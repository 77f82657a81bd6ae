/*
 * row_shape.c
 *	  What a shared table is to replication: its columns, keys and rows as bytes that
 *	  are the same on every node.
 *
 * A shape is of the columns that a table had when it was made; a row with another number
 * of them is an error.  Values are made in a memory context of its own, which is empty
 * between calls, so what one row needed is gone before the next.
 */
#include "rows/row_shape.h"

#include "access/genam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "common/cryptohash.h"
#include "core/rows/content.h"
#include "rows/row_value.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

/* A buffer that a row has made larger than this is not kept for the next. */
#define KEPT_BYTES (1024 * 1024)

typedef struct ShapeColumn
{
	AttrNumber	number;
	bool		vector;
	RowCodec	codec;
} ShapeColumn;

struct RowShape
{
	MemoryContext context;
	MemoryContext scratch;		/* empty between calls */
	uint8		schema[CORE_HASH_BYTES];
	int			attributes;		/* of the table, with those that are dropped or generated */
	int			columns;
	ShapeColumn *column;
	int			vectors;
	RowBytes   *vector;			/* room for as many */
	Oid			key_index;
	int			key_columns;
	AttrNumber	key[ROW_KEY_COLUMNS];
	RowKeyKind	kind[ROW_KEY_COLUMNS];
	bool		key_text[ROW_KEY_COLUMNS];
	StringInfoData content;
};

/* ---------------------------------------------------------------------
 * SHA-256
 * --------------------------------------------------------------------- */

/* The bytes of n parts, one behind the other. */
typedef struct Hashed
{
	const RowBytes *part;
	int			n;
} Hashed;

/* Several hashes by one context: making one costs as much as hashing half a kilobyte. */
static void
sha256_of(const Hashed *what, int n, uint8 (*out)[CORE_HASH_BYTES])
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	bool		done = context != NULL;

	for (int i = 0; i < n && done; i++)
	{
		done = pg_cryptohash_init(context) >= 0;
		for (int j = 0; j < what[i].n && done; j++)
			done = pg_cryptohash_update(context, what[i].part[j].at, what[i].part[j].len) >= 0;
		done = done && pg_cryptohash_final(context, out[i], CORE_HASH_BYTES) >= 0;
	}
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256: %s", pg_cryptohash_error(context))));
	pg_cryptohash_free(context);
}

static void
sha256(void *context, const uint8 *message, size_t len, uint8 hash[CORE_HASH_BYTES])
{
	RowBytes	part = {.at = message, .len = len};
	uint8		out[1][CORE_HASH_BYTES];

	sha256_of(&(Hashed) {.part = &part, .n = 1}, 1, out);
	memcpy(hash, out[0], CORE_HASH_BYTES);
}

const CoreCrypto *
RowShapeCrypto(void)
{
	static const CoreCrypto crypto = {.sha256 = sha256};

	return &crypto;
}

/* ---------------------------------------------------------------------
 * The schema
 * --------------------------------------------------------------------- */

/* A name of a catalog as UTF-8. */
static void
append_name(StringInfo out, const char *name)
{
	RowBytes	utf8 = RowTextToUtf8(name, (int) strlen(name));

	appendBinaryStringInfo(out, (const char *) utf8.at, (int) utf8.len);
}

static int
compare_labels(const void *a, const void *b)
{
	float4		first = ((Form_pg_enum) GETSTRUCT(*(const HeapTuple *) a))->enumsortorder;
	float4		second = ((Form_pg_enum) GETSTRUCT(*(const HeapTuple *) b))->enumsortorder;

	return (first > second) - (first < second);
}

/* The hash of an enum's labels in their order, each with a zero byte behind it. */
static void
append_labels(StringInfo out, Oid type)
{
	CatCList   *list = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(type));
	HeapTuple  *label = palloc(sizeof(HeapTuple) * (Size) Max(list->n_members, 1));
	StringInfoData labels;
	uint8		hash[CORE_HASH_BYTES];
	char		text[2 * CORE_HASH_BYTES + 1];

	initStringInfo(&labels);
	for (int i = 0; i < list->n_members; i++)
		label[i] = &list->members[i]->tuple;
	qsort(label, (size_t) list->n_members, sizeof(HeapTuple), compare_labels);
	for (int i = 0; i < list->n_members; i++)
	{
		append_name(&labels, NameStr(((Form_pg_enum) GETSTRUCT(label[i]))->enumlabel));
		appendStringInfoChar(&labels, '\0');
	}
	ReleaseCatCacheList(list);
	sha256(NULL, (const uint8 *) labels.data, (size_t) labels.len, hash);
	appendStringInfo(out, "(%s)", bytes_hex(hash, sizeof hash, text));
}

static void
append_modifier(StringInfo out, Form_pg_type type, int32 typmod)
{
	if (typmod < 0)
		return;
	if (OidIsValid(type->typmodout))
		append_name(out, DatumGetCString(OidFunctionCall1(type->typmodout, Int32GetDatum(typmod))));
	else
		appendStringInfo(out, "(%d)", typmod);
}

/* As WIRE.md says: no setting has a part in it, nor the schema that the extension is in here. */
static void
append_type(StringInfo out, const ShapeColumn *column, Form_pg_attribute attribute)
{
	Oid			type = column->codec.type.type;
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	if (column->vector)
		appendStringInfoString(out, "vecdb.");
	else if (form->typnamespace != PG_CATALOG_NAMESPACE)
	{
		append_name(out, get_namespace_name(form->typnamespace));
		appendStringInfoChar(out, '.');
	}
	append_name(out, NameStr(form->typname));
	append_modifier(out, form, attribute->atttypmod);
	if (form->typtype == TYPTYPE_ENUM)
		append_labels(out, type);
	if (column->codec.type.array)
		appendStringInfoString(out, "[]");
	if (OidIsValid(attribute->attcollation) && attribute->attcollation != form->typcollation)
	{
		HeapTuple	found = SearchSysCache1(COLLOID, ObjectIdGetDatum(attribute->attcollation));
		Form_pg_collation collation;

		if (!HeapTupleIsValid(found))
			elog(ERROR, "cache lookup failed for collation %u", attribute->attcollation);
		collation = (Form_pg_collation) GETSTRUCT(found);
		appendStringInfoString(out, " collate ");
		if (collation->collnamespace != PG_CATALOG_NAMESPACE)
		{
			append_name(out, get_namespace_name(collation->collnamespace));
			appendStringInfoChar(out, '.');
		}
		append_name(out, NameStr(collation->collname));
		ReleaseSysCache(found);
	}
	ReleaseSysCache(tuple);
}

static uint8
place_in_key(const RowShape *self, AttrNumber column)
{
	for (int i = 0; i < self->key_columns; i++)
	{
		if (self->key[i] == column)
			return (uint8) (i + 1);
	}
	return 0;
}

RowColumn *
RowShapeNames(const RowShape *self, TupleDesc desc)
{
	RowColumn  *column = palloc(sizeof(RowColumn) * (Size) self->columns);

	for (int i = 0; i < self->columns; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, self->column[i].number - 1);
		StringInfoData type;
		RowBytes	name = RowTextToUtf8(NameStr(attribute->attname), (int) strlen(NameStr(attribute->attname)));

		initStringInfo(&type);
		append_type(&type, &self->column[i], attribute);
		column[i] = (RowColumn) {
			.name = name,
			.type = {.at = (const uint8 *) type.data, .len = (size_t) type.len},
			.not_null = attribute->attnotnull,
			.key = place_in_key(self, attribute->attnum),
		};
	}
	return column;
}

static void
hash_schema(RowShape *self, TupleDesc desc)
{
	if (!row_schema_hash(RowShapeCrypto(), RowShapeNames(self, desc), self->columns, self->schema))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a column of a shared table, or its type, has too long a name")));
}

/* ---------------------------------------------------------------------
 * Making one
 * --------------------------------------------------------------------- */

static RowKeyKind
kind_of_key(Oid type)
{
	switch (type)
	{
		case INT2OID:
			return ROW_KEY_INT2;
		case INT4OID:
			return ROW_KEY_INT4;
		case INT8OID:
			return ROW_KEY_INT8;
		case UUIDOID:
			return ROW_KEY_UUID;
		default:
			return ROW_KEY_BYTES;
	}
}

static void
find_key(RowShape *self, Relation rel)
{
	Relation	index;

	self->key_index = VecdbPrimaryKeyIndex(rel);
	index = index_open(self->key_index, AccessShareLock);
	self->key_columns = index->rd_index->indnkeyatts;
	for (int i = 0; i < self->key_columns; i++)
	{
		Oid			type = TupleDescAttr(RelationGetDescr(rel), index->rd_index->indkey.values[i] - 1)->atttypid;

		self->key[i] = index->rd_index->indkey.values[i];
		self->kind[i] = kind_of_key(type);
		self->key_text[i] = type == TEXTOID || type == VARCHAROID;
	}
	index_close(index, AccessShareLock);
}

static void
find_columns(RowShape *self, TupleDesc desc)
{
	RowVectorTypes vectors = RowVectorTypesHere();

	self->attributes = desc->natts;
	self->column = palloc0(sizeof(ShapeColumn) * (Size) desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		ShapeColumn *column = &self->column[self->columns];
		RowType		type;

		if (attribute->attisdropped || attribute->attgenerated != '\0')
			continue;
		type = RowTypeOf(attribute->atttypid, &vectors);
		column->number = attribute->attnum;
		column->vector = RowIsVector(type);
		RowCodecInit(&column->codec, type, attribute->atttypmod, self->context);
		self->columns++;
		self->vectors += column->vector ? 1 : 0;
	}
	self->vector = palloc(sizeof(RowBytes) * (Size) Max(self->vectors, 1));
}

RowShape *
RowShapeOf(Relation rel)
{
	RowShape   *self = palloc0(sizeof(RowShape));
	List	   *problems;
	MemoryContext outer;

	self->context = CurrentMemoryContext;
	self->scratch = AllocSetContextCreate(CurrentMemoryContext, "vecdb row", ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(self->scratch);
	problems = RowShapeProblems(rel);
	if (problems != NIL)
	{
		RowProblem *first = linitial(problems);

		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s", first->what),
				 errdetail("So it cannot be shared."),
				 errhint("%s", first->hint)));
	}
	MemoryContextSwitchTo(outer);
	find_key(self, rel);
	find_columns(self, RelationGetDescr(rel));
	initStringInfo(&self->content);
	MemoryContextSwitchTo(self->scratch);
	hash_schema(self, RelationGetDescr(rel));
	MemoryContextSwitchTo(outer);
	MemoryContextReset(self->scratch);
	return self;
}

const uint8 *
RowShapeSchema(const RowShape *self)
{
	return self->schema;
}

Oid
RowShapeKeyIndex(const RowShape *self)
{
	return self->key_index;
}

int
RowShapeKeyColumns(const RowShape *self)
{
	return self->key_columns;
}

AttrNumber
RowShapeKeyColumn(const RowShape *self, int i)
{
	Assert(i >= 0 && i < self->key_columns);
	return self->key[i];
}

bool
RowShapeHasVectors(const RowShape *self)
{
	return self->vectors > 0;
}

int
RowShapeColumns(const RowShape *self)
{
	return self->columns;
}

int
RowShapeColumn(const RowShape *self, AttrNumber number)
{
	for (int i = 0; i < self->columns; i++)
		if (self->column[i].number == number)
			return i;
	return -1;
}

/* ---------------------------------------------------------------------
 * Calls: what was left by an error goes first
 * --------------------------------------------------------------------- */

static MemoryContext
enter(RowShape *self)
{
	MemoryContextReset(self->scratch);
	return MemoryContextSwitchTo(self->scratch);
}

static void
leave(RowShape *self, MemoryContext outer)
{
	MemoryContextSwitchTo(outer);
	MemoryContextReset(self->scratch);
	if (self->content.maxlen > KEPT_BYTES)
	{
		pfree(self->content.data);
		outer = MemoryContextSwitchTo(self->context);
		initStringInfo(&self->content);
		MemoryContextSwitchTo(outer);
	}
}

static void
check_slot(const RowShape *self, const TupleTableSlot *row)
{
	if (row->tts_tupleDescriptor->natts != self->attributes)
		elog(ERROR, "a row has %d columns, its table had %d", row->tts_tupleDescriptor->natts, self->attributes);
}

/* ---------------------------------------------------------------------
 * Keys
 * --------------------------------------------------------------------- */

/* Text of a key as UTF-8.  Where several texts of this database's encoding become one, they would be one row. */
static RowBytes
key_text(const char *text, int len)
{
	RowBytes	utf8 = RowTextToUtf8(text, len);

	if ((const char *) utf8.at != text)
	{
		int			back_len;
		char	   *back = RowTextFromUtf8(utf8, &back_len);

		if (back == NULL || back_len != len || memcmp(back, text, (size_t) len) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
					 errmsg("the key of a row of a shared table has characters that UTF8 has in another form")));
	}
	return utf8;
}

static RowKeyPart
key_part(const RowShape *self, int i, Datum value)
{
	switch (self->kind[i])
	{
		case ROW_KEY_INT2:
			return (RowKeyPart) {.number = DatumGetInt16(value)};
		case ROW_KEY_INT4:
			return (RowKeyPart) {.number = DatumGetInt32(value)};
		case ROW_KEY_INT8:
			return (RowKeyPart) {.number = DatumGetInt64(value)};
		case ROW_KEY_UUID:
			return (RowKeyPart) {.bytes = {.at = DatumGetUUIDP(value)->data, .len = UUID_LEN}};
		default:
			{
				struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

				if (self->key_text[i])
					return (RowKeyPart) {.bytes = key_text(VARDATA_ANY(bytes), (int) VARSIZE_ANY_EXHDR(bytes))};
				return (RowKeyPart) {.bytes = {.at = (const uint8 *) VARDATA_ANY(bytes), .len = VARSIZE_ANY_EXHDR(bytes)}};
			}
	}
}

size_t
RowShapeKey(RowShape *self, TupleTableSlot *row, uint8 key[ROW_KEY_MAX])
{
	MemoryContext outer = enter(self);
	RowKeyPart	part[ROW_KEY_COLUMNS];
	size_t		len;
	bool		fits;

	check_slot(self, row);
	for (int i = 0; i < self->key_columns; i++)
	{
		bool		null;
		Datum		value = slot_getattr(row, self->key[i], &null);

		if (null)
			elog(ERROR, "the primary key of a row has a null");
		part[i] = key_part(self, i, value);
	}
	fits = row_key_encode(self->kind, part, self->key_columns, key, &len);
	if (!fits || len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 fits ? errmsg("the key of a row of a shared table is empty")
				 : errmsg("the key of a row of a shared table is longer than %d bytes", ROW_KEY_MAX)));
	leave(self, outer);
	return len;
}

static bool
key_value(const RowShape *self, int i, const RowKeyPart *part, Datum *value)
{
	switch (self->kind[i])
	{
		case ROW_KEY_INT2:
			*value = Int16GetDatum((int16) part->number);
			return true;
		case ROW_KEY_INT4:
			*value = Int32GetDatum((int32) part->number);
			return true;
		case ROW_KEY_INT8:
			*value = Int64GetDatum(part->number);
			return true;
		case ROW_KEY_UUID:
			{
				pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

				memcpy(uuid->data, part->bytes.at, UUID_LEN);
				*value = UUIDPGetDatum(uuid);
				return true;
			}
		default:
			{
				int			len = (int) part->bytes.len;
				const char *bytes = (const char *) part->bytes.at;

				if (self->key_text[i])
					bytes = RowTextFromUtf8(part->bytes, &len);
				if (bytes == NULL)
					return false;
				*value = PointerGetDatum(cstring_to_text_with_len(bytes, len));
				return true;
			}
	}
}

bool
RowShapeKeyValues(RowShape *self, RowBytes key, Datum *values)
{
	RowKeyPart	part[ROW_KEY_COLUMNS];
	uint8		room[ROW_KEY_MAX];

	if (!row_key_decode(self->kind, self->key_columns, key, part, room))
		return false;
	for (int i = 0; i < self->key_columns; i++)
	{
		if (!key_value(self, i, &part[i], &values[i]))
			return false;
	}
	return true;
}

/* ---------------------------------------------------------------------
 * Content
 * --------------------------------------------------------------------- */

/* A value with its length.  In the scratch context. */
static void
append_value(RowShape *self, ShapeColumn *column, Datum value, StringInfo out)
{
	int			start = out->len;

	RowAppendLength(out, 0);
	RowCodecEncode(&column->codec, value, out);
	bytes_store((uint8 *) out->data + start, 4, (uint32) (out->len - start - 4));
	MemoryContextReset(self->scratch);
}

void
RowShapeValue(RowShape *self, int column, Datum value, StringInfo out)
{
	MemoryContext outer = enter(self);

	append_value(self, &self->column[column], value, out);
	leave(self, outer);
}

static void
append_content(RowShape *self, TupleTableSlot *row, bool thin, StringInfo out)
{
	static const char none[2];
	int			start = out->len;
	int			end = start + (int) sizeof none;
	int			values = 0;

	check_slot(self, row);
	appendBinaryStringInfo(out, none, sizeof none);
	for (int i = 0; i < self->columns; i++)
	{
		ShapeColumn *column = &self->column[i];
		bool		null;
		Datum		value = slot_getattr(row, column->number, &null);

		if (null)
		{
			RowAppendLength(out, ROW_VALUE_NULL);
			continue;
		}
		if (thin && column->vector)
			RowAppendLength(out, ROW_VALUE_LEFT_OUT);
		else
			append_value(self, column, value, out);
		end = out->len;
		values = i + 1;
	}
	/* nulls behind the last value are left out */
	out->len = end;
	out->data[end] = '\0';
	bytes_store((uint8 *) out->data + start, 2, (uint64) values);
}

void
RowShapeContent(RowShape *self, TupleTableSlot *row, bool thin, StringInfo out)
{
	MemoryContext outer = enter(self);

	append_content(self, row, thin, out);
	leave(self, outer);
}

/* Of whole content.  False: it is none of these columns, or not whole. */
static bool
hash_content(RowShape *self, RowBytes content, uint8 hash[ROW_HASH], uint8 vector_hash[ROW_HASH])
{
	RowContentReader reader;
	RowValue	value;
	uint8		hashes[2][CORE_HASH_BYTES];
	int			vectors = 0;
	int			hashed = 0;		/* nulls behind the last vector are left out, too */

	if (!row_content_begin(&reader, content, self->columns))
		return false;
	for (int i = 0; i < self->columns; i++)
	{
		if (!row_content_next(&reader, false, &value))
			return false;
		if (!self->column[i].vector)
			continue;
		self->vector[vectors++] = value.whole;
		if (value.length != ROW_VALUE_NULL)
			hashed = vectors;
	}
	if (!row_content_ended(&reader))
		return false;
	sha256_of((Hashed[]) {{.part = &content, .n = 1}, {.part = self->vector, .n = hashed}}, 2, hashes);
	memcpy(hash, hashes[0], ROW_HASH);
	memcpy(vector_hash, hashes[1], ROW_HASH);
	return true;
}

size_t
RowShapeHashes(RowShape *self, TupleTableSlot *row, uint8 hash[ROW_HASH], uint8 vector_hash[ROW_HASH])
{
	MemoryContext outer = enter(self);
	size_t		len;

	resetStringInfo(&self->content);
	append_content(self, row, false, &self->content);
	if (!hash_content(self, (RowBytes) {.at = (const uint8 *) self->content.data, .len = (size_t) self->content.len}, hash, vector_hash))
		elog(ERROR, "the content of a row is not what it was made as");
	len = (size_t) self->content.len;
	leave(self, outer);
	return len;
}

/* Whole content.  In the scratch context. */
static bool
complete(RowShape *self, RowBytes content, TupleTableSlot *here, StringInfo out)
{
	RowContentReader reader;
	RowValue	value;

	if (here != NULL)
		check_slot(self, here);
	if (content.len > MaxAllocSize || !row_content_begin(&reader, content, self->columns))
		return false;
	appendBinaryStringInfo(out, (const char *) content.at, 2);
	for (int i = 0; i < self->columns; i++)
	{
		ShapeColumn *column = &self->column[i];
		Datum		vector;
		bool		null;

		if (!row_content_next(&reader, column->vector, &value))
			return false;
		if (value.length != ROW_VALUE_LEFT_OUT)
		{
			if (value.whole.len > 0)
				appendBinaryStringInfo(out, (const char *) value.whole.at, (int) value.whole.len);
			continue;
		}
		if (here == NULL)
			return false;
		vector = slot_getattr(here, column->number, &null);
		if (null)
			return false;
		append_value(self, column, vector, out);
	}
	return row_content_ended(&reader);
}

bool
RowShapeComplete(RowShape *self, RowBytes content, TupleTableSlot *here, StringInfo out)
{
	MemoryContext outer = enter(self);
	int			before = out->len;
	bool		done = complete(self, content, here, out);

	if (!done)
	{
		out->len = before;
		out->data[before] = '\0';
	}
	leave(self, outer);
	return done;
}

bool
RowShapeContentHashes(RowShape *self, RowBytes content, TupleTableSlot *here, uint8 hash[ROW_HASH], uint8 vector_hash[ROW_HASH])
{
	MemoryContext outer;
	bool		done;

	if (hash_content(self, content, hash, vector_hash))
		return true;
	/* only thin content is worth a second look */
	if (self->vectors == 0 || here == NULL)
		return false;
	outer = enter(self);
	resetStringInfo(&self->content);
	done = complete(self, content, here, &self->content) &&
		hash_content(self, (RowBytes) {.at = (const uint8 *) self->content.data, .len = (size_t) self->content.len}, hash, vector_hash);
	leave(self, outer);
	return done;
}

/* ---------------------------------------------------------------------
 * Rows of others
 * --------------------------------------------------------------------- */

static void pg_attribute_noreturn()
bad_content(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("a row of another node is malformed")));
}

static void
fill_values(RowShape *self, RowBytes content, TupleTableSlot *here, TupleTableSlot *out)
{
	RowContentReader reader;
	RowValue	value;

	if (!row_content_begin(&reader, content, self->columns))
		bad_content();
	for (int i = 0; i < self->columns; i++)
	{
		ShapeColumn *column = &self->column[i];
		int			at = column->number - 1;

		if (!row_content_next(&reader, column->vector, &value))
			bad_content();
		if (value.length >= 0)
		{
			out->tts_values[at] = RowCodecDecode(&column->codec, value.bytes);
			out->tts_isnull[at] = false;
		}
		else if (value.length == ROW_VALUE_LEFT_OUT)
		{
			if (here == NULL)
				bad_content();
			/* as it is stored, so that what is in TOAST is kept by an update */
			out->tts_values[at] = slot_getattr(here, column->number, &out->tts_isnull[at]);
			if (out->tts_isnull[at])
				bad_content();
		}
	}
	if (!row_content_ended(&reader))
		bad_content();
	for (int i = 0; i < self->key_columns; i++)
	{
		if (out->tts_isnull[self->key[i] - 1])
			bad_content();
	}
}

void
RowShapeFill(RowShape *self, RowBytes content, RowBytes key, TupleTableSlot *here, TupleTableSlot *out)
{
	MemoryContext outer = enter(self);
	uint8		filled[ROW_KEY_MAX];
	size_t		len;

	Assert(here != out);
	check_slot(self, out);
	if (here != NULL)
		check_slot(self, here);
	ExecClearTuple(out);
	for (int i = 0; i < self->attributes; i++)
	{
		out->tts_values[i] = (Datum) 0;
		out->tts_isnull[i] = true;
	}
	fill_values(self, content, here, out);
	ExecStoreVirtualTuple(out);
	ExecMaterializeSlot(out);
	leave(self, outer);

	len = RowShapeKey(self, out, filled);
	if (len != key.len || memcmp(filled, key.at, len) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("a row of another node has another key than it was sent with")));
}
