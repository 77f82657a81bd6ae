/*
 * other_time.c
 *	  Loaded before libc (LD_PRELOAD): the time of day of a program is off by OTHER_TIME
 *	  milliseconds, or by as many as the first eight bytes of the file OTHER_TIME_FILE say
 *	  (an int64 of this machine), which may change while the program runs.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t fixed_ms;
static const volatile int64_t *off_ms = &fixed_ms;
static int	(*real) (clockid_t clock, struct timespec *out);

__attribute__((constructor)) static void
begin(void)
{
	const char *fixed = getenv("OTHER_TIME");
	const char *path = getenv("OTHER_TIME_FILE");
	int			file;

	*(void **) &real = dlsym(RTLD_NEXT, "clock_gettime");
	fixed_ms = fixed == NULL ? 0 : atol(fixed);
	if (path == NULL)
		return;
	file = open(path, O_RDONLY | O_CLOEXEC);
	off_ms = mmap(NULL, sizeof(*off_ms), PROT_READ, MAP_SHARED, file, 0);
	if (off_ms == MAP_FAILED)
		abort();
	close(file);
}

int
clock_gettime(clockid_t clock, struct timespec *out)
{
	int			result;
	int64_t		ms;

	/* another library may ask for the time before begin() has run */
	if (real == NULL)
		begin();
	result = real(clock, out);
	if (result != 0 || clock != CLOCK_REALTIME)
		return result;
	ms = out->tv_sec * INT64_C(1000) + out->tv_nsec / 1000000 + *off_ms;
	out->tv_sec = ms / 1000;
	out->tv_nsec = ms % 1000 * 1000000 + out->tv_nsec % 1000000;
	return 0;
}

int
gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	(void) zone;
	clock_gettime(CLOCK_REALTIME, &now);
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
