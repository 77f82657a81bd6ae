/*
 * contain.c
 *	  A handler of SIGABRT that stops a thread, or leaves a call, instead of
 *	  ending the process.
 *
 * What the handler touches is static and atomic, or belongs to the thread that
 * it runs on; what it calls is async-signal-safe.
 */
#include "sync/contain.h"

#include <dirent.h>
#include <elf.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* Stands before libsodium's of the name, which fails then. */
static int
beforenm(unsigned char *k, const unsigned char *pk, const unsigned char *sk)
{
	if (crypto_box_beforenm(k, pk, sk) != 0)
		randombytes_buf(k, crypto_box_BEFORENMBYTES);
	return 0;
}

#if __ELF_NATIVE_CLASS == 64

#define RELOCATION_SYMBOL(r) ELF64_R_SYM((r)->r_info)

/* Put beforenm into this slot of libzmq's table of functions, which is write-protected by now. */
static bool
put_into(uintptr_t at, bool read_only)
{
	uintptr_t	page = (uintptr_t) sysconf(_SC_PAGESIZE);
	void	   *start = (void *) (at & ~(page - 1));
	_Atomic uintptr_t *slot = (_Atomic uintptr_t *) at;

	if (atomic_load(slot) == (uintptr_t) beforenm)
		return true;
	if (mprotect(start, page, PROT_READ | PROT_WRITE) != 0)
		return false;
	atomic_store(slot, (uintptr_t) beforenm);
	if (read_only)
		mprotect(start, page, PROT_READ);
	return true;
}

static int
look_for_libzmq(struct dl_phdr_info *info, size_t size, void *found)
{
	const char *name = strrchr(info->dlpi_name, '/');
	const ElfW(Dyn) *dynamic = NULL;
	const ElfW(Sym) *symbols = NULL;
	const char *strings = NULL;
	const ElfW(Rela) *tables[2] = {NULL, NULL};
	size_t		bytes[2] = {0, 0};
	uintptr_t	protect_from = 0;
	uintptr_t	protect_to = 0;

	if (name == NULL || strncmp(name, "/libzmq.so", 10) != 0)
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++)
	{
		const ElfW(Phdr) *header = &info->dlpi_phdr[i];

		if (header->p_type == PT_DYNAMIC)
			dynamic = (const ElfW(Dyn) *) (info->dlpi_addr + header->p_vaddr);
		else if (header->p_type == PT_GNU_RELRO)
		{
			protect_from = info->dlpi_addr + header->p_vaddr;
			protect_to = protect_from + header->p_memsz;
		}
	}
	for (; dynamic != NULL && dynamic->d_tag != DT_NULL; dynamic++)
	{
		uintptr_t	at = dynamic->d_un.d_ptr;

		/* some machines leave these as they are in the file */
		if (at < info->dlpi_addr)
			at += info->dlpi_addr;
		if (dynamic->d_tag == DT_SYMTAB)
			symbols = (const ElfW(Sym) *) at;
		else if (dynamic->d_tag == DT_STRTAB)
			strings = (const char *) at;
		else if (dynamic->d_tag == DT_JMPREL)
			tables[0] = (const ElfW(Rela) *) at;
		else if (dynamic->d_tag == DT_PLTRELSZ)
			bytes[0] = dynamic->d_un.d_val;
		else if (dynamic->d_tag == DT_RELA)
			tables[1] = (const ElfW(Rela) *) at;
		else if (dynamic->d_tag == DT_RELASZ)
			bytes[1] = dynamic->d_un.d_val;
	}
	if (symbols == NULL || strings == NULL)
		return 0;
	for (int t = 0; t < 2; t++)
		for (size_t i = 0; tables[t] != NULL && i < bytes[t] / sizeof(ElfW(Rela)); i++)
		{
			const ElfW(Rela) *relocation = &tables[t][i];
			uintptr_t	slot = info->dlpi_addr + relocation->r_offset;

			if (RELOCATION_SYMBOL(relocation) != 0 &&
				strcmp(strings + symbols[RELOCATION_SYMBOL(relocation)].st_name, "crypto_box_beforenm") == 0)
				*(bool *) found = put_into(slot, slot >= protect_from && slot < protect_to);
		}
	return 1;
}

bool
contain_low_order_keys(void)
{
	bool		found = false;

	dl_iterate_phdr(look_for_libzmq, &found);
	return found;
}

#else

bool
contain_low_order_keys(void)
{
	return false;
}

#endif
