/* clouds/aws/sign against values that AWS publishes; tests/e2e/test_aws_sign.py does the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "clouds/aws/sign.h"
#include "lib/base/mem.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define NOON   1440938160 /* 2015-08-30T12:36:00Z */

static void check(const char *service, struct kc_aws_request q, const char *want)
{
	const struct kc_aws_signer s = {
		.id = "AKIDEXAMPLE",
		.secret = SECRET,
		.region = "us-east-1",
		.service = service,
		.now = NOON,
	};
	char *added[KC_AWS_SIGNED + 1] = { 0 };
	struct kc_err err;

	assert_int_equal(kc_aws_sign(&s, &q, added, &err), 0);
	assert_string_equal(added[0], "x-amz-date: 20150830T123600Z");
	assert_string_equal(added[1], want);
	assert_null(added[2]);
	kc_aws_signed_done(added);
}

/* "get-vanilla" of the Signature Version 4 test suite. */
static void test_vanilla(void **state)
{
	check("service",
	      (struct kc_aws_request){ .method = "GET", .url = "https://example.amazonaws.com/" },
	      "authorization: AWS4-HMAC-SHA256 "
	      "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
	      "SignedHeaders=host;x-amz-date, "
	      "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

/* The example in the AWS General Reference. */
static void test_list_users(void **state)
{
	static const char *const headers[] = {
		"Content-Type: application/x-www-form-urlencoded; charset=utf-8",
		NULL,
	};

	check("iam",
	      (struct kc_aws_request){
		      .method = "GET",
		      .url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
		      .headers = headers,
	      },
	      "authorization: AWS4-HMAC-SHA256 "
	      "Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
	      "SignedHeaders=content-type;host;x-amz-date, "
	      "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vanilla),
		cmocka_unit_test(test_list_users),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
