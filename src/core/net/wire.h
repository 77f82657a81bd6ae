/*
 * wire.h
 *	  The messages that nodes send each other, as structs and as bytes.  The
 *	  grammar is in src/core/net/WIRE.md.
 *
 * A frame is a header (wire_frame.h) and items (wire_item.h).
 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H

#include "core/net/change.h"
#include "core/net/grant.h"
#include "core/net/membership.h"
#include "core/net/node_record.h"
#include "core/net/provider.h"
#include "core/net/wire_frame.h"

#define WIRE_FRAME_MAX 65536	/* of these messages; rows have frames of their own, ... */
#define WIRE_ROWS 16			/* ... whose types begin here, ... */
#define WIRE_ROWS_FRAME_MAX (1280 * 1024)	/* ... of so many bytes */

#define WIRE_RECORDS 20
#define WIRE_PROVIDERS 20
#define WIRE_GRANTS 64
#define WIRE_CHANGES 32
#define WIRE_AVOID 20
#define WIRE_PRUNE_RECORDS 8

typedef enum WireType
{
	WIRE_HELLO = 1,
	WIRE_PING = 2,
	WIRE_FIND_NODE = 3,
	WIRE_FIND_PROVIDERS = 4,
	WIRE_PROVIDE = 5,
	WIRE_GRANTS_SYNC = 6,
	WIRE_REDEEM = 7,
	WIRE_GRAFT = 8,
	WIRE_PRUNE = 9,
	WIRE_ERROR = 10,
	WIRE_BYE = 11
} WireType;

#define WIRE_TYPES 12

typedef enum WireTag
{
	WIRE_TAG_VERSIONS = 1,
	WIRE_TAG_NETWORK = 2,
	WIRE_TAG_RECORD = 3,
	WIRE_TAG_TARGET = 4,
	WIRE_TAG_PROVIDER = 5,
	WIRE_TAG_GRANT = 6,
	WIRE_TAG_REDEMPTION = 7,
	WIRE_TAG_BACKOFF = 8,
	WIRE_TAG_CODE = 9,
	WIRE_TAG_TEXT = 10,
	WIRE_TAG_FINGERPRINT = 11,
	WIRE_TAG_AVOID = 12,
	WIRE_TAG_CHANGES = 13,
	WIRE_TAG_CHANGE = 14,
	WIRE_TAGS					/* one above the last */
} WireTag;

/* Codes of ERROR and of the response to PROVIDE. */
typedef enum WireCode
{
	WIRE_CODE_OK = 0,
	WIRE_CODE_MALFORMED = 1,
	WIRE_CODE_VERSION = 2,		/* no version in common */
	WIRE_CODE_NETWORK = 3,		/* of another network */
	WIRE_CODE_FORBIDDEN = 4,	/* not a member, or not with that role */
	WIRE_CODE_UNKNOWN_COLLECTION = 5,
	WIRE_CODE_BUSY = 6,			/* no room now: later, or elsewhere */
	WIRE_CODE_STALE = 7,		/* something newer is held */
	WIRE_CODE_EXPIRED = 8,
	WIRE_CODE_FORGED = 9,
	WIRE_CODE_INVITATION_USED = 10,
	WIRE_CODE_INVITATION_VOID = 11,
	WIRE_CODE_OTHER_KIND = 12	/* the collection is not what who joins can take */
} WireCode;

/* A struct for each type of message; records and providers in them are referenced. */

typedef struct WireHello		/* and its response */
{
	uint16_t	min_version;
	uint16_t	max_version;
	uint64_t	network;
	NodeRecord *record;
} WireHello;

typedef struct WirePing			/* and its response */
{
	NodeRecord *record;			/* or NULL */
} WirePing;

typedef struct WireFind			/* FIND_NODE and FIND_PROVIDERS */
{
	KadId		target;
	int			n_avoid;
	uint64_t	avoid[WIRE_AVOID];	/* kad_id_short() of nodes that the answer should not name */
} WireFind;

typedef struct WireFound		/* the responses to both */
{
	int			n_records;
	int			n_providers;	/* of FIND_PROVIDERS */
	NodeRecord *record[WIRE_RECORDS];
	Provider   *provider[WIRE_PROVIDERS];	/* signatures not checked yet */
} WireFound;

