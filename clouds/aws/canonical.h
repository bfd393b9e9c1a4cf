/* Parts of a canonical request, private to signing: see sign.h. */
#ifndef KC_CLOUDS_AWS_CANONICAL_H
#define KC_CLOUDS_AWS_CANONICAL_H

#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

enum { KC_AWS_PAIRS = 256 };

/* Names and values that are sorted by name, then as they came (by order), then by value. Owned. */
struct kc_aws_pair {
	char *name, *value;
	int order;
};
void kc_aws_pairs_sort(struct kc_aws_pair *p, size_t n);
void kc_aws_pairs_done(struct kc_aws_pair *p, size_t n);

/* All but RFC 3986's unreserved characters and those in also, once more for what is encoded. */
void kc_aws_put_encoded(struct kc_buf *b, const char *s, const char *also);
/* Encoded, without empty, "." and ".." segments. */
void kc_aws_put_path(struct kc_buf *b, const char *path);
/* Its parameters sorted, each with a "=". */
int kc_aws_put_query(struct kc_buf *b, const char *query, struct kc_err *err);

#endif
