/*
 * facts.c
 *	  What a collection is, read from PostgreSQL's catalogs and remembered.
 *
 * Dimensions and storage are the type of the column data; index, m and
 * ef_construction those of an hnsw index on it; the metric is named by the
 * constraint CHECK (vecdb.uses_metric('...')), which a dump carries over and
 * which only the owner can change, or else by the index's operator class.
 *
 * Facts are read under a lock of the table.  The callback of the relation cache
 * only marks them: it may be called while they are read.
 */
#include "collection/collection.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "index/access_method.h"
#include "index/hnsw/hnsw.h"
#include "index/opclass.h"
#include "nodes/makefuncs.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

static HTAB *known = NULL;

static const struct
{
	const char *name;
	CollectionMetric metric;
} metric_names[] = {
	{"cosine", COLLECTION_COSINE},
	{"l2", COLLECTION_L2},
	{"ip", COLLECTION_IP},
	{"l1", COLLECTION_L1},
	{"euclidean", COLLECTION_L2},
	{"dot_product", COLLECTION_IP},
	{"manhattan", COLLECTION_L1},
};

bool
CollectionMetricByName(const char *name, CollectionMetric *metric)
{
	for (int i = 0; i < lengthof(metric_names); i++)
	{
		if (pg_strcasecmp(name, metric_names[i].name) == 0)
		{
			*metric = metric_names[i].metric;
			return true;
		}
	}
	return false;
}

const char *
CollectionMetricName(CollectionMetric metric)
{
	return metric_names[metric].name;
}

const char *
CollectionMetricOperator(CollectionMetric metric)
{
	static const char *const operators[] = {"<=>", "<->", "<#>", "<+>"};

	return operators[metric];
}

void
CollectionNeedArgument(FunctionCallInfo fcinfo, int n, const char *what)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
}

char *
CollectionTextArgument(FunctionCallInfo fcinfo, int n, const char *what)
{
	CollectionNeedArgument(fcinfo, n, what);
	return text_to_cstring(PG_GETARG_TEXT_PP(n));
}

int
CollectionIntArgument(FunctionCallInfo fcinfo, int n, int otherwise, const char *what, int least, int most)
{
	int			value = PG_ARGISNULL(n) ? otherwise : PG_GETARG_INT32(n);

	if (value < least || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %d and %d, not %d", what, least, most, value)));
	return value;
}

char *
CollectionQualified(const char *name)
{
	return quote_qualified_identifier(COLLECTION_SCHEMA, name);
}

/* pg_extension has no cache by oid; this is called once for each table read. */
char *
CollectionHome(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *name = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("vecdb"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		name = get_namespace_name(((Form_pg_extension) GETSTRUCT(tuple))->extnamespace);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"vecdb\" does not exist")));
	return name;
}

/* ---------------------------------------------------------------------
 * Reading the catalogs
 * --------------------------------------------------------------------- */

/* The metric that a constraint CHECK (vecdb.uses_metric('...')) names. */
static bool
metric_of_constraint(Relation rel, CollectionMetric *metric)
{
	TupleConstr *constraints = RelationGetDescr(rel)->constr;
	bool		found = false;

	for (int i = 0; constraints != NULL && i < constraints->num_check && !found; i++)
	{
		Node	   *node = stringToNode(constraints->check[i].ccbin);
		FuncExpr   *call = (FuncExpr *) node;
		Const	   *argument;
		char	   *name;
		char	   *schema;

		if (!IsA(node, FuncExpr) || list_length(call->args) != 1 || !IsA(linitial(call->args), Const))
			continue;
		argument = linitial_node(Const, call->args);
		name = get_func_name(call->funcid);
		schema = get_namespace_name(get_func_namespace(call->funcid));
		found = name != NULL && schema != NULL && strcmp(name, "uses_metric") == 0 && strcmp(schema, "vecdb") == 0 &&
			argument->consttype == TEXTOID && !argument->constisnull &&
			CollectionMetricByName(TextDatumGetCString(argument->constvalue), metric);
	}
	return found;
}

/*
 * The metric that an hnsw index of ours serves on this column; false for any other index.
 * One that waits for the rows of a collection that was joined (rows/row_index.h) will.
 */
static bool
metric_of_index(Relation index, AttrNumber column, CollectionMetric *metric)
{
	if (IndexMethodOf(index) != INDEX_HNSW || (index->rd_index->indisready && !index->rd_index->indisvalid) ||
		index->rd_index->indnatts != 1 || index->rd_index->indkey.values[0] != column ||
		!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL))
		return false;

	switch (IndexGetOpclass(index)->metric)
	{
		case METRIC_COSINE:
			*metric = COLLECTION_COSINE;
			return true;
		case METRIC_L2:
			*metric = COLLECTION_L2;
			return true;
		case METRIC_IP:
			*metric = COLLECTION_IP;
			return true;
		case METRIC_L1:
			*metric = COLLECTION_L1;
			return true;
		default:
			return false;
	}
}

