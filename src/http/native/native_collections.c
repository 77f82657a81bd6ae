/*
 * native_collections.c
 *	  /collections and /collections/NAME.
 */
#include "http/native/native.h"

#include "access/xact.h"
#include "http/api_statement.h"
#include "http/body.h"
#include "http/read_body.h"
#include "utils/builtins.h"

static ApiStatement create_statement = {
	"SELECT vecdb.create_collection($1, $2, $3, $4, $5, $6, $7, $8)", 8, "tittiitb"
};
static ApiStatement drop_statement = {
	"SELECT vecdb.drop_collection($1)", 1, "t"
};
static ApiStatement describe_statement = {
	"SELECT pg_catalog.row_to_json(c)::pg_catalog.text FROM vecdb.collection_info($1) c", 1, "t"
};
static ApiStatement describe_all_statement = {
	"SELECT pg_catalog.row_to_json(c)::pg_catalog.text FROM vecdb.collections c ORDER BY c.name", 0, ""
};

void
NativeGetCollections(ApiAnswer *answer)
{
	ApiRun(&describe_all_statement, NULL, NULL, true);
	BodyText(&answer->body, "{\"collections\":[");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		if (i > 0)
			BodyText(&answer->body, ",");
		BodyText(&answer->body, ApiText(i, 1));
	}
	BodyText(&answer->body, "]}\n");
}

void
NativeGetCollection(const char *name, ApiAnswer *answer, bool read_only)
{
	ApiRunNamed(&describe_statement, name, read_only);
	if (SPI_processed == 0)
		ApiRefuse(404, ERRCODE_UNDEFINED_TABLE, "collection \"%s\" does not exist", name);
	appendStringInfo(&answer->body, "%s\n", ApiText(0, 1));
}

void
NativeCreate(const char *name, int dimensions, const char *metric, const char *index_type, int *m, int *ef_construction,
	   const char *storage, bool filter_index)
{
	Datum		values[8];
	char		nulls[9] = "        ";

	values[0] = CStringGetTextDatum(name);
	values[1] = Int32GetDatum(dimensions);
	values[2] = metric ? CStringGetTextDatum(metric) : (Datum) 0;
	values[3] = index_type ? CStringGetTextDatum(index_type) : (Datum) 0;
	values[4] = Int32GetDatum(m ? *m : 0);
	values[5] = Int32GetDatum(ef_construction ? *ef_construction : 0);
	values[6] = CStringGetTextDatum(storage ? storage : "vector");
	values[7] = BoolGetDatum(filter_index);
	nulls[2] = metric ? ' ' : 'n';
	nulls[3] = index_type ? ' ' : 'n';
	nulls[4] = m ? ' ' : 'n';
	nulls[5] = ef_construction ? ' ' : 'n';
	ApiRun(&create_statement, values, nulls, false);
	CommandCounterIncrement();
}

void
NativePostCollection(const ApiRequest *request, ApiAnswer *answer)
{
	static const char *const fields[] = {
		"name", "dimensions", "metric", "index_type", "m", "ef_construction", "storage", "filter_index", NULL
	};
	JsonReader	json;
	unsigned	seen = 0;
	bool		first = true;
	int			field;
	char	   *name = NULL;
	char	   *metric = NULL;
	char	   *index_type = NULL;
	char	   *storage = NULL;
	int			dimensions = 0;
	int			m = 0;
	int			ef_construction = 0;
	bool		has_dimensions = false;
	bool		has_m = false;
	bool		has_ef = false;
	bool		filter_index = false;
	StringInfoData location;

	ReadBegin(request, &json);
	while ((field = ReadField(&json, &first, fields, &seen, NULL)) >= 0)
	{
		switch (field)
		{
			case 0:
				name = ReadText(&json, NULL, "name");
				break;
			case 1:
				has_dimensions = ReadInt(&json, "dimensions", &dimensions);
				break;
			case 2:
				metric = ReadText(&json, NULL, "metric");
				break;
			case 3:
				index_type = ReadText(&json, NULL, "index_type");
				break;
			case 4:
				has_m = ReadInt(&json, "m", &m);
				break;
			case 5:
				has_ef = ReadInt(&json, "ef_construction", &ef_construction);
				break;
			case 6:
				storage = ReadText(&json, NULL, "storage");
				break;
			case 7:
				ReadBool(&json, "filter_index", &filter_index);
				break;
		}
	}
	ReadEnd(&json);
	if (!name)
		ApiWrongShape("name is missing");
	if (!has_dimensions)
		ApiWrongShape("dimensions is missing");
	NativeCreate(name, dimensions, metric, index_type, has_m ? &m : NULL, has_ef ? &ef_construction : NULL, storage, filter_index);

	answer->status = 201;
	initStringInfo(&location);
	appendStringInfoString(&location, "/collections/");
	ApiAppendEncoded(&location, name);
	ApiHeader(answer, "Location", location.data);
	/* Not read only, so that the statement sees the new table. */
	NativeGetCollection(name, answer, false);
}

void
NativeDeleteCollection(const char *name, ApiAnswer *answer)
{
	ApiRunNamed(&drop_statement, name, false);
	BodyText(&answer->body, "{\"name\":");
	BodyName(&answer->body, name);
	BodyText(&answer->body, ",\"deleted\":true}\n");
}
