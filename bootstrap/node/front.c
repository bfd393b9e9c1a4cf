/*
 * The side of apply and reset that talks to the operator: start the work in a
 * transient unit, which survives the loss of this connection, and follow it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bootstrap/node/agent.h"
#include "bootstrap/node/marker.h"
#include "bootstrap/node/protocol.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define BEGIN_MS 20000

int kc_front_exit(int code)
{
	return code == 0	      ? 0
	       : code == KC_ECANCELED ? KC_NODE_EXIT_FENCED
	       : code == KC_ECONFLICT ? KC_NODE_EXIT_FOREIGN
				      : 1;
}

/* Is a worker running? It holds the lock as long as it lives. */
static bool worker_runs(void)
{
	_cleanup_close_ int fd = open(KC_NODE_LOCK, O_RDWR | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static json_t *current(void)
{
	_cleanup_free_ char *text = NULL;
	json_t *v = NULL;
	size_t len;

	if (kc_file_read(KC_NODE_CURRENT, 65536, &text, &len, NULL) < 0 || !text ||
	    kc_json_parse(text, len, KC_NODE_CURRENT, &v, NULL) < 0)
		return NULL;
	return v;
}

/* 1: the same work runs already, follow it. 0: nothing runs (any more). */
static int meet_running(const struct kc_agent *a, const char *verb, struct kc_err *err)
{
	json_auto_t *now = NULL;
	uint64_t fence;

	if (!worker_runs())
		return 0;
	now = current();
	fence = (uint64_t)kc_json_get_int(now, "fence", 0);
	if (now && !streq(kc_json_get_str(now, "uid", ""), a->uid))
		return kc_fail(err, KC_ECONFLICT, "another cluster's agent is at work here");
	if (fence == a->fence && streq(kc_json_get_str(now, "verb", ""), verb))
		return 1;
	if (fence > a->fence)
		return kc_fail(err, KC_ECANCELED,
			       "a newer operator (fence %" PRIu64 ") is at work on this host",
			       fence);
	return kc_runl(NULL, err, "systemctl", "stop", KC_NODE_UNIT ".service", NULL);
}

static int start(const struct kc_agent *a, const char *verb, struct kc_err *err)
{
	json_auto_t *now = kc_pack("{s:s, s:I, s:s}", "uid", a->uid, "fence", (json_int_t)a->fence,
				   "verb", verb);
	_cleanup_wiped_ char *envelope = kc_json_text(a->envelope);
	_cleanup_free_ char *text = kc_json_text(now);
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int r;

	if (n < 0)
		return kc_fail_errno(err, errno, "/proc/self/exe");
	self[n] = '\0';
	r = kc_host_write_shared(KC_NODE_CURRENT, text, strlen(text), err);
	if (r == 0)
		r = kc_host_write_shared(KC_NODE_ENVELOPE, envelope, strlen(envelope), err);
	if (r == 0)
		r = kc_host_write_shared(KC_NODE_EVENTS, "", 0, err);
	if (r < 0)
		return r;
	kc_runl(NULL, NULL, "systemctl", "reset-failed", KC_NODE_UNIT ".service", NULL);
	r = kc_runl(NULL, err, "systemd-run", "--quiet", "--collect", "--unit=" KC_NODE_UNIT,
		    "--property=KillMode=mixed", "--property=TimeoutStopSec=60", "--", self,
		    "converge", verb, NULL);
	if (r < 0) /* who would have taken the secrets away does not run */
		unlink(KC_NODE_ENVELOPE);
	return r;
}

struct follow {
	struct kc_buf buf;
	long pid;
	bool ended;
	int code;
};

static void see_line(struct follow *f, const char *line, size_t len)
{
	json_auto_t *v = NULL;

	if (kc_json_parse(line, len, "event", &v, NULL) < 0)
		return;
	if (streq(kc_json_get_str(v, "event", ""), "begin"))
		f->pid = (long)kc_json_get_int(v, "pid", 0);
	if (json_object_get(v, "result") || json_object_get(v, "error")) {
		f->ended = true;
		f->code = kc_front_exit((int)kc_json_get_int(v, "code", 0));
	}
}

/* Copy what is new, look at whole lines; true if there was something. */
static bool copy_new(struct follow *f, int fd)
{
	char chunk[65536], *nl, *p;
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n <= 0)
		return false;
	kc_write_all(STDOUT_FILENO, chunk, (size_t)n, NULL);
	kc_buf_putn(&f->buf, chunk, (size_t)n);
	for (p = f->buf.data; (nl = strchr(p, '\n')); p = nl + 1)
		see_line(f, p, (size_t)(nl - p));
	f->buf.len = strlen(p);
	memmove(f->buf.data, p, f->buf.len + 1);
	return true;
}

static int follow(int fd, int *ret_code, struct kc_err *err)
{
	struct follow f = { 0 };
	int64_t begin_by = kc_now_ms() + BEGIN_MS;
	bool gone = false;
	int r = 0;

	while (!f.ended) {
		if (copy_new(&f, fd))
			continue;
		if (gone) { /* and no last word */
			r = kc_fail(err, KC_EFAIL,
				    "the agent's run was killed; run the command again to resume "
				    "(journalctl -u " KC_NODE_UNIT ")");
			break;
		}
		gone = f.pid ? kill((pid_t)f.pid, 0) < 0 && errno == ESRCH : kc_now_ms() > begin_by;
		if (!gone)
			kc_sleep_ms(5);
	}
	/* The next command finds the lock free and the unit gone. */
	for (int i = 0; f.ended && f.pid && i < 400 && kill((pid_t)f.pid, 0) == 0; i++)
		kc_sleep_ms(5);
	kc_buf_done(&f.buf);
	*ret_code = f.code;
	return r;
}

/* The run directory, which comes and goes; made if it must be. Secrets lie here for a moment: never
 * on a disk. */
static int open_run_dir(int *ret, struct kc_err *err)
{
	struct statfs fs;
	int r = kc_mkdir_p(KC_NODE_RUN, 0700, err), fd;

	if (r < 0)
		return r;
	fd = open(KC_NODE_RUN, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return open_run_dir(ret, err);
	if (fd < 0)
		return kc_fail_errno(err, errno, KC_NODE_RUN);
	if (fstatfs(fd, &fs) < 0 || (fs.f_type != TMPFS_MAGIC && fs.f_type != RAMFS_MAGIC)) {
		close(fd);
		return kc_fail(err, KC_EFAIL, "/run is not a tmpfs; secrets must not reach a disk");
	}
	*ret = fd;
	return 0;
}

int kc_front_gate(bool wait, int *ret, struct kc_err *err)
{
	struct stat st = { 0 };
	int fd = -1, r;

	while (st.st_nlink == 0) { /* a reset took it away while we waited */
		kc_closep(&fd);
		r = open_run_dir(&fd, err);
		if (r < 0)
			return r;
		if (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0 || fstat(fd, &st) < 0) {
			r = kc_fail_errno(err, errno, KC_NODE_RUN);
			close(fd);
			return r;
		}
	}
	*ret = fd;
	return 0;
}

int kc_front_run(struct kc_agent *a, const char *verb, int *ret_code, struct kc_err *err)
{
	_cleanup_close_ int fd = -1, gate = -1;
	int r = kc_marker_check(a->uid, a->fence, err);

	if (r == 0)
		r = kc_front_gate(true, &gate, err);
	if (r == 0)
		r = meet_running(a, verb, err);
	if (r == 0)
		r = start(a, verb, err);
	if (r < 0)
		return r;
	fd = open(KC_NODE_EVENTS, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return kc_fail_errno(err, errno, KC_NODE_EVENTS);
	kc_closep(&gate);
	return follow(fd, ret_code, err);
}
