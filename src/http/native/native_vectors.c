/*
 * native_vectors.c
 *	  /vectors and /vectors/ID.
 */
#include "http/native/native.h"

#include "catalog/pg_type.h"
#include "collection/collection.h"
#include "collection/listing.h"
#include "http/api_statement.h"
#include "http/body.h"
#include "http/read_body.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"

#define DEFAULT_COLLECTION	"default"

/*
 * The most rows and names of collections in one body.  A row takes more memory than
 * its bytes, and each collection that has to be created takes several locks.
 */
#define MAX_ROWS			100000
#define MAX_NAMES			100

typedef struct BatchItem
{
	char	   *id;
	Vector	   *data;
	Datum		metadata;		/* 0: none */
	int			next;			/* of the same collection; -1: none */
} BatchItem;

/* A collection's part of the batch: its items in the order of the request. */
typedef struct BatchPart
{
	char		name[NAMEDATALEN];	/* key of the hash table */
	int			first;
	int			last;
	int			n;
} BatchPart;

typedef struct Batch
{
	BatchItem  *items;
	int			n;
	int			size;
	HTAB	   *by_name;		/* of BatchPart */
	BatchPart  *parts[MAX_NAMES];
	int			nparts;
} Batch;

static ApiStatement upsert_statement = {
	"SELECT u FROM vecdb.upsert_batch($1, $2, $3, $4) u", 4, "tTVJ"
};

