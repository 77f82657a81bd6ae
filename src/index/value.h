/*
 * value.h
 *	  Values of an index: from a datum to what is stored and compared, the distance of
 *	  two of them, and the interval that holds the operator's distance.
 *
 * Coded values (L2, inner product, cosine of vector and halfvec) are centred and
 * rotated, and stored as integers of 12 bits times a scale.  Centring keeps the
 * precision where all values share an offset; it leaves Euclidean distances
 * alone.  For inner products the centre is zero.  Cosine is Euclidean distance
 * of normalised values: d^2 = 2 (1 - cos).  Long values have a residual, too: what the
 * 12 bits lost.
 *
 * Raw values (L1, Hamming, Jaccard, sparsevec) are the bytes that the distance
 * function takes, so that their distances are those of the operators.
 *
 * Where these values stand on pages is the access method's matter.
 */
#ifndef INDEX_VALUE_H
#define INDEX_VALUE_H

#include "pgcompat.h"

#include "core/vec/code.h"
#include "core/vec/packed12.h"
#include "core/vec/rotation.h"
#include "index/opclass.h"
#include "utils/rel.h"

/* The space that the values of an index are in. */
typedef struct IndexSpace
{
	IndexElement element;
	IndexMetric	metric;
	CodeMetric	code_metric;
	int			dim;
	int			padded;			/* rotated dimensions; 0 when not coded */
	bool		coded;
	bool		centred;		/* unit and centre are set */
	float		unit;			/* values are multiplied by this power of two first */
	float		center_norm;
	float	   *center;			/* float[dim]; NULL when not coded */
	Rotation   *rotation;		/* NULL when not coded */
} IndexSpace;

/* A datum made ready to be compared or stored; memory of the current context. */
typedef struct IndexValue
{
	float	   *rotated;		/* coded: float[padded] */
	float		norm;			/* coded: |rotated| */
	bool		clamped;		/* coded: some coordinate was too large for the index's arithmetic */
	const char *raw;			/* otherwise: bytes for ValueRawDistance */
	uint32		raw_bytes;
} IndexValue;

/*
 * The residual of a stored coded value: what its integers lost of the vector, in another
 * eight bits a coordinate.
 */
typedef struct ValueResidual
{
	float		addend;			/* to the distance, whatever the query is: see ValueRefine() */
	float		error;			/* bound of |stored + residual - true| */
	int8		levels[FLEXIBLE_ARRAY_MEMBER];	/* padded; where one is read, padded / 2 zeros follow */
} ValueResidual;

extern bool ValueIsCoded(const IndexOpclass *opclass);
extern int	ValueMostDimensions(IndexElement element);
extern uint32 ValueRawBytes(const IndexSpace *space);
extern float ValueCenterAndUnit(const float *largest, int dim, float *center);

extern int	ValueDimensions(const IndexSpace *space, Datum datum);

/* rel: the index, for the message where the dimensions are others */
extern const float *ValueFloats(const IndexSpace *space, Relation rel, Datum datum, double *norm);
extern bool ValuePrepare(const IndexSpace *space, Relation rel, Datum datum, bool query, IndexValue *value);

extern double ValueRawDistance(const IndexSpace *space, const char *a, const char *b);
extern void ValuePack(const IndexSpace *space, const IndexValue *value, uint8 *out,
					  float *scale, float *error, float *norm);
extern bool ValueHasResidual(const IndexSpace *space);
extern uint32 ValueResidualBytes(const IndexSpace *space);
extern void ValuePackResidual(const IndexSpace *space, const IndexValue *value, const uint8 *packed, float scale,
							  ValueResidual *residual);
extern float ValueResidualAddend(const IndexSpace *space, const uint8 *packed, float scale, const ValueResidual *residual);
extern float ValueRefine(const IndexSpace *space, const IndexValue *query, float distance, const ValueResidual *residual,
						 float scale);
extern float ValuePackedDistance(const IndexSpace *space, const float *q, const uint8 *x, float scale);
extern void ValueInterval(const IndexSpace *space, const IndexValue *query, float distance, float error, float norm,
						  bool surely, double *low, double *high);
extern float ValueLargestWithin(const IndexSpace *space, const IndexValue *query, double most);

#endif							/* INDEX_VALUE_H */
