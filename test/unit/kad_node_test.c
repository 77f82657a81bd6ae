/*
 * kad_node_test.c
 *	  Lookups and whole nodes, a few of them, driven by hand: what they send,
 *	  what they believe, and that nothing they are sent can hurt them.
 */
#include "core/net/kad_node_state.h"

#include "node_fixture.h"

#define PEERS 40
#define INBOX 4000

typedef struct Letter
{
	int			from;
	int			to;
	WireMessage message;		/* with references */
} Letter;

typedef struct Peer
{
	Key			key;
	NodeRecord *record;
	KadNode    *node;
	bool		deaf;
	int			sent;
	int			events[3];
	int			done;
	int			found;
	int			providers;
	NodeRecord *nearest;
} Peer;

static Peer peers[PEERS];
static Letter inbox[INBOX];
static int	letters;
static CoreClock now;

static void
keep(const WireMessage *m)
{
	NodeRecord *const *record;
	Provider   *const *provider;
	int			n = wire_records(m, &record);

	for (int i = 0; i < n; i++)
		node_record_keep(record[i]);
	n = wire_providers(m, &provider);
	for (int i = 0; i < n; i++)
		provider_keep(provider[i]);
}

static void
on_send(void *context, const NodeRecord *to, const WireMessage *message)
{
	Peer	   *peer = context;

	peer->sent++;
	for (int i = 0; i < PEERS; i++)
		if (peers[i].node != NULL && kad_id_equal(&peers[i].record->id, &to->id))
		{
			if (letters == INBOX)
			{
				diag("the test's inbox is full");
				exit(2);
			}
			inbox[letters] = (Letter) {(int) (peer - peers), i, *message};
			keep(&inbox[letters++].message);
		}
}

static void
on_event(void *context, KadEvent event, const NodeRecord *record)
{
	((Peer *) context)->events[event]++;
}

static void
on_done(void *context, uint64_t tag, const KadLookup *lookup)
{
	Peer	   *peer = context;
	NodeRecord *near[KAD_K];

	peer->done++;
	peer->found = kad_lookup_result(lookup, near, KAD_K, NULL);
	peer->nearest = peer->found > 0 ? near[0] : NULL;
	peer->providers = lookup->n_providers;
}

static KadConfig
config_of(Peer *peer)
{
	return (KadConfig) {
		.memory = &memory,
		.crypto = &crypto,
		.random = &fixture_random,
		.pool = &pool,
		.host = {peer, on_send, on_event, on_done},
		.secret = peer->key.secret,
		.refresh_ms = KAD_REFRESH_MS
	};
}

static void
start(int i)
{
	KadConfig	config;

	peers[i] = (Peer) {.key = new_key()};
	peers[i].record = record_of(&peers[i].key, nth_address(i), 1);
	config = config_of(&peers[i]);
	peers[i].node = kad_node_new(&config, peers[i].record, now);
}

static void
stop_all(void)
{
	for (int i = 0; i < letters; i++)
		wire_release(&pool, &inbox[i].message);
	letters = 0;
	for (int i = 0; i < PEERS; i++)
	{
		kad_node_destroy(&peers[i].node);
		record_pool_release(&pool, peers[i].record);
		peers[i] = (Peer) {.sent = 0};
	}
}

/* Letters arrive 20 ms after they were sent; ticks when they are due. */
static void
run(int64_t ms)
{
	for (int64_t until = now.tick_ms + ms; now.tick_ms < until; now.tick_ms += 20, now.unix_ms += 20)
	{
		int			n = letters;

		for (int i = 0; i < n; i++)
		{
			Letter		letter = inbox[i];

			if (!peers[letter.to].deaf && !peers[letter.from].deaf && peers[letter.to].node != NULL)
				kad_node_receive(peers[letter.to].node, now, peers[letter.from].record, 0, &letter.message);
			wire_release(&pool, &letter.message);
		}
		memmove(inbox, inbox + n, (size_t) (letters - n) * sizeof inbox[0]);
		letters -= n;
		for (int i = 0; i < PEERS; i++)
			if (peers[i].node != NULL && now.tick_ms >= kad_node_next_tick(peers[i].node))
				kad_node_tick(peers[i].node, now);
	}
}

