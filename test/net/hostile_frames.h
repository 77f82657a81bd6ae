/*
 * hostile_frames.h
 *	  What hostile.c does that means harm: floods of statements, frames, datagrams and
 *	  connections that nobody should send.  Each is an action of its own, with the text
 *	  behind the "=".
 */
#ifndef TEST_NET_HOSTILE_FRAMES_H
#define TEST_NET_HOSTILE_FRAMES_H

extern void do_flood(const char *argument);
extern void do_replay(const char *argument);
extern void do_frames(const char *argument);
extern void do_paced(const char *argument);
extern void do_datagrams(const char *argument);
extern void do_raw(const char *argument);
extern void do_silent(const char *argument);
extern void do_peers(const char *argument);

#endif							/* TEST_NET_HOSTILE_FRAMES_H */
