/* The schema engine over a small table of its own; the Cluster's is in cluster_schema.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/codec/json.h"
#include "lib/spec/spec.h"

static int even(const char *s, struct kc_err *err)
{
	if (strlen(s) % 2 == 0)
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%s\" has odd length", s);
}

static const char *const colours[] = { "red", "green", NULL };
static const struct kc_field tag = { .type = KC_FIELD_STRING, .check = even };
static const struct kc_field inner_fields[] = {
	{ .name = "ratio", .type = KC_FIELD_NUMBER, .min = -1, .max = 1, .doc = "A ratio." },
	{ .name = "on", .type = KC_FIELD_BOOL, .def = "true", .doc = "A switch." },
	{ 0 }
};
static const struct kc_field part_fields[] = {
	{ .name = "name", .type = KC_FIELD_STRING, .required = true, .doc = "The part's name." },
	{ .name = "text", .type = KC_FIELD_STRING, .multiline = true, .doc = "Prose." },
	{ 0 }
};
static const struct kc_field part = { .type = KC_FIELD_OBJECT, .fields = part_fields };
static const struct kc_field fields[] = {
	{ .name = "name",
	  .type = KC_FIELD_STRING,
	  .required = true,
	  .immutable = true,
	  .pattern = "^..$",
	  .check = even,
	  .doc = "The thing's name." },
	{ .name = "colour",
	  .type = KC_FIELD_STRING,
	  .values = colours,
	  .def = "\"red\"",
	  .doc = "Its colour, which is one of the few that there are in this little world." },
	{ .name = "size",
	  .type = KC_FIELD_INT,
	  .min = 1,
	  .max = 9,
	  .since = "0.2",
	  .doc = "Size." },
	{ .name = "tags", .type = KC_FIELD_LIST, .item = &tag, .min = 1, .max = 2, .doc = "Tags." },
	{ .name = "labels",
	  .type = KC_FIELD_MAP,
	  .check = even,
	  .check_key = even,
	  .doc = "Pairs." },
	{ .name = "inner",
	  .type = KC_FIELD_OBJECT,
	  .fields = inner_fields,
	  .def = "{}",
	  .doc = "What is inside." },
	{ .name = "parts", .type = KC_FIELD_LIST, .item = &part, .def = "[]", .doc = "Parts." },
	{ 0 }
};
static const struct kc_spec_kind thing = {
	.name = "Thing", .api_version = "example.com/v1", .doc = "A thing.", .fields = fields
};
static const struct kc_spec_kind *const kinds[] = { &thing, NULL };

/* The errors of a YAML text, or its defaulted document as JSON; owned. */
static char *run(const char *text)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	json_auto_t *out = NULL;
	struct kc_err err = { 0 };

	assert_int_equal(kc_yaml_parse("t", text, strlen(text), &y, &err), 0);
	rep.yaml = y;
	if (kc_spec_validate(fields, kc_yaml_value(y, 0), &rep, &out, &err) < 0) {
		assert_null(out);
		assert_int_equal(strncmp(err.msg, rep.lines.data, strcspn(rep.lines.data, "\n")),
				 0);
		return xstrdup(kc_buf_get(&rep.lines));
	}
	return kc_json_text(out);
}

