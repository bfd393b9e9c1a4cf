/* why's judge: evidence for every cause of the table, by hand; what goes first; what is redacted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/why.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/redact.h"

#define NOW "1800000000"

/* A worker that has not joined, all of whose units run: doctor is a member list to put in front. */
static json_t *evidence_of(const char *doctor, const char *api, const char *role)
{
	_cleanup_free_ char *text = xasprintf("{\"cluster\": {\"name\": \"c\", \"podCIDRs\": "
					      "[\"10.244.0.0/16\"], \"serviceCIDRs\": "
					      "[\"10.96.0.0/12\"]}, \"now\": " NOW
					      ", \"api\": %s, \"checks\": [], \"hosts\": "
					      "[{\"name\": \"w1\", \"role\": \"%s\", \"address\": "
					      "\"192.0.2.12\", \"recorded\": true, "
					      "%s}]}",
					      api, role, doctor);
	json_t *v = NULL;
	struct kc_err err;

	if (kc_json_parse(text, strlen(text), "evidence", &v, &err) < 0)
		fail_msg("%s: %s", err.msg, text);
	return v;
}

#define NONE		  "{\"nodes\": {}, \"pods\": []}"
#define NOT_READY(more)	  "{\"nodes\": {\"w1\": {\"ready\": false, " more "}}, \"pods\": []}"
#define DOCTOR(more)	  "\"doctor\": {\"marker\": {\"uid\": \"u\"}, " more "}"
#define ERROR(code, text) "\"error\": {\"code\": " code ", \"message\": \"" text "\"}"
#define CHECK(id)                                                                                  \
	DOCTOR("\"checks\": [{\"id\": \"" id "\", \"ok\": false, \"why\": \"w\", \"fix\": "        \
	       "\"f\"}]")
#define UNIT(name, more)                                                                           \
	"{\"name\": \"" name ".service\", \"load\": \"loaded\", \"active\": \"active\", \"sub\": " \
	"\"running\", \"seconds\": 99, " more "}"
#define FAILING(name, line)                                                                        \
	DOCTOR("\"units\": [{\"name\": \"" name ".service\", \"load\": \"loaded\", \"active\": "   \
	       "\"activating\", \"sub\": \"auto-restart\", \"restarts\": 5, \"log\": [\"" line     \
	       "\"]}]")
#define DRIFT(id, action, path)                                                                    \
	DOCTOR("\"drift\": [{\"id\": \"" id "\", \"action\": \"" action                            \
	       "\", \"changes\": [{\"path\": \"" path "\"}]}]")
#define CERT(member, at) DOCTOR("\"certs\": [{\"path\": \"/x.crt\", \"" member "\": " at "}]")
#define DISK(more)	 DOCTOR("\"disks\": [{\"path\": \"/var\", " more "}]")
#define REACH(why, route)                                                                          \
	DOCTOR("\"reach\": [{\"address\": \"192.0.2.11:6443\", \"ok\": false, \"why\": \"" why     \
	       "\", \"route\": \"" route "\"}]")

