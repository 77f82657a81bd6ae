/*
 * layout.c
 *	  Geometry of a node: how many bytes of code its neighbors get, and how
 *	  many nodes share a page.
 *
 * Speed comes from reading one page for each node that a search expands, so a
 * node and the codes of all its neighbors stand on one page.  Size comes from
 * filling pages.  The choice is made once, when the index is created, and is
 * stored in the meta page.
 */
#include "index/hnsw/hnsw_index.h"

#include "vector/vector.h"

/*
 * One-bit codes of fewer dimensions than this estimate too roughly, so a node
 * would rather have a page more to itself (level 0, upper levels).
 */
#define MIN_CODED_BASE		152
#define MIN_CODED_UPPER		128

/* With more dimensions, two bits for each leave too few nodes a page. */
#define MOST_FOR_2_BITS		192

/* Of its dimensions, what a code of several bits may leave out for one more node a page. */
#define MOST_LEFT_OUT(padded) ((padded) / 16)

/* More than this gains nothing: 128 bytes of code a neighbor. */
#define MAX_CODED			1024

static uint32
align8(uint32 n)
{
	return (n + 7) & ~7u;
}

/*
 * Offsets of the parts, for given links, bits, dc and value; the value goes in
 * whole, or as far as `room` allows.  Returns the slot's bytes.
 */
static uint32
place_parts(HnswLayout *layout, uint32 links, int bits, int dc, uint32 value_bytes, uint32 room)
{
	uint32		at = sizeof(HnswNode);

	layout->links = links;
	layout->bits = bits;
	layout->dc = dc;
	layout->blocks = dc > 0 ? (links + CODE_SLOTS - 1) / CODE_SLOTS : 0;
	layout->occluded = at;
	at += (links + 7) / 8;
	layout->pinned = at;
	at += (links + 7) / 8;
	at = (at + 1) & ~1u;
	layout->link = at;
	at += links * sizeof(HnswLink);
	layout->f_add = at;
	at += dc > 0 ? links * sizeof(bfloat16) : 0;
	layout->f_mul = at;
	at += dc > 0 ? links * sizeof(bfloat16) : 0;
	at = align8(at);
	layout->code = at;
	at += dc > 0 ? layout->blocks * code_block_bytes(bits, dc) : 0;
	layout->value = at;
	layout->value_bytes = value_bytes;
	layout->value_inline = value_bytes;
	layout->tail_pages = 0;
	if (at + value_bytes > room)
	{
		layout->value_inline = at < room ? (room - at) & ~7u : 0;
		layout->tail_pages = (value_bytes - layout->value_inline + INDEX_PAGE_ROOM - 1) / INDEX_PAGE_ROOM;
	}
	at += layout->value_inline;
	return align8(at);
}

static void
finish(HnswLayout *layout, uint32 slot_bytes)
{
	layout->slot_bytes = slot_bytes;
	layout->slots = Min(INDEX_PAGE_ROOM / slot_bytes, HNSW_MAX_SLOTS);
	if (layout->tail_pages > 0)
		layout->slots = 1;
	Assert(layout->slots >= 1);

	/*
	 * Estimates read the factors of whole blocks, whatever links there are: of the
	 * smallest nodes a few bytes of the next one, but never beyond the page's room.
	 */
	Assert((layout->slots - 1) * slot_bytes + layout->f_mul +
		   layout->blocks * CODE_SLOTS * sizeof(bfloat16) <= INDEX_PAGE_ROOM);
}

/*
 * Bytes left for one code block when n nodes share a page, divided by the
 * bytes that eight coded dimensions take.
 */
static int
dims_that_fit(uint32 fixed, uint32 value_bytes, int blocks, int bits, int n)
{
	int			room = (int) ((INDEX_PAGE_ROOM / n) & ~7u) - (int) fixed - (int) value_bytes;

	return room <= 0 ? 0 : room / (blocks * bits * 4) & ~7;
}

/*
 * Nodes that would share a page if they held floats and links alone.  One more
 * than these is what a page is to hold: an index of codes need not be larger
 * than one without, and beyond that codes are better spent on speed.
 */
static int
floats_on_a_page(int dim, int links)
{
	return INDEX_PAGE_ROOM / (sizeof(HnswNode) + links * sizeof(HnswLink) + dim * sizeof(float));
}

