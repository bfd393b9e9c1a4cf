/* cluster timeline: where the time of a run went. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/page.h"
#include "cli/verb.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* SHORT_MS: links of the path that are shorter stand in one line. */
enum { SHORT_MS = 50, STEPS_SHOWN = 3, UNDER_WAY_SHOWN = 20 };

/* Hundredths while they say something. */
static void took(int64_t ms, char out[32])
{
	if (ms < 10000)
		snprintf(out, 32, "%lld.%02lld s", (long long)ms / 1000, (long long)ms % 1000 / 10);
	else
		kc_ui_duration(ms, out);
}

static json_t *duration(int64_t ms)
{
	char text[32];

	took(ms, text);
	return json_string(text);
}

static json_t *duration_or(const json_t *o, const char *key)
{
	int64_t ms = kc_json_get_int(o, key, 0);

	return ms >= SHORT_MS ? duration(ms) : json_string("-");
}

static const json_t *task_of(const json_t *run, const json_t *link)
{
	const json_t *task;
	size_t i;

	json_array_foreach(json_object_get(run, "tasks"), i, task)
		if (json_equal(json_object_get(task, "id"), json_object_get(link, "id")) &&
		    strsame(kc_json_get_str(task, "part", NULL),
			    kc_json_get_str(link, "part", NULL)))
			return task;
	return NULL;
}

static void print_head(const json_t *run)
{
	const json_t *phases = json_object_get(run, "phases"), *p;
	const char *state = kc_json_get_str(run, "state", "?");
	char ms[32];
	size_t i;

	took(kc_json_get_int(run, "ms", 0), ms);
	printf("Cluster %s, run %lld: %s, begun %s, %s %s %s\n",
	       kc_json_get_str(run, "cluster", "?"), (long long)kc_json_get_int(run, "run", 0),
	       kc_json_get_str(run, "verb", "?"), kc_json_get_str(run, "started", "?"), state,
	       streq(state, "done")	 ? "in"
	       : streq(state, "running") ? "for"
	       : streq(state, "killed")	 ? "and last heard of after"
					 : "after",
	       ms);
	json_array_foreach(phases, i, p) {
		took(kc_json_get_int(p, "ms", 0), ms);
		printf("%s%s %s", i ? ", " : "Phases: ", kc_json_get_str(p, "name", "?"), ms);
	}
	putchar('\n');
	if (json_object_get(run, "error"))
		printf("Error: %s\n", kc_json_get_str(run, "error", ""));
}

/* --- the critical path */

static json_t *what_of(const json_t *link)
{
	const char *id = kc_json_get_str(link, "id", "?"),
		   *part = kc_json_get_str(link, "part", "");
	_cleanup_free_ char *text = NULL;

	if (streq(kc_json_get_str(link, "what", ""), "task"))
		text = xasprintf("%s %s%s%s%s", kc_json_get_str(link, "action", "?"), id,
				 *part ? " (" : "", part, *part ? ")" : "");
	else if (streq(kc_json_get_str(link, "what", ""), "queue"))
		text = xasprintf("%s waits", id);
	else
		text = xstrdup(id);
	return json_string(text);
}

static json_t *waited_for(const json_t *link)
{
	const char *after = kc_json_get_str(link, "after", NULL),
		   *behind = kc_json_get_str(link, "behind", NULL),
		   *why = kc_json_get_str(link, "why", NULL);
	_cleanup_buf_ struct kc_buf b = { 0 };

	if (after)
		kc_buf_printf(&b, "after %s", after);
	if (behind)
		kc_buf_printf(&b, "in the queue of %s, behind %s",
			      kc_json_get_str(link, "for", "?"), behind);
	else if (streq(kc_json_get_str(link, "what", ""), "queue"))
		kc_buf_puts(&b, "in a queue");
	if (why) {
		char slept[32];

		took(kc_json_get_int(link, "slept", 0), slept);
		kc_buf_printf(&b, "%s%s of it: %s", b.len ? "; " : "", slept, why);
	}
	return json_string(kc_buf_get(&b));
}

static void add_row(json_t *rows, const json_t *start, int64_t ms, json_t *what, json_t *why)
{
	json_array_append_new(rows,
			      kc_pack("{s:o, s:o, s:o, s:o}", "at",
				      json_is_integer(start) ? duration(json_integer_value(start))
							     : json_string(""),
				      "took", duration(ms), "what", what, "why", why));
}

