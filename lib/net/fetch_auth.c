/*
 * Who asks: passwords from a file in the form that `docker login` writes, and the token protocol of
 * registries (distribution's "token authentication" specification): a 401 names a realm, and the
 * realm gives a token for the service and scope that the 401 also names.
 */
#include "lib/net/fetch_impl.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { AUTHFILE_MAX = 1 << 20, TOKEN_MAX = 64 << 10 };

char *kc_fetch_origin(const char *url)
{
	const char *host = strstr(url, "://");

	return host ? xstrndup(url, (size_t)(host + 3 - url) + strcspn(host + 3, "/?#"))
		    : xstrdup("");
}

/* A key may be a URL. */
static const char *auth_host(const char *key)
{
	const char *host = strstr(key, "://");

	return host ? host + 3 : key;
}

int kc_fetch_auth_read(struct kc_fetch *f, const char *authfile, struct kc_err *err)
{
	_cleanup_free_ char *path = kc_expand_home(authfile);
	_cleanup_wiped_ char *text = NULL;
	json_auto_t *doc = NULL;
	const json_t *auths, *v;
	const char *key, *auth;
	size_t len;
	int r = kc_file_read_private(path, AUTHFILE_MAX, &text, &len, err);

	if (r == 0)
		r = kc_json_parse(text, len, path, &doc, err);
	if (r == 0)
		r = kc_json_obj(doc, path, "auths", &auths, err);
	if (r < 0)
		return r;
	json_object_foreach((json_t *)auths, key, v) {
		const char *host = auth_host(key);
		_cleanup_free_ char *name = xstrndup(host, strcspn(host, "/"));

		r = kc_json_str(v, key, "auth", &auth, err);
		if (r < 0)
			return kc_wrap(err, "%s", path);
		if (!*auth || strspn(auth, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					   "0123456789+/=") != strlen(auth))
			return kc_fail(err, KC_EINVAL, "%s: auth of %s is not base64", path, key);
		json_object_set_new(f->auths, name, json_string(auth));
	}
	return 0;
}

static const char *password_of(const struct kc_fetch *f, const char *url)
{
	_cleanup_free_ char *origin = kc_fetch_origin(url);
	const char *host = strstr(origin, "://");

	return !host ? NULL : kc_json_get_str(f->auths, host + 3, NULL);
}

