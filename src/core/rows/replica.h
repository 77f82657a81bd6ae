/*
 * replica.h
 *	  One node's copy of one collection, and how it becomes equal to the others'.
 *
 * A state machine.  It is driven from outside: by replica_frame() with each frame of a
 * member, replica_done() when rows are on disk, replica_members(), replica_tick().  It
 * acts through the RowHost: reads in snapshots, hands over jobs that write, sends
 * frames.  The host does not call back into the replica from within its functions.
 *
 * What may be relied on, and why, is in README.md beside this.
 */
#ifndef CORE_ROWS_REPLICA_H
#define CORE_ROWS_REPLICA_H

#include "core/net/grant.h"
#include "core/net/links.h"
#include "core/rows/row_wire.h"
#include "core/rows/ticket.h"

#define REPLICA_MEMBERS 1024
#define REPLICA_SERVES 8		/* requests of others at a time */
#define REPLICA_CREDIT (4 * 1024 * 1024)	/* bytes on their way to us, at most */
#define REPLICA_VERIFY_EVERY 60

typedef struct Replica Replica;
typedef struct RowScan RowScan;	/* the host's */

/* A row as the host reads or writes it; key and content belong to the scan or the job. */
typedef struct Row
{
	RowBytes	key;
	RowEntry	entry;
	bool		thin;			/* content lacks its vectors */
	bool		lost;			/* DROP: it was written on what others had deleted, see there */
	bool		renew;			/* APPLY, DROP: it is written anew, see there */
	RowBytes	content;
} Row;

typedef enum RowRead
{
	ROW_READ,
	ROW_READ_END,
	ROW_READ_LOST				/* a live version's row is not in the snapshot, or reading failed */
} RowRead;

typedef enum RowJobKind
{
	/*
	 * Rows of others, by row_decide(); with the claim once the batch is whole.  Where one to
	 * `renew` comes to a key without a live row it becomes a version of ours: row_renewed().
	 */
	ROW_JOB_APPLY,
	/*
	 * Take away entries and rows, where the entry is still the same version, also where
	 * row_clock_heard() does not take its clock: no row moves our clock further than that.
	 * A tombstone of such a clock stays in the table, where it may have been held.
	 * One that is `lost` others may have: it is kept as a conflict and deleted by a write of
	 * ours, whose tombstone (row_lost()) they get.  One to `renew` stays, as a version of
	 * ours.  What a user's transaction holds fails no job: a row is deleted by such a
	 * tombstone, which is parked; a tombstone, and what is to be renewed, stay as they are.
	 */
	ROW_JOB_DROP,
	/*
	 * Tombstones that `below` covers, with their birth, that are not set aside, and whose
	 * clock row_clock_heard() takes: what is written to that key later is newer than they are.
	 */
	ROW_JOB_COLLECT,
	/*
	 * Entries whose stamp or birth `covered` lacks: the stamp, and what it lacks, are a ticket
	 * of ours.  It lacks no earlier ticket of ours: that was written here meanwhile.
	 */
	ROW_JOB_ADOPT
} RowJobKind;

/*
 * What is to be written, and on disk when replica_done() is called: apply.h says how, in
 * which transactions.  Jobs are carried out in the order in which they were handed over.
 * All that it points to stays until then; the job itself is the caller's.
 *
 * An APPLY or DROP of which rows are missing keeps neither frontier nor floor, only the
 * rows that are not: what it would claim is not here yet.  Contents are those of the columns that
 * replica_schema() told last before it was handed over: where they are others when it is
 * carried out, it fails.
 */
typedef struct RowJob
{
	RowJobKind	kind;
	uint64_t	id;
	int			n;
	Row		   *row;			/* APPLY, DROP */
	const RowFrontier *frontier;	/* what is covered once it is done, to be kept on disk beside what was; NULL: as before */
	const RowFrontier *floor;	/* the same */
	const RowFrontier *covered; /* before this job: for row_decide() and ADOPT */
	const RowFrontier *collected;	/* the floor before this job: for row_decide() */
	const RowFrontier *claim;	/* the sender's, for row_decide() */
	const RowFrontier *below;	/* COLLECT */
} RowJob;

