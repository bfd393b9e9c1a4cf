/*
 * AWS credentials, looked for where AWS's SDKs look and in their order.
 *
 *	AWS_ACCESS_KEY_ID -> the profile (role_arn, web identity, keys, credential_process)
 *	  -> container -> instance metadata (IMDSv2) -> keys, refreshed before they expire
 *
 * The first source that is set up decides: if it fails, the error says what is
 * wrong with it, and no other one is tried. struct kc_aws_creds is used from any
 * number of threads; keys are copies, wiped by kc_aws_keys_done(). KC_EAUTH: no
 * credentials, or they were refused; KC_EINVAL: configuration, with file:line.
 * IAM Identity Center (sso_…) is not spoken: the error says how to go through
 * credential_process instead.
 */
#ifndef KC_CLOUDS_AWS_CREDS_H
#define KC_CLOUDS_AWS_CREDS_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_aws_keys {
	char *id, *secret;
	char *token;	    /* or NULL */
	int64_t expires_ms; /* kc_realtime_ms(); 0: never */
};
void kc_aws_keys_done(struct kc_aws_keys *k);
#define _cleanup_aws_keys_ _cleanup_(kc_aws_keys_done)

struct kc_aws_creds;

/* Nothing is looked up yet. profile: NULL for AWS_PROFILE, and a name in spite of the environment's
 * keys. */
struct kc_aws_creds *kc_aws_creds_new(const char *profile);
void kc_aws_creds_free(struct kc_aws_creds *c);

int kc_aws_creds_get(struct kc_aws_creds *c, struct kc_aws_keys *ret, struct kc_err *err);
/* The service says that they expired: look them up again next time. */
void kc_aws_creds_drop(struct kc_aws_creds *c);

#endif
