/*
 * rows_liar.c
 *	  A member who lies: frontiers beyond the truth or going back, rows and claims that
 *	  nobody asked for, floods of incarnations, requests without end.
 *
 * What a writer says in a batch that it was asked for is believed, as writers of one
 * collection trust each other: a claim there without its rows can make all others drop
 * these, once tombstones are collected below it.  So it ends one only where nothing is
 * deleted (false_claims).
 */
#include <stdlib.h>

#include "rows_world.h"

typedef struct Liar
{
	RowDictionary dictionary;
	CoreMemory	memory;
	uint64_t	asked[ROWS_NODES];
	uint8_t		frame[ROW_FRAME_MAX];
} Liar;

static Liar *liars[ROWS_NODES];

static void *
liar_alloc(void *context, size_t size)
{
	return malloc(size);
}

static void
liar_give(void *context, void *p)
{
	free(p);
}

static Liar *
liar_of(World *self, int node)
{
	if (liars[node] == NULL)
	{
		Liar	   *new = calloc(1, sizeof *new);

		new->memory = (CoreMemory) {NULL, liar_alloc, liar_give};
		row_dictionary_init(&new->dictionary, &new->memory, &self->crypto, &self->collection);
		liars[node] = new;
	}
	return liars[node];
}

void
liar_free(World *self, int node)
{
	if (liars[node] == NULL)
		return;
	row_dictionary_reset(&liars[node]->dictionary);
	free(liars[node]);
	liars[node] = NULL;
}

static void
any_frontier(World *self, Liar *liar, RowFrontier *out)
{
	row_frontier_init(out, &liar->memory);
	for (uint32_t i = 1; i <= liar->dictionary.n; i++)
		if (world_below(&self->net, 3) > 0)
			(void) row_frontier_claim(out, i, world_below(&self->net, 4) == 0 ? UINT64_MAX / 2 : 1 + world_below(&self->net, 40), NULL, 0);
}

static void
new_lives(World *self, Liar *liar, RowsNode *at, RowWriter *w, int n)
{
	CoreRandom	random = HOST_RANDOM(&at->random_state);

	row_wire_begin(w, liar->frame, sizeof liar->frame, ROW_WIRE_INTRODUCE, false, 0, &self->collection);
	for (int i = 0; i < n && self->n_lives + 200 < STORE_LIVES; i++)
	{
		RowIncarnation life;
		uint32_t	number;

		if (!row_incarnation_begin(&liar->dictionary, &random, at->secret, &life))
			return;
		if (world_below(&self->net, 4) == 0)
			life.owner[3] ^= 1;		/* another's */
		else
			(void) row_dictionary_add(&liar->dictionary, &life, true, &number);
		(void) row_wire_put_incarnation(w, &life);
	}
}

static void
put_row(World *self, Liar *liar, RowWriter *w)
{
	RowWireRow	row;
	uint8_t		key[STORE_KEY_BYTES];
	uint8_t		content[16] = {1};
	size_t		written;

	memset(&row, 0, sizeof row);
	row.key = store_key_bytes((int) world_below(&self->net, (uint64_t) self->n_keys), key);
	row.version.clock = (uint64_t) world_unix_us(self, 0) * (1 + world_below(&self->net, 2));
	row.stamp.id = row.birth.id = row.vector_stamp.id =
		row_dictionary_get(&liar->dictionary, 1 + (uint32_t) world_below(&self->net, liar->dictionary.n))->id;
	row.stamp.ticket = row.birth.ticket = row.vector_stamp.ticket = 1 + world_below(&self->net, 50);
	memcpy(row.version.tie, row.stamp.id.bytes, ROW_HASH);
	row.live = true;
	row.content_len = sizeof content;
	row.content = (RowBytes) {content, sizeof content};
	(void) row_wire_put_row(w, &row, &written);
}