typedef struct RowDone
{
	uint64_t	id;
	bool		failed;			/* of APPLY and DROP nothing was written, of others not all */
	/*
	 * ADOPT and DROP: entries that a user's transaction held; APPLY: rows that need their
	 * vector.  Of APPLY and DROP by index in the job.
	 */
	uint32_t	n_missing;
	const uint32_t *missing;
	uint32_t	n_changed;		/* DROP, COLLECT, ADOPT: entries */
} RowDone;

typedef struct RowHost
{
	void	   *context;

	/*
	 * A snapshot, once all that it shows is on disk, and before it what is covered, beside
	 * what was kept (NULL: as it is): what others hear of our own tickets is ours after a
	 * crash, too.  NULL: not now.
	 */
	RowScan    *(*open) (void *context, const RowFrontier *covered);
	void		(*close) (void *context, RowScan *scan);

	/*
	 * Go through the entries that a frontier does not cover, or through a range in order of
	 * keys.  The frontier stays until the scan is closed; the range, and the keys in it, are
	 * the caller's and gone when this returns.
	 */
	void		(*seek_changes) (void *context, RowScan *scan, const RowFrontier *above);
	void		(*seek_keys) (void *context, RowScan *scan, const RowRange *range);

	/*
	 * The next one without its content.  It, and its key, are good until the next call with
	 * this scan of next, find, seek or close: content() and other scans leave them alone.
	 */
	RowRead		(*next) (void *context, RowScan *scan, Row *out);

	/* One by its key. */
	RowRead		(*find) (void *context, RowScan *scan, RowBytes key, Row *out);

	/* Its content, where it is live; as long as the row is good, or until it is asked for again. */
	RowRead		(*content) (void *context, RowScan *scan, Row *row, bool thin);

	/* Is there a tombstone that a COLLECT below this frontier takes?  Else the floor would rise for nothing. */
	bool		(*has_tombstones) (void *context, const RowFrontier *below);

	/* How many live rows a snapshot shows, by an estimate; 0: not known. */
	uint64_t	(*total) (void *context, RowScan *scan);

	/* What of this incarnation's tickets has ended, for snapshots that are taken after this. */
	void		(*settled) (void *context, RowSettled *out);

	/* Clock value of this node; and one that another told of. */
	uint64_t	(*clock) (void *context);
	void		(*clock_heard) (void *context, uint64_t value);

	/* Hand over a job; false: there is no room, try again later. */
	bool		(*submit) (void *context, const RowJob *job);

	/* Keep a new incarnation of the dictionary on disk, before any row names its number. */
	bool		(*keep_incarnation) (void *context, uint32_t number, const RowIncarnation *incarnation);

	/* Is the node with this key a writer, or was it ever one, as far as is known here? */
	RowOwner	(*owner) (void *context, const uint8_t owner[CORE_KEY_BYTES]);

	LinkSent	(*send) (void *context, const KadId *to, const uint8_t *frame, size_t len);

	/* The columns that config.schema or replica_schema() is the hash of, until the next call; 0: not known. */
	int			(*columns) (void *context, const RowColumn **out);

	/*
	 * Those of a member are others: no rows come from there or go there.  columns: for
	 * row_wire_next_column(); if schema is not the hash of them, some behind them are missing.
	 */
	void		(*differs) (void *context, const KadId *id, const uint8_t schema[32], RowBytes columns);

	/* Up to room members whom changes are told at once. */
	int			(*mesh) (void *context, KadId *out, int room);
	void		(*log) (void *context, const char *text);

	/* May rows be sent now, or were too many of late?  NULL: always. */
	bool		(*may_send) (void *context);

	/*
	 * A key on which a member and this node differ, though each claims to have had what the
	 * other has; lacks_here: what is here is older, or nothing, else it is so there.  The key
	 * is the caller's.  NULL: nobody wants to know.
	 */
	void		(*found) (void *context, const KadId *id, RowBytes key, bool lacks_here);

	/*
	 * Make less of n bytes, into out[room]: how many, 0: not less than room.  And the other way
	 * round: false unless they become n bytes.  Both NULL: frames travel as they are.
	 */
	size_t		(*pack) (void *context, const uint8_t *bytes, size_t n, uint8_t *out, size_t room);
	bool		(*unpack) (void *context, const uint8_t *packed, size_t len, uint8_t *out, size_t n);
} RowHost;

