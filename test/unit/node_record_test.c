/*
 * node_record_test.c
 *	  Identifiers, addresses, node records and their pool, beacons.
 */
#include "core/net/beacon.h"

#include "core/bytes.h"
#include "core/net/wire_item.h"

#include "node_fixture.h"

static DecodeStatus
take_at(const uint8_t *bytes, size_t len, int64_t unix_ms)
{
	uint8_t    *copy = exact_copy(bytes, len);
	NodeRecord *record;
	DecodeStatus status = record_pool_take(&pool, copy, len, unix_ms, &record);

	if (status != DECODE_OK && record != NULL)
		diag("a refused record was handed out");
	record_pool_release(&pool, record);
	free(copy);
	return status;
}

static DecodeStatus
take(const uint8_t *bytes, size_t len)
{
	return take_at(bytes, len, NOW);
}

/* Sign again what a test has changed, so that only the change is wrong. */
static void
resign(const Key *key, uint8_t *bytes, size_t len)
{
	crypto.sign(NULL, key->secret, bytes, len - CORE_SIGNATURE_BYTES, bytes + len - CORE_SIGNATURE_BYTES);
}

static void
test_ids(void)
{
	KadId		zero = {{0}};
	KadId		one = {{0}};
	KadId		parsed;
	char		text[65];
	int			wrong = 0;
	int			wrong_order = 0;

	ok(kad_id_prefix(&zero, &zero) == 256, "equal ids share 256 bits");
	for (int bit = 0; bit < 256; bit++)
	{
		one = zero;
		one.b[bit / 8] = (uint8_t) (0x80 >> bit % 8);
		wrong += kad_id_prefix(&zero, &one) != bit || kad_id_prefix(&one, &zero) != bit;
	}
	ok(wrong == 0, "the shared prefix ends at the first bit that differs, for each of 256");

	wrong = 0;
	for (int i = 0; i < 2560; i++)
	{
		KadId		id;
		KadId		other;

		host_fill(&random_state, id.b, sizeof id.b);
		other = kad_id_random(&fixture_random, &id, i % 256);
		wrong += kad_id_prefix(&id, &other) != i % 256;
	}
	ok(wrong == 0, "a random id of a bucket belongs to it, for each of 256 buckets");

	for (int i = 0; i < 1000; i++)
	{
		KadId		t,
					a,
					b;
		uint8_t		da[32];
		uint8_t		db[32];
		int			c;

		host_fill(&random_state, t.b, sizeof t.b);
		a = kad_id_random(&fixture_random, &t, i % 256);
		b = kad_id_random(&fixture_random, &t, (i / 3) % 256);
		for (int j = 0; j < 32; j++)
		{
			da[j] = a.b[j] ^ t.b[j];
			db[j] = b.b[j] ^ t.b[j];
		}
		c = memcmp(da, db, 32);
		wrong_order += (kad_id_nearer(&t, &a, &b) < 0) != (c < 0) || (kad_id_nearer(&t, &a, &b) > 0) != (c > 0);
	}
	ok(wrong_order == 0, "nearer is the lesser exclusive or, read from the front");
	ok(kad_id_nearer(&zero, &one, &one) == 0, "an id is as near as itself");

	kad_id_text(&one, text);
	ok(strlen(text) == 64 && kad_id_parse(text, 64, &parsed) && kad_id_equal(&parsed, &one), "text and back");
	ok(!kad_id_parse(text, 63, &parsed) && !kad_id_parse(text, 65, &parsed) && !kad_id_parse("", 0, &parsed),
	   "text of another length is refused");
	text[10] = 'g';
	ok(!kad_id_parse(text, 64, &parsed), "text with another character is refused");
}

