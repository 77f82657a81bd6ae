/*
 * nodes.h
 *	  Whole nodes (src/core/net/node.h) on one virtual clock: links that take time to
 *	  be made and may break, frames with delays, nodes that crash and start again with
 *	  the statements they had, a network in two halves.
 *
 * Everything random follows from one seed, so a run can be repeated to the frame.
 */
#ifndef SIM_NODES_H
#define SIM_NODES_H

#include "core/net/node_state.h"
#include "host_fixture.h"

#define NODES_MAX 64
#define NODES_LINKS 24			/* that a node makes, at most */
#define NODES_DESCRIPTION "things 3 l2 hnsw"

typedef struct SimNode
{
	Node	   *node;			/* NULL: it is down */
	int			index;
	int			side;			/* nodes of different sides do not reach each other */
	const char *network;
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		curve[CORE_KEY_BYTES];
	NetAddress	address;
	uint64_t	seq;
	bool		joined;			/* the network */
	int			joins;			/* of collections: under way, ... */
	int			joins_failed;	/* ... ended otherwise than well */
	uint32_t	left;			/* collections left, and told */
	uint64_t	start;			/* which life this is */
	int			n_kept;			/* collections from before the crash, by tag from 1 on */
	struct SimKept *kept;
} SimNode;

typedef struct Sim
{
	uint64_t	seed;
	int64_t		now_ms;
	int			n;
	SimNode		node[NODES_MAX];
	uint64_t	frames;			/* handed over */
	uint64_t	lost;
	uint64_t	links_made;
	uint64_t	links_broken;
	uint64_t	digest;			/* of every frame: when, between whom, how long */
	CoreMemory	memory;			/* what the nodes are handed */
	CoreRandom	random;
	CoreCrypto	crypto;
	struct SimParts *parts;
} Sim;

extern Sim *sim_new(uint64_t seed);

/* False when the nodes have lost memory. */
extern bool sim_destroy(Sim **self);

extern CoreClock sim_clock(const Sim *self);
extern uint64_t sim_below(Sim *self, uint64_t n);

/* A node that knows nobody; its index. */
extern int	sim_add(Sim *self, const char *network);

/* It is told of another one. */
extern void sim_meet(Sim *self, int node, int other);

/* Stop without a word; and start anew, with the key and the statements that it had. */
extern void sim_crash(Sim *self, int node);
extern void sim_start(Sim *self, int node);

/* Break a link that is up, one of all. */
extern void sim_break_link(Sim *self);

/* Let the clock run; until condition is true, or ms are over: then false. */
extern void sim_run(Sim *self, int64_t ms);
extern bool sim_run_until(Sim *self, int64_t ms, bool (*condition) (Sim *));

#endif							/* SIM_NODES_H */
