/* YAML: values, positions, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

static struct kc_yaml *parse(const char *text)
{
	struct kc_yaml *y = NULL;
	struct kc_err err = { 0 };

	if (kc_yaml_parse("t.yaml", text, strlen(text), &y, &err) < 0)
		fail_msg("%s", err.msg);
	return y;
}

/* Scalars follow the core schema where it does not surprise. */
static void test_scalars(void **state)
{
	static const struct {
		const char *yaml, *json;
	} cases[] = {
		{ "true", "true" },
		{ "False", "false" },
		{ "~", "null" },
		{ "", "null" },
		{ "null", "null" },
		{ "0", "0" },
		{ "-12", "-12" },
		{ "1.5", "1.5" },
		{ "1e3", "1000.0" },
		{ "1.37.2", "\"1.37.2\"" },
		{ "022", "\"022\"" },
		{ "0x1f", "\"0x1f\"" },
		{ "+1", "\"+1\"" },
		{ ".5", "\".5\"" },
		{ "5.", "\"5.\"" },
		{ ".inf", "\".inf\"" },
		{ "yes", "\"yes\"" },
		{ "'1'", "\"1\"" },
		{ "\"true\"", "\"true\"" },
		{ "!!str 1.37", "\"1.37\"" },
		{ "99999999999999999999", "\"99999999999999999999\"" },
		{ "1e999", "\"1e999\"" },
		{ "2026-11-23", "\"2026-11-23\"" },
		{ "[1, a, {b: c}]", "[1,\"a\",{\"b\":\"c\"}]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = xasprintf("v: %s\n", cases[i].yaml);
		_cleanup_(kc_yaml_freep) struct kc_yaml *y = parse(text);
		_cleanup_free_ char *json = kc_json_text(json_object_get(kc_yaml_value(y, 0), "v"));

		assert_string_equal(json, cases[i].json);
	}
}

static void test_positions(void **state)
{
	static const char text[] = "# first\n"
				   "kind: A\n"
				   "---\n"
				   "spec:\n"
				   "  a.b/c~d: é   \n"
				   "  hosts:\n"
				   "  - {name: x, port: 1.40}\n"
				   "  - name: \"ü\"\n"
				   "    port: 22\n";
	static const struct {
		const char *pointer;
		int line, column, key_line, key_column;
		const char *raw;
	} cases[] = {
		{ "", 4, 1, 4, 1, NULL },
		{ "/spec", 5, 3, 4, 1, NULL },
		{ "/spec/a.b~1c~0d", 5, 12, 5, 3, "é" },
		{ "/spec/hosts", 7, 3, 6, 3, NULL },
		{ "/spec/hosts/0", 7, 5, 7, 5, NULL },
		{ "/spec/hosts/0/port", 7, 21, 7, 15, "1.40" },
		{ "/spec/hosts/1/name", 8, 11, 8, 5, "ü" },
		{ "/spec/hosts/1/port", 9, 11, 9, 5, "22" },
		/* What is not there: the nearest ancestor. */
		{ "/spec/hosts/1/role", 8, 5, 8, 5, NULL },
		{ "/spec/hosts/7", 7, 3, 7, 3, NULL },
		{ "/nothing", 4, 1, 4, 1, NULL },
	};
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = parse(text);

	assert_int_equal(kc_yaml_count(y), 2);
	assert_int_equal(kc_yaml_pos(y, 0, "/kind").line, 2);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *raw = kc_yaml_raw(y, 1, cases[i].pointer);
		struct kc_pos v = kc_yaml_pos(y, 1, cases[i].pointer);
		struct kc_pos k = kc_yaml_key_pos(y, 1, cases[i].pointer);

		assert_int_equal(v.line, cases[i].line);
		assert_int_equal(v.column, cases[i].column);
		assert_int_equal(k.line, cases[i].key_line);
		assert_int_equal(k.column, cases[i].key_column);
		if (cases[i].raw)
			assert_string_equal(raw, cases[i].raw);
		else
			assert_null(raw);
	}
}

