/* lib/crypto/jwt: tokens taken apart again and verified by the openssl program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/crypto/jwt.h"
#include "lib/crypto/pki.h"

static char dir[] = "/tmp/kc-jwt-XXXXXX";
static char *key, *other, *small, *cert;

static char *at(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static char *read_text(const char *name)
{
	_cleanup_free_ char *path = at(name);
	char *text;

	assert_int_equal(kc_file_read(path, 1 << 20, &text, NULL, NULL), 0);
	return text;
}

static void write_file(const char *name, const void *data, size_t len)
{
	_cleanup_free_ char *path = at(name);

	assert_int_equal(kc_file_write(path, data, len, 0600, NULL), 0);
}

static int openssl(char **ret_out, const char *line)
{
	_cleanup_free_ char *copy = xstrdup(line);
	const char *argv[32] = { "openssl" };
	char *save;
	int n = 1;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	return kc_run(&(struct kc_run){ .argv = argv, .dir = dir }, ret_out, NULL);
}

static int make_keys(void **state)
{
	assert_non_null(mkdtemp(dir));
	assert_int_equal(openssl(NULL, "genrsa -out key 2048"), 0);
	assert_int_equal(openssl(NULL, "genrsa -out other 2048"), 0);
	assert_int_equal(openssl(NULL, "genrsa -out small 1024"), 0);
	assert_int_equal(openssl(NULL, "rsa -in key -pubout -out public"), 0);
	assert_int_equal(openssl(NULL, "req -x509 -new -key key -subj /CN=app -days 2 -out cert"),
			 0);
	key = read_text("key");
	other = read_text("other");
	small = read_text("small");
	cert = read_text("cert");
	return 0;
}

static int drop_keys(void **state)
{
	free(key);
	free(other);
	free(small);
	free(cert);
	return kc_rm_rf(dir, NULL);
}

/* A decoder of its own: padding and the alphabet put back. */
static unsigned char *decode(const char *text, size_t len, size_t *ret_len)
{
	_cleanup_free_ char *s = xcalloc(len + 4, 1);
	unsigned char *out;

	for (size_t i = 0; i < len; i++)
		s[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
	while (len % 4)
		s[len++] = '=';
	assert_int_equal(kc_base64_decode(s, &out, ret_len, NULL), 0);
	return out;
}

static json_t *decode_json(const char *text, size_t len)
{
	size_t n;
	_cleanup_free_ unsigned char *data = decode(text, len, &n);
	json_t *v;

	assert_int_equal(kc_json_parse((char *)data, n, "token", &v, NULL), 0);
	return v;
}

static int verify(const char *token, const char *options)
{
	const char *dot = strrchr(token, '.');
	size_t n;
	_cleanup_free_ unsigned char *signature = decode(dot + 1, strlen(dot + 1), &n);
	_cleanup_free_ char *line = NULL;

	write_file("input", token, (size_t)(dot - token));
	write_file("signature", signature, n);
	line = xasprintf("dgst -sha256 %s -verify public -signature signature input", options);
	return openssl(NULL, line);
}

static void check(enum kc_jwt_alg alg, const char *name, const char *options,
		  const char *other_options)
{
	json_auto_t *header = kc_pack("{s:s}", "kid", "k-1"), *got_header = NULL,
		    *claims = kc_pack("{s:s, s:s, s:I}", "iss", "a@b", "aud", "https://x/\xc3\xbc",
				      "exp", (json_int_t)1700000000),
		    *got_claims = NULL;
	_cleanup_free_ char *token = NULL;
	const char *dot;

	assert_int_equal(kc_jwt_sign(alg, header, claims, key, &token, NULL), 0);
	assert_null(strpbrk(token, "+/= \n"));
	dot = strchr(token, '.');
	got_header = decode_json(token, (size_t)(dot - token));
	got_claims = decode_json(dot + 1, strcspn(dot + 1, "."));
	assert_string_equal(kc_json_get_str(got_header, "alg", ""), name);
	assert_string_equal(kc_json_get_str(got_header, "typ", ""), "JWT");
	assert_string_equal(kc_json_get_str(got_header, "kid", ""), "k-1");
	assert_true(json_equal(got_claims, claims));
	assert_int_equal(verify(token, options), 0);
	assert_int_not_equal(verify(token, other_options), 0);
	strchr(token, '.')[3] ^= 1; /* within the claims */
	assert_int_not_equal(verify(token, options), 0);
}

#define PSS "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"

static void rs256_is_verified_by_openssl(void **state)
{
	check(KC_JWT_RS256, "RS256", "", PSS);
}

static void ps256_is_verified_by_openssl(void **state)
{
	check(KC_JWT_PS256, "PS256", PSS, "");
}

/* RFC 4648, section 10, in the alphabet of section 5; RFC 7515, appendix C. */
static void base64url_matches_the_rfcs(void **state)
{
	static const unsigned char bytes[] = { 3, 236, 255, 224, 193 };
	_cleanup_free_ char *a = kc_base64url_encode("fooba", 5), *b = kc_base64url_encode("", 0),
			    *c = kc_base64url_encode(bytes, sizeof(bytes));

	assert_string_equal(a, "Zm9vYmE");
	assert_string_equal(b, "");
	assert_string_equal(c, "A-z_4ME");
}

static void refuse(const char *pem, const char *reason)
{
	json_auto_t *claims = json_object();
	_cleanup_free_ char *token = NULL;
	struct kc_err err;

	assert_int_equal(kc_jwt_sign(KC_JWT_RS256, NULL, claims, pem, &token, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, reason));
	assert_null(token);
}

static void wrong_keys_are_refused(void **state)
{
	_cleanup_free_ char *ec = NULL, *locked = NULL, *half = xstrndup(key, strlen(key) / 2);

	assert_int_equal(kc_key_new(&ec, NULL), 0);
	assert_int_equal(openssl(NULL, "rsa -aes256 -passout pass:x -in key -out locked"), 0);
	locked = read_text("locked");
	refuse("", "no RSA key");
	refuse("not PEM", "no RSA key");
	refuse(ec, "no RSA key");
	refuse(half, "no RSA key");
	refuse(locked, "no RSA key");
	refuse(cert, "no RSA key");
	refuse(small, "1024 bits");
}

static void thumbprint_is_openssls(void **state)
{
	_cleanup_free_ char *both = xasprintf("%s%s", key, cert), *out = NULL, *thumb = NULL;
	_cleanup_free_ unsigned char *bytes = NULL;
	char hex[65], want[65];
	size_t len, n = 0;

	assert_int_equal(kc_jwt_thumbprint(both, &thumb, NULL), 0);
	bytes = decode(thumb, strlen(thumb), &len);
	assert_int_equal(len, 32);
	kc_hex(bytes, len, hex);
	assert_int_equal(openssl(&out, "x509 -in cert -noout -fingerprint -sha256"), 0);
	for (const char *p = strchr(out, '=') + 1; *p && n < 64; p++)
		if (*p != ':')
			want[n++] = (char)(*p >= 'A' && *p <= 'F' ? *p + 32 : *p);
	want[n] = '\0';
	assert_string_equal(hex, want);
}

static void thumbprint_needs_the_keys_own_certificate(void **state)
{
	_cleanup_free_ char *mixed = xasprintf("%s%s", other, cert), *thumb = NULL;
	struct kc_err err;

	assert_int_equal(kc_jwt_thumbprint(mixed, &thumb, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "not of this key"));
	assert_int_equal(kc_jwt_thumbprint(key, &thumb, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "no certificate"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rs256_is_verified_by_openssl),
		cmocka_unit_test(ps256_is_verified_by_openssl),
		cmocka_unit_test(base64url_matches_the_rfcs),
		cmocka_unit_test(wrong_keys_are_refused),
		cmocka_unit_test(thumbprint_is_openssls),
		cmocka_unit_test(thumbprint_needs_the_keys_own_certificate),
	};

	return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
