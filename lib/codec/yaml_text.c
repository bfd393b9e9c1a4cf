#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "lib/base/buf.h"
#include "lib/codec/json.h"
#include "lib/codec/yaml.h"

/* The emitter fails only on values it cannot express, which json_t does not hold. */
static void emit(yaml_emitter_t *out, yaml_event_t *e, int made)
{
	if (!made || !yaml_emitter_emit(out, e))
		abort();
}

/*
 * Strings are quoted unless no YAML reader, 1.1 ones included, could take them for anything
 * else: they must begin with a letter or a slash and be none of the known words.
 */
static bool needs_quotes(const char *s)
{
	static const char *const words[] = { "y",   "n",    "yes",   "no",  "on",
					     "off", "true", "false", "null" };

	if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s == '/'))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	return false;
}

static void emit_scalar(yaml_emitter_t *out, const char *s, yaml_scalar_style_t style)
{
	yaml_event_t e;

	emit(out, &e,
	     yaml_scalar_event_initialize(&e, NULL, NULL, (const yaml_char_t *)s, (int)strlen(s), 1,
					  1, style));
}

static void emit_string(yaml_emitter_t *out, const char *s)
{
	yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;

	if (strchr(s, '\n'))
		style = YAML_LITERAL_SCALAR_STYLE;
	else if (needs_quotes(s))
		style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
	emit_scalar(out, s, style);
}

static void emit_value(yaml_emitter_t *out, const json_t *v);

static void emit_map(yaml_emitter_t *out, const json_t *v)
{
	yaml_mapping_style_t style =
		json_object_size(v) ? YAML_BLOCK_MAPPING_STYLE : YAML_FLOW_MAPPING_STYLE;
	const char *key;
	yaml_event_t e;
	json_t *item;

	emit(out, &e, yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, style));
	json_object_foreach((json_t *)v, key, item) {
		emit_scalar(out, key,
			    needs_quotes(key) ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
					      : YAML_PLAIN_SCALAR_STYLE);
		emit_value(out, item);
	}
	emit(out, &e, yaml_mapping_end_event_initialize(&e));
}

static void emit_list(yaml_emitter_t *out, const json_t *v)
{
	yaml_sequence_style_t style =
		json_array_size(v) ? YAML_BLOCK_SEQUENCE_STYLE : YAML_FLOW_SEQUENCE_STYLE;
	yaml_event_t e;
	json_t *item;
	size_t i;

	emit(out, &e, yaml_sequence_start_event_initialize(&e, NULL, NULL, 1, style));
	json_array_foreach((json_t *)v, i, item)
		emit_value(out, item);
	emit(out, &e, yaml_sequence_end_event_initialize(&e));
}

static void emit_value(yaml_emitter_t *out, const json_t *v)
{
	_cleanup_free_ char *text = NULL;

	if (json_is_object(v))
		return emit_map(out, v);
	if (json_is_array(v))
		return emit_list(out, v);
	if (json_is_string(v))
		return emit_string(out, json_string_value(v));
	/* 15 digits print 50.11 as 50.11 and read back what a manifest can hold. */
	text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	if (!text)
		abort();
	emit_scalar(out, text, YAML_PLAIN_SCALAR_STYLE);
}

static int append(void *cookie, unsigned char *data, size_t len)
{
	kc_buf_putn(cookie, data, len);
	return 1;
}

char *kc_yaml_text(const json_t *v)
{
	_cleanup_buf_ struct kc_buf buf = { 0 };
	yaml_emitter_t out;
	yaml_event_t e;

	if (!yaml_emitter_initialize(&out))
		abort();
	yaml_emitter_set_output(&out, append, &buf);
	yaml_emitter_set_unicode(&out, 1);
	yaml_emitter_set_width(&out, -1);
	emit(&out, &e, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING));
	emit(&out, &e, yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1));
	emit_value(&out, v);
	emit(&out, &e, yaml_document_end_event_initialize(&e, 1));
	emit(&out, &e, yaml_stream_end_event_initialize(&e));
	yaml_emitter_delete(&out);
	return kc_buf_steal(&buf);
}
