/*
 * route.c
 *	  From a path to a surface and its route.
 */
#include "http/route.h"

#include <string.h>

#include "core/bytes.h"

long
route_decode(const char *in, size_t len, bool plus_is_space, char *out)
{
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		char		c = in[i];

		if (c == '%')
		{
			int			high,
						low;

			if (len - i < 3 || (high = bytes_hex_digit(in[i + 1])) < 0 ||
				(low = bytes_hex_digit(in[i + 2])) < 0 || high + low == 0)
			{
				if (out)
					out[0] = '\0';
				return -1;
			}
			c = (char) (high * 16 + low);
			i += 2;
		}
		else if (c == '+' && plus_is_space)
			c = ' ';
		else if (c == '\0')
		{
			if (out)
				out[0] = '\0';
			return -1;
		}
		if (out)
			out[n] = c;
		n++;
	}
	if (out)
		out[n] = '\0';
	return (long) n;
}

/* The segment after a "/", up to the next one or the end; NULL past the end. */
static const char *
segment(const char **pos, const char *end, size_t *len)
{
	const char *start,
			   *next;

	if (*pos >= end)
		return NULL;
	start = *pos + 1;
	next = start < end ? memchr(start, '/', (size_t) (end - start)) : NULL;
	*pos = next ? next : end;
	*len = (size_t) (*pos - start);
	return start;
}

static bool
is(const char *s, size_t len, const char *word)
{
	return s && len == strlen(word) && memcmp(s, word, len) == 0;
}

void
route_find(SurfacePort port, const char *target, size_t target_len, Route *route)
{
	const char *end = target + target_len;
	const char *mark = memchr(target, '?', target_len);
	const char *pos = target;
	const char *s[4];
	size_t		len[4] = {0};
	int			n = 0;

	memset(route, 0, sizeof(*route));
	if (mark)
	{
		route->query_at = (size_t) (mark + 1 - target);
		route->query_len = (size_t) (end - mark - 1);
		end = mark;
	}
	route->surface = surface_find(port, target, (size_t) (end - target));
	pos += strlen(route->surface->prefix);
	while (n < 4 && (s[n] = segment(&pos, end, &len[n])) != NULL)
		n++;
	for (size_t i = 0; i < route->surface->nroutes; i++)
	{
		const RouteDef *def = &route->surface->routes[i];

		if (n != 1 + def->has_param + (def->last != NULL) || !is(s[0], len[0], def->first))
			continue;
		if (def->last && !is(s[2], len[2], def->last))
			continue;
		if (def->has_param)
		{
			if (len[1] == 0)
				continue;
			route->malformed = route_decode(s[1], len[1], false, NULL) < 0;
			route->param_at = (size_t) (s[1] - target);
			route->param_len = len[1];
		}
		route->def = def;
		route->number = (int) i;
		return;
	}
}

bool
route_query_next(const char **query, size_t *query_len, char *key, char *value, bool *malformed)
{
	*malformed = false;
	while (*query_len > 0)
	{
		const char *pair = *query;
		const char *amp = memchr(pair, '&', *query_len);
		size_t		len = amp ? (size_t) (amp - pair) : *query_len;
		const char *equal = memchr(pair, '=', len);
		size_t		key_len = equal ? (size_t) (equal - pair) : len;

		*query += amp ? len + 1 : len;
		*query_len -= amp ? len + 1 : len;
		if (len == 0)
			continue;
		value[0] = '\0';
		*malformed = route_decode(pair, key_len, true, key) < 0 ||
			(equal && route_decode(equal + 1, len - key_len - 1, true, value) < 0);
		return true;
	}
	return false;
}
