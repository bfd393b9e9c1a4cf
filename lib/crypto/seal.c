#include "lib/crypto/seal.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/crypto/hash.h"

#define MAGIC	     "kubecdn-sealed 1 "
#define KEY_FILE_MAX 65536
#define HOW_TO_MAKE  "make one with: (umask 077; head -c 32 /dev/urandom | base64 > FILE)"

/* ---- AES-256-GCM ---- */

/* OpenSSL fails here only when it is out of memory or broken. */
static void must(int ok)
{
	if (ok != 1)
		abort();
}

static EVP_CIPHER_CTX *start(bool encrypt, const unsigned char *key, const unsigned char *nonce,
			     const void *aad, size_t aad_len)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	if (!c)
		abort();
	must(EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, encrypt));
	if (aad_len)
		must(EVP_CipherUpdate(c, NULL, &n, aad, (int)aad_len));
	return c;
}

void kc_gcm_encrypt(const unsigned char key[KC_SEAL_KEY], const unsigned char nonce[KC_SEAL_NONCE],
		    const void *aad, size_t aad_len, const void *in, size_t len, unsigned char *out,
		    unsigned char tag[KC_SEAL_TAG])
{
	EVP_CIPHER_CTX *c = start(true, key, nonce, aad, aad_len);
	unsigned char none[16];
	int n;

	if (len)
		must(EVP_CipherUpdate(c, out, &n, in, (int)len));
	must(EVP_CipherFinal_ex(c, none, &n));
	must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, KC_SEAL_TAG, tag));
	EVP_CIPHER_CTX_free(c);
}

bool kc_gcm_decrypt(const unsigned char key[KC_SEAL_KEY], const unsigned char nonce[KC_SEAL_NONCE],
		    const void *aad, size_t aad_len, const void *in, size_t len, unsigned char *out,
		    const unsigned char tag[KC_SEAL_TAG])
{
	EVP_CIPHER_CTX *c = start(false, key, nonce, aad, aad_len);
	unsigned char none[16];
	bool ok;
	int n;

	if (len)
		must(EVP_CipherUpdate(c, out, &n, in, (int)len));
	must(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, KC_SEAL_TAG, (void *)tag));
	ok = EVP_CipherFinal_ex(c, none, &n) == 1;
	EVP_CIPHER_CTX_free(c);
	if (!ok && len)
		kc_wipe(out, len); /* nobody is to see what was not meant */
	return ok;
}

/* ---- the key file ---- */

static void id_of(const unsigned char key[KC_SEAL_KEY], char out[KC_SEAL_ID])
{
	static const char purpose[] = "kubecdn key id";
	char hex[KC_SHA256_HEX];

	kc_hmac_sha256(key, KC_SEAL_KEY, purpose, strlen(purpose), hex);
	memcpy(out, hex, KC_SEAL_ID - 1);
	out[KC_SEAL_ID - 1] = '\0';
}

static int add_key(const char *path, int line, const char *text, struct kc_seal_keys *k,
		   struct kc_err *err)
{
	unsigned char *bytes = NULL;
	size_t len = 0;
	int r = 0;

	if (kc_base64_decode(text, &bytes, &len, NULL) < 0)
		r = kc_fail(err, KC_EINVAL,
			    "%s:%d:1: not a key: base64 of 32 bytes is meant; " HOW_TO_MAKE, path,
			    line);
	else if (len != KC_SEAL_KEY)
		r = kc_fail(err, KC_EINVAL,
			    "%s:%d:1: a key of %zu bytes; it must have 32; " HOW_TO_MAKE, path,
			    line, len);
	else if (k->n == KC_SEAL_KEYS_LIMIT)
		r = kc_fail(err, KC_EINVAL, "%s:%d:1: more than %d keys; take out old ones", path,
			    line, KC_SEAL_KEYS_LIMIT);
	if (r == 0) {
		memcpy(k->key[k->n], bytes, KC_SEAL_KEY);
		id_of(bytes, k->id[k->n]);
		k->n++;
	}
	if (bytes)
		kc_wipe(bytes, len);
	free(bytes);
	return r;
}

