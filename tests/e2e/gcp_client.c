/* Drives clouds/gcp for test_gcp_client.py: see lines.h. */
#include "clouds/gcp/clouddns_api.h"
#include "tests/e2e/lines.h"

static const char *arg(const json_t *args, const char *key)
{
	return kc_json_get_str(args, key, NULL);
}

static int zone(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_clouddns_zone(g, "p", arg(a, "zone"), ret, err);
}

static int quota(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_clouddns_quota(g, "p", ret, err);
}

static int rrsets(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_clouddns_rrsets(g, "p", arg(a, "zone"), arg(a, "name"), arg(a, "type"), ret, err);
}

static int change(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_clouddns_change(g, "p", arg(a, "zone"), json_object_get(a, "deletions"),
				  json_object_get(a, "additions"), ret, err);
}

static int change_get(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_clouddns_change_get(g, "p", arg(a, "zone"), arg(a, "id"), ret, err);
}

static int checks(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_gcp_health_checks(g, "p", arg(a, "prefix"), ret, err);
}

static int check(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_gcp_health_check(g, "p", arg(a, "name"), ret, err);
}

static int insert(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_gcp_health_check_insert(g, "p", json_object_get(a, "check"), err);
}

static int update(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_gcp_health_check_update(g, "p", json_object_get(a, "check"), err);
}

static int remove_check(void *g, const json_t *a, json_t **ret, struct kc_err *err)
{
	return kc_gcp_health_check_delete(g, "p", arg(a, "name"), err);
}

int main(void)
{
	static const struct lines_verb verbs[] = {
		{ "zone", zone },	    { "quota", quota },		  { "rrsets", rrsets },
		{ "change", change },	    { "change_get", change_get }, { "checks", checks },
		{ "check", check },	    { "insert", insert },	  { "update", update },
		{ "delete", remove_check },
	};
	_cleanup_gcp_ struct kc_gcp *g = NULL;
	struct kc_err err;
	int r;

	json_object_seed(0); /* before the first thread */
	r = kc_gcp_open(&(struct kc_gcp_conf){ 0 }, &g, &err);
	lines_say(r, r < 0 || !kc_gcp_project(g) ? NULL : json_string(kc_gcp_project(g)), &err);
	if (r == 0)
		lines_serve(verbs, ARRAY_SIZE(verbs), g);
	return r < 0;
}