static const struct {
	const char *yaml, *result;
} validate_cases[] = {
	{ "name: ab\n", "{\"colour\":\"red\",\"inner\":{\"on\":true},\"name\":\"ab\","
			"\"parts\":[]}" },
	/* Nothing behind a key is as good as absent, and "" in a map of strings. */
	{ "{name: ab, colour: , labels: {kk: }}",
	  "{\"colour\":\"red\",\"inner\":{\"on\":true},\"labels\":{\"kk\":\"\"},"
	  "\"name\":\"ab\",\"parts\":[]}" },
	{ "{name: ab, inner: {ratio: 1, on: false}, tags: [xx]}",
	  "{\"colour\":\"red\",\"inner\":{\"on\":false,\"ratio\":1.0},\"name\":\"ab\","
	  "\"parts\":[],\"tags\":[\"xx\"]}" },
	{ "[]", "t:1:1: expects a mapping with apiVersion, kind, metadata, spec\n" },
	{ "colour: red\n", "t:1:1: name: missing; The thing's name.\n" },
	{ "name: ''\n", "t:1:7: name: must not be empty\n" },
	{ "name: abc\n", "t:1:7: name: \"abc\" has odd length\n" },
	{ "name: 12\n", "t:1:7: name: expects text, and 12 is a number to YAML; put it in "
			"quotes: \"12\"\n" },
	/* Quotes would not help here, so they are not suggested; and 1.40 stays 1.40. */
	{ "name: 11.40\n", "t:1:7: name: \"11.40\" has odd length\n" },
	{ "name: [ab]\n", "t:1:7: name: expects text, not a list\n" },
	{ "name: {a: b}\n", "t:1:7: name: expects text, not a mapping\n" },
	{ "name: ab\nnaem: x\n", "t:2:1: naem: unknown field \"naem\"; did you mean \"name\"?\n" },
	{ "name: ab\nzzzzzzz: x\n", "t:2:1: zzzzzzz: unknown field \"zzzzzzz\"; the "
				    "document has: name, colour, size, "
				    "tags, labels, inner, parts\n" },
	{ "name: ab\ncolour: grene\n", "t:2:9: colour: \"grene\" is none of red, green; did "
				       "you mean \"green\"?\n" },
	{ "name: ab\ncolour: purple\n", "t:2:9: colour: \"purple\" is none of red, green\n" },
	{ "name: ab\ncolour: \"r\\ned\"\n",
	  "t:2:9: colour: contains a line break or control character; write it on one "
	  "line\n" },
	{ "name: ab\nsize: 10\n", "t:2:7: size: 10 is out of range; use 1 to 9\n" },
	{ "name: ab\nsize: 0\n", "t:2:7: size: 0 is out of range; use 1 to 9\n" },
	{ "name: ab\nsize: 1.50\n", "t:2:7: size: expects a whole number, not \"1.50\"\n" },
	{ "name: ab\nsize: '1'\n", "t:2:7: size: expects a whole number, not \"1\"\n" },
	{ "name: ab\ninner: {on: yes}\n",
	  "t:2:13: inner.on: expects true or false, not \"yes\"\n" },
	{ "name: ab\ninner: {ratio: 1.5}\n",
	  "t:2:16: inner.ratio: 1.5 is out of range; use -1 to 1\n" },
	{ "name: ab\ninner: 1\n", "t:2:8: inner: expects a mapping (key: value), not \"1\"\n" },
	{ "name: ab\ntags: x\n", "t:2:7: tags: expects a list ([a, b]), not \"x\"\n" },
	{ "name: ab\ntags: []\n", "t:2:7: tags: needs at least 1\n" },
	{ "name: ab\ntags: [aa, bb, cc]\n", "t:2:7: tags: has 3 items; at most 2 are allowed\n" },
	{ "name: ab\ntags: [aa, ~]\n", "t:2:12: tags[1]: expects text, not nothing\n" },
	{ "name: ab\nlabels: [a]\n",
	  "t:2:9: labels: expects a mapping (key: value), not a list\n" },
	{ "name: ab\nlabels: {a/b: cc}\n", "t:2:10: labels[\"a/b\"]: \"a/b\" has odd "
					   "length\n" },
	{ "name: ab\nlabels: {a/bc: ccc}\n", "t:2:16: labels[\"a/bc\"]: \"ccc\" has odd "
					     "length\n" },
	{ "name: ab\nlabels: {aa: true}\n",
	  "t:2:14: labels.aa: expects text, and true is true or false to YAML; put it in "
	  "quotes: \"true\"\n" },
	{ "name: ab\nparts:\n- {name: x}\n- {}\n",
	  "t:4:3: parts[1].name: missing; The part's name.\n" },
};

static void test_validate(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(validate_cases); i++) {
		_cleanup_free_ char *got = run(validate_cases[i].yaml);

		assert_string_equal(got, validate_cases[i].result);
	}
}

/* All errors at once, in order, up to the ceiling; and no line gets longer than a line. */
static void test_many(void **state)
{
	_cleanup_free_ char *two = run("name: abc\nsize: 0\ncolour: x\n");
	_cleanup_buf_ struct kc_buf b = { 0 };
	_cleanup_free_ char *all = NULL, *big = NULL;
	size_t lines = 0;

	assert_string_equal(two, "t:1:7: name: \"abc\" has odd length\n"
				 "t:3:9: colour: \"x\" is none of red, green\n"
				 "t:2:7: size: 0 is out of range; use 1 to 9\n");
	kc_buf_puts(&b, "name: ab\nlabels:\n");
	for (int i = 0; i < 30; i++)
		kc_buf_printf(&b, "  k%02d: vv\n", i);
	all = run(b.data);
	for (const char *s = all; *s; s++)
		lines += *s == '\n';
	assert_int_equal(lines, KC_REPORT_MAX);

	kc_buf_clear(&b);
	kc_buf_puts(&b, "name: ab\ncolour: ");
	for (int i = 0; i < 1100; i++)
		kc_buf_puts(&b, "x");
	big = run(b.data);
	assert_string_equal(big, "t:2:9: colour: longer than 1024 bytes\n");
}

static void test_without_file(void **state)
{
	json_auto_t *doc = kc_pack("{s:f}", "name", 1.5), *out = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	struct kc_err err = { 0 };

	assert_int_equal(kc_spec_validate(fields, doc, &rep, &out, &err), KC_EINVAL);
	assert_string_equal(err.msg, "name: \"1.5\" has odd length");
}

