/*
 * A bundle in a directory of an HTTP server: put there, and read from there.
 *
 * bundle.json decides what the blobs must be, so it has to be the right one: over https the server
 * vouches for it, and #sha256=HASH at the end of the URL does in any case.
 */
#include "bootstrap/bundle/internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/fetch.h"

#define PIN "#sha256="

struct kc_bundle_remote {
	struct kc_fetch *f; /* one thread at a time */
	pthread_mutex_t lock;
	char *base, *dir;
};

void kc_bundle_remote_close(struct kc_bundle_remote *r)
{
	if (!r)
		return;
	pthread_mutex_destroy(&r->lock);
	kc_fetch_free(r->f);
	free(r->base);
	free(r->dir);
	free(r);
}
KC_DEFINE_CLEANUP(struct kc_bundle_remote *, kc_bundle_remote_close)

const char *kc_bundle_remote_dir(const struct kc_bundle_remote *r)
{
	return r->dir;
}

/* The URL without the pin and slashes at its end. Owned. */
static char *base_of(const char *url)
{
	size_t n = strcspn(url, "#");

	while (n && url[n - 1] == '/')
		n--;
	return xstrndup(url, n);
}

static int check_url(const char *url, struct kc_err *err)
{
	const char *rest = strchr(url, '#');

	if (strpbrk(url, "?@ ") ||
	    (rest && (!kc_startswith(rest, PIN) || !kc_is_sha256(rest + strlen(PIN)))))
		return kc_fail(err, KC_EINVAL,
			       "\"%s\" is not the URL of a bundle: https://HOST/PATH, and "
			       "perhaps " PIN "HASH of its bundle.json",
			       url);
	return 0;
}

int kc_bundle_remote_open(const char *url, const char *authfile, struct kc_bundle_remote **ret,
			  char **ret_text, size_t *ret_len, struct kc_err *err)
{
	_cleanup_(kc_bundle_remote_closep) struct kc_bundle_remote *b = xcalloc(1, sizeof(*b));
	_cleanup_free_ char *cache = kc_cache_dir(), *json = NULL;
	_cleanup_fetch_reply_ struct kc_fetch_reply reply = { 0 };
	const char *pin = strstr(url, PIN);
	int r;

	pthread_mutex_init(&b->lock, NULL);
	b->base = base_of(url);
	b->dir = xasprintf("%s/fetched/blobs/sha256", cache);
	r = check_url(url, err);
	if (r == 0 && !pin && kc_startswith(url, "http://"))
		r = kc_fail(err, KC_EAUTH,
			    "%s: over http anybody on the way can change it: use https, or add " PIN
			    "HASH of its bundle.json, as `kubecdn bundle push` prints it",
			    b->base);
	if (r == 0)
		r = kc_fetch_new(&(struct kc_fetch_conf){ .authfile = authfile }, &b->f, err);
	if (r == 0)
		r = kc_mkdir_p(b->dir, 0755, err);
	json = xasprintf("%s/bundle.json", b->base);
	if (r == 0)
		r = kc_fetch_do(b->f,
				&(struct kc_fetch_req){ .url = json,
							.max = KC_BUNDLE_JSON_MAX,
							.sha256 = pin ? pin + strlen(PIN) : NULL },
				&reply, err);
	if (r < 0)
		return r;
	*ret = TAKE(b);
	*ret_text = TAKE(reply.text);
	*ret_len = reply.len;
	return 0;
}

static int get_blob(struct kc_bundle_remote *b, const char *sha256, uint64_t size,
		    struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", b->dir, sha256);
	_cleanup_free_ char *tmp = xasprintf("%s/.%s.%d", b->dir, sha256, (int)getpid());
	_cleanup_free_ char *url = xasprintf("%s/blobs/sha256/%s", b->base, sha256);
	struct stat st;
	int r;

	if (stat(path, &st) == 0 && (uint64_t)st.st_size == size)
		return 0;
	r = kc_fetch_do(b->f,
			&(struct kc_fetch_req){
				.url = url, .path = tmp, .sha256 = sha256, .max = size ? size : 1 },
			NULL, err);
	if (r == 0 && rename(tmp, path) < 0)
		r = kc_fail_errno(err, errno, "%s", path);
	return r;
}

int kc_bundle_remote_get(struct kc_bundle_remote *b, const char *sha256, uint64_t size,
			 struct kc_err *err)
{
	int r;

	pthread_mutex_lock(&b->lock);
	r = get_blob(b, sha256, size, err);
	pthread_mutex_unlock(&b->lock);
	return r;
}

struct push {
	const struct kc_bundle_push *o;
	const struct kc_bundle *b;
	struct kc_fetch *f;
	char *base;
	json_t *done;
};

static int head(struct push *p, const char *url, int64_t *ret_size, struct kc_err *err)
{
	_cleanup_fetch_reply_ struct kc_fetch_reply reply = { 0 };
	int r = kc_fetch_do(p->f,
			    &(struct kc_fetch_req){ .method = "HEAD", .url = url, .also = 404 },
			    &reply, err);

	if (r == 0)
		*ret_size = reply.status == 404 ? -1 : reply.length;
	return r;
}