static const struct {
	const char *cause, *doctor, *api, *role, *says;
} cases[] = {
	{ "SSH_UNREACHABLE", ERROR("-3", "no route"), NONE, "worker", "no route" },
	{ "SSH_HOST_KEY", ERROR("-6", "unknown host key"), NONE, "worker", "unknown" },
	{ "SSH_AUTH", ERROR("-6", "the host refused us"), NONE, "worker", "refused" },
	{ "SSH_FAILED", ERROR("-1", "odd answer"), NONE, "worker", "odd" },
	{ "HOST_FOREIGN", CHECK("foreign"), NONE, "worker", "w" },
	{ "HOST_EMPTY", "\"doctor\": {\"marker\": null}", NONE, "worker", "nothing of" },
	{ "DISK_READ_ONLY", DISK("\"readOnly\": true"), NONE, "worker", "/var is read-only" },
	{ "DISK_FULL", DISK("\"freePercent\": 2, \"freeMiB\": 90"), NONE, "worker", "90 MiB" },
	{ "INODES_FULL", DISK("\"freeInodes\": 1"), NONE, "worker", "inodes" },
	{ "CLOCK_SKEW", DOCTOR("\"facts\": {\"skewMs\": -3600123}"), NONE, "worker",
	  "3600.123 s behind" },
	{ "SWAP_ON", CHECK("swap"), NONE, "worker", "w" },
	{ "MEMORY_SHORT", CHECK("memory"), NONE, "worker", "w" },
	{ "CGROUP_MISSING", DOCTOR("\"cgroups\": [\"memory\"]"), NONE, "worker", "memory" },
	{ "KERNEL_FEATURE", CHECK("kernel"), NONE, "worker", "w" },
	{ "PROGRAM_MISSING", CHECK("nft"), NONE, "worker", "w" },
	{ "CAPABILITY_MISSING", DOCTOR("\"capabilities\": [\"CAP_MKNOD\"]"), NONE, "worker",
	  "CAP_MKNOD" },
	{ "CAPABILITY_MISSING",
	  DOCTOR("\"units\": [" UNIT("kubelet",
				     "\"capabilities\": \"cap_net_admin cap_kill\"") "]"),
	  NONE, "worker", "without cap_sys_admin" },
	{ "SELINUX_ENFORCING", CHECK("selinux"), NONE, "worker", "w" },
	{ "FIREWALL_ACTIVE", CHECK("firewall"), NONE, "worker", "w" },
	{ "ADDRESS_MISSING",
	  DOCTOR("\"facts\": {\"links\": [{\"addresses\": [{\"address\": \"192.0.2.99\"}]}]}"),
	  NONE, "worker", "192.0.2.12" },
	{ "CIDR_CLASH", DOCTOR("\"routes\": [{\"dst\": \"10.97.0.0/16\", \"dev\": \"eth1\"}]"),
	  NONE, "worker", "10.96.0.0/12" },
	{ "ROUTE_WRONG", REACH("timed out", "RTNETLINK answers: Network is unreachable"), NONE,
	  "worker", "no way" },
	{ "ETCD_DATA_LOST", CHECK("etcd-data"), NONE, "control-plane", "w" },
	{ "PORT_IN_USE",
	  DOCTOR("\"units\": [" UNIT("etcd",
				     "\"taken\": {\"port\": 2379, \"by\": \"/bin/x\"}") "]"),
	  NONE, "control-plane", "port 2379*/bin/x" },
	{ "PROGRAM_DAMAGED", DRIFT("blob/kube", "update", "sha256"), NONE, "worker",
	  "kube is not" },
	{ "CERT_EXPIRED", CERT("notAfter", "1799999999"), NONE, "worker", "has ended" },
	{ "CERT_NOT_YET_VALID", CERT("notBefore", "1800000001"), NONE, "worker", "future" },
	{ "CERT_BROKEN", CERT("problem", "\"no\""), NONE, "worker", "x.crt is missing" },
	{ "CERT_UNKNOWN_CA", FAILING("kubelet", "x509: certificate signed by unknown authority"),
	  NONE, "worker", "kubelet says" },
	{ "CERT_NAME", FAILING("kubelet", "node w2 is not allowed to modify node w1"), NONE,
	  "worker", "modify" },
	{ "FLAG_UNKNOWN", FAILING("kube-apiserver", "Error: unknown flag: --x"), NONE,
	  "control-plane", "kube-apiserver says: *--x" },
	{ "CONFIG_INVALID", FAILING("containerd", "failed to load TOML"), NONE, "worker", "TOML" },
	{ "UNIT_MASKED",
	  DOCTOR("\"units\": [{\"name\": \"kubelet.service\", \"load\": \"masked\"}]"), NONE,
	  "worker", "masked" },
	{ "LIMIT_REACHED", FAILING("kubelet", "inotify_init: too many open files"), NONE, "worker",
	  "too many" },
	{ "ETCD_CORRUPT", FAILING("etcd", "panic: wal: crc mismatch"), NONE, "control-plane",
	  "crc" },
	{ "ETCD_DISK_SLOW", DOCTOR("\"etcd\": {\"fsyncs\": 100, \"slow\": 6}"), NONE,
	  "control-plane", "6 of etcd's 100" },
	{ "PORT_BLOCKED", REACH("192.0.2.11:6443: timed out", "192.0.2.11 dev eth0"), NONE,
	  "worker", "cannot connect" },
	{ "UNIT_STOPPED",
	  DOCTOR("\"units\": [{\"name\": \"kubelet.service\", \"load\": \"loaded\", \"active\": "
		 "\"inactive\"}]"),
	  NONE, "worker", "kubelet is stopped" },
	{ "IMAGE_MISSING", DRIFT("image/pause", "create", ""), NONE, "worker", "pause" },
	{ "NODE_DELETED", DOCTOR("\"units\": [" UNIT("kubelet", "\"log\": []") "]"), NONE, "worker",
	  "deleted" },
	{ "POD_CIDR_USED_UP", DOCTOR("\"units\": []"),
	  NOT_READY("\"podCIDR\": \"\", \"message\": \"no remaining CIDRs\""), "worker",
	  "no block" },
	{ "KEY_ACCESS", DRIFT("cert/kubelet", "update", "keyAccess"), NONE, "worker",
	  "kubelet has" },
	{ "RESOLVER_LOOP", CHECK("resolver"), NONE, "worker", "w" },
	{ "CHANGED", DRIFT("file/kubelet.json", "update", "content"), NONE, "worker",
	  "kubelet.json has another content" },
	{ "UNIT_FAILING", FAILING("kube-proxy", "fatal: something new"), NONE, "worker",
	  "something new" },
	{ "API_DOWN", DOCTOR("\"units\": []"), "{\"error\": \"refused\"}", "control-plane",
	  "refused" },
	{ "POD_NETWORK", DOCTOR("\"units\": []"),
	  NOT_READY("\"message\": \"cni plugin not initialized\", \"podCIDR\": \"x\""), "worker",
	  "cni" },
	{ "SYSTEM_POD", DOCTOR("\"units\": []"),
	  "{\"nodes\": {}, \"pods\": [{\"name\": \"p\", \"node\": \"w1\", \"reason\": "
	  "\"ErrImagePull\", \"message\": \"m\"}]}",
	  "worker", "p: ErrImagePull m" },
	{ "NODE_NOT_READY", DOCTOR("\"units\": []"),
	  NOT_READY("\"message\": \"PLEG is not healthy\", \"podCIDR\": \"x\""), "worker", "PLEG" },
	{ "NAMESERVER_SILENT",
	  DOCTOR("\"nameservers\": [{\"address\": \"192.0.2.53\", \"ok\": false, \"why\": \"w\"}]"),
	  NONE, "worker", "192.0.2.53" },
};

