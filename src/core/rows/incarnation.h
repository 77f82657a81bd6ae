/*
 * incarnation.h
 *	  Lives of a node: who wrote a row, and the numbers by which tables name them.
 *
 * An incarnation begins whenever a node's memory of the tickets that it gave out begins
 * anew: at a start, a crash, a promotion.  Its salt is random, never derived from files:
 * a copied or reverted data directory shares all files, and would use ticket numbers
 * again that others count as held.  The node signs it, so a member cannot invent lives
 * of others.  Its id is a hash of what is signed, so a member cannot give a life of its
 * own the id of another's that it has heard of, and spread it first.
 *
 *	incarnation = owner[32] salt[16] signature[64]      112 bytes
 *	signed      = "vic1" collection[32] owner salt
 *	id          = the first 16 bytes of SHA-256(signed)
 *
 * A collection's dictionary gives each incarnation that it has met a small number from
 * 1 on, which rows and frontiers here use; other nodes use other numbers, so only ids
 * travel.  A number is never used again.
 */
#ifndef CORE_ROWS_INCARNATION_H
#define CORE_ROWS_INCARNATION_H

#include "core/net/decode.h"
#include "core/net/host.h"
#include "core/net/kad_id.h"

#define ROW_INCARNATION_ID 16
#define ROW_INCARNATION_SALT 16
#define ROW_INCARNATION_BYTES 112
#define ROW_INCARNATIONS 12000	/* of a collection: as many as a frontier of one frame holds */
#define ROW_INCARNATIONS_OPEN 8192	/* of one owner */
#define ROW_INCARNATIONS_FORMER 1024	/* of one that may not write now, and none of these beyond half of the collection's */

typedef struct RowIncarnationId
{
	uint8_t		bytes[ROW_INCARNATION_ID];
} RowIncarnationId;

typedef struct RowIncarnation
{
	RowIncarnationId id;		/* of the fields below and the collection */
	uint8_t		owner[CORE_KEY_BYTES];
	uint8_t		salt[ROW_INCARNATION_SALT];
	uint8_t		signature[CORE_SIGNATURE_BYTES];
} RowIncarnation;

typedef struct RowDictionary
{
	const CoreMemory *memory;
	const CoreCrypto *crypto;
	KadId		collection;
	uint32_t	n;
	uint32_t	room;
	RowIncarnation *entry;		/* number i is entry[i - 1] */
	uint32_t	slots;			/* a power of two: open addressing by id, 0 where free */
	uint32_t   *slot;
} RowDictionary;

typedef enum RowOwner
{
	ROW_OWNER_STRANGER,			/* never a writer */
	ROW_OWNER_FORMER,			/* not now, but once, or perhaps */
	ROW_OWNER_WRITER
} RowOwner;

typedef enum RowIncarnationAdded
{
	ROW_INCARNATION_NEW,
	ROW_INCARNATION_KNOWN,
	ROW_INCARNATION_FORGED,		/* a bad signature, or a hash that fell together with another's */
	ROW_INCARNATION_FLOOD,		/* the owner has too many, or the dictionary is full */
	ROW_INCARNATION_NO_MEMORY
} RowIncarnationAdded;

extern void row_dictionary_init(RowDictionary *self, const CoreMemory *memory, const CoreCrypto *crypto,
								const KadId *collection);
extern void row_dictionary_reset(RowDictionary *self);

/*
 * A new life of the node whose secret key this is, signed, not yet in the dictionary.
 * False: it cannot be signed, or the id is one that was met, as after a node was copied
 * together with its source of randomness.
 */
extern bool row_incarnation_begin(const RowDictionary *self, const CoreRandom *random,
								  const uint8_t secret[CORE_SECRET_BYTES], RowIncarnation *out);

/*
 * Learn an incarnation, whose id is computed and filled in, whatever it was; *number gets
 * its number unless it is refused, and is left alone then.  Of one that is known the
 * signature is not looked at again.  trusted: it comes from our own disk, so its
 * signature was verified and no limit holds.  Where a limit is reached no signature is verified.
 */
extern RowIncarnationAdded row_dictionary_add(RowDictionary *self, RowIncarnation *incarnation, bool trusted,
											  uint32_t *number);

/* The same of an owner that may not write now, for which there is less room. */
extern RowIncarnationAdded row_dictionary_add_former(RowDictionary *self, RowIncarnation *incarnation, uint32_t *number);

/* The one that was added last could not be kept: it is unknown again, and its number free. */
extern void row_dictionary_forget_last(RowDictionary *self);

/* 0: unknown. */
extern uint32_t row_dictionary_find(const RowDictionary *self, const RowIncarnationId *id);

/* Of a number from 1 to self->n; good until the next is added. */
extern const RowIncarnation *row_dictionary_get(const RowDictionary *self, uint32_t number);

/* Order of ids, as memcmp. */
extern int	row_incarnation_compare(const RowIncarnationId *a, const RowIncarnationId *b);

/* The id neither travels nor is stored: a decoded one's is 0 until row_dictionary_add(). */
extern void row_incarnation_encode(const RowIncarnation *self, uint8_t out[ROW_INCARNATION_BYTES]);
extern void row_incarnation_decode(const uint8_t in[ROW_INCARNATION_BYTES], RowIncarnation *out);

#endif							/* CORE_ROWS_INCARNATION_H */