/* What took longest on the host, as part of its task. */
static void add_steps(json_t *rows, const json_t *run, const json_t *link)
{
	const json_t *steps = json_object_get(task_of(run, link), "steps"), *s;
	int64_t from = kc_json_get_int(link, "start", 0),
		to = from + kc_json_get_int(link, "ms", 0), below = INT64_MAX;
	size_t i;

	for (int n = 0; n < STEPS_SHOWN; n++) {
		const json_t *longest = NULL;
		int64_t most = SHORT_MS - 1;

		json_array_foreach(steps, i, s) {
			int64_t start = kc_json_get_int(s, "start", 0),
				ms = kc_json_get_int(s, "end", to) - start;

			/* The agent's own work is all of them together. */
			if (start >= from && ms > most && ms < below &&
			    !streq(kc_json_get_str(s, "id", ""), "agent: apply") &&
			    !streq(kc_json_get_str(s, "id", ""), "agent: reset")) {
				longest = s;
				most = ms;
			}
		}
		if (!longest)
			return;
		below = most;
		add_row(rows, json_object_get(longest, "start"), most,
			kc_pack("s+", "  ", kc_json_get_str(longest, "id", "?")), json_string(""));
	}
}

static void print_path(const json_t *run)
{
	static const struct kc_column columns[] = { { "AT", "at" },
						    { "TOOK", "took" },
						    { "WHAT", "what" },
						    { "WHY THEN", "why" },
						    { NULL, NULL } };
	const json_t *path = json_object_get(run, "criticalPath"), *link;
	json_auto_t *rows = json_array();
	int64_t left_ms = 0;
	size_t i, left = 0;

	json_array_foreach(path, i, link) {
		int64_t ms = kc_json_get_int(link, "ms", 0);

		if (ms < SHORT_MS) {
			left++;
			left_ms += ms;
			continue;
		}
		add_row(rows, json_object_get(link, "start"), ms, what_of(link), waited_for(link));
		if (streq(kc_json_get_str(link, "what", ""), "task"))
			add_steps(rows, run, link);
	}
	if (left) {
		_cleanup_free_ char *text = xasprintf("%zu shorter ones", left);

		add_row(rows, NULL, left_ms, json_string(text), json_string(""));
	}
	puts("\nCritical path: each of these waited for the one before it.\n");
	kc_cli_table(rows, columns);
}

/* --- tasks */

static void print_slowest(const json_t *run)
{
	static const struct kc_column columns[] = {
		{ "TOOK", "took" },	{ "QUEUED", "queued" }, { "NOT READY", "slept" },
		{ "RESULT", "result" }, { "TASK", "what" },	{ NULL, NULL }
	};
	const json_t *slow, *parallelism = json_object_get(run, "parallelism");
	json_auto_t *rows = json_array();
	size_t i;

	json_array_foreach(json_object_get(run, "slowest"), i, slow) {
		const json_t *task = task_of(run, slow);
		int64_t start = kc_json_get_int(task, "start", 0),
			queued = start - kc_json_get_int(task, "due", start);

		json_array_append_new(rows,
				      kc_pack("{s:o, s:o, s:o, s:s, s:o}", "took",
					      duration(kc_json_get_int(slow, "ms", 0)), "queued",
					      queued >= SHORT_MS ? duration(queued)
								 : json_string("-"),
					      "slept", duration_or(task, "slept"), "result",
					      kc_json_get_str(task, "result", "under way"), "what",
					      kc_pack("s++", kc_json_get_str(task, "action", "?"),
						      " ", kc_json_get_str(task, "id", "?"))));
	}
	if (!json_array_size(rows))
		return;
	printf("\nThe slowest of %zu tasks; at most %lld ran at a time, on average %.1f.\n\n",
	       json_array_size(json_object_get(run, "tasks")),
	       (long long)kc_json_get_int(parallelism, "max", 0),
	       json_number_value(json_object_get(parallelism, "average")));
	kc_cli_table(rows, columns);
}

