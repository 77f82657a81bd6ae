/*
 * sync_verify.c
 *	  Comparisons of a collection with all of its members, for who waits for what they find
 *	  (vecdb.verify_collection()).
 *
 * A run has each member compared with once, from when it begins.  One is under way for a
 * collection at a time; it ends when who asked for it has all that it found, or does not ask
 * any more.
 */
#include "sync/sync_pending.h"
#include "sync/sync_rows.h"

#include "core/bytes.h"
#include "utils/errcodes.h"
#include "utils/memutils.h"

#define ASKED_MS 5000			/* after so long nobody asks any more: who does, does five times a second */
#define FOUND_MOST 1000

StaticAssertDecl(FOUND_MOST * (2 * KAD_ID_BYTES + 2 * 256) < 2 * 1024 * 1024, "what is found fits into an answer, but for long keys");

typedef struct VerifyMember
{
	KadId		id;
	int64_t		before;			/* comparisons that had ended */
} VerifyMember;

typedef struct VerifyKey
{
	KadId		id;
	bool		lacks_here;
	size_t		len;
	uint8_t    *bytes;
} VerifyKey;

struct SyncVerify
{
	uint32		number;
	int64_t		asked_ms;		/* tick of the last question */
	int			n;
	VerifyMember *member;
	int			n_found;
	bool		more;			/* than are kept */
	VerifyKey	found[FOUND_MOST];
	MemoryContext context;
};

void
SyncVerifyFound(SyncCollection *self, const KadId *id, RowBytes key, bool lacks_here)
{
	SyncVerify *verify = self->verify;
	VerifyKey  *new;

	if (!verify || verify->more)
		return;
	for (int i = 0; i < verify->n_found; i++)
		if (kad_id_equal(&verify->found[i].id, id) && verify->found[i].lacks_here == lacks_here &&
			verify->found[i].len == key.len && memcmp(verify->found[i].bytes, key.at, key.len) == 0)
			return;
	verify->more = verify->n_found == FOUND_MOST;
	if (verify->more)
		return;
	new = &verify->found[verify->n_found];
	new->bytes = MemoryContextAllocExtended(verify->context, key.len, MCXT_ALLOC_NO_OOM);
	if (!new->bytes)
	{
		verify->more = true;
		return;
	}
	new->id = *id;
	new->lacks_here = lacks_here;
	new->len = key.len;
	memcpy(new->bytes, key.at, key.len);
	verify->n_found++;
}

void
SyncVerifyEnd(SyncCollection *self)
{
	SyncVerify *verify = self->verify;

	self->verify = NULL;
	if (!verify)
		return;
	for (int i = 0; i < verify->n && self->replica; i++)
		replica_compare(self->replica, self->rows->worker->net->clock, &verify->member[i].id, false);
	MemoryContextDelete(verify->context);
}

void
SyncVerifyTend(SyncCollection *self, CoreClock clock)
{
	if (self->verify && clock.tick_ms > self->verify->asked_ms + ASKED_MS)
		SyncVerifyEnd(self);
}

static SyncVerify *
begin(SyncCollection *self, CoreClock clock)
{
	MemoryContext context = AllocSetContextCreate(self->context, "vecdb verify", ALLOCSET_DEFAULT_SIZES);
	SyncVerify *new = MemoryContextAllocZero(context, sizeof(*new));

	new->context = context;
	/* not a number that somebody asks with who began before a restart */
	do
		new->number = (uint32) core_random_bits(&self->rows->random);
	while (new->number == 0);
	new->asked_ms = clock.tick_ms;
	new->n = replica_members_count(self->replica);
	new->member = MemoryContextAlloc(context, sizeof(*new->member) * Max(new->n, 1));
	for (int i = 0; i < new->n; i++)
	{
		ReplicaMemberFigures figures;

		replica_member_figures(self->replica, clock, i, &figures);
		new->member[i].id = figures.id;
		new->member[i].before = replica_compared(self->replica, &figures.id);
		replica_compare(self->replica, clock, &figures.id, true);
	}
	self->verify = new;
	self->rows->worker->due.rows_tick = 0;
	return new;
}

