/*
 * row_wire.h
 *	  The messages that carry rows, as bytes.  The grammar is in src/core/net/WIRE.md.
 *
 * They have the header of wire.h and its items (wire_item.h), types from 16 on, and
 * frames of their own length.  A message is written item by item with the functions
 * below, in the order of their tags, and read in one pass that checks all of it, so that
 * the iterators over a decoded message cannot fail.
 *
 * Incarnations travel by their ids.  A stamp or frontier may name one that the reader
 * has not met: its signed record comes before, in INTRODUCE, over the same link.
 */
#ifndef CORE_ROWS_ROW_WIRE_H
#define CORE_ROWS_ROW_WIRE_H

#include "core/bytes.h"
#include "core/net/decode.h"
#include "core/net/wire.h"
#include "core/net/wire_item.h"
#include "core/rows/row.h"
#include "core/rows/schema.h"

#define ROW_CHUNK (1024 * 1024)	/* of rows in one DATA, as long as it holds more than one */
#define ROW_FRAME_MAX (ROW_CHUNK + 256 * 1024)	/* all of it, a claim and a floor included */
#define ROW_CONTENT_MAX (UINT64_C(1) << 30)
#define ROW_INTRODUCTIONS 512	/* in one INTRODUCE */
#define ROW_FRONTIER_BYTES (ROW_FRAME_MAX / 4)	/* of one frontier */
#define ROW_PACKED_HEAD (WIRE_HEAD + WIRE_ITEM_HEAD + 4)	/* of a PACKED, before what a frame was made into */

typedef enum RowWireType
{
	ROW_WIRE_HAVE = 16,			/* what the sender covers; to those in the mesh at once, to any member in turn */
	ROW_WIRE_WANT = 17,			/* asks for what is above a frontier, for a copy, or for a comparison */
	ROW_WIRE_DATA = 18,			/* rows: response to WANT and FETCH */
	ROW_WIRE_ACK = 19,			/* rows of a request were committed: credit for more */
	ROW_WIRE_STOP = 20,			/* a request is over, by either side */
	ROW_WIRE_RANGES = 21,		/* asks what is in ranges of keys; response: counts and sums, or entries */
	ROW_WIRE_FETCH = 22,		/* asks for rows by key, whole */
	ROW_WIRE_INTRODUCE = 23,	/* signed incarnations */
	ROW_WIRE_PACKED = 24		/* a DATA in fewer bytes: response to whom says PACKS */
} RowWireType;

typedef enum RowWireTag
{
	ROW_TAG_CODE = 1,			/* u16, RowWireCode */
	ROW_TAG_TEXT = 2,			/* as WIRE_TAG_TEXT */
	ROW_TAG_MODE = 3,			/* u8, RowWireMode */
	ROW_TAG_CREDIT = 4,			/* u32, bytes */
	ROW_TAG_MEMBERS = 5,		/* 16 bytes: fingerprint of the membership */
	ROW_TAG_CLOCK = 6,			/* u64, the sender's */
	ROW_TAG_SCHEMA = 7,			/* 32 bytes: hash of the columns */
	ROW_TAG_FRONTIER = 8,		/* covered by the sender; in WANT: by who asks */
	ROW_TAG_CLAIM = 9,			/* what is covered once the batch is whole */
	ROW_TAG_FLOOR = 10,			/* tombstones at or below it may be gone */
	ROW_TAG_TOTAL = 11,			/* u64: rows of a copy, by an estimate */
	ROW_TAG_INCARNATION = 12,	/* 112 bytes, may repeat */
	ROW_TAG_SEQUENCE = 13,		/* u32: of this DATA in its request, from 0 */
	ROW_TAG_KEY = 14,			/* 1 to ROW_KEY_MAX bytes, may repeat */
	ROW_TAG_RANGE = 15,			/* two bounds, may repeat; keys above the first up to the second */
	ROW_TAG_SUM = 16,			/* a range, its entries' count and sum; may repeat */
	ROW_TAG_ENTRY = 17,			/* a key and what is kept of it; may repeat */
	ROW_TAG_FRAGMENT = 18,		/* more content of the last row of the DATA before */
	ROW_TAG_ROW = 19,			/* a row, may repeat */
	ROW_TAG_LAST = 20,			/* empty: the batch is whole with this DATA */
	ROW_TAG_BUSY = 21,			/* empty, in HAVE: the sender serves nobody now */
	ROW_TAG_COLUMN = 22,		/* in HAVE, to whom has others: one of those that SCHEMA is the hash of; may repeat */
	ROW_TAG_PACKS = 23,			/* empty, in WANT: PACKED is understood */
	ROW_TAG_PACKED = 24,		/* u32, the length of a frame, and what it was made into */
	ROW_TAGS
} RowWireTag;

