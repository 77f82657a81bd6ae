/*
 * frontier.c
 *	  Version vectors with exceptions.
 *
 * Of two claims of one incarnation, up to a < b, whatever neither covers is an exception
 * of the one up to b: those of the other are at or below a.  So a join has never more
 * exceptions than one of its operands, and fits always; only a claim that comes with too
 * many is cut, and a meet, which has those of both.
 *
 * Join and meet write the exceptions of self from the front of its array while they read
 * the old ones, which were moved to the end of room for those of both.  What is written
 * is never more than what was read of both, so writing does not overtake reading, and
 * after the room has been found nothing can fail.
 */
#include "core/rows/frontier.h"

#include "core/assert.h"
#include "core/bytes.h"

#define TOPS_FIRST 8
#define OPEN_FIRST 8

/* What one frontier says of one incarnation. */
typedef struct Part
{
	uint64_t	top;
	const RowStamp *open;
	uint32_t	n;
} Part;

/* The parts of a frontier, one incarnation after another. */
typedef struct PartReader
{
	const uint64_t *top;
	uint32_t	n;
	const RowStamp *open;
	const RowStamp *end;
	uint32_t	incarnation;	/* of the last part read */
} PartReader;

static bool reserve_tops(RowFrontier *self, uint32_t n);
static bool reserve_open(RowFrontier *self, uint32_t n_open);
static void set_top(RowFrontier *self, uint32_t incarnation, uint64_t top);
static void trim(RowFrontier *self);
static uint32_t open_from(const RowFrontier *self, uint32_t incarnation, uint64_t ticket);
static RowStamp *open_end(const RowFrontier *self);
static Part part_of(const RowFrontier *self, uint32_t incarnation);
static PartReader begin_merge(RowFrontier *self, uint32_t n_other);
static PartReader read_parts(const RowFrontier *self);
static Part next_part(PartReader *reader);
static bool part_includes(Part a, Part b);
static uint32_t not_covered(Part high, Part low, RowStamp *out);
static uint32_t meet_parts(Part a, Part b, RowStamp *out, uint64_t *top);
static uint32_t claim_open(Part had, uint64_t *top, const uint64_t *open, uint32_t n, uint64_t *kept);

/* Is it in the normal form: exceptions ascend below tops, few enough, and the last top is not 0? */
static bool
frontier_holds(const RowFrontier *self)
{
	uint32_t	of_one = 0;

	for (uint32_t i = 0; i < self->n_open; i++)
	{
		const RowStamp *open = &self->open[i];
		bool		same = i > 0 && open->incarnation == open[-1].incarnation;

		of_one = same ? of_one + 1 : 1;
		if (open->incarnation < 1 || open->incarnation > self->n || open->ticket < 1 ||
			open->ticket >= self->top[open->incarnation - 1] || of_one > ROW_OPEN_MAX ||
			(i > 0 && open->incarnation < open[-1].incarnation) || (same && open->ticket <= open[-1].ticket))
			return false;
	}
	return self->n <= self->room && self->n_open <= self->open_room && (self->n == 0 || self->top[self->n - 1] > 0);
}

void
row_frontier_init(RowFrontier *self, const CoreMemory *memory)
{
	*self = (RowFrontier) {.memory = memory};
}

void
row_frontier_reset(RowFrontier *self)
{
	core_free(self->memory, self->top);
	core_free(self->memory, self->open);
	row_frontier_init(self, self->memory);
}

bool
row_frontier_copy(RowFrontier *self, const RowFrontier *from)
{
	if (self == from)
		return true;
	if (!reserve_tops(self, from->n) || !reserve_open(self, from->n_open))
		return false;
	self->n = from->n;
	self->n_open = from->n_open;
	if (self->n > 0)
		memcpy(self->top, from->top, self->n * sizeof self->top[0]);
	if (self->n_open > 0)
		memcpy(self->open, from->open, self->n_open * sizeof self->open[0]);
	CORE_ASSERT(frontier_holds(self));
	return true;
}

uint64_t
row_frontier_top(const RowFrontier *self, uint32_t incarnation)
{
	return incarnation < 1 || incarnation > self->n ? 0 : self->top[incarnation - 1];
}

bool
row_frontier_covers(const RowFrontier *self, RowStamp stamp)
{
	uint32_t	at;

	if (stamp.ticket < 1 || stamp.ticket > row_frontier_top(self, stamp.incarnation))
		return false;
	at = open_from(self, stamp.incarnation, stamp.ticket);
	return at == self->n_open || self->open[at].incarnation != stamp.incarnation || self->open[at].ticket != stamp.ticket;
}

