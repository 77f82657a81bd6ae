/*
 * incarnation_fixture.h
 *	  A hash under which an incarnation's id is its salt, so that a test can choose ids.
 */
#ifndef TEST_INCARNATION_FIXTURE_H
#define TEST_INCARNATION_FIXTURE_H

#include "core/rows/incarnation.h"

/* The last bytes of what is hashed, and zeros. */
static inline void
salt_is_id(void *context, const uint8_t *message, size_t len, uint8_t hash[CORE_HASH_BYTES])
{
	memset(hash, 0, CORE_HASH_BYTES);
	memcpy(hash, message + len - ROW_INCARNATION_SALT, ROW_INCARNATION_SALT);
}

#endif							/* TEST_INCARNATION_FIXTURE_H */
