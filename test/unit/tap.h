/*
 * tap.h
 *	  Writes the Test Anything Protocol.  One program includes it once.
 *
 * ok() for every named assertion, diag() for what a reader of a failure needs,
 * and `return tap_done();` at the end of main, which prints the plan.  A
 * program that dies on the way prints no plan, and so fails.
 */
#ifndef TEST_TAP_H
#define TEST_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int	tap_count;
static int	tap_failed;

static inline bool __attribute__((format(printf, 2, 3)))
ok(bool pass, const char *name, ...)
{
	va_list		args;

	printf("%s %d - ", pass ? "ok" : "not ok", ++tap_count);
	va_start(args, name);
	vprintf(name, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	if (!pass)
		tap_failed++;
	return pass;
}

static inline void __attribute__((format(printf, 1, 2)))
diag(const char *format, ...)
{
	va_list		args;

	printf("# ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

static inline int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed == 0 ? 0 : 1;
}

#endif							/* TEST_TAP_H */
