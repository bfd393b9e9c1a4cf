/* Messages of bytes. Real servers are asked in tests/e2e/test_dns.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/dns.h"

/* www.example.com A, answered by two addresses, with a client subnet of scope 24. */
static const uint8_t reply[] = {
	0x12, 0x34, 0x84, 0x00, 0,   1,	  0,   2,   0,	 0,   0,   1, /* header */
	3,    'W',  'w',  'w',	7,   'e', 'x', 'a', 'm', 'p', 'l', 'e',
	3,    'c',  'o',  'm',	0, /* question */
	0,    1,    0,	  1,	   /* A IN */
	0xc0, 12,   0,	  1,	0,   1,	  0,   0,   0,	 30,  0,   4,
	192,  0,    2,	  20, /* answers */
	0xc0, 12,   0,	  1,	0,   1,	  0,   0,   0,	 30,  0,   4,
	192,  0,    2,	  1,					   /* */
	0,    0,    41,	  4,	208, 0,	  0,   0,   0,	 0,   11,  /* OPT */
	0,    8,    0,	  7,	0,   1,	  24,  24,  198, 51,  100, /* ECS */
};

static void test_reply(void **x)
{
	json_auto_t *got = NULL, *want = NULL;
	struct kc_err err;

	assert_int_equal(kc_dns_parse(reply, sizeof(reply), &got, &err), 0);
	want = kc_pack("{s:s, s:b, s:[{s:s, s:s, s:i, s:[s, s]}], s:[], s:i}", "rcode", "NOERROR",
		       "aa", 1, "answer", "name", "www.example.com.", "type", "A", "ttl", 30,
		       "data", "192.0.2.1", "192.0.2.20", "authority", "scope", 24);
	assert_true(json_equal(got, want));
}

/* Cut anywhere, or with any one byte another: a value or an error, never more. */
static void test_broken(void **x)
{
	uint8_t copy[sizeof(reply)];
	struct kc_err err;

	for (size_t n = 0; n < sizeof(reply); n++) {
		json_auto_t *got = NULL;

		if (kc_dns_parse(reply, n, &got, &err) < 0)
			assert_non_null(strstr(err.msg, "no DNS message"));
		else
			assert_true(n >= 12);
	}
	for (size_t i = 0; i < sizeof(reply); i++)
		for (int bit = 0; bit < 8; bit++) {
			json_auto_t *got = NULL;

			memcpy(copy, reply, sizeof(reply));
			copy[i] ^= (uint8_t)(1 << bit);
			kc_dns_parse(copy, sizeof(copy), &got, &err);
		}
}

static int update(const char *prerequisites, const char *changes, struct kc_err *err)
{
	struct kc_dns_server nobody = { .port = 1, .timeout_ms = 200 };
	json_auto_t *p = json_loads(prerequisites, 0, NULL), *c = json_loads(changes, 0, NULL);

	assert_true(kc_addr_parse("127.0.0.1", &nobody.address));
	assert_non_null(p);
	assert_non_null(c);
	return kc_dns_update(&nobody, "example.com.", p, c, err);
}

#define WWW "\"name\":\"www.example.com.\",\"type\":\"A\""

static void test_what_cannot_be_sent(void **x)
{
	struct kc_err err;

	assert_int_equal(update("[]", "[{\"add\":{" WWW ",\"ttl\":5,\"data\":[\"1.2.3\"]}}]", &err),
			 KC_EINVAL);
	assert_non_null(strstr(err.msg, "no data of a A record: \"1.2.3\""));
	/* A second line would be a second record. */
	assert_int_equal(update("[]",
				"[{\"add\":{" WWW ",\"ttl\":5,\"data\":[\"192.0.2.1\\nevil A "
				"192.0.2.2\"]}}]",
				&err),
			 KC_EINVAL);
	assert_int_equal(update("[{\"name\":\"a..b\",\"absent\":true}]", "[]", &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "no DNS name: \"a..b\""));
	assert_int_equal(update("[{\"name\":\"a.\",\"type\":\"NONE-SUCH\"}]", "[]", &err),
			 KC_EINVAL);
	assert_non_null(strstr(err.msg, "no record type \"NONE-SUCH\""));
	/* What can be sent finds nobody at that port. */
	assert_int_equal(update("[{" WWW ",\"absent\":true}]", "[{\"delete\":{" WWW "}}]", &err),
			 KC_EAGAIN);
	assert_non_null(strstr(err.msg, "127.0.0.1 port 1"));
}

static void test_more_than_a_message(void **x)
{
	json_auto_t *changes = json_array(), *none = json_array();
	struct kc_dns_server nobody = { .port = 1, .timeout_ms = 200 };
	struct kc_err err;

	for (int i = 0; i < 4000; i++) {
		_cleanup_free_ char *name = xasprintf("host-with-a-name-%d.example.com.", i);

		json_array_append_new(changes,
				      kc_pack("{s:{s:s, s:s, s:i, s:[s]}}", "add", "name", name,
					      "type", "A", "ttl", 5, "data", "192.0.2.1"));
	}
	assert_true(kc_addr_parse("127.0.0.1", &nobody.address));
	assert_int_equal(kc_dns_update(&nobody, "example.com.", none, changes, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "64 KB"));
}

static void test_bad_questions(void **x)
{
	struct kc_dns_server nobody = { .port = 1, .timeout_ms = 200 };
	struct kc_dns_question q = { .name = "example.com",
				     .type = "A",
				     .subnet = "198.51.100.1/24" };
	json_auto_t *got = NULL;
	struct kc_err err;

	assert_true(kc_addr_parse("127.0.0.1", &nobody.address));
	assert_int_equal(kc_dns_ask(&nobody, &q, &got, &err), KC_EINVAL);
	assert_non_null(strstr(err.msg, "no subnet"));
	q.subnet = "198.51.100.0/24";
	assert_int_equal(kc_dns_ask(&nobody, &q, &got, &err), KC_EAGAIN);
	assert_non_null(strstr(err.msg, "nobody listens there"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_what_cannot_be_sent),
		cmocka_unit_test(test_more_than_a_message),
		cmocka_unit_test(test_bad_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
