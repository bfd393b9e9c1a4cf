#include "bootstrap/nodespec.h"

#include <libgen.h>
#include <string.h>

#include "bootstrap/nodespec_priv.h"
#include "lib/base/addr.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { LEAF_SECONDS = 365 * 86400 };

json_t *fact(const char *name)
{
	return kc_pack("{s:s}", "$fact", name);
}

json_t *secret(const char *name)
{
	return kc_pack("{s:s}", "$secret", name);
}

json_t *joined(const char *separator, json_t *list)
{
	return kc_pack("{s:[s,o]}", "$join", separator, list);
}

json_t *rev(const char *task)
{
	return kc_pack("{s:o}", "$ref", json_sprintf("%s#rev", task));
}

void add(struct spec *s, const char *id, const char *kind, json_t *want, json_t *after)
{
	json_array_append_new(s->tasks,
			      kc_pack("{s:s, s:s, s:o, s:o}", "id", id, "kind", kind, "want", want,
				      "after", after ? after : json_array()));
}

json_t *cipher_suites(void)
{
	return kc_pack("[s, s, s, s]", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
		       "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
		       "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		       "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
}

/* The task of the directory that path lies in, if this spec makes that directory. */
static json_t *after_dir(const struct spec *s, const char *path)
{
	_cleanup_free_ char *copy = xstrdup(path), *id = NULL;
	json_t *task, *after = json_array();
	size_t i;

	id = xasprintf("dir%s", dirname(copy));
	json_array_foreach(s->tasks, i, task)
		if (streq(kc_json_get_str(task, "id", ""), id))
			json_array_append_new(after, json_string(id));
	return after;
}

void add_dir(struct spec *s, const char *path, const char *mode)
{
	_cleanup_free_ char *id = xasprintf("dir%s", path);
	json_t *after = after_dir(s, path);

	json_array_append_new(after, json_string("teardown"));
	add(s, id, "dir", kc_pack("{s:s, s:s}", "path", path, "mode", mode), after);
}

void add_file(struct spec *s, const char *id, const char *path, const char *mode, json_t *content)
{
	add(s, id, "file",
	    kc_pack("{s:s, s:s, s:o}", "path", path, "mode", mode, "content", content),
	    after_dir(s, path));
}

void add_link(struct spec *s, const char *id, const char *path, const char *target)
{
	add(s, id, "link", kc_pack("{s:s, s:s, s:b}", "path", path, "target", target, "initial", 0),
	    after_dir(s, path));
}

void add_cert(struct spec *s, const struct cert *c)
{
	json_t *want = kc_pack("{s:o, s:o, s:o, s:s, s:[s], s:i, s:b}", "cn", c->cn, "orgs",
			       c->orgs ? c->orgs : json_array(), "sans",
			       c->sans ? c->sans : json_array(), "ca", c->ca, "uses", c->use,
			       "seconds", LEAF_SECONDS, "combined", c->combined);

	if (c->use2)
		json_array_append_new(json_object_get(want, "uses"), json_string(c->use2));
	json_object_set_new(want, "cert", json_sprintf(c->combined ? "%s" : "%s.crt", c->path));
	json_object_set_new(want, "key", json_sprintf(c->combined ? "%s" : "%s.key", c->path));
	add(s, c->id, "cert", want, after_dir(s, c->path));
}

void add_kubeconfig(struct spec *s, const char *name, const char *server, const char *cert,
		    const char *key)
{
	_cleanup_free_ char *id = xasprintf("file/%s.kubeconfig", name),
			    *path = xasprintf("/etc/kubernetes/%s.kubeconfig", name);
	const char *cluster =
		kc_json_get_str(json_object_get(s->env->cluster, "metadata"), "name", "");
	json_t *doc = kc_pack("{s:s, s:s, s:[{s:s, s:{s:s, s:s}}], s:[{s:s, s:{s:s, s:s}}], "
			      "s:[{s:s, s:{s:s, s:s}}], s:s}",
			      "apiVersion", "v1", "kind", "Config", "clusters", "name", cluster,
			      "cluster", "server", server, "certificate-authority", PKI "/ca.crt",
			      "users", "name", name, "user", "client-certificate", cert,
			      "client-key", key, "contexts", "name", name, "context", "cluster",
			      cluster, "user", name, "current-context", name);

	add_file(s, id, path, "0600", kc_pack("{s:o}", "$json", doc));
}

void extra_flags(json_t *flags, const json_t *args)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)args, key, v)
		json_array_append_new(flags, json_sprintf("--%s=%s", key, json_string_value(v)));
}

/* ExecStart= with one flag a line, as people like to read it. */
static json_t *exec_start(const char *program, json_t *flags)
{
	json_t *lines = json_array();

	json_array_append_new(lines, json_string(program));
	json_array_extend(lines, flags);
	json_decref(flags);
	return joined(" \\\n  ", lines);
}

/* The task of the file that a link of the bundle leads to. Owned; NULL: no such link. */
static char *file_of(const struct spec *s, const char *link)
{
	const json_t *component, *target;
	size_t i;

	json_array_foreach(json_object_get(s->env->bundle, "components"), i, component) {
		target = json_object_get(json_object_get(component, "links"), link);
		if (target)
			return xasprintf("blob/%s", json_string_value(target));
	}
	return NULL;
}

/*
 * Units name the one binary that Kubernetes is, and the link to it that they start. In a bundle of
 * separate programs the link leads to its own. Steals ids.
 */
