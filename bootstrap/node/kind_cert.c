/*
 * Certificates of this node: the key is made here and never leaves; whoever
 * holds the CA answers the CSR. A new key waits in STATE/keys until its
 * certificate arrives, so that the pair in use is never half replaced.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap/node/kinds.h"
#include "lib/base/addr.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/pki.h"

#define PEM_MAX (1u << 20)

/* Sorted, each once, addresses in canonical text: comparable with what a certificate says. */
static json_t *names_of(const json_t *list)
{
	size_t n = json_array_size(list), i;
	_cleanup_free_ char **names = xcalloc(n + 1, sizeof(*names));
	json_t *sorted = json_array(), *v;

	json_array_foreach((json_t *)list, i, v) {
		struct kc_addr a;
		const char *s = json_string_value(v);

		names[i] = xcalloc(1, KC_ADDR_STRLEN + (s ? strlen(s) : 0));
		if (s && kc_addr_parse(s, &a))
			kc_addr_format(&a, names[i]);
		else if (s)
			strcpy(names[i], s);
	}
	kc_sort_text((const char **)names, n);
	for (i = 0; i < n; i++)
		if (i == 0 || !streq(names[i], names[i - 1]))
			json_array_append_new(sorted, json_string(names[i]));
	for (i = 0; i < n; i++)
		free(names[i]);
	return sorted;
}

static json_t *uses_of(int uses)
{
	json_t *list = json_array();

	if (uses & KC_USE_CLIENT)
		json_array_append_new(list, json_string("client"));
	if (uses & KC_USE_SERVER)
		json_array_append_new(list, json_string("server"));
	return list;
}

static char *pending_path(const struct kc_node_host *h, const char *id)
{
	char hex[KC_SHA256_HEX];

	kc_sha256(id, strlen(id), hex);
	return xasprintf("%s/keys/%.32s.key", h->state, hex);
}

static char *read_pem(const char *path)
{
	char *pem = NULL;

	if (kc_file_read(path, PEM_MAX, &pem, NULL, NULL) < 0)
		return NULL;
	return pem;
}

/* Is this leaf of the CA that the spec names? Without the CA at hand we cannot say no. */
static bool of_ca(const struct kc_node_host *h, const char *ca, const char *pem,
		  const struct kc_cert_info *info)
{
	_cleanup_free_ char *name = xasprintf("pki/%s.crt", ca);
	const char *ca_pem;
	time_t now = time(NULL);

	if (kc_host_secret(h, name, &ca_pem, NULL) < 0)
		return true;
	/* That it has expired is another matter. */
	if (now > info->not_after)
		now = info->not_after;
	return kc_cert_verify(pem, ca_pem, now, NULL) == 0;
}

/*
 * What stands for the life that the spec asks for. Past two thirds of it a certificate is due, and
 * what the plan then shows as its life says why.
 */
static json_t *life_of(const struct kc_cert_info *i, const json_t *want)
{
	time_t now = time(NULL), due = i->not_before + (i->not_after - i->not_before) / 3 * 2;
	char since[21], end[21];

	if (now <= due)
		return json_incref(json_object_get(want, "seconds"));
	kc_time_format(due, since);
	kc_time_format(i->not_after, end);
	return json_sprintf("due since %.10s, %s %.10s", since,
			    now > i->not_after ? "expired" : "expires", end);
}

/* Who may read them: "0644 0:0" of the certificate, "0600 0:0" of the key. */
static json_t *access_of(const char *path)
{
	json_auto_t *mode = NULL, *owner = NULL;
	struct stat st;

	if (stat(path, &st) < 0)
		return json_string("(gone)");
	mode = kc_node_mode_text(st.st_mode);
	owner = kc_host_owner_of(&st);
	return json_sprintf("%s %s", json_string_value(mode), json_string_value(owner));
}

enum { CERT_MODE = 0644, KEY_MODE = 0600 };

static json_t *access_wanted(mode_t mode)
{
	json_auto_t *text = kc_node_mode_text(mode), *owner = kc_host_owner();

	return json_sprintf("%s %s", json_string_value(text), json_string_value(owner));
}

