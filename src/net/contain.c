/*
 * contain.c
 *	  A handler of SIGABRT that stops a thread, or leaves a call, instead of
 *	  ending the process.
 *
 * What the handler touches is static and atomic, or belongs to the thread that
 * it runs on; what it calls is async-signal-safe.
 */
#include "net/contain.h"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <sodium.h>

#define SLOTS 64
#define THREADS 4				/* of a context of libzmq: its reaper, its I/O thread */
#define OTHERS 256				/* threads of the process that are not ours */
#define PATIENCE_MS 15000
#define STEP_MS 20

struct Containment
{
	bool		used;			/* known to the owner only */
	_Atomic int tids[THREADS];	/* 0: none */
	_Atomic bool aborted;
	_Atomic bool acknowledged;	/* the owner knows */
};

static Containment slots[SLOTS];
static int	slots_used;
static struct sigaction before;
static _Atomic int owner;		/* its thread */
static ContainFrame *volatile current;	/* of the owner */

static int	others[OTHERS];
static int	n_others;

static int
this_thread(void)
{
	return (int) syscall(SYS_gettid);
}

static Containment *
containment_of(int tid)
{
	for (int i = 0; i < SLOTS; i++)
		for (int j = 0; j < THREADS; j++)
			if (atomic_load(&slots[i].tids[j]) == tid)
				return &slots[i];
	return NULL;
}

static void
on_abort(int signo, siginfo_t *info, void *context)
{
	int			tid = this_thread();
	bool		ours = info->si_code == SI_TKILL && info->si_pid == getpid();

	if (ours && tid == atomic_load(&owner))
	{
		ContainFrame *frame = current;

		if (frame != NULL)
		{
			current = frame->outer;
			atomic_store(&frame->containment->aborted, true);
			/* abort() holds nothing while it raises the signal */
			pthread_sigmask(SIG_SETMASK, &((ucontext_t *) context)->uc_sigmask, NULL);
			siglongjmp(frame->escape, 1);
		}
	}
	else if (ours)
	{
		Containment *self = containment_of(tid);
		struct timespec step = {0, STEP_MS * 1000000L};

		if (self != NULL)
		{
			atomic_store(&self->aborted, true);
			for (int waited = 0; waited < PATIENCE_MS || atomic_load(&self->acknowledged); waited += STEP_MS)
			{
				if (atomic_load(&self->acknowledged))
					step = (struct timespec) {3600, 0};
				nanosleep(&step, NULL);
			}
		}
	}
	/* Pending until we return, whether abort() or kill() sent the first. */
	sigaction(signo, &before, NULL);
	raise(signo);
}

Containment *
contain_new(void)
{
	struct sigaction action = {.sa_sigaction = on_abort, .sa_flags = SA_SIGINFO};

	for (int i = 0; i < SLOTS; i++)
	{
		Containment *self = &slots[i];

		if (self->used)
			continue;
		atomic_store(&owner, this_thread());	/* the same always, but after a fork */
		if (slots_used == 0)
		{
			current = NULL;
			sigfillset(&action.sa_mask);
			if (sigaction(SIGABRT, &action, &before) != 0)
				return NULL;
		}
		slots_used++;
		for (int j = 0; j < THREADS; j++)
			atomic_store(&self->tids[j], 0);
		atomic_store(&self->aborted, false);
		atomic_store(&self->acknowledged, false);
		self->used = true;
		return self;
	}
	return NULL;
}

/* The threads of the process that are not in others[]; -1: cannot tell, or more than room. */
static int
threads(int *tids, int room)
{
	DIR		   *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int			n = 0;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL)
	{
		int			tid = atoi(entry->d_name);
		bool		known = false;

		for (int i = 0; i < n_others && !known; i++)
			known = others[i] == tid;
		if (tid == 0 || known)
			continue;
		if (n == room)
		{
			n = -1;
			break;
		}
		tids[n++] = tid;
	}
	closedir(dir);
	return n;
}

bool
contain_threads_begin(Containment *self)
{
	int			found[OTHERS];
	int			n;

	n_others = 0;
	n = threads(found, OTHERS);
	if (n < 0)
		return false;
	memcpy(others, found, sizeof(int) * (size_t) n);
	n_others = n;
	return true;
}

bool
contain_threads_end(Containment *self)
{
	int			found[THREADS];
	int			n = threads(found, THREADS);

	for (int i = 0; i < n; i++)
		atomic_store(&self->tids[i], found[i]);
	return n > 0;
}

bool
contain_aborted(Containment *self)
{
	if (self == NULL || !atomic_load(&self->aborted))
		return false;
	atomic_store(&self->acknowledged, true);
	return true;
}

void
contain_free(Containment **pointer)
{
	Containment *self = *pointer;

	*pointer = NULL;
	if (self == NULL || contain_aborted(self))
		return;
	for (int j = 0; j < THREADS; j++)
		atomic_store(&self->tids[j], 0);
	self->used = false;
	if (--slots_used == 0)
		sigaction(SIGABRT, &before, NULL);
}

void
contain_enter(Containment *self, ContainFrame *frame)
{
	frame->containment = self;
	frame->outer = current;
	if (self != NULL)
		current = frame;
}

void
contain_leave(ContainFrame *frame)
{
	if (frame->containment != NULL)
		current = frame->outer;
}

ContainFrame *
contain_suspend(void)
{
	ContainFrame *frame = current;

	current = NULL;
	return frame;
}

void
contain_resume(ContainFrame *frame)
{
	if (frame != NULL && contain_aborted(frame->containment))
	{
		/* in a call from there */
		current = frame->outer;
		siglongjmp(frame->escape, 1);
	}
	current = frame;
}

/* ---- keys of low order ---- */

__attribute__((visibility("default")))
int
crypto_box_beforenm(unsigned char *k, const unsigned char *pk, const unsigned char *sk)
{
	if (crypto_box_curve25519xsalsa20poly1305_beforenm(k, pk, sk) != 0)
		randombytes_buf(k, crypto_box_BEFORENMBYTES);
	return 0;
}

bool
contain_shields_keys(void)
{
	union
	{
		void	   *symbol;
		int			(*function) (unsigned char *, const unsigned char *, const unsigned char *);
	}			seen = {.symbol = dlsym(RTLD_DEFAULT, "crypto_box_beforenm")};

	return seen.function == crypto_box_beforenm;
}
