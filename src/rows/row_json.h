/*
 * row_json.h
 *	  Rows and keys of shared tables as jsonb, for whom their table belongs to.
 *
 * Types of shared tables are PostgreSQL's, vecdb's and enums (row_value.h), so no code of a
 * user's is run: a cast to json that an enum's owner has made is not looked for.
 */
#ifndef VECDB_ROW_JSON_H
#define VECDB_ROW_JSON_H

#include "pgcompat.h"

#include "rows/row_shape.h"
#include "utils/jsonb.h"

/*
 * Is this table captured, and the current user's?  Nobody else sees what is kept of it:
 * policies and rights of columns do not hold for copies.
 */
extern bool RowJsonMaySee(Oid table);

/*
 * Each takes a table that the current user may see and waits for its lock.  False: what was
 * asked for is not there, or cannot be shown in this database: a character that its encoding
 * lacks, a value of which jsonb has none.  Not in a parallel query.
 */

/* A row from its content. */
extern bool RowJsonContent(Oid table, RowBytes key, RowBytes content, Datum *out);

/* The row of a key that stands in the table, in the active snapshot. */
extern bool RowJsonCurrent(Oid table, RowBytes key, Datum *out);

/* An object of the key's columns, or where that cannot be shown a string of its bytes: \x and digits. */
extern Datum RowJsonKey(Oid table, RowBytes key);

/* The bytes of such a key, into key[ROW_KEY_MAX]; an error where it is none.  rel is open. */
extern size_t RowJsonToKey(Relation rel, Jsonb *json, uint8 *key);

#endif							/* VECDB_ROW_JSON_H */
