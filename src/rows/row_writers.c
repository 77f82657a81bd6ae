/*
 * row_writers.c
 *	  Which node wrote a version.
 */
#include "rows/row_writers.h"

#include "core/bytes.h"
#include "rows/row_kept.h"
#include "rows/row_shape.h"

struct RowWriters
{
	RowDictionary dictionary;
};

static bool
add(void *arg, uint32 number, const uint8 *bytes)
{
	RowWriters *self = arg;
	RowIncarnation incarnation;
	uint32		given;

	row_incarnation_decode(bytes, &incarnation);
	return row_dictionary_add(&self->dictionary, &incarnation, true, &given) != ROW_INCARNATION_NO_MEMORY;
}

RowWriters *
RowWritersOf(Oid table)
{
	RowWriters *self = palloc0(sizeof(*self));
	uint8		root[ROW_STATE_ROOT] = {0};
	bool		shared = SyncTableRoot(table, root);
	KadId		id = kad_id_of_key(RowShapeCrypto(), root);

	row_dictionary_init(&self->dictionary, &KeptMemory, RowShapeCrypto(), &id);
	if (shared)
		(void) RowStateIncarnations(root, add, self);
	return self;
}

char *
RowWriterOf(const RowWriters *self, const RowVersion *version)
{
	RowIncarnationId id;
	uint32		number;
	KadId		node;

	StaticAssertStmt(sizeof(id.bytes) == sizeof(version->tie), "the tie of a version is an incarnation's id");
	memcpy(id.bytes, version->tie, sizeof(id.bytes));
	number = version->clock == 0 ? 0 : row_dictionary_find(&self->dictionary, &id);
	if (number == 0)
		return NULL;
	node = kad_id_of_key(RowShapeCrypto(), row_dictionary_get(&self->dictionary, number)->owner);
	return bytes_hex(node.b, KAD_ID_BYTES, palloc(2 * KAD_ID_BYTES + 1));
}
