/*
 * contain.c
 *	  A handler of SIGABRT that stops a thread instead of the process.
 */
#include "sync/contain.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 64
#define PATIENCE_MS 60000
#define STEP_MS 50

struct Containment
{
	_Atomic bool used;
	_Atomic int tid;			/* 0: none yet */
	_Atomic bool aborted;
	_Atomic bool acknowledged;	/* the owner knows */
};

static Containment slots[SLOTS];
static int	slots_used;			/* changed by owners only, who share one thread */
static struct sigaction before;

static void
on_abort(int signo)
{
	int			tid = (int) syscall(SYS_gettid);
	struct timespec step = {0, STEP_MS * 1000000L};

	for (int i = 0; i < SLOTS; i++)
	{
		Containment *self = &slots[i];

		if (!atomic_load(&self->used) || atomic_load(&self->tid) != tid)
			continue;
		atomic_store(&self->aborted, true);
		for (int waited = 0; waited < PATIENCE_MS || atomic_load(&self->acknowledged); waited += STEP_MS)
		{
			if (atomic_load(&self->acknowledged))
				step = (struct timespec) {3600, 0};
			nanosleep(&step, NULL);
		}
		break;
	}
	/* Pending until we return, whether abort() or kill() sent the first. */
	sigaction(SIGABRT, &before, NULL);
	raise(signo);
}

Containment *
contain_new(void)
{
	struct sigaction action = {.sa_handler = on_abort};

	for (int i = 0; i < SLOTS; i++)
	{
		Containment *self = &slots[i];

		if (atomic_load(&self->used))
			continue;
		if (slots_used == 0)
		{
			sigfillset(&action.sa_mask);
			if (sigaction(SIGABRT, &action, &before) != 0)
				return NULL;
		}
		slots_used++;
		atomic_store(&self->tid, 0);
		atomic_store(&self->aborted, false);
		atomic_store(&self->acknowledged, false);
		atomic_store(&self->used, true);
		return self;
	}
	return NULL;
}

void
contain_this_thread(Containment *self)
{
	sigset_t	set;

	sigemptyset(&set);
	sigaddset(&set, SIGABRT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	atomic_store(&self->tid, (int) syscall(SYS_gettid));
}

bool
contain_active(const Containment *self)
{
	return atomic_load(&self->tid) != 0;
}

bool
contain_aborted(const Containment *self)
{
	return atomic_load(&self->aborted);
}

void
contain_free(Containment **self)
{
	Containment *slot = *self;

	*self = NULL;
	if (slot == NULL)
		return;
	if (atomic_load(&slot->aborted))
	{
		atomic_store(&slot->acknowledged, true);
		return;
	}
	atomic_store(&slot->used, false);
	if (--slots_used == 0)
		sigaction(SIGABRT, &before, NULL);
}
