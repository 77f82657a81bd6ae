/*
 * native_search.c
 *	  /search and /collections/NAME/search: one collection, or all of them that
 *	  the role may read.
 */
#include "http/native/native.h"

#include "http/native/native_surface.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "collection/listing.h"
#include "http/api_statement.h"
#include "http/body.h"
#include "http/read_body.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"

#define DEFAULT_K			10

typedef struct SearchBody
{
	Vector	   *vector;
	int			k;
	double		threshold;
	bool		has_threshold;
	Datum		filter;
	char	   *collection;
	bool		exact;
	int			ef_search;
	bool		has_ef_search;
} SearchBody;

/* A row that was found.  Its values are copies, which are detoasted only when they are shown. */
typedef struct Hit
{
	Datum		id;
	Datum		metadata;
	bool		no_id;
	bool		no_metadata;
	double		score;
	int			place;			/* in the order in which they were found */
	const CollectionListed *collection;
} Hit;

typedef struct Hits
{
	Hit		   *hits;
	int			n;
	int			size;
	bool		full;			/* there are as many as are asked for, in order */
	double		worst;			/* the least score of them */
} Hits;

static ApiStatement search_statement = {
	"SELECT s.id, s.score, s.metadata FROM vecdb.search($1, $2, $3, $4, $5, $6, $7) s", 7, "tvifjbi"
};

static void
read_search(const ApiRequest *request, SearchBody *body)
{
	static const char *const fields[] = {
		"vector", "k", "threshold", "filter", "exact", "ef_search", "collection", NULL
	};
	JsonReader	json;
	unsigned	seen = 0;
	bool		first = true;
	int			field;

	memset(body, 0, sizeof(*body));
	body->k = DEFAULT_K;
	ReadBegin(request, &json);
	while ((field = ReadField(&json, &first, fields, &seen, NULL)) >= 0)
	{
		switch (field)
		{
			case 0:
				body->vector = ReadVector(&json, NULL, "vector");
				break;
			case 1:
				ReadInt(&json, "k", &body->k);
				break;
			case 2:
				body->has_threshold = ReadDouble(&json, "threshold", &body->threshold);
				break;
			case 3:
				body->filter = ReadJsonb(&json, NULL, "filter");
				break;
			case 4:
				ReadBool(&json, "exact", &body->exact);
				break;
			case 5:
				body->has_ef_search = ReadInt(&json, "ef_search", &body->ef_search);
				break;
			case 6:
				body->collection = ReadText(&json, NULL, "collection");
				break;
		}
	}
	ReadEnd(&json);
	if (!body->vector)
		ApiWrongShape("vector is missing");
	if (request->route == NATIVE_COLLECTION_SEARCH)
	{
		if (body->collection && strcmp(body->collection, request->param) != 0)
			ApiWrongShape("collection is \"%s\" in the body and \"%s\" in the path", body->collection, request->param);
		body->collection = pstrdup(request->param);
	}
}

/* Search one collection; its rows are in SPI_tuptable. */
static void
search_collection(const SearchBody *body, const char *collection)
{
	Datum		values[7];
	char		nulls[8] = "       ";

	values[0] = CStringGetTextDatum(collection);
	values[1] = PointerGetDatum(body->vector);
	values[2] = Int32GetDatum(body->k);
	values[3] = Float8GetDatum(body->threshold);
	values[4] = body->filter;
	values[5] = BoolGetDatum(body->exact);
	values[6] = Int32GetDatum(body->ef_search);
	nulls[3] = body->has_threshold ? ' ' : 'n';
	nulls[4] = body->filter ? ' ' : 'n';
	nulls[6] = body->has_ef_search ? ' ' : 'n';
	ApiRun(&search_statement, values, nulls, true);
}

static int
compare_hits(const void *a, const void *b)
{
	const Hit  *x = a;
	const Hit  *y = b;
	int			order;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	order = strcmp(x->collection->name, y->collection->name);
	return order != 0 ? order : x->place - y->place;
}

/* A copy of a value of the result; 0 where it is NULL. */
static Datum
keep_column(uint64 row, int number, Oid type, bool *isnull)
{
	Datum		value = SpiColumn(row, number, type, isnull);

	return *isnull ? (Datum) 0 : datumCopy(value, false, -1);
}

/*
 * Add what one collection gave, best first, and keep only the k best of all: memory
 * does not grow with the number of collections.
 */
