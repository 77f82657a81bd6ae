/*
 * ipc.h
 *	  What the HTTP front and the executors share: one slot for each executor,
 *	  with a queue in each direction.
 *
 * A slot passes through a fixed round of states, so that neither side ever
 * builds a queue in memory that the other still reads:
 *
 *	  FREE -> WANTED		the executor, which holds no queue of the slot
 *	  WANTED -> READY		the front, after it has let go of the old queues
 *	  READY -> ATTACHED		the executor
 *	  any -> WANTED, FREE	the executor, when the front is gone or it exits
 *
 * A message is a head of fixed size and its payload, which follows in pieces
 * of at most IPC_PIECE bytes.  Requests go to the executor, answers to the
 * front; each side works on one message of a slot at a time.
 */
#ifndef VECDB_HTTP_IPC_H
#define VECDB_HTTP_IPC_H

#include "pgcompat.h"

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shm_mq.h"

#define IPC_RING		(128 * 1024)
#define IPC_PIECE		(32 * 1024)

/* When SQL was cancelled, or its time is over, and it does not end within this, its process is ended. */
#define IPC_CANCEL_MS	5000

#define IPC_FREE		0
#define IPC_WANTED		1
#define IPC_READY		2
#define IPC_ATTACHED	3

/*
 * pid, latch and state change under the lock; cancel_id is written by the
 * front and read by the executor's signal handler.
 */
typedef struct IpcSlot
{
	int			state;
	pid_t		pid;			/* of the executor, 0 when there is none */
	Latch	   *latch;			/* of the executor */
	bool		connected;		/* the executor is connected to the database */
	bool		retry;			/* it is asked to try to connect at once */
	int			failures;		/* connections that failed in a row */
	int64		last_failure_ms;	/* MonotonicMs() */
	pg_atomic_uint64 cancel_id; /* the request that shall be cancelled */
} IpcSlot;

typedef struct IpcShared
{
	LWLock		lock;
	Latch	   *front_latch;	/* NULL when there is no front */
	pg_atomic_uint32 stopping;	/* the front was told to shut down */
	int			nslots;
	IpcSlot		slots[FLEXIBLE_ARRAY_MEMBER];
} IpcShared;

static inline Size
IpcSlotsSize(int executors)
{
	return MAXALIGN(offsetof(IpcShared, slots) + sizeof(IpcSlot) * (Size) executors);
}

/* Shared memory for so many executors. */
static inline Size
IpcSize(int executors)
{
	return IpcSlotsSize(executors) + (Size) executors * 2 * IPC_RING;
}

/* Request: after it the target, the header lines, the role, the claims and the body. */
typedef struct IpcRequest
{
	uint64		id;				/* never 0 */
	uint32		method;			/* a HttpMethod */
	uint32		surface;		/* a SurfaceId */
	uint32		route;			/* its number in that surface */
	uint32		param_at;		/* see route.h: what lies where in the target */
	uint32		param_len;
	uint32		query_at;
	uint32		query_len;
	uint32		target_len;
	uint32		headers_len;	/* name NUL value NUL ... */
	uint32		role_len;		/* of the role that the token names; 0: the anonymous role */
	uint32		claims_len;		/* of the token, JSON; 0: there is no token */
	uint32		unused;			/* 0 */
	uint64		body_len;
} IpcRequest;

StaticAssertDecl(sizeof(IpcRequest) == 64, "no byte of a request's head is padding, which would go out unset");

/* Answer: after it its own header lines and the body. */
typedef struct IpcAnswer
{
	uint64		id;
	uint32		status;
	uint32		headers_len;	/* name NUL value NUL ... */
	uint64		body_len;
} IpcAnswer;

StaticAssertDecl(sizeof(IpcAnswer) == 24, "no byte of an answer's head is padding, which would go out unset");
StaticAssertDecl(IPC_RING % MAXIMUM_ALIGNOF == 0 && IPC_PIECE < IPC_RING, "queues lie side by side, and a piece fits into one");

/* Shared state; made by the first worker that asks for it. */
extern IpcShared *IpcAttach(void);

/* The memory of a slot's queues: 0 carries requests, 1 answers. */
extern void *IpcRing(IpcShared *shared, int slot, int direction);

#endif							/* VECDB_HTTP_IPC_H */
