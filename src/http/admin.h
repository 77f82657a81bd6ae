/*
 * admin.h
 *	  What the front counts, and the text that /metrics shows of it.
 */
#ifndef VECDB_HTTP_ADMIN_H
#define VECDB_HTTP_ADMIN_H

#include "pgcompat.h"

#include "http/ipc.h"

#define ADMIN_BUCKETS	15

typedef enum AdminRejection
{
	ADMIN_REJECT_QUEUE,			/* the queue was full */
	ADMIN_REJECT_MEMORY,		/* bodies take more memory than allowed */
	ADMIN_REJECT_CONNECTIONS,	/* an idle connection was closed for a new one */
	ADMIN_REJECT_DEADLINE,		/* a client was too slow */
	ADMIN_REJECT_GUARD,			/* the request broke a rule of HTTP */
	ADMIN_REJECT_SITE,			/* a name that is not ours, or a page of another origin */
	ADMIN_REJECTIONS
} AdminRejection;

/* Of the front alone, so plain counters do; they begin at 0 with the front. */
typedef struct AdminCounters
{
	uint64		by_status[600];
	uint64		buckets[ADMIN_BUCKETS + 1];
	uint64		latency_count;
	double		latency_sum;	/* seconds */
	uint64		rejected[ADMIN_REJECTIONS];
	uint64		cancelled;		/* queries whose client went away */
	uint64		lost;			/* requests whose executor went away */
	uint64		connections_total;

	/* now */
	int			connections;
	int			queued;
	Size		buffered;		/* bytes of bodies */
} AdminCounters;

extern void AdminCountRequest(AdminCounters *c, int status, double seconds);

/*
 * The text of /metrics: the front's part and then, as it is, the part about
 * collections.  malloc'ed; NULL when there is no memory.
 */
extern char *AdminMetrics(const AdminCounters *c, const IpcShared *shared, const bool *busy, const char *library,
						  const char *collections, size_t collections_len, size_t *len);

#endif							/* VECDB_HTTP_ADMIN_H */
