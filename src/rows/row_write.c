/*
 * row_write.c
 *	  Writing rows into a shared table, as its owner.
 *
 * As PostgreSQL's own apply worker does it: the executor's functions for one row, which
 * look at no policy and have no plan.  What is different:
 *
 *	  it runs as the owner, restricted			as_owner.c
 *	  nothing is deferred						or it would be done at the commit, as who commits
 *	  the owner's code has little time			a row that takes longer is refused
 *	  a trigger may change or suppress a row		then it is refused: a version is one content
 *
 * An owner's code may catch its cancel and go on; after a few in vain this process ends.
 */
#include "rows/row_write.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "as_owner.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "rows/capture.h"
#include "storage/latch.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define CANCELS 3				/* that are caught in vain */
#define CANCEL_AGAIN_MS 1000

static TimeoutId time_limit;
static bool has_time_limit;
static volatile sig_atomic_t n_cancels;

/* ---------------------------------------------------------------------------
 * Time
 */

static void
cancel(void)
{
	n_cancels++;
	if (n_cancels > CANCELS)
		ProcDiePending = true;
	else
		QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
begin_time(void)
{
	if (!has_time_limit)
		time_limit = RegisterTimeout(USER_TIMEOUT, cancel);
	has_time_limit = true;
	n_cancels = 0;
	enable_timeout_every(time_limit, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ROW_WRITE_MS), CANCEL_AGAIN_MS);
}

/* Was it too long? */
static bool
end_time(void)
{
	bool		too_long;

	if (has_time_limit)
		disable_timeout(time_limit, false);
	too_long = n_cancels > 0;
	n_cancels = 0;
	/* it may be that of ours, which came too late */
	if (too_long)
		QueryCancelPending = false;
	return too_long;
}

/* ---------------------------------------------------------------------------
 * Triggers
 */

/* May one of these triggers make another row of what is written? */
static bool
has_triggers_of_users(Relation rel)
{
	Oid			extension = get_extension_oid("vecdb", true);
	const TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgenabled != TRIGGER_DISABLED && trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN &&
			(!OidIsValid(extension) || getExtensionOfObject(ProcedureRelationId, trigger->tgfoid) != extension))
			return true;
	}
	return false;
}

/*
 * No constraint or trigger is deferred.  What the owner's code defers after this is refused
 * by PostgreSQL, in a security-restricted operation.
 */
static void
defer_nothing(void)
{
	static const ConstraintsSetStmt all = {.type = T_ConstraintsSetStmt, .constraints = NIL, .deferred = false};

	AfterTriggerSetState(unconstify(ConstraintsSetStmt *, &all));
}

static void pg_attribute_noreturn()
refuse_another(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("a trigger of table \"%s\" makes another row of what another node has written", RelationGetRelationName(rel))));
}

/* Does the row stand in the table as it was to be? */
static void
look_again(TableWriter *self, const Row *row)
{
	uint8		hash[ROW_HASH];
	uint8		vector_hash[ROW_HASH];
	bool		there = RowKeyFetch(self->index, row->key, SnapshotSelf, self->written);

	if (there != row->entry.live)
		refuse_another(self->index->rel);
	if (!there)
		return;
	RowShapeHashes(self->shape, self->written, hash, vector_hash);
	ExecClearTuple(self->written);
	if (memcmp(hash, row->entry.hash, ROW_HASH) != 0)
		refuse_another(self->index->rel);
}

/* ---------------------------------------------------------------------------
 * Writing
 */

void
TableWriterBegin(TableWriter *self, RowKeyIndex *index, RowShape *shape)
{
	self->index = index;
	self->shape = shape;
	self->row = MakeSingleTupleTableSlot(RelationGetDescr(index->rel), &TTSOpsVirtual);
	self->written = table_slot_create(index->rel, NULL);
	self->looks_again = has_triggers_of_users(index->rel);
	self->open = false;
	self->limit = ROW_WRITES;
	self->n = 0;
}

void
TableWriterEnd(TableWriter *self)
{
	ExecDropSingleTupleTableSlot(self->row);
	ExecDropSingleTupleTableSlot(self->written);
}

/*
 * What ExecGetTriggerResultRel() has opened.  The function that closes it has been in some
 * minor releases of PostgreSQL and not in others.
 */
static void
close_trigger_targets(EState *estate)
{
	ListCell   *lc;

	foreach(lc, estate->es_trig_target_relations)
		table_close(lfirst_node(ResultRelInfo, lc)->ri_RelationDesc, NoLock);
}

/* All columns are written. */
static Bitmapset *
all_columns(Relation rel)
{
	Bitmapset  *columns = NULL;

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
		if (!TupleDescAttr(RelationGetDescr(rel), i)->attisdropped)
			columns = bms_add_member(columns, i + 1 - FirstLowInvalidHeapAttributeNumber);
	return columns;
}

