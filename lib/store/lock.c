#include "lib/store/lock.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define LOCK_TTL_MS 30000
#define PROOF_MS    1000 /* how long a look at the lease is good for */

const struct kc_format kc_lock_format = { .name = "lock", .current = 1 };

struct kc_lock {
	struct kc_store *store;
	char *key;
	json_t *lease; /* the renewal thread's after the start */
	uint64_t fence;
	long ttl_ms;

	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool stop, lost;
	int64_t valid_until; /* by the boot clock: certainly ours before that */
	int64_t proved;	     /* when the lease was last seen to be ours */
	char etag[KC_STORE_ETAG];
	char why[256]; /* when lost */
};

/* First line of a small file; "" when it cannot be read. */
static char *slurp(const char *path)
{
	char *text = NULL;

	if (kc_file_read(path, 4096, &text, NULL, NULL) < 0)
		return xstrdup("");
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* When a process started, in ticks since boot: tells a reused pid. "" when there is none. */
static char *start_of(long pid)
{
	_cleanup_free_ char *path = xasprintf("/proc/%ld/stat", pid), *text = slurp(path);
	char *p = strrchr(text, ')'), *save = NULL;

	if (!p)
		return xstrdup("");
	p = strtok_r(p + 1, " ", &save); /* field 3 */
	if (p && *p == 'Z')
		return xstrdup("(dead)"); /* nobody has waited for it yet */
	for (int field = 3; p && field < 22; field++)
		p = strtok_r(NULL, " ", &save);
	return xstrdup(p ? p : "");
}

static char *pid_namespace(void)
{
	char buf[64];
	ssize_t n = readlink("/proc/self/ns/pid", buf, sizeof(buf));

	return xstrndup(buf, n > 0 && n < (ssize_t)sizeof(buf) ? (size_t)n : 0);
}

static char *user_name(void)
{
	struct passwd pw, *found = NULL;
	char buf[4096];

	if (getpwuid_r(geteuid(), &pw, buf, sizeof(buf), &found) == 0 && found)
		return xstrdup(found->pw_name);
	return xasprintf("uid %u", (unsigned)geteuid());
}

static json_t *whoami(const char *verb)
{
	_cleanup_free_ char *boot = slurp("/proc/sys/kernel/random/boot_id");
	_cleanup_free_ char *start = start_of(getpid()), *ns = pid_namespace();
	_cleanup_free_ char *user = user_name();
	char host[256] = "unknown", now[21];

	gethostname(host, sizeof(host) - 1);
	kc_time_format((time_t)(kc_realtime_ms() / 1000), now);
	return kc_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s}", "holder", user, "host", host,
		       "bootId", boot, "pidNamespace", ns, "pid", (json_int_t)getpid(), "pidStart",
		       start, "verb", verb, "acquired", now);
}

/* A process of this boot of this host (and of this pid namespace) that is gone. */
static bool holder_is_dead(const json_t *lease)
{
	json_auto_t *me = whoami("");
	_cleanup_free_ char *start = NULL;
	static const char *const same[] = { "host", "bootId", "pidNamespace" };
	int64_t pid = kc_json_get_int(lease, "pid", 0);

	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		if (!streq(kc_json_get_str(lease, same[i], "?"), kc_json_get_str(me, same[i], "")))
			return false;
	if (pid <= 0)
		return false;
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return true;
	start = start_of((long)pid);
	return *start && !streq(start, kc_json_get_str(lease, "pidStart", start));
}

/* "root@a pid 7 (cluster update, since 2026-…)" */
static void describe(const json_t *lease, char *out, size_t size)
{
	snprintf(out, size, "%s@%s pid %" PRId64 " (%s, since %s)",
		 kc_json_get_str(lease, "holder", "?"), kc_json_get_str(lease, "host", "?"),
		 kc_json_get_int(lease, "pid", 0), kc_json_get_str(lease, "verb", "?"),
		 kc_json_get_str(lease, "acquired", "?"));
}

