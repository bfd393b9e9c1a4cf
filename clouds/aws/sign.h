/*
 * AWS Signature Version 4 (AWS General Reference, "Signing AWS API requests").
 *
 *	method, URL, headers, body -> canonical request -> string to sign -> headers to add
 *
 * The URL's query is taken as it will be sent, already percent-encoded: in any
 * order, with names that repeat or have no value. What is signed is what
 * botocore signs; tests/e2e/test_aws_sign.py compares both byte by byte.
 * Nothing is kept; what comes back is the caller's.
 */
#ifndef KC_CLOUDS_AWS_SIGN_H
#define KC_CLOUDS_AWS_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "lib/base/err.h"

struct kc_aws_signer {
	const char *id, *secret;
	const char *token; /* of temporary credentials; or NULL */
	const char *region, *service;
	time_t now;
	bool s3; /* the path is signed as it is, not normalized and encoded once more */
};

struct kc_aws_request {
	const char *method, *url;
	const char *const *headers; /* "Name: value", NULL-terminated; or NULL */
	const void *body;	    /* or NULL */
	size_t body_len;
};

/* x-amz-date, x-amz-security-token, x-amz-content-sha256 (S3) and authorization. */
enum { KC_AWS_SIGNED = 4 };
/* ret_headers: "name: value" each, NULL-terminated; kc_aws_signed_done() wipes and frees them.
 * KC_EINVAL: the URL has no host. */
int kc_aws_sign(const struct kc_aws_signer *s, const struct kc_aws_request *q,
		char *ret_headers[KC_AWS_SIGNED + 1], struct kc_err *err);
void kc_aws_signed_done(char *headers[KC_AWS_SIGNED + 1]);

/* The URL with the signature in its query, good for so many seconds; its headers must be sent
 * with it. Owned. */
int kc_aws_presign(const struct kc_aws_signer *s, const struct kc_aws_request *q, long expires,
		   char **ret_url, struct kc_err *err);

#endif
