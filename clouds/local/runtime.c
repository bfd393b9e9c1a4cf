/*
 * What a running machine consists of: overlay mount, network namespace with a
 * veth into the bridge, cgroups, and the container manager in them. All names
 * are in machine.json before any of it exists, so stop() finds what a killed
 * start() left; a start always begins with a stop.
 */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

/*
 * The manager mounts /sys, /proc/sys and the v1 cgroup trees read-only; a
 * Kubernetes node writes all three, and the kubelet wants a shared root mount.
 */
#define EARLY_UNIT "/etc/systemd/system/kubecdn-lab.service"
#define EARLY_WANT "/etc/systemd/system/sysinit.target.wants/kubecdn-lab.service"
static const char early_unit[] = "[Unit]\n"
				 "Description=Make this lab machine writable like a real one\n"
				 "DefaultDependencies=no\n"
				 "Before=sysinit.target systemd-sysctl.service\n"
				 "[Service]\n"
				 "Type=oneshot\n"
				 "ExecStart=/bin/sh -c \"mount --make-rshared /;"
				 " for m in /sys/fs/cgroup /sys/fs/cgroup/* /sys /proc/sys; do"
				 " mountpoint -q $m && mount -o remount,bind,rw $m; done; true\"\n";

static const char *field(const json_t *machine, const char *key)
{
	return kc_json_get_str(machine, key, "");
}

static int mount_root(const char *dir, const json_t *machine, struct kc_err *err)
{
	const char *lower = field(machine, "tree");
	_cleanup_free_ char *root = xasprintf("%s/root", dir);
	_cleanup_free_ char *opts =
		xasprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir);

	if (!kc_exists(lower))
		return kc_fail(err, KC_EFAIL,
			       "the machine's Debian tree %s is gone: restore it, or delete the "
			       "cluster",
			       lower);
	if (strpbrk(lower, ",:\\"))
		return kc_fail(err, KC_EINVAL,
			       "%s: overlayfs takes no path with a comma, colon or backslash",
			       lower);
	if (mount("overlay", root, "overlay", 0, opts) < 0)
		return kc_fail_errno(err, errno, "mounting overlay on %s", root);
	return 0;
}

/* Put text at path inside the machine; not durable on purpose, it is written at every start. */
static int put(const char *root, const char *path, const char *text, mode_t mode,
	       struct kc_err *err)
{
	_cleanup_free_ char *full = xasprintf("%s%s", root, path);
	FILE *f;

	if (unlink(full) < 0 && errno != ENOENT)
		return kc_fail_errno(err, errno, "%s", full);
	f = fopen(full, "wex");
	if (!f)
		return kc_fail_errno(err, errno, "%s", full);
	fchmod(fileno(f), mode);
	fputs(text, f);
	return fclose(f) == 0 ? 0 : kc_fail_errno(err, errno, "%s", full);
}

static int put_file(const char *root, const char *path, const char *from, mode_t mode,
		    struct kc_err *err)
{
	_cleanup_wiped_ char *text = NULL;
	int r;

	r = kc_file_read(from, 1 << 16, &text, NULL, err);
	return r < 0 ? r : put(root, path, text, mode, err);
}

static int put_identity(const char *root, const json_t *machine, struct kc_err *err)
{
	const char *name = field(machine, "name"), *address = field(machine, "address");
	_cleanup_free_ char *hosts =
		xasprintf("127.0.0.1 localhost\n::1 localhost\n%s %s\n", address, name);
	_cleanup_free_ char *id = xasprintf("%s\n", field(machine, "machineId"));
	_cleanup_free_ char *hostname = xasprintf("%s\n", name);
	/* Nobody answers there, at once: no name outside is ever waited for. */
	_cleanup_free_ char *resolv = xasprintf("nameserver %s\n", field(machine, "gateway"));
	int r;

	r = put(root, "/etc/hostname", hostname, 0644, err);
	if (r == 0)
		r = put(root, "/etc/hosts", hosts, 0644, err);
	if (r == 0)
		r = put(root, "/etc/machine-id", id, 0444, err);
	if (r == 0)
		r = put(root, "/etc/resolv.conf", resolv, 0644, err);
	return r;
}

