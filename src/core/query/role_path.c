/*
 * role_path.c
 *	  The grammar of a path to the role within the claims of a token.
 */
#include "core/query/role_path.h"

#include <string.h>

typedef struct Reader
{
	const char *start;
	const char *p;
	const char *error;
} Reader;

static bool
fail(Reader *in, const char *error)
{
	if (!in->error)
		in->error = error;
	return false;
}

static bool
take(Reader *in, const char *word)
{
	size_t		n = strlen(word);

	if (strncmp(in->p, word, n) != 0)
		return false;
	in->p += n;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_key_char(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '@';
}

static bool
read_string(Reader *in, RolePathStep *step)
{
	const char *close;

	if (!take(in, "\""))
		return fail(in, "expected a text in double quotes");
	close = strchr(in->p, '"');
	if (!close)
		return fail(in, "a text in double quotes has no end");
	step->text = in->p;
	step->text_len = (size_t) (close - in->p);
	in->p = close + 1;
	return true;
}

static bool
read_int(Reader *in, int *value)
{
	bool		negative = take(in, "-");

	*value = 0;
	if (!is_digit(*in->p))
		return fail(in, "expected a number");
	while (is_digit(*in->p))
	{
		*value = *value * 10 + (*in->p - '0');
		if (*value > ROLE_PATH_INDEX)
			return fail(in, "a number is too large");
		in->p++;
	}
	if (negative)
		*value = -*value;
	return true;
}

static bool
read_key(Reader *in, RolePathStep *step)
{
	step->kind = ROLE_PATH_KEY;
	if (*in->p == '"')
		return read_string(in, step);
	step->text = in->p;
	while (is_key_char(*in->p))
		in->p++;
	step->text_len = (size_t) (in->p - step->text);
	return step->text_len > 0 || fail(in, "expected a name, in double quotes unless it is of letters, digits, _, $ and @ alone");
}

/* Behind "[?(@" */
static bool
read_comparison(Reader *in, RolePathStep *step)
{
	/* "==^" before "==", which it begins with */
	static const struct
	{
		const char *word;
		RolePathKind kind;
	}			operators[] = {
		{"==^", ROLE_PATH_ENDS}, {"==", ROLE_PATH_EQUAL}, {"!=", ROLE_PATH_NOT_EQUAL},
		{"^==", ROLE_PATH_BEGINS}, {"*==", ROLE_PATH_CONTAINS}
	};
	size_t		i = 0;

	while (take(in, " "))
		;
	while (i < sizeof(operators) / sizeof(operators[0]) && !take(in, operators[i].word))
		i++;
	if (i == sizeof(operators) / sizeof(operators[0]))
		return fail(in, "expected one of ==, !=, ^==, ==^ and *==");
	step->kind = operators[i].kind;
	while (take(in, " "))
		;
	if (!read_string(in, step))
		return false;
	return take(in, ")]") || fail(in, "expected \")]\"");
}

/* Behind "[" */
static bool
read_bracket(Reader *in, RolePathStep *step)
{
	if (take(in, "?(@"))
		return read_comparison(in, step);
	if (*in->p != ':' && !read_int(in, &step->from))
		return false;
	if (!take(in, ":"))
	{
		step->kind = ROLE_PATH_INDEX_OF;
		return (step->from >= 0 && take(in, "]")) || fail(in, "expected an index, from 0 on, and \"]\"");
	}
	step->kind = ROLE_PATH_SLICE;
	step->to_end = *in->p == ']';
	if (!step->to_end && !read_int(in, &step->to))
		return false;
	return take(in, "]") || fail(in, "expected \"]\"");
}

static bool
read_step(Reader *in, RolePath *out)
{
	RolePathStep *step = &out->step[out->n];

	if (out->n == ROLE_PATH_STEPS)
		return fail(in, "more than 16 steps");
	memset(step, 0, sizeof(*step));
	if (take(in, "."))
	{
		if (!read_key(in, step))
			return false;
	}
	else if (!take(in, "["))
		return fail(in, "expected \".\" or \"[\"");
	else if (!read_bracket(in, step))
		return false;
	if (out->n > 0 && out->step[out->n - 1].kind == ROLE_PATH_SLICE && step->kind != ROLE_PATH_SLICE)
		return fail(in, "a slice is a text, which has no members");
	out->n++;
	return true;
}

const char *
role_path_parse(const char *path, RolePath *out, size_t *at)
{
	Reader		in = {path, path, NULL};

	out->n = 0;
	do
	{
		if (!read_step(&in, out))
			break;
	} while (*in.p != '\0');
	*at = (size_t) (in.p - in.start);
	return in.error;
}

bool
role_path_matches(const RolePathStep *step, const char *s, size_t len)
{
	const char *text = step->text;
	size_t		n = step->text_len;

	switch (step->kind)
	{
		case ROLE_PATH_EQUAL:
			return len == n && memcmp(s, text, n) == 0;
		case ROLE_PATH_NOT_EQUAL:
			return len != n || memcmp(s, text, n) != 0;
		case ROLE_PATH_BEGINS:
			return len >= n && memcmp(s, text, n) == 0;
		case ROLE_PATH_ENDS:
			return len >= n && memcmp(s + len - n, text, n) == 0;
		case ROLE_PATH_CONTAINS:
			return n == 0 || memmem(s, len, text, n) != NULL;
		default:
			return false;
	}
}

static bool
begins_character(char c)
{
	return ((unsigned char) c & 0xC0) != 0x80;
}

/* The byte where character number i begins, counted from the end where it is negative. */
static size_t
byte_of(const char *s, size_t len, int i)
{
	size_t		at = i < 0 ? len : 0;

	for (; i < 0 && at > 0; i++)
	{
		do
			at--;
		while (at > 0 && !begins_character(s[at]));
	}
	for (; i > 0 && at < len; i--)
	{
		do
			at++;
		while (at < len && !begins_character(s[at]));
	}
	return at;
}

size_t
role_path_slice(const RolePathStep *step, const char *s, size_t len, size_t *at)
{
	size_t		end = step->to_end ? len : byte_of(s, len, step->to);

	*at = byte_of(s, len, step->from);
	return end > *at ? end - *at : 0;
}
