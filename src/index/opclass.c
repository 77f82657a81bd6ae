/*
 * opclass.c
 *	  Support function 1 of each hnsw operator class.
 *
 * The functions take and return internal, so that only the server can call
 * them.
 */
#include "pgcompat.h"

#include "fmgr.h"
#include "index/opclass.h"

#define HNSW_OPCLASS(name, opclass_element, opclass_metric) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	static const HnswOpclass opclass = {opclass_element, opclass_metric}; \
	PG_RETURN_POINTER(&opclass); \
}

HNSW_OPCLASS(hnsw_vector_l2_support, HNSW_VECTOR, HNSW_L2)
HNSW_OPCLASS(hnsw_vector_ip_support, HNSW_VECTOR, HNSW_IP)
HNSW_OPCLASS(hnsw_vector_cosine_support, HNSW_VECTOR, HNSW_COSINE)
HNSW_OPCLASS(hnsw_vector_l1_support, HNSW_VECTOR, HNSW_L1)

HNSW_OPCLASS(hnsw_halfvec_l2_support, HNSW_HALFVEC, HNSW_L2)
HNSW_OPCLASS(hnsw_halfvec_ip_support, HNSW_HALFVEC, HNSW_IP)
HNSW_OPCLASS(hnsw_halfvec_cosine_support, HNSW_HALFVEC, HNSW_COSINE)
HNSW_OPCLASS(hnsw_halfvec_l1_support, HNSW_HALFVEC, HNSW_L1)

HNSW_OPCLASS(hnsw_bit_hamming_support, HNSW_BIT, HNSW_HAMMING)
HNSW_OPCLASS(hnsw_bit_jaccard_support, HNSW_BIT, HNSW_JACCARD)

HNSW_OPCLASS(hnsw_sparsevec_l2_support, HNSW_SPARSEVEC, HNSW_L2)
HNSW_OPCLASS(hnsw_sparsevec_ip_support, HNSW_SPARSEVEC, HNSW_IP)
HNSW_OPCLASS(hnsw_sparsevec_cosine_support, HNSW_SPARSEVEC, HNSW_COSINE)
HNSW_OPCLASS(hnsw_sparsevec_l1_support, HNSW_SPARSEVEC, HNSW_L1)
