#include "clouds/gcp/reply.h"

#include "lib/base/str.h"
#include "lib/codec/json.h"

int gcp_code_of(long status)
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
		return KC_EINVAL;
	case 429:
		return KC_EAGAIN;
	default:
		return status >= 500 ? KC_EAGAIN : KC_EFAIL;
	}
}

/* "reason" of the first of error.errors ("alreadyExists"), else of error.details (AIP-193), else
 * error.status ("NOT_FOUND"). */
static const char *reason_of(const json_t *error)
{
	const json_t *first = json_array_get(json_object_get(error, "errors"), 0), *v;
	const char *reason = kc_json_get_str(first, "reason", NULL);
	size_t i;

	json_array_foreach(json_object_get(error, "details"), i, v)
		reason = reason ? reason : kc_json_get_str(v, "reason", NULL);
	return reason ? reason : kc_json_get_str(error, "status", "");
}

static const char *permission_of(const json_t *error)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(error, "details"), i, v) {
		const char *p = kc_json_get_str(json_object_get(v, "metadata"), "permission", NULL);

		if (p)
			return p;
	}
	return NULL;
}

static bool is_throttled(long status, const char *reason)
{
	/* Compute refuses with 403 what others refuse with 429. */
	return status == 429 || (status == 403 && (streq(reason, "rateLimitExceeded") ||
						   streq(reason, "userRateLimitExceeded")));
}

static void explain(const json_t *error, long status, const char *reason, const char *who,
		    const char *role, struct kc_err *err)
{
	const char *permission = permission_of(error), *missing = permission ? permission : role;

	kc_fail(err, gcp_code_of(status), "HTTP %ld %.100s: %.500s", status, reason,
		kc_json_get_str(error, "message", "no message"));
	if (status == 403) {
		struct kc_err told = *err;

		kc_fail(err, KC_EAUTH, "%s (as %s%s%s%s)", told.msg, who, missing ? "; " : "",
			!missing     ? ""
			: permission ? "it lacks "
				     : "it may need ",
			missing ? missing : "");
	}
}

enum kc_api_verdict gcp_judge(const struct kc_http_reply *reply, const char *who, const char *role,
			      struct kc_err *err)
{
	_cleanup_free_ char *begin = NULL;
	json_auto_t *body = NULL;
	const json_t *error;
	const char *reason;

	if (reply->status >= 200 && reply->status < 300)
		return KC_API_DONE;
	kc_json_parse(reply->body, reply->len, "", &body, NULL);
	error = json_object_get(body, "error");
	reason = reason_of(error);
	if (json_is_object(error)) {
		explain(error, reply->status, reason, who, role, err);
	} else {
		begin = kc_api_excerpt(reply);
		kc_fail(err, gcp_code_of(reply->status), "%s", begin);
	}
	if (is_throttled(reply->status, reason))
		return KC_API_THROTTLED;
	if (reply->status == 401)
		return KC_API_REBUILD;
	return reply->status >= 500 ? KC_API_UNSURE : KC_API_ERROR;
}

int gcp_operation_result(const json_t *operation, struct kc_err *err)
{
	const json_t *errors = json_object_get(json_object_get(operation, "error"), "errors"),
		     *first = json_array_get(errors, 0);
	int64_t status = kc_json_get_int(operation, "httpErrorStatusCode", 0);
	size_t more = json_array_size(errors);

	if (!json_object_get(operation, "error") && !status)
		return 0;
	return kc_fail(err, status ? gcp_code_of((long)status) : KC_EFAIL,
		       "%s failed: %.100s: %.500s%s",
		       kc_json_get_str(operation, "operationType", "it"),
		       kc_json_get_str(first, "code", "no code"),
		       kc_json_get_str(first, "message",
				       kc_json_get_str(operation, "httpErrorMessage",
						       "no message")),
		       more > 1 ? " (and more errors)" : "");
}
