/* dns ns: which name servers the parent of a zone with several copies is to name. */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/dns.h"
#include "dns/publish.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static void print_names(const json_t *names)
{
	const json_t *name;
	size_t i;

	json_array_foreach((json_t *)names, i, name)
		printf("  NS %s\n", json_string_value(name));
}

/* What is at a copy's apex and should not be, or the other way round. True: nothing. */
static bool print_difference(const json_t *copy, const json_t *wanted)
{
	const json_t *apex = json_object_get(copy, "apex"), *name;
	bool same = true;
	size_t i;

	json_array_foreach((json_t *)wanted, i, name)
		if (!kc_json_has_str(apex, json_string_value(name))) {
			printf("%s %s: add NS %s at the apex\n",
			       kc_json_get_str(copy, "provider", "?"),
			       kc_json_get_str(copy, "where", "?"), json_string_value(name));
			same = false;
		}
	json_array_foreach((json_t *)apex, i, name)
		if (!kc_json_has_str(wanted, json_string_value(name))) {
			printf("%s %s: take NS %s out of the apex\n",
			       kc_json_get_str(copy, "provider", "?"),
			       kc_json_get_str(copy, "where", "?"), json_string_value(name));
			same = false;
		}
	return same;
}

void kc_cli_dns_findings(const json_t *findings, bool errors)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)findings, i, one) {
		const char *level = kc_json_get_str(one, "level", "");

		if (errors || streq(level, "warning"))
			printf("%s: %s %s: %s\n", level, kc_json_get_str(one, "provider", "?"),
			       kc_json_get_str(one, "where", "?"),
			       kc_json_get_str(one, "text", ""));
	}
}

int kc_cli_dns_ns(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_publish_ struct kc_publish *p = NULL;
	json_auto_t *policy = NULL, *found = NULL, *findings = NULL;
	const json_t *wanted, *copy;
	bool same = true;
	size_t i;
	int r = kc_cli_dns_policy(args, &policy, err);

	if (r == 0)
		r = kc_publish_open(policy, &(struct kc_publish_opts){ 0 }, &p, err);
	if (r == 0)
		r = kc_publish_delegation(p, &found, err);
	if (r != 0)
		return r;
	findings = kc_publish_lint(p, false);
	json_object_set(found, "findings", findings);
	if (!kc_cli_wants_text(args))
		return kc_cli_print(args, found, err);
	wanted = json_object_get(found, "wanted");
	printf("%s is to be delegated, in its parent and at the apex of every copy, to:\n",
	       kc_json_get_str(found, "zone", "?"));
	print_names(wanted);
	json_array_foreach(json_object_get(found, "copies"), i, copy)
		same = print_difference(copy, wanted) && same;
	kc_cli_dns_findings(findings, true);
	return same ? 0 : KC_EXIT_PENDING;
}