static void refused(const char *text, size_t len, const char *message)
{
	struct kc_yaml *y = NULL;
	struct kc_err err = { 0 };

	assert_int_equal(kc_yaml_parse("t.yaml", text, len, &y, &err), KC_EINVAL);
	assert_null(y);
	if (strncmp(err.msg, message, strlen(message)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", err.msg, message);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "a: 1\nb: 2\na: 3\n",
		  "t.yaml:3:1: duplicate key \"a\", already given on line 1; remove" },
		{ "a: &x 1\nb: *x\n", "t.yaml:2:4: aliases (*x) are not supported; write" },
		{ "a: &x 1\n*x : 2\n", "t.yaml:2:1: aliases are not supported" },
		{ "a: !!int 1\n", "t.yaml:1:4: the tag tag:yaml.org,2002:int is not supported" },
		{ "a: !!str [b]\n", "t.yaml:1:4: the tag tag:yaml.org,2002:str is not supported" },
		{ "a: !thing {b: 1}\n", "t.yaml:1:4: the tag !thing is not supported" },
		{ "[a, b]: c\n", "t.yaml:1:1: a key must be plain text" },
		{ "a: \"x\\0y\"\n", "t.yaml:1:4: the text contains a NUL byte" },
		{ "\"x\\0y\": a\n", "t.yaml:1:1: the key contains a NUL byte" },
		{ "a:\n\tb: 1\n", "t.yaml:2:1: not YAML: found character that cannot start any "
				  "token; indent with spaces" },
		{ "a: [1, 2\n", "t.yaml:2:1: not YAML: did not find expected" },
		{ "a: 1\n b: 2\n", "t.yaml:2:3: not YAML: mapping values are not allowed" },
		{ "a: é\nb: \xff\n", "t.yaml:2:4: not YAML: invalid leading UTF-8 octet" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		refused(cases[i].text, strlen(cases[i].text), cases[i].message);
}

/* Every ceiling, one below and one above. */
static void test_ceilings(void **state)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	struct kc_yaml *y = NULL;

	for (int i = 0; i < KC_YAML_DEPTH; i++)
		kc_buf_puts(&b, "[");
	kc_buf_puts(&b, "x");
	for (int i = 0; i < KC_YAML_DEPTH; i++)
		kc_buf_puts(&b, "]");
	y = parse(b.data);
	kc_yaml_free(y);
	kc_buf_clear(&b);
	for (int i = 0; i < 500; i++)
		kc_buf_puts(&b, "[");
	refused(b.data, b.len, "t.yaml:1:34: nested more than 32 levels");

	kc_buf_clear(&b);
	for (int i = 0; i < KC_YAML_NODES; i++)
		kc_buf_puts(&b, "- a\n");
	refused(b.data, b.len, "t.yaml:300000:3: more than 300000 values");

	kc_buf_clear(&b);
	kc_buf_puts(&b, "#");
	while (b.len < KC_YAML_MAX)
		kc_buf_puts(&b, "#");
	y = parse(b.data);
	assert_int_equal(kc_yaml_count(y), 0);
	kc_yaml_free(y);
	kc_buf_puts(&b, "#");
	refused(b.data, b.len, "t.yaml:1:1: larger than 8388608 bytes");
}

static void test_streams(void **state)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *none = parse("# nothing\n");
	_cleanup_(kc_yaml_freep) struct kc_yaml *two = parse("---\n---\na: 1\n...\n");
	_cleanup_(kc_yaml_freep) struct kc_yaml *bom = parse("\xef\xbb\xbf"
							     "a: 1\n");

	assert_int_equal(kc_yaml_count(none), 0);
	assert_int_equal(kc_yaml_pos(none, 0, "/a").line, 1);
	assert_int_equal(kc_yaml_count(two), 2);
	assert_true(json_is_null(kc_yaml_value(two, 0)));
	assert_int_equal(kc_yaml_pos(two, 1, "/a").line, 3);
	assert_int_equal(kc_json_get_int(kc_yaml_value(bom, 0), "a", 0), 1);
}

/* What is written reads back equal, whatever the strings look like. */
static void test_text(void **state)
{
	json_auto_t *v =
		kc_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:b, s:n, s:f, s:[], s:{}, "
			"s:[s,[i,i],{s:s}]}",
			"version", "1.37", "yes", "on", "empty", "", "pem", "-----\nabc\n  d\n",
			"tilde", "~/x # y", "a: b", "- c", "n", 42, "t", 1, "z", "lat", 50.11,
			"list", "map", "mixed", "x", 1, 2, "k", "v");
	_cleanup_free_ char *text = kc_yaml_text(v);
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = parse(text);

	assert_true(json_equal(v, kc_yaml_value(y, 0)));
	assert_non_null(strstr(text, "lat: 50.11\n"));
	assert_non_null(strstr(text, "version: \"1.37\"\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),	 cmocka_unit_test(test_positions),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_ceilings),
		cmocka_unit_test(test_streams),	 cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
