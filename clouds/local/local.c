/* The cloud local: its default spec, its model, and the checks before anything is touched. */
#include "clouds/local/local.h"

#include <ctype.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define SUITE "bookworm"
static const char *const packages[] = {
	"systemd",	   "systemd-sysv", "dbus",	 "openssh-server", "sudo", "iproute2",
	"nftables",	   "conntrack",	   "ethtool",	 "socat",	   "kmod", "procps",
	"ca-certificates", "mount",	   "util-linux",
};

static int local_defaults(const char *region, int workers, json_t **ret_spec, struct kc_err *err)
{
	int n = workers < 0 ? 1 : workers;

	*ret_spec = kc_pack("{s:s, s:s, s:[{s:s, s:s, s:i, s:i}]}", "cloud", "local", "region",
			    region && *region ? region : "local", "instanceGroups", "name",
			    "control-plane", "role", "control-plane", "minSize", 1, "maxSize", 1);
	if (n > 0)
		json_array_append_new(json_object_get(*ret_spec, "instanceGroups"),
				      kc_pack("{s:s, s:s, s:i, s:i}", "name", "workers", "role",
					      "worker", "minSize", n, "maxSize", n));
	return 0;
}

static json_t *base_tasks(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
		json_array_append_new(list, json_string(packages[i]));
	return kc_pack("[{s:s, s:s, s:{s:s, s:o}}, {s:s, s:s, s:{s:s}}, {s:s, s:s, s:{s:b}}]", "id",
		       "local/root", "kind", "local/root", "want", "suite", SUITE, "packages", list,
		       "id", "local/key", "kind", "local/key", "want", "type", "ed25519", "id",
		       "local/network", "kind", "local/network", "want", "up", 1);
}

static json_t *machine_task(const char *id, const char *name)
{
	return kc_pack("{s:s, s:s, s:{s:s, s:b}, s:[sss]}", "id", id, "kind", "local/machine",
		       "want", "hostname", name, "running", 1, "after", "local/root", "local/key",
		       "local/network");
}

static json_t *ref(const char *id, const char *output)
{
	_cleanup_free_ char *text = xasprintf("%s#%s", id, output);

	return kc_pack("{s:s}", "$ref", text);
}

static json_t *node_of(const json_t *group, const char *id, const char *name)
{
	json_t *ssh = kc_pack("{s:o, s:s, s:i, s:o, s:o, s:s}", "host", ref(id, "address"), "user",
			      "root", "port", 22, "identityFile", ref("local/key", "path"),
			      "hostKey", ref(id, "hostKey"), "bastion", "");

	return kc_pack("{s:s, s:s, s:s, s:[o], s:o, s:o, s:o, s:[s], s:s}", "name", name, "role",
		       kc_json_get_str(group, "role", "worker"), "group",
		       kc_json_get_str(group, "name", "workers"), "addresses", ref(id, "address"),
		       "labels", kc_json_copy_or(group, "labels", json_object()), "taints",
		       kc_json_copy_or(group, "taints", json_array()), "ssh", ssh, "after", id,
		       "within", id);
}

/* cp1…, w1… over all groups of a role, in the manifest's order. */
static int local_model(const struct kc_cloud_env *env, const json_t *cluster, json_t **ret_tasks,
		       json_t **ret_nodes, struct kc_err *err)
{
	json_auto_t *tasks = base_tasks(), *nodes = json_array();
	const json_t *groups = kc_json_at(cluster, "spec.instanceGroups"), *group;
	int control_planes = 0, workers = 0;
	size_t i;

	json_array_foreach(groups, i, group) {
		bool cp = streq(kc_json_get_str(group, "role", "worker"), "control-plane");
		int64_t n = kc_json_get_int(group, "minSize", 1);

		if (n < 0 || n > (cp ? 9 : 200) || (cp ? control_planes : workers) + n > 200)
			return kc_fail(err, KC_EINVAL,
				       "instance group %s: minSize %lld is more than cloud local "
				       "holds "
				       "(9 control planes, 200 workers)",
				       kc_json_get_str(group, "name", "?"), (long long)n);
		while (n-- > 0) {
			_cleanup_free_ char *name = cp ? xasprintf("cp%d", ++control_planes)
						       : xasprintf("w%d", ++workers);
			_cleanup_free_ char *id = xasprintf("local/machine/%s", name);

			json_array_append_new(tasks, machine_task(id, name));
			json_array_append_new(nodes, node_of(group, id, name));
		}
	}
	if (!json_array_size(nodes))
		return kc_fail(err, KC_EINVAL,
			       "spec.instanceGroups is empty: cloud local needs one");
	*ret_tasks = TAKE(tasks);
	*ret_nodes = TAKE(nodes);
	return 0;
}

