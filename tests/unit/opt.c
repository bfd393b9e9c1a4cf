/* The command line: what a user types, and what they are told when it is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/opt.h"
#include "lib/base/opt_man.h"
#include "lib/base/str.h"

static int run(const struct kc_args *a, struct kc_err *err)
{
	return 0;
}

static const char *const formats[] = { "text", "json", NULL };
static const struct kc_opt create_opts[] = {
	{ "file", 'f', KC_OPT_STRING, "FILE", .doc = "Manifest, - for stdin" },
	{ "yes", 'y', KC_OPT_FLAG, .doc = "Do it" },
	{ "workers", .type = KC_OPT_INT, .meta = "N", .min = 0, .max = 500, .doc = "Workers" },
	{ "wait", .type = KC_OPT_DURATION, .meta = "DURATION", .def = "5m", .min = 1000,
	  .doc = "Wait" },
	{ "tick", .type = KC_OPT_DURATION, .meta = "DURATION", .min = 100, .doc = "Tick" },
	{ NULL },
};
static const struct kc_opt global[] = {
	{ "output", 'o', KC_OPT_ENUM, .choices = formats, .def = "text", .env = "OPT_TEST_OUTPUT",
	  .doc = "Format" },
	{ "state", .type = KC_OPT_STRING, .meta = "URL", .env = "OPT_TEST_STATE", .doc = "State" },
	{ "parallelism", .type = KC_OPT_INT, .meta = "N", .min = 1, .max = 64,
	  .env = "OPT_TEST_PAR", .doc = "At a time" },
	{ "verbose", 'v', KC_OPT_FLAG, .doc = "More" },
	{ NULL },
};
static const struct kc_opt *const create_lists[] = { create_opts, NULL };
static const struct kc_verb verbs[] = {
	{ "cluster create", .aliases = (const char *const[]){ "create cluster", NULL },
	  .summary = "Create a cluster", .positional = "[NAME]", .max_args = 1,
	  .opts = create_lists, .run = run, .examples = "kc cluster create -y\nkc x" },
	{ "cluster delete", .summary = "Delete a cluster", .positional = "NAME", .min_args = 1,
	  .max_args = 1, .run = run },
	{ "version", .summary = "Print the version", .run = run },
	{ "cluster enter", .summary = "Enter it's.\\", .positional = "NAME", .min_args = 1,
	  .max_args = 1, .rest = true, .run = run },
	{ "__secret", .summary = "Of programs", .rest = true, .hidden = true, .run = run },
	{ NULL },
};
static const struct kc_noun nouns[] = { { "cluster", "Clusters" }, { NULL, NULL } };
static const struct kc_program program = {
	.name = "kc",
	.summary = "a test",
	.nouns = nouns,
	.verbs = (const struct kc_verb *const[]){ verbs, NULL },
	.global = global,
};

static int parse(struct kc_args *ret, struct kc_err *err, ...)
{
	char *argv[20] = { "kc" };
	int argc = 1;
	va_list ap;

	va_start(ap, err);
	for (char *s; (s = va_arg(ap, char *)) != NULL;)
		argv[argc++] = s;
	va_end(ap);
	return kc_opt_parse(&program, argc, argv, ret, err);
}

#define GOOD(a, ...) assert_int_equal(parse(a, &err, __VA_ARGS__, NULL), 0)
#define BAD(text, ...)                                                                             \
	do {                                                                                       \
		struct kc_args unused_ = { .args = 77 };                                           \
		struct kc_err e_ = { 0 };                                                          \
		assert_int_equal(parse(&unused_, &e_, __VA_ARGS__, NULL), KC_EINVAL);              \
		assert_string_equal(e_.msg, text);                                                 \
		assert_int_equal(unused_.args, 77);                                                \
	} while (0)

static void test_flags(void **state)
{
	struct kc_err err;
	struct kc_args a;

	GOOD(&a, "cluster", "create", "fra1", "--file=x=y", "--workers", "2", "-yv", "-ojson");
	assert_string_equal(a.verb->path, "cluster create");
	assert_string_equal(kc_args_pos(&a, 0), "fra1");
	assert_null(kc_args_pos(&a, 1));
	assert_string_equal(kc_args_str(&a, "file"), "x=y");
	assert_int_equal(kc_args_long(&a, "workers", -1), 2);
	assert_true(kc_args_bool(&a, "yes"));
	assert_true(kc_args_bool(&a, "verbose"));
	assert_string_equal(kc_args_str(&a, "output"), "json");

	GOOD(&a, "create", "cluster", "-f", "-", "--yes=false", "--", "-odd");
	assert_string_equal(a.verb->path, "cluster create");
	assert_string_equal(kc_args_str(&a, "file"), "-");
	assert_false(kc_args_bool(&a, "yes"));
	assert_string_equal(kc_args_pos(&a, 0), "-odd");
}

static void test_defaults(void **state)
{
	struct kc_err err;
	struct kc_args a;

	GOOD(&a, "cluster", "create");
	assert_int_equal(kc_args_long(&a, "wait", 0), 300000);
	assert_int_equal(kc_args_long(&a, "workers", -1), -1);
	assert_null(kc_args_str(&a, "state"));
	assert_false(kc_args_given(&a, "wait"));
	assert_false(kc_args_knows(&a, "confirm"));

	setenv("OPT_TEST_STATE", "/s", 1);
	GOOD(&a, "version");
	assert_string_equal(kc_args_str(&a, "state"), "/s");
	GOOD(&a, "version", "--state", "/t");
	assert_string_equal(kc_args_str(&a, "state"), "/t");
	unsetenv("OPT_TEST_STATE");

	setenv("OPT_TEST_PAR", "many", 1);
	BAD("OPT_TEST_PAR: \"many\" is not a number from 1 to 64", "version");
	unsetenv("OPT_TEST_PAR");
}

static void test_misspelt(void **state)
{
	BAD("there is no command \"clutser\"; did you mean \"kc cluster\"?", "clutser", "create");
	BAD("there is no command \"cluster craete\"; did you mean \"kc cluster create\"?",
	    "cluster", "craete", "--yes");
	BAD("there is no command \"cluster frobnicate\"; see `kc cluster --help`", "cluster",
	    "frobnicate");
	BAD("there is no command \"zzzzzzzz\"; see `kc --help`", "zzzzzzzz");
	BAD("kc cluster create has no flag --wrokers; did you mean --workers?", "cluster", "create",
	    "--wrokers=2");
	BAD("kc cluster create has no flag --qqqqqqqqqq; see `kc cluster create --help`", "cluster",
	    "create", "--qqqqqqqqqq");
	BAD("kc version has no flag -f; see `kc version --help`", "version", "-f", "x");
	BAD("--yes: name the command before its flags; see `kc --help`", "--yes", "cluster");
}

static void test_wrong_values(void **state)
{
	BAD("--workers: \"two\" is not a number from 0 to 500", "cluster", "create", "--workers",
	    "two");
	BAD("--workers: \"501\" is not a number from 0 to 500", "cluster", "create",
	    "--workers=501");
	BAD("--workers needs a value: --workers N", "cluster", "create", "--workers");
	BAD("--file needs a value: --file FILE", "cluster", "create", "-f", "--yes");
	BAD("--file: the value is empty; give a FILE", "cluster", "create", "--file=");
	BAD("--wait: \"5\" is not a duration; write 90s, 5m or 2h", "cluster", "create",
	    "--wait=5");
	BAD("--wait: \"999ms\" is too short; at least 1s", "cluster", "create", "--wait=999ms");
	BAD("--wait: \"0\" is too short; at least 1s", "cluster", "create", "--wait=0");
	BAD("--tick: \"99ms\" is too short; at least 100ms", "cluster", "create", "--tick=99ms");
	BAD("--output: \"xml\" is not one of text or json", "version", "-o", "xml");
	BAD("--yes: \"maybe\" is neither true nor false", "cluster", "create", "--yes=maybe");
	BAD("kc version takes no argument, but got \"x\"; see `kc version --help`", "version", "x");
	BAD("kc cluster delete: \"b\" is one argument too many: kc cluster delete NAME", "cluster",
	    "delete", "a", "b");
	BAD("kc cluster delete needs an argument: kc cluster delete NAME", "cluster", "delete");
}

static void help_has(const char *text, ...)
{
	char *argv[8] = { "kc" };
	int argc = 1;
	struct kc_args a = { 0 };
	va_list ap;

	va_start(ap, text);
	for (char *s; (s = va_arg(ap, char *)) != NULL;)
		argv[argc++] = s;
	va_end(ap);
	assert_int_equal(kc_opt_parse(&program, argc, argv, &a, NULL), 0);
	assert_null(a.verb);
	assert_non_null(a.help);
	if (!strstr(a.help, text))
		fail_msg("no \"%s\" in:\n%s", text, a.help);
	kc_args_done(&a);
}

static void test_help(void **state)
{
	help_has("  cluster create             Create a cluster\n", "--help", NULL);
	help_has("  cluster delete ", NULL);
	help_has("  version ", "help", NULL);
	help_has("Commands:\n  cluster create ", "cluster", NULL);
	help_has("Usage:\n  kc cluster create [NAME] [FLAGS]\n", "cluster", "create", "--help",
		 NULL);
	help_has("Usage:\n  kc cluster create ", "create", "cluster", "-h", NULL);
	help_has("--workers N ", "help", "cluster", "create", NULL);
	help_has("-f, --file FILE ", "cluster", "create", "--bogus", "--help", NULL);
	help_has("--wait DURATION                Wait (default 5m)", "cluster", "create", "-h",
		 NULL);
	help_has("[OPT_TEST_STATE]", "version", "--help", NULL);
	help_has("-o, --output text|json", "version", "--help", NULL);
	BAD("there is no command \"clutser\"; did you mean \"kc cluster\"?", "clutser", "--help");
}

static void test_rest(void **state)
{
	struct kc_err err;
	struct kc_args a;

	GOOD(&a, "cluster", "enter", "fra1", "-v", "--", "ls", "-v", "--", "x");
	assert_int_equal(a.args, 1);
	assert_true(kc_args_bool(&a, "verbose"));
	assert_string_equal(a.rest[0], "ls");
	assert_string_equal(a.rest[1], "-v");
	assert_string_equal(a.rest[2], "--");
	assert_string_equal(a.rest[3], "x");
	assert_null(a.rest[4]);
	GOOD(&a, "cluster", "enter", "fra1");
	assert_null(a.rest[0]);
	GOOD(&a, "cluster", "enter", "fra1", "--");
	assert_null(a.rest[0]);
	GOOD(&a, "__secret", "--", "--help"); /* not for us */
	assert_string_equal(a.rest[0], "--help");
	BAD("kc cluster enter: \"b\" is one argument too many: kc cluster enter NAME -- COMMAND",
	    "cluster", "enter", "a", "b", "--", "c");
	BAD("there is no command \"__secre\"; see `kc --help`", "__secre");
}

