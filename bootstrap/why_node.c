/* What runs on a node: its files and certificates, units and their last words, the API's view. */
#include <stdlib.h>
#include <string.h>

#include "bootstrap/why_priv.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/* In the order in which one needs the other. */
static const char *const units[] = { "containerd",
				     "kubecdn-balance",
				     "etcd",
				     "kube-apiserver",
				     "kube-controller-manager",
				     "kube-scheduler",
				     "kubelet",
				     "kube-proxy" };

/* Who has run that long has got over what ended it before. */
enum { STEADY = 10 };

/* The kubelet leads it to each certificate that it gets. */
#define KUBELETS_OWN "link/kubelet-client"

static char *update(const struct kc_why_look *l, const char *does)
{
	return xasprintf("kubecdn cluster update %s --yes %s", why_cluster(l), does);
}

static bool found_update(const struct kc_why_look *l, struct kc_why_finding *f, const char *does,
			 const char *what, const char *object)
{
	_cleanup_free_ char *fix = update(l, does);

	return why_found(f, fix, "%.300s %s", object, what);
}

bool why_port_taken(const struct kc_why_look *l, struct kc_why_finding *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		const json_t *taken = json_object_get(why_unit(l, units[i]), "taken");
		_cleanup_free_ char *fix = NULL;

		if (!taken)
			continue;
		fix = xasprintf("stop that program; %s then starts by itself", units[i]);
		return why_found(f, fix, "port %lld, which %s needs, is taken by %.300s",
				 (long long)kc_json_get_int(taken, "port", 0), units[i],
				 kc_json_get_str(taken, "by", "?"));
	}
	return false;
}

bool why_program_damaged(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "drift"), i, d) {
		const char *id = kc_json_get_str(d, "id", "");
		bool gone = streq(kc_json_get_str(d, "action", ""), "create");

		if (kc_startswith(id, "blob/") ||
		    (kc_startswith(id, "link/") && !streq(id, KUBELETS_OWN)))
			return found_update(l, f, "brings it again",
					    gone ? "is gone" : "is not what was installed",
					    strchr(id, '/') + 1);
	}
	return false;
}

/* The first certificate of which bad says so. */
static const json_t *cert(const struct kc_why_look *l, bool (*bad)(const json_t *cert, int64_t now))
{
	int64_t now = kc_json_get_int(l->evidence, "now", 0);
	const json_t *c;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "certs"), i, c)
		if (bad(c, now))
			return c;
	return NULL;
}

static bool expired(const json_t *c, int64_t now)
{
	/* The kubelet goes on with those that it renewed. */
	return kc_json_get_int(c, "notAfter", INT64_MAX) <= now &&
	       !kc_endswith(kc_json_get_str(c, "path", ""), "-initial.pem");
}

static bool early(const json_t *c, int64_t now)
{
	return kc_json_get_int(c, "notBefore", 0) > now;
}

static bool unreadable(const json_t *c, int64_t now)
{
	return json_object_get(c, "problem");
}

bool why_cert_expired(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *c = cert(l, expired);

	return c && found_update(l, f, "renews it", "has ended", kc_json_get_str(c, "path", "?"));
}

bool why_cert_early(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *c = cert(l, early);
	_cleanup_free_ char
		*again = update(l, "makes it anew"),
		*fix = xasprintf("compare both machines' clocks with the time; if they are "
				 "right, %s",
				 again);

	return c && why_found(f, fix, "%s begins in the future", kc_json_get_str(c, "path", "?"));
}

bool why_cert_broken(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *c = cert(l, unreadable), *d;
	size_t i;

	if (c)
		return found_update(l, f, "makes it anew", "is missing or cannot be read",
				    kc_json_get_str(c, "path", "?"));
	json_array_foreach(json_object_get(l->doctor, "drift"), i, d) {
		const char *id = kc_json_get_str(d, "id", "");

		/* A whole new one: its key does not fit, or is gone. */
		if (kc_startswith(id, "cert/") && streq(kc_json_get_str(d, "action", ""), "create"))
			return found_update(l, f, "makes it anew",
					    "has a certificate or a key that is no use",
					    id + strlen("cert/"));
	}
	return false;
}

static bool said(const struct kc_why_look *l, const char *const *needles, const char **ret_unit,
		 const char **ret_line)
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		*ret_line = why_line(why_unit(l, units[i]), needles);
		*ret_unit = units[i];
		if (*ret_line)
			return true;
	}
	return false;
}

/* Words of its log that only one cause has. */
static bool found_said(const struct kc_why_look *l, struct kc_why_finding *f,
		       const char *const *needles, const char *fix)
{
	const char *unit, *line;

	return said(l, needles, &unit, &line) && why_found(f, fix, "%s says: %.400s", unit, line);
}

