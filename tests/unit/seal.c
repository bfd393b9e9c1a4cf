/* lib/crypto/seal: published vectors, every way to tamper, and key files that are wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/crypto/hash.h"
#include "lib/crypto/seal.h"

static char top[] = "/tmp/kc-seal-XXXXXX";
static struct kc_err err;

static size_t unhex(const char *hex, unsigned char *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &out[i]), 1);
	return n;
}

/* "The Galois/Counter Mode of Operation" (the submission to NIST), test cases 13, 14 and 16. */
static void gcm_matches_its_vectors(void **state)
{
	static const struct {
		const char *key, *nonce, *aad, *plain, *cipher, *tag;
	} v[] = {
		{ "0000000000000000000000000000000000000000000000000000000000000000",
		  "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
		{ "0000000000000000000000000000000000000000000000000000000000000000",
		  "000000000000000000000000", "", "00000000000000000000000000000000",
		  "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
		{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
		  "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
		  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		  "76fc6ece0f4e1768cddf8853bb2d551b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		unsigned char key[32], nonce[12], aad[64], plain[64], want[64], wtag[16], out[64],
			tag[16];
		size_t na, n;

		unhex(v[i].key, key);
		unhex(v[i].nonce, nonce);
		na = unhex(v[i].aad, aad);
		n = unhex(v[i].plain, plain);
		unhex(v[i].cipher, want);
		unhex(v[i].tag, wtag);
		kc_gcm_encrypt(key, nonce, aad, na, plain, n, out, tag);
		assert_memory_equal(out, want, n);
		assert_memory_equal(tag, wtag, 16);
		assert_true(kc_gcm_decrypt(key, nonce, aad, na, want, n, out, wtag));
		assert_memory_equal(out, plain, n);
		wtag[15] ^= 1;
		assert_false(kc_gcm_decrypt(key, nonce, aad, na, want, n, out, wtag));
	}
}

static char *file_with(const char *text, mode_t mode)
{
	char *path = xasprintf("%s/keys", top);

	assert_int_equal(kc_file_write(path, text, strlen(text), mode, NULL), 0);
	return path;
}

/* A line of a key file for a key that is one byte again and again. */
static char *line_of(unsigned char byte)
{
	unsigned char key[KC_SEAL_KEY];

	memset(key, byte, sizeof(key));
	return kc_base64_encode(key, sizeof(key));
}

static void keys_of(struct kc_seal_keys *k, unsigned char first, unsigned char second)
{
	_cleanup_free_ char *a = line_of(first), *b = line_of(second),
			    *text = second ? xasprintf("# ours\n%s\n\n%s\n", a, b)
					   : xasprintf("%s\n", a),
			    *path = file_with(text, 0600);

	if (kc_seal_keys_read(path, k, &err) < 0)
		fail_msg("%s", err.msg);
}

static void every_byte_counts(void **state)
{
	static const char secret[] =
		"{\"key\":\"PRIVATE!\"}"; /* 46 bytes in the box: base64 with padding */
	_cleanup_free_ char *sealed = NULL, *again = NULL, *out = NULL;
	struct kc_seal_keys k;
	size_t len, n;
	bool first;

	keys_of(&k, 1, 0);
	sealed = kc_seal(&k, "pki/ca.json", secret, strlen(secret));
	again = kc_seal(&k, "pki/ca.json", secret, strlen(secret));
	len = strlen(sealed);
	assert_true(kc_is_sealed(sealed, len));
	assert_string_not_equal(sealed, again); /* another nonce */
	assert_null(strstr(sealed, "PRIVATE"));
	assert_int_equal(kc_unseal(&k, "pki/ca.json", sealed, len, &out, &n, &first, &err), 0);
	assert_string_equal(out, secret);
	assert_true(first && n == strlen(secret));
	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			char *data = NULL;

			sealed[i] ^= (char)(1 << bit);
			if (kc_is_sealed(sealed, len)) /* else it is not taken for one of ours */
				assert_int_equal(kc_unseal(&k, "pki/ca.json", sealed, len, &data,
							   &n, &first, &err),
						 KC_EAUTH);
			assert_null(data);
			sealed[i] ^= (char)(1 << bit);
		}
		assert_int_equal(!kc_is_sealed(sealed, i) ? KC_EAUTH
							  : kc_unseal(&k, "pki/ca.json", sealed, i,
								      &again, &n, &first, &err),
				 KC_EAUTH); /* cut short */
	}
	assert_int_equal(kc_unseal(&k, "pki/sa.json", sealed, len, &again, &n, &first, &err),
			 KC_EAUTH);
	assert_non_null(strstr(err.msg, "another object's"));
	kc_seal_keys_done(&k);
}

static void several_keys(void **state)
{
	_cleanup_free_ char *sealed = NULL, *out = NULL;
	struct kc_seal_keys old, both, new;
	size_t n;
	bool first = true;

	keys_of(&old, 1, 0);
	keys_of(&both, 2, 1);
	keys_of(&new, 2, 0);
	sealed = kc_seal(&old, "x", "bytes", 5);
	assert_int_equal(kc_unseal(&both, "x", sealed, strlen(sealed), &out, &n, &first, &err), 0);
	assert_false(first);
	assert_int_equal(kc_unseal(&new, "x", sealed, strlen(sealed), &out, &n, &first, &err),
			 KC_EAUTH);
	assert_non_null(strstr(err.msg, old.id[0]));
	assert_non_null(strstr(err.msg, "which is not in the key file"));
	free(sealed);
	sealed = kc_seal(&both, "x", "", 0);
	free(out);
	assert_int_equal(kc_unseal(&new, "x", sealed, strlen(sealed), &out, &n, &first, &err), 0);
	assert_true(first && n == 0);
}

static void refused(const char *text, mode_t mode, int code, const char *says)
{
	_cleanup_free_ char *path = file_with(text, mode);
	struct kc_seal_keys k = { .n = 77 };

	assert_int_equal(kc_seal_keys_read(path, &k, &err), code);
	if (!strstr(err.msg, says) || !strstr(err.msg, path) || strchr(err.msg, '\n'))
		fail_msg("%s is not in: %s", says, err.msg);
	assert_int_equal(k.n, 77);
}

static void key_files_that_are_wrong(void **state)
{
	_cleanup_free_ char *good = line_of(1), *open = xasprintf("%s\n", good),
			    *second = xasprintf("%s\nhello\n", good),
			    *missing = xasprintf("%s/none", top);
	struct kc_seal_keys k;

	refused(open, 0640, KC_EAUTH, "others may read or write");
	refused(open, 0604, KC_EAUTH, "chmod 600");
	refused("", 0600, KC_EINVAL, "no key in this file");
	refused("# nothing\n", 0600, KC_EINVAL, "head -c 32 /dev/urandom | base64");
	refused("YQ==\n", 0600, KC_EINVAL, "keys:1:1: a key of 1 bytes; it must have 32");
	refused(second, 0600, KC_EINVAL, "keys:2:1: not a key");
	assert_null(strstr(err.msg, good));
	assert_int_equal(kc_seal_keys_read(missing, &k, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "there is no such key file; make one with"));
	assert_int_equal(kc_seal_keys_read(top, &k, &err), KC_EINVAL);
}

static int setup(void **state)
{
	umask(0);
	return mkdtemp(top) ? 0 : -1;
}

static int teardown(void **state)
{
	return kc_rm_rf(top, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gcm_matches_its_vectors),
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(several_keys),
		cmocka_unit_test(key_files_that_are_wrong),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
