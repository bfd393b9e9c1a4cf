#include "lib/base/opt_complete.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/opt_impl.h"
#include "lib/base/str.h"

struct answer {
	struct kc_args args; /* of the words before the last */
	kc_opt_values *values;
	const char *word;	   /* the last one, as far as it goes */
	const char *before;	   /* what each candidate begins with: "--output=" */
	const char *more;	   /* the last line */
	const struct kc_opt *open; /* the flag whose value word is */
	bool plain;		   /* behind "--" */
	struct kc_buf *out;
};

static void put(void *to, const char *word, const char *what)
{
	struct answer *a = to;
	_cleanup_free_ char *whole = xasprintf("%s%s", a->before, word);

	if (kc_startswith(whole, a->word))
		kc_buf_printf(a->out, "%s\t%s\n", whole, what ? what : "");
}

/* ---- commands ---- */

static const char *summary_of(const struct kc_program *p, const char *path)
{
	for (const struct kc_verb *const *t = p->verbs; *t; t++)
		for (const struct kc_verb *v = *t; v->path; v++)
			if (streq(v->path, path))
				return v->summary;
	for (const struct kc_noun *noun = p->nouns; noun->name; noun++)
		if (streq(noun->name, path))
			return noun->summary;
	return NULL;
}

static void put_commands(struct answer *a, char *const *words, int n)
{
	const struct kc_program *p = a->args.program;
	char found[OPT_WORDS][OPT_PATH_MAX];
	size_t count = opt_next_words(p, words, n, found);

	for (size_t i = 0; i < count; i++) {
		_cleanup_buf_ struct kc_buf path = { 0 };

		for (int k = 0; k < n; k++)
			kc_buf_printf(&path, "%s ", words[k]);
		kc_buf_puts(&path, found[i]);
		put(a, found[i], summary_of(p, kc_buf_get(&path)));
	}
}

/* ---- values ---- */

/* "bash|zsh", or "N|last", of which one stands for others. */
static void put_alternatives(struct answer *a, const char *meta)
{
	_cleanup_free_ char *copy = xstrdup(meta);
	char *save = NULL;

	for (char *w = strtok_r(copy, "|", &save); w; w = strtok_r(NULL, "|", &save))
		if (!isupper((unsigned char)*w))
			put(a, w, NULL);
}

/* meta: "FILE", "DIR", "BUNDLE", "NAME", "bash|zsh". */
static void put_values(struct answer *a, const char *meta)
{
	if (streq(meta, "FILE") || streq(meta, "BUNDLE"))
		a->more = ":files";
	else if (streq(meta, "DIR") || streq(meta, "URL"))
		a->more = ":dirs";
	else if (strchr(meta, '|'))
		put_alternatives(a, meta);
	else
		a->values(&a->args, meta, a->word + strlen(a->before), put, a);
}

static void put_value_of(struct answer *a, const struct kc_opt *o)
{
	if (o->type == KC_OPT_FLAG) {
		put(a, "true", NULL);
		put(a, "false", NULL);
	} else if (o->type == KC_OPT_ENUM) {
		for (const char *const *c = o->choices; *c; c++)
			put(a, *c, strsame(*c, o->def) ? "the default" : NULL);
	} else if (o->meta) {
		put_values(a, o->meta);
	}
}

static void put_flags(struct answer *a)
{
	for (size_t i = 0; i < a->args.nvalues; i++) {
		_cleanup_free_ char *flag = xasprintf("--%s", a->args.values[i].opt->name);

		put(a, flag, a->args.values[i].opt->doc);
	}
}

/* "--output=js" */
static void put_glued(struct answer *a)
{
	size_t len = strcspn(a->word + 2, "=");
	const struct kc_opt_value *v = opt_by_name(&a->args, a->word + 2, len);
	_cleanup_free_ char *before = xstrndup(a->word, 2 + len + 1);

	if (!v)
		return;
	a->before = before;
	put_value_of(a, v->opt);
	a->before = "";
}

/* The n-th word of "NAME [HOST]", without brackets. */
static void put_argument(struct answer *a)
{
	_cleanup_free_ char *all =
		xstrdup(a->args.verb->positional ? a->args.verb->positional : "");
	char *save = NULL, *w = strtok_r(all, " []", &save);

	for (int i = 0; w && i < a->args.args; i++)
		w = strtok_r(NULL, " []", &save);
	if (w)
		put_values(a, w);
}

/* ---- the words before ---- */

/* "-yo", "-f=FILE" */
static void read_letters(struct answer *a, const char *s)
{
	for (; *s; s++) {
		struct kc_opt_value *v = opt_by_letter(&a->args, *s);

		if (!v)
			return;
		if (v->opt->type == KC_OPT_FLAG)
			continue;
		if (s[1])
			v->value = s + (s[1] == '=' ? 2 : 1);
		else
			a->open = v->opt;
		return;
	}
}

static void read_flag(struct answer *a, const char *name)
{
	size_t len = strcspn(name, "=");
	struct kc_opt_value *v = opt_by_name(&a->args, name, len);

	if (!v)
		return;
	if (name[len])
		v->value = name + len + 1;
	else if (v->opt->type != KC_OPT_FLAG)
		a->open = v->opt;
}

static void read_word(struct answer *a, const char *w)
{
	if (a->open) {
		opt_by_name(&a->args, a->open->name, strlen(a->open->name))->value = w;
		a->open = NULL;
	} else if (a->plain || w[0] != '-' || !w[1]) {
		if (a->args.args < KC_ARG_MAX)
			a->args.arg[a->args.args++] = w;
	} else if (streq(w, "--")) {
		a->plain = true;
	} else if (w[1] == '-') {
		read_flag(a, w + 2);
	} else {
		read_letters(a, w + 1);
	}
}

static void from_environment(struct kc_args *args)
{
	for (size_t i = 0; i < args->nvalues; i++) {
		struct kc_opt_value *v = &args->values[i];
		const char *env = v->opt->env ? getenv(v->opt->env) : NULL;

		v->env = env && *env;
		v->value = v->env ? env : v->opt->def;
	}
}

static void complete_verb(struct answer *a, int n, char *const *words)
{
	opt_collect(&a->args);
	from_environment(&a->args);
	for (int i = 0; i + 1 < n; i++)
		read_word(a, words[i]);
	if (a->open)
		put_value_of(a, a->open);
	else if (a->plain && a->args.verb->rest)
		a->more = ":files";
	else if (!a->plain && kc_startswith(a->word, "--") && strchr(a->word, '='))
		put_glued(a);
	else if (!a->plain && a->word[0] == '-')
		put_flags(a);
	else
		put_argument(a);
}

void kc_opt_complete(const struct kc_program *p, kc_opt_values *values, int n, char *const *words,
		     struct kc_buf *out)
{
	struct answer a = { .args = { .program = p },
			    .values = values,
			    .before = "",
			    .more = ":none",
			    .word = n ? words[n - 1] : "",
			    .out = out };
	int leading = 0, used = 0;

	if (n > 1 && streq(words[0], "help")) {
		words++;
		n--;
	}
	while (leading + 1 < n && words[leading][0] != '-')
		leading++;
	a.args.verb = opt_find_verb(p, words, leading, &used);
	if (a.args.verb)
		complete_verb(&a, n - used, words + used);
	else if (leading + 1 >= n)
		put_commands(&a, words, leading);
	kc_buf_printf(out, "%s\n", a.more);
}
