/*
 * node.h
 *	  One node: it greets peers and refuses strangers, keeps what is known of each,
 *	  finds others (kad_node.h), and holds the collections it is a member of.
 *
 * A state machine.  It is driven from outside, by node_frame() with each frame
 * that came, node_unreachable(), and node_tick() when it is time; it acts through
 * the links, the memory and the callbacks that it was handed.  Callbacks must not
 * call back into the node, those about rows apart, and must return (no ereport(ERROR)
 * through these frames).
 *
 * Where there is no memory, a message or a lookup is given up, nothing else.
 */
#ifndef CORE_NODE_H
#define CORE_NODE_H

#include "core/net/changes.h"
#include "core/net/invitation.h"
#include "core/net/kad_node.h"
#include "core/net/links.h"
#include "core/net/membership.h"
#include "core/net/mesh.h"
#include "core/net/reasons.h"

#define NODE_RECORDS 16384		/* in the pool */
#define NODE_PEERS 1280			/* whom we know by their link */
#define NODE_COLLECTIONS 1024
#define NODE_STATEMENTS 32768	/* of all collections beside leaves; of these ... */
#define NODE_STATEMENTS_ASIDE 16	/* ... one in so many is for those whom no share binds */
#define NODE_STATEMENTS_EACH 16 /* that a collection may hold in any case */
#define NODE_CHANGES 16384		/* of columns, of all collections */
#define NODE_NO_SHARE 0			/* an owner that no share binds */
#define NODE_CALLS 64			/* requests of our own besides the core's and HELLO, at a time */
#define NODE_JOINS 32			/* joins under way */
#define NODE_NAME 64
#define NODE_TEXT 512			/* longest line for the log */
#define NODE_DESCRIPTION 256	/* what a member is told of a collection: its name and shape */

typedef struct Node Node;

typedef enum NodeLevel
{
	NODE_LOG,
	NODE_WARNING
} NodeLevel;

/* How an operation ended, for those who asked for it. */
typedef enum NodeStatus
{
	NODE_OK,
	NODE_NO_MEMORY,
	NODE_BUSY,					/* too many lookups or joins are under way */
	NODE_NOT_SHARED,			/* the collection is no shared one */
	NODE_FORBIDDEN,				/* this node may not */
	NODE_UNKNOWN,				/* no such member, or no unique one */
	NODE_OUTRANKED,				/* only an admin nearer to the root may */
	NODE_FULL,					/* statements of others about the collection go before it */
	NODE_SHARE_FULL,			/* the same, and the collection may not grow, for its owner's hold too many */
	NODE_SELF,					/* that would be this node itself */
	NODE_INVALID,				/* text, see the DecodeStatus beside it */
	NODE_OTHER_NETWORK,
	NODE_UNREACHABLE,
	NODE_USED,
	NODE_VOID,
	NODE_REFUSED,				/* for another reason, see the text beside it */
	NODE_CLONED,				/* another node uses our key */
	NODE_OTHER_KIND,			/* the collection is not what was asked for; text is its description */
	NODE_NO_ADDRESS
} NodeStatus;

typedef struct NodeCallbacks
{
	void	   *context;

	/* A line for the server's log. */
	void		(*log) (void *context, NodeLevel level, const char *text);

	/* The lookup with this tag has ended; good during the call. */
	void		(*lookup_done) (void *context, uint64_t tag, const KadLookup *lookup, int64_t took_ms);

	/*
	 * The join with this tag has ended.  On NODE_OK root and description are
	 * of the collection, which the node holds from now on.
	 */
	void		(*join_done) (void *context, uint64_t tag, NodeStatus status, const char *text,
							  const uint8_t root[CORE_KEY_BYTES], const uint8_t *description, size_t len);

	/* This node has left the collection, and others know. */
	void		(*left) (void *context, const uint8_t root[CORE_KEY_BYTES]);

	/* The own record was signed anew with this number, which must not be used again. */
	void		(*signed_anew) (void *context, uint64_t seq);
} NodeCallbacks;

