/* How each source of credentials gets an access token, and what Entra's refusals mean. */
#include <ctype.h>
#include <stdio.h>
#include <time.h>

#include "clouds/azure/creds_priv.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/crypto/jwt.h"

enum {
	MAX_TOKEN_FILE = 1 << 16,
	ASSERTION_S = 600, /* "five to ten minutes at most" */
	AZ_MS = 60000,	   /* az refreshes its own token, and is slow to start */
};

/* "Microsoft Entra authentication and authorization error codes". */
static const struct {
	const char *code, *advice;
} advices[] = {
	{ "AADSTS90002:", "there is no such tenant: correct AZURE_TENANT_ID" },
	{ "AADSTS900023:", "there is no such tenant: correct AZURE_TENANT_ID" },
	{ "AADSTS700016:", "this tenant has no such application: correct AZURE_CLIENT_ID or "
			   "AZURE_TENANT_ID" },
	{ "AADSTS7000215:", "AZURE_CLIENT_SECRET must be the secret's value, not its id" },
	{ "AADSTS7000222:",
	  "the secret has ended; make a new one with: az ad app credential reset" },
	{ "AADSTS700027:", "register this certificate with the application, or correct "
			   "AZURE_CLIENT_CERTIFICATE_PATH" },
	{ "AADSTS700024:", "correct this machine's clock, or have the federated token renewed" },
	{ "AADSTS70021:", "add a federated credential for this issuer and subject" },
	{ "AADSTS700211:", "add a federated credential for this issuer" },
	{ "AADSTS700212:", "add a federated credential for this audience" },
	{ "AADSTS700213:", "add a federated credential for this subject" },
	{ "AADSTS500011:", "this tenant does not know the audience" },
	{ "AADSTS53003:", "a conditional access policy forbids it" },
};

static const char *advice_on(const char *text)
{
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++)
		if (kc_startswith(text, advices[i].code))
			return advices[i].advice;
	return "see its code at https://login.microsoftonline.com/error";
}

/* {"error", "error_description": "AADSTS7000215: Text. Trace ID: ... Timestamp: ..."} */
static int refused(const char *url, long status, const json_t *reply, struct kc_err *err)
{
	const char *text = kc_json_get_str(reply, "error_description", "no reason given"),
		   *trace = strstr(text, "Trace ID:");
	size_t n = trace ? (size_t)(trace - text) : strlen(text);

	n = strcspn(text, "\r\n") < n ? strcspn(text, "\r\n") : n;
	while (n && isspace((unsigned char)text[n - 1]))
		n--;
	return kc_fail(err, KC_EAUTH, "%s: HTTP %ld %.60s: %.*s (%s)", url, status,
		       kc_json_get_str(reply, "error", ""), n < 400 ? (int)n : 400, text,
		       advice_on(text));
}

static int ask_entra(struct kc_azure_creds *c, const char *form, char **ret_token,
		     int64_t *ret_seconds, struct kc_err *err)
{
	struct kc_oauth_req req = { .url = c->token_url, .form = form };
	_cleanup_oauth_reply_ struct kc_http_reply reply = { 0 };
	json_auto_t *v = NULL;
	int r = kc_oauth_ask(c->http, &req, &reply, err);

	if (r == 0)
		r = kc_oauth_json(c->token_url, &reply, &v, err);
	if (r < 0)
		return r;
	if (reply.status != 200)
		return refused(c->token_url, reply.status, v, err);
	return kc_oauth_token(c->token_url, v, ret_token, ret_seconds, err);
}

static char *scope(const struct kc_azure_creds *c)
{
	return xasprintf("%s/.default", c->audience);
}

int azure_fetch_secret(void *cookie, char **ret_token, int64_t *ret_seconds, struct kc_err *err)
{
	struct kc_azure_creds *c = cookie;
	_cleanup_free_ char *for_what = scope(c);
	_cleanup_wiped_ char *form =
		kc_form("grant_type", "client_credentials", "client_id", c->client, "scope",
			for_what, "client_secret", c->secret, NULL);

	return ask_entra(c, form, ret_token, ret_seconds, err);
}

static int by_assertion(struct kc_azure_creds *c, const char *assertion, char **ret_token,
			int64_t *ret_seconds, struct kc_err *err)
{
	_cleanup_free_ char *for_what = scope(c);
	_cleanup_wiped_ char *form =
		kc_form("grant_type", "client_credentials", "client_id", c->client, "scope",
			for_what, "client_assertion_type",
			"urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			"client_assertion", assertion, NULL);

	return ask_entra(c, form, ret_token, ret_seconds, err);
}

int azure_fetch_certificate(void *cookie, char **ret_token, int64_t *ret_seconds,
			    struct kc_err *err)
{
	struct kc_azure_creds *c = cookie;
	json_auto_t *header = kc_pack("{s:s}", "x5t#S256", c->thumbprint), *claims = NULL;
	_cleanup_wiped_ char *assertion = NULL;
	json_int_t now = (json_int_t)time(NULL);
	unsigned char random[16];
	char id[33];
	int r;

	kc_random(random, sizeof(random));
	kc_hex(random, sizeof(random), id);
	claims = kc_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "aud", c->token_url, "iss",
			 c->client, "sub", c->client, "jti", id, "iat", now, "nbf", now, "exp",
			 now + ASSERTION_S);
	r = kc_jwt_sign(KC_JWT_PS256, header, claims, c->pem, &assertion, err);
	return r < 0 ? kc_wrap(err, "%s", c->path)
		     : by_assertion(c, assertion, ret_token, ret_seconds, err);
}

