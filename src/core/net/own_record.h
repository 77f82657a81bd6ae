/*
 * own_record.h
 *	  The record that this node signs of itself, and others that are signed with its key.
 */
#ifndef CORE_OWN_RECORD_H
#define CORE_OWN_RECORD_H

#include "core/net/node.h"

#define NODE_ALARMS 8

/* Another process with our key, by where it is. */
typedef struct NodeAlarm
{
	NetAddress	at;				/* port 0: none */
	int64_t		signed_ms;		/* tick at which we last signed above its number */
} NodeAlarm;

/* Sign the record, good for a day; and show it to all who are connected. */
extern bool own_sign(Node *self);
extern void own_renew(Node *self);

/* A record was seen that is signed with our key, and not by us as we are now. */
extern void own_copied(Node *self, const NodeRecord *record);

#endif							/* CORE_OWN_RECORD_H */
