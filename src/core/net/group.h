/*
 * group.h
 *	  A collection that a node is a member of.
 */
#ifndef CORE_GROUP_H
#define CORE_GROUP_H

#include "core/net/changes.h"
#include "core/net/membership.h"
#include "core/net/mesh.h"
#include "core/net/peer.h"

#define COMPARE_MS 30000		/* and up to as much again */
#define COMPARE_SOON_MS 2000
#define FIND_MS 600000
#define FIND_AGAIN_MS 15000		/* while fewer members are connected than the mesh wants */

/* The statements of one collection are compared with one peer at a time. */
typedef struct GroupCompare
{
	uint8_t		curve[CORE_KEY_BYTES];
	bool		active;
	uint32_t	cursor;			/* of membership_next() */
	int			change;			/* the next of the changes of columns */
	int			sent;			/* messages with statements */
	int64_t		until_ms;
} GroupCompare;

/* What another asks of ours in several messages: where it stands. */
typedef struct GroupServe
{
	uint8_t		curve[CORE_KEY_BYTES];
	uint32_t	cursor;
	int			change;
	int64_t		at_ms;
} GroupServe;

#define GROUP_SERVES 8

typedef struct NodeGroup
{
	struct Node *node;			/* that has it */
	Membership	membership;
	uint64_t	saved;			/* changes of the membership that are kept */
	Changes		changes;		/* of the table's columns */
	uint64_t	changes_saved;
	Mesh		mesh;
	KadId		id;
	bool		has_root;
	uint8_t		root_secret[CORE_SECRET_BYTES];
	uint32_t	tag;			/* 0: no table */
	char		name[NODE_NAME];
	bool		leaving;		/* until somebody knows */
	bool		leave_told;
	bool		held;			/* announced */
	uint32_t	owner;			/* whose share of the statements it counts for */
	GrantRole	role;			/* our own, as last told */
	int64_t		find_ms;		/* ticks at which each is due */
	int64_t		compare_ms;
	int64_t		retry_ms;		/* between looks for members while there are few */
	GroupCompare compare;
	GroupServe	serve[GROUP_SERVES];
	size_t		description_len;
	uint8_t		description[NODE_DESCRIPTION];
} NodeGroup;

/* ms, and up to as much again. */
extern int64_t node_jittered(Node *self, int64_t ms);

/* One that is held, by its table (not while it is left), by its root key, by its id; or NULL. */
extern NodeGroup *group_by_tag(const Node *self, uint32_t tag);
extern NodeGroup *group_by_root(const Node *self, const uint8_t *root);
extern NodeGroup *group_find(const Node *self, const KadId *id);

/* Its name, or what there is of one, in lines for the log. */
extern const char *group_name(const NodeGroup *g, char out[NODE_NAME]);

extern NodeGroup *group_new(Node *self, const uint8_t *root, uint32_t tag, const char *name);
extern void group_reset(Node *self);

/* Take a change of columns.  What is kept of all collections is bounded. */
extern ChangesAdded group_add_change(Node *self, NodeGroup *g, const uint8_t *bytes, size_t len, int64_t skew_ms,
									 DecodeStatus *status);

/* Take a statement; true when it is new. */
extern bool group_add(Node *self, NodeGroup *g, const uint8_t *statement, MembershipAdded *how, DecodeStatus *status);

/* What the statements say of a peer, and the peer of a record. */
extern GrantRole group_role(Node *self, NodeGroup *g, const NodePeer *peer);

/* Is the owner of key[32] to hear of this node: a member or, while this one leaves, who was in by its grants? */
extern bool group_concerns(Node *self, NodeGroup *g, const uint8_t key[CORE_KEY_BYTES]);
extern NodePeer *group_peer(Node *self, const NodeRecord *record);

/* A MeshEmit whose context is the NodeGroup. */
extern void group_emit(void *context, const MeshAction *action);

/* Members beside us, by their grants that count; each once.  How many of room. */
extern int	group_members(Node *self, NodeGroup *g, const Grant **out, int room);

/* Follow what the statements say of this node, and whether it has the table. */
extern void group_refresh(Node *self, NodeGroup *g);
extern void group_announce_all(Node *self);

#endif							/* CORE_GROUP_H */
