/*
 * opclass.c
 *	  What an operator class tells: support function 1 of each, and its caller.
 *
 * Those functions take and return internal, so that only the server can call
 * them.
 */
#include "pgcompat.h"

#include "access/genam.h"
#include "fmgr.h"
#include "index/opclass.h"

#define INDEX_OPCLASS(name, opclass_element, opclass_metric) \
PG_FUNCTION_INFO_V1(name); \
Datum \
name(PG_FUNCTION_ARGS) \
{ \
	static const IndexOpclass opclass = {opclass_element, opclass_metric}; \
	PG_RETURN_POINTER(&opclass); \
}

INDEX_OPCLASS(hnsw_vector_l2_support, ELEMENT_VECTOR, METRIC_L2)
INDEX_OPCLASS(hnsw_vector_ip_support, ELEMENT_VECTOR, METRIC_IP)
INDEX_OPCLASS(hnsw_vector_cosine_support, ELEMENT_VECTOR, METRIC_COSINE)
INDEX_OPCLASS(hnsw_vector_l1_support, ELEMENT_VECTOR, METRIC_L1)

INDEX_OPCLASS(hnsw_halfvec_l2_support, ELEMENT_HALFVEC, METRIC_L2)
INDEX_OPCLASS(hnsw_halfvec_ip_support, ELEMENT_HALFVEC, METRIC_IP)
INDEX_OPCLASS(hnsw_halfvec_cosine_support, ELEMENT_HALFVEC, METRIC_COSINE)
INDEX_OPCLASS(hnsw_halfvec_l1_support, ELEMENT_HALFVEC, METRIC_L1)

INDEX_OPCLASS(hnsw_bit_hamming_support, ELEMENT_BIT, METRIC_HAMMING)
INDEX_OPCLASS(hnsw_bit_jaccard_support, ELEMENT_BIT, METRIC_JACCARD)

INDEX_OPCLASS(hnsw_sparsevec_l2_support, ELEMENT_SPARSEVEC, METRIC_L2)
INDEX_OPCLASS(hnsw_sparsevec_ip_support, ELEMENT_SPARSEVEC, METRIC_IP)
INDEX_OPCLASS(hnsw_sparsevec_cosine_support, ELEMENT_SPARSEVEC, METRIC_COSINE)
INDEX_OPCLASS(hnsw_sparsevec_l1_support, ELEMENT_SPARSEVEC, METRIC_L1)

/* Of an index of ours. */
const IndexOpclass *
IndexGetOpclass(Relation index)
{
	FmgrInfo   *proc = index_getprocinfo(index, 1, INDEX_SUPPORT_PROC);

	return (const IndexOpclass *) DatumGetPointer(FunctionCall1(proc, PointerGetDatum(NULL)));
}
