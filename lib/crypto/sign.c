#include "lib/crypto/sign.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/crypto/hash.h"

KC_DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
KC_DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)
#define _auto_(type) _cleanup_(type##_freep)

enum { SIGNATURE = 64, RAW = 32 };

/* A password prompt would wait for a terminal: encrypted keys are refused instead. */
static int no_password(char *buf, int size, int writing, void *cookie)
{
	return -1;
}

static int parse_private(const char *pem, EVP_PKEY **ret, struct kc_err *err)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);

	BIO_free_all(bio);
	if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(key);
		return kc_fail(err, KC_EINVAL,
			       "no Ed25519 key in PEM; make one with: openssl genpkey -algorithm "
			       "ed25519");
	}
	*ret = key;
	return 0;
}

/* The bytes have one text: nothing hides in the bits that padding leaves. */
static bool decode(const char *text, unsigned char **ret, size_t *ret_len)
{
	_cleanup_free_ unsigned char *bytes = NULL;
	_cleanup_free_ char *again = NULL;

	if (kc_base64_decode(text, &bytes, ret_len, NULL) < 0)
		return false;
	again = kc_base64_encode(bytes, *ret_len);
	if (strcmp(again, text) != 0)
		return false;
	*ret = TAKE(bytes);
	return true;
}

static EVP_PKEY *parse_public(const char *text)
{
	_cleanup_free_ unsigned char *der = NULL;
	const unsigned char *at;
	unsigned char raw[RAW];
	EVP_PKEY *key;
	size_t len, n = sizeof(raw);

	if (!decode(text, &der, &len))
		return NULL;
	at = der;
	key = d2i_PUBKEY(NULL, &at, (long)len);
	/* Nothing behind it: one key has one text. */
	if (key && at == der + len && EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 &&
	    EVP_PKEY_get_raw_public_key(key, raw, &n) == 1)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

int kc_sign(const char *key_pem, const void *data, size_t len, char **ret_signature,
	    struct kc_err *err)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = NULL;
	_auto_(EVP_MD_CTX) EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char signature[SIGNATURE];
	size_t n = sizeof(signature);
	int r = parse_private(key_pem, &key, err);

	if (r < 0)
		return r;
	if (!c || EVP_DigestSignInit(c, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(c, signature, &n, data, len) != 1)
		abort();
	*ret_signature = kc_base64_encode(signature, n);
	return 0;
}

int kc_sign_public(const char *key_pem, char **ret_public, struct kc_err *err)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = NULL;
	unsigned char *der = NULL;
	int n, r = parse_private(key_pem, &key, err);

	if (r < 0)
		return r;
	n = i2d_PUBKEY(key, &der);
	if (n <= 0)
		abort();
	*ret_public = kc_base64_encode(der, (size_t)n);
	OPENSSL_free(der);
	return 0;
}

int kc_sign_verify(const char *public_key, const void *data, size_t len, const char *signature,
		   struct kc_err *err)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = parse_public(public_key);
	_auto_(EVP_MD_CTX) EVP_MD_CTX *c = EVP_MD_CTX_new();
	_cleanup_free_ unsigned char *bytes = NULL;
	size_t n;

	if (!key)
		return kc_fail(err, KC_EINVAL, "\"%.80s\" is no Ed25519 public key", public_key);
	if (!c || EVP_DigestVerifyInit(c, NULL, NULL, NULL, key) != 1)
		abort();
	if (!decode(signature, &bytes, &n) || n != SIGNATURE ||
	    EVP_DigestVerify(c, bytes, n, data, len) != 1)
		return kc_fail(err, KC_EAUTH, "not signed by this key");
	return 0;
}

bool kc_is_sign_public(const char *public_key)
{
	_auto_(EVP_PKEY) EVP_PKEY *key = parse_public(public_key);

	return key != NULL;
}