static void
read_indexes(Relation rel, AttrNumber data, AttrNumber metadata, bool metric_known, Collection *self, bool *has_metric)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;

	*has_metric = metric_known;
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		CollectionMetric metric;

		if (index->rd_rel->relam == GIN_AM_OID && index->rd_index->indisvalid &&
			index->rd_index->indkey.values[0] == metadata)
			self->filter_index = true;
		else if (!self->hnsw && metric_of_index(index, data, &metric) &&
				 (!*has_metric || metric == self->metric))
		{
			HnswOptions *options = (HnswOptions *) index->rd_options;

			self->hnsw = true;
			self->metric = metric;
			self->m = options != NULL ? options->m : HNSW_DEFAULT_M;
			self->ef_construction = options != NULL ? options->ef_construction : HNSW_DEFAULT_EF_CONSTRUCTION;
			*has_metric = true;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
}

/* The number of a column of this type, or InvalidAttrNumber. */
static AttrNumber
column_of_type(Relation rel, const char *name, Oid type)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), name);

	if (attnum <= 0 || TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid != type)
		return InvalidAttrNumber;
	return attnum;
}

/* Fill in the facts; false where the table is no collection. */
static bool
read_facts(Relation rel, Collection *self)
{
	AttrNumber	data = get_attnum(RelationGetRelid(rel), "data");
	AttrNumber	metadata = column_of_type(rel, "metadata", JSONBOID);
	Form_pg_attribute column;
	char	   *home = CollectionHome();
	Oid			home_oid = get_namespace_oid(home, false);
	Oid			half_type;
	bool		has_metric;

	if (!CollectionIsTable(rel->rd_rel->relkind))
		return false;
	if (data <= 0 || metadata == InvalidAttrNumber || column_of_type(rel, "id", TEXTOID) == InvalidAttrNumber)
		return false;

	self->vector_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("vector"), ObjectIdGetDatum(home_oid));
	half_type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("halfvec"), ObjectIdGetDatum(home_oid));
	column = TupleDescAttr(RelationGetDescr(rel), data - 1);
	if ((column->atttypid != self->vector_type && column->atttypid != half_type) || column->atttypmod < 1)
		return false;

	strlcpy(self->name, RelationGetRelationName(rel), NAMEDATALEN);
	strlcpy(self->home, home, NAMEDATALEN);
	self->data_type = column->atttypid;
	self->half = column->atttypid == half_type;
	self->dimensions = column->atttypmod;
	self->hnsw = false;
	self->m = self->ef_construction = 0;
	self->filter_index = false;
	has_metric = metric_of_constraint(rel, &self->metric);
	read_indexes(rel, data, metadata, has_metric, self, &has_metric);
	return has_metric;
}

/* ---------------------------------------------------------------------
 * Remembering
 * --------------------------------------------------------------------- */

static void
forget(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	Collection *entry;

	StatementForget(relid);
	if (OidIsValid(relid))
	{
		entry = hash_search(known, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			entry->valid = false;
		return;
	}
	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
		entry->valid = false;
}

/* Tables that were dropped leave an entry behind: in a long session they may become many. */
#define MANY_ENTRIES 1000

static void
remove_invalid(void)
{
	HASH_SEQ_STATUS status;
	Collection *entry;

	hash_seq_init(&status, known);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (!entry->valid)
			hash_search(known, &entry->relid, HASH_REMOVE, NULL);
	}
}

bool
CollectionFacts(Oid relid, Collection *collection)
{
	Collection *entry;
	Relation	rel;
	bool		found;

	if (known == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(Collection);
		control.hcxt = AllocSetContextCreate(CacheMemoryContext, "vecdb collections", ALLOCSET_SMALL_SIZES);
		known = hash_create("vecdb collections", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	}

	entry = hash_search(known, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->valid)
	{
		*collection = *entry;
		return true;
	}

	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
		return false;
	if (hash_get_num_entries(known) >= MANY_ENTRIES)
		remove_invalid();
	entry = hash_search(known, &relid, HASH_ENTER, &found);

	/* Marked before it is read: a change that comes meanwhile takes the mark away. */
	entry->valid = true;
	PG_TRY();
	{
		found = read_facts(rel, entry);
	}
	PG_CATCH();
	{
		entry->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	relation_close(rel, NoLock);
	*collection = *entry;
	if (!found)
		hash_search(known, &relid, HASH_REMOVE, NULL);
	return found;
}

/* ---------------------------------------------------------------------
 * By name
 * --------------------------------------------------------------------- */

#define MOST_NEAR_NAMES 3

/* The names of collections that the caller may read and that are nearly this one, as a list; or NULL. */
static char *
near_names(const char *name)
{
	StringInfoData list;
	int			length = (int) strlen(name);
	int			allowed = Max(2, length / 3);
	int			count = 0;
	struct
	{
		char	   *name;
		int			distance;
	}			near[MOST_NEAR_NAMES];

	if (length >= NAMEDATALEN)
		return NULL;
	SPI_connect();
	SPI_execute("SELECT relname::pg_catalog.text FROM pg_catalog.pg_class"
				" WHERE relnamespace OPERATOR(pg_catalog.=) '" COLLECTION_SCHEMA "'::pg_catalog.regnamespace"
				" AND relkind OPERATOR(pg_catalog.=) ANY ('{r,p}') AND pg_catalog.has_table_privilege(oid, 'SELECT')"
				" ORDER BY relname LIMIT 1000", true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *other = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		int			distance = varstr_levenshtein_less_equal(name, length, other, (int) strlen(other), 1, 1, 1, allowed, true);
		int			place;

		if (distance > allowed)
			continue;
		if (count < MOST_NEAR_NAMES)
			count++;
		else if (near[count - 1].distance <= distance)
			continue;
		for (place = count - 1; place > 0 && near[place - 1].distance > distance; place--)
			near[place] = near[place - 1];
		near[place].name = other;
		near[place].distance = distance;
	}
	initStringInfo(&list);
	for (int i = 0; i < count; i++)
		appendStringInfo(&list, "%s\"%s\"", i == 0 ? "" : i == count - 1 ? " or " : ", ", near[i].name);
	if (count > 0)
	{
		char	   *result = SPI_palloc(list.len + 1);

		memcpy(result, list.data, list.len + 1);
		SPI_finish();
		return result;
	}
	SPI_finish();
	return NULL;
}

static void pg_attribute_noreturn()
report_unknown(const char *name)
{
	char	   *near = near_names(name);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("collection \"%s\" does not exist", name),
			 near != NULL ? errhint("Perhaps you meant %s.", near)
			 : errhint("vecdb.create_collection() makes one; the view vecdb.collections lists those that you may read.")));
}