/* words: of it in that order, with * between. */
static void says(const char *text, const char *words)
{
	_cleanup_free_ char *pattern = xasprintf("*%s*", words);

	if (fnmatch(pattern, text, 0) != 0)
		fail_msg("no \"%s\" in: %s", words, text);
}

static void every_cause(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_auto_t *e = evidence_of(cases[i].doctor, cases[i].api, cases[i].role);
		json_auto_t *found = kc_why_judge(e);
		const json_t *f = json_array_get(found, 0);

		assert_string_equal(kc_json_get_str(f, "id", "nothing"), cases[i].cause);
		says(kc_json_get_str(f, "text", ""), cases[i].says);
		assert_true(*kc_json_get_str(f, "fix", "") != '\0');
		assert_string_equal(kc_json_get_str(f, "node", ""), "w1");
	}
}

/* Or a new cause has no evidence here. */
static void no_cause_is_forgotten(void **state)
{
	for (const struct kc_why_cause *c = kc_why_causes; c->id; c++) {
		bool there = false;

		for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
			there |= streq(cases[i].cause, c->id);
		if (!there)
			fail_msg("%s has no case", c->id);
	}
}

/* A node that works has nothing to tell, and nothing that is no evidence becomes a cause. */
static void nothing_wrong(void **state)
{
	static const char *const api = "{\"nodes\": {\"w1\": {\"ready\": true, \"podCIDR\": "
				       "\"10.244.0.0/24\"}}, \"pods\": []}";
	static const char *const doctors[] = {
		DOCTOR("\"units\": [" UNIT("kubelet", "\"log\": [], \"capabilities\": \"\"") "]"),
		DOCTOR("\"disks\": [{\"path\": \"/\", \"freePercent\": 2, \"freeMiB\": 90000}]"),
		DOCTOR("\"routes\": [{\"dst\": \"10.244.3.0/24\", \"dev\": \"flannel.1\"}, "
		       "{\"dst\": "
		       "\"10.0.0.0/8\", \"dev\": \"eth0\"}]"),
		DOCTOR("\"etcd\": {\"fsyncs\": 29, \"slow\": 29}"),
		DOCTOR("\"facts\": {\"skewMs\": 900}"),
		DRIFT("link/kubelet-client", "update", "target"),
		DOCTOR("\"units\": [" UNIT("kubelet", "\"restarts\": 9") "]"),
		"\"doctor\": {}",
		"\"doctor\": {\"units\": 3, \"drift\": \"x\", \"facts\": []}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(doctors); i++) {
		json_auto_t *e = evidence_of(doctors[i], api, "worker");
		json_auto_t *found = kc_why_judge(e);

		if (json_array_size(found))
			fail_msg("%zu: %s", i,
				 kc_json_get_str(json_array_get(found, 0), "id", "?"));
	}
}

