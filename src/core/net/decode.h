/*
 * decode.h
 *	  What a decoder of bytes from outside says of them.
 */
#ifndef CORE_DECODE_H
#define CORE_DECODE_H

typedef enum DecodeStatus
{
	DECODE_OK = 0,
	DECODE_TRUNCATED,			/* ends before its last field */
	DECODE_OVERLONG,			/* goes on after its last field, or above the size allowed */
	DECODE_MAGIC,				/* is something else */
	DECODE_VERSION,				/* of a protocol version that is not spoken here */
	DECODE_TYPE,				/* a message type that is not known */
	DECODE_FLAGS,				/* reserved bits are set */
	DECODE_ORDER,				/* items not in canonical order, or one too often */
	DECODE_MISSING,				/* lacks an item that its type needs */
	DECODE_VALUE,				/* a field is outside its range */
	DECODE_CRITICAL,			/* an unknown item that must not be skipped */
	DECODE_TOO_MANY,			/* more items, or more held already, than allowed */
	DECODE_NETWORK,				/* of another network */
	DECODE_COLLECTION,			/* of another collection */
	DECODE_EXPIRED,
	DECODE_FUTURE,				/* from a clock that is ahead by more than the skew allowed */
	DECODE_SIGNATURE,			/* forged or damaged */
	DECODE_CHECKSUM,			/* an invitation with a typing error */
	DECODE_TEXT,				/* an invitation with a character that does not belong */
	DECODE_MEMORY,				/* no memory was left: says nothing of the bytes */
	DECODE_STATUSES				/* how many there are */
} DecodeStatus;

/* A static phrase to follow "could not use ...: ", lower case. */
extern const char *decode_status_text(DecodeStatus status);

#endif							/* CORE_DECODE_H */
