/*
 * sync_apply.c
 *	  Apply workers, and the node worker's side of them.
 *
 * A place passes through these states:
 *
 *	  FREE -> IDLE			the node's worker: a collection has it
 *	  IDLE -> POSTED		the same: there is a job
 *	  POSTED -> DONE		the apply worker, when the job's last transaction is on disk
 *	  DONE -> IDLE			the node's worker, which has taken the result
 *	  any -> LEAVING		the same
 *	  LEAVING -> FREE		the apply worker
 *
 * A worker that ends in the middle of a job leaves it POSTED, and the next one does it
 * again from its beginning: rows that are there already are kept (core/rows/apply.h).
 * Code of a table's owner can end the worker each time (rows/row_write.c), so a collection
 * at which workers end waits, longer each time, while the next serves the others.
 * Between jobs a worker tries again what could not go into the tables of its collections.
 */
#include "sync/sync_apply.h"

#include "access/xact.h"
#include "guc.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "rows/row_index.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "core/rows/job_image.h"
#include "fault_point.h"
#include "mb/pg_wchar.h"
#include "sync/sync_index.h"
#include "sync/sync_rows.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "worker/worker.h"

PGDLLEXPORT void VecdbSyncApplyMain(Datum arg);

#define TICK_MS 100				/* nothing wakes a worker for what is due: looks anyway ... */
#define QUIET_TICK_MS 1000		/* ... where for so long there was nothing to do: */
#define QUIET_MS 3000
#define RESTART_MS 1000
#define INDEX_AGAIN_MS 60000	/* between looks for an index that waits */
#define CHANGE_MS 3600000		/* of a table's columns: each version may have to be written */
#define RETRY_MS 500
#define RETRY_MOST_MS 30000
#define RETRY_LOCKED 4			/* doublings of RETRY_MS while the table is locked */

enum
{
	FREE,
	IDLE,
	POSTED,
	DONE,
	LEAVING
};

typedef struct Place
{
	pg_atomic_uint32 state;
	uint32		worker;
	Oid			table;
	uint8		root[ROW_STATE_ROOT];
	dsm_handle	job;
	uint8		schema[CORE_HASH_BYTES];	/* of the job's rows */
	bool		of_change;		/* the job is a SignedChange */
	uint32		applied;		/* what became of that, ... */
	char		text[APPLY_TEXT];	/* ... and why it could not be applied */
	bool		running;		/* the worker is in a transaction of it; left so by one that has ended there */
	uint32		ended;			/* workers that have, since one has not */
	bool		index_waits;	/* to be built; so says the worker, and the node's takes it */
	RowDone		done;			/* but for missing, which is in the job's segment */
} Place;

/* Rows that are held are to be tried again; the node's worker writes it where it is FREE, the apply worker reads it where it is POSTED. */
typedef struct Ask
{
	pg_atomic_uint32 state;
	int			place;
	Oid			table;			/* the place may be another's by now */
	size_t		key_len;		/* 0: all */
	uint8		key[ROW_KEY_MAX];
} Ask;

typedef struct Control
{
	Oid			database;
	PGPROC	   *node;
	PGPROC	   *worker[APPLY_WORKERS_MAX];	/* NULL: it has not begun, or has ended */
	pg_atomic_uint32 stop;
	pg_atomic_uint32 places;	/* the first so many have been used: looks at all that there are cost a cache miss each */
	Ask			ask[APPLY_WORKERS_MAX];
	Place		place[ROWS_COLLECTIONS];
} Control;

static int
places(Control *control)
{
	return (int) pg_atomic_read_u32(&control->places);
}

static void
wake(PGPROC *volatile *process)
{
	PGPROC	   *whom = *process;

	if (whom)
		SetLatch(&whom->procLatch);
}

/* ---------------------------------------------------------------------------
 * The apply worker
 */

