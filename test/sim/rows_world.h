/*
 * rows_world.h
 *	  Copies of one collection on many nodes, on one virtual clock: links that take time
 *	  and break, jobs that take time, users, faults, and what must hold all the while.
 *
 * Everything random follows from one seed, so a run can be repeated to the frame.  What
 * happens to the nodes (the events) has chances of its own for each event, so that one
 * left out leaves the others as they are.
 */
#ifndef SIM_ROWS_WORLD_H
#define SIM_ROWS_WORLD_H

#include <setjmp.h>
#include <stdio.h>

#include "core/rows/replica.h"
#include "host_fixture.h"
#include "rows_store.h"

#define ROWS_NODES 64
#define ROWS_EVENTS 512
#define ROWS_STATEMENTS 64
#define VERIFY_OFTEN 6			/* rounds between comparisons where false claims are believed */
#define ROWS_EPOCH_MS INT64_C(1800000000000)

/* What may happen to the nodes. */
typedef enum Act
{
	ACT_WRITE,
	ACT_IDLE,
	ACT_CRASH,
	ACT_KILL,
	ACT_CLONE,
	ACT_REVERT,
	ACT_HALVES,
	ACT_ONE_WAY,
	ACT_BREAK,
	ACT_ABSENT,
	ACT_CLOCK,
	ACT_SCHEMA,
	ACT_TRUNCATE,
	ACT_REWRITE,
	ACT_CONSTRAINT,
	ACT_JOIN,
	ACT_EVICT,
	ACT_NO_MEMORY,
	ACT_PAUSE,
	ACT_WAIT,
	ACTS
} Act;

typedef struct Profile
{
	const char *name;
	int			nodes[2];		/* from, to */
	int			keys[2];
	int			events[2];
	int			gap_ms;			/* between events, at most */
	uint8_t		weight[ACTS];
	int			deletes;		/* of 100 writes */
	int			async;			/* of 100 transactions */
	int			clock_ms;		/* how far clocks are off */
	int			refuses;		/* of 1,000 jobs, snapshots ... */
	int			full;			/* of 1,000 frames */
	int			duplicates;		/* of 1,000 frames */
	int			retention_ms;
	int			job_ms;			/* a step of a job, at most */
	size_t		pad;			/* bytes of a row */
	int			bytes_ms;		/* that a link carries in a millisecond; 0: any number */
	int			rate;			/* bytes that a node may send in a millisecond, until all heals; 0: any number */
	int			dump;			/* rows that were loaded on each node */
	bool		readers;
	bool		liar;
	bool		script;			/* what happens is that of rows_steps.c */
	bool		false_claims;	/* of the liar, in batches that it was asked for; nothing is deleted */
} Profile;

/* What interrupts the script, at one step of it. */
typedef enum Interrupt
{
	INTERRUPT_NOTHING,
	INTERRUPT_BREAK,			/* of the link */
	INTERRUPT_CRASH,			/* of who acts, or sent; of who received */
	INTERRUPT_CRASH_OTHER,
	INTERRUPT_DEATH,			/* for good */
	INTERRUPT_DEATH_OTHER,
	INTERRUPT_ABSENCE,
	INTERRUPTS
} Interrupt;

extern const char *const interrupt_names[INTERRUPTS];
extern const Profile rows_steps;

/* An option: interrupt at this step; n: those that there were. */
typedef struct RowsSteps
{
	Interrupt	kind;
	int			at;
	int			n;
} RowsSteps;

extern const Profile rows_profiles[];
extern const int rows_n_profiles;

typedef struct RowsNode
{
	int			index;
	int			identity;		/* index of the first process with this key */
	KadId		id;
	uint8_t		secret[CORE_SECRET_BYTES];
	Store	   *store;
	Store	   *saved;			/* a copy of its disk from earlier */
	Replica    *replica;		/* NULL: down */
	HostMemory	memory;
	uint64_t	random_state;
	uint64_t	life;
	bool		dead;			/* for good */
	bool		liar;
	bool		idle;			/* a user sleeps in a transaction */
	int64_t		offset_ms;		/* of its clock */
	int64_t		most_ms;		/* how far ahead that ever was */
	int			side;
	uint64_t	known;			/* statements of membership */
	uint64_t	members;		/* identities that its replica was told of */
	uint8_t		schema;
	int64_t		constraint_ms;	/* until then its table refuses some rows: */
	uint64_t	constraint;		/* a part of the values */
	bool		job_due;
	bool		paused;			/* by its user */
	int64_t		sent_ms;		/* until when the bytes that it has sent fill its rate */
	RowVersion	dropped[STORE_KEYS];	/* the newest that it dropped and could not tell of: what lost to it comes by comparisons */
	RowFrontier last;			/* I3 */
	uint64_t	wanted[ROWS_NODES]; /* I13: requests below the floor that came from each */
	struct RowsSnapshots *snapshots;	/* I4, I7: of requests that it answered */
} RowsNode;

