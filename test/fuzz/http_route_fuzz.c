/*
 * http_route_fuzz.c
 *	  Paths, percent-encoding and queries; and that the form of an error holds
 *	  whatever text it is given.
 */
#include "fuzz.h"

#include "http/answer.h"
#include "http/json.h"
#include "http/route.h"

/* What was decoded, encoded and decoded again, is the same. */
static void
check_again(const char *decoded, size_t len)
{
	char	   *encoded = fuzz_alloc(3 * len + 1);
	char	   *again = fuzz_alloc(3 * len + 1);

	for (size_t i = 0; i < len; i++)
		sprintf(encoded + 3 * i, "%%%02X", (unsigned char) decoded[i]);
	REQUIRE(route_decode(encoded, 3 * len, len % 2 == 1, again) == (long) len);
	REQUIRE(memcmp(again, decoded, len) == 0);
	free(encoded);
	free(again);
}

static void
check_error_form(const Text *text)
{
	char	   *message = fuzz_alloc(text->len + 1);
	HttpError	error;
	size_t		len = 0;
	char	   *answer;
	char	   *exact;
	JsonReader	json;
	JsonSpan	span;
	bool		first = true;
	int			members = 0;

	memcpy(message, text->bytes, text->len);
	message[text->len] = '\0';
	error = (HttpError) {.status = 400,.message = message,.details = text->len % 2 ? message : NULL};
	answer = http_surfaces[text->len % NSURFACES]->error_body(&error, &len);
	REQUIRE(answer != NULL);
	exact = fuzz_alloc(len);
	memcpy(exact, answer, len);
	json_begin(&json, exact, len);
	REQUIRE(json_peek(&json) == JSON_OBJECT && json_enter(&json));
	while (json_member(&json, &first, &span))
	{
		if (json_is(&json, span, "message"))
		{
			char	   *back;

			REQUIRE(json_value(&json, &span));
			back = fuzz_alloc(span.len);
			REQUIRE(json_string(&json, span, back) == (long) strlen(message));
			REQUIRE(strcmp(back, message) == 0);
			free(back);
		}
		else
			REQUIRE(json_value(&json, &span));
		members++;
	}
	REQUIRE(members == 4 && json_end(&json));
	free(exact);
	free(answer);
	free(message);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Text		text = text_new(data, size);
	char	   *param = fuzz_alloc(size + 1);
	char	   *key = fuzz_alloc(size + 1);
	char	   *value = fuzz_alloc(size + 1);
	SurfacePort port = size % 2 ? PORT_API : PORT_ADMIN;
	Route		route;
	const char *query;
	size_t		left;
	bool		bad;
	size_t		pairs = 0;

	route_find(port, text.bytes, text.len, &route);
	REQUIRE(route.surface != NULL && route.surface->port == port && http_surfaces[route.surface->id] == route.surface);
	REQUIRE(route.def == NULL || route.def == &route.surface->routes[route.number]);
	REQUIRE(route.def == NULL || (route.def->methods != 0 && route.def->allow != NULL));
	REQUIRE(route.param_at <= size && route.param_len <= size - route.param_at);
	REQUIRE(route.query_at <= size && route.query_len <= size - route.query_at);
	if (route.def != NULL && route.def->has_param)
	{
		long		len = route_decode(text.bytes + route.param_at, route.param_len, false, param);

		REQUIRE((len < 0) == route.malformed);
		REQUIRE(len < 0 || (param[len] == '\0' && memchr(param, '\0', (size_t) len) == NULL));
		if (len >= 0)
			check_again(param, (size_t) len);
	}
	query = text.bytes + route.query_at;
	left = route.query_len;
	while (route_query_next(&query, &left, key, value, &bad))
	{
		REQUIRE(query + left == text.bytes + size);
		REQUIRE(bad || strlen(key) + strlen(value) <= size);
		REQUIRE(++pairs <= size);
	}
	check_error_form(&text);
	free(param);
	free(key);
	free(value);
	text_destroy(&text);
	return 0;
}
