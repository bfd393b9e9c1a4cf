#include "clouds/gcp/creds.h"

#include <stdio.h>

#include "clouds/gcp/creds_priv.h"
#include "lib/base/file.h"
#include "lib/base/str.h"

enum { MAX_FILE = 1 << 16, METADATA_CONNECT_MS = 3000 };

#define LOGIN "run: gcloud auth application-default login"

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

static int read_json(const char *path, bool private, json_t **ret, struct kc_err *err)
{
	_cleanup_wiped_ char *text = NULL;
	json_auto_t *v = NULL;
	size_t len;
	int r = private ? kc_file_read_private(path, MAX_FILE, &text, &len, err)
			: kc_file_read(path, MAX_FILE, &text, &len, err);

	if (r < 0)
		return r;
	r = kc_json_parse(text, len, path, &v, err);
	if (r < 0)
		return r;
	if (!json_is_object(v))
		return kc_fail(err, KC_EINVAL, "%s: not a JSON object", path);
	*ret = TAKE(v);
	return 0;
}

static int source_of(const char *path, const json_t *file, const struct gcp_source **ret,
		     struct kc_err *err)
{
	static const struct gcp_source *const sources[] = { &gcp_service_account,
							    &gcp_authorized_user,
							    &gcp_external_account };
	const char *type = kc_json_get_str(file, "type", NULL);

	for (size_t i = 0; type && i < ARRAY_SIZE(sources); i++) {
		if (streq(type, sources[i]->type)) {
			*ret = sources[i];
			return 0;
		}
	}
	if (json_object_get(file, "installed") || json_object_get(file, "web"))
		return kc_fail(err, KC_EINVAL,
			       "%s: this is an OAuth client, no credentials; use a service "
			       "account's key, or " LOGIN,
			       path);
	return kc_fail(err, KC_EINVAL,
		       "%s: type \"%.80s\" is none of service_account, authorized_user, "
		       "external_account",
		       path, type ? type : "");
}

static int check_file(const struct kc_gcp_creds *c, struct kc_err *err)
{
	const char *value;
	int r = 0;

	for (const char *const *key = c->source->needs; *key; key++) {
		r = kc_json_str(c->file, c->path, *key, &value, err);
		if (r == 0 && !*value)
			r = kc_fail(err, KC_EINVAL, "%s: \"%s\" is empty", c->path, *key);
		if (r < 0)
			return r;
	}
	for (const char *const *key = c->source->urls; *key; key++) {
		if (!json_object_get(c->file, *key))
			continue;
		r = kc_json_str(c->file, c->path, *key, &value, err);
		if (r == 0)
			r = kc_url_check(*key, value, err) < 0 ? kc_wrap(err, "%s", c->path) : 0;
		if (r < 0)
			return r;
	}
	if (c->source->check && c->source->check(c->file, err) < 0)
		return kc_wrap(err, "%s", c->path);
	return 0;
}

static int use_file(struct kc_gcp_creds *c, const char *path, struct kc_err *err)
{
	int r = read_json(path, false, &c->file, err);

	if (r == 0)
		r = source_of(path, c->file, &c->source, err);
	if (r < 0)
		return r;
	c->path = xstrdup(path);
	if (c->source->secret) { /* now that we know: again, and from what was checked */
		json_decref(c->file);
		c->file = NULL;
		r = read_json(path, true, &c->file, err);
		if (r < 0)
			return r;
	}
	return check_file(c, err);
}

static char *gcloud_file(void)
{
	_cleanup_free_ char *dir = env("CLOUDSDK_CONFIG") ? xstrdup(env("CLOUDSDK_CONFIG"))
							  : kc_expand_home("~/.config/gcloud");

	return xasprintf("%s/application_default_credentials.json", dir);
}

static int choose(struct kc_gcp_creds *c, struct kc_err *err)
{
	const char *path = env("GOOGLE_APPLICATION_CREDENTIALS"), *off = env("NO_GCE_CHECK");
	_cleanup_free_ char *gcloud = NULL;

	if (path) {
		int r = use_file(c, path, err);

		return r < 0 ? kc_wrap(err, "GOOGLE_APPLICATION_CREDENTIALS") : 0;
	}
	gcloud = gcloud_file();
	if (kc_exists(gcloud))
		return use_file(c, gcloud, err);
	c->tried = xasprintf("GOOGLE_APPLICATION_CREDENTIALS is not set, there is no %s", gcloud);
	if (off && (streq(off, "true") || streq(off, "1")))
		return kc_fail(err, KC_EAUTH, "no Google credentials: %s; " LOGIN, c->tried);
	c->source = &gcp_metadata;
	c->metadata =
		xstrdup(env("GCE_METADATA_HOST") ? env("GCE_METADATA_HOST") : "169.254.169.254");
	if (strcspn(c->metadata, "/@?#\\ ") != strlen(c->metadata))
		return kc_fail(err, KC_EINVAL, "GCE_METADATA_HOST=%.100s: HOST or HOST:PORT",
			       c->metadata);
	return 0;
}

int kc_gcp_creds_new(const char *ca_pem, struct kc_gcp_creds **ret, struct kc_err *err)
{
	_cleanup_(kc_gcp_creds_freep) struct kc_gcp_creds *c = xcalloc(1, sizeof(*c));
	struct kc_http_conf conf = { .ca_pem = ca_pem };
	int r = choose(c, err);

	if (r < 0)
		return r;
	if (c->metadata)
		conf.connect_timeout_ms = METADATA_CONNECT_MS;
	r = kc_http_new(&conf, &c->http, err);
	if (r < 0)
		return r;
	c->who = c->source->who(c);
	c->tokens = kc_tokens_new(c->source->fetch, c);
	*ret = TAKE(c);
	return 0;
}

void kc_gcp_creds_free(struct kc_gcp_creds *c)
{
	if (!c)
		return;
	kc_tokens_free(c->tokens);
	kc_http_free(c->http);
	kc_json_wipe(c->file, "private_key");
	kc_json_wipe(c->file, "refresh_token");
	kc_json_wipe(c->file, "client_secret");
	json_decref(c->file);
	free(c->path);
	free(c->metadata);
	free(c->tried);
	free(c->who);
	free(c);
}

int kc_gcp_creds_header(struct kc_gcp_creds *c, char **ret_header, struct kc_err *err)
{
	int r = kc_tokens_header(c->tokens, ret_header, err);

	return r < 0 ? kc_wrap(err, "%s", c->who) : 0;
}

void kc_gcp_creds_reject(struct kc_gcp_creds *c, const char *header)
{
	kc_tokens_reject(c->tokens, header);
}

const char *kc_gcp_creds_who(const struct kc_gcp_creds *c)
{
	return c->who;
}

const char *kc_gcp_creds_project(const struct kc_gcp_creds *c)
{
	return kc_json_get_str(c->file, "project_id", kc_gcp_creds_quota_project(c));
}

const char *kc_gcp_creds_quota_project(const struct kc_gcp_creds *c)
{
	const char *named = env("GOOGLE_CLOUD_QUOTA_PROJECT");

	return named ? named : kc_json_get_str(c->file, "quota_project_id", NULL);
}
