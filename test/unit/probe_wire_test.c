/*
 * probe_wire_test.c
 *	  The two implementations of records, datagrams and greetings take the same bytes:
 *	  the core's, and that of vecdb-probe.
 */
#include "core/net/beacon.h"
#include "core/net/wire.h"
#include "core/net/wire_item.h"
#include "probe/probe_wire.h"

#include "node_fixture.h"

#define TRIES 6000

static Key	key;
static uint8_t frame[WIRE_FRAME_MAX + 64];
static int	taken;
static int	refused;

static uint64_t
below(uint64_t n)
{
	return core_random_below(&fixture_random, n);
}

static bool
chance(uint64_t n)
{
	return below(n) == 0;
}

/* A record that is good, or of which one thing is not, mostly signed all the same. */
static size_t
make_record(uint8_t *out)
{
	NodeRecordFields fields = new_fields(nth_address((int) below(1000)));
	size_t		len;
	size_t		extensions = 0;
	ByteWriter	w;

	fields.n_addresses = 1 + (int) below(4);
	for (int i = 1; i < fields.n_addresses; i++)
		fields.addresses[i] = nth_address((int) below(1000) + 1000 * i);
	if (node_record_sign(&crypto, key.secret, &fields, out, &len) != DECODE_OK)
		exit(2);
	len -= CORE_SIGNATURE_BYTES;
	w = (ByteWriter) {out + len, 140, false};
	for (uint64_t i = below(4); i > 0; i--)
		wire_put_item(&w, (int) (3 - i + below(2)) | (chance(20) ? WIRE_CRITICAL : 0), out, below(40));
	extensions = (size_t) (w.at - out) - len;
	bytes_store(out + 6, 2, extensions);
	len += extensions;
	if (chance(4))
	{
		static const uint16_t at[] = {0, 4, 5, 6, 88, 95, 104, 114, 120, 121};

		out[at[below(sizeof at / sizeof *at)]] ^= (uint8_t) (1 << below(8));
	}
	crypto.sign(NULL, key.secret, out, len, out + len);
	if (chance(20))
		out[below(len + CORE_SIGNATURE_BYTES)] ^= 1;
	len += CORE_SIGNATURE_BYTES;
	return chance(30) ? len - below(4) : len;
}

/* What the core says of the network and the time the probe leaves to its verdict. */
static bool
is_of_form(DecodeStatus status)
{
	return status == DECODE_OK || status == DECODE_NETWORK || status == DECODE_EXPIRED || status == DECODE_FUTURE;
}

/* Of these two no signature is looked at by the core. */
static bool
is_judged(DecodeStatus status)
{
	return status != DECODE_NETWORK && status != DECODE_EXPIRED && status != DECODE_FUTURE;
}

static bool
agree(DecodeStatus status, const char *fault, const char *what)
{
	if (!is_judged(status))
		return true;
	if (fault == NULL)
		taken++;
	else
		refused++;
	if (is_of_form(status) == (fault == NULL))
		return true;
	diag("%s: the core says \"%s\", the probe \"%s\"", what, decode_status_text(status), fault == NULL ? "good" : fault);
	return false;
}

/* The counts must show that both kinds were met. */
static void
begin(void)
{
	taken = refused = 0;
}

static void
met_both(const char *what)
{
	ok(taken > TRIES / 20 && refused > TRIES / 20, "%s: %d were good, %d not", what, taken, refused);
}

static void
test_records(void)
{
	bool		same = true;

	begin();
	for (int i = 0; i < TRIES; i++)
	{
		uint8_t		bytes[NODE_RECORD_MAX + 64];
		size_t		len = make_record(bytes);
		uint8_t    *copy = exact_copy(bytes, len);
		ProbeRecord record;
		NodeRecord *known;
		DecodeStatus status = record_pool_take(&pool, copy, len, NOW, &known);
		const char *fault = probe_read_record(copy, len, &record);

		same &= agree(status, fault, "a record");
		if (status == DECODE_OK && fault == NULL)
		{
			same &= memcmp(record.id, known->id.b, 32) == 0 && memcmp(record.curve_key, known->curve_key, 32) == 0 &&
				record.network == known->network && record.seq == known->seq && record.expires_ms == known->expires_ms &&
				record.capabilities == known->capabilities && record.n_addresses == known->n_addresses;
			for (int k = 0; k < known->n_addresses; k++)
				same &= memcmp(record.addresses[k].ip, known->addresses[k].ip, 16) == 0 &&
					record.addresses[k].port == known->addresses[k].port;
		}
		record_pool_release(&pool, known);
		free(copy);
	}
	ok(same, "both take the same records, and read the same in them");
	met_both("records");
}

