/*
 * replica_state.h
 *	  All that a replica is: what the files that make it share.
 *
 *	  replica.c			what comes from outside, members, HAVE, the time
 *	  replica_serve.c	requests of others: changes, copies, ranges, rows by key
 *	  replica_ask.c		our own request, one at a time: rows that come, jobs that write
 *						them, the claim
 *	  replica_compare.c our request, where it compares: ranges, what to fetch and to drop
 *	  replica_garbage.c acknowledgements, tombstones, the floor, rows that nobody claims
 *	  replica_figures.c	what people who look are told: of the copy, of each member
 */
#ifndef CORE_ROWS_REPLICA_STATE_H
#define CORE_ROWS_REPLICA_STATE_H

#include "core/assert.h"
#include "core/net/mesh.h"
#include "core/net/wire_item.h"
#include "core/rows/pile.h"
#include "core/rows/reconcile.h"
#include "core/rows/replica.h"
#include "core/rows/rules.h"

#define HAVE_SOON_MS 50			/* between two HAVEs of what is new */
#define HAVE_ALL 6				/* so many members that are up are told directly */
#define ASK_TIMEOUT_MS 10000	/* without a frame of who was asked */
#define ASK_RATE_MS 30000		/* of waiting for rows, in which so many bytes have to come ... */
#define ASK_RATE_BYTES 32768	/* ... or the credit that we grant, where that is less */
#define ASK_PATIENCE_MS 300000	/* without so many, where the other says that it may not send more */
#define ASK_AGAIN_MS 1000		/* after a request that ended otherwise than well; twice as long after each in vain ... */
#define ASK_AGAIN_MOST 6		/* ... so often */
#define FLOOR_IN_VAIN 5			/* requests in a row, after which a floor that is told by none but this member counts no more */
#define SERVE_TIMEOUT_MS 60000	/* without a frame of who asked */
#define SERVE_ALIVE_MS 3000		/* without a frame to who asked, while no more rows may be sent */
#define PACK_LEAST 512			/* bytes of a frame that is worth packing ... */
#define PACK_PART 16			/* ... where that saves this part of it */
#define SHOWN_LEAST_MS 1000		/* between two lists of our columns to one member */
#define COMPARE_ASKED 16		/* ranges in one RANGES */
#define COMPARE_RANGES 16384	/* ranges to ask for: more than a collection of any size needs */
#define COMPARE_PENDING 256		/* rows to fetch before that is done */
#define COMPARE_DROPS 65536		/* rows to drop before that is done, without waiting for the claim */

typedef struct ReplicaPeer
{
	ReplicaMember member;
	bool		up;
	bool		heard;			/* over the link that is up: have, floor, busy, same_schema */
	bool		busy;
	bool		asked;			/* over the link that is up, and not given up */
	bool		met;			/* a frame came over the link that is up: it takes ours */
	bool		same_schema;
	int64_t		shown_ms;		/* tick at which ours were told over the link that is up; 0: they were not */
	bool		changed;		/* its columns have changed since then */
	uint8_t		schema[32];		/* all zero: not heard of */
	RowFrontier have;
	RowFrontier floor;
	bool		acknowledged;	/* ever: acked, acked_members */
	RowFrontier acked;
	uint8_t		acked_members[16];
	int64_t		heard_ms;		/* or since when we know it as a member */
	int64_t		ask_ms;			/* tick before which it is not asked */
	int64_t		verified_ms;	/* tick of the last comparison that chose it; 0: none, -1: it is to be the next */
	int64_t		lacks_there_ms; /* tick since which it has not told of something that is here; 0: it has */
	int64_t		lacks_here_ms;	/* the same of what it has told, and is not here */
	uint64_t	rows_sent;
	uint64_t	bytes_sent;
	uint64_t	rows_taken;
	bool		wanted;			/* a comparison with it is, before anything else */
	uint32_t	compared;		/* comparisons that were wanted, and ended */
	uint32_t	in_vain;		/* requests in a row that it did not answer as it should */
	uint32_t	introduced;		/* incarnations up to this number, over this link */
} ReplicaPeer;

