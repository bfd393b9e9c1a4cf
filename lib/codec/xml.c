#include "lib/codec/xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

enum { MAX_SIZE = 16 << 20, MAX_DEPTH = 64, MAX_ELEMENTS = 500000 };

/* An element that is open. */
struct frame {
	char *name;
	bool list;
	json_t *value; /* of a list or of an element with elements; else NULL */
	struct kc_buf text;
};

struct parse {
	XML_Parser parser;
	const struct kc_xml_shapes *shapes;
	struct frame open[MAX_DEPTH];
	size_t depth, elements;
	json_t *result;
	char why[256]; /* the first mistake that is ours to find; or "" */
};

static void parse_done(struct parse *p)
{
	for (size_t i = 0; i < p->depth; i++) {
		free(p->open[i].name);
		json_decref(p->open[i].value);
		kc_buf_done(&p->open[i].text);
	}
	json_decref(p->result);
	if (p->parser)
		XML_ParserFree(p->parser);
}

__attribute__((format(printf, 2, 3))) static void refuse(struct parse *p, const char *fmt, ...)
{
	va_list ap;

	if (*p->why)
		return;
	va_start(ap, fmt);
	vsnprintf(p->why, sizeof(p->why), fmt, ap);
	va_end(ap);
	XML_StopParser(p->parser, XML_FALSE);
}

static bool in(const char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (streq(*names, name))
			return true;
	return false;
}

static void on_doctype(void *cookie, const char *name, const char *system, const char *public,
		       int internal)
{
	refuse(cookie, "document types are not allowed");
}

static void on_start(void *cookie, const char *name, const char **attributes)
{
	struct parse *p = cookie;
	struct frame *f = &p->open[p->depth];

	if (*p->why)
		return;
	if (p->depth == MAX_DEPTH || ++p->elements > MAX_ELEMENTS)
		return refuse(p, "more than %d levels or %d elements", MAX_DEPTH, MAX_ELEMENTS);
	if (p->depth && !f[-1].value)
		f[-1].value = json_object();
	*f = (struct frame){ .name = xstrdup(name), .list = in(p->shapes->lists, name) };
	if (f->list)
		f->value = json_array();
	p->depth++;
}

static void on_text(void *cookie, const char *text, int len)
{
	struct parse *p = cookie;

	if (p->depth && !*p->why)
		kc_buf_putn(&p->open[p->depth - 1].text, text, (size_t)len);
}

static json_t *scalar(struct parse *p, const struct frame *f)
{
	const char *text = kc_buf_get(&f->text);

	if (in(p->shapes->integers, f->name)) {
		long n;

		if (kc_parse_long(text, LONG_MIN, LONG_MAX, &n))
			return json_integer(n);
		refuse(p, "<%.60s> is no number: \"%.60s\"", f->name, text);
	} else if (in(p->shapes->booleans, f->name)) {
		if (streq(text, "true") || streq(text, "false"))
			return json_boolean(*text == 't');
		refuse(p, "<%.60s> is neither true nor false: \"%.60s\"", f->name, text);
	}
	return json_stringn(text, f->text.len);
}

/* Consumes value. */
static void attach(struct parse *p, const struct frame *f, json_t *value)
{
	struct frame *parent = p->depth ? &p->open[p->depth - 1] : NULL;
	json_t *before;

	if (!parent) {
		p->result = json_object();
		json_object_set_new(p->result, f->name, value);
		return;
	}
	if (parent->list) {
		json_array_append_new(parent->value, value);
		return;
	}
	before = json_object_get(parent->value, f->name);
	if (before && f->list) {
		json_decref(value);
		refuse(p, "the list <%.60s> stands twice", f->name);
	} else if (json_is_array(before)) {
		json_array_append_new(before, value);
	} else if (before) {
		json_t *both = json_array();

		json_array_append(both, before);
		json_array_append_new(both, value);
		json_object_set_new(parent->value, f->name, both);
	} else {
		json_object_set_new(parent->value, f->name, value);
	}
}

