/*
 * spi_column.h
 *	  Reading what a statement gave: no value is taken for a type unseen.
 *
 * A statement that names a table finds whatever has that name by the time it
 * runs, and to read one type's bytes as another's ends the process, and with it
 * the whole server.
 */
#ifndef VECDB_SPI_COLUMN_H
#define VECDB_SPI_COLUMN_H

#include "pgcompat.h"

#include "executor/spi.h"
#include "utils/builtins.h"

/* A column, from 1, of a row in SPI_tuptable; an error where it has another type than this. */
static inline Datum
SpiColumn(uint64 row, int number, Oid type, bool *isnull)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Oid			is = number <= desc->natts ? SPI_gettypeid(desc, number) : InvalidOid;

	if (is != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("a statement gave type %s as column %d, not %s",
						format_type_be(is), number, format_type_be(type))));
	return SPI_getbinval(SPI_tuptable->vals[row], desc, number, isnull);
}

#endif							/* VECDB_SPI_COLUMN_H */
