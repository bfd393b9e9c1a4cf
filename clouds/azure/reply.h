/* What Azure's replies mean: for azure.c, apart from how they are got. */
#ifndef KC_CLOUDS_AZURE_REPLY_H
#define KC_CLOUDS_AZURE_REPLY_H

#include "lib/base/err.h"
#include "lib/net/api.h"

/* err: code, message, action. who: for whom, in refusals. A 401 is "rebuild". */
enum kc_api_verdict azure_judge(const struct kc_http_reply *reply, const char *who,
				struct kc_err *err);
/* The error of an operation that ended with another status than Succeeded. */
int azure_operation_failed(const json_t *operation, const char *status, struct kc_err *err);

#endif