static void
begin(void)
{
	now = (CoreClock) {1000, NOW};
}

static void
test_alone(void)
{
	KadId		target = {{1}};

	begin();
	start(0);
	run(2000000);
	ok(peers[0].sent == 0 && peers[0].events[KAD_EVENT_JOINED] == 0, "a node alone sends nothing");
	ok(kad_node_lookup(peers[0].node, now, &target, false, 1) && peers[0].done == 1 && peers[0].found == 0,
	   "its lookups end at once and find nobody");
	kad_node_hold(peers[0].node, now, &target, true);
	kad_node_lookup(peers[0].node, now, &target, true, 1);
	ok(peers[0].providers == 1, "what it holds itself it finds");
	kad_node_hold(peers[0].node, now, &target, false);
	kad_node_lookup(peers[0].node, now, &target, true, 1);
	ok(peers[0].providers == 0, "in the same millisecond it holds it no more, and finds nothing");
	ok(kad_node_meet(peers[0].node, now, peers[0].record) && peers[0].sent == 0, "it does not meet itself");
	kad_node_receive(peers[0].node, now, peers[0].record, 0, &(WireMessage) {.type = WIRE_PING, .request = 1});
	ok(peers[0].sent == 0 && peers[0].events[KAD_EVENT_CLONE] == 0, "nor answers itself");
	stop_all();
}

static void
test_two(void)
{
	KadId		target = {{1}};

	begin();
	start(0);
	start(1);
	kad_node_meet(peers[0].node, now, peers[1].record);
	run(2000);
	ok(peers[0].events[KAD_EVENT_JOINED] == 1 && peers[1].events[KAD_EVENT_JOINED] == 1, "two that meet have both joined");
	ok(kad_node_table(peers[0].node)->n == 1 && kad_node_table(peers[1].node)->n == 1, "each is in the other's table");
	kad_node_hold(peers[1].node, now, &target, true);
	run(2000);
	kad_node_lookup(peers[0].node, now, &target, true, 1);
	run(2000);
	ok(peers[0].done == 1 && peers[0].found == 1 && peers[0].nearest == peers[1].record && peers[0].providers == 1,
	   "one finds the other and what it holds");
	kad_node_hold(peers[1].node, now, &target, false);
	run(2000);
	kad_node_lookup(peers[0].node, now, &target, true, 1);
	run(2000);
	ok(peers[0].providers == 0, "and not what it holds no more");
	peers[1].deaf = true;
	kad_node_lookup(peers[0].node, now, &target, true, 1);
	run(5000);
	ok(peers[0].done == 3 && peers[0].found == 0, "a lookup ends when nobody answers");
	run(3 * KAD_REFRESH_MS);
	ok(kad_node_table(peers[0].node)->n == 1 && kad_node_stats(peers[0].node).timeouts > 3,
	   "nobody answers, so it is our own line that is down: the other keeps its place");
	peers[1].deaf = false;
	run(2 * KAD_REFRESH_MS);
	kad_node_lookup(peers[0].node, now, &target, false, 1);
	run(2000);
	ok(peers[0].found == 1, "and is found again when it is back");
	stop_all();
}

static void
join_all(int n)
{
	begin();
	for (int i = 0; i < n; i++)
	{
		start(i);
		if (i > 0)
			kad_node_meet(peers[i].node, now, peers[0].record);
		run(500);
	}
	run(20000);
}

