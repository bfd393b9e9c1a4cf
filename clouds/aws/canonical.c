#include "clouds/aws/canonical.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

void kc_aws_pairs_done(struct kc_aws_pair *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(p[i].name);
		kc_free_wiped(p[i].value);
	}
}

static int pair_cmp(const void *a, const void *b)
{
	const struct kc_aws_pair *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	if (c == 0)
		c = x->order - y->order;
	return c ? c : strcmp(x->value, y->value);
}

void kc_aws_pairs_sort(struct kc_aws_pair *p, size_t n)
{
	qsort(p, n, sizeof(*p), pair_cmp);
}

void kc_aws_put_encoded(struct kc_buf *b, const char *s, const char *also)
{
	for (; *s; s++) {
		if (isalnum((unsigned char)*s) || strchr("-._~", *s) || strchr(also, *s))
			kc_buf_putn(b, s, 1);
		else
			kc_buf_printf(b, "%%%02X", (unsigned char)*s);
	}
}

void kc_aws_put_path(struct kc_buf *b, const char *path)
{
	_cleanup_free_ char *flat = xcalloc(1, strlen(path) + 2);
	char *end = flat; /* flat is "/a/b" */

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");

		if (n == 2 && strncmp(p, "..", 2) == 0) {
			while (end > flat && *--end != '/')
				;
			*end = '\0';
		} else if (n > 0 && !(n == 1 && *p == '.')) {
			*end++ = '/';
			memcpy(end, p, n);
			end += n;
			*end = '\0';
		}
		p += n + (p[n] == '/');
	}
	kc_aws_put_encoded(b, *flat ? flat : "/", "/");
	if (*flat && kc_endswith(path, "/"))
		kc_buf_puts(b, "/");
}

int kc_aws_put_query(struct kc_buf *b, const char *query, struct kc_err *err)
{
	struct kc_aws_pair pairs[KC_AWS_PAIRS];
	size_t n = 0;

	for (const char *p = query; *query;) {
		size_t len = strcspn(p, "&"), name = strcspn(p, "=&");

		if (n == KC_AWS_PAIRS) {
			kc_aws_pairs_done(pairs, n);
			return kc_fail(err, KC_EINVAL, "the query has more than %d parameters",
				       KC_AWS_PAIRS);
		}
		pairs[n++] = (struct kc_aws_pair){
			.name = xstrndup(p, name),
			.value = xstrndup(p + name + (name < len), len - name - (name < len)),
		};
		if (!p[len])
			break;
		p += len + 1;
	}
	kc_aws_pairs_sort(pairs, n);
	for (size_t i = 0; i < n; i++)
		kc_buf_printf(b, "%s%s=%s", i ? "&" : "", pairs[i].name, pairs[i].value);
	kc_aws_pairs_done(pairs, n);
	return 0;
}
