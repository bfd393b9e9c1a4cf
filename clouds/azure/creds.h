/*
 * Who we are to Azure, in the order of Microsoft's own clients (DefaultAzureCredential):
 *
 *	1. AZURE_CLIENT_SECRET
 *	2. AZURE_CLIENT_CERTIFICATE_PATH: PEM with a certificate and its RSA key, which signs an
 *	   assertion (PS256, x5t#S256)
 *	3. AZURE_FEDERATED_TOKEN_FILE: workload identity
 *	4. managed identity, by the metadata service (169.254.169.254, or where
 *	   AZURE_POD_IDENTITY_AUTHORITY_HOST says); AZURE_CLIENT_ID chooses one of several
 *	5. az account get-access-token
 *
 * 1 to 3 need AZURE_TENANT_ID and AZURE_CLIENT_ID, too; the first that is set is taken, and its
 * errors are errors. 4 is left for 5 where no such service or identity is, unless it gave a token
 * before. Entra is at AZURE_AUTHORITY_HOST. Tokens are got when first needed, kept until 60 s
 * before their end, from any thread. Sources: azure-identity 1.27; "Microsoft identity platform
 * certificate credentials"; "How to use managed identities ... to acquire an access token".
 *
 * The certificate's file must be closed to others (kc_file_read_private()); a federated token,
 * which kubelet writes and which lives an hour, need not be.
 *
 *	KC_EINVAL	a setting or file is wrong
 *	KC_EAUTH	nobody is known, or Entra refuses: with its AADSTS number and what to do
 *	KC_EAGAIN	no answer
 */
#ifndef KC_CLOUDS_AZURE_CREDS_H
#define KC_CLOUDS_AZURE_CREDS_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_azure_creds;

/* audience: whom tokens are for, "https://management.azure.com". ca_pem: see kc_http_conf. */
int kc_azure_creds_new(const char *audience, const char *ca_pem, struct kc_azure_creds **ret,
		       struct kc_err *err);
void kc_azure_creds_free(struct kc_azure_creds *c);
KC_DEFINE_CLEANUP(struct kc_azure_creds *, kc_azure_creds_free)

/* "Authorization: Bearer ...", owned and to be wiped. */
int kc_azure_creds_header(struct kc_azure_creds *c, char **ret_header, struct kc_err *err);
/* A server answered 401 to this header. */
void kc_azure_creds_reject(struct kc_azure_creds *c, const char *header);
/* For messages: "application 1234 (AZURE_CLIENT_SECRET)". Borrowed. */
const char *kc_azure_creds_who(const struct kc_azure_creds *c);

#endif
