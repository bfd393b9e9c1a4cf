#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

static const char *const components[] = { "http", "ssh", "proc" };
static unsigned enabled; /* bit i: components[i]; written before the first thread starts */

static int index_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(components); i++)
		if (streq(components[i], name))
			return (int)i;
	return -1;
}

int kc_log_enable(const char *list, struct kc_err *err)
{
	_cleanup_free_ char *copy = xstrdup(list);
	char *save = NULL;

	for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		int i = index_of(s);

		if (streq(s, "all"))
			enabled = ~0u;
		else if (i >= 0)
			enabled |= 1u << i;
		else
			return kc_fail(err, KC_EINVAL,
				       "--debug: no component \"%s\"; there are http, ssh, proc "
				       "and all",
				       s);
	}
	return 0;
}

bool kc_log_on(const char *component)
{
	int i = enabled ? index_of(component) : -1;

	return i >= 0 && (enabled & (1u << i));
}

void kc_debug(const char *component, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (!kc_log_on(component))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%lld.%03lld %s: %s\n", (long long)(kc_now_ms() / 1000),
		(long long)(kc_now_ms() % 1000), component, text);
}