bool why_cert_unknown_ca(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const needles[] = { "certificate signed by unknown authority",
					       "certificate is not trusted", NULL };
	static const char *const files[] = { "file/ca.crt", "file/etcd-ca.crt",
					     "file/front-proxy-ca.crt" };
	_cleanup_free_ char *fix = update(l, "puts CA and certificates right");

	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (why_change(why_drift(l, files[i]), "content") ||
		    streq(kc_json_get_str(why_drift(l, files[i]), "action", ""), "create"))
			return why_found(f, fix, "%s is not the cluster's CA",
					 files[i] + strlen("file/"));
	return found_said(l, f, needles, fix);
}

bool why_cert_name(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const needles[] = { "is not allowed to modify node",
					       "only its own Node object",
					       "certificate is valid for",
					       "doesn't contain any IP SANs", NULL };
	_cleanup_free_ char *fix = update(l, "issues the right one");

	return found_said(l, f, needles, fix);
}

bool why_flag(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const needles[] = { "unknown flag:",
					       "unknown shorthand flag",
					       "flag provided but not defined",
					       "failed to parse kubelet flag",
					       "invalid argument \"",
					       NULL };
	const char *unit, *line;
	_cleanup_free_ char *id = NULL, *again = update(l, "writes the unit anew");
	bool edited;

	if (!said(l, needles, &unit, &line))
		return false;
	id = xasprintf("unit/%s", unit);
	edited = why_drift(l, id) != NULL;
	return why_found(f,
			 edited ? again
				: "correct spec.kubelet.extraArgs or "
				  "spec.apiServer.extraArgs, then update the cluster",
			 "%s says: %.400s", unit, line);
}

bool why_config(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const needles[] = { "failed to load kubelet config file",
					       "failed to load TOML",
					       "failed to decode",
					       "unable to load config",
					       "strict decoding error",
					       "invalid configuration",
					       "failed to parse config",
					       "error loading config file",
					       "error while parsing file",
					       "json parse error",
					       "balance: /etc",
					       NULL };
	_cleanup_free_ char *fix = update(l, "writes it anew");

	return found_said(l, f, needles, fix);
}

bool why_key_access(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "drift"), i, d)
		if (why_change(d, "keyAccess"))
			return found_update(l, f, "closes it again",
					    "has a private key that is not root's alone",
					    kc_json_get_str(d, "id", "?") + strlen("cert/"));
	return false;
}

/* The first unit of the record of which bad says so. */
static const char *unit_where(const struct kc_why_look *l, bool (*bad)(const json_t *unit))
{
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		const json_t *u = why_unit(l, units[i]);

		if (u && bad(u))
			return units[i];
	}
	return NULL;
}

static bool is_masked(const json_t *u)
{
	return !streq(kc_json_get_str(u, "load", ""), "loaded");
}

/* They all have Restart=always: one that is left in "failed" was stopped, and had to be killed. */
static bool is_stopped(const json_t *u)
{
	const char *active = kc_json_get_str(u, "active", "");

	return streq(active, "inactive") || streq(active, "failed");
}

static bool is_failing(const json_t *u)
{
	const char *active = kc_json_get_str(u, "active", "");

	return (streq(active, "activating") &&
		streq(kc_json_get_str(u, "sub", ""), "auto-restart")) ||
	       (kc_json_get_int(u, "restarts", 0) > 2 && kc_json_get_int(u, "seconds", 0) < STEADY);
}

bool why_unit_masked(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const char *unit = unit_where(l, is_masked);
	_cleanup_free_ char *fix = NULL;

	if (!unit)
		return false;
	fix = xasprintf("systemctl unmask %s, then kubecdn cluster update %s --yes", unit,
			why_cluster(l));
	return why_found(f, fix, "systemd says that %s.service is %s", unit,
			 kc_json_get_str(why_unit(l, unit), "load", "?"));
}

bool why_unit_stopped(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const char *unit = unit_where(l, is_stopped);
	_cleanup_free_ char *fix = unit ? xasprintf("systemctl enable --now %s", unit) : NULL;

	return unit && why_found(f, fix, "%s is stopped", unit);
}

bool why_unit_failing(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const char *unit = unit_where(l, is_failing);
	const json_t *log = json_object_get(why_unit(l, unit ? unit : ""), "log");
	_cleanup_free_ char *fix = unit ? xasprintf("see journalctl -u %s there", unit) : NULL;
	static const char *const needles[] = { "\" err=", "rror:", "level=fatal", "F1",
					       "panic",	  "fatal", "failed to",	  NULL };
	const char *line;

	if (!unit)
		return false;
	line = why_line(why_unit(l, unit), needles);
	if (!line)
		line = json_string_value(json_array_get(log, json_array_size(log) - 1));
	return why_found(f, fix, "%s ends again and again; it says: %.400s", unit,
			 line ? line : "nothing");
}

bool why_etcd_lost(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return why_check(l, "etcd-data", f);
}