static void test_settings(void **state)
{
	struct kc_err err;
	struct kc_args a;

	GOOD(&a, "cluster", "create");
	kc_args_configure(&a, "state", "/file");
	kc_args_configure(&a, "workers", "3"); /* has no variable: not what the file means */
	kc_args_configure(&a, "not-of-this-verb", "x");
	assert_string_equal(kc_args_str(&a, "state"), "/file");
	assert_false(kc_args_given(&a, "state"));
	assert_int_equal(kc_args_long(&a, "workers", -1), -1);
	setenv("OPT_TEST_STATE", "/variable", 1);
	GOOD(&a, "cluster", "create", "--verbose=0", "--yes=1");
	kc_args_configure(&a, "state", "/file");
	kc_args_configure(&a, "output", "json");
	assert_string_equal(kc_args_str(&a, "state"), "/variable");
	assert_string_equal(kc_args_str(&a, "output"), "json"); /* a default gives way */
	assert_true(kc_args_bool(&a, "yes"));
	unsetenv("OPT_TEST_STATE");
}

static int keep_page(void *cookie, const char *name, const char *text, struct kc_err *err)
{
	kc_buf_printf(cookie, "== %s\n%s", name, text);
	return 0;
}

static void test_manual(void **state)
{
	static const struct kc_manual_item codes[] = { { "0", "Done" }, { NULL, NULL } };
	const struct kc_manual m = {
		.version = "kc 1",
		.title = "kc manual",
		.description = "One.\n\nTwo.",
		.exits = codes,
		.see = "ls(1)",
	};
	_cleanup_buf_ struct kc_buf out = { 0 };
	const char *text;

	assert_int_equal(kc_opt_man(&program, &m, keep_page, &out, NULL), 0);
	text = kc_buf_get(&out);
	assert_non_null(strstr(text, "== kc\n.TH KC 1 \"\" \"kc 1\" \"kc manual\"\n"));
	assert_non_null(strstr(text, "== kc-cluster\n"));
	assert_non_null(strstr(text, "== kc-cluster-create\n"));
	assert_non_null(strstr(text, "\\fB\\-f\\fR, \\fB\\-\\-file\\fR \\fIFILE\\fR\n"
				     "Manifest, \\- for stdin.\n"));
	assert_non_null(strstr(text, ".SH EXIT STATUS\n.TP\n\\fB0\\fR\nDone.\n"));
	assert_non_null(strstr(text, "\\- Enter it\\(aqs.\\e\n")); /* roff, not its markup */
	assert_null(strstr(text, "secret"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),	 cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_misspelt), cmocka_unit_test(test_wrong_values),
		cmocka_unit_test(test_help),	 cmocka_unit_test(test_rest),
		cmocka_unit_test(test_settings), cmocka_unit_test(test_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
