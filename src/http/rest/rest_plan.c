/*
 * rest_plan.c
 *	  Plans of statements that are kept from one request to the next.
 *
 * A statement is found by its text, the types of its parameters and the role that it
 * runs as: values are in none of these.  So what is kept is what the same text would
 * be analysed to now, as long as PostgreSQL hears of what has changed since.  Its own
 * cache of plans does for relations, functions, operators, schemas and the
 * search_path.  When roles, their members, types or casts change it is told here to
 * have everything analysed anew: of some of them it does not hear, in any release or
 * in some.
 *
 * Memory is bounded: a plan can grow only while its statement runs, so the one that
 * was used last is measured again before another is looked for.
 *
 * What it costs to have a plan is the time from when a statement is looked for to when
 * it begins: analysis where none is kept, and planning where there is no plan for any
 * values, which PostgreSQL does as it opens the statement.
 */
#include "http/rest/rest.h"

#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "guc.h"
#include "miscadmin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#define MAX_PLANS		200
#define MAX_BYTES		((Size) 16 * 1024 * 1024)
#define MAX_PLAN_BYTES	(MAX_BYTES / 16)

/* Longer statements, and those with more parameters, are rarely met twice. */
#define MAX_TEXT		4096
#define MAX_PARAMETERS	64

typedef struct Kept
{
	uint32		hash;
	Oid			role;
	int			options;
	int			nparams;
	SPIPlanPtr	plan;
	uint64		used;			/* the count of look-ups then */
	Size		bytes;
	int			text_len;
	Oid			types[MAX_PARAMETERS];
	char		text[FLEXIBLE_ARRAY_MEMBER];
} Kept;

static Kept *kept[MAX_PLANS];
static int	nkept;
static Size kept_bytes;
static uint64 lookups;

static ExecutorStart_hook_type next_start;
static bool preparing;			/* since began; not told how long yet */
static instr_time began;
static double prepared_ms;

static Size
plan_bytes(SPIPlanPtr plan)
{
	Size		bytes = 0;
	ListCell   *cell;

	foreach(cell, SPI_plan_get_plan_sources(plan))
	{
		const CachedPlanSource *source = lfirst(cell);

		bytes += MemoryContextMemAllocated(source->context, true);
		if (source->gplan)
			bytes += MemoryContextMemAllocated(source->gplan->context, true);
	}
	return bytes;
}

static void
forget(int i)
{
	Kept	   *entry = kept[i];

	kept[i] = kept[--nkept];
	kept_bytes -= entry->bytes;
	SPI_freeplan(entry->plan);
	pfree(entry);
}

static void
measure(Kept *entry)
{
	kept_bytes -= entry->bytes;
	entry->bytes = sizeof(Kept) + (Size) entry->text_len + plan_bytes(entry->plan);
	kept_bytes += entry->bytes;
}

/* The place of the plan that was used last, or of the one that has not been used for longest. */
static int
find_used(bool last)
{
	int			best = 0;

	for (int i = 1; i < nkept; i++)
	{
		if ((kept[i]->used > kept[best]->used) == last)
			best = i;
	}
	return best;
}

/* Keep to the bounds, with room for one more. */
static void
make_room(void)
{
	int			last;

	if (nkept == 0)
		return;
	last = find_used(true);
	measure(kept[last]);
	if (kept[last]->bytes > MAX_PLAN_BYTES)
		forget(last);
	while (nkept == MAX_PLANS || (nkept > 0 && kept_bytes > MAX_BYTES))
		forget(find_used(false));
}

/*
 * A plan that was made for any values has estimates for any, which a client could use to
 * have one run that costs more than it may.  So where costs are limited each is planned
 * for its values, and what is saved is its analysis.
 */
static int
plan_options(void)
{
	return VecdbHttpMaxCost > 0 ? CURSOR_OPT_CUSTOM_PLAN : 0;
}

static SPIPlanPtr
prepare(const RestSql *sql, int options)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql->text.data, sql->nparams, sql->types, options);

	if (!plan)
		elog(ERROR, "could not prepare a statement: %s", SPI_result_code_string(SPI_result));
	return plan;
}

static Kept *
find(const RestSql *sql, const Kept *key)
{
	Size		types_size = sizeof(Oid) * (Size) key->nparams;

	for (int i = 0; i < nkept; i++)
	{
		Kept	   *entry = kept[i];

		if (entry->hash == key->hash && entry->role == key->role && entry->options == key->options &&
			entry->nparams == key->nparams && entry->text_len == key->text_len &&
			memcmp(entry->text, sql->text.data, (Size) key->text_len) == 0 &&
			memcmp(entry->types, sql->types, types_size) == 0)
			return entry;
	}
	return NULL;
}

static SPIPlanPtr
keep(const RestSql *sql, const Kept *key)
{
	SPIPlanPtr	plan = prepare(sql, key->options);
	Kept	   *entry = MemoryContextAlloc(TopMemoryContext, sizeof(Kept) + (Size) key->text_len);

	*entry = *key;
	memcpy(entry->types, sql->types, sizeof(Oid) * (Size) key->nparams);
	memcpy(entry->text, sql->text.data, (Size) key->text_len);
	SPI_keepplan(plan);
	entry->plan = plan;
	kept[nkept++] = entry;
	measure(entry);
	return plan;
}

SPIPlanPtr
RestPlan(const RestSql *sql)
{
	Kept		key = {.role = GetUserId(),.options = plan_options(),.nparams = sql->nparams,.text_len = sql->text.len,.used = ++lookups};
	Kept	   *found;

	began = RestClock();
	preparing = VecdbHttpServerTiming;
	if (sql->text.len > MAX_TEXT || sql->nparams > MAX_PARAMETERS || sql->has_literals || sql->exact)
		return prepare(sql, key.options);
	make_room();
	key.hash = hash_bytes((const unsigned char *) sql->text.data, sql->text.len);
	found = find(sql, &key);
	if (!found)
		return keep(sql, &key);
	found->used = key.used;
	return found->plan;
}

static void
at_start(QueryDesc *query, int flags)
{
	if (preparing)
		prepared_ms += RestMilliseconds(began, RestClock());
	preparing = false;
	if (next_start)
		next_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

void
RestPrepareBegin(void)
{
	preparing = false;
	prepared_ms = 0;
}

double
RestPrepared(void)
{
	return prepared_ms;
}

static void
forget_analyses(Datum arg, int cacheid, uint32 hashvalue)
{
	ResetPlanCache();
}

void
RestPlanInit(void)
{
	next_start = ExecutorStart_hook;
	ExecutorStart_hook = at_start;
	CacheRegisterSyscacheCallback(AUTHOID, forget_analyses, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_analyses, (Datum) 0);
	CacheRegisterSyscacheCallback(CASTSOURCETARGET, forget_analyses, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, forget_analyses, (Datum) 0);
}