/* A request of another. */
typedef struct ReplicaServe
{
	bool		active;
	uint8_t		mode;			/* RowWireMode */
	bool		packs;			/* it takes frames that are packed */
	uint64_t	order;			/* of requests of others, as they came */
	int64_t		sent_ms;		/* tick of the last frame of rows */
	bool		ended;			/* all rows are sent; only ranges and keys are asked for now */
	uint32_t	only;			/* 0; or the one incarnation that is sent, without the rule of closed batches */
	KadId		to;
	uint64_t	request;
	int64_t		deadline_ms;
	RowScan    *scan;
	RowFrontier above;			/* what the other covers */
	RowFrontier claim;
	RowFrontier floor;
	RowFrontier skip;			/* the other's floor: tombstones below it are not compared */
	int64_t		credit;			/* bytes; below 0 as much as the last frame was too long */
	uint32_t	sequence;
	bool		has_row;		/* one was read and is not sent whole */
	Row			row;
	uint64_t	row_sent;		/* bytes of its content */
} ReplicaServe;

typedef enum AskPhase
{
	ASK_NOTHING,
	ASK_RECEIVING,				/* rows, or ranges */
	ASK_APPLYING,				/* all rows are here, a job is at work */
	ASK_FETCHING,				/* rows by key are on their way */
	ASK_CLAIMING				/* the job that keeps the claim is at work */
} AskPhase;

/* Rows that have come together; all they point to is in the pile. */
typedef struct AskRows
{
	Pile		pile;
	uint32_t	n;
	uint32_t	room;
	Row		   *row;
} AskRows;

/* A range that differs, or is to be looked at. */
typedef struct AskRange
{
	struct AskRange *next;
	size_t		low_len;
	size_t		high_len;
	uint8_t		bytes[];		/* low, high */
} AskRange;

/* A key to fetch, or an entry to drop. */
typedef struct AskKey
{
	struct AskKey *next;
	RowEntry	entry;			/* to drop */
	bool		lost;			/* as Row says */
	bool		renew;			/* the same */
	size_t		len;
	uint8_t		bytes[];
} AskKey;

typedef struct ReplicaAsk
{
	AskPhase	phase;
	uint8_t		mode;			/* RowWireMode */
	KadId		to;
	uint64_t	request;
	int64_t		deadline_ms;
	int64_t		seen_ms;		/* tick of the last look at how long we wait */
	int64_t		waited_ms;		/* in all, since the rate was looked at ... */
	int64_t		came;			/* ... and bytes of rows since then */
	bool		held;			/* a DATA without rows came since then: the other may not send more for a while */
	int64_t		patience_ms;	/* how long that may still last */
	bool		wanted;			/* it is a comparison that somebody waited for when it began */
	uint32_t	sequence;		/* of the DATA expected next */
	bool		told;			/* claim and floor are known */
	RowFrontier claim;
	RowFrontier floor;
	uint64_t	floor_clock;	/* the other's, of a comparison */
	AskRows		rows;			/* come, not handed over yet */
	AskRows		work;			/* at work ... */
	bool		drops;			/* ... to be dropped */
	uint8_t    *part;			/* content of the last row, where more of it has to come: part_len of ... */
	uint64_t	part_len;
	uint64_t	part_whole;		/* ... so many bytes; else 0 */
	int64_t		alive_ms;		/* tick at which the other is told that a job still is at work */
	int64_t		credit;			/* bytes that the other may still send */
	uint32_t	credit_due;		/* bytes to grant once the job is done */
	bool		all_here;		/* the rows end with those here */
	bool		written;		/* some rows were, without the claim */
	bool		waits;			/* the other has to delete rows first, or a user's transaction to end: nothing is claimed */
	bool		doubtful;		/* it had what our frontier covers and is not here */
	uint32_t	n_fetch;
	AskKey	   *fetch;			/* keys of rows to ask for ... */
	size_t		fetch_bytes;	/* ... that take so many */
	AskKey	  **fetch_at;		/* rows come in their order: behind the last that came */
	bool		fetched;		/* some came since they were asked for */
	uint32_t	n_drop;
	AskKey	   *drop;
	RowScan    *scan;			/* ours, to compare with, from the first answer on */
	uint32_t	n_ranges;
	AskRange   *ranges;			/* to ask for */
	int			n_asked;
	AskRange   *asked[COMPARE_ASKED];
} ReplicaAsk;

