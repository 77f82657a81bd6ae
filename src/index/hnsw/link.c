/*
 * link.c
 *	  Which neighbors a node gets, and how one node's links change.
 *
 * Choice (algorithm 4 of the paper): candidates in order of distance; one is
 * kept unless a neighbor kept before is at least as near to it as the node
 * itself; those occluded that way fill what room is left, and are marked.
 *
 * Under inner products a long vector is nearer to everything than what is like it,
 * and occludes it.  Then all links are fill, those of neighbors are to the same few,
 * and nothing leads to a vector that is the nearest for some directions only.  So on
 * plain nodes each distance is divided by the length of where it begins: k occludes c
 * where the angle between them is at most that between v and c.
 *
 * Change: when a new node offers itself to a full list, the paper's algorithm
 * would compare all pairs of the list, about 500 distances.  Here each link
 * remembers whether it is occluded, and only pairs with the new node are
 * compared: at most one distance for each link, and on coded nodes those are
 * estimates from the codes beside the links, so that nothing but the node's own
 * page is read.  The farthest occluded link gives way, or the farthest of all.
 *
 * Spanning tree: nothing in the above keeps a node from losing the last link
 * that leads to it; among equal values it is the rule.  So when a node comes in,
 * one of its neighbors becomes its parent: the links between the two are pinned
 * in both lists, and a pinned link never gives way.  Parents are older than
 * their children, so the pinned links of a level form a tree, and every node can
 * be reached from every other.  Vacuum joins what remains of the tree around
 * dead nodes (vacuum.c).
 *
 * A node has few children, HnswHasChildren().  Under inner products a few long
 * vectors are the nearest of everything: were they everybody's parents, their lists
 * would be pins to short ones that no search asks for, without room for each
 * other.
 */
#include "index/hnsw/hnsw.h"
#include "index/hnsw/hnsw_graph.h"

#include <float.h>
#include <math.h>

#include "common/hashfn.h"
#include "core/vec/distance.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/*
 * Bring a prepared value into its stored form, in memory of the current
 * context.
 */
void
HnswStore(HnswIndex *index, const IndexValue *value, HnswStored *stored)
{
	memset(stored, 0, sizeof(HnswStored));
	if (index->space.coded)
	{
		uint8	   *bytes = palloc(packed12_bytes(index->space.padded));
		float	   *floats = palloc(sizeof(float) * index->space.padded);
		ValueResidual *residual = NULL;

		ValuePack(&index->space, value, bytes, &stored->scale, &stored->error, &stored->norm);
		packed12_load(bytes, index->space.padded, stored->scale, floats);
		if (ValueHasResidual(&index->space))
		{
			residual = palloc(ValueResidualBytes(&index->space));
			ValuePackResidual(&index->space, value, bytes, stored->scale, residual);
		}
		stored->bytes = (const char *) bytes;
		stored->nbytes = packed12_bytes(index->space.padded);
		stored->floats = floats;
		stored->residual = residual;
	}
	else
	{
		stored->bytes = value->raw;
		stored->nbytes = value->raw_bytes;
		stored->scale = 1;
	}
}

/*
 * Distance of two stored values; for coded ones the first is given as floats
 * q, the second as packed integers b with their scale.
 */
float
HnswStoredDistance(const HnswIndex *index, const float *q, const char *a, const char *b, float scale)
{
	float		distance;

	if (index->space.coded)
		distance = ValuePackedDistance(&index->space, q, (const uint8 *) b, scale);
	else
		distance = (float) ValueRawDistance(&index->space, a, b);
	return isnan(distance) ? FLT_MAX : distance;
}

/*
 * Choose at most `most` neighbors out of candidates, which are in order of
 * distance from a value, `own` on plain nodes and NULL on coded ones.  chosen[] gets the kept ones first, then the fill.
 */
