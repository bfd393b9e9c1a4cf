/*
 * What the CLI and the node agent say to each other.
 *
 * The CLI runs `kubecdn-node VERB` over SSH (through `sudo -n` where the user is
 * not root), gives one JSON envelope on standard input, and reads JSON on
 * standard output. Nothing secret is ever in argv or in the environment.
 *
 *   facts              -> {"format", "agent": {version, protocol}, "facts": {…}}  (facts.h)
 *   plan   < envelope  -> {"format", "agent", "facts", "checks": [{id, ok, why, fix}],
 *                          "blobs": [sha256, …] missing here, "plan": [child entries],
 *                          "stats": hashes of files, for the next envelope}
 *   csr    < envelope  -> {"format", "csrs": {task id: PEM}}   makes keys; only what needs issuing
 *   probe  < questions -> {"format", "dns": {ok, why}, "certs": [{path, notAfter}]}   see below
 *   doctor < envelope  -> {"format", "agent", "facts", "checks", …}: evidence, see doctor.h
 *   reach  < questions -> {"format", "failed": [{peer, why}]}   ports of other hosts, see reach.h
 *   recv   < frames    -> {"format", "received": N}            blobs, see below
 *   serve MARK ADDRESS -> "MARK PORT TOKEN"   gives blobs to other hosts, see peer.h
 *   fetch  < question  -> {"format", "fetched": N}   takes blobs from one, see peer.h
 *   apply  < envelope  -> JSON lines: events, then {"result": {…}} or {"error": text, "code": N}
 *   reset  < envelope  -> as apply: everything recorded is removed, then the agent itself
 *   balance --config FILE                                      the API balancer, a service
 *
 * Event: {"event": "begin", "verb", "fence", "pid"} first, then
 *   {"event": "start|progress|done|failed|wait", "task", "kind", "action", "ms", "text", "detail"}.
 * code is one of KC_E* (lib/base/err.h).
 *
 * Versions: plan comes first. An agent refuses an envelope of another protocol (but for reset), the
 * CLI an answer whose agent speaks another one; the agent that is installed is replaced whenever
 * its hash is not that of the one beside the CLI, so the two only differ in a mixed installation.
 *
 * Envelope:
 *   {"format": 1, "protocol": 2, "uid": "…", "fence": 7, "cluster": "fra1",
 *    "deep": false,                        true: hash every blob, whatever its stat says
 *    "node": {"name": "w1", "addresses": ["192.0.2.12"], "role": "worker", "taints": [ … ], …},
 *    "spec": {"format": 1, "checks": [ … ], "tasks": [ … ]}    the NodeSpec: equal for all nodes of
 *                                                              a group; reset needs none
 *    "stats": {…},                         as a plan on this host answered in this run: what was
 *                                          hashed then and has the same size, times and inode now
 *                                          is not hashed again; optional
 *    "hmacKey": "64 hex digits",           this node's, derived from the cluster's state key; null:
 *                                          there is none yet (a preview), secrets count as unknown
 *    "secrets": {"pki/ca.crt": {"version": 1, "value": "PEM"}},   null: not generated yet (a
 * preview) "certs": {"cert/kubelet": "PEM"}}     apply only: issued for this node's CSRs
 *
 * {"$fact": "a.b"} in the spec is looked up in "node" first (so names and
 * addresses come from the inventory), then in the host's own facts.
 * {"$secret": "name"} is looked up in "secrets"; records and plans hold
 * {"secret": name, "version": N, "hmac": …} instead of the bytes. The key of these HMACs is the
 * operator's: it comes with each envelope and is not kept on the host, so that what is recorded
 * here says nothing to whoever reads it.
 *
 * probe says what only the host itself can say of the cluster's health, and changes nothing there:
 *   {"dns": {"server": "10.96.0.10", "name": "kubernetes.default.svc.cluster.local."},
 *    "certs": ["/var/lib/kubelet/pki/kubelet-client-current.pem"]}
 * dns: one question over UDP port 53 from the host's own network, so through kube-proxy's rules
 * there; at most a second. certs: the certificates that the host's record says were issued for it,
 * and then those asked for; notAfter in seconds since 1970, null for what cannot be read.
 *
 * rejoin restarts the kubelet, for a Node that somebody deleted.
 *
 * recv reads frames: one line of JSON {"sha256": compressed hash, "size": bytes} then that many
 * bytes, until end of file; each is hashed while it is written to /var/lib/kubecdn/blobs/ (0600),
 * and only renamed into place when its hash is right.
 *
 * serve gives what recv or fetch left there, over TCP on the node's address, for as long as its
 * input is open, which is at most as long as the SSH connection lasts. An agent without these two
 * verbs (exit 64) is sent all by recv, so the protocol's number is the same.
 *
 * apply and reset hold /run/kubecdn/lock, refuse a fence lower than the highest seen and another
 * uid than the marker's (/var/lib/kubecdn/marker.json {uid, cluster, fence}), and run as the
 * transient unit kubecdn-apply, which survives the loss of SSH; the same fence attaches to it, a
 * higher one stops it first.
 */
#ifndef KC_NODE_PROTOCOL_H
#define KC_NODE_PROTOCOL_H

#define KC_NODE_PROTOCOL 2
/* reset's envelope has not changed since this one: an agent of any release puts its host back. */
#define KC_NODE_RESET_PROTOCOL 1
#define KC_NODE_FORMAT	       1

/* Where things stand on a host. */
#define KC_NODE_STATE  "/var/lib/kubecdn"
#define KC_NODE_BLOBS  "/var/lib/kubecdn/blobs"
#define KC_NODE_MARKER "/var/lib/kubecdn/marker.json"
#define KC_NODE_RUN    "/run/kubecdn"
#define KC_NODE_AGENT  "/opt/kubecdn/bin/kubecdn-node"
#define KC_NODE_UNIT   "kubecdn-apply"
#define KC_NODE_BIN    "/opt/kubecdn/bin"

/* Exit codes of the agent beside 0 and 1. */
#define KC_NODE_EXIT_USAGE   64
#define KC_NODE_EXIT_FENCED  75 /* a newer operator holds this host */
#define KC_NODE_EXIT_FOREIGN 76 /* the host belongs to another cluster */

#endif
