/*
 * jwt_cache.c
 *	  Tokens that were verified.
 */
#include "http/token/jwt_cache.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8
#define HASH_BYTES 32

typedef struct Entry
{
	unsigned char hash[HASH_BYTES];
	uint64_t	used;			/* the later the greater; 0: the entry is free */
	JwtResult	result;
} Entry;

struct JwtCache
{
	unsigned char key[crypto_generichash_KEYBYTES];
	uint64_t	uses;
	size_t		nsets;
	Entry		entry[];		/* nsets * WAYS */
};

JwtCache *
jwt_cache_new(int entries)
{
	size_t		nsets = ((size_t) entries + WAYS - 1) / WAYS;
	JwtCache   *self = calloc(1, sizeof(*self) + nsets * WAYS * sizeof(Entry));

	if (!self)
		return NULL;
	self->nsets = nsets;
	randombytes_buf(self->key, sizeof(self->key));
	return self;
}

void
jwt_cache_free(JwtCache *self)
{
	for (size_t i = 0; self && i < self->nsets * WAYS; i++)
		free(self->entry[i].result.role);
	free(self);
}

/* The set where a token belongs, and its hash. */
static Entry *
set_of(const JwtCache *self, const char *token, size_t len, unsigned char *hash)
{
	uint64_t	number;

	crypto_generichash(hash, HASH_BYTES, (const unsigned char *) token, len, self->key, sizeof(self->key));
	memcpy(&number, hash, sizeof(number));
	return (Entry *) &self->entry[number % self->nsets * WAYS];
}

const JwtResult *
jwt_cache_find(JwtCache *self, const char *token, size_t len)
{
	unsigned char hash[HASH_BYTES];
	Entry	   *set = set_of(self, token, len, hash);

	for (int i = 0; i < WAYS; i++)
	{
		if (set[i].used != 0 && memcmp(set[i].hash, hash, HASH_BYTES) == 0)
		{
			set[i].used = ++self->uses;
			return &set[i].result;
		}
	}
	return NULL;
}

void
jwt_cache_add(JwtCache *self, const char *token, size_t len, const JwtResult *result)
{
	unsigned char hash[HASH_BYTES];
	Entry	   *set = set_of(self, token, len, hash);
	Entry	   *oldest = set;
	size_t		size = result->role_len + 1 + result->claims_len + 1;
	char	   *copy = malloc(size);

	if (!copy)
		return;
	memcpy(copy, result->role, size);
	for (int i = 1; i < WAYS; i++)
	{
		if (set[i].used < oldest->used)
			oldest = &set[i];
	}
	free(oldest->result.role);
	memcpy(oldest->hash, hash, HASH_BYTES);
	oldest->used = ++self->uses;
	oldest->result = *result;
	oldest->result.role = copy;
	oldest->result.claims = copy + result->role_len + 1;
}
