#include "lib/net/fetch_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/api.h"

enum { HOPS = 5, ATTEMPTS = 5, FIRST_WAIT_MS = 250, LONGEST_WAIT_MS = 60000, IDLE_MS = 30000 };
#define TEXT_MAX (4u << 20)

bool kc_fetch_stopped(void *cookie)
{
	const struct kc_fetch *f = cookie;

	return f->cancel && atomic_load(f->cancel);
}

int kc_fetch_new(const struct kc_fetch_conf *conf, struct kc_fetch **ret, struct kc_err *err)
{
	_cleanup_fetch_ struct kc_fetch *f = xcalloc(1, sizeof(*f));
	int r;

	f->mirrors = conf->mirrors ? json_deep_copy(conf->mirrors) : json_object();
	f->auths = json_object();
	f->known = json_object();
	f->cancel = conf->cancel;
	r = kc_http_new(&(struct kc_http_conf){ 0 }, &f->http, err);
	if (r == 0 && conf->authfile)
		r = kc_fetch_auth_read(f, conf->authfile, err);
	if (r == 0)
		*ret = TAKE(f);
	return r;
}

void kc_fetch_free(struct kc_fetch *f)
{
	if (!f)
		return;
	kc_http_free(f->http);
	json_decref(f->mirrors);
	json_decref(f->auths);
	json_decref(f->known);
	free(f);
}

int kc_fetch_mirrors(const char *list, json_t **ret, struct kc_err *err)
{
	json_auto_t *items = kc_json_split(list, ','), *out = json_object();
	const json_t *item;
	size_t i;

	json_array_foreach(items, i, item) {
		const char *s = json_string_value(item), *eq = strchr(s, '=');
		_cleanup_free_ char *host = xstrndup(s, eq ? (size_t)(eq - s) : 0), *url = NULL;

		if (!eq || eq == s || strpbrk(host, "/@ ") ||
		    (!kc_startswith(eq + 1, "https://") && !kc_startswith(eq + 1, "http://")) ||
		    strpbrk(eq + 1, "?#@ "))
			return kc_fail(err, KC_EINVAL,
				       "\"%s\" is not HOST=URL, as in "
				       "files.example=https://mirror.example/files",
				       s);
		url = xstrdup(eq + 1);
		for (size_t n = strlen(url); n && url[n - 1] == '/'; n--)
			url[n - 1] = '\0';
		json_object_set_new(out, host, json_string(url));
	}
	*ret = TAKE(out);
	return 0;
}

char *kc_fetch_base(const struct kc_fetch *f, const char *host)
{
	const char *mirror = kc_json_get_str(f->mirrors, host, NULL);

	return mirror ? xstrdup(mirror) : xasprintf("https://%s", host);
}

/* The URL, or where its host's mirror has it. Owned. */
static char *mirrored(const struct kc_fetch *f, const char *url)
{
	_cleanup_free_ char *host = NULL, *base = NULL;
	const char *start = kc_startswith(url, "https://") ? url + 8 : NULL;

	if (!start)
		return xstrdup(url);
	host = xstrndup(start, strcspn(start, "/?#"));
	base = kc_fetch_base(f, host);
	return xasprintf("%s%s", base, start + strlen(host));
}

/* One kc_fetch_do(): what has come so far. */
struct getting {
	struct kc_fetch *f;
	const struct kc_fetch_req *q;
	int fd;
	struct kc_buf text;
	struct kc_sha256_stream *sha;
	uint64_t size, max;
	int attempt, hops;
	bool answered; /* this hop's 401 */
	bool resumed;
	int64_t wait_ms;
	char *url;
};

static void getting_done(struct getting *g)
{
	kc_closep(&g->fd);
	kc_buf_done(&g->text);
	kc_sha256_finish(g->sha, NULL);
	free(g->url);
}

static int start_over(struct getting *g, struct kc_err *err)
{
	kc_sha256_finish(g->sha, NULL);
	g->sha = kc_sha256_new();
	g->size = 0;
	kc_buf_clear(&g->text);
	if (g->fd >= 0 && (ftruncate(g->fd, 0) < 0 || lseek(g->fd, 0, SEEK_SET) < 0))
		return kc_fail_errno(err, errno, "%s", g->q->path);
	return 0;
}

