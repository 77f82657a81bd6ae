/*
 * vector_binary_fuzz.c
 *	  The binary form of vector.
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		bytes = text_new(data, size);
	const uint8_t *form = (const uint8_t *) bytes.bytes;
	float		x[ROOM];
	int			dim;
	ParseError	err;

	if (parse_vector_header(form, size, ROOM, &dim, &err))
	{
		REQUIRE(dim >= 1 && dim <= ROOM && size == 4 + 4 * (size_t) dim);
		if (parse_vector_body(form, size, dim, x, &err))
		{
			Text		again = dense_encode(x, NULL, dim);

			check_vector(x, dim, ROOM);
			check_dense_reread(x, NULL, dim);
			REQUIRE(again.len == size && memcmp(again.bytes, data, size) == 0);
			text_destroy(&again);
		}
		else
		{
			check_error(&err, size, true);
			REQUIRE(err.kind == PARSE_NAN || err.kind == PARSE_INFINITE);
		}
		/* a header does not vouch for another length */
		REQUIRE(!parse_vector_body(form, size, dim + 1, x, &err) && err.kind == PARSE_LENGTH);
	}
	else
		check_error(&err, size, true);

	text_destroy(&bytes);
	return 0;
}
