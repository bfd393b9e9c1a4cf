/* Shared inside lib/spec only. */
#ifndef KC_SPEC_INTERNAL_H
#define KC_SPEC_INTERNAL_H

#include "lib/spec/spec.h"

/* The entry of this name, or NULL. */
const struct kc_field *kc_field_find(const struct kc_field *table, const char *name);
/* The nearest name for "did you mean", or NULL. */
const char *kc_field_suggest(const struct kc_field *table, const char *name);
/* NULL-terminated list as "a, b, c". Owned. */
char *kc_field_values(const char *const *values);
/* Parsed .def; NULL without one. Owned. */
json_t *kc_field_default(const struct kc_field *f);

/* Check one scalar or map; *ret gets the value to keep. Errors go to rep. */
void kc_field_scalar(const struct kc_field *f, const json_t *v, const char *pointer,
		     struct kc_report *rep, json_t **ret);
void kc_field_map(const struct kc_field *f, const json_t *v, const char *pointer,
		  struct kc_report *rep, json_t **ret);
/* "expects a list, not a string" and, where it helps, what to write instead. */
void kc_field_wrong_type(const struct kc_field *f, const json_t *v, const char *pointer,
			 struct kc_report *rep);

#endif
