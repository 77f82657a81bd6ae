/*
 * group_sim.c
 *	  Do all members of a collection end with the same statements?  Whole nodes greet
 *	  each other, share collections, join by invitation, evict, lose links and
 *	  processes, and fall in two halves, by the code that the worker runs.
 *
 *	group_sim [--seed=S]
 *
 * Time is counted in rounds: the longest that a member waits between two comparisons
 * of its statements with another's.  A new statement is pushed at once, and who greets
 * compares soon, so mostly no whole round is needed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "nodes.h"
#include "tap.h"

#define NODES 40
#define GROUPS 3
#define ROUND_MS (2 * COMPARE_MS)
#define ROUNDS 3				/* until all are equal, at most, also after a partition */
#define MINUTE INT64_C(60000)
#define JOIN_MS 40000			/* for each wave of joins */
#define ADMINS 3

static Sim *sim;
static const int sizes[GROUPS] = {24, 12, 8};
static bool member[GROUPS][NODES_MAX];
static int	admin[GROUPS][ADMINS];
static uint8_t root[GROUPS][CORE_KEY_BYTES];
static int	watched;			/* the group that equal() looks at */

/* ---- what is asked of them ---- */

static NodeGroup *
group_at(int node, int group)
{
	return group_by_root(sim->node[node].node, root[group]);
}

static bool
all_joined(Sim *self)
{
	for (int i = 0; i < self->n; i++)
		if (self->node[i].node != NULL && !self->node[i].joined)
			return false;
	return true;
}

static bool
no_joins(Sim *self)
{
	for (int i = 0; i < self->n; i++)
		if (self->node[i].joins > 0)
			return false;
	return true;
}

/* Have all members that are up the same statements about the watched group, and count themselves members? */
static bool
equal(Sim *self)
{
	const NodeGroup *first = NULL;

	for (int i = 0; i < self->n; i++)
		if (member[watched][i] && self->node[i].node != NULL)
		{
			const NodeGroup *g = group_at(i, watched);

			if (g == NULL || g->role == GRANT_NOBODY)
				return false;
			if (first == NULL)
				first = g;
			if (memcmp(g->membership.fingerprint, first->membership.fingerprint, GRANT_HASH_BYTES) != 0)
				return false;
		}
	return true;
}

/* Do these equal statements name the members that there should be, and nobody else? */
static bool
right_members(int group)
{
	NodeMember	listed[NODES_MAX];
	int			n = node_members(sim->node[admin[group][0]].node, sim_clock(sim), (uint32_t) group + 1, listed, NODES_MAX);
	int			expected = 0;
	int			found = 0;

	for (int i = 0; i < sim->n; i++)
	{
		KadId		id = kad_id_of_key(&sim->crypto, sim->node[i].secret + CORE_SEED_BYTES);

		expected += member[group][i];
		for (int k = 0; k < n; k++)
			found += member[group][i] && kad_id_equal(&listed[k].id, &id);
	}
	if (n != expected || found != expected)
		diag("%d members are listed, %d of those that should be: %d", n, found, expected);
	return n == expected && found == expected;
}

static void
expect_equal(const char *after)
{
	for (int group = 0; group < GROUPS; group++)
	{
		int64_t		began = sim->now_ms;
		bool		same;

		watched = group;
		same = sim_run_until(sim, ROUNDS * ROUND_MS, equal);
		ok(same && right_members(group), "%s: the members of collection %d end with the same set, within %d rounds", after, group, ROUNDS);
		for (int i = 0; i < sim->n && !same; i++)
			if (member[group][i] && sim->node[i].node != NULL && group_at(i, group) != NULL)
				diag("node %d: role %d, %d statements", i, group_at(i, group)->role, group_at(i, group)->membership.n);
		diag("after %.2f rounds", (double) (sim->now_ms - began) / ROUND_MS);
	}
}

/* ---- what they do ---- */

static bool
invite(int group, int by, int who, GrantRole role)
{
	char		text[INVITATION_TEXT_MAX + 1];
	DecodeStatus decode;

	if (node_invite(sim->node[by].node, sim_clock(sim), (uint32_t) group + 1, role, 60 * MINUTE, text) != NODE_OK ||
		node_join(sim->node[who].node, sim_clock(sim), text, strlen(text), 1, &decode) != NODE_OK)
		return false;
	sim->node[who].joins++;
	member[group][who] = true;
	return true;
}

/* Those who have joined get their table. */
static void
bind_all(void)
{
	for (int group = 0; group < GROUPS; group++)
		for (int i = 0; i < sim->n; i++)
			if (sim->node[i].node != NULL && member[group][i])
				node_group_bind(sim->node[i].node, sim_clock(sim), root[group], (uint32_t) group + 1, "things",
								(const uint8_t *) NODES_DESCRIPTION, strlen(NODES_DESCRIPTION));
}

