/* Kernel settings and modules. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/netlink.h>
#include <unistd.h>

#include "bootstrap/node/kinds.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define TEXT_MAX (1u << 20)

/* PROC_SYS/net/ipv4/ip_forward of "net.ipv4.ip_forward". Owned. */
static char *sysctl_path(const struct kc_node_host *h, const char *key)
{
	char *path = xasprintf("%s/%s", h->proc_sys, key);

	for (char *p = path + strlen(h->proc_sys); *p; p++)
		if (*p == '.')
			*p = '/';
	return path;
}

static int sysctl_read(const struct kc_node_host *h, const char *key, char **ret,
		       struct kc_err *err)
{
	_cleanup_free_ char *path = sysctl_path(h, key), *text = NULL;
	size_t len;
	int r = kc_file_read(path, TEXT_MAX, &text, &len, err);

	if (r < 0)
		return r;
	text = text ? text : xstrdup("");
	while (len && strchr(" \t\n", text[len - 1]))
		text[--len] = '\0';
	for (char *p = text; *p; p++)
		*p = *p == '\t' ? ' ' : *p;
	*ret = TAKE(text);
	return 0;
}

static int sysctl_write(const struct kc_node_host *h, const char *key, const char *value,
			struct kc_err *err)
{
	_cleanup_free_ char *path = sysctl_path(h, key);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return kc_fail_errno(err, errno, "sysctl %s=%s", key, value);
	return 0;
}

/* Limits ("orMore") may be higher than we ask; where it cannot be written, higher must do. */
static bool sufficient(const struct kc_node_host *h, const struct kc_task *t, const char *key,
		       const char *have, const char *want)
{
	_cleanup_free_ char *path = sysctl_path(h, key);
	bool more_will_do = kc_json_get_bool(t->want, "orMore", false) || access(path, W_OK) < 0;
	long a, b;

	return more_will_do && kc_parse_long(have, 2, 0x7fffffffffffffff, &a) &&
	       kc_parse_long(want, 2, 0x7fffffffffffffff, &b) && a >= b;
}

static int sysctl_find(void *ctx, const struct kc_task *t, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_free_ char *have = NULL, *note = NULL;
	json_auto_t *was = NULL;
	const char *key, *want;
	int r;

	r = kc_node_need(t, NULL, "key", &key, err);
	if (r == 0)
		r = sysctl_read(ctx, key, &have, err);
	if (r == KC_ENOTFOUND)
		return 0;
	if (r < 0)
		return r;
	want = kc_node_str(t, NULL, "value");
	*ret_actual = kc_pack("{s:s, s:s}", "key", key, "value",
			      want && sufficient(ctx, t, key, have, want) ? want : have);
	note = xasprintf("sysctl:%s", key);
	was = kc_host_before(ctx, note);
	if (was)
		json_object_set(*ret_actual, "previous", was);
	if (json_object_get(t->want, "orMore")) /* how we compare, not what is there */
		json_object_set(*ret_actual, "orMore", json_object_get(t->want, "orMore"));
	return 0;
}

static int sysctl_apply(void *ctx, const struct kc_task *t, const json_t *actual,
			const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_free_ char *note = NULL;
	const char *key, *value;
	int r;

	r = kc_node_need(t, NULL, "key", &key, err);
	if (r == 0)
		r = kc_node_need(t, NULL, "value", &value, err);
	if (r < 0)
		return r;
	if (!actual)
		return kc_fail(err, KC_EFAIL,
			       "sysctl %s: this kernel has no such setting; load the module it "
			       "belongs to",
			       key);
	note = xasprintf("sysctl:%s", key);
	r = kc_host_note(ctx, note, json_object_get(actual, "value"), err);
	if (r == 0)
		r = sysctl_write(ctx, key, value, err);
	return r < 0 ? r : sysctl_find(ctx, t, ret_actual, err);
}

static int sysctl_remove(void *ctx, const struct kc_task *t, const json_t *actual,
			 struct kc_err *err)
{
	_cleanup_free_ char *note = NULL;
	json_auto_t *was = NULL;
	const char *key;
	int r;

	r = kc_node_need(t, actual, "key", &key, err);
	if (r < 0)
		return r;
	note = xasprintf("sysctl:%s", key);
	was = kc_host_before(ctx, note);
	if (!json_is_string(was))
		return 0;
	r = sysctl_write(ctx, key, json_string_value(was), err);
	return r < 0 && r != KC_ENOTFOUND ? r : kc_host_unnote(ctx, note, err);
}

const struct kc_kind kc_node_sysctl = {
	.name = "sysctl",
	.immutable = (const char *const[]){ "key", NULL },
	.find = sysctl_find,
	.apply = sysctl_apply,
	.remove = sysctl_remove,
};

/* A word of its own in a file of /proc, whatever the columns. */
static bool word_in(const char *path, const char *word)
{
	_cleanup_free_ char *text = NULL;
	size_t n = strlen(word);

	if (kc_file_read(path, TEXT_MAX, &text, NULL, NULL) < 0 || !text)
		return false;
	for (const char *p = text; (p = strstr(p, word)); p += n)
		if ((p == text || strchr("\t\n ", p[-1])) && strchr("\t\n ", p[n]))
			return true;
	return false;
}

/* In a container /proc/modules may be another kernel's view: try the feature itself. */
static bool works(const char *name)
{
	char *out = NULL;
	int r = -1, fd;

	if (streq(name, "nf_tables")) {
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
		if (fd < 0)
			return false;
		close(fd);
		r = kc_runl(&out, NULL, "nft", "list", "tables", NULL);
	} else if (streq(name, "vxlan")) {
		/* A probe that leaves no trace: in a network namespace that ends with it. */
		r = kc_runl(&out, NULL, "unshare", "-n", "ip", "link", "add", "kcprobe", "type",
			    "vxlan", "id", "1", "dstport", "8472", "local", "127.0.0.1", NULL);
	}
	free(out);
	return r == 0;
}

static bool module_there(const char *name)
{
	_cleanup_free_ char *sys = xasprintf("/sys/module/%s", name);

	return word_in("/proc/modules", name) || kc_exists(sys) ||
	       word_in("/proc/filesystems", name) || works(name);
}

static int module_find(void *ctx, const struct kc_task *t, json_t **ret_actual, struct kc_err *err)
{
	const char *name;
	int r = kc_node_need(t, NULL, "name", &name, err);

	if (r < 0 || !module_there(name))
		return r;
	*ret_actual = kc_pack("{s:s}", "name", name);
	return 0;
}

static int module_apply(void *ctx, const struct kc_task *t, const json_t *actual,
			const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	_cleanup_free_ char *out = NULL;
	const char *name;
	int r;

	r = kc_node_need(t, NULL, "name", &name, err);
	if (r < 0)
		return r;
	r = kc_runl(&out, err, "modprobe", name, NULL);
	if (r < 0)
		return kc_wrap(err, "kernel module %s is needed and cannot be loaded", name);
	*ret_actual = kc_pack("{s:s}", "name", name);
	return 0;
}

/* A loaded module harms nobody, and others may have come to need it. */
static int module_remove(void *ctx, const struct kc_task *t, const json_t *actual,
			 struct kc_err *err)
{
	return 0;
}

const struct kc_kind kc_node_module = {
	.name = "module",
	.immutable = (const char *const[]){ "name", NULL },
	.find = module_find,
	.apply = module_apply,
	.remove = module_remove,
};