bool
row_frontier_includes(const RowFrontier *self, const RowFrontier *other)
{
	PartReader	mine = read_parts(self);
	PartReader	theirs = read_parts(other);

	if (other->n > self->n)
		return false;			/* its last top is not 0 */
	for (uint32_t i = 0; i < other->n; i++)
	{
		Part		a = next_part(&mine);
		Part		b = next_part(&theirs);

		if (!part_includes(a, b))
			return false;
	}
	return true;
}

bool
row_frontier_equal(const RowFrontier *a, const RowFrontier *b)
{
	if (a->n != b->n || a->n_open != b->n_open)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (a->top[i] != b->top[i])
			return false;
	for (uint32_t i = 0; i < a->n_open; i++)
		if (a->open[i].incarnation != b->open[i].incarnation || a->open[i].ticket != b->open[i].ticket)
			return false;
	return true;
}

bool
row_frontier_claim(RowFrontier *self, uint32_t incarnation, uint64_t top, const uint64_t *open, uint32_t n)
{
	Part		had = part_of(self, incarnation);
	uint32_t	from = open_from(self, incarnation, 0);
	uint64_t	kept[ROW_OPEN_MAX];
	uint32_t	n_kept;
	uint32_t	tail = self->n_open - from - had.n;

	CORE_ASSERT(incarnation > 0);
	for (uint32_t i = 0; i < n; i++)
		CORE_ASSERT(open[i] > (i == 0 ? 0 : open[i - 1]) && open[i] <= top);
	n_kept = claim_open(had, &top, open, n, kept);
	CORE_ASSERT(top >= had.top && top - n_kept >= had.top - had.n);
	if (top == 0)
		return true;
	if (!reserve_tops(self, incarnation) || !reserve_open(self, from + n_kept + tail))
		return false;
	set_top(self, incarnation, top);
	if (tail > 0 && n_kept != had.n)
		memmove(self->open + from + n_kept, self->open + from + had.n, tail * sizeof self->open[0]);
	for (uint32_t i = 0; i < n_kept; i++)
		self->open[from + i] = (RowStamp) {incarnation, kept[i]};
	self->n_open = from + n_kept + tail;
	CORE_ASSERT(frontier_holds(self));
	return true;
}

bool
row_frontier_join(RowFrontier *self, const RowFrontier *other)
{
	PartReader	mine;
	PartReader	theirs;
	uint32_t	n = self->n > other->n ? self->n : other->n;

	if (self == other)
		return true;
	if (!reserve_tops(self, n) || !reserve_open(self, self->n_open + other->n_open))
		return false;
	mine = begin_merge(self, other->n_open);
	theirs = read_parts(other);
	for (uint32_t i = 1; i <= n; i++)
	{
		Part		a = next_part(&mine);
		Part		b = next_part(&theirs);
		uint64_t	top = a.top > b.top ? a.top : b.top;
		RowStamp   *out = open_end(self);
		uint32_t	n_out = a.top >= b.top ? not_covered(a, b, out) : not_covered(b, a, out);

		CORE_ASSERT(top - n_out >= a.top - a.n && top - n_out >= b.top - b.n);
		self->n_open += n_out;
		set_top(self, i, top);
	}
	CORE_ASSERT(frontier_holds(self) && row_frontier_includes(self, other));
	return true;
}

/* Of this incarnation, or of all where it is 0. */
static bool
meet(RowFrontier *self, uint32_t incarnation, const RowFrontier *other)
{
	PartReader	mine;
	PartReader	theirs;

	if (self == other)
		return true;
	if (!reserve_open(self, self->n_open + other->n_open))
		return false;
	mine = begin_merge(self, other->n_open);
	theirs = read_parts(other);
	for (uint32_t i = 0; i < self->n; i++)
	{
		Part		a = next_part(&mine);
		Part		b = next_part(&theirs);
		uint64_t	top;
		uint32_t	n_out = meet_parts(a, incarnation == 0 || incarnation == i + 1 ? b : a, open_end(self), &top);

		CORE_ASSERT(top - n_out <= a.top - a.n);
		self->n_open += n_out;
		self->top[i] = top;
	}
	trim(self);
	CORE_ASSERT(frontier_holds(self));
	return true;
}

