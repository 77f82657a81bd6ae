/*
 * jwk.c
 *	  Keys of tokens: read from the text of a setting or a file, and used.
 */
#include "http/token/jwk.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base64.h"
#include "http/json.h"

/* RFC 7518, 3.3 has the least; the most bounds what one signature costs. */
#define RSA_MIN_BITS	2048
#define RSA_MAX_BITS	8192
#define RSA_MAX_EXPONENT_BITS	64

#define ES256_HALF	32

typedef struct Jwk
{
	JwtAlg		alg;
	char	   *kid;			/* NULL: none */
	size_t		kid_len;
	unsigned char *bytes;		/* a secret, or the point of Ed25519 */
	size_t		nbytes;
	EVP_PKEY   *pkey;			/* RSA, P-256 */
} Jwk;

struct JwkSet
{
	int			n;
	Jwk			key[JWK_MAX_KEYS];
};

typedef enum Member
{
	KTY, ALG, USE, KEY_OPS, KID, K, N, E, CRV, X, Y, D,
	NMEMBERS
} Member;

static const char *const member_names[NMEMBERS] = {
	"kty", "alg", "use", "key_ops", "kid", "k", "n", "e", "crv", "x", "y", "d"
};

/* Each algorithm of ours. */
static const struct
{
	const char *name;
	const char *kty;
	const char *crv;			/* NULL: its keys have none */
	size_t		min_secret;		/* RFC 7518, 3.2: as long as the hash */
}			algs[JWT_NALGS] = {
	[JWT_HS256] = {"HS256", "oct", NULL, 32},
	[JWT_HS384] = {"HS384", "oct", NULL, 48},
	[JWT_HS512] = {"HS512", "oct", NULL, 64},
	[JWT_RS256] = {"RS256", "RSA", NULL, 0},
	[JWT_ES256] = {"ES256", "EC", "P-256", 0},
	[JWT_EDDSA] = {"EdDSA", "OKP", "Ed25519", 0}
};

/* What is read: the text, and where a message goes. */
typedef struct Source
{
	JsonReader	json;
	int			number;			/* of the key, from 1 on */
	char	   *error;
} Source;

JwtAlg
jwt_alg(const char *name, size_t len)
{
	int			alg = 0;

	while (alg < JWT_NALGS && (strlen(algs[alg].name) != len || memcmp(algs[alg].name, name, len) != 0))
		alg++;
	return alg;
}

/* ---------------------------------------------------------------------------
 * Reading
 */

static bool
wrong(Source *in, const char *what)
{
	snprintf(in->error, JWK_ERROR_SIZE, "key %d %s", in->number, what);
	return false;
}

static bool
no_json(Source *in)
{
	snprintf(in->error, JWK_ERROR_SIZE, "%s, at byte %zu", in->json.error ? in->json.error : "a second value", in->json.error_pos);
	return false;
}

static bool
is_string(const Source *in, JsonSpan span)
{
	return span.len >= 2 && in->json.data[span.pos] == '"';
}

static bool
is_text(const Source *in, JsonSpan span, const char *word)
{
	return is_string(in, span) && json_is(&in->json, span, word);
}

/* The bytes of a member in base64url, malloc'ed; NULL, with an error, where it is none. */
static unsigned char *
read_bytes(Source *in, JsonSpan span, size_t *n)
{
	unsigned char *bytes;
	long		len = -1;

	bytes = malloc(BASE64_BYTES(span.len) + 1);
	if (bytes && is_string(in, span))
		len = base64url_decode(in->json.data + span.pos + 1, span.len - 2, bytes);
	if (len <= 0)
	{
		wrong(in, "lacks a part, or has one that is not base64url without padding");
		free(bytes);
		return NULL;
	}
	*n = (size_t) len;
	return bytes;
}

