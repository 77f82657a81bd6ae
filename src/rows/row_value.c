/*
 * row_value.c
 *	  One value of a column as bytes that are the same on every node.
 *
 * Bytes that come from other nodes are read here.  Input functions of PostgreSQL check
 * what they read, but some allocate by a count before they look whether so much is there:
 * that is compared first.  After a value was read it is written again and compared, so a
 * row has the hash that its content had.
 */
#include "rows/row_value.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "collection/collection.h"
#include "core/rows/content.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static const struct
{
	Oid			type;
	RowForm		form;
}			known[] = {
	{BOOLOID, ROW_FORM_BINARY},
	{BYTEAOID, ROW_FORM_BINARY},
	{CHAROID, ROW_FORM_BINARY},
	{INT2OID, ROW_FORM_BINARY},
	{INT4OID, ROW_FORM_BINARY},
	{INT8OID, ROW_FORM_BINARY},
	{FLOAT4OID, ROW_FORM_BINARY},
	{FLOAT8OID, ROW_FORM_BINARY},
	{NUMERICOID, ROW_FORM_BINARY},
	{CASHOID, ROW_FORM_BINARY},
	{UUIDOID, ROW_FORM_BINARY},
	{DATEOID, ROW_FORM_BINARY},
	{TIMEOID, ROW_FORM_BINARY},
	{TIMETZOID, ROW_FORM_BINARY},
	{TIMESTAMPOID, ROW_FORM_BINARY},
	{TIMESTAMPTZOID, ROW_FORM_BINARY},
	{INTERVALOID, ROW_FORM_BINARY},
	{BITOID, ROW_FORM_BINARY},
	{VARBITOID, ROW_FORM_BINARY},
	{INETOID, ROW_FORM_BINARY},
	{CIDROID, ROW_FORM_BINARY},
	{MACADDROID, ROW_FORM_BINARY},
	{MACADDR8OID, ROW_FORM_BINARY},
	{POINTOID, ROW_FORM_BINARY},
	{LSEGOID, ROW_FORM_BINARY},
	{PATHOID, ROW_FORM_BINARY},
	{BOXOID, ROW_FORM_BINARY},
	{POLYGONOID, ROW_FORM_BINARY},
	{LINEOID, ROW_FORM_BINARY},
	{CIRCLEOID, ROW_FORM_BINARY},
	{INT4RANGEOID, ROW_FORM_BINARY},
	{INT8RANGEOID, ROW_FORM_BINARY},
	{NUMRANGEOID, ROW_FORM_BINARY},
	{TSRANGEOID, ROW_FORM_BINARY},
	{TSTZRANGEOID, ROW_FORM_BINARY},
	{DATERANGEOID, ROW_FORM_BINARY},
	{INT4MULTIRANGEOID, ROW_FORM_BINARY},
	{INT8MULTIRANGEOID, ROW_FORM_BINARY},
	{NUMMULTIRANGEOID, ROW_FORM_BINARY},
	{TSMULTIRANGEOID, ROW_FORM_BINARY},
	{TSTZMULTIRANGEOID, ROW_FORM_BINARY},
	{DATEMULTIRANGEOID, ROW_FORM_BINARY},
	{TEXTOID, ROW_FORM_TEXT},
	{VARCHAROID, ROW_FORM_TEXT},
	{BPCHAROID, ROW_FORM_TEXT},
	{JSONOID, ROW_FORM_TEXT},
	{XMLOID, ROW_FORM_XML},
	{NAMEOID, ROW_FORM_NAME},
	{JSONBOID, ROW_FORM_JSONB},
	{JSONPATHOID, ROW_FORM_OUTPUT},
	{TSQUERYOID, ROW_FORM_OUTPUT},
	{TSVECTOROID, ROW_FORM_OUTPUT},
};

/* ---------------------------------------------------------------------
 * Types
 * --------------------------------------------------------------------- */

RowVectorTypes
RowVectorTypesHere(void)
{
	Oid			home = get_namespace_oid(CollectionHome(), false);

	return (RowVectorTypes)
	{
		.vector = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("vector"), ObjectIdGetDatum(home)),
		.halfvec = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("halfvec"), ObjectIdGetDatum(home)),
		.sparsevec = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("sparsevec"), ObjectIdGetDatum(home)),
	};
}

