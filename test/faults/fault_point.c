/*
 * fault_point.c
 *	  What happens at a fault point (src/fault_point.h).  Linked into the libraries that
 *	  test/t/057_rows_kill.pl builds for its servers, and into no other.
 *
 * A file "fault" in the data directory arms one point:
 *
 *	  NAME process|server PASS
 *
 * Whoever passes it writes a byte to "fault.passes"; the one that makes it PASS bytes long
 * renames "fault" to "fault.hit", and dies by SIGKILL.  So does, with "server", every other
 * process: nothing is written any more that is not in a file yet.
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "fault_point.h"
#include "miscadmin.h"
#include "storage/proc.h"

/* Is this point armed?  Then at which pass, and how much dies. */
static bool
is_armed(const char *name, bool *server, int *pass)
{
	char		line[128];
	char		armed[64];
	char		what[16];
	int			fd = open("fault", O_RDONLY);
	ssize_t		n;

	if (fd < 0)
		return false;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n <= 0)
		return false;
	line[n] = '\0';
	if (sscanf(line, "%63s %15s %d", armed, what, pass) != 3 || strcmp(armed, name) != 0)
		return false;
	*server = strcmp(what, "server") == 0;
	return true;
}

/* The number of this pass. */
static int
count_pass(void)
{
	int			fd = open("fault.passes", O_WRONLY | O_APPEND | O_CREAT, 0600);
	off_t		end = 0;

	if (fd < 0)
		return 0;
	if (write(fd, ".", 1) == 1)
		end = lseek(fd, 0, SEEK_CUR);
	close(fd);
	return (int) end;
}

void
VecdbFaultPoint(const char *name)
{
	int			save_errno = errno;
	bool		server;
	int			pass;

	if (is_armed(name, &server, &pass) && count_pass() >= pass && rename("fault", "fault.hit") == 0)
	{
		if (server)
			kill(PostmasterPid, SIGKILL);
		for (uint32 i = 0; server && i < ProcGlobal->allProcCount; i++)
			if (ProcGlobal->allProcs[i].pid > 0 && ProcGlobal->allProcs[i].pid != MyProcPid)
				kill(ProcGlobal->allProcs[i].pid, SIGKILL);
		kill(MyProcPid, SIGKILL);
		for (;;)
			pause();
	}
	errno = save_errno;
}
