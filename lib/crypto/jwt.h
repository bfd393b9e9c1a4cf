/*
 * Signed JSON web tokens (RFC 7515, 7519), as clouds' token endpoints take them from a client that
 * proves who it is with an RSA key. Making only: nothing here reads or verifies a token.
 *
 *	claims + PEM key -> base64url(header).base64url(claims).base64url(signature)
 *
 * header is the caller's ("kid", "x5t#S256"); "alg" and "typ" are added here. The PEM text may hold
 * certificates beside the key; encrypted keys are refused. KC_EINVAL: the text has no RSA key, or
 * none of at least 2048 bits (RFC 7518, 3.3). Errors never show the text. Results are owned.
 */
#ifndef KC_CRYPTO_JWT_H
#define KC_CRYPTO_JWT_H

#include <jansson.h>
#include <stddef.h>

#include "lib/base/err.h"

enum kc_jwt_alg {
	KC_JWT_RS256, /* RSASSA-PKCS1-v1_5: Google's service accounts */
	KC_JWT_PS256, /* RSASSA-PSS: what Entra asks of certificates */
};

int kc_jwt_sign(enum kc_jwt_alg alg, const json_t *header, const json_t *claims,
		const char *key_pem, char **ret_token, struct kc_err *err);
/* "x5t#S256" (RFC 7515, 4.1.8) of the certificate in a PEM text that has its key, too; KC_EINVAL
 * if there is none, or if it is another key's. */
int kc_jwt_thumbprint(const char *pem, char **ret, struct kc_err *err);
/* RFC 4648, section 5, without padding. */
char *kc_base64url_encode(const void *data, size_t len);

#endif
