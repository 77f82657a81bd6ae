/*
 * bytes.h
 *	  Bounded reading and writing of little-endian fields; bytes as hex digits.
 *
 * Reader and writer keep what is left rather than where the end is, so that a check is
 * always `n > left` and never adds a length from outside to a position.  After
 * the first failure every later call fails too: a decoder may read all its
 * fields and ask once.
 */
#ifndef CORE_BYTES_H
#define CORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct ByteReader
{
	const uint8_t *at;
	size_t		left;
	bool		failed;
} ByteReader;

typedef struct ByteWriter
{
	uint8_t    *at;
	size_t		left;
	bool		failed;
} ByteWriter;

/* The next n bytes, or NULL. */
static inline const uint8_t *
bytes_take(ByteReader *self, size_t n)
{
	const uint8_t *p = self->at;

	if (self->failed || n > self->left)
	{
		self->failed = true;
		return NULL;
	}
	self->at += n;
	self->left -= n;
	return p;
}

/* Overwrite a secret, whatever the compiler thinks of that. */
static inline void
bytes_wipe(void *p, size_t n)
{
	volatile uint8_t *at = p;

	for (size_t i = 0; i < n; i++)
		at[i] = 0;
}

static inline uint64_t
bytes_load(const uint8_t *p, int width)
{
	uint64_t	value = 0;

	for (int i = width - 1; i >= 0; i--)
		value = value << 8 | p[i];
	return value;
}

static inline void
bytes_store(uint8_t *p, int width, uint64_t value)
{
	for (int i = 0; i < width; i++)
		p[i] = (uint8_t) (value >> (8 * i));
}

/* An unsigned integer of width bytes (1 .. 8); 0 after a failure. */
static inline uint64_t
bytes_take_uint(ByteReader *self, int width)
{
	const uint8_t *p = bytes_take(self, (size_t) width);

	return p == NULL ? 0 : bytes_load(p, width);
}

static inline void
bytes_take_copy(ByteReader *self, void *out, size_t n)
{
	const uint8_t *p = bytes_take(self, n);

	if (p == NULL)
		memset(out, 0, n);
	else
		memcpy(out, p, n);
}

/* Room for n bytes, or NULL. */
static inline uint8_t *
bytes_room(ByteWriter *self, size_t n)
{
	uint8_t    *p = self->at;

	if (self->failed || n > self->left)
	{
		self->failed = true;
		return NULL;
	}
	self->at += n;
	self->left -= n;
	return p;
}

static inline void
bytes_put_uint(ByteWriter *self, int width, uint64_t value)
{
	uint8_t		little[8];
	uint8_t    *p = bytes_room(self, (size_t) width);

	bytes_store(little, 8, value);
	if (p != NULL)
		memcpy(p, little, (size_t) width);
}

static inline void
bytes_put(ByteWriter *self, const void *bytes, size_t n)
{
	uint8_t    *p = bytes_room(self, n);

	if (p != NULL && n > 0)
		memcpy(p, bytes, n);
}

static inline bool
bytes_all_zero(const uint8_t *p, size_t n)
{
	uint8_t		any = 0;

	for (size_t i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

/* Two lower-case digits for each of n bytes and a zero byte into text[2 * n + 1]; returns text. */
static inline char *
bytes_hex(const uint8_t *p, size_t n, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++)
	{
		text[2 * i] = digits[p[i] >> 4];
		text[2 * i + 1] = digits[p[i] & 15];
	}
	text[2 * n] = '\0';
	return text;
}

/* What a hexadecimal digit of either case is worth; -1: it is none. */
static inline int
bytes_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

#endif							/* CORE_BYTES_H */
