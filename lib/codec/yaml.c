#include "lib/codec/yaml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

/* The shape of a document beside its json_t: what JSON cannot remember. */
struct node {
	char *key; /* NULL for list items and the root */
	char *raw; /* scalars: as written */
	struct kc_pos pos, key_pos;
	struct node *child;
	size_t n, cap;
};

struct doc {
	struct node root;
	json_t *value;
};

struct kc_yaml {
	char *file;
	struct doc *docs;
	size_t n;
};

struct reader {
	yaml_parser_t parser;
	const char *file;
	const char *text;
	size_t len;
	size_t nodes;
	struct kc_err *err;
};

static void eventp(yaml_event_t *e)
{
	yaml_event_delete(e);
}
#define _cleanup_event_ _cleanup_(eventp)

static struct kc_pos pos_of(const yaml_mark_t *m)
{
	return (struct kc_pos){ .line = (int)m->line + 1, .column = (int)m->column + 1 };
}

static int refuse(struct reader *in, struct kc_pos at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int refuse(struct reader *in, struct kc_pos at, const char *fmt, ...)
{
	_cleanup_free_ char *why = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&why, fmt, ap) < 0)
		abort();
	va_end(ap);
	return kc_fail(in->err, KC_EINVAL, "%s:%d:%d: %s", in->file, at.line, at.column, why);
}

/* The reader's errors carry a byte offset, not a mark. */
static struct kc_pos pos_at_offset(const struct reader *in, size_t offset)
{
	struct kc_pos at = { 1, 1 };

	for (size_t i = 0; i < offset && i < in->len; i++) {
		unsigned char c = (unsigned char)in->text[i];

		if (c == '\n') {
			at.line++;
			at.column = 1;
		} else if ((c & 0xc0) != 0x80) {
			at.column++;
		}
	}
	return at;
}

static int syntax_error(struct reader *in)
{
	const yaml_parser_t *p = &in->parser;
	const char *problem = p->problem ? p->problem : "unknown problem";
	struct kc_pos at = pos_of(&p->problem_mark);

	if (p->error == YAML_READER_ERROR)
		return refuse(in, pos_at_offset(in, p->problem_offset),
			      "not YAML: %s; save the file as UTF-8 text", problem);
	if (strstr(problem, "cannot start any token"))
		return refuse(in, at,
			      "not YAML: %s; indent with spaces, not tabs, and quote text that "
			      "begins with @ or `",
			      problem);
	return refuse(in, at,
		      "not YAML: %s%s%s; check the indentation, brackets and quotes just above",
		      problem, p->context ? ", " : "", p->context ? p->context : "");
}

static int next_event(struct reader *in, yaml_event_t *ret)
{
	if (!yaml_parser_parse(&in->parser, ret)) {
		memset(ret, 0, sizeof(*ret));
		return syntax_error(in);
	}
	return 0;
}

static size_t digits(const char *s)
{
	return strspn(s, "0123456789");
}

/* -?(0|[1-9][0-9]*), and with *ret_real a fraction or an exponent behind it: JSON's numbers. */
static bool is_number(const char *s, bool *ret_real)
{
	bool real = false;
	size_t n;

	if (*s == '-')
		s++;
	n = digits(s);
	if (n == 0 || (n > 1 && *s == '0'))
		return false;
	s += n;
	if (*s == '.') {
		n = digits(++s);
		if (n == 0)
			return false;
		s += n;
		real = true;
	}
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '+' || *s == '-';
		n = digits(s);
		if (n == 0)
			return false;
		s += n;
		real = true;
	}
	*ret_real = real;
	return *s == '\0';
}

static bool is_one_of(const char *s, const char *a, const char *b, const char *c)
{
	return streq(s, a) || streq(s, b) || streq(s, c);
}

static json_t *plain_value(const char *s)
{
	json_t *v = NULL;
	bool real;

	if (!*s || streq(s, "~") || is_one_of(s, "null", "Null", "NULL"))
		return json_null();
	if (is_one_of(s, "true", "True", "TRUE"))
		return json_true();
	if (is_one_of(s, "false", "False", "FALSE"))
		return json_false();
	/* jansson reads decimals whatever the locale; what it cannot hold stays a string. */
	if (is_number(s, &real))
		v = json_loadb(s, strlen(s), JSON_DECODE_ANY, NULL);
	return v ? v : json_string(s);
}

static int refuse_tag(struct reader *in, const yaml_char_t *tag, struct kc_pos at)
{
	return refuse(in, at, "the tag %.60s is not supported; remove it", (const char *)tag);
}

/* Scalars may be said to be strings: !!str 1.37. */
static int check_tag(struct reader *in, const yaml_char_t *tag, struct kc_pos at)
{
	if (!tag || streq((const char *)tag, YAML_STR_TAG) || streq((const char *)tag, "!"))
		return 0;
	return refuse_tag(in, tag, at);
}

