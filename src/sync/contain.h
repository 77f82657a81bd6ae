/*
 * contain.h
 *	  Keeps an abort() in a thread of libzmq from taking the process with it.
 *
 * libzmq calls abort() when it meets what its authors thought impossible, and
 * some of that a peer can bring about (README.md, "Traps").  In a background
 * worker an abort restarts the whole server.  So SIGABRT has a handler: a thread
 * that was put under containment stops for ever inside it, touching nothing, and
 * its owner finds out by contain_aborted(), leaves what that thread worked on
 * where it is and starts anew.  Aborts of all other threads, the main one above
 * all, do what they did before.
 *
 * When nobody has asked within a minute the owner is thought to wait for a lock
 * that the stopped thread holds, and the abort takes its course.
 *
 * Async-signal-safe throughout; slots are static and few.
 */
#ifndef SYNC_CONTAIN_H
#define SYNC_CONTAIN_H

#include <stdbool.h>

typedef struct Containment Containment;

/* NULL when all slots are taken, or the handler cannot be installed. */
extern Containment *contain_new(void);

/* The thread that calls this is contained from now on; SIGABRT is unblocked in it. */
extern void contain_this_thread(Containment *self);

/* Has a thread been contained? */
extern bool contain_active(const Containment *self);

/* Has it aborted? */
extern bool contain_aborted(const Containment *self);

/*
 * Give the slot back.  If the thread has aborted it is left to stand still until
 * the process ends, and the slot with it.
 */
extern void contain_free(Containment **self);

#endif							/* SYNC_CONTAIN_H */