/* Of a type that is no array. */
static RowForm
form_of(Oid type, const RowVectorTypes *vectors)
{
	for (int i = 0; i < lengthof(known); i++)
	{
		if (known[i].type == type)
			return known[i].form;
	}
	if (type == vectors->vector)
		return ROW_FORM_VECTOR;
	if (type == vectors->halfvec || type == vectors->sparsevec)
		return ROW_FORM_OTHER_VECTOR;
	return get_typtype(type) == TYPTYPE_ENUM ? ROW_FORM_OUTPUT : ROW_FORM_NONE;
}

RowType
RowTypeOf(Oid type, const RowVectorTypes *vectors)
{
	RowType		result = {.type = type, .form = form_of(type, vectors)};

	if (result.form == ROW_FORM_NONE && get_typtype(type) == TYPTYPE_BASE)
	{
		Oid			element = get_base_element_type(type);

		/* oidvector and int2vector have elements too, but are no arrays of the ordinary kind */
		if (OidIsValid(element) && get_array_type(element) == type)
		{
			result = (RowType) {.type = element, .form = form_of(element, vectors), .array = true};
			if (RowIsVector(result))
				result.form = ROW_FORM_NONE;
		}
	}
	return result;
}

void
RowCodecInit(RowCodec *self, RowType type, int32 typmod, MemoryContext context)
{
	bool		binary = type.form == ROW_FORM_BINARY || RowIsVector(type);
	Oid			output;
	Oid			input;
	bool		varlena;

	Assert(type.form != ROW_FORM_NONE);
	*self = (RowCodec) {.type = type, .typmod = typmod};
	get_typlenbyvalalign(type.type, &self->length, &self->by_value, &self->align);
	if (binary)
	{
		getTypeBinaryOutputInfo(type.type, &output, &varlena);
		getTypeBinaryInputInfo(type.type, &input, &self->io_param);
	}
	else
	{
		getTypeOutputInfo(type.type, &output, &varlena);
		getTypeInputInfo(type.type, &input, &self->io_param);
	}
	fmgr_info_cxt(output, &self->output, context);
	fmgr_info_cxt(input, &self->input, context);
}

/* ---------------------------------------------------------------------
 * Text
 * --------------------------------------------------------------------- */

RowBytes
RowTextToUtf8(const char *text, int len)
{
	char	   *utf8 = pg_server_to_any(text, len, PG_UTF8);

	return (RowBytes) {.at = (const uint8 *) utf8, .len = utf8 == text ? (size_t) len : strlen(utf8)};
}

char *
RowTextFromUtf8(RowBytes bytes, int *len)
{
	int			encoding = GetDatabaseEncoding();
	Size		room = (Size) bytes.len * MAX_CONVERSION_GROWTH + 1;
	char	   *text;
	Oid			conversion;

	if (!pg_verify_mbstr(PG_UTF8, (const char *) bytes.at, (int) bytes.len, true))
		return NULL;
	*len = (int) bytes.len;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || bytes.len == 0)
	{
		text = palloc(bytes.len + 1);
		if (bytes.len > 0)
			memcpy(text, bytes.at, bytes.len);
		text[bytes.len] = '\0';
		return text;
	}
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
		return NULL;
	text = MemoryContextAllocHuge(CurrentMemoryContext, room);
	if (pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding, unconstify(unsigned char *, bytes.at), *len,
									  (unsigned char *) text, (int) Min(room, INT_MAX), true) != *len)
		return NULL;
	*len = (int) strlen(text);
	return text;
}

static void
append_utf8(StringInfo out, const char *text, int len)
{
	RowBytes	utf8 = RowTextToUtf8(text, len);

	appendBinaryStringInfo(out, (const char *) utf8.at, (int) utf8.len);
	if ((const char *) utf8.at != text)
		pfree(unconstify(uint8 *, utf8.at));
}

/* The same jsonb as it would be in a database of UTF-8: strings in it, and so the order of keys. */
static Jsonb *
jsonb_in_utf8(Jsonb *jsonb)
{
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	VecdbJsonbState state = {0};
	JsonbValue	value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		bool		scalar = token == WJB_BEGIN_ARRAY && value.val.array.rawScalar;

		if (token < WJB_BEGIN_ARRAY && value.type == jbvString)
		{
			RowBytes	utf8 = RowTextToUtf8(value.val.string.val, value.val.string.len);

			value.val.string.val = (char *) unconstify(uint8 *, utf8.at);
			value.val.string.len = (int) utf8.len;
		}
		VecdbPushJsonb(&state, token, token < WJB_BEGIN_ARRAY || scalar ? &value : NULL);
	}
	return JsonbValueToJsonb(state.result);
}

