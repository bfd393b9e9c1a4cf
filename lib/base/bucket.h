/*
 * A token bucket: how many calls a second, and how many at once.
 *
 * Any number of threads take from one bucket. A token may be taken into debt;
 * its taker sleeps the debt off, so that waiters are served in the order in
 * which they came.
 */
#ifndef KC_BASE_BUCKET_H
#define KC_BASE_BUCKET_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct kc_bucket {
	pthread_mutex_t lock;
	double rate;  /* tokens a second; 0: no limit */
	double burst; /* tokens of a bucket that nobody took from, at least 1 */
	double tokens;
	int64_t at;
};

void kc_bucket_init(struct kc_bucket *b, double rate, double burst);
void kc_bucket_done(struct kc_bucket *b);
/* Take a token and wait until it is due. false: stop() (asked every 200 ms; may be NULL) said so,
 * and the token is back. */
bool kc_bucket_take(struct kc_bucket *b, bool (*stop)(void *cookie), void *cookie);
/* Whoever is asked was asked too often, whatever we counted: no burst until it has filled again. */
void kc_bucket_empty(struct kc_bucket *b);

#endif
