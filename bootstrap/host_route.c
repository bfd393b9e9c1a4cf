/* The API server of a host that is reached through a bastion: through the host's own sshd. */
#include <string.h>

#include "bootstrap/hosts_priv.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/ssh_forward.h"

enum { API_PORT = 6443 };

struct kc_route {
	struct kc_hosts *hosts;
	json_t *ssh;   /* a copy: sessions are opened in another thread */
	char *address; /* of the API server, as the host sees it */
	struct kc_ssh_forward *forward;
	struct kc_route *next;
};

static int open_session(void *cookie, bool hop, struct kc_ssh **ret, struct kc_err *err)
{
	struct kc_route *route = cookie;

	return host_connect(route->hosts, route->ssh, hop, ret, err);
}

static int dial(void *cookie, int *ret_fd, struct sockaddr_in *ret_to, struct kc_err *err)
{
	struct kc_route *route = cookie;

	return kc_ssh_forward_dial(route->forward, route->address, API_PORT, ret_fd, ret_to, err);
}

/*
 * By what the manifest says and not by trying: a direct connection that a firewall drops takes
 * seconds to fail, and whether it works would decide how each request goes.
 */
static bool needs_route(const json_t *ssh)
{
	/* ssh_config may name a jump host that we do not see. */
	return *kc_json_get_str(ssh, "bastion", "") || host_by_openssh(ssh);
}

static struct kc_route *find(struct kc_hosts *h, const json_t *ssh, const char *address)
{
	for (struct kc_route *r = h->routes; r; r = r->next)
		if (streq(r->address, address) && json_equal(r->ssh, ssh))
			return r;
	return NULL;
}

void kc_hosts_route(struct kc_hosts *h, const json_t *ssh, const char *address,
		    int (**ret_dial)(void *cookie, int *ret_fd, struct sockaddr_in *ret_to,
				     struct kc_err *err),
		    void **ret_cookie)
{
	struct kc_route *route;

	if (!needs_route(ssh))
		return;
	pthread_mutex_lock(&h->lock);
	route = find(h, ssh, address);
	if (!route) {
		route = xcalloc(1, sizeof(*route));
		route->hosts = h;
		route->ssh = json_deep_copy(ssh);
		route->address = xstrdup(address);
		route->forward = kc_ssh_forward_new(open_session, route);
		route->next = h->routes;
		h->routes = route;
	}
	pthread_mutex_unlock(&h->lock);
	*ret_dial = dial;
	*ret_cookie = route;
}

void host_routes_free(struct kc_route *list)
{
	while (list) {
		struct kc_route *next = list->next;

		kc_ssh_forward_free(list->forward);
		json_decref(list->ssh);
		free(list->address);
		free(list);
		list = next;
	}
}