int
HnswChooseNeighbors(HnswIndex *index, const char *own, const HnswNeighbor *candidates, int ncandidates,
					int most, HnswNeighbor *chosen)
{
	int			nkept = 0;
	int			n;
	float	   *floats = NULL;
	float	   *lengths = palloc(sizeof(float) * most);
	float		own_length = own == NULL ? 1 : HnswLength(index, own);
	bool	   *passed = palloc0(sizeof(bool) * Max(ncandidates, 1));

	if (index->space.coded)
		floats = palloc(sizeof(float) * index->space.padded * most);

	for (int i = 0; i < ncandidates && nkept < most; i++)
	{
		const HnswNeighbor *candidate = &candidates[i];
		bool		occluded = false;

		for (int k = 0; k < nkept && !occluded; k++)
		{
			float		between = HnswStoredDistance(index, floats + (Size) k * index->space.padded, chosen[k].value,
													 candidate->value, candidate->scale);

			occluded = HnswOccludes(between, lengths[k], candidate->distance, own_length);
		}
		if (occluded)
			continue;
		if (index->space.coded)
			packed12_load((const uint8 *) candidate->value, index->space.padded, candidate->scale,
						floats + (Size) nkept * index->space.padded);
		lengths[nkept] = own == NULL ? 1 : HnswLength(index, candidate->value);
		chosen[nkept] = *candidate;
		chosen[nkept++].occluded = false;
		passed[i] = true;
	}
	n = nkept;
	for (int i = 0; i < ncandidates && n < most; i++)
	{
		if (passed[i])
			continue;
		chosen[n] = candidates[i];
		chosen[n++].occluded = true;
	}
	if (floats != NULL)
		pfree(floats);
	pfree(lengths);
	pfree(passed);
	return n;
}

/*
 * Has a node with n of at most `most` links as many pinned ones as it is to get
 * by taking children?  An eighth, but enough that the tree branches.
 */
bool
HnswHasChildren(const uint8 *pinned, int n, int most)
{
	int			npinned = 0;

	for (int i = 0; i < n; i++)
		npinned += HnswBitGet(pinned, i);
	return npinned >= Max(most / 8, Min(most, 4));
}

/*
 * Decide about a new link of a node that has n of at most `most`: distances[]
 * are the node's own, between(arg, i) is the one from the new neighbor to the
 * present neighbor i, asked for only where it matters.  lengths: NULL where all are 1.
 * Returns the number of the new link (n to append), or -1 to leave it out; one that
 * is to be pinned is left out only where all are pinned.  Updates the bitmap of the present links;
 * *new_occluded is the new one's.
 */
int
HnswPlaceLink(int n, int most, const float *distances, float distance,
			  float (*between) (void *arg, int i), void *arg, const HnswLengths *lengths,
			  uint8 *occluded, const uint8 *pinned, bool pin, bool *new_occluded)
{
	int			farthest = -1;
	int			farthest_occluded = -1;
	float		own = lengths == NULL ? 1 : lengths->own;
	float		fresh = lengths == NULL ? 1 : lengths->fresh;

	*new_occluded = false;
	for (int i = 0; i < n && !*new_occluded; i++)
	{
		float		present = lengths == NULL ? 1 : lengths->present[i];

		if (!HnswBitGet(occluded, i) && distances[i] <= distance && HnswOccludes(between(arg, i), present, distance, own))
			*new_occluded = true;
	}
	if (!*new_occluded)
	{
		for (int i = 0; i < n; i++)
		{
			if (distances[i] > distance && !HnswBitGet(occluded, i) && HnswOccludes(between(arg, i), fresh, distances[i], own))
				HnswBitSet(occluded, i, true);
		}
	}
	if (n < most)
		return n;

	for (int i = 0; i < n; i++)
	{
		if (HnswBitGet(pinned, i))
			continue;
		if (farthest < 0 || distances[i] > distances[farthest])
			farthest = i;
		if (HnswBitGet(occluded, i) &&
			(farthest_occluded < 0 || distances[i] > distances[farthest_occluded]))
			farthest_occluded = i;
	}
	if (farthest_occluded >= 0)
	{
		if (*new_occluded && distance >= distances[farthest_occluded] && !pin)
			return -1;
		return farthest_occluded;
	}
	if (farthest >= 0 && !pin && (*new_occluded || distance >= distances[farthest]))
		return -1;
	return farthest;
}

static float
known_distance(void *arg, int i)
{
	return ((const float *) arg)[i];
}

/* Copy the links of a node, whose page is locked. */
void
HnswCopyLinks(HnswLinkList *list, const HnswNode *node, const HnswLayout *layout)
{
	Assert(node->nlinks <= layout->links && layout->links <= lengthof(list->links));
	list->n = node->nlinks;
	memcpy(list->links, HnswNodeLinks(node, layout), sizeof(HnswLink) * node->nlinks);
	memcpy(list->pinned, HnswNodePinned(node, layout), (layout->links + 7) / 8);
}

