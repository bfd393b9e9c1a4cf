/* Every field of the Cluster manifest is acted on by somebody, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <glob.h>
#include <string.h>
#include <cmocka.h>

#include "bootstrap/schema_priv.h"
#include "clouds/local/local.h"
#include "clouds/onprem/onprem.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "tests/fixtures/cloud-null/cloud_null.h"

/* The clouds there are, and one that acts on nothing of its own. */
static const struct kc_cloud *const registry[] = { &kc_cloud_local, &kc_cloud_onprem,
						   &kc_cloud_null, NULL };

/* {"spec": {"hosts": [{"ssh": {"port": value}}]}} for "hosts.ssh.port". */
static json_t *document_with(const struct kc_field *table, const char *path, json_t *value)
{
	size_t n = strcspn(path, ".");

	for (const struct kc_field *f = table; f->name; f++) {
		json_t *inner = value;

		if (strlen(f->name) != n || strncmp(f->name, path, n) != 0)
			continue;
		if (f->type == KC_FIELD_LIST && path[n])
			inner = kc_pack("[o]", document_with(f->item->fields, path + n + 1, value));
		else if (path[n])
			inner = document_with(f->fields, path + n + 1, value);
		return kc_pack("{s:o}", f->name, inner);
	}
	fail_msg("no field %s", path);
	return NULL;
}

/* A value that is not the field's default; NULL: it has but one. */
static json_t *other_value(const struct kc_field *f)
{
	json_auto_t *def = f->def ? json_loads(f->def, JSON_DECODE_ANY, NULL) : NULL;

	switch (f->type) {
	case KC_FIELD_INT:
	case KC_FIELD_NUMBER:
		return json_integer(json_integer_value(def) + 1);
	case KC_FIELD_BOOL:
		return json_boolean(!json_is_true(def));
	case KC_FIELD_LIST:
		return kc_pack("[s]", "x");
	case KC_FIELD_MAP:
		return kc_pack("{s:s}", "x", "y");
	default:
		if (f->values && def && !f->values[1])
			return NULL;
		return json_string(f->values && f->values[1] ? f->values[1] : "x");
	}
}

/* Does any of these files name the field? A stand-in for "somebody reads it". */
static bool is_read(const char *pattern, const char *path)
{
	const char *dot = strrchr(path, '.'), *leaf = dot ? dot + 1 : path;
	_cleanup_free_ char *word = xasprintf("\"%s\"", leaf), *at = xasprintf("spec.%s\"", path);
	_cleanup_free_ char *where = xasprintf("%s/%s", KC_SOURCE_DIR, pattern);
	glob_t g = { 0 };
	bool found = false;

	assert_int_equal(glob(where, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc && !found; i++) {
		_cleanup_free_ char *text = NULL;

		if (strstr(g.gl_pathv[i], "/schema") ||
		    kc_file_read(g.gl_pathv[i], 1 << 20, &text, NULL, NULL) < 0)
			continue;
		found = strstr(text, word) || strstr(text, at);
	}
	globfree(&g);
	return found;
}

/* A field of hosts where machines come from groups, or the other way round: refused elsewhere. */
static bool of_another_sort(const struct kc_cloud *cloud, const char *path)
{
	size_t n = strcspn(path, ".") + 1;

	if (!kc_startswith(path, "hosts.") && !kc_startswith(path, "instanceGroups."))
		return false;
	for (const char *const *own = cloud->honours; own && *own; own++)
		if (strncmp(*own, path, n) == 0)
			return false;
	return true;
}

static void check_leaf(const struct kc_field *f, const struct kc_cloud *cloud, const char *path,
		       json_t *listed)
{
	json_t *value = other_value(f);
	_cleanup_report_ struct kc_report rep = { 0 };
	json_auto_t *doc = NULL;

	if (!value)
		return;
	for (const struct kc_field *t = kc_cluster_kind.fields; t->name; t++)
		if (streq(t->name, "spec"))
			doc = kc_pack("{s:o}", "spec", document_with(t->fields, path, value));
	kc_cluster_cross_honours(doc, cloud, &rep);
	if (kc_cluster_honoured(cloud, path)) {
		json_object_set_new(listed, path, json_true());
		if (rep.n)
			fail_msg("%s: %s", cloud->name, kc_buf_get(&rep.lines));
	} else if (rep.n != 1 && !of_another_sort(cloud, path)) {
		fail_msg("%s is neither acted on with cloud %s nor refused", path, cloud->name);
	}
}

static void walk_leaves(const struct kc_field *table, const struct kc_cloud *cloud,
			const char *base, json_t *listed)
{
	for (const struct kc_field *f = table; f->name; f++) {
		_cleanup_free_ char *path = xasprintf("%s%s%s", base, *base ? "." : "", f->name);
		const struct kc_field *inner = f->type == KC_FIELD_LIST ? f->item : f;

		if (inner->type == KC_FIELD_OBJECT)
			walk_leaves(inner->fields, cloud, path, listed);
		else
			check_leaf(f, cloud, path, listed);
	}
}

/* Every field is acted on by somebody, or refused; and what the lists name does exist. */
static void test_no_field_is_ignored(void **state)
{
	static const char *const readers[] = { "clouds/local/*.c", "clouds/onprem/*.c" };

	for (size_t i = 0; registry[i]; i++) {
		json_auto_t *listed = json_object();
		const char *const *own = registry[i]->honours;

		for (const struct kc_field *t = kc_cluster_kind.fields; t->name; t++)
			if (streq(t->name, "spec"))
				walk_leaves(t->fields, registry[i], "", listed);
		for (; own && *own; own++) {
			if (!json_object_get(listed, *own))
				fail_msg("%s: there is no field %s", registry[i]->name, *own);
			if (!is_read(readers[i], *own))
				fail_msg("%s: nobody reads %s", registry[i]->name, *own);
		}
	}
	for (const char *const *f = kc_cluster_honours; *f; f++)
		if (!is_read("bootstrap/*.c", *f))
			fail_msg("nobody reads %s", *f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_field_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
