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

/* What a process finds when it starts again. */
typedef struct SimDisk
{
	uint64_t	seq;			/* of its last record */
	int			n_kept;			/* collections, by tag from 1 on */
	struct SimKept *kept;
} SimDisk;

typedef struct SimNode
{
	Node	   *node;			/* NULL: it is down */
	int			index;
	int			side;			/* nodes of different sides do not reach each other */
	const char *network;
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		curve[CORE_KEY_BYTES];
	NetAddress	address;
	const int64_t *offset_ms;	/* of its clock of the day; NULL: none */
	NodeRows	rows;			/* as its node is handed them */
	const CoreMemory *memory;	/* NULL: the simulator's */
	bool		joined;			/* the network */
	int			joins;			/* of collections: under way, ... */
	int			joins_failed;	/* ... ended otherwise than well */
	uint32_t	left;			/* collections left, and told */
	uint64_t	start;			/* which life this is */
	SimDisk		disk;
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
	int64_t		dead_ms;		/* silent for so long, a link is given up */
	int			bytes_ms;		/* that a link carries in a millisecond; 0: any number */
	bool		(*reach) (void *context, int from, int to);	/* does what one sends arrive at the other?  NULL: by their sides */
	void	   *context;
	CoreMemory	memory;			/* what the nodes are handed */
	CoreRandom	random;
	CoreCrypto	crypto;
	struct SimParts *parts;
} Sim;

extern Sim *sim_new(uint64_t seed);

/* False when the nodes have lost memory. */
extern bool sim_destroy(Sim **self);

extern CoreClock sim_clock(const Sim *self);
extern CoreClock sim_clock_of(const Sim *self, int node);
extern uint64_t sim_below(Sim *self, uint64_t n);

/* A node that knows nobody; its index.  The second is down. */
extern int	sim_add(Sim *self, const char *network);
extern int	sim_add_down(Sim *self, const char *network);

/* A node that is down gets keys and disk of another; or keys of its own, what else is on its disk stays. */
extern void sim_clone(Sim *self, int clone, int node);
extern void sim_new_keys(Sim *self, int node);

/* It is told of another one. */
extern void sim_meet(Sim *self, int node, int other);

/* Stop without a word; and start anew, with the key and the statements that it had, or had kept. */
extern void sim_crash(Sim *self, int node);
extern void sim_kill(Sim *self, int node);
extern void sim_start(Sim *self, int node);

/* Its statements are on its disk, as they are now. */
extern void sim_keep(Sim *self, int node);

/* A statement, or the secret key, of the collection with this root comes to the disk of a node that is down. */
extern void sim_put(Sim *self, int node, const uint8_t root[CORE_KEY_BYTES], const uint8_t *root_secret,
					const uint8_t (*statement)[GRANT_BYTES], int n);
extern void sim_disk_copy(SimDisk *to, const SimDisk *from);
extern void sim_disk_reset(SimDisk *self);

/* All statements on a disk of its i-th collection; how many. */
extern int	sim_disk_statements(const SimDisk *self, int i, const uint8_t (**out)[GRANT_BYTES]);

/* Break a link that is up, one of all; or those between two nodes. */
extern void sim_break_link(Sim *self);
extern void sim_break_links(Sim *self, int a, int b);

/* When something happens next; let it, and say at which node, or -1. */
extern int64_t sim_next_ms(const Sim *self);
extern int	sim_step(Sim *self);

/* Let the clock run; until condition is true, or ms are over: then false. */
extern void sim_run(Sim *self, int64_t ms);
extern bool sim_run_until(Sim *self, int64_t ms, bool (*condition) (Sim *));

#endif							/* SIM_NODES_H */