/* Has the node, whose page is locked, the links and pins that were copied? */
bool
HnswSameLinks(const HnswLinkList *list, const HnswNode *node, const HnswLayout *layout)
{
	return node->nlinks == list->n &&
		memcmp(list->links, HnswNodeLinks(node, layout), sizeof(HnswLink) * list->n) == 0 &&
		memcmp(list->pinned, HnswNodePinned(node, layout), (layout->links + 7) / 8) == 0;
}

/*
 * Write link number `at` of a node.  neighbor and own are float[padded] on
 * coded nodes; levels is room for dc bytes.
 */
void
HnswSetLink(HnswIndex *index, int kind, HnswNode *node, int at, HnswRef ref, bool occluded, bool pinned,
			const float *neighbor, const float *own, uint8_t *levels)
{
	const HnswLayout *layout = &index->layout[kind];

	Assert(at < layout->links);
	HnswLinkSet(&HnswNodeLinks(node, layout)[at], ref);
	HnswBitSet(HnswNodeOccluded(node, layout), at, occluded);
	HnswBitSet(HnswNodePinned(node, layout), at, pinned);
	if (layout->dc > 0)
	{
		float		f_add;
		float		f_mul;

		code_encode(index->space.code_metric, layout->bits, layout->dc, index->space.padded, neighbor, own,
					levels, &f_add, &f_mul);
		HnswNodeFAdd(node, layout)[at] = bfloat16_from_float(f_add);
		HnswNodeFMul(node, layout)[at] = bfloat16_from_float(f_mul);
		code_store(HnswNodeCode(node, layout, at / CODE_SLOTS), layout->bits, layout->dc, at % CODE_SLOTS, levels);
	}
}

/*
 * Write all links of a node.  own is float[padded], the node's value, on coded nodes.
 * The page is locked, or an image of a slot that nobody else sees.
 */
void
HnswSetLinks(HnswIndex *index, int kind, HnswNode *node, const HnswNeighbor *neighbors, int n, const float *own)
{
	const HnswLayout *layout = &index->layout[kind];
	float	   *floats = NULL;
	uint8_t    *levels = NULL;

	Assert(n <= layout->links);
	if (index->space.coded && n > 0)
	{
		floats = palloc(sizeof(float) * index->space.padded);
		levels = palloc(layout->dc);
	}
	for (int i = 0; i < n; i++)
	{
		if (index->space.coded)
			packed12_load((const uint8 *) neighbors[i].value, index->space.padded, neighbors[i].scale, floats);
		HnswSetLink(index, kind, node, i, neighbors[i].ref, neighbors[i].occluded, neighbors[i].pinned,
					floats, own, levels);
	}
	node->nlinks = n;
	if (floats != NULL)
	{
		pfree(floats);
		pfree(levels);
	}
}

/*
 * The node's own distances to its neighbors and those from the new neighbor,
 * both by estimate from the codes.  own is the node's value.
 */
static void
estimate_links(HnswIndex *index, int kind, const HnswNode *node, const float *own, float distance,
			   const CodeQuery *query, const CodeQuery *own_query, float *distances, float *between)
{
	const HnswLayout *layout = &index->layout[kind];
	float		itself = index->space.code_metric == CODE_IP ? -node->norm * node->norm : 0;

	for (int first = 0; first < node->nlinks; first += CODE_SLOTS)
	{
		const uint8 *code = HnswNodeCode(node, layout, first / CODE_SLOTS);
		const bfloat16 *f_add = HnswNodeFAdd(node, layout) + first;
		const bfloat16 *f_mul = HnswNodeFMul(node, layout) + first;
		float		estimates[CODE_SLOTS];
		int			count = Min(node->nlinks - first, CODE_SLOTS);

		code_estimate(query, code, distance, f_add, f_mul, 0, estimates);
		memcpy(between + first, estimates, sizeof(float) * count);
		code_estimate(own_query, code, itself, f_add, f_mul, 0, estimates);
		memcpy(distances + first, estimates, sizeof(float) * count);
	}
}

/* Is the node linked to ref already?  The caller holds a lock. */
static bool
is_linked(const HnswNode *node, const HnswLayout *layout, HnswRef ref)
{
	for (int i = 0; i < node->nlinks; i++)
	{
		if (HnswLinkGet(&HnswNodeLinks(node, layout)[i]) == ref)
			return true;
	}
	return false;
}

