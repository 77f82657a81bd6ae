/*
 * reasons.h
 *	  The statements that show that somebody is a member, or why it is none any more.
 */
#ifndef CORE_REASONS_H
#define CORE_REASONS_H

#include "core/net/membership.h"

#define REASONS_MAX 64

/*
 * Revocations of key[32] and of the admins by whose grants it was in, and of those by whose
 * grants these were, and what makes their issuers admins: in the order of their depth, so
 * that another set can add them; those of key[32] itself have room first.  As of when it was
 * last asked who is a member.  Returns how many are in out[REASONS_MAX]; good until the set changes.
 */
extern int	membership_reasons(const Membership *self, const uint8_t key[CORE_KEY_BYTES],
							   const MembershipEntry **out);

/*
 * What makes key[32] a member, to one that has not heard of it: its grants, the last
 * revocation of itself, and what makes their issuers admins; otherwise as above.
 */
extern int	membership_proof(const Membership *self, const uint8_t key[CORE_KEY_BYTES],
							 const MembershipEntry **out);

#endif							/* CORE_REASONS_H */
