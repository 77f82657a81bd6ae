/*
 * kad_lookup.h
 *	  One iterative lookup (Kademlia, section 2.3) as a state machine: it says
 *	  whom to ask next, and is told who answered what and who did not.
 *
 * It ends when the KAD_K nearest nodes that are not known to be gone have all
 * answered.  A lookup for providers goes the same way to the end and never
 * stops at the first that it finds: the first may be lies.
 *
 * Against the dead and the liars:
 *	  - A request that takes longer than KAD_SLOW_MS holds no place among the
 *		KAD_ALPHA in parallel any more; its answer is still welcome.
 *	  - Who names nodes that do not answer is believed no more, once these are
 *		KAD_DISTRUST and two thirds of those tried: the rest of what it named,
 *		unless another names it too, is not asked.
 *	  - Whom it asks it tells who did not answer, so that the answer names others:
 *		else the nearest living nodes stay behind the nearest dead ones.
 *	  - After KAD_REQUESTS requests it ends with what it has.
 *
 * Memory: sizeof(KadLookup), whatever peers say.  Records are referenced.
 */
#ifndef CORE_KAD_LOOKUP_H
#define CORE_KAD_LOOKUP_H

#include "core/net/kad_table.h"
#include "core/net/provider.h"

#define KAD_ALPHA 3
#define KAD_SHORTLIST 100
#define KAD_REQUESTS 120
#define KAD_SLOW_MS 1000
#define KAD_DISTRUST 5
#define KAD_PROVIDERS 64		/* that one lookup collects */

typedef enum KadCandidateState
{
	KAD_NEW,
	KAD_ASKED,
	KAD_SLOW,					/* asked, and not counted in parallel any more */
	KAD_ANSWERED,
	KAD_FAILED
} KadCandidateState;

typedef struct KadCandidate
{
	NodeRecord *record;
	uint64_t	distance;		/* kad_id_distance() to the target */
	int64_t		asked_ms;
	uint8_t		state;			/* KadCandidateState */
	uint8_t		hops;			/* 1: from the own table; else one more than who named it, the least of those */
	uint8_t		first_hops;		/* the same of who named it first */
	uint8_t		source;			/* slot of who named it, or NO_SOURCE */
	bool		confirmed;		/* named by two or more, or by the own table */
	uint8_t		named_answered; /* of those that it named first */
	uint8_t		named_failed;
} KadCandidate;

typedef struct KadLookup
{
	KadId		target;
	KadId		self;
	RecordPool *pool;
	bool		for_providers;
	int			requests;		/* made so far */
	int			failures;
	int			parallel;		/* asked and not slow */
	int64_t		started_ms;
	int			n;
	uint8_t		order[KAD_SHORTLIST];	/* slots of candidate[], nearest first */
	KadCandidate candidate[KAD_SHORTLIST];
	int			n_providers;
	Provider   *provider[KAD_PROVIDERS];
} KadLookup;

/* Begin at the nearest nodes of a table; `self` is the table's owner. */
extern void kad_lookup_init(KadLookup *self, const KadTable *table, const KadId *target,
							bool for_providers, int64_t tick_ms);
extern void kad_lookup_reset(KadLookup *self);

/* Ask this one too: a node that the table does not hold. */
extern void kad_lookup_offer(KadLookup *self, NodeRecord *record);

/*
 * The node to send the next request to, now; NULL when nobody is to be asked
 * at present.  Not referenced; good until the lookup is told something.
 */
extern NodeRecord *kad_lookup_next(KadLookup *self, int64_t tick_ms);

/*
 * A node that was asked has answered and named these.  False when it was not
 * asked, or has answered or failed already: the answer is then not used.
 */
extern bool kad_lookup_answered(KadLookup *self, const KadId *from, NodeRecord *const *records, int n);

/* A node that was asked will not answer. */
extern void kad_lookup_failed(KadLookup *self, const KadId *from);

/*
 * A provider came with an answer.  Its signature is checked here, unless the
 * same or a newer record of the same node is held.  False when it is not used.
 */
extern bool kad_lookup_provider(KadLookup *self, Provider *provider);

/*
 * The first bits (kad_id_short) of up to n of the nearest that have not
 * answered, into out[]: who is asked next need not name them, and so can name
 * others.  Returns how many.
 */
extern int	kad_lookup_avoid(const KadLookup *self, uint64_t *out, int n);

/* To be called when KAD_SLOW_MS have passed since a request; the tick of the next such, or INT64_MAX. */
extern int64_t kad_lookup_slow(KadLookup *self, int64_t tick_ms);

extern bool kad_lookup_done(const KadLookup *self);

/*
 * The nearest nodes that answered, nearest first, into out[n], not referenced.
 * Returns how many.  hops, when not NULL, gets those of the nearest.
 */
extern int	kad_lookup_result(const KadLookup *self, NodeRecord **out, int n, int *hops);

#endif							/* CORE_KAD_LOOKUP_H */
