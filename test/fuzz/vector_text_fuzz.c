/*
 * vector_text_fuzz.c
 *	  The text form of vector.
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		text = text_new(data, size);
	Text		spaced = text_spaced(&text);
	float		x[ROOM];
	float		y[ROOM];
	int			dim;
	int			dim2;
	ParseError	err;
	ParseError	err2;
	bool		good = parse_vector_text(text.bytes, text.len, x, ROOM, &dim, &err);

	/* spaces change neither the verdict nor the value */
	REQUIRE(parse_vector_text(spaced.bytes, spaced.len, y, ROOM, &dim2, &err2) == good);
	if (good)
	{
		Text		binary;
		const char *close = memchr(text.bytes, ']', text.len);

		check_vector(x, dim, ROOM);
		REQUIRE(parse_count_bound(text.bytes, text.len) == (size_t) dim);
		REQUIRE(dim2 == dim && memcmp(x, y, sizeof(float) * (size_t) dim) == 0);
		check_dense_reread(x, NULL, dim);

		/* nothing before the closing bracket is a vector */
		REQUIRE(close != NULL);
		REQUIRE(!parse_vector_text(text.bytes, (size_t) (close - text.bytes), y, ROOM, &dim2, &err));

		/* room for one element less is not enough, and is respected */
		REQUIRE(!parse_vector_text(text.bytes, text.len, y, dim - 1, &dim2, &err));
		REQUIRE(err.kind == PARSE_DIM_TOO_MANY && err.limit == dim - 1);

		binary = dense_encode(x, NULL, dim);
		REQUIRE(parse_vector_header((uint8_t *) binary.bytes, binary.len, ROOM, &dim2, &err) && dim2 == dim);
		REQUIRE(parse_vector_body((uint8_t *) binary.bytes, binary.len, dim, y, &err));
		REQUIRE(memcmp(x, y, sizeof(float) * (size_t) dim) == 0);
		text_destroy(&binary);
	}
	else
	{
		check_error(&err, text.len, false);
		check_error(&err2, spaced.len, false);
		REQUIRE(err.kind == err2.kind);
	}

	text_destroy(&text);
	text_destroy(&spaced);
	return 0;
}
