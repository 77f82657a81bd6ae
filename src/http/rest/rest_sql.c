/*
 * rest_sql.c
 *	  The text and the parameters of a statement on a table.
 *
 * Every expression comes with its type, so that operators are found by it and not by
 * their names in somebody's search_path.  The table is "t" in all statements.
 */
#include "http/rest/rest.h"

#include "access/stratnum.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "http/api_statement.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* Elements of a list of "in", and of a value that has any. */
#define MAX_LIST		100000

/* Bytes of what a text search looks for; PostgreSQL has no larger tsquery, but reads all of it first. */
#define MAX_TSQUERY		(1024 * 1024)

#define MAX_LIMIT_IN_TEXT	1000

/* An expression that is written into a statement. */
typedef struct Expression
{
	const char *sql;
	Oid			type;			/* of a domain its base type */
} Expression;

static const char *const metric_operators[] = {
	[REST_COSINE] = "<=>",[REST_L2] = "<->",[REST_IP] = "<#>",[REST_L1] = "<+>",[REST_HAMMING] = "<~>",[REST_JACCARD] = "<%>"
};

/* Operators that are found by their name, among those of the type of the column. */
static const char *const named_operators[REST_NOPERATORS] = {
	[REST_LIKE] = "~~",[REST_ILIKE] = "~~*",[REST_MATCH] = "~",[REST_IMATCH] = "~*",
	[REST_CS] = "@>",[REST_CD] = "<@",[REST_OV] = "&&",[REST_SL] = "<<",[REST_SR] = ">>",
	[REST_NXR] = "&<",[REST_NXL] = "&>",[REST_ADJ] = "-|-"
};

void
RestSqlBegin(RestSql *self, const RestTable *table)
{
	memset(self, 0, sizeof(*self));
	self->table = table;
	initStringInfo(&self->text);
}

/* ---------------------------------------------------------------------------
 * Parameters
 */

int
RestSqlParameter(RestSql *self, Oid type, Datum value)
{
	if (self->nparams == self->size)
	{
		self->size = Max(self->size * 2, 16);
		self->types = self->types ? repalloc(self->types, sizeof(Oid) * self->size) : palloc(sizeof(Oid) * self->size);
		self->values = self->values ? repalloc(self->values, sizeof(Datum) * self->size) : palloc(sizeof(Datum) * self->size);
	}
	self->types[self->nparams] = type;
	self->values[self->nparams] = value;
	return ++self->nparams;
}

static int
add_text(RestSql *self, const char *text)
{
	return RestSqlParameter(self, TEXTOID, CStringGetTextDatum(text));
}

bool
RestManyElements(const char *text, Size len)
{
	int			commas = 0;

	/* JSON may write a comma as \u002c. */
	for (Size i = 0; i < len && commas < MAX_LIST; i++)
		commas += text[i] == ',' || (text[i] == '\\' && i + 1 < len && text[i + 1] == 'u');
	return commas == MAX_LIST;
}

void
RestRefuseElements(Oid type)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(type, &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		RestRefuse(400, "PGRST100", psprintf("a value has more than %d elements", MAX_LIST), NULL, NULL);
}

/* Of an array the type of its elements, of a domain what it is a domain over. */
static Oid
innermost_type(Oid type)
{
	Oid			element = get_base_element_type(type);

	return getBaseType(OidIsValid(element) ? element : type);
}

void
RestRefuseLength(Oid type)
{
	if (innermost_type(type) == TSQUERYOID)
		RestRefuse(400, "PGRST100", psprintf("a value of tsquery has more than %d bytes", REST_MAX_TSQUERY), NULL, NULL);
}

static Datum
read_value(const char *text, Oid type)
{
	Size		len = strlen(text);
	Oid			input;
	Oid			ioparam;

	if (RestManyElements(text, len))
		RestRefuseElements(type);
	if (len > REST_MAX_TSQUERY)
		RestRefuseLength(type);
	getTypeInputInfo(type, &input, &ioparam);
	return OidInputFunctionCall(input, unconstify(char *, text), ioparam, -1);
}

