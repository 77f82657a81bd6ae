/*
 * body.c
 *	  Writing the body of an answer, which never grows beyond its limit.
 *
 * PostgreSQL's own text of a jsonb is made whole before anybody can look at its
 * size, and eight bytes of input (1e131000) are 131,001 of it.
 */
#include "http/body.h"

#include <math.h>

#include "access/detoast.h"
#include "common/shortest_dec.h"
#include "guc.h"
#include "http/json.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* jsonb takes no more bytes than this for one of its text; at most 4, for [1, 1, 1]. */
#define JSONB_BYTES_OF_TEXT	8

/* Bytes of a text that are looked at between two checks for interrupts. */
#define PIECE				65536

Size
BodyLimit(void)
{
	return (Size) Min(VecdbHttpMaxAnswer_kb, VecdbHttpMaxBuffered_kb) * 1024;
}

static void pg_attribute_noreturn()
too_large(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the answer is too large: it has more than %zu kB", BodyLimit() / 1024),
			 errhint("The limit is the setting vecdb.http_max_answer; a smaller k or less metadata makes it smaller.")));
}

void
BodyExpect(StringInfo body, Size len)
{
	if (len > BodyLimit() - Min((Size) body->len, BodyLimit()))
		too_large();
}

void
BodyBytes(StringInfo body, const char *bytes, Size len)
{
	Size		limit = BodyLimit();

	if ((Size) body->len + len > limit)
		too_large();
	if ((Size) body->len + len >= (Size) body->maxlen)
	{
		/* By doubling, as a StringInfo does, but not past the limit. */
		Size		size = Min(Max((Size) body->maxlen * 2, (Size) body->len + len + 1), limit + 1);

		body->data = repalloc(body->data, size);
		body->maxlen = (int) size;
	}
	memcpy(body->data + body->len, bytes, len);
	body->len += (int) len;
	body->data[body->len] = '\0';
}

void
BodyText(StringInfo body, const char *text)
{
	BodyBytes(body, text, strlen(text));
}

void
BodyString(StringInfo body, const char *bytes, Size len)
{
	const char *end = bytes + len;
	const char *run = bytes;	/* what stands for itself since the last escape */
	const char *next_check = bytes + PIECE;

	BodyBytes(body, "\"", 1);
	for (const char *p = bytes; p < end; p++)
	{
		char		buffer[JSON_ESCAPE_SIZE];
		const char *escape = json_escape((unsigned char) *p, buffer);

		if (p >= next_check)
		{
			CHECK_FOR_INTERRUPTS();
			next_check = p + PIECE;
		}
		if (!escape)
			continue;
		BodyBytes(body, run, p - run);
		BodyText(body, escape);
		run = p + 1;
	}
	BodyBytes(body, run, end - run);
	BodyBytes(body, "\"", 1);
}

void
BodyName(StringInfo body, const char *name)
{
	BodyString(body, name, strlen(name));
}

void
BodyTextDatum(StringInfo body, Datum value)
{
	text	   *t;

	/* The raw size counts the header of 4 bytes too. */
	BodyExpect(body, toast_raw_datum_size(value) - VARHDRSZ);
	t = DatumGetTextPP(value);
	BodyString(body, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	if ((Pointer) t != DatumGetPointer(value))
		pfree(t);
}

/* ---------------------------------------------------------------------------
 * Numbers
 */

/* Written without an exponent it has no more than JSON_MAX_DIGITS on each side of the point. */
static bool
is_short(Numeric number)
{
	static Datum most = (Datum) 0;
	static Datum least;

	if (most == (Datum) 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
		char		text[16];

		snprintf(text, sizeof(text), "-1e%d", JSON_MAX_DIGITS);
		least = DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		most = DirectFunctionCall3(numeric_in, CStringGetDatum(text + 1), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		MemoryContextSwitchTo(old);
	}
	return DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(number))) <= JSON_MAX_DIGITS &&
		DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number), most)) < 0 &&
		DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number), least)) > 0;
}

static uint16
uint16_at(const char *bytes)
{
	return (uint16) (((unsigned char) bytes[0] << 8) | (unsigned char) bytes[1]);
}

/*
 * A long number with an exponent, from the form that numeric_send gives: number
 * of digits, weight of the first, sign, digits behind the point in 16 bits each, then
 * the digits to the base of 10,000.
 */
