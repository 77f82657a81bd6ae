/*
 * listing.h
 *	  Collections as a library outside vecdb.so asks for them: by name, and all that
 *	  a role may read.
 *
 * Everything here checks the rights of the current user as the functions of SQL
 * do: who may read nothing of a collection learns nothing of it.
 */
#ifndef VECDB_COLLECTION_LISTING_H
#define VECDB_COLLECTION_LISTING_H

#include "pgcompat.h"

#include "utils/resowner.h"

typedef struct CollectionListed
{
	Oid			relid;
	char		name[NAMEDATALEN];
	int			dimensions;
} CollectionListed;

StaticAssertDecl(sizeof(CollectionListed) == NAMEDATALEN + 8, "what vecdb.so lists is what other libraries read");

/* The relation of this name in the schema of collections, be it a collection or not; InvalidOid: none. */
extern PGDLLEXPORT Oid CollectionRelid(const char *name);

/*
 * The table of a collection, which stays as it is until the end of the transaction;
 * an error when no collection has that name, or the current user may read nothing
 * of it.
 */
extern PGDLLEXPORT Oid CollectionHold(const char *name);

/*
 * Dimensions of a collection; 0 when there is no such table or it is no collection.
 * An error when the current user may read nothing of the table.
 */
extern PGDLLEXPORT int CollectionDimensions(const char *name);

/*
 * The collections that the current user may read, by name, palloc'ed; how many.
 * An error where there are more than vecdb.max_collections.
 */
extern PGDLLEXPORT int CollectionList(CollectionListed **list);

/*
 * The tables of a schema, be they collections or not, but no more than so many: how
 * many there are.  list, where it is not NULL, gets their oids and names, palloc'ed
 * and in no order.
 */
extern int	CollectionTables(Oid schema, int most, CollectionListed **list);

/*
 * A look into one of many collections.  The locks that it takes, of the table and
 * each of its indexes, go with its subtransaction: kept until the end of the
 * transaction, those of some thousand would fill the lock table of the server.
 */
typedef struct CollectionVisit
{
	MemoryContext context;
	ResourceOwner owner;
} CollectionVisit;

StaticAssertDecl(sizeof(CollectionVisit) == 2 * sizeof(void *), "vecdb.so writes into what other libraries give");

/*
 * Begin: lock the table, which may have been dropped, moved or renamed since it was
 * listed, and put its present name into *collection; false where it is not in the
 * schema of collections any more.  End: release the lock.  Results of statements that
 * ran in between are freed with the end.
 */
extern PGDLLEXPORT bool CollectionVisitBegin(CollectionVisit *self, CollectionListed *collection);
extern PGDLLEXPORT void CollectionVisitEnd(CollectionVisit *self);

/* A random UUID as text, as vecdb.upsert() gives to rows without an id. */
extern PGDLLEXPORT char *CollectionNewId(void);

#endif							/* VECDB_COLLECTION_LISTING_H */
