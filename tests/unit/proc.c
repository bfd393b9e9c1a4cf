/* lib/base/proc.h: children end when they are asked to, and when they are not wanted any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"

static char home[] = "/tmp/kc-proc-XXXXXX";
static atomic_bool cancel;

static void test_output_and_exit_code(void **state)
{
	const char *argv[] = { "sh", "-c", "cat; echo why >&2; exit 3", NULL };
	struct kc_run run = { .argv = argv, .input = "text", .input_len = 4 };
	_cleanup_free_ char *out = NULL;
	struct kc_err err;

	assert_int_equal(kc_run(&run, &out, &err), KC_EFAIL);
	assert_string_equal(out, "text");
	assert_string_equal(err.msg, "sh: exit code 3: why");
}

static void test_environment(void **state)
{
	const char *argv[] = { "sh", "-c", "echo $LC_ALL $HOME $KC_PROC_A $KC_PROC_B", NULL };
	const char *env[] = { "HOME=/first", "KC_PROC_A=", "HOME=/last", "KC_PROC_A=a=b", NULL };
	struct kc_run run = { .argv = argv, .env = env };
	_cleanup_free_ char *out = NULL;

	setenv("KC_PROC_B", "ours", 1);
	assert_int_equal(kc_run(&run, &out, NULL), 0);
	assert_string_equal(out, "C /last a=b ours\n");
}

static void test_deadline(void **state)
{
	const char *argv[] = { "sleep", "1000", NULL };
	struct kc_run run = { .argv = argv, .timeout_ms = 50 };
	struct kc_err err;

	assert_int_equal(kc_run(&run, NULL, &err), KC_ETIMEOUT);
}

/* Sets cancel, or ends this process as a second Ctrl-C does, once the child runs. */
static void wait_for_child(void)
{
	_cleanup_free_ char *started = xasprintf("%s/started", home);

	while (!kc_exists(started))
		kc_sleep_ms(5);
}

static void *cancel_soon(void *arg)
{
	wait_for_child();
	atomic_store(&cancel, true);
	return NULL;
}

static void *quit_soon(void *arg)
{
	wait_for_child();
	kc_run_kill_all();
	_exit(7);
}

/* script, in the folder of the test, until cancel. */
static int run_until(void *(*then)(void *), const char *script, struct kc_err *err)
{
	const char *argv[] = { "sh", "-c", script, NULL };
	struct kc_run run = { .argv = argv, .dir = home, .cancel = &cancel };
	_cleanup_free_ char *started = xasprintf("%s/started", home);
	pthread_t thread;
	int r;

	unlink(started);
	atomic_store(&cancel, false);
	assert_int_equal(pthread_create(&thread, NULL, then, NULL), 0);
	r = kc_run(&run, NULL, err);
	pthread_join(thread, NULL);
	return r;
}

/* Nobody of the group of this pid is left, but for those whose parent has not looked yet. */
static void assert_gone(void)
{
	_cleanup_free_ char *path = xasprintf("%s/started", home), *text = NULL, *list = NULL;
	size_t len;

	assert_int_equal(kc_file_read(path, 100, &text, &len, NULL), 0);
	text[strcspn(text, "\n")] = '\0';
	for (int i = 0; i < 1000; i++) {
		free(TAKE(list));
		if (kc_runl(&list, NULL, "pgrep", "-g", text, "-r", "R,S,D", NULL) < 0)
			return; /* it found none */
		kc_sleep_ms(10);
	}
	fail_msg("left of group %s: %s", text, list);
}

static void test_cancel(void **state)
{
	static const char *const scripts[] = {
		"echo $$ > new; mv new started; sleep 1000",
		"sleep 1000 & echo $$ > new; mv new started; exec >&- 2>&-; wait",
		/* One that will not go, and a grandchild that would outlive it. */
		"trap '' TERM; sleep 1000 & echo $$ > new; mv new started; while :; do wait; done",
		"trap 'exit 0' TERM; (trap '' TERM; sleep 1000) & echo $$ > new; mv new started; "
		"wait",
	};
	struct kc_err err;

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		assert_int_equal(run_until(cancel_soon, scripts[i], &err), KC_ECANCELED);
		assert_string_equal(err.msg, "sh: stopped");
		assert_gone();
	}
}

static void test_kill_all(void **state)
{
	struct kc_err err;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		run_until(quit_soon, "trap '' TERM; echo $$ > new; mv new started; sleep 1000",
			  &err);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_gone();
}

/* After a kill -9 of ours nobody works on. */
static void test_killed(void **state)
{
	const char *argv[] = { "sh", "-c", "echo $$ > new; mv new started; exec sleep 1000", NULL };
	struct kc_run run = { .argv = argv, .dir = home };
	_cleanup_free_ char *started = xasprintf("%s/started", home);
	pid_t pid;

	unlink(started);
	pid = fork();
	if (pid == 0) {
		kc_run(&run, NULL, NULL);
		_exit(1);
	}
	wait_for_child();
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_gone();
}

static int setup(void **state)
{
	return mkdtemp(home) ? 0 : -1;
}

static int teardown(void **state)
{
	return kc_rm_rf(home, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output_and_exit_code),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_kill_all),
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
