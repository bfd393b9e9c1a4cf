#include "lib/base/clock.h"

#include <errno.h>
#include <string.h>

static int64_t now_of(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t kc_now_ms(void)
{
	return now_of(CLOCK_MONOTONIC);
}

int64_t kc_boottime_ms(void)
{
#ifdef CLOCK_BOOTTIME
	return now_of(CLOCK_BOOTTIME);
#else
	return now_of(CLOCK_MONOTONIC); /* elsewhere it counts suspended time itself */
#endif
}

int64_t kc_realtime_ms(void)
{
	return now_of(CLOCK_REALTIME);
}

void kc_sleep_ms(int64_t ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };

	if (ms <= 0)
		return;
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, &ts) == EINTR)
		;
}

void kc_time_format(time_t t, char out[21])
{
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
