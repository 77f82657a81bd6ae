/*
 * metrics.c
 *	  What the front counts, in Prometheus' text format.
 *
 * Called within hooks of the HTTP library: nothing here may raise an error, so
 * memory is malloc's.
 */
#include "http/metrics.h"

#include <stdarg.h>
#include <stdio.h>

static const double bucket_limits[METRICS_BUCKETS] = {
	0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
};

static const char *const rejection_names[METRICS_REJECTIONS] = {
	"queue", "memory", "connections", "deadline", "guard", "site", "token"
};

typedef struct Text
{
	char	   *data;
	size_t		len;
	size_t		size;
} Text;

static void add(Text *text, const char *format,...) pg_attribute_printf(2, 3);

static void
add(Text *text, const char *format,...)
{
	va_list		args;
	int			n;

	if (!text->data)
		return;
	va_start(args, format);
	n = vsnprintf(text->data + text->len, text->size - text->len, format, args);
	va_end(args);
	if (n > 0)
		text->len = Min(text->len + (size_t) n, text->size - 1);
}

static void
head(Text *text, const char *name, const char *type, const char *help)
{
	add(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
MetricsCountRequest(MetricsCounters *c, SurfaceId surface, int status, double seconds)
{
	int			i = 0;

	if (status > 0 && status < (int) lengthof(c->by_status[surface]))
		c->by_status[surface][status]++;
	while (i < METRICS_BUCKETS && seconds > bucket_limits[i])
		i++;
	c->buckets[i]++;
	c->latency_count++;
	c->latency_sum += seconds;
}

char *
MetricsText(const MetricsCounters *c, const IpcShared *shared, const bool *busy, const char *library,
			 const char *collections, size_t collections_len, size_t *len)
{
	Text		text = {.size = 16384 + 512 * (size_t) shared->nslots + collections_len};
	uint64		sum = 0;

	text.data = malloc(text.size);

	head(&text, "vecdb_http_info", "gauge", "1; the HTTP library and its version.");
	add(&text, "vecdb_http_info{library=\"libmicrohttpd\",version=\"%s\"} 1\n", library);
	head(&text, "vecdb_http_requests_total", "counter", "Requests by status; 499 is a client that went away.");
	for (int i = 0; i < (int) lengthof(c->by_status[0]); i++)
	{
		uint64		of_status = 0;

		for (int s = 0; s < NSURFACES; s++)
			of_status += c->by_status[s][i];
		if (of_status > 0)
			add(&text, "vecdb_http_requests_total{status=\"%d\"} " UINT64_FORMAT "\n", i, of_status);
	}
	head(&text, "vecdb_http_request_duration_seconds", "histogram", "Time from a request's line to the end of its answer.");
	for (int i = 0; i < METRICS_BUCKETS; i++)
	{
		sum += c->buckets[i];
		add(&text, "vecdb_http_request_duration_seconds_bucket{le=\"%g\"} " UINT64_FORMAT "\n", bucket_limits[i], sum);
	}
	add(&text, "vecdb_http_request_duration_seconds_bucket{le=\"+Inf\"} " UINT64_FORMAT "\n", c->latency_count);
	add(&text, "vecdb_http_request_duration_seconds_sum %.6f\n", c->latency_sum);
	add(&text, "vecdb_http_request_duration_seconds_count " UINT64_FORMAT "\n", c->latency_count);
	head(&text, "vecdb_http_rejections_total", "counter", "Requests and connections turned away, by reason.");
	for (int i = 0; i < METRICS_REJECTIONS; i++)
		add(&text, "vecdb_http_rejections_total{reason=\"%s\"} " UINT64_FORMAT "\n", rejection_names[i], c->rejected[i]);
	head(&text, "vecdb_http_cancelled_total", "counter", "Queries cancelled because their client went away.");
	add(&text, "vecdb_http_cancelled_total " UINT64_FORMAT "\n", c->cancelled);
	head(&text, "vecdb_http_lost_total", "counter", "Requests whose executor ended before it answered.");
	add(&text, "vecdb_http_lost_total " UINT64_FORMAT "\n", c->lost);
	head(&text, "vecdb_http_connections_total", "counter", "Connections accepted.");
	add(&text, "vecdb_http_connections_total " UINT64_FORMAT "\n", c->connections_total);
	head(&text, "vecdb_http_connections", "gauge", "Connections open now.");
	add(&text, "vecdb_http_connections %d\n", c->connections);
	head(&text, "vecdb_http_queue_depth", "gauge", "Requests that wait for an executor.");
	add(&text, "vecdb_http_queue_depth %d\n", c->queued);
	head(&text, "vecdb_http_buffered_bytes", "gauge", "Memory of bodies in the front.");
	add(&text, "vecdb_http_buffered_bytes %zu\n", c->buffered);
	head(&text, "vecdb_http_executor_state", "gauge", "1 for the state that an executor is in.");
	for (int i = 0; i < shared->nslots; i++)
	{
		static const char *const names[] = {"down", "idle", "busy"};
		int			state = shared->slots[i].state != IPC_ATTACHED ? 0 : busy[i] ? 2 : 1;

		for (int j = 0; j < 3; j++)
			add(&text, "vecdb_http_executor_state{executor=\"%d\",state=\"%s\"} %d\n", i, names[j], j == state);
	}
	if (text.data && collections_len > 0)
	{
		memcpy(text.data + text.len, collections, collections_len);
		text.len += collections_len;
	}
	*len = text.len;
	return text.data;
}
