/*
 * filter_jsonb.c
 *	  The filter of a search, from jsonb to an SQL condition and its parameters.
 *
 * The grammar is in core/query/filter.h.  Here jsonb becomes the tree that the
 * grammar reads, and the values that it found become Datums.
 */
#include "collection/filter_jsonb.h"

#include "catalog/pg_type.h"
#include "core/query/filter.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

typedef struct TreeMaker
{
	int			values;			/* so far */
} TreeMaker;

static void pg_attribute_noreturn()
report_bad_filter(const FilterJson *at, const char *problem, const char *hint)
{
	char		place[200];

	filter_place(at, place, sizeof(place));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid filter"),
			 place[0] != '\0' ? errdetail("%s, at \"%s\".", problem, place) : errdetail("%s.", problem),
			 hint != NULL ? errhint("%s.", hint) : 0));
}

/* ---------------------------------------------------------------------
 * The tree
 * --------------------------------------------------------------------- */

static void make_children(TreeMaker *maker, FilterJson *self, JsonbContainer *container, int depth);

/* Fill in a node from a value, and those below it. */
static void
make_node(TreeMaker *maker, FilterJson *self, JsonbValue *value, int depth)
{
	if (++maker->values > FILTER_MAX_VALUES)
		report_bad_filter(self, psprintf("The filter has more than %d values", FILTER_MAX_VALUES), NULL);
	if (depth > FILTER_MAX_DEPTH)
		report_bad_filter(self, psprintf("The filter is nested more than %d levels deep", FILTER_MAX_DEPTH), NULL);
	self->source = value;
	switch (value->type)
	{
		case jbvNull:
			self->type = FILTER_NULL;
			break;
		case jbvBool:
			self->type = FILTER_BOOLEAN;
			self->boolean = value->val.boolean;
			break;
		case jbvNumeric:
			self->type = FILTER_NUMBER;
			break;
		case jbvString:
			self->type = FILTER_STRING;
			self->text = value->val.string.val;
			self->text_len = value->val.string.len;
			break;
		case jbvBinary:
			make_children(maker, self, value->val.binary.data, depth);
			break;
		default:
			elog(ERROR, "unknown type of jsonb value: %d", (int) value->type);
	}
}

static void
make_children(TreeMaker *maker, FilterJson *self, JsonbContainer *container, int depth)
{
	JsonbIterator *it = JsonbIteratorInit(container);
	JsonbValue	value;
	JsonbValue	key;
	JsonbIteratorToken token;
	const FilterJson **next = &self->first;

	self->type = JsonContainerIsArray(container) ? FILTER_ARRAY : FILTER_OBJECT;
	token = JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &value, true)) == WJB_KEY || token == WJB_ELEM)
	{
		FilterJson *child = palloc0(sizeof(FilterJson));
		JsonbValue *kept = palloc(sizeof(JsonbValue));

		child->parent = self;
		child->index = self->count++;
		if (token == WJB_KEY)
		{
			key = value;
			child->key = key.val.string.val;
			child->key_len = key.val.string.len;
			token = JsonbIteratorNext(&it, &value, true);
		}
		*kept = value;
		*next = child;
		next = &child->next;
		make_node(maker, child, kept, depth + 1);
	}
}

/* ---------------------------------------------------------------------
 * The parameters
 * --------------------------------------------------------------------- */

