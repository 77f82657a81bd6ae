/*
 * bitvec.c
 *	  Distances between values of the server's own type bit.
 *
 * A bit string is stored with the first bit in the highest bit of the first
 * byte and with zeros after its last bit, so that whole bytes may be compared.
 */
#include "pgcompat.h"

#include "core/vec/distance.h"
#include "fmgr.h"
#include "utils/varbit.h"

static void
CheckSameLengths(VarBit *a, VarBit *b)
{
	if (unlikely(VARBITLEN(a) != VARBITLEN(b)))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("different bit lengths %d and %d", VARBITLEN(a), VARBITLEN(b))));
}

PG_FUNCTION_INFO_V1(hamming_distance);
Datum
hamming_distance(PG_FUNCTION_ARGS)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);

	CheckSameLengths(a, b);

	PG_RETURN_FLOAT8((double) dist_hamming(VARBITS(a), VARBITS(b), VARBITBYTES(a)));
}

PG_FUNCTION_INFO_V1(jaccard_distance);
Datum
jaccard_distance(PG_FUNCTION_ARGS)
{
	VarBit	   *a = PG_GETARG_VARBIT_P(0);
	VarBit	   *b = PG_GETARG_VARBIT_P(1);

	CheckSameLengths(a, b);

	PG_RETURN_FLOAT8(dist_jaccard(VARBITS(a), VARBITS(b), VARBITBYTES(a)));
}