/* The command that breaks it: keys look like clusters/<name>/lock. */
static int refuse(const char *key, const json_t *lease, struct kc_err *err)
{
	_cleanup_free_ char *name = xstrdup(key);
	char who[400], *end = strrchr(name, '/'), *start;

	if (end)
		*end = '\0';
	start = strrchr(name, '/');
	describe(lease, who, sizeof(who));
	return kc_fail(err, KC_ECONFLICT,
		       "locked by %s; wait for it, or if it is gone for good: kubecdn cluster "
		       "unlock %s --force %" PRId64,
		       who, start ? start + 1 : name, kc_json_get_int(lease, "fence", 0));
}

static int read_lease(struct kc_store *s, const char *key, json_t **ret,
		      char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	int r = kc_store_get_json(s, key, &kc_lock_format, ret, ret_etag, err);

	if (r != KC_ENOTFOUND)
		return r;
	*ret_etag = '\0'; /* as a condition: must not exist */
	*ret = json_object();
	return 0;
}

static bool is_held(const json_t *lease)
{
	return json_object_get(lease, "holder") != NULL;
}

static void set_expiry(json_t *lease, int64_t now, long ttl)
{
	json_object_set_new(lease, "expires", json_integer(now + ttl));
}

/* One try: KC_EAGAIN when somebody else was faster. */
static int try_acquire(struct kc_lock *l, const char *verb, struct kc_err *err)
{
	json_auto_t *old = NULL, *lease = whoami(verb);
	int64_t now, start = kc_boottime_ms();
	char etag[KC_STORE_ETAG];
	int r;

	r = read_lease(l->store, l->key, &old, etag, err);
	if (r < 0)
		return r;
	r = l->store->type->now(l->store, &now, err);
	if (r < 0)
		return r;
	if (is_held(old) && now < kc_json_get_int(old, "expires", INT64_MAX) &&
	    !holder_is_dead(old))
		return refuse(l->key, old, err);
	l->fence = (uint64_t)kc_json_get_int(old, "fence", 0) + 1;
	json_object_set_new(lease, "fence", json_integer((json_int_t)l->fence));
	set_expiry(lease, now, l->ttl_ms);
	r = kc_store_put_json(l->store, l->key, &kc_lock_format, lease, etag, l->etag, err);
	if (r == KC_ECONFLICT)
		return KC_EAGAIN;
	if (r < 0)
		return r;
	l->valid_until = start + l->ttl_ms;
	l->proved = start;
	l->lease = TAKE(lease);
	return 0;
}

static void mark_lost(struct kc_lock *l)
{
	json_auto_t *now = NULL;
	char etag[KC_STORE_ETAG], who[200] = "nobody; it was unlocked by force";

	if (read_lease(l->store, l->key, &now, etag, NULL) == 0 && is_held(now))
		describe(now, who, sizeof(who));
	pthread_mutex_lock(&l->mutex);
	l->lost = true;
	snprintf(l->why, sizeof(l->why), "it is now held by %s", who);
	pthread_mutex_unlock(&l->mutex);
}

/* A held lease with our fence was written by us. */
static bool still_mine(struct kc_lock *l)
{
	json_auto_t *now = NULL;
	char etag[KC_STORE_ETAG];

	if (read_lease(l->store, l->key, &now, etag, NULL) < 0 || !is_held(now) ||
	    kc_json_get_int(now, "fence", 0) != (int64_t)l->fence)
		return false;
	memcpy(l->etag, etag, sizeof(etag));
	return true;
}

/* 0, or KC_ECONFLICT when it is somebody else's; other errors are tried again. */
static int renew(struct kc_lock *l)
{
	int64_t now, start = kc_boottime_ms();
	char etag[KC_STORE_ETAG];
	int r;

	r = l->store->type->now(l->store, &now, NULL);
	if (r < 0)
		return r;
	set_expiry(l->lease, now, l->ttl_ms);
	r = kc_store_put_json(l->store, l->key, &kc_lock_format, l->lease, l->etag, etag, NULL);
	if (r == KC_ECONFLICT && still_mine(l))
		return KC_EAGAIN; /* our own last put, whose reply was lost */
	if (r < 0)
		return r;
	memcpy(l->etag, etag, sizeof(etag));
	pthread_mutex_lock(&l->mutex);
	l->valid_until = start + l->ttl_ms;
	l->proved = start;
	pthread_mutex_unlock(&l->mutex);
	return 0;
}

