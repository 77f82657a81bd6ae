/*
 * key_file_fuzz.c
 *	  Key files: the first byte says whether the checksum is put right (1), for a
 *	  fuzzer does not guess it, and whether the file is open to others (2).
 */
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/key_file.h"

#include "net_fuzz.h"

#define FILE_BYTES (4 + CORE_SEED_BYTES + CORE_KEY_BYTES + CORE_HASH_BYTES)

static void
check_keys(const uint8_t *bytes, const NodeKeys *keys)
{
	uint8_t		key[CORE_KEY_BYTES];
	uint8_t		secret[CORE_SECRET_BYTES];
	const uint8_t message[3] = "abc";
	uint8_t		signature[CORE_SIGNATURE_BYTES];
	uint8_t		shared[2][CORE_KEY_BYTES];
	uint8_t		other_public[CORE_KEY_BYTES];
	uint8_t		other_secret[CORE_KEY_BYTES] = {1, 2, 3};

	REQUIRE(memcmp(bytes, "vnk1", 4) == 0);
	REQUIRE(crypto.key_pair(NULL, bytes + 4, key, secret));
	REQUIRE(memcmp(keys->secret, secret, sizeof secret) == 0);
	REQUIRE(memcmp(keys->curve_secret, bytes + 4 + CORE_SEED_BYTES, CORE_KEY_BYTES) == 0);
	/* what they are for works */
	REQUIRE(crypto.sign(NULL, keys->secret, message, sizeof message, signature));
	REQUIRE(crypto_sign_verify_detached(signature, message, sizeof message, key) == 0);
	REQUIRE(crypto_scalarmult_base(other_public, other_secret) == 0);
	REQUIRE(crypto_scalarmult(shared[0], keys->curve_secret, other_public) == 0);
	REQUIRE(crypto_scalarmult(shared[1], other_secret, keys->curve_public) == 0);
	REQUIRE(memcmp(shared[0], shared[1], CORE_KEY_BYTES) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const NodeKeys none;
	static int	fd = -1;
	char		path[64];
	char		error[512] = "";
	uint8_t    *bytes;
	uint8_t    *after;
	uint8_t		hash[CORE_HASH_BYTES];
	size_t		len = size - 1;
	NodeKeys	keys;
	struct stat st;
	bool		open_to_others;
	bool		right;
	bool		created = true;

	if (size == 0)
		return 0;
	fuzz_begin();
	bytes = exact_copy(data + 1, len);
	if ((data[0] & 1) && len >= CORE_HASH_BYTES)
		crypto.sha256(NULL, bytes, len - CORE_HASH_BYTES, bytes + len - CORE_HASH_BYTES);
	open_to_others = (data[0] & 2) != 0;
	if (fd < 0)
		fd = memfd_create("key", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, bytes, len, 0) == (ssize_t) len);
	REQUIRE(fchmod(fd, open_to_others ? 0640 : 0600) == 0);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);

	memset(&keys, 0xA5, sizeof keys);
	right = len == FILE_BYTES && memcmp(bytes, "vnk1", 4) == 0;
	if (right)
	{
		crypto.sha256(NULL, bytes, len - CORE_HASH_BYTES, hash);
		right = memcmp(hash, bytes + len - CORE_HASH_BYTES, CORE_HASH_BYTES) == 0;
	}
	if (key_file_load(path, &keys, &created, error, sizeof error))
	{
		REQUIRE(right && !open_to_others);
		check_keys(bytes, &keys);
	}
	else
	{
		size_t		n = strlen(error);

		REQUIRE(!right || open_to_others);
		/* one line that names the file; and no key remains */
		REQUIRE(strstr(error, path) != NULL && strchr(error, '\n') == NULL && error[n - 1] != '.');
		REQUIRE(memcmp(&keys, &none, sizeof keys) == 0);
	}
	REQUIRE(!created);
	/* whatever it is, it stays as it was: somebody may be able to restore it */
	after = malloc(len + 1);
	REQUIRE(after != NULL && pread(fd, after, len + 1, 0) == (ssize_t) len && memcmp(after, bytes, len) == 0);
	REQUIRE(fstat(fd, &st) == 0 && (st.st_mode & 07777) == (open_to_others ? 0640 : 0600));
	free(after);
	free(bytes);
	fuzz_end();
	return 0;
}
