/*
 * answer.c
 *	  The text of an error.
 */
#include "http/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/json.h"

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
		char		buffer[JSON_ESCAPE_SIZE];
		const char *escape = json_escape((unsigned char) *s, buffer);

		if (escape)
		{
			size_t		n = strlen(escape);

			memcpy(out, escape, n);
			out += n;
		}
		else
			*out++ = *s;
	}
	*out++ = '"';
	return out;
}

char *
answer_error(const HttpError *error, size_t *len)
{
	char		status_code[16];
	const char *const names[] = {"{\"code\":", ",\"message\":", ",\"details\":", ",\"hint\":"};
	const char *const values[] = {error->code ? error->code : status_code, error->message, error->details, error->hint};
	size_t		size = 3;
	char	   *answer,
			   *out;

	snprintf(status_code, sizeof(status_code), "PT%03d", error->status);
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
