/*
 * OAuth 2.0 (RFC 6749) as a client of clouds needs it: access tokens, kept while they are good.
 *
 *	form -> kc_oauth_ask(token endpoint) -> JSON -> kc_oauth_token() -> struct kc_tokens
 *
 * How a token is got is the caller's (kc_token_fetch); kc_tokens asks for one when there is none,
 * when the one there is ends within 60 s, or after a server refused it. Used from any number of
 * threads: while one fetches, the others wait for what it gets. Headers, forms and tokens are
 * secrets: whoever gets one wipes it (_cleanup_wiped_).
 *
 * A server that is busy or away is asked again (lib/net/api.h) and then KC_EAGAIN; any other status
 * is a success here, as in lib/net/http.h. A reply that is no JSON object is KC_EFAIL; how it
 * begins is shown unless its status is 2xx: it may be half a token.
 */
#ifndef KC_NET_OAUTH_H
#define KC_NET_OAUTH_H

#include <jansson.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/net/http.h"

struct kc_tokens;
/* A token, and for how many seconds from now it is good. */
typedef int (*kc_token_fetch)(void *cookie, char **ret_token, int64_t *ret_seconds,
			      struct kc_err *err);

struct kc_tokens *kc_tokens_new(kc_token_fetch fetch, void *cookie);
void kc_tokens_free(struct kc_tokens *t);
/* "Authorization: Bearer TOKEN". */
int kc_tokens_header(struct kc_tokens *t, char **ret_header, struct kc_err *err);
/* A server answered 401 to this header: never hand it out again. */
void kc_tokens_reject(struct kc_tokens *t, const char *header);

/* "name=value&...", percent-encoded, of pairs up to a NULL name; a pair whose value is NULL is left
 * out. */
char *kc_form(const char *name, ...) __attribute__((sentinel));
struct kc_oauth_req {
	const char *what; /* names the server in errors; NULL: url */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
	const char *form;	    /* posted; NULL: GET */
	const char *json;	    /* posted instead of a form */
	int attempts;		    /* 0: 4 */
};
/* Its body is to be wiped: kc_oauth_reply_done(). */
int kc_oauth_ask(struct kc_http *http, const struct kc_oauth_req *req, struct kc_http_reply *ret,
		 struct kc_err *err);
void kc_oauth_reply_done(struct kc_http_reply *reply);
#define _cleanup_oauth_reply_ _cleanup_(kc_oauth_reply_done)
/* The JSON object that a reply is. */
int kc_oauth_json(const char *what, const struct kc_http_reply *reply, json_t **ret,
		  struct kc_err *err);
/* "access_token" and "expires_in" (a number, or a string of one). The token in reply is wiped. */
int kc_oauth_token(const char *what, json_t *reply, char **ret_token, int64_t *ret_seconds,
		   struct kc_err *err);
/* The member of a reply, owned; the one in reply is wiped. */
int kc_oauth_take(const char *what, json_t *reply, const char *key, char **ret, struct kc_err *err);

/* KC_EINVAL unless url is https://, or http:// to this machine: others would see the secrets. */
int kc_url_check(const char *what, const char *url, struct kc_err *err);

#endif
