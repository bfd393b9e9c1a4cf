/* dns plan, apply, adopt, verify, claim: one policy at all copies of its zone. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/dns.h"
#include "dns/policy.h"
#include "dns/publish.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"
#include "lib/plan/plan.h"

/* SHOWN: hosts of one kind, in a plan's text. */
enum { SHOWN = 50, MANIFEST_MAX = 8 << 20, KEY_MAX = 4096 };

static const struct kc_opt file_opts[] = {
	{ "file", 'f', KC_OPT_STRING, "FILE", .doc = "Manifest of a TrafficPolicy, - for stdin" },
	{ NULL },
};

static const struct kc_opt plan_opts[] = {
	{ "detailed-exitcode", .type = KC_OPT_FLAG, .doc = "Exit 2 if there is something to do" },
	{ NULL },
};

static const struct kc_opt apply_opts[] = {
	{ "yes", 'y', KC_OPT_FLAG, .doc = "Do it; without this flag only a preview is shown" },
	{ "confirm", .type = KC_OPT_STRING, .meta = "HASH",
	  .doc = "Do it if the plan still has this hash" },
	{ NULL },
};

static const struct kc_opt claim_opts[] = {
	{ "region", .type = KC_OPT_STRING, .meta = "NAME",
	  .doc = "The region that speaks, one of spec.regions" },
	{ "key", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "Its private key, Ed25519 in PEM, which only its owner may read" },
	{ "addresses", .type = KC_OPT_STRING, .meta = "LIST",
	  .doc = "Where it serves: addresses with commas between" },
	{ "withdraw", .type = KC_OPT_FLAG, .doc = "It serves nowhere any more" },
	{ "down", .type = KC_OPT_STRING, .meta = "LIST",
	  .doc = "Other regions that it cannot reach, with commas between" },
	{ NULL },
};

static const struct kc_opt delete_opts[] = {
	{ "wait", .type = KC_OPT_FLAG, .doc = "Wait until it may go, and take it out" },
	{ NULL },
};

static const struct kc_opt shift_opts[] = {
	{ "allow-shift", .type = KC_OPT_INT, .meta = "PERCENT", .min = 1, .max = 100,
	  .doc = "Send up to so many of all clients elsewhere, whatever safety.maxTrafficShift "
		 "says" },
	{ NULL },
};

static const struct kc_opt *const plan_lists[] = { file_opts, plan_opts, kc_cli_output, NULL };
static const struct kc_opt *const ns_lists[] = { file_opts, apply_opts, kc_cli_output, NULL };
static const struct kc_opt *const verify_lists[] = { file_opts, kc_cli_output, NULL };
static const struct kc_opt *const apply_lists[] = { file_opts, apply_opts,    shift_opts,
						    plan_opts, kc_cli_output, NULL };

static const struct kc_opt watch_opts[] = {
	{ "watch", 'w', KC_OPT_FLAG, .doc = "Go on, and show what changes" },
	{ NULL },
};

static const struct kc_opt *const export_lists[] = { file_opts, NULL };
static const struct kc_opt *const status_lists[] = { file_opts, watch_opts, kc_cli_output, NULL };
static const struct kc_opt *const delete_lists[] = { file_opts, delete_opts,   apply_opts,
						     plan_opts, kc_cli_output, NULL };

static const struct kc_opt simulate_opts[] = {
	{ "fail", .type = KC_OPT_STRING, .meta = "WHAT",
	  .doc = "Show only what happens when endpoint=ID or cloud=NAME is dead" },
	{ "load", .type = KC_OPT_INT, .meta = "N", .min = 1, .max = INT32_MAX,
	  .doc = "Load of all clients together (default: what is carried normally)" },
	{ "ipv6", .type = KC_OPT_FLAG, .doc = "Clients that ask for AAAA instead of A" },
	{ "html", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "Write a map, too: a page for browsers" },
	{ NULL },
};

static const struct kc_opt *const simulate_lists[] = { file_opts, simulate_opts, kc_cli_output,
						       NULL };
static const struct kc_opt *const claim_lists[] = { file_opts, claim_opts,    apply_opts,
						    plan_opts, kc_cli_output, NULL };

struct run {
	const struct kc_args *args;
	json_t *policy;
	struct kc_publish_claim claim;
	json_t *addresses, *down;
	char *key;
	struct kc_publish *publish;
	json_t *findings; /* of a plan: what at the apex of a copy leads to another provider */
	char hash[KC_SHA256_HEX];
	size_t pending, refused, copies_refused;
	bool applied;
};

