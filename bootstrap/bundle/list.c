#include "bootstrap/bundle/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

int kc_bundle_default_dir(const char *kubernetes, const char *arch, char **ret, struct kc_err *err)
{
	_cleanup_free_ char *cache = kc_cache_dir();
	json_auto_t *pins = NULL;
	int r = kc_bundle_pins(kubernetes, &pins, err);

	if (r < 0)
		return r;
	*ret = xasprintf("%s/bundles/%s-%s", cache, kc_json_get_str(pins, "kubernetes", ""),
			 arch ? arch : kc_bundle_host_arch());
	return 0;
}

struct sums {
	json_int_t blobs, bytes, core;
};

static int sum_up(void *cookie, const char *who, const json_t *blob, struct kc_err *err)
{
	json_int_t n = kc_json_get_int(blob, "blobSize", 0);
	struct sums *s = cookie;

	s->blobs++;
	s->bytes += n;
	if (streq(kc_json_get_str(blob, "layer", "core"), "core"))
		s->core += n;
	return 0;
}

/* One bundle's line of the list; what is wrong with it is part of the answer. */
static json_t *describe(const char *dir)
{
	_cleanup_bundle_ struct kc_bundle *b = NULL;
	struct kc_err why = { 0 };
	struct sums s = { 0 };

	if (kc_bundle_open(dir, NULL, &b, &why) < 0)
		return kc_pack("{s:s, s:s}", "dir", dir, "error", why.msg);
	kc_bundle_each(b, sum_up, &s, NULL);
	return kc_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "dir", dir, "kubernetes",
		       kc_bundle_version(b), "arch", kc_bundle_arch(b), "blobs", s.blobs, "bytes",
		       s.bytes, "core", s.core);
}

static int visible(const struct dirent *e)
{
	return e->d_name[0] != '.' && !kc_endswith(e->d_name, ".new");
}

/* Newest version first, then what has a name that is none. */
static int newest(const struct dirent **a, const struct dirent **b)
{
	bool va = isdigit((unsigned char)*(*a)->d_name), vb = isdigit((unsigned char)*(*b)->d_name);

	return va == vb ? strverscmp((*b)->d_name, (*a)->d_name) : vb - va;
}

int kc_bundle_list(json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *cache = kc_cache_dir(), *root = xasprintf("%s/bundles", cache);
	json_auto_t *pins = NULL, *out = NULL;
	struct dirent **found = NULL;
	const json_t *release;
	size_t i;
	int n, r;

	r = kc_pins_load(&pins, err);
	if (r < 0)
		return r;
	out = kc_pack("{s:[], s:[]}", "supported", "bundles");
	json_array_foreach(json_object_get(pins, "kubernetes"), i, release)
		json_array_append(json_object_get(out, "supported"),
				  json_object_get(release, "version"));
	n = scandir(root, &found, visible, newest);
	for (int k = 0; k < n; k++) {
		_cleanup_free_ char *dir = xasprintf("%s/%s", root, found[k]->d_name);

		json_array_append_new(json_object_get(out, "bundles"), describe(dir));
		free(found[k]);
	}
	free(found);
	*ret = TAKE(out);
	return 0;
}
