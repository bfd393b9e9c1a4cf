#include "lib/store/format.h"

#include <string.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/store/lock.h"
#include "lib/store/type.h"

int kc_format_check(const struct kc_format *f, const char *key, const json_t *value, int *ret,
		    struct kc_err *err)
{
	int64_t found = 1;
	int r = 0;

	if (!f->unmarked || json_object_get(value, "format"))
		r = kc_json_int(value, key, "format", &found, err);
	if (r < 0)
		return r;
	if (found > f->current)
		return kc_fail(err, KC_EINVAL,
			       "%s: written by %s in format %lld; this is %s, which reads up to "
			       "%d: upgrade",
			       key, kc_json_get_str(value, "writtenBy", "a newer kubecdn"),
			       (long long)found, KC_STORE_WRITER, f->current);
	if (found < 1)
		return kc_fail(err, KC_EINVAL,
			       "%s: there is no format %lld; restore it from a "
			       "backup",
			       key, (long long)found);
	*ret = (int)found;
	return 0;
}

int kc_format_migrate(const struct kc_format *f, const char *key, json_t *value, const char *owner,
		      struct kc_err *err)
{
	int format, r = kc_format_check(f, key, value, &format, err);

	if (r < 0)
		return r;
	json_object_del(value, "format");
	json_object_del(value, "writtenBy");
	for (; format < f->current; format++) {
		r = f->steps[format - 1](value, owner, err);
		if (r < 0)
			return kc_wrap(err, "%s: migrating the %s from format %d", key, f->name,
				       format);
	}
	return 0;
}

/* An object's entry in the table, by its name below the prefix. */
static const struct kc_stored *entry_of(const struct kc_stored *table, const char *name)
{
	for (; table->name; table++)
		if (kc_endswith(table->name, "/") ? kc_startswith(name, table->name)
						  : streq(name, table->name))
			return table;
	return NULL;
}

/* Its text and value with the marks on; KC_ENOTFOUND when it went away meanwhile. */
static int read_raw(struct kc_store *s, const char *key, const struct kc_format *f, char **ret_text,
		    json_t **ret, int *ret_format, char etag[KC_STORE_ETAG], struct kc_err *err)
{
	_cleanup_wiped_ char *text = NULL;
	json_auto_t *v = NULL;
	size_t len;
	int r = kc_store_get(s, key, &text, &len, etag, err);

	if (r == 0)
		r = (f->parse ? f->parse : kc_json_parse)(text, len, key, &v, err);
	if (r == 0)
		r = kc_format_check(f, key, v, ret_format, err);
	if (r < 0)
		return r;
	*ret_text = TAKE(text);
	*ret = TAKE(v);
	return 0;
}

struct walk {
	struct kc_store *store;
	const char *prefix, *owner;
	const struct kc_stored *table;
	struct kc_lock *lock;
	size_t older;
};

/* What is done with an older object. */
typedef int older_fn(struct walk *w, const char *key, const struct kc_format *f, const char *text,
		     json_t *value, int format, const char *etag, struct kc_err *err);

static int back_up(struct walk *w, const char *key, const struct kc_format *f, const char *text,
		   json_t *value, int format, const char *etag, struct kc_err *err)
{
	_cleanup_free_ char *to =
		xasprintf("%s/backup/%d/%s", w->prefix, format, key + strlen(w->prefix) + 1);

	return kc_store_put(w->store, to, text, strlen(text), NULL, NULL, err);
}

static int rewrite(struct walk *w, const char *key, const struct kc_format *f, const char *text,
		   json_t *value, int format, const char *etag, struct kc_err *err)
{
	int r = kc_format_migrate(f, key, value, w->owner, err);

	return r < 0 ? r : kc_store_put_json(w->store, key, f, value, etag, NULL, err);
}

static int visit(struct walk *w, const char *key, const struct kc_format *f, older_fn *fn,
		 struct kc_err *err)
{
	_cleanup_wiped_ char *text = NULL;
	json_auto_t *value = NULL;
	char etag[KC_STORE_ETAG];
	int format, r;

	r = read_raw(w->store, key, f, &text, &value, &format, etag, err);
	if (r == KC_ENOTFOUND)
		return 0;
	if (r < 0 || format == f->current)
		return r;
	w->older++;
	if (!fn)
		return 0;
	r = w->lock ? kc_lock_check(w->lock, err) : 0;
	return r < 0 ? r : fn(w, key, f, text, value, format, etag, err);
}

/* Every object that the table knows, in the table's order. */
static int walk(struct walk *w, older_fn *fn, struct kc_err *err)
{
	_cleanup_free_ char *below = xasprintf("%s/", w->prefix);
	json_auto_t *keys = NULL;
	const json_t *k;
	size_t i;
	int r = kc_store_list(w->store, below, &keys, err);

	for (const struct kc_stored *e = w->table; r == 0 && e->name; e++) {
		json_array_foreach(keys, i, k) {
			const char *key = json_string_value(k);

			if (r == 0 && entry_of(w->table, key + strlen(below)) == e)
				r = visit(w, key, e->format, fn, err);
		}
	}
	return r;
}

int kc_formats_check(struct kc_store *s, const char *prefix, const struct kc_stored *table,
		     size_t *ret_older, struct kc_err *err)
{
	struct walk w = { .store = s, .prefix = prefix, .table = table };
	int r = walk(&w, NULL, err);

	if (r == 0)
		*ret_older = w.older;
	return r;
}

int kc_formats_migrate(struct kc_store *s, const char *prefix, const struct kc_stored *table,
		       const char *owner, struct kc_lock *lock, struct kc_err *err)
{
	struct walk w = {
		.store = s, .prefix = prefix, .table = table, .owner = owner, .lock = lock
	};
	int r = walk(&w, back_up, err);

	return r < 0 ? r : walk(&w, rewrite, err);
}
