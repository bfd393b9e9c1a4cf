/* Preflight over several hosts: it judges reported facts, so facts are what these tests give it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "bootstrap/preflight.h"
#include "bootstrap/reach.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* The provider's context is {task id: what its host reports}. */
static int reported(void *ctx, const struct kc_task *task, json_t **ret_actual, struct kc_err *err)
{
	*ret_actual = json_deep_copy(json_object_get(ctx, task->id));
	return 0;
}

static int judge(json_t *reports, struct kc_err *err)
{
	static const struct kc_kind node = { .name = "node", .find = reported, .nested = true };
	static const struct kc_kind *const kinds[] = { &node, NULL };
	const struct kc_provider hosts = { .name = "ssh", .kinds = kinds, .ctx = reports };
	const struct kc_provider *const providers[] = { &hosts, NULL };
	struct kc_engine engine = { .providers = providers, .owner = "uid" };
	_cleanup_plan_ struct kc_plan *plan = NULL;
	json_auto_t *tasks = json_array(), *owned = reports;
	const char *id;
	json_t *v;

	json_object_foreach(reports, id, v) {
		json_object_set_new(v, "plan", json_array());
		json_array_append_new(tasks, kc_pack("{s:s, s:s, s:{}}", "id", id, "kind", "node",
						     "want"));
	}
	assert_int_equal(kc_plan_make(&engine, tasks, &plan, err), 0);
	return kc_preflight(plan, tasks, err);
}

static json_t *host(const char *machine_id, const char *mac, int64_t skew)
{
	return kc_pack("{s:{s:s, s:[{s:s}], s:I}}", "facts", "machineId", machine_id, "links",
		       "mac", mac, "skewMs", (json_int_t)skew);
}

static void different_hosts_pass(void **state)
{
	struct kc_err err;

	assert_int_equal(judge(kc_pack("{s:o, s:o}", "node/cp1", host("aa", "02:01", -900),
				       "node/w1", host("bb", "02:02", 900)),
			       &err),
			 0);
}

static void one_machine_id_twice(void **state)
{
	struct kc_err err;

	assert_int_equal(judge(kc_pack("{s:o, s:o}", "node/cp1", host("aa", "02:01", 0), "node/w1",
				       host("aa", "02:02", 0)),
			       &err),
			 KC_EINVAL);
	assert_string_equal(err.msg, "w1: machine-id aa is also cp1's; remove /etc/machine-id on "
				     "one of them and run systemd-machine-id-setup");
}

static void one_mac_twice(void **state)
{
	struct kc_err err;

	assert_int_equal(judge(kc_pack("{s:o, s:o}", "node/cp1", host("aa", "02:01", 0), "node/w1",
				       host("bb", "02:01", 0)),
			       &err),
			 KC_EINVAL);
	assert_non_null(strstr(err.msg, "w1: MAC address 02:01 is also cp1's"));
}

/* A VLAN interface has the MAC of the one it stands on. */
static void one_mac_on_two_links_of_a_host(void **state)
{
	json_t *vlan = host("aa", "02:01", 0);
	struct kc_err err;

	json_array_append_new(kc_json_at(vlan, "facts.links"), kc_pack("{s:s}", "mac", "02:01"));
	assert_int_equal(judge(kc_pack("{s:o}", "node/cp1", vlan), &err), 0);
}

static void a_clock_that_is_wrong(void **state)
{
	struct kc_err err;

	assert_int_equal(judge(kc_pack("{s:o, s:o}", "node/cp1", host("aa", "02:01", 0), "node/w1",
				       host("bb", "02:02", -61500)),
			       &err),
			 KC_EINVAL);
	assert_non_null(strstr(err.msg, "w1: its clock is 61.500 s behind this machine's"));
}

/* All hosts' findings come at once: nobody wants to mend them one run at a time. */
static void every_finding_has_its_line(void **state)
{
	json_t *bad = kc_pack("{s:{}, s:[{s:s, s:b, s:s, s:s}, {s:s, s:b}]}", "facts", "checks",
			      "id", "swap", "ok", 0, "why", "swap is on", "fix", "run swapoff -a",
			      "id", "disk", "ok", 1);
	struct kc_err err;

	assert_int_equal(judge(kc_pack("{s:o, s:o}", "node/cp1", bad, "node/w1",
				       host("bb", "02:02", 5000)),
			       &err),
			 KC_EINVAL);
	assert_string_equal(err.msg, "cp1: swap is on; run swapoff -a\n"
				     "w1: its clock is 5.000 s ahead of this machine's; "
				     "synchronise it (chrony or systemd-timesyncd)");
}

static void failure(json_t *list, const char *from, const char *to, int port, bool udp)
{
	json_array_append_new(list, kc_pack("{s:s, s:s, s:i, s:b, s:s}", "from", from, "to", to,
					    "port", port, "udp", udp, "why", "no answer"));
}

/* A line a host and port that several cannot reach; a line a port when those are many. */
static void unreachable_pairs(void **state)
{
	json_auto_t *few = json_array(), *many = json_array();
	_cleanup_buf_ struct kc_buf out = { 0 }, all = { 0 };

	failure(few, "w1", "cp1", 6443, false);
	failure(few, "cp1", "w1", 8472, true);
	failure(few, "w2", "cp1", 6443, false);
	kc_reach_lines(few, &out);
	assert_string_equal(
		kc_buf_get(&out),
		"w1 and w2 cannot reach cp1 on 6443/tcp: no answer; open it in the firewalls "
		"between them\n"
		"cp1 cannot reach w1 on 8472/udp: no answer; open it in the firewalls between "
		"them");
	for (int i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "w%d", i);
		failure(many, "cp1", name, 10250, false);
	}
	kc_reach_lines(many, &all);
	assert_string_equal(kc_buf_get(&all),
			    "no way from cp1 to w0, cp1 to w1, cp1 to w2 and 17 more on 10250/tcp: "
			    "no answer; open it in the firewalls between them");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(different_hosts_pass),
		cmocka_unit_test(one_machine_id_twice),
		cmocka_unit_test(one_mac_twice),
		cmocka_unit_test(one_mac_on_two_links_of_a_host),
		cmocka_unit_test(a_clock_that_is_wrong),
		cmocka_unit_test(every_finding_has_its_line),
		cmocka_unit_test(unreachable_pairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
