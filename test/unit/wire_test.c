/*
 * wire_test.c
 *	  Messages as bytes: each type there and back, and what is refused.
 */
#include "core/net/wire.h"

#include "core/bytes.h"
#include "core/net/wire_item.h"

#include "node_fixture.h"

static NodeRecord *records[WIRE_RECORDS + 1];
static Key	keys[WIRE_RECORDS + 1];
static Provider *provider;
static uint8_t grants[WIRE_GRANTS + 1][GRANT_BYTES];
static uint8_t changes[WIRE_CHANGES + 1][CHANGE_BYTES_MAX];
static uint8_t frame[WIRE_FRAME_MAX + 1];
static uint8_t changed[WIRE_FRAME_MAX + 1];

static int
count_references(const WireMessage *m)
{
	NodeRecord *const *record;
	Provider   *const *some;

	return wire_records(m, &record) + wire_providers(m, &some);
}

static DecodeStatus
decode(const uint8_t *bytes, size_t len)
{
	uint8_t    *copy = exact_copy(bytes, len);
	WireMessage m;
	DecodeStatus status = wire_decode(&pool, copy, len, NOW, &m);

	if (status != DECODE_OK && count_references(&m) > 0)
		diag("a refused message holds references");
	wire_release(&pool, &m);
	free(copy);
	return status;
}

/* One of each shape that a type may have, filled as far as it goes. */
static WireMessage
example(int type, bool response)
{
	static const char words[] = "zu viel auf einmal: \xC3\xBC";
	WireMessage m = {.type = (uint8_t) type, .response = response, .request = 0x1122334455667788};

	switch (type)
	{
		case WIRE_HELLO:
			m.hello = (WireHello) {1, 3, network, records[0]};
			break;
		case WIRE_PING:
			m.ping.record = records[0];
			break;
		case WIRE_FIND_NODE:
		case WIRE_FIND_PROVIDERS:
			if (!response)
			{
				m.find = (WireFind) {records[0]->id, 2, {1, UINT64_MAX}};
				break;
			}
			m.found.n_records = WIRE_RECORDS;
			memcpy(m.found.record, records, sizeof m.found.record);
			m.found.n_providers = type == WIRE_FIND_PROVIDERS ? WIRE_PROVIDERS : 0;
			for (int i = 0; i < m.found.n_providers; i++)
				m.found.provider[i] = provider;
			break;
		case WIRE_PROVIDE:
			if (response)
				m.provided.code = WIRE_CODE_BUSY;
			else
				m.provide.provider = provider;
			break;
		case WIRE_GRANTS_SYNC:
			m.grants.n = WIRE_GRANTS;
			for (int i = 0; i < WIRE_GRANTS; i++)
				m.grants.grant[i] = grants[i];
			memset(m.grants.fingerprint, 9, sizeof m.grants.fingerprint);
			memset(m.grants.changes_fingerprint, 8, sizeof m.grants.changes_fingerprint);
			m.grants.n_changes = WIRE_CHANGES;
			for (int i = 0; i < WIRE_CHANGES; i++)
			{
				m.grants.change[i].bytes = changes[i];
				m.grants.change[i].len = CHANGE_BYTES_MAX;
			}
			break;
		case WIRE_REDEEM:
			if (!response)
			{
				m.redeem = (WireRedeem) {grants[0], grants[1], words, strlen(words)};
				break;
			}
			m.redeemed.n = WIRE_GRANTS;
			for (int i = 0; i < WIRE_GRANTS; i++)
				m.redeemed.grant[i] = grants[i];
			m.redeemed.text = words;
			m.redeemed.text_len = strlen(words);
			break;
		case WIRE_PRUNE:
			m.prune.backoff_s = 77;
			m.prune.n_records = WIRE_PRUNE_RECORDS;
			memcpy(m.prune.record, records, sizeof m.prune.record);
			break;
		case WIRE_ERROR:
			m.error = (WireError) {WIRE_CODE_BUSY, words, strlen(words)};
			break;
	}
	if (type >= WIRE_GRANTS_SYNC && type <= WIRE_PRUNE)
		m.collection = records[1]->id;
	if (type == WIRE_GRAFT || type == WIRE_PRUNE || type == WIRE_BYE)
		m.request = 0;
	return m;
}

