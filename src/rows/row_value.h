/*
 * row_value.h
 *	  One value of a column as bytes that are the same on every node.
 *
 * Types that hold no text go as the output of their binary output function.  Text, and
 * types whose binary output holds text, go as text in UTF-8, converted from the database's
 * encoding: the client's has no part in it, nor has any setting.
 *
 *	array	= dimensions:u8 *extent *element	extent = length:u32 lower:i32; element as a value of content
 *
 * jsonb sorts the keys of an object by their lengths in the database's encoding; here they
 * are in the order that they have in UTF-8.
 */
#ifndef VECDB_ROW_VALUE_H
#define VECDB_ROW_VALUE_H

#include "pgcompat.h"

#include "core/rows/row.h"
#include "fmgr.h"
#include "lib/stringinfo.h"

typedef enum RowForm
{
	ROW_FORM_NONE,				/* a type that cannot be shared */
	ROW_FORM_BINARY,			/* binary output, which holds no text */
	ROW_FORM_VECTOR,			/* the same, of vector */
	ROW_FORM_OTHER_VECTOR,		/* of halfvec and sparsevec */
	ROW_FORM_TEXT,				/* text as it is stored */
	ROW_FORM_XML,
	ROW_FORM_NAME,
	ROW_FORM_JSONB,
	ROW_FORM_OUTPUT				/* text output, which gives the value back */
} RowForm;

/* A column's type: of the elements where it is an array. */
typedef struct RowType
{
	Oid			type;
	RowForm		form;
	bool		array;
} RowType;

typedef struct RowCodec
{
	RowType		type;
	int32		typmod;
	int16		length;
	bool		by_value;
	char		align;
	Oid			io_param;
	FmgrInfo	output;
	FmgrInfo	input;
} RowCodec;

/* vecdb's own types, wherever the extension is. */
typedef struct RowVectorTypes
{
	Oid			vector;
	Oid			halfvec;
	Oid			sparsevec;
} RowVectorTypes;

extern RowVectorTypes RowVectorTypesHere(void);

/* May content leave such a value out, and is it in the hash of a row's vectors? */
static inline bool
RowIsVector(RowType type)
{
	return type.form == ROW_FORM_VECTOR || type.form == ROW_FORM_OTHER_VECTOR;
}

/* form ROW_FORM_NONE: values of this type cannot be shared. */
extern RowType RowTypeOf(Oid type, const RowVectorTypes *vectors);

/* In a memory context that lives as long as it. */
extern void RowCodecInit(RowCodec *self, RowType type, int32 typmod, MemoryContext context);

/* Append a value, which is not null.  Leaves garbage in the current memory context: as much as the value. */
extern void RowCodecEncode(RowCodec *self, Datum value, StringInfo out);

/* In the current memory context; an error where these bytes are no value, or another one would give them. */
extern Datum RowCodecDecode(RowCodec *self, RowBytes bytes);

/* Append a value's length as content has it: -1 null, -2 left out. */
extern void RowAppendLength(StringInfo out, int32 length);

/* Text as UTF-8, and back.  What needs no conversion is returned as it is. */
extern RowBytes RowTextToUtf8(const char *text, int len);

/* With a zero byte behind it.  NULL: it is no UTF-8, or not in this database's encoding. */
extern char *RowTextFromUtf8(RowBytes bytes, int *len);

#endif							/* VECDB_ROW_VALUE_H */
