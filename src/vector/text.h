/*
 * text.h
 *	  Printing of vector and halfvec, for the types' output and their JSON form,
 *	  which is the same: [1,2.5,-3e-08].
 */
#ifndef VECDB_TEXT_H
#define VECDB_TEXT_H

#include "common/shortest_dec.h"
#include "vector/vector.h"

/* Brackets, and for each element a comma or the final NUL; the shortest form counts its own NUL. */
#define VECTOR_TEXT_SIZE(dim)	(3 + (Size) (dim) * FLOAT_SHORTEST_DECIMAL_LEN)

/* The text, palloc'ed and ended by a NUL. */
extern char *VectorText(const Vector *a);
extern char *HalfvecText(const HalfVector *a);

#endif							/* VECDB_TEXT_H */
