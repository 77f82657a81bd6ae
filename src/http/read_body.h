/*
 * read_body.h
 *	  Reading the JSON of a body, straight into the values that SQL takes.
 *
 *		JsonReader	json;
 *		unsigned	seen = 0;
 *		bool		first = true;
 *
 *		ReadBegin(request, &json);
 *		while ((field = ReadField(&json, &first, fields, &seen, NULL)) >= 0)
 *			...  one of the functions below for each field
 *		ReadEnd(&json);
 *
 * What is not as it must be raises an error that names the field: 400 where it is
 * no JSON, 422 where it is another value.  Text is palloc'ed, in the database's
 * encoding.  null is as if the field were not there.
 */
#ifndef VECDB_HTTP_READ_BODY_H
#define VECDB_HTTP_READ_BODY_H

#include "http/api.h"
#include "http/json.h"
#include "vector/vector.h"

/* A member of an object: its name in messages, like vectors[3].data. */
typedef struct ReadPlace
{
	const char *array;			/* NULL: not within one */
	int			index;
} ReadPlace;

/* "field", "vectors[3]" or "vectors[3].field" */
extern const char *ReadPlaceName(const ReadPlace *place, const char *field);

/* Enter the body, which must be an object in valid UTF-8; and leave it, with nothing behind it. */
extern void ReadBegin(const ApiRequest *request, JsonReader *json);
extern void ReadEnd(JsonReader *json);

/* Look at a body that may be any value, which is not entered: its kind. */
extern JsonKind ReadBeginAny(const ApiRequest *request, JsonReader *json);

/* Refuse a body that is no text in UTF-8. */
extern void ReadCheckText(const ApiRequest *request);

/* Refuse what json_value() has just read where it would become much larger when it is stored or shown. */
extern void ReadCheckStored(JsonReader *json, const ReadPlace *place, const char *field);

/* Which field the next member is, by its place in names, which a NULL ends; -1 at the end. */
extern int	ReadField(JsonReader *json, bool *first, const char *const *names, unsigned *seen, const ReadPlace *place);

/* Is the next value one of this kind?  false: it is null, and passed. */
extern bool ReadExpect(JsonReader *json, JsonKind kind, const ReadPlace *place, const char *field, const char *what);

/* A name, or a value that is known to be a string, of a body that has been checked to be UTF-8. */
extern char *ReadString(JsonReader *json, JsonSpan span);

/* NULL, false or 0 for null. */
extern char *ReadText(JsonReader *json, const ReadPlace *place, const char *field);
/* An id: a string, or an integer, which stands for its digits. */
extern char *ReadId(JsonReader *json, const ReadPlace *place, const char *field);
extern bool ReadDouble(JsonReader *json, const char *field, double *value);
extern bool ReadInt(JsonReader *json, const char *field, int *value);
extern bool ReadBool(JsonReader *json, const char *field, bool *value);
extern Vector *ReadVector(JsonReader *json, const ReadPlace *place, const char *field);
extern Datum ReadJsonb(JsonReader *json, const ReadPlace *place, const char *field);

extern void ReadMalformed(const JsonReader *json) pg_attribute_noreturn();

#endif							/* VECDB_HTTP_READ_BODY_H */
