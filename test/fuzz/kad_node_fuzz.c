/*
 * kad_node_fuzz.c
 *	  A whole node that receives whatever decodes: frames one after the other,
 *	  each after two bytes of length, one that says who sent it and how much time
 *	  has passed, and one that says whether the request id of our last request is
 *	  put in its place, so that answers are answers.
 */
#include "core/net/kad_node.h"

#include "net_fuzz.h"

#define SENDERS 8

static uint64_t last_request;

static void
on_send(void *context, const NodeRecord *to, const WireMessage *message)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	size_t		len;

	/* what a node says can be written */
	REQUIRE(wire_encode(message, frame, sizeof frame, &len));
	if (!message->response)
		last_request = message->request;
}

static void
on_event(void *context, KadEvent event, const NodeRecord *record)
{
}

static void
on_done(void *context, uint64_t tag, const KadLookup *lookup)
{
}

static NodeRecord *
record_number(int i)
{
	NodeRecordFields fields = {.network = pool.network, .seq = 1, .expires_ms = NOW + 3600000, .n_addresses = 1};
	uint8_t		secret[CORE_SECRET_BYTES] = {0};
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	NodeRecord *record;

	memset(secret + CORE_SEED_BYTES, 65 + i, CORE_KEY_BYTES);
	fields.addresses[0] = net_address_v4(8, 8, (uint8_t) i, 1, 1);
	REQUIRE(node_record_sign(&crypto, secret, &fields, bytes, &len) == DECODE_OK);
	bytes[len - 1] = 0;
	REQUIRE(record_pool_take(&pool, bytes, len, NOW, &record) == DECODE_OK);
	return record;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	NodeRecord *records[SENDERS];
	uint8_t		secret[CORE_SECRET_BYTES] = {0};
	CoreClock	clock = {1000, NOW};
	KadConfig	config;
	KadNode    *node;
	KadId		target = {{1}};

	fuzz_begin();
	for (int i = 0; i < SENDERS; i++)
		records[i] = record_number(i);
	memcpy(secret + CORE_SEED_BYTES, records[0]->key, CORE_KEY_BYTES);
	config = (KadConfig) {
		.memory = &memory,
		.crypto = &crypto,
		.random = &fuzz_random,
		.pool = &pool,
		.host = {NULL, on_send, on_event, on_done},
		.secret = secret,
		.refresh_ms = KAD_REFRESH_MS
	};
	node = kad_node_new(&config, records[0], clock);
	REQUIRE(node != NULL);
	kad_node_meet(node, clock, records[1]);
	kad_node_hold(node, clock, &target, true);
	kad_node_lookup(node, clock, &target, true, 1);
	while (size >= 4)
	{
		size_t		len = bytes_load(data, 2);
		int			from = data[2] % SENDERS;
		bool		answer = data[3] & 1;
		uint8_t    *frame;
		WireMessage m;

		clock.tick_ms += (int64_t) (data[2] / SENDERS) * 300;
		clock.unix_ms += (int64_t) (data[2] / SENDERS) * 300;
		data += 4;
		size -= 4;
		if (len > size)
			len = size;
		frame = exact_copy(data, len);
		if (answer && len >= WIRE_HEAD)
			bytes_store(frame + 8, 8, last_request);
		if (wire_decode(&pool, frame, len, clock.unix_ms, &m) == DECODE_OK)
		{
			kad_node_receive(node, clock, records[from], 0, &m);
			wire_release(&pool, &m);
		}
		free(frame);
		data += len;
		size -= len;
		if (clock.tick_ms >= kad_node_next_tick(node))
			kad_node_tick(node, clock);
	}
	kad_node_lookup(node, clock, &target, false, 2);
	for (int i = 0; i < 20; i++)
	{
		clock.tick_ms += 1000;
		kad_node_tick(node, clock);
	}
	kad_node_destroy(&node);
	for (int i = 0; i < SENDERS; i++)
		record_pool_release(&pool, records[i]);
	fuzz_end();
	return 0;
}