static void
append_jsonb(StringInfo out, Jsonb *jsonb)
{
	int			encoding = GetDatabaseEncoding();
	int			start = out->len;

	if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII)
		jsonb = jsonb_in_utf8(jsonb);
	JsonbToCString(out, &jsonb->root, VARSIZE(jsonb));
	if (encoding == PG_SQL_ASCII)
		pg_verify_mbstr(PG_UTF8, out->data + start, out->len - start, false);
}

/* ---------------------------------------------------------------------
 * Writing
 * --------------------------------------------------------------------- */

void
RowAppendLength(StringInfo out, int32 length)
{
	uint8		bytes[4];

	bytes_store(bytes, 4, (uint32) length);
	appendBinaryStringInfo(out, (const char *) bytes, 4);
}

/* What vector_send() gives, several times as fast: most of what travels is this. */
static void
append_vector(StringInfo out, const Vector *vector)
{
	char	   *at;

	enlargeStringInfo(out, 4 + 4 * vector->dim);
	pq_writeint16(out, (uint16) vector->dim);
	pq_writeint16(out, 0);
	at = out->data + out->len;
	for (int i = 0; i < vector->dim; i++)
	{
		uint32		bits;

		memcpy(&bits, &vector->x[i], 4);
		bits = pg_hton32(bits);
		memcpy(at + 4 * i, &bits, 4);
	}
	out->len += 4 * vector->dim;
	out->data[out->len] = '\0';
}

static void
encode_one(RowCodec *self, Datum value, StringInfo out)
{
	switch (self->type.form)
	{
		case ROW_FORM_VECTOR:
			append_vector(out, DatumGetVector(value));
			break;
		case ROW_FORM_BINARY:
		case ROW_FORM_OTHER_VECTOR:
			{
				bytea	   *binary = SendFunctionCall(&self->output, value);

				appendBinaryStringInfo(out, VARDATA(binary), (int) (VARSIZE(binary) - VARHDRSZ));
				pfree(binary);
				break;
			}
		case ROW_FORM_TEXT:
		case ROW_FORM_XML:
			{
				struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

				append_utf8(out, VARDATA_ANY(text), (int) VARSIZE_ANY_EXHDR(text));
				if (text != (struct varlena *) DatumGetPointer(value))
					pfree(text);
				break;
			}
		case ROW_FORM_NAME:
			append_utf8(out, NameStr(*DatumGetName(value)), (int) strlen(NameStr(*DatumGetName(value))));
			break;
		case ROW_FORM_JSONB:
			append_jsonb(out, DatumGetJsonbP(value));
			break;
		case ROW_FORM_OUTPUT:
			{
				char	   *text = OutputFunctionCall(&self->output, value);

				append_utf8(out, text, (int) strlen(text));
				pfree(text);
				break;
			}
		case ROW_FORM_NONE:
			pg_unreachable();
	}
}

static void
encode_array(RowCodec *self, ArrayType *array, StringInfo out)
{
	int			dimensions = ARR_NDIM(array);
	Datum	   *element;
	bool	   *null;
	int			n;

	deconstruct_array(array, self->type.type, self->length, self->by_value, self->align, &element, &null, &n);
	if (n == 0)
		dimensions = 0;
	appendStringInfoChar(out, (char) dimensions);
	for (int i = 0; i < dimensions; i++)
	{
		RowAppendLength(out, ARR_DIMS(array)[i]);
		RowAppendLength(out, ARR_LBOUND(array)[i]);
	}
	for (int i = 0; i < n; i++)
	{
		int			start = out->len;

		CHECK_FOR_INTERRUPTS();
		RowAppendLength(out, ROW_VALUE_NULL);
		if (null[i])
			continue;
		encode_one(self, element[i], out);
		bytes_store((uint8 *) out->data + start, 4, (uint32) (out->len - start - 4));
	}
	pfree(element);
	pfree(null);
}

void
RowCodecEncode(RowCodec *self, Datum value, StringInfo out)
{
	if (self->type.array)
		encode_array(self, DatumGetArrayTypeP(value), out);
	else
		encode_one(self, value, out);
}

/* ---------------------------------------------------------------------
 * Reading
 * --------------------------------------------------------------------- */

static void pg_attribute_noreturn()
bad_value(const RowCodec *self)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
			 errmsg("a row of another node has a malformed value of type %s", format_type_be(self->type.type))));
}