typedef struct WireProvide
{
	Provider   *provider;		/* signature not checked yet */
} WireProvide;

typedef struct WireProvided		/* the response to PROVIDE */
{
	uint16_t	code;			/* WireCode, or one from a newer peer */
} WireProvided;

typedef struct WireGrants		/* GRANTS_SYNC, and its response */
{
	int			n;
	const uint8_t *grant[WIRE_GRANTS];	/* GRANT_BYTES each, inside the frame; not verified */
	uint8_t		fingerprint[GRANT_HASH_BYTES];
	uint8_t		changes_fingerprint[CHANGE_HASH_BYTES];	/* of changes of columns; 0 where there are none */
	int			n_changes;
	struct
	{
		const uint8_t *bytes;	/* inside the frame; not read */
		size_t		len;		/* up to CHANGE_BYTES_MAX */
	}			change[WIRE_CHANGES];
} WireGrants;

typedef struct WireRedeem
{
	const uint8_t *invitation;	/* GRANT_BYTES inside the frame; not verified */
	const uint8_t *redemption;	/* REDEMPTION_BYTES inside the frame; not verified */
	const char *text;			/* what the collection may be, as in WireRedeemed; or NULL */
	size_t		text_len;
} WireRedeem;

typedef struct WireRedeemed		/* the response to REDEEM */
{
	int			n;				/* of the chain, 1 at least */
	const uint8_t *grant[WIRE_GRANTS];
	const char *text;			/* inside the frame, UTF-8 without control characters; or NULL */
	size_t		text_len;
} WireRedeemed;

typedef struct WirePrune
{
	uint32_t	backoff_s;
	int			n_records;
	NodeRecord *record[WIRE_PRUNE_RECORDS];
} WirePrune;

typedef struct WireError
{
	uint16_t	code;			/* WireCode, or one from a newer peer */
	const char *text;			/* as in WireRedeemed */
	size_t		text_len;
} WireError;

/*
 * One message.  Type and response say which member of the union holds what it
 * says; GRAFT and BYE say nothing else.  The decoder leaves the others alone.
 */
typedef struct WireMessage
{
	uint16_t	version;		/* as it stood there; the encoder writes WIRE_VERSION_MAX */
	uint8_t		type;			/* WireType */
	bool		response;
	uint64_t	request;
	KadId		collection;
	int			skipped;		/* records and providers left out as expired, or for want of room */
	union
	{
		WireHello	hello;
		WirePing	ping;
		WireFind	find;
		WireFound	found;
		WireProvide provide;
		WireProvided provided;
		WireGrants	grants;
		WireRedeem	redeem;
		WireRedeemed redeemed;
		WirePrune	prune;
		WireError	error;
	};
} WireMessage;

/* The records and the providers that a message of any type brings: how many, the first of them in *out. */
extern int	wire_records(const WireMessage *self, NodeRecord *const **out);
extern int	wire_providers(const WireMessage *self, Provider *const **out);

/*
 * Write a message into out[room]; *len gets its bytes.  False when it does not
 * fit, or lacks what its type needs.  References stay the caller's.
 */
extern bool wire_encode(const WireMessage *self, uint8_t *out, size_t room, size_t *len);

/*
 * Decode frame[len]; the frame must stay while self is used.  On DECODE_OK the
 * caller owes a wire_release().
 *
 * Errors: TRUNCATED, OVERLONG, MAGIC, VERSION (self->version, type and request
 * are set, for an answer), TYPE, FLAGS, VALUE, ORDER, MISSING, CRITICAL,
 * TOO_MANY, TEXT, SIGNATURE (a record in it is forged: who passes it on did not
 * check).  A record in an answer that has expired, or for which there is no
 * room or no memory, is left out and counted; in a HELLO it is the error.
 */
extern DecodeStatus wire_decode(RecordPool *pool, const uint8_t *frame, size_t len,
								int64_t unix_ms, WireMessage *self);

/* Give back the references of a decoded message. */
extern void wire_release(RecordPool *pool, WireMessage *self);

#endif							/* CORE_WIRE_H */
