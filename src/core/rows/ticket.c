/*
 * ticket.c
 *	  Tickets of transactions that write.
 */
#include "core/rows/ticket.h"

#include <string.h>

#include "core/assert.h"

_Static_assert(ROW_OPEN_MAX <= ROW_TICKETS_OPEN, "what is settled may have fewer exceptions than there are");

/* Do the open ones ascend, up to the last given out? */
static bool
tickets_hold(const RowTickets *self)
{
	if (self->n > ROW_TICKETS_OPEN)
		return false;
	for (uint32_t i = 0; i < self->n; i++)
		if (self->open[i] <= (i == 0 ? 0 : self->open[i - 1]) || self->open[i] > self->last)
			return false;
	return true;
}

uint64_t
ticket_take(RowTickets *self, int32_t pid)
{
	CORE_ASSERT(pid != 0);
	if (self->n >= ROW_TICKETS_OPEN || self->last == UINT64_MAX)
		return 0;
	self->open[self->n] = ++self->last;
	self->pid[self->n++] = pid;
	CORE_ASSERT(tickets_hold(self));
	return self->last;
}

bool
ticket_give_back(RowTickets *self, uint64_t ticket, int32_t pid)
{
	uint32_t	low = 0;
	uint32_t	high = self->n;

	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (self->open[middle] < ticket)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == self->n || self->open[low] != ticket || self->pid[low] != pid)
		return false;
	self->n--;
	memmove(self->open + low, self->open + low + 1, (self->n - low) * sizeof self->open[0]);
	memmove(self->pid + low, self->pid + low + 1, (self->n - low) * sizeof self->pid[0]);
	CORE_ASSERT(tickets_hold(self));
	return true;
}

void
ticket_settled(const RowTickets *self, RowSettled *out)
{
	CORE_ASSERT(tickets_hold(self));
	out->top = out->last = self->last;
	out->n = self->n;
	if (self->n > ROW_OPEN_MAX)
	{
		out->n = ROW_OPEN_MAX;
		out->top = self->open[ROW_OPEN_MAX] - 1;
	}
	memcpy(out->open, self->open, out->n * sizeof out->open[0]);
	for (; out->n > 0 && out->open[out->n - 1] == out->top; out->n--)
		out->top--;
	CORE_ASSERT(out->top <= self->last && (out->n == 0 || out->open[out->n - 1] < out->top));
}

int32_t
ticket_blocked_by(const RowTickets *self)
{
	return self->n == 0 ? 0 : self->pid[0];
}