typedef struct RowsLink
{
	uint64_t	id;				/* 0: there is none */
	bool		doomed;			/* what is sent is lost, and it breaks soon */
	int64_t		last_ms[2];
} RowsLink;

typedef struct RowsStatement
{
	int			identity;
	GrantRole	role;			/* GRANT_NOBODY: it is a member no more */
} RowsStatement;

/* A version that was ever written. */
typedef struct RowsVersion
{
	RowVersion	version;
	int			key;
	bool		used;
	bool		live;
	uint64_t	content;
	uint8_t		hash[8];
	bool		written;		/* a committed write of a user */
	bool		excused;		/* it may be lost */
	bool		told;			/* dropped below a floor, as a conflict that a user finds */
	bool		dropped;		/* in a comparison with one below whose floor it was */
	bool		conflict;		/* a user finds it in the list of conflicts */
	bool		slept;			/* in a transaction that was open when the floor here was raised to another's */
	uint64_t	collected_at;	/* a tombstone: nodes that have collected it, by bit ... */
	uint64_t	saved_at;		/* ... and those of which the copy of the disk has */
	int			by;
	uint64_t	commit;			/* there */
} RowsVersion;

/* A row, from its first write to its tombstone. */
typedef struct RowsBirth
{
	uint32_t	life;
	uint64_t	ticket;
	RowVersion	tombstone;
} RowsBirth;

#define ROWS_BIRTHS 8

typedef struct RowsEvent
{
	int64_t		at_ms;
	uint64_t	order;
	int			kind;
	int			a;
	int			b;
	uint64_t	number;			/* of the link, or of the node's life */
	bool		stale;			/* a frame that comes again, whatever became of its link */
	size_t		len;
	uint8_t    *frame;
} RowsEvent;

struct World;

/*
 * How nodes reach each other, and how they know who is a member: by links and statements
 * of the world's own (rows_links.c), or as real nodes (rows_net.c).
 */
typedef struct RowsNetwork
{
	/* Keys of a node that is new, or another process with the keys of one; the nodes that there are become members. */
	void		(*add) (struct World *self, int node);
	void		(*clone) (struct World *self, int clone, int node);
	void		(*form) (struct World *self, const GrantRole *role);

	/* Its process begins; false: it is no member yet, world_start() comes again once it is one.  Its process ends. */
	bool		(*start) (struct World *self, int node);
	void		(*stop) (struct World *self, int node);

	/* Its disk is copied; it is replaced by the copy. */
	void		(*save) (struct World *self, int node);
	void		(*revert) (struct World *self, int node);

	/* Tell its replica of the members; look for those it may reach by now. */
	void		(*members) (struct World *self, int node);
	void		(*connect) (struct World *self, int node);

	LinkSent	(*send) (struct World *self, int node, const KadId *to, const uint8_t *frame, size_t len);
	int			(*mesh) (struct World *self, int node, KadId *out, int room);
	void		(*cut) (struct World *self, int a, int b);	/* their link breaks */

	/* One admits another, or shuts it out (GRANT_NOBODY); leaves: or itself. */
	bool		leaves;
	void		(*state) (struct World *self, int by, int identity, GrantRole role);
	GrantRole	(*role) (const struct World *self, int identity);	/* by all statements */
	GrantRole	(*own_role) (const struct World *self, int node);	/* as it knows itself */
	RowOwner	(*owner) (const struct World *self, int node, const uint8_t *owner);
	void		(*heal) (struct World *self);

	void		(*happen) (struct World *self, const RowsEvent *event);
	int64_t		(*next_ms) (const struct World *self);	/* of what it does beside events; NULL: nothing */
	void		(*step) (struct World *self);
	void		(*end) (struct World *self);
} RowsNetwork;

extern const RowsNetwork rows_links;
extern const RowsNetwork rows_net;

#define ROWS_REAL_EACH 4		/* one seed in so many, of each profile, has real nodes */

