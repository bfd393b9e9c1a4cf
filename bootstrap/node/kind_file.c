/* Files, directories and links. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap/node/kinds.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/pki.h"

#define FILE_MAX (8u << 20)

/* What a file holds of a secret: the version that was wanted or written last, or none of them. */
static json_t *secret_of(const struct kc_node_host *h, const struct kc_task *t, const char *name,
			 const char *text, size_t len)
{
	const json_t *known[] = { json_object_get(t->want, "content"),
				  json_object_get(t->known, "content") };
	char mac[KC_SHA256_HEX];
	json_t *ref;

	kc_host_hmac(h, text, len, mac);
	ref = kc_pack("{s:s, s:s}", "secret", name, "hmac", mac);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (streq(kc_json_get_str(known[i], "secret", ""), name) &&
		    streq(kc_json_get_str(known[i], "hmac", ""), mac)) {
			json_object_set(ref, "version", json_object_get(known[i], "version"));
			break;
		}
	return ref;
}

static json_t *content_of(const struct kc_node_host *h, const struct kc_task *t, const char *text,
			  size_t len)
{
	const json_t *content = kc_node_get(t, NULL, "content");
	const char *name = kc_json_get_str(content, "secret", NULL);
	json_t *s;

	if (name)
		return secret_of(h, t, name, text, len);
	s = json_stringn(text, len);
	return s ? s : json_string("(not text)");
}

static json_t *rev_of(struct kc_node_host *h, const char *path, const json_t *content,
		      const char *text, size_t len)
{
	char hex[KC_SHA256_HEX];

	if (json_is_object(content))
		kc_host_hmac(h, text, len, hex);
	else
		kc_sha256(text, len, hex);
	kc_host_rev(h, path, hex);
	return json_string(hex);
}

