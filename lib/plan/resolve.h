/*
 * Values with holes: {"$ref"}, {"$cat"}, {"$join"}, {"$json"}, and the
 * embedder's {"$fact"}, {"$secret"}. An object is such a value if it has exactly
 * one key and that key is one of these; everything else is plain data.
 */
#ifndef KC_PLAN_RESOLVE_H
#define KC_PLAN_RESOLVE_H

#include <jansson.h>

#include "lib/base/err.h"

/* name is "$ref", "$fact" or "$secret"; KC_EAGAIN when it is not known yet. */
typedef int kc_resolve_fn(void *cookie, const char *name, const json_t *arg, json_t **ret,
			  struct kc_err *err);

/*
 * A copy of value with everything resolved that fn knows. What is not known yet stays as it is,
 * and *ret_unknown (may be NULL) counts it. $cat of strings and numbers gives a string; $join puts
 * its first element between the strings of its second, a list; $json gives compact, key-sorted
 * text.
 */
int kc_resolve(const json_t *value, kc_resolve_fn *fn, void *cookie, json_t **ret, int *ret_unknown,
	       struct kc_err *err);

/* Append the ids of all tasks that value refers to, to ids (an array of strings), once each. */
void kc_refs(const json_t *value, json_t *ids);

#endif
