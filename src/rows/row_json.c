/*
 * row_json.c
 *	  Rows and keys of shared tables as jsonb.
 */
#include "rows/row_json.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "core/bytes.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "rows/row_key.h"
#include "rows/row_value.h"
#include "rows/version_table.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

bool
RowJsonMaySee(Oid table)
{
	return OidIsValid(VersionTableOf(table)) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table)) && VecdbOwnsRelation(table);
}

/* ---------------------------------------------------------------------------
 * Values
 */

/* Of a type of PostgreSQL's own, or an array of such: these have no cast that a user has made. */
static Datum
builtin_json(Oid type, Datum value)
{
	List	   *argument = list_make1(makeNullConst(type, -1, InvalidOid));
	FmgrInfo	function;

	fmgr_info(F_TO_JSONB, &function);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID, argument, InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL),
					   &function);
	return FunctionCall1(&function, value);
}

static Datum
as_text(Oid type, Datum value)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(output, value));
}

/* An array of text with the same extents */
static Datum
array_as_text(Oid type, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int16		length;
	bool		by_value;
	char		align;
	Datum	   *element;
	bool	   *null;
	int			n;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align, &element, &null, &n);
	for (int i = 0; i < n; i++)
		if (!null[i])
			element[i] = as_text(type, element[i]);
	return PointerGetDatum(construct_md_array(element, null, ARR_NDIM(array), ARR_DIMS(array), ARR_LBOUND(array),
											  TEXTOID, -1, false, TYPALIGN_INT));
}

/* plain: json as a string of it, since it may have what jsonb has not. */
static Datum
value_json(Form_pg_attribute attribute, Datum value, bool plain)
{
	RowVectorTypes vectors = RowVectorTypesHere();
	RowType		type = RowTypeOf(attribute->atttypid, &vectors);

	if (type.type < FirstNormalObjectId && !(plain && type.type == JSONOID))
		return builtin_json(attribute->atttypid, value);
	if (type.array)
		return builtin_json(TEXTARRAYOID, array_as_text(type.type, value));
	return builtin_json(TEXTOID, as_text(type.type, value));
}

static void
push_key(VecdbJsonbState *state, const char *name)
{
	JsonbValue	key = {.type = jbvString};

	key.val.string.val = pstrdup(name);
	key.val.string.len = (int) strlen(name);
	VecdbPushJsonb(state, WJB_KEY, &key);
}

static void
push_column(VecdbJsonbState *state, Form_pg_attribute attribute, Datum value, bool isnull, bool plain)
{
	JsonbValue	json = {.type = jbvNull};

	push_key(state, NameStr(attribute->attname));
	if (!isnull)
		JsonbToJsonbValue(DatumGetJsonbP(value_json(attribute, value, plain)), &json);
	VecdbPushJsonb(state, WJB_VALUE, &json);
}

/* ---------------------------------------------------------------------------
 * Rows
 */

/* What is to be shown, and of which table. */
typedef struct Shown
{
	Relation	rel;
	RowBytes	key;
	const RowBytes *content;
	TupleTableSlot *row;		/* where content is NULL; NULL, too: of the key alone */
	bool		plain;
} Shown;

static Datum
row_json(const Shown *this)
{
	TupleDesc	desc = RelationGetDescr(this->rel);
	RowShape   *shape = RowShapeOf(this->rel);
	TupleTableSlot *row = this->row;
	VecdbJsonbState state = {0};

	if (this->content)
	{
		row = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
		RowShapeFill(shape, *this->content, this->key, NULL, row);
	}
	VecdbPushJsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		bool		isnull;
		Datum		value;

		if (RowShapeColumn(shape, (AttrNumber) (i + 1)) < 0)
			continue;
		value = slot_getattr(row, i + 1, &isnull);
		push_column(&state, TupleDescAttr(desc, i), value, isnull, this->plain);
	}
	VecdbPushJsonb(&state, WJB_END_OBJECT, NULL);
	if (this->content)
		ExecDropSingleTupleTableSlot(row);
	return JsonbPGetDatum(JsonbValueToJsonb(state.result));
}

static Datum
key_json(const Shown *this)
{
	TupleDesc	desc = RelationGetDescr(this->rel);
	RowShape   *shape = RowShapeOf(this->rel);
	Datum		values[ROW_KEY_COLUMNS];
	VecdbJsonbState state = {0};

	if (!RowShapeKeyValues(shape, this->key, values))
		return (Datum) 0;
	VecdbPushJsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < RowShapeKeyColumns(shape); i++)
		push_column(&state, TupleDescAttr(desc, RowShapeKeyColumn(shape, i) - 1), values[i], false, this->plain);
	VecdbPushJsonb(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(state.result));
}

/* Is an error one of values, or of a table that has escaped?  Then another may be shown. */
static bool
is_of_data(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
			return true;
		default:
			return false;
	}
}

/* In a subtransaction; 0: it cannot be shown so. */
static Datum
try(Datum (*make) (const Shown *this), const Shown *this)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile Datum result = (Datum) 0;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		result = make(this);
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
		return result;
	if (!is_of_data(error))
		ReThrowError(error);
	FreeErrorData(error);
	return (Datum) 0;
}

