/*
 * incarnation.c
 *	  Lives of nodes, and the dictionary of those that a collection has met.
 *
 * Slots are probed one after another from where an id's first bytes point.  A member
 * may draw salts until the ids point to one place, but has no more than
 * ROW_INCARNATIONS_OPEN of them.
 */
#include "core/rows/incarnation.h"

#include "core/assert.h"
#include "core/bytes.h"

#define ENTRIES_FIRST 8
#define SLOTS_FIRST 16
#define SIGNED_BYTES (4 + KAD_ID_BYTES + CORE_KEY_BYTES + ROW_INCARNATION_SALT)

_Static_assert(ROW_INCARNATION_BYTES == CORE_KEY_BYTES + ROW_INCARNATION_SALT + CORE_SIGNATURE_BYTES,
			   "an incarnation is its fields, and lies on the wire");

static void identify(const RowDictionary *self, RowIncarnation *incarnation, uint8_t message[SIGNED_BYTES]);
static bool owner_has(const RowDictionary *self, const uint8_t owner[CORE_KEY_BYTES], uint32_t many);
static uint32_t *slot_of(const RowDictionary *self, const RowIncarnationId *id);
static bool reserve(RowDictionary *self);
static bool reserve_slots(RowDictionary *self);

void
row_dictionary_init(RowDictionary *self, const CoreMemory *memory, const CoreCrypto *crypto, const KadId *collection)
{
	*self = (RowDictionary) {.memory = memory, .crypto = crypto, .collection = *collection};
}

void
row_dictionary_reset(RowDictionary *self)
{
	KadId		collection = self->collection;

	core_free(self->memory, self->entry);
	core_free(self->memory, self->slot);
	row_dictionary_init(self, self->memory, self->crypto, &collection);
}

bool
row_incarnation_begin(const RowDictionary *self, const CoreRandom *random, const uint8_t secret[CORE_SECRET_BYTES],
					  RowIncarnation *out)
{
	uint8_t		message[SIGNED_BYTES];

	random->fill(random->context, out->salt, ROW_INCARNATION_SALT);
	memcpy(out->owner, secret + CORE_SEED_BYTES, CORE_KEY_BYTES);
	identify(self, out, message);
	return row_dictionary_find(self, &out->id) == 0 &&
		self->crypto->sign(self->crypto->context, secret, message, sizeof message, out->signature);
}

/* In a dictionary of so many in all, so many of its owner; trusted: whatever there are. */
static RowIncarnationAdded
add(RowDictionary *self, RowIncarnation *incarnation, bool trusted, uint32_t all, uint32_t of_owner, uint32_t *number)
{
	uint8_t		message[SIGNED_BYTES];
	uint32_t	known;

	identify(self, incarnation, message);
	known = row_dictionary_find(self, &incarnation->id);
	if (known != 0)
	{
		const RowIncarnation *met = &self->entry[known - 1];

		/* 2^64 hashes find two lives of one's own with one id: the first stays */
		if (memcmp(met->owner, incarnation->owner, CORE_KEY_BYTES) != 0 ||
			memcmp(met->salt, incarnation->salt, ROW_INCARNATION_SALT) != 0)
			return ROW_INCARNATION_FORGED;
		*number = known;
		return ROW_INCARNATION_KNOWN;
	}
	if (!trusted)
	{
		if (self->n >= all || owner_has(self, incarnation->owner, of_owner))
			return ROW_INCARNATION_FLOOD;
		if (!self->crypto->verify(self->crypto->context, incarnation->owner, message, sizeof message, incarnation->signature))
			return ROW_INCARNATION_FORGED;
	}
	if (!reserve(self) || !reserve_slots(self))
		return ROW_INCARNATION_NO_MEMORY;
	self->entry[self->n++] = *incarnation;
	*slot_of(self, &incarnation->id) = self->n;
	*number = self->n;
	CORE_ASSERT(row_dictionary_find(self, &incarnation->id) == self->n && self->n <= self->slots / 2);
	return ROW_INCARNATION_NEW;
}

RowIncarnationAdded
row_dictionary_add(RowDictionary *self, RowIncarnation *incarnation, bool trusted, uint32_t *number)
{
	return add(self, incarnation, trusted, ROW_INCARNATIONS, ROW_INCARNATIONS_OPEN, number);
}

RowIncarnationAdded
row_dictionary_add_former(RowDictionary *self, RowIncarnation *incarnation, uint32_t *number)
{
	return add(self, incarnation, false, ROW_INCARNATIONS / 2, ROW_INCARNATIONS_FORMER, number);
}

void
row_dictionary_forget_last(RowDictionary *self)
{
	CORE_ASSERT(self->n > 0);
	/* nothing was probed past it since */
	*slot_of(self, &self->entry[self->n - 1].id) = 0;
	self->n--;
}