static Datum
make_path(const FilterParameter *parameter)
{
	Datum		keys[FILTER_MAX_KEYS];

	for (int i = 0; i < parameter->nkeys; i++)
		keys[i] = PointerGetDatum(cstring_to_text_with_len(parameter->keys[i].text, (int) parameter->keys[i].len));
	return PointerGetDatum(construct_array(keys, parameter->nkeys, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
make_value(const FilterJson *value)
{
	return PointerGetDatum(JsonbValueToJsonb((JsonbValue *) value->source));
}

/* {"key1": {"key2": value}}, or with in_array {"key1": {"key2": [value]}}, as jsonb. */
static Datum
make_nested(const FilterParameter *parameter, const FilterJson *value, bool in_array)
{
	VecdbJsonbState state = {0};

	for (int i = 0; i < parameter->nkeys; i++)
	{
		JsonbValue	key;

		key.type = jbvString;
		key.val.string.val = unconstify(char *, parameter->keys[i].text);
		key.val.string.len = (int) parameter->keys[i].len;
		VecdbPushJsonb(&state, WJB_BEGIN_OBJECT, NULL);
		VecdbPushJsonb(&state, WJB_KEY, &key);
	}
	if (in_array)
		VecdbPushJsonb(&state, WJB_BEGIN_ARRAY, NULL);
	VecdbPushJsonb(&state, in_array ? WJB_ELEM : WJB_VALUE, (JsonbValue *) value->source);
	if (in_array)
		VecdbPushJsonb(&state, WJB_END_ARRAY, NULL);
	for (int i = 0; i < parameter->nkeys; i++)
		VecdbPushJsonb(&state, WJB_END_OBJECT, NULL);
	return PointerGetDatum(JsonbValueToJsonb(state.result));
}

static Datum
make_nesteds(const FilterParameter *parameter)
{
	bool		list = parameter->value->type == FILTER_ARRAY;
	Datum	   *elements = palloc(sizeof(Datum) * 2 * (list ? parameter->value->count : 1));
	int			n = 0;

	for (const FilterJson *v = list ? parameter->value->first : parameter->value; v != NULL; v = list ? v->next : NULL)
	{
		CHECK_FOR_INTERRUPTS();
		elements[n++] = make_nested(parameter, v, false);
		elements[n++] = make_nested(parameter, v, true);
	}
	return PointerGetDatum(construct_array(elements, n, JSONBOID, -1, false, TYPALIGN_INT));
}

/* The elements that are scalars, or those that are not. */
static Datum
make_elements(const FilterParameter *parameter, bool scalars)
{
	Datum	   *elements = palloc(sizeof(Datum) * parameter->value->count);
	int			n = 0;

	for (const FilterJson *v = parameter->value->first; v != NULL; v = v->next)
	{
		CHECK_FOR_INTERRUPTS();
		if ((v->type != FILTER_ARRAY && v->type != FILTER_OBJECT) == scalars)
			elements[n++] = make_value(v);
	}
	return PointerGetDatum(construct_array(elements, n, JSONBOID, -1, false, TYPALIGN_INT));
}

void
CompileFilter(Jsonb *filter, int first_parameter, CompiledFilter *compiled)
{
	TreeMaker	maker = {0};
	FilterJson	root = {0};
	JsonbValue	value;
	FilterParameter *parameters;
	FilterError error;

	memset(compiled, 0, sizeof(*compiled));
	if (JB_ROOT_IS_SCALAR(filter))
		report_bad_filter(&root, "A filter is an object", NULL);
	value.type = jbvBinary;
	value.val.binary.data = &filter->root;
	value.val.binary.len = VARSIZE(filter) - VARHDRSZ;
	make_node(&maker, &root, &value, 1);

	compiled->sql = palloc(FILTER_SQL_SIZE(maker.values));
	parameters = palloc(sizeof(FilterParameter) * FILTER_PARAMETERS(maker.values));
	if (!filter_compile(&root, maker.values, "t.metadata", first_parameter,
						compiled->sql, parameters, &compiled->nparameters, &error))
		report_bad_filter(error.at, error.problem, error.hint);
	if (compiled->sql[0] == '\0')
		compiled->sql = NULL;

	compiled->types = palloc(sizeof(Oid) * Max(compiled->nparameters, 1));
	compiled->values = palloc(sizeof(Datum) * Max(compiled->nparameters, 1));
	for (int i = 0; i < compiled->nparameters; i++)
	{
		const FilterParameter *parameter = &parameters[i];

		switch (parameter->kind)
		{
			case FILTER_PARAMETER_PATH:
				compiled->types[i] = TEXTARRAYOID;
				compiled->values[i] = make_path(parameter);
				break;
			case FILTER_PARAMETER_VALUE:
				compiled->types[i] = JSONBOID;
				compiled->values[i] = make_value(parameter->value);
				break;
			case FILTER_PARAMETER_SCALARS:
			case FILTER_PARAMETER_OTHERS:
				compiled->types[i] = JSONBARRAYOID;
				compiled->values[i] = make_elements(parameter, parameter->kind == FILTER_PARAMETER_SCALARS);
				break;
			case FILTER_PARAMETER_NESTEDS:
				compiled->types[i] = JSONBARRAYOID;
				compiled->values[i] = make_nesteds(parameter);
				break;
		}
	}
}