static bool
same_statements(const uint8_t *const *a, int n, const uint8_t *const *b, int m)
{
	for (int i = 0; i < n && n == m; i++)
		if (memcmp(a[i], b[i], GRANT_BYTES) != 0)
			return false;
	return n == m;
}

static bool
same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* Is the decoded message what was encoded, field by field?  The pool has one record for the same bytes. */
static bool
same(const WireMessage *a, const WireMessage *b)
{
	NodeRecord *const *record[2];
	Provider   *const *some[2];
	int			n = wire_records(a, &record[0]);
	int			n_some = wire_providers(a, &some[0]);

	if (a->type != b->type || a->response != b->response || a->request != b->request ||
		!kad_id_equal(&a->collection, &b->collection) || a->skipped != b->skipped ||
		wire_records(b, &record[1]) != n || wire_providers(b, &some[1]) != n_some)
		return false;
	for (int i = 0; i < n; i++)
		if (record[0][i] != record[1][i])
			return false;
	for (int i = 0; i < n_some; i++)
		if (memcmp(some[0][i]->bytes, some[1][i]->bytes, PROVIDER_BYTES) != 0 || some[0][i]->record != some[1][i]->record)
			return false;
	switch (a->type)
	{
		case WIRE_HELLO:
			return a->hello.min_version == b->hello.min_version && a->hello.max_version == b->hello.max_version &&
				a->hello.network == b->hello.network;
		case WIRE_FIND_NODE:
		case WIRE_FIND_PROVIDERS:
			return a->response || (kad_id_equal(&a->find.target, &b->find.target) && a->find.n_avoid == b->find.n_avoid &&
								   memcmp(a->find.avoid, b->find.avoid, sizeof a->find.avoid) == 0);
		case WIRE_PROVIDE:
			return !a->response || a->provided.code == b->provided.code;
		case WIRE_GRANTS_SYNC:
			return same_statements(a->grants.grant, a->grants.n, b->grants.grant, b->grants.n) &&
				memcmp(a->grants.fingerprint, b->grants.fingerprint, GRANT_HASH_BYTES) == 0;
		case WIRE_REDEEM:
			if (a->response)
				return same_statements(a->redeemed.grant, a->redeemed.n, b->redeemed.grant, b->redeemed.n) &&
					same_text(a->redeemed.text, a->redeemed.text_len, b->redeemed.text, b->redeemed.text_len);
			return memcmp(a->redeem.invitation, b->redeem.invitation, GRANT_BYTES) == 0 &&
				memcmp(a->redeem.redemption, b->redeem.redemption, REDEMPTION_BYTES) == 0 &&
				same_text(a->redeem.text, a->redeem.text_len, b->redeem.text, b->redeem.text_len);
		case WIRE_PRUNE:
			return a->prune.backoff_s == b->prune.backoff_s;
		case WIRE_ERROR:
			return a->error.code == b->error.code &&
				same_text(a->error.text, a->error.text_len, b->error.text, b->error.text_len);
	}
	return true;
}

static bool
has_shape(int type, bool response)
{
	if (type == WIRE_GRAFT || type == WIRE_PRUNE || type == WIRE_BYE)
		return !response;
	return type != WIRE_ERROR || response;
}

