/*
 * listing.c
 *	  The collections that a role may read.
 *
 * A request that names no collection needs the list, and to look at every table
 * takes longer than to search one of them.  So the list is kept until the relation
 * cache hears of any change, somebody becomes a member of a role, or another role
 * asks.
 */
#include "collection/listing.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "collection/collection.h"
#include "guc.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

static CollectionListed *known;
static int	nknown;
static uint64 known_as_of;		/* changes when the list was made */
static Oid	known_for;			/* the role that asked */
static Oid	known_in;			/* the schema, which another one may have been renamed to */
static uint64 changes = 1;		/* heard of; 0 is before all of them */

Oid
CollectionRelid(const char *name)
{
	Oid			schema = get_namespace_oid(COLLECTION_SCHEMA, true);

	if (!OidIsValid(schema) || strlen(name) >= NAMEDATALEN)
		return InvalidOid;
	return get_relname_relid(name, schema);
}

Oid
CollectionHold(const char *name)
{
	Collection	collection;

	CollectionOpen(name, AccessShareLock, ACL_SELECT, &collection);
	return collection.relid;
}

/* 0 where it is no collection that the current user may read. */
static int
dimensions_of(Oid relid)
{
	Collection	collection;
	int			dimensions = 0;
	Relation	rel;

	if (!CollectionMayRead(relid))
		return 0;
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return 0;
	/* rights may have changed while we waited */
	if (CollectionMayRead(relid) && CollectionFacts(relid, &collection))
		dimensions = collection.dimensions;
	relation_close(rel, AccessShareLock);
	return dimensions;
}

int
CollectionDimensions(const char *name)
{
	Oid			relid = CollectionRelid(name);

	if (!OidIsValid(relid) || !CollectionIsTable(get_rel_relkind(relid)))
		return 0;
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, name);
	return dimensions_of(relid);
}

static void
hear_change(Datum arg, Oid relid)
{
	changes++;
}

static void
hear_membership(Datum arg, int cacheid, uint32 hashvalue)
{
	changes++;
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(((const CollectionListed *) a)->name, ((const CollectionListed *) b)->name);
}

int
CollectionTables(Oid schema, int most, CollectionListed **list)
{
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			n = 0;
	int			size = 64;

	if (list)
		*list = palloc(sizeof(CollectionListed) * size);
	ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(schema));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (n < most && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class table = (Form_pg_class) GETSTRUCT(tuple);

		CHECK_FOR_INTERRUPTS();
		if (!CollectionIsTable(table->relkind))
			continue;
		if (list && n == size)
			*list = repalloc_huge(*list, sizeof(CollectionListed) * (size *= 2));
		if (list)
		{
			(*list)[n].relid = table->oid;
			strlcpy((*list)[n].name, NameStr(table->relname), NAMEDATALEN);
		}
		n++;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return n;
}

static void
learn_collections(Oid schema)
{
	uint64		as_of;
	CollectionListed *tables,
			   *list;
	int			ntables;
	int			n = 0;

	/*
	 * A commit becomes visible before its invalidation message is sent.  So the
	 * catalog as it is read below shows every change that has been heard of, and a
	 * change that commits later raises the counter later.
	 */
	AcceptInvalidationMessages();
	as_of = changes;
	ntables = CollectionTables(schema, INT_MAX, &tables);
	for (int i = 0; i < ntables; i++)
	{
		CHECK_FOR_INTERRUPTS();
		tables[i].dimensions = dimensions_of(tables[i].relid);
		if (tables[i].dimensions > 0)
			tables[n++] = tables[i];
	}
	qsort(tables, n, sizeof(CollectionListed), compare_names);
	list = MemoryContextAllocHuge(TopMemoryContext, sizeof(CollectionListed) * Max(n, 1));
	memcpy(list, tables, sizeof(CollectionListed) * n);
	pfree(tables);
	if (known)
		pfree(known);
	known = list;
	nknown = n;
	known_for = GetUserId();
	known_in = schema;
	known_as_of = as_of;
}

int
CollectionList(CollectionListed **list)
{
	static bool listening = false;
	int			n = 0;
	Oid			schema = get_namespace_oid(COLLECTION_SCHEMA, true);

	if (!listening)
	{
		CacheRegisterRelcacheCallback(hear_change, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, hear_membership, (Datum) 0);
		/* up to 15 ALTER ROLE ... INHERIT is of the role; an owner of the database is a member of pg_database_owner */
		CacheRegisterSyscacheCallback(AUTHOID, hear_membership, (Datum) 0);
		CacheRegisterSyscacheCallback(DATABASEOID, hear_membership, (Datum) 0);
		listening = true;
	}
	*list = NULL;
	if (!OidIsValid(schema) || VecdbSchemaCheck(schema, ACL_USAGE) != ACLCHECK_OK)
		return 0;
	if (known_as_of != changes || known_for != GetUserId() || known_in != schema)
		learn_collections(schema);
	if (nknown > VecdbMaxCollections)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there are %d collections, more than %d, which is the most that are looked into at once", nknown, VecdbMaxCollections),
				 errdetail("The limit is the setting vecdb.max_collections."),
				 errhint("Name the collection.")));
	*list = palloc(sizeof(CollectionListed) * Max(nknown, 1));
	for (int i = 0; i < nknown; i++)
	{
		bool		gone = false;

		if (pg_class_aclcheck_ext(known[i].relid, GetUserId(), ACL_SELECT, &gone) == ACLCHECK_OK)
			(*list)[n++] = known[i];
	}
	return n;
}

bool
CollectionVisitBegin(CollectionVisit *self, CollectionListed *collection)
{
	Relation	table;
	bool		there;

	CHECK_FOR_INTERRUPTS();
	self->context = CurrentMemoryContext;
	self->owner = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(self->context);
	table = try_relation_open(collection->relid, AccessShareLock);
	there = table != NULL && RelationGetNamespace(table) == get_namespace_oid(COLLECTION_SCHEMA, true);
	if (there)
		strlcpy(collection->name, RelationGetRelationName(table), NAMEDATALEN);
	if (table != NULL)
		relation_close(table, NoLock);
	return there;
}

void
CollectionVisitEnd(CollectionVisit *self)
{
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(self->context);
	CurrentResourceOwner = self->owner;
}

char *
CollectionNewId(void)
{
	LOCAL_FCINFO(call, 0);

	InitFunctionCallInfoData(*call, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetCString(DirectFunctionCall1(uuid_out, gen_random_uuid(call)));
}