static void
test_many(void)
{
	int			joined = 0;
	int			knows = 0;
	int			right = 0;
	int64_t		next;

	join_all(PEERS);
	for (int i = 0; i < PEERS; i++)
	{
		joined += peers[i].events[KAD_EVENT_JOINED];
		knows += kad_node_table(peers[i].node)->n >= KAD_K;
	}
	ok(joined == PEERS && knows == PEERS, "%d nodes join through one, each once", PEERS);
	for (int i = 0; i < PEERS; i++)
	{
		int			other = (i + 7) % PEERS;

		kad_node_lookup(peers[i].node, now, &peers[other].record->id, false, 1);
		run(2000);
		right += peers[i].nearest == peers[other].record;
	}
	ok(right == PEERS, "and each finds another by its id (%d)", right);
	for (int i = 0; i < 10; i++)
		peers[i].deaf = true;
	right = 0;
	for (int i = 10; i < PEERS; i++)
	{
		int			other = 10 + (i + 7) % (PEERS - 10);

		if (other == i)
			other = i == 10 ? 11 : 10;
		kad_node_lookup(peers[i].node, now, &peers[other].record->id, false, 1);
		run(20000);
		right += peers[i].nearest == peers[other].record;
	}
	ok(right == PEERS - 10, "a quarter is gone, the first one too, and they still do (%d)", right);
	run(KAD_REFRESH_MS * 3);
	knows = 0;
	for (int i = 10; i < PEERS; i++)
		for (int j = 0; j < 10; j++)
			knows += kad_table_find(kad_node_table(peers[i].node), &peers[j].record->id) != NULL;
	ok(knows == 0, "after three refreshes those are in no table");
	for (int i = 0; i < 10; i++)
		peers[i].deaf = false;
	run(KAD_REFRESH_MS * 2);
	right = 0;
	for (int i = 10; i < PEERS; i++)
		right += peers[i].events[KAD_EVENT_RETURNED] > 0;
	ok(right > 0, "when they are back others notice (%d)", right);

	/* clocks: a jump of the wall clock concerns no deadline */
	now.unix_ms -= HOUR;
	next = kad_node_next_tick(peers[20].node);
	kad_node_tick(peers[20].node, now);
	ok(kad_node_next_tick(peers[20].node) >= next, "a wall clock that goes back stops nothing");
	kad_node_lookup(peers[20].node, now, &peers[3].record->id, false, 1);
	run(5000);
	ok(peers[20].nearest == peers[3].record, "lookups work an hour behind");
	stop_all();
}

