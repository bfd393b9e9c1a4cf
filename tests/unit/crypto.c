/* lib/crypto: published vectors, and certificates read back by the openssl program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/crypto/pki.h"

static void sha256_matches_fips_180(void **state)
{
	char hex[KC_SHA256_HEX];

	kc_sha256("abc", 3, hex);
	assert_string_equal(hex,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	kc_sha256("", 0, hex);
	assert_string_equal(hex,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, test case 2. */
static void hmac_matches_rfc_4231(void **state)
{
	char hex[KC_SHA256_HEX];

	kc_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, hex);
	assert_string_equal(hex,
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void base64_is_strict(void **state)
{
	static const char *const bad[] = { "YQ", "YQ=", "Y Q=", "Y===", "YQ==\n", "!!!!" };
	unsigned char *data = NULL;
	char *text = kc_base64_encode("any carnal pleas", 16);
	size_t len = 0;

	assert_string_equal(text, "YW55IGNhcm5hbCBwbGVhcw==");
	assert_int_equal(kc_base64_decode(text, &data, &len, NULL), 0);
	assert_int_equal(len, 16);
	assert_memory_equal(data, "any carnal pleas", 16);
	free(text);
	free(data);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kc_base64_decode(bad[i], &data, &len, NULL), KC_EINVAL);
}

struct ca {
	char *cert, *key;
};

static int make_ca(void **state)
{
	static struct ca ca;
	struct kc_err err;

	*state = &ca;
	return kc_ca_new("test-ca", 3600, &ca.cert, &ca.key, &err);
}

static int free_ca(void **state)
{
	struct ca *ca = *state;

	free(ca->cert);
	kc_free_wiped(ca->key);
	return 0;
}

static const char *const orgs[] = { "system:nodes", NULL };
static const char *const sans[] = { "w1", "192.0.2.12", "2001:db8::1", NULL };
static const struct kc_cert_spec spec = { .cn = "system:node:w1",
					  .orgs = orgs,
					  .sans = sans,
					  .uses = KC_USE_CLIENT | KC_USE_SERVER,
					  .seconds = 600 };

static void leaf_says_what_the_spec_says(void **state)
{
	struct ca *ca = *state;
	_cleanup_free_ char *cert = NULL;
	_cleanup_wiped_ char *key = NULL;
	_cleanup_cert_info_ struct kc_cert_info info = { 0 };
	_cleanup_cert_info_ struct kc_cert_info ca_info = { 0 };
	char id[65];
	time_t now = time(NULL);

	assert_int_equal(kc_cert_new(ca->cert, ca->key, &spec, &cert, &key, NULL), 0);
	assert_int_equal(kc_cert_read(cert, &info, NULL), 0);
	assert_int_equal(kc_cert_read(ca->cert, &ca_info, NULL), 0);
	assert_string_equal(info.cn, "system:node:w1");
	assert_true(kc_json_has_str(info.orgs, "system:nodes"));
	assert_int_equal(json_array_size(info.sans), 3);
	assert_true(kc_json_has_str(info.sans, "2001:db8::1"));
	assert_int_equal(info.uses, 3);
	assert_false(info.ca);
	assert_true(ca_info.ca);
	assert_string_equal(info.issuer_id, ca_info.own_id);
	assert_true(info.not_before <= now - 290 && info.not_after <= now + 601);
	assert_int_equal(kc_key_id(key, id, NULL), 0);
	assert_string_equal(id, info.key_id);
	assert_int_equal(kc_cert_verify(cert, ca->cert, now, NULL), 0);
	assert_int_equal(kc_cert_verify(cert, ca->cert, now + 7200, NULL), KC_EAUTH);
}

static void leaf_never_outlives_its_ca(void **state)
{
	struct ca *ca = *state;
	struct kc_cert_spec longer = spec;
	_cleanup_free_ char *cert = NULL;
	_cleanup_wiped_ char *key = NULL;
	_cleanup_cert_info_ struct kc_cert_info info = { 0 };

	longer.seconds = 10 * 365 * 86400L;
	assert_int_equal(kc_cert_new(ca->cert, ca->key, &longer, &cert, &key, NULL), 0);
	assert_int_equal(kc_cert_read(cert, &info, NULL), 0);
	assert_true(info.not_after <= time(NULL) + 3601);
}