/*
 * Where the node is linked to ref already: pin that link if asked for.  The
 * caller holds an exclusive lock.  Returns false where it is not linked.
 */
static bool
pin_present(HnswIndex *index, int kind, Buffer buffer, HnswNode *node, HnswRef target, HnswRef ref, bool pin, bool log)
{
	const HnswLayout *layout = &index->layout[kind];

	for (int i = 0; i < node->nlinks; i++)
	{
		if (HnswLinkGet(&HnswNodeLinks(node, layout)[i]) != ref)
			continue;
		if (pin && !HnswBitGet(HnswNodePinned(node, layout), i))
		{
			PageChange	change;

			PageChangeBegin(&change, &index->file, log);
			node = HnswPageNode(PageChangePage(&change, buffer, false), layout, HnswRefSlot(target));
			HnswBitSet(HnswNodePinned(node, layout), i, true);
			PageChangeEnd(&change);
		}
		return true;
	}
	return false;
}

/*
 * Write a new link as number `at` of the node, whose page is locked exclusively, and
 * the present links' marks; at = nlinks appends.
 */
static void
write_link(HnswIndex *index, int kind, Buffer buffer, int slot, int at, HnswRef ref, bool new_occluded, bool pinned,
		   const uint8 *occluded, const float *neighbor, const float *own, uint8_t *levels, bool log)
{
	const HnswLayout *layout = &index->layout[kind];
	PageChange	change;
	HnswNode   *node;

	PageChangeBegin(&change, &index->file, log);
	node = HnswPageNode(PageChangePage(&change, buffer, false), layout, slot);
	Assert(at <= node->nlinks);
	memcpy(HnswNodeOccluded(node, layout), occluded, (layout->links + 7) / 8);
	HnswSetLink(index, kind, node, at, ref, new_occluded, pinned, neighbor, own, levels);
	if (at == node->nlinks)
		node->nlinks++;
	PageChangeEnd(&change);
}

static bool
add_link_coded(HnswIndex *index, int kind, HnswRef target, HnswRef ref,
			   const HnswStored *stored, const CodeQuery *query, HnswPin pin, bool log)
{
	const HnswLayout *layout = &index->layout[kind];
	float	   *own = palloc(sizeof(float) * index->space.padded);
	uint8_t    *levels = palloc(layout->dc);
	char	   *room = palloc(CODE_TABLE_BYTES(layout->dc) + 63);
	CodeQuery	own_query;
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, target, kind, BUFFER_LOCK_EXCLUSIVE, &node);
	uint32		bytes;
	float		distance;
	float		distances[2 * HNSW_MAX_M];
	float		between[2 * HNSW_MAX_M];
	uint8		occluded[(2 * HNSW_MAX_M + 7) / 8];
	bool		new_occluded;
	int			at;

	if (node == NULL)
		return false;
	if (node->flags & HNSW_NODE_DEAD)
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	if (pin_present(index, kind, buffer, node, target, ref, pin, log))
	{
		UnlockReleaseBuffer(buffer);
		return true;
	}
	if (pin == HNSW_PIN_CHILD && HnswHasChildren(HnswNodePinned(node, layout), node->nlinks, layout->links))
	{
		UnlockReleaseBuffer(buffer);
		return false;
	}
	packed12_load((const uint8 *) HnswReadValue(index, buffer, node, kind, &bytes), index->space.padded, node->scale, own);
	distance = index->space.code_metric == CODE_IP ? -(float) dist_ip_f32(own, stored->floats, index->space.padded)
		: (float) dist_l2sq_f32(own, stored->floats, index->space.padded);
	code_query_init(&own_query, layout->bits, layout->dc, own, (uint8_t *) TYPEALIGN(64, room));
	estimate_links(index, kind, node, own, distance, query, &own_query, distances, between);
	memcpy(occluded, HnswNodeOccluded(node, layout), (layout->links + 7) / 8);
	at = HnswPlaceLink(node->nlinks, layout->links, distances, distance, known_distance, between,
					   NULL, occluded, HnswNodePinned(node, layout), pin, &new_occluded);
	if (at >= 0)
		write_link(index, kind, buffer, HnswRefSlot(target), at, ref, new_occluded, pin, occluded,
				   stored->floats, own, levels, log);
	UnlockReleaseBuffer(buffer);
	pfree(own);
	pfree(levels);
	pfree(room);
	return at >= 0;
}

