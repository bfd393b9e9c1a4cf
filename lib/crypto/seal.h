/*
 * Sealing: bytes that only a key opens again, and only under the name they were sealed for.
 *
 * AES-256-GCM (NIST SP 800-38D) with a fresh random nonce of 96 bits each time; what is
 * authenticated but not hidden is the name, so that an object cannot take another one's place.
 *
 *	"kubecdn-sealed 1 <key id> <base64 of nonce, ciphertext and tag>\n"
 *
 * The key id (16 hex digits) says which of several keys fits; it tells nothing about the key.
 * Random nonces are safe for 2^32 sealings under one key (SP 800-38D, 8.3).
 */
#ifndef KC_CRYPTO_SEAL_H
#define KC_CRYPTO_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define KC_SEAL_KEY	   32
#define KC_SEAL_ID	   17 /* with the NUL */
#define KC_SEAL_NONCE	   12
#define KC_SEAL_TAG	   16
#define KC_SEAL_KEYS_LIMIT 16

/* Several keys: the first seals, all open. */
struct kc_seal_keys {
	size_t n;
	unsigned char key[KC_SEAL_KEYS_LIMIT][KC_SEAL_KEY];
	char id[KC_SEAL_KEYS_LIMIT][KC_SEAL_ID];
};

/*
 * The keys of a file: a line each, base64 of 32 bytes; empty lines and those that start with # are
 * left out. What is wrong is told as file:line:column, never with the text itself. The file must be
 * the user's (or root's) own and closed to others.
 */
int kc_seal_keys_read(const char *path, struct kc_seal_keys *ret, struct kc_err *err);
/* Wipe. */
void kc_seal_keys_done(struct kc_seal_keys *k);

bool kc_is_sealed(const char *text, size_t len);
/* Text, NUL-terminated. */
char *kc_seal(const struct kc_seal_keys *k, const char *name, const void *data, size_t len);
/* KC_EAUTH: sealed with none of these keys (says which one it wants), or changed, or another
 * object's. ret_data is NUL-terminated beyond its length. ret_first: by the first key. */
int kc_unseal(const struct kc_seal_keys *k, const char *name, const char *text, size_t len,
	      char **ret_data, size_t *ret_len, bool *ret_first, struct kc_err *err);

/* One pass of AES-256-GCM over buffers of the same length; for kc_seal() and its test vectors.
 * false: the tag does not fit. */
void kc_gcm_encrypt(const unsigned char key[KC_SEAL_KEY], const unsigned char nonce[KC_SEAL_NONCE],
		    const void *aad, size_t aad_len, const void *in, size_t len, unsigned char *out,
		    unsigned char tag[KC_SEAL_TAG]);
bool kc_gcm_decrypt(const unsigned char key[KC_SEAL_KEY], const unsigned char nonce[KC_SEAL_NONCE],
		    const void *aad, size_t aad_len, const void *in, size_t len, unsigned char *out,
		    const unsigned char tag[KC_SEAL_TAG]);

#endif
