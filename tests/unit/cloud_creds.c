/* Credentials of clouds/gcp and clouds/azure as files and settings have them, and lib/net/oauth's
 * forms and URLs. What servers say to them is in tests/e2e. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "clouds/azure/creds.h"
#include "clouds/gcp/creds.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/net/oauth.h"

static char dir[] = "/tmp/kc-creds-XXXXXX";
static char *pem, *path;

static const char *const settings[] = { "GOOGLE_APPLICATION_CREDENTIALS",
					"CLOUDSDK_CONFIG",
					"NO_GCE_CHECK",
					"GCE_METADATA_HOST",
					"GOOGLE_CLOUD_QUOTA_PROJECT",
					"AZURE_TENANT_ID",
					"AZURE_CLIENT_ID",
					"AZURE_CLIENT_SECRET",
					"AZURE_CLIENT_CERTIFICATE_PATH",
					"AZURE_FEDERATED_TOKEN_FILE",
					"AZURE_AUTHORITY_HOST",
					"AZURE_POD_IDENTITY_AUTHORITY_HOST" };

static int forget(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
		unsetenv(settings[i]);
	return 0;
}

static int make(void **state)
{
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/key.json", dir);
	setenv("HOME", dir, 1);
	return kc_runl(&pem, NULL, "openssl", "genrsa", "2048", NULL);
}

static int drop(void **state)
{
	kc_free_wiped(pem);
	free(path);
	return kc_rm_rf(dir, NULL);
}

static void put(const json_t *value, mode_t mode)
{
	_cleanup_free_ char *text = kc_json_text(value);

	assert_int_equal(kc_file_write(path, text, strlen(text), mode, NULL), 0);
}

static json_t *service_account(void)
{
	return kc_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "type", "service_account", "client_email",
		       "sa@p.test", "private_key", pem, "private_key_id", "k1", "project_id", "p",
		       "token_uri", "https://oauth2.googleapis.com/token");
}

static void google(int code, const char *words)
{
	_cleanup_(kc_gcp_creds_freep) struct kc_gcp_creds *c = NULL;
	struct kc_err err = { 0 };

	assert_int_equal(kc_gcp_creds_new(NULL, &c, &err), code);
	if (code < 0)
		assert_null(c);
	assert_non_null(strstr(code < 0 ? err.msg : kc_gcp_creds_who(c), words));
	assert_null(strstr(err.msg, "PRIVATE KEY"));
	assert_null(strchr(err.msg, '\n'));
}

static void google_takes_the_first_that_is_there(void **state)
{
	_cleanup_free_ char *gcloud = xasprintf("%s/application_default_credentials.json", dir);
	json_auto_t *user = kc_pack("{s:s, s:s, s:s, s:s}", "type", "authorized_user", "client_id",
				    "c", "client_secret", "s", "refresh_token", "r"),
		    *sa = service_account();
	_cleanup_free_ char *text = kc_json_text(user);

	google(0, "metadata server 169.254.169.254");
	setenv("GCE_METADATA_HOST", "127.0.0.1:80", 1);
	google(0, "metadata server 127.0.0.1:80");
	setenv("GCE_METADATA_HOST", "127.0.0.1/x?", 1);
	google(KC_EINVAL, "GCE_METADATA_HOST");
	setenv("NO_GCE_CHECK", "true", 1);
	google(KC_EAUTH, "gcloud auth application-default login");
	assert_int_equal(kc_file_write(gcloud, text, strlen(text), 0600, NULL), 0);
	setenv("CLOUDSDK_CONFIG", dir, 1);
	google(0, gcloud);
	put(sa, 0600);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1);
	google(0, "service account sa@p.test");
	setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere", 1);
	google(KC_ENOTFOUND, "/nowhere"); /* never the next one instead */
}