static bool has_program(const char *name)
{
	static const char *const dirs[] = { "/usr/bin", "/usr/sbin", "/bin", "/sbin" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dirs[i], name);

		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static bool has_overlay(void)
{
	_cleanup_free_ char *text = NULL;

	if (local_read("/proc/filesystems", &text, NULL) == 0 && strstr(text, "\toverlay"))
		return true;
	return kc_runl(NULL, NULL, "modprobe", "-n", "-q", "overlay", NULL) == 0;
}

/* What no retry helps against, in one line each. */
static int check_host(struct kc_err *err)
{
	static const struct {
		const char *program, *package;
	} needs[] = { { "systemd-nspawn", "systemd-container" },
		      { "ip", "iproute2" },
		      { "ssh-keygen", "openssh-client" } };
	struct statfs fs;

	if (geteuid() != 0)
		return kc_fail(err, KC_EAUTH,
			       "cloud local makes containers and networks on this host: run as "
			       "root");
	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (!has_program(needs[i].program))
			return kc_fail(err, KC_EFAIL, "cloud local needs %s: apt-get install %s",
				       needs[i].program, needs[i].package);
	if (!has_overlay())
		return kc_fail(err, KC_EFAIL,
			       "cloud local needs overlayfs, which this kernel does not have");
	if (statfs("/var/lib", &fs) == 0 && fs.f_type == 0x794c7630)
		return kc_fail(err, KC_EFAIL,
			       "/var/lib is itself an overlayfs, on which no machine can be "
			       "stacked: "
			       "mount a plain file system on " LOCAL_BASE);
	return 0;
}

/* The first eight letters or digits. */
static void shorten(const char *uid, char out[9])
{
	size_t n = 0;

	for (; *uid && n < 8; uid++)
		if (isalnum((unsigned char)*uid))
			out[n++] = (char)tolower((unsigned char)*uid);
	out[n] = '\0';
}

static void local_free(struct local *l)
{
	free(l->cluster);
	free(l->uid);
	free(l->cache);
	free(l->dir);
	free(l->prefix);
	free(l);
}

static int local_open(const struct kc_cloud_env *env, struct kc_provider *ret, struct kc_err *err)
{
	/* In the order of what stands on what; what is left of all of it goes last. */
	static const struct kc_kind *const kinds[] = { &local_remains_kind, &local_root_kind,
						       &local_key_kind,	    &local_network_kind,
						       &local_machine_kind, NULL };
	struct local *l;
	char uid8[9];
	int r;

	r = check_host(err);
	if (r < 0)
		return r;
	shorten(env->uid, uid8);
	if (strlen(uid8) < 8 || !kc_is_dns_label(env->cluster))
		return kc_fail(err, KC_EINVAL, "cluster %s has no usable uid (\"%s\")",
			       env->cluster, env->uid);
	l = xcalloc(1, sizeof(*l));
	l->cluster = xstrdup(env->cluster);
	l->uid = xstrdup(env->uid);
	l->cache = kc_expand_home(env->cache);
	memcpy(l->uid8, uid8, sizeof(uid8));
	l->dir = xasprintf("%s/%s-%s", LOCAL_BASE, l->cluster, l->uid8);
	l->prefix = xasprintf("kc%s", l->uid8);
	*ret = (struct kc_provider){
		.name = "local", .kinds = kinds, .ctx = l, .limits = kc_limits("local")
	};
	return 0;
}

/* A run that was stopped before its first machine leaves a folder with nothing but the mark. */
static void local_close(struct kc_provider *p)
{
	struct local *l = p->ctx;

	if (!l)
		return;
	if (atomic_load(&l->touched))
		local_dir_drop(l);
	local_free(l);
	p->ctx = NULL;
}

static const char *const honours[] = {
	"instanceGroups.name",	 "instanceGroups.role",	  "instanceGroups.minSize",
	"instanceGroups.labels", "instanceGroups.taints", NULL,
};

const struct kc_cloud kc_cloud_local = {
	.name = "local",
	.summary = "lab machines on this host (systemd-nspawn), for trying and testing",
	.honours = honours,
	.defaults = local_defaults,
	.model = local_model,
	.open = local_open,
	.close = local_close,
};
