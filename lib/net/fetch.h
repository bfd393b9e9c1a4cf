/*
 * Files from servers that are not ours: release hosts, registries, their mirrors.
 *
 *	mirrors, credentials --kc_fetch_new--> kc_fetch --kc_fetch_do(URL)--> memory or a file,
 *hashed
 *
 * A mirror's base URL stands for "https://HOST" of the URL that was asked for. At most five
 * redirects are followed, none from https to http, and Authorization goes only to the origin that
 * asked for it. A 401 is answered once: Basic, or Bearer with a token from the realm it names
 * (distribution's token protocol); neither goes in the clear but to this machine. Lost connections,
 * 429 and 5xx are tried again, a file from where it stopped. One thread at a time.
 *
 * Fails with KC_ENOTFOUND (404), KC_EAUTH (401, 403), KC_EAGAIN (not now, in all attempts),
 * KC_EINVAL (too long, other bytes than the hash says, a redirect that is not followed),
 * KC_ECANCELED. After an error there is no file.
 */
#ifndef KC_NET_FETCH_H
#define KC_NET_FETCH_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/crypto/hash.h"

struct kc_fetch;

struct kc_fetch_conf {
	const json_t *mirrors; /* {"files.example": "https://mirror.example/f"}; or NULL. Copied. */
	/* {"auths": {"HOST[:PORT]": {"auth": base64 of "user:password"}}}, as `docker login`
	 * writes it; nobody else may read it. Or NULL. */
	const char *authfile;
	const atomic_bool *cancel; /* or NULL */
};
int kc_fetch_new(const struct kc_fetch_conf *conf, struct kc_fetch **ret, struct kc_err *err);
void kc_fetch_free(struct kc_fetch *f);
KC_DEFINE_CLEANUP(struct kc_fetch *, kc_fetch_free)
#define _cleanup_fetch_ _cleanup_(kc_fetch_freep)

/* "a.example=https://m/a,b.example=http://m/b" to the object of the configuration. */
int kc_fetch_mirrors(const char *list, json_t **ret, struct kc_err *err);
/* The mirror's base URL of a host, or "https://HOST"; no "/" at its end. Owned. */
char *kc_fetch_base(const struct kc_fetch *f, const char *host);

struct kc_fetch_req {
	const char *method; /* NULL: GET */
	const char *url;
	const char *headers[4]; /* "Name: value", NULL-terminated */
	const char *space;	/* what one token is good for (a repository); NULL: the origin */
	uint64_t max;		/* ceiling in bytes; 0: 4 MB */
	const char *path;	/* write to this file; NULL: to memory */
	const char *sha256;	/* what it must be; or NULL */
	int body_fd;		/* a body to send: body_len bytes from body_offset on; 0: none */
	off_t body_offset;
	uint64_t body_len;
	/* A status that is no error: 412 for what is there already. */
	long also;
};
struct kc_fetch_reply {
	long status;
	char *text; /* NUL-terminated, NULL if it went to a file */
	uint64_t len;
	int64_t length; /* Content-Length, which HEAD has, too; -1: not said */
	char sha256[KC_SHA256_HEX];
	char *type; /* Content-Type without parameters, "" if none */
};
void kc_fetch_reply_done(struct kc_fetch_reply *r);
#define _cleanup_fetch_reply_ _cleanup_(kc_fetch_reply_done)

/* ret (may be NULL) is filled on success only. */
int kc_fetch_do(struct kc_fetch *f, const struct kc_fetch_req *req, struct kc_fetch_reply *ret,
		struct kc_err *err);

#endif
