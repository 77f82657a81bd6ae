/*
 * rest_value.c
 *	  Values as JSON and as CSV, within the limit of an answer.
 *
 * PostgreSQL's to_json() makes a value's text whole before anybody can look at its
 * size.  Here arrays and composite values are taken apart, and each piece is written
 * as its type has it.
 */
#include "http/rest/rest.h"

#include <math.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "http/api_statement.h"
#include "http/body.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/multirangetypes.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

static char *
text_of(Datum value, Oid type)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

static void
put_text_of(StringInfo body, Datum value, Oid type, bool quoted)
{
	char	   *text = text_of(value, type);

	if (quoted)
		BodyName(body, text);
	else
		BodyText(body, text);
	pfree(text);
}

/* Text of a multirange, each of whose bounds may be much longer than it is stored. */
static void
multirange_text(StringInfo text, Datum value, Oid type)
{
	TypeCacheEntry *range = lookup_type_cache(type, TYPECACHE_MULTIRANGE_INFO)->rngtype;
	RangeType **ranges;
	int32		n;

	multirange_deserialize(range, DatumGetMultirangeTypeP(value), &n, &ranges);
	BodyText(text, "{");
	for (int i = 0; i < n; i++)
	{
		char	   *one = text_of(RangeTypePGetDatum(ranges[i]), range->type_id);

		CHECK_FOR_INTERRUPTS();
		BodyText(text, i > 0 ? "," : "");
		BodyText(text, one);
		pfree(one);
	}
	BodyText(text, "}");
}

static void
put_array(StringInfo body, const RestFormat *format, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	int			ndim = ARR_NDIM(array);
	ArrayIterator it;
	Datum		element;
	bool		isnull;

	if (ArrayGetNItems(ndim, ARR_DIMS(array)) == 0)
	{
		BodyText(body, "[]");
		return;
	}
	it = array_create_iterator(array, 0, NULL);
	for (int i = 0; array_iterate(it, &element, &isnull); i++)
	{
		int			inner = 1;

		CHECK_FOR_INTERRUPTS();
		BodyText(body, i > 0 ? "," : "");
		/* A bracket for each dimension that begins here, and below for each that ends. */
		for (int d = ndim - 1; d >= 0; d--)
		{
			inner *= ARR_DIMS(array)[d];
			if (i % inner == 0)
				BodyText(body, "[");
		}
		if (isnull)
			BodyText(body, "null");
		else
			RestPutValue(body, format, element, ARR_ELEMTYPE(array));
		inner = 1;
		for (int d = ndim - 1; d >= 0; d--)
		{
			inner *= ARR_DIMS(array)[d];
			if ((i + 1) % inner == 0)
				BodyText(body, "]");
		}
	}
	array_free_iterator(it);
}

static void
put_composite(StringInfo body, const RestFormat *format, Datum value)
{
	HeapTupleHeader row = DatumGetHeapTupleHeader(value);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row),.t_data = row};
	bool		first = true;

	BodyText(body, "{");
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		bool		isnull;
		Datum		member;

		if (att->attisdropped)
			continue;
		member = heap_getattr(&tuple, i + 1, desc, &isnull);
		BodyText(body, first ? "" : ",");
		first = false;
		BodyName(body, NameStr(att->attname));
		BodyText(body, ":");
		if (isnull)
			BodyText(body, "null");
		else
			RestPutValue(body, format, member, att->atttypid);
	}
	BodyText(body, "}");
	ReleaseTupleDesc(desc);
}

static void
put_numeric(StringInfo body, Datum value)
{
	Numeric		number = DatumGetNumeric(value);

	if (numeric_is_nan(number) || numeric_is_inf(number))
		put_text_of(body, value, NUMERICOID, true);
	else
		BodyNumeric(body, value);
}

static void
put_time(StringInfo body, Datum value, Oid type)
{
	char		text[MAXDATELEN + 1];

	JsonEncodeDateTime(text, value, type, NULL);
	BodyName(body, text);
}

