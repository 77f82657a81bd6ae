/*
 * invitation_fuzz.c
 *	  Invitations: as text; and, when the first byte is odd, as the bytes behind
 *	  the text, with the checksum put right, for a fuzzer does not guess it.
 */
#include "core/net/invitation.h"

#include "net_fuzz.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* The text of these bytes and their checksum; written apart from the core's. */
static char *
text_of(const uint8_t *bytes, size_t size, size_t *len)
{
	uint8_t		all[2048] = {0};
	uint8_t		hash[CORE_HASH_BYTES];
	char	   *text = malloc(4096);
	size_t		bits;

	REQUIRE(text != NULL && size + 5 < sizeof all);
	if (size > 0)
		memcpy(all, bytes, size);
	crypto.sha256(NULL, all, size, hash);
	memcpy(all + size, hash, 4);
	bits = (size + 4) * 8;
	memcpy(text, INVITATION_PREFIX, 7);
	*len = 7;
	for (size_t i = 0; i < bits; i += 6)
	{
		unsigned	pair = (unsigned) all[i / 8] << 8 | all[i / 8 + 1];

		text[(*len)++] = alphabet[pair >> (10 - i % 8) & 63];
	}
	return realloc(text, *len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;
	size_t		len;
	Invitation	invitation;
	char		again[INVITATION_TEXT_MAX + 1];

	if (size == 0 || size > 1024)
		return 0;
	fuzz_begin();
	if (data[0] & 1)
		text = text_of(data + 1, size - 1, &len);
	else
	{
		len = size - 1;
		text = (char *) exact_copy(data + 1, len);
	}
	REQUIRE(text != NULL);
	if (invitation_decode(&crypto, text, len, NOW, SKEW, &invitation) == DECODE_OK)
	{
		REQUIRE(invitation.grant.kind == GRANT_INVITATION && invitation.grant.expires_ms > NOW);
		REQUIRE(invitation_text(&crypto, &invitation, again));
		REQUIRE(strlen(again) == len && memcmp(again, text, len) == 0);
	}
	free(text);
	fuzz_end();
	return 0;
}