static bool
read_members(Source *in, JsonSpan *found)
{
	bool		first = true;
	JsonSpan	name,
				value;

	memset(found, 0, NMEMBERS * sizeof(JsonSpan));
	if (json_peek(&in->json) != JSON_OBJECT)
		return wrong(in, "is no object");
	json_enter(&in->json);
	while (json_member(&in->json, &first, &name))
	{
		int			i = 0;

		if (!json_value(&in->json, &value))
			break;
		while (i < NMEMBERS && !json_is(&in->json, name, member_names[i]))
			i++;
		if (i == NMEMBERS)
			continue;
		if (found[i].len > 0)
			return wrong(in, "has a member twice");
		found[i] = value;
	}
	return in->json.error ? no_json(in) : true;
}

/* Does a list of strings have this one? */
static bool
lists(Source *in, JsonSpan span, const char *word)
{
	JsonReader	list;
	JsonSpan	value;
	bool		first = true,
				found = false;

	json_begin(&list, in->json.data + span.pos, span.len);
	if (json_peek(&list) != JSON_ARRAY)
		return false;
	json_enter(&list);
	while (json_element(&list, &first) && json_value(&list, &value))
		found = found || (list.data[value.pos] == '"' && json_is(&list, value, word));
	return found;
}

/* The algorithm that a key is for; JWT_NALGS: none of ours. */
static JwtAlg
alg_of(Source *in, const JsonSpan *m)
{
	int			alg = 0;

	while (alg < JWT_NALGS &&
		   !(is_text(in, m[KTY], algs[alg].kty) && (!algs[alg].crv || is_text(in, m[CRV], algs[alg].crv)) &&
			 (m[ALG].len == 0 || is_text(in, m[ALG], algs[alg].name))))
		alg++;
	return alg;
}

static EVP_PKEY *
make_pkey(const char *type, OSSL_PARAM_BLD *build)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
	EVP_PKEY   *pkey = NULL;

	if (!context || !params || EVP_PKEY_fromdata_init(context) <= 0 ||
		EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(context);
	return pkey;
}

/* Whether a key of RSA, or a point of P-256, is one that we verify with. */
static bool
check_pkey(Source *in, JwtAlg alg, EVP_PKEY *pkey)
{
	EVP_PKEY_CTX *context;
	BIGNUM	   *e = NULL;
	char		group[32];
	size_t		n;
	bool		good;

	if (alg == JWT_RS256)
	{
		int			bits = EVP_PKEY_get_bits(pkey);

		good = bits >= RSA_MIN_BITS && bits <= RSA_MAX_BITS && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) &&
			BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= RSA_MAX_EXPONENT_BITS;
		BN_free(e);
		return good || wrong(in, "is no key of RSA of 2048 to 8192 bits and a small odd exponent");
	}
	good = EVP_PKEY_get_group_name(pkey, group, sizeof(group), &n) && strcmp(group, "prime256v1") == 0;
	context = EVP_PKEY_CTX_new(pkey, NULL);
	good = good && context && EVP_PKEY_public_check(context) > 0;
	EVP_PKEY_CTX_free(context);
	return good || wrong(in, "is no point of P-256");
}

static bool
read_rsa(Source *in, const JsonSpan *m, Jwk *key)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	size_t		n_len = 0,
				e_len = 0;
	unsigned char *n_bytes = read_bytes(in, m[N], &n_len);
	unsigned char *e_bytes = n_bytes ? read_bytes(in, m[E], &e_len) : NULL;
	BIGNUM	   *n = e_bytes ? BN_bin2bn(n_bytes, (int) n_len, NULL) : NULL;
	BIGNUM	   *e = e_bytes ? BN_bin2bn(e_bytes, (int) e_len, NULL) : NULL;

	if (build && n && e && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
		key->pkey = make_pkey("RSA", build);
	BN_free(n);
	BN_free(e);
	OSSL_PARAM_BLD_free(build);
	if (e_bytes && !key->pkey)
		wrong(in, "is no key of RSA");
	free(n_bytes);
	free(e_bytes);
	return key->pkey && check_pkey(in, JWT_RS256, key->pkey);
}

