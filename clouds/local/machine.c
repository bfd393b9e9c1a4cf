/* local/machine: one booted Debian, reached over SSH like any other host. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/crypto/hash.h"

/* "local/machine/w1" -> "w1" */
static const char *name_of(const struct kc_task *task)
{
	const char *slash = strrchr(task->id, '/');

	return slash ? slash + 1 : task->id;
}

static char *dir_of(const struct local *l, const char *name)
{
	return xasprintf("%s/machines/%s", l->dir, name);
}

/* The folder is renamed into place whole: if it is there, machine.json and the host key are. */
static int load(const struct local *l, const char *name, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *dir = dir_of(l, name), *file = xasprintf("%s/machine.json", dir);
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r < 0 || !exists || !kc_exists(dir))
		return r;
	if (!kc_exists(file))
		return kc_fail(err, KC_ECONFLICT, "%s has no machine.json: remove the folder", dir);
	return local_json_read(file, ret, err);
}

/* 0: it greets as an SSH server does. */
static int greet(const char *address, int64_t deadline)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(22) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char hello[4];
	int64_t left = deadline - kc_now_ms();

	if (fd < 0 || inet_pton(AF_INET, address, &sa.sin_addr) != 1)
		return KC_EFAIL;
	if (connect(fd, (struct sockaddr *)(void *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		return KC_EAGAIN;
	if (left <= 0 || poll(&pfd, 1, (int)left) <= 0)
		return KC_EAGAIN;
	if (recv(fd, hello, sizeof(hello), 0) != sizeof(hello) || memcmp(hello, "SSH-", 4) != 0)
		return KC_EAGAIN;
	return 0;
}

/* A run that was stopped may have left it amid its boot, and the host is looked up next: that
 * would fail on a host that only needs a moment. */
static void await_boot(const struct kc_task *task, const char *dir, const char *address)
{
	_cleanup_free_ char *console = xasprintf("%s/console.log", dir);
	int64_t deadline = kc_now_ms() + 20000;
	struct stat st;

	if (stat(console, &st) < 0 || time(NULL) - st.st_mtime > 60)
		return;
	while (greet(address, deadline) < 0 && kc_now_ms() < deadline &&
	       !(task->canceled && task->canceled(task)))
		kc_sleep_ms(50);
}

static int machine_find(void *ctx, const struct kc_task *task, json_t **ret_actual,
			struct kc_err *err)
{
	const struct local *l = ctx;
	_cleanup_free_ char *dir = dir_of(l, name_of(task)), *root = xasprintf("%s/root", dir);
	_cleanup_free_ char *pub = xasprintf("%s/hostkey/key.pub", dir), *key = NULL;
	json_auto_t *machine = NULL;
	struct local_process p;
	const char *address, *ns;
	int r;

	r = load(l, name_of(task), &machine, err);
	if (r < 0 || !machine)
		return r;
	r = kc_json_str(machine, "machine.json", "address", &address, err);
	if (r == 0)
		r = kc_json_str(machine, "machine.json", "netns", &ns, err);
	if (r == 0)
		r = local_public_key(pub, &key, err);
	if (r < 0)
		return r;
	local_process_find(root, &p);
	if (p.leader)
		await_boot(task, dir, address);
	*ret_actual = kc_pack("{s:s, s:b, s:s, s:s, s:I, s:s}", "hostname", name_of(task),
			      "running", p.leader != 0, "address", address, "hostKey", key, "pid",
			      (json_int_t)p.leader, "netns", ns);
	return 0;
}

/* Last octets that this cluster's machines have. */
static void octets_taken(const struct local *l, bool taken[256])
{
	_cleanup_free_ char *machines = xasprintf("%s/machines", l->dir);
	struct dirent *e;
	DIR *d = opendir(machines);

	while (d && (e = readdir(d))) {
		_cleanup_free_ char *file = xasprintf("%s/%s/machine.json", machines, e->d_name);
		json_auto_t *m = NULL;

		if (e->d_name[0] != '.' && local_json_read(file, &m, NULL) == 0 && m)
			taken[kc_json_get_int(m, "octet", 0) & 255] = true;
	}
	if (d)
		closedir(d);
}

/* cp1 is .11 and w1 is .21, where they are free; anyone else, the first free one above. */
static int octet_choose(const struct local *l, const char *name, int *ret, struct kc_err *err)
{
	bool taken[256] = { false };
	int want = 20;
	long n;

	octets_taken(l, taken);
	if (kc_startswith(name, "cp") && kc_parse_long(name + 2, 1, 9, &n))
		want = 10 + (int)n;
	else if (name[0] == 'w' && kc_parse_long(name + 1, 1, 230, &n))
		want = 20 + (int)n;
	for (int i = 0; i < 240; i++) {
		int octet = 11 + (want - 11 + i) % 240;

		if (taken[octet])
			continue;
		*ret = octet;
		return 0;
	}
	return kc_fail(err, KC_ECONFLICT, "no free address: the cloud local ends at 240 machines");
}

static int describe(const struct local *l, const char *name, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *tree = NULL, *veth = NULL;
	json_auto_t *net = NULL;
	unsigned char id[16];
	char hex[33];
	int octet, r;

	r = local_network_read(l, &net, err);
	if (r == 0 && !net)
		r = kc_fail(err, KC_EFAIL, "there is no network yet");
	if (r == 0)
		r = local_root_path(l, &tree, err);
	if (r == 0)
		r = octet_choose(l, name, &octet, err);
	if (r != 0)
		return r;
	veth = xasprintf("%sv%d", l->prefix, octet);
	if (if_nametoindex(veth))
		return kc_fail(err, KC_ECONFLICT,
			       "a link %s exists that this cluster did not make: remove it", veth);
	kc_random(id, sizeof(id));
	kc_hex(id, sizeof(id), hex);
	*ret = kc_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:s}", "name", name, "octet", octet,
		       "machineId", hex, "veth", veth, "tree", tree, "gateway",
		       kc_json_get_str(net, "gateway", ""), "bridge",
		       kc_json_get_str(net, "bridge", ""));
	json_object_set_new(*ret, "address",
			    json_sprintf("%s.%d", kc_json_get_str(net, "net", ""), octet));
	json_object_set_new(*ret, "netns", json_sprintf("%s-%s", l->prefix, name));
	return 0;
}

