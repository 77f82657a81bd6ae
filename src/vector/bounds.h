/*
 * bounds.h
 *	  The errors that every vector type shares: dimensions and elements out of
 *	  bounds.
 *
 * Applications and object-relational mappers match on primary messages, so these
 * keep pgvector's wording; what the wording lacks is in the detail and the hint.
 * The tests are inline and the reports are not, so that a distance function pays
 * for one comparison only.
 */
#ifndef VECDB_BOUNDS_H
#define VECDB_BOUNDS_H

#include <math.h>

#include "vector/vector.h"

/* type is the SQL name of the type: "vector", "halfvec" or "sparsevec" */
extern void VectorReportDifferentDims(const char *type, int a, int b) pg_attribute_noreturn();
extern void VectorReportUnexpectedDim(int32 typmod, int dim) pg_attribute_noreturn();
extern void VectorReportBadDim(const char *type, int dim, int limit) pg_attribute_noreturn();

/* index counts from 0, as in C; the report counts from 1, as SQL does */
extern void VectorReportBadElement(const char *type, double value, int index) pg_attribute_noreturn();
extern void VectorReportOutOfRange(const char *type, double value, int index) pg_attribute_noreturn();
extern void VectorReportOutOfRangeText(const char *type, const char *str, int index) pg_attribute_noreturn();
extern void VectorReportOverflow(const char *type, int index) pg_attribute_noreturn();
extern void VectorReportUnderflow(const char *type, int index) pg_attribute_noreturn();

/* The one dimension count given as type modifier, checked to be 1 .. limit. */
extern int32 VectorTypmodIn(const char *type, Datum modifiers, int limit);

/* Both sides of a binary operator must have one dimension count. */
static inline void
VectorCheckSameDims(const char *type, int a, int b)
{
	if (unlikely(a != b))
		VectorReportDifferentDims(type, a, b);
}

/* typmod is -1 where the column or cast names no dimensions. */
static inline void
VectorCheckExpectedDim(int32 typmod, int dim)
{
	if (unlikely(typmod != -1 && typmod != dim))
		VectorReportUnexpectedDim(typmod, dim);
}

static inline void
VectorCheckDim(const char *type, int dim, int limit)
{
	if (unlikely(dim < 1 || dim > limit))
		VectorReportBadDim(type, dim, limit);
}

/* No stored element is NaN or infinite: the comparisons and the index count on it. */
static inline void
VectorCheckElement(const char *type, float value, int index)
{
	if (unlikely(!isfinite(value)))
		VectorReportBadElement(type, value, index);
}

#endif							/* VECDB_BOUNDS_H */