typedef struct RowsFigures
{
	uint64_t	frames;
	uint64_t	bytes;
	uint64_t	lost;
	uint64_t	happened;
	uint64_t	commits;
	uint64_t	conflicts;
	uint64_t	batches;
	uint64_t	compared;
	uint64_t	collected;
	uint64_t	adopted;
	uint64_t	interrupted;
	uint64_t	looked_at;		/* claims that were kept, beside the sender's snapshot */
	uint64_t	came_back;		/* rows that were deleted, and are there at the end */
	double		rounds;			/* of anti-entropy, from healing to equality */
	uint64_t	healing_bytes;	/* meanwhile */
} RowsFigures;

typedef struct World
{
	uint64_t	seed;
	const Profile *profile;
	const RowsNetwork *network;
	const RowsNetwork *wanted_network;	/* NULL: by the seed */
	struct RowsReal *real;		/* of rows_net */
	uint32_t	off;
	bool		trace;
	bool		real_crypto;
	int			limit;			/* of events; 0: as many as the seed has */
	int			wanted_nodes;	/* 0: as many as the profile has */
	int			n_events;
	bool		skip[ROWS_EVENTS];
	RowsSteps	steps;			/* at is 0: no script */
	uint64_t	chance;			/* of the event that happens */
	uint64_t	net;			/* of the network */
	int64_t		now_ms;
	bool		healing;
	bool		far_clocks;		/* one was so far off that others did not hear it */
	int64_t		most_ms;		/* how far ahead a clock ever was */
	int			n;
	RowsNode	node[ROWS_NODES];
	RowsLink	link[ROWS_NODES][ROWS_NODES];	/* [a][b], a < b */
	bool		one_way[ROWS_NODES][ROWS_NODES];
	int			n_statements;
	RowsStatement statement[ROWS_STATEMENTS];
	int			n_keys;
	int			n_used;			/* keys that users write */
	int			mesh;
	int			tick_ms;
	int64_t		anti_entropy_ms;
	uint8_t		schema;
	uint64_t	next_value;
	uint64_t	next_link;
	uint64_t	next_order;
	int			n_heap;
	int			heap_room;
	RowsEvent  *heap;
	uint64_t	digest;
	RowsFigures figures;
	CoreCrypto	crypto;
	KadId		collection;
	uint32_t	n_lives;
	uint64_t	life_hash[STORE_LIVES];
	uint32_t	life_slot[2 * STORE_LIVES];
	uint64_t	last_ticket[STORE_LIVES];
	RowVersion	told[STORE_KEYS];	/* the newest that was dropped, and told of */
	RowVersion	collected[STORE_KEYS];	/* the newest tombstone that any node has collected */
	RowsBirth	birth[STORE_KEYS][ROWS_BIRTHS];	/* of rows whose tombstones were collected, the last ones */
	int			n_versions;
	int			version_slots;
	RowsVersion *version;
	bool		failed;
	bool		asserted;
	char		message[400];
	char		left[160];		/* a tombstone that is left */
	jmp_buf		out;
} World;

/* Run a seed: true, or false with world->message. */
extern bool rows_run(World *self, uint64_t seed, uint32_t off);
extern void rows_free(World *self);

/* In place of SHA-256 and Ed25519: rows_crypto.c. */
extern CoreCrypto rows_cheap_crypto(void);
/* Of the columns that a node has after so many changes. */
/* Each schema has a column more than the one before. */
extern int	world_columns(uint8_t schema, const RowColumn **out);
extern void world_schema_hash(const World *self, uint8_t schema, uint8_t out[32]);

/* ---- of the world, for its parts: rows_world.c ---- */

extern uint64_t world_below(uint64_t *state, uint64_t n);
extern void world_trace(World *self, const char *format,...) __attribute__((format(printf, 2, 3)));
extern void world_violation(World *self, const char *format,...) __attribute__((format(printf, 2, 3)));
extern CoreClock world_clock(const World *self, int node);
extern int64_t world_unix_us(const World *self, int node);
extern int	world_add(World *self, bool fresh);
extern void world_start(World *self, int node);

/* By its user, also while it is down. */
extern void world_pause(World *self, int node, bool paused);

extern void world_crash(World *self, int node);
extern void world_stop(World *self, int node);
extern int	world_clone(World *self, int node);
extern GrantRole world_role(const World *self, int identity);
extern GrantRole world_own_role(const World *self, int node);
extern bool world_counts(const World *self, int node);		/* a member who is not dead, nor lies */

