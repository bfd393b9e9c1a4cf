/*
 * Before the first change: are the blobs that the plan needs what they should be? Found while they
 * are sent, a damaged one would leave a host half made.
 */
#include <string.h>

#include "bootstrap/session.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { KNOWN_MAX = 1 << 20 };

/* What a host that does not exist yet will be sent: all that its spec names. */
static void add_all(const json_t *spec, json_t *hashes)
{
	const json_t *task;
	size_t i;

	json_array_foreach(json_object_get(spec, "tasks"), i, task) {
		const char *blob = kc_json_get_str(json_object_get(task, "want"), "blob", NULL);

		if (blob)
			json_object_set_new(hashes, blob, json_true());
	}
}

/* The members of the result are the hashes that some host lacks. Owned. */
static json_t *needed(const struct session *s)
{
	json_t *hashes = json_object();
	const json_t *task, *blob;
	size_t i, k;

	json_array_foreach(s->tasks, i, task) {
		const char *id = kc_json_get_str(task, "id", "");
		const json_t *missing = json_object_get(kc_plan_actual(s->plan, id), "blobs");

		if (!streq(kc_json_get_str(task, "kind", ""), "node"))
			continue;
		json_array_foreach((json_t *)missing, k, blob)
			json_object_set_new(hashes, json_string_value(blob), json_true());
		if (!missing)
			add_all(json_object_get(s->specs,
						kc_json_get_str(json_object_get(task, "want"),
								"spec", "")),
				hashes);
	}
	/* Made and hashed a moment ago. */
	json_object_del(hashes, s->hosts.agent_blob_sha256);
	return hashes;
}

/* What earlier runs have read already; a file that is gone or odd costs a second look only. */
static json_t *read_known(const char *path)
{
	_cleanup_free_ char *text = NULL;
	json_auto_t *known = NULL;
	size_t len;

	if (kc_file_read(path, KNOWN_MAX, &text, &len, NULL) < 0 ||
	    kc_json_parse(text, len, path, &known, NULL) < 0 || !json_is_object(known))
		return json_object();
	return TAKE(known);
}

int session_check_blobs(struct session *s, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/blobs.json", s->cache), *text = NULL;
	json_auto_t *hashes = NULL, *known = NULL, *before = NULL;
	const char *hash;
	struct kc_err why;
	json_t *v;
	int r = 0;

	if (s->deleting)
		return 0;
	hashes = needed(s);
	known = read_known(path);
	before = json_deep_copy(known);
	json_object_foreach(hashes, hash, v) {
		r = kc_bundle_check(s->bundle, hash, known, &why);
		if (r < 0)
			return kc_fail(err, r,
				       "%s; nothing was changed; see `kubecdn bundle verify`",
				       why.msg);
	}
	if (json_equal(known, before))
		return 0;
	text = kc_json_text(known);
	if (strlen(text) < KNOWN_MAX)
		kc_file_write(path, text, strlen(text), 0644, NULL);
	return 0;
}
