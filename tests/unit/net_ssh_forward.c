/* lib/net/ssh_forward against real sshds on loopback and an echo server behind them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/net/ssh_forward.h"

#include "tests/unit/sshd_lab.h"

enum { SIZE = 1 << 20, DIALS = 12 };

static int closed_port; /* of an sshd that forwards nothing */
static pid_t closed_sshd;
static int echo_fd, echo_port;

/* What the opener should do: the port of the host's sshd, and of its bastion's (0: it has none). */
struct where {
	int host, hop, opened;
};

static int open_session(void *cookie, bool hop, struct kc_ssh **ret, struct kc_err *err)
{
	struct where *w = cookie;
	_cleanup_free_ char *identity = in_dir("ed");
	struct kc_ssh_target t = { .host = "127.0.0.1",
				   .port = hop ? w->hop : w->host,
				   .identity_file = identity,
				   .accept_new = true };

	w->opened++;
	return hop && !w->hop ? kc_fail(err, KC_ENOTFOUND, "no bastion")
			      : kc_ssh_open(&t, ret, err);
}

static void *echo(void *cookie)
{
	int fd = (int)(intptr_t)cookie;
	char buf[4096];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (kc_write_all(fd, buf, (size_t)n, NULL) < 0)
			break;
	close(fd);
	return NULL;
}

static void *accept_all(void *cookie)
{
	pthread_t t;
	int fd;

	while ((fd = accept(echo_fd, NULL, NULL)) >= 0)
		if (pthread_create(&t, NULL, echo, (void *)(intptr_t)fd) == 0)
			pthread_detach(t);
	return NULL;
}

struct exchange {
	struct kc_ssh_forward *f;
	int number;
	bool good;
	struct kc_err err;
};

static void *send_all(void *cookie)
{
	const struct exchange *x = cookie;
	_cleanup_free_ char *data = xmalloc(SIZE);

	memset(data, 'a' + x->number, SIZE);
	kc_write_all(x->good ? x->number : -1, data, SIZE, NULL);
	return NULL;
}

