#include "bootstrap/preflight.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { SKEW_MS = 1000 };

static void finding(struct kc_buf *out, const char *host, const char *what, const char *fix)
{
	kc_buf_printf(out, "%s%s: %s; %s", out->len ? "\n" : "", host, what, fix);
}

void kc_preflight_checks(const char *host, const json_t *actual, const char *between,
			 struct kc_buf *out)
{
	const json_t *check;
	size_t i;

	json_array_foreach(json_object_get(actual, "checks"), i, check)
		if (!kc_json_get_bool(check, "ok", true))
			kc_buf_printf(out, "%s%s: %s; %s", out->len ? between : "", host,
				      kc_json_get_str(check, "why", "a check failed"),
				      kc_json_get_str(check, "fix", "see the documentation"));
}

/* Remember host under value in seen; tell when another host has the same. */
static void unique(json_t *seen, const char *host, const char *value, const char *what,
		   const char *fix, struct kc_buf *out)
{
	const char *other;

	if (!value || !*value)
		return;
	other = kc_json_get_str(seen, value, NULL);
	if (other && streq(other, host))
		return; /* a VLAN has its parent's MAC */
	if (other) {
		_cleanup_free_ char *text = xasprintf("%s %s is also %s's", what, value, other);

		finding(out, host, text, fix);
	} else {
		json_object_set_new(seen, value, json_string(host));
	}
}

static void identity(const char *host, const json_t *facts, json_t *seen, struct kc_buf *out)
{
	const json_t *link;
	size_t i;

	unique(seen, host, kc_json_get_str(facts, "machineId", NULL), "machine-id",
	       "remove /etc/machine-id on one of them and run systemd-machine-id-setup", out);
	json_array_foreach(json_object_get(facts, "links"), i, link)
		unique(seen, host, kc_json_get_str(link, "mac", NULL), "MAC address",
		       "give each host's interface an address of its own", out);
}

/* How far a host's clock is from ours, as the agent's call saw it; 0 when not reported. */
static void clock_skew(const char *host, const json_t *facts, struct kc_buf *out)
{
	int64_t skew = kc_json_get_int(facts, "skewMs", 0);
	_cleanup_free_ char *text = NULL;

	if (skew < -INT64_MAX)
		skew = -INT64_MAX; /* whose amount is a number, too */
	if (llabs(skew) <= SKEW_MS)
		return;
	text = xasprintf("its clock is %lld.%03lld s %s this machine's", llabs(skew) / 1000,
			 llabs(skew) % 1000, skew > 0 ? "ahead of" : "behind");
	finding(out, host, text, "synchronise it (chrony or systemd-timesyncd)");
}

int kc_preflight(const struct kc_plan *plan, const json_t *tasks, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	json_auto_t *seen = json_object();
	const json_t *task;
	size_t i;

	json_array_foreach((json_t *)tasks, i, task) {
		const char *id = kc_json_get_str(task, "id", "");
		const json_t *actual, *facts;

		if (!streq(kc_json_get_str(task, "kind", ""), "node"))
			continue;
		actual = kc_plan_actual(plan, id);
		facts = json_object_get(actual, "facts");
		kc_preflight_checks(id + strlen("node/"), actual, "\n", &out);
		identity(id + strlen("node/"), facts, seen, &out);
		clock_skew(id + strlen("node/"), facts, &out);
	}
	return out.len ? kc_fail_lines(err, KC_EINVAL, kc_buf_get(&out)) : 0;
}