static void
collect_hits(Hits *self, int k, const CollectionListed *collection)
{
	int			found = (int) Min(SPI_processed, (uint64) k);

	for (int i = 0; i < found; i++)
	{
		bool		isnull;
		double		score = DatumGetFloat8(SpiColumn(i, 2, FLOAT8OID, &isnull));
		Hit		   *hit;

		if (self->full && score < self->worst)
			break;
		if (self->n == self->size)
		{
			self->size = Max(self->size * 2, 32);
			self->hits = self->hits ? repalloc_huge(self->hits, sizeof(Hit) * self->size) : palloc(sizeof(Hit) * self->size);
		}
		hit = &self->hits[self->n];
		hit->id = keep_column(i, 1, TEXTOID, &hit->no_id);
		hit->metadata = keep_column(i, 3, JSONBOID, &hit->no_metadata);
		hit->score = score;
		hit->place = self->n++;
		hit->collection = collection;
	}
	if (self->n < k)
		return;
	qsort(self->hits, self->n, sizeof(Hit), compare_hits);
	for (; self->n > k; self->n--)
	{
		Hit		   *hit = &self->hits[self->n - 1];

		if (!hit->no_id)
			pfree(DatumGetPointer(hit->id));
		if (!hit->no_metadata)
			pfree(DatumGetPointer(hit->metadata));
	}
	for (int i = 0; i < self->n; i++)
		self->hits[i].place = i;
	self->full = true;
	self->worst = self->hits[k - 1].score;
}

/* Every collection of the vector's dimensions that the caller may read. */
static void
search_all(const SearchBody *body, Hits *hits)
{
	CollectionListed	   *list;
	int			n = CollectionList(&list);
	int			searched = 0;
	StringInfoData others;

	initStringInfo(&others);
	for (int i = 0; i < n; i++)
	{
		if (list[i].dimensions == body->vector->dim)
		{
			CollectionVisit visit;

			if (CollectionVisitBegin(&visit, &list[i]))
			{
				search_collection(body, list[i].name);
				collect_hits(hits, body->k, &list[i]);
				searched++;
			}
			CollectionVisitEnd(&visit);
		}
		else if (others.len < 200)
			appendStringInfo(&others, "%s\"%s\" has %d", others.len ? ", " : "", list[i].name, list[i].dimensions);
	}
	if (searched == 0 && n > 0)
	{
		ApiErrorStatus = 422;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("vector has %d dimensions, which no collection has", body->vector->dim),
				 errdetail("Collection %s.", others.data)));
	}
	if (searched > 1)
		qsort(hits->hits, hits->n, sizeof(Hit), compare_hits);
}

static void
append_hit(StringInfo out, const Hit *hit)
{
	Relation	table = NULL;
	bool		apart = (!hit->no_metadata && VARATT_IS_EXTERNAL(DatumGetPointer(hit->metadata))) ||
		(!hit->no_id && VARATT_IS_EXTERNAL(DatumGetPointer(hit->id)));

	/* The lock that the search took may be released, and the table with the value dropped since. */
	if (apart)
	{
		table = try_relation_open(hit->collection->relid, AccessShareLock);
		if (!table)
			ApiRefuse(409, ERRCODE_UNDEFINED_TABLE, "collection \"%s\" was dropped during the search", hit->collection->name);
	}
	BodyText(out, "{\"id\":");
	if (hit->no_id)
		BodyText(out, "null");
	else
		BodyTextDatum(out, hit->id);
	BodyText(out, ",\"score\":");
	BodyDouble(out, hit->score);
	BodyText(out, ",\"metadata\":");
	BodyMetadata(out, hit->metadata, hit->no_metadata);
	BodyText(out, ",\"collection\":");
	BodyName(out, hit->collection->name);
	BodyText(out, "}");
	if (table)
		relation_close(table, AccessShareLock);
}

void
NativePostSearch(const ApiRequest *request, ApiAnswer *answer)
{
	StringInfo	out = &answer->body;
	SearchBody	body;
	CollectionListed		one = {0};
	Hits		hits = {0};

	read_search(request, &body);
	if (body.collection)
	{
		int			dimensions = CollectionDimensions(body.collection);

		if (dimensions > 0 && dimensions != body.vector->dim)
			ApiWrongShape("vector has %d dimensions, collection \"%s\" has %d", body.vector->dim, body.collection, dimensions);
		search_collection(&body, body.collection);
		strlcpy(one.name, body.collection, NAMEDATALEN);
		one.relid = CollectionRelid(body.collection);
		collect_hits(&hits, body.k, &one);
	}
	else
		search_all(&body, &hits);

	BodyText(out, "{\"results\":[");
	for (int i = 0; i < hits.n; i++)
	{
		if (i > 0)
			BodyText(out, ",");
		append_hit(out, &hits.hits[i]);
	}
	BodyText(out, "]}\n");
}
