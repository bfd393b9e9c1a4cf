#include "lib/net/kube.h"

#include <stdio.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/kube_impl.h"

/* GET_MS: an API server whose etcd is away lets every request hang for a minute. */
enum { PAGE = 250, GET_MS = 10000 };

void kc_kube_conf_done(struct kc_kube_conf *c)
{
	if (!c)
		return;
	free(c->server);
	free(c->ca_pem);
	free(c->cert_pem);
	kc_free_wiped(c->key_pem);
	kc_free_wiped(c->token);
	*c = (struct kc_kube_conf){ 0 };
}

int kc_kube_new(const struct kc_kube_conf *conf, struct kc_kube **ret, struct kc_err *err)
{
	struct kc_http_conf http = { .ca_pem = conf->ca_pem,
				     .cert_pem = conf->cert_pem,
				     .key_pem = conf->key_pem,
				     /* a dialer has limits of its own */
				     .connect_timeout_ms = conf->dial ? 30000 : 5000,
				     .dial = conf->dial,
				     .dial_cookie = conf->dial_cookie };
	struct kc_http *h;
	struct kc_kube *k;
	size_t n;
	int r;

	if (!conf->server || !kc_startswith(conf->server, "https://"))
		return kc_fail(err, KC_EINVAL,
			       "the API server's address must be https://HOST:PORT");
	r = kc_http_new(&http, &h, err);
	if (r < 0)
		return r;
	k = xcalloc(1, sizeof(*k));
	k->http = h;
	n = strlen(conf->server);
	k->server = xstrndup(conf->server, conf->server[n - 1] == '/' ? n - 1 : n);
	if (conf->token)
		k->authorization = xasprintf("Authorization: Bearer %s", conf->token);
	k->groups = json_object();
	pthread_mutex_init(&k->lock, NULL);
	*ret = k;
	return 0;
}

