#include "bootstrap/bundle/internal.h"

#include <string.h>
#include <sys/utsname.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

int kc_pins_load(json_t **ret, struct kc_err *err)
{
	const struct kc_asset *a = kc_bundle_asset("", "components.yaml");
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	int r;

	r = kc_yaml_parse("components.yaml", a->data, (size_t)(a->end - a->data), &y, err);
	if (r < 0)
		return r;
	*ret = json_deep_copy(kc_yaml_value(y, 0));
	return 0;
}

const char *kc_bundle_host_arch(void)
{
	struct utsname u;

	if (uname(&u) == 0 && streq(u.machine, "x86_64"))
		return "amd64";
	return uname(&u) == 0 && streq(u.machine, "aarch64") ? "arm64" : "unknown";
}

char *kc_pins_expand(const char *text, const char *version)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	size_t major = strcspn(version, "."), minor = 0;

	if (version[major])
		minor = strcspn(version + major + 1, ".");
	for (const char *p = text; *p;) {
		if (kc_startswith(p, "{version}")) {
			kc_buf_puts(&out, version);
			p += strlen("{version}");
		} else if (kc_startswith(p, "{major}")) {
			kc_buf_putn(&out, version, major);
			p += strlen("{major}");
		} else if (kc_startswith(p, "{minor}")) {
			kc_buf_putn(&out, version + major + 1, minor);
			p += strlen("{minor}");
		} else {
			kc_buf_putn(&out, p++, 1);
		}
	}
	return kc_buf_steal(&out);
}

/* The release of this version, or the first one for NULL. */
static int find_release(const json_t *pins, const char *version, const json_t **ret,
			struct kc_err *err)
{
	const json_t *releases = json_object_get(pins, "kubernetes"), *rel;
	_cleanup_buf_ struct kc_buf names = { 0 };
	size_t i;

	if (version && *version == 'v')
		version++;
	json_array_foreach(releases, i, rel) {
		const char *v = kc_json_get_str(rel, "version", "");

		if (!version || streq(v, version)) {
			*ret = rel;
			return 0;
		}
		kc_buf_printf(&names, "%s%s", i ? ", " : "", v);
	}
	return kc_fail(err, KC_EINVAL, "Kubernetes %s is not supported; supported: %s",
		       version ? version : "", kc_buf_get(&names));
}

/* One section ("components", "images") as an array of {"name", …}, a release's overrides on top. */
static json_t *section(const json_t *pins, const json_t *release, const char *name)
{
	json_t *out = json_array(), *value;
	const char *key;

	json_object_foreach(json_object_get(pins, name), key, value) {
		json_t *part = json_pack("{s:s, s:s}", "name", key, "dir", key);

		json_object_update(part, value);
		if (streq(key, "kubernetes"))
			json_object_set(part, "version", json_object_get(release, "version"));
		json_object_update(part, json_object_get(json_object_get(release, name), key));
		json_array_append_new(out, part);
	}
	return out;
}

int kc_bundle_pins(const char *kubernetes, json_t **ret, struct kc_err *err)
{
	json_auto_t *pins = NULL;
	const json_t *release = NULL;
	int r;

	r = kc_pins_load(&pins, err);
	if (r == 0)
		r = find_release(pins, kubernetes, &release, err);
	if (r < 0)
		return r;
	*ret = kc_pack("{s:O, s:O, s:o, s:o}", "kubernetes", json_object_get(release, "version"),
		       "go", json_object_get(pins, "go"), "components",
		       section(pins, release, "components"), "images",
		       section(pins, release, "images"));
	return 0;
}
