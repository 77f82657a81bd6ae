/*
 * level_test.c
 *	  The form that is chosen is the best that this processor has, which BEST_FORM
 *	  names, and tests can go back to each of those before it.
 */
#include "fixture.h"

int
main(void)
{
	const char *best = getenv("BEST_FORM");
	const char *found = cpu_level_names[cpu_level_in_force()];

	if (!ok(best != NULL && strcmp(found, best) == 0, "the best form is in force"))
		diag("%s, not %s", found, best != NULL ? best : "(BEST_FORM is not set)");
	FOR_EACH_LEVEL(level)
		ok(cpu_level_in_force() == (CpuLevel) level, "limited to %s", cpu_level_names[level]);
	return tap_done();
}
