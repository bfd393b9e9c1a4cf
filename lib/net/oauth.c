#include "lib/net/oauth.h"

#include <ctype.h>
#include <pthread.h>
#include <stdarg.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/api.h"

enum {
	MARGIN_S = 60,		 /* a token that ends while a request is under way is of no use */
	MAX_SECONDS = 7 * 86400, /* whatever a server says */
	MAX_REPLY = 1 << 20,
	ATTEMPTS = 4,
	TIMEOUT_MS = 10000,
};

struct kc_tokens {
	pthread_mutex_t lock;
	kc_token_fetch fetch;
	void *cookie;
	char *header;	     /* or NULL */
	int64_t fresh_until; /* kc_boottime_ms() */
};

struct kc_tokens *kc_tokens_new(kc_token_fetch fetch, void *cookie)
{
	struct kc_tokens *t = xcalloc(1, sizeof(*t));

	t->fetch = fetch;
	t->cookie = cookie;
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

void kc_tokens_free(struct kc_tokens *t)
{
	if (!t)
		return;
	kc_free_wiped(t->header);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static int refresh(struct kc_tokens *t, struct kc_err *err)
{
	_cleanup_wiped_ char *token = NULL;
	int64_t seconds = 0, start = kc_boottime_ms();
	int r = t->fetch(t->cookie, &token, &seconds, err);

	if (r < 0)
		return r;
	if (seconds > MAX_SECONDS)
		seconds = MAX_SECONDS;
	kc_free_wiped(t->header);
	t->header = xasprintf("Authorization: Bearer %s", token);
	t->fresh_until = start + (seconds - MARGIN_S) * 1000;
	return 0;
}

int kc_tokens_header(struct kc_tokens *t, char **ret_header, struct kc_err *err)
{
	int r = 0;

	pthread_mutex_lock(&t->lock);
	if (!t->header || kc_boottime_ms() >= t->fresh_until)
		r = refresh(t, err);
	if (r == 0)
		*ret_header = xstrdup(t->header);
	pthread_mutex_unlock(&t->lock);
	return r;
}

void kc_tokens_reject(struct kc_tokens *t, const char *header)
{
	pthread_mutex_lock(&t->lock);
	/* Another thread may have got a new one meanwhile. */
	if (t->header && streq(t->header, header)) {
		kc_free_wiped(t->header);
		t->header = NULL;
	}
	pthread_mutex_unlock(&t->lock);
}

char *kc_form(const char *name, ...)
{
	char *form = xstrdup("");
	va_list ap;

	va_start(ap, name);
	while (name) {
		const char *value = va_arg(ap, const char *);
		_cleanup_wiped_ char *escaped = value ? kc_http_escape(value) : NULL,
				     *before = NULL;

		if (value) {
			before = form;
			form = xasprintf("%s%s%s=%s", before, *before ? "&" : "", name, escaped);
		}
		name = va_arg(ap, const char *);
	}
	va_end(ap);
	return form;
}

static int build(void *cookie, struct kc_api_req *ret, struct kc_err *err)
{
	const struct kc_oauth_req *q = cookie;
	const char *body = q->form ? q->form : q->json;

	ret->method = xstrdup(body ? "POST" : "GET");
	ret->url = xstrdup(q->url);
	kc_api_header(ret, "Accept: application/json");
	for (const char *const *h = q->headers; h && *h; h++)
		kc_api_header(ret, "%s", *h);
	if (!body)
		return 0;
	kc_api_header(ret, "Content-Type: application/%s",
		      q->form ? "x-www-form-urlencoded" : "json");
	ret->body = xstrdup(body);
	ret->body_len = strlen(body);
	return 0;
}

static enum kc_api_verdict judge(void *cookie, const struct kc_http_reply *reply,
				 struct kc_err *err)
{
	_cleanup_free_ char *begin = NULL;

	if (reply->status != 429 && reply->status < 500)
		return KC_API_DONE;
	begin = kc_api_excerpt(reply);
	kc_fail(err, KC_EAGAIN, "%s", begin);
	return reply->status == 429 ? KC_API_THROTTLED : KC_API_RETRY;
}

static const char *name_of(const struct kc_oauth_req *q)
{
	return q->what ? q->what : q->url;
}

int kc_oauth_ask(struct kc_http *http, const struct kc_oauth_req *req, struct kc_http_reply *ret,
		 struct kc_err *err)
{
	struct kc_api_call call = { .what = name_of(req),
				    .idempotent = true,
				    .attempts = req->attempts ? req->attempts : ATTEMPTS,
				    .timeout_ms = TIMEOUT_MS,
				    .max = MAX_REPLY,
				    .build = build,
				    .judge = judge,
				    .cookie = (void *)req };

	return kc_api_do(http, &call, ret, err);
}

void kc_oauth_reply_done(struct kc_http_reply *reply)
{
	if (reply->body)
		kc_wipe(reply->body, reply->len);
	kc_http_reply_done(reply);
}

int kc_oauth_json(const char *what, const struct kc_http_reply *reply, json_t **ret,
		  struct kc_err *err)
{
	_cleanup_free_ char *begin = NULL;
	json_auto_t *v = NULL;

	if (kc_json_parse(reply->body, reply->len, what, &v, NULL) == 0 && json_is_object(v)) {
		*ret = TAKE(v);
		return 0;
	}
	if (reply->status >= 200 && reply->status < 300)
		return kc_fail(err, KC_EFAIL, "%s: HTTP %ld, and not a JSON object", what,
			       reply->status);
	begin = kc_api_excerpt(reply);
	return kc_fail(err, KC_EFAIL, "%s: not a JSON object: %s", what, begin);
}

int kc_oauth_take(const char *what, json_t *reply, const char *key, char **ret, struct kc_err *err)
{
	const char *value;
	int r = kc_json_str(reply, what, key, &value, err);

	if (r < 0)
		return r;
	/* It becomes part of a header. */
	for (const char *p = value; *p; p++)
		if (!isgraph((unsigned char)*p))
			return kc_fail(err, KC_EFAIL, "%s: %s has a character that no token has",
				       what, key);
	if (!*value)
		return kc_fail(err, KC_EFAIL, "%s: %s is empty", what, key);
	*ret = xstrdup(value);
	kc_json_wipe(reply, key);
	return 0;
}

int kc_oauth_token(const char *what, json_t *reply, char **ret_token, int64_t *ret_seconds,
		   struct kc_err *err)
{
	const json_t *expires = json_object_get(reply, "expires_in");
	long seconds = json_is_integer(expires) ? (long)json_integer_value(expires) : -1;

	if (json_is_string(expires))
		kc_parse_long(json_string_value(expires), 0, INT32_MAX, &seconds);
	if (seconds < 0)
		return kc_fail(err, KC_EFAIL, "%s: the reply has no number \"expires_in\"", what);
	*ret_seconds = seconds;
	return kc_oauth_take(what, reply, "access_token", ret_token, err);
}

static bool is_here(const char *url)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "[::1]" };

	if (!kc_startswith(url, "http://"))
		return false;
	url += strlen("http://");
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		const char *rest = url + strlen(hosts[i]);

		if (!kc_startswith(url, hosts[i]))
			continue;
		if (*rest == ':')
			rest += 1 + strspn(rest + 1, "0123456789");
		if (!*rest || *rest == '/' || *rest == '?')
			return true;
	}
	return false;
}

int kc_url_check(const char *what, const char *url, struct kc_err *err)
{
	/* curl and we must see the same host: nothing that needs to be decoded, no user. */
	size_t host = strcspn(url, ":") + 3;
	bool odd = strlen(url) < host || strcspn(url + host, "@\\") < strcspn(url + host, "/?#");

	for (const char *p = url; *p && !odd; p++)
		odd = !isgraph((unsigned char)*p);
	if (odd || !(kc_startswith(url, "https://") || is_here(url)))
		return kc_fail(err, KC_EINVAL,
			       "%s: \"%.200s\" must begin with https:// (http:// only to "
			       "127.0.0.1)",
			       what, url);
	return 0;
}
