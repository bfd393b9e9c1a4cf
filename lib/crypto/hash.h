/* SHA-256, HMAC, base64, random bytes. The only room (with pki, seal) that includes OpenSSL's
 * libcrypto. */
#ifndef KC_CRYPTO_HASH_H
#define KC_CRYPTO_HASH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"

#define KC_SHA256_HEX 65 /* with the NUL */

void kc_sha256(const void *data, size_t len, char out[KC_SHA256_HEX]);
/* Lower-case hex of a whole file; ret_size may be NULL. */
int kc_sha256_file(const char *path, char out[KC_SHA256_HEX], uint64_t *ret_size,
		   struct kc_err *err);
/* Of a value's compact JSON with sorted keys. */
void kc_sha256_json(const json_t *value, char out[KC_SHA256_HEX]);

struct kc_sha256_stream;
struct kc_sha256_stream *kc_sha256_new(void);
void kc_sha256_update(struct kc_sha256_stream *s, const void *data, size_t len);
/* Finish and free; out may be NULL to just free. */
void kc_sha256_finish(struct kc_sha256_stream *s, char out[KC_SHA256_HEX]);

void kc_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
		    char out[KC_SHA256_HEX]);
/* The 32 bytes themselves, for keys that are derived in steps. */
void kc_hmac_sha256_raw(const void *key, size_t key_len, const void *data, size_t len,
			unsigned char out[32]);
void kc_random(void *out, size_t len); /* from the kernel; aborts if it cannot */
bool kc_is_sha256(const char *s);      /* 64 lower-case hex digits */

char *kc_base64_encode(const void *data, size_t len);
/* Strict: padding needed, no white space. */
int kc_base64_decode(const char *s, unsigned char **ret, size_t *ret_len, struct kc_err *err);

#endif
