/*
 * rest_query.h
 *	  The grammar of PostgREST's parameters: which columns, which rows, in which
 *	  order; and ours of distances, wherever a column stands.
 *
 * Plain C11: no PostgreSQL header.  The caller gives a text that it no longer
 * needs as it was, and memory by a function of its own; what is parsed points into
 * the text, in which escapes are resolved where they stand.  A name or a value is
 * never interpreted here: that is up to who knows the table.
 *
 *	select		= item *( "," item )
 *	item		= "*" | [ name ":" ] field [ "." distance ] [ "::" type ]
 *	field		= name *( ( "->" | "->>" ) ( name | index ) )
 *	name		= quoted | letters, digits, "_", "$", space, "-"
 *	quoted		= """ *( character | "\" character ) """
 *	operation	= [ "not." ] operator [ "(any)" | "(all)" | "(" language ")" ] "." value
 *	tree		= "(" node *( "," node ) ")"
 *	node		= [ "not." ] ( "and" | "or" ) tree | field "." operation
 *	order		= term *( "," term )
 *	term		= field [ "." distance ] *( ".asc" | ".desc" | ".nullsfirst" | ".nullslast" )
 *	distance	= ( "cosine" | "l2" | "ip" | "l1" | "hamming" | "jaccard" ) "." vector
 *	vector		= "[" numbers "]" | "{" numbers "}/" digits | base64 | bits
 *
 * A value within a tree ends at "," or ")", unless it is quoted, an array in braces,
 * a list in parentheses (of "in"), or those stand in brackets of numbers.  A value
 * that is all of a parameter is taken as it is.
 */
#ifndef CORE_REST_QUERY_H
#define CORE_REST_QUERY_H

#include <stdbool.h>
#include <stddef.h>

/* Limits: each is far above what is of use, and bounds time, memory and stack. */
#define REST_MAX_DEPTH	32		/* of trees; a caller may set less */
#define REST_MAX_NODES	2000	/* columns, conditions, terms and steps of paths of one request */
#define REST_MAX_STEPS	32		/* of one path */

/* A piece of the text; at is NULL where there is none. */
typedef struct RestText
{
	const char *at;
	size_t		len;
} RestText;

typedef struct RestStep
{
	RestText	key;
	bool		as_text;		/* ->> */
	bool		is_index;		/* key is a whole number of at most nine digits, "-" before it or not */
} RestStep;

typedef struct RestField
{
	RestText	name;
	int			nsteps;
	const RestStep *steps;
} RestField;

typedef enum RestMetric
{
	REST_NO_METRIC,
	REST_COSINE,
	REST_L2,
	REST_IP,
	REST_L1,
	REST_HAMMING,
	REST_JACCARD
} RestMetric;

/* The distance of a column's vector to one that is given. */
typedef struct RestDistance
{
	RestMetric	metric;
	RestText	vector;
} RestDistance;

typedef struct RestColumn
{
	struct RestColumn *next;
	bool		star;			/* all columns; nothing else is set */
	RestField	field;
	RestDistance distance;
	RestText	alias;
	RestText	cast;
} RestColumn;

typedef enum RestOperator
{
	REST_EQ,
	REST_NEQ,
	REST_GT,
	REST_GTE,
	REST_LT,
	REST_LTE,
	REST_LIKE,
	REST_ILIKE,
	REST_MATCH,
	REST_IMATCH,
	REST_IN,
	REST_IS,
	REST_ISDISTINCT,
	REST_CS,
	REST_CD,
	REST_OV,
	REST_SL,
	REST_SR,
	REST_NXR,
	REST_NXL,
	REST_ADJ,
	REST_FTS,
	REST_PLFTS,
	REST_PHFTS,
	REST_WFTS
} RestOperator;

#define REST_NOPERATORS (REST_WFTS + 1)

typedef enum RestQuantifier
{
	REST_ONE,
	REST_ANY,
	REST_ALL
} RestQuantifier;

typedef enum RestNodeKind
{
	REST_AND,
	REST_OR,
	REST_TEST
} RestNodeKind;

typedef struct RestNode
{
	struct RestNode *next;
	RestNodeKind kind;
	bool		negated;
	struct RestNode *first;		/* of AND and OR, which have one at least */

	/* of TEST */
	RestField	field;
	RestOperator op;
	RestQuantifier quantifier;
	RestText	language;		/* of the FTS family */
	RestText	value;			/* of IN with its parentheses */
} RestNode;

typedef enum RestDirection
{
	REST_NO_DIRECTION,
	REST_ASC,
	REST_DESC
} RestDirection;

typedef enum RestNulls
{
	REST_NO_NULLS,
	REST_NULLS_FIRST,
	REST_NULLS_LAST
} RestNulls;

typedef struct RestOrder
{
	struct RestOrder *next;
	RestField	field;
	RestDistance distance;
	RestDirection direction;
	RestNulls	nulls;
} RestOrder;

/* Why a text was refused. */
typedef enum RestProblem
{
	REST_GOOD,
	REST_SYNTAX,
	REST_EMBEDDING,				/* another table's rows within a row */
	REST_AGGREGATE,
	REST_TOO_DEEP,				/* trees beyond max_depth */
	REST_TOO_MUCH				/* beyond another limit */
} RestProblem;

typedef struct RestParser
{
	/* by the caller, once */
	void	   *(*alloc) (void *arg, size_t size);	/* never NULL */
	void	   *arg;
	int			max_depth;		/* of trees, at most REST_MAX_DEPTH */

	/* of the text that is parsed */
	char	   *text;
	size_t		len;
	size_t		pos;

	int			nodes;			/* of all texts so far */
	RestProblem problem;
	const char *why;			/* a static sentence without a full stop */
	size_t		where;			/* in bytes */
} RestParser;

/* Take up a text of len bytes, which the parser changes; what was counted stays. */
extern void rest_begin(RestParser *self, char *text, size_t len);

/*
 * Each of these parses the whole text, or returns false with problem, why and where.
 * Lists are in the text's order.
 */
extern bool rest_parse_select(RestParser *self, RestColumn **columns);
extern bool rest_parse_order(RestParser *self, RestOrder **terms);
extern bool rest_parse_field(RestParser *self, RestField *field);
extern bool rest_parse_operation(RestParser *self, RestNode *test);
extern bool rest_parse_tree(RestParser *self, RestNode *node);

/* Names between commas, as columns= and on_conflict= have them. */
extern bool rest_parse_names(RestParser *self, RestText **names, int *n);

/*
 * The next element of the list "(a,b,...)", the value of an IN, whose escapes are
 * resolved where they stand; *pos is 0 at first.  false at the end.
 */
extern bool rest_list_next(char *list, size_t len, size_t *pos, RestText *element);

/* A value of the form METRIC.NUMBER.VECTOR; false where it is none. */
extern bool rest_split_bound(RestText value, RestText *bound, RestDistance *distance);

extern const char *rest_operator_name(RestOperator op);

#endif							/* CORE_REST_QUERY_H */
