#include "clouds/azure/azure.h"

#include <stdio.h>
#include <strings.h>

#include "clouds/azure/creds.h"
#include "clouds/azure/reply.h"
#include "lib/base/bucket.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/api.h"
#include "lib/net/http.h"
#include "lib/net/oauth.h"

enum { OPERATION_MS = 600000, FIRST_POLL_MS = 1000, LONGEST_POLL_MS = 30000 };

#define PUBLIC "https://management.azure.com"

struct kc_azure {
	struct kc_http *http;
	struct kc_azure_creds *creds;
	char *endpoint; /* no slash at the end */
	/* Resource Manager refills 25 reads a second (250 at once) for a subscription and
	 * principal; writes are bounded more tightly by the network provider: 1000 in five minutes
	 * (200 at once, Resource Manager). learn.microsoft.com: "request limits and throttling". */
	struct kc_bucket reads, writes;
	bool (*canceled)(void *cookie);
	void *cookie;
};

static const char *setting(const char *given, const char *name, const char *fallback)
{
	const char *v = given ? given : getenv(name);

	return v && *v ? v : fallback;
}

int kc_azure_open(const struct kc_azure_conf *conf, struct kc_azure **ret, struct kc_err *err)
{
	_cleanup_azure_ struct kc_azure *a = xcalloc(1, sizeof(*a));
	struct kc_http_conf http = { .ca_pem = conf->ca_pem };
	const char *endpoint = setting(conf->endpoint, "AZURE_RESOURCE_MANAGER_ENDPOINT", PUBLIC);
	int r;

	kc_bucket_init(&a->reads, 25, 250);
	kc_bucket_init(&a->writes, 1000.0 / 300, 200);
	a->canceled = conf->canceled;
	a->cookie = conf->cookie;
	a->endpoint = xstrdup(endpoint);
	for (size_t n = strlen(a->endpoint); n && a->endpoint[n - 1] == '/'; n--)
		a->endpoint[n - 1] = '\0';
	r = kc_url_check("AZURE_RESOURCE_MANAGER_ENDPOINT", endpoint, err);
	if (r == 0)
		r = kc_azure_creds_new(setting(conf->audience, "AZURE_RESOURCE_MANAGER_AUDIENCE",
					       PUBLIC),
				       conf->ca_pem, &a->creds, err);
	if (r == 0)
		r = kc_http_new(&http, &a->http, err);
	if (r < 0)
		return r;
	*ret = TAKE(a);
	return 0;
}

void kc_azure_close(struct kc_azure *a)
{
	if (!a)
		return;
	kc_bucket_done(&a->reads);
	kc_bucket_done(&a->writes);
	kc_azure_creds_free(a->creds);
	kc_http_free(a->http);
	free(a->endpoint);
	free(a);
}

/* A request under way. */
struct calling {
	struct kc_azure *a;
	const char *method, *url, *if_match, *if_none_match;
	char *body;   /* or NULL */
	char *header; /* of the last attempt */
};

static int build(void *cookie, struct kc_api_req *ret, struct kc_err *err)
{
	struct calling *c = cookie;
	int r;

	kc_free_wiped(c->header);
	c->header = NULL;
	r = kc_azure_creds_header(c->a->creds, &c->header, err);
	if (r < 0)
		return r;
	ret->method = xstrdup(c->method);
	ret->url = xstrdup(c->url);
	kc_api_header(ret, "%s", c->header);
	kc_api_header(ret, "Accept: application/json");
	if (c->if_match)
		kc_api_header(ret, "If-Match: %s", c->if_match);
	if (c->if_none_match)
		kc_api_header(ret, "If-None-Match: %s", c->if_none_match);
	if (c->body) {
		kc_api_header(ret, "Content-Type: application/json");
		ret->body = xstrdup(c->body);
		ret->body_len = strlen(c->body);
	}
	return 0;
}

static enum kc_api_verdict judge(void *cookie, const struct kc_http_reply *reply,
				 struct kc_err *err)
{
	struct calling *c = cookie;
	enum kc_api_verdict v = azure_judge(reply, kc_azure_creds_who(c->a->creds), err);

	if (v == KC_API_REBUILD)
		kc_azure_creds_reject(c->a->creds, c->header);
	return v;
}

