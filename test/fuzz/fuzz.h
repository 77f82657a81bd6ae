/*
 * fuzz.h
 *	  What the fuzz targets share.  Each program includes it once.
 *
 * A target states properties, not only that nothing crashes: REQUIRE() stops
 * the program, which the fuzzer reports together with the input.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/vec/parse.h"

/* Room for elements: small, so that inputs that exceed it are short. */
#define ROOM 48

#define SPARSE_MAX_DIM 1000000000

#define REQUIRE(condition) \
	((condition) ? (void) 0 : fuzz_fail(#condition, __FILE__, __LINE__))

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void
fuzz_fail(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: property does not hold: %s\n", file, line, condition);
	abort();
}

static inline void *
fuzz_alloc(size_t size)
{
	void	   *p = malloc(size > 0 ? size : 1);

	if (p == NULL)
		abort();
	return p;
}

/* A text with its length, in a block without a byte to spare. */
typedef struct Text
{
	char	   *bytes;
	size_t		len;
} Text;

static inline Text
text_new(const void *bytes, size_t len)
{
	Text		self = {fuzz_alloc(len), len};

	if (len > 0)
		memcpy(self.bytes, bytes, len);
	return self;
}

static inline void
text_destroy(Text *self)
{
	free(self->bytes);
	self->bytes = NULL;
}

/* The same text with spaces wherever the grammar allows them. */
static inline Text
text_spaced(const Text *self)
{
	static const char spaces[] = " \t\n\r\v\f";
	char	   *out = fuzz_alloc(3 * self->len + 2);
	size_t		n = 0;
	Text		result;

	out[n++] = ' ';
	for (size_t i = 0; i < self->len; i++)
	{
		char		ch = self->bytes[i];
		bool		structural = ch != '\0' && strchr("[]{},:/", ch) != NULL;

		if (structural)
			out[n++] = spaces[i % 6];
		out[n++] = ch;
		if (structural)
			out[n++] = spaces[(i + 3) % 6];
	}
	out[n++] = '\n';
	result = text_new(out, n);
	free(out);
	return result;
}

static inline uint32_t
float_bits(float f)
{
	uint32_t	bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

/* What holds for every error, of whatever input. */
static inline void
check_error(const ParseError *err, size_t len, bool binary)
{
	REQUIRE(err->kind > PARSE_OK && err->kind <= PARSE_LENGTH);
	REQUIRE(err->pos <= len);
	REQUIRE(err->len <= len - err->pos);
	REQUIRE((err->expected != NULL) == (err->kind == PARSE_SYNTAX));
	switch (err->kind)
	{
		case PARSE_SYNTAX:
			REQUIRE(!binary);
			REQUIRE((err->len == 0) == (err->pos == len));
			break;
		case PARSE_RANGE:
			REQUIRE(!binary);
			/* fall through */
		case PARSE_NAN:
		case PARSE_INFINITE:
			REQUIRE(err->len > 0);
			break;
		case PARSE_DIM_TOO_FEW:
			REQUIRE(err->value < 1);
			break;
		case PARSE_DIM_TOO_MANY:
		case PARSE_NNZ_TOO_MANY:
			REQUIRE(err->value > err->limit);
			break;
		case PARSE_INDEX_RANGE:
			REQUIRE(binary ? err->value < 0 || err->value >= err->limit :
					err->value < 1 || err->value > err->limit);
			break;
		case PARSE_LENGTH:
			REQUIRE(binary && err->value == (int64_t) len && err->value != err->limit);
			break;
		case PARSE_INDEX_ORDER:
		case PARSE_NNZ_NEGATIVE:
		case PARSE_NNZ_OVER_DIM:
		case PARSE_ZERO_VALUE:
		case PARSE_UNUSED:
			REQUIRE(binary);
			break;
		default:
			break;
	}
}

static inline void
put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t) (v >> 8);
	p[1] = (uint8_t) v;
}

static inline void
put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t) (v >> 16));
	put16(p + 2, (uint16_t) v);
}

/* Every vector that a parser lets through is this good. */
static inline void
check_vector(const float *x, int dim, int room)
{
	REQUIRE(dim >= 1 && dim <= room);
	for (int i = 0; i < dim; i++)
		REQUIRE(isfinite(x[i]));
}

static inline void
check_halfvec(const half *x, int dim, int room)
{
	REQUIRE(dim >= 1 && dim <= room);
	for (int i = 0; i < dim; i++)
		REQUIRE(!half_is_nan(x[i]) && !half_is_inf(x[i]));
}

static inline void
check_sparsevec(const int32_t *indices, const float *values, int32_t dim, int nnz, int room)
{
	REQUIRE(dim >= 1 && dim <= SPARSE_MAX_DIM);
	REQUIRE(nnz >= 0 && nnz <= room && nnz <= dim);
	for (int i = 0; i < nnz; i++)
	{
		REQUIRE(indices[i] >= 0 && indices[i] < dim);
		REQUIRE(i == 0 || indices[i - 1] < indices[i]);
		REQUIRE(isfinite(values[i]) && values[i] != 0);
	}
}