/* A value as the text that its type reads. */
static const char *
vector_text(RestText given, Oid type)
{
	RestVectorKind kind = RestVectorOf(type);
	char	   *text = RestVectorText(given, kind);

	if (text)
		return text;
	if (kind == REST_DENSE && given.len > 0 && given.at[0] != '[' && given.at[0] != ' ')
		RestRefuse(400, "PGRST100", "a vector is neither an array of numbers nor base64 of at most 16000 numbers of four bytes", NULL, NULL);
	return RestCopy(given);
}

static int
add_value(RestSql *self, RestText text, Oid type)
{
	return RestSqlParameter(self, type, read_value(vector_text(text, type), type));
}

/* The vector of a distance: one that was there before is the same parameter, so that equal distances are computed once. */
static int
add_vector(RestSql *self, RestText text, Oid type)
{
	Datum		value = read_value(vector_text(text, type), type);
	int			number;

	for (int i = 0; i < self->ndistances; i++)
	{
		number = self->distances[i];
		if (self->types[number - 1] == type && datumIsEqual(self->values[number - 1], value, false, -1))
			return number;
	}
	if (self->ndistances == lengthof(self->distances))
		RestRefuse(400, "PGRST100", psprintf("the request has more than %d vectors", (int) lengthof(self->distances)), NULL, NULL);
	number = RestSqlParameter(self, type, value);
	self->distances[self->ndistances++] = number;
	return number;
}

/* ---------------------------------------------------------------------------
 * Fields
 */

static Expression
column_expression(const RestSql *self, RestText name)
{
	AttrNumber	number = RestFindColumn(self->table, name);
	Expression	result;
	Oid			function;

	if (number != InvalidAttrNumber)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(self->table->rel), number - 1);

		result.sql = psprintf("t.%s", quote_identifier(NameStr(att->attname)));
		result.type = getBaseType(att->atttypid);
		return result;
	}
	result.type = RestFindComputed(self->table, name, &function);
	if (!OidIsValid(result.type))
		RestNoColumn(self->table, name, true);
	result.type = getBaseType(result.type);
	result.sql = psprintf("%s((t.*))", quote_qualified_identifier(self->table->schema_name, get_func_name(function)));
	return result;
}

/* A column, and what lies at the end of its path. */
static Expression
field_expression(RestSql *self, const RestField *field)
{
	Expression	result = column_expression(self, field->name);
	StringInfoData sql;

	if (field->nsteps == 0)
		return result;
	initStringInfo(&sql);
	for (int i = 1; i < field->nsteps; i++)
		appendStringInfoChar(&sql, '(');
	if (result.type == JSONOID || result.type == JSONBOID)
		appendStringInfoString(&sql, result.sql);
	else
	{
		appendStringInfo(&sql, "pg_catalog.to_jsonb(%s)", result.sql);
		result.type = JSONBOID;
	}
	for (int i = 0; i < field->nsteps; i++)
	{
		const RestStep *step = &field->steps[i];
		char	   *key = RestCopy(step->key);
		int			number = step->is_index ? RestSqlParameter(self, INT4OID, Int32GetDatum(atoi(key))) : add_text(self, key);

		appendStringInfo(&sql, " OPERATOR(pg_catalog.%s) $%d%s", step->as_text ? "->>" : "->", number,
						 i + 1 < field->nsteps ? ")" : "");
		if (step->as_text)
			result.type = TEXTOID;
	}
	result.sql = psprintf("(%s)", sql.data);
	return result;
}

/* ---------------------------------------------------------------------------
 * Operators
 */

static const char *
operator_sql(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	const char *sql;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", operator);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	sql = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return sql;
}

static void
no_operator(RestOperator op, Oid type)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("type %s has no operator for %s", format_type_be(type), rest_operator_name(op))));
}

