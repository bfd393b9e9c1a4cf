/*
 * What every provider's API client needs around an HTTP request.
 *
 *	kc_api_do: take a token -> build() -> send -> judge() -> done, or wait and build() again
 *
 * build() makes the request anew for every attempt (signatures and tokens age)
 * and judge() says what a reply means to this API. Waits double from attempt to
 * attempt, with full jitter, and are never shorter than the server's
 * Retry-After. A call that is not marked idempotent is sent again only if the
 * server cannot have acted on it; otherwise KC_EAGAIN says that it may have
 * happened, and the caller looks before it asks again.
 *
 * Fails with what judge() said; KC_EAGAIN: throttled, refused for now or
 * unreachable in all attempts; KC_ETIMEOUT: the deadline of the whole call;
 * KC_ECANCELED; and kc_http_do()'s KC_EAUTH and KC_EINVAL, at once.
 */
#ifndef KC_NET_API_H
#define KC_NET_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/bucket.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/net/http.h"

enum { KC_API_HEADERS = 16 };

/* One attempt's request. Everything is owned; headers and body are wiped, they may hold secrets. */
struct kc_api_req {
	char *method, *url;
	char *headers[KC_API_HEADERS + 1]; /* "Name: value" */
	char *body;			   /* or NULL */
	size_t body_len;
};
void kc_api_req_done(struct kc_api_req *q);
#define _cleanup_api_req_ _cleanup_(kc_api_req_done)
/* Adds a header; aborts when there are more than KC_API_HEADERS. */
void kc_api_header(struct kc_api_req *q, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

enum kc_api_verdict {
	KC_API_DONE,
	KC_API_ERROR,	  /* final; err is set */
	KC_API_THROTTLED, /* refused, nothing was done; the bucket is emptied */
	KC_API_RETRY,	  /* refused for now, nothing was done */
	KC_API_UNSURE,	  /* failed, and may have happened: a 500, a gateway's timeout */
	/* Refused for what the next build() does better (a fresh token, another clock): at once,
	 * but not twice in a row. */
	KC_API_REBUILD,
};

struct kc_api_call {
	const char *what;		/* "route53: ListHostedZones": begins every error */
	bool idempotent;		/* doing it twice is as good as once */
	struct kc_bucket *bucket;	/* of its API family or action; or NULL */
	int attempts;			/* 0: 8 */
	long deadline_ms;		/* of everything; 0: 60 s */
	long timeout_ms;		/* of one exchange; 0: 30 s */
	size_t max;			/* ceiling of a reply's body; 0: 16 MB */
	bool (*canceled)(void *cookie); /* optional */
	void *cancel_cookie;
	int (*build)(void *cookie, struct kc_api_req *ret, struct kc_err *err);
	/* Anything but done sets err: the reason, which is shown when attempts run out. */
	enum kc_api_verdict (*judge)(void *cookie, const struct kc_http_reply *reply,
				     struct kc_err *err);
	void *cookie;
};

/* ret is the reply that was judged done. */
int kc_api_do(struct kc_http *h, const struct kc_api_call *call, struct kc_http_reply *ret,
	      struct kc_err *err);

/* For judge(): "HTTP 502: <first 200 bytes, in one line of printable text>". Owned. */
char *kc_api_excerpt(const struct kc_http_reply *reply);

/* Paging: zero it, call next() with each cursor before it is used, done() at the end. */
struct kc_api_pages {
	size_t max; /* pages; 0: 1000 */
	size_t n;
	json_t *seen;
};
/* KC_EFAIL: a cursor that was there before, or more pages than max. */
int kc_api_pages_next(struct kc_api_pages *p, const char *what, const char *cursor,
		      struct kc_err *err);
void kc_api_pages_done(struct kc_api_pages *p);
#define _cleanup_api_pages_ _cleanup_(kc_api_pages_done)

#endif
