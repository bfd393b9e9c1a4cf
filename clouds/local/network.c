/* local/network: a bridge with a /24 of 198.18.0.0/15 (RFC 2544) that nothing here routes yet. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clouds/local/priv.h"
#include "lib/base/addr.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define NETS 512 /* /24 blocks in 198.18.0.0/15 */

int local_network_read(const struct local *l, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/network.json", l->dir);

	return local_json_read(path, ret, err);
}

/* Is the bridge up with its gateway address? */
static bool is_up(const char *bridge, const char *gateway)
{
	struct ifaddrs *all, *i;
	bool up = false;

	if (getifaddrs(&all) < 0)
		return false;
	for (i = all; i && !up; i = i->ifa_next) {
		char text[INET_ADDRSTRLEN] = "";

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
		    !streq(i->ifa_name, bridge) || !(i->ifa_flags & IFF_UP))
			continue;
		inet_ntop(AF_INET, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, text,
			  sizeof(text));
		up = streq(text, gateway);
	}
	freeifaddrs(all);
	return up;
}

static int network_find(void *ctx, const struct kc_task *task, json_t **ret_actual,
			struct kc_err *err)
{
	const struct local *l = ctx;
	json_auto_t *net = NULL;
	const char *bridge, *gateway;
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r == 0 && exists)
		r = local_network_read(l, &net, err);
	if (r < 0 || !net)
		return r;
	r = kc_json_str(net, "network.json", "bridge", &bridge, err);
	if (r == 0)
		r = kc_json_str(net, "network.json", "gateway", &gateway, err);
	if (r < 0)
		return r;
	json_object_set_new(net, "up", json_boolean(is_up(bridge, gateway)));
	*ret_actual = TAKE(net);
	return 0;
}

/* Blocks that a route or another cluster's network (perhaps stopped) takes. */
static int taken(json_t **ret, struct kc_err *err)
{
	json_auto_t *routes = NULL, *cidrs = json_array();
	_cleanup_free_ char *text = NULL;
	struct dirent *e;
	json_t *route;
	size_t i;
	DIR *d;
	int r;

	r = kc_runl(&text, err, "ip", "-j", "-4", "route", "show", "table", "all", NULL);
	if (r == 0)
		r = kc_json_parse(text, strlen(text), "ip route", &routes, err);
	if (r < 0)
		return r;
	json_array_foreach(routes, i, route)
		json_array_append_new(cidrs, json_string(kc_json_get_str(route, "dst", "default")));
	d = opendir(LOCAL_BASE);
	while (d && (e = readdir(d))) {
		_cleanup_free_ char *path = xasprintf("%s/%s/network.json", LOCAL_BASE, e->d_name);
		json_auto_t *net = NULL;

		if (local_json_read(path, &net, NULL) == 0 && net)
			json_array_append_new(cidrs,
					      json_string(kc_json_get_str(net, "subnet", "")));
	}
	if (d)
		closedir(d);
	*ret = TAKE(cidrs);
	return 0;
}

static bool is_free(const json_t *cidrs, const struct kc_cidr *candidate)
{
	const json_t *v;
	size_t i;

	json_array_foreach(cidrs, i, v) {
		_cleanup_free_ char *text =
			xasprintf(strchr(json_string_value(v), '/') ? "%s" : "%s/32",
				  json_string_value(v));
		struct kc_cidr c;

		if (kc_cidr_parse(text, &c) && c.prefix > 0 && kc_cidr_overlap(&c, candidate))
			return false;
	}
	return true;
}