static int on_piece(void *cookie, long status, const void *data, size_t len, struct kc_err *err)
{
	struct getting *g = cookie;
	int r = 0;

	if (status == 200 && g->resumed) {
		g->resumed = false;
		r = start_over(g, err);
	}
	if (status == 206 && !g->resumed)
		return kc_fail(err, KC_EINVAL, "a part that was not asked for");
	if (r == 0 && len > g->max - g->size)
		r = kc_fail(err, KC_EINVAL, "more than the %llu bytes expected",
			    (unsigned long long)g->max);
	if (r < 0)
		return r;
	kc_sha256_update(g->sha, data, len);
	g->size += len;
	return g->fd >= 0 ? kc_write_all(g->fd, data, len, err)
			  : kc_buf_add(&g->text, data, len, err);
}

static int send_one(struct getting *g, struct kc_http_reply *reply, struct kc_err *err)
{
	const struct kc_fetch_req *q = g->q;
	const char *auth = kc_fetch_auth_known(g->f, g->url, q->space), *headers[8] = { NULL };
	_cleanup_wiped_ char *authorization = auth ? xasprintf("Authorization: %s", auth) : NULL;
	_cleanup_free_ char *range = NULL;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(q->headers) && q->headers[i]; i++)
		headers[n++] = q->headers[i];
	if (authorization)
		headers[n++] = authorization;
	/* Only what is compared with a hash is put together from two answers. */
	g->resumed = g->size && q->sha256;
	if (g->resumed) {
		range = xasprintf("Range: bytes=%llu-", (unsigned long long)g->size);
		headers[n++] = range;
	} else {
		r = start_over(g, err);
	}
	if (r < 0)
		return r;
	return kc_http_do(g->f->http,
			  &(struct kc_http_req){ .method = q->method,
						 .url = g->url,
						 .headers = headers,
						 .body_fd = q->body_fd,
						 .body_offset = q->body_offset,
						 .body_len = q->body_len,
						 .idle_ms = IDLE_MS,
						 .sink = on_piece,
						 .sink_cookie = g,
						 .canceled = kc_fetch_stopped,
						 .cookie = g->f },
			  reply, err);
}

/* Location may be a whole URL or a path of the same origin. 1: go there. */
static int redirect(struct getting *g, const struct kc_http_reply *reply, struct kc_err *err)
{
	const char *to = kc_http_header(reply, "location");
	_cleanup_free_ char *origin = kc_fetch_origin(g->url);

	if (++g->hops > HOPS)
		return kc_fail(err, KC_EINVAL, "%s: more than %d redirects", g->q->url, HOPS);
	if (!to || !*to)
		return kc_fail(err, KC_EINVAL, "%s: a redirect to nowhere", origin);
	if (to[0] == '/' && to[1] != '/') {
		char *url = xasprintf("%s%s", origin, to);

		free(g->url);
		g->url = url;
	} else if (kc_startswith(to, "https://") ||
		   (kc_startswith(to, "http://") && !kc_startswith(g->url, "https://"))) {
		free(g->url);
		g->url = xstrdup(to);
	} else {
		return kc_fail(err, KC_EINVAL, "%s: a redirect that is not followed, to %.100s",
			       origin, to);
	}
	g->answered = false;
	return 1;
}

/* Whether there is another attempt after what err says. 1: yes. */
static int again(struct getting *g, long at_least_s, struct kc_err *err)
{
	uint32_t random;

	if (++g->attempt >= ATTEMPTS)
		return kc_wrap(err, "after %d attempts", ATTEMPTS);
	kc_random(&random, sizeof(random));
	g->wait_ms = FIRST_WAIT_MS << g->attempt;
	g->wait_ms = g->wait_ms / 2 + random % (g->wait_ms / 2);
	if (g->wait_ms < at_least_s * 1000)
		g->wait_ms = at_least_s * 1000;
	if (g->wait_ms > LONGEST_WAIT_MS)
		return kc_wrap(err, "it asks for %ld s of patience", at_least_s);
	kc_debug("http", "attempt %d: %s; again in %lld ms", g->attempt, err->msg,
		 (long long)g->wait_ms);
	/* Redirects are asked for anew: what they name ages. */
	free(g->url);
	g->url = mirrored(g->f, g->q->url);
	g->hops = 0;
	g->answered = false;
	return 1;
}

/* The URL asked last, without its query: that may be a key to it. Owned. */
static char *shown(const struct getting *g)
{
	return xstrndup(g->url, strcspn(g->url, "?#"));
}

