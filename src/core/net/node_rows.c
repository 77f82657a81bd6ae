/*
 * node_rows.c
 *	  How frames with rows pass through a node: from and to members of a collection, unread
 *	  beyond their header, over one link for each node and direction.
 *
 * What is called while the process handles a frame or the end of a link (node_rows_send()
 * and others) changes no table: it notes what rows_tick() is to do.
 */
#include "core/net/node_state.h"

#include <string.h>

#include "core/assert.h"
#include "core/bytes.h"

#define FIND_EACH_MS 1000		/* one lookup of a node to which there is no link */
#define FLIP_MS 1000			/* at least, between two times that a node changes the link by which it sends */

/* Where the link with this node stands, or would. */
static int
rows_place(const Node *self, const KadId *id)
{
	int			low = 0;
	int			high = self->n_rows;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (memcmp(self->rows[middle]->id.b, id->b, KAD_ID_BYTES) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static NodeRowsLink *
rows_find(const Node *self, const KadId *id)
{
	int			i = rows_place(self, id);

	return i < self->n_rows && kad_id_equal(&self->rows[i]->id, id) ? self->rows[i] : NULL;
}

static NodeRowsLink *
rows_add(Node *self, const KadId *id)
{
	int			i = rows_place(self, id);
	NodeRowsLink *link;

	if (self->n_rows == LINKS_MAX || (link = core_alloc(&self->memory, sizeof *link)) == NULL)
		return NULL;
	memset(link, 0, sizeof *link);
	link->id = *id;
	memmove(self->rows + i + 1, self->rows + i, (size_t) (self->n_rows - i) * sizeof *self->rows);
	self->rows[i] = link;
	self->n_rows++;
	CORE_ASSERT(i == 0 || memcmp(self->rows[i - 1]->id.b, id->b, KAD_ID_BYTES) < 0);
	return link;
}

static void
rows_remove(Node *self, int i)
{
	CORE_ASSERT(i >= 0 && i < self->n_rows && !self->rows[i]->up);
	core_free(&self->memory, self->rows[i]);
	self->n_rows--;
	memmove(self->rows + i, self->rows + i + 1, (size_t) (self->n_rows - i) * sizeof *self->rows);
}

void
rows_reset(Node *self)
{
	for (int i = 0; i < self->n_rows; i++)
		core_free(&self->memory, self->rows[i]);
	self->n_rows = 0;
}

static void
rows_tell(Node *self, NodeRowsLink *link, bool up)
{
	CORE_ASSERT(link->up != up);
	link->up = up;
	self->config.rows.link(self->config.rows.context, &link->id, up);
}

/* Does the peer hear what we send over this link, and do we hear it?  Who has our key too, or whose key we have, is nobody's copy. */
static bool
rows_usable(const Node *self, const NodePeer *peer, const KadId *id, LinkVia out)
{
	LinkInfo info;

	return !self->cloned && peer->greeted && peer->welcomed && kad_id_equal(&peer->record->id, id) &&
		self->links.find(self->links.self, out, &info);
}

/* The link with a peer that shares a collection; it is greeted first where it does not hear us yet. */
static void
rows_open(Node *self, NodePeer *peer)
{
	NodeRowsLink *link = rows_find(self, &peer->record->id);
	LinkInfo info;

	CORE_ASSERT(peer->greeted);
	if (link != NULL && link->up)
		return;
	if (node_greeting_due(self, peer))
		node_greet(self, peer, NULL, 0);
	if (!rows_usable(self, peer, &peer->record->id, peer->welcome_via) ||
		(link == NULL && (link = rows_add(self, &peer->record->id)) == NULL))
		return;
	/* a node that has another CURVE key now: nothing comes by links of the one before */
	if (memcmp(link->curve, peer->curve, CORE_KEY_BYTES) != 0)
	{
		memcpy(link->curve, peer->curve, CORE_KEY_BYTES);
		link->in.link = link->out.link = 0;
		link->n_past = 0;
	}
	/* its end has been told of */
	if (link->in.link != 0 && !self->links.find(self->links.self, link->in, &info))
		link->in.link = 0;
	/* never back to one that was left before it was gone: over that nothing more is taken */
	if (link->out.link == 0 || !self->links.find(self->links.self, link->out, &info))
		link->out = peer->welcome_via;
	rows_tell(self, link, true);
}

/* Forget those that are gone: nothing comes by them. */
static void
forget_past(Node *self, NodeRowsLink *link)
{
	LinkInfo info;
	int			n = 0;

	for (int i = 0; i < link->n_past; i++)
		if (self->links.find(self->links.self, link->past[i], &info))
			link->past[n++] = link->past[i];
	link->n_past = n;
}

/*
 * Is a frame that came over the link at hand to be taken?  A link that was left while it
 * is there is remembered until it is gone: where there is no room for one more, the sender
 * stays with what it has.
 */
static bool
rows_in_order(Node *self, NodeRowsLink *link)
{
	LinkInfo info;

	if (link->in.link == self->via.link)
		return true;
	if (!self->links.find(self->links.self, self->via, &info))
		return false;
	for (int i = 0; i < link->n_past; i++)
		if (link->past[i].link == self->via.link)
			return false;
	if (link->in.link != 0)
	{
		forget_past(self, link);
		if (link->n_past == NODE_ROWS_PAST || self->now.tick_ms < link->flip_ms)
			return false;
		link->past[link->n_past++] = link->in;
		link->flip_ms = self->now.tick_ms + FLIP_MS;
		rows_tell(self, link, false);
		rows_tell(self, link, true);
	}
	link->in = self->via;
	return true;
}

void
rows_receive(Node *self, NodePeer *from, const uint8_t *frame, size_t len)
{
	ByteReader	r = {frame, len, false};
	WireHeader	header;
	NodeGroup  *g;
	NodeRowsLink *link;

	CORE_ASSERT(self->handling && self->from == from && from->greeted);
	if (len > WIRE_ROWS_FRAME_MAX || wire_header_take(&r, &header) != DECODE_OK)
	{
		node_refuse(self, from->curve, "it sends a frame of rows that cannot be read");
		return;
	}
	g = group_find(self, &header.collection);
	if (self->cloned || g == NULL || g->tag == 0 || g->leaving || g->role == GRANT_NOBODY ||
		group_role(self, g, from) == GRANT_NOBODY)
	{
		self->refused++;
		return;
	}
	from->shares = true;
	rows_open(self, from);
	link = rows_find(self, &from->record->id);
	if (link == NULL || !link->up || memcmp(link->curve, from->curve, CORE_KEY_BYTES) != 0 || !rows_in_order(self, link))
	{
		self->refused++;
		return;
	}
	self->config.rows.frame(self->config.rows.context, g->tag, &link->id, frame, len);
}

/* Greet a node to which something was to be sent; one that is not known is looked for. */
static void
rows_connect(Node *self, const KadId *id)
{
	KadEntry   *entry = kad_table_find(kad_node_table(self->kad), id);

	if (rows_find(self, id) != NULL)
		return;
	if (entry != NULL)
		find_connect(self, entry->record);
	else if (self->now.tick_ms >= self->rows_find_ms)
	{
		self->rows_find_ms = self->now.tick_ms + FIND_EACH_MS;
		(void) find_start(self, id, false, 0);
	}
}

void
rows_tick(Node *self)
{
	if (self->config.rows.link == NULL)
		return;
	for (int i = self->n_rows - 1; i >= 0; i--)
	{
		NodeRowsLink *link = self->rows[i];
		const NodePeer *peer = node_peer(self, link->curve, false);

		if (link->up && (peer == NULL || !rows_usable(self, peer, &link->id, link->out)))
			rows_tell(self, link, false);
		/* as long as any link is there, something may come over it that is older than what has come */
		if (!link->up && (peer == NULL || !node_connected(peer)))
			rows_remove(self, i);
	}
	while (self->n_rows_wanted > 0)
		rows_connect(self, &self->rows_wanted[--self->n_rows_wanted]);
	for (int i = 0; i < NODE_PEER_SLOTS && !self->cloned; i++)
		for (NodePeer *peer = self->peer[i]; peer != NULL; peer = peer->next)
			if (peer->shares && peer->greeted && node_connected(peer))
				rows_open(self, peer);
}

/* ---- for the process around ---- */

LinkSent
node_rows_send(Node *self, const KadId *to, const uint8_t *frame, size_t len)
{
	const NodeRowsLink *link = rows_find(self, to);

	CORE_ASSERT(len >= WIRE_HEAD && frame[6] >= WIRE_ROWS);
	if (len > WIRE_ROWS_FRAME_MAX)
		return LINK_ERROR;
	if (link != NULL && link->up)
		return self->links.answer(self->links.self, link->out, frame, len);
	for (int i = 0; i < self->n_rows_wanted; i++)
		if (kad_id_equal(&self->rows_wanted[i], to))
			return LINK_ERROR;
	if (self->n_rows_wanted < NODE_ROWS_WANTED)
		self->rows_wanted[self->n_rows_wanted++] = *to;
	return LINK_ERROR;
}

bool
node_rows_connected(const Node *self, const KadId *id)
{
	const NodeRowsLink *link = rows_find(self, id);

	return link != NULL && link->up;
}

int
node_rows_mesh(const Node *self, uint32_t tag, KadId *out, int room)
{
	const NodeGroup *g = group_by_tag(self, tag);
	int			n = 0;

	for (int i = 0; g != NULL && i < g->mesh.n && n < room; i++)
		if (g->mesh.peer[i].inside && node_rows_connected(self, &g->mesh.peer[i].record->id))
			out[n++] = g->mesh.peer[i].record->id;
	return n;
}

bool
node_rows_members(Node *self, CoreClock clock, uint32_t tag, NodeRowsMembers *out)
{
	NodeGroup  *g = group_by_tag(self, tag);

	self->now = clock;
	memset(out, 0, sizeof *out);
	if (g == NULL)
		return false;
	out->own_role = membership_role(&g->membership, self->key, clock.unix_ms);
	out->version = g->membership.changes + g->membership.evaluations;
	memcpy(out->fingerprint, g->membership.fingerprint, sizeof out->fingerprint);
	return true;
}

bool
node_rows_is_writer(Node *self, uint32_t tag, const uint8_t key[CORE_KEY_BYTES])
{
	NodeGroup  *g = group_by_tag(self, tag);

	return g != NULL && membership_role(&g->membership, key, self->now.unix_ms) >= GRANT_WRITER;
}

bool
node_rows_was_writer(const Node *self, uint32_t tag, const uint8_t key[CORE_KEY_BYTES])
{
	const NodeGroup *g = group_by_tag(self, tag);

	return g != NULL && membership_was_writer(&g->membership, key);
}
