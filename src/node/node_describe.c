/*
 * node_describe.c
 *	  What a shared table is, in the words that who redeems an invitation is told
 *	  (WIRE.md, REDEEM').
 *
 * Of what vecdb.create_collection() makes: all that another node needs to make it.  Of any
 * other table: a hash of its columns, which the table of the other node has to have, too.
 */
#include "node/node_join.h"

#include "catalog/namespace.h"
#include "collection/collection.h"
#include "core/bytes.h"
#include "node/node_ipc.h"
#include "rows/row_shape.h"
#include "access/relation.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/* Is it a collection, where collections are? */
static bool
is_collection(Oid table, Collection *facts)
{
	return get_rel_namespace(table) == get_namespace_oid(COLLECTION_SCHEMA, true) && CollectionFacts(table, facts);
}

/* What follows the name. */
static void
collection_words(const Collection *facts, char *out, size_t room)
{
	snprintf(out, room, "%d %s %s %s %d %d %d", facts->dimensions, CollectionMetricName(facts->metric),
			 facts->hnsw ? "hnsw" : "flat", facts->half ? "halfvec" : "vector", facts->m, facts->ef_construction,
			 facts->filter_index ? 1 : 0);
}

/* The name of any table as a word of ASCII: it is for messages only. */
static void
table_word(const char *name, char out[NAMEDATALEN])
{
	size_t		len = strnlen(name, NAMEDATALEN - 1);

	for (size_t i = 0; i < len; i++)
		out[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '_';
	out[len] = '\0';
}

void
NodeTableWords(Relation rel, char schema[NODE_SCHEMA_TEXT], char *collection, size_t room)
{
	Collection	facts;

	(void) bytes_hex(RowShapeSchema(RowShapeOf(rel)), NODE_SCHEMA_TEXT / 2, schema);
	collection[0] = '\0';
	if (is_collection(RelationGetRelid(rel), &facts))
		collection_words(&facts, collection, room);
}

/* The table and its indexes, or SYNC_DESCRIBED. */
static SyncDescribed
lock_all(Oid table, Relation *rel)
{
	List	   *indexes;
	ListCell   *cell;
	bool		locked = false;

	if (!ConditionalLockRelationOid(table, AccessShareLock))
		return SYNC_TABLE_LOCKED;
	*rel = try_relation_open(table, NoLock);
	if (*rel == NULL)
		return SYNC_TABLE_GONE;
	indexes = RelationGetIndexList(*rel);
	foreach(cell, indexes)
		locked |= !ConditionalLockRelationOid(lfirst_oid(cell), AccessShareLock);
	if (!locked)
		return SYNC_DESCRIBED;
	relation_close(*rel, NoLock);
	return SYNC_TABLE_LOCKED;
}

SyncDescribed
SyncDescribe(Oid table, char *out, size_t room)
{
	Collection	facts;
	Relation	rel;
	char	   *name = get_rel_name(table);
	SyncDescribed found;

	if (name == NULL)
		return SYNC_TABLE_GONE;
	strlcpy(out, name, room);
	found = lock_all(table, &rel);
	if (found != SYNC_DESCRIBED)
		return found;
	if (is_collection(table, &facts))
	{
		char		words[128];

		collection_words(&facts, words, sizeof(words));
		snprintf(out, room, "%s %s", name, words);
	}
	else if (RowShapeProblems(rel) != NIL)
		found = SYNC_NOT_DESCRIBED;
	else
	{
		char		word[NAMEDATALEN];
		char		schema[NODE_SCHEMA_TEXT];

		table_word(name, word);
		(void) bytes_hex(RowShapeSchema(RowShapeOf(rel)), NODE_SCHEMA_TEXT / 2, schema);
		snprintf(out, room, "%s table %s", word, schema);
	}
	relation_close(rel, NoLock);
	return found;
}
