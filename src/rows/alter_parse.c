/*
 * alter_parse.c
 *	  Changes of a shared table's columns: from text, and as text.
 *
 * The text comes from an owner of the table, or from an admin of its collection anywhere.
 * Nothing of it is evaluated but constants, by the input functions of PostgreSQL's types and
 * of vecdb's.
 */
#include "rows/alter.h"

#include "access/relation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "collection/collection.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "parser/parse_type.h"
#include "parser/parser.h"
#include "rows/row_value.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static void pg_attribute_noreturn()
not_allowed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("this change of a shared table is not possible"),
			 errdetail("One of these is: ADD COLUMN name type [DEFAULT value] [NOT NULL]; DROP COLUMN name; RENAME COLUMN name TO name; ALTER COLUMN name SET DEFAULT value; ALTER COLUMN name DROP DEFAULT. A value is a constant."),
			 errhint("For another, leave the collection on all members with vecdb.leave(), alter the table there, and share it anew.")));
}

/* ---------------------------------------------------------------------------
 * Types
 */

/* One of vecdb's, or of PostgreSQL's own, whatever is in a path; InvalidOid: there is none. */
static Oid
find_type(List *names, const RowVectorTypes *vectors)
{
	const char *schema = list_length(names) == 2 ? strVal(linitial(names)) : NULL;
	const char *name = list_length(names) <= 2 ? strVal(llast(names)) : "";
	Oid			type = strcmp(name, "vector") == 0 ? vectors->vector :
		strcmp(name, "halfvec") == 0 ? vectors->halfvec : strcmp(name, "sparsevec") == 0 ? vectors->sparsevec : InvalidOid;

	if (OidIsValid(type))
		return schema == NULL || strcmp(schema, CollectionHome()) == 0 ? type : InvalidOid;
	if (schema != NULL && strcmp(schema, "pg_catalog") != 0)
		return InvalidOid;
	return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name), ObjectIdGetDatum(PG_CATALOG_NAMESPACE));
}

static bool
is_shareable(Oid type, const RowVectorTypes *vectors)
{
	RowType		found = RowTypeOf(type, vectors);

	return found.form != ROW_FORM_NONE &&
		(RowIsVector(found) || (found.type < FirstGenbkiObjectId && get_typtype(found.type) != TYPTYPE_ENUM));
}

static void
take_type(TypeName *name, Oid *type, int32 *typmod)
{
	RowVectorTypes vectors = RowVectorTypesHere();
	TypeName   *resolved;

	if (name == NULL || name->setof || name->pct_type || list_length(name->names) < 1)
		not_allowed();
	*type = find_type(name->names, &vectors);
	if (OidIsValid(*type) && name->arrayBounds != NIL)
		*type = get_array_type(*type);
	if (!OidIsValid(*type) || !is_shareable(*type, &vectors))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("no column of type %s can be added to a shared table", TypeNameToString(name)),
				 errhint("Types of PostgreSQL that vecdb.check() accepts can be, and vector, halfvec and sparsevec.")));
	resolved = makeTypeNameFromOid(*type, -1);
	resolved->typmods = name->typmods;
	typenameTypeIdAndMod(NULL, resolved, type, typmod);
}

static void
append_type(StringInfo out, Oid type, int32 typmod)
{
	RowVectorTypes vectors = RowVectorTypesHere();
	RowType		found = RowTypeOf(type, &vectors);
	HeapTuple	tuple;
	Form_pg_type form;

	if (!RowIsVector(found))
	{
		appendStringInfoString(out, format_type_with_typemod(type, typmod));
		return;
	}
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(found.type));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", found.type);
	form = (Form_pg_type) GETSTRUCT(tuple);
	appendStringInfoString(out, NameStr(form->typname));
	if (typmod >= 0)
		appendStringInfo(out, "(%d)", typmod);
	ReleaseSysCache(tuple);
	if (found.array)
		appendStringInfoString(out, "[]");
}

/* ---------------------------------------------------------------------------
 * Values
 */

/* What a literal says; NULL: null. */
static char *
text_of(const A_Const *constant)
{
	if (constant->isnull)
		return NULL;
	switch (nodeTag(&constant->val))
	{
		case T_Integer:
			return psprintf("%d", intVal(&constant->val));
		case T_Float:
			return pstrdup(constant->val.fval.fval);
		case T_Boolean:
			return pstrdup(boolVal(&constant->val) ? "true" : "false");
		case T_String:
			return pstrdup(strVal(&constant->val));
		case T_BitString:
			return pstrdup(constant->val.bsval.bsval);
		default:
			not_allowed();
	}
}