/* A collection that this worker serves. */
typedef struct Served
{
	RowTableHost *host;			/* NULL: none yet */
	MemoryContext context;
	RowApply	apply;
	dsm_segment *segment;		/* of the job under way, or NULL */
	MemoryContext job_context;
	RowJob		job;
	int64_t		start_ms;		/* tick before which nothing is run: workers have ended at it */
	int64_t		retry_ms;		/* nor what is held tried again, before this one: the table was locked ... */
	int			locked;			/* ... so often, one after another */
	int64_t		index_ms;		/* tick at which it is looked for an index that waits for rows ... */
	int64_t		build_ms;		/* ... not before this one: the last is being built, or has failed */
} Served;

typedef struct ApplyWorker
{
	Control    *control;
	uint32		number;
	int64_t		stirred_ms;		/* tick at which there was something to do, last */
	Served		served[ROWS_COLLECTIONS];
} ApplyWorker;

static void
begin_serving(ApplyWorker *self, int i)
{
	Served	   *served = &self->served[i];
	Place	   *place = &self->control->place[i];
	MemoryContext old;

	if (place->running)
		place->ended++;
	place->running = false;
	served->start_ms = node_clock().tick_ms + WorkerBackoff((int) Min(place->ended, INT_MAX));
	served->context = AllocSetContextCreate(TopMemoryContext, "vecdb applied collection", ALLOCSET_DEFAULT_SIZES);
	served->job_context = AllocSetContextCreate(served->context, "vecdb job", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(served->context);
	served->host = RowTableNew(place->table, place->root);
	MemoryContextSwitchTo(old);
	row_apply_init(&served->apply, &(RowApplyConfig) {
		.table = RowTableCallbacks(served->host),
		.skew_us = VecdbMaxClockSkew_s * INT64CONST(1000000),
		.max_conflicts = ROWS_CONFLICTS,
		.retry_ms = RETRY_MS,
		.retry_most_ms = RETRY_MOST_MS
	});
}

static void
end_job(Served *served)
{
	if (served->segment)
		dsm_detach(served->segment);
	served->segment = NULL;
	MemoryContextReset(served->job_context);
}

static void
end_serving(Served *served)
{
	if (!served->host)
		return;
	end_job(served);
	RowTableFree(served->host);
	MemoryContextDelete(served->context);
	memset(served, 0, sizeof(*served));
}

/* False: its segment is gone, since the node's worker is. */
static bool
begin_job(Served *served, const Place *place)
{
	MemoryContext old;
	void	   *image;
	RowFrontier *frontier;
	Row		   *rows;

	served->segment = WorkerAttach(place->job);
	if (!served->segment)
		return false;
	image = dsm_segment_address(served->segment);
	old = MemoryContextSwitchTo(served->job_context);
	rows = MemoryContextAllocHuge(served->job_context, sizeof(Row) * ((Size) row_job_rows(image) + 1));
	frontier = palloc(sizeof(RowFrontier) * ROW_JOB_FRONTIERS);
	row_job_read(image, rows, frontier, &served->job);
	MemoryContextSwitchTo(old);
	row_apply_begin(&served->apply, &served->job, row_job_missing(image));
	FAULT_POINT("job-begun");
	return true;
}

typedef struct Step
{
	Served	   *served;
	const Place *place;
	CoreClock	clock;
	bool		retry;
	RowBytes	key;			/* of the one that is tried again; of length 0: some of all */
	bool		begun;			/* the table could be opened */
	bool		more;
} Step;

/* Rows of a transaction are written, with the claim where they have one. */
static void
written(const RowJob *job)
{
	switch (job->kind)
	{
		case ROW_JOB_APPLY:
			if (job->frontier)
				FAULT_POINT("apply-before-commit");
			else
				FAULT_POINT("apply-part-before-commit");
			break;
		case ROW_JOB_DROP:
			FAULT_POINT("drop-before-commit");
			break;
		case ROW_JOB_COLLECT:
			FAULT_POINT("collect-before-commit");
			break;
		case ROW_JOB_ADOPT:
			break;				/* a row of it is a point in row_table.c */
	}
}

/* It is committed, and nobody knows yet. */
static void
committed(const RowJob *job)
{
	switch (job->kind)
	{
		case ROW_JOB_APPLY:
			if (job->frontier)
				FAULT_POINT("apply-committed");
			else
				FAULT_POINT("apply-part-committed");
			break;
		case ROW_JOB_DROP:
			FAULT_POINT("drop-committed");
			break;
		case ROW_JOB_COLLECT:
			FAULT_POINT("collect-committed");
			break;
		case ROW_JOB_ADOPT:
			FAULT_POINT("adopt-committed");
			break;
	}
}

/* Where it cannot go on, an error rolls it back. */
static void
step(void *arg)
{
	Step	   *this = arg;
	Served	   *served = this->served;
	bool		failed;

	RowTableBegin(served->host);
	this->begun = true;
	if (!this->retry && memcmp(RowTableSchema(served->host), this->place->schema, CORE_HASH_BYTES) != 0)
		ereport(ERROR, (errmsg("the columns of the collection's table have changed")));
	if (this->key.len > 0)
		failed = !row_apply_retry_key(&served->apply, this->key, this->clock);
	else if (this->retry)
		failed = row_apply_retry(&served->apply, this->clock) == UINT32_MAX;
	else
	{
		RowDone		done;

		this->more = row_apply_step(&served->apply, this->clock);
		row_apply_done(&served->apply, &done);
		failed = done.failed;
	}
	if (failed)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("rows of other nodes could not be written now")));
	RowTableEnd(served->host);
	/* a part of a batch: what claims it, and whatever is read to be sent, takes it to disk */
	if (!this->retry && served->job.kind == ROW_JOB_APPLY && !served->job.frontier)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (this->retry)
		FAULT_POINT("retry-before-commit");
	else
		written(&served->job);
}

