/*
 * rest.h
 *	  PostgREST's API as an executor serves it.
 *
 *	  rest.c				which function serves a request, statuses of errors
 *	  rest_request.c		parameters and headers
 *	  rest_table.c			a table or view of the exposed schemas, its columns, nearest names
 *	  rest_key.c			primary keys of tables and views
 *	  rest_sql.c			the text and the parameters of a statement
 *	  rest_plan.c			plans that are kept
 *	  rest_value.c			values as JSON and as CSV
 *	  rest_vector.c			vectors of requests, and sparse ones as arrays
 *	  rest_rows.c			the rows of a statement
 *	  rest_read.c			reads
 *	  rest_payload.c		rows of a body, as JSON or CSV
 *	  rest_write.c			writes
 *
 * A name gets into a statement only as the catalogs have it, quoted and with its
 * schema; operators and functions too, since a request runs with the search_path of
 * its role.  A value is a parameter of its column's type, made by the type's input
 * function.
 */
#ifndef VECDB_HTTP_REST_H
#define VECDB_HTTP_REST_H

#include "http/api.h"

#include "core/query/rest_query.h"
#include "executor/spi.h"
#include "portability/instr_time.h"
#include "utils/relcache.h"

extern const ApiSurface rest_api;

/* Raise an error with a status and a code of PostgREST's, a static text.  detail and hint may be NULL. */
extern void RestRefuse(int status, const char *code, const char *message, const char *detail, const char *hint) pg_attribute_noreturn();

/* The time where times are told to clients, else zero; milliseconds between two. */
extern instr_time RestClock(void);
extern double RestMilliseconds(instr_time since, instr_time until);

/* ---- rest_request.c ---- */

typedef enum RestMedia
{
	REST_JSON,
	REST_OBJECT,				/* one row, without the array around it */
	REST_CSV,
	REST_PLAN_TEXT,
	REST_PLAN_JSON
} RestMedia;

typedef enum RestCount
{
	REST_NO_COUNT,
	REST_EXACT,
	REST_PLANNED,
	REST_ESTIMATED
} RestCount;

/* What a write answers. */
typedef enum RestReturn
{
	REST_MINIMAL,
	REST_HEADERS_ONLY,
	REST_REPRESENTATION
} RestReturn;

/* What becomes of a row whose key is there. */
typedef enum RestResolution
{
	REST_NO_RESOLUTION,			/* an error */
	REST_MERGE,
	REST_IGNORE
} RestResolution;

/* What a request asks for.  Texts are in the database's encoding. */
typedef struct RestRequest
{
	bool		reads;			/* else it writes */
	const char *schema;			/* of the profile, or the first */
	bool		profile_given;
	RestColumn *columns;		/* NULL: all */
	RestNode   *conditions;		/* all of which hold; NULL: none */
	RestOrder  *order;
	int64		limit;			/* -1: none */
	int64		offset;

	RestMedia	media;
	bool		strip_nulls;
	const char *plan_options;	/* for EXPLAIN, each behind a comma */

	RestCount	count;
	bool		vectors_as_text;

	/* of writes */
	RestText   *names;			/* of columns=; NULL: those of the body */
	int			nnames;
	RestText   *conflict;		/* of on_conflict=; NULL: the primary key */
	int			nconflict;
	RestReturn	what;
	RestResolution resolution;
	bool		missing_default;
	bool		rollback;
	int64		max_affected;	/* -1: no limit */
	const char *timezone;		/* NULL: none */
	List	   *applied;		/* the preferences that are heeded, NAME=VALUE */
} RestRequest;

extern void RestReadRequest(const ApiRequest *request, RestRequest *self);

/* A preference turns out to make no difference. */
extern void RestPassOver(RestRequest *self, const char *name);

/* The preferences that were heeded, for a header; NULL: none. */
extern char *RestApplied(const RestRequest *self);

/* The value of a header, or NULL. */
extern const char *RestHeader(const ApiRequest *request, const char *name);

/* The beginning of a text of the client, for a message. */
extern char *RestShown(const char *text);

/* ---- rest_table.c ---- */

typedef struct RestTable
{
	Relation	rel;			/* open, with AccessShareLock until the transaction ends */
	Oid			schema;
	const char *schema_name;
	const char *name;
	const char *sql;			/* quoted, with its schema */
} RestTable;

/* Find a table or view of a schema, which the role may use in some way; an error where there is none. */
extern void RestOpenTable(const char *schema, const char *name, RestTable *self);

/* A column's number, or InvalidAttrNumber. */
extern AttrNumber RestFindColumn(const RestTable *table, RestText name);

/* A computed column: a function of the table's schema that takes a row of it.  Its type, or InvalidOid. */
extern Oid	RestFindComputed(const RestTable *table, RestText name, Oid *function);

/* A hint that names the nearest column of those that the role may read, and of computed ones too where computed says so; or NULL. */
extern char *RestNearestColumn(const RestTable *table, RestText name, bool computed);

/* computed: a computed column would have been as good. */
extern void RestNoColumn(const RestTable *table, RestText name, bool computed) pg_attribute_noreturn();

