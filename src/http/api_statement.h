/*
 * api_statement.h
 *	  Statements that requests run, and their plans.
 *
 * A plan is kept for the life of the process; PostgreSQL renews it when what it
 * depends on changes.  Names in a statement are qualified, operators too: requests
 * run with the search_path of their role.
 */
#ifndef VECDB_HTTP_API_STATEMENT_H
#define VECDB_HTTP_API_STATEMENT_H

#include "pgcompat.h"

#include "executor/spi.h"
#include "spi_column.h"

/* A statement without a table's name in it, and its plan once it has one. */
typedef struct ApiStatement
{
	const char *sql;
	int			nargs;
	const char *types;			/* a letter for each argument, see argument_type */
	SPIPlanPtr	plan;
	Oid			planned_for;	/* the type vector as it was then */
} ApiStatement;

/* A statement on the row of a collection that has an id. */
typedef enum ApiRowStatement
{
	TABLE_READ,					/* data, metadata, created_at, updated_at, as JSON's text but for metadata */
	TABLE_EXISTS,
	TABLE_DELETE
} ApiRowStatement;

/* Call once for each process. */
extern void ApiStatementInit(void);

/* The extension's types vector and vector[], once ApiFindTypes() has been called. */
extern Oid	ApiVectorType;
extern Oid	ApiVectorArrayType;

/* An error with status 503 where the extension is not installed. */
extern void ApiFindTypes(void);

/* Run; what it gives is in SPI_tuptable.  nulls as SPI_execute_plan() has them, NULL: none. */
extern void ApiRun(ApiStatement *self, Datum *values, const char *nulls, bool read_only);
extern void ApiRunNamed(ApiStatement *self, const char *name, bool read_only);

/* Run a statement on the row that has this id.  relid, the collection's table, matters only for TABLE_READ. */
extern void ApiRunOnRow(const char *collection, Oid relid, ApiRowStatement kind, const char *id);

/*
 * What a statement selects of a collection's table t: data, metadata, created_at and
 * updated_at as TABLE_READ does, and the id behind them.
 */
extern char *ApiRowColumns(Oid relid);

/* A text of the result as a C string; NULL where it is NULL. */
extern char *ApiText(uint64 row, int number);

#endif							/* VECDB_HTTP_API_STATEMENT_H */
