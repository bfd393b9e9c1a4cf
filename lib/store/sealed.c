/*
 * A store whose private objects are sealed, over any other store.
 *
 * Conditions, lists and the clock are the inner store's; an etag is that of the sealed text. The
 * key of an object is its name in the seal, so that one cannot be put in another's place.
 */
#include <string.h>

#include "lib/base/str.h"
#include "lib/crypto/seal.h"
#include "lib/store/lock.h"
#include "lib/store/type.h"

struct sealed {
	struct kc_store base;
	struct kc_store *inner;
	struct kc_seal_keys keys; /* n = 0: no key file */
	bool plain_in;		  /* plain private objects may be read */
	bool plain_out;		  /* and are written */
};

static struct sealed *of(struct kc_store *s)
{
	return (struct sealed *)s;
}

bool kc_store_is_private(const char *key)
{
	static const char *const folders[] = { "pki/", "secrets/" };

	for (const char *p = key; p; p = strchr(p, '/'), p = p ? p + 1 : NULL)
		for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
			if (kc_startswith(p, folders[i]))
				return true;
	return kc_endswith(key, ".key");
}

static void sealed_close(struct kc_store *s)
{
	struct sealed *x = of(s);

	kc_store_close(x->inner);
	kc_seal_keys_done(&x->keys);
	free(s->url);
	free(x);
}

/* The command that seals it: keys look like clusters/<name>/pki/ca.json. */
static int not_sealed(const char *key, struct kc_err *err)
{
	const char *name = kc_startswith(key, "clusters/") ? key + strlen("clusters/") : "NAME";

	return kc_fail(err, KC_EAUTH,
		       "not sealed, although a key file is given; to seal this state: kubecdn "
		       "cluster rekey %.*s",
		       (int)strcspn(name, "/"), name);
}

static int no_key(struct kc_err *err)
{
	return kc_fail(err, KC_EAUTH,
		       "this state is sealed; name its key file with --state-key-file or "
		       "KUBECDN_STATE_KEY_FILE");
}

/* What a private object's text says; *ret_done: it is as this store would write it. */
static int open_text(const struct sealed *x, const char *key, char *text, size_t len,
		     char **ret_data, size_t *ret_len, bool *ret_done, struct kc_err *err)
{
	bool first;
	int r;

	if (!kc_is_sealed(text, len)) {
		if (x->keys.n && !x->plain_in)
			return not_sealed(key, err);
		*ret_data = xmalloc(len + 1);
		memcpy(*ret_data, text, len);
		(*ret_data)[len] = '\0';
		*ret_len = len;
		*ret_done = !x->keys.n || x->plain_out;
		return 0;
	}
	if (!x->keys.n)
		return no_key(err);
	r = kc_unseal(&x->keys, key, text, len, ret_data, ret_len, &first, err);
	if (r == 0)
		*ret_done = first && !x->plain_out;
	return r;
}

static int get(struct sealed *x, const char *key, char **ret_data, size_t *ret_len,
	       char ret_etag[KC_STORE_ETAG], bool *ret_done, struct kc_err *err)
{
	_cleanup_wiped_ char *text = NULL;
	char etag[KC_STORE_ETAG];
	size_t len;
	int r = x->inner->type->get(x->inner, key, &text, &len, etag, err);

	if (r == 0)
		r = open_text(x, key, text, len, ret_data, ret_len, ret_done, err);
	if (r == 0)
		memcpy(ret_etag, etag, sizeof(etag));
	return r;
}

static int sealed_get(struct kc_store *s, const char *key, char **ret_data, size_t *ret_len,
		      char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	struct kc_store *inner = of(s)->inner;
	bool done;

	if (!kc_store_is_private(key))
		return inner->type->get(inner, key, ret_data, ret_len, ret_etag, err);
	return get(of(s), key, ret_data, ret_len, ret_etag, &done, err);
}