static void
test_lies(void)
{
	WireMessage answer = {.type = WIRE_FIND_NODE, .response = true};
	WireMessage question = {.type = WIRE_PING, .request = 5};
	KadStats	stats;
	Key			strange = new_key();
	NodeRecord *stranger = record_of(&strange, nth_address(500), 1);
	NodeRecord *copy;
	int			sent;
	int			found;

	join_all(3);
	answer.request = 999999;
	kad_node_receive(peers[0].node, now, peers[1].record, 0, &answer);
	ok(kad_node_stats(peers[0].node).unasked == 1, "an answer to nothing is dropped");

	/* somebody else answers a question that was put to another */
	peers[1].deaf = true;
	kad_node_lookup(peers[0].node, now, &peers[1].record->id, false, 1);
	run(100);
	stats = kad_node_stats(peers[0].node);
	for (uint64_t guess = 0; guess < 200; guess++)
	{
		answer.request = guess;
		kad_node_receive(peers[0].node, now, stranger, 0, &answer);
	}
	ok(kad_node_stats(peers[0].node).unasked == stats.unasked + 200 &&
	   kad_table_find(kad_node_table(peers[0].node), &stranger->id) == NULL, "a stranger's answers are nothing, and give it no place");
	run(5000);
	peers[1].deaf = false;

	/* requests of a thousand strangers: pings go out, and no more than their limit */
	sent = peers[0].sent;
	for (int i = 0; i < 1000; i++)
	{
		Key			key = new_key();
		NodeRecord *record = record_of(&key, nth_address(1000 + i), 1);

		kad_node_receive(peers[0].node, now, record, 0, &question);
		record_pool_release(&pool, record);
	}
	ok(peers[0].sent - sent <= 1000 + KAD_PINGS && kad_node_table(peers[0].node)->n == 2,
	   "a thousand strangers get a thousand answers, %d pings and no place", peers[0].sent - sent - 1000);
	run(5000);

	/* a copy of our key */
	copy = record_of(&peers[0].key, nth_address(77), 2);
	kad_node_receive(peers[0].node, now, copy, 0, &question);
	ok(peers[0].events[KAD_EVENT_CLONE] == 1, "who speaks with our key is named");
	answer.found.record[0] = copy;
	answer.found.n_records = 1;
	answer.request = 1;
	kad_node_receive(peers[0].node, now, peers[1].record, 0, &answer);
	ok(peers[0].events[KAD_EVENT_CLONE] == 2, "and whom others know with our key");
	kad_node_renew(peers[0].node, copy);
	kad_node_receive(peers[0].node, now, copy, 0, &question);
	answer.found.record[0] = peers[0].record;
	kad_node_receive(peers[0].node, now, peers[1].record, 0, &answer);
	ok(peers[0].events[KAD_EVENT_CLONE] == 2, "our own records, new and old, are no copy");
	record_pool_release(&pool, copy);

	/* an address that is not there, an unknown type */
	kad_node_receive(peers[0].node, now, peers[1].record, 99, &question);
	question.type = WIRE_HELLO;
	sent = peers[0].sent;
	kad_node_receive(peers[0].node, now, peers[1].record, -1, &question);
	ok(peers[0].sent == sent, "greetings are left to the host");

	/* a forged announcement */
	{
		WireMessage provide = {.type = WIRE_PROVIDE, .request = 7};
		uint8_t		bytes[PROVIDER_BYTES];
		KadId		target = {{9}};

		provider_sign(&crypto, peers[1].key.secret, &target, now.unix_ms, false, bytes);
		bytes[PROVIDER_BYTES - 1] ^= 1;
		provider_decode(&pool, bytes, sizeof bytes, peers[1].record, now.unix_ms, &provide.provide.provider);
		kad_node_receive(peers[0].node, now, peers[1].record, 0, &provide);
		found = 0;
		for (int i = 0; i < letters; i++)
			found += inbox[i].from == 0 && inbox[i].message.type == WIRE_PROVIDE && inbox[i].message.response && inbox[i].message.provided.code == WIRE_CODE_FORGED;
		ok(found == 1 && kad_node_store(peers[0].node)->n == 0, "a forged announcement is refused");
		provider_release(&pool, provide.provide.provider);
	}
	record_pool_release(&pool, stranger);
	stop_all();
}

