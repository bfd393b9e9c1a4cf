/* What Google's replies mean: for gcp.c, apart from how they are got. */
#ifndef KC_CLOUDS_GCP_REPLY_H
#define KC_CLOUDS_GCP_REPLY_H

#include "lib/base/err.h"
#include "lib/net/api.h"

/* KC_E* of a status that is no success. */
int gcp_code_of(long status);
/* err: message, status or reason, permission. who, role: in refusals, who it was and, unless the
 * reply names a permission, what role would do (or NULL). A 401 is "rebuild". */
enum kc_api_verdict gcp_judge(const struct kc_http_reply *reply, const char *who, const char *role,
			      struct kc_err *err);
/* An operation that is DONE: 0, or its errors. */
int gcp_operation_result(const json_t *operation, struct kc_err *err);

#endif
