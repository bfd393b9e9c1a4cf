#include "lib/base/opt_man.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"

struct page {
	const struct kc_program *p;
	const struct kc_manual *m;
	struct kc_buf *out;
	size_t fresh; /* where the last section began: a paragraph there needs no macro */
};

/* ---- roff ---- */

/* Text that means itself: backslashes, dashes that may be typed, and what begins a request. */
static void put(struct kc_buf *out, const char *text, size_t n)
{
	bool begin = !out->len || kc_buf_get(out)[out->len - 1] == '\n';

	for (const char *s = text; s < text + n; s++) {
		if (begin && (*s == '.' || *s == '\''))
			kc_buf_puts(out, "\\&");
		if (*s == '\\')
			kc_buf_puts(out, "\\e");
		else if (*s == '-')
			kc_buf_puts(out, "\\-");
		else if (*s == '\'')
			kc_buf_puts(out, "\\(aq");
		else if (*s == '^')
			kc_buf_puts(out, "\\(ha");
		else if (*s == '~')
			kc_buf_puts(out, "\\(ti");
		else if (*s == '`')
			kc_buf_puts(out, "\\(ga");
		else
			kc_buf_putn(out, s, 1);
		begin = *s == '\n';
	}
}

static void puts_text(struct kc_buf *out, const char *text)
{
	put(out, text, strlen(text));
}

/* A line of text; it ends with a full stop. */
static void sentence(struct kc_buf *out, const char *text)
{
	size_t n = strlen(text);

	puts_text(out, text);
	kc_buf_puts(out, n && strchr(".:", text[n - 1]) ? "\n" : ".\n");
}

/* In bold, or italic. Roman afterwards. */
static void in_font(struct kc_buf *out, const char *font, const char *text)
{
	kc_buf_printf(out, "\\f%s", font);
	puts_text(out, text);
	kc_buf_puts(out, "\\fR");
}

static void section(struct page *g, const char *title)
{
	kc_buf_printf(g->out, ".SH %s\n", title);
	g->fresh = g->out->len;
}

static void paragraph(struct page *g)
{
	if (g->out->len != g->fresh)
		kc_buf_puts(g->out, ".PP\n");
}

/* Lines as they are. */
static void verbatim(struct page *g, const char *text)
{
	paragraph(g);
	kc_buf_puts(g->out, ".RS 4\n.nf\n");
	puts_text(g->out, text);
	kc_buf_puts(g->out, kc_endswith(text, "\n") ? ".fi\n.RE\n" : "\n.fi\n.RE\n");
}

/* Paragraphs have an empty line between them; lines within are filled. */
static void paragraphs(struct page *g, const char *text)
{
	while (*text) {
		const char *end = strstr(text, "\n\n");
		size_t n = end ? (size_t)(end - text) : strlen(text);

		paragraph(g);
		put(g->out, text, n);
		kc_buf_puts(g->out, "\n");
		text += n + (end ? 2 : 0);
	}
}

static void items(struct page *g, const struct kc_manual_item *list)
{
	for (; list && list->term; list++) {
		kc_buf_puts(g->out, ".TP\n");
		in_font(g->out, "B", list->term);
		kc_buf_puts(g->out, "\n");
		sentence(g->out, list->text);
	}
}

/* ---- options ---- */

static void option(struct page *g, const struct kc_opt *o)
{
	kc_buf_puts(g->out, ".TP\n");
	if (o->letter) {
		char letter[] = { '-', o->letter, '\0' };

		in_font(g->out, "B", letter);
		kc_buf_puts(g->out, ", ");
	}
	kc_buf_puts(g->out, "\\fB\\-\\-");
	puts_text(g->out, o->name);
	kc_buf_puts(g->out, "\\fR");
	if (o->type == KC_OPT_ENUM) {
		for (const char *const *c = o->choices; *c; c++) {
			kc_buf_puts(g->out, c == o->choices ? " " : "|");
			in_font(g->out, "B", *c);
		}
	} else if (o->type != KC_OPT_FLAG) {
		kc_buf_puts(g->out, " ");
		in_font(g->out, "I", o->meta ? o->meta : "VALUE");
	}
	kc_buf_puts(g->out, "\n");
	sentence(g->out, o->doc);
	if (o->type == KC_OPT_INT)
		kc_buf_printf(g->out, "From %ld to %ld.\n", o->min, o->max);
	else if (o->min)
		kc_buf_printf(g->out, "At least %ld ms.\n", o->min);
	if (o->def) {
		kc_buf_puts(g->out, "The default is ");
		puts_text(g->out, o->def);
		kc_buf_puts(g->out, ".\n");
	}
}

