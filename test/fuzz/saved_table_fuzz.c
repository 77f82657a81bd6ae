/*
 * saved_table_fuzz.c
 *	  Saved routing tables.  When the first byte is odd the head and the checksum
 *	  are put right.
 *
 * Those of its records that hold go into a table, and what that writes reads as
 * the same nodes.
 */
#include "net/saved_table.h"

#include "net_fuzz.h"

static struct
{
	const uint8_t *bytes;
	size_t		len;
	int			met;
	KadTable	table;
}			reading;

static void
on_meet(void *context, const uint8_t *record, size_t len)
{
	NodeRecord *taken;

	REQUIRE(context == &reading);
	REQUIRE(record >= reading.bytes + 18 && record <= reading.bytes + reading.len &&
			len <= (size_t) (reading.bytes + reading.len - record));
	reading.met++;
	if (record_pool_take(&pool, record, len, NOW, &taken) != DECODE_OK)
		return;
	kad_table_answered(&reading.table, taken, 0, reading.met);
	record_pool_release(&pool, taken);
}

static void
on_meet_again(void *context, const uint8_t *record, size_t len)
{
	NodeRecord *taken;
	KadEntry   *entry;

	REQUIRE(record_pool_take(&pool, record, len, NOW, &taken) == DECODE_OK);
	entry = kad_table_find(&reading.table, &taken->id);
	REQUIRE(entry != NULL && entry->record == taken);
	record_pool_release(&pool, taken);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[SAVED_TABLE_MAX];
	KadId		self = {{1}};
	uint8_t    *bytes;
	size_t		len = size - 1;
	int			n;

	if (size == 0)
		return 0;
	fuzz_begin();
	bytes = exact_copy(data + 1, len);
	if ((data[0] & 1) && len >= 16 + CORE_HASH_BYTES)
	{
		memcpy(bytes, "vnt1", 4);
		bytes_store(bytes + 8, 8, pool.network);
		crypto.sha256(NULL, bytes, len - CORE_HASH_BYTES, bytes + len - CORE_HASH_BYTES);
	}
	reading.bytes = bytes;
	reading.len = len;
	reading.met = 0;
	kad_table_init(&reading.table, &memory, &pool, &self, true);
	n = saved_table_read(&crypto, bytes, len, pool.network, on_meet, &reading);
	REQUIRE(n >= -1 && (n < 0 || n == reading.met));
	/* another network's is no table of this one */
	REQUIRE(saved_table_read(&crypto, bytes, len, pool.network + 1, on_meet, NULL) <= 0);

	len = saved_table_write(&crypto, &reading.table, pool.network, out);
	REQUIRE(len >= 16 + CORE_HASH_BYTES && len <= SAVED_TABLE_MAX);
	REQUIRE(saved_table_read(&crypto, out, len, pool.network, on_meet_again, NULL) == reading.table.n);
	/* cut short, or with a byte changed, it is damaged */
	REQUIRE(saved_table_read(&crypto, out, len - 1, pool.network, on_meet_again, NULL) == -1);
	out[size % len] ^= 1;
	REQUIRE(saved_table_read(&crypto, out, len, pool.network, on_meet_again, NULL) == -1);
	kad_table_reset(&reading.table);
	free(bytes);
	fuzz_end();
	return 0;
}