static void
test_types(void)
{
	int			cut_wrong = 0;
	int			bit_wrong = 0;
	size_t		longest = 0;

	for (int type = 1; type < WIRE_TYPES; type++)
		for (int response = 0; response < 2; response++)
		{
			WireMessage m = example(type, response);
			WireMessage back;
			size_t		len = 0;
			size_t		again = 0;

			if (!has_shape(type, response))
			{
				ok(!wire_encode(&m, frame, sizeof frame, &len), "type %d has no %s", type, response ? "response" : "request");
				continue;
			}
			if (!ok(wire_encode(&m, frame, sizeof frame, &len), "type %d, %s: written", type, response ? "response" : "request"))
				continue;
			ok(wire_decode(&pool, frame, len, NOW, &back) == DECODE_OK && same(&m, &back),
			   "type %d, %s: read as it was written", type, response ? "response" : "request");
			ok(wire_encode(&back, changed, sizeof changed, &again) && again == len && memcmp(frame, changed, len) == 0,
			   "type %d, %s: and the same bytes again", type, response ? "response" : "request");
			wire_release(&pool, &back);
			if (len > longest)
				longest = len;

			/* a length in the header that matches makes the items the ones at fault */
			for (size_t cut = 0; cut < len; cut += cut < 200 ? 1 : 37)
			{
				memcpy(changed, frame, len);
				cut_wrong += decode(changed, cut) != DECODE_TRUNCATED;
				if (cut >= WIRE_HEAD)
				{
					bytes_store(changed + 48, 4, cut - WIRE_HEAD);
					bit_wrong += decode(changed, cut) == DECODE_OK && cut < 200 &&
						type != WIRE_FIND_NODE && type != WIRE_FIND_PROVIDERS && type != WIRE_PING && type != WIRE_ERROR &&
						type != WIRE_GRANTS_SYNC && type != WIRE_PRUNE;
				}
			}
			memcpy(changed, frame, len);
			changed[len] = 0;
			cut_wrong += decode(changed, len + 1) != DECODE_OVERLONG;
		}
	ok(cut_wrong == 0, "cut anywhere, or a byte longer, none is taken");
	ok(bit_wrong == 0, "items cut where the header agrees are not taken where they are needed");
	ok(longest < WIRE_FRAME_MAX, "the longest has %zu bytes", longest);
}

static void
test_header(void)
{
	WireMessage m = example(WIRE_FIND_NODE, false);
	WireMessage back;
	size_t		len;

	wire_encode(&m, frame, sizeof frame, &len);
	memcpy(changed, frame, len);
	changed[0] = 'V';
	ok(decode(changed, len) == DECODE_MAGIC, "something else is refused");
	memcpy(changed, frame, len);
	bytes_store(changed + 4, 2, 2);
	ok(wire_decode(&pool, changed, len, NOW, &back) == DECODE_VERSION && back.version == 2 && back.request == m.request,
	   "a version that is not spoken is refused, and who asked can be told");
	bytes_store(changed + 4, 2, 0);
	ok(decode(changed, len) == DECODE_VERSION, "version 0 is refused");
	memcpy(changed, frame, len);
	changed[6] = 0;
	ok(decode(changed, len) == DECODE_TYPE, "type 0 is refused");
	changed[6] = WIRE_TYPES;
	ok(decode(changed, len) == DECODE_TYPE, "an unknown type is refused");
	changed[6] = 255;
	ok(decode(changed, len) == DECODE_TYPE, "and so is the last");
	changed[6] = WIRE_GRAFT;
	changed[7] = 1;
	ok(decode(changed, len) == DECODE_TYPE, "a response to what has none is refused");
	memcpy(changed, frame, len);
	changed[7] = 2;
	ok(decode(changed, len) == DECODE_FLAGS, "reserved flags are refused");
	memcpy(changed, frame, len);
	memset(changed + 8, 0, 8);
	ok(decode(changed, len) == DECODE_VALUE, "a request without a number is refused");
	memcpy(changed, frame, len);
	changed[20] = 1;
	ok(decode(changed, len) == DECODE_VALUE, "a collection where none belongs is refused");
	memcpy(changed, frame, len);
	memset(changed + 48, 0xFF, 4);
	ok(decode(changed, len) == DECODE_TRUNCATED, "a length of 4 GiB is not believed");
	memcpy(changed, frame, len);
	memset(changed + WIRE_HEAD + 2, 0xFF, 4);
	ok(decode(changed, len) == DECODE_TRUNCATED, "nor is that of an item");
	memset(changed, 0, sizeof changed);
	ok(decode(changed, sizeof changed) == DECODE_OVERLONG, "a frame above the limit is refused unread");
	ok(decode(changed, 0) == DECODE_TRUNCATED, "an empty frame is refused");
	m.request = 0;
	ok(!wire_encode(&m, frame, sizeof frame, &len), "a request without a number is not written");
	m = example(WIRE_FIND_NODE, false);
	ok(!wire_encode(&m, frame, 60, &len), "nor one that does not fit");
	m.type = 77;
	ok(!wire_encode(&m, frame, sizeof frame, &len), "nor an unknown type");
	m = example(WIRE_REDEEM, false);
	m.redeem.redemption = NULL;
	ok(!wire_encode(&m, frame, sizeof frame, &len), "nor one that lacks what it needs");
}

