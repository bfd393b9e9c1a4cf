/*
 * The verb reach: which of the other hosts' ports can this host's packets reach?
 *
 *   question: {"token": 32 hex digits, "ms": 1500, "self": 0, "expect": 4,
 *              "listen": [{"port": 6443}, {"port": 8472, "udp": true}],
 *              "peers":  [{"name": "cp1", "address": "192.0.2.11", "port": 6443,
 *                          "udp": false, "serves": false}]}
 *   answer:   {"format", "failed": [{"peer": i, "why"}]}            i: index into peers
 *
 * Before a cluster there is nothing on these ports, so every host listens on
 * those that are free and all hosts probe all others at the same time. A probe
 * sends the token and its sender's number, and counts as passed when they come
 * back: a firewall that refuses in a host's name is not that host. Where the
 * peer serves the port already (serves), being let in is enough. Nothing is
 * changed on the host, and an answer is given only to the token. A host is done
 * when its own probes passed and it has seen the probes it expects, or after ms.
 */
#ifndef KC_NODE_REACH_H
#define KC_NODE_REACH_H

#include <jansson.h>

#include "lib/base/err.h"

int kc_node_reach(const json_t *question, json_t **ret, struct kc_err *err);

#endif
