/* Errors of several lines: cut between lines, with how many are missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

static void fill(struct kc_buf *b, int lines, int width)
{
	for (int i = 0; i < lines; i++)
		kc_buf_printf(
			b, "%03d %.*s\n", i, width - 4,
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
}

static void few_lines_are_kept(void **state)
{
	struct kc_err err;

	assert_int_equal(kc_fail_lines(&err, KC_EINVAL, "a: b\nc: d\n"), KC_EINVAL);
	assert_string_equal(err.msg, "a: b\nc: d");
	kc_fail_lines(&err, KC_EINVAL, "one");
	assert_string_equal(err.msg, "one");
	assert_int_equal(kc_fail_lines(NULL, KC_EINVAL, "one"), KC_EINVAL);
}

/* Whatever the lines' width: all shown ones are whole, and shown + N is all of them. */
static void many_lines_are_cut_between_two(void **state)
{
	for (int width = 10; width < 140; width++) {
		_cleanup_buf_ struct kc_buf b = { 0 };
		struct kc_err err;
		int total = 150, shown = 0, more = 0;
		char *save = NULL, *l;

		fill(&b, total, width);
		kc_fail_lines(&err, KC_EINVAL, kc_buf_get(&b));
		for (l = strtok_r(err.msg, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
			if (sscanf(l, "and %d more; correct these first", &more) == 1)
				break;
			assert_int_equal(strlen(l), width);
			assert_int_equal(atoi(l), shown++);
		}
		assert_non_null(l);
		assert_null(strtok_r(NULL, "\n", &save));
		assert_int_equal(shown + more, total);
		assert_true(shown * (width + 1) > (int)sizeof(err.msg) - 60 - width);
	}
}

static void what_was_left_out_before_is_counted(void **state)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	struct kc_err err;

	fill(&b, 20, 100);
	kc_buf_printf(&b, KC_ERR_MORE "\n", (size_t)40);
	kc_fail_lines(&err, KC_EINVAL, kc_buf_get(&b));
	assert_non_null(strstr(err.msg, "\n008 "));
	assert_null(strstr(err.msg, "\n009 "));
	assert_non_null(strstr(err.msg, "\nand 51 more; correct these first"));
}

static void an_endless_line_is_cut(void **state)
{
	char text[3000];
	struct kc_err err;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	kc_fail_lines(&err, KC_EINVAL, text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	text[2000] = '\n';
	kc_fail_lines(&err, KC_EINVAL, text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

/* Messages quote what hosts say, and end up in JSON. */
static void messages_are_utf8(void **state)
{
	char text[3000];
	struct kc_err err;

	kc_fail(&err, KC_EFAIL,
		"caf\xe9, \xc3\xa9t\xc3\xa9, \xed\xa0\x80, \xf0\x9f\x98\x80, \xc0\xaf.");
	assert_string_equal(err.msg, "caf?, \xc3\xa9t\xc3\xa9, ???, \xf0\x9f\x98\x80, ??.");
	/* Cut in the middle of a character: without that half. */
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text + sizeof(err.msg) - 3, "\xe2\x80\xa6", 3);
	kc_fail(&err, KC_EFAIL, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 3);
	kc_fail(&err, KC_EFAIL, "\xe2\x80\xa6");
	kc_wrap(&err, "%.*s", (int)sizeof(err.msg) - 4, text);
	assert_int_equal(err.msg[sizeof(err.msg) - 3], ' ');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_lines_are_kept),
		cmocka_unit_test(many_lines_are_cut_between_two),
		cmocka_unit_test(what_was_left_out_before_is_counted),
		cmocka_unit_test(an_endless_line_is_cut),
		cmocka_unit_test(messages_are_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
