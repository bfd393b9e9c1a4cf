/* Programs: content-addressed files, unpacked from BLOBS. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap/node/kinds.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/zstd.h"

static int blob_find(void *ctx, const struct kc_task *t, json_t **ret_actual, struct kc_err *err)
{
	char hex[KC_SHA256_HEX], rev[KC_SHA256_HEX];
	const char *path;
	struct stat st;
	int r;

	r = kc_node_need(t, NULL, "path", &path, err);
	if (r < 0)
		return r;
	if (t->leaving) {
		if (kc_host_remains(path))
			*ret_actual = kc_pack("{s:s}", "path", path);
		return 0;
	}
	if (lstat(path, &st) < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0
							   : kc_fail_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return kc_fail(err, KC_ECONFLICT, "%s is there and not a file; move it away", path);
	r = kc_host_hash(ctx, path, &st, hex, err);
	if (r < 0)
		return r;
	strcpy(rev, hex);
	kc_host_rev(ctx, path, rev);
	*ret_actual = kc_pack("{s:s, s:s, s:I, s:o, s:o, s:s}", "path", path, "sha256", hex, "size",
			      (json_int_t)st.st_size, "mode", kc_node_mode_text(st.st_mode),
			      "owner", kc_host_owner_of(&st), "rev", rev);
	return 0;
}

struct unpack {
	int fd;
	struct kc_sha256_stream *sha;
};

static int unpack_sink(void *cookie, const void *data, size_t len, struct kc_err *err)
{
	struct unpack *u = cookie;

	kc_sha256_update(u->sha, data, len);
	return kc_write_all(u->fd, data, len, err);
}

/* BLOBS/<blob> to fd, refusing more than size bytes and any other content. */
static int unpack(struct kc_node_host *h, const struct kc_task *t, int fd, struct kc_err *err)
{
	const char *blob = kc_node_str(t, NULL, "blob"), *sha = kc_node_str(t, NULL, "sha256");
	_cleanup_free_ char *packed = NULL;
	_cleanup_close_ int in = -1;
	struct unpack u = { .fd = fd };
	char hex[KC_SHA256_HEX];
	uint64_t size;
	int r;

	if (!blob || !sha || !kc_is_sha256(blob) || !kc_is_sha256(sha))
		return kc_fail(err, KC_EINVAL, "%s: blob and sha256 must be SHA-256 in hex", t->id);
	packed = xasprintf("%s/%s", h->blobs, blob);
	in = open(packed, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return kc_fail_errno(err, errno, "%s: blob %.12s was not sent to this node", t->id,
				     blob);
	u.sha = kc_sha256_new();
	r = kc_zstd_decompress(in, packed, (uint64_t)kc_json_get_int(t->want, "size", 0),
			       unpack_sink, &u, &size, err);
	kc_sha256_finish(u.sha, r < 0 ? NULL : hex);
	if (r < 0)
		return kc_wrap(err, "%s", t->id);
	if (!streq(hex, sha))
		return kc_fail(err, KC_EINVAL,
			       "%s: the blob holds other content than the spec says (%.12s, not "
			       "%.12s); verify the bundle",
			       t->id, hex, sha);
	return 0;
}

static int blob_apply(void *ctx, const struct kc_task *t, const json_t *actual,
		      const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_free_ char *tmp = NULL;
	_cleanup_close_ int fd = -1;
	const char *path, *sha = kc_node_str(t, NULL, "sha256");
	mode_t mode;
	int r;

	r = kc_node_need(t, NULL, "path", &path, err);
	if (r == 0)
		r = kc_node_mode(t, &mode, err);
	if (r < 0)
		return r;
	if (actual && strsame(kc_json_get_str(actual, "sha256", NULL), sha)) {
		r = kc_host_own(path, mode, err);
		if (r < 0)
			return r;
		kc_host_learn(ctx, path, sha);
		return blob_find(ctx, t, ret_actual, err);
	}
	r = kc_host_mkparents(ctx, path, err);
	if (r == 0 && kc_node_made_before(t))
		r = kc_host_repaired(ctx, path, err);
	if (r < 0)
		return r;
	tmp = kc_host_half(path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return kc_fail_errno(err, errno, "%s", tmp);
	r = unpack(ctx, t, fd, err);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = kc_fail_errno(err, errno, "chmod %s", tmp);
	sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* begin, do not wait */
	/* Closed before the rename: a program open for writing cannot be run (ETXTBSY). */
	kc_closep(&fd);
	if (r == 0 && rename(tmp, path) < 0)
		r = kc_fail_errno(err, errno, "%s", path);
	if (r < 0) {
		unlink(tmp);
		return r;
	}
	kc_host_learn(ctx, path, sha);
	return blob_find(ctx, t, ret_actual, err);
}

static int blob_remove(void *ctx, const struct kc_task *t, const json_t *actual, struct kc_err *err)
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

/* How it travelled says nothing about the file. */
static void blob_normalize(json_t *want, json_t *actual)
{
	json_object_del(want, "blob");
	json_object_del(want, "blobSize");
	kc_node_owned(want, actual);
}

const struct kc_kind kc_node_blob = {
	.name = "blob",
	.immutable = (const char *const[]){ "path", NULL },
	.rev = (const char *const[]){ "path", "sha256", "size", NULL },
	.find = blob_find,
	.apply = blob_apply,
	.remove = blob_remove,
	.normalize = blob_normalize,
};
