/*
 * rest_payload.c
 *	  The rows of a body, JSON or CSV, as one array of JSON for SQL to take apart.
 *
 * A body is read through once before that, so that what is wrong with it is said by
 * us, what is in it is bounded, and the reading can be interrupted.
 */
#include "http/rest/rest.h"

#include "guc.h"
#include "http/json.h"
#include "http/read_body.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* The most rows of a body. */
#define MAX_ROWS		100000

/* Rows of CSV become at most so many times as much JSON as a body may have: each of them gets the names of all columns. */
#define MAX_GROWTH		2

/* A column of vectors. */
typedef struct VectorColumn
{
	const char *name;
	RestVectorKind kind;
} VectorColumn;

typedef struct Reading
{
	RestPayload *payload;
	VectorColumn *vectors;
	int			nvectors;
	StringInfoData text;		/* of a body of JSON in which values were replaced */
	size_t		copied;			/* bytes of the body that are in it, or replaced */
	HTAB	   *names;			/* of the first object's members */
	int			size;
	bool		any_members;	/* of objects that are not the first, too */
} Reading;

static void
refuse(const char *message)
{
	RestRefuse(400, "PGRST102", message, NULL, NULL);
}

static void
count_row(Reading *self)
{
	CHECK_FOR_INTERRUPTS();
	if (++self->payload->rows > MAX_ROWS)
		RestRefuse(400, "PGRST102", psprintf("the body has more than %d rows", MAX_ROWS), NULL, "Send it in several requests.");
}

static void
add_column(Reading *self, const char *name)
{
	RestPayload *payload = self->payload;
	bool		found;

	if (payload->ncolumns == REST_MAX_NODES)
		refuse("the body has more than 2000 columns");
	if (strlen(name) >= NAMEDATALEN)
		RestRefuse(400, "PGRST204", psprintf("Could not find the '%s' column in the schema", RestShown(name)), NULL, NULL);
	(void) hash_search(self->names, name, HASH_ENTER, &found);
	if (found)
		return;
	if (payload->ncolumns == self->size)
	{
		self->size = Max(self->size * 2, 16);
		payload->columns = payload->columns ? repalloc(payload->columns, sizeof(char *) * self->size) : palloc(sizeof(char *) * self->size);
	}
	payload->columns[payload->ncolumns++] = pstrdup(name);
}

static List *
with_name(List *names, const char *name)
{
	return list_member(names, makeString(unconstify(char *, name))) ? names : lappend(names, makeString(pstrdup(name)));
}

/* Remember a column with a text that not every type may have: see RestManyElements and REST_MAX_TSQUERY. */
static void
look_at_text(Reading *self, const char *name, const char *text, Size len)
{
	if (RestManyElements(text, len))
		self->payload->long_lists = with_name(self->payload->long_lists, name);
	if (len > REST_MAX_TSQUERY)
		self->payload->long_texts = with_name(self->payload->long_texts, name);
}

static void
check_growth(const StringInfoData *json)
{
	if ((Size) json->len > (Size) VecdbHttpMaxBody_kb * 1024 * MAX_GROWTH)
		RestRefuse(400, "PGRST102", "the body is too large as JSON, where each row has the names of its columns and numbers have digits", NULL,
				   "Send it in several requests. The limit is twice the setting vecdb.http_max_body.");
}

/* ---------------------------------------------------------------------------
 * Columns of vectors
 */

