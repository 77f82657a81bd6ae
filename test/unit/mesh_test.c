/*
 * mesh_test.c
 *	  The mesh of a collection: degree, back-off, peer exchange; and many meshes
 *	  together.
 */
#include "core/net/mesh.h"

#include "node_fixture.h"

#define NODES 60

static NodeRecord *records[3 * MESH_PEERS];
static Mesh meshes[NODES];

typedef struct Sent
{
	int			grafts;
	int			prunes;
	MeshAction	last;
} Sent;

static void
note(void *context, const MeshAction *action)
{
	Sent	   *sent = context;

	if (action->graft)
		sent->grafts++;
	else
		sent->prunes++;
	sent->last = *action;
}

static void
test_one(void)
{
	Mesh		mesh;
	Sent		sent = {0};
	int64_t		now = 1000;
	int			wrong = 0;
	uint32_t	spread_least = UINT32_MAX;
	uint32_t	spread_most = 0;

	mesh_init(&mesh, &pool, &fixture_random, MESH_DEGREE, now);
	mesh_heartbeat(&mesh, mesh.next_ms - 1, note, &sent);
	mesh_heartbeat(&mesh, mesh.next_ms, note, &sent);
	ok(sent.grafts + sent.prunes == 0, "nobody there: nothing is sent");
	for (int i = 0; i < 1000; i++)
	{
		int64_t		before = mesh.next_ms;
		uint32_t	gap;

		mesh_heartbeat(&mesh, before, note, &sent);
		gap = (uint32_t) (mesh.next_ms - before);
		if (gap < spread_least)
			spread_least = gap;
		if (gap > spread_most)
			spread_most = gap;
	}
	ok(spread_least >= 800 && spread_least < 830 && spread_most <= 1200 && spread_most > 1170,
	   "heartbeats come every %u to %u ms", spread_least, spread_most);

	for (int i = 0; i < MESH_PEERS; i++)
		wrong += !mesh_peer(&mesh, records[i]);
	ok(wrong == 0 && mesh.n == MESH_PEERS, "%d members are kept account of", mesh.n);
	ok(mesh_peer(&mesh, records[0]) && mesh.n == MESH_PEERS, "one twice is one");
	now = mesh.next_ms;
	mesh_heartbeat(&mesh, now, note, &sent);
	ok(sent.grafts == MESH_DEGREE && mesh.n_inside == MESH_DEGREE, "a heartbeat grafts up to the degree");
	mesh_heartbeat(&mesh, mesh.next_ms, note, &sent);
	ok(sent.grafts == MESH_DEGREE, "the next has nothing to do");

	/* members graft us */
	sent = (Sent) {0};
	for (int i = 0; i < MESH_PEERS; i++)
		if (!mesh_inside(&mesh, &records[i]->id))
			mesh_grafted(&mesh, records[i], now, note, &sent);
	ok(mesh.n_inside == MESH_HIGH && sent.prunes == MESH_PEERS - MESH_HIGH, "grafts are taken up to %d, the others pruned", MESH_HIGH);
	ok(sent.last.backoff_s == MESH_BACKOFF_S && sent.last.n_exchange == MESH_EXCHANGE, "a prune names a back-off and others");
	for (int i = 0; i < sent.last.n_exchange; i++)
		wrong += sent.last.exchange[i] == sent.last.to;
	ok(wrong == 0, "but not who is pruned");

	/* back-off, on both sides */
	sent = (Sent) {0};
	for (int i = 0; i < MESH_PEERS && sent.prunes == 0; i++)
		if (mesh_inside(&mesh, &records[i]->id))
		{
			mesh_pruned(&mesh, &records[i]->id, 10, now);
			ok(!mesh_inside(&mesh, &records[i]->id), "who prunes us is outside");
			mesh_grafted(&mesh, records[i], now + 9999, note, &sent);
			ok(sent.prunes == 1 && !mesh_inside(&mesh, &records[i]->id), "and refused within its back-off");
			mesh_grafted(&mesh, records[i], now + 9999 + 60000 - 1, note, &sent);
			ok(sent.prunes == 2, "which begins again by that");
			mesh_grafted(&mesh, records[i], now + 9999 + 60000 - 1 + 60000, note, &sent);
			ok(sent.prunes == 2 && mesh_inside(&mesh, &records[i]->id), "and taken after it");
			mesh_pruned(&mesh, &records[i]->id, UINT32_MAX, now);
			mesh_grafted(&mesh, records[i], now + INT64_C(1000) * MESH_BACKOFF_MAX_S, note, &sent);
			ok(mesh_inside(&mesh, &records[i]->id), "a back-off of 136 years is not believed");
		}

	sent = (Sent) {0};
	mesh_grafted(&mesh, records[MESH_PEERS + 1], now, note, &sent);
	ok(sent.prunes == 1 && sent.last.n_exchange == 0, "a stranger is pruned and told of nobody");
	mesh_pruned(&mesh, &records[MESH_PEERS + 1]->id, 1, now);
	mesh_gone(&mesh, &records[MESH_PEERS + 1]->id);
	ok(mesh.n == MESH_PEERS, "what a stranger says changes nothing");

	sent = (Sent) {0};
	now += 10000000;
	mesh_leave(&mesh, now, note, &sent);
	ok(mesh.n_inside == 0 && sent.prunes == MESH_HIGH && sent.last.n_exchange == 0, "who leaves prunes all");
	while (mesh.n > 0)
		mesh_gone(&mesh, &mesh.peer[0].record->id);
	ok(mesh.n_inside == 0, "those who are gone are outside");
	mesh_reset(&mesh);
}

