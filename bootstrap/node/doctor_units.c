/* The units of a node: what systemd says of them, what they said last, who has their ports. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/node/doctor.h"
#include "bootstrap/node/ports.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { LINES_READ = 500, LINES_MAX = 80, LINE_MAX_BYTES = 400, SHOW_MS = 5000 };

static const char properties[] =
	"--property=Id,LoadState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,"
	"UnitFileState,CapabilityBoundingSet,InactiveExitTimestamp,InactiveExitTimestampMonotonic";

/* What each listens on: nodespec's flags and configurations. */
static const struct {
	const char *unit;
	int ports[4];
} listens[] = {
	{ "kubelet.service", { 10250, 10248 } }, { "kube-proxy.service", { 10249, 10256 } },
	{ "kubecdn-balance.service", { 7445 } }, { "etcd.service", { 2379, 2380, 2381 } },
	{ "kube-apiserver.service", { 6443 } },	 { "kube-controller-manager.service", { 10257 } },
	{ "kube-scheduler.service", { 10259 } },
};

/* {"port", "by"} when a program that is not ours has one of the unit's ports. */
static json_t *taken(const char *unit)
{
	for (size_t i = 0; i < ARRAY_SIZE(listens); i++) {
		if (!streq(listens[i].unit, unit))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(listens[i].ports) && listens[i].ports[k]; k++) {
			json_auto_t *one = kc_pack("[i]", listens[i].ports[k]);
			char who[PATH_MAX];
			long port;

			if (kc_node_listener(one, &port, who, sizeof(who)) &&
			    !kc_startswith(who, "/opt/kubecdn/"))
				return kc_pack("{s:I, s:s}", "port", (json_int_t)port, "by", who);
		}
	}
	return NULL;
}

/* What a line says, without klog's "E1129 01:14:08.331271     520 kubelet.go:3596] ". */
static const char *saying(const char *line)
{
	const char *end = strstr(line, "] ");

	return end && end - line < 80 ? end + 2 : line;
}

/* The newest LINES_MAX of text's lines. What was said ten times a second is there once, and what
 * was said before that, too. */
static json_t *lines_of(char *text)
{
	json_auto_t *said = json_object(), *newest = json_array();
	json_t *log = json_array();
	size_t n = strlen(text);

	while (n && json_array_size(newest) < LINES_MAX) {
		char *nl = memrchr(text, '\n', n), *line = nl ? nl + 1 : text;
		json_t *v = json_stringn(line, strnlen(line, LINE_MAX_BYTES));
		const char *key = v ? saying(json_string_value(v)) : "";

		/* what is not UTF-8 says nothing */
		if (*key && !json_object_get(said, key)) {
			json_object_set(said, key, v);
			json_array_append(newest, v);
		}
		json_decref(v);
		n = nl ? (size_t)(nl - text) : 0;
		text[n] = '\0';
	}
	for (size_t i = json_array_size(newest); i-- > 0;)
		json_array_append(log, json_array_get(newest, i));
	return log;
}

/*
 * Of its last run only: a fault that was mended must not be named again. One that starts again and
 * again may just have begun: then also of the seconds before.
 */
static json_t *log_of(const char *unit, const char *started, bool again)
{
	_cleanup_free_ char *since = NULL, *out = NULL,
			    *lines = xasprintf("--lines=%d", LINES_READ);
	struct kc_run run = { .timeout_ms = SHOW_MS };
	const char *argv[] = { "journalctl",   "--quiet", "--no-pager",
			       "--output=cat", lines,	  "--unit",
			       unit,	       NULL,	  NULL };

	if (*started)
		since = again ? xasprintf("--since=-5s") : xasprintf("--since=%s", started);
	argv[7] = since;
	run.argv = argv;
	return kc_run(&run, &out, NULL) == 0 && out ? lines_of(out) : json_array();
}

/* How long it has been up, or trying to be. */
static json_int_t seconds_of(const json_t *p)
{
	const char *began = kc_json_get_str(p, "InactiveExitTimestampMonotonic", "0");

	return kc_now_ms() / 1000 - strtoll(began, NULL, 10) / 1000000;
}

/* "Key=value" lines of one unit. */
static json_t *unit_of(const json_t *p)
{
	const char *name = kc_json_get_str(p, "Id", "?");
	long restarts = strtol(kc_json_get_str(p, "NRestarts", "0"), NULL, 10);
	json_t *unit = kc_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "name", name,
			       "load", kc_json_get_str(p, "LoadState", ""), "enabled",
			       kc_json_get_str(p, "UnitFileState", ""), "active",
			       kc_json_get_str(p, "ActiveState", ""), "sub",
			       kc_json_get_str(p, "SubState", ""), "result",
			       kc_json_get_str(p, "Result", ""), "status",
			       kc_json_get_str(p, "ExecMainStatus", ""), "restarts",
			       (json_int_t)restarts, "seconds", seconds_of(p), "capabilities",
			       kc_json_get_str(p, "CapabilityBoundingSet", ""));
	json_t *by = taken(name);

	json_object_set_new(unit, "log",
			    log_of(name, kc_json_get_str(p, "InactiveExitTimestamp", ""),
				   restarts > 0));
	if (by)
		json_object_set_new(unit, "taken", by);
	return unit;
}

static json_t *parse_show(char *text)
{
	json_t *units = json_array(), *p = json_object();
	char *line = text, *next;

	for (; line && *line; line = next) {
		char *eq;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		eq = strchr(line, '=');
		if (eq) {
			*eq = '\0';
			json_object_set_new(p, line, json_string(eq + 1));
		}
		if (*line && next && *next)
			continue;
		if (json_object_get(p, "Id"))
			json_array_append_new(units, unit_of(p));
		json_object_clear(p);
	}
	json_decref(p);
	return units;
}

json_t *kc_doctor_units(const json_t *recorded)
{
	_cleanup_free_ const char **argv = xcalloc(json_object_size(recorded) + 4, sizeof(*argv));
	_cleanup_free_ char *out = NULL;
	struct kc_run run = { .argv = argv, .timeout_ms = SHOW_MS };
	const json_t *task;
	const char *id;
	size_t n = 0;

	argv[n++] = "systemctl";
	argv[n++] = "show";
	argv[n++] = properties;
	json_object_foreach((json_t *)recorded, id, task) {
		const char *name = json_string_value(kc_json_at(task, "want.name"));

		if (streq(kc_json_get_str(task, "kind", ""), "unit") && name)
			argv[n++] = name;
	}
	if (n == 3 || kc_run(&run, &out, NULL) < 0 || !out)
		return json_array();
	return parse_show(out);
}