static bool
wait_for_joins(void)
{
	int			failed = 0;
	bool		ended = sim_run_until(sim, JOIN_MS, no_joins);

	bind_all();
	for (int i = 0; i < sim->n; i++)
		failed += sim->node[i].joins_failed;
	return ended && failed == 0;
}

static int
outsider(int group, int side)
{
	int			i;

	do
		i = (int) sim_below(sim, NODES);
	while (member[group][i] || sim->node[i].node == NULL || (side >= 0 && i % 2 != side));
	return i;
}

static int
ordinary(int group, int side)
{
	int			i;

	do
		i = (int) sim_below(sim, NODES);
	while (!member[group][i] || sim->node[i].node == NULL || i == admin[group][0] || i == admin[group][1] ||
		   i == admin[group][2] || (side >= 0 && i % 2 != side));
	return i;
}

/* Of any collection: those stay up. */
static bool
is_admin(int node)
{
	for (int group = 0; group < GROUPS; group++)
		for (int k = 0; k < ADMINS; k++)
			if (admin[group][k] == node)
				return true;
	return false;
}

static bool
evict(int group, int by, int who)
{
	KadId		id = kad_id_of_key(&sim->crypto, sim->node[who].secret + CORE_SEED_BYTES);
	KadId		lost[NODES];
	char		text[2 * KAD_ID_BYTES + 1];
	int			n;

	kad_id_text(&id, text);
	if (node_evict(sim->node[by].node, sim_clock(sim), (uint32_t) group + 1, text, lost, NODES, &n) != NODE_OK || n != 1)
		return false;
	member[group][who] = false;
	return true;
}

/* ---- the parts ---- */

static void
form(uint64_t seed)
{
	int			stranger;

	sim = sim_new(seed);
	memset(member, 0, sizeof member);
	for (int i = 0; i < NODES; i++)
		sim_add(sim, "sim");
	for (int i = 1; i < NODES; i++)
	{
		sim_meet(sim, i, (int) sim_below(sim, (uint64_t) i));
		sim_run(sim, 200);
	}
	ok(sim_run_until(sim, 2 * MINUTE, all_joined), "%d nodes greet each other and join the network", NODES);
	stranger = sim_add(sim, "other");
	(void) node_meet(sim->node[stranger].node, sim_clock(sim), node_record(sim->node[0].node)->bytes,
					 node_record(sim->node[0].node)->len);
	{
		/* it knows where one of them is, and greets there */
		Node	   *node = sim->node[stranger].node;
		NodePeer   *peer = node_peer(node, sim->node[0].curve, true);
		uint64_t	refused = node_figures(sim->node[0].node).refused;
		NodePeerInfo info;

		node_greet(node, peer, &sim->node[0].address, 1);
		sim_run(sim, 2000);
		ok(node_figures(sim->node[0].node).refused > refused && !node_peer_info(sim->node[0].node, sim->node[stranger].curve, &info),
		   "a node of another network is refused");
		sim_crash(sim, stranger);
	}
}

/* False: the rest has no ground to stand on. */
static bool
share_and_join(void)
{
	bool		good = true;

	for (int group = 0; group < GROUPS; group++)
	{
		uint8_t		seed[CORE_SEED_BYTES];
		int			founder = 2 * group;

		sim->random.fill(sim->random.context, seed, sizeof seed);
		good &= node_share(sim->node[founder].node, sim_clock(sim), seed, (uint32_t) group + 1, "things", root[group]) == NODE_OK;
		member[group][founder] = true;
		admin[group][0] = founder;
	}
	bind_all();
	/* an admin of each side of the partition to come */
	for (int group = 0; group < GROUPS; group++)
		for (int k = 1; k < ADMINS; k++)
		{
			admin[group][k] = outsider(group, k % 2);
			good &= invite(group, admin[group][0], admin[group][k], GRANT_ADMIN);
		}
	good &= wait_for_joins();
	for (int group = 0; group < GROUPS; group++)
		for (int i = ADMINS; i < sizes[group]; i++)
			good &= invite(group, admin[group][sim_below(sim, ADMINS)], outsider(group, -1),
						   i % 2 == 0 ? GRANT_WRITER : GRANT_READER);
	good &= wait_for_joins();
	ok(good, "they join %d collections by invitations of their admins", GROUPS);
	expect_equal("joined");
	return good;
}

static void
look_at_mesh(void)
{
	int			thin = 0;

	sim_run(sim, MINUTE);
	for (int group = 0; group < GROUPS; group++)
		for (int i = 0; i < NODES; i++)
			if (member[group][i])
				thin += group_at(i, group)->mesh.n_inside < (sizes[group] > MESH_LOW ? MESH_LOW : sizes[group] - 1);
	ok(thin == 0, "every member is in the mesh with %d others or more", MESH_LOW);
}

