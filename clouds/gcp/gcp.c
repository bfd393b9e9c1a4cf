#include "clouds/gcp/gcp.h"

#include <stdio.h>

#include "clouds/gcp/creds.h"
#include "clouds/gcp/reply.h"
#include "lib/base/bucket.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/net/api.h"
#include "lib/net/http.h"
#include "lib/net/oauth.h"

enum { OPERATION_MS = 300000, FIRST_POLL_MS = 200, LONGEST_POLL_MS = 5000 };

static const struct api {
	const char *name, *env, *root, *path;
	const char *role;   /* that may do all we do; its refusals name no permission */
	double rate, burst; /* requests a second, at once */
	bool request_ids;
} apis[KC_GCP_APIS] = {
	/* Google tells this quota only in a project's own console: a cautious guess, and a refusal
	 * empties the bucket. */
	[KC_GCP_DNS] = { .name = "clouddns",
			 .env = "CLOUDSDK_API_ENDPOINT_OVERRIDES_DNS",
			 .root = "https://dns.googleapis.com",
			 .path = "/dns/v1",
			 .role = "roles/dns.admin",
			 .rate = 5,
			 .burst = 50 },
	/* 1500 a minute for global reads, and as many for global changes: "Compute Engine rate
	 * quotas", cloud.google.com/compute/docs/api-rate-limits. Half of one, for others' sake. */
	[KC_GCP_COMPUTE] = { .name = "compute",
			     .env = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
			     .root = "https://compute.googleapis.com",
			     .path = "/compute/v1",
			     .rate = 12.5,
			     .burst = 100,
			     .request_ids = true },
};

struct kc_gcp {
	struct kc_http *http;
	struct kc_gcp_creds *creds;
	char *base[KC_GCP_APIS]; /* no slash at the end */
	struct kc_bucket bucket[KC_GCP_APIS];
	bool (*canceled)(void *cookie);
	void *cookie;
};

/* Without a path of its own an endpoint gets the API's. */
static int base_of(const struct api *api, const char *given, char **ret, struct kc_err *err)
{
	const char *url = given ? given : getenv(api->env), *host;
	size_t n;
	int r;

	if (!url || !*url)
		url = api->root;
	r = kc_url_check(given ? "endpoint" : api->env, url, err);
	if (r < 0)
		return r;
	if (strpbrk(url, "?#"))
		return kc_fail(err, KC_EINVAL, "%s: \"%.200s\" must have no ? or #",
			       given ? "endpoint" : api->env, url);
	n = strlen(url);
	while (url[n - 1] == '/')
		n--;
	host = strstr(url, "://") + 3;
	*ret = xasprintf("%.*s%s", (int)n, url,
			 memchr(host, '/', n - (size_t)(host - url)) ? "" : api->path);
	return 0;
}

int kc_gcp_open(const struct kc_gcp_conf *conf, struct kc_gcp **ret, struct kc_err *err)
{
	_cleanup_gcp_ struct kc_gcp *g = xcalloc(1, sizeof(*g));
	struct kc_http_conf http = { .ca_pem = conf->ca_pem };
	int r;

	for (int i = 0; i < KC_GCP_APIS; i++)
		kc_bucket_init(&g->bucket[i], apis[i].rate, apis[i].burst);
	g->canceled = conf->canceled;
	g->cookie = conf->cookie;
	for (int i = 0; i < KC_GCP_APIS; i++) {
		r = base_of(&apis[i], conf->endpoint[i], &g->base[i], err);
		if (r < 0)
			return r;
	}
	r = kc_gcp_creds_new(conf->ca_pem, &g->creds, err);
	if (r == 0)
		r = kc_http_new(&http, &g->http, err);
	if (r < 0)
		return r;
	*ret = TAKE(g);
	return 0;
}

void kc_gcp_close(struct kc_gcp *g)
{
	if (!g)
		return;
	for (int i = 0; i < KC_GCP_APIS; i++) {
		kc_bucket_done(&g->bucket[i]);
		free(g->base[i]);
	}
	kc_gcp_creds_free(g->creds);
	kc_http_free(g->http);
	free(g);
}

const char *kc_gcp_project(const struct kc_gcp *g)
{
	const char *named = getenv("GOOGLE_CLOUD_PROJECT");

	return named && *named ? named : kc_gcp_creds_project(g->creds);
}

/* A call under way. */
struct calling {
	struct kc_gcp *g;
	const struct api *api;
	const char *method, *url;
	char *body;   /* or NULL */
	char *header; /* of the last attempt */
};

static int build(void *cookie, struct kc_api_req *ret, struct kc_err *err)
{
	struct calling *c = cookie;
	const char *quota = kc_gcp_creds_quota_project(c->g->creds);
	int r;

	kc_free_wiped(c->header);
	c->header = NULL;
	r = kc_gcp_creds_header(c->g->creds, &c->header, err);
	if (r < 0)
		return r;
	ret->method = xstrdup(c->method);
	ret->url = xstrdup(c->url);
	kc_api_header(ret, "%s", c->header);
	kc_api_header(ret, "Accept: application/json");
	if (quota)
		kc_api_header(ret, "X-Goog-User-Project: %s", quota);
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
	enum kc_api_verdict v = gcp_judge(reply, kc_gcp_creds_who(c->g->creds), c->api->role, err);

	if (v == KC_API_REBUILD)
		kc_gcp_creds_reject(c->g->creds, c->header);
	return v;
}

