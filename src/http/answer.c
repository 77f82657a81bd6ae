/*
 * answer.c
 *	  The one form of an error.
 */
#include "http/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A control character takes six bytes, all others two at most. */
static size_t
quoted_bound(const char *s)
{
	return s ? 6 * strlen(s) + 2 : 4;
}

static char *
quote(char *out, const char *s)
{
	if (!s)
		return (char *) memcpy(out, "null", 4) + 4;
	*out++ = '"';
	for (; *s; s++)
	{
		unsigned char c = (unsigned char) *s;

		if (c == '"' || c == '\\')
		{
			*out++ = '\\';
			*out++ = (char) c;
		}
		else if (c == '\n')
		{
			*out++ = '\\';
			*out++ = 'n';
		}
		else if (c < 0x20)
			out += sprintf(out, "\\u%04x", c);
		else
			*out++ = (char) c;
	}
	*out++ = '"';
	return out;
}

char *
answer_error(const char *code, const char *message, const char *details, const char *hint, size_t *len)
{
	const char *const names[] = {"{\"code\":", ",\"message\":", ",\"details\":", ",\"hint\":"};
	const char *const values[] = {code, message, details, hint};
	size_t		size = 3;
	char	   *answer,
			   *out;

	for (int i = 0; i < 4; i++)
		size += strlen(names[i]) + quoted_bound(values[i]);
	answer = out = malloc(size);
	if (!answer)
		return NULL;
	for (int i = 0; i < 4; i++)
	{
		size_t		n = strlen(names[i]);

		memcpy(out, names[i], n);
		out = quote(out + n, values[i]);
	}
	memcpy(out, "}\n", 2);
	*len = (size_t) (out + 2 - answer);
	return answer;
}
