/*
 * What a host is: read from /proc, /sys and the kernel, changing nothing.
 *
 * Shape: {"hostname", "machineId", "kernel", "arch" ("amd64", "arm64"), "os": {id, version, name},
 * "cpus", "memoryMiB", "swapMiB", "timeMs", "init": "systemd 252" or "", "container": "" or its
 * kind, "uid", "cgroup": 1|2, "cgroupDriver", "systemdCgroup", "failCgroupV1",
 * "restrictOomScoreAdj", "conntrackReadOnly", "conntrack": kube-proxy's settings for that,
 * "resolvConf", "nameservers": […], "podMTU", "defaultInterface", "links": [{name, mac, mtu,
 * addresses: [{address, prefix}]}], "disks": [{path, freeMiB, totalMiB}], "nft": "1.0.6" or "",
 * "agent": sha256 of the running program}
 *
 * links are those with an address of their own, so not bridge ports. An unreadable source leaves
 * its fact out; the checks say what is wrong then.
 */
#ifndef KC_NODE_FACTS_H
#define KC_NODE_FACTS_H

#include <jansson.h>

json_t *kc_node_facts(void);

#endif
