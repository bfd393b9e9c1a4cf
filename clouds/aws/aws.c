#include "clouds/aws/aws.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "clouds/aws/config.h"
#include "clouds/aws/sign.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/api.h"

/* A clock that differs by less is not why a signature was refused (AWS allows 5 minutes). */
enum { SKEW_MS = 60 * 1000 };

/*
 * Calls a second and at once, by action; NULL: all others of the service. Route 53: Developer
 * Guide, "Quotas", "API request throttling" (as of 2026-07-30). STS is far above what we ask.
 */
static const struct rate {
	const char *service, *action;
	double rate, burst;
} rates[] = {
	{ "route53", "CreateHealthCheck", 0.5, 50 },
	{ "route53", "DeleteHealthCheck", 3, 15 },
	{ "route53", "GetHealthCheckStatus", 1, 4 },
	{ "route53", "CreateHostedZone", 2, 40 },
	{ "route53", NULL, 10, 50 },
};

/* endpoint: %s is the region; region: what all of it is signed for, or NULL; env: as in
 * AWS_ENDPOINT_URL_<ENV>. */
static const struct service {
	const char *name, *env, *endpoint, *region;
	bool secret; /* its replies have keys: they are never shown */
} services[] = {
	{ "route53", "ROUTE_53", "https://route53.amazonaws.com", "us-east-1", false },
	{ "sts", "STS", "https://sts.%s.amazonaws.com", NULL, true },
};

struct kc_aws {
	const struct service *service;
	struct kc_aws_conf conf; /* without its pointers to data */
	char *endpoint, *region;
	struct kc_http *http;
	struct kc_aws_creds *creds; /* NULL: keys, if there are any */
	struct kc_aws_keys keys;
	atomic_llong skew_ms; /* the service's clock minus ours */
	struct kc_bucket buckets[ARRAY_SIZE(rates)];
};

static bool is_region(const char *s)
{
	return kc_is_dns_label(s);
}

static int choose_region(struct kc_aws *a, const struct kc_aws_conf *conf, const json_t *profile,
			 struct kc_err *err)
{
	const char *region = a->service->region;

	if (!region)
		region = conf->region;
	if (!region)
		region = kc_aws_env("AWS_REGION");
	if (!region)
		region = kc_aws_env("AWS_DEFAULT_REGION");
	if (!region)
		region = kc_aws_value(profile, "region");
	if (!region && streq(a->service->name, "sts"))
		region = "us-east-1"; /* roles are the same everywhere */
	if (!region)
		return kc_fail(err, KC_EINVAL, "%s needs a region: set AWS_REGION",
			       a->service->name);
	if (!is_region(region))
		return kc_fail(err, KC_EINVAL, "\"%s\" is no AWS region", region);
	a->region = xstrdup(region);
	return 0;
}

static int choose_endpoint(struct kc_aws *a, const struct kc_aws_conf *conf, const json_t *config,
			   const char *profile, struct kc_err *err)
{
	const char *at = strstr(a->service->endpoint, "%s");
	_cleanup_free_ char *given = conf->endpoint
					     ? xstrdup(conf->endpoint)
					     : kc_aws_endpoint(config, profile, a->service->env);

	if (given && !kc_startswith(given, "https://") && !kc_startswith(given, "http://"))
		return kc_fail(err, KC_EINVAL, "the endpoint of %s is no http(s):// URL: %s",
			       a->service->name, given);
	if (given)
		a->endpoint = xstrndup(given, strlen(given) - kc_endswith(given, "/"));
	else if (at)
		a->endpoint = xasprintf("%.*s%s%s", (int)(at - a->service->endpoint),
					a->service->endpoint, a->region, at + 2);
	else
		a->endpoint = xstrdup(a->service->endpoint);
	return 0;
}

