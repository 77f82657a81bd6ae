/*
 * halfvec_text_fuzz.c
 *	  The text form of halfvec.
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		text = text_new(data, size);
	Text		spaced = text_spaced(&text);
	half		x[ROOM];
	half		y[ROOM];
	float		wide[ROOM];
	int			dim;
	int			dim2;
	ParseError	err;
	ParseError	err2;
	bool		good = parse_halfvec_text(text.bytes, text.len, x, ROOM, &dim, &err);

	/* spaces change neither the verdict nor the value */
	REQUIRE(parse_halfvec_text(spaced.bytes, spaced.len, y, ROOM, &dim2, &err2) == good);
	if (good)
	{
		Text		binary;

		check_halfvec(x, dim, ROOM);
		REQUIRE(parse_count_bound(text.bytes, text.len) == (size_t) dim);
		REQUIRE(dim2 == dim && memcmp(x, y, sizeof(half) * (size_t) dim) == 0);
		check_dense_reread(NULL, x, dim);

		/* what is a halfvec is a vector too, of nearly the same elements */
		REQUIRE(parse_vector_text(text.bytes, text.len, wide, ROOM, &dim2, &err) && dim2 == dim);
		for (int i = 0; i < dim; i++)
			REQUIRE(fabsf(wide[i] - half_to_float(x[i])) <= fmaxf(fabsf(wide[i]) / 2048, 0x1p-25f));

		binary = dense_encode(NULL, x, dim);
		REQUIRE(parse_halfvec_header((uint8_t *) binary.bytes, binary.len, ROOM, &dim2, &err) && dim2 == dim);
		REQUIRE(parse_halfvec_body((uint8_t *) binary.bytes, binary.len, dim, y, &err));
		REQUIRE(memcmp(x, y, sizeof(half) * (size_t) dim) == 0);
		text_destroy(&binary);
	}
	else
	{
		bool		vector_good = parse_vector_text(text.bytes, text.len, wide, ROOM, &dim2, &err2);

		check_error(&err, text.len, false);

		/* a vector that is no halfvec has an element too large for it */
		REQUIRE(vector_good ? err.kind == PARSE_RANGE :
				err.kind == PARSE_RANGE || (err.kind == err2.kind && err.pos == err2.pos));
	}

	text_destroy(&text);
	text_destroy(&spaced);
	return 0;
}
