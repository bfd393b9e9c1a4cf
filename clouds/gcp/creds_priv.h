/* Shared by creds.c (which one) and creds_fetch.c (how each gets its token). */
#ifndef KC_CLOUDS_GCP_CREDS_PRIV_H
#define KC_CLOUDS_GCP_CREDS_PRIV_H

#include "clouds/gcp/creds.h"
#include "lib/codec/json.h"
#include "lib/net/http.h"
#include "lib/net/oauth.h"

#define KC_GCP_SCOPE "https://www.googleapis.com/auth/cloud-platform"

struct kc_gcp_creds {
	const struct gcp_source *source;
	char *path;	/* of the file; NULL: the metadata server */
	json_t *file;	/* checked */
	char *metadata; /* HOST[:PORT] */
	char *tried;	/* why there is nobody before the metadata server */
	char *who;
	struct kc_http *http;
	struct kc_tokens *tokens;
};

struct gcp_source {
	const char *type;
	const char *needs[5]; /* members that must be strings, up to a NULL */
	const char *urls[3];  /* members that must be safe URLs if they are there */
	bool secret;	      /* the file must be closed to others */
	/* Errors name no file: the caller does. May be NULL. */
	int (*check)(const json_t *file, struct kc_err *err);
	char *(*who)(const struct kc_gcp_creds *c);
	kc_token_fetch fetch; /* the cookie is a struct kc_gcp_creds */
};

extern const struct gcp_source gcp_service_account, gcp_authorized_user, gcp_external_account,
	gcp_metadata;

#endif