/* An operator by its name, in pg_catalog or the schema of the type; one that takes the same on both sides is best. */
static Oid
find_named_operator(const char *name, Oid type, Oid schema)
{
	CatCList   *list = SearchSysCacheList1(OPERNAMENSP, CStringGetDatum(name));
	Oid			best = InvalidOid;
	int			best_score = 0;

	for (int i = 0; i < list->n_members; i++)
	{
		Form_pg_operator form = (Form_pg_operator) GETSTRUCT(&list->members[i]->tuple);
		int			score;

		if (form->oprkind != 'b' || form->oprresult != BOOLOID ||
			(form->oprnamespace != PG_CATALOG_NAMESPACE && form->oprnamespace != schema) ||
			!IsBinaryCoercible(type, form->oprleft))
			continue;
		score = (form->oprleft == type ? 4 : 1) + (form->oprright == form->oprleft ? 2 : 0);
		if (score > best_score)
		{
			best_score = score;
			best = form->oid;
		}
	}
	ReleaseSysCacheList(list);
	return best;
}

static Oid
type_schema(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			schema;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	schema = ((Form_pg_type) GETSTRUCT(tuple))->typnamespace;
	ReleaseSysCache(tuple);
	return schema;
}

/* The operator of a type's own order or equality. */
static Oid
find_comparison(RestOperator op, Oid type)
{
	static const StrategyNumber strategies[] = {
		[REST_GT] = BTGreaterStrategyNumber,[REST_GTE] = BTGreaterEqualStrategyNumber,
		[REST_LT] = BTLessStrategyNumber,[REST_LTE] = BTLessEqualStrategyNumber
	};
	TypeCacheEntry *cache = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);

	if (op == REST_NEQ)
		return OidIsValid(cache->eq_opr) ? get_negator(cache->eq_opr) : InvalidOid;
	if (op == REST_EQ || op == REST_IN || op == REST_ISDISTINCT)
		return cache->eq_opr;
	if (!OidIsValid(cache->btree_opf))
		return InvalidOid;
	return get_opfamily_member(cache->btree_opf, cache->btree_opintype, cache->btree_opintype, strategies[op]);
}

static Oid
find_operator(RestOperator op, Oid type)
{
	Oid			operator = named_operators[op] ? find_named_operator(named_operators[op], type, type_schema(type)) :
		find_comparison(op, type);

	if (!OidIsValid(operator))
		no_operator(op, type);
	return operator;
}

/* The type that a value on the right of an operator is read as. */
static Oid
value_type(Oid operator, Oid type)
{
	Oid			left,
				right;

	op_input_types(operator, &left, &right);
	return IsPolymorphicType(right) || right == RECORDOID ? type : right;
}

/* ---------------------------------------------------------------------------
 * Distances
 */

/* A distance of a field; NULL in *sql where its type has none of this metric. */
static Expression
distance_expression(RestSql *self, const RestField *field, const RestDistance *distance)
{
	Expression	left = field_expression(self, field);
	Oid			operator = GetSysCacheOid4(OPERNAMENSP, Anum_pg_operator_oid, CStringGetDatum(metric_operators[distance->metric]),
										   ObjectIdGetDatum(left.type), ObjectIdGetDatum(left.type),
										   ObjectIdGetDatum(type_schema(ApiVectorType)));
	Expression	result;

	if (!OidIsValid(operator))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("type %s has no such distance", format_type_be(left.type))));
	result.type = FLOAT8OID;
	result.sql = psprintf("(%s %s $%d)", left.sql, operator_sql(operator), add_vector(self, distance->vector, left.type));
	return result;
}

