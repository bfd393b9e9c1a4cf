/*
 * Is a program up? Asked without any library: a connection, or one line of HTTP.
 *
 *	{"http": "http://127.0.0.1:10248/healthz"}   a 2xx answer
 *	{"tcp": "127.0.0.1:6443"}  {"unix": "/run/x.sock"}   somebody accepts
 *	{"file": "/run/ready"}                        it is there
 */
#ifndef KC_NODE_PROBE_H
#define KC_NODE_PROBE_H

#include <jansson.h>
#include <sys/socket.h>

#include "lib/base/err.h"

/* 0: it answers; KC_EAGAIN with why: not yet; KC_EINVAL: no such probe. Takes at most a second. */
int kc_node_probe(const json_t *probe, struct kc_err *err);

/* The body of a 2xx answer of at most max bytes; errors as above. ret_body may be NULL. Owned. */
int kc_node_http(const char *url, size_t max, char **ret_body, struct kc_err *err);

/* A connected socket that does not block. KC_EAGAIN: nobody accepts within a second. */
int kc_node_dial(const char *at, int *ret_fd, struct kc_err *err);

/* "192.0.2.1:6443", "[2001:db8::1]:6443" to a socket address; no name lookup. */
int kc_node_sockaddr(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
		     struct kc_err *err);

#endif
