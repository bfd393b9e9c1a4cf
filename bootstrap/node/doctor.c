#include "bootstrap/node/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "bootstrap/node/agent.h"
#include "bootstrap/node/checks.h"
#include "bootstrap/node/marker.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/pki.h"

enum { PEM_MAX = 1 << 20, TEXT_MAX = 1 << 20, VALUE_MAX = 64 };

#define KUBELET_CLIENT "/var/lib/kubelet/pki/kubelet-client-current.pem"

/* Without what an owner's file holds: a path says enough, and a short value more. */
static json_t *change_of(const json_t *c)
{
	json_t *out = kc_pack("{s:s}", "path", kc_json_get_str(c, "path", ""));
	static const char *const sides[] = { "from", "to" };

	for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
		json_t *v = json_object_get(c, sides[i]);

		if (v && (!json_is_string(v) || json_string_length(v) <= VALUE_MAX) &&
		    !json_is_object(v) && !json_is_array(v))
			json_object_set(out, sides[i], v);
	}
	return out;
}

static json_t *drift_of(const struct kc_plan *plan)
{
	json_t *drift = json_array(), *changes;
	const json_t *entry, *c;
	size_t i, k;

	json_array_foreach(json_object_get(kc_plan_json(plan), "tasks"), i, entry) {
		if (streq(kc_json_get_str(entry, "action", ""), "keep"))
			continue;
		changes = json_array();
		json_array_foreach(json_object_get(entry, "changes"), k, c)
			json_array_append_new(changes, change_of(c));
		json_array_append_new(drift, kc_pack("{s:s, s:s, s:o}", "id",
						     kc_json_get_str(entry, "id", ""), "action",
						     kc_json_get_str(entry, "action", ""),
						     "changes", changes));
	}
	return drift;
}

/* The record as a graph: a plan of it is what has changed on the host since it was written. */
static json_t *graph_of(const json_t *recorded)
{
	json_t *tasks = json_array();
	const json_t *task;
	const char *id;

	json_object_foreach((json_t *)recorded, id, task)
		if (json_object_get(task, "want") && json_object_get(task, "outputs"))
			json_array_append_new(tasks,
					      kc_pack("{s:s, s:O, s:O, s:o}", "id", id, "kind",
						      json_object_get(task, "kind"), "want",
						      json_object_get(task, "want"), "after",
						      kc_json_copy_or(task, "after",
								      json_array())));
	return tasks;
}

static void add_drift(struct kc_agent *a, struct kc_state *state, json_t *answer)
{
	const struct kc_provider *providers[2];
	_cleanup_plan_ struct kc_plan *plan = NULL;
	json_auto_t *tasks = graph_of(kc_state_tasks(state));
	struct kc_provider host;
	struct kc_engine e;
	struct kc_err why;

	kc_agent_engine(a, &host, providers, &e);
	e.state = state;
	if (kc_plan_make(&e, tasks, &plan, &why) < 0)
		json_object_set_new(answer, "driftError", json_string(why.msg));
	else
		json_object_set_new(answer, "drift", drift_of(plan));
}

static json_t *disks(void)
{
	static const char *const paths[] = { "/",
					     "/etc",
					     "/var/lib",
					     "/var/lib/containerd",
					     "/var/lib/etcd",
					     "/var/lib/kubelet",
					     "/var/log" };
	json_t *list = json_array();
	struct statvfs v;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		double inodes;

		if (statvfs(paths[i], &v) < 0 || !v.f_blocks)
			continue;
		inodes = v.f_files ? 100.0 * (double)v.f_favail / (double)v.f_files : 100;
		json_array_append_new(list, kc_pack("{s:s, s:I, s:I, s:I, s:b}", "path", paths[i],
						    "freeMiB",
						    (json_int_t)(v.f_bavail * v.f_frsize >> 20),
						    "freePercent",
						    (json_int_t)(100.0 * (double)v.f_bavail /
								 (double)v.f_blocks),
						    "freeInodes", (json_int_t)inodes, "readOnly",
						    (v.f_flag & ST_RDONLY) != 0));
	}
	return list;
}

static json_t *cert_of(const char *path)
{
	_cleanup_cert_info_ struct kc_cert_info info = { 0 };
	_cleanup_wiped_ char *pem = NULL; /* a combined file has the key, too */
	struct kc_err why = { 0 };
	int r = kc_file_read(path, PEM_MAX, &pem, NULL, &why);

	if (r == 0)
		r = kc_cert_read(pem ? pem : "", &info, &why);
	if (r < 0)
		return kc_pack("{s:s, s:s}", "path", path, "problem", why.msg);
	return kc_pack("{s:s, s:I, s:I}", "path", path, "notBefore", (json_int_t)info.not_before,
		       "notAfter", (json_int_t)info.not_after);
}

