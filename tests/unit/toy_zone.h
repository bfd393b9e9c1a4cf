/*
 * A zone in memory, an array of rrsets, that is changed by compare-and-swap in two ways: "whole",
 * as servers with RFC 2136 do (all that was read is compared), and "touched", record by record, as
 * Route 53 does (a DELETE repeats what is there, a CREATE finds nothing, TXT records are always in
 * the batch).
 */
#ifndef KC_TESTS_TOY_ZONE_H
#define KC_TESTS_TOY_ZONE_H

#include <jansson.h>
#include <stdbool.h>

/* The rrset of the same name and type; borrowed. */
json_t *toy_find(const json_t *list, const json_t *one);
/* value NULL: gone. key: an rrset of the same name and type. */
void toy_put(json_t *zone, const json_t *key, const json_t *value);
bool toy_holds_whole(const json_t *zone, const json_t *which, const json_t *before);
bool toy_holds_touched(const json_t *zone, const json_t *before, const json_t *after);
void toy_apply_touched(json_t *zone, const json_t *before, const json_t *after);

#endif
