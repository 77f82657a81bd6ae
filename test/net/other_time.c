/*
 * other_time.c
 *	  Loaded before libc (LD_PRELOAD): the time of day of a program is off by OTHER_TIME
 *	  milliseconds.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int
clock_gettime(clockid_t clock, struct timespec *out)
{
	static int (*real) (clockid_t clock, struct timespec *out);
	const char *off = getenv("OTHER_TIME");
	int			result;

	if (real == NULL)
		*(void **) &real = dlsym(RTLD_NEXT, "clock_gettime");
	result = real(clock, out);
	if (result == 0 && clock == CLOCK_REALTIME && off != NULL)
		out->tv_sec += atol(off) / 1000;
	return result;
}