/* lt.cosine.0.3.[...]; false: it is none. */
static bool
put_bound(RestSql *self, const RestNode *test, Oid type)
{
	RestDistance distance;
	RestText	bound;
	Expression	left;
	Oid			schema = type_schema(ApiVectorType);

	if (test->op < REST_GT || test->op > REST_LTE || test->quantifier != REST_ONE ||
		(type != BITOID && type_schema(type) != schema) || !rest_split_bound(test->value, &bound, &distance))
		return false;
	left = distance_expression(self, &test->field, &distance);
	appendStringInfo(&self->text, "(%s %s $%d)", left.sql, operator_sql(find_operator(test->op, FLOAT8OID)),
					 add_value(self, bound, FLOAT8OID));
	return true;
}

/* ---------------------------------------------------------------------------
 * Conditions
 */

static void
put_in(RestSql *self, const RestNode *test, Expression left)
{
	Oid			operator = find_operator(REST_IN, left.type);
	Oid			type = value_type(operator, left.type);
	Oid			array_type = get_array_type(type);
	ArrayBuildState *state = NULL;
	char	   *list = RestCopy(test->value);
	size_t		pos = 0;
	RestText	element;
	int			n = 0;

	if (!OidIsValid(array_type))
		no_operator(REST_IN, left.type);
	while (rest_list_next(list, test->value.len, &pos, &element))
	{
		CHECK_FOR_INTERRUPTS();
		if (++n > MAX_LIST)
			RestRefuse(400, "PGRST100", psprintf("a list has more than %d values", MAX_LIST), NULL, NULL);
		state = accumArrayResult(state, read_value(vector_text(element, type), type), false, type, CurrentMemoryContext);
	}
	appendStringInfo(&self->text, "(%s %s ANY ($%d))", left.sql, operator_sql(operator),
					 RestSqlParameter(self, array_type, state ? makeArrayResult(state, CurrentMemoryContext) :
								   PointerGetDatum(construct_empty_array(type))));
}

static void
put_is(RestSql *self, const RestNode *test, Expression left)
{
	static const char *const words[] = {"null", "not_null", "true", "false", "unknown"};
	static const char *const sql[] = {"IS NULL", "IS NOT NULL", "IS TRUE", "IS FALSE", "IS UNKNOWN"};
	char	   *word = RestCopy(test->value);

	for (int i = 0; i < lengthof(words); i++)
	{
		if (pg_strcasecmp(word, words[i]) == 0)
		{
			appendStringInfo(&self->text, "(%s %s)", left.sql, sql[i]);
			return;
		}
	}
	RestRefuse(400, "PGRST100", psprintf("failed to parse filter (is.%s)", RestShown(word)),
			   "null, not_null, true, false or unknown is expected.", NULL);
}

/* A configuration of text search, in pg_catalog or the request's schema. */
static int
add_language(RestSql *self, RestText language)
{
	char	   *name = RestCopy(language);
	Oid			config = get_ts_config_oid(list_make2(makeString("pg_catalog"), makeString(name)), true);

	if (!OidIsValid(config))
		config = get_ts_config_oid(list_make2(makeString(unconstify(char *, self->table->schema_name)), makeString(name)), true);
	if (!OidIsValid(config))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("text search configuration \"%s\" does not exist", RestShown(name))));
	return RestSqlParameter(self, REGCONFIGOID, ObjectIdGetDatum(config));
}

static void
put_text_search(RestSql *self, const RestNode *test, Expression left)
{
	static const char *const functions[] = {
		[REST_FTS] = "to_tsquery",[REST_PLFTS] = "plainto_tsquery",[REST_PHFTS] = "phraseto_tsquery",[REST_WFTS] = "websearch_to_tsquery"
	};
	char	   *language;

	if (test->value.len > MAX_TSQUERY)
		RestRefuse(400, "PGRST100", "a text search looks for more than 1 MB", NULL, NULL);
	language = test->language.at ? psprintf("$%d, ", add_language(self, test->language)) : "";

	if (left.type == JSONOID || left.type == JSONBOID || IsBinaryCoercible(left.type, TEXTOID))
		left.sql = psprintf("pg_catalog.to_tsvector(%s%s)", language, left.sql);
	else if (left.type != TSVECTOROID)
		no_operator(test->op, left.type);
	appendStringInfo(&self->text, "(%s OPERATOR(pg_catalog.@@) pg_catalog.%s(%s$%d))", left.sql, functions[test->op], language,
					 add_text(self, RestCopy(test->value)));
}

