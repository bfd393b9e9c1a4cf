#include "clouds/aws/creds.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "clouds/aws/config.h"
#include "clouds/aws/source.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* Looked up again when so little is left; profiles that lead to one another, at most. */
enum { REFRESH_MS = 5 * 60 * 1000, MAX_CHAIN = 8 };

/* A look-up among the profiles: those whose roles are being assumed. */
struct lookup {
	const json_t *config;
	const char *chain[MAX_CHAIN];
	int n;
};

struct kc_aws_creds {
	pthread_mutex_t lock;
	char *profile; /* asked for by name; or NULL */
	bool have, dropped;
	struct kc_aws_keys keys;
};

void kc_aws_keys_done(struct kc_aws_keys *k)
{
	free(k->id);
	kc_free_wiped(k->secret);
	kc_free_wiped(k->token);
	*k = (struct kc_aws_keys){ 0 };
}

static void keys_copy(const struct kc_aws_keys *k, struct kc_aws_keys *ret)
{
	*ret = (struct kc_aws_keys){
		.id = xstrdup(k->id),
		.secret = xstrdup(k->secret),
		.token = k->token ? xstrdup(k->token) : NULL,
		.expires_ms = k->expires_ms,
	};
}

/* "2026-11-28T16:00:00Z", also with a fraction and "+00:00". */
static bool parse_time(const char *text, int64_t *ret_ms)
{
	struct tm tm = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (rest && *rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (!rest || !(streq(rest, "Z") || streq(rest, "+00:00")))
		return false;
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	return true;
}

int kc_aws_keys_read(const json_t *o, const char *what, const char *token, struct kc_aws_keys *ret,
		     struct kc_err *err)
{
	const char *id, *secret, *expiration = kc_json_get_str(o, "Expiration", NULL);
	int64_t expires = 0;
	int r;

	r = kc_json_str(o, what, "AccessKeyId", &id, err);
	if (r == 0)
		r = kc_json_str(o, what, "SecretAccessKey", &secret, err);
	if (r < 0)
		return r;
	if (expiration && !parse_time(expiration, &expires))
		return kc_fail(err, KC_EFAIL, "%s: Expiration is no time: \"%.60s\"", what,
			       expiration);
	token = kc_json_get_str(o, token, NULL);
	keys_copy(&(struct kc_aws_keys){ .id = (char *)id,
					 .secret = (char *)secret,
					 .token = (char *)token,
					 .expires_ms = expires },
		  ret);
	return 0;
}

/* 1: not there. */
static int from_env(struct kc_aws_keys *ret, struct kc_err *err)
{
	const char *id = kc_aws_env("AWS_ACCESS_KEY_ID");
	const char *secret = kc_aws_env("AWS_SECRET_ACCESS_KEY");

	if (!id)
		return 1;
	if (!secret)
		return kc_fail(err, KC_EINVAL,
			       "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY");
	keys_copy(&(struct kc_aws_keys){ .id = (char *)id,
					 .secret = (char *)secret,
					 .token = (char *)kc_aws_env("AWS_SESSION_TOKEN") },
		  ret);
	return 0;
}

/* 1: not there, or in the other file. */
static int from_keys(const json_t *p, bool credentials, struct kc_aws_keys *ret, struct kc_err *err)
{
	const char *id = kc_aws_value(p, "aws_access_key_id");
	const char *secret = kc_aws_value(p, "aws_secret_access_key");
	const json_t *where = json_object_get(p, "aws_access_key_id");

	if (!id || kc_json_get_bool(where, "credentials", false) != credentials)
		return 1;
	if (!secret)
		return kc_fail(err, KC_EINVAL,
			       "%s: aws_access_key_id without aws_secret_access_key",
			       kc_aws_at(p, "aws_access_key_id"));
	keys_copy(&(struct kc_aws_keys){ .id = (char *)id,
					 .secret = (char *)secret,
					 .token = (char *)kc_aws_value(p, "aws_session_token") },
		  ret);
	return 0;
}

static int from_role(struct lookup *l, const char *name, struct kc_aws_keys *ret,
		     struct kc_err *err);
static int from_profile(const json_t *p, const char *name, bool env, struct kc_aws_keys *ret,
			struct kc_err *err);

static bool has_role(const json_t *p)
{
	return kc_aws_value(p, "role_arn") && !kc_aws_value(p, "web_identity_token_file");
}

static int from_named_source(const json_t *p, const char *source, struct kc_aws_keys *ret,
			     struct kc_err *err)
{
	const char *at = kc_aws_at(p, "credential_source");
	int r;

	if (streq(source, "Environment"))
		r = from_env(ret, err);
	else if (streq(source, "EcsContainer"))
		r = kc_aws_from_container(ret, err);
	else if (streq(source, "Ec2InstanceMetadata"))
		r = kc_aws_from_instance(ret, err);
	else
		return kc_fail(err, KC_EINVAL,
			       "%s: credential_source is none of Environment, EcsContainer, "
			       "Ec2InstanceMetadata",
			       at);
	if (r == 1)
		return kc_fail(err, KC_EAUTH, "%s: there are no credentials in %s", at, source);
	return r < 0 ? kc_wrap(err, "%s", at) : 0;
}

/* May it be the next of the chain? A profile may name itself, as the one that has keys, too. */
static int check_source(struct lookup *l, const char *name, const char *source, struct kc_err *err)
{
	const json_t *p = kc_aws_profile(l->config, source);
	const char *at = kc_aws_at(kc_aws_profile(l->config, name), "source_profile");
	bool keys = kc_aws_value(p, "aws_access_key_id") != NULL;

	if (!p)
		return kc_fail(err, KC_EINVAL, "%s: there is no profile \"%s\"", at, source);
	for (int i = 0; i < l->n; i++)
		if (streq(l->chain[i], source) && !(streq(source, name) && keys))
			return kc_fail(err, KC_EINVAL, "%s: profiles name each other in a circle",
				       at);
	if (l->n == MAX_CHAIN)
		return kc_fail(err, KC_EINVAL, "%s: more than %d profiles in a row", at, MAX_CHAIN);
	return 0;
}

/* What the role is assumed with. */
static int source_keys(struct lookup *l, const char *name, struct kc_aws_keys *ret,
		       struct kc_err *err)
{
	const json_t *p = kc_aws_profile(l->config, name);
	const char *source = kc_aws_value(p, "source_profile");
	const char *named = kc_aws_value(p, "credential_source");
	int r;

	if (!source == !named)
		return kc_fail(err, KC_EINVAL,
			       "%s: role_arn needs either source_profile or credential_source",
			       kc_aws_at(p, "role_arn"));
	if (named)
		return from_named_source(p, named, ret, err);
	l->chain[l->n++] = name;
	r = check_source(l, name, source, err);
	if (r < 0)
		return r;
	p = kc_aws_profile(l->config, source);
	if (has_role(p) && !kc_aws_value(p, "aws_access_key_id"))
		return from_role(l, source, ret, err);
	r = from_profile(p, source, false, ret, err);
	if (r == 1)
		return kc_fail(err, KC_EINVAL, "%s: profile \"%s\" has no credentials",
			       kc_aws_at(kc_aws_profile(l->config, name), "source_profile"),
			       source);
	return r;
}

static int from_role(struct lookup *l, const char *name, struct kc_aws_keys *ret,
		     struct kc_err *err)
{
	_cleanup_aws_keys_ struct kc_aws_keys with = { 0 };
	const json_t *p = kc_aws_profile(l->config, name);
	const struct kc_aws_role role = {
		.arn = kc_aws_value(p, "role_arn"),
		.session = kc_aws_value(p, "role_session_name"),
		.external_id = kc_aws_value(p, "external_id"),
		.duration = kc_aws_value(p, "duration_seconds"),
		.region = kc_aws_value(p, "region"),
		.profile = name,
	};
	int r;

	if (kc_aws_value(p, "mfa_serial"))
		return kc_fail(err, KC_EINVAL,
			       "%s: roles that ask for an MFA code cannot be assumed here; give "
			       "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN",
			       kc_aws_at(p, "mfa_serial"));
	r = source_keys(l, name, &with, err);
	if (r == 0)
		r = kc_aws_assume(&role, &with, ret, err);
	return r;
}

/* 1: neither the profile nor (for a name of its own choice) the environment has one. */
static int from_web_identity(const json_t *p, const char *name, bool env, struct kc_aws_keys *ret,
			     struct kc_err *err)
{
	const char *file = env ? kc_aws_env("AWS_WEB_IDENTITY_TOKEN_FILE") : NULL;
	struct kc_aws_role role = {
		.arn = env ? kc_aws_env("AWS_ROLE_ARN") : NULL,
		.session = env ? kc_aws_env("AWS_ROLE_SESSION_NAME") : NULL,
		.region = kc_aws_value(p, "region"),
		.profile = name,
	};

	if (!file)
		file = kc_aws_value(p, "web_identity_token_file");
	if (!file)
		return 1;
	if (!role.arn)
		role.arn = kc_aws_value(p, "role_arn");
	if (!role.session)
		role.session = kc_aws_value(p, "role_session_name");
	if (!role.arn)
		return kc_fail(err, KC_EINVAL,
			       "a web identity token (%s) needs AWS_ROLE_ARN or role_arn", file);
	return kc_aws_assume_by_token(&role, file, ret, err);
}

/* Besides roles. env: what the environment says of a web identity counts, too. 1: it has none. */
static int from_profile(const json_t *p, const char *name, bool env, struct kc_aws_keys *ret,
			struct kc_err *err)
{
	const char *process = kc_aws_value(p, "credential_process");
	int r;

	r = from_web_identity(p, name, env, ret, err);
	if (r != 1)
		return r;
	if (kc_aws_value(p, "sso_session") || kc_aws_value(p, "sso_start_url"))
		return kc_fail(err, KC_EINVAL,
			       "%s: profile \"%s\" uses IAM Identity Center; after `aws sso "
			       "login`, "
			       "use a profile with credential_process = aws configure "
			       "export-credentials --profile %s",
			       kc_aws_value(p, "sso_session") ? kc_aws_at(p, "sso_session")
							      : kc_aws_at(p, "sso_start_url"),
			       name, name);
	r = from_keys(p, true, ret, err);
	if (r == 1 && process)
		r = kc_aws_from_process(process, kc_aws_at(p, "credential_process"), ret, err);
	if (r == 1)
		r = from_keys(p, false, ret, err);
	return r;
}

static int look_up(const char *profile, struct kc_aws_keys *ret, struct kc_err *err)
{
	const char *name = profile ? profile : kc_aws_profile_name();
	json_auto_t *config = NULL;
	struct lookup l = { 0 };
	const json_t *p;
	int r;

	r = kc_aws_config_load(&config, err);
	if (r < 0)
		return r;
	l.config = config;
	if (!kc_aws_profile(config, name) && !streq(name, "default"))
		return kc_fail(err, KC_EINVAL,
			       "there is no AWS profile \"%s\" (AWS_PROFILE) in the configuration",
			       name);
	r = profile ? 1 : from_env(ret, err);
	if (r != 1)
		return r;
	p = kc_aws_profile(config, name);
	if (has_role(p))
		return from_role(&l, name, ret, err);
	r = from_profile(p, name, true, ret, err);
	if (r == 1)
		r = kc_aws_from_container(ret, err);
	if (r == 1)
		r = kc_aws_from_instance(ret, err);
	return r;
}

struct kc_aws_creds *kc_aws_creds_new(const char *profile)
{
	struct kc_aws_creds *c = xcalloc(1, sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->profile = profile ? xstrdup(profile) : NULL;
	return c;
}

void kc_aws_creds_free(struct kc_aws_creds *c)
{
	if (!c)
		return;
	pthread_mutex_destroy(&c->lock);
	kc_aws_keys_done(&c->keys);
	free(c->profile);
	free(c);
}

int kc_aws_creds_get(struct kc_aws_creds *c, struct kc_aws_keys *ret, struct kc_err *err)
{
	struct kc_aws_keys fresh = { 0 };
	struct kc_err e = { 0 };
	int64_t left;
	int r = 0;

	pthread_mutex_lock(&c->lock);
	left = c->keys.expires_ms - kc_realtime_ms();
	if (!c->have || c->dropped || (c->keys.expires_ms && left < REFRESH_MS)) {
		r = look_up(c->profile, &fresh, &e);
		if (r == 0) {
			kc_aws_keys_done(&c->keys);
			c->keys = fresh;
			c->have = true;
			c->dropped = false;
		} else if (c->have && !c->dropped && left > 0) {
			kc_debug("http", "aws: the credentials stay until they expire: %s", e.msg);
			r = 0;
		}
	}
	if (r == 0)
		keys_copy(&c->keys, ret);
	else
		r = kc_fail(err, e.code, "AWS credentials: %s", e.msg);
	pthread_mutex_unlock(&c->lock);
	return r;
}

void kc_aws_creds_drop(struct kc_aws_creds *c)
{
	pthread_mutex_lock(&c->lock);
	c->dropped = true;
	pthread_mutex_unlock(&c->lock);
}