static json_t *as_packed(const struct spec *s, json_t *ids)
{
	json_t *out;
	const json_t *v;
	size_t i;

	if (kc_json_find(s->tasks, "id", "blob/kube"))
		return ids;
	out = json_array();
	json_array_foreach(ids, i, v) {
		const char *id = json_string_value(v);
		_cleanup_free_ char *file = kc_startswith(id, "link/") ? file_of(s, id + 5) : NULL;

		if (!streq(id, "blob/kube"))
			json_array_append_new(out, json_string(id));
		if (file)
			json_array_append_new(out, json_string(file));
	}
	json_decref(ids);
	return out;
}

void add_unit(struct spec *s, const struct unit *u)
{
	_cleanup_free_ char *id = xasprintf("unit/%s", u->name);
	json_t *want, *content, *inputs = json_array(), *from = as_packed(s, u->inputs);
	json_t *after = u->after ? as_packed(s, u->after) : json_array(), *v;
	size_t i;

	json_array_foreach(from, i, v)
		json_array_append_new(inputs, rev(json_string_value(v)));
	json_decref(from);
	content =
		kc_pack("{s:[o, o, s]}", "$cat",
			json_sprintf("[Unit]\nDescription=%s\nAfter=network.target\n"
				     "StartLimitIntervalSec=0\n\n[Service]\nType=%s\n%sExecStart=",
				     u->description, u->type, u->extra ? u->extra : ""),
			exec_start(u->program, u->flags),
			"\nRestart=always\nRestartSec=1\n\n[Install]\nWantedBy=multi-user."
			"target\n");
	want = kc_pack("{s:o, s:o, s:o, s:b, s:b}", "name", json_sprintf("%s.service", u->name),
		       "content", content, "inputs", inputs, "enabled", 1, "active", 1);
	if (u->probe)
		json_object_set_new(want, "probe", u->probe);
	json_array_append_new(after, json_string("teardown"));
	add(s, id, "unit", want, after);
}

int kc_service_address(const json_t *cluster, unsigned n, char out[46], struct kc_err *err)
{
	const json_t *cidrs = kc_json_at(cluster, "spec.networking.serviceCIDRs");
	const char *text = json_string_value(json_array_get(cidrs, 0));
	struct kc_cidr cidr;
	struct kc_addr addr;

	if (!text || !kc_cidr_parse(text, &cidr) || !kc_cidr_nth(&cidr, n, &addr))
		return kc_fail(err, KC_EINVAL,
			       "spec.networking.serviceCIDRs: \"%s\" has no address number %u",
			       text ? text : "", n);
	kc_addr_format(&addr, out);
	return 0;
}

json_t *kc_nodespec_checks(const char *arch, bool cp)
{
	static const char *const plain[][2] = {
		{ "root", "root" },	    { "systemd", "systemd" },  { "swap", "swap" },
		{ "kernel", "kernel" },	    { "usr", "usr-writable" }, { "foreign", "foreign" },
		{ "firewall", "firewall" }, { "selinux", "selinux" },  { "resolver", "resolver" },
	};
	static const char *const programs[][2] = { { "nft", "nftables" },
						   { "mount", "mount" },
						   { "modprobe", "kmod" } };
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		json_array_append_new(list, kc_pack("{s:s, s:s}", "id", plain[i][0], "check",
						    plain[i][1]));
	if (arch)
		json_array_append_new(list, kc_pack("{s:s, s:s, s:s}", "id", "arch", "check",
						    "arch", "arch", arch));
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		json_array_append_new(list, kc_pack("{s:s, s:s, s:s, s:s}", "id", programs[i][0],
						    "check", "program", "name", programs[i][0],
						    "package", programs[i][1]));
	json_array_append_new(list, kc_pack("{s:s, s:s, s:i}", "id", "memory", "check",
					    "min-memory", "mib", cp ? 1500 : 500));
	json_array_append_new(list, kc_pack("{s:s, s:s, s:s, s:i}", "id", "disk", "check", "disk",
					    "path", "/var/lib", "mib", 2000));
	json_array_append_new(list,
			      kc_pack("{s:s, s:s, s:[i, i, i, i, i]}", "id", "ports", "check",
				      "ports-free", "ports", 10250, 10248, 10249, 10256, 7445));
	if (cp) {
		json_t *ports =
			json_object_get(json_array_get(list, json_array_size(list) - 1), "ports");
		json_auto_t *more =
			kc_pack("[i, i, i, i, i, i]", 2379, 2380, 2381, 6443, 10257, 10259);

		json_array_extend(ports, more);
		json_array_append_new(list,
				      kc_pack("{s:s, s:s, s:s, s:s}", "id", "etcd-data", "check",
					      "kept", "task", "unit/etcd", "path", ETCD_DATA));
	}
	return list;
}

int kc_nodespec(const struct kc_nodespec_env *env, const char *role, json_t **ret,
		struct kc_err *err)
{
	json_auto_t *tasks = json_array();
	struct spec s = { .env = env, .tasks = tasks };
	bool cp = streq(role, "control-plane");
	char ip[46];

	if (kc_service_address(env->cluster, 10, ip, err) < 0)
		return KC_EINVAL;
	every_node(&s);
	if (cp)
		control_plane(&s);
	*ret = kc_pack("{s:i, s:o, s:O}", "format", 1, "checks",
		       kc_nodespec_checks(kc_json_get_str(env->bundle, "arch", "amd64"), cp),
		       "tasks", tasks);
	return 0;
}
