/* How each source of credentials gets an access token, and what its refusals mean. */
#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "clouds/gcp/creds_priv.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/crypto/jwt.h"

enum {
	MAX_SUBJECT = 1 << 16,
	LIFE_S = 3600, /* of an assertion and of an impersonated token: Google's maximum */
};

#define USER_TOKEN_URI "https://oauth2.googleapis.com/token"

/* {"error": "invalid_grant", "error_description": ...} (RFC 6749, 5.2), or the form of Google's
 * APIs: {"error": {"message": ...}}. */
static int refused(const char *what, long status, const json_t *reply, const char *advice,
		   struct kc_err *err)
{
	const json_t *e = json_object_get(reply, "error");
	const char *name = json_is_string(e) ? json_string_value(e)
					     : kc_json_get_str(e, "status", "no reason given"),
		   *text = kc_json_get_str(json_is_object(e) ? e : reply,
					   json_is_object(e) ? "message" : "error_description", "");

	return kc_fail(err, KC_EAUTH, "%s: HTTP %ld %.100s%s%.400s; %s", what, status, name,
		       *text ? ": " : "", text, advice);
}

/* Ask, and read the JSON of a 200; advice is for whoever is refused. */
static int ask(struct kc_gcp_creds *c, const struct kc_oauth_req *req, const char *advice,
	       json_t **ret, struct kc_err *err)
{
	_cleanup_oauth_reply_ struct kc_http_reply reply = { 0 };
	json_auto_t *v = NULL;
	int r = kc_oauth_ask(c->http, req, &reply, err);

	if (r == 0)
		r = kc_oauth_json(req->url, &reply, &v, err);
	if (r < 0)
		return r;
	if (reply.status != 200)
		return refused(req->url, reply.status, v, advice, err);
	*ret = TAKE(v);
	return 0;
}

/* POST a form, and read the token of the reply. */
static int exchange(struct kc_gcp_creds *c, const char *url, const char *form, const char *advice,
		    char **ret_token, int64_t *ret_seconds, struct kc_err *err)
{
	json_auto_t *reply = NULL;
	int r = ask(c, &(struct kc_oauth_req){ .url = url, .form = form }, advice, &reply, err);

	return r < 0 ? r : kc_oauth_token(url, reply, ret_token, ret_seconds, err);
}

static char *service_account_who(const struct kc_gcp_creds *c)
{
	return xasprintf("service account %s (%s)", kc_json_get_str(c->file, "client_email", ""),
			 c->path);
}

/* A key that cannot sign is found when the file is read. */
static int service_account_check(const json_t *file, struct kc_err *err)
{
	json_auto_t *empty = json_object();
	_cleanup_wiped_ char *token = NULL;
	int r = kc_jwt_sign(KC_JWT_RS256, NULL, empty, kc_json_get_str(file, "private_key", ""),
			    &token, err);

	return r < 0 ? kc_wrap(err, "private_key") : 0;
}

/* RFC 7523, 2.1. */
static int service_account_fetch(void *cookie, char **ret_token, int64_t *ret_seconds,
				 struct kc_err *err)
{
	struct kc_gcp_creds *c = cookie;
	const char *url = kc_json_get_str(c->file, "token_uri", "");
	json_auto_t *header =
			    kc_pack("{s:s}", "kid", kc_json_get_str(c->file, "private_key_id", "")),
		    *claims = NULL;
	_cleanup_wiped_ char *assertion = NULL, *form = NULL;
	time_t now = time(NULL);
	int r;

	claims = kc_pack("{s:s, s:s, s:s, s:I, s:I}", "iss",
			 kc_json_get_str(c->file, "client_email", ""), "scope", KC_GCP_SCOPE, "aud",
			 url, "iat", (json_int_t)now, "exp", (json_int_t)now + LIFE_S);
	r = kc_jwt_sign(KC_JWT_RS256, header, claims, kc_json_get_str(c->file, "private_key", ""),
			&assertion, err);
	if (r < 0)
		return r;
	form = kc_form("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion",
		       assertion, NULL);
	return exchange(c, url, form,
			"is the key deleted or disabled, or this machine's clock wrong? make a new "
			"key with: gcloud iam service-accounts keys create",
			ret_token, ret_seconds, err);
}

const struct gcp_source gcp_service_account = {
	.type = "service_account",
	.needs = { "client_email", "private_key", "private_key_id", "token_uri" },
	.urls = { "token_uri" },
	.secret = true,
	.check = service_account_check,
	.who = service_account_who,
	.fetch = service_account_fetch,
};

static char *authorized_user_who(const struct kc_gcp_creds *c)
{
	return xasprintf("the user logged in (%s)", c->path);
}

static int authorized_user_fetch(void *cookie, char **ret_token, int64_t *ret_seconds,
				 struct kc_err *err)
{
	struct kc_gcp_creds *c = cookie;
	_cleanup_wiped_ char *form =
		kc_form("grant_type", "refresh_token", "client_id",
			kc_json_get_str(c->file, "client_id", ""), "client_secret",
			kc_json_get_str(c->file, "client_secret", ""), "refresh_token",
			kc_json_get_str(c->file, "refresh_token", ""), NULL);

