/*
 * node_value.c
 *	  Values of nodes on pages: read whole, and compared; residuals.
 *
 * index/value.h tells what a stored value is.  It stands in the node's slot, goes on
 * behind the slot's page, or is in chunks: the node's layout says which.
 */
#include "index/hnsw/hnsw_index.h"

#include <math.h>

#include "utils/memutils.h"
#include "vector/vector.h"

/*
 * Length of a plain value under inner products, where HnswOccludes() asks for it; 1
 * elsewhere.
 */
float
HnswLength(const HnswIndex *index, const char *value)
{
	return HnswHasLengths(index) ? (float) sqrt(-ValueRawDistance(&index->space, value, value)) : 1;
}

static char *
scratch(HnswIndex *index, uint32 bytes)
{
	if (index->scratch_bytes < bytes)
	{
		MemoryContext old = MemoryContextSwitchTo(index->context);

		if (index->scratch != NULL)
			pfree(index->scratch);
		index->scratch = palloc(bytes);
		index->scratch_bytes = bytes;
		MemoryContextSwitchTo(old);
	}
	return index->scratch;
}

/* Most bytes of a value of its own size. */
#define MOST_CHUNK_BYTES (sizeof(int32) + SPARSEVEC_MAX_NNZ * (sizeof(int32) + sizeof(float)))

static const char *
read_chunks(HnswIndex *index, BlockNumber home, const IndexChunkRef *ref, uint32 *bytes, const char **fault)
{
	char	   *out;
	uint32		at;

	if (ref->bytes < sizeof(int32) || ref->bytes > MOST_CHUNK_BYTES)
	{
		*fault = psprintf("A value has %u bytes.", ref->bytes);
		return NULL;
	}
	out = scratch(index, ref->bytes);
	at = ChunksRead(&index->file, home, ref, out);
	if (at < ref->bytes)
	{
		*fault = psprintf("A value ends after %u of %u bytes.", at, ref->bytes);
		return NULL;
	}

	/*
	 * On a standby the pieces may be another value's, when the scan came by a
	 * reference so old that the primary has used their room again.
	 */
	if (*(int32 *) out < 0 ||
		(Size) ref->bytes != sizeof(int32) + (Size) *(int32 *) out * (sizeof(int32) + sizeof(float)))
	{
		*fault = psprintf("A value of %u bytes has elements that do not take as many.", ref->bytes);
		return NULL;
	}
	*bytes = ref->bytes;
	return out;
}

/*
 * The stored value of a node, whole: packed integers or raw bytes.  It stands on
 * the page itself, or in a scratch area that the next call overwrites.  The
 * caller holds a lock on the node's page.  NULL where it is not whole; then
 * *fault says why.
 */
const char *
HnswTryReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes, const char **fault)
{
	const HnswLayout *layout = &index->layout[kind];
	const char *start = HnswNodeValue(node, layout);
	uint32		at = layout->value_inline;
	BlockNumber block;
	char	   *out;

	Assert(BufferIsLocked(buffer));
	if (layout->value_form == HNSW_VALUE_CHUNKS)
		return read_chunks(index, BufferGetBlockNumber(buffer), (const IndexChunkRef *) start, bytes, fault);
	*bytes = layout->value_bytes;
	if (layout->tail_pages == 0)
		return start;

	block = BufferGetBlockNumber(buffer);
	if (!IndexHasBlock(&index->file, block + layout->tail_pages))
	{
		*fault = "A value goes on beyond the end of the index.";
		return NULL;
	}
	out = scratch(index, layout->value_bytes);
	memcpy(out, start, at);
	TailRead(&index->file, block, layout->tail_pages, out + at, layout->value_bytes - at);
	return out;
}

/* The same, and an error where the value is not whole. */
const char *
HnswReadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes)
{
	const char *fault = NULL;
	const char *value = HnswTryReadValue(index, buffer, node, kind, bytes, &fault);

	if (unlikely(value == NULL))
		HnswCorrupt(index->file.rel, BufferGetBlockNumber(buffer), fault);
	return value;
}

/* The same, copied to memory of the current context. */
char *
HnswCopyValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, uint32 *bytes)
{
	const char *value = HnswReadValue(index, buffer, node, kind, bytes);

	return memcpy(palloc(*bytes), value, *bytes);
}

/*
 * A node's value as one that is to be searched for, in memory of the current context.
 * The caller holds a lock on the node's page.
 */
void
HnswLoadValue(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, IndexValue *value)
{
	memset(value, 0, sizeof(IndexValue));
	if (index->space.coded)
	{
		uint32		bytes;
		const char *stored = HnswReadValue(index, buffer, node, kind, &bytes);

		value->rotated = palloc(sizeof(float) * index->space.padded);
		packed12_load((const uint8 *) stored, index->space.padded, node->scale, value->rotated);
		value->norm = node->norm;
	}
	else
		value->raw = HnswCopyValue(index, buffer, node, kind, &value->raw_bytes);
}

/*
 * Distance of a node from a prepared value: squared Euclidean, negative inner
 * product, or ValueRawDistance.  The caller holds a lock on the node's page.
 */
float
HnswNodeDistance(HnswIndex *index, Buffer buffer, const HnswNode *node, int kind, const IndexValue *value)
{
	uint32		bytes;
	const char *stored = HnswReadValue(index, buffer, node, kind, &bytes);

	if (index->space.coded)
		return ValuePackedDistance(&index->space, value->rotated, (const uint8 *) stored, node->scale);
	return (float) ValueRawDistance(&index->space, value->raw, stored);
}

/*
 * Read the residual of a coded node to *residual, whose levels padded / 2 zeros follow.
 * False where there is none that can be a residual of what was stored with `error`.
 */
bool
HnswReadResidual(HnswIndex *index, HnswRef at, float error, ValueResidual *residual)
{
	IndexChunkRef ref;

	if (!HnswHasResidual(at))
		return false;
	ref.bytes = ValueResidualBytes(&index->space);
	ref.first = HnswResidualChunk(at);
	return ChunksRead(&index->file, InvalidBlockNumber, &ref, (char *) residual) == ref.bytes &&
		isfinite(residual->addend) && residual->error >= 0 && residual->error <= error;
}