static int exchange(struct calling *c, const char *what, struct kc_http_reply *ret,
		    struct kc_err *err)
{
	bool get = streq(c->method, "GET"), conditional = c->if_match || c->if_none_match,
	     whole = streq(c->method, "PUT") || streq(c->method, "DELETE");
	struct kc_api_call call = { .what = what,
				    .idempotent = get || (whole && !conditional),
				    .bucket = get ? &c->a->reads : &c->a->writes,
				    .canceled = c->a->canceled,
				    .cancel_cookie = c->a->cookie,
				    .build = build,
				    .judge = judge,
				    .cookie = c };
	int r = kc_api_do(c->a->http, &call, ret, err);

	kc_free_wiped(c->header);
	c->header = NULL;
	return r;
}

static int parse(const char *what, const struct kc_http_reply *reply, json_t **ret,
		 struct kc_err *err)
{
	if (reply->len == 0) {
		*ret = json_object();
		return 0;
	}
	return kc_oauth_json(what, reply, ret, err);
}

/* A URL out of a reply gets our token only if it leads to the server we asked. Owned. */
static int follow(const struct kc_azure *a, const char *what, const char *link, char **ret,
		  struct kc_err *err)
{
	size_t n = strlen(a->endpoint);
	const char *rest = link + n;

	if (strncasecmp(link, a->endpoint, n) != 0)
		rest = "";
	else if (kc_startswith(a->endpoint, "https:") && kc_startswith(rest, ":443/"))
		rest += strlen(":443"); /* some providers say it */
	if (*rest != '/' || strpbrk(rest, " \r\n\t"))
		return kc_fail(err, KC_EFAIL, "%s: the reply leads to another server: %.200s", what,
			       link);
	*ret = xasprintf("%s%s", a->endpoint, rest);
	return 0;
}

static char *url_of(const struct kc_azure *a, const struct kc_azure_req *req)
{
	char *url = xasprintf("%s%s?api-version=%s", a->endpoint, req->path, req->api_version);
	const char *key;
	const json_t *v;

	json_object_foreach((json_t *)req->query, key, v) {
		_cleanup_free_ char *before = url, *value = kc_http_escape(json_string_value(v));

		url = xasprintf("%s&%s=%s", before, key, value);
	}
	return url;
}

/* Sleep as the reply asks, else longer each time. */
static int pause_for(const struct kc_azure *a, const char *what, const struct kc_http_reply *reply,
		     int64_t end, int64_t *nap, struct kc_err *err)
{
	const char *asked = kc_http_header(reply, "retry-after");
	int64_t until = kc_now_ms() + *nap;
	long seconds;

	if (asked && kc_parse_long(asked, 0, 3600, &seconds))
		until = kc_now_ms() + (seconds ? seconds * 1000 : 100);
	*nap = *nap * 2 < LONGEST_POLL_MS ? *nap * 2 : LONGEST_POLL_MS;
	while (kc_now_ms() < until) {
		if (a->canceled && a->canceled(a->cookie))
			return kc_fail(err, KC_ECANCELED, "%s: canceled", what);
		if (kc_now_ms() > end)
			return kc_fail(err, KC_ETIMEOUT,
				       "%s: the operation has not ended after %d s", what,
				       OPERATION_MS / 1000);
		kc_sleep_ms(100);
	}
	return 0;
}

/* 1: ended well; 0: goes on. Of the resource behind Azure-AsyncOperation. */
static int operation_state(const char *what, const json_t *operation, struct kc_err *err)
{
	const char *status;
	int r = kc_json_str(operation, what, "status", &status, err);

	if (r < 0)
		return r;
	if (strcasecmp(status, "Succeeded") == 0)
		return 1;
	if (strcasecmp(status, "Failed") == 0 || strcasecmp(status, "Canceled") == 0)
		return azure_operation_failed(operation, status, err) < 0 ? kc_wrap(err, "%s", what)
									  : 0;
	return 0;
}

/* Ask where first leads to until the operation has ended; *last is the reply that said so. */
static int poll_operation(struct kc_azure *a, const char *what, const struct kc_http_reply *first,
			  struct kc_http_reply *last, struct kc_err *err)
{
	const char *async = kc_http_header(first, "azure-asyncoperation"),
		   *location = kc_http_header(first, "location");
	int64_t end = kc_now_ms() + OPERATION_MS, nap = FIRST_POLL_MS;
	_cleanup_free_ char *url = NULL;
	int r = follow(a, what, async ? async : location, &url, err);

