/*
 * jwt_cache.h
 *	  Tokens that were verified, so that the next request with one costs a hash.
 *
 * Plain C: nothing of PostgreSQL.  An entry is found by a keyed hash of 32 bytes of the
 * token, whose key is drawn with the cache, so nobody can make two tokens that have one
 * hash; the token itself is not kept.  Entries lie in sets of eight, of which the one
 * that was not used for longest makes room, so the memory is bounded:
 * an entry is no longer than JWT_MAX_TOKEN and a role.  What an entry stands for is
 * the keys and settings of then: who changes them makes a new cache.
 */
#ifndef VECDB_HTTP_JWT_CACHE_H
#define VECDB_HTTP_JWT_CACHE_H

#include "http/token/jwt.h"

typedef struct JwtCache JwtCache;

/* A cache of about so many tokens, at least 1; NULL: no memory. */
extern JwtCache *jwt_cache_new(int entries);
extern void jwt_cache_free(JwtCache *self);

/*
 * The result of a token that was kept, whose times are still to be checked; NULL: it is
 * not there.  It is the cache's own, until the next call.
 */
extern const JwtResult *jwt_cache_find(JwtCache *self, const char *token, size_t len);

/* Keep a good result; where there is no memory it is not kept. */
extern void jwt_cache_add(JwtCache *self, const char *token, size_t len, const JwtResult *result);

#endif							/* VECDB_HTTP_JWT_CACHE_H */
