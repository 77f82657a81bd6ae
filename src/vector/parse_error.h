/*
 * parse_error.h
 *	  Turns what core/vec/parse.h found wrong in a literal or a binary form into an
 *	  error of the server.
 */
#ifndef VECDB_PARSE_ERROR_H
#define VECDB_PARSE_ERROR_H

#include "core/vec/parse.h"
#include "vector/vector.h"

/*
 * type is the SQL name of the type.  literal is the whole of it, ended by a
 * NUL, or NULL when a binary form was read.
 */
extern void VectorReportParseError(const char *type, const char *literal,
								   const ParseError *error) pg_attribute_noreturn();

#endif							/* VECDB_PARSE_ERROR_H */