static json_t *certs(const json_t *recorded)
{
	json_t *list = json_array();
	const json_t *task;
	const char *id;

	json_object_foreach((json_t *)recorded, id, task) {
		const char *path = json_string_value(kc_json_at(task, "want.cert"));

		if (streq(kc_json_get_str(task, "kind", ""), "cert") && path)
			json_array_append_new(list, cert_of(path));
	}
	if (json_object_get(recorded, "unit/kubelet"))
		json_array_append_new(list, cert_of(KUBELET_CLIENT));
	return list;
}

/* What kubelet, runc and kube-proxy cannot do without; numbers of linux/capability.h. */
static json_t *missing_capabilities(void)
{
	static const struct {
		const char *name;
		int bit;
	} needed[] = { { "CAP_CHOWN", 0 },	 { "CAP_DAC_OVERRIDE", 1 }, { "CAP_FOWNER", 3 },
		       { "CAP_KILL", 5 },	 { "CAP_SETGID", 6 },	    { "CAP_SETUID", 7 },
		       { "CAP_SETPCAP", 8 },	 { "CAP_NET_ADMIN", 12 },   { "CAP_NET_RAW", 13 },
		       { "CAP_SYS_CHROOT", 18 }, { "CAP_SYS_PTRACE", 19 },  { "CAP_SYS_ADMIN", 21 },
		       { "CAP_MKNOD", 27 } };
	_cleanup_free_ char *text = NULL;
	json_t *missing = json_array();
	const char *line;
	unsigned long long set;

	if (kc_file_read("/proc/1/status", TEXT_MAX, &text, NULL, NULL) < 0 || !text)
		return missing;
	line = strstr(text, "\nCapBnd:");
	if (!line)
		return missing;
	set = strtoull(line + strlen("\nCapBnd:"), NULL, 16);
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (!(set >> needed[i].bit & 1))
			json_array_append_new(missing, json_string(needed[i].name));
	return missing;
}

/* Is word one of those in text between spaces and commas? */
static bool listed(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += n)
		if ((p == text || strchr(" ,\n", p[-1])) && (!p[n] || strchr(" ,\n", p[n])))
			return true;
	return false;
}

/* Controllers that no hierarchy has (v1: as mounted), or the one hierarchy lacks (v2). */
static json_t *missing_cgroups(void)
{
	static const char *const needed[] = { "cpu", "cpuset", "memory", "pids" };
	_cleanup_free_ char *v2 = NULL, *mounts = NULL;
	json_t *missing = json_array();

	if (kc_file_read("/sys/fs/cgroup/cgroup.controllers", TEXT_MAX, &v2, NULL, NULL) < 0)
		kc_file_read("/proc/self/mounts", TEXT_MAX, &mounts, NULL, NULL);
	if (!v2 && !mounts)
		return missing;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		_cleanup_free_ char *dir = xasprintf("/sys/fs/cgroup/%s/cgroup.procs", needed[i]);

		if (v2 ? !listed(v2, needed[i]) : !kc_exists(dir))
			json_array_append_new(missing, json_string(needed[i]));
	}
	return missing;
}

static void add_host(struct kc_agent *a, const json_t *recorded, json_t *answer)
{
	const json_t *question = json_object_get(a->envelope, "doctor");
	json_auto_t *marker = NULL;

	kc_marker_read(&marker, NULL);
	json_object_set(answer, "marker", marker ? marker : json_null());
	json_object_set(answer, "facts", a->facts);
	json_object_set_new(answer, "checks",
			    kc_node_checks(json_object_get(question, "checks"), a->facts, a->uid,
					   recorded));
	json_object_set_new(answer, "disks", disks());
	json_object_set_new(answer, "certs", certs(recorded));
	json_object_set_new(answer, "capabilities", missing_capabilities());
	json_object_set_new(answer, "cgroups", missing_cgroups());
	json_object_set_new(answer, "units", kc_doctor_units(recorded));
	kc_doctor_net(json_object_get(question, "ask"), a->facts, answer);
}

int kc_agent_doctor(struct kc_agent *a, json_t **ret, struct kc_err *err)
{
	_cleanup_store_ struct kc_store *store = NULL;
	_cleanup_state_ struct kc_state *state = NULL;
	json_auto_t *answer = kc_agent_answer(), *none = json_object();
	struct kc_err why;

	/* A record that cannot be read is evidence, too. */
	if (kc_agent_state(0, &store, &state, &why) < 0)
		json_object_set_new(answer, "driftError", json_string(why.msg));
	add_host(a, state ? kc_state_tasks(state) : none, answer);
	if (state)
		add_drift(a, state, answer);
	*ret = TAKE(answer);
	return 0;
}