static void
test_outbound(void)
{
	Mesh		mesh;
	Sent		sent = {0};
	int			outbound = 0;
	int64_t		now = 0;

	mesh_init(&mesh, &pool, &fixture_random, MESH_DEGREE, now);
	for (int i = 0; i < 40; i++)
		mesh_peer(&mesh, records[i]);
	for (int i = 0; i < MESH_HIGH; i++)
		mesh_grafted(&mesh, records[i], now, note, &sent);
	ok(mesh.n_inside == MESH_HIGH, "a dozen have grafted us before our first heartbeat");
	mesh_pruned(&mesh, &records[0]->id, 60, now);
	mesh_pruned(&mesh, &records[1]->id, 60, now);
	mesh_heartbeat(&mesh, mesh.next_ms, note, &sent);
	for (int i = 0; i < mesh.n; i++)
		outbound += mesh.peer[i].inside && mesh.peer[i].outbound;
	ok(outbound == MESH_OUTBOUND, "still %d are of our own choice", outbound);
	mesh_reset(&mesh);

	mesh_init(&mesh, &pool, &fixture_random, 100, 0);
	ok(mesh.degree == MESH_HIGH, "a degree too high is brought down");
	mesh_init(&mesh, &pool, &fixture_random, 0, 0);
	ok(mesh.degree == MESH_LOW, "and one too low up");
	mesh_reset(&mesh);
}

/* Some who are first, many, and come again and again: what part of the places is theirs? */
static void
test_crowded(void)
{
	Mesh		mesh;
	Sent		sent = {0};
	int			late = 0;
	int			inside = 0;
	int			back = 0;

	mesh_init(&mesh, &pool, &fixture_random, MESH_DEGREE, 0);
	for (int i = 0; i < MESH_PEERS; i++)
		mesh_peer(&mesh, records[i]);
	mesh_heartbeat(&mesh, mesh.next_ms, note, &sent);
	for (int i = MESH_PEERS; i < 2 * MESH_PEERS; i++)
		late += mesh_peer(&mesh, records[i]);
	ok(late > 0 && mesh.n == MESH_PEERS, "%d places have gone to others who came later", late);
	for (int i = 0; i < MESH_PEERS; i++)
		inside += mesh_inside(&mesh, &records[i]->id);
	ok(inside == MESH_DEGREE && mesh.n_inside == MESH_DEGREE, "none of those inside");
	late = 0;
	for (int i = 0; i < mesh.n; i++)
		for (int j = MESH_PEERS; j < 2 * MESH_PEERS; j++)
			late += mesh.peer[i].record == records[j];
	ok(late >= 10 && late <= MESH_PEERS - 10, "as many as both have their share: %d are kept", late);
	for (int round = 0; round < 20; round++)
		for (int i = 0; i < MESH_PEERS; i++)
		{
			bool		there = false;

			for (int j = 0; j < mesh.n; j++)
				there |= mesh.peer[j].record == records[i];
			back += !there && mesh_peer(&mesh, records[i]);
		}
	ok(back == 0, "who was left out gains nothing by coming again");
	mesh_reset(&mesh);
}

