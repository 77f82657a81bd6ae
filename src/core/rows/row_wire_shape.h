/*
 * row_wire_shape.h
 *	  What the reader and the writer of messages with rows must agree on.
 */
#ifndef CORE_ROWS_ROW_WIRE_SHAPE_H
#define CORE_ROWS_ROW_WIRE_SHAPE_H

#include "core/net/wire_item.h"
#include "core/rows/row_wire.h"

#define HAS(tag) (1u << ROW_TAG_##tag)
#define REPEATS (HAS(INCARNATION) | HAS(KEY) | HAS(RANGE) | HAS(SUM) | HAS(ENTRY) | HAS(ROW) | HAS(COLUMN))

/* of an entry or row */
#define FLAG_LIVE 1
#define FLAG_THIN 2
#define FLAG_TIE 4
#define FLAG_BIRTH 8
#define FLAG_VECTOR 16
#define ENTRY_FLAGS (FLAG_LIVE | FLAG_TIE | FLAG_BIRTH | FLAG_VECTOR)
#define ROW_FLAGS (ENTRY_FLAGS | FLAG_THIN)

#define STAMP_BYTES (ROW_INCARNATION_ID + 8)
#define CLAIM_LEAST (ROW_INCARNATION_ID + 8 + 2)
#define BOUNDS_MOST (2 * (2 + ROW_KEY_MAX))
#define ENTRY_LEAST (1 + 8 + 2 + 1 + STAMP_BYTES)
#define ENTRY_MOST (1 + 8 + 2 + ROW_KEY_MAX + 3 * STAMP_BYTES + ROW_HASH)
#define AFTER_ENTRY (2 * ROW_HASH + 4)	/* of a ROW, before its content */
#define COLUMN_HEAD (1 + 1 + 2 + 2)

/* Of messages of one type. */
typedef struct RowShape
{
	bool		exists;
	bool		numbered;		/* has a request id */
	uint32_t	required;
	uint32_t	optional;
} RowShape;

/* Bytes of an item's value. */
typedef struct RowSize
{
	uint32_t	least;
	uint32_t	most;
} RowSize;

extern const RowSize row_size[ROW_TAGS];

/* NULL: there is no such message. */
extern const RowShape *row_shape_of(int type, bool response);

static inline bool
row_stamp_equal(const RowWireStamp *a, const RowWireStamp *b)
{
	return a->ticket == b->ticket && memcmp(a->id.bytes, b->id.bytes, ROW_INCARNATION_ID) == 0;
}

/* The flags that say which fields differ from what they are by default. */
static inline uint8_t
row_flags(const RowWireRow *row)
{
	return (uint8_t) ((row->live ? FLAG_LIVE : 0) | (row->thin ? FLAG_THIN : 0) |
					  (memcmp(row->version.tie, row->stamp.id.bytes, ROW_HASH) != 0 ? FLAG_TIE : 0) |
					  (!row_stamp_equal(&row->birth, &row->stamp) ? FLAG_BIRTH : 0) |
					  (!row_stamp_equal(&row->vector_stamp, &row->stamp) ? FLAG_VECTOR : 0));
}

#endif							/* CORE_ROWS_ROW_WIRE_SHAPE_H */