/* A FIND_NODE request with these items appended to, or in place of, its own. */
static DecodeStatus
with_items(bool keep_target, const uint8_t *items, size_t items_len)
{
	WireMessage m = example(WIRE_FIND_NODE, false);
	size_t		len;

	m.find.n_avoid = 0;
	wire_encode(&m, frame, sizeof frame, &len);
	if (!keep_target)
		len = WIRE_HEAD;
	memcpy(frame + len, items, items_len);
	len += items_len;
	bytes_store(frame + 48, 4, len - WIRE_HEAD);
	return decode(frame, len);
}

static void
test_items(void)
{
	uint8_t		items[400];
	uint8_t		value[240] = {0};
	ByteWriter	w;

#define BEGIN() (w = (ByteWriter) {items, sizeof items, false})
#define LEN() ((size_t) (w.at - items))
	BEGIN();
	ok(with_items(false, items, LEN()) == DECODE_MISSING, "a missing item is told");
	wire_put_item(&w, 99, value, 5);
	ok(with_items(true, items, LEN()) == DECODE_OK, "an unknown item is skipped");
	BEGIN();
	wire_put_item(&w, 99 | WIRE_CRITICAL, value, 5);
	ok(with_items(true, items, LEN()) == DECODE_CRITICAL, "unless it is critical");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_TARGET, value, 32);
	ok(with_items(true, items, LEN()) == DECODE_ORDER, "a target twice is refused");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_NETWORK, value, 8);
	ok(with_items(true, items, LEN()) == DECODE_ORDER, "items out of order are refused");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_TARGET | WIRE_CRITICAL, value, 32);
	ok(with_items(false, items, LEN()) == DECODE_VALUE, "a known item in another form is refused");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_CODE, value, 2);
	ok(with_items(true, items, LEN()) == DECODE_VALUE, "a known item where it does not belong is refused");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_TARGET, value, 31);
	ok(with_items(false, items, LEN()) == DECODE_TRUNCATED, "a short value is refused");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_TARGET, value, 33);
	ok(with_items(false, items, LEN()) == DECODE_OVERLONG, "a long value is refused");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_AVOID, value, 0);
	ok(with_items(true, items, LEN()) == DECODE_VALUE, "an empty list to avoid is refused");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_AVOID, value, 12);
	ok(with_items(true, items, LEN()) == DECODE_VALUE, "and one of half an id");
	BEGIN();
	wire_put_item(&w, WIRE_TAG_AVOID, value, 8 * (WIRE_AVOID + 1));
	ok(with_items(true, items, LEN()) == DECODE_TOO_MANY, "and one that is too long");
	BEGIN();
	wire_put_item(&w, 0, value, 0);
	ok(with_items(false, items, LEN()) == DECODE_MISSING, "tag 0 is unknown, like any other");
}

