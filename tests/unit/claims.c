/* Test vectors of claims: whoever else writes them must write these bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dns/claims.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/sign.h"

/* RFC 8032, 7.1, test 1, as PKCS#8 and SubjectPublicKeyInfo. */
static const char key[] = "-----BEGIN PRIVATE KEY-----\n"
			  "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
			  "-----END PRIVATE KEY-----\n";
static const char public_key[] = "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
static const char other_public[] = "MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

/* The RFC's own signature of the empty message. */
static const char empty_signed[] = "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc"
				   "+bRr0lv18FlbviRlUUFDjnoQCw==";

static struct kc_claim make(uint64_t epoch, const char *a, const char *b)
{
	return (struct kc_claim){ .owner = xstrdup("prod"),
				  .region = xstrdup("eu"),
				  .epoch = epoch,
				  .addresses = b   ? kc_pack("[s, s]", a, b)
					       : a ? kc_pack("[s]", a)
						   : json_array() };
}

static void test_sign(void **x)
{
	_cleanup_free_ char *sig = NULL, *pub = NULL;
	struct kc_err err;

	assert_int_equal(kc_sign_public(key, &pub, &err), 0);
	assert_string_equal(pub, public_key);
	assert_int_equal(kc_sign(key, "", 0, &sig, &err), 0);
	assert_string_equal(sig, empty_signed);
	assert_int_equal(kc_sign_verify(public_key, "", 0, empty_signed, &err), 0);
	assert_int_equal(kc_sign_verify(other_public, "", 0, sig, &err), KC_EAUTH);
	assert_int_equal(kc_sign_verify(public_key, "x", 1, sig, &err), KC_EAUTH);
	assert_int_equal(kc_sign_verify(public_key, "", 0, "AAAA", &err), KC_EAUTH);
	assert_int_equal(kc_sign_verify("AAAA", "", 0, sig, &err), KC_EINVAL);
	assert_int_equal(kc_sign("no key", "", 0, &pub, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "openssl genpkey"));
	assert_false(
		kc_is_sign_public("MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHUQ=="));
}