typedef struct ReplicaConfig
{
	RowHost		host;
	const CoreMemory *memory;	/* these three outlive the replica */
	const CoreCrypto *crypto;
	const CoreRandom *random;
	KadId		collection;
	KadId		self;
	uint8_t		schema[32];
	uint32_t	max_atomic_bytes;	/* batches up to this are applied in one transaction */
	uint32_t	credit;			/* bytes on their way to us, at most; 0: REPLICA_CREDIT */
	uint32_t	chunk;			/* bytes of rows in a frame, at most; 0: ROW_CHUNK */
	uint32_t	max_row_bytes;	/* a greater one is not taken, and ends the batch */
	int64_t		retention_ms;	/* after which an absent member holds no tombstone back */
	int64_t		anti_entropy_ms;
	int			verify_every;	/* times that, between comparisons with nothing known to differ; 0: REPLICA_VERIFY_EVERY */
	void	   *scratch;		/* replica_scratch_bytes(), for all replicas of a thread; NULL: each has its own */
	uint32_t	off;			/* tests of single rules only: see rules.h */
} ReplicaConfig;

extern size_t replica_scratch_bytes(void);

/* NULL without memory.  Its dictionary, frontier and floor are then filled from disk. */
extern Replica *replica_new(const ReplicaConfig *config, CoreClock clock);
/* No job of it is at work any more. */
extern void replica_destroy(Replica **self);

extern RowDictionary *replica_dictionary(Replica *self);
extern RowFrontier *replica_frontier(Replica *self);
extern RowFrontier *replica_floor(Replica *self);

/*
 * All is loaded: go on as this incarnation, whose number is own.  fresh: this node has
 * no rows of the collection yet and copies them from the first holder.  A copy that a
 * restart broke off is not fresh: what it has may have been deleted since, and a copy drops
 * nothing.  Its rows go first, or it begins with an empty frontier and without fresh.
 */
extern void replica_begin(Replica *self, CoreClock clock, uint32_t own, bool fresh);

typedef struct ReplicaMember
{
	KadId		id;
	GrantRole	role;
	int64_t		heard_unix_ms;	/* what replica_heard() said before a restart; 0: it is new */
} ReplicaMember;

/* The members now, without this node, and the fingerprint of the statements that say so. */
extern void replica_members(Replica *self, CoreClock clock, const ReplicaMember *member, int n,
							GrantRole own_role, const uint8_t fingerprint[16]);

/*
 * When a member was last heard, or first named, in milliseconds since 1970; 0: it is none.
 * To be kept on disk now and then: who was away for retention_ms holds no tombstone back,
 * however often this node has started meanwhile.
 */
extern int64_t replica_heard(const Replica *self, const KadId *id);

/*
 * A link to a member is there; it is gone.  Frames of a link that is gone are not handed
 * over any more: what was asked over it is void.  One whom replica_members() did not name
 * before is not noted: of a new member whose link is there already it is told after.
 */
extern void replica_connected(Replica *self, CoreClock clock, const KadId *id);
extern void replica_gone(Replica *self, CoreClock clock, const KadId *id);

/* A frame of types 16 and above from this node, whoever it is. */
extern void replica_frame(Replica *self, CoreClock clock, const KadId *from, const uint8_t *frame, size_t len);

extern void replica_done(Replica *self, CoreClock clock, const RowDone *done);

/* To be called every 100 ms, and soon after a commit here. */
extern void replica_tick(Replica *self, CoreClock clock);

/*
 * The columns are others from now on.  To be told before a scan gives content of the new
 * ones: what is under way to others names the old.
 */
extern void replica_schema(Replica *self, const uint8_t schema[32]);

/*
 * No rows come and none go, until it goes on; members are told so.  What is being written is
 * written.  What is written here meanwhile, and there, travels afterwards.
 */
