/*
 * flip.c
 *	  Changes bytes of an hnsw index in the server's buffers, uses the index, and
 *	  puts the bytes back, many thousands of times a minute.
 *
 * For tests alone: 050_corrupt_index.pl compiles and loads it.  Every step
 * follows from the seed and its number, and begins with the index as it was, so
 * that one of them can be done again alone.
 */
#include "index/hnsw/hnsw_disk.h"

#include <sys/resource.h>

#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/storage.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_MODULE_MAGIC;

#define MOST_FLIPS 16
#define MOST_MEMORY (512 * 1024 * 1024L)	/* that the process may grow by */
#define MOST_SECONDS 10

/* What steps did and met. */
typedef struct Tally
{
	int64		flips;
	int64		steps;
	int64		operations;
	int64		refused;		/* as corrupted */
} Tally;

typedef struct Flip
{
	Relation	heap;
	Relation	index;
	HnswMeta	meta;			/* of the sound index */
	BlockNumber nblocks;
	char	   *image;			/* of all blocks */
	uint64		random;
	SPIPlanPtr	search;
	SPIPlanPtr	fetch;
	SPIPlanPtr	check;
	SPIPlanPtr	stats;
	int			rows;
	uint64		dead_share;		/* of 100, for the callback of vacuum */
	Tally		tally;
} Flip;