/* "unit/kubelet, image/pause" of those that began on the host and did not end. */
static char *open_steps(const json_t *task)
{
	_cleanup_buf_ struct kc_buf b = { 0 };
	const json_t *s;
	size_t i;

	json_array_foreach(json_object_get(task, "steps"), i, s)
		if (!json_object_get(s, "end"))
			kc_buf_printf(&b, "%s%s", b.len ? ", " : ": ",
				      kc_json_get_str(s, "id", "?"));
	return b.len ? kc_buf_steal(&b) : xstrdup("");
}

/* What was under way when the run ended, or is now, and what failed. */
static void print_unfinished(const json_t *run)
{
	const char *when = streq(kc_json_get_str(run, "state", ""), "running")
				   ? "Under way"
				   : "Under way when it ended";
	const json_t *task;
	size_t i, n = 0;

	json_array_foreach(json_object_get(run, "tasks"), i, task) {
		const char *id = kc_json_get_str(task, "id", "?");
		bool open = json_object_get(task, "start") && !json_object_get(task, "end"),
		     failed = streq(kc_json_get_str(task, "result", ""), "failed");
		_cleanup_free_ char *steps = open ? open_steps(task) : NULL;

		if ((!open && !failed) || ++n > UNDER_WAY_SHOWN)
			continue;
		if (n == 1)
			putchar('\n');
		if (open)
			printf("%s: %s %s%s\n", when, kc_json_get_str(task, "action", "?"), id,
			       steps);
		else
			printf("Failed: %s: %s\n", id, kc_json_get_str(task, "error", "?"));
	}
	if (n > UNDER_WAY_SHOWN)
		printf("... and %zu more\n", n - UNDER_WAY_SHOWN);
}

static void print_runs(const json_t *run)
{
	const json_t *runs = json_object_get(run, "runs");
	_cleanup_free_ char *list = kc_cli_cell(runs);

	if (json_array_size(runs) > 1)
		printf("\nRuns that are kept: %s (--run N)\n", list);
}

/* --- the verb */

static int run_number(const struct kc_args *args, uint64_t *ret, struct kc_err *err)
{
	const char *text = kc_args_str(args, "run");
	long n = 0;

	if (!streq(text, "last") && !kc_parse_long(text, 1, 1L << 52, &n))
		return kc_cli_usage(err, "--run %.40s: it is the number of a run, or \"last\"",
				    text);
	*ret = (uint64_t)n;
	return 0;
}

static int run_timeline(const struct kc_args *args, struct kc_err *err)
{
	_cleanup_verb_ struct kc_verb_run v = { 0 };
	const char *html = kc_args_str(args, "html");
	json_auto_t *run = NULL;
	uint64_t number = 0;
	int r = run_number(args, &number, err);

	if (r == 0)
		r = kc_verb_begin(&v, args, err);
	if (r == 0)
		r = kc_cluster_timeline(&v.opts, number, &run, err);
	if (r == 0 && html)
		r = kc_cli_page_write(kc_timeline_html, run, html, err);
	if (r != 0)
		return r;
	if (!kc_cli_wants_text(args))
		return kc_cli_print(args, run, err);
	print_head(run);
	print_path(run);
	print_slowest(run);
	print_unfinished(run);
	print_runs(run);
	if (html)
		printf("\nWrote %s.\n", html);
	return 0;
}

static const struct kc_opt timeline_opts[] = {
	{ "run", .type = KC_OPT_STRING, .meta = "N|last", .def = "last",
	  .doc = "Which of the last ten runs that changed something" },
	{ "html", .type = KC_OPT_STRING, .meta = "FILE",
	  .doc = "Also write a page with a bar for every task, which needs no network" },
	{ NULL },
};

static const struct kc_opt *const timeline_lists[] = { timeline_opts, kc_cli_output, NULL };

const struct kc_verb kc_cli_timeline[] = {
	{ .path = "cluster timeline",
	  .aliases = (const char *const[]){ "timeline cluster", NULL },
	  .summary = "Show where the time of a create, update or delete went",
	  .description = "When every task began and ended, what it waited for, and the critical "
			 "path: the\n"
			 "chain that made the run as long as it was. Also of a run that is under "
			 "way, failed\n"
			 "or was killed.",
	  .examples = "kubecdn cluster timeline fra1\n"
		      "kubecdn cluster timeline fra1 --run 7 --html timeline.html",
	  .positional = "NAME",
	  .min_args = 1,
	  .max_args = 1,
	  .opts = timeline_lists,
	  .looks = true,
	  .run = run_timeline },
	{ NULL },
};
