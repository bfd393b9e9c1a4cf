#include "lib/net/api.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/crypto/hash.h"

/* Waits in milliseconds: the first one's ceiling, and that of all. A throttled peer gets longer. */
enum { FIRST_RETRY = 200, FIRST_THROTTLED = 1000, LONGEST = 20000 };

void kc_api_req_done(struct kc_api_req *q)
{
	free(q->method);
	free(q->url);
	for (char **h = q->headers; *h; h++)
		kc_free_wiped(*h);
	if (q->body)
		kc_wipe(q->body, q->body_len);
	free(q->body);
	*q = (struct kc_api_req){ 0 };
}

void kc_api_header(struct kc_api_req *q, const char *fmt, ...)
{
	char *text = NULL;
	size_t n = 0;
	va_list ap;

	while (q->headers[n])
		n++;
	va_start(ap, fmt);
	if (n == KC_API_HEADERS || vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	q->headers[n] = text;
}

/* A call under way. */
struct doing {
	const struct kc_api_call *call;
	int64_t start, end;
	int attempt;
	bool rebuilt;	 /* the last verdict was "rebuild" */
	int64_t wait_ms; /* before the next attempt */
};

static bool canceled(void *cookie)
{
	const struct doing *d = cookie;

	return d->call->canceled && d->call->canceled(d->call->cancel_cookie);
}

static bool stopped(void *cookie)
{
	const struct doing *d = cookie;

	return canceled(cookie) || kc_now_ms() >= d->end;
}

static int stop_error(struct doing *d, const struct kc_err *last, struct kc_err *err)
{
	if (canceled(d))
		return kc_fail(err, KC_ECANCELED, "%s: canceled", d->call->what);
	return kc_fail(err, KC_ETIMEOUT, "%s: not done within %lld s%s%s", d->call->what,
		       (long long)((d->end - d->start + 999) / 1000), *last->msg ? ": " : "",
		       last->msg);
}

/* Full jitter: anything between nothing and the ceiling, so that many clients do not come back at
 * once. */
static int64_t jittered(int first, int attempt)
{
	int64_t ceiling = attempt < 8 ? (int64_t)first << (attempt - 1) : LONGEST;
	uint32_t random;

	if (ceiling > LONGEST)
		ceiling = LONGEST;
	kc_random(&random, sizeof(random));
	return random % (ceiling + 1);
}

static int64_t retry_after_ms(const struct kc_http_reply *reply)
{
	const char *text = kc_http_header(reply, "retry-after");
	long s;

	return text && kc_parse_long(text, 0, 86400, &s) ? s * 1000 : 0;
}

static int again(struct doing *d, int first, int64_t at_least, const struct kc_err *why,
		 struct kc_err *err)
{
	int attempts = d->call->attempts ? d->call->attempts : 8;

	d->rebuilt = false;
	d->wait_ms = jittered(first, d->attempt);
	if (d->wait_ms < at_least)
		d->wait_ms = at_least;
	kc_debug("http", "%s: attempt %d: %s; again in %lld ms", d->call->what, d->attempt,
		 why->msg, (long long)d->wait_ms);
	if (attempts == 1)
		return kc_fail(err, KC_EAGAIN, "%s: %s", d->call->what, why->msg);
	if (d->attempt >= attempts)
		return kc_fail(err, KC_EAGAIN, "%s: %s (after %d attempts)", d->call->what,
			       why->msg, d->attempt);
	if (kc_now_ms() + d->wait_ms >= d->end)
		return kc_fail(err, KC_EAGAIN, "%s: %s (after %lld s)", d->call->what, why->msg,
			       (long long)((kc_now_ms() - d->start) / 1000));
	return 1;
}

static int unsure(struct doing *d, const struct kc_err *why, int64_t at_least, struct kc_err *err)
{
	if (d->call->idempotent)
		return again(d, FIRST_RETRY, at_least, why, err);
	return kc_fail(err, KC_EAGAIN, "%s: it may have happened: %s", d->call->what, why->msg);
}

/* 0: done; 1: again after d->wait_ms. */
static int judged(struct doing *d, const struct kc_http_reply *reply, struct kc_err *why,
		  struct kc_err *err)
{
	int64_t at_least = retry_after_ms(reply);

	switch (d->call->judge(d->call->cookie, reply, why)) {
	case KC_API_DONE:
		return 0;
	case KC_API_THROTTLED:
		if (d->call->bucket)
			kc_bucket_empty(d->call->bucket);
		return again(d, FIRST_THROTTLED, at_least, why, err);
	case KC_API_RETRY:
		return again(d, FIRST_RETRY, at_least, why, err);
	case KC_API_UNSURE:
		return unsure(d, why, at_least, err);
	case KC_API_REBUILD:
		if (!d->rebuilt) {
			d->rebuilt = true;
			d->wait_ms = 0;
			return 1;
		}
		break;
	case KC_API_ERROR:
		break;
	}
	return kc_fail(err, why->code ? why->code : KC_EFAIL, "%s: %s", d->call->what, why->msg);
}

/* One exchange. 0: done, *ret is set; 1: again. why: what came of it. */
static int attempt(struct kc_http *h, struct doing *d, struct kc_http_reply *ret,
		   struct kc_err *why, struct kc_err *err)
{
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	_cleanup_api_req_ struct kc_api_req q = { 0 };
	const struct kc_api_call *c = d->call;
	int64_t left = d->end - kc_now_ms(), each = c->timeout_ms ? c->timeout_ms : 30000;
	bool sent = false;
	int r;

	d->attempt++;
	r = c->build(c->cookie, &q, err);
	if (r < 0)
		return kc_wrap(err, "%s", c->what);
	r = kc_http_do(h,
		       &(struct kc_http_req){ .method = q.method,
					      .url = q.url,
					      .headers = (const char *const *)q.headers,
					      .body = q.body,
					      .body_len = q.body_len,
					      .timeout_ms =
						      left < each ? (left > 1 ? left : 1) : each,
					      .max = c->max ? c->max : 16u << 20,
					      .canceled = c->canceled,
					      .cookie = c->cancel_cookie,
					      .once = !c->idempotent,
					      .ret_sent = &sent },
		       &reply, why);
	if (r == 0)
		r = judged(d, &reply, why, err);
	else if ((r == KC_EAGAIN || r == KC_ETIMEOUT) && sent)
		r = unsure(d, why, 0, err);
	else if (r == KC_EAGAIN || r == KC_ETIMEOUT)
		r = again(d, FIRST_RETRY, 0, why, err);
	else
		r = kc_fail(err, r, "%s: %s", c->what, why->msg);
	if (r == 0) {
		*ret = reply;
		reply = (struct kc_http_reply){ 0 };
	}
	return r;
}

int kc_api_do(struct kc_http *h, const struct kc_api_call *call, struct kc_http_reply *ret,
	      struct kc_err *err)
{
	struct doing d = { .call = call, .start = kc_now_ms() };
	struct kc_err why = { 0 };
	int r;

	d.end = d.start + (call->deadline_ms ? call->deadline_ms : 60000);
	do {
		for (; d.wait_ms > 0 && !stopped(&d); d.wait_ms -= 200)
			kc_sleep_ms(d.wait_ms < 200 ? d.wait_ms : 200);
		if (stopped(&d) || (call->bucket && !kc_bucket_take(call->bucket, stopped, &d)))
			return stop_error(&d, &why, err);
		r = attempt(h, &d, ret, &why, err);
	} while (r == 1);
	return r;
}

char *kc_api_excerpt(const struct kc_http_reply *reply)
{
	size_t len = reply->len < 200 ? reply->len : 200;
	char text[201];

	for (size_t i = 0; i < len; i++)
		text[i] = reply->body[i] >= ' ' && reply->body[i] <= '~' ? reply->body[i] : ' ';
	text[len] = '\0';
	return xasprintf("HTTP %ld: %s", reply->status, len ? text : "(no body)");
}

int kc_api_pages_next(struct kc_api_pages *p, const char *what, const char *cursor,
		      struct kc_err *err)
{
	size_t max = p->max ? p->max : 1000;

	if (!p->seen)
		p->seen = json_object();
	if (++p->n >= max)
		return kc_fail(err, KC_EFAIL, "%s: more than %zu pages", what, max);
	if (json_object_get(p->seen, cursor))
		return kc_fail(err, KC_EFAIL, "%s: page %zu sends back to \"%.100s\"", what, p->n,
			       cursor);
	if (json_object_set_new(p->seen, cursor, json_true()) < 0)
		return kc_fail(err, KC_EFAIL, "%s: page %zu has a cursor that is no text", what,
			       p->n);
	return 0;
}

void kc_api_pages_done(struct kc_api_pages *p)
{
	json_decref(p->seen);
	p->seen = NULL;
}
