/*
 * mesh.h
 *	  Which of the members that a node is connected to it exchanges a
 *	  collection's news with at once: a mesh of bounded degree, after GossipSub
 *	  (Vyzovitis et al., arXiv:2007.02754, sections 2 and 3).
 *
 * Kept between MESH_LOW and MESH_HIGH, drawn to the degree.  A link is mutual:
 * GRAFT asks for it and counts as made until a PRUNE answers.  PRUNE names a
 * back-off, for which both sides do not graft again, and other members to turn
 * to.  At least MESH_OUTBOUND links are to members of our own choice, so that
 * many who graft us cannot be all that we hear.
 *
 * Who is a member is decided elsewhere (membership.h): only members are told
 * to mesh_peer().
 */
#ifndef CORE_MESH_H
#define CORE_MESH_H

#include "core/net/node_record.h"

#define MESH_PEERS 64			/* connected members that are kept account of: of more a random choice */
#define MESH_DEGREE 6
#define MESH_LOW 4
#define MESH_HIGH 12
#define MESH_OUTBOUND 2
#define MESH_EXCHANGE 8
#define MESH_HEARTBEAT_MS 1000	/* and up to a fifth more or less */
#define MESH_BACKOFF_S 60
#define MESH_BACKOFF_MAX_S 600	/* what is believed of a peer's */

typedef struct MeshPeer
{
	NodeRecord *record;			/* referenced */
	bool		inside;
	bool		outbound;		/* we grafted it */
	uint64_t	rank;			/* of those outside the greatest makes room */
	int64_t		backoff_ms;		/* tick before which neither side grafts */
} MeshPeer;

typedef struct Mesh
{
	RecordPool *pool;
	const CoreRandom *random;
	uint64_t	secret;			/* odd; so that nobody can choose a rank, nor two that are near */
	int			degree;
	int			n;
	int			n_inside;
	int64_t		next_ms;		/* tick of the next heartbeat */
	MeshPeer	peer[MESH_PEERS];
} Mesh;

typedef struct MeshAction
{
	bool		graft;			/* else prune */
	const NodeRecord *to;
	uint32_t	backoff_s;		/* prune */
	int			n_exchange;		/* prune: other members, not referenced */
	NodeRecord *exchange[MESH_EXCHANGE];
} MeshAction;

/* Called for each message to send; the action is good during the call only. */
typedef void (*MeshEmit) (void *context, const MeshAction *action);

/* degree is between MESH_LOW and MESH_HIGH; another is brought there. */
extern void mesh_init(Mesh *self, RecordPool *pool, const CoreRandom *random, int degree, int64_t tick_ms);
extern void mesh_set_degree(Mesh *self, int degree);
extern void mesh_reset(Mesh *self);

/*
 * A member is connected (or has a newer record).  False when it is left out: of more
 * than MESH_PEERS those inside stay, and of the others a choice that depends neither
 * on who came first nor on how often one comes.
 */
extern bool mesh_peer(Mesh *self, NodeRecord *record);

/* It is not connected any more, or no member. */
extern void mesh_gone(Mesh *self, const KadId *id);

/* To be called at self->next_ms or after: grafts and prunes towards the degree. */
extern void mesh_heartbeat(Mesh *self, int64_t tick_ms, MeshEmit emit, void *context);

/*
 * GRAFT came.  Refused with a PRUNE when the sender is no peer, is in its
 * back-off (which then begins again), or the mesh is full.
 */
extern void mesh_grafted(Mesh *self, const NodeRecord *from, int64_t tick_ms, MeshEmit emit, void *context);

/* PRUNE came. */
extern void mesh_pruned(Mesh *self, const KadId *from, uint32_t backoff_s, int64_t tick_ms);

/* This node leaves the collection: every link is pruned. */
extern void mesh_leave(Mesh *self, int64_t tick_ms, MeshEmit emit, void *context);

/* Is the link there? */
extern bool mesh_inside(const Mesh *self, const KadId *id);

#endif							/* CORE_MESH_H */