static bool
read_p256(Source *in, const JsonSpan *m, Jwk *key)
{
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	size_t		x_len = 0,
				y_len = 0;
	unsigned char *x = read_bytes(in, m[X], &x_len);
	unsigned char *y = x ? read_bytes(in, m[Y], &y_len) : NULL;
	unsigned char point[1 + 2 * ES256_HALF] = {POINT_CONVERSION_UNCOMPRESSED};

	if (build && x_len == ES256_HALF && y_len == ES256_HALF)
	{
		memcpy(point + 1, x, ES256_HALF);
		memcpy(point + 1 + ES256_HALF, y, ES256_HALF);
		if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) &&
			OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)))
			key->pkey = make_pkey("EC", build);
	}
	OSSL_PARAM_BLD_free(build);
	if (y && !key->pkey)
		wrong(in, "is no point of P-256");
	free(x);
	free(y);
	return key->pkey && check_pkey(in, JWT_ES256, key->pkey);
}

static bool
check_ed25519(Source *in, const Jwk *key)
{
	return (key->nbytes == crypto_sign_PUBLICKEYBYTES && crypto_core_ed25519_is_valid_point(key->bytes)) ||
		wrong(in, "is no point of Ed25519");
}

static bool
check_secret(Source *in, const Jwk *key)
{
	if (key->nbytes >= algs[key->alg].min_secret)
		return true;
	snprintf(in->error, JWK_ERROR_SIZE, "key %d, of %zu bytes, is too short for %s, which takes %zu at least",
			 in->number, key->nbytes, algs[key->alg].name, algs[key->alg].min_secret);
	return false;
}

static bool
read_kid(Source *in, JsonSpan span, Jwk *key)
{
	long		len = -1;

	if (span.len == 0)
		return true;
	key->kid = malloc(span.len);
	if (key->kid && is_string(in, span))
		len = json_string(&in->json, span, key->kid);
	if (len < 0)
		return wrong(in, "has a \"kid\" that is no string");
	key->kid_len = (size_t) len;
	return true;
}

/* One key, which *key becomes; where it is none of ours, key->alg is JWT_NALGS. */
static bool
read_key(Source *in, Jwk *key)
{
	JsonSpan	m[NMEMBERS];

	if (!read_members(in, m))
		return false;
	key->alg = alg_of(in, m);
	if (key->alg == JWT_NALGS || (m[USE].len > 0 && !is_text(in, m[USE], "sig")) ||
		(m[KEY_OPS].len > 0 && !lists(in, m[KEY_OPS], "verify")))
	{
		key->alg = JWT_NALGS;
		return true;
	}
	if (m[D].len > 0)
		return wrong(in, "is a private key; give the public one");
	if (!read_kid(in, m[KID], key))
		return false;
	if (key->alg == JWT_RS256)
		return read_rsa(in, m, key);
	if (key->alg == JWT_ES256)
		return read_p256(in, m, key);
	key->bytes = read_bytes(in, key->alg == JWT_EDDSA ? m[X] : m[K], &key->nbytes);
	if (!key->bytes)
		return false;
	return key->alg == JWT_EDDSA ? check_ed25519(in, key) : check_secret(in, key);
}

static void
free_key(Jwk *key)
{
	if (key->bytes)
		sodium_memzero(key->bytes, key->nbytes);
	free(key->bytes);
	free(key->kid);
	EVP_PKEY_free(key->pkey);
	memset(key, 0, sizeof(*key));
}

