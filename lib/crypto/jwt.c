#include "lib/crypto/jwt.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

KC_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
KC_DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)
KC_DEFINE_CLEANUP(X509 *, X509_free)
#define _auto_(type) _cleanup_(type##_freep)

enum { MIN_BITS = 2048, MAX_BITS = 16384, DIGEST = 32 };

char *kc_base64url_encode(const void *data, size_t len)
{
	char *s = kc_base64_encode(data, len);

	s[strcspn(s, "=")] = '\0';
	for (char *p = s; *p; p++) {
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
	}
	return s;
}

/* A password prompt would wait for a terminal: encrypted keys are refused instead. */
static int no_password(char *buf, int size, int writing, void *cookie)
{
	return -1;
}

static int parse_key(const char *pem, EVP_PKEY **ret, struct kc_err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	_auto_(EVP_PKEY) EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	int bits;

	BIO_free_all(bio);
	if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		return kc_fail(err, KC_EINVAL, "no RSA key without a passphrase in its PEM text");
	bits = EVP_PKEY_get_bits(key);
	if (bits < MIN_BITS || bits > MAX_BITS)
		return kc_fail(err, KC_EINVAL, "an RSA key of %d bits; %d to %d are needed", bits,
			       MIN_BITS, MAX_BITS);
	*ret = TAKE(key);
	return 0;
}

static char *part(const json_t *value)
{
	_cleanup_wiped_ char *text = kc_json_text(value);

	return kc_base64url_encode(text, strlen(text));
}

/* PSS with a salt as long as the digest: RFC 7518, 3.5. */
static char *sign(enum kc_jwt_alg alg, EVP_PKEY *key, const char *input)
{
	_auto_(EVP_MD_CTX) EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char signature[MAX_BITS / 8];
	size_t n = sizeof(signature);
	EVP_PKEY_CTX *options;

	if (!c || EVP_DigestSignInit(c, &options, EVP_sha256(), NULL, key) != 1)
		abort();
	if (alg == KC_JWT_PS256 &&
	    (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
	     EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1))
		abort();
	if (EVP_DigestSign(c, signature, &n, (const unsigned char *)input, strlen(input)) != 1)
		return NULL; /* parts of the key do not fit each other */
	return kc_base64url_encode(signature, n);
}

int kc_jwt_sign(enum kc_jwt_alg alg, const json_t *header, const json_t *claims,
		const char *key_pem, char **ret_token, struct kc_err *err)
{
	static const char *const names[] = { "RS256", "PS256" };
	json_auto_t *head = kc_pack("{s:s, s:s}", "alg", names[alg], "typ", "JWT");
	_cleanup_free_ char *head_text = NULL, *claims_text = NULL, *signature = NULL;
	_cleanup_wiped_ char *input = NULL;
	_auto_(EVP_PKEY) EVP_PKEY *key = NULL;
	int r = parse_key(key_pem, &key, err);

	if (r < 0)
		return r;
	json_object_update_missing(head, (json_t *)header);
	head_text = part(head);
	claims_text = part(claims);
	input = xasprintf("%s.%s", head_text, claims_text);
	signature = sign(alg, key, input);
	if (!signature)
		return kc_fail(err, KC_EINVAL, "the RSA key is damaged: it cannot sign");
	*ret_token = xasprintf("%s.%s", input, signature);
	return 0;
}

int kc_jwt_thumbprint(const char *pem, char **ret, struct kc_err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	_auto_(X509) X509 *cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
	_auto_(EVP_PKEY) EVP_PKEY *key = NULL;
	unsigned char md[DIGEST];
	unsigned int n = sizeof(md);
	int r;

	BIO_free_all(bio);
	if (!cert)
		return kc_fail(err, KC_EINVAL, "no certificate in the PEM text");
	r = parse_key(pem, &key, err);
	if (r < 0)
		return r;
	if (X509_check_private_key(cert, key) != 1)
		return kc_fail(err, KC_EINVAL, "the first certificate is not of this key");
	if (X509_digest(cert, EVP_sha256(), md, &n) != 1)
		abort();
	*ret = kc_base64url_encode(md, n);
	return 0;
}
