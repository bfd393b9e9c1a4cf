/* doctor: does each cloud's credential chain find somebody? Only where something is set up for it.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "clouds/aws/creds.h"
#include "clouds/azure/creds.h"
#include "clouds/gcp/creds.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"

/* Is one of the variables (NULL-terminated) set, or the file below the home directory there? */
static bool set_up(const char *const *variables, const char *file)
{
	_cleanup_free_ char *path = kc_expand_home(file);

	for (; *variables; variables++) {
		const char *value = getenv(*variables);

		if (value && *value)
			return true;
	}
	return kc_exists(path);
}

static void nobody(json_t *checks, const char *id, const char *fix)
{
	kc_doctor_say(checks, id, "note", fix, "no credentials are set up here");
}

static void look_at_aws(json_t *checks)
{
	static const char *const variables[] = { "AWS_ACCESS_KEY_ID",
						 "AWS_PROFILE",
						 "AWS_WEB_IDENTITY_TOKEN_FILE",
						 "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
						 "AWS_CONTAINER_CREDENTIALS_FULL_URI",
						 "AWS_SHARED_CREDENTIALS_FILE",
						 NULL };
	_cleanup_aws_keys_ struct kc_aws_keys keys = { 0 };
	struct kc_aws_creds *creds;
	struct kc_err err;

	if (!set_up(variables, "~/.aws/credentials")) {
		nobody(checks, "credentials/aws",
		       "for Route 53: aws configure, or AWS_ACCESS_KEY_ID");
		return;
	}
	creds = kc_aws_creds_new(NULL);
	if (kc_aws_creds_get(creds, &keys, &err) < 0)
		kc_doctor_say(checks, "credentials/aws", "bad", NULL, "%s", err.msg);
	else
		kc_doctor_say(checks, "credentials/aws", "ok", NULL, "access key %s%s", keys.id,
			      keys.token ? ", temporary" : "");
	kc_aws_creds_free(creds);
}

static void look_at_gcp(json_t *checks)
{
	static const char *const variables[] = { "GOOGLE_APPLICATION_CREDENTIALS", NULL };
	_cleanup_(kc_gcp_creds_freep) struct kc_gcp_creds *creds = NULL;
	_cleanup_wiped_ char *header = NULL;
	struct kc_err err;
	int r;

	if (!set_up(variables, "~/.config/gcloud/application_default_credentials.json")) {
		nobody(checks, "credentials/gcp",
		       "for Cloud DNS: gcloud auth application-default login");
		return;
	}
	r = kc_gcp_creds_new(NULL, &creds, &err);
	if (r == 0)
		r = kc_gcp_creds_header(creds, &header, &err);
	if (r < 0)
		kc_doctor_say(checks, "credentials/gcp", "bad", NULL, "%s", err.msg);
	else
		kc_doctor_say(checks, "credentials/gcp", "ok", NULL, "%s got a token",
			      kc_gcp_creds_who(creds));
}

static void look_at_azure(json_t *checks)
{
	static const char *const variables[] = { "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET",
						 "AZURE_TENANT_ID", NULL };
	_cleanup_(kc_azure_creds_freep) struct kc_azure_creds *creds = NULL;
	_cleanup_wiped_ char *header = NULL;
	struct kc_err err;
	int r;

	if (!set_up(variables, "~/.azure/azureProfile.json")) {
		nobody(checks, "credentials/azure", "for Azure DNS: az login, or AZURE_CLIENT_ID");
		return;
	}
	r = kc_azure_creds_new("https://management.azure.com", NULL, &creds, &err);
	if (r == 0)
		r = kc_azure_creds_header(creds, &header, &err);
	if (r < 0)
		kc_doctor_say(checks, "credentials/azure", "bad", NULL, "%s", err.msg);
	else
		kc_doctor_say(checks, "credentials/azure", "ok", NULL, "%s got a token",
			      kc_azure_creds_who(creds));
}

void kc_doctor_clouds(json_t *checks)
{
	look_at_aws(checks);
	look_at_gcp(checks);
	look_at_azure(checks);
}