static void options(struct page *g, const struct kc_verb *v)
{
	if (v && v->opts && v->opts[0])
		section(g, "OPTIONS");
	for (const struct kc_opt *const *list = v ? v->opts : NULL; list && *list; list++)
		for (const struct kc_opt *o = *list; o->name; o++)
			option(g, o);
	section(g, v ? "OPTIONS OF EVERY COMMAND" : "OPTIONS");
	for (const struct kc_opt *o = g->p->global; o && o->name; o++)
		option(g, o);
}

static void variables_of(struct page *g, const struct kc_opt *list)
{
	for (; list && list->name; list++) {
		if (!list->env)
			continue;
		kc_buf_puts(g->out, ".TP\n");
		in_font(g->out, "B", list->env);
		kc_buf_puts(g->out, "\nUsed when \\fB\\-\\-");
		puts_text(g->out, list->name);
		kc_buf_puts(g->out, "\\fR is not given.\n");
	}
}

static void environment(struct page *g, const struct kc_verb *v)
{
	section(g, "ENVIRONMENT");
	for (const struct kc_opt *const *list = v ? v->opts : NULL; list && *list; list++)
		variables_of(g, *list);
	variables_of(g, g->p->global);
	items(g, g->m->environment);
}

/* ---- pages ---- */

/* "cluster create" as "kubecdn-cluster-create"; owned. */
static char *page_name(const struct kc_program *p, const char *path)
{
	char *name = xasprintf("%s%s%s", p->name, *path ? "-" : "", path);

	for (char *s = name; *s; s++)
		if (*s == ' ')
			*s = '-';
	return name;
}

static void head(struct page *g, const char *path, const char *summary)
{
	_cleanup_free_ char *name = page_name(g->p, path), *upper = xstrdup(name);

	for (char *s = upper; *s; s++)
		*s = (char)toupper((unsigned char)*s);
	kc_buf_puts(g->out, ".TH ");
	puts_text(g->out, upper);
	kc_buf_printf(g->out, " 1 \"\" \"%s\" \"%s\"\n.nh\n.ad l\n", g->m->version, g->m->title);
	section(g, "NAME");
	puts_text(g->out, name);
	kc_buf_puts(g->out, " \\- ");
	puts_text(g->out, summary);
	kc_buf_puts(g->out, "\n");
	section(g, "SYNOPSIS");
	kc_buf_puts(g->out, "\\fB");
	puts_text(g->out, g->p->name);
	if (*path) {
		kc_buf_puts(g->out, " ");
		puts_text(g->out, path);
	}
	kc_buf_puts(g->out, "\\fR");
}

/* What every page ends with. */
static void tail(struct page *g, const struct kc_verb *v)
{
	environment(g, v);
	section(g, "FILES");
	items(g, g->m->files);
	section(g, "EXIT STATUS");
	items(g, g->m->exits);
}

static void reference(struct page *g, const char *path, const char *end)
{
	_cleanup_free_ char *name = page_name(g->p, path);

	in_font(g->out, "B", name);
	kc_buf_printf(g->out, "(1)%s\n", end);
}

/* Those of the same noun, the program's and others. */
static void see_also(struct page *g, const struct kc_verb *self)
{
	size_t noun = strcspn(self->path, " ");

	section(g, "SEE ALSO");
	reference(g, "", ",");
	for (const struct kc_verb *const *t = g->p->verbs; *t; t++)
		for (const struct kc_verb *v = *t; v->path; v++)
			if (v != self && !v->hidden && self->path[noun] &&
			    strncmp(v->path, self->path, noun + 1) == 0)
				reference(g, v->path, ",");
	puts_text(g->out, g->m->see);
	kc_buf_puts(g->out, "\n");
}

