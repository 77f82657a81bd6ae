/*
 * rest_request.c
 *	  Parameters and headers of a request.
 *
 * The parameters come in the query, or for /TABLE/query in the body as an object of
 * JSON whose members are the parameters, a list of texts where one is given several
 * times.  Either way they are texts, and go the same way from here.
 */
#include "http/rest/rest.h"

#include "http/json.h"
#include "http/read_body.h"
#include "http/rest/rest_surface.h"
#include "guc.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"

/* The most parameters of a body; the front has a lower limit for those of a query. */
#define MAX_BODY_PARAMETERS		1000

/* Bytes of a text of the client that a message has. */
#define MAX_SHOWN				200

#define OBJECT_TYPE		"application/vnd.pgrst.object"
#define ARRAY_TYPE		"application/vnd.pgrst.array"
#define PLAN_TYPE		"application/vnd.pgrst.plan"

static void *
parser_alloc(void *arg, size_t size)
{
	CHECK_FOR_INTERRUPTS();
	return palloc(size);
}

char *
RestShown(const char *text)
{
	int			len = (int) strnlen(text, MAX_SHOWN + MAX_MULTIBYTE_CHAR_LEN);
	char	   *shown = pnstrdup(text, pg_mbcliplen(text, len, MAX_SHOWN));

	/* A header may hold any bytes. */
	if (!pg_verifymbstr(shown, (int) strlen(shown), true))
	{
		for (char *p = shown; *p; p++)
		{
			if (IS_HIGHBIT_SET(*p))
				*p = '?';
		}
	}
	return shown;
}

/* Raise what a parser has to say of a text. */
static void
refuse_text(const RestParser *parser, const char *what, const char *text)
{
	char	   *detail = psprintf("%s (at byte %zu).", parser->why, parser->where + 1);
	char	   *message = psprintf("failed to parse %s (%s)", what, text);

	switch (parser->problem)
	{
		case REST_EMBEDDING:
			RestRefuse(400, "PGRST200", message, detail, "A view that joins the tables can be read.");
		case REST_AGGREGATE:
			RestRefuse(400, "PGRST123", message, detail, "A view that aggregates can be read.");
		case REST_TOO_DEEP:
			RestRefuse(400, "PGRST100", message, detail,
					   psprintf("At most %d levels may be: the limit is %d, or the setting vecdb.http_max_depth where it is less.",
								parser->max_depth, REST_MAX_DEPTH));
		default:
			RestRefuse(400, "PGRST100", message, detail, NULL);
	}
}

/* ---------------------------------------------------------------------------
 * Parameters
 */

/* A number of rows. */
static int64
read_rows(const char *key, const char *value)
{
	char	   *end;
	int64		rows;

	errno = 0;
	rows = strtoll(value, &end, 10);
	if (end == value || *end != '\0' || errno != 0)
		RestRefuse(400, "PGRST100", psprintf("failed to parse %s (%s)", key, RestShown(value)), "A whole number is expected.", NULL);
	return rows;
}

static void
add_condition(RestRequest *self, RestNode *node)
{
	node->next = self->conditions;
	self->conditions = node;
}

static bool
is_tree(const char *key, RestNode *node)
{
	node->negated = strncmp(key, "not.", 4) == 0;
	key += node->negated ? 4 : 0;
	node->kind = strcmp(key, "or") == 0 ? REST_OR : REST_AND;
	return node->kind == REST_OR || strcmp(key, "and") == 0;
}

static void
read_filter(RestRequest *self, RestParser *parser, char *key, char *value, const char *shown_value)
{
	RestNode   *node = palloc0(sizeof(RestNode));
	char	   *shown = psprintf("%s=%s", RestShown(key), shown_value);
	bool		good;

	if (is_tree(key, node))
	{
		rest_begin(parser, value, strlen(value));
		good = rest_parse_tree(parser, node);
	}
	else
	{
		node->negated = false;
		rest_begin(parser, key, strlen(key));
		good = rest_parse_field(parser, &node->field);
		if (good)
		{
			rest_begin(parser, value, strlen(value));
			good = rest_parse_operation(parser, node);
		}
	}
	if (!good)
		refuse_text(parser, "filter", shown);
	add_condition(self, node);
}

