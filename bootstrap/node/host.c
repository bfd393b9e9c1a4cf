#include "bootstrap/node/host.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define STATE_MAX (16u << 20)

/* STATE/name as an object; an empty one when there is none. */
static int load(const struct kc_node_host *h, const char *name, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", h->state, name);
	_cleanup_free_ char *text = NULL;
	json_auto_t *v = NULL;
	size_t len;
	int r;

	if (!kc_exists(path)) {
		*ret = json_object();
		return 0;
	}
	r = kc_file_read(path, STATE_MAX, &text, &len, err);
	if (r == 0)
		r = kc_json_parse(text, len, path, &v, err);
	if (r < 0)
		return r;
	if (!json_is_object(v))
		return kc_fail(err, KC_EINVAL, "%s: not an object; `reset` this host", path);
	*ret = TAKE(v);
	return 0;
}

static int store(const struct kc_node_host *h, const char *name, const json_t *v,
		 struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", h->state, name);
	_cleanup_free_ char *text = kc_json_text(v);
	int r = kc_mkdir_p(h->state, 0700, err);

	return r < 0 ? r : kc_host_write_shared(path, text, strlen(text), err);
}

/*
 * Files are not synced one by one, so after a power loss a remembered hash may outlive the bytes:
 * what was learned in another boot is looked at again.
 */
static char *boot_id(void)
{
	char *id = NULL;

	if (kc_file_read("/proc/sys/kernel/random/boot_id", 64, &id, NULL, NULL) < 0 || !id)
		return xstrdup("?");
	id[strcspn(id, "\n")] = '\0';
	return id;
}

static void set_key(struct kc_node_host *h, const char *hmac_key)
{
	unsigned char bytes[32];

	if (hmac_key) {
		snprintf(h->hmac_key, sizeof(h->hmac_key), "%s", hmac_key);
		return;
	}
	kc_random(bytes, sizeof(bytes));
	kc_hex(bytes, sizeof(bytes), h->hmac_key);
	kc_wipe(bytes, sizeof(bytes));
}

int kc_host_init(struct kc_node_host *h, const char *hmac_key, struct kc_err *err)
{
	_cleanup_free_ char *boot = NULL;
	int r;

	pthread_mutex_init(&h->lock, NULL);
	pthread_mutex_init(&h->reload_lock, NULL);
	h->state = h->state ? h->state : "/var/lib/kubecdn";
	h->proc_sys = h->proc_sys ? h->proc_sys : "/proc/sys";
	h->units = h->units ? h->units : "/etc/systemd/system";
	set_key(h, hmac_key);
	r = load(h, "before.json", &h->before, err);
	if (r < 0)
		return r;
	boot = boot_id();
	if (load(h, "stat.json", &h->stats, NULL) < 0 || /* only a cache: start anew */
	    !streq(kc_json_get_str(h->stats, "boot", ""), boot)) {
		json_decref(h->stats);
		h->stats = kc_pack("{s:s}", "boot", boot);
	}
	return 0;
}

int kc_host_save(struct kc_node_host *h, struct kc_err *err)
{
	int r = 0;

	pthread_mutex_lock(&h->lock);
	if (h->stats_dirty && h->writable)
		r = store(h, "stat.json", h->stats, err);
	if (r == 0)
		h->stats_dirty = false;
	pthread_mutex_unlock(&h->lock);
	return r;
}

void kc_host_done(struct kc_node_host *h)
{
	json_decref(TAKE(h->before));
	json_decref(TAKE(h->stats));
	json_decref(TAKE(h->images));
	pthread_mutex_destroy(&h->lock);
	pthread_mutex_destroy(&h->reload_lock);
	kc_wipe(h->hmac_key, sizeof(h->hmac_key));
}

json_t *kc_host_before(struct kc_node_host *h, const char *key)
{
	json_t *v;

	pthread_mutex_lock(&h->lock);
	v = json_deep_copy(json_object_get(h->before, key));
	pthread_mutex_unlock(&h->lock);
	return v;
}

static int note_locked(struct kc_node_host *h, const char *key, const json_t *value,
		       struct kc_err *err)
{
	if (value)
		json_object_set_new(h->before, key, json_deep_copy(value));
	else if (json_object_del(h->before, key) < 0)
		return 0;
	if (!h->writable)
		return 0;
	return store(h, "before.json", h->before, err);
}

static int note(struct kc_node_host *h, const char *key, const json_t *value, bool again,
		struct kc_err *err)
{
	int r = 0;

	pthread_mutex_lock(&h->lock);
	if (again || !json_object_get(h->before, key))
		r = note_locked(h, key, value, err);
	pthread_mutex_unlock(&h->lock);
	return r;
}

int kc_host_note(struct kc_node_host *h, const char *key, const json_t *value, struct kc_err *err)
{
	return note(h, key, value, false, err);
}

int kc_host_renote(struct kc_node_host *h, const char *key, const json_t *value, struct kc_err *err)
{
	return note(h, key, value, true, err);
}

