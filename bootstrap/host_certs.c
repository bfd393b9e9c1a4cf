/*
 * Certificates for hosts. A host asks with a CSR; what its certificate says is
 * taken from the NodeSpec with the inventory's facts, never from the request.
 */
#include <string.h>

#include "bootstrap/hosts_priv.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/pki.h"
#include "lib/plan/resolve.h"

static int inventory_fact(void *cookie, const char *name, const json_t *arg, json_t **ret,
			  struct kc_err *err)
{
	const json_t *node = cookie;
	const char *key = json_string_value(arg);
	json_t *v = streq(name, "$fact") && key ? json_object_get(node, key) : NULL;

	if (!v)
		return kc_fail(err, KC_EAUTH,
			       "a certificate may only name what the inventory says; %s \"%s\" is "
			       "not in it",
			       name, key ? key : "");
	*ret = json_incref(v);
	return 0;
}

static const json_t *cert_task(const json_t *spec, const char *id)
{
	const json_t *task;
	size_t i;

	json_array_foreach(json_object_get(spec, "tasks"), i, task)
		if (streq(kc_json_get_str(task, "id", ""), id) &&
		    streq(kc_json_get_str(task, "kind", ""), "cert"))
			return json_object_get(task, "want");
	return NULL;
}

/* A NULL-terminated view of an array of strings; the strings stay the array's. */
static const char **strings(const json_t *array)
{
	size_t n = json_array_size(array);
	const char **out = xcalloc(n + 1, sizeof(*out));

	for (size_t i = 0; i < n; i++)
		out[i] = json_string_value(json_array_get(array, i));
	return out;
}

static int issue(struct kc_secrets *secrets, const json_t *want, const char *csr, char **ret,
		 struct kc_err *err)
{
	const char *ca = kc_json_get_str(want, "ca", "");
	_cleanup_free_ char *crt_name = xasprintf("pki/%s.crt", ca), *crt = NULL,
			    *key_name = xasprintf("pki/%s.key", ca);
	_cleanup_wiped_ char *key = NULL;
	_cleanup_free_ const char **orgs = strings(json_object_get(want, "orgs")),
				  **sans = strings(json_object_get(want, "sans"));
	const json_t *uses = json_object_get(want, "uses");
	struct kc_cert_spec spec = {
		.cn = kc_json_get_str(want, "cn", ""),
		.orgs = orgs,
		.sans = sans,
		.uses = (kc_json_has_str(uses, "client") ? KC_USE_CLIENT : 0) |
			(kc_json_has_str(uses, "server") ? KC_USE_SERVER : 0),
		.seconds = (long)kc_json_get_int(want, "seconds", 0),
	};
	int r;

	r = kc_secret_get(secrets, crt_name, &crt, err);
	if (r == 0)
		r = kc_secret_get(secrets, key_name, &key, err);
	return r < 0 ? r : kc_cert_issue(crt, key, csr, &spec, ret, err);
}

int host_sign(struct kc_hosts *h, const json_t *spec, const json_t *node, const json_t *csrs,
	      json_t **ret_certs, struct kc_err *err)
{
	json_auto_t *certs = json_object();
	const char *id;
	json_t *csr;
	int r;

	json_object_foreach((json_t *)csrs, id, csr) {
		const json_t *raw = cert_task(spec, id);
		_cleanup_free_ char *pem = NULL;
		json_auto_t *want = NULL;

		if (!raw || !json_is_string(csr))
			return kc_fail(err, KC_EAUTH,
				       "the host asks for a certificate \"%s\" that its spec does "
				       "not have",
				       id);
		r = kc_resolve(raw, inventory_fact, (void *)node, &want, NULL, err);
		if (r == 0)
			r = issue(h->secrets, want, json_string_value(csr), &pem, err);
		if (r < 0)
			return kc_wrap(err, "%s", id);
		json_object_set_new(certs, id, json_string(pem));
	}
	*ret_certs = TAKE(certs);
	return 0;
}