/* What a reply means. 0: done; 1: ask again. */
static int judge(struct getting *g, const struct kc_http_reply *reply, struct kc_err *err)
{
	_cleanup_free_ char *said = NULL, *url = shown(g);
	const char *after = kc_http_header(reply, "retry-after");
	long s = 0;
	int r;

	if ((reply->status >= 200 && reply->status < 300) ||
	    (g->q->also && reply->status == g->q->also))
		return 0;
	if (reply->status == 301 || reply->status == 302 || reply->status == 303 ||
	    reply->status == 307 || reply->status == 308)
		return redirect(g, reply, err);
	if (reply->status == 401 && !g->answered) {
		g->answered = true;
		r = kc_fetch_auth_answer(g->f, g->url, g->q->space,
					 kc_http_header(reply, "www-authenticate"), err);
		return r == KC_EAGAIN || r == KC_ETIMEOUT ? again(g, 0, err) : r < 0 ? r : 1;
	}
	if (reply->status == 416 && g->resumed)
		return start_over(g, err) < 0 ? KC_EFAIL : 1;
	said = kc_api_excerpt(reply);
	if (reply->status == 404)
		return kc_fail(err, KC_ENOTFOUND, "%s: not there (HTTP 404)", url);
	if (reply->status == 401 || reply->status == 403)
		return kc_fail(err, KC_EAUTH, "%s: refused: %s", url, said);
	kc_fail(err, KC_EAGAIN, "%s: %s", url, said);
	if (reply->status != 429 && reply->status < 500)
		return kc_fail(err, KC_EFAIL, "%s: %s", url, said);
	if (after)
		kc_parse_long(after, 0, 86400, &s);
	return again(g, s, err);
}

/* The bytes are all here: are they the right ones? 1: ask again. */
static int check(struct getting *g, struct kc_fetch_reply *out, struct kc_err *err)
{
	kc_sha256_finish(TAKE(g->sha), out->sha256);
	out->len = g->size;
	if (!g->q->sha256 || streq(out->sha256, g->q->sha256))
		return 0;
	return kc_fail(err, KC_EINVAL, "%s: has SHA-256 %s instead of %s", g->q->url, out->sha256,
		       g->q->sha256);
}

static int exchange(struct getting *g, struct kc_fetch_reply *out, struct kc_err *err)
{
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	const char *type, *length;
	long bytes;
	int r = send_one(g, &reply, err);

	if (r == KC_EAGAIN || r == KC_ETIMEOUT)
		return again(g, 0, err);
	if (r == 0)
		r = judge(g, &reply, err);
	if (r != 0)
		return r;
	r = check(g, out, err);
	if (r != 0)
		return r;
	type = kc_http_header(&reply, "content-type");
	length = kc_http_header(&reply, "content-length");
	out->length = length && kc_parse_long(length, 0, LONG_MAX, &bytes) ? bytes : -1;
	out->status = reply.status;
	out->type = xstrndup(type ? type : "", type ? strcspn(type, "; \t") : 0);
	return 0;
}

int kc_fetch_do(struct kc_fetch *f, const struct kc_fetch_req *q, struct kc_fetch_reply *ret,
		struct kc_err *err)
{
	_cleanup_(getting_done) struct getting g = { .f = f, .q = q, .fd = -1 };
	_cleanup_fetch_reply_ struct kc_fetch_reply out = { 0 };
	struct kc_err why = { 0 };
	int r = 1;

	g.max = q->max ? q->max : TEXT_MAX;
	g.url = mirrored(f, q->url);
	if (q->path) {
		g.fd = open(q->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (g.fd < 0)
			return kc_fail_errno(err, errno, "%s", q->path);
	} else {
		g.text.max = g.max;
	}
	while (r == 1) {
		for (; g.wait_ms > 0 && !kc_fetch_stopped(f); g.wait_ms -= 100)
			kc_sleep_ms(g.wait_ms < 100 ? g.wait_ms : 100);
		if (kc_fetch_stopped(f))
			r = kc_fail(&why, KC_ECANCELED, "stopped");
		else
			r = exchange(&g, &out, &why);
	}
	if (r == 0 && g.fd >= 0 && fsync(g.fd) < 0)
		r = kc_fail_errno(&why, errno, "%s", q->path);
	if (r < 0) {
		if (q->path)
			unlink(q->path);
		return kc_fail(err, r, "%s", why.msg);
	}
	if (!q->path)
		out.text = g.text.data ? kc_buf_steal(&g.text) : xstrdup("");
	if (ret) {
		*ret = out;
		out = (struct kc_fetch_reply){ 0 };
	}
	return 0;
}

void kc_fetch_reply_done(struct kc_fetch_reply *r)
{
	free(r->text);
	free(r->type);
	*r = (struct kc_fetch_reply){ 0 };
}
