/*
 * body.h
 *	  Writing the body of an answer, which never grows beyond its limit.
 *
 * The limit is checked before anything is appended, and before a value is taken out
 * of its compressed form, since anybody may have written the row that it comes from.
 */
#ifndef VECDB_HTTP_BODY_H
#define VECDB_HTTP_BODY_H

#include "pgcompat.h"

#include "lib/stringinfo.h"

/* The most bytes of an answer: vecdb.http_max_answer, and what the front can hold. */
extern Size BodyLimit(void);

/* Each of these appends, or raises an error (54000) when the limit does not allow it. */
extern void BodyBytes(StringInfo body, const char *bytes, Size len);
extern void BodyText(StringInfo body, const char *text);

/* len bytes, none of them NUL, as a string of JSON with its quotes. */
extern void BodyString(StringInfo body, const char *bytes, Size len);
extern void BodyName(StringInfo body, const char *name);

/* A value of type text as a string of JSON. */
extern void BodyTextDatum(StringInfo body, Datum value);

/*
 * A value of type jsonb, in the form that jsonb_out gives it, but for numbers of
 * more than JSON_MAX_DIGITS digits: those come with an exponent, as exact.
 */
extern void BodyJsonb(StringInfo body, Datum value);

/* The same; NULL is as an empty object. */
extern void BodyMetadata(StringInfo body, Datum value, bool isnull);

/* A number that is one (no NaN, not infinite), with an exponent where it has more than JSON_MAX_DIGITS digits. */
extern void BodyNumeric(StringInfo body, Datum value);

/* Raise the error where a value of so many bytes can only be an answer that is too large. */
extern void BodyExpect(StringInfo body, Size len);

/* null where it is not finite. */
extern void BodyDouble(StringInfo body, double value);

#endif							/* VECDB_HTTP_BODY_H */