static int cert_find(void *ctx, const struct kc_task *t, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_cert_info_ struct kc_cert_info info = { 0 };
	const char *cert, *key, *ca = kc_node_str(t, NULL, "ca");
	_cleanup_wiped_ char *key_pem = NULL;
	_cleanup_free_ char *pem = NULL;
	char key_id[65], rev[KC_SHA256_HEX];
	int r;

	r = kc_node_need(t, NULL, "cert", &cert, err);
	if (r == 0)
		r = kc_node_need(t, NULL, "key", &key, err);
	if (r < 0)
		return r;
	if (t->leaving) {
		if (kc_host_remains(cert) || kc_host_remains(key))
			*ret_actual = kc_pack("{s:s, s:s}", "cert", cert, "key", key);
		return 0;
	}
	pem = read_pem(cert);
	key_pem = read_pem(key);
	/* Anything that is not a certificate with its key is as good as nothing: made anew. */
	if (!pem || !key_pem || kc_cert_read(pem, &info, NULL) < 0 ||
	    kc_key_id(key_pem, key_id, NULL) < 0 || !streq(key_id, info.key_id))
		return 0;
	kc_sha256(pem, strlen(pem), rev);
	if (streq(cert, key)) /* the file holds the key: no plain hash of it */
		kc_host_hmac(ctx, pem, strlen(pem), rev);
	*ret_actual = kc_pack("{s:s, s:s, s:b, s:s, s:o, s:o, s:o, s:s, s:I, s:s}", "cert", cert,
			      "key", key, "combined", streq(cert, key), "cn",
			      info.cn ? info.cn : "", "orgs", names_of(info.orgs), "sans",
			      names_of(info.sans), "uses", uses_of(info.uses), "ca",
			      ca && of_ca(ctx, ca, pem, &info) ? ca : "(another)", "notAfter",
			      (json_int_t)info.not_after, "rev", rev);
	json_object_set_new(*ret_actual, "seconds", life_of(&info, t->want));
	json_object_set_new(*ret_actual, "certAccess", access_of(cert));
	json_object_set_new(*ret_actual, "keyAccess", access_of(key));
	return 0;
}

/* A list of want as a NULL-terminated vector; strings borrowed from want. */
static const char **strings_of(const json_t *want, const char *key)
{
	const json_t *list = json_object_get(want, key);
	const char **v = xcalloc(json_array_size(list) + 1, sizeof(*v));
	size_t i;

	for (i = 0; i < json_array_size(list); i++)
		v[i] = json_string_value(json_array_get(list, i));
	return v;
}

static int csr_with(const char *key_pem, const json_t *want, char **ret, struct kc_err *err)
{
	_cleanup_free_ const char **orgs = strings_of(want, "orgs"),
				  **sans = strings_of(want, "sans");
	const json_t *uses = json_object_get(want, "uses");
	struct kc_cert_spec spec = {
		.cn = kc_json_get_str(want, "cn", ""),
		.orgs = orgs,
		.sans = sans,
		.uses = (kc_json_has_str(uses, "client") ? KC_USE_CLIENT : 0) |
			(kc_json_has_str(uses, "server") ? KC_USE_SERVER : 0),
	};

	return kc_csr_new(key_pem, &spec, ret, err);
}

/* The first key in which a certificate is not as wanted, or NULL. */
static const char *wrong(const json_t *want, const json_t *actual)
{
	static const char *const plain[] = { "cert", "key", "cn", "ca", "seconds" };
	static const char *const lists[] = { "orgs", "sans", "uses" };

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (!json_equal(json_object_get(want, plain[i]), json_object_get(actual, plain[i])))
			return plain[i];
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		json_auto_t *a = names_of(json_object_get(want, lists[i]));

		if (!json_equal(a, json_object_get(actual, lists[i])))
			return lists[i];
	}
	return NULL;
}

int kc_node_cert_csr(struct kc_node_host *h, const char *id, const json_t *want, char **ret_csr,
		     struct kc_err *err)
{
	struct kc_task t = { .id = id, .want = want };
	_cleanup_free_ char *path = pending_path(h, id), *dir = xasprintf("%s/keys", h->state);
	_cleanup_wiped_ char *key = NULL;
	json_auto_t *actual = NULL;
	int r;

	r = cert_find(h, &t, &actual, err);
	if (r < 0)
		return r;
	if (actual && !wrong(want, actual)) {
		*ret_csr = NULL;
		return 0;
	}
	key = read_pem(path);
	if (!key) {
		r = kc_mkdir_p(dir, 0700, err);
		if (r == 0)
			r = kc_key_new(&key, err);
		if (r == 0)
			r = kc_host_write_shared(path, key, strlen(key), err);
		if (r < 0)
			return r;
	}
	r = csr_with(key, want, ret_csr, err);
	return r < 0 ? kc_wrap(err, "%s", id) : 0;
}