static void run_done(struct run *v)
{
	kc_publish_close(v->publish);
	json_decref(v->findings);
	json_decref(v->policy);
	json_decref(v->addresses);
	json_decref(v->down);
	kc_free_wiped(v->key);
}

int kc_cli_dns_policy(const struct kc_args *args, json_t **ret, struct kc_err *err)
{
	const char *file = kc_args_str(args, "file");
	_cleanup_buf_ struct kc_buf lines = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (!file)
		return kc_cli_usage(err, "-f FILE is needed: the manifest of a TrafficPolicy");
	r = kc_file_read(streq(file, "-") ? "/dev/stdin" : file, MANIFEST_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = kc_policy_load(file, text, len, ret, &lines, err);
	return r < 0 && lines.len ? kc_fail_lines(err, KC_EINVAL, kc_buf_get(&lines)) : r;
}

static int load(struct run *v, struct kc_err *err)
{
	return kc_cli_dns_policy(v->args, &v->policy, err);
}

/* Of what is refused, that is not one of many hosts. */
static size_t count_copies(const json_t *refused)
{
	const json_t *one;
	size_t i, n = 0;

	json_array_foreach((json_t *)refused, i, one)
		n += !json_object_get(one, "name");
	return n;
}

static void count(struct run *v)
{
	const json_t *plan = kc_publish_plan(v->publish), *task;
	json_auto_t *refused = kc_publish_refused(v->publish);
	size_t i;

	v->refused = json_array_size(refused);
	v->copies_refused = count_copies(refused);
	json_array_foreach(json_object_get(plan, "tasks"), i, task)
		v->pending += !streq(kc_json_get_str(task, "action", ""), "keep");
	kc_sha256_json(plan, v->hash);
}

/* The plan, of whose many hosts only the first are shown. */
static json_t *shortened(const json_t *plan)
{
	json_t *out = json_array(), *task;
	size_t i;

	json_array_foreach(json_object_get(plan, "tasks"), i, task) {
		json_t *changes = json_object_get(task, "changes"), *few, *copy;
		size_t n = json_array_size(changes);

		if (n <= SHOWN) {
			json_array_append(out, task);
			continue;
		}
		few = json_array();
		for (size_t k = 0; k < SHOWN; k++)
			json_array_append(few, json_array_get(changes, k));
		copy = json_copy(task);
		json_object_set_new(copy, "changes", few);
		json_object_set_new(copy, "more", json_integer((json_int_t)(n - SHOWN)));
		json_array_append_new(out, copy);
	}
	return kc_pack("{s:o}", "tasks", out);
}

static void print_preview(const struct run *v, bool act)
{
	json_auto_t *fidelity = kc_publish_fidelity(v->publish);
	_cleanup_buf_ struct kc_buf text = { 0 };
	json_auto_t *plan = shortened(kc_publish_plan(v->publish));
	const json_t *note;
	size_t i;

	kc_plan_text(plan, kc_cli_color_stdout(v->args), &text);
	fputs(kc_buf_get(&text), stdout);
	json_array_foreach((json_t *)kc_publish_notes(v->publish), i, note)
		printf("note: %s\n", json_string_value(note));
	json_array_foreach(fidelity, i, note)
		if (kc_json_get_int(note, "moved", 0))
			printf("note: %s %s: %lld %% of all clients are sent elsewhere\n",
			       kc_json_get_str(note, "provider", "?"),
			       kc_json_get_str(note, "where", "?"),
			       (long long)(kc_json_get_int(note, "moved", 0) + 9) / 10);
	kc_cli_dns_findings(v->findings, true);
	if (!v->pending && !v->refused)
		puts("Nothing to do.");
	else if (v->pending && !act)
		printf("\nNothing was changed. Run %s with --yes to apply (or --confirm %s).\n",
		       kc_args_knows(v->args, "yes") ? "the same command" : "kubecdn dns apply",
		       v->hash);
	fflush(stdout);
}

/* A line a copy, or one of many hosts, that was not changed. Owned. */
char *kc_cli_dns_refused(const json_t *refused)
{
	struct kc_buf lines = { 0 };
	const json_t *c;
	size_t i;

	json_array_foreach((json_t *)refused, i, c) {
		const char *why = kc_json_get_str(c, "why", "?");
		_cleanup_free_ char *who = xasprintf("%s: ", kc_json_get_str(c, "provider", "?"));

		/* What a provider's API said begins with its name. */
		kc_buf_printf(&lines, "%s%s%s", i ? "\n" : "", kc_startswith(why, who) ? "" : who,
			      why);
	}
	return kc_buf_steal(&lines);
}

static int add_refused(const struct run *v, int r, struct kc_err *err)
{
	json_auto_t *refused = kc_publish_refused(v->publish);
	_cleanup_free_ char *lines = kc_cli_dns_refused(refused);

	if (!json_array_size(refused))
		return r;
	kc_fail_lines(err, r < 0 ? r : KC_EFAIL, lines);
	return KC_EFAIL;
}

static int print_result(const struct run *v, struct kc_err *err)
{
	json_auto_t *result =
		kc_pack("{s:O, s:s, s:b, s:O, s:o, s:o, s:O*}", "plan", kc_publish_plan(v->publish),
			"hash", v->hash, "applied", (int)v->applied, "notes",
			kc_publish_notes(v->publish), "fidelity", kc_publish_fidelity(v->publish),
			"refused", kc_publish_refused(v->publish), "findings", v->findings);

	return kc_cli_print(v->args, result, err);
}

static int act(struct run *v, struct kc_err *err)
{
	const char *confirm = kc_args_str(v->args, "confirm");
	int r;

	if (confirm && !streq(confirm, v->hash))
		return kc_fail(err, KC_ECONFLICT,
			       "the plan is another one now (%s); look at it and confirm that",
			       v->hash);
	r = kc_publish_apply(v->publish, kc_cli_cancel(), err);
	v->applied = r == 0;
	return r;
}

/* Some copies may be as wanted while others failed: then it is neither done nor undone. */
static int end(const struct run *v, int r, struct kc_err *err)
{
	json_auto_t *refused = kc_publish_refused(v->publish);
	_cleanup_free_ char *lines = NULL;
	size_t copies = json_array_size(kc_json_at(v->policy, "spec.publish"));

	if (!kc_cli_wants_text(v->args) && print_result(v, err) < 0)
		return KC_EFAIL;
	if (r == KC_ECANCELED || r == KC_ECONFLICT)
		return r;
	if (json_array_size(refused) && count_copies(refused) < copies) {
		lines = kc_cli_dns_refused(refused);
		fprintf(stderr, "kubecdn: %s\n", lines);
		return KC_EXIT_SOME;
	}
	r = add_refused(v, r, err);
	if (r < 0)
		return r;
	if (v->applied && kc_cli_wants_text(v->args))
		puts("Done: every server answers so.");
	return !v->applied && kc_args_bool(v->args, "detailed-exitcode") && v->pending
		       ? KC_EXIT_PENDING
		       : 0;
}

/* The copies are read, the plan is shown, and carried out if that is asked for. */
static int go(struct run *v, const struct kc_publish_opts *opts, bool may_act, struct kc_err *err)
{
	bool yes = may_act && (kc_args_bool(v->args, "yes") || kc_args_given(v->args, "confirm"));
	int r = kc_publish_open(v->policy, opts, &v->publish, err);

	if (r < 0)
		return r;
	count(v);
	if (!may_act)
		v->findings = kc_publish_lint(v->publish, false);
	/* With every copy refused there is no plan to show. */
	if (kc_cli_wants_text(v->args) &&
	    v->copies_refused < json_array_size(kc_json_at(v->policy, "spec.publish")))
		print_preview(v, yes);
	if (yes)
		r = act(v, err);
	return end(v, r, err);
}

static int run_with(const struct kc_args *args, const struct kc_publish_opts *opts, bool may_act,
		    struct kc_err *err)
{
	_cleanup_(run_done) struct run v = { .args = args };
	int r = load(&v, err);

	return r ? r : go(&v, opts, may_act, err);
}

static int run_plan(const struct kc_args *args, struct kc_err *err)
{
	return run_with(args, &(struct kc_publish_opts){ 0 }, false, err);
}

static int run_apply(const struct kc_args *args, struct kc_err *err)
{
	return run_with(args,
			&(struct kc_publish_opts){
				.allow_shift = (int)kc_args_long(args, "allow-shift", 0) },
			true, err);
}

static int run_adopt(const struct kc_args *args, struct kc_err *err)
{
	return run_with(args,
			&(struct kc_publish_opts){
				.adopt = true,
				.allow_shift = (int)kc_args_long(args, "allow-shift", 0) },
			true, err);
}

/* Sleeps in steps, for Ctrl-C. */
static int wait_for(int64_t seconds, struct kc_err *err)
{
	int64_t until = kc_now_ms() + seconds * 1000;

	fprintf(stderr, "Waiting for %lld s.\n", (long long)seconds);
	while (kc_now_ms() < until) {
		if (atomic_load(kc_cli_cancel()))
			return kc_fail(err, KC_ECANCELED, "stopped");
		kc_sleep_ms(100);
	}
	return 0;
}

static int run_delete(const struct kc_args *args, struct kc_err *err)
{
	struct kc_publish_opts opts = { .remove = true };
	bool wait = kc_args_bool(args, "wait");

	for (;;) {
		_cleanup_(run_done) struct run v = { .args = args };
		int r = load(&v, err);

		if (r == 0)
			r = go(&v, &opts, true, err);
		if (r != 0 || !wait || !v.applied || !kc_publish_due(v.publish))
			return r;
		/* The clocks of whole seconds may differ by one. */
		r = wait_for(kc_publish_due(v.publish) + 1, err);
		if (r < 0)
			return r;
	}
}

static int run_verify(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_(run_done) struct run v = { .args = args };
	int r = load(&v, err);

	if (r == 0)
		r = kc_publish_open(v.policy, &(struct kc_publish_opts){ 0 }, &v.publish, err);
	if (r != 0)
		return r;
	r = kc_publish_verify(v.publish, err);
	if (!kc_cli_wants_text(args)) {
		json_auto_t *result = kc_pack("{s:b, s:o, s:O}", "ok", r == 0, "refused",
					      kc_publish_refused(v.publish), "findings",
					      kc_publish_findings(v.publish));

		if (kc_cli_print(args, result, err) < 0)
			return KC_EFAIL;
	} else {
		kc_cli_dns_findings(kc_publish_findings(v.publish), false);
		if (r == 0)
			puts("Every server answers as the policy says.");
	}
	return add_refused(&v, r, err);
}

static int run_claim(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_(run_done) struct run v = { .args = args };
	const char *key = kc_args_str(args, "key"), *list = kc_args_str(args, "addresses"),
		   *down = kc_args_str(args, "down");
	_cleanup_free_ char *path = NULL;
	int r;

	v.claim.region = kc_args_str(args, "region");
	if (!v.claim.region || !key)
		return kc_cli_usage(err, "--region NAME and --key FILE are needed");
	if (!list == !kc_args_bool(args, "withdraw"))
		return kc_cli_usage(err, "either --addresses LIST or --withdraw is needed");
	r = load(&v, err);
	if (r != 0)
		return r;
	path = kc_expand_home(key);
	r = kc_file_read_private(path, KEY_MAX, &v.key, NULL, err);
	if (r < 0)
		return r;
	v.addresses = list ? kc_json_split(list, ',') : json_array();
	v.claim.key_pem = v.key;
	v.claim.addresses = v.addresses;
	v.down = down ? kc_json_split(down, ',') : NULL;
	v.claim.down = v.down;
	return go(&v, &(struct kc_publish_opts){ .claim = &v.claim }, true, err);
}

const struct kc_verb kc_cli_dns[] = {
	{ .path = "dns plan",
	  .summary = "Show what a TrafficPolicy would change at every copy of its zone",
	  .description = "Reads the zone's servers and changes nothing. Records that the policy's\n"
			 "owner did not make are refused, with what stands there.",
	  .examples = "kubecdn dns plan -f www.yaml",
	  .looks = true,
	  .opts = plan_lists,
	  .run = run_plan },
	{ .path = "dns apply",
	  .summary = "Publish a TrafficPolicy (a preview without --yes)",
	  .description =
		  "Each copy of the zone is changed in one step, and only if all that stands at\n"
		  "the name is still as the plan has seen it; then every server is asked, and\n"
		  "what was before is put back if it does not answer so in time. Exit code 3:\n"
		  "some copies were changed and others were not.",
	  .examples = "kubecdn dns apply -f www.yaml --yes",
	  .looks = true,
	  .opts = apply_lists,
	  .run = run_apply },
	{ .path = "dns verify",
	  .summary = "Ask every server whether it answers as the policy says",
	  .description =
		  "By UDP and by TCP, once. Also that no copy needs another provider for the\n"
		  "policy's names; what leads to one elsewhere in the zone is a warning. Nothing\n"
		  "is changed. Exit code 1: something is otherwise, which is said.",
	  .examples = "kubecdn dns verify -f www.yaml",
	  .looks = true,
	  .opts = verify_lists,
	  .run = run_verify },
	{ .path = "dns status",
	  .summary = "Show how every copy of a zone stands, and what each region claims",
	  .description =
		  "served: as the policy says, and every server answers so; unserved: written, "
		  "but\n"
		  "not answered by all; differs, unpublished: `kubecdn dns plan` shows what would\n"
		  "change; refused, unreachable: why. Exit code 2: not all are served.",
	  .examples = "kubecdn dns status -f www.yaml\n"
		      "kubecdn dns status -f www.yaml --watch",
	  .looks = true,
	  .opts = status_lists,
	  .run = kc_cli_dns_status },
	{ .path = "dns simulate",
	  .summary = "Show who lands where, and what happens when endpoints or clouds are dead",
	  .description =
		  "For cities all over the world at every copy of the zone: with nothing dead, "
		  "each\n"
		  "endpoint, and each whole cloud with its DNS. MOVED: clients that are sent\n"
		  "elsewhere; ON DEAD ONES: that get nobody alive even then; OUTAGE: until the "
		  "last\n"
		  "one is moved; CARRIES: the greatest load of all clients that overloads nobody.\n"
		  "Nearness is the map's. No server is asked, but for claims where the policy has\n"
		  "regions. In JSON shares are per mille.",
	  .examples = "kubecdn dns simulate -f www.yaml\n"
		      "kubecdn dns simulate -f www.yaml --fail cloud=aws --load 300\n"
		      "kubecdn dns simulate -f www.yaml --html map.html",
	  .looks = true,
	  .opts = simulate_lists,
	  .run = kc_cli_dns_simulate },
	{ .path = "dns export",
	  .summary = "Print a TrafficPolicy as a piece of a zone file, for servers nobody here can "
		     "change",
	  .description = "Plain records and the owner's mark; what plain records lose stands in "
			 "comments.\n"
			 "Claims of regions are read from the first copy that can be.",
	  .examples = "kubecdn dns export -f www.yaml >> example.com.zone",
	  .looks = true,
	  .opts = export_lists,
	  .run = kc_cli_dns_export },
	{ .path = "dns ns",
	  .summary =
		  "Choose the name servers of a zone with several copies (a preview without --yes)",
	  .description =
		  "Reads what every provider offers and has, and chooses: all that one insists "
		  "on,\n"
		  "no more than each takes, of every copy at least one. Exit code 2: the apex of\n"
		  "a copy differs. With --yes it is written there, if it still is as it was\n"
		  "shown, and taken back if it is not served; exit code 3: at some copies only.\n"
		  "The parent of the zone is not changed.",
	  .examples = "kubecdn dns ns -f www.yaml\n"
		      "kubecdn dns ns -f www.yaml --yes",
	  .looks = true,
	  .opts = ns_lists,
	  .run = kc_cli_dns_ns },
	{ .path = "dns adopt",
	  .summary = "Take over records that were made by hand (a preview without --yes)",
	  .description =
		  "What stands at the name becomes what the policy says, and is marked as its\n"
		  "owner's, in one step: there is no moment without an answer. Another owner's\n"
		  "is refused.",
	  .examples = "kubecdn dns adopt -f www.yaml\n"
		      "kubecdn dns adopt -f www.yaml --yes",
	  .looks = true,
	  .opts = apply_lists,
	  .run = run_adopt },
	{ .path = "dns delete",
	  .summary = "Give a name up (a preview without --yes)",
	  .description =
		  "At first it is only marked as going, and answered as before. Twice its TTL\n"
		  "later the same command takes out everything that kubecdn made there, claims\n"
		  "of regions too; until then `kubecdn dns apply` keeps it. Another owner's name\n"
		  "is refused.",
	  .examples = "kubecdn dns delete -f www.yaml --yes\n"
		      "kubecdn dns delete -f www.yaml --yes --wait",
	  .looks = true,
	  .opts = delete_lists,
	  .run = run_delete },
	{ .path = "dns claim",
	  .summary = "Say where one region serves (a preview without --yes)",
	  .description =
		  "Writes the region's own claim, signed with its key, and what follows from it\n"
		  "together with the claims of all others, in one step at each copy of the\n"
		  "zone. Regions that do so at the same time do not overwrite each other.",
	  .examples = "kubecdn dns claim -f www.yaml --region eu --key eu.key --addresses "
		      "192.0.2.1,2001:db8::1 --yes\n"
		      "kubecdn dns claim -f www.yaml --region eu --key eu.key --withdraw --yes",
	  .looks = true,
	  .opts = claim_lists,
	  .run = run_claim },
	{ NULL },
};
