/*
 * json_tree.h
 *	  A reader of JSON for tests of the filter: text to a tree of FilterJson.
 *
 * Just enough of JSON: strings have no escapes but a backslash before any byte,
 * which stands for that byte, and numbers are runs of the bytes of numbers.  As
 * in jsonb, of members with equal keys the last remains.
 */
#ifndef TEST_JSON_TREE_H
#define TEST_JSON_TREE_H

#include <stdlib.h>
#include <string.h>

#include "core/query/filter.h"

typedef struct JsonReader
{
	const char *at;
	const char *end;
	int			values;			/* so far */
} JsonReader;

static inline void
json_skip(JsonReader *self)
{
	while (self->at < self->end && strchr(" \t\n\r", *self->at) != NULL && *self->at != '\0')
		self->at++;
}

static inline bool
json_take(JsonReader *self, char ch)
{
	json_skip(self);
	if (self->at >= self->end || *self->at != ch)
		return false;
	self->at++;
	return true;
}

static inline bool
json_word(JsonReader *self, const char *word)
{
	size_t		len = strlen(word);

	if ((size_t) (self->end - self->at) < len || memcmp(self->at, word, len) != 0)
		return false;
	self->at += len;
	return true;
}

/* A string behind its opening quote, in a block of its own. */
static inline bool
json_string(JsonReader *self, const char **text, size_t *len)
{
	char	   *out = malloc((size_t) (self->end - self->at) + 1);

	if (out == NULL)
		abort();
	*text = out;
	*len = 0;
	while (self->at < self->end && *self->at != '"')
	{
		if (*self->at == '\\' && ++self->at >= self->end)
			break;
		out[(*len)++] = *self->at++;
	}
	return json_take(self, '"');
}

static inline void
json_destroy(FilterJson *self)
{
	FilterJson *next;

	for (FilterJson *child = (FilterJson *) self->first; child != NULL; child = next)
	{
		next = (FilterJson *) child->next;
		json_destroy(child);
		free(child);
	}
	free((char *) self->text);
	free((char *) self->key);
}

static bool json_value(JsonReader *self, FilterJson *node, int depth);

/* Members or elements, behind the opening bracket. */
static inline bool
json_children(JsonReader *self, FilterJson *node, char close, int depth)
{
	const FilterJson **next = &node->first;

	if (json_take(self, close))
		return true;
	do
	{
		FilterJson *child = calloc(1, sizeof(FilterJson));
		bool		good;

		if (child == NULL)
			abort();
		child->parent = node;
		child->index = node->count++;
		*next = child;
		next = &child->next;
		good = node->type == FILTER_ARRAY ||
			(json_take(self, '"') && json_string(self, &child->key, &child->key_len) && json_take(self, ':'));
		if (!good || !json_value(self, child, depth + 1))
			return false;
		for (const FilterJson **p = &node->first; node->type == FILTER_OBJECT && *p != child; p = (const FilterJson **) &(*p)->next)
		{
			FilterJson *old = (FilterJson *) *p;

			if (old->key_len == child->key_len && memcmp(old->key, child->key, old->key_len) == 0)
			{
				*p = old->next;
				if (next == &old->next)
					next = p;
				json_destroy(old);
				free(old);
				node->count--;
				break;
			}
		}
	} while (json_take(self, ','));
	return json_take(self, close);
}

static bool
json_value(JsonReader *self, FilterJson *node, int depth)
{
	/* deeper than a filter may be, so that the filter's own limit is met */
	if (depth > 2 * FILTER_MAX_DEPTH)
		return false;
	self->values++;
	json_skip(self);
	if (self->at >= self->end)
		return false;
	if (json_take(self, '{'))
	{
		node->type = FILTER_OBJECT;
		return json_children(self, node, '}', depth);
	}
	if (json_take(self, '['))
	{
		node->type = FILTER_ARRAY;
		return json_children(self, node, ']', depth);
	}
	if (json_take(self, '"'))
	{
		node->type = FILTER_STRING;
		return json_string(self, &node->text, &node->text_len);
	}
	if (json_word(self, "null"))
		return true;
	node->type = FILTER_BOOLEAN;
	node->boolean = *self->at == 't';
	if (json_word(self, "true") || json_word(self, "false"))
		return true;
	node->type = FILTER_NUMBER;
	if (*self->at == '\0' || strchr("-0123456789", *self->at) == NULL)
		return false;
	while (self->at < self->end && *self->at != '\0' && strchr("-+.eE0123456789", *self->at) != NULL)
		self->at++;
	return true;
}

/*
 * Read a whole text.  Returns the number of values, 0 where it is not JSON; the
 * tree has to be given to json_destroy() in both cases.
 */
static inline int
json_read(const char *text, size_t len, FilterJson *root)
{
	JsonReader	self = {text, text + len, 0};

	memset(root, 0, sizeof(*root));
	if (!json_value(&self, root, 1))
		return 0;
	json_skip(&self);
	return self.at == self.end ? self.values : 0;
}

#endif							/* TEST_JSON_TREE_H */
