/*
 * frontier_test.c
 *	  Frontiers beside a model that keeps each covered ticket by itself.
 */
#include "core/rows/frontier.h"

#include "rows_fixture.h"

enum
{
	FRONTIERS = 4,
	LIVES = 5,
	WIDTH = 1200				/* tickets of the model */
};

/* covered[i][t]: ticket t of incarnation i + 1 */
typedef struct Model
{
	bool		covered[LIVES][WIDTH + 1];
} Model;

static CoreCrypto crypto;
static RowFrontier frontier[FRONTIERS];
static Model model[FRONTIERS];
static RowDictionary dictionary;
static RowDictionary other_dictionary;	/* has the same lives in the reverse order */

/* ---- the model ---- */

static uint64_t
model_top(const bool covered[WIDTH + 1])
{
	for (uint64_t t = WIDTH; t > 0; t--)
		if (covered[t])
			return t;
	return 0;
}

/* Nothing from the first exception on that is one too many. */
static bool
model_cut(bool covered[WIDTH + 1])
{
	uint64_t	top = model_top(covered);
	int			open = 0;

	for (uint64_t t = 1; t < top; t++)
		if (!covered[t] && ++open > ROW_OPEN_MAX)
		{
			memset(covered + t, 0, (WIDTH + 1 - t) * sizeof covered[0]);
			return true;
		}
	return false;
}

static bool
model_includes(const Model *a, const Model *b)
{
	for (int i = 0; i < LIVES; i++)
		for (int t = 1; t <= WIDTH; t++)
			if (b->covered[i][t] && !a->covered[i][t])
				return false;
	return true;
}

/* Does the frontier say what the model does, in the normal form? */
static bool
agrees(const RowFrontier *self, const Model *is)
{
	uint32_t	at = 0;

	for (uint32_t i = 1; i <= LIVES; i++)
	{
		uint64_t	top = model_top(is->covered[i - 1]);

		if (row_frontier_top(self, i) != top)
			return false;
		for (uint64_t t = 1; t < top; t++)
			if (!is->covered[i - 1][t])
			{
				if (at == self->n_open || self->open[at].incarnation != i || self->open[at].ticket != t)
					return false;
				at++;
			}
		for (uint64_t t = 0; t <= WIDTH; t++)
			if (row_frontier_covers(self, (RowStamp) {i, t}) != is->covered[i - 1][t])
				return false;
	}
	return at == self->n_open && self->n <= LIVES && (self->n == 0 || self->top[self->n - 1] != 0);
}

/* ---- operations on both ---- */

typedef struct Claim
{
	uint32_t	incarnation;
	uint64_t	top;
	uint32_t	n;
	uint64_t	open[WIDTH];
} Claim;

static Claim
random_claim(uint64_t width)
{
	Claim		claim = {.incarnation = 1 + (uint32_t) below(LIVES), .top = below(width + 1)};
	uint64_t	percent = below(4) == 0 ? 0 : below(101);

	for (uint64_t t = 1; t <= claim.top; t++)
		if (below(100) < percent)
			claim.open[claim.n++] = t;
	/* the top itself is open now and then */
	if (claim.top > 0 && below(4) == 0 && (claim.n == 0 || claim.open[claim.n - 1] < claim.top))
		claim.open[claim.n++] = claim.top;
	return claim;
}

/* True: it was cut. */
static bool
model_claim(Model *self, const Claim *claim)
{
	bool	   *covered = self->covered[claim->incarnation - 1];
	uint32_t	at = 0;

	for (uint64_t t = 1; t <= claim->top; t++)
	{
		if (at < claim->n && claim->open[at] == t)
			at++;
		else
			covered[t] = true;
	}
	return model_cut(covered);
}

static bool
do_claim(RowFrontier *self, const Claim *claim)
{
	/* an array of its own length, so that the sanitizer sees a read beyond it */
	uint64_t   *open = malloc(claim->n * sizeof open[0] + 1);
	bool		done;

	memcpy(open, claim->open, claim->n * sizeof open[0]);
	done = row_frontier_claim(self, claim->incarnation, claim->top, open, claim->n);
	free(open);
	return done;
}

