/*
 * wire_frame.h
 *	  What all frames have: a header, and text for people.  The grammar is in
 *	  src/core/net/WIRE.md.
 *
 * Integers are little-endian:
 *
 *	  0   4  "vdbp"
 *	  4   2  protocol version
 *	  6   1  type
 *	  7   1  flags: 1 = response; other bits 0
 *	  8   8  request id; a response repeats it; 0 where there is no response
 *	 16  32  collection, or 0
 *	 48   4  bytes of items, all that follows
 */
#ifndef CORE_WIRE_FRAME_H
#define CORE_WIRE_FRAME_H

#include "core/bytes.h"
#include "core/net/decode.h"
#include "core/net/kad_id.h"

#define WIRE_HEAD 52
#define WIRE_VERSION_MIN 1
#define WIRE_VERSION_MAX 1
#define WIRE_TEXT_MAX 256

typedef struct WireHeader
{
	uint16_t	version;
	uint8_t		type;
	bool		response;
	uint64_t	request;
	KadId		collection;
} WireHeader;

/* The header of a message of WIRE_VERSION_MAX, its length 0 until wire_header_end(). */
extern void wire_header_put(ByteWriter *w, const WireHeader *header);

/* All items are written: the frame has len bytes. */
extern void wire_header_end(uint8_t *frame, size_t len);

/*
 * Read a header of whatever type; r is left at the first item.  Errors: TRUNCATED,
 * OVERLONG, MAGIC, VERSION (version, type and request are set, for an answer), FLAGS.
 */
extern DecodeStatus wire_header_take(ByteReader *r, WireHeader *out);

/* UTF-8 (RFC 3629) without control characters: it will stand in a log. */
extern bool wire_text_good(const uint8_t *text, size_t len);

#endif							/* CORE_WIRE_FRAME_H */
