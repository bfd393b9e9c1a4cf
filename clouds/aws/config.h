/*
 * AWS's shared configuration files (AWS SDKs and Tools Reference Guide, "Shared config and
 * credentials files"), private to the room.
 *
 *	AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE -> kc_aws_config_load -> sections
 *
 * {"profiles": {"default": {"region": {"value": "eu-central-1", "at": "~/.aws/config:3",
 * "credentials": false}}}, "services": …}. What the credentials file says of a key wins. Keys are
 * in lower case; an indented "a = b" below "s3 =" is the key "s3.a". The value holds secrets: free
 * it soon. A line that is none of these is KC_EINVAL with its file and number, never its text.
 */
#ifndef KC_CLOUDS_AWS_CONFIG_H
#define KC_CLOUDS_AWS_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/base/err.h"

/* Both files; one that does not exist says nothing. */
int kc_aws_config_load(json_t **ret, struct kc_err *err);
int kc_aws_config_parse(const char *text, const char *file, bool credentials, json_t *config,
			struct kc_err *err);

/* AWS_PROFILE, AWS_DEFAULT_PROFILE, "default"; borrowed. */
const char *kc_aws_profile_name(void);
/* A profile, or NULL. Borrowed. */
const json_t *kc_aws_profile(const json_t *config, const char *name);
/* A key's value, or NULL; where it stands ("file:line"), or "". Borrowed. */
const char *kc_aws_value(const json_t *profile, const char *key);
const char *kc_aws_at(const json_t *profile, const char *key);
/* An environment variable that is set and not empty, or NULL. */
const char *kc_aws_env(const char *name);
/* AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, then the same of the profile; NULL: AWS's own.
 * service is as in the variable's name: "ROUTE_53". Owned. */
char *kc_aws_endpoint(const json_t *config, const char *profile, const char *service);

#endif
