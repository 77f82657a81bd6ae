/*
 * shim.c
 *	  What the script of the extension "vector" calls, the stand-in for pgvector.
 *
 * Every migration sends CREATE EXTENSION IF NOT EXISTS vector, and none CASCADE.
 * So the stand-in cannot require vecdb in its control file: its script brings it
 * here, as CASCADE would: for the same owner and in the same schema.  PostgreSQL
 * knows one extension in the making at a time, which is therefore put aside for
 * that while.
 */
#include "pgcompat.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

/* Owner and schema of an extension. */
static void
read_extension(Oid extension, Oid *owner, Oid *schema)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(extension));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find tuple for extension %u", extension);
	*owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	*schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/*
 * Create vecdb while the script of another extension runs.  The script runs with
 * the rights of the bootstrap superuser; whether its caller may create vecdb is
 * asked anew, of the caller.
 */
static Oid
create_vecdb(Oid owner, Oid schema)
{
	CreateExtensionStmt *stmt = makeNode(CreateExtensionStmt);
	ParseState *pstate = make_parsestate(NULL);
	Oid			outer = CurrentExtensionObject;
	Oid			user;
	int			security;
	ObjectAddress created;

	stmt->extname = pstrdup("vecdb");
	stmt->options = list_make1(makeDefElem("schema", (Node *) makeString(get_namespace_name(schema)), -1));

	/* An error ends the transaction, and with it all of this state. */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(owner, security | SECURITY_LOCAL_USERID_CHANGE);
	creating_extension = false;
	CurrentExtensionObject = InvalidOid;
	created = CreateExtension(pstate, stmt);
	creating_extension = true;
	CurrentExtensionObject = outer;
	SetUserIdAndSecContext(user, security);

	free_parsestate(pstate);
	return created.objectId;
}

/*
 * Create vecdb where it is missing, and make the extension in the making depend
 * on it.
 */
PG_FUNCTION_INFO_V1(vecdb_for_vector);
Datum
vecdb_for_vector(PG_FUNCTION_ARGS)
{
	ObjectAddress vector = {ExtensionRelationId, CurrentExtensionObject, 0};
	ObjectAddress vecdb = {ExtensionRelationId, get_extension_oid("vecdb", true), 0};
	Oid			owner;
	Oid			schema;

	if (!creating_extension || vector.objectId != get_extension_oid("vector", true))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("only the script of extension \"vector\" may call this function")));
	read_extension(vector.objectId, &owner, &schema);
	if (!OidIsValid(vecdb.objectId))
		vecdb.objectId = create_vecdb(owner, schema);
	else
	{
		Oid			there;

		read_extension(vecdb.objectId, &owner, &there);
		if (there != schema)
			ereport(WARNING,
					(errmsg("the types are in schema \"%s\", with extension \"vecdb\"", get_namespace_name(there))));
	}
	recordDependencyOn(&vector, &vecdb, DEPENDENCY_NORMAL);
	PG_RETURN_VOID();
}