extern void replica_pause(Replica *self, CoreClock clock, bool paused);

/* Compare with this member before anything else, as soon as it answers; or no more. */
extern void replica_compare(Replica *self, CoreClock clock, const KadId *id, bool wanted);

/* How many comparisons that were wanted have ended with it; -1: it is no member that rows come from. */
extern int64_t replica_compared(const Replica *self, const KadId *id);

/* Has this member told, over a link that is up, that its columns are others? */
extern bool replica_differs(const Replica *self, const KadId *id);

/* Any that has. */
extern bool replica_differing(const Replica *self, KadId *id);

/* Is what this ticket stands for here?  False also of a life that this node has not met. */
extern bool replica_covers(const Replica *self, const RowIncarnationId *incarnation, uint64_t ticket);

/* How many of the other members have not told that it is there; -1: the members are not known. */
extern int	replica_lacking(const Replica *self, const RowIncarnationId *incarnation, uint64_t ticket);

typedef struct ReplicaFigures
{
	uint64_t	batches;		/* taken whole */
	uint64_t	interrupted;
	uint64_t	compared;		/* comparisons ended */
	uint64_t	rows_sent;
	uint64_t	bytes_sent;
	uint64_t	rows_taken;
	uint64_t	collected;
	uint64_t	adopted;
	uint64_t	refused;		/* frames */
	bool		copying;		/* the first copy ... */
	int64_t		copy_began_ms;	/* ... since 1970, 0: no rows came yet; whose ... */
	uint64_t	copied;			/* ... rows here, ... */
	uint64_t	copied_bytes;	/* ... with all around them, are so many of ... */
	uint64_t	copy_total;		/* ... an estimate by their last source; 0: not known */
	bool		stale;			/* below a floor: serves nobody until it has compared */
	bool		paused;
	size_t		buffered;		/* bytes of others' rows in memory */
	int64_t		summed_ms;		/* since 1970, when a comparison last summed up what is here; 0: never */
	uint8_t		sum[16];		/* of versions, without tombstones that the floor covers */
} ReplicaFigures;

extern ReplicaFigures replica_figures(const Replica *self);

/* What stands for the frontier: two nodes that have the same cover the same.  All zero: it fits in no message. */
extern void replica_frontier_sum(const Replica *self, uint8_t out[16]);

/* How a member is, to this node; the first that is true of it. */
typedef enum ReplicaMemberState
{
	REPLICA_AWAY,				/* no link */
	REPLICA_SILENT,				/* no frame came over the link yet */
	REPLICA_OTHER_COLUMNS,
	REPLICA_TAKING,				/* rows come from there ... */
	REPLICA_COMPARING,			/* ... where they differ ... */
	REPLICA_COPYING_FROM,		/* ... in the first copy */
	REPLICA_SENDING,			/* rows go there */
	REPLICA_BUSY,				/* it copies, compares with another, or is paused, and serves nobody */
	REPLICA_BEHIND,				/* it lacks something, or this node does */
	REPLICA_LEVEL
} ReplicaMemberState;

typedef struct ReplicaMemberFigures
{
	KadId		id;
	GrantRole	role;
	ReplicaMemberState state;
	int64_t		heard_ms;		/* ago */
	uint64_t	lacks_there;	/* commits that are here and that it has not told of ... */
	int64_t		lacks_there_ms; /* ... for so long, to a second or more where there are many members */
	uint64_t	lacks_here;		/* and the other way round */
	int64_t		lacks_here_ms;
	uint64_t	rows_sent;		/* to it, since it is known */
	uint64_t	bytes_sent;
	uint64_t	rows_taken;		/* from it */
	int64_t		credit;			/* bytes that may still go to it, or come from there, while they do */
} ReplicaMemberFigures;

/* How many members there are besides this node, and of one of them, from 0 on. */
extern int	replica_members_count(const Replica *self);
extern void replica_member_figures(const Replica *self, CoreClock clock, int i, ReplicaMemberFigures *out);

#endif							/* CORE_ROWS_REPLICA_H */
