/*
 * alter.c
 *	  What the process around a node asks of it about changes of a table's columns: sign
 *	  one, which is next, what was applied and kept.
 */
#include "core/net/node_state.h"

#define KEPT_SKEW_MS (INT64_C(100) * 366 * 86400000)	/* of changes that come from our own disk */

NodeStatus
node_alter(Node *self, CoreClock clock, uint32_t tag, const uint8_t before[CORE_HASH_BYTES],
		   const uint8_t after[CORE_HASH_BYTES], const char *text, size_t len, uint8_t hash[CHANGE_HASH_BYTES])
{
	NodeGroup  *g = group_by_tag(self, tag);
	SchemaChange change = {.number = 1, .issued_ms = clock.unix_ms, .text = text, .text_len = len};
	const ChangeEntry *head;
	uint8_t		bytes[CHANGE_BYTES_MAX];
	DecodeStatus status;
	ChangesAdded how;

	self->now = clock;
	if (g == NULL)
		return NODE_NOT_SHARED;
	if (self->cloned)
		return NODE_CLONED;
	if (membership_role(&g->membership, self->key, clock.unix_ms) != GRANT_ADMIN)
		return NODE_FORBIDDEN;
	switch (changes_next(&g->changes, &g->membership, before, clock.unix_ms, &head))
	{
		case CHANGES_DUE:
		case CHANGES_ADOPT:
			return NODE_BUSY;
		default:
			break;
	}
	head = changes_head(&g->changes);
	if (head != NULL)
	{
		change.number = head->change.number + 1;
		memcpy(change.follows, head->hash, CHANGE_HASH_BYTES);
	}
	if (change.number > CHANGE_NUMBER_MAX)
		return NODE_FULL;
	memcpy(change.root, g->membership.root, CORE_KEY_BYTES);
	memcpy(change.before, before, CORE_HASH_BYTES);
	memcpy(change.after, after, CORE_HASH_BYTES);
	status = change_sign(&self->crypto, self->config.secret, &change, bytes, &len);
	if (status != DECODE_OK)
		return status == DECODE_SIGNATURE ? NODE_NO_MEMORY : NODE_INVALID;
	how = compare_take_change(self, g, NULL, bytes, len);
	change_hash(&self->crypto, bytes, len, hash);
	return how == CHANGES_ADDED || how == CHANGES_KNOWN ? NODE_OK : how == CHANGES_FULL ? NODE_FULL : NODE_BUSY;
}

ChangesNext
node_change_next(Node *self, CoreClock clock, uint32_t tag, const uint8_t schema[CORE_HASH_BYTES], const ChangeEntry **out)
{
	NodeGroup  *g = group_by_tag(self, tag);

	self->now = clock;
	*out = NULL;
	return g == NULL || g->changes.n == 0 ? CHANGES_NOTHING :
		changes_next(&g->changes, &g->membership, schema, clock.unix_ms, out);
}

void
node_change_applied(Node *self, uint32_t tag, const uint8_t hash[CHANGE_HASH_BYTES], uint32_t n)
{
	NodeGroup  *g = group_by_tag(self, tag);
	ChangeEntry *entry = g == NULL ? NULL : changes_find(&g->changes, hash);

	if (entry != NULL)
		entry->applied = n;
}

bool
node_change_load(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], const uint8_t *change, size_t len,
				 uint32_t applied)
{
	NodeGroup  *g = group_by_root(self, root);
	DecodeStatus status;
	uint8_t		hash[CHANGE_HASH_BYTES];

	self->now = clock;
	if (g == NULL || group_add_change(self, g, change, len, KEPT_SKEW_MS, &status) != CHANGES_ADDED)
		return false;
	change_hash(&self->crypto, change, len, hash);
	changes_find(&g->changes, hash)->applied = applied;
	return true;
}

const Changes *
node_group_changes(const Node *self, int i)
{
	return &self->group[i]->changes;
}