static void test_vectors(void **x)
{
	static const struct {
		uint64_t epoch;
		const char *a, *b, *name, *body, *down;
	} vectors[] = {
		{ 1, "192.0.2.1", NULL, "www.example.com.", "v=kc1 o=prod r=eu e=1 ep=192.0.2.1",
		  NULL },
		{ 7, "2001:db8::1", "192.0.2.1", "www.example.com.",
		  "v=kc1 o=prod r=eu e=7 ep=192.0.2.1,2001:db8::1", NULL },
		{ 3, NULL, NULL, "www.example.com.", "v=kc1 o=prod r=eu e=3 ep=none", NULL },
		{ 999999999999999999, "192.0.2.9", "192.0.2.10", "*.example.com.",
		  "v=kc1 o=prod r=eu e=999999999999999999 ep=192.0.2.10,192.0.2.9", NULL },
		{ 2, "192.0.2.1", NULL, "www.example.com.",
		  "v=kc1 o=prod r=eu e=2 ep=192.0.2.1 d=us", "us" },
		{ 2, NULL, NULL, "www.example.com.", "v=kc1 o=prod r=eu e=2 ep=none d=ap,us,us-2",
		  "us-2,us,ap,us" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		_cleanup_claim_ struct kc_claim c = make(vectors[i].epoch, vectors[i].a,
							 vectors[i].b),
						back = { 0 };
		_cleanup_free_ char *text = NULL, *data = NULL, *again = NULL, *body = NULL;
		struct kc_err err;

		c.down = vectors[i].down ? kc_json_split(vectors[i].down, ',') : NULL;
		assert_int_equal(kc_claim_write(&c, vectors[i].name, key, &text, &err), 0);
		body = xstrndup(text, strlen(vectors[i].body));
		assert_string_equal(body, vectors[i].body);
		data = kc_claim_data(text);
		again = kc_claim_text(data);
		assert_string_equal(again, text);
		assert_int_equal(kc_claim_read(text, vectors[i].name, public_key, &back, &err), 0);
		assert_int_equal(back.epoch, vectors[i].epoch);
		assert_string_equal(back.region, "eu");
		assert_int_equal(json_array_size(back.down) > 0, vectors[i].down != NULL);
		assert_int_equal(kc_claim_read(text, "other.example.com.", public_key, &back, &err),
				 KC_EAUTH);
		assert_int_equal(kc_claim_read(text, vectors[i].name, other_public, &back, &err),
				 KC_EAUTH);
	}
}

/* One claim has one text: with any one bit another it is none. */
static void test_one_text(void **x)
{
	_cleanup_claim_ struct kc_claim c = make(12, "192.0.2.1", "192.0.2.2");
	_cleanup_free_ char *text = NULL;
	struct kc_err err;
	static const char *const others[] = {
		"v=kc1 o=prod r=eu e=012 ep=192.0.2.1,192.0.2.2",
		"v=kc1  o=prod r=eu e=12 ep=192.0.2.1",
		"v=kc1 r=eu o=prod e=12 ep=192.0.2.1",
		"v=kc1 o=prod r=eu e=0 ep=192.0.2.1",
		"v=kc1 o=prod r=eu e=12 ep=",
		"v=kc1 o=prod r=eu e=12 ep=192.0.2.1 d=",
		"v=kc1 o=prod r=eu e=12 d=us ep=192.0.2.1",
		"v=kc1 o=Prod r=eu e=12 ep=192.0.2.1",
		"",
		"v=kc1",
	};

	assert_int_equal(kc_claim_write(&c, "www.example.com.", key, &text, &err), 0);
	for (size_t i = 0; i < strlen(text) * 8; i++) {
		_cleanup_free_ char *bad = xstrdup(text);
		_cleanup_claim_ struct kc_claim got = { 0 };

		bad[i / 8] = (char)(bad[i / 8] ^ (1 << i % 8));
		assert_true(kc_claim_read(bad, "www.example.com.", public_key, &got, &err) < 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		_cleanup_free_ char *bad = xasprintf("%s %s", others[i], strstr(text, "s="));
		_cleanup_claim_ struct kc_claim got = { 0 };

		assert_true(kc_claim_read(bad, "www.example.com.", public_key, &got, &err) < 0);
	}
}

static void test_addresses(void **x)
{
	static const char *const bad[] = { "192.0.2", "2001:DB8::1", "", "::ffff:1.2.3.4.5" };
	_cleanup_free_ char *text = NULL;
	struct kc_err err;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_claim_ struct kc_claim c = make(1, bad[i], NULL);

		assert_int_equal(kc_claim_write(&c, "a.", key, &text, &err), KC_EINVAL);
	}
}

/* Signed well, and still in another form than the one: no reader may take it. */
static void test_signed_otherwise(void **x)
{
	static const char *const bodies[] = {
		"v=kc1 o=prod r=eu e=2 ep=192.0.2.1 d=us,ap", /* not sorted */
		"v=kc1 o=prod r=eu e=2 ep=192.0.2.1 d=us,us",
		"v=kc1 o=prod r=eu e=2 ep=192.0.2.1 d=eu", /* itself */
		"v=kc1 o=prod r=eu e=2 ep=192.0.2.1 d=US",
		"v=kc1 o=prod r=eu e=2 ep=192.0.2.1 d=us,",
		"v=kc1 o=prod r=eu e=2 ep=192.0.2.1 d=none!",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		_cleanup_free_ char *bytes = xasprintf("kubecdn claim 1\nwww.example.com.\n%s",
						       bodies[i]),
				    *sig = NULL, *text = NULL;
		_cleanup_claim_ struct kc_claim got = { 0 };
		struct kc_err err;

		assert_int_equal(kc_sign(key, bytes, strlen(bytes), &sig, &err), 0);
		text = xasprintf("%s s=%s", bodies[i], sig);
		assert_int_equal(kc_claim_read(text, "www.example.com.", public_key, &got, &err),
				 KC_EINVAL);
	}
}

static void test_names_and_data(void **x)
{
	_cleanup_free_ char *a = kc_claim_name("www.example.com.", "eu"),
			    *b = kc_claim_name("*.example.com.", "eu"), *text = xmalloc(601), *data,
			    *again;

	assert_string_equal(a, "_kc.eu.www.example.com.");
	assert_string_equal(b, "_kc.eu._wildcard.example.com.");
	memset(text, 'x', 600);
	text[600] = '\0';
	data = kc_claim_data(text);
	again = kc_claim_text(data);
	assert_int_equal(strlen(data), 600 + 3 * 2 + 2);
	assert_string_equal(again, text);
	assert_null(kc_claim_text("plain"));
	assert_null(kc_claim_text("\"open"));
	assert_null(kc_claim_text("\"a\"\"b\""));
	assert_null(kc_claim_text("\"a\" "));
	assert_null(kc_claim_text("\"a\\\"b\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_one_text),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_signed_otherwise),
		cmocka_unit_test(test_names_and_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
