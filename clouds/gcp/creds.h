/*
 * Who we are to Google: application default credentials, in the order of Google's own clients.
 *
 *	1. the file that GOOGLE_APPLICATION_CREDENTIALS names
 *	2. application_default_credentials.json in $CLOUDSDK_CONFIG, else ~/.config/gcloud
 *	3. the metadata server (GCE_METADATA_HOST, else 169.254.169.254), unless NO_GCE_CHECK=true
 *
 * A file is of type service_account, authorized_user or external_account (subject token from a file
 * or a URL, exchanged at STS, service account impersonated if the file says so). The first that is
 * there is taken: a wrong one is an error and never skipped. Files are read once, subject tokens
 * each time; tokens are got when first needed, kept until 60 s before their end, from any thread.
 * Sources: google-auth 2.63; RFC 7523 (service accounts), RFC 8693 (exchange); "Application Default
 * Credentials" and "VM metadata" of Google's documentation.
 *
 * Files with a key or refresh token must be closed to others, as kc_file_read_private() has it.
 * KC_EINVAL: a file is wrong. KC_EAUTH: nobody is known, or Google refuses. KC_EAGAIN: no answer.
 */
#ifndef KC_CLOUDS_GCP_CREDS_H
#define KC_CLOUDS_GCP_CREDS_H

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_gcp_creds;

/* ca_pem: see kc_http_conf. */
int kc_gcp_creds_new(const char *ca_pem, struct kc_gcp_creds **ret, struct kc_err *err);
void kc_gcp_creds_free(struct kc_gcp_creds *c);
KC_DEFINE_CLEANUP(struct kc_gcp_creds *, kc_gcp_creds_free)

/* "Authorization: Bearer ...", owned and to be wiped. */
int kc_gcp_creds_header(struct kc_gcp_creds *c, char **ret_header, struct kc_err *err);
/* A server answered 401 to this header. */
void kc_gcp_creds_reject(struct kc_gcp_creds *c, const char *header);

/* For messages: "service account x@y (FILE)". Borrowed. */
const char *kc_gcp_creds_who(const struct kc_gcp_creds *c);
/* The project that the file names for itself, or for quota; or NULL. Borrowed. */
const char *kc_gcp_creds_project(const struct kc_gcp_creds *c);
const char *kc_gcp_creds_quota_project(const struct kc_gcp_creds *c);

#endif
