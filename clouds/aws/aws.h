/*
 * Signed calls to AWS's services.
 *
 *	kc_aws_open(service) -> kc_aws_do(action, method, path, query, body) -> JSON of the XML
 *reply
 *
 * A call waits for a token of its action's bucket, is signed anew for every
 * attempt, and repeated when throttled, refused for now or (if idempotent) lost;
 * a clock that differs from the service's is corrected, expired credentials are
 * looked up again. struct kc_aws is used from any number of threads. Errors carry
 * AWS's code and text, or the first bytes of what is no reply of AWS's:
 * KC_EAUTH, KC_ENOTFOUND (NoSuch…), KC_ECONFLICT (InvalidChangeBatch, …Mismatch,
 * …AlreadyExists, …InUse), KC_EINVAL (refused as wrong), KC_EAGAIN (after all
 * attempts, or "it may have happened"), KC_EFAIL (replies that are malformed).
 */
#ifndef KC_CLOUDS_AWS_AWS_H
#define KC_CLOUDS_AWS_AWS_H

#include <jansson.h>
#include <stdbool.h>

#include "clouds/aws/creds.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/codec/xml.h"

struct kc_aws;

struct kc_aws_conf {
	const char *service;		/* "route53", "sts" */
	const char *region;		/* NULL: AWS_REGION, AWS_DEFAULT_REGION, the profile's */
	const char *endpoint;		/* NULL: AWS_ENDPOINT_URL_<SERVICE>, …, AWS's own */
	const char *profile;		/* NULL: AWS_PROFILE */
	bool (*canceled)(void *cookie); /* or NULL; asked from all calls' threads */
	void *cookie;
	/* Instead of the usual credentials; without keys, nothing is signed. */
	bool own_keys;
	const struct kc_aws_keys *keys; /* copied */
};

/* Reads configuration, asks nobody: credentials are looked up by the first call. */
int kc_aws_open(const struct kc_aws_conf *conf, struct kc_aws **ret, struct kc_err *err);
void kc_aws_close(struct kc_aws *a);
KC_DEFINE_CLEANUP(struct kc_aws *, kc_aws_close)
#define _cleanup_aws_ _cleanup_(kc_aws_closep)

struct kc_aws_call {
	const char *action; /* "ListResourceRecordSets" */
	const char *method; /* "GET" */
	const char *path;   /* "/2013-04-01/hostedzone/Z1", percent-encoded */
	const char *query;  /* "name=a&type=A", percent-encoded; or NULL */
	const char *type;   /* the body's; NULL: application/xml */
	const char *body;   /* or NULL */
	bool idempotent;    /* doing it twice is as good as once */
	const struct kc_xml_shapes *shapes;
};

/* What AWS called its refusal; "" if it was none of AWS's. */
struct kc_aws_error {
	char code[64];
};

/* ret: {"<Action>Response": …}. error: set on failure, may be NULL. */
int kc_aws_do(struct kc_aws *a, const struct kc_aws_call *call, json_t **ret,
	      struct kc_aws_error *error, struct kc_err *err);

#endif
