#include "lib/spec/spec.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "lib/base/str.h"

void kc_report_done(struct kc_report *rep)
{
	kc_buf_done(&rep->lines);
	free(rep->first);
	rep->first = NULL;
	rep->n = 0;
}

char *kc_spec_join(const char *pointer, const char *key)
{
	_cleanup_buf_ struct kc_buf b = { 0 };

	kc_buf_puts(&b, pointer);
	kc_buf_puts(&b, "/");
	for (; *key; key++) {
		if (*key == '~')
			kc_buf_puts(&b, "~0");
		else if (*key == '/')
			kc_buf_puts(&b, "~1");
		else
			kc_buf_putn(&b, key, 1);
	}
	return kc_buf_steal(&b);
}

static bool is_word(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && *s != '_' && *s != '-')
			return false;
	return true;
}

static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '~' && s[1]) {
			s++;
			*to++ = *s == '1' ? '/' : '~';
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Foreign text inside a line: no control characters, and not longer than a line should be. */
static void put_clean(struct kc_buf *b, const char *s, size_t max)
{
	size_t n = 0;

	for (; *s && n < max; s++, n++)
		kc_buf_putn(b, (unsigned char)*s < 0x20 || *s == 0x7f ? "?" : s, 1);
	/* Never end inside a UTF-8 sequence. */
	while (*s && ((unsigned char)*s & 0xc0) == 0x80)
		kc_buf_putn(b, s++, 1);
	if (*s)
		kc_buf_puts(b, "…");
}

char *kc_spec_path(const char *pointer)
{
	_cleanup_buf_ struct kc_buf b = { 0 };

	while (*pointer == '/') {
		size_t n = strcspn(++pointer, "/");
		_cleanup_free_ char *token = xstrndup(pointer, n);
		long index;

		unescape(token);
		if (kc_parse_long(token, 0, INT32_MAX, &index)) {
			kc_buf_printf(&b, "[%ld]", index);
		} else if (is_word(token)) {
			kc_buf_puts(&b, b.len ? "." : "");
			put_clean(&b, token, 80);
		} else {
			kc_buf_puts(&b, "[\"");
			put_clean(&b, token, 80);
			kc_buf_puts(&b, "\"]");
		}
		pointer += n;
	}
	return kc_buf_steal(&b);
}

static void add(struct kc_report *rep, struct kc_pos at, const char *pointer, const char *fmt,
		va_list ap)
{
	_cleanup_free_ char *path = kc_spec_path(pointer);
	_cleanup_free_ char *why = NULL;
	_cleanup_buf_ struct kc_buf line = { 0 };

	rep->n++;
	if (rep->n > KC_REPORT_MAX)
		return;
	if (vasprintf(&why, fmt, ap) < 0)
		abort();
	if (rep->yaml)
		kc_buf_printf(&line, "%s:%d:%d: ", kc_yaml_file(rep->yaml), at.line, at.column);
	if (*path)
		kc_buf_printf(&line, "%s: ", path);
	put_clean(&line, why, 700);
	if (!rep->first)
		rep->first = xstrdup(line.data);
	kc_buf_printf(&rep->lines, "%s\n", line.data);
}

void kc_report_value(struct kc_report *rep, const char *pointer, const char *fmt, ...)
{
	struct kc_pos at = { 0 };
	va_list ap;

	if (rep->yaml)
		at = kc_yaml_pos(rep->yaml, rep->doc, pointer);
	va_start(ap, fmt);
	add(rep, at, pointer, fmt, ap);
	va_end(ap);
}

void kc_report_key(struct kc_report *rep, const char *pointer, const char *fmt, ...)
{
	struct kc_pos at = { 0 };
	va_list ap;

	if (rep->yaml)
		at = kc_yaml_key_pos(rep->yaml, rep->doc, pointer);
	va_start(ap, fmt);
	add(rep, at, pointer, fmt, ap);
	va_end(ap);
}

void kc_report_lines(const struct kc_report *rep, const struct kc_err *err, struct kc_buf *errors)
{
	if (!errors)
		return;
	if (rep->n)
		kc_buf_puts(errors, kc_buf_get(&rep->lines));
	else
		kc_buf_printf(errors, "%s\n", err->msg);
	if (rep->n > KC_REPORT_MAX)
		kc_buf_printf(errors, KC_ERR_MORE "\n", rep->n - KC_REPORT_MAX);
}

int kc_report_result(const struct kc_report *rep, struct kc_err *err)
{
	if (!rep->n)
		return 0;
	if (rep->n == 1)
		return kc_fail(err, KC_EINVAL, "%s", rep->first);
	return kc_fail(err, KC_EINVAL, "%s (and %zu more)", rep->first, rep->n - 1);
}

int kc_spec_choose(const struct kc_yaml *y, const struct kc_spec_kind *kind,
		   bool (*fits)(const json_t *doc, struct kc_report *rep), struct kc_report *rep,
		   json_t **ret, struct kc_err *err)
{
	json_t *found = NULL;
	size_t at = 0;
	int r;

	for (size_t i = 0; i < kc_yaml_count(y); i++) {
		json_t *doc = kc_yaml_value(y, i);

		rep->doc = i;
		if (json_is_null(doc) || !fits(doc, rep))
			continue;
		if (found)
			kc_report_value(rep, "", "a second %s; put each one into its own file",
					kind->name);
		else
			at = i;
		found = doc;
	}
	r = kc_report_result(rep, err);
	if (r < 0)
		return r;
	if (!found) {
		kc_report_value(rep, "", "no %s in this file; give one with kind: %s", kind->name,
				kind->name);
		return kc_report_result(rep, err);
	}
	rep->doc = at;
	*ret = found;
	return 0;
}