static int open_http(struct kc_aws *a, const json_t *profile, struct kc_err *err)
{
	const char *file = kc_aws_env("AWS_CA_BUNDLE");
	_cleanup_free_ char *pem = NULL, *path = NULL;
	int r;

	if (!file)
		file = kc_aws_value(profile, "ca_bundle");
	if (file) {
		path = kc_expand_home(file);
		r = kc_file_read(path, 4 << 20, &pem, NULL, err);
		if (r < 0)
			return kc_wrap(err, "AWS_CA_BUNDLE");
	}
	return kc_http_new(&(struct kc_http_conf){ .ca_pem = pem }, &a->http, err);
}

int kc_aws_open(const struct kc_aws_conf *conf, struct kc_aws **ret, struct kc_err *err)
{
	const char *profile = conf->profile ? conf->profile : kc_aws_profile_name();
	struct kc_aws *a = xcalloc(1, sizeof(*a));
	_cleanup_aws_ struct kc_aws *guard = a;
	json_auto_t *config = NULL;
	int r;

	/* A little less at once than the service takes: requests do not all travel equally fast. */
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
		kc_bucket_init(&a->buckets[i], rates[i].rate, rates[i].burst * 0.9);
	a->conf = (struct kc_aws_conf){ .canceled = conf->canceled, .cookie = conf->cookie };
	for (size_t i = 0; i < ARRAY_SIZE(services); i++)
		if (streq(services[i].name, conf->service))
			a->service = &services[i];
	if (!a->service)
		return kc_fail(err, KC_EINVAL, "AWS's service \"%s\" is not known here",
			       conf->service);
	if (conf->own_keys && conf->keys)
		a->keys = (struct kc_aws_keys){
			.id = xstrdup(conf->keys->id),
			.secret = xstrdup(conf->keys->secret),
			.token = conf->keys->token ? xstrdup(conf->keys->token) : NULL,
		};
	else if (!conf->own_keys)
		a->creds = kc_aws_creds_new(conf->profile);
	r = kc_aws_config_load(&config, err);
	if (r == 0)
		r = choose_region(a, conf, kc_aws_profile(config, profile), err);
	if (r == 0)
		r = choose_endpoint(a, conf, config, profile, err);
	if (r == 0)
		r = open_http(a, kc_aws_profile(config, profile), err);
	if (r == 0)
		*ret = TAKE(guard);
	return r;
}

void kc_aws_close(struct kc_aws *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
		kc_bucket_done(&a->buckets[i]);
	kc_http_free(a->http);
	kc_aws_creds_free(a->creds);
	kc_aws_keys_done(&a->keys);
	free(a->endpoint);
	free(a->region);
	free(a);
}

/* A call under way. */
struct calling {
	struct kc_aws *aws;
	const struct kc_aws_call *call;
	struct kc_aws_error error;
	json_t *reply;
};

static int get_keys(struct kc_aws *a, struct kc_aws_keys *ret, struct kc_err *err)
{
	if (a->creds)
		return kc_aws_creds_get(a->creds, ret, err);
	if (a->keys.id)
		*ret = (struct kc_aws_keys){
			.id = xstrdup(a->keys.id),
			.secret = xstrdup(a->keys.secret),
			.token = a->keys.token ? xstrdup(a->keys.token) : NULL,
		};
	return 0;
}

static int sign(struct kc_aws *a, const struct kc_aws_keys *keys, struct kc_api_req *q,
		struct kc_err *err)
{
	const struct kc_aws_signer s = {
		.id = keys->id,
		.secret = keys->secret,
		.token = keys->token,
		.region = a->region,
		.service = a->service->name,
		.now = (time_t)((kc_realtime_ms() + atomic_load(&a->skew_ms)) / 1000),
	};
	char *added[KC_AWS_SIGNED + 1] = { 0 };
	int r;

	r = kc_aws_sign(&s,
			&(struct kc_aws_request){ .method = q->method,
						  .url = q->url,
						  .headers = (const char *const *)q->headers,
						  .body = q->body,
						  .body_len = q->body_len },
			added, err);
	for (char **h = added; r == 0 && *h; h++)
		kc_api_header(q, "%s", *h);
	kc_aws_signed_done(added);
	return r;
}