/* Where in the order of their ids a member is now; -1: it is none any more. */
static int
place_of(SyncCollection *self, CoreClock clock, const KadId *id, ReplicaMemberFigures *out)
{
	int			low = 0;
	int			high = replica_members_count(self->replica);

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order;

		replica_member_figures(self->replica, clock, middle, out);
		order = memcmp(&out->id, id, sizeof(*id));
		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

static const char waiting[] = "it was not compared with in time";

/* How a member's comparison is: NULL, it has ended; waiting; or why there will be none. */
static const char *
state_of(SyncCollection *self, CoreClock clock, const VerifyMember *member)
{
	int64_t		compared = replica_compared(self->replica, &member->id);
	ReplicaMemberFigures figures;

	if (compared > member->before && member->before >= 0)
		return NULL;
	if (place_of(self, clock, &member->id, &figures) < 0)
		return "it was not compared with: it is no member any more";
	if (figures.state == REPLICA_AWAY)
		return "it was not compared with: no link to it is up";
	if (figures.state == REPLICA_OTHER_COLUMNS)
		return "it was not compared with: its columns are others";
	if (compared < 0)
		return "it was not compared with: it only reads, and nobody asks it for rows";
	return waiting;
}

/*
 * The id of this node; for each member that was not compared with its id, "" and why; for
 * each key the id of the member, its digits, and whether "here" or "there" is less.
 */
static void
tell_all(SyncCollection *self, Pending *p, CoreClock clock)
{
	SyncVerify *verify = self->verify;
	bool		fits = PendingPutId(p, &node_record(self->rows->worker->node)->id);
	uint32_t	before = p->call->len;

	for (int i = 0; i < verify->n && fits; i++)
	{
		const char *state = state_of(self, clock, &verify->member[i]);

		before = p->call->len;
		fits = !state || (PendingPutId(p, &verify->member[i].id) && PendingPut(p, "") && PendingPut(p, state));
	}
	for (int i = 0; i < verify->n_found && fits; i++)
	{
		const VerifyKey *found = &verify->found[i];
		char	   *digits = palloc(2 * found->len + 1);

		before = p->call->len;
		fits = PendingPutId(p, &found->id) && PendingPut(p, bytes_hex(found->bytes, found->len, digits)) &&
			PendingPut(p, found->lacks_here ? "here" : "there");
		pfree(digits);
	}
	if (!fits)
		p->call->len = before;
	p->call->cut |= !fits || verify->more;
}

void
PendingVerify(SyncWorker *self, Pending *p, Oid table, uint32 number, bool all)
{
	SyncCollection *collection = SyncRowsOf(self->rows, table);
	CoreClock	clock = node_clock();
	int			n_waiting = 0;

	p->call->len = 0;
	if (!collection || collection->paused || replica_figures(collection->replica).copying)
	{
		PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "rows of this table cannot be compared with others' now",
					 !collection ? "They are not replicated." : collection->paused ? "The collection is paused." : "They are being copied.",
					 "View vecdb.stat_collections shows how they are.");
		return;
	}
	if (number == 0 && collection->verify)
	{
		PendingError(p, ERRCODE_OBJECT_IN_USE, "somebody compares this collection with its members already", NULL, "Try again when that has ended.");
		return;
	}
	if (number == 0)
		(void) begin(collection, clock);
	else if (!collection->verify || collection->verify->number != number)
	{
		PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the comparison with members has ended before its time",
					 "The worker of the node, or the replication of the collection, has begun anew.", "Try again.");
		return;
	}
	collection->verify->asked_ms = clock.tick_ms;
	if (all)
	{
		tell_all(collection, p, clock);
		SyncVerifyEnd(collection);
	}
	else
	{
		for (int i = 0; i < collection->verify->n; i++)
			n_waiting += state_of(collection, clock, &collection->verify->member[i]) == waiting;
		(void) (PendingPutNumber(p, collection->verify->number) && PendingPutNumber(p, n_waiting));
	}
	p->finished = true;
}
