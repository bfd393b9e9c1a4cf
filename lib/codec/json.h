/*
 * jansson conveniences. json_t is the value type everywhere; json_auto_t
 * frees. Traps (jansson 2.14): json_pack("{s:O}", k, NULL) returns NULL; 1,
 * 1.0 and "1" are unequal; a missing array has size 0. So a malformed reply is
 * an error, never absence: use the checked getters below on foreign input.
 */
#ifndef KC_CODEC_JSON_H
#define KC_CODEC_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

/* Once, before the first thread and the first value: what jansson frees is wiped, for it may have
 * been a secret; out of memory aborts. */
void kc_json_init(void);
/* Parse text of any origin: duplicates refused, depth bounded by jansson. what names it in errors.
 */
int kc_json_parse(const char *text, size_t len, const char *what, json_t **ret, struct kc_err *err);
/*
 * The items of the list that a document (an object) has at key, one after the other: a long list is
 * never in memory as values all at once. All else is parsed, too, and dropped. item's error ends
 * it; items before something that is no JSON have been seen by then.
 */
typedef int kc_json_item(void *cookie, const json_t *item, struct kc_err *err);
int kc_json_each(const char *text, size_t len, const char *what, const char *key,
		 kc_json_item *item, void *cookie, struct kc_err *err);
/* Compact with sorted keys: the canonical text that is hashed. Owned. */
char *kc_json_text(const json_t *v);
/* Checked member access: KC_EINVAL "what: no string "key"". Borrowed results. */
int kc_json_str(const json_t *o, const char *what, const char *key, const char **ret,
		struct kc_err *err);
int kc_json_int(const json_t *o, const char *what, const char *key, int64_t *ret,
		struct kc_err *err);
int kc_json_arr(const json_t *o, const char *what, const char *key, const json_t **ret,
		struct kc_err *err);
int kc_json_obj(const json_t *o, const char *what, const char *key, const json_t **ret,
		struct kc_err *err);
/* Our own data: the member, or the fallback. Borrowed. */
const char *kc_json_get_str(const json_t *o, const char *key, const char *fallback);
int64_t kc_json_get_int(const json_t *o, const char *key, int64_t fallback);
bool kc_json_get_bool(const json_t *o, const char *key, bool fallback);
/* Overwrite a string member, if it is there: for secrets. */
void kc_json_wipe(json_t *o, const char *key);
/* o["a"]["b"]["c"] for path "a.b.c"; NULL if a step is missing. Borrowed. */
json_t *kc_json_at(const json_t *o, const char *path);
/* A deep copy of the member, or the fallback if it is absent or null. Takes the fallback. */
json_t *kc_json_copy_or(const json_t *o, const char *key, json_t *fallback);
/* Does theirs say all that ours says? Members that only theirs has do not count; lists are equal in
 * length and order. For replies that repeat what was sent. */
bool kc_json_within(const json_t *ours, const json_t *theirs);
/* json_pack that aborts instead of returning NULL: for values the program itself makes. */
json_t *kc_pack(const char *fmt, ...);
/* The keys of an object, sorted bytewise: names borrowed, the array (freed by free()) owned. */
const char **kc_json_keys(const json_t *o, size_t *ret_n);
/* Sort an array of strings bytewise, in place. */
void kc_json_sort(json_t *array);
/* "a,b" as ["a", "b"]; what is empty is an empty string. New reference. */
json_t *kc_json_split(const char *list, char separator);
/* The first item of a list of objects whose member key is the text value; NULL: none. Borrowed. */
json_t *kc_json_find(const json_t *list, const char *key, const char *value);
/* ["a", "b"] as "a, b". Owned. */
char *kc_json_join(const json_t *list, const char *between);
bool kc_json_has_str(const json_t *array, const char *s);

#endif
