#include "lib/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

enum { IN, OUT, ERR, EXEC, PIPES };
enum {
	POLL_MS = 100,	 /* how soon a cancel is seen */
	GRACE_MS = 2000, /* between SIGTERM and SIGKILL */
	CHILDREN = 256,	 /* at a time that kc_run_kill_all() knows of */
};

/* Process groups that run: what a signal handler can read. */
static _Atomic pid_t children[CHILDREN];

static void replace_child(pid_t from, pid_t to)
{
	for (int i = 0; i < CHILDREN; i++) {
		pid_t expected = from;

		if (atomic_compare_exchange_strong(&children[i], &expected, to))
			return;
	}
}

void kc_run_kill_all(void)
{
	for (int i = 0; i < CHILDREN; i++) {
		pid_t pid = atomic_load(&children[i]);

		if (pid > 0 && kill(-pid, SIGKILL) < 0)
			kill(pid, SIGKILL); /* not the leader of its group yet */
	}
}

static void close_pipes(int p[PIPES][2])
{
	for (int i = 0; i < PIPES; i++) {
		kc_closep(&p[i][0]);
		kc_closep(&p[i][1]);
	}
}

#ifdef __linux__
/* The thread that waits for us is gone only if its whole process is: by a kill -9. */
static void end_with(pid_t parent)
{
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(127);
}
#else
static void end_with(pid_t parent)
{
}
#endif

/* Add "NAME=value" unless NAME is there. */
static void env_add(const char **env, const char *assignment)
{
	size_t len = strcspn(assignment, "="), n;

	for (n = 0; env[n]; n++)
		if (strncmp(env[n], assignment, len) == 0 && env[n][len] == '=')
			return;
	env[n] = assignment;
}

/* The child's environment: the last word of run->env, replies in English, and what is ours. */
static const char **environment(const struct kc_run *run)
{
	size_t n = 0, n_run = 0;
	const char **env;

	while (environ && environ[n])
		n++;
	while (run->env && run->env[n_run])
		n_run++;
	env = xcalloc(n + n_run + 2, sizeof(*env));
	for (size_t i = n_run; i-- > 0;)
		env_add(env, run->env[i]);
	env_add(env, "LC_ALL=C");
	for (size_t i = 0; i < n; i++)
		env_add(env, environ[i]);
	return env;
}

/* In the child: wire the streams, then exec. On failure errno goes through the EXEC pipe. Other
 * threads may have held any lock when we forked, malloc's too: plain system calls only. */