/*
 * True once the lock is to be released. In steps of a second at most, by a clock that
 * does not stand still: after a suspend the renewal is due at once.
 */
static bool pause_for(struct kc_lock *l, long ms)
{
	int64_t end = kc_boottime_ms() + ms, left;
	bool stop;

	pthread_mutex_lock(&l->mutex);
	while (!l->stop && (left = end - kc_boottime_ms()) > 0) {
		struct timespec until;

		left = left < 1000 ? left : 1000;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += left * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_cond_timedwait(&l->cond, &l->mutex, &until);
	}
	stop = l->stop;
	pthread_mutex_unlock(&l->mutex);
	return stop;
}

static void *renewer(void *arg)
{
	struct kc_lock *l = arg;
	long wait = l->ttl_ms / 3;

	while (!pause_for(l, wait)) {
		int r = renew(l);

		if (r == KC_ECONFLICT) {
			mark_lost(l);
			return NULL;
		}
		wait = r < 0 ? l->ttl_ms / 15 + 1 : l->ttl_ms / 3;
	}
	return NULL;
}

static void lock_free(struct kc_lock *l)
{
	pthread_cond_destroy(&l->cond);
	pthread_mutex_destroy(&l->mutex);
	json_decref(l->lease);
	free(l->key);
	free(l);
}

static struct kc_lock *lock_new(struct kc_store *s, const char *key, long ttl_ms)
{
	struct kc_lock *l = xcalloc(1, sizeof(*l));
	pthread_condattr_t attr;

	l->store = s;
	l->key = xstrdup(key);
	l->ttl_ms = ttl_ms;
	pthread_mutex_init(&l->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->cond, &attr);
	pthread_condattr_destroy(&attr);
	return l;
}

/* Signals belong to the program's own threads: the renewer takes none. */
static int start_renewer(struct kc_lock *l)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&l->thread, NULL, renewer, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int kc_lock_acquire_for(struct kc_store *s, const char *key, const char *verb, long ttl_ms,
			struct kc_lock **ret, struct kc_err *err)
{
	struct kc_lock *l = lock_new(s, key, ttl_ms);
	int r = KC_EAGAIN;

	for (int i = 0; r == KC_EAGAIN && i < 100; i++)
		r = try_acquire(l, verb, err);
	if (r == KC_EAGAIN)
		r = kc_fail(err, KC_ECONFLICT, "%s: too many operators want this lock; try again",
			    key);
	if (r == 0) {
		r = start_renewer(l);
		if (r)
			r = kc_fail_errno(err, r, "starting the lock's renewal");
	}
	if (r < 0) {
		lock_free(l);
		return r;
	}
	*ret = l;
	return 0;
}

int kc_lock_acquire(struct kc_store *s, const char *key, const char *verb, struct kc_lock **ret,
		    struct kc_err *err)
{
	return kc_lock_acquire_for(s, key, verb, LOCK_TTL_MS, ret, err);
}

uint64_t kc_lock_fence(const struct kc_lock *l)
{
	return l->fence;
}

/*
 * Is the lease in the store still the one we wrote? Somebody may have broken it by force, long
 * before it expires. A store that does not answer leaves the clock to decide.
 */
static void prove(struct kc_lock *l)
{
	json_auto_t *now = NULL;
	char etag[KC_STORE_ETAG];
	int64_t at = kc_boottime_ms();
	bool due;

	pthread_mutex_lock(&l->mutex);
	due = !l->lost && at - l->proved >= PROOF_MS;
	pthread_mutex_unlock(&l->mutex);
	if (!due || read_lease(l->store, l->key, &now, etag, NULL) < 0)
		return;
	if (!is_held(now) || kc_json_get_int(now, "fence", 0) != (int64_t)l->fence) {
		mark_lost(l);
		return;
	}
	pthread_mutex_lock(&l->mutex);
	l->proved = at;
	pthread_mutex_unlock(&l->mutex);
}

