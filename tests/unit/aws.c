/* clouds/aws without a network: configuration files, endpoints, rrsets in both languages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "clouds/aws/config.h"
#include "clouds/aws/route53_impl.h"
#include "lib/codec/json.h"

static void test_config(void **state)
{
	json_auto_t *c = json_object();
	const json_t *p;
	struct kc_err err;

	assert_int_equal(
		kc_aws_config_parse("# one\n\n[default]\r\nRegion = eu-central-1\r\n"
				    "s3 =\n  Signature_Version = s3v4\n\taddressing_style=path\n"
				    "empty =\n[ profile  a b ]\nx = 1 # 2\n[profile 'q']\ny==\n"
				    "[preview]\nz = 1\n[services s]\nsts =\n endpoint_url = "
				    "http://x\n",
				    "file", false, c, &err),
		0);
	p = kc_aws_profile(c, "default");
	assert_string_equal(kc_aws_value(p, "region"), "eu-central-1");
	assert_string_equal(kc_aws_at(p, "region"), "file:4");
	assert_string_equal(kc_aws_value(p, "s3.signature_version"), "s3v4");
	assert_string_equal(kc_aws_value(p, "s3.addressing_style"), "path");
	assert_null(kc_aws_value(p, "empty"));
	assert_string_equal(kc_aws_value(kc_aws_profile(c, "a b"), "x"), "1 # 2");
	assert_string_equal(kc_aws_value(kc_aws_profile(c, "q"), "y"), "=");
	assert_null(kc_aws_profile(c, "preview"));

	/* What the credentials file says of a key wins; its sections are profiles. */
	assert_int_equal(kc_aws_config_parse("[q]\ny = credentials\n", "other", true, c, &err), 0);
	assert_string_equal(kc_aws_value(kc_aws_profile(c, "q"), "y"), "credentials");
	assert_string_equal(kc_aws_at(kc_aws_profile(c, "q"), "y"), "other:2");
}

static void test_config_mistakes(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "[default\n", "f:1: \"[\" without \"]\"" },
		{ "a = b\n", "f:1: a key before any [section]" },
		{ "[default]\n\nsecret\n", "f:3: neither [section] nor key = value" },
		{ "[default]\n= secret\n", "f:2: neither [section] nor key = value" },
		{ "[default]\na = \xff\n", "f:2: the key or its value is no UTF-8" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_auto_t *c = json_object();
		struct kc_err err = { 0 };

		assert_int_equal(kc_aws_config_parse(cases[i].text, "f", false, c, &err),
				 KC_EINVAL);
		assert_string_equal(err.msg, cases[i].want);
	}
}

static void endpoint_is(const json_t *c, const char *want)
{
	_cleanup_free_ char *got = kc_aws_endpoint(c, "default", "ROUTE_53");

	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
}

static void test_endpoint(void **state)
{
	json_auto_t *c = json_object();

	unsetenv("AWS_ENDPOINT_URL");
	unsetenv("AWS_ENDPOINT_URL_ROUTE_53");
	assert_int_equal(kc_aws_config_parse("[default]\nendpoint_url = http://4\n", "f", false, c,
					     NULL),
			 0);
	endpoint_is(c, "http://4");
	assert_int_equal(kc_aws_config_parse("[default]\nservices = s\n[services s]\nroute_53 =\n"
					     "  endpoint_url = http://3\n",
					     "f", false, c, NULL),
			 0);
	endpoint_is(c, "http://3");
	setenv("AWS_ENDPOINT_URL", "http://2", 1);
	endpoint_is(c, "http://2");
	setenv("AWS_ENDPOINT_URL_ROUTE_53", "http://1", 1);
	endpoint_is(c, "http://1");
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
	endpoint_is(c, NULL);
	unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
}

static void test_names(void **state)
{
	static const char *const cases[][2] = {
		{ "\\052.Example.com", "*.example.com." },
		{ "a\\057b.example.com.", "a\\057b.example.com." },
		{ ".", "." },
		{ "", "." },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *got = kc_route53_name(cases[i][0]);

		assert_string_equal(got, cases[i][1]);
	}
}

static void refuses(json_t *theirs, int code, const char *want)
{
	struct kc_err err = { 0 };
	json_t *ours = NULL;

	assert_int_equal(kc_route53_rrset_read(theirs, &ours, &err), code);
	assert_string_equal(err.msg, want);
	assert_null(ours);
	json_decref(theirs);
}

static void test_rrsets(void **state)
{
	json_auto_t *part = kc_pack("{s:s, s:s, s:s, s:{s:s, s:s}, s:i, s:[{s:s}]}", "Name", "a.",
				    "Type", "A", "SetIdentifier", "x", "GeoLocation", "CountryCode",
				    "US", "SubdivisionCode", "CA", "TTL", 1, "ResourceRecords",
				    "Value", "192.0.2.1"),
		    *whole = kc_pack("{s:s, s:s, s:s, s:{s:s}, s:i, s:[{s:s}]}", "Name", "a.",
				     "Type", "A", "SetIdentifier", "x", "GeoLocation",
				     "ContinentCode", "EU", "TTL", 1, "ResourceRecords", "Value",
				     "192.0.2.1");
	json_auto_t *ours = NULL, *eu = NULL, *again = NULL;
	struct kc_err err;
	json_t *back = NULL;

	refuses(kc_pack("{s:s}", "Type", "A"), KC_EINVAL, "an rrset: no string \"Name\"");
	refuses(kc_pack("{s:s, s:s}", "Name", "a.", "Type", "A"), KC_EFAIL,
		"a. A has neither records nor an alias, or both");
	refuses(kc_pack("{s:s, s:s, s:[s]}", "Name", "a.", "Type", "A", "ResourceRecords", "x"),
		KC_EINVAL, "a. A: no string \"Value\"");
	refuses(kc_pack("{s:s, s:s, s:{s:s, s:s}}", "Name", "a.", "Type", "A", "AliasTarget",
			"HostedZoneId", "Z", "DNSName", "b."),
		KC_EFAIL, "a. A: no boolean \"EvaluateTargetHealth\"");

	/* What is routed in another way is seen as such, and never written. */
	assert_int_equal(kc_route53_rrset_read(part, &ours, &err), 0);
	assert_string_equal(json_string_value(
				    kc_json_at(ours, "other.GeoLocation.SubdivisionCode")),
			    "CA");
	assert_int_equal(kc_route53_rrset_write(ours, &back, &err), KC_EINVAL);
	assert_null(back);

	assert_int_equal(kc_route53_rrset_read(whole, &eu, &err), 0);
	assert_string_equal(kc_json_get_str(eu, "continent", ""), "EU");
	assert_int_equal(kc_route53_rrset_write(eu, &again, &err), 0);
	assert_true(json_equal(json_object_get(again, "GeoLocation"),
			       json_object_get(whole, "GeoLocation")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),	 cmocka_unit_test(test_config_mistakes),
		cmocka_unit_test(test_endpoint), cmocka_unit_test(test_names),
		cmocka_unit_test(test_rrsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
