/*
 * node_metrics.h
 *	  What /metrics has of this database as a node, in Prometheus' text format.
 */
#ifndef VECDB_NODE_METRICS_H
#define VECDB_NODE_METRICS_H

#include "pgcompat.h"

#include "lib/stringinfo.h"

/* A label's value. */
extern PGDLLEXPORT void MetricsAppendLabel(StringInfo out, const char *value);

/*
 * Append the state of the node, and of each shared collection what it and its members are
 * like; nothing where the database is no node.  Within a transaction.  What collections
 * are like is left out where the worker does not answer.
 */
extern PGDLLEXPORT void NodeMetrics(StringInfo out);

#endif							/* VECDB_NODE_METRICS_H */