static bool
add_key(Source *in, JwkSet *set, int *left_out)
{
	Jwk			key = {0};

	in->number++;
	if (!read_key(in, &key))
	{
		free_key(&key);
		return false;
	}
	if (key.alg == JWT_NALGS)
		++*left_out;
	else if (set->n == JWK_MAX_KEYS)
	{
		free_key(&key);
		snprintf(in->error, JWK_ERROR_SIZE, "more than %d keys", JWK_MAX_KEYS);
		return false;
	}
	else
		set->key[set->n++] = key;
	return true;
}

/* Where "keys" of the object begins; 0: it has none, and is a key itself. */
static size_t
find_keys(const char *text, size_t len)
{
	JsonReader	json;
	JsonSpan	name,
				value;
	bool		first = true;
	size_t		at = 0;

	json_begin(&json, text, len);
	json_peek(&json);
	json_enter(&json);
	while (json_member(&json, &first, &name) && json_value(&json, &value))
	{
		if (json_is(&json, name, "keys"))
			at = value.pos;
	}
	return at;
}

static bool
read_json(JwkSet *set, const char *text, size_t len, int *left_out, char *error)
{
	Source		in = {.error = error};
	JsonSpan	all;
	size_t		keys;
	bool		first = true;

	/* The whole is JSON, so what is read of it in pieces is. */
	json_begin(&in.json, text, len);
	if (!json_value(&in.json, &all) || !json_end(&in.json))
		return no_json(&in);
	keys = find_keys(text, len);
	json_begin(&in.json, text, len);
	if (keys == 0)
		return add_key(&in, set, left_out);
	in.json.pos = keys;
	if (json_peek(&in.json) != JSON_ARRAY)
	{
		snprintf(error, JWK_ERROR_SIZE, "\"keys\" is no array");
		return false;
	}
	json_enter(&in.json);
	while (json_element(&in.json, &first))
	{
		if (!add_key(&in, set, left_out))
			return false;
	}
	return true;
}

static bool
read_pem(JwkSet *set, const char *text, size_t len, char *error)
{
	Source		in = {.number = 1,.error = error};
	Jwk		   *key = &set->key[0];
	BIO		   *bio = BIO_new_mem_buf(text, (int) len);
	EVP_PKEY   *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	if (!pkey)
		return wrong(&in, "is no public key in PEM");
	set->n = 1;
	key->pkey = pkey;
	switch (EVP_PKEY_get_base_id(pkey))
	{
		case EVP_PKEY_RSA:
			key->alg = JWT_RS256;
			return check_pkey(&in, JWT_RS256, pkey);
		case EVP_PKEY_EC:
			key->alg = JWT_ES256;
			return check_pkey(&in, JWT_ES256, pkey);
		case EVP_PKEY_ED25519:
			key->alg = JWT_EDDSA;
			key->nbytes = crypto_sign_PUBLICKEYBYTES;
			key->bytes = malloc(key->nbytes);
			return (key->bytes && EVP_PKEY_get_raw_public_key(pkey, key->bytes, &key->nbytes) && check_ed25519(&in, key)) ||
				wrong(&in, "is no point of Ed25519");
		default:
			return wrong(&in, "is for none of the algorithms RS256, ES256 and EdDSA");
	}
}

static bool
begins(const char *text, size_t len, const char *word)
{
	return len >= strlen(word) && strncasecmp(text, word, strlen(word)) == 0;
}

static bool
contains(const char *text, size_t len, const char *word)
{
	for (; len >= strlen(word); text++, len--)
	{
		if (begins(text, len, word))
			return true;
	}
	return false;
}

/*
 * What a text is that others may know, so that it must not become a secret of HS256:
 * keys of another form, or what a server answered in their place; NULL: none of these.
 */
