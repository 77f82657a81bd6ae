/*
 * sparsevec_text_fuzz.c
 *	  The text form of sparsevec.
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		text = text_new(data, size);
	Text		spaced = text_spaced(&text);
	int32_t		indices[ROOM];
	int32_t		indices2[ROOM];
	float		values[ROOM];
	float		values2[ROOM];
	int32_t		dim;
	int32_t		dim2;
	int			nnz;
	int			nnz2;
	ParseError	err;
	ParseError	err2;
	bool		good = parse_sparsevec_text(text.bytes, text.len, SPARSE_MAX_DIM, indices, values, ROOM,
											&dim, &nnz, &err);

	/* spaces change neither the verdict nor the value */
	REQUIRE(parse_sparsevec_text(spaced.bytes, spaced.len, SPARSE_MAX_DIM, indices2, values2, ROOM,
								 &dim2, &nnz2, &err2) == good);
	if (good)
	{
		Text		binary;

		check_sparsevec(indices, values, dim, nnz, ROOM);
		REQUIRE(parse_count_bound(text.bytes, text.len) >= (size_t) nnz);
		REQUIRE(dim2 == dim && nnz2 == nnz);
		REQUIRE(memcmp(indices, indices2, sizeof(int32_t) * (size_t) nnz) == 0);
		REQUIRE(memcmp(values, values2, sizeof(float) * (size_t) nnz) == 0);
		check_sparse_reread(indices, values, dim, nnz);

		/* exactly as much room is enough, less is not */
		REQUIRE(parse_sparsevec_text(text.bytes, text.len, SPARSE_MAX_DIM, indices2, values2, nnz,
									 &dim2, &nnz2, &err) && nnz2 == nnz);
		if (nnz > 0)
		{
			REQUIRE(!parse_sparsevec_text(text.bytes, text.len, SPARSE_MAX_DIM, indices2, values2, nnz - 1,
										  &dim2, &nnz2, &err));
			REQUIRE(err.kind == PARSE_NNZ_TOO_MANY && err.limit == nnz - 1);
		}

		/* a lower limit of dimensions refuses it */
		REQUIRE(!parse_sparsevec_text(text.bytes, text.len, dim - 1, indices2, values2, ROOM,
									  &dim2, &nnz2, &err));
		REQUIRE(err.kind == PARSE_DIM_TOO_MANY && err.value == dim);

		binary = sparse_encode(indices, values, dim, nnz);
		REQUIRE(parse_sparsevec_header((uint8_t *) binary.bytes, binary.len, SPARSE_MAX_DIM, ROOM,
									   &dim2, &nnz2, &err) && dim2 == dim && nnz2 == nnz);
		REQUIRE(parse_sparsevec_body((uint8_t *) binary.bytes, binary.len, dim, nnz, indices2, values2, &err));
		REQUIRE(memcmp(indices, indices2, sizeof(int32_t) * (size_t) nnz) == 0);
		REQUIRE(memcmp(values, values2, sizeof(float) * (size_t) nnz) == 0);
		text_destroy(&binary);
	}
	else
	{
		check_error(&err, text.len, false);
		check_error(&err2, spaced.len, false);
		REQUIRE(err.kind == err2.kind && err.value == err2.value && err.limit == err2.limit);

		/* the piece at fault is what the error says */
		if (err.kind == PARSE_INDEX_RANGE || err.kind == PARSE_INDEX_DUPLICATE)
		{
			Text		piece = text_new(text.bytes + err.pos, err.len + 1);
			int64_t		index;

			piece.bytes[err.len] = '\0';
			index = strtoll(piece.bytes, NULL, 10);
			index = index > INT32_MAX ? INT32_MAX : index < -INT32_MAX ? -INT32_MAX : index;
			REQUIRE(index == err.value);
			text_destroy(&piece);
		}
	}

	text_destroy(&text);
	text_destroy(&spaced);
	return 0;
}