/* A password or a token may go there: it is encrypted, or does not leave the machine. */
static bool private_way(const char *url)
{
	static const char *const here[] = { "http://127.0.0.1", "http://localhost",
					    "http://[::1]" };

	if (kc_startswith(url, "https://"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(here); i++)
		if (kc_startswith(url, here[i]) && strchr(":/?#", url[strlen(here[i])]))
			return true;
	return false;
}

const char *kc_fetch_auth_known(const struct kc_fetch *f, const char *url, const char *space)
{
	_cleanup_free_ char *origin = kc_fetch_origin(url);
	_cleanup_free_ char *key = xasprintf("%s %s", origin, space ? space : "");

	return kc_json_get_str(f->known, key, NULL);
}

static void remember(struct kc_fetch *f, const char *url, const char *space, const char *scheme,
		     const char *value)
{
	_cleanup_free_ char *origin = kc_fetch_origin(url);
	_cleanup_free_ char *key = xasprintf("%s %s", origin, space ? space : "");

	json_object_set_new(f->known, key, json_sprintf("%s %s", scheme, value));
}

/* A parameter of a challenge, key="value" or key=value (RFC 9110, 11.2); NULL: not there. Owned. */
static char *parameter(const char *list, const char *key)
{
	size_t n = strlen(key);

	for (const char *p = list; *p;) {
		const char *name, *value;
		size_t len, name_len;

		p += strspn(p, ", \t");
		name = p;
		name_len = strcspn(p, "=, \t");
		p += name_len;
		if (*p != '=')
			continue;
		p++;
		if (*p == '"') {
			value = p + 1;
			len = strcspn(value, "\"");
			p = value + len + (value[len] == '"');
		} else {
			value = p;
			len = strcspn(value, ", \t");
			p = value + len;
		}
		if (name_len == n && strncasecmp(name, key, n) == 0)
			return xstrndup(value, len);
	}
	return NULL;
}

/* The realm with ?service=…&scope=…. Owned. */
static char *token_url(const char *realm, const char *challenge)
{
	_cleanup_free_ char *service = parameter(challenge, "service");
	_cleanup_free_ char *scope = parameter(challenge, "scope");
	_cleanup_free_ char *s = kc_http_escape(service ? service : "");
	_cleanup_free_ char *c = kc_http_escape(scope ? scope : "");

	return xasprintf("%s%c%s%s%s%s", realm, strchr(realm, '?') ? '&' : '?',
			 service ? "service=" : "", s, scope ? "&scope=" : "", c);
}

static bool token_ok(const char *token)
{
	if (!token || !*token || strlen(token) > TOKEN_MAX)
		return false;
	for (const char *p = token; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return true;
}

static int take_token(const struct kc_http_reply *reply, const char *realm, char **ret,
		      struct kc_err *err)
{
	json_auto_t *doc = NULL;
	const char *token;
	int r;

	if (reply->status == 401 || reply->status == 403)
		return kc_fail(err, KC_EAUTH,
			       "%s refuses a token (HTTP %ld): check the credentials for it", realm,
			       reply->status);
	if (reply->status != 200)
		return kc_fail(err, reply->status >= 500 ? KC_EAGAIN : KC_EAUTH,
			       "%s gives no token: HTTP %ld", realm, reply->status);
	r = kc_json_parse(reply->body, reply->len, realm, &doc, err);
	if (r < 0)
		return r;
	token = kc_json_get_str(doc, "token", kc_json_get_str(doc, "access_token", NULL));
	if (!token_ok(token))
		return kc_fail(err, KC_EINVAL, "%s: the reply has no token", realm);
	*ret = xstrdup(token);
	return 0;
}

static int get_token(struct kc_fetch *f, const char *url, const char *challenge, char **ret,
		     struct kc_err *err)
{
	_cleanup_http_reply_ struct kc_http_reply reply = { 0 };
	_cleanup_free_ char *realm = parameter(challenge, "realm"), *full = NULL;
	_cleanup_wiped_ char *basic = NULL;
	const char *headers[2] = { NULL }, *password = password_of(f, url);
	int r;

	if (!realm || (!kc_startswith(realm, "https://") && !kc_startswith(realm, "http://")))
		return kc_fail(err, KC_EINVAL, "the challenge names no realm to get a token from");
	if (!private_way(realm))
		return kc_fail(err, KC_EAUTH,
			       "the realm %s is not https: a token would go over the wire readable",
			       realm);
	full = token_url(realm, challenge);
	if (password) {
		basic = xasprintf("Authorization: Basic %s", password);
		headers[0] = basic;
	}
	r = kc_http_do(f->http,
		       &(struct kc_http_req){ .url = full,
					      .headers = headers,
					      .max = (size_t)TOKEN_MAX * 2,
					      .canceled = kc_fetch_stopped,
					      .cookie = f },
		       &reply, err);
	if (r == 0)
		r = take_token(&reply, realm, ret, err);
	if (reply.body)
		kc_wipe(reply.body, reply.len);
	return r;
}

int kc_fetch_auth_answer(struct kc_fetch *f, const char *url, const char *space,
			 const char *challenge, struct kc_err *err)
{
	_cleanup_free_ char *origin = kc_fetch_origin(url);
	_cleanup_wiped_ char *token = NULL;
	const char *password;
	int r;

	if (!challenge)
		return kc_fail(err, KC_EAUTH, "%s: not allowed (HTTP 401)", origin);
	if (!private_way(url))
		return kc_fail(err, KC_EAUTH,
			       "%s wants credentials, which are not sent over http: use https",
			       origin);
	if (strncasecmp(challenge, "Bearer ", 7) == 0) {
		r = get_token(f, url, challenge + 7, &token, err);
		if (r < 0)
			return kc_wrap(err, "%s", origin);
		remember(f, url, space, "Bearer", token);
		return 0;
	}
	password = password_of(f, url);
	if (strncasecmp(challenge, "Basic", 5) != 0 || !password)
		return kc_fail(err, KC_EAUTH,
			       "%s: not allowed (HTTP 401); name a file with credentials for it "
			       "with --authfile",
			       origin);
	remember(f, url, space, "Basic", password);
	return 0;
}