static int read_scalar(struct reader *in, const yaml_event_t *e, struct node *node, json_t **ret)
{
	const char *s = (const char *)e->data.scalar.value;
	json_t *v;
	int r;

	r = check_tag(in, e->data.scalar.tag, node->pos);
	if (r < 0)
		return r;
	if (strlen(s) != e->data.scalar.length)
		return refuse(in, node->pos, "the text contains a NUL byte; remove it");
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !e->data.scalar.tag)
		v = plain_value(s);
	else
		v = json_string(s);
	if (!v)
		return refuse(in, node->pos, "the text is not UTF-8; save the file as UTF-8");
	node->raw = xstrdup(s);
	*ret = v;
	return 0;
}

/* Valid until the next child is added. */
static struct node *add_child(struct node *parent)
{
	if (parent->n == parent->cap) {
		parent->cap = parent->cap ? parent->cap * 2 : 4;
		parent->child = xrealloc(parent->child, parent->cap * sizeof(*parent->child));
	}
	memset(&parent->child[parent->n], 0, sizeof(*parent->child));
	return &parent->child[parent->n++];
}

static int read_node(struct reader *in, const yaml_event_t *e, int depth, struct node *node,
		     json_t **ret);

static int read_list(struct reader *in, int depth, struct node *node, json_t **ret)
{
	json_auto_t *list = json_array();
	int r;

	for (;;) {
		_cleanup_event_ yaml_event_t e = { 0 };
		json_auto_t *v = NULL;

		r = next_event(in, &e);
		if (r < 0)
			return r;
		if (e.type == YAML_SEQUENCE_END_EVENT)
			break;
		r = read_node(in, &e, depth + 1, add_child(node), &v);
		if (r < 0)
			return r;
		json_array_append_new(list, TAKE(v));
	}
	*ret = TAKE(list);
	return 0;
}

static int read_key(struct reader *in, const yaml_event_t *e, const json_t *map,
		    const struct node *parent, char **ret)
{
	struct kc_pos at = pos_of(&e->start_mark);
	const char *key;
	int r;

	if (e->type == YAML_ALIAS_EVENT)
		return refuse(in, at, "aliases are not supported; write the key out");
	if (e->type != YAML_SCALAR_EVENT)
		return refuse(in, at, "a key must be plain text, not a list or a mapping");
	r = check_tag(in, e->data.scalar.tag, at);
	if (r < 0)
		return r;
	key = (const char *)e->data.scalar.value;
	if (strlen(key) != e->data.scalar.length)
		return refuse(in, at, "the key contains a NUL byte; remove it");
	if (json_object_get(map, key)) {
		int line = 0;

		for (size_t i = 0; i < parent->n; i++)
			if (strsame(parent->child[i].key, key))
				line = parent->child[i].key_pos.line;
		return refuse(in, at,
			      "duplicate key \"%.100s\", already given on line %d; "
			      "remove one of them",
			      key, line);
	}
	*ret = xstrdup(key);
	return 0;
}

static int read_map(struct reader *in, int depth, struct node *node, json_t **ret)
{
	json_auto_t *map = json_object();
	int r;

	for (;;) {
		_cleanup_event_ yaml_event_t k = { 0 }, e = { 0 };
		_cleanup_free_ char *key = NULL;
		json_auto_t *v = NULL;
		struct node *child;

		r = next_event(in, &k);
		if (r < 0)
			return r;
		if (k.type == YAML_MAPPING_END_EVENT)
			break;
		r = read_key(in, &k, map, node, &key);
		if (r < 0)
			return r;
		r = next_event(in, &e);
		if (r < 0)
			return r;
		child = add_child(node);
		child->key = xstrdup(key);
		child->key_pos = pos_of(&k.start_mark);
		r = read_node(in, &e, depth + 1, child, &v);
		if (r < 0)
			return r;
		if (json_object_set_new(map, key, TAKE(v)) < 0)
			return refuse(in, child->key_pos,
				      "the key is not UTF-8; save the file as UTF-8");
	}
	*ret = TAKE(map);
	return 0;
}

static int read_node(struct reader *in, const yaml_event_t *e, int depth, struct node *node,
		     json_t **ret)
{
	node->pos = pos_of(&e->start_mark);
	if (depth > KC_YAML_DEPTH)
		return refuse(in, node->pos, "nested more than %d levels deep", KC_YAML_DEPTH);
	if (++in->nodes > KC_YAML_NODES)
		return refuse(in, node->pos, "more than %d values; split the file", KC_YAML_NODES);
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(in, e, node, ret);
	case YAML_SEQUENCE_START_EVENT:
		if (e->data.sequence_start.tag)
			return refuse_tag(in, e->data.sequence_start.tag, node->pos);
		return read_list(in, depth, node, ret);
	case YAML_MAPPING_START_EVENT:
		if (e->data.mapping_start.tag)
			return refuse_tag(in, e->data.mapping_start.tag, node->pos);
		return read_map(in, depth, node, ret);
	case YAML_ALIAS_EVENT:
		return refuse(in, node->pos,
			      "aliases (*%.60s) are not supported; write the value out",
			      (const char *)e->data.alias.anchor);
	default:
		return refuse(in, node->pos, "not YAML: a value is missing here");
	}
}

