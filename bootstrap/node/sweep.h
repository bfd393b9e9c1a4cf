/*
 * Putting a host back: for each sort of thing what stands there now (was), and
 * the removal of what was not there then. Used by the teardown kind, in this
 * order: processes, mounts, links, nft tables, paths, cgroups, sysctls.
 *
 * Nothing is found by a program's name: processes by the cgroup that this
 * host's kubelet made for pods, by their program lying in our own folder, and by being
 * descendants of those.
 */
#ifndef KC_NODE_SWEEP_H
#define KC_NODE_SWEEP_H

#include <jansson.h>

#include "lib/base/err.h"

/* true/false: the link, table ("ip kube-proxy") or cgroup exists. */
json_t *kc_sweep_link_was(const char *name);
json_t *kc_sweep_table_was(const char *table);
json_t *kc_sweep_cgroup_was(const char *name);
/* false, or {mode, names: all paths below it, relative}. */
json_t *kc_sweep_path_was(const char *path);
/* The value as text, or false. */
json_t *kc_sweep_sysctl_was(const char *key);

/* Kill what runs in cgroups of these names (keys of the object), and what our runtime started. */
int kc_sweep_processes(const json_t *cgroups, struct kc_err *err);
/* The mount points below (not at) these prefixes. */
json_t *kc_sweep_mounts_were(const json_t *prefixes);
/* Unmount what is there now and was not then. */
int kc_sweep_mounts(const json_t *prefixes, const json_t *were, struct kc_err *err);
/* Each removes the item as far as it was not there before. */
int kc_sweep_link(const char *name, const json_t *was, struct kc_err *err);
/* All links in a named network namespace but lo. */
void kc_sweep_netns(const char *path);
int kc_sweep_table(const char *table, const json_t *was, struct kc_err *err);
int kc_sweep_path(const char *path, const json_t *was, struct kc_err *err);
int kc_sweep_cgroup(const char *name, const json_t *was, struct kc_err *err);
int kc_sweep_sysctl(const char *key, const json_t *was, struct kc_err *err);

#endif
