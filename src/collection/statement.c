/*
 * statement.c
 *	  Prepared statements that are kept for the session.
 *
 * PostgreSQL's plan cache keeps their plans right: it plans again when something
 * changes that a plan depends on, which with row-level security includes the role
 * and row_security.  It does not know that the text itself was made for a table of
 * certain dimensions, metric and storage under a certain name.  So a statement is
 * dropped with the facts that it was made from.
 *
 * The list begins with the statement that was used last, and when there are too many
 * the last of the list is freed.  A statement that is running (a policy may call a
 * function that searches) is not freed before it is done.
 */
#include "collection/collection.h"

#include "access/relation.h"
#include "lib/ilist.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define MAX_STATEMENTS 64

struct Statement
{
	dlist_node	node;
	Oid			relid;
	StatementKind kind;
	int			limit;
	char	   *filter;			/* SQL, or NULL */
	SPIPlanPtr	plan;
	BlockNumber blocks;			/* size of the table that the plan was made for */
	int			users;			/* how often it is running */
	bool		dropped;
};

static dlist_head statements = DLIST_STATIC_INIT(statements);
static int	nstatements = 0;
static bool any_dropped = false;

static void
free_statement(Statement *self)
{
	dlist_delete(&self->node);
	nstatements--;
	SPI_freeplan(self->plan);
	if (self->filter != NULL)
		pfree(self->filter);
	pfree(self);
}

/* Called back by the relation cache, so it only marks. */
void
StatementForget(Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &statements)
	{
		Statement  *self = dlist_container(Statement, node, iter.cur);

		if (!OidIsValid(relid) || self->relid == relid)
			self->dropped = any_dropped = true;
	}
}

static void
free_dropped(void)
{
	dlist_mutable_iter iter;

	any_dropped = false;
	dlist_foreach_modify(iter, &statements)
	{
		Statement  *self = dlist_container(Statement, node, iter.cur);

		if (self->dropped && self->users == 0)
			free_statement(self);
		else if (self->dropped)
			any_dropped = true;
	}
}

/* Size of a table that the caller has locked. */
static BlockNumber
table_blocks(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	BlockNumber blocks = RELKIND_HAS_STORAGE(rel->rd_rel->relkind) ? RelationGetNumberOfBlocks(rel) : 0;

	relation_close(rel, NoLock);
	return blocks;
}

/*
 * Has the table's size changed so much that the plan should be made again?  A plan
 * for an almost empty table reads all of it, which must not go on when the table
 * grows; new statistics, which would bring a new plan, may come late or never.
 */
static bool
outgrown(const Statement *self)
{
	BlockNumber blocks = table_blocks(self->relid);

	return blocks > 10 + 2 * (uint64) self->blocks || self->blocks > 10 + 2 * (uint64) blocks;
}

Statement *
StatementFind(const Collection *collection, StatementKind kind, int limit, const char *filter)
{
	dlist_iter	iter;

	if (any_dropped)
		free_dropped();
	dlist_foreach(iter, &statements)
	{
		Statement  *self = dlist_container(Statement, node, iter.cur);

		if (self->relid != collection->relid || self->kind != kind || self->limit != limit || self->dropped ||
			(self->filter == NULL) != (filter == NULL) || (filter != NULL && strcmp(self->filter, filter) != 0))
			continue;
		if (kind == STATEMENT_SEARCH && filter == NULL && outgrown(self))
		{
			self->dropped = true;
			free_dropped();
			return NULL;
		}
		dlist_move_head(&statements, &self->node);
		return self;
	}
	return NULL;
}

Statement *
StatementPrepare(const Collection *collection, StatementKind kind, int limit, const char *filter,
				 const char *text, int nargs, Oid *types, int options)
{
	Statement  *self;
	SPIPlanPtr	plan;
	Oid			relid = collection->relid;
	char	   *kept_filter;

	plan = SPI_prepare_cursor(text, nargs, types, options);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", text, SPI_result_code_string(SPI_result));

	if (nstatements >= MAX_STATEMENTS)
	{
		Statement  *last = dlist_tail_element(Statement, node, &statements);

		if (last->users == 0)
			free_statement(last);
	}

	/* What can fail comes before the plan is made permanent. */
	self = MemoryContextAllocZero(CacheMemoryContext, sizeof(Statement));
	kept_filter = filter != NULL ? MemoryContextStrdup(CacheMemoryContext, filter) : NULL;
	self->relid = relid;
	self->kind = kind;
	self->limit = limit;
	self->filter = kept_filter;
	self->blocks = table_blocks(relid);
	SPI_keepplan(plan);
	self->plan = plan;
	dlist_push_head(&statements, &self->node);
	nstatements++;
	return self;
}

int
StatementExecute(Statement *self, Datum *values, bool read_only, int64 count)
{
	volatile int result = 0;

	self->users++;
	PG_TRY();
	{
		result = SPI_execute_plan(self->plan, values, NULL, read_only, count);
	}
	PG_FINALLY();
	{
		self->users--;
	}
	PG_END_TRY();
	return result;
}