static bool
victim_knows(Sim *self)
{
	for (int i = 0; i < self->n; i++)
		for (int group = 0; group < GROUPS; group++)
			if (!member[group][i] && self->node[i].node != NULL && group_at(i, group) != NULL &&
				group_at(i, group)->role != GRANT_NOBODY)
				return false;
	return true;
}

static void
eviction(void)
{
	bool		good = true;

	for (int group = 0; group < GROUPS; group++)
		good &= evict(group, admin[group][0], ordinary(group, -1));
	ok(good, "an admin of each evicts a member");
	expect_equal("evicted");
	ok(sim_run_until(sim, ROUNDS * ROUND_MS, victim_knows), "and those evicted know");
}

static void
broken_links(void)
{
	bool		good = true;

	for (int i = 0; i < 120; i++)
	{
		sim_break_link(sim);
		if (i % 40 == 0)
			good &= invite(i / 40 % GROUPS, admin[i / 40 % GROUPS][1], outsider(i / 40 % GROUPS, -1), GRANT_READER);
		sim_run(sim, 500);
	}
	good &= wait_for_joins();
	ok(good, "members join while a link breaks twice a second");
	expect_equal("links broken");
}

static void
crashes(void)
{
	int			down[GROUPS];
	bool		good = true;

	for (int group = 0; group < GROUPS; group++)
	{
		do
			down[group] = ordinary(group, -1);
		while (is_admin(down[group]));
		sim_crash(sim, down[group]);
	}
	sim_run(sim, MINUTE);
	for (int group = 0; group < GROUPS; group++)
	{
		int			victim = ordinary(group, -1);

		good &= invite(group, admin[group][0], outsider(group, -1), GRANT_WRITER);
		good &= evict(group, admin[group][0], victim);
	}
	good &= wait_for_joins();
	sim_run(sim, MINUTE);
	for (int group = 0; group < GROUPS; group++)
	{
		sim_start(sim, down[group]);
		sim_meet(sim, down[group], admin[group][1]);
	}
	ok(good, "one member of each is down while another is evicted and one joins");
	expect_equal("started again");
}

static void
partition(void)
{
	bool		good = true;

	for (int i = 0; i < NODES; i++)
		sim->node[i].side = i % 2;
	sim_run(sim, 10 * MINUTE);
	for (int group = 0; group < GROUPS; group++)
	{
		/* of the admins the first and third are on the one side, the second on the other */
		int			victim = ordinary(group, 1);

		good &= invite(group, admin[group][1], outsider(group, 1), GRANT_READER);
		good &= invite(group, admin[group][2], outsider(group, 0), GRANT_WRITER);
		good &= evict(group, admin[group][0], victim);
	}
	good &= wait_for_joins();
	ok(good, "in two halves each evicts or admits members");
	sim_run(sim, MINUTE);
	for (int i = 0; i < NODES; i++)
		sim->node[i].side = 0;
	expect_equal("healed");
}

static bool
has_left(Sim *self)
{
	int			n = 0;

	for (int i = 0; i < self->n; i++)
		n += (int) self->node[i].left;
	return n == GROUPS;
}

static void
leaving(void)
{
	bool		good = true;

	for (int group = 0; group < GROUPS; group++)
	{
		int			who = ordinary(group, -1);

		good &= node_leave(sim->node[who].node, sim_clock(sim), (uint32_t) group + 1) == NODE_OK;
		member[group][who] = false;
	}
	ok(good && sim_run_until(sim, ROUNDS * ROUND_MS, has_left), "a member of each leaves, and others know");
	expect_equal("left");
}

int
main(int argc, char **argv)
{
	const char *given = getenv("TEST_SEED");
	uint64_t	seed = given != NULL ? strtoull(given, NULL, 0) : 1;
	uint64_t	digest;

	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--seed=", 7) == 0)
			seed = strtoull(argv[i] + 7, NULL, 0);
		else
		{
			fprintf(stderr, "unknown option %s\n", argv[i]);
			return 2;
		}
	diag("%d nodes, %d collections, seed %" PRIu64 " (--seed or TEST_SEED sets another)", NODES, GROUPS, seed);
	form(seed);
	digest = sim->digest;
	ok(sim_destroy(&sim), "nothing is left of their memory");
	form(seed);
	ok(sim->digest == digest, "from one seed the same frames follow");
	if (!share_and_join())
		return tap_done();
	look_at_mesh();
	eviction();
	broken_links();
	crashes();
	partition();
	leaving();
	diag("%" PRIu64 " frames, %" PRIu64 " lost, %" PRIu64 " links made, %" PRIu64 " broken, digest %016" PRIx64 ", %.0f s of virtual time, %.1f s of CPU",
		 sim->frames, sim->lost, sim->links_made, sim->links_broken, sim->digest, (double) sim->now_ms / 1000,
		 (double) clock() / CLOCKS_PER_SEC);
	ok(sim_destroy(&sim), "nothing is left of their memory");
	return tap_done();
}
