/*
 * sync_held.c
 *	  What owners of tables ask about rows of others that are held: to try them again, to
 *	  discard one.
 *
 * It is done here and by the apply worker, not by the session that asks: a transaction of
 * a user's that goes on would lock what the next row of the key needs.
 */
#include "sync/sync_pending.h"
#include "sync/sync_rows.h"

#include "core/bytes.h"
#include "utils/errcodes.h"
#include "worker/worker.h"

/* Digits as bytes.  False: they are none of a key, which has at least min. */
static bool
read_key(const char *digits, size_t min, uint8 key[ROW_KEY_MAX], RowBytes *out)
{
	size_t		len = strlen(digits) / 2;

	*out = (RowBytes) {key, len};
	if (strlen(digits) % 2 != 0 || len < min || len > ROW_KEY_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		int			high = bytes_hex_digit(digits[2 * i]);
		int			low = bytes_hex_digit(digits[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key[i] = (uint8) (high << 4 | low);
	}
	return true;
}

static void
not_a_key(Pending *p)
{
	PendingError(p, ERRCODE_INTERNAL_ERROR, "the node does not know this request", NULL, NULL);
}

/* Has the apply worker something to do already, this waits for its turn. */
void
PendingRetry(SyncWorker *self, Pending *p, Oid table, const char *key)
{
	SyncCollection *collection = SyncRowsOf(self->rows, table);
	uint8		bytes[ROW_KEY_MAX];
	RowBytes	which;

	if (!read_key(key, 0, bytes, &which))
		not_a_key(p);
	else if (!collection || collection->place < 0)
		PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "rows of this table are not replicated now", NULL,
					 "View vecdb.stat_collections shows whose are; the server's log says why others are not.");
	else if (AppliesRetry(self->rows->applies, collection->place, which))
	{
		p->call->len = 0;
		p->finished = true;
	}
	else if (node_clock().tick_ms < p->until_ms - SYNC_ANSWER_MS / 2)
		p->again = true;
	else
		PendingError(p, ERRCODE_OBJECT_IN_USE, "the process that writes rows of others has not begun yet what it was asked for before", NULL,
					 "Try again in a few seconds.");
}

typedef struct Discard
{
	Oid			table;
	RowBytes	key;
	HeldRowDiscarded result;
} Discard;

static void
discard(void *arg)
{
	Discard    *this = arg;

	this->result = HeldRowDiscard(this->table, this->key);
}

void
PendingDiscard(SyncWorker *self, Pending *p, Oid table, const char *key)
{
	uint8		bytes[ROW_KEY_MAX];
	Discard		this = {.table = table};

	if (!read_key(key, 1, bytes, &this.key))
		not_a_key(p);
	else if (!WorkerTransaction(SYNC_STATEMENT_MS, discard, &this))
		PendingError(p, ERRCODE_OBJECT_IN_USE, "the row is being written at the moment", NULL, "Try again.");
	else if (this.result == HELD_ROW_PARKED)
		PendingError(p, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, "the row is not in quarantine: it waits for a transaction that holds it", NULL,
					 "It goes into the table when that transaction has ended.");
	else if (this.result == HELD_ROW_NONE)
		PendingError(p, ERRCODE_NO_DATA_FOUND, "no row of this key is held any more", NULL, NULL);
	else
	{
		p->call->len = 0;
		p->finished = true;
	}
}
