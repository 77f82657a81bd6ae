/*
 * hnsw_graph.h
 *	  Changes of the graph on pages: choice of neighbors, links of one node (link.c),
 *	  and new nodes (insert.c).
 */
#ifndef HNSW_GRAPH_H
#define HNSW_GRAPH_H

#include "pgcompat.h"

#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_search.h"

/* From pin to pin in search of a parent for a node */
#define HNSW_MOST_STEPS 1000

/* How a node takes a link: link.c */
typedef enum HnswPin
{
	HNSW_PIN_NOT,
	HNSW_PIN_CHILD,				/* for good, unless it has all the children that it may have */
	HNSW_PIN_ALWAYS				/* for good */
} HnswPin;

/* A neighbor chosen for a node. */
typedef struct HnswNeighbor
{
	HnswRef		ref;
	float		distance;
	bool		occluded;		/* a nearer neighbor is nearer to it: kept to fill the list only */
	bool		pinned;			/* an edge of the level's spanning tree: link.c */
	bool		has_children;	/* all that it may have, when it was read */
	bool		stays;			/* VACUUM: a link that the node has and keeps */
	float		scale;
	const char *value;			/* stored form */
	uint32		value_bytes;
} HnswNeighbor;

/* The links of a node as they were when it was read, to be compared once it is locked. */
typedef struct HnswLinkList
{
	int			n;
	HnswLink	links[2 * HNSW_MAX_M];
	uint8		pinned[(2 * HNSW_MAX_M + 7) / 8];
} HnswLinkList;

/* HnswLength() of a node's value, of one that comes, and of those the node is linked to. */
typedef struct HnswLengths
{
	float		own;
	float		fresh;
	float		present[2 * HNSW_MAX_M];
} HnswLengths;

/*
 * Does neighbor k occlude c from the node v: is it at least as near to c?  Distances
 * from k and from v to c, lengths of k and v.
 */
static inline bool
HnswOccludes(float from_k, float k_length, float from_v, float v_length)
{
	return (double) from_k * v_length <= (double) from_v * k_length;
}

/* A value in its stored form, and as floats where it is coded. */
typedef struct HnswStored
{
	const char *bytes;
	uint32		nbytes;
	float		scale;
	float		error;
	float		norm;
	const float *floats;		/* coded: float[padded], decoded from bytes */
	const ValueResidual *residual;	/* of a new value, where ValueHasResidual() */
} HnswStored;

/* link.c */
extern void HnswStore(HnswIndex *index, const IndexValue *value, HnswStored *stored);
extern int	HnswChooseNeighbors(HnswIndex *index, const char *own, const HnswNeighbor *candidates, int ncandidates,
								int most, HnswNeighbor *chosen);
extern int	HnswPlaceLink(int n, int most, const float *distances, float distance,
						  float (*between) (void *arg, int i), void *arg, const HnswLengths *lengths,
						  uint8 *occluded, const uint8 *pinned, bool pin, bool *new_occluded);
extern void HnswSetLink(HnswIndex *index, int kind, HnswNode *node, int at, HnswRef ref, bool occluded, bool pinned,
						const float *neighbor, const float *own, uint8_t *levels);
extern void HnswSetLinks(HnswIndex *index, int kind, HnswNode *node, const HnswNeighbor *neighbors, int n,
						 const float *own);
extern void HnswCopyLinks(HnswLinkList *list, const HnswNode *node, const HnswLayout *layout);
extern bool HnswSameLinks(const HnswLinkList *list, const HnswNode *node, const HnswLayout *layout);
extern bool HnswHasChildren(const uint8 *pinned, int n, int most);
extern bool HnswAddLink(HnswIndex *index, int kind, HnswRef target, HnswRef ref,
						const HnswStored *stored, const CodeQuery *query, HnswPin pin, bool log);
extern bool HnswReadStored(HnswIndex *index, int kind, HnswRef ref, HnswStored *stored, CodeQuery *query);
extern HnswRef HnswFindParent(HnswIndex *index, int kind, HnswRef at, HnswRef ref, const HnswStored *stored,
							  const CodeQuery *query, HnswPin pin, bool log);
extern float HnswStoredDistance(const HnswIndex *index, const float *q, const char *a, const char *b, float scale);

static inline bool
HnswBitGet(const uint8 *bits, int i)
{
	return (bits[i / 8] >> (i % 8)) & 1;
}

static inline void
HnswBitSet(uint8 *bits, int i, bool on)
{
	if (on)
		bits[i / 8] |= (uint8) (1 << (i % 8));
	else
		bits[i / 8] &= (uint8) ~(1 << (i % 8));
}

/* insert.c */
extern int	HnswLevelOf(ItemPointer tid, int m);
extern void HnswFillNode(HnswIndex *index, int kind, HnswNode *node, int level, const HnswStored *stored,
						 HnswRef down, const HnswNeighbor *neighbors, int nneighbors);
extern HnswRef HnswWriteResidual(HnswIndex *index, const HnswStored *stored, bool log);
extern void HnswWriteTail(HnswIndex *index, int kind, BlockNumber head, const HnswStored *stored, bool log);
extern void HnswLinkNode(HnswIndex *index, HnswSearch *search, const IndexValue *value, ItemPointer tid,
						 HnswRef existing, bool log);

#endif							/* HNSW_GRAPH_H */
