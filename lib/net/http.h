/*
 * HTTP requests over libcurl.
 *
 *	struct kc_http (TLS material, kept connections) -> kc_http_do(request) -> reply
 *
 * One kc_http is made per peer or API and used from any number of threads;
 * it keeps idle connections. TLS is always verified: against ca_pem, or the
 * system's store when that is NULL. Redirects are not followed. Any HTTP
 * status is a success here (the caller knows what it means); errors are about
 * getting a reply at all: KC_EAGAIN (could not connect, connection lost),
 * KC_ETIMEOUT, KC_EAUTH (certificate refused by either side), KC_EINVAL (URL,
 * reply over its ceiling), KC_ECANCELED. kc_debug("http") shows method, URL
 * without query, status and time; never headers or bodies.
 */
#ifndef KC_NET_HTTP_H
#define KC_NET_HTTP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_http;

struct kc_http_conf {
	const char *ca_pem;		/* trust these only; NULL: the system's */
	const char *cert_pem, *key_pem; /* client certificate, or NULL */
	long connect_timeout_ms;	/* 0: 10 s */
	const char *user_agent;		/* NULL: kubecdn/VERSION */
	bool direct;			/* past the proxy that the environment may name */
	/* Every connection is made with this socket (owned), to there, whatever the URL's host is;
	 * names in certificates are still compared with the URL. Or NULL. */
	int (*dial)(void *cookie, int *ret_fd, struct sockaddr_in *ret_to, struct kc_err *err);
	void *dial_cookie;
	/* Every connection is made to this address (IPv4 or IPv6) and the URL's port, whatever the
	 * URL's host is; names in certificates are still compared with the URL. Or NULL. */
	const char *address;
};

/* conf is copied. */
int kc_http_new(const struct kc_http_conf *conf, struct kc_http **ret, struct kc_err *err);
/* No request may be running. */
void kc_http_free(struct kc_http *h);
KC_DEFINE_CLEANUP(struct kc_http *, kc_http_free)
#define _cleanup_http_ _cleanup_(kc_http_freep)

struct kc_http_req {
	const char *method;	    /* NULL: GET, or POST with a body */
	const char *url;	    /* http:// or https:// */
	const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
	const void *body;	    /* or NULL */
	size_t body_len;
	/* Or the body is body_len bytes of this file (0: none), from body_offset on. */
	int body_fd;
	off_t body_offset;
	long timeout_ms; /* the whole exchange; 0: 30 s */
	/* For what may be long: no end by the clock, but nobody may send less than 1 kB/s for this
	 * time. timeout_ms does not count then; 0: it does. */
	long idle_ms;
	size_t max; /* ceiling of the reply's body; 0: 64 MB */
	/* Takes the body of a 200 or 206 piece by piece instead of the reply; its error is the
	 * call's. Or NULL. */
	int (*sink)(void *sink_cookie, long status, const void *data, size_t len,
		    struct kc_err *err);
	void *sink_cookie;
	bool (*canceled)(void *cookie); /* optional */
	void *cookie;
	/* The peer gets this at most once: on a connection of its own, since what a kept one lost
	 * is sent again. */
	bool once;
	bool *ret_sent; /* set, also on failure: the peer may have got it; or NULL */
};

struct kc_http_reply {
	long status;
	char *body; /* NUL-terminated, never NULL */
	size_t len;
	char **headers; /* "name: value", names in lower case; of the final reply */
	size_t n_headers;
};
void kc_http_reply_done(struct kc_http_reply *r);
#define _cleanup_http_reply_ _cleanup_(kc_http_reply_done)
/* A header's value by its lower-case name, or NULL; borrowed. */
const char *kc_http_header(const struct kc_http_reply *r, const char *name);

/* reply is filled on success only; what it held before is not freed. */
int kc_http_do(struct kc_http *h, const struct kc_http_req *req, struct kc_http_reply *ret,
	       struct kc_err *err);

/* Percent-encode all but RFC 3986's unreserved characters. Owned. */
char *kc_http_escape(const char *s);

#endif
