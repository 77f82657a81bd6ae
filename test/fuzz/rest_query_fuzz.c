/*
 * rest_query_fuzz.c
 *	  The grammar of PostgREST's parameters: the first byte says which text it is.  What
 *	  was parsed lies within the text, within the limits; each error has a place.
 */
#include "fuzz.h"

#include "core/base64.h"
#include "core/query/rest_query.h"

typedef struct Blocks
{
	void	   *block[4 * REST_MAX_NODES];
	int			n;
} Blocks;

static void *
keep_alloc(void *arg, size_t size)
{
	Blocks	   *blocks = arg;

	REQUIRE(blocks->n < (int) (sizeof(blocks->block) / sizeof(blocks->block[0])));
	return blocks->block[blocks->n++] = fuzz_alloc(size);
}

static void
check_piece(const Text *text, RestText piece, bool must)
{
	REQUIRE(!must || piece.at != NULL);
	if (piece.at == NULL)
		return;
	REQUIRE(piece.at >= text->bytes && piece.at <= text->bytes + text->len);
	REQUIRE(piece.len <= (size_t) (text->bytes + text->len - piece.at));
}

static void
check_field(const Text *text, const RestField *field)
{
	check_piece(text, field->name, true);
	REQUIRE(field->name.len > 0);
	REQUIRE(field->nsteps >= 0 && field->nsteps <= REST_MAX_STEPS);
	for (int i = 0; i < field->nsteps; i++)
	{
		check_piece(text, field->steps[i].key, true);
		REQUIRE(!field->steps[i].is_index || (field->steps[i].key.len > 0 && field->steps[i].key.len <= 10));
	}
}

static void
check_distance(const Text *text, const RestDistance *distance)
{
	REQUIRE(distance->metric <= REST_JACCARD);
	check_piece(text, distance->vector, distance->metric != REST_NO_METRIC);
}

static int
check_nodes(const Text *text, const RestNode *node, int depth)
{
	int			n = 0;

	REQUIRE(depth <= REST_MAX_DEPTH + 1);
	for (; node != NULL; node = node->next)
	{
		n++;
		if (node->kind != REST_TEST)
		{
			REQUIRE(node->first != NULL);
			n += check_nodes(text, node->first, depth + 1);
			continue;
		}
		REQUIRE(node->op < REST_NOPERATORS);
		check_field(text, &node->field);
		check_piece(text, node->language, false);
		check_piece(text, node->value, true);
	}
	return n;
}

/* The elements of a list lie within it, one behind the other. */
static void
check_list(RestText list)
{
	Text		copy = text_new(list.at, list.len);
	size_t		pos = 0;
	size_t		before = 0;
	RestText	element;

	while (rest_list_next(copy.bytes, copy.len, &pos, &element))
	{
		check_piece(&copy, element, true);
		REQUIRE(pos > before && pos <= copy.len);
		before = pos;
	}
	text_destroy(&copy);
}

static void
check_value(RestText value)
{
	unsigned char *bytes = fuzz_alloc(BASE64_BYTES(value.len));
	Text		within = {(char *) value.at, value.len};
	RestText	bound;
	RestDistance distance;

	REQUIRE(base64_decode(value.at, value.len, bytes) <= (long) BASE64_BYTES(value.len));
	free(bytes);
	if (rest_split_bound(value, &bound, &distance))
	{
		check_piece(&within, bound, true);
		check_distance(&within, &distance);
		REQUIRE(distance.metric != REST_NO_METRIC && bound.len > 0 && distance.vector.len > 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static Blocks blocks;
	RestParser	parser = {.alloc = keep_alloc,.arg = &blocks,.max_depth = REST_MAX_DEPTH};
	Text		text;
	RestNode	node = {.kind = REST_AND};
	RestColumn *columns = NULL;
	RestOrder  *terms = NULL;
	RestText   *names = NULL;
	int			n = 0;
	bool		good;

	if (size == 0)
		return 0;
	blocks.n = 0;
	text = text_new(data + 1, size - 1);
	rest_begin(&parser, text.bytes, text.len);
	switch (data[0] % 6)
	{
		case 0:
			good = rest_parse_select(&parser, &columns);
			break;
		case 1:
			good = rest_parse_order(&parser, &terms);
			break;
		case 2:
			good = rest_parse_field(&parser, &node.field);
			if (good)
				check_field(&text, &node.field);
			break;
		case 3:
			good = rest_parse_operation(&parser, &node);
			if (good)
			{
				REQUIRE(node.kind == REST_TEST && node.op < REST_NOPERATORS);
				check_piece(&text, node.value, true);
				if (node.op == REST_IN)
					check_list(node.value);
				check_value(node.value);
			}
			break;
		case 4:
			good = rest_parse_tree(&parser, &node);
			if (good)
				REQUIRE(check_nodes(&text, &node, 1) <= REST_MAX_NODES);
			break;
		default:
			good = rest_parse_names(&parser, &names, &n);
			for (int i = 0; good && i < n; i++)
				check_piece(&text, names[i], true);
			break;
	}
	REQUIRE(good == (parser.problem == REST_GOOD));
	REQUIRE(good == (parser.why == NULL));
	REQUIRE(parser.where <= text.len && parser.pos <= text.len);
	REQUIRE(!good || parser.pos == text.len);
	for (const RestColumn *c = good ? columns : NULL; c != NULL; c = c->next)
	{
		if (c->star)
			continue;
		check_field(&text, &c->field);
		check_distance(&text, &c->distance);
		check_piece(&text, c->alias, false);
		check_piece(&text, c->cast, false);
	}
	for (const RestOrder *o = good ? terms : NULL; o != NULL; o = o->next)
	{
		check_field(&text, &o->field);
		check_distance(&text, &o->distance);
	}
	while (blocks.n > 0)
		free(blocks.block[--blocks.n]);
	text_destroy(&text);
	return 0;
}
