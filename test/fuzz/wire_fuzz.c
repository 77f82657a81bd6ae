/*
 * wire_fuzz.c
 *	  Messages.  One that is taken has one form: written again it is the same
 *	  bytes, but for items that were skipped as unknown.
 */
#include "core/net/wire.h"

#include "net_fuzz.h"

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
		REQUIRE(m.n_records >= 0 && m.n_records <= WIRE_RECORDS && m.n_providers >= 0 &&
				m.n_providers <= WIRE_PROVIDERS && m.n_grants >= 0 && m.n_grants <= WIRE_GRANTS &&
				m.n_avoid >= 0 && m.n_avoid <= WIRE_AVOID && m.text_len <= WIRE_TEXT_MAX);
		for (int i = 0; i < m.n_grants; i++)
			REQUIRE(m.grant[i] >= frame && m.grant[i] + GRANT_BYTES <= frame + size);
		for (int i = 0; i < m.n_providers; i++)
			REQUIRE(memcmp(m.provider[i]->record->key, m.provider[i]->bytes + 40, CORE_KEY_BYTES) == 0);
		if (m.skipped == 0)
		{
			REQUIRE(wire_encode(&m, again, sizeof again, &len));
			REQUIRE(len <= size && (len < size || memcmp(again, frame, len) == 0));
		}
		wire_release(&pool, &m);
	}
	else
		REQUIRE(m.n_records == 0 && m.n_providers == 0);
	fuzz_end();
	free(frame);
	return 0;
}