/* The next transaction of a job, or of a retry, of one key where key.len > 0.  True: the job has more. */
static bool
run(Served *served, Place *place, CoreClock clock, bool retry, RowBytes key)
{
	Step		this = {served, place, clock, retry, key};
	bool		done;

	place->running = true;
	pg_write_barrier();
	done = WorkerTransaction(ROWS_TRANSACTION_MS, step, &this);
	place->running = false;
	place->ended = 0;
	served->locked = this.begun ? 0 : served->locked + 1;
	if (!this.begun)
		served->retry_ms = clock.tick_ms + (RETRY_MS << Min(served->locked - 1, RETRY_LOCKED));
	if (done && !retry)
		committed(&served->job);
	if (done)
		return this.more;
	row_apply_failed(&served->apply);
	return false;
}

static void
finish_job(ApplyWorker *self, int i)
{
	Place	   *place = &self->control->place[i];
	Served	   *served = &self->served[i];
	uint32		posted = POSTED;

	row_apply_done(&served->apply, &place->done);
	if (!place->done.failed && served->job.frontier)
		served->index_ms = served->build_ms;
	end_job(served);
	pg_write_barrier();
	(void) pg_atomic_compare_exchange_u32(&place->state, &posted, DONE);
	FAULT_POINT("apply-answered");
	wake(&self->control->node);
}

typedef struct Look
{
	const Place *place;
	bool		waits;
} Look;

static void
look_for_index(void *arg)
{
	Look	   *look = arg;
	Oid			index;

	look->waits = RowIndexWaits(look->place->table, look->place->root, &index) != ROW_INDEX_NONE;
}

/* An index that has waited for the rows is built by a process of its own. */
static void
tend_index(ApplyWorker *self, int i, CoreClock clock)
{
	Look		look = {&self->control->place[i], false};

	self->served[i].index_ms = clock.tick_ms + INDEX_AGAIN_MS;
	if (!WorkerTransaction(SYNC_STATEMENT_MS, look_for_index, &look) || !look.waits)
		return;
	self->served[i].build_ms = self->served[i].index_ms;
	self->control->place[i].index_waits = true;
	wake(&self->control->node);
}

