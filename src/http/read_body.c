/*
 * read_body.c
 *	  Reading the JSON of a body.
 */
#include "http/read_body.h"

#include <math.h>

#include "guc.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

/* Most values in metadata or a filter: PostgreSQL sorts the keys of an object without a check for interrupts. */
#define MAX_JSON_VALUES		100000

void pg_attribute_noreturn()
ReadMalformed(const JsonReader *json)
{
	if (json->error_pos >= json->len)
		ApiRefuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "invalid JSON at its end, byte %zu: %s", json->error_pos + 1, json->error);
	if (json->too_deep)
		ApiRefuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "invalid JSON at byte %zu: %s, more than the %d levels of vecdb.http_max_depth",
				  json->error_pos + 1, json->error, json->max_depth);
	ApiRefuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "invalid JSON at byte %zu: %s", json->error_pos + 1, json->error);
}

const char *
ReadPlaceName(const ReadPlace *place, const char *field)
{
	if (!place || !place->array)
		return field;
	if (!field)
		return psprintf("%s[%d]", place->array, place->index);
	return psprintf("%s[%d].%s", place->array, place->index, field);
}

/* A text of the client, which has been checked to be UTF-8, in the database's encoding. */
static char *
to_server(char *text)
{
	int			encoding = GetDatabaseEncoding();

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return text;
	return pg_any_to_server(text, strlen(text), PG_UTF8);
}

/* The next value must be of this kind; null is as if it were not there. */
bool
ReadExpect(JsonReader *json, JsonKind kind, const ReadPlace *place, const char *field, const char *what)
{
	JsonKind	is = json_peek(json);
	JsonSpan	span;

	if (is == JSON_NULL || (is != kind && is != JSON_NONE))
	{
		if (!json_value(json, &span))
			ReadMalformed(json);
		if (is == JSON_NULL)
			return false;
		ApiWrongShape("%s must be %s, not %s", ReadPlaceName(place, field), what, json_kind_name(is));
	}
	if (is == JSON_NONE)
		ReadMalformed(json);
	return true;
}

char *
ReadString(JsonReader *json, JsonSpan span)
{
	char	   *text = palloc(span.len);

	if (json_string(json, span, text) < 0)
		ReadMalformed(json);
	return to_server(text);
}

char *
ReadText(JsonReader *json, const ReadPlace *place, const char *field)
{
	JsonSpan	span;

	if (!ReadExpect(json, JSON_STRING, place, field, "a string"))
		return NULL;
	if (!json_value(json, &span))
		ReadMalformed(json);
	return ReadString(json, span);
}

char *
ReadId(JsonReader *json, const ReadPlace *place, const char *field)
{
	JsonSpan	span;

	if (json_peek(json) != JSON_NUMBER)
		return ReadText(json, place, field);
	if (!json_value(json, &span))
		ReadMalformed(json);
	for (size_t i = 0; i < span.len; i++)
	{
		char		c = json->data[span.pos + i];

		if ((c < '0' || c > '9') && (c != '-' || i > 0))
			ApiWrongShape("%s must be a string or an integer written without fraction and exponent", ReadPlaceName(place, field));
	}
	return pnstrdup(json->data + span.pos, span.len);
}

bool
ReadDouble(JsonReader *json, const char *field, double *value)
{
	JsonSpan	span;

	if (!ReadExpect(json, JSON_NUMBER, NULL, field, "a number"))
		return false;
	if (!json_value(json, &span))
		ReadMalformed(json);
	*value = strtod(pnstrdup(json->data + span.pos, span.len), NULL);
	if (!isfinite(*value))
		ApiWrongShape("%s is out of range", field);
	return true;
}

bool
ReadInt(JsonReader *json, const char *field, int *value)
{
	double		number;

	if (!ReadDouble(json, field, &number))
		return false;
	if (number != floor(number) || number < PG_INT32_MIN || number > PG_INT32_MAX)
		ApiWrongShape("%s must be a whole number, not %g", field, number);
	*value = (int) number;
	return true;
}

bool
ReadBool(JsonReader *json, const char *field, bool *value)
{
	JsonKind	kind = json_peek(json);
	JsonSpan	span;

	if (!json_value(json, &span))
		ReadMalformed(json);
	if (kind == JSON_NULL)
		return false;
	if (kind != JSON_TRUE && kind != JSON_FALSE)
		ApiWrongShape("%s must be true or false, not %s", field, json_kind_name(kind));
	*value = kind == JSON_TRUE;
	return true;
}

