/* lib/net/ssh against a real sshd on loopback, with keys of its own in a temporary directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
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
#include "lib/net/ssh.h"

/* libssh2 1.10 forgets the private number of an ECDSA key in OpenSSH's format. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libssh2_userauth_publickey_frommemory\n";
}
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "fast_unwind_on_malloc=0"; /* libcrypto has no frame pointers to follow */
}

#include "tests/unit/sshd_lab.h"

/* A target whose strings live as long as the test program. */
static struct kc_ssh_target target(const char *key)
{
	static char identity[128];
	struct kc_ssh_target t = { .host = "127.0.0.1", .port = port, .accept_new = true };

	snprintf(identity, sizeof(identity), "%s/%s", dir, key);
	t.identity_file = identity;
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

/* Opening fails with this code, and the line has these words. */
static void refuses(const struct kc_ssh_target *t, int code, const char *a, const char *b)
{
	struct kc_ssh *s = NULL;
	struct kc_err err = { 0 };
	int r = kc_ssh_open(t, &s, &err);

	assert_null(s);
	if (r != code || !strstr(err.msg, a) || !strstr(err.msg, b) || strchr(err.msg, '\n'))
		fail_msg("got %d \"%s\", wanted %d with \"%s\" and \"%s\"", r, err.msg, code, a, b);
}

static void accepts(const struct kc_ssh_target *t)
{
	_cleanup_ssh_ struct kc_ssh *s = NULL;
	struct kc_err err = { 0 };

	if (kc_ssh_open(t, &s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(kc_ssh_run(s, "true", NULL, &err), 0);
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
	assert_int_equal(kc_ssh_run(s, "echo first >&2; echo no space left >&2; exit 3", NULL,
				    &err),
			 KC_EFAIL);
	assert_non_null(strstr(err.msg, "exit code 3: no space left"));
	assert_null(strstr(err.msg, "first\n"));
	assert_int_equal(kc_ssh_exec(s, &x, &code, &err), 0);
	assert_int_equal(code, 7);
	x.command = "kill -TERM $$";
	assert_int_equal(kc_ssh_exec(s, &x, &code, &err), 0);
	assert_int_equal(code, 128 + SIGTERM);
	assert_true(kc_startswith(kc_ssh_host_key(s), "ssh-ed25519 AAAA"));
}

static char *hold_a_folder(struct kc_ssh *s)
{
	_cleanup_free_ char *path = in_dir("held"), *out = NULL, *command = NULL;
	struct kc_err err = { 0 };

	/* The trap: a client that dies before MARK must not take the shell with it. */
	command = xasprintf("trap '' HUP PIPE; echo noise; mkdir %s; echo MARK; "
			    "cat >/dev/null; rmdir %s",
			    path, path);
	if (kc_ssh_hold(s, command, "MARK", &out, &err) < 0)
		fail_msg("%s", err.msg);
	assert_non_null(strstr(out, "MARK\n"));
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
	assert_true(kc_exists(path));
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
	_cleanup_free_ char *known = in_dir("sub/known"), *pub = in_dir("host.pub"),
			    *other = in_dir("stranger.pub"), *line = NULL, *key = NULL,
			    *print = NULL, *bad = NULL;
	struct stat st;

	t.known_hosts = known;
	t.accept_new = false;
	assert_int_equal(kc_runl(&print, NULL, "ssh-keygen", "-l", "-f", pub, NULL), 0);
	print[strcspn(print, " ") + 1 + 50] = 0;
	refuses(&t, KC_EAUTH, "--accept-new-host-keys", strchr(print, ' ') + 1);
	t.accept_new = true;
	accepts(&t);
	assert_int_equal(stat(known, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	t.accept_new = false;
	accepts(&t);

	/* Changed: fatal, also with accept_new, and both fingerprints are shown. */
	assert_int_equal(kc_file_read(other, 4096, &key, NULL, NULL), 0);
	bad = xasprintf("# comment\n@cert-authority * ssh-ed25519 AAAA\nbroken\n[127.0.0.1]:%d %s",
			port, key);
	assert_int_equal(kc_file_write(known, bad, strlen(bad), 0600, NULL), 0);
	t.accept_new = true;
	refuses(&t, KC_EAUTH, "THE HOST KEY CHANGED", strchr(print, ' ') + 1);

	assert_int_equal(kc_file_read(pub, 4096, &line, NULL, NULL), 0);
	t.host_key = key;
	refuses(&t, KC_EAUTH, "THE HOST KEY CHANGED", strchr(print, ' ') + 1);
	t.host_key = line;
	accepts(&t);
	t.host_key = "ssh-ed25519";
	refuses(&t, KC_EINVAL, "hostKey", "TYPE BASE64");
	t.host_key = "ssh-foo AAAA";
	refuses(&t, KC_EINVAL, "ssh-foo", "ssh-ed25519");
}

/* A host known by an ECDSA key must not pass with a new key of another type. */
static void test_host_key_type(void **state)
{
	struct kc_ssh_target t = target("ed");
	_cleanup_free_ char *known = in_dir("known-ec"), *pub = in_dir("ec.pub"), *key = NULL,
			    *text = NULL;

	assert_int_equal(kc_file_read(pub, 4096, &key, NULL, NULL), 0);
	text = xasprintf("[127.0.0.1]:%d %s", port, key);
	assert_int_equal(kc_file_write(known, text, strlen(text), 0600, NULL), 0);
	t.known_hosts = known;
	refuses(&t, KC_EFAIL, "no host key algorithm in common: we offer ecdsa-sha2-nistp256",
		"the host offers ssh-ed25519");
}

static void test_unreachable(void **state)
{
	struct kc_ssh_target t = target("ed");
	_cleanup_close_ int fd = -1;

	close(listener(&t.port));
	refuses(&t, KC_EAGAIN, "root@127.0.0.1: connection refused", "is sshd running");
	fd = listener(&t.port);
	assert_int_equal(listen(fd, 5), 0);
	t.connect_timeout_ms = 300;
	refuses(&t, KC_EAGAIN, "accepts connections but sends no SSH", "root@127.0.0.1");
	t.host = "no-such-host.invalid";
	t.connect_timeout_ms = 0;
	{
		struct kc_ssh *s = NULL;
		struct kc_err err = { 0 };

		assert_true(kc_ssh_open(&t, &s, &err) < 0);
		assert_non_null(strstr(err.msg, "cannot resolve"));
	}
}

static void test_negotiation(void **state)
{
	struct kc_ssh_target t = target("ed");

	t.port = odd_port;
	refuses(&t, KC_EFAIL, "no cipher algorithm in common: we offer aes128-ctr",
		"the host offers chacha20-poly1305@openssh.com");
}

static const char *const *answers_left; /* what is given when a passphrase is asked for */
static int verdicts[2];
static int ask(void *cookie, const char *file, char **ret, struct kc_err *err)
{
	if (!*answers_left)
		return kc_fail(err, KC_ENOTFOUND, "there is no terminal");
	*ret = xstrdup(*answers_left++);
	return 0;
}
static bool verdict(void *cookie, const char *file, bool good)
{
	verdicts[good]++;
	return !good && *answers_left;
}
static const struct kc_ssh_phrases phrases = { ask, verdict };

static void test_keys(void **state)
{
	struct kc_ssh_target t = target("ec");
	_cleanup_free_ char *junk = in_dir("junk");

	accepts(&t);
	t = target("stranger");
	refuses(&t, KC_EAUTH, "refused", "authorized_keys");
	t = target("rsa");
	refuses(&t, KC_EAUTH, "RSA keys need libssh2 1.11", "ed25519");
	t = target("missing");
	refuses(&t, KC_ENOTFOUND, "identity file", "missing");
	assert_int_equal(kc_file_write(junk, "junk\n", 5, 0600, NULL), 0);
	t = target("junk");
	refuses(&t, KC_EAUTH, "cannot use the key", "damaged");
	t = target("locked");
	refuses(&t, KC_EAUTH, "encrypted", "ssh-add");
	t.phrases = &phrases;
	answers_left = (const char *const[]){ NULL };
	refuses(&t, KC_EAUTH, "encrypted, and there is no terminal", "ssh-add");
	answers_left = (const char *const[]){ "wrong", NULL };
	refuses(&t, KC_EAUTH, "passphrase is wrong", "locked");
	answers_left = (const char *const[]){ "wrong", "Sesame", "sesame", NULL };
	verdicts[0] = verdicts[1] = 0;
	accepts(&t);
	assert_int_equal(verdicts[0], 2);
	assert_int_equal(verdicts[1], 1);
	t = target("ed");
	t.identity_file = NULL; /* neither agent nor ~/.ssh/id_* */
	refuses(&t, KC_EAUTH, "no key to try", "authorized_keys");
}

static void test_agent(void **state)
{
	_cleanup_free_ char *sock = in_dir("agent"), *key = in_dir("ed"), *out = NULL;
	struct kc_ssh_target t = target("ed");
	struct kc_err err = { 0 };
	const char *pid;
	long n;

	if (kc_runl(&out, &err, "ssh-agent", "-s", "-a", sock, NULL) < 0)
		fail_msg("%s", err.msg);
	pid = strstr(out, "SSH_AGENT_PID=");
	assert_non_null(pid);
	n = atol(pid + strlen("SSH_AGENT_PID="));
	setenv("SSH_AUTH_SOCK", sock, 1);
	assert_int_equal(kc_runl(NULL, &err, "ssh-add", "-q", key, NULL), 0);
	t.identity_file = NULL;
	accepts(&t);
	t.no_agent = true;
	refuses(&t, KC_EAUTH, "no key to try", "");
	unsetenv("SSH_AUTH_SOCK");
	assert_true(n > 1);
	kill((pid_t)n, SIGTERM);
}

/* A source and sink of a known pseudo-random stream. */
struct flow {
	size_t sent, got, total;
	bool wrong;
	int feeds;
};

static unsigned char at(size_t i)
{
	return (unsigned char)((i * 2654435761u) >> 13);
}

static ssize_t feed(void *cookie, void *buf, size_t size, struct kc_err *err)
{
	struct flow *f = cookie;
	size_t n = f->total - f->sent < size ? f->total - f->sent : size;

	assert_true(size >= 65536);
	for (size_t i = 0; i < n; i++)
		((unsigned char *)buf)[i] = at(f->sent + i);
	f->sent += n;
	f->feeds++;
	return (ssize_t)n;
}

static int sink(void *cookie, const char *data, size_t len, struct kc_err *err)
{
	struct flow *f = cookie;

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)data[i] != at(f->got + i))
			f->wrong = true;
	f->got += len;
	return 0;
}

static void both_ways(struct kc_ssh *s, size_t total)
{
	struct flow f = { .total = total };
	struct kc_ssh_exec x = { .command = "cat", .feed = feed, .out = sink, .cookie = &f };
	struct kc_err err = { 0 };

	if (kc_ssh_exec(s, &x, NULL, &err) < 0)
		fail_msg("%s (sent %zu, got %zu)", err.msg, f.sent, f.got);
	assert_int_equal(f.got, f.total);
	assert_false(f.wrong);
}

static void test_streams(void **state)
{
	_cleanup_ssh_ struct kc_ssh *s = open_ok();
	struct flow f = { .total = 4u << 20 };
	struct kc_ssh_exec x = {
		.command = "head -c 10; exit 4", .feed = feed, .out = sink, .cookie = &f
	};
	struct kc_err err = { 0 };
	int code = -1;

	both_ways(s, 24u << 20);
	both_ways(s, 0);
	/* A command that ends before its input does. */
	assert_int_equal(kc_ssh_exec(s, &x, &code, &err), 0);
	assert_int_equal(code, 4);
	assert_int_equal(f.got, 10);
	/* Much on standard error, little kept. */
	x = (struct kc_ssh_exec){ .command = "head -c 3000000 /dev/zero | tr '\\0' x >&2; "
					     "echo the end >&2; exit 1" };
	assert_int_equal(kc_ssh_exec(s, &x, NULL, &err), KC_EFAIL);
	assert_int_equal(strlen(kc_ssh_stderr(s)), 65536);
	assert_non_null(strstr(kc_ssh_stderr(s), "the end"));
	x = (struct kc_ssh_exec){ .command = "wc -c", .input = "12345", .input_len = 5 };
	assert_int_equal(kc_ssh_exec(s, &x, NULL, &err), 0);
}

static int full(void *cookie, const char *data, size_t len, struct kc_err *err)
{
	return kc_fail(err, KC_EINVAL, "too much");
}

static bool canceled(void *cookie)
{
	int64_t *when = cookie;

	return kc_now_ms() > *when;
}

static void test_stop(void **state)
{
	_cleanup_ssh_ struct kc_ssh *a = open_ok(), *b = open_ok(), *c = open_ok(), *d = open_ok(),
				    *e = open_ok();
	int64_t when = kc_now_ms() + 100, start = kc_now_ms();
	struct kc_ssh_exec x = { .command = "sleep 20", .idle_ms = 200 };
	struct kc_err err = { 0 };

	assert_int_equal(kc_ssh_exec(a, &x, NULL, &err), KC_ETIMEOUT);
	x = (struct kc_ssh_exec){ .command = "while echo x; do sleep 0.05; done", .total_ms = 300 };
	assert_int_equal(kc_ssh_exec(b, &x, NULL, &err), KC_ETIMEOUT);
	x = (struct kc_ssh_exec){ .command = "sleep 20", .canceled = canceled, .cookie = &when };
	assert_int_equal(kc_ssh_exec(c, &x, NULL, &err), KC_ECANCELED);
	x = (struct kc_ssh_exec){ .command = "echo x", .out = full };
	assert_int_equal(kc_ssh_exec(d, &x, NULL, &err), KC_EINVAL);
	assert_string_equal(err.msg, "too much");
	/* The host's end of the connection dies. */
	x = (struct kc_ssh_exec){ .command = "kill -KILL $PPID; sleep 5" };
	assert_int_equal(kc_ssh_exec(e, &x, NULL, &err), KC_EAGAIN);
	assert_non_null(strstr(err.msg, "connection lost"));
	assert_true(kc_now_ms() - start < 10000);
}

static void test_put(void **state)
{
	_cleanup_ssh_ struct kc_ssh *s = open_ok();
	_cleanup_free_ char *from = in_dir("from"), *gz = in_dir("from.gz"), *sha256 = NULL,
			    *to = in_dir("it's a \\\"$file\" !x"), *no = in_dir("none/x"),
			    *text = xcalloc(1, 3000001), *back = NULL;
	struct kc_err err = { 0 };
	struct stat st;
	size_t len;

	for (size_t i = 0; i < 3000000; i++)
		text[i] = (char)at(i);
	assert_int_equal(kc_file_write(from, text, 3000000, 0600, NULL), 0);
	for (int i = 0; i < 2; i++) /* also over an old one */
		if (kc_ssh_put(s, from, to, 0750, &err) < 0)
			fail_msg("%s", err.msg);
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	assert_int_equal(kc_file_read(to, 1u << 22, &back, &len, NULL), 0);
	assert_int_equal(len, 3000000);
	assert_memory_equal(back, text, len);
	assert_int_equal(kc_runl(NULL, &err, "gzip", "-k", from, NULL), 0);
	assert_int_equal(kc_runl(&sha256, NULL, "sha256sum", from, NULL), 0);
	sha256[64] = '\0';
	assert_int_equal(kc_ssh_put_gzip(s, gz, "0123", to, 0700, &err), KC_EFAIL);
	assert_int_equal(kc_ssh_put_gzip(s, from, sha256, to, 0700, &err), KC_EFAIL);
	assert_int_equal(stat(to, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750); /* neither of them has replaced it */
	if (kc_ssh_put_gzip(s, gz, sha256, to, 0700, &err) < 0)
		fail_msg("%s", err.msg);
	free(TAKE(back));
	assert_int_equal(kc_file_read(to, 1u << 22, &back, &len, NULL), 0);
	assert_int_equal(len, 3000000);
	assert_memory_equal(back, text, len);
	assert_int_equal(kc_ssh_put(s, from, no, 0600, &err), KC_EFAIL);
	assert_non_null(strstr(err.msg, "uploading"));
	assert_int_equal(kc_ssh_put(s, no, to, 0600, &err), KC_ENOTFOUND);
}

static void test_quote(void **state)
{
	static const char *const words[] = { "plain-1.2/x",
					     "",
					     "a b",
					     "it's",
					     "back\\slash\\\\",
					     "$HOME `id` \"q\" ! * ~ ; & | < > ( ) { } # %" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		_cleanup_free_ char *q = kc_ssh_quote(words[i]), *cmd = NULL, *out = NULL;

		cmd = xasprintf("printf %%s %s", q);
		assert_int_equal(kc_runl(&out, NULL, "sh", "-c", cmd, NULL), 0);
		assert_string_equal(out, words[i]);
	}
}

static void test_bastion(void **state)
{
	struct kc_ssh_target gate = target("ed"), t = target("ed");
	_cleanup_ssh_ struct kc_ssh *s = NULL;
	_cleanup_free_ char *out = NULL;
	struct kc_err err = { 0 };

	t.bastion = &gate;
	if (kc_ssh_open(&t, &s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(kc_ssh_run(s, "echo inside", &out, &err), 0);
	assert_string_equal(out, "inside\n");
	both_ways(s, 8u << 20);
	close(listener(&t.port));
	refuses(&t, KC_EAGAIN, "the bastion root@127.0.0.1 cannot reach port", "");
}

/* A session a thread; all of them pin the same unknown host. */
static void *one_of_many(void *arg)
{
	struct kc_ssh_target t = *(const struct kc_ssh_target *)arg;
	_cleanup_ssh_ struct kc_ssh *s = NULL;
	_cleanup_free_ char *out = NULL;
	struct kc_err err = { 0 };

	if (kc_ssh_open(&t, &s, &err) < 0 || kc_ssh_run(s, "echo hi", &out, &err) < 0)
		return xstrdup(err.msg);
	return streq(out, "hi\n") ? NULL : xstrdup("wrong output");
}

static void test_threads(void **state)
{
	_cleanup_free_ char *known = in_dir("known-many");
	struct kc_ssh_target t = target("ed");
	pthread_t threads[8];

	t.known_hosts = known;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, one_of_many, &t), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *bad = NULL;

		pthread_join(threads[i], &bad);
		if (bad)
			fail_msg("%s", (char *)bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run),	    cmocka_unit_test(test_hold),
		cmocka_unit_test(test_host_keys),   cmocka_unit_test(test_host_key_type),
		cmocka_unit_test(test_unreachable), cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_keys),	    cmocka_unit_test(test_agent),
		cmocka_unit_test(test_streams),	    cmocka_unit_test(test_stop),
		cmocka_unit_test(test_put),	    cmocka_unit_test(test_quote),
		cmocka_unit_test(test_bastion),	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