/* A version 4 UUID, as compute wants its requestIds. */
static char *request_id(void)
{
	unsigned char b[16];
	char hex[33];

	kc_random(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	kc_hex(b, sizeof(b), hex);
	return xasprintf("%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static char *url_of(const struct kc_gcp *g, enum kc_gcp_api api, const char *path,
		    const json_t *query, bool with_id)
{
	_cleanup_free_ char *id = with_id ? request_id() : NULL;
	char *url =
		xasprintf("%s/%s%s%s", g->base[api], path, id ? "?requestId=" : "", id ? id : "");
	const char *key;
	const json_t *v;

	json_object_foreach((json_t *)query, key, v) {
		_cleanup_free_ char *before = url, *value = kc_http_escape(json_string_value(v));

		url = xasprintf("%s%c%s=%s", before, strchr(before, '?') ? '&' : '?', key, value);
	}
	return url;
}

int kc_gcp_call(struct kc_gcp *g, enum kc_gcp_api api, const char *method, const char *path,
		const json_t *query, const json_t *body, json_t **ret, struct kc_err *err)
{
	bool get = streq(method, "GET");
	_cleanup_free_ char *url = url_of(g, api, path, query, apis[api].request_ids && !get),
			    *what = xasprintf("%s: %s %s", apis[api].name, method, path),
			    *text = body ? kc_json_text(body) : NULL;
	struct calling c = {
		.g = g, .api = &apis[api], .method = method, .url = url, .body = text
	};
	struct kc_api_call call = { .what = what,
				    .idempotent = apis[api].request_ids || !streq(method, "POST"),
				    .bucket = &g->bucket[api],
				    .canceled = g->canceled,
				    .cancel_cookie = g->cookie,
				    .build = build,
				    .judge = judge,
				    .cookie = &c };
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	json_auto_t *v = NULL;
	int r = kc_api_do(g->http, &call, &reply, err);

	kc_free_wiped(c.header);
	if (r < 0)
		return r;
	if (reply.len == 0)
		v = json_object();
	else
		r = kc_oauth_json(what, &reply, &v, err);
	if (r == 0 && ret)
		*ret = TAKE(v);
	return r;
}

int kc_gcp_list(struct kc_gcp *g, enum kc_gcp_api api, const char *path, const json_t *query,
		const char *key, json_t **ret_items, struct kc_err *err)
{
	_cleanup_api_pages_ struct kc_api_pages pages = { 0 };
	json_auto_t *q = query ? json_copy((json_t *)query) : json_object(), *all = json_array();

	for (;;) {
		json_auto_t *page = NULL;
		const json_t *items, *next;
		int r = kc_gcp_call(g, api, "GET", path, q, NULL, &page, err);

		if (r < 0)
			return r;
		items = json_object_get(page, key);
		if (items && !json_is_array(items))
			return kc_fail(err, KC_EFAIL, "%s: GET %s: \"%s\" is no list",
				       apis[api].name, path, key);
		/* Every reply says what it is; an empty one may say only that. */
		if (!items && !json_is_string(json_object_get(page, "kind")))
			return kc_fail(err, KC_EFAIL, "%s: GET %s: neither \"%s\" nor \"kind\"",
				       apis[api].name, path, key);
		json_array_extend(all, (json_t *)items);
		next = json_object_get(page, "nextPageToken");
		if (!next || (json_is_string(next) && !json_string_length(next)))
			break;
		r = kc_api_pages_next(&pages, path, json_string_value(next), err);
		if (r < 0)
			return r;
		json_object_set(q, "pageToken", (json_t *)next);
	}
	*ret_items = TAKE(all);
	return 0;
}

static bool stopped(const struct kc_gcp *g)
{
	return g->canceled && g->canceled(g->cookie);
}

int kc_gcp_wait(struct kc_gcp *g, const char *project, const json_t *operation, struct kc_err *err)
{
	json_auto_t *now = json_incref((json_t *)operation);
	_cleanup_free_ char *id = NULL, *path = NULL, *in = kc_http_escape(project);
	int64_t end = kc_now_ms() + OPERATION_MS, nap = FIRST_POLL_MS;
	const char *name, *status;
	int r = kc_json_str(now, "compute: an operation", "name", &name, err);

	if (r < 0)
		return r;
	id = kc_http_escape(name);
	path = xasprintf("projects/%s/global/operations/%s", in, id);
	for (;; nap = nap * 2 < LONGEST_POLL_MS ? nap * 2 : LONGEST_POLL_MS) {
		json_t *next;

		r = kc_json_str(now, "compute: an operation", "status", &status, err);
		if (r < 0)
			return r;
		if (streq(status, "DONE")) {
			r = gcp_operation_result(now, err);
			return r < 0 ? kc_wrap(err, "compute: operation %s", id) : 0;
		}
		if (stopped(g))
			return kc_fail(err, KC_ECANCELED, "compute: operation %s: canceled", id);
		if (kc_now_ms() > end)
			return kc_fail(err, KC_ETIMEOUT, "compute: operation %s: %s after %d s", id,
				       status, OPERATION_MS / 1000);
		kc_sleep_ms(nap);
		r = kc_gcp_call(g, KC_GCP_COMPUTE, "GET", path, NULL, NULL, &next, err);
		if (r < 0)
			return r;
		json_decref(now);
		now = next;
	}
}
