/* Private to route53*.c: see route53.h. */
#ifndef KC_CLOUDS_AWS_ROUTE53_IMPL_H
#define KC_CLOUDS_AWS_ROUTE53_IMPL_H

#include "clouds/aws/route53.h"

#define KC_ROUTE53_PATH "/2013-04-01"

/* route53_rrset.c: an rrset in our words, from and to a ResourceRecordSet. */
int kc_route53_rrset_read(const json_t *theirs, json_t **ret, struct kc_err *err);
int kc_route53_rrset_write(const json_t *ours, json_t **ret, struct kc_err *err);
/* Absolute, in lower case, "\052" as "*". Owned. */
char *kc_route53_name(const char *name);

/* route53.c: a call whose reply is <action>Response, which is ret (new reference). */
int kc_route53_get(struct kc_aws *a, const char *action, const char *path, const char *query,
		   json_t **ret, struct kc_err *err);
/* body becomes <action>Request. */
int kc_route53_post(struct kc_aws *a, const char *action, const char *path, const json_t *body,
		    bool idempotent, json_t **ret, struct kc_aws_error *error, struct kc_err *err);
int kc_route53_delete(struct kc_aws *a, const char *action, const char *path, struct kc_err *err);

#endif