/*
 * Frames with rows (types from 16 on, WIRE.md) pass through the node unread, between
 * members of one collection that have greeted each other.  To each such node there is one
 * link of rows: what is sent over it arrives in the order in which it was sent, or the
 * link is gone.  After link(up = false) nothing comes that was sent over an older one.
 *
 * Both are called by node_frame() and node_tick() only, and may call node_rows_send(),
 * node_rows_mesh(), node_rows_is_writer() and node_rows_was_writer(), and nothing else of
 * the node.
 */
typedef struct NodeRows
{
	void	   *context;

	/* Of a collection with a table, by its tag, from a member of it: the whole frame, good during the call. */
	void		(*frame) (void *context, uint32_t tag, const KadId *from, const uint8_t *frame, size_t len);

	/* A link to a node that shares a collection is there, or gone.  A new one is told of after the end of the last. */
	void		(*link) (void *context, const KadId *id, bool up);
} NodeRows;

typedef struct NodeConfig
{
	NodeCallbacks callbacks;
	NodeRows	rows;			/* all NULL: this node carries none, and refuses them */
	const CoreMemory *memory;	/* these three outlive the node */
	const CoreCrypto *crypto;
	const CoreRandom *random;
	Links		links;
	const char *network;		/* its name */
	uint8_t		secret[CORE_SECRET_BYTES];
	uint8_t		curve_public[CORE_KEY_BYTES];
	uint64_t	seq;			/* the last that was used */
	int			n_addresses;	/* what to advertise */
	NetAddress	addresses[NODE_RECORD_ADDRESSES];
	int64_t		skew_ms;
	int			mesh_degree;
	bool		exempt_private;
} NodeConfig;

/* NULL with a one-line reason in error[room]. */
extern Node *node_new(const NodeConfig *config, CoreClock clock, char *error, size_t room);

/* Sends BYE to its peers; the links are to be closed after this. */
extern void node_destroy(Node **self);

/* A frame of the node with this CURVE key came over a link; good during the call. */
extern void node_frame(Node *self, CoreClock clock, const uint8_t curve[CORE_KEY_BYTES], LinkVia via,
					   const uint8_t *frame, size_t len);

/* No link to this node could be made, or ours broke and could not be made again. */
extern void node_unreachable(Node *self, CoreClock clock, const uint8_t curve[CORE_KEY_BYTES]);

/*
 * Do what is due: to be called at node_next_tick() (a tick_ms), every 100 ms
 * whatever happens, and after frames were handed over.
 */
extern void node_tick(Node *self, CoreClock clock);
extern int64_t node_next_tick(const Node *self);

/* Other addresses to advertise from now on: the record is signed anew if they differ. */
extern void node_advertise(Node *self, CoreClock clock, const NetAddress *addresses, int n);

/* Settings that can change while it runs. */
extern void node_adjust(Node *self, int64_t skew_ms, int mesh_degree);

/* A node that may be there, as a record that somebody gave: verified, then asked. */
extern DecodeStatus node_meet(Node *self, CoreClock clock, const uint8_t *record, size_t len);
extern void node_meet_record(Node *self, CoreClock clock, NodeRecord *record);

extern NodeStatus node_lookup(Node *self, CoreClock clock, const KadId *target, bool for_providers, uint64_t tag);

/* For views, for beacons, for what is saved. */
extern const KadTable *node_table(const Node *self);
extern const NodeRecord *node_record(const Node *self);
extern RecordPool *node_pool(Node *self);
extern const CoreCrypto *node_crypto(const Node *self);
extern const uint8_t *node_secret(const Node *self);
extern bool node_cloned(const Node *self, NetAddress *where);

typedef struct NodeFigures
{
	KadStats	kad;
	uint64_t	refused;		/* messages and greetings */
	int			links;
	int			greeted;
} NodeFigures;

extern NodeFigures node_figures(const Node *self);

/* What is known of a peer that has greeted. */
typedef struct NodePeerInfo
{
	KadId		id;
	int			n_addresses;
	NetAddress	addresses[NODE_RECORD_ADDRESSES];
	int			collections;	/* that it is in the mesh of */
} NodePeerInfo;

