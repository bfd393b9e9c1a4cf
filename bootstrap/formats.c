#include "bootstrap/formats.h"

#include "lib/codec/json.h"
#include "lib/codec/yaml.h"
#include "lib/plan/state.h"
#include "lib/store/lock.h"

static int parse_yaml(const char *text, size_t len, const char *what, json_t **ret,
		      struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *yaml = NULL;
	int r = kc_yaml_parse(what, text, len, &yaml, err);

	if (r == 0)
		*ret = json_deep_copy(kc_yaml_value(yaml, 0));
	return r;
}

/* Nothing in it changed but the number: who cannot read what lies beside it is to stop here. */
static int marked_2(json_t *content, const char *owner, struct kc_err *err)
{
	return 0;
}

static int secret_to_2(json_t *secret, const char *owner, struct kc_err *err)
{
	return json_object_set_new(secret, "version", json_integer(1));
}

static kc_format_step *const marked_steps[] = { marked_2 };
static kc_format_step *const secret_steps[] = { secret_to_2 };

const struct kc_format kc_identity_format = { .name = "cluster",
					      .current = 2,
					      .steps = marked_steps };
const struct kc_format kc_secret_format = { .name = "secret", .current = 2, .steps = secret_steps };
const struct kc_format kc_spec_format = {
	.name = "manifest",
	.current = 2,
	.steps = marked_steps,
	.unmarked = true,
	.parse = parse_yaml,
	.print = kc_yaml_text,
};

const struct kc_stored kc_cluster_stored[] = {
	{ "cluster.json", &kc_identity_format },
	{ "spec.yaml", &kc_spec_format },
	{ "record.json", &kc_record_format },
	{ "journal/", &kc_journal_format },
	{ "pki/", &kc_secret_format },
	{ "secrets/", &kc_secret_format },
	{ "lock", &kc_lock_format },
	{ NULL, NULL },
};