typedef struct Changing
{
	const Place *place;
	const SignedChange *change;
	uint32		applied;
	char		text[APPLY_TEXT];
} Changing;

static void
change_columns(void *arg)
{
	Changing   *this = arg;
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		this->applied = TableChangeApply(this->place->table, this->place->root, this->change);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->message)
			strlcpy(this->text, error->message, pg_mbcliplen(error->message, (int) strlen(error->message), APPLY_TEXT - 1) + 1);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void
serve_change(ApplyWorker *self, int i)
{
	Place	   *place = &self->control->place[i];
	Changing	this = {place};
	dsm_segment *segment;
	uint32		posted = POSTED;

	segment = WorkerAttach(place->job);
	if (!segment)
		return;
	this.change = dsm_segment_address(segment);
	if (!WorkerTransaction(CHANGE_MS, change_columns, &this))
		this.applied = 0;
	FAULT_POINT("change-committed");
	dsm_detach(segment);
	place->applied = this.applied;
	strlcpy(place->text, this.text, sizeof(place->text));
	pg_write_barrier();
	(void) pg_atomic_compare_exchange_u32(&place->state, &posted, DONE);
	wake(&self->control->node);
}

static void
serve_ask(ApplyWorker *self, int i, CoreClock clock)
{
	Ask		   *ask = &self->control->ask[self->number];
	Served	   *served = &self->served[i];
	Place	   *place = &self->control->place[i];
	uint8		bytes[ROW_KEY_MAX];
	RowBytes	key = {bytes, 0};
	bool		ours;

	if (pg_atomic_read_u32(&ask->state) != POSTED)
		return;
	pg_read_barrier();
	if (ask->place != i)
		return;
	ours = ask->table == place->table;
	key.len = Min(ask->key_len, ROW_KEY_MAX);
	memcpy(bytes, ask->key, key.len);
	/* before it is done: should it end this process, the next one does not do it again */
	pg_atomic_write_u32(&ask->state, FREE);
	wake(&self->control->node);
	if (!ours)
		return;
	served->retry_ms = 0;
	if (key.len > 0)
		(void) run(served, place, clock, true, key);
	else
		row_apply_retry_soon(&served->apply, clock);
}

/* True: there is more to do at once. */
static bool
serve(ApplyWorker *self, int i, CoreClock clock)
{
	Place	   *place = &self->control->place[i];
	Served	   *served = &self->served[i];
	uint32		state = pg_atomic_read_u32(&place->state);

	pg_read_barrier();
	if (state == FREE || place->worker != self->number)
		return false;
	if (state == LEAVING)
	{
		end_serving(served);
		pg_atomic_write_u32(&place->state, FREE);
		return false;
	}
	if (!served->host)
		begin_serving(self, i);
	if (clock.tick_ms < served->start_ms)
		return false;
	if (state == POSTED && place->of_change)
	{
		serve_change(self, i);
		return true;
	}
	if (state == POSTED)
	{
		if (!served->segment && !begin_job(served, place))
			return false;
		if (!run(served, place, clock, false, (RowBytes) {0}))
			finish_job(self, i);
		return true;
	}
	serve_ask(self, i, clock);
	if (clock.tick_ms >= served->retry_ms && row_apply_retry_due(&served->apply, clock))
	{
		(void) run(served, place, clock, true, (RowBytes) {0});
		/* the rest of a pass */
		if (row_apply_retry_due(&served->apply, clock))
			self->stirred_ms = clock.tick_ms;
	}
	if (clock.tick_ms >= served->index_ms)
		tend_index(self, i, clock);
	return false;
}

