/*
 * node_join.h
 *	  What vecdb.join() and vecdb.replicate() share (node_join.c, node_replicate.c,
 *	  node_describe.c).
 */
#ifndef VECDB_NODE_JOIN_H
#define VECDB_NODE_JOIN_H

#include "pgcompat.h"

#include "utils/relcache.h"

/* Digits of the hash of a table's columns (core/rows/schema.h), and a zero byte. */
#define NODE_SCHEMA_TEXT 65

/* An answer to SYNC_JOIN: copies in the current memory context. */
typedef struct NodeJoined
{
	char	   *id;				/* of the collection, as vecdb.shared_collections shows it */
	char	   *root;			/* its root key, as hexadecimal digits */
	char	   *description;	/* WIRE.md, REDEEM' */
} NodeJoined;

/* Redeem an invitation: arguments[n] of SYNC_JOIN.  An error where that is refused. */
extern void NodeJoin(const char *const *arguments, int n, NodeJoined *out);

/*
 * Tie a table to the collection that was joined, in this transaction.  The caller has
 * locked it, and it is no collection's; an error where the collection has another one.
 * has_rows: SYNC_JOIN_ROWS has begun with them.  Else it begins with nothing.
 */
extern void NodeJoinBind(const char *root_hex, Oid table, bool has_rows);

/*
 * What a table is that a collection of others is to have here: the hash of its columns,
 * and where it is a collection its words without the name, else "".  An error where it
 * cannot be shared.
 */
extern void NodeTableWords(Relation rel, char schema[NODE_SCHEMA_TEXT], char *collection, size_t room);

/*
 * The current user owns this table, and goes on to own it: it is locked until the end of
 * the transaction.  It must be committed, for the node sees nothing else.
 */
extern void NodeOwnTable(Oid table, LOCKMODE mode);

#endif							/* VECDB_NODE_JOIN_H */
