#include "bootstrap/node/facts_net.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

#define VXLAN_OVERHEAD 50 /* outer Ethernet, IPv4, UDP, VXLAN: RFC 7348 */

/* The interface of 0.0.0.0/0 in /proc/net/route with the lowest metric. Owned, or NULL. */
static char *default_interface(void)
{
	_cleanup_free_ char *text = NULL;
	unsigned best = ~0u;
	char *save = NULL, *name = NULL;

	if (kc_file_read("/proc/net/route", 4u << 20, &text, NULL, NULL) < 0 || !text)
		return NULL;
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		char dev[IF_NAMESIZE];
		unsigned dest, mask, metric;

		if (sscanf(l, "%15s %x %*x %*x %*d %*d %u %x", dev, &dest, &metric, &mask) != 4 ||
		    dest || mask || metric >= best)
			continue;
		best = metric;
		free(name);
		name = xstrdup(dev);
	}
	return name;
}

static long mtu_of(const char *name)
{
	_cleanup_free_ char *path = xasprintf("/sys/class/net/%s/mtu", name), *text = NULL;

	if (kc_file_read(path, 64, &text, NULL, NULL) < 0 || !text)
		return 1500;
	return strtol(text, NULL, 10);
}

static json_t *interface(json_t *list, const char *name)
{
	json_t *i;
	size_t n;

	json_array_foreach(list, n, i)
		if (streq(kc_json_get_str(i, "name", ""), name))
			return i;
	i = kc_pack("{s:s, s:s, s:I, s:[]}", "name", name, "mac", "", "mtu",
		    (json_int_t)mtu_of(name), "addresses");
	json_array_append_new(list, i);
	return i;
}

static int prefix_of(const struct sockaddr *mask)
{
	const unsigned char *b;
	int bits = 0, len;

	if (!mask)
		return 0;
	if (mask->sa_family == AF_INET6) {
		b = (const unsigned char *)&((const struct sockaddr_in6 *)mask)->sin6_addr;
		len = 16;
	} else {
		b = (const unsigned char *)&((const struct sockaddr_in *)mask)->sin_addr;
		len = 4;
	}
	for (int i = 0; i < len; i++)
		bits += __builtin_popcount(b[i]);
	return bits;
}

static void add_one(json_t *list, const struct ifaddrs *a)
{
	json_t *i = interface(list, a->ifa_name);
	char text[INET6_ADDRSTRLEN] = "";
	char mac[18];

	if (a->ifa_addr->sa_family == AF_PACKET) {
		const struct sockaddr_ll *ll = (const struct sockaddr_ll *)a->ifa_addr;
		const unsigned char *m = ll->sll_addr;

		/* Tunnels (WireGuard, ...) have none, or one that means nothing to others. */
		if (ll->sll_hatype != ARPHRD_ETHER || ll->sll_halen != 6)
			return;
		snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3],
			 m[4], m[5]);
		json_object_set_new(i, "mac", json_string(mac));
		return;
	}
	if (a->ifa_addr->sa_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, text,
			  sizeof(text));
	else if (a->ifa_addr->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)a->ifa_addr)->sin6_addr, text,
			  sizeof(text));
	if (*text)
		json_array_append_new(json_object_get(i, "addresses"),
				      kc_pack("{s:s, s:i}", "address", text, "prefix",
					      prefix_of(a->ifa_netmask)));
}

/*
 * Of a machine, not of what runs on it: bridge ports and containers' ends have no address but
 * fe80::, and share or change their MACs.
 */
static void drop_ports(json_t *list, const char *dev)
{
	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *link = json_array_get(list, i), *a;
		bool keep = dev && streq(kc_json_get_str(link, "name", ""), dev);
		size_t n;

		json_array_foreach(json_object_get(link, "addresses"), n, a)
			keep |= !kc_startswith(kc_json_get_str(a, "address", ""), "fe80:");
		if (!keep)
			json_array_remove(list, i);
	}
}

void kc_node_facts_net(json_t *facts)
{
	_cleanup_free_ char *dev = default_interface();
	json_t *list = json_array();
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) == 0) {
		for (struct ifaddrs *a = all; a; a = a->ifa_next)
			if (a->ifa_addr && !(a->ifa_flags & IFF_LOOPBACK))
				add_one(list, a);
		freeifaddrs(all);
	}
	drop_ports(list, dev);
	json_object_set_new(facts, "links", list);
	json_object_set_new(facts, "defaultInterface", json_string(dev ? dev : ""));
	json_object_set_new(facts, "podMTU",
			    json_integer((dev ? mtu_of(dev) : 1500) - VXLAN_OVERHEAD));
}
