/* The generic three-way diff: want, actual, and the want of the last apply. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/engine.h"

struct diffing {
	const struct kc_diff *d;
	json_t *changes;
	bool replace;
};

/* One step of path, without a list position: its end. */
static const char *step_end(const char *p)
{
	return p + strcspn(p, ".[");
}

/* Does path ("rules[0].port") lie at or below key ("rules", "rules.port")? */
static bool below(const char *path, const char *key)
{
	while (*key) {
		size_t n = strcspn(key, ".");

		if (*path == '.')
			path++;
		if ((size_t)(step_end(path) - path) != n || strncmp(path, key, n) != 0)
			return false;
		path += n;
		while (*path == '[')
			path += strcspn(path, "]") + 1;
		key += n;
		if (*key == '.')
			key++;
	}
	return true;
}

bool kc_path_in(const char *path, const char *const *keys)
{
	for (size_t i = 0; keys && keys[i]; i++)
		if (below(path, keys[i]))
			return true;
	return false;
}

static bool has_hole(const json_t *v)
{
	const char *key;
	json_t *m;
	size_t i;

	if (kc_is_hole(v))
		return true;
	if (json_is_object(v)) {
		json_object_foreach((json_t *)v, key, m)
			if (has_hole(m))
				return true;
	} else if (json_is_array(v)) {
		json_array_foreach((json_t *)v, i, m)
			if (has_hole(m))
				return true;
	}
	return false;
}

static void change(struct diffing *f, const char *path, const json_t *from, const json_t *to)
{
	json_t *c = kc_pack("{s:s}", "path", path);
	const struct kc_kind *kind = f->d->kind;

	if (from)
		json_object_set(c, "from", (json_t *)from);
	if (to)
		json_object_set(c, "to", (json_t *)to);
	json_array_append_new(f->changes, c);
	if (!kc_path_in(path, kind->immutable))
		return;
	if (!to || !has_hole(to) || (f->d->strong && f->d->strong(f->d->cookie, to)))
		f->replace = true;
}

static char **texts_of(const json_t *list, size_t *ret_n)
{
	char **t = xcalloc(json_array_size(list) + 1, sizeof(*t));
	size_t i, n = 0;
	json_t *v;

	json_array_foreach((json_t *)list, i, v)
		t[n++] = kc_json_text(v);
	kc_sort_text((const char **)t, n);
	*ret_n = 0;
	for (i = 0; i < n; i++) {
		if (*ret_n && streq(t[*ret_n - 1], t[i]))
			free(t[i]);
		else
			t[(*ret_n)++] = t[i];
	}
	return t;
}

static bool same_set(const json_t *a, const json_t *b)
{
	size_t na, nb;
	char **ta = texts_of(a, &na), **tb = texts_of(b, &nb);
	bool same = na == nb;

	for (size_t i = 0; same && i < na; i++)
		same = streq(ta[i], tb[i]);
	for (size_t i = 0; i < na; i++)
		free(ta[i]);
	for (size_t i = 0; i < nb; i++)
		free(tb[i]);
	free(ta);
	free(tb);
	return same;
}

static bool same_scalar(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) == json_number_value(b);
	return json_equal(a, b);
}

static void walk(struct diffing *f, const char *path, const json_t *want, const json_t *actual,
		 const json_t *old);

/* The keys of want and, behind them, those of old that want lacks: sorted, so that plans are. */
static const char **keys_of(const json_t *want, const json_t *old, size_t *ret_n)
{
	const char **keys = xcalloc(json_object_size(want) + json_object_size(old) + 1,
				    sizeof(*keys)),
		   *key;
	size_t n = 0;
	json_t *v;

	json_object_foreach((json_t *)want, key, v)
		keys[n++] = key;
	json_object_foreach((json_t *)old, key, v)
		if (!json_object_get(want, key))
			keys[n++] = key;
	kc_sort_text(keys, n);
	*ret_n = n;
	return keys;
}

static void walk_object(struct diffing *f, const char *path, const json_t *want,
			const json_t *actual, const json_t *old)
{
	size_t n;
	_cleanup_free_ const char **keys = keys_of(want, old, &n);

	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *p = xasprintf("%s%s%s", path, *path ? "." : "", keys[i]);
		const json_t *w = json_object_get(want, keys[i]);
		const json_t *a = json_object_get(actual, keys[i]);

		if (w)
			walk(f, p, w, a, json_object_get(old, keys[i]));
		else if (a && !json_is_null(a))
			change(f, p, a, NULL);
	}
}

static void walk_list(struct diffing *f, const char *path, const json_t *want, const json_t *actual,
		      const json_t *old)
{
	size_t n = json_array_size(want);

	if (kc_path_in(path, f->d->kind->sets) && !has_hole(want)) {
		if (!same_set(want, actual))
			change(f, path, actual, want);
		return;
	}
	if (n != json_array_size(actual) || kc_path_in(path, f->d->kind->sets)) {
		change(f, path, actual, want);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *p = xasprintf("%s[%zu]", path, i);

		walk(f, p, json_array_get(want, i), json_array_get(actual, i),
		     json_array_get(old, i));
	}
}

static void walk(struct diffing *f, const char *path, const json_t *want, const json_t *actual,
		 const json_t *old)
{
	if (kc_is_hole(want)) {
		change(f, path, actual, want);
	} else if (!actual || json_is_null(actual)) {
		if (!json_is_null(want))
			change(f, path, NULL, want);
	} else if (kc_is_secret_ref(want)) { /* one value, whatever it is made of */
		if (!json_equal(want, actual))
			change(f, path, actual, want);
	} else if (json_is_object(want) && json_is_object(actual)) {
		walk_object(f, path, want, actual, json_is_object(old) ? old : NULL);
	} else if (json_is_array(want) && json_is_array(actual)) {
		walk_list(f, path, want, actual, json_is_array(old) ? old : NULL);
	} else if (!same_scalar(want, actual)) {
		change(f, path, actual, want);
	}
}

const json_t *kc_identity_of(const struct kc_node *n)
{
	const json_t *old = json_object_get(n->rec, "want");

	for (size_t i = 0; old && n->kind->immutable && n->kind->immutable[i]; i++) {
		const json_t *a = kc_json_at(old, n->kind->immutable[i]);
		const json_t *b = kc_json_at(n->want, n->kind->immutable[i]);

		if (a && b && !has_hole(b) && !json_equal(a, b))
			return old;
	}
	return n->want;
}

void kc_diff(const struct kc_diff *d, const json_t *want, const json_t *actual, const json_t *old,
	     json_t **ret_changes, bool *ret_replace)
{
	struct diffing f = { .d = d, .changes = json_array() };

	walk_object(&f, "", want, actual, old);
	*ret_changes = f.changes;
	*ret_replace = f.replace;
}
