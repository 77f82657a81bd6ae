/*
 * pack.h
 *	  Frames of rows in fewer bytes: RowHost's pack and unpack (core/rows/replica.h), by LZ4.
 *
 * LZ4 costs less than a link of a gigabit saves, and hardly anything where vectors do not get
 * shorter.  LZ4_decompress_safe() is made for bytes of strangers: it writes no byte beyond n.
 */
#ifndef VECDB_NET_PACK_H
#define VECDB_NET_PACK_H

#include <lz4.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/rows/row_wire.h"

_Static_assert(ROW_FRAME_MAX <= LZ4_MAX_INPUT_SIZE, "lengths are ints to LZ4");

static inline size_t
net_pack(void *context, const uint8_t *bytes, size_t n, uint8_t *out, size_t room)
{
	(void) context;
	return (size_t) LZ4_compress_default((const char *) bytes, (char *) out, (int) n, (int) room);
}

static inline bool
net_unpack(void *context, const uint8_t *packed, size_t len, uint8_t *out, size_t n)
{
	(void) context;
	return LZ4_decompress_safe((const char *) packed, (char *) out, (int) len, (int) n) == (int) n;
}

#endif							/* VECDB_NET_PACK_H */