/* Add the last item to the part of its collection. */
static void
place_item(Batch *batch, const char *collection, const ReadPlace *place)
{
	int			number = batch->n - 1;
	BatchPart  *part;
	bool		found;

	if (strlen(collection) >= NAMEDATALEN)
		ApiWrongShape("%s has %zu bytes, and no name of a collection more than %d",
					ReadPlaceName(place, "collection"), strlen(collection), NAMEDATALEN - 1);
	if (!batch->by_name)
	{
		HASHCTL		ctl = {.keysize = NAMEDATALEN,.entrysize = sizeof(BatchPart),.hcxt = CurrentMemoryContext};

		batch->by_name = hash_create("vecdb http batch", MAX_NAMES, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	part = hash_search(batch->by_name, collection, HASH_ENTER, &found);
	batch->items[number].next = -1;
	if (found)
		batch->items[part->last].next = number;
	else
	{
		if (batch->nparts == MAX_NAMES)
			ApiTooMany("%s: \"%s\" would be collection %d of the body, which may name %d",
					 ReadPlaceName(place, "collection"), collection, MAX_NAMES + 1, MAX_NAMES);
		part->first = number;
		part->n = 0;
		batch->parts[batch->nparts++] = part;
	}
	part->last = number;
	part->n++;
}

static void
read_item(JsonReader *json, Batch *batch)
{
	static const char *const fields[] = {"id", "data", "metadata", "collection", NULL};
	ReadPlace		place = {"vectors", batch->n};
	BatchItem  *item;
	char	   *collection = NULL;
	unsigned	seen = 0;
	bool		first = true;
	int			field;

	CHECK_FOR_INTERRUPTS();
	if (batch->n == MAX_ROWS)
		ApiTooMany("vectors has more than %d elements", MAX_ROWS);
	if (batch->n == batch->size)
	{
		batch->size = Max(batch->size * 2, 64);
		batch->items = batch->items ? repalloc_huge(batch->items, sizeof(BatchItem) * batch->size) :
			palloc(sizeof(BatchItem) * batch->size);
	}
	item = &batch->items[batch->n];
	memset(item, 0, sizeof(*item));
	if (!ReadExpect(json, JSON_OBJECT, &place, NULL, "an object"))
		ApiWrongShape("%s must be an object, not null", ReadPlaceName(&place, NULL));
	json_enter(json);
	while ((field = ReadField(json, &first, fields, &seen, &place)) >= 0)
	{
		switch (field)
		{
			case 0:
				item->id = ReadId(json, &place, "id");
				if (item->id && item->id[0] == '\0')
					ApiWrongShape("%s must not be empty", ReadPlaceName(&place, "id"));
				if (item->id && strlen(item->id) > COLLECTION_MAX_ID)
					ApiWrongShape("%s has %zu bytes, more than %d", ReadPlaceName(&place, "id"), strlen(item->id), COLLECTION_MAX_ID);
				break;
			case 1:
				item->data = ReadVector(json, &place, "data");
				break;
			case 2:
				item->metadata = ReadJsonb(json, &place, "metadata");
				break;
			case 3:
				collection = ReadText(json, &place, "collection");
				break;
		}
	}
	if (!item->data)
		ApiWrongShape("%s is missing", ReadPlaceName(&place, "data"));
	if (!item->id)
		item->id = CollectionNewId();
	batch->n++;
	place_item(batch, collection ? collection : DEFAULT_COLLECTION, &place);
}

/*
 * The collection's dimensions must be those of every vector that goes there; one
 * that does not exist is made to fit the first of them.
 */
static void
fit_collection(const Batch *batch, const BatchPart *part)
{
	const char *name = part->name;
	int			dimensions;
	bool		created = false;

	/* Another request may be creating the collection; after the wait for its lock it exists. */
	if (!OidIsValid(CollectionRelid(name)))
		CollectionLockName(name);

	/* The name belongs to something that is no collection, or that the caller may not read: the upsert refuses it. */
	dimensions = CollectionDimensions(name);
	if (dimensions == 0 && OidIsValid(CollectionRelid(name)))
		return;
	for (int i = part->first; i >= 0; i = batch->items[i].next)
	{
		int			dim = batch->items[i].data->dim;

		if (dimensions == 0)
		{
			dimensions = dim;
			created = true;
		}
		if (dim != dimensions)
			ApiWrongShape("vectors[%d].data has %d dimensions, collection \"%s\" has %d", i, dim, name, dimensions);
	}
	if (created)
		NativeCreate(name, dimensions, NULL, NULL, NULL, NULL, NULL, false);
}

static void
upsert_collection(const Batch *batch, const BatchPart *part)
{
	Datum	   *ids = palloc(sizeof(Datum) * part->n);
	Datum	   *data = palloc(sizeof(Datum) * part->n);
	Datum	   *metadata = palloc(sizeof(Datum) * part->n);
	bool	   *no_metadata = palloc(sizeof(bool) * part->n);
	Datum		values[4];
	int			n = 0;
	int			lower = 1;
	int16		typlen;
	bool		typbyval;
	char		typalign;

	for (int i = part->first; i >= 0; i = batch->items[i].next)
	{
		const BatchItem *item = &batch->items[i];

		CHECK_FOR_INTERRUPTS();
		ids[n] = CStringGetTextDatum(item->id);
		data[n] = PointerGetDatum(item->data);
		metadata[n] = item->metadata;
		no_metadata[n] = item->metadata == (Datum) 0;
		n++;
	}
	Assert(n == part->n);
	ApiFindTypes();
	values[0] = CStringGetTextDatum(part->name);
	values[1] = PointerGetDatum(construct_array(ids, n, TEXTOID, -1, false, TYPALIGN_INT));
	get_typlenbyvalalign(ApiVectorType, &typlen, &typbyval, &typalign);
	values[2] = PointerGetDatum(construct_array(data, n, ApiVectorType, typlen, typbyval, typalign));
	values[3] = PointerGetDatum(construct_md_array(metadata, no_metadata, 1, &n, &lower, JSONBOID, -1, false, TYPALIGN_INT));
	ApiRun(&upsert_statement, values, NULL, false);
	SPI_freetuptable(SPI_tuptable);
}

static int
compare_parts(const void *a, const void *b)
{
	return strcmp((*(BatchPart *const *) a)->name, (*(BatchPart *const *) b)->name);
}

void
NativePostVectors(const ApiRequest *request, ApiAnswer *answer)
{
	static const char *const fields[] = {"vectors", NULL};
	JsonReader	json;
	Batch		batch = {0};
	unsigned	seen = 0;
	bool		first = true;
	bool		given = false;

	ReadBegin(request, &json);
	while (ReadField(&json, &first, fields, &seen, NULL) >= 0)
	{
		bool		first_item = true;

		if (!ReadExpect(&json, JSON_ARRAY, NULL, "vectors", "an array"))
			continue;
		given = true;
		json_enter(&json);
		while (json_element(&json, &first_item))
			read_item(&json, &batch);
		if (json.error)
			ReadMalformed(&json);
	}
	ReadEnd(&json);
	if (!given)
		ApiWrongShape("vectors is missing");

	/* In the order of their names, so that two requests wait for each other instead of deadlocking. */
	qsort(batch.parts, batch.nparts, sizeof(BatchPart *), compare_parts);
	for (int i = 0; i < batch.nparts; i++)
	{
		fit_collection(&batch, batch.parts[i]);
		upsert_collection(&batch, batch.parts[i]);
	}
	answer->status = 201;
	BodyText(&answer->body, "{\"ids\":[");
	for (int i = 0; i < batch.n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i > 0)
			BodyText(&answer->body, ",");
		BodyName(&answer->body, batch.items[i].id);
	}
	BodyText(&answer->body, "]}\n");
}

/* The one collection that has this id, among those the caller may read. */
static char *
find_vector(const char *id)
{
	CollectionListed	   *list;
	int			n;
	int			found = 0;
	char	   *name = NULL;
	StringInfoData names;

	initStringInfo(&names);
	n = CollectionList(&list);
	for (int i = 0; i < n; i++)
	{
		CollectionVisit visit;
		bool		has;

		has = CollectionVisitBegin(&visit, &list[i]);
		if (has)
		{
			ApiRunOnRow(list[i].name, list[i].relid, TABLE_EXISTS, id);
			has = SPI_processed > 0;
		}
		CollectionVisitEnd(&visit);
		if (!has)
			continue;
		appendStringInfo(&names, "%s\"%s\"", found++ ? ", " : "", list[i].name);
		name = list[i].name;
	}
	if (found == 0)
		ApiRefuse(404, ERRCODE_NO_DATA_FOUND, "there is no vector with id \"%s\"", id);
	if (found > 1)
	{
		ApiErrorStatus = 409;
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("several collections have a vector with id \"%s\": %s", id, names.data),
				 errhint("Name one of them: ?collection=NAME.")));
	}
	return name;
}

