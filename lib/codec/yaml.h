/*
 * YAML text to JSON values that remember where they stood.
 *
 *	text --kc_yaml_parse--> documents: a json_t each, and a position for every
 *	                        value and every key, found by JSON pointer
 *
 * Plain scalars follow the YAML 1.2 core schema where it is not surprising:
 * true, false, null, decimal integers and decimals; all else is a string
 * (`yes`, `022`, `.5`, `1.37.2`). What was written is kept, so that a message
 * about `version: 1.40` can say 1.40. Refused with file:line:column: duplicate
 * keys, aliases, tags but !!str, keys that are no scalars, NUL, and more than
 * KC_YAML_MAX bytes, KC_YAML_DEPTH levels or KC_YAML_NODES values.
 */
#ifndef KC_CODEC_YAML_H
#define KC_CODEC_YAML_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define KC_YAML_MAX   (8u << 20)
#define KC_YAML_DEPTH 32
#define KC_YAML_NODES 300000

/* Both count from 1, in characters; 0 when unknown. */
struct kc_pos {
	int line, column;
};

struct kc_yaml;

/* file is the name that errors show. Errors are KC_EINVAL "file:line:column: what". */
int kc_yaml_parse(const char *file, const char *text, size_t len, struct kc_yaml **ret,
		  struct kc_err *err);
void kc_yaml_free(struct kc_yaml *y);
KC_DEFINE_CLEANUP(struct kc_yaml *, kc_yaml_free)

const char *kc_yaml_file(const struct kc_yaml *y);
/* Documents in the stream; an empty one counts and is null. */
size_t kc_yaml_count(const struct kc_yaml *y);
/* Borrowed. */
json_t *kc_yaml_value(const struct kc_yaml *y, size_t doc);

/*
 * Where the value at a JSON pointer (RFC 6901: "/spec/hosts/0/name", "" is the document)
 * begins, or its key. If there is no such value: where its nearest ancestor begins.
 */
struct kc_pos kc_yaml_pos(const struct kc_yaml *y, size_t doc, const char *pointer);
struct kc_pos kc_yaml_key_pos(const struct kc_yaml *y, size_t doc, const char *pointer);
/* A scalar as it was written, without quotes; NULL if there is none. Borrowed. */
const char *kc_yaml_raw(const struct kc_yaml *y, size_t doc, const char *pointer);

/* A JSON value as block-style YAML that kc_yaml_parse() reads back equal. Owned. */
char *kc_yaml_text(const json_t *v);

#endif
