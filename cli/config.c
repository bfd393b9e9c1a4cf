#include "cli/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bootstrap/schema.h"
#include "cli/cli.h"
#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/str.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

enum { FIELDS_MAX = 32, NAME_LEN = 32, CONFIG_MAX = 64 << 10 };

static struct {
	struct kc_field fields[FIELDS_MAX + 1];
	const struct kc_opt *opts[FIELDS_MAX];
	char names[FIELDS_MAX][NAME_LEN], docs[FIELDS_MAX][256];
	char defaults[FIELDS_MAX][NAME_LEN];
	size_t n;
} table;

/* ---- the table ---- */

static int check_set(const char *s, struct kc_err *err)
{
	return *s ? 0 : kc_fail(err, KC_EINVAL, "is empty; leave it out, or give a value");
}

static int check_duration(const char *s, struct kc_err *err)
{
	long ms;

	if (kc_parse_duration(s, &ms))
		return 0;
	return kc_fail(err, KC_EINVAL, "\"%.40s\" is not a duration; write 90s, 5m or 2h", s);
}

/* Relative to what? The directory that a command happens to run in is no answer. */
static int check_place(const char *s, struct kc_err *err)
{
	if (*s == '/' || kc_startswith(s, "~/") || strstr(s, "://"))
		return 0;
	return kc_fail(err, KC_EINVAL,
		       "\"%.80s\" depends on where a command runs; begin it with / or ~/", s);
}

static bool is_place(const struct kc_opt *o)
{
	return o->meta &&
	       (streq(o->meta, "FILE") || streq(o->meta, "BUNDLE") || streq(o->meta, "URL"));
}

static const char *example_of(const struct kc_opt *o)
{
	if (streq(o->name, "authfile"))
		return "~/.docker/config.json";
	return streq(o->meta, "FILE")	  ? "~/.config/kubecdn/state.keys"
	       : streq(o->meta, "BUNDLE") ? "~/bundle.tar"
					  : "~/clusters";
}

/* "state-key-file" as "stateKeyFile". */
static void camel(const char *name, char out[NAME_LEN])
{
	size_t n = 0;

	for (; *name && n + 1 < NAME_LEN; name++)
		out[n++] = *name == '-' && name[1] ? (char)toupper((unsigned char)*++name) : *name;
	out[n] = '\0';
}

static void describe(struct kc_field *f, const struct kc_opt *o, char def[NAME_LEN])
{
	static const enum kc_field_type types[] = {
		[KC_OPT_FLAG] = KC_FIELD_BOOL,	 [KC_OPT_STRING] = KC_FIELD_STRING,
		[KC_OPT_INT] = KC_FIELD_INT,	 [KC_OPT_DURATION] = KC_FIELD_STRING,
		[KC_OPT_ENUM] = KC_FIELD_STRING,
	};
	bool quoted = types[o->type] == KC_FIELD_STRING;

	f->type = types[o->type];
	f->values = o->choices;
	f->min = o->min;
	f->max = o->max;
	f->check = o->type == KC_OPT_DURATION ? check_duration
		   : o->type != KC_OPT_STRING ? NULL
		   : is_place(o)	      ? check_place
					      : check_set;
	f->pattern = f->check == check_set ? "." : NULL;
	f->example = o->type == KC_OPT_DURATION ? "30m" : is_place(o) ? example_of(o) : NULL;
	if (o->type == KC_OPT_FLAG)
		f->def = "false";
	if (!o->def)
		return;
	snprintf(def, NAME_LEN, "%s%s%s", quoted ? "\"" : "", o->def, quoted ? "\"" : "");
	f->def = def;
}

/* An option with a variable, once, whatever verbs have it. The file's own name is not in it. */
static void add_options(const struct kc_opt *o)
{
	for (; o && o->name; o++) {
		size_t i = 0;

		while (i < table.n && !streq(table.opts[i]->name, o->name))
			i++;
		if (!o->env || i < table.n || streq(o->name, "config"))
			continue;
		if (table.n == FIELDS_MAX)
			abort();
		camel(o->name, table.names[i]);
		snprintf(table.docs[i], sizeof(table.docs[i]), "%s. Used without --%s and %s.",
			 o->doc, o->name, o->env);
		table.opts[i] = o;
		table.fields[i].name = table.names[i];
		table.fields[i].doc = table.docs[i];
		describe(&table.fields[i], o, table.defaults[i]);
		table.n++;
	}
}

