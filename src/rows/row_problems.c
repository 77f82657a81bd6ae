/*
 * row_problems.c
 *	  Which tables can be shared, and what is wrong with one that cannot.
 *
 * What is refused is what would keep copies from becoming equal: a row that one node
 * accepts must be one that every other accepts, whatever else is there and in whatever
 * order rows come.  So the primary key is all that may be unique, nothing refers to rows
 * of other tables, and no two nodes make the same key by counting.
 *
 * Bytes decide whether two keys are equal.  That holds for text under every collation
 * that is deterministic, also the database's, which differs from node to node; the order
 * of a table's own index does differ then, and nothing here goes by it: keys are only
 * ever ordered by their bytes, as the version table has them.
 */
#include "rows/row_shape.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "core/rows/content.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "rewrite/rewriteHandler.h"
#include "rows/capture.h"
#include "rows/row_value.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

typedef struct Finding
{
	Relation	rel;
	const char *table;
	List	   *problems;
} Finding;

/* Takes texts that are allocated. */
static void
add(Finding *self, char *what, char *hint)
{
	RowProblem *problem = palloc(sizeof(RowProblem));

	*problem = (RowProblem) {.what = what, .hint = hint};
	self->problems = lappend(self->problems, problem);
}

static const char *
column_name(Finding *self, AttrNumber column)
{
	return NameStr(TupleDescAttr(RelationGetDescr(self->rel), column - 1)->attname);
}

/* ---------------------------------------------------------------------
 * The table
 * --------------------------------------------------------------------- */

/* False: it is no table at all. */
static bool
check_kind(Finding *self)
{
	Form_pg_class form = self->rel->rd_rel;

	if (form->relkind == RELKIND_PARTITIONED_TABLE)
		add(self, psprintf("table \"%s\" is partitioned", self->table),
			pstrdup("Put its rows into one ordinary table."));
	else if (form->relkind != RELKIND_RELATION)
		add(self, psprintf("\"%s\" is not an ordinary table", self->table),
			pstrdup("Views, foreign tables and the like cannot be shared; a table that has their rows can."));
	else
		return true;
	return false;
}

static void
check_table(Finding *self)
{
	Form_pg_class form = self->rel->rd_rel;
	Oid			table = RelationGetRelid(self->rel);
	char	   *schema = get_namespace_name(form->relnamespace);

	if (form->relpersistence == RELPERSISTENCE_TEMP)
		add(self, psprintf("table \"%s\" is temporary", self->table),
			pstrdup("Only a permanent table can be shared."));
	if (form->relpersistence == RELPERSISTENCE_UNLOGGED)
		add(self, psprintf("table \"%s\" is unlogged", self->table),
			psprintf("It becomes an ordinary one by ALTER TABLE %s SET LOGGED.", quote_identifier(self->table)));
	if (form->relam != HEAP_TABLE_AM_OID)
		add(self, psprintf("table \"%s\" is not of the access method heap", self->table),
			pstrdup("Create it USING heap."));
	if (IsCatalogRelation(self->rel) || IsToastRelation(self->rel) ||
		(schema != NULL && (strcmp(schema, "information_schema") == 0 || strcmp(schema, "vecdb") == 0)))
		add(self, psprintf("table \"%s\" belongs to the system", self->table),
			pstrdup("Share tables of your own schemas."));
	if (form->relispartition)
		add(self, psprintf("table \"%s\" is a partition", self->table),
			pstrdup("Detach it with ALTER TABLE ... DETACH PARTITION."));
	else if (has_superclass(table))
		add(self, psprintf("table \"%s\" inherits from another table", self->table),
			pstrdup("End that with ALTER TABLE ... NO INHERIT."));
	if (find_inheritance_children(table, NoLock) != NIL)
		add(self, psprintf("other tables inherit from table \"%s\"", self->table),
			pstrdup("End that with ALTER TABLE ... NO INHERIT for each of them."));
	if (self->rel->rd_rules != NULL)
		add(self, psprintf("table \"%s\" has rules", self->table),
			pstrdup("Do with triggers what they do, and drop them."));
}

