/*
 * The dataflow scheduler: a job starts the instant its dependencies are done.
 *
 * Threads are made as work appears, up to a fixed number: whoever has taken a job
 * and sees another one that may run wakes or makes one more thread, before it
 * begins its own. A job that has to wait gives its thread back and comes again by
 * timer; the calling thread keeps the timers and looks for cancellation.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "lib/plan/engine.h"

#define POLL_MS 100

struct lane {
	size_t head, tail; /* of ready jobs, linked by next[] */
	int running, cap;
};

struct limit {
	const char *name;
	size_t len, head, tail;
	long used, max;
};

struct timer {
	int64_t at;
	size_t job;
};

struct sched {
	const struct kc_sched *s;
	pthread_mutex_t lock;
	pthread_cond_t work, main;
	size_t *pending, *next, *limit_of, *start, *users;
	bool *done, *active, *holds; /* holds: has its limit */
	struct lane *lanes;
	struct limit *limits;
	size_t nlimits;
	struct timer *heap;
	size_t nheap;
	size_t left, ready, running;
	pthread_t *threads;
	int nthreads, idle;
	bool canceled;
};

bool kc_limit_parse(const char *limit, size_t *ret_name_len, long *ret_n)
{
	const char *colon = strrchr(limit, ':');

	if (!colon || colon == limit || !kc_parse_long(colon + 1, 1, 100000, ret_n))
		return false;
	*ret_name_len = (size_t)(colon - limit);
	return true;
}

int *kc_sched_caps(const struct kc_engine *e, size_t *ret_lanes, int *ret_threads)
{
	size_t n = 0;
	int *caps, sum = 0;

	while (e->providers && e->providers[n])
		n++;
	caps = xcalloc(n + 1, sizeof(*caps));
	for (size_t i = 0; i < n; i++) {
		caps[i] = kc_limits_parallel(e->providers[i]->limits);
		sum += caps[i];
	}
	*ret_lanes = n;
	*ret_threads = e->threads > 0 ? e->threads : sum < 64 ? sum : 64;
	return caps;
}

static void push(struct sched *x, size_t *head, size_t *tail, size_t job)
{
	x->next[job] = KC_NONE;
	if (*head == KC_NONE)
		*head = job;
	else
		x->next[*tail] = job;
	*tail = job;
}

static size_t pop(struct sched *x, size_t *head)
{
	size_t job = *head;

	if (job != KC_NONE)
		*head = x->next[job];
	return job;
}

static void *worker(void *arg);

static bool may_run(const struct lane *l)
{
	return l->head != KC_NONE && l->running < l->cap;
}

/*
 * Under the lock, after jobs became ready and before somebody goes off to run one.
 * One is enough: who was woken does the same. A signal that is lost, because all idle
 * threads were woken already and wait for the lock, is not missed for the same reason.
 */
static void wake_worker(struct sched *x)
{
	sigset_t all, old;
	size_t i = 0;

	while (x->ready && i < x->s->lanes && !may_run(&x->lanes[i]))
		i++;
	if (!x->ready || i == x->s->lanes)
		return;
	if (x->idle || x->nthreads == x->s->threads) {
		pthread_cond_signal(&x->work);
		return;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&x->threads[x->nthreads], NULL, worker, x) == 0)
		x->nthreads++;
	else if (!x->nthreads)
		abort(); /* not one thread: the machine is dying */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void make_ready(struct sched *x, size_t job)
{
	struct lane *l = &x->lanes[x->s->jobs[job].lane];

	push(x, &l->head, &l->tail, job);
	x->ready++;
}

static void take_limit(struct sched *x, size_t limit, size_t job)
{
	x->limits[limit].used++;
	x->holds[job] = true;
}

/* All dependencies are done: through the named limit, if there is one. */
static void release(struct sched *x, size_t job)
{
	size_t i = x->limit_of[job];

	if (x->s->due)
		x->s->due(x->s->cookie, job);
	if (i != KC_NONE && !x->holds[job]) {
		if (x->limits[i].used >= x->limits[i].max) {
			push(x, &x->limits[i].head, &x->limits[i].tail, job);
			return;
		}
		take_limit(x, i, job);
	}
	make_ready(x, job);
}

/* The next one that waits for a limit, and lives. */
static size_t pop_waiting(struct sched *x, struct limit *l)
{
	size_t job;

	do {
		job = pop(x, &l->head);
	} while (job != KC_NONE && x->done[job]);
	return job;
}

static void free_limit(struct sched *x, size_t job)
{
	size_t i = x->limit_of[job], waiting;

	if (!x->holds[job])
		return;
	x->holds[job] = false;
	x->limits[i].used--;
	if (!x->canceled && (waiting = pop_waiting(x, &x->limits[i])) != KC_NONE) {
		take_limit(x, i, waiting);
		make_ready(x, waiting);
	}
}

/*
 * All that is left waits for limits, and who holds them waits for one of those: a
 * thing that is replaced while another one that it depends on is replaced under
 * the same limit. One too many at a time is better than none for ever.
 */