static void on_end(void *cookie, const char *name)
{
	struct parse *p = cookie;
	struct frame f;
	const char *text;

	if (*p->why)
		return;
	f = p->open[--p->depth];
	text = kc_buf_get(&f.text);
	if (!f.value)
		f.value = scalar(p, &f);
	else if (text[strspn(text, " \t\r\n")])
		refuse(p, "<%.60s> has both elements and text", f.name);
	if (!f.value)
		refuse(p, "<%.60s> is no UTF-8", f.name);
	if (*p->why)
		json_decref(f.value);
	else
		attach(p, &f, f.value);
	free(f.name);
	kc_buf_done(&f.text);
}

int kc_xml_parse(const char *text, size_t len, const struct kc_xml_shapes *shapes, const char *what,
		 json_t **ret, struct kc_err *err)
{
	_cleanup_(parse_done) struct parse p = { .shapes = shapes };
	unsigned long line;

	if (len > MAX_SIZE)
		return kc_fail(err, KC_EFAIL, "%s: more than %d bytes of XML", what, MAX_SIZE);
	p.parser = XML_ParserCreate(NULL);
	if (!p.parser)
		abort();
	XML_SetUserData(p.parser, &p);
	XML_SetElementHandler(p.parser, on_start, on_end);
	XML_SetCharacterDataHandler(p.parser, on_text);
	XML_SetStartDoctypeDeclHandler(p.parser, on_doctype);
	if (XML_Parse(p.parser, text, (int)len, XML_TRUE) != XML_STATUS_OK || *p.why) {
		line = XML_GetCurrentLineNumber(p.parser);
		return kc_fail(err, KC_EFAIL, "%s: line %lu: %s", what, line,
			       *p.why ? p.why : XML_ErrorString(XML_GetErrorCode(p.parser)));
	}
	*ret = TAKE(p.result);
	return 0;
}

static int put_text(struct kc_buf *b, const char *name, const char *text, struct kc_err *err)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '&' || c == '<' || c == '>' || c == '\r' || c == '\n' || c == '\t')
			kc_buf_printf(b, "&#%d;", c);
		else if (c < ' ')
			return kc_fail(err, KC_EINVAL,
				       "%s has a control character (%d), which XML cannot say",
				       name, c);
		else
			kc_buf_putn(b, text, 1);
	}
	return 0;
}

static int put_value(struct kc_buf *b, const char *name, const json_t *value, struct kc_err *err)
{
	const char *key;
	json_t *v;
	int r = 0;

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		json_object_foreach((json_t *)value, key, v) {
			r = kc_xml_write(b, key, v, err);
			if (r < 0)
				return r;
		}
		return 0;
	case JSON_STRING:
		if (strlen(json_string_value(value)) != json_string_length(value))
			return kc_fail(err, KC_EINVAL, "%s has a zero byte", name);
		return put_text(b, name, json_string_value(value), err);
	case JSON_INTEGER:
		kc_buf_printf(b, "%lld", (long long)json_integer_value(value));
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		kc_buf_puts(b, json_is_true(value) ? "true" : "false");
		return 0;
	default:
		return kc_fail(err, KC_EINVAL, "%s: neither text, integer, boolean nor elements",
			       name);
	}
}

int kc_xml_write(struct kc_buf *b, const char *name, const json_t *value, struct kc_err *err)
{
	json_t *v;
	size_t i;
	int r;

	if (json_is_null(value))
		return 0;
	if (json_is_array(value)) {
		json_array_foreach((json_t *)value, i, v) {
			r = json_is_array(v) ? kc_fail(err, KC_EINVAL, "%s: a list in a list", name)
					     : kc_xml_write(b, name, v, err);
			if (r < 0)
				return r;
		}
		return 0;
	}
	kc_buf_printf(b, "<%s>", name);
	r = put_value(b, name, value, err);
	kc_buf_printf(b, "</%s>", name);
	return r;
}