/* ---- many of them: messages arrive at once ---- */

static int
index_of(const NodeRecord *record)
{
	for (int i = 0; i < NODES; i++)
		if (records[i] == record)
			return i;
	return -1;
}

typedef struct Sender
{
	int			from;
	int64_t		now;
} Sender;

static void
bring(void *context, const MeshAction *action)
{
	Sender	   *sender = context;
	Sender		answer = {index_of(action->to), sender->now};
	Mesh	   *to = &meshes[answer.from];

	if (action->graft)
		mesh_grafted(to, records[sender->from], sender->now, bring, &answer);
	else
		mesh_pruned(to, &records[sender->from]->id, action->backoff_s, sender->now);
}

static void
run(int64_t from, int64_t to)
{
	for (int64_t now = from; now < to; now += 50)
		for (int i = 0; i < NODES; i++)
		{
			Sender		sender = {i, now};

			mesh_heartbeat(&meshes[i], now, bring, &sender);
		}
}

static int
reached(bool *dead)
{
	int			queue[NODES];
	bool		seen[NODES] = {false};
	int			n = 0;
	int			first = 0;

	while (dead[first])
		first++;
	queue[n++] = first;
	seen[first] = true;
	for (int i = 0; i < n; i++)
		for (int j = 0; j < NODES; j++)
			if (!seen[j] && !dead[j] && mesh_inside(&meshes[queue[i]], &records[j]->id))
			{
				seen[j] = true;
				queue[n++] = j;
			}
	return n;
}

static void
test_many(void)
{
	bool		dead[NODES] = {false};
	int			one_sided = 0;
	int			least = NODES;
	int			most = 0;
	int			n_dead = 0;

	for (int i = 0; i < NODES; i++)
	{
		mesh_init(&meshes[i], &pool, &fixture_random, MESH_DEGREE, 0);
		for (int j = 0; j < NODES; j++)
			if (j != i)
				mesh_peer(&meshes[i], records[j]);
	}
	run(0, 10000);
	for (int i = 0; i < NODES; i++)
	{
		for (int j = 0; j < NODES; j++)
			one_sided += j != i && mesh_inside(&meshes[i], &records[j]->id) != mesh_inside(&meshes[j], &records[i]->id);
		if (meshes[i].n_inside < least)
			least = meshes[i].n_inside;
		if (meshes[i].n_inside > most)
			most = meshes[i].n_inside;
	}
	ok(one_sided == 0, "every link is mutual");
	ok(least >= MESH_LOW && most <= MESH_HIGH, "%d nodes have between %d and %d links", NODES, least, most);
	ok(reached(dead) == NODES, "and all are reached over them");
	for (int i = 0; i < NODES; i++)
		if (core_random_below(&fixture_random, 10) < 3)
		{
			dead[i] = true;
			n_dead++;
			mesh_reset(&meshes[i]);
			meshes[i].next_ms = INT64_MAX;
			for (int j = 0; j < NODES; j++)
				mesh_gone(&meshes[j], &records[i]->id);
		}
	run(10000, 15000);
	least = NODES;
	for (int i = 0; i < NODES; i++)
		if (!dead[i] && meshes[i].n_inside < least)
			least = meshes[i].n_inside;
	ok(least >= MESH_LOW && reached(dead) == NODES - n_dead, "when %d are gone the others find together again", n_dead);
	for (int i = 0; i < NODES; i++)
		mesh_reset(&meshes[i]);
}

int
main(void)
{
	fixture_begin(10000);
	for (int i = 0; i < 3 * MESH_PEERS; i++)
	{
		Key			key = new_key();

		records[i] = record_of(&key, nth_address(i), 1);
	}
	test_one();
	test_outbound();
	test_crowded();
	test_many();
	for (int i = 0; i < 3 * MESH_PEERS; i++)
		record_pool_release(&pool, records[i]);
	return fixture_end();
}
