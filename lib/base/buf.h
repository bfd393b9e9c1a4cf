/*
 * A growing byte buffer with a hard ceiling, always NUL-terminated.
 *
 * Readers of untrusted input name their ceiling; kc_buf_add() fails with
 * KC_EINVAL beyond it instead of growing without bound.
 */
#ifndef KC_BASE_BUF_H
#define KC_BASE_BUF_H

#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

struct kc_buf {
	char *data; /* NULL while empty; otherwise data[len] == 0 */
	size_t len, cap;
	size_t max; /* bytes; 0 means KC_BUF_MAX */
};
#define KC_BUF_MAX (64u << 20)

void kc_buf_done(struct kc_buf *b);
void kc_buf_clear(struct kc_buf *b); /* keeps the memory */
int kc_buf_add(struct kc_buf *b, const void *data, size_t len, struct kc_err *err);
/* The text, never NULL; borrowed. */
const char *kc_buf_get(const struct kc_buf *b);
/* The text as an owned string; the buffer is empty afterwards. */
char *kc_buf_steal(struct kc_buf *b);

/* For text the program itself makes (bounded by construction): beyond max it aborts. */
void kc_buf_puts(struct kc_buf *b, const char *s);
void kc_buf_putn(struct kc_buf *b, const void *data, size_t len);
void kc_buf_printf(struct kc_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define _cleanup_buf_ _cleanup_(kc_buf_done)

#endif
