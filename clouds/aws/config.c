#include "clouds/aws/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"

enum { MAX_FILE = 1 << 20 };

struct reader {
	const char *file;
	bool credentials;
	int line;
	json_t *config, *section; /* section: where keys go now; NULL: it is none of ours */
	bool in_section;
	char *key; /* the last one, for what is indented below it */
};

/* In place: without white space at both ends. */
static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}

static void lower(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

static json_t *section_of(json_t *config, const char *type, const char *name)
{
	json_t *all = json_object_get(config, type), *one;

	if (!all) {
		all = json_object();
		json_object_set_new(config, type, all);
	}
	one = json_object_get(all, name);
	if (!one) {
		one = json_object();
		json_object_set_new(all, name, one);
	}
	return one;
}

/* "[default]", "[profile a]", "[services b]"; in the credentials file just "[a]". */
static int open_section(struct reader *r, char *line, struct kc_err *err)
{
	char *end = strchr(line, ']'), *name, *type;

	if (!end)
		return kc_fail(err, KC_EINVAL, "%s:%d: \"[\" without \"]\"", r->file, r->line);
	*end = '\0';
	name = trim(line + 1);
	r->in_section = true;
	r->section = NULL;
	if (r->credentials || streq(name, "default")) {
		r->section = section_of(r->config, "profiles", name);
		return 0;
	}
	type = name;
	name += strcspn(name, " \t");
	if (!*name)
		return 0;
	*name++ = '\0';
	name = trim(name);
	end = name + strlen(name);
	if (end - name > 1 && (*name == '"' || *name == '\'') && end[-1] == *name) {
		end[-1] = '\0';
		name++;
	}
	if (streq(type, "profile") || streq(type, "services"))
		r->section =
			section_of(r->config, streq(type, "profile") ? "profiles" : type, name);
	return 0;
}

static int add_key(struct reader *r, char *line, bool indented, struct kc_err *err)
{
	_cleanup_free_ char *full = NULL, *at = NULL;
	char *value = strchr(line, '='), *key;

	if (!value && indented && r->key)
		return 0; /* a value over several lines: no key of ours has one */
	if (!value || value == line)
		return kc_fail(err, KC_EINVAL, "%s:%d: neither [section] nor key = value", r->file,
			       r->line);
	if (!r->in_section)
		return kc_fail(err, KC_EINVAL, "%s:%d: a key before any [section]", r->file,
			       r->line);
	*value++ = '\0';
	key = trim(line);
	lower(key);
	if (indented && r->key) {
		full = xasprintf("%s.%s", r->key, key);
		key = full;
	} else {
		free(r->key);
		r->key = xstrdup(key);
	}
	if (!r->section)
		return 0;
	at = xasprintf("%s:%d", r->file, r->line);
	if (json_object_set_new(r->section, key,
				json_pack("{s:s, s:s, s:b}", "value", trim(value), "at", at,
					  "credentials", r->credentials)) < 0)
		return kc_fail(err, KC_EINVAL, "%s: the key or its value is no UTF-8", at);
	return 0;
}

int kc_aws_config_parse(const char *text, const char *file, bool credentials, json_t *config,
			struct kc_err *err)
{
	struct reader r = { .file = file, .credentials = credentials, .config = config };
	_cleanup_wiped_ char *copy = xstrdup(text);
	char *rest = copy;
	int rc = 0;

	while (rest && rc == 0) {
		char *raw = strsep(&rest, "\n"), *line;
		bool indented = *raw == ' ' || *raw == '\t';

		r.line++;
		line = trim(raw);
		if (!*line || *line == '#' || *line == ';')
			continue;
		if (*line == '[' && !indented)
			rc = open_section(&r, line, err);
		else
			rc = add_key(&r, line, indented, err);
		if (*line == '[') {
			free(r.key);
			r.key = NULL;
		}
	}
	free(r.key);
	return rc;
}

const char *kc_aws_env(const char *name)
{
	const char *v = getenv(name);

	return v && *v ? v : NULL;
}

static int load_file(const char *variable, const char *standard, bool credentials, json_t *config,
		     struct kc_err *err)
{
	const char *shown = kc_aws_env(variable) ? kc_aws_env(variable) : standard;
	_cleanup_free_ char *path = kc_expand_home(shown);
	_cleanup_wiped_ char *text = NULL;
	int r;

	if (!kc_exists(path))
		return 0;
	r = kc_file_read(path, MAX_FILE, &text, NULL, err);
	if (r < 0)
		return r;
	return kc_aws_config_parse(text, shown, credentials, config, err);
}

int kc_aws_config_load(json_t **ret, struct kc_err *err)
{
	json_auto_t *config = json_object();
	int r;

	r = load_file("AWS_CONFIG_FILE", "~/.aws/config", false, config, err);
	if (r == 0)
		r = load_file("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", true, config,
			      err);
	if (r == 0)
		*ret = TAKE(config);
	return r;
}

const char *kc_aws_profile_name(void)
{
	const char *name = kc_aws_env("AWS_PROFILE");

	if (!name)
		name = kc_aws_env("AWS_DEFAULT_PROFILE");
	return name ? name : "default";
}

const json_t *kc_aws_profile(const json_t *config, const char *name)
{
	return json_object_get(json_object_get(config, "profiles"), name);
}

const char *kc_aws_value(const json_t *profile, const char *key)
{
	const char *v = kc_json_get_str(json_object_get(profile, key), "value", NULL);

	return v && *v ? v : NULL;
}

const char *kc_aws_at(const json_t *profile, const char *key)
{
	return kc_json_get_str(json_object_get(profile, key), "at", "");
}

char *kc_aws_endpoint(const json_t *config, const char *profile, const char *service)
{
	const json_t *p = kc_aws_profile(config, profile), *s;
	const char *ignore = kc_aws_env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	_cleanup_free_ char *variable = xasprintf("AWS_ENDPOINT_URL_%s", service);
	_cleanup_free_ char *key = xasprintf("%s.endpoint_url", service);
	const char *v;

	if (ignore && strcasecmp(ignore, "true") == 0)
		return NULL;
	lower(key);
	s = json_object_get(json_object_get(config, "services"),
			    kc_aws_value(p, "services") ? kc_aws_value(p, "services") : "");
	v = kc_aws_env(variable);
	if (!v)
		v = kc_aws_env("AWS_ENDPOINT_URL");
	if (!v)
		v = kc_aws_value(s, key);
	if (!v)
		v = kc_aws_value(p, "endpoint_url");
	return v ? xstrdup(v) : NULL;
}