/* Does this node's table refuse rows with such a value? */
extern bool world_constrains(const World *self, int node, uint64_t value);

/* A frame is about to be sent: LINK_FULL, or it is counted. */
extern LinkSent world_sending(World *self, int node, int to, const uint8_t *frame, size_t len);
/* It arrives; stale: once more. */
extern void world_deliver(World *self, int from, int to, const uint8_t *frame, size_t len, bool stale);
extern bool world_comes_again(World *self, const uint8_t *frame);
extern void world_job_soon(World *self, Store *store, bool first);
extern bool world_refuses(World *self, Store *store);
/* Does a commit fail?  Once in eight times, where jobs are refused. */
extern bool world_rolls_back(World *self);
extern void world_run(World *self, int64_t until_ms);
extern void world_schema(World *self, int node, uint8_t schema);
extern void world_end_writer_soon(World *self, int node, int writer, int64_t ms);
extern void world_after(World *self, int64_t ms, int kind, int a, int b);
extern void world_schedule(World *self, RowsEvent event);

/* Kinds of world_after(). */
enum
{
	AFTER_TICK,
	AFTER_FRAME,
	AFTER_ACT,
	AFTER_JOB,
	AFTER_CONNECT,
	AFTER_BREAK,
	AFTER_LEARN,
	AFTER_COMMIT,
	AFTER_END,
	AFTER_START,
	AFTER_SIDE,
	AFTER_SCHEMA,
	AFTER_CLONES,
	AFTER_RESUME,
	AFTER_LIAR
};

/* ---- what happens: rows_faults.c ---- */

extern void faults_act(World *self, int number);
extern void faults_heal(World *self);
extern void faults_kill(World *self, int node);

/* Its clock is off by another time from now on: by more than the skew, once in four times. */
extern void faults_set_clock(World *self, int node);

/* It crashes and starts again. */
extern void faults_crash(World *self, int node);

/* It reaches only nodes of this side for so long. */
extern void faults_part(World *self, int node, int64_t ms, int side);

/* ---- interruption at every step: rows_steps.c ---- */

extern void steps_act(World *self, int number);
extern void steps_interrupt(World *self, int a, int b);

/* ---- what must hold: rows_check.c ---- */

extern void world_put(World *self, Store *store, int key, const StoreRow *row);
extern void world_written(World *self, Store *store, const StoreWrite *write);
extern void world_floor_raised(World *self, Store *store);
extern void world_conflict(World *self, Store *store, int key, const RowEntry *loser);
extern void world_dropped(World *self, Store *store, int key, const RowEntry *entry);
extern void world_collected(World *self, Store *store, int key, const RowEntry *entry);
/* A node has lost commits; the disk of a node is copied; it is the copy from now on; it is that of another process, too. */
extern void check_crashed(World *self, int node);
extern void check_saved(World *self, int node);
extern void check_reverted(World *self, int node);
extern void check_cloned(World *self, int clone, int node);
extern void world_ticket(World *self, Store *store, uint64_t ticket);
extern uint32_t world_life(World *self, const RowIncarnationId *id);
/* Can a node be away for longer than tombstones are kept, or go back to an older state? */
extern bool check_may_be_absent(const World *self);
/* May this version be missing: was it dropped, lost with a disk, or told of as a conflict? */
extern bool check_gone(World *self, int key, const RowVersion *version);
extern void check_reset(World *self);
extern void check_excuse(World *self, int without);
extern void check_lost(World *self, int node, uint64_t left);
extern void check_node(World *self, int node);
extern bool check_equal(const World *self, char *why, size_t room);
extern int	check_tombstones(World *self);
extern void check_end(World *self);

/* ---- batches beside the snapshots of their senders: rows_batch.c ---- */

/* A frame is sent: perhaps one that tells a claim. */
extern void batch_told(World *self, Store *store, const KadId *to, const uint8_t *frame, size_t len);

/* A frontier is kept, in one transaction with the rows of a batch where it is a batch's. */
extern void batch_claimed(World *self, Store *store, const RowFrontier *frontier, const RowFrontier *floor);
extern void batch_free(RowsNode *node);

/* ---- a member who lies: rows_liar.c ---- */

extern void liar_frame(World *self, int node, int from, const uint8_t *frame, size_t len);
extern void liar_act(World *self, int node);
extern void liar_free(World *self, int node);

#endif							/* SIM_ROWS_WORLD_H */
