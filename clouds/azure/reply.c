#include "clouds/azure/reply.h"

#include "lib/base/str.h"
#include "lib/codec/json.h"

static int code_of(long status)
{
	switch (status) {
	case 401:
	case 403:
		return KC_EAUTH;
	case 404:
		return KC_ENOTFOUND;
	case 409:
	case 412:
		return KC_ECONFLICT;
	case 400:
	case 413:
	case 422:
		return KC_EINVAL;
	case 408:
	case 429:
		return KC_EAGAIN;
	default:
		return status >= 500 ? KC_EAGAIN : KC_EFAIL;
	}
}

/* What stands between the quotes in "... to perform action 'Microsoft.Network/...' over ...". */
static char *action_of(const char *message)
{
	static const char before[] = "perform action '";
	const char *at = strstr(message, before);

	at = at ? at + strlen(before) : "";
	return xstrndup(at, strcspn(at, "'"));
}

/* {"error": {"code", "message"}}; Azure DNS leaves the outer object out. */
static const json_t *error_of(const json_t *body)
{
	const json_t *error = json_object_get(body, "error");

	if (json_is_object(error))
		return error;
	return kc_json_get_str(body, "code", NULL) ? body : NULL;
}

static void explain(const json_t *error, long status, const char *who, struct kc_err *err)
{
	const char *message = kc_json_get_str(error, "message", "no message");
	_cleanup_free_ char *action = action_of(message);

	if (code_of(status) == KC_EAUTH)
		kc_fail(err, KC_EAUTH, "HTTP %ld %.100s: %s%s%s%.400s (as %s)", status,
			kc_json_get_str(error, "code", ""), *action ? "not allowed: " : "", action,
			*action ? ": " : "", message, who);
	else
		kc_fail(err, code_of(status), "HTTP %ld %.100s: %.600s", status,
			kc_json_get_str(error, "code", ""), message);
}

enum kc_api_verdict azure_judge(const struct kc_http_reply *reply, const char *who,
				struct kc_err *err)
{
	_cleanup_free_ char *begin = NULL;
	json_auto_t *body = NULL;
	const json_t *error;

	if (reply->status >= 200 && reply->status < 300)
		return KC_API_DONE;
	kc_json_parse(reply->body, reply->len, "", &body, NULL);
	error = error_of(body);
	if (error) {
		explain(error, reply->status, who, err);
	} else {
		begin = kc_api_excerpt(reply);
		kc_fail(err, code_of(reply->status), "%s", begin);
	}
	if (reply->status == 429)
		return KC_API_THROTTLED;
	if (reply->status == 401)
		return KC_API_REBUILD;
	/* Another's operation on the same resource. */
	if (reply->status == 409 &&
	    streq(kc_json_get_str(error, "code", ""), "AnotherOperationInProgress"))
		return KC_API_RETRY;
	return reply->status >= 500 || reply->status == 408 ? KC_API_UNSURE : KC_API_ERROR;
}

int azure_operation_failed(const json_t *operation, const char *status, struct kc_err *err)
{
	const json_t *error = json_object_get(operation, "error");

	return kc_fail(err, streq(status, "Canceled") ? KC_ECANCELED : KC_EFAIL,
		       "the operation ended as %.60s: %.100s: %.600s", status,
		       kc_json_get_str(error, "code", "no code"),
		       kc_json_get_str(error, "message", "no message"));
}