static void
turn(void *arg)
{
	ApplyWorker *self = arg;
	bool		more = false;

	WorkerInterrupts();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	for (int i = 0; i < places(self->control) && !ShutdownRequestPending; i++)
		more |= serve(self, i, node_clock());
	if (more)
		self->stirred_ms = node_clock().tick_ms;
	else if (!ShutdownRequestPending)
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 node_clock().tick_ms - self->stirred_ms < QUIET_MS ? TICK_MS : QUIET_TICK_MS, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

static void
leave(int code, Datum arg)
{
	ApplyWorker *self = (ApplyWorker *) DatumGetPointer(arg);

	self->control->worker[self->number] = NULL;
	wake(&self->control->node);
}

void
VecdbSyncApplyMain(Datum arg)
{
	static ApplyWorker worker;
	dsm_segment *segment;
	dsm_handle	handle;

	memcpy(&handle, MyBgworkerEntry->bgw_extra, sizeof(handle));
	worker.number = DatumGetUInt32(arg);
	segment = WorkerAttach(handle);
	if (!segment)
		proc_exit(0);			/* the node's worker has gone */
	worker.control = dsm_segment_address(segment);
	WorkerStart(worker.control->database, SyncOnSigterm);
	MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "vecdb apply", ALLOCSET_DEFAULT_SIZES));
	before_shmem_exit(leave, PointerGetDatum(&worker));
	worker.control->worker[worker.number] = MyProc;
	while (!ShutdownRequestPending && pg_atomic_read_u32(&worker.control->stop) == 0)
	{
		if (!WorkerTry(turn, NULL, &worker))
			(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, RESTART_MS, PG_WAIT_EXTENSION);
		MemoryContextReset(CurrentMemoryContext);
	}
	proc_exit(0);
}

/* ---------------------------------------------------------------------------
 * The node's worker
 */

struct Applies
{
	dsm_segment *segment;
	Control    *control;
	int			n;				/* workers */
	BackgroundWorkerHandle *handle[APPLY_WORKERS_MAX];
	int64		start_ms[APPLY_WORKERS_MAX];	/* tick after which it may be started */
	bool		no_room[APPLY_WORKERS_MAX]; /* for the last that was to be */
	BackgroundWorkerHandle *index;	/* process that builds one; NULL: none was started */
	int64		index_ms;		/* tick after which another may be */
	bool		index_no_room;	/* for the last that was to be */
	dsm_segment *job[ROWS_COLLECTIONS];
	char		name[NAMEDATALEN];
};

static void
on_node_exit(int code, Datum arg)
{
	Applies    *self = (Applies *) DatumGetPointer(arg);
	Control    *control = self->control;

	if (self->index)
		TerminateBackgroundWorker(self->index);
	control->node = NULL;
	pg_atomic_write_u32(&control->stop, 1);
	for (int i = 0; i < APPLY_WORKERS_MAX; i++)
		wake(&control->worker[i]);
}

static dsm_segment *
create_segment(Size size)
{
	ResourceOwner owner = CurrentResourceOwner;
	dsm_segment *segment;

	CurrentResourceOwner = NULL;
	segment = dsm_create(size, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	CurrentResourceOwner = owner;
	if (!segment)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there is no room for one more segment of shared memory"),
				 errhint("Raise max_connections: a server has 64 of them, and 5 for each connection.")));
	return segment;
}

Applies *
AppliesNew(const char *database)
{
	dsm_segment *segment = create_segment(sizeof(Control));
	Applies    *self = MemoryContextAllocZero(TopMemoryContext, sizeof(*self));

	self->segment = segment;
	self->control = dsm_segment_address(self->segment);
	memset(self->control, 0, sizeof(*self->control));
	self->control->database = MyDatabaseId;
	self->control->node = MyProc;
	self->n = VecdbApplyWorkers;
	pg_atomic_init_u32(&self->control->stop, 0);
	pg_atomic_init_u32(&self->control->places, 0);
	for (int i = 0; i < ROWS_COLLECTIONS; i++)
		pg_atomic_init_u32(&self->control->place[i].state, FREE);
	for (int i = 0; i < APPLY_WORKERS_MAX; i++)
		pg_atomic_init_u32(&self->control->ask[i].state, FREE);
	strlcpy(self->name, database, sizeof(self->name));
	before_shmem_exit(on_node_exit, PointerGetDatum(self));
	return self;
}

