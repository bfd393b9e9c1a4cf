/* Can we get at the host, and it at the others? */
#include <string.h>

#include "bootstrap/why_priv.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

static const char *ssh_error(const struct kc_why_look *l, int *ret_code)
{
	const json_t *e = json_object_get(l->host, "error");

	*ret_code = e ? (int)kc_json_get_int(e, "code", KC_EFAIL) : 0;
	return kc_json_get_str(e, "message", "");
}

bool why_ssh_unreachable(const struct kc_why_look *l, struct kc_why_finding *f)
{
	int code;
	const char *why = ssh_error(l, &code);

	return (code == KC_EAGAIN || code == KC_ETIMEOUT) &&
	       why_found(f,
			 "start the machine, or correct its address and the firewalls before it; "
			 "try it with ssh",
			 "%s", why);
}

static bool about_host_key(const char *why)
{
	return strstr(why, "host key") || strstr(why, "HOST KEY") || strstr(why, "known_hosts");
}

bool why_ssh_host_key(const struct kc_why_look *l, struct kc_why_finding *f)
{
	int code;
	const char *why = ssh_error(l, &code);

	return code && about_host_key(why) &&
	       why_found(f, "compare it with the host's own (ssh-keyscan, its console)", "%s", why);
}

bool why_ssh_auth(const struct kc_why_look *l, struct kc_why_finding *f)
{
	int code;
	const char *why = ssh_error(l, &code);

	return code == KC_EAUTH && !about_host_key(why) &&
	       why_found(f,
			 "see ssh.user and ssh.identityFile, that the public key is in that user's "
			 "authorized_keys and that only the user may write that file and its "
			 "folder",
			 "%s", why);
}

bool why_ssh_failed(const struct kc_why_look *l, struct kc_why_finding *f)
{
	int code;
	const char *why = ssh_error(l, &code);

	return code && code != KC_EAGAIN && code != KC_ETIMEOUT && code != KC_EAUTH &&
	       !about_host_key(why) && why_found(f, "see -v and --debug ssh", "%s", why);
}

bool why_address(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const char *address = kc_json_get_str(l->host, "address", "");
	const json_t *links = kc_json_at(l->doctor, "facts.links"), *link, *a;
	size_t i, k;

	json_array_foreach(links, i, link)
		json_array_foreach(json_object_get(link, "addresses"), k, a)
			if (streq(kc_json_get_str(a, "address", ""), address))
				return false;
	return json_array_size(links) > 0 && *address &&
	       why_found(f, "give the address back to its interface",
			 "%s is on none of its interfaces", address);
}

static bool no_way(const char *route)
{
	return strstr(route, "nreachable") || strstr(route, "No route") ||
	       strstr(route, "Invalid argument") || strstr(route, "not permitted") ||
	       strstr(route, "denied");
}

/* Through a gateway to an address of a network that the host itself is in. */
static bool detour(const struct kc_why_look *l, const char *route, const char *to)
{
	const json_t *link, *a;
	size_t i, k;

	if (!strstr(route, " via "))
		return false;
	json_array_foreach(kc_json_at(l->doctor, "facts.links"), i, link)
		json_array_foreach(json_object_get(link, "addresses"), k, a) {
			const char *own = kc_json_get_str(a, "address", "");
			const char *dot = strrchr(own, '.');

			/* /24 by hand: wider networks may well be routed within. */
			if (dot && kc_json_get_int(a, "prefix", 0) == 24 &&
			    strncmp(own, to, (size_t)(dot - own + 1)) == 0)
				return true;
		}
	return false;
}

bool why_route(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "reach"), i, r) {
		const char *route = kc_json_get_str(r, "route", ""),
			   *to = kc_json_get_str(r, "address", "");

		if (kc_json_get_bool(r, "ok", true))
			continue;
		if (no_way(route) || detour(l, route, to))
			return why_found(f, "see `ip route` there, and remove or mend that route",
					 "it has no way to %s: %.300s", to, route);
	}
	return false;
}

bool why_port_blocked(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(l->doctor, "reach"), i, r) {
		const char *why = kc_json_get_str(r, "why", "");

		/* Refused by a server that is down is that server's own story. */
		if (kc_json_get_bool(r, "ok", true) || (!l->api_up && strstr(why, "refused")))
			continue;
		return why_found(f, "open it in the firewalls of both hosts and between them",
				 "it cannot connect to the API server: %.300s", why);
	}
	return false;
}

bool why_nameserver(const struct kc_why_look *l, struct kc_why_finding *f)
{
	const json_t *v;
	size_t i;

	/* Hosts without a way to the Internet have none that answers, and need none. */
	if (l->ready && !json_array_size(json_object_get(l->api, "pods")))
		return false;
	json_array_foreach(json_object_get(l->doctor, "nameservers"), i, v)
		if (!kc_json_get_bool(v, "ok", true))
			return why_found(f,
					 "name one that answers in /etc/resolv.conf; names outside "
					 "of the cluster do not resolve until then",
					 "its name server %s: %s",
					 kc_json_get_str(v, "address", "?"),
					 kc_json_get_str(v, "why", "?"));
	return false;
}