char *
NativeCollectionOfVector(const ApiRequest *request)
{
	char	   *collection = NativeCollectionOfQuery(request);

	return collection ? collection : find_vector(request->param);
}

/* Read or delete the vector that the request names; gives the collection that has it. */
static char *
run_on_vector(const ApiRequest *request, ApiRowStatement kind)
{
	char	   *collection = NativeCollectionOfQuery(request);
	bool		named = collection != NULL;

	if (!named)
		collection = find_vector(request->param);
	ApiRunOnRow(collection, CollectionHold(collection), kind, request->param);
	if (SPI_processed == 0 && named)
		ApiRefuse(404, ERRCODE_NO_DATA_FOUND, "collection \"%s\" has no vector with id \"%s\"", collection, request->param);
	if (SPI_processed == 0)
		ApiRefuse(404, ERRCODE_NO_DATA_FOUND, "there is no vector with id \"%s\"", request->param);
	return collection;
}

void
NativeWriteVector(StringInfo out, uint64 row, const char *id, const char *collection)
{
	char	   *data = ApiText(row, 1);
	bool		no_metadata;
	Datum		metadata = SpiColumn(row, 2, JSONBOID, &no_metadata);
	char	   *created_at = ApiText(row, 3);
	char	   *updated_at = ApiText(row, 4);

	BodyText(out, "{\"id\":");
	if (id)
		BodyName(out, id);
	else
		BodyText(out, "null");
	BodyText(out, ",\"collection\":");
	BodyName(out, collection);
	BodyText(out, ",\"data\":");
	BodyText(out, data ? data : "null");
	BodyText(out, ",\"metadata\":");
	BodyMetadata(out, metadata, no_metadata);
	BodyText(out, ",\"created_at\":");
	BodyText(out, created_at ? created_at : "null");
	BodyText(out, ",\"updated_at\":");
	BodyText(out, updated_at ? updated_at : "null");
	BodyText(out, "}");
	if (data)
		pfree(data);
}

void
NativeGetVector(const ApiRequest *request, ApiAnswer *answer)
{
	char	   *collection = run_on_vector(request, TABLE_READ);

	NativeWriteVector(&answer->body, 0, request->param, collection);
	BodyText(&answer->body, "\n");
}

void
NativeDeleteVector(const ApiRequest *request, ApiAnswer *answer)
{
	char	   *collection = run_on_vector(request, TABLE_DELETE);

	BodyText(&answer->body, "{\"id\":");
	BodyName(&answer->body, request->param);
	BodyText(&answer->body, ",\"collection\":");
	BodyName(&answer->body, collection);
	BodyText(&answer->body, ",\"deleted\":true}\n");
}