const struct kc_spec_kind *kc_cli_config_kind(void)
{
	static const struct kc_spec_kind kind = {
		.name = "Config",
		.doc = "Your own settings, in ~/.config/kubecdn/config.yaml. Flags and variables "
		       "of "
		       "the environment go before them.",
		.fields = table.fields,
	};

	if (table.n)
		return &kind;
	add_options(kc_cli_program.global);
	for (const struct kc_verb *const *t = kc_cli_program.verbs; *t; t++)
		for (const struct kc_verb *v = *t; v->path; v++)
			for (const struct kc_opt *const *list = v->opts; list && *list; list++)
				add_options(*list);
	return &kind;
}

const struct kc_spec_kind *const *kc_cli_kinds(void)
{
	static const struct kc_spec_kind *all[16];
	size_t n = 0;

	for (; kc_kinds[n] && n + 2 < ARRAY_SIZE(all); n++)
		all[n] = kc_kinds[n];
	all[n] = kc_cli_config_kind();
	return all;
}

/* ---- the file ---- */

char *kc_cli_config_path(const struct kc_args *args)
{
	const char *named = kc_args_str(args, "config"), *xdg = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");

	if (named)
		return kc_expand_home(named);
	if (xdg && xdg[0] == '/') /* relative ones are invalid (XDG Base Directory) */
		return xasprintf("%s/kubecdn/config.yaml", xdg);
	return home && home[0] == '/' ? xasprintf("%s/.config/kubecdn/config.yaml", home) : NULL;
}

/* What a flag would have been given. New reference. */
static json_t *as_typed(const struct kc_opt *o, const json_t *v)
{
	_cleanup_free_ char *text = NULL;

	if (json_is_boolean(v))
		return json_string(json_is_true(v) ? "true" : "false");
	if (json_is_integer(v))
		text = xasprintf("%lld", (long long)json_integer_value(v));
	else if (is_place(o))
		text = kc_expand_home(json_string_value(v));
	else
		text = xstrdup(json_string_value(v));
	return json_string(text);
}

/* The one mapping of the file; NULL in an empty one. */
static int document(const struct kc_yaml *y, struct kc_report *rep, json_t **ret,
		    struct kc_err *err)
{
	json_t *found = NULL;

	for (size_t i = 0; i < kc_yaml_count(y); i++) {
		json_t *v = kc_yaml_value(y, i);

		if (json_is_null(v))
			continue;
		rep->doc = i;
		if (found)
			kc_report_value(rep, "", "a second document; put all settings into one");
		else if (!json_is_object(v))
			kc_report_value(rep, "",
					"expects a mapping of settings; `kubecdn explain "
					"config` lists them");
		else
			found = v;
	}
	*ret = found;
	return kc_report_result(rep, err);
}

static int check(const char *path, const char *text, size_t len, json_t **ret, struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = NULL;
	_cleanup_report_ struct kc_report rep = { 0 };
	json_auto_t *full = NULL; /* with defaults, which are not settings */
	json_t *doc = NULL;
	int r = kc_yaml_parse(path, text, len, &y, err);

	if (r < 0)
		return r;
	rep.yaml = y;
	r = document(y, &rep, &doc, err);
	if (r == 0 && doc)
		r = kc_spec_validate(kc_cli_config_kind()->fields, doc, &rep, &full, err);
	if (r == 0)
		*ret = json_deep_copy(doc);
	return r < 0 ? kc_fail_lines(err, KC_EINVAL, kc_buf_get(&rep.lines)) : 0;
}

int kc_cli_config(struct kc_args *args, json_t **ret, struct kc_err *err)
{
	_cleanup_free_ char *path = kc_cli_config_path(args), *text = NULL;
	json_auto_t *doc = NULL, *values = NULL;
	size_t len;
	int r;

	if (!path || (!kc_args_str(args, "config") && !kc_exists(path)))
		return 0;
	r = kc_file_read(path, CONFIG_MAX, &text, &len, err);
	if (r < 0)
		return kc_wrap(err, "the settings");
	r = check(path, text, len, &doc, err);
	if (r < 0)
		return r;
	values = json_object();
	for (size_t i = 0; i < table.n; i++) {
		const json_t *v = json_object_get(doc, table.names[i]);

		if (!v || json_is_null(v))
			continue;
		json_object_set_new(values, table.names[i], as_typed(table.opts[i], v));
		kc_args_configure(args, table.opts[i]->name,
				  kc_json_get_str(values, table.names[i], NULL));
	}
	*ret = TAKE(values);
	return 0;
}
