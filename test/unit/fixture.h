/*
 * fixture.h
 *	  What tests of kernels share: seeded random numbers, memory with guards on
 *	  both sides, and a loop over the forms that this processor can run.
 */
#ifndef TEST_FIXTURE_H
#define TEST_FIXTURE_H

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/vec/cpu.h"
#include "tap.h"

/* ---- random numbers: splitmix64 ---- */

static uint64_t random_state;

/* Seed from TEST_SEED, or 1; printed so that a failure can be repeated. */
static inline void
random_begin(void)
{
	const char *given = getenv("TEST_SEED");
	uint64_t	seed = given ? strtoull(given, NULL, 0) : 1;

	diag("seed %" PRIu64 " (TEST_SEED sets another)", seed);
	random_state = seed;
}

static inline uint64_t
random_bits(void)
{
	uint64_t	z = (random_state += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* 0 .. n-1 */
static inline int
random_below(int n)
{
	return (int) ((random_bits() >> 33) % (uint64_t) n);
}

/* [0, 1) */
static inline double
random_unit(void)
{
	return (double) (random_bits() >> 11) * 0x1p-53;
}

/* Standard normal (Box and Muller) */
static inline double
random_normal(void)
{
	return sqrt(-2 * log(1 - random_unit())) * cos(2 * M_PI * random_unit());
}

/* ---- guarded memory ---- */

/*
 * A region between two pages that fault on any access.  A kernel that touches
 * one byte before data at the start, or one past data at the end, dies; the
 * sanitizers alone do not see masked vector loads.
 */
typedef struct Guarded
{
	uint8_t    *start;
	size_t		size;
} Guarded;

static inline Guarded
guarded_new(size_t at_least)
{
	size_t		page = (size_t) sysconf(_SC_PAGESIZE);
	Guarded		self;
	uint8_t    *map;

	self.size = (at_least + page - 1) / page * page;
	map = mmap(NULL, self.size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED || mprotect(map + page, self.size, PROT_READ | PROT_WRITE) != 0)
	{
		perror("guarded memory");
		exit(2);
	}
	self.start = map + page;
	return self;
}

/* The last `bytes` of the region */
static inline void *
guarded_at_end(Guarded self, size_t bytes)
{
	return self.start + self.size - bytes;
}

/* A copy of data that ends where the region ends, or starts where it starts */
static inline void *
guarded_copy(Guarded self, bool at_end, const void *data, size_t bytes)
{
	void	   *place = at_end ? guarded_at_end(self, bytes) : self.start;

	/* a mistake of the test's */
	if (bytes > PTRDIFF_MAX || bytes > self.size)
		abort();
	if (bytes > 0)
		memcpy(place, data, bytes);
	return place;
}

/* ---- forms ---- */

#define FOR_EACH_LEVEL(level) \
	for (int level = CPU_SCALAR; \
		 level <= (int) cpu_level() && (cpu_level_limit((CpuLevel) level), true); \
		 level++)

/* Says what was not run: a machine without AVX-512 tests less. */
static inline void
report_levels(void)
{
	diag("best form here: %s", cpu_level_names[cpu_level()]);
}

static inline void *
must_alloc(size_t bytes)
{
	void	   *p = malloc(bytes > 0 ? bytes : 1);

	if (p == NULL)
	{
		perror("malloc");
		exit(2);
	}
	return p;
}

#endif							/* TEST_FIXTURE_H */
