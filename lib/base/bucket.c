#include "lib/base/bucket.h"

#include "lib/base/clock.h"

void kc_bucket_init(struct kc_bucket *b, double rate, double burst)
{
	*b = (struct kc_bucket){ .rate = rate, .burst = burst > 1 ? burst : 1, .at = kc_now_ms() };
	b->tokens = b->burst;
	pthread_mutex_init(&b->lock, NULL);
}

void kc_bucket_done(struct kc_bucket *b)
{
	pthread_mutex_destroy(&b->lock);
}

/* With the lock held. */
static void fill(struct kc_bucket *b)
{
	int64_t now = kc_now_ms();

	b->tokens += (double)(now - b->at) * b->rate / 1000;
	b->at = now;
	if (b->tokens > b->burst)
		b->tokens = b->burst;
}

bool kc_bucket_take(struct kc_bucket *b, bool (*stop)(void *cookie), void *cookie)
{
	int64_t wait = 0;

	if (b->rate <= 0)
		return true;
	pthread_mutex_lock(&b->lock);
	fill(b);
	b->tokens -= 1;
	if (b->tokens < 0)
		wait = (int64_t)(-b->tokens * 1000 / b->rate) + 1;
	pthread_mutex_unlock(&b->lock);
	for (; wait > 0; wait -= 200) {
		if (stop && stop(cookie)) {
			pthread_mutex_lock(&b->lock);
			b->tokens += 1;
			pthread_mutex_unlock(&b->lock);
			return false;
		}
		kc_sleep_ms(wait < 200 ? wait : 200);
	}
	return true;
}

void kc_bucket_empty(struct kc_bucket *b)
{
	pthread_mutex_lock(&b->lock);
	fill(b);
	if (b->tokens > 0)
		b->tokens = 0;
	pthread_mutex_unlock(&b->lock);
}
