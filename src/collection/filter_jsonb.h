/*
 * filter_jsonb.h
 *	  The filter of a search, from jsonb to an SQL condition and its parameters.
 */
#ifndef VECDB_FILTER_JSONB_H
#define VECDB_FILTER_JSONB_H

#include "pgcompat.h"

#include "utils/jsonb.h"

typedef struct CompiledFilter
{
	char	   *sql;			/* NULL where the filter is empty */
	int			nparameters;
	Oid		   *types;
	Datum	   *values;
} CompiledFilter;

/*
 * Compile a filter on the column t.metadata, in the current memory context; the
 * first parameter has the number given.  A bad filter is an error that tells the
 * place in it.
 */
extern PGDLLEXPORT void CompileFilter(Jsonb *filter, int first_parameter, CompiledFilter *compiled);

#endif							/* VECDB_FILTER_JSONB_H */
