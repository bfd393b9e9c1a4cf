/*
 * What the rules of why share. A rule looks at one host and says yes, with text and fix, or no.
 *
 *   why_causes.c   the table, in the order in which causes are to be mended
 *   why_reach.c    can we get at the host, and it at the others
 *   why_host.c     the host itself: disk, kernel, clock, addresses
 *   why_node.c     what runs on it: files, certificates, units and their logs; the API's view
 *   why_judge.c    all rules on all hosts, and which finding comes first
 */
#ifndef KC_BOOTSTRAP_WHY_PRIV_H
#define KC_BOOTSTRAP_WHY_PRIV_H

#include <stdint.h>
#include <stdio.h>

#include "bootstrap/why.h"

struct kc_why_look {
	const json_t *evidence, *host, *doctor; /* doctor: NULL if the host could not be asked */
	const json_t *api;
	const char *name; /* of the host's node */
	bool control_plane;
	bool api_up;
	const json_t *node; /* the API's, or NULL */
	bool ready;
};

struct kc_why_finding {
	char text[640], fix[320];
};

/* Fill f and return true, so that `return why_found(…)` reads well. */
#define why_found(f, do_this, ...)                                                                 \
	(snprintf((f)->text, sizeof((f)->text), __VA_ARGS__),                                      \
	 snprintf((f)->fix, sizeof((f)->fix), "%s", do_this), true)

typedef bool why_rule(const struct kc_why_look *l, struct kc_why_finding *f);

/* A preflight check that failed has its own words: in f. */
bool why_check(const struct kc_why_look *l, const char *id, struct kc_why_finding *f);
/* The unit's evidence ("kubelet"), or NULL. */
const json_t *why_unit(const struct kc_why_look *l, const char *name);
/* The newest line of its log that has one of needles (NULL-terminated); borrowed, or NULL. */
const char *why_line(const json_t *unit, const char *const *needles);
/* The record's task that is not on the host as it was written, or NULL. */
const json_t *why_drift(const struct kc_why_look *l, const char *id);
/* Its change at path, or NULL. */
const json_t *why_change(const json_t *drift, const char *path);
/* The cluster's name, for fixes. */
const char *why_cluster(const struct kc_why_look *l);

why_rule why_ssh_unreachable, why_ssh_host_key, why_ssh_auth, why_ssh_failed;
why_rule why_address, why_route, why_port_blocked, why_nameserver, why_resolver;
why_rule why_foreign, why_empty, why_disk_full, why_inodes, why_read_only, why_clock, why_swap,
	why_memory, why_cgroup, why_kernel, why_program, why_capability, why_selinux, why_firewall,
	why_cidr;
why_rule why_port_taken, why_program_damaged, why_cert_expired, why_cert_early, why_cert_broken,
	why_cert_unknown_ca, why_cert_name, why_flag, why_config, why_key_access, why_unit_masked,
	why_unit_stopped, why_etcd_lost, why_etcd_slow, why_etcd_corrupt, why_limits, why_image,
	why_changed, why_unit_failing, why_api_down, why_node_deleted, why_pod_cidr,
	why_pod_network, why_system_pod, why_not_ready;

#endif