/* The first free block from a place that the uid decides, so that clusters seldom meet. */
static int choose(const struct local *l, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *bridge = xstrdup(l->prefix);
	json_auto_t *cidrs = NULL;
	unsigned start = 0;
	int r;

	for (const char *p = l->uid8; *p; p++)
		start = (start * 31 + (unsigned char)*p) % NETS;
	r = taken(&cidrs, err);
	if (r < 0)
		return r;
	if (if_nametoindex(bridge))
		return kc_fail(err, KC_ECONFLICT,
			       "a link %s exists that this cluster did not make: remove it",
			       bridge);
	for (unsigned i = 0; i < NETS; i++) {
		unsigned n = (start + i) % NETS;
		_cleanup_free_ char *net = xasprintf("198.%u.%u", 18 + n / 256, n % 256);
		_cleanup_free_ char *subnet = xasprintf("%s.0/24", net);
		_cleanup_free_ char *gateway = xasprintf("%s.1", net);
		struct kc_cidr c;

		if (!kc_cidr_parse(subnet, &c) || !is_free(cidrs, &c))
			continue;
		*ret = kc_pack("{s:s, s:s, s:s, s:s}", "subnet", subnet, "gateway", gateway,
			       "bridge", bridge, "net", net);
		return 0;
	}
	return kc_fail(err, KC_ECONFLICT,
		       "no free /24 left in 198.18.0.0/15: delete a cluster or a route");
}

/* The choice is durable before the bridge is made: its name in the file makes it ours. */
static int decide(const struct local *l, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/network.json", l->dir);
	json_auto_t *net = NULL;
	_cleanup_close_ int lock = -1;
	int r;

	r = local_lock(&lock, err);
	if (r == 0)
		r = local_network_read(l, &net, err);
	if (r == 0 && !net) {
		r = choose(l, &net, err);
		if (r == 0)
			r = local_json_write(path, net, err);
	}
	if (r < 0)
		return r;
	*ret = TAKE(net);
	return 0;
}

static int network_apply(void *ctx, const struct kc_task *task, const json_t *actual,
			 const json_t *changes, json_t **ret_actual, struct kc_err *err)
{
	struct local *l = ctx;
	_cleanup_free_ char *cidr = NULL;
	json_auto_t *net = NULL;
	const char *bridge;
	int r;

	r = local_dir_make(l, err);
	if (r == 0)
		r = decide(l, &net, err);
	if (r < 0)
		return r;
	bridge = kc_json_get_str(net, "bridge", "");
	cidr = xasprintf("%s/24", kc_json_get_str(net, "gateway", ""));
	if (!if_nametoindex(bridge))
		r = kc_runl(NULL, err, "ip", "link", "add", bridge, "type", "bridge", NULL);
	if (r == 0)
		r = kc_runl(NULL, err, "ip", "addr", "replace", cidr, "dev", bridge, NULL);
	if (r == 0)
		r = kc_runl(NULL, err, "ip", "link", "set", bridge, "up", NULL);
	if (r < 0)
		return kc_wrap(err, "bridge %s", bridge);
	return network_find(ctx, task, ret_actual, err);
}

static int network_remove(void *ctx, const struct kc_task *task, const json_t *actual,
			  struct kc_err *err)
{
	const struct local *l = ctx;
	_cleanup_free_ char *path = xasprintf("%s/network.json", l->dir);
	json_auto_t *net = NULL;
	const char *bridge;
	bool exists;
	int r;

	r = local_dir_check(l, &exists, err);
	if (r == 0 && exists)
		r = local_network_read(l, &net, err);
	if (r < 0 || !exists)
		return r;
	bridge = kc_json_get_str(net, "bridge", "");
	if (*bridge && if_nametoindex(bridge)) {
		r = kc_runl(NULL, err, "ip", "link", "del", bridge, NULL);
		if (r < 0 && if_nametoindex(bridge))
			return r;
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return kc_fail_errno(err, errno, "%s", path);
	local_dir_drop(l);
	return 0;
}

static int network_list(void *ctx, const char *owner, json_t **ret_by_id, struct kc_err *err)
{
	return local_list_one(ctx, owner, &local_network_kind, ret_by_id, err);
}

const struct kc_kind local_network_kind = {
	.name = "local/network",
	.list = network_list,
	.find = network_find,
	.apply = network_apply,
	.remove = network_remove,
};
