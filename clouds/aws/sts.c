/* Roles: AssumeRole and AssumeRoleWithWebIdentity of the Security Token Service. */
#include <string.h>

#include "clouds/aws/aws.h"
#include "clouds/aws/source.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/codec/json.h"
#include "lib/net/http.h"

static void put(struct kc_buf *b, const char *name, const char *value)
{
	_cleanup_wiped_ char *escaped = value ? kc_http_escape(value) : NULL;

	if (value)
		kc_buf_printf(b, "&%s=%s", name, escaped);
}

static int ask(const char *action, const struct kc_aws_role *role, const struct kc_aws_keys *with,
	       const char *token, struct kc_aws_keys *ret, struct kc_err *err)
{
	static const struct kc_xml_shapes shapes = { 0 };
	const struct kc_aws_conf conf = {
		.service = "sts",
		.region = role->region,
		.profile = role->profile,
		.own_keys = true,
		.keys = with,
	};
	_cleanup_free_ char *path = xasprintf("%sResponse.%sResult.Credentials", action, action);
	_cleanup_free_ char *what = xasprintf("%s of %s", action, role->arn);
	_cleanup_aws_ struct kc_aws *a = NULL;
	struct kc_buf body = { 0 };
	json_auto_t *reply = NULL;
	int r;

	kc_buf_printf(&body, "Action=%s&Version=2011-06-15", action);
	put(&body, "RoleArn", role->arn);
	put(&body, "RoleSessionName", role->session ? role->session : "kubecdn");
	put(&body, "ExternalId", role->external_id);
	put(&body, "DurationSeconds", role->duration);
	put(&body, "WebIdentityToken", token);
	r = kc_aws_open(&conf, &a, err);
	if (r == 0)
		r = kc_aws_do(a,
			      &(struct kc_aws_call){
				      .action = action,
				      .method = "POST",
				      .path = "/",
				      .type = "application/x-www-form-urlencoded; charset=utf-8",
				      .body = body.data,
				      .idempotent = true,
				      .shapes = &shapes,
			      },
			      &reply, NULL, err);
	kc_wipe(body.data, body.len);
	kc_buf_done(&body);
	if (r < 0)
		return kc_wrap(err, "%s", what);
	return kc_aws_keys_read(kc_json_at(reply, path), what, "SessionToken", ret, err);
}

int kc_aws_assume(const struct kc_aws_role *role, const struct kc_aws_keys *with,
		  struct kc_aws_keys *ret, struct kc_err *err)
{
	return ask("AssumeRole", role, with, NULL, ret, err);
}

int kc_aws_assume_by_token(const struct kc_aws_role *role, const char *token_file,
			   struct kc_aws_keys *ret, struct kc_err *err)
{
	_cleanup_free_ char *path = kc_expand_home(token_file);
	_cleanup_wiped_ char *token = NULL;
	int r;

	r = kc_file_read(path, 1 << 16, &token, NULL, err);
	if (r < 0)
		return kc_wrap(err, "the web identity token");
	token[strcspn(token, "\r\n")] = '\0';
	return ask("AssumeRoleWithWebIdentity", role, NULL, token, ret, err);
}
