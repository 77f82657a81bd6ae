/*
 * assert.h
 *	  CORE_ASSERT(condition): what must hold whatever comes from outside.
 *
 * It stands for PostgreSQL's Assert in what is compiled without PostgreSQL:
 * src/core and src/net.  Where CORE_ASSERTIONS is defined, a condition that does
 * not hold is printed with its file and line, and the program aborts.  Elsewhere
 * the condition is compiled, so that its variables count as used, and never
 * evaluated.  CORE_ASSERTIONS is defined in unit tests, fuzzers and simulators,
 * and in a build for a PostgreSQL that was configured with --enable-cassert.
 *
 * Bytes from disk or network are checked by code that always runs, never by this.
 * A condition has no side effects.
 */
#ifndef CORE_ASSERT_H
#define CORE_ASSERT_H

#include <stdbool.h>

#ifdef CORE_ASSERTIONS
#define CORE_ASSERT(condition) \
	((condition) ? (void) 0 : core_assert_failed(__FILE__, __LINE__, #condition))
#else
#define CORE_ASSERT(condition) ((void) (true || (condition)))
#endif

extern void core_assert_failed(const char *file, int line, const char *condition)
	__attribute__((noreturn, cold));

#endif							/* CORE_ASSERT_H */