int kc_host_unnote(struct kc_node_host *h, const char *key, struct kc_err *err)
{
	return note(h, key, NULL, true, err);
}

static char *repairs_key(const char *path)
{
	return xasprintf("repairs:%s", path);
}

int kc_host_repaired(struct kc_node_host *h, const char *path, struct kc_err *err)
{
	_cleanup_free_ char *key = repairs_key(path);
	json_auto_t *count = kc_host_before(h, key), *next = NULL;

	next = json_integer(json_integer_value(count) + 1);
	return kc_host_renote(h, key, next, err);
}

void kc_host_rev(struct kc_node_host *h, const char *path, char hash[KC_SHA256_HEX])
{
	_cleanup_free_ char *key = repairs_key(path), *text = NULL;
	json_auto_t *count = kc_host_before(h, key);

	if (!count)
		return;
	text = xasprintf("%s:%" JSON_INTEGER_FORMAT, hash, json_integer_value(count));
	kc_sha256(text, strlen(text), hash);
}

json_t *kc_host_owner(void)
{
	return json_sprintf("%u:%u", geteuid(), getegid());
}

json_t *kc_host_owner_of(const struct stat *st)
{
	return json_sprintf("%u:%u", st->st_uid, st->st_gid);
}

int kc_host_own(const char *path, mode_t mode, struct kc_err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	if ((st.st_uid != geteuid() || st.st_gid != getegid()) &&
	    chown(path, geteuid(), getegid()) < 0)
		return kc_fail_errno(err, errno, "chown %s", path);
	/* After the chown, which may clear bits of it. */
	if (chmod(path, mode) < 0)
		return kc_fail_errno(err, errno, "chmod %s", path);
	return 0;
}

static int mkdir_noted(struct kc_node_host *h, const char *dir, mode_t mode, struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("dir:%s", dir);
	json_auto_t *made = json_true();
	int r;

	if (kc_exists(dir))
		return 0;
	r = kc_host_note(h, key, made, err);
	if (r < 0)
		return r;
	if (mkdir(dir, mode) < 0 && errno != EEXIST)
		return kc_fail_errno(err, errno, "mkdir %s", dir);
	/* The umask is the caller's; what we make must not depend on it. */
	if (chmod(dir, mode) < 0)
		return kc_fail_errno(err, errno, "chmod %s", dir);
	return 0;
}

int kc_host_mkdirs(struct kc_node_host *h, const char *dir, mode_t mode, struct kc_err *err)
{
	_cleanup_free_ char *copy = xstrdup(dir);

	for (char *p = copy + 1;; p++) {
		char c = *p;
		int r;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		r = mkdir_noted(h, copy, c ? 0755 : mode, err);
		if (r < 0 || !c)
			return r;
		*p = c;
	}
}

int kc_host_mkparents(struct kc_node_host *h, const char *path, struct kc_err *err)
{
	_cleanup_free_ char *copy = xstrdup(path);

	return kc_host_mkdirs(h, dirname(copy), 0755, err);
}

void kc_host_rmparents(struct kc_node_host *h, const char *path)
{
	_cleanup_free_ char *dir = xstrdup(path);

	for (char *slash; (slash = strrchr(dir, '/')) && slash != dir;) {
		_cleanup_free_ char *key = NULL;
		json_auto_t *made = NULL;

		*slash = '\0';
		key = xasprintf("dir:%s", dir);
		made = kc_host_before(h, key);
		if (!made || (rmdir(dir) < 0 && errno != ENOENT))
			return;
		kc_host_unnote(h, key, NULL);
	}
}

/* The open half becomes path, or goes. */
static int finish(const char *half, int fd, const char *path, const void *data, size_t len,
		  mode_t mode, struct kc_err *err)
{
	int r = kc_write_all(fd, data, len, err);

	/* A directory with the set-group-ID bit would give it another group. */
	if (r == 0 && fchown(fd, geteuid(), getegid()) < 0)
		r = kc_fail_errno(err, errno, "chown");
	if (r == 0 && fchmod(fd, mode) < 0)
		r = kc_fail_errno(err, errno, "chmod");
	if (r == 0 && rename(half, path) < 0)
		r = kc_fail_errno(err, errno, "rename");
	if (r < 0) {
		unlink(half);
		return kc_wrap(err, "%s", path);
	}
	return 0;
}

char *kc_host_half(const char *path)
{
	return xasprintf("%s.kubecdn-tmp", path);
}

