/*
 * local/root: the Debian tree that machines share read-only.
 *
 * The tree is in the cache (env.cache/local/root-<hash of suite and packages>),
 * built once for all clusters, in a temporary folder that is renamed when it is
 * whole. What a cluster owns, and what delete removes, is the link to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

static char *link_of(const struct local *l)
{
	return xasprintf("%s/root", l->dir);
}

int local_root_path(const struct local *l, char **ret, struct kc_err *err)
{
	_cleanup_free_ char *link = link_of(l);
	char *path = realpath(link, NULL);

	if (!path)
		return kc_fail_errno(err, errno, "the Debian tree %s", link);
	*ret = path;
	return 0;
}

/* env.cache/local/root-<12 hex digits>; NULL when only the record knows the task. */
static char *tree_of(const struct local *l, const json_t *want)
{
	json_auto_t *key = NULL;
	char hash[KC_SHA256_HEX];

	if (!want)
		return NULL;
	key = kc_pack("{s:O, s:O}", "suite", json_object_get(want, "suite"), "packages",
		      json_object_get(want, "packages"));
	kc_sha256_json(key, hash);
	return xasprintf("%s/local/root-%.12s", l->cache, hash);
}

static int root_find(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err)
{
	const struct local *l = ctx;
	_cleanup_free_ char *link = link_of(l), *tree = tree_of(l, task->want);
	char target[4096];
	ssize_t n;
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r < 0 || !exists)
		return r;
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return errno == ENOENT ? 0 : kc_fail_errno(err, errno, "%s", link);
	target[n] = '\0';
	if (!kc_exists(target) && task->want)
		return 0; /* the cache was cleared */
	*ret_actual = kc_pack("{s:s}", "path", target);
	if (tree && streq(tree, target)) {
		json_object_set(*ret_actual, "suite", json_object_get(task->want, "suite"));
		json_object_set(*ret_actual, "packages", json_object_get(task->want, "packages"));
	}
	return 0;
}

/* "http://…" of the word list, if the list also names the suite. */
static char *uri_of(char *line, const char *suite)
{
	char *save = NULL, *uri = NULL;
	bool fits = false;

	for (char *w = strtok_r(line, " \t", &save); w; w = strtok_r(NULL, " \t", &save)) {
		if (!uri && (kc_startswith(w, "http://") || kc_startswith(w, "https://")))
			uri = w;
		fits = fits || streq(w, suite);
	}
	return fits && uri ? xstrdup(uri) : NULL;
}

/* The mirror this host itself uses for the suite, so that a site's own mirror is respected. */
static char *mirror_in(const char *file, const char *suite)
{
	_cleanup_free_ char *text = NULL, *uris = NULL;
	char *save = NULL, *found = NULL;

	if (local_read(file, &text, NULL) < 0)
		return NULL;
	for (char *line = strtok_r(text, "\n", &save); line && !found;
	     line = strtok_r(NULL, "\n", &save)) {
		if (kc_startswith(line, "deb ")) {
			found = uri_of(line, suite);
		} else if (kc_startswith(line, "URIs:")) {
			free(uris);
			uris = xstrdup(line + 5);
		} else if (kc_startswith(line, "Suites:") && uris) {
			_cleanup_free_ char *both = xasprintf("%s %s", uris, line + 7);

			found = uri_of(both, suite);
		}
	}
	return found;
}

static char *mirror_of(const char *suite)
{
	const char *env = getenv("KUBECDN_DEBIAN_MIRROR");
	char *found;

	if (env && *env)
		return xstrdup(env);
	found = mirror_in("/etc/apt/sources.list", suite);
	return found ? found : mirror_in("/etc/apt/sources.list.d/debian.sources", suite);
}

/* What one machine must not have in common with another, and what no lab needs. */
static int tidy(const char *tree, struct kc_err *err)
{
	static const char *const gone[] = {
		"etc/ssh/ssh_host_rsa_key",
		"etc/ssh/ssh_host_rsa_key.pub",
		"etc/ssh/ssh_host_ecdsa_key",
		"etc/ssh/ssh_host_ecdsa_key.pub",
		"etc/ssh/ssh_host_ed25519_key",
		"etc/ssh/ssh_host_ed25519_key.pub",
		"etc/machine-id",
		"etc/systemd/system/timers.target.wants/apt-daily.timer",
		"etc/systemd/system/timers.target.wants/apt-daily-upgrade.timer",
		"var/cache/apt",
		"var/lib/apt/lists",
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(gone); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", tree, gone[i]);

		r = kc_rm_rf(path, err);
	}
	return r;
}