static bool
has_work(const Applies *self, int worker)
{
	for (int i = 0; i < places(self->control); i++)
		if (self->control->place[i].worker == (uint32) worker &&
			pg_atomic_read_u32(&self->control->place[i].state) != FREE)
			return true;
	return false;
}

static void
start(Applies *self, int number, int64 tick_ms)
{
	dsm_handle	segment = dsm_segment_handle(self->segment);
	MemoryContext old;
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_main_arg = UInt32GetDatum((uint32) number),
		.bgw_notify_pid = MyProcPid
	};

	self->start_ms[number] = tick_ms + RESTART_MS;
	if (self->handle[number])
		pfree(self->handle[number]);
	self->handle[number] = NULL;
	memcpy(worker.bgw_extra, &segment, sizeof(segment));
	strlcpy(worker.bgw_library_name, "vecdb_sync", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, "VecdbSyncApplyMain", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "vecdb apply %s %d", self->name, number);
	strlcpy(worker.bgw_type, "vecdb apply", BGW_MAXLEN);
	old = MemoryContextSwitchTo(TopMemoryContext);
	self->no_room[number] = !RegisterDynamicBackgroundWorker(&worker, &self->handle[number]);
	if (self->no_room[number])
	{
		self->handle[number] = NULL;
		self->start_ms[number] = tick_ms + 30 * RESTART_MS;
		ereport(LOG,
				(errmsg("could not start an apply worker for the node of database \"%s\": rows of others wait", self->name),
				 errhint("Raise max_worker_processes, which is %d.", max_worker_processes)));
	}
	MemoryContextSwitchTo(old);
}

/* One index at a time is built. */
static void
tend_indexes(Applies *self, int64 tick_ms)
{
	MemoryContext old;
	pid_t		pid;

	if (tick_ms < self->index_ms || (self->index && GetBackgroundWorkerPid(self->index, &pid) != BGWH_STOPPED))
		return;
	for (int i = 0; i < places(self->control); i++)
	{
		Place	   *place = &self->control->place[i];
		SyncIndexTable table = {place->table};

		if (!place->index_waits)
			continue;
		place->index_waits = false;
		if (pg_atomic_read_u32(&place->state) == FREE)
			continue;
		memcpy(table.root, place->root, sizeof(table.root));
		if (self->index)
			pfree(self->index);
		old = MemoryContextSwitchTo(TopMemoryContext);
		self->index = SyncIndexStart(self->name, &table);
		MemoryContextSwitchTo(old);
		self->index_ms = tick_ms + RESTART_MS * (self->index ? 1 : 30);
		place->index_waits = self->index_no_room = self->index == NULL;
		return;
	}
	self->index_no_room = false;
}

void
AppliesTend(Applies *self, int64 tick_ms)
{
	tend_indexes(self, tick_ms);
	for (int i = 0; i < self->n; i++)
	{
		pid_t		pid;

		if (self->handle[i] && GetBackgroundWorkerPid(self->handle[i], &pid) != BGWH_STOPPED)
			continue;
		if (!has_work(self, i))
			self->no_room[i] = false;
		else if (tick_ms >= self->start_ms[i])
			start(self, i, tick_ms);
	}
}

bool
AppliesLackRoom(const Applies *self, bool *index)
{
	bool		worker = false;

	for (int i = 0; i < self->n; i++)
		worker |= self->no_room[i];
	*index = self->index_no_room;
	return worker;
}