	if (r == 0)
		r = pause_for(a, what, first, end, &nap, err);
	while (r == 0) {
		struct calling c = { .a = a, .method = "GET", .url = url };
		_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
		json_auto_t *v = NULL;

		r = exchange(&c, what, &reply, err);
		if (r == 0 && async)
			r = parse(what, &reply, &v, err);
		if (r == 0)
			r = async ? operation_state(what, v, err) : reply.status != 202;
		if (r == 0)
			r = pause_for(a, what, &reply, end, &nap, err);
		else if (r > 0) {
			*last = reply;
			reply = (struct kc_http_reply){ 0 };
		}
	}
	return r < 0 ? r : 0;
}

/* Follow an operation, if the reply began one; afterwards reply has the result. */
static int finish(struct calling *c, const char *what, struct kc_http_reply *reply,
		  struct kc_err *err)
{
	_cleanup_http_reply_ struct kc_http_reply last = { 0 };
	bool async = kc_http_header(reply, "azure-asyncoperation");
	int r;

	if (streq(c->method, "GET") ||
	    !(async || (reply->status == 202 && kc_http_header(reply, "location"))))
		return 0;
	r = poll_operation(c->a, what, reply, &last, err);
	if (r < 0)
		return r;
	kc_http_reply_done(reply);
	if (async && (streq(c->method, "PUT") || streq(c->method, "PATCH")))
		return exchange(&(struct calling){ .a = c->a, .method = "GET", .url = c->url },
				what, reply, err);
	if (async)
		*reply = (struct kc_http_reply){ .status = 204, .body = xstrdup("") };
	else {
		*reply = last;
		last = (struct kc_http_reply){ 0 };
	}
	return 0;
}

int kc_azure_call(struct kc_azure *a, const struct kc_azure_req *req, json_t **ret, char **ret_etag,
		  struct kc_err *err)
{
	_cleanup_free_ char *url = url_of(a, req),
			    *what = xasprintf("azure: %s %s", req->method, req->path),
			    *text = req->body ? kc_json_text(req->body) : NULL;
	struct calling c = { .a = a,
			     .method = req->method,
			     .url = url,
			     .if_match = req->if_match,
			     .if_none_match = req->if_none_match,
			     .body = text };
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	json_auto_t *v = NULL;
	int r = exchange(&c, what, &reply, err);

	if (r == 0)
		r = finish(&c, what, &reply, err);
	if (r == 0)
		r = parse(what, &reply, &v, err);
	if (r < 0)
		return r;
	if (ret_etag) {
		const char *etag = kc_json_get_str(v, "etag", kc_http_header(&reply, "etag"));

		*ret_etag = etag ? xstrdup(etag) : NULL;
	}
	if (ret)
		*ret = TAKE(v);
	return 0;
}

/* One page; *next is the URL of the following one, or NULL. */
static int page(struct kc_azure *a, const char *what, char **next, json_t *all, struct kc_err *err)
{
	struct calling c = { .a = a, .method = "GET", .url = *next };
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	json_auto_t *v = NULL;
	const json_t *values, *link;
	int r = exchange(&c, what, &reply, err);

	if (r == 0)
		r = parse(what, &reply, &v, err);
	if (r == 0)
		r = kc_json_arr(v, what, "value", &values, err);
	if (r < 0)
		return r;
	json_array_extend(all, (json_t *)values);
	free(*next);
	*next = NULL;
	link = json_object_get(v, "nextLink");
	if (!link || json_is_null(link) || (json_is_string(link) && !json_string_length(link)))
		return 0;
	if (!json_is_string(link))
		return kc_fail(err, KC_EFAIL, "%s: nextLink is no text", what);
	return follow(a, what, json_string_value(link), next, err);
}

int kc_azure_list(struct kc_azure *a, const struct kc_azure_req *req, json_t **ret_values,
		  struct kc_err *err)
{
	_cleanup_api_pages_ struct kc_api_pages pages = { 0 };
	_cleanup_free_ char *next = url_of(a, req), *what = xasprintf("azure: GET %s", req->path);
	json_auto_t *all = json_array();
	int r = 0;

	while (r == 0 && next) {
		r = kc_api_pages_next(&pages, what, next, err);
		if (r == 0)
			r = page(a, what, &next, all, err);
	}
	if (r == 0)
		*ret_values = TAKE(all);
	return r;
}