/* Choose everything a machine is known by, and its host key, before anything of it runs. */
static int design(const struct local *l, const char *name, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *dir = dir_of(l, name), *machines = xasprintf("%s/machines", l->dir);
	_cleanup_free_ char *tmp = xasprintf("%s/.%s-XXXXXX", machines, name);
	_cleanup_free_ char *hostkey = NULL, *file = NULL;
	_cleanup_close_ int lock = -1;
	json_auto_t *machine = NULL;
	int r;

	r = local_lock(&lock, err);
	if (r == 0)
		r = describe(l, name, &machine, err);
	if (r == 0)
		r = kc_mkdir_p(machines, 0700, err);
	/* A name of its own: the ssh-keygen of a killed run may still be writing. */
	if (r == 0 && !mkdtemp(tmp))
		r = kc_fail_errno(err, errno, "%s", tmp);
	hostkey = xasprintf("%s/hostkey", tmp);
	file = xasprintf("%s/machine.json", tmp);
	if (r == 0)
		r = kc_mkdir_p(hostkey, 0700, err);
	if (r == 0)
		r = local_keygen(hostkey, "key", name, err);
	if (r == 0)
		r = local_json_write(file, machine, err);
	if (r == 0 && rename(tmp, dir) < 0)
		r = kc_fail_errno(err, errno, "%s", dir);
	if (r < 0) {
		kc_rm_rf(tmp, NULL);
		return r;
	}
	*ret = TAKE(machine);
	return 0;
}