int kc_seal_keys_read(const char *path, struct kc_seal_keys *ret, struct kc_err *err)
{
	struct kc_seal_keys k = { 0 };
	_cleanup_wiped_ char *text = NULL;
	int line = 0, r = kc_file_read_private(path, KEY_FILE_MAX, &text, NULL, err);
	char *p, *next;

	if (r == KC_ENOTFOUND)
		return kc_fail(err, KC_EINVAL, "%s: there is no such key file; " HOW_TO_MAKE, path);
	for (p = text; r == 0 && p && *p; p = next) {
		size_t n = strcspn(p, "\n");

		next = p + n + (p[n] == '\n');
		line++;
		while (n && isspace((unsigned char)p[n - 1]))
			n--;
		p[n] = '\0';
		if (*p && *p != '#')
			r = add_key(path, line, p, &k, err);
	}
	if (r == 0 && k.n == 0)
		r = kc_fail(err, KC_EINVAL, "%s: no key in this file; " HOW_TO_MAKE, path);
	if (r == 0)
		*ret = k;
	kc_seal_keys_done(&k);
	return r;
}

void kc_seal_keys_done(struct kc_seal_keys *k)
{
	kc_wipe(k, sizeof(*k));
}

/* ---- sealed text ---- */

bool kc_is_sealed(const char *text, size_t len)
{
	return len >= strlen(MAGIC) && memcmp(text, MAGIC, strlen(MAGIC)) == 0;
}

char *kc_seal(const struct kc_seal_keys *k, const char *name, const void *data, size_t len)
{
	size_t total = KC_SEAL_NONCE + len + KC_SEAL_TAG;
	_cleanup_free_ unsigned char *box = xmalloc(total);
	_cleanup_free_ char *text = NULL;

	kc_random(box, KC_SEAL_NONCE);
	kc_gcm_encrypt(k->key[0], box, name, strlen(name), data, len, box + KC_SEAL_NONCE,
		       box + KC_SEAL_NONCE + len);
	text = kc_base64_encode(box, total);
	return xasprintf(MAGIC "%s %s\n", k->id[0], text);
}

/* The key's id and the box's text of a sealed object; the header must be exactly ours. */
static int parse(const char *text, size_t len, char id[KC_SEAL_ID], char **ret_box,
		 struct kc_err *err)
{
	const char *p = text + strlen(MAGIC);
	size_t left = len - strlen(MAGIC), n = KC_SEAL_ID - 1;

	if (left < n + 2 || p[n] != ' ' || text[len - 1] != '\n' ||
	    strspn(p, "0123456789abcdef") != n || memchr(text, '\0', len))
		return kc_fail(err, KC_EAUTH, "sealed, but damaged; restore it from a backup");
	memcpy(id, p, n);
	id[n] = '\0';
	*ret_box = xstrndup(p + n + 1, left - n - 2);
	return 0;
}

static const unsigned char *key_of(const struct kc_seal_keys *k, const char *id, bool *ret_first)
{
	for (size_t i = 0; i < k->n; i++)
		if (streq(k->id[i], id)) {
			*ret_first = i == 0;
			return k->key[i];
		}
	return NULL;
}

int kc_unseal(const struct kc_seal_keys *k, const char *name, const char *text, size_t len,
	      char **ret_data, size_t *ret_len, bool *ret_first, struct kc_err *err)
{
	_cleanup_free_ char *encoded = NULL, *again = NULL;
	_cleanup_free_ unsigned char *box = NULL;
	_cleanup_wiped_ char *data = NULL;
	const unsigned char *key;
	char id[KC_SEAL_ID];
	bool first = false;
	size_t total, n;
	int r = parse(text, len, id, &encoded, err);

	if (r < 0)
		return r;
	key = key_of(k, id, &first);
	if (!key)
		return kc_fail(err, KC_EAUTH,
			       "sealed with key %s, which is not in the key file; put that key's "
			       "line back into it",
			       id);
	if (kc_base64_decode(encoded, &box, &total, NULL) < 0 ||
	    total < KC_SEAL_NONCE + KC_SEAL_TAG)
		return kc_fail(err, KC_EAUTH, "sealed, but damaged; restore it from a backup");
	again = kc_base64_encode(box, total); /* the last digit may hold bits that nobody reads */
	if (!streq(encoded, again))
		return kc_fail(err, KC_EAUTH, "sealed, but damaged; restore it from a backup");
	n = total - KC_SEAL_NONCE - KC_SEAL_TAG;
	data = xmalloc(n + 1);
	data[n] = '\0';
	if (!kc_gcm_decrypt(key, box, name, strlen(name), box + KC_SEAL_NONCE, n,
			    (unsigned char *)data, box + KC_SEAL_NONCE + n))
		return kc_fail(err, KC_EAUTH,
			       "sealed, but changed since then, or it is another object's; "
			       "restore it from a backup");
	*ret_data = TAKE(data);
	*ret_len = n;
	*ret_first = first;
	return 0;
}