static void about(struct page *g, const struct kc_verb *v)
{
	section(g, "DESCRIPTION");
	sentence(g->out, v->summary);
	if (v->description)
		paragraphs(g, v->description);
	if (v->endless)
		kc_buf_puts(g->out,
			    ".PP\nIt runs until it is stopped: a time limit counts only if it "
			    "is typed.\n");
	if (!v->aliases)
		return;
	kc_buf_puts(g->out, ".PP\nIt may also be typed as");
	for (const char *const *a = v->aliases; *a; a++) {
		kc_buf_puts(g->out, a == v->aliases ? " " : " or ");
		in_font(g->out, "B", *a);
	}
	kc_buf_puts(g->out, ".\n");
}

static void verb_page(struct page *g, const struct kc_verb *v)
{
	head(g, v->path, v->summary);
	if (v->positional) {
		kc_buf_puts(g->out, " ");
		in_font(g->out, "I", v->positional);
	}
	kc_buf_puts(g->out, " [\\fIFLAGS\\fR]");
	kc_buf_puts(g->out, v->rest ? " [\\fB\\-\\-\\fR \\fICOMMAND\\fR...]\n" : "\n");
	about(g, v);
	options(g, v);
	if (v->more) {
		_cleanup_buf_ struct kc_buf text = { 0 };

		v->more(&text);
		section(g, "NOTES");
		verbatim(g, kc_buf_get(&text) + strspn(kc_buf_get(&text), "\n"));
	}
	tail(g, v);
	if (v->examples) {
		section(g, "EXAMPLES");
		verbatim(g, v->examples);
	}
	see_also(g, v);
}

/* The commands of a noun, or (NULL) all. */
static void commands(struct page *g, const char *noun)
{
	section(g, "COMMANDS");
	for (const struct kc_verb *const *t = g->p->verbs; *t; t++)
		for (const struct kc_verb *v = *t; v->path; v++) {
			size_t len = strcspn(v->path, " ");

			if (v->hidden ||
			    (noun && (strlen(noun) != len || strncmp(v->path, noun, len) != 0)))
				continue;
			kc_buf_puts(g->out, ".TP\n");
			reference(g, v->path, "");
			sentence(g->out, v->summary);
		}
}

static void overview_page(struct page *g, const struct kc_noun *noun)
{
	head(g, noun ? noun->name : "", noun ? noun->summary : g->p->summary);
	kc_buf_puts(g->out, " \\fICOMMAND\\fR [\\fIARGUMENTS\\fR] [\\fIFLAGS\\fR]\n");
	section(g, "DESCRIPTION");
	if (noun)
		sentence(g->out, noun->summary);
	else
		paragraphs(g, g->m->description);
	commands(g, noun ? noun->name : NULL);
	options(g, NULL);
	tail(g, NULL);
	section(g, "SEE ALSO");
	if (noun)
		reference(g, "", ",");
	puts_text(g->out, g->m->see);
	kc_buf_puts(g->out, "\n");
}

int kc_opt_man(const struct kc_program *p, const struct kc_manual *m,
	       int (*write)(void *cookie, const char *name, const char *text, struct kc_err *err),
	       void *cookie, struct kc_err *err)
{
	_cleanup_buf_ struct kc_buf out = { 0 };
	struct page g = { p, m, &out, 0 };
	int r;

	overview_page(&g, NULL);
	r = write(cookie, p->name, kc_buf_get(&out), err);
	for (const struct kc_noun *noun = p->nouns; r == 0 && noun->name; noun++) {
		_cleanup_free_ char *name = page_name(p, noun->name);

		kc_buf_clear(&out);
		overview_page(&g, noun);
		r = write(cookie, name, kc_buf_get(&out), err);
	}
	for (const struct kc_verb *const *t = p->verbs; r == 0 && *t; t++)
		for (const struct kc_verb *v = *t; r == 0 && v->path; v++) {
			_cleanup_free_ char *name = page_name(p, v->path);

			if (v->hidden)
				continue;
			kc_buf_clear(&out);
			verb_page(&g, v);
			r = write(cookie, name, kc_buf_get(&out), err);
		}
	return r;
}