static const char *
known_text(const char *text, size_t len)
{
	static const char *const begin[][2] = {
		{"\xEF\xBB\xBF", "begins with a byte order mark"},
		{"<!doctype", "is a web page"}, {"<html", "is a web page"}, {"<?xml", "is XML"},
		{"http://", "is an address, and nothing is fetched"}, {"https://", "is an address, and nothing is fetched"},
		{"ssh-", "is a key of SSH"}, {"ecdsa-sha2-", "is a key of SSH"},
		{"LS0tLS1CRUdJTi", "is PEM in base64"}, {"\x1F\x8B\x08", "is compressed"}
	};
	JsonReader	json;
	JsonSpan	all;

	while (len > 0 && strchr(" \t\r\n", text[0]))
		text++, len--;
	for (size_t i = 0; i < sizeof(begin) / sizeof(begin[0]); i++)
	{
		if (begins(text, len, begin[i][0]))
			return begin[i][1];
	}
	if (contains(text, len, "-----BEGIN "))
		return "has something before its PEM";
	json_begin(&json, text, len);
	if (len > 0 && (text[0] == '[' || text[0] == '"') && json_value(&json, &all) && json_end(&json))
		return "is JSON, but no object";
	return NULL;
}

static bool
read_secret(JwkSet *set, const char *text, size_t len, char *error)
{
	Source		in = {.number = 1,.error = error};
	Jwk		   *key = &set->key[0];
	const char *known = known_text(text, len);

	if (known)
		return wrong(&in, known);

	set->n = 1;
	key->alg = JWT_HS256;
	key->bytes = malloc(len + 1);
	if (!key->bytes)
		return wrong(&in, "finds no memory");
	memcpy(key->bytes, text, len);
	key->nbytes = len;
	return check_secret(&in, key);
}

JwkSet *
jwk_read(const char *text, size_t len, int *left_out, char error[JWK_ERROR_SIZE])
{
	JwkSet	   *set = calloc(1, sizeof(*set));
	size_t		blank = 0;
	bool		good;

	*left_out = 0;
	snprintf(error, JWK_ERROR_SIZE, "none of the keys is for an algorithm that is known");
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	while (blank < len && strchr(" \t\r\n", text[blank]))
		blank++;
	if (!set || len > JWK_MAX_TEXT)
	{
		snprintf(error, JWK_ERROR_SIZE, set ? "more than 64 kB" : "out of memory");
		good = false;
	}
	else if (begins(text + blank, len - blank, "{"))
		good = read_json(set, text, len, left_out, error);
	else if (begins(text + blank, len - blank, "-----BEGIN"))
		good = read_pem(set, text + blank, len - blank, error);
	else
		good = read_secret(set, text, len, error);
	ERR_clear_error();
	if (good && set->n > 0)
		return set;
	jwk_free(set);
	return NULL;
}

void
jwk_free(JwkSet *self)
{
	for (int i = 0; self && i < self->n; i++)
		free_key(&self->key[i]);
	free(self);
}

int
jwk_count(const JwkSet *self)
{
	return self->n;
}

bool
jwk_is_secret(const JwkSet *self)
{
	bool		secret = false;

	for (int i = 0; i < self->n; i++)
		secret = secret || algs[self->key[i].alg].min_secret > 0;
	return secret;
}

/* ---------------------------------------------------------------------------
 * Verifying
 */

static bool
verify_hs256(const Jwk *key, const unsigned char *bytes, size_t len, const unsigned char *signature, size_t n)
{
	crypto_auth_hmacsha256_state state;
	unsigned char mac[crypto_auth_hmacsha256_BYTES];

	crypto_auth_hmacsha256_init(&state, key->bytes, key->nbytes);
	crypto_auth_hmacsha256_update(&state, bytes, len);
	crypto_auth_hmacsha256_final(&state, mac);
	return n == sizeof(mac) && sodium_memcmp(mac, signature, sizeof(mac)) == 0;
}

static bool
verify_hs384(const Jwk *key, const unsigned char *bytes, size_t len, const unsigned char *signature, size_t n)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned	mac_len = 0;

	return HMAC(EVP_sha384(), key->bytes, (int) key->nbytes, bytes, len, mac, &mac_len) &&
		mac_len > 0 && n == mac_len && sodium_memcmp(mac, signature, n) == 0;
}

