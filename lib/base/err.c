#include "lib/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The functions behind the macros of err.h. */
#undef kc_fail
#undef kc_fail_errno
#undef kc_wrap
#undef kc_fail_lines

/* Bytes of the UTF-8 character at s (RFC 3629, without overlong forms and surrogates); 0: none. */
static size_t utf8_len(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/*
 * Messages quote what hosts and servers say, are cut to size, and end up in JSON:
 * what is no character becomes a question mark, half a one at the end goes.
 */
static void make_utf8(struct kc_err *err)
{
	unsigned char *s = (unsigned char *)err->msg;
	size_t n;

	for (; *s; s += n) {
		n = utf8_len(s);
		if (n)
			continue;
		n = 1;
		*s = s[0] >= 0xc2 && s + 4 > (unsigned char *)err->msg + sizeof(err->msg) - 1 &&
				     strlen((char *)s) < 4
			     ? '\0'
			     : '?';
		if (!*s)
			return;
	}
}

int kc_fail(struct kc_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (code >= 0)
		code = KC_EFAIL; /* from a peer's reply, perhaps: never taken for success */
	if (!err)
		return code;
	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	make_utf8(err);
	return code;
}

static int code_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		return KC_ENOTFOUND;
	case EACCES:
	case EPERM:
	case EROFS:
		return KC_EAUTH;
	case ETIMEDOUT:
		return KC_ETIMEOUT;
	case EINVAL:
		return KC_EINVAL;
	case EEXIST:
		return KC_ECONFLICT;
	default:
		return KC_EFAIL;
	}
}

int kc_fail_errno(struct kc_err *err, int errnum, const char *fmt, ...)
{
	char text[768], reason[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return kc_fail(err, code_of_errno(errnum), "%s: %s", text,
		       strerror_r(errnum, reason, sizeof(reason)));
}

int kc_wrap(struct kc_err *err, const char *fmt, ...)
{
	char old[sizeof(err->msg)];
	va_list ap;
	size_t n;

	if (!err)
		return KC_EFAIL;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	n = strlen(err->msg);
	snprintf(err->msg + n, sizeof(err->msg) - n, ": %s", old);
	make_utf8(err);
	if (err->code >= 0)
		err->code = KC_EFAIL;
	return err->code;
}

static size_t count_lines(const char *s)
{
	size_t n = *s != '\0';

	for (; *s; s++)
		n += *s == '\n' && s[1];
	return n;
}

int kc_fail_lines(struct kc_err *err, int code, const char *lines)
{
	enum { MORE = sizeof(KC_ERR_MORE) + 20 };
	size_t len = strlen(lines), fit = 0, end, more = 0;
	const char *last;

	while (len && lines[len - 1] == '\n')
		len--;
	if (len < sizeof(err->msg))
		return kc_fail(err, code, "%.*s", (int)len, lines);
	/* The lines whose end is before the place for the last one. */
	for (end = strcspn(lines, "\n"); end < sizeof(err->msg) - MORE;
	     end += 1 + strcspn(lines + end + 1, "\n"))
		fit = end;
	if (!fit) /* one endless line: cut it, there is nothing better */
		return kc_fail(err, code, "%s", lines);
	last = memrchr(lines, '\n', len);
	if (last && sscanf(last + 1, "and %zu more;", &more) == 1)
		more--; /* the line itself is counted below */
	return kc_fail(err, code, "%.*s\n" KC_ERR_MORE, (int)fit, lines,
		       more + count_lines(lines + fit + 1));
}

const char *kc_err_name(int code)
{
	switch (code) {
	case KC_ENOTFOUND:
		return "not-found";
	case KC_EAGAIN:
		return "again";
	case KC_EINVAL:
		return "invalid";
	case KC_ECONFLICT:
		return "conflict";
	case KC_EAUTH:
		return "refused";
	case KC_ETIMEOUT:
		return "timeout";
	case KC_ECANCELED:
		return "canceled";
	default:
		return "failed";
	}
}