/* Foreign keys are there as the triggers that watch over them. */
static void
check_foreign_keys(Finding *self)
{
	TriggerDesc *triggers = self->rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		int			side = OidIsValid(trigger->tgconstraint) ? RI_FKey_trigger_type(trigger->tgfoid) : RI_TRIGGER_NONE;
		char	   *name;

		/* a constraint has two on a table, of which one is for updates */
		if (side == RI_TRIGGER_NONE || TRIGGER_FOR_UPDATE(trigger->tgtype))
			continue;
		name = get_constraint_name(trigger->tgconstraint);
		if (side == RI_TRIGGER_FK)
			add(self, psprintf("table \"%s\" has the foreign key \"%s\"", self->table, name),
				pstrdup("A row of another node may come before the row that it refers to. Drop the constraint; the column stays."));
		else
			add(self, psprintf("the foreign key \"%s\" of table \"%s\" refers to table \"%s\"",
							   name, get_rel_name(trigger->tgconstrrelid), self->table),
				pstrdup("Another node may delete a row to which rows here refer. Drop the constraint; the column stays."));
	}
}

/* ---------------------------------------------------------------------
 * Its keys
 * --------------------------------------------------------------------- */

static bool
counts(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, NextValueExpr) || (IsA(node, FuncExpr) && ((FuncExpr *) node)->funcid == F_NEXTVAL))
		return true;
	return expression_tree_walker(node, counts, context);
}

static bool
is_key_type(Oid type)
{
	return type == TEXTOID || type == VARCHAROID || type == UUIDOID || type == BYTEAOID ||
		type == INT2OID || type == INT4OID || type == INT8OID;
}

static void
check_key_column(Finding *self, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(self->rel), column - 1);
	const char *name = NameStr(attribute->attname);

	if (!is_key_type(attribute->atttypid))
		add(self, psprintf("column \"%s\" of the primary key of table \"%s\" is of type %s", name, self->table, format_type_be(attribute->atttypid)),
			pstrdup("Types of a key are text, varchar, uuid, smallint, integer, bigint and bytea: of these equal values have equal bytes."));
	else if (OidIsValid(attribute->attcollation) && !get_collation_isdeterministic(attribute->attcollation))
		add(self, psprintf("column \"%s\" of the primary key of table \"%s\" has a collation that is not deterministic", name, self->table),
			pstrdup("Values that it calls equal have different bytes. Give the column another collation, such as \"C\"."));
	if (attribute->attgenerated != '\0')
		add(self, psprintf("column \"%s\" of the primary key of table \"%s\" is generated", name, self->table),
			pstrdup("Only columns that are written travel. ALTER TABLE ... ALTER COLUMN ... DROP EXPRESSION makes it one."));
	else if (attribute->attidentity != '\0' || counts(build_column_default(self->rel, column), NULL))
		add(self, psprintf("column \"%s\" of the primary key of table \"%s\" takes its values from a sequence", name, self->table),
			pstrdup("Two nodes would give the same number to different rows. Use uuid with DEFAULT gen_random_uuid()."));
}

static void
check_primary_key(Finding *self, Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisvalid || !form->indimmediate || form->indisexclusion)
	{
		add(self, psprintf("the primary key of table \"%s\" is %s", self->table,
						   !form->indisvalid ? "not valid" : form->indisexclusion ? "WITHOUT OVERLAPS" : "deferrable"),
			pstrdup("Drop it, and add it as an ordinary PRIMARY KEY."));
		return;
	}
	if (form->indnkeyatts > ROW_KEY_COLUMNS)
		add(self, psprintf("the primary key of table \"%s\" has %d columns", self->table, form->indnkeyatts),
			psprintf("It may have %d.", ROW_KEY_COLUMNS));
	for (int i = 0; i < form->indnkeyatts; i++)
		check_key_column(self, form->indkey.values[i]);
}