static int put_keys(const struct local *l, const char *root, const char *dir, struct kc_err *err)
{
	static const char *const shared[] = { "rsa_key", "rsa_key.pub", "ecdsa_key",
					      "ecdsa_key.pub" };
	_cleanup_free_ char *ours = xasprintf("%s/key/id_ed25519.pub", l->dir);
	_cleanup_free_ char *key = xasprintf("%s/hostkey/key", dir);
	_cleanup_free_ char *pub = xasprintf("%s/hostkey/key.pub", dir);
	_cleanup_free_ char *ssh = xasprintf("%s/root/.ssh", root);
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		_cleanup_free_ char *old = xasprintf("%s/etc/ssh/ssh_host_%s", root, shared[i]);

		unlink(old);
	}
	if (mkdir(ssh, 0700) < 0 && errno != EEXIST)
		return kc_fail_errno(err, errno, "%s", ssh);
	r = put_file(root, "/root/.ssh/authorized_keys", ours, 0600, err);
	if (r == 0)
		r = put_file(root, "/etc/ssh/ssh_host_ed25519_key", key, 0600, err);
	if (r == 0)
		r = put_file(root, "/etc/ssh/ssh_host_ed25519_key.pub", pub, 0644, err);
	return r;
}

static int furnish(const struct local *l, const char *dir, const json_t *machine,
		   struct kc_err *err)
{
	_cleanup_free_ char *root = xasprintf("%s/root", dir);
	_cleanup_free_ char *want = xasprintf("%s" EARLY_WANT, root);
	_cleanup_free_ char *wants = xasprintf("%s/etc/systemd/system/sysinit.target.wants", root);
	int r;

	r = put_identity(root, machine, err);
	if (r == 0)
		r = put_keys(l, root, dir, err);
	if (r == 0)
		r = put(root, EARLY_UNIT, early_unit, 0644, err);
	if (r == 0)
		r = kc_mkdir_p(wants, 0755, err);
	if (r == 0 && symlink(EARLY_UNIT, want) < 0 && errno != EEXIST)
		r = kc_fail_errno(err, errno, "%s", want);
	return r;
}

static int plug(const json_t *machine, struct kc_err *err)
{
	const char *ns = field(machine, "netns"), *veth = field(machine, "veth"),
		   *address = field(machine, "address");
	_cleanup_free_ char *outside = xasprintf("link add %s type veth peer name eth0 netns %s\n"
						 "link set %s master %s up\n",
						 veth, ns, veth, field(machine, "bridge"));
	_cleanup_free_ char *inside = xasprintf("link set lo up\n"
						"addr add %s/24 dev eth0\n"
						"link set eth0 up\n"
						"route add default via %s\n",
						address, field(machine, "gateway"));
	int r;

	r = kc_runl(NULL, err, "ip", "netns", "add", ns, NULL);
	if (r == 0)
		r = kc_run(&(struct kc_run){ .argv = (const char *const[]){ "ip", "-batch", "-",
									    NULL },
					     .input = outside,
					     .input_len = strlen(outside) },
			   NULL, err);
	if (r == 0)
		r = kc_run(&(struct kc_run){ .argv = (const char *const[]){ "ip", "-n", ns,
									    "-batch", "-", NULL },
					     .input = inside,
					     .input_len = strlen(inside) },
			   NULL, err);
	return r;
}

/* Bound from the machine's folder: overlayfs cannot be the upper layer of overlayfs (containerd),
 * and etcd's fsync need not go through it. */