typedef enum RowWireMode
{
	ROW_MODE_CHANGES = 1,		/* all rows above FRONTIER */
	ROW_MODE_COPY = 2,			/* all rows, by key, above KEY if there is one */
	ROW_MODE_COMPARE = 3		/* the snapshot is kept for RANGES and FETCH */
} RowWireMode;

typedef enum RowWireCode
{
	ROW_CODE_DONE = 0,
	ROW_CODE_FORBIDDEN = 4,		/* as WireCode's */
	ROW_CODE_BUSY = 6,
	ROW_CODE_FLOOR = 16,		/* the frontier asked from is below the floor: compare in full */
	ROW_CODE_SCHEMA = 17,		/* the columns are others: both pause */
	ROW_CODE_ANEW = 18,			/* the snapshot lost a row: begin again */
	ROW_CODE_UNKNOWN = 19,		/* no such request */
	ROW_CODE_MALFORMED = 20
} RowWireCode;

/* A stamp as it travels: 24 bytes. */
typedef struct RowWireStamp
{
	RowIncarnationId id;
	uint64_t	ticket;			/* 0, and the id 0: none, which a birth and a vector's may be */
} RowWireStamp;

/*
 * entry = flags clock key-length key stamp [tie] [birth] [vector-stamp]
 * row   = entry hash vector-hash content-length content
 *
 * flags u8: 1 live, 2 thin (not in an ENTRY), 4 tie stands there, else it is the stamp's
 * id, 8 birth stands there, else it is the stamp, 16 the same for the vector's.  What
 * stands there differs from what it would be else.  Clock u64, key-length u16,
 * content-length u32.
 */
typedef struct RowWireRow
{
	RowBytes	key;
	RowVersion	version;
	RowWireStamp stamp;
	RowWireStamp birth;
	RowWireStamp vector_stamp;
	bool		live;
	bool		thin;			/* the content lacks its vectors, which the reader should have */
	uint8_t		hash[ROW_HASH]; /* these four not in an ENTRY */
	uint8_t		vector_hash[ROW_HASH];
	uint64_t	content_len;	/* the whole content's, up to ROW_CONTENT_MAX; 0 of a tombstone */
	RowBytes	content;		/* what is here of it; more comes as FRAGMENT */
} RowWireRow;

/* Of one incarnation in a frontier. */
typedef struct RowWireClaim
{
	RowIncarnationId id;
	uint64_t	top;
	uint32_t	n_open;
	uint64_t	open[ROW_OPEN_MAX];
} RowWireClaim;

/* Keys above low up to high; an empty low: from the first, an empty high: to the last. */
typedef struct RowRange
{
	RowBytes	low;
	RowBytes	high;
} RowRange;

typedef struct RowSum
{
	RowRange	range;
	uint64_t	count;			/* of entries, see reconcile.h */
	uint8_t		sum[16];		/* of their versions */
} RowSum;

typedef struct RowMessage
{
	uint16_t	version;
	uint8_t		type;			/* RowWireType */
	bool		response;
	uint64_t	request;
	KadId		collection;

	uint32_t	present;		/* bit 1 << tag: it occurs */
	uint16_t	code;
	RowBytes	text;
	uint8_t		mode;
	uint32_t	credit;
	uint8_t		members[16];
	uint64_t	clock;
	uint8_t		schema[32];
	uint64_t	total;
	uint32_t	sequence;
	RowBytes	frontier;		/* for row_wire_next_claim() */
	RowBytes	claim;
	RowBytes	floor;
	RowBytes	fragment;
	uint32_t	whole;			/* of PACKED: bytes of the frame, more than ... */
	RowBytes	packed;			/* ... these that it was made into */
	RowBytes	many[ROW_TAGS]; /* of tags that repeat: all their items, for the iterators below */
} RowMessage;

