#include "lib/base/opt.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/opt_impl.h"
#include "lib/base/str.h"

enum { PATH_MAX_LEN = OPT_PATH_MAX };

/* Does path start with the first n words? All of it, when whole is set. */
static bool path_matches(const char *path, char *const *words, int n, bool whole)
{
	for (int i = 0; i < n; i++) {
		size_t len = strcspn(path, " ");

		if (strlen(words[i]) != len || strncmp(path, words[i], len) != 0)
			return false;
		path += len;
		if (*path == ' ')
			path++;
		else if (i + 1 < n)
			return false;
	}
	return !whole || !*path;
}

static bool verb_matches(const struct kc_verb *v, char *const *words, int n, bool whole)
{
	if (path_matches(v->path, words, n, whole))
		return true;
	for (const char *const *a = v->aliases; a && *a; a++)
		if (path_matches(*a, words, n, whole))
			return true;
	return false;
}

/* The verb whose path or alias is the longest run of leading words; *ret_used counts them. */
const struct kc_verb *opt_find_verb(const struct kc_program *p, char *const *words, int n,
				    int *ret_used)
{
	for (int used = n; used > 0; used--)
		for (const struct kc_verb *const *t = p->verbs; *t; t++)
			for (const struct kc_verb *v = *t; v->path; v++)
				if (verb_matches(v, words, used, true)) {
					*ret_used = used;
					return v;
				}
	return NULL;
}

static bool has_prefix(const struct kc_program *p, char *const *words, int n)
{
	for (const struct kc_verb *const *t = p->verbs; *t; t++)
		for (const struct kc_verb *v = *t; v->path; v++)
			if (verb_matches(v, words, n, false))
				return true;
	return false;
}

size_t opt_next_words(const struct kc_program *p, char *const *words, int known,
		      char found[OPT_WORDS][OPT_PATH_MAX])
{
	size_t n = 0;

	for (const struct kc_verb *const *t = p->verbs; *t; t++)
		for (const struct kc_verb *v = *t; v->path; v++) {
			const char *s = v->path;
			bool seen = false;

			if (v->hidden || !path_matches(s, words, known, false))
				continue;
			for (int i = 0; i < known; i++)
				s += strcspn(s, " ") + 1;
			snprintf(found[n], PATH_MAX_LEN, "%.*s", (int)strcspn(s, " "), s);
			for (size_t i = 0; i < n; i++)
				seen |= streq(found[i], found[n]);
			if (!seen && ++n == OPT_WORDS)
				return n;
		}
	return n;
}

static int unknown_command(const struct kc_program *p, char *const *words, int n,
			   struct kc_err *err)
{
	char found[OPT_WORDS][PATH_MAX_LEN];
	const char *names[OPT_WORDS], *near;
	_cleanup_buf_ struct kc_buf before = { 0 };
	int known = n - 1;
	size_t count;

	while (known > 0 && !has_prefix(p, words, known))
		known--;
	count = opt_next_words(p, words, known, found);
	for (size_t i = 0; i < count; i++)
		names[i] = found[i];
	for (int i = 0; i < known; i++)
		kc_buf_printf(&before, "%s ", words[i]);
	if (!known && count < OPT_WORDS)
		names[count++] = "help";
	near = kc_nearest(words[known], names, count);
	if (near)
		return kc_fail(err, KC_EINVAL,
			       "there is no command \"%s%s\"; did you mean \"%s %s%s\"?",
			       kc_buf_get(&before), words[known], p->name, kc_buf_get(&before),
			       near);
	return kc_fail(err, KC_EINVAL, "there is no command \"%s%s\"; see `%s %s--help`",
		       kc_buf_get(&before), words[known], p->name, kc_buf_get(&before));
}

/* ---- options ---- */

static void add_options(struct kc_args *a, const struct kc_opt *list)
{
	for (; list && list->name; list++) {
		if (a->nvalues == KC_OPT_MAX)
			abort(); /* a table outgrew KC_OPT_MAX */
		a->values[a->nvalues++] = (struct kc_opt_value){ .opt = list };
	}
}

void opt_collect(struct kc_args *a)
{
	for (const struct kc_opt *const *list = a->verb->opts; list && *list; list++)
		add_options(a, *list);
	add_options(a, a->program->global);
}

