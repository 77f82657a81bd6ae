/*
 * row_shape.h
 *	  What a shared table is to replication: its columns, keys and rows as bytes that
 *	  are the same on every node.
 *
 * Two keys are equal where their bytes are: types and collations of a primary key are
 * such that its index says the same.  Its order is another matter: bytes have that of
 * integers, uuids, bytea and text of COLLATE "C", not that of other collations.  So keys
 * are ordered by their bytes only, as version tables are, and nobody goes through a table
 * by its own index.
 *
 * Content is that of all columns but generated ones, in their order, without the nulls
 * behind the last value.  The bytes of both
 * are described in core/rows/content.h and row_value.h; text is in UTF-8, whatever the
 * encodings of database and client.
 *
 * hash is the first 16 bytes of SHA-256 of the whole content, vector_hash that of the
 * content's vectors alone (values of vector, halfvec and sparsevec, with their lengths, and
 * without the nulls behind the last).
 */
#ifndef VECDB_ROW_SHAPE_H
#define VECDB_ROW_SHAPE_H

#include "pgcompat.h"

#include "core/rows/row.h"
#include "core/rows/schema.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

typedef struct RowShape RowShape;

/* Why a table cannot be shared, or has escaped: what an error says and the way out. */
typedef struct RowProblem
{
	char	   *what;
	char	   *hint;
} RowProblem;

/* All of them, in the current memory context; NIL: none.  rel is open with a lock. */
extern PGDLLEXPORT List *RowShapeProblems(Relation rel);

/* In the current memory context; an error with the first problem where there is one. */
extern PGDLLEXPORT RowShape *RowShapeOf(Relation rel);

/* SHA-256 alone: enough for hashes, not for signatures. */
extern PGDLLEXPORT const CoreCrypto *RowShapeCrypto(void);

extern PGDLLEXPORT const uint8 *RowShapeSchema(const RowShape *self);	/* 32 bytes, see core/rows/schema.h */
extern PGDLLEXPORT Oid RowShapeKeyIndex(const RowShape *self);
extern PGDLLEXPORT int RowShapeKeyColumns(const RowShape *self);
extern AttrNumber RowShapeKeyColumn(const RowShape *self, int i);	/* number in the table of the key's column i, from 0 on */
extern PGDLLEXPORT bool RowShapeHasVectors(const RowShape *self);

/* Those of content as the schema's hash has them, in the current memory context; desc: of the table. */
extern PGDLLEXPORT RowColumn *RowShapeNames(const RowShape *self, TupleDesc desc);

/* How many columns content has, and which of them is a column of the table, from 0 on; -1: it is not in it. */
extern PGDLLEXPORT int RowShapeColumns(const RowShape *self);
extern int	RowShapeColumn(const RowShape *self, AttrNumber number);

/* Append a value of one of them, with its length. */
extern void RowShapeValue(RowShape *self, int column, Datum value, StringInfo out);

/* The key of a row, which has no nulls; an error where it is empty or longer than ROW_KEY_MAX, or text is not of UTF-8. */
extern PGDLLEXPORT size_t RowShapeKey(RowShape *self, TupleTableSlot *row, uint8 key[ROW_KEY_MAX]);

/*
 * The values of a key, in the order of the key's columns, in the current memory context.
 * False: these bytes are none, or of text that this database's encoding does not have.
 */
extern PGDLLEXPORT bool RowShapeKeyValues(RowShape *self, RowBytes key, Datum *values);

/* Append the content of a row. */
extern PGDLLEXPORT void RowShapeContent(RowShape *self, TupleTableSlot *row, bool thin, StringInfo out);

/* How long its content is, too. */
extern PGDLLEXPORT size_t RowShapeHashes(RowShape *self, TupleTableSlot *row, uint8 hash[ROW_HASH], uint8 vector_hash[ROW_HASH]);

/*
 * The hashes that content gives, with the vectors of `here` where it is thin (NULL: there
 * is none).  False: it is no content of these columns.
 */
extern PGDLLEXPORT bool RowShapeContentHashes(RowShape *self, RowBytes content, TupleTableSlot *here,
											  uint8 hash[ROW_HASH], uint8 vector_hash[ROW_HASH]);

/* Append content that is whole, from one that may be thin.  False as above. */
extern PGDLLEXPORT bool RowShapeComplete(RowShape *self, RowBytes content, TupleTableSlot *here, StringInfo out);

/*
 * Fill a slot of the table's with the values of content, and with the vectors of `here`
 * where it is thin; generated columns are null.  The slot owns its values.  An error of the
 * type's input function, where it is no content of these columns, or where what was filled
 * in has other content.  key: what its key has to be.  here and out are two slots.
 */
extern PGDLLEXPORT void RowShapeFill(RowShape *self, RowBytes content, RowBytes key, TupleTableSlot *here, TupleTableSlot *out);

#endif							/* VECDB_ROW_SHAPE_H */