static void
test_answers(void)
{
	bool		same = true;

	begin();
	for (int i = 0; i < TRIES; i++)
	{
		uint8_t		bytes[BEACON_MAX + 64];
		ByteWriter	w = {bytes, sizeof bytes, false};
		uint8_t		record[NODE_RECORD_MAX + 64];
		size_t		record_len = make_record(record);
		size_t		len;
		uint8_t    *copy;
		Beacon		beacon;
		ProbeAnswer answer;
		DecodeStatus status;
		const char *fault;

		bytes_put(&w, "vbc1", 4);
		bytes_put_uint(&w, 2, chance(20) ? below(300) : BEACON_ANNOUNCE);
		bytes_put_uint(&w, 2, record_len + (chance(40) ? 1 : 0));
		bytes_put_uint(&w, 8, network);
		bytes_put_uint(&w, 8, chance(40) ? UINT64_MAX >> below(3) : (uint64_t) NOW);
		bytes_put_uint(&w, 8, below(3));
		bytes_put(&w, record, record_len);
		len = (size_t) (w.at - bytes);
		crypto.sign(NULL, key.secret, bytes, len, bytes + len);
		len += CORE_SIGNATURE_BYTES;
		if (chance(20))
			bytes[below(len)] ^= (uint8_t) (1 << below(8));
		len -= chance(40) ? below(len) : 0;
		copy = exact_copy(bytes, len);
		status = beacon_decode(&pool, copy, len, NOW, &beacon);
		fault = probe_read_answer(copy, len, &answer);
		/* a probe takes no asks */
		if (status != DECODE_OK || beacon.kind == BEACON_ANNOUNCE)
			same &= agree(status, fault, "a datagram");
		else
			same &= fault != NULL;
		if (status == DECODE_OK && fault == NULL)
			same &= answer.nonce == beacon.nonce && answer.issued_ms == beacon.issued_ms;
		record_pool_release(&pool, beacon.record);
		free(copy);
	}
	ok(same, "both take the same datagrams");
	met_both("datagrams");
}

/* An item that belongs there, or not. */
static void
put_some_item(ByteWriter *w, int tag)
{
	uint8_t		value[NODE_RECORD_MAX + 64] = {1, 0, (uint8_t) (1 + below(3)), 0};
	size_t		len = tag == WIRE_TAG_VERSIONS ? 4 : tag == WIRE_TAG_NETWORK ? 8 : tag == WIRE_TAG_CODE ? 2 : below(20);

	if (tag == WIRE_TAG_NETWORK)
		bytes_store(value, 8, network);
	else if (tag == WIRE_TAG_RECORD)
		len = make_record(value);
	else if (tag == WIRE_TAG_TEXT)
	{
		len = chance(10) ? below(300) : 1 + below(200);
		memset(value, 'a', sizeof value);
		if (chance(2) && len >= 8)
			memcpy(value + below(len - 3), "\xF0\x9F\x90\x98", 4);
		if (chance(10))
			host_fill(&random_state, value, 3);
	}
	else if (chance(10))
		value[below(4)] = (uint8_t) below(4);
	if (chance(60))
		len = len > 0 ? len - 1 : 1;
	wire_put_item(w, tag | (chance(60) ? WIRE_CRITICAL : 0), value, len);
}

static size_t
make_frame(void)
{
	static const int usual[3][3] = {{WIRE_TAG_VERSIONS, WIRE_TAG_NETWORK, WIRE_TAG_RECORD}, {WIRE_TAG_RECORD}, {WIRE_TAG_CODE, WIRE_TAG_TEXT}};
	static const int n_usual[3] = {3, 1, 2};
	int			type = (int) below(3);
	WireHeader	header = {1, type == 0 ? WIRE_HELLO : type == 1 ? WIRE_PING : WIRE_ERROR, true, 1 + below(1000), {{0}}};
	ByteWriter	w = {frame, sizeof frame, false};
	size_t		len;

	wire_header_put(&w, &header);
	for (int i = 0; i < n_usual[type]; i++)
	{
		if (!chance(30))
			put_some_item(&w, usual[type][i]);
		if (chance(40))
			put_some_item(&w, usual[type][i]);
	}
	for (uint64_t i = chance(3) ? 1 + below(3) : 0; i > 0; i--)
		put_some_item(&w, chance(5) ? (int) below(20) : 20 - (int) i);
	len = (size_t) (w.at - frame);
	wire_header_end(frame, len);
	if (chance(20))
		frame[below(WIRE_HEAD)] ^= (uint8_t) (1 << below(8));
	return chance(40) ? len - below(len) : len;
}