static int file_find(void *ctx, const struct kc_task *t, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_free_ char *text = NULL;
	json_t *content;
	const char *path;
	struct stat st;
	size_t len;
	int r;

	r = kc_node_need(t, NULL, "path", &path, err);
	if (r < 0)
		return r;
	if (t->leaving) {
		_cleanup_free_ char *key = xasprintf("file:%s", path);
		json_auto_t *was = kc_host_before(ctx, key);

		if (was) /* else what is there is as it was before us, or comes from somebody else
			  */
			*ret_actual = kc_pack("{s:s}", "path", path);
		return 0;
	}
	if (lstat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : kc_fail_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return kc_fail(err, KC_ECONFLICT, "%s is there and not a file; move it away", path);
	r = kc_file_read(path, FILE_MAX, &text, &len, err);
	if (r < 0)
		return r;
	content = content_of(ctx, t, text ? text : "", len);
	*ret_actual =
		kc_pack("{s:s, s:o, s:o, s:o, s:o}", "path", path, "mode",
			kc_node_mode_text(st.st_mode), "owner", kc_host_owner_of(&st), "content",
			content, "rev", rev_of(ctx, path, content, text ? text : "", len));
	if (json_is_object(content))
		kc_wipe(text, len);
	return 0;
}

/* What stood there before our first write: its text and mode, or null. */
static int note_before(struct kc_node_host *h, const char *path, const json_t *actual,
		       struct kc_err *err)
{
	_cleanup_free_ char *key = xasprintf("file:%s", path), *text = NULL;
	json_auto_t *was = NULL, *noted = kc_host_before(h, key);
	size_t len;
	int r;

	if (noted)
		return 0;
	if (actual) {
		r = kc_file_read(path, FILE_MAX, &text, &len, err);
		if (r < 0)
			return r;
		was = kc_pack("{s:O}", "mode", json_object_get(actual, "mode"));
		if (json_object_set_new(was, "content", json_stringn(text ? text : "", len)) < 0)
			return kc_fail(err, KC_ECONFLICT, "%s is there and not text; move it away",
				       path);
	}
	return kc_host_note(h, key, was ? was : json_null(), err);
}

static int wanted_bytes(const struct kc_node_host *h, const struct kc_task *t, const char **ret,
			size_t *ret_len, struct kc_err *err)
{
	const json_t *content = json_object_get(t->want, "content");
	const char *name = kc_json_get_str(content, "secret", NULL);
	int r;

	if (json_is_string(content)) {
		*ret = json_string_value(content);
		*ret_len = json_string_length(content);
		return 0;
	}
	if (!name)
		return kc_fail(err, KC_EINVAL, "%s: content must be text or a $secret", t->id);
	r = kc_host_secret(h, name, ret, err);
	if (r == 0)
		*ret_len = strlen(*ret);
	return r;
}

static bool same_content(const struct kc_task *t, const json_t *actual)
{
	const json_t *have = json_object_get(actual, "content");

	return have && json_equal(json_object_get(t->want, "content"), have);
}

static int file_apply(void *ctx, const struct kc_task *t, const json_t *actual,
		      const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	const char *path, *bytes;
	mode_t mode;
	size_t len;
	int r;

	r = kc_node_need(t, NULL, "path", &path, err);
	if (r == 0)
		r = kc_node_mode(t, &mode, err);
	if (r == 0)
		r = wanted_bytes(ctx, t, &bytes, &len, err);
	if (r == 0)
		r = note_before(ctx, path, actual, err);
	if (r == 0 && same_content(t, actual)) {
		r = kc_host_own(path, mode, err);
		return r < 0 ? r : file_find(ctx, t, ret_actual, err);
	}
	if (r == 0 && kc_node_made_before(t))
		r = kc_host_repaired(ctx, path, err);
	if (r == 0)
		r = kc_host_mkparents(ctx, path, err);
	if (r == 0)
		r = kc_host_write(path, bytes, len, mode, err);
	return r < 0 ? r : file_find(ctx, t, ret_actual, err);
}

static int file_remove(void *ctx, const struct kc_task *t, const json_t *actual, struct kc_err *err)
{
	_cleanup_free_ char *key = NULL;
	json_auto_t *was = NULL;
	const char *path, *text;
	int r;

	r = kc_node_need(t, actual, "path", &path, err);
	if (r < 0)
		return r;
	key = xasprintf("file:%s", path);
	was = kc_host_before(ctx, key);
	if (!was)
		return 0;
	text = kc_json_get_str(was, "content", NULL);
	if (text) {
		const char *mode = kc_json_get_str(was, "mode", "0644");

		r = kc_host_write(path, text, strlen(text), (mode_t)strtoul(mode, NULL, 8), err);
	} else {
		r = kc_host_unlink(path, err);
	}
	if (r == 0)
		r = kc_host_unnote(ctx, key, err);
	if (r == 0)
		kc_host_rmparents(ctx, path);
	return r;
}

const struct kc_kind kc_node_file = {
	.name = "file",
	.immutable = (const char *const[]){ "path", NULL },
	.rev = (const char *const[]){ "path", "content", NULL },
	.find = file_find,
	.apply = file_apply,
	.remove = file_remove,
	.normalize = kc_node_owned,
};

static int dir_find(void *ctx, const struct kc_task *t, json_t **ret_actual, struct kc_err *err)
{
	const char *path;
	struct stat st;
	int r;

	r = kc_node_need(t, NULL, "path", &path, err);
	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : kc_fail_errno(err, errno, "%s", path);
	if (!S_ISDIR(st.st_mode))
		return kc_fail(err, KC_ECONFLICT, "%s is there and not a directory; move it away",
			       path);
	*ret_actual = kc_pack("{s:s, s:o, s:o}", "path", path, "mode",
			      kc_node_mode_text(st.st_mode), "owner", kc_host_owner_of(&st));
	return 0;
}

static int dir_apply(void *ctx, const struct kc_task *t, const json_t *actual,
		     const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_free_ char *key = NULL, *owner_key = NULL;
	const char *path;
	mode_t mode;
	int r;

	r = kc_node_need(t, NULL, "path", &path, err);
	if (r == 0)
		r = kc_node_mode(t, &mode, err);
	if (r < 0)
		return r;
	key = xasprintf("mode:%s", path);
	owner_key = xasprintf("owner:%s", path);
	if (actual)
		r = kc_host_note(ctx, key, json_object_get(actual, "mode"), err);
	if (r == 0 && actual)
		r = kc_host_note(ctx, owner_key, json_object_get(actual, "owner"), err);
	if (r == 0)
		r = kc_host_mkdirs(ctx, path, mode, err);
	if (r == 0)
		r = kc_host_own(path, mode, err);
	return r < 0 ? r : dir_find(ctx, t, ret_actual, err);
}

/* Of a directory that was there before us. */
static void give_back(struct kc_node_host *h, const char *path)
{
	_cleanup_free_ char *mode_key = xasprintf("mode:%s", path),
			    *owner_key = xasprintf("owner:%s", path);
	json_auto_t *mode = kc_host_before(h, mode_key), *owner = kc_host_before(h, owner_key);
	unsigned uid, gid;

	if (owner && sscanf(json_string_value(owner), "%u:%u", &uid, &gid) == 2 &&
	    chown(path, uid, gid) < 0)
		return; /* it is gone */
	if (json_is_string(mode))
		chmod(path, (mode_t)strtoul(json_string_value(mode), NULL, 8));
}

/* A directory that others put something into stays; teardown empties the ones we know. */
static int dir_remove(void *ctx, const struct kc_task *t, const json_t *actual, struct kc_err *err)
{
	_cleanup_free_ char *key = NULL, *mode_key = NULL, *owner_key = NULL;
	json_auto_t *made = NULL;
	const char *path;
	int r;

	r = kc_node_need(t, actual, "path", &path, err);
	if (r < 0)
		return r;
	key = xasprintf("dir:%s", path);
	mode_key = xasprintf("mode:%s", path);
	made = kc_host_before(ctx, key);
	owner_key = xasprintf("owner:%s", path);
	if (!made)
		give_back(ctx, path);
	if (made && (rmdir(path) == 0 || errno == ENOENT)) {
		r = kc_host_unnote(ctx, key, err);
		kc_host_rmparents(ctx, path);
	}
	if (r == 0)
		r = kc_host_unnote(ctx, mode_key, err);
	return r < 0 ? r : kc_host_unnote(ctx, owner_key, err);
}

const struct kc_kind kc_node_dir = {
	.name = "dir",
	.immutable = (const char *const[]){ "path", NULL },
	.find = dir_find,
	.apply = dir_apply,
	.remove = dir_remove,
	.normalize = kc_node_owned,
};

static int read_certificate(const char *path, struct kc_cert_info *ret)
{
	_cleanup_wiped_ char *pem = NULL; /* its key may be in the same file */
	int r = kc_file_read(path, FILE_MAX, &pem, NULL, NULL);

	return r < 0 ? r : kc_cert_read(pem ? pem : "", ret, NULL);
}

/*
 * Does the link at path lead to a certificate that its owner can live on: one that is valid now and
 * says the same name as the one that it was given first, which is target?
 */
static bool leads_to_certificate(const char *path, const char *target)
{
	_cleanup_cert_info_ struct kc_cert_info now = { 0 }, first = { 0 };
	_cleanup_free_ char *of_first = NULL;
	const char *slash = strrchr(path, '/');

	of_first = *target == '/' || !slash
			   ? xstrdup(target)
			   : xasprintf("%.*s/%s", (int)(slash - path), path, target);
	if (read_certificate(path, &now) < 0 || time(NULL) >= now.not_after ||
	    time(NULL) < now.not_before)
		return false;
	return read_certificate(of_first, &first) < 0 || streq(now.cn, first.cn);
}

static int link_find(void *ctx, const struct kc_task *t, json_t **ret_actual, struct kc_err *err)
{
	char target[PATH_MAX], hex[KC_SHA256_HEX];
	const char *path;
	bool initial, initial_ok = true;
	ssize_t n;
	int r;

	r = kc_node_need(t, NULL, "path", &path, err);
	if (r < 0)
		return r;
	if (t->leaving) {
		if (kc_host_remains(path))
			*ret_actual = kc_pack("{s:s}", "path", path);
		return 0;
	}
	initial = json_is_true(kc_node_get(t, NULL, "initial"));
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (n < 0 && errno == EINVAL)
		return kc_fail(err, KC_ECONFLICT, "%s is there and not a link; move it away", path);
	if (n < 0)
		return kc_fail_errno(err, errno, "%s", path);
	target[n] = '\0';
	kc_sha256(target, (size_t)n, hex);
	kc_host_rev(ctx, path, hex);
	/* An initial link is its owner's once it is there: whatever it points to is right, as long
	 * as its owner can live on it. */
	if (initial && json_is_true(kc_node_get(t, NULL, "certificate")))
		initial_ok = leads_to_certificate(path, kc_node_str(t, NULL, "target"));
	*ret_actual = kc_pack("{s:s, s:s, s:b, s:s}", "path", path, "target",
			      initial && initial_ok ? kc_node_str(t, NULL, "target") : target,
			      "initial", initial, "rev", hex);
	if (json_object_get(t->want, "certificate"))
		json_object_set(*ret_actual, "certificate",
				json_object_get(t->want, "certificate"));
	return 0;
}

static int link_apply(void *ctx, const struct kc_task *t, const json_t *actual,
		      const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_free_ char *tmp = NULL;
	const char *path, *target;
	int r;

	r = kc_node_need(t, NULL, "path", &path, err);
	if (r == 0)
		r = kc_node_need(t, NULL, "target", &target, err);
	if (r == 0)
		r = kc_host_mkparents(ctx, path, err);
	if (r == 0 && kc_node_made_before(t))
		r = kc_host_repaired(ctx, path, err);
	if (r < 0)
		return r;
	tmp = kc_host_half(path);
	unlink(tmp);
	if (symlink(target, tmp) < 0 || rename(tmp, path) < 0)
		return kc_fail_errno(err, errno, "linking %s", path);
	return link_find(ctx, t, ret_actual, err);
}

static int link_remove(void *ctx, const struct kc_task *t, const json_t *actual, struct kc_err *err)
{
	const char *path;
	int r;

	r = kc_node_need(t, actual, "path", &path, err);
	if (r < 0)
		return r;
	r = kc_host_unlink(path, err);
	if (r == 0)
		kc_host_rmparents(ctx, path);
	return r;
}

const struct kc_kind kc_node_link = {
	.name = "link",
	.immutable = (const char *const[]){ "path", NULL },
	.find = link_find,
	.apply = link_apply,
	.remove = link_remove,
};
