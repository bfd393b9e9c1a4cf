/*
 * Preflight on the host: what must hold before anything is changed. Pure looks.
 *
 * spec.checks: [{"id": "swap", "check": NAME, …}], NAME with its parameters:
 *   swap                                off
 *   ports-free    {ports: […]}          nobody else listens (our own services may)
 *   min-memory    {mib}                 disk {path, mib}: free
 *   kernel                              overlay, vxlan, nf_tables can be used
 *   program       {name, package, min}  in PATH, of that version or later
 *   root                                we are root
 *   firewall                            neither firewalld nor ufw is active
 *   selinux                             not enforcing
 *   usr-writable                        /opt, /etc, /var/lib can be written
 *   foreign                             no other Kubernetes and no other cluster's marker
 *   systemd       {min}                 runs this host, of that version or later
 *   arch          {arch}                of the bundle's programs
 *   kept          {task, path}          what the record says that task made is still there: data
 *                                       that must not silently begin anew
 */
#ifndef KC_NODE_CHECKS_H
#define KC_NODE_CHECKS_H

#include <jansson.h>

#include "lib/base/err.h"

/* [{id, ok, why, fix}] in the order of checks; uid is this cluster's, recorded the tasks of the
 * host's own record or NULL. A check that this agent does not know fails. */
json_t *kc_node_checks(const json_t *checks, const json_t *facts, const char *uid,
		       const json_t *recorded);

#endif