static void test_paths(void **state)
{
	static const struct {
		const char *pointer, *path;
	} cases[] = {
		{ "", "" },
		{ "/spec/hosts/0/name", "spec.hosts[0].name" },
		{ "/labels/a.b~1c~0d", "labels[\"a.b/c~d\"]" },
		{ "/a/", "a[\"\"]" },
		{ "/x\ny", "[\"x?y\"]" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *path = kc_spec_path(cases[i].pointer);

		assert_string_equal(path, cases[i].path);
	}
}

static void test_explain(void **state)
{
	_cleanup_free_ char *top = NULL, *colour = NULL, *parts = NULL;
	struct kc_err err = { 0 };

	assert_int_equal(kc_spec_explain(kinds, "thing", &top, &err), 0);
	assert_non_null(strstr(top, "KIND:     Thing\nVERSION:  example.com/v1\n"));
	assert_non_null(strstr(top, "  size <integer>, 1 to 9, since 0.2\n      Size.\n"));
	assert_non_null(strstr(top, "  name <string>, required, fixed after creation\n"));
	assert_non_null(strstr(top, "  tags <[]string>, 1 to 2\n"));
	assert_int_equal(kc_spec_explain(kinds, "Thing.colour", &colour, &err), 0);
	assert_string_equal(colour, "KIND:     Thing\nVERSION:  example.com/v1\nFIELD:    colour\n"
				    "TYPE:     <string>, default \"red\", one of red, green\n\n"
				    "DESCRIPTION:\n"
				    "  Its colour, which is one of the few that there are in this "
				    "little world.\n");
	assert_int_equal(kc_spec_explain(kinds, "thing.parts[0]", &parts, &err), 0);
	assert_non_null(strstr(parts, "TYPE:     <[]object>, default []\n"));
	assert_non_null(strstr(parts, "FIELDS:\n  name <string>, required\n"));
}

static void test_explain_wrong(void **state)
{
	static const struct {
		const char *path, *message;
	} cases[] = {
		{ "thnig", "no kind \"thnig\"; did you mean \"Thing\"?" },
		{ "region", "no kind \"region\"; this version has: Thing" },
		{ "", "no kind \"\"; this version has: Thing" },
		{ "thing.sise", "Thing has no field \"sise\"; did you mean \"size\"?" },
		{ "thing.inner.qqqqqqqq", "Thing.inner has no field \"qqqqqqqq\"; `kubecdn explain "
					  "Thing.inner` lists them" },
		{ "thing.name.x", "Thing.name has no fields of its own; leave out \"x\"" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kc_err err = { 0 };
		char *text = NULL;

		assert_int_equal(kc_spec_explain(kinds, cases[i].path, &text, &err), KC_EINVAL);
		assert_null(text);
		assert_string_equal(err.msg, cases[i].message);
	}
}

static void test_json_schema(void **state)
{
	json_auto_t *s = kc_spec_json_schema(&thing);
	json_auto_t *want =
		json_loads("{\"type\": \"string\", \"pattern\": \"^..$\", \"minLength\": 1,"
			   " \"description\": \"The thing's name.\"}",
			   0, NULL);

	assert_string_equal(kc_json_get_str(s, "$schema", ""),
			    "https://json-schema.org/draft/2020-12/schema");
	assert_string_equal(kc_json_get_str(s, "$id", ""),
			    "https://kubecdn.io/schema/v1/Thing.json");
	assert_true(json_equal(kc_json_at(s, "properties.name"), want));
	assert_true(json_is_false(json_object_get(s, "additionalProperties")));
	assert_int_equal(json_array_size(json_object_get(s, "required")), 1);
	assert_int_equal(kc_json_get_int(kc_json_at(s, "properties.tags"), "maxItems", 0), 2);
	assert_true(json_is_true(kc_json_at(s, "properties.inner.properties.on.default")));
	assert_string_equal(kc_json_get_str(kc_json_at(s, "properties.parts.items.properties.name"),
					    "type", ""),
			    "string");
}

static void test_update(void **state)
{
	json_auto_t *old = kc_pack("{s:s, s:i}", "name", "ab", "size", 1);
	json_auto_t *new = kc_pack("{s:s, s:i}", "name", "cd", "size", 2);
	_cleanup_report_ struct kc_report rep = { 0 };

	kc_spec_check_update(fields, old, old, &rep);
	assert_int_equal(rep.n, 0);
	kc_spec_check_update(fields, old, new, &rep);
	assert_int_equal(rep.n, 1);
	assert_string_equal(rep.first, "name: cannot change once the object exists (it is \"ab\", "
				       "and would be \"cd\"); set it back, "
				       "or make a new one under another name");
}

/* A document that was stored before a field was there has that field's default. */
static void test_update_of_a_younger_field(void **state)
{
	static const struct kc_field young[] = {
		{ .name = "mtu", .type = KC_FIELD_INT, .def = "0", .immutable = true, .doc = "." },
		{ 0 }
	};
	json_auto_t *old = json_object(), *same = kc_pack("{s:i}", "mtu", 0),
		    *other = kc_pack("{s:i}", "mtu", 1400);
	_cleanup_report_ struct kc_report rep = { 0 };

	kc_spec_check_update(young, old, same, &rep);
	assert_int_equal(rep.n, 0);
	kc_spec_check_update(young, old, other, &rep);
	assert_int_equal(rep.n, 1);
	assert_non_null(strstr(rep.first, "(it is 0, and would be 1400)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_validate),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_without_file),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_explain_wrong),
		cmocka_unit_test(test_json_schema),
		cmocka_unit_test(test_update),
		cmocka_unit_test(test_update_of_a_younger_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