static void
check_indexes(Finding *self)
{
	List	   *indexes = RelationGetIndexList(self->rel);
	bool		primary = false;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (index->rd_index->indisprimary)
		{
			primary = true;
			check_primary_key(self, index);
		}
		else if (index->rd_index->indisexclusion)
			add(self, psprintf("table \"%s\" has the exclusion constraint \"%s\"", self->table, RelationGetRelationName(index)),
				pstrdup("Rows that two nodes accept may exclude each other. Drop the constraint."));
		else if (index->rd_index->indisunique)
			add(self, psprintf("table \"%s\" has the unique index \"%s\" beside its primary key", self->table, RelationGetRelationName(index)),
				pstrdup("Two nodes may each accept a row with the same value. Drop it; an index that is not unique can stay."));
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	if (!primary)
		add(self, psprintf("table \"%s\" has no primary key", self->table),
			pstrdup("Add one, best of type uuid with DEFAULT gen_random_uuid(), or of text."));
}

/* ---------------------------------------------------------------------
 * Its columns
 * --------------------------------------------------------------------- */

static void
check_columns(Finding *self)
{
	TupleDesc	desc = RelationGetDescr(self->rel);
	RowVectorTypes vectors = RowVectorTypesHere();
	int			encoding = GetDatabaseEncoding();
	bool		utf8 = encoding == PG_UTF8 || encoding == PG_SQL_ASCII;

	if (!utf8 && (!OidIsValid(FindDefaultConversionProc(encoding, PG_UTF8)) || !OidIsValid(FindDefaultConversionProc(PG_UTF8, encoding))))
		add(self, psprintf("encoding %s of this database cannot be converted to UTF8 and back", GetDatabaseEncodingName()),
			pstrdup("Put the table into a database of encoding UTF8."));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		RowType		type;

		if (attribute->attisdropped || attribute->attgenerated != '\0')
			continue;
		type = RowTypeOf(attribute->atttypid, &vectors);
		if (type.form == ROW_FORM_NONE)
			add(self, psprintf("column \"%s\" of table \"%s\" is of type %s", column_name(self, attribute->attnum), self->table,
							   format_type_be(attribute->atttypid)),
				pstrdup(get_typtype(attribute->atttypid) == TYPTYPE_DOMAIN
						? "Use the type below the domain, and a CHECK constraint of the table."
						: "What names things of this server alone, composite types, and types of extensions but vector, halfvec and sparsevec do not travel. Store it as text, say."));
		else if (type.type == TSVECTOROID && !utf8)
			add(self, psprintf("column \"%s\" of table \"%s\" is of type tsvector, in a database of encoding %s",
							   column_name(self, attribute->attnum), self->table, GetDatabaseEncodingName()),
				pstrdup("Its order differs from that in UTF8. Make it a generated column, which each node computes."));
	}
}

List *
RowShapeProblems(Relation rel)
{
	Finding		self = {.rel = rel, .table = RelationGetRelationName(rel)};

	if (!check_kind(&self))
		return self.problems;
	check_table(&self);
	check_indexes(&self);
	check_columns(&self);
	check_foreign_keys(&self);
	return self.problems;
}

/* vecdb.check(table): a row for each problem.  Who owns the table may ask. */
PG_FUNCTION_INFO_V1(vecdb_check);
Datum
vecdb_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			table = PG_GETARG_OID(0);
	char		kind = get_rel_relkind(table);
	Relation	rel;
	ListCell   *cell;

	/* before it is locked; rights may have changed while we waited */
	if (kind != '\0' && !VecdbOwnsRelation(table))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(kind), get_rel_name(table));
	rel = relation_open(table, AccessShareLock);
	if (!VecdbOwnsRelation(table))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(kind), RelationGetRelationName(rel));
	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, list_concat(RowShapeProblems(rel), CaptureProblems(rel)))
	{
		RowProblem *problem = lfirst(cell);
		Datum		values[] = {CStringGetTextDatum(problem->what), CStringGetTextDatum(problem->hint)};
		bool		nulls[] = {false, false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	relation_close(rel, AccessShareLock);
	return (Datum) 0;
}