/*
 * Text forms of values; nine digits tell any two floats apart.  x or h holds
 * the dense elements, the other is NULL.
 */
static inline Text
dense_print(const float *x, const half *h, int dim)
{
	char	   *out = fuzz_alloc((size_t) dim * 32 + 8);
	char	   *p = out;
	Text		result;

	for (int i = 0; i < dim; i++)
		p += sprintf(p, "%c%.9g", i == 0 ? '[' : ',', (double) (x != NULL ? x[i] : half_to_float(h[i])));
	*p++ = ']';
	result = text_new(out, (size_t) (p - out));
	free(out);
	return result;
}

/* In reverse order: the parser has to sort. */
static inline Text
sparse_print(const int32_t *indices, const float *values, int32_t dim, int nnz)
{
	char	   *out = fuzz_alloc((size_t) nnz * 48 + 32);
	char	   *p = out;
	Text		result;

	*p++ = '{';
	for (int i = nnz - 1; i >= 0; i--)
		p += sprintf(p, "%d:%.9g%s", (int) indices[i] + 1, (double) values[i], i > 0 ? "," : "");
	p += sprintf(p, "}/%d", (int) dim);
	result = text_new(out, (size_t) (p - out));
	free(out);
	return result;
}

/* Print x or h and read it again: the same bits. */
static inline void
check_dense_reread(const float *x, const half *h, int dim)
{
	Text		printed = dense_print(x, h, dim);
	float	   *x2 = fuzz_alloc(sizeof(float) * (size_t) dim);
	half	   *h2 = fuzz_alloc(sizeof(half) * (size_t) dim);
	int			dim2;
	ParseError	err;

	if (x != NULL)
	{
		REQUIRE(parse_vector_text(printed.bytes, printed.len, x2, dim, &dim2, &err));
		REQUIRE(dim2 == dim && memcmp(x, x2, sizeof(float) * (size_t) dim) == 0);
	}
	else
	{
		REQUIRE(parse_halfvec_text(printed.bytes, printed.len, h2, dim, &dim2, &err));
		REQUIRE(dim2 == dim && memcmp(h, h2, sizeof(half) * (size_t) dim) == 0);
	}
	free(x2);
	free(h2);
	text_destroy(&printed);
}

static inline void
check_sparse_reread(const int32_t *indices, const float *values, int32_t dim, int nnz)
{
	Text		printed = sparse_print(indices, values, dim, nnz);
	int32_t    *indices2 = fuzz_alloc(sizeof(int32_t) * (size_t) nnz);
	float	   *values2 = fuzz_alloc(sizeof(float) * (size_t) nnz);
	int32_t		dim2;
	int			nnz2;
	ParseError	err;

	REQUIRE(parse_sparsevec_text(printed.bytes, printed.len, SPARSE_MAX_DIM, indices2, values2, nnz,
								 &dim2, &nnz2, &err));
	REQUIRE(dim2 == dim && nnz2 == nnz);
	REQUIRE(memcmp(indices, indices2, sizeof(int32_t) * (size_t) nnz) == 0);
	REQUIRE(memcmp(values, values2, sizeof(float) * (size_t) nnz) == 0);
	free(indices2);
	free(values2);
	text_destroy(&printed);
}

/* Binary forms of values, as a client would send them. */
static inline Text
dense_encode(const float *x, const half *h, int dim)
{
	size_t		elem = x != NULL ? 4 : 2;
	Text		result = {NULL, 4 + elem * (size_t) dim};
	uint8_t    *p;

	result.bytes = fuzz_alloc(result.len);
	p = (uint8_t *) result.bytes;
	put16(p, (uint16_t) dim);
	put16(p + 2, 0);
	p += 4;
	for (int i = 0; i < dim; i++, p += elem)
	{
		if (x != NULL)
			put32(p, float_bits(x[i]));
		else
			put16(p, h[i]);
	}
	return result;
}

static inline Text
sparse_encode(const int32_t *indices, const float *values, int32_t dim, int nnz)
{
	Text		result = {NULL, 12 + 8 * (size_t) nnz};
	uint8_t    *p;

	result.bytes = fuzz_alloc(result.len);
	p = (uint8_t *) result.bytes;
	put32(p, (uint32_t) dim);
	put32(p + 4, (uint32_t) nnz);
	put32(p + 8, 0);
	p += 12;
	for (int i = 0; i < nnz; i++, p += 4)
		put32(p, (uint32_t) indices[i]);
	for (int i = 0; i < nnz; i++, p += 4)
		put32(p, float_bits(values[i]));
	return result;
}

#endif							/* TEST_FUZZ_H */
