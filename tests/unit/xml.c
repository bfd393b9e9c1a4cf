/* lib/codec/xml: replies by their shapes, what is refused, and requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "lib/codec/json.h"
#include "lib/codec/xml.h"

static const struct kc_xml_shapes shapes = {
	.lists = (const char *const[]){ "Items", "Tags", NULL },
	.integers = (const char *const[]){ "Count", NULL },
	.booleans = (const char *const[]){ "More", NULL },
};

static void reads(const char *xml, const char *want)
{
	json_auto_t *got = NULL;
	_cleanup_free_ char *text = NULL;
	struct kc_err err = { 0 };

	if (kc_xml_parse(xml, strlen(xml), &shapes, "reply", &got, &err) < 0)
		fail_msg("%s: %s", xml, err.msg);
	text = kc_json_text(got);
	assert_string_equal(text, want);
}

static void refuses(const char *xml, const char *want)
{
	json_t *got = NULL;
	struct kc_err err = { 0 };

	assert_int_equal(kc_xml_parse(xml, strlen(xml), &shapes, "reply", &got, &err), KC_EFAIL);
	assert_null(got);
	assert_string_equal(err.msg, want);
}

static void test_shapes(void **state)
{
	reads("<?xml version=\"1.0\"?>\n<R xmlns='urn:x'>\n <Count>-3</Count>\n <More>true</More>\n"
	      " <Items>\n  <Item>a</Item><Item/>\n  <Item><Name> b &amp; c&#x41; </Name></Item>\n"
	      " </Items>\n <Tags/>\n <Unknown a='1'>x<![CDATA[<y>]]></Unknown>\n</R>\n",
	      "{\"R\":{\"Count\":-3,\"Items\":[\"a\",\"\",{\"Name\":\" b & cA \"}],\"More\":true,"
	      "\"Tags\":[],\"Unknown\":\"x<y>\"}}");
	reads("<R/>", "{\"R\":\"\"}");
	reads("<Items><A>1</A></Items>", "{\"Items\":[\"1\"]}");
	reads("<R><A>1</A><A>2</A><A><B/></A></R>", "{\"R\":{\"A\":[\"1\",\"2\",{\"B\":\"\"}]}}");
	reads("<?xml version='1.0' encoding='ISO-8859-1'?><R>\xe4</R>", "{\"R\":\"\u00e4\"}");
}

static void test_refused(void **state)
{
	char deep[1000] = "";

	for (int i = 0; i < 65; i++)
		strcat(deep, "<a>");
	refuses(deep, "reply: line 1: more than 64 levels or 500000 elements");
	refuses("", "reply: line 1: no element found");
	refuses("<html>\n<p>oops</html>", "reply: line 2: mismatched tag");
	refuses("<R>\n<Count>many</Count></R>", "reply: line 2: <Count> is no number: \"many\"");
	refuses("<R><Count/></R>", "reply: line 1: <Count> is no number: \"\"");
	refuses("<R><Count>99999999999999999999</Count></R>",
		"reply: line 1: <Count> is no number: \"99999999999999999999\"");
	refuses("<R><More>yes</More></R>",
		"reply: line 1: <More> is neither true nor false: \"yes\"");
	refuses("<R>text<A/></R>", "reply: line 1: <R> has both elements and text");
	refuses("<R><Items/><Items/></R>", "reply: line 1: the list <Items> stands twice");
	refuses("<!DOCTYPE R [<!ENTITY a 'b'>]>\n<R>&a;</R>",
		"reply: line 1: document types are not allowed");
	refuses("<R>&a;</R>", "reply: line 1: undefined entity");
	refuses("<R>\xff</R>", "reply: line 1: not well-formed (invalid token)");
}

static void test_writing(void **state)
{
	json_auto_t *v = kc_pack("{s:s, s:n, s:{s:[i, b, s]}, s:[]}", "Z", "<&>\n\"\xc3\xa4", "No",
				 "As", "A", 7, 1, "", "None");
	json_auto_t *bad = kc_pack("{s:s}", "A", "a\001"), *got = NULL;
	_cleanup_buf_ struct kc_buf b = { 0 }, c = { 0 };
	struct kc_err err;

	assert_int_equal(kc_xml_write(&b, "R", v, &err), 0);
	assert_string_equal(b.data, "<R><Z>&#60;&#38;&#62;&#10;\"\xc3\xa4</Z>"
				    "<As><A>7</A><A>true</A><A></A></As></R>");
	assert_int_equal(kc_xml_parse(b.data, b.len, &shapes, "ours", &got, &err), 0);
	assert_string_equal(json_string_value(kc_json_at(got, "R.Z")), "<&>\n\"\xc3\xa4");
	assert_int_equal(kc_xml_write(&c, "R", bad, &err), KC_EINVAL);
	assert_string_equal(err.msg, "A has a control character (1), which XML cannot say");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_writing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
