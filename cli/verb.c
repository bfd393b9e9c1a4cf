#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

#include "bootstrap/results.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/plan.h"

/* More failures than these are seldom different ones, and never read. */
enum { FAILURES_MAX = 10, NAMES_MAX = 5 };

/* ---- the preview ---- */

static size_t count_pending(const json_t *plan)
{
	const json_t *task, *tasks = json_object_get(plan, "tasks");
	size_t i, n = 0;

	json_array_foreach(tasks, i, task)
		n += !streq(kc_json_get_str(task, "action", "keep"), "keep");
	return n;
}

static void print_preview(const struct kc_verb_run *v)
{
	_cleanup_buf_ struct kc_buf text = { 0 };

	kc_plan_text(v->plan, kc_cli_color_stdout(v->args), &text);
	fputs(kc_buf_get(&text), stdout);
	if (!v->pending)
		puts("Nothing to do.");
	else if (v->gated)
		printf("\nNothing was changed, and with --yes it would be refused: %s.\n",
		       v->gated);
	else if (!v->act)
		printf("\nNothing was changed. Run the same command with --yes to apply (or "
		       "--confirm %s).\n",
		       v->hash);
	fflush(stdout);
}

static int preview(void *cookie, const json_t *plan, const char *hash, struct kc_err *err)
{
	struct kc_verb_run *v = cookie;

	kc_ui_pause(v->ui);
	json_decref(v->plan);
	v->plan = json_deep_copy(plan);
	v->pending = count_pending(plan);
	snprintf(v->hash, sizeof(v->hash), "%s", hash);
	if (kc_cli_wants_text(v->args))
		print_preview(v);
	return v->act ? 0 : KC_ECANCELED;
}

static void gated(void *cookie, const char *why)
{
	struct kc_verb_run *v = cookie;

	free(v->gated);
	v->gated = xstrdup(why);
}

/* ---- progress ---- */

static void note(void *cookie, const char *text)
{
	struct kc_verb_run *v = cookie;

	kc_ui_pause(v->ui);
	fprintf(kc_cli_wants_text(v->args) ? stdout : stderr, "%s\n", text);
}

static void phase(void *cookie, const char *name)
{
	struct kc_verb_run *v = cookie;

	kc_ui_phase(v->ui, name);
}

static void hosts(void *cookie, const json_t *results)
{
	struct kc_verb_run *v = cookie;

	json_decref(v->hosts);
	v->hosts = json_deep_copy(results);
}

static void named(void *cookie, const char *name)
{
	struct kc_verb_run *v = cookie;

	free(v->name);
	v->name = xstrdup(name);
}

static void event(void *cookie, const struct kc_event *ev)
{
	static const enum kc_ui_step steps[] = {
		[KC_EV_START] = KC_UI_START, [KC_EV_PROGRESS] = KC_UI_PROGRESS,
		[KC_EV_DONE] = KC_UI_DONE,   [KC_EV_FAILED] = KC_UI_FAILED,
		[KC_EV_WAIT] = KC_UI_WAIT,
	};
	const struct kc_ui_child child = {
		.id = kc_json_get_str(ev->detail, "task", NULL),
		.event = kc_json_get_str(ev->detail, "event", ""),
		.ms = kc_json_get_int(ev->detail, "ms", 0),
	};
	const char *action = ev->action ? ev->action : "";
	const char *text = ev->text ? ev->text : kc_json_get_str(ev->detail, "text", NULL);
	struct kc_verb_run *v = cookie;

	v->failed += ev->what == KC_EV_FAILED;
	if (child.id)
		kc_ui_child(v->ui, ev->task, action, &child, text, ev->elapsed_ms);
	else
		kc_ui_task(v->ui, steps[ev->what], ev->task, action, text, ev->elapsed_ms);
}

/* ---- flags ---- */

static const char *opt_str(const struct kc_args *a, const char *name)
{
	return kc_args_knows(a, name) ? kc_args_str(a, name) : NULL;
}

static bool opt_bool(const struct kc_args *a, const char *name)
{
	return kc_args_knows(a, name) && kc_args_bool(a, name);
}

static long opt_long(const struct kc_args *a, const char *name, long fallback)
{
	return kc_args_knows(a, name) ? kc_args_long(a, name, fallback) : fallback;
}

static int check_cloud(const char *cloud, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf list = { 0 };
	const char *names[32], *near;
	size_t n = 0;

	for (; kc_cli_clouds[n]; n++) {
		if (streq(kc_cli_clouds[n]->name, cloud))
			return 0;
		names[n] = kc_cli_clouds[n]->name;
		kc_buf_printf(&list, "%s%s", n ? ", " : "", names[n]);
	}
	near = kc_nearest(cloud, names, n);
	if (near)
		return kc_cli_usage(err, "--cloud: there is no cloud \"%s\"; did you mean \"%s\"?",
				    cloud, near);
	return kc_cli_usage(err, "--cloud: there is no cloud \"%s\" in this version; there are %s",
			    cloud, kc_buf_get(&list));
}

static int check_flags(const struct kc_verb_run *v, struct kc_err *err)
{
	const struct kc_cluster_opts *o = &v->opts;

	if (o->file && (o->cloud || o->region || o->workers >= 0))
		return kc_cli_usage(err, "-f cannot go with --cloud, --region or --workers: the "
					 "manifest says all of it");
	if (o->region && !o->cloud && !o->name)
		return kc_cli_usage(err, "--region needs --cloud");
	if (o->name && !kc_is_dns_label(o->name))
		return kc_cli_usage(err,
				    "\"%s\" is no name for a cluster: use lower-case letters, "
				    "digits and dashes, 63 at most",
				    o->name);
	if (o->confirm && strlen(o->confirm) != 64)
		return kc_cli_usage(err,
				    "--confirm: \"%s\" is not the hash of a plan; it has 64 "
				    "digits and stands below the preview",
				    o->confirm);
	return o->cloud ? check_cloud(o->cloud, err) : 0;
}