static void
read_names(RestParser *parser, char *value, const char *shown, const char *what, RestText **names, int *n)
{
	rest_begin(parser, value, strlen(value));
	if (!rest_parse_names(parser, names, n))
		refuse_text(parser, what, shown);
}

/* key and value are the parameter's own, and may be changed. */
static void
read_parameter(RestRequest *self, RestParser *parser, char *key, char *value)
{
	char	   *shown = RestShown(value);	/* before a parser changes it */

	CHECK_FOR_INTERRUPTS();
	if (strcmp(key, "select") == 0)
	{
		self->columns = NULL;
		rest_begin(parser, value, strlen(value));
		if (value[0] != '\0' && !rest_parse_select(parser, &self->columns))
			refuse_text(parser, "select parameter", shown);
	}
	else if (strcmp(key, "order") == 0)
	{
		rest_begin(parser, value, strlen(value));
		if (!rest_parse_order(parser, &self->order))
			refuse_text(parser, "order", shown);
	}
	else if (strcmp(key, "limit") == 0)
	{
		self->limit = read_rows(key, value);
		if (self->limit < 0)
			RestRefuse(416, "PGRST103", "Requested range not satisfiable", "Limit should be greater than or equal to zero.", NULL);
	}
	else if (strcmp(key, "offset") == 0)
	{
		int64		offset = read_rows(key, value);

		self->offset = Max(offset, 0);
	}
	else if (strcmp(key, "columns") == 0)
		read_names(parser, value, shown, "columns parameter", &self->names, &self->nnames);
	else if (strcmp(key, "on_conflict") == 0)
		read_names(parser, value, shown, "on_conflict parameter", &self->conflict, &self->nconflict);
	else
		read_filter(self, parser, key, value, shown);
}

static char *
to_server(const char *text)
{
	char	   *converted = pg_any_to_server(text, strlen(text), PG_UTF8);

	return converted == text ? pstrdup(text) : converted;
}

static void
read_query(RestRequest *self, RestParser *parser, const ApiRequest *request)
{
	const char *query = request->query;
	size_t		len = request->query_len;
	char	   *key = palloc(len + 1);
	char	   *value = palloc(len + 1);
	bool		bad;

	while (route_query_next(&query, &len, key, value, &bad))
	{
		if (bad)
			RestRefuse(400, "PGRST100", "the query is not well percent-encoded", NULL, NULL);
		read_parameter(self, parser, to_server(key), to_server(value));
	}
}

/* A text, or a number, which is taken as it is written. */
static char *
body_text(JsonReader *json, const char *key)
{
	JsonKind	kind = json_peek(json);
	JsonSpan	span;

	if (kind == JSON_NUMBER && json_value(json, &span))
		return pnstrdup(json->data + span.pos, span.len);
	if (kind != JSON_STRING && kind != JSON_NONE)
		RestRefuse(400, "PGRST102", psprintf("the parameter %s must be a string, a number, or a list of those", RestShown(key)), NULL, NULL);
	if (!json_value(json, &span))
		ReadMalformed(json);
	return ReadString(json, span);
}

static void
read_body(RestRequest *self, RestParser *parser, const ApiRequest *request)
{
	JsonReader	json;
	JsonSpan	span;
	bool		first = true;
	int			n = 0;

	if (request->query_len > 0)
		RestRefuse(400, "PGRST100", "the parameters of this path come in the body", NULL, NULL);
	ReadBegin(request, &json);
	while (json_member(&json, &first, &span))
	{
		char	   *key = ReadString(&json, span);
		bool		first_value = true;

		if (json_peek(&json) != JSON_ARRAY)
		{
			if (++n <= MAX_BODY_PARAMETERS)
				read_parameter(self, parser, pstrdup(key), body_text(&json, key));
		}
		else
		{
			json_enter(&json);
			while (n <= MAX_BODY_PARAMETERS && json_element(&json, &first_value))
			{
				n++;
				read_parameter(self, parser, pstrdup(key), body_text(&json, key));
			}
		}
		if (n > MAX_BODY_PARAMETERS)
			RestRefuse(400, "PGRST100", "the body has more than 1000 parameters", NULL, NULL);
	}
	if (json.error)
		ReadMalformed(&json);
	ReadEnd(&json);
}

/* ---------------------------------------------------------------------------
 * Headers
 */

