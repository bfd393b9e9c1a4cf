#include "lib/net/kubeconfig.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"
#include "lib/crypto/hash.h"

#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

enum { FILE_MAX = 1 << 20 };

/* --- from inside of a pod */

static int read_pod(struct kc_kube_conf *c, struct kc_err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"),
		   *port = getenv("KUBERNETES_SERVICE_PORT");
	bool v6 = host && strchr(host, ':');
	int r;

	if (!host || !*host || !port || !*port)
		return kc_fail(err, KC_EINVAL,
			       "not in a pod (KUBERNETES_SERVICE_HOST is not set); name the "
			       "cluster with --kubeconfig FILE");
	c->server = xasprintf(v6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
	r = kc_file_read(ACCOUNT "/ca.crt", FILE_MAX, &c->ca_pem, NULL, err);
	if (r == 0)
		r = kc_file_read(ACCOUNT "/token", FILE_MAX, &c->token, NULL, err);
	if (r == 0)
		c->token[strcspn(c->token, "\r\n")] = '\0';
	return r;
}

/* --- a kubeconfig */

/* The named entry of a list: contexts[].context, clusters[].cluster, users[].user. */
static int entry(const json_t *config, const char *list, const char *member, const char *name,
		 const json_t **ret, struct kc_err *err)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(config, list), i, one)
		if (streq(kc_json_get_str(one, "name", ""), name) &&
		    json_is_object(json_object_get(one, member))) {
			*ret = json_object_get(one, member);
			return 0;
		}
	return kc_fail(err, KC_EINVAL, "%s has no \"%.100s\"", list, name);
}

/* A file beside the kubeconfig, if its path is relative. Owned. */
static char *beside(const char *config, const char *path)
{
	const char *slash = strrchr(config, '/');

	return *path == '/' || !slash ? xstrdup(path)
				      : xasprintf("%.*s/%s", (int)(slash - config), config, path);
}

/* key-data (base64) or key (a file). *ret stays as it is without either. */
static int blob(const char *file, const json_t *from, const char *key, char **ret,
		struct kc_err *err)
{
	_cleanup_free_ char *data_key = xasprintf("%s-data", key), *path = NULL;
	const char *data = kc_json_get_str(from, data_key, NULL),
		   *where = kc_json_get_str(from, key, NULL);
	unsigned char *bytes;
	size_t len;
	int r;

	if (data) {
		r = kc_base64_decode(data, &bytes, &len, err);
		if (r < 0)
			return kc_fail(err, KC_EINVAL, "%s is not base64", data_key);
		*ret = xstrndup((const char *)bytes, len);
		kc_wipe(bytes, len);
		free(bytes);
		return 0;
	}
	if (!where)
		return 0;
	path = beside(file, where);
	return streq(key, "client-key") ? kc_file_read_private(path, FILE_MAX, ret, NULL, err)
					: kc_file_read(path, FILE_MAX, ret, NULL, err);
}

static int refuse(const json_t *from, const char *const *keys, struct kc_err *err)
{
	for (; *keys; keys++) {
		const json_t *v = json_object_get(from, *keys);

		if (v && !json_is_false(v) && !json_is_null(v))
			return kc_fail(err, KC_EINVAL,
				       "%s is not supported; use a client certificate or a token",
				       *keys);
	}
	return 0;
}

static int read_user(const char *file, const json_t *user, struct kc_kube_conf *c,
		     struct kc_err *err)
{
	static const char *const refused[] = { "exec", "auth-provider", "username", "password",
					       NULL };
	const char *token = kc_json_get_str(user, "token", NULL),
		   *where = kc_json_get_str(user, "tokenFile", NULL);
	int r = refuse(user, refused, err);

	if (r == 0)
		r = blob(file, user, "client-certificate", &c->cert_pem, err);
	if (r == 0)
		r = blob(file, user, "client-key", &c->key_pem, err);
	if (r < 0)
		return r;
	if (where) {
		_cleanup_free_ char *path = beside(file, where);

		r = kc_file_read_private(path, FILE_MAX, &c->token, NULL, err);
		if (r == 0)
			c->token[strcspn(c->token, "\r\n")] = '\0';
	} else if (token) {
		c->token = xstrdup(token);
	}
	if (r == 0 && !c->token && !(c->cert_pem && c->key_pem))
		return kc_fail(err, KC_EINVAL,
			       "the user has neither a client certificate with its key nor a "
			       "token");
	return r;
}

static int read_config(const char *file, const json_t *config, struct kc_kube_conf *c,
		       struct kc_err *err)
{
	static const char *const refused[] = { "insecure-skip-tls-verify", "proxy-url",
					       "tls-server-name", NULL };
	const json_t *context, *cluster, *user;
	int r = entry(config, "contexts", "context", kc_json_get_str(config, "current-context", ""),
		      &context, err);

	if (r == 0)
		r = entry(config, "clusters", "cluster", kc_json_get_str(context, "cluster", ""),
			  &cluster, err);
	if (r == 0)
		r = entry(config, "users", "user", kc_json_get_str(context, "user", ""), &user,
			  err);
	if (r == 0)
		r = refuse(cluster, refused, err);
	if (r < 0)
		return r;
	c->server = xstrdup(kc_json_get_str(cluster, "server", ""));
	r = blob(file, cluster, "certificate-authority", &c->ca_pem, err);
	return r < 0 ? r : read_user(file, user, c, err);
}

static int read_file(const char *path, struct kc_kube_conf *c, struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_wiped_ char *text = NULL;
	size_t len;
	int r = kc_file_read_private(path, FILE_MAX, &text, &len, err);

	if (r == 0)
		r = kc_yaml_parse(path, text, len, &y, err);
	if (r < 0)
		return r;
	r = read_config(path, kc_yaml_value(y, 0), c, err);
	return r < 0 ? kc_wrap(err, "%s", path) : 0;
}

int kc_kubeconfig_read(const char *path, struct kc_kube_conf *ret, struct kc_err *err)
{
	_cleanup_kube_conf_ struct kc_kube_conf c = { 0 };
	int r = path ? read_file(path, &c, err) : read_pod(&c, err);

	if (r < 0)
		return r;
	*ret = c;
	c = (struct kc_kube_conf){ 0 };
	return 0;
}
