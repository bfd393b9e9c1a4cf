/* Help texts, rendered from the tables of lib/base/opt.h. */
#include "lib/base/opt.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

static void help_options(const struct kc_opt *list, struct kc_buf *out)
{
	for (const struct kc_opt *o = list; o && o->name; o++) {
		_cleanup_buf_ struct kc_buf left = { 0 };

		if (o->letter)
			kc_buf_printf(&left, "-%c, ", o->letter);
		else
			kc_buf_puts(&left, "    ");
		kc_buf_printf(&left, "--%s", o->name);
		if (o->type == KC_OPT_ENUM) {
			for (const char *const *c = o->choices; *c; c++)
				kc_buf_printf(&left, "%s%s", c == o->choices ? " " : "|", *c);
		} else if (o->type != KC_OPT_FLAG) {
			kc_buf_printf(&left, " %s", o->meta ? o->meta : "VALUE");
		}
		if (left.len > 34)
			kc_buf_printf(out, "  %s\n  %-34s %s", kc_buf_get(&left), "", o->doc);
		else
			kc_buf_printf(out, "  %-34s %s", kc_buf_get(&left), o->doc);
		if (o->def)
			kc_buf_printf(out, " (default %s)", o->def);
		if (o->env)
			kc_buf_printf(out, " [%s]", o->env);
		kc_buf_puts(out, "\n");
	}
}

static void help_examples(const char *lines, struct kc_buf *out)
{
	kc_buf_puts(out, "\nExamples:\n");
	while (*lines) {
		size_t n = strcspn(lines, "\n");

		kc_buf_printf(out, "  %.*s\n", (int)n, lines);
		lines += n + (lines[n] == '\n');
	}
}

static void help_verb(const struct kc_program *p, const struct kc_verb *v, struct kc_buf *out)
{
	kc_buf_printf(out, "%s %s: %s\n\nUsage:\n  %s %s", p->name, v->path, v->summary, p->name,
		      v->path);
	if (v->positional)
		kc_buf_printf(out, " %s", v->positional);
	kc_buf_puts(out, v->rest ? " [FLAGS] [-- COMMAND...]\n" : " [FLAGS]\n");
	if (v->aliases) {
		kc_buf_puts(out, "\nAlso:");
		for (const char *const *a = v->aliases; *a; a++)
			kc_buf_printf(out, "%s %s %s", a == v->aliases ? "" : ",", p->name, *a);
		kc_buf_puts(out, "\n");
	}
	if (v->description)
		kc_buf_printf(out, "\n%s\n", v->description);
	if (v->examples)
		help_examples(v->examples, out);
	if (v->opts && v->opts[0])
		kc_buf_puts(out, "\nFlags:\n");
	for (const struct kc_opt *const *list = v->opts; list && *list; list++)
		help_options(*list, out);
	if (v->more)
		v->more(out);
	kc_buf_puts(out, "\nFlags of every command:\n");
	help_options(p->global, out);
}

/* All verbs below a noun, or (noun NULL) those that stand alone. */
static size_t help_verbs(const struct kc_program *p, const char *noun, struct kc_buf *out)
{
	size_t n = 0;

	for (const struct kc_verb *const *t = p->verbs; *t; t++)
		for (const struct kc_verb *v = *t; v->path; v++) {
			size_t len = strcspn(v->path, " ");

			if (v->hidden)
				continue;
			if (noun ? strncmp(v->path, noun, len) != 0 || strlen(noun) != len
				 : v->path[len] == ' ')
				continue;
			n++;
			kc_buf_printf(out, "  %-26s %s\n", v->path, v->summary);
		}
	return n;
}

static void help_program(const struct kc_program *p, struct kc_buf *out)
{
	kc_buf_printf(out, "%s: %s\n\nUsage:\n  %s COMMAND [ARGUMENTS] [FLAGS]\n", p->name,
		      p->summary, p->name);
	for (const struct kc_noun *noun = p->nouns; noun->name; noun++) {
		kc_buf_printf(out, "\n%s:\n", noun->summary);
		help_verbs(p, noun->name, out);
	}
	kc_buf_puts(out, "\nOther commands:\n");
	help_verbs(p, NULL, out);
	kc_buf_puts(out, "\nFlags of every command:\n");
	help_options(p->global, out);
	kc_buf_printf(out, "\n`%s COMMAND --help` shows a command's flags and examples.\n",
		      p->name);
	if (p->footer)
		kc_buf_printf(out, "%s\n", p->footer);
}

bool kc_opt_help(const struct kc_program *p, const char *path, struct kc_buf *out)
{
	if (!*path) {
		help_program(p, out);
		return true;
	}
	for (const struct kc_verb *const *t = p->verbs; *t; t++)
		for (const struct kc_verb *v = *t; v->path; v++)
			if (streq(v->path, path)) {
				help_verb(p, v, out);
				return true;
			}
	for (const struct kc_noun *noun = p->nouns; noun->name; noun++)
		if (streq(noun->name, path)) {
			kc_buf_printf(out, "%s %s: %s\n\nCommands:\n", p->name, noun->name,
				      noun->summary);
			help_verbs(p, noun->name, out);
			kc_buf_printf(out,
				      "\n`%s %s COMMAND --help` shows its flags and examples.\n",
				      p->name, noun->name);
			return true;
		}
	return false;
}