static void node_done(struct node *node)
{
	for (size_t i = 0; i < node->n; i++)
		node_done(&node->child[i]);
	free(node->child);
	free(node->key);
	free(node->raw);
}

void kc_yaml_free(struct kc_yaml *y)
{
	if (!y)
		return;
	for (size_t i = 0; i < y->n; i++) {
		node_done(&y->docs[i].root);
		json_decref(y->docs[i].value);
	}
	free(y->docs);
	free(y->file);
	free(y);
}

static int read_stream(struct reader *in, struct kc_yaml *y)
{
	int r;

	for (;;) {
		_cleanup_event_ yaml_event_t e = { 0 };
		struct doc *d;

		r = next_event(in, &e);
		if (r < 0)
			return r;
		if (e.type == YAML_STREAM_END_EVENT)
			return 0;
		if (e.type == YAML_STREAM_START_EVENT || e.type == YAML_DOCUMENT_START_EVENT ||
		    e.type == YAML_DOCUMENT_END_EVENT)
			continue;
		y->docs = xrealloc(y->docs, (y->n + 1) * sizeof(*y->docs));
		d = &y->docs[y->n++];
		memset(d, 0, sizeof(*d));
		r = read_node(in, &e, 0, &d->root, &d->value);
		if (r < 0)
			return r;
	}
}

int kc_yaml_parse(const char *file, const char *text, size_t len, struct kc_yaml **ret,
		  struct kc_err *err)
{
	_cleanup_(kc_yaml_freep) struct kc_yaml *y = xcalloc(1, sizeof(*y));
	struct reader in = { .file = file, .text = text, .len = len, .err = err };
	int r;

	if (len > KC_YAML_MAX)
		return kc_fail(err, KC_EINVAL, "%s:1:1: larger than %u bytes; split the file", file,
			       KC_YAML_MAX);
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		in.text += 3;
		in.len -= 3;
	}
	y->file = xstrdup(file);
	if (!yaml_parser_initialize(&in.parser))
		abort();
	yaml_parser_set_encoding(&in.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&in.parser, (const unsigned char *)in.text, in.len);
	r = read_stream(&in, y);
	yaml_parser_delete(&in.parser);
	if (r < 0)
		return r;
	*ret = TAKE(y);
	return 0;
}

const char *kc_yaml_file(const struct kc_yaml *y)
{
	return y->file;
}

size_t kc_yaml_count(const struct kc_yaml *y)
{
	return y->n;
}

json_t *kc_yaml_value(const struct kc_yaml *y, size_t doc)
{
	return y->docs[doc].value;
}

/* Does one reference token of a JSON pointer name this key? ~1 stands for '/', ~0 for '~'. */
static bool token_is(const char *token, size_t len, const char *key)
{
	for (size_t i = 0; i < len; i++, key++) {
		char c = token[i];

		if (c == '~' && i + 1 < len)
			c = token[++i] == '1' ? '/' : '~';
		if (*key != c)
			return false;
	}
	return *key == '\0';
}

static const struct node *find_child(const struct node *node, const char *token, size_t len)
{
	_cleanup_free_ char *index = NULL;
	long i;

	for (size_t k = 0; k < node->n; k++)
		if (node->child[k].key && token_is(token, len, node->child[k].key))
			return &node->child[k];
	if (!node->n || node->child[0].key)
		return NULL;
	index = xstrndup(token, len);
	if (!kc_parse_long(index, 0, (long)node->n - 1, &i))
		return NULL;
	return &node->child[i];
}

/* The node, or with *ret_exact false its nearest ancestor. */
static const struct node *find(const struct kc_yaml *y, size_t doc, const char *pointer,
			       bool *ret_exact)
{
	static const struct node nothing = { .pos = { 1, 1 } };
	const struct node *node = doc < y->n ? &y->docs[doc].root : &nothing;

	*ret_exact = true;
	while (*pointer == '/') {
		size_t len = strcspn(++pointer, "/");
		const struct node *child = find_child(node, pointer, len);

		if (!child) {
			*ret_exact = false;
			break;
		}
		node = child;
		pointer += len;
	}
	return node;
}

struct kc_pos kc_yaml_pos(const struct kc_yaml *y, size_t doc, const char *pointer)
{
	bool exact;

	return find(y, doc, pointer, &exact)->pos;
}

struct kc_pos kc_yaml_key_pos(const struct kc_yaml *y, size_t doc, const char *pointer)
{
	bool exact;
	const struct node *node = find(y, doc, pointer, &exact);

	return exact && node->key ? node->key_pos : node->pos;
}

const char *kc_yaml_raw(const struct kc_yaml *y, size_t doc, const char *pointer)
{
	bool exact;
	const struct node *node = find(y, doc, pointer, &exact);

	return exact ? node->raw : NULL;
}