/* Has the user each of these rights, for the whole table or for some column? */
static bool
has_rights(Oid relid, AclMode needed)
{
	for (AclMode right = 1; right <= needed; right <<= 1)
	{
		bool		gone = false;

		if ((needed & right) != 0 &&
			pg_class_aclcheck_ext(relid, GetUserId(), right, &gone) != ACLCHECK_OK &&
			(gone || pg_attribute_aclcheck_all(relid, GetUserId(), right, ACLMASK_ANY) != ACLCHECK_OK))
			return false;
	}
	return true;
}

bool
CollectionMayRead(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);

	return OidIsValid(schema) && CollectionIsTable(get_rel_relkind(relid)) &&
		VecdbSchemaCheck(schema, ACL_USAGE) == ACLCHECK_OK && has_rights(relid, ACL_SELECT);
}

static void pg_attribute_noreturn()
report_no_collection(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a collection", name),
			 errdetail("A collection is a table with the columns id text, data vector(n) or halfvec(n) and metadata jsonb, "
					   "and with a metric: that of an hnsw index on data, or the constraint CHECK (vecdb.uses_metric('cosine')).")));
}

/*
 * Called for the relation that has the name now, before it is locked.  Rights are
 * checked first, so that who has none neither waits for the table's lock, nor holds
 * up others, nor learns anything of the table.
 */
static void
check_rights(const RangeVar *range, Oid relid, Oid locked, void *arg)
{
	AclMode		needed = *(AclMode *) arg;

	if (!OidIsValid(relid))
		return;
	if (!CollectionIsTable(get_rel_relkind(relid)))
		report_no_collection(range->relname);
	if (needed == ACL_NO_RIGHTS)
	{
		if (!VecdbOwnsRelation(relid) && !VecdbOwnsSchema(get_rel_namespace(relid)))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, range->relname);
	}
	else if (!has_rights(relid, needed))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, range->relname);
}

static Oid
find_table(char *schema, char *name, LOCKMODE lockmode, AclMode needed)
{
	RangeVar	range = {T_RangeVar};

	/* No name of a table is longer, and the lookup would cut it without a word. */
	if (strlen(name) >= NAMEDATALEN)
		return InvalidOid;
	range.schemaname = schema;
	range.relname = name;
	range.relpersistence = RELPERSISTENCE_PERMANENT;
	range.inh = true;
	range.location = -1;
	return RangeVarGetRelidExtended(&range, lockmode, RVR_MISSING_OK, check_rights, &needed);
}

Oid
CollectionTable(const char *name, LOCKMODE lockmode, AclMode needed)
{
	Oid			relid = find_table(COLLECTION_SCHEMA, pstrdup(name), lockmode, needed);

	if (!OidIsValid(relid) && strchr(name, '.') != NULL)
	{
		List	   *words = textToQualifiedNameList(cstring_to_text(name));

		if (list_length(words) == 2)
			relid = find_table(strVal(linitial(words)), strVal(lsecond(words)), lockmode, needed);
	}
	if (!OidIsValid(relid))
		report_unknown(name);
	return relid;
}

void
CollectionOpen(const char *name, LOCKMODE lockmode, AclMode needed, Collection *collection)
{
	Oid			relid = find_table(COLLECTION_SCHEMA, pstrdup(name), lockmode, needed);

	if (!OidIsValid(relid))
		report_unknown(name);
	if (!CollectionFacts(relid, collection))
		report_no_collection(name);
}