/* The names of the exposed schemas. */
extern List *RestSchemas(void);

extern char *RestCopy(RestText text);

/* ---- rest_key.c ---- */

/* How many columns the primary key has, 0: there is none; their numbers, palloc'ed. */
extern int	RestFindKey(const RestTable *table, AttrNumber **key);

/* ---- rest_sql.c ---- */

/* A statement in the making. */
typedef struct RestSql
{
	const RestTable *table;
	StringInfoData text;
	int			nparams;
	int			size;
	Oid		   *types;
	Datum	   *values;
	int			distances[16];	/* parameters that are vectors of distances */
	int			ndistances;
	bool		has_literals;	/* the text has some, whose meaning depends on settings of the request */
	bool		exact;			/* no index that may end before it has given all rows is to be used */
} RestSql;

extern void RestSqlBegin(RestSql *self, const RestTable *table);

/* "a, b, ..." of the request, and the names that its columns have in the answer. */
extern void RestSqlColumns(RestSql *self, const RestColumn *columns, const char ***outputs, int *n);

/*
 * More commas than the text of an array, an object and the like may have, whose elements
 * take many times the bytes of their text while input functions read them, and some of
 * those sort them without a check for interrupts.
 */
extern bool RestManyElements(const char *text, Size len);

/* Refuse such a text as a value of a type, unless it is a type of texts. */
extern void RestRefuseElements(Oid type);

/* Bytes of a value of tsquery, which is read in the square of its length without a check for interrupts. */
#define REST_MAX_TSQUERY	65536

/* Refuse a longer text as a value of a type, if it is tsquery or an array of those. */
extern void RestRefuseLength(Oid type);

/* A parameter, of which the number is given. */
extern int	RestSqlParameter(RestSql *self, Oid type, Datum value);

/* " WHERE ...", " ORDER BY ...", " LIMIT ... OFFSET ...", each where there is one. */
extern void RestSqlWhere(RestSql *self, const RestNode *conditions);
extern void RestSqlOrder(RestSql *self, const RestOrder *order);
extern void RestSqlLimit(RestSql *self, int64 limit, int64 offset);

/* Make a write that ends with "RETURNING ", and so many outputs, a statement that gives them in order. */
extern void RestSqlOrderReturned(RestSql *self, const RestOrder *order, int noutputs);

/* ---- rest_plan.c ---- */

/* Call once for each process. */
extern void RestPlanInit(void);

/* The plan of a statement: one that was kept, or a new one.  The statement is run next. */
extern SPIPlanPtr RestPlan(const RestSql *sql);

/* A request begins; milliseconds that plans of it have cost since, where times are told. */
extern void RestPrepareBegin(void);
extern double RestPrepared(void);

/* ---- rest_value.c ---- */

typedef struct RestFormat
{
	bool		vectors_as_text;
	bool		strip_nulls;
} RestFormat;

extern void RestPutValue(StringInfo body, const RestFormat *format, Datum value, Oid type);
extern void RestPutCsvText(StringInfo body, const char *text, Size len);
extern void RestPutCsvValue(StringInfo body, const RestFormat *format, Datum value, Oid type);

/* ---- rest_vector.c ---- */

typedef enum RestVectorKind
{
	REST_NO_VECTOR,
	REST_DENSE,					/* vector and halfvec, whose text is an array of numbers */
	REST_SPARSE					/* sparsevec */
} RestVectorKind;

extern RestVectorKind RestVectorOf(Oid type);

/* What the type reads, palloc'ed, for what only requests may have in its place; else NULL. */
extern char *RestVectorText(RestText given, RestVectorKind kind);

/* A sparsevec as an array; false, and nothing written, where it has more dimensions than a vector may have. */
extern bool RestPutSparse(StringInfo body, Datum value);

/* ---- rest_rows.c ---- */

/* Run a statement and write its rows to the answer; how many they were. */
extern int64 RestWriteRows(const RestSql *sql, const RestRequest *request, const char *const *outputs, int noutputs,
						   bool read_only, ApiAnswer *answer);

/* ---- rest_payload.c ---- */

/* The rows of a body. */
typedef struct RestPayload
{
	Datum		json;			/* an array of objects, of type json */
	char	  **columns;		/* that the objects have */
	int			ncolumns;
	int64		rows;
	List	   *long_lists;		/* names of columns of which a value has RestManyElements() */
	List	   *long_texts;		/* and of those of which one is longer than REST_MAX_TSQUERY */
} RestPayload;

/* columns_given: objects need not have the same members.  Values of the table's columns of vectors become what their types read. */
extern void RestReadPayload(const ApiRequest *request, const RestTable *table, bool columns_given, RestPayload *self);

/* ---- rest_write.c ---- */

extern void RestWrite(const RestTable *table, const ApiRequest *request, RestRequest *asked, ApiAnswer *answer);

/* ---- rest_read.c ---- */

extern void RestRead(const RestTable *table, const RestRequest *request, ApiAnswer *answer);

#endif							/* VECDB_HTTP_REST_H */