/* The margin is a sixth of the life: clocks drift, and the call that follows takes time. */
int kc_lock_check(struct kc_lock *l, struct kc_err *err)
{
	int r = 0;

	prove(l);
	pthread_mutex_lock(&l->mutex);
	if (l->lost)
		r = kc_fail(err, KC_ECONFLICT,
			    "%s: the lock was taken away: %s; nothing more is "
			    "changed",
			    l->key, l->why);
	else if (kc_boottime_ms() >= l->valid_until - l->ttl_ms / 6)
		r = kc_fail(err, KC_ECONFLICT,
			    "%s: the lock could not be renewed in time (is the state store %s "
			    "reachable?); nothing more is changed",
			    l->key, l->store->url);
	pthread_mutex_unlock(&l->mutex);
	return r;
}

static json_t *free_lease(uint64_t fence)
{
	return kc_pack("{s:I}", "fence", (json_int_t)fence);
}

void kc_lock_release(struct kc_lock *l)
{
	json_auto_t *lease = NULL;

	if (!l)
		return;
	pthread_mutex_lock(&l->mutex);
	l->stop = true;
	pthread_cond_broadcast(&l->cond);
	pthread_mutex_unlock(&l->mutex);
	pthread_join(l->thread, NULL);
	lease = free_lease(l->fence);
	/* When this fails the lease expires, or the dead pid is seen. */
	if (!l->lost)
		kc_store_put_json(l->store, l->key, &kc_lock_format, lease, l->etag, NULL, NULL);
	lock_free(l);
}

int kc_lock_show(struct kc_store *s, const char *key, json_t **ret, struct kc_err *err)
{
	json_auto_t *lease = NULL;
	char etag[KC_STORE_ETAG];
	int r = read_lease(s, key, &lease, etag, err);

	if (r < 0)
		return r;
	*ret = is_held(lease) ? TAKE(lease) : NULL;
	return 0;
}

int kc_lock_lives(struct kc_store *s, const char *key, uint64_t fence, bool *ret,
		  struct kc_err *err)
{
	json_auto_t *lease = NULL;
	int64_t now = 0;
	int r = kc_lock_show(s, key, &lease, err);

	if (r == 0)
		r = s->type->now(s, &now, err);
	if (r == 0)
		*ret = lease && (uint64_t)kc_json_get_int(lease, "fence", 0) == fence &&
		       kc_json_get_int(lease, "expires", 0) > now && !holder_is_dead(lease);
	return r;
}

int kc_lock_break(struct kc_store *s, const char *key, uint64_t fence, struct kc_err *err)
{
	json_auto_t *lease = NULL, *unheld = free_lease(fence);
	char etag[KC_STORE_ETAG];
	int64_t found;
	int r = read_lease(s, key, &lease, etag, err);

	if (r < 0)
		return r;
	if (!is_held(lease))
		return kc_fail(err, KC_ENOTFOUND, "%s: nobody holds this lock", key);
	found = kc_json_get_int(lease, "fence", 0);
	if (found != (int64_t)fence)
		return kc_fail(err, KC_ECONFLICT,
			       "%s: held with fence %" PRId64 ", not %" PRIu64
			       "; look again who holds it",
			       key, found, fence);
	return kc_store_put_json(s, key, &kc_lock_format, unheld, etag, NULL, err);
}

int kc_lock_remove(struct kc_store *store, const char *key, uint64_t fence, struct kc_err *err)
{
	char etag[KC_STORE_ETAG];
	json_auto_t *lease = NULL;
	int r;

	r = kc_store_get_json(store, key, &kc_lock_format, &lease, etag, err);
	if (r < 0)
		return r == KC_ENOTFOUND ? 0 : r;
	if (kc_json_get_int(lease, "fence", 0) != (int64_t)fence)
		return 0;
	r = kc_store_remove(store, key, etag, err);
	return r == KC_ECONFLICT || r == KC_ENOTFOUND ? 0 : r;
}
