/*
 * saved_table.c
 *	  The saved routing table to bytes, and back.
 *
 * It touches no file: who calls reads and writes it.  What is read is checked by its
 * hash, its lengths here, and as records by whom it is handed to.
 */
#include "net/saved_table.h"

#include <stdlib.h>
#include <string.h>

#include "core/assert.h"
#include "core/bytes.h"

_Static_assert(4 + 4 + 8 + SAVED_TABLE_RECORDS * (2 + NODE_RECORD_MAX) + CORE_HASH_BYTES == SAVED_TABLE_MAX,
			   "the fields of the file");

static const uint8_t magic[4] = {'v', 'n', 't', '1'};

static int
later(const void *a, const void *b)
{
	int64_t		x = (*(const KadEntry *const *) a)->answered_ms;
	int64_t		y = (*(const KadEntry *const *) b)->answered_ms;

	return x < y ? 1 : x > y ? -1 : 0;
}

size_t
saved_table_write(const CoreCrypto *crypto, const KadTable *table, uint64_t network, uint8_t *out)
{
	const KadEntry *entry[4 * SAVED_TABLE_RECORDS];
	ByteWriter	w = {out, SAVED_TABLE_MAX, false};
	uint32_t	cursor = 0;
	int			n = 0;
	size_t		len;

	while (n < 4 * SAVED_TABLE_RECORDS && (entry[n] = kad_table_next(table, &cursor)) != NULL)
		n++;
	qsort(entry, (size_t) n, sizeof entry[0], later);
	if (n > SAVED_TABLE_RECORDS)
		n = SAVED_TABLE_RECORDS;
	bytes_put(&w, magic, sizeof magic);
	bytes_put_uint(&w, 4, (uint64_t) n);
	bytes_put_uint(&w, 8, network);
	for (int i = 0; i < n; i++)
	{
		bytes_put_uint(&w, 2, entry[i]->record->len);
		bytes_put(&w, entry[i]->record->bytes, entry[i]->record->len);
	}
	CORE_ASSERT(!w.failed && w.left >= CORE_HASH_BYTES);
	len = SAVED_TABLE_MAX - w.left;
	crypto->sha256(crypto->context, out, len, out + len);
	return len + CORE_HASH_BYTES;
}

int
saved_table_read(const CoreCrypto *crypto, const uint8_t *bytes, size_t len, uint64_t network,
				 void (*meet) (void *context, const uint8_t *record, size_t len), void *context)
{
	ByteReader	r;
	uint8_t		hash[CORE_HASH_BYTES];
	const uint8_t *head;
	uint64_t	n;

	if (len < 16 + CORE_HASH_BYTES || len > SAVED_TABLE_MAX)
		return -1;
	crypto->sha256(crypto->context, bytes, len - CORE_HASH_BYTES, hash);
	if (memcmp(hash, bytes + len - CORE_HASH_BYTES, CORE_HASH_BYTES) != 0)
		return -1;
	r = (ByteReader) {bytes, len - CORE_HASH_BYTES, false};
	head = bytes_take(&r, sizeof magic);
	if (head == NULL || memcmp(head, magic, sizeof magic) != 0)
		return -1;
	n = bytes_take_uint(&r, 4);
	if (bytes_take_uint(&r, 8) != network)
		return 0;
	for (uint64_t i = 0; i < n; i++)
	{
		size_t		record_len = (size_t) bytes_take_uint(&r, 2);
		const uint8_t *record = bytes_take(&r, record_len);

		if (record == NULL)
			return -1;
		meet(context, record, record_len);
	}
	return (int) n;
}