static void google_refuses_what_is_wrong(void **state)
{
	static const struct {
		const char *key, *value, *words;
	} wrong[] = {
		{ "type", "impersonated_service_account", "type \"impersonated_service_account\"" },
		{ "type", NULL, "type \"\"" },
		{ "client_email", NULL, "client_email" },
		{ "client_email", "", "client_email" },
		{ "private_key_id", NULL, "private_key_id" },
		{ "private_key", NULL, "private_key" },
		{ "private_key", "-----BEGIN PRIVATE KEY-----", "private_key" },
		{ "token_uri", NULL, "token_uri" },
		{ "token_uri", "http://oauth2.googleapis.com/token", "token_uri" },
		{ "token_uri", "file:///etc/passwd", "token_uri" },
	};

	setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		json_auto_t *file = service_account();

		if (wrong[i].value)
			json_object_set_new(file, wrong[i].key, json_string(wrong[i].value));
		else
			json_object_del(file, wrong[i].key);
		put(file, 0600);
		google(KC_EINVAL, wrong[i].words);
		google(KC_EINVAL, path);
	}
}

static void google_keys_must_be_closed_to_others(void **state)
{
	json_auto_t *sa = service_account(),
		    *external = kc_pack("{s:s, s:s, s:s, s:s, s:{s:s}}", "type", "external_account",
					"audience", "a", "subject_token_type", "t", "token_url",
					"https://sts.googleapis.com/v1/token", "credential_source",
					"file", "/var/run/token");

	setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1);
	put(sa, 0640);
	google(KC_EAUTH, "chmod 600");
	put(external, 0644); /* nothing in it is secret */
	google(0, "external account");
}

static void external_accounts_need_a_source(void **state)
{
	static const char *const sources[] = {
		"{}",
		"[]",
		"{\"file\": \"a\", \"url\": \"https://x\"}",
		"{\"executable\": {\"command\": \"x\"}}",
		"{\"environment_id\": \"aws1\", \"url\": \"https://x\"}",
		"{\"url\": \"http://example.com/\"}",
		"{\"url\": \"http://169.254.169.254.example.com/\"}",
		"{\"file\": \"a\", \"format\": {\"type\": \"json\"}}",
		"{\"file\": \"a\", \"format\": {\"type\": \"xml\"}}",
		"{\"url\": \"https://x\", \"headers\": {\"A\": \"b\\r\\nC: d\"}}",
		"{\"url\": \"https://x\", \"headers\": {\"A\": 1}}",
	};

	setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1);
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		json_t *source = json_loads(sources[i], 0, NULL);
		json_auto_t *file =
			kc_pack("{s:s, s:s, s:s, s:s, s:o}", "type", "external_account", "audience",
				"a", "subject_token_type", "t", "token_url",
				"https://sts.googleapis.com/v1/token", "credential_source", source);

		put(file, 0600);
		google(KC_EINVAL, "credential_source");
	}
}

static void azure(int code, const char *words)
{
	_cleanup_(kc_azure_creds_freep) struct kc_azure_creds *c = NULL;
	struct kc_err err = { 0 };

	assert_int_equal(kc_azure_creds_new("https://management.azure.com", NULL, &c, &err), code);
	assert_non_null(strstr(code < 0 ? err.msg : kc_azure_creds_who(c), words));
	assert_null(strstr(err.msg, "sec-ret"));
}

static void azure_takes_what_is_set(void **state)
{
	azure(0, "managed identity");
	setenv("AZURE_FEDERATED_TOKEN_FILE", "/var/run/token", 1);
	azure(KC_EINVAL, "AZURE_TENANT_ID");
	setenv("AZURE_TENANT_ID", "t", 1);
	azure(KC_EINVAL, "AZURE_CLIENT_ID");
	setenv("AZURE_CLIENT_ID", "c", 1);
	azure(0, "AZURE_FEDERATED_TOKEN_FILE");
	setenv("AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere", 1);
	azure(KC_ENOTFOUND, "/nowhere");
	setenv("AZURE_CLIENT_SECRET", "sec-ret", 1);
	azure(0, "application c (AZURE_CLIENT_SECRET)");
	setenv("AZURE_AUTHORITY_HOST", "login.microsoftonline.us", 1);
	azure(0, "AZURE_CLIENT_SECRET");
	setenv("AZURE_AUTHORITY_HOST", "http://login.microsoftonline.us", 1);
	azure(KC_EINVAL, "AZURE_AUTHORITY_HOST");
	setenv("AZURE_TENANT_ID", "t/../u", 1);
	azure(KC_EINVAL, "AZURE_TENANT_ID");
}

