/* apply and reset as they run in the transient unit. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "bootstrap/node/agent.h"
#include "bootstrap/node/marker.h"
#include "bootstrap/node/protocol.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/state.h"

#define LOCK_MS 30000

static atomic_bool stop; /* set by the signal handler */

static void on_term(int sig)
{
	atomic_store(&stop, true);
}

struct converge {
	struct kc_agent *agent; /* first, what resolve's cookie is: see resolve() */
	int fd;
};

static void put(int fd, json_t *line)
{
	_cleanup_free_ char *text = kc_json_text(line);
	_cleanup_free_ char *full = xasprintf("%s\n", text);

	kc_write_all(fd, full, strlen(full), NULL);
	json_decref(line);
}

static void on_event(void *cookie, const struct kc_event *ev)
{
	static const char *const names[] = { [KC_EV_START] = "start",
					     [KC_EV_PROGRESS] = "progress",
					     [KC_EV_DONE] = "done",
					     [KC_EV_FAILED] = "failed",
					     [KC_EV_WAIT] = "wait" };
	struct converge *c = cookie;
	json_t *line = kc_pack("{s:s, s:s, s:s, s:s, s:I}", "event", names[ev->what], "task",
			       ev->task, "kind", ev->kind ? ev->kind : "", "action",
			       ev->action ? ev->action : "", "ms", (json_int_t)ev->elapsed_ms);

	if (ev->text)
		json_object_set_new(line, "text", json_string(ev->text));
	if (ev->detail)
		json_object_set_new(line, "detail", json_deep_copy(ev->detail));
	put(c->fd, line);
}

static int resolve(void *cookie, const char *name, const json_t *arg, json_t **ret,
		   struct kc_err *err)
{
	return kc_agent_resolve(((struct converge *)cookie)->agent, name, arg, ret, err);
}

/* Held until the process ends. */
static int take_lock(struct kc_err *err)
{
	int64_t until = kc_now_ms() + LOCK_MS;
	int fd = open(KC_NODE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return kc_fail_errno(err, errno, KC_NODE_LOCK);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return kc_fail_errno(err, errno, KC_NODE_LOCK);
		if (kc_now_ms() > until)
			return kc_fail(err, KC_ETIMEOUT, "another agent holds " KC_NODE_LOCK);
		kc_sleep_ms(20);
	}
	return 0;
}

static int run_engine(struct kc_agent *a, const json_t *tasks, int fd, size_t *ret_changed,
		      struct kc_err *err)
{
	const struct kc_provider *providers[2];
	_cleanup_store_ struct kc_store *store = NULL;
	_cleanup_state_ struct kc_state *state = NULL;
	_cleanup_plan_ struct kc_plan *plan = NULL;
	struct converge c = { .agent = a, .fd = fd };
	struct kc_provider host;
	struct kc_engine e;
	int r = kc_agent_state(a->fence, &store, &state, err);

	if (r < 0)
		return r;
	kc_agent_engine(a, &host, providers, &e);
	e.state = state;
	e.resolve = resolve;
	e.event = on_event;
	e.cookie = &c;
	e.cancel = &stop;
	r = kc_plan_make(&e, tasks, &plan, err);
	if (r == 0) {
		*ret_changed = kc_plan_pending(plan);
		r = kc_plan_apply(&e, plan, err);
	}
	if (r == 0)
		r = kc_state_compact(state, err);
	return r;
}

/* Everything was unpacked: the compressed blobs only take room. */
static int finish_apply(struct kc_agent *a, struct kc_err *err)
{
	int r = kc_rm_rf(KC_NODE_BLOBS, err);

	return r < 0 ? r : kc_host_save(&a->host, err);
}

static int longest_first(const void *a, const void *b)
{
	return (int)strlen(*(char *const *)b) - (int)strlen(*(char *const *)a);
}

/* Directories that we made and that are empty now, deepest first. */
static void remove_dirs(struct kc_agent *a)
{
	const json_t *before = a->host.before;
	_cleanup_free_ const char **dirs = xcalloc(json_object_size(before) + 1, sizeof(*dirs));
	const char *key;
	json_t *v;
	size_t n = 0;

	json_object_foreach((json_t *)before, key, v)
		if (kc_startswith(key, "dir:"))
			dirs[n++] = key + strlen("dir:");
	qsort(dirs, n, sizeof(*dirs), longest_first);
	for (size_t i = 0; i < n; i++)
		rmdir(dirs[i]);
}

static int finish_reset(struct kc_agent *a, struct kc_err *err)
{
	int r = kc_rm_rf("/opt/kubecdn", err);

	if (r == 0)
		remove_dirs(a);
	return r < 0 ? r : kc_rm_rf(KC_NODE_STATE, err);
}

static int work(struct kc_agent *a, const char *verb, int fd, size_t *ret_changed,
		struct kc_err *err)
{
	json_auto_t *none = json_array();
	bool reset = streq(verb, "reset");
	int r;

	if (!reset && !a->tasks)
		return kc_fail(err, KC_EINVAL, "envelope: no spec with tasks");
	r = take_lock(err);
	if (r == 0)
		r = kc_marker_claim(a->uid, a->cluster, a->fence, err);
	if (r == 0)
		r = run_engine(a, reset ? none : a->tasks, fd, ret_changed, err);
	if (r == 0)
		return reset ? finish_reset(a, err) : finish_apply(a, err);
	kc_host_save(&a->host, NULL); /* what was unpacked need not be hashed again */
	return r;
}

/* Unless somebody is at the gate, who will need it and takes it away in the end. */
static void remove_run_dir(void)
{
	_cleanup_close_ int gate = -1;

	if (kc_front_gate(false, &gate, NULL) == 0)
		kc_rm_rf(KC_NODE_RUN, NULL);
}

int kc_agent_converge(struct kc_agent *a, const char *verb, int fd, struct kc_err *err)
{
	struct sigaction sa = { .sa_handler = on_term };
	int64_t start = kc_now_ms();
	size_t changed = 0;
	int r;

	sigaction(SIGTERM, &sa, NULL);
	umask(022);
	put(fd, kc_pack("{s:s, s:s, s:I, s:i}", "event", "begin", "verb", verb, "fence",
			(json_int_t)a->fence, "pid", (int)getpid()));
	r = work(a, verb, fd, &changed, err);
	if (r < 0)
		put(fd, kc_pack("{s:s, s:i}", "error", err->msg, "code", r));
	else
		put(fd, kc_pack("{s:{s:I, s:I}}", "result", "changed", (json_int_t)changed, "ms",
				(json_int_t)(kc_now_ms() - start)));
	/* Whoever follows has the file open. */
	unlink(KC_NODE_EVENTS);
	unlink(KC_NODE_CURRENT);
	if (r == 0 && streq(verb, "reset"))
		remove_run_dir();
	return r;
}
