#include "lib/net/ssh_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"

extern char **environ;

enum { CHUNK = 128 << 10, KEEP_ERRORS = 64 << 10, TICK_MS = 100, MAX_TEXT = 1 << 20 };

static void close_pair(int p[2])
{
	kc_closep(&p[0]);
	kc_closep(&p[1]);
}

static int spawn(struct ssh_child *c, const char *const *argv, const int in[2], const int out[2],
		 const int errs[2])
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, defaults;
	int e;

	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in[0], 0);
	posix_spawn_file_actions_adddup2(&files, out[1], 1);
	posix_spawn_file_actions_adddup2(&files, errs[1], 2);
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE); /* that we ignore it is inherited */
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF);
	e = posix_spawnp(&c->pid, argv[0], &files, &attr, (char *const *)argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return e;
}

int ssh_child_start(struct ssh_child *c, const char *const *argv, struct kc_err *err)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, errs[2] = { -1, -1 }, e = 0;

	*c = (struct ssh_child){ .in = -1, .out = -1, .err = -1 };
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(errs, O_CLOEXEC) < 0)
		e = errno;
	if (!e)
		e = spawn(c, argv, in, out, errs);
	if (e) {
		c->pid = 0;
		close_pair(in);
		close_pair(out);
		close_pair(errs);
		return e == ENOENT ? kc_fail(err, KC_ENOTFOUND,
					     "the program %s is not installed; install it, or use "
					     "ssh.transport libssh2",
					     argv[0])
				   : kc_fail_errno(err, e, "starting %s", argv[0]);
	}
	close(in[0]);
	close(out[1]);
	close(errs[1]);
	c->in = in[1];
	c->out = out[0];
	c->err = errs[0];
	fcntl(c->in, F_SETFL, O_NONBLOCK);
	return 0;
}

bool ssh_child_alive(struct ssh_child *c)
{
	int status;

	if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid)
		c->pid = 0;
	return c->pid;
}

void ssh_child_end(struct ssh_child *c, long ms)
{
	int64_t deadline = kc_now_ms() + ms;
	int status;

	kc_closep(&c->in);
	while (ssh_child_alive(c) && kc_now_ms() < deadline)
		kc_sleep_ms(5);
	if (c->pid) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, &status, 0);
		c->pid = 0;
	}
	kc_closep(&c->out);
	kc_closep(&c->err);
}

/* The last 64K of standard error; false at its end. */
static bool read_errors(struct ssh_child *c, struct kc_buf *errs)
{
	char text[4096];
	ssize_t n = read(c->err, text, sizeof(text));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (errs->len + (size_t)n > KEEP_ERRORS) {
		size_t drop = errs->len + (size_t)n - KEEP_ERRORS;

		memmove(errs->data, errs->data + drop, errs->len - drop);
		errs->len -= drop;
	}
	kc_buf_putn(errs, text, (size_t)n);
	return true;
}

struct talk {
	struct ssh_child *c;
	const struct kc_ssh_exec *x;
	char *buf, *in;
	size_t at, len;
	bool in_end;
	int64_t last;
};

/* More for its standard input; ends it when there is no more. */
static int feed(struct talk *t, struct kc_err *err)
{
	const char *data = t->x->feed ? t->in : t->x->input;
	ssize_t n;

	if (t->at == t->len && t->x->feed && !t->in_end) {
		n = t->x->feed(t->x->cookie, t->in, CHUNK, err);
		if (n < 0)
			return (int)n;
		t->at = 0;
		t->len = (size_t)n;
		t->in_end = n == 0;
		t->last = kc_now_ms(); /* a slow source is not a silent host */
	}
	if (t->at == t->len) {
		kc_closep(&t->c->in);
		return 0;
	}
	n = write(t->c->in, data + t->at, t->len - t->at);
	if (n > 0) {
		t->at += (size_t)n;
		t->last = kc_now_ms();
	} else if (errno != EAGAIN && errno != EINTR) {
		kc_closep(&t->c->in); /* it does not want to hear more: its exit says why */
	}
	return 0;
}