static json_t *two_hosts(const char *api)
{
	static const char *const w1 = DOCTOR("\"checks\": [{\"id\": \"swap\", \"ok\": false}]");
	json_t *e = evidence_of(w1, api, "worker"), *cp = NULL;
	static const char *const text =
		"{\"name\": \"cp1\", \"role\": \"control-plane\", \"doctor\": {\"marker\": {}, "
		"\"units\": "
		"[{\"name\": \"etcd.service\", \"load\": \"loaded\", \"active\": \"inactive\"}]}}";

	assert_int_equal(kc_json_parse(text, strlen(text), "host", &cp, NULL), 0);
	json_array_append_new(json_object_get(e, "hosts"), cp);
	return e;
}

static void first(const char *api, const char *node, const char *id)
{
	json_auto_t *e = two_hosts(api), *found = kc_why_judge(e);

	assert_int_equal(json_array_size(found), 2);
	assert_string_equal(kc_json_get_str(json_array_get(found, 0), "node", ""), node);
	assert_string_equal(kc_json_get_str(json_array_get(found, 0), "id", ""), id);
}

static void what_comes_first(void **state)
{
	first("{\"error\": \"refused\"}", "cp1", "UNIT_STOPPED");
	first("{\"nodes\": {}, \"pods\": []}", "w1", "SWAP_ON");
	first("{\"nodes\": {\"w1\": {\"ready\": true}, \"cp1\": {\"ready\": false}}, \"pods\": []}",
	      "cp1", "UNIT_STOPPED");
}