int
AppliesEnter(Applies *self, Oid table, const uint8 *root)
{
	for (int i = 0; i < ROWS_COLLECTIONS; i++)
	{
		Place	   *place = &self->control->place[i];

		if (pg_atomic_read_u32(&place->state) != FREE)
			continue;
		place->worker = table % (uint32) self->n;
		place->table = table;
		place->running = false;
		place->ended = 0;
		place->index_waits = false;
		memcpy(place->root, root, sizeof(place->root));
		pg_write_barrier();
		pg_atomic_write_u32(&place->state, IDLE);
		if (i >= places(self->control))
			pg_atomic_write_u32(&self->control->places, (uint32) i + 1);
		return i;
	}
	return -1;
}

static void
forget_job(Applies *self, int place)
{
	if (self->job[place])
		dsm_detach(self->job[place]);
	self->job[place] = NULL;
}

void
AppliesLeave(Applies *self, int place)
{
	forget_job(self, place);
	pg_atomic_write_u32(&self->control->place[place].state, LEAVING);
	wake(&self->control->worker[self->control->place[place].worker]);
}

void
AppliesTaken(Applies *self, int place)
{
	forget_job(self, place);
	pg_atomic_write_u32(&self->control->place[place].state, IDLE);
}

/* The job's segment has been filled. */
static void
post(Place *place, dsm_segment *segment)
{
	place->job = dsm_segment_handle(segment);
	pg_write_barrier();
	pg_atomic_write_u32(&place->state, POSTED);
	FAULT_POINT("job-posted");
}

void
AppliesPost(Applies *self, int number, const RowJob *job, const uint8 schema[CORE_HASH_BYTES])
{
	Place	   *place = &self->control->place[number];

	Assert(pg_atomic_read_u32(&place->state) == IDLE && !self->job[number]);
	self->job[number] = create_segment(row_job_size(job));
	row_job_write(job, dsm_segment_address(self->job[number]));
	place->of_change = false;
	memcpy(place->schema, schema, sizeof(place->schema));
	post(place, self->job[number]);
	wake(&self->control->worker[place->worker]);
}

void
AppliesPostChange(Applies *self, int number, const SignedChange *change)
{
	Place	   *place = &self->control->place[number];

	Assert(pg_atomic_read_u32(&place->state) == IDLE && !self->job[number]);
	self->job[number] = create_segment(sizeof(*change));
	memcpy(dsm_segment_address(self->job[number]), change, sizeof(*change));
	place->of_change = true;
	post(place, self->job[number]);
	wake(&self->control->worker[place->worker]);
}

bool
AppliesRetry(Applies *self, int number, RowBytes key)
{
	Place	   *place = &self->control->place[number];
	Ask		   *ask = &self->control->ask[place->worker];
	bool		gone;

	/* what was asked of a collection that has gone nobody takes */
	gone = pg_atomic_read_u32(&ask->state) == POSTED &&
		(self->control->place[ask->place].table != ask->table ||
		 pg_atomic_read_u32(&self->control->place[ask->place].state) == FREE);
	if ((pg_atomic_read_u32(&ask->state) != FREE && !gone) || key.len > ROW_KEY_MAX)
		return false;
	ask->place = number;
	ask->table = place->table;
	ask->key_len = key.len;
	if (key.len > 0)
		memcpy(ask->key, key.at, key.len);
	pg_write_barrier();
	pg_atomic_write_u32(&ask->state, POSTED);
	wake(&self->control->worker[place->worker]);
	return true;
}

bool
AppliesChangeDone(Applies *self, int number, uint32 *applied, char text[APPLY_TEXT])
{
	Place	   *place = &self->control->place[number];

	if (pg_atomic_read_u32(&place->state) != DONE)
		return false;
	pg_read_barrier();
	*applied = place->applied;
	strlcpy(text, place->text, APPLY_TEXT);
	AppliesTaken(self, number);
	return true;
}

bool
AppliesDone(Applies *self, int number, RowDone *out)
{
	Place	   *place = &self->control->place[number];

	if (pg_atomic_read_u32(&place->state) != DONE)
		return false;
	pg_read_barrier();
	*out = place->done;
	out->missing = row_job_missing(dsm_segment_address(self->job[number]));
	return true;
}