static int take(struct talk *t, struct kc_err *err)
{
	ssize_t n = read(t->c->out, t->buf, CHUNK);

	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0) {
		kc_closep(&t->c->out);
		return 0;
	}
	t->last = kc_now_ms();
	return t->x->out ? t->x->out(t->x->cookie, t->buf, (size_t)n, err) : 0;
}

static int turn(struct talk *t, struct kc_buf *errs, struct kc_err *err)
{
	struct pollfd p[3] = { { .fd = t->c->in, .events = POLLOUT },
			       { .fd = t->c->out, .events = POLLIN },
			       { .fd = t->c->err, .events = POLLIN } };
	int r = 0;

	if (poll(p, 3, TICK_MS) <= 0)
		return 0;
	if (p[0].revents)
		r = feed(t, err);
	if (r == 0 && p[1].revents)
		r = take(t, err);
	if (r == 0 && p[2].revents && !read_errors(t->c, errs))
		kc_closep(&t->c->err);
	return r;
}

static int talk_all(struct talk *t, struct kc_buf *errs, const char *name, struct kc_err *err)
{
	const struct kc_ssh_exec *x = t->x;
	int64_t end = x->total_ms ? kc_now_ms() + x->total_ms : INT64_MAX;
	long idle = x->idle_ms ? x->idle_ms : 120000;
	int r = 0;

	t->last = kc_now_ms();
	while (r == 0 && (t->c->out >= 0 || t->c->err >= 0)) {
		int64_t now = kc_now_ms();

		r = turn(t, errs, err);
		if (r == 0 && x->canceled && x->canceled(x->cookie))
			r = kc_fail(err, KC_ECANCELED, "%s: canceled", name);
		if (r == 0 && (now > end || now > t->last + idle))
			r = kc_fail(err, KC_ETIMEOUT, "%s: timed out", name);
	}
	return r;
}

int ssh_child_talk(struct ssh_child *c, const struct kc_ssh_exec *x, struct kc_buf *errs,
		   const char *name, int *ret_status, struct kc_err *err)
{
	struct talk t = { .c = c, .x = x, .len = x->feed ? 0 : x->input_len };
	int r;

	t.buf = xmalloc(CHUNK);
	t.in = x->feed ? xmalloc(CHUNK) : NULL;
	r = talk_all(&t, errs, name, err);
	free(t.buf);
	free(t.in);
	if (r < 0) {
		ssh_child_end(c, 0);
		return r;
	}
	kc_closep(&c->in);
	while (waitpid(c->pid, ret_status, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
	return 0;
}

/* KC_EFAIL when its output ended before the mark. */
static int read_some(struct ssh_child *c, struct kc_buf *out, struct kc_buf *errs,
		     struct kc_err *err)
{
	struct pollfd p[2] = { { .fd = c->out, .events = POLLIN },
			       { .fd = c->err, .events = POLLIN } };
	char text[4096];
	ssize_t n;

	if (poll(p, 2, TICK_MS) <= 0)
		return 0;
	if (p[1].revents && !read_errors(c, errs))
		kc_closep(&c->err);
	if (!p[0].revents)
		return 0;
	n = read(c->out, text, sizeof(text));
	if (n > 0)
		return kc_buf_add(out, text, (size_t)n, err);
	while (c->err >= 0 && poll(&p[1], 1, 200) > 0 && read_errors(c, errs))
		;
	return kc_fail(err, KC_EFAIL, "it ended");
}

int ssh_child_until(struct ssh_child *c, const char *mark, struct kc_buf *out, struct kc_buf *errs,
		    int64_t deadline, bool (*canceled)(void *cookie), void *cookie,
		    struct kc_err *err)
{
	for (;;) {
		int r = read_some(c, out, errs, err);
		const char *at = r == 0 ? strstr(kc_buf_get(out), mark) : NULL;

		if (r < 0 || (at && strchr(at, '\n')))
			return r;
		if (canceled && canceled(cookie))
			return kc_fail(err, KC_ECANCELED, "canceled");
		if (kc_now_ms() > deadline)
			return kc_fail(err, KC_ETIMEOUT, "timed out");
	}
}
