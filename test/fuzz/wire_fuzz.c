/*
 * wire_fuzz.c
 *	  Messages.  One that is taken has one form: written again it is the same
 *	  bytes, but for items that were skipped as unknown.
 */
#include "core/net/wire.h"

#include "net_fuzz.h"

/* n pieces of the frame, each of so many bytes. */
static void
require_inside(const uint8_t *const *piece, int n, size_t bytes, const uint8_t *frame, size_t size)
{
	REQUIRE(n >= 0 && n <= WIRE_GRANTS);
	for (int i = 0; i < n; i++)
		REQUIRE(piece[i] >= frame && bytes <= size && piece[i] <= frame + size - bytes);
}

static void
require_ranges(const WireMessage *m, const uint8_t *frame, size_t size)
{
	NodeRecord *const *record;
	Provider   *const *provider;
	int			n = wire_records(m, &record);

	REQUIRE(n >= 0 && n <= WIRE_RECORDS && (m->type != WIRE_HELLO || n == 1));
	for (int i = 0; i < n; i++)
		REQUIRE(record[i] != NULL);
	n = wire_providers(m, &provider);
	REQUIRE(n >= 0 && n <= WIRE_PROVIDERS && (m->type != WIRE_PROVIDE || n == !m->response));
	for (int i = 0; i < n; i++)
		REQUIRE(memcmp(provider[i]->record->key, provider[i]->bytes + 40, CORE_KEY_BYTES) == 0);
	switch (m->type)
	{
		case WIRE_FIND_NODE:
		case WIRE_FIND_PROVIDERS:
			REQUIRE(m->response || (m->find.n_avoid >= 0 && m->find.n_avoid <= WIRE_AVOID));
			break;
		case WIRE_GRANTS_SYNC:
			require_inside(m->grants.grant, m->grants.n, GRANT_BYTES, frame, size);
			REQUIRE(m->grants.n_changes >= 0 && m->grants.n_changes <= WIRE_CHANGES);
			for (int i = 0; i < m->grants.n_changes; i++)
			{
				REQUIRE(m->grants.change[i].len <= CHANGE_BYTES_MAX);
				require_inside(&m->grants.change[i].bytes, 1, m->grants.change[i].len, frame, size);
			}
			break;
		case WIRE_REDEEM:
			if (m->response)
			{
				require_inside(m->redeemed.grant, m->redeemed.n, GRANT_BYTES, frame, size);
				REQUIRE(m->redeemed.n > 0 && m->redeemed.text_len <= WIRE_TEXT_MAX);
			}
			else
			{
				require_inside(&m->redeem.invitation, 1, GRANT_BYTES, frame, size);
				require_inside(&m->redeem.redemption, 1, REDEMPTION_BYTES, frame, size);
			}
			break;
		case WIRE_ERROR:
			REQUIRE(m->error.text_len <= WIRE_TEXT_MAX);
			break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t again[WIRE_FRAME_MAX];
	uint8_t    *frame = exact_copy(data, size);
	WireMessage m;
	size_t		len;

	fuzz_begin();
	if (wire_decode(&pool, frame, size, NOW, &m) == DECODE_OK)
	{
		REQUIRE(m.type > 0 && m.type < WIRE_TYPES && m.version == 1);
		require_ranges(&m, frame, size);
		if (m.skipped == 0)
		{
			REQUIRE(wire_encode(&m, again, sizeof again, &len));
			REQUIRE(len <= size && (len < size || memcmp(again, frame, len) == 0));
		}
		wire_release(&pool, &m);
	}
	else
	{
		NodeRecord *const *record;
		Provider   *const *provider;

		REQUIRE(wire_records(&m, &record) == 0 && wire_providers(&m, &provider) == 0);
	}
	fuzz_end();
	free(frame);
	return 0;
}