static bool
verify_hs512(const Jwk *key, const unsigned char *bytes, size_t len, const unsigned char *signature, size_t n)
{
	crypto_auth_hmacsha512_state state;
	unsigned char mac[crypto_auth_hmacsha512_BYTES];

	crypto_auth_hmacsha512_init(&state, key->bytes, key->nbytes);
	crypto_auth_hmacsha512_update(&state, bytes, len);
	crypto_auth_hmacsha512_final(&state, mac);
	return n == sizeof(mac) && sodium_memcmp(mac, signature, sizeof(mac)) == 0;
}

static bool
verify_eddsa(const Jwk *key, const unsigned char *bytes, size_t len, const unsigned char *signature, size_t n)
{
	return n == crypto_sign_BYTES && crypto_sign_verify_detached(signature, bytes, len, key->bytes) == 0;
}

static bool
verify_digest(const Jwk *key, const unsigned char *bytes, size_t len, const unsigned char *signature, size_t n)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		good = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->pkey) > 0 &&
		EVP_DigestVerify(context, signature, n, bytes, len) > 0;

	EVP_MD_CTX_free(context);
	ERR_clear_error();
	return good;
}

/* RFC 7518, 3.4: the two numbers one after the other, where libcrypto wants them in ASN.1. */
static bool
verify_es256(const Jwk *key, const unsigned char *bytes, size_t len, const unsigned char *signature, size_t n)
{
	ECDSA_SIG  *pair = ECDSA_SIG_new();
	BIGNUM	   *r = n == 2 * ES256_HALF ? BN_bin2bn(signature, ES256_HALF, NULL) : NULL;
	BIGNUM	   *s = r ? BN_bin2bn(signature + ES256_HALF, ES256_HALF, NULL) : NULL;
	unsigned char *der = NULL;
	int			der_len = 0;
	bool		good;

	if (pair && s && ECDSA_SIG_set0(pair, r, s))
		der_len = i2d_ECDSA_SIG(pair, &der);
	else
	{
		BN_free(r);
		BN_free(s);
	}
	good = der_len > 0 && verify_digest(key, bytes, len, der, (size_t) der_len);
	OPENSSL_free(der);
	ECDSA_SIG_free(pair);
	return good;
}

static bool
verify_one(const Jwk *key, const unsigned char *bytes, size_t len, const unsigned char *signature, size_t n)
{
	switch (key->alg)
	{
		case JWT_HS256:
			return verify_hs256(key, bytes, len, signature, n);
		case JWT_HS384:
			return verify_hs384(key, bytes, len, signature, n);
		case JWT_HS512:
			return verify_hs512(key, bytes, len, signature, n);
		case JWT_RS256:
			return verify_digest(key, bytes, len, signature, n);
		case JWT_ES256:
			return verify_es256(key, bytes, len, signature, n);
		case JWT_EDDSA:
			return verify_eddsa(key, bytes, len, signature, n);
		case JWT_NALGS:
			break;
	}
	return false;
}

JwkVerdict
jwk_verify(const JwkSet *self, JwtAlg alg, const char *kid, size_t kid_len,
		   const char *bytes, size_t len, const unsigned char *signature, size_t signature_len)
{
	JwkVerdict	verdict = JWK_NO_KEY;

	for (int i = 0; i < self->n; i++)
	{
		const Jwk  *key = &self->key[i];

		if (kid && (!key->kid || key->kid_len != kid_len || memcmp(key->kid, kid, kid_len) != 0))
			continue;
		if (key->alg != alg)
		{
			if (verdict == JWK_NO_KEY)
				verdict = JWK_OTHER_ALG;
			continue;
		}
		verdict = JWK_BAD;
		if (verify_one(key, (const unsigned char *) bytes, len, signature, signature_len))
			return JWK_GOOD;
	}
	return verdict;
}
