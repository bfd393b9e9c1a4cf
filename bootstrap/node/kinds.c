#include "bootstrap/node/kinds.h"

#include <stdlib.h>

#include "lib/base/str.h"
#include "lib/codec/json.h"

void kc_node_provider(struct kc_node_host *h, struct kc_provider *ret)
{
	static const struct kc_kind *const kinds[] = {
		&kc_node_blob, &kc_node_image,	&kc_node_file, &kc_node_dir,	&kc_node_link,
		&kc_node_unit, &kc_node_sysctl, &kc_node_cert, &kc_node_module, &kc_node_teardown,
		NULL,
	};

	/* Mostly waiting for systemd and for programs to come up, not computing. */
	*ret = (struct kc_provider){
		.name = "host", .kinds = kinds, .ctx = h, .limits = kc_limits("host")
	};
}

const json_t *kc_node_get(const struct kc_task *t, const json_t *actual, const char *key)
{
	const json_t *v = json_object_get(t->want, key);

	v = v ? v : json_object_get(actual, key);
	return v ? v : json_object_get(t->known, key);
}

const char *kc_node_str(const struct kc_task *t, const json_t *actual, const char *key)
{
	return json_string_value(kc_node_get(t, actual, key));
}

int kc_node_need(const struct kc_task *t, const json_t *actual, const char *key, const char **ret,
		 struct kc_err *err)
{
	const char *s = kc_node_str(t, actual, key);

	if (!s || !*s)
		return kc_fail(err, KC_EINVAL, "%s: no string \"%s\" in the node spec", t->id, key);
	*ret = s;
	return 0;
}

int kc_node_mode(const struct kc_task *t, mode_t *ret, struct kc_err *err)
{
	const char *s = json_string_value(json_object_get(t->want, "mode"));
	char *end = NULL;
	unsigned long v = s ? strtoul(s, &end, 8) : 0;

	if (!s || !*s || *end || v > 07777)
		return kc_fail(err, KC_EINVAL, "%s: mode must be octal text such as \"0644\"",
			       t->id);
	*ret = (mode_t)v;
	return 0;
}

bool kc_node_made_before(const struct kc_task *t)
{
	return t->known || t->again;
}

void kc_node_owned(json_t *want, json_t *actual)
{
	json_object_set_new(want, "owner", kc_host_owner());
}

json_t *kc_node_mode_text(mode_t mode)
{
	return json_sprintf("%04o", mode & 07777);
}