struct kc_opt_value *opt_by_name(const struct kc_args *a, const char *name, size_t len)
{
	for (size_t i = 0; i < a->nvalues; i++) {
		const struct kc_opt_value *v = &a->values[i];

		if (strlen(v->opt->name) == len && strncmp(v->opt->name, name, len) == 0)
			return (struct kc_opt_value *)v;
	}
	return NULL;
}

struct kc_opt_value *opt_by_letter(struct kc_args *a, char c)
{
	for (size_t i = 0; i < a->nvalues; i++)
		if (a->values[i].opt->letter == c)
			return &a->values[i];
	return NULL;
}

static int fail_choice(const struct kc_opt *o, const char *from, const char *value,
		       struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf list = { 0 };

	for (const char *const *c = o->choices; *c; c++)
		kc_buf_printf(&list, "%s%s", c == o->choices ? "" : c[1] ? ", " : " or ", *c);
	return kc_fail(err, KC_EINVAL, "%s: \"%s\" is not one of %s", from, value,
		       kc_buf_get(&list));
}

/* Check a value wherever it came from; from names the flag or the variable. */
static int check(const struct kc_opt *o, const char *from, const char *value, struct kc_err *err)
{
	long n;

	switch (o->type) {
	case KC_OPT_FLAG:
		if (!streq(value, "true") && !streq(value, "false") && !streq(value, "1") &&
		    !streq(value, "0"))
			return kc_fail(err, KC_EINVAL, "%s: \"%s\" is neither true nor false", from,
				       value);
		return 0;
	case KC_OPT_STRING:
		if (!*value)
			return kc_fail(err, KC_EINVAL, "%s: the value is empty; give a %s", from,
				       o->meta ? o->meta : "value");
		return 0;
	case KC_OPT_INT:
		if (!kc_parse_long(value, o->min, o->max, &n))
			return kc_fail(err, KC_EINVAL, "%s: \"%s\" is not a number from %ld to %ld",
				       from, value, o->min, o->max);
		return 0;
	case KC_OPT_DURATION:
		if (!kc_parse_duration(value, &n))
			return kc_fail(err, KC_EINVAL,
				       "%s: \"%s\" is not a duration; write 90s, 5m or 2h", from,
				       value);
		if (n < o->min)
			return kc_fail(err, KC_EINVAL, "%s: \"%s\" is too short; at least %ld%s",
				       from, value, o->min < 1000 ? o->min : o->min / 1000,
				       o->min < 1000 ? "ms" : "s");
		return 0;
	case KC_OPT_ENUM:
		for (const char *const *c = o->choices; *c; c++)
			if (streq(value, *c))
				return 0;
		return fail_choice(o, from, value, err);
	}
	return kc_fail(err, KC_EFAIL, "%s: an option without a type", from);
}

static int set_value(struct kc_opt_value *v, const char *value, struct kc_err *err)
{
	char from[PATH_MAX_LEN];
	int r;

	snprintf(from, sizeof(from), "--%s", v->opt->name);
	r = check(v->opt, from, value, err);
	if (r < 0)
		return r;
	v->value = value;
	v->given = true;
	return 0;
}

static int missing_value(const struct kc_opt *o, struct kc_err *err)
{
	return kc_fail(err, KC_EINVAL, "--%s needs a value: --%s %s", o->name, o->name,
		       o->meta ? o->meta : "VALUE");
}

static void verb_command(const struct kc_args *a, char out[PATH_MAX_LEN])
{
	snprintf(out, PATH_MAX_LEN, "%s %s", a->program->name, a->verb->path);
}

static int unknown_option(const struct kc_args *a, const char *name, size_t len, struct kc_err *err)
{
	const char *names[KC_OPT_MAX + 1], *near;
	_cleanup_free_ char *word = xstrndup(name, len);
	char cmd[PATH_MAX_LEN];

	for (size_t i = 0; i < a->nvalues; i++)
		names[i] = a->values[i].opt->name;
	near = kc_nearest(word, names, a->nvalues);
	verb_command(a, cmd);
	if (near)
		return kc_fail(err, KC_EINVAL, "%s has no flag --%s; did you mean --%s?", cmd, word,
			       near);
	return kc_fail(err, KC_EINVAL, "%s has no flag --%s; see `%s --help`", cmd, word, cmd);
}

