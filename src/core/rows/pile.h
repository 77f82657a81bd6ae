/*
 * pile.h
 *	  Blocks of memory that are given back together.
 */
#ifndef CORE_ROWS_PILE_H
#define CORE_ROWS_PILE_H

#include "core/net/host.h"

typedef struct PileBlock
{
	struct PileBlock *next;
	size_t		size;
} PileBlock;

typedef struct Pile
{
	const CoreMemory *memory;
	PileBlock  *first;
	size_t		bytes;			/* of all blocks */
} Pile;

/* size bytes that stay until pile_reset(); NULL without memory. */
static inline void *
pile_alloc(Pile *self, size_t size)
{
	PileBlock  *block = core_alloc(self->memory, sizeof(PileBlock) + size);

	if (block == NULL)
		return NULL;
	block->next = self->first;
	block->size = size;
	self->first = block;
	self->bytes += size;
	return block + 1;
}

static inline void *
pile_copy(Pile *self, const void *from, size_t size)
{
	void	   *copy = pile_alloc(self, size);

	if (copy != NULL && size > 0)
		memcpy(copy, from, size);
	return copy;
}

static inline void
pile_reset(Pile *self)
{
	while (self->first != NULL)
	{
		PileBlock  *block = self->first;

		self->first = block->next;
		core_free(self->memory, block);
	}
	self->bytes = 0;
}

#endif							/* CORE_ROWS_PILE_H */