/* A sign in front of a cast; that of a number alone is the parser's. */
static bool
is_minus(Node *node)
{
	A_Expr	   *sign = (A_Expr *) node;

	return IsA(node, A_Expr) && sign->kind == AEXPR_OP && sign->lexpr == NULL && list_length(sign->name) == 1 &&
		strcmp(strVal(linitial(sign->name)), "-") == 0;
}

/* The constant that a default is, as the column's type writes it; NULL: null, which is none. */
static char *
take_value(Node *node, Oid type, int32 typmod)
{
	bool		negative = false;
	char	   *text;
	Oid			function;
	Oid			param;
	bool		varlena;
	Datum		value;

	while (node != NULL && (IsA(node, TypeCast) || is_minus(node)))
	{
		TypeCast   *cast;
		Oid			of;
		int32		mod;

		if (is_minus(node))
		{
			if (negative)
				not_allowed();
			negative = true;
			node = ((A_Expr *) node)->rexpr;
			continue;
		}
		cast = (TypeCast *) node;
		take_type(cast->typeName, &of, &mod);
		if (of != type || (mod >= 0 && mod != typmod))
			not_allowed();
		node = cast->arg;
	}
	if (node == NULL || !IsA(node, A_Const))
		not_allowed();
	text = text_of((A_Const *) node);
	if (text == NULL)
		return NULL;
	if (negative && (strspn(text, "0123456789.eE+-") != strlen(text) || text[0] == '-'))
		not_allowed();
	if (negative)
		text = psprintf("-%s", text);
	getTypeInputInfo(type, &function, &param);
	value = OidInputFunctionCall(function, text, param, typmod);
	getTypeOutputInfo(type, &function, &varlena);
	return OidOutputFunctionCall(function, value);
}

/* ---------------------------------------------------------------------------
 * Columns
 */

/* A column that stays as it is named: of the key, or of every collection. */
static void
check_free(Relation rel, const char *column)
{
	static const char *const own[] = {"id", "data", "metadata", "created_at", "updated_at"};
	AttrNumber	number = get_attnum(RelationGetRelid(rel), column);
	Bitmapset  *key = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	bool		taken = bms_is_member(number - FirstLowInvalidHeapAttributeNumber, key);
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column, RelationGetRelationName(rel))));
	/* each node's own, if it has one */
	if (TupleDescAttr(RelationGetDescr(rel), number - 1)->attgenerated != '\0')
		not_allowed();
	for (int i = 0; i < lengthof(own) && schema != NULL && strcmp(schema, COLLECTION_SCHEMA) == 0; i++)
		taken |= strcmp(column, own[i]) == 0;
	if (taken)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of shared table \"%s\" can neither be dropped nor renamed", column, RelationGetRelationName(rel)),
				 errdetail("Columns of the primary key, and those that every collection has, stay.")));
}

static void
take_added(TableChange *self, const ColumnDef *column)
{
	Node	   *value = NULL;
	ListCell   *cell;

	if (column->collClause != NULL || column->identity != '\0' || column->generated != '\0' || column->compression != NULL ||
		column->fdwoptions != NIL || column->raw_default != NULL)
		not_allowed();
	self->kind = CHANGE_ADD_COLUMN;
	self->column = column->colname;
	take_type(column->typeName, &self->type, &self->typmod);
	foreach(cell, column->constraints)
	{
		Constraint *constraint = lfirst_node(Constraint, cell);

		if (constraint->contype == CONSTR_DEFAULT && value == NULL)
			value = constraint->raw_expr;
		else if (constraint->contype == CONSTR_NOTNULL && constraint->conname == NULL)
			self->not_null = true;
		else if (constraint->contype != CONSTR_NULL || constraint->conname != NULL)
			not_allowed();
	}
	self->value = value == NULL ? NULL : take_value(value, self->type, self->typmod);
	if (self->not_null && self->value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a column that is NOT NULL can be added to a shared table with a default only"),
				 errdetail("Its rows have no value for it.")));
}