/* Is there as much as the count says by which an input function allocates? */
static bool
count_fits(Oid type, RowBytes bytes)
{
	size_t		at = type == PATHOID ? 1 : 0;
	uint64		count = 0;

	if (type != PATHOID && type != POLYGONOID && type != BITOID && type != VARBITOID &&
		get_typtype(type) != TYPTYPE_MULTIRANGE)
		return true;
	if (bytes.len < at + 4)
		return false;
	for (size_t i = 0; i < 4; i++)
		count = count << 8 | bytes.at[at + i];
	bytes.len -= at + 4;
	switch (type)
	{
		case PATHOID:
		case POLYGONOID:
			return count <= bytes.len / 16;
		case BITOID:
		case VARBITOID:
			return count <= (uint64) bytes.len * 8;
		default:
			return count <= bytes.len / 4;
	}
}

static Datum
decode_binary(RowCodec *self, RowBytes bytes)
{
	StringInfoData message;
	Datum		value;

	if (!count_fits(self->type.type, bytes))
		bad_value(self);
	/* a copy, as there is a zero byte behind it, which input functions may rely on */
	initStringInfo(&message);
	appendBinaryStringInfo(&message, (const char *) bytes.at, (int) bytes.len);
	value = ReceiveFunctionCall(&self->input, &message, self->io_param, self->typmod);
	if (message.cursor != message.len)
		bad_value(self);
	pfree(message.data);
	return value;
}

static Datum
decode_one(RowCodec *self, RowBytes bytes)
{
	int			len;
	char	   *text;
	Datum		value;

	if (self->type.form == ROW_FORM_BINARY || RowIsVector(self->type))
		return decode_binary(self, bytes);
	text = RowTextFromUtf8(bytes, &len);
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("a row of another node has text that is no UTF-8, or that this database's encoding %s does not have",
						GetDatabaseEncodingName())));
	if (self->type.form == ROW_FORM_NAME && len >= NAMEDATALEN)
		bad_value(self);
	if (self->type.form == ROW_FORM_XML)
	{
		value = PointerGetDatum(cstring_to_text_with_len(text, len));
		/* whatever the setting xmloption is */
		if (!DatumGetBool(DirectFunctionCall1(xml_is_well_formed_content, value)))
			bad_value(self);
	}
	else
		value = InputFunctionCall(&self->input, text, self->io_param, self->typmod);
	pfree(text);
	return value;
}

static Datum
decode_array(RowCodec *self, RowBytes bytes)
{
	ByteReader	from = {.at = bytes.at, .left = bytes.len};
	int			dimensions = (int) bytes_take_uint(&from, 1);
	int			extent[MAXDIM];
	int			lower[MAXDIM];
	Datum	   *element;
	bool	   *null;
	int			n;
	Datum		array;

	if (from.failed || dimensions > MAXDIM)
		bad_value(self);
	for (int i = 0; i < dimensions; i++)
	{
		extent[i] = (int32) (uint32) bytes_take_uint(&from, 4);
		lower[i] = (int32) (uint32) bytes_take_uint(&from, 4);
		if (from.failed || extent[i] < 1)
			bad_value(self);
	}
	/* an error where it is too large */
	n = ArrayGetNItems(dimensions, extent);
	ArrayCheckBounds(dimensions, extent, lower);
	if ((size_t) n > from.left / 4)
		bad_value(self);
	element = palloc(sizeof(Datum) * (Size) Max(n, 1));
	null = palloc(sizeof(bool) * (Size) Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		int32		length = (int32) (uint32) bytes_take_uint(&from, 4);
		RowBytes	part = {.len = length > 0 ? (size_t) length : 0};

		CHECK_FOR_INTERRUPTS();
		part.at = bytes_take(&from, part.len);
		if (part.at == NULL || length < ROW_VALUE_NULL)
			bad_value(self);
		null[i] = length == ROW_VALUE_NULL;
		element[i] = null[i] ? (Datum) 0 : decode_one(self, part);
	}
	if (from.left > 0)
		bad_value(self);
	array = PointerGetDatum(construct_md_array(element, null, dimensions, extent, lower,
											   self->type.type, self->length, self->by_value, self->align));
	return array;
}

Datum
RowCodecDecode(RowCodec *self, RowBytes bytes)
{
	Datum		value = self->type.array ? decode_array(self, bytes) : decode_one(self, bytes);
	StringInfoData again;

	initStringInfo(&again);
	RowCodecEncode(self, value, &again);
	if ((size_t) again.len != bytes.len || memcmp(again.data, bytes.at, bytes.len) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("a row of another node has a value of type %s that is another one here", format_type_be(self->type.type))));
	pfree(again.data);
	return value;
}