static void
coded_layout(HnswLayout *layout, int links, int padded, int wanted_bits, int min_coded, int most_nodes)
{
	uint32		value_bytes = packed12_bytes(padded);
	int			bits = wanted_bits > 0 ? wanted_bits : padded <= MOST_FOR_2_BITS ? 2 : 1;
	int			blocks = (links + CODE_SLOTS - 1) / CODE_SLOTS;
	uint32		fixed = align8(place_parts(layout, links, bits, 8, 0, INDEX_PAGE_ROOM)) - blocks * code_block_bytes(bits, 8);

	layout->value_form = HNSW_VALUE_PACKED12;

	/* All dimensions coded, or almost: as many bits as stand on a page together with the value */
	for (; bits >= 1; bits /= 2)
	{
		if (bits == 1 && padded > min_coded)
			break;
		for (int n = INDEX_PAGE_ROOM / (fixed + value_bytes + 1); n >= 1; n--)
		{
			int			dc = Min(dims_that_fit(fixed, value_bytes, blocks, bits, n), padded);

			if (dc >= padded - MOST_LEFT_OUT(padded))
			{
				finish(layout, place_parts(layout, links, bits, dc, value_bytes, INDEX_PAGE_ROOM));
				return;
			}
		}
	}

	/* One bit: the first dc dimensions, so that nodes fill their page */
	min_coded = Min(min_coded, padded);
	for (int n = Min(INDEX_PAGE_ROOM / (fixed + value_bytes + 1), most_nodes); n >= 1; n--)
	{
		int			dc = Min(dims_that_fit(fixed, value_bytes, blocks, 1, n), padded);

		if (dc >= min_coded)
		{
			finish(layout, place_parts(layout, links, 1, Min(dc, MAX_CODED), value_bytes, INDEX_PAGE_ROOM));
			return;
		}
	}

	/* Long vectors: links and codes on the first page, the value goes on behind */
	finish(layout, place_parts(layout, links, 1,
							   Min(Min(dims_that_fit(fixed, 0, blocks, 1, 1), padded), MAX_CODED),
							   value_bytes, INDEX_PAGE_ROOM));
}

uint32
HnswCenterPages(const HnswIndex *index)
{
	return index->space.coded ? (index->space.dim + HNSW_CENTER_FLOATS - 1) / HNSW_CENTER_FLOATS : 0;
}

static void
plain_layout(HnswLayout *layout, int links, uint32 value_bytes)
{
	layout->value_form = value_bytes > 0 ? HNSW_VALUE_RAW : HNSW_VALUE_CHUNKS;
	if (value_bytes == 0)
		value_bytes = sizeof(IndexChunkRef);
	finish(layout, place_parts(layout, links, 0, 0, value_bytes, INDEX_PAGE_ROOM));
}

/*
 * Fill index->layout from its other fields.  code_bits is the reloption, 0 to
 * choose by dimensions.
 */
void
HnswComputeLayout(HnswIndex *index, int code_bits)
{
	memset(index->layout, 0, sizeof(index->layout));
	if (index->space.coded)
	{
		coded_layout(&index->layout[HNSW_BASE], 2 * index->m, index->space.padded, code_bits, MIN_CODED_BASE,
					 floats_on_a_page(index->space.dim, 2 * index->m) + 1);
		coded_layout(&index->layout[HNSW_UPPER], index->m, index->space.padded, code_bits, MIN_CODED_UPPER, HNSW_MAX_SLOTS);
	}
	else
	{
		plain_layout(&index->layout[HNSW_BASE], 2 * index->m, ValueRawBytes(&index->space));
		plain_layout(&index->layout[HNSW_UPPER], index->m, ValueRawBytes(&index->space));
	}
}

/*
 * Is this a layout that nodes of the index can have?  Which of them it is, is the
 * choice of the vecdb that made the index; where its parts are follows from that.
 */
bool
HnswLayoutIsSound(const HnswIndex *index, int kind, const HnswLayout *layout)
{
	HnswLayout	again;
	uint32		value_bytes = index->space.coded ? packed12_bytes(index->space.padded) : ValueRawBytes(&index->space);
	int			links = kind == HNSW_BASE ? 2 * index->m : index->m;
	uint32		slot_bytes;

	memset(&again, 0, sizeof(again));
	if (index->space.coded)
	{
		if ((layout->bits != 1 && layout->bits != 2 && layout->bits != 4) ||
			layout->dc == 0 || layout->dc % 8 != 0 || layout->dc > index->space.padded)
			return false;
		again.value_form = HNSW_VALUE_PACKED12;
	}
	else
	{
		if (layout->bits != 0 || layout->dc != 0)
			return false;
		again.value_form = value_bytes > 0 ? HNSW_VALUE_RAW : HNSW_VALUE_CHUNKS;
		if (value_bytes == 0)
			value_bytes = sizeof(IndexChunkRef);
	}
	slot_bytes = place_parts(&again, links, layout->bits, layout->dc, value_bytes, INDEX_PAGE_ROOM);
	if (slot_bytes > INDEX_PAGE_ROOM)
		return false;
	finish(&again, slot_bytes);
	return memcmp(&again, layout, sizeof(again)) == 0;
}