static void child(const struct kc_run *run, const char **env, int p[PIPES][2], pid_t parent)
{
	int in = run->input ? p[IN][0] : open("/dev/null", O_RDONLY), out = p[OUT][1],
	    errfd = run->merge ? p[OUT][1] : p[ERR][1], e;
	sigset_t none;

	setpgid(0, 0);
	end_with(parent);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (run->log)
		out = errfd = open(run->log, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(errfd, 2) < 0)
		goto fail;
	if (run->dir && chdir(run->dir) < 0)
		goto fail;
	environ = (char **)env;
	execvp(run->argv[0], (char *const *)run->argv);
fail:
	e = errno;
	if (write(p[EXEC][1], &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
}

/* Read what is there into buf, dropping the oldest bytes past a ceiling; false at end of file. */
static bool drain(int fd, struct kc_buf *buf)
{
	char chunk[65536];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	if (kc_buf_add(buf, chunk, (size_t)n, NULL) < 0)
		kc_buf_clear(buf);
	return true;
}

/* KC_ECANCELED, KC_ETIMEOUT, or 0: wait on. */
static int over(const struct kc_run *run, int64_t deadline)
{
	if (run->cancel && atomic_load(run->cancel))
		return KC_ECANCELED;
	return kc_now_ms() > deadline ? KC_ETIMEOUT : 0;
}

/* Feed input and collect both outputs until both are closed. */
static int converse(const struct kc_run *run, int p[PIPES][2], struct kc_buf *out,
		    struct kc_buf *errs, int64_t deadline)
{
	size_t fed = 0;

	fcntl(p[IN][1], F_SETFL, O_NONBLOCK);
	while (p[OUT][0] >= 0 || p[ERR][0] >= 0) {
		struct pollfd fds[] = { { .fd = p[IN][1], .events = POLLOUT },
					{ .fd = p[OUT][0], .events = POLLIN },
					{ .fd = p[ERR][0], .events = POLLIN } };
		int r = over(run, deadline);

		if (r < 0)
			return r;
		if (poll(fds, 3, POLL_MS) < 0 && errno != EINTR)
			return KC_EFAIL;
		if (fds[0].revents) {
			ssize_t n = write(p[IN][1], run->input + fed, run->input_len - fed);

			if (n > 0)
				fed += (size_t)n;
			if (fed == run->input_len || (n < 0 && errno != EAGAIN && errno != EINTR))
				kc_closep(&p[IN][1]);
		}
		if (fds[1].revents && !drain(p[OUT][0], out))
			kc_closep(&p[OUT][0]);
		if (fds[2].revents && !drain(p[ERR][0], errs))
			kc_closep(&p[ERR][0]);
	}
	return 0;
}

static int await(const struct kc_run *run, pid_t pid, int64_t deadline, int *ret_status)
{
	int r;

	for (int64_t nap = 1;; nap = nap < 50 ? nap * 2 : 50) {
		pid_t w = waitpid(pid, ret_status, WNOHANG);

		if (w == pid)
			return 0;
		if (w < 0 && errno != EINTR)
			return KC_EFAIL;
		r = over(run, deadline);
		if (r < 0)
			return r;
		kc_sleep_ms(nap);
	}
}

/* End a group that is not wanted any more. Who was asked to stop gets a moment to clean up. */
static void stop(pid_t pid, bool gently)
{
	static const struct kc_run forever = { 0 };
	int status;

	if (gently && kill(-pid, SIGTERM) == 0 &&
	    await(&forever, pid, kc_now_ms() + GRACE_MS, &status) == 0) {
		kill(-pid, SIGKILL); /* what it has left behind */
		return;
	}
	kill(-pid, SIGKILL);
	waitpid(pid, &status, 0);
}

/* The last non-empty line, at most 300 bytes: usually the reason. */
static const char *last_line(char *text)
{
	size_t n = strlen(text);
	char *nl;

	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
		text[--n] = '\0';
	nl = strrchr(text, '\n');
	nl = nl ? nl + 1 : text;
	return strlen(nl) > 300 ? nl + strlen(nl) - 300 : nl;
}

static int judge(const struct kc_run *run, int status, struct kc_buf *errs, struct kc_err *err)
{
	const char *why;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	why = errs->data && errs->len ? last_line(errs->data) : run->log ? run->log : "";
	if (WIFSIGNALED(status))
		return kc_fail(err, KC_EFAIL, "%s: killed by signal %d%s%s", run->argv[0],
			       WTERMSIG(status), *why ? ": " : "", why);
	return kc_fail(err, KC_EFAIL, "%s: exit code %d%s%s", run->argv[0], WEXITSTATUS(status),
		       *why ? ": " : "", why);
}

static int start(const struct kc_run *run, int p[PIPES][2], pid_t *ret_pid, struct kc_err *err)
{
	_cleanup_free_ const char **env = environment(run);
	pid_t parent = getpid();
	int failed = 0;

	for (int i = 0; i < PIPES; i++)
		p[i][0] = p[i][1] = -1;
	for (int i = 0; i < PIPES; i++)
		if (pipe2(p[i], O_CLOEXEC) < 0)
			return kc_fail_errno(err, errno, "pipe");
	*ret_pid = fork();
	if (*ret_pid < 0)
		return kc_fail_errno(err, errno, "fork");
	if (*ret_pid == 0)
		child(run, env, p, parent);
	replace_child(0, *ret_pid);
	kc_closep(&p[IN][0]);
	kc_closep(&p[OUT][1]);
	kc_closep(&p[ERR][1]);
	kc_closep(&p[EXEC][1]);
	if (!run->input)
		kc_closep(&p[IN][1]);
	if (read(p[EXEC][0], &failed, sizeof(failed)) == sizeof(failed)) {
		waitpid(*ret_pid, NULL, 0);
		replace_child(*ret_pid, 0);
		return kc_fail_errno(err, failed, "%s", run->argv[0]);
	}
	return 0;
}

int kc_run(const struct kc_run *run, char **ret_out, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { 0 }, errs = { .max = 1 << 20 };
	long timeout = run->timeout_ms ? run->timeout_ms : 600000;
	int64_t deadline = kc_now_ms() + timeout;
	int p[PIPES][2], status = 0, r;
	pid_t pid = -1;

	r = start(run, p, &pid, err);
	if (r < 0) {
		close_pipes(p);
		return r;
	}
	r = converse(run, p, &out, &errs, deadline);
	if (r == 0)
		r = await(run, pid, deadline, &status);
	if (r < 0)
		stop(pid, r == KC_ECANCELED);
	replace_child(pid, 0);
	if (r == KC_ECANCELED)
		kc_fail(err, r, "%s: stopped", run->argv[0]);
	else if (r < 0)
		kc_fail(err, r, "%s: no end after %ld s", run->argv[0], timeout / 1000);
	else
		r = judge(run, status, run->merge ? &out : &errs, err);
	close_pipes(p);
	kc_debug("proc", "%s %s: %s", run->argv[0], run->argv[1] ? run->argv[1] : "",
		 r < 0 ? "failed" : "ok");
	if (ret_out)
		*ret_out = kc_buf_steal(&out);
	return r;
}

int kc_runl(char **ret_out, struct kc_err *err, const char *arg0, ...)
{
	const char *argv[64] = { arg0 };
	va_list ap;
	int n = 1;

	va_start(ap, arg0);
	while (n < 63 && (argv[n] = va_arg(ap, const char *)))
		n++;
	va_end(ap);
	argv[n] = NULL;
	return kc_run(&(struct kc_run){ .argv = argv }, ret_out, err);
}