/* The one text of each (RFC 5952, section 4). */
static void
test_address_text(void)
{
	static const struct
	{
		NetAddress	address;
		const char *text;
	}			known[] = {
		{{{[10] = 255, [11] = 255, 192, 0, 2, 1}, 7777}, "192.0.2.1:7777"},
		{{{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, 7777}, "[2001:db8::1]:7777"},
		{{{[15] = 1}, 1}, "[::1]:1"},
		{{{0}, 0}, "[::]:0"},
		{{{0xfe, 0x80}, 65535}, "[fe80::]:65535"},
		{{{0x20, 0x01, [7] = 1, [9] = 1, [11] = 1, [13] = 1, [15] = 1}, 2}, "[2001::1:1:1:1:1]:2"},
		{{{0x20, 0x01, 0x0d, 0xb8, [9] = 1, [15] = 1}, 3}, "[2001:db8::1:0:0:1]:3"},
		{{{0x20, 0x01, 0x0d, 0xb8, [7] = 1, [9] = 1, [11] = 1, [13] = 1, [15] = 1}, 4}, "[2001:db8:0:1:1:1:1:1]:4"},
	};
	char		text[ADDRESS_TEXT];

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		ok(strcmp(address_text(&known[i].address, text), known[i].text) == 0, "address %s is written %s", known[i].text, text);
}

static void
test_addresses(void)
{
	static const struct
	{
		uint8_t		ip[16];
		bool		usable;
		bool		private;
		const char *name;
	} v6[] = {
		{{0}, false, false, "::"},
		{{[15] = 1}, true, true, "::1"},
		{{[12] = 8, [13] = 8, [14] = 8, [15] = 8}, false, false, "::8.8.8.8"},
		{{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, true, false, "2001:db8::1"},
		{{0xfd, [15] = 1}, true, true, "fd00::1"},
		{{0xfe, 0x80, [15] = 1}, true, true, "fe80::1"},
		{{0xff, 0x02, [15] = 1}, false, false, "ff02::1"},
	};
	static const struct
	{
		uint8_t		ip[4];
		bool		usable;
		bool		private;
	} v4[] = {
		{{0, 0, 0, 0}, false, false}, {{0, 1, 2, 3}, false, false}, {{127, 0, 0, 1}, true, true},
		{{10, 1, 2, 3}, true, true}, {{172, 15, 0, 1}, true, false}, {{172, 16, 0, 1}, true, true},
		{{172, 31, 0, 1}, true, true}, {{172, 32, 0, 1}, true, false}, {{192, 168, 9, 9}, true, true},
		{{169, 254, 1, 1}, true, true}, {{100, 64, 0, 1}, true, true}, {{100, 128, 0, 1}, true, false},
		{{8, 8, 8, 8}, true, false}, {{224, 0, 0, 1}, false, false}, {{255, 255, 255, 255}, false, false},
	};
	NetAddress	a;
	NetAddress	b;

	for (size_t i = 0; i < sizeof v6 / sizeof v6[0]; i++)
	{
		memcpy(a.ip, v6[i].ip, 16);
		a.port = 1;
		ok(net_address_usable(&a) == v6[i].usable && (!v6[i].usable || net_address_private(&a) == v6[i].private),
		   "%s: %s, %s", v6[i].name, v6[i].usable ? "usable" : "not usable", v6[i].private ? "private" : "public");
	}
	for (size_t i = 0; i < sizeof v4 / sizeof v4[0]; i++)
	{
		a = net_address_v4(v4[i].ip[0], v4[i].ip[1], v4[i].ip[2], v4[i].ip[3], 1);
		ok(net_address_usable(&a) == v4[i].usable && (!v4[i].usable || net_address_private(&a) == v4[i].private),
		   "%d.%d.%d.%d: %s, %s", v4[i].ip[0], v4[i].ip[1], v4[i].ip[2], v4[i].ip[3],
		   v4[i].usable ? "usable" : "not usable", v4[i].private ? "private" : "public");
	}
	test_address_text();
	a = net_address_v4(8, 8, 8, 8, 0);
	ok(!net_address_usable(&a), "port 0 is not usable");

	a = net_address_v4(8, 8, 8, 1, 1);
	b = net_address_v4(8, 8, 8, 254, 2);
	ok(net_address_subnet(&a) == net_address_subnet(&b), "IPv4: one /24 is one subnet");
	b = net_address_v4(8, 8, 9, 1, 1);
	ok(net_address_subnet(&a) != net_address_subnet(&b), "IPv4: two /24 are two");
	memcpy(a.ip, v6[3].ip, 16);
	memcpy(b.ip, v6[3].ip, 16);
	b.ip[6] = 9;
	ok(net_address_subnet(&a) == net_address_subnet(&b), "IPv6: one /48 is one subnet");
	b.ip[5] = 9;
	ok(net_address_subnet(&a) != net_address_subnet(&b), "IPv6: two /48 are two");
	memset(&a, 0, sizeof a);
	a.ip[3] = a.ip[4] = a.ip[5] = 8;
	b = net_address_v4(8, 8, 8, 1, 1);
	ok(net_address_subnet(&a) != net_address_subnet(&b), "no IPv6 subnet equals an IPv4 one");
}

/* A good record with one thing changed, most of them signed anew; and how long it is good by other clocks. */
static void
records_refused(const Key *key, const NodeRecordFields *fields, const uint8_t *bytes, size_t len)
{
	Key			other = new_key();
	uint8_t		changed[NODE_RECORD_MAX + 64];

	memcpy(changed, bytes, len);
	crypto.sign(NULL, other.secret, changed, len - 64, changed + len - 64);
	ok(take(changed, len) == DECODE_SIGNATURE, "another key's signature is refused");

	memcpy(changed, bytes, len);
	changed[3] = '2';
	resign(key, changed, len);
	ok(take(changed, len) == DECODE_MAGIC, "another kind of thing is refused");
	memcpy(changed, bytes, len);
	changed[4] = 1;
	resign(key, changed, len);
	ok(take(changed, len) == DECODE_FLAGS, "reserved flags are refused");

	memcpy(changed, bytes, len);
	memcpy(changed + 104 + 18, changed + 104, 18);
	resign(key, changed, len);
	ok(take(changed, len) == DECODE_VALUE, "an address twice is refused");
	memcpy(changed, bytes, len);
	memset(changed + 104, 0, 18);
	resign(key, changed, len);
	ok(take(changed, len) == DECODE_VALUE, "an address that cannot be reached is refused");
	memcpy(changed, bytes, len);
	changed[5] = 0;
	memmove(changed + 104, changed + len - 64, 64);
	resign(key, changed, 104 + 64);
	ok(take(changed, 104 + 64) == DECODE_VALUE, "no address is refused");
	memcpy(changed, bytes, len);
	changed[5] = 5;
	ok(take(changed, len) == DECODE_VALUE, "five addresses are refused");
	memcpy(changed, bytes, len);
	memset(changed + 88, 0xFF, 8);
	resign(key, changed, len);
	ok(take(changed, len) == DECODE_VALUE, "an expiry beyond all clocks is refused");
	memset(changed + 88, 0, 8);
	resign(key, changed, len);
	ok(take(changed, len) == DECODE_VALUE, "no expiry is refused");

	memcpy(changed, bytes, len);
	changed[72] ^= 1;
	resign(key, changed, len);
	ok(take(changed, len) == DECODE_NETWORK, "another network's record is refused");

	ok(take_at(bytes, len, fields->expires_ms + SKEW - 1) == DECODE_OK, "a clock that is ahead within the skew still takes it");
	ok(take_at(bytes, len, fields->expires_ms + SKEW) == DECODE_EXPIRED, "then it has expired");
	ok(take_at(bytes, len, fields->expires_ms - NODE_RECORD_LIFE_MS - SKEW) == DECODE_OK, "a clock that is behind within the skew takes it");
	ok(take_at(bytes, len, fields->expires_ms - NODE_RECORD_LIFE_MS - SKEW - 1) == DECODE_FUTURE,
	   "a life that is too long is refused");
}

/* Extensions: written by hand, as a later version would. */
static void
records_extended(const Key *key, const uint8_t *bytes, size_t len)
{
	uint8_t		changed[NODE_RECORD_MAX + 64];

	for (int critical = 0; critical < 2; critical++)
	{
		ByteWriter	w = {changed + len - 64, 32, false};

		memcpy(changed, bytes, len);
		wire_put_item(&w, critical ? WIRE_CRITICAL | 9 : 9, "later", 5);
		changed[6] = 11;
		resign(key, changed, len + 11);
		ok(take(changed, len + 11) == (critical ? DECODE_CRITICAL : DECODE_OK),
		   "an unknown extension is %s", critical ? "refused when it is critical" : "skipped");
	}
	changed[6] = 10;
	resign(key, changed, len + 10);
	ok(take(changed, len + 10) == DECODE_TRUNCATED, "an extension that is cut short is refused");
	{
		ByteWriter	w = {changed + len - 64, 32, false};

		memcpy(changed, bytes, len);
		wire_put_item(&w, 9, NULL, 0);
		wire_put_item(&w, 8, NULL, 0);
		changed[6] = 12;
		resign(key, changed, len + 12);
		ok(take(changed, len + 12) == DECODE_ORDER, "extensions out of order are refused");
	}
}

static void
records_unwritten(const Key *key, NodeRecordFields fields)
{
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;

	fields.n_addresses = 0;
	ok(node_record_sign(&crypto, key->secret, &fields, bytes, &len) == DECODE_VALUE, "no record without an address is written");
	fields.n_addresses = 1;
	fields.addresses[0].port = 0;
	ok(node_record_sign(&crypto, key->secret, &fields, bytes, &len) == DECODE_VALUE, "nor one with an address that cannot be reached");
	fields.addresses[0].port = 7777;
	fields.expires_ms = INT64_MAX;
	ok(node_record_sign(&crypto, key->secret, &fields, bytes, &len) == DECODE_VALUE, "nor one that expires beyond all clocks");
}

static void
test_records(void)
{
	Key			key = new_key();
	NodeRecordFields fields = new_fields(net_address_v4(8, 8, 8, 8, 7777));
	NodeRecord *record;
	NodeRecord *again;
	uint8_t		bytes[NODE_RECORD_MAX + 1];
	uint8_t		changed[NODE_RECORD_MAX + 64];
	DecodeStatus status;
	size_t		len;
	size_t		least;
	int			wrong = 0;
	uint64_t	verified;

	fields.n_addresses = 4;
	fields.addresses[1] = net_address_v4(9, 9, 9, 9, 1);
	fields.addresses[2] = net_address_v4(9, 9, 9, 9, 2);
	fields.addresses[3] = (NetAddress) {{0x20, 1, [15] = 7}, 65535};
	fields.capabilities = UINT64_C(0x8000000000000001);
	fields.seq = UINT64_MAX;
	status = node_record_sign(&crypto, key.secret, &fields, bytes, &len);
	ok(status == DECODE_OK && len == 104 + 4 * 18 + 64, "a record is written, %zu bytes", len);
	ok(record_pool_take(&pool, bytes, len, NOW, &record) == DECODE_OK, "and read");
	ok(record->seq == fields.seq && record->capabilities == fields.capabilities &&
	   record->expires_ms == fields.expires_ms && record->network == network && record->n_addresses == 4 &&
	   memcmp(record->curve_key, fields.curve_key, 32) == 0 && memcmp(record->key, key.public, 32) == 0,
	   "every field comes back");
	for (int i = 0; i < 4; i++)
		wrong += !net_address_equal(&record->addresses[i], &fields.addresses[i]);
	ok(wrong == 0, "and so do four addresses, in their order");
	verified = pool.verified;
	ok(record_pool_take(&pool, bytes, len, NOW, &again) == DECODE_OK && again == record && record->references == 2 &&
	   pool.verified == verified, "the same bytes again are the same record, and no second signature is checked");
	record_pool_release(&pool, again);

	for (least = 0, wrong = 0; least < len; least++)
		wrong += take(bytes, least) != DECODE_TRUNCATED;
	ok(wrong == 0, "cut at any of %zu places it is truncated", len);
	memcpy(changed, bytes, len);
	changed[len] = 0;
	ok(take(changed, len + 1) == DECODE_OVERLONG, "a byte more is overlong");
	ok(take(changed, NODE_RECORD_MAX + 1) == DECODE_OVERLONG, "and so is more than a record may have");

	for (size_t i = 0, bit; i < len; i++)
		for (bit = 0; bit < 8; bit++)
		{
			memcpy(changed, bytes, len);
			changed[i] ^= (uint8_t) (1 << bit);
			wrong += take(changed, len) == DECODE_OK;
		}
	ok(wrong == 0, "no bit can be changed without being noticed");

	records_refused(&key, &fields, bytes, len);
	records_extended(&key, bytes, len);
	record_pool_release(&pool, record);
	ok(pool.n == 0, "the last reference frees a record");
	records_unwritten(&key, fields);
}

static void
test_pool(void)
{
	enum
	{
		COUNT = 300
	};
	static NodeRecord *records[COUNT];
	Key			keys[2] = {new_key(), new_key()};
	RecordPool	small;
	NodeRecord *record;
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	NodeRecordFields fields = new_fields(nth_address(1));
	int			wrong = 0;

	for (int i = 0; i < COUNT; i++)
	{
		Key			key = new_key();

		records[i] = record_of(&key, nth_address(i), 1);
	}
	ok(pool.n == COUNT && pool.slots > 64, "%d records are held in %u slots, more than at first", COUNT, pool.slots);
	for (int i = 0; i < COUNT; i++)
	{
		uint64_t	verified = pool.verified;

		wrong += record_pool_take(&pool, records[i]->bytes, records[i]->len, NOW, &record) != DECODE_OK ||
			record != records[i] || pool.verified != verified;
		record_pool_release(&pool, record);
	}
	ok(wrong == 0, "each is found again");
	for (int i = 0; i < COUNT; i++)
		record_pool_release(&pool, records[i]);
	ok(pool.n == 0, "and all can go");

	if (!record_pool_init(&small, &memory, &crypto, &fixture_random, network, SKEW, 1))
		exit(2);
	node_record_sign(&crypto, keys[0].secret, &fields, bytes, &len);
	ok(record_pool_take(&small, bytes, len, NOW, &records[0]) == DECODE_OK, "a pool of one takes one");
	node_record_sign(&crypto, keys[1].secret, &fields, bytes, &len);
	ok(record_pool_take(&small, bytes, len, NOW, &records[1]) == DECODE_TOO_MANY, "and no second");
	record_pool_release(&small, records[0]);
	ok(record_pool_take(&small, bytes, len, NOW, &records[1]) == DECODE_OK, "until the first is gone");
	record_pool_release(&small, records[1]);
	memory_state.until_failure = 0;
	ok(record_pool_take(&small, bytes, len, NOW, &records[1]) == DECODE_MEMORY && records[1] == NULL,
	   "without memory it says so");
	memory_state.until_failure = -1;
	record_pool_reset(&small);
	memory_state.until_failure = 0;
	ok(!record_pool_init(&small, &memory, &crypto, &fixture_random, network, SKEW, 1), "and there is no pool");
	memory_state.until_failure = -1;
}

static DecodeStatus
hear(const uint8_t *bytes, size_t len, int64_t unix_ms)
{
	uint8_t    *copy = exact_copy(bytes, len);
	Beacon		beacon;
	DecodeStatus status = beacon_decode(&pool, copy, len, unix_ms, &beacon);

	if ((status == DECODE_OK) != (beacon.record != NULL))
		diag("record and status disagree");
	record_pool_release(&pool, beacon.record);
	free(copy);
	return status;
}

static void
test_beacons(void)
{
	Key			key = new_key();
	Key			other = new_key();
	NodeRecord *record = record_of(&key, net_address_v4(192, 168, 1, 2, 7777), 1);
	uint8_t		bytes[BEACON_MAX + 1];
	uint8_t		changed[BEACON_MAX + 1];
	Beacon		beacon;
	size_t		len = beacon_sign(&crypto, key.secret, BEACON_ASK, 77, record, NOW, bytes);
	int			wrong = 0;

	ok(len == BEACON_HEAD + record->len + 64 && len <= 508, "a beacon has %zu bytes, fit for one datagram", len);
	ok(beacon_decode(&pool, bytes, len, NOW, &beacon) == DECODE_OK && beacon.kind == BEACON_ASK &&
	   beacon.nonce == 77 && beacon.issued_ms == NOW && beacon.record == record, "every field comes back");
	record_pool_release(&pool, beacon.record);
	for (size_t cut = 0; cut < len; cut++)
		wrong += hear(bytes, cut, NOW) != DECODE_TRUNCATED;
	ok(wrong == 0, "cut anywhere it is truncated");
	bytes[len] = 0;
	ok(hear(bytes, len + 1, NOW) == DECODE_OVERLONG, "a byte more is overlong");
	for (size_t i = 0; i < len; i++)
	{
		memcpy(changed, bytes, len);
		changed[i] ^= 0x10;
		wrong += hear(changed, len, NOW) == DECODE_OK;
	}
	ok(wrong == 0, "no byte can be changed without being noticed");
	ok(hear(bytes, len, NOW - SKEW) == DECODE_OK && hear(bytes, len, NOW - SKEW - 1) == DECODE_FUTURE,
	   "the sender's clock may be ahead by the skew");
	ok(hear(bytes, len, NOW + SKEW + BEACON_LIFE_MS - 1) == DECODE_OK &&
	   hear(bytes, len, NOW + SKEW + BEACON_LIFE_MS) == DECODE_EXPIRED, "a replay is refused when the minute is over");

	len = beacon_sign(&crypto, other.secret, BEACON_ANNOUNCE, 0, record, NOW, bytes);
	ok(hear(bytes, len, NOW) == DECODE_SIGNATURE, "who has the record but not the key is refused");
	len = beacon_sign(&crypto, key.secret, BEACON_ANNOUNCE, 0, record, NOW, bytes);
	ok(hear(bytes, len, NOW) == DECODE_OK, "an announcement needs no nonce");
	len = beacon_sign(&crypto, key.secret, BEACON_ASK, 0, record, NOW, bytes);
	ok(hear(bytes, len, NOW) == DECODE_VALUE, "an ask needs one");
	len = beacon_sign(&crypto, key.secret, (BeaconKind) 3, 0, record, NOW, bytes);
	ok(hear(bytes, len, NOW) == DECODE_TYPE, "an unknown kind is refused");
	len = beacon_sign(&crypto, key.secret, BEACON_ANNOUNCE, 0, record, NOW, bytes);
	bytes[8] ^= 1;
	ok(hear(bytes, len, NOW) == DECODE_NETWORK, "another network's is told apart");
	record_pool_release(&pool, record);
}

int
main(void)
{
	int			named = 0;

	fixture_begin(10000);
	test_ids();
	test_addresses();
	test_records();
	test_pool();
	test_beacons();
	for (int status = 0; status < DECODE_STATUSES; status++)
		named += decode_status_text((DecodeStatus) status) != NULL && decode_status_text((DecodeStatus) status)[0] != '\0';
	ok(named == DECODE_STATUSES && decode_status_text(DECODE_STATUSES) != NULL, "every status has its words");
	return fixture_end();
}