/* What a plain node's links are to it and to a new neighbor. */
typedef struct PlainLinks
{
	HnswLinkList list;			/* as they were read */
	float		distance;		/* from the node to the new neighbor */
	float		distances[2 * HNSW_MAX_M];	/* from the node */
	float		between[2 * HNSW_MAX_M];	/* from the new neighbor */
	HnswLengths lengths;
	int			gone;			/* a link that the new one replaces whatever its distance, or -1 */
} PlainLinks;

/*
 * Read the neighbors of a plain node, one page after the other.  own is the node's
 * value.
 */
static void
compare_links(HnswIndex *index, int kind, const char *own, const HnswStored *stored, PlainLinks *links)
{
	links->gone = -1;
	links->distance = HnswStoredDistance(index, NULL, own, stored->bytes, 1);
	links->lengths.own = HnswLength(index, own);
	links->lengths.fresh = HnswLength(index, stored->bytes);
	for (int i = 0; i < links->list.n; i++)
	{
		HnswNode   *neighbor;
		Buffer		buffer = HnswReadNode(index, HnswLinkGet(&links->list.links[i]), kind, BUFFER_LOCK_SHARE, &neighbor);
		const char *value;
		uint32		bytes;

		/* a link that leads nowhere, or will soon, is the first to give way */
		links->distances[i] = links->between[i] = FLT_MAX;
		links->lengths.present[i] = 1;
		if (neighbor == NULL || (neighbor->flags & HNSW_NODE_DEAD))
		{
			if (index->repairing || !HnswBitGet(links->list.pinned, i))
				links->gone = i;
			if (neighbor != NULL)
				UnlockReleaseBuffer(buffer);
			continue;
		}
		value = HnswReadValue(index, buffer, neighbor, kind, &bytes);
		links->distances[i] = HnswStoredDistance(index, NULL, own, value, 1);
		links->between[i] = HnswStoredDistance(index, NULL, stored->bytes, value, 1);
		links->lengths.present[i] = HnswLength(index, value);
		UnlockReleaseBuffer(buffer);
	}
}

/* Add the link to a node whose page is locked exclusively; returns whether it is added. */
static bool
put_plain(HnswIndex *index, int kind, Buffer buffer, const HnswNode *node, int slot, HnswRef ref,
			PlainLinks *links, HnswPin pin, bool log)
{
	const HnswLayout *layout = &index->layout[kind];
	int			n = links->list.n;
	uint8		occluded[(2 * HNSW_MAX_M + 7) / 8];
	bool		new_occluded;
	int			at;

	memcpy(occluded, HnswNodeOccluded(node, layout), (layout->links + 7) / 8);
	at = HnswPlaceLink(n, links->gone >= 0 ? n + 1 : layout->links, links->distances, links->distance,
					   known_distance, links->between, &links->lengths, occluded,
					   HnswNodePinned(node, layout), pin, &new_occluded);
	if (links->gone >= 0)
		at = links->gone;
	if (at >= 0)
		write_link(index, kind, buffer, slot, at, ref, new_occluded, pin, occluded, NULL, NULL, NULL, log);
	return at >= 0;
}

/*
 * Plain nodes have to read their neighbors.  That is done without a lock on
 * the node's page (two inserts could wait for each other), and done again if
 * the links have changed meanwhile.  A link to a dead node gives way to the
 * new one, whatever that one's distance; one that is pinned, only to VACUUM, which
 * joins the tree again by the dead nodes' own lists.
 */
static bool
add_link_plain(HnswIndex *index, int kind, HnswRef target, HnswRef ref, const HnswStored *stored, HnswPin pin, bool log)
{
	const HnswLayout *layout = &index->layout[kind];

	for (;;)
	{
		HnswNode   *node;
		Buffer		buffer = HnswReadNode(index, target, kind, BUFFER_LOCK_SHARE, &node);
		PlainLinks	links;
		uint32		bytes;
		char	   *own;
		bool		added;

		CHECK_FOR_INTERRUPTS();
		if (node == NULL)
			return false;
		if ((node->flags & HNSW_NODE_DEAD) ||
			(pin == HNSW_PIN_CHILD && HnswHasChildren(HnswNodePinned(node, layout), node->nlinks, layout->links)))
		{
			UnlockReleaseBuffer(buffer);
			return false;
		}
		if (pin == HNSW_PIN_NOT && is_linked(node, layout, ref))
		{
			UnlockReleaseBuffer(buffer);
			return true;
		}
		HnswCopyLinks(&links.list, node, layout);
		own = HnswCopyValue(index, buffer, node, kind, &bytes);
		UnlockReleaseBuffer(buffer);
		compare_links(index, kind, own, stored, &links);
		pfree(own);

		buffer = HnswReadNode(index, target, kind, BUFFER_LOCK_EXCLUSIVE, &node);
		if (node == NULL)
			return false;
		if (node->flags & HNSW_NODE_DEAD)
		{
			UnlockReleaseBuffer(buffer);
			return false;
		}
		if (pin_present(index, kind, buffer, node, target, ref, pin, log))
		{
			UnlockReleaseBuffer(buffer);
			return true;
		}
		if (!HnswSameLinks(&links.list, node, layout))
		{
			UnlockReleaseBuffer(buffer);
			continue;
		}
		added = put_plain(index, kind, buffer, node, HnswRefSlot(target), ref, &links, pin, log);
		UnlockReleaseBuffer(buffer);
		return added;
	}
}

