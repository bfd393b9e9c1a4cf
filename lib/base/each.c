#include "lib/base/each.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lib/base/mem.h"

struct work {
	void (*fn)(void *cookie, size_t i);
	void *cookie;
	size_t n;
	atomic_size_t next;
};

static void *run(void *cookie)
{
	struct work *w = cookie;
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 1)) < w->n)
		w->fn(w->cookie, i);
	return NULL;
}

void kc_each(size_t n, size_t threads, void (*fn)(void *cookie, size_t i), void *cookie)
{
	struct work w = { .fn = fn, .cookie = cookie, .n = n };
	_cleanup_free_ pthread_t *started = NULL;
	size_t m = 0;

	threads = threads < n ? threads : n;
	started = xcalloc(threads + 1, sizeof(*started));
	while (m + 1 < threads && pthread_create(&started[m], NULL, run, &w) == 0)
		m++;
	run(&w);
	while (m > 0)
		pthread_join(started[--m], NULL);
}
