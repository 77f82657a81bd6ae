/*
 * assert.c
 *	  The end of a program whose assertion failed.
 */
#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>

void
core_assert_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
	fflush(stderr);
	abort();
}