/*
 * Offer node `ref`, whose value is `stored`, to node `target` of the same
 * level as a neighbor; pin: as one that it must keep, or may refuse.  query is prepared from
 * stored->floats on coded nodes.  Returns whether target links to it now.
 */
bool
HnswAddLink(HnswIndex *index, int kind, HnswRef target, HnswRef ref,
			const HnswStored *stored, const CodeQuery *query, HnswPin pin, bool log)
{
	if (index->space.coded)
		return add_link_coded(index, kind, target, ref, stored, query, pin, log);
	return add_link_plain(index, kind, target, ref, stored, pin, log);
}

/*
 * Find a parent further off, where all nodes that a search came by have children
 * enough: thousands of equal values, or everybody's nearest under inner products,
 * at which every search stops.  Such nodes have several children, so at random from child to
 * child the way to one with room is short.  Returns whether a node links to ref
 * now.
 */
HnswRef
HnswFindParent(HnswIndex *index, int kind, HnswRef at, HnswRef ref, const HnswStored *stored,
			   const CodeQuery *query, HnswPin pin, bool log)
{
	const HnswLayout *layout = &index->layout[kind];
	HnswRef		from = ref;
	uint32		random = hash_bytes((const unsigned char *) &ref, sizeof(ref));

	for (int step = 0; step < HNSW_MOST_STEPS; step++)
	{
		HnswRef		pinned[2 * HNSW_MAX_M];
		int			n = 0;
		HnswNode   *node;
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = HnswReadNode(index, at, kind, BUFFER_LOCK_SHARE, &node);
		if (node == NULL)
			return HNSW_NO_REF;
		for (int i = 0; i < node->nlinks; i++)
		{
			HnswRef		other = HnswLinkGet(&HnswNodeLinks(node, layout)[i]);

			if (HnswBitGet(HnswNodePinned(node, layout), i) && other != from && other != ref)
				pinned[n++] = other;
		}
		UnlockReleaseBuffer(buffer);
		if (n == 0)
			return HNSW_NO_REF;
		from = at;
		at = pinned[(random >> 8) % n];
		random = random * 1664525 + 1013904223;
		if (HnswAddLink(index, kind, at, ref, stored, query, pin, log))
			return at;
	}
	return HNSW_NO_REF;
}

/*
 * A node's value, to be offered to others, and a query prepared from it, in
 * memory of the current context; false where the node is gone.
 */
bool
HnswReadStored(HnswIndex *index, int kind, HnswRef ref, HnswStored *stored, CodeQuery *query)
{
	const HnswLayout *layout = &index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(index, ref, kind, BUFFER_LOCK_SHARE, &node);

	if (node == NULL)
		return false;
	memset(stored, 0, sizeof(HnswStored));
	stored->bytes = HnswCopyValue(index, buffer, node, kind, &stored->nbytes);
	stored->scale = node->scale;
	stored->norm = node->norm;
	stored->error = node->error;
	UnlockReleaseBuffer(buffer);
	if (index->space.coded)
	{
		float	   *floats = palloc(sizeof(float) * index->space.padded);

		packed12_load((const uint8 *) stored->bytes, index->space.padded, stored->scale, floats);
		stored->floats = floats;
		code_query_init(query, layout->bits, layout->dc, floats,
						(uint8_t *) TYPEALIGN(64, palloc(CODE_TABLE_BYTES(layout->dc) + 63)));
	}
	return true;
}