static int put(struct push *p, const char *url, int fd, off_t offset, uint64_t size, bool fresh,
	       long *ret_status, struct kc_err *err)
{
	_cleanup_fetch_reply_ struct kc_fetch_reply reply = { 0 };
	int r = kc_fetch_do(p->f,
			    &(struct kc_fetch_req){
				    .method = "PUT",
				    .url = url,
				    .headers = { "Content-Type: application/octet-stream",
						 fresh ? "If-None-Match: *" : NULL },
				    .body_fd = fd,
				    .body_offset = offset,
				    .body_len = size,
				    .also = 412 },
			    &reply, err);

	if (r == 0)
		*ret_status = reply.status;
	return r;
}

static int push_blob(void *cookie, const char *who, const json_t *blob, struct kc_err *err)
{
	const char *hash = kc_json_get_str(blob, "blob", "");
	int64_t size = kc_json_get_int(blob, "blobSize", 0), there = -1;
	struct push *p = cookie;
	_cleanup_free_ char *url = xasprintf("%s/blobs/sha256/%s", p->base, hash);
	_cleanup_close_ int fd = -1;
	uint64_t bytes;
	long status;
	int r;

	if (json_object_get(p->done, hash))
		return 0;
	json_object_set_new(p->done, hash, json_true());
	r = head(p, url, &there, err);
	if (r == 0 && there == size)
		return 0;
	if (r == 0)
		r = kc_bundle_check(p->b, hash, NULL, err);
	if (r == 0)
		r = kc_bundle_blob(p->b, hash, &fd, &bytes, err);
	if (r < 0)
		return r;
	if (p->o->progress)
		p->o->progress(p->o->cookie, who);
	r = put(p, url, fd, lseek(fd, 0, SEEK_CUR), bytes, there < 0, &status, err);
	if (r == 0)
		r = head(p, url, &there, err); /* somebody else's, if it was 412 */
	if (r == 0 && there != size)
		r = kc_fail(err, KC_EFAIL, "%s has %lld bytes after it was put there, not %lld",
			    url, (long long)there, (long long)size);
	return r;
}

/* What is there: 1, this very bundle.json; 0, none, or one that may be replaced. */
static int look(struct push *p, const char *url, bool *ret_any, struct kc_err *err)
{
	_cleanup_fetch_reply_ struct kc_fetch_reply reply = { 0 };
	int r = kc_fetch_do(p->f,
			    &(struct kc_fetch_req){
				    .url = url, .max = KC_BUNDLE_JSON_MAX, .also = 404 },
			    &reply, err);

	if (r < 0)
		return r;
	*ret_any = reply.status != 404;
	if (*ret_any && streq(reply.sha256, p->b->sha256))
		return 1;
	if (*ret_any && !p->o->replace)
		return kc_fail(err, KC_ECONFLICT,
			       "%s is another bundle: choose another directory, or replace it with "
			       "--replace",
			       url);
	return 0;
}

static int push_json(struct push *p, const char *url, bool any, struct kc_err *err)
{
	FILE *f = tmpfile();
	long status = 0;
	int r = 0;

	if (!f || fwrite(p->b->text, 1, p->b->len, f) != p->b->len || fflush(f) != 0)
		r = kc_fail_errno(err, errno, "a temporary file");
	if (r == 0)
		r = put(p, url, fileno(f), 0, p->b->len, !any, &status, err);
	if (f)
		fclose(f);
	if (r == 0 && status == 412)
		r = kc_fail(err, KC_ECONFLICT, "%s was put there by somebody else meanwhile", url);
	return r;
}

static int push(struct push *p, struct kc_err *err)
{
	_cleanup_free_ char *url = xasprintf("%s/bundle.json", p->base);
	bool any = false;
	int r = look(p, url, &any, err), same = r;

	if (r >= 0)
		r = kc_bundle_each(p->b, push_blob, p, err);
	return r == 0 && same == 0 ? push_json(p, url, any, err) : r;
}

int kc_bundle_push(const struct kc_bundle_push *o, char **ret_url, struct kc_err *err)
{
	_cleanup_bundle_ struct kc_bundle *b = NULL;
	_cleanup_fetch_ struct kc_fetch *f = NULL;
	_cleanup_free_ char *base = base_of(o->url);
	json_auto_t *done = json_object();
	struct push p = { .o = o, .base = base, .done = done };
	int r = check_url(o->url, err);

	if (r == 0 && (strchr(o->url, '#') ||
		       (!kc_startswith(o->url, "https://") && !kc_startswith(o->url, "http://"))))
		r = kc_fail(err, KC_EINVAL, "\"%s\" is not https://HOST/PATH", o->url);
	if (r == 0)
		r = kc_bundle_open(o->where, o->authfile, &b, err);
	if (r == 0)
		r = kc_fetch_new(&(struct kc_fetch_conf){ .authfile = o->authfile,
							  .cancel = o->cancel },
				 &f, err);
	p.b = b;
	p.f = f;
	if (r == 0)
		r = push(&p, err);
	if (r < 0)
		return kc_wrap(err, "pushing the bundle");
	*ret_url = xasprintf("%s" PIN "%s", base, b->sha256);
	return 0;
}
