/*
 * token_wait.c
 *	  The places of those who wait for a commit token.
 */
#include "rows/token_wait.h"

#include "miscadmin.h"
#include "node/node_ipc.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#define TRANCHE "VecdbTokens"

typedef struct TokenPlace
{
	Latch	   *latch;			/* of who waits; NULL: the place is free */
	Oid			database;
	Oid			role;
	bool		all;
	uint64		number;			/* of this wait: the place may be another's by the time of an answer */
	RowTokenTicket ticket;
	TokenWaitAnswer answer;
} TokenPlace;

typedef struct TokenWaits
{
	LWLock		lock;			/* of all below but: */
	pg_atomic_uint32 n;			/* places that are taken: a hint for the worker */
	uint64		last;			/* number of the last wait that began */
	TokenPlace	place[TOKEN_WAITS];
} TokenWaits;

Size
TokenWaitSize(void)
{
	return MAXALIGN(sizeof(TokenWaits));
}

static TokenWaits *
attach(void)
{
	static TokenWaits *shared = NULL;
	bool		found;

	if (shared)
		return shared;
	Assert(SyncPreloaded);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("vecdb tokens", sizeof(TokenWaits), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(TokenWaits));
		LWLockInitialize(&shared->lock, VecdbNewTranche(TRANCHE));
		pg_atomic_init_u32(&shared->n, 0);
	}
	LWLockRelease(AddinShmemInitLock);
	VecdbNameTranche(shared->lock.tranche, TRANCHE);
	return shared;
}

/* Wake the worker of a database. */
static void
wake_worker(Oid database)
{
	SyncShared *sync = SyncAttach();

	LWLockAcquire(&sync->lock, LW_SHARED);
	for (int i = 0; i < SYNC_NODES; i++)
		if (sync->node[i].used && sync->node[i].database == database && sync->node[i].latch)
			SetLatch(sync->node[i].latch);
	LWLockRelease(&sync->lock);
}

int
TokenWaitBegin(Oid database, Oid role, const RowTokenTicket *ticket, bool all)
{
	TokenWaits *shared = attach();
	int			place = TOKEN_NO_PLACE;
	int			free = 0;
	int			mine = 0;

	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < TOKEN_WAITS; i++)
		if (!shared->place[i].latch)
		{
			free++;
			place = i;
		}
		else if (shared->place[i].role == role)
			mine++;
	if (OidIsValid(role) && !SyncShareAllows(mine, free, TOKEN_WAITS_RESERVED))
		place = TOKEN_NO_PLACE;
	if (place != TOKEN_NO_PLACE)
	{
		shared->place[place] = (TokenPlace) {
			MyLatch, database, role, all, ++shared->last, *ticket, {.state = TOKEN_WAITING, .lacking = -1}
		};
		pg_atomic_fetch_add_u32(&shared->n, 1);
	}
	LWLockRelease(&shared->lock);
	if (place != TOKEN_NO_PLACE)
		wake_worker(database);
	return place;
}

TokenWaitAnswer
TokenWaitLook(int place)
{
	TokenWaits *shared = attach();
	TokenWaitAnswer answer;

	Assert(place >= 0 && place < TOKEN_WAITS);
	LWLockAcquire(&shared->lock, LW_SHARED);
	answer = shared->place[place].answer;
	LWLockRelease(&shared->lock);
	return answer;
}

void
TokenWaitEnd(int place)
{
	TokenWaits *shared = attach();

	Assert(place >= 0 && place < TOKEN_WAITS);
	LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
	shared->place[place].latch = NULL;
	pg_atomic_fetch_sub_u32(&shared->n, 1);
	LWLockRelease(&shared->lock);
}

/* The next place at or after this one whose wait goes on in this database; -1: there is none. */
static int
next_waiting(TokenWaits *shared, int i, TokenPlace *out)
{
	int			found = -1;

	LWLockAcquire(&shared->lock, LW_SHARED);
	for (; i < TOKEN_WAITS && found < 0; i++)
		if (shared->place[i].latch && shared->place[i].database == MyDatabaseId && shared->place[i].answer.state == TOKEN_WAITING)
		{
			*out = shared->place[i];
			found = i;
		}
	LWLockRelease(&shared->lock);
	return found;
}

void
TokenWaitAnswerAll(TokenWaitAnswer (*answer) (void *context, const RowTokenTicket *ticket, bool all), void *context)
{
	TokenWaits *shared = attach();
	TokenPlace	waits;

	if (pg_atomic_read_u32(&shared->n) == 0)
		return;
	for (int i = next_waiting(shared, 0, &waits); i >= 0; i = next_waiting(shared, i + 1, &waits))
	{
		TokenPlace *place = &shared->place[i];
		TokenWaitAnswer now = answer(context, &waits.ticket, waits.all);

		now.looked = true;
		LWLockAcquire(&shared->lock, LW_EXCLUSIVE);
		if (place->latch && place->number == waits.number)
		{
			place->answer = now;
			if (now.state != TOKEN_WAITING || !waits.answer.looked)
				SetLatch(place->latch);
		}
		LWLockRelease(&shared->lock);
	}
}