/* Who is at the other end of the links with this CURVE key?  False, and zeros, while nobody has greeted. */
extern bool node_peer_info(const Node *self, const uint8_t curve[CORE_KEY_BYTES], NodePeerInfo *out);

/* ---- collections ---- */

extern bool node_group_held(const Node *self, const uint8_t root[CORE_KEY_BYTES]);

/* Is it held to tell others that this node has left it? */
extern bool node_group_left(const Node *self, const uint8_t root[CORE_KEY_BYTES]);

/* The statements that show that this node was a member and has left, to one that has not heard of it: so many in out. */
extern int	node_group_proof(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES],
							 uint8_t out[REASONS_MAX][GRANT_BYTES]);

/*
 * Hold a collection that the process around keeps: secret is that of its root
 * key or NULL; tag and name are the process's own.  node_group_add() follows with each
 * of its statements, in any order, again until it takes none (true) any more, and
 * node_change_load() with each of its changes of columns, the same way; then
 * node_group_loaded().
 */
extern NodeStatus node_group_load(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES],
								  const uint8_t *secret, uint32_t tag, const char *name, bool leaving);
extern bool node_group_add(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], const uint8_t *statement);
extern bool node_change_load(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], const uint8_t *change,
							 size_t len, uint32_t applied);
extern void node_group_loaded(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES]);

/*
 * The owner for whose share a collection's statements count: a number of the process's
 * own, NODE_NO_SHARE until this is called.  The collections of one owner may take more
 * statements only while all of them together hold fewer than are free, those aside not
 * counted.  Each may hold NODE_STATEMENTS_EACH in any case.
 */
extern void node_group_owner(Node *self, const uint8_t root[CORE_KEY_BYTES], uint32_t owner);

/*
 * Collections are numbered from 0 to node_group_count() - 1, until the next call
 * that takes a clock.  node_group_unsaved(): have the statements or changes of columns of
 * the i-th changed since node_groups_saved()?  *root is its key.  node_group_statements()
 * gives them, GRANT_BYTES each, MEMBERSHIP_ROOM at most.  node_groups_saved(): the process
 * keeps those of all collections as they are now.
 */
extern int	node_group_count(const Node *self);
extern bool node_group_unsaved(const Node *self, int i, const uint8_t **root);
extern int	node_group_statements(const Node *self, int i, const uint8_t **out, int room);
extern const Changes *node_group_changes(const Node *self, int i);
extern void node_groups_saved(Node *self);

/*
 * The table of a collection, by tag (0: it has none any more) and name.  description[len]
 * is what members are told of it; NULL leaves that as it is.
 */
extern void node_group_bind(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES], uint32_t tag,
							const char *name, const uint8_t *description, size_t len);
extern void node_group_forget(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES]);

/* A new collection, whose root key is made of seed[32]; this node is its first admin. */
extern NodeStatus node_share(Node *self, CoreClock clock, const uint8_t seed[CORE_SEED_BYTES], uint32_t tag,
							 const char *name, uint8_t root[CORE_KEY_BYTES]);

/* A single-use text into text[INVITATION_TEXT_MAX + 1], good for life_ms from now on, more than 0. */
extern NodeStatus node_invite(Node *self, CoreClock clock, uint32_t tag, GrantRole role, int64_t life_ms, char *text);

/* Ends in join_done(); decode tells what is wrong with the text when NODE_INVALID comes at once. */
extern NodeStatus node_join(Node *self, CoreClock clock, const char *text, size_t len, uint64_t tag,
							DecodeStatus *decode);

/*
 * The same with a table that is here: kinds has, separated by '|', what the collection may
 * be, as its description says behind the name.  Else NODE_OTHER_KIND, and the invitation
 * is not redeemed.  NULL: anything but a table.
 */
extern NodeStatus node_join_kind(Node *self, CoreClock clock, const char *text, size_t len, const char *kinds,
								 uint64_t tag, DecodeStatus *decode);
extern NodeStatus node_leave(Node *self, CoreClock clock, uint32_t tag);

/*
 * Revoke the one member whose id begins with these characters.  lost[] gets the
 * ids of up to room members that are none any more, *n how many.
 */
