/*
 * The API balancer: TCP from a node's own address to the cluster's API servers.
 *
 *   {"listen": ["127.0.0.1:7445", "[::1]:7445"], "backends": ["192.0.2.11:6443"],
 *    "local": "192.0.2.11:6443" or ""}
 *
 *   client --accept--> pick: local, else the healthy one with the fewest connections --> backend
 *
 * One thread, epoll, plain buffers of 32 KiB a direction: a full buffer stops
 * reading, end of file is passed on as a half close. Backends are checked by
 * connecting, every second, and every 50 ms while none is healthy; a client
 * that comes then waits (up to ten seconds) instead of being refused. SIGHUP
 * and a changed file (looked at every second) load the configuration again;
 * connections of a backend that is gone from it are closed.
 */
#ifndef KC_NODE_BALANCE_H
#define KC_NODE_BALANCE_H

#include "lib/base/err.h"

/* Until SIGTERM or SIGINT. Says READY=1 to systemd if asked to ($NOTIFY_SOCKET). */
int kc_balance_run(const char *config, struct kc_err *err);

#endif