static uint64
next_random(Flip *self, uint64 below)
{
	uint64		x;

	self->random += UINT64CONST(0x9E3779B97F4A7C15);
	x = self->random;
	x = (x ^ (x >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return (x ^ (x >> 31)) % below;
}

/* A session keeps constants of the index that it has read once. */
static void
forget_constants(Flip *self)
{
	if (self->index->rd_amcache != NULL)
		pfree(self->index->rd_amcache);
	self->index->rd_amcache = NULL;
}

static void
save(Flip *self)
{
	self->nblocks = RelationGetNumberOfBlocks(self->index);
	self->image = MemoryContextAllocHuge(CurrentMemoryContext, (Size) self->nblocks * BLCKSZ);
	for (BlockNumber block = 0; block < self->nblocks; block++)
	{
		Buffer		buffer = ReadBuffer(self->index, block);

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		memcpy(self->image + (Size) block * BLCKSZ, BufferGetPage(buffer), BLCKSZ);
		UnlockReleaseBuffer(buffer);
	}
	self->meta = *HnswPageGetMeta((Page) self->image);
}

static void
restore(Flip *self)
{
	if (RelationGetNumberOfBlocks(self->index) > self->nblocks)
		RelationTruncate(self->index, self->nblocks);
	for (BlockNumber block = 0; block < self->nblocks; block++)
	{
		Buffer		buffer = ReadBuffer(self->index, block);
		const char *image = self->image + (Size) block * BLCKSZ;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (memcmp(BufferGetPage(buffer), image, BLCKSZ) != 0)
		{
			/* the log's own place in the page stays true */
			XLogRecPtr	lsn = PageGetLSN(BufferGetPage(buffer));

			memcpy(BufferGetPage(buffer), image, BLCKSZ);
			PageSetLSN(BufferGetPage(buffer), lsn);
			MarkBufferDirty(buffer);
		}
		UnlockReleaseBuffer(buffer);
	}
	forget_constants(self);
}

/*
 * A byte of a page: half of the time any, otherwise one of those that say how
 * the others are to be read.
 */
static int
choose_byte(Flip *self, BlockNumber block, int kind)
{
	switch (next_random(self, 8))
	{
		case 0:
			return 8 + next_random(self, SizeOfPageHeaderData - 8 + 16);
		case 1:
			return BLCKSZ - 1 - next_random(self, sizeof(IndexPageOpaque) + 16);
		case 2:
		case 3:
			if (block == 0)
				return SizeOfPageHeaderData + next_random(self, sizeof(HnswMeta));
			if (kind <= HNSW_PAGE_UPPER)
			{
				const HnswLayout *layout = &self->meta.layout[kind];

				return SizeOfPageHeaderData + next_random(self, layout->slots) * layout->slot_bytes +
					next_random(self, Min(sizeof(HnswNode) + 8, layout->slot_bytes));
			}
			/* FALLTHROUGH */
		default:
			return 8 + next_random(self, BLCKSZ - 8);	/* the first eight are the log's */
	}
}

static void
flip_byte_of(Flip *self, BlockNumber block)
{
	Buffer		buffer = ReadBuffer(self->index, block);
	char	   *page = BufferGetPage(buffer);
	const IndexPageOpaque *opaque = (IndexPageOpaque *) (page + BLCKSZ - MAXALIGN(sizeof(IndexPageOpaque)));
	uint8	   *byte;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	byte = (uint8 *) page + choose_byte(self, block, opaque->kind);
	switch (next_random(self, 4))
	{
		case 0:
			*byte = 0xFF;
			break;
		case 1:
			*byte = next_random(self, 256);
			break;
		case 2:
			*byte += next_random(self, 2) ? 1 : -1;
			break;
		default:
			*byte ^= 1 << next_random(self, 8);
	}
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
	self->tally.flips++;
}

static void
flip_bytes(Flip *self)
{
	int			n = next_random(self, 2) ? 1 + next_random(self, 2) : 1 + next_random(self, MOST_FLIPS);

	for (int i = 0; i < n; i++)
		flip_byte_of(self, next_random(self, 8) == 0 ? 0 : next_random(self, self->nblocks));
	forget_constants(self);
}

static void
execute(SPIPlanPtr plan, int64 argument)
{
	Datum		value = Int64GetDatum(argument);

	if (SPI_execute_plan(plan, &value, NULL, true, 0) < 0)
		elog(ERROR, "flip: a statement failed");
}

static void
search_index(Flip *self)
{
	static const char *const modes[] = {"off", "relaxed_order", "strict_order"};
	char		ef[16];
	int			level = NewGUCNestLevel();

	snprintf(ef, sizeof(ef), "%d", (int) (1 + next_random(self, 60)));
	(void) set_config_option("hnsw.ef_search", ef, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("hnsw.iterative_scan", modes[next_random(self, 3)], PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	execute(self->search, 1 + next_random(self, self->rows));
	AtEOXact_GUC(false, level);
}

static void
insert_row(Flip *self)
{
	IndexInfo  *info = BuildIndexInfo(self->index);
	Datum		value;
	bool		isnull;
	bool		place_isnull;
	ItemPointer tid;

	execute(self->fetch, 1 + next_random(self, self->rows));
	if (SPI_processed != 1)
		return;
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	tid = (ItemPointer) DatumGetPointer(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &place_isnull));

	/* a place that no row of the index has, most times */
	ItemPointerSetOffsetNumber(tid, 1 + next_random(self, 250));
	index_insert(self->index, &value, &isnull, tid, self->heap, UNIQUE_CHECK_NO, next_random(self, 2), info);
	SPI_freetuptable(SPI_tuptable);
}

static bool
is_dead(ItemPointer tid, void *arg)
{
	Flip	   *self = (Flip *) arg;

	return next_random(self, 100) < self->dead_share;
}

static void
vacuum_index(Flip *self)
{
	IndexVacuumInfo info;
	IndexBulkDeleteResult *stats;

	memset(&info, 0, sizeof(info));
	info.index = self->index;
	VacuumInfoSetHeap(&info, self->heap);
	info.estimated_count = true;
	info.message_level = DEBUG2;
	info.num_heap_tuples = self->rows;
	self->dead_share = next_random(self, 4) == 0 ? 95 : next_random(self, 50);
	stats = index_bulk_delete(&info, NULL, is_dead, self);
	index_vacuum_cleanup(&info, next_random(self, 2) ? stats : NULL);
}

static void
use_index(Flip *self)
{
	uint64		kind = next_random(self, 20);

	if (kind < 9)
		search_index(self);
	else if (kind < 14)
		insert_row(self);
	else if (kind < 18)
		vacuum_index(self);
	else if (kind < 19)
		execute(self->check, RelationGetRelid(self->index));
	else
		execute(self->stats, RelationGetRelid(self->index));
	self->tally.operations++;
}

/* Use the flipped index up to three times; whatever is raised ends one of them. */
static void
use_it(Flip *self, int64 step)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int			n = 1 + next_random(self, 3);

	for (int i = 0; i < n; i++)
	{
		TimestampTz start = GetCurrentTimestamp();

		BeginInternalSubTransaction(NULL);
		MemoryContextSwitchTo(context);
		PG_TRY();
		{
			use_index(self);
			ReleaseCurrentSubTransaction();
		}
		PG_CATCH();
		{
			ErrorData  *error;

			MemoryContextSwitchTo(context);
			error = CopyErrorData();
			FlushErrorState();
			RollbackAndReleaseCurrentSubTransaction();
			if (error->sqlerrcode == ERRCODE_INDEX_CORRUPTED)
				self->tally.refused++;

			/* a format version of another vecdb; an order that the values do not have */
			else if (error->sqlerrcode != ERRCODE_FEATURE_NOT_SUPPORTED &&
					 strcmp(error->message, "index returned tuples in wrong order") != 0)
				ereport(ERROR, (errcode(error->sqlerrcode),
								errmsg("step " INT64_FORMAT ": %s", step, error->message)));
			FreeErrorData(error);
		}
		PG_END_TRY();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), MOST_SECONDS * 1000))
			elog(ERROR, "step " INT64_FORMAT " took more than %d seconds", step, MOST_SECONDS);
	}
}

