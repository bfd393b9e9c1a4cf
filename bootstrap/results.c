#include "bootstrap/results.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static const char *result_of(const json_t *step)
{
	const char *r = kc_json_get_str(step, "result", "");

	if (streq(r, "done") || streq(r, "failed"))
		return streq(kc_json_get_str(step, "action", ""), "keep") && *r == 'd' ? "unchanged"
										       : r;
	return "not begun";
}

/* The engine says of each error whose it is; so does the entry. */
static const char *why_of(const json_t *step)
{
	const char *why = kc_json_get_str(step, "error", NULL);
	_cleanup_free_ char *prefix = xasprintf("%s %s: ", kc_json_get_str(step, "action", ""),
						kc_json_get_str(step, "id", ""));

	return why && kc_startswith(why, prefix) ? why + strlen(prefix) : why;
}

static json_t *entry_of(const json_t *step)
{
	int64_t start = kc_json_get_int(step, "start", 0), end = kc_json_get_int(step, "end", 0);
	json_t *o = kc_pack("{s:s, s:s, s:s, s:s*}", "host",
			    kc_json_get_str(step, "id", "") + strlen("node/"), "action",
			    kc_json_get_str(step, "action", ""), "result", result_of(step), "why",
			    why_of(step));

	if (start && end)
		json_object_set_new(o, "ms", json_integer(end - start));
	return o;
}

json_t *kc_host_results(const json_t *times)
{
	json_t *out = json_array();
	const json_t *step;
	size_t i;

	json_array_foreach((json_t *)times, i, step)
		if (streq(kc_json_get_str(step, "kind", ""), "node") &&
		    kc_startswith(kc_json_get_str(step, "id", ""), "node/"))
			json_array_append_new(out, entry_of(step));
	return out;
}

struct kc_host_counts kc_host_count(const json_t *results)
{
	struct kc_host_counts n = { 0 };
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)results, i, one) {
		const char *r = kc_json_get_str(one, "result", "");

		n.done += streq(r, "done");
		n.failed += streq(r, "failed");
		n.not_begun += streq(r, "not begun");
		n.unchanged += streq(r, "unchanged");
	}
	return n;
}

static bool is_some_hosts(const json_t *results, const char *why)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)results, i, one) {
		const char *its = kc_json_get_str(one, "why", NULL);

		if (its && kc_endswith(why, its))
			return true;
	}
	return false;
}

int kc_host_summary(const json_t *results, const char *cluster, int code, struct kc_err *err)
{
	struct kc_host_counts n = kc_host_count(results);
	size_t all = n.done + n.failed + n.not_begun;
	_cleanup_free_ char *unbegun = NULL, *line = NULL, *other = NULL;

	if (!n.failed || all < 2 || code == KC_ECANCELED)
		return code;
	if (!is_some_hosts(results, err->msg))
		other = xasprintf("%s\n", err->msg);
	unbegun = xasprintf(", %zu %s not begun", n.not_begun, n.not_begun == 1 ? "was" : "were");
	line = xasprintf("%scluster %s: %zu of %zu hosts %s done, %zu failed%s; mend what failed "
			 "and run the same command again, it goes on with what is left",
			 other ? other : "", cluster, n.done, all, n.done == 1 ? "is" : "are",
			 n.failed, n.not_begun ? unbegun : "");
	return kc_fail_lines(err, code, line);
}