enum
{
	CLAIM,
	JOIN,
	MEET,
	COPY,
	OPERATIONS
};

static bool
operate(int operation, int to, int from, const Claim *claim)
{
	switch (operation)
	{
		case CLAIM:
			return do_claim(&frontier[to], claim);
		case JOIN:
			return row_frontier_join(&frontier[to], &frontier[from]);
		case MEET:
			return row_frontier_meet(&frontier[to], &frontier[from]);
		default:
			return row_frontier_copy(&frontier[to], &frontier[from]);
	}
}

/* True: something was cut. */
static bool
operate_model(int operation, int to, int from, const Claim *claim)
{
	bool		cut = false;

	if (operation == CLAIM)
		return model_claim(&model[to], claim);
	if (operation == COPY)
		model[to] = model[from];
	for (int i = 0; i < LIVES && operation != COPY; i++)
	{
		for (int t = 1; t <= WIDTH; t++)
			if (operation == JOIN)
				model[to].covered[i][t] |= model[from].covered[i][t];
			else
				model[to].covered[i][t] &= model[from].covered[i][t];
		cut |= model_cut(model[to].covered[i]);
	}
	return cut;
}

/* The digest by a dictionary that has the lives in the reverse order. */
static void
digest_elsewhere(const RowFrontier *self, uint8_t digest[16])
{
	RowFrontier reversed;

	row_frontier_init(&reversed, &memory);
	for (uint32_t i = 1; i <= self->n; i++)
	{
		uint64_t	open[ROW_OPEN_MAX];
		uint32_t	n = 0;

		for (uint32_t k = 0; k < self->n_open; k++)
			if (self->open[k].incarnation == i)
				open[n++] = self->open[k].ticket;
		if (!row_frontier_claim(&reversed, LIVES + 1 - i, row_frontier_top(self, i), open, n))
			exit(2);
	}
	row_frontier_digest(&reversed, &other_dictionary, digest);
	row_frontier_reset(&reversed);
}

/* ---- tests ---- */

static void
test_random(const char *name, int rounds, uint64_t width)
{
	int			wrong[OPERATIONS] = {0};
	int			cuts[OPERATIONS] = {0};
	int			not_as_before = 0;
	int			failures = 0;
	int			wrong_includes = 0;
	int			includes = 0;
	int			wrong_equal = 0;
	int			equal = 0;
	int			wrong_digest = 0;
	int			shrunk = 0;

	for (int round = 0; round < rounds; round++)
	{
		int			operation = below(3) == 0 ? CLAIM : (int) below(OPERATIONS);
		int			to = (int) below(FRONTIERS);
		int			from = (int) below(FRONTIERS);
		Claim		claim = random_claim(width);
		Model		before;
		bool		a_includes;
		bool		a_equal;
		uint8_t		digest[2][16];

		if (below(20) == 0)
		{
			row_frontier_reset(&frontier[to]);
			memset(&model[to], 0, sizeof model[to]);
		}
		for (long until = 0;; until++)
		{
			memory_state.until_failure = until;
			if (operate(operation, to, from, &claim))
				break;
			failures++;
			not_as_before += !agrees(&frontier[to], &model[to]);
		}
		memory_state.until_failure = -1;
		before = model[to];
		cuts[operation] += operate_model(operation, to, from, &claim);
		shrunk += (operation == CLAIM || operation == JOIN) && !model_includes(&model[to], &before);
		wrong[operation] += !agrees(&frontier[to], &model[to]) || !agrees(&frontier[from], &model[from]);

		from = (int) below(FRONTIERS);
		a_includes = model_includes(&model[to], &model[from]);
		a_equal = a_includes && model_includes(&model[from], &model[to]);
		includes += a_includes && !a_equal;
		equal += a_equal && to != from;
		wrong_includes += row_frontier_includes(&frontier[to], &frontier[from]) != a_includes;
		wrong_equal += row_frontier_equal(&frontier[to], &frontier[from]) != a_equal;
		row_frontier_digest(&frontier[to], &dictionary, digest[0]);
		digest_elsewhere(&frontier[from], digest[1]);
		wrong_digest += (memcmp(digest[0], digest[1], 16) == 0) != a_equal;
	}
	ok(wrong[CLAIM] == 0, "%s: claims cover what the model does (%d cut)", name, cuts[CLAIM]);
	ok(wrong[JOIN] == 0 && cuts[JOIN] == 0, "%s: joins cover what either covers, and none was cut", name);
	ok(wrong[MEET] == 0, "%s: meets cover what both cover (%d cut)", name, cuts[MEET]);
	ok(wrong[COPY] == 0, "%s: copies are as what was copied", name);
	ok(shrunk == 0, "%s: no claim or join takes away", name);
	ok(not_as_before == 0 && failures > 0, "%s: without memory a frontier is as before (%d times)", name, failures);
	ok(wrong_includes == 0 && includes > 0, "%s: which includes which (%d do)", name, includes);
	ok(wrong_equal == 0 && equal > 0, "%s: which are equal (%d are)", name, equal);
	ok(wrong_digest == 0, "%s: digests by two dictionaries are equal where coverage is", name);
	if (width > 2 * ROW_OPEN_MAX)
		ok(cuts[CLAIM] > 0 && cuts[MEET] > 0, "%s: claims and meets had too many exceptions", name);
	for (int i = 0; i < FRONTIERS; i++)
	{
		row_frontier_reset(&frontier[i]);
		memset(&model[i], 0, sizeof model[i]);
	}
}

