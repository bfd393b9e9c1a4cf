/* The agent's preflight checks, over facts of hosts that are not as they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bootstrap/node/checks.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static json_t *facts(void)
{
	return kc_pack("{s:s, s:s, s:s, s:i, s:i, s:[s], s:s, s:s}", "arch", "amd64", "init", "252",
		       "nft", "1.0.6", "swapMiB", 0, "memoryMiB", 4000, "nameservers", "192.0.2.53",
		       "resolvConf", "/etc/resolv.conf", "kernel", "6.1");
}

/* The check fails on these facts, with both words; and passes without the change. */
static void fails(const char *check, const char *key, json_t *bad, const char *why, const char *fix)
{
	json_auto_t *list = kc_pack("[o]", json_loads(check, 0, NULL)), *good = facts(),
		    *pass = kc_node_checks(list, good, "uid", NULL), *f = facts(), *result = NULL;
	const json_t *r = json_array_get(pass, 0);

	if (!kc_json_get_bool(r, "ok", false))
		fail_msg("%s: %s", check, kc_json_get_str(r, "why", ""));
	json_object_set_new(f, key, bad);
	result = kc_node_checks(list, f, "uid", NULL);
	r = json_array_get(result, 0);
	assert_false(kc_json_get_bool(r, "ok", true));
	if (!strstr(kc_json_get_str(r, "why", ""), why) ||
	    !strstr(kc_json_get_str(r, "fix", ""), fix))
		fail_msg("%s: \"%s\"; \"%s\"", check, kc_json_get_str(r, "why", ""),
			 kc_json_get_str(r, "fix", ""));
}

static void bad_hosts(void **state)
{
	fails("{\"id\":\"a\",\"check\":\"swap\"}", "swapMiB", json_integer(512),
	      "swap is on (512 MiB)", "swapoff -a");
	fails("{\"id\":\"a\",\"check\":\"arch\",\"arch\":\"amd64\"}", "arch", json_string("arm64"),
	      "this host is arm64, the bundle is for amd64", "bundle");
	fails("{\"id\":\"a\",\"check\":\"systemd\"}", "init", json_string("241"),
	      "systemd is 241, at least 247", "upgrade");
	fails("{\"id\":\"a\",\"check\":\"systemd\"}", "init", json_string(""),
	      "systemd does not run", "systemd");
	fails("{\"id\":\"a\",\"check\":\"min-memory\",\"mib\":1500}", "memoryMiB",
	      json_integer(900), "900 MiB of memory, at least 1500", "bigger");
	fails("{\"id\":\"a\",\"check\":\"program\",\"name\":\"nft\",\"package\":\"nftables\"}",
	      "nft", json_string("0.9.8"), "nft is 0.9.8, at least 1.0.1", "nftables");
	fails("{\"id\":\"a\",\"check\":\"resolver\"}", "nameservers",
	      kc_pack("[s, s]", "127.0.0.1", "::1"), "127.0.0.1, which pods cannot reach",
	      "/etc/resolv.conf");
	fails("{\"id\":\"a\",\"check\":\"resolver\"}", "nameservers", json_array(),
	      "/etc/resolv.conf names no name server", "/etc/resolv.conf");
}

static void unknown_checks_are_refused(void **state)
{
	json_auto_t *list = kc_pack("[{s:s, s:s}]", "id", "x", "check", "of-tomorrow"),
		    *f = facts(), *result = kc_node_checks(list, f, "uid", NULL);

	assert_false(kc_json_get_bool(json_array_get(result, 0), "ok", true));
}

static bool kept(const char *recorded, const char *path)
{
	json_auto_t *list = kc_pack("[{s:s, s:s, s:s, s:s}]", "id", "x", "check", "kept", "task",
				    "unit/etcd", "path", path),
		    *f = facts(), *r = recorded ? json_loads(recorded, 0, NULL) : NULL,
		    *result = kc_node_checks(list, f, "uid", r);
	const json_t *v = json_array_get(result, 0);
	bool ok = kc_json_get_bool(v, "ok", true);

	assert_true(recorded ? r != NULL : true);
	if (!ok && (!strstr(kc_json_get_str(v, "why", ""), path) ||
		    !strstr(kc_json_get_str(v, "fix", ""), "delete the cluster")))
		fail_msg("%s", kc_json_get_str(v, "why", ""));
	return ok;
}

/* Only what was recorded as made can have been lost. */
static void lost_data_is_refused(void **state)
{
	static const char made[] = "{\"unit/etcd\": {\"kind\": \"unit\", \"outputs\": {}}}";

	assert_false(kept(made, "/nowhere/member"));
	assert_true(kept(made, "/"));
	assert_true(kept(NULL, "/nowhere/member"));
	assert_true(kept("{}", "/nowhere/member"));
	assert_true(kept("{\"unit/etcd\": {\"pending\": true}}", "/nowhere/member"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_hosts),
		cmocka_unit_test(unknown_checks_are_refused),
		cmocka_unit_test(lost_data_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