/* The file is read each time: kubelet writes a new token when the old one has lived most of its
 * life. */
int azure_fetch_federated(void *cookie, char **ret_token, int64_t *ret_seconds, struct kc_err *err)
{
	struct kc_azure_creds *c = cookie;
	_cleanup_wiped_ char *assertion = NULL;
	int r = kc_file_read(c->path, MAX_TOKEN_FILE, &assertion, NULL, err);

	if (r < 0)
		return kc_wrap(err, "AZURE_FEDERATED_TOKEN_FILE");
	for (size_t n = strlen(assertion); n && isspace((unsigned char)assertion[n - 1]); n--)
		assertion[n - 1] = '\0';
	if (!*assertion)
		return kc_fail(err, KC_EINVAL, "AZURE_FEDERATED_TOKEN_FILE: %s is empty", c->path);
	return by_assertion(c, assertion, ret_token, ret_seconds, err);
}

/* KC_ENOTFOUND: nothing answers there, or there is no identity; az may know somebody. */
static int ask_imds(struct kc_azure_creds *c, char **ret_token, int64_t *ret_seconds,
		    struct kc_err *err)
{
	static const char *const headers[] = { "Metadata: true", NULL };
	_cleanup_free_ char *query = kc_form("api-version", "2018-02-01", "resource", c->audience,
					     "client_id", c->client, NULL),
			    *url = xasprintf("%s?%s", c->imds, query);
	struct kc_oauth_req req = {
		.what = c->imds, .url = url, .headers = headers, .attempts = 2
	};
	_cleanup_oauth_reply_ struct kc_http_reply reply = { 0 };
	json_auto_t *v = NULL;
	int r = kc_oauth_ask(c->imds_http, &req, &reply, err);

	if (r < 0) {
		struct kc_err why = *err;

		return kc_fail(err, c->managed ? r : KC_ENOTFOUND,
			       "no metadata service answers (%s)", why.msg);
	}
	if (kc_oauth_json(c->imds, &reply, &v, err) < 0)
		return kc_fail(err, KC_ENOTFOUND, "what answers at %s is no metadata service",
			       c->imds);
	if (reply.status == 400 || reply.status == 404)
		return kc_fail(err, KC_ENOTFOUND,
			       "the metadata service has no%s identity%s%s: %.200s",
			       c->client ? " such" : "", c->client ? " as " : "",
			       c->client ? c->client : "",
			       kc_json_get_str(v, "error_description", "no reason given"));
	if (reply.status != 200)
		return refused(c->imds, reply.status, v, err);
	return kc_oauth_token(c->imds, v, ret_token, ret_seconds, err);
}

/* "2026-11-23 15:41:12.000000", local time: all that an az before 2.54 tells. */
static bool parse_local(const char *s, int64_t *ret)
{
	struct tm tm = { .tm_isdst = -1 };

	if (!strptime(s, "%Y-%m-%d %H:%M:%S", &tm))
		return false;
	*ret = mktime(&tm);
	return true;
}

static int parse_az(const char *text, char **ret_token, int64_t *ret_seconds, struct kc_err *err)
{
	json_auto_t *v = NULL;
	int64_t until;

	if (kc_json_parse(text, strlen(text), "az", &v, NULL) < 0 || !json_is_object(v))
		return kc_fail(err, KC_EFAIL, "az account get-access-token: not a JSON object");
	until = kc_json_get_int(v, "expires_on", -1);
	if (until < 0 && !parse_local(kc_json_get_str(v, "expiresOn", ""), &until))
		return kc_fail(err, KC_EFAIL,
			       "az account get-access-token: neither expires_on nor expiresOn");
	*ret_seconds = until - kc_realtime_ms() / 1000;
	return kc_oauth_take("az account get-access-token", v, "accessToken", ret_token, err);
}

static int ask_az(struct kc_azure_creds *c, char **ret_token, int64_t *ret_seconds,
		  struct kc_err *err)
{
	static const char *const env[] = { "AZURE_CORE_NO_COLOR=true", NULL };
	const char *argv[] = {
		"az",	   "account",	 "get-access-token", "--output",
		"json",	   "--resource", c->audience,	     c->tenant ? "--tenant" : NULL,
		c->tenant, NULL
	};
	/* From /: az would load what lies in the folder it is started in. */
	struct kc_run run = { .argv = argv, .env = env, .dir = "/", .timeout_ms = AZ_MS };
	_cleanup_wiped_ char *out = NULL;
	int r = kc_run(&run, &out, err);

	return r < 0 ? r : parse_az(out, ret_token, ret_seconds, err);
}

int azure_fetch_ambient(void *cookie, char **ret_token, int64_t *ret_seconds, struct kc_err *err)
{
	struct kc_azure_creds *c = cookie;
	struct kc_err imds, az;
	int r = ask_imds(c, ret_token, ret_seconds, &imds);

	c->managed |= r == 0;
	if (r == 0)
		return 0;
	if (r != KC_ENOTFOUND || c->managed)
		return kc_fail(err, r == KC_ENOTFOUND ? KC_EAUTH : r, "%s", imds.msg);
	r = ask_az(c, ret_token, ret_seconds, &az);
	if (r == 0)
		return 0;
	return kc_fail(err, KC_EAUTH,
		       "no Azure credentials: none of AZURE_CLIENT_SECRET, "
		       "AZURE_CLIENT_CERTIFICATE_PATH, AZURE_FEDERATED_TOKEN_FILE is set; %s; %s; "
		       "run: az login",
		       imds.msg, az.msg);
}
