/*
 * find.h
 *	  Lookups of a node, and the looks for members of its collections.
 */
#ifndef CORE_FIND_H
#define CORE_FIND_H

#include "core/net/group.h"
#include "core/net/kad_node.h"

typedef struct NodeLookup
{
	uint64_t	tag;			/* of the caller; 0: ours, for a group */
	int64_t		started_ms;
	bool		active;
	KadId		target;
} NodeLookup;

/* Begin a lookup; tag 0: for a collection.  False when too many are under way. */
extern bool find_start(Node *self, const KadId *target, bool for_providers, uint64_t tag);

/* Greet whom this record names, where that has not been done. */
extern void find_connect(Node *self, NodeRecord *record);

/* Look for members when fewer are connected than there could be; the end of such a lookup. */
extern void find_members(Node *self, NodeGroup *g);
extern void find_done(Node *self, const KadId *target, const KadLookup *lookup);

#endif							/* CORE_FIND_H */