static void
put_scientific(StringInfo body, Numeric number)
{
	bytea	   *sent = DatumGetByteaP(DirectFunctionCall1(numeric_send, NumericGetDatum(number)));
	const char *bytes = VARDATA(sent);
	int			n = uint16_at(bytes);
	int			exponent = 4 * (int16) uint16_at(bytes + 2);
	char	   *digits = palloc(4 * n + 1);
	int			used = 0;
	char		piece[16];

	for (int i = 0; i < n; i++)
	{
		snprintf(piece, sizeof(piece), i == 0 ? "%u" : "%04u", uint16_at(bytes + 8 + 2 * i));
		strcpy(digits + used, piece);
		used += (int) strlen(piece);
		if (i == 0)
			exponent += used - 1;
	}
	while (used > 1 && digits[used - 1] == '0')
		used--;
	if (n == 0)
		BodyBytes(body, "0", 1);
	else
	{
		if (uint16_at(bytes + 4) != 0)
			BodyBytes(body, "-", 1);
		BodyBytes(body, digits, 1);
		if (used > 1)
		{
			BodyBytes(body, ".", 1);
			BodyBytes(body, digits + 1, used - 1);
		}
		snprintf(piece, sizeof(piece), "e%d", exponent);
		BodyText(body, piece);
	}
	pfree(digits);
	pfree(sent);
}

static void
put_number(StringInfo body, Numeric number)
{
	char	   *text;

	if (!is_short(number))
	{
		put_scientific(body, number);
		return;
	}
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	BodyText(body, text);
	pfree(text);
}

void
BodyNumeric(StringInfo body, Datum value)
{
	Numeric		number = DatumGetNumeric(value);

	put_number(body, number);
	if ((Pointer) number != DatumGetPointer(value))
		pfree(number);
}

/* ---------------------------------------------------------------------------
 * jsonb
 */

static void
put_scalar(StringInfo body, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			BodyText(body, "null");
			break;
		case jbvString:
			BodyString(body, value->val.string.val, value->val.string.len);
			break;
		case jbvNumeric:
			put_number(body, value->val.numeric);
			break;
		case jbvBool:
			BodyText(body, value->val.boolean ? "true" : "false");
			break;
		default:
			elog(ERROR, "unknown type of a value in jsonb: %d", value->type);
	}
}

void
BodyJsonb(StringInfo body, Datum value)
{
	Jsonb	   *jsonb;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	piece;
	const char *before = "";	/* what goes before the next key, element or object */
	bool		raw = false;	/* a scalar, kept as an array without brackets */

	/* One that cannot fit is not even taken out of its compressed form. */
	BodyExpect(body, toast_raw_datum_size(value) / JSONB_BYTES_OF_TEXT);
	jsonb = DatumGetJsonbP(value);
	it = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&it, &piece, false)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
				raw = piece.val.array.rawScalar;
				BodyText(body, before);
				if (!raw)
					BodyText(body, "[");
				before = "";
				break;
			case WJB_BEGIN_OBJECT:
				BodyText(body, before);
				BodyText(body, "{");
				before = "";
				break;
			case WJB_KEY:
				BodyText(body, before);
				put_scalar(body, &piece);
				before = ": ";
				break;
			case WJB_VALUE:
			case WJB_ELEM:
				BodyText(body, before);
				put_scalar(body, &piece);
				before = ", ";
				break;
			case WJB_END_ARRAY:
				if (!raw)
					BodyText(body, "]");
				before = ", ";
				break;
			case WJB_END_OBJECT:
				BodyText(body, "}");
				before = ", ";
				break;
			default:
				elog(ERROR, "unknown token of jsonb: %d", (int) token);
		}
	}
	if ((Pointer) jsonb != DatumGetPointer(value))
		pfree(jsonb);
}

/* JSON has no word for what is not finite. */
void
BodyDouble(StringInfo out, double value)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (!isfinite(value))
		appendStringInfoString(out, "null");
	else
	{
		double_to_shortest_decimal_buf(value, digits);
		appendStringInfoString(out, digits);
	}
}

/* metadata that is NULL, in a table made by hand, is as if it were empty. */
void
BodyMetadata(StringInfo out, Datum value, bool isnull)
{
	if (isnull)
		BodyText(out, "{}");
	else
		BodyJsonb(out, value);
}