static void
take_default(TableChange *self, Relation rel, const AlterTableCmd *command, bool *absent)
{
	AttrNumber	number = get_attnum(RelationGetRelid(rel), command->name);
	Form_pg_attribute attribute;

	self->kind = CHANGE_DEFAULT;
	self->column = command->name;
	*absent = number <= 0;
	if (*absent)
		return;
	attribute = TupleDescAttr(RelationGetDescr(rel), number - 1);
	if (attribute->attgenerated != '\0' || attribute->attidentity != '\0')
		not_allowed();
	self->type = attribute->atttypid;
	self->typmod = attribute->atttypmod;
	self->value = command->def == NULL ? NULL : take_value(command->def, self->type, self->typmod);
}

static void
take_command(TableChange *self, Relation rel, const AlterTableCmd *command, bool *absent)
{
	if (command->missing_ok || command->behavior != DROP_RESTRICT)
		not_allowed();
	switch (command->subtype)
	{
		case AT_AddColumn:
			take_added(self, castNode(ColumnDef, command->def));
			break;
		case AT_DropColumn:
			self->kind = CHANGE_DROP_COLUMN;
			self->column = command->name;
			check_free(rel, self->column);
			break;
		case AT_ColumnDefault:
			take_default(self, rel, command, absent);
			break;
		default:
			not_allowed();
	}
}

/* ---------------------------------------------------------------------------
 * The change
 */

static char *
write_change(const TableChange *self)
{
	StringInfoData out;

	initStringInfo(&out);
	switch (self->kind)
	{
		case CHANGE_ADD_COLUMN:
			appendStringInfo(&out, "ADD COLUMN %s ", quote_identifier(self->column));
			append_type(&out, self->type, self->typmod);
			if (self->value != NULL)
				appendStringInfo(&out, " DEFAULT %s", quote_literal_cstr(self->value));
			if (self->not_null)
				appendStringInfoString(&out, " NOT NULL");
			break;
		case CHANGE_DROP_COLUMN:
			appendStringInfo(&out, "DROP COLUMN %s", quote_identifier(self->column));
			break;
		case CHANGE_RENAME_COLUMN:
			appendStringInfo(&out, "RENAME COLUMN %s TO ", quote_identifier(self->column));
			appendStringInfoString(&out, quote_identifier(self->new_name));
			break;
		case CHANGE_DEFAULT:
			appendStringInfo(&out, "ALTER COLUMN %s ", quote_identifier(self->column));
			if (self->value != NULL)
				appendStringInfo(&out, "SET DEFAULT %s", quote_literal_cstr(self->value));
			else
				appendStringInfoString(&out, "DROP DEFAULT");
			break;
	}
	return out.data;
}

/* Of the table t, which stands for the one that is meant. */
static bool
is_of_t(const RangeVar *name)
{
	return name != NULL && name->catalogname == NULL && name->schemaname == NULL && strcmp(name->relname, "t") == 0;
}

/* An error in the text points into that, and not into the statement that brought it. */
static void
point_into(void *text)
{
	int			position = geterrposition();

	if (position <= 0)
		return;
	errposition(0);
	internalerrposition(position);
	internalerrquery(text);
}

static Node *
parse(char *text)
{
	ErrorContextCallback callback = {.previous = error_context_stack, .callback = point_into, .arg = text};
	List	   *statements;

	error_context_stack = &callback;
	statements = raw_parser(text, RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;
	return list_length(statements) == 1 ? linitial_node(RawStmt, statements)->stmt : NULL;
}

TableChange *
TableChangeParse(Relation rel, const char *text, bool *absent)
{
	Node	   *node = parse(psprintf("ALTER TABLE t %s", text));
	TableChange *self = palloc0(sizeof(TableChange));

	*absent = false;
	if (node != NULL && IsA(node, RenameStmt))
	{
		RenameStmt *rename = (RenameStmt *) node;

		if (rename->renameType != OBJECT_COLUMN || rename->relationType != OBJECT_TABLE || !is_of_t(rename->relation) ||
			rename->missing_ok)
			not_allowed();
		self->kind = CHANGE_RENAME_COLUMN;
		self->column = rename->subname;
		self->new_name = rename->newname;
		check_free(rel, self->column);
	}
	else if (node != NULL && IsA(node, AlterTableStmt))
	{
		AlterTableStmt *alter = (AlterTableStmt *) node;

		if (list_length(alter->cmds) != 1 || !is_of_t(alter->relation) || alter->objtype != OBJECT_TABLE || alter->missing_ok)
			not_allowed();
		take_command(self, rel, linitial_node(AlterTableCmd, alter->cmds), absent);
	}
	else
		not_allowed();
	if (!*absent)
		self->text = write_change(self);
	return self;
}