/* One that answers everything, but names only what is not there. */
static void
test_fakes(void)
{
	enum
	{
		FAKES = 200
	};
	static NodeRecord *fakes[FAKES];
	KadTable	table;
	KadLookup	lookup;
	KadId		target = {{7}};
	NodeRecord *honest[10];
	NodeRecord *liar;
	NodeRecord *to;
	NodeRecord *result[KAD_K];
	int			asked = 0;
	int			n;
	int64_t		tick = 0;

	kad_table_init(&table, &memory, &pool, &(KadId) {{200}}, false);
	for (int i = 0; i < FAKES; i++)
		fakes[i] = record_with_prefix(&target, 8 + i % 4, nth_address(2000 + i), NULL);
	for (int i = 0; i < 10; i++)
	{
		honest[i] = record_with_prefix(&target, i % 5, nth_address(i), NULL);
		kad_table_answered(&table, honest[i], 0, 1);
	}
	liar = record_with_prefix(&target, 7, nth_address(99), NULL);
	kad_table_answered(&table, liar, 0, 1);

	kad_lookup_init(&lookup, &table, &target, false, tick);
	ok(kad_lookup_next(&lookup, tick) == liar, "the nearest is asked first");
	ok(kad_lookup_next(&lookup, tick) != NULL && kad_lookup_next(&lookup, tick) != NULL && kad_lookup_next(&lookup, tick) == NULL,
	   "three in parallel");
	ok(!kad_lookup_answered(&lookup, &fakes[0]->id, NULL, 0), "who was not asked has no answer");
	ok(kad_lookup_answered(&lookup, &liar->id, fakes, WIRE_RECORDS) && !kad_lookup_answered(&lookup, &liar->id, fakes + 20, WIRE_RECORDS),
	   "one answer each");
	while (!kad_lookup_done(&lookup) && asked < 1000)
	{
		tick += 500;
		kad_lookup_slow(&lookup, tick);
		while ((to = kad_lookup_next(&lookup, tick)) != NULL)
			asked++;
		for (int i = 0; i < lookup.n; i++)
		{
			KadCandidate *c = &lookup.candidate[lookup.order[i]];
			bool		is_honest = false;

			for (int j = 0; j < 10; j++)
				is_honest |= c->record == honest[j];
			if (is_honest && (c->state == KAD_ASKED || c->state == KAD_SLOW))
				kad_lookup_answered(&lookup, &c->record->id, honest, 10);
			else if (c->state == KAD_SLOW && tick - c->asked_ms > 3000)
				kad_lookup_failed(&lookup, &c->record->id);
		}
	}
	n = kad_lookup_result(&lookup, result, KAD_K, NULL);
	ok(n == 11 && result[0] == liar, "all who answered are found (%d)", n);
	ok(lookup.failures < WIRE_RECORDS && lookup.failures >= KAD_DISTRUST,
	   "of 20 that a liar has invented %d are tried", lookup.failures);
	kad_lookup_reset(&lookup);

	/* every one of them answers, and names twenty more */
	kad_lookup_init(&lookup, &table, &target, false, tick);
	asked = 0;
	while ((to = kad_lookup_next(&lookup, tick)) != NULL)
	{
		NodeRecord *kept = node_record_keep(to);

		kad_lookup_answered(&lookup, &kept->id, fakes + (asked * 20) % (FAKES - 20), 20);
		record_pool_release(&pool, kept);
		asked++;
	}
	ok(kad_lookup_done(&lookup) && asked <= KAD_REQUESTS && lookup.n <= KAD_SHORTLIST,
	   "a flood of names ends after %d requests, with %d remembered", asked, lookup.n);
	kad_lookup_reset(&lookup);
	kad_table_reset(&table);
	for (int i = 0; i < FAKES; i++)
		record_pool_release(&pool, fakes[i]);
	for (int i = 0; i < 10; i++)
		record_pool_release(&pool, honest[i]);
	record_pool_release(&pool, liar);
}

static void
test_limits(void)
{
	KadId		target = {{3}};
	int			begun = 0;
	int			held = 0;

	join_all(3);
	peers[1].deaf = peers[2].deaf = true;
	for (int i = 0; i < 100; i++)
		begun += kad_node_lookup(peers[0].node, now, &target, false, 1);
	ok(begun == KAD_LOOKUPS, "%d lookups at once, and no more", begun);
	run(10000);
	ok(peers[0].done == KAD_LOOKUPS, "all of them end");
	for (int i = 0; i < KAD_HELD + 10; i++)
	{
		target.b[1] = (uint8_t) i;
		target.b[2] = (uint8_t) (i >> 8);
		held += kad_node_hold(peers[0].node, now, &target, true);
	}
	ok(held == KAD_HELD, "%d collections are announced, and no more", held);
	target.b[1] = target.b[2] = 0;
	kad_node_hold(peers[0].node, now, &target, false);
	target.b[3] = 1;
	ok(kad_node_hold(peers[0].node, now, &target, true) && peers[0].node->n_held == KAD_HELD,
	   "what is withdrawn makes room for what is held");
	stop_all();
}

/* Who cannot be reached when a collection is withdrawn hears of it later. */
static void
test_withdrawal(void)
{
	KadId		target = {{1}};
	int			sent;

	join_all(3);
	kad_node_hold(peers[1].node, now, &target, true);
	run(2000);
	peers[0].deaf = true;
	kad_node_hold(peers[1].node, now, &target, false);
	run(12000);
	peers[0].deaf = false;
	kad_node_lookup(peers[0].node, now, &target, true, 1);
	ok(peers[0].node->store.n == 1, "who was not there keeps the record of what is held no more");
	run(8000);
	kad_node_lookup(peers[0].node, now, &target, true, 1);
	run(2000);
	ok(peers[0].providers == 0, "and is told within 20 seconds");
	ok(peers[1].node->n_held == 1, "it is told for three hours");
	run(PROVIDER_LIFE_MS);
	ok(peers[1].node->n_held == 0, "then it is forgotten");
	sent = peers[1].sent;
	kad_node_hold(peers[1].node, now, &target, false);
	ok(peers[1].node->n_held == 0 && peers[1].sent == sent, "what was never held is not withdrawn");
	stop_all();
}