static void
test_frames(void)
{
	bool		same = true;

	begin();
	for (int i = 0; i < TRIES; i++)
	{
		size_t		len = make_frame();
		uint8_t    *copy = exact_copy(frame, len);
		ProbeFrame	read;
		WireMessage m;
		DecodeStatus status = wire_decode(&pool, copy, len, NOW, &m);
		const char *fault = probe_read_response(copy, len, &read);
		bool		of_interest = status != DECODE_OK ||
			(m.response && (m.type == WIRE_HELLO || m.type == WIRE_PING || m.type == WIRE_ERROR));

		/* the probe awaits nothing else, and looks at request ids by itself */
		if (!of_interest)
			same &= fault != NULL;
		else if (status != DECODE_VALUE || bytes_load(copy + 8, 8) != 0)
			same &= agree(status, fault, "a frame");
		if (status == DECODE_OK && fault == NULL && m.type == WIRE_HELLO)
			same &= read.least == m.hello.min_version && read.greatest == m.hello.max_version && read.network == m.hello.network &&
				memcmp(read.record.id, m.hello.record->id.b, 32) == 0;
		if (status == DECODE_OK && fault == NULL && m.type == WIRE_ERROR)
			same &= read.code == m.error.code && strlen(read.text) == m.error.text_len &&
				(m.error.text_len == 0 || memcmp(read.text, m.error.text, m.error.text_len) == 0);
		wire_release(&pool, &m);
		free(copy);
	}
	ok(same, "both take the same messages, and read the same in them");
	met_both("messages");
}

/* What the probe writes the core reads. */
static void
test_writing(void)
{
	ProbeKeys	keys;
	ProbeAddress address = {.port = 9};
	uint8_t		record[PROBE_RECORD_MAX];
	uint8_t		ask[PROBE_ASK_MAX];
	size_t		len;
	Beacon		beacon;
	WireMessage m;

	address.ip[15] = 1;
	probe_make_keys(&keys);
	ok(probe_network("test") == network, "the number of a network");
	len = probe_write_ask(&keys, network, &address, 77, NOW, ask);
	ok(beacon_decode(&pool, ask, len, NOW, &beacon) == DECODE_OK && beacon.kind == BEACON_ASK && beacon.nonce == 77 && beacon.issued_ms == NOW,
	   "an ask");
	ok(beacon.record != NULL && memcmp(beacon.record->curve_key, keys.curve_public, 32) == 0, "with the probe's CURVE key");
	record_pool_release(&pool, beacon.record);
	len = probe_write_record(&keys, network, &address, 5, NOW + HOUR, record);
	len = probe_write_frame(PROBE_HELLO, 8, network, record, len, frame);
	ok(wire_decode(&pool, frame, len, NOW, &m) == DECODE_OK && m.type == WIRE_HELLO && !m.response && m.request == 8 && m.hello.min_version == 1 &&
	   m.hello.record->seq == 5, "a greeting");
	wire_release(&pool, &m);
	len = probe_write_frame(PROBE_PING, 9, network, NULL, 0, frame);
	ok(wire_decode(&pool, frame, len, NOW, &m) == DECODE_OK && m.type == WIRE_PING && m.request == 9, "a ping");
	wire_release(&pool, &m);
	len = probe_write_frame(PROBE_BYE, 0, network, NULL, 0, frame);
	ok(wire_decode(&pool, frame, len, NOW, &m) == DECODE_OK && m.type == WIRE_BYE, "a farewell");
	wire_release(&pool, &m);
}

int
main(void)
{
	if (sodium_init() < 0)
		return 2;
	fixture_begin(100);
	key = new_key();
	test_writing();
	test_records();
	test_answers();
	test_frames();
	return fixture_end();
}
