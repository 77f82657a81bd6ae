/*
 * alter.h
 *	  Changes of the columns of a shared table: vecdb.alter_collection() says them, and
 *	  each member applies them.
 *
 *	  change = ADD COLUMN name type [DEFAULT value] [NOT NULL]
 *			 | DROP COLUMN name
 *			 | RENAME COLUMN name TO name
 *			 | ALTER COLUMN name SET DEFAULT value
 *			 | ALTER COLUMN name DROP DEFAULT
 *
 * A text that is signed is in this form, with names quoted where they have to be, types as
 * format_type() writes them where the search_path is pg_catalog (vecdb's own types without
 * a schema), values as quote_literal() quotes what the type's output function gives, and in
 * UTF-8.  It is read by PostgreSQL's parser, and is refused where it is not what it would
 * be written as: so one change has one text, which no setting and no search_path changes,
 * and whose values are constants.
 */
#ifndef VECDB_ALTER_H
#define VECDB_ALTER_H

#include "pgcompat.h"

#include "core/rows/row.h"
#include "utils/relcache.h"

typedef enum TableChangeKind
{
	CHANGE_ADD_COLUMN,
	CHANGE_DROP_COLUMN,
	CHANGE_RENAME_COLUMN,
	CHANGE_DEFAULT
} TableChangeKind;

typedef struct TableChange
{
	TableChangeKind kind;
	char	   *column;
	char	   *new_name;		/* RENAME */
	Oid			type;			/* of the column */
	int32		typmod;
	bool		not_null;		/* ADD */
	char	   *value;			/* what the type's output function gives; NULL: no default */
	char	   *text;			/* the change as it is signed, in the database's encoding */
} TableChange;

/* ---- alter_parse.c ---- */

/*
 * Read a change of a table, as its owner within AsOwnerBegin(), in the current memory
 * context.  An error where it is none, or may not be made.  *absent: it is a default of a
 * column that the table has not; then the rest is not filled in.
 */
extern TableChange *TableChangeParse(Relation rel, const char *text, bool *absent);

/* ---- alter_table.c ---- */

/*
 * What a change would be: its text in UTF-8, and the hashes of the columns before and after
 * it.  The table is locked, changed, and rolled back.
 */
typedef struct TableChangePlan
{
	RowBytes	text;
	uint8		before[CORE_HASH_BYTES];
	uint8		after[CORE_HASH_BYTES];
} TableChangePlan;

extern void TableChangeTry(Oid table, const char *text, TableChangePlan *out);

#define SIGNED_CHANGE_HASH 16
#define SIGNED_CHANGE_TEXT 1024

/* A change that was signed, for who applies it. */
typedef struct SignedChange
{
	uint8		hash[SIGNED_CHANGE_HASH];	/* its name */
	uint8		before[CORE_HASH_BYTES];
	uint8		after[CORE_HASH_BYTES];
	bool		adopt;			/* it is to be noted as applied, and nothing else */
	uint16		len;
	char		text[SIGNED_CHANGE_TEXT];	/* UTF-8, not ended */
} SignedChange;

/*
 * Apply it, in a transaction with a snapshot, and note that: which of those that were
 * applied here it is, from 1 on.  0: others use the table.  An error where it cannot be.
 */
extern PGDLLEXPORT uint32 TableChangeApply(Oid table, const uint8 root[32], const SignedChange *change);

/* ---- alter_rows.c ---- */

/* What becomes of rows' contents: column `dropped` goes, or `added` comes with a value; -1: none. */
typedef struct ContentChange
{
	int			columns;		/* before it */
	int			dropped;
	int			added;
	RowBytes	value;			/* with its length */
} ContentChange;

struct RowShape;

/* All versions of a table get the hashes of their rows; what is set aside, and conflicts, the content that they have now. */
extern void TableChangeRows(Relation rel, struct RowShape *before, struct RowShape *after, const ContentChange *change);

#endif							/* VECDB_ALTER_H */
