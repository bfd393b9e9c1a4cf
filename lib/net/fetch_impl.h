/* Inside lib/net/fetch: what a server was told about who asks. */
#ifndef KC_NET_FETCH_IMPL_H
#define KC_NET_FETCH_IMPL_H

#include "lib/net/fetch.h"
#include "lib/net/http.h"

struct kc_fetch {
	struct kc_http *http;
	json_t *mirrors; /* {HOST: base URL} */
	json_t *auths;	 /* {HOST[:PORT]: base64 of "user:password"} */
	json_t *known;	 /* {space or origin: value of Authorization} that worked or may work */
	const atomic_bool *cancel;
};

/* "https://host:port" of a URL. Owned. */
char *kc_fetch_origin(const char *url);
bool kc_fetch_stopped(void *cookie); /* of a struct kc_fetch */

int kc_fetch_auth_read(struct kc_fetch *f, const char *authfile, struct kc_err *err);
/* What to say in Authorization to this URL, or NULL. Borrowed. */
const char *kc_fetch_auth_known(const struct kc_fetch *f, const char *url, const char *space);
/* Answer a 401: from now on something else is known, or KC_EAUTH says why not. */
int kc_fetch_auth_answer(struct kc_fetch *f, const char *url, const char *space,
			 const char *challenge, struct kc_err *err);

#endif
