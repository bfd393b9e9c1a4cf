/* The verb probe: what only this host can say of the cluster's health. It changes nothing. */
#include <string.h>

#include "bootstrap/node/agent.h"
#include "bootstrap/node/dns.h"
#include "bootstrap/node/protocol.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/pki.h"

enum { CERTS_MAX = 64, PEM_MAX = 1 << 20, DNS_PORT = 53 };

static int probe_dns(const json_t *question, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *at = NULL;
	const char *server, *name;
	struct kc_err why;
	int r;

	r = kc_json_str(question, "dns", "server", &server, err);
	if (r == 0)
		r = kc_json_str(question, "dns", "name", &name, err);
	if (r < 0)
		return r;
	at = xasprintf(strchr(server, ':') ? "[%s]:%d" : "%s:%d", server, DNS_PORT);
	r = kc_node_dns(at, name, &why);
	if (r == KC_EINVAL)
		return kc_fail(err, r, "%s", why.msg);
	*ret = kc_pack("{s:b, s:s}", "ok", r == 0, "why", r < 0 ? why.msg : "");
	return 0;
}

/* When it ends; null for what is no certificate or not there. */
static json_t *end_of(const char *path)
{
	_cleanup_cert_info_ struct kc_cert_info info = { 0 };
	_cleanup_wiped_ char *pem = NULL; /* a combined file has the key, too */

	if (kc_file_read(path, PEM_MAX, &pem, NULL, NULL) < 0 || !pem ||
	    kc_cert_read(pem, &info, NULL) < 0)
		return json_null();
	return json_integer((json_int_t)info.not_after);
}

static int add_path(json_t *paths, const char *path, struct kc_err *err)
{
	if (!path || *path != '/')
		return kc_fail(err, KC_EINVAL, "certs: not an absolute path");
	if (kc_json_has_str(paths, path))
		return 0;
	if (json_array_size(paths) == CERTS_MAX)
		return kc_fail(err, KC_EINVAL, "certs: more than %d", CERTS_MAX);
	json_array_append_new(paths, json_string(path));
	return 0;
}

/* Those that were issued for this node are in its own record: nobody keeps a second list. */
static int add_recorded(json_t *paths, struct kc_err *err)
{
	_cleanup_store_ struct kc_store *store = NULL;
	_cleanup_state_ struct kc_state *state = NULL;
	const json_t *task;
	const char *id;
	int r = kc_agent_state(0, &store, &state, err);

	if (r < 0 || !state)
		return r;
	json_object_foreach((json_t *)kc_state_tasks(state), id, task)
		if (r == 0 && streq(kc_json_get_str(task, "kind", ""), "cert"))
			r = add_path(paths, json_string_value(kc_json_at(task, "want.cert")), err);
	return r;
}

int kc_agent_probe(const json_t *question, json_t **ret, struct kc_err *err)
{
	json_auto_t *paths = json_array(), *dns = NULL, *certs = json_array();
	const json_t *asked, *path;
	size_t i;
	int r;

	r = kc_json_arr(question, "probe", "certs", &asked, err);
	if (r == 0)
		r = add_recorded(paths, err);
	json_array_foreach(asked, i, path)
		if (r == 0)
			r = add_path(paths, json_string_value(path), err);
	if (r == 0)
		r = probe_dns(json_object_get(question, "dns"), &dns, err);
	if (r < 0)
		return r;
	json_array_foreach(paths, i, path)
		json_array_append_new(certs, kc_pack("{s:O, s:o}", "path", path, "notAfter",
						     end_of(json_string_value(path))));
	*ret = kc_pack("{s:i, s:O, s:O}", "format", KC_NODE_FORMAT, "dns", dns, "certs", certs);
	return 0;
}