/* Text of JSON as it was stored: it has been checked then. */
static void
put_json(StringInfo body, Datum value)
{
	text	   *json;

	BodyExpect(body, toast_raw_datum_size(value) - VARHDRSZ);
	json = DatumGetTextPP(value);
	BodyBytes(body, VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json));
}

void
RestPutValue(StringInfo body, const RestFormat *format, Datum value, Oid type)
{
	check_stack_depth();
	type = getBaseType(type);
	switch (type)
	{
		case BOOLOID:
			BodyText(body, DatumGetBool(value) ? "true" : "false");
			return;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			put_text_of(body, value, type, false);
			return;
		case FLOAT4OID:
			put_text_of(body, value, type, !isfinite(DatumGetFloat4(value)));
			return;
		case FLOAT8OID:
			put_text_of(body, value, type, !isfinite(DatumGetFloat8(value)));
			return;
		case NUMERICOID:
			put_numeric(body, value);
			return;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			BodyTextDatum(body, value);
			return;
		case JSONOID:
			put_json(body, value);
			return;
		case JSONBOID:
			BodyJsonb(body, value);
			return;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			put_time(body, value, type);
			return;
	}
	if (OidIsValid(get_element_type(type)))
		put_array(body, format, value);
	else if (get_typtype(type) == TYPTYPE_COMPOSITE || type == RECORDOID)
		put_composite(body, format, value);
	else if (get_typtype(type) == TYPTYPE_MULTIRANGE)
	{
		StringInfoData text;

		initStringInfo(&text);
		multirange_text(&text, value, type);
		BodyString(body, text.data, text.len);
		pfree(text.data);
	}
	else
	{
		RestVectorKind kind = format->vectors_as_text ? REST_NO_VECTOR : RestVectorOf(type);

		if (kind != REST_SPARSE || !RestPutSparse(body, value))
			put_text_of(body, value, type, kind != REST_DENSE);
	}
}

/* ---------------------------------------------------------------------------
 * CSV (RFC 4180)
 */

void
RestPutCsvText(StringInfo body, const char *text, Size len)
{
	bool		quoted = len == 0;
	Size		run = 0;

	for (Size i = 0; i < len && !quoted; i++)
		quoted = strchr(",\"\r\n", text[i]) != NULL || (text[i] == ' ' && (i == 0 || i == len - 1));
	if (!quoted)
	{
		BodyBytes(body, text, len);
		return;
	}
	BodyText(body, "\"");
	for (Size i = 0; i < len; i++)
	{
		if (text[i] == '"')
		{
			BodyBytes(body, text + run, i + 1 - run);
			run = i;
		}
		if (i % 65536 == 0)
			CHECK_FOR_INTERRUPTS();
	}
	BodyBytes(body, text + run, len - run);
	BodyText(body, "\"");
}

/* Arrays and composite values as JSON; what JSON has as a string, and boolean values, as PostgreSQL's text. */
void
RestPutCsvValue(StringInfo body, const RestFormat *format, Datum value, Oid type)
{
	StringInfoData text;

	type = getBaseType(type);
	if (get_typtype(type) == TYPTYPE_MULTIRANGE)
	{
		initStringInfo(&text);
		multirange_text(&text, value, type);
		RestPutCsvText(body, text.data, text.len);
		pfree(text.data);
	}
	else if (type == JSONBOID || type == JSONOID || type == NUMERICOID || OidIsValid(get_element_type(type)) ||
		get_typtype(type) == TYPTYPE_COMPOSITE || type == RECORDOID)
	{
		initStringInfo(&text);
		RestPutValue(&text, format, value, type);
		RestPutCsvText(body, text.data, text.len);
		pfree(text.data);
	}
	else
	{
		char	   *plain;

		if (get_typlen(type) == -1)
			BodyExpect(body, toast_raw_datum_size(value) / 8);
		plain = text_of(value, type);
		RestPutCsvText(body, plain, strlen(plain));
		pfree(plain);
	}
}