static void foreign_ca_does_not_verify(void **state)
{
	struct ca *ca = *state;
	_cleanup_free_ char *cert = NULL, *other = NULL;
	_cleanup_wiped_ char *key = NULL, *other_key = NULL;

	assert_int_equal(kc_ca_new("test-ca", 3600, &other, &other_key, NULL), 0);
	assert_int_equal(kc_cert_new(other, other_key, &spec, &cert, &key, NULL), 0);
	assert_int_equal(kc_cert_verify(cert, ca->cert, time(NULL), NULL), KC_EAUTH);
}

/* A request whose signature does not fit its key must not get a certificate. */
static void altered_request_is_refused(void **state)
{
	struct ca *ca = *state;
	_cleanup_wiped_ char *key = NULL;
	_cleanup_free_ char *csr = NULL, *cert = NULL;
	struct kc_err err;
	char *p;

	assert_int_equal(kc_key_new(&key, NULL), 0);
	assert_int_equal(kc_csr_new(key, &spec, &csr, NULL), 0);
	p = strstr(csr, "\n-----END") - 12; /* inside the signature */
	*p = *p == 'A' ? 'B' : 'A';
	assert_int_equal(kc_cert_issue(ca->cert, ca->key, csr, &spec, &cert, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "not signed by its own key"));
	assert_int_equal(kc_cert_issue(ca->cert, ca->key, "x", &spec, &cert, &err), KC_EINVAL);
	assert_null(cert);
}

/* A node's name behind "system:node:" is longer than a common name should be. */
static void long_names_stay_whole(void **state)
{
	struct ca *ca = *state;
	struct kc_cert_spec s = spec;
	_cleanup_free_ char *cn = xasprintf("system:node:%0253d", 0), *cert = NULL;
	_cleanup_wiped_ char *key = NULL;
	_cleanup_cert_info_ struct kc_cert_info info = { 0 };
	struct kc_err err = { 0 };

	s.cn = cn; /* names of nodes are labels; Kubernetes' own may be longer */
	if (kc_cert_new(ca->cert, ca->key, &s, &cert, &key, &err) < 0 ||
	    kc_cert_read(cert, &info, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(info.cn, cn);
	assert_int_equal(kc_cert_verify(cert, ca->cert, time(NULL), &err), 0);
}

static void openssl_agrees(void **state)
{
	struct ca *ca = *state;
	char dir[] = "/tmp/kc-crypto-XXXXXX";
	_cleanup_free_ char *cert = NULL, *ca_path = NULL, *leaf_path = NULL, *text = NULL,
			    *verdict = NULL;
	_cleanup_wiped_ char *key = NULL;

	assert_non_null(mkdtemp(dir));
	ca_path = xasprintf("%s/ca.crt", dir);
	leaf_path = xasprintf("%s/leaf.crt", dir);
	assert_int_equal(kc_cert_new(ca->cert, ca->key, &spec, &cert, &key, NULL), 0);
	assert_int_equal(kc_file_write(ca_path, ca->cert, strlen(ca->cert), 0644, NULL), 0);
	assert_int_equal(kc_file_write(leaf_path, cert, strlen(cert), 0644, NULL), 0);
	assert_int_equal(kc_runl(&verdict, NULL, "openssl", "verify", "-x509_strict", "-CAfile",
				 ca_path, leaf_path, NULL),
			 0);
	assert_int_equal(kc_runl(&text, NULL, "openssl", "x509", "-in", leaf_path, "-noout",
				 "-text", NULL),
			 0);
	assert_non_null(strstr(text, "O = system:nodes, CN = system:node:w1"));
	assert_non_null(strstr(text, "DNS:w1, IP Address:192.0.2.12"));
	assert_non_null(strstr(text, "TLS Web Client Authentication, TLS Web Server"));
	assert_int_equal(kc_rm_rf(dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_matches_fips_180),
		cmocka_unit_test(hmac_matches_rfc_4231),
		cmocka_unit_test(base64_is_strict),
		cmocka_unit_test_setup_teardown(leaf_says_what_the_spec_says, make_ca, free_ca),
		cmocka_unit_test_setup_teardown(leaf_never_outlives_its_ca, make_ca, free_ca),
		cmocka_unit_test_setup_teardown(foreign_ca_does_not_verify, make_ca, free_ca),
		cmocka_unit_test_setup_teardown(altered_request_is_refused, make_ca, free_ca),
		cmocka_unit_test_setup_teardown(long_names_stay_whole, make_ca, free_ca),
		cmocka_unit_test_setup_teardown(openssl_agrees, make_ca, free_ca),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