static void exceed_limit(struct sched *x)
{
	for (size_t i = 0; i < x->nlimits; i++) {
		size_t job = pop_waiting(x, &x->limits[i]);

		if (job == KC_NONE)
			continue;
		take_limit(x, i, job);
		make_ready(x, job);
		return;
	}
}

static void finish(struct sched *x, size_t job)
{
	x->done[job] = true;
	free_limit(x, job);
	if (--x->left == 0)
		pthread_cond_broadcast(&x->main);
}

/* Everything that depends on job, directly or not, will not run. */
static void skip_users(struct sched *x, size_t job)
{
	struct kc_idx stack = { 0 };

	kc_idx_add(&stack, job);
	while (stack.n) {
		size_t i = stack.v[--stack.n];

		for (size_t k = x->start[i]; k < x->start[i + 1]; k++) {
			size_t user = x->users[k];

			if (x->done[user])
				continue;
			x->s->skipped(x->s->cookie, user, job);
			finish(x, user);
			kc_idx_add(&stack, user);
		}
	}
	kc_idx_done(&stack);
}

static void succeed(struct sched *x, size_t job)
{
	size_t heir = x->s->jobs[job].heir;

	if (heir && x->holds[job] && !x->done[heir - 1]) {
		x->holds[job] = false;
		x->holds[heir - 1] = true;
	}
	for (size_t k = x->start[job]; k < x->start[job + 1]; k++)
		if (--x->pending[x->users[k]] == 0 && !x->done[x->users[k]] && !x->canceled)
			release(x, x->users[k]);
}

static void heap_push(struct sched *x, int64_t at, size_t job)
{
	size_t i = x->nheap++;

	while (i && x->heap[(i - 1) / 2].at > at) {
		x->heap[i] = x->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	x->heap[i] = (struct timer){ at, job };
	if (i == 0)
		pthread_cond_signal(&x->main);
}

static size_t heap_pop(struct sched *x)
{
	size_t job = x->heap[0].job, i = 0;
	struct timer last = x->heap[--x->nheap];

	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid + 1 < x->nheap && x->heap[kid + 1].at < x->heap[kid].at)
			kid++;
		if (kid >= x->nheap || x->heap[kid].at >= last.at)
			break;
		x->heap[i] = x->heap[kid];
		i = kid;
	}
	x->heap[i] = last;
	return job;
}

static size_t take_job(struct sched *x, size_t *turn)
{
	for (size_t k = 0; x->ready && k < x->s->lanes; k++) {
		struct lane *l = &x->lanes[(*turn + k) % x->s->lanes];
		size_t job = KC_NONE;

		if (may_run(l))
			job = pop(x, &l->head);
		if (job == KC_NONE)
			continue;
		*turn = (*turn + k + 1) % x->s->lanes;
		l->running++;
		x->ready--;
		return job;
	}
	return KC_NONE;
}

static void settle(struct sched *x, size_t job, int r, int64_t delay)
{
	struct lane *l = &x->lanes[x->s->jobs[job].lane];

	l->running--;
	x->running--;
	x->active[job] = false;
	if (r == KC_EAGAIN && !x->canceled) {
		heap_push(x, kc_now_ms() + delay, job);
		return;
	}
	if (r == KC_EAGAIN) {
		x->s->skipped(x->s->cookie, job, KC_NONE);
		skip_users(x, job);
	} else if (r == 0) {
		succeed(x, job);
	} else {
		skip_users(x, job);
	}
	finish(x, job);
}

static void *worker(void *arg)
{
	struct sched *x = arg;
	size_t turn = 0;

	pthread_mutex_lock(&x->lock);
	while (x->left) {
		size_t job = take_job(x, &turn);
		int64_t delay = 0;
		int r;

		if (job == KC_NONE) {
			if (!x->running)
				pthread_cond_signal(&x->main);
			x->idle++;
			pthread_cond_wait(&x->work, &x->lock);
			x->idle--;
			continue;
		}
		x->running++;
		x->active[job] = true;
		wake_worker(x);
		pthread_mutex_unlock(&x->lock);
		r = x->s->run(x->s->cookie, job, &delay);
		pthread_mutex_lock(&x->lock);
		settle(x, job, r, delay);
	}
	pthread_cond_broadcast(&x->work);
	pthread_mutex_unlock(&x->lock);
	return NULL;
}

/* Nothing new starts: all but the running jobs are skipped. */
static void cancel(struct sched *x)
{
	x->canceled = true;
	x->nheap = x->ready = 0;
	for (size_t i = 0; i < x->s->lanes; i++)
		x->lanes[i].head = KC_NONE;
	for (size_t i = 0; i < x->s->n; i++) {
		if (x->done[i] || x->active[i])
			continue;
		x->s->skipped(x->s->cookie, i, KC_NONE);
		finish(x, i);
	}
}

static void wait_main(struct sched *x, int64_t until)
{
	struct timespec ts = { .tv_sec = until / 1000, .tv_nsec = (until % 1000) * 1000000 };

	pthread_cond_timedwait(&x->main, &x->lock, &ts);
}