/* What is said of w1's clock where cp1 is that far from this machine's. */
static void clock_of_w1(const char *doctor_of_cp1, const char *says)
{
	static const char *const w1 = DOCTOR("\"facts\": {\"skewMs\": -90000}");
	json_auto_t *e = evidence_of(w1, NONE, "worker"), *found = NULL;
	_cleanup_free_ char *text = xasprintf("{\"name\": \"cp1\"%s}", doctor_of_cp1);
	json_t *cp = NULL;
	const json_t *f;

	assert_int_equal(kc_json_parse(text, strlen(text), "host", &cp, NULL), 0);
	json_array_append_new(json_object_get(e, "hosts"), cp);
	found = kc_why_judge(e);
	f = kc_json_find(found, "node", "w1");
	assert_string_equal(kc_json_get_str(f, "id", ""), "CLOCK_SKEW");
	assert_non_null(strstr(kc_json_get_str(f, "fix", ""), says));
}

static void whose_clock(void **state)
{
	clock_of_w1(", \"doctor\": {\"facts\": {\"skewMs\": -86000}}", "set this machine's");
	clock_of_w1(", \"doctor\": {\"facts\": {\"skewMs\": -84000}}", "synchronise it");
	clock_of_w1(", \"doctor\": {\"facts\": {\"skewMs\": 9223372036854775807}}", "synchronise");
	clock_of_w1(", \"doctor\": {}", "synchronise it");
	clock_of_w1("", "synchronise it");
}

/* A log may hold anything. */
static void one_line_without_controls(void **state)
{
	json_auto_t *e = evidence_of(FAILING("kubelet",
					     "unknown flag: --x\\u001b[31m\\r\\n\\u009bred"),
				     NONE, "worker"),
		    *found = kc_why_judge(e);

	assert_string_equal(kc_json_get_str(json_array_get(found, 0), "text", ""),
			    "kubelet says: unknown flag: --x?[31m? ?red");
}

static void secrets_go(void **state)
{
	static const struct {
		const char *in, *out;
	} texts[] = {
		{ "a -----BEGIN EC PRIVATE KEY-----\nMHcC\nAQ==\n-----END EC PRIVATE KEY----- b",
		  "a [redacted] b" },
		{ "cut off -----BEGIN PRIVATE KEY-----\nMHcC", "cut off [redacted]" },
		{ "proxy http://user:pa55@proxy:3128/", "proxy http://[redacted]@proxy:3128/" },
		{ "Authorization: Bearer abcdefgh.123", "Authorization: Bearer [redacted]" },
		{ "jwt eyJhbGciOiJI.eyJzdWIiOiIx.c2ln end", "jwt [redacted] end" },
		{ "key AKIAIOSFODNN7EXAMPLE.", "key [redacted]." },
		{ "--token=s3cr3t --x=1", "--token=[redacted] --x=1" },
		{ "\"password\": \"hunter2\", \"a\": 1", "\"password\": \"[redacted]\", \"a\": 1" },
		{ "AWS_SECRET_ACCESS_KEY=abc/def", "AWS_SECRET_ACCESS_KEY=[redacted]" },
		{ "the tokens of https://a.example/b are fine",
		  "the tokens of https://a.example/b are fine" },
		{ "", "" },
	};
	json_auto_t *v = kc_pack("{s:s, s:{s:s}, s:[s, i]}", "clientSecret", "x", "a", "b",
				 "password=y", "list", "token: z", 7),
		    *safe = kc_redact(v);
	_cleanup_free_ char *text = kc_json_text(safe);

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_free_ char *out = kc_redact_text(texts[i].in);

		assert_string_equal(out, texts[i].out);
	}
	assert_string_equal(text, "{\"a\":{\"b\":\"password=[redacted]\"},\"clientSecret\":"
				  "\"[redacted]\",\"list\":[\"token: [redacted]\",7]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cause),	 cmocka_unit_test(no_cause_is_forgotten),
		cmocka_unit_test(nothing_wrong), cmocka_unit_test(what_comes_first),
		cmocka_unit_test(secrets_go),	 cmocka_unit_test(one_line_without_controls),
		cmocka_unit_test(whose_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
