/*
 * node_table.h
 *	  The tables of the extension that hold memberships and what a node keeps of
 *	  shared rows, read and written without SQL.
 *
 * Who uses them has more rights than who owns them, perhaps: nothing that the
 * owner can hang on a table is ever run.  There is no plan and no trigger, rule,
 * policy, default or constraint in it; rows go to the heap and to its indexes,
 * and a table or an index that is not as the extension made it is refused.
 *
 * Used by a node's worker and by vecdb.join(), inside a transaction with an
 * active snapshot.
 */
#ifndef VECDB_NODE_TABLE_H
#define VECDB_NODE_TABLE_H

#include "pgcompat.h"

#include "access/genam.h"
#include "access/htup.h"
#include "utils/relcache.h"

/* Lengths of keys and statements, as in core/grant.h. */
#define SYNC_ROOT_BYTES 32
#define SYNC_ID_TEXT 65			/* digits of a collection's id, and a zero byte */
#define SYNC_STATEMENT_BYTES 240

typedef enum SyncTableKind
{
	SYNC_SHARED_COLLECTION,
	SYNC_MEMBERSHIP_STATEMENT,
	SYNC_ROW_INCARNATION,		/* the columns of these four are row_state.c's */
	SYNC_ROW_FRONTIER,
	SYNC_HELD_ROW,
	SYNC_ROW_CONFLICT,
	SYNC_SCHEMA_CHANGE
} SyncTableKind;

/* Columns of vecdb.shared_collection, vecdb.membership_statement and vecdb.schema_change. */
#define SHARED_ROOT 1
#define SHARED_TABLE 2
#define SHARED_NAME 3
#define SHARED_LEAVING 4
#define SHARED_SINCE 5
#define SHARED_ROLE 6
#define SHARED_PAUSED 7
#define SHARED_COLUMNS 7
#define STATEMENT_ROOT 1
#define STATEMENT_STATEMENT 2
#define STATEMENT_COLUMNS 2
#define SCHEMA_CHANGE_ROOT 1
#define SCHEMA_CHANGE_HASH 2
#define SCHEMA_CHANGE_STATEMENT 3
#define SCHEMA_CHANGE_APPLIED 4
#define SCHEMA_CHANGE_COLUMNS 4

typedef struct SyncTable
{
	Relation	rel;
	Relation	key;			/* index of the primary key */
	Relation	other;			/* index of another order; NULL where the table has none */
	bool		wait;
} SyncTable;

StaticAssertDecl(sizeof(SyncTable) == 4 * sizeof(void *), "vecdb.so writes into what vecdb_sync.so gives");

typedef enum SyncTableFound
{
	SYNC_TABLES_THERE,
	SYNC_TABLES_OLD,			/* of an extension that knows less */
	SYNC_TABLES_ABSENT			/* there is no extension */
} SyncTableFound;

/* Is the extension here, with tables that have these columns?  Takes no lock on them. */
extern PGDLLEXPORT SyncTableFound SyncTablesFind(void);

/*
 * Open a table for reading or writing; locks stay until the end of the
 * transaction.  An error when it is not as the extension made it, and, unless
 * wait, at once when somebody has locked it or, later, a row.
 */
extern PGDLLEXPORT void SyncTableOpen(SyncTable *self, SyncTableKind kind, bool writing, bool wait);
extern PGDLLEXPORT void SyncTableClose(SyncTable *self);

/* Is this the table of a collection that the node is a member of, as far as is committed or by this transaction? */
extern PGDLLEXPORT bool SyncTableIsShared(Oid table);

/* The same, and the id of the collection: the digits that vecdb.shared_collections shows, into id[SYNC_ID_TEXT]. */
extern bool SyncTableId(Oid table, char *id);

/* The same, and the collection's root key. */
extern bool SyncTableRoot(Oid table, uint8 root[SYNC_ROOT_BYTES]);

/* The table of the collection with this id; InvalidOid: there is none. */
extern Oid	SyncTableOfId(const char *id);

/* Rows in the order of the primary key; of one root[SYNC_ROOT_BYTES] unless it is NULL. */
extern PGDLLEXPORT SysScanDesc SyncTableScan(SyncTable *self, const uint8 *root);

/* Is there a row whose root begins with bytes[len]? */
extern PGDLLEXPORT bool SyncTableHasRoot(SyncTable *self, const uint8 *bytes, size_t len);

/* A column of exactly len bytes, or NULL; a copy. */
extern PGDLLEXPORT const uint8 *SyncTableBytes(SyncTable *self, HeapTuple row, int column, size_t len);

/* The same of at least one byte and at most `most`; *len gets how many. */
extern PGDLLEXPORT const uint8 *SyncTableBytesUpTo(SyncTable *self, HeapTuple row, int column, size_t most, size_t *len);

/* A column of at most room - 1 bytes of text, else "". */
extern PGDLLEXPORT void SyncTableText(SyncTable *self, HeapTuple row, int column, char *out, size_t room);

/* A column of a type that is passed by value. */
extern PGDLLEXPORT Datum SyncTableValue(SyncTable *self, HeapTuple row, int column, bool *isnull);

extern PGDLLEXPORT void SyncTableInsert(SyncTable *self, Datum *values, bool *nulls);
extern PGDLLEXPORT void SyncTableUpdate(SyncTable *self, HeapTuple row, Datum *values, bool *nulls, bool *replace);

/* Is the row as it was seen, and has nobody locked it?  Then it is ours until the end of the transaction. */
extern PGDLLEXPORT bool SyncTableTryRow(SyncTable *self, HeapTuple row);
extern PGDLLEXPORT void SyncTableDelete(SyncTable *self, HeapTuple row);

/* bytes[len] as a bytea */
extern PGDLLEXPORT Datum SyncBytea(const void *bytes, size_t len);

#endif							/* VECDB_NODE_TABLE_H */
