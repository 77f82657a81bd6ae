/*
 * metrics.h
 *	  What the front counts, and the text that /metrics shows of it.
 */
#ifndef VECDB_HTTP_METRICS_H
#define VECDB_HTTP_METRICS_H

#include "pgcompat.h"

#include "http/ipc.h"
#include "http/surface.h"

#define METRICS_BUCKETS	15

typedef enum MetricsRejection
{
	METRICS_REJECT_QUEUE,			/* the queue was full */
	METRICS_REJECT_MEMORY,		/* bodies take more memory than allowed */
	METRICS_REJECT_CONNECTIONS,	/* an idle connection was closed for a new one */
	METRICS_REJECT_DEADLINE,		/* a client was too slow */
	METRICS_REJECT_GUARD,			/* the request broke a rule of HTTP */
	METRICS_REJECT_SITE,			/* a name that is not ours, or a page of another origin */
	METRICS_REJECT_TOKEN,			/* a token that does not count, or none where there must be one */
	METRICS_REJECTIONS
} MetricsRejection;

/* Of the front alone, so plain counters do; they begin at 0 with the front. */
typedef struct MetricsCounters
{
	uint64		by_status[NSURFACES][600];
	uint64		buckets[METRICS_BUCKETS + 1];
	uint64		latency_count;
	double		latency_sum;	/* seconds */
	uint64		rejected[METRICS_REJECTIONS];
	uint64		cancelled;		/* queries whose client went away */
	uint64		lost;			/* requests whose executor went away */
	uint64		connections_total;

	/* now */
	int			connections;
	int			queued;
	Size		buffered;		/* bytes of bodies */
} MetricsCounters;

/* Count a request that is done: its surface, its status, and how long it took. */
extern void MetricsCountRequest(MetricsCounters *c, SurfaceId surface, int status, double seconds);

/*
 * The text of /metrics: the front's part and then, as it is, the part about
 * collections.  malloc'ed; NULL when there is no memory.
 */
extern char *MetricsText(const MetricsCounters *c, const IpcShared *shared, const bool *busy, const char *library,
						  const char *collections, size_t collections_len, size_t *len);

#endif							/* VECDB_HTTP_METRICS_H */