static int dial(struct kc_ssh_forward *f, int to_port, int *ret_fd, struct kc_err *err)
{
	struct sockaddr_in to;
	int r = kc_ssh_forward_dial(f, "127.0.0.1", to_port, ret_fd, &to, err);

	if (r == 0)
		assert_int_equal(connect(*ret_fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return r;
}

/* A megabyte there and back, written and read at the same time. */
static void *exchange(void *cookie)
{
	struct exchange *x = cookie, writer = { .good = true };
	char buf[8192];
	pthread_t t;
	size_t got = 0;
	ssize_t n;
	int fd = -1;

	if (dial(x->f, echo_port, &fd, &x->err) < 0)
		return NULL;
	writer.number = fd;
	pthread_create(&t, NULL, send_all, &writer);
	x->good = true;
	while (got < SIZE && (n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			x->good &= buf[i] == (char)('a' + fd);
		got += (size_t)n;
	}
	x->good &= got == SIZE;
	pthread_join(t, NULL);
	close(fd);
	return NULL;
}

static void exchange_ok(struct kc_ssh_forward *f)
{
	struct exchange x = { .f = f };

	exchange(&x);
	if (!x.good)
		fail_msg("%s", x.err.msg);
}

static void test_many_at_once(void **state)
{
	struct where w = { .host = port };
	struct kc_ssh_forward *f = kc_ssh_forward_new(open_session, &w);
	struct exchange x[DIALS] = { 0 };
	pthread_t threads[DIALS];

	for (int i = 0; i < DIALS; i++) {
		x[i].f = f;
		pthread_create(&threads[i], NULL, exchange, &x[i]);
	}
	for (int i = 0; i < DIALS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < DIALS; i++)
		if (!x[i].good)
			fail_msg("%d: %s", i, x[i].err.msg);
	assert_int_equal(w.opened, 1);
	kc_ssh_forward_free(f);
}

static void test_refused(void **state)
{
	struct where w = { .host = port };
	struct kc_ssh_forward *f = kc_ssh_forward_new(open_session, &w);
	struct kc_err err = { 0 };
	int free_port, fd = -7;

	close(listener(&free_port));
	assert_int_equal(dial(f, free_port, &fd, &err), KC_EAGAIN);
	assert_int_equal(fd, -7);
	assert_non_null(strstr(err.msg, "through root@127.0.0.1"));
	assert_null(strchr(err.msg, '\n'));
	exchange_ok(f);
	assert_int_equal(w.opened, 1);
	kc_ssh_forward_free(f);
}

static void test_host_forwards_nothing(void **state)
{
	struct where w = { .host = closed_port }, hop = { .host = closed_port, .hop = port };
	struct kc_ssh_forward *f = kc_ssh_forward_new(open_session, &w);
	struct kc_err err = { 0 };
	int fd;

	assert_int_equal(dial(f, echo_port, &fd, &err), KC_EAGAIN);
	assert_non_null(strstr(err.msg, "AllowTcpForwarding"));
	kc_ssh_forward_free(f);

	f = kc_ssh_forward_new(open_session, &hop);
	exchange_ok(f);
	exchange_ok(f);
	assert_int_equal(hop.opened, 2); /* it stays with the bastion */
	kc_ssh_forward_free(f);
}

/* The sessions of an sshd: its children. */
static void kill_sessions(pid_t parent)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/children", parent, parent),
			    *text = NULL;
	char *save = NULL;

	assert_int_equal(kc_file_read(path, 65536, &text, NULL, NULL), 0);
	for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
		kill(atoi(p), SIGKILL);
}

static void test_lost_session(void **state)
{
	struct where w = { .host = port };
	struct kc_ssh_forward *f = kc_ssh_forward_new(open_session, &w);
	struct kc_err err = { 0 };
	char c;
	int fd;

	assert_int_equal(dial(f, echo_port, &fd, &err), 0);
	kill_sessions(sshd);
	assert_int_equal(read(fd, &c, 1), 0); /* it ends, and does not hang */
	close(fd);
	exchange_ok(f);
	kill_sessions(sshd);
	exchange_ok(f); /* also when nobody was there to see it go */
	assert_int_equal(w.opened, 3);
	kc_ssh_forward_free(f);
}

/* Another user of this machine finds the port, but is not let in. */
static void test_one_client_only(void **state)
{
	struct where w = { .host = port };
	struct kc_ssh_forward *f = kc_ssh_forward_new(open_session, &w);
	struct sockaddr_in to;
	struct kc_err err = { 0 };
	_cleanup_close_ int other = socket(AF_INET, SOCK_STREAM, 0), fd = -1;
	char c = 'x';

	assert_int_equal(kc_ssh_forward_dial(f, "127.0.0.1", echo_port, &fd, &to, &err), 0);
	assert_int_equal(connect(other, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(read(other, &c, 1), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(write(fd, &c, 1), 1);
	assert_int_equal(read(fd, &c, 1), 1);
	kc_ssh_forward_free(f);
}

static void test_no_session(void **state)
{
	struct where w = { 0 };
	struct kc_ssh_forward *f = kc_ssh_forward_new(open_session, &w);
	struct kc_err err = { 0 };
	int fd;

	close(listener(&w.host));
	assert_int_equal(dial(f, echo_port, &fd, &err), KC_EAGAIN);
	assert_non_null(strstr(err.msg, "connection refused"));
	kc_ssh_forward_free(f);
}

static int start(void **state)
{
	pthread_t t;
	int r = setup(state);

	closed_sshd = start_sshd("closed", &closed_port, "AllowTcpForwarding no\n");
	echo_fd = listener(&echo_port);
	assert_int_equal(listen(echo_fd, 64), 0);
	pthread_create(&t, NULL, accept_all, NULL);
	pthread_detach(t);
	return r;
}

static int stop(void **state)
{
	kill(closed_sshd, SIGTERM);
	waitpid(closed_sshd, NULL, 0);
	return teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_host_forwards_nothing),
		cmocka_unit_test(test_lost_session),
		cmocka_unit_test(test_no_session),
		cmocka_unit_test(test_one_client_only),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
