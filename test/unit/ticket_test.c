/*
 * ticket_test.c
 *	  Tickets of transactions, beside a model that keeps each by itself.
 */
#include "core/rows/ticket.h"

#include "rows_fixture.h"

#define TICKETS 60000

static RowTickets tickets;
static RowSettled settled;
static bool open[TICKETS + 1];
static int32_t pid[TICKETS + 1];
static uint64_t last;
static uint64_t oldest;			/* no open one is below */
static uint32_t n_open;
static RowFrontier frontier;
static RowFrontier claimed;

/* Is what is settled what the model has open, up to its first exception that does not fit? */
static bool
settled_agrees(void)
{
	uint64_t	top = last;
	uint32_t	n = 0;

	/* how far it goes */
	for (uint64_t t = oldest; t <= last; t++)
		if (open[t] && ++n > ROW_OPEN_MAX)
		{
			top = t - 1;
			break;
		}
	while (top > 0 && open[top])
		top--;
	ticket_settled(&tickets, &settled);
	if (settled.top != top)
		return false;
	n = 0;
	for (uint64_t t = oldest; t <= top; t++)
		if (open[t] && (n == settled.n || settled.open[n++] != t))
			return false;
	return n == settled.n;
}

/* Does the frontier take it as it is? */
static bool
frontier_agrees(void)
{
	row_frontier_reset(&claimed);
	if (!row_frontier_claim(&claimed, 1, settled.top, settled.open, settled.n) || claimed.n_open != settled.n ||
		row_frontier_top(&claimed, 1) != settled.top)
		return false;
	/* claims one after another only grow */
	return row_frontier_includes(&claimed, &frontier) && row_frontier_copy(&frontier, &claimed);
}

static bool
take(void)
{
	int32_t		whose = 1 + (int32_t) below(30000);
	uint64_t	ticket = ticket_take(&tickets, whose);

	if (n_open == ROW_TICKETS_OPEN)
		return ticket == 0;
	open[++last] = true;
	pid[last] = whose;
	n_open++;
	return ticket == last;
}

static bool
give_back(uint64_t ticket)
{
	bool		had = ticket <= last && open[ticket];
	int32_t		whose = ticket <= last ? pid[ticket] : 1;

	/* now and then another tries */
	if (below(8) == 0)
	{
		had = false;
		whose++;
	}
	if (had)
	{
		open[ticket] = false;
		n_open--;
	}
	return ticket_give_back(&tickets, ticket, whose) == had;
}

static void
test_by_hand(void)
{
	memset(&tickets, 0, sizeof tickets);
	ticket_settled(&tickets, &settled);
	ok(settled.top == 0 && settled.n == 0, "of none given out nothing is settled");
	ok(ticket_blocked_by(&tickets) == 0, "and nobody blocks");
	ok(!ticket_give_back(&tickets, 0, 70) && !ticket_give_back(&tickets, 1, 70), "nothing can be given back");
	ok(ticket_take(&tickets, 70) == 1 && ticket_take(&tickets, 71) == 2 && ticket_take(&tickets, 72) == 3, "tickets count from 1");
	ticket_settled(&tickets, &settled);
	ok(settled.top == 0 && settled.n == 0, "while all are open nothing is settled");
	ok(ticket_blocked_by(&tickets) == 70, "the oldest blocks");
	ok(!ticket_give_back(&tickets, 2, 70) && !ticket_give_back(&tickets, 2, 72) && tickets.n == 3, "another's is not given back");
	ok(ticket_give_back(&tickets, 2, 71) && !ticket_give_back(&tickets, 2, 71) && !ticket_give_back(&tickets, 4, 72),
	   "one is given back, once");
	ticket_settled(&tickets, &settled);
	ok(settled.top == 2 && settled.n == 1 && settled.open[0] == 1, "settled is up to it, without the one before");
	ok(ticket_give_back(&tickets, 1, 70) && ticket_blocked_by(&tickets) == 72, "the oldest is given back: another blocks");
	ticket_settled(&tickets, &settled);
	ok(settled.top == 2 && settled.n == 0, "all up to the one that is open is settled");
	ok(ticket_give_back(&tickets, 3, 72) && ticket_blocked_by(&tickets) == 0, "the last is given back");
	ticket_settled(&tickets, &settled);
	ok(settled.top == 3 && settled.n == 0, "all is settled");

	/* a transaction that was open when tickets began anew */
	memset(&tickets, 0, sizeof tickets);
	ok(ticket_take(&tickets, 71) == 1 && !ticket_give_back(&tickets, 1, 70) && ticket_blocked_by(&tickets) == 71,
	   "the end of one with a ticket of before leaves the one of now open");
	ticket_settled(&tickets, &settled);
	ok(settled.top == 0 && settled.n == 0 && ticket_give_back(&tickets, 1, 71), "and not settled, until it ends itself");
	tickets.last = UINT64_MAX - 1;
	ok(ticket_take(&tickets, 1) == UINT64_MAX && ticket_take(&tickets, 1) == 0, "after the greatest there is none");
	ticket_settled(&tickets, &settled);
	ok(settled.top == UINT64_MAX - 1 && settled.n == 0, "which is open");
}