/* The value of a pattern, in which "*" is as "%". */
static RestText
pattern_of(const RestNode *test)
{
	char	   *pattern;

	if (test->op != REST_LIKE && test->op != REST_ILIKE)
		return test->value;
	pattern = RestCopy(test->value);
	for (size_t i = 0; i < test->value.len; i++)
	{
		if (pattern[i] == '*')
			pattern[i] = '%';
	}
	return (RestText) {pattern, test->value.len};
}

static void
put_comparison(RestSql *self, const RestNode *test, Expression left)
{
	static const char *const quantifiers[] = {[REST_ONE] = "",[REST_ANY] = "ANY ",[REST_ALL] = "ALL "};
	Oid			operator = find_operator(test->op, left.type);
	Oid			type = value_type(operator, left.type);

	if (test->quantifier != REST_ONE)
	{
		type = get_array_type(type);
		if (!OidIsValid(type))
			no_operator(test->op, left.type);
	}
	appendStringInfo(&self->text, "((%s %s %s($%d))%s)", left.sql, operator_sql(operator), quantifiers[test->quantifier],
					 add_value(self, pattern_of(test), type), test->op == REST_ISDISTINCT ? " IS NOT TRUE" : "");
}

static void
put_test(RestSql *self, const RestNode *test)
{
	Expression	left = field_expression(self, &test->field);

	if (test->negated)
		appendStringInfoString(&self->text, "(NOT ");
	if (put_bound(self, test, left.type))
		;
	else if (test->op == REST_IN)
		put_in(self, test, left);
	else if (test->op == REST_IS)
		put_is(self, test, left);
	else if (test->op >= REST_FTS)
		put_text_search(self, test, left);
	else
		put_comparison(self, test, left);
	if (test->negated)
		appendStringInfoChar(&self->text, ')');
}

static void put_node(RestSql *self, const RestNode *node);

/* Nodes in a list, which AND or OR joins. */
static void
put_list(RestSql *self, const RestNode *first, const char *word)
{
	for (const RestNode *node = first; node; node = node->next)
	{
		if (node != first)
			appendStringInfoString(&self->text, word);
		put_node(self, node);
	}
}

/* As deep as the parser lets it be. */
static void
put_node(RestSql *self, const RestNode *node)
{
	CHECK_FOR_INTERRUPTS();
	if (node->kind == REST_TEST)
	{
		put_test(self, node);
		return;
	}
	appendStringInfoString(&self->text, node->negated ? "(NOT (" : "(");
	put_list(self, node->first, node->kind == REST_AND ? " AND " : " OR ");
	appendStringInfoString(&self->text, node->negated ? "))" : ")");
}

void
RestSqlWhere(RestSql *self, const RestNode *conditions)
{
	if (!conditions)
		return;
	appendStringInfoString(&self->text, " WHERE ");
	put_list(self, conditions, " AND ");
}

/* ---------------------------------------------------------------------------
 * Columns
 */

/* Names of types that are not those of the catalog. */
static const char *const type_names[][2] = {
	{"bigint", "int8"}, {"bit varying", "varbit"}, {"boolean", "bool"}, {"char", "bpchar"}, {"character", "bpchar"},
	{"character varying", "varchar"}, {"dec", "numeric"}, {"decimal", "numeric"}, {"double precision", "float8"},
	{"float", "float8"}, {"int", "int4"}, {"integer", "int4"}, {"real", "float4"}, {"smallint", "int2"},
	{"time with time zone", "timetz"}, {"time without time zone", "time"},
	{"timestamp with time zone", "timestamptz"}, {"timestamp without time zone", "timestamp"}
};