static SPIPlanPtr
prepare(const char *statement)
{
	Oid			type = INT8OID;
	SPIPlanPtr	plan = SPI_prepare(statement, 1, &type);

	if (plan == NULL)
		elog(ERROR, "flip: cannot prepare %s", statement);
	return plan;
}

/* An allocation that corrupt bytes ask for shall fail, and be seen. */
static void
limit_memory(struct rlimit *before)
{
	struct rlimit limit;
	struct rusage usage;

	getrlimit(RLIMIT_DATA, before);
	getrusage(RUSAGE_SELF, &usage);
	limit = *before;
	limit.rlim_cur = usage.ru_maxrss * 1024 + MOST_MEMORY;
	setrlimit(RLIMIT_DATA, &limit);
}

/*
 * flip_run(index regclass, search text, fetch text, rows int, seed bigint, first bigint, steps bigint)
 *	  gives flips, operations and how many were refused.  search and fetch are
 *	  statements with a row's number as $1: the one uses the index, the other
 *	  gives value and ctid.
 */
PG_FUNCTION_INFO_V1(flip_run);
Datum
flip_run(PG_FUNCTION_ARGS)
{
	Oid			oid = PG_GETARG_OID(0);
	int64		first = PG_GETARG_INT64(5);
	int64		last = first + PG_GETARG_INT64(6);
	struct rlimit before;
	Flip	   *self = palloc0(sizeof(Flip));
	MemoryContext step_context = AllocSetContextCreate(CurrentMemoryContext, "flip step", ALLOCSET_DEFAULT_SIZES);

	SPI_connect();
	self->heap = table_open(IndexGetRelation(oid, false), RowExclusiveLock);
	self->index = index_open(oid, AccessExclusiveLock);
	self->search = prepare(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	self->fetch = prepare(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	self->rows = PG_GETARG_INT32(3);
	self->check = prepare("SELECT count(*) FROM hnsw_check($1::oid)");
	self->stats = prepare("SELECT count(*) FROM hnsw_stats($1::oid)");
	save(self);

	limit_memory(&before);
	PG_TRY();
	{
		for (int64 step = first; step < last; step++)
		{
			MemoryContext old = MemoryContextSwitchTo(step_context);

			CHECK_FOR_INTERRUPTS();
			self->random = (uint64) PG_GETARG_INT64(4) * UINT64CONST(0xD1342543DE82EF95) + (uint64) step * UINT64CONST(0x2545F4914F6CDD1D);
			flip_bytes(self);
			use_it(self, step);
			restore(self);
			self->tally.steps++;
			MemoryContextSwitchTo(old);
			MemoryContextReset(step_context);
		}
	}
	PG_FINALLY();
	{
		restore(self);
		setrlimit(RLIMIT_DATA, &before);
	}
	PG_END_TRY();
	index_close(self->index, NoLock);
	table_close(self->heap, NoLock);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT,
											  self->tally.flips, self->tally.operations, self->tally.refused)));
}

/*
 * Builds.  An index of flipped(v) is built while flip_build() has the bytes of
 * pages that the build has written, and will read again, go wrong at every so
 * many'th row.
 */
static struct
{
	Oid			index;			/* invalid: nothing is flipped */
	int			every;
	Flip		flip;
	struct rlimit before;
} building;

