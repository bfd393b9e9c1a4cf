#include "clouds/azure/creds.h"

#include <ctype.h>
#include <stdio.h>

#include "clouds/azure/creds_priv.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/crypto/jwt.h"

enum { MAX_PEM = 1 << 16, IMDS_CONNECT_MS = 2000 };

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

/* It becomes a part of a path: a GUID or a domain. */
static int check_id(const char *name, const char *value, struct kc_err *err)
{
	for (const char *p = value; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-.", *p))
			return kc_fail(err, KC_EINVAL, "%s=%.100s: not the id of any", name, value);
	return 0;
}

static int check_application(const struct kc_azure_creds *c, const char *because,
			     struct kc_err *err)
{
	int r;

	if (!c->tenant || !c->client)
		return kc_fail(err, KC_EINVAL, "%s is set, and %s is not", because,
			       c->tenant ? "AZURE_CLIENT_ID" : "AZURE_TENANT_ID");
	r = check_id("AZURE_TENANT_ID", c->tenant, err);
	return r < 0 ? r : check_id("AZURE_CLIENT_ID", c->client, err);
}

static int set_authority(struct kc_azure_creds *c, struct kc_err *err)
{
	const char *named = env("AZURE_AUTHORITY_HOST");
	_cleanup_free_ char *url = xstrdup(named ? named : "https://login.microsoftonline.com");
	int r;

	if (!strstr(url, "://")) { /* a host alone is https, as in Microsoft's clients */
		char *whole = xasprintf("https://%s", url);

		free(url);
		url = whole;
	}
	r = kc_url_check("AZURE_AUTHORITY_HOST", url, err);
	if (r < 0)
		return r;
	for (size_t n = strlen(url); n && url[n - 1] == '/'; n--)
		url[n - 1] = '\0';
	c->token_url = xasprintf("%s/%s/oauth2/v2.0/token", url, c->tenant);
	return 0;
}

static int use_certificate(struct kc_azure_creds *c, const char *path, struct kc_err *err)
{
	int r = kc_file_read_private(path, MAX_PEM, &c->pem, NULL, err);

	if (r == 0)
		r = kc_jwt_thumbprint(c->pem, &c->thumbprint, err) < 0 ? kc_wrap(err, "%s", path)
								       : 0;
	if (r < 0)
		return kc_wrap(err, "AZURE_CLIENT_CERTIFICATE_PATH");
	c->path = xstrdup(path);
	return 0;
}

static int use_ambient(struct kc_azure_creds *c, kc_token_fetch *ret, struct kc_err *err)
{
	const char *named = env("AZURE_POD_IDENTITY_AUTHORITY_HOST");
	char *url = xstrdup(named ? named : "http://169.254.169.254");

	for (size_t n = strlen(url); n && url[n - 1] == '/'; n--)
		url[n - 1] = '\0';
	c->imds = xasprintf("%s/metadata/identity/oauth2/token", url);
	free(url);
	if (!kc_startswith(c->imds, "http://") && !kc_startswith(c->imds, "https://"))
		return kc_fail(err, KC_EINVAL, "AZURE_POD_IDENTITY_AUTHORITY_HOST: no URL");
	c->who = xstrdup("this machine's managed identity");
	*ret = azure_fetch_ambient;
	return 0;
}

static int choose(struct kc_azure_creds *c, kc_token_fetch *ret, struct kc_err *err)
{
	const char *secret = env("AZURE_CLIENT_SECRET"),
		   *certificate = env("AZURE_CLIENT_CERTIFICATE_PATH"),
		   *federated = env("AZURE_FEDERATED_TOKEN_FILE"),
		   *because = secret	    ? "AZURE_CLIENT_SECRET"
			      : certificate ? "AZURE_CLIENT_CERTIFICATE_PATH"
			      : federated   ? "AZURE_FEDERATED_TOKEN_FILE"
					    : NULL;
	int r;

	c->tenant = dup_or_null(env("AZURE_TENANT_ID"));
	c->client = dup_or_null(env("AZURE_CLIENT_ID"));
	if (!because)
		return use_ambient(c, ret, err);
	r = check_application(c, because, err);
	if (r == 0)
		r = set_authority(c, err);
	if (r < 0)
		return r;
	c->who = xasprintf("application %s (%s)", c->client, because);
	if (secret) {
		c->secret = xstrdup(secret);
		*ret = azure_fetch_secret;
		return 0;
	}
	if (certificate) {
		*ret = azure_fetch_certificate;
		return use_certificate(c, certificate, err);
	}
	c->path = xstrdup(federated);
	*ret = azure_fetch_federated;
	return 0;
}

int kc_azure_creds_new(const char *audience, const char *ca_pem, struct kc_azure_creds **ret,
		       struct kc_err *err)
{
	_cleanup_(kc_azure_creds_freep) struct kc_azure_creds *c = xcalloc(1, sizeof(*c));
	struct kc_http_conf conf = { .ca_pem = ca_pem },
			    imds = { .ca_pem = ca_pem, .connect_timeout_ms = IMDS_CONNECT_MS };
	kc_token_fetch fetch = NULL;
	int r = choose(c, &fetch, err);

	if (r == 0)
		r = kc_http_new(&conf, &c->http, err);
	if (r == 0)
		r = kc_http_new(&imds, &c->imds_http, err);
	if (r < 0)
		return r;
	c->audience = xstrdup(audience);
	for (size_t n = strlen(c->audience); n && c->audience[n - 1] == '/'; n--)
		c->audience[n - 1] = '\0';
	c->tokens = kc_tokens_new(fetch, c);
	*ret = TAKE(c);
	return 0;
}

void kc_azure_creds_free(struct kc_azure_creds *c)
{
	if (!c)
		return;
	kc_tokens_free(c->tokens);
	kc_http_free(c->http);
	kc_http_free(c->imds_http);
	free(c->tenant);
	free(c->client);
	kc_free_wiped(c->secret);
	kc_free_wiped(c->pem);
	free(c->thumbprint);
	free(c->path);
	free(c->token_url);
	free(c->audience);
	free(c->imds);
	free(c->who);
	free(c);
}

int kc_azure_creds_header(struct kc_azure_creds *c, char **ret_header, struct kc_err *err)
{
	int r = kc_tokens_header(c->tokens, ret_header, err);

	return r < 0 ? kc_wrap(err, "%s", c->who) : 0;
}

void kc_azure_creds_reject(struct kc_azure_creds *c, const char *header)
{
	kc_tokens_reject(c->tokens, header);
}

const char *kc_azure_creds_who(const struct kc_azure_creds *c)
{
	return c->who;
}
