#include "lib/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void kc_buf_done(struct kc_buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

void kc_buf_clear(struct kc_buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

int kc_buf_add(struct kc_buf *b, const void *data, size_t len, struct kc_err *err)
{
	size_t max = b->max ? b->max : KC_BUF_MAX;

	if (len > max || b->len > max - len)
		return kc_fail(err, KC_EINVAL, "more than %zu bytes", max);
	if (b->len + len + 1 > b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 256;

		while (cap < b->len + len + 1)
			cap *= 2;
		b->data = xrealloc(b->data, cap);
		b->cap = cap;
	}
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

const char *kc_buf_get(const struct kc_buf *b)
{
	return b->data ? b->data : "";
}

char *kc_buf_steal(struct kc_buf *b)
{
	char *s = b->data ? TAKE(b->data) : xstrdup("");

	b->len = b->cap = 0;
	return s;
}

void kc_buf_putn(struct kc_buf *b, const void *data, size_t len)
{
	if (kc_buf_add(b, data, len, NULL) < 0)
		abort();
}

void kc_buf_puts(struct kc_buf *b, const char *s)
{
	kc_buf_putn(b, s, strlen(s));
}

void kc_buf_printf(struct kc_buf *b, const char *fmt, ...)
{
	_cleanup_free_ char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		abort();
	va_end(ap);
	kc_buf_puts(b, s);
}