static void secrets_go_to_https_or_to_this_machine(void **state)
{
	static const char *const good[] = { "https://example.com", "https://example.com:8443/a?b",
					    "http://127.0.0.1",	   "http://127.0.0.1:80/x",
					    "http://localhost:1",  "http://[::1]:9/x" };
	static const char *const bad[] = { "",
					   "http",
					   "https:",
					   "http://example.com",
					   "http://127.0.0.1.example.com",
					   "http://127.0.0.1@example.com",
					   "http://127.0.0.1:80@example.com/",
					   "http://localhost:80.example.com",
					   "http://localhost\\@example.com",
					   "https://user:password@example.com",
					   "https://exa mple.com",
					   "https://example.com/\r\nHost: x",
					   "file:///etc/passwd" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(kc_url_check("x", good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(kc_url_check("x", bad[i], NULL), KC_EINVAL);
}

static void forms_are_escaped(void **state)
{
	_cleanup_free_ char *form = kc_form("a", "b c&d=+", "none", NULL, "b", "~", NULL),
			    *empty = kc_form("a", NULL, NULL);

	assert_string_equal(form, "a=b%20c%26d%3D%2B&b=~");
	assert_string_equal(empty, "");
}

static void tokens_need_a_token_and_an_end(void **state)
{
	static const char *const bad[] = { "{}",
					   "{\"access_token\": \"x\"}",
					   "{\"access_token\": \"x\", \"expires_in\": -1}",
					   "{\"access_token\": \"x\", \"expires_in\": \"1h\"}",
					   "{\"access_token\": \"\", \"expires_in\": 1}",
					   "{\"access_token\": \"x\\r\\nA: b\", \"expires_in\": 1}",
					   "{\"access_token\": 1, \"expires_in\": 1}" };
	json_auto_t *good = kc_pack("{s:s, s:s}", "access_token", "abc", "expires_in", "3600");
	_cleanup_free_ char *token = NULL;
	int64_t seconds = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_auto_t *v = json_loads(bad[i], 0, NULL);

		assert_true(kc_oauth_token("x", v, &token, &seconds, NULL) < 0);
		assert_null(token);
	}
	assert_int_equal(kc_oauth_token("x", good, &token, &seconds, NULL), 0);
	assert_string_equal(token, "abc");
	assert_int_equal(seconds, 3600);
	assert_null(strstr(json_string_value(json_object_get(good, "access_token")), "abc"));
}

static void within_ignores_what_only_theirs_has(void **state)
{
	json_auto_t *ours = json_loads("{\"a\": [{\"b\": 1}], \"c\": \"d\"}", 0, NULL),
		    *theirs = json_loads("{\"a\": [{\"b\": 1, \"k\": 2}], \"c\": \"d\", \"e\": 0}",
					 0, NULL),
		    *more = json_loads("{\"a\": [{\"b\": 1}, {}], \"c\": \"d\"}", 0, NULL);

	assert_true(kc_json_within(ours, theirs));
	assert_false(kc_json_within(theirs, ours));
	assert_false(kc_json_within(ours, more));
	assert_false(kc_json_within(ours, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(google_takes_the_first_that_is_there, forget),
		cmocka_unit_test_setup(google_refuses_what_is_wrong, forget),
		cmocka_unit_test_setup(google_keys_must_be_closed_to_others, forget),
		cmocka_unit_test_setup(external_accounts_need_a_source, forget),
		cmocka_unit_test_setup(azure_takes_what_is_set, forget),
		cmocka_unit_test(secrets_go_to_https_or_to_this_machine),
		cmocka_unit_test(forms_are_escaped),
		cmocka_unit_test(tokens_need_a_token_and_an_end),
		cmocka_unit_test(within_ignores_what_only_theirs_has),
	};

	return cmocka_run_group_tests(tests, make, drop);
}
