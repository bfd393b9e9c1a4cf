/*
 * Ed25519 signatures (RFC 8032). Private keys are PEM as `openssl genpkey -algorithm ed25519`
 * writes them; public keys are base64 of their SubjectPublicKeyInfo, the one line inside of what
 * `openssl pkey -pubout` prints; signatures are base64 of 64 bytes. Equal keys and data make equal
 * signatures.
 */
#ifndef KC_CRYPTO_SIGN_H
#define KC_CRYPTO_SIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"

/* KC_EINVAL: the key is no Ed25519 key. */
int kc_sign(const char *key_pem, const void *data, size_t len, char **ret_signature,
	    struct kc_err *err);
int kc_sign_public(const char *key_pem, char **ret_public, struct kc_err *err);
/* KC_EAUTH: not signed by that key. KC_EINVAL: the key is none. */
int kc_sign_verify(const char *public_key, const void *data, size_t len, const char *signature,
		   struct kc_err *err);
bool kc_is_sign_public(const char *public_key);

#endif
