/*
 * A bundle as one file: an uncompressed tar, so that `tar` makes and reads it, too, and a blob is
 * read where it lies. Only the headers are walked; every one is checked, and there is nothing else
 * in it than bundle.json and blobs.
 */
#include "bootstrap/bundle/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/archive.h"
#include "lib/codec/json.h"

enum { BLOCK = 512, ENTRIES_MAX = 4096 };

/* A header as POSIX.1-1988 has it (ustar); GNU's differs in what is not looked at. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[6], version[2], owner[32], group[32], major[8], minor[8], prefix[155], pad[12];
};

/* Octal digits up to a blank or NUL; -1: something else. */
static int64_t octal(const char *s, size_t n)
{
	int64_t v = 0;
	size_t i = 0;

	while (i < n && s[i] == ' ')
		i++;
	for (; i < n && s[i] >= '0' && s[i] <= '7'; i++)
		v = v * 8 + (s[i] - '0');
	return i == 0 || (i < n && s[i] != ' ' && s[i] != '\0') ? -1 : v;
}

static bool sum_ok(const struct header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	int64_t sum = 0;

	for (size_t i = 0; i < sizeof(*h); i++)
		sum += i >= offsetof(struct header, sum) && i < offsetof(struct header, type)
			       ? ' '
			       : p[i];
	return memcmp(h->magic, "ustar", 5) == 0 && octal(h->sum, sizeof(h->sum)) == sum;
}

struct walk {
	const char *path;
	int fd;
	off_t at, end;
	json_t *index;
	char *text;
	size_t len;
};

static int bad(const struct walk *w, const char *why, struct kc_err *err)
{
	return kc_fail(err, KC_EINVAL, "%s is not a bundle, or a damaged one: at byte %jd %s",
		       w->path, (intmax_t)w->at, why);
}

static int take_json(struct walk *w, off_t offset, int64_t size, struct kc_err *err)
{
	if (w->text)
		return bad(w, "is a second bundle.json", err);
	if (size > KC_BUNDLE_JSON_MAX)
		return bad(w, "is a bundle.json that is too large", err);
	w->text = xcalloc(1, (size_t)size + 1);
	w->len = (size_t)size;
	if (pread(w->fd, w->text, w->len, offset) != (ssize_t)size)
		return bad(w, "bundle.json cannot be read", err);
	return 0;
}

static int take_entry(struct walk *w, const struct header *h, int64_t size, struct kc_err *err)
{
	static const char blobs[] = "blobs/sha256/";
	_cleanup_free_ char *name = xstrndup(h->name, sizeof(h->name));
	const char *n = kc_startswith(name, "./") ? name + 2 : name;
	off_t offset = w->at + BLOCK;

	if (h->type == '5')
		return 0;
	if ((h->type != '0' && h->type != '\0') || h->prefix[0])
		return bad(w, "is an entry that is no file", err);
	if (streq(n, "bundle.json"))
		return take_json(w, offset, size, err);
	if (!kc_startswith(n, blobs) || !kc_is_sha256(n + strlen(blobs)))
		return bad(w, "is a file that belongs to no bundle", err);
	n += strlen(blobs);
	if (json_object_get(w->index, n))
		return bad(w, "is a blob for the second time", err);
	json_object_set_new(w->index, n, kc_pack("[I, I]", (json_int_t)offset, (json_int_t)size));
	return 0;
}

/* 1: there was an entry; 0: the end. */
static int step(struct walk *w, struct kc_err *err)
{
	static const struct header zero;
	struct header h;
	int64_t size;
	int r;

	if (w->end - w->at < BLOCK || pread(w->fd, &h, sizeof(h), w->at) != sizeof(h))
		return bad(w, "it ends too early", err);
	if (memcmp(&h, &zero, sizeof(h)) == 0)
		return 0;
	if (!sum_ok(&h))
		return bad(w, "is no header", err);
	size = octal(h.size, sizeof(h.size));
	if (size < 0 || size > w->end - w->at - BLOCK)
		return bad(w, "is a file that is cut short", err);
	r = take_entry(w, &h, size, err);
	w->at += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
	return r < 0 ? r : 1;
}

static void walk_done(struct walk *w)
{
	kc_closep(&w->fd);
	json_decref(w->index);
	free(w->text);
}

int kc_bundle_tar_open(const char *path, json_t **ret_index, char **ret_text, size_t *ret_len,
		       struct kc_err *err)
{
	_cleanup_(walk_done) struct walk w = { .path = path, .index = json_object() };
	struct stat st;
	int n = 0, r = 1;

	w.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (w.fd < 0 || fstat(w.fd, &st) < 0)
		return kc_fail_errno(err, errno, "%s", path);
	w.end = st.st_size;
	while (r == 1)
		r = n++ < ENTRIES_MAX ? step(&w, err) : bad(&w, "are too many entries", err);
	if (r < 0)
		return r;
	if (!w.text)
		return bad(&w, "it ends without a bundle.json", err);
	*ret_index = TAKE(w.index);
	*ret_text = TAKE(w.text);
	*ret_len = w.len;
	return 0;
}

struct writing {
	struct kc_tar *t;
	const char *dir;
	json_t *done;
};

static int write_blob(void *cookie, const char *who, const json_t *blob, struct kc_err *err)
{
	const char *hash = kc_json_get_str(blob, "blob", "");
	_cleanup_free_ char *name = xasprintf("blobs/sha256/%s", hash), *src = NULL;
	struct writing *w = cookie;

	if (json_object_get(w->done, hash))
		return 0;
	json_object_set_new(w->done, hash, json_true());
	src = xasprintf("%s/%s", w->dir, name);
	return kc_tar_add_file(w->t, name, src, 0644, err);
}

static int write_all(const char *dir, const char *path, const json_t *bundle, struct kc_err *err)
{
	_cleanup_free_ char *json = xasprintf("%s/bundle.json", dir);
	const struct kc_bundle b = { .json = (json_t *)bundle };
	json_auto_t *done = json_object();
	_cleanup_tar_ struct kc_tar *t = NULL;
	struct writing w = { .dir = dir, .done = done };
	int r = kc_tar_open(path, &t, err);

	w.t = t;
	if (r == 0)
		r = kc_tar_add_file(t, "bundle.json", json, 0644, err);
	if (r == 0)
		r = kc_bundle_each(&b, write_blob, &w, err);
	return r < 0 ? r : kc_tar_close(TAKE(t), err);
}

int kc_bundle_tar_write(const char *dir, const char *path, const json_t *bundle, struct kc_err *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s.part", path);
	int r = write_all(dir, tmp, bundle, err);

	if (r == 0)
		r = kc_file_publish(tmp, path, err);
	if (r < 0)
		unlink(tmp);
	return r;
}
