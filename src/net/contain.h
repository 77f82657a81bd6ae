/*
 * contain.h
 *	  Keeps an abort() inside libzmq from taking the process with it.
 *
 * libzmq calls abort() when it meets what its authors thought impossible, and
 * some of that a peer can bring about (README.md).  In a background worker an
 * abort restarts the whole server; an exit with status 1 restarts nothing.  So
 * SIGABRT has a handler while somebody is contained:
 *
 * - A thread of libzmq that aborts stops for ever inside the handler, touching
 *	 nothing; its owner finds out by contain_aborted().
 * - The owner's own thread that aborts in a call into libzmq, between
 *	 CONTAIN_ENTER() and contain_leave(), comes out of CONTAIN_ENTER() again.
 * - All else, an abort of our own or of PostgreSQL's above all, and a SIGABRT
 *	 from outside, does what it did before.
 *
 * After either, locks of that libzmq context may be held for ever: nothing of it
 * may be called again, and the process should end by exit().  If nobody has asked
 * within a quarter of a minute the owner is thought to wait for such a lock, and
 * the abort takes its course.
 *
 * One trap needs none of this: a server may send a short-term key of low order,
 * and libzmq asserts that it does not.  crypto_box_beforenm() is defined here in
 * front of libsodium's; it makes of such a key a secret that nobody knows, so
 * that the handshake fails.
 */
#ifndef NET_CONTAIN_H
#define NET_CONTAIN_H

#include <setjmp.h>
#include <stdbool.h>

typedef struct Containment Containment;

/* The calling thread is the owner.  NULL when all slots are taken or the handler cannot be installed. */
extern Containment *contain_new(void);

/* The threads that the process gets between these two are contained; false: there were none, or too many. */
extern bool contain_threads_begin(Containment *self);
extern bool contain_threads_end(Containment *self);

/* Has one of them, or the owner in a call, aborted?  From then on it is the owner's to end the process. */
extern bool contain_aborted(Containment *self);

/*
 * Give the slot back.  If something has aborted it stays taken until the process
 * ends.  NULL inside is fine.
 */
extern void contain_free(Containment **self);

/*
 * Around calls into libzmq, by the owner:
 *
 *	ContainFrame frame;
 *
 *	if (!CONTAIN_ENTER(self, frame))
 *		return ...;		(it has aborted)
 *	...
 *	contain_leave(&frame);
 *
 * They nest.  Without an owner (NULL) they do nothing.
 */
typedef struct ContainFrame
{
	sigjmp_buf	escape;
	Containment *containment;
	struct ContainFrame *outer;
} ContainFrame;

#define CONTAIN_ENTER(self, frame) (contain_enter(self, &(frame)), sigsetjmp((frame).escape, 0) == 0)

extern void contain_enter(Containment *self, ContainFrame *frame);
extern void contain_leave(ContainFrame *frame);

/*
 * Around a call back to code that is not libzmq's: its aborts are its own.  When
 * it has called into libzmq again and that has aborted, contain_resume() leaves
 * by CONTAIN_ENTER().
 */
extern ContainFrame *contain_suspend(void);
extern void contain_resume(ContainFrame *frame);

/* Does libzmq see our crypto_box_beforenm()?  Not when somebody has loaded libsodium for all before. */
extern bool contain_shields_keys(void);

#endif							/* NET_CONTAIN_H */