bool
row_frontier_meet(RowFrontier *self, const RowFrontier *other)
{
	if (!meet(self, 0, other))
		return false;
	CORE_ASSERT(row_frontier_includes(other, self));
	return true;
}

bool
row_frontier_limit(RowFrontier *self, uint32_t incarnation, const RowFrontier *other)
{
	CORE_ASSERT(incarnation > 0);
	return incarnation > self->n || meet(self, incarnation, other);
}

void
row_frontier_digest(const RowFrontier *self, const RowDictionary *dictionary, uint8_t digest[16])
{
	PartReader	reader = read_parts(self);
	uint64_t	low = 0;
	uint64_t	high = 0;

	for (uint32_t i = 1; i <= self->n; i++)
	{
		Part		part = next_part(&reader);
		uint8_t		message[ROW_INCARNATION_ID + 8 + 8 * ROW_OPEN_MAX];
		uint8_t		hash[CORE_HASH_BYTES];
		ByteWriter	writer = {message, sizeof message, false};
		uint64_t	term;

		if (part.top == 0)
			continue;
		bytes_put(&writer, row_dictionary_get(dictionary, i)->id.bytes, ROW_INCARNATION_ID);
		bytes_put_uint(&writer, 8, part.top);
		for (uint32_t k = 0; k < part.n; k++)
			bytes_put_uint(&writer, 8, part.open[k].ticket);
		CORE_ASSERT(!writer.failed);
		dictionary->crypto->sha256(dictionary->crypto->context, message, sizeof message - writer.left, hash);
		term = bytes_load(hash, 8);
		low += term;
		high += bytes_load(hash + 8, 8) + (low < term);
	}
	bytes_store(digest, 8, low);
	bytes_store(digest + 8, 8, high);
}

/* Room for incarnations 1 .. n. */
static bool
reserve_tops(RowFrontier *self, uint32_t n)
{
	uint32_t	room = self->room < TOPS_FIRST ? TOPS_FIRST : self->room;
	uint64_t   *wider;

	if (n <= self->room)
		return true;
	while (room < n)
		room = room > UINT32_MAX / 2 ? n : room * 2;
	wider = core_grow(self->memory, self->top, self->n, room, sizeof self->top[0]);
	if (wider == NULL)
		return false;
	self->top = wider;
	self->room = room;
	return true;
}

static bool
reserve_open(RowFrontier *self, uint32_t n_open)
{
	uint32_t	room = self->open_room < OPEN_FIRST ? OPEN_FIRST : self->open_room;
	RowStamp   *wider;

	if (n_open <= self->open_room)
		return true;
	while (room < n_open)
		room = room > UINT32_MAX / 2 ? n_open : room * 2;
	wider = core_grow(self->memory, self->open, self->n_open, room, sizeof self->open[0]);
	if (wider == NULL)
		return false;
	self->open = wider;
	self->open_room = room;
	return true;
}

/* There is room for it. */
static void
set_top(RowFrontier *self, uint32_t incarnation, uint64_t top)
{
	CORE_ASSERT(incarnation <= self->room);
	while (self->n < incarnation)
		self->top[self->n++] = 0;
	self->top[incarnation - 1] = top;
}

/* The last incarnation has a top. */
static void
trim(RowFrontier *self)
{
	while (self->n > 0 && self->top[self->n - 1] == 0)
		self->n--;
}