uint32_t
row_dictionary_find(const RowDictionary *self, const RowIncarnationId *id)
{
	return self->slots == 0 ? 0 : *slot_of(self, id);
}

const RowIncarnation *
row_dictionary_get(const RowDictionary *self, uint32_t number)
{
	CORE_ASSERT(number >= 1 && number <= self->n);
	return &self->entry[number - 1];
}

int
row_incarnation_compare(const RowIncarnationId *a, const RowIncarnationId *b)
{
	return memcmp(a->bytes, b->bytes, ROW_INCARNATION_ID);
}

void
row_incarnation_encode(const RowIncarnation *self, uint8_t out[ROW_INCARNATION_BYTES])
{
	memcpy(out, self->owner, CORE_KEY_BYTES);
	memcpy(out + CORE_KEY_BYTES, self->salt, ROW_INCARNATION_SALT);
	memcpy(out + CORE_KEY_BYTES + ROW_INCARNATION_SALT, self->signature, CORE_SIGNATURE_BYTES);
}

void
row_incarnation_decode(const uint8_t in[ROW_INCARNATION_BYTES], RowIncarnation *out)
{
	memset(out->id.bytes, 0, ROW_INCARNATION_ID);
	memcpy(out->owner, in, CORE_KEY_BYTES);
	memcpy(out->salt, in + CORE_KEY_BYTES, ROW_INCARNATION_SALT);
	memcpy(out->signature, in + CORE_KEY_BYTES + ROW_INCARNATION_SALT, CORE_SIGNATURE_BYTES);
}

/* Fill in its id; the message that is hashed for it and signed. */
static void
identify(const RowDictionary *self, RowIncarnation *incarnation, uint8_t message[SIGNED_BYTES])
{
	ByteWriter	writer = {message, SIGNED_BYTES, false};
	uint8_t		hash[CORE_HASH_BYTES];

	bytes_put(&writer, "vic1", 4);
	bytes_put(&writer, self->collection.b, KAD_ID_BYTES);
	bytes_put(&writer, incarnation->owner, CORE_KEY_BYTES);
	bytes_put(&writer, incarnation->salt, ROW_INCARNATION_SALT);
	CORE_ASSERT(!writer.failed && writer.left == 0);
	self->crypto->sha256(self->crypto->context, message, SIGNED_BYTES, hash);
	memcpy(incarnation->id.bytes, hash, ROW_INCARNATION_ID);
}

/* Has it so many?  Asked for a new incarnation only, so looking at all is cheap enough. */
static bool
owner_has(const RowDictionary *self, const uint8_t owner[CORE_KEY_BYTES], uint32_t many)
{
	uint32_t	n = 0;

	if (self->n < many)
		return false;
	for (uint32_t i = 0; i < self->n && n < many; i++)
		n += memcmp(self->entry[i].owner, owner, CORE_KEY_BYTES) == 0;
	return n >= many;
}

/* The slot that has its number, or the free one where that would be; there is one. */
static uint32_t *
slot_of(const RowDictionary *self, const RowIncarnationId *id)
{
	uint32_t	at = (uint32_t) bytes_load(id->bytes, 4) & (self->slots - 1);

	CORE_ASSERT(self->n < self->slots && (self->slots & (self->slots - 1)) == 0);
	while (self->slot[at] != 0 && row_incarnation_compare(&self->entry[self->slot[at] - 1].id, id) != 0)
		at = (at + 1) & (self->slots - 1);
	return &self->slot[at];
}

/* Room for one entry more. */
static bool
reserve(RowDictionary *self)
{
	uint32_t	room = self->room < ENTRIES_FIRST ? ENTRIES_FIRST : self->room * 2;
	RowIncarnation *wider;

	if (self->n < self->room)
		return true;
	if (self->n >= UINT32_MAX / 4)
		return false;
	wider = core_grow(self->memory, self->entry, self->n, room, sizeof self->entry[0]);
	if (wider == NULL)
		return false;
	self->entry = wider;
	self->room = room;
	return true;
}

/* Half of the slots are free with one entry more. */
static bool
reserve_slots(RowDictionary *self)
{
	uint32_t	slots = self->slots < SLOTS_FIRST ? SLOTS_FIRST : self->slots * 2;
	uint32_t   *wider;

	if (self->n < self->slots / 2)
		return true;
	wider = core_alloc(self->memory, slots * sizeof wider[0]);
	if (wider == NULL)
		return false;
	memset(wider, 0, slots * sizeof wider[0]);
	core_free(self->memory, self->slot);
	self->slot = wider;
	self->slots = slots;
	for (uint32_t i = 1; i <= self->n; i++)
		*slot_of(self, &self->entry[i - 1].id) = i;
	return true;
}
