/*
 * kad_node_state.h
 *	  All that a KadNode is: what the files of kad_node.h's functions share.
 *
 *	  kad_node.c		its life, what comes to it, what it answers
 *	  kad_request.c		its requests that are not answered yet
 *	  kad_task.c		its lookups
 *	  kad_announce.c	what it announces, and what it hands on of others
 *	  kad_upkeep.c		refreshes, pings of the silent, the absent
 *
 * A request that is sent, is answered or fails may begin others, end a lookup and
 * call the host: after such a call no pointer into pending[], task[] or held[] is
 * good, and no index unless it is looked at anew.
 */
#ifndef CORE_KAD_NODE_STATE_H
#define CORE_KAD_NODE_STATE_H

#include "core/net/kad_node.h"

#define KAD_SWEEP_MS 10000		/* between looks for the silent and the absent */
#define KAD_NO_TASK UINT32_MAX

typedef enum KadPurpose
{
	KAD_FOR_PING,
	KAD_FOR_LOOKUP,
	KAD_FOR_PROVIDE,			/* brings an announcement of this node itself */
	KAD_FOR_HANDING_ON			/* brings one of another node to a newcomer */
} KadPurpose;

/* A request, until it is answered or late. */
typedef struct KadPending
{
	uint64_t	request;
	NodeRecord *to;				/* referenced */
	int64_t		sent_ms;
	uint32_t	task;			/* serial of the lookup's task, or KAD_NO_TASK */
	uint8_t		purpose;		/* KadPurpose */
} KadPending;

typedef enum KadTaskKind
{
	KAD_TASK_USER,
	KAD_TASK_SELF,
	KAD_TASK_REFRESH,
	KAD_TASK_PUBLISH,
	KAD_TASK_WITHDRAW
} KadTaskKind;

/* A lookup, and what it is for. */
typedef struct KadTask
{
	KadLookup	lookup;
	uint64_t	tag;
	uint32_t	serial;
	KadTaskKind kind;
} KadTask;

/*
 * A collection that the node announces.  Nodes that cannot be reached while it is
 * withdrawn go on naming this node, until its last record expires: so a withdrawal is
 * announced again after WITHDRAW_AGAIN_MS, and then each time after twice as long.
 */
typedef struct KadHeld
{
	KadId		collection;
	int64_t		next_ms;		/* tick of the next announcement */
	int64_t		wait_ms;		/* of a withdrawal, from the next announcement to the one after it */
	bool		withdrawn;
} KadHeld;

/* A node that was in the table and stopped answering. */
typedef struct KadAbsent
{
	NodeRecord *record;			/* referenced */
	int64_t		next_ms;		/* tick of the next ping */
	int64_t		wait_ms;		/* between the last two */
} KadAbsent;

struct KadNode
{
	KadConfig	config;
	NodeRecord *own;			/* referenced */
	KadTable	table;
	ProviderStore store;
	KadStats	stats;
	uint64_t	next_request;
	uint32_t	next_serial;
	bool		joined;
	int			n_pings;		/* of pending[] */
	int			n_pending;
	int			pending_room;
	KadPending *pending;
	int			n_tasks;
	KadTask    *task[KAD_LOOKUPS];
	int			n_held;
	int			held_room;
	KadHeld    *held;			/* a collection stands there once */
	int			n_absent;
	KadAbsent	absent[KAD_ABSENT]; /* a node stands there once */
	int64_t		issued_ms;		/* unix, of the last provider record: the next is newer */
	int64_t		answered_ms;	/* tick of the last answer from anybody */
	int64_t		self_ms;		/* ticks at which each is due */
	int64_t		sweep_ms;
	int64_t		expire_ms;
	int64_t		merge_ms;
	int64_t		slow_ms;
	int64_t		refresh_ms;		/* config's, jittered once */
	int64_t		bucket_ms;		/* when to look for stale buckets again */
};

/* ---- requests ---- */

/* Send m, whose number and version are filled in.  False: too many are open, or there is no memory. */
extern bool kad_request_send(KadNode *self, CoreClock clock, NodeRecord *to, WireMessage *m,
							 KadPurpose purpose, uint32_t task);

/* Unless `most` pings are out.  True also when one to this node is under way. */
extern bool kad_request_ping(KadNode *self, CoreClock clock, NodeRecord *to, int most);

/* The index in pending[] of a request to the node with this id, or -1. */
extern int	kad_request_find(const KadNode *self, const KadId *to, uint64_t request);

/* How many for this purpose are open. */
extern int	kad_request_count(const KadNode *self, KadPurpose purpose);

/* Drop the i-th; the last takes its index. */
extern void kad_request_forget(KadNode *self, int i);

/* The i-th will not be answered. */
extern void kad_request_failed(KadNode *self, CoreClock clock, int i);

/* ---- lookups ---- */

/* NULL when KAD_LOOKUPS are under way or there is no memory. */
extern KadTask *kad_task_start(KadNode *self, CoreClock clock, const KadId *target, KadTaskKind kind, uint64_t tag,
							   bool for_providers);

/* NULL when it has ended. */
extern KadTask *kad_task_find(KadNode *self, uint32_t serial);

/* Send what the lookup wants sent.  When it is done it ends, and the task is freed. */
extern void kad_task_go_on(KadNode *self, CoreClock clock, KadTask *task);

extern int	kad_task_count(const KadNode *self, KadTaskKind kind);

/* ---- announcing ---- */

/* Sign a provider record, keep it, and bring it to near[n]. */
extern void kad_announce(KadNode *self, CoreClock clock, const KadId *collection, NodeRecord *const *near, int n,
						 bool withdrawn);

/* Begin the announcements whose time has come. */
extern void kad_announce_due(KadNode *self, CoreClock clock);

/* A newcomer in the table is brought the provider records that now belong to it. */
extern void kad_announce_to(KadNode *self, CoreClock clock, NodeRecord *to);

/* ---- upkeep ---- */

/* The lookup of the node itself, and into buckets that have had none for long. */
extern void kad_refresh(KadNode *self, CoreClock clock);

/* Ping a few of the silent, and the absent whose time has come. */
extern void kad_sweep(KadNode *self, CoreClock clock);

/* Takes over the reference.  Where KAD_ABSENT are known, one of them at random makes room. */
extern void kad_absent_remember(KadNode *self, CoreClock clock, NodeRecord *record);

/* False when this node was none of the absent. */
extern bool kad_absent_forget(KadNode *self, const KadId *id);

#endif							/* CORE_KAD_NODE_STATE_H */
