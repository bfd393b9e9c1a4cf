/*
 * The engine's own cost, as JSON on standard output. Answers and journal are in
 * memory; what a disk adds to the journal is measured apart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/plan/plan.h"
#include "lib/plan/state.h"

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(int r, const struct kc_err *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "bench-engine: %s\n", err->msg);
	exit(1);
}

/* ---- a store that forgets what nobody will read: journal segments ---- */

static char *record;
static size_t record_len;

static int mem_get(struct kc_store *s, const char *key, char **ret_data, size_t *ret_len,
		   char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	if (!record)
		return kc_fail(err, KC_ENOTFOUND, "not found");
	*ret_data = xstrndup(record, record_len);
	*ret_len = record_len;
	strcpy(ret_etag, "etag");
	return 0;
}

static int mem_put(struct kc_store *s, const char *key, const void *data, size_t len,
		   const char *if_match, char ret_etag[KC_STORE_ETAG], struct kc_err *err)
{
	if (kc_endswith(key, "record.json")) {
		free(record);
		record = xmemdup(data, len);
		record_len = len;
	}
	strcpy(ret_etag, "etag");
	return 0;
}

static int mem_list(struct kc_store *s, const char *prefix, json_t **ret, struct kc_err *err)
{
	*ret = json_array();
	return 0;
}

static const struct kc_store_type mem_type = {
	.scheme = "mem",
	.get = mem_get,
	.put = mem_put,
	.list = mem_list,
};
static struct kc_store mem = { .type = &mem_type, .url = (char *)"mem" };

/* ---- a kind that answers at once ---- */

static bool present;

static int quick_find(void *ctx, const struct kc_task *task, json_t **ret, struct kc_err *err)
{
	*ret = present ? json_deep_copy(task->want) : NULL;
	return 0;
}

static int quick_apply(void *ctx, const struct kc_task *task, const json_t *actual,
		       const json_t *changes, json_t **ret, struct kc_err *err)
{
	*ret = json_deep_copy(task->want);
	return 0;
}

static const struct kc_kind quick = { .name = "quick", .find = quick_find, .apply = quick_apply };
static const struct kc_kind *const kinds[] = { &quick, NULL };
static const struct kc_provider provider = { .name = "bench", .kinds = kinds };
static const struct kc_provider *const providers[] = { &provider, NULL };

/* n tasks in layers of width; each refers to three of the layer before. */
static json_t *graph(int n, int width)
{
	json_t *tasks = json_array();

	for (int i = 0; i < n; i++) {
		json_t *on = json_array(), *t;
		char id[32], ref[40];

		for (int k = 0; i >= width && k < 3; k++) {
			int dep = i - width - i % width + (i * 7 + k * 13) % width;

			snprintf(ref, sizeof(ref), "task/%d#name", dep);
			json_array_append_new(on, kc_pack("{s:s}", "$ref", ref));
		}
		snprintf(id, sizeof(id), "task/%d", i);
		t = kc_pack("{s:s, s:s, s:{s:s, s:i, s:o, s:{s:s, s:s, s:b}}}", "id", id, "kind",
			    "quick", "want", "name", id, "size", i % 17, "on", on, "labels", "app",
			    "kubecdn", "tier", "edge", "ready", 1);
		json_array_append_new(tasks, t);
	}
	return tasks;
}

static double plan_s(const json_t *tasks, struct kc_state *state, struct kc_plan **ret)
{
	struct kc_engine e = { .providers = providers, .owner = "bench", .state = state };
	struct kc_err err = { 0 };
	double start = now_s();

	must(kc_plan_make(&e, tasks, ret, &err), &err);
	return now_s() - start;
}

static double apply_s(struct kc_store *store, const json_t *tasks, const char *prefix)
{
	struct kc_engine e = { .providers = providers, .owner = "bench", .fence = 1 };
	_cleanup_plan_ struct kc_plan *p = NULL;
	struct kc_err err = { 0 };
	double took;

	must(kc_state_open(store, prefix, "uid", 1, &e.state, &err), &err);
	must(kc_plan_make(&e, tasks, &p, &err), &err);
	took = now_s();
	must(kc_plan_apply(&e, p, &err), &err);
	took = now_s() - took;
	kc_state_close(e.state);
	return took;
}

/* In a child, so that its memory is not counted; it hands over the record in a file. */
static double apply_apart_s(const json_t *tasks)
{
	FILE *f = tmpfile();
	double took = 0;
	int status;
	pid_t pid;

	if (!f)
		exit(1);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		took = apply_s(&mem, tasks, "bench");
		fwrite(&took, sizeof(took), 1, f);
		fwrite(record, 1, record_len, f);
		fflush(f);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		exit(1);
	fseek(f, 0, SEEK_END);
	record_len = (size_t)ftell(f) - sizeof(took);
	record = xmalloc(record_len);
	rewind(f);
	if (fread(&took, sizeof(took), 1, f) != 1 || fread(record, 1, record_len, f) != record_len)
		exit(1);
	fclose(f);
	return took;
}

static double apply_on_disk_s(const json_t *tasks)
{
	char dir[] = "/var/tmp/kc-bench-XXXXXX";
	_cleanup_store_ struct kc_store *store = NULL;
	struct kc_err err = { 0 };
	double took;

	if (!mkdtemp(dir))
		return 0;
	must(kc_store_open(dir, &store, &err), &err);
	took = apply_s(store, tasks, "bench");
	kc_rm_rf(dir, NULL);
	return took;
}

static long rss_kb(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

int main(void)
{
	json_auto_t *small = graph(1000, 100), *large = NULL, *out = NULL;
	double noop, big, apply, disk;
	struct kc_state *state = NULL;
	struct kc_plan *p = NULL;
	struct kc_err err = { 0 };
	_cleanup_free_ char *text = NULL;
	long rss;

	apply = apply_apart_s(small);
	present = true;
	must(kc_state_open(&mem, "bench", "uid", 1, &state, &err), &err);
	noop = plan_s(small, state, &p);
	if (kc_plan_pending(p))
		return 1;
	rss = rss_kb();
	kc_plan_free(p);
	kc_state_close(state);
	large = graph(10000, 100);
	big = plan_s(large, NULL, &p);
	kc_plan_free(p);
	present = false;
	disk = apply_on_disk_s(small);
	out = kc_pack("{s:f, s:I, s:f, s:f, s:f}", "plan_1000_noop_s", noop, "rss_kb_after_1000",
		      (json_int_t)rss, "plan_10000_width_100_s", big, "apply_us_per_task_memory",
		      apply * 1000, "apply_us_per_task_disk", disk * 1000);
	text = json_dumps(out, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
	puts(text);
	free(record);
	return 0;
}