static void
lie(World *self, int node, int to)
{
	RowsNode   *at = &self->node[node];
	Liar	   *liar = liar_of(self, node);
	RowWriter	w;
	RowFrontier frontier;
	uint8_t		schema[32];
	uint8_t		members[16] = {0};
	uint8_t		fingerprint[32];
	uint64_t	request = world_below(&self->net, 2) ? liar->asked[to] + 1 : 1 + world_below(&self->net, 40);
	int			what = (int) world_below(&self->net, 8);
	size_t		len;

	world_schema_hash(self, self->schema, schema);
	self->crypto.sha256(NULL, (const uint8_t *) &self->node[to].known, 8, fingerprint);
	memcpy(members, fingerprint, 16);
	any_frontier(self, liar, &frontier);
	if (liar->dictionary.n == 0 || what == 0)
		new_lives(self, liar, at, &w, 1 + (int) world_below(&self->net, 30));
	else if (what <= 2)
	{
		row_wire_begin(&w, liar->frame, sizeof liar->frame, ROW_WIRE_HAVE, false, 0, &self->collection);
		(void) row_wire_put_bytes(&w, ROW_TAG_MEMBERS, members, 16);
		(void) row_wire_put_uint(&w, ROW_TAG_CLOCK, UINT64_MAX >> (1 + world_below(&self->net, 14)));
		(void) row_wire_put_bytes(&w, ROW_TAG_SCHEMA, schema, 32);
		(void) row_wire_put_frontier(&w, ROW_TAG_FRONTIER, &frontier, &liar->dictionary);
		row_frontier_reset(&frontier);
		if (world_below(&self->net, 4) == 0)
			any_frontier(self, liar, &frontier);
		(void) row_wire_put_frontier(&w, ROW_TAG_FLOOR, &frontier, &liar->dictionary);
	}
	else if (what == 3)
	{
		row_wire_begin(&w, liar->frame, sizeof liar->frame, ROW_WIRE_WANT, false, request, &self->collection);
		(void) row_wire_put_uint(&w, ROW_TAG_MODE, 1 + world_below(&self->net, 3));
		(void) row_wire_put_uint(&w, ROW_TAG_CREDIT, world_below(&self->net, 2) ? 1 : UINT32_MAX);
		(void) row_wire_put_bytes(&w, ROW_TAG_MEMBERS, members, 16);
		(void) row_wire_put_uint(&w, ROW_TAG_CLOCK, 5);
		(void) row_wire_put_bytes(&w, ROW_TAG_SCHEMA, schema, 32);
		(void) row_wire_put_frontier(&w, ROW_TAG_FRONTIER, &frontier, &liar->dictionary);
		(void) row_wire_put_frontier(&w, ROW_TAG_FLOOR, &frontier, &liar->dictionary);
	}
	else if (what == 4)
	{
		/* it was asked: rows, but never the last of them */
		bool		asked = request == liar->asked[to] + 1;

		row_wire_begin(&w, liar->frame, sizeof liar->frame, ROW_WIRE_DATA, true, asked ? request + 1000 : request, &self->collection);
		(void) row_wire_put_frontier(&w, ROW_TAG_CLAIM, &frontier, &liar->dictionary);
		(void) row_wire_put_frontier(&w, ROW_TAG_FLOOR, &frontier, &liar->dictionary);
		(void) row_wire_put_uint(&w, ROW_TAG_SEQUENCE, 0);
		put_row(self, liar, &w);
		(void) row_wire_put_bytes(&w, ROW_TAG_LAST, NULL, 0);
	}
	else if (what == 5)
	{
		row_wire_begin(&w, liar->frame, sizeof liar->frame, ROW_WIRE_ACK, false, request, &self->collection);
		(void) row_wire_put_uint(&w, ROW_TAG_CREDIT, UINT32_MAX);
	}
	else if (what == 6)
	{
		row_wire_begin(&w, liar->frame, sizeof liar->frame, ROW_WIRE_STOP, world_below(&self->net, 2) == 0, liar->asked[to] + 1, &self->collection);
		(void) row_wire_put_uint(&w, ROW_TAG_CODE, 15 + world_below(&self->net, 6));
	}
	else
	{
		RowRange	range = {{NULL, 0}, {NULL, 0}};

		row_wire_begin(&w, liar->frame, sizeof liar->frame, ROW_WIRE_RANGES, false, request, &self->collection);
		(void) row_wire_put_range(&w, &range);
	}
	row_frontier_reset(&frontier);
	len = row_wire_end(&w);
	if (len == 0)
		return;
	if (world_below(&self->net, 8) == 0)
		liar->frame[world_below(&self->net, len)] ^= (uint8_t) (1 << world_below(&self->net, 8));
	(void) self->network->send(self, node, &self->node[to].id, liar->frame, len);
}

/* An answer to a request: tickets of others are claimed, and no row is sent. */
static void
claim_falsely(World *self, int node, int to)
{
	Liar	   *liar = liar_of(self, node);
	RowWriter	w;
	RowFrontier frontier;

	any_frontier(self, liar, &frontier);
	row_wire_begin(&w, liar->frame, sizeof liar->frame, ROW_WIRE_DATA, true, liar->asked[to] + 1, &self->collection);
	(void) row_wire_put_frontier(&w, ROW_TAG_CLAIM, &frontier, &liar->dictionary);
	row_frontier_reset(&frontier);
	(void) row_wire_put_frontier(&w, ROW_TAG_FLOOR, &frontier, &liar->dictionary);
	(void) row_wire_put_uint(&w, ROW_TAG_SEQUENCE, 0);
	(void) row_wire_put_bytes(&w, ROW_TAG_LAST, NULL, 0);
	(void) self->network->send(self, node, &self->node[to].id, liar->frame, row_wire_end(&w));
}

void
liar_frame(World *self, int node, int from, const uint8_t *frame, size_t len)
{
	Liar	   *liar = liar_of(self, node);
	RowMessage	message;
	RowIncarnation life;
	uint32_t	number;

	if (row_wire_decode(frame, len, &message) != DECODE_OK)
		return;
	while (row_wire_next_incarnation(&message.many[ROW_TAG_INCARNATION], &life))
		(void) row_dictionary_add(&liar->dictionary, &life, true, &number);
	if (message.type == ROW_WIRE_WANT)
	{
		liar->asked[from] = message.request - 1;
		if (self->profile->false_claims && world_below(&self->net, 2) == 0)
			claim_falsely(self, node, from);
	}
	if (world_below(&self->net, 3) == 0)
		lie(self, node, from);
}

void
liar_act(World *self, int node)
{
	if (self->healing)
		return;
	for (int i = 0; i < self->n; i++)
		if (i != node && world_below(&self->net, 2) == 0)
			lie(self, node, i);
	world_after(self, 50 + (int64_t) world_below(&self->net, 200), AFTER_LIAR, node, 0);
}
