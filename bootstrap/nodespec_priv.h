/* Shared by the files that make a NodeSpec: a list of tasks under construction. */
#ifndef KC_BOOTSTRAP_NODESPEC_PRIV_H
#define KC_BOOTSTRAP_NODESPEC_PRIV_H

#include <stdbool.h>

#include "bootstrap/nodespec.h"
#include "lib/codec/json.h"

#define PKI  "/etc/kubernetes/pki"
#define CONF "/etc/kubecdn"
#define BIN  "/opt/kubecdn/bin"

/* etcd makes this when it first starts; only it does. */
#define ETCD_DATA "/var/lib/etcd/member0/member"

struct spec {
	const struct kc_nodespec_env *env;
	json_t *tasks;
};

/* Values that the agent fills in. */
json_t *fact(const char *name);
json_t *secret(const char *name);
json_t *joined(const char *separator, json_t *list); /* steals list */
json_t *rev(const char *task);			     /* {"$ref": "TASK#rev"} */

/* Each adds one task; want and values are stolen. Paths' directories are ordered before them. */
void add(struct spec *s, const char *id, const char *kind, json_t *want, json_t *after);
void add_dir(struct spec *s, const char *path, const char *mode);
void add_file(struct spec *s, const char *id, const char *path, const char *mode, json_t *content);
/* TLS 1.2 suites that CIS allows; TLS 1.3 has no choice to make. */
json_t *cipher_suites(void);
void add_link(struct spec *s, const char *id, const char *path, const char *target);

struct cert {
	const char *id, *path; /* PATH.crt and PATH.key; combined: one file PATH */
	const char *ca;
	bool combined;
	json_t *cn, *orgs, *sans; /* stolen; orgs and sans may be NULL */
	const char *use, *use2;	  /* "client", "server"; use2 may be NULL */
};
void add_cert(struct spec *s, const struct cert *c);

/* A kubeconfig whose client certificate is the combined PEM (or PATH.crt, PATH.key) at cert. */
void add_kubeconfig(struct spec *s, const char *name, const char *server, const char *cert,
		    const char *key);

struct unit {
	const char *name; /* "kubelet" */
	const char *description;
	const char *type;    /* systemd's Type= */
	const char *extra;   /* more lines of [Service], or NULL */
	const char *program; /* path */
	json_t *flags;	     /* array of strings or values; stolen */
	json_t *inputs;	     /* array of ids of tasks with a rev; stolen */
	json_t *after;	     /* more ids to wait for, or NULL; stolen */
	json_t *probe;	     /* see the unit kind, or NULL; stolen */
};
void add_unit(struct spec *s, const struct unit *u);

void add_component(struct spec *s, const json_t *component);

/* Append "--key=value" for every member of an object of strings (extraArgs). */
void extra_flags(json_t *flags, const json_t *args);

void control_plane(struct spec *s); /* nodespec_control_plane.c */
void every_node(struct spec *s);    /* nodespec_common.c */

#endif
