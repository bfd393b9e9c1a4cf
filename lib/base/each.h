/*
 * The same for many, side by side: what waits for others (a host, a server) and
 * must not wait for its turn. The caller takes part, and all is done on return.
 */
#ifndef KC_BASE_EACH_H
#define KC_BASE_EACH_H

#include <stddef.h>

/* fn(cookie, i) once for every i below n, on at most so many threads (the caller's counts; at least
 * one). In no order. fn keeps what it finds itself. */
void kc_each(size_t n, size_t threads, void (*fn)(void *cookie, size_t i), void *cookie);

#endif