/* The key that the issued certificate is for: the pending one, or the one in use. Owned. */
static int matching_key(struct kc_node_host *h, const struct kc_task *t, const char *cert_pem,
			char **ret, struct kc_err *err)
{
	_cleanup_free_ char *pending = pending_path(h, t->id);
	const char *paths[] = { pending, kc_node_str(t, NULL, "key") };
	_cleanup_cert_info_ struct kc_cert_info info = { 0 };
	int r = kc_cert_read(cert_pem, &info, err);

	if (r < 0)
		return kc_wrap(err, "%s: the certificate that was sent", t->id);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_wiped_ char *key = read_pem(paths[i]);
		char id[65];

		if (key && kc_key_id(key, id, NULL) == 0 && streq(id, info.key_id)) {
			*ret = TAKE(key);
			return 0;
		}
	}
	return kc_fail(err, KC_ECONFLICT,
		       "%s: the certificate that was sent is for a key that is not on this host; "
		       "run the command again",
		       t->id);
}

static int install(struct kc_node_host *h, const struct kc_task *t, const char *cert_pem,
		   const char *key_pem, struct kc_err *err)
{
	const char *cert = kc_node_str(t, NULL, "cert"), *key = kc_node_str(t, NULL, "key");
	_cleanup_wiped_ char *both = NULL;
	int r;

	r = kc_host_mkparents(h, cert, err);
	if (r == 0)
		r = kc_host_mkparents(h, key, err);
	if (r < 0)
		return r;
	if (streq(cert, key)) {
		both = xasprintf("%s%s", cert_pem, key_pem);
		return kc_host_write(cert, both, strlen(both), KEY_MODE, err);
	}
	r = kc_host_write(key, key_pem, strlen(key_pem), KEY_MODE, err);
	return r < 0 ? r : kc_host_write(cert, cert_pem, strlen(cert_pem), CERT_MODE, err);
}

/* The right pair, which others may read or do not belong to us. */
static int own_pair(struct kc_node_host *h, const struct kc_task *t, json_t **ret_actual,
		    struct kc_err *err)
{
	const char *cert = kc_node_str(t, NULL, "cert"), *key = kc_node_str(t, NULL, "key");
	int r = kc_host_own(key, KEY_MODE, err);

	if (r == 0 && !streq(cert, key))
		r = kc_host_own(cert, CERT_MODE, err);
	return r < 0 ? r : cert_find(h, t, ret_actual, err);
}

static int cert_apply(void *ctx, const struct kc_task *t, const json_t *actual,
		      const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	struct kc_node_host *h = ctx;
	const char *pem = json_string_value(json_object_get(h->certs, t->id));
	_cleanup_wiped_ char *key = NULL;
	_cleanup_free_ char *pending = pending_path(h, t->id);
	const char *key_of_error;
	int r;

	if (!pem && actual && !wrong(t->want, actual))
		return own_pair(h, t, ret_actual, err);
	if (!pem)
		return kc_fail(err, KC_EAUTH, "%s: no certificate was issued for this node", t->id);
	r = matching_key(h, t, pem, &key, err);
	if (r == 0)
		r = install(h, t, pem, key, err);
	if (r == 0)
		r = cert_find(h, t, ret_actual, err);
	if (r < 0)
		return r;
	key_of_error = *ret_actual ? wrong(t->want, *ret_actual) : "key";
	if (key_of_error) {
		json_decref(TAKE(*ret_actual));
		return kc_fail(err, KC_EAUTH,
			       "%s: the certificate that was sent has another %s than the node "
			       "spec says; check the inventory",
			       t->id, key_of_error);
	}
	unlink(pending);
	return 0;
}

static int cert_remove(void *ctx, const struct kc_task *t, const json_t *actual, struct kc_err *err)
{
	const char *paths[] = { kc_node_str(t, actual, "cert"), kc_node_str(t, actual, "key") };

	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(paths); i++) {
		if (!paths[i])
			continue;
		r = kc_host_unlink(paths[i], err);
		if (r == 0)
			kc_host_rmparents(ctx, paths[i]);
	}
	return r;
}

static void cert_normalize(json_t *want, json_t *actual)
{
	static const char *const lists[] = { "orgs", "sans", "uses" };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (json_is_array(json_object_get(want, lists[i])))
			json_object_set_new(want, lists[i],
					    names_of(json_object_get(want, lists[i])));
	json_object_set_new(want, "keyAccess", access_wanted(KEY_MODE));
	json_object_set_new(want, "certAccess",
			    access_wanted(kc_json_get_bool(want, "combined", false) ? KEY_MODE
										    : CERT_MODE));
}

const struct kc_kind kc_node_cert = {
	.name = "cert",
	.sets = (const char *const[]){ "orgs", "sans", "uses", NULL },
	.rev = (const char *const[]){ "cert", "key", "combined", "cn", "orgs", "sans", "uses", "ca",
				      "seconds", NULL },
	.find = cert_find,
	.apply = cert_apply,
	.remove = cert_remove,
	.normalize = cert_normalize,
};