void kc_kube_free(struct kc_kube *k)
{
	if (!k)
		return;
	kc_http_free(k->http);
	free(k->server);
	kc_free_wiped(k->authorization);
	json_decref(k->groups);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static int code_of(long status)
{
	switch (status) {
	case 404:
	case 410:
		return KC_ENOTFOUND;
	case 409:
	case 412:
		return KC_ECONFLICT;
	case 401:
	case 403:
		return KC_EAUTH;
	case 400:
	case 413:
	case 415:
	case 422:
		return KC_EINVAL;
	default:
		return status == 429 || status >= 500 ? KC_EAGAIN : KC_EFAIL;
	}
}

/* One line out of a Status object, or out of whatever came instead. */
int kube_bad_status(const char *method, const char *path, const struct kc_http_reply *reply,
		    struct kc_err *err)
{
	json_auto_t *status = json_loadb(reply->body, reply->len, 0, NULL);
	const char *msg = kc_json_get_str(status, "message", NULL);
	_cleanup_free_ char *text = xstrndup(msg ? msg : reply->body, 700);

	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	return kc_fail(err, code_of(reply->status), "%s %.*s: %ld %s", method,
		       (int)strcspn(path, "?"), path, reply->status, text);
}

/* Any request; reply is filled on a 2xx only. */
static int call(struct kc_kube *k, const char *method, const char *path, const char *type,
		const json_t *body, struct kc_http_reply *ret, struct kc_err *err)
{
	_cleanup_free_ char *url = xasprintf("%s%s", k->server, path), *text = NULL, *ctype = NULL;
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	const char *headers[4] = { "Accept: application/json" };
	struct kc_http_req req = { .method = method,
				   .url = url,
				   .headers = headers,
				   .timeout_ms = streq(method, "GET") ? GET_MS : 0 };
	int n = 1, r;

	if (body) {
		text = kc_json_text(body);
		ctype = xasprintf("Content-Type: %s", type);
		headers[n++] = ctype;
		req.body = text;
		req.body_len = strlen(text);
	}
	if (k->authorization)
		headers[n++] = k->authorization;
	r = kc_http_do(k->http, &req, &reply, err);
	if (text) /* it may be a Secret */
		kc_wipe(text, req.body_len);
	if (r == KC_ETIMEOUT && !streq(method, "POST")) /* asked again it does the same */
		r = kc_fail(err, KC_EAGAIN, "no answer within %ld s",
			    streq(method, "GET") ? GET_MS / 1000L : 30L);
	if (r < 0)
		return kc_wrap(err, "the Kubernetes API");
	if (reply.status < 200 || reply.status > 299)
		return kube_bad_status(method, path, &reply, err);
	*ret = reply;
	reply = (struct kc_http_reply){ 0 };
	return 0;
}

static int call_json(struct kc_kube *k, const char *method, const char *path, const char *type,
		     const json_t *body, json_t **ret, struct kc_err *err)
{
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	json_auto_t *value = NULL;
	int r;

	r = call(k, method, path, type, body, &reply, err);
	if (r < 0)
		return r;
	r = kc_json_parse(reply.body, reply.len, path, &value, err);
	if (r < 0 || !json_is_object(value))
		return kc_fail(err, KC_EFAIL, "%s %s: the reply is not a JSON object", method,
			       path);
	if (ret)
		*ret = TAKE(value);
	return 0;
}

int kc_kube_get(struct kc_kube *k, const char *path, json_t **ret, struct kc_err *err)
{
	return call_json(k, "GET", path, NULL, NULL, ret, err);
}

int kc_kube_list(struct kc_kube *k, const char *path, const char *query, json_t **ret_items,
		 struct kc_err *err)
{
	json_auto_t *all = json_array();
	_cleanup_free_ char *next = NULL;

	for (;;) {
		_cleanup_free_ char *url =
			xasprintf("%s?limit=%d%s%s%s%s", path, PAGE, query ? "&" : "",
				  query ? query : "", next ? "&continue=" : "", next ? next : "");
		json_auto_t *page = NULL;
		const json_t *items;
		const char *more;
		int r;

		r = kc_kube_get(k, url, &page, err);
		if (r < 0)
			return r;
		items = json_object_get(page, "items");
		if (!json_is_array(items))
			return kc_fail(err, KC_EFAIL, "GET %s: the reply has no items", path);
		json_array_extend(all, (json_t *)items);
		more = kc_json_get_str(json_object_get(page, "metadata"), "continue", "");
		free(next);
		next = *more ? kc_http_escape(more) : NULL;
		if (!next)
			break;
	}
	if (ret_items)
		*ret_items = TAKE(all);
	return 0;
}

int kc_kube_apply(struct kc_kube *k, const char *path, const json_t *object, json_t **ret,
		  struct kc_err *err)
{
	_cleanup_free_ char *url =
		xasprintf("%s?fieldManager=" KC_KUBE_MANAGER "&force=true", path);

	/* JSON is YAML; older servers know no apply-patch+json. */
	return call_json(k, "PATCH", url, "application/apply-patch+yaml", object, ret, err);
}

int kc_kube_merge(struct kc_kube *k, const char *path, const json_t *patch, json_t **ret,
		  struct kc_err *err)
{
	_cleanup_free_ char *url = xasprintf("%s?fieldManager=" KC_KUBE_MANAGER "-merge", path);

	return call_json(k, "PATCH", url, "application/merge-patch+json", patch, ret, err);
}

int kc_kube_create(struct kc_kube *k, const char *collection, const json_t *object, json_t **ret,
		   struct kc_err *err)
{
	_cleanup_free_ char *url = xasprintf("%s?fieldManager=" KC_KUBE_MANAGER, collection);

	return call_json(k, "POST", url, "application/json", object, ret, err);
}

int kc_kube_delete(struct kc_kube *k, const char *path, const char *policy, const char *uid,
		   int grace, struct kc_err *err)
{
	json_auto_t *options = kc_pack("{s:s, s:s}", "apiVersion", "v1", "kind", "DeleteOptions");

	if (policy)
		json_object_set_new(options, "propagationPolicy", json_string(policy));
	if (uid)
		json_object_set_new(options, "preconditions", kc_pack("{s:s}", "uid", uid));
	if (grace >= 0)
		json_object_set_new(options, "gracePeriodSeconds", json_integer(grace));
	return call_json(k, "DELETE", path, "application/json", options, NULL, err);
}

int kc_kube_raw(struct kc_kube *k, const char *path, char **ret_text, struct kc_err *err)
{
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	int r = call(k, "GET", path, NULL, NULL, &reply, err);

	if (r == 0 && ret_text)
		*ret_text = TAKE(reply.body);
	return r;
}
