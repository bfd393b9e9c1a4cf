/* The host's way to others: API servers, routes, name servers; and etcd's own measure of its disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/node/dns.h"
#include "bootstrap/node/doctor.h"
#include "bootstrap/node/probe.h"
#include "lib/base/addr.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { ASK_MAX = 16, ROUTES_MAX = 256, METRICS_MAX = 4 << 20, IP_MS = 3000 };

#define ETCD_METRICS "http://127.0.0.1:2381/metrics"

/* The route as `ip route get` tells it, or why there is none. Owned. */
static char *route_to(const char *at)
{
	_cleanup_free_ char *address = xstrdup(at), *out = NULL;
	const char *argv[] = { "ip", "-oneline", "route", "get", address, NULL };
	struct kc_run run = { .argv = argv, .timeout_ms = IP_MS };
	char *colon = strrchr(address, ':');
	struct kc_err err;

	if (colon)
		*colon = '\0';
	if (kc_run(&run, &out, &err) < 0)
		return xstrdup(err.msg);
	return xstrndup(out, strcspn(out, "\n"));
}

static json_t *ask_one(const char *at)
{
	json_auto_t *probe = kc_pack("{s:s}", "tcp", at);
	_cleanup_free_ char *route = route_to(at);
	struct kc_err why = { 0 };
	int r = kc_node_probe(probe, &why);

	return kc_pack("{s:s, s:b, s:s, s:s}", "address", at, "ok", r == 0, "why",
		       r < 0 ? why.msg : "", "route", route);
}

static json_t *routes(void)
{
	_cleanup_free_ char *out = NULL;
	const char *argv[] = { "ip", "-json", "route", "show", "table", "all", NULL };
	struct kc_run run = { .argv = argv, .timeout_ms = IP_MS };
	json_t *list = json_array();
	json_auto_t *all = NULL;
	const json_t *r;
	size_t i;

	if (kc_run(&run, &out, NULL) < 0 || !out ||
	    kc_json_parse(out, strlen(out), "ip route", &all, NULL) < 0)
		return list;
	json_array_foreach(all, i, r) {
		const char *dst = kc_json_get_str(r, "dst", "");

		if (strchr(dst, '/') && json_array_size(list) < ROUTES_MAX)
			json_array_append_new(list, kc_pack("{s:s, s:s}", "dst", dst, "dev",
							    kc_json_get_str(r, "dev", "")));
	}
	return list;
}

/* A name that is nowhere: any answer at all shows that there is a server. */
static json_t *ask_nameserver(const char *server)
{
	_cleanup_free_ char *at = xasprintf(strchr(server, ':') ? "[%s]:53" : "%s:53", server);
	struct kc_err why = { 0 };
	int r = kc_node_dns(at, "kubecdn.invalid.", &why);
	bool silent = r < 0 && (kc_startswith(why.msg, "no answer") || strstr(why.msg, "refused") ||
				strstr(why.msg, "nreachable"));

	return kc_pack("{s:s, s:b, s:s}", "address", server, "ok", !silent, "why",
		       silent ? why.msg : "");
}

/* The value of one line of Prometheus' text format, or -1. */
static double metric(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	while (p && p != text && p[-1] != '\n')
		p = strstr(p + 1, name);
	return p ? strtod(p + strlen(name), NULL) : -1;
}

static json_t *etcd_disk(void)
{
	_cleanup_free_ char *text = NULL;
	double all, quick;

	if (kc_node_http(ETCD_METRICS, METRICS_MAX, &text, NULL) < 0)
		return NULL;
	all = metric(text, "etcd_disk_wal_fsync_duration_seconds_count ");
	quick = metric(text, "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.128\"} ");
	if (all < 0 || quick < 0)
		return NULL;
	return kc_pack("{s:I, s:I}", "fsyncs", (json_int_t)all, "slow", (json_int_t)(all - quick));
}

void kc_doctor_net(const json_t *ask, const json_t *facts, json_t *answer)
{
	json_t *reach = json_array(), *servers = json_array(), *etcd = etcd_disk();
	const json_t *v;
	size_t i;

	json_array_foreach((json_t *)ask, i, v)
		if (json_is_string(v) && i < ASK_MAX)
			json_array_append_new(reach, ask_one(json_string_value(v)));
	json_array_foreach(json_object_get(facts, "nameservers"), i, v)
		if (i < ASK_MAX)
			json_array_append_new(servers, ask_nameserver(json_string_value(v)));
	json_object_set_new(answer, "reach", reach);
	json_object_set_new(answer, "routes", routes());
	json_object_set_new(answer, "nameservers", servers);
	if (etcd)
		json_object_set_new(answer, "etcd", etcd);
}