/* Elements go from the text right into the value. */
Vector *
ReadVector(JsonReader *json, const ReadPlace *place, const char *field)
{
	size_t		bound;
	Vector	   *vector;
	int			n;

	if (!ReadExpect(json, JSON_ARRAY, place, field, "an array of numbers"))
		return NULL;
	bound = Min(json_floats_bound(json), VECTOR_MAX_DIM);
	vector = palloc0(VECTOR_SIZE(bound));
	switch (json_floats(json, vector->x, bound, &n))
	{
		case JSON_FLOATS_OK:
			break;
		case JSON_FLOATS_SYNTAX:
			ReadMalformed(json);
		case JSON_FLOATS_NOT_NUMBER:
			ApiWrongShape("%s[%d] must be a number, not %s", ReadPlaceName(place, field), n, json_kind_name(json_peek(json)));
		case JSON_FLOATS_NOT_FINITE:
			ApiWrongShape("%s[%d] is not a finite number", ReadPlaceName(place, field), n);
		case JSON_FLOATS_RANGE:
			ApiWrongShape("%s[%d] is out of range for single precision", ReadPlaceName(place, field), n);
		case JSON_FLOATS_TOO_MANY:
			ApiWrongShape("%s has more than %d dimensions", ReadPlaceName(place, field), VECTOR_MAX_DIM);
	}
	if (n == 0)
		ApiWrongShape("%s must have at least one element", ReadPlaceName(place, field));
	vector->dim = n;
	SET_VARSIZE(vector, VECTOR_SIZE(n));
	return vector;
}

/* Refuse what would become much larger when it is stored or shown: long numbers, and too many values. */
void
ReadCheckStored(JsonReader *json, const ReadPlace *place, const char *field)
{
	JsonSpan	number = json->long_number;
	const char *text = json->data + number.pos;

	if (number.len > 0)
	{
		ApiErrorStatus = 422;
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("%s holds the number %.*s%s, which has %zu digits when it is written out, more than %d",
						ReadPlaceName(place, field), (int) Min(number.len, 30), text, number.len > 30 ? "..." : "",
						json_number_digits(text, number.len), JSON_MAX_DIGITS),
				 errhint("Send it as a string.")));
	}
	if (json->values > MAX_JSON_VALUES)
		ApiWrongShape("%s has %zu values, more than %d", ReadPlaceName(place, field), json->values, MAX_JSON_VALUES);
}

/* An object as jsonb; 0 when it is null.  Parsing takes many times the memory of the result, which is freed here. */
Datum
ReadJsonb(JsonReader *json, const ReadPlace *place, const char *field)
{
	JsonSpan	span;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext scratch;
	Datum		value;

	if (!ReadExpect(json, JSON_OBJECT, place, field, "an object"))
		return (Datum) 0;
	if (!json_value(json, &span))
		ReadMalformed(json);
	ReadCheckStored(json, place, field);
	scratch = AllocSetContextCreate(context, "vecdb http jsonb", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(scratch);
	value = DirectFunctionCall1(jsonb_in, CStringGetDatum(to_server(pnstrdup(json->data + span.pos, span.len))));
	MemoryContextSwitchTo(context);
	value = datumCopy(value, false, -1);
	MemoryContextDelete(scratch);
	return value;
}

void
ReadCheckText(const ApiRequest *request)
{
	if (memchr(request->body, '\0', request->body_len))
		ApiRefuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "the body holds a NUL");
	pg_verify_mbstr(PG_UTF8, request->body, request->body_len, false);
}

JsonKind
ReadBeginAny(const ApiRequest *request, JsonReader *json)
{
	JsonKind	kind;

	if (request->body_len == 0)
		ApiRefuse(400, ERRCODE_INVALID_TEXT_REPRESENTATION, "the body is empty; it must be JSON");
	/* The body stays UTF-8; each text that is taken out of it is converted. */
	ReadCheckText(request);
	json_begin(json, request->body, request->body_len);
	json->max_depth = VecdbHttpMaxDepth;
	kind = json_peek(json);
	if (kind == JSON_NONE)
		ReadMalformed(json);
	return kind;
}

void
ReadBegin(const ApiRequest *request, JsonReader *json)
{
	(void) ReadBeginAny(request, json);
	if (json_peek(json) != JSON_OBJECT)
	{
		JsonKind	kind = json_peek(json);
		JsonSpan	span;

		if (!json_value(json, &span) || !json_end(json))
			ReadMalformed(json);
		ApiWrongShape("the body must be an object, not %s", json_kind_name(kind));
	}
	json_enter(json);
}

/* Which field the next member is, by its place in names; -1 at the end. */
int
ReadField(JsonReader *json, bool *first, const char *const *names, unsigned *seen, const ReadPlace *place)
{
	JsonSpan	span;

	if (!json_member(json, first, &span))
	{
		if (json->error)
			ReadMalformed(json);
		return -1;
	}
	for (int i = 0; names[i]; i++)
	{
		if (!json_is(json, span, names[i]))
			continue;
		if (*seen & (1U << i))
			ApiWrongShape("%s is given twice", ReadPlaceName(place, names[i]));
		*seen |= 1U << i;
		return i;
	}
	{
		StringInfoData known;
		int			shown = pg_encoding_mbcliplen(PG_UTF8, json->data + span.pos, Min(span.len, 1000), 100);
		char	   *name = to_server(pnstrdup(json->data + span.pos, shown));

		initStringInfo(&known);
		for (int i = 0; names[i]; i++)
			appendStringInfo(&known, "%s%s", i ? ", " : "", names[i]);
		ApiErrorStatus = 422;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown field %s%s%s", name,
						place && place->array ? " in " : "", place && place->array ? ReadPlaceName(place, NULL) : ""),
				 errhint("Fields are %s.", known.data)));
	}
}

void
ReadEnd(JsonReader *json)
{
	if (!json_end(json))
		ReadMalformed(json);
}
