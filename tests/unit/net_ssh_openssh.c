/* The transport openssh: the program ssh against real sshds on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/net/ssh_forward.h"

#include "tests/unit/sshd_lab.h"

/* A target whose strings live as long as the test program; its known_hosts is ours. */
static struct kc_ssh_target target(const char *key)
{
	static char identity[128], known[128];
	struct kc_ssh_target t = { .host = "127.0.0.1",
				   .port = port,
				   .accept_new = true,
				   .no_agent = true,
				   .openssh = true,
				   .identity_file = identity,
				   .known_hosts = known };

	snprintf(identity, sizeof(identity), "%s/%s", dir, key);
	snprintf(known, sizeof(known), "%s/known", dir);
	return t;
}

static struct kc_ssh *open_ok(void)
{
	struct kc_ssh_target t = target("ed");
	struct kc_ssh *s = NULL;
	struct kc_err err = { 0 };

	if (kc_ssh_open(&t, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static void refuses(const struct kc_ssh_target *t, int code, const char *a, const char *b)
{
	struct kc_ssh *s = NULL;
	struct kc_err err = { 0 };
	int r = kc_ssh_open(t, &s, &err);

	assert_null(s);
	if (r != code || !strstr(err.msg, a) || !strstr(err.msg, b) || strchr(err.msg, '\n'))
		fail_msg("got %d \"%s\", wanted %d with \"%s\" and \"%s\"", r, err.msg, code, a, b);
}

static void test_run(void **state)
{
	_cleanup_ssh_ struct kc_ssh *s = open_ok();
	_cleanup_free_ char *out = NULL;
	struct kc_ssh_exec x = { .command = "exit 7" };
	struct kc_err err = { 0 };
	int code = -1;

	assert_int_equal(kc_ssh_run(s, "echo hello; echo noise >&2", &out, &err), 0);
	assert_string_equal(out, "hello\n");
	assert_string_equal(kc_ssh_stderr(s), "noise\n");
	assert_int_equal(kc_ssh_run(s, "echo no space left >&2; exit 3", NULL, &err), KC_EFAIL);
	assert_non_null(strstr(err.msg, "exit code 3: no space left"));
	assert_int_equal(kc_ssh_exec(s, &x, &code, &err), 0);
	assert_int_equal(code, 7);
	x = (struct kc_ssh_exec){ .command = "sleep 5", .total_ms = 300 };
	assert_int_equal(kc_ssh_exec(s, &x, &code, &err), KC_ETIMEOUT);
}

struct copy {
	size_t sent, got;
	bool bad;
};
enum { SIZE = 5 << 20 };

static ssize_t give(void *cookie, void *buf, size_t size, struct kc_err *err)
{
	struct copy *c = cookie;

	size = c->sent + size > SIZE ? SIZE - c->sent : size;
	for (size_t i = 0; i < size; i++)
		((char *)buf)[i] = (char)((c->sent + i) * 7);
	c->sent += size;
	return (ssize_t)size;
}

static int take(void *cookie, const char *data, size_t len, struct kc_err *err)
{
	struct copy *c = cookie;

	for (size_t i = 0; i < len; i++)
		c->bad |= data[i] != (char)((c->got + i) * 7);
	c->got += len;
	return 0;
}

static void test_streams(void **state)
{
	_cleanup_ssh_ struct kc_ssh *s = open_ok();
	struct copy c = { 0 };
	struct kc_ssh_exec x = { .command = "cat", .feed = give, .out = take, .cookie = &c };
	_cleanup_free_ char *from = in_dir("ed"), *to = in_dir("uploaded"), *a = NULL, *b = NULL;
	struct kc_err err = { 0 };
	struct stat st;

	assert_int_equal(kc_ssh_exec(s, &x, NULL, &err), 0);
	assert_int_equal(c.got, SIZE);
	assert_false(c.bad);
	/* A command that does not read what it is given. */
	c = (struct copy){ 0 };
	x.command = "true";
	assert_int_equal(kc_ssh_exec(s, &x, NULL, &err), 0);
	assert_int_equal(kc_ssh_put(s, from, to, 0640, &err), 0);
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(kc_file_read(from, 65536, &a, NULL, NULL), 0);
	assert_int_equal(kc_file_read(to, 65536, &b, NULL, NULL), 0);
	assert_string_equal(a, b);
}

static char *hold_a_folder(struct kc_ssh *s)
{
	_cleanup_free_ char *path = in_dir("held"), *out = NULL, *command = NULL;
	struct kc_err err = { 0 };

	command = xasprintf("trap '' HUP PIPE; echo noise; mkdir %s; echo MARK; "
			    "cat >/dev/null; rmdir %s",
			    path, path);
	if (kc_ssh_hold(s, command, "MARK", &out, &err) < 0)
		fail_msg("%s", err.msg);
	return TAKE(path);
}

static void test_hold(void **state)
{
	_cleanup_ssh_ struct kc_ssh *s = open_ok();
	_cleanup_free_ char *path = hold_a_folder(s), *out = NULL;
	struct kc_err err = { 0 };
	pid_t pid;

	assert_true(kc_exists(path));
	assert_int_equal(kc_ssh_run(s, "echo beside it", &out, &err), 0);
	kc_ssh_close(TAKE(s));
	assert_false(kc_exists(path)); /* a polite end waits */
	pid = fork();
	if (pid == 0) {
		hold_a_folder(open_ok());
		pause();
	}
	for (int i = 0; i < 1000 && !kc_exists(path); i++)
		kc_sleep_ms(10);
	assert_true(kc_exists(path));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 1000 && kc_exists(path); i++)
		kc_sleep_ms(10);
	assert_false(kc_exists(path));
	s = open_ok();
	assert_int_equal(kc_ssh_hold(s, "exit 3", "MARK", &out, &err), KC_EFAIL);
}

static void test_host_keys(void **state)
{
	struct kc_ssh_target t = target("ed");
	_cleanup_free_ char *pub = in_dir("host.pub"), *other = in_dir("stranger.pub"),
			    *line = NULL, *key = NULL, *bad = NULL;

	unlink(t.known_hosts);
	t.accept_new = false;
	refuses(&t, KC_EAUTH, "Host key verification failed", "--accept-new-host-keys");
	t.accept_new = true;
	kc_ssh_close(open_ok());
	assert_true(kc_exists(t.known_hosts));
	/* Changed: fatal, also with accept_new. */
	assert_int_equal(kc_file_read(other, 4096, &key, NULL, NULL), 0);
	bad = xasprintf("[127.0.0.1]:%d %s", port, key);
	assert_int_equal(kc_file_write(t.known_hosts, bad, strlen(bad), 0600, NULL), 0);
	refuses(&t, KC_EAUTH, "Host key verification failed", "root@127.0.0.1");
	/* A pinned key is the only one, whatever known_hosts has. */
	assert_int_equal(kc_file_read(pub, 4096, &line, NULL, NULL), 0);
	t.host_key = line;
	{
		_cleanup_ssh_ struct kc_ssh *s = NULL;
		struct kc_err err = { 0 };

		if (kc_ssh_open(&t, &s, &err) < 0)
			fail_msg("%s", err.msg);
	}
	t.host_key = key;
	refuses(&t, KC_EAUTH, "Host key verification failed", "root@127.0.0.1");
	unlink(t.known_hosts);
}

static void test_refusals(void **state)
{
	struct kc_ssh_target t = target("stranger");

	refuses(&t, KC_EAUTH, "Permission denied", "authorized_keys");
	t = target("locked"); /* nobody is asked */
	refuses(&t, KC_EAUTH, "Permission denied", "ssh-agent");
	t = target("ed");
	close(listener(&t.port));
	refuses(&t, KC_EAGAIN, "Connection refused", "root@127.0.0.1");
	t.host = "no-such-host.invalid";
	refuses(&t, KC_EINVAL, "Could not resolve", "no-such-host.invalid");
}

static int forward_session(void *cookie, bool hop, struct kc_ssh **ret, struct kc_err *err)
{
	struct kc_ssh_target t = target("ed");

	return kc_ssh_open(&t, ret, err);
}

/* The sshd itself is what is reached through it. */
static void test_forward(void **state)
{
	struct kc_ssh_forward *f = kc_ssh_forward_new(forward_session, NULL);
	struct kc_err err = { 0 };
	struct sockaddr_in to;
	char text[4];

	for (int i = 0; i < 3; i++) {
		_cleanup_close_ int fd = -1;

		if (kc_ssh_forward_dial(f, "127.0.0.1", port, &fd, &to, &err) < 0)
			fail_msg("%s", err.msg);
		assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
		assert_int_equal(recv(fd, text, 4, MSG_WAITALL), 4);
		assert_memory_equal(text, "SSH-", 4);
	}
	kc_ssh_forward_free(f);
}

static void test_lost(void **state)
{
	_cleanup_ssh_ struct kc_ssh *s = open_ok();
	_cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/children", sshd, sshd),
			    *text = NULL;
	struct kc_err err = { 0 };
	char *save = NULL;
	int r = 0;

	assert_int_equal(kc_file_read(path, 65536, &text, NULL, NULL), 0);
	for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
		kill(atoi(p), SIGKILL);
	for (int i = 0; i < 200 && r == 0; i++) {
		r = kc_ssh_run(s, "true", NULL, &err);
		kc_sleep_ms(10);
	}
	assert_int_equal(r, KC_EAGAIN);
	assert_int_equal(kc_ssh_run(s, "true", NULL, &err), KC_EAGAIN);
	assert_non_null(strstr(err.msg, "the connection is lost"));
}

/* Nothing of it stays behind. */
static void test_no_traces(void **state)
{
	_cleanup_free_ char *tmp = in_dir("runtime"), *left = NULL;
	struct kc_err err = { 0 };

	assert_int_equal(kc_mkdir_p(tmp, 0700, &err), 0);
	setenv("XDG_RUNTIME_DIR", tmp, 1);
	kc_ssh_close(open_ok());
	assert_int_equal(kc_runl(&left, &err, "ls", "-A", tmp, NULL), 0);
	assert_string_equal(left, "");
	unsetenv("XDG_RUNTIME_DIR");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run),	  cmocka_unit_test(test_streams),
		cmocka_unit_test(test_hold),	  cmocka_unit_test(test_host_keys),
		cmocka_unit_test(test_refusals),  cmocka_unit_test(test_forward),
		cmocka_unit_test(test_no_traces), cmocka_unit_test(test_lost),
	};

	signal(SIGPIPE, SIG_IGN); /* as the program does */
	return cmocka_run_group_tests(tests, setup, teardown);
}
