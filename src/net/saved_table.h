/*
 * saved_table.h
 *	  The nodes of the routing table as bytes of a file, so that a restart
 *	  needs no bootstrap.  Plain C.
 *
 * In the file (integers little-endian):
 *
 *	  0   4  "vnt1"
 *	  4   4  number of records
 *	  8   8  network
 *	 16   .  for each: u16 bytes, the node record
 *	  .  32  SHA-256 of all before it
 */
#ifndef NET_SAVED_TABLE_H
#define NET_SAVED_TABLE_H

#include "core/net/kad_table.h"

#define SAVED_TABLE_RECORDS 512
#define SAVED_TABLE_MAX (16 + SAVED_TABLE_RECORDS * (2 + NODE_RECORD_MAX) + CORE_HASH_BYTES)

/* Write up to SAVED_TABLE_RECORDS nodes, those that answered last first, into out[SAVED_TABLE_MAX]. */
extern size_t saved_table_write(const CoreCrypto *crypto, const KadTable *table, uint64_t network, uint8_t *out);

/*
 * Call meet() with the bytes of each record.  Returns how many there are, -1
 * when the file is damaged, 0 when it is another network's.
 */
extern int	saved_table_read(const CoreCrypto *crypto, const uint8_t *bytes, size_t len, uint64_t network,
							 void (*meet) (void *context, const uint8_t *record, size_t len), void *context);

#endif							/* NET_SAVED_TABLE_H */