	return exchange(c, kc_json_get_str(c->file, "token_uri", USER_TOKEN_URI), form,
			"log in again with: gcloud auth application-default login", ret_token,
			ret_seconds, err);
}

const struct gcp_source gcp_authorized_user = {
	.type = "authorized_user",
	.needs = { "client_id", "client_secret", "refresh_token" },
	.urls = { "token_uri" },
	.secret = true,
	.who = authorized_user_who,
	.fetch = authorized_user_fetch,
};

static char *external_account_who(const struct kc_gcp_creds *c)
{
	return xasprintf("external account (%s)", c->path);
}

/* The clouds' metadata servers, which speak HTTP only, give subject tokens, too. */
static int check_subject_url(const char *url, struct kc_err *err)
{
	if (kc_startswith(url, "http://169.254.169.254/"))
		return 0;
	return kc_url_check("credential_source.url", url, err);
}

static int external_account_check(const json_t *file, struct kc_err *err)
{
	const json_t *source = json_object_get(file, "credential_source"),
		     *format = json_object_get(source, "format"), *v;
	const char *path = kc_json_get_str(source, "file", NULL), *key,
		   *url = kc_json_get_str(source, "url", NULL),
		   *type = kc_json_get_str(format, "type", "text");

	if (!path == !url || json_object_get(source, "environment_id"))
		return kc_fail(err, KC_EINVAL,
			       "credential_source: only \"file\" or \"url\" is understood, one of "
			       "them");
	if (streq(type, "json") ? !kc_json_get_str(format, "subject_token_field_name", NULL)
				: !streq(type, "text"))
		return kc_fail(err, KC_EINVAL,
			       "credential_source.format: type \"text\", or \"json\" with "
			       "subject_token_field_name");
	json_object_foreach(json_object_get(source, "headers"), key, v)
		if (!json_is_string(v) || strpbrk(json_string_value(v), "\r\n") ||
		    strpbrk(key, "\r\n: "))
			return kc_fail(err, KC_EINVAL, "credential_source.headers: no header");
	return url ? check_subject_url(url, err) : 0;
}

static const char **subject_headers(const json_t *source, json_t *keep)
{
	const json_t *headers = json_object_get(source, "headers"), *v;
	const char **list = xcalloc(json_object_size(headers) + 1, sizeof(*list)), *key;
	size_t n = 0;

	json_object_foreach((json_t *)headers, key, v) {
		_cleanup_free_ char *line = xasprintf("%s: %s", key, json_string_value(v));

		json_array_append_new(keep, json_string(line));
		list[n++] = json_string_value(json_array_get(keep, json_array_size(keep) - 1));
	}
	return list;
}

static int subject_from_url(struct kc_gcp_creds *c, const json_t *source, const char *url,
			    char **ret, struct kc_err *err)
{
	json_auto_t *keep = json_array();
	_cleanup_free_ const char **headers = subject_headers(source, keep);
	_cleanup_oauth_reply_ struct kc_http_reply reply = { 0 };
	int r = kc_oauth_ask(c->http, &(struct kc_oauth_req){ .url = url, .headers = headers },
			     &reply, err);

	if (r < 0)
		return kc_wrap(err, "credential_source.url");
	if (reply.status != 200)
		return kc_fail(err, KC_EAUTH, "credential_source.url %s: HTTP %ld", url,
			       reply.status);
	*ret = TAKE(reply.body);
	return 0;
}

/* The subject token, anew each time: whoever writes it renews it. */
static int subject_token(struct kc_gcp_creds *c, char **ret, struct kc_err *err)
{
	const json_t *source = json_object_get(c->file, "credential_source"),
		     *format = json_object_get(source, "format");
	const char *path = kc_json_get_str(source, "file", NULL),
		   *url = kc_json_get_str(source, "url", NULL), *what = path ? path : url;
	_cleanup_wiped_ char *text = NULL;
	json_auto_t *v = NULL;
	int r = path ? kc_file_read(path, MAX_SUBJECT, &text, NULL, err)
		     : subject_from_url(c, source, url, &text, err);

	if (r < 0)
		return path ? kc_wrap(err, "credential_source.file") : r;
	for (size_t n = strlen(text); n && isspace((unsigned char)text[n - 1]); n--)
		text[n - 1] = '\0';
	if (streq(kc_json_get_str(format, "type", "text"), "json")) {
		if (kc_json_parse(text, strlen(text), what, &v, NULL) < 0) /* shows no token */
			return kc_fail(err, KC_EINVAL, "%s: not JSON", what);
		return kc_oauth_take(what, v,
				     kc_json_get_str(format, "subject_token_field_name", ""), ret,
				     err);
	}
	if (!*text)
		return kc_fail(err, KC_EINVAL, "%s: empty, no subject token", what);
	*ret = TAKE(text);
	return 0;
}

