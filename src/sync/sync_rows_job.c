/*
 * sync_rows_job.c
 *	  What a replica hands over to be written, in its order: one job after the other goes
 *	  to the apply worker of its collection (sync_apply.h).
 */
#include "sync/sync_rows.h"

#include "fault_point.h"
#include "worker/worker.h"

bool
SyncRowsSubmit(SyncCollection *self, const RowJob *job)
{
	if (self->place < 0 || self->n_jobs == ROWS_JOBS || self->change_due || self->changing)
		return false;
	memcpy(self->job_schema[self->n_jobs], self->schema, CORE_HASH_BYTES);
	self->job[self->n_jobs++] = *job;
	FAULT_POINT("job-handed-over");
	SetLatch(MyLatch);
	return true;
}

static void
end(SyncCollection *self, CoreClock clock, const RowDone *done)
{
	self->posted = false;
	self->n_jobs--;
	memmove(&self->job[0], &self->job[1], sizeof(self->job[0]) * (size_t) self->n_jobs);
	memmove(self->job_schema[0], self->job_schema[1], CORE_HASH_BYTES * (size_t) self->n_jobs);
	FAULT_POINT("job-done");
	replica_done(self->replica, clock, done);
}

static void
post(void *arg)
{
	SyncCollection *self = arg;

	AppliesPost(self->rows->applies, self->place, &self->job[0], self->job_schema[0]);
}

void
SyncRowsWork(SyncCollection *self, CoreClock clock)
{
	RowDone		done;

	if (self->posted && AppliesDone(self->rows->applies, self->place, &done))
	{
		end(self, clock, &done);
		AppliesTaken(self->rows->applies, self->place);
	}
	if (self->posted || self->n_jobs == 0)
		return;
	if (WorkerTry(post, NULL, self))
		self->posted = true;
	else
		end(self, clock, &(RowDone) {.id = self->job[0].id, .failed = true});
}
