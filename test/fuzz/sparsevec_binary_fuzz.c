/*
 * sparsevec_binary_fuzz.c
 *	  The binary form of sparsevec.
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		bytes = text_new(data, size);
	const uint8_t *form = (const uint8_t *) bytes.bytes;
	int32_t		indices[ROOM];
	float		values[ROOM];
	int32_t		dim;
	int			nnz;
	ParseError	err;

	if (parse_sparsevec_header(form, size, SPARSE_MAX_DIM, ROOM, &dim, &nnz, &err))
	{
		REQUIRE(dim >= 1 && dim <= SPARSE_MAX_DIM && nnz >= 0 && nnz <= ROOM && nnz <= dim);
		REQUIRE(size == 12 + 8 * (size_t) nnz);
		if (parse_sparsevec_body(form, size, dim, nnz, indices, values, &err))
		{
			Text		again = sparse_encode(indices, values, dim, nnz);

			check_sparsevec(indices, values, dim, nnz, ROOM);
			check_sparse_reread(indices, values, dim, nnz);
			REQUIRE(again.len == size && memcmp(again.bytes, data, size) == 0);
			text_destroy(&again);
		}
		else
		{
			check_error(&err, size, true);
			REQUIRE(err.kind != PARSE_LENGTH);
		}
		/* a header does not vouch for another length */
		REQUIRE(!parse_sparsevec_body(form, size, dim, nnz + 1, indices, values, &err) &&
				err.kind == PARSE_LENGTH);
	}
	else
		check_error(&err, size, true);

	text_destroy(&bytes);
	return 0;
}