extern NodeStatus node_evict(Node *self, CoreClock clock, uint32_t tag, const char *prefix, KadId *lost, int room,
							 int *n);

typedef struct NodeMember
{
	KadId		id;
	GrantRole	role;
	uint8_t		depth;
	KadId		admitted_by;
	int64_t		since_ms;		/* unix */
	int64_t		expires_ms;		/* unix, 0: never */
	bool		connected;
	bool		meshed;
} NodeMember;

extern int	node_members(Node *self, CoreClock clock, uint32_t tag, NodeMember *out, int room);
extern bool node_collection_id(const Node *self, uint32_t tag, KadId *id);

/* Is there a collection here whose id begins with these n bytes, with its table or without? */
extern bool node_collection_here(const Node *self, const uint8_t *prefix, size_t n);

/* Has node_group_bind() said what the collection is?  Who redeems an invitation is told. */
extern bool node_collection_described(const Node *self, uint32_t tag);

/* What this node is in a collection, whether it has its table or not; GRANT_NOBODY: none of it is held here. */
extern GrantRole node_own_role(Node *self, CoreClock clock, const uint8_t root[CORE_KEY_BYTES]);

/* ---- changes of columns, see changes.h ---- */

/*
 * Sign a change of the collection's table, which has the columns `before`, and tell
 * others: it follows what was applied here last.  hash is its name.  NODE_FORBIDDEN: this
 * node is no admin; NODE_FULL: there are as many as there can be; NODE_INVALID: the text is
 * none for a change; NODE_BUSY: something that goes before it is to be applied first.
 */
extern NodeStatus node_alter(Node *self, CoreClock clock, uint32_t tag, const uint8_t before[CORE_HASH_BYTES],
							 const uint8_t after[CORE_HASH_BYTES], const char *text, size_t len, uint8_t hash[CHANGE_HASH_BYTES]);

/* What is to be done where the table has these columns; *out is good until the next call that takes a clock. */
extern ChangesNext node_change_next(Node *self, CoreClock clock, uint32_t tag, const uint8_t schema[CORE_HASH_BYTES],
									const ChangeEntry **out);

/* It was applied, as the n-th here. */
extern void node_change_applied(Node *self, uint32_t tag, const uint8_t hash[CHANGE_HASH_BYTES], uint32_t n);

/* ---- rows, see NodeRows ---- */

/*
 * Who the members are, in short: version is another number each time that may have changed,
 * and node_members() then tells what it is now.  False when the collection is none of ours.
 */
typedef struct NodeRowsMembers
{
	uint64_t	version;
	GrantRole	own_role;
	uint8_t		fingerprint[GRANT_HASH_BYTES];	/* of the statements that are held: FINGERPRINT of GRANTS */
} NodeRowsMembers;

extern bool node_rows_members(Node *self, CoreClock clock, uint32_t tag, NodeRowsMembers *out);

/* May key[32] write, as of the last frame or tick? */
extern bool node_rows_is_writer(Node *self, uint32_t tag, const uint8_t key[CORE_KEY_BYTES]);

/* Do the statements say, now or before, that key[32] may write?  One whom they name again may have been a writer. */
extern bool node_rows_was_writer(const Node *self, uint32_t tag, const uint8_t key[CORE_KEY_BYTES]);

/*
 * Send a frame of up to WIRE_ROWS_FRAME_MAX bytes over the link of rows.  LINK_ERROR where
 * there is none: one is made, and told of when it is there.  What is LINK_SENT may be lost
 * with the link.
 */
extern LinkSent node_rows_send(Node *self, const KadId *to, const uint8_t *frame, size_t len);
extern bool node_rows_connected(const Node *self, const KadId *id);

/* Up to room of the members in the mesh to whom there is a link of rows; how many. */
extern int	node_rows_mesh(const Node *self, uint32_t tag, KadId *out, int room);

/* The name that a record gives of itself in lines for the log: 12 digits of its id. */
extern const char *node_short_id(const KadId *id, char out[13]);

#endif							/* CORE_NODE_H */