/* What nothing is left in between two calls. */
typedef struct ReplicaScratch
{
	RowParts	parts;			/* of the range that is looked at */
	uint8_t		frame[ROW_FRAME_MAX];	/* that is written */
	uint8_t		packed[ROW_FRAME_MAX];	/* or unpacked */
} ReplicaScratch;

struct Replica
{
	ReplicaConfig config;
	RowHost		host;
	CoreMemory	memory;
	CoreCrypto	crypto;
	CoreRandom	random;
	CoreClock	now;
	RowDictionary dictionary;
	RowFrontier frontier;
	RowFrontier floor;
	uint64_t	floor_clock;	/* no tombstone that the floor covers is above it */
	RowFrontier kept;			/* what of the frontier is on disk, at least */
	uint32_t	own;			/* incarnation, 0: not begun */
	RowSettled	settled;		/* of our own tickets, as last seen */
	GrantRole	own_role;
	uint8_t		fingerprint[16];
	bool		members_known;	/* all of them are peers: without that no tombstone goes */
	int			n_peers;
	ReplicaPeer *peer[REPLICA_MEMBERS];	/* ascending by id */
	bool		have_due;
	int64_t		have_ms;		/* tick of the last HAVE of what is new */
	int64_t		entropy_ms;		/* tick of the next to a member at random */
	int64_t		garbage_ms;
	int64_t		verify_ms;		/* tick of the next comparison with a member at random */
	int64_t		watch_ms;		/* tick of the next look at who lacks something, ... */
	uint32_t	watch_next;		/* ... which begins with this member */
	uint32_t	doubts;			/* so many of them come soon: what was claimed to us was not true */
	int64_t		loose_ms;		/* tick since which there may be rows that nobody claims; 0: none */
	uint64_t	loose_until;	/* a ticket of ours: those up to it that are open may write on such rows; 0: none */
	uint32_t	anew;			/* requests in a row that ended since their snapshot lost the table */
	bool		torn;			/* a batch ended with a part of it written: a comparison goes on from there */
	bool		paused;
	bool		copying;
	bool		copy_begun;		/* copy_claim is that of its sources so far */
	RowFrontier copy_claim;
	RowFrontier copy_floor;
	size_t		copy_key_len;	/* the last key that was written; 0: none */
	uint8_t		copy_key[ROW_KEY_MAX];
	uint64_t	next_request;
	uint64_t	next_job;
	uint64_t	ask_job;		/* of the request; 0: none is at work */
	uint64_t	side_job;		/* COLLECT, ADOPT, or APPLY of a frontier alone; 0: none is at work */
	RowJobKind	side_kind;
	RowFrontier job_frontier;	/* what a job of the request points to */
	RowFrontier job_floor;
	RowFrontier job_covered;
	RowFrontier job_collected;
	RowFrontier side_frontier;
	RowFrontier side_floor;
	RowFrontier side_below;
	ReplicaAsk	ask;
	ReplicaServe serve[REPLICA_SERVES];
	uint64_t	served;			/* requests of others */
	ReplicaScratch *scratch;
	ReplicaFigures figures;
};

/* ---- replica.c ---- */
extern ReplicaPeer *replica_peer(const Replica *self, const KadId *id);
extern bool replica_holds(const Replica *self, RowRule rule);
extern void replica_log(Replica *self, const char *format,...) __attribute__((format(printf, 2, 3)));

