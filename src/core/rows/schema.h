/*
 * schema.h
 *	  A hash of a collection's columns: rows travel between two nodes only where it is the
 *	  same on both, for content is read as the columns are.
 *
 * The encoding is in src/core/net/WIRE.md.
 */
#ifndef CORE_ROWS_SCHEMA_H
#define CORE_ROWS_SCHEMA_H

#include "core/rows/row.h"

#define ROW_COLUMNS 1600
#define ROW_COLUMN_NAME 255
#define ROW_COLUMN_TYPE 512

typedef struct RowColumn
{
	RowBytes	name;			/* 1 to ROW_COLUMN_NAME bytes of UTF-8 */
	RowBytes	type;			/* 1 to ROW_COLUMN_TYPE: as users write it, qualified, with its modifier and collation */
	bool		not_null;
	uint8_t		key;			/* its place in the primary key, from 1 on; 0: it is not in it */
} RowColumn;

/* Of n columns in their order, dropped ones left out.  False: there are none, or something of them is too long. */
extern bool row_schema_hash(const CoreCrypto *crypto, const RowColumn *column, int n, uint8_t out[CORE_HASH_BYTES]);

/* Have both the same name, place in the key and type, but for the labels of an enum? */
extern bool row_column_alike(const RowColumn *a, const RowColumn *b);

/*
 * The first of ours that differs from theirs, as UTF-8 into out: column "lang" is text here
 * and varchar(9) there.  all: none of theirs is missing.  False: among those there is none,
 * and out is as it was.
 */
extern bool row_schema_difference(const RowColumn *ours, int n, const RowColumn *theirs, int m, bool all, char *out, size_t room);

#endif							/* CORE_ROWS_SCHEMA_H */