static int sealed_put(struct kc_store *s, const char *key, const void *data, size_t len,
		      const char *if_match, char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	struct sealed *x = of(s);
	_cleanup_free_ char *text = NULL;

	if (x->keys.n && !x->plain_out && kc_store_is_private(key)) {
		text = kc_seal(&x->keys, key, data, len);
		data = text;
		len = strlen(text);
	}
	if (len > KC_STORE_MAX)
		return kc_fail(err, KC_EINVAL,
			       "%zu bytes when sealed are more than a store takes "
			       "(%u)",
			       len, KC_STORE_MAX);
	return x->inner->type->put(x->inner, key, data, len, if_match, ret_etag, err);
}

static int sealed_list(struct kc_store *s, const char *prefix, json_t **ret_keys,
		       struct kc_err *err)
{
	struct kc_store *inner = of(s)->inner;

	return inner->type->list(inner, prefix, ret_keys, err);
}

static int sealed_remove(struct kc_store *s, const char *key, const char *if_match,
			 struct kc_err *err)
{
	struct kc_store *inner = of(s)->inner;

	return inner->type->remove(inner, key, if_match, err);
}

static int sealed_now(struct kc_store *s, int64_t *ret_ms, struct kc_err *err)
{
	struct kc_store *inner = of(s)->inner;

	return inner->type->now(inner, ret_ms, err);
}

static const struct kc_store_type sealed_type = {
	.scheme = "sealed",
	.close = sealed_close,
	.get = sealed_get,
	.put = sealed_put,
	.list = sealed_list,
	.remove = sealed_remove,
	.now = sealed_now,
};

int kc_store_seal(struct kc_store *inner, const char *key_file, struct kc_store **ret,
		  struct kc_err *err)
{
	struct sealed *x = xcalloc(1, sizeof(*x));
	int r = 0;

	x->base.type = &sealed_type;
	x->base.url = xstrdup(inner->url);
	x->inner = inner;
	if (key_file)
		r = kc_seal_keys_read(key_file, &x->keys, err);
	if (r < 0) {
		sealed_close(&x->base);
		return r;
	}
	*ret = &x->base;
	return 0;
}

int kc_store_open_sealed(const char *url, const char *key_file, struct kc_store **ret,
			 struct kc_err *err)
{
	struct kc_store *inner = NULL;
	int r = kc_store_open(url, &inner, err);

	return r < 0 ? r : kc_store_seal(inner, key_file, ret, err);
}

void kc_store_set_reseal(struct kc_store *s, enum kc_reseal how)
{
	of(s)->plain_in = true;
	of(s)->plain_out = how == KC_RESEAL_OFF;
}

/* One object: 1 if it is to be written anew. */
static int reseal_one(struct sealed *x, const char *key, bool write, struct kc_lock *lock,
		      struct kc_err *err)
{
	_cleanup_wiped_ char *data = NULL;
	char etag[KC_STORE_ETAG];
	bool done = false;
	size_t len;
	int r = get(x, key, &data, &len, etag, &done, err);

	if (r == KC_ENOTFOUND)
		return 0;
	if (r < 0 || done)
		return r;
	if (write && lock)
		r = kc_lock_check(lock, err);
	if (r == 0 && write)
		r = sealed_put(&x->base, key, data, len, etag, etag, err);
	return r < 0 ? r : 1;
}

int kc_store_reseal(struct kc_store *s, const char *prefix, enum kc_reseal how, bool write,
		    struct kc_lock *lock, json_t **ret_keys, struct kc_err *err)
{
	json_auto_t *keys = NULL, *changed = json_array();
	json_t *k;
	size_t i;
	int r;

	kc_store_set_reseal(s, how);
	if (!of(s)->keys.n)
		return kc_fail(err, KC_EINVAL,
			       "no key file; name it with --state-key-file or "
			       "KUBECDN_STATE_KEY_FILE");
	r = kc_store_list(s, prefix, &keys, err);
	json_array_foreach(keys, i, k) {
		const char *key = json_string_value(k);

		if (r < 0 || !kc_store_is_private(key))
			continue;
		r = reseal_one(of(s), key, write, lock, err);
		if (r < 0)
			kc_wrap(err, "%s", key);
		if (r > 0)
			json_array_append(changed, k);
	}
	if (r < 0)
		return r;
	*ret_keys = TAKE(changed);
	return 0;
}
