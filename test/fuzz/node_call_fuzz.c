/*
 * node_call_fuzz.c
 *	  Strings of a request's segment: what is there is taken without a step
 *	  outside, and what is taken can be put again.
 */
#include "node/node_call.h"

#include "net_fuzz.h"

/* A segment without a byte to spare. */
static SyncCall *
call_new(size_t room)
{
	SyncCall   *call = malloc(offsetof(SyncCall, data) + room);

	REQUIRE(call != NULL);
	call->room = (uint32_t) room;
	call->len = 0;
	return call;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SyncCall   *call = call_new(size);
	SyncCall   *copy = call_new(size);
	SyncCall   *small = call_new(size / 2);
	const char *text;
	const char *text2;
	uint32_t	at = 0;
	uint32_t	before = 0;
	uint32_t	at2 = 0;
	bool		fits = true;

	if (size > 0)
		memcpy(call->data, data, size);
	call->len = (uint32_t) size;
	while (SyncTake(call, &at, &text))
	{
		uint32_t	small_before = small->len;
		size_t		need = text == NULL ? 1 : strlen(text) + 2;

		REQUIRE(at == before + need && at <= call->len);
		REQUIRE(text == NULL || text == call->data + before + 1);
		before = at;
		/* as long as what it was taken from, so there is room; elsewhere there may be none */
		REQUIRE(SyncPut(copy, text) && copy->len == at);
		fits = need <= small->room - small->len;
		REQUIRE(SyncPut(small, text) == fits && small->len == small_before + (fits ? need : 0));
	}
	REQUIRE(at == before);
	/* the end, or a string that does not end */
	REQUIRE(at == call->len || (call->data[at] != 0 && memchr(call->data + at + 1, 0, call->len - at - 1) == NULL));
	at = 0;
	while (SyncTake(copy, &at2, &text2))
	{
		REQUIRE(SyncTake(call, &at, &text) && at == at2);
		REQUIRE((text == NULL) == (text2 == NULL) && (text == NULL || strcmp(text, text2) == 0));
	}
	REQUIRE(at2 == copy->len && at == before);
	free(call);
	free(copy);
	free(small);
	return 0;
}
