/*
 * doctor: what of this machine kubecdn needs, looked at once.
 *
 * A check is {"id", "level", "text", "fix"}; level is "ok", "note" (it is only missing for those
 * who want it) or "bad".
 */
#ifndef KC_CLI_DOCTOR_H
#define KC_CLI_DOCTOR_H

#include <jansson.h>

/* fix may be NULL. */
void kc_doctor_say(json_t *checks, const char *id, const char *level, const char *fix,
		   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Which credentials each cloud's chain finds here; their token services are asked, as at any use.
 */
void kc_doctor_clouds(json_t *checks);

#endif