/* The next header of this name behind *pos, which is NULL at first; NULL: no more. */
static const char *
next_header(const ApiRequest *request, const char *name, const char **pos)
{
	const char *end = request->headers + request->headers_len;

	for (const char *h = *pos ? *pos : request->headers; h < end;)
	{
		const char *value = h + strlen(h) + 1;
		bool		found = pg_strcasecmp(h, name) == 0;

		h = value + strlen(value) + 1;
		if (found)
		{
			*pos = h;
			return value;
		}
	}
	return NULL;
}

const char *
RestHeader(const ApiRequest *request, const char *name)
{
	const char *pos = NULL;

	return next_header(request, name, &pos);
}

/* Take the next piece up to the separator off *text, without space around it; NULL at the end. */
static char *
next_piece(const char **text, char separator)
{
	const char *start = *text;
	const char *end;

	if (!start)
		return NULL;
	end = strchr(start, separator);
	*text = end ? end + 1 : NULL;
	end = end ? end : start + strlen(start);
	while (start < end && (*start == ' ' || *start == '\t'))
		start++;
	while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return pnstrdup(start, end - start);
}

/* NULL unless word is NAME=VALUE of this name. */
static const char *
value_of(const char *word, const char *name)
{
	size_t		n = strlen(name);

	return strncmp(word, name, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
}

/* Is value one of these words, which NULL ends?  *which is its number. */
static bool
is_one_of(const char *value, const char *const *words, int *which)
{
	for (int i = 0; words[i]; i++)
	{
		if (strcmp(value, words[i]) == 0)
		{
			*which = i;
			return true;
		}
	}
	return false;
}

/* A preference about writes; false: it is none. */
static bool
read_write_preference(RestRequest *self, const char *word)
{
	static const char *const returns[] = {"minimal", "headers-only", "representation", NULL};
	static const char *const resolutions[] = {"merge-duplicates", "ignore-duplicates", NULL};
	static const char *const missing[] = {"null", "default", NULL};
	static const char *const ends[] = {"commit", "rollback", NULL};
	const char *value;
	char	   *end;
	int			which;

	if ((value = value_of(word, "return")) && is_one_of(value, returns, &which))
		self->what = (RestReturn) which;
	else if ((value = value_of(word, "resolution")) && is_one_of(value, resolutions, &which))
		self->resolution = which == 0 ? REST_MERGE : REST_IGNORE;
	else if ((value = value_of(word, "missing")) && is_one_of(value, missing, &which))
		self->missing_default = which == 1;
	else if ((value = value_of(word, "tx")) && is_one_of(value, ends, &which))
		self->rollback = which == 1;
	else if ((value = value_of(word, "max-affected")) && value[0] >= '0' && value[0] <= '9')
	{
		self->max_affected = strtoll(value, &end, 10);
		return *end == '\0';
	}
	else
		return false;
	return true;
}

/* One preference; false: it is none that we know. */
static bool
read_preference(RestRequest *self, const char *word, bool *strict)
{
	static const char *const counts[] = {"exact", "planned", "estimated", NULL};
	const char *value;
	int			which;

	if ((value = value_of(word, "count")))
	{
		if (!is_one_of(value, counts, &which))
			return false;
		self->count = (RestCount) (REST_EXACT + which);
		return true;
	}
	if ((value = value_of(word, "vector")))
	{
		self->vectors_as_text = strcmp(value, "string") == 0;
		return self->vectors_as_text || strcmp(value, "array") == 0;
	}
	if ((value = value_of(word, "handling")))
	{
		*strict = strcmp(value, "strict") == 0;
		return *strict || strcmp(value, "lenient") == 0;
	}
	if ((value = value_of(word, "timezone")))
	{
		/* Names of zones come out again, in texts.  Another time than was meant is worse than none: this one is never passed over. */
		if (!pg_verifymbstr(value, (int) strlen(value), true) ||
			set_config_option("TimeZone", value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, false, DEBUG5, false) == 0)
			RestRefuse(400, "22023", psprintf("invalid value for parameter \"TimeZone\": \"%s\"", RestShown(value)), NULL, NULL);
		self->timezone = value;
		return true;
	}
	return read_write_preference(self, word);
}

/* Is one of these words, NAME=VALUE, of the same name? */
static bool
has_name(const List *words, const char *word)
{
	ListCell   *cell;

	foreach(cell, words)
	{
		if (strncmp(lfirst(cell), word, strcspn(word, "=") + 1) == 0)
			return true;
	}
	return false;
}

/* Does the preference make a difference to a request of this kind? */
static bool
is_heeded(const RestRequest *self, HttpMethod method, const char *word, bool strict)
{
	bool		is_post = !self->reads && method == HTTP_POST;

	if (value_of(word, "return"))
		return !self->reads;
	if (value_of(word, "resolution"))
		return is_post;
	if (value_of(word, "missing"))
		return is_post || method == HTTP_PATCH || method == HTTP_PUT;
	if (value_of(word, "max-affected"))
		return strict && (method == HTTP_PATCH || method == HTTP_DELETE);
	return true;
}

/* Of several preferences of one name the first counts. */
static void
read_preferences(RestRequest *self, const ApiRequest *request)
{
	const char *pos = NULL;
	const char *header;
	bool		strict = false;
	List	   *given = NIL;
	ListCell   *cell;
	StringInfoData unknown;

	initStringInfo(&unknown);
	while ((header = next_header(request, "Prefer", &pos)))
	{
		char	   *word;

		while ((word = next_piece(&header, ',')))
		{
			bool		good;

			if (word[0] == '\0')
				continue;
			if (has_name(given, word))
			{
				RestRequest passed_over = *self;
				bool		ignored;

				good = read_preference(&passed_over, word, &ignored);
			}
			else if ((good = read_preference(self, word, &strict)))
				given = lappend(given, word);
			if (!good)
				appendStringInfo(&unknown, "%s%s", unknown.len ? ", " : "", word);
		}
	}
	if (strict && unknown.len > 0)
		RestRefuse(400, "PGRST122", "Invalid preferences given with handling=strict",
				   psprintf("Invalid preferences: %s", RestShown(unknown.data)), NULL);
	foreach(cell, given)
	{
		char	   *word = lfirst(cell);

		if (is_heeded(self, request->method, word, strict))
			self->applied = lappend(self->applied, word);
		else if (value_of(word, "max-affected"))
			self->max_affected = -1;
	}
}

void
RestPassOver(RestRequest *self, const char *name)
{
	ListCell   *cell;

	foreach(cell, self->applied)
	{
		if (value_of(lfirst(cell), name))
			self->applied = foreach_delete_current(self->applied, cell);
	}
}

char *
RestApplied(const RestRequest *self)
{
	StringInfoData text;
	ListCell   *cell;

	if (self->applied == NIL)
		return NULL;
	initStringInfo(&text);
	foreach(cell, self->applied)
		appendStringInfo(&text, "%s%s", text.len ? ", " : "", (const char *) lfirst(cell));
	return text.data;
}

/* "0-9" or "10-"; anything else is no range of rows, and is passed over. */
static void
read_range(RestRequest *self, const ApiRequest *request)
{
	const char *range = RestHeader(request, "Range");
	const char *unit = RestHeader(request, "Range-Unit");
	int64		first,
				last;
	int			used = 0;

	if (!range || (unit && strcmp(unit, "items") != 0))
		return;
	if (strncmp(range, "items=", 6) == 0)
		range += 6;
	if (strspn(range, "0123456789-") != strlen(range) || strlen(range) > 38 || range[0] == '-' ||
		sscanf(range, INT64_FORMAT "-%n", &first, &used) != 1 || used == 0)
		return;
	self->offset = first;
	if (range[used] == '\0')
		return;
	if (sscanf(range + used, INT64_FORMAT "%n", &last, &used) != 1)
		return;
	if (last < first)
		RestRefuse(416, "PGRST103", "Requested range not satisfiable",
				   "The lower boundary must be lower than or equal to the upper boundary in the Range header.", NULL);
	self->limit = last - first + 1;
}

/* options="analyze|verbose" and the like, as EXPLAIN takes them. */
static const char *
read_plan_options(const char *value)
{
	static const char *const known[] = {"analyze", "verbose", "settings", "buffers", "wal"};
	StringInfoData options;
	char	   *list = pstrdup(value);
	const char *rest = list;
	char	   *word;

	initStringInfo(&options);
	for (char *p = list; *p; p++)
	{
		if (*p == '"')
			*p = ' ';
	}
	while ((word = next_piece(&rest, '|')))
	{
		for (int i = 0; i < lengthof(known); i++)
		{
			if (strcmp(word, known[i]) == 0)
				appendStringInfo(&options, ", %s", known[i]);
		}
	}
	return options.data;
}

/* Is this media type of an Accept one of ours? */
static bool
read_media(RestRequest *self, const char *entry)
{
	char	   *type = next_piece(&entry, ';');
	char	   *parameter;

	self->strip_nulls = false;
	self->plan_options = "";
	if (strcmp(type, "*/*") == 0 || strcmp(type, "application/*") == 0 || strcmp(type, "application/json") == 0 ||
		strcmp(type, ARRAY_TYPE) == 0 || strcmp(type, ARRAY_TYPE "+json") == 0)
		self->media = REST_JSON;
	else if (strcmp(type, OBJECT_TYPE) == 0 || strcmp(type, OBJECT_TYPE "+json") == 0)
		self->media = REST_OBJECT;
	else if (strcmp(type, "text/csv") == 0)
		self->media = REST_CSV;
	else if (VecdbHttpPlans && (strcmp(type, PLAN_TYPE) == 0 || strcmp(type, PLAN_TYPE "+text") == 0))
		self->media = REST_PLAN_TEXT;
	else if (VecdbHttpPlans && strcmp(type, PLAN_TYPE "+json") == 0)
		self->media = REST_PLAN_JSON;
	else
		return false;
	while ((parameter = next_piece(&entry, ';')))
	{
		const char *value;

		if (strcmp(parameter, "nulls=stripped") == 0)
			self->strip_nulls = true;
		else if ((value = value_of(parameter, "options")))
			self->plan_options = read_plan_options(value);
		else if (strcmp(parameter, "q=0") == 0)
			return false;
	}
	return true;
}

static void
read_accept(RestRequest *self, const ApiRequest *request)
{
	const char *pos = NULL;
	const char *accept = next_header(request, "Accept", &pos);
	const char *shown = accept;
	char	   *entry;

	self->media = REST_JSON;
	self->plan_options = "";
	if (!accept)
		return;
	do
	{
		while ((entry = next_piece(&accept, ',')))
		{
			if (read_media(self, entry))
				return;
		}
	} while ((accept = next_header(request, "Accept", &pos)));
	RestRefuse(406, "PGRST107", psprintf("None of these media types are available: %s", RestShown(shown)), NULL,
			   "Media types are application/json, " OBJECT_TYPE "+json, " ARRAY_TYPE "+json and text/csv.");
}

/* The schema that a header names, or the first. */
static void
read_profile(RestRequest *self, const ApiRequest *request, const char *name)
{
	const char *given = RestHeader(request, name);
	List	   *schemas = RestSchemas();
	ListCell   *cell;
	StringInfoData all;

	self->profile_given = given != NULL;
	self->schema = linitial(schemas);
	if (!given)
		return;
	initStringInfo(&all);
	foreach(cell, schemas)
	{
		const char *schema = lfirst(cell);

		if (strcmp(given, schema) == 0)
		{
			self->schema = schema;
			return;
		}
		appendStringInfo(&all, "%s%s", all.len ? ", " : "", schema);
	}
	RestRefuse(406, "PGRST106", psprintf("Invalid schema: %s", RestShown(given)), NULL,
			   psprintf("Only the following schemas are exposed: %s", all.data));
}

void
RestReadRequest(const ApiRequest *request, RestRequest *self)
{
	RestParser	parser = {.alloc = parser_alloc,.max_depth = Min(REST_MAX_DEPTH, VecdbHttpMaxDepth)};
	bool		by_body = request->route == REST_TABLE_QUERY;

	memset(self, 0, sizeof(*self));
	self->reads = by_body || request->method == HTTP_GET || request->method == HTTP_HEAD;
	self->limit = -1;
	self->max_affected = -1;
	read_profile(self, request, self->reads ? "Accept-Profile" : "Content-Profile");
	read_preferences(self, request);
	read_accept(self, request);
	if (by_body)
		read_body(self, &parser, request);
	else
	{
		if (self->reads)
			read_range(self, request);
		read_query(self, &parser, request);
	}
	if (self->reads && (self->names || self->conflict))
		RestRefuse(400, "PGRST100", "the parameters columns and on_conflict are for writes", NULL, NULL);
	if (request->method == HTTP_PUT && self->conflict)
		RestRefuse(400, "PGRST100", "the parameter on_conflict is not for PUT, which is of a row by its primary key", NULL, NULL);
}