static int machine_apply(void *ctx, const struct kc_task *task, const json_t *actual,
			 const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	struct local *l = ctx;
	const char *name = name_of(task);
	_cleanup_free_ char *dir = dir_of(l, name), *root = xasprintf("%s/root", dir);
	json_auto_t *machine = NULL;
	struct local_process p;
	int r;

	r = local_dir_make(l, err);
	if (r == 0)
		r = load(l, name, &machine, err);
	if (r == 0 && !machine)
		r = design(l, name, &machine, err);
	if (r < 0)
		return r;
	local_process_find(root, &p);
	if (!p.leader)
		r = local_runtime_start(l, dir, machine, err);
	if (r < 0)
		return kc_wrap(err, "machine %s", name);
	return machine_find(ctx, task, ret_actual, err);
}

/* Asks closely for two seconds, which is what a boot takes, before leaving it to the engine. */
static int machine_ready(void *ctx, const struct kc_task *task, const json_t *actual,
			 struct kc_err *err)
{
	const char *address = kc_json_get_str(actual, "address", "");
	int64_t deadline = kc_now_ms() + 2000;
	const struct local *l = ctx;

	if (!kc_json_get_bool(actual, "running", false))
		return kc_fail(err, KC_EFAIL,
			       "machine %s stopped while it booted: see %s/machines/%s/console.log",
			       name_of(task), l->dir, name_of(task));
	for (;;) {
		if (greet(address, deadline) == 0)
			return 0;
		if (kc_now_ms() > deadline || (task->canceled && task->canceled(task)))
			return kc_fail(err, KC_EAGAIN, "no SSH server at %s yet", address);
		kc_sleep_ms(20);
	}
}

/* Renamed before it is emptied, so that load() never meets half a folder. */
static int discard(const struct local *l, const char *name, struct kc_err *err)
{
	_cleanup_free_ char *dir = dir_of(l, name);
	_cleanup_free_ char *gone = xasprintf("%s/machines/.gone-%s", l->dir, name);
	int r;

	r = kc_rm_rf(gone, err);
	if (r == 0 && rename(dir, gone) < 0 && errno != ENOENT)
		r = kc_fail_errno(err, errno, "%s", dir);
	return r < 0 ? r : kc_rm_rf(gone, err);
}

static int machine_remove(void *ctx, const struct kc_task *task, const json_t *actual,
			  struct kc_err *err)
{
	const struct local *l = ctx;
	const char *name = name_of(task);
	_cleanup_free_ char *dir = dir_of(l, name);
	json_auto_t *machine = NULL;
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r < 0 || !exists)
		return r;
	r = load(l, name, &machine, err);
	if (r == 0 && machine)
		r = local_runtime_stop(dir, machine, err);
	if (r == 0)
		r = discard(l, name, err);
	if (r < 0)
		return kc_wrap(err, "machine %s", name);
	local_dir_drop(l);
	return 0;
}

static int machine_list(void *ctx, const char *owner, json_t **ret_by_id, struct kc_err *err)
{
	const struct local *l = ctx;
	_cleanup_free_ char *dir = dir_of(l, "");
	json_auto_t *names = local_names_in(dir, ""), *out = json_object();
	const json_t *v;
	size_t i;

	json_array_foreach(names, i, v) {
		_cleanup_free_ char *id = xasprintf("local/machine/%s", json_string_value(v));
		const struct kc_task task = { .id = id, .owner = owner };
		json_t *actual = NULL;
		int r = machine_find(ctx, &task, &actual, err);

		if (r < 0)
			return r;
		if (actual)
			json_object_set_new(out, id, actual);
	}
	*ret_by_id = TAKE(out);
	return 0;
}

const struct kc_kind local_machine_kind = {
	.name = "local/machine",
	.immutable = (const char *const[]){ "hostname", NULL },
	.list = machine_list,
	.find = machine_find,
	.apply = machine_apply,
	.ready = machine_ready,
	.remove = machine_remove,
};
