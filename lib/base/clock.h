/* Time: monotonic for waiting and measuring, real time for records. */
#ifndef KC_BASE_CLOCK_H
#define KC_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

int64_t kc_now_ms(void);      /* CLOCK_MONOTONIC, milliseconds */
int64_t kc_realtime_ms(void); /* since 1970, milliseconds */
/* As kc_now_ms(), but it goes on while the machine is suspended: for leases that others judge. */
int64_t kc_boottime_ms(void);
void kc_sleep_ms(int64_t ms); /* sleeps on through signals */

/* RFC 3339 UTC with seconds, "2026-11-23T15:41:12Z"; out holds 21 bytes. */
void kc_time_format(time_t t, char out[21]);

#endif
