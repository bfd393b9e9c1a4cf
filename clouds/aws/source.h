/* Where credentials come from, private to the room: creds.c has the order. */
#ifndef KC_CLOUDS_AWS_SOURCE_H
#define KC_CLOUDS_AWS_SOURCE_H

#include <jansson.h>
#include <stdint.h>

#include "clouds/aws/creds.h"

/* A reply {AccessKeyId, SecretAccessKey, <token>, Expiration?}; what begins errors. */
int kc_aws_keys_read(const json_t *o, const char *what, const char *token, struct kc_aws_keys *ret,
		     struct kc_err *err);

/* process.c: credential_process = …; at: where it says so. */
int kc_aws_from_process(const char *command, const char *at, struct kc_aws_keys *ret,
			struct kc_err *err);

/* metadata.c. 1: not set up here. */
int kc_aws_from_container(struct kc_aws_keys *ret, struct kc_err *err);
/* Of the instance's role; KC_EAUTH: there is none. */
int kc_aws_from_instance(struct kc_aws_keys *ret, struct kc_err *err);

/* sts.c */
struct kc_aws_role {
	const char *arn, *session;		     /* session NULL: kubecdn */
	const char *external_id, *duration, *region; /* or NULL */
	const char *profile;			     /* for its endpoint_url */
};
int kc_aws_assume(const struct kc_aws_role *role, const struct kc_aws_keys *with,
		  struct kc_aws_keys *ret, struct kc_err *err);
int kc_aws_assume_by_token(const struct kc_aws_role *role, const char *token_file,
			   struct kc_aws_keys *ret, struct kc_err *err);

#endif