/* Where the first exception is that does not come before (incarnation, ticket). */
static uint32_t
open_from(const RowFrontier *self, uint32_t incarnation, uint64_t ticket)
{
	uint32_t	low = 0;
	uint32_t	high = self->n_open;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;
		const RowStamp *open = &self->open[middle];

		if (open->incarnation < incarnation || (open->incarnation == incarnation && open->ticket < ticket))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Where the next exception goes; there may be no array yet. */
static RowStamp *
open_end(const RowFrontier *self)
{
	return self->n_open == 0 ? self->open : self->open + self->n_open;
}

static Part
part_of(const RowFrontier *self, uint32_t incarnation)
{
	Part		part = {.top = row_frontier_top(self, incarnation)};
	uint32_t	from = open_from(self, incarnation, 0);
	uint32_t	end = from;

	while (end < self->n_open && self->open[end].incarnation == incarnation)
		end++;
	part.n = end - from;
	part.open = part.n == 0 ? NULL : self->open + from;
	return part;
}

static PartReader
read_parts(const RowFrontier *self)
{
	return (PartReader) {.top = self->top, .n = self->n, .open = self->open, .end = open_end(self)};
}

/* Take the exceptions of self out to be read again, with room before them for n_other. */
static PartReader
begin_merge(RowFrontier *self, uint32_t n_other)
{
	PartReader	reader = read_parts(self);

	CORE_ASSERT(self->open_room >= self->n_open + n_other);
	if (self->n_open > 0 && n_other > 0)
	{
		memmove(self->open + n_other, self->open, self->n_open * sizeof self->open[0]);
		reader.open += n_other;
		reader.end += n_other;
	}
	self->n_open = 0;
	return reader;
}

static Part
next_part(PartReader *reader)
{
	Part		part = {.open = reader->open};

	reader->incarnation++;
	if (reader->incarnation <= reader->n)
		part.top = reader->top[reader->incarnation - 1];
	while (reader->open != reader->end && reader->open->incarnation == reader->incarnation)
	{
		reader->open++;
		part.n++;
	}
	return part;
}

/* Does a cover all that b covers, of one incarnation? */
static bool
part_includes(Part a, Part b)
{
	uint32_t	at = 0;

	if (a.top < b.top)
		return false;			/* b's top is not open */
	for (uint32_t i = 0; i < a.n && a.open[i].ticket <= b.top; i++)
	{
		while (at < b.n && b.open[at].ticket < a.open[i].ticket)
			at++;
		if (at == b.n || b.open[at].ticket != a.open[i].ticket)
			return false;
	}
	return true;
}

/* The exceptions of the one with the higher top that the other does not cover, into out; how many. */
static uint32_t
not_covered(Part high, Part low, RowStamp *out)
{
	uint32_t	n_out = 0;
	uint32_t	at = 0;

	CORE_ASSERT(high.top >= low.top);
	for (uint32_t i = 0; i < high.n; i++)
	{
		RowStamp	open = high.open[i];

		while (at < low.n && low.open[at].ticket < open.ticket)
			at++;
		if (open.ticket > low.top || (at < low.n && low.open[at].ticket == open.ticket))
			out[n_out++] = open;
	}
	return n_out;
}

/* The exceptions of what both cover into out, and its top; how many. */
static uint32_t
meet_parts(Part a, Part b, RowStamp *out, uint64_t *top)
{
	uint32_t	n_out = 0;
	uint32_t	i = 0;
	uint32_t	k = 0;

	*top = a.top < b.top ? a.top : b.top;
	while (i < a.n || k < b.n)
	{
		bool		of_a = k == b.n || (i < a.n && a.open[i].ticket <= b.open[k].ticket);
		RowStamp	open = of_a ? a.open[i] : b.open[k];

		if (open.ticket > *top)
			break;
		if (n_out == ROW_OPEN_MAX)
		{
			*top = open.ticket - 1;
			break;
		}
		i += i < a.n && a.open[i].ticket == open.ticket;
		k += k < b.n && b.open[k].ticket == open.ticket;
		out[n_out++] = open;
	}
	for (; n_out > 0 && out[n_out - 1].ticket == *top; n_out--)
		--*top;
	return n_out;
}

/*
 * The exceptions that an incarnation has after a claim into kept[ROW_OPEN_MAX]; how many.
 * *top is the claim's before, the incarnation's after.
 */
static uint32_t
claim_open(Part had, uint64_t *top, const uint64_t *open, uint32_t n, uint64_t *kept)
{
	uint32_t	n_kept = 0;
	uint32_t	at = 0;

	if (*top <= had.top)
	{
		for (uint32_t i = 0; i < had.n; i++)
		{
			uint64_t	ticket = had.open[i].ticket;

			while (at < n && open[at] < ticket)
				at++;
			if (ticket > *top || (at < n && open[at] == ticket))
				kept[n_kept++] = ticket;
		}
		*top = had.top;
		return n_kept;
	}
	for (uint32_t i = 0; i < n; i++)
	{
		while (at < had.n && had.open[at].ticket < open[i])
			at++;
		if (open[i] <= had.top && (at == had.n || had.open[at].ticket != open[i]))
			continue;			/* covered already */
		if (n_kept == ROW_OPEN_MAX)
		{
			*top = open[i] - 1;
			break;
		}
		kept[n_kept++] = open[i];
	}
	for (; n_kept > 0 && kept[n_kept - 1] == *top; n_kept--)
		--*top;
	return n_kept;
}