static int boot(const char *dir, const json_t *machine, struct kc_err *err)
{
	_cleanup_free_ char *root = xasprintf("%s/root", dir),
			    *log = xasprintf("%s/console.log", dir);
	_cleanup_free_ char *id = xasprintf("--machine=%s", field(machine, "netns"));
	_cleanup_free_ char *hostname = xasprintf("--hostname=%s", field(machine, "name"));
	_cleanup_free_ char *ns =
		xasprintf("--network-namespace-path=/run/netns/%s", field(machine, "netns"));
	_cleanup_free_ char *containerd =
		xasprintf("--bind=%s/containerd:/var/lib/containerd", dir);
	_cleanup_free_ char *kubelet = xasprintf("--bind=%s/kubelet:/var/lib/kubelet", dir);
	_cleanup_free_ char *etcd = xasprintf("--bind=%s/etcd:/var/lib/etcd", dir);
	const char *const argv[] = {
		"systemd-nspawn",
		"-q",
		"-D",
		root,
		id,
		hostname,
		ns,
		"--settings=no",
		"--register=no",
		"--keep-unit",
		"--boot",
		"--capability=all",
		"--system-call-filter=@raw-io @module add_key keyctl bpf perf_event_open",
		"--resolv-conf=off",
		"--timezone=off",
		"--link-journal=no",
		"--bind=/dev/kmsg",
		containerd,
		kubelet,
		etcd,
		NULL,
	};

	return local_process_start(argv, json_object_get(machine, "cgroups"), log, err);
}

/* Until the machine has its PID 1; a manager that ended instead has said why in console.log. */
static int await_leader(const char *dir, struct kc_err *err)
{
	_cleanup_free_ char *root = xasprintf("%s/root", dir),
			    *log = xasprintf("%s/console.log", dir);
	int64_t deadline = kc_now_ms() + 10000;
	bool seen = false;

	for (;;) {
		struct local_process p;

		local_process_find(root, &p);
		if (p.leader)
			return 0;
		if (seen && !p.manager)
			return kc_fail(err, KC_EFAIL, "systemd-nspawn ended at once: see %s", log);
		seen = seen || p.manager;
		if (kc_now_ms() > deadline)
			return kc_fail(err, KC_ETIMEOUT, "did not boot within 10 s: see %s", log);
		kc_sleep_ms(10);
	}
}

int local_runtime_start(const struct local *l, const char *dir, json_t *machine, struct kc_err *err)
{
	static const char *const folders[] = { "upper",	     "work",	"root",
					       "containerd", "kubelet", "etcd" };
	_cleanup_free_ char *file = xasprintf("%s/machine.json", dir);
	int r;

	r = local_runtime_stop(dir, machine, err);
	if (r < 0)
		return r;
	json_object_set_new(machine, "cgroups", local_cgroup_paths(field(machine, "netns")));
	r = local_json_write(file, machine, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *sub = xasprintf("%s/%s", dir, folders[i]);

		r = kc_mkdir_p(sub, 0755, err);
	}
	if (r == 0)
		r = mount_root(dir, machine, err);
	if (r == 0)
		r = furnish(l, dir, machine, err);
	if (r == 0)
		r = plug(machine, err);
	if (r == 0)
		r = local_cgroup_make(json_object_get(machine, "cgroups"), err);
	if (r == 0)
		r = boot(dir, machine, err);
	return r < 0 ? r : await_leader(dir, err);
}

static int unplug(const json_t *machine, struct kc_err *err)
{
	const char *ns = field(machine, "netns"), *veth = field(machine, "veth");
	_cleanup_free_ char *path = xasprintf("/run/netns/%s", ns);
	int r = 0;

	if (*veth && if_nametoindex(veth)) {
		r = kc_runl(NULL, err, "ip", "link", "del", veth, NULL);
		if (r < 0 && !if_nametoindex(veth))
			r = 0;
	}
	if (r == 0 && *ns && kc_exists(path))
		r = kc_runl(NULL, err, "ip", "netns", "del", ns, NULL);
	return r;
}

int local_runtime_stop(const char *dir, const json_t *machine, struct kc_err *err)
{
	_cleanup_free_ char *root = xasprintf("%s/root", dir);
	const json_t *cgroups = json_object_get(machine, "cgroups");
	int64_t deadline = kc_now_ms() + 2000;
	int r;

	r = local_process_kill(root, err);
	if (r < 0)
		return r;
	/* The kernel frees mounts and cgroups of killed processes a moment later. */
	for (;;) {
		local_cgroup_kill(cgroups);
		r = local_umount(root, err);
		if (r == 0)
			r = local_cgroup_remove(cgroups, err);
		if (r != KC_EAGAIN || kc_now_ms() > deadline)
			break;
		kc_sleep_ms(10);
	}
	return r < 0 ? r : unplug(machine, err);
}
