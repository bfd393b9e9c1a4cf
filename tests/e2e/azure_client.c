/* Drives clouds/azure for test_azure_client.py: see lines.h. KC_TEST_CA names a file of CAs. */
#include "clouds/azure/dns_api.h"
#include "lib/base/file.h"
#include "tests/e2e/lines.h"

static struct kc_azure_place place; /* KC_TEST_SUBSCRIPTION, group "dns" */

static const char *arg(const json_t *args, const char *key)
{
	return kc_json_get_str(args, key, NULL);
}

static int zone(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_zone(a, &place, arg(q, "zone"), ret, err);
}

static int rrsets(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_rrsets(a, &place, arg(q, "zone"), arg(q, "suffix"), ret, err);
}

static int get(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_rrset_get(a, &place, arg(q, "zone"), arg(q, "type"), arg(q, "name"), ret,
				  err);
}

static int put(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_rrset_put(a, &place, arg(q, "zone"), arg(q, "type"), arg(q, "name"),
				  arg(q, "etag"), json_object_get(q, "body"), ret, err);
}

static int delete_rrset(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_rrset_delete(a, &place, arg(q, "zone"), arg(q, "type"), arg(q, "name"),
				     arg(q, "etag"), err);
}

static int profile_get(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_profile_get(a, &place, arg(q, "name"), ret, err);
}

static int profile_put(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_profile_put(a, &place, arg(q, "name"),
				    kc_json_get_bool(q, "only_if_absent", false),
				    json_object_get(q, "body"), ret, err);
}

static int profile_delete(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_profile_delete(a, &place, arg(q, "name"), err);
}

static int endpoint_put(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_endpoint_put(a, &place, arg(q, "profile"), arg(q, "kind"), arg(q, "name"),
				     json_object_get(q, "body"), ret, err);
}

static int endpoint_delete(void *a, const json_t *q, json_t **ret, struct kc_err *err)
{
	return kc_azure_endpoint_delete(a, &place, arg(q, "profile"), arg(q, "kind"),
					arg(q, "name"), err);
}

int main(void)
{
	static const struct lines_verb verbs[] = {
		{ "zone", zone },
		{ "rrsets", rrsets },
		{ "get", get },
		{ "put", put },
		{ "delete", delete_rrset },
		{ "profile_get", profile_get },
		{ "profile_put", profile_put },
		{ "profile_delete", profile_delete },
		{ "endpoint_put", endpoint_put },
		{ "endpoint_delete", endpoint_delete },
	};
	const char *ca = getenv("KC_TEST_CA"), *subscription = getenv("KC_TEST_SUBSCRIPTION");
	_cleanup_azure_ struct kc_azure *a = NULL;
	_cleanup_free_ char *pem = NULL;
	struct kc_err err;
	int r = 0;

	json_object_seed(0); /* before the first thread */
	place = (struct kc_azure_place){ subscription ? subscription : "", "dns" };
	if (ca)
		r = kc_file_read(ca, 1 << 20, &pem, NULL, &err);
	if (r == 0)
		r = kc_azure_open(&(struct kc_azure_conf){ .ca_pem = pem }, &a, &err);
	lines_say(r, NULL, &err);
	if (r == 0)
		lines_serve(verbs, ARRAY_SIZE(verbs), a);
	return r < 0;
}
