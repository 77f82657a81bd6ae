/*
 * bootstrap.h
 *	  How a node finds its first others: by asking the addresses of a list, by
 *	  being asked, and by beacons on the local network.
 *
 * Plain C; datagrams go through beacon_socket.h.  What comes in is bounded: so
 * many datagrams a second are looked at, so many answered, whoever sends them.
 */
#ifndef SYNC_BOOTSTRAP_H
#define SYNC_BOOTSTRAP_H

#include "sync/beacon_socket.h"
#include "sync/node.h"

#define BOOTSTRAP_ADDRESSES 32

typedef struct Bootstrap Bootstrap;

/* Node and socket stay the caller's; lan: announce, and believe who announces itself. */
extern Bootstrap *bootstrap_new(Node *node, BeaconSocket *socket, bool lan, CoreClock clock);
extern void bootstrap_free(Bootstrap **self);

/* The addresses to ask from now on; they are asked at once when nobody is known. */
extern void bootstrap_list(Bootstrap *self, CoreClock clock, const NetAddress *addresses, int n);

/* Read what came and send what is due. */
extern void bootstrap_run(Bootstrap *self, CoreClock clock);

/* Tick at which it has to run even if nothing comes. */
extern int64_t bootstrap_next_tick(const Bootstrap *self);

/* Attempts since somebody was known, for the log and views. */
extern int	bootstrap_attempts(const Bootstrap *self);

#endif							/* SYNC_BOOTSTRAP_H */