bool why_etcd_corrupt(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const needles[] = { "wal: crc mismatch",
					       "failed to recover v3 backend",
					       "snap: ",
					       "corrupt",
					       "file is not a valid db",
					       "invalid database",
					       "walpb: crc mismatch",
					       NULL };
	const char *line = why_line(why_unit(l, "etcd"), needles);

	return line && is_failing(why_unit(l, "etcd")) &&
	       why_found(f,
			 "put /var/lib/etcd/member0 back from a copy, or delete the cluster and "
			 "create it anew",
			 "etcd says: %.400s", line);
}

bool why_etcd_slow(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *etcd = json_object_get(l->doctor, "etcd");
	long long all = kc_json_get_int(etcd, "fsyncs", 0), slow = kc_json_get_int(etcd, "slow", 0);

	/* One in twenty, of enough to count. */
	return all >= 30 && slow > all / 20 &&
	       why_found(f, "give /var/lib/etcd a disk of its own, or a faster one (an SSD)",
			 "%lld of etcd's %lld writes took 128 ms or longer", slow, all);
}

bool why_limits(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const needles[] = { "too many open files",
					       "inotify_init: too many",
					       "no space left on device: inotify",
					       "resource temporarily unavailable",
					       "fork: retry",
					       NULL };

	return found_said(l, f, needles,
			  "raise fs.inotify.max_user_instances, fs.inotify.max_user_watches, "
			  "fs.file-max or kernel.pid_max");
}

bool why_image(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *d;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "drift"), i, d)
		if (kc_startswith(kc_json_get_str(d, "id", ""), "image/"))
			return found_update(l, f, "brings it again", "is not among its images",
					    kc_json_get_str(d, "id", "") + strlen("image/"));
	return false;
}

/* Any other difference between the record and the host, of what a unit runs with. */
bool why_changed(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *d, *c;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "drift"), i, d) {
		const char *id = kc_json_get_str(d, "id", ""), *path;

		c = json_array_get(json_object_get(d, "changes"), 0);
		path = kc_json_get_str(c, "path", "");
		if (streq(id, KUBELETS_OWN))
			continue;
		_cleanup_free_ char *what =
			*path ? xasprintf("has another %s than was written", path)
			      : xstrdup("is gone");
		return found_update(l, f, "puts it right", what, id);
	}
	return false;
}

bool why_api_down(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const char *error = kc_json_get_str(l->api, "error", "");

	return l->control_plane && *error &&
	       why_found(f, "see journalctl -u kube-apiserver -u etcd there", "%.400s", error);
}

/* It runs, sees the API server, and is refused by nobody: it had registered, once. */
bool why_node_deleted(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const words[] = { "Successfully registered node",
					     "Unable to register node", "err=\"Unauthorized\"",
					     NULL };
	const json_t *kubelet = why_unit(l, "kubelet");
	const char *line = why_line(kubelet, words);

	return l->api_up && !l->node && kubelet && (!line || strstr(line, words[0])) &&
	       streq(kc_json_get_str(kubelet, "active", ""), "active") && !is_failing(kubelet) &&
	       found_update(l, f, "lets the kubelet register it anew",
			    "runs a kubelet that had a Node, which was deleted", "the host");
}

bool why_pod_cidr(const struct kc_why_look *l, struct kc_why_finding *f)
{
	static const char *const needles[] = { "CIDRNotAvailable", "no remaining CIDRs",
					       "CIDR allocation failed", NULL };

	return l->node && !*kc_json_get_str(l->node, "podCIDR", "") &&
	       (strstr(kc_json_get_str(l->node, "message", ""), "CIDR") ||
		why_line(why_unit(l, "kube-controller-manager"), needles)) &&
	       why_found(f, "make the cluster with a wider block in spec.networking.podCIDRs",
			 "no block of pod addresses is left for it");
}

bool why_pod_network(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const char *message = kc_json_get_str(l->node, "message", "");

	return l->node && !l->ready && strstr(message, "cni") &&
	       why_found(f, "see the pods of flannel in kube-system and journalctl -u containerd",
			 "%.400s", message);
}

bool why_system_pod(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *pod;
	size_t i;

	json_array_foreach(json_object_get(l->api, "pods"), i, pod) {
		const char *on = kc_json_get_str(pod, "node", ""),
			   *name = kc_json_get_str(pod, "name", "?");
		_cleanup_free_ char *fix = NULL;

		/* Those that are on no node yet are the control planes' affair. */
		if (!streq(on, l->name) && !(!*on && l->control_plane))
			continue;
		fix = xasprintf("see kubectl -n kube-system describe pod %s", name);
		return why_found(f, fix, "%s: %s %.300s", name,
				 kc_json_get_str(pod, "reason", "not Ready"),
				 kc_json_get_str(pod, "message", ""));
	}
	return false;
}

bool why_not_ready(const struct kc_why_look *l, struct kc_why_finding *f)
{
	return l->node && !l->ready &&
	       why_found(f, "wait a little; then see journalctl -u kubelet there", "%.400s",
			 kc_json_get_str(l->node, "message", "the kubelet does not report"));
}
