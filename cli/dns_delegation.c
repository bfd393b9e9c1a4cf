/* dns ns: which name servers the parent of a zone with several copies is to name. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/dns.h"
#include "dns/publish.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

static void print_names(const json_t *names)
{
	const json_t *name;
	size_t i;

	json_array_foreach((json_t *)names, i, name)
		printf("  NS %s\n", json_string_value(name));
}

/* What is at a copy's apex and should not be, or the other way round. */
static void print_difference(const json_t *copy, const json_t *wanted)
{
	const json_t *apex = json_object_get(copy, "apex"), *name;
	size_t i;

	json_array_foreach((json_t *)wanted, i, name)
		if (!kc_json_has_str(apex, json_string_value(name)))
			printf("%s %s: add NS %s at the apex\n",
			       kc_json_get_str(copy, "provider", "?"),
			       kc_json_get_str(copy, "where", "?"), json_string_value(name));
	json_array_foreach((json_t *)apex, i, name)
		if (!kc_json_has_str(wanted, json_string_value(name)))
			printf("%s %s: take NS %s out of the apex\n",
			       kc_json_get_str(copy, "provider", "?"),
			       kc_json_get_str(copy, "where", "?"), json_string_value(name));
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

/* What is to be, and what of it is not so yet. */
static void print_delegation(const json_t *found, const json_t *findings)
{
	const json_t *wanted = json_object_get(found, "wanted"), *copy;
	size_t i;

	printf("%s is to be delegated, in its parent and at the apex of every copy, to:\n",
	       kc_json_get_str(found, "zone", "?"));
	print_names(wanted);
	json_array_foreach(json_object_get(found, "copies"), i, copy)
		print_difference(copy, wanted);
	kc_cli_dns_findings(findings, true);
	fflush(stdout);
}

static bool is_same(const json_t *found)
{
	const json_t *copy;
	size_t i;

	json_array_foreach(json_object_get(found, "copies"), i, copy) {
		json_auto_t *apex = json_deep_copy(json_object_get(copy, "apex"));

		kc_json_sort(apex);
		if (!json_equal(apex, json_object_get(found, "wanted")))
			return false;
	}
	return true;
}

/* Copies that were not changed; what hosts of the policy lack is not the question here. */
static json_t *refused_copies(const struct kc_publish *p)
{
	json_auto_t *all = kc_publish_refused(p);
	json_t *out = json_array(), *one;
	size_t i;

	json_array_foreach(all, i, one)
		if (!json_object_get(one, "name"))
			json_array_append(out, one);
	return out;
}

/* Also if nothing differs: then every server is looked at. */
static int act(const struct kc_args *args, struct kc_publish *p, const json_t *found,
	       const char *hash, struct kc_err *err)
{
	const char *confirm = kc_args_str(args, "confirm");
	json_auto_t *refused = NULL;
	_cleanup_free_ char *lines = NULL;
	int r;

	if (confirm && !streq(confirm, hash))
		return kc_fail(err, KC_ECONFLICT,
			       "what is to be changed is something else now (%s); look at it and "
			       "confirm that",
			       hash);
	r = kc_publish_delegate(p, found, kc_cli_cancel(), err);
	if (r != KC_EFAIL)
		return r;
	refused = refused_copies(p);
	lines = kc_cli_dns_refused(refused);
	if (json_array_size(refused) == json_array_size(json_object_get(found, "copies")))
		return kc_fail_lines(err, KC_EFAIL, lines);
	fprintf(stderr, "kubecdn: %s\n", lines);
	return KC_EXIT_SOME;
}

/* Shown, and done if that is asked for. */
static int go(const struct kc_args *args, struct kc_publish *p, json_t *found, struct kc_err *err)
{
	bool yes = kc_args_bool(args, "yes") || kc_args_given(args, "confirm"),
	     same = is_same(found), text = kc_cli_wants_text(args);
	json_auto_t *findings = kc_publish_lint(p, false);
	char hash[KC_SHA256_HEX];
	int r = 0;

	kc_sha256_json(found, hash);
	if (text)
		print_delegation(found, findings);
	if (yes)
		r = act(args, p, found, hash, err);
	json_object_set_new(found, "hash", json_string(hash));
	json_object_set_new(found, "applied", json_boolean(yes && r == 0));
	json_object_set(found, "findings", findings);
	if (!text && kc_cli_print(args, found, err) < 0)
		return KC_EFAIL;
	if (yes || same) {
		if (yes && text && r == 0)
			puts("Done: every server answers so. The parent of the zone is yours to "
			     "change.");
		return r;
	}
	if (text)
		printf("\nNothing was changed. Run the same command with --yes to apply (or "
		       "--confirm %s).\n",
		       hash);
	return KC_EXIT_PENDING;
}

int kc_cli_dns_ns(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_publish_ struct kc_publish *p = NULL;
	json_auto_t *policy = NULL, *found = NULL;
	int r = kc_cli_dns_policy(args, &policy, err);

	if (r == 0)
		r = kc_publish_open(policy, &(struct kc_publish_opts){ 0 }, &p, err);
	if (r == 0)
		r = kc_publish_delegation(p, &found, err);
	return r != 0 ? r : go(args, p, found, err);
}