static int debootstrap(const struct kc_task *task, const char *tmp, const char *log,
		       struct kc_err *err)
{
	const char *suite = kc_json_get_str(task->want, "suite", "");
	const json_t *packages = json_object_get(task->want, "packages"), *p;
	_cleanup_free_ char *mirror = mirror_of(suite);
	_cleanup_buf_ struct kc_buf include = { 0 };
	json_auto_t *note = NULL;
	struct kc_err why;
	size_t i;
	int r;

	json_array_foreach(packages, i, p)
		kc_buf_printf(&include, "%s%s", i ? "," : "--include=", json_string_value(p));
	if (task->progress) {
		note = kc_pack("{s:s}", "text", "building the Debian tree (once, about 2 minutes)");
		task->progress(task, note);
	}
	unlink(log);
	const char *const argv[] = {
		"debootstrap", "--variant=minbase", kc_buf_get(&include), suite, tmp, mirror, NULL
	};
	r = kc_run(&(struct kc_run){ .argv = argv, .log = log, .timeout_ms = 1800000 }, NULL, &why);
	if (r == KC_ENOTFOUND)
		return kc_fail(err, KC_EFAIL,
			       "building the Debian tree needs debootstrap: apt-get install "
			       "debootstrap");
	if (r < 0)
		return kc_fail(err, KC_EFAIL,
			       "building the Debian tree failed: see %s; set KUBECDN_DEBIAN_MIRROR "
			       "to "
			       "another mirror if this one does not answer",
			       log);
	return tidy(tmp, err);
}

/*
 * One build at a time. debootstrap inherits the lock (no close-on-exec): should
 * the CLI be killed, the next one waits for the orphan instead of racing it.
 */
static int lock_build(const struct kc_task *task, const char *path, int *ret_fd, struct kc_err *err)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT, 0600);

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return kc_fail_errno(err, errno, "%s", path);
		if (task->canceled && task->canceled(task))
			return kc_fail(err, KC_ECANCELED, "stopped waiting for another build");
		kc_sleep_ms(200);
	}
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static int build(const struct kc_task *task, const char *tree, struct kc_err *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s.tmp", tree), *lock = xasprintf("%s.lock", tree);
	_cleanup_free_ char *log = xasprintf("%s.log", tree);
	_cleanup_free_ char *dir = xstrndup(tree, (size_t)(strrchr(tree, '/') - tree));
	_cleanup_close_ int fd = -1;
	int r;

	r = kc_mkdir_p(dir, 0755, err);
	if (r == 0)
		r = lock_build(task, lock, &fd, err);
	if (r < 0 || kc_exists(tree))
		return r;
	r = local_umount(tmp, err); /* /proc and /sys of a killed build */
	if (r == 0)
		r = kc_rm_rf(tmp, err);
	if (r == 0)
		r = debootstrap(task, tmp, log, err);
	if (r == 0 && rename(tmp, tree) < 0)
		r = kc_fail_errno(err, errno, "%s", tree);
	return r;
}

static int root_apply(void *ctx, const struct kc_task *task, const json_t *actual,
		      const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	struct local *l = ctx;
	_cleanup_free_ char *tree = tree_of(l, task->want), *link = link_of(l);
	_cleanup_free_ char *tmp = xasprintf("%s/.root", l->dir);
	int r;

	r = local_dir_make(l, err);
	if (r == 0 && !kc_exists(tree))
		r = build(task, tree, err);
	if (r < 0)
		return r;
	unlink(tmp);
	if (symlink(tree, tmp) < 0 || rename(tmp, link) < 0)
		return kc_fail_errno(err, errno, "%s", link);
	return root_find(ctx, task, ret_actual, err);
}

static int root_remove(void *ctx, const struct kc_task *task, const json_t *actual,
		       struct kc_err *err)
{
	const struct local *l = ctx;
	_cleanup_free_ char *link = link_of(l);
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r < 0 || !exists)
		return r;
	if (unlink(link) < 0 && errno != ENOENT)
		return kc_fail_errno(err, errno, "%s", link);
	local_dir_drop(l);
	return 0;
}

static int root_list(void *ctx, const char *owner, json_t **ret_by_id, struct kc_err *err)
{
	return local_list_one(ctx, owner, &local_root_kind, ret_by_id, err);
}

const struct kc_kind local_root_kind = {
	.name = "local/root",
	.sets = (const char *const[]){ "packages", NULL },
	.brief = true, /* of which packages the tree consists only the task says */
	.list = root_list,
	.find = root_find,
	.apply = root_apply,
	.remove = root_remove,
};