/* Memory runs out at the n-th allocation, for every n: nothing breaks, nothing leaks. */
static void
test_memory(void)
{
	KadId		target = {{5}};
	int			survived = 0;

	for (long n = 0; n < 120; n++)
	{
		KadConfig	config;

		begin();
		start(0);
		start(1);
		peers[2] = (Peer) {.key = new_key()};
		peers[2].record = record_of(&peers[2].key, nth_address(2), 1);
		config = config_of(&peers[2]);
		memory_state.until_failure = n;
		peers[2].node = kad_node_new(&config, peers[2].record, now);
		kad_node_meet(peers[0].node, now, peers[1].record);
		if (peers[2].node != NULL)
			kad_node_meet(peers[2].node, now, peers[1].record);
		run(1000);
		kad_node_hold(peers[0].node, now, &target, true);
		kad_node_lookup(peers[1].node, now, &target, true, 1);
		run(1000);
		memory_state.until_failure = -1;
		kad_node_meet(peers[0].node, now, peers[1].record);
		run(5000);
		peers[0].done = 0;
		survived += kad_node_lookup(peers[0].node, now, &target, true, 1);
		run(5000);
		survived += peers[0].done;
		stop_all();
	}
	ok(survived == 240, "wherever memory runs out, nodes go on when there is some again (%d of 240)", survived);
}

/* The farthest of a full list answers: what it names is blamed on it, not on who would get its place. */
static void
test_full_list(void)
{
	KadTable	table;
	KadLookup	lookup;
	KadId		target = {{7}};
	NodeRecord *far = record_with_prefix(&target, 0, nth_address(1), NULL);
	NodeRecord *others[KAD_SHORTLIST - 1];
	NodeRecord *named[5];
	int			right = 0;

	kad_table_init(&table, &memory, &pool, &(KadId) {{200}}, false);
	kad_table_answered(&table, far, 0, 1);
	kad_lookup_init(&lookup, &table, &target, false, 0);
	kad_lookup_next(&lookup, 0);
	for (int i = 0; i < KAD_SHORTLIST - 1; i++)
	{
		others[i] = record_with_prefix(&target, 1 + i % 3, nth_address(100 + i), NULL);
		kad_lookup_offer(&lookup, others[i]);
	}
	for (int i = 0; i < 5; i++)
		named[i] = record_with_prefix(&target, 5, nth_address(300 + i), NULL);
	ok(lookup.n == KAD_SHORTLIST && kad_lookup_answered(&lookup, &far->id, named, 5), "the farthest of a full list answers");
	for (int i = 0; i < lookup.n; i++)
	{
		const KadCandidate *c = &lookup.candidate[lookup.order[i]];

		for (int j = 0; j < 5; j++)
			right += c->record == named[j] && c->source < KAD_SHORTLIST && lookup.candidate[c->source].record == far;
	}
	ok(right == 5, "and stands for all that it names (%d)", right);
	kad_lookup_reset(&lookup);
	kad_table_reset(&table);
	record_pool_release(&pool, far);
	for (int i = 0; i < KAD_SHORTLIST - 1; i++)
		record_pool_release(&pool, others[i]);
	for (int i = 0; i < 5; i++)
		record_pool_release(&pool, named[i]);
}

/* The number of the request of a type that peers[0] has sent to a peer last; 0: none. */
static uint64_t
request_to(int peer, WireType type)
{
	for (int i = letters - 1; i >= 0; i--)
		if (inbox[i].from == 0 && inbox[i].to == peer && inbox[i].message.type == type && !inbox[i].message.response)
			return inbox[i].message.request;
	return 0;
}