/* An answer with these records as they are. */
static DecodeStatus
with_records(int type, const uint8_t *bytes, size_t record_len, int n, WireMessage *m)
{
	ByteWriter	w = {frame, sizeof frame, false};
	WireMessage head = example(type, true);
	size_t		len;

	wire_encode(&head, frame, sizeof frame, &len);
	len = WIRE_HEAD;
	if (type == WIRE_HELLO)
		len += WIRE_ITEM_HEAD + 4 + WIRE_ITEM_HEAD + 8;
	w.at += len;
	w.left -= len;
	for (int i = 0; i < n; i++)
		wire_put_item(&w, WIRE_TAG_RECORD, bytes, record_len);
	len = (size_t) (w.at - frame);
	bytes_store(frame + 48, 4, len - WIRE_HEAD);
	return wire_decode(&pool, frame, len, NOW, m);
}

static void
test_records(void)
{
	NodeRecordFields fields = new_fields(nth_address(1));
	uint8_t		bytes[NODE_RECORD_MAX];
	size_t		len;
	WireMessage m;
	Key			key = new_key();

	node_record_sign(&crypto, key.secret, &fields, bytes, &len);
	ok(with_records(WIRE_FIND_NODE, bytes, len, WIRE_RECORDS, &m) == DECODE_OK && m.found.n_records == WIRE_RECORDS,
	   "an answer names up to %d nodes", WIRE_RECORDS);
	wire_release(&pool, &m);
	ok(with_records(WIRE_FIND_NODE, bytes, len, WIRE_RECORDS + 1, &m) == DECODE_TOO_MANY, "and no more");
	bytes[len - 1] ^= 1;
	ok(with_records(WIRE_FIND_NODE, bytes, len, 1, &m) == DECODE_SIGNATURE, "a forged one spoils the answer");
	fields.expires_ms = NOW - HOUR;
	node_record_sign(&crypto, key.secret, &fields, bytes, &len);
	ok(with_records(WIRE_FIND_NODE, bytes, len, 2, &m) == DECODE_OK && m.found.n_records == 0 && m.skipped == 2,
	   "expired ones are left out");
	ok(with_records(WIRE_HELLO, bytes, len, 1, &m) == DECODE_EXPIRED, "but nobody greets with one");
	fields.expires_ms = NOW + HOUR;
	fields.network++;
	node_record_sign(&crypto, key.secret, &fields, bytes, &len);
	ok(with_records(WIRE_FIND_NODE, bytes, len, 1, &m) == DECODE_NETWORK, "another network's spoils the answer");
	fields.network--;
	node_record_sign(&crypto, key.secret, &fields, bytes, &len);
	memory_state.until_failure = 0;
	ok(with_records(WIRE_FIND_NODE, bytes, len, 1, &m) == DECODE_OK && m.skipped == 1, "without memory they are left out");
	ok(with_records(WIRE_HELLO, bytes, len, 1, &m) == DECODE_MEMORY, "and a greeting says so");
	memory_state.until_failure = -1;
	ok(with_records(WIRE_HELLO, bytes, len, 1, &m) == DECODE_OK && m.hello.min_version == 1 && m.hello.max_version == 3 && m.hello.network == network,
	   "a greeting brings versions, network and record");
	wire_release(&pool, &m);
}