/* Begin a frame to a member: who has not met all incarnations yet is introduced to them first. */
extern void replica_write(Replica *self, RowWriter *w, const KadId *to, RowWireType type, bool response, uint64_t request);
/* True: it is on its way. */
extern bool replica_send(Replica *self, RowWriter *w, const KadId *to);
extern void replica_stop(Replica *self, const KadId *to, uint64_t request, bool response, RowWireCode code);

/* A decoded frontier in our numbers; false: it names an incarnation that we have not met, or there is no memory. */
extern bool replica_read_frontier(Replica *self, RowBytes bytes, RowFrontier *out);
extern bool replica_read_entry(Replica *self, const RowWireRow *in, RowEntry *out);
extern void replica_wire_row(const Replica *self, const Row *in, RowWireRow *out);

/* Below a floor of ours or of a member's. */
extern bool replica_stale(const Replica *self);

extern void replica_doubt(Replica *self);

/* A comparison with some member is due soon. */
extern void replica_verify_soon(Replica *self);

/*
 * A member has compared with us, and found a difference: what we have and it has dropped we
 * find when we compare with it.  Not again soon, so that nobody compares for ever.
 */
extern void replica_differed(Replica *self, const KadId *id);

/* The floor was raised: what it covers had been heard of here. */
extern void replica_floor_raised(Replica *self);

/* Look at what of our own tickets has ended. */
extern void replica_settle(Replica *self);

/* ---- replica_serve.c ---- */
extern void serve_want(Replica *self, ReplicaPeer *from, const RowMessage *message);
extern void serve_message(Replica *self, ReplicaPeer *from, const RowMessage *message);

/* All of them are over, and are told so. */
extern void serve_stop_all(Replica *self, RowWireCode code);

/* Close its snapshot, tell nobody. */
extern void serve_end(Replica *self, ReplicaServe *serve);
extern void serve_gone(Replica *self, const KadId *id);
extern void serve_tick(Replica *self);

/* ---- replica_ask.c ---- */
extern void ask_begin(Replica *self, ReplicaPeer *peer, RowWireMode mode);
extern void ask_data(Replica *self, ReplicaPeer *from, const RowMessage *message, const uint8_t *frame, size_t len);
extern void ask_done(Replica *self, const RowDone *done);
extern void ask_stopped(Replica *self, ReplicaPeer *from, const RowMessage *message);
extern void ask_abandon(Replica *self, int64_t again_ms);

/* The same, and the other is told why.  It may be asked again after again_ms. */
extern void ask_stop(Replica *self, RowWireCode code, int64_t again_ms);

/* It does not answer, or not as it should. */
extern void ask_in_vain(Replica *self);
extern void ask_gone(Replica *self, const KadId *id);
extern void ask_tick(Replica *self);

/* A key to fetch, or an entry to drop, as Row says.  False: no memory. */
extern bool ask_add_fetch(Replica *self, RowBytes key, bool renew);
extern bool ask_add_drop(Replica *self, RowBytes key, const RowEntry *entry, bool lost, bool renew);

/* Fetch what was found, and drop it where it is much; when that is done, compare_go_on(). */
extern void ask_settle_keys(Replica *self);

/* All is written: keep the claim. */
extern void ask_claim(Replica *self);

/* The members of the request give and take a whole frame's credit. */
extern void ask_acknowledge(Replica *self, uint32_t credit);

/* ---- replica_compare.c ---- */
extern void compare_ranges(Replica *self, const RowMessage *message);
extern void compare_go_on(Replica *self);
extern void compare_reset(Replica *self);
extern void compare_answer(Replica *self, ReplicaServe *serve, const RowMessage *message);

/* ---- replica_garbage.c ---- */
extern void garbage_heard(Replica *self, ReplicaPeer *from, const RowMessage *message);
extern void garbage_tick(Replica *self);
extern void garbage_done(Replica *self, const RowDone *done);

/* Rows that nobody claims were adopted, or are to be, or were dropped: who writes at the moment may have written on them before. */
extern void garbage_note_open_writes(Replica *self);

/* ---- replica_figures.c ---- */
extern void figures_tick(Replica *self);

#endif							/* CORE_ROWS_REPLICA_STATE_H */