/* Is it the row of a table that the role may not read, or an array of such?  Its values would tell the names of the columns. */
static bool
is_hidden_row(Oid type)
{
	Oid			relid = get_typ_typrelid(innermost_type(type));

	return OidIsValid(relid) && get_rel_relkind(relid) != RELKIND_COMPOSITE_TYPE &&
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK;
}

/* A type by its name: of pg_catalog, of the extension or of the table's schema. */
static Oid
find_type(const RestSql *self, RestText name)
{
	char	   *base = RestCopy(name);
	size_t		len = strlen(base);
	bool		is_array = len > 2 && strcmp(base + len - 2, "[]") == 0;
	Oid			schemas[] = {PG_CATALOG_NAMESPACE, type_schema(ApiVectorType), self->table->schema};
	Oid			type = InvalidOid;

	if (is_array)
		base[len - 2] = '\0';
	for (int i = 0; i < lengthof(type_names); i++)
	{
		if (pg_strcasecmp(base, type_names[i][0]) == 0)
			base = pstrdup(type_names[i][1]);
	}
	for (int i = 0; i < lengthof(schemas) && !OidIsValid(type) && strlen(base) < NAMEDATALEN; i++)
		type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(base), ObjectIdGetDatum(schemas[i]));
	if (OidIsValid(type) && is_hidden_row(type))
		type = InvalidOid;
	if (OidIsValid(type) && is_array)
		type = get_array_type(type);
	if (!OidIsValid(type) || get_typtype(type) == TYPTYPE_PSEUDO)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"%s\" does not exist", RestShown(RestCopy(name)))));
	return type;
}

/*
 * A text that is stored may be long, and is read in a cast without the bounds of values
 * in requests: not as a type that takes the square of its length or sorts what it
 * has, both without a check for interrupts, so that no limit of time would hold.
 */
static void
check_cast(Oid from, Oid to)
{
	Oid			type = innermost_type(to);
	char		category;
	bool		preferred;

	if (type != TSQUERYOID && type != XMLOID && get_typtype(type) != TYPTYPE_MULTIRANGE)
		return;
	get_type_category_preferred(from, &category, &preferred);
	if (category == TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_COERCE),
				 errmsg("texts are not cast to type %s in requests", format_type_be(to))));
}

static const char *
output_name(const RestColumn *column)
{
	if (column->alias.at)
		return RestCopy(column->alias);
	if (column->distance.metric != REST_NO_METRIC)
		return "distance";
	for (int i = column->field.nsteps - 1; i >= 0; i--)
	{
		if (!column->field.steps[i].is_index)
			return RestCopy(column->field.steps[i].key);
	}
	return RestCopy(column->field.name);
}

/* In SQL "character" and "bit" have the length 1, and "bpchar" has none: what was asked for is kept. */
static char *
cast_name(RestText name, Oid type)
{
	bool		has_length = strncmp(RestCopy(name), "bpchar", strlen("bpchar")) != 0;

	return has_length ? format_type_be_qualified(type) :
		format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

static void
put_output(RestSql *self, const RestColumn *column)
{
	bool		is_distance = column->distance.metric != REST_NO_METRIC;
	Expression	value = is_distance ? distance_expression(self, &column->field, &column->distance) : field_expression(self, &column->field);

	if (column->cast.at)
	{
		Oid			type = find_type(self, column->cast);

		check_cast(value.type, type);
		value.sql = psprintf("CAST(%s AS %s)", value.sql, cast_name(column->cast, type));
	}
	appendStringInfoString(&self->text, value.sql);
}

void
RestSqlColumns(RestSql *self, const RestColumn *columns, const char ***outputs, int *n)
{
	static const RestColumn all = {.star = true};
	TupleDesc	desc = RelationGetDescr(self->table->rel);
	int			size = 0;

	if (!columns)
		columns = &all;
	for (const RestColumn *c = columns; c; c = c->next)
		size += c->star ? desc->natts : 1;
	if (size > MaxTupleAttributeNumber)
		RestRefuse(400, "PGRST100", psprintf("the request has more than %d columns", MaxTupleAttributeNumber), NULL, NULL);
	*outputs = palloc(sizeof(char *) * Max(size, 1));
	*n = 0;
	for (const RestColumn *c = columns; c; c = c->next)
	{
		for (int i = 0; i < (c->star ? desc->natts : 1); i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);
			const RestColumn one = {.field.name = {NameStr(att->attname), strlen(NameStr(att->attname))}};
			const RestColumn *column = c->star ? &one : c;

			if (c->star && att->attisdropped)
				continue;
			appendStringInfoString(&self->text, *n > 0 ? ", " : "");
			put_output(self, column);
			(*outputs)[(*n)++] = output_name(column);
		}
	}
}

