/*
 * rules.h
 *	  The rules that each close a hole, by name, so that a simulator can take one away
 *	  and show that it then loses something.
 *
 * A server takes none away: where CORE_ASSERTIONS is not defined, all hold.
 */
#ifndef CORE_ROWS_RULES_H
#define CORE_ROWS_RULES_H

typedef enum RowRule
{
	/* of the replica */
	ROW_RULE_CLOSED_BATCH = 1 << 0,	/* a claim only with every row of all incarnations */
	ROW_RULE_PRESENT_WINS = 1 << 1, /* absence means deleted only below the floor */
	ROW_RULE_SAME_MEMBERS = 1 << 2, /* acknowledgements count from those who know the same members */
	ROW_RULE_STALE_WAITS = 1 << 3,	/* below the floor a node compares before it sends, and is not asked */
	ROW_RULE_ROW_IS_THERE = 1 << 4, /* a live version without its row ends the batch */
	ROW_RULE_LEAST_SOURCE = 1 << 5, /* a copy claims what all its sources claim */
	ROW_RULE_FLOOR = 1 << 6,		/* below the floor nothing is answered row by row */
	ROW_RULE_VECTOR_HASH = 1 << 7,	/* a row without its vector names the vector */
	ROW_RULE_ADOPT = 1 << 8,		/* rows of batches that nobody ends are stamped anew */
	ROW_RULE_ACK_AFTER_BATCH = 1 << 9,	/* who is sending us a batch acknowledges nothing meanwhile */

	ROW_RULE_RENEWED = 1 << 17,		/* what was first written while away becomes a version above what was collected */

	/* of the host; VECTOR_HASH, CLOCK_HEARD and CLAIM_WITH_ROWS are also of what carries out jobs (apply.h) */
	ROW_RULE_INCARNATION = 1 << 10, /* a new one at every start */
	ROW_RULE_OPEN_TICKETS = 1 << 11,	/* open transactions are not claimed */
	ROW_RULE_LIVE_FROM_TABLE = 1 << 12, /* not from the kind of statement */
	ROW_RULE_FLUSH = 1 << 13,		/* what a snapshot shows is on disk before it is sent */
	ROW_RULE_CLOCK_BOUND = 1 << 14, /* the clock goes on above what was given out before a crash */
	ROW_RULE_CLOCK_HEARD = 1 << 15, /* and above what others tell of */
	ROW_RULE_CLAIM_WITH_ROWS = 1 << 16, /* in one transaction with the last of them */
	ROW_RULES = 18
} RowRule;

#ifdef CORE_ASSERTIONS
#define ROW_RULE_HOLDS(off, rule) (((off) & (rule)) == 0)
#else
#define ROW_RULE_HOLDS(off, rule) (true || (off) == (uint32_t) (rule))
#endif

#endif							/* CORE_ROWS_RULES_H */
