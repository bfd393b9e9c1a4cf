#include "bootstrap/secrets.h"

#include <string.h>

#include "bootstrap/formats.h"
#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/crypto/pki.h"

enum { CA_SECONDS = 10 * 365 * 86400 };

static const struct secret_def {
	const char *name, *object, *type, *cn;
} defs[] = {
	{ "state", "secrets/state", "state-key", NULL },
	{ "ca", "pki/ca", "ca", "kubernetes-ca" },
	{ "front-proxy-ca", "pki/front-proxy-ca", "ca", "front-proxy-ca" },
	{ "etcd-ca", "pki/etcd-ca", "ca", "etcd-ca" },
	{ "sa", "pki/sa", "key-pair", "service-accounts" },
	{ "encryption", "secrets/encryption", "encryption", "etcd" },
};

json_t *kc_secret_tasks(void)
{
	json_t *tasks = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(defs); i++)
		json_array_append_new(tasks,
				      kc_pack("{s:o, s:s, s:{s:s, s:s, s:s*}}", "id",
					      json_sprintf("secret/%s", defs[i].name), "kind",
					      "secret", "want", "object", defs[i].object, "type",
					      defs[i].type, "cn", defs[i].cn));
	return tasks;
}

static char *object_key(const struct kc_secrets *s, const char *object)
{
	return xasprintf("%s/%s.json", s->prefix, object);
}

/* What plans and records may know of a secret. */
static int describe(const json_t *want, const json_t *secret, json_t **ret, struct kc_err *err)
{
	const char *crt = kc_json_get_str(secret, "crt", NULL);
	json_auto_t *actual = json_deep_copy(want);
	_cleanup_cert_info_ struct kc_cert_info info = { 0 };
	char when[21];
	int r;

	if (crt) {
		r = kc_cert_read(crt, &info, err);
		if (r < 0)
			return r;
		kc_time_format(info.not_after, when);
		json_object_set_new(actual, "notAfter", json_string(when));
	}
	json_object_set(actual, "version", json_object_get(secret, "version"));
	*ret = TAKE(actual);
	return 0;
}

/* The object to look at: the wanted one, or the recorded one when it left the graph. */
static const json_t *want_of(const struct kc_task *task)
{
	return task->want ? task->want : task->known;
}

static int secret_find(void *ctx, const struct kc_task *task, json_t **ret_actual,
		       struct kc_err *err)
{
	struct kc_secrets *s = ctx;
	const json_t *want = want_of(task);
	const char *object = kc_json_get_str(want, "object", NULL);
	_cleanup_free_ char *key = object ? object_key(s, object) : NULL;
	json_auto_t *secret = NULL;
	int r;

	if (!object)
		return 0;
	r = kc_store_get_json(s->store, key, &kc_secret_format, &secret, NULL, err);
	if (r == KC_ENOTFOUND)
		return 0;
	return r < 0 ? r : describe(want, secret, ret_actual, err);
}

static int make_ca(const char *cn, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *crt = NULL;
	_cleanup_wiped_ char *key = NULL;
	int r = kc_ca_new(cn, CA_SECONDS, &crt, &key, err);

	if (r == 0)
		*ret = kc_pack("{s:s, s:s}", "crt", crt, "key", key);
	return r;
}

static int make_pair(json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *pub = NULL;
	_cleanup_wiped_ char *key = NULL;
	int r = kc_key_new(&key, err);

	if (r == 0)
		r = kc_key_public(key, &pub, err);
	if (r == 0)
		*ret = kc_pack("{s:s, s:s}", "key", key, "pub", pub);
	return r;
}

/* Kubernetes' EncryptionConfiguration: Secrets by secretbox; reads of older plain ones still work.
 */
static json_t *make_encryption(void)
{
	unsigned char key[32];
	_cleanup_wiped_ char *text = NULL, *config = NULL;
	json_auto_t *doc = NULL;

	kc_random(key, sizeof(key));
	text = kc_base64_encode(key, sizeof(key));
	kc_wipe(key, sizeof(key));
	doc = kc_pack("{s:s, s:s, s:[{s:[s], s:[{s:{s:[{s:s, s:s}]}}, {s:{}}]}]}", "apiVersion",
		      "apiserver.config.k8s.io/v1", "kind", "EncryptionConfiguration", "resources",
		      "resources", "secrets", "providers", "secretbox", "keys", "name", "key1",
		      "secret", text, "identity");
	config = kc_json_text(doc);
	return kc_pack("{s:s}", "json", config);
}

/* 32 bytes as base64: what knows it can tell two values of a secret apart, and nothing else can. */
static json_t *make_state_key(void)
{
	_cleanup_wiped_ char *text = NULL;
	unsigned char key[32];

	kc_random(key, sizeof(key));
	text = kc_base64_encode(key, sizeof(key));
	kc_wipe(key, sizeof(key));
	return kc_pack("{s:s}", "key", text);
}