/* ---------------------------------------------------------------------------
 * Order and pages
 */

static const char *
order_value(RestSql *self, const RestOrder *term)
{
	Expression	value = term->distance.metric != REST_NO_METRIC ?
		distance_expression(self, &term->field, &term->distance) : field_expression(self, &term->field);

	return value.sql;
}

static void
put_order_term(StringInfo text, const RestOrder *term, bool first, const char *value)
{
	static const char *const directions[] = {[REST_NO_DIRECTION] = "",[REST_ASC] = " ASC",[REST_DESC] = " DESC"};
	static const char *const nulls[] = {[REST_NO_NULLS] = "",[REST_NULLS_FIRST] = " NULLS FIRST",[REST_NULLS_LAST] = " NULLS LAST"};

	appendStringInfo(text, "%s%s%s%s", first ? " ORDER BY " : ", ", value, directions[term->direction], nulls[term->nulls]);
}

void
RestSqlOrder(RestSql *self, const RestOrder *order)
{
	for (const RestOrder *term = order; term; term = term->next)
		put_order_term(&self->text, term, term == order, order_value(self, term));
}

void
RestSqlOrderReturned(RestSql *self, const RestOrder *order, int noutputs)
{
	StringInfoData outputs;
	StringInfoData values;
	StringInfoData terms;
	char	   *write;
	int			n = noutputs;

	initStringInfo(&outputs);
	initStringInfo(&values);
	initStringInfo(&terms);
	for (int i = 1; i <= noutputs; i++)
		appendStringInfo(&outputs, "%sc%d", i > 1 ? ", " : "", i);
	for (const RestOrder *term = order; term; term = term->next)
	{
		appendStringInfo(&self->text, "%s%s", n++ > 0 ? ", " : "", order_value(self, term));
		appendStringInfo(&values, "%sc%d", n > 1 ? ", " : "", n);
		put_order_term(&terms, term, term == order, psprintf("c%d", n));
	}
	write = pstrdup(self->text.data);
	resetStringInfo(&self->text);
	appendStringInfo(&self->text, "WITH w (%s%s) AS (%s) SELECT %s FROM w%s", outputs.data, values.data, write, outputs.data, terms.data);
}

void
RestSqlLimit(RestSql *self, int64 limit, int64 offset)
{
	/*
	 * A limit that is usual is part of the text: the planner knows it, so a plan for any values is as
	 * good as one for these, and is kept.
	 */
	if (limit >= 0 && limit <= MAX_LIMIT_IN_TEXT && offset == 0)
		appendStringInfo(&self->text, " LIMIT " INT64_FORMAT, limit);
	else if (limit >= 0)
		appendStringInfo(&self->text, " LIMIT $%d", RestSqlParameter(self, INT8OID, Int64GetDatum(limit)));
	if (offset > 0)
		appendStringInfo(&self->text, " OFFSET $%d", RestSqlParameter(self, INT8OID, Int64GetDatum(offset)));
}
