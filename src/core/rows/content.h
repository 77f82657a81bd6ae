/*
 * content.h
 *	  The bytes of keys and of content, as far as they can be read without knowing a
 *	  type: the frame around values, and the parts of a key.
 *
 *	content	= values:u16 *value			value = length:i32 bytes; -1: null, -2: a vector that is left out
 *	key		= *part
 *	part	= big-endian integer with the sign bit turned | 16 bytes of a uuid |
 *			  bytes: the last one's as they are, of others each 0 as 0 255, ended by 0 0
 *
 * Nulls behind the last value of a row are not in its content: it is the same after a
 * column was added that is null in all rows.
 *
 * Integers are little-endian where nothing else is said.  Bytes that come from others are
 * read here: each length is checked before it is used, and one value has one form.
 */
#ifndef CORE_ROWS_CONTENT_H
#define CORE_ROWS_CONTENT_H

#include "core/bytes.h"
#include "core/rows/row.h"

#define ROW_VALUE_NULL (-1)
#define ROW_VALUE_LEFT_OUT (-2)

typedef struct RowValue
{
	int32_t		length;			/* of bytes, or one of those above */
	RowBytes	bytes;
	RowBytes	whole;			/* with its length in front: what hashes are of; empty where content ends before it */
} RowValue;

/* Reads the values of content in their order. */
typedef struct RowContentReader
{
	ByteReader	bytes;
	int			left;			/* values that were not read yet, and ... */
	int			missing;		/* ... columns behind them, which are null */
} RowContentReader;

/* False: it is of more columns, or too short to be content. */
extern bool row_content_begin(RowContentReader *self, RowBytes content, int columns);

/* vector: this column's value may be left out.  False: there is no further value, or it is malformed. */
extern bool row_content_next(RowContentReader *self, bool vector, RowValue *out);

/* Was every value read, and nothing stands behind the last? */
extern bool row_content_ended(const RowContentReader *self);

#define ROW_KEY_COLUMNS 8

/* Of a column in the key; its bytes where they are of a fixed number. */
typedef enum RowKeyKind
{
	ROW_KEY_BYTES = 0,
	ROW_KEY_INT2 = 2,
	ROW_KEY_INT4 = 4,
	ROW_KEY_INT8 = 8,
	ROW_KEY_UUID = 16
} RowKeyKind;

typedef struct RowKeyPart
{
	int64_t		number;			/* of an integer */
	RowBytes	bytes;			/* of a uuid or of bytes */
} RowKeyPart;

/* The key of n parts, 1 to ROW_KEY_COLUMNS.  False: it would be longer than ROW_KEY_MAX; an integer of a part fits its kind. */
extern bool row_key_encode(const RowKeyKind *kind, const RowKeyPart *part, int n, uint8_t out[ROW_KEY_MAX], size_t *len);

/*
 * The parts of a key, whose bytes are those of the key or stand in room.  False: it is no
 * key of these kinds.  A key that is read gives the same bytes when it is written.
 */
extern bool row_key_decode(const RowKeyKind *kind, int n, RowBytes key, RowKeyPart *part, uint8_t room[ROW_KEY_MAX]);

#endif							/* CORE_ROWS_CONTENT_H */