/* "2026-11-23T15:41:12Z", with or without fractions. */
static bool parse_time(const char *s, time_t *ret)
{
	struct tm tm = { 0 };
	const char *end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	if (!end || !streq(end, "Z"))
		return false;
	*ret = timegm(&tm);
	return true;
}

/* IAM Credentials: generateAccessToken. */
static int impersonate(struct kc_gcp_creds *c, const char *url, const char *token, char **ret_token,
		       int64_t *ret_seconds, struct kc_err *err)
{
	static const char body[] = "{\"scope\":[\"" KC_GCP_SCOPE "\"],\"lifetime\":\"3600s\"}";
	_cleanup_wiped_ char *header = xasprintf("Authorization: Bearer %s", token);
	const char *headers[] = { header, NULL };
	json_auto_t *v = NULL;
	time_t until = 0;
	int r = ask(c, &(struct kc_oauth_req){ .url = url, .headers = headers, .json = body },
		    "the external identity needs roles/iam.workloadIdentityUser on that service "
		    "account",
		    &v, err);

	if (r < 0)
		return r;
	if (!parse_time(kc_json_get_str(v, "expireTime", ""), &until))
		return kc_fail(err, KC_EFAIL, "%s: the reply has no \"expireTime\"", url);
	*ret_seconds = (int64_t)(until - time(NULL));
	return kc_oauth_take(url, v, "accessToken", ret_token, err);
}

/* RFC 8693. */
static int external_account_fetch(void *cookie, char **ret_token, int64_t *ret_seconds,
				  struct kc_err *err)
{
	struct kc_gcp_creds *c = cookie;
	const char *url = kc_json_get_str(c->file, "token_url", ""),
		   *as = kc_json_get_str(c->file, "service_account_impersonation_url", NULL);
	_cleanup_wiped_ char *subject = NULL, *form = NULL, *token = NULL;
	int r = subject_token(c, &subject, err);

	if (r < 0)
		return r;
	form = kc_form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "audience",
		       kc_json_get_str(c->file, "audience", ""), "scope", KC_GCP_SCOPE,
		       "requested_token_type", "urn:ietf:params:oauth:token-type:access_token",
		       "subject_token", subject, "subject_token_type",
		       kc_json_get_str(c->file, "subject_token_type", ""), NULL);
	r = exchange(c, url, form,
		     "does the workload identity provider accept this issuer, audience and "
		     "subject, "
		     "and is the subject token still good?",
		     &token, ret_seconds, err);
	if (r < 0)
		return r;
	if (as)
		return impersonate(c, as, token, ret_token, ret_seconds, err);
	*ret_token = TAKE(token);
	return 0;
}

const struct gcp_source gcp_external_account = {
	.type = "external_account",
	.needs = { "audience", "subject_token_type", "token_url" },
	.urls = { "token_url", "service_account_impersonation_url" },
	.check = external_account_check,
	.who = external_account_who,
	.fetch = external_account_fetch,
};

static char *metadata_who(const struct kc_gcp_creds *c)
{
	return xasprintf("this machine's service account (metadata server %s)", c->metadata);
}

static int metadata_fetch(void *cookie, char **ret_token, int64_t *ret_seconds, struct kc_err *err)
{
	static const char *const headers[] = { "Metadata-Flavor: Google", NULL };
	struct kc_gcp_creds *c = cookie;
	_cleanup_free_ char *url =
		xasprintf("http://%s/computeMetadata/v1/instance/service-accounts/default/token",
			  c->metadata);
	/* Once: elsewhere than at Google nothing is there. */
	struct kc_oauth_req req = { .url = url, .headers = headers, .attempts = 1 };
	_cleanup_oauth_reply_ struct kc_http_reply reply = { 0 };
	json_auto_t *v = NULL;
	const char *flavor;
	struct kc_err why;
	int r = kc_oauth_ask(c->http, &req, &reply, &why);

	if (r < 0)
		return kc_fail(err, r,
			       "no Google credentials: %s, and no metadata server answers (%s); "
			       "run: gcloud auth application-default login",
			       c->tried, why.msg);
	/* A proxy or another cloud's server there would give us another's token. */
	flavor = kc_http_header(&reply, "metadata-flavor");
	if (!flavor || !streq(flavor, "Google"))
		return kc_fail(err, KC_EAUTH,
			       "what answers there is no metadata server of Google's (no "
			       "Metadata-Flavor: Google in its reply)");
	if (reply.status == 404)
		return kc_fail(err, KC_EAUTH, "this machine has no service account; attach one");
	r = kc_oauth_json(url, &reply, &v, err);
	if (r < 0)
		return r;
	if (reply.status != 200)
		return refused(url, reply.status, v, "is a service account attached?", err);
	return kc_oauth_token(url, v, ret_token, ret_seconds, err);
}

const struct gcp_source gcp_metadata = {
	.type = "metadata server",
	.who = metadata_who,
	.fetch = metadata_fetch,
};
