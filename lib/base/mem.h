/*
 * Memory: allocators that abort, scope-bound clean-up, and secrets.
 *
 * Running out of memory ends the process (every input has a size ceiling, so
 * this means a bug or a dying machine). Ownership is in the name: _new/_free
 * heap, _init/_done embedded, _get borrowed, _dup owned copy; what comes
 * through a ret_* parameter is the caller's. Every destructor accepts NULL.
 *
 *	_cleanup_free_ char *path = xasprintf("%s/lock", dir);
 *	*ret_path = TAKE(path);
 */
#ifndef KC_BASE_MEM_H
#define KC_BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _unused_      __attribute__((unused))

/* The value, leaving NULL behind: hands a scope-bound pointer to the caller. */
#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) *take_pp_ = &(p);                                                    \
		__typeof__(p) take_p_ = *take_pp_;                                                 \
		*take_pp_ = NULL;                                                                  \
		take_p_;                                                                           \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Defines `static inline void NAMEp(T *p)` for use as _cleanup_(NAMEp). */
#define KC_DEFINE_CLEANUP(type, fn)                                                                \
	static inline _unused_ void fn##p(type *p)                                                 \
	{                                                                                          \
		if (*p)                                                                            \
			fn(*p);                                                                    \
	}

void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
void *xmemdup(const void *p, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Wipe, in a way the compiler cannot drop. */
void kc_wipe(void *p, size_t n);
/* Wipe a heap string, then free it. */
void kc_free_wiped(char *s);

static inline void kc_freep(void *p)
{
	free(*(void **)p);
}
static inline void kc_free_wipedp(char **p)
{
	kc_free_wiped(*p);
}
#define _cleanup_free_	_cleanup_(kc_freep)
#define _cleanup_wiped_ _cleanup_(kc_free_wipedp)

/* Close and set to -1; for _cleanup_close_ int fd = -1. */
void kc_closep(int *fd);
#define _cleanup_close_ _cleanup_(kc_closep)

#endif