/* A peer that is driven by hand: it asks peers[0], and answers the ping that this brings. */
static void
come(int peer, int address)
{
	kad_node_receive(peers[0].node, now, peers[peer].record, -1, &(WireMessage) {.type = WIRE_PING, .request = 5});
	kad_node_receive(peers[0].node, now, peers[peer].record, address,
					 &(WireMessage) {.type = WIRE_PING, .response = true, .request = request_to(peer, WIRE_PING)});
}

/* The only one that it knows answers over a link that shows none of its addresses to be its. */
static void
test_unproved(void)
{
	begin();
	start(0);
	start(1);
	come(1, -1);
	kad_node_tick(peers[0].node, now);
	ok(kad_node_table(peers[0].node)->n == 0 && kad_node_stats(peers[0].node).lookups == 1 &&
	   peers[0].events[KAD_EVENT_JOINED] == 0, "a node that has found nobody for its table has not joined");
	ok(kad_node_next_tick(peers[0].node) > now.tick_ms, "and waits until something is due");
	stop_all();
}

/* What strangers make a node do leaves it room for what is its own. */
static void
test_shares(void)
{
	WireMessage provide = {.type = WIRE_PROVIDE};
	uint8_t		bytes[PROVIDER_BYTES];
	KadId		collection = {{1}};
	int			handed = 0;

	join_all(3);
	start(3);
	start(4);
	peers[3].deaf = peers[4].deaf = true;
	come(3, -1);
	ok(kad_table_find(kad_node_table(peers[0].node), &peers[3].record->id) == NULL,
	   "an answer over a link that shows no address to be its gives no place");

	/* a newcomer to whom much would be handed on, and which never answers */
	for (int i = 0; i < 400; i++)
	{
		host_fill(&random_state, &collection, sizeof collection);
		provider_sign(&crypto, peers[1].key.secret, &collection, now.unix_ms, false, bytes);
		if (provider_decode(&pool, bytes, sizeof bytes, peers[1].record, now.unix_ms, &provide.provide.provider) != DECODE_OK)
			exit(2);
		provide.request = (uint64_t) i + 1;
		kad_node_receive(peers[0].node, now, peers[1].record, -1, &provide);
		provider_release(&pool, provide.provide.provider);
		run(20);
	}
	now.tick_ms += KAD_TIMEOUT_MS;
	come(4, 0);
	ok(kad_table_find(kad_node_table(peers[0].node), &peers[4].record->id) != NULL, "one that does gives one");
	for (int i = 0; i < letters; i++)
		handed += inbox[i].from == 0 && inbox[i].to == 4 && inbox[i].message.type == WIRE_PROVIDE;
	ok(handed > 0 && handed <= KAD_HANDED, "of %u provider records it is handed %d at once", kad_node_store(peers[0].node)->n, handed);
	kad_node_lookup(peers[0].node, now, &peers[2].record->id, false, 1);
	ok(request_to(2, WIRE_FIND_NODE) != 0, "and there is room for requests of a lookup");
	run(2 * KAD_TIMEOUT_MS);
	ok(peers[0].done == 1 && peers[0].nearest == peers[2].record, "which finds what it looks for");

	/* newcomers without end, while it is time to look after those who are known */
	run(KAD_REFRESH_MS / 2);
	now.tick_ms += KAD_REFRESH_MS + KAD_REFRESH_MS / 5;
	for (int i = 0; i < 200; i++)
	{
		Key			key = new_key();
		NodeRecord *record = record_of(&key, nth_address(3000 + i), 1);

		kad_node_receive(peers[0].node, now, record, -1, &(WireMessage) {.type = WIRE_PING, .request = 5});
		record_pool_release(&pool, record);
	}
	kad_node_tick(peers[0].node, now);
	ok(request_to(1, WIRE_PING) != 0 && request_to(2, WIRE_PING) != 0, "200 newcomers leave pings for those who are silent");
	stop_all();
}

int
main(void)
{
	fixture_begin(100000);
	test_alone();
	test_two();
	test_many();
	test_lies();
	test_fakes();
	test_limits();
	test_withdrawal();
	test_full_list();
	test_unproved();
	test_shares();
	test_memory();
	return fixture_end();
}