/* The calling thread: timers, cancellation, and a hint while everything waits. */
static void keep_time(struct sched *x)
{
	bool told = false;

	pthread_mutex_lock(&x->lock);
	while (x->left) {
		int64_t now = kc_now_ms(), next = now + POLL_MS;

		if (!x->canceled && x->s->canceled && x->s->canceled(x->s->cookie))
			cancel(x);
		while (x->nheap && x->heap[0].at <= now) {
			make_ready(x, heap_pop(x));
			told = false;
		}
		wake_worker(x);
		if (x->nheap && x->heap[0].at < next)
			next = x->heap[0].at;
		if (!told && !x->running && !x->ready && x->nheap && x->s->idle) {
			told = true;
			pthread_mutex_unlock(&x->lock);
			x->s->idle(x->s->cookie);
			pthread_mutex_lock(&x->lock);
			continue;
		}
		if (x->left && !x->running && !x->ready && !x->nheap && !x->canceled) {
			exceed_limit(x);
			wake_worker(x);
		} else if (x->left) {
			wait_main(x, next);
		}
	}
	pthread_cond_broadcast(&x->work);
	pthread_mutex_unlock(&x->lock);
}

static size_t limit_index(struct sched *x, const char *text)
{
	size_t len, i;
	long max;

	if (!text || !kc_limit_parse(text, &len, &max))
		return KC_NONE;
	for (i = 0; i < x->nlimits; i++)
		if (x->limits[i].len == len && strncmp(x->limits[i].name, text, len) == 0)
			break;
	if (i == x->nlimits)
		x->limits[x->nlimits++] = (struct limit){ text, len, KC_NONE, KC_NONE, 0, max };
	if (max < x->limits[i].max)
		x->limits[i].max = max; /* two numbers for one name: the careful one */
	return i;
}

/* Dependents by job, as ranges in one array. */
static void index_users(struct sched *x)
{
	const struct kc_sched_job *jobs = x->s->jobs;
	size_t n = x->s->n, edges = 0;

	x->start = xcalloc(n + 2, sizeof(*x->start));
	for (size_t i = 0; i < n; i++) {
		edges += jobs[i].deps.n;
		for (size_t k = 0; k < jobs[i].deps.n; k++)
			x->start[jobs[i].deps.v[k] + 2]++;
	}
	for (size_t i = 0; i <= n; i++)
		x->start[i + 1] += x->start[i];
	x->users = xcalloc(edges + 1, sizeof(*x->users));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < jobs[i].deps.n; k++)
			x->users[x->start[jobs[i].deps.v[k] + 1]++] = i;
}

static void sched_init(struct sched *x, const struct kc_sched *s)
{
	pthread_condattr_t attr;

	x->s = s;
	x->left = s->n;
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->work, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&x->main, &attr);
	pthread_condattr_destroy(&attr);
	x->pending = xcalloc(s->n, sizeof(*x->pending));
	x->next = xcalloc(s->n, sizeof(*x->next));
	x->limit_of = xcalloc(s->n, sizeof(*x->limit_of));
	x->done = xcalloc(s->n, sizeof(*x->done));
	x->active = xcalloc(s->n, sizeof(*x->active));
	x->holds = xcalloc(s->n, sizeof(*x->holds));
	x->heap = xcalloc(s->n, sizeof(*x->heap));
	x->limits = xcalloc(s->n, sizeof(*x->limits));
	x->lanes = xcalloc(s->lanes, sizeof(*x->lanes));
	x->threads = xcalloc((size_t)s->threads, sizeof(*x->threads));
	for (size_t i = 0; i < s->lanes; i++)
		x->lanes[i] = (struct lane){ KC_NONE, KC_NONE, 0, s->caps[i] };
	for (size_t i = 0; i < s->n; i++) {
		x->limit_of[i] = limit_index(x, s->jobs[i].limit);
		x->pending[i] = s->jobs[i].deps.n;
	}
	index_users(x);
}

static void sched_done(struct sched *x)
{
	void *const owned[] = { x->pending, x->next,  x->limit_of, x->done,  x->active, x->heap,
				x->limits,  x->lanes, x->threads,  x->start, x->users,	x->holds };

	for (size_t i = 0; i < ARRAY_SIZE(owned); i++)
		free(owned[i]);
	pthread_cond_destroy(&x->main);
	pthread_cond_destroy(&x->work);
	pthread_mutex_destroy(&x->lock);
}

void kc_sched_run(const struct kc_sched *s)
{
	struct sched x = { 0 };

	if (!s->n)
		return;
	sched_init(&x, s);
	pthread_mutex_lock(&x.lock);
	for (size_t i = 0; i < s->n; i++)
		if (!x.pending[i])
			release(&x, i);
	wake_worker(&x);
	pthread_mutex_unlock(&x.lock);
	keep_time(&x);
	for (int i = 0; i < x.nthreads; i++)
		pthread_join(x.threads[i], NULL);
	sched_done(&x);
}
