/*
 * collection.h
 *	  Collections: what one is, the facts about it, statements kept for it.
 *
 * A collection is a table of the schema "collections" with the columns id text,
 * data vector(n) or halfvec(n) and metadata jsonb.  vecdb keeps no catalog of
 * its own: every fact is read from PostgreSQL's, so that what ALTER TABLE, DROP
 * TABLE or a restored dump has done is never contradicted by a row of ours.
 *
 * Facts and prepared statements live for the session, in their own contexts
 * below CacheMemoryContext; relation cache invalidation drops them.
 */
#ifndef VECDB_COLLECTION_H
#define VECDB_COLLECTION_H

#include "pgcompat.h"

#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "storage/block.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "vector/vector.h"

#define COLLECTION_SCHEMA "collections"

#define COLLECTION_MAX_DIM 16000

/* Most that one search returns: its rows are held in memory and sorted. */
#define COLLECTION_MAX_K 10000

typedef enum CollectionMetric
{
	COLLECTION_COSINE,
	COLLECTION_L2,
	COLLECTION_IP,
	COLLECTION_L1
} CollectionMetric;

/* What is known of a collection. */
typedef struct Collection
{
	Oid			relid;			/* key of the cache */
	bool		valid;
	char		name[NAMEDATALEN];
	int			dimensions;
	CollectionMetric metric;
	bool		half;			/* data is halfvec */
	bool		hnsw;			/* an index of access method hnsw serves the metric */
	int			m;				/* of that index */
	int			ef_construction;
	bool		filter_index;	/* a GIN index on metadata */
	Oid			vector_type;	/* vector, whatever data is */
	Oid			data_type;
	char		home[NAMEDATALEN];	/* schema of types and operators */
} Collection;

/* A kept statement.  All of a kind with equal limit and filter are the same. */
typedef enum StatementKind
{
	STATEMENT_SEARCH,			/* in the order of the index: limit, filter */
	STATEMENT_EXACT,			/* every row is looked at: filter */
	STATEMENT_UPSERT
} StatementKind;

typedef struct Statement Statement;

/*
 * facts.c
 */

/*
 * Find the collection of that name, lock its table until the end of the transaction,
 * and copy its facts, since the remembered ones may change while statements run.
 * An error when there is none, or when the current user lacks a right that is needed
 * (ACL_SELECT, ACL_INSERT, each on some column; ACL_NO_RIGHTS: ownership of the table
 * or of the schema).  Rights are checked before the table is locked and before an
 * error tells anything of it.
 */
extern void CollectionOpen(const char *name, LOCKMODE lockmode, AclMode needed, Collection *collection);

/*
 * The same, but only the table: it need not be a collection any more, nor in the
 * schema of collections, where the name is qualified with another.
 */
extern Oid	CollectionTable(const char *name, LOCKMODE lockmode, AclMode needed);

/*
 * Is this a table, or a partitioned one, of which the current user may read some
 * column?  Looks only, without a lock; false also for what is gone.
 */
extern bool CollectionMayRead(Oid relid);

/* Is a relation of this kind a table, or a partitioned one? */
static inline bool
CollectionIsTable(char relkind)
{
	return relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE;
}

/* The facts of a table that the caller has locked; false where it is no collection. */
extern bool CollectionFacts(Oid relid, Collection *collection);

/* Metrics by name (also the long words) and their names; false for an unknown one. */
extern bool CollectionMetricByName(const char *name, CollectionMetric *metric);
extern const char *CollectionMetricName(CollectionMetric metric);
extern const char *CollectionMetricOperator(CollectionMetric metric);

/* The schema that holds the types of the extension. */
extern char *CollectionHome(void);

/*
 * Arguments of functions, which an error calls by what they are: one that must not
 * be NULL; a text, which must not be NULL, as a C string; a number between least
 * and most, with a value in place of NULL.
 */
extern void CollectionNeedArgument(FunctionCallInfo fcinfo, int n, const char *what);
extern char *CollectionTextArgument(FunctionCallInfo fcinfo, int n, const char *what);
extern int	CollectionIntArgument(FunctionCallInfo fcinfo, int n, int otherwise, const char *what, int least, int most);

/* collections."name", quoted as need be */
extern char *CollectionQualified(const char *name);

/*
 * Until the end of the transaction nobody else creates a collection of that name.
 * Without this lock, the later of two transactions that do so at once would fail
 * within CREATE TABLE, with an error that names an index of the catalog.
 */
static inline void
CollectionLockName(const char *name)
{
	LockDatabaseObject(RelationRelationId, hash_bytes((const unsigned char *) name, strlen(name)), 0, ExclusiveLock);
}

/*
 * The longest id in bytes: what an entry of the primary key's index holds, with
 * some room.
 */
#define COLLECTION_MAX_ID	2000

/*
 * statement.c
 */

/*
 * The kept statement, or NULL; and a new one, which is kept.  SPI must be
 * connected.  Executing gives what SPI_execute_plan does.
 */
extern Statement *StatementFind(const Collection *collection, StatementKind kind, int limit, const char *filter);
extern Statement *StatementPrepare(const Collection *collection, StatementKind kind, int limit, const char *filter,
								   const char *text, int nargs, Oid *types, int options);
extern int	StatementExecute(Statement *self, Datum *values, bool read_only, int64 count);

/* The facts about a table, or about all, changed: drop what was made from them. */
extern void StatementForget(Oid relid);

/*
 * upsert.c
 */

/*
 * Insert rows, or replace those of the same id; the last of equal ids wins.
 * ids[n] are texts, or NULL pointers, which UUIDs replace; vectors[n] are not
 * NULL; metadata[n] are jsonb, or 0 for an empty object.
 */
extern void CollectionUpsert(const char *name, int n, Datum *ids, Datum *vectors, Datum *metadata);

#endif							/* VECDB_COLLECTION_H */