int kc_host_write(const char *path, const void *data, size_t len, mode_t mode, struct kc_err *err)
{
	_cleanup_free_ char *half = kc_host_half(path);
	_cleanup_close_ int fd = -1;

	unlink(half);
	fd = open(half, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	return finish(half, fd, path, data, len, mode, err);
}

int kc_host_write_shared(const char *path, const void *data, size_t len, struct kc_err *err)
{
	_cleanup_free_ char *half = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = mkostemp(half, O_CLOEXEC);

	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", path);
	return finish(half, fd, path, data, len, 0600, err);
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

bool kc_host_remains(const char *path)
{
	_cleanup_free_ char *half = kc_host_half(path);

	return is_there(path) || is_there(half);
}

int kc_host_unlink(const char *path, struct kc_err *err)
{
	_cleanup_free_ char *half = kc_host_half(path);

	unlink(half);
	if (unlink(path) < 0 && errno != ENOENT && errno != ENOTDIR)
		return kc_fail_errno(err, errno, "rm %s", path);
	return 0;
}

/* What must be unchanged for a remembered hash to hold. ctime cannot be set back by a user. */
static json_t *stat_key(const struct stat *st)
{
	return kc_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "size", (json_int_t)st->st_size, "mtime",
		       (json_int_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec, "ctime",
		       (json_int_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec, "inode",
		       (json_int_t)st->st_ino, "dev", (json_int_t)st->st_dev, "mode",
		       (json_int_t)st->st_mode);
}

static void learn(struct kc_node_host *h, const char *path, const struct stat *st,
		  const char *sha256)
{
	pthread_mutex_lock(&h->lock);
	json_object_set_new(h->stats, path,
			    kc_pack("{s:o, s:s}", "stat", stat_key(st), "sha256", sha256));
	h->stats_dirty = true;
	pthread_mutex_unlock(&h->lock);
}

json_t *kc_host_stats(struct kc_node_host *h)
{
	json_t *v;

	pthread_mutex_lock(&h->lock);
	v = json_deep_copy(h->stats);
	pthread_mutex_unlock(&h->lock);
	return v;
}

void kc_host_recall(struct kc_node_host *h, const json_t *stats)
{
	pthread_mutex_lock(&h->lock);
	if (json_is_object(stats) &&
	    streq(kc_json_get_str(stats, "boot", ""), kc_json_get_str(h->stats, "boot", "?"))) {
		json_object_update(h->stats, (json_t *)stats);
		h->stats_dirty = true;
	}
	pthread_mutex_unlock(&h->lock);
}

void kc_host_learn(struct kc_node_host *h, const char *path, const char *sha256)
{
	struct stat st;

	if (stat(path, &st) == 0)
		learn(h, path, &st, sha256);
}

static bool remembered(struct kc_node_host *h, const char *path, const json_t *key,
		       char out[KC_SHA256_HEX])
{
	const json_t *e;
	const char *sha;
	bool same;

	pthread_mutex_lock(&h->lock);
	e = json_object_get(h->stats, path);
	sha = kc_json_get_str(e, "sha256", "");
	same = kc_is_sha256(sha) && json_equal(json_object_get(e, "stat"), key);
	if (same)
		memcpy(out, sha, KC_SHA256_HEX);
	pthread_mutex_unlock(&h->lock);
	return same;
}

int kc_host_hash(struct kc_node_host *h, const char *path, const struct stat *st,
		 char out[KC_SHA256_HEX], struct kc_err *err)
{
	json_auto_t *key = stat_key(st);
	int r;

	if (!h->deep && remembered(h, path, key, out))
		return 0;
	r = kc_sha256_file(path, out, NULL, err);
	if (r == 0)
		learn(h, path, st, out);
	return r;
}

void kc_host_hmac(const struct kc_node_host *h, const void *data, size_t len,
		  char out[KC_SHA256_HEX])
{
	kc_hmac_sha256(h->hmac_key, strlen(h->hmac_key), data, len, out);
}

int kc_host_secret(const struct kc_node_host *h, const char *name, const char **ret,
		   struct kc_err *err)
{
	const json_t *v = json_object_get(h->secrets, name);

	if (!v || json_is_null(v))
		return kc_fail(err, KC_ENOTFOUND, "secret %s was not sent to this node", name);
	return kc_json_str(v, name, "value", ret, err);
}

int kc_host_secret_ref(const struct kc_node_host *h, const char *name, json_t **ret,
		       struct kc_err *err)
{
	char mac[KC_SHA256_HEX];
	const char *bytes;
	int64_t version;
	int r = kc_host_secret(h, name, &bytes, err);

	if (r == 0)
		r = kc_json_int(json_object_get(h->secrets, name), name, "version", &version, err);
	if (r < 0)
		return r;
	kc_host_hmac(h, bytes, strlen(bytes), mac);
	*ret = kc_pack("{s:s, s:I, s:s}", "secret", name, "version", (json_int_t)version, "hmac",
		       mac);
	return 0;
}

int kc_host_reload(struct kc_node_host *h, struct kc_err *err)
{
	uint64_t mine, upto;
	int r = 0;

	pthread_mutex_lock(&h->lock);
	mine = ++h->reload_wanted;
	pthread_mutex_unlock(&h->lock);

	pthread_mutex_lock(&h->reload_lock);
	if (h->reload_done < mine) {
		pthread_mutex_lock(&h->lock);
		upto = h->reload_wanted; /* all that was written before now is covered */
		pthread_mutex_unlock(&h->lock);
		r = kc_runl(NULL, err, "systemctl", "daemon-reload", NULL);
		if (r == 0)
			h->reload_done = upto;
	}
	pthread_mutex_unlock(&h->reload_lock);
	return r;
}
