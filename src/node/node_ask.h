/*
 * node_ask.h
 *	  How a backend asks the worker of its database (node_ipc.h): a question, the
 *	  wait for its answer, the strings of the answer.
 */
#ifndef VECDB_NODE_ASK_H
#define VECDB_NODE_ASK_H

#include "pgcompat.h"

#include "fmgr.h"
#include "node/node_ipc.h"

/* Bytes for the strings of a question, and then of its answer. */
#define NODE_SMALL_ANSWER (64 * 1024)
#define NODE_LARGE_ANSWER (2 * 1024 * 1024)

typedef struct NodeQuestion
{
	SyncShared *shared;
	SyncNode   *slot;
	SyncPlace  *place;
	dsm_segment *segment;
	SyncCall   *call;
	uint32		at;				/* what was read of the answer */
} NodeQuestion;

/* Raises that this server, or this database, has no node: a copy of the worker's reason, or NULL for no slot. */
extern void NodeNotPreloaded(void);
extern void NodeNoWorker(const char *reason, int state);

/* The slot of this database; NULL when it has none.  The lock of shared memory is held. */
extern SyncNode *NodeOwnSlot(SyncShared *shared);

/*
 * Ask; comes back with an answer without error, or raises one.  The answer lives
 * as long as the segment, which goes with the transaction or by NodeAnswerDone().
 */
extern void NodeAsk(NodeQuestion *question, SyncOp op, uint32 room, const char *const *arguments, int n);

/* The same, of a question that the worker answers at once: an error where it does not within `most_ms`. */
extern void NodeAskWithin(NodeQuestion *question, SyncOp op, uint32 room, const char *const *arguments, int n, int most_ms);
extern void NodeAnswerDone(NodeQuestion *question);

/* The next string of the answer; false at its end. */
extern bool NodeAnswerNext(NodeQuestion *question, const char **text);

/* A string of an answer as a value of a column. */
extern Datum NodeAnswerValue(Oid type, const char *text);

/* Ask, and let the answer's rows be the result of a function. */
extern void NodeAskForRows(FunctionCallInfo fcinfo, SyncOp op, const char *const *arguments, int n);

/*
 * The table of a collection, by its id or by the name that vecdb.shared_collections
 * shows, for the worker, which sees only what is committed; `owned`: the caller must own
 * it, else be able to read it.  A shared collection stays shared when its table is moved
 * to another schema or altered until it is a collection no more; its owner must still be
 * able to leave.
 */
extern Oid	NodeSharedTable(const char *name, bool owned);

/* Once this transaction is committed, have the worker look at its tables. */
extern void NodeReloadAtCommit(void);

#endif							/* VECDB_NODE_ASK_H */