static void
test_text(void)
{
	static const struct
	{
		const char *text;
		bool		good;
	} cases[] = {
		{"plain", true}, {"\xC3\xBC", true}, {"\xE2\x82\xAC", true}, {"\xF0\x9F\x98\x80", true},
		{"\n", false}, {"\x1B[31m", false}, {"\x7F", false}, {"\xC2\x85", false}, {"\xE2\x80\xA8", false},
		{"\x80", false}, {"\xC0\x80", false}, {"\xC3", false}, {"\xE0\x80\x80", false}, {"\xED\xA0\x80", false},
		{"\xF0\x80\x80\x80", false}, {"\xF4\x90\x80\x80", false}, {"\xF8\x80\x80\x80", false}, {"\xE2\x82", false},
	};
	int			wrong = 0;
	char		longest[WIRE_TEXT_MAX + 1];
	WireMessage m = example(WIRE_ERROR, true);
	size_t		len;

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
	{
		m.error.text = cases[i].text;
		m.error.text_len = strlen(cases[i].text);
		if (wire_encode(&m, frame, sizeof frame, &len) != cases[i].good)
			wrong++;
		/* the reader, of bytes that no writer of ours makes */
		m.error.text = "x";
		m.error.text_len = 1;
		wire_encode(&m, frame, sizeof frame, &len);
		len -= 1;
		memcpy(frame + len, cases[i].text, strlen(cases[i].text));
		len += strlen(cases[i].text);
		bytes_store(frame + WIRE_HEAD + 8 + 2, 4, strlen(cases[i].text));
		bytes_store(frame + 48, 4, len - WIRE_HEAD);
		wrong += decode(frame, len) != (cases[i].good ? DECODE_OK : DECODE_TEXT);
	}
	ok(wrong == 0, "text is UTF-8 without control characters, written and read (%d wrong)", wrong);
	memset(longest, 'a', sizeof longest);
	m.error.text = longest;
	m.error.text_len = WIRE_TEXT_MAX;
	ok(wire_encode(&m, frame, sizeof frame, &len) && decode(frame, len) == DECODE_OK, "it may have %d bytes", WIRE_TEXT_MAX);
	m.error.text_len++;
	ok(!wire_encode(&m, frame, sizeof frame, &len), "and no more");
}

/* Bytes at random, and messages with bytes at random changed. */
static void
test_garbage(void)
{
	size_t		len;
	int			taken = 0;

	for (int i = 0; i < 20000; i++)
	{
		size_t		n = core_random_below(&fixture_random, 200);

		host_fill(&random_state, changed, n);
		if (i % 2 && n >= WIRE_HEAD)
		{
			memcpy(changed, "vdbp\1\0", 6);
			changed[6] %= WIRE_TYPES;
			changed[7] &= 1;
			bytes_store(changed + 48, 4, n - WIRE_HEAD);
		}
		taken += decode(changed, n) == DECODE_OK;
	}
	diag("of 20,000 at random %d were messages", taken);
	ok(taken < 20000 / 10, "garbage is refused");
	for (int i = 0; i < 5000; i++)
	{
		int			type = 1 + i % (WIRE_TYPES - 1);
		WireMessage m = example(type, has_shape(type, i % 3 == 0) ? i % 3 == 0 : i % 3 != 0);

		wire_encode(&m, frame, sizeof frame, &len);
		for (uint64_t j = core_random_below(&fixture_random, 4); j < 5; j++)
			frame[core_random_below(&fixture_random, len)] ^= (uint8_t) (1 << j);
		decode(frame, core_random_below(&fixture_random, 8) == 0 ? len / 2 : len);
	}
	ok(pool.n == WIRE_RECORDS + 1, "and leaves nothing behind");
}

int
main(void)
{
	uint8_t		bytes[PROVIDER_BYTES];

	fixture_begin(10000);
	for (int i = 0; i <= WIRE_RECORDS; i++)
	{
		keys[i] = new_key();
		records[i] = record_of(&keys[i], nth_address(i), 1);
	}
	for (int i = 0; i <= WIRE_GRANTS; i++)
		host_fill(&random_state, grants[i], GRANT_BYTES);
	provider_sign(&crypto, keys[0].secret, &records[0]->id, NOW, false, bytes);
	if (provider_decode(&pool, bytes, sizeof bytes, records[0], NOW, &provider) != DECODE_OK)
		return 2;
	test_types();
	test_header();
	test_items();
	test_records();
	test_text();
	test_garbage();
	provider_release(&pool, provider);
	for (int i = 0; i <= WIRE_RECORDS; i++)
		record_pool_release(&pool, records[i]);
	return fixture_end();
}
