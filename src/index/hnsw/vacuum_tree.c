/*
 * vacuum_tree.c
 *	  Second pass of VACUUM: what hung together through dead nodes is joined anew.
 *
 * The pinned links of a level are a spanning tree (link.c).  Dead nodes that are
 * joined by pinned links are one group; the live nodes at its border become a chain
 * by new pinned links.  One page is locked at a time.
 */
#include "index/hnsw/vacuum.h"

#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* A live node beside a connected group of dead ones. */
typedef struct Border
{
	uint64		group;
	HnswRef		ref;
} Border;

typedef struct Groups
{
	HnswRef    *ref;			/* the dead, in order */
	uint64	   *parent;			/* union-find */
	uint64		n;
	Border	   *border;
	uint64		nborder;
	uint64		allocated;
	MemoryContext context;
} Groups;

static int
compare_refs(const void *a, const void *b)
{
	HnswRef		x = *(const HnswRef *) a;
	HnswRef		y = *(const HnswRef *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

static int
compare_borders(const void *a, const void *b)
{
	const Border *x = (const Border *) a;
	const Border *y = (const Border *) b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return compare_refs(&x->ref, &y->ref);
}

static uint64
find_group(Groups *groups, uint64 i)
{
	while (groups->parent[i] != i)
		i = groups->parent[i] = groups->parent[groups->parent[i]];
	return i;
}

static uint64
find_dead(const Groups *groups, HnswRef ref)
{
	HnswRef    *at = bsearch(&ref, groups->ref, groups->n, sizeof(HnswRef), compare_refs);

	Assert(at != NULL);
	return at - groups->ref;
}

/* Read the pinned links of one dead node. */
static void
read_pinned(VacuumState *state, int kind, Groups *groups, uint64 i)
{
	const HnswLayout *layout = &state->index->layout[kind];
	HnswNode   *node;
	Buffer		buffer = HnswReadNode(state->index, groups->ref[i], kind, BUFFER_LOCK_SHARE, &node);

	if (node == NULL)
		return;
	for (int k = 0; k < node->nlinks; k++)
	{
		HnswRef		other = HnswLinkGet(&HnswNodeLinks(node, layout)[k]);

		if (!HnswBitGet(HnswNodePinned(node, layout), k))
			continue;
		if (HnswRefSetHas(&state->dead[kind], other))
		{
			uint64		a = find_group(groups, i);
			uint64		b = find_group(groups, find_dead(groups, other));

			groups->parent[Max(a, b)] = Min(a, b);
			continue;
		}
		if (groups->nborder == groups->allocated)
		{
			groups->allocated = Max(1024, groups->allocated * 2);
			groups->border = groups->border == NULL
				? MemoryContextAllocHuge(groups->context, sizeof(Border) * groups->allocated)
				: repalloc_huge(groups->border, sizeof(Border) * groups->allocated);
		}
		groups->border[groups->nborder].group = i;
		groups->border[groups->nborder++].ref = other;
	}
	UnlockReleaseBuffer(buffer);
}

/* Pin two nodes to each other, or each to one that hangs together with the other. */
static void
join(VacuumState *state, int kind, HnswRef a, HnswRef b)
{
	HnswStored	stored;
	CodeQuery	query;

	if (HnswReadStored(state->index, kind, a, &stored, &query) &&
		!HnswAddLink(state->index, kind, b, a, &stored, &query, HNSW_PIN_ALWAYS, state->log))
		HnswFindParent(state->index, kind, b, a, &stored, &query, HNSW_PIN_ALWAYS, state->log);
	if (HnswReadStored(state->index, kind, b, &stored, &query) &&
		!HnswAddLink(state->index, kind, a, b, &stored, &query, HNSW_PIN_ALWAYS, state->log))
		HnswFindParent(state->index, kind, a, b, &stored, &query, HNSW_PIN_ALWAYS, state->log);
}

/*
 * Live nodes that were connected through dead ones become a chain.  A chain
 * costs each of them two pinned links at most.
 */
void
VacuumRepairTree(VacuumState *state, int kind)
{
	HnswRefSet *dead = &state->dead[kind];
	Groups		groups;
	MemoryContext old;

	if (dead->n == 0)
		return;
	memset(&groups, 0, sizeof(groups));
	groups.context = state->context;
	groups.ref = MemoryContextAllocHuge(state->context, sizeof(HnswRef) * dead->n);
	groups.parent = MemoryContextAllocHuge(state->context, sizeof(uint64) * dead->n);
	for (uint64 at = 0; at <= dead->mask; at++)
	{
		if (dead->ref[at] != HNSW_NO_REF)
			groups.ref[groups.n++] = dead->ref[at];
	}
	qsort(groups.ref, groups.n, sizeof(HnswRef), compare_refs);
	for (uint64 i = 0; i < groups.n; i++)
		groups.parent[i] = i;
	for (uint64 i = 0; i < groups.n; i++)
	{
		vacuum_delay_point_compat();
		read_pinned(state, kind, &groups, i);
	}
	for (uint64 i = 0; i < groups.nborder; i++)
		groups.border[i].group = find_group(&groups, groups.border[i].group);
	if (groups.nborder > 1)
		qsort(groups.border, groups.nborder, sizeof(Border), compare_borders);

	old = MemoryContextSwitchTo(state->node_context);
	for (uint64 i = 1; i < groups.nborder; i++)
	{
		if (groups.border[i].group == groups.border[i - 1].group &&
			groups.border[i].ref != groups.border[i - 1].ref)
		{
			vacuum_delay_point_compat();
			join(state, kind, groups.border[i - 1].ref, groups.border[i].ref);
			MemoryContextReset(state->node_context);
		}
	}
	MemoryContextSwitchTo(old);
	pfree(groups.ref);
	pfree(groups.parent);
	if (groups.border != NULL)
		pfree(groups.border);
}
