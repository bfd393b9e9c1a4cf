/*
 * Credentials from what a container (ECS, EKS) or an instance (IMDSv2) can ask on its link: see
 * "Container credential provider" and "IMDS credential provider" in the AWS SDKs and Tools
 * Reference Guide.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "clouds/aws/config.h"
#include "clouds/aws/source.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/api.h"

#define CONTAINER "http://169.254.170.2"
#define INSTANCE  "http://169.254.169.254"

struct question {
	const char *method, *url, *header; /* header: or NULL */
	long status;
};

static int build(void *cookie, struct kc_api_req *ret, struct kc_err *err)
{
	const struct question *q = cookie;

	ret->method = xstrdup(q->method);
	ret->url = xstrdup(q->url);
	if (q->header)
		kc_api_header(ret, "%s", q->header);
	return 0;
}

static enum kc_api_verdict judge(void *cookie, const struct kc_http_reply *reply,
				 struct kc_err *err)
{
	struct question *q = cookie;
	_cleanup_free_ char *text = NULL;

	q->status = reply->status;
	if (reply->status == 200 || reply->status == 404)
		return KC_API_DONE;
	text = kc_api_excerpt(reply);
	kc_fail(err, KC_EAUTH, "%s", text);
	return reply->status >= 500 || reply->status == 429 ? KC_API_RETRY : KC_API_ERROR;
}

/* ret_text: without white space at its end; a key or a token, so wipe it. 404 is KC_ENOTFOUND. */
static int ask(struct kc_http *h, const char *what, struct question q, int attempts,
	       char **ret_text, struct kc_err *err)
{
	struct kc_http_reply reply = { 0 };
	const struct kc_api_call call = {
		.what = what,
		.idempotent = true,
		.attempts = attempts,
		.deadline_ms = 15000,
		.timeout_ms = 5000,
		.max = 1 << 20,
		.build = build,
		.judge = judge,
		.cookie = &q,
	};
	size_t len;
	int r;

	r = kc_api_do(h, &call, &reply, err);
	if (r < 0)
		return r;
	for (len = reply.len; len && isspace((unsigned char)reply.body[len - 1]); len--)
		;
	if (q.status == 404)
		r = kc_fail(err, KC_ENOTFOUND, "%s: %s: not found", what, q.url);
	else
		*ret_text = xstrndup(reply.body, len);
	kc_wipe(reply.body, reply.len);
	kc_http_reply_done(&reply);
	return r;
}

static int open_http(struct kc_http **ret, struct kc_err *err)
{
	return kc_http_new(&(struct kc_http_conf){ .connect_timeout_ms = 1000, .direct = true },
			   ret, err);
}

static int read_keys(const char *text, const char *what, struct kc_aws_keys *ret,
		     struct kc_err *err)
{
	json_auto_t *o = NULL;
	int r;

	r = kc_json_parse(text, strlen(text), what, &o, err);
	if (r == 0 && json_object_get(o, "Code") &&
	    !streq(kc_json_get_str(o, "Code", ""), "Success"))
		return kc_fail(err, KC_EAUTH, "%s: %s: %s", what, kc_json_get_str(o, "Code", "?"),
			       kc_json_get_str(o, "Message", ""));
	return r < 0 ? r : kc_aws_keys_read(o, what, "Token", ret, err);
}