int kc_verb_opts(const struct kc_args *args, char **ret_state, struct kc_cluster_opts *ret,
		 struct kc_err *err)
{
	int r = kc_cli_state(args, ret_state, err);

	if (r < 0)
		return r;
	*ret = (struct kc_cluster_opts){ .state = *ret_state,
					 .state_key_file = kc_args_str(args, "state-key-file"),
					 .name = kc_args_pos(args, 0),
					 .workers = -1,
					 .clouds = kc_cli_clouds };
	return 0;
}

int kc_verb_begin(struct kc_verb_run *v, const struct kc_args *args, struct kc_err *err)
{
	int r;

	*v = (struct kc_verb_run){ .args = args };
	v->opts = (struct kc_cluster_opts){
		.state_key_file = kc_args_str(args, "state-key-file"),
		.name = kc_args_pos(args, 0),
		.file = opt_str(args, "file"),
		.cloud = opt_str(args, "cloud"),
		.region = opt_str(args, "region"),
		.workers = (int)opt_long(args, "workers", -1),
		.bundle = opt_str(args, "bundle"),
		.authfile = opt_str(args, "authfile"),
		.forget = opt_str(args, "forget"),
		.confirm = opt_str(args, "confirm"),
		.force = opt_bool(args, "force"),
		.accept_new_host_keys = opt_bool(args, "accept-new-host-keys"),
		.parallelism = (int)opt_long(args, "parallelism", 0),
		.max_failures = (int)opt_long(args, "max-failures", 0),
		.wait_ms = opt_long(args, "wait", 0),
		.clouds = kc_cli_clouds,
	};
	r = check_flags(v, err);
	if (r == 0)
		r = kc_cli_state(args, &v->state, err);
	if (r != 0)
		return r;
	v->self_dir = kc_cli_self_dir();
	v->opts.state = v->state;
	v->opts.self_dir = v->self_dir;
	v->act = (opt_bool(args, "yes") || v->opts.confirm) && !opt_bool(args, "dry-run");
	v->ui = kc_cli_ui(args);
	kc_passphrases_init(&v->phrases, v->ui, kc_cli_cancel());
	v->io = (struct kc_cluster_io){
		.writing = v->act,
		.preview = preview,
		.gated = gated,
		.event = event,
		.phase = phase,
		.note = note,
		.hosts = hosts,
		.named = named,
		.cookie = v,
		.cancel = kc_cli_cancel(),
		.phrases = &kc_cli_phrases,
		.phrases_cookie = &v->phrases,
	};
	return 0;
}

void kc_verb_done(struct kc_verb_run *v)
{
	if (v->ui) /* begun whole */
		kc_passphrases_done(&v->phrases);
	kc_ui_free(v->ui);
	json_decref(v->plan);
	json_decref(v->hosts);
	free(v->state);
	free(v->name);
	free(v->self_dir);
	free(v->gated);
	*v = (struct kc_verb_run){ 0 };
}

/* ---- results ---- */

json_t *kc_verb_result(const struct kc_verb_run *v, bool applied)
{
	json_auto_t *phases = json_object();
	const char *p;
	int64_t ms;

	for (size_t i = 0; (p = kc_ui_phase_at(v->ui, i, &ms)) != NULL; i++)
		json_object_set_new(phases, p, json_integer(ms));
	return kc_pack("{s:O?, s:s, s:b, s:{s:s?, s:i, s:i, s:O, s:O*}}", "plan", v->plan, "hash",
		       v->hash, "applied", applied, "result", "cluster", v->name, "changes",
		       (int)v->pending, "failed", (int)v->failed, "phasesMs", phases, "hosts",
		       v->hosts);
}

bool kc_verb_partial(const struct kc_verb_run *v)
{
	struct kc_host_counts n = kc_host_count(v->hosts);

	return n.failed && n.done;
}

/* "a, b, c and 4 more" into out. */
static void put_names(const json_t *results, struct kc_buf *out)
{
	const json_t *one;
	size_t i, n = 0;

	json_array_foreach(results, i, one) {
		if (!streq(kc_json_get_str(one, "result", ""), "not begun") || n++ >= NAMES_MAX)
			continue;
		kc_buf_printf(out, "%s%s", n > 1 ? ", " : "", kc_json_get_str(one, "host", "?"));
	}
	if (n > NAMES_MAX)
		kc_buf_printf(out, " and %zu more", n - NAMES_MAX);
}

void kc_verb_print_hosts(const struct kc_verb_run *v)
{
	struct kc_host_counts n = kc_host_count(v->hosts);
	_cleanup_buf_ struct kc_buf names = { 0 };
	const json_t *one;
	size_t i, shown = 0;

	if (!n.failed || n.failed + n.done + n.not_begun < 2)
		return;
	json_array_foreach(v->hosts, i, one) {
		if (!streq(kc_json_get_str(one, "result", ""), "failed") || shown++ >= FAILURES_MAX)
			continue;
		fprintf(stderr, "kubecdn: %s failed: %s\n", kc_json_get_str(one, "host", "?"),
			kc_json_get_str(one, "why", "?"));
	}
	if (shown > FAILURES_MAX)
		fprintf(stderr, "kubecdn: and %zu more failed; -o json has all of them\n",
			shown - FAILURES_MAX);
	put_names(v->hosts, &names);
	if (n.not_begun)
		fprintf(stderr, "kubecdn: not begun: %s\n", kc_buf_get(&names));
}