static void
test_full(void)
{
	int			wrong = 0;

	memset(&tickets, 0, sizeof tickets);
	for (uint64_t i = 1; i <= ROW_TICKETS_OPEN; i++)
		wrong += ticket_take(&tickets, (int32_t) i) != i;
	ok(wrong == 0, "%d are open", ROW_TICKETS_OPEN);
	ok(ticket_take(&tickets, 1) == 0 && tickets.last == ROW_TICKETS_OPEN, "no more can be");
	ticket_settled(&tickets, &settled);
	ok(settled.top == 0 && settled.n == 0, "nothing is settled while all are open");
	for (uint64_t i = 2; i <= ROW_TICKETS_OPEN; i += 2)
		wrong += !ticket_give_back(&tickets, i, (int32_t) i);
	ticket_settled(&tickets, &settled);
	ok(wrong == 0 && settled.top == 2 * ROW_OPEN_MAX && settled.n == ROW_OPEN_MAX && settled.open[ROW_OPEN_MAX - 1] == 2 * ROW_OPEN_MAX - 1,
	   "of every second settled is as much as there is room for");
	ok(ticket_take(&tickets, 9) == ROW_TICKETS_OPEN + 1, "there is room again");
}

static void
test_random(void)
{
	uint32_t	aim = 10;		/* how many are to be open */
	uint32_t	most = 0;
	int			full = 0;
	int			cut = 0;
	int			wrong_take = 0;
	int			wrong_back = 0;
	int			wrong_settled = 0;
	int			wrong_claim = 0;
	int			wrong_blocked = 0;

	memset(&tickets, 0, sizeof tickets);
	oldest = 1;
	while (last < TICKETS)
	{
		if (below(500) == 0)
			aim = below(2) == 0 ? (uint32_t) below(10) : (uint32_t) below(ROW_TICKETS_OPEN + 200);
		if (below(100) < (n_open < aim ? 90 : 10))
		{
			full += n_open == ROW_TICKETS_OPEN;
			wrong_take += !take();
		}
		else if (n_open > 0 && below(10) > 0)
		{
			/* the oldest, the last or any */
			uint64_t	ticket = below(20) == 0 ? oldest : below(10) == 0 ? last : tickets.open[below(tickets.n)];

			wrong_back += !give_back(ticket);
		}
		else
			wrong_back += !give_back(below(last + 3));
		while (oldest <= last && !open[oldest])
			oldest++;
		if (n_open > most)
			most = n_open;
		wrong_blocked += ticket_blocked_by(&tickets) != (oldest <= last ? pid[oldest] : 0);
		if (below(10) > 0)
			continue;
		wrong_settled += !settled_agrees();
		wrong_claim += !frontier_agrees();
		cut += n_open > ROW_OPEN_MAX;
	}
	ok(wrong_take == 0 && most == ROW_TICKETS_OPEN && full > 0, "tickets are given out in order, up to %u open, then none (%d times)", most, full);
	ok(wrong_back == 0, "those that are open are given back, others refused");
	ok(wrong_blocked == 0, "the oldest is whose it is");
	ok(wrong_settled == 0 && cut > 0, "settled is what is not open, as far as there is room (%d times less than all)", cut);
	ok(wrong_claim == 0, "a frontier takes it as it is, and what is settled only grows");
	row_frontier_reset(&frontier);
	row_frontier_reset(&claimed);
}

int
main(void)
{
	fixture_begin();
	row_frontier_init(&frontier, &memory);
	row_frontier_init(&claimed, &memory);
	test_by_hand();
	test_full();
	test_random();
	return fixture_end();
}