static int build(void *cookie, struct kc_api_req *ret, struct kc_err *err)
{
	_cleanup_aws_keys_ struct kc_aws_keys keys = { 0 };
	const struct calling *c = cookie;
	const struct kc_aws_call *call = c->call;
	int r;

	r = get_keys(c->aws, &keys, err);
	if (r < 0)
		return r;
	ret->method = xstrdup(call->method);
	ret->url = xasprintf("%s%s%s%s", c->aws->endpoint, call->path, call->query ? "?" : "",
			     call->query ? call->query : "");
	if (call->body) {
		kc_api_header(ret, "Content-Type: %s", call->type ? call->type : "application/xml");
		ret->body = xstrdup(call->body);
		ret->body_len = strlen(call->body);
	}
	return keys.id ? sign(c->aws, &keys, ret, err) : 0;
}

static const struct kc_xml_shapes error_shapes = {
	.lists = (const char *const[]){ "Messages", NULL },
};

/* "Code: text" of any of the ways in which AWS's XML says that; NULL: it is none. Owned. */
static char *error_text(const struct kc_http_reply *reply, char code[64])
{
	json_auto_t *o = NULL;
	const json_t *e, *m;
	_cleanup_buf_ struct kc_buf b = { 0 };
	const char *name, *text;
	size_t i;

	if (kc_xml_parse(reply->body, reply->len, &error_shapes, "error", &o, NULL) < 0)
		return NULL;
	name = json_object_iter_key(json_object_iter(o));
	e = json_object_get(o, name);
	if (json_object_get(e, "Error"))
		e = json_object_get(e, "Error");
	/* Route 53's change batches are refused by <InvalidChangeBatch><Messages>. */
	text = kc_json_get_str(e, "Code", json_object_get(e, "Messages") ? name : NULL);
	if (!text)
		return NULL;
	snprintf(code, 64, "%s", text);
	kc_buf_printf(&b, "%.60s: %.500s", text, kc_json_get_str(e, "Message", ""));
	json_array_foreach(json_object_get(e, "Messages"), i, m)
		kc_buf_printf(&b, "%s%.300s", i ? "; " : "",
			      json_is_string(m) ? json_string_value(m) : "?");
	for (char *p = b.data; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' '; /* one line, that steers no terminal */
	return kc_buf_steal(&b);
}

static bool among(const char *code, const char *const *codes)
{
	for (; *codes; codes++)
		if (streq(*codes, code))
			return true;
	return false;
}

/* Refused because of a clock? Then the next attempt goes by the service's. */
static bool corrects_clock(struct kc_aws *a, const struct kc_http_reply *reply)
{
	const char *date = kc_http_header(reply, "date");
	long long skew;
	struct tm tm = { 0 };

	if (!date || !strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return false;
	skew = (long long)timegm(&tm) * 1000 - kc_realtime_ms();
	if (llabs(skew - atomic_load(&a->skew_ms)) < SKEW_MS)
		return false;
	kc_debug("http", "aws: our clock is %lld s behind %s's", skew / 1000, a->service->name);
	atomic_store(&a->skew_ms, skew);
	return true;
}

static int code_of(long status, const char *code)
{
	if (status == 401 || status == 403)
		return KC_EAUTH;
	if (kc_startswith(code, "NoSuch") || kc_endswith(code, "NotFound"))
		return KC_ENOTFOUND;
	if (streq(code, "InvalidChangeBatch") || kc_endswith(code, "Mismatch") ||
	    kc_endswith(code, "AlreadyExists") || kc_endswith(code, "InUse") || status == 409)
		return KC_ECONFLICT;
	return *code ? KC_EINVAL : KC_EFAIL;
}

static enum kc_api_verdict judge_error(struct calling *c, const struct kc_http_reply *reply,
				       struct kc_err *err)
{
	static const char *const throttled[] = {
		"Throttling",
		"ThrottlingException",
		"ThrottledException",
		"RequestLimitExceeded",
		"RequestThrottled",
		"RequestThrottledException",
		"SlowDown",
		"TooManyRequestsException",
		"BandwidthLimitExceeded",
		NULL,
	};
	static const char *const busy[] = { "PriorRequestNotComplete", NULL };
	static const char *const clock[] = { "RequestTimeTooSkewed",
					     "SignatureDoesNotMatch",
					     "InvalidSignatureException",
					     "RequestExpired",
					     "RequestInTheFuture",
					     "AuthFailure",
					     NULL };
	static const char *const expired[] = { "ExpiredToken", "ExpiredTokenException",
					       "RequestExpired", NULL };
	static const char *const auth[] = { "AccessDenied",
					    "AccessDeniedException",
					    "InvalidClientTokenId",
					    "UnrecognizedClientException",
					    "OptInRequired",
					    "MissingAuthenticationToken",
					    NULL };
	_cleanup_free_ char *text = error_text(reply, c->error.code);
	_cleanup_free_ char *excerpt = text ? NULL : kc_api_excerpt(reply);
	const char *code = c->error.code;

	kc_fail(err, code_of(reply->status, code), "%s", text ? text : excerpt);
	if (among(code, throttled) || reply->status == 429)
		return KC_API_THROTTLED;
	if (among(code, busy))
		return KC_API_RETRY;
	if (reply->status >= 500)
		return KC_API_UNSURE;
	if (among(code, clock) && corrects_clock(c->aws, reply))
		return KC_API_REBUILD;
	if (among(code, expired) && c->aws->creds) {
		kc_aws_creds_drop(c->aws->creds);
		err->code = KC_EAUTH;
		return KC_API_REBUILD;
	}
	if (among(code, auth) || among(code, clock) || among(code, expired))
		err->code = KC_EAUTH;
	return KC_API_ERROR;
}

static enum kc_api_verdict judge(void *cookie, const struct kc_http_reply *reply,
				 struct kc_err *err)
{
	struct calling *c = cookie;
	_cleanup_free_ char *root = xasprintf("%sResponse", c->call->action), *text = NULL;
	struct kc_err e;

	*c->error.code = '\0';
	if (reply->status / 100 != 2)
		return judge_error(c, reply, err);
	json_decref(c->reply);
	c->reply = NULL;
	if (kc_xml_parse(reply->body, reply->len, c->call->shapes, "the reply", &c->reply, &e) ==
		    0 &&
	    json_object_get(c->reply, root))
		return KC_API_DONE;
	text = c->aws->service->secret ? xstrdup("") : kc_api_excerpt(reply);
	if (c->reply)
		kc_fail(err, KC_EFAIL, "the reply is no <%s>: %s", root, text);
	else
		kc_fail(err, KC_EFAIL, "%s: %s", e.msg, text);
	return KC_API_ERROR;
}

static struct kc_bucket *bucket_of(struct kc_aws *a, const char *action)
{
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++)
		if (streq(rates[i].service, a->service->name) &&
		    (!rates[i].action || streq(rates[i].action, action)))
			return &a->buckets[i];
	return NULL;
}

int kc_aws_do(struct kc_aws *a, const struct kc_aws_call *call, json_t **ret,
	      struct kc_aws_error *error, struct kc_err *err)
{
	_cleanup_free_ char *what = xasprintf("%s: %s", a->service->name, call->action);
	struct calling c = { .aws = a, .call = call };
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	const struct kc_api_call api = {
		.what = what,
		.idempotent = call->idempotent,
		.bucket = bucket_of(a, call->action),
		.canceled = a->conf.canceled,
		.cancel_cookie = a->conf.cookie,
		.build = build,
		.judge = judge,
		.cookie = &c,
	};
	int r;

	r = kc_api_do(a->http, &api, &reply, err);
	if (r == 0)
		*ret = TAKE(c.reply);
	else if (error)
		*error = c.error;
	json_decref(c.reply);
	if (reply.body)
		kc_wipe(reply.body, reply.len); /* STS's has keys */
	return r;
}