static void
find_vectors(Reading *self, const RestTable *table)
{
	TupleDesc	desc = RelationGetDescr(table->rel);

	self->vectors = palloc(sizeof(VectorColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		RestVectorKind kind = att->attisdropped ? REST_NO_VECTOR : RestVectorOf(getBaseType(att->atttypid));

		if (kind != REST_NO_VECTOR)
			self->vectors[self->nvectors++] = (VectorColumn) {NameStr(att->attname), kind};
	}
}

static RestVectorKind
kind_of(const Reading *self, const char *name)
{
	for (int i = 0; i < self->nvectors; i++)
	{
		if (strcmp(self->vectors[i].name, name) == 0)
			return self->vectors[i].kind;
	}
	return REST_NO_VECTOR;
}

/* ---------------------------------------------------------------------------
 * JSON
 */

/* Replace a value that has another form than its column's type reads. */
static void
replace_vector(Reading *self, JsonReader *json, const char *name, JsonSpan value)
{
	RestVectorKind kind = kind_of(self, name);
	RestText	given = {json->data + value.pos, value.len};
	char	   *string = NULL;
	char	   *text;

	if (kind == REST_NO_VECTOR)
		return;
	if (given.at[0] == '"')
	{
		string = MemoryContextAllocHuge(CurrentMemoryContext, value.len);
		if (json_string(json, value, string) < 0)
			ReadMalformed(json);
		given = (RestText) {string, strlen(string)};
	}
	text = RestVectorText(given, kind);
	if (text)
	{
		if (!self->text.data)
			initStringInfo(&self->text);
		appendBinaryStringInfo(&self->text, json->data + self->copied, (int) (value.pos - self->copied));
		appendStringInfo(&self->text, "\"%s\"", text);
		self->copied = value.pos + value.len;
		check_growth(&self->text);
		pfree(text);
	}
	if (string)
		pfree(string);
}

static void
read_object(Reading *self, JsonReader *json)
{
	bool		first = true;
	bool		first_row = self->payload->rows == 0;
	int			members = 0;
	JsonSpan	span;

	count_row(self);
	if (json_peek(json) == JSON_NONE)
		ReadMalformed(json);
	if (json_peek(json) != JSON_OBJECT)
		refuse("each element of the body must be an object");
	json_enter(json);
	while (json_member(json, &first, &span))
	{
		char	   *name = ReadString(json, span);
		JsonSpan	value;
		bool		known = true;

		if (!json_value(json, &value))
			ReadMalformed(json);
		ReadCheckStored(json, NULL, name);
		look_at_text(self, name, json->data + value.pos, value.len);
		replace_vector(self, json, name, value);
		members++;
		if (first_row)
			add_column(self, name);
		else if (!self->any_members)
			known = strlen(name) < NAMEDATALEN && hash_search(self->names, name, HASH_FIND, NULL) != NULL;
		if (!known)
			refuse("All object keys must match");
		pfree(name);
	}
	if (json->error)
		ReadMalformed(json);
	if (!first_row && !self->any_members && members != self->payload->ncolumns)
		refuse("All object keys must match");
}

static Datum
json_datum(const char *text, Size len)
{
	char	   *converted = pg_any_to_server(text, (int) len, PG_UTF8);

	return PointerGetDatum(cstring_to_text_with_len(converted, converted == text ? (int) len : (int) strlen(converted)));
}

/* The body with what was replaced in it, as an array. */
static Datum
json_list(Reading *self, const ApiRequest *request, bool is_list)
{
	const char *text = request->body;
	size_t		len = request->body_len;
	char	   *list;

	if (self->text.data)
	{
		appendBinaryStringInfo(&self->text, request->body + self->copied, (int) (request->body_len - self->copied));
		text = self->text.data;
		len = (size_t) self->text.len;
	}
	if (is_list)
		return json_datum(text, len);
	list = MemoryContextAllocHuge(CurrentMemoryContext, len + 3);
	list[0] = '[';
	memcpy(list + 1, text, len);
	strcpy(list + len + 1, "]");
	return json_datum(list, len + 2);
}

static void
read_json(Reading *self, const ApiRequest *request)
{
	JsonReader	json;
	JsonKind	kind = ReadBeginAny(request, &json);
	bool		first = true;

	if (kind == JSON_ARRAY)
	{
		json_enter(&json);
		while (json_element(&json, &first))
			read_object(self, &json);
		if (json.error)
			ReadMalformed(&json);
	}
	else
		read_object(self, &json);
	ReadEnd(&json);
	self->payload->json = json_list(self, request, kind == JSON_ARRAY);
}

/* ---------------------------------------------------------------------------
 * CSV (RFC 4180); NULL without quotes is null
 */

/* Take a field and what ends it off *p; *ended tells that the row ends with it. */
static bool
read_field(const char **p, StringInfo field, bool *ended)
{
	const char *s = *p;
	bool		quoted = *s == '"';

	resetStringInfo(field);
	if (quoted)
	{
		for (s++; *s != '\0' && (*s != '"' || s[1] == '"'); s++)
		{
			if (*s == '"')
				s++;
			appendStringInfoChar(field, *s);
		}
		if (*s != '"')
			refuse("a field of the body begins with a quote that does not end");
		s++;
	}
	else
	{
		size_t		n = strcspn(s, ",\r\n");

		appendBinaryStringInfo(field, s, (int) n);
		s += n;
	}
	*ended = *s != ',';
	if (*s == '\r' && s[1] == '\n')
		s += 2;
	else if (*s == ',' || *s == '\n' || *s == '\r')
		s++;
	else if (*s != '\0')
		refuse("something stands behind the quotes of a field");
	*p = s;
	return quoted;
}

static void
read_csv(Reading *self, const ApiRequest *request)
{
	StringInfoData field;
	StringInfoData json;
	const char *p;
	bool		ended = false;

	if (request->body_len == 0)
		refuse("the body is empty; its first line must be the names of columns");
	ReadCheckText(request);
	p = pg_any_to_server(request->body, (int) request->body_len, PG_UTF8);
	initStringInfo(&field);
	initStringInfo(&json);
	while (!ended)
	{
		int			before = self->payload->ncolumns;

		(void) read_field(&p, &field, &ended);
		add_column(self, field.data);
		if (self->payload->ncolumns == before)
			refuse("a column is named twice in the first line");
	}
	appendStringInfoChar(&json, '[');
	while (*p != '\0')
	{
		int			n = 0;

		count_row(self);
		for (ended = false; !ended; n++)
		{
			bool		quoted = read_field(&p, &field, &ended);

			if (n == self->payload->ncolumns)
				refuse("All lines must have same number of fields");
			appendStringInfoString(&json, n > 0 ? "," : self->payload->rows > 1 ? ",{" : "{");
			escape_json(&json, self->payload->columns[n]);
			appendStringInfoChar(&json, ':');
			look_at_text(self, self->payload->columns[n], field.data, field.len);
			if (!quoted && strcmp(field.data, "NULL") == 0)
				appendStringInfoString(&json, "null");
			else
			{
				char	   *vector = RestVectorText((RestText) {field.data, field.len}, kind_of(self, self->payload->columns[n]));

				escape_json(&json, vector ? vector : field.data);
				if (vector)
					pfree(vector);
			}
			check_growth(&json);
		}
		if (n != self->payload->ncolumns)
			refuse("All lines must have same number of fields");
		appendStringInfoChar(&json, '}');
	}
	appendStringInfoChar(&json, ']');
	self->payload->json = PointerGetDatum(cstring_to_text_with_len(json.data, json.len));
	pfree(json.data);
}

void
RestReadPayload(const ApiRequest *request, const RestTable *table, bool columns_given, RestPayload *self)
{
	HASHCTL		ctl = {.keysize = NAMEDATALEN,.entrysize = NAMEDATALEN,.hcxt = CurrentMemoryContext};
	const char *type = RestHeader(request, "Content-Type");
	Reading		reading = {.payload = self,.any_members = columns_given};

	memset(self, 0, sizeof(*self));
	reading.names = hash_create("vecdb http columns", 64, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	find_vectors(&reading, table);
	ApiErrorCode = "PGRST102";
	if (type && pg_strncasecmp(type, "text/csv", 8) == 0)
		read_csv(&reading, request);
	else
		read_json(&reading, request);
	ApiErrorCode = NULL;
}
