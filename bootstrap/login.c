/* Can every host of a manifest be logged in to, now? For doctor; nothing is changed or brought. */
#include <stdlib.h>
#include <string.h>

#include "bootstrap/hosts_priv.h"
#include "bootstrap/session.h"
#include "lib/base/each.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { THREADS_MAX = 32 };

struct visit {
	const json_t *node;
	struct kc_err err;
	int r;
};

struct tour {
	struct session *s;
	struct visit *v;
};

static void visit_host(void *cookie, size_t i)
{
	struct tour *t = cookie;
	struct visit *v = &t->v[i];
	struct kc_ssh *ssh = NULL;

	v->r = host_connect(&t->s->hosts, json_object_get(v->node, "ssh"), false, &ssh, &v->err);
	if (v->r == 0)
		kc_ssh_close(ssh);
}

static json_t *visit_all(struct session *s, const json_t *nodes)
{
	struct tour t = { .s = s };
	json_t *out = json_array();
	size_t n = json_array_size(nodes);

	t.v = xcalloc(n + 1, sizeof(*t.v));
	for (size_t i = 0; i < n; i++)
		t.v[i].node = json_array_get(nodes, i);
	kc_each(n, THREADS_MAX, visit_host, &t);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, kc_pack("{s:s, s:b, s:s}", "name",
						   kc_json_get_str(t.v[i].node, "name", ""), "ok",
						   t.v[i].r == 0, "text",
						   t.v[i].r < 0 ? t.v[i].err.msg : "logged in"));
	free(t.v);
	return out;
}

int kc_cluster_login(const struct kc_cluster_opts *o, const struct kc_cluster_io *io, json_t **ret,
		     struct kc_err *err)
{
	_cleanup_session_ struct session s;
	json_auto_t *tasks = NULL, *nodes = NULL;
	const char *name;
	int r = session_open(&s, o, io, err);

	if (r == 0)
		r = session_load(&s, err);
	if (r < 0)
		return r;
	name = json_string_value(kc_json_at(s.cluster, "spec.cloud"));
	r = session_cloud(&s, name ? name : "", &s.cloud, err);
	if (r == 0) {
		struct kc_cloud_env env = { .cluster = s.name, .uid = "", .cache = s.cache };

		r = s.cloud->model(&env, s.cluster, &tasks, &nodes, err);
	}
	if (r < 0)
		return r;
	s.hosts.cancel = io->cancel;
	s.hosts.phrases = io->phrases;
	s.hosts.phrases_cookie = io->phrases_cookie;
	/* Machines that are made with the cluster are not there to be visited. */
	*ret = json_array_size(tasks) ? json_array() : visit_all(&s, nodes);
	return 0;
}
