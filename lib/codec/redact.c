#include "lib/codec/redact.h"

#include <pthread.h>
#include <regex.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

#define REDACTED "[redacted]"
#define WORDS	 "(password|passwd|passphrase|secret|token|api[-_]?key|access[-_]?key|credential)s?"

/* keep: the groups in front of and behind the secret; 0: there is none. */
static const struct {
	const char *pattern;
	int before, after;
} rules[] = {
	{ "-----BEGIN [A-Z ]*PRIVATE KEY-----([^-]|-[^-])*(-----END [A-Z ]*PRIVATE KEY-----)?", 0,
	  0 },
	{ "([a-z][a-z0-9+.-]*://)[^/@[:space:]\"]+(@)", 1, 2 },
	{ "((bearer|basic)[[:space:]]+)[A-Za-z0-9+/=._~-]{8,}", 1, 0 },
	{ "eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]*", 0, 0 },
	{ "(AKIA|ASIA)[0-9A-Z]{16}", 0, 0 },
	{ "(" WORDS "[\"']?[[:space:]]*[=:][[:space:]]*[\"']?)[^][{}[:space:]\"',;]+", 1, 0 },
};

static regex_t compiled[ARRAY_SIZE(rules)], secret_name;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The patterns are constants: one that does not compile is a bug. */
static void compile(regex_t *re, const char *pattern)
{
	if (regcomp(re, pattern, REG_EXTENDED | REG_ICASE) != 0)
		abort();
}

static void compile_all(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		compile(&compiled[i], rules[i].pattern);
	compile(&secret_name, WORDS "$");
}

static void put(struct kc_buf *out, const char *text, const regmatch_t *m)
{
	if (m->rm_so >= 0)
		kc_buf_putn(out, text + m->rm_so, (size_t)(m->rm_eo - m->rm_so));
}

static char *apply(const char *text, size_t rule)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	regmatch_t m[4];

	while (*text && regexec(&compiled[rule], text, ARRAY_SIZE(m), m, 0) == 0 && m[0].rm_eo) {
		kc_buf_putn(&out, text, (size_t)m[0].rm_so);
		if (rules[rule].before)
			put(&out, text, &m[rules[rule].before]);
		kc_buf_puts(&out, REDACTED);
		if (rules[rule].after)
			put(&out, text, &m[rules[rule].after]);
		text += m[0].rm_eo;
	}
	kc_buf_puts(&out, text);
	return kc_buf_steal(&out);
}

char *kc_redact_text(const char *text)
{
	char *now = xstrdup(text);

	pthread_once(&once, compile_all);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		char *next = apply(now, i);

		kc_free_wiped(now);
		now = next;
	}
	return now;
}

static bool is_secret_name(const char *name)
{
	pthread_once(&once, compile_all);
	return regexec(&secret_name, name, 0, NULL, 0) == 0;
}

json_t *kc_redact(const json_t *v)
{
	json_t *out, *child;
	const char *key;
	size_t i;

	if (json_is_string(v)) {
		_cleanup_free_ char *text = kc_redact_text(json_string_value(v));

		return json_string(text);
	}
	if (json_is_array(v)) {
		out = json_array();
		json_array_foreach((json_t *)v, i, child)
			json_array_append_new(out, kc_redact(child));
		return out;
	}
	if (!json_is_object(v))
		return json_incref((json_t *)v);
	out = json_object();
	json_object_foreach((json_t *)v, key, child)
		json_object_set_new(out, key,
				    json_is_string(child) && is_secret_name(key)
					    ? json_string(REDACTED)
					    : kc_redact(child));
	return out;
}
