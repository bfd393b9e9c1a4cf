/* What the files of this folder share. Contexts do not change after open: every kind is
 * thread-safe; choices that must be unique are made under local_lock(). */
#ifndef KC_CLOUDS_LOCAL_PRIV_H
#define KC_CLOUDS_LOCAL_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "clouds/cloud.h"
#include "lib/base/mem.h"

#define LOCAL_BASE "/var/lib/kubecdn-local"

struct local {
	char *cluster, *uid, *cache;
	char uid8[9];
	char *dir;	     /* LOCAL_BASE/<cluster>-<uid8> */
	char *prefix;	     /* "kc<uid8>": names of links, namespaces, cgroups */
	atomic_bool touched; /* this run made the folder, or wanted to */
};

extern const struct kc_kind local_remains_kind, local_root_kind, local_key_kind, local_network_kind,
	local_machine_kind;

/* dir.c: the cluster's folder and its owner mark. */
int local_lock(int *ret_fd, struct kc_err *err); /* across processes; close to release */
/* *ret_exists false: there is no folder. Without our mark: KC_ECONFLICT. */
int local_dir_check(const struct local *l, bool *ret_exists, struct kc_err *err);
int local_dir_make(struct local *l, struct kc_err *err);
/* What the folder is called before its mark is in it; owned. */
char *local_dir_half(const struct local *l);
/* For list: {id: what find says of it}, of a kind of which there is one. */
int local_list_one(void *ctx, const char *owner, const struct kc_kind *kind, json_t **ret_by_id,
		   struct kc_err *err);
/* Remove the folder once nothing but the mark is left in it; and the base once it is empty. */
void local_dir_drop(const struct local *l);
/* The JSON in a file; *ret stays NULL when the file is absent. */
int local_json_read(const char *path, json_t **ret, struct kc_err *err);
int local_json_write(const char *path, const json_t *v, struct kc_err *err);
int local_write(const char *path, const char *text, mode_t mode, struct kc_err *err);
/* The text without its last newline. */
int local_read(const char *path, char **ret, struct kc_err *err);
/* Unmount everything at and below path; mount points of other trees are not looked at. */
int local_umount(const char *path, struct kc_err *err);
bool local_is_mounted(const char *path);

/* key.c: an ed25519 key pair NAME, NAME.pub in an existing folder. */
int local_keygen(const char *dir, const char *name, const char *comment, struct kc_err *err);
/* "ssh-ed25519 AAAA…" of a public key file, without its comment. */
int local_public_key(const char *path, char **ret, struct kc_err *err);

/* root.c: the tree this cluster's machines use; owned. */
int local_root_path(const struct local *l, char **ret, struct kc_err *err);

/* network.c: {subnet, gateway, bridge, …} as recorded; *ret NULL if there is none. */
int local_network_read(const struct local *l, json_t **ret, struct kc_err *err);

/* cgroup.c: one child cgroup in every hierarchy, so that two kubelets do not share a tree. */
json_t *local_cgroup_paths(const char *name); /* where they would be */
int local_cgroup_make(const json_t *paths, struct kc_err *err);
/* Those of this cluster that are there. */
json_t *local_cgroup_found(const struct local *l);
void local_cgroup_kill(const json_t *paths); /* SIGKILL to whatever is still in them */
int local_cgroup_remove(const json_t *paths, struct kc_err *err);

/* process.c: a machine's container manager, by the root folder in its command line. */
struct local_process {
	pid_t manager, leader; /* systemd-nspawn and the PID 1 in it; 0: none */
};
void local_process_find(const char *rootdir, struct local_process *ret);
/* argv in a session of its own, in the given cgroups, with no open file but log. */
int local_process_start(const char *const *argv, const json_t *cgroups, const char *log,
			struct kc_err *err);
/* KC_EAGAIN: still dying. */
int local_process_kill(const char *rootdir, struct kc_err *err);

/* remains.c: names in dir that start with prefix; those with a dot in front are halves of
 * something.
 */
json_t *local_names_in(const char *dir, const char *prefix);

/* runtime.c: what a running machine consists of beside its folder. */
int local_runtime_start(const struct local *l, const char *dir, json_t *machine,
			struct kc_err *err);
int local_runtime_stop(const char *dir, const json_t *machine, struct kc_err *err);

#endif
