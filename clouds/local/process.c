/*
 * Find, start and kill a machine's processes. There is no pid file to go
 * stale: a machine is the systemd-nspawn process whose -D argument is the
 * machine's own root folder (its path holds the cluster's uid). Signals go
 * through pidfds that were checked after they were opened.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"

/* Is pid a systemd-nspawn that runs this root folder? */
static bool is_manager(pid_t pid, const char *rootdir)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", pid), *args = NULL;
	const char *base;
	size_t len;

	if (kc_file_read(path, 1 << 20, &args, &len, NULL) < 0 || !len)
		return false;
	base = strrchr(args, '/');
	if (!streq(base ? base + 1 : args, "systemd-nspawn"))
		return false;
	for (size_t i = strlen(args) + 1; i < len; i += strlen(args + i) + 1) {
		const char *next = args + i + strlen(args + i) + 1;

		if (streq(args + i, "-D") && next < args + len)
			return streq(next, rootdir);
	}
	return false;
}

/* Is pid a child of manager and the first process of a pid namespace? */
static bool is_leader(pid_t pid, pid_t manager)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/status", pid), *text = NULL;
	const char *ppid, *nspid, *last;

	if (local_read(path, &text, NULL) < 0)
		return false;
	ppid = strstr(text, "\nPPid:");
	nspid = strstr(text, "\nNSpid:");
	if (!ppid || !nspid || atoi(ppid + 6) != manager)
		return false;
	last = nspid + strcspn(nspid + 1, "\n");
	return last > nspid + 1 && last[0] == '1' && isspace((unsigned char)last[-1]);
}

static pid_t leader_of(pid_t manager)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/task/%d/children", manager, manager);
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (local_read(path, &text, NULL) < 0)
		return 0;
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		if (is_leader(atoi(w), manager))
			return atoi(w);
	return 0;
}

void local_process_find(const char *rootdir, struct local_process *ret)
{
	struct dirent *e;
	DIR *d = opendir("/proc");
	long pid;

	*ret = (struct local_process){ 0 };
	while (d && !ret->manager && (e = readdir(d)))
		if (kc_parse_long(e->d_name, 2, 1L << 22, &pid) && is_manager((pid_t)pid, rootdir))
			ret->manager = (pid_t)pid;
	if (d)
		closedir(d);
	if (ret->manager)
		ret->leader = leader_of(ret->manager);
}

/* Between fork and exec of a threaded program: plain system calls only. */
struct launch {
	const char *const *argv;
	const char *const *env;
	int *procs; /* open cgroup.procs files */
	size_t n;
	int log, null, report;
};

static void __attribute__((noreturn)) launch_child(const struct launch *x)
{
	sigset_t none;
	int e;

	for (size_t i = 0; i < x->n; i++)
		if (write(x->procs[i], "0", 1) < 0)
			goto fail;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < 32; s++)
		signal(s, SIG_DFL);
	umask(022);
	if (chdir("/") < 0 || dup2(x->null, 0) < 0 || dup2(x->log, 1) < 0 || dup2(x->log, 2) < 0 ||
	    dup2(x->report, 3) < 0 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0)
		goto fail;
	syscall(SYS_close_range, 4u, ~0u, 0u);
	execvpe(x->argv[0], (char *const *)x->argv, (char *const *)x->env);
	e = errno;
	if (write(3, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
fail:
	e = errno;
	if (write(x->report, &e, sizeof(e)) < 0)
		_exit(126);
	_exit(127);
}

/* Fork twice: the machine's parent is then init, its session its own. */
static int launch(const struct launch *x, int result, struct kc_err *err)
{
	int failed = 0, status;
	ssize_t got;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return kc_fail_errno(err, errno, "fork");
	if (pid == 0) {
		setsid();
		pid = fork();
		if (pid == 0)
			launch_child(x);
		_exit(pid < 0 ? 1 : 0);
	}
	close(x->report);
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return kc_fail(err, KC_EFAIL, "fork failed");
	do
		got = read(result, &failed, sizeof(failed));
	while (got < 0 && errno == EINTR);
	return got == sizeof(failed) ? kc_fail_errno(err, failed, "%s", x->argv[0]) : 0;
}

int local_process_start(const char *const *argv, const json_t *cgroups, const char *log,
			struct kc_err *err)
{
	static const char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
	_cleanup_close_ int out = -1, null = -1, result = -1;
	struct launch x = { .argv = argv, .env = env };
	int report[2], r = 0;
	const json_t *v;
	size_t i;

	out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (out < 0 || null < 0 || pipe2(report, O_CLOEXEC) < 0)
		return kc_fail_errno(err, errno, "%s", log);
	result = report[0];
	x.log = out;
	x.null = null;
	x.report = report[1];
	x.procs = xcalloc(json_array_size(cgroups) + 1, sizeof(int));
	json_array_foreach(cgroups, i, v) {
		_cleanup_free_ char *path = xasprintf("%s/cgroup.procs", json_string_value(v));

		x.procs[i] = open(path, O_WRONLY | O_CLOEXEC);
		if (x.procs[i] < 0) {
			r = kc_fail_errno(err, errno, "%s", path);
			break;
		}
		x.n++;
	}
	if (r < 0)
		close(report[1]);
	else
		r = launch(&x, result, err);
	for (i = 0; i < x.n; i++)
		close(x.procs[i]);
	free(x.procs);
	return r;
}

static int send_kill(int pidfd)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/*
 * Kill the machine's own PID 1: its pid namespace goes with it, and the
 * manager cleans up and ends. Without a leader (just starting) the manager.
 */
int local_process_kill(const char *rootdir, struct kc_err *err)
{
	int64_t deadline = kc_now_ms() + 3000;

	for (;;) {
		_cleanup_close_ int manager = -1, leader = -1;
		struct local_process p;

		local_process_find(rootdir, &p);
		if (!p.manager)
			return 0;
		if (kc_now_ms() > deadline + 2000)
			return kc_fail(err, KC_EAGAIN, "systemd-nspawn (pid %d) is still ending",
				       p.manager);
		manager = (int)syscall(SYS_pidfd_open, p.manager, 0);
		leader = p.leader ? (int)syscall(SYS_pidfd_open, p.leader, 0) : -1;
		/* Checked again now that the descriptors hold the pids. */
		if (!is_manager(p.manager, rootdir))
			continue;
		if (leader >= 0 && is_leader(p.leader, p.manager))
			send_kill(leader);
		else if (!p.leader && kc_now_ms() > deadline)
			send_kill(manager);
		kc_sleep_ms(10);
	}
}
