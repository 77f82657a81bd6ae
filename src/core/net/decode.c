/*
 * decode.c
 *	  The words for what is wrong with bytes from outside.
 */
#include "core/net/decode.h"

#include <stddef.h>

#include "core/assert.h"

static const char *const texts[DECODE_STATUSES] = {
	[DECODE_OK] = "nothing is wrong",
	[DECODE_TRUNCATED] = "it is cut short",
	[DECODE_OVERLONG] = "it is longer than it may be",
	[DECODE_MAGIC] = "it is something else",
	[DECODE_VERSION] = "its protocol version is not spoken here",
	[DECODE_TYPE] = "its type is not known",
	[DECODE_FLAGS] = "reserved bits are set",
	[DECODE_ORDER] = "its items are out of order",
	[DECODE_MISSING] = "an item is missing",
	[DECODE_VALUE] = "a field is out of range",
	[DECODE_CRITICAL] = "it needs a feature that is not known here",
	[DECODE_TOO_MANY] = "there are too many",
	[DECODE_NETWORK] = "it belongs to another network",
	[DECODE_COLLECTION] = "it belongs to another collection",
	[DECODE_EXPIRED] = "it has expired",
	[DECODE_FUTURE] = "it comes from a clock that is too far ahead",
	[DECODE_SIGNATURE] = "its signature does not verify",
	[DECODE_CHECKSUM] = "its checksum does not match",
	[DECODE_TEXT] = "it holds a character that does not belong there",
	[DECODE_MEMORY] = "out of memory",
};

const char *
decode_status_text(DecodeStatus status)
{
	CORE_ASSERT((int) status < 0 || status >= DECODE_STATUSES || texts[status] != NULL);
	return (int) status >= 0 && status < DECODE_STATUSES ? texts[status] : "it is not understood";
}
