/*
 * probe.c
 *	  vecdb-probe: two processes, of which one asks and the other waits and reports.
 */
#include "probe/probe_wire.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#define UDP_PART 0.45			/* of the time, for what is asked by UDP */
#define LATE_MS 300				/* that the child may take to end before it is killed */
#define MEMORY_BYTES ((rlim_t) 256 << 20)	/* of the child: libzmq has no limit for a message of endless parts */

#if defined(__SANITIZE_ADDRESS__)
#define LIMIT_MEMORY false		/* the sanitizer's own is more */
#else
#define LIMIT_MEMORY true
#endif

int64_t
probe_unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

double
probe_tick_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec * 1000 + (double) now.tv_nsec / 1000000;
}

static void
add_target(ProbeReport *report, const ProbeAddress *address)
{
	if (report->n_targets == PROBE_TARGETS || !probe_address_usable(address))
		return;
	report->udp[report->n_targets].address = *address;
	report->tcp[report->n_targets].address = *address;
	report->n_targets++;
}

static void
resolve(const ProbeOptions *options, ProbeReport *report)
{
	struct addrinfo hints = {.ai_family = options->family,.ai_socktype = SOCK_DGRAM,.ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	char		port[8];
	int			status;

	for (int i = 0; options->host[0] == '\0' && i < options->n_addresses; i++)
		add_target(report, &options->addresses[i]);
	if (options->host[0] == '\0')
		return;
	snprintf(port, sizeof port, "%u", options->port);
	status = getaddrinfo(options->host, port, &hints, &found);
	if (status != 0)
	{
		snprintf(report->unresolved, sizeof report->unresolved, "%s", status == EAI_SYSTEM ? strerror(errno) : gai_strerror(status));
		return;
	}
	for (struct addrinfo *at = found; at != NULL; at = at->ai_next)
	{
		ProbeAddress address;

		if (probe_address_of(at->ai_addr, &address))
			add_target(report, &address);
	}
	freeaddrinfo(found);
	if (report->n_targets == 0)
		snprintf(report->unresolved, sizeof report->unresolved, "none where a node can be");
}

/* The child. */
static void
probe(const ProbeOptions *options, double deadline, ProbeReport *report)
{
	ProbeKeys	keys;
	double		now;

	resolve(options, report);
	if (report->unresolved[0] != '\0')
		return;
	probe_make_keys(&keys);
	report->stage = STAGE_ASKING;
	now = probe_tick_ms();
	probe_ask(options, &keys, now + (deadline - now) * UDP_PART, report);
	report->stage = STAGE_GREETING;
	report->has_key = report->answer_bytes > 0 || options->has_key;
	memcpy(report->key, report->answer_bytes > 0 ? report->udp_record.curve_key : options->key, 32);
	probe_greet(options, &keys, deadline, report);
	report->stage = STAGE_DONE;
	sodium_memzero(&keys, sizeof keys);
}

static void
limit_child(pid_t parent)
{
	struct rlimit none = {0, 0};
	struct rlimit memory = {MEMORY_BYTES, MEMORY_BYTES};

	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(OUTCOME_FAILED);
	(void) setrlimit(RLIMIT_CORE, &none);
	if (LIMIT_MEMORY)
		(void) setrlimit(RLIMIT_DATA, &memory);
}

/* The signal by which the child has ended; 0: none, or its time was over and it was ours. */
static int
end_of(pid_t child, int fd, double deadline)
{
	struct pollfd end = {.fd = fd,.events = POLLIN};
	int			status = 0;
	bool		ended = false;

	/* its end of the pipe is closed when it ends */
	for (double now = probe_tick_ms(); now < deadline && !ended; now = probe_tick_ms())
		ended = poll(&end, 1, (int) (deadline - now) + 1) > 0;
	if (!ended)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return ended && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int
main(int argc, char **argv)
{
	ProbeOptions options;
	ProbeReport *report;
	ProbeOutcome outcome;
	char		message[1024];
	double		deadline;
	pid_t		parent = getpid();
	pid_t		child;
	int			ends[2];
	int			died_of;

	if (sodium_init() < 0)
	{
		fputs("vecdb-probe: libsodium could not be started\n", stderr);
		return OUTCOME_FAILED;
	}
	probe_options(argc, argv, &options);
	deadline = probe_tick_ms() + options.timeout_ms;
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED || pipe(ends) != 0 || (child = fork()) < 0)
	{
		fprintf(stderr, "vecdb-probe: could not start: %s\n", strerror(errno));
		return OUTCOME_FAILED;
	}
	if (child == 0)
	{
		close(ends[0]);
		limit_child(parent);
		probe(&options, deadline, report);
		return OUTCOME_OK;
	}
	close(ends[1]);
	died_of = end_of(child, ends[0], deadline + LATE_MS);
	outcome = probe_verdict(&options, report, died_of, message, sizeof message);
	probe_print(&options, report, outcome, message);
	if (fflush(stdout) != 0)
		return OUTCOME_FAILED;
	return (int) outcome;
}