static inline bool
row_message_has(const RowMessage *self, RowWireTag tag)
{
	return (self->present >> tag & 1) != 0;
}

/*
 * Decode frame[len], which must stay while self is used.  Everything in it is checked;
 * a signature of an incarnation is not (row_dictionary_add()).
 */
extern DecodeStatus row_wire_decode(const uint8_t *frame, size_t len, RowMessage *self);

/*
 * The next of a decoded message's; *at begins as self->frontier, self->many[tag] ...
 * False: no more.  What is pointed to lies in the frame.
 */
extern bool row_wire_next_claim(RowBytes *at, RowWireClaim *out);
extern bool row_wire_next_key(RowBytes *at, RowBytes *out);
extern bool row_wire_next_range(RowBytes *at, RowRange *out);
extern bool row_wire_next_sum(RowBytes *at, RowSum *out);
extern bool row_wire_next_entry(RowBytes *at, RowWireRow *out);
extern bool row_wire_next_row(RowBytes *at, RowWireRow *out);
extern bool row_wire_next_incarnation(RowBytes *at, RowIncarnation *out);
extern bool row_wire_next_column(RowBytes *at, RowColumn *out);

/* ---- writing ---- */

/* A message that is being written: begin, items in the order of their tags, end. */
typedef struct RowWriter
{
	ByteWriter	bytes;
	uint8_t    *frame;
	size_t		room;
} RowWriter;

/* Into frame[room], of which no more than ROW_FRAME_MAX is used. */
extern void row_wire_begin(RowWriter *self, uint8_t *frame, size_t room, RowWireType type, bool response,
						   uint64_t request, const KadId *collection);

/*
 * Bytes of the frame.  0: it lacks what its type needs, as where that did not fit; an
 * item that may be missing is missing, and its put_ function said so.
 */
extern size_t row_wire_end(RowWriter *self);

/* What can still be written, in bytes. */
extern size_t row_wire_left(const RowWriter *self);

/*
 * These leave the message as it was when they give false: the item does not fit, or is
 * longer than its tag may be.  A frontier's incarnations are in the dictionary.
 */
extern bool row_wire_put_uint(RowWriter *self, RowWireTag tag, uint64_t value);	/* CODE MODE CREDIT CLOCK SEQUENCE */
extern bool row_wire_put_bytes(RowWriter *self, RowWireTag tag, const void *bytes, size_t len);	/* TEXT MEMBERS SCHEMA KEY FRAGMENT LAST BUSY PACKS */
extern bool row_wire_put_frontier(RowWriter *self, RowWireTag tag, const RowFrontier *frontier,
								  const RowDictionary *dictionary);
extern bool row_wire_put_incarnation(RowWriter *self, const RowIncarnation *incarnation);
extern bool row_wire_put_range(RowWriter *self, const RowRange *range);
extern bool row_wire_put_sum(RowWriter *self, const RowSum *sum);
extern bool row_wire_put_entry(RowWriter *self, const RowWireRow *entry);
/* False also where its name or type has characters that a text has not. */
extern bool row_wire_put_column(RowWriter *self, const RowColumn *column);

/* A frame of `whole` bytes was made into n that stand in their place already: behind ROW_PACKED_HEAD. */
extern bool row_wire_put_packed(RowWriter *self, uint32_t whole, size_t n);

/*
 * As much of row->content as fits is written; *written gets how much.  False when not even
 * the rest of it fits.  After a row of which content is missing neither another nor LAST
 * may follow.
 */
extern bool row_wire_put_row(RowWriter *self, const RowWireRow *row, size_t *written);

#endif							/* CORE_ROWS_ROW_WIRE_H */
