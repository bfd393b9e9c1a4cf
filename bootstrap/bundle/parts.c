#include "bootstrap/bundle/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/zstd.h"
#include "lib/crypto/hash.h"

void kc_parts_say(const struct kc_parts *p, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!p->progress)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	p->progress(p->cookie, line);
}

int kc_parts_canceled(const struct kc_parts *p, struct kc_err *err)
{
	if (p->cancel && atomic_load(p->cancel))
		return kc_fail(err, KC_ECANCELED, "stopped");
	return 0;
}

int kc_parts_entry(struct kc_parts *p, const char *name, const char *key, char **ret_dir,
		   char **ret_tmp, struct kc_err *err)
{
	_cleanup_free_ char *dir = xasprintf("%s/parts/%s-%.16s", p->cache, name, key);
	_cleanup_free_ char *tmp = xasprintf("%s/parts/.new-%s", p->cache, name);
	int r;

	if (kc_exists(dir)) {
		*ret_dir = TAKE(dir);
		return 1;
	}
	r = kc_rm_rf(tmp, err);
	if (r == 0)
		r = kc_mkdir_p(tmp, 0755, err);
	if (r < 0)
		return r;
	*ret_dir = TAKE(dir);
	*ret_tmp = TAKE(tmp);
	return 0;
}

int kc_parts_commit(const char *tmp, const char *dir, struct kc_err *err)
{
	/* The entry's name vouches for its content: the content must be on disk first. */
	_cleanup_close_ int fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0 || rename(tmp, dir) < 0)
		return kc_fail_errno(err, errno, "%s", dir);
	return 0;
}

int kc_bundle_copy(const struct kc_blob_place *from, const char *to, struct kc_err *err)
{
	_cleanup_close_ int in = open(from->path, O_RDONLY | O_CLOEXEC), out = -1;
	uint64_t left = from->size;

	if (in < 0 || lseek(in, from->offset, SEEK_SET) < 0)
		return kc_fail_errno(err, errno, "%s", from->path);
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out < 0)
		return kc_fail_errno(err, errno, "%s", to);
	while (left) {
		char buf[65536];
		ssize_t n = read(in, buf, left < sizeof(buf) ? (size_t)left : sizeof(buf));

		if (n <= 0)
			return kc_fail_errno(err, n < 0 ? errno : EIO, "reading %s", from->path);
		if (kc_write_all(out, buf, (size_t)n, err) < 0)
			return kc_wrap(err, "%s", to);
		left -= (uint64_t)n;
	}
	return fsync(out) < 0 ? kc_fail_errno(err, errno, "%s", to) : 0;
}

int kc_bundle_link(const char *from, const char *to, struct kc_err *err)
{
	struct kc_blob_place whole = { .path = (char *)from };
	struct stat st;

	if (link(from, to) == 0 || errno == EEXIST)
		return 0;
	if (stat(from, &st) < 0)
		return kc_fail_errno(err, errno, "%s", from);
	whole.size = (uint64_t)st.st_size;
	return kc_bundle_copy(&whole, to, err);
}

/* What is known of the content packed before: its blob's hash and size, if the file is still so. */
static bool packed_before(const char *note, const char *packed_dir, json_t *entry)
{
	_cleanup_free_ char *text = NULL, *path = NULL;
	json_auto_t *known = NULL;
	const char *blob;
	char hash[KC_SHA256_HEX];
	uint64_t size;
	size_t len;

	if (!kc_exists(note) || kc_file_read(note, 4096, &text, &len, NULL) < 0 ||
	    kc_json_parse(text, len, note, &known, NULL) < 0 ||
	    kc_json_str(known, note, "blob", &blob, NULL) < 0)
		return false;
	path = xasprintf("%s/%s.zst", packed_dir, blob);
	if (kc_sha256_file(path, hash, &size, NULL) < 0 || !streq(hash, blob))
		return false;
	json_object_set_new(entry, "blob", json_string(hash));
	json_object_set_new(entry, "blobSize", json_integer((json_int_t)size));
	return true;
}

/* Compress, and remember the result by the content's hash. */
static int pack(const struct kc_parts *p, const char *path, const char *note,
		const char *packed_dir, json_t *entry, struct kc_err *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s/.new", packed_dir), *to = NULL, *text = NULL;
	char hash[KC_SHA256_HEX];
	uint64_t size;
	int r;

	r = kc_zstd_compress_file(path, tmp, KC_BUNDLE_LEVEL, p->cancel, err);
	if (r == 0)
		r = kc_sha256_file(tmp, hash, &size, err);
	if (r < 0)
		return r;
	to = xasprintf("%s/%s.zst", packed_dir, hash);
	r = kc_file_publish(tmp, to, err);
	if (r < 0)
		return r;
	json_object_set_new(entry, "blob", json_string(hash));
	json_object_set_new(entry, "blobSize", json_integer((json_int_t)size));
	text = xasprintf("{\"blob\": \"%s\"}\n", hash);
	return kc_file_write(note, text, strlen(text), 0644, err);
}

int kc_part_pack(struct kc_parts *p, const char *path, const char *blobs, json_t *entry,
		 struct kc_err *err)
{
	_cleanup_free_ char *dir = xasprintf("%s/packed", p->cache), *note = NULL, *from = NULL;
	_cleanup_free_ char *to = NULL;
	const char *base = strrchr(path, '/') + 1, *blob;
	char hash[KC_SHA256_HEX];
	int64_t start;
	uint64_t size;
	int r;

	r = kc_mkdir_p(dir, 0755, err);
	if (r == 0)
		r = kc_sha256_file(path, hash, &size, err);
	if (r < 0)
		return r;
	json_object_set_new(entry, "sha256", json_string(hash));
	json_object_set_new(entry, "size", json_integer((json_int_t)size));
	note = xasprintf("%s/%s-%d.json", dir, hash, KC_BUNDLE_LEVEL);
	if (!packed_before(note, dir, entry)) {
		start = kc_now_ms();
		r = pack(p, path, note, dir, entry, err);
		if (r < 0)
			return kc_wrap(err, "packing %s", base);
		kc_parts_say(p, "%s: packed to %.1f MB in %.1f s", base,
			     (double)kc_json_get_int(entry, "blobSize", 0) / 1e6,
			     (double)(kc_now_ms() - start) / 1000);
	}
	blob = kc_json_get_str(entry, "blob", "");
	from = xasprintf("%s/%s.zst", dir, blob);
	to = xasprintf("%s/%s", blobs, blob);
	return kc_bundle_link(from, to, err);
}