static Datum
show(Datum (*make) (const Shown *this), Shown *this)
{
	Datum		result = try(make, this);

	if (result == (Datum) 0)
	{
		this->plain = true;
		result = try(make, this);
	}
	return result;
}

bool
RowJsonContent(Oid table, RowBytes key, RowBytes content, Datum *out)
{
	Shown		this = {.rel = try_relation_open(table, AccessShareLock), .key = key, .content = &content};

	if (this.rel == NULL)
		return false;
	*out = show(row_json, &this);
	relation_close(this.rel, AccessShareLock);
	return *out != (Datum) 0;
}


/* A copy of the row of the key, into the slot. */
static Datum
fetch(const Shown *this)
{
	RowShape   *shape = RowShapeOf(this->rel);
	RowKeyIndex index;
	bool		found;

	RowKeyOpen(&index, this->rel, shape, AccessShareLock);
	found = RowKeyFetch(&index, this->key, GetActiveSnapshot(), this->row);
	if (found)
		ExecMaterializeSlot(this->row);
	RowKeyClose(&index);
	return BoolGetDatum(found);
}

bool
RowJsonCurrent(Oid table, RowBytes key, Datum *out)
{
	Shown		this = {.rel = try_relation_open(table, AccessShareLock), .key = key};

	if (this.rel == NULL)
		return false;
	this.row = table_slot_create(this.rel, NULL);
	*out = DatumGetBool(try(fetch, &this)) ? show(row_json, &this) : (Datum) 0;
	ExecDropSingleTupleTableSlot(this.row);
	relation_close(this.rel, AccessShareLock);
	return *out != (Datum) 0;
}

Datum
RowJsonKey(Oid table, RowBytes key)
{
	Shown		this = {.rel = try_relation_open(table, AccessShareLock), .key = key};
	Datum		result = (Datum) 0;

	if (this.rel != NULL)
	{
		result = show(key_json, &this);
		relation_close(this.rel, AccessShareLock);
	}
	if (result == (Datum) 0)
	{
		char	   *text = palloc(2 * key.len + 3);

		text[0] = '\\';
		text[1] = 'x';
		(void) bytes_hex(key.at, key.len, text + 2);
		result = builtin_json(TEXTOID, CStringGetTextDatum(text));
	}
	return result;
}

/* ---------------------------------------------------------------------------
 * Keys that a user gives
 */

static void pg_attribute_noreturn()
not_a_key(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("this is no key of table \"%s\"", RelationGetRelationName(rel)),
			 errhint("A key is what the column key of vecdb.quarantine shows: an object of the primary key's columns.")));
}

static char *
scalar_text(Relation rel, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		default:
			not_a_key(rel);
	}
}

/* A string of its bytes */
static size_t
raw_key(Relation rel, Jsonb *json, uint8 *key)
{
	JsonbValue	value;
	bytea	   *bytes;
	char	   *text;

	if (!JsonbExtractScalar(&json->root, &value) || value.type != jbvString)
		not_a_key(rel);
	text = scalar_text(rel, &value);
	if (strncmp(text, "\\x", 2) != 0)
		not_a_key(rel);
	bytes = DatumGetByteaPP(DirectFunctionCall1(byteain, CStringGetDatum(text)));
	if (VARSIZE_ANY_EXHDR(bytes) == 0 || VARSIZE_ANY_EXHDR(bytes) > ROW_KEY_MAX)
		not_a_key(rel);
	memcpy(key, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	return VARSIZE_ANY_EXHDR(bytes);
}

size_t
RowJsonToKey(Relation rel, Jsonb *json, uint8 *key)
{
	TupleDesc	desc = RelationGetDescr(rel);
	RowShape   *shape = RowShapeOf(rel);
	TupleTableSlot *row;
	size_t		len;

	if (JB_ROOT_IS_SCALAR(json))
		return raw_key(rel, json, key);
	if (!JB_ROOT_IS_OBJECT(json) || JB_ROOT_COUNT(json) != (uint32) RowShapeKeyColumns(shape))
		not_a_key(rel);
	row = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	ExecClearTuple(row);
	memset(row->tts_isnull, true, sizeof(bool) * (size_t) desc->natts);
	for (int i = 0; i < RowShapeKeyColumns(shape); i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, RowShapeKeyColumn(shape, i) - 1);
		JsonbValue	room;
		JsonbValue *value = getKeyJsonValueFromContainer(&json->root, NameStr(attribute->attname),
														 (int) strlen(NameStr(attribute->attname)), &room);
		Oid			input;
		Oid			param;

		if (!value)
			not_a_key(rel);
		getTypeInputInfo(attribute->atttypid, &input, &param);
		row->tts_values[attribute->attnum - 1] = OidInputFunctionCall(input, scalar_text(rel, value), param, attribute->atttypmod);
		row->tts_isnull[attribute->attnum - 1] = false;
	}
	ExecStoreVirtualTuple(row);
	len = RowShapeKey(shape, row, key);
	ExecDropSingleTupleTableSlot(row);
	return len;
}
