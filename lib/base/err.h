/*
 * Errors, by value.
 *
 * A function that can fail returns int: 0, or one of few negative KC_E* codes,
 * and takes `struct kc_err *err` as its last argument. The text is one line
 * that a user can act on: what failed, on which object, why, what to do.
 * Callers prepend context with kc_wrap(). Library code never prints;
 * cli/main.c (and bootstrap/node/main.c) print once.
 *
 *	r = read_it(path, &text, err);
 *	if (r < 0)
 *		return kc_wrap(err, "reading the inventory");
 *
 * err may be NULL when only the code matters. Parameters named ret_* are
 * untouched on failure.
 */
#ifndef KC_BASE_ERR_H
#define KC_BASE_ERR_H

#include <stdarg.h>

enum {
	KC_EFAIL = -1,	   /* anything without a better code */
	KC_ENOTFOUND = -2, /* what was asked for does not exist */
	KC_EAGAIN = -3,	   /* not yet: ask again later */
	KC_EINVAL = -4,	   /* the input is wrong: no retry helps */
	KC_ECONFLICT = -5, /* somebody else owns or changed it */
	KC_EAUTH = -6,	   /* refused: credentials or permission */
	KC_ETIMEOUT = -7,  /* the deadline passed */
	KC_ECANCELED = -8, /* the user or a newer operator stopped it */
};

struct kc_err {
	int code;
	char msg[1024];
};

/* Set code and message; returns code, so that `return kc_fail(...)` reads well. */
int kc_fail(struct kc_err *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As kc_fail(), with ": strerror(errnum)" appended; the code is chosen from errnum. */
int kc_fail_errno(struct kc_err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Prepend "context: " to the message; returns err's code (KC_EFAIL if err is NULL). */
int kc_wrap(struct kc_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Set code and several lines, such as all mistakes in a file. What does not fit is left out by
 * whole lines, and the last one is KC_ERR_MORE; if it was that already, its number is added.
 */
#define KC_ERR_MORE "and %zu more; correct these first"
int kc_fail_lines(struct kc_err *err, int code, const char *lines);

/*
 * All of them always return a negative number, and callers rely on it ("ret_* is set unless r <
 * 0"). Said here so that compilers know it, too, and see no use of an unset variable after a
 * failure.
 */
static inline int kc_err_negative(int r)
{
	if (r >= 0)
		__builtin_unreachable();
	return r;
}
#define kc_fail(...)	   kc_err_negative(kc_fail(__VA_ARGS__))
#define kc_fail_errno(...) kc_err_negative(kc_fail_errno(__VA_ARGS__))
#define kc_wrap(...)	   kc_err_negative(kc_wrap(__VA_ARGS__))
#define kc_fail_lines(...) kc_err_negative(kc_fail_lines(__VA_ARGS__))

/* "not found", "conflict", ...: for JSON output and logs. */
const char *kc_err_name(int code);

#endif
