/*
 * node_join.c
 *	  vecdb.join(): the worker redeems the invitation, this backend creates the table
 *	  and ties it to the collection.
 *
 * The table and its tie are of the transaction that joins; what the network knows is
 * not undone with it, and joining again makes up for that.
 */
#include "collection/collection.h"
#include "node/node_ask.h"
#include "node/node_join.h"
#include "node/node_table.h"
#include "rows/capture.h"
#include "rows/row_index.h"
#include "rows/row_state.h"
#include "spi_column.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "fault_point.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(vecdb_join);

/*
 * The row may belong to anybody: it is written without SQL, so that nothing of its
 * owner's runs.
 */
void
NodeJoinBind(const char *root_hex, Oid table, bool has_rows)
{
	uint8		root[SYNC_ROOT_BYTES];
	Datum		values[SHARED_COLUMNS] = {0};
	bool		nulls[SHARED_COLUMNS] = {false};
	bool		replace[SHARED_COLUMNS] = {false};
	SyncTable	shared;
	SysScanDesc scan;
	HeapTuple	row;
	bool		bound = true;
	bool		isnull;

	if (strlen(root_hex) != 2 * SYNC_ROOT_BYTES || hex_decode(root_hex, 2 * SYNC_ROOT_BYTES, (char *) root) != SYNC_ROOT_BYTES)
		elog(ERROR, "the node's answer holds no key");
	PushActiveSnapshot(GetLatestSnapshot());
	SyncTableOpen(&shared, SYNC_SHARED_COLLECTION, true, true);
	scan = SyncTableScan(&shared, root);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	if (HeapTupleIsValid(row))
	{
		(void) SyncTableValue(&shared, row, SHARED_TABLE, &isnull);
		bound = !isnull || DatumGetBool(SyncTableValue(&shared, row, SHARED_LEAVING, &isnull));
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table of the collection was not created in time"),
				 errdetail("The node waits %d seconds for it.", 2 * SYNC_ANSWER_MS / 1000),
				 errhint("Join again: the same invitation is still good.")));
	if (bound)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("this database holds the collection already"),
				 errhint("vecdb.shared_collections lists what it holds.")));
	values[SHARED_TABLE - 1] = ObjectIdGetDatum(table);
	replace[SHARED_TABLE - 1] = true;
	SyncTableUpdate(&shared, row, values, nulls, replace);
	/* what an earlier copy had covered is not in this one */
	if (!has_rows)
		RowStateForget(root);
	systable_endscan_ordered(scan);
	SyncTableClose(&shared);
	PopActiveSnapshot();
	CommandCounterIncrement();
	NodeReloadAtCommit();
}

/*
 * Create the table that the description (WIRE.md) tells of.  What comes from the
 * network is passed as values and judged by create_collection() as if a user had
 * typed it.
 */
static Oid
create_table(const char *name, char *description)
{
	char	   *word[8];
	char	   *rest = NULL;
	Oid			types[8] = {TEXTOID, INT4OID, TEXTOID, TEXTOID, INT4OID, INT4OID, TEXTOID, BOOLOID};
	Datum		values[8];
	char		nulls[9] = "        ";
	bool		isnull;
	bool		hnsw;

	for (int i = 0; i < 8; i++)
	{
		word[i] = strtok_r(i == 0 ? description : NULL, " ", &rest);
		if (!word[i])
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("the node that invites does not say what the collection is"),
					 errhint("Its table may have been dropped there.")));
	}
	hnsw = strcmp(word[3], "hnsw") == 0;
	values[0] = CStringGetTextDatum(name ? name : word[0]);
	values[1] = Int32GetDatum(pg_strtoint32(word[1]));
	values[2] = CStringGetTextDatum(word[2]);
	values[3] = CStringGetTextDatum(word[3]);
	values[4] = Int32GetDatum(hnsw ? pg_strtoint32(word[5]) : 16);
	values[5] = Int32GetDatum(hnsw ? pg_strtoint32(word[6]) : 200);
	values[6] = CStringGetTextDatum(word[4]);
	values[7] = BoolGetDatum(word[7][0] == '1');
	if (SPI_execute_with_args("SELECT vecdb.create_collection(name => $1, dimensions => $2, metric => $3, index_type => $4, "
							  "m => $5, ef_construction => $6, storage => $7, filter_index => $8)::pg_catalog.oid",
							  8, types, values, nulls, false, 0) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not create the table of a collection");
	return DatumGetObjectId(SpiColumn(0, 1, OIDOID, &isnull));
}

void
NodeJoin(const char *const *arguments, int n, NodeJoined *out)
{
	char	  **field[] = {&out->id, &out->root, &out->description};
	NodeQuestion	question;

	NodeAsk(&question, SYNC_JOIN, NODE_SMALL_ANSWER, arguments, n);
	for (int i = 0; i < (int) lengthof(field); i++)
	{
		const char *answer;

		if (!NodeAnswerNext(&question, &answer) || !answer)
			elog(ERROR, "the node's answer lacks a field");
		*field[i] = pstrdup(answer);
	}
	NodeAnswerDone(&question);
}

Datum
vecdb_join(PG_FUNCTION_ARGS)
{
	const char *arguments[1] = {CollectionTextArgument(fcinfo, 0, "invitation")};
	char	   *name = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			schema = get_namespace_oid("collections", false);
	NodeJoined	joined;
	Oid			table;
	AclResult	allowed;

	PreventCommandIfReadOnly("vecdb.join()");
	/* An invitation is good once: what can be refused is refused before. */
	allowed = VecdbSchemaCheck(schema, ACL_CREATE);
	if (allowed != ACLCHECK_OK)
		aclcheck_error(allowed, OBJECT_SCHEMA, "collections");
	if (name && OidIsValid(get_relname_relid(name, schema)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("collection \"%s\" already exists", name),
				 errhint("Give another name as the second argument; the invitation is still good.")));
	NodeJoin(arguments, 1, &joined);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	table = create_table(name, joined.description);
	NodeJoinBind(joined.root, table, false);
	SPI_finish();
	FAULT_POINT("join-bound");
	(void) CaptureBegin(table);
	RowIndexDefer(table);
	FAULT_POINT("join-before-commit");
	PG_RETURN_OID(table);
}