/* flip_build(index regclass, seed bigint, every int): the index is there and was sound when this session called it first. */
PG_FUNCTION_INFO_V1(flip_build);
Datum
flip_build(PG_FUNCTION_ARGS)
{
	Flip	   *self = &building.flip;
	Relation	index = index_open(PG_GETARG_OID(0), AccessShareLock);

	if (self->tally.steps++ == 0)
	{
		Buffer		buffer = ReadBuffer(index, INDEX_META_BLOCK);

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		self->meta = *HnswPageGetMeta(BufferGetPage(buffer));
		UnlockReleaseBuffer(buffer);
	}
	index_close(index, AccessShareLock);
	self->random = (uint64) PG_GETARG_INT64(1) * UINT64CONST(0xD1342543DE82EF95);
	self->tally.flips = 0;
	building.every = PG_GETARG_INT32(2);
	building.index = PG_GETARG_OID(0);
	limit_memory(&building.before);
	PG_RETURN_VOID();
}

/* flipped(anyelement): the argument. */
PG_FUNCTION_INFO_V1(flipped);
Datum
flipped(PG_FUNCTION_ARGS)
{
	Flip	   *self = &building.flip;

	if (OidIsValid(building.index) && next_random(self, building.every) == 0)
	{
		self->index = index_open(building.index, NoLock);
		self->nblocks = RelationGetNumberOfBlocks(self->index);
		if (self->nblocks > 0)
			flip_byte_of(self, next_random(self, self->nblocks));
		index_close(self->index, NoLock);
	}
	PG_RETURN_DATUM(PG_GETARG_DATUM(0));
}

/* flip_build_end(): how many were flipped. */
PG_FUNCTION_INFO_V1(flip_build_end);
Datum
flip_build_end(PG_FUNCTION_ARGS)
{
	building.index = InvalidOid;
	setrlimit(RLIMIT_DATA, &building.before);
	PG_RETURN_INT64(building.flip.tally.flips);
}

/* flip_byte(index regclass, block bigint, at int, byte int): set one byte, unless that is -1; gives what it was. */
PG_FUNCTION_INFO_V1(flip_byte);
Datum
flip_byte(PG_FUNCTION_ARGS)
{
	Relation	index = index_open(PG_GETARG_OID(0), AccessExclusiveLock);
	Buffer		buffer = ReadBuffer(index, PG_GETARG_INT64(1));
	uint8	   *byte;
	int			was;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	byte = (uint8 *) BufferGetPage(buffer) + PG_GETARG_INT32(2);
	was = *byte;
	if (PG_GETARG_INT32(3) >= 0)
	{
		*byte = PG_GETARG_INT32(3);
		MarkBufferDirty(buffer);
	}
	UnlockReleaseBuffer(buffer);
	if (index->rd_amcache != NULL)
		pfree(index->rd_amcache);
	index->rd_amcache = NULL;
	index_close(index, NoLock);
	PG_RETURN_INT32(was);
}

/* flip_chunks(index regclass): each value in chunks begins on the page that says so; gives how many do. */
PG_FUNCTION_INFO_V1(flip_chunks);
Datum
flip_chunks(PG_FUNCTION_ARGS)
{
	Relation	index = index_open(PG_GETARG_OID(0), AccessExclusiveLock);
	BlockNumber nblocks = RelationGetNumberOfBlocks(index);
	HnswLayout	layout[2];
	int			n = 0;

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer		buffer = ReadBuffer(index, block);
		Page		page = BufferGetPage(buffer);
		int			kind = IndexPageGetOpaque(page)->kind;

		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		if (block == INDEX_META_BLOCK)
			memcpy(layout, HnswPageGetMeta(page)->layout, sizeof(layout));
		else if (kind <= HNSW_PAGE_UPPER && layout[kind].value_form == HNSW_VALUE_CHUNKS)
		{
			for (int slot = 0; slot < HnswPageSlots(page, &layout[kind]); slot++, n++)
				ItemPointerSetBlockNumber(&((IndexChunkRef *) HnswNodeValue(HnswPageNode(page, &layout[kind], slot),
																			&layout[kind]))->first, block);
			MarkBufferDirty(buffer);
		}
		UnlockReleaseBuffer(buffer);
	}
	index_close(index, NoLock);
	PG_RETURN_INT32(n);
}