static int secret_apply(void *ctx, const struct kc_task *task, const json_t *actual,
			const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	struct kc_secrets *s = ctx;
	const char *type = kc_json_get_str(task->want, "type", "");
	const char *cn = kc_json_get_str(task->want, "cn", "");
	_cleanup_free_ char *key = object_key(s, kc_json_get_str(task->want, "object", ""));
	int64_t version = kc_json_get_int(task->known, "version", 0) + 1;
	json_auto_t *secret = NULL;
	int r = 0;

	if (streq(type, "ca"))
		r = make_ca(cn, &secret, err);
	else if (streq(type, "key-pair"))
		r = make_pair(&secret, err);
	else
		secret = streq(type, "state-key") ? make_state_key() : make_encryption();
	if (r < 0)
		return r;
	json_object_set_new(secret, "version", json_integer((json_int_t)version));
	r = kc_store_put_json(s->store, key, &kc_secret_format, secret, "", NULL, err);
	/* Made by a run that died before it could record it: that one counts. */
	if (r == KC_ECONFLICT)
		return secret_find(ctx, task, ret_actual, err);
	return r < 0 ? r : describe(task->want, secret, ret_actual, err);
}

static int secret_remove(void *ctx, const struct kc_task *task, const json_t *actual,
			 struct kc_err *err)
{
	struct kc_secrets *s = ctx;
	const char *object = kc_json_get_str(actual, "object", NULL);
	_cleanup_free_ char *key = object ? object_key(s, object) : NULL;

	return key ? kc_store_remove(s->store, key, NULL, err) : 0;
}

static const struct kc_kind secret_kind = {
	.name = "secret",
	.find = secret_find,
	.apply = secret_apply,
	.remove = secret_remove,
};

struct kc_provider kc_secrets_provider(struct kc_secrets *s)
{
	static const struct kc_kind *const kinds[] = { &secret_kind, NULL };

	return (struct kc_provider){
		.name = "state", .kinds = kinds, .ctx = s, .limits = kc_limits("state")
	};
}

int kc_secret_get(struct kc_secrets *s, const char *name, char **ret, struct kc_err *err)
{
	int64_t version;

	return kc_secret_load(s, name, ret, &version, err);
}

int kc_secret_load(struct kc_secrets *s, const char *name, char **ret, int64_t *ret_version,
		   struct kc_err *err)
{
	const char *dot = strrchr(name, '.');
	_cleanup_free_ char *object = xstrndup(name, dot ? (size_t)(dot - name) : strlen(name));
	_cleanup_free_ char *key = object_key(s, object);
	json_auto_t *secret = NULL;
	const char *text;
	int64_t version;
	int r;

	r = kc_store_get_json(s->store, key, &kc_secret_format, &secret, NULL, err);
	if (r < 0)
		return r;
	r = kc_json_str(secret, key, dot ? dot + 1 : "", &text, err);
	if (r == 0)
		r = kc_json_int(secret, key, "version", &version, err);
	if (r < 0)
		return r;
	*ret = xstrdup(text);
	*ret_version = version;
	return 0;
}

/*
 * A cluster of a release that had no state key gets one with the next apply. The plan before that
 * must not depend on chance, or nobody could confirm it: until then the CA's key stands in.
 */
int kc_state_key(struct kc_secrets *s, const char *purpose, char ret[KC_SHA256_HEX],
		 struct kc_err *err)
{
	_cleanup_wiped_ char *key = NULL;
	int r = kc_secret_get(s, "secrets/state.key", &key, err);

	if (r == KC_ENOTFOUND)
		r = kc_secret_get(s, "pki/ca.key", &key, err);
	if (r == 0)
		kc_hmac_sha256(key, strlen(key), purpose, strlen(purpose), ret);
	return r;
}

int kc_admin_cert(struct kc_secrets *s, const char *cn, const char *org, long seconds,
		  char **ret_ca, char **ret_cert, char **ret_key, struct kc_err *err)
{
	_cleanup_free_ char *ca = NULL;
	_cleanup_wiped_ char *ca_key = NULL;
	const char *const orgs[] = { org, NULL };
	const struct kc_cert_spec spec = {
		.cn = cn, .orgs = orgs, .uses = KC_USE_CLIENT, .seconds = seconds
	};
	int r;

	r = kc_secret_get(s, "pki/ca.crt", &ca, err);
	if (r == 0)
		r = kc_secret_get(s, "pki/ca.key", &ca_key, err);
	if (r == 0)
		r = kc_cert_new(ca, ca_key, &spec, ret_cert, ret_key, err);
	if (r == 0)
		*ret_ca = TAKE(ca);
	return r;
}