/* In clear text only to this host or its link. */
static bool allowed(const char *url)
{
	static const char *const hosts[] = { "localhost", "169.254.170.2", "169.254.170.23",
					     "[fd00:ec2::23]", "[::1]" };
	const char *host = kc_startswith(url, "http://") ? url + 7 : NULL;
	size_t n = host ? strcspn(host, "/?#") : 0;
	_cleanup_free_ char *name = NULL;
	struct in_addr a;
	char *port;

	if (!host || memchr(host, '@', n))
		return kc_startswith(url, "https://");
	name = xstrndup(host, n);
	port = strrchr(name, ':');
	if (port && !strchr(port, ']'))
		*port = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (strcasecmp(name, hosts[i]) == 0)
			return true;
	return inet_pton(AF_INET, name, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}

static int authorization(char **ret_header, struct kc_err *err)
{
	const char *file = kc_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
	const char *token = kc_aws_env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
	_cleanup_wiped_ char *text = NULL;
	int r;

	if (file) {
		r = kc_file_read(file, 1 << 16, &text, NULL, err);
		if (r < 0)
			return kc_wrap(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
		token = text;
	}
	if (token) /* one line, for it goes into a header */
		*ret_header = xasprintf("Authorization: %.*s", (int)strcspn(token, "\r\n"), token);
	return 0;
}

int kc_aws_from_container(struct kc_aws_keys *ret, struct kc_err *err)
{
	const char *relative = kc_aws_env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
	const char *full = kc_aws_env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
	static const char what[] = "container credentials";
	_cleanup_free_ char *url = NULL;
	_cleanup_wiped_ char *header = NULL, *text = NULL;
	_cleanup_http_ struct kc_http *h = NULL;
	int r;

	if (!relative && !full)
		return 1;
	url = relative ? xasprintf(CONTAINER "%s", relative) : xstrdup(full);
	if (!allowed(url))
		return kc_fail(err, KC_EINVAL,
			       "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https:// nor of this "
			       "host or its link");
	r = authorization(&header, err);
	if (r == 0)
		r = open_http(&h, err);
	if (r == 0)
		r = ask(h, what, (struct question){ "GET", url, header, 0 }, 3, &text, err);
	return r ? r : read_keys(text, what, ret, err);
}

int kc_aws_from_instance(struct kc_aws_keys *ret, struct kc_err *err)
{
	const char *base = kc_aws_env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *off = kc_aws_env("AWS_EC2_METADATA_DISABLED");
	static const char what[] = "instance metadata";
	_cleanup_wiped_ char *token = NULL, *header = NULL, *text = NULL;
	_cleanup_free_ char *url = NULL, *role = NULL, *role_url = NULL;
	_cleanup_http_ struct kc_http *h = NULL;
	int n, r;

	if (off && strcasecmp(off, "true") == 0)
		return kc_fail(err, KC_EAUTH,
			       "none in the environment (AWS_ACCESS_KEY_ID) or the profile; "
			       "instance metadata is disabled");
	base = base ? base : INSTANCE;
	n = (int)strlen(base) - kc_endswith(base, "/");
	url = xasprintf("%.*s/latest/api/token", n, base);
	r = open_http(&h, err);
	if (r < 0)
		return r;
	r = ask(h, what,
		(struct question){ "PUT", url, "X-aws-ec2-metadata-token-ttl-seconds: 21600", 0 },
		1, &token, err);
	if (r < 0) {
		kc_wrap(err, "none in the environment (AWS_ACCESS_KEY_ID), the profile or a "
			     "container");
		return err ? err->code = KC_EAUTH : KC_EAUTH;
	}
	header = xasprintf("X-aws-ec2-metadata-token: %s", token);
	free(url);
	url = xasprintf("%.*s/latest/meta-data/iam/security-credentials/", n, base);
	r = ask(h, what, (struct question){ "GET", url, header, 0 }, 3, &role, err);
	if (r == KC_ENOTFOUND)
		return kc_fail(err, KC_EAUTH, "%s: the instance has no role", what);
	if (r < 0)
		return r;
	if (!*role || role[strspn(role, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789+=,.@_-")])
		return kc_fail(err, KC_EFAIL, "%s: \"%.60s\" is no name of a role", what, role);
	role_url = xasprintf("%s%s", url, role);
	r = ask(h, what, (struct question){ "GET", role_url, header, 0 }, 3, &text, err);
	return r ? r : read_keys(text, what, ret, err);
}
