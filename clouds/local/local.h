/*
 * Lab machines on this host: systemd-nspawn containers that boot Debian 12,
 * then treated exactly as bare metal over SSH.
 *
 *	local/root     this cluster's use of the cached Debian tree, read-only, shared
 *	local/key      the SSH key that the machines accept       -> path, public
 *	local/network  a bridge and a free /24 of 198.18.0.0/15   -> subnet, gateway, bridge
 *	local/machine  overlay, netns, cgroups, a booted Debian   -> address, hostKey, pid, netns
 *
 * Everything lies below /var/lib/kubecdn-local/<cluster>-<uid8>/ (0700), whose
 * file `owner` holds the cluster's uid; a folder without our uid is refused,
 * never touched. Links, namespaces and cgroups are named kc<uid8>..., and a
 * name is written to that folder before the thing is made: what a killed run
 * left behind is found by name. Processes are found by their command line, not
 * by a recorded pid. Needs root, systemd-container, overlayfs, iproute2 and,
 * once, debootstrap; each missing one is one line.
 */
#ifndef KC_CLOUDS_LOCAL_H
#define KC_CLOUDS_LOCAL_H

#include "clouds/cloud.h"

extern const struct kc_cloud kc_cloud_local;

#endif
