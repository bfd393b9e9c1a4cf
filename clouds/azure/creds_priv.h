/* Shared by creds.c (which one) and creds_fetch.c (how each gets its token). */
#ifndef KC_CLOUDS_AZURE_CREDS_PRIV_H
#define KC_CLOUDS_AZURE_CREDS_PRIV_H

#include <stdbool.h>

#include "clouds/azure/creds.h"
#include "lib/net/http.h"
#include "lib/net/oauth.h"

struct kc_azure_creds {
	char *tenant, *client; /* NULL if unset */
	char *secret;
	char *pem, *thumbprint; /* of the client certificate and its key */
	char *path;		/* of the certificate, or of the federated token */
	char *token_url;	/* of Entra, for this tenant */
	char *audience;
	char *imds;   /* URL */
	bool managed; /* the metadata service gave a token: never az instead */
	char *who;
	struct kc_http *http, *imds_http;
	struct kc_tokens *tokens;
};

int azure_fetch_secret(void *cookie, char **ret_token, int64_t *ret_seconds, struct kc_err *err);
int azure_fetch_certificate(void *cookie, char **ret_token, int64_t *ret_seconds,
			    struct kc_err *err);
int azure_fetch_federated(void *cookie, char **ret_token, int64_t *ret_seconds, struct kc_err *err);
/* Managed identity, else az. */
int azure_fetch_ambient(void *cookie, char **ret_token, int64_t *ret_seconds, struct kc_err *err);

#endif