struct cursor {
	int argc, i;
	char *const *argv;
};

/* A value in the next word. "-" is a value (standard input), "-x" is not. */
static const char *next_value(struct cursor *c)
{
	if (c->i + 1 >= c->argc)
		return NULL;
	if (c->argv[c->i + 1][0] == '-' && c->argv[c->i + 1][1])
		return NULL;
	return c->argv[++c->i];
}

static int long_option(struct kc_args *a, struct cursor *c, struct kc_err *err)
{
	const char *name = c->argv[c->i] + 2, *value;
	size_t len = strcspn(name, "=");
	struct kc_opt_value *v = opt_by_name(a, name, len);

	if (!v)
		return unknown_option(a, name, len, err);
	if (name[len])
		return set_value(v, name + len + 1, err);
	if (v->opt->type == KC_OPT_FLAG)
		return set_value(v, "true", err);
	value = next_value(c);
	if (!value)
		return missing_value(v->opt, err);
	return set_value(v, value, err);
}

/* -yv, -f FILE, -fFILE, -f=FILE. */
static int short_options(struct kc_args *a, struct cursor *c, struct kc_err *err)
{
	for (const char *s = c->argv[c->i] + 1; *s; s++) {
		struct kc_opt_value *v = opt_by_letter(a, *s);
		const char *value;
		char cmd[PATH_MAX_LEN];
		int r;

		if (!v) {
			verb_command(a, cmd);
			return kc_fail(err, KC_EINVAL, "%s has no flag -%c; see `%s --help`", cmd,
				       *s, cmd);
		}
		if (v->opt->type != KC_OPT_FLAG) {
			value = s[1] == '=' ? s + 2 : s[1] ? s + 1 : next_value(c);
			return value ? set_value(v, value, err) : missing_value(v->opt, err);
		}
		r = set_value(v, "true", err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_arg(struct kc_args *a, const char *word, struct kc_err *err)
{
	char cmd[PATH_MAX_LEN];

	verb_command(a, cmd);
	if (a->verb->max_args == 0)
		return kc_fail(err, KC_EINVAL,
			       "%s takes no argument, but got \"%s\"; see `%s --help`", cmd, word,
			       cmd);
	if (a->args == a->verb->max_args || a->args == KC_ARG_MAX)
		return kc_fail(err, KC_EINVAL, "%s: \"%s\" is one argument too many: %s %s%s", cmd,
			       word, cmd, a->verb->positional, a->verb->rest ? " -- COMMAND" : "");
	a->arg[a->args++] = word;
	return 0;
}

static int parse_words(struct kc_args *a, struct cursor *c, struct kc_err *err)
{
	bool plain = false;
	int r = 0;

	for (; c->i < c->argc && r == 0; c->i++) {
		const char *w = c->argv[c->i];

		if (plain || w[0] != '-' || !w[1])
			r = add_arg(a, w, err);
		else if (streq(w, "--") && a->verb->rest)
			break;
		else if (streq(w, "--"))
			plain = true;
		else if (w[1] == '-')
			r = long_option(a, c, err);
		else
			r = short_options(a, c, err);
	}
	if (a->verb->rest)
		a->rest = c->argv + (c->i < c->argc ? c->i + 1 : c->argc);
	return r;
}

static int fill_defaults(struct kc_args *a, struct kc_err *err)
{
	for (size_t i = 0; i < a->nvalues; i++) {
		struct kc_opt_value *v = &a->values[i];
		const char *env = v->opt->env ? getenv(v->opt->env) : NULL;

		if (v->given)
			continue;
		if (env && *env) {
			int r = check(v->opt, v->opt->env, env, err);

			if (r < 0)
				return r;
			v->value = env;
			v->env = true;
		} else {
			v->value = v->opt->def;
		}
	}
	return 0;
}

/* Is help asked for, anywhere before "--"? Then nothing else matters. */
static bool wants_help(int argc, char *const *argv)
{
	for (int i = 1; i < argc && !streq(argv[i], "--"); i++)
		if (streq(argv[i], "--help") || streq(argv[i], "-h"))
			return true;
	return false;
}

static int help_result(const struct kc_program *p, char *const *words, int n, struct kc_args *ret,
		       struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	const struct kc_verb *v;
	int used = 0;

	v = opt_find_verb(p, words, n, &used);
	if (v) {
		kc_opt_help(p, v->path, &out);
	} else if (n == 0) {
		kc_opt_help(p, "", &out);
	} else if (!kc_opt_help(p, words[0], &out)) {
		return unknown_command(p, words, n, err);
	}
	*ret = (struct kc_args){ .program = p, .help = kc_buf_steal(&out) };
	return 0;
}

static int parse_verb(const struct kc_program *p, const struct kc_verb *v, struct cursor c,
		      struct kc_args *ret, struct kc_err *err)
{
	struct kc_args a = { .program = p, .verb = v };
	int r;

	opt_collect(&a);
	r = parse_words(&a, &c, err);
	if (r == 0)
		r = fill_defaults(&a, err);
	if (r < 0)
		return r;
	if (a.args < v->min_args)
		return kc_fail(err, KC_EINVAL, "%s %s needs an argument: %s %s %s", p->name,
			       v->path, p->name, v->path, v->positional);
	*ret = a;
	return 0;
}

static const struct kc_verb *version_verb(const struct kc_program *p)
{
	static char version[] = "version";
	char *const words[] = { version };
	int used;

	return opt_find_verb(p, words, 1, &used);
}

int kc_opt_parse(const struct kc_program *p, int argc, char *const *argv, struct kc_args *ret,
		 struct kc_err *err)
{
	int words = 0, used = 0, from = 1;
	const struct kc_verb *v;

	/* `kubecdn help cluster create` is `kubecdn cluster create --help`. */
	if (argc > 1 && streq(argv[1], "help"))
		from = 2;
	while (from + words < argc && argv[from + words][0] != '-')
		words++;
	if (from == 2 || wants_help(argc, argv))
		return help_result(p, argv + from, words, ret, err);

	/* `kubecdn --version` is `kubecdn version`. */
	v = argc > 1 && streq(argv[1], "--version") ? version_verb(p) : NULL;
	if (v)
		return parse_verb(p, v, (struct cursor){ argc, 2, argv }, ret, err);
	v = opt_find_verb(p, argv + 1, words, &used);
	if (v)
		return parse_verb(p, v, (struct cursor){ argc, 1 + used, argv }, ret, err);
	if (words + 1 < argc && !words)
		return kc_fail(err, KC_EINVAL,
			       "%s: name the command before its flags; see `%s --help`", argv[1],
			       p->name);
	if (words + 1 == argc && (!words || has_prefix(p, argv + 1, words)))
		return help_result(p, argv + 1, words, ret, err);
	return unknown_command(p, argv + 1, words, err);
}

void kc_args_done(struct kc_args *a)
{
	free(a->help);
	*a = (struct kc_args){ 0 };
}

/* ---- values ---- */

void kc_args_configure(struct kc_args *a, const char *name, const char *value)
{
	struct kc_opt_value *v = opt_by_name(a, name, strlen(name));

	if (v && v->opt->env && !v->given && !v->env)
		v->value = value;
}

static const struct kc_opt_value *value_of(const struct kc_args *a, const char *name)
{
	const struct kc_opt_value *v = opt_by_name(a, name, strlen(name));

	if (!v)
		abort();
	return v;
}

const char *kc_args_str(const struct kc_args *a, const char *name)
{
	return value_of(a, name)->value;
}

bool kc_args_bool(const struct kc_args *a, const char *name)
{
	const char *v = value_of(a, name)->value;

	return v && (streq(v, "true") || streq(v, "1"));
}

long kc_args_long(const struct kc_args *a, const char *name, long fallback)
{
	const struct kc_opt_value *v = value_of(a, name);
	long n;

	if (!v->value)
		return fallback;
	if (v->opt->type == KC_OPT_DURATION ? kc_parse_duration(v->value, &n)
					    : kc_parse_long(v->value, INT64_MIN, INT64_MAX, &n))
		return n;
	return fallback;
}

bool kc_args_given(const struct kc_args *a, const char *name)
{
	return value_of(a, name)->given;
}

bool kc_args_knows(const struct kc_args *a, const char *name)
{
	return opt_by_name(a, name, strlen(name)) != NULL;
}

const char *kc_args_pos(const struct kc_args *a, int n)
{
	return n < a->args ? a->arg[n] : NULL;
}
