/*
 * world.h
 *	  Many nodes of the core on one virtual clock: their messages with delays,
 *	  the dead, the liars, a network in two halves.
 *
 * Everything random follows from one seed, so a run can be repeated to the
 * message.  Nothing here knows what a scenario wants to show.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "core/net/kad_node.h"

#define WORLD_MINUTE INT64_C(60000)

typedef struct WorldNode
{
	KadNode    *node;			/* NULL once it is dead for good */
	NodeRecord *record;
	uint8_t		secret[CORE_SECRET_BYTES];
	bool		up;				/* receives and acts */
	bool		liar;
	bool		joined;
	uint8_t		side;			/* nodes of different sides do not reach each other */
	int64_t		tick_at;		/* for which a tick is scheduled */
	int			index;
} WorldNode;

typedef struct World World;

/* How a lookup went; for_providers: what was found. */
typedef struct WorldLookup
{
	const KadLookup *lookup;
	int			node;			/* who looked */
	int64_t		began_ms;
	int64_t		ended_ms;
} WorldLookup;

typedef void (*WorldDone) (void *context, const WorldLookup *result);

struct World
{
	uint64_t	seed;
	int64_t		now_ms;			/* tick; unix time is ahead by WORLD_EPOCH_MS */
	bool		ed25519;		/* else signatures are a cheap keyed hash */
	int			codec_every;	/* of so many messages one goes through its bytes; 0 none */
	WorldNode  *node;
	int			n;				/* ever made */
	int			room;
	int			n_up;
	WorldDone	done;
	void	   *done_context;

	/* counters, of the whole network */
	uint64_t	messages;		/* delivered or lost */
	uint64_t	requests;
	uint64_t	digest;			/* of every event: when, between whom, what */
	uint64_t	coded;			/* went through bytes */
	uint64_t	coded_bytes;
	uint64_t	coded_wrong;	/* came out differently */
	uint64_t	clones;
	uint64_t	made_up;		/* nodes that liars have invented */

	struct WorldParts *parts;
};

extern World *world_new(uint64_t seed, bool ed25519, int codec_every, int room);
extern void world_destroy(World **self);

extern CoreClock world_clock(const World *self);

/* 0 .. n - 1, from the world's seed */
extern uint64_t world_below(World *self, uint64_t n);
extern KadId world_random_id(World *self);

/* A new node, up, that knows nobody; returns its index. */
extern int	world_add(World *self);

/* It is told of another one. */
extern void world_meet(World *self, int node, int other);

/* Stop; a node that is gone for good gives its memory back. */
extern void world_down(World *self, int node, bool for_good);
extern void world_up(World *self, int node);

/*
 * Give a node the table it would have in an ideal network: of each bucket up to
 * KAD_K nodes at random out of all that belong there, the ids sorted before by
 * world_sort().
 */
extern void world_fill_table(World *self, int node);

/* Let the clock run; messages and ticks happen. */
extern void world_run(World *self, int64_t ms);

/* As long as the condition is false, up to ms; returns the condition. */
extern bool world_run_until(World *self, int64_t ms, bool (*condition) (void *), void *context);

/* Look; done is called. */
extern bool world_lookup(World *self, int node, const KadId *target, bool for_providers);
extern void world_hold(World *self, int node, const KadId *collection);

/*
 * Sort those that are up by id, for world_fill_table() and world_closest().
 * world_make_liars() does it too: a share of them will lie from now on, with as
 * many invented nodes.
 */
extern void world_sort(World *self);
extern void world_make_liars(World *self, double share, int made_up);

/* The n nodes nearest to target of the sorted ones, nearest first; how many there are. */
extern int	world_closest(const World *self, const KadId *target, int n, int *out);

/* Is the node of this record up?  Its index, or -1. */
extern int	world_index(const World *self, const NodeRecord *record);

/* Bytes the nodes have allocated, without records; and in records, shared by all. */
extern size_t world_node_bytes(const World *self);
extern size_t world_record_bytes(const World *self);

#endif							/* SIM_WORLD_H */
