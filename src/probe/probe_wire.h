/*
 * probe_wire.h
 *	  The bytes of node records, datagrams and the messages HELLO, PING, ERROR and BYE,
 *	  written anew from src/core/net/WIRE.md and the layouts that it names.
 *
 * Readers return NULL, or half a sentence that says what is wrong, which then is in no
 * message but their caller's.  Lengths are those of what was received; nothing behind
 * them is read.
 */
#ifndef PROBE_WIRE_H
#define PROBE_WIRE_H

#include "probe/probe.h"

#define PROBE_VERSION_LEAST 1
#define PROBE_VERSION_GREATEST 1

#define PROBE_RECORD_LEAST 186
#define PROBE_RECORD_MAX 368
#define PROBE_ASK_MAX (32 + PROBE_RECORD_MAX + 64)
#define PROBE_FRAME_MAX 65536
#define PROBE_RECORD_LIFE_MS (INT64_C(48) * 3600 * 1000)

#define PROBE_HELLO 1
#define PROBE_PING 2
#define PROBE_ERROR 10
#define PROBE_BYE 11

#define PROBE_CODE_VERSION 2
#define PROBE_CODE_NETWORK 3
#define PROBE_CODE_EXPIRED 8

/* The number of the network with this name. */
extern uint64_t probe_network(const char *name);

extern void probe_make_keys(ProbeKeys *out);

/* The probe's own record, good until expires_ms, into out[PROBE_RECORD_MAX]; its length. */
extern size_t probe_write_record(const ProbeKeys *keys, uint64_t network, const ProbeAddress *address,
								 uint64_t seq, int64_t expires_ms, uint8_t *out);

/* An ask of issued_ms, with such a record, into out[PROBE_ASK_MAX]; its length. */
extern size_t probe_write_ask(const ProbeKeys *keys, uint64_t network, const ProbeAddress *address,
							  uint64_t nonce, int64_t issued_ms, uint8_t *out);

/* An announcement. */
typedef struct ProbeAnswer
{
	uint64_t	nonce;
	uint64_t	network;
	int64_t		issued_ms;
	ProbeRecord record;
} ProbeAnswer;

extern const char *probe_read_answer(const uint8_t *bytes, size_t len, ProbeAnswer *out);
extern const char *probe_read_record(const uint8_t *bytes, size_t len, ProbeRecord *out);

/*
 * A frame into out[PROBE_FRAME_MAX]; its length.  HELLO has the record, PING and BYE
 * nothing; request is 0 for BYE alone.
 */
extern size_t probe_write_frame(int type, uint64_t request, uint64_t network,
								const uint8_t *record, size_t record_len, uint8_t *out);

/* Of a frame, what its type has. */
typedef struct ProbeFrame
{
	uint8_t		type;
	bool		response;
	uint64_t	request;
	uint16_t	least;			/* HELLO */
	uint16_t	greatest;
	uint64_t	network;
	bool		has_record;		/* HELLO; PING may have one */
	ProbeRecord record;
	uint16_t	code;			/* ERROR */
	char		text[PROBE_TEXT + 1];
} ProbeFrame;

/* The header alone, for frames that are of no interest: type, response, request. */
extern const char *probe_read_head(const uint8_t *bytes, size_t len, ProbeFrame *out);

/* The response to a HELLO or PING: itself, or ERROR. */
extern const char *probe_read_response(const uint8_t *bytes, size_t len, ProbeFrame *out);

/* UTF-8 (RFC 3629), each character in its shortest form, without C0, C1, U+2028 and U+2029. */
extern bool probe_text_good(const uint8_t *s, size_t n);

/*
 * An invitation's text (core/net/invitation.h): network, key, id and addresses into
 * options; what is secret in it is wiped.
 */
extern const char *probe_read_invitation(const char *text, size_t len, ProbeOptions *options);

#endif							/* PROBE_WIRE_H */
