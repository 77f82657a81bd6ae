/*
 * assert_test.c
 *	  CORE_ASSERT where it is on, as in all programs of this folder.
 */
#include "core/assert.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

/* Run CORE_ASSERT(holds) in a child.  Returns its wait status, and in said what it printed. */
static int
assert_in_child(bool holds, char said[512])
{
	int			ends[2];
	int			status;
	size_t		length = 0;
	ssize_t		n;
	pid_t		child;

	if (pipe(ends) != 0 || (child = fork()) < 0)
		abort();
	if (child == 0)
	{
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		signal(SIGABRT, SIG_DFL);
		CORE_ASSERT(holds);
		_exit(0);
	}
	close(ends[1]);
	while (length < 511 && (n = read(ends[0], said + length, 511 - length)) > 0)
		length += (size_t) n;
	said[length] = '\0';
	close(ends[0]);
	if (waitpid(child, &status, 0) != child)
		abort();
	return status;
}

int
main(void)
{
	char		said[512];
	int			status = assert_in_child(true, said);

	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0 && said[0] == '\0', "a condition that holds is passed in silence");
	status = assert_in_child(false, said);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "one that does not hold aborts");
	ok(strstr(said, "assert_test.c:") != NULL && strstr(said, ": assertion failed: holds\n") != NULL,
	   "with file, line and condition");
	return tap_done();
}