static void
execute(TableWriter *self, const Row *row, TupleTableSlot *here)
{
	Relation	rel = self->index->rel;
	EState	   *estate = CreateExecutorState();
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	ResultRelInfo *target = makeNode(ResultRelInfo);
	EPQState	epq;

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	VecdbInitRangeTable(estate, rte, all_columns(rel));
	estate->es_output_cid = GetCurrentCommandId(true);
	InitResultRelInfo(target, rel, 1, NULL, 0);
	/* where triggers look for it */
	estate->es_opened_result_relations = lappend(NIL, target);
	ExecOpenIndices(target, false);
	VecdbEvalPlanQualInit(&epq, estate);
	AfterTriggerBeginQuery();
	if (!row->entry.live)
		ExecSimpleRelationDelete(target, estate, &epq, here);
	else
	{
		RowShapeFill(self->shape, row->content, row->key, here, self->row);
		if (here)
			ExecSimpleRelationUpdate(target, estate, &epq, here, self->row);
		else
			ExecSimpleRelationInsert(target, estate, self->row);
	}
	AfterTriggerEndQuery(estate);
	EvalPlanQualEnd(&epq);
	ExecCloseIndices(target);
	close_trigger_targets(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	ExecClearTuple(self->row);
	CommandCounterIncrement();
}

static void
write_as_owner(TableWriter *self, const Row *row, TupleTableSlot *here)
{
	Relation	rel = self->index->rel;
	AsOwner		owner = AsOwnerBegin(rel->rd_rel->relowner);

	CaptureSkip(RelationGetRelid(rel), row->key);
	begin_time();
	PushActiveSnapshot(GetLatestSnapshot());
	defer_nothing();
	execute(self, row, here);
	PopActiveSnapshot();
	(void) end_time();
	CaptureSkip(InvalidOid, (RowBytes) {0});
	AsOwnerEnd(&owner);
	if (self->looks_again)
	{
		CommandCounterIncrement();
		look_again(self, row);
	}
}

/* What an error means. */
static RowWritten
meaning_of(const ErrorData *error, bool too_long)
{
	switch (error->sqlerrcode)
	{
		case ERRCODE_LOCK_NOT_AVAILABLE:
		case ERRCODE_T_R_DEADLOCK_DETECTED:
		case ERRCODE_T_R_SERIALIZATION_FAILURE:
			return ROW_WRITE_BUSY;
		case ERRCODE_QUERY_CANCELED:
			return too_long ? ROW_WRITE_REFUSED : ROW_WRITE_FAILED;
		case ERRCODE_DATA_CORRUPTED:
		case ERRCODE_INDEX_CORRUPTED:
			return ROW_WRITE_FAILED;
	}
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return ROW_WRITE_FAILED;
	}
	return ROW_WRITE_REFUSED;
}

static void
tell(const ErrorData *error, bool too_long, char text[ROW_REASON_TEXT])
{
	if (too_long)
		snprintf(text, ROW_REASON_TEXT, "what the table's owner has it run took more than %d ms", ROW_WRITE_MS);
	else
	{
		int			len = pg_mbcliplen(error->message, (int) strlen(error->message), ROW_REASON_TEXT - 1);

		memcpy(text, error->message, (size_t) len);
		text[len] = '\0';
	}
}

/* ---------------------------------------------------------------------------
 * Subtransactions
 */

static void
open_writer(TableWriter *self)
{
	MemoryContext context = CurrentMemoryContext;

	if (self->open)
		return;
	self->resources = CurrentResourceOwner;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	self->open = true;
	self->n = 0;
}

static void
close_writer(TableWriter *self, bool keep)
{
	MemoryContext context = CurrentMemoryContext;

	self->open = false;
	if (keep)
	{
		self->n = 0;
		ReleaseCurrentSubTransaction();
	}
	else
		RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = self->resources;
}

void
TableWriterClose(TableWriter *self)
{
	if (self->open)
		close_writer(self, true);
}

RowWritten
RowWrite(TableWriter *self, const Row *row, TupleTableSlot *here, bool alone,
		 bool (*then) (void *arg), void *arg, char text[ROW_REASON_TEXT])
{
	MemoryContext context = CurrentMemoryContext;
	bool		within = AsOwnerRuns();
	volatile RowWritten written = ROW_WRITTEN;
	ErrorData  *volatile error = NULL;

	if (alone)
		TableWriterClose(self);
	open_writer(self);
	PG_TRY();
	{
		write_as_owner(self, row, here);
		if (!then(arg))
			written = ROW_WRITE_BUSY;
	}
	PG_CATCH();
	{
		bool		too_long = end_time();

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		written = meaning_of(error, too_long);
		if (written == ROW_WRITE_REFUSED)
			tell(error, too_long && error->sqlerrcode == ERRCODE_QUERY_CANCELED, text);
		CaptureSkip(InvalidOid, (RowBytes) {0});
	}
	PG_END_TRY();
	if (written != ROW_WRITTEN)
	{
		close_writer(self, false);
		AsOwnerFailed(within);
		self->limit = 1;
		if (written == ROW_WRITE_FAILED)
			ReThrowError(error);
		return written;
	}
	self->done[self->n++] = *row;
	if (alone || self->n >= self->limit)
	{
		TableWriterClose(self);
		self->limit = Min(2 * self->limit, ROW_WRITES);
	}
	return ROW_WRITTEN;
}