static bool
is(const RowFrontier *self, uint64_t top, const uint64_t *open, uint32_t n)
{
	if (row_frontier_top(self, 1) != top || self->n_open != n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (self->open[i].incarnation != 1 || self->open[i].ticket != open[i])
			return false;
	return true;
}

#define OPEN(...) (uint64_t[]) {__VA_ARGS__}, sizeof((uint64_t[]) {__VA_ARGS__}) / sizeof(uint64_t)

static void
test_by_hand(void)
{
	RowFrontier *a = &frontier[0];
	RowFrontier *b = &frontier[1];
	RowFrontier *c = &frontier[2];

	ok(row_frontier_includes(a, b) && row_frontier_equal(a, b) && row_frontier_join(a, b) && row_frontier_meet(a, b) &&
	   a->n == 0, "two empty ones include each other, and make nothing");
	ok(row_frontier_join(a, a) && row_frontier_meet(a, a) && row_frontier_copy(a, a) && row_frontier_includes(a, a),
	   "one with itself");
	ok(!row_frontier_covers(a, (RowStamp) {0, 0}) && !row_frontier_covers(a, (RowStamp) {0, 1}) &&
	   !row_frontier_covers(a, (RowStamp) {UINT32_MAX, 1}) && row_frontier_top(a, 0) == 0 && row_frontier_top(a, UINT32_MAX) == 0,
	   "incarnations that are none, or unknown, are not covered");

	ok(row_frontier_claim(a, 1, 10, OPEN(3)) && row_frontier_claim(b, 1, 20, OPEN(5, 12)) && row_frontier_copy(c, a) &&
	   row_frontier_join(c, b) && is(c, 20, OPEN(12)), "up to 10 without 3, joined with up to 20 without 5 and 12");
	ok(row_frontier_copy(c, b) && row_frontier_join(c, a) && is(c, 20, OPEN(12)), "and the other way round");
	ok(row_frontier_meet(c, a) && row_frontier_equal(c, a), "what was joined, met with one of them, is that one");
	ok(row_frontier_meet(c, b) && is(c, 10, OPEN(3, 5)), "they meet up to 10 without 3 and 5");
	ok(row_frontier_includes(a, c) && row_frontier_includes(b, c) && !row_frontier_includes(c, a) && !row_frontier_includes(c, b),
	   "which both include");
	ok(!row_frontier_includes(b, a) && !row_frontier_includes(a, b), "and neither the other");
	ok(row_frontier_covers(a, (RowStamp) {1, 2}) && !row_frontier_covers(a, (RowStamp) {1, 3}) &&
	   row_frontier_covers(a, (RowStamp) {1, 10}) && !row_frontier_covers(a, (RowStamp) {1, 11}), "what up to 10 without 3 covers");
	ok(row_frontier_join(a, a) && row_frontier_meet(a, a) && row_frontier_copy(a, a) && is(a, 10, OPEN(3)),
	   "one joined and met with itself stays");

	row_frontier_reset(a);
	ok(row_frontier_claim(a, 1, 5, OPEN(5)) && is(a, 4, NULL, 0), "up to 5 without 5 is up to 4");
	ok(row_frontier_claim(a, 1, 7, OPEN(5, 6, 7)) && is(a, 4, NULL, 0), "and up to 7 without 5, 6 and 7");
	ok(row_frontier_claim(a, 2, 3, OPEN(1, 2, 3)) && a->n == 1, "a claim of nothing is none");
	ok(row_frontier_claim(a, 2, 0, NULL, 0) && a->n == 1, "nor is one up to 0");
	row_frontier_reset(b);
	ok(row_frontier_claim(b, 1, 9, OPEN(3, 4)) && row_frontier_meet(a, b) && is(a, 2, NULL, 0),
	   "up to 4, met with what is without 3 and 4, is up to 2");
	row_frontier_reset(a);
	ok(row_frontier_claim(a, 7, UINT64_MAX, OPEN(UINT64_MAX)) && row_frontier_top(a, 7) == UINT64_MAX - 1 && a->n == 7 &&
	   row_frontier_claim(a, 7, UINT64_MAX, NULL, 0) && row_frontier_covers(a, (RowStamp) {7, UINT64_MAX}),
	   "the greatest ticket of all");
	ok(row_frontier_claim(a, 1, 9, NULL, 0) && row_frontier_limit(a, 1, b) && row_frontier_top(a, 7) == UINT64_MAX &&
	   !row_frontier_covers(a, (RowStamp) {1, 3}) && row_frontier_covers(a, (RowStamp) {1, 9}),
	   "of one incarnation what both cover, of others what was covered");
	ok(row_frontier_limit(a, 7, b) && a->n == 1 && row_frontier_limit(a, 9, b) && a->n == 1,
	   "and nothing where the other covers nothing of it");
	row_frontier_reset(b);
	ok(row_frontier_meet(a, b) && a->n == 0, "nothing met with nothing of the other is an empty one");
	for (int i = 0; i < FRONTIERS; i++)
		row_frontier_reset(&frontier[i]);
}

static void
test_cut(void)
{
	uint64_t	open[ROW_OPEN_MAX + 1];
	RowFrontier *a = &frontier[0];
	RowFrontier *b = &frontier[1];

	/* even tickets are open */
	for (uint64_t i = 0; i <= ROW_OPEN_MAX; i++)
		open[i] = 2 * (i + 1);
	ok(row_frontier_claim(a, 1, 10000, open, ROW_OPEN_MAX) && is(a, 10000, open, ROW_OPEN_MAX), "%d exceptions fit", ROW_OPEN_MAX);
	ok(row_frontier_claim(b, 1, 10000, open, ROW_OPEN_MAX + 1) && is(b, open[ROW_OPEN_MAX] - 1, open, ROW_OPEN_MAX),
	   "of one more the claim ends before the last");
	ok(row_frontier_claim(b, 1, 20000, open, ROW_OPEN_MAX + 1) && is(b, open[ROW_OPEN_MAX] - 1, open, ROW_OPEN_MAX),
	   "a claim that would be cut to what is there leaves it as it is");
	ok(row_frontier_claim(b, 1, 2, NULL, 0) && row_frontier_claim(b, 1, 20000, open, ROW_OPEN_MAX + 1) &&
	   is(b, 20000, open + 1, ROW_OPEN_MAX), "what is covered already is no exception, and leaves room for another");

	row_frontier_reset(b);
	for (uint64_t i = 0; i < ROW_OPEN_MAX; i++)
		open[i] = 2 * i + 1;
	ok(row_frontier_claim(b, 1, 10000, open, ROW_OPEN_MAX) && row_frontier_meet(b, a) && row_frontier_top(b, 1) == 0,
	   "odd and even ones meet in nothing: all that fits is open");
	row_frontier_reset(b);
	for (uint64_t i = 0; i < ROW_OPEN_MAX; i++)
		open[i] = 3 * i + 5;
	ok(row_frontier_claim(b, 1, 10000, open, ROW_OPEN_MAX), "every third ticket is open");
	ok(row_frontier_meet(b, a) && b->n_open <= ROW_OPEN_MAX && row_frontier_top(b, 1) > 300 && row_frontier_top(b, 1) < 500 &&
	   row_frontier_includes(a, b), "met with every second it is cut");
	row_frontier_reset(a);
	row_frontier_reset(b);
}

static void
make_dictionaries(void)
{
	RowIncarnation lives[LIVES];
	KadId		collection = {{1}};
	int			wrong = 0;

	row_dictionary_init(&dictionary, &memory, &crypto, &collection);
	row_dictionary_init(&other_dictionary, &memory, &crypto, &collection);
	for (uint32_t i = 0; i < LIVES; i++)
	{
		Key			key = new_key(&crypto);
		uint32_t	number;

		wrong += !row_incarnation_begin(&dictionary, &random_source, key.secret, &lives[i]) ||
			row_dictionary_add(&dictionary, &lives[i], true, &number) != ROW_INCARNATION_NEW || number != i + 1;
	}
	for (uint32_t i = 0; i < LIVES; i++)
	{
		uint32_t	number;

		wrong += row_dictionary_add(&other_dictionary, &lives[LIVES - 1 - i], true, &number) != ROW_INCARNATION_NEW ||
			number != i + 1;
	}
	ok(wrong == 0, "two dictionaries have %d lives, in orders that differ", LIVES);
}

/* What the digest is, byte for byte, by another way: up to 258 of one life, up to top without 3 and 8 of another. */
static void
digest_by_hand(uint8_t top, uint8_t sum[16])
{
	uint8_t		message[16 + 8 + 16] = {0};
	uint8_t		hash[CORE_HASH_BYTES];
	unsigned	carry = 0;

	memcpy(message, row_dictionary_get(&dictionary, 2)->id.bytes, 16);
	message[16] = 2;
	message[17] = 1;
	crypto.sha256(NULL, message, 24, hash);
	memcpy(sum, hash, 16);
	memcpy(message, row_dictionary_get(&dictionary, 5)->id.bytes, 16);
	message[16] = top;
	message[17] = 0;
	message[24] = 3;
	message[32] = 8;
	crypto.sha256(NULL, message, 40, hash);
	for (int i = 0; i < 16; i++)
	{
		carry += (unsigned) sum[i] + hash[i];
		sum[i] = (uint8_t) carry;
		carry >>= 8;
	}
}

static void
test_digest(void)
{
	RowFrontier *a = &frontier[0];
	uint8_t		sum[16] = {0};
	uint8_t		digest[16];
	int			wrong = 0;

	row_frontier_digest(a, &dictionary, digest);
	ok(memcmp(digest, sum, 16) == 0, "the digest of nothing is 0");
	/* of so many, some carry from the lower half to the upper */
	for (uint8_t top = 9; top < 59; top++)
	{
		wrong += !row_frontier_claim(a, 2, 258, NULL, 0) || !row_frontier_claim(a, 5, top, OPEN(3, 8));
		digest_by_hand(top, sum);
		row_frontier_digest(a, &dictionary, digest);
		wrong += memcmp(digest, sum, 16) != 0;
	}
	ok(wrong == 0, "the digest is the sum of hashes");
	row_frontier_reset(a);
}

int
main(void)
{
	fixture_begin();
	crypto = host_crypto();
	for (int i = 0; i < FRONTIERS; i++)
		row_frontier_init(&frontier[i], &memory);
	make_dictionaries();
	test_by_hand();
	test_cut();
	test_digest();
	test_random("few tickets", 6000, 6);
	test_random("some tickets", 6000, 40);
	test_random("many tickets", 2000, WIDTH);
	row_dictionary_reset(&dictionary);
	row_dictionary_reset(&other_dictionary);
	return fixture_end();
}
