/*
 * base64_test.c
 *	  Base64: what is read, and what is none.
 */
#include "core/base64.h"

#include "fixture.h"

static void
test_base64url(void)
{
	unsigned char out[16];

	ok(base64url_decode("", 0, out) == 0, "nothing stands for nothing");
	ok(base64url_decode("-_8", 3, out) == 2 && out[0] == 0xFB && out[1] == 0xFF, "its own two characters");
	ok(base64url_decode("QQ", 2, out) == 1 && out[0] == 'A', "one byte");
	ok(base64url_decode("QR", 2, out) == -1, "bits that stand for nothing are 0");
	ok(base64url_decode("QUJ", 3, out) == -1, "and so are two of them");
	ok(base64url_decode("QQ==", 4, out) == -1, "no padding");
	ok(base64url_decode("QUJDR", 5, out) == -1, "no rest of one character");
	ok(base64url_decode("QU+D", 4, out) == -1 && base64url_decode("QU/D", 4, out) == -1, "not the other alphabet's characters");
	ok(base64url_decode("QU D", 4, out) == -1 && base64url_decode("QU\nD", 4, out) == -1, "no white space");
}

static void
test_base64(void)
{
	static const struct
	{
		const char *text;
		long		n;
		const char *bytes;
	}			texts[] = {
		{"", 0, ""}, {"AACAPw==", 4, "\0\0\x80\x3f"}, {"AACAPw", 4, "\0\0\x80\x3f"}, {"-_8=", 2, "\xfb\xff"}, {"+/8", 2, "\xfb\xff"},
		{"AAAA", 3, "\0\0\0"}, {"A", -1, ""}, {"AAAAA", -1, ""}, {"AA*A", -1, ""}, {"AA==AA==", -1, ""},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		size_t		len = strlen(texts[i].text);
		unsigned char *out = must_alloc(BASE64_BYTES(len));
		long		n = base64_decode(texts[i].text, len, out);

		ok(n == texts[i].n && (n <= 0 || memcmp(out, texts[i].bytes, (size_t) n) == 0), "base64 \"%s\" is %ld bytes (%ld)", texts[i].text, texts[i].n, n);
		free(out);
	}
}

static void
test_encode(void)
{
	unsigned char bytes[64];
	unsigned char out[BASE64_BYTES(BASE64_LENGTH(sizeof(bytes)))];
	int			wrong = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char) (i * 83 + 7);
	for (size_t len = 0; len <= sizeof(bytes); len++)
	{
		char	   *text = must_alloc(BASE64_LENGTH(len) + 1);

		base64url_encode(bytes, len, text);
		wrong += strlen(text) != BASE64_LENGTH(len) || base64url_decode(text, strlen(text), out) != (long) len ||
			memcmp(out, bytes, len) != 0;
		if (len == 2)
			ok(strcmp(text, "B1o") == 0, "two bytes are three characters, \"%s\"", text);
		free(text);
	}
	ok(wrong == 0, "what is written is read again, whatever its length");
}

int
main(void)
{
	test_base64url();
	test_encode();
	test_base64();
	return tap_done();
}
